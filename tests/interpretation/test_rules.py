"""Rules say what the model says, where it can be said in rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.rules import Condition, Rules, surrogate_rules


def rules_of(model: Explained, depth: int = 3) -> Rules:
    rows = np.arange(model.rows.n_rows)
    return surrogate_rules(model, model.rows.schema.used, rows, model(rows), depth=depth)


def test_a_model_made_of_two_questions_is_found_whole(explained: Callable[..., Explained]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.uniform(0, 10, 600), "town": rng.choice(["oslo", "rome", "lima"], 600)})

    def value(table: Table) -> np.ndarray:
        town = table.cells[1]
        assert isinstance(town, Strings)
        return np.where(table.cells[0] > 4.0, np.where(town.values() == "oslo", 30.0, 20.0), 10.0)

    found = rules_of(explained(frame, value), depth=2)
    assert found.status == "measured"
    assert found.r2 == 1.0
    assert found.agreement is None
    assert [rule.prediction for rule in found.rules] == [30.0, 20.0, 10.0]
    by_column = {c.column: c for c in found.rules[0].conditions}
    assert by_column["town"] == Condition("town", "is", "oslo")
    assert (by_column["x"].relation, by_column["x"].value) == ("above", pytest.approx(4.0, abs=0.1))
    assert Condition("town", "is not", "oslo") in found.rules[1].conditions
    assert sum(rule.n_rows for rule in found.rules) == found.n_rows == 400
    assert sum(rule.share for rule in found.rules) == pytest.approx(1.0, abs=1e-5)
    assert found.n_held_out == 200


def test_rules_do_not_claim_what_they_cannot_follow(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    found = rules_of(explained(numbers(600), lambda t: np.sin(20.0 * t.cells[0]) * np.sin(20.0 * t.cells[1])))
    assert found.r2 is not None
    assert found.r2 < 0.2


def test_classes_agree(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained], logistic: Callable[..., object]
) -> None:
    found = rules_of(explained(numbers(600), logistic(lambda t: 8.0 * np.sign(t.cells[0])), Task.BINARY))
    assert found.agreement == pytest.approx(1.0, abs=0.01)
    assert {rule.label for rule in found.rules} == {"yes"}
    assert found.rules[0].prediction > 0.99 > 0.01 > found.rules[-1].prediction


def test_several_classes_are_named(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    def proba(table: Table) -> np.ndarray:
        return np.eye(3)[np.digitize(table.cells[0], [-0.5, 0.5])]

    found = rules_of(explained(numbers(600), proba, Task.MULTICLASS), depth=2)
    assert found.agreement == pytest.approx(1.0, abs=0.02)
    assert {rule.label for rule in found.rules} == {"low", "mid", "high"}


def test_bounds_of_one_column_are_drawn_together(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    found = rules_of(explained(numbers(600, 1), lambda t: np.floor(2 * t.cells[0])))
    for rule in found.rules:
        relations = [c.relation for c in rule.conditions]
        assert len(relations) == len(set(relations)) <= 2
        bounds = {c.relation: c.value for c in rule.conditions}
        assert bounds.get("above", -9.0) < bounds.get("at most", 9.0)


def test_missing_values_and_dates_are_said(explained: Callable[..., Explained]) -> None:
    n = 300
    x = np.random.default_rng(0).uniform(0, 1, n)
    x[::3] = np.nan
    frame = pd.DataFrame({"x": x, "day": pd.date_range("2024-01-01", periods=n)})
    first = rules_of(explained(frame, lambda t: np.where(np.isnan(t.cells[0]) | (t.cells[0] < 0.5), 1.0, 0.0)))
    assert first.rules[0].conditions[0].relation == "at most"
    assert first.rules[0].conditions[0].or_missing
    middle = frame["day"][150].value // 1000
    second = rules_of(explained(frame, lambda t: (t.cells[1] >= middle) * 1.0), depth=1)
    assert str(second.rules[0].conditions[0].value).startswith("2024-05-2")


def test_too_few_rows_or_columns(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    assert rules_of(explained(numbers(20), lambda t: t.cells[0])).status == "not run: a surrogate needs 40 rows"
    model = explained(numbers(60), lambda t: t.cells[0])
    rows = np.arange(60)
    assert surrogate_rules(model, (), rows, model(rows)).status == "not run: no column can be asked about"
