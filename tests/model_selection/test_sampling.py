"""Sampling changes training rows only, and probabilities come back to the shares of the classes that were given."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowEstimator
from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import Learner, Sample
from automl_wf.model_selection.boosting import LightGBM
from automl_wf.model_selection.linear import Baseline, LogisticRegression
from automl_wf.model_selection.sampling import (
    BANDWIDTH,
    SAMPLINGS,
    SampledLearner,
    balanced,
    check_sampling,
    mixup,
    over,
    smooth,
    under,
)

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
X[:, 2] = RNG.integers(0, 3, N)
X[:, 3] = RNG.integers(0, 30, N)
X[::9, 0] = np.nan
RARE = (RNG.random(N) < 0.1 + 0.2 * (X[:, 1] > 0)).astype(np.int64)
TRAIN = Sample(X[:150], RARE[:150], None, np.arange(150), (3,))
VALID = Sample(X[150:], RARE[150:], None, np.arange(50), (3,))


class Says(Learner):
    """Predicts the same probabilities for every row, and remembers what it was given."""

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> Says:
        self.train_, self.valid_ = train, valid
        return self

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        return np.tile(self.params["proba"], (len(X), 1))


def says(*proba: float) -> Says:
    return Says(Task.BINARY if len(proba) == 2 else Task.MULTICLASS, len(proba), {"proba": list(proba)}, 0)


def test_balanced_weights_by_hand() -> None:
    sample = Sample(np.zeros((4, 1)), np.array([0, 0, 0, 2]))
    drawn = balanced(sample, Task.MULTICLASS, RNG)
    assert drawn.weight is not None
    assert drawn.weight == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    weighted = balanced(Sample(sample.X, sample.y, np.array([1.0, 1.0, 4.0, 2.0])), Task.MULTICLASS, RNG)
    assert weighted.weight is not None
    assert weighted.weight == pytest.approx([2 / 3, 2 / 3, 8 / 3, 4.0])
    assert drawn.X is sample.X


def test_fewer_and_more_rows_until_classes_are_as_many() -> None:
    random = np.random.default_rng(1)
    fewer, more = under(TRAIN, Task.BINARY, random), over(TRAIN, Task.BINARY, random)
    n_rare = int(TRAIN.y.sum())
    assert np.bincount(fewer.y).tolist() == [n_rare, n_rare]
    assert np.bincount(more.y).tolist() == [150 - n_rare] * 2
    given = {row.tobytes() for row in TRAIN.X}
    assert len({row.tobytes() for row in fewer.X}) == 2 * n_rare
    assert {row.tobytes() for row in fewer.X} < given
    assert {row.tobytes() for row in more.X} == given
    assert fewer.group is None
    assert more.categorical == (3,)


def test_noise_is_as_wide_as_it_says_and_on_what_varies_continuously_only() -> None:
    rows = np.random.default_rng(2).normal(size=(4000, 3)) * [1.0, 10.0, 1.0]
    rows[:, 2] = np.arange(4000) % 3
    sample = Sample(rows, np.arange(4000.0), None, None, ())
    drawn = smooth(sample, Task.REGRESSION, np.random.default_rng(0))
    assert np.array_equal(drawn.X[:4000], rows)
    noise = drawn.X[4000:] - rows[drawn.y[4000:].astype(int)]
    assert noise[:, :2].std(axis=0) == pytest.approx(BANDWIDTH * rows[:, :2].std(axis=0), rel=0.05)
    assert np.all(noise[:, 2] == 0.0)
    made = smooth(TRAIN, Task.BINARY, np.random.default_rng(0))
    assert set(np.unique(made.X[:, 3])) <= set(np.unique(TRAIN.X[:, 3]))
    assert np.isnan(made.X[150:, 0]).any()


def test_mixed_rows_lie_between_two() -> None:
    x = np.arange(40.0)
    mixed = mixup(Sample(np.column_stack([x, x]), 3.0 * x, None, None, (1,)), Task.REGRESSION, np.random.default_rng(0))
    assert len(mixed.y) == 80
    assert mixed.y == pytest.approx(3.0 * mixed.X[:, 0])
    assert set(mixed.X[:, 1]) <= set(x)
    gaps = mixup(TRAIN, Task.BINARY, np.random.default_rng(0))
    assert gaps.weight is not None
    assert len(gaps.y) == 450
    assert gaps.weight.sum() == pytest.approx(300.0)
    assert np.array_equal(gaps.X[150:300], gaps.X[300:], equal_nan=True)
    assert np.all(gaps.weight[150:300] >= 0.5)
    assert np.nanmin(gaps.X[:, 0]) == np.nanmin(TRAIN.X[:, 0])


def test_elkans_formula() -> None:
    # One row in ten is of class 1, one in two where the learner learns; 0.9 there is 0.5 here (Elkan's theorem 2).
    y = np.repeat([0, 1], [90, 10])
    learner = SampledLearner(says(0.1, 0.9), "under").fit(Sample(np.zeros((100, 1)), y), budget=Budget())
    assert learner.predict(np.zeros((2, 1))) == pytest.approx(np.full((2, 2), 0.5))
    assert learner.ratio_ == pytest.approx([1.8, 0.2])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_baseline_predicts_the_given_shares_whatever_it_is_fitted_on(sampling: str) -> None:
    y = np.repeat([0, 2, 3], [60, 30, 10])
    sample = Sample(np.random.default_rng(0).normal(size=(100, 2)), y, np.linspace(1.0, 2.0, 100))
    plain = Baseline(Task.MULTICLASS, 4, {}, 0).fit(sample, budget=Budget()).predict(sample.X[:1])
    sampled = SampledLearner(Baseline(Task.MULTICLASS, 4, {}, 0), sampling).fit(sample, budget=Budget())
    assert sampled.predict(sample.X[:1]) == pytest.approx(plain, abs=1e-9)
    assert sampled.ratio_[1] == 1.0


def test_watched_rows_stay_but_weigh_as_their_classes_are_fitted_on() -> None:
    learner = SampledLearner(says(0.5, 0.5), "balanced")
    valid = Sample(np.zeros((2, 1)), np.array([0, 1]), np.array([1.0, 3.0]))
    learner.fit(Sample(np.zeros((4, 1)), np.array([0, 0, 0, 1])), valid, budget=Budget())
    watched = learner.inner.valid_
    assert watched is not None
    assert watched.X is valid.X
    assert watched.weight == pytest.approx([1.0 / 1.5, 3.0 / 0.5])


def test_binned_rows_of_others_are_left_alone() -> None:
    params = {"n_rounds": 20, "learning_rate": 0.2}
    before = LightGBM(Task.BINARY, 2, params, 0).fit(TRAIN, VALID, budget=Budget()).predict(X)
    kept = dict(TRAIN.cache), dict(VALID.cache)
    sampled = SampledLearner(LightGBM(Task.BINARY, 2, params, 0), "over").fit(TRAIN, VALID, budget=Budget())
    assert (dict(TRAIN.cache), dict(VALID.cache)) == kept
    after = LightGBM(Task.BINARY, 2, params, 0).fit(TRAIN, VALID, budget=Budget()).predict(X)
    assert np.array_equal(before, after)
    assert not np.array_equal(before, sampled.predict(X))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_everything_asked_of_a_learner_is_asked_of_the_one_inside(sampling: str) -> None:
    fits = [
        SampledLearner(LightGBM(Task.BINARY, 2, {"n_rounds": 12, "learning_rate": 0.2}, seed), sampling).fit(
            TRAIN, VALID, budget=Budget()
        )
        for seed in (3, 3, 4)
    ]
    first, second, other = fits
    assert np.array_equal(first.predict(X), second.predict(X))
    if sampling != "balanced":
        assert not np.array_equal(first.predict(X), other.predict(X))
    assert first.predict(X).sum(axis=1) == pytest.approx(1.0)
    assert first.curve_ is not None
    assert first.n_parameters == first.n_leaves == first.inner.n_leaves > 0
    assert first.leaves(X).shape == (N, first.n_rounds)
    gains = first.feature_gains()
    assert gains is not None
    assert gains.sum() > 0
    first.truncate(2)
    assert first.n_rounds == 2
    assert np.array_equal(pickle.loads(pickle.dumps(first)).predict(X), first.predict(X))


def test_probabilities_are_calibrated_where_the_model_is_right() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(20_000, 1))
    truth = 1.0 / (1.0 + np.exp(4.0 - 1.5 * rows[:, 0]))
    y = (random.random(20_000) < truth).astype(np.int64)
    for sampling in ("balanced", "under", "over"):
        inner = LogisticRegression(Task.BINARY, 2, {"C": 1e6}, 0)
        found = SampledLearner(inner, sampling).fit(Sample(rows, y), budget=Budget()).predict(rows)[:, 1]
        assert np.abs(found - truth).mean() < 0.01
        assert found.mean() == pytest.approx(y.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("name", "task"),
    [("balanced", Task.REGRESSION), ("smooth", Task.RANKING), ("balance", Task.BINARY), (None, Task.BINARY)],
)
def test_what_there_is_not_is_refused_and_what_there_is_named(name: Any, task: Task) -> None:
    with pytest.raises(InvalidParameter, match="'sampling' must be one of"):
        check_sampling(name, task)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_graph_of_a_sampled_model(
    sampling: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any, graph_equals_predict: Any
) -> None:
    frame = mixed_frame(150)
    classes = pd.Series(target_of(frame, "multiclass"))
    rows = np.sort(np.concatenate([np.flatnonzero(classes != "low"), np.flatnonzero(classes == "low")[:12]]))
    estimators = [(name, {"sampling": sampling}) for name in ("lightgbm", "logistic_regression", "mlp")]
    model = WorkflowEstimator(**quick | {"n_iter": 4}, task="classification", estimators=estimators)
    model.fit(frame.iloc[rows], classes[rows])
    board = model.leaderboard_
    assert set(board.loc[board["model"] != "dummy", "status"]) == {"ok"}
    assert {params.get("sampling") for params in board.loc[board["model"] != "dummy", "params"]} == {sampling}
    graph_equals_predict(model, mixed_frame(60, seed=9))


@pytest.mark.parametrize("sampling", ["smooth", "mixup"])
def test_made_up_rows_for_numbers(sampling: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    frame = mixed_frame(90)
    estimators = [(name, {"sampling": sampling}) for name in ("lightgbm", "ridge")]
    model = WorkflowEstimator(**quick | {"n_iter": 4}, task="regression", estimators=estimators)
    model.fit(frame, target_of(frame, "regression"))
    assert set(model.leaderboard_["status"]) == {"ok"}
    assert model.best_score_ > model.leaderboard_.set_index("model")["score"]["dummy"]
