from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.exceptions import InvalidParameter
from automl_wf.feature_engineering.civil_time import (
    EARLIEST,
    LATEST,
    PARTS,
    civil_parts,
    in_range,
    varying_parts,
    zone_offsets,
)

ZONES = [
    None,
    "UTC",
    "Europe/Berlin",
    "Australia/Melbourne",
    "America/New_York",
    "Asia/Kolkata",
    "America/St_Johns",
    "UTC+02:00",
    "UTC-03:30",
]


def micros(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[us]").astype(np.int64)


def random_instants(n: int, seed: int = 0) -> np.ndarray:
    low, high = micros("1900-01-01", "2100-01-01")
    return np.random.default_rng(seed).integers(low, high, n)


def around_changes(zone: str | None) -> np.ndarray:
    changes = zone_offsets(zone).changes
    return np.concatenate([changes - 1, changes, changes + 1, changes + 1_800_000_000])


def pandas_parts(times: np.ndarray, zone: str | None) -> dict[str, np.ndarray]:
    index = pd.DatetimeIndex(times.astype("datetime64[us]"))
    wall = index if zone is None else index.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    second_of_day = wall.hour * 3600 + wall.minute * 60 + wall.second
    parts = {name: getattr(wall, name) for name in ("year", "quarter", "month", "day", "hour", "minute")}
    parts |= {
        "day_of_year": wall.day_of_year,
        "weekday": wall.day_of_week,
        "is_weekend": (wall.day_of_week >= 5).astype(int),
        "second_of_day": second_of_day,
        "minute_of_day": second_of_day // 60,
    }
    return {name: np.asarray(values) for name, values in parts.items()}


@pytest.mark.parametrize("zone", ZONES)
def test_parts_equal_those_of_pandas(zone: str | None) -> None:
    low, high = micros("1900-01-01", "2100-01-01")
    odd = micros(
        "1969-12-31T23:59:59.999999", "1970-01-01", "2000-02-29", "1900-02-28T23:00", "1900-03-01", "2099-12-31"
    )
    times = np.concatenate([odd, around_changes(zone), random_instants(2000)])
    times = times[(times >= low) & (times < high)]
    expected = pandas_parts(times, zone)
    found = civil_parts(times, zone_offsets(zone), PARTS)
    assert set(found) == set(PARTS)
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=f"{name} in {zone}")


def test_every_day_of_four_centuries() -> None:
    days = np.arange(micros("1600-01-01")[0], micros("2000-01-02")[0], 86_400_000_000)
    expected = pandas_parts(days, None)
    for name, values in civil_parts(days, zone_offsets(None), PARTS).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_first_and_last_instant_have_their_year() -> None:
    parts = civil_parts(np.array([EARLIEST, LATEST]), zone_offsets(None), ["year", "day_of_year", "second_of_day"])
    assert parts["year"].tolist() == [1, 9999]
    assert parts["day_of_year"].tolist() == [1, 365]
    assert parts["second_of_day"].tolist() == [0, 86_399]


def test_in_range_clips_and_fills() -> None:
    times = np.array([MISSING_TIME, MISSING_TIME + 1, 2**63 - 1, 5])
    assert in_range(times).tolist() == [0, EARLIEST, LATEST, 5]


def test_berlin_changes_on_the_known_instants() -> None:
    changes = zone_offsets("Europe/Berlin").changes
    for instant in micros("2024-03-31T01:00:00", "2024-10-27T01:00:00", "2090-03-26T01:00:00"):
        assert instant in changes


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("UTC", 0.0),
        ("UTC+02:00", 2.0),
        ("UTC-03:30", -3.5),
        ("+05:45", 5.75),
        ("pytz.FixedOffset(-90)", -1.5),
        ("tzoffset(None, 7200)", 2.0),
        ("tzoffset('CET', 3600)", 1.0),
        ("tzutc()", 0.0),
    ],
)
def test_fixed_offsets_as_they_spell_themselves(zone: str, hours: float) -> None:
    table = zone_offsets(zone)
    assert len(table.changes) == 0
    assert table.offsets.tolist() == [hours * 3_600_000_000]


def test_zone_file_of_dateutil_is_its_zone() -> None:
    named, from_file = zone_offsets("Europe/Berlin"), zone_offsets("tzfile('/usr/share/zoneinfo/Europe/Berlin')")
    np.testing.assert_array_equal(named.changes, from_file.changes)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "/etc/passwd", ""])
def test_unknown_zone_says_what_to_do(zone: str) -> None:
    with pytest.raises(InvalidParameter, match="tz_convert"):
        zone_offsets(zone)


def test_varying_parts_of_dates_have_no_time_of_day() -> None:
    dates = micros("2024-01-01", "2024-02-03", "2025-03-08")
    stamps = micros("2024-05-06T07:00", "2024-05-06T08:00", "2024-05-06T09:30")
    missing = np.full(3, MISSING_TIME)
    of_dates, of_stamps, of_missing = varying_parts(np.column_stack([dates, stamps, missing]), [None, None, None])
    assert of_dates == ("year", "month", "day", "day_of_year", "weekday", "is_weekend")
    assert of_stamps == ("hour", "minute", "second_of_day", "minute_of_day")
    assert of_missing == ()
