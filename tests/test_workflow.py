"""The eight stages in order, and each callable alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import ModelDevelopmentWorkflow, WorkflowClassifier, WorkflowEstimator, WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.forecasts import forecast_folds
from automl_wf.problem_definition import define_problem, read_target
from automl_wf.workflow import DEFAULTS, STAGES

CONFIG: dict[str, Any] = {
    "time_budget": None,
    "n_iter": 3,
    "cv": 3,
    "n_jobs": 1,
    "random_state": 0,
    "verbose": 0,
    "estimators": ["linear", "lightgbm"],
}
ARTIFACTS = (
    "problem", "data_plan", "splits", "feature_pipeline", "processed_features", "feature_metadata",
    "feature_validation", "shortlist", "training_history", "optimization_history", "models", "evaluation",
    "interpretation", "results",
)  # fmt: skip
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = np.where(X[:, 0] + 0.5 * RNG.normal(size=90) > 0, "yes", "no")


def test_the_defaults_are_the_estimators() -> None:
    params = WorkflowEstimator().get_params(deep=False)
    assert params == {name: DEFAULTS[name] for name in params}


def test_execute_runs_every_stage_and_times_it() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    result = workflow.execute(X, Y)
    assert tuple(workflow.artifacts) == ARTIFACTS
    assert workflow.artifacts["results"] is result
    assert set(workflow.metrics["seconds"]) == set(STAGES)
    assert all(seconds > 0 for seconds in workflow.metrics["seconds"].values())
    assert sum(workflow.metrics["seconds"].values()) <= result.timings["total"]
    assert 0.5 < workflow.metrics["scores"]["roc_auc"] <= 1.0
    again = workflow.execute(X, Y)
    np.testing.assert_array_equal(again.tuning.prediction, result.tuning.prediction)


def test_each_stage_is_callable_on_the_last_ones_result() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    problem = workflow.define_problem(X, Y)
    data = workflow.prepare_data(problem)
    features = workflow.engineer_features(data)
    models = workflow.select_and_train_models(features)
    optimized = workflow.optimize_hyperparameters(models)
    evaluation = workflow.evaluate_models(optimized)
    interpretation = workflow.interpret_models(optimized)
    result = workflow.compile_results()
    assert problem.problem.task is Task.BINARY
    assert len(data.rows.index) == data.table.n_rows == data.data_plan.n_rows == 90
    assert {"tree", "target", "dense"} <= set(features.features.views)
    assert [t.configuration.source for t in models.trials] == ["baseline", "portfolio"]
    assert len(optimized.trials) == 3
    assert all(t.learners for t in models.trials)
    assert not any(t.learners or t.views for t in optimized.trials)
    again = workflow.optimize_hyperparameters(models)
    np.testing.assert_array_equal(again.tuning.prediction, optimized.tuning.prediction)
    assert (result.evaluation, result.interpretation) == (evaluation, interpretation)
    whole = ModelDevelopmentWorkflow(CONFIG).execute(X, Y)
    np.testing.assert_array_equal(result.tuning.prediction, whole.tuning.prediction)
    assert evaluation.honest == whole.evaluation.honest
    fitted = WorkflowEstimator(**CONFIG).fit(X, Y)
    np.testing.assert_array_equal(workflow.to_estimator().predict_proba(X), fitted.predict_proba(X))


def test_the_search_goes_on_in_stage_5_where_stage_4_ended() -> None:
    config = {**CONFIG, "n_iter": 6, "preset": "best", "estimators": ["lightgbm"]}
    workflow = ModelDevelopmentWorkflow(config)
    models = workflow.select_and_train_models(
        workflow.engineer_features(workflow.prepare_data(workflow.define_problem(X, Y)))
    )
    assert {t.configuration.source for t in models.trials} == {"baseline", "portfolio"}
    trained = len(models.trials)
    optimized = workflow.optimize_hyperparameters(models)
    assert [t.configuration.source for t in optimized.trials[trained:]] == ["asked"] * (6 - trained)
    assert [t.number for t in optimized.trials] == list(range(6))
    assert len(workflow.artifacts["training_history"]) == trained
    assert len(workflow.artifacts["optimization_history"]) == 6


def test_the_clock_stands_still_between_stages() -> None:
    def wait(budget: Budget) -> Budget:
        """As it would be if somebody had gone for lunch."""
        return replace(budget, started_at=budget.started_at - 5000.0)

    workflow = ModelDevelopmentWorkflow({**CONFIG, "time_budget": 60.0})
    problem = workflow.define_problem(X, Y)
    workflow.budget = wait(workflow.budget)
    models = workflow.select_and_train_models(workflow.engineer_features(workflow.prepare_data(problem)))
    assert 0.0 < workflow.budget.elapsed() < 60.0
    workflow.budget = wait(workflow.budget)
    training = replace(models.training, budget=wait(models.training.budget))
    optimized = workflow.optimize_hyperparameters(replace(models, training=training))
    workflow.evaluate_models(optimized)
    workflow.interpret_models(optimized)
    workflow.budget = wait(workflow.budget)
    result = workflow.compile_results()
    assert len(result.tuning.trials) == 3
    assert not result.tuning.is_clock_limited
    assert result.timings["total"] < 60.0


def test_results_need_every_stage() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    with pytest.raises(InvalidInput, match="Missing: evaluation; call evaluate_models"):
        workflow.compile_results()
    problem = workflow.define_problem(X, Y)
    models = workflow.select_and_train_models(workflow.engineer_features(workflow.prepare_data(problem)))
    optimized = workflow.optimize_hyperparameters(models)
    evaluation = workflow.evaluate_models(optimized)
    for call in (workflow.compile_results, lambda: workflow.prepare_deployment(optimized, evaluation, "nowhere")):
        with pytest.raises(InvalidInput, match="Missing: interpretation; call interpret_models"):
            call()


def test_every_decision_has_a_reason_a_fact_and_an_agent_who_answers_for_it() -> None:
    workflow = ModelDevelopmentWorkflow(CONFIG)
    assert all(not agent.decisions for agent in workflow.agents.values())
    result = workflow.execute(X, Y)
    assert list(workflow.agents) == ["Insight Generator", "Statistical Analyst", "Data Explorer", "ML Engineer"]
    assert {d.stage for d in result.decisions} == set(STAGES)
    for decision in result.decisions:
        assert decision.decision
        assert decision.reason
        assert decision.fact
        agent = workflow.agents[decision.agent]
        assert decision in agent.decisions
        assert decision.stage in agent.leads
    answered = [d for agent in workflow.agents.values() for d in agent.decisions]
    assert sorted(map(repr, answered)) == sorted(map(repr, result.decisions))
    assert workflow.agents["Statistical Analyst"].supports == (
        "problem_definition", "feature_engineering", "bayesian_hpo", "evaluation"
    )  # fmt: skip
    assert ("task: binary", "inferred from the values of the target") in [
        (d.decision, d.reason) for d in workflow.agents["Insight Generator"].decisions
    ]


def test_processed_features_are_a_frame_with_metadata() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "x", "y")})
    workflow = ModelDevelopmentWorkflow(CONFIG)
    features = workflow.engineer_features(workflow.prepare_data(workflow.define_problem(frame, Y)))
    assert list(features.frame()) == ["a", "b"]
    np.testing.assert_array_equal(features.frame()["a"].sort_index(), X[:, 0])
    dense = features.frame("dense")
    assert list(dense) == features.metadata("dense")["name"].tolist()
    assert np.isfinite(dense.to_numpy()).all()
    assert features.validation.is_valid
    assert [row["name"] for row in workflow.artifacts["feature_metadata"]] == ["a", "b"]


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


def test_a_recipe_names_its_models() -> None:
    recipe = [("extra_trees", {"n_estimators": 5})]
    result = ModelDevelopmentWorkflow({**CONFIG, "estimators": "auto", "recipe": recipe}).execute(X, Y)
    assert [(t.configuration.model, t.status) for t in result.tuning.trials] == [("dummy", "ok"), ("extra_trees", "ok")]


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
    assert "splits" not in workflow.artifacts


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
    assert forecast_folds(table, problem, Budget(seconds), 1) == n_folds


@pytest.mark.parametrize(
    ("n_columns", "seconds", "n_folds"), [(200, 0.1, 5), (1000, 0.1, 1), (1000, 60.0, 4), (1000, 600.0, 6)]
)
def test_few_rows_of_very_many_columns_have_folds_by_time(n_columns: int, seconds: float, n_folds: int) -> None:
    _, table, _ = learn_schema(np.random.default_rng(0).normal(size=(2000, n_columns)))
    problem = define_problem(read_target(np.arange(2000) / 7, "regression", 2000, "test"), table)
    assert forecast_folds(table, problem, Budget(seconds), 2) == n_folds


@pytest.mark.parametrize(("share_of_zeros", "n_folds"), [(0.0, 1), (0.7, 1), (0.99, 4)])
def test_columns_that_are_mostly_zero_take_boosting_less_time(share_of_zeros: float, n_folds: int) -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(6000, 1000)) * (rng.random((6000, 1000)) >= share_of_zeros)
    _, table, _ = learn_schema(cells)
    problem = define_problem(read_target(np.arange(6000) / 7, "regression", 6000, "test"), table)
    assert forecast_folds(table, problem, Budget(18.0), 2) == n_folds
    assert forecast_folds(table, problem, Budget(6.0), 2) == 1  # features and bins of more folds would not fit


@pytest.mark.parametrize(("n_jobs", "n_folds"), [(1, 3), (2, 4), (4, 4), (5, 5), (16, 8)])
def test_folds_fill_the_threads_that_fit_them(n_jobs: int, n_folds: int) -> None:
    _, table, _ = learn_schema(np.arange(10_000.0).reshape(-1, 1))
    problem = define_problem(read_target(np.arange(10_000) / 7, "regression", 10_000, "test"), table)
    # Three folds for few models: whatever the threads, time that is too short for more.
    seconds = 10 * 300 * (0.7e-3 + 2.2e-5) * (2.0 / n_jobs) / 0.7
    assert forecast_folds(table, problem, Budget(seconds), n_jobs) == n_folds


def test_the_summary_says_model_score_baseline_finding_and_what_is_next(capsys: pytest.CaptureFixture[str]) -> None:
    ModelDevelopmentWorkflow(CONFIG | {"verbose": 1}).execute(X, Y)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["model", "ROC AUC", "baseline", "finding", "next"]


def test_rows_without_weight_are_no_facts_that_models_are_shortlisted_by() -> None:
    values = np.random.default_rng(0).normal(size=(400, 3))
    target = (values[:, 0] > 0).astype(int)
    weight = np.where(np.arange(400) < 200, 0.0, np.linspace(1.0, 1.5, 400))
    model = WorkflowEstimator(time_budget=None, n_iter=2, random_state=0, verbose=0)
    profile = model.fit(values, target, sample_weight=weight)._result.shortlist.profile
    rarer = min(np.bincount(target[200:]))
    assert (profile.n_rows, profile.smallest_class) == (200, rarer)
    assert profile.effective_rows == round(4.0 * rarer * (200 - rarer) / 200)
