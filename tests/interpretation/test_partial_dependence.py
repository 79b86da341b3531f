"""Curves whose slopes are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.partial_dependence import partial_dependence

ROWS = np.arange(40)
SIZES = {"n_points": 9, "n_levels": 4}


def test_an_additive_model_has_straight_parallel_lines(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(), lambda t: 3.0 * t.cells[0] - 2.0 * t.cells[1] + 5.0)
    found = partial_dependence(model, model.rows.schema.used[:3], ROWS, **SIZES)
    assert (found.status, found.n_rows, found.outputs) == ("measured", 40, ("prediction",))
    for drawn, slope in zip(found.columns, [3.0, -2.0, 0.0], strict=True):
        for line in (*drawn.lines, drawn.mean[0]):
            np.testing.assert_allclose(np.diff(line), slope * np.diff(drawn.at), atol=2e-4)
        assert len(drawn.lines) == 40
    first, second, idle = found.columns
    assert first.own_share == pytest.approx(0.0, abs=1e-9)
    assert idle.own_share is None
    assert (first.swing.highest_at, first.swing.lowest_at) == (first.values[-1], first.values[0])
    assert (second.swing.highest_at, second.swing.lowest_at) == (second.values[0], second.values[-1])
    assert first.swing.highest - first.swing.lowest == pytest.approx(3.0 * (first.at[-1] - first.at[0]), abs=1e-3)
    means = first.mean[0]
    rest = 5.0 - 2.0 * model.rows.cells[1][ROWS].mean()
    np.testing.assert_allclose(means, 3.0 * np.array(first.at) + rest, atol=1e-3)


def test_lines_that_cross_tell_of_an_interaction(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(2000), lambda t: t.cells[0] * t.cells[1])
    (drawn,) = partial_dependence(model, model.rows.schema.used[:1], np.arange(400), **SIZES).columns
    # The mean line is x · mean(b), whose square is next to nothing beside the variance of b
    assert drawn.own_share == pytest.approx(1.0, abs=0.02)


def test_texts_and_several_classes(explained: Callable[..., Explained]) -> None:
    towns = np.array(["oslo", "rome", "lima", "bonn", "kyiv"], dtype=object)
    frame = pd.DataFrame({"town": towns[np.repeat(np.arange(5), [40, 30, 20, 10, 5])], "x": np.arange(105.0)})

    def proba(table: Table) -> np.ndarray:
        column = table.cells[0]
        assert isinstance(column, Strings)
        high = np.where(column.values() == "rome", 0.7, 0.1)
        return np.column_stack([0.8 - high, np.full(len(high), 0.2), high])

    model = explained(frame, proba, Task.MULTICLASS)
    found = partial_dependence(model, model.rows.schema.used[:1], ROWS, **SIZES)
    (drawn,) = found.columns
    assert drawn.values == ("oslo", "rome", "lima", "bonn")
    assert drawn.at == (0.0, 1.0, 2.0, 3.0)
    assert found.outputs == ("low", "high", "mid")
    assert drawn.mean[0] == pytest.approx((0.7, 0.1, 0.7, 0.7))
    assert drawn.mean[1] == pytest.approx((0.1, 0.7, 0.1, 0.1))


def test_columns_with_one_known_value_are_left_out(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    frame = numbers(30, 2).assign(c=[np.nan] * 20 + [1.0] * 10)
    model = explained(frame, lambda t: t.cells[0])
    found = partial_dependence(model, model.rows.schema.columns, np.arange(10), **SIZES)
    assert [drawn.column for drawn in found.columns] == ["a", "b"]
