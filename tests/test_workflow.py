"""The eight stages in order, and each callable alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import ModelDevelopmentWorkflow, WorkflowClassifier, WorkflowEstimator, WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.problem_definition import define_problem, read_target
from automl_wf.workflow import DEFAULTS, STAGES, _forecast_folds

CONFIG: dict[str, Any] = {
    "time_budget": None,
    "n_iter": 3,
    "cv": 3,
    "n_jobs": 1,
    "random_state": 0,
    "verbose": 0,
    "estimators": ["linear", "lightgbm"],
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = np.where(X[:, 0] + 0.5 * RNG.normal(size=90) > 0, "yes", "no")


def test_the_defaults_are_the_estimators() -> None:
    params = WorkflowEstimator().get_params(deep=False)
    assert params == {name: DEFAULTS[name] for name in params}


def test_execute_runs_every_stage_and_times_it() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    result = workflow.execute(X, Y)
    assert tuple(workflow.artifacts) == STAGES
    assert set(workflow.metrics["seconds"]) == set(STAGES)
    assert all(seconds > 0 for seconds in workflow.metrics["seconds"].values())
    assert sum(workflow.metrics["seconds"].values()) <= result.timings["total"]
    assert 0.5 < workflow.metrics["scores"]["roc_auc"] <= 1.0
    again = workflow.execute(X, Y)
    np.testing.assert_array_equal(again.tuning.prediction, result.tuning.prediction)


def test_stages_can_be_called_one_by_one() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    data = workflow.read(X, Y, None, None, "test")
    problem = workflow.define_problem(data)
    rows, table, plan = workflow.prepare_data(data, problem)
    features = workflow.engineer_features(data, problem, table)
    shortlist = workflow.select_models(data, problem, table)
    assert problem.task is Task.BINARY
    assert len(rows.index) == table.n_rows == plan.n_rows == 90
    assert {"tree", "target", "dense"} <= set(features.views)
    assert shortlist.configurations[0][0] == "dummy"
    assert list(workflow.artifacts) == list(STAGES[:4])


def test_settings_that_cannot_be_are_refused_before_anything_is_read() -> None:
    with pytest.raises(InvalidParameter, match=r"Got \['time_buget'\] among them"):
        ModelDevelopmentWorkflow({"time_buget": 3})
    with pytest.raises(InvalidParameter, match="'memory_limit'"):
        ModelDevelopmentWorkflow({"memory_limit": "much"})


def test_only_a_sample_of_the_rows_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_wf.workflow.REFERENCE_ROWS", 20)
    frame = pd.DataFrame(X, columns=list("abc"), index=np.arange(90) + 500)
    result = ModelDevelopmentWorkflow(CONFIG).execute(frame, Y)
    assert len(result.reference) == 20
    assert result.reference.index.is_monotonic_increasing
    assert result.reference_y.tolist() == (Y[result.reference.index - 500] == "yes").astype(int).tolist()
    assert ModelDevelopmentWorkflow(CONFIG).execute(X.tolist(), Y).reference.shape == (20, 3)
    assert all(t.prediction is None and not t.learners for t in result.tuning.trials)


def test_splits_are_positions_of_x_as_given() -> None:
    result = ModelDevelopmentWorkflow({**CONFIG, "cv": "auto"}).execute(X, Y)
    held_out = np.concatenate([valid for _, valid in result.splits])
    assert sorted(held_out) == list(range(90))
    pairs = [(np.arange(45), np.arange(45, 90)), (np.arange(45, 90), np.arange(45))]
    given = ModelDevelopmentWorkflow({**CONFIG, "cv": pairs}).execute(X, Y)
    assert [sorted(valid) for _, valid in given.splits] == [sorted(b) for _, b in pairs]


def test_a_training_part_of_one_class_is_an_error_before_any_model() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    with pytest.raises(InvalidInput, match="split 0 hold one class only"):
        workflow.execute(X, np.repeat(["a", "b"], 45), groups=np.repeat([0, 1], 45))
    assert "bayesian_hpo" not in workflow.artifacts


def test_rows_sorted_by_time_and_class_are_learnt_all_the_same() -> None:
    frame = pd.DataFrame({"t": pd.date_range("2024", periods=90), "x": np.sort(X[:, 0])})
    model = WorkflowClassifier(**{**CONFIG, "cv": "auto"}).fit(frame, np.repeat(["a", "b"], 45))
    assert any(f.code == "one_class_in_the_past" for f in model.findings_)
    assert np.mean(model.predict(frame) == np.repeat(["a", "b"], 45)) > 0.9


def test_models_of_rows_in_time_are_fitted_again_on_all_of_them() -> None:
    frame = pd.DataFrame({"t": pd.date_range("2024", periods=90), "x": X[:, 0]})
    model = WorkflowRegressor(**{**CONFIG, "cv": "auto"}).fit(frame, X[:, 0] * 3.0)
    assert model._result.tuning.finish == "each member is fitted again on all rows"
    assert len(model.splits_) == 5
    assert all(train.max() < valid.min() for train, valid in model.splits_)


def test_a_metric_that_knows_no_constant_predictions_leaves_the_baseline_out() -> None:
    def correlation(estimator: Any, X: Any, y: Any) -> float:
        prediction = estimator.predict(X)
        # The baseline has one value per fold.
        return math.nan if len(np.unique(prediction)) <= 3 else float(np.corrcoef(prediction, y)[0, 1])

    model = WorkflowRegressor(**CONFIG | {"scoring": correlation}).fit(X, X[:, 0] * 3.0)
    board = model.leaderboard_.set_index("model")
    assert board.loc["dummy", "status"] == "failed"
    assert "not defined" in board.loc["dummy", "reason"]
    assert model.best_score_ > 0.95
    assert model.leaderboard_["score"][0] > 0.95


@pytest.mark.parametrize(
    ("seconds", "n_rows", "n_folds"), [(None, 50_000, 5), (60.0, 2_000, 5), (1e6, 50_000, 5), (0.5, 50_000, 1)]
)
def test_folds_by_time_and_size(seconds: float | None, n_rows: int, n_folds: int) -> None:
    _, table, _ = learn_schema(np.arange(float(n_rows)).reshape(-1, 1))
    problem = define_problem(read_target(np.arange(n_rows) / 7, "regression", n_rows, "test"), table)
    assert _forecast_folds(table, problem, Budget(seconds), 1) == n_folds


def test_the_summary_says_model_score_baseline_finding_and_what_is_next(capsys: pytest.CaptureFixture[str]) -> None:
    ModelDevelopmentWorkflow(CONFIG | {"verbose": 1}).execute(X, Y)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["model", "ROC AUC", "baseline", "finding", "next"]
