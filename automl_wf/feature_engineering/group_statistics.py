"""How far a number is from what is usual in its group: a price that is high for a flat is low for a house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Mixed, Numbers, look_up, seen_levels
from automl_wf.feature_engineering.cross_fit import choose_targets, target_columns, unit_weights
from automl_wf.feature_engineering.gains import draw_rows, gains_of, largest

#: Classes of the target that the judging boosting looks at.
_MAX_CLASSES = 3


class GroupStatistics(FeatureTransformer[Mixed]):
    r"""Difference of a number from the mean of its group, for the most useful pairs of a category and a number.

    For level :math:`l` with :math:`n_l` known values of :math:`x` and their sum :math:`S_l` the usual value is
    :math:`\bar x_l = (S_l + m \bar x) / (n_l + m)`, where :math:`\bar x` is the mean of all and :math:`m` the
    smoothing; of an unseen level it is :math:`\bar x`. The feature is :math:`x - \bar x_l`. Nothing here is learnt
    from the target but which pairs are useful: a small gradient boosting is given the numbers and all candidates, and
    those that it gains most by are kept. It sees a random part of the training rows.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    smoothing : float, default=1.0
        Rows that the mean of all is worth.
    max_columns : int, default=6
        Categories and numbers that are paired; those that explain most of the target, and those gained most by.
    max_features : int, default=10
        Features made.
    max_rows : int, default=5000
        Rows that candidates are judged on.
    random_state : int, default=0
        Seed of the rows and of the boosting.

    Attributes
    ----------
    n_texts_ : int
        Categories given.
    pairs_ : list of (int, int)
        Places of the category and of the number of each feature, most useful first.
    indices_ : list of dict
        Per feature, level → place in its table.
    tables_ : list of ndarray of shape (n_levels + 1,)
        Per feature, the usual value of each level; the last one is that of an unseen level.

    References
    ----------
    J. M. Kanter and K. Veeramachaneni (2015). Deep feature synthesis: towards automating data science endeavors.
    IEEE DSAA (features as aggregates within groups; candidates are judged differently here).
    """

    def __init__(
        self,
        n_classes: int = 1,
        smoothing: float = 1.0,
        max_columns: int = 6,
        max_features: int = 10,
        max_rows: int = 5000,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.smoothing = smoothing
        self.max_columns = max_columns
        self.max_features = max_features
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, block: Mixed, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn usual values, and choose pairs.

        Parameters
        ----------
        block : Mixed
            Categories and numbers; NaN is missing.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights; they count in the choice of pairs.

        Returns
        -------
        GroupStatistics

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("GroupStatistics.fit needs the target: expected y of shape (n_rows,), got None.")
        self.n_texts_ = len(block.texts)
        self.pairs_ = self._choose(block, y, unit_weights(weight, len(y)))
        self.indices_ = [{level: i for i, level in enumerate(seen_levels(block.texts[c]))} for c, _ in self.pairs_]
        self.tables_ = [
            _usual_values(look_up(block.texts[c], index, 0), len(index), block.numbers[:, j], self.smoothing)
            for (c, j), index in zip(self.pairs_, self.indices_, strict=True)
        ]
        self.n_features_out_ = len(self.pairs_)
        return self

    def _choose(self, block: Mixed, y: NDArray[Any], weights: Numbers) -> list[tuple[int, int]]:
        rows = draw_rows(len(y), self.max_rows, self.random_state)
        targets = target_columns(y, self.n_classes, choose_targets(y, weights, self.n_classes, _MAX_CLASSES))
        X, targets, weights = block.numbers[rows], targets[rows], weights[rows]
        numbers = largest(gains_of(X, targets, weights, self.random_state), self.max_columns)
        texts = self._telling(block.texts, rows, targets)
        pairs = [(c, int(j)) for c in texts for j in numbers]
        if not pairs:
            return []
        made = [
            x - _usual_values(codes, n_levels, x, self.smoothing)[codes]
            for c, j in pairs
            for x, (codes, n_levels) in [(X[:, j], _codes(block.texts[c], rows))]
        ]
        gains = gains_of(np.column_stack([X[:, numbers], *made]), targets, weights, self.random_state)[len(numbers) :]
        return [pairs[i] for i in largest(gains, self.max_features)]

    def _telling(self, texts: Sequence[Strings], rows: NDArray[np.intp], targets: Numbers) -> list[int]:
        """The categories whose levels explain most of the targets, of those with rows enough for each level."""
        told = []
        for text in texts:
            codes, n_levels = _codes(text, rows)
            told.append(_explained(codes, n_levels, targets) if 2 <= n_levels <= len(rows) / 4 else 0.0)
        return [int(c) for c in largest(np.array(told), self.max_columns)]

    def write(self, block: Mixed, out: Numbers) -> None:
        """Write the differences."""
        for k, ((c, j), index, table) in enumerate(zip(self.pairs_, self.indices_, self.tables_, strict=True)):
            out[:, k] = block.numbers[:, j] - table[look_up(block.texts[c], index, len(index))]

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<number>_within_<category>`; the names of the categories come before those of the numbers."""
        found = []
        for c, j in self.pairs_:
            text, number = input_names[c], input_names[self.n_texts_ + j]
            formula = f"{number} less the mean of {number} over training rows with the same {text}"
            found.append(Feature(f"{number}_within_{text}", "numeric", (number, text), formula))
        return found


def _codes(text: Strings, rows: NDArray[np.intp]) -> tuple[NDArray[np.int64], int]:
    """Place of each row's level among those of these rows, and their number."""
    distinct, codes = np.unique(text.codes[rows], return_inverse=True)
    return codes.astype(np.int64), len(distinct)


def _usual_values(codes: NDArray[np.int64], n_levels: int, x: Numbers, smoothing: float) -> Numbers:
    """The smoothed mean of each level, and of an unseen one, of shape (n_levels + 1,)."""
    is_known = ~np.isnan(x)
    known, codes = x[is_known], codes[is_known]
    overall = float(known.mean()) if len(known) else 0.0
    counts = np.bincount(codes, minlength=n_levels + 1)
    sums = np.bincount(codes, weights=known, minlength=n_levels + 1)
    rows = counts + smoothing
    usual: Numbers = np.where(rows > 0, (sums + smoothing * overall) / np.where(rows > 0, rows, 1.0), overall)
    return usual


def _explained(codes: NDArray[np.int64], n_levels: int, targets: Numbers) -> float:
    """Share of the variance of the targets between the levels, less what as many random levels would have."""
    counts = np.maximum(np.bincount(codes, minlength=n_levels), 1)
    means = np.column_stack([np.bincount(codes, weights=z, minlength=n_levels) / counts for z in targets.T])
    total = float(((targets - targets.mean(axis=0)) ** 2).sum())
    within = float(((targets - means[codes]) ** 2).sum())
    n = len(codes)
    return 1.0 - (within / max(n - n_levels, 1)) / (total / max(n - 1, 1)) if total > 0 else 0.0
