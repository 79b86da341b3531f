"""Matrices kept for later in little memory: numbers that recur are written once, zeros take a bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Bytes up to which a matrix is kept as it is.
_SMALL = 1 << 20
#: Share of its bytes that a packed matrix may take at most.
_WORTH = 0.8
#: Cells of a column that are looked at first, and the share of them that may differ where numbers recur.
_LOOKED_AT, _RECURRING = 1_024, 0.98
#: Columns of a packed matrix, and rows of any other, that are made together where no whole matrix is needed.
_COLUMNS_AT_ONCE, _ROWS_AT_ONCE = 16, 8_192
#: Rows and columns of a matrix, and their cells.
Part = tuple[slice, slice, Floats]


class KeptMatrix(Protocol):
    """A matrix that is made when it is asked for: of the same bits and memory order each time, not to be written to."""

    def make(self) -> Floats:
        """The matrix."""

    def parts(self) -> Iterator[Part]:
        """The same cells, few at a time: each part is good until the next one is asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def nbytes(self) -> int:
        """Bytes that are kept for it."""


@dataclass(frozen=True, eq=False)
class Unpacked:
    """A matrix kept as it is.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The matrix.
    """

    X: Floats

    def make(self) -> Floats:
        """The matrix itself."""
        return self.X

    def parts(self) -> Iterator[Part]:
        """Its rows."""
        for rows in _slices(len(self.X), _ROWS_AT_ONCE):
            yield rows, slice(None), self.X[rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.X), self.X.shape[1]

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return self.X.nbytes


@dataclass(frozen=True, eq=False)
class RowsOf:
    """Rows of a matrix that is kept anyway.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The matrix.
    rows : ndarray of int
        Which rows.
    """

    X: Floats
    rows: NDArray[np.intp]

    def make(self) -> Floats:
        """A copy of the rows."""
        return self.X[self.rows]

    def parts(self) -> Iterator[Part]:
        """Copies of some of the rows."""
        for rows in _slices(len(self.rows), _ROWS_AT_ONCE):
            yield rows, slice(None), self.X[self.rows[rows]]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), self.X.shape[1]

    @property
    def nbytes(self) -> int:
        """Nothing beside the matrix itself."""
        return 0


class _Column(Protocol):
    """One column of a packed matrix."""

    def write(self, out: Floats) -> None:
        """Its cells."""

    @property
    def nbytes(self) -> int:
        """Bytes that are kept for it."""


@dataclass(frozen=True, eq=False)
class _AllCells:
    """A column whose numbers hardly recur."""

    cells: Floats

    def write(self, out: Floats) -> None:
        out[:] = self.cells

    @property
    def nbytes(self) -> int:
        return self.cells.nbytes


@dataclass(frozen=True, eq=False)
class _Filled:
    """A column with many zeros: a bit for each cell, whether it is anything else, and those that are."""

    is_filled: NDArray[np.uint8]
    cells: Floats

    def write(self, out: Floats) -> None:
        out[:] = 0.0
        out[np.unpackbits(self.is_filled, count=len(out)).view(np.bool_)] = self.cells

    @property
    def nbytes(self) -> int:
        return self.is_filled.nbytes + self.cells.nbytes


@dataclass(frozen=True, eq=False)
class _Recurring:
    """A column of few numbers: each of them once, and for each cell which one: in a bit, one byte or two."""

    numbers: Floats
    codes: NDArray[Any]

    @classmethod
    def of(cls, numbers: Floats, codes: NDArray[np.intp]) -> _Recurring:
        if len(numbers) <= 2:
            return cls(numbers, np.packbits(codes.astype(np.bool_)))
        return cls(numbers, codes.astype(np.uint8 if len(numbers) <= 256 else np.uint16))

    def write(self, out: Floats) -> None:
        codes = np.unpackbits(self.codes, count=len(out)) if len(self.numbers) <= 2 else self.codes
        out[:] = self.numbers[codes]

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.codes.nbytes


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix many of whose numbers recur within a column.

    Parameters
    ----------
    n_rows : int
        Rows.
    order : {"C", "F"}
        Memory order.
    columns : sequence of columns
        Each in whatever way takes least.
    """

    n_rows: int
    order: Literal["C", "F"]
    columns: Sequence[_Column]

    def make(self) -> Floats:
        """The matrix."""
        # Filled, not only allocated: pages are first touched in order.
        X = np.full((self.n_rows, len(self.columns)), 0.0, order=self.order)
        if self.order == "F":
            for column, out in zip(self.columns, X.T, strict=True):
                column.write(out)
            return X
        for rows, columns, cells in self.parts():
            X[rows, columns] = cells
        return X

    def parts(self) -> Iterator[Part]:
        """All rows of some of the columns."""
        cells = np.empty((min(len(self.columns), _COLUMNS_AT_ONCE), self.n_rows))
        for some in _slices(len(self.columns), _COLUMNS_AT_ONCE):
            for column, out in zip(self.columns[some], cells, strict=False):
                column.write(out)
            yield slice(None), some, cells[: some.stop - some.start].T

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_rows, len(self.columns)

    @property
    def nbytes(self) -> int:
        """Those of the columns."""
        return sum(column.nbytes for column in self.columns)


def _slices(n: int, size: int) -> Iterator[slice]:
    """As scikit-learn's `gen_batches`, but of no rows it makes no slices."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def keep(X: Floats) -> KeptMatrix:
    """Keep a matrix, packed where that pays.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The matrix.

    Returns
    -------
    KeptMatrix
    """
    if X.nbytes <= _SMALL or not (X.flags.f_contiguous or X.flags.c_contiguous):
        return Unpacked(X)
    columns: list[_Column] = []
    for some in _slices(X.shape[1], _COLUMNS_AT_ONCE):
        columns += [_packed(column) for column in np.ascontiguousarray(X[:, some].T)]
    packed = Packed(len(X), "F" if X.flags.f_contiguous else "C", columns)
    return packed if packed.nbytes <= _WORTH * X.nbytes else Unpacked(X)


def _packed(column: Floats) -> _Column:
    """The column as it takes least, its numbers told apart by their bits: the zero below zero is another one."""
    bits = column.view(np.int64)
    looked_at = bits[:: max(len(bits) // _LOOKED_AT, 1)]
    n_different = len(np.unique(looked_at))
    filled_bytes = len(bits) / 8 + 8 * np.count_nonzero(bits)
    if n_different <= 2 or (n_different <= _RECURRING * len(looked_at) and filled_bytes > len(bits)):
        codes, numbers = pd.factorize(bits)
        if len(numbers) <= 1 << 16:
            recurring = _Recurring.of(numbers.view(np.float64), codes)
            if recurring.nbytes < min(filled_bytes, column.nbytes):
                return recurring
    if filled_bytes > column.nbytes:
        return _AllCells(column.copy())
    is_filled = bits != 0
    return _Filled(np.packbits(is_filled), column[is_filled])
