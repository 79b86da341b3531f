"""DataView: what a check may look at, and samples of it that are few enough to be free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.fingerprint import row_hashes
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.problem_definition.target import Target

#: Rows that a check looks at: enough to see what matters, few enough to be free.
MAX_ROWS = 5_000
#: Cells that are compared row by row: the first rows of longer tables.
MAX_CELLS = 2_000_000


@dataclass(frozen=True)
class EqualRows:
    """Which rows have equal cells.

    Parameters
    ----------
    place : ndarray of shape (n_rows,)
        The same number for rows whose used cells (and groups) are equal.
    counts : ndarray of shape (n_places,)
        Rows of each number.
    y : ndarray of shape (n_rows,)
        Their targets.
    """

    place: NDArray[np.intp]
    counts: NDArray[np.intp]
    y: NDArray[Any]

    @cached_property
    def n_targets(self) -> NDArray[np.int64]:
        """Different targets among the rows of each number, of shape (n_places,)."""
        distinct, codes = np.unique(self.y, return_inverse=True)
        pairs = np.unique(self.place * len(distinct) + codes)
        return np.bincount(pairs // len(distinct), minlength=len(self.counts)).astype(np.int64)

    @property
    def disagreement(self) -> float:
        """Of the cells that several rows share, the part whose rows differ in their targets; 0 without such cells."""
        shared = self.counts > 1
        return float(np.mean(self.n_targets[shared] > 1)) if shared.any() else 0.0


@dataclass(frozen=True)
class DataView:
    """What the checks may look at.

    Parameters
    ----------
    table : Table
        X, read.
    target : Target
        y, read.
    group : ndarray of shape (n_rows,) or None
        Group or query of each row.
    """

    table: Table
    target: Target
    group: NDArray[np.int64] | None = None

    def sample(self, most: int | None = None) -> tuple[Table, NDArray[Any]]:
        """At most so many rows (default: MAX_ROWS), evenly spaced, and their targets."""
        n, most = self.table.n_rows, MAX_ROWS if most is None else most
        if n <= most:
            return self.table, self.target.values
        if most not in self._samples:
            rows = np.linspace(0, n - 1, most).astype(np.intp)
            self._samples[most] = self.table.take(rows), self.target.values[rows]
        return self._samples[most]

    @cached_property
    def _samples(self) -> dict[int, tuple[Table, NDArray[Any]]]:
        """Samples taken before: wide tables are not copied for every check."""
        return {}

    @cached_property
    def equal_rows(self) -> EqualRows | None:
        """Equal rows among the first ones; None where no column is used."""
        used = self.table.schema.used
        if not used:
            return None
        n = min(self.table.n_rows, max(MAX_CELLS // len(used), 1))
        cells: list[Cells] = [_first(self.table.cells[c.position], n) for c in used]
        if self.group is not None:
            cells.append(self.group[:n])
        _, place, counts = np.unique(row_hashes(cells), return_inverse=True, return_counts=True)
        return EqualRows(place, counts, self.target.values[:n])


def are_missing(cells: Cells) -> NDArray[np.bool_]:
    """Which cells are missing, of shape (n_rows,)."""
    if isinstance(cells, Strings):
        missing: NDArray[np.bool_] = (cells.levels == "")[cells.codes]
        return missing
    return np.isnan(cells) if cells.dtype.kind == "f" else cells == MISSING_TIME


def _first(cells: Cells, n: int) -> Cells:
    return cells.take(slice(0, n)) if isinstance(cells, Strings) else cells[:n]
