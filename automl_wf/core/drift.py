"""Drift: values counted into fixed bins, windows of counts that can be added up, and the population stability index.

Training counts its reference with this file and the exported service counts its requests with it: it is copied verbatim
into every package and therefore needs numpy and the standard library only.

Bins of a numeric column are: below the first edge, between each pair of edges, above the last edge, missing. Those of a
categorical column are: each level, any other level, missing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_TIME = -(2**63)
Counts = NDArray[np.int64]


def numeric_edges(values: NDArray[Any], n_bins: int = 10) -> NDArray[np.float64]:
    """Choose edges that share the values out evenly, from the smallest to the largest.

    Edges are quantiles. A value that several quantiles share gets a bin of its own, and so does each value when there
    are at most `n_bins` distinct ones.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        float64, or int64 microseconds; missing ones are left out.
    n_bins : int, default=10
        Largest number of bins between the edges.

    Returns
    -------
    ndarray of shape (n_edges,)
        Two edges at least, not decreasing; both 0 if every value is missing.
    """
    return _edges_of(_ordered(values), n_bins)


def _ordered(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values that are not missing, ascending."""
    numbers = _numbers(values)
    numbers.sort()
    return numbers[: np.searchsorted(numbers, np.nan)]


def _edges_of(numbers: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    if not numbers.size:
        return np.zeros(2)
    distinct = numbers[np.append(True, numbers[1:] != numbers[:-1])]
    # Quantiles by their place among the distinct values: the first value that so large a share does not exceed.
    places = np.ceil(np.linspace(0.0, 1.0, n_bins + 1) * len(numbers) - 1.0).astype(np.int64)
    quantiles = np.searchsorted(distinct, numbers[np.maximum(places, 0)])
    is_heavy = np.full(len(distinct), len(distinct) <= n_bins)
    is_heavy[quantiles[1:][np.diff(quantiles) == 0]] = True
    is_edge = np.zeros(len(distinct), dtype=bool)
    is_edge[quantiles[1:-1]] = True
    is_edge &= ~is_heavy
    is_edge[[0, -1]] = False
    beside = np.flatnonzero(is_heavy[:-1] | is_heavy[1:])
    between = distinct[beside] / 2 + distinct[beside + 1] / 2
    return np.sort(np.concatenate([distinct[[0, -1]], distinct[is_edge], between]))


def top_levels(values: Sequence[str] | NDArray[np.object_], k: int) -> list[str]:
    """Return the `k` most frequent levels, ties in alphabetical order; the missing level `""` is none of them."""
    counter = Counter(values)
    counter.pop("", None)
    return [level for level, _ in sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:k]]


def bin_numeric(values: NDArray[Any], edges: Sequence[float] | NDArray[np.float64]) -> Counts:
    """Count values into the bins between edges.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        float64, or int64 microseconds. NaN, infinities and the smallest int64 are missing.
    edges : sequence of float of length n_edges
        Two at least, not decreasing. A bin holds its left edge; the last one holds both.

    Returns
    -------
    ndarray of shape (n_edges + 2,)
        Counts: below, each bin, above, missing.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    numbers = _numbers(values)
    positions = 1 + np.searchsorted(bounds[1:-1], numbers, side="right")
    positions[numbers < bounds[0]] = 0
    positions[numbers > bounds[-1]] = len(bounds)
    positions[np.isnan(numbers)] = len(bounds) + 1
    return np.bincount(positions, minlength=len(bounds) + 2).astype(np.int64)


def bin_categorical(values: Sequence[str] | NDArray[np.object_], levels: Sequence[str]) -> Counts:
    """Count texts into levels.

    Parameters
    ----------
    values : sequence of str of length n_rows
        `""` is missing.
    levels : sequence of str
        Distinct levels, without `""`.

    Returns
    -------
    ndarray of shape (n_levels + 2,)
        Counts: each level, any other level, missing.
    """
    counter = Counter(values)
    counts = [counter[level] for level in levels]
    n_missing = counter[""]
    return np.array([*counts, len(values) - sum(counts) - n_missing, n_missing], dtype=np.int64)


def numeric_reference(values: NDArray[Any], n_bins: int = 10) -> dict[str, Any]:
    """Describe a numeric column as `config.json` does: kind, edges and counts."""
    numbers = _ordered(values)
    edges = _edges_of(numbers, n_bins)
    # What `bin_numeric` counts; in order the values need not be looked up one by one, and none is outside the edges.
    inside = np.diff(np.searchsorted(numbers, edges[1:-1]), prepend=0, append=len(numbers))
    counts = [0, *inside.tolist(), 0, len(values) - len(numbers)]
    return {"kind": "numeric", "edges": edges.tolist(), "counts": counts}


def categorical_reference(values: Sequence[str] | NDArray[np.object_], k: int = 20) -> dict[str, Any]:
    """Describe a categorical column as `config.json` does: kind, levels and counts."""
    levels = top_levels(values, k)
    return {"kind": "categorical", "levels": levels, "counts": bin_categorical(values, levels).tolist()}


def count(values: Any, reference: Mapping[str, Any]) -> Counts:
    """Count values into the bins of a reference made by `numeric_reference` or `categorical_reference`."""
    if reference["kind"] == "numeric":
        return bin_numeric(values, reference["edges"])
    return bin_categorical(values, reference["levels"])


def psi(reference: Sequence[int] | Counts, current: Sequence[int] | Counts) -> float:
    """Population stability index between two sets of counts.

    A bin that is empty on one side counts as half a row there; one that is empty on both sides says nothing.

    Parameters
    ----------
    reference, current : sequence of int of length n_bins
        Counts in the same bins.

    Returns
    -------
    float
        0 for equal shares; NaN if either side has no rows.

    References
    ----------
    Siddiqi, N. (2006). Credit Risk Scorecards. Wiley. Sum over bins of (q − p) ln(q / p).
    """
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    n_p, n_q = p.sum(), q.sum()
    if n_p == 0 or n_q == 0:
        return float("nan")
    is_seen = (p > 0) | (q > 0)
    p, q = np.maximum(p[is_seen], 0.5) / n_p, np.maximum(q[is_seen], 0.5) / n_q
    return float(np.sum((q - p) * np.log(q / p)))


def expected_psi(n_bins: int, n: int, m: int) -> float:
    """Value of `psi` to expect from chance alone, when both sides come from one distribution.

    Parameters
    ----------
    n_bins : int
        Bins that are not empty.
    n, m : int
        Rows on each side.

    Returns
    -------
    float
        (n_bins − 1)(1/n + 1/m); infinite if either side has no rows.

    References
    ----------
    Yurdakul, B. (2018). Statistical properties of population stability index. Western Michigan University.
    """
    return (n_bins - 1) * (1 / n + 1 / m) if n > 0 and m > 0 else float("inf")


def noise(reference: Sequence[int] | Counts, current: Sequence[int] | Counts) -> float:
    """Value of `psi` to expect from chance alone for these counts: `expected_psi` with the bins that are in use."""
    p, q = np.asarray(reference), np.asarray(current)
    return expected_psi(int(np.count_nonzero((p > 0) | (q > 0))), int(p.sum()), int(q.sum()))


class Window:
    """Counts of the latest time, in slots of equal length that are forgotten one by one.

    Two windows are merged by adding their totals. Safe to use from several threads.

    Parameters
    ----------
    slot_s : float, default=300
        Length of a slot, in seconds.
    n_slots : int, default=12
        Slots remembered, the unfinished one included.
    clock : callable, default=time.monotonic
        Returns seconds.
    """

    def __init__(self, slot_s: float = 300.0, n_slots: int = 12, clock: Callable[[], float] = time.monotonic) -> None:
        self.slot_s, self.n_slots, self._clock = slot_s, n_slots, clock
        self._slots: deque[tuple[int, dict[str, Counts]]] = deque()
        self._lock = threading.Lock()

    def add(self, counts: Mapping[str, Counts]) -> None:
        """Add counts by name to the current slot."""
        with self._lock:
            now = self._forget()
            if not self._slots or self._slots[-1][0] != now:
                self._slots.append((now, {}))
            slot = self._slots[-1][1]
            for name, values in counts.items():
                slot[name] = slot[name] + values if name in slot else values

    def total(self) -> dict[str, Counts]:
        """Sum of the slots that are remembered, by name."""
        with self._lock:
            self._forget()
            total: dict[str, Counts] = {}
            for _, slot in self._slots:
                for name, values in slot.items():
                    total[name] = total[name] + values if name in total else values
            return total

    def _forget(self) -> int:
        now = int(self._clock() // self.slot_s)
        while self._slots and self._slots[0][0] <= now - self.n_slots:
            self._slots.popleft()
        return now


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    cells = np.asarray(values)
    numbers = cells.astype(np.float64)
    is_missing = cells == MISSING_TIME if cells.dtype.kind == "i" else ~np.isfinite(numbers)
    numbers[is_missing] = np.nan
    return numbers
