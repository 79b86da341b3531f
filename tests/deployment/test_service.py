"""The static files of an exported package, run for real: a hand-made graph behind uvicorn, spoken to over HTTP."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_wf.core import coerce, drift
from automl_wf.core.graph import GraphBuilder
from automl_wf.deployment.render import render

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "package"
KEY = "correct horse"
#: A column name that would do harm if it were ever taken for code, markup, a template or a query.
NAME = "{{ 7 * 7 }} \"}'; <b>|`$(id)` 東京"
SIZING = {
    "cpu": "1",
    "memory_request": "192Mi",
    "memory_limit": "384Mi",
    "peak_mib": 120,
    "rows_per_s": 9000,
    "requests_per_s": 800,
    "image_tag": "1.2.3",
}
EXAMPLE = {NAME: 1.5, "city": "Oslo", "when": "2024-02-29T12:00:00"}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def expected_share(x: float | None, city: str) -> float:
    """Probability of class True by hand: weights 2 for x (0 where missing), 1 for Oslo, -1 for Rome."""
    return sigmoid(2 * (x or 0.0) + {"oslo": 1.0, "rome": -1.0}.get(city.lower(), 0.0))


def classifier() -> GraphBuilder:
    """x double, city string, when int64 → label int64, probabilities."""
    g = GraphBuilder()
    x, city, when = g.input("f0", "double"), g.input("city", "string"), g.input("when", "int64")
    x = g.op("Where", g.op("IsNaN", x), g.constant([[0.0]]), x)
    codes = {
        "keys_tensor": np.array(["oslo", "rome"], dtype=object),
        "values_tensor": np.array([1.0, -1.0]),
        "default_tensor": np.array([0.0]),
    }
    weight = g.op("LabelEncoder", city, domain="ai.onnx.ml", **codes)
    nothing = g.op("Mul", g.cast(when, "double"), g.constant([[0.0]]))
    score = g.op("Add", g.op("Add", g.op("Mul", x, g.constant([[2.0]])), weight), nothing)
    share = g.op("Sigmoid", score)
    g.output(g.concat([g.op("Sub", g.constant([[1.0]]), share), share]), "probabilities", "double", [None, 2])
    is_yes = g.op("GreaterOrEqual", share, g.constant([[0.5]]))
    g.output(g.op("Reshape", g.cast(is_yes, "int64"), g.constant([-1])), "label", "int64", [None])
    shares = g.concat([g.op("Sub", g.constant([[1.0]]), share), share])
    g.output(g.op("GreaterOrEqual", shares, g.constant(0.25)), "in_set", "bool", [None, 2])
    return g


def regressor() -> GraphBuilder:
    """X double of two columns → prediction: their sum, NaN where one is missing."""
    g = GraphBuilder()
    total = g.op("ReduceSum", g.input("X", "double", 2), g.constant([1]), keepdims=1)
    g.output(total, "prediction", "double", [None, 1])
    flat = g.op("Reshape", total, g.constant([-1]))
    g.output(g.op("Sub", flat, g.constant(2.0)), "lower", "double", [None])
    g.output(g.op("Add", flat, g.constant(2.0)), "upper", "double", [None])
    return g


def column(name: str, input_name: str, kind: str, edge: str, example: Any, is_used: bool = True) -> dict[str, Any]:
    keys = ("name", "input", "kind", "edge", "cell_format", "is_used", "example")
    return dict(zip(keys, (name, input_name, kind, edge, None, is_used, example), strict=True))


def base_config() -> dict[str, Any]:
    return {
        "format": 1,
        "name": "tiny",
        "version": "1.2.3",
        "threshold": None,
        "on_unknown": "ignore",
        "tensor": None,
        "limits": {
            "max_body_bytes": 100_000,
            "max_rows": 500,
            "max_string_length": 64,
            "max_seconds_per_row": 1.0,
        },
        "rules": {"double": "a number", "string": "text", "int64": "ISO 8601"},
        "reference_metrics": {"roc_auc": 0.75, "accuracy": 0.9, "log_loss": None},
        "thresholds": {
            "drift": {NAME: 0.3, "city": 0.2, "x0": 0.2, "not watched": 0.2},
            "prediction_drift": 0.2,
            "performance": {
                "roc_auc": {"limit": 0.7, "greater_is_better": True},
                "log_loss": {"limit": 0.6, "greater_is_better": False},
            },
            "seconds_per_row": 1.0,
        },
    }


def classifier_config() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shares = np.array([expected_share(x, "") for x in rng.normal(size=1000)])
    share = expected_share(1.5, "oslo")
    return base_config() | {
        "task": "binary",
        "layout": "frame",
        "columns": [
            column(NAME, "f0", "numeric", "double", 1.5),
            column("city", "city", "categorical", "string", "Oslo"),
            column("constant", "constant", "numeric", "double", 1.0, is_used=False),
            column("when", "when", "datetime", "int64", "2024-02-29T12:00:00"),
        ],
        "outputs": {"label": "label", "probabilities": "probabilities"},
        "classes": [False, True],
        "categories": {"city": ["oslo", "rome"]},
        "background": {
            "cells": {
                NAME: [0.0, 0.5, -1.0, None],
                "city": ["Oslo", "Rome", "Rome", None],
                "when": ["2024-01-01", "2024-06-01", None, "2020-01-01"],
            }
        },
        "drift": {
            "features": {
                NAME: drift.numeric_reference(np.random.default_rng(1).normal(size=1000)),
                "city": drift.categorical_reference(["oslo"] * 600 + ["rome"] * 400),
            },
            "prediction": drift.numeric_reference(shares),
        },
        "self_test": {
            "row": EXAMPLE,
            "expected": {"label": True, "probabilities": {"false": 1 - share, "true": share}},
        },
    }


def regressor_config() -> dict[str, Any]:
    numbers = np.linspace(0, 1, 100)
    return base_config() | {
        "task": "regression",
        "layout": "array",
        "tensor": "X",
        "columns": [column("x0", "x0", "numeric", "double", 0.25), column("x1", "x1", "numeric", "double", 0.5)],
        "outputs": {"prediction": "prediction"},
        "classes": None,
        "categories": {},
        "drift": {
            "features": {"x0": drift.numeric_reference(numbers)},
            "prediction": drift.numeric_reference(2 * numbers),
        },
        "self_test": {"row": {"x0": 0.25, "x1": 0.5}, "expected": {"prediction": 0.75}},
    }


def page_context(config: dict[str, Any]) -> dict[str, Any]:
    facts = {
        "name": config["name"],
        "version": config["version"],
        "created": "2024-01-01",
        "sizes": {"model_onnx_bytes": 1234},
        "latency": {"one_row_ms": 0.5, "thousand_rows_ms": None},
        "sizing": SIZING,
        "python": "3.12.1",
        "has_intervals": True,
    }
    pins = [("fastapi", "0.1"), ("numpy", "2.0")]
    return {
        "config": config,
        "facts": facts,
        "serving_requirements": pins,
        "testing_requirements": [("pytest", "9.0")],
        "training_requirements": pins,
    }


def write_package(root: Path, graph: GraphBuilder, config: dict[str, Any], predictions: Callable[..., Any]) -> Path:
    """The whole tree, as export would write it."""
    shutil.copytree(TEMPLATES, root, ignore=shutil.ignore_patterns("__pycache__", "*.jinja"))
    for path in TEMPLATES.rglob("*.jinja"):
        source = path.relative_to(TEMPLATES)
        page = render(f"package/{source.as_posix()}", page_context(config))
        (root / source.with_suffix("")).write_text(page, encoding="utf-8")
    for module in (coerce, drift):
        shutil.copy(str(module.__file__), root / "api")
    (root / "model").mkdir()
    (root / "tests" / "test_data").mkdir()
    (root / "model" / "model.onnx").write_bytes(graph.model().SerializeToString())
    rows = [{**config["self_test"]["row"]} for _ in range(3)]
    rows[1] = dict.fromkeys(rows[1])
    for name, content in [
        ("model/config.json", config),
        ("model/metadata.json", {"n_rows": 1000}),
        ("tests/test_data/samples.json", {"rows": rows}),
        ("tests/test_data/expected.json", {"predictions": [predictions(row) for row in rows]}),
    ]:
        (root / name).write_text(json.dumps(content), encoding="utf-8")
    return root


def worded(row: dict[str, Any]) -> dict[str, Any]:
    share = expected_share(row[NAME], row["city"] or "")
    return {"label": share >= 0.5, "probabilities": {"false": 1 - share, "true": share}}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("a") / "model package", classifier(), classifier_config(), worded)


@dataclass
class Service:
    """A running service and what it writes."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def call(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        usual = {"X-API-Key": KEY, "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, content, {**usual, **named})
        response = connection.getresponse()
        text, kept = response.read(), {k.lower(): v for k, v in response.getheaders()}
        connection.close()
        return response.status, json.loads(text) if "json" in kept["content-type"] else text.decode(), kept

    def predict(self, *rows: dict[str, Any], **headers: str) -> Any:
        return self.call("/v1/predict", {"rows": list(rows)}, **headers)[1]

    def samples(self) -> dict[str, float]:
        lines = self.call("/metrics")[1].splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MODEL_") and k != "PYTHONPATH"}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "MODEL_THREADS": "1", **more}


def start(root: Path, log: Path, *command: str, **settings: str) -> Service:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = {"MODEL_API_KEY_HASHES": hashlib.sha256(KEY.encode()).hexdigest(), "MODEL_PORT": str(port)}
    keys["MODEL_ADAPTERS"] = "v2,mlflow"
    arguments = [part.format(port=port) for part in command or ("-m", "api")]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=root,
            env=environment(**{**keys, **settings}),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    service = Service(port, log, process)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            service.call("/healthz")
        except OSError:
            time.sleep(0.05)
        else:
            return service
    process.kill()
    process.wait()
    pytest.fail(f"the service did not start:\n{log.read_text()}")


def stop(service: Service) -> None:
    service.process.terminate()
    service.process.wait(timeout=30)


@pytest.fixture(scope="module")
def service(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start(package, tmp_path_factory.mktemp("log") / "log.jsonl")
    yield running
    stop(running)


@pytest.fixture
def with_config(tmp_path: Path, package: Path) -> Iterator[Callable[..., Service]]:
    """Starts a copy of the package with another configuration."""
    running = []

    def begin(change: dict[str, Any] | None = None, *command: str, **settings: str) -> Service:
        root = tmp_path / "copy"
        shutil.copytree(package, root)
        (root / "model" / "config.json").write_text(json.dumps(classifier_config() | (change or {})), encoding="utf-8")
        running.append(start(root, tmp_path / "log.jsonl", *command, **settings))
        return running[-1]

    yield begin
    for each in running:
        stop(each)


def test_a_prediction_by_hand(service: Service) -> None:
    status, answer, _ = service.call("/v1/predict", {"rows": [{NAME: -0.25, "city": "  ROME ", "when": None}]})
    share = expected_share(-0.25, "rome")
    assert status == 200
    assert (answer["model"], answer["version"], answer["warnings"]) == ("tiny", "1.2.3", [])
    [prediction] = answer["predictions"]
    assert prediction["label"] is False
    assert prediction["probabilities"] == pytest.approx({"false": 1 - share, "true": share}, abs=1e-12)


def test_numbers_and_booleans_as_text_are_read_by_the_edge(service: Service) -> None:
    same = [{**EXAMPLE, NAME: cell} for cell in (1, 1.0, True, "1", " 1e0 ", "yes")]
    predictions = service.predict(*same)["predictions"]
    assert predictions == [predictions[0]] * len(same)


def test_a_column_that_is_not_used_may_be_sent_and_is_not_read(service: Service) -> None:
    answer = service.predict({**EXAMPLE, "constant": ["anything"]})
    assert answer["warnings"] == []
    assert len(answer["predictions"]) == 1


def test_infinity_is_missing_and_says_so(service: Service) -> None:
    body = json.dumps({"rows": [EXAMPLE, {**EXAMPLE, NAME: math.inf}]}).encode()
    _, answer, _ = service.call("/v1/predict", body)
    share = answer["predictions"][1]["probabilities"]["true"]
    assert share == pytest.approx(expected_share(None, "oslo"), abs=1e-12)
    assert [(w["code"], w["column"], w["rows"]) for w in answer["warnings"]] == [("infinity", NAME, [1])]


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ({NAME: "secret"}, (NAME, 1, "invalid_value")),
        ({NAME: 10**400}, (NAME, 1, "invalid_value")),
        ({NAME: {"secret": 1}}, (NAME, 1, "invalid_value")),
        ({"when": "secret"}, ("when", 1, "invalid_value")),
        ({"when": 1700000000}, ("when", 1, "invalid_value")),
        ({"city": ["secret"]}, ("city", 1, "invalid_value")),
        ({"city": "secret" * 11}, ("city", 1, "text_too_long")),
        ({"city": "secret\ud800"}, ("city", 1, "invalid_value")),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_and_not_repeated(
    service: Service, cells: dict[str, Any], place: tuple[str, int, str]
) -> None:
    status, problem, headers = service.call("/v1/predict", {"rows": [EXAMPLE, {**EXAMPLE, **cells}]})
    assert (status, headers["content-type"]) == (422, "application/problem+json")
    assert [(e["column"], e["row"], e["code"]) for e in problem["errors"]] == [place]
    assert "secret" not in json.dumps(problem)
    assert "secret" not in service.log.read_text()


def test_a_whole_number_of_hundreds_of_digits_is_refused_as_the_guide_says(package: Path, service: Service) -> None:
    guide = " ".join((package / "docs/api_guide.md").read_text().split())
    assert "whole number beyond the doubles (from 1.8e308) that is written out in digits is refused (422" in guide
    for digits, status in (("1" * 308, 200), ("2" * 309, 422), ("9" * 400, 422), ("1e999", 200)):
        body = json.dumps({"rows": [{**EXAMPLE, NAME: -12345}]}).replace("-12345", digits)
        found, answer, _ = service.call("/v1/predict", body.encode())
        assert found == status, digits
        if status == 422:
            assert [(e["code"], e["column"]) for e in answer["errors"]] == [("invalid_value", NAME)]


def test_all_missing_columns_are_named_at_once(service: Service) -> None:
    status, problem, _ = service.call("/v1/predict", {"columns": {"city": ["Oslo"]}})
    assert status == 422
    assert [(e["column"], e["code"]) for e in problem["errors"]] == [
        (NAME, "missing_column"),
        ("when", "missing_column"),
    ]


def test_columns_of_unequal_length(service: Service) -> None:
    status, problem, _ = service.call("/v1/predict", {"columns": {NAME: [1, 2], "city": ["a"], "when": [None, None]}})
    assert (status, problem["errors"][0]["column"]) == (422, "city")


def test_a_large_body_is_refused_though_its_length_is_not_announced(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    chunks = (b" " * 10_000 for _ in range(20))
    connection.request("POST", "/v1/predict", chunks, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["title"] == "The request is too large"
    connection.close()


def test_a_key_is_asked_for_before_the_body_is_read(service: Service) -> None:
    status, problem, headers = service.call("/v1/predict", b"{", X_API_Key="wrong")
    assert (status, problem["status"]) == (401, 401)
    assert "www-authenticate" in headers


def test_any_of_several_keys_and_a_file_of_them(with_config: Callable[..., Service], tmp_path: Path) -> None:
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in ("one", "two", "drei-ß")]
    (tmp_path / "keys").write_text(f"# team\n{hashes[2].upper()}  # someone\n\n")
    service = with_config(MODEL_API_KEY_HASHES=", ".join(hashes[:2]), MODEL_API_KEY_FILE=str(tmp_path / "keys"))
    keys = ["one", "two", "drei-ß".encode().decode("latin-1"), KEY, ""]
    assert [service.call("/v1/model", X_API_Key=key)[0] for key in keys] == [200, 200, 200, 401, 401]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "No API key"),
        ({"MODEL_API_KEY_HASHES": "plain text"}, "64 hexadecimal"),
        ({"MODEL_API_KEY_FILE": "/nowhere"}, "cannot be read"),
        ({"MODEL_API_KEY_HASHES": hashlib.sha256(b"").hexdigest()}, "empty key"),
        ({"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_THREADS": "0"}, "MODEL_THREADS"),
        ({"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_PORT": "99999"}, "MODEL_PORT"),
        ({"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_LOG_LEVEL": "chatty"}, "MODEL_LOG_LEVEL"),
        ({"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_REGISTRY": "/nowhere"}, "automl-wf promote"),
        ({"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_REGISTRY": "."}, "automl-wf promote"),
    ],
)
@pytest.mark.parametrize("command", [("-m", "api"), ("-m", "uvicorn", "--factory", "api.app:create_app")])
def test_it_does_not_start_without_sound_settings(
    package: Path, settings: dict[str, str], word: str, command: tuple[str, ...]
) -> None:
    check_refused_start(package, word, *command, **settings)


def check_refused_start(root: Path, word: str, *command: str, pattern: str = "", **settings: str) -> None:
    ended = subprocess.run(
        [sys.executable, *(command or ("-m", "api"))],
        cwd=root,
        env=environment(**settings),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert word in ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if not line.startswith("INFO:")]
    assert line.startswith("The service was not started: ")
    assert re.search(pattern, line)


def cut_graph(root: Path) -> None:
    path = root / "model" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])


def newer_graph(root: Path) -> None:
    model = classifier().model()
    model.ir_version = 999
    (root / "model" / "model.onnx").write_bytes(model.SerializeToString())


def other_graph(root: Path) -> None:
    config = {**classifier_config(), "model_sha256": hashlib.sha256(b"another graph").hexdigest()}
    (root / "model" / "config.json").write_text(json.dumps(config))


def without_client(root: Path) -> None:
    (root / "prometheus_client.py").write_text("raise ModuleNotFoundError(\"No module named 'prometheus_client'\")")


def break_syntax(root: Path) -> None:
    with (root / "api" / "schemas.py").open("a") as stream:
        stream.write("\ndef (:\n")


def with_member(**change: Any) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / "model" / "config.json").write_text(json.dumps({**classifier_config(), **change}))

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "model" / "model.onnx").unlink(), "model.onnx cannot be read"),
        (lambda root: (root / "model" / "model.onnx").write_bytes(b""), "make check"),
        (cut_graph, "cannot open"),
        (newer_graph, "pip install -r requirements.txt"),
        (other_graph, "is not the file that was exported"),
        (lambda root: (root / "model" / "config.json").unlink(), "config.json cannot be read"),
        (lambda root: (root / "model" / "config.json").write_text('{"format": 1,'), "is not JSON"),
        (lambda root: (root / "model" / "config.json").write_text("[]"), "expected an object, got a list"),
        (lambda root: (root / "model" / "config.json").write_text('{"format": 1}'), '"name" is missing'),
        (with_member(format=2), '"format" must be 1'),
        (with_member(limits={**base_config()["limits"], "max_rows": "many"}), '"limits.max_rows" must be a whole'),
        (with_member(columns=[{"name": "x"}]), '"columns[0]" must hold'),
        (with_member(self_test={}), '"self_test" must hold'),
        (with_member(drift=None), '"drift" must be an object. Got null instead'),
        (
            with_member(columns=[{**classifier_config()["columns"][0], "kind": "texty"}]),
            '"columns[0].kind" must be one of',
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    package: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    root = Path(shutil.copytree(package, tmp_path / "copy"))
    damage(root)
    check_refused_start(root, words, MODEL_ALLOW_ANONYMOUS="1")


@pytest.mark.parametrize("command", [("-m", "api"), ("-m", "uvicorn", "--factory", "api.app:create_app")])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_client, r"No module named 'prometheus_client'\. Install .* pip install -r requirements\.txt"),
        (
            lambda root: (root / "api" / "drift.py").unlink(),
            r"No module named 'api\.drift'\. `make check` tells .* restore",
        ),
        (lambda root: (root / "monitoring" / "metrics.py").write_text(""), "cannot import name .* `make check` tells"),
        (break_syntax, r"schemas\.py, line \d+: invalid syntax\. `make check` tells"),
    ],
)
def test_a_module_that_cannot_be_imported_is_said_in_one_line(
    package: Path, tmp_path: Path, damage: Callable[[Path], None], words: str, command: tuple[str, ...]
) -> None:
    root = Path(shutil.copytree(package, tmp_path / "copy"))
    damage(root)
    check_refused_start(root, "", *command, pattern=words, MODEL_ALLOW_ANONYMOUS="1")


def test_an_address_that_cannot_be_listened_on_is_said_in_one_line(package: Path, service: Service) -> None:
    taken = {"MODEL_ALLOW_ANONYMOUS": "1", "MODEL_PORT": str(service.port)}
    for settings, words in (
        (taken, f"MODEL_HOST '127.0.0.1', MODEL_PORT {service.port} (Address already in use). Give"),
        (taken | {"MODEL_HOST": "localhost"}, "MODEL_HOST 'localhost'"),
        (taken | {"MODEL_HOST": "192.0.2.1"}, "MODEL_HOST '192.0.2.1'"),
        (taken | {"MODEL_HOST": "no such.invalid"}, "MODEL_HOST 'no such.invalid'"),
        (taken | {"MODEL_HOST": "x" * 70 + ".org"}, "MODEL_HOST"),
    ):
        check_refused_start(package, words, **settings)


def test_the_first_line_of_the_log_says_what_starts(with_config: Callable[..., Service]) -> None:
    service = with_config(MODEL_API_KEY_HASHES="", MODEL_ALLOW_ANONYMOUS="1")
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    about, warning, unchecked, versions = lines[:4]
    assert (unchecked["level"], "model_sha256" in unchecked["message"]) == ("WARNING", True)
    assert (about["level"], about["name"], about["version"]) == ("INFO", "tiny", "1.2.3")
    assert (about["created"], about["n_keys"], about["n_threads"]) == (None, 0, 1)
    assert (warning["level"], "everybody" in warning["message"]) == ("WARNING", True)
    assert versions["level"] == "WARNING"
    assert versions["packages"]["fastapi"]["wanted"] == "0.1"


def test_anonymous_use_through_the_uvicorn_command(with_config: Callable[..., Service]) -> None:
    command = ("-m", "uvicorn", "--factory", "api.app:create_app", "--port", "{port}")
    service = with_config({}, *command, MODEL_API_KEY_HASHES="", MODEL_ALLOW_ANONYMOUS="1")
    assert len(service.predict(EXAMPLE, X_API_Key="")["predictions"]) == 1
    assert all(json.loads(line)["level"] for line in service.log.read_text().splitlines()[4:])


def test_unknown_categories_are_counted_and_otherwise_ignored(service: Service) -> None:
    before = service.samples().get('model_feature_unseen_total{feature="city"}', 0)
    answer = service.predict({**EXAMPLE, "city": "Kyiv"}, {**EXAMPLE, "city": None}, EXAMPLE)
    assert answer["warnings"] == []
    assert service.samples()['model_feature_unseen_total{feature="city"}'] == before + 1


def test_unknown_categories_warn(with_config: Callable[..., Service]) -> None:
    answer = with_config({"on_unknown": "warn"}).predict(EXAMPLE, {**EXAMPLE, "city": "Kyiv"})
    assert [(w["code"], w["column"], w["rows"]) for w in answer["warnings"]] == [("unknown_category", "city", [1])]
    assert "Kyiv" not in json.dumps(answer)


def test_unknown_categories_are_refused(with_config: Callable[..., Service]) -> None:
    problem = with_config({"on_unknown": "raise"}).predict(EXAMPLE, {**EXAMPLE, "city": "Kyiv"})
    assert [(e["code"], e["column"], e["row"]) for e in problem["errors"]] == [("unknown_category", "city", 1)]


def test_a_service_whose_self_test_fails_is_alive_but_not_ready(with_config: Callable[..., Service]) -> None:
    service = with_config({"self_test": {"row": EXAMPLE, "expected": {"label": True, "probabilities": {"true": 0.5}}}})
    assert service.call("/healthz")[0] == 200
    status, problem, headers = service.call("/readyz")
    assert (status, problem["status"], headers["content-type"]) == (503, 503, "application/problem+json")
    for path, body in (
        ("/v1/predict", {"rows": [EXAMPLE]}),
        ("/invocations", {"dataframe_records": [EXAMPLE]}),
    ):
        status, problem, _ = service.call(path, body)
        assert (status, problem["type"]) == (503, "docs/api_guide.md#not-ready")
    [line] = [line for line in map(json.loads, service.log.read_text().splitlines()) if line["level"] == "ERROR"]
    assert line["expected"] == {"label": True, "probabilities": {"true": 0.5}}
    assert line["found"]["probabilities"]["true"] == pytest.approx(expected_share(1.5, "oslo"))
    assert line["other_versions"]["numpy"]["wanted"] == "2.0"


def test_metrics_count_what_was_sent(with_config: Callable[..., Service]) -> None:
    service = with_config()
    assert not any(name.startswith("model_feature_drift_psi") for name in service.samples())
    rows = [{**EXAMPLE, NAME: x} for x in (0.0, None, 1e6, -1e6)]
    service.predict(*rows)
    samples = service.samples()
    label = NAME.replace('"', '\\"')
    assert samples[f'model_feature_values_total{{feature="{label}"}}'] == 4
    assert samples[f'model_feature_missing_total{{feature="{label}"}}'] == 1
    assert samples[f'model_feature_outliers_total{{feature="{label}"}}'] == 2
    assert samples['model_predictions_total{label="true"}'] == 3
    assert samples['model_predictions_total{label="false"}'] == 1
    assert samples["model_drift_window_rows"] == 4
    assert samples['model_info{name="tiny",task="binary",version="1.2.3"}'] == 1
    assert samples['model_performance_reference{metric="roc_auc"}'] == 0.75
    assert 'model_performance_reference{metric="log_loss"}' not in samples
    assert samples['http_requests_total{handler="/v1/predict",method="POST",status="200"}'] == 1
    assert not any("_created" in name for name in samples)
    reference, current = classifier_config()["drift"]["features"]["city"]["counts"], [4, 0, 0, 0]
    assert samples['model_feature_drift_psi{feature="city"}'] == pytest.approx(drift.psi(reference, current))
    assert samples['model_feature_drift_noise_psi{feature="city"}'] == pytest.approx(1 / 1000 + 1 / 4)


def test_thresholds_are_those_of_the_model(service: Service) -> None:
    label = NAME.replace('"', '\\"')
    found = {k: v for k, v in service.samples().items() if re.match(r"model_\w*(threshold|limit|lowest|highest)\b", k)}
    assert found == {
        f'model_feature_drift_threshold{{feature="{label}"}}': 0.3,
        'model_feature_drift_threshold{feature="city"}': 0.2,
        "model_prediction_drift_threshold": 0.2,
        "model_seconds_per_row_limit": 1.0,
        'model_performance_lowest{metric="roc_auc"}': 0.7,
        'model_performance_highest{metric="log_loss"}': 0.6,
    }


def test_drift_is_told_from_noise(with_config: Callable[..., Service]) -> None:
    service = with_config()
    label = NAME.replace('"', '\\"')

    def excess(shift: float) -> float:
        numbers = np.random.default_rng(3).normal(shift, size=500)
        service.predict(*({**EXAMPLE, NAME: float(x)} for x in numbers))
        s = service.samples()
        index, noise = (s[f'model_feature_drift_{kind}psi{{feature="{label}"}}'] for kind in ("", "noise_"))
        return index - noise

    assert abs(excess(0.0)) < 0.03
    assert excess(2.0) > 0.2


def test_logs_are_json_with_what_an_operator_needs(service: Service) -> None:
    service.predict({**EXAMPLE, "city": "a value for no log"}, EXAMPLE, X_Request_ID="find-me")
    service.call("/healthz")
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    [line] = [line for line in lines if line.get("request_id") == "find-me"]
    assert (line["route"], line["method"], line["status"], line["rows"]) == ("/v1/predict", "POST", 200, 2)
    assert (line["version"], line["level"]) == ("1.2.3", "INFO")
    assert line["ms"] > 0
    assert "a value for no log" not in service.log.read_text()


def run_inside(package: Path, code: str, **more: str) -> str:
    """Output of a script that runs where the service would."""
    settings = environment(MODEL_ALLOW_ANONYMOUS="1", **more)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=package, env=settings, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


IN_PROCESS = """
import asyncio, json
from api.app import create_app
app = create_app()

async def call(method, path, body=b"", headers=()):
    sent = []
    async def receive(): return {"type": "http.request", "body": body, "more_body": False}
    async def send(message): sent.append(message)
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": list(headers), "http_version": "1.1", "scheme": "http", "server": ("a", 1), "client": ("b", 2),
             "root_path": ""}
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()
"""

UNFORESEEN = """
@app.get("/echo/{number}")
def echo(number: int):
    raise RuntimeError("a secret in an error")

for path in ("/echo/secret", "/echo/5"):
    status, _, body = asyncio.run(call("GET", path))
    print(json.dumps([status, body]))
"""


def test_what_nobody_foresaw_is_a_problem_without_details(package: Path) -> None:
    lines = [json.loads(line) for line in run_inside(package, IN_PROCESS + UNFORESEEN).splitlines()]
    answers = [(line[0], json.loads(line[1])) for line in lines if isinstance(line, list)]
    assert [status for status, _ in answers] == [422, 500]
    assert answers[0][1]["errors"][0]["column"] == "path.number"
    failure = next(line for line in lines if isinstance(line, dict) and "error" in line)
    assert failure["error"] == "RuntimeError"
    assert failure["raised_at"][-1].endswith("echo")
    assert "secret" not in json.dumps([answers, failure]).replace("/echo/secret", "")


def test_threads_follow_the_container(package: Path, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "old" / "cpu").mkdir(parents=True)
    (tmp_path / "old" / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "old" / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    code = f"""
from pathlib import Path
from api.utils import count_threads, memory_limit
root = Path({str(tmp_path)!r})
print(count_threads({{}}, root), count_threads({{}}, root / "old"), count_threads({{"MODEL_THREADS": "7"}}, root))
print(memory_limit(root), count_threads({{}}, root / "none") >= 1)
"""
    assert run_inside(package, code).splitlines() == ["1 1 7", "None True"]


def test_columns_of_numbers_are_read_together_as_they_are_one_by_one(package: Path) -> None:
    code = """
import math
from pathlib import Path
import numpy as np
from api.model import Model
model = Model(Path())
[name, *_] = [c["name"] for c in model.columns if c["edge"] == "double"]
cells = {c["name"]: [None] * 5 for c in model.columns}
cells[name] = [1, None, True, -math.inf, 2.5]
[column] = [c for c in model.columns if c["name"] == name]
print(np.array_equal(model.read_numbers(cells)[name], model.read(column, cells[name]), equal_nan=True))
print(name in model.read_numbers({**cells, name: [1, None, "3", 4, 5]}))
print(model.read_numbers({**cells, name: [10**400, 1, 1, 1, 1]}))
"""
    assert run_inside(package, code).splitlines() == ["True", "False", "{}"]


def test_the_self_test_learns_how_long_a_row_takes(package: Path) -> None:
    code = """
from api.model import Model
from pathlib import Path
model = Model(Path())
before = model.row_s
assert model.self_test().passes
print(before, 0 < model.row_s < 1)
"""
    assert run_inside(package, code).split() == ["inf", "True"]


def test_class_names_never_collide(package: Path) -> None:
    code = """
from api.model import class_names
print(class_names(["a", "None"]), class_names([1, 2.5, None, True]), class_names(["1", 1]))
"""
    assert run_inside(package, code).strip() == """['a', 'None'] ['1', '2.5', 'null', 'true'] ['"1"', '1']"""


def test_an_array_model_takes_one_tensor_and_a_number_that_is_none_is_null(tmp_path: Path) -> None:
    def add(row: dict[str, Any]) -> dict[str, Any]:
        return {"prediction": None if row["x0"] is None else row["x0"] + row["x1"]}

    root = write_package(tmp_path / "array", regressor(), regressor_config(), add)
    service = start(root, tmp_path / "log.jsonl")
    try:
        answer = service.predict({"x0": 1, "x1": 2.5}, {"x1": 1, "x0": None})
        assert answer["predictions"] == [{"prediction": 3.5}, {"prediction": None}]
        assert service.call("/readyz")[0] == 200
        assert service.samples()['model_predictions_total{label=""}'] == 2
        tensor = {"name": "X", "datatype": "FP64", "shape": [2, 2], "data": [1, 2.5, 3, 4]}
        wanted = {"inputs": [tensor], "outputs": [{"name": "lower"}, {"name": "prediction"}]}
        outputs = service.call("/v2/models/tiny/infer", wanted)[1]["outputs"]
        assert {t["name"]: t["data"] for t in outputs} == {"prediction": [3.5, 7.0], "lower": [1.5, 5.0]}
        answer = service.call("/invocations", {"inputs": [[1, 2.5], [3, 4]]})[1]
        assert answer == {"predictions": [{"prediction": 3.5}, {"prediction": 7.0}]}
        answer = service.call("/v1/predict", {"rows": [{"x0": 1, "x1": 2.5}], "intervals": True})[1]
        assert answer["predictions"][0]["interval"] == {"lower": 1.5, "upper": 5.5, "confidence": 0.95}
        assert "not available" in service.call("/v1/monitoring")[1]["performance"]["estimated"]["note"]
    finally:
        stop(service)


def test_the_tests_of_the_package_pass_and_skip_nothing(package: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-ra"],
        cwd=package,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"^\d+ passed in", ended.stdout, re.MULTILINE), ended.stdout


@pytest.mark.parametrize("on_unknown", ["raise", "warn"])
def test_the_tests_of_the_package_pass_however_unknown_categories_are_met(
    package: Path, tmp_path: Path, on_unknown: str
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(package, root)
    rows = [EXAMPLE, {**EXAMPLE, "city": "Kyiv"}, {**EXAMPLE, "city": "x" * 1000}]
    for name, content in [
        ("model/config.json", classifier_config() | {"on_unknown": on_unknown}),
        ("tests/test_data/samples.json", {"rows": rows}),
        ("tests/test_data/expected.json", {"predictions": [worded(row) for row in rows]}),
    ]:
        (root / name).write_text(json.dumps(content), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=root, env=environment(), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout


def test_the_tests_of_the_package_notice_another_model(package: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(package, root)
    path = root / "tests" / "test_data" / "expected.json"
    content = json.loads(path.read_text())
    content["predictions"][0]["probabilities"]["true"] += 1e-7
    path.write_text(json.dumps(content))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_model.py"],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "test_samples_give_what_they_gave_at_export" in ended.stdout


def alert_rules() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    groups = yaml.safe_load((TEMPLATES / "monitoring" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((TEMPLATES / "monitoring" / "dashboard.json").read_text())["panels"]
    return panels


def test_every_alert_says_what_to_do(package: Path) -> None:
    guide = (package / "docs" / "troubleshooting.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n+(.+?)(?=^##|\Z)", guide, re.MULTILINE | re.DOTALL))
    alerts = [rule for rule in alert_rules() if "alert" in rule]
    assert len(alerts) >= 16
    for rule in alerts:
        assert rule["for"]
        assert rule["keep_firing_for"]
        assert rule["labels"]["severity"] in ("page", "ticket", "info")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/troubleshooting.md#{rule['alert'].lower()}"
        assert sections[rule["alert"]].startswith(rule["labels"]["severity"])
    assert {rule["alert"] for rule in alerts} == sections.keys()


def test_every_alert_is_tested() -> None:
    tests = (TEMPLATES / "monitoring" / "alerts_test.yaml").read_text()
    assert [rule["alert"] for rule in alert_rules() if "alert" in rule and f'"{rule["alert"]}"' not in tests] == []


def test_alerts_and_dashboard_know_only_metrics_that_exist(service: Service) -> None:
    service.predict(EXAMPLE)
    families = re.findall(r"^# TYPE (\S+)", service.call("/metrics")[1], re.MULTILINE)
    exported = {name.split("{")[0] for name in service.samples()} | {*families, "up", "ALERTS"}
    exported |= {f"model_feedback_rating_{part}" for part in ("sum", "count")}
    exported |= {rule["record"] for rule in alert_rules() if "record" in rule}
    expressions = [rule["expr"] for rule in alert_rules()]
    expressions += [target["expr"] for panel in dashboard_panels() for target in panel.get("targets", [])]
    pattern = re.compile(r"\b(?:model|http|process|log)[_:][a-z0-9_:]+")
    used = {name for text in expressions for name in pattern.findall(re.sub(r'"[^"]*"', "", text))}
    assert len(used) >= 20
    assert used <= exported


def test_the_dashboard_is_laid_out_on_its_grid() -> None:
    panels = dashboard_panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_rules_panels_and_metrics(service: Service, tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in dashboard_panels() for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for i, e in enumerate(expressions)
    ]
    (tmp_path / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    alerts = TEMPLATES / "monitoring" / "alerts.yaml"
    for command in (
        ["check", "rules", str(alerts)],
        ["check", "rules", str(tmp_path / "panels.yaml")],
        ["check", "config", str(alerts.with_name("prometheus.yml"))],
        ["test", "rules", str(alerts.with_name("alerts_test.yaml"))],
    ):
        ended = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    service.predict(EXAMPLE)
    text = service.call("/metrics")[1]
    ended = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, encoding="utf-8")
    assert "error" not in ended.stderr, ended.stderr


def test_the_api_guide_tells_of_every_address_status_and_problem(package: Path, service: Service) -> None:
    guide = (package / "docs" / "api_guide.md").read_text()
    rows = [line.split("|") for line in guide.splitlines()]
    table = {cells[1]: cells[4] for cells in rows if len(cells) == 6}
    document = service.call("/openapi.json")[1]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = table[f" `{method.upper()} {path}` "].strip().split(", ")
            assert statuses == sorted(operation["responses"])
    anchors = {line[4:] for line in guide.splitlines() if line.startswith("### ")}
    names = run_inside(package, "from api.problems import PROBLEMS; print(*PROBLEMS)").split()
    assert anchors == set(names)


def test_every_status_in_openapi_has_an_example(service: Service) -> None:
    document = service.call("/openapi.json")[1]
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                for media_type, content in response["content"].items():
                    assert media_type.startswith("text/") or "example" in content
                    assert status == "200" or content["example"]["status"] == int(status)
    assert (
        NAME
        in document["components"]["schemas"]["PredictRequest"]["oneOf"][0]["properties"]["rows"]["items"]["required"]
    )


def test_the_guide_speaks_of_this_model_only(tmp_path: Path) -> None:
    def guide(on_unknown: str, has_intervals: bool) -> str:
        context = page_context(classifier_config() | {"on_unknown": on_unknown})
        context["facts"]["has_intervals"] = has_intervals
        return render("package/docs/api_guide.md.jinja", context)

    assert [guide(how, True).count("`unknown_category`") for how in ("ignore", "warn", "raise")] == [0, 1, 1]
    assert '"intervals": true' in guide("ignore", True)
    assert '"intervals": true' not in guide("ignore", False)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_call_of_the_readme_can_be_pasted(package: Path, service: Service) -> None:
    first, call, *_ = re.findall(r"```bash\n(.*?)```", (package / "README.md").read_text(), re.DOTALL)
    call = call.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{service.port}")
    ended = subprocess.run(["bash", "-c", call], cwd=package, env=environment(KEY=KEY), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["predictions"]
    makes_key = first[first.index("KEY=$(") : first.index("make serve")].replace("python ", f"{sys.executable} ")
    script = f"set -e\n{makes_key}\nprintf %s $MODEL_API_KEY_HASHES"
    ended = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True)
    key, hashed = ended.stdout.split()
    assert hashlib.sha256(key.encode()).hexdigest() == hashed


def test_what_is_compressed_is_refused_by_name(service: Service) -> None:
    body = gzip.compress(json.dumps({"rows": [EXAMPLE]}).encode())
    for path in ("/v1/predict", "/v1/feedback", "/invocations"):
        status, problem, _ = service.call(path, body, Content_Encoding="gzip")
        assert status == 415
        assert "Content-Encoding" in problem["detail"]


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_a_misspelt_column_is_named_to_the_client_and_not_in_the_log(service: Service, form: str) -> None:
    row = {"cityy" if name == "city" else name: cell for name, cell in EXAMPLE.items()}
    body = {"rows": [row]} if form == "rows" else {"columns": {name: [cell] for name, cell in row.items()}}
    status, problem, _ = service.call("/v1/predict", body, X_Request_ID=f"misspelt-{form}")
    assert status == 422
    assert "'cityy'" in problem["detail"]
    # The line is written once the answer has gone
    until_true(lambda: f"misspelt-{form}" in service.log.read_text())
    lines = map(json.loads, service.log.read_text().splitlines())
    [line] = [line for line in lines if line.get("request_id") == f"misspelt-{form}"]
    assert (line["problem"], line["codes"], line["columns"]) == ("invalid-input", ["missing_column"], ["city"])
    assert "cityy" not in service.log.read_text()


def test_a_protocol_that_is_switched_off_names_its_switch(with_config: Callable[..., Service]) -> None:
    service = with_config(MODEL_ADAPTERS="")
    for path, name in (("/v2/models/tiny", "v2"), ("/invocations", "mlflow")):
        status, problem, _ = service.call(path)
        assert (status, problem["type"]) == (404, "docs/api_guide.md#not-found")
        assert f"MODEL_ADAPTERS names {name}" in problem["detail"]
    assert "MODEL_ADAPTERS" not in service.call("/v3")[1]["detail"]


def test_the_page_tells_each_features_own_limit_and_may_scroll(service: Service) -> None:
    service.predict(EXAMPLE)
    features = service.call("/v1/monitoring")[1]["drift"]["features"]
    assert {f["feature"]: f["limit"] for f in features} == {NAME: 0.3, "city": 0.2}
    page = service.call("/dashboard")[1]
    assert page.count('<div class="wide"><table') == page.count("<table ") == 3
    assert "excess > row.limit" in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_the_page_asks_though_its_address_holds_a_key(with_config: Callable[..., Service], tmp_path: Path) -> None:
    service = with_config(MODEL_API_KEY_HASHES=hashlib.sha256(b"plain").hexdigest())
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom")
    address = f"http://x:plain@127.0.0.1:{service.port}/dashboard"
    command = ["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", address]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert '<h1 id="title">tiny, binary</h1>' in page
    assert "Up for 0 minutes" in page


def test_pages_hold_names_as_text_and_figures_as_given(package: Path) -> None:
    guide, deployment = ((package / "docs" / name).read_text() for name in ("api_guide.md", "deployment.md"))
    assert NAME not in guide
    assert "7 \\* 7" in guide
    assert "| one row | 0.50 ms |" in deployment
    assert "| a thousand rows | not measured |" in deployment
    assert (package / "requirements.txt").read_text() == "fastapi==0.1\nnumpy==2.0\n"


def test_what_is_copied_into_the_image_is_what_the_service_needs(package: Path, tmp_path: Path) -> None:
    names = ["api", "monitoring", "model/config.json", "model/metadata.json", "model/model.onnx"]
    assert set(names) <= set((package / "Dockerfile").read_text().replace("./", "").split())
    for name in names:
        target = tmp_path / "image" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (package / name).is_dir() else shutil.copy)(package / name, target)
    service = start(tmp_path / "image", tmp_path / "log.jsonl")
    try:
        assert service.call("/readyz")[0] == 200
    finally:
        stop(service)


def test_the_health_check_of_the_image_asks_the_service(package: Path, service: Service) -> None:
    dockerfile = (package / "Dockerfile").read_text()
    match = re.search(r"HEALTHCHECK .*\n\s+CMD (\[.*\])", dockerfile)
    assert match is not None
    _, *arguments = json.loads(match[1])
    for port, is_healthy in [(service.port, True), (1, False)]:
        settings = environment(MODEL_PORT=str(port))
        ended = subprocess.run([sys.executable, *arguments], env=settings, capture_output=True)
        assert (ended.returncode == 0) == is_healthy


def test_requests_at_the_same_time_are_all_counted(with_config: Callable[..., Service]) -> None:
    service = with_config(MODEL_THREADS="2")
    numbers = [i / 10 for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: service.predict({**EXAMPLE, NAME: x}), numbers))
    found = [answer["predictions"][0]["probabilities"]["true"] for answer in answers]
    assert found == pytest.approx([expected_share(x, "oslo") for x in numbers], abs=1e-12)
    assert service.samples()["model_drift_window_rows"] == 60


def samples_named(service: Service, name: str) -> dict[str, float]:
    """Samples of one metric, by their labels."""
    return {key.removeprefix(name): v for key, v in service.samples().items() if key.split("{")[0] == name}


def predicted(service: Service, n: int, **wishes: bool) -> list[dict[str, Any]]:
    """Predictions of n rows, whose number says how probable True is."""
    rows = [{**EXAMPLE, NAME: x} for x in np.linspace(-2, 1, n)]
    status, answer, _ = service.call("/v1/predict", {"rows": rows, **wishes})
    assert status == 200
    return answer["predictions"]


BUSINESS = {"currency": "EUR", "cost_matrix": [[0.0, 1.0], [5.0, -2.0]], "revenue_per_unit": 2.0}


def test_feedback_becomes_performance_money_and_content(with_config: Callable[..., Service]) -> None:
    service = with_config({"business": BUSINESS}, MODEL_KPIS="orders")
    known = ("model_error_cost_total", "model_business_value_total", "model_feedback_rating_count", "model_performance")
    before = [samples_named(service, name) for name in known]
    fp, fn = '{currency="EUR",kind="fp"}', '{currency="EUR",kind="fn"}'
    assert before == [{fp: 0.0, fn: 0.0}, {'{kpi="orders"}': 0.0, '{kpi="revenue"}': 0.0}, {}, {}]
    found = predicted(service, 60, prediction_ids=True, intervals=True)
    truth = [(not one["label"]) if i % 4 == 0 else one["label"] for i, one in enumerate(found)]
    said = [{"prediction_id": one["prediction_id"], "y_true": y} for one, y in zip(found, truth, strict=True)]
    said[0] |= {"rating": 2, "outcomes": {"orders": 3}}
    status, answer, _ = service.call("/v1/feedback", {"feedback": said})
    assert (status, answer["accepted"]) == (200, 60)
    time.sleep(0.01)
    n_fp = sum(one["label"] and not y for one, y in zip(found, truth, strict=True))
    n_fn = sum(y and not one["label"] for one, y in zip(found, truth, strict=True))
    n_hits = sum(y and one["label"] for one, y in zip(found, truth, strict=True))
    assert n_fp + n_fn == 15
    assert samples_named(service, "model_errors_total") == {'{kind="fp"}': n_fp, '{kind="fn"}': n_fn}
    assert samples_named(service, known[0]) == {fp: 1.0 * n_fp, fn: 5.0 * n_fn}
    assert samples_named(service, known[1]) == {'{kpi="orders"}': 3.0, '{kpi="revenue"}': 2.0 * n_hits}
    assert samples_named(service, known[2]) == {"": 1.0}
    deadline = time.monotonic() + 20
    while not (scores := samples_named(service, "model_performance")).get('{estimated="false",metric="accuracy"}'):
        assert time.monotonic() < deadline, scores
        time.sleep(0.2)
    assert scores['{estimated="false",metric="accuracy"}'] == 0.75
    shares = [one["probabilities"]["true"] for one in found]
    assert scores['{estimated="true",metric="accuracy"}'] == pytest.approx(np.mean([max(p, 1 - p) for p in shares]))
    held = [y in one["set"]["labels"] for one, y in zip(found, truth, strict=True)]
    assert samples_named(service, "model_interval_coverage") == {"": pytest.approx(np.mean(held))}
    assert samples_named(service, "model_performance_rows") == {'{estimated="false"}': 60, '{estimated="true"}': 60}
    monitoring = service.call("/v1/monitoring")[1]
    assert monitoring["performance"]["measured"]["scores"]["accuracy"]["value"] == 0.75
    assert monitoring["performance"]["reference"] == {"roc_auc": 0.75, "accuracy": 0.9}


def test_feedback_that_cannot_be_kept_may_be_sent_again(with_config: Callable[..., Service], tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    service = with_config(MODEL_FEEDBACK_DB=str(path))

    def predict() -> Any:
        return service.call("/v1/predict", {"rows": [EXAMPLE, EXAMPLE], "prediction_ids": True})[1]

    ids = [p["prediction_id"] for p in predict()["predictions"]]
    said = {"feedback": [{"prediction_id": id_, "y_true": True} for id_ in ids]}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for action in ("UPDATE", "INSERT"):
            # The second row only: of the first nothing may stay, either
            other.execute(
                f"CREATE TRIGGER no_{action} BEFORE {action} ON predictions WHEN NEW.seq % 2 = 0 OR NEW.seq = -1 "
                "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        status, problem, headers = service.call("/v1/feedback", said)
        assert (status, problem["type"], headers["retry-after"]) == (503, "docs/api_guide.md#feedback-not-kept", "30")
        [warning] = predict()["warnings"]
        assert warning["code"] == "not_kept"
        other.executescript("DROP TRIGGER no_UPDATE; DROP TRIGGER no_INSERT")
    assert service.call("/v1/feedback", said)[1]["statuses"] == ["accepted", "accepted"]
    errors = [line for line in map(json.loads, service.log.read_text().splitlines()) if line["level"] == "ERROR"]
    assert [(line["message"], line["reason"]) for line in errors] == [
        ("feedback is not kept", "database or disk is full"),
        ("predictions are not kept", "database or disk is full"),
    ]


def test_nothing_is_counted_that_nobody_configured(service: Service) -> None:
    [one] = predicted(service, 1, prediction_ids=True)
    said = {"prediction_id": one["prediction_id"], "y_true": not one["label"]}
    assert service.call("/v1/feedback", said)[0] == 200
    for name in ("model_error_cost_total", "model_business_value_total", "model_feedback_rating_count"):
        assert samples_named(service, name) == {}
    problem = service.call("/v1/feedback", {**said, "outcomes": {"orders": 1}})[1]
    assert problem["errors"][0]["field"] == "outcomes.orders"


#: The sixteen metrics of MODEL_MONITORING_METRICS, and what Prometheus calls them.
SEED_METRICS = {
    "prediction_accuracy": "model_performance",
    "inference_latency": "model_inference_duration_seconds",
    "throughput": "model_predictions",
    "error_rate": "http_requests",
    "feature_drift": "model_feature_drift_psi",
    "prediction_drift": "model_prediction_drift_psi",
    "missing_value_rate": "model_feature_missing",
    "outlier_frequency": "model_feature_outliers",
    "business_kpi_impact": "model_business_value",
    "user_satisfaction": "model_feedback_rating",
    "false_positive_cost": "model_error_cost",
    "false_negative_cost": "model_error_cost",
    "cpu_usage": "process_cpu_seconds",
    "memory_usage": "process_resident_memory_bytes",
    "api_response_time": "http_request_duration_seconds",
    "error_logs": "log_messages",
}


def test_the_sixteen_metrics_are_there(with_config: Callable[..., Service]) -> None:
    service = with_config({"business": BUSINESS})
    found = predicted(service, 40, prediction_ids=True)
    said = [{"prediction_id": one["prediction_id"], "y_true": i < 20, "rating": 4} for i, one in enumerate(found)]
    assert service.call("/v1/feedback", {"feedback": said})[0] == 200
    families = {
        line.split()[2].removesuffix("_total") for line in service.call("/metrics")[1].splitlines() if "# TYPE" in line
    }
    assert {seed: name for seed, name in SEED_METRICS.items() if name not in families} == {}
    kinds = {key for key in service.samples() if key.startswith("model_error_cost_total")}
    assert kinds == {f'model_error_cost_total{{currency="EUR",kind="{kind}"}}' for kind in ("fp", "fn")}


def test_drift_without_truth_advises_to_train_again_and_the_log_says_so(with_config: Callable[..., Service]) -> None:
    service = with_config()
    assert service.call("/v1/advice")[1]["advice"] == "none"
    service.predict(*[{**EXAMPLE, NAME: 3.0 + i / 1000} for i in range(300)])
    advice = service.call("/v1/advice")[1]
    assert advice["advice"] == "retrain"
    assert {reason["code"] for reason in advice["reasons"]} >= {"feature_drift", "prediction_drift"}
    assert advice["reasons"][0]["figures"]["excess_psi"] > 0.2
    assert service.samples()["model_retraining_advised"] == 1
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    [line] = [line for line in lines if line["message"] == "advice on training again"]
    assert (line["level"], line["advice"]) == ("WARNING", "retrain")


def test_explanations_are_near_the_exact_values(service: Service) -> None:
    row = {NAME: 1.0, "city": "Rome", "when": "2024-02-29"}
    _, answer, _ = service.call("/v1/predict", {"rows": [row], "explanations": True})
    [prediction] = answer["predictions"]
    found = prediction["explanation"]
    cells = classifier_config()["background"]["cells"]
    background = [(cells[NAME][i], cells["city"][i] or "") for i in range(4)]

    def worth(number: bool, city: bool) -> float:
        pairs = [(1.0 if number else x, "rome" if city else name) for x, name in background]
        return float(np.mean([expected_share(x, name) for x, name in pairs]))

    nobody, number, city, both = (worth(*who) for who in ((0, 0), (1, 0), (0, 1), (1, 1)))
    exact = {NAME: (number - nobody + both - city) / 2, "city": (city - nobody + both - number) / 2, "when": 0.0}
    assert found["base"] == pytest.approx(nobody, abs=1e-12)
    assert found["n_background_rows"] == 4
    for part in found["contributions"]:
        assert abs(part["value"] - exact[part["column"]]) <= 4 * part["standard_error"] + 1e-12
    total = sum(part["value"] for part in found["contributions"])
    assert total == pytest.approx(prediction["probabilities"]["true"] - nobody, abs=1e-12)


def test_sets_of_labels_and_other_wishes(service: Service) -> None:
    _, answer, _ = service.call(
        "/v1/predict", {"rows": [EXAMPLE, {**EXAMPLE, NAME: 0, "city": None}], "intervals": True}
    )
    assert [one["set"] for one in answer["predictions"]] == [
        {"labels": [True], "confidence": 0.95},
        {"labels": [False, True], "confidence": 0.95},
    ]
    status, problem, _ = service.call("/v1/predict", {"rows": [EXAMPLE], "intervals": "secret"})
    assert (status, problem["errors"][0]["field"]) == (422, "intervals")
    assert "secret" not in json.dumps(problem)
    assert service.call("/v1/predict", {"rows": [EXAMPLE], "explain": 1})[1]["warnings"][0]["members"] == ["explain"]


def test_every_answer_says_which_request_and_version_it_is(service: Service) -> None:
    _, answer, headers = service.call("/v1/predict", {"rows": [EXAMPLE]}, X_Request_ID="mine")
    assert (answer["request_id"], answer["version"]) == ("mine", "1.2.3")
    assert (headers["x-request-id"], headers["x-model-version"]) == ("mine", "1.2.3")


def test_ids_for_everybody_and_metrics_for_those_with_a_key(with_config: Callable[..., Service]) -> None:
    service = with_config(MODEL_PREDICTION_IDS="1", MODEL_METRICS_NEED_KEY="1")
    ids = [one["prediction_id"] for one in service.predict(EXAMPLE, EXAMPLE)["predictions"]]
    assert len(set(ids)) == 2
    assert service.call("/metrics", X_API_Key="wrong")[0] == 401
    assert service.call("/metrics", X_API_Key="wrong", Authorization=f"Bearer {KEY}")[0] == 401
    assert "model_info" in service.call("/metrics")[1]


def test_keys_are_changed_without_a_restart(with_config: Callable[..., Service], tmp_path: Path) -> None:
    def write(key: str) -> None:
        (tmp_path / "next").write_text(hashlib.sha256(key.encode()).hexdigest())
        (tmp_path / "next").replace(tmp_path / "keys")

    write("old")
    service = with_config(MODEL_API_KEY_HASHES="", MODEL_API_KEY_FILE=str(tmp_path / "keys"))
    assert service.call("/v1/model", X_API_Key="old")[0] == 200
    write("new")
    deadline = time.monotonic() + 20
    while service.call("/v1/model", X_API_Key="new")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.call("/v1/model", X_API_Key="old")[0] == 401


def test_too_many_requests_are_turned_away_at_once(with_config: Callable[..., Service]) -> None:
    service = with_config(MODEL_MAX_WAITING="1")
    body = json.dumps({"rows": [EXAMPLE]}).encode()
    headers = {"X-API-Key": KEY, "Content-Type": "application/json", "Content-Length": str(len(body))}
    inside = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=30) for _ in range(3)]
    for connection in inside:  # one thread and one more may work, one may wait: all three, their bodies on their way
        connection.putrequest("POST", "/v1/predict")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body[:10])
    deadline = time.monotonic() + 30.0
    while (turned_away := service.call("/v1/predict", body))[0] == 200:
        assert time.monotonic() < deadline
    assert (turned_away[0], turned_away[2]["retry-after"]) == (503, "1")
    for connection in inside:
        connection.send(body[10:])
        assert connection.getresponse().status == 200
        connection.close()
    assert service.call("/v1/predict", body)[0] == 200


ALL_AT_ONCE = """
body = json.dumps({"rows": [ROW]}).encode()

async def calls(n):
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    answers = await asyncio.gather(*(call("POST", "/v1/predict", body, headers) for _ in range(n)))
    return [(status, headers.get(b"retry-after", b"").decode()) for status, headers, _ in answers]

print(json.dumps([asyncio.run(calls(64)), asyncio.run(calls(3))]))
"""


def test_what_is_answered_on_the_event_loop_does_not_pile_up_either(package: Path) -> None:
    code = IN_PROCESS + ALL_AT_ONCE.replace("ROW", repr(EXAMPLE))
    lines = run_inside(package, code, MODEL_MAX_WAITING="1").splitlines()
    many, few = next(found for line in lines if isinstance(found := json.loads(line), list))
    assert sorted(many) == [[200, ""]] * 3 + [[503, "1"]] * 61  # one thread and one more may work, one may wait
    assert few == [[200, ""]] * 3


def test_a_log_in_reads_and_does_not_predict(service: Service) -> None:
    log_in = "Basic " + base64.b64encode(f"anybody:{KEY}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    seen = []
    for method, path, headers in [
        ("GET", "/dashboard", {"Authorization": log_in}),
        ("GET", "/v1/monitoring", {"Authorization": log_in}),
        ("POST", "/v1/predict", {"Authorization": log_in, "Content-Type": "application/json"}),
        ("GET", "/dashboard", {}),
    ]:
        connection.request(method, path, json.dumps({"rows": [EXAMPLE]}) if method == "POST" else None, headers)
        response = connection.getresponse()
        seen.append((response.status, response.headers.get("WWW-Authenticate", "").split(" ")[0]))
        response.read()
    assert seen == [(200, ""), (200, ""), (401, "ApiKey"), (401, "Basic")]
    connection.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_examples_of_the_guide_run(package: Path, service: Service, tmp_path: Path) -> None:
    guide = (package / "docs" / "api_guide.md").read_text()
    for name, content in re.findall(r"Save this as `(\S+)`:\n\n```json\n(.*?)```", guide, re.DOTALL):
        (tmp_path / name).write_text(content)
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"```bash\n(.*?)```", guide, re.DOTALL))
    settings = environment(URL=f"http://127.0.0.1:{service.port}", KEY=KEY)
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr + ended.stdout[-2000:]
    assert '"accepted":1' in ended.stdout
    addresses = set(re.findall(r"(?:GET|POST) (/[^`]*)`", guide))
    used = "".join(re.findall(r"```(?:bash|python|javascript)\n(.*?)```", guide, re.DOTALL)).replace("$NAME", "{name}")
    assert [a for a in addresses if a not in used and not a.endswith("/infer")] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_javascript_examples_of_the_guide_run(package: Path, service: Service, tmp_path: Path) -> None:
    guide = (package / "docs" / "api_guide.md").read_text()
    for name, content in re.findall(r"Save this as `(\S+)`:\n\n```json\n(.*?)```", guide, re.DOTALL):
        (tmp_path / name).write_text(content)
    (tmp_path / "example.mjs").write_text("\n".join(re.findall(r"```javascript\n(.*?)```", guide, re.DOTALL)))
    settings = environment(URL=f"http://127.0.0.1:{service.port}", KEY=KEY)
    ended = subprocess.run(["node", "example.mjs"], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def as_registry(folder: Path, **packages: Path) -> Path:
    """Versions as `automl-wf promote` lays them out, the first one current."""
    for version, package in packages.items():
        shutil.copytree(package, folder / "versions" / version)
    point(folder, next(iter(packages)))
    return folder


def point(registry: Path, version: str) -> None:
    scratch = registry / "next"
    scratch.write_text(f"{version}\n")
    scratch.replace(registry / "current")


def until(service: Service, version: str) -> None:
    deadline = time.monotonic() + 20
    while service.call("/v1/model")[1]["version"] != version:
        assert time.monotonic() < deadline, f"{version} does not serve"
        time.sleep(0.05)


@pytest.fixture
def registry(tmp_path: Path, package: Path) -> Path:
    broken = tmp_path / "broken"
    shutil.copytree(package, broken)
    config = classifier_config()
    config["self_test"]["expected"]["label"] = False
    (broken / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    other = write_package(
        tmp_path / "other",
        regressor(),
        regressor_config(),
        lambda row: {"prediction": sum(v or 0 for v in row.values())},
    )
    return as_registry(tmp_path / "registry", v1=package, v2=package, v3=broken, v4=other)


def test_versions_change_under_load_without_a_failed_request(registry: Path, tmp_path: Path) -> None:
    service = start(registry / "versions" / "v1", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        seen: list[tuple[int, str]] = []
        is_done = False

        def call() -> None:
            while not is_done:
                status, answer, _ = service.call("/v1/predict", {"rows": [EXAMPLE]})
                seen.append((status, answer.get("version")))

        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call) for _ in range(4)]
            for version in ("v2", "v1", "v2"):
                point(registry, version)
                until(service, version)
            n_before = len(seen)
            while len(seen) < n_before + 20:
                time.sleep(0.01)
            is_done = True
            for caller in callers:
                caller.result()
        assert {status for status, _ in seen} == {200}
        assert {version for _, version in seen} == {"v1", "v2"}
        assert service.samples()['model_info{name="tiny",task="binary",version="v2"}'] == 1
        assert service.samples()["model_drift_window_rows"] < len(seen)
    finally:
        stop(service)


def test_a_version_that_clients_could_not_use_is_refused_and_the_log_says_why(registry: Path, tmp_path: Path) -> None:
    service = start(registry / "versions" / "v1", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        for version in ("v3", "v4", "v9"):
            point(registry, version)
            time.sleep(2.5)
            assert service.predict(EXAMPLE)["version"] == "v1"
        point(registry, "v2")
        until(service, "v2")
    finally:
        stop(service)
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    refused = [line for line in lines if line["message"].startswith("a version is refused")]
    reasons = [line["reason"] for line in refused]
    assert [line["version"] for line in refused] == ["v3", "v4", "v9"]
    assert "self-test" in reasons[0]
    assert "columns" in reasons[1]
    assert "'v9'" in reasons[2]


def test_a_damaged_version_is_refused_with_its_name_and_the_reason(registry: Path, tmp_path: Path) -> None:
    cut_graph(registry / "versions" / "v2")
    service = start(registry / "versions" / "v1", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        point(registry, "v2")
        until_true(lambda: "a version is refused" in service.log.read_text())
    finally:
        stop(service)
    lines = map(json.loads, service.log.read_text().splitlines())
    [line] = [line for line in lines if line["message"].startswith("a version is refused")]
    assert (line["version"], line["error"]) == ("v2", "StartError")
    assert "cannot open" in line["reason"]


@pytest.mark.parametrize("damage", [lambda root: None, cut_graph])
def test_a_start_passes_over_a_current_version_that_fails(
    registry: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    event = {
        "action": "promote",
        "version": "v3",
        "before": "v1",
        "at": "2024-01-01T00:00:00+00:00",
        "reason": "forced",
    }
    (registry / "history.jsonl").write_text(json.dumps(event) + "\n")
    damage(registry / "versions" / "v3")
    point(registry, "v3")
    service = start(registry / "versions" / "v3", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        assert service.call("/readyz")[0] == 200
        assert service.predict(EXAMPLE)["version"] == "v1"
        point(registry, "v2")
        until(service, "v2")
    finally:
        stop(service)
    errors = [line for line in map(json.loads, service.log.read_text().splitlines()) if line["level"] == "ERROR"]
    [line] = errors
    assert (line["refused"], line["version"]) == ("v3", "v1")
    assert line["reason"]


def test_without_a_version_before_the_current_one_is_not_ready(registry: Path, tmp_path: Path) -> None:
    point(registry, "v3")
    service = start(registry / "versions" / "v3", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        assert service.call("/readyz")[0] == 503
        assert service.call("/v1/predict", {"rows": [EXAMPLE]})[0] == 503
        point(registry, "v1")
        until(service, "v1")
        assert service.call("/v1/predict", {"rows": [EXAMPLE]})[0] == 200
    finally:
        stop(service)


def route(registry: Path, **routing: Any) -> None:
    scratch = registry / "next"
    scratch.write_text(json.dumps(routing))
    scratch.replace(registry / "routing.json")


def until_true(ask: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_shadow_predicts_and_a_split_answers_its_share(registry: Path, tmp_path: Path) -> None:
    service = start(registry / "versions" / "v1", tmp_path / "log.jsonl", MODEL_REGISTRY=str(registry))
    try:
        assert "role" not in service.predict(EXAMPLE)
        route(registry, challenger="v2", mode="shadow", share=0.0)
        until_true(lambda: service.call("/v1/monitoring")[1]["trial"] == {"mode": "shadow", "share": 0.0})
        assert {service.predict(EXAMPLE, EXAMPLE)["version"] for _ in range(10)} == {"v1"}
        agrees = 'model_shadow_total{result="agrees",version="v2"}'
        until_true(lambda: service.samples().get(agrees) == 20)
        route(registry, challenger="v2", mode="split", share=0.3)
        until_true(lambda: service.call("/v1/monitoring")[1]["trial"]["mode"] == "split")
        keys = [f"customer {i}" for i in range(200)]
        first = [service.predict(EXAMPLE, X_Routing_Key=key)["version"] for key in keys]
        assert first == [service.predict(EXAMPLE, X_Routing_Key=key)["version"] for key in keys]
        assert 0.2 < first.count("v2") / 200 < 0.4
        assert first[:5] == ["v2" if share_of("v2", key) < 0.3 else "v1" for key in keys[:5]]
        answer = service.predict(EXAMPLE, X_Routing_Key=keys[first.index("v2")])
        assert (answer["version"], answer["role"]) == ("v2", "challenger")
        routed = samples_named(service, "model_routed_total")
        assert routed['{role="challenger",version="v2"}'] == 2 * first.count("v2") + 1
        (registry / "routing.json").unlink()
        until_true(lambda: service.call("/v1/monitoring")[1]["trial"] is None)
        assert {service.predict(EXAMPLE, X_Routing_Key=key)["version"] for key in keys[:50]} == {"v1"}
        for challenger in ("v3", "v4", "v9"):
            route(registry, challenger=challenger, mode="split", share=0.9)
            time.sleep(2.2)
            assert service.predict(EXAMPLE, X_Routing_Key="any")["version"] == "v1"
    finally:
        stop(service)
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    reasons = [line["reason"] for line in lines if line["message"].startswith("a trial is refused")]
    assert len(reasons) == 3
    assert "self-test" in reasons[0]
    told = [(line["message"], line["version"]) for line in lines if "trial" in line["message"]]
    assert told == [
        ("a version is on trial", "v2"),
        ("a version is on trial", "v2"),
        ("a trial has ended", "v2"),
        *(("a trial is refused; the current version answers alone", version) for version in ("v3", "v4", "v9")),
    ]
    assert not any("customer" in json.dumps(line) for line in lines)


def share_of(version: str, key: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{version}\n{key}".encode()).digest()[:8]) / 2**64
