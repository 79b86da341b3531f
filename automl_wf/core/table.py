"""The input after the edge: every cell a double, a string or int64 microseconds, column by column.

Strings are kept as codes into the distinct values of their table, so that whatever is learnt of or computed from a
string is done once per distinct value and spread over the rows by one `take`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import Schema


@dataclass(frozen=True)
class Strings:
    """A column of strings: `levels[codes]`; the missing string is `""`."""

    codes: NDArray[np.int32]
    levels: NDArray[np.object_]

    def take(self, rows: NDArray[np.intp] | slice) -> Strings:
        """Other rows; where they are fewer than the levels, only with the levels that they have."""
        codes = self.codes[rows]
        if len(codes) >= len(self.levels):
            return Strings(codes, self.levels)
        present, places = np.unique(codes, return_inverse=True)
        return Strings(places.astype(np.int32), self.levels[present])

    def values(self) -> NDArray[np.object_]:
        """The strings themselves, of shape (n_rows,)."""
        values: NDArray[np.object_] = self.levels[self.codes]
        return values


Cells = NDArray[np.float64] | NDArray[np.int64] | Strings


@dataclass(frozen=True)
class Table:
    """Coerced rows.

    Parameters
    ----------
    schema : Schema
        Describes the columns.
    cells : tuple of ndarray or Strings
        One entry per column of the schema: float64 (edge "double"), Strings ("string") or int64 ("int64").
    n_rows : int
        Number of rows.
    """

    schema: Schema
    cells: tuple[Cells, ...]
    n_rows: int

    def take(self, rows: NDArray[np.intp] | slice) -> Table:
        """Some rows, in the order given; the table itself for all rows in its order, which are not held twice."""
        if _is_everything(rows, self.n_rows):
            return self
        if isinstance(rows, slice):
            n_rows = len(range(*rows.indices(self.n_rows)))
        else:
            n_rows = int(rows.sum()) if rows.dtype == bool else len(rows)
        cells = tuple(c.take(rows) if isinstance(c, Strings) else c[rows] for c in self.cells)
        return Table(self.schema, cells, n_rows)

    def numbers(self, positions: Sequence[int]) -> NDArray[np.float64]:
        """Columns of edge "double" side by side, of shape (n_rows, len(positions)), column-major."""
        out = np.empty((self.n_rows, len(positions)), dtype=np.float64, order="F")
        for j, position in enumerate(positions):
            out[:, j] = self._plain(position)
        return out

    def strings(self, positions: Sequence[int]) -> list[Strings]:
        """Columns of edge "string"."""
        columns = [self.cells[p] for p in positions]
        return [c for c in columns if isinstance(c, Strings)]

    def levels(self, positions: Sequence[int]) -> list[Strings | NDArray[np.float64]]:
        """Columns of the edges "string" and "double", each by itself."""
        columns = [self.cells[p] for p in positions]
        return [c if isinstance(c, Strings) else np.asarray(c, dtype=np.float64) for c in columns]

    def times(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """Columns of edge "int64" side by side, of shape (n_rows, len(positions))."""
        out = np.empty((self.n_rows, len(positions)), dtype=np.int64, order="F")
        for j, position in enumerate(positions):
            out[:, j] = self._plain(position)
        return out

    def _plain(self, position: int) -> NDArray[Any]:
        cells = self.cells[position]
        assert not isinstance(cells, Strings)
        return cells


def stack(tables: Sequence[Table]) -> Table:
    """Tables of one schema, one below the other.

    Parameters
    ----------
    tables : sequence of Table
        At least one.

    Returns
    -------
    Table
        All rows in order.
    """
    cells = tuple(_joined(parts) for parts in zip(*(t.cells for t in tables), strict=True))
    return Table(tables[0].schema, cells, sum(t.n_rows for t in tables))


def _joined(parts: Sequence[Cells]) -> Cells:
    strings = [part for part in parts if isinstance(part, Strings)]
    if not strings:
        return np.concatenate([part for part in parts if not isinstance(part, Strings)])
    starts = np.cumsum([0, *(len(part.levels) for part in strings)])
    codes = np.concatenate([part.codes + start for part, start in zip(strings, starts[:-1], strict=True)])
    levels, places = np.unique(np.concatenate([part.levels for part in strings]), return_inverse=True)
    return Strings(places[codes].astype(np.int32), levels)


def _is_everything(rows: NDArray[np.intp] | slice, n_rows: int) -> bool:
    if isinstance(rows, slice) or rows.dtype == bool or len(rows) != n_rows:
        return False
    return bool(np.array_equal(rows, np.arange(n_rows)))
