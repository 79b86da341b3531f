"""The surface is the function itself where there is nothing else to average over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation.boundary import decision_boundary
from automl_wf.interpretation.explained import Explained

SIZES = {"n_points": 6, "n_levels": 4}


def test_values_are_means_over_the_rows(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(), lambda t: t.cells[0] * t.cells[1] + t.cells[2])
    a, b = model.rows.schema.used[:2]
    rows = np.arange(7)
    found = decision_boundary(model, (a, b), rows, **SIZES)
    expected = np.outer(found.y, found.x) + model.rows.cells[2][rows].mean()
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    assert (found.columns, found.labels, found.output, found.n_rows) == (("a", "b"), (), "prediction", 7)


def test_two_classes_meet_where_the_model_says(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained], logistic: Callable[..., object]
) -> None:
    model = explained(numbers(), logistic(lambda t: 5.0 * (t.cells[0] - t.cells[1])), Task.BINARY)
    found = decision_boundary(model, tuple(model.rows.schema.used[:2]), np.arange(2), **SIZES)
    says_yes = np.array(found.labels) == "yes"
    np.testing.assert_array_equal(says_yes, np.subtract.outer(np.array(found.y), np.array(found.x)) < 0)
    assert found.output == "yes"


def test_of_several_classes_the_one_that_is_said_is_shown(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    def proba(table: Table) -> np.ndarray:
        return np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]])[np.digitize(table.cells[0], [-0.5, 0.5])]

    model = explained(numbers(), proba, Task.MULTICLASS)
    found = decision_boundary(model, tuple(model.rows.schema.used[:2]), np.arange(2), **SIZES)
    assert set(found.labels[0]) == {"low", "mid", "high"}
    best = {"low": 0.7, "mid": 0.8, "high": 0.9}
    assert [list(line) for line in found.values] == [[pytest.approx(best[n]) for n in line] for line in found.labels]
    assert found.output == ""
