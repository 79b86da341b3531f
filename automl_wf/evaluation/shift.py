"""Whether the rows that judge the models look like the rows they learnt from; asked where folds are not random.

A small gradient boosting is asked to tell the held-out rows of each split from its training rows. Its ROC AUC on rows
(or whole groups) that it was not fitted on is 0.5 where both look alike. Columns whose shares of values moved from
training to held-out rows are named by their population stability index.

References
----------
J. Pan et al. (2020), Adversarial validation approach to concept drift problem in user targeting automation systems at
Uber, arXiv:2004.03045.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit
from sklearn.metrics import roc_auc_score

from automl_wf.core.budget import Budget
from automl_wf.core.drift import categorical_reference, count, expected_psi, numeric_reference, psi
from automl_wf.core.findings import Finding
from automl_wf.core.folds import Folds
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Strings, Table

MEASURED, NO_TIME = "measured", "not run: no time"
AT_RANDOM = "not run: the rows were split at random, so that both sides look alike"
NO_COLUMNS, FEW_ROWS = "not run: no column but those that order the rows", "not run: too few rows on one side"

CONFIDENCE = 0.95
#: Rows that are looked at over all splits, half of them held out; fewest on a side of a split.
MAX_ROWS, MIN_ROWS = 5_000, 40
#: Columns named, and those whose distributions are compared.
MAX_NAMED, MAX_COMPARED = 3, 50
#: AUC from which on the difference is worth a warning; stability index beyond chance of a column that has moved.
SHIFTED, MOVED = 0.65, 0.25
#: Seconds for a cell of the rows of one split, guessed before the first one was timed, and for a split of no cells.
_CELL_S, _SPLIT_S = 1e-6, 0.05
_ROUNDS = 30
#: Most bins that values are counted into, and fewest rows or groups for each of them.
_MAX_BINS, _UNITS_PER_BIN = 10, 8


@dataclass(frozen=True)
class ColumnShift:
    """How one column moved from training to held-out rows.

    Parameters
    ----------
    column : str
        Its name.
    gain_share : float
        Its part in what the splits of the boosting that tells the two apart gained.
    psi : float
        Population stability index less what chance may make of it, of the split where it is largest.
    """

    column: str
    gain_share: float
    psi: float


@dataclass(frozen=True)
class Shift:
    """Whether held-out rows can be told from training rows.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    auc : float or None
        Mean over the splits: 0.5 if they look alike, 1 if each row gives itself away.
    low, high : float or None
        95 % interval of the mean: Student's over three splits or more, else from the variance of an AUC of 0.5.
    by_split : tuple of float
        The AUC of each split that was looked at.
    n_rows : int
        Rows looked at.
    judged_by : {"rows", "groups"}
        What was kept on one side when the boosting was judged.
    left_out : tuple of str
        Columns that order the rows: they tell by definition.
    columns : tuple of ColumnShift
        The three that give most away; none where the two cannot be told apart beyond chance.
    moved : tuple of ColumnShift
        Those with a stability index beyond 0.25, the largest first.
    """

    status: str
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    by_split: tuple[float, ...] = ()
    n_rows: int = 0
    judged_by: str = "rows"
    left_out: tuple[str, ...] = ()
    columns: tuple[ColumnShift, ...] = ()
    moved: tuple[ColumnShift, ...] = ()

    @property
    def is_shifted(self) -> bool:
        """Whether the two can be told apart so well that it deserves a warning."""
        return self.auc is not None and self.low is not None and self.auc >= SHIFTED and self.low > 0.5


@dataclass(frozen=True)
class _Sides:
    """Some training rows of a split, then as many held-out ones."""

    table: Table
    is_held_out: NDArray[np.bool_]
    #: Rows of one unit (a row, or a group) stay together.
    unit: NDArray[np.int64]

    @property
    def n_rows(self) -> tuple[int, int]:
        """Training rows and held-out ones."""
        return int((~self.is_held_out).sum()), int(self.is_held_out.sum())

    @property
    def n_units(self) -> tuple[int, int]:
        """Units of the training rows and of the held-out ones."""
        return len(np.unique(self.unit[~self.is_held_out])), len(np.unique(self.unit[self.is_held_out]))


@dataclass(frozen=True)
class _Judged:
    """What came of one split."""

    sides: _Sides
    auc: float
    gains: dict[str, float]
    by_groups: bool


def measure_shift(
    table: Table,
    recipe: Any,
    folds: Folds,
    group: NDArray[np.int64] | None,
    *,
    is_given: bool,
    budget: Budget,
    seed: int,
    max_rows: int = MAX_ROWS,
) -> Shift:
    """Ask whether held-out rows can be told from training rows.

    Parameters
    ----------
    table : Table
        All rows.
    recipe : ViewRecipe
        The tree view, which learns nothing from rows.
    folds : Folds
        The splits.
    group : ndarray of shape (n_rows,) or None
        Groups that splits keep whole.
    is_given : bool
        Whether the user gave the splits; else rows without groups that are not in the order of time were split at
        random, which leaves nothing to ask.
    budget : Budget
        Asked before each split; what was done until then counts.
    seed : int
        Seed of the rows drawn and of the boosting.
    max_rows : int, default=5000
        Rows looked at, over all splits.

    Returns
    -------
    Shift
        Facts.
    """
    is_ordered = all(train.max() < valid.min() for train, valid in folds.splits)
    if group is None and not is_given and not is_ordered:
        return Shift(AT_RANDOM)
    # Dates tell later rows from earlier ones by definition.
    left_out = tuple(c.name for c in table.schema.of_kind(ColumnKind.DATETIME)) if is_ordered else ()
    names = frozenset(c.name for c in table.schema.used) - frozenset(left_out)
    if not names:
        return Shift(NO_COLUMNS, left_out=left_out)
    size = max(max_rows // (2 * len(folds)), MIN_ROWS)
    drawn = [_draw(table, split, group, size, seed + i) for i, split in enumerate(folds.splits)]
    drawn = [sides for sides in drawn if min(sides.n_rows) >= MIN_ROWS]
    judged = _judge_all(drawn, recipe, names, budget, seed)
    if not judged:
        return Shift(NO_TIME if drawn else FEW_ROWS, left_out=left_out)
    return _summarised(judged, left_out)


def shift_findings(shift: Shift | None) -> list[Finding]:
    """What the user should know: nothing unless held-out rows look unlike training rows.

    Parameters
    ----------
    shift : Shift or None
        Facts.

    Returns
    -------
    list of Finding
        At most one.
    """
    if shift is None or not shift.is_shifted:
        return []
    names = tuple(c.column for c in shift.columns)
    return [
        Finding(
            "shifted_validation",
            "warning",
            f"Held-out rows can be told from training rows (AUC {shift.auc:.2f}, 0.5 if they looked alike), "
            f"by {', '.join(map(repr, names))} first of all.",
            "Rows to come may differ as much from these: expect the score to move, and ask of each of these columns "
            "whether it will look the same then.",
            names,
        )
    ]


def _draw(
    table: Table,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    group: NDArray[np.int64] | None,
    size: int,
    seed: int,
) -> _Sides:
    """At most `size` rows of each side of a split."""
    random = np.random.default_rng(seed)
    sides = [np.sort(random.choice(side, min(len(side), size), replace=False)) for side in split]
    rows = np.concatenate(sides)
    unit = np.arange(len(rows)) if group is None else group[rows]
    return _Sides(table.take(rows), np.repeat([False, True], [len(side) for side in sides]), unit)


def _judge_all(drawn: Sequence[_Sides], recipe: Any, names: frozenset[str], budget: Budget, seed: int) -> list[_Judged]:
    """One split after the other, as long as there is time."""
    judged: list[_Judged] = []
    next_s = _SPLIT_S + _CELL_S * len(names) * max((s.table.n_rows for s in drawn), default=0)
    for number, sides in enumerate(drawn):
        if budget.left() <= next_s:
            break
        began = time.perf_counter()
        judged.append(_judge(sides, recipe.fit(sides.table), names, seed + number))
        taken = time.perf_counter() - began
        if budget.is_limited:
            next_s = taken if number == 0 else max(next_s, taken)
    return judged


def _judge(sides: _Sides, view: Any, names: frozenset[str], seed: int) -> _Judged:
    """Tell one half of the units by the other half, and the other way round."""
    kept = [i for i, parents in enumerate(view.parents) if names & set(parents)]
    X = view.transform(sides.table)[:, kept]
    codes = [k for k, i in enumerate(kept) if i in set(view.categorical)]
    # A group that alone is held out has nobody of its side to be told by: its rows have.
    by_units = min(sides.n_units) >= 4
    half = _halves(sides, by_units, seed)
    aucs, total = [], np.zeros(len(kept))
    for part in (0, 1):
        learnt, judged = half != part, half == part
        booster = _fit(X[learnt], sides.is_held_out[learnt], codes, seed)
        total += booster.feature_importance("gain")
        aucs.append(float(roc_auc_score(sides.is_held_out[judged], booster.predict(X[judged], num_threads=1))))
    gains: dict[str, float] = {}
    for i, gain in zip(kept, total.tolist(), strict=True):
        parents = [p for p in view.parents[i] if p in names]
        for parent in parents:
            gains[parent] = gains.get(parent, 0.0) + gain / len(parents)
    return _Judged(sides, float(np.mean(aucs)), gains, by_units and len(set(sides.unit)) < len(sides.unit))


def _halves(sides: _Sides, by_units: bool, seed: int) -> NDArray[np.int64]:
    """Half of each side, 0 or 1, at random; whole units if asked for."""
    random = np.random.default_rng(seed)
    half = np.empty(len(sides.unit), dtype=np.int64)
    for is_side in (~sides.is_held_out, sides.is_held_out):
        units = sides.unit[is_side] if by_units else np.arange(int(is_side.sum()))
        _, place = np.unique(units, return_inverse=True)
        half[is_side] = (random.permutation(int(place.max()) + 1) % 2)[place]
    return half


def _fit(X: NDArray[np.float64], is_held_out: NDArray[np.bool_], codes: list[int], seed: int) -> Any:
    from lightgbm import Dataset, train

    options = {
        "objective": "binary",
        "num_leaves": 15,
        "learning_rate": 0.2,
        "feature_fraction": 0.5,
        "min_data_in_leaf": max(5, min(20, len(X) // 50)),
        "max_bin": 63,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed % 2**31,
    }
    data = Dataset(X, label=is_held_out.astype(np.float64), categorical_feature=codes, params=options)
    return train(options, data, num_boost_round=_ROUNDS)


def _summarised(judged: Sequence[_Judged], left_out: tuple[str, ...]) -> Shift:
    aucs = tuple(split.auc for split in judged)
    low, high = _interval(judged)
    columns = _columns(judged)
    moved = sorted((c for c in columns if c.psi >= MOVED), key=lambda c: -c.psi)
    return Shift(
        MEASURED,
        float(np.mean(aucs)),
        low,
        high,
        aucs,
        sum(split.sides.table.n_rows for split in judged),
        "groups" if any(split.by_groups for split in judged) else "rows",
        left_out,
        columns[:MAX_NAMED] if low > 0.5 else (),
        tuple(moved),
    )


def _interval(judged: Sequence[_Judged]) -> tuple[float, float]:
    aucs = np.array([split.auc for split in judged])
    k, mean = len(aucs), float(aucs.mean())
    if k >= 3:
        half = float(stdtrit(k - 1, (1 + CONFIDENCE) / 2) * aucs.std(ddof=1) / np.sqrt(k))
    else:
        # Variance of the Mann-Whitney statistic where both sides are alike
        variances = [(a + b + 1) / (12 * a * b) for a, b in (split.sides.n_units for split in judged)]
        half = float(ndtri((1 + CONFIDENCE) / 2) * np.sqrt(np.sum(variances)) / k)
    return max(mean - half, 0.0), min(mean + half, 1.0)


def _columns(judged: Sequence[_Judged]) -> tuple[ColumnShift, ...]:
    """The columns that give most away, the largest gain first, with their stability index."""
    gains: dict[str, float] = {}
    for split in judged:
        for name, gain in split.gains.items():
            gains[name] = gains.get(name, 0.0) + gain
    whole = sum(gains.values()) or 1.0
    ranked = sorted((name for name, gain in gains.items() if gain > 0), key=lambda name: -gains[name])[:MAX_COMPARED]
    place = {c.name: c.position for c in judged[0].sides.table.schema.columns}
    return tuple(
        ColumnShift(name, gains[name] / whole, max(_psi(split.sides, place[name]) for split in judged))
        for name in ranked
    )


def _psi(sides: _Sides, position: int) -> float:
    """Population stability index of one column, less what chance may make of it; not below 0.

    Rows of one group are no independent witnesses: the first one speaks for each group. Of two samples of one
    distribution the index is a chi-squared of as many degrees of freedom as bins but one, times 1/n + 1/m (Yurdakul
    2018): three standard deviations above its mean are put down to chance.
    """
    first = np.unique(np.stack([sides.is_held_out, sides.unit]), axis=1, return_index=True)[1]
    cells, is_held_out = sides.table.take(first).cells[position], sides.is_held_out[first]
    n_bins = min(max(min(sides.n_units) // _UNITS_PER_BIN, 2), _MAX_BINS)
    values: NDArray[Any] = cells.values() if isinstance(cells, Strings) else cells
    known, new = values[~is_held_out], values[is_held_out]
    describe: Any = categorical_reference if isinstance(cells, Strings) else numeric_reference
    reference = describe(known, n_bins)
    before, after = np.asarray(reference["counts"]), count(new, reference)
    n_used = int(np.count_nonzero((before > 0) | (after > 0)))
    mean, step = expected_psi(n_used, *sides.n_units), expected_psi(2, *sides.n_units)
    return max(psi(before, after) - mean - 3.0 * float(np.sqrt(2.0 * mean * step)), 0.0)
