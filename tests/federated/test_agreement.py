"""One schema out of several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.core.schema import ColumnKind, Schema
from automl_wf.exceptions import InvalidInput
from automl_wf.federated.agreement import agree, schema_arrays, schema_from


def _schema(**columns: Any) -> Schema:
    return schema_from(schema_arrays(learn_schema(pd.DataFrame(columns))[0]))


def test_kinds_are_agreed_on() -> None:
    first = _schema(a=[True, False], b=["x", "y"], c=[1.5, 2.0], d=[None, None], e=["2024-01-05", "2024-02-07"])
    second = _schema(a=[3, 4], b=["x", "y"], c=["?", "some"], d=[1.0, 2.5], e=[None, "2024-03-01"])
    kinds = [c.kind for c in agree([first, second]).columns]
    assert kinds == [
        ColumnKind.NUMERIC,
        ColumnKind.CATEGORICAL,
        ColumnKind.CATEGORICAL,
        ColumnKind.NUMERIC,
        ColumnKind.DATETIME,
    ]


def test_formats_and_arrays_are_kept() -> None:
    schema = _schema(price=["$1,200.50", "$900.00", "$3,000.10"])
    assert agree([schema, schema]).columns[0].cell_format == schema.columns[0].cell_format is not None
    array = learn_schema(np.eye(3))[0]
    assert agree([array, array]).layout == "array"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"a": [1.5, 2.5]}, {"b": [1.5, 2.5]}, "Client 1 lacks"),
        ({"a": ["12.5 km", "3.5 km"]}, {"a": ["$12.5", "$3.5"]}, "numbers of column 'a' differently"),
        ({"a": pd.to_datetime(["2024-01-01", "2024-01-02"])}, {"a": [1.5, 2.0]}, "dates at some clients and numbers"),
    ],
)
def test_contradictions_are_named(first: Any, second: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        agree([_schema(**first), _schema(**second)])
