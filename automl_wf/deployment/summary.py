"""What a notebook shows of a fitted estimator: the five lines of its summary and the top of the leaderboard."""

from __future__ import annotations

from typing import Any

from automl_wf.deployment.render import render

N_ROWS = 5
#: Longer texts are cut: a cell of a notebook holds names and reasons, not documents.
MAX_TEXT = 300


def summary_html(estimator: Any) -> str:
    """The summary of a fitted estimator; every name in it is escaped.

    Parameters
    ----------
    estimator : WorkflowEstimator
        A fitted one.

    Returns
    -------
    str
        HTML that takes its colours from the page around it.
    """
    evaluation, scoring = estimator.evaluation_, estimator.problem_.scoring
    value, interval = evaluation.judged_score
    board = estimator.leaderboard_
    finding = next(iter(estimator.findings_), None)
    return render(
        "report/estimator.html.jinja",
        {
            "name": type(estimator).__name__,
            "target": _short(estimator.problem_.target_name),
            "label": scoring.label,
            "rises": scoring.greater_is_better,
            "value": value,
            "interval": interval,
            "is_corrected": evaluation.honest is not None and evaluation.honest.value is not None,
            "baseline": evaluation.primary_score.baseline,
            "beats_baseline": evaluation.beats_baseline,
            "trials": [
                {
                    "model": _short(row.model),
                    "score": None if row.score != row.score else scoring.natural(row.score),
                    "weight": row.weight,
                    "fit_time_s": row.fit_time_s,
                    "status": row.status,
                }
                for row in board.head(N_ROWS).itertuples()
            ],
            "n_trials": len(board),
            "seconds": estimator.timings_["total"],
            "finding": None
            if finding is None
            else {"severity": finding.severity, "message": _short(finding.message), "advice": _short(finding.advice)},
            "n_findings": len(estimator.findings_),
        },
    )


def _short(text: Any) -> str:
    shown = str(text)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"
