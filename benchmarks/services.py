"""A small model's package and its running service, for the benchmarks of what `export` writes."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl_wf import WorkflowClassifier

KEY = "a key for benchmarks"
_START_S = 60.0


def make_table(n_rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Rows of four kinds of columns; `shift` moves the number `amount` by so many standard deviations."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01", "s")
    table = pd.DataFrame(
        {
            "amount": rng.normal(50.0 + 20.0 * shift, 20.0, n_rows).round(2),
            "visits": rng.integers(0, 20, n_rows),
            "city": rng.choice(["Oslo", "Zürich", "東京"], n_rows, p=[0.5, 0.3, 0.2]),
            "joined": start + rng.integers(0, 365 * 86_400, n_rows).astype("timedelta64[s]"),
        }
    )
    table.loc[rng.random(n_rows) < 0.05, "city"] = None
    return table


def make_target(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Yes or no, by amount, city and chance."""
    noise = np.random.default_rng(seed).normal(0, 0.5, len(table))
    return np.where((table["amount"] - 50) / 20 + (table["city"] == "Oslo") + noise > 0.5, "yes", "no")


def export_example(folder: Path, n_rows: int = 2000, n_iter: int = 3) -> Path:
    """Fit a model in seconds and export it to `folder`."""
    table = make_table(n_rows, seed=0)
    model = WorkflowClassifier(time_budget=None, n_iter=n_iter, random_state=0, verbose=0, n_jobs=1)
    return model.fit(table, make_target(table, seed=1)).export(folder).path


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows in the types of JSON."""
    cells = {
        name: [None if pd.isna(c) else c.isoformat() if isinstance(c, pd.Timestamp) else c for c in column.tolist()]
        for name, column in table.items()
    }
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Service:
    """A running service on this machine."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def call(self, method: str, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, bytes]:
        """Status and body of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"X-API-Key": key})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it and wait."""
        self.process.terminate()
        self.process.wait(timeout=60)


@contextmanager
def serving(package: Path, log: Path, port: int | None = None, **settings: str) -> Iterator[Service]:
    """The service of a package with `KEY`, ready; stopped at the end if it still runs."""
    port = free_port() if port is None else port
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MODEL_", "PYTHON"))}
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    usual = {"MODEL_PORT": str(port), "MODEL_API_KEY_HASHES": hashed, "MODEL_THREADS": "1"}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            cwd=package,
            env={**kept, **usual, **settings},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    service = Service(port, process, log)
    try:
        wait_until_ready(service, "/readyz")
        yield service
    finally:
        if process.poll() is None:
            service.stop()


def wait_until_ready(service: Service, path: str, within_s: float = _START_S) -> None:
    """Return once `path` answers 200; end the benchmark if that takes too long."""
    end = time.monotonic() + within_s
    while time.monotonic() < end and service.process.poll() is None:
        try:
            if service.call("GET", path)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"the service did not get ready:\n{service.log.read_text()[-2000:]}")


def counted_requests(service: Service) -> dict[tuple[str, str, str], int]:
    """Requests by method, handler and status, as the service counted them."""
    counts: dict[tuple[str, str, str], int] = {}
    for line in service.call("GET", "/metrics")[1].decode().splitlines():
        if line.startswith("http_requests_total{"):
            labels, _, value = line.rpartition(" ")
            found: Mapping[str, str] = dict(
                part.split("=", 1) for part in labels[labels.index("{") + 1 : -1].replace('"', "").split(",")
            )
            counts[found["method"], found["handler"], found["status"]] = int(float(value))
    return counts
