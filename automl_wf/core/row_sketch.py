"""What is kept of the rows of a table to tell later whether other rows were among them: short hashes of a few.

A row's hash (`row_hashes`, of its cells after the edge) is mixed with a seed and cut to 32 bits. Of very many rows the
smallest hashes are kept, which is an even draw of the distinct rows; whether some row is in the draw follows from its
own hash, so that a share among the rows of the draw is one among all. Cells cannot be computed from a hash; whoever has
a whole row can ask whether it was there, as with any fingerprint.

References
----------
E. Cohen and H. Kaplan (2007). Summarizing data using bottom-k sketches. PODC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.fingerprint import mixed, row_hashes
from automl_wf.core.table import Cells

#: Distinct rows that are kept.
MAX_ROWS = 20_000


@dataclass(frozen=True)
class RowSketch:
    """Hashes of rows.

    Parameters
    ----------
    hashes : ndarray of uint32 of shape (n_kept,)
        Of the distinct rows that were kept, ascending.
    counts : ndarray of uint32 of shape (n_kept,)
        How many rows there were of each.
    seed : int
        What the hashes were mixed with.
    """

    hashes: NDArray[np.uint32]
    counts: NDArray[np.uint32]
    seed: int

    @classmethod
    def of(cls, cells: Sequence[Cells], seed: int) -> RowSketch:
        """Sketch of a table.

        Parameters
        ----------
        cells : sequence of ndarray or Strings
            `Table.cells`.
        seed : int
            Seed of the fit.

        Returns
        -------
        RowSketch
            Of at most 20,000 distinct rows.
        """
        hashes, counts = np.unique(_short_hashes(cells, seed), return_counts=True)
        return cls(hashes[:MAX_ROWS], counts[:MAX_ROWS].astype(np.uint32), seed)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], seed: int) -> RowSketch | None:
        """The sketch that `arrays` made evidence of; None: there is none."""
        if not {"row_hash", "row_count"} <= set(arrays):
            return None
        return cls(arrays["row_hash"], arrays["row_count"], seed)

    @property
    def arrays(self) -> dict[str, NDArray[np.uint32]]:
        """The same as evidence of a package."""
        return {"row_hash": self.hashes, "row_count": self.counts}

    @property
    def repeated(self) -> float:
        """Share of the rows that equal another: so many of new rows from the same source would be known by chance."""
        return float(self.counts[self.counts > 1].sum() / max(self.counts.sum(), 1))

    @property
    def sha256(self) -> str:
        """SHA-256 of hashes and counts."""
        return hashlib.sha256(self.hashes.astype("<u4").tobytes() + self.counts.astype("<u4").tobytes()).hexdigest()

    def find(self, cells: Sequence[Cells]) -> NDArray[np.bool_]:
        """Which rows of another table were in this one.

        Parameters
        ----------
        cells : sequence of ndarray or Strings
            `Table.cells`, read by the same schema.

        Returns
        -------
        ndarray of bool
            One entry for each row that would have been kept, had it been there: all rows if all were kept.
        """
        hashes = _short_hashes(cells, self.seed)
        if len(self.hashes) >= MAX_ROWS:
            hashes = hashes[hashes <= self.hashes[-1]]
        return np.isin(hashes, self.hashes)

    def to_dict(self) -> dict[str, Any]:
        """What the card says of it."""
        return {"n_kept": len(self.hashes), "repeated": self.repeated, "sha256": self.sha256}


def _short_hashes(cells: Sequence[Cells], seed: int) -> NDArray[np.uint32]:
    return (mixed(row_hashes(cells) ^ np.uint64(seed)) >> np.uint64(32)).astype(np.uint32)
