"""Interactions are found where they are planted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.interactions import LEAST_OF_VALUES, Interactions, interactions

POINTS, ROWS = np.arange(60), np.arange(60, 120)


def found_in(model: Explained, n_controls: int = 0) -> Interactions:
    columns = model.rows.schema.used
    return interactions(model, columns[:3], columns[3 : 3 + n_controls], POINTS, ROWS)


def test_an_additive_model_has_none(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    found = found_in(explained(numbers(), lambda t: np.square(t.cells[0]) + np.sin(t.cells[1]) - t.cells[2]))
    assert [pair.is_found for pair in found.pairs] == [False] * 3
    assert max(pair.strength for pair in found.pairs) < 1e-12
    assert max(pair.h for pair in found.pairs) < 1e-12
    assert (found.threshold, found.scale, found.n_points, found.n_rows) == (LEAST_OF_VALUES, "prediction", 60, 60)


def test_a_product_is_found_with_the_size_of_theory(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    """f = x y + z: x y is all interaction, and one half of the variance."""
    model = explained(numbers(4000), lambda t: t.cells[0] * t.cells[1] + t.cells[2])
    columns = model.rows.schema.used
    found = interactions(model, columns[:3], (), np.arange(400), np.arange(400, 800))
    first, *others = found.pairs
    assert first.columns == ("a", "b")
    assert first.is_found
    assert first.h == pytest.approx(1.0, abs=0.05)
    assert first.strength == pytest.approx(np.sqrt(0.5), abs=0.1)
    assert not any(pair.is_found for pair in others)


def test_additive_log_odds_are_no_interaction(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained], logistic: Callable[..., object]
) -> None:
    additive = explained(numbers(), logistic(lambda t: t.cells[0] + t.cells[1]), Task.BINARY)
    assert found_in(additive).scale == "log-odds"
    assert max(pair.strength for pair in found_in(additive).pairs) < 1e-9
    crossed = explained(numbers(), logistic(lambda t: 2.0 * t.cells[0] * t.cells[1]), Task.BINARY)
    assert found_in(crossed).pairs[0].columns == ("a", "b")
    assert found_in(crossed).pairs[0].is_found


def test_probabilities_that_level_off_are_expected_to(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained], logistic: Callable[..., object]
) -> None:
    """Two models in one: their mean levels off on log-odds too, without any interaction."""

    def mean(table: Table) -> np.ndarray:
        score = 4.0 * (table.cells[0] + table.cells[1])
        return (logistic(lambda t: score)(table) + logistic(lambda t: 0.1 * score)(table)) / 2.0

    found = found_in(explained(numbers(), mean, Task.BINARY))
    first = next(pair for pair in found.pairs if pair.columns == ("a", "b"))
    assert first.strength > 0.1
    assert first.expected == pytest.approx(first.strength, abs=0.05)
    assert not any(pair.is_found for pair in found.pairs)


def test_classes_are_added_up(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    def proba(table: Table) -> np.ndarray:
        scores = np.exp(np.column_stack([table.cells[0], table.cells[1], table.cells[0] * table.cells[2]]))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    found = found_in(explained(numbers(), proba, Task.MULTICLASS))
    assert found.scale == "centred log-probability"
    assert [pair.columns for pair in found.pairs if pair.is_found] == [("a", "c")]


def test_what_the_model_does_with_columns_it_does_not_need_is_the_threshold(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    def noisy(table: Table) -> np.ndarray:
        a, b, c, d = table.cells
        return np.asarray(a + 0.4 * b * c + 0.8 * a * d)

    model = explained(numbers(1000), noisy)
    alone, checked = found_in(model), found_in(model, n_controls=1)
    assert [pair.columns for pair in alone.pairs if pair.is_found] == [("b", "c")]
    assert checked.threshold > alone.pairs[0].strength
    assert not any(pair.is_found for pair in checked.pairs)
    assert checked.n_controls == 1


def test_equal_points_are_asked_about_once(explained: Callable[..., Explained]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.integers(0, 2, 120) * 1.0, "b": rng.integers(0, 2, 120) * 1.0, "c": rng.normal(size=120)}
    )
    n_asked = []

    def value(table: Table) -> np.ndarray:
        n_asked.append(table.n_rows)
        return np.asarray(table.cells[0] * table.cells[1])

    model = explained(frame, value)
    columns = model.rows.schema.used[:2]
    found = interactions(model, columns, (), POINTS, ROWS)
    assert sum(n_asked) == (2 + 2 + 4) * len(ROWS) + len(POINTS) + len(ROWS)
    assert found.pairs[0].is_found
