"""Permutation importance: what the score loses when one input column is shuffled among rows the models did not see."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from automl_wf.core.budget import Budget
from automl_wf.core.costs import DecisionRule
from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import sample_rows
from automl_wf.interpretation.explained import MEASURED, MOVED_ROWS, NO_TIME, Explained, moved_by

#: A fold's model and the rows it did not see.
Predictor = tuple[Callable[[Table], Floats], NDArray[np.intp]]

NO_SCORE = "not run: the held-out rows define no score"
CONFIDENCE = 0.95
#: Cells of a fold's rows, repeated once per shuffle, that are held in memory at a time.
_MAX_CELLS = 4_000_000
_MIN_ROWS = 50
#: Rows predicted to learn what one costs, and how wrong that may be: many cost less each, but shuffling takes time too.
_PROBE, _MARGIN = 200, 1.3
#: Fewer folds than these give no interval from one shuffle each.
_ENOUGH_FOLDS = 3
#: Share of the time in which the order of columns may be found, and fewest rows that tell something of it.
_ORDER_SHARE, _FEWEST_MOVED = 0.2, 4
#: Part of the largest importance below which one is not worth a word.
_SMALL = 0.05
#: Shuffled columns are predicted together up to this many rows: a call costs more than a few rows do.
_ROWS_PER_CALL = 2000


@dataclass(frozen=True)
class Importance:
    """What shuffling one input column costs.

    Parameters
    ----------
    column : str
        Its name.
    mean : float or None
        How far the score (greater is better) falls on average. None: not run, see `status`.
    std : float or None
        Standard deviation over folds and shuffles.
    low, high : float or None
        95 % interval of the mean: Student's, over the folds' means, or over all shuffles where there are fewer than
        three folds. None: one shuffle only.
    status : str
        "measured", or why it was not run.
    by_fold : tuple of float
        Mean of each fold.
    """

    column: str
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    status: str = MEASURED
    by_fold: tuple[float, ...] = ()

    @property
    def matters(self) -> bool:
        """Whether the score falls beyond chance."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True)
class Importances:
    """Permutation importance of input columns.

    Parameters
    ----------
    rows : tuple of Importance
        In the order the columns were given.
    base_score : float or None
        Mean score of the folds before anything is shuffled, greater is better.
    n_rows, n_folds, n_repeats : int
        Held-out rows used, folds, and shuffles per column and fold.
    """

    rows: tuple[Importance, ...]
    base_score: float | None
    n_rows: int
    n_folds: int
    n_repeats: int


@dataclass(frozen=True)
class _Fold:
    """A fold's held-out rows, once as they are and once repeated for all shuffles."""

    number: int
    predict: Callable[[Table], Floats]
    repeated: Table
    y: NDArray[Any]
    weight: Floats | None
    group: Codes | None
    base_score: float
    score: Callable[..., float]

    def drops(self, positions: Sequence[int], n_repeats: int, seed: int) -> Floats:
        """What each shuffle of each of some columns costs, of shape (n_columns, n_repeats)."""
        n = len(self.y)
        block = n_repeats * n
        table = self.repeated.take(slice(0, len(positions) * block))
        for place, position in enumerate(positions):
            rng = np.random.default_rng([seed, position, self.number])
            order = np.arange(table.n_rows)
            for start in range(place * block, (place + 1) * block, n):
                order[start : start + n] = start + rng.permutation(n)
            table = with_shuffled(table, position, order)
        predictions = np.split(self.predict(table), len(positions) * n_repeats)
        scores = [self.score(self.y, p, self.weight, self.group) for p in predictions]
        return self.base_score - np.array(scores).reshape(len(positions), n_repeats)


def with_shuffled(table: Table, position: int, order: NDArray[np.intp]) -> Table:
    """The table with the cells of one column in another order; all other columns are shared, not copied.

    Parameters
    ----------
    table : Table
        Rows.
    position : int
        Which column.
    order : ndarray of shape (n_rows,)
        Row that each cell is taken from.

    Returns
    -------
    Table
        As many rows.
    """
    cells: list[Cells] = list(table.cells)
    column = cells[position]
    cells[position] = column.take(order) if isinstance(column, Strings) else column[order]
    return replace(table, cells=tuple(cells))


def permutation_importance(
    predictors: Sequence[Predictor],
    table: Table,
    y: NDArray[Any],
    weight: Floats | None,
    group: Codes | None,
    scoring: Scoring,
    columns: Sequence[int],
    *,
    n_repeats: int,
    seed: int,
    budget: Budget,
    max_rows: int = 2000,
    threshold: DecisionRule = None,
) -> Importances:
    """Measure how far the score falls when one input column is shuffled among held-out rows.

    Parameters
    ----------
    predictors : sequence of (callable, ndarray)
        For each fold a function from a Table to probabilities, values or scores, and the rows its models did not see.
    table : Table
        All rows.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Row weights; queries, when ranking, which are sampled whole.
    scoring : Scoring
        Greater is better.
    columns : sequence of int
        Positions of the input columns to measure, most urgent first: when the time is over the rest is listed as not
        run.
    n_repeats : int
        Shuffles per column and fold.
    seed : int
        Seed; a column's shuffles depend on nothing else.
    budget : Budget
        Asked before each column, or before each few where rows are few.
    max_rows : int, default=2000
        Held-out rows used, over all folds.
    threshold : float, Costs or None, default=None
        What a class is decided on by, as for `decide`.

    Returns
    -------
    Importances
        One row per column given.

    Notes
    -----
    Columns that say the same share their importance: each alone may then look idle.

    References
    ----------
    L. Breiman, Random forests, Machine Learning 45, 2001. A. Fisher, C. Rudin and F. Dominici, All models are wrong,
    but many are useful, JMLR 20, 2019.
    """

    scorer = partial(scoring, threshold=threshold)
    queries = group if scoring.task is Task.RANKING else None
    chosen = _chosen_rows(predictors, queries, _rows_per_fold(table, len(predictors), n_repeats, max_rows), seed)
    longest = max((len(rows) for rows in chosen), default=1)
    n_together = min(max(_ROWS_PER_CALL // (longest * n_repeats), 1), max(len(columns), 1))
    folds: list[_Fold] = []
    slowest_s = 0.0
    for number, ((predict, _), rows) in enumerate(zip(predictors, chosen, strict=True)):
        if budget.left() <= slowest_s:
            break
        began = time.perf_counter()
        of_y, of_weight = y[rows], None if weight is None else weight[rows]
        of_group = None if queries is None else queries[rows]
        base_score = scorer(of_y, predict(table.take(rows)), of_weight, of_group)
        if np.isfinite(base_score):
            repeated = table.take(np.tile(rows, n_repeats * n_together))
            folds.append(_Fold(number, predict, repeated, of_y, of_weight, of_group, base_score, scorer))
        slowest_s = max(slowest_s, time.perf_counter() - began) if budget.is_limited else 0.0
    column_s = slowest_s * n_repeats * len(folds)
    if column_s > 0.0:
        # The first block of columns shall not take more than a third of the time; later ones are forecast by it.
        n_together = max(min(n_together, int(budget.left() / (3.0 * column_s))), 1)
    measured = _measure(folds, table, columns, n_together, n_repeats, seed, budget, n_together * column_s)
    base = float(np.mean([f.base_score for f in folds])) if folds else None
    return Importances(measured, base, sum(len(f.y) for f in folds), len(folds), n_repeats)


def seconds_per_row(predictors: Sequence[Predictor], table: Table) -> float:
    """What predicting a row takes, by a few of the first fold.

    Parameters
    ----------
    predictors, table
        As for `permutation_importance`.

    Returns
    -------
    float
        Seconds; 0 without folds.
    """
    if not predictors:
        return 0.0
    predict, rows = predictors[0]
    some = table.take(rows[:_PROBE])
    began = time.perf_counter()
    predict(some)
    return (time.perf_counter() - began) / max(some.n_rows, 1)


def affordable_effort(
    row_s: float, n_folds: int, n_columns: int, *, n_repeats: int, budget: Budget, max_rows: int
) -> tuple[int, int, int]:
    """Held-out rows, shuffles and folds with which all columns are measured in the time.

    Rather all columns roughly than a few well, and rather more rows than more shuffles of the same ones: both cost
    alike, but other rows tell something new.

    Parameters
    ----------
    row_s : float
        Seconds of predicting a row.
    n_folds, n_columns : int
        What is measured.
    n_repeats, max_rows : int
        What more time would not add to.
    budget : Budget
        The time.

    Returns
    -------
    n_rows, n_repeats, n_folds : int
        All of them without a limit; else as many as fit: at least one row (each fold takes 50 in any case), three folds
        of those there are, and one shuffle, or with fewer folds, where the interval is over the shuffles, two.
    """
    if not budget.is_limited or n_folds == 0 or n_columns == 0:
        return max_rows, n_repeats, n_folds
    n_predictions = max(budget.left(), 0.0) / max(_MARGIN * row_s, 1e-12)
    # Before anything is shuffled, rows are predicted once.
    per_column = n_predictions / (n_columns + 1 / n_repeats)
    fewest = min(1 if n_folds >= _ENOUGH_FOLDS else 2, n_repeats)
    repeats = min(max(int(per_column / max_rows), fewest), n_repeats)
    n_rows = min(max(int(per_column / repeats), 1), max_rows)
    return n_rows, repeats, min(n_folds, max(n_rows // _MIN_ROWS, _ENOUGH_FOLDS))


def most_urgent_first(
    predictors: Sequence[Predictor],
    table: Table,
    task: Task,
    columns: Sequence[int],
    *,
    row_s: float,
    seed: int,
    budget: Budget,
) -> list[int]:
    """Columns by how far a fold's predictions move without their cells, so that the time goes to those that matter.

    Parameters
    ----------
    predictors, table
        As for `permutation_importance`; a few held-out rows of the first fold are predicted once per column.
    task : Task
        What is predicted.
    columns : sequence of int
        Positions of the input columns.
    row_s : float
        Seconds of predicting a row.
    seed : int
        Seed of the few rows.
    budget : Budget
        The time.

    Returns
    -------
    list of int
        In their own order without a limit, when all of them are measured, or where finding out would take a fifth of
        the time.
    """
    if not budget.is_limited or not predictors:
        return list(columns)
    affordable = _ORDER_SHARE * max(budget.left(), 0.0) / max(_MARGIN * row_s * (len(columns) + 1), 1e-12)
    n_moved = int(min(affordable, MOVED_ROWS))
    if n_moved < _FEWEST_MOVED:
        return list(columns)
    predict, held_out = predictors[0]
    some = np.random.default_rng(seed).permutation(held_out)[: 2 * n_moved]
    model = Explained(predict, table.take(some), task)
    half = len(some) // 2
    if half == 0:
        return list(columns)
    moved = moved_by(model, columns, np.arange(half), np.arange(half, 2 * half))
    return [columns[i] for i in np.argsort(-moved, kind="stable")]


def _measure(
    folds: Sequence[_Fold],
    table: Table,
    columns: Sequence[int],
    n_together: int,
    n_repeats: int,
    seed: int,
    budget: Budget,
    block_s: float,
) -> tuple[Importance, ...]:
    """Importances, block by block; `block_s` forecasts the seconds of the first block, which then speaks for others."""
    measured: list[Importance] = []
    for start in range(0, len(columns), n_together):
        some = columns[start : start + n_together]
        names = [table.schema.columns[position].name for position in some]
        began = time.perf_counter()
        is_late = budget.left() <= block_s
        if is_late or not folds:
            status = NO_TIME if is_late else NO_SCORE
            measured += [Importance(name, status=status) for name in names]
        else:
            drops = np.stack([fold.drops(some, n_repeats, seed) for fold in folds], axis=1)
            measured += [_summarised(name, of_column) for name, of_column in zip(names, drops, strict=True)]
            taken = time.perf_counter() - began
            block_s = (taken if start == 0 else max(block_s, taken)) if budget.is_limited else 0.0
    return tuple(measured)


def _rows_per_fold(table: Table, n_folds: int, n_repeats: int, max_rows: int) -> int:
    n_cells = max(len(table.cells), 1) * max(n_repeats, 1)
    return max(min(max_rows // max(n_folds, 1), _MAX_CELLS // n_cells), _MIN_ROWS)


def _chosen_rows(
    predictors: Sequence[Predictor], group: Codes | None, max_rows: int, seed: int
) -> list[NDArray[np.intp]]:
    chosen = []
    for number, (_, rows) in enumerate(predictors):
        rng = np.random.default_rng([seed, number])
        chosen.append(rows[sample_rows(len(rows), None if group is None else group[rows], max_rows, rng)])
    return chosen


def _summarised(name: str, drops: Floats) -> Importance:
    """Mean, spread and interval of drops of shape (n_folds, n_repeats); shuffles without a score are left out."""
    drops = np.where(np.isfinite(drops), drops, np.nan)
    drops = drops[~np.isnan(drops).all(axis=1)]
    if not drops.size:
        return Importance(name, status=NO_SCORE)
    by_fold = np.nanmean(drops, axis=1)
    units = by_fold if len(by_fold) >= 3 else drops[~np.isnan(drops)]
    mean, each = float(by_fold.mean()), tuple(by_fold.tolist())
    if len(units) < 2:
        return Importance(name, mean, 0.0, by_fold=each)
    half = float(stdtrit(len(units) - 1, (1 + CONFIDENCE) / 2) * units.std(ddof=1) / np.sqrt(len(units)))
    return Importance(name, mean, float(np.nanstd(drops, ddof=1)), mean - half, mean + half, by_fold=each)


def idle(rows: Sequence[Importance]) -> tuple[str, ...]:
    """Columns that were measured and cost nothing beyond chance.

    Parameters
    ----------
    rows : sequence of Importance
        All columns.

    Returns
    -------
    tuple of str
        Those whose interval holds 0, without those that cost something in each fold and at least a twentieth of the
        largest importance: so few folds do not tell how much these cost, but not that it is nothing.
    """
    large = _large(rows)
    return tuple(
        row.column
        for row in rows
        if row.mean is not None and not row.matters and not (row.column in large and min(row.by_fold, default=0.0) > 0)
    )


def unstable(rows: Sequence[Importance]) -> tuple[str, ...]:
    """Columns that matter on average, but in some folds hardly or not at all.

    Parameters
    ----------
    rows : sequence of Importance
        All columns.

    Returns
    -------
    tuple of str
        Those with at least a twentieth of the largest importance, measured in three folds or more, that are worth less
        than a tenth as much in one fold as in another.
    """
    large = _large(rows)
    return tuple(
        row.column
        for row in rows
        if row.column in large and len(row.by_fold) >= 3 and min(row.by_fold) < 0.1 * max(row.by_fold)
    )


def _large(rows: Sequence[Importance]) -> set[str]:
    """Columns with at least a twentieth of the largest importance."""
    largest = max((row.mean for row in rows if row.mean is not None), default=0.0)
    return {row.column for row in rows if row.mean is not None and row.mean >= _SMALL * largest > 0}
