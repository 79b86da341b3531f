"""From int64 microseconds to calendar parts, in integers only, so that the graph can do the very same.

Instants are clipped to the years 1 to 9999. Counted from 0000-03-01 all of them are positive, so that truncating
division (the graph's) is floor division (numpy's), and the leap day is the last day of its year.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.exceptions import InvalidParameter

EARLIEST = -62_135_596_800_000_000
LATEST = 253_402_300_799_999_999
US_PER_SECOND = 1_000_000
US_PER_DAY = 86_400 * US_PER_SECOND
DAYS_TO_1970 = 719_468

#: Calendar parts, in the order of the features.
PARTS = (
    "year",
    "quarter",
    "month",
    "day",
    "day_of_year",
    "weekday",
    "is_weekend",
    "hour",
    "minute",
    "second_of_day",
    "minute_of_day",
)
DATE_PARTS = frozenset({"year", "quarter", "month", "day", "day_of_year"})

# How fixed offsets name themselves: datetime.timezone in hours and minutes, pytz in minutes, dateutil in seconds.
_CLOCK_OFFSET = re.compile(r"(?:UTC)?(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d)(?::(?P<seconds>\d\d))?")
_COUNTED_OFFSETS = {
    re.compile(r"pytz\.FixedOffset\((?P<count>-?\d+)\)"): 60,
    re.compile(r"tzoffset\(.*, (?P<count>-?\d+)\)"): 1,
}
_ZONE_FILE = re.compile(r"tzfile\('.*zoneinfo/(?P<name>.+)'\)")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# No zone has ever had two changes within less than 3.9 days of each other.
_STEP = timedelta(days=3)


@dataclass(frozen=True, eq=False)
class ZoneOffsets:
    """What to add to UTC for wall time.

    Parameters
    ----------
    changes : ndarray of shape (n_changes,)
        Instants from which on the next offset holds, int64 microseconds UTC, ascending.
    offsets : ndarray of shape (n_changes + 1,)
        Offsets before, between and after them, int64 microseconds.
    """

    changes: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def at(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offset at each instant."""
        if not len(self.changes):
            return np.full(times.shape, self.offsets[0])
        found: NDArray[np.int64] = self.offsets[np.searchsorted(self.changes, times, side="right")]
        return found


@lru_cache(maxsize=64)
def zone_offsets(zone: str | None) -> ZoneOffsets:
    """Table of a zone's offsets from 1900 to 2100; the first and last one hold beyond.

    Parameters
    ----------
    zone : str or None
        As pandas spells it: "Europe/Berlin", "UTC", "UTC+02:00". None: times are as written.

    Raises
    ------
    InvalidParameter
        The zone is not known here.
    """
    if zone is None:
        return ZoneOffsets(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    rules = _zone(zone)
    changes, offsets = [], [_offset(_FIRST, rules)]
    low = _FIRST
    while low < _LAST and not isinstance(rules, timezone):
        high = low + _STEP
        offset = _offset(high, rules)
        if offset != offsets[-1]:
            changes.append(_first_with_new_offset(low, high, offsets[-1], rules))
            offsets.append(offset)
        low = high
    microsecond = timedelta(microseconds=1)
    return ZoneOffsets(
        np.array([(change - _EPOCH) // microsecond for change in changes], dtype=np.int64),
        np.array([offset // microsecond for offset in offsets], dtype=np.int64),
    )


def _zone(zone: str) -> tzinfo:
    seconds = _fixed_offset(zone)
    if seconds is not None:
        return timezone(timedelta(seconds=seconds))
    zone_file = _ZONE_FILE.fullmatch(zone)
    try:
        return ZoneInfo(zone_file["name"] if zone_file else zone)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidParameter(
            f"The time zone {zone!r} is not known here: expected a name such as 'Europe/Berlin' or an offset such as "
            "'UTC+02:00'. Convert the column with dt.tz_convert, or install the tzdata package."
        ) from error


def _fixed_offset(zone: str) -> int | None:
    """Seconds east of UTC, if the zone has one offset for ever and says so in its name."""
    if zone in ("UTC", "tzutc()"):
        return 0
    if match := _CLOCK_OFFSET.fullmatch(zone):
        size = 3600 * int(match["hours"]) + 60 * int(match["minutes"]) + int(match["seconds"] or 0)
        return -size if match["sign"] == "-" else size
    for pattern, unit in _COUNTED_OFFSETS.items():
        if match := pattern.fullmatch(zone):
            return unit * int(match["count"])
    return None


def _offset(instant: datetime, rules: tzinfo) -> timedelta:
    return instant.astimezone(rules).utcoffset() or timedelta(0)


def _first_with_new_offset(low: datetime, high: datetime, before: timedelta, rules: tzinfo) -> datetime:
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _offset(middle, rules) == before:
            low = middle
        else:
            high = middle
    return high


def in_range(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Instants within the years 1 to 9999; missing ones are 1970-01-01."""
    clipped: NDArray[np.int64] = np.clip(np.where(times == MISSING_TIME, 0, times), EARLIEST, LATEST)
    return clipped


def civil_parts(times: NDArray[np.int64], zone: ZoneOffsets, wanted: Collection[str]) -> dict[str, NDArray[np.int64]]:
    """Calendar parts of instants on the wall clock of a zone.

    Parameters
    ----------
    times : ndarray of int64
        Microseconds since 1970-01-01, as `in_range` gives them.
    zone : ZoneOffsets
        The wall clock.
    wanted : collection of str
        Names out of `PARTS`. Weekdays count from Monday 0, days of the year from 1.

    Returns
    -------
    dict of str to ndarray

    References
    ----------
    H. Hinnant (2013). chrono-Compatible Low-Level Date Algorithms: civil_from_days.
    """
    shifted = times + zone.at(times) + DAYS_TO_1970 * US_PER_DAY
    days = shifted // US_PER_DAY
    second = (shifted - days * US_PER_DAY) // US_PER_SECOND
    parts = {"second_of_day": second, "hour": second // 3600, "minute_of_day": second // 60}
    parts["minute"] = parts["minute_of_day"] - 60 * parts["hour"]
    parts["weekday"] = (days + 2) % 7
    parts["is_weekend"] = (parts["weekday"] >= 5).astype(np.int64)
    if not DATE_PARTS.isdisjoint(wanted):
        parts.update(_date_parts(days))
    return {name: parts[name] for name in PARTS if name in wanted}


def _date_parts(days: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day + 2) // 153
    is_next_year = (month >= 10).astype(np.int64)
    year = 400 * era + year_of_era + is_next_year
    is_leap = ((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))).astype(np.int64)
    civil_month = month + 3 - 12 * is_next_year
    return {
        "year": year,
        "quarter": (civil_month + 2) // 3,
        "month": civil_month,
        "day": day - (153 * month + 2) // 5 + 1,
        "day_of_year": np.where(is_next_year == 1, day - 305, day + 60 + is_leap),
    }


def elapsed_days(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Days since 1970-01-01, or days that a difference lasts."""
    return times.astype(np.float64) / US_PER_DAY


def varying_parts(times: NDArray[np.int64], zones: Sequence[str | None]) -> tuple[tuple[str, ...], ...]:
    """Per column, the calendar parts that are not the same in all rows.

    Parameters
    ----------
    times : ndarray of shape (n_rows, n_columns)
        int64 microseconds.
    zones : sequence of str or None
        One per column.
    """
    found = []
    for j, zone in enumerate(zones):
        present = times[times[:, j] != MISSING_TIME, j]
        parts = civil_parts(in_range(present), zone_offsets(zone), PARTS)
        found.append(tuple(name for name, values in parts.items() if len(values) and values.min() < values.max()))
    return tuple(found)
