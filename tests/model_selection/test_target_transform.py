"""A target with a long tail is fitted on another scale, and predicted on its own: its mean, its range, its graph."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from automl_wf import WorkflowEstimator
from automl_wf.core import kept_matrix
from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection import shortlist_models
from automl_wf.model_selection.base import TRANSFORM, Sample
from automl_wf.model_selection.boosting import LightGBM
from automl_wf.model_selection.linear import LinearRegression, Ridge
from automl_wf.model_selection.neural import MLP
from automl_wf.model_selection.recommendation import DataProfile
from automl_wf.model_selection.target_transform import TRANSFORMS, TransformedTarget, check_transform

N = 600
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
MULTIPLIED = np.exp(1.0 + 0.8 * X[:, 0] - 0.5 * X[:, 1] + 0.3 * RNG.normal(size=N))
TRAIN = Sample(X[:450], MULTIPLIED[:450])
VALID = Sample(X[450:], MULTIPLIED[450:])
PROFILE = DataProfile(
    n_rows=6000,
    n_columns=20,
    n_numeric=20,
    n_categorical=0,
    n_datetime=0,
    n_levels_max=0,
    missing_share=0.0,
    task=Task.REGRESSION,
    n_classes=1,
    smallest_class=6000,
    seconds=60.0,
)


def linear(transform: str) -> TransformedTarget:
    return TransformedTarget(LinearRegression(Task.REGRESSION, 1, {}, 0), transform)


@pytest.mark.parametrize(
    ("transform", "back"), [("sqrt", lambda line: line**2), ("log", lambda line: np.exp(line))], ids=["sqrt", "log"]
)
def test_a_line_on_the_scale_is_found_exactly(transform: str, back: Any) -> None:
    y = back(4.0 + X @ np.array([0.3, -0.2, 0.1]))
    learner = linear(transform).fit(Sample(X, y), budget=Budget())
    assert learner.predict(X) == pytest.approx(y, rel=1e-9)
    assert learner.factor_ == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("weight", [None, np.linspace(0.0, 2.0, N)], ids=["rows alike", "weights"])
def test_the_mean_comes_back(transform: str, weight: np.ndarray | None) -> None:
    learner = linear(transform).fit(Sample(X, MULTIPLIED, weight), budget=Budget())
    truth = np.average(MULTIPLIED, weights=weight)
    assert np.average(learner.predict(X), weights=weight) == pytest.approx(truth, rel=1e-9)
    assert learner.factor_ > 1.0


def test_a_network_on_another_scale_sees_parts_of_a_kept_matrix_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_matrix, "_SMALL", 0)
    rows = np.random.default_rng(1).normal(size=(9_000, 3)).round(1)
    kept, y = kept_matrix.keep(rows), np.exp(rows[:, 0])
    assert isinstance(kept, kept_matrix.Packed)
    learners = []
    for matrix in (kept, rows):
        sample = Sample(matrix, y)
        learners.append(TransformedTarget(MLP(Task.REGRESSION, 1, {"n_rounds": 1}, 0), "log"))
        learners[-1].fit(sample, budget=Budget())
        assert not sample._made
    np.testing.assert_array_equal(*(learner.predict(rows[:50]) for learner in learners))


def test_effects_that_multiply_are_learnt_better_on_the_logarithm() -> None:
    plain = LinearRegression(Task.REGRESSION, 1, {}, 0).fit(TRAIN, budget=Budget())
    logged = linear("log").fit(TRAIN, budget=Budget())
    errors = [float(np.mean((learner.predict(VALID.X) - VALID.y) ** 2)) for learner in (plain, logged)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_predictions_stay_near_the_range_seen(transform: str) -> None:
    learner = linear(transform).fit(TRAIN, budget=Budget())
    far = np.array([[50.0, 0.0, 0.0], [-50.0, 0.0, 0.0]])
    scale = TRANSFORMS[transform]
    seen = scale.forward(TRAIN.y)
    high, low = learner.predict(far) / learner.factor_
    assert high == pytest.approx(scale.backward(seen.max() + seen.std()))
    lowest = seen.min() - seen.std()
    assert low == pytest.approx(scale.backward(max(lowest, 0.0) if transform == "sqrt" else lowest))


@pytest.mark.parametrize(("transform", "values"), [("sqrt", [-1.0, 4.0]), ("log", [0.0, 4.0])])
def test_values_without_a_place_on_the_scale_are_named(transform: str, values: list[float]) -> None:
    sample = Sample(np.zeros((2, 1)), np.array(values))
    with pytest.raises(InvalidParameter, match=f"target_transform='{transform}' needs a target .* zero. Got values"):
        linear(transform).fit(sample, budget=Budget())


@pytest.mark.parametrize(
    ("name", "task"),
    [("log", Task.BINARY), ("sqrt", Task.RANKING), ("log10", Task.REGRESSION), (None, Task.REGRESSION)],
)
def test_what_there_is_not_is_refused_and_what_there_is_named(name: Any, task: Task) -> None:
    with pytest.raises(InvalidParameter, match="'target_transform' must be one of"):
        check_transform(name, task)


def test_what_others_keep_of_the_rows_is_left_alone() -> None:
    def plain() -> np.ndarray:
        learners = [LightGBM(Task.REGRESSION, 1, {"n_rounds": 20}, 0), Ridge(Task.REGRESSION, 1, {"alpha": 1.0}, 0)]
        return np.column_stack([learner.fit(TRAIN, VALID, budget=Budget()).predict(X) for learner in learners])

    before = plain()
    for inner in (LightGBM(Task.REGRESSION, 1, {"n_rounds": 20}, 0), Ridge(Task.REGRESSION, 1, {"alpha": 1.0}, 0)):
        fits = [TransformedTarget(inner, "log").fit(TRAIN, VALID, budget=Budget()).predict(X) for _ in range(2)]
        assert np.array_equal(*fits)
    assert np.array_equal(plain(), before)


def test_everything_asked_of_a_learner_is_asked_of_the_one_inside() -> None:
    learner = TransformedTarget(LightGBM(Task.REGRESSION, 1, {"n_rounds": 30, "learning_rate": 0.2}, 0), "log")
    learner.fit(TRAIN, VALID, budget=Budget())
    assert learner.curve_ is not None
    assert learner.n_parameters == learner.n_leaves == learner.inner.n_leaves > 0
    assert learner.n_trees == learner.n_rounds
    assert learner.leaves(X).shape == (N, learner.n_rounds)
    gains = learner.feature_gains()
    assert gains is not None
    assert gains[0] > gains[2]
    learner.truncate(3)
    assert learner.n_rounds == 3
    assert np.array_equal(pickle.loads(pickle.dumps(learner)).predict(X), learner.predict(X))


def test_a_scale_is_used_where_it_is_held_only() -> None:
    estimators = [("lightgbm", {TRANSFORM: "log"}), "ridge"]
    held = shortlist_models(PROFILE, estimators=estimators, max_trials=None)
    scales = {(name, params.get(TRANSFORM)) for name, params in held.configurations}
    assert scales == {("dummy", None), ("lightgbm", "log"), ("ridge", None)}
    assert not any(TRANSFORM in spec.space for spec in held.specs.values())
    plain = shortlist_models(PROFILE, max_trials=None)
    assert not any(TRANSFORM in params for _, params in plain.configurations)
    with pytest.raises(InvalidParameter, match="'target_transform' must be one of"):
        shortlist_models(PROFILE, estimators=[("ridge", {TRANSFORM: "cube"})], max_trials=None)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_graph_of_models_of_a_transformed_target(
    transform: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any, graph_equals_predict: Any
) -> None:
    frame = mixed_frame(150)
    y = np.exp(target_of(frame, "regression") / 40.0)
    estimators = [(name, {TRANSFORM: transform}) for name in ("lightgbm", "ridge", "mlp", "extra_trees")]
    model = WorkflowEstimator(**quick | {"n_iter": 5}, task="regression", estimators=estimators).fit(frame, y)
    assert set(model.leaderboard_["status"]) == {"ok"}
    assert {params.get(TRANSFORM) for params in model.leaderboard_["params"][1:]} <= {transform, None}
    graph_equals_predict(model, mixed_frame(60, seed=9))


def test_a_scale_on_which_effects_add_up_lowers_the_error(quick: dict[str, Any]) -> None:
    def best(transform: str) -> float:
        settings = quick | {"n_iter": 3, "estimators": [("ridge", {TRANSFORM: transform})]}
        return float(WorkflowEstimator(**settings, task="regression").fit(X, MULTIPLIED).leaderboard_["score"].max())

    assert best("log") > 0.8 * best("none")


@pytest.mark.parametrize("preset", ["balanced", "interpretable"])
def test_no_fit_leaves_the_scale_of_a_skewed_target_unasked(preset: str, quick: dict[str, Any]) -> None:
    model = WorkflowEstimator(**quick | {"n_iter": 6, "preset": preset}, task="regression").fit(X, MULTIPLIED)
    assert not any(TRANSFORM in params for params in model.leaderboard_["params"])
