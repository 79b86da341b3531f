"""A zoo of awkward columns: what each is taken for, how its cells are written, and why that is right."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.schema import Column
from automl_wf.core.table import Strings
from automl_wf.exceptions import InvalidCell

N = 120
RNG = np.random.default_rng(0)
WORDS = ["fast", "slow", "red", "blue", "car", "bike", "old", "new", "sold", "fixed", "light", "heavy", "loud", "calm"]
UNIFORM = RNG.uniform(1, 900, N)
WHOLE = RNG.integers(1000, 9_999_999, N)
DAYS = pd.date_range("2021-03-05", periods=N, freq="37h")
SENTENCES = [" ".join(RNG.choice(WORDS, 5)) for _ in range(N)]


def one_of(*values: Any) -> list[Any]:
    """Every value, then N cells drawn from them."""
    return [*values, *(values[i] for i in RNG.integers(0, len(values), N - len(values)))]


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


#: name: cells, kind, cell_format, why
ZOO: dict[str, tuple[Any, str, str | None, str]] = {
    # Numbers
    "floats": (UNIFORM, "numeric", None, "numbers"),
    "whole numbers": (WHOLE, "numeric", None, "numbers"),
    "years": (RNG.integers(1950, 2024, N), "numeric", None, "a year is a quantity"),
    "nullable": (pd.array(one_of(1, None, 3), dtype="Int64"), "numeric", None, "numbers with gaps"),
    "decimals as text": ([f"{v:.2f}" for v in UNIFORM], "numeric", None, "decimals are no codes"),
    "gaps in text": (one_of("1.5", "", " ", "NA", "2.25", "n/a", "?"), "numeric", None, "words for missing"),
    "mileage": ([f"{v:.1f} kmpl" for v in UNIFORM], "numeric", "#.## kmpl", "one unit"),
    "engine": ([f"{v} CC" for v in WHOLE], "numeric", "# cc", "one unit, whole numbers"),
    "term": (one_of("36 months", "60 months"), "numeric", "# months", "a duration is a quantity"),
    "glued unit": ([f"{v}kg" for v in WHOLE], "numeric", "# kg", "one unit without a blank"),
    "percent": ([f"{v:.1f}%" for v in UNIFORM / 9], "numeric", "#.##%", "shares"),
    "percent after a blank": ([f"{v:.0f} %" for v in UNIFORM / 9], "numeric", "#%", "shares"),
    "dollars": ([f"${v:,.2f}" for v in UNIFORM * 50], "numeric", "$#,###.##", "money"),
    "pounds": ([f"£{v}" for v in WHOLE], "numeric", "£#", "money"),
    "euros after": ([f"{german(v)} €" for v in UNIFORM * 50], "numeric", "#.###,##€", "money, German"),
    "currency code": ([f"USD {v:.2f}" for v in UNIFORM], "numeric", "usd#.##", "money"),
    "accounting": ([f"({v:,.2f})" if v > 500 else f"{v:,.2f}" for v in UNIFORM * 9], "numeric", "#,###.##", "minus"),
    "thousands": ([f"{v:,}" for v in WHOLE], "numeric", "#,###", "separators"),
    "Swiss": ([f"{v:,}".replace(",", "'") for v in WHOLE], "numeric", "#'###", "separators"),
    "French": ([f"{v:,}".replace(",", " ") for v in WHOLE], "numeric", "# ###", "separators"),
    "decimal comma": ([f"{v:.1f}".replace(".", ",") for v in UNIFORM], "numeric", "#,##", "decimals"),
    "installs": (one_of("10+", "1,000+", "5,000,000+", "500+"), "numeric", "#,###+", "lower bounds"),
    "magnitudes": ([f"{v / 7:.1f}{'kM'[i % 2]}" for i, v in enumerate(UNIFORM)], "numeric", "#.##[km]", "k and M"),
    "trace": ([*(f"{v:.2f}" for v in UNIFORM), "trace"], "numeric", "#.##|trace", "one word among numbers"),
    "varies": ([*(f"{v:.1f} MB" for v in UNIFORM), "Varies"], "numeric", "#.## mb|varies", "one word"),
    "temperature": ([f"{v - 400:.1f}°C" for v in UNIFORM], "numeric", "#.##°c", "signs and a unit"),
    "durations": (pd.to_timedelta(UNIFORM, unit="h"), "numeric", None, "seconds"),
    "one decimal and whole": (one_of("1", "2.5", "3"), "numeric", None, "one decimal point tells all"),
    # Booleans
    "bool": (UNIFORM > 300, "boolean", None, "booleans"),
    "yes and no": (one_of("Yes", "no"), "boolean", None, "a pair"),
    "Y and N": (one_of("Y", "N", None), "boolean", None, "a pair with gaps"),
    "t and f": (one_of("t", "f"), "boolean", None, "a pair"),
    "on and off": (one_of("On", "OFF"), "boolean", None, "a pair"),
    "TRUE and false": (one_of("TRUE", "false"), "boolean", None, "a pair"),
    "yes only": (one_of("yes", None), "categorical", None, "half a pair"),
    "m and f": (one_of("m", "f"), "categorical", None, "f is not false here"),
    "three answers": (one_of("yes", "no", "maybe"), "categorical", None, "three"),
    # Dates and times
    "datetimes": (DAYS, "datetime", None, "datetimes"),
    "zoned": (DAYS.tz_localize("UTC").tz_convert("Asia/Tokyo"), "datetime", None, "datetimes"),
    "ISO": ([str(d.date()) for d in DAYS], "datetime", None, "ISO 8601"),
    "ISO with time": ([d.isoformat() for d in DAYS], "datetime", None, "ISO 8601"),
    "American": ([d.strftime("%m/%d/%Y") for d in DAYS], "datetime", "%m/%d/%Y", "month first"),
    "European": ([d.strftime("%d.%m.%Y") for d in DAYS], "datetime", "%d.%m.%Y", "day first"),
    "half days": ([d.strftime("%m/%d/%Y %I:%M %p") for d in DAYS], "datetime", "%m/%d/%Y %I:%M %p", "AM and PM"),
    "short month": ([d.strftime("%b-%Y") for d in DAYS], "datetime", "%b-%Y", "months"),
    "shorter month": ([d.strftime("%b-%y") for d in DAYS], "datetime", "%b-%y", "months"),
    "long date": ([d.strftime("%B %d, %Y") for d in DAYS], "datetime", "%B %d, %Y", "names of months"),
    "weekday and date": ([d.strftime("%A, %B %d, %Y") for d in DAYS], "datetime", "%A, %B %d, %Y", "names"),
    "month numbers": ([d.strftime("%Y-%m") for d in DAYS], "datetime", "%Y-%m", "months"),
    "compact text": ([d.strftime("%Y%m%d") for d in DAYS], "datetime", "%Y%m%d", "eight digits, all dates"),
    "compact integers": ([int(d.strftime("%Y%m%d")) for d in DAYS], "datetime", "%Y%m%d", "eight digits, all dates"),
    "eight digits": (RNG.integers(19_000_000, 29_000_000, N), "numeric", None, "eight digits, no dates"),
    "clock": ([d.strftime("%H:%M") for d in DAYS], "datetime", "%H:%M", "times of day"),
    "clock with seconds": ([d.strftime("%H:%M:%S") for d in DAYS], "datetime", "%H:%M:%S", "times of day"),
    "half-day clock": ([d.strftime("%I:%M %p") for d in DAYS], "datetime", "%I:%M %p", "times of day"),
    "time objects": ([dt.time(i % 24, i % 60) for i in range(N)], "datetime", "%H:%M:%S", "times of day"),
    "date objects": ([d.date() for d in DAYS], "datetime", None, "dates"),
    "scores": (one_of("2:1", "0:0", "3:2"), "categorical", None, "no time of day has one digit of minutes"),
    # Categories
    "names of months": (one_of("January", "March", "May"), "categorical", None, "no year: a category"),
    "weekdays": (one_of("Mon", "Tue", "Sun"), "categorical", None, "a category"),
    "ordinal words": (one_of("low", "medium", "high"), "categorical", None, "a category"),
    "codes": (one_of("1", "2", "10"), "categorical", None, "whole numbers written as text are codes"),
    "zip codes": (one_of("01234", "90210", "10001"), "categorical", None, "a leading zero is no number's"),
    "grades": (one_of("A1", "B2", "C3"), "categorical", None, "letters and digits"),
    "ordinals": (one_of("1st", "2nd", "3rd", "4th"), "categorical", None, "units that differ"),
    "ranges": (one_of("0-10", "10-20", "20-50"), "categorical", None, "two numbers"),
    "ages": (one_of("18-25", "26-40", "65+"), "categorical", None, "ranges with an open end"),
    "years of service": (one_of("10+ years", "< 1 year", "2 years"), "categorical", None, "units that differ"),
    "0 to 3+": (one_of("0", "1", "2", "3+"), "categorical", None, "one level of four has a mark"),
    "versions": (one_of("1.2.3", "1.10.0", "2.0.1"), "categorical", None, "two points"),
    "addresses": (one_of("192.168.1.1", "10.0.0.17"), "categorical", None, "three points"),
    "fractions": (one_of("1/2", "3/4", "1/4"), "categorical", None, "two numbers"),
    "sizes": (one_of("S", "M", "L", "XL"), "categorical", None, "a category"),
    "mixed units": (one_of("5 kg", "300 g", "2 kg"), "categorical", None, "units that differ"),
    "pandas categories": (pd.Categorical(one_of("3", "1", "2")), "categorical", None, "as its owner said"),
    "several types": (one_of(1, "a", 2.5, True), "categorical", None, "cells of several kinds"),
    "bytes": (one_of(b"x", b"y"), "categorical", None, "text in bytes"),
    "emoji": (one_of("🙂", "🙁"), "categorical", None, "text"),
    "empty": ([None] * N, "categorical", None, "nothing is known"),
    "constant": (["same"] * N, "categorical", None, "one value"),
    # Text
    "sentences": (SENTENCES, "text", None, "values share words"),
    "sentences with gaps": ([None if i % 7 == 0 else s for i, s in enumerate(SENTENCES)], "text", None, "and gaps"),
    "tags": (["|".join(sorted(set(s.split()))) for s in SENTENCES], "text", None, "lists written as text"),
    "lists": ([sorted(set(s.split())) for s in SENTENCES], "text", None, "lists"),
    "JSON": ([f'["{s.split()[0]}", "{s.split()[1]}", {i}]' for i, s in enumerate(SENTENCES)], "text", None, "lists"),
    # Identifiers
    "UUIDs": ([str(uuid.UUID(int=i * 7919)) for i in range(N)], "identifier", None, "another one in every row"),
    "hashes": ([hashlib.md5(bytes([i])).hexdigest() for i in range(N)], "identifier", None, "another one in every row"),
    "order numbers": ([f"ORD{i:05d}" for i in range(N)], "identifier", None, "another one in every row"),
    "e-mails": ([f"user{i}x@mail{i}.org" for i in range(N)], "identifier", None, "another one in every row"),
}


def column_of(cells: Any) -> tuple[Column, Any]:
    schema, table, _ = learn_schema(pd.DataFrame({"c": cells, "other": np.arange(len(cells)) / 8}))
    return schema.columns[0], table.cells[0]


def test_the_zoo_is_large() -> None:
    assert len(ZOO) >= 60


@pytest.mark.parametrize("name", ZOO)
def test_kind_and_format(name: str) -> None:
    cells, kind, cell_format, _ = ZOO[name]
    column, _ = column_of(cells)
    assert (column.kind.value, column.cell_format) == (kind, cell_format)
    assert column.reason


@pytest.mark.parametrize("name", ZOO)
def test_rows_are_read_alone_as_among_others_and_as_objects(name: str) -> None:
    frame = pd.DataFrame({"c": ZOO[name][0], "other": np.arange(len(ZOO[name][0])) / 8})
    schema, table, _ = learn_schema(frame)
    for i in (0, 1, len(frame) - 1):
        for row in (frame.iloc[[i]], frame.iloc[[i]].astype(object)):
            found, expected = read_table(row, schema, owner="test").cells[0], table.cells[0]
            if isinstance(expected, Strings):
                assert found.values().tolist() == [expected.values()[i]]
            else:
                np.testing.assert_array_equal(found, expected[[i]])


@pytest.mark.parametrize("name", [name for name, row in ZOO.items() if row[1] in ("numeric", "datetime")])
def test_another_kind_may_be_given(name: str) -> None:
    frame = pd.DataFrame({"c": ZOO[name][0]})
    schema, _, _ = learn_schema(frame, {"c": "categorical"})
    assert (schema.columns[0].kind.value, schema.columns[0].reason) == ("categorical", "as given in schema")


def test_values_of_numbers_with_something_around_them() -> None:
    expected = {"mileage": 1, "dollars": 50, "euros after": 50, "currency code": 1}
    for name, factor in expected.items():
        _, values = column_of(ZOO[name][0])
        np.testing.assert_allclose(values, UNIFORM * factor, atol=0.051)
    for name in ("thousands", "Swiss", "French", "engine", "glued unit", "pounds"):
        np.testing.assert_array_equal(column_of(ZOO[name][0])[1], WHOLE)
    accounting = column_of(ZOO["accounting"][0])[1]
    np.testing.assert_allclose(accounting, np.where(UNIFORM * 9 > 500, -1, 1) * UNIFORM * 9, atol=0.006)
    magnitudes = column_of(ZOO["magnitudes"][0])[1]
    np.testing.assert_allclose(magnitudes / np.where(np.arange(N) % 2, 1e6, 1e3), UNIFORM / 7, atol=0.051)
    assert math.isnan(column_of(ZOO["trace"][0])[1][-1])
    assert column_of(ZOO["temperature"][0])[1].min() < 0


def test_a_unit_may_be_left_out_and_another_one_is_an_error() -> None:
    frame = pd.DataFrame({"c": ZOO["mileage"][0]})
    schema, _, _ = learn_schema(frame)
    rows = pd.DataFrame({"c": ["17.5", 17.5, "17.5kmpl", " 17.5  KMPL ", None]}, dtype=object)
    values = read_table(rows, schema, owner="test").cells[0]
    np.testing.assert_array_equal(values, [17.5, 17.5, 17.5, 17.5, math.nan])
    with pytest.raises(InvalidCell, match=r"a number written like #\.## kmpl in row 1, got '8 mpg'"):
        read_table(pd.DataFrame({"c": ["17.5", "8 mpg"]}), schema, owner="test")


def test_identifiers_are_not_used_and_said_so() -> None:
    schema, _, findings = learn_schema(pd.DataFrame({"c": ZOO["UUIDs"][0], "x": UNIFORM}))
    assert [c.name for c in schema.used] == ["x"]
    assert [(f.code, f.columns) for f in findings] == [("identifier_columns", ("c",))]
    kept, _, _ = learn_schema(pd.DataFrame({"c": ZOO["UUIDs"][0], "x": UNIFORM}), {"c": "categorical"})
    assert [c.name for c in kept.used] == ["c", "x"]
    left_out, _, _ = learn_schema(pd.DataFrame({"c": one_of("a", "b"), "x": UNIFORM}), {"c": "identifier"})
    assert [c.name for c in left_out.used] == ["x"]
    few = learn_schema(pd.DataFrame({"c": [f"k{i}" for i in range(20)]}))[0]
    assert few.columns[0].kind.value == "categorical"
