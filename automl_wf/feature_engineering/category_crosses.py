"""What the target was, on average, where two columns had these levels together: effects that no single column has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Levels, Numbers, look_up, seen_levels
from automl_wf.feature_engineering.cross_fit import (
    choose_targets,
    draw_parts,
    standardise,
    target_columns,
    unit_weights,
)
from automl_wf.feature_engineering.gains import draw_rows
from automl_wf.feature_engineering.target_statistics import TargetStatistics, sums_per_code

Codes: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
#: Classes of the target that crosses are judged by, and the number of statistics that those which are made may have.
_MAX_CLASSES, _MAX_STATISTICS = 3, 24
#: Turns in which the effects of single columns are estimated, one column after the other.
_N_TURNS = 3
#: Parts whose rows judge, by what was learnt from all others.
_N_JUDGING = 2
#: Standard errors by which a cross has to be better than its columns, and rows that one of its levels has on average.
_MIN_ERRORS, _MIN_ROWS = 3.0, 2.0
#: Fewer rows judge nothing.
_FEW_ROWS = 100


@dataclass(frozen=True)
class Pair:
    """Two columns, crossed.

    Parameters
    ----------
    first, second : int
        Their places in the block.
    keys : ndarray of shape (n_crossed,)
        Combinations of levels that training rows had, ascending: code of the first × (levels of the second + 1) + code
        of the second.
    """

    first: int
    second: int
    keys: Codes


class CategoryCrosses(FeatureTransformer[Sequence[Levels]]):
    r"""Smoothed mean of the target, and log count, per combination of levels of two columns.

    A cross is made where it tells of the target what its two columns, added, do not. On four fifths of the rows the
    effects of all columns are estimated side by side, each shrunk towards zero by `smoothing` rows, and what they leave
    of the target is averaged by cross, shrunk alike; on the fifth it must lessen the squared error of what they leave.
    Of crosses that lessen it by more than three standard errors, over two such fifths, the best are made, by
    `TargetStatistics`: combinations never seen are unseen levels. At least one of the two is a column of strings:
    boosting finds what two numbers tell together by itself. Crosses that tell rows apart no better than one of
    their columns, or almost every row from every other, are not looked at, and fewer than a hundred rows judge none.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    max_crosses : int, default=8
        Crosses made; of several classes fewer, since each has a statistic per class.
    max_columns : int, default=20
        Columns that are crossed: those whose own effects are the largest.
    max_rows : int, default=50000
        Rows that crosses are judged on.
    smoothing : float, default=10.0
        Rows the prior is worth.
    n_folds : int, default=5
        Parts for cross-fitting, and for judging.
    random_state : int, default=0
        Seed of the rows and of the parts.

    Attributes
    ----------
    levels_ : dict of int to (dict or ndarray)
        Of each column that is crossed, level → code, or the numbers that it may be, ascending, NaN at the end.
    pairs_ : list of Pair
        What is crossed, best first.
    statistics_ : TargetStatistics
        Of the crosses.

    References
    ----------
    D. Micci-Barreca (2001). A preprocessing scheme for high-cardinality categorical attributes in classification and
    prediction problems. ACM SIGKDD Explorations 3(1), 27–32 (the statistic).
    """

    takes_levels = True

    def __init__(
        self,
        n_classes: int = 1,
        max_crosses: int = 8,
        max_columns: int = 20,
        max_rows: int = 50_000,
        smoothing: float = 10.0,
        n_folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.max_crosses = max_crosses
        self.max_columns = max_columns
        self.max_rows = max_rows
        self.smoothing = smoothing
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, block: Sequence[Levels], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Choose crosses and learn their statistics.

        Parameters
        ----------
        block : sequence of Strings or of ndarray of shape (n_rows,)
            One entry per column.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights.

        Returns
        -------
        CategoryCrosses

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("CategoryCrosses.fit needs the target: expected y of shape (n_rows,), got None.")
        pairs = self._choose(block, y, weight)
        self.levels_ = {j: _levels_of(block[j]) for j in sorted({j for pair in pairs for j in pair})}
        codes = self._read(block)
        self.pairs_ = [Pair(i, j, np.unique(codes[i] * self._step(j) + codes[j])) for i, j in pairs]
        self.statistics_ = TargetStatistics(
            self.n_classes, self.smoothing, self.n_folds, random_state=self.random_state
        ).fit(self._crossed(codes), y, weight)
        self.n_features_out_ = self.statistics_.n_features_out_
        return self

    def _choose(self, block: Sequence[Levels], y: NDArray[Any], weight: Numbers | None) -> list[tuple[int, int]]:
        if len(y) < _FEW_ROWS:
            return []
        rows = draw_rows(len(y), self.max_rows, self.random_state)
        columns = [c.take(rows) if isinstance(c, Strings) else c[rows] for c in block]
        levels = [_levels_of(column) for column in columns]
        weights = unit_weights(weight, len(y))[rows]
        classes = choose_targets(y[rows], weights, self.n_classes, _MAX_CLASSES)
        judge = _Judge(
            [_codes_of(*pair) for pair in zip(columns, levels, strict=True)],
            [len(known) for known in levels],
            [isinstance(column, Strings) for column in columns],
            standardise(target_columns(y[rows], self.n_classes, classes), weights),
            weights,
            draw_parts(len(rows), self.n_folds, None, self.random_state),
            self.smoothing,
        )
        n_targets = 1 if self.n_classes <= 2 else min(self.n_classes, TargetStatistics().max_classes)
        n_crosses = min(self.max_crosses, max(_MAX_STATISTICS // n_targets, 1))
        return judge.best(n_crosses, self.max_columns)

    def _step(self, column: int) -> int:
        return len(self.levels_[column]) + 1

    def _read(self, block: Sequence[Levels]) -> dict[int, Codes]:
        return {j: _codes_of(block[j], levels) for j, levels in self.levels_.items()}

    def _crossed(self, codes: Mapping[int, Codes]) -> list[Strings]:
        """Each cross as a column of strings, the places of its combinations; "" where it was never seen."""
        crossed = []
        for pair in self.pairs_:
            keys = codes[pair.first] * self._step(pair.second) + codes[pair.second]
            places = np.minimum(np.searchsorted(pair.keys, keys), len(pair.keys) - 1)
            is_known = pair.keys[places] == keys
            levels = np.array([*map(str, range(len(pair.keys))), ""], dtype=object)
            crossed.append(Strings(np.where(is_known, places, len(pair.keys)).astype(np.int32), levels))
        return crossed

    def write(self, block: Sequence[Levels], out: Numbers) -> None:
        """Write statistics and log count of each cross, one cross after the other."""
        self.statistics_.write(self._crossed(self._read(block)), out)

    def write_training(
        self,
        block: Sequence[Levels],
        y: NDArray[Any] | None,
        weight: Numbers | None,
        group: NDArray[Any] | None,
        out: Numbers,
    ) -> None:
        """Write cross-fitted statistics of the rows given to `fit`; rows of one group share a part."""
        self.statistics_.write_training(self._crossed(self._read(block)), y, weight, group, out)

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named as those of `TargetStatistics`, of a column `<a>_and_<b>`."""
        parents = [(input_names[pair.first], input_names[pair.second]) for pair in self.pairs_]
        together = [" and ".join(names) for names in parents]
        width = len(self.statistics_.targets_) + 1
        return [
            replace(f, name=f"{'_and_'.join(names)}{f.name.removeprefix(said)}", parents=names)
            for f, names, said in zip(
                self.statistics_.features(together),
                (names for names in parents for _ in range(width)),
                (said for said in together for _ in range(width)),
                strict=True,
            )
        ]


@dataclass(frozen=True)
class _Judge:
    """Finds the crosses that tell more than their columns.

    Parameters
    ----------
    codes : sequence of ndarray of shape (n_rows,)
        Levels of each column.
    n_levels : sequence of int
        Of each column.
    is_text : sequence of bool
        Whether each is a column of strings.
    targets : ndarray of shape (n_rows, n_targets)
        Standardised.
    weights : ndarray of shape (n_rows,)
        Of the rows.
    parts : ndarray of shape (n_rows,)
        Part of each row.
    smoothing : float
        Rows by which effects are shrunk.
    """

    codes: Sequence[Codes]
    n_levels: Sequence[int]
    is_text: Sequence[bool]
    targets: Numbers
    weights: Numbers
    parts: Codes
    smoothing: float

    def best(self, n_crosses: int, n_columns: int) -> list[tuple[int, int]]:
        """Pairs of columns, best first."""
        varying = [j for j, n in enumerate(self.n_levels) if n > 1]
        splits = [(self.parts != k, self.parts == k) for k in range(_N_JUDGING)]
        plain = [(self.targets[others], self.targets[own]) for others, own in splits]
        largest = sorted(varying, key=lambda j: -self._gain(splits, plain, self.codes[j], self.n_levels[j])[0])
        chosen = sorted(largest[:n_columns])
        left = [self._beside(chosen, others, own) for others, own in splits]
        found = []
        for i, j in combinations(chosen, 2):
            if not (self.is_text[i] or self.is_text[j]):
                continue
            keys, n_keys = _numbered(self.codes[i] * (self.n_levels[j] + 1) + self.codes[j])
            if max(self.n_levels[i], self.n_levels[j]) < n_keys <= len(self.parts) / _MIN_ROWS:
                gain, error = self._gain(splits, left, keys, n_keys)
                if gain > _MIN_ERRORS * error:
                    found.append((-gain, i, j))
        return [(i, j) for _, i, j in sorted(found)[:n_crosses]]

    def _beside(self, columns: Sequence[int], others: Mask, own: Mask) -> tuple[Numbers, Numbers]:
        """What the effects of all columns in the other parts, added, leave of the targets there and of a part's own."""
        left, weights = self.targets[others], self.weights[others]
        codes = {j: self.codes[j][others] for j in columns}
        effects = {j: np.zeros((self.n_levels[j], left.shape[1])) for j in columns}
        for _ in range(_N_TURNS):
            for j in columns:
                left = left + effects[j][codes[j]]
                effects[j] = self._shrunk(sums_per_code(codes[j], self.n_levels[j], left, weights))
                left -= effects[j][codes[j]]
        left_of_own = self.targets[own]
        for j in columns:
            left_of_own = left_of_own - effects[j][self.codes[j][own]]
        return left, left_of_own

    def _gain(
        self,
        splits: Sequence[tuple[Mask, Mask]],
        left: Sequence[tuple[Numbers, Numbers]],
        codes: Codes,
        n_levels: int,
    ) -> tuple[float, float]:
        """By how much the mean in the other parts lessens the squared error of a part's row, and its standard error."""
        lessened = []
        for (others, own), (of_others, of_own) in zip(splits, left, strict=True):
            effects = self._shrunk(sums_per_code(codes[others], n_levels, of_others, self.weights[others]))[codes[own]]
            lessened.append(self.weights[own] * (effects * (2.0 * of_own - effects)).sum(axis=1))
        found = np.concatenate(lessened)
        return float(found.mean()), float(found.std() / np.sqrt(len(found)))

    def _shrunk(self, sums: Numbers) -> Numbers:
        shrunk: Numbers = sums[..., :-1] / (sums[..., -1:] + self.smoothing)
        return shrunk


def _levels_of(column: Levels) -> dict[str, int] | Numbers:
    if isinstance(column, Strings):
        return {level: i for i, level in enumerate(seen_levels(column))}
    return np.unique(column)


def _codes_of(column: Levels, levels: dict[str, int] | Numbers) -> Codes:
    """Code of each row's level; the number of levels for one that is not among them."""
    if isinstance(column, Strings):
        assert isinstance(levels, dict)
        return look_up(column, levels, len(levels))
    assert isinstance(levels, np.ndarray)
    places = np.minimum(np.searchsorted(levels, column), len(levels) - 1)
    is_known = (levels[places] == column) | (np.isnan(levels[places]) & np.isnan(column))
    return np.where(is_known, places, len(levels))


def _numbered(keys: Codes) -> tuple[Codes, int]:
    """Keys numbered from 0, and how many there are."""
    found, numbers = np.unique(keys, return_inverse=True)
    return numbers, len(found)
