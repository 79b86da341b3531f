"""Coercion and features as one object."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.exceptions import MissingColumns
from automl_wf.feature_engineering.plan import plan_features
from automl_wf.feature_engineering.preprocessor import Preprocessor


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"x": [1.0, None, 3.0], "c": ["b", "a", "b"]}, index=[7, 8, 9])


@pytest.fixture
def preprocessor(frame: pd.DataFrame) -> Preprocessor:
    schema, table, _ = learn_schema(frame)
    plan = plan_features(schema, Task.REGRESSION, 1, table)
    view, _ = plan.views["tree"].fit_transform(table, np.arange(3.0), None, seed=0)
    return Preprocessor(schema, view, "Owner")


def test_numbers_with_gaps_and_codes_under_the_rows_own_index(preprocessor: Preprocessor, frame: pd.DataFrame) -> None:
    out = preprocessor.transform(frame.assign(c=["b", "never", " B "]))
    assert out.index.tolist() == [7, 8, 9]
    assert list(out.columns) == preprocessor.get_feature_names_out().tolist()
    np.testing.assert_array_equal(out.to_numpy(), [[1.0, 1.0], [np.nan, -1.0], [3.0, 1.0]])


def test_arrays_are_read_by_position_and_missing_columns_are_named(
    preprocessor: Preprocessor, frame: pd.DataFrame
) -> None:
    assert preprocessor.transform(frame.to_numpy()).index.tolist() == [0, 1, 2]
    with pytest.raises(MissingColumns, match="'c'"):
        preprocessor.transform(frame[["x"]])


def test_it_survives_a_pickle(preprocessor: Preprocessor, frame: pd.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(preprocessor))
    pd.testing.assert_frame_equal(again.transform(frame), preprocessor.transform(frame))
