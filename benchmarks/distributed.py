"""Past one machine: is the search on Dask and Ray that of one process, and does a table beyond memory fit?

    python -m benchmarks.distributed search [--rows 20000] [--backends alone dask killed ray]
    python -m benchmarks.distributed table [--rows 20000000] [--columns 20] [--budget 900] [--folder FOLDER]
    python -m benchmarks.distributed rates [--rows 1000000]

`search` fits the same table alone, on two Dask workers, on two of which one is killed in the middle, and on Ray. Exit
status 1: a score, an out-of-fold prediction or a prediction differs in a single bit from those alone.
`table` writes a Parquet table, partition by partition, and fits it on Dask workers of a few GiB each. A thread looks
at the peak memory of every process of the tree. Exit status 1: one of them went beyond 4 GiB, or the graph is not the
model.
`rates` says what a row costs, in seconds of one core: to be read, made features of, binned, and boosted on for a round.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.core.compat import load_onnxruntime

#: No process may hold more.
MOST_BYTES = 4 * 2**30
#: Rows of a partition of the table.
PART_ROWS = 250_000
#: Seconds between two looks at the memory of all processes.
LOOK_S = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["search", "table", "rates"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--budget", type=float, default=900.0)
    parser.add_argument("--n-iter", type=int, default=12)
    parser.add_argument(
        "--rounds", type=int, help="of the table: search three configurations of so many, without clock"
    )
    parser.add_argument("--workers", type=int)
    parser.add_argument("--worker-memory", default="3.5GiB")
    parser.add_argument("--memory-limit", default="2GB")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--backends", nargs="+", default=["alone", "dask", "killed", "ray"])
    options = parser.parse_args(arguments)
    return {"search": compare_searches, "table": fit_table, "rates": measure_rates}[options.what](options)


def make_part(number: int, n_rows: int, n_columns: int) -> pd.DataFrame:
    """Rows of one partition, from their number alone: numbers with gaps, two columns of categories, and a target.

    Noise is a tenth of the target's variance: no model can explain more than nine tenths.
    """
    rng = np.random.default_rng([20, number])
    X = rng.normal(size=(n_rows, n_columns - 2))
    kinds = rng.integers(0, 8, n_rows)
    places = np.minimum(rng.geometric(0.02, n_rows), 300)
    signal_ = X[:, 0] + np.sin(2.0 * X[:, 1]) + X[:, 2] * X[:, 3] + 0.3 * (kinds - 3.5) * (X[:, 4] > 0)
    signal_ += np.cos(places)
    # Of variances 1, 0.5, 1, 0.24 and 0.5, near enough.
    target = signal_ + rng.normal(size=n_rows) * np.sqrt(3.2 / 9.0)
    X[rng.random(n_rows) < 0.05, 5] = np.nan
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(n_columns - 2)])
    frame["kind"] = np.array(list("abcdefgh"), dtype=object)[kinds]
    frame["place"] = np.char.add("place ", places.astype(str)).astype(object)
    frame["target"] = target
    return frame


def compare_searches(options: argparse.Namespace) -> int:
    """The same fit alone and on workers."""
    frame = make_part(0, options.rows or 20_000, options.columns)
    X, y = frame.drop(columns="target"), frame["target"] > 0
    settings: dict[str, Any] = {"time_budget": None, "n_iter": options.n_iter, "random_state": 0, "verbose": 0}
    reference, n_different = None, 0
    for name in options.backends:
        with BACKENDS[name](options.workers or 2):
            start = time.perf_counter()
            model = WorkflowClassifier(**settings).fit(X, y)
            seconds = time.perf_counter() - start
        print(f"{name:>7}: {model.timings_['bayesian_hpo']:6.1f} s search, {seconds:6.1f} s fit", end="")
        spread = model._result.tuning.spread
        if spread is not None:
            n_fits = sum(max(len(t.fold_scores), 1) for t in model._result.tuning.trials)
            print(f"; {spread.n_bytes:,} bytes sent {spread.n_sent} time(s) for {n_fits} fold fits", end="")
            print(f", {spread.n_here} made here; losses: {list(spread.losses)}", end="")
        made = [*model._result.tuning.predictions, model.predict_proba(X), model.leaderboard_["score"].to_numpy()]
        if reference is None:
            reference = made
            print()
            continue
        is_same = len(made) == len(reference) and all(map(_are_same_bits, made, reference))
        n_different += not is_same
        print(": equal bit for bit" if is_same else ": DIFFERENT", flush=True)
    return int(n_different > 0)


def _are_same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.tobytes() == theirs.tobytes()


@contextmanager
def _alone(n_workers: int) -> Iterator[None]:
    yield


@contextmanager
def _dask(n_workers: int) -> Iterator[None]:
    with _cluster(n_workers, "auto"), joblib.parallel_config("dask"):
        yield


@contextmanager
def _killed(n_workers: int) -> Iterator[None]:
    """A Dask cluster, the first of whose workers to be at work is killed."""
    with _cluster(n_workers, "auto") as client, joblib.parallel_config("dask"):
        is_over = threading.Event()
        killer = threading.Thread(target=_kill_one_at_work, args=(client, is_over))
        killer.start()
        yield
        is_over.set()
        killer.join()


def _kill_one_at_work(client: Any, is_over: threading.Event) -> None:
    pids = client.run(os.getpid)
    while not is_over.wait(0.02):
        busy = [address for address, tasks in client.processing().items() if tasks and address in pids]
        if busy:
            os.kill(pids[busy[0]], signal.SIGKILL)
            print("  killed while at work", end="")
            return


@contextmanager
def _ray(n_workers: int) -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
    with joblib.parallel_config("ray"):
        yield
    ray.shutdown()


BACKENDS = {"alone": _alone, "dask": _dask, "killed": _killed, "ray": _ray}


@contextmanager
def _cluster(n_workers: int, memory: str) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, memory_limit=memory, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def fit_table(options: argparse.Namespace) -> int:
    """A table beyond a worker's memory: what it took, and what came of it."""
    import dask.dataframe as dd

    n_rows = options.rows or 20_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        with _cluster(2, "auto") as client:
            _write_table(client, folder, n_rows, options.columns)
        with _cluster(options.workers or 4, options.worker_memory), Peaks() as peaks:
            frame = dd.read_parquet(str(folder / "*.parquet"))
            start = time.perf_counter()
            settings: dict[str, Any] = {"time_budget": options.budget}
            if options.rounds is not None:
                held = {"n_rounds": options.rounds, "view": "tree"}
                settings = {"time_budget": None, "n_iter": 3, "estimators": [("lightgbm", held)]}
            model = WorkflowRegressor(**settings, memory_limit=options.memory_limit, random_state=0, verbose=0).fit(
                frame.drop(columns="target"), frame["target"]
            )
            seconds = time.perf_counter() - start
    is_same = _report(model, make_part(10**6, 100_000, options.columns), seconds)
    n_bytes = n_rows * options.columns * 8
    print(f"{n_rows:,} rows of {options.columns} columns ({n_bytes / 2**30:.2f} GiB as doubles); peak of each process:")
    print("  " + ", ".join(f"{name} {size / 2**30:.2f} GiB" for name, size in peaks.sorted()))
    is_within = max(size for _, size in peaks.sorted()) <= MOST_BYTES
    print(f"no process above 4 GiB: {is_within}; graph equals predict: {is_same}")
    return int(not (is_within and is_same))


def _write_table(client: Any, folder: Path, n_rows: int, n_columns: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(PART_ROWS, n_rows - start) for start in range(0, n_rows, PART_ROWS)]

    def write(number: int, size: int) -> None:
        path = folder / f"part-{number:05d}.parquet"
        if not path.is_file():
            scratch = path.with_suffix(".part")
            make_part(number, size, n_columns).to_parquet(scratch)
            scratch.replace(path)

    client.gather(client.map(write, range(len(sizes)), sizes))


def _report(model: WorkflowRegressor, fresh: pd.DataFrame, seconds: float) -> bool:
    X, y = fresh.drop(columns="target"), fresh["target"].to_numpy()
    predicted = model.predict(X)
    r2 = 1.0 - ((y - predicted) ** 2).mean() / y.var()
    print(f"fit: {seconds:.0f} s: {', '.join(f'{k} {v:.0f}' for k, v in model.timings_.items())}")
    for decision in model.decisions_:
        if decision.stage == "bayesian_hpo":
            print(f"  {decision.decision}; {decision.reason}")
    print(f"  {model.findings_[0].message}")
    print(f"honest score {model.best_score_:.4f}; R² on {len(X):,} new rows {r2:.4f} (at most about 0.9)")
    graph = model.to_onnx().SerializeToString()
    session = load_onnxruntime().InferenceSession(graph)
    feed = {c: X[[c]].to_numpy(dtype=object if X[c].dtype == object or str(X[c].dtype) == "str" else float) for c in X}
    (raw,) = session.run(["prediction"], feed)
    difference = float(np.abs(raw.ravel() - predicted).max())
    print(f"graph: {len(graph) / 1e6:.1f} MB, largest difference to predict on new rows {difference:.1e}")
    return difference <= 1e-9 * max(1.0, float(np.abs(predicted).max()))


class Peaks:
    """Watches the peak resident memory of this process and all below it."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peaks:
        Path(f"/proc/{os.getpid()}/clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def sorted(self) -> list[tuple[str, int]]:
        """Bytes by process, largest first."""
        return sorted(self._peaks.items(), key=lambda pair: -pair[1])

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_S):
            for pid in _tree(os.getpid()):
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                found = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
                name = "this process" if pid == os.getpid() else f"child {pid}"
                if found:
                    self._peaks[name] = max(self._peaks.get(name, 0), int(found[0][1]) * 1024)


def _tree(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def measure_rates(options: argparse.Namespace) -> int:
    """Seconds of one core (CPU time, so that other work on the machine does not count) for what a row costs."""
    import lightgbm

    from automl_wf.core.partitions import Part
    from automl_wf.model_selection.base import Sample, TargetCode
    from automl_wf.model_selection.boosting_dask import PartReader

    frame = make_part(0, options.rows or 1_000_000, options.columns)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        frame.to_parquet(path)
        start = time.process_time()
        frame = pd.read_parquet(path)
        _say("reading", start, len(frame), f"{path.stat().st_size / len(frame):.0f} bytes per row on disk")
    X, y = frame.drop(columns="target"), frame["target"]
    few = slice(0, 5_000)
    settings: dict[str, Any] = {"time_budget": None, "n_iter": 2, "estimators": ["lightgbm"], "verbose": 0}
    model = WorkflowRegressor(**settings).fit(X[few], y[few])
    code = TargetCode.learn(model.task_, 1, Sample(np.empty((len(y), 0)), y.to_numpy()))
    reader = PartReader(model.schema_, model._result.view, code, None)
    start = time.process_time()
    features, target, _ = reader(Part(0, X, y))
    _say("features", start, len(X), f"{features.shape[1]} columns of the view {model._result.view.name!r}")
    trees = {"objective": "regression", "num_leaves": 31, "verbosity": -1, "seed": 0, "num_threads": 1}
    start = time.process_time()
    data = lightgbm.Dataset(features, target, params=trees).construct()
    _say("binning", start, len(X), "")
    booster = lightgbm.Booster(trees, data)
    booster.update()
    start = time.process_time()
    for _ in range(20):
        booster.update()
    _say("a boosting round of 31 leaves", start, 20 * len(X), "")
    return 0


def _say(what: str, start: float, n_rows: int, more: str) -> None:
    seconds = time.process_time() - start
    print(f"{what}: {1e9 * seconds / n_rows:,.0f} ns per row, {n_rows / seconds:,.0f} rows per core and second; {more}")


if __name__ == "__main__":
    sys.exit(main())
