"""The perceptron's gradient is the derivative of its loss, it learns what lines cannot, and equals its graph."""

from __future__ import annotations

import pickle
import time
from typing import Any

import numpy as np
import onnxruntime
import pytest

from automl_wf.core import kept_matrix
from automl_wf.core.budget import Budget
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection import neural, neural_onnx
from automl_wf.model_selection.base import Sample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
VALUES = X[:, 0] * X[:, 1] + 0.1 * RNG.normal(size=300)
CODES = np.digitize(VALUES, [-0.3, 0.3])
TASKS = {
    "binary": (Task.BINARY, 2, (CODES > 0).astype(np.int64)),
    "multiclass": (Task.MULTICLASS, 3, CODES),
    "absent classes": (Task.MULTICLASS, 5, CODES + 1),
    "one class": (Task.BINARY, 2, np.ones(300, np.int64)),
    "regression": (Task.REGRESSION, 1, VALUES * 1e4 + 1e6),
    "constant": (Task.REGRESSION, 1, np.full(300, 2.5)),
    "ranking": (Task.RANKING, 1, CODES.astype(float)),
}


def through_graph(learner: Any, rows: np.ndarray) -> np.ndarray:
    builder = GraphBuilder()
    value = neural_onnx.emit(learner, builder, builder.input("X", "double", rows.shape[1]))
    builder.output(value, "y", "double", [None, None])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    return np.asarray(session.run(None, {"X": rows})[0])


@pytest.mark.parametrize(("n_rows", "patience"), [(500, 20), (8_000, 10), (200_000, 5)])
def test_fewer_epochs_are_waited_for_on_many_rows(n_rows: int, patience: int) -> None:
    rows, noise = RNG.normal(size=(n_rows, 1)), RNG.normal(size=n_rows)

    def n_epochs(**params: int) -> int:
        learner = neural.MLP(Task.REGRESSION, 1, {"width": 2, "n_layers": 1, "learning_rate": 0.1, **params}, 0)
        learner.fit(Sample(rows, noise), Sample(rows[:100], noise[-100:]), budget=Budget())
        assert learner.curve_ is not None
        return len(learner.curve_)

    assert n_epochs() == n_epochs(patience=patience) != n_epochs(patience=patience + 10)


@pytest.mark.parametrize(("activation", "n_frequencies"), [("silu", 0), ("relu", 0), ("tanh", 0), ("silu", 5)])
@pytest.mark.parametrize("task", TASKS)
def test_prediction_is_sound_and_equals_the_graph(task: str, activation: str, n_frequencies: int) -> None:
    task_, n_classes, y = TASKS[task]
    params = {"n_rounds": 4, "width": 16, "activation": activation, "dropout": 0.1, "n_frequencies": n_frequencies}
    learner = neural.MLP(task_, n_classes, params, 0)
    learner.fit(Sample(X[:200], y[:200]), Sample(X[200:], y[200:]), budget=Budget())
    learner = pickle.loads(pickle.dumps(learner))
    rows = np.vstack([X, 1e6 * X, np.zeros((1, 4))])
    predicted, graph = learner.predict(rows), through_graph(learner, rows)
    if task_.is_classification:
        assert predicted.sum(axis=1) == pytest.approx(1.0)
        assert np.all(predicted[:, np.setdiff1d(np.arange(n_classes), y)] == 0.0)
    else:
        graph = graph[:, 0]
    assert np.abs(predicted - graph).max() <= 1e-9 * max(1.0, np.abs(predicted).max() / 1e3)


@pytest.mark.parametrize(("activation", "n_frequencies"), [("silu", 0), ("relu", 0), ("tanh", 0), ("tanh", 3)])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_gradient_is_the_slope_of_the_loss(task: str, activation: str, n_frequencies: int) -> None:
    task_, n_classes, y = TASKS[task]
    params = {"n_layers": 2, "width": 5, "activation": activation, "n_rounds": 1, "n_frequencies": n_frequencies}
    learner = neural.MLP(task_, n_classes, params, 0)
    weight = RNG.random(300) + 0.5
    learner.fit(Sample(X, y), budget=Budget())
    target, cells = learner.target_, neural.draw_in(X)
    weights = [w.astype(np.float64) + 0.1 for w in learner.weights_]
    codes = target.encode(y)
    slope = learner._gradient(weights, cells, learner._goal(codes).astype(float), weight, None)
    # The gradient of squared error is that of half its mean.
    factor = 1.0 if task_.is_classification else 0.5

    def loss() -> float:
        return factor * target.loss(codes, learner._forward(weights, cells), weight) * weight.mean()

    assert len(slope) == 6 + (4 if n_frequencies else 0)
    for w, s in zip(weights, slope, strict=True):
        at, step = (0,) * w.ndim, 1e-6
        w[at] += step
        above = loss()
        w[at] -= 2.0 * step
        below = loss()
        w[at] += step
        assert s[at] == pytest.approx((above - below) / (2.0 * step), rel=1e-3, abs=1e-6)


def test_it_learns_a_product() -> None:
    learner = neural.MLP(Task.REGRESSION, 1, {}, 0)
    learner.fit(Sample(X[:220], VALUES[:220]), Sample(X[220:], VALUES[220:]), budget=Budget())
    residual = VALUES[220:] - learner.predict(X[220:])
    assert residual.var() < 0.4 * VALUES[220:].var()


def test_cosines_follow_a_wave_that_a_plain_network_misses() -> None:
    x = np.random.default_rng(1).uniform(-2, 2, (1200, 2))
    x[:, 1] = x[:, 1] > 0
    y = np.sin(9 * x[:, 0])
    residuals = []
    for n_frequencies in (0, 16):
        learner = neural.MLP(Task.REGRESSION, 1, {"n_frequencies": n_frequencies, "n_rounds": 40}, 0)
        learner.fit(Sample(x[:900], y[:900]), Sample(x[900:], y[900:]), budget=Budget())
        residuals.append((y[900:] - learner.predict(x[900:])).var())
    assert learner.waving_.tolist() == [0]
    assert residuals[1] < 0.5 * residuals[0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_network_learns_from_parts_of_a_matrix_what_it_learns_from_the_whole(
    order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_matrix, "_SMALL", 0)
    rng = np.random.default_rng(3)
    rows = np.array(rng.normal(size=(9_000, 18)).round(1), order=order)
    kept, y = kept_matrix.keep(rows), rows[:, 0] - np.abs(rows[:, 17])
    assert isinstance(kept, kept_matrix.Packed)
    predictions = []
    for matrix in (kept, rows):
        sample = Sample(matrix, y)
        np.testing.assert_array_equal(sample.every(7), rows[::7])
        learner = neural.MLP(Task.REGRESSION, 1, {"n_frequencies": 4, "n_rounds": 2}, 0).fit(sample, budget=Budget())
        assert learner.waving_.tolist() == list(range(18))
        assert not sample._made
        predictions.append(learner.predict(rows[:50]))
    np.testing.assert_array_equal(*predictions)


def test_wide_tables_have_no_cosines() -> None:
    wide = np.random.default_rng(2).normal(size=(30, neural.MLP.MAX_WAVES + 1))
    learner = neural.MLP(Task.REGRESSION, 1, {"n_frequencies": 1, "n_rounds": 1}, 0)
    assert len(learner.fit(Sample(wide, wide[:, 0]), budget=Budget()).waving_) == 0


def test_truncate_takes_the_weights_of_that_epoch() -> None:
    learner = neural.MLP(Task.REGRESSION, 1, {"n_rounds": 6}, 0)
    train, valid = Sample(X[:200], VALUES[:200]), Sample(X[200:], VALUES[200:])
    learner.fit(train, valid, budget=Budget())
    assert learner.n_rounds == int(np.argmin(learner.curve_)) + 1
    for epoch in (1, 3, 6):
        learner.truncate(epoch)
        assert learner.n_rounds == epoch
        error = learner.target_.encode(learner.predict(valid.X)) - learner.target_.encode(valid.y)
        assert np.mean(error**2) == pytest.approx(learner.curve_[epoch - 1], rel=1e-4)


def test_few_snapshots_are_kept_around_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural.MLP, "SNAPSHOT_BYTES", 0)
    learner = neural.MLP(Task.REGRESSION, 1, {}, 0)
    learner.fit(Sample(X[:200], VALUES[:200]), Sample(X[200:], VALUES[200:]), budget=Budget())
    best = int(np.argmin(learner.curve_)) + 1
    assert learner.n_rounds == best
    assert len(learner._snapshots) == 4
    assert list(pickle.loads(pickle.dumps(learner))._snapshots) == [best]
    before = learner.predict(X)
    learner.settle()
    assert list(learner._snapshots) == [best]
    assert np.array_equal(learner.predict(X), before)


def test_same_seed_same_network() -> None:
    first, second, other = (
        neural.MLP(Task.BINARY, 2, {"n_rounds": 2}, seed).fit(Sample(X, CODES > 0), budget=Budget()).predict(X)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_deadline_ends_the_training() -> None:
    start = time.perf_counter()
    learner = neural.MLP(Task.BINARY, 2, {"n_rounds": 100_000}, 0)
    learner.fit(Sample(X, (CODES > 0).astype(np.int64)), budget=Budget(0.3))
    assert time.perf_counter() - start < 3.0
    assert learner.is_cut_short_
    assert 0 < learner.n_rounds < 100_000


def test_values_are_held_near_those_of_the_training_rows() -> None:
    y = 3.0 * VALUES + 7.0
    learner = neural.MLP(Task.REGRESSION, 1, {"n_rounds": 2, "width": 8}, 0).fit(Sample(X, y), budget=Budget())
    for bias, bound in ((1e9, y.max() + y.std()), (-1e9, y.min() - y.std())):
        learner.weights_[-1][:] = bias
        assert learner.predict(X) == pytest.approx(bound)
        assert through_graph(learner, X) == pytest.approx(bound)


def test_weights_of_zero_leave_rows_out() -> None:
    y = (CODES > 0).astype(np.int64)
    weight = np.r_[np.ones(150), np.zeros(150)]
    flipped = np.r_[y[:150], 1 - y[150:]]
    params = {"n_rounds": 3}
    a = neural.MLP(Task.BINARY, 2, params, 0).fit(Sample(X, y, weight), budget=Budget()).predict(X)
    b = neural.MLP(Task.BINARY, 2, params, 0).fit(Sample(X, flipped, weight), budget=Budget()).predict(X)
    assert a == pytest.approx(b, abs=1e-6)


def test_unknown_activation_is_named() -> None:
    with pytest.raises(InvalidParameter, match="sine"):
        neural.MLP(Task.BINARY, 2, {"activation": "sine"}, 0).fit(Sample(X, CODES > 0), budget=Budget())
