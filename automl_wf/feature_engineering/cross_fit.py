"""What every feature learnt from the target shares: targets, weights, and parts that see one another only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.feature_engineering.base import Numbers, class_words


def unit_weights(weight: Numbers | None, n_rows: int) -> Numbers:
    """Weights divided by their mean over the rows of positive weight, so that their unit does not matter."""
    if weight is None:
        return np.ones(n_rows)
    positive = weight[weight > 0]
    return weight / positive.mean() if len(positive) else np.ones(n_rows)


def choose_targets(y: NDArray[Any], weights: Numbers, n_classes: int, max_classes: int) -> tuple[int, ...]:
    """The classes that get a feature: the second of two, the commonest of more; (0,) for values and grades."""
    if n_classes <= 2:
        return (n_classes - 1,)
    totals = np.bincount(y, weights=weights, minlength=n_classes)
    commonest = np.argsort(-totals, kind="stable")[:max_classes]
    return tuple(int(k) for k in np.sort(commonest))


def target_columns(y: NDArray[Any], n_classes: int, targets: tuple[int, ...]) -> Numbers:
    """The value or grade, or one indicator per chosen class, of shape (n_rows, n_targets)."""
    if n_classes == 1:
        return np.asarray(y, dtype=np.float64)[:, None]
    return np.asarray(y[:, None] == np.array(targets), dtype=np.float64)


def standardise(targets: Numbers, weights: Numbers) -> Numbers:
    """Each column less its weighted mean, divided by its weighted standard deviation where there is any."""
    centred = targets - weights @ targets / weights.sum()
    deviation = np.sqrt(weights @ centred**2 / weights.sum())
    standardised: Numbers = centred / np.where(deviation > 0, deviation, 1.0)
    return standardised


def draw_parts(n_rows: int, n_parts: int, group: NDArray[Any] | None, seed: int) -> NDArray[np.int64]:
    """A part at random for each row; rows of one group share theirs."""
    random = np.random.default_rng(seed)
    if group is None:
        return random.permutation(n_rows) % n_parts
    _, unit = np.unique(group, return_inverse=True)
    shuffled = random.permutation(int(unit.max(initial=-1)) + 1) % n_parts
    return np.asarray(shuffled[unit], dtype=np.int64)


def target_words(n_classes: int, target: int) -> tuple[str, str]:
    """What a feature's formula begins with, and what the end of its name is, for the mean of a target."""
    of = "mean of the target" if n_classes == 1 else class_words(target)
    return of, f"_{target}" if n_classes > 2 else ""


def target_class(n_classes: int, target: int) -> int | None:
    """The class that a target is the indicator of; None for values and grades."""
    return None if n_classes == 1 else target
