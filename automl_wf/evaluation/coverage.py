"""Whether intervals and sets hold the truth as often as they promise, overall and where they do so least.

The model's intervals are a quantile of its out-of-fold residuals. Counting how many of the same residuals lie within it
would praise itself, so that the rows of each fold are judged by the quantile of the other folds' residuals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.metrics import TIE, Codes, Floats
from automl_wf.core.tasks import Task
from automl_wf.evaluation.calibration import wilson_interval
from automl_wf.evaluation.curves import quantile_bins
from automl_wf.evaluation.scores import Held
from automl_wf.model_selection.postprocess import Postprocess, fit_residuals

CONFIDENCES = (0.8, 0.9, 0.95)
#: A single hold-out part is cut into this many blocks.
N_BLOCKS = 5
#: Fewer rows say nothing about how often an interval fails.
MIN_ROWS = 20


@dataclass(frozen=True)
class CoverageLevel:
    """How often the truth was covered at one level.

    Parameters
    ----------
    confidence : float
        What is promised.
    covered, low, high : float
        Share of rows covered, with a 95 % interval.
    size : float or None
        Mean width of the intervals, or mean number of classes in a set. None: infinite, there are too few rows.
    empty : float or None
        Share of rows whose set is empty; None for intervals.
    worst, worst_low, worst_high : float
        Share covered in the worst decile, with a 95 % interval for that decile alone (the worst of ten is below the
        mean by chance already).
    worst_first, worst_last : float
        Where this decile begins and ends, in units of what the rows are sorted by.
    worst_n : int
        Rows of that decile.
    """

    confidence: float
    covered: float
    low: float
    high: float
    size: float | None
    empty: float | None
    worst: float
    worst_low: float
    worst_high: float
    worst_first: float
    worst_last: float
    worst_n: int


@dataclass(frozen=True)
class Coverage:
    """Empirical coverage of the conformal intervals or sets.

    Parameters
    ----------
    of : str
        "intervals" or "sets".
    by : str
        What the deciles are of.
    n_rows, n_folds : int
        Rows judged, and parts that take turns.
    levels : tuple of CoverageLevel
        At 80, 90 and 95 %.
    """

    of: str
    by: str
    n_rows: int
    n_folds: int
    levels: tuple[CoverageLevel, ...]


def measure_coverage(
    held: Held, fold: Codes, confidences: Sequence[float] = CONFIDENCES, min_rows: int = MIN_ROWS
) -> Coverage | None:
    """Cross-conformal coverage of out-of-fold predictions.

    Parameters
    ----------
    held : Held
        Out-of-fold predictions.
    fold : ndarray of shape (n_rows,)
        Fold of each row.
    confidences : sequence of float, default=(0.8, 0.9, 0.95)
        Levels promised.
    min_rows : int, default=20
        Fewest rows.

    Returns
    -------
    Coverage or None
        None for a ranking, or with fewer rows than `min_rows`.

    References
    ----------
    V. Vovk, Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74, 2015. J. Lei et al.,
    Distribution-free predictive inference for regression, JASA 113, 2018.
    """
    if held.task is Task.RANKING or len(fold) < min_rows:
        return None
    part = _parts(held, fold)
    numbers = np.unique(part)
    if len(numbers) < 2:
        return None
    if held.task is Task.REGRESSION:
        residuals, sorted_by, of, by = np.abs(held.y - held.prediction), held.prediction, "intervals", "prediction"
    else:
        residuals = 1.0 - held.prediction[np.arange(len(held.y)), held.y]
        sorted_by, of, by = held.prediction.max(axis=1), "sets", "largest probability"
    posts = {int(k): _fit(residuals, held.weight, part != k) for k in numbers}
    levels = []
    for confidence in confidences:
        quantile = np.empty(len(part))
        for k, post in posts.items():
            quantile[part == k] = post.residual_quantile(1.0 - confidence)
        levels.append(_level(held, residuals, quantile, confidence, sorted_by))
    return Coverage(of, by, len(part), len(numbers), tuple(levels))


def _parts(held: Held, fold: Codes) -> NDArray[np.intp]:
    """The folds; a single one is cut into five blocks of whole groups."""
    numbers, part = np.unique(fold, return_inverse=True)
    if len(numbers) > 1:
        return np.asarray(part, dtype=np.intp).ravel()
    units = np.arange(len(fold)) if held.group is None else np.unique(held.group, return_inverse=True)[1].ravel()
    order = np.random.default_rng(0).permutation(int(units.max()) + 1)
    return np.asarray(order[units] % N_BLOCKS, dtype=np.intp)


def _fit(residuals: Floats, weight: Floats | None, rows: NDArray[np.bool_]) -> Postprocess:
    kept = fit_residuals(residuals[rows], None if weight is None else weight[rows])
    return Postprocess(residuals=kept, n_residuals=int(rows.sum()))


def _level(held: Held, residuals: Floats, quantile: Floats, confidence: float, sorted_by: Floats) -> CoverageLevel:
    is_set = held.prediction.ndim == 2
    is_covered = residuals <= quantile + (TIE if is_set else 0.0)
    weight = np.ones(len(residuals)) if held.weight is None else held.weight
    size: float | None
    empty: float | None
    if is_set:
        members = (held.prediction >= 1.0 - quantile[:, None] - TIE).sum(axis=1)
        size, empty = float(np.average(members, weights=weight)), float(np.average(members == 0, weights=weight))
    else:
        mean = float(np.average(2.0 * quantile, weights=weight))
        size, empty = mean if math.isfinite(mean) else None, None
    overall, low, high, _ = _share(is_covered, weight, np.ones(len(residuals), dtype=bool))
    bins = quantile_bins(sorted_by)
    shares = [_share(is_covered, weight, bins == b) for b in range(int(bins.max()) + 1)]
    worst = int(np.argmin([share for share, *_ in shares]))
    there = sorted_by[bins == worst]
    share, worst_low, worst_high, n = shares[worst]
    return CoverageLevel(
        confidence, overall, low, high, size, empty,
        share, worst_low, worst_high, float(there.min()), float(there.max()), n,
    )  # fmt: skip


def _share(is_covered: NDArray[np.bool_], weight: Floats, rows: NDArray[np.bool_]) -> tuple[float, float, float, int]:
    w = weight[rows]
    share = float(np.average(is_covered[rows], weights=w))
    return share, *wilson_interval(share, float(w.sum() ** 2 / (w**2).sum())), int(rows.sum())
