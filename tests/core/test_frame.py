"""X as users bring it: kinds are inferred once, and read alike whatever dtype, order or container comes later."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from automl_wf.core.frame import count_unknown, learn_schema, read_table, take_rows
from automl_wf.core.table import Strings, Table
from automl_wf.exceptions import (
    InvalidCell,
    InvalidInput,
    InvalidParameter,
    MissingColumns,
    UnknownCategory,
    UnknownCategoryWarning,
)

N = 6
NAN, MISSING_TIME = float("nan"), -(2**63)


def kind_of(values: Any, **overrides: str) -> tuple[str, str | None, str | None]:
    schema, _, _ = learn_schema(pd.DataFrame({"c": values}), overrides)
    column = schema.columns[0]
    return column.kind.value, column.cell_format, column.time_zone


def values_of(table: Table, position: int = 0) -> list[Any]:
    cells = table.cells[position]
    return cells.values().tolist() if isinstance(cells, Strings) else cells.tolist()


def learn(values: Any, **overrides: str) -> list[Any]:
    return values_of(learn_schema(pd.DataFrame({"c": values}), overrides)[1])


def same_cells(a: Table, b: Table) -> bool:
    return all(
        np.array_equal(values_of(a, i), values_of(b, i), equal_nan=not isinstance(a.cells[i], Strings))
        for i in range(len(a.cells))
    )


DATES = pd.date_range("2024-01-31 10:00", periods=N)


@pytest.mark.parametrize(
    ("values", "kind", "zone"),
    [
        pytest.param(np.arange(N, dtype="int8"), "numeric", None, id="int8"),
        pytest.param(np.arange(N, dtype="float16"), "numeric", None, id="float16"),
        pytest.param(pd.array([1, None, 3, 4, 5, 6], dtype="Int64"), "numeric", None, id="Int64"),
        pytest.param(pd.array([1.5, None, 3, 4, 5, 6], dtype="Float32"), "numeric", None, id="Float32"),
        pytest.param(pd.array([True, None, False, True, True, True], dtype="boolean"), "boolean", None, id="boolean"),
        pytest.param(np.arange(N) > 2, "boolean", None, id="bool"),
        pytest.param(pd.arrays.SparseArray([0.0, 0, 1, 2, 0, 3]), "numeric", None, id="sparse"),
        pytest.param(pd.Categorical([1, 2, 1, 3, None, 2]), "categorical", None, id="number categories"),
        pytest.param(pd.Categorical([True, False, None, True, False, True]), "categorical", None, id="bool categories"),
        pytest.param(pd.cut([1, 2, 3, 4, 5, 6], 3), "categorical", None, id="intervals"),
        pytest.param(pd.Series(list("abcabc"), dtype="string"), "categorical", None, id="string"),
        pytest.param(DATES, "datetime", None, id="datetimes"),
        pytest.param(DATES.tz_localize("Europe/Berlin"), "datetime", "Europe/Berlin", id="zone"),
        pytest.param(DATES.tz_localize(dt.timezone(dt.timedelta(hours=2))), "datetime", "UTC+02:00", id="fixed offset"),
        pytest.param(pd.period_range("2024-01", periods=N, freq="M"), "datetime", None, id="periods"),
        pytest.param(pd.to_timedelta(range(N), unit="h"), "numeric", None, id="durations"),
        pytest.param([Decimal(i) / 4 for i in range(N)], "numeric", None, id="decimals"),
        pytest.param([dt.date(2024, 1, i + 1) for i in range(N)], "datetime", None, id="dates"),
        pytest.param([dt.time(i) for i in range(N)], "datetime", None, id="times of day"),
        pytest.param([b"a", b"b", b"a", b"c", b"a", b"b"], "categorical", None, id="bytes"),
        pytest.param([{"a": i} for i in range(N)], "categorical", None, id="dicts"),
        pytest.param([[i] for i in range(N)], "categorical", None, id="lists"),
        pytest.param([1, "a", 2.5, None, True, "b"], "categorical", None, id="several kinds"),
        pytest.param([1, 2.5, None, 3, 4, 5], "numeric", None, id="numbers and None"),
        pytest.param([True, None, False, True, False, True], "boolean", None, id="booleans and None"),
        pytest.param([None] * N, "categorical", None, id="nothing"),
    ],
)
def test_kinds_by_dtype_and_the_same_cells_as_objects_and_row_by_row(values: Any, kind: str, zone: str | None) -> None:
    frame = pd.DataFrame({"c": values})
    schema, table, _ = learn_schema(frame)
    column = schema.columns[0]
    assert (column.kind.value, column.time_zone) == (kind, zone)
    assert same_cells(table, read_table(frame.astype(object), schema, owner="test"))
    for i in range(N):
        alone = read_table(frame.iloc[[i]], schema, owner="test")
        assert same_cells(alone, table.take(np.array([i])))
        assert same_cells(read_table(frame.iloc[[i]].astype(object), schema, owner="test"), alone)


def test_arrow_backed_columns_mean_what_pandas_ones_mean() -> None:
    pytest.importorskip("pyarrow")
    plain = pd.DataFrame({"t": DATES, "z": DATES.tz_localize("Europe/Berlin"), "i": np.arange(N)})
    plain["d"] = plain["t"] - plain["t"][0]
    arrow = plain.astype(
        {"t": "timestamp[us][pyarrow]", "z": "timestamp[us, tz=Europe/Berlin][pyarrow]"}
        | {"i": "int64[pyarrow]", "d": "duration[us][pyarrow]"}
    )
    expected, table, _ = learn_schema(plain)
    schema, cells, _ = learn_schema(arrow)
    assert [(c.kind, c.time_zone) for c in schema.columns] == [(c.kind, c.time_zone) for c in expected.columns]
    assert same_cells(table, cells)


@pytest.mark.parametrize(
    ("texts", "kind", "cell_format"),
    [
        (["1.5", "2", None, "NA"], "numeric", None),
        (["1e3", "2", "3"], "numeric", None),
        (["1", "2", "10"], "categorical", None),
        (["007", "010", "123"], "categorical", None),
        (["007.5", "010.5"], "categorical", None),
        (["TRUE", "false", None], "boolean", None),
        (["yes", "no"], "boolean", None),
        (["2024-01-31", "2023-12-01"], "datetime", None),
        (["2024-01-31T10:00:00+02:00", "2023-12-01T00:00:00Z"], "datetime", None),
        (["2024-01-31", "soon", "2023-12-01"], "categorical", None),
        (["01/31/2024", "12/01/2023"], "datetime", "%m/%d/%Y"),
        (["31/01/2024", "01/12/2023"], "datetime", "%d/%m/%Y"),
        (["31.01.2024 10:00", "01.12.2023 11:30"], "datetime", "%d.%m.%Y %H:%M"),
        (["01/31/24", "12/01/23"], "datetime", "%m/%d/%y"),
        (["31-Jan-2024", "01-Dec-2023"], "datetime", "%d-%b-%Y"),
        (["January 31, 2024", "May 1, 2023"], "datetime", "%B %d, %Y"),
        (["2024/01/31", "2023/12/01"], "datetime", "%Y/%m/%d"),
        (["20240131", "20231201"], "categorical", None),
        (["1-2-3", "2-3-4"], "categorical", None),
    ],
    ids=lambda v: str(v)[:40],
)
def test_kinds_of_text(texts: list[str | None], kind: str, cell_format: str | None) -> None:
    assert kind_of(pd.Series(texts, dtype=object))[:2] == (kind, cell_format)


def test_whole_numbers_are_numbers_where_the_table_was_read_as_text() -> None:
    frame = pd.DataFrame({"n": ["1", "2", "3"], "x": ["0.5", "1.5", "2.5"]})
    assert [c.kind.value for c in learn_schema(frame)[0].columns] == ["numeric", "numeric"]
    assert [c.kind.value for c in learn_schema(frame[["n"]])[0].columns] == ["categorical"]


def test_dates_that_can_be_read_either_way_are_a_finding_and_settled_ones_are_not() -> None:
    either = pd.DataFrame({"d": ["01/02/2024", "03/04/2024"]})
    _, table, findings = learn_schema(either)
    assert [(f.code, f.columns) for f in findings] == [("ambiguous_date_order", ("d",))]
    assert pd.Timestamp(values_of(table)[0], unit="us") == pd.Timestamp(2024, 1, 2)
    assert learn_schema(pd.DataFrame({"d": ["01/31/2024", "03/04/2024"]}))[2] == []


def test_what_the_user_knows_better() -> None:
    assert kind_of(np.arange(N), c="categorical") == ("categorical", None, None)
    assert learn([1.0, 2.5, None], c="categorical") == ["1", "2.5", ""]
    assert kind_of(["1", "2", "3"], c="numeric")[0] == "numeric"
    assert kind_of(["2024-01-31", "2023-12-01"], c="datetime") == ("datetime", None, None)
    assert kind_of(pd.Categorical(["2024-01-31", "2023-12-01"]), c="datetime") == ("datetime", None, None)
    assert kind_of(["31/01/2024", "01/12/2023"], c="categorical") == ("categorical", None, None)
    with pytest.raises(InvalidCell, match=r"'c' is numeric: .* row 1, got 'x'"):
        kind_of(["1", "x"], c="numeric")
    with pytest.raises(InvalidParameter, match="'d' that X does not have"):
        kind_of([1, 2], d="numeric")
    with pytest.raises(InvalidParameter, match="must map columns to one of"):
        kind_of([1, 2], c="words")
    schema, _, _ = learn_schema(np.arange(4).reshape(2, 2), {"x1": "categorical", 0: "boolean"})
    assert [c.kind.value for c in schema.columns] == ["boolean", "categorical"]


def test_a_category_dtype_in_another_order_or_with_spare_categories_is_the_same_column() -> None:
    text = pd.DataFrame({"c": ["b", "a", None, "b"]})
    one = text.astype({"c": pd.CategoricalDtype(["a", "b"])})
    other = text.astype({"c": pd.CategoricalDtype(["z", "b", "y", "a"], ordered=True)})
    for frame in (text, one, other):
        schema, table, findings = learn_schema(frame)
        assert schema.levels[0].tolist() == ["", "a", "b"]
        assert values_of(table) == ["b", "a", "", "b"]
        assert (schema.columns[0].n_unique, schema.columns[0].n_missing) == (2, 1)
        assert findings == []
        for new in (text, one, other):
            assert values_of(read_table(new, schema, owner="test", on_unknown="raise")) == ["b", "a", "", "b"]
    _, _, findings = learn_schema(pd.concat([text, other.rename(columns={"c": "d"})], axis=1))
    assert [f.code for f in findings] == ["duplicate_columns"]


def test_a_numeric_column_may_come_as_a_categorical_and_a_bad_cell_is_counted_by_row() -> None:
    schema, _, _ = learn_schema(pd.DataFrame({"c": [1.0, 2.0, 3.0]}))
    good = pd.DataFrame({"c": pd.Categorical(["2", "1", None], categories=["1", "2", "unused"])})
    np.testing.assert_array_equal(values_of(read_table(good, schema, owner="test")), [2.0, 1.0, NAN])
    bad = pd.DataFrame({"c": pd.Categorical(["2", "2", "oops"], categories=["oops", "2"])})
    with pytest.raises(InvalidCell, match=r"'c' is numeric: expected a number in row 2, got 'oops'"):
        read_table(bad, schema, owner="test")


def test_a_bad_date_is_named_with_its_row() -> None:
    schema, _, _ = learn_schema(pd.DataFrame({"d": ["2024-01-31", "2024-02-01", None]}))
    with pytest.raises(InvalidCell, match=r"'d' is datetime: .* in ISO 8601 in row 2, got 'later'"):
        read_table(pd.DataFrame({"d": ["2024-01-31", "2024-01-31", "later"]}), schema, owner="test")


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"], "label": [0.0, 0.5, 1.0]})


def test_columns_are_found_by_name(frame: pd.DataFrame) -> None:
    schema, table, _ = learn_schema(frame)
    assert same_cells(table, read_table(frame[["label", "b", "a"]], schema, owner="test"))
    assert same_cells(table, read_table(frame.assign(new=1), schema, owner="test"))
    assert same_cells(table, read_table(frame.to_numpy(), schema, owner="test"))
    with pytest.raises(MissingColumns, match=r"lacks 1 of the 3 columns seen in fit: 'b'\. X has instead: 'B'"):
        read_table(frame.rename(columns={"b": "B"}), schema, owner="test")
    with pytest.raises(InvalidInput, match="X has 2 features, but test is expecting 3 features"):
        read_table(frame.to_numpy()[:, :2], schema, owner="test")
    with pytest.raises(InvalidInput, match=r"more than once: \['a'\]"):
        read_table(pd.concat([frame, frame[["a"]]], axis=1), schema, owner="test")


def test_a_frame_fitted_with_names_like_an_arrays_is_not_read_by_position() -> None:
    schema, _, _ = learn_schema(pd.DataFrame({"x0": [1.0, 2.0], "y": [3.0, 5.0]}))
    with pytest.raises(MissingColumns):
        read_table(pd.DataFrame({"p": [1.0], "q": [2.0]}), schema, owner="test")


def test_an_array_fit_reads_frames_by_position_or_by_its_own_names() -> None:
    schema, _, _ = learn_schema(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert (schema.layout, schema.names) == ("array", ["x0", "x1"])
    by_position = read_table(pd.DataFrame({"p": [1.0], "q": [2.0]}), schema, owner="test")
    by_name = read_table(pd.DataFrame({"x1": [2.0], "x0": [1.0]}), schema, owner="test")
    assert same_cells(by_position, by_name)


def test_whole_number_labels_are_names_too() -> None:
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 5.0]])
    schema, table, _ = learn_schema(frame)
    assert (schema.layout, schema.names, [c.input_name for c in schema.columns]) == ("frame", ["0", "1"], ["f0", "f1"])
    assert same_cells(table, read_table(frame[[1, 0]], schema, owner="test"))
    assert same_cells(table, read_table(frame.to_numpy(), schema, owner="test"))


def test_input_names_are_distinct_and_never_an_outputs() -> None:
    names = ["label", "probabilities", "prediction", "X", "", "f4", "_hidden", "a\0b", "fine", "emoji 🦜"]
    frame = pd.DataFrame([np.arange(10.0), np.arange(10.0) ** 2], columns=names)
    inputs = [c.input_name for c in learn_schema(frame)[0].columns]
    assert inputs == ["f0", "f1", "f2", "f3", "f4_", "f4", "f6", "f7", "fine", "emoji 🦜"]


def test_column_labels_of_several_levels_are_read_as_text() -> None:
    columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])
    assert learn_schema(pd.DataFrame([[1.0, 2.0], [3.0, 5.0]], columns=columns))[0].names == ["('a', 1)", "('a', 2)"]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (None, "Expected X to be a DataFrame"),
        ("table.csv", "Expected X to be a DataFrame"),
        ({"a": [1]}, "Expected X to be a DataFrame"),
        ([1.0, 2.0], "Expected 2D array, got 1D array"),
        (np.zeros((2, 2, 2)), "Expected 2D array, got 3D array"),
        ([[1, 2], [3]], "Expected 2D array, got rows of unequal length"),
        (np.zeros((0, 2)), "0 sample"),
        (np.zeros((2, 0)), "0 feature"),
        (pd.DataFrame({"a": []}), "0 sample"),
        (sparse.csr_array(np.eye(2)), r"toarray\(\)"),
        (np.array([[1j, 2.0]]), "Complex data not supported"),
        (pd.DataFrame({"a": [1j, 2.0]}), "Complex data not supported"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once"),
        (pd.DataFrame([[1, 2]], columns=["a", 1]), "Feature names are only supported"),
        (pd.DataFrame([[1, 2]], columns=[1, 1.0]), "more than once"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_what_is_no_table(X: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        learn_schema(X)


def test_lists_keep_the_kind_of_each_cell_and_masked_cells_are_missing() -> None:
    schema, table, _ = learn_schema([[1.5, "b", None], [2, "a", 3.0]])
    assert [c.kind.value for c in schema.columns] == ["numeric", "categorical", "numeric"]
    assert values_of(table) == [1.5, 2.0]
    masked = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    _, table, _ = learn_schema(masked)
    np.testing.assert_array_equal(values_of(table, 1), [NAN, 4.0])
    assert take_rows(masked, np.array([0])).tolist() == [[1.0, None]]


def test_taken_rows_are_a_copy_in_the_container_of_x(frame: pd.DataFrame) -> None:
    taken = take_rows(frame, np.array([2, 0]))
    pd.testing.assert_frame_equal(taken, frame.iloc[[2, 0]])
    X = np.arange(6.0).reshape(3, 2)
    rows = take_rows(X, np.array([1]))
    rows[:] = -1.0
    assert X[1].tolist() == [2.0, 3.0]
    assert take_rows([["a", 1]], np.array([0])).tolist() == [["a", 1]]


def test_constants_copies_and_infinities_are_findings() -> None:
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, np.inf],
            "again": [1.0, 2.0, np.nan],
            "fixed": ["x"] * 3,
            "gap": [5.0, None, 5.0],
            "object": pd.Series([1, -np.inf, 3], dtype=object),
        }
    )
    schema, table, findings = learn_schema(frame)
    by_code = {f.code: f.columns for f in findings}
    assert by_code == {
        "constant_columns": ("fixed",),
        "duplicate_columns": ("again",),
        "infinite_values": ("a", "object"),
    }
    assert [c.name for c in schema.used] == ["a", "gap", "object"]
    np.testing.assert_array_equal(values_of(table, 0), [1.0, 2.0, NAN])
    assert (schema.columns[0].minimum, schema.columns[0].maximum) == (1.0, 2.0)


def test_equal_instants_in_different_zones_are_no_copies() -> None:
    utc = pd.Series(DATES.tz_localize("UTC"))
    schema, table, findings = learn_schema(pd.DataFrame({"u": utc, "b": utc.dt.tz_convert("Europe/Berlin")}))
    assert values_of(table, 0) == values_of(table, 1)
    assert findings == []
    assert len(schema.used) == 2


def test_times_are_microseconds_since_1970() -> None:
    assert learn(pd.Series(["1970-01-02", None])) == [86_400_000_000, MISSING_TIME]
    assert learn(pd.period_range("1970-01", periods=2, freq="M")) == [0, 31 * 86_400_000_000]
    assert learn(pd.to_timedelta([90, None], unit="s"))[0] == 90.0


def test_unknown_categories(frame: pd.DataFrame) -> None:
    schema, _, _ = learn_schema(frame)
    new = frame.assign(b=["X ", "q", None])
    table = read_table(new, schema, owner="test")
    assert count_unknown(table) == {"b": ["q"]}
    with pytest.warns(UnknownCategoryWarning, match="column 'b': 'q'"):
        read_table(new, schema, owner="test", on_unknown="warn")
    with pytest.raises(UnknownCategory, match="on_unknown='ignore'"):
        read_table(new, schema, owner="test", on_unknown="raise")
    assert count_unknown(read_table(frame, schema, owner="test", on_unknown="raise")) == {}
