"""What is said of how to make the model again can be pasted: into Python, and where options suffice into a shell."""

from __future__ import annotations

import ast
import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from automl_wf.cli import app
from automl_wf.deployment.card import facts_of
from automl_wf.deployment.recipe import recipe
from automl_wf.estimator import WorkflowRegressor
from automl_wf.results import subject_of

CALL = {"estimator": "WorkflowEstimator", "groups": False, "sample_weight": False, "not_literal": []}


def facts(parameters: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Facts of a fit on a table whose target and name need quotes."""
    call = {**CALL, "changed": list(parameters), **changes.pop("call", {})}
    return {
        "call": call, "parameters": {"cv": "auto", "random_state": 7, **parameters}, "target": "is it's",
        "name": "my model", "layout": "frame", **changes,
    }  # fmt: skip


def test_parameters_are_literals_with_the_seed_and_without_what_has_no_part() -> None:
    found = recipe(facts({"time_budget": 25.0, "verbose": 0, "checkpoint": "there", "estimators": ["linear"]}))
    assert found is not None
    assert found["arguments"] == {"time_budget": "25.0", "estimators": "['linear']", "random_state": "7"}
    assert ast.literal_eval(found["target"]) == "is it's"
    assert found["is_table"]


def test_the_shell_reads_what_is_said(tmp_path: Any) -> None:
    found = recipe(facts({"time_budget": None, "estimators": ["linear", "knn"], "n_iter": 3}))
    assert found is not None
    options = found["options"]
    assert shlex.split(" ".join(f"{k}={v}" for k, v in options.items())) == [
        "--target=is it's", "--time-budget=0", "--n-iter=3", "--estimators=linear,knn", "--random-state=7",
        "--export=my model",
    ]  # fmt: skip
    # The command knows all of them: what it misses is the table
    asked = [f"{k}={shlex.split(v)[0]}" for k, v in options.items()]
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "TABLE.csv"), *asked])
    assert result.exit_code != 0
    assert "No such option" not in result.output
    assert "There is no file" in f"{result.output}{result.exception}"


@pytest.mark.parametrize(
    "changes",
    [
        {"call": {"groups": True}},
        {"call": {"sample_weight": True}},
        {"call": {"not_literal": ["scoring"]}},
        {"layout": "array"},
        {"target": "two\nlines"},
        {"call": {"changed": ["cv"]}},
    ],
)
def test_what_the_shell_cannot_say_is_not_said(changes: dict[str, Any]) -> None:
    found = recipe(facts({}, **changes))
    assert found is not None
    assert found["options"] is None


def test_a_fixed_task_is_said_in_the_shell() -> None:
    found = recipe(facts({}, call={"estimator": "WorkflowRegressor"}))
    assert found is not None
    assert found["options"]["--task"] == "regression"


def test_without_a_call_there_is_no_recipe() -> None:
    assert recipe({**facts({}), "call": {}}) is None


def test_a_fit_without_random_state_tells_what_makes_it_again() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=90), "b": rng.normal(size=90)})
    y = X["a"] + rng.normal(size=90)
    settings = {"estimators": ["decision_tree"], "time_budget": None, "n_iter": 2, "cv": 3, "n_jobs": 1, "verbose": 0}
    model = WorkflowRegressor(**settings).fit(X, y)
    subject = subject_of(model, model._result)
    drawn = subject.parameters["random_state"]
    assert isinstance(drawn, int)
    assert model.random_state is None
    found = recipe(facts_of(subject, {}, {}, {}))
    assert found is not None
    assert found["arguments"]["random_state"] == str(drawn)
    assert set(found["arguments"]) == {*settings, "random_state"} - {"verbose"}
    again = WorkflowRegressor(**settings, random_state=drawn).fit(X, y)
    assert again._result.seed == model._result.seed
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
