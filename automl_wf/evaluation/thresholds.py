"""What deciding from another probability on would bring: hits, false alarms and, where costs are known, their price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.costs import Costs
from automl_wf.core.metrics import Floats, counts_from, threshold_counts
from automl_wf.evaluation.scores import Held

#: Thresholds: round ones, and some that lie evenly along the ROC curve.
_ROUND = np.arange(1, 20) / 20
N_ALONG = 60


@dataclass(frozen=True)
class Thresholds:
    """Decisions of a binary model by the probability from which on a row counts as positive.

    Parameters
    ----------
    label, other : object
        The positive class and the other one.
    thresholds : tuple of float
        Rising probabilities of the positive class.
    hits, alarms : tuple of float
        Weight of the positive rows, and of the others, that count as positive from each threshold on.
    n_positive, n_negative : float
        Weight of all positive rows, and of all others.
    in_use : int
        Place of the model's own threshold.
    cost_per_row : tuple of float
        Mean cost of the decisions; empty where costs are not known.
    """

    label: Any
    other: Any
    thresholds: tuple[float, ...]
    hits: tuple[float, ...]
    alarms: tuple[float, ...]
    n_positive: float
    n_negative: float
    in_use: int
    cost_per_row: tuple[float, ...] = ()


def count_by_threshold(
    held: Held, classes: tuple[Any, ...], pos_index: int = 1, costs: Costs | None = None
) -> Thresholds | None:
    """Hits and false alarms of other thresholds than the one in use.

    Parameters
    ----------
    held : Held
        Probabilities of two classes, and the rule by which they are decided on.
    classes : tuple
        Labels in order of their codes.
    pos_index : int, default=1
        Code of the positive class.
    costs : Costs or None, default=None
        What decisions cost.

    Returns
    -------
    Thresholds or None
        None: one class only.
    """
    given = (held.y == pos_index, np.ascontiguousarray(held.prediction[:, pos_index]), held.weight)
    hits, alarms, falling = threshold_counts(*given)
    if not (hits[-1] > 0 and alarms[-1] > 0):
        return None
    own = held.threshold if isinstance(held.threshold, float) else 0.5
    own = own if pos_index == 1 else 1.0 - own
    thresholds = np.unique(np.concatenate([_ROUND, falling[_evenly(hits, alarms)], [own]]))
    found, raised, n_positive, n_negative = counts_from(*given, thresholds)
    in_use = int(np.searchsorted(thresholds, own))
    found[in_use], raised[in_use] = _decided(held, pos_index)
    return Thresholds(
        classes[pos_index],
        classes[1 - pos_index],
        tuple(thresholds.tolist()),
        tuple(found.tolist()),
        tuple(raised.tolist()),
        n_positive,
        n_negative,
        in_use,
        () if costs is None else _cost_per_row(costs, pos_index, found, raised, n_positive, n_negative),
    )


def _evenly(hits: Floats, alarms: Floats) -> NDArray[np.intp]:
    """Places evenly spread along the ROC curve."""
    length = np.cumsum(
        np.abs(np.diff(hits / hits[-1], prepend=0.0)) + np.abs(np.diff(alarms / alarms[-1], prepend=0.0))
    )
    at = np.searchsorted(length, np.linspace(0.0, length[-1], N_ALONG))
    return np.unique(np.minimum(at, len(length) - 1))


def _decided(held: Held, pos_index: int) -> tuple[float, float]:
    """Weight of the positive rows, and of the others, that the model's own rule decides to be positive."""
    weight = np.ones(len(held.y)) if held.weight is None else held.weight
    is_said, is_positive = held.codes == pos_index, held.y == pos_index
    return float(weight[is_said & is_positive].sum()), float(weight[is_said & ~is_positive].sum())


def _cost_per_row(
    costs: Costs, pos_index: int, hits: Floats, alarms: Floats, n_positive: float, n_negative: float
) -> tuple[float, ...]:
    of_positive, of_other = costs.array[pos_index], costs.array[1 - pos_index]
    total = (
        hits * of_positive[pos_index]
        + (n_positive - hits) * of_positive[1 - pos_index]
        + alarms * of_other[pos_index]
        + (n_negative - alarms) * of_other[1 - pos_index]
    )
    return tuple((total / (n_positive + n_negative)).tolist())
