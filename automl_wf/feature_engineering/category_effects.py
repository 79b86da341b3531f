"""What each category adds to the target when all categories are looked at together: effects that cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers, look_up, seen_levels
from automl_wf.feature_engineering.cross_fit import (
    choose_targets,
    draw_parts,
    standardise,
    target_columns,
    target_words,
    unit_weights,
)

#: Bounds of the rows that the prior is worth: below, a single row would be believed; above, the effect is nothing.
_LEAST_SMOOTHING, _MOST_SMOOTHING = 0.5, 1e5


class CategoryEffects(FeatureTransformer[Sequence[Strings]]):
    r"""Effects of the levels of several columns, estimated jointly and shrunk towards zero, and their sum.

    The target :math:`z`, centred and divided by its standard deviation, is :math:`\sum_c b_{c, l_c(i)} + e_i` for row
    :math:`i` with levels :math:`l_c(i)`, effects :math:`b_{c, l} \sim N(0, \tau_c^2)` and noise
    :math:`e_i \sim N(0, \sigma^2)`. A mean of the target per level mixes a level with the company it keeps: a lecturer
    whom strict students rate looks bad. Joint effects do not. Each column's :math:`\tau_c^2` is estimated, so that a
    column that tells nothing is shrunk to nothing. The posterior is approximated by one factor per effect (mean
    field), its maximum found by going round the columns:

    .. math:: b_{c, l} = \frac{\sum_{i : l_c(i) = l} w_i r_i}{W_l + \sigma^2 / \tau_c^2}

    with :math:`r` what the other columns leave, and :math:`\sigma^2` and :math:`\tau_c^2` replaced by their expected
    values after each round. Targets are those of `TargetStatistics`; an unseen level has the effect 0.

    Rows given to `fit` must not see their own target: `fit_transform` gives each of `n_folds` random parts the effects
    by the other parts.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    n_rounds : int, default=15
        Times that all columns are gone through at most.
    tolerance : float, default=1e-3
        Largest change of an effect, in standard deviations of the target, that ends the rounds.
    n_folds : int, default=5
        Parts for cross-fitting.
    max_classes : int, default=4
        Largest number of classes that have effects.
    random_state : int, default=0
        Seed of the parts.

    Attributes
    ----------
    indices_ : list of dict
        Per column, level → row of its table.
    tables_ : list of ndarray of shape (n_levels + 1, n_targets)
        Per column, the effects; the last row is the unseen level, all 0.
    targets_ : tuple of int
        The classes that have effects; (1,) for two classes, (0,) for values.

    References
    ----------
    G. K. Robinson (1991). That BLUP is a good thing: the estimation of random effects. Statistical Science 6(1), 15-32.
    C. M. Bishop (2006). Pattern recognition and machine learning. Springer, section 10.1 (factorised approximations).
    """

    def __init__(
        self,
        n_classes: int = 1,
        n_rounds: int = 15,
        tolerance: float = 1e-3,
        n_folds: int = 5,
        max_classes: int = 4,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.n_rounds = n_rounds
        self.tolerance = tolerance
        self.n_folds = n_folds
        self.max_classes = max_classes
        self.random_state = random_state

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn the effects of every level.

        Parameters
        ----------
        block : sequence of Strings
            One entry per column.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights.

        Returns
        -------
        CategoryEffects

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("CategoryEffects.fit needs the target: expected y of shape (n_rows,), got None.")
        weights = unit_weights(weight, len(y))
        self.targets_ = choose_targets(y, weights, self.n_classes, self.max_classes)
        self.indices_ = [{level: i for i, level in enumerate(seen_levels(column))} for column in block]
        effects = self._effects(self._codes(block), self._targets(y, weights), weights)
        self.tables_ = [np.vstack([table, np.zeros((1, len(self.targets_)))]) for table in effects]
        self.n_features_out_ = (len(self.tables_) + 1) * len(self.targets_)
        return self

    def _targets(self, y: NDArray[Any], weights: Numbers) -> Numbers:
        return standardise(target_columns(y, self.n_classes, self.targets_), weights)

    def _codes(self, block: Sequence[Strings]) -> list[NDArray[np.int64]]:
        return [look_up(column, index, 0) for column, index in zip(block, self.indices_, strict=True)]

    def _effects(self, codes: Sequence[NDArray[np.int64]], targets: Numbers, weights: Numbers) -> list[Numbers]:
        """Of each column, the effects of its levels on each target: arrays of shape (n_levels, n_targets)."""
        sizes = [len(index) for index in self.indices_]
        per_target = [
            _joint_effects(codes, sizes, target, weights, self.n_rounds, self.tolerance) for target in targets.T
        ]
        return [np.column_stack(columns) for columns in zip(*per_target, strict=True)]

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write the effects column by column, then their sums."""
        self._write(
            out,
            [
                table[look_up(column, index, len(index))]
                for column, index, table in zip(block, self.indices_, self.tables_, strict=True)
            ],
        )

    def _write(self, out: Numbers, effects: Sequence[Numbers]) -> None:
        width = len(self.targets_)
        total = np.zeros((len(out), width))
        for j, effect in enumerate(effects):
            out[:, j * width : (j + 1) * width] = effect
            total += effect
        out[:, len(effects) * width :] = total

    def write_training(
        self,
        block: Sequence[Strings],
        y: NDArray[Any] | None,
        weight: Numbers | None,
        group: NDArray[Any] | None,
        out: Numbers,
    ) -> None:
        """Write cross-fitted effects of the rows given to `fit`; rows of one group share a part."""
        if y is None:
            raise ValueError("CategoryEffects needs the target of its training rows: got y=None.")
        parts = draw_parts(len(y), self.n_folds, group, self.random_state)
        weights = unit_weights(weight, len(y))
        targets, codes = self._targets(y, weights), self._codes(block)
        for part in range(self.n_folds):
            rows, others = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
            if len(rows):
                effects = self._effects([c[others] for c in codes], targets[others], weights[others])
                made = np.empty((len(rows), self.n_features_out_))
                self._write(made, [table[c[rows]] for table, c in zip(effects, codes, strict=True)])
                out[rows] = made

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_effect` (`<column>_effect_<class>` for several classes), and `effects` for the sum."""
        found = []
        for name in input_names:
            for k in self.targets_:
                of, suffix = target_words(self.n_classes, k)
                formula = f"effect of {name} on {of}, in its standard deviations, beside those of the other categories"
                found.append(Feature(f"{name}_effect{suffix}", "statistic", (name,), formula))
        for k in self.targets_:
            of, suffix = target_words(self.n_classes, k)
            formula = f"sum of the effects of all categories on {of}"
            found.append(Feature(f"effects{suffix}", "statistic", tuple(input_names), formula))
        return found


@dataclass
class _Column:
    """The effects of one column while they are estimated."""

    codes: NDArray[np.int64]
    totals: Numbers
    effect: Numbers
    smoothing: float

    def update(self, residual: Numbers, weights: Numbers, noise: float) -> float:
        """Estimate the effects anew; `residual` loses the new ones. Returns the largest change."""
        residual += self.effect[self.codes]
        sums = np.bincount(self.codes, weights=weights * residual, minlength=len(self.totals))
        effect = sums / (self.totals + self.smoothing)
        change = float(np.abs(effect - self.effect).max())
        self.effect = effect
        residual -= effect[self.codes]
        is_seen = self.totals > 0
        spread = float(np.mean(effect[is_seen] ** 2 + noise / (self.totals[is_seen] + self.smoothing)))
        self.smoothing = float(np.clip(noise / max(spread, 1e-12), _LEAST_SMOOTHING, _MOST_SMOOTHING))
        return change

    def doubt(self, noise: float) -> float:
        """What not knowing the effects adds to the squares of the residuals."""
        return float(np.sum(self.totals * noise / (self.totals + self.smoothing)))


def _joint_effects(
    codes: Sequence[NDArray[np.int64]],
    sizes: Sequence[int],
    target: Numbers,
    weights: Numbers,
    n_rounds: int,
    tolerance: float,
) -> list[Numbers]:
    columns = [
        _Column(c, np.bincount(c, weights=weights, minlength=size).astype(np.float64), np.zeros(size), 10.0)
        for c, size in zip(codes, sizes, strict=True)
    ]
    total, noise = float(weights.sum()), 1.0
    residual = target.copy()
    for _ in range(n_rounds):
        change = max((column.update(residual, weights, noise) for column in columns), default=0.0)
        squares = float(weights @ residual**2) + sum(column.doubt(noise) for column in columns)
        noise = max(squares / total, 1e-6) if total > 0 else 1.0
        if change <= tolerance:
            break
    return [column.effect for column in columns]
