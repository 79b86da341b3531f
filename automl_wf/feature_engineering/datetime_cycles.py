"""The calendar as cycles, for learners that multiply and add: December lies beside January."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from automl_wf.feature_engineering.datetime_parts import (
    column_pairs,
    difference_features,
    on_the_clock,
    weekend_words,
    write_differences,
)
from automl_wf.feature_engineering.numeric_scaler import NumericScaler

#: Calendar part → (its smallest value, number of values, length of the cycle).
_CYCLES = {
    "month": (1, 12, 12.0),
    "day_of_year": (1, 366, 365.25),
    "weekday": (0, 7, 7.0),
    "minute_of_day": (0, 1440, 1440.0),
}
_WORDS = {
    "month": "month (January is 0)",
    "day_of_year": "day of the year (1 January is 0)",
    "weekday": "weekday (Monday is 0)",
    "minute_of_day": "minutes since midnight",
}


def cycle_table(part: str) -> tuple[int, Numbers]:
    """Smallest value of a calendar part, and sine and cosine for each value: the same constants here and in the graph.

    Returns
    -------
    smallest : int
    table : ndarray of shape (n_values, 2)
    """
    smallest, n_values, length = _CYCLES[part]
    angles = 2 * np.pi * np.arange(n_values) / length
    return smallest, np.column_stack([np.sin(angles), np.cos(angles)])


class DatetimeCycles(FeatureTransformer[Times]):
    """Sine and cosine of month, day of the year, weekday and time of day; weekend; scaled elapsed time.

    Cycles are looked up in constant tables. Days since 1970 and days between pairs of columns go through a
    `NumericScaler`: standardised, with an indicator where instants were missing in training. In the rest a missing
    instant makes 0.

    Parameters
    ----------
    zones : sequence of str or None, default=None
        Time zone of each column; its instants are UTC. None: as written.
    parts : sequence of sequence of str, default=None
        Calendar parts of each column that vary. None: those that vary in the rows given to `fit`.
    max_pairs : int, default=10
        Largest number of pairs of columns whose difference is a feature.

    Attributes
    ----------
    zones_ : list of ZoneOffsets
        Per column, the wall clock's table.
    cycles_ : list of tuple of str
        Per column, the calendar parts that have a cycle.
    has_weekend_ : list of bool
        Per column, whether the weekend is a feature.
    pairs_ : list of tuple of int
        Pairs of columns: days from the first to the second.
    scaler_ : NumericScaler
        Of elapsed days and differences.
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

    def fit(self, block: Times, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Find the parts that vary and learn the scale of elapsed time.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            int64 microseconds since 1970-01-01; the smallest int64 is missing.
        y, weight : ignored

        Returns
        -------
        DatetimeCycles
        """
        n_columns = block.shape[1]
        zones = [None] * n_columns if self.zones is None else list(self.zones)
        parts = varying_parts(block, zones) if self.parts is None else self.parts
        self.zones_ = [zone_offsets(zone) for zone in zones]
        self.cycles_ = [tuple(name for name in _CYCLES if name in chosen) for chosen in parts]
        self.has_weekend_ = ["is_weekend" in chosen for chosen in parts]
        self.pairs_ = column_pairs(n_columns, self.max_pairs)
        self.scaler_ = NumericScaler().fit(self.durations(block))
        n_cyclic = 2 * sum(len(cycles) for cycles in self.cycles_) + sum(self.has_weekend_)
        self.n_features_out_ = n_cyclic + self.scaler_.n_features_out_
        return self

    def durations(self, block: Times) -> Numbers:
        """Elapsed days and differences, of shape (n_rows, n_columns + n_pairs); missing instants make NaN."""
        n_columns = block.shape[1]
        durations = np.empty((len(block), n_columns + len(self.pairs_)), order="F")
        for j in range(n_columns):
            durations[:, j] = elapsed_days(in_range(block[:, j]))
            durations[block[:, j] == MISSING_TIME, j] = np.nan
        write_differences(block, self.pairs_, durations[:, n_columns:])
        return durations

    def write(self, block: Times, out: Numbers) -> None:
        """Write each column's cycles and weekend, then scaled elapsed days and differences, then indicators."""
        k = 0
        for j, (zone, cycles, has_weekend) in enumerate(zip(self.zones_, self.cycles_, self.has_weekend_, strict=True)):
            is_missing = block[:, j] == MISSING_TIME
            values = civil_parts(in_range(block[:, j]), zone, {*cycles, "is_weekend"})
            start = k
            for part in cycles:
                smallest, table = cycle_table(part)
                out[:, k : k + 2] = table[values[part] - smallest]
                k += 2
            if has_weekend:
                out[:, k] = values["is_weekend"]
                k += 1
            out[is_missing, start:k] = 0.0
        self.scaler_.write(self.durations(block), out[:, k:])

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_<part>_sin`, `<column>_<part>_cos`, `<column>_is_weekend`, `<column>_days` and so on."""
        found = []
        zones = self.zones or [None] * len(input_names)
        for name, zone, cycles, has_weekend in zip(input_names, zones, self.cycles_, self.has_weekend_, strict=True):
            read = on_the_clock(name, zone)
            for part in cycles:
                for short, word in (("sin", "sine"), ("cos", "cosine")):
                    turn = _CYCLES[part][2]
                    formula = f"{word} of the {_WORDS[part]} of {read}, {turn:g} to a full turn; 0 where missing"
                    found.append(Feature(f"{name}_{part}_{short}", "cycle", (name,), formula))
            if has_weekend:
                found.append(Feature(f"{name}_is_weekend", "calendar", (name,), weekend_words(read)))
        return found + self._duration_features(input_names)

    def _duration_features(self, input_names: Sequence[str]) -> list[Feature]:
        durations = [Feature(f"{n}_days", "calendar", (n,), f"days from 1970-01-01 to {n}") for n in input_names]
        durations += difference_features(input_names, self.pairs_)
        scaled = [replace(d, kind="numeric", formula=self.scaler_.words(j, d.formula)) for j, d in enumerate(durations)]
        having_gaps = [durations[j] for j in self.scaler_.gaps_]
        return scaled + [
            Feature(f"{d.name}_missing", "indicator", d.parents, f"1 if the {d.formula} are missing, else 0")
            for d in having_gaps
        ]
