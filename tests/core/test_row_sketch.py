"""Rows are known again by the hashes that were kept of them, and others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl_wf.core import row_sketch
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.row_sketch import RowSketch


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=n), "c": rng.choice(["a", "b"], n)})


def test_rows_are_known_in_any_order_and_others_are_not() -> None:
    schema, table, _ = learn_schema(frame(300))
    sketch = RowSketch.of(table.cells, 7)
    assert (len(sketch.hashes), sketch.repeated) == (300, 0.0)
    mixed = pd.concat([frame(300).tail(50), frame(150, seed=1)])
    is_known = sketch.find(read_table(mixed, schema, owner="test").cells)
    assert is_known.tolist() == [True] * 50 + [False] * 150


def test_of_many_rows_an_even_share_is_kept_and_shares_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sketch, "MAX_ROWS", 2_000)
    schema, table, _ = learn_schema(frame(20_000))
    sketch = RowSketch.of(table.cells, 7)
    assert len(sketch.hashes) == 2_000
    other = pd.concat([frame(20_000).head(5_000), frame(15_000, seed=1)])
    is_known = sketch.find(read_table(other, schema, owner="test").cells)
    assert len(is_known) == pytest.approx(2_000, rel=0.1)
    assert is_known.mean() == pytest.approx(0.25, abs=0.04)
    assert not np.array_equal(sketch.hashes, RowSketch.of(table.cells, 8).hashes)


def test_equal_rows_are_counted() -> None:
    table = learn_schema(pd.DataFrame({"x": [1.0, 1.0, 1.0, 2.0], "y": [0.0, 0.0, 0.0, 5.0]}))[1]
    sketch = RowSketch.of(table.cells, 0)
    assert sorted(sketch.counts.tolist()) == [1, 3]
    assert sketch.repeated == 0.75


def test_arrays_are_all_of_it() -> None:
    table = learn_schema(frame(50))[1]
    sketch = RowSketch.of(table.cells, 3)
    again = RowSketch.from_arrays(sketch.arrays, 3)
    assert again is not None
    assert again.to_dict() == sketch.to_dict()
    assert sketch.hashes.dtype == np.uint32
    assert RowSketch.from_arrays({}, 3) is None
    changed = RowSketch(sketch.hashes, sketch.counts + 1, 3)
    assert changed.sha256 != sketch.sha256
