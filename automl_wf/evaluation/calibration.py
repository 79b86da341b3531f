"""Calibration: whether what is said to happen seven times in ten does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from automl_wf.core.metrics import Floats
from automl_wf.evaluation.curves import N_BINS, quantile_bins
from automl_wf.evaluation.scores import Held


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of about equal probability: its mean, how often the event happened, with a 95 % interval, and how many."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """Predicted probabilities against observed frequencies.

    Parameters
    ----------
    event : str
        What the probability is of: "positive class" or, with more than two classes, "most probable class".
    label : object
        The positive class; None with more than two classes.
    bins : tuple of CalibrationBin
        At most ten, by quantiles of the probability.
    error : float
        Expected calibration error: the mean distance between both, by weight of the bins.
    """

    event: str
    label: Any
    bins: tuple[CalibrationBin, ...]
    error: float


def calibrate(held: Held, classes: tuple[Any, ...], pos_index: int = 1) -> Calibration:
    """Reliability table of a classification.

    Parameters
    ----------
    held : Held
        Probabilities.
    classes : tuple
        Labels in order of their codes.
    pos_index : int, default=1
        Code of the positive class (binary).

    Returns
    -------
    Calibration
        Binary: of the positive class. Otherwise: of the most probable class.

    References
    ----------
    M. P. Naeini, G. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI
    2015. C. Guo et al., On calibration of modern neural networks, ICML 2017 (most probable class).
    """
    if len(classes) == 2:
        probability, happened = held.prediction[:, pos_index], held.y == pos_index
    else:
        top = held.prediction.argmax(axis=1)
        probability, happened = held.prediction[np.arange(len(top)), top], held.y == top
    weight = np.ones(len(probability)) if held.weight is None else held.weight
    bins = quantile_bins(probability, N_BINS)
    found = []
    error = 0.0
    for b in range(int(bins.max()) + 1):
        rows = bins == b
        total = weight[rows].sum()
        if total > 0:
            found.append(_bin(probability[rows], happened[rows].astype(np.float64), weight[rows]))
            error += total * abs(found[-1].predicted - found[-1].observed)
    is_binary = len(classes) == 2
    event = "positive class" if is_binary else "most probable class"
    return Calibration(event, classes[pos_index] if is_binary else None, tuple(found), float(error / weight.sum()))


def _bin(probability: Floats, happened: Floats, weight: Floats) -> CalibrationBin:
    observed = float(np.average(happened, weights=weight))
    low, high = wilson_interval(observed, float(weight.sum() ** 2 / (weight**2).sum()))
    return CalibrationBin(float(np.average(probability, weights=weight)), observed, low, high, len(weight))


def wilson_interval(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion, sensible at 0 and 1, too.

    Parameters
    ----------
    share : float
        Proportion seen.
    n : float
        Number of trials; with weights the effective number, (Σw)² / Σw².
    confidence : float, default=0.95
        Of the interval.

    Returns
    -------
    low, high : float
        Within [0, 1].

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    Examples
    --------
    >>> low, high = wilson_interval(0.0, 10)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.2775)
    """
    z = float(ndtri((1 + confidence) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)
