"""Rows are put together from cells of other rows, whatever the cells are, by any number of threads alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.costs import Costs
from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation import explained as module
from automl_wf.interpretation.explained import Explained, axis_values, cell_values, grid, players, units_to_explain

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 4.0, 2.0],
        "town": ["oslo", "rome", None, "rome", "lima"],
        "day": pd.to_datetime(["2024-01-01", "2024-01-03", "2024-02-01", None, "2024-01-01"]),
        "flag": [True, False, True, True, False],
    }
)


def cells_of(table: Table) -> list[tuple[Any, ...]]:
    columns = [c.values() if isinstance(c, Strings) else c for c in table.cells]
    return list(zip(*columns, strict=True))


def test_each_cell_comes_from_the_row_it_is_said_to() -> None:
    _, table, _ = learn_schema(FRAME, None)
    seen: list[Table] = []

    def watched(rows: Table) -> np.ndarray:
        seen.append(rows)
        return np.nan_to_num(rows.cells[0])

    model = Explained(watched, table, Task.REGRESSION)
    said = model(np.array([0, 3]), {1: np.array([1, 0]), 0: np.array([3, 0])})
    np.testing.assert_array_equal(said, [[4.0], [1.0]])
    whole = cells_of(table)
    first, second = cells_of(seen[0])
    assert first == (whole[3][0], whole[1][1], whole[0][2], whole[0][3])
    assert second == (whole[0][0], whole[0][1], whole[3][2], whole[3][3])
    assert model(np.empty(0, dtype=np.intp)).shape == (0, 1)


def test_threads_and_batches_change_nothing(
    monkeypatch: pytest.MonkeyPatch, numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 7)
    sizes = []

    def value(table: Table) -> np.ndarray:
        sizes.append(table.n_rows)
        return np.sin(table.numbers(range(4)) @ np.arange(4.0))

    frame, base = numbers(50), np.arange(50)
    sources = {2: base[::-1].copy()}
    one, two = (explained(frame, value, n_threads=n)(base, sources) for n in (1, 3))
    np.testing.assert_array_equal(one, two)
    assert max(sizes) == 7


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        (Task.BINARY, ("yes",)),
        (Task.MULTICLASS, ("low", "mid", "high")),
        (Task.REGRESSION, ("prediction",)),
        (Task.RANKING, ("score",)),
    ],
)
def test_outputs_have_names(task: Task, outputs: tuple[str, ...], explained: Callable[..., Explained]) -> None:
    model = explained(FRAME, lambda t: np.zeros(t.n_rows), task)
    assert model.outputs == outputs


def test_classes_are_decided_as_predict_does(explained: Callable[..., Explained]) -> None:
    model = explained(FRAME, lambda t: np.zeros((t.n_rows, 2)), Task.BINARY, threshold=0.3)
    assert model.decide(np.array([[0.29], [0.3], [0.9]])).tolist() == [0, 1, 1]
    assert explained(FRAME, lambda t: t, Task.BINARY).decide(np.array([[0.5], [0.6]])).tolist() == [0, 1]


def test_classes_are_decided_by_costs_where_there_are_any(explained: Callable[..., Explained]) -> None:
    dear = Costs(((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (9.0, 9.0, 0.0)))
    model = explained(FRAME, lambda t: t, Task.MULTICLASS, threshold=dear)
    assert model.decide(np.array([[0.6, 0.1, 0.3], [0.95, 0.04, 0.01]])).tolist() == [2, 0]


def test_effects_of_an_additive_classifier_add_up_on_log_odds(explained: Callable[..., Explained]) -> None:
    score = np.array([-2.0, 0.0, 1.5])
    p = 1 / (1 + np.exp(-score))
    binary = explained(FRAME, lambda t: t, Task.BINARY).where_effects_add(p[:, None])
    np.testing.assert_allclose(binary[:, 0], score)
    three = np.exp(np.outer(score, [1.0, 0.0, -1.0]))
    three /= three.sum(axis=1, keepdims=True)
    several = explained(FRAME, lambda t: t, Task.MULTICLASS).where_effects_add(three)
    np.testing.assert_allclose(several, np.outer(score, [1.0, 0.0, -1.0]), atol=1e-12)


def test_equal_cells_have_one_code(explained: Callable[..., Explained]) -> None:
    model = explained(FRAME, lambda t: t)
    assert model.codes(0).tolist() == [0, 1, 2, 3, 1]
    assert model.codes(1).tolist() == [0, 1, 2, 1, 4]
    assert model.codes(2).tolist() == [0, 1, 2, 3, 0]


def test_grids_are_quantiles_and_common_texts() -> None:
    schema, table, _ = learn_schema(FRAME, None)
    x, town, day, flag = schema.columns
    assert cell_values(table, x, grid(table, x, 5, 5)) == (1.0, 2.0, 4.0)
    assert cell_values(table, town, grid(table, town, 5, 2))[0] == "rome"
    assert cell_values(table, day, grid(table, day, 5, 5)) == ("2024-01-01", "2024-01-03", "2024-02-01")
    assert cell_values(table, flag, grid(table, flag, 5, 5)) == (False, True)
    assert axis_values(table, day, grid(table, day, 5, 5)) == (19723.0, 19725.0, 19754.0)
    assert cell_values(table, town, np.array([2])) == (None,)
    long = pd.DataFrame({"x": np.arange(1000.0), "y": np.tile([0.0, 1.0], 500)})
    schema, table, _ = learn_schema(long, None)
    values = cell_values(table, schema.columns[0], grid(table, schema.columns[0], 11, 5))
    np.testing.assert_allclose(values, np.linspace(50, 949, 11), atol=1.0)


def test_where_no_order_is_known_the_columns_that_move_predictions_stand_alone(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(40, 8), lambda t: 5.0 * t.cells[6] + t.cells[3])
    assert [name for name, _ in units_to_explain(model, 10, ["a", "b"], 2)] == ["g", "d", "other columns"]
    known = ["b", "a", *"hgfedc"]
    assert [name for name, _ in units_to_explain(model, 10, known, 2)] == ["b", "a", "other columns"]
    assert [name for name, _ in units_to_explain(model, 10, [], None)] == list("abcdefgh")


def test_columns_beyond_the_first_are_one_player(numbers: Callable[..., pd.DataFrame]) -> None:
    schema, _, _ = learn_schema(numbers(30, 6).rename(columns={"a": "other columns"}), None)
    assert [name for name, _ in players(schema.used, 5)] == schema.names
    units = players(schema.used, 3)
    assert units[-1] == ("other columns…", (3, 4, 5))
    assert [positions for _, positions in units[:3]] == [(0,), (1,), (2,)]
