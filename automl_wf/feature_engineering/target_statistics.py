"""What the target was, on average, where a category had this level: many levels in few columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers, look_up, seen_levels
from automl_wf.feature_engineering.cross_fit import (
    choose_targets,
    draw_parts,
    target_class,
    target_columns,
    target_words,
    unit_weights,
)


class TargetStatistics(FeatureTransformer[Sequence[Strings]]):
    r"""Smoothed mean of the target per level, and the logarithm of the level's count.

    For level :math:`l` with total weight :math:`W_l` and weighted target sum :math:`S_l`, prior :math:`\bar y` (the
    weighted mean over the training rows) and smoothing :math:`m`:

    .. math:: s_l = \frac{S_l + m \bar y}{W_l + m}, \qquad c_l = \log(1 + W_l)

    The target is the value or grade, the indicator of class 1 (two classes), or one indicator per class; of more than
    `max_classes` classes only the commonest have a column. An unseen level has the prior and a count of zero.

    Rows given to `fit` must not see their own target: `fit_transform` gives each of `n_folds` random parts the sums of
    the *other* parts, with the prior of all rows, so that a level seen nowhere else looks like an unseen one and no
    feature tells the parts apart by their prior. Counts know nothing of the target and are those of all rows.
    Weights are divided by their mean over the rows of positive weight, so that their unit does not matter.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    smoothing : float, default=10.0
        Rows the prior is worth.
    n_folds : int, default=5
        Parts for cross-fitting.
    max_classes : int, default=12
        Largest number of classes that have a column.
    random_state : int, default=0
        Seed of the parts.

    Attributes
    ----------
    indices_ : list of dict
        Per column, level → row of its table.
    tables_ : list of ndarray of shape (n_levels + 1, n_targets + 1)
        Per column, statistics and log count per level; the last row is the unseen level.
    targets_ : tuple of int
        The classes that have a column; (1,) for two classes, (0,) for values.
    prior_ : ndarray of shape (n_targets,)
        Weighted means over the training rows.

    References
    ----------
    D. Micci-Barreca (2001). A preprocessing scheme for high-cardinality categorical attributes in classification and
    prediction problems. ACM SIGKDD Explorations 3(1), 27–32 (its formula with the weight n / (n + m)).
    """

    def __init__(
        self,
        n_classes: int = 1,
        smoothing: float = 10.0,
        n_folds: int = 5,
        max_classes: int = 12,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.smoothing = smoothing
        self.n_folds = n_folds
        self.max_classes = max_classes
        self.random_state = random_state

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn the statistics of every level.

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
        TargetStatistics

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("TargetStatistics.fit needs the target: expected y of shape (n_rows,), got None.")
        weights = unit_weights(weight, len(y))
        self.targets_ = choose_targets(y, weights, self.n_classes, self.max_classes)
        targets = self._indicators(y)
        indices = [{level: i for i, level in enumerate(seen_levels(column))} for column in block]
        sums = [
            sums_per_code(look_up(column, index, 0), len(index) + 1, targets, weights)
            for column, index in zip(block, indices, strict=True)
        ]
        return self.fit_sums(indices, sums, self.targets_, weights @ targets / weights.sum())

    def fit_sums(
        self, indices: Sequence[dict[str, int]], sums: Sequence[Numbers], targets: tuple[int, ...], prior: Numbers
    ) -> Self:
        """Learn from sums per level, which several tables may have added up.

        Parameters
        ----------
        indices : sequence of dict
            Per column, level → row of its sums.
        sums : sequence of ndarray of shape (n_levels + 1, n_targets + 1)
            Per column, sums of the targets and of the weights; the last row, of unseen levels, is 0.
        targets : tuple of int
            The classes that have a column.
        prior : ndarray of shape (n_targets,)
            Weighted means over all rows.

        Returns
        -------
        TargetStatistics
        """
        self.targets_, self.prior_, self.indices_ = targets, prior, list(indices)
        self.tables_ = [np.hstack([self._smooth(s[:, :-1], s[:, -1:]), np.log1p(s[:, -1:])]) for s in sums]
        self.n_features_out_ = len(self.tables_) * (len(self.targets_) + 1)
        return self

    def _indicators(self, y: NDArray[Any]) -> Numbers:
        return target_columns(y, self.n_classes, self.targets_)

    def _smooth(self, sums: Numbers, totals: Numbers) -> Numbers:
        rows = totals + self.smoothing
        means = (sums + self.smoothing * self.prior_) / np.where(rows > 0, rows, 1.0)
        smoothed: Numbers = np.where(rows > 0, means, self.prior_)
        return smoothed

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write statistics and log count of each column, one column after the other."""
        width = len(self.targets_) + 1
        for j, (column, index, table) in enumerate(zip(block, self.indices_, self.tables_, strict=True)):
            out[:, j * width : (j + 1) * width] = table[look_up(column, index, len(index))]

    def write_training(
        self,
        block: Sequence[Strings],
        y: NDArray[Any] | None,
        weight: Numbers | None,
        group: NDArray[Any] | None,
        out: Numbers,
    ) -> None:
        """Write cross-fitted statistics of the rows given to `fit`; rows of one group share a part."""
        if y is None:
            raise ValueError("TargetStatistics needs the target of its training rows: got y=None.")
        self.write(block, out)
        parts = draw_parts(len(y), self.n_folds, group, self.random_state)
        weights, targets = unit_weights(weight, len(y)), self._indicators(y)
        width = len(self.targets_) + 1
        for j, (column, index) in enumerate(zip(block, self.indices_, strict=True)):
            codes = look_up(column, index, 0)
            sums = sums_per_part(codes, len(index), parts, self.n_folds, targets, weights)
            out[:, j * width : (j + 1) * width - 1] = self.cross_fitted(sums, parts, codes)

    def cross_fitted(self, sums: Numbers, parts: NDArray[np.int64], codes: NDArray[np.int64]) -> Numbers:
        """Means that do not know the rows of their own part.

        Parameters
        ----------
        sums : ndarray of shape (n_folds, n_levels, n_targets + 1)
            What `sums_per_part` returned, or what it returned for several tables, added up.
        parts, codes : ndarray of shape (n_rows,)
            Part and level of each row.

        Returns
        -------
        ndarray of shape (n_rows, n_targets)
        """
        # Adding up the other parts, not subtracting the own one: what cancels would leave a trace of the own target.
        others = np.stack([np.delete(sums, k, axis=0).sum(axis=0) for k in range(self.n_folds)])
        means = self._smooth(others[:, :, :-1], others[:, :, -1:])
        crossed: Numbers = means[parts, codes]
        return crossed

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_target_mean` (`<column>_target_mean_<class>` for several classes), `<column>_log_count`."""
        found = []
        for name in input_names:
            for k, prior in zip(self.targets_, self.prior_.tolist(), strict=True):
                of, suffix = target_words(self.n_classes, k)
                formula = (
                    f"{of} among training rows of the same {name}, smoothed by {self.smoothing:g} rows towards the "
                    f"overall {prior:.6g}"
                )
                found.append(
                    Feature(
                        f"{name}_target_mean{suffix}", "statistic", (name,), formula, target_class(self.n_classes, k)
                    )
                )
            formula = f"logarithm of 1 plus the number of training rows of the same {name}"
            found.append(Feature(f"{name}_log_count", "statistic", (name,), formula))
        return found


def sums_per_part(
    codes: NDArray[np.int64],
    n_levels: int,
    parts: NDArray[np.int64],
    n_parts: int,
    targets: Numbers,
    weights: Numbers,
) -> Numbers:
    """Sums of targets and weights per part and level, of shape (n_parts, n_levels, n_targets + 1)."""
    return sums_per_code(parts * n_levels + codes, n_parts * n_levels, targets, weights).reshape(n_parts, n_levels, -1)


def sums_per_code(codes: NDArray[np.int64], n_codes: int, targets: Numbers, weights: Numbers) -> Numbers:
    """Sums of targets and weights per level, of shape (n_codes, n_targets + 1)."""
    columns = [np.bincount(codes, weights=weights * column, minlength=n_codes) for column in targets.T]
    columns.append(np.bincount(codes, weights=weights, minlength=n_codes))
    return np.column_stack(columns)
