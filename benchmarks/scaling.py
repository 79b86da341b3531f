"""How seconds, memory and accuracy grow with rows, columns and classes, the budget being what it is.

    python -m benchmarks.scaling [--of rows columns classes clock] [--budget 60] [--long-budget 300] [--json all.jsonl]

Tables are made up, of numbers and categories with a known truth: "share" is the part of what can be predicted at all
that the model predicts on new rows, 1 being the truth itself and 0 the mean, so that tables of any size compare. Each
fit runs in a process of its own on two cores; its peak memory holds the table, too. Tables of a million rows and more
have the long budget. "clock" is what is hard to end in time, at five seconds: many classes, columns and rows, and a
metric that takes 0.2 s a call. Exit status 1: a fit failed or overran its budget by more than 2 % and half a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.compare import OVERRUN_S, OVERRUN_SHARE
from benchmarks.systems import CORES

MANY_ROWS = 1_000_000
N_NEW_ROWS = 20_000
N_LEVELS = 50
#: Columns that matter, however many there are.
N_TOLD = 8
GRACE_S = 600.0


@dataclass(frozen=True)
class Case:
    """One table.

    Parameters
    ----------
    of : str
        What grows, "rows", "columns" or "classes"; or "clock".
    n_rows, n_columns, n_classes : int
        Its size; one class stands for regression.
    budget : float or None
        Seconds, where they are not those of the command line.
    metric_s : float
        Seconds that each call of the metric takes.
    """

    of: str
    n_rows: int
    n_columns: int
    n_classes: int
    budget: float | None = None
    metric_s: float = 0.0


CASES = (
    *(Case("rows", n, 20, 1) for n in (1_000, 10_000, 100_000, 1_000_000, 5_000_000)),
    *(Case("columns", 5_000, p, 1) for p in (10, 100, 1_000, 5_000)),
    *(Case("classes", 30_000, 20, k) for k in (2, 30, 300)),
    Case("clock", 30_000, 20, 300, budget=5.0),
    Case("clock", 5_000, 5_000, 1, budget=5.0),
    Case("clock", 1_000_000, 20, 1, budget=5.0),
    Case("clock", 30_000, 20, 1, budget=5.0, metric_s=0.2),
    Case("clock", 300, 20, 2, budget=5.0, metric_s=0.2),
)
GROWING = tuple(dict.fromkeys(case.of for case in CASES))


def main(arguments: list[str] | None = None) -> int:
    """Fit every case and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--of", nargs="+", choices=GROWING, default=GROWING)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each fit")
    parser.add_argument("--long-budget", type=float, default=300.0, help="seconds for a million rows and more")
    parser.add_argument("--json", type=Path, help="file that each result is appended to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        case = json.loads(options.one)
        print(json.dumps(measure(Case(**case["case"]), case["budget"])))
        return 0
    print(
        f"{platform.processor() or platform.machine()}, {CORES} cores used of {os.cpu_count()}, {_memory_gib():.0f} GiB"
    )
    print(
        "| of | rows | columns | classes | budget s | fit s | peak MiB | trials | share | model |\n"
        + "| --- " * 10
        + "|"
    )
    is_fine = True
    for result in _results(options):
        print(line_of(result), flush=True)
        is_fine &= (
            result["failure"] is None and result["fit_time_s"] <= result["budget"] * (1 + OVERRUN_SHARE) + OVERRUN_S
        )
        if options.json:
            with options.json.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(result) + "\n")
    return int(not is_fine)


def _results(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for case in CASES:
        if case.of in options.of:
            usual = options.long_budget if case.n_rows >= MANY_ROWS else options.budget
            yield _in_own_process(case, usual if case.budget is None else case.budget)


def _in_own_process(case: Case, budget: float) -> dict[str, Any]:
    given = json.dumps({"case": asdict(case), "budget": budget})
    command = [sys.executable, "-m", "benchmarks.scaling", "--one", given]
    failed = {**asdict(case), "budget": budget, "fit_time_s": budget + GRACE_S}
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=budget + GRACE_S)
    except subprocess.TimeoutExpired:
        return {**failed, "failure": f"not done after {budget + GRACE_S:.0f} s"}
    if run.returncode:
        return {**failed, "failure": (run.stderr.strip().splitlines() or [str(run.returncode)])[-1]}
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def measure(case: Case, budget: float) -> dict[str, Any]:
    """Fit one case in this process.

    Parameters
    ----------
    case : Case
        The table.
    budget : float
        Seconds.

    Returns
    -------
    dict
        Plain JSON types.
    """
    from automl_wf import WorkflowEstimator

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    X, y, _ = make_table(case, case.n_rows, seed=0)
    X_new, _, truth = make_table(case, N_NEW_ROWS, seed=1)
    task = "regression" if case.n_classes == 1 else "classification"
    started_at = time.perf_counter()
    scoring = _slow(case.metric_s, "predict" if case.n_classes == 1 else "predict_proba") if case.metric_s else "auto"
    model = WorkflowEstimator(task=task, time_budget=budget, scoring=scoring, random_state=0, verbose=0).fit(X, y)
    fit_time_s = time.perf_counter() - started_at
    board = model.leaderboard_
    return {
        **asdict(case),
        "budget": budget,
        "fit_time_s": fit_time_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "n_trials": int((board["status"] == "ok").sum()),
        "share": _share(model, X_new, truth),
        "model": ", ".join(dict.fromkeys(str(m) for m in board.loc[board["weight"] > 0, "model"])),
        "findings": [f.code for f in model.findings_],
        "failure": None,
    }


def make_table(case: Case, n_rows: int, seed: int) -> tuple[pd.DataFrame, NDArray[Any], NDArray[np.float64]]:
    """Columns, target, and what of the target can be known.

    Parameters
    ----------
    case : Case
        Its number of columns and classes.
    n_rows : int
        Rows to make.
    seed : int
        Seed of the rows; the truth is the same for all.

    Returns
    -------
    X : DataFrame of shape (n_rows, n_columns)
        One column in ten is a category of 50 levels.
    y : ndarray of shape (n_rows,)
        Values with as much noise as signal, or classes.
    truth : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Expected values, or the probabilities of the classes.
    """
    rng, known = np.random.default_rng(seed), np.random.default_rng(12345)
    n_texts = max(1, case.n_columns // 10)
    numbers = rng.normal(size=(n_rows, case.n_columns - n_texts))
    codes = rng.integers(0, N_LEVELS, size=(n_rows, n_texts))
    levels = np.array([f"level {i}" for i in range(N_LEVELS)], dtype=object)
    X = pd.DataFrame(numbers, columns=[f"number {j}" for j in range(numbers.shape[1])])
    texts = {f"text {j}": pd.Categorical.from_codes(codes[:, j], levels) for j in range(n_texts)}
    X = pd.concat([X, pd.DataFrame(texts)], axis=1)
    told = [numbers[:, j] for j in range(min(N_TOLD, numbers.shape[1]))] + [known.normal(size=N_LEVELS)[codes[:, 0]]]
    basis = np.column_stack([told[0] * told[1], np.sin(2 * told[2]), np.abs(told[3]), *told[4:]])
    if case.n_classes == 1:
        truth = basis @ known.normal(size=basis.shape[1])
        return X, truth + truth.std() * rng.normal(size=n_rows), truth
    scores = 2.0 * (basis - basis.mean(axis=0)) @ known.normal(size=(basis.shape[1], case.n_classes))
    truth = np.exp(scores - scores.max(axis=1, keepdims=True))
    truth /= truth.sum(axis=1, keepdims=True)
    y = (truth.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1).clip(0, case.n_classes - 1)
    return X, y, truth


def _slow(seconds: float, method: str) -> Callable[[Any, Any, Any], float]:
    """A scorer of the user's own that takes its time."""

    def score(estimator: Any, X: Any, y: Any) -> float:
        time.sleep(seconds)
        found = getattr(estimator, method)(X)
        if found.ndim == 1:
            return -float(np.mean((found - y) ** 2))
        return float(np.mean(np.log(found[np.arange(len(y)), np.asarray(y, dtype=int)] + 1e-12)))

    return score


def _share(model: Any, X: pd.DataFrame, truth: NDArray[np.float64]) -> float:
    """1 less the error against the truth over that of the mean: squared error, or Kullback-Leibler divergence."""
    if truth.ndim == 1:
        error = np.mean((model.predict(X) - truth) ** 2)
        return float(1.0 - error / truth.var())
    found = np.full(truth.shape, 1e-9)
    found[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(X)
    return 1.0 - _divergence(truth, found) / _divergence(truth, np.broadcast_to(truth.mean(axis=0), truth.shape))


def _divergence(truth: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    tiny = 1e-12
    return float(np.mean(np.sum(truth * np.log((truth + tiny) / (found + tiny)), axis=1)))


def line_of(result: dict[str, Any]) -> str:
    """One result as a row of the table."""
    slow = f", metric {result['metric_s']:g} s" if result["metric_s"] else ""
    size = f"| {result['of']}{slow} | {result['n_rows']:,} | {result['n_columns']:,} | {result['n_classes']} "
    if result["failure"]:
        return f"{size}| {result['budget']:.0f} | failed: {result['failure']} |"
    return (
        f"{size}| {result['budget']:.0f} | {result['fit_time_s']:.1f} | {result['peak_mib']:.0f} "
        f"| {result['n_trials']} | {result['share']:.3f} | {result['model']} |"
    )


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    sys.exit(main())
