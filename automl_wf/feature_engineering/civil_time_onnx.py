"""Calendar parts in the graph, for all datetime columns of a view at once: the integers of `civil_time`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.civil_time import (
    DATE_PARTS,
    DAYS_TO_1970,
    EARLIEST,
    LATEST,
    US_PER_DAY,
    US_PER_SECOND,
    ZoneOffsets,
)


@dataclass(frozen=True)
class _Integers:
    """Arithmetic on int64 values and whole numbers."""

    builder: GraphBuilder

    def constant(self, number: int) -> str:
        return self.builder.constant(number, np.int64)

    def __call__(self, op: str, left: str, right: str | int) -> str:
        return self.builder.op(op, left, right if isinstance(right, str) else self.constant(right))

    def flag(self, op: str, left: str, right: str | int) -> str:
        return self.builder.cast(self(op, left, right), "int64")


def emit_in_range(builder: GraphBuilder, times: str) -> tuple[str, str]:
    """Return instants within the years 1 to 9999, and which are missing, of the shape of `times`."""
    number = _Integers(builder)
    is_missing = number("Equal", times, MISSING_TIME)
    filled = builder.op("Where", is_missing, number.constant(0), times)
    return number("Min", number("Max", filled, EARLIEST), LATEST), is_missing


def emit_elapsed_days(builder: GraphBuilder, times: str) -> str:
    """Return days as doubles."""
    return builder.op("Div", builder.cast(times, "double"), builder.constant(US_PER_DAY, np.float64))


def emit_civil_parts(
    builder: GraphBuilder, times: str, zones: Sequence[ZoneOffsets], wanted: Collection[str]
) -> dict[str, str]:
    """Return calendar parts as int64 values of shape (N, p).

    Parameters
    ----------
    builder : GraphBuilder
        Receives the nodes.
    times : str
        (N, p) int64 value, as `emit_in_range` gives it.
    zones : sequence of ZoneOffsets
        One per column.
    wanted : collection of str
        Names of the parts; further ones may come with them.
    """
    number = _Integers(builder)
    shifted = number("Add", _wall(builder, times, zones), DAYS_TO_1970 * US_PER_DAY)
    days = number("Div", shifted, US_PER_DAY)
    second = number("Div", number("Sub", shifted, number("Mul", days, US_PER_DAY)), US_PER_SECOND)
    minute_of_day, hour = number("Div", second, 60), number("Div", second, 3600)
    weekday = number("Mod", number("Add", days, 2), 7)
    parts = {
        "second_of_day": second,
        "minute_of_day": minute_of_day,
        "hour": hour,
        "minute": number("Sub", minute_of_day, number("Mul", hour, 60)),
        "weekday": weekday,
        "is_weekend": number.flag("GreaterOrEqual", weekday, 5),
    }
    return parts if DATE_PARTS.isdisjoint(wanted) else {**parts, **_date_parts(number, days)}


def _date_parts(number: _Integers, days: str) -> dict[str, str]:
    era = number("Div", days, 146_097)
    day_of_era = number("Sub", days, number("Mul", era, 146_097))
    rest = number("Sub", day_of_era, number("Div", day_of_era, 1460))
    rest = number("Add", rest, number("Div", day_of_era, 36_524))
    rest = number("Sub", rest, number("Div", day_of_era, 146_096))
    year_of_era = number("Div", rest, 365)
    before = number("Add", number("Mul", year_of_era, 365), number("Div", year_of_era, 4))
    day = number("Sub", day_of_era, number("Sub", before, number("Div", year_of_era, 100)))
    month = number("Div", number("Add", number("Mul", day, 5), 2), 153)
    is_next_year = number.flag("GreaterOrEqual", month, 10)
    year = number("Add", number("Add", number("Mul", era, 400), year_of_era), is_next_year)
    civil_month = number("Sub", number("Add", month, 3), number("Mul", is_next_year, 12))
    month_start = number("Div", number("Add", number("Mul", month, 153), 2), 5)
    from_march = number("Add", number("Add", day, 60), _is_leap(number, year))
    from_january = number("Sub", day, 305)
    return {
        "year": year,
        "quarter": number("Div", number("Add", civil_month, 2), 3),
        "month": civil_month,
        "day": number("Add", number("Sub", day, month_start), 1),
        "day_of_year": number.builder.op("Where", number("Equal", is_next_year, 1), from_january, from_march),
    }


def _is_leap(number: _Integers, year: str) -> str:
    by_4, by_100, by_400 = (number.flag("Equal", number("Mod", year, k), 0) for k in (4, 100, 400))
    return number("Add", number("Sub", by_4, by_100), by_400)


def _wall(builder: GraphBuilder, times: str, zones: Sequence[ZoneOffsets]) -> str:
    """Add each column's offset, found by counting the changes that have passed."""
    fixed = np.array([[0 if len(z.changes) else int(z.offsets[0]) for z in zones]], dtype=np.int64)
    wall = builder.op("Add", times, builder.constant(fixed)) if fixed.any() else times
    if not any(len(z.changes) for z in zones):
        return wall
    columns = []
    for j, zone in enumerate(zones):
        column = builder.columns(wall, [j])
        if len(zone.changes):
            passed = builder.op("GreaterOrEqual", column, _row(builder, zone.changes))
            count = builder.op("ReduceSum", builder.cast(passed, "int64"), builder.constant([1], np.int64), keepdims=1)
            column = builder.op("Add", column, builder.op("Gather", builder.constant(zone.offsets), count, axis=0))
        columns.append(column)
    return builder.concat(columns)


def _row(builder: GraphBuilder, values: NDArray[Any]) -> str:
    return builder.constant(values[None, :])
