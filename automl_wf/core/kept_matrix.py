"""Matrices kept for later in little memory: a cell that is zero takes a bit, rows of a kept matrix nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Bytes below which a matrix is kept as it is.
_SMALL = 1 << 20
#: Share of its bytes that a packed matrix may take at most.
_WORTH = 0.8


class KeptMatrix(Protocol):
    """A matrix that is made when it is asked for: of the same bits and memory order each time, not to be written to."""

    def make(self) -> Floats:
        """The matrix."""

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

    @property
    def nbytes(self) -> int:
        """Nothing beside the matrix itself."""
        return 0


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix many of whose cells are zero.

    Parameters
    ----------
    shape : (int, int)
        Rows and features.
    order : {"C", "F"}
        Memory order.
    is_filled : ndarray of uint8
        A bit for each cell, in the order of the memory: whether it is anything but zero.
    cells : ndarray of float64
        Those that are.
    """

    shape: tuple[int, int]
    order: Literal["C", "F"]
    is_filled: NDArray[np.uint8]
    cells: Floats

    def make(self) -> Floats:
        """The matrix."""
        # Filled, not only allocated: pages are first touched in order.
        flat = np.full(self.shape[0] * self.shape[1], 0.0)
        np.place(flat, np.unpackbits(self.is_filled, count=len(flat)), self.cells)
        return flat.reshape(self.shape, order=self.order)

    @property
    def nbytes(self) -> int:
        """Those of bits and cells."""
        return self.is_filled.nbytes + self.cells.nbytes


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
    order: Literal["C", "F"] = "F" if X.flags.f_contiguous else "C"
    if X.nbytes < _SMALL or not (X.flags.f_contiguous or X.flags.c_contiguous):
        return Unpacked(X)
    flat = X.reshape(-1, order=order)
    # By its bits: the zero below zero is another cell.
    is_filled = flat.view(np.int64) != 0
    if 8 * np.count_nonzero(is_filled) + len(flat) / 8 > _WORTH * X.nbytes:
        return Unpacked(X)
    return Packed((X.shape[0], X.shape[1]), order, np.packbits(is_filled), flat[is_filled])
