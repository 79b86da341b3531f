"""The sixteen items of deployment readiness, each measured on the package as it lies on the disk; only `pass` passes.

What concerns the service is measured over HTTP on the running service itself, started as its guide says. Limits that
the owner did not set are `DEFAULT_LIMITS`, and the evidence says so: within them an item passes, beyond them the
owner has to decide.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from automl_wf.deployment.evidence import measure
from automl_wf.deployment.render import template_root

Status = Literal["pass", "fail", "not_run", "needs_owner"]
STATUSES: tuple[Status, ...] = ("pass", "fail", "not_run", "needs_owner")
#: Bytes of model.onnx, seconds for one row (95th percentile), bytes of memory: where the owner set no limit.
DEFAULT_LIMITS = {"max_size": 100 * 2**20, "max_predict_time": 0.1, "max_memory": 2**30}
Answer = tuple[Status, str]
_TIMEOUT_S = 300.0
_START_S = 60.0


@dataclass(frozen=True)
class Item:
    """One item of the checklist: its group, how it came out, what was measured, and how long that took."""

    group: str
    name: str
    status: Status
    evidence: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class TestRun:
    """One run of the package's own tests."""

    __test__ = False

    n_passed: int
    failed: tuple[str, ...]
    n_skipped: int
    output: str
    seconds: float
    returncode: int

    @property
    def ok(self) -> bool:
        """Whether tests ran and none failed."""
        return self.returncode == 0 and self.n_passed > 0 and not self.failed

    def __str__(self) -> str:
        failed = f", {len(self.failed)} failed ({', '.join(self.failed[:3])})" if self.failed else ""
        return f"{self.n_passed} tests passed, {self.n_skipped} skipped{failed} in {self.seconds:.1f} s"


@dataclass(frozen=True)
class Response:
    """What the service answered."""

    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Probe:
    """What the running service did: answers by name, its log, and whether it refused to start without keys."""

    answers: Mapping[str, Response]
    bad: Mapping[str, Response]
    log: str
    refused_without_keys: bool
    secret: str


@dataclass(frozen=True)
class Inspection:
    """What the items are measured on.

    Parameters
    ----------
    folder : Path
        The package.
    tests : TestRun or None
        How its own tests went; None without a graph.
    limits : mapping of str to float
        "max_size" (bytes), "max_predict_time" (seconds per row), "max_memory" (bytes), as far as the owner said.
    known : mapping or None
        "latency" and "memory" if these files were measured already, as `evidence.measure` returns them.
    """

    folder: Path
    tests: TestRun | None
    limits: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Any] | None = None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """model/metadata.json."""
        return self._json("model/metadata.json")

    @cached_property
    def config(self) -> dict[str, Any]:
        """model/config.json."""
        return self._json("model/config.json")

    @cached_property
    def figures(self) -> Mapping[str, Any]:
        """Seconds and peak memory of the graph in a process of its own."""
        return measure(self.folder) if self.known is None else self.known

    @cached_property
    def probe(self) -> Probe:
        """The service, started and spoken to once."""
        return probe_service(self.folder, self.config, self.text("docs/api_guide.md"))

    @property
    def metrics(self) -> str:
        """What the service exposed after it was spoken to."""
        return self.probe.answers["metrics"].body.decode()

    def text(self, name: str) -> str:
        """A text file; empty if it is not there."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.text(name))
        return content


def run_checklist(inspection: Inspection) -> tuple[Item, ...]:
    """Measure all items, in the order of `CHECKLIST`."""
    return tuple(
        _measure(group, name, check, inspection)
        for group, checks in CHECKLIST.items()
        for name, check in checks.items()
    )


def totals(items: Sequence[Item]) -> dict[str, int]:
    """How many items came out how; only "pass" is a pass.

    Examples
    --------
    >>> totals([Item("g", "a", "pass", "", 0.0), Item("g", "b", "needs_owner", "", 0.0)])
    {'pass': 1, 'fail': 0, 'not_run': 0, 'needs_owner': 1}
    """
    return {status: sum(item.status == status for item in items) for status in STATUSES}


def _measure(group: str, name: str, check: Callable[[Inspection], Answer], inspection: Inspection) -> Item:
    start = time.perf_counter()
    needs_service = check not in _WITHOUT_SERVICE
    if needs_service and not inspection.facts["graph"]["exists"]:
        status, evidence = _not_run("there is no graph, and so no service")
    else:
        try:
            status, evidence = check(inspection)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError, http.client.HTTPException) as error:
            status, evidence = "fail", f"could not be measured: {type(error).__name__}: {error}"
    return Item(group, name, status, evidence, round(time.perf_counter() - start, 3))


# The package's own tests and its service, in processes that can import nothing of what trained


def guarded_environment(**extra: str) -> dict[str, str]:
    """Environment of a process that refuses to import what trained, or to open a pickle."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MODEL_", "PYTEST_", "COV_", "PYTHON"))}
    return {
        **kept,
        "PYTHONPATH": str(template_root() / "inspection/guard"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **extra,
    }


def run_tests(folder: Path) -> TestRun:
    """Run `python -m pytest tests` in a package.

    Parameters
    ----------
    folder : Path
        The package.

    Returns
    -------
    TestRun
        Counts, names of what failed, and the output.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        settings = () if (folder / "pytest.ini").is_file() else ("-c", os.devnull, f"--rootdir={folder}")
        command = (
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *settings, f"--confcutdir={folder}",
            f"--basetemp={scratch}/work", f"--junitxml={report}", "tests",
        )  # fmt: skip
        with _process(command, folder, guarded_environment()) as process:
            try:
                output, _ = process.communicate(timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                output = f"The tests were stopped after {_TIMEOUT_S:.0f} s."
        cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    n_skipped = sum(c.find("skipped") is not None for c in cases)
    return TestRun(
        n_passed=len(cases) - len(failed) - n_skipped,
        failed=tuple(str(c.get("name")) for c in failed),
        n_skipped=n_skipped,
        output=output,
        seconds=time.perf_counter() - start,
        returncode=process.returncode if process.returncode is not None else -1,
    )


@contextmanager
def _process(command: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, of which nothing is left afterwards."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop(process)
        if process.stdout is not None:
            process.stdout.close()


def _stop(process: subprocess.Popen[str]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def probe_service(folder: Path, config: Mapping[str, Any], guide: str) -> Probe:
    """Start the service on a free port and see how it answers good requests, bad ones, and strangers.

    Parameters
    ----------
    folder : Path
        The package.
    config : mapping
        Its config.json.
    guide : str
        Its api_guide.md, whose first JSON is a request that works.

    Returns
    -------
    Probe
        What it did.

    Raises
    ------
    OSError
        It did not answer within a minute; its output is in the message.
    """
    key, secret = secrets.token_urlsafe(16), f"secret-{secrets.token_hex(8)}"
    hashed = hashlib.sha256(key.encode()).hexdigest()
    good = {"rows": [config["self_test"]["row"]]}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = (
        sys.executable, "-m", "uvicorn", "--factory", "api.app:create_app", "--host", "127.0.0.1", "--port", str(port),
    )  # fmt: skip
    with _process(command, folder, guarded_environment()) as stranger:
        environment = guarded_environment(MODEL_API_KEY_HASHES=hashed)
        with _process(command[:-1] + (str(port),), folder, environment) as service:
            ask = _Client(port, key)
            refused = _wait_for_exit(stranger)
            _wait_until_alive(ask, service)
            answers = {
                "health": ask("GET", "/healthz"),
                "ready": ask("GET", "/readyz"),
                "predict": ask("POST", "/v1/predict", good),
                "guide": ask("POST", "/v1/predict", _first_json(guide)),
                "model": ask("GET", "/v1/model"),
                "openapi": ask("GET", "/openapi.json"),
                "no key": ask("POST", "/v1/predict", good, key=None),
                "wrong key": ask("POST", "/v1/predict", good, key="wrong"),
            }
            bad = {name: ask("POST", "/v1/predict", body) for name, body in _bad_bodies(config, secret).items()}
            answers["metrics"] = ask("GET", "/metrics")
            service.terminate()
            log, _ = service.communicate(timeout=_START_S)
    return Probe(answers, bad, log, refused, secret)


class _Client:
    """Speaks HTTP to one port."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    def __call__(self, method: str, path: str, body: Any = None, key: str | None = "") -> Response:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Request-ID": "checklist-1"}
        if key is not None:
            headers["X-API-Key"] = key or self._key
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            # A body that is too long may be refused before all of it was sent: the answer is there all the same
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers.get_content_type(), answer.read())
        finally:
            connection.close()


def _wait_until_alive(ask: _Client, service: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and service.poll() is None:
        try:
            ask("GET", "/healthz")
        except OSError:
            time.sleep(0.05)
        else:
            return
    _stop(service) if service.poll() is None else None
    output, _ = service.communicate()
    raise OSError(f"the service did not start: {output[-1000:]}")


def _first_json(guide: str) -> bytes:
    """The first block of JSON in a page."""
    match = re.search(r"^```json\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    return b"" if match is None else match[1].encode()


def _wait_for_exit(process: subprocess.Popen[str]) -> bool:
    """Whether it ended by itself, with an error."""
    try:
        return process.wait(timeout=_START_S) != 0
    except subprocess.TimeoutExpired:
        return False


def _bad_bodies(config: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """Requests that must be refused with a problem, never with an error of the server's own."""
    row = config["self_test"]["row"]
    used = [c for c in config["columns"] if c["is_used"]]
    limits, name = config["limits"], used[0]["name"]
    bodies: dict[str, Any] = {
        "nothing": b"",
        "no JSON": b'{"rows": [',
        "not an object": [row],
        "no rows": {"rows": []},
        "row is text": {"rows": [secret]},
        "both forms": {"rows": [row], "columns": {}},
        "missing column": {"rows": [{k: v for k, v in row.items() if k != name}]},
        "cell is a list": {"rows": [{**row, name: [secret]}]},
        "too many rows": {"rows": [{}] * (limits["max_rows"] + 1)},
        "too many bytes": b" " * (limits["max_body_bytes"] + 1),
        "too deep": b"[" * 100_000,
        "not UTF-8": b'{"rows": "\xff\xfe"}',
    }
    typed = next((c["name"] for c in used if c["edge"] != "string"), None)
    if typed is not None:
        bodies["wrong type"] = {"rows": [{**row, typed: secret}]}
    text = next((c["name"] for c in used if c["edge"] == "string"), None)
    if text is not None:
        bodies["text too long"] = {"rows": [{**row, text: "x" * (limits["max_string_length"] + 1)}]}
    return bodies


# The items


def _not_run(reason: str) -> Answer:
    return "not_run", f"not run: {reason}"


def _verdict(is_met: bool, evidence: str) -> Answer:
    return ("pass" if is_met else "fail"), evidence


def _serialized_model_exists(i: Inspection) -> Answer:
    graph = i.facts["graph"]
    if not graph["exists"]:
        return "fail", f"model.pkl only: {graph['reason']}"
    names = ("model.onnx", "model.pkl", "preprocessor.pkl")
    missing = [name for name in names if not (i.folder / "model" / name).is_file()]
    if missing or i.tests is None or not i.tests.ok:
        return "fail", f"missing: {missing}" if missing else str(i.tests)
    return "pass", f"{', '.join(names)}; the graph equals predict: {json.dumps(graph['parity'])}"


def _model_size_acceptable(i: Inspection) -> Answer:
    size = (i.folder / "model/model.onnx").stat().st_size
    return _within(i, size, f"model.onnx has {size:,} bytes", "max_size", "bytes")


def _inference_time_acceptable(i: Inspection) -> Answer:
    latency = i.figures["latency"]
    one, many = latency["one_row_p95_s"], latency["thousand_rows_s"]
    evidence = f"one row {one * 1e3:.3g} ms (95th percentile of 200), 1,000 rows {many * 1e3:.3g} ms"
    return _within(i, one, evidence, "max_predict_time", "seconds per row")


def _memory_usage_acceptable(i: Inspection) -> Answer:
    peak = i.figures["memory"]["peak_bytes"]
    if peak is None:
        return _not_run("this system does not tell a process's peak memory")
    evidence = f"peak of a fresh process that loads the graph and predicts 1,000 rows: {peak / 2**20:.0f} MiB"
    found = re.search(r"^process_resident_memory_bytes (\S+)$", i.metrics, re.MULTILINE)
    if found is not None:
        evidence += f"; the service after these requests: {float(found[1]) / 2**20:.0f} MiB"
        peak = max(peak, float(found[1]))
    return _within(i, peak, evidence, "max_memory", "bytes")


def _within(i: Inspection, value: float, evidence: str, name: str, unit: str) -> Answer:
    if name in i.limits:
        return _verdict(value <= i.limits[name], f"{evidence}; allowed: {i.limits[name]:,} {unit}")
    default = DEFAULT_LIMITS[name]
    evidence += f"; allowed by default: {default:,} {unit} ({name} in requirements sets another)"
    return ("pass" if value <= default else "needs_owner"), evidence


def _endpoint_defined(i: Inspection) -> Answer:
    answers = i.probe.answers
    stated = {name: answers[name].status for name in ("health", "ready", "model", "predict")}
    said = (answers["predict"].json or {}).get("predictions", [None])[0]
    equal = said is not None and _is_close(said, i.config["self_test"]["expected"])
    evidence = f"statuses {stated}; the answer to the self-test row {'equals' if equal else 'differs from'} predict"
    if i.tests is not None:
        evidence += f"; {i.tests}"
    return _verdict(equal and set(stated.values()) == {200} and i.tests is not None and i.tests.ok, evidence)


def _is_close(found: Any, expected: Any) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(_is_close(found.get(k), v) for k, v in expected.items())
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(found - expected) <= 1e-9 * max(1.0, abs(expected))
    return bool(found == expected)


def _input_validation_implemented(i: Inspection) -> Answer:
    statuses = {name: answer.status for name, answer in i.probe.bad.items()}
    return _verdict(all(400 <= s < 500 for s in statuses.values()), f"bad bodies were answered {statuses}")


def _error_handling_complete(i: Inspection) -> Answer:
    keys = {"type", "title", "status", "detail"}
    wrong = [
        name
        for name, answer in i.probe.bad.items()
        if answer.content_type != "application/problem+json"
        or not isinstance(answer.json, dict)
        or not keys <= set(answer.json)
        or answer.json["status"] != answer.status
    ]
    told = [name for name, answer in i.probe.bad.items() if i.probe.secret.encode() in answer.body]
    evidence = f"{len(i.probe.bad)} errors; not in the form of RFC 9457: {wrong}; repeating what was sent: {told}"
    return _verdict(not wrong and not told, evidence)


def _authentication_configured(i: Inspection) -> Answer:
    statuses = {name: i.probe.answers[name].status for name in ("no key", "wrong key", "predict")}
    evidence = f"statuses {statuses}; start without keys was {'' if i.probe.refused_without_keys else 'not '}refused"
    return _verdict(i.probe.refused_without_keys and list(statuses.values()) == [401, 401, 200], evidence)


def _logging_configured(i: Inspection) -> Answer:
    lines = [line for line in i.probe.log.splitlines() if line.strip()]
    parsed = []
    for line in lines:
        try:
            parsed.append(json.loads(line))
        except ValueError:
            return "fail", f"a line is no JSON: {line[:200]}"
    named = sum("checklist-1" in map(str, line.values()) for line in parsed if isinstance(line, dict))
    tells = i.probe.secret in i.probe.log
    evidence = (
        f"{len(lines)} lines of JSON, {named} with the request's id; cells {'are' if tells else 'are not'} in them"
    )
    return _verdict(named > 0 and not tells, evidence)


def _names_exposed(i: Inspection) -> set[str]:
    """Metrics that the service exposes, with the suffixes of histograms."""
    names = set(re.findall(r"^# TYPE (\S+)", i.metrics, re.MULTILINE)) | set(
        re.findall(r"^([a-zA-Z_:][\w:]*)", i.metrics, re.MULTILINE)
    )
    names |= _AFTER_FEEDBACK
    return names | {name + suffix for name in names for suffix in ("_bucket", "_sum", "_count", "_total")}


#: What is absent until somebody rates a prediction.
_AFTER_FEEDBACK = {"model_feedback_rating"}
_SERVICE_METRICS = (
    "model_predictions_total", "model_inference_duration_seconds", "http_requests_total",
    "http_request_duration_seconds", "model_feature_missing_total", "model_feature_drift_psi",
    "model_prediction_drift_psi", "model_drift_window_rows", "model_feature_drift_threshold", "model_info",
    "model_performance_reference", "model_performance", "model_feedback_total", "model_error_cost_total",
    "model_business_value_total", "log_messages_total", "process_cpu_seconds_total", "process_resident_memory_bytes",
)  # fmt: skip


def _metrics_collection_setup(i: Inspection) -> Answer:
    answer = i.probe.answers["metrics"]
    missing = [name for name in _SERVICE_METRICS if name not in _names_exposed(i)]
    return _verdict(answer.status == 200 and not missing, f"/metrics answers {answer.status}; not exposed: {missing}")


def _metrics_used(expressions: Sequence[str]) -> set[str]:
    """Names of metrics, and of series that rules record, in expressions of PromQL."""
    bare = [re.sub(r'"[^"]*"|\{[^}]*\}|\b(?:by|without|on|group_left)\s*\([^)]*\)', " ", text) for text in expressions]
    return {name for text in bare for name in re.findall(r"\b(?:model|http|process|log)[_:][a-z0-9_:]+", text)}


def _unknown_metrics(i: Inspection, expressions: Sequence[str]) -> list[str]:
    """Metrics in expressions that neither the service exposes nor a rule records."""
    recorded = re.findall(r"^\s*- record:\s*(\S+)", i.text(_ALERTS), re.MULTILINE)
    return sorted(_metrics_used(expressions) - _names_exposed(i) - set(recorded))


_ALERTS, _ALERT_TESTS = "monitoring/alerts.yaml", "monitoring/alerts_test.yaml"


def _alerting_rules_defined(i: Inspection) -> Answer:
    text = i.text(_ALERTS)
    alerts = re.split(r"^\s*- alert:\s*", text, flags=re.MULTILINE)[1:]
    incomplete = [a.split()[0] for a in alerts if not all(re.search(rf"\b{word}:", a) for word in _PARTS_OF_AN_ALERT)]
    unknown = _unknown_metrics(i, re.findall(r"^\s*expr:((?: .*|\n {10,}.*)+)$", text, re.MULTILINE))
    evidence = (
        f"{len(alerts)} alerts; without {', '.join(_PARTS_OF_AN_ALERT)}: {incomplete}; unknown metrics: {unknown}"
    )
    if not alerts or incomplete or unknown:
        return "fail", evidence
    if shutil.which("promtool") is None:
        return _not_run(f"promtool is not installed, so the rules were not tried; {evidence}")
    is_sound, said = _try_rules(text, i.text(_ALERT_TESTS))
    return _verdict(is_sound, f"{evidence}; {said}")


@cache
def _try_rules(rules: str, tests: str) -> tuple[bool, str]:
    """Whether promtool takes the rules and they pass their tests, and what it said; each pair is tried once."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in ((_ALERTS, rules), (_ALERT_TESTS, tests)):
            Path(scratch, Path(name).name).write_text(content, encoding="utf-8")
        checked, said = _promtool(Path(scratch), "check", "rules", Path(_ALERTS).name)
        if checked:
            return False, f"promtool check rules: {said}"
        tested, answer = _promtool(Path(scratch), "test", "rules", Path(_ALERT_TESTS).name)
    return tested == 0, f"promtool check rules: {said}; promtool test rules: {answer}"


_PARTS_OF_AN_ALERT = ("expr", "for", "severity", "summary", "description", "runbook_url")


def _promtool(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and the end of what promtool said, in a package."""
    done = subprocess.run(("promtool", *arguments), cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())[-300:]


def _dashboard_created(i: Inspection) -> Answer:
    board = json.loads(i.text("monitoring/dashboard.json") or "{}")
    panels = [p for p in _panels(board) if p.get("targets")]
    expressions = [str(t.get("expr", "")) for p in panels for t in p["targets"]]
    unknown = _unknown_metrics(i, expressions)
    evidence = f"{len(panels)} panels; metrics that the service does not expose: {unknown}"
    if not panels or unknown:
        return "fail", evidence
    if shutil.which("promtool") is None:
        return "pass", f"{evidence}; promtool is not installed, so the syntax of the expressions was not checked"
    with tempfile.TemporaryDirectory() as scratch:
        rules = [{"record": f"panel:{n}", "expr": _without_variables(e)} for n, e in enumerate(expressions)]
        Path(scratch, "panels.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
        returncode, said = _promtool(Path(scratch), "check", "rules", "panels.json")
    return _verdict(returncode == 0, f"{evidence}; as rules for promtool: {said}")


def _without_variables(expression: str) -> str:
    """An expression of a panel with Grafana's variables filled in."""
    return expression.replace("$__rate_interval", "5m").replace("$instance", ".*")


def _panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    panels = board.get("panels") or []
    return [p for panel in panels for p in (panel, *_panels(panel))]


def _api_documentation_complete(i: Inspection) -> Answer:
    guide = i.text("docs/api_guide.md")
    described = i.probe.answers["openapi"].json or {}
    paths = sorted(described.get("paths", {}))
    missing = [path for path in paths if path not in guide]
    statuses = {str(s) for p in described.get("paths", {}).values() for o in p.values() for s in o.get("responses", {})}
    unsaid = sorted(s for s in statuses if s not in guide)
    example = i.probe.answers["guide"].status
    evidence = (
        f"{len(paths)} paths and {len(statuses)} statuses; not in api_guide.md: {missing + unsaid}; its example is "
        f"answered {example}"
    )
    return _verdict(bool(paths) and not missing and not unsaid and example == 200, evidence)


def _model_card_created(i: Inspection) -> Answer:
    page, card = i.text("docs/model_card.md"), json.loads(i.text("docs/card.json") or "{}")
    counts = card.get("completeness") or {}
    unfilled = [
        f"{section}.{name}"
        for section, fields in (card.get("sections") or {}).items()
        for name, f in fields.items()
        if f["source"] == "unfilled" and "info" not in f["evidence"]
    ]
    evidence = (
        f"{counts.get('filled')} of {counts.get('fields')} fields filled; measured fields that are empty: {unfilled}"
    )
    return _verdict(page.startswith("---\n") and bool(counts), evidence)


def _training_procedure_documented(i: Inspection) -> Answer:
    fields = (json.loads(i.text("docs/card.json") or "{}").get("sections") or {}).get("how_it_was_made", {})
    needed = ("timings", "search", "leaderboard", "features", "environment")
    empty = [name for name in needed if fields.get(name, {}).get("source") != "measured"]
    return _verdict(not empty, f"card.json, how_it_was_made: {len(fields)} fields; not recorded: {empty}")


def _troubleshooting_guide_available(i: Inspection) -> Answer:
    guide = i.text("docs/troubleshooting.md")
    parts = re.split(r"^#+\s+(.*)$", guide, flags=re.MULTILINE)[1:]
    written = {_anchor(heading) for heading, body in zip(parts[::2], parts[1::2], strict=True) if body.strip()}
    linked = re.findall(r"runbook_url:\s*[\"']?docs/troubleshooting\.md#([\w-]+)", i.text(_ALERTS))
    lost = sorted(set(linked) - written)
    unlinked = len(re.findall(r"^\s*- alert:", i.text(_ALERTS), re.MULTILINE)) - len(linked)
    has_way_back = "roll-back" in written
    evidence = (
        f"{len(linked)} alerts link to troubleshooting.md, {unlinked} do not; links to nothing: {lost}; the way back "
        f"is {'' if has_way_back else 'not '}told"
    )
    return _verdict(bool(linked) and not lost and not unlinked and has_way_back, evidence)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


_WITHOUT_SERVICE = {_serialized_model_exists, _model_card_created, _training_procedure_documented}
#: The seed's checklist: group → item → how it is measured.
CHECKLIST: dict[str, dict[str, Callable[[Inspection], Answer]]] = {
    "model_requirements": {
        "serialized_model_exists": _serialized_model_exists,
        "model_size_acceptable": _model_size_acceptable,
        "inference_time_acceptable": _inference_time_acceptable,
        "memory_usage_acceptable": _memory_usage_acceptable,
    },
    "api_requirements": {
        "endpoint_defined": _endpoint_defined,
        "input_validation_implemented": _input_validation_implemented,
        "error_handling_complete": _error_handling_complete,
        "authentication_configured": _authentication_configured,
    },
    "monitoring_requirements": {
        "logging_configured": _logging_configured,
        "metrics_collection_setup": _metrics_collection_setup,
        "alerting_rules_defined": _alerting_rules_defined,
        "dashboard_created": _dashboard_created,
    },
    "documentation_requirements": {
        "api_documentation_complete": _api_documentation_complete,
        "model_card_created": _model_card_created,
        "training_procedure_documented": _training_procedure_documented,
        "troubleshooting_guide_available": _troubleshooting_guide_available,
    },
}
