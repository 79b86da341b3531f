"""What is said of how to make the model again can be pasted: into Python, and where options suffice into a shell."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import joblib
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


def line(options: Any) -> str:
    """Options as the card writes them."""
    return " ".join(name if value is None else f"{name}={value}" for name, value in options)


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
    assert shlex.split(line(options)) == [
        "--target=is it's", "--time-budget=0", "--n-iter=3", "--estimators=linear,knn", "--random-state=7",
        "--export=my model",
    ]  # fmt: skip
    # The command knows all of them: what it misses is the table
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "TABLE.csv"), *shlex.split(line(options))])
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
    assert ["--task", "regression"] in [list(option) for option in found["options"]]


def test_how_the_table_was_taken_apart_is_said_in_both(tmp_path: Path) -> None:
    taken = {"has_rows_without_target": True, "group_column": "a b", "weight_column": "w", "drop": ["it's", "is it's"]}
    found = recipe(facts({}, call={"taken_from": taken, "groups": True, "sample_weight": True}))
    assert found is not None
    assert shlex.split(line(found["options"])) == [
        "--target=is it's", "--group-column=a b", "--weight-column=w", "--drop=it's", "--drop=is it's",
        "--drop-missing-target", "--random-state=7", "--export=my model",
    ]  # fmt: skip
    assert found["taken_from"] == {
        "dialect": None, "has_spelled_target": False, "has_rows_without_target": True,
        "groups": "'a b'", "sample_weight": "'w'",
        "drop": repr(["a b", "w", "it's"]),
    }  # fmt: skip
    refused = facts({}, call={"taken_from": {**taken, "drop": ["two\nlines"]}})
    assert recipe(refused)["options"] is None  # type: ignore[index]


def test_what_the_card_says_makes_the_model_again_from_a_table_with_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows without a target, groups and a column left out: the code and the shell line of the card do the same."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=90), "b": rng.normal(size=90), "row": np.arange(90)})
    table = table.assign(home=np.arange(90) // 3, price=table["a"] + rng.normal(size=90))
    table.loc[::10, "price"] = np.nan
    table["kind"] = np.resize(["None", "NA", "x"], 90)
    spelled = table.assign(price=table["price"].map("$ {:,.6f}".format, na_action="ignore"))
    spelled.to_csv(tmp_path / "TABLE.csv", index=False, sep=";", decimal=",")
    monkeypatch.chdir(tmp_path)
    asked = ["fit", "TABLE.csv", "--target", "price", "--drop-missing-target", "--drop", "row",
             "--group-column", "home", "--estimators", "ridge", "--n-iter", "2", "--time-budget", "0",
             "--random-state", "3", "--sep", ";", "--decimal", ",", "--quiet", "--export", "made"]  # fmt: skip
    assert CliRunner().invoke(app, asked).exit_code == 0
    card = (tmp_path / "made/docs/model_card.md").read_text(encoding="utf-8")
    (tmp_path / "made").rename(tmp_path / "first")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(ast.parse(code), "model_card.md", "exec"), names)
    inputs = table.drop(columns=["row", "home", "price"])
    expected = joblib.load(tmp_path / "first/model/model.pkl").predict(inputs)
    np.testing.assert_array_equal(names["model"].predict(inputs), expected)
    (said,) = re.findall(r"```sh\nautoml-wf (fit .*?)\n", card)
    assert CliRunner().invoke(app, shlex.split(said)).exit_code == 0
    again = joblib.load(tmp_path / "price/model/model.pkl")
    np.testing.assert_array_equal(again.predict(inputs), expected)
    names["model"]._taken_from = {"has_rows_without_target": True, "group_column": "home", "drop": ["row"]}
    report = names["model"].report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "--drop-missing-target</span>" in report
    assert "table.dropna(subset=[&#39;price&#39;], ignore_index=True)" in report
    assert "X = table.drop(columns=[&#39;home&#39;, &#39;row&#39;])" in report


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
