"""Calendar parts and elapsed time, for trees."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers, Times
from automl_wf.feature_engineering.civil_time import (
    civil_parts,
    elapsed_days,
    in_range,
    varying_parts,
    zone_offsets,
)

_WORDS = {
    "year": "year",
    "quarter": "quarter (1 to 4)",
    "month": "month (1 to 12)",
    "day": "day of the month",
    "day_of_year": "day of the year (1 to 366)",
    "weekday": "weekday (Monday is 0)",
    "hour": "hour",
    "minute": "minute",
    "second_of_day": "seconds since midnight",
    "minute_of_day": "minutes since midnight",
}


class DatetimeParts(FeatureTransformer[Times]):
    """Year, month, weekday, hour … on the wall clock, days since 1970, and days between pairs of columns.

    Only parts that vary are made: dates without a time of day have no hour. A missing instant makes NaN.
    Instants outside the years 1 to 9999 count as the nearest within.

    Parameters
    ----------
    zones : sequence of str or None, default=None
        Time zone of each column; its instants are UTC. None: as written.
    parts : sequence of sequence of str, default=None
        Calendar parts of each column that vary; copies of each other are left out. None: found in `fit`.
    max_pairs : int, default=10
        Largest number of pairs of columns whose difference is a feature.

    Attributes
    ----------
    zones_ : list of ZoneOffsets
        Per column, the wall clock's table.
    parts_ : list of tuple of str
        Per column, its calendar parts.
    pairs_ : list of tuple of int
        Pairs of columns: days from the first to the second.
    """

    def __init__(
        self,
        zones: Sequence[str | None] | None = None,
        parts: Sequence[Sequence[str]] | None = None,
        max_pairs: int = 10,
    ) -> None:
        self.zones = zones
        self.parts = parts
        self.max_pairs = max_pairs

    @property
    def is_fitted_on_rows(self) -> bool:
        """False when the parts are given."""
        return self.parts is None

    def fit(self, block: Times, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Find the parts that vary.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            int64 microseconds since 1970-01-01; the smallest int64 is missing.
        y, weight : ignored

        Returns
        -------
        DatetimeParts
        """
        n_columns = block.shape[1]
        zones = [None] * n_columns if self.zones is None else list(self.zones)
        parts = varying_parts(block, zones) if self.parts is None else self.parts
        self.zones_ = [zone_offsets(zone) for zone in zones]
        self.parts_ = [tree_parts(chosen) for chosen in parts]
        self.pairs_ = column_pairs(n_columns, self.max_pairs)
        self.n_features_out_ = sum(len(chosen) + 1 for chosen in self.parts_) + len(self.pairs_)
        return self

    def write(self, block: Times, out: Numbers) -> None:
        """Write each column's parts and elapsed days, then the differences."""
        k = 0
        for j, (zone, parts) in enumerate(zip(self.zones_, self.parts_, strict=True)):
            times, is_missing = in_range(block[:, j]), block[:, j] == MISSING_TIME
            values = civil_parts(times, zone, parts)
            for name in parts:
                out[:, k] = values[name]
                out[is_missing, k] = np.nan
                k += 1
            out[:, k] = elapsed_days(times)
            out[is_missing, k] = np.nan
            k += 1
        write_differences(block, self.pairs_, out[:, k:])

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_<part>`, `<column>_days` and `days_from_<a>_to_<b>`."""
        found = []
        for name, zone, parts in zip(input_names, self.zones or [None] * len(input_names), self.parts_, strict=True):
            read = on_the_clock(name, zone)
            for part in parts:
                said = weekend_words(read) if part == "is_weekend" else f"{_WORDS[part]} of {read}"
                found.append(Feature(f"{name}_{part}", "calendar", (name,), said))
            found.append(Feature(f"{name}_days", "calendar", (name,), f"days from 1970-01-01 to {name}"))
        return found + difference_features(input_names, self.pairs_)


def on_the_clock(name: str, zone: str | None) -> str:
    """What a column of times is called in words, its zone included."""
    return name if zone is None else f"{name} on the clock of {zone}"


def weekend_words(of: str) -> str:
    """The formula of the weekend."""
    return f"1 if {of} is a Saturday or Sunday, else 0"


def tree_parts(varying: Sequence[str]) -> tuple[str, ...]:
    """Out of the parts that vary, those that tell a tree something: no monotone copies of another one."""
    is_copy = {"minute_of_day": True, "day_of_year": "day" not in varying}
    is_copy["second_of_day"] = "minute" not in varying and "hour" in varying
    return tuple(part for part in varying if not is_copy.get(part, False))


def column_pairs(n_columns: int, max_pairs: int) -> list[tuple[int, int]]:
    """The first pairs of columns."""
    return list(islice(combinations(range(n_columns), 2), max_pairs))


def write_differences(block: Times, pairs: Sequence[tuple[int, int]], out: Numbers) -> None:
    """Write days from the first to the second column of each pair; NaN where either is missing."""
    for k, (a, b) in enumerate(pairs):
        out[:, k] = elapsed_days(in_range(block[:, b]) - in_range(block[:, a]))
        out[(block[:, a] == MISSING_TIME) | (block[:, b] == MISSING_TIME), k] = np.nan


def difference_features(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[Feature]:
    """Describe what `write_differences` writes."""
    return [
        Feature(
            f"days_from_{names[a]}_to_{names[b]}",
            "calendar",
            (names[a], names[b]),
            f"days from {names[a]} to {names[b]}",
        )
        for a, b in pairs
    ]
