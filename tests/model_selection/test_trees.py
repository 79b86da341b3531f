"""Tree learners equal scikit-learn's, stop in time, and equal their graphs with and without missing cells."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor

from automl_wf.core.budget import Budget
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.tasks import Task
from automl_wf.model_selection import trees, trees_onnx
from automl_wf.model_selection.base import Sample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5))
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
CODES = np.digitize(X[:, 0] + 0.5 * X[:, 1], [-0.5, 0.7])
VALUES = 3.0 * X[:, 0] + np.abs(X[:, 1])
TASKS = {
    "binary": (Task.BINARY, 2, (CODES > 0).astype(np.int64)),
    "multiclass": (Task.MULTICLASS, 3, CODES),
    "absent classes": (Task.MULTICLASS, 5, CODES + 1),
    "two of four classes": (Task.MULTICLASS, 4, 3 * (CODES > 0).astype(np.int64)),
    "one class": (Task.BINARY, 2, np.zeros(150, np.int64)),
    "regression": (Task.REGRESSION, 1, VALUES),
    "large offset": (Task.REGRESSION, 1, VALUES + 1e6),
    "constant": (Task.REGRESSION, 1, np.full(150, 2.5)),
    "ranking": (Task.RANKING, 1, CODES.astype(float)),
}
KINDS = (trees.DecisionTree, trees.ExtraTrees, trees.RandomForest)


def through_graph(learner: Any, rows: np.ndarray) -> np.ndarray:
    builder = GraphBuilder()
    value = trees_onnx.emit(learner, builder, builder.input("X", "double", rows.shape[1]))
    builder.output(value, "y", "double", [None, None])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    return np.asarray(session.run(None, {"X": rows})[0])


@pytest.mark.parametrize("train", [X, GAPS], ids=["whole", "gaps"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_prediction_is_sound_and_equals_the_graph(kind: Any, task: str, train: np.ndarray) -> None:
    task_, n_classes, y = TASKS[task]
    params = {} if kind is trees.DecisionTree else {"n_estimators": 7}
    learner = pickle.loads(pickle.dumps(kind(task_, n_classes, params, 0).fit(Sample(train, y), budget=Budget())))
    rows = np.vstack([X, GAPS, 10.0 * X, np.full((1, 5), np.nan), np.full((1, 5), 1e300), np.full((1, 5), -1e300)])
    predicted, graph = learner.predict(rows), through_graph(learner, rows)
    if task_.is_classification:
        assert predicted.sum(axis=1) == pytest.approx(1.0)
        assert np.all(predicted[:, np.setdiff1d(np.arange(n_classes), y)] == 0.0)
    else:
        graph = graph[:, 0]
    assert np.abs(predicted - graph).max() <= 1e-9 * max(1.0, np.abs(predicted).max() / 1e3)


def test_forests_are_scikit_learns() -> None:
    ours = trees.ExtraTrees(Task.MULTICLASS, 3, {"n_estimators": 9}, 4).fit(Sample(GAPS, CODES), budget=Budget())
    theirs = ExtraTreesClassifier(9, random_state=4).fit(GAPS, CODES)
    assert ours.predict(X) == pytest.approx(theirs.predict_proba(X))
    forest = trees.RandomForest(Task.REGRESSION, 1, {"n_estimators": 9, "min_samples_leaf": 3}, 4)
    forest.fit(Sample(X, VALUES), budget=Budget())
    model = RandomForestRegressor(9, min_samples_leaf=3, random_state=4)
    model.fit(X, forest.target_.encode(VALUES))
    assert forest.target_.encode(forest.predict(X)) == pytest.approx(model.predict(X))


@pytest.mark.parametrize("y", [VALUES, CODES, np.zeros(len(X))])
def test_a_packed_tree_is_the_tree(y: np.ndarray) -> None:
    rows = GAPS.astype(np.float32)
    model = (ExtraTreesClassifier if y is CODES else RandomForestRegressor)(1, random_state=0).fit(rows, y)
    tree = model.estimators_[0].tree_
    packed = trees.PackedTree.of(tree)
    made = packed.unpacked()
    assert np.array_equal(made.predict(rows), tree.predict(rows))
    assert np.array_equal(made.apply(rows), tree.apply(rows))
    assert packed.n_leaves == made.n_leaves == tree.n_leaves
    assert made.max_depth == tree.max_depth


def test_a_forest_takes_a_fifth_of_the_memory() -> None:
    rows = RNG.normal(size=(4000, 5))
    learner = trees.RandomForest(Task.REGRESSION, 1, {"n_estimators": 30}, 0)
    learner.fit(Sample(rows, rows[:, 0]), budget=Budget())
    forest = RandomForestRegressor(30, random_state=0).fit(rows.astype(np.float32), learner.target_.encode(rows[:, 0]))
    packed, predicted = pickle.dumps(learner), learner.predict(rows)
    assert len(packed) < 0.2 * len(pickle.dumps([tree.tree_ for tree in forest.estimators_]))
    learner.unpack()
    assert np.array_equal(learner.predict(rows), predicted)
    assert len(pickle.dumps(learner)) == len(packed)
    assert np.array_equal(pickle.loads(packed).predict(rows), predicted)


def test_chunks_do_not_change_the_forest() -> None:
    whole = trees.RandomForest(Task.BINARY, 2, {"n_estimators": 20}, 1).fit(Sample(X, CODES > 0), budget=Budget())
    chunks = trees.RandomForest(Task.BINARY, 2, {"n_estimators": 20}, 1).fit(Sample(X, CODES > 0), budget=Budget(60.0))
    assert not chunks.is_cut_short_
    assert np.array_equal(whole.predict(X), chunks.predict(X))


def test_little_time_gives_fewer_trees() -> None:
    rows = RNG.normal(size=(3000, 10))
    start = time.perf_counter()
    learner = trees.RandomForest(Task.REGRESSION, 1, {"n_estimators": 100_000}, 0)
    learner.fit(Sample(rows, rows[:, 0]), budget=Budget(0.5))
    assert time.perf_counter() - start < 3.0
    assert learner.is_cut_short_
    assert 0 < learner.n_trees < 100_000


def test_weights_mean_repeated_rows() -> None:
    weight = RNG.integers(1, 4, 150)
    params = {"max_depth": 3, "min_samples_leaf": 1}
    weighted = trees.DecisionTree(Task.REGRESSION, 1, params, 0)
    weighted.fit(Sample(X, VALUES, weight.astype(float)), budget=Budget())
    repeated = trees.DecisionTree(Task.REGRESSION, 1, params, 0)
    repeated.fit(Sample(np.repeat(X, weight, axis=0), np.repeat(VALUES, weight)), budget=Budget())
    assert weighted.predict(X) == pytest.approx(repeated.predict(X))


def test_leaves_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees.TreeLearner, "MAX_LEAF_NUMBERS", 4 * 40 * 3)
    learner = trees.ExtraTrees(Task.MULTICLASS, 3, {"n_estimators": 4}, 0)
    learner.fit(Sample(X, RNG.integers(0, 3, 150)), budget=Budget())
    assert learner.n_parameters == 4 * 40


def test_a_large_forest_exports_quickly() -> None:
    rows = RNG.normal(size=(4000, 5))
    learner = trees.ExtraTrees(Task.BINARY, 2, {"n_estimators": 20}, 0)
    learner.fit(Sample(rows, RNG.integers(0, 2, 4000)), budget=Budget())
    assert learner.n_parameters > 20_000
    start = time.perf_counter()
    graph = through_graph(learner, rows)
    assert time.perf_counter() - start < 5.0
    assert np.abs(graph - learner.predict(rows)).max() < 1e-12


def test_threads_do_not_change_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_LEAST_ROWS_PER_BLOCK", 40)
    one = trees.ExtraTrees(Task.REGRESSION, 1, {"n_estimators": 5}, 0).fit(Sample(X, VALUES), budget=Budget())
    two = trees.ExtraTrees(Task.REGRESSION, 1, {"n_estimators": 5}, 0)
    two.fit(Sample(X, VALUES), budget=Budget(), n_threads=2)
    assert np.array_equal(one.predict(X), two.predict(X))
    assert np.array_equal(one.predict(X), one.predict(X, n_threads=3))
