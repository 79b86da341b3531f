"""Stage 6: `evaluate` → `Evaluation`: what the model is worth on rows it has not seen, as facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.business import Business
from automl_wf.core.costs import Costs, DecisionRule, UnitCosts
from automl_wf.core.criteria import NOT_BEFORE_EXPORT, Criterion, judge
from automl_wf.core.metrics import Codes, Floats, Metric, Scoring, cost_metric
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import HonestScore, bias_corrected
from automl_wf.evaluation.business import (
    BusinessValue,
    LiftChart,
    PercentageError,
    business_value,
    lift_chart,
    percentage_error,
)
from automl_wf.evaluation.calibration import Calibration, calibrate
from automl_wf.evaluation.coverage import Coverage, measure_coverage
from automl_wf.evaluation.curves import Curve, Residuals, roc_and_pr_curves, summarise_residuals
from automl_wf.evaluation.errors import Errors, find_errors
from automl_wf.evaluation.groups import Groups
from automl_wf.evaluation.learning_curve import LearningCurve
from automl_wf.evaluation.robustness import Robustness
from automl_wf.evaluation.scores import (
    ClassReport,
    Confusion,
    Held,
    Queries,
    Resampling,
    Score,
    class_reports,
    confusion,
    score_all,
    summarise_queries,
)
from automl_wf.evaluation.shift import Shift, measure_shift, shift_findings
from automl_wf.evaluation.slices import Slices
from automl_wf.evaluation.stability import Stability
from automl_wf.evaluation.thresholds import Thresholds, count_by_threshold

__all__ = [
    "Evaluation",
    "HonestScore",
    "Score",
    "Shift",
    "bias_corrected",
    "evaluate",
    "measure_shift",
    "shift_findings",
]


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth on rows it has not seen.

    Parameters
    ----------
    task : Task
        What is predicted.
    on : str
        Which rows: "out-of-fold predictions", "test set".
    n_rows : int
        How many.
    primary : str
        Name of the score that was optimised.
    scores : tuple of Score
        Every metric that applies, beside the baseline's.
    resampling : Resampling
        How the intervals of the scores were got.
    honest : HonestScore or None
        The primary score corrected for the choice among many, greater is better.
    confusion, report, roc, pr, calibration
        Classification only; empty or None otherwise.
    residuals : Residuals or None
        Regression only.
    queries : Queries or None
        Ranking only.
    thresholds : Thresholds or None
        Binary only: what deciding from another probability on would bring.
    lift_chart : LiftChart or None
        Binary only: cumulative gains, and lift by decile.
    percentage_error : PercentageError or None
        Regression only: signed.
    business : BusinessValue or None
        What `business=` asks for; None without it.
    criteria : tuple of Criterion
        What is asked of the model, judged.
    shift : Shift or None
        Whether held-out rows look like training rows; None: not asked (test rows).
    errors : Errors or None
        The worst rows, and what is taken for what.
    coverage : Coverage or None
        How often conformal intervals or sets hold the truth; out-of-fold predictions of values or classes only.
    groups, slices, robustness, stability, learning_curve
        The diagnosis (see `diagnosis.py`): of out-of-fold predictions, as far as the time allowed; None elsewhere.
    """

    task: Task
    on: str
    n_rows: int
    primary: str
    scores: tuple[Score, ...]
    resampling: Resampling
    honest: HonestScore | None = None
    confusion: Confusion | None = None
    report: tuple[ClassReport, ...] = ()
    roc: tuple[Curve, ...] = ()
    pr: tuple[Curve, ...] = ()
    calibration: Calibration | None = None
    residuals: Residuals | None = None
    queries: Queries | None = None
    thresholds: Thresholds | None = None
    lift_chart: LiftChart | None = None
    percentage_error: PercentageError | None = None
    business: BusinessValue | None = None
    criteria: tuple[Criterion, ...] = ()
    shift: Shift | None = None
    errors: Errors | None = None
    coverage: Coverage | None = None
    groups: Groups | None = None
    slices: Slices | None = None
    robustness: Robustness | None = None
    stability: Stability | None = None
    learning_curve: LearningCurve | None = None

    def score(self, name: str) -> Score:
        """The score of that name.

        Raises
        ------
        KeyError
            There is none; the message lists those there are.
        """
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(f"no score {name!r}: there are {', '.join(s.name for s in self.scores)}")

    @property
    def primary_score(self) -> Score:
        """The score that was optimised, in its natural form."""
        return self.score(self.primary)

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the model is better than the baseline beyond chance; None: there is nothing to tell it by.

        Judged by the interval of the honest score, or where there is none by that of the primary score.
        """
        primary = self.primary_score
        baseline, low, high = primary.baseline, primary.low, primary.high
        if baseline is None:
            return None
        if self.honest is not None and self.honest.interval is not None:
            worst = self.honest.interval[0]
        elif low is not None and high is not None:
            worst = low if primary.greater_is_better else -high
        else:
            return None
        return worst > (baseline if primary.greater_is_better else -baseline)

    @property
    def judged_score(self) -> tuple[float | None, tuple[float, float] | None]:
        """What criteria are judged by, in its natural form, and its interval: the honest score where there is one."""
        primary = self.primary_score
        if self.honest is not None and self.honest.value is not None and self.honest.interval is not None:
            sign = 1.0 if primary.greater_is_better else -1.0
            low, high = sorted(sign * end for end in self.honest.interval)
            return sign * self.honest.value, (low, high)
        if primary.low is None or primary.high is None:
            return primary.value, None
        return primary.value, (primary.low, primary.high)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; what is not a finite number is None."""
        facts: dict[str, Any] = _plain(self)
        return facts


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Task):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def evaluate(
    *,
    task: Task,
    scoring: Scoring,
    y: NDArray[Any],
    prediction: Floats,
    weight: Floats | None = None,
    group: Codes | None = None,
    baseline_prediction: Floats | None = None,
    classes: NDArray[Any] | None = None,
    threshold: DecisionRule = None,
    business: Business | None = None,
    columns: Mapping[str, NDArray[Any]] | None = None,
    criteria: Sequence[Criterion] = (),
    seconds_per_row: float | None = None,
    honest: HonestScore | None = None,
    on: str = "out-of-fold predictions",
    n_bootstraps: int = 200,
    max_rows: int = 5000,
    seed: int = 0,
    max_calls: int | None = None,
    fold: Codes | None = None,
    positions: NDArray[Any] | None = None,
) -> Evaluation:
    """Measure predictions of held-out rows.

    Parameters
    ----------
    task : Task
        What is predicted.
    scoring : Scoring
        What was optimised; its `pos_index` says which class is positive.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities, values or scores.
    weight, group : ndarray of shape (n_rows,) or None, default=None
        Row weights; groups (queries for ranking), which are resampled whole.
    baseline_prediction : ndarray like `prediction`, or None, default=None
        The baseline's on the same rows.
    classes : ndarray of shape (n_classes,) or None, default=None
        Labels in order of their codes. None: the codes.
    threshold : float, Costs or None, default=None
        What a class is decided on by, as for `decide`.
    business : Business or None, default=None
        What predictions are worth; where its costs decide (or shift values), the baseline decides by them, too.
    columns : mapping of str to ndarray of shape (n_rows,), or None, default=None
        Columns that `business` names, by role.
    criteria : sequence of Criterion, default=()
        What is asked of the model, to be judged.
    seconds_per_row : float or None, default=None
        What a prediction takes, where that was measured.
    honest : HonestScore or None, default=None
        From `bias_corrected`, to be reported beside.
    on : str, default="out-of-fold predictions"
        Which rows these are.
    n_bootstraps, max_rows : int, default=200, 5000
        Bound the work for the intervals.
    seed : int, default=0
        Seed of the resampling.
    max_calls : int or None, default=None
        How often a scorer of the user's own may be called.
    fold : ndarray of shape (n_rows,) or None, default=None
        Fold that held each row out; needed for the coverage of intervals.
    positions : ndarray of shape (n_rows,) or None, default=None
        Position of each row in X as given, by which errors are named. None: 0, 1, …

    Returns
    -------
    Evaluation
        Facts.
    """
    held = Held(task, y, prediction, weight, group, threshold)
    baseline = None
    if baseline_prediction is not None:
        # The threshold was chosen for the model: the baseline predicts its most probable class, or the cheapest one.
        rule = None if business is None else business.rule
        if business is not None and business.sets_decision and isinstance(business.costs, UnitCosts):
            baseline_prediction = baseline_prediction + business.costs.shift(y - baseline_prediction, weight)
        baseline = Held(task, y, baseline_prediction, weight, group, rule)
    scores, resampling = score_all(
        held,
        baseline,
        scoring,
        extra=_cost_metrics(business, scoring),
        n_bootstraps=n_bootstraps,
        max_rows=max_rows,
        seed=seed,
        max_calls=max_calls,
    )
    facts: dict[str, Any] = {}
    labels: tuple[Any, ...] = ()
    if task.is_classification:
        labels = tuple(range(prediction.shape[1])) if classes is None else tuple(np.asarray(classes).tolist())
        roc, pr = roc_and_pr_curves(held, labels, scoring.pos_index)
        facts = {
            "confusion": confusion(held, labels),
            "report": class_reports(held, labels),
            "roc": roc,
            "pr": pr,
            "calibration": calibrate(held, labels, scoring.pos_index),
        }
        if task is Task.BINARY:
            costs = None if business is None or not isinstance(business.costs, Costs) else business.costs
            facts["thresholds"] = count_by_threshold(held, labels, scoring.pos_index, costs)
            facts["lift_chart"] = lift_chart(held, labels, scoring.pos_index)
    elif task is Task.REGRESSION:
        facts = {"residuals": summarise_residuals(held), "percentage_error": percentage_error(held)}
    else:
        facts = {"queries": summarise_queries(held)}
    if business is not None:
        facts["business"] = business_value(held, baseline, business, labels, scoring.pos_index, columns)
    facts["errors"] = find_errors(held, labels, positions)
    facts["coverage"] = None if fold is None else measure_coverage(held, fold)
    primary = next(s.name for s in scores if s.is_primary)
    evaluation = Evaluation(task, on, len(y), primary, scores, resampling, honest, **facts)
    return replace(evaluation, criteria=_judged(criteria, evaluation, seconds_per_row))


def _cost_metrics(business: Business | None, scoring: Scoring) -> tuple[Metric, ...]:
    """The mean cost per row, where costs were given; the positive class has code 1, as for every metric."""
    if business is None or business.costs is None:
        return ()
    costs = business.costs
    if isinstance(costs, Costs) and business.task is Task.BINARY and scoring.pos_index == 0:
        costs = costs.reversed()
    return (cost_metric(costs, business.task),)


def _judged(
    criteria: Sequence[Criterion], evaluation: Evaluation, seconds_per_row: float | None
) -> tuple[Criterion, ...]:
    """Each criterion with its verdict."""
    value, interval = evaluation.judged_score
    judged = []
    for criterion in criteria:
        if criterion.name == "beats_baseline":
            criterion = replace(criterion, wanted=evaluation.primary_score.baseline)
        if criterion.is_of_score:
            judged.append(judge(criterion, value, interval))
        elif criterion.name == "max_predict_time":
            judged.append(judge(criterion, seconds_per_row))
        else:
            judged.append(replace(criterion, verdict=NOT_BEFORE_EXPORT))
    return tuple(judged)
