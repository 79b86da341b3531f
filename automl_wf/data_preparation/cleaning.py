"""The rows as they will be used: repeated for integer weights, small tables in an order that their content decides.

Small tables are sorted, so that neither the order of their rows nor the way a row is said to count twice (a weight of
two, or the row twice) changes the model. Copies of a row stay on one side of every split there, or they would be learnt
by heart; rows that are equal because few values are possible are no copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Cells, Strings, Table

#: Tables of at most this many rows (after repeating) are put into the order of their content.
MAX_SORTED = 2_000
#: Repeating for integer weights may not make a table longer than this factor.
MAX_REPEATS = 10
#: Columns that rows are first put in order by; where some rows are equal in them, by so many times as many.
_FIRST_KEYS = 8
#: Equal rows are taken for copies of one row if at most this share of those with equal cells differ in their targets.
MAX_DISAGREEMENT = 0.1


@dataclass(frozen=True)
class Rows:
    """Rows in the order and number in which they are used.

    Parameters
    ----------
    index : ndarray of shape (n_used,)
        Position in X of each row used.
    y : ndarray of shape (n_used,)
        Targets.
    weight : ndarray of shape (n_used,) or None
        Sample weights, unless they were turned into repeated rows.
    group : ndarray of shape (n_used,) or None
        Codes of the groups or queries that the user gave.
    copies : ndarray of shape (n_used,) or None
        Code per distinct row where some rows are copies of another and there are no groups.
    notes : tuple of str
        What was done, in words.
    n_given : int
        Rows of X.
    """

    index: NDArray[np.intp]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None
    group: NDArray[np.int64] | None
    copies: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()
    n_given: int = 0


def arrange_rows(
    table: Table,
    y: NDArray[Any],
    weight: NDArray[np.float64] | None,
    group: NDArray[np.int64] | None,
    *,
    in_order: bool = False,
) -> Rows:
    """Decide order and number of the rows.

    Parameters
    ----------
    table : Table
        X, read.
    y : ndarray of shape (n_rows,)
        Encoded targets.
    weight : ndarray of shape (n_rows,) or None
        Sample weights, not negative.
    group : ndarray of shape (n_rows,) or None
        Codes of groups.
    in_order : bool, default=False
        Whether the order of the rows means something (time, queries) and must be kept.

    Returns
    -------
    Rows
        The rows to use.
    """
    n = table.n_rows
    index = np.arange(n, dtype=np.intp)
    notes: list[str] = []
    if weight is not None:
        index, weight, note = _repeat(weight, n)
        notes.append(note)
    copies = None
    if len(index) <= MAX_SORTED and not in_order:
        order, copies = _canonical(table.take(index), y[index], _take(weight, index), _take(group, index))
        index = index[order]
        notes.append("rows put in the order of their content")
    return Rows(index, y[index], _take(weight, index), _take(group, index), copies, tuple(notes), n)


def _repeat(weight: NDArray[np.float64], n: int) -> tuple[NDArray[np.intp], NDArray[np.float64] | None, str]:
    total = float(weight.sum())
    if bool((weight == np.round(weight)).all()) and total <= min(MAX_SORTED, MAX_REPEATS * n):
        return np.repeat(np.arange(n, dtype=np.intp), weight.astype(np.int64)), None, "integer weights: rows repeated"
    if bool((weight == weight[0]).all()):
        return np.arange(n, dtype=np.intp), None, "equal sample weights have no effect"
    return np.flatnonzero(weight > 0).astype(np.intp), weight * (n / total), "sample weights passed to every model"


def _canonical(
    table: Table, y: NDArray[Any], weight: NDArray[np.float64] | None, group: NDArray[np.int64] | None
) -> tuple[NDArray[np.intp], NDArray[np.int64] | None]:
    """Order of the rows by content, and a code per distinct row if some are copies."""
    cells = [_sortable(c) for c in table.cells]
    keys = [y, *cells, *(k for k in (group, weight) if k is not None)]
    order = _in_order(keys)
    if group is not None:
        return order, None
    copies = _codes([y[order], *(c[order] for c in cells)])
    n_distinct = int(copies[-1]) + 1
    if n_distinct == len(copies) or n_distinct * MAX_REPEATS < len(copies) or _disagree(cells, order, copies):
        return order, None
    return order, copies


def _in_order(keys: list[NDArray[Any]]) -> NDArray[np.intp]:
    """Order of the rows by the first key, among equals by the second, and so on; the first few mostly decide."""
    n_keys = _FIRST_KEYS
    while True:
        order = np.lexsort(keys[:n_keys][::-1]).astype(np.intp)
        if n_keys >= len(keys) or int(_codes([key[order] for key in keys[:n_keys]])[-1]) == len(order) - 1:
            return order
        n_keys *= _FIRST_KEYS


def _sortable(cells: Cells) -> NDArray[Any]:
    """Cells as numbers in the order of their content."""
    if not isinstance(cells, Strings):
        return cells
    rank = np.empty(len(cells.levels), dtype=np.int32)
    rank[np.argsort(cells.levels.astype(str), kind="stable")] = np.arange(len(cells.levels), dtype=np.int32)
    return rank[cells.codes]


def _codes(keys: list[NDArray[Any]]) -> NDArray[np.int64]:
    """A code per row that rises by one wherever a row differs from the row before; NaN equals NaN."""
    same = np.ones(len(keys[0]) - 1, dtype=bool)
    for key in keys:
        equal = key[1:] == key[:-1]
        if key.dtype.kind == "f":
            equal |= np.isnan(key[1:]) & np.isnan(key[:-1])
        same &= equal
    return np.concatenate([[0], np.cumsum(~same)]).astype(np.int64)


def _disagree(cells: list[NDArray[Any]], order: NDArray[np.intp], copies: NDArray[np.int64]) -> bool:
    """Whether rows of equal cells often differ in y, as they do where few values are possible.

    Such rows are equal by chance. Holding out all of one target at once would teach the opposite of what is true.
    """
    by_cells = np.lexsort(cells[::-1])
    place = np.empty(len(order), dtype=np.int64)
    place[by_cells] = _codes([c[by_cells] for c in cells])
    place = place[order]
    n_rows = np.bincount(place)
    n_targets = np.bincount(place[np.unique(copies, return_index=True)[1]])
    return float(np.mean(n_targets[n_rows > 1] > 1)) > MAX_DISAGREEMENT


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]
