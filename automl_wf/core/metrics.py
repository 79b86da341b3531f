"""Metrics: one table of what is measured, and one object that the search, the evaluation and the card score with.

`METRICS` holds each metric in its natural form (a loss is a loss). `resolve_scoring` turns what a user wrote, any
scikit-learn scorer included, into a `Scoring`, of which greater is always better. Everything works on predictions that
are already there: a scorer that wants an estimator is given one that answers with them.

Functions of `METRICS` take weights of shape (n_rows,) or (n_draws, n_rows): a bootstrap is then one call, not hundreds.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from automl_wf.core.costs import Costs, DecisionRule, UnitCosts
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter

Needs = Literal["proba", "label", "value", "score"]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Result = np.float64 | Floats
Scorer = Callable[..., Any]

#: Probabilities closer than this are equal: `predict` and the exported graph decide alike.
TIE = 1e-9
#: Rows looked at by `precision_at_k`.
TOP_K = 10


def decide(proba: Floats, threshold: DecisionRule = None) -> Codes:
    """Class codes from probabilities: the one rule that `predict`, every metric and the graph share.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Probabilities.
    threshold : float, Costs or None, default=None
        Binary: class 1 is chosen where its probability is at least this. Costs: the class with the least expected
        cost. None: the most probable class.

    Returns
    -------
    ndarray of shape (n_rows,)
        The first class whose probability is within 1e-9 of the row's largest; with a threshold, 1 where
        ``proba[:, 1] >= threshold - 1e-9``; with costs, the first class whose expected cost is within 1e-9 of the
        row's smallest.

    Examples
    --------
    >>> decide(np.array([[0.5, 0.5], [0.4, 0.6]])).tolist()
    [0, 1]
    >>> decide(np.array([[0.5, 0.5], [0.4, 0.6]]), threshold=0.5).tolist()
    [1, 1]
    >>> decide(np.array([[0.8, 0.1, 0.1]]), Costs(((0, 1, 1), (1, 0, 1), (9, 9, 0)))).tolist()
    [2]
    """
    if isinstance(threshold, Costs):
        expected = threshold.expected(proba)
        smallest = expected.min(axis=1, keepdims=True)
        return np.asarray(np.argmax(expected <= smallest + TIE, axis=1), dtype=np.int64)
    if threshold is not None:
        return np.asarray(proba[:, 1] >= threshold - TIE, dtype=np.int64)
    if proba.shape[1] == 2:
        largest = np.maximum(proba[:, 0], proba[:, 1])
        return np.asarray(proba[:, 0] < largest - TIE, dtype=np.int64)
    return np.asarray(np.argmax(proba >= proba.max(axis=1, keepdims=True) - TIE, axis=1), dtype=np.int64)


# --- arithmetic shared by the metrics --------------------------------------------------------------------------------


def _ratio(numerator: Any, denominator: Any, empty: float = np.nan) -> Any:
    """Element by element; `empty` where the denominator is zero."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    out = np.full(numerator.shape, empty)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)[()]


def _mean(values: Floats, weight: Floats | None) -> Any:
    """Mean over rows, per draw if the weights have draws."""
    if weight is None:
        return np.mean(values) if len(values) else np.float64(np.nan)
    # Not BLAS: its sums may differ in the last bit with the number of threads.
    return _ratio(np.einsum("...n,n->...", weight, values), weight.sum(axis=-1))


def weighted_median(values: Floats, weight: Floats | None = None) -> Any:
    """Median; the mean of both middle values where the weights split evenly between them.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        At least one.
    weight : ndarray of shape (n_rows,) or (n_draws, n_rows), or None, default=None
        Weights; an integer weight means the same as a repeated row.

    Returns
    -------
    float or ndarray of shape (n_draws,)
        One median per draw.
    """
    if weight is None:
        return np.median(values)
    order = np.argsort(values)
    cumulated = np.cumsum(weight[..., order], axis=-1)
    half = cumulated[..., -1:] / 2
    last = len(values) - 1
    low = np.minimum((cumulated < half).sum(axis=-1), last)
    high = np.minimum((cumulated <= half).sum(axis=-1), last)
    return (values[order][low] + values[order][high]) / 2


# --- classification: labels ------------------------------------------------------------------------------------------


def class_totals(y: Codes, codes: Codes, weight: Floats | None, n_classes: int) -> tuple[Any, Any, Any]:
    """Weight of the rows hit, predicted and actual, per class.

    Parameters
    ----------
    y, codes : ndarray of shape (n_rows,)
        True and predicted class codes.
    weight : ndarray of shape (n_rows,) or (n_draws, n_rows), or None
        Row weights.
    n_classes : int
        Number of classes K.

    Returns
    -------
    hit, predicted, actual : ndarray of shape (K,) or (n_draws, K)
        Diagonal, column sums and row sums of the confusion matrix.
    """
    is_hit = y == codes
    if weight is None or weight.ndim == 1:
        of_hits = None if weight is None else weight[is_hit]
        return (
            np.bincount(y[is_hit], of_hits, n_classes).astype(np.float64),
            np.bincount(codes, weight, n_classes).astype(np.float64),
            np.bincount(y, weight, n_classes).astype(np.float64),
        )
    classes = np.arange(n_classes)
    actual, predicted = (y[:, None] == classes).astype(np.float64), (codes[:, None] == classes).astype(np.float64)
    return weight @ (actual * predicted), weight @ predicted, weight @ actual


def _totals(y: Codes, codes: Codes, weight: Floats | None) -> tuple[Any, Any, Any]:
    n_classes = max(int(y.max(initial=1)), int(codes.max(initial=1))) + 1
    return class_totals(y, codes, weight, n_classes)


def _per_class(kind: str, hit: Any, predicted: Any, actual: Any) -> Any:
    if kind == "precision":
        return _ratio(hit, predicted, 0.0)
    if kind == "recall":
        return _ratio(hit, actual, 0.0)
    return _ratio(2 * hit, predicted + actual, 0.0)


def _of_positive(kind: str, y: Codes, codes: Codes, weight: Floats | None, group: Codes | None) -> Any:
    """Precision, recall or F1 of class 1; 0 where its denominator is."""
    return _per_class(kind, *_totals(y, codes, weight))[..., 1]


def _macro(kind: str, y: Codes, codes: Codes, weight: Floats | None, group: Codes | None) -> Any:
    """Unweighted mean over the classes that are true or predicted somewhere."""
    hit, predicted, actual = _totals(y, codes, weight)
    is_there = predicted + actual > 0
    return _ratio((_per_class(kind, hit, predicted, actual) * is_there).sum(axis=-1), is_there.sum(axis=-1))


def _accuracy(y: Codes, codes: Codes, weight: Floats | None, group: Codes | None) -> Any:
    return _mean((y == codes).astype(np.float64), weight)


def _balanced_accuracy(y: Codes, codes: Codes, weight: Floats | None, group: Codes | None) -> Any:
    """Mean recall over the classes that are there (Brodersen et al. 2010)."""
    hit, _, actual = _totals(y, codes, weight)
    return _ratio(_ratio(hit, actual, 0.0).sum(axis=-1), (actual > 0).sum(axis=-1))


# --- classification: probabilities -----------------------------------------------------------------------------------


def threshold_counts(is_positive: NDArray[np.bool_], score: Floats, weight: Floats | None) -> tuple[Any, Any, Floats]:
    """True and false positives at each distinct threshold.

    Parameters
    ----------
    is_positive : ndarray of shape (n_rows,)
        Whether a row is of the positive class.
    score : ndarray of shape (n_rows,)
        The larger, the more likely positive.
    weight : ndarray of shape (n_rows,) or (n_draws, n_rows), or None
        Row weights.

    Returns
    -------
    true_positives, false_positives : ndarray of shape (n_thresholds,) or (n_draws, n_thresholds)
        Weight of the rows whose score is at least the threshold.
    thresholds : ndarray of shape (n_thresholds,)
        Distinct scores, falling.
    """
    order = np.argsort(score)[::-1]
    falling = score[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(score) - 1)
    positive = is_positive[order].astype(np.float64)
    if weight is None:
        hits = np.cumsum(positive)[ends]
        return hits, ends + 1.0 - hits, falling[ends]
    ordered = weight[..., order]
    hits = np.cumsum(ordered * positive, axis=-1)[..., ends]
    return hits, np.cumsum(ordered * (1 - positive), axis=-1)[..., ends], falling[ends]


def counts_from(
    is_positive: NDArray[np.bool_], score: Floats, weight: Floats | None, thresholds: Floats
) -> tuple[Floats, Floats, float, float]:
    """True and false positives if rows count as positive from given thresholds on, as `decide` has it.

    Parameters
    ----------
    is_positive : ndarray of shape (n_rows,)
        Whether a row is of the positive class.
    score : ndarray of shape (n_rows,)
        The larger, the more likely positive.
    weight : ndarray of shape (n_rows,) or None
        Row weights.
    thresholds : ndarray of shape (n_thresholds,)
        In any order.

    Returns
    -------
    true_positives, false_positives : ndarray of shape (n_thresholds,)
        Weight of the rows whose score is at least the threshold, but for rounding.
    n_positive, n_negative : float
        Weight of all rows of either class.
    """
    hits, alarms, falling = threshold_counts(is_positive, score, weight)
    n_passed = np.searchsorted(-falling, -(thresholds - TIE), side="right")
    found, raised = np.append(0.0, hits)[n_passed], np.append(0.0, alarms)[n_passed]
    return found, raised, float(hits[-1]), float(alarms[-1])


def _steps(cumulated: Any) -> Any:
    return np.diff(cumulated, axis=-1, prepend=0.0)


def _area_under_roc(is_positive: NDArray[np.bool_], score: Floats, weight: Floats | None) -> Any:
    hits, alarms, _ = threshold_counts(is_positive, score, weight)
    area = (_steps(alarms) * (hits - _steps(hits) / 2)).sum(axis=-1)
    return _ratio(area, hits[..., -1] * alarms[..., -1])


def _average_precision_of(is_positive: NDArray[np.bool_], score: Floats, weight: Floats | None) -> Any:
    hits, alarms, _ = threshold_counts(is_positive, score, weight)
    precision = _ratio(hits, hits + alarms, 0.0)
    return _ratio((_steps(hits) * precision).sum(axis=-1), hits[..., -1])


def _positive_column(proba: Floats) -> Floats:
    return np.ascontiguousarray(proba[:, 1])


def _roc_auc(y: Codes, proba: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Probability that a positive row is scored above a negative one, ties counting half (Hanley & McNeil 1982)."""
    return _area_under_roc(y == 1, _positive_column(proba), weight)


def _roc_auc_ovr_weighted(y: Codes, proba: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """One class against the rest, weighted by how frequent the class is; classes not there are left out."""
    areas, shares = [], []
    for k in np.flatnonzero(np.bincount(y, minlength=proba.shape[1])):
        areas.append(_area_under_roc(y == k, np.ascontiguousarray(proba[:, k]), weight))
        shares.append(_mean((y == k).astype(np.float64), weight))
    area, share = np.array(areas), np.array(shares)
    share = np.where(np.isnan(area), 0.0, share)
    return _ratio((np.nan_to_num(area) * share).sum(axis=0), share.sum(axis=0))


def _average_precision(y: Codes, proba: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Of class 1; with more than two classes the mean over those that are there."""
    if proba.shape[1] == 2:
        return _average_precision_of(y == 1, _positive_column(proba), weight)
    present = np.flatnonzero(np.bincount(y, minlength=proba.shape[1]))
    values = np.array([_average_precision_of(y == k, np.ascontiguousarray(proba[:, k]), weight) for k in present])
    return _ratio(np.nan_to_num(values).sum(axis=0), (~np.isnan(values)).sum(axis=0))


def _log_loss(y: Codes, proba: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Mean of ``-log p[y]``, probabilities clipped at the machine's epsilon as scikit-learn does."""
    eps = np.finfo(np.float64).eps
    return _mean(-np.log(np.clip(proba[np.arange(len(y)), y], eps, 1 - eps)), weight)


def _brier(y: Codes, proba: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Mean squared error of the probabilities: of class 1, or summed over more than two classes (Brier 1950)."""
    if proba.shape[1] == 2:
        return _mean((proba[:, 1] - y) ** 2, weight)
    hit = proba[np.arange(len(y)), y]
    return _mean((proba**2).sum(axis=1) - hit**2 + (1 - hit) ** 2, weight)


# --- regression ------------------------------------------------------------------------------------------------------


def _mse(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    return _mean((y - value) ** 2, weight)


def _rmse(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    return np.sqrt(_mean((y - value) ** 2, weight))


def _mae(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    return _mean(np.abs(y - value), weight)


def _median_absolute_error(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    return weighted_median(np.abs(y - value), weight)


def _mape(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """As a fraction of the truth; huge where the truth is 0, as in scikit-learn."""
    return _mean(np.abs(y - value) / np.maximum(np.abs(y), np.finfo(np.float64).eps), weight)


def _wape(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Sum of the absolute errors as a share of the sum of |truth|: defined where single truths are 0."""
    return _ratio(_mean(np.abs(y - value), weight), _mean(np.abs(y), weight))


def _r2(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Share of the variance explained; of a constant truth 1 if it is met and 0 otherwise, as in scikit-learn."""
    if len(y) < 2:
        return np.float64(np.nan)
    error, centre = _mean((y - value) ** 2, weight), _mean(y, weight)
    squares = (y - np.asarray(centre)[..., None]) ** 2
    spread = squares.mean() if weight is None else _ratio((weight * squares).sum(axis=-1), weight.sum(axis=-1))
    return np.where(spread == 0, np.where(error == 0, 1.0, 0.0), 1 - _ratio(error, spread))[()]


def _directional_accuracy(y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Share of rows predicted on the right side of the median of the truth, which is what the baseline predicts."""
    centre = np.asarray(weighted_median(y, weight))[..., None]
    is_right = (y > centre) == (value > centre)
    return is_right.mean() if weight is None else _ratio((weight * is_right).sum(axis=-1), weight.sum(axis=-1))


# --- ranking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ranked:
    """Rows in order of query and falling score; a run is a set of equal scores within a query."""

    order: NDArray[np.intp]
    query_starts: NDArray[np.intp]
    query: NDArray[np.intp]
    position: Floats
    run_starts: NDArray[np.intp]
    run: NDArray[np.intp]

    @classmethod
    def of(cls, score: Floats, group: Codes | None) -> _Ranked:
        group = np.zeros(len(score), dtype=np.int64) if group is None else group
        order = np.lexsort((-score, group))
        queries, scores = group[order], score[order]
        is_query_start = np.append(True, queries[1:] != queries[:-1])
        is_run_start = is_query_start | np.append(True, scores[1:] != scores[:-1])
        query, query_starts = np.cumsum(is_query_start) - 1, np.flatnonzero(is_query_start)
        position = np.arange(len(score)) - query_starts[query] + 1.0
        return cls(order, query_starts, query, position, np.flatnonzero(is_run_start), np.cumsum(is_run_start) - 1)

    @property
    def query_sizes(self) -> NDArray[np.intp]:
        return np.diff(self.query_starts, append=len(self.order))

    @property
    def run_sizes(self) -> NDArray[np.intp]:
        return np.diff(self.run_starts, append=len(self.order))

    def by_query(self, values: Floats) -> Any:
        return np.add.reduceat(values, self.query_starts, axis=-1)

    def run_means(self, values: Floats) -> Floats:
        """Each row's value replaced by the mean over its run: what is expected of it in a random order of ties."""
        means: Floats = np.add.reduceat(values, self.run_starts) / self.run_sizes
        return means[self.run]

    def is_counted(self, y: Floats) -> NDArray[np.bool_]:
        """Queries with two different grades at least: the others say nothing about the order."""
        grades = y[self.order]
        is_mixed: NDArray[np.bool_] = np.maximum.reduceat(grades, self.query_starts) > np.minimum.reduceat(
            grades, self.query_starts
        )
        return is_mixed

    def mean(self, y: Floats, values: Floats, weight: Floats | None) -> Any:
        """Mean over the counted queries; a query weighs as much as its rows do on average."""
        is_counted = self.is_counted(y)
        if weight is None:
            return _mean(values[is_counted], None)
        weights = self.by_query(weight[..., self.order]) / self.query_sizes
        return _mean(values[is_counted], weights[..., is_counted])


def query_ndcg(y: Floats, score: Floats, group: Codes | None, k: int | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Normalised discounted cumulative gain of each query, with gain ``2**grade - 1``.

    Parameters
    ----------
    y, score : ndarray of shape (n_rows,)
        Relevance grades, 0 or more, and scores. Rows with equal scores come in every order equally often: the value is
        the expected one, so that the order of the rows cannot help a model that does not order.
    group : ndarray of shape (n_rows,) or None
        Query of each row; rows of a query need not be adjacent. None: one query.
    k : int or None, default=None
        Only the first k places count. None: all.

    Returns
    -------
    values : ndarray of shape (n_queries,)
        In order of the query ids; NaN where no grade is above 0.
    is_counted : ndarray of shape (n_queries,)
        Whether the query has two different grades at least.

    References
    ----------
    K. Järvelin and J. Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002.
    F. McSherry and M. Najork, Computing information retrieval performance measures efficiently in the presence of
    tied scores, ECIR 2008.
    """
    ranked = _Ranked.of(score, group)
    return _ndcg_by_query(ranked, y, group, k), ranked.is_counted(y)


def _ndcg_by_query(ranked: _Ranked, y: Floats, group: Codes | None, k: int | None) -> Any:
    ideal = _Ranked.of(y, group)
    gain = np.exp2(y) - 1
    discount = 1 / np.log2(ranked.position + 1)
    if k is not None:
        discount = np.where(ranked.position <= k, discount, 0.0)
    reached = ranked.by_query(ranked.run_means(gain[ranked.order]) * discount)
    return _ratio(reached, ideal.by_query(gain[ideal.order] * discount))


def _ndcg(k: int | None, y: Floats, score: Floats, weight: Floats | None, group: Codes | None) -> Any:
    ranked = _Ranked.of(score, group)
    return ranked.mean(y, _ndcg_by_query(ranked, y, group, k), weight)


def _map(y: Floats, score: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Mean average precision; a grade above 0 is relevant; expected value over tied scores (McSherry & Najork 2008)."""
    ranked = _Ranked.of(score, group)
    relevant = (y[ranked.order] > 0).astype(np.float64)
    size = ranked.run_sizes[ranked.run]
    in_run = ranked.run_means(relevant) * size
    before_run = (np.cumsum(relevant) - relevant)[ranked.run_starts][ranked.run]
    before_query = (np.cumsum(relevant) - relevant)[ranked.query_starts][ranked.query]
    place = ranked.position - ranked.position[ranked.run_starts][ranked.run]
    above = before_run - before_query + place * (in_run - 1) / np.maximum(size - 1, 1)
    precision = ranked.by_query(in_run / size * (above + 1) / ranked.position)
    return ranked.mean(y, _ratio(precision, ranked.by_query(relevant), 0.0), weight)


def _mrr(y: Floats, score: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Mean of 1 / place of the first relevant row; expected value over tied scores (McSherry & Najork 2008)."""
    ranked = _Ranked.of(score, group)
    relevant = (y[ranked.order] > 0).astype(np.float64)
    size = ranked.run_sizes[ranked.run]
    place = ranked.position - ranked.position[ranked.run_starts][ranked.run]
    others = np.round(size - ranked.run_means(relevant) * size)
    # The chance that a place is not relevant, given that no place above it is.
    chance = np.maximum(others - place, 0.0) / (size - place)
    logs = np.where(chance > 0, np.log(np.where(chance > 0, chance, 1.0)), 0.0)
    hopes = np.cumsum(logs) - (np.cumsum(logs) - logs)[ranked.query_starts][ranked.query]
    certain = np.cumsum(chance == 0)
    is_over = certain - (certain - (chance == 0))[ranked.query_starts][ranked.query] > 0
    none_yet = np.where(is_over, 0.0, np.exp(hopes))
    none_above = np.append(1.0, none_yet[:-1])
    none_above[ranked.query_starts] = 1.0
    return ranked.mean(y, ranked.by_query((none_above - none_yet) / ranked.position), weight)


def _precision_at_k(k: int, y: Floats, score: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Share of relevant rows among the first k, or among all of a query that has fewer; expected value over ties."""
    ranked = _Ranked.of(score, group)
    expected = ranked.run_means((y[ranked.order] > 0).astype(np.float64))
    hits = ranked.by_query(np.where(ranked.position <= k, expected, 0.0))
    return ranked.mean(y, hits / np.minimum(ranked.query_sizes, k), weight)


def top_rows(score: Floats, group: Codes | None, k: int = TOP_K) -> NDArray[np.bool_]:
    """Which rows come to the first k places of their query; equal scores in the order of the rows.

    Parameters
    ----------
    score : ndarray of shape (n_rows,)
        Greater comes first.
    group : ndarray of shape (n_rows,) or None
        Query of each row. None: one query.
    k : int, default=10
        Places.

    Returns
    -------
    ndarray of bool of shape (n_rows,)
        Whether a row is shown.
    """
    ranked = _Ranked.of(score, group)
    is_shown = np.zeros(len(score), dtype=bool)
    is_shown[ranked.order] = ranked.position <= k
    return is_shown


def mean_of_top(values: Floats, score: Floats, group: Codes | None, k: int = TOP_K) -> float:
    """Mean of what the rows in the first k places of their query have; its expected value over tied scores.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Clicks, sales, grades; rows without a value (NaN) take a place but do not count.
    score : ndarray of shape (n_rows,)
        Greater comes first.
    group : ndarray of shape (n_rows,) or None
        Query of each row. None: one query.
    k : int, default=10
        Places.

    Returns
    -------
    float
        NaN where no value is known.
    """
    ranked = _Ranked.of(score, group)
    ordered, is_shown = values[ranked.order], ranked.position <= k
    is_known = ~np.isnan(ordered)
    total = ranked.run_means(np.where(is_known, ordered, 0.0))[is_shown].sum()
    return float(_ratio(total, ranked.run_means(is_known.astype(np.float64))[is_shown].sum()))


# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """One metric in its natural form.

    Parameters
    ----------
    name : str
        Its name in facts, card and tests.
    label : str
        In words.
    tasks : frozenset of Task
        Tasks it is for.
    greater_is_better : bool
        False for losses.
    bounds : tuple of float
        Smallest and largest possible value.
    needs : {"proba", "label", "value", "score"}
        What it is computed from: probabilities (n_rows, n_classes), class codes, values or ranking scores (n_rows,).
    function : callable
        ``function(y, prediction, weight, group)``; weights may have a leading axis of draws, as the result then has.
        NaN where the rows do not define it.
    scoring : str or None
        The name by which a user asks for it: scikit-learn's where it has one. None: it is reported, never optimised.
    """

    name: str
    label: str
    tasks: frozenset[Task]
    greater_is_better: bool
    bounds: tuple[float, float]
    needs: Needs
    function: Callable[[Any, Any, Any, Any], Any]
    scoring: str | None

    def evaluate(
        self,
        y: NDArray[Any],
        prediction: NDArray[Any],
        weight: Floats | None = None,
        group: Codes | None = None,
        threshold: DecisionRule = None,
    ) -> Any:
        """The metric's value.

        Parameters
        ----------
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
            Probabilities (or class codes, for a metric that needs labels), values or scores.
        weight : ndarray of shape (n_rows,) or (n_draws, n_rows), or None
            Row weights.
        group : ndarray of shape (n_rows,) or None
            Query of each row.
        threshold : float, Costs or None
            What a class is decided on by, as for `decide`.

        Returns
        -------
        float or ndarray of shape (n_draws,)
            NaN where undefined.
        """
        if self.needs == "label" and prediction.ndim == 2:
            prediction = decide(prediction, threshold)
        # A mean of ones can be larger than one by the last bit.
        return np.clip(self.function(y, prediction, weight, group), *self.bounds)


def _tabulate() -> dict[str, Metric]:
    inf = float("inf")
    binary, multiclass = frozenset({Task.BINARY}), frozenset({Task.MULTICLASS})
    both, regression, ranking = binary | multiclass, frozenset({Task.REGRESSION}), frozenset({Task.RANKING})
    share = (0.0, 1.0)
    rows = [
        Metric("accuracy", "accuracy", both, True, share, "label", _accuracy, "accuracy"),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            both,
            True,
            share,
            "label",
            _balanced_accuracy,
            "balanced_accuracy",
        ),
    ]
    for kind, word in (("precision", "precision"), ("recall", "recall"), ("f1", "F1")):
        rows.append(Metric(kind, word, binary, True, share, "label", partial(_of_positive, kind), kind))
        name = f"{kind}_macro"
        rows.append(Metric(name, f"macro {word}", multiclass, True, share, "label", partial(_macro, kind), name))
    ovr, ap, mdae, direction = (
        "roc_auc_ovr_weighted",
        "average_precision",
        "median_absolute_error",
        "directional_accuracy",
    )
    mape = "mean_absolute_percentage_error"
    rows += [
        Metric("roc_auc", "ROC AUC", binary, True, share, "proba", _roc_auc, "roc_auc"),
        Metric(ovr, "ROC AUC (one-vs-rest)", multiclass, True, share, "proba", _roc_auc_ovr_weighted, ovr),
        Metric(ap, "average precision", both, True, share, "proba", _average_precision, ap),
        Metric("log_loss", "log loss", both, False, (0.0, inf), "proba", _log_loss, "neg_log_loss"),
        Metric("brier", "Brier score", both, False, (0.0, 2.0), "proba", _brier, "neg_brier_score"),
        Metric("mse", "mean squared error", regression, False, (0.0, inf), "value", _mse, "neg_mean_squared_error"),
        Metric("rmse", "RMSE", regression, False, (0.0, inf), "value", _rmse, "neg_root_mean_squared_error"),
        Metric("mae", "mean absolute error", regression, False, (0.0, inf), "value", _mae, "neg_mean_absolute_error"),
        Metric("r2", "R²", regression, True, (-inf, 1.0), "value", _r2, "r2"),
        Metric("mape", "mean absolute percentage error", regression, False, (0.0, inf), "value", _mape, f"neg_{mape}"),
        Metric(
            mdae,
            "median absolute error",
            regression,
            False,
            (0.0, inf),
            "value",
            _median_absolute_error,
            f"neg_{mdae}",
        ),
        Metric("wape", "weighted absolute percentage error", regression, False, (0.0, inf), "value", _wape, None),
        Metric(direction, "directional accuracy", regression, True, share, "value", _directional_accuracy, None),
        Metric("ndcg", "NDCG", ranking, True, share, "score", partial(_ndcg, None), "ndcg"),
        Metric("ndcg_at_10", "NDCG@10", ranking, True, share, "score", partial(_ndcg, 10), "ndcg_at_10"),
        Metric("map", "mean average precision", ranking, True, share, "score", _map, "map"),
        Metric("mrr", "mean reciprocal rank", ranking, True, share, "score", _mrr, "mrr"),
        Metric(
            "precision_at_k",
            f"precision@{TOP_K}",
            ranking,
            True,
            share,
            "score",
            partial(_precision_at_k, TOP_K),
            "precision_at_k",
        ),
    ]
    return {row.name: row for row in rows}


#: Every metric by name.
METRICS: Mapping[str, Metric] = MappingProxyType(_tabulate())


def metrics_for(task: Task) -> tuple[Metric, ...]:
    """The metrics of a task, in the order of the table."""
    return tuple(m for m in METRICS.values() if task in m.tasks)


# --- scoring ---------------------------------------------------------------------------------------------------------

_REGRESSION_SCORERS = frozenset(
    {
        "d2_absolute_error_score",
        "explained_variance",
        "neg_max_error",
        "neg_mean_absolute_error",
        "neg_mean_absolute_percentage_error",
        "neg_mean_gamma_deviance",
        "neg_mean_poisson_deviance",
        "neg_mean_squared_error",
        "neg_mean_squared_log_error",
        "neg_median_absolute_error",
        "neg_root_mean_squared_error",
        "neg_root_mean_squared_log_error",
        "r2",
    }
)
_BINARY_SCORERS = frozenset({"jaccard", "neg_negative_likelihood_ratio", "positive_likelihood_ratio"})
_MULTICLASS_SCORERS = frozenset({"top_k_accuracy"})
_MULTILABEL_SCORERS = frozenset({"f1_samples", "jaccard_samples", "precision_samples", "recall_samples"})
_PROBA_SCORERS = frozenset(
    {
        "d2_brier_score",
        "d2_log_loss_score",
        "roc_auc_ovo",
        "roc_auc_ovo_weighted",
        "roc_auc_ovr",
        "roc_auc_ovr_weighted",
        "top_k_accuracy",
    }
)
#: scikit-learn refuses these names on more than two classes; here they mean the average named.
_MULTICLASS_MEANING = {
    "f1": "f1_macro",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "roc_auc": "roc_auc_ovr_weighted",
}


class _Replay(BaseEstimator):  # type: ignore[misc]
    """A fitted estimator that answers with predictions made earlier; its X is the index of each row.

    Parameters
    ----------
    prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
        What it answers with.
    labels : ndarray of shape (n_rows,) or None
        The labels decided on, for a classifier.
    classes : ndarray of shape (n_classes,) or None
        The classes in the words that y is in, for a classifier.
    """

    def __init__(
        self,
        prediction: NDArray[Any],
        labels: NDArray[Any] | None = None,
        classes: NDArray[Any] | None = None,
    ) -> None:
        self.prediction, self.labels, self.classes = prediction, labels, classes

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[Any]:
        answers = self.prediction if self.labels is None else self.labels
        return np.asarray(answers[np.asarray(X).reshape(-1)])


class _ReplayRegressor(RegressorMixin, _Replay):  # type: ignore[misc]
    """Values, or ranking scores."""


class _ReplayClassifier(ClassifierMixin, _Replay):  # type: ignore[misc]
    """Probabilities, and the labels that follow from them."""

    @property
    def classes_(self) -> NDArray[Any]:
        return np.asarray(self.classes)

    def predict_proba(self, X: Any) -> Floats:
        proba: Floats = self.prediction[np.asarray(X).reshape(-1)]
        return proba

    def predict_log_proba(self, X: Any) -> Floats:
        logs: Floats = np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny))
        return logs

    def decision_function(self, X: Any) -> Floats:
        """Log odds of class 1, or the logarithms of more than two probabilities."""
        logs = self.predict_log_proba(X)
        return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs


@dataclass(frozen=True)
class Scoring:
    """What is optimised and compared; greater is always better.

    Made by `resolve_scoring`. Can be pickled if the user's callable can.

    Parameters
    ----------
    name : str
        As the user wrote it: "roc_auc", "neg_log_loss", the callable's name.
    label : str
        In words, for the natural form: "log loss".
    needs : {"proba", "label", "value", "score"}
        What it is computed from. A callable of the user's own counts as needing labels: it may.
    task : Task
        What is predicted.
    greater_is_better : bool
        Of the natural form: False for losses, which are negated here.
    bounds : tuple of float
        Smallest and largest possible score.
    metric : Metric or None
        The row of METRICS behind it.
    scorer : callable or None
        Otherwise a scorer of scikit-learn's or the user's: ``scorer(estimator, X, y[, sample_weight])``.
    takes_weight : bool
        Whether `scorer` knows sample weights; one that does not is asked without them.
    classes : tuple or None
        Original labels, in which a user's own scorer is asked. None: class codes.
    pos_index : int
        Code of the positive class (binary).
    costs : Costs, UnitCosts or None
        Costs of errors, where the user gave them and they decide: classes are then chosen by least expected cost.
    """

    name: str
    label: str
    needs: Needs
    task: Task
    greater_is_better: bool = True
    bounds: tuple[float, float] = (-float("inf"), float("inf"))
    metric: Metric | None = None
    scorer: Scorer | None = None
    takes_weight: bool = False
    classes: tuple[Any, ...] | None = None
    pos_index: int = 1
    costs: Costs | UnitCosts | None = None

    @property
    def is_label_metric(self) -> bool:
        """Whether the decision threshold matters."""
        return self.needs == "label"

    @property
    def rule(self) -> DecisionRule:
        """What a class is decided on by unless something else was fitted; None: the most probable class."""
        return self.costs.rule if isinstance(self.costs, Costs) else None

    def natural(self, score: float) -> float:
        """The value as it is usually written: a loss is not negated."""
        # Not -score, which would be -0 where the score is 0
        return score if self.greater_is_better else 0.0 - score

    def __call__(
        self,
        y: NDArray[Any],
        prediction: NDArray[Any],
        weight: Floats | None = None,
        group: Codes | None = None,
        *,
        threshold: DecisionRule = None,
    ) -> float:
        """Score of predictions.

        Parameters
        ----------
        y : ndarray of shape (n_rows,)
            Class codes 0 … K-1, values, or grades.
        prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
            Probabilities, values or scores. A metric of METRICS that needs labels takes class codes (n_rows,), too.
        weight : ndarray of shape (n_rows,) or None, default=None
            Row weights.
        group : ndarray of shape (n_rows,) or None, default=None
            Query of each row (ranking).
        threshold : float, Costs or None, default=None
            What a class is decided on by, as for `decide`. None: `rule`.

        Returns
        -------
        float
            Greater is better; NaN where the rows do not define it (one class only).

        Raises
        ------
        InvalidInput
            A prediction is not a finite number.
        """
        threshold = self.rule if threshold is None else threshold
        if not np.isfinite(prediction).all():
            raise InvalidInput(
                f"{self.label} needs finite predictions. Got "
                f"{int((~np.isfinite(prediction)).sum())} that are infinite or not a number: the model has diverged."
            )
        if self.metric is None:
            return self._replayed(y, prediction, weight, threshold)
        if self.pos_index == 0:
            if self.needs == "label" and prediction.ndim == 2:
                prediction = decide(prediction, threshold)
            y, prediction = 1 - y, prediction[:, ::-1] if prediction.ndim == 2 else 1 - prediction
        value = float(self.metric.evaluate(y, prediction, weight, group, threshold))
        return self.natural(value)

    def _replayed(
        self, y: NDArray[Any], prediction: NDArray[Any], weight: Floats | None, threshold: DecisionRule
    ) -> float:
        if self.scorer is None:
            raise TypeError("a Scoring has either a metric or a scorer: use resolve_scoring to make one")
        if self.task.is_classification:
            decided = decide(prediction, threshold)
            if self.pos_index == 0 and self.classes is None:
                y, prediction, decided = 1 - y, prediction[:, ::-1], 1 - decided
            names = np.arange(prediction.shape[1]) if self.classes is None else np.asarray(self.classes)
            truth, estimator = names[y], _ReplayClassifier(prediction, names[decided], names)
        else:
            truth, estimator = y, _ReplayRegressor(prediction)
        rows = np.arange(len(y)).reshape(-1, 1)
        if weight is not None and self.takes_weight:
            return float(self.scorer(estimator, rows, truth, sample_weight=weight))
        return float(self.scorer(estimator, rows, truth))


def scoring_names(task: Task) -> tuple[str, ...]:
    """The names that `resolve_scoring` knows for a task: scikit-learn's, or our own for ranking."""
    own = {m.scoring for m in metrics_for(task) if m.scoring is not None}
    if task is Task.RANKING:
        return tuple(sorted(own))
    names = set(get_scorer_names())
    if task is Task.REGRESSION:
        return tuple(sorted(own | (names & _REGRESSION_SCORERS)))
    others = _MULTICLASS_SCORERS if task is Task.BINARY else _BINARY_SCORERS
    return tuple(sorted(own | (names - _REGRESSION_SCORERS - _MULTILABEL_SCORERS - others)))


def resolve_scoring(
    scoring: str | Scorer | None, task: Task, classes: NDArray[Any] | None = None, pos_index: int = 1
) -> Scoring:
    """Turn what the user wrote into a `Scoring`.

    Parameters
    ----------
    scoring : str, callable or None
        "auto" or None: the task's default. A name: any scikit-learn scorer that fits the task, or for ranking "ndcg",
        "ndcg_at_10", "map", "mrr", "precision_at_k". On more than two classes "f1", "precision" and "recall" are
        macro averages and "roc_auc" is one-vs-rest weighted by class frequency. A callable:
        ``scorer(estimator, X, y[, sample_weight])``; its X is the index of each row, its y has the original labels.
    task : Task
        What is predicted.
    classes : ndarray of shape (n_classes,) or None, default=None
        Original labels in order of their codes. None: the codes are the labels.
    pos_index : int, default=1
        Code of the positive class (binary).

    Returns
    -------
    Scoring
        Greater is better.

    Raises
    ------
    InvalidParameter
        The name is unknown or for another task, or the callable is a metric rather than a scorer.

    Examples
    --------
    >>> scoring = resolve_scoring("neg_log_loss", Task.BINARY)
    >>> round(scoring(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 6)
    -0.693147
    """
    if scoring is None:
        scoring = "auto"
    if isinstance(scoring, str):
        name = task.default_scoring if scoring == "auto" else scoring
        if name not in scoring_names(task):
            raise InvalidParameter(_wrong_name(name, task))
        return _named(name, task, pos_index)
    if not callable(scoring):
        raise InvalidParameter(
            "The 'scoring' parameter must be 'auto', the name of a scikit-learn scorer or a callable "
            f"scorer(estimator, X, y). Got {scoring!r} instead."
        )
    return _called(scoring, task, classes, pos_index)


def _named(name: str, task: Task, pos_index: int) -> Scoring:
    meaning = _MULTICLASS_MEANING.get(name, name) if task is Task.MULTICLASS else name
    position = pos_index if task is Task.BINARY else 1
    for metric in metrics_for(task):
        if metric.scoring == meaning:
            is_up = metric.greater_is_better
            low, high = metric.bounds if is_up else (-metric.bounds[1], -metric.bounds[0])
            return Scoring(name, metric.label, metric.needs, task, is_up, (low, high), metric, pos_index=position)
    needs: Needs = "value" if task is Task.REGRESSION else "proba" if name in _PROBA_SCORERS else "label"
    scorer = get_scorer(name)
    # scikit-learn refuses weights in one-vs-one comparisons of more than two classes.
    takes_weight = _takes_weight(scorer) and not (task is Task.MULTICLASS and name.startswith("roc_auc_ovo"))
    return Scoring(
        name,
        name.removeprefix("neg_").removesuffix("_score").replace("_", " "),
        needs,
        task,
        greater_is_better=not name.startswith("neg_"),
        scorer=scorer,
        takes_weight=takes_weight,
        pos_index=position,
    )


def _called(scorer: Scorer, task: Task, classes: NDArray[Any] | None, pos_index: int) -> Scoring:
    if str(getattr(scorer, "__module__", "")).startswith("sklearn.metrics") and inspect.isfunction(scorer):
        raise InvalidParameter(
            "The 'scoring' parameter must be a callable scorer(estimator, X, y). Got the metric function "
            f"{scorer.__name__} instead: wrap it in sklearn.metrics.make_scorer, or give the name of its scorer."
        )
    for name in scoring_names(task):
        # A scorer got by name means what its name means: class codes then stand in for labels that have no order.
        if task is not Task.RANKING and _is_same(scorer, get_scorer(name)):
            return _named(name, task, pos_index)
    name = getattr(scorer, "__name__", "") or (repr(scorer) if " at 0x" not in repr(scorer) else type(scorer).__name__)
    needs: Needs = "label" if task.is_classification else "value" if task is Task.REGRESSION else "score"
    return Scoring(
        name,
        name,
        needs,
        task,
        scorer=scorer,
        takes_weight=_takes_weight(scorer),
        classes=None if classes is None else tuple(np.asarray(classes).tolist()),
        pos_index=pos_index,
    )


def _is_same(scorer: Scorer, other: Scorer) -> bool:
    return type(scorer) is type(other) and vars(scorer) == vars(other)


def _takes_weight(scorer: Scorer) -> bool:
    if hasattr(scorer, "get_metadata_routing"):
        return "sample_weight" in scorer.get_metadata_routing().score.requests
    try:
        return "sample_weight" in inspect.signature(scorer).parameters
    except (TypeError, ValueError):
        return False


def _wrong_name(name: str, task: Task) -> str:
    fitting = scoring_names(task)
    others = [t.value for t in Task if name in scoring_names(t)]
    natural = [m.scoring for m in metrics_for(task) if m.name == name and m.scoring is not None]
    close = natural or difflib.get_close_matches(name, fitting, n=1)
    hint = f" It is for {' and '.join(others)}." if others else ""
    hint += f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"The 'scoring' parameter must be 'auto', a callable scorer(estimator, X, y), or for {task.value} one of "
        f"{', '.join(fitting)}. Got {name!r} instead.{hint}"
    )


# --- costs -----------------------------------------------------------------------------------------------------------


def _cost(costs: Costs | UnitCosts, y: Any, prediction: Any, weight: Floats | None, group: Codes | None) -> Any:
    return _mean(costs.of_rows(y, prediction), weight)


def _cost_once_shifted(costs: UnitCosts, y: Floats, value: Floats, weight: Floats | None, group: Codes | None) -> Any:
    """Mean cost of values that are shifted to where errors cost least, each half of the rows by the other half."""
    residual, half = y - value, np.arange(len(y)) % 2
    shift = np.zeros(len(y))
    for this in (0, 1):
        taught = half != this
        mass = None if weight is None else weight[taught]
        if taught.any() and (mass is None or mass.sum() > 0):
            shift[half == this] = costs.shift(residual[taught], mass)
    return _mean(costs.of_rows(residual, shift), weight)


def cost_metric(costs: Costs | UnitCosts, task: Task) -> Metric:
    """Mean cost per row, as a metric beside those of METRICS.

    Parameters
    ----------
    costs : Costs or UnitCosts
        In units of money. The positive class has code 1 here, as for every metric of classes.
    task : Task
        What is predicted.

    Returns
    -------
    Metric
        "cost"; smaller is better.

    Examples
    --------
    >>> metric = cost_metric(Costs(((0.0, 1.0), (5.0, 0.0))), Task.BINARY)
    >>> float(metric.evaluate(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])))
    1.5
    """
    inf = float("inf")
    bounds = (0.0, inf)
    if isinstance(costs, Costs):
        bounds = (float(costs.array.min()), float(costs.array.max()))
    needs: Needs = "label" if isinstance(costs, Costs) else "value"
    return Metric("cost", "cost per row", frozenset({task}), False, bounds, needs, partial(_cost, costs), None)


def cost_scoring(costs: Costs | UnitCosts, task: Task, pos_index: int = 1, *, is_final: bool = False) -> Scoring:
    """Mean cost per row, negated, as what is optimised.

    Parameters
    ----------
    costs : Costs or UnitCosts
        In units of money, in the order of the class codes.
    task : Task
        What is predicted.
    pos_index : int, default=1
        Code of the positive class (binary).
    is_final : bool, default=False
        Whether values are predicted as they will be used. False: they are shifted first to where errors cost least, as
        `fit_shift` will do; each half of the rows is shifted by what the other half implies.

    Returns
    -------
    Scoring
        Greater is better; classes are decided on by least expected cost.
    """
    turned = costs.reversed() if isinstance(costs, Costs) and pos_index == 0 else costs
    metric = cost_metric(turned, task)
    if isinstance(costs, UnitCosts) and not is_final:
        metric = replace(metric, function=partial(_cost_once_shifted, costs))
    bounds = (-metric.bounds[1], -metric.bounds[0])
    position = pos_index if task is Task.BINARY else 1
    return Scoring("cost", metric.label, metric.needs, task, False, bounds, metric, pos_index=position, costs=costs)
