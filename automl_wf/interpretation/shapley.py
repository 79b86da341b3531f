"""Shapley values of the input columns: how much each raw cell of a row moved the final model's prediction.

Sampled here and not by the shap library, whose import alone takes longer than a small `fit`, whose first explanation
then waits for a compiler, and whose permutation explainer asks the model row by row; the tests hold these values
against its exact explainer. All walks of many rows are predicted in one batch, each cell being represented by the row
that it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from automl_wf.core.schema import Column
from automl_wf.core.table import Strings, Table, stack
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput
from automl_wf.interpretation.explained import (
    MEASURED,
    Explained,
    Floats,
    Places,
    Predict,
    cell_values,
    missing_cells,
    players,
    short,
    units_to_explain,
)

#: Mixtures of rows that are explained together, unless one row alone needs more.
MIXTURES = 40_000
#: Whole predictions that explaining many rows may take, and background rows that a row is compared with at most.
MAX_PREDICTIONS, MAX_BACKGROUND = 80_000, 50
#: Work that it may take, in comparisons of cells by trees, and what a prediction takes beside its trees.
MAX_COMPARISONS, COMPARISONS_BESIDE = 600_000_000, 1_500
#: |base value + values − prediction| may be at most this times max(1, max|prediction|).
TOLERANCE = 1e-9
BASE_VALUE = "base_value"
_MIN_ROWS_OF_A_LEVEL, _MIN_ROWS_OF_A_TREND = 3, 5


@dataclass(frozen=True)
class Effect:
    """What one column, or the group of the others, does to predictions.

    Parameters
    ----------
    column : str
        Its name.
    mean_abs : float
        Mean size of its Shapley values, in units of the prediction; added up over the classes where there are several.
    direction : float or None
        Rank correlation of its numbers or times with its values: 1 where more always raises the prediction. None for
        texts, groups and several classes.
    highest, lowest : object or None
        The texts, or yes and no, that raise and lower the prediction most; None for numbers.
    """

    column: str
    mean_abs: float
    direction: float | None = None
    highest: Any = None
    lowest: Any = None


@dataclass(frozen=True)
class ShapleySummary:
    """Shapley values of a sample of rows, summed up.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    outputs : tuple of str
        What is explained: the prediction, or the classes whose probabilities are.
    effects : tuple of Effect
        The largest first.
    base_values : tuple of float
        Mean prediction of the background rows, by output.
    n_rows, n_background, max_evals : int
        Rows explained, rows that each was compared with, and most predictions that a row took (by the models of one
        fold each, where the ensemble is the mean of its folds).
    n_grouped : int
        Columns in the group of the others.
    largest_sum_error : float
        Largest |base value + values − prediction|.
    stability : float or None
        Rank correlation of the mean sizes between two halves of the rows, each with orders of its own.
    """

    status: str
    outputs: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    base_values: tuple[float, ...] = ()
    n_rows: int = 0
    n_background: int = 0
    max_evals: int = 0
    n_grouped: int = 0
    largest_sum_error: float = 0.0
    stability: float | None = None


def shapley_summary(
    model: Explained, columns: Sequence[Column], rows: Places, background: Places, *, seed: int
) -> ShapleySummary:
    """Explain some rows and sum up.

    Parameters
    ----------
    model : Explained
        The final model.
    columns : sequence of Column
        Used columns, the most important first.
    rows, background : ndarray of int
        Rows of the model's table to explain, and to compare them with.
    seed : int
        Seed of the orders.

    Returns
    -------
    ShapleySummary
        Sizes and directions.
    """
    units = players(columns)
    values, base, _ = walk_values(model, rows, background, [p for _, p in units], seed=seed)
    predictions = model(rows)
    sizes = np.abs(values).sum(axis=2)
    by_position = {c.position: c for c in columns}
    effects = [
        _effect(model, rows, name, [by_position[p] for p in positions], float(sizes[:, i].mean()), values[:, i])
        for i, (name, positions) in enumerate(units)
    ]
    error = float(np.abs(base + values.sum(axis=1) - predictions).max(initial=0.0))
    return ShapleySummary(
        status=MEASURED,
        outputs=model.outputs,
        effects=tuple(sorted(effects, key=lambda e: -e.mean_abs)),
        base_values=short(base),
        n_rows=len(rows),
        n_background=len(background),
        max_evals=max_evals(len(units), len(background)),
        n_grouped=len(units[-1][1]) if units and len(units[-1][1]) > 1 else 0,
        largest_sum_error=error,
        stability=_stability(sizes),
    )


def shapley_values(
    predict: Predict,
    table: Table,
    background: Table,
    *,
    class_names: Sequence[Any] | None,
    index: pd.Index | None = None,
    seed: int,
    order: Sequence[str] = (),
    max_single: int | None = None,
    n_threads: int = 1,
    slices: Sequence[Predict] = (),
    n_ways: int = 2,
) -> pd.DataFrame:
    """Explain predictions by Shapley values of the input columns.

    Parameters
    ----------
    predict : callable
        From a Table to probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,).
    table : Table
        Rows to explain.
    background : Table
        Rows that "not knowing" a column is averaged over.
    class_names : sequence or None
        Class labels in the order of the probabilities; None: there are no classes.
    index : Index or None, default=None
        Labels of the rows. None: 0, 1, …
    seed : int
        Seed of the orders in which columns become known.
    order : sequence of str, default=()
        Columns by importance, for `max_single`; see `units_to_explain`.
    max_single : int or None, default=None
        Columns that stand alone; the others are one group, "other columns". None: all.
    n_threads : int, default=1
        Batches that are predicted at a time.
    slices : sequence of callable, default=()
        Cheaper functions whose mean is `predict`; each compares with its share of the background rows, of which there
        must be a multiple.
    n_ways : {1, 2}, default=2
        Whether each order of the columns is gone both ways.

    Returns
    -------
    DataFrame
        One row per row of `table`, with one column per used input column (or group) and, last, `base_value`: the mean
        prediction on the background. A row's values and its base value sum to its prediction: with two classes the
        probability of the second one; with more there is one row per row and class. `attrs` says how many background
        rows there were, and how many predictions (`max_evals`) a row took at most.

    Raises
    ------
    InvalidInput
        There are no background rows.

    Notes
    -----
    For each background row the columns become known in a random order, forwards and backwards: 2 (d − 1) mixtures of
    both rows for d columns, fewer where cells are equal. Gone both ways the values are exact, with respect to this
    background, for models in which at most two columns interact; gone one way, for additive ones. The sum always is.

    References
    ----------
    S. M. Lundberg and S.-I. Lee, A unified approach to interpreting model predictions, NeurIPS 2017. E. Štrumbelj and
    I. Kononenko, An efficient explanation of individual classifications using game theory, JMLR 11, 2010 (permutation
    sampling). R. Mitchell et al., Sampling permutations for Shapley value estimation, JMLR 23, 2022 (antithetic pairs).
    """
    if background.n_rows == 0:
        raise InvalidInput("Shapley values need at least one background row, got none.")
    model = Explained(
        predict,
        stack([table, background]),
        Task.REGRESSION if class_names is None else Task.BINARY if len(class_names) == 2 else Task.MULTICLASS,
        () if class_names is None else tuple(map(str, class_names)),
        n_threads=n_threads,
        parts=tuple(slices),
    )
    units = units_to_explain(model, table.n_rows, order, max_single)
    rows = np.arange(table.n_rows)
    known = np.arange(table.n_rows, table.n_rows + background.n_rows)
    values, base, predictions = walk_values(model, rows, known, [p for _, p in units], seed=seed, n_ways=n_ways)
    if slices:
        # What they should sum to is what the whole model says, not what the slices do
        predictions = model(rows)
    lines = np.concatenate([values, np.broadcast_to(base, (len(rows), 1, len(base)))], axis=1)
    assert np.all(np.abs(lines.sum(axis=1) - predictions) <= TOLERANCE * max(1.0, np.abs(predictions).max(initial=0.0)))
    names = [*(name for name, _ in units), BASE_VALUE]
    frame = as_frame(lines, names, class_names, pd.RangeIndex(table.n_rows) if index is None else index)
    frame.attrs = {"n_background": len(known), "max_evals": max_evals(len(units), len(known), n_ways)}
    return frame


def as_frame(lines: Floats, names: Sequence[str], class_names: Sequence[Any] | None, index: pd.Index) -> pd.DataFrame:
    """Values of shape (n_rows, n_names, n_outputs) as one row per row, and per class where there are several."""
    if class_names is None or len(class_names) <= 2:
        return pd.DataFrame(lines[:, :, 0], index=index, columns=list(names))
    both = pd.MultiIndex.from_arrays(
        [index.repeat(len(class_names)), list(class_names) * len(lines)], names=[index.name or "row", "class"]
    )
    return pd.DataFrame(lines.transpose(0, 2, 1).reshape(-1, len(names)), index=both, columns=list(names))


def max_evals(n_players: int, n_background: int, n_ways: int = 2) -> int:
    """Most predictions that the values of one row take: one way or both past each background row."""
    return 1 + n_ways * max(n_players - 1, 0) * n_background


@dataclass(frozen=True)
class Effort:
    """How thoroughly rows are explained.

    Parameters
    ----------
    n_background : int
        Rows that each is compared with.
    n_ways : {1, 2}
        Whether each order of the columns is gone both ways.
    """

    n_background: int
    n_ways: int = 2


def affordable_predictions(n_comparisons: int) -> int:
    """Whole predictions that explanations may take of a model whose trees compare so many cells for each."""
    return min(MAX_PREDICTIONS, MAX_COMPARISONS // (n_comparisons + COMPARISONS_BESIDE))


def affordable(n_rows: int, n_players: int, n_slices: int = 1, n_comparisons: int = 0) -> Effort:
    """The effort that a number of rows affords: it follows from sizes alone, so that another machine does the same.

    Parameters
    ----------
    n_rows, n_players : int
        Rows to explain, and columns or groups of them.
    n_slices : int, default=1
        Slices of the model, each of which takes its share of the time of a whole prediction.
    n_comparisons : int, default=0
        Comparisons in the trees of the whole model that a prediction takes.

    Returns
    -------
    Effort
        At most 50 background rows, a multiple of the slices, as `MAX_PREDICTIONS` and `MAX_COMPARISONS` allow; at
        least one a slice, and one way where both would be too much even then.
    """
    predictions = affordable_predictions(n_comparisons) * n_slices
    one_way = max(n_players - 1, 1) * max(n_rows, 1)
    wanted = min(predictions // (2 * one_way), MAX_BACKGROUND) // n_slices
    return Effort(max(wanted, 1) * n_slices, 2 if predictions >= 2 * one_way * n_slices else 1)


def typical_rows(predictions: Floats, n: int) -> Places:
    """Rows that stand for all: evenly spread over the ranks of the predictions.

    Parameters
    ----------
    predictions : ndarray of shape (n_rows, n_outputs) or (n_rows,)
        Of all rows.
    n : int
        How many to choose.

    Returns
    -------
    ndarray of int
        At most n different rows, in their order; their mean prediction is near that of all.
    """
    outputs = predictions.reshape(len(predictions), -1)
    order = np.argsort(outputs[:, int(np.argmax(outputs.var(axis=0)))], kind="stable")
    n = min(n, len(order))
    return np.sort(order[((np.arange(n) + 0.5) * len(order) / n).astype(np.intp)]).astype(np.intp)


def walk_values(
    model: Explained, rows: Places, background: Places, units: Sequence[tuple[int, ...]], *, seed: int, n_ways: int = 2
) -> tuple[Floats, Floats, Floats]:
    """Walk from background rows to the rows to explain, unit by unit, in random orders and back.

    Parameters
    ----------
    model : Explained
        The model. Where it is the mean of cheaper slices each background row is compared by one of them: the values of
        a mean are the mean of the values.
    rows, background : ndarray of int of shape (n,) and (m,)
        Rows of its table; m is a multiple of the number of slices.
    units : sequence of tuple of int
        Positions of the columns that become known together.
    seed : int
        Seed of the orders.
    n_ways : {1, 2}, default=2
        Whether each order is gone both ways.

    Returns
    -------
    values : ndarray of shape (n, n_units, n_outputs)
        Shapley values.
    base : ndarray of shape (n_outputs,)
        Mean prediction of the background.
    predictions : ndarray of shape (n, n_outputs)
        Predictions of the rows.
    """
    slices = model.slices()
    if len(background) % len(slices):
        raise ValueError(f"The number of background rows must be a multiple of {len(slices)}, got {len(background)}.")
    n_outputs = len(model.outputs)
    values, base = np.zeros((len(rows), len(units), n_outputs)), np.zeros(n_outputs)
    predictions = np.zeros((len(rows), n_outputs))
    for i, part in enumerate(slices):
        found = _walk(part, rows, background[i :: len(slices)], units, [seed, i], n_ways)
        for total, of_part in zip((values, base, predictions), found, strict=True):
            total += of_part / len(slices)
    return values, base, predictions


def _walk(
    model: Explained,
    rows: Places,
    background: Places,
    units: Sequence[tuple[int, ...]],
    seed: Sequence[int],
    n_ways: int,
) -> tuple[Floats, Floats, Floats]:
    """As `walk_values`, for one slice."""
    ends = model(np.concatenate([rows, background]).astype(np.intp))
    at_rows, at_background = ends[: len(rows)], ends[len(rows) :]
    base = at_background.mean(axis=0)
    values = np.zeros((len(rows), len(units), ends.shape[1]))
    if len(units) == 0 or len(rows) == 0:
        return values, base, at_rows
    ranks = np.random.default_rng(seed).random((len(rows), len(background), len(units))).argsort(axis=2).argsort(axis=2)
    step = max(MIXTURES // max_evals(len(units), len(background), n_ways), 1)
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        n_some = len(rows[some])
        pairs = (rows[some].repeat(len(background)), np.tile(background, n_some))
        first, last = np.tile(at_background, (n_some, 1)), at_rows[some].repeat(len(background), axis=0)
        moved = _moves(model, pairs, units, ranks[some].reshape(-1, len(units)), first, last, n_ways)
        values[some] = moved.reshape(n_some, len(background), *moved.shape[1:]).mean(axis=1)
    return values, base, at_rows


def _moves(
    model: Explained,
    pairs: tuple[Places, Places],
    units: Sequence[tuple[int, ...]],
    ranks: NDArray[np.intp],
    first: Floats,
    last: Floats,
    n_ways: int,
) -> Floats:
    """What each unit moves the prediction by between the rows of each pair, of shape (n_pairs, n_units, n_outputs).

    Units whose cells are equal in both rows move nothing and need no prediction: the others are walked over in the
    order of their ranks and, going both ways, in the opposite order.
    """
    target, start = pairs
    differs = _differing(model, target, start, units)
    # Ranks among the differing units only; the others come last
    ranks = np.where(differs, ranks, ranks + len(units)).argsort(axis=1).argsort(axis=1)
    n_steps = differs.sum(axis=1)
    pair, known = np.nonzero(np.arange(1, len(units))[None, :] < n_steps[:, None])
    known = known + 1
    ways = [ranks[pair] < known[:, None], ranks[pair] >= (n_steps[pair] - known)[:, None]][:n_ways]
    is_known, of_way = np.concatenate(ways), np.tile(pair, n_ways)
    sources: dict[int, Places] = {}
    for u, positions in enumerate(units):
        source = np.where(is_known[:, u], target[of_way], start[of_way])
        sources.update(dict.fromkeys(positions, source))
    seen = model(start[of_way], sources).reshape(n_ways, len(pair), first.shape[1])
    path = np.zeros((n_ways, len(target), len(units) + 1, first.shape[1]))
    path[:, :, 0] = first
    everywhere = np.arange(len(target))
    path[:, everywhere, n_steps] = last
    path[:, pair, known] = seen
    forwards = np.where(differs, ranks, 0)
    backwards = np.where(differs, n_steps[:, None] - 1 - ranks, 0)
    moved = sum(
        path[way, everywhere[:, None], steps + 1] - path[way, everywhere[:, None], steps]
        for way, steps in enumerate((forwards, backwards)[:n_ways])
    )
    result: Floats = np.where(differs[:, :, None], moved, 0.0) / n_ways
    return result


def _differing(model: Explained, target: Places, start: Places, units: Sequence[tuple[int, ...]]) -> NDArray[np.bool_]:
    """Whether the cells of each unit differ between both rows of each pair; a group is taken to."""
    differs = np.ones((len(target), len(units)), dtype=bool)
    for u, positions in enumerate(units):
        if len(positions) == 1:
            codes = model.codes(positions[0])
            differs[:, u] = codes[target] != codes[start]
    return differs


def _effect(
    model: Explained, rows: Places, name: str, columns: Sequence[Column], size: float, values: Floats
) -> Effect:
    """Size and direction of one unit's values, of shape (n_rows, n_outputs)."""
    mean_abs = short([size])[0]
    if len(columns) != 1 or values.shape[1] != 1:
        return Effect(name, mean_abs)
    (column,) = columns
    cells = model.rows.cells[column.position]
    if isinstance(cells, Strings) or column.kind.value == "boolean":
        return Effect(name, mean_abs, None, *_extremes(model, rows, column, values[:, 0]))
    known = ~missing_cells(cells)[rows]
    return Effect(name, mean_abs, _trend(cells[rows][known], values[known, 0]))


def _trend(cells: NDArray[Any], values: Floats) -> float | None:
    """Rank correlation; None where there are few rows or nothing varies."""
    if len(cells) < _MIN_ROWS_OF_A_TREND or np.ptp(values) == 0.0 or cells.min() == cells.max():
        return None
    # Values that differ by rounding only are equal
    values = np.round(values / np.abs(values).max(), 9)
    return short([float(spearmanr(cells, values).statistic)])[0]


def _extremes(model: Explained, rows: Places, column: Column, values: Floats) -> tuple[Any, Any]:
    """The cells with the largest and the smallest mean value among those that several rows have."""
    codes = model.codes(column.position)[rows]
    distinct, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    means = np.bincount(place, values) / counts
    often = np.flatnonzero(counts >= _MIN_ROWS_OF_A_LEVEL)
    if len(often) < 2 or np.ptp(means[often]) == 0.0:
        return None, None
    ends = np.array([often[np.argmax(means[often])], often[np.argmin(means[often])]])
    highest, lowest = cell_values(model.rows, column, distinct[ends])
    return highest, lowest


def _stability(sizes: Floats) -> float | None:
    """Rank correlation of the units' mean sizes between even and odd rows, of sizes of shape (n_rows, n_units)."""
    halves = sizes[::2], sizes[1::2]
    if sizes.shape[1] < 3 or min(len(h) for h in halves) < 3:
        return None
    means = [half.mean(axis=0) for half in halves]
    if any(np.ptp(m) == 0.0 for m in means):
        return None
    return short([float(spearmanr(*means).statistic)])[0]
