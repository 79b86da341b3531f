"""Near counterfactuals: the few cells of a row that would have to be different for another prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.costs import DecisionRule
from automl_wf.core.schema import Column
from automl_wf.core.table import Cells, Strings, Table, stack
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.interpretation.explained import (
    Explained,
    Floats,
    Places,
    Predict,
    by_worth,
    cell_values,
    grid,
    missing_cells,
    ranked_columns,
)

#: Values of one column that are tried, and columns.
N_POINTS, N_LEVELS, MAX_COLUMNS = 12, 12, 20
#: Cells that may be changed before the search gives up.
MAX_CHANGES = 6
_TINY = 1e-12

#: How far outputs of shape (n, n_outputs) are beyond the goal: it is reached where this is not negative.
Goal = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Change:
    """One cell that is different.

    Parameters
    ----------
    column : str
        Its column.
    before, after : object
        What it is, and what it would have to be: a value that was seen in training.
    distance : float
        How far both are apart: in median absolute deviations of the column, or 1 for another text.
    """

    column: str
    before: Any
    after: Any
    distance: float


@dataclass(frozen=True)
class Counterfactual:
    """What would have to be different.

    Parameters
    ----------
    is_found : bool
        Whether the goal was reached.
    changes : tuple of Change
        The cells, in the order of their columns' importance; empty if nothing was found or nothing needs to change.
    outputs : tuple of float
        What the model says with them.
    """

    is_found: bool
    changes: tuple[Change, ...]
    outputs: tuple[float, ...]

    @property
    def distance(self) -> float:
        """Sum over the changes."""
        return sum(change.distance for change in self.changes)


def counterfactual(
    model: Explained, row: int, columns: Sequence[Column], goal: Goal, *, n_seen: int, max_changes: int = MAX_CHANGES
) -> Counterfactual:
    """Change as few cells of a row as possible, by as little as possible, until the goal is reached.

    Greedily: of all single changes the nearest that reaches the goal, or else the one that comes closest to it. Then
    changes that turn out not to be needed are taken back, and those that remain are made smaller.

    Parameters
    ----------
    model : Explained
        The model.
    row : int
        The row of the model's table that is asked about.
    columns : sequence of Column
        Columns that may be changed, the most important first.
    goal : callable
        How far outputs are beyond the goal.
    n_seen : int
        The first rows of the model's table, whose cells may be taken.
    max_changes : int, default=6
        Cells that may be changed.

    Returns
    -------
    Counterfactual
        The changes.

    References
    ----------
    S. Wachter, B. Mittelstadt and C. Russell, Counterfactual explanations without opening the black box, Harvard
    Journal of Law & Technology 31, 2018 (the distance, by median absolute deviation).
    """
    options = _Options.of(model, row, list(columns)[:MAX_COLUMNS], model.rows.take(slice(0, n_seen)))
    taken: dict[int, int] = {}
    beyond = float(goal(model(np.array([row])))[0])
    while beyond < 0.0 and len(taken) < max_changes:
        found = options.best(taken, goal)
        if found is None or found[2] <= beyond + _TINY:
            break
        column, source, beyond = found
        taken[column] = source
    if beyond < 0.0:
        return Counterfactual(False, (), _said(options.ask([taken])[0]))
    taken = options.nearer(options.pruned(taken, goal), goal)
    return Counterfactual(True, options.changes(taken), _said(options.ask([taken])[0]))


@dataclass(frozen=True, eq=False)
class _Options:
    """What may be changed in a row: for each column (by its number here) the rows a cell may come from, and how far."""

    model: Explained
    row: int
    columns: Sequence[Column]
    sources: tuple[Places, ...]
    distances: tuple[Floats, ...]

    @classmethod
    def of(cls, model: Explained, row: int, columns: Sequence[Column], seen: Table) -> _Options:
        sources, distances = [], []
        for column in columns:
            points = grid(seen, column, N_POINTS, N_LEVELS)
            codes = model.codes(column.position)
            points = points[codes[points] != codes[row]]
            sources.append(points)
            distances.append(_distances(model, column, row, points, seen.cells[column.position]))
        return cls(model, row, columns, tuple(sources), tuple(distances))

    def ask(self, takings: Sequence[dict[int, int]]) -> Floats:
        """What the model says of the row with each set of changes, of shape (n, n_outputs)."""
        base = np.full(len(takings), self.row, dtype=np.intp)
        sources: dict[int, Places] = {}
        for i, taken in enumerate(takings):
            for number, source in taken.items():
                sources.setdefault(self.columns[number].position, base.copy())[i] = source
        return self.model(base, sources)

    def best(self, taken: dict[int, int], goal: Goal) -> tuple[int, int, float] | None:
        """The next change: column, source row, and how far beyond the goal it leads."""
        singles = [
            (number, int(source), float(distance))
            for number, (sources, distances) in enumerate(zip(self.sources, self.distances, strict=True))
            if number not in taken
            for source, distance in zip(sources, distances, strict=True)
        ]
        if not singles:
            return None
        beyond = goal(self.ask([{**taken, number: source} for number, source, _ in singles]))
        reached = np.flatnonzero(beyond >= 0.0).tolist()
        pick: int = min(reached, key=lambda i: singles[i][2]) if reached else int(np.argmax(beyond))
        return singles[pick][0], singles[pick][1], float(beyond[pick])

    def pruned(self, taken: dict[int, int], goal: Goal) -> dict[int, int]:
        """Without the changes that are not needed, the largest taken back first."""
        for number in sorted(taken, key=lambda n: -self._distance(n, taken[n])):
            fewer = {n: source for n, source in taken.items() if n != number}
            if float(goal(self.ask([fewer]))[0]) >= 0.0:
                taken = fewer
        return taken

    def nearer(self, taken: dict[int, int], goal: Goal) -> dict[int, int]:
        """Each change as small as the others allow."""
        for number in list(taken):
            now = self._distance(number, taken[number])
            closer = [int(s) for s, d in zip(self.sources[number], self.distances[number], strict=True) if d < now]
            if not closer:
                continue
            reached = goal(self.ask([{**taken, number: source} for source in closer])) >= 0.0
            if reached.any():
                best = min(np.flatnonzero(reached), key=lambda i: self._distance(number, closer[i]))
                taken = {**taken, number: closer[int(best)]}
        return taken

    def changes(self, taken: dict[int, int]) -> tuple[Change, ...]:
        """Changes in words of the columns."""
        changes = []
        for number in sorted(taken):
            column, source = self.columns[number], taken[number]
            before, after = cell_values(self.model.rows, column, np.array([self.row, source]))
            changes.append(Change(column.name, before, after, self._distance(number, source)))
        return tuple(changes)

    def _distance(self, number: int, source: int) -> float:
        return float(self.distances[number][np.flatnonzero(self.sources[number] == source)[0]])


def _distances(model: Explained, column: Column, row: int, points: Places, seen: Cells) -> Floats:
    """Median absolute deviations between the row's cell and others; 1 for texts and where one is missing."""
    cells = model.rows.cells[column.position]
    if isinstance(cells, Strings) or isinstance(seen, Strings) or missing_cells(cells)[row]:
        return np.ones(len(points))
    known = seen[~missing_cells(seen)].astype(np.float64)
    scale = _deviation(known)
    apart: Floats = np.abs(cells[points].astype(np.float64) - float(cells[row])) / scale
    return apart


def _deviation(known: NDArray[np.float64]) -> float:
    """Median absolute deviation; where more than half of the values are equal, the standard deviation."""
    deviation = float(np.median(np.abs(known - np.median(known))))
    return deviation or float(known.std()) or 1.0


def _said(outputs: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in outputs)


def towards_class(model: Explained, code: int) -> Goal:
    """The goal that a class is said."""

    def beyond(outputs: Floats) -> Floats:
        is_said = model.decide(outputs) == code
        if len(model.outputs) == 1:
            short_of = 1.0 - outputs[:, 0] if code == 1 else outputs[:, 0]
        else:
            short_of = np.max(np.delete(outputs, code, axis=1), axis=1) - outputs[:, code]
        result: Floats = np.where(is_said, 1.0, -np.maximum(short_of, _TINY))
        return result

    return beyond


def towards_value(value: float, is_above: bool) -> Goal:
    """The goal that the prediction is at least, or at most, a value."""

    def beyond(outputs: Floats) -> Floats:
        away = outputs[:, 0] - value
        return away if is_above else -away

    return beyond


def counterfactual_table(
    predict: Predict,
    table: Table,
    seen: Table,
    *,
    task: Task,
    classes: Sequence[Any] | None,
    threshold: DecisionRule = None,
    target: Any = None,
    keep: Sequence[str] = (),
    order: Sequence[str] = (),
    index: pd.Index | None = None,
    n_threads: int = 1,
) -> pd.DataFrame:
    """What would have to be different in each of some rows.

    Parameters
    ----------
    predict : callable
        From a Table to probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,).
    table : Table
        Rows that are asked about.
    seen : Table
        Rows whose cells may be taken.
    task : Task
        What is predicted.
    classes : sequence or None
        Class labels in the order of the probabilities.
    threshold : float, Costs or None, default=None
        What a class is decided on by, as for `decide`.
    target : object, default=None
        The class to reach, or a value to come to from whichever side. None: the most probable other class, or the mean
        prediction of the rows seen.
    keep : sequence of str, default=()
        Columns that stay as they are.
    order : sequence of str, default=()
        Columns by importance: the first twenty may be changed.
    index : Index or None, default=None
        Labels of the rows. None: 0, 1, …
    n_threads : int, default=1
        Batches that are predicted at a time.

    Returns
    -------
    DataFrame
        One row per change: "row", "is_found", "column", "before", "after", "distance", "prediction_before",
        "prediction_after" (labels, or values). A row for which nothing was found has one line without a column.

    Raises
    ------
    InvalidParameter
        `target` is no class, or no number; or `keep` names an unknown column.
    """
    unknown = sorted(set(keep) - set(table.schema.names))
    if unknown:
        raise InvalidParameter(f"'keep' must name columns of X. Got {unknown!r} among them instead.")
    labels = () if classes is None else tuple(map(str, classes))
    model = Explained(predict, stack([seen, table]), task, labels, threshold, n_threads)
    columns = [c for c in ranked_columns(table.schema.used, order) if c.name not in set(keep)]
    everything = np.arange(model.rows.n_rows)
    if len(columns) > MAX_COLUMNS and table.n_rows > 0:
        columns = by_worth(model, columns, order, everything[seen.n_rows :], everything[: seen.n_rows])
    outputs = model(everything)
    ours = outputs[seen.n_rows :]
    names = pd.RangeIndex(table.n_rows) if index is None else index
    lines: list[dict[str, Any]] = []
    for i in range(table.n_rows):
        goal = _goal(model, ours[i : i + 1], target, classes, float(outputs[: seen.n_rows, 0].mean()))
        found = counterfactual(model, seen.n_rows + i, columns, goal, n_seen=seen.n_rows)
        after = np.array([found.outputs])
        said = {
            "prediction_before": _word(model, ours[i : i + 1], classes),
            "prediction_after": _word(model, after, classes),
        }
        nothing = [Change("", None, None, float("nan"))]
        for change in found.changes or nothing:
            lines.append(
                {
                    "row": names[i],
                    "is_found": found.is_found,
                    "column": change.column or None,
                    "before": change.before,
                    "after": change.after,
                    "distance": change.distance,
                    **said,
                }
            )
    return pd.DataFrame(lines, columns=list(_LINE))


_LINE = ("row", "is_found", "column", "before", "after", "distance", "prediction_before", "prediction_after")


def _goal(model: Explained, outputs: Floats, target: Any, classes: Sequence[Any] | None, middle: float) -> Goal:
    """The goal of one row."""
    if classes is None:
        if target is not None and (isinstance(target, bool) or not isinstance(target, Real)):
            raise InvalidParameter(f"'target' must be a number. Got {target!r} instead.")
        value = middle if target is None else float(target)
        return towards_value(value, is_above=bool(outputs[0, 0] < value))
    if target is not None:
        known = list(classes)
        if target not in known:
            raise InvalidParameter(f"'target' must be one of the classes {known!r}. Got {target!r} instead.")
        return towards_class(model, known.index(target))
    now = int(model.decide(outputs)[0])
    if len(model.outputs) == 1:
        return towards_class(model, 1 - now)
    return towards_class(model, int(np.argmax(np.where(np.arange(len(model.outputs)) == now, -1.0, outputs[0]))))


def _word(model: Explained, outputs: Floats, classes: Sequence[Any] | None) -> Any:
    return float(outputs[0, 0]) if classes is None else classes[int(model.decide(outputs)[0])]
