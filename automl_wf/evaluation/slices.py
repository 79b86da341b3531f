"""Error slices: where in the input the model errs more than elsewhere, found on half of the rows, tested on the others.

Who looks at thousands of subsets finds some that are bad by chance. So the search sees one half of the held-out rows
only, and the few it brings back must show the same on the other half, after Holm's correction for their number. All
figures reported are of that other half, which had no part in the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from automl_wf.core.metrics import Floats
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Cells, Strings
from automl_wf.evaluation.bias_correction import sample_rows
from automl_wf.evaluation.bins import is_missing, name_level, name_range, quantile_codes
from automl_wf.evaluation.held_out import MEASURED, HeldOut, row_losses, unit_of_row

NO_LOSS = "not run: a ranking has no loss per row"
TOO_FEW = "not run: too few held-out rows"

N_BINS = 10
MIN_ROWS, MIN_SHARE = 30, 0.01
MAX_ROWS = 20_000
#: Rows times columns that are searched: fewer rows of wide tables, and of very wide ones the first columns only.
MAX_CELLS, MIN_SEARCHED_ROWS = 4_000_000, 2_000
MAX_SLICES = 10
#: Columns that pairs are made of: those whose single bins differ most.
MAX_PAIRED = 30
CONFIDENCE = 0.95
#: A second condition must leave out this share of the rows of the first, and the other way round.
MIN_LEFT_OUT = 0.05
#: A slice must stand out by this many standard errors on the first half to be looked at further.
_MIN_T = 2.0
#: What is smaller than this share of the means is how they were added up.
_ROUNDING = 1e-12

Ints = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """A part of the input where the model errs more than elsewhere.

    Parameters
    ----------
    where : str
        In words: "age from 18 to 25 and plan = pro".
    columns : tuple of str
        The one or two columns.
    n : int
        Held-out rows in it, on both halves.
    n_tested : int
        Those of the half that it was tested on, which all other figures are of.
    share : float
        Share of the rows of that half.
    loss, rest : float
        Mean loss inside and outside.
    difference, low, high : float
        How much greater it is inside, with a 95 % interval.
    p : float
        Chance of such a difference if there is none, corrected for the number of slices tested (Holm).
    wrong, wrong_rest : float or None
        Share of rows given a wrong class, inside and outside.
    """

    where: str
    columns: tuple[str, ...]
    n: int
    n_tested: int
    share: float
    loss: float
    rest: float
    difference: float
    low: float
    high: float
    p: float
    wrong: float | None = None
    wrong_rest: float | None = None


@dataclass(frozen=True)
class Slices:
    """Error slices.

    Parameters
    ----------
    rows : tuple of Slice
        Confirmed ones, those with the largest sum of additional loss (difference times rows) first; at most ten.
    loss : str
        What is averaged, in words.
    n_rows : int
        Held-out rows looked at, on both halves.
    min_rows : int
        Fewest rows of a slice.
    n_columns : int
        Columns looked at.
    n_searched, n_tested : int
        Subsets that were looked at on the first half, and those tested on the second.
    status : str
        "measured", or why not.
    kind : str
        Always "exploratory": nobody asked about these slices beforehand.
    """

    rows: tuple[Slice, ...] = ()
    loss: str = ""
    n_rows: int = 0
    min_rows: int = 0
    n_columns: int = 0
    n_searched: int = 0
    n_tested: int = 0
    status: str = MEASURED
    kind: str = "exploratory"


def find_slices(held_out: HeldOut, *, seed: int = 0, max_rows: int = MAX_ROWS) -> Slices:
    """Find and confirm where the model errs more than elsewhere.

    Parameters
    ----------
    held_out : HeldOut
        Rows and their predictions.
    seed : int, default=0
        Seed of the halves.
    max_rows : int, default=20_000
        Longer data is sampled, groups whole.

    Returns
    -------
    Slices
        Bins of one column and of pairs of columns; none where nothing is confirmed.

    Notes
    -----
    Means are compared by Welch's test; rows of one group count as one observation of it (cluster-robust variance).

    References
    ----------
    B. L. Welch, The generalization of Student's problem when several different population variances are involved,
    Biometrika 34, 1947. S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6, 1979. Y. Chung et al., Slice finder: automated data slicing for model validation, ICDE 2019.
    """
    measured = row_losses(held_out.held)
    if measured is None:
        return Slices(status=NO_LOSS)
    loss, label = measured
    group, weight = held_out.held.group, held_out.held.weight
    rng = np.random.default_rng([seed, 1])
    used = held_out.table.schema.used
    max_rows = min(max_rows, max(MAX_CELLS // max(len(used), 1), MIN_SEARCHED_ROWS))
    used = used[: MAX_CELLS // min(max_rows, max(len(loss), 1))]
    rows = sample_rows(len(loss), group, max_rows, rng)
    unit = unit_of_row(len(rows), None if group is None else group[rows])
    is_first = _first_half(len(rows), unit, rng)
    min_rows = max(MIN_ROWS, int(np.ceil(MIN_SHARE * len(rows))))
    if min(is_first.sum(), (~is_first).sum()) < min_rows:
        return Slices(loss=label, n_rows=len(rows), min_rows=min_rows, status=TOO_FEW)
    table = held_out.table if len(rows) == len(loss) else held_out.table.take(rows)
    losses = _Losses(loss[rows], np.ones(len(rows)) if weight is None else weight[rows], unit)
    columns = [b for c in used if (b := bin_column(c, table.cells[c.position], min_rows)) is not None]
    search = _Search(columns, losses.at(is_first), is_first, min_rows // 2)
    candidates, n_searched = search.run()
    candidates = [c for c in candidates if _has_support(c.mask & ~is_first, ~is_first, unit, min_rows // 2)]
    is_wrong = None
    if held_out.held.task.is_classification:
        is_wrong = (held_out.held.codes != held_out.held.y)[rows].astype(np.float64)
    found = _confirm(candidates, losses, is_wrong, is_first)
    found.sort(key=lambda s: -s.difference * s.n_tested)
    return Slices(tuple(found), label, len(rows), min_rows, len(columns), n_searched, len(candidates))


# --- the two halves --------------------------------------------------------------------------------------------------


def _first_half(n_rows: int, unit: Ints | None, rng: np.random.Generator) -> Mask:
    """Half of the rows, or of the groups, at random."""
    n_units = n_rows if unit is None else int(unit.max()) + 1
    is_first = np.zeros(n_units, dtype=bool)
    is_first[rng.permutation(n_units)[: n_units // 2]] = True
    return is_first if unit is None else is_first[unit]


@dataclass(frozen=True)
class _Losses:
    """Losses with their weights and units."""

    loss: Floats
    weight: Floats
    unit: Ints | None

    def at(self, rows: Mask) -> _Losses:
        return _Losses(self.loss[rows], self.weight[rows], None if self.unit is None else self.unit[rows])


def _has_support(inside: Mask, among: Mask, unit: Ints | None, at_least: int) -> bool:
    """Whether both sides have rows enough, and three units to tell a variance from."""
    for side in (inside, among & ~inside):
        n_units = int(side.sum()) if unit is None else len(np.unique(unit[side]))
        if side.sum() < at_least or n_units < 3:
            return False
    return True


# --- bins ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binned:
    """A column in bins; those from `n_slices` on are no slices of their own."""

    column: Column
    cells: Cells
    codes: Ints
    n_bins: int
    n_slices: int

    def describe(self, code: int) -> str:
        """One bin in words."""
        name, rows = self.column.name, self.codes == code
        if isinstance(self.cells, Strings):
            level = str(self.cells.levels[self.cells.codes[np.argmax(rows)]])
            return f"{name} = {name_level(level)}" if level else f"{name} is missing"
        if is_missing(self.cells[rows][:1])[0]:
            return f"{name} is missing"
        span = name_range(self.cells[rows])
        return f"{name} {span}" if span.startswith("from ") else f"{name} = {span}"


def bin_column(column: Column, cells: Cells, min_rows: int) -> Binned | None:
    """At most ten quantile bins of numbers and times, the commonest levels of categories, and what is missing.

    Parameters
    ----------
    column : Column
        The column.
    cells : ndarray or Strings
        Its cells.
    min_rows : int
        Rows of a category that makes a bin of its own.

    Returns
    -------
    Binned or None
        None for free text, identifiers and columns without a common category, or with one bin only, which is all rows.
    """
    if column.kind in (ColumnKind.TEXT, ColumnKind.IDENTIFIER):
        return None
    if isinstance(cells, Strings):
        counts = np.bincount(cells.codes, minlength=len(cells.levels))
        common = np.argsort(-counts, kind="stable")[:N_BINS]
        common = common[counts[common] >= min_rows]
        place = np.full(len(cells.levels), len(common), dtype=np.intp)
        place[common] = np.arange(len(common))
        codes, n_codes, n_slices = place[cells.codes], len(common) + 1, len(common)
    else:
        codes, n_codes = quantile_codes(cells, N_BINS)
        n_slices = n_codes
    has_slices = n_slices > 0 and len(np.unique(codes)) > 1
    return Binned(column, cells, codes, n_codes, n_slices) if has_slices else None


# --- the search on the first half ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """A bin, or the rows that two bins share."""

    bins: tuple[tuple[Binned, int], ...]
    mask: Mask

    @property
    def where(self) -> str:
        return " and ".join(binned.describe(code) for binned, code in self.bins)


@dataclass(frozen=True)
class _Search:
    """All bins and pairs of bins, on the first half."""

    columns: Sequence[Binned]
    losses: _Losses
    is_first: Mask
    min_rows: int

    def run(self) -> tuple[list[_Candidate], int]:
        """The slices that stand out most and differ from each other, and how many subsets were looked at."""
        found: list[tuple[float, tuple[tuple[int, int], ...]]] = []
        n_searched = 0
        single: list[Floats] = []
        for i, binned in enumerate(self.columns):
            t, n = _statistics(self.losses, binned.codes[self.is_first], binned.n_bins, self.min_rows)
            t[binned.n_slices :] = -np.inf
            n_searched += n
            single.append(t)
            found += [(float(t[b]), ((i, int(b)),)) for b in np.flatnonzero(t >= _MIN_T)]
        paired = sorted(np.argsort([-t.max(initial=-np.inf) for t in single], kind="stable")[:MAX_PAIRED].tolist())
        for i, j, t, n in self._pairs(paired, single):
            n_searched += n
            width = self.columns[j].n_bins
            found += [(float(t[b]), ((i, int(b) // width), (j, int(b) % width))) for b in np.flatnonzero(t >= _MIN_T)]
        found.sort(key=lambda entry: (-entry[0], entry[1]))
        return self._distinct([bins for _, bins in found]), n_searched

    def _pairs(self, paired: Sequence[int], single: Sequence[Floats]) -> Iterator[tuple[int, int, Floats, int]]:
        """t of each pair of bins of each two columns, where both say something and it is larger than that of either."""
        codes = {i: self.columns[i].codes[self.is_first] for i in paired}
        n_alone = {i: np.bincount(codes[i], minlength=self.columns[i].n_bins) for i in paired}
        for place, i in enumerate(paired):
            for j in paired[place + 1 :]:
                a, b = self.columns[i], self.columns[j]
                joint = codes[i] * b.n_bins + codes[j]
                t, n = _statistics(self.losses, joint, a.n_bins * b.n_bins, self.min_rows)
                grid = t.reshape(a.n_bins, b.n_bins)
                grid[a.n_slices :, :] = grid[:, b.n_slices :] = -np.inf
                parents = np.maximum(single[i][:, None], single[j][None, :])
                n_both = np.bincount(joint, minlength=a.n_bins * b.n_bins).reshape(grid.shape)
                narrows = n_both <= (1 - MIN_LEFT_OUT) * np.minimum(n_alone[i][:, None], n_alone[j][None, :])
                yield i, j, np.where(narrows & (grid > parents), grid, -np.inf).ravel(), n

    def _distinct(self, found: Sequence[tuple[tuple[int, int], ...]]) -> list[_Candidate]:
        """The first ten, each of which still stands out once the rows of those before it are set aside."""
        chosen: list[_Candidate] = []
        is_free = np.ones(int(self.is_first.sum()), dtype=bool)
        for bins in found[: 20 * MAX_SLICES]:
            mask = np.ones(len(self.is_first), dtype=bool)
            for i, code in bins:
                mask &= self.columns[i].codes == code
            inside = mask[self.is_first]
            left, _ = _statistics(self.losses.at(is_free), inside[is_free].astype(np.intp), 2, self.min_rows)
            if left[1] >= _MIN_T:
                chosen.append(_Candidate(tuple((self.columns[i], code) for i, code in bins), mask))
                is_free &= ~inside
            if len(chosen) == MAX_SLICES:
                break
        return chosen


def _statistics(losses: _Losses, codes: Ints, n_codes: int, min_rows: int) -> tuple[Floats, int]:
    """How many standard errors the mean loss of each code is above that of the other rows; −inf without support."""
    w, loss = losses.weight, losses.loss
    n = np.bincount(codes, minlength=n_codes)
    sums = (w, w * loss, w * loss * loss)
    mass, total, squares = (np.bincount(codes, s, n_codes).astype(np.float64) for s in sums)
    n_rest = len(codes) - n
    t = np.full(n_codes, -np.inf)
    at = np.flatnonzero((n >= min_rows) & (n_rest >= min_rows) & (mass > 0) & (mass < mass.sum()))
    if len(at):
        inside = _moments(mass[at], total[at], squares[at], n[at])
        outside = _moments(mass.sum() - mass[at], total.sum() - total[at], squares.sum() - squares[at], n_rest[at])
        difference = inside[0] - outside[0]
        t[at] = difference / np.maximum(np.sqrt(inside[1] + outside[1]), 1e-12 * np.maximum(np.abs(difference), 1e-300))
    return t, len(at)


def _moments(mass: Floats, total: Floats, squares: Floats, n: Ints) -> tuple[Floats, Floats]:
    """Mean, and the variance of that mean."""
    mean = total / mass
    return mean, np.maximum(squares / mass - mean**2, 0.0) / np.maximum(n - 1, 1)


# --- the test on the second half -------------------------------------------------------------------------------------


def _confirm(candidates: Sequence[_Candidate], losses: _Losses, is_wrong: Floats | None, is_first: Mask) -> list[Slice]:
    """The candidates that stand out on the second half, too."""
    second = losses.at(~is_first)
    tests = [compare_means(second.loss, c.mask[~is_first], second.weight, second.unit) for c in candidates]
    corrected = holm([test.p for test in tests])
    found = []
    for candidate, test, p in zip(candidates, tests, corrected.tolist(), strict=True):
        if p > 1 - CONFIDENCE:
            continue
        inside, outside = candidate.mask & ~is_first, ~candidate.mask & ~is_first
        wrong = [None, None] if is_wrong is None else [_mean(is_wrong, losses.weight, r) for r in (inside, outside)]
        found.append(
            Slice(
                candidate.where,
                tuple(binned.column.name for binned, _ in candidate.bins),
                int(candidate.mask.sum()),
                int(inside.sum()),
                float(inside.sum() / (~is_first).sum()),
                _mean(losses.loss, losses.weight, inside),
                _mean(losses.loss, losses.weight, outside),
                test.difference,
                test.low,
                test.high,
                p,
                *wrong,
            )
        )
    return found


def _mean(values: Floats, weight: Floats, rows: Mask) -> float:
    return float(np.average(values[rows], weights=weight[rows]))


@dataclass(frozen=True)
class Comparison:
    """Difference of two means with its 95 % interval, and the chance of one as large if there is none (one-sided)."""

    difference: float
    low: float
    high: float
    p: float


def compare_means(values: Floats, inside: Mask, weight: Floats | None = None, unit: Ints | None = None) -> Comparison:
    """Welch's test of whether the mean inside is greater than outside.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        What is averaged.
    inside : ndarray of bool of shape (n_rows,)
        The two sides; each needs two units at least.
    weight : ndarray of shape (n_rows,) or None, default=None
        Row weights.
    unit : ndarray of int of shape (n_rows,) or None, default=None
        Rows of one unit depend on each other. None: each row is a unit.

    Returns
    -------
    Comparison
        Difference inside minus outside.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 3.0, 5.0, 6.0, 7.0])
    >>> found = compare_means(values, np.array([False] * 3 + [True] * 3))
    >>> found.difference, round(found.p, 5)
    (4.0, 0.00402)
    """
    weight = np.ones(len(values)) if weight is None else weight
    influence = np.zeros(len(values))
    means, variances, freedoms = [], [], []
    for side in (inside, ~inside):
        w = weight[side]
        mean = np.average(values[side], weights=w)
        part = w * (values[side] - mean) / w.sum()
        if unit is not None:
            part = np.bincount(np.unique(unit[side], return_inverse=True)[1].ravel(), part)
        scale = len(part) / (len(part) - 1)
        means.append(mean)
        variances.append(scale * float((part**2).sum()))
        freedoms.append(len(part) - 1)
        influence[side] = np.sqrt(scale) * w * (values[side] - mean) / w.sum()
    influence[~inside] *= -1
    # Where a group has rows on both sides, what they share cancels.
    joint = influence if unit is None else np.bincount(unit, influence)
    error = float(np.sqrt((joint**2).sum()))
    difference = float(means[0] - means[1])
    rounding = _ROUNDING * (abs(means[0]) + abs(means[1]))
    if error <= rounding:
        return Comparison(difference, difference, difference, 0.0 if difference > rounding else 1.0)
    freedom = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Comparison(difference, difference - half, difference + half, float(stdtr(freedom, -difference / error)))


def holm(p: Sequence[float]) -> Floats:
    """Holm's step-down correction of p-values.

    Parameters
    ----------
    p : sequence of float
        Of all tests made.

    Returns
    -------
    ndarray of shape (n_tests,)
        Corrected, in the same order.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    corrected = np.empty(len(given))
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * (len(given) - np.arange(len(given)))), 1.0)
    return corrected
