"""The service over HTTP, in a process that refuses to import scikit-learn, automl_wf or pickle's model loaders."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from api.model import Model, is_close

Row = dict[str, Any]
KEY = "a key for these tests"
DATATYPES = {str: "BYTES", bool: "BOOL", int: "FP64", float: "FP64"}
SERVE = """
import pickle, sys
REFUSED = {"sklearn", "automl_wf", "joblib", "cloudpickle", "dill", "skops", "pandas"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REFUSED:
            raise RuntimeError("the service imported " + name)
def refuse(*args, **kwargs):
    raise RuntimeError("the service opened a pickle")
pickle.load = pickle.loads = pickle.Unpickler = refuse
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ".")
from api.__main__ import main
main()
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read strictly."""
        return json.loads(self.body, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@dataclass(frozen=True)
class Service:
    """A running service."""

    port: int
    log: Path

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        key = {} if "Authorization" in named else {"X-API-Key": KEY}
        connection.request(method, path, content, {**key, "Content-Type": "application/json", **named})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer


@pytest.fixture(scope="module")
def samples(root: Path, config: Row, rows: list[Row], expected: list[Row]) -> list[tuple[Row, Row]]:
    """Sample rows that the service accepts, as many as one request may hold, each with what it must give."""
    limits, model = config["limits"], Model(root)
    cells = {c["name"]: [row[c["name"]] for row in rows] for c in model.columns}
    unseen = model.unseen({c["name"]: model.read(c, cells[c["name"]]) for c in model.columns})
    refused = {i for at in unseen.values() for i in at} if config["on_unknown"] == "raise" else set()
    refused |= {i for i, row in enumerate(rows) if any(is_too_long(cell, limits) for cell in row.values())}
    kept = [pair for i, pair in enumerate(zip(rows, expected, strict=True)) if i not in refused]
    kept = kept[: limits["max_rows"]]
    while len(json.dumps({"rows": [row for row, _ in kept]})) > limits["max_body_bytes"]:
        kept = kept[: len(kept) // 2]
    return kept


def is_too_long(cell: Any, limits: Row) -> bool:
    """Whether a cell is a text longer than the service takes."""
    return isinstance(cell, str) and len(cell) > limits["max_string_length"]


@pytest.fixture(scope="module")
def row(samples: list[tuple[Row, Row]]) -> Row:
    """One row that the service accepts."""
    return samples[0][0]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of a service that is really deployed."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("MODEL_")}, **more}


@pytest.fixture(scope="module")
def service(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = environment(
        MODEL_PORT=str(port),
        MODEL_API_KEY_HASHES=hashlib.sha256(KEY.encode()).hexdigest(),
        MODEL_THREADS="1",
        MODEL_ADAPTERS="v2,mlflow",
        MODEL_KPIS="orders",
    )
    log = tmp_path_factory.mktemp("service") / "log.jsonl"
    with log.open("wb") as stream:
        command = [sys.executable, "-c", SERVE]
        process = subprocess.Popen(command, cwd=root, env=settings, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_until_alive(Service(port, log), process)
        yield Service(port, log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_alive(service: Service, process: subprocess.Popen[bytes]) -> None:
    """Return once the service answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the service ended by itself:\n{service.log.read_text()}")
        try:
            service.call("GET", "/healthz")
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the service did not answer within a minute")


def check_problem(answer: Answer, status: int) -> Any:
    """The problem document of an answer, once it is seen to be one."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json.keys() >= {"type", "title", "detail", "instance"}
    return answer.json


def used(config: Row) -> list[Row]:
    """Columns that a request must hold."""
    return [c for c in config["columns"] if c["is_used"]]


def test_health_and_readiness(service: Service) -> None:
    assert service.call("GET", "/healthz").json == {"status": "alive"}
    assert service.call("GET", "/readyz").json == {"status": "ready"}


def test_predictions_by_rows_and_by_columns(service: Service, samples: list[tuple[Row, Row]]) -> None:
    rows, expected = [row for row, _ in samples], [answer for _, answer in samples]
    by_rows = service.call("POST", "/v1/predict", {"rows": rows})
    by_columns = service.call("POST", "/v1/predict", {"columns": {n: [row[n] for row in rows] for n in rows[0]}})
    for answer in (by_rows, by_columns):
        assert answer.status == 200, answer.body
        assert all(map(is_close, answer.json["predictions"], expected))
        assert len(answer.json["predictions"]) == len(expected)
    assert by_rows.headers["content-type"] == "application/json"


@pytest.mark.parametrize("key", ["", "wrong", "é"])
def test_other_keys_are_refused(service: Service, row: Row, key: str) -> None:
    for method, path, body in [
        ("POST", "/v1/predict", {"rows": [row]}),
        ("POST", "/v1/feedback", {"prediction_id": "1"}),
        ("POST", "/invocations", {"instances": [row]}),
        *(
            ("GET", p, None)
            for p in ("/v1/model", "/v1/monitoring", "/dashboard", "/openapi.json", "/docs", "/nothing")
        ),
    ]:
        answer = service.call(method, path, body, X_API_Key=key)
        check_problem(answer, 401)
        assert "www-authenticate" in answer.headers
        assert "x-model-version" not in answer.headers


def test_no_start_without_keys(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "api"], cwd=root, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode != 0
    assert "MODEL_API_KEY_HASHES" in ended.stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe{", 400),
        (b'{"rows": [{"a": ' + b"9" * 5000 + b"}]}", 400),
        (b"[" * 100_000, 400),
        (b"null", 422),
        (b"[1, 2]", 422),
        (b"{}", 422),
        (b'{"rows": [], "columns": {}}', 422),
        (b'{"rows": []}', 422),
        (b'{"rows": null}', 422),
        (b'{"rows": [null]}', 422),
        (b'{"rows": [{}]}', 422),
        (b'{"rows": {"a": 1}}', 422),
        (b'{"columns": {}}', 422),
        (b'{"columns": [1]}', 422),
        (b'{"rows": [{"\\ud800": "\\ud800"}]}', 422),
        (b'{"rows": [{"no column": NaN, "nor this": Infinity, "nor that": 1e999}]}', 422),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else str(value),
)
def test_hostile_bodies(service: Service, body: bytes, status: int) -> None:
    check_problem(service.call("POST", "/v1/predict", body), status)


@pytest.mark.parametrize("cell", [b"[1]", b'{"a": 1}', b'"\\ud800"', b"too long"])
def test_hostile_cells_are_named_and_not_repeated(service: Service, config: Row, row: Row, cell: bytes) -> None:
    name = used(config)[0]["name"]
    odd = {**row, name: "put the cell here"}
    if cell == b"too long":
        cell = b'"' + b"x" * (config["limits"]["max_string_length"] + 1) + b'"'
    body = json.dumps({"rows": [row, odd]}).encode().replace(b'"put the cell here"', cell)
    problem = check_problem(service.call("POST", "/v1/predict", body), 422)
    assert [(e["column"], e["row"]) for e in problem["errors"]] == [(name, 1)]
    assert "xxx" not in problem["errors"][0]["detail"]


@pytest.mark.parametrize("cell", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_missing(service: Service, config: Row, row: Row, cell: bytes) -> None:
    name = next((c["name"] for c in used(config) if c["edge"] == "double"), None)
    if name is None:
        pytest.skip("the model is given no numbers")
    body = json.dumps({"rows": [{**row, name: "put the cell here"}]}).encode()
    answer = service.call("POST", "/v1/predict", body.replace(b'"put the cell here"', cell)).json
    missing = service.call("POST", "/v1/predict", {"rows": [{**row, name: None}]}).json
    assert answer["predictions"] == missing["predictions"]
    assert any(w["code"] == "infinity" for w in answer["warnings"]) == (cell != b"NaN")


def test_text_in_place_of_a_number_or_date_is_named(service: Service, config: Row, row: Row) -> None:
    for column in used(config)[:20]:
        if column["edge"] != "string":
            odd = {**row, column["name"]: "certainly neither"}
            problem = check_problem(service.call("POST", "/v1/predict", {"rows": [odd]}), 422)
            assert [(e["column"], e["row"]) for e in problem["errors"]] == [(column["name"], 0)]
            assert "certainly" not in json.dumps(problem)


def test_a_missing_column_is_named(service: Service, config: Row, row: Row) -> None:
    for column in used(config)[:20]:
        odd = {name: cell for name, cell in row.items() if name != column["name"]}
        problem = check_problem(service.call("POST", "/v1/predict", {"rows": [row, odd]}), 422)
        assert [(e["code"], e["column"], e["row"]) for e in problem["errors"]] == [
            ("missing_column", column["name"], 1)
        ]


def test_columns_in_another_order_and_unknown_ones(service: Service, samples: list[tuple[Row, Row]]) -> None:
    sent = [{"no such column": 1, **dict(reversed(row.items()))} for row, _ in samples]
    answer = service.call("POST", "/v1/predict", {"rows": sent}).json
    assert all(is_close(found, wanted) for found, (_, wanted) in zip(answer["predictions"], samples, strict=True))
    extra = [w["columns"] for w in answer["warnings"] if w["code"] == "extra_columns"]
    assert extra == [["no such column"]]


def test_too_many_rows_and_too_large_a_body(service: Service, config: Row, row: Row) -> None:
    n_bytes, n_rows = config["limits"]["max_body_bytes"], config["limits"]["max_rows"]
    check_problem(service.call("POST", "/v1/predict", b" " * (n_bytes + 1)), 413)
    body = b'{"rows": [' + b",".join([b"{}"] * (n_rows + 1)) + b"]}"
    check_problem(service.call("POST", "/v1/predict", body), 413)


def test_other_addresses_methods_and_media_types(service: Service, row: Row) -> None:
    check_problem(service.call("GET", "/v2"), 404)
    assert check_problem(service.call("GET", "/v1/predict"), 405)["instance"] == "/v1/predict"
    check_problem(service.call("POST", "/v1/predict", {"rows": [row]}, Content_Type="text/plain"), 415)


def test_request_ids(service: Service) -> None:
    assert service.call("GET", "/healthz", X_Request_ID="mine-1").headers["x-request-id"] == "mine-1"
    assert len(service.call("GET", "/healthz", X_Request_ID='"><b>').headers["x-request-id"]) == 36


def test_the_log_is_json_without_what_was_sent(service: Service, config: Row, row: Row) -> None:
    marker = "a value for no log"
    odd = {**row, used(config)[0]["name"]: marker}
    service.call("POST", "/v1/predict", {"rows": [odd], marker: 1}, X_Request_ID="in-the-log")
    service.call("GET", "/healthz")
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    line = next(line for line in lines if line.get("request_id") == "in-the-log")
    assert line.keys() >= {"time", "level", "message", "route", "method", "status", "ms", "version"}
    assert marker not in service.log.read_text()


def test_the_model_describes_itself(service: Service, config: Row) -> None:
    about = service.call("GET", "/v1/model").json
    assert (about["name"], about["version"]) == (config["name"], config["version"])
    assert [c["name"] for c in about["columns"]] == [c["name"] for c in config["columns"]]


def predict(service: Service, *rows: Row, **wishes: bool) -> list[Row]:
    """Predictions, with whatever else is wished for."""
    answer = service.call("POST", "/v1/predict", {"rows": list(rows), **wishes})
    assert answer.status == 200, answer.body
    predictions: list[Row] = answer.json["predictions"]
    return predictions


def test_explanations_add_up(service: Service, config: Row, row: Row) -> None:
    if not config.get("background"):
        pytest.skip("the package holds no background")
    [prediction] = predict(service, row, explanations=True)
    found = prediction["explanation"]
    parts = [part["value"] for part in found["contributions"]]
    if None in parts or found["base"] is None:
        pytest.skip("a prediction is no finite number")
    if config["classes"] is None:
        explained = prediction["prediction"]
    else:
        label = found["of"]["probability_of"]
        explained = prediction["probabilities"][label if isinstance(label, str) else json.dumps(label)]
    scale = max(1.0, abs(explained), *map(abs, parts))
    assert abs(found["base"] + sum(parts) - explained) <= 1e-6 * scale
    assert predict(service, row, explanations=True) == [prediction]
    problem = check_problem(service.call("POST", "/v1/predict", {"rows": [row] * 6, "explanations": True}), 422)
    assert problem["errors"][0]["field"] == "explanations"


def test_intervals_hold_the_prediction(service: Service, config: Row, row: Row) -> None:
    if not service.call("GET", "/v1/model").json["has_intervals"]:
        check_problem(service.call("POST", "/v1/predict", {"rows": [row], "intervals": True}), 422)
        return
    [prediction] = predict(service, row, intervals=True)
    if config["classes"] is None:
        ends = prediction["interval"]
        assert ends["lower"] <= prediction["prediction"] <= ends["upper"]
    else:
        assert all(label in config["classes"] for label in prediction["set"]["labels"])


def test_feedback_is_taken_once(service: Service, row: Row) -> None:
    [prediction] = predict(service, row, prediction_ids=True)
    said = {
        "prediction_id": prediction["prediction_id"],
        "y_true": prediction.get("label", prediction.get("prediction")),
        "rating": 5,
        "outcomes": {"orders": 2},
    }
    assert service.call("POST", "/v1/feedback", said).json["statuses"] == ["accepted"]
    assert service.call("POST", "/v1/feedback", said).json["statuses"] == ["duplicate"]
    check_problem(service.call("POST", "/v1/feedback", {**said, "rating": 1}), 409)
    made_up = {**said, "prediction_id": f"{int(time.time()):x}.0000000000000000.0"}
    check_problem(service.call("POST", "/v1/feedback", made_up), 404)
    check_problem(service.call("POST", "/v1/feedback", {**said, "prediction_id": "00000001.0000000000000000.0"}), 410)
    assert service.call("POST", "/v1/feedback", {"feedback": [said, made_up]}).json["statuses"] == [
        "duplicate",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prediction_id": 5}, "prediction_id"),
        ({"y_true": "certainly no class"}, "y_true"),
        ({"y_true": [1]}, "y_true"),
        ({"rating": 6}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": None}, "y_true"),
        ({"outcomes": {"orders": -1}}, "outcomes.orders"),
        ({"outcomes": {"nobody knows": 1}}, "outcomes.nobody knows"),
        ({"outcomes": 1}, "outcomes"),
        ({"truth": 1}, "truth"),
    ],
)
def test_hostile_feedback_is_named(service: Service, change: Row, field: str) -> None:
    said = {"prediction_id": "00000001.0000000000000000.0", "rating": 5, **change}
    problem = check_problem(service.call("POST", "/v1/feedback", said), 422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert "certainly" not in json.dumps(problem)


def test_adapters_predict_the_same(service: Service, config: Row, samples: list[tuple[Row, Row]]) -> None:
    names = [c["name"] for c in used(config)]
    rows = of_one_type([row for row, _ in samples], names)
    expected, cells = predict(service, *rows), {name: [row[name] for row in rows] for name in names}
    for body in (
        {"dataframe_records": rows},
        {"dataframe_split": {"columns": names, "data": [[row[name] for name in names] for row in rows]}},
        {"inputs": cells},
        {"instances": rows},
    ):
        answer = service.call("POST", "/invocations", body)
        assert answer.status == 200, answer.body
        assert answer.json == {"predictions": expected}
    address = f"/v2/models/{quote(config['name'], safe='')}"
    assert service.call("GET", address).json["name"] == config["name"]
    assert service.call("GET", f"{address}/ready").json["ready"]
    inputs = [
        {"name": name, "shape": [len(rows), 1], "datatype": datatype(column), "data": column}
        for name, column in cells.items()
    ]
    answer = service.call("POST", f"{address}/infer", {"id": "mine", "inputs": inputs})
    assert answer.status == 200, answer.body
    outputs = {tensor["name"]: tensor["data"] for tensor in answer.json["outputs"]}
    assert answer.json["id"] == "mine"
    if config["classes"] is None:
        assert outputs["prediction"] == [one["prediction"] for one in expected]
    else:
        assert outputs["probabilities"] == [share for one in expected for share in one["probabilities"].values()]
        assert len(outputs["label"]) == len(rows)


def datatype(cells: list[Any]) -> str:
    """Datatype of a tensor of these cells."""
    return next((DATATYPES[type(cell)] for cell in cells if cell is not None), "BYTES")


def of_one_type(rows: list[Row], names: list[str]) -> list[Row]:
    """Rows whose cells have the types of the first row's, as the cells of a tensor must."""
    kept: list[Row] = []
    kinds: dict[str, str] = {}
    for row in rows:
        found = {name: DATATYPES[type(row[name])] for name in names if row[name] is not None}
        if all(kinds.get(name, kind) == kind for name, kind in found.items()):
            kinds |= found
            kept.append(row)
    return kept


def test_hostile_tensors(service: Service, config: Row) -> None:
    address = f"/v2/models/{quote(config['name'], safe='')}/infer"
    for inputs in (None, [1], [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1]}]):
        problem = check_problem(service.call("POST", address, {"inputs": inputs}), 422)
        assert problem["error"] == problem["detail"]
    check_problem(service.call("GET", "/v2/models/another"), 404)


def test_the_monitoring_page(service: Service, config: Row) -> None:
    log_in = base64.b64encode(f"anybody:{KEY}".encode()).decode()
    page = service.call("GET", "/dashboard", Authorization=f"Basic {log_in}")
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    [script] = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script).digest()).decode() in policy
    found = service.call("GET", "/v1/monitoring").json
    assert (found["version"], found["traffic"]["requests"] > 0) == (config["version"], True)
    assert service.call("GET", "/v1/advice").json["advice"] in ("retrain", "watch", "none")


def test_metrics(service: Service, config: Row, row: Row) -> None:
    service.call("POST", "/v1/predict", {"rows": [row]})
    text = service.call("GET", "/metrics").body.decode()
    for name in [
        "model_info",
        "model_predictions_total",
        "model_inference_duration_seconds_bucket",
        'http_requests_total{handler="/v1/predict",method="POST",status="200"}',
        "http_request_duration_seconds_bucket",
        "model_drift_window_rows",
        "log_messages_total",
        "process_resident_memory_bytes",
        "model_performance_rows",
        "model_retraining_advised",
    ]:
        assert f"\n{name}" in text


def test_openapi_examples_work(service: Service, config: Row) -> None:
    document = service.call("GET", "/openapi.json").json
    assert set(document["paths"]) >= {"/healthz", "/readyz", "/metrics", "/v1/model", "/v1/predict", "/v1/feedback"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation and path != "/v1/feedback":
                example = operation["requestBody"]["content"]["application/json"]["example"]
                address = path.replace("{name}", quote(config["name"], safe=""))
                assert service.call("POST", address, example).status == 200


def test_the_examples_of_the_guide_run(service: Service, root: Path, tmp_path: Path) -> None:
    guide = (root / "docs" / "api_guide.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"Save this as `(\S+)`:\n\n```json\n(.*?)```", guide, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    script = tmp_path / "example.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)), encoding="utf-8")
    settings = environment(URL=f"http://127.0.0.1:{service.port}", KEY=KEY)
    ended = subprocess.run([sys.executable, script], cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "accepted" in ended.stdout
