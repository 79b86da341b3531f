"""Cells in bins, and what a bin is called."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME

Cells = NDArray[np.float64] | NDArray[np.int64]
_MAX_TEXT = 40


def is_missing(cells: Cells) -> NDArray[np.bool_]:
    """Which numbers or times are missing."""
    missing: NDArray[np.bool_] = np.isnan(cells) if cells.dtype.kind == "f" else cells == MISSING_TIME
    return missing


def quantile_codes(cells: Cells, n_bins: int) -> tuple[NDArray[np.intp], int]:
    """Bin of each number or time, by quantiles of those that are there; what is missing has the last bin.

    Parameters
    ----------
    cells : ndarray of shape (n_rows,)
        Doubles, or microseconds.
    n_bins : int
        Bins wanted; equal values share a bin.

    Returns
    -------
    codes : ndarray of shape (n_rows,)
        Of rising values.
    n_codes : int
        Number of bins, the one for missing cells among them; some may be empty.
    """
    gaps = is_missing(cells)
    known = cells[~gaps]
    if not len(known):
        return np.zeros(len(cells), dtype=np.intp), 1
    edges = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins, method="higher"))
    codes = np.searchsorted(edges, cells, side="right").astype(np.intp)
    codes[gaps] = len(edges) + 1
    return codes, len(edges) + 2


def name_range(cells: Cells) -> str:
    """What the cells of one bin have in common: "missing", one value, or "from … to …"."""
    if is_missing(cells[:1])[0]:
        return "missing"
    low, high = cells.min(), cells.max()
    return written(low) if low == high else f"from {written(low)} to {written(high)}"


def name_level(level: str) -> str:
    """A category, cut where it is long."""
    return level if len(level) <= _MAX_TEXT else level[: _MAX_TEXT - 1] + "…"


def written(value: np.float64 | np.int64) -> str:
    """A number with four digits, or a time.

    Examples
    --------
    >>> written(np.float64(0.123456)), written(np.float64(12345.0)), written(np.int64(86_400_000_000))
    ('0.1235', '12345', '1970-01-02')
    """
    if isinstance(value, np.integer):
        return str(np.datetime64(int(value), "us").astype("datetime64[s]")).replace("T00:00:00", "").replace("T", " ")
    value = value + np.float64(0.0)
    return f"{value:.0f}" if abs(value) < 1e15 and value == np.round(value) else f"{value:.4g}"
