"""How much one column tells of the target, as the checks for leaks ask: figures that need no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.table import Cells, Strings
from automl_wf.problem_definition.target import Target

Numbers = NDArray[np.float64]


def indicators(target: Target, y: NDArray[Any]) -> Numbers:
    """y as columns: the values, or one indicator per class, of shape (n_rows, n_targets)."""
    if target.classes is None:
        return np.asarray(y, dtype=np.float64).reshape(-1, 1)
    return np.asarray(y[:, None] == np.arange(target.n_classes), dtype=np.float64)


def told_by(cells: Cells, y: Numbers, y_ranks: Numbers) -> float:
    """Share of the target that a column alone tells: by its bins, by a threshold, or by its order.

    Parameters
    ----------
    cells : ndarray of shape (n_rows,) or Strings
        A column.
    y, y_ranks : ndarray of shape (n_rows, n_targets)
        From `indicators`, and the `ranks_of` that.

    Returns
    -------
    float
        The largest of: variance of y between the column's bins, where there are at least five rows for each bin;
        |2 AUC − 1| (two classes); squared rank correlation (values). Categories have their bins only.
    """
    codes, n_levels = bins(cells)
    told = explained(codes, n_levels, y) if n_levels <= len(y) / 5 else 0.0
    if isinstance(cells, Strings):
        return told
    if y.shape[1] == 2:
        return max(told, separation(cells, y[:, 1]))
    if y.shape[1] > 1:
        return told
    in_order = correlations(ranks_of(as_numbers(cells))[:, None], y_ranks)
    return max(told, float(in_order[0, 0]) ** 2)


def as_numbers(cells: NDArray[Any]) -> Numbers:
    """Numbers or times as doubles, NaN where missing."""
    numbers = cells.astype(np.float64)
    if cells.dtype.kind == "i":
        numbers[cells == MISSING_TIME] = np.nan
    return numbers


def bins(cells: Cells) -> tuple[NDArray[np.int64], int]:
    """Bin of each row: levels of text, else at most 50 quantile bins with one for missing."""
    if isinstance(cells, Strings):
        distinct, codes = np.unique(cells.codes, return_inverse=True)
        return codes.astype(np.int64), len(distinct)
    values = as_numbers(cells)
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, 51)[1:-1])) if np.isfinite(values).any() else np.empty(0)
    codes = np.searchsorted(edges, values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, codes).astype(np.int64), len(edges) + 2


def separation(cells: NDArray[Any], y: NDArray[Any]) -> float:
    """How well a threshold tells two classes apart: |2 AUC − 1|; missing cells come first."""
    ranks = ranks_of(as_numbers(cells))
    n_ones = int(y.sum())
    n_pairs = n_ones * (len(y) - n_ones)
    if n_pairs == 0:
        return 0.0
    auc = (float(ranks[y == 1].sum()) - n_ones * (n_ones + 1) / 2) / n_pairs
    return abs(2.0 * auc - 1.0)


def ranks_of(values: Numbers) -> Numbers:
    """Ranks along the rows, ties shared; missing values come first."""
    ranks: Numbers = rankdata(np.where(np.isnan(values), -np.inf, values), axis=0)
    return ranks


def rank_correlation(values: Numbers, y: Numbers) -> float:
    """Largest absolute correlation between the ranks of `values` and those of a column of y (Spearman's).

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Missing values come first.
    y : ndarray of shape (n_rows, n_targets)
        From `indicators`.

    Returns
    -------
    float
        0 where one side does not vary.
    """
    return float(np.abs(correlations(ranks_of(values)[:, None], ranks_of(y))).max())


def correlations(left: Numbers, right: Numbers) -> Numbers:
    """Correlation of each column of one matrix with each of another, of shape (n_left, n_right); 0 for constants."""
    both: Numbers = _standardised(left).T @ _standardised(right) / len(left)
    return both


def explained(codes: NDArray[np.int64], n_levels: int, y: Numbers) -> float:
    """Share of the variance of y's columns between the bins (correlation ratio), adjusted for their count."""
    counts = np.bincount(codes, minlength=n_levels).astype(np.float64)
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    if total == 0:
        return 0.0
    within = 0.0
    for column in y.T:
        sums = np.bincount(codes, weights=column, minlength=n_levels)
        means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        within += float(((column - means[codes]) ** 2).sum())
    n, used = len(y), int((counts > 0).sum())
    return 1.0 - (within / max(n - used, 1)) / (total / (n - 1))


def _standardised(columns: Numbers) -> Numbers:
    mean = columns.mean(axis=0)
    centred = columns - mean
    deviation = np.sqrt((centred**2).mean(axis=0))
    # What rounding leaves of a constant is no variation.
    standardised: Numbers = centred / np.where(deviation > 1e-9 * (1.0 + np.abs(mean)), deviation, 1.0)
    return standardised
