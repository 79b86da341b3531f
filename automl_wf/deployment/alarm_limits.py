"""From when on the monitoring of a package raises an alarm: from the folds of training and the owner's limits.

They go into config.json, the service exposes them as metrics, and the rules of Prometheus compare with those: a version
that is promoted brings its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.costs import Costs
from automl_wf.core.metrics import metrics_for
from automl_wf.deployment.subject import Subject
from automl_wf.evaluation.scores import Held

#: The usual rule for the population stability index (here: above what chance gives); more where training's own folds
#: differ more.
DRIFT = 0.2
#: Rows with known truth from which performance is judged: the alerts say the same.
WINDOW_ROWS = 500
_NORMAL_95 = 1.96


def thresholds_of(subject: Subject) -> dict[str, Any]:
    """All thresholds that differ between models.

    Parameters
    ----------
    subject : Subject
        What is packaged.

    Returns
    -------
    dict
        "drift" (by feature), "prediction_drift", "performance" (by metric: "limit", "greater_is_better") and
        "seconds_per_row" (None: the owner set no limit).
    """
    features: Mapping[str, Any] = subject.drift.get("features", {})
    return {
        "drift": {name: max(DRIFT, reference.get("fold_excess", 0.0)) for name, reference in features.items()},
        "prediction_drift": DRIFT,
        "performance": performance_limits(subject),
        "seconds_per_row": subject.limits.get("max_predict_time"),
    }


def performance_limits(subject: Subject) -> dict[str, dict[str, Any]]:
    """What each metric may not fall short of (losses: not exceed), in a window of `WINDOW_ROWS` rows or more.

    That is its value on the worst fold of training, or two standard errors of such a window from its value on all
    rows, whichever is farther away. Metrics that no fold defines are left out.
    """
    held, fold_of_row = _held_out(subject)
    folds = [held.take(np.flatnonzero(fold_of_row == fold)) for fold in np.unique(fold_of_row)]
    rows = {row["name"]: row for row in subject.evaluation.get("scores") or ()}
    limits = {}
    for metric in metrics_for(subject.task):
        values = [float(fold.measure(metric, subject.pos_index)) for fold in folds]
        values = [value for value in values if np.isfinite(value)]
        if values:
            sign = -1.0 if metric.greater_is_better else 1.0
            values.append(_by_chance(rows.get(metric.name, {}), len(held.y), sign))
            extreme = min(values) if metric.greater_is_better else max(values)
            limits[metric.name] = {"limit": extreme, "greater_is_better": metric.greater_is_better}
    return limits


def _held_out(subject: Subject) -> tuple[Held, NDArray[np.int64]]:
    """Rows that were predicted out of fold, and the fold of each."""
    evidence = subject.evidence
    known = np.flatnonzero(np.isfinite(evidence["prediction"].reshape(len(evidence["y"]), -1)).all(axis=1))
    held = Held(
        task=subject.task,
        y=evidence["y"],
        prediction=evidence["prediction"],
        weight=evidence.get("weight"),
        group=evidence.get("group"),
        threshold=subject.threshold if subject.decision_costs is None else Costs.of(subject.decision_costs),
    )
    return held.take(known), evidence["fold"][known]


def _by_chance(row: Mapping[str, Any], n_rows: int, sign: float) -> float:
    """The value less (a loss: and) two standard errors of a window; without an interval, what decides nothing."""
    if row.get("low") is None or row.get("value") is None:
        return -sign * math.inf
    error = (row["high"] - row["low"]) / (2 * _NORMAL_95) * math.sqrt(n_rows / WINDOW_ROWS)
    return float(row["value"] + sign * 2 * error)
