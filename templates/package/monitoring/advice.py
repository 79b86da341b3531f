"""Whether to train again: what drift and feedback say, each reason with its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from monitoring.metrics import DriftFigures
from monitoring.performance import GREATER_IS_BETTER, Score

#: Drift is judged from so many rows on, scores from so many truths on.
MIN_DRIFT_ROWS, MIN_LABELLED = 200, 100
#: Excess of the population stability index over chance that calls for something, where config.json sets no limit.
DRIFT_LIMIT = 0.2
#: A score is worse when it is so many standard errors (its own and training's) below the one of training.
N_ERRORS = 3.0
#: An estimated accuracy so much below the one of training calls for truth.
ESTIMATE_LIMIT = 0.05
MAX_FEATURES = 10


def advise(
    reference: Mapping[str, float | None],
    reference_errors: Mapping[str, float],
    measured: Sequence[Score],
    n_measured: int,
    n_of_the_hour: int,
    coverage: Score | None,
    confidence: float,
    estimated: Sequence[Score],
    drift: DriftFigures,
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    """Weigh drift, measured scores and estimates.

    Measured scores decide. Where they hold on rows of the time in which there is drift, it is something to watch; where
    there are none of that time, it calls for training again. An estimate alone never does.

    Parameters
    ----------
    reference : mapping of str to float or None
        Scores of training.
    reference_errors : mapping of str to float
        Their standard errors, as far as they are known.
    measured : sequence of Score
        Scores from feedback.
    n_measured : int
        Rows behind them.
    n_of_the_hour : int
        Those of them that were predicted in the hour over which drift is measured.
    coverage : Score or None
        Share of truths inside their interval or set.
    confidence : float
        What that share ought to be.
    estimated : sequence of Score
        Scores to expect.
    drift : DriftFigures
        Drift of the latest hour.
    limits : mapping
        The section "thresholds" of config.json: from where on drift counts, as for the alerts.

    Returns
    -------
    dict
        "advice" ("retrain", "watch", "none"), "reasons" and "looked_at".
    """
    is_measured = n_measured >= MIN_LABELLED
    worse = (
        [*_worse_scores(reference, reference_errors, measured), *_worse_coverage(coverage, confidence)]
        if is_measured
        else []
    )
    moved = _drifts(drift, limits) if drift.n_rows >= MIN_DRIFT_ROWS else []
    doubts = _doubts(reference, estimated)
    calls = worse or (moved and n_of_the_hour < MIN_LABELLED)
    advice = "retrain" if calls else "watch" if moved or doubts else "none"
    looked_at = {
        "labelled_rows": n_measured,
        "labelled_rows_of_the_hour": n_of_the_hour,
        "drift_rows": drift.n_rows,
    }
    return {"advice": advice, "reasons": [*worse, *moved, *doubts], "looked_at": looked_at}


def _worse_scores(
    reference: Mapping[str, float | None], errors: Mapping[str, float], measured: Sequence[Score]
) -> list[dict[str, Any]]:
    reasons = []
    for score in measured:
        wanted = reference.get(score.name)
        if wanted is None or score.error is None:
            continue
        loss = wanted - score.value if score.name in GREATER_IS_BETTER else score.value - wanted
        error = math.hypot(score.error, errors.get(score.name, 0.0))
        if loss > N_ERRORS * error and loss > 0:
            figures = {"metric": score.name, "training": wanted, "measured": score.value, "standard_error": error}
            reasons.append(_reason("score_fell", f"{score.name} is worse than in training", **figures))
    return reasons


def _worse_coverage(coverage: Score | None, confidence: float) -> list[dict[str, Any]]:
    if coverage is None or coverage.error is None or confidence - coverage.value <= N_ERRORS * coverage.error:
        return []
    figures = {"promised": confidence, "measured": coverage.value, "standard_error": coverage.error}
    return [_reason("coverage_fell", "intervals hold the truth less often than they promise", **figures)]


def _drifts(drift: DriftFigures, limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    of_features = limits.get("drift", {})
    found = [(psi - noise, of_features.get(name, DRIFT_LIMIT), name) for name, (psi, noise) in drift.features.items()]
    far = sorted(((excess, limit, name) for excess, limit, name in found if excess > limit), reverse=True)
    reasons = [
        _reason(
            "feature_drift",
            f"{name} is distributed otherwise than in training",
            feature=name,
            excess_psi=excess,
            limit=limit,
        )
        for excess, limit, name in far[:MAX_FEATURES]
    ]
    n_more = len(far) - MAX_FEATURES
    if n_more > 0:
        text = f"and {n_more} more: the metric model_feature_drift_psi and GET /v1/monitoring name them"
        reasons.append(_reason("more_feature_drift", text, n_features=n_more))
    if drift.prediction is not None:
        excess, limit = drift.prediction[0] - drift.prediction[1], limits.get("prediction_drift", DRIFT_LIMIT)
        if excess > limit:
            text = "predictions are distributed otherwise than in training"
            reasons.append(_reason("prediction_drift", text, excess_psi=excess, limit=limit))
    return reasons


def _doubts(reference: Mapping[str, float | None], estimated: Sequence[Score]) -> list[dict[str, Any]]:
    wanted = reference.get("accuracy")
    expected = next((score.value for score in estimated if score.name == "accuracy"), None)
    if wanted is None or expected is None or wanted - expected <= ESTIMATE_LIMIT:
        return []
    figures = {"training": wanted, "estimated": expected}
    return [_reason("estimate_fell", "the model is less sure than its accuracy in training: collect truth", **figures)]


def _reason(code: str, detail: str, **figures: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, "figures": figures}
