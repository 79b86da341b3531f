"""Parts of an exported service by themselves: scores, estimates, feedback, keys, advice, money, traffic."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_wf.core import coerce, drift
from automl_wf.core.metrics import METRICS
from automl_wf.core.tasks import Task

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "package"
Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Import]:
    """Imports a module of the service, as it lies in a package."""
    root = tmp_path_factory.mktemp("package")
    for name in ("api", "monitoring"):
        shutil.copytree(TEMPLATES / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (coerce, drift):
        shutil.copy(str(module.__file__), root / "api")
    sys.path.insert(0, str(root))
    yield importlib.import_module
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("api", "monitoring")]:
        del sys.modules[name]


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def labelled(part: Import, task: Task, n: int = 200, seed: int = 0) -> Any:
    """Made-up predictions with their truth."""
    rng = np.random.default_rng(seed)
    rows = {"query": [f"q{i // 10}" for i in range(n)]}
    if task.is_classification:
        k = 2 if task is Task.BINARY else 4
        shares = rng.dirichlet(np.ones(k), n)
        y = np.array([rng.choice(k, p=share) for share in shares])
        return part("monitoring.performance").Labelled(
            y=y.astype(float), codes=shares.argmax(axis=1).astype(float), shares=shares, **rows
        )
    y = rng.integers(0, 4, n).astype(float) if task is Task.RANKING else rng.normal(size=n)
    values = np.round(y + rng.normal(size=n), 1)
    return part("monitoring.performance").Labelled(y=y, values=values, **rows)


@pytest.mark.parametrize("task", list(Task))
def test_measured_scores_are_those_of_the_model_card(part: Import, task: Task) -> None:
    rows = labelled(part, task)
    found = part("monitoring.performance").measure(rows, task.value)
    assert len(found) >= (1 if task is Task.RANKING else 3)
    y = rows.y.astype(np.int64) if task.is_classification else rows.y
    prediction = rows.shares if task.is_classification else rows.values
    group = np.array([int(query[1:]) for query in rows.query])
    for score in found:
        expected = METRICS[score.name].evaluate(y, prediction, None, group if task is Task.RANKING else None)
        assert score.value == pytest.approx(float(expected), abs=1e-9), score.name


def test_a_few_rows_say_nothing(part: Import) -> None:
    rows = labelled(part, Task.BINARY, n=29)
    assert part("monitoring.performance").measure(rows, "binary") == []
    assert part("monitoring.performance").coverage(rows) is None


def test_standard_errors_are_those_of_repetition(part: Import) -> None:
    measure = part("monitoring.performance").measure
    runs = [{s.name: s for s in measure(labelled(part, Task.BINARY, seed=seed), "binary")} for seed in range(150)]
    for name in ("accuracy", "log_loss", "brier", "roc_auc"):
        spread = np.std([run[name].value for run in runs], ddof=1)
        assert np.mean([run[name].error for run in runs]) == pytest.approx(spread, rel=0.25), name


def test_what_is_estimated_before_any_truth_comes_true(part: Import) -> None:
    performance = part("monitoring.performance")
    rows, estimate = labelled(part, Task.BINARY, n=3000), performance.Estimate()
    for chunk in np.array_split(np.arange(3000), 10):
        estimate.add(rows.codes[chunk].astype(int).tolist(), rows.shares[chunk], 1)
    n, scores = estimate.scores()
    measured = {score.name: score for score in performance.measure(rows, "binary")}
    assert n == 3000
    assert {score.name for score in scores} == {"accuracy", "log_loss", "roc_auc"}
    for score in scores:
        assert abs(score.value - measured[score.name].value) < 4 * measured[score.name].error, score.name


def test_the_expected_area_is_the_one_over_all_pairs(part: Import) -> None:
    performance = part("monitoring.performance")
    p = np.random.default_rng(0).integers(0, 200, 40) / 200 + 1e-6
    estimate = performance.Estimate()
    estimate.add((p >= 0.5).astype(int).tolist(), np.column_stack([1 - p, p]), 1)
    won = pairs = 0.0
    for i in range(40):
        for j in range(40):
            if i != j:
                weight = p[i] * (1 - p[j])
                pairs += weight
                won += weight * (1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0)
    auc = {score.name: score.value for score in estimate.scores()[1]}["roc_auc"]
    assert auc == pytest.approx(won / pairs, abs=1e-9)


def test_coverage_of_intervals_and_sets(part: Import) -> None:
    performance = part("monitoring.performance")
    y = np.arange(40.0)
    bounds = np.column_stack([y - 1, np.where(y < 30, y + 1, y - 0.5)])
    assert performance.coverage(performance.Labelled(y=y, bounds=bounds)).value == 0.75
    in_set = np.tile([True, False], (40, 1))
    assert performance.coverage(performance.Labelled(y=y % 2, in_set=in_set)).value == 0.5


def store_of(part: Import, clock: Clock, path: str = ":memory:", max_rows: int = 100, ttl_s: float = 1000.0) -> Any:
    return part("api.feedback").FeedbackStore(path, max_rows, ttl_s, clock)


def outputs_of(part: Import, codes: list[int]) -> Any:
    shares = np.array([[0.75, 0.25] if code == 0 else [0.25, 0.75] for code in codes])
    return part("api.model").Outputs(codes, shares, None, None, shares > 0.5)


def test_feedback_is_counted_once_and_may_be_completed(part: Import) -> None:
    feedback, clock = part("api.feedback").Feedback, Clock()
    store = store_of(part, clock)
    first, second = store.remember(outputs_of(part, [0, 1]), "v1")

    def status(*said: Any) -> list[str]:
        return [receipt.status for receipt in store.receive(said)]

    assert status(feedback(first, y=1.0), feedback(first, y=1.0)) == ["accepted", "duplicate"]
    assert status(feedback(first, y=0.0)) == ["conflict"]
    assert status(feedback(first, y=1.0, rating=4.0), feedback(first, rating=4.0)) == ["accepted", "duplicate"]
    assert status(feedback(second, rating=1.0), feedback("nonsense", y=1.0)) == ["accepted", "unknown"]
    [receipt] = store.receive([feedback(second, y=0.0, outcomes={"orders": 2.0})])
    assert (receipt.code, receipt.news.y, receipt.news.rating, receipt.news.outcomes) == (1, 0.0, None, {"orders": 2.0})
    rows = store.labelled("v1", 60.0)
    assert sorted(zip(rows.codes.tolist(), rows.y.tolist(), strict=True)) == [(0.0, 1.0), (1.0, 0.0)]
    assert rows.shares.shape == rows.in_set.shape == (2, 2)
    assert len(store.labelled("v2", 60.0).y) == 0
    clock.now += 50.0
    [late] = store.remember(outputs_of(part, [0]), "v1")
    assert status(feedback(late, y=0.0)) == ["accepted"]
    found = store.labelled("v1", 60.0)
    assert (len(found.y), found.n_younger(50.0), found.n_younger(51.0)) == (3, 1, 3)


def test_predictions_are_forgotten_in_time_and_in_number(part: Import) -> None:
    feedback, clock = part("api.feedback").Feedback, Clock()
    store = store_of(part, clock, max_rows=100, ttl_s=1000.0)
    [oldest] = store.remember(outputs_of(part, [0]), "v1")
    for _ in range(20):
        newest = store.remember(outputs_of(part, [0, 1] * 5), "v1")
    assert store.n_waiting() == 100
    assert [r.status for r in store.receive([feedback(oldest, y=0.0), feedback(newest[0], y=0.0)])] == [
        "unknown",
        "accepted",
    ]
    clock.now += 1001.0
    assert [r.status for r in store.receive([feedback(newest[1], y=0.0)])] == ["expired"]
    store.remember(outputs_of(part, [1]), "v1")
    assert store.n_waiting() == 1
    assert len(store.labelled("v1", 60.0).y) == 0


def test_a_file_survives_a_restart_and_may_be_shared(part: Import, tmp_path: Path) -> None:
    feedback, clock, path = part("api.feedback").Feedback, Clock(), str(tmp_path / "feedback.db")
    store, other = store_of(part, clock, path), store_of(part, clock, path)
    [id_] = store.remember(part("api.model").Outputs(None, None, np.array([np.nan]), np.array([[1.0, 2.0]])), "v1")
    store.close()
    assert [r.status for r in other.receive([feedback(id_, y=1.5)])] == ["accepted"]
    rows = other.labelled("v1", 60.0)
    assert rows.values is None
    assert rows.bounds.tolist() == [[1.0, 2.0]]
    other.close()
    Path(path).write_bytes(b"something else, and long enough not to be taken for an empty file" * 20)
    with pytest.raises(
        part("api.start").StartError, match=r"MODEL_FEEDBACK_DB, .*, cannot be used \(file is not a data"
    ):
        store_of(part, clock, path)
    for nowhere in (tmp_path / "no folder" / "feedback.db", tmp_path):
        with pytest.raises(part("api.start").StartError) as refused:
            store_of(part, clock, str(nowhere))
        assert f"MODEL_FEEDBACK_DB, {nowhere}, cannot be used (unable to open database file)" in str(refused.value)


def test_keys_change_with_their_file(part: Import, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys, clock, path = part("api.keys"), Clock(), tmp_path / "keys"

    def write(*names: str) -> None:
        scratch = tmp_path / "scratch"
        scratch.write_text("\n".join(hashlib.sha256(name.encode()).hexdigest() for name in names))
        scratch.replace(path)
        clock.now += 1.5

    def admitted() -> list[str]:
        return [name for name in ("one", "two", "fixed") if ring.admits(name.encode())]

    write("one")
    environ = {"MODEL_API_KEY_FILE": str(path), "MODEL_API_KEY_HASHES": hashlib.sha256(b"fixed").hexdigest()}
    ring = keys.Keys(environ, clock)
    assert admitted() == ["one", "fixed"]
    write("one", "two")
    assert admitted() == ["one", "two", "fixed"]
    write("two")
    assert admitted() == ["two", "fixed"]
    path.write_text("no hash")
    clock.now += 1.5
    assert admitted() == ["two", "fixed"]
    path.unlink()
    clock.now += 1.5
    assert admitted() == ["two", "fixed"]
    write()
    assert admitted() == ["two", "fixed"]
    assert not ring.admits(None)
    assert (ring.n_keys, caplog.messages.count("the keys stay as they were")) == (2, 3)
    assert "no hash any more" in caplog.records[-1].__dict__["fields"]["reason"]
    write("one")
    assert admitted() == ["one", "fixed"]


@pytest.mark.parametrize("emptied", ["", "# nobody\n"])
def test_an_emptied_file_opens_the_service_to_nobody(part: Import, tmp_path: Path, emptied: str) -> None:
    keys, clock, path = part("api.keys"), Clock(), tmp_path / "keys"
    environ = {"MODEL_API_KEY_FILE": str(path), "MODEL_ALLOW_ANONYMOUS": "1"}
    path.write_text("")
    ring = keys.Keys(environ, clock)
    assert (ring.admits(None), ring.admits_everybody) == (True, True)
    for content in (hashlib.sha256(b"one").hexdigest(), emptied):
        path.write_text(content)
        clock.now += 1.5
        assert [ring.admits(key) for key in (b"one", b"two", b"", None)] == [True, False, False, False]
        assert (ring.n_keys, ring.admits_everybody) == (1, False)
    assert keys.Keys({"MODEL_ALLOW_ANONYMOUS": "1"}, clock).admits(None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0"])
def test_any_address_of_the_machine_may_be_listened_on(part: Import, host: str) -> None:
    listening = part("api.listening")
    try:
        opened = listening.listen(host, 0)
    except part("api.start").StartError as error:
        assert host == "::1"
        pytest.skip(f"no IPv6 here: {error}")
    for each in opened:
        with socket.create_connection(each.getsockname()[:2]), each.accept()[0]:
            pass
    [address, *_] = [each.getsockname()[:2] for each in opened]
    with pytest.raises(part("api.start").StartError, match=f"MODEL_PORT {address[1]} .*in use"):
        listening.listen(*address)
    for each in opened:
        each.close()
    # A service that has just ended keeps nobody from its port
    [again, *_] = listening.listen(*address)
    again.close()


def test_an_empty_key_is_none(part: Import, tmp_path: Path) -> None:
    keys, of_nothing = part("api.keys"), hashlib.sha256(b"").hexdigest()
    for settings in ({"MODEL_API_KEY_HASHES": of_nothing}, {"MODEL_API_KEY_HASHES": f"{'0' * 64},{of_nothing}"}):
        with pytest.raises(part("api.start").StartError, match="empty key"):
            keys.Keys(settings)
    path, clock = tmp_path / "keys", Clock()
    path.write_text(hashlib.sha256(b"good").hexdigest())
    known = keys.Keys({"MODEL_API_KEY_FILE": str(path)}, clock)
    path.write_text(of_nothing)
    clock.now += 2
    assert [known.admits(key) for key in (b"", None, b"good")] == [False, False, True]


def test_where_a_key_may_stand(part: Import) -> None:
    key_of = part("api.keys").key_of
    assert key_of({b"x-api-key": b"k", b"authorization": b"Bearer other"}, may_be_basic=False) == b"k"
    assert key_of({b"authorization": b"bearer k"}, may_be_basic=False) == b"k"
    log_in = {b"authorization": b"Basic YW55Ym9keTprOjI="}
    assert key_of(log_in, may_be_basic=True) == b"k:2"
    assert key_of(log_in, may_be_basic=False) is None
    assert key_of({b"authorization": b"Basic %%%"}, may_be_basic=True) is None
    assert key_of({}, may_be_basic=True) is None


def advise(part: Import, **changes: Any) -> dict[str, Any]:
    score = part("monitoring.performance").Score
    figures = part("monitoring.metrics").DriftFigures
    known: dict[str, Any] = {
        "reference": {"accuracy": 0.9, "log_loss": 0.3},
        "reference_errors": {"accuracy": 0.01},
        "measured": [score("accuracy", 0.89, 0.01), score("log_loss", 0.31, 0.02)],
        "n_measured": 500,
        "n_of_the_hour": 500,
        "coverage": score("coverage", 0.94, 0.01),
        "confidence": 0.95,
        "estimated": [score("accuracy", 0.88)],
        "drift": figures({"x": (0.05, 0.01)}, (0.02, 0.01), 1000),
        "limits": {},
    }
    found: dict[str, Any] = part("monitoring.advice").advise(**(known | changes))
    return found


def test_advice_follows_from_figures(part: Import) -> None:
    score = part("monitoring.performance").Score
    figures = part("monitoring.metrics").DriftFigures
    drifted = figures({"x": (0.5, 0.01)}, (0.4, 0.01), 1000)
    assert advise(part)["advice"] == "none"
    fell = advise(part, measured=[score("accuracy", 0.8, 0.01)])
    assert (fell["advice"], [r["code"] for r in fell["reasons"]]) == ("retrain", ["score_fell"])
    assert fell["reasons"][0]["figures"]["measured"] == 0.8
    assert advise(part, measured=[score("log_loss", 0.5, 0.01)])["advice"] == "retrain"
    assert advise(part, measured=[score("log_loss", 0.1, 0.01)])["advice"] == "none"
    assert advise(part, coverage=score("coverage", 0.8, 0.01))["reasons"][0]["code"] == "coverage_fell"
    assert advise(part, measured=[score("accuracy", 0.8, 0.01)], n_measured=99)["advice"] == "none"
    watched = advise(part, drift=drifted)
    assert (watched["advice"], len(watched["reasons"])) == ("watch", 2)
    assert advise(part, drift=drifted, n_measured=0, n_of_the_hour=0, measured=[])["advice"] == "retrain"
    older = advise(part, drift=drifted, n_of_the_hour=99)
    assert older["advice"] == "retrain", "truths from before the drift say nothing of it"
    assert older["looked_at"] == {"labelled_rows": 500, "labelled_rows_of_the_hour": 99, "drift_rows": 1000}
    assert advise(part, drift=figures({"x": (0.5, 0.01)}, None, 199), n_of_the_hour=0)["advice"] == "none"
    wide = {"drift": {"x": 0.6}, "prediction_drift": 0.2}
    assert [r["code"] for r in advise(part, drift=drifted, limits=wide)["reasons"]] == ["prediction_drift"]
    assert advise(part, drift=drifted, limits={"drift": {"x": 0.3}, "prediction_drift": 0.5})["reasons"] == [
        {
            "code": "feature_drift",
            "detail": "x is distributed otherwise than in training",
            "figures": {"feature": "x", "excess_psi": 0.49, "limit": 0.3},
        }
    ]
    assert advise(part, estimated=[score("accuracy", 0.8)])["advice"] == "watch"
    many = advise(part, drift=figures({f"x{i}": (0.5, 0.01) for i in range(13)}, None, 1000))["reasons"]
    assert [r["code"] for r in many] == 10 * ["feature_drift"] + ["more_feature_drift"]
    assert many[-1]["detail"].startswith("and 3 more")


def test_money_is_counted_as_it_was_named(part: Import) -> None:
    worth = part("monitoring.business").Worth
    config = {
        "task": "binary",
        "positive": 1,
        "business": {"currency": "EUR", "cost_matrix": [[0, 1], [5, -2]], "revenue_per_unit": 2, "custom_kpis": ["k"]},
    }
    binary = worth.of(config, ("more", "k"))
    assert [binary.error(*pair) for pair in ((1, 0), (0, 1), (1, 1))] == ["fp", "fn", None]
    assert (binary.cost(1, 0), binary.cost(0, 1), binary.cost(1, 1)) == (1.0, 5.0, 0.0)
    assert (binary.earned(1, 1), binary.earned(0, 0)) == (2, None)
    assert (binary.counted, binary.priced, binary.kpis) == (("k", "more", "revenue"), ("fp", "fn"), ("k", "more"))
    values = worth.of({"task": "regression", "business": {"cost_per_unit_over": 2.0, "cost_per_unit_under": 3.0}})
    assert (values.cost_of_value(5.0, 4.0), values.cost_of_value(4.0, 5.0)) == (("over", 2.0), ("under", 3.0))
    nothing = worth.of({"task": "binary", "business": None})
    assert (nothing.counted, nothing.priced, nothing.cost(1, 0), nothing.earned(1, 1)) == ((), (), None, None)


def test_traffic_never_grows(part: Import) -> None:
    clock = Clock()
    traffic = part("monitoring.traffic").Traffic(clock)
    for i in range(10_000):
        clock.now += 1.0
        traffic.add(200 if i % 10 else 503, 0.002)
    found = traffic.summary()
    assert len(found["per_minute"]) == 60
    assert found["requests"] == pytest.approx(3600, abs=60)
    assert found["failed"] == pytest.approx(360, abs=6)
    assert found["latency_ms"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert len(traffic._latest) <= 4096


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MODEL_ADAPTERS", "v3"),
        ("MODEL_FEEDBACK_MAX", "0"),
        ("MODEL_FEEDBACK_TTL_S", "a day"),
        ("MODEL_MAX_WAITING", "-1"),
        ("MODEL_PORT", "65536"),
        ("MODEL_PORT", "http"),
        ("MODEL_LOG_LEVEL", "chatty"),
        ("MODEL_KPIS", ",".join(map(str, range(21)))),
    ],
)
def test_settings_that_cannot_be_used_are_named(part: Import, name: str, text: str) -> None:
    with pytest.raises(part("api.start").StartError, match=name):
        part("api.settings").Settings.read({name: text})


def sound_config() -> dict[str, Any]:
    """A config.json in which everything is there that may be."""
    column = {"input": "f", "kind": "numeric", "edge": "double", "cell_format": None, "is_used": True, "example": 1.5}
    return {
        "format": 1,
        "name": "tiny",
        "version": "1",
        "task": "binary",
        "layout": "frame",
        "columns": [{"name": "x", **column}, {"name": "city", **column, "kind": "categorical", "edge": "string"}],
        "tensor": None,
        "outputs": {"label": "label", "probabilities": "probabilities"},
        "classes": ["no", "yes"],
        "threshold": 0.5,
        "on_unknown": "warn",
        "categories": {"city": ["oslo"]},
        "limits": {"max_body_bytes": 1, "max_rows": 1, "max_string_length": 1, "max_seconds_per_row": 0.5},
        "rules": {"double": "a number"},
        "drift": {
            "features": {
                "x": {"kind": "numeric", "edges": [0.0, 0.5, 1], "counts": [0, 1, 2, 3, 4]},
                "city": {"kind": "categorical", "levels": ["oslo"], "counts": [1, 0, 0], "fold_excess": 0.1},
            },
            "prediction": {"kind": "numeric", "edges": [0, 1], "counts": [0, 5, 0, 0]},
        },
        "thresholds": {
            "drift": {"x": 0.2},
            "prediction_drift": 0.2,
            "performance": {"accuracy": {"limit": 0.5, "greater_is_better": True}},
            "seconds_per_row": None,
        },
        "positive": 1,
        "business": {
            "currency": "EUR",
            "cost_matrix": [[0, 1], [2.5, 0]],
            "custom_kpis": ["a"],
            "columns": {"clicks": "c"},
        },
        "reference_metrics": {"accuracy": 0.5, "log_loss": "inf", "f1": None},
        "reference_errors": {"accuracy": 0.1},
        "background": {"cells": {"x": [1.0, None], "city": ["Oslo", None]}},
        "self_test": {"row": {"x": 1.0}, "expected": {"label": "no", "probabilities": {"no": 0.5, "yes": 0.5}}},
        "model_sha256": "0" * 64,
    }


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("name", None, '"name" must be text. Got null instead'),
        ("task", "guess", '"task" must be one of binary,'),
        ("task", "regression", '"classes" must be a list where the task is'),
        ("layout", "array", '"tensor" must be text where layout is array'),
        ("columns", {}, '"columns" must be a list. Got an object'),
        ("columns.0.kind", "texty", '"columns[0].kind" must be one of numeric, boolean'),
        ("columns.0.edge", "float", '"columns[0].edge" must be one of double'),
        ("columns.0.is_used", 1, '"columns[0].is_used" must be true or false. Got 1'),
        ("columns.1.name", "x", '"columns[1].name" must be another one'),
        ("columns.1", 5, '"columns[1]" must hold cell_format'),
        ("outputs.label", 5, '"outputs.label" must be text'),
        ("classes", ["no", "no"], '"classes" must be a list of texts, numbers'),
        ("classes", ["no"], '"classes" must hold two entries. Got 1'),
        ("classes", ["a", "b", "c"], '"classes" must hold two entries. Got 3'),
        ("threshold", "high", '"threshold" must be a number, a list'),
        ("on_unknown", "explode", '"on_unknown" must be one of ignore'),
        ("categories.city", 5, '"categories.city" must be a list of texts. Got 5'),
        ("limits.max_rows", True, '"limits.max_rows" must be a whole number from 1. Got true'),
        ("rules.double", 5, '"rules.double" must be text'),
        ("drift.features", None, '"drift.features" must be an object'),
        ("drift.features.x", {"kind": "numeric"}, '"drift.features.x.edges" must be a list of two'),
        ("drift.features.x.edges", [0, 2, 1], '"drift.features.x.edges" must be a list of two'),
        ("drift.features.x.counts", [1, 2], '"drift.features.x.counts" must be a list of 5 whole'),
        ("drift.features.x.counts", [1, 2, 3, 4, -1], '"drift.features.x.counts" must be a list of 5 whole'),
        ("drift.features.city.kind", "numeric", '"drift.features.city.edges" must be'),
        ("drift.features.city.levels", ["a", "a"], '"drift.features.city.levels" must be a list of texts that'),
        ("drift.features.city.counts", [1], '"drift.features.city.counts" must be a list of 3 whole'),
        ("columns.0.edge", "string", '"drift.features.x.kind" must be categorical'),
        ("drift.prediction", [], '"drift.prediction" must be an object whose kind'),
        ("thresholds", [], '"thresholds" must be an object'),
        ("thresholds.drift", [], '"thresholds.drift" must be an object'),
        ("thresholds.drift.x", "x", '"thresholds.drift.x" must be a number. Got "x"'),
        ("thresholds.drift.a\nb", 10**400, r'"thresholds.drift.a\nb" must be a number. Got 1000'),
        ("thresholds.prediction_drift", "x", '"thresholds.prediction_drift" must be a number or null'),
        ("thresholds.performance.accuracy", 5, '"thresholds.performance.accuracy" must be an object that holds limit'),
        ("thresholds.performance.accuracy.greater_is_better", None, 'greater_is_better" must be true or false'),
        ("positive", 7, '"positive" must be a position in classes, from 0 to 1. Got 7'),
        ("positive", "yes", '"positive" must be a whole number. Got "yes"'),
        ("business.cost_matrix", [[0, 1]], '"business.cost_matrix" must be 2 lists of 2 numbers'),
        ("business.revenue_per_unit", "much", '"business.revenue_per_unit" must be a number'),
        ("business.custom_kpis", "abc", '"business.custom_kpis" must be a list of texts'),
        ("reference_metrics.accuracy", "a", '"reference_metrics.accuracy" must be a number or null'),
        ("reference_errors.accuracy", "a", '"reference_errors.accuracy" must be a number'),
        ("background.cells.city", ["Oslo"], '"background.cells.city" must be a list of 2 cells'),
        ("background.cells", 5, '"background.cells" must be an object'),
        ("self_test.row", None, '"self_test" must hold row and expected, both objects'),
        ("self_test.expected", {"prediction": 1}, '"self_test.expected" must hold label and probabilities'),
        ("model_sha256", 5, '"model_sha256" must be text or null'),
    ],
)
def test_a_config_that_was_edited_wrongly_is_told_with_its_place(
    part: Import, place: str, value: Any, words: str
) -> None:
    find_wrong, config = part("api.members").find_wrong, sound_config()
    assert find_wrong(config) is None
    *path, last = [int(word) if word.isdigit() else word for word in place.split(".")]
    target: Any = config
    for key in path:
        target = target[key]
    target[last] = value
    found = find_wrong(config)
    assert found is not None
    assert words in found
    assert "\n" not in found


def test_labels_of_a_tensor_have_the_type_of_the_classes(part: Import) -> None:
    label_type = part("api.adapters")._label_type
    kinds = [label_type(classes) for classes in ([False, True], [1, 2], [1, 2.5], ["a", "b"], [None, "b"])]
    assert kinds == ["BOOL", "INT64", "FP64", "BYTES", "BYTES"]


def answered(part: Import, cells: Any) -> Any:
    """One request to a regression model that takes one column, answered."""
    outputs = part("api.model").Outputs(None, None, np.zeros(len(cells)))
    values = {"a": np.asarray(cells, dtype=float)}
    return part("monitoring.backlog").Answered(values, {}, outputs, [], "1", "champion", 0.001)


def test_what_is_set_aside_is_counted_once_enough_has_come_or_somebody_asks(part: Import) -> None:
    backlog, clock, counted = part("monitoring.backlog"), Clock(), []
    aside = backlog.Backlog(clock)
    aside.subscribe(lambda requests: counted.append(len(requests)))
    aside.add(answered(part, [1.0]))
    assert counted == []
    assert list(aside.collect()) == []
    assert counted == [1], "whoever reads has it counted"
    for _ in range(backlog.MAX_REQUESTS):
        aside.add(answered(part, [1.0]))
    assert counted[1:] == [backlog.MAX_REQUESTS]
    aside.add(answered(part, np.zeros(backlog.MAX_ROWS)))
    assert counted[2:] == [1], "many rows are counted at once"
    aside.add(answered(part, [1.0]))
    clock.now += backlog.MAX_S
    aside.add(answered(part, [1.0]))
    assert counted[3:] == [2], "nothing waits for long while requests come in"
    aside.settle()
    assert counted[4:] == [], "nothing is counted twice"


def test_counts_that_fail_cost_no_request_and_the_log_says_so(part: Import, caplog: pytest.LogCaptureFixture) -> None:
    aside, counted = part("monitoring.backlog").Backlog(), []
    aside.subscribe(lambda requests: 1 / 0)
    aside.subscribe(lambda requests: counted.append(len(requests)))
    aside.add(answered(part, [1.0]))
    aside.settle()
    assert counted == [1]
    assert [record.message for record in caplog.records] == ["predictions were not counted"]


def test_requests_are_counted_together_as_they_are_one_by_one(part: Import) -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(size=400)
    cells[::7] = np.nan
    config = {
        "name": "m",
        "version": "1",
        "task": "regression",
        "reference_metrics": {},
        "columns": [{"name": "a", "is_used": True}],
        "drift": {
            "features": {"a": drift.numeric_reference(rng.normal(size=500))},
            "prediction": drift.numeric_reference(np.zeros(500)),
        },
        "thresholds": {},
    }
    seen = []
    for is_one_by_one in (False, True):
        metrics = part("monitoring.metrics").Metrics(config, n_threads=1)
        for start in range(0, 400, 4):
            metrics.observe_prediction(answered(part, cells[start : start + 4]))
            if is_one_by_one:
                metrics.backlog.settle()
        seen.append([line for line in metrics.render()[0].decode().splitlines() if line.startswith("model_")])
    assert seen[0] == seen[1]
    assert 'model_feature_values_total{feature="a"} 400.0' in seen[0]
    assert f'model_feature_missing_total{{feature="a"}} {np.isnan(cells).sum():.1f}' in seen[0]
    assert "model_drift_window_rows 400.0" in seen[0]


@pytest.mark.parametrize("text", ["1e400", "NaN", "[-Infinity]", "1180591620717411303424", '{"a": "\\ud800"}', "0.1"])
def test_the_quick_reader_of_json_reads_what_the_usual_one_reads(part: Import, text: str) -> None:
    assert repr(part("api.schemas").parse(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"nul"])
def test_what_is_no_json_is_refused(part: Import, body: bytes) -> None:
    with pytest.raises(part("api.problems").Problem) as refused:
        part("api.schemas").parse(body)
    assert refused.value.status == 400


def test_what_a_request_will_take_is_learnt_from_the_large_ones(part: Import) -> None:
    predictions = part("api.predictions")
    model = SimpleNamespace(n_threads=1, row_s=0.001)
    serving, monitor = SimpleNamespace(model=model), SimpleNamespace(metrics=None)
    found = predictions.Predictions(serving, monitor, None, max_waiting=1, always_ids=False)
    small, large = predictions.SMALL_BODY, 10 * predictions.SMALL_BODY
    assert found._forecast_s(small, model) == 0.001
    assert found._forecast_s(large, model) == np.inf, "the first large one is answered in a thread"
    found._learn(large, 0.003, model)
    assert found._forecast_s(large, model) == pytest.approx(0.003)
    assert found._forecast_s(5 * large, model) == pytest.approx(0.011)
    found._learn(small, 1.0, model)
    assert found._forecast_s(large, model) == pytest.approx(0.003), "a small one says nothing of large ones"
    for _ in range(100):
        found._learn(large, 0.021, model)
    assert found._forecast_s(large, model) == pytest.approx(0.021, rel=1e-3)
