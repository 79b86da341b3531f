"""The edge: every rule in the header of coerce.py, on cells as pandas, numpy, JSON and people write them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.coerce import (
    MISSING_TIME,
    CellError,
    coerce,
    is_missing,
    normalise,
    to_double,
    to_micros,
    to_string,
)

MISSING = [None, math.nan, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN")]
DAY = 86_400_000_000


@pytest.mark.parametrize("cell", MISSING, ids=repr)
def test_missing_is_missing_on_every_edge(cell: Any) -> None:
    assert is_missing(cell)
    assert math.isnan(to_double([cell])[0])
    assert to_string([cell])[0] == ""
    assert to_micros([cell])[0] == MISSING_TIME


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (3, 3.0),
        (np.int8(-3), -3.0),
        (np.uint64(2**63), 2.0**63),
        (2.5, 2.5),
        (np.float32(0.5), 0.5),
        (True, 1.0),
        (np.False_, 0.0),
        (Decimal("1.25"), 1.25),
        (Fraction(1, 4), 0.25),
        (b"1.5", 1.5),
        (np.str_("7"), 7.0),
        (" 1.5 ", 1.5),
        ("-2e3", -2000.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("1E-2", 0.01),
        ("１.５", 1.5),
        ("\u00a042\u2003", 42.0),
        ("4\x002", 42.0),
        ("TRUE", 1.0),
        ("Yes", 1.0),
        ("off", 0.0),
        ("f", 0.0),
        (timedelta(minutes=2), 120.0),
        (pd.Timedelta("1h"), 3600.0),
        (np.timedelta64(1500, "ms"), 1.5),
    ],
    ids=repr,
)
def test_numbers(cell: Any, value: float) -> None:
    assert to_double([cell]).tolist() == [value]


@pytest.mark.parametrize(
    "cell",
    ["", "  ", "NA", "n/a", "NaN", "Null", "NONE", "?", "-", "nat", "<NA>", "\ud800", "\0"]
    + ["inf", "-Infinity", math.inf, -math.inf, np.float32("inf"), "1e999", "-1e999", Decimal("1e999")],
    ids=repr,
)
def test_words_for_missing_and_what_no_double_holds_are_nan(cell: Any) -> None:
    assert math.isnan(to_double([cell])[0])


@pytest.mark.parametrize(
    "cell",
    [
        "abc",
        10**400,
        "1,5",
        "1_000",
        "0x10",
        "1e",
        "--1",
        "\u22125",
        "1 2",
        b"\xff",
        1j,
        [1.0],
        {"a": 1},
        date(2024, 1, 1),
    ],
    ids=repr,
)
def test_what_is_no_number_is_named(cell: Any) -> None:
    with pytest.raises(CellError) as caught:
        to_double([1.0, None, cell, "worse"])
    assert (caught.value.row, caught.value.expected) == (2, "a number")
    assert caught.value.value is cell


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool"])
def test_arrays_of_numbers_keep_their_values_and_are_not_changed(dtype: str) -> None:
    cells = np.array([0, 1, 1], dtype=dtype)
    assert to_double(cells).tolist() == [0.0, 1.0, 1.0]
    assert to_double(cells).dtype == np.float64
    infinite = np.array([1.0, -np.inf])
    assert np.isnan(to_double(infinite)[1])
    assert np.isinf(infinite[1])


def test_an_array_of_durations_is_seconds_like_its_cells() -> None:
    cells = np.array([1_500_000_000, "NaT"], dtype="timedelta64[ns]")
    np.testing.assert_array_equal(to_double(cells), [1.5, np.nan])
    np.testing.assert_array_equal(to_double(list(pd.Series(cells))), [1.5, np.nan])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("  New\t\n York ", "new york"),
        ("ＮＥＷ　Ｙｏｒｋ", "new york"),
        ("ﬁx", "fix"),
        ("ÅNGSTRÖM", "ångström"),
        ("A\u030angstrom", "ångstrom"),
        ("a\0b", "ab"),
        ("a\ud800b", "ab"),
        ("None", "none"),
        (3, "3"),
        (np.int64(3), "3"),
        (3.0, "3"),
        (-0.0, "0"),
        (2.5, "2.5"),
        (1e20, "1e+20"),
        (Decimal("3.0"), "3"),
        (Decimal("2.50"), "2.5"),
        (True, "true"),
        (np.False_, "false"),
        (math.inf, ""),
        (b"Abc", "abc"),
        (b"\xff", "\ufffd"),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, 3), "2024-01-02t03:00:00"),
        ({"A": 1}, "{'a': 1}"),
        ([1, "B"], "[1, 'b']"),
    ],
    ids=repr,
)
def test_text(cell: Any, text: str) -> None:
    assert to_string([cell]).tolist() == [text]


def test_text_is_normalised_once_and_for_all() -> None:
    for text in ["  A\u00a0B ", "ΑΣ", "İ", "ﬃ", "\u2126", "ß", "a\ud800\u0301"]:
        once = normalise(text)
        assert normalise(once) == once
        assert once.encode("utf-8").decode() == once


@pytest.mark.parametrize(
    ("cell", "micros"),
    [
        ("1970-01-02", DAY),
        ("1970-01-01T00:00:01.5", 1_500_000),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("１９７０-01-02", DAY),
        ("1969-12-31T23:59:59.999999", -1),
        (date(1970, 1, 2), DAY),
        (datetime(1970, 1, 2), DAY),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
        (pd.Timestamp("1970-01-02", tz="Europe/Berlin"), DAY - 3_600_000_000),
        (np.datetime64("1970-01-02"), DAY),
        (np.datetime64(-1, "ns"), -1),
        (pd.Timestamp(-1, unit="ns"), -1),
        (b"1970-01-02", DAY),
        ("NaT", MISSING_TIME),
        (" ", MISSING_TIME),
    ],
    ids=repr,
)
def test_times(cell: Any, micros: int) -> None:
    assert to_micros([cell]).tolist() == [micros]


def test_arrays_of_times_round_down_like_their_cells() -> None:
    cells = np.array([-1001, -1, 0, 999], dtype="datetime64[ns]")
    assert to_micros(cells).tolist() == [-2, -1, 0, 0] == to_micros(list(cells)).tolist()
    assert to_micros(np.array(["NaT", "1970-01-02"], dtype="datetime64[D]")).tolist() == [MISSING_TIME, DAY]


def test_times_in_a_format_of_their_own() -> None:
    assert to_micros(["02/01/1970", None, "n/a"], "%d/%m/%Y").tolist() == [DAY, MISSING_TIME, MISSING_TIME]
    with pytest.raises(CellError) as caught:
        to_micros(["02/01/1970", "1970-01-02"], "%d/%m/%Y")
    assert caught.value.row == 1
    assert "%d/%m/%Y" in caught.value.expected


@pytest.mark.parametrize("cell", [5, 1.5, True, "tomorrow", "2024-13-01", {"a": 1}], ids=repr)
def test_what_is_no_time_is_named(cell: Any) -> None:
    with pytest.raises(CellError, match="date or time"):
        to_micros([cell])


def test_coerce_goes_by_the_edge() -> None:
    assert coerce(["1"], "double").tolist() == [1.0]
    assert coerce(["1"], "string").tolist() == ["1"]
    assert coerce(["1970-01-02"], "int64").tolist() == [DAY]
    assert [coerce([], edge).dtype.kind for edge in ("double", "string", "int64")] == ["f", "O", "i"]
