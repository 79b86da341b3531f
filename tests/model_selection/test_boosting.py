"""Boosted trees stop in time, count rounds honestly, and equal their graphs whatever is missing or unknown."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import log_loss

from automl_wf.core.budget import Budget
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.kept_matrix import Part
from automl_wf.core.tasks import Task
from automl_wf.exceptions import MissingDependency, OutOfTime
from automl_wf.model_selection import boosting, boosting_onnx
from automl_wf.model_selection.base import Sample, TargetCode

RNG = np.random.default_rng(0)
N, TRAIN = 240, 180
X = RNG.normal(size=(N, 5))
X[:, 4] = RNG.integers(0, 12, N)
GAPS = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
UNKNOWN = X.copy()
UNKNOWN[::3, 4], UNKNOWN[1::3, 4] = -1.0, 500.0
SIGNAL = X[:, 0] + (X[:, 4] % 3) + 0.5 * RNG.normal(size=N)
CODES = np.digitize(SIGNAL, [0.3, 1.6])
GROUP = np.repeat(np.arange(N // 10), 10)
TASKS = {
    "binary": (Task.BINARY, 2, (CODES > 0).astype(np.int64)),
    "multiclass": (Task.MULTICLASS, 3, CODES),
    "absent classes": (Task.MULTICLASS, 5, CODES + 1),
    "two of four classes": (Task.MULTICLASS, 4, 3 * (CODES > 0).astype(np.int64)),
    "one class": (Task.BINARY, 2, np.zeros(N, np.int64)),
    "regression": (Task.REGRESSION, 1, SIGNAL),
    "large offset": (Task.REGRESSION, 1, SIGNAL * 1e4 + 1e6),
    "constant": (Task.REGRESSION, 1, np.full(N, 2.5)),
    "ranking": (Task.RANKING, 1, CODES.astype(float)),
    "ranking by fractions": (Task.RANKING, 1, CODES / 2.0),
}
KINDS = ("LightGBM", "XGBoost", "CatBoost")


class Made:
    """A matrix that counts how often it was made."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.shape, self.n_made, self.nbytes = rows, rows.shape, 0, 0

    def make(self) -> np.ndarray:
        self.n_made += 1
        return self.rows.copy()

    def parts(self) -> Iterator[Part]:
        for columns in (slice(0, 3), slice(3, 5)):
            yield slice(None), columns, self.rows[:, columns]


def build(kind: str, task: Task, n_classes: int, seed: int = 0, **params: Any) -> Any:
    if kind != "LightGBM":
        pytest.importorskip(kind.lower())
    return getattr(boosting, kind)(task, n_classes, params, seed)


def samples(rows: np.ndarray, y: np.ndarray, kind: str = "LightGBM") -> tuple[Sample, Sample]:
    categorical = (4,) if kind == "LightGBM" else ()
    return (
        Sample(rows[:TRAIN], y[:TRAIN], None, GROUP[:TRAIN], categorical),
        Sample(rows[TRAIN:], y[TRAIN:], None, GROUP[TRAIN:], categorical),
    )


def through_graph(learner: Any, rows: np.ndarray) -> np.ndarray:
    builder = GraphBuilder()
    value = boosting_onnx.emit(learner, builder, builder.input("X", "double", rows.shape[1]))
    builder.output(value, "y", "double", [None, None])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    return np.asarray(session.run(None, {"X": rows})[0])


def assert_same_as_graph(learner: Any, rows: np.ndarray) -> None:
    predicted, graph = learner.predict(rows), through_graph(learner, rows)
    graph = graph[:, 0] if predicted.ndim == 1 else graph
    assert np.abs(predicted - graph).max() <= 1e-9 * max(1.0, np.abs(predicted).max())


@pytest.mark.parametrize("train", [X, GAPS], ids=["whole", "gaps"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_prediction_is_sound_and_equals_the_graph(kind: str, task: str, train: np.ndarray) -> None:
    task_, n_classes, y = TASKS[task]
    learner = build(kind, task_, n_classes, learning_rate=0.1, n_rounds=25)
    learner.fit(*samples(train, y, kind), budget=Budget())
    learner = pickle.loads(pickle.dumps(learner))
    rows = np.vstack([X, GAPS, UNKNOWN, 10.0 * X, np.full((1, 5), np.nan), np.full((2, 5), [[1e300], [-1e300]])])
    predicted = learner.predict(rows)
    assert np.isfinite(predicted).all()
    if task_.is_classification:
        assert predicted.sum(axis=1) == pytest.approx(1.0)
        assert np.all(predicted[:, np.setdiff1d(np.arange(n_classes), y[:TRAIN])] == 0.0)
    assert_same_as_graph(learner, rows)


@pytest.mark.parametrize("kind", KINDS)
def test_trees_of_one_leaf_and_columns_without_variation(kind: str) -> None:
    task, n_classes, y = TASKS["multiclass"]
    strict = {"LightGBM": {"min_data_in_leaf": 10_000}, "XGBoost": {"gamma": 1e9}, "CatBoost": {"depth": 1}}
    learner = build(kind, task, n_classes, n_rounds=3, **strict[kind]).fit(*samples(X, y, kind), budget=Budget())
    assert_same_as_graph(learner, GAPS)
    flat = build(kind, task, n_classes, n_rounds=3).fit(*samples(np.zeros_like(X), y, kind), budget=Budget())
    assert flat.predict(X[:1])[0] == pytest.approx(np.bincount(y[:TRAIN]) / TRAIN, abs=1e-6)
    assert_same_as_graph(flat, X)


@pytest.mark.parametrize("kind", KINDS)
def test_curve_is_the_loss_of_what_truncate_leaves(kind: str) -> None:
    task, n_classes, y = TASKS["multiclass"]
    train, valid = samples(X, y, kind)
    learner = build(kind, task, n_classes, learning_rate=0.3, n_rounds=40).fit(train, valid, budget=Budget())
    assert learner.curve_ is not None
    assert learner.n_rounds == int(np.argmin(learner.curve_)) + 1
    whole = learner.n_parameters
    for n_rounds in (1, 5, len(learner.curve_)):
        learner.truncate(n_rounds)
        loss = log_loss(valid.y, learner.predict(valid.X), labels=[0, 1, 2])
        assert loss == pytest.approx(learner.curve_[n_rounds - 1], rel=1e-4)
        assert_same_as_graph(learner, valid.X)
    learner.truncate(1)
    assert 0 < learner.n_parameters < whole
    learner.truncate(10**6)
    assert learner.n_rounds == len(learner.curve_)


@pytest.mark.parametrize("name", TASKS)
def test_a_packed_model_is_the_same_and_so_is_a_stored_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task, n_classes, y = TASKS[name]
    monkeypatch.setattr(boosting, "_TREES_AT_A_TIME", 7)
    learner = build("LightGBM", task, n_classes).fit(*samples(GAPS, y), budget=Budget())
    before, size, n_rounds = learner.predict(GAPS), learner.n_parameters, learner.n_rounds
    learner.unpack()
    assert len(learner._boosters) == len(list(learner.descriptions()))
    assert (len(learner._boosters) > 1) == (n_rounds > 7)
    assert np.array_equal(learner.predict(GAPS), before)
    stored = pickle.loads(pickle.dumps(learner))
    assert stored._boosters is None
    assert (stored.n_parameters, stored.n_rounds) == (size, n_rounds)
    assert np.array_equal(stored.predict(GAPS), before)
    assert n_rounds == 0 or stored.reading_s > 0.0
    grown = learner._n_grown
    learner.settle()
    assert n_rounds <= learner._n_grown <= grown
    assert learner._n_grown < n_rounds + 7
    assert np.array_equal(learner.predict(GAPS), before)
    assert stored.feature_gains() is None if n_rounds == 0 else np.any(stored.feature_gains() > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_model_and_other_seed_another(kind: str) -> None:
    task, n_classes, y = TASKS["binary"]
    random = {"LightGBM": {"feature_fraction": 0.4}, "XGBoost": {"subsample": 0.5}, "CatBoost": {}}[kind]
    train, valid = samples(X, y, kind)
    first, second, other = (
        build(kind, task, n_classes, seed, n_rounds=10, **random).fit(train, valid, budget=Budget()).predict(X)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_deadline_ends_the_growth(kind: str) -> None:
    task, n_classes, y = TASKS["regression"]
    train, _ = samples(X, y, kind)
    start = time.perf_counter()
    learner = build(kind, task, n_classes, learning_rate=1e-4, n_rounds=40_000)
    learner.fit(train, budget=Budget(0.4))
    assert time.perf_counter() - start < 3.0
    assert learner.is_cut_short_
    assert 0 < learner.n_rounds < 40_000
    with pytest.raises(OutOfTime, match=kind):
        build(kind, task, n_classes).fit(train, budget=Budget(0.0))


def test_raw_scores_of_the_graph_are_lightgbms() -> None:
    task, n_classes, y = TASKS["regression"]
    learner = build("LightGBM", task, n_classes, n_rounds=30, cat_smooth=1.0, min_data_per_group=2)
    learner.fit(*samples(GAPS, y), budget=Budget())
    builder = GraphBuilder()
    grown = [boosting_onnx._lightgbm_tree(block, 0) for block in boosting_onnx.lightgbm_blocks(learner)]
    assert len(grown) == learner.n_trees
    assert any(tree.members for tree in grown)
    value = boosting_onnx.emit_sum(builder, builder.input("X", "double", 5), grown, 1)
    builder.output(value, "y", "double", [None, 1])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    rows = np.vstack([X, GAPS, UNKNOWN])
    # What is left is the order in which the trees are added up.
    assert np.abs(session.run(None, {"X": rows})[0] - learner._raw(rows)).max() < 1e-15 * 30


def test_rare_classes_do_not_diverge() -> None:
    rng = np.random.default_rng(3)
    n, n_classes = 3000, 12
    y = rng.choice(n_classes, n, p=np.r_[np.full(2, 0.44), np.full(10, 0.012)])
    rows = np.column_stack([y + rng.normal(0.0, 0.4, n), rng.normal(size=(n, 3))])
    train, valid = Sample(rows[:2000], y[:2000]), Sample(rows[2000:], y[2000:])
    learner = build("LightGBM", Task.MULTICLASS, n_classes, learning_rate=0.1, min_data_in_leaf=20, n_rounds=60)
    learner.fit(train, valid, budget=Budget())
    assert learner.curve_.max() < 1.5
    assert learner.curve_.min() < 0.5


def test_binned_rows_are_shared_and_rebinned_only_when_asked() -> None:
    task, n_classes, y = TASKS["binary"]
    train, valid = samples(X, y)
    for params in ({"min_data_in_leaf": 3}, {"min_data_in_leaf": 30}, {"max_bin": 15}):
        build("LightGBM", task, n_classes, n_rounds=3, **params).fit(train, valid, budget=Budget())
    kept = [key for key in train.cache if key[0] == "lightgbm"]
    assert len(kept) == 2


def test_threads_share_a_sample() -> None:
    task, n_classes, y = TASKS["multiclass"]
    train, valid = samples(X, y)

    def predict(_: int) -> np.ndarray:
        learner = build("LightGBM", task, n_classes, n_rounds=10)
        return np.asarray(learner.fit(train, valid, budget=Budget()).predict(X))

    with ThreadPoolExecutor(4) as pool:
        predictions = list(pool.map(predict, range(8)))
    assert all(np.array_equal(predictions[0], p) for p in predictions)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["regression", "multiclass"])
def test_threads_change_neither_model_nor_prediction(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "_TREES_AT_A_TIME", 10)
    task, n_classes, y = TASKS[name]
    one, two = (
        build(kind, task, n_classes).fit(*samples(GAPS, y, kind), budget=Budget(), n_threads=n_threads)
        for n_threads in (1, 2)
    )
    rows = np.tile(GAPS, (3, 1))
    expected = one.predict(rows)
    assert one.n_trees > 20
    assert all(np.array_equal(expected, m.predict(rows, n_threads)) for m in (one, two) for n_threads in (1, 2, 3))
    assert np.array_equal(expected[:7], one.predict(rows[:7]))


@pytest.mark.parametrize("kind", KINDS)
def test_binning_that_takes_more_than_the_time_left_is_not_begun(kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 5_000))
    sample = Sample(rows, rows[:, 0])
    with pytest.raises(OutOfTime, match=f"{kind} was not begun: to bin 300 rows of 5,000 columns takes about 0.2 s"):
        build(kind, Task.REGRESSION, 1).fit(sample, budget=Budget(0.1))
    assert not [key for key in sample.cache if key[0] == "lightgbm"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_round_that_takes_more_than_the_time_left_is_not_begun(kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(1_000, 2))
    sample = Sample(rows, np.arange(1_000) % 400)
    with pytest.raises(OutOfTime, match=f"{kind} was not begun: a round of 400 trees on 1,000 rows takes about 0.6 s"):
        build(kind, Task.MULTICLASS, 400).fit(sample, budget=Budget(0.3))
    assert not [key for key in sample.cache if key[0] == "lightgbm"]


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "regression"])
def test_ranking_objectives_order_the_rows(objective: str) -> None:
    _, _, y = TASKS["ranking"]
    learner = build("LightGBM", Task.RANKING, 1, objective=objective, n_rounds=30, learning_rate=0.1)
    learner.fit(*samples(X, y), budget=Budget())
    assert learner.curve_ is not None
    assert np.corrcoef(learner.predict(X), y)[0, 1] > 0.6
    assert_same_as_graph(learner, X)


def test_large_and_negative_grades_become_gains() -> None:
    grades = 40.0 * TASKS["ranking"][2] - 20.0
    learner = build("LightGBM", Task.RANKING, 1, n_rounds=5)
    learner.fit(*samples(X, grades), budget=Budget())
    assert learner._ranking_options(samples(X, grades)[0])["label_gain"] == [0.0, 40.0, 80.0]
    small = samples(X, TASKS["ranking"][2] - 1.0)[0]
    assert learner._ranking_options(small)["label_gain"] == [0.0, 1.0, 3.0]
    assert learner._ranking_options(samples(X, grades / 7.0)[0])["objective"] == "regression"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_weight_do_not_count(kind: str) -> None:
    _, _, y = TASKS["binary"]
    weight = np.r_[np.ones(TRAIN - 60), np.zeros(60)]
    flipped = np.r_[y[: TRAIN - 60], 1 - y[TRAIN - 60 : TRAIN]]
    first, second = (
        build(kind, Task.BINARY, 2, n_rounds=10).fit(Sample(X[:TRAIN], t, weight), budget=Budget()).predict(X)
        for t in (y[:TRAIN], flipped)
    )
    assert first == pytest.approx(second, abs=1e-7)


@pytest.mark.parametrize(("growth", "n_waited"), [((0.3, 20), 21), ((0.5, 3), 5), ((10.0, 3), 23)])
def test_watch_waits_for_progress(growth: tuple[float, int], n_waited: int) -> None:
    watch = boosting.Watch(Budget(), 5, growth)
    losses = [1.0, 0.5, *np.full(100, 0.4999999)]
    n_seen = next(i for i, loss in enumerate(losses, start=1) if not watch.goes_on(loss))
    assert n_seen == 2 + n_waited
    assert watch.best == 3


@pytest.mark.parametrize(
    ("is_told", "seconds", "n_expected"),
    # After the first round there must be time for one more, from the second on for two, and to write the model down.
    [(True, 2.0, 1), (True, 2.2, 2), (True, 4.1, 2), (True, 4.3, 3), (False, 0.9, 1), (False, 2.0, 2)],
)
def test_rounds_end_before_the_time_does_and_the_first_one_is_a_guide_where_its_beginning_is_told(
    is_told: bool, seconds: float, n_expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    watch = boosting.Watch(Budget(seconds, started_at=0.0), 5)
    if is_told:
        watch.begins()
    goes_on = True
    while goes_on:
        now += 1.0
        goes_on = watch.goes_on(None)
    assert watch.n_done == n_expected
    assert watch.is_cut_short


@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_vary_if_any_cell_differs_from_the_first_row(order: Any) -> None:
    rows = np.full((20_000, 40), 3.0, order=order)
    rows[:, 1] = np.nan
    assert not boosting._varies(Sample(rows, SIGNAL))
    assert not boosting._varies(Sample(rows[:0], SIGNAL))
    for cell in ((19_999, 39), (0, 0), (9_000, 1)):
        other = rows.copy(order="K")
        other[cell] = 4.0
        assert boosting._varies(Sample(other, SIGNAL))


def test_a_model_of_catboost_holds_nothing_of_the_watched_rows() -> None:
    catboost = pytest.importorskip("catboost")
    learner = build("CatBoost", Task.REGRESSION, 1, n_rounds=8).fit(*samples(X, SIGNAL), budget=Budget())
    with pytest.raises(catboost.CatBoostError, match="without an eval set"):
        learner.model_.get_test_eval()
    assert learner.model_.tree_count_ == 8


def test_rows_of_unknown_classes_are_left_out_and_the_others_let_go() -> None:
    held_out = Made(X[TRAIN:])
    target = TargetCode.learn(Task.MULTICLASS, 3, Sample(X[:TRAIN], np.minimum(CODES[:TRAIN], 1)))
    valid = Sample(held_out, CODES[TRAIN:], np.ones(N - TRAIN))
    known = target.known(valid)
    assert known is not None
    assert not valid._made
    assert np.array_equal(known.X, X[TRAIN:][CODES[TRAIN:] < 2])
    assert 0 < len(known.y) < N - TRAIN


def test_catboost_is_loaded_with_an_allocator_that_gives_memory_back() -> None:
    pytest.importorskip("catboost")
    code = """
import os, sys
os.environ["MIMALLOC_PURGE_DELAY"] = "7"
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "catboost":
            print(os.environ["MIMALLOC_PURGE_DELAY"], os.environ["MIMALLOC_ARENA_PURGE_MULT"])
sys.meta_path.insert(0, Finder())
import pickle
from automl_wf.model_selection import boosting
pickle.loads(sys.stdin.buffer.read())
assert boosting._catboost() is sys.modules["catboost"]
print(os.environ["MIMALLOC_PURGE_DELAY"], "MIMALLOC_ARENA_PURGE_MULT" in os.environ)
"""
    learner = build("CatBoost", Task.REGRESSION, 1, n_rounds=3).fit(Sample(X, SIGNAL), budget=Budget())
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(learner), capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode().split() == ["7", "1", "7", "False"]


def test_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "catboost", None)
    with pytest.raises(MissingDependency, match=r"automl_wf\[boosters\]"):
        boosting.CatBoost(Task.REGRESSION, 1, {}, 0).fit(Sample(X, SIGNAL), budget=Budget())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_printed_or_warned(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    task, n_classes, y = TASKS["multiclass"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = build(kind, task, n_classes, n_rounds=5).fit(*samples(UNKNOWN, y, kind), budget=Budget())
        pickle.loads(pickle.dumps(learner)).predict(UNKNOWN)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_made_once_for_a_fit_if_at_all_and_let_go_while_trees_grow(kind: str) -> None:
    teaching, held_out = Made(X[:TRAIN]), Made(X[TRAIN:])
    caches: tuple[dict[Any, Any], ...] = ({}, {})
    n_made = []
    for _ in range(2):
        train = Sample(teaching, SIGNAL[:TRAIN], cache=caches[0])
        valid = Sample(held_out, SIGNAL[TRAIN:], cache=caches[1])
        learner = build(kind, Task.REGRESSION, 1, n_rounds=20).fit(train, valid, budget=Budget())
        n_made.append((teaching.n_made, held_out.n_made))
        assert not train._made
        assert not valid._made
    # Bins of LightGBM are kept: the second time no row is asked for. The others see single precision alone.
    assert n_made == [(1, 1) if kind == "LightGBM" else (0, 0)] * 2
    given = build(kind, Task.REGRESSION, 1, n_rounds=20)
    given.fit(Sample(X[:TRAIN], SIGNAL[:TRAIN]), Sample(X[TRAIN:], SIGNAL[TRAIN:]), budget=Budget())
    assert np.array_equal(learner.predict(X), given.predict(X))
    assert np.array_equal(train.X, X[:TRAIN])
    assert train.X is train.X


def test_the_first_rounds_of_a_model_in_parts_are_the_model_of_so_many_rounds() -> None:
    train = Sample(X[:TRAIN], CODES[:TRAIN])
    shortened = build("XGBoost", Task.MULTICLASS, 3, n_rounds=200).fit(train, budget=Budget())
    assert len(shortened.boosters_) == 4
    shortened.truncate(95)
    before = shortened.predict(X)
    shortened.settle()
    assert len(shortened.boosters_) == 2
    few = build("XGBoost", Task.MULTICLASS, 3, n_rounds=95).fit(train, budget=Budget())
    assert np.array_equal(shortened.predict(X), before)
    assert np.array_equal(before, few.predict(X))
    assert shortened.n_parameters == few.n_parameters
    assert np.array_equal(shortened.leaves(X), few.leaves(X))
    assert_same_as_graph(shortened, X)


def test_few_rows_and_trees_of_a_model_in_parts_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    train, rows = Sample(X[:TRAIN], CODES[:TRAIN]), np.tile(X, (3, 1))
    whole = build("XGBoost", Task.MULTICLASS, 3, n_rounds=70).fit(train, budget=Budget())
    monkeypatch.setattr(boosting, "_TREES_DESCRIBED", 10_000)
    few = build("XGBoost", Task.MULTICLASS, 3, n_rounds=70).fit(train, budget=Budget())
    assert [t.tobytes() for t in few.leaf_tables_] == [t.tobytes() for t in whole.leaf_tables_]
    assert (few.nodes_per_tree_, few.leaves_per_tree_) == (whole.nodes_per_tree_, whole.leaves_per_tree_)
    assert list(few.trees()) == [{**tree, "id": i % 198} for i, tree in enumerate(whole.trees())]
    taken, original = [], boosting.XGBoost._raw_of_block

    def counted(self: Any, block: Any) -> Any:
        taken.append(len(block))
        return original(self, block)

    monkeypatch.setattr(boosting, "_ROWS_AT_A_TIME", 300)
    monkeypatch.setattr(boosting.XGBoost, "_raw_of_block", counted)
    assert np.array_equal(few.predict(rows), whole.predict(rows))
    assert sum(taken) == 2 * len(rows)
    assert max(taken) <= 300 < len(rows)


@pytest.mark.parametrize("name", ["multiclass", "binary", "regression", "ranking"])
@pytest.mark.parametrize("extra", [{}, {"bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 0.5}])
def test_trees_let_go_while_more_are_grown_leave_the_model_as_it_is(
    name: str, extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, n_classes, y = TASKS[name]
    train, valid = samples(GAPS, y)

    def fitted() -> Any:
        params = {"num_leaves": 7, "min_data_in_leaf": 2, "patience": 1_000, "n_rounds": 330, **extra}
        return build("LightGBM", task, n_classes, **params).fit(train, valid, budget=Budget())

    whole = fitted()
    let_go, original = [], boosting.LightGBM._let_trees_go

    def counted(self: Any, booster: Any) -> int:
        let_go.append(booster.current_iteration())
        return original(self, booster)

    monkeypatch.setattr(boosting, "_GROWING_BYTES", 1)
    monkeypatch.setattr(boosting.LightGBM, "_let_trees_go", counted)
    in_parts = fitted()
    assert let_go
    assert max(let_go) <= in_parts._rounds_per_piece + 1
    assert np.array_equal(in_parts.curve_, whole.curve_)
    assert in_parts.leaves_per_tree_ == whole.leaves_per_tree_
    assert np.array_equal(in_parts.predict(GAPS), whole.predict(GAPS))
    in_parts.truncate(230)
    whole.truncate(230)
    assert np.array_equal(in_parts.predict(GAPS), whole.predict(GAPS))


@pytest.mark.parametrize("looking_back", [{"boosting": "dart"}, {"data_sample_strategy": "goss"}, {"bagging_freq": 3}])
def test_trees_that_later_ones_look_back_at_are_held(
    looking_back: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting, "_GROWING_BYTES", 1)
    monkeypatch.setattr(boosting.LightGBM, "_let_trees_go", lambda self, booster: pytest.fail("let go"))
    params = {"n_rounds": 450, "min_data_in_leaf": 2, "bagging_fraction": 0.9, **looking_back}
    if "data_sample_strategy" in looking_back:
        del params["bagging_fraction"]
    learner = build("LightGBM", Task.REGRESSION, 1, **params).fit(Sample(X, SIGNAL), budget=Budget())
    assert learner.n_rounds == 450
    assert np.isfinite(learner.predict(X)).all()
