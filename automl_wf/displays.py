"""Displays of a fit for notebooks: `LeaderboardDisplay.from_estimator(model)` and its kin (extra `plots`)."""

from automl_wf.deployment.displays import (
    CalibrationDisplay,
    DependenceDisplay,
    ImportanceDisplay,
    LeaderboardDisplay,
    LearningCurveDisplay,
    SearchHistoryDisplay,
    SlicesDisplay,
    out_of_fold_errors,
    out_of_fold_precision_recall,
    out_of_fold_roc,
)

__all__ = [
    "CalibrationDisplay",
    "DependenceDisplay",
    "ImportanceDisplay",
    "LeaderboardDisplay",
    "LearningCurveDisplay",
    "SearchHistoryDisplay",
    "SlicesDisplay",
    "out_of_fold_errors",
    "out_of_fold_precision_recall",
    "out_of_fold_roc",
]
