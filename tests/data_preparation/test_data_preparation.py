"""The data plan: folds, class shares and findings, as facts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from automl_wf.core.frame import learn_schema
from automl_wf.data_preparation import DataPlan, arrange_rows, prepare_data
from automl_wf.problem_definition import define_problem, read_target

TIMES = pd.date_range("2024", periods=80)


def plan(X: Any, y: Any, *, in_order: bool = False, scoring: str = "auto", **options: Any) -> DataPlan:
    _, table, _ = learn_schema(X)
    target = read_target(y, "auto", len(y), "Owner")
    rows = arrange_rows(table, target.values, None, None, in_order=in_order)
    return prepare_data(define_problem(target, table, scoring=scoring), table, rows, **options)


def test_facts() -> None:
    y = np.array(["a"] * 60 + ["b"] * 20)
    facts = json.loads(json.dumps(plan(np.random.default_rng(0).normal(size=(80, 2)), y).to_dict()))
    assert facts == {
        "folds": "5-fold cross-validation keeping the class shares",
        "n_folds": 5,
        "n_rows": 80,
        "class_shares": {"a": 0.75, "b": 0.25},
        "imbalance": "folds keep the class shares; probabilities are left as they are",
        "cleaning": ["rows put in the order of their content"],
    }
    assert "threshold" in plan(np.eye(80), y, scoring="f1_macro").imbalance
    assert plan(np.eye(80), np.arange(80) / 7).imbalance == "no classes"


def test_the_order_of_time_is_followed_unless_the_user_says_otherwise() -> None:
    X, y = pd.DataFrame({"t": TIMES, "x": np.arange(80.0) % 7}), np.arange(80) / 7
    in_order = plan(X, y, in_order=True)
    assert [f.code for f in in_order.findings] == ["time_ordered"]
    assert not in_order.folds.is_partition
    for cv in (5, [(np.arange(40), np.arange(40, 80))], np.array([[np.arange(40), np.arange(40, 80)]])):
        assert plan(X, y, cv=cv).findings == ()


def test_a_past_of_one_class_is_a_finding_and_folds_are_random() -> None:
    X = pd.DataFrame({"t": TIMES, "x": np.arange(80.0) % 7})
    found = plan(X, np.repeat(["a", "b"], 40), in_order=True)
    assert [f.code for f in found.findings] == ["one_class_in_the_past"]
    assert found.folds.is_partition
