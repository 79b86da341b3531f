"""Boosting by histograms: sums of parts grow the trees of the whole, and the trees are as good as others'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss, root_mean_squared_error

from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection.base import Sample, TargetCode
from automl_wf.model_selection.histogram_trees import (
    Bins,
    BoostedRows,
    BoostingSettings,
    HistogramTrees,
    gradients,
    grow,
)


def _data(n_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, np.nan_to_num(X[:, 0]) ** 2 + np.nan_to_num(X[:, 1], nan=2.0) + 0.3 * rng.normal(size=n_rows)


def _trees(parts: list[tuple[np.ndarray, np.ndarray]], settings: BoostingSettings) -> list[Any]:
    target = TargetCode(Task.REGRESSION, 1)
    bins = Bins(tuple(np.linspace(-2, 2, 15) for _ in range(4)))
    rows = [BoostedRows(X, y, target, bins, np.zeros(1), settings, seed=0) for X, y in parts]
    growing = grow(bins, 1, settings)
    step = next(growing)
    while True:
        answers = [part.answer(step) for part in rows]
        try:
            step = growing.send(sum(answers[1:], answers[0]))
        except StopIteration as done:
            return [tree for trees in done.value[0] for tree in trees]


def test_sums_of_parts_grow_the_trees_of_all_rows() -> None:
    X, y = _data(600)
    settings = BoostingSettings(n_rounds=5, validation=0.0)
    whole = _trees([(X, y)], settings)
    by_target = np.array_split(np.argsort(y), 3)
    parts = _trees([(X[rows], y[rows]) for rows in by_target], settings)
    assert len(whole) == 5
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.feature, b.feature)
        np.testing.assert_array_equal(a.split, b.split)
        np.testing.assert_array_equal(a.is_true_for_nan, b.is_true_for_nan)
        np.testing.assert_allclose(a.leaves, b.leaves, rtol=1e-9)


def test_one_split_by_hand() -> None:
    X = np.array([[0.0], [0.0], [1.0], [1.0], [np.nan]])
    y = np.array([0.0, 0.0, 4.0, 4.0, 4.0])
    settings = BoostingSettings(n_rounds=1, learning_rate=1.0, max_depth=1, min_rows_leaf=2, l2=1.0, validation=0.0)
    learner = HistogramTrees(Task.REGRESSION, 1, vars(settings), 0)
    learner.fit(Sample(X, y), budget=Budget())
    (tree,) = learner.trees_
    assert (tree.feature.tolist(), tree.split.tolist(), tree.is_true_for_nan.tolist()) == ([0], [0.5], [0])
    z = (y - y.mean()) / y.std()
    np.testing.assert_allclose(tree.leaves, [z[:2].sum() / 3, z[2:].sum() / 4])
    np.testing.assert_allclose(learner.predict(X[[0, 2]]), y.mean() + y.std() * tree.leaves)


def test_gradients_are_those_of_the_loss() -> None:
    target = TargetCode(Task.MULTICLASS, 3, (0, 1, 2))
    raw, y, h = np.array([[0.2, -0.5, 1.0]]), np.array([1]), 1e-6
    slope, curvature = gradients(target, y, raw)
    for k in range(3):
        up, down = raw.copy(), raw.copy()
        up[0, k] += h
        down[0, k] -= h
        numeric = (target.losses(y, up)[0] - target.losses(y, down)[0]) / (2 * h)
        assert slope[0, k] == pytest.approx(numeric, abs=1e-6)
        gain = (gradients(target, y, up)[0][0, k] - gradients(target, y, down)[0][0, k]) / (2 * h)
        assert curvature[0, k] == pytest.approx(1.5 * gain, abs=1e-6)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_as_good_as_scikit_learn_with_the_same_settings(task: Task) -> None:
    (X, signal), (X_new, signal_new) = _data(1_500), _data(1_500, seed=1)
    n_classes = {Task.BINARY: 2, Task.MULTICLASS: 3}.get(task, 1)
    same: dict[str, Any] = {
        "max_iter": 40, "max_depth": 5, "l2_regularization": 1.0, "max_bins": 64, "early_stopping": False,
    }  # fmt: skip
    settings = BoostingSettings(n_rounds=40, validation=0.0)
    learner = HistogramTrees(task, n_classes, vars(settings), 0)
    if task is Task.REGRESSION:
        ours = root_mean_squared_error(signal_new, learner.fit(Sample(X, signal), budget=Budget()).predict(X_new))
        theirs = root_mean_squared_error(
            signal_new, HistGradientBoostingRegressor(**same).fit(X, signal).predict(X_new)
        )
    else:
        cuts = np.quantile(signal, np.arange(1, n_classes) / n_classes)
        y, y_new = np.digitize(signal, cuts), np.digitize(signal_new, cuts)
        ours = log_loss(y_new, learner.fit(Sample(X, y), budget=Budget()).predict(X_new))
        theirs = log_loss(y_new, HistGradientBoostingClassifier(**same).fit(X, y).predict_proba(X_new))
    assert ours < 1.03 * theirs


def test_rounds_end_where_kept_back_rows_get_no_better() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), rng.normal(size=400)
    settings = BoostingSettings(n_rounds=300, patience=5)
    learner = HistogramTrees(Task.REGRESSION, 1, vars(settings), 0).fit(Sample(X, y), budget=Budget())
    assert learner.n_trees < 50


def test_time_that_is_over_stops_it() -> None:
    X, y = _data(100)
    with pytest.raises(OutOfTime):
        HistogramTrees(Task.REGRESSION, 1, {}, 0).fit(Sample(X, y), budget=Budget(-1.0))
