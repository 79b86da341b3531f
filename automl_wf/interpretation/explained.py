"""What is explained: the final model, asked about rows put together from cells of rows that were really seen.

Cells are numbers, texts and times. No explanation needs to know which: it says of each cell only which row it is taken
from, so that one code serves all kinds and nothing is asked about values that never occurred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.costs import DecisionRule
from automl_wf.core.metrics import decide
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Predict = Callable[[Table], Floats]

MEASURED, NO_TIME = "measured", "not run: no time"
#: Rows that one thread predicts at a time: the same for any number of threads, so that the last digits are too.
BATCH_ROWS = 2_000
#: Cells that are put together at a time by one thread.
MAX_CELLS = 4_000_000
#: Columns named singly where the others are one group.
MAX_SINGLE = 20
OTHERS = "other columns"
#: Probabilities nearer to 0 or 1 are as good as certain, on the scale on which effects add up.
CERTAIN = 0.005
#: Rows that an order of columns is found by where none is known.
MOVED_ROWS = 20
_DAY = 86_400_000_000
#: Ends of a grid, as shares of the rows: beyond them lie too few rows to say anything.
_ENDS = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Explained:
    """The final model as a function of where each cell comes from.

    Parameters
    ----------
    predict : callable
        From a Table to probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,).
    rows : Table
        Rows that cells are taken from.
    task : Task
        What is predicted.
    classes : tuple of str
        Class labels as text; empty without classes.
    threshold : float, Costs or None, default=None
        What a class is decided on by, as for `decide`.
    n_threads : int, default=1
        Batches that are predicted at a time; the result does not depend on it.
    is_baseline : bool, default=False
        Whether the model is the baseline, which looks at no column.
    parts : tuple of callable, default=()
        Cheaper functions whose mean is `predict`, if it is a mean.
    """

    predict: Predict
    rows: Table
    task: Task
    classes: tuple[str, ...] = ()
    threshold: DecisionRule = None
    n_threads: int = 1
    is_baseline: bool = False
    parts: tuple[Predict, ...] = ()
    _cells: dict[int, Places] = field(default_factory=dict, repr=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is explained: the probability of the second of two classes, of each of several, or the prediction."""
        if self.task is Task.BINARY:
            return self.classes[1:]
        return self.classes or ("score" if self.task is Task.RANKING else "prediction",)

    def __call__(self, base: Places, sources: Mapping[int, Places] | None = None) -> Floats:
        """Predict rows put together from other rows.

        Parameters
        ----------
        base : ndarray of shape (n,)
            The row that cells are taken from unless `sources` says otherwise.
        sources : mapping of int to ndarray of shape (n,)
            By column, the row that its cell is taken from.

        Returns
        -------
        ndarray of shape (n, n_outputs)
            Predictions.
        """
        sources = sources or {}
        step = max(min(BATCH_ROWS, MAX_CELLS // max(len(self.rows.cells), 1)), 1)
        starts = range(0, len(base), step)

        def batch(start: int) -> Floats:
            some = slice(start, start + step)
            cells = tuple(
                _take(cells, sources[p][some] if p in sources else base[some])
                for p, cells in enumerate(self.rows.cells)
            )
            return self.of(self.predict(Table(self.rows.schema, cells, len(base[some]))))

        if len(starts) <= 1 or self.n_threads == 1:
            parts = [batch(start) for start in starts]
        else:
            with ThreadPoolExecutor(self.n_threads) as pool:
                parts = list(pool.map(batch, starts))
        return np.concatenate(parts) if parts else np.empty((0, len(self.outputs)))

    def slices(self) -> tuple[Explained, ...]:
        """Models whose mean this one is; itself if it is no mean."""
        if len(self.parts) <= 1:
            return (self,)
        return tuple(replace(self, predict=part, parts=()) for part in self.parts)

    def of(self, prediction: Floats) -> Floats:
        """The outputs that are explained, of shape (n_rows, n_outputs), out of what the model predicts."""
        if prediction.ndim == 1:
            return prediction[:, None]
        return prediction[:, 1:] if self.task is Task.BINARY else prediction

    def decide(self, outputs: Floats) -> NDArray[np.int64]:
        """Class codes, for outputs of a model with classes."""
        proba = np.column_stack([1.0 - outputs, outputs]) if self.task is Task.BINARY else outputs
        return decide(proba, self.threshold)

    def where_effects_add(self, outputs: Floats) -> Floats:
        """Outputs on the scale on which additive effects add up: log-odds, centred logarithms, or as they are."""
        if not self.task.is_classification:
            return outputs
        p = np.clip(outputs, CERTAIN, 1.0 - CERTAIN)
        if self.task is Task.BINARY:
            return np.log(p / (1.0 - p))
        logs = np.log(p)
        centred: Floats = logs - logs.mean(axis=1, keepdims=True)
        return centred

    def codes(self, position: int) -> Places:
        """For each row the first row with an equal cell in a column, of shape (n_rows,)."""
        if position not in self._cells:
            cells = self.rows.cells[position]
            values = cells.codes if isinstance(cells, Strings) else cells
            _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
            self._cells[position] = first[inverse].astype(np.intp)
        return self._cells[position]


def ranked_columns(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """Columns in the order of some names; those not named follow in their own order."""
    place = {name: i for i, name in enumerate(names)}
    return sorted(columns, key=lambda c: place.get(c.name, len(place)))


def players(columns: Sequence[Column], max_single: int = MAX_SINGLE) -> list[tuple[str, tuple[int, ...]]]:
    """The first columns singly, all others as one group: name and positions of each.

    Parameters
    ----------
    columns : sequence of Column
        The most important first.
    max_single : int, default=20
        Columns that stand alone; a single one left over does too.

    Returns
    -------
    list of (str, tuple of int)
        At most `max_single` + 1.
    """
    if len(columns) <= max_single + 1:
        return [(c.name, (c.position,)) for c in columns]
    name = OTHERS
    while any(c.name == name for c in columns):
        name += "…"
    others = tuple(c.position for c in columns[max_single:])
    return [*((c.name, (c.position,)) for c in columns[:max_single]), (name, others)]


def units_to_explain(
    model: Explained, n_rows: int, order: Sequence[str], max_single: int | None
) -> list[tuple[str, tuple[int, ...]]]:
    """Which columns stand alone when rows are explained, and which are one group.

    Parameters
    ----------
    model : Explained
        The model on the rows to explain, followed by those to compare with.
    n_rows : int
        Rows to explain.
    order : sequence of str
        Columns by importance; see `by_worth`.
    max_single : int or None
        Columns that stand alone; None: all.

    Returns
    -------
    list of (str, tuple of int)
        Names and positions: in their own order without a group, else the most important first.
    """
    used = model.rows.schema.used
    if max_single is None or len(used) <= max_single + 1 or n_rows == 0:
        return [(c.name, (c.position,)) for c in used]
    return players(by_worth(model, used, order, np.arange(n_rows), np.arange(n_rows, model.rows.n_rows)), max_single)


def by_worth(
    model: Explained, columns: Sequence[Column], order: Sequence[str], rows: Places, others: Places
) -> list[Column]:
    """Columns by importance, or, where that is not known of all, by how much predictions move without their cells.

    Parameters
    ----------
    model : Explained
        The model.
    columns : sequence of Column
        Columns to order.
    order : sequence of str
        Names by importance.
    rows, others : ndarray of int
        Rows whose cells are replaced, and rows whose cells take their place.

    Returns
    -------
    list of Column
        The most important first.
    """
    if {c.name for c in columns} <= set(order):
        return ranked_columns(columns, order)
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOVED_ROWS)).astype(np.intp)]
    moved = moved_by(model, [c.position for c in columns], some, np.resize(others, len(some)))
    return [columns[i] for i in np.argsort(-moved, kind="stable")]


def moved_by(model: Explained, columns: Sequence[int], rows: Places, others: Places) -> Floats:
    """How far predictions of rows move when one cell is taken from another row.

    Parameters
    ----------
    model : Explained
        The model.
    columns : sequence of int
        Positions of the columns whose cells are replaced, one at a time.
    rows, others : ndarray of int of shape (n_rows,)
        Rows whose cells are replaced, and rows whose cells take their place.

    Returns
    -------
    ndarray of shape (n_columns,)
        The mean move, added up over the outputs.
    """
    before = model(rows)
    moved = np.empty(len(columns))
    step = max(BATCH_ROWS // len(rows), 1)
    for start in range(0, len(columns), step):
        some = columns[start : start + step]
        base = np.tile(rows, len(some))
        sources = {}
        for i, column in enumerate(some):
            source = base.copy()
            source[i * len(rows) : (i + 1) * len(rows)] = others
            sources[column] = source
        after = model(base, sources).reshape(len(some), *before.shape)
        moved[start : start + step] = np.abs(after - before).sum(axis=2).mean(axis=1)
    return moved


def grid(rows: Table, column: Column, n_points: int, n_levels: int) -> Places:
    """Rows whose cells in a column stand for all: quantiles of numbers and times, the commonest texts.

    Parameters
    ----------
    rows : Table
        Rows to choose from.
    column : Column
        The column.
    n_points, n_levels : int
        Most values of a number or time, and of a text.

    Returns
    -------
    ndarray of int
        Rows with distinct cells, by value; texts by how common they are. Missing numbers and times have no point.
    """
    cells = rows.cells[column.position]
    if isinstance(cells, Strings):
        levels, first, counts = np.unique(cells.codes, return_index=True, return_counts=True)
        common = np.lexsort((cells.levels[levels].astype(str), -counts))[:n_levels]
        return first[common].astype(np.intp)
    values, first = np.unique(cells, return_index=True)
    known = ~_is_missing(values)
    values, first = values[known], first[known]
    if len(values) <= n_points:
        return first.astype(np.intp)
    in_order = np.sort(cells[~_is_missing(cells)])
    wanted = in_order[np.round(np.linspace(*_ENDS, n_points) * (len(in_order) - 1)).astype(np.intp)]
    return first[np.searchsorted(values, np.unique(wanted))].astype(np.intp)


def cell_values(rows: Table, column: Column, places: Places) -> tuple[Any, ...]:
    """Cells for people: numbers, yes or no as bool, texts, times as ISO 8601; None is missing."""
    cells = rows.cells[column.position]
    if isinstance(cells, Strings):
        return tuple(str(text) or None for text in cells.levels[cells.codes[places]])
    return tuple(cell_value(column, float(v) if cells.dtype.kind == "f" else int(v)) for v in cells[places])


def cell_value(column: Column, value: float) -> Any:
    """A number or time of a column, for people; None is missing."""
    if column.kind is ColumnKind.DATETIME:
        if value == MISSING_TIME or np.isnan(value):
            return None
        is_brief = column.minimum is not None and column.maximum is not None and column.maximum - column.minimum < _DAY
        return str(np.datetime64(int(value), "us").astype("datetime64[s]" if is_brief else "datetime64[D]"))
    if np.isnan(value):
        return None
    return bool(value) if column.kind is ColumnKind.BOOLEAN and value in (0.0, 1.0) else float(value)


def axis_values(rows: Table, column: Column, places: Places) -> tuple[float, ...]:
    """Where cells lie on an axis: numbers as they are, times in days since 1970, texts at 0, 1, …"""
    cells = rows.cells[column.position]
    if isinstance(cells, Strings):
        return tuple(float(i) for i in range(len(places)))
    values = cells[places].astype(np.float64)
    return short(values / _DAY if column.kind is ColumnKind.DATETIME else values)


def short(values: Floats | Sequence[float]) -> tuple[float, ...]:
    """Figures with six significant digits: for pages and files, not for sums."""
    return tuple(float(f"{v:.6g}") for v in np.asarray(values, dtype=np.float64).tolist())


def missing_cells(cells: Cells) -> NDArray[np.bool_]:
    """Which cells of a column are missing."""
    if isinstance(cells, Strings):
        is_empty: NDArray[np.bool_] = (cells.levels == "")[cells.codes]
        return is_empty
    return _is_missing(cells)


def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    is_missing: NDArray[np.bool_] = np.isnan(values) if values.dtype.kind == "f" else values == MISSING_TIME
    return is_missing


def _take(cells: Cells, rows: Places) -> Cells:
    return cells.take(rows) if isinstance(cells, Strings) else cells[rows]
