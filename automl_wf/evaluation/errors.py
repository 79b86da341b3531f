"""The errors themselves: the worst rows, which classes are taken for which, and how far off values are by decile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from automl_wf.core.metrics import Floats, query_ndcg
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import Units
from automl_wf.evaluation.calibration import wilson_interval
from automl_wf.evaluation.curves import quantile_bins
from automl_wf.evaluation.scores import Held

N_WORST = 10
N_PAIRS = 10
_SMALLEST = 1e-15


@dataclass(frozen=True)
class WorstCase:
    """One of the rows that cost most.

    Parameters
    ----------
    row : int
        Its position in X as given; of a query, that of its first row.
    loss : float
        Log loss, absolute error, or 1 − NDCG of the query.
    prediction, truth : object
        Labels or values; None for a query.
    probability : float or None
        What the true class was given.
    """

    row: int
    loss: float
    prediction: Any = None
    truth: Any = None
    probability: float | None = None


@dataclass(frozen=True)
class ConfusedPair:
    """How many rows of one class were predicted as another, as a share of the class with a 95 % interval."""

    truth: Any
    said: Any
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class ErrorBin:
    """Mean absolute error, with a 95 % interval, of the rows predicted from `first` to `last`; `bias` is of y − ŷ."""

    first: float
    last: float
    n: int
    error: float
    low: float | None
    high: float | None
    bias: float


@dataclass(frozen=True)
class Errors:
    """The errors on held-out rows.

    Parameters
    ----------
    loss : str
        What a row costs, in words.
    worst : tuple of WorstCase
        At most ten, the worst first.
    confusions : tuple of ConfusedPair
        Classification: at most ten pairs of classes, the most frequent confusion first.
    by_prediction : tuple of ErrorBin
        Regression: by decile of the prediction.
    """

    loss: str
    worst: tuple[WorstCase, ...]
    confusions: tuple[ConfusedPair, ...] = ()
    by_prediction: tuple[ErrorBin, ...] = ()


def find_errors(held: Held, classes: Sequence[Any] = (), positions: NDArray[Any] | None = None) -> Errors:
    """Look at the errors one by one.

    Parameters
    ----------
    held : Held
        Held-out rows and their predictions.
    classes : sequence, default=()
        Labels in order of their codes.
    positions : ndarray of shape (n_rows,) or None, default=None
        Position of each row in X as given. None: 0, 1, …

    Returns
    -------
    Errors
        Facts; rows are named by position, their cells are not kept.
    """
    rows = np.arange(len(held.y)) if positions is None else positions
    if held.task is Task.RANKING:
        return Errors("1 − NDCG of the query", _worst_queries(held, rows))
    if held.task is Task.REGRESSION:
        loss = np.abs(held.y - held.prediction)
        worst = tuple(
            WorstCase(int(rows[i]), float(loss[i]), float(held.prediction[i]), float(held.y[i]))
            for i in _largest(loss, rows)
        )
        return Errors("absolute error", worst, by_prediction=_by_prediction(held, loss))
    of_truth = held.prediction[np.arange(len(held.y)), held.y]
    loss, said = -np.log(np.maximum(of_truth, _SMALLEST)), held.codes
    worst = tuple(
        WorstCase(int(rows[i]), float(loss[i]), classes[said[i]], classes[held.y[i]], float(of_truth[i]))
        for i in _largest(loss, rows)
    )
    return Errors("log loss", worst, confusions=_confusions(held.y, said, classes))


def _largest(loss: Floats, rows: NDArray[Any]) -> list[int]:
    """Indices of the largest, the first of equal ones first; a row only once, and none that costs nothing."""
    order = np.argsort(-loss, kind="stable")[: 10 * N_WORST]
    _, first = np.unique(rows[order], return_index=True)
    return [int(i) for i in order[np.sort(first)][:N_WORST] if loss[i] > 0]


def _worst_queries(held: Held, rows: NDArray[Any]) -> tuple[WorstCase, ...]:
    group = np.zeros(len(held.y), dtype=np.int64) if held.group is None else held.group
    values, is_counted = query_ndcg(held.y, held.prediction, group)
    units = Units.of(len(group), group)
    loss = np.where(is_counted, 1.0 - np.nan_to_num(values), 0.0)
    firsts = rows[units.order[units.starts]]
    return tuple(WorstCase(int(firsts[q]), float(loss[q])) for q in _largest(loss, firsts))


def _confusions(y: NDArray[Any], said: NDArray[Any], classes: Sequence[Any]) -> tuple[ConfusedPair, ...]:
    n = len(classes)
    counts = np.bincount(y * n + said, minlength=n * n).reshape(n, n)
    of_class = counts.sum(axis=1)
    counts[np.diag_indices(n)] = 0
    found = []
    for pair in np.argsort(-counts.ravel(), kind="stable")[:N_PAIRS].tolist():
        truth, other = divmod(pair, n)
        count = int(counts[truth, other])
        if count:
            share = count / int(of_class[truth])
            found.append(
                ConfusedPair(classes[truth], classes[other], count, share, *wilson_interval(share, of_class[truth]))
            )
    return tuple(found)


def _by_prediction(held: Held, loss: Floats) -> tuple[ErrorBin, ...]:
    bins = quantile_bins(held.prediction)
    weight = np.ones(len(loss)) if held.weight is None else held.weight
    found = []
    for b in range(int(bins.max()) + 1):
        rows = bins == b
        n, w, predicted = int(rows.sum()), weight[rows], held.prediction[rows]
        if not w.sum() > 0:
            continue
        mean = float(np.average(loss[rows], weights=w))
        low = high = None
        if n > 1:
            influence = w * (loss[rows] - mean) / w.sum()
            half = float(stdtrit(n - 1, 0.975) * np.sqrt(n / (n - 1) * (influence**2).sum()))
            low, high = max(mean - half, 0.0), mean + half
        bias = float(np.average((held.y - held.prediction)[rows], weights=w))
        found.append(ErrorBin(float(predicted.min()), float(predicted.max()), n, mean, low, high, bias))
    return tuple(found)
