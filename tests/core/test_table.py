"""Coerced rows: taking some, and putting columns of one edge side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Strings, Table, stack


def make_table() -> Table:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "s": ["b", None, "a"], "t": pd.date_range("1970-01-01", periods=3)})
    return learn_schema(frame)[1]


def test_take_by_positions_mask_and_slice() -> None:
    table = make_table()
    for rows in (np.array([0, 2]), np.array([True, False, True]), slice(0, 3, 2)):
        taken = table.take(rows)
        assert taken.n_rows == 2
        assert taken.numbers([0]).ravel().tolist() == [1.0, 3.0]
        assert taken.strings([1])[0].values().tolist() == ["b", "a"]
        assert taken.times([2]).ravel().tolist() == [0, 2 * 86_400_000_000]


def test_blocks_have_a_column_per_position_even_for_none() -> None:
    table = make_table()
    assert table.numbers([0, 0]).tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert table.numbers([]).shape == (3, 0)
    assert table.times([]).shape == (3, 0)
    assert table.strings([]) == []


def test_fewer_rows_than_levels_keep_only_the_levels_that_they_have() -> None:
    strings = Strings(np.array([2, 0, 2, 1, 1], dtype=np.int32), np.array(["a", "b", "c"], dtype=object))
    assert strings.values().tolist() == ["c", "a", "c", "b", "b"]
    many, few = strings.take(np.array([0, 1, 2])), strings.take(np.array([2, 0]))
    assert (many.levels.tolist(), many.values().tolist()) == (["a", "b", "c"], ["c", "a", "c"])
    assert (few.levels.tolist(), few.codes.tolist(), few.codes.dtype) == (["c"], [0, 0], np.int32)
    assert strings.take(slice(1, 1)).levels.tolist() == []


def test_tables_one_below_the_other_keep_their_order_whatever_their_levels() -> None:
    table = make_table()
    parts = [table.take(np.array([2])), table, table.take(np.array([1, 0]))]
    both = stack(parts)
    assert both.n_rows == 6
    assert both.numbers([0]).ravel().tolist() == [3.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    assert both.strings([1])[0].values().tolist() == ["a", "b", "", "a", "", "b"]
    assert both.strings([1])[0].levels.tolist() == ["", "a", "b"]
    assert both.times([2]).ravel().tolist() == [day * 86_400_000_000 for day in (2, 0, 1, 2, 1, 0)]


def test_all_rows_in_their_order_are_the_table_itself() -> None:
    table = make_table()
    assert table.take(np.arange(3)) is table
    for rows in (np.array([1, 0, 2]), np.array([0, 1]), np.array([True, True, True])):
        assert table.take(rows) is not table
