"""Points to draw: ROC and precision-recall curves, quantile-quantile points, residuals against predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from automl_wf.core.metrics import Floats, threshold_counts
from automl_wf.evaluation.scores import Held

#: Points of one curve, and of all curves of a kind together.
MAX_POINTS, MAX_POINTS_IN_ALL, MIN_POINTS = 200, 2000, 25
N_BINS = 10
N_QQ_POINTS = 100
_PERCENTS = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class Curve:
    """One class against the rest.

    Parameters
    ----------
    label : object
        The class.
    x, y : tuple of float
        False positive rate and true positive rate, or recall and precision.
    thresholds : tuple of float or None
        Probability from which on a row counts as positive; None where no row does.
    area : float
        Under the whole curve, not only the points kept: ROC AUC or average precision.
    """

    label: Any
    x: tuple[float, ...]
    y: tuple[float, ...]
    thresholds: tuple[float | None, ...]
    area: float


def roc_and_pr_curves(
    held: Held, classes: tuple[Any, ...], pos_index: int = 1
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Curves of the positive class, or with more than two classes of each against the rest.

    Parameters
    ----------
    held : Held
        Probabilities of a classification.
    classes : tuple
        Labels in order of their codes.
    pos_index : int, default=1
        Code of the positive class (binary).

    Returns
    -------
    roc, pr : tuple of Curve
        At most 200 points each, spread evenly along the curve; classes that are not there are left out.
    """
    n_classes = len(classes)
    n_points = max(MIN_POINTS, min(MAX_POINTS, MAX_POINTS_IN_ALL // n_classes))
    roc, pr = [], []
    for k in [pos_index] if n_classes == 2 else range(n_classes):
        is_class = held.y == k
        score = np.ascontiguousarray(held.prediction[:, k])
        hits, alarms, thresholds = threshold_counts(is_class, score, held.weight)
        if hits[-1] > 0 and alarms[-1] > 0:
            roc.append(_roc(classes[k], hits, alarms, thresholds, n_points))
            pr.append(_pr(classes[k], hits, alarms, thresholds, n_points))
    return tuple(roc), tuple(pr)


def _roc(label: Any, hits: Floats, alarms: Floats, thresholds: Floats, n_points: int) -> Curve:
    x, y = np.append(0.0, alarms / alarms[-1]), np.append(0.0, hits / hits[-1])
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    return _thinned(label, x, y, thresholds, area, n_points)


def _pr(label: Any, hits: Floats, alarms: Floats, thresholds: Floats, n_points: int) -> Curve:
    totals = hits + alarms
    precision = np.divide(hits, totals, out=np.zeros_like(hits), where=totals > 0)
    recall = hits / hits[-1]
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return _thinned(label, np.append(0.0, recall), np.append(1.0, precision), thresholds, area, n_points)


def _thinned(label: Any, x: Floats, y: Floats, thresholds: Floats, area: float, n_points: int) -> Curve:
    """Points evenly spread along the curve; the first, which has no threshold, and the last stay."""
    if len(x) > n_points:
        length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        kept = np.unique(np.minimum(np.searchsorted(length, np.linspace(0, length[-1], n_points)), len(x) - 1))
        kept[-1] = len(x) - 1
    else:
        kept = np.arange(len(x))
    named = [None if i == 0 else float(thresholds[i - 1]) for i in kept]
    return Curve(label, tuple(x[kept].tolist()), tuple(y[kept].tolist()), tuple(named), area)


def quantile_bins(values: Floats, n_bins: int = N_BINS) -> NDArray[np.intp]:
    """Bin of each row, by quantiles; equal values share a bin, so that there may be fewer bins.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        What is cut.
    n_bins : int, default=10
        Bins wanted.

    Returns
    -------
    ndarray of shape (n_rows,)
        Bins 0, 1, … without gaps, of rising values.
    """
    lasts = [-(-len(values) * i // n_bins) - 1 for i in range(1, n_bins)]
    edges = np.unique(np.sort(values)[np.maximum(lasts, 0)])
    bins: NDArray[np.intp] = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]
    return bins


@dataclass(frozen=True)
class ResidualBin:
    """Residuals of rows that were predicted about alike."""

    prediction: float
    residual: float
    std: float
    n: int


@dataclass(frozen=True)
class Residuals:
    """What is left of the truth once the prediction is taken off.

    Parameters
    ----------
    mean, std : float
        Of the residuals, weighted.
    quantiles : dict
        By percentage.
    qq : tuple of tuple of float
        Pairs (normal quantile, standardised residual): on the diagonal if residuals are normal.
    by_prediction : tuple of ResidualBin
        Residuals in ten quantile bins of the prediction: a mean far from 0 is a bias, a rising spread is
        heteroscedasticity.
    """

    mean: float
    std: float
    quantiles: dict[str, float]
    qq: tuple[tuple[float, float], ...]
    by_prediction: tuple[ResidualBin, ...]


def summarise_residuals(held: Held) -> Residuals:
    """Residuals of a regression.

    Parameters
    ----------
    held : Held
        Values predicted.

    Returns
    -------
    Residuals
        Truth minus prediction, summarised.
    """
    residual = held.y - held.prediction
    mean = float(np.average(residual, weights=held.weight))
    std = float(np.sqrt(np.average((residual - mean) ** 2, weights=held.weight)))
    n_points = min(N_QQ_POINTS, len(residual))
    shares = (np.arange(n_points) + 0.5) / n_points
    standardised = np.quantile((residual - mean) / std if std > 0 else residual - mean, shares)
    return Residuals(
        mean,
        std,
        {str(p): float(q) for p, q in zip(_PERCENTS, np.percentile(residual, _PERCENTS), strict=True)},
        tuple(zip(ndtri(shares).tolist(), standardised.tolist(), strict=True)),
        _by_prediction(held, residual),
    )


def _by_prediction(held: Held, residual: Floats) -> tuple[ResidualBin, ...]:
    bins = quantile_bins(held.prediction)
    weight = np.ones(len(residual)) if held.weight is None else held.weight
    found = []
    for b in range(int(bins.max()) + 1):
        rows = bins == b
        if weight[rows].sum() > 0:
            mean = np.average(residual[rows], weights=weight[rows])
            spread = np.sqrt(np.average((residual[rows] - mean) ** 2, weights=weight[rows]))
            predicted = np.average(held.prediction[rows], weights=weight[rows])
            found.append(ResidualBin(float(predicted), float(mean), float(spread), int(rows.sum())))
    return tuple(found)
