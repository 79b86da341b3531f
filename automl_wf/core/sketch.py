"""Quantile sketches: a column of numbers as a few means of neighbours, which several tables can put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QuantileSketch:
    """Means of runs of sorted values, and how many values each run holds.

    No number in it is a single value of the table unless `min_rows` rows share it: each is the mean of a run of at
    least so many (microaggregation [1]_), and what is left over at the upper end is dropped.

    Parameters
    ----------
    means : ndarray of shape (n_runs,)
        Ascending; NaN fills up to a fixed size.
    counts : ndarray of shape (n_runs,)
        Values per run; 0 where the mean is NaN.

    References
    ----------
    .. [1] Domingo-Ferrer and Mateo-Sanz (2002). Practical data-oriented microaggregation for statistical disclosure
       control. IEEE Transactions on Knowledge and Data Engineering 14 (1).

    Examples
    --------
    >>> import numpy as np
    >>> sketch = QuantileSketch.of(np.arange(100.0), size=4, min_rows=5)
    >>> sketch.means.tolist(), sketch.counts.tolist()
    ([12.0, 37.0, 62.0, 87.0], [25.0, 25.0, 25.0, 25.0])
    >>> sketch.edges(2).tolist()
    [49.5]
    """

    means: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Floats, *, size: int, min_rows: int) -> QuantileSketch:
        """The sketch of a column.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            Numbers; missing ones are left out.
        size : int
            Number of runs; its arrays are of this length however many rows there are.
        min_rows : int
            Fewest rows of a run.

        Returns
        -------
        QuantileSketch
        """
        distinct, n_equal = np.unique(values[~np.isnan(values)], return_counts=True)
        ends = np.cumsum(n_equal)
        n_rows = int(ends[-1]) if len(ends) else 0
        step = max(float(min_rows), n_rows / size)
        means, counts = np.full(size, np.nan), np.zeros(size)
        first, before, k = 0, 0, 0
        while k < size and before + step <= n_rows + 1e-6:
            last = min(int(np.searchsorted(ends, before + step - 1e-6)), len(ends) - 1)
            counts[k] = ends[last] - before
            run = slice(first, last + 1)
            means[k] = distinct[first] + (distinct[run] - distinct[first]) @ (n_equal[run] / counts[k])
            first, before, k = last + 1, int(ends[last]), k + 1
        return cls(means, counts)

    @classmethod
    def merged(cls, sketches: Sequence[QuantileSketch]) -> QuantileSketch:
        """What several sketches say together: their runs in one order, without those that fill up."""
        means = np.concatenate([sketch.means for sketch in sketches])
        counts = np.concatenate([sketch.counts for sketch in sketches])
        order = np.argsort(means, kind="stable")[: np.count_nonzero(counts)]
        return cls(means[order], counts[order])

    @property
    def n_distinct(self) -> int:
        """Different means."""
        return len(np.unique(self.means[self.counts > 0]))

    def spread(self, n: int) -> Floats:
        """So many values at even steps through the distribution; none where the sketch is empty.

        Parameters
        ----------
        n : int
            Number of values.

        Returns
        -------
        ndarray of shape (n,) or (0,)
            Ascending.
        """
        known = self.counts > 0
        means, ends = self.means[known], np.cumsum(self.counts[known])
        if not len(means):
            return np.empty(0)
        values: Floats = means[np.searchsorted(ends, (np.arange(n) + 0.5) / n * ends[-1])]
        return values

    def edges(self, max_bins: int) -> Floats:
        """Where to cut into bins of about equal numbers of rows: midway between two neighbouring means.

        Parameters
        ----------
        max_bins : int
            Largest number of bins.

        Returns
        -------
        ndarray of shape (at most max_bins - 1,)
            Ascending; a value belongs to the first bin whose edge is not below it.
        """
        known = self.counts > 0
        means, place = np.unique(self.means[known], return_inverse=True)
        ends = np.cumsum(np.bincount(place, self.counts[known]))
        cuts = np.arange(len(means) - 1)
        if len(means) > max_bins:
            cuts = np.unique(np.searchsorted(ends, np.arange(1, max_bins) / max_bins * ends[-1] - 1e-6))
            cuts = cuts[cuts < len(means) - 1]
        return np.unique(means[cuts] / 2 + means[cuts + 1] / 2)
