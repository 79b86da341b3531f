"""What is known of the columns, as values and as a table to look at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from automl_wf.core.frame import learn_schema
from automl_wf.core.schema import ColumnKind


def test_each_kind_has_its_edge() -> None:
    assert {kind.value: kind.edge for kind in ColumnKind} == {
        "numeric": "double",
        "boolean": "double",
        "categorical": "string",
        "text": "string",
        "identifier": "string",
        "datetime": "int64",
    }


def test_columns_by_use_and_kind_and_as_a_table() -> None:
    frame = pd.DataFrame({"x": [1.0, None, 4.0], "fixed": [1, 1, 1], "c": ["u", "v", "u"]})
    schema, _, _ = learn_schema(frame)
    assert schema.names == ["x", "fixed", "c"]
    assert [c.name for c in schema.used] == ["x", "c"]
    assert [c.name for c in schema.of_kind(ColumnKind.NUMERIC, ColumnKind.CATEGORICAL)] == ["x", "c"]
    table = schema.to_frame()
    assert table.loc["x", ["kind", "edge", "n_missing", "n_unique", "minimum", "maximum"]].tolist() == [
        "numeric",
        "double",
        1,
        2,
        1.0,
        4.0,
    ]
    assert "<table" in schema._repr_html_()


def test_an_array_of_numbers_is_one_tensor_and_one_of_text_is_not() -> None:
    assert learn_schema(np.eye(3))[0].layout == "array"
    assert learn_schema(np.array([["a", "b"], ["c", "d"]]))[0].layout == "frame"
