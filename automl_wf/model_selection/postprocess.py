"""What is done to a blend's predictions afterwards, as part of the model: temperature, decision, residuals.

Everything is fitted on out-of-fold predictions and kept only where it helps beyond doubt, so that applying it is never
a gamble: without a gain the identity stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from automl_wf.core.costs import Costs, DecisionRule, UnitCosts
from automl_wf.core.metrics import Scoring, cost_scoring, counts_from, decide
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import softmax

__all__ = [
    "Postprocess",
    "apply_temperature",
    "decide",
    "fit_postprocess",
    "fit_residuals",
    "fit_shift",
    "fit_temperature",
    "fit_threshold",
    "scoring_rows",
    "threshold_scores",
]

#: Probabilities below this are raised to it before a logarithm is taken, here and in the ONNX graph.
SMALLEST_PROBABILITY = 1e-15
_TEMPERATURES = (0.2, 5.0)
_MIN_GAIN = 1e-4
_MAX_THRESHOLDS = 201
_MAX_RESIDUALS = 1000
_THRESHOLD_ROWS = 20_000
_BLOCKS = 5
_MIN_PER_CLASS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Postprocess:
    """What is done to predictions before they are shown.

    Parameters
    ----------
    temperature : float, default=1.0
        Probabilities become softmax(log p / temperature); 1 leaves them as they are.
    threshold : float or None
        Class 1 is predicted from this probability on (binary); None: the most probable class.
    residuals : tuple of float
        Ascending quantiles of the out-of-fold residuals: |y − ŷ| (regression) or 1 − p of the true class
        (classification). Empty where nothing was fitted.
    n_residuals : int
        Number of rows the residuals come from.
    shift : float, default=0.0
        Added to predicted values, where errors cost more in one direction (regression).
    costs : Costs or None
        The class with the least expected cost is predicted (more than two classes).
    """

    temperature: float = 1.0
    threshold: float | None = None
    residuals: tuple[float, ...] = ()
    n_residuals: int = 0
    shift: float = 0.0
    costs: Costs | None = None

    @property
    def rule(self) -> DecisionRule:
        """What a class is decided on by, as `decide` takes it."""
        return self.threshold if self.costs is None else self.costs

    def apply(self, prediction: Floats) -> Floats:
        """Scale probabilities and shift values; scores stay as they are.

        Parameters
        ----------
        prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
            Prediction of the blend.

        Returns
        -------
        ndarray of the same shape
            What `predict_proba` or `predict` shows.
        """
        if prediction.ndim == 1:
            return prediction if self.shift == 0.0 else prediction + self.shift
        if self.temperature == 1.0:
            return prediction
        return apply_temperature(prediction, self.temperature)

    def decide(self, proba: Floats) -> NDArray[np.int64]:
        """Choose a class.

        Parameters
        ----------
        proba : ndarray of shape (n_rows, n_classes)
            Probabilities that `apply` returned.

        Returns
        -------
        ndarray of int64 of shape (n_rows,)
            Class codes.
        """
        return decide(proba, self.rule)

    def residual_quantile(self, alpha: float) -> float:
        """Residual that a new row exceeds with probability of at most `alpha`.

        The ⌈(n+1)(1−α)⌉-th smallest of n residuals, the finite-sample quantile of split conformal prediction [1]_;
        infinite when n is too small for such an `alpha`. The out-of-fold residuals of all folds are pooled (the rows
        of a fold were never seen by the model that predicts them), as in CV+ [2]_.

        Parameters
        ----------
        alpha : float
            Between 0 and 1.

        Returns
        -------
        float
            In units of the target (regression) or of probability (classification).

        Raises
        ------
        InvalidParameter
            `alpha` is not between 0 and 1, or no residuals were fitted.

        References
        ----------
        .. [1] Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018). Distribution-free predictive inference for
           regression. JASA 113, 1094-1111.
        .. [2] Barber, Candès, Ramdas and Tibshirani (2021). Predictive inference with the jackknife+. Annals of
           Statistics 49, 486-507.
        """
        if not 0.0 < alpha < 1.0:
            raise InvalidParameter(f"alpha must be a number between 0 and 1, both excluded. Got {alpha!r} instead.")
        if not self.residuals:
            raise InvalidParameter(
                "No residuals are kept for this task: intervals and sets need a fitted model for "
                "regression or classification."
            )
        # 1e-9: (n + 1)(1 - alpha) of 19.000000000000004 means 19.
        wanted = math.ceil((self.n_residuals + 1) * (1.0 - alpha) - 1e-9)
        index = math.ceil(wanted * len(self.residuals) / self.n_residuals - 1e-9)
        return self.residuals[max(index, 1) - 1] if index <= len(self.residuals) else math.inf

    def interval(self, values: Floats, alpha: float) -> Floats:
        """Interval that covers a new value with probability of at least 1 − `alpha`.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            Predicted values.
        alpha : float
            Share of values that may lie outside.

        Returns
        -------
        ndarray of shape (n_rows, 2)
            Lower and upper end.
        """
        width = self.residual_quantile(alpha)
        return np.column_stack([values - width, values + width])

    def prediction_set(self, proba: Floats, alpha: float) -> NDArray[np.bool_]:
        """Classes that cannot be ruled out: together they hold the true one with probability of at least 1 − `alpha`.

        Least ambiguous set-valued classification: all classes with p >= 1 − q, where q is the conformal quantile of
        1 − p of the true class [1]_. A set may be empty: then no class is likely enough.

        Parameters
        ----------
        proba : ndarray of shape (n_rows, n_classes)
            Probabilities that `apply` returned.
        alpha : float
            Share of rows whose true class may be missing.

        Returns
        -------
        ndarray of bool of shape (n_rows, n_classes)
            Whether a class belongs to the row's set.

        References
        ----------
        .. [1] Sadinle, Lei and Wasserman (2019). Least ambiguous set-valued classifiers with bounded error levels.
           JASA 114, 223-234.
        """
        members: NDArray[np.bool_] = proba >= 1.0 - self.residual_quantile(alpha) - 1e-9
        return members


def fit_postprocess(
    prediction: Floats,
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    task: Task,
    *,
    costs: Costs | UnitCosts | None = None,
    max_calls: int | None = None,
) -> Postprocess:
    """Fit everything that suits the task on out-of-fold predictions.

    Parameters
    ----------
    prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions of the blend.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight : ndarray of shape (n_rows,) or None
        Sample weights.
    group : ndarray of shape (n_rows,) or None
        Query ids (ranking).
    scoring : Scoring
        What is optimised: a threshold is sought where it needs labels, and a temperature is dropped if it harms it.
    task : Task
        What is predicted.
    costs : Costs, UnitCosts or None, default=None
        Costs of errors that decide: two classes get the threshold that follows from them [1]_, or the one that was
        cheaper beyond doubt; more classes get the costs themselves; values are shifted (`fit_shift`).
    max_calls : int or None, default=None
        How often the metric may be called; where a threshold needs more, none is sought.

    Returns
    -------
    Postprocess
        The identity for ranking.

    References
    ----------
    .. [1] C. Elkan, The foundations of cost-sensitive learning, IJCAI 2001.
    """
    if task is Task.RANKING:
        return Postprocess()
    if not task.is_classification:
        shift = fit_shift(prediction, y, weight, costs) if isinstance(costs, UnitCosts) else 0.0
        post = Postprocess(shift=shift)
        return _with_residuals(post, np.abs(y - post.apply(prediction)), weight)
    temperature = fit_temperature(prediction, y, weight)
    if temperature != 1.0 and scoring.needs != "label":
        scaled = apply_temperature(prediction, temperature)
        before, after = scoring(y, prediction, weight, group), scoring(y, scaled, weight, group)
        temperature = temperature if after >= before - 1e-9 * abs(before) else 1.0
    post = Postprocess(temperature=temperature)
    proba = post.apply(prediction)
    is_affordable = threshold_is_affordable(max_calls)
    if isinstance(costs, Costs):
        post = _decide_by_costs(post, proba, y, weight, group, scoring, costs, is_affordable)
    elif task is Task.BINARY and scoring.needs == "label" and is_affordable:
        post = replace(post, threshold=fit_threshold(proba, y, weight, group, scoring))
    return _with_residuals(post, 1.0 - proba[np.arange(len(y)), y], weight)


def threshold_is_affordable(max_calls: int | None) -> bool:
    """Whether a threshold can be sought with so many calls of the metric; None: as many as it takes."""
    return max_calls is None or max_calls >= (_BLOCKS + 1) * _MAX_THRESHOLDS


def apply_temperature(proba: Floats, temperature: float) -> Floats:
    """Soften (temperature above 1) or sharpen probabilities: softmax(log p / temperature), row by row.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Probabilities.
    temperature : float
        Above zero.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        Probabilities.
    """
    logits = _logs(proba)
    logits /= temperature
    return softmax(logits)


def _logs(proba: Floats) -> Floats:
    logs = np.maximum(proba, SMALLEST_PROBABILITY)
    return np.log(logs, out=logs)


def fit_temperature(proba: Floats, y: NDArray[Any], weight: Floats | None = None) -> float:
    """Temperature between 0.2 and 5 with the smallest log loss.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Out-of-fold probabilities.
    y : ndarray of shape (n_rows,)
        Class codes.
    weight : ndarray of shape (n_rows,) or None
        Sample weights.

    Returns
    -------
    float
        1.0 unless the log loss falls by more than one in ten thousand.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger (2017). On calibration of modern neural networks. ICML.
    """
    logs = _logs(proba)
    true, scaled = logs[np.arange(len(y)), y], np.empty_like(logs)

    def log_loss(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        np.multiply(logs, beta, out=scaled)
        top = scaled.max(axis=1)
        np.subtract(scaled, top[:, None], out=scaled)
        normaliser = top + np.log(np.exp(scaled, out=scaled).sum(axis=1))
        return float(np.average(normaliser - true * beta, weights=weight))

    low, high = (math.log(t) for t in _TEMPERATURES)
    best = minimize_scalar(log_loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    plain = log_loss(0.0)
    return math.exp(float(best.x)) if plain - float(best.fun) > _MIN_GAIN * abs(plain) else 1.0


def fit_threshold(
    proba: Floats,
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    default: float = 0.5,
) -> float | None:
    """Threshold on the probability of class 1 with the best score.

    Candidates lie between neighbouring distinct probabilities (at most 201 of them, by quantile); ties go to the one
    nearest the default. The honest rule: the rows are cut into five blocks; a threshold chosen on four of them is
    scored on the fifth against the default, and only if these five gains are on average larger than their standard
    error is a threshold chosen on all rows kept. More than 20,000 rows are thinned.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, 2)
        Out-of-fold probabilities.
    y : ndarray of shape (n_rows,)
        Class codes 0 and 1.
    weight, group : ndarray of shape (n_rows,) or None
        Handed to `scoring`.
    scoring : Scoring
        A metric on labels.
    default : float, default=0.5
        What `scoring` decides by where no threshold is given.

    Returns
    -------
    float or None
        None: the default is as good.
    """
    rows, factor = scoring_rows(y, group, _THRESHOLD_ROWS)
    weight = _scaled(weight, factor, rows)
    proba, y, group = proba[rows], y[rows], None if group is None else group[rows]

    def scores(thresholds: Floats, at: NDArray[np.intp]) -> Floats:
        if scoring.metric is not None:
            return threshold_scores(scoring, y[at], proba[at], _at(weight, at), thresholds)
        given = (y[at], proba[at], _at(weight, at), _at(group, at))
        return np.array([scoring(*given, threshold=float(t)) for t in thresholds])

    block = _blocks(y, group)
    gains = []
    for b in range(_BLOCKS):
        train, test = np.flatnonzero(block != b), np.flatnonzero(block == b)
        if len(test) and len(train):
            best = _best_threshold(proba[train, 1], train, scores, default)
            usual = scoring(y[test], proba[test], _at(weight, test), _at(group, test))
            gains.append(float(scores(np.array([best]), test)[0]) - usual)
    if not _is_gain(gains):
        return None
    best = _best_threshold(proba[:, 1], np.arange(len(y)), scores, default)
    return None if best == default else best


def threshold_scores(
    scoring: Scoring, y: NDArray[Any], proba: Floats, weight: Floats | None, thresholds: Floats
) -> Floats:
    """Scores of many thresholds at once: a metric of two classes sees nothing but the four cells of the confusion.

    Parameters
    ----------
    scoring : Scoring
        A metric of METRICS, or of costs, on labels.
    y : ndarray of shape (n_rows,)
        Class codes 0 and 1.
    proba : ndarray of shape (n_rows, 2)
        Probabilities.
    weight : ndarray of shape (n_rows,) or None
        Sample weights.
    thresholds : ndarray of shape (n_thresholds,)
        On the probability of class 1.

    Returns
    -------
    ndarray of shape (n_thresholds,)
        Greater is better; what `scoring` gives for each of them.

    Raises
    ------
    TypeError
        The scorer is not one of METRICS.
    """
    if scoring.metric is None:
        raise TypeError(f"{scoring.name} has no metric that takes weights by draw: call it for each threshold")
    hits, alarms, n_positive, n_negative = counts_from(y == 1, np.ascontiguousarray(proba[:, 1]), weight, thresholds)
    cells = np.column_stack([n_negative - alarms, n_positive - hits, alarms, hits])
    truth, decided = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    if scoring.pos_index == 0:
        truth, decided = 1 - truth, 1 - decided
    values = np.asarray(scoring.metric.evaluate(truth, decided, np.maximum(cells, 0.0)), dtype=np.float64)
    return values if scoring.greater_is_better else -values


def fit_shift(prediction: Floats, y: Floats, weight: Floats | None, costs: UnitCosts) -> float:
    """What to add to predicted values so that errors cost least: the quantile of the residuals that the costs imply.

    Kept by the rule of `fit_threshold`: chosen on four blocks of rows and judged on the fifth, five times, it has to
    be cheaper on average by more than its standard error.

    Parameters
    ----------
    prediction, y : ndarray of shape (n_rows,)
        Out-of-fold predictions, and the truth.
    weight : ndarray of shape (n_rows,) or None
        Sample weights.
    costs : UnitCosts
        Cost of a unit too much and of a unit too little.

    Returns
    -------
    float
        In units of the target; 0 unless it helps.

    References
    ----------
    .. [1] R. Koenker and G. Bassett, Regression quantiles, Econometrica 46, 1978.
    """
    residual = y - prediction

    block = _blocks(y, None)
    gains = []
    for b in range(_BLOCKS):
        train, test = np.flatnonzero(block != b), np.flatnonzero(block == b)
        if len(test) and len(train):
            saved = costs.of_rows(residual[test], np.zeros(len(test)))
            saved -= costs.of_rows(residual[test], np.full(len(test), costs.shift(residual[train], _at(weight, train))))
            gains.append(float(np.average(saved, weights=_at(weight, test))))
    return costs.shift(residual, weight) if _is_gain(gains) else 0.0


def fit_residuals(residuals: Floats, weight: Floats | None = None) -> tuple[float, ...]:
    """Ascending quantiles of residuals: all of them up to 1,000 rows, else 1,000, each rounded up.

    Parameters
    ----------
    residuals : ndarray of shape (n_rows,)
        Not negative.
    weight : ndarray of shape (n_rows,) or None
        Sample weights: a row counts as its share of their sum.

    Returns
    -------
    tuple of float
        For `Postprocess.residuals`.
    """
    order = np.argsort(residuals, kind="stable")
    n, ascending = len(residuals), residuals[order]
    weight = np.ones(n) if weight is None else weight[order]
    reached = np.cumsum(weight) / weight.sum() * n
    size = min(n, _MAX_RESIDUALS)
    wanted = np.arange(1, size + 1) * (n / size)
    index = np.searchsorted(reached, wanted - 1e-9 * n)
    return tuple(float(r) for r in ascending[np.minimum(index, n - 1)])


def scoring_rows(
    y: NDArray[Any], group: NDArray[np.int64] | None, limit: int
) -> tuple[NDArray[np.intp] | slice, Floats | None]:
    """About `limit` rows to score on, ascending, always the same ones: by class, or whole queries.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Integers are classes and keep their shares, though at least 100 rows of each class stay.
    group : ndarray of shape (n_rows,) or None
        Query ids: queries stay whole.
    limit : int
        Number of rows wanted.

    Returns
    -------
    rows : ndarray of int or slice
        All rows if there are no more than `limit`.
    factor : ndarray of shape (n_rows_kept,) or None
        What weights must be multiplied with where a rare class keeps more than its share.
    """
    if len(y) <= limit:
        return slice(None), None
    rng, share = np.random.default_rng(0), limit / len(y)
    if group is not None:
        ids = np.unique(group)
        chosen = rng.permutation(ids)[: max(1, round(len(ids) * share))]
        return np.flatnonzero(np.isin(group, chosen)), None
    if y.dtype.kind not in "iu":
        return np.sort(rng.permutation(len(y))[:limit]), None
    codes, counts = np.unique(y, return_counts=True)
    kept = np.maximum(np.round(counts * share).astype(np.intp), np.minimum(counts, _MIN_PER_CLASS))
    picks = [rng.permutation(np.flatnonzero(y == code))[:k] for code, k in zip(codes, kept, strict=True)]
    rows = np.sort(np.concatenate(picks))
    if np.all(kept <= np.ceil(counts * share)):
        return rows, None
    return rows, (counts / kept * share)[np.searchsorted(codes, y[rows])]


def _is_gain(gains: list[float]) -> bool:
    """Whether gains on blocks of rows are on average larger than their standard error."""
    gain = np.asarray(gains)[np.isfinite(gains)]
    return len(gain) >= 2 and bool(gain.mean() > gain.std(ddof=1) / math.sqrt(len(gain)))


def _decide_by_costs(
    post: Postprocess,
    proba: Floats,
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    costs: Costs,
    is_affordable: bool,
) -> Postprocess:
    """The decision that costs least; of two classes a threshold that was better beyond doubt, if there is one."""
    if proba.shape[1] > 2:
        return replace(post, costs=costs.scaled())
    judge = scoring if scoring.needs == "label" else cost_scoring(costs.scaled(), Task.BINARY)
    found = fit_threshold(proba, y, weight, group, judge, costs.threshold) if is_affordable else None
    return replace(post, threshold=costs.threshold if found is None else found)


def _best_threshold(
    p1: Floats, at: NDArray[np.intp], scores: Callable[[Floats, NDArray[np.intp]], Floats], default: float
) -> float:
    distinct = np.unique(p1)
    if len(distinct) > _MAX_THRESHOLDS:
        distinct = np.unique(np.quantile(p1, np.linspace(0.0, 1.0, _MAX_THRESHOLDS)))
    candidates = np.append((distinct[1:] + distinct[:-1]) / 2.0, default)
    candidates = candidates[np.argsort(np.abs(candidates - default), kind="stable")]
    found = np.nan_to_num(scores(candidates, at), nan=-np.inf)
    return float(candidates[np.argmax(found >= found.max() - 1e-12)])


def _blocks(y: NDArray[Any], group: NDArray[np.int64] | None) -> NDArray[np.intp]:
    """Number of a block, 0 … 4, per row: classes are spread evenly, queries stay whole."""
    if group is not None:
        return np.asarray(np.unique(group, return_inverse=True)[1] % _BLOCKS, dtype=np.intp)
    order = np.argsort(y, kind="stable")
    block = np.empty(len(y), dtype=np.intp)
    block[order] = np.arange(len(y)) % _BLOCKS
    return block


def _with_residuals(post: Postprocess, residuals: Floats, weight: Floats | None) -> Postprocess:
    return replace(post, residuals=fit_residuals(residuals, weight), n_residuals=len(residuals))


def _at(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]


def _scaled(weight: Floats | None, factor: Floats | None, rows: NDArray[np.intp] | slice) -> Floats | None:
    if weight is None:
        return factor
    scaled: Floats = weight[rows] if factor is None else weight[rows] * factor
    return scaled
