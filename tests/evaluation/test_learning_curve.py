"""The power law is found again, the rows taken are the right ones, and a model that has learnt all it can says so."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.folds import FoldCache, Folds
from automl_wf.core.frame import learn_schema
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.number_format import number
from automl_wf.core.tasks import Task
from automl_wf.evaluation.held_out import NO_TIME
from automl_wf.evaluation.learning_curve import (
    HARDLY_HELPS,
    HELPS,
    TOO_FEW,
    LearningCurve,
    Refit,
    measure_learning_curve,
    power_law,
    score_with_another_seed,
)
from automl_wf.feature_engineering.plan import plan_features
from automl_wf.model_selection.base import Learner
from automl_wf.model_selection.catalogue import MODELS

SIZES = np.array([100.0, 200.0, 400.0, 800.0])


class Mean(Learner):
    """Predicts the mean of the rows it was fitted on."""

    rows_seen: list[int] = []  # noqa: RUF012

    def fit(self, train: Any, valid: Any = None, *, budget: Budget, n_threads: int = 1) -> Mean:
        self.rows_seen.append(len(train.y))
        self.mean = float(np.mean(train.y))
        return self

    def predict(self, X: Any, n_threads: int = 1) -> np.ndarray:
        return np.full(len(X), self.mean)


class Slow(Mean):
    """Takes longer than it is given."""

    def fit(self, train: Any, valid: Any = None, *, budget: Budget, n_threads: int = 1) -> Slow:
        time.sleep(0.05)
        budget.check("slow")
        return super().fit(train, valid, budget=budget)  # type: ignore[return-value]


class Failing(Mean):
    """Cannot be fitted."""

    def fit(self, train: Any, valid: Any = None, *, budget: Budget, n_threads: int = 1) -> Failing:
        raise RuntimeError("no luck")


def _refit(
    learner: Any,
    n: int = 400,
    *,
    task: Task = Task.REGRESSION,
    group: Any = None,
    seconds: float = 0.0,
    max_rows: int | None = None,
) -> Refit:
    rng = np.random.default_rng(0)
    _, table, _ = learn_schema(rng.normal(size=(n, 2)))
    y = rng.integers(0, 2, n) if task is Task.BINARY else rng.normal(size=n)
    plan = plan_features(table.schema, task, 2 if task is Task.BINARY else 1, table)
    valid = np.arange(n // 4)
    folds = Folds(((np.arange(n // 4, n), valid),), n, "one part", False)
    cache = FoldCache(table, plan.views, y, None, group, folds, seed=0, max_rows=max_rows)
    spec = next(s for s in MODELS if s.name == (learner if isinstance(learner, str) else "ridge"))
    if not isinstance(learner, str):
        spec = replace(spec, name="own", build=learner)
    n_classes = 2 if task is Task.BINARY else 1
    return Refit(cache, spec, {}, task, n_classes, resolve_scoring("auto", task), 0, 1, seconds)


def test_the_law_is_found_again_where_it_holds() -> None:
    for floor, b, c in ((0.0, 3.0, 0.5), (0.4, 2.0, 1.0), (1.0, 5.0, 0.25)):
        errors = floor + b * SIZES**-c
        values, exponents = power_law(SIZES, errors[None, :], np.array([800.0, 1600.0]))
        assert exponents[0] == pytest.approx(c)
        np.testing.assert_allclose(values[0], floor + b * np.array([800.0, 1600.0]) ** -c, rtol=1e-9)


def test_floor_and_slope_are_never_negative() -> None:
    rising = np.array([[1.0, 1.1, 1.2, 1.3]])
    values, _ = power_law(SIZES, rising, np.array([800.0, 1e9]))
    np.testing.assert_allclose(values, rising.mean())
    falling = np.array([[8.0, 4.0, 1.0, 0.1]])
    assert (power_law(SIZES, falling, np.array([1e12]))[0] >= 0).all()


def test_more_rows_are_taken_and_scored_on_the_same_held_out_ones() -> None:
    Mean.rows_seen.clear()
    found = measure_learning_curve(_refit(Mean, 800), budget=Budget())
    assert Mean.rows_seen == [75, 150, 300, 600]
    assert [p.n_rows for p in found.points] == Mean.rows_seen
    assert [p.share for p in found.points] == [0.125, 0.25, 0.5, 1.0]
    assert (found.n_scored, found.twice, found.model, found.label) == (200, 1200, "own", "RMSE")
    assert found.at_twice_low <= found.at_twice <= found.at_twice_high


def test_a_model_that_can_learn_no_more_says_so() -> None:
    found = measure_learning_curve(_refit(Mean, 4000), budget=Budget())
    assert found.verdict == HARDLY_HELPS
    assert found.sentence.startswith("A power law through the scores of own takes RMSE from ")
    assert found.sentence.endswith(": more data would hardly help.")
    assert f"at {found.twice:,} rows" in found.sentence
    assert number(found.at_twice) in found.sentence


def test_a_model_that_still_learns_says_so() -> None:
    class Learning(Mean):
        def predict(self, X: Any, n_threads: int = 1) -> np.ndarray:
            # An error that falls with the root of the rows it was fitted on, on top of a truth of zero
            rng = np.random.default_rng(1)
            return self.truth + rng.normal(size=len(X)) * 10 / np.sqrt(self.rows_seen[-1])

        truth: Any = None

    refit = _refit(Learning, 4000)
    Learning.truth = refit.cache.y[refit.cache.folds.splits[0][1]]
    found = measure_learning_curve(refit, budget=Budget())
    assert found.exponent == pytest.approx(0.5)
    assert found.at_twice == pytest.approx(found.at_last / np.sqrt(2), rel=1e-6)
    assert found.verdict == HELPS


def test_classes_keep_their_shares_and_groups_stay_whole() -> None:
    refit = _refit("logistic_regression", 400, task=Task.BINARY)
    train = refit.data.train
    small, large = refit.rows(0.125, train), refit.rows(0.5, train)
    assert set(small) < set(large)
    y = refit.cache.y[train]
    assert y[small].mean() == pytest.approx(y.mean(), abs=0.03)
    group = np.arange(400) // 10
    grouped = _refit("ridge", 400, group=group)
    rows = grouped.rows(0.25, train)
    assert len(rows) == 70
    assert (np.unique(group[train][rows], return_counts=True)[1] == 10).all()


def test_a_real_model_on_classes() -> None:
    found = measure_learning_curve(_refit("logistic_regression", 600, task=Task.BINARY), budget=Budget())
    assert found.status == "measured"
    assert len(found.points) == 4
    assert all(0.0 <= p.score <= 1.0 for p in found.points)
    assert found == measure_learning_curve(_refit("logistic_regression", 600, task=Task.BINARY), budget=Budget())


def test_another_seed_is_another_fit_of_what_is_random() -> None:
    steady = _refit("logistic_regression", 600, task=Task.BINARY)
    assert (
        score_with_another_seed(steady, budget=Budget())
        == measure_learning_curve(steady, budget=Budget()).points[-1].score
    )
    trees = _refit("random_forest", 600, task=Task.BINARY)
    assert (
        score_with_another_seed(trees, budget=Budget())
        != measure_learning_curve(trees, budget=Budget()).points[-1].score
    )
    assert score_with_another_seed(_refit(Mean, seconds=9.0), budget=Budget(1.0)) is None


def test_where_a_fold_teaches_with_some_rows_only_these_are_all() -> None:
    found = measure_learning_curve(_refit(Mean, 1000, max_rows=400), budget=Budget())
    assert [p.n_rows for p in found.points] == [50, 100, 200, 400]


def test_what_does_not_fit_is_not_begun() -> None:
    Mean.rows_seen.clear()
    found = measure_learning_curve(_refit(Mean, seconds=10.0), budget=Budget(5.0))
    assert found == LearningCurve(model="own", label="RMSE", greater_is_better=False, status=NO_TIME)
    assert Mean.rows_seen == []
    assert measure_learning_curve(_refit(Slow), budget=Budget(0.07)).status == NO_TIME


def test_few_rows_and_failures_are_told() -> None:
    one_group = _refit(Mean, 400, group=np.zeros(400, dtype=np.int64))
    assert measure_learning_curve(one_group, budget=Budget()).status == TOO_FEW
    assert measure_learning_curve(_refit(Mean, 120), budget=Budget()).status == TOO_FEW
    assert (
        measure_learning_curve(_refit(Failing), budget=Budget()).status == "not run: own failed (RuntimeError: no luck)"
    )


def test_a_score_without_a_best_value_is_not_continued() -> None:
    def own(estimator: Any, X: Any, y: Any) -> float:
        return -float(np.abs(estimator.predict(X) - y).mean())

    refit = replace(_refit(Mean), scoring=resolve_scoring(own, Task.REGRESSION))
    found = measure_learning_curve(refit, budget=Budget())
    assert len(found.points) == 3
    assert (found.at_twice, found.verdict, found.sentence) == (None, "", "")
