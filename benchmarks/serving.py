"""How fast the exported service answers beside MLflow's scoring server and BentoML with the same model.

    benchmarks/peers.sh .peers mlflow bentoml
    python -m benchmarks.serving [--seconds 10] [--soak 200000] [--json serving.jsonl]

One model (the breast cancer table that scikit-learn bundles: thirty numbers), exported once; its ONNX graph is served
three times: by the package, by `mlflow models serve` (the ONNX flavour) and by a BentoML service that calls
onnxruntime, each in an environment and a process of its own, one worker, one thread for onnxruntime, one after the
other. Clients are the same for all: keep-alive connections of one process of asyncio, which takes CPU on the same
machine, so that figures compare servers and promise nothing. Answers are checked: a class and two probabilities for
each row.

`--soak N` sends N requests more to the package and reads its memory along the way; then versions are promoted and
rolled back under load, and every answer must be the one of the version that it names. Exit status 1: a request
failed, memory grew by more than a twentieth after the first fifth, or an answer was another version's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

from automl_wf import WorkflowClassifier, load
from automl_wf.deployment.registry import Event, Registry
from benchmarks.services import KEY, Service, as_rows, free_port, serving, wait_until_ready

ROWS, CLIENTS = (1, 100), (1, 8, 64)
#: Of all requests, after which memory is compared, and how much more there may be at the end.
SETTLED, GROWTH = 0.2, 1.05

MLFLOW = """
import sys, mlflow, onnx
mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], onnx_execution_providers=["CPUExecutionProvider"],
                       onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1})
"""
BENTOML = """
import json
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime

CONFIG = json.loads(Path("config.json").read_text())


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1000})
class Model:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
        self.inputs = [(c["name"], c["input"]) for c in CONFIG["columns"] if c["is_used"]]
        self.outputs = list(CONFIG["outputs"].values())

    @bentoml.api
    def predict(self, rows: list[dict[str, float]]) -> dict:
        feed = {i: np.array([row[n] for row in rows], dtype=np.float64)[:, None] for n, i in self.inputs}
        label, shares = self.session.run(self.outputs, feed)
        return {"label": label.ravel().tolist(), "probabilities": shares.tolist()}
"""


@dataclass(frozen=True)
class Target:
    """Where a server takes predictions, and how it wants and words them."""

    name: str
    port: int
    pid: int
    path: str
    body: Callable[[list[dict[str, Any]]], bytes]
    n_answers: Callable[[Any], int]


@dataclass(frozen=True)
class Timing:
    """What one combination of rows and clients took."""

    server: str
    n_rows: int
    n_clients: int
    n_requests: int
    n_failed: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    memory_mib: float


def main(arguments: list[str] | None = None) -> int:
    """Serve, load, soak, swap; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of load for each combination")
    parser.add_argument("--soak", type=int, default=0, help="requests while memory is read; 0: none")
    parser.add_argument("--peers", type=Path, default=Path(".peers"))
    parser.add_argument("--servers", nargs="+", default=["package", "mlflow", "bentoml"])
    parser.add_argument("--json", type=Path, help="append figures to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        packages = [export(X, y, folder / f"package{i}", seed=i, n_iter=2 + 2 * i) for i in range(2)]
        timings = []
        for name in options.servers:
            with started(name, packages[0], folder / name, options.peers) as target:
                if target is not None:
                    timings += measure_all(target, as_rows(X.head(100)), options.seconds, options.json)
        n_failed = sum(t.n_failed for t in timings)
        is_flat = soak(packages[0], folder, as_rows(X.head(1)), options.soak)
        is_right = swap(packages, folder, X)
    print(f"{n_failed} requests failed" if n_failed else "no request failed")
    return int(bool(n_failed) or not is_flat or not is_right)


def export(X: pd.DataFrame, y: pd.Series, folder: Path, seed: int, n_iter: int) -> Path:
    """Fit for a moment and export."""
    model = WorkflowClassifier(time_budget=None, n_iter=n_iter, random_state=seed, verbose=0, n_jobs=1)
    return model.fit(X, y.map({0: "malignant", 1: "benign"})).export(folder).path


# Servers


@contextmanager
def started(name: str, package: Path, folder: Path, peers: Path) -> Iterator[Target | None]:
    """One server with this model, ready; None if its environment is not there."""
    folder.mkdir()
    if name == "package":
        with serving(package, folder / "log.jsonl") as service:
            yield Target(name, service.port, service.process.pid, "/v1/predict", _as_rows, _of_package)
        return
    tool = peers / name / "bin"
    if not tool.is_dir():
        print(f"{name}: not run, {tool} is not there (benchmarks/peers.sh {peers} {name})")
        yield None
        return
    port = free_port()
    start = {"mlflow": start_mlflow, "bentoml": start_bentoml}[name]
    command, path, health, body, n_answers = start(package, folder, tool.resolve(), port)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "BENTOML_DO_NOT_TRACK": "true",
    }
    environment["PATH"] = f"{tool.resolve()}:{environment['PATH']}"
    environment.pop("PYTHONPATH", None)
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        wait_until_ready(Service(port, process, log), health, within_s=120)
        yield Target(name, port, process.pid, path, body, n_answers)
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)


Started = tuple[list[str], str, str, Callable[[list[dict[str, Any]]], bytes], Callable[[Any], int]]


def start_mlflow(package: Path, folder: Path, tool: Path, port: int) -> Started:
    """`mlflow models serve` of the graph."""
    subprocess.run(
        [tool / "python", "-c", MLFLOW, package / "model/model.onnx", folder / "saved"], check=True, capture_output=True
    )
    command = [str(tool / "mlflow"), "models", "serve", "-m", str(folder / "saved"), "-h", "127.0.0.1", "-p", str(port)]
    config = json.loads((package / "model/config.json").read_text())
    names = {c["name"]: c["input"] for c in config["columns"] if c["is_used"]}

    def body(rows: list[dict[str, Any]]) -> bytes:
        # As tensors: in a data frame every column would come as a vector, where the graph takes a matrix of one column
        return json.dumps({"inputs": {i: [[row[name]] for row in rows] for name, i in names.items()}}).encode()

    return (
        [*command, "--env-manager", "local", "--workers", "1"],
        "/invocations",
        "/ping",
        body,
        lambda answer: len(answer["predictions"]["label"]),
    )


def start_bentoml(package: Path, folder: Path, tool: Path, port: int) -> Started:
    """`bentoml serve` of a service around the graph."""
    for name in ("model.onnx", "config.json"):
        shutil.copy(package / "model" / name, folder)
    (folder / "service.py").write_text(BENTOML)
    command = [str(tool / "bentoml"), "serve", "service:Model", "--host", "127.0.0.1", "--port", str(port)]
    return (
        command,
        "/predict",
        "/readyz",
        _as_rows,
        lambda answer: len(answer["label"]),
    )


def _as_rows(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"rows": rows}).encode()


def _of_package(answer: Any) -> int:
    return sum({"label", "probabilities"} <= set(prediction) for prediction in answer["predictions"])


# Load


def measure_all(target: Target, rows: list[dict[str, Any]], seconds: float, path: Path | None) -> list[Timing]:
    """All combinations of rows and clients, each after a short warming up."""
    timings = []
    for n_rows in ROWS:
        for n_clients in CLIENTS:
            body = target.body(rows[:n_rows])
            asyncio.run(load_for(target, body, n_rows, n_clients, min(seconds / 5, 2.0)))
            times, n_failed, took = asyncio.run(load_for(target, body, n_rows, n_clients, seconds))
            p50, p99 = np.quantile(times, [0.5, 0.99]) * 1e3
            rate = (len(times) - n_failed) / took
            timings.append(
                Timing(target.name, n_rows, n_clients, len(times), n_failed, rate, p50, p99, memory_mib(target.pid))
            )
            print(
                f"{target.name:<8} {n_rows:>4} rows {n_clients:>3} clients: {rate:>8.0f} requests/s,"
                f" p50 {p50:>7.2f} ms, p99 {p99:>7.2f} ms, {n_failed} failed, {timings[-1].memory_mib:.0f} MiB",
                flush=True,
            )
            if path is not None:
                with path.open("a") as stream:
                    stream.write(json.dumps(asdict(timings[-1])) + "\n")
    return timings


async def load_for(
    target: Target, body: bytes, n_rows: int, n_clients: int, seconds: float
) -> tuple[list[float], int, float]:
    """Seconds of each request, how many failed, and how long it all took."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    failures = 0

    async def client() -> None:
        nonlocal failures
        async with Connection(target.port) as connection:
            while time.perf_counter() < end:
                begin = time.perf_counter()
                status, content = await connection.post(target.path, body)
                times.append(time.perf_counter() - begin)
                if status != 200 or (len(times) % 100 == 1 and target.n_answers(json.loads(content)) != n_rows):
                    failures += 1

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(n_clients)))
    return times, failures, time.perf_counter() - begin


class Connection:
    """One keep-alive connection, as little work as possible."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *problem: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of one answer."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        if "content-length" in headers:
            return int(lines[0].split()[1]), await self._reader.readexactly(int(headers["content-length"]))
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return int(lines[0].split()[1]), b"".join(parts)


def memory_mib(pid: int) -> float:
    """Resident memory of a process and those that it started."""
    pids, pages = [pid], 0
    while pids:
        each = pids.pop()
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
            tasks = Path(f"/proc/{each}/task").iterdir()
            pids += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# Soak and swap


def soak(package: Path, folder: Path, rows: list[dict[str, Any]], n_requests: int) -> bool:
    """Whether the memory of the service is flat over many requests."""
    if not n_requests:
        return True
    with serving(package, folder / "soak.jsonl") as service:
        target = Target("package", service.port, service.process.pid, "/v1/predict", _as_rows, _of_package)
        body, seen = _as_rows(rows), []
        for part in range(20):
            n_failed = asyncio.run(send(target, body, n_requests // 20))
            seen.append(memory_mib(service.process.pid))
            print(
                f"after {(part + 1) * (n_requests // 20):>8,} requests: {seen[-1]:.1f} MiB, {n_failed} failed",
                flush=True,
            )
            if n_failed:
                return False
    settled = seen[int(SETTLED * len(seen)) - 1]
    print(f"memory after a fifth {settled:.1f} MiB, at most {max(seen):.1f} MiB, at the end {seen[-1]:.1f} MiB")
    return seen[-1] <= GROWTH * settled


async def send(target: Target, body: bytes, n_requests: int, n_clients: int = 8) -> int:
    """Send so many requests; return how many failed."""
    failures = 0

    async def client() -> None:
        nonlocal failures
        async with Connection(target.port) as connection:
            for _ in range(n_requests // n_clients):
                failures += (await connection.post(target.path, body))[0] != 200

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return failures


def swap(packages: list[Path], folder: Path, X: pd.DataFrame) -> bool:
    """Whether versions change under load without a failed request, each answer being of the version that it names."""
    registry = Registry(folder / "registry")
    registry.promote(packages[0])
    rows = as_rows(X.head(1))
    shares = [load(p).predict_proba(X.head(1))[0].tolist() for p in packages]
    expected = {"v1": shares[0], "v2": shares[1], "v3": shares[1]}
    names = json.loads((packages[0] / "model/config.json").read_text())["classes"]
    seen: list[tuple[float, str, bool]] = []
    with serving(packages[0], folder / "swap.jsonl", MODEL_REGISTRY=str(registry.folder)) as service:
        target = Target("package", service.port, service.process.pid, "/v1/predict", _as_rows, _of_package)
        changes = asyncio.run(change_under_load(target, _as_rows(rows), registry, packages[1], expected, names, seen))
    wrong = [s for s in seen if not s[2]]
    late = [s for s in seen for at, version in changes if at + 3 < s[0] < at + 4 and s[1] != version]
    n_versions = len({version for _, version, _ in seen})
    print(
        f"{len(changes)} promotions and rollbacks under load: {len(seen):,} answers of {n_versions} versions, "
        f"{len(wrong)} failed or of another version than named, {len(late)} of the version before three seconds later"
    )
    return not wrong and not late and n_versions == len(expected)


async def change_under_load(
    target: Target,
    body: bytes,
    registry: Registry,
    challenger: Path,
    expected: dict[str, list[float]],
    names: list[str],
    seen: list[tuple[float, str, bool]],
) -> list[tuple[float, str]]:
    """Promote and roll back while eight clients call; when each change was made, and to which version."""
    changes: list[tuple[float, str]] = []

    async def change(make: Callable[[], Event]) -> None:
        event = await asyncio.to_thread(make)
        changes.append((time.monotonic(), event.version))
        await asyncio.sleep(4)

    async def client(is_over: asyncio.Event) -> None:
        async with Connection(target.port) as connection:
            while not is_over.is_set():
                status, content = await connection.post(target.path, body)
                answer = json.loads(content)
                version = answer.get("version", "")
                shares = answer["predictions"][0]["probabilities"] if status == 200 else {}
                is_right = status == 200 and all(
                    abs(shares[name] - p) <= 1e-9 for name, p in zip(names, expected[version], strict=True)
                )
                seen.append((time.monotonic(), version, is_right))

    is_over = asyncio.Event()
    clients = [asyncio.create_task(client(is_over)) for _ in range(8)]
    await asyncio.sleep(1)
    for make in (
        lambda: registry.promote(challenger, force="benchmark"),
        lambda: registry.rollback("benchmark"),
        lambda: registry.promote(challenger, force="benchmark"),
    ):
        await change(make)
    is_over.set()
    await asyncio.gather(*clients)
    return changes


if __name__ == "__main__":
    raise SystemExit(main())
