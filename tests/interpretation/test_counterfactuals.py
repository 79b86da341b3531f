"""Counterfactuals really flip what the model says, change what they must and no more, and only to values seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.estimator import WorkflowEstimator
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.interpretation.counterfactuals import counterfactual_table


def tables(frame: pd.DataFrame, rows: pd.DataFrame) -> tuple[Table, Table]:
    schema, seen, _ = learn_schema(frame, None)
    return read_table(rows, schema, owner="test"), seen


def test_the_nearest_of_the_ways_is_taken(numbers: Callable[..., pd.DataFrame], logistic: Callable[..., Any]) -> None:
    """yes where a > 0 or b > 3: b is further off than a."""
    frame = pd.concat([numbers(200), numbers(200, seed=1) * 4.0], ignore_index=True)
    start = pd.DataFrame([[-0.2, 0.0, 0.0, 0.0]], columns=list("abcd"))
    rows, seen = tables(frame, start)
    proba = logistic(lambda t: 9.0 * np.where((t.cells[0] > 0) | (t.cells[1] > 3), 1.0, -1.0))
    found = counterfactual_table(proba, rows, seen, task=Task.BINARY, classes=["no", "yes"])
    (line,) = found.to_dict("records")
    assert line["column"] == "a"
    assert line["is_found"]
    assert (line["prediction_before"], line["prediction_after"]) == ("no", "yes")
    assert line["before"] == -0.2
    assert line["after"] > 0
    assert line["after"] in set(frame["a"])
    deviation = np.median(np.abs(frame["a"] - frame["a"].median()))
    assert line["distance"] == pytest.approx((line["after"] + 0.2) / deviation)
    held = counterfactual_table(proba, rows, seen, task=Task.BINARY, classes=["no", "yes"], keep=["a"])
    assert held["column"].tolist() == ["b"]
    assert held["after"][0] > 3


def test_two_cells_where_one_is_not_enough_and_no_third(
    numbers: Callable[..., pd.DataFrame], logistic: Callable[..., Any]
) -> None:
    rows, seen = tables(numbers(300), pd.DataFrame([[-1.0, -1.0, -1.0, -1.0]], columns=list("abcd")))
    proba = logistic(lambda t: 4.0 * (t.cells[0] + t.cells[1] + 0.1 * t.cells[2] - 1.2))
    found = counterfactual_table(proba, rows, seen, task=Task.BINARY, classes=["no", "yes"])
    assert set(found["column"]) == {"a", "b"}
    assert found["prediction_after"].unique().tolist() == ["yes"]


def test_texts_classes_and_targets() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"town": rng.choice(["oslo", "rome", "lima"], 90), "x": rng.normal(size=90)})
    rows, seen = tables(frame, pd.DataFrame({"town": ["oslo", "oslo"], "x": [0.0, 1.0]}, index=["first", "second"]))

    def proba(table: Table) -> np.ndarray:
        town = table.cells[0]
        assert isinstance(town, Strings)
        place = {"oslo": [0.6, 0.3, 0.1], "rome": [0.2, 0.7, 0.1], "lima": [0.1, 0.1, 0.8]}
        return np.array([place[t] for t in town.values()])

    settings: dict[str, Any] = {"task": Task.MULTICLASS, "classes": [10, 20, 30]}
    found = counterfactual_table(proba, rows, seen, index=pd.Index(["first", "second"]), **settings)
    assert found["row"].tolist() == ["first", "second"]
    assert found["after"].tolist() == ["rome", "rome"]
    assert found["distance"].tolist() == [1.0, 1.0]
    assert found["prediction_after"].tolist() == [20, 20]
    asked = counterfactual_table(proba, rows, seen, target=30, **settings)
    assert asked["after"].tolist() == ["lima", "lima"]
    with pytest.raises(InvalidParameter, match="one of the classes"):
        counterfactual_table(proba, rows, seen, target=40, **settings)
    with pytest.raises(InvalidParameter, match="must name columns"):
        counterfactual_table(proba, rows, seen, keep=["nowhere"], **settings)


def test_values_are_crossed_from_either_side(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, seen = tables(numbers(300), pd.DataFrame([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]], columns=list("abcd")))
    settings: dict[str, Any] = {"task": Task.REGRESSION, "classes": None}
    found = counterfactual_table(lambda t: t.cells[0], rows, seen, target=0.5, **settings)
    assert found["column"].tolist() == ["a", "a"]
    assert found["prediction_after"][0] >= 0.5 >= found["prediction_after"][1]
    crossed = counterfactual_table(lambda t: t.cells[0], rows, seen, **settings)
    mean = seen.cells[0].mean()
    assert (crossed["prediction_before"] < mean).tolist() == [True, False]
    assert (crossed["prediction_after"] >= mean)[0]
    assert (crossed["prediction_after"] <= mean)[1]
    with pytest.raises(InvalidParameter, match="must be a number"):
        counterfactual_table(lambda t: t.cells[0], rows, seen, target="high", **settings)


def test_what_cannot_be_reached_is_said(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, seen = tables(numbers(100), numbers(1, seed=1))
    found = counterfactual_table(lambda t: t.cells[0], rows, seen, task=Task.REGRESSION, classes=None, target=99.0)
    assert found["is_found"].tolist() == [False]
    assert found["column"].tolist() == [None]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_fitted_ensemble_is_really_flipped(
    task: str, mixed_frame: Callable[..., pd.DataFrame], target_of: Callable[..., np.ndarray], quick: dict[str, Any]
) -> None:
    X = mixed_frame(160)
    model = WorkflowEstimator(**quick, estimators=["linear", "lightgbm"]).fit(X, target_of(X, task))
    some = X.iloc[3:9]
    found = model.counterfactuals(some, keep=["seen", "born"])
    assert found["is_found"].mean() > 0.8
    assert not {"seen", "born"} & set(found["column"].dropna())
    changed = some.copy().astype({"plan": object, "count": object, "is_member": object})
    for line in found.dropna(subset=["column"]).to_dict("records"):
        column, after = line["column"], line["after"]
        if column == "joined" and after is not None:
            # Dates are told without the time of day: the model has seen it
            continue
        if column == "city" or column == "plan":
            spelled = X[column].dropna().astype(str)
            after = next((t for t in spelled if t.lower() == after), after)
        changed.loc[line["row"], column] = after
    lines = found[found["is_found"]].groupby("row")
    for row, of_row in lines:
        if (of_row["column"] == "joined").any():
            continue
        (said,) = model.predict(changed.loc[[row]])
        (before,) = model.predict(some.loc[[row]])
        if task == "regression":
            assert said == pytest.approx(of_row["prediction_after"].iloc[0])
        else:
            assert said == of_row["prediction_after"].iloc[0] != before
    with pytest.raises(InvalidInput, match="at most 2 rows"):
        model.counterfactuals(some, max_rows=2)
