"""Ours beside its peers: same split, same seconds, two cores, each system in a process and an environment of its own.

    benchmarks/peers.sh
    python -m benchmarks.compare --data ../shared/data --budget 60 [--systems ours flaml] [--tables ames] [--splits 3]

Without the folder, scikit-learn's bundled tables are used. Every run is appended to `--json` as a line: score on the
held-out rows, seconds of `fit` and of the import before it, time to predict, peak memory, or why it failed. Runs found
there are not made again, so that a run that was stopped goes on, and systems may be added later; `--fresh` starts over.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import tables
from benchmarks.systems import CORES, PEERS, SYSTEMS, NotSupported

#: A run is given up after this many times its budget, and the seconds beside it that imports and predictions may take.
PATIENCE, GRACE_S = 3.0, 300.0
#: What a budget may be overrun by: a share of it, and seconds.
OVERRUN_SHARE, OVERRUN_S = 0.02, 0.5
#: Score differences below this share count as a tie.
TIE = 1e-9
REASON_LENGTH = 200


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, and print the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each fit")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--splits", type=int, default=1, help="splits of each table, seeds 0, 1, …")
    parser.add_argument("--json", type=Path, default=Path("compare.jsonl"), help="file of all runs")
    parser.add_argument("--fresh", action="store_true", help="make every run again")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder that peers.sh filled")
    parser.add_argument("--one", nargs=3, metavar=("SYSTEM", "TABLE", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    if options.one:
        system, table, seed = options.one
        print(json.dumps(measure(system, tables.load(table, folder, int(seed)), options.budget, int(seed))))
        return 0
    names = options.tables or tables.names(folder)
    wanted = [(t, seed, s) for t in names for seed in range(options.splits) for s in options.systems]
    runs = {} if options.fresh else read_runs(options.json, options.budget)
    for table, seed, system in wanted:
        if (table, seed, system) not in runs:
            run = _in_own_process(options, folder, system, table, seed)
            runs[table, seed, system] = run
            with options.json.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
            print(line_of(run), flush=True)
    board = pd.DataFrame([runs[key] for key in wanted])
    print(report(board, options.systems))
    return int(board["failure"].notna().loc[board["system"].str.startswith("ours")].any())


def measure(name: str, split: tables.Split, budget: float, seed: int) -> dict[str, Any]:
    """One system on one table.

    Parameters
    ----------
    name : str
        Name of the system.
    split : Split
        The table.
    budget : float
        Seconds for `fit`.
    seed : int
        Seed of split and system.

    Returns
    -------
    dict
        Plain JSON types: score (as the metric has it), seconds, bytes, or a failure.
    """
    facts: dict[str, Any] = {"table": split.name, "metric": split.metric, "seed": seed, "system": name}
    facts |= {"budget": budget, "score": None, "failure": None}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as scratch:
        system = SYSTEMS[name](split, budget, seed, Path(scratch))
        started_at = time.perf_counter()
        try:
            system.load()
            facts["import_time_s"] = time.perf_counter() - started_at
            started_at = time.perf_counter()
            system.fit()
            facts["fit_time_s"] = time.perf_counter() - started_at
            facts["score"] = split.score(system)
            facts |= {**system.facts(), **_speed(system, split.X_test)}
        except NotSupported as error:
            facts["failure"] = f"not supported: {error}"
        except Exception as error:  # a peer's failure is a result
            facts["failure"] = f"{type(error).__name__}: {error}"[:REASON_LENGTH]
        facts.setdefault("fit_time_s", time.perf_counter() - started_at)
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {**facts, "peak_mib": max(usage) / 1024}


def _speed(system: Any, X: pd.DataFrame) -> dict[str, float]:
    """Median milliseconds for one row, and rows per second for a thousand."""
    one, thousand = X.head(1), X.take(np.arange(1000) % len(X)).reset_index(drop=True)
    return {
        "one_row_ms": 1e3 * _median_seconds(lambda: system.predict_as_scored(one), 15),
        "rows_per_s": 1000 / _median_seconds(lambda: system.predict_as_scored(thousand), 5),
    }


def _median_seconds(call: Callable[[], Any], n_times: int) -> float:
    call()
    seconds = []
    for _ in range(n_times):
        started_at = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_at)
    return float(np.median(seconds))


def _in_own_process(options: argparse.Namespace, folder: Path | None, system: str, table: str, seed: int) -> Any:
    failed = {"table": table, "seed": seed, "system": system, "budget": options.budget, "score": None}
    python = options.peers / SYSTEMS[system].environment / "bin/python"
    if not python.is_file():
        raise SystemExit(f"{python} is missing: run benchmarks/peers.sh first.")
    command = [str(python), "-m", "benchmarks.compare", "--one", system, table, str(seed)]
    command += ["--budget", str(options.budget), *(["--data", str(folder)] if folder else [])]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    patience = PATIENCE * options.budget + GRACE_S
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A session of its own: whatever workers a system has started end with it, and do not disturb the next one.
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            said, complaint = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            return {**failed, "failure": f"not done after {patience:.0f} s", "fit_time_s": patience}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        return {**failed, "failure": (complaint.strip().splitlines() or [str(process.returncode)])[-1][:REASON_LENGTH]}
    return json.loads(said.splitlines()[-1])


def read_runs(path: Path, budget: float) -> dict[tuple[str, int, str], dict[str, Any]]:
    """Runs of this budget made before; the last of a kind counts."""
    if not path.is_file():
        return {}
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {(r["table"], r["seed"], r["system"]): r for r in runs if r["budget"] == budget}


def report(board: pd.DataFrame, systems: Sequence[str]) -> str:
    """Scores by table, and what they come to.

    Parameters
    ----------
    board : DataFrame
        One row per run, as `measure` returns them.
    systems : sequence of str
        In the order of the columns.

    Returns
    -------
    str
        To be printed.
    """
    board = errors_of(board)
    keys = ["table", "seed"]
    errors = board.pivot(index=keys, columns="system", values="error")[list(systems)]
    scores = board.pivot(index=keys, columns="system", values="score")[list(systems)]
    if errors.index.get_level_values("seed").nunique() > 1:
        shown = scores.groupby("table").agg(lambda s: f"{s.mean():.5g} ±{s.std():.2g}")
    else:
        shown = scores.droplevel("seed").map(lambda v: f"{v:.5g}" if pd.notna(v) else "–")
    shown.insert(0, "metric", board.groupby("table")["metric"].first())
    ranks = errors.rank(axis=1, method="average", na_option="bottom")
    per_system = board.groupby("system")
    limit = board["budget"] * (1 + OVERRUN_SHARE) + OVERRUN_S
    summary = pd.DataFrame(
        {
            "mean rank": ranks.mean(),
            "best": (ranks == 1).sum(),
            "failures": per_system["failure"].count(),
            "overruns": (board["fit_time_s"] > limit).groupby(board["system"]).sum(),
            "longest fit s": per_system["fit_time_s"].max(),
            "peak MiB": per_system["peak_mib"].max(),
            "median peak": per_system["peak_mib"].median(),
            "1 row ms": per_system["one_row_ms"].median(),
            "rows/s": per_system["rows_per_s"].median(),
        }
    ).reindex(list(systems))
    parts = [shown.to_string(), summary.to_string(float_format="{:.2f}".format)]
    peers = [p for p in PEERS if p in systems]
    for name in [s for s in systems if s.startswith("ours")]:
        parts.append(_against(name, errors, peers))
    return "\n\n".join(parts)


def _against(name: str, errors: pd.DataFrame, peers: Sequence[str]) -> str:
    """Wins against each peer, and the geometric mean of the ratio to the best one; a failure loses to any score."""
    ours = errors[name]
    lines = []
    for peer in peers:
        theirs = errors[peer]
        ours_done, theirs_done = ours.fillna(np.inf), theirs.fillna(np.inf)
        wins = int((ours_done < theirs_done * (1 - TIE)).sum())
        lines.append(f"{name} beats {peer} on {wins} of {len(ours)} ({wins / max(len(ours), 1):.0%})")
    if peers:
        ratio = (ours / errors[list(peers)].min(axis=1)).dropna()
        lines.append(
            f"error of {name} over the best peer's: geometric mean {np.exp(np.log(ratio).mean()):.4f} over "
            f"{len(ratio)} tables; beaten by more than 2 %: "
            + (", ".join(f"{t[0]} {r:.3f}" for t, r in ratio.items() if r > 1.02) or "nowhere")
        )
        for peer in peers:
            each = (ours / errors[peer]).dropna()
            lines.append(f"error of {name} over {peer}'s: geometric mean {np.exp(np.log(each).mean()):.4f}")
    return "\n".join(lines)


def errors_of(board: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `error`."""
    return board.assign(error=[_error(m, s) for m, s in zip(board["metric"], board["score"], strict=True)])


def _error(metric: Any, score: Any) -> float:
    """Smaller is better, zero is perfect."""
    if score is None or pd.isna(score):
        return float("nan")
    return 1.0 - score if metric in ("roc_auc", "ndcg@10") else float(score)


def line_of(run: dict[str, Any]) -> str:
    """One run in words."""
    start = f"{run['table']:<16} {run['seed']} {run['system']:<17}"
    if run["failure"]:
        return f"{start} failed: {run['failure']}"
    return (
        f"{start} {run['metric']} {run['score']:.5g}  fit {run['fit_time_s']:.2f} s  one row {run['one_row_ms']:.1f} ms"
        f"  {run['rows_per_s']:.0f} rows/s  peak {run['peak_mib']:.0f} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
