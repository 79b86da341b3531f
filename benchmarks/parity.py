"""Fit, export and compare: for each table, is the graph the model, how fast is it, and how good.

    python -m benchmarks.parity --data ../shared/data --budget 20 [--tables hitters ames] [--json out.json]

Without the folder, scikit-learn's bundled tables are used. Each table runs in a process of its own. The last line sums
up; the exit status is 1 when a table failed, was skipped, or has a label that differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import tables

#: Share of all leaves that the compared rows should reach.
LEAVES = 0.9
#: Seconds that the search for rows which reach them may take.
LEAVES_S = 20.0
#: Seconds allowed beyond the budget before a table is given up: interpreter, held-out scores, the package's tests.
GRACE_S = 900
HEADER = (
    f"{'table':<16}{'rows':>8}{'leaves reached':>18}{'by rows':>9}{'labels ≠':>9}{'largest |Δ|':>12}{'bound':>9}"
    f"{'graph kB':>9}{'1 row ms: onnx':>15}{'predict':>8}{'1000: onnx':>11}{'predict':>8}{'score':>11}{'reference':>11}"
    f"{'wins':>5}{'fit s':>7}  members"
)


def main(arguments: list[str] | None = None) -> int:
    """Run all tables and print one line each; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each fit")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    if options.one:
        print(json.dumps(measure(tables.load(options.one, folder), options.budget, options.seed)))
        return 0
    if options.data and folder is None:
        print(f"{options.data} has no MANIFEST.json: scikit-learn's bundled tables instead")
    print(HEADER, flush=True)
    rows = []
    for name in options.tables or tables.names(folder):
        rows.append(_in_own_process(name, folder, options.budget, options.seed))
        print(_line(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(_summary(rows))
    return int(any("error" in r or r["labels_different"] or not r["is_exact"] for r in rows))


def measure(split: tables.Split, budget: float, seed: int) -> dict[str, Any]:
    """Everything that is said of one table.

    Parameters
    ----------
    split : Split
        The table.
    budget : float
        Seconds for `fit`.
    seed : int
        `random_state`.

    Returns
    -------
    dict
        Plain JSON types.
    """
    from automl_wf import WorkflowEstimator, load
    from automl_wf.core.budget import Budget

    model = WorkflowEstimator(task=split.family, time_budget=budget, random_state=seed, verbose=0)
    started_at = time.perf_counter()
    model.fit(split.X_train, split.y_train, groups=split.groups_train)
    fit_time_s = time.perf_counter() - started_at
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model_package"
        started_at = time.perf_counter()
        model.export(path, strict=True)
        export_time_s = time.perf_counter() - started_at
        facts = json.loads((path / "model/metadata.json").read_text(encoding="utf-8"))
        served = load(path)
        size = (path / "model/model.onnx").stat().st_size
        held_out = _compare(model, served, split.X_test)
        speed = _speed(model, served, split.X_test)
    # Every leaf has training rows in it: with them the comparison reaches what a reference sample of 1,000 cannot.
    parity = model.best_estimator_.to_onnx(split.X_train, budget=Budget(LEAVES_S))[1].to_dict()
    parts = _compare_parts(model, split)
    differences = [facts["largest_difference"] for facts in (parity, held_out, parts)]
    bound = max(parity["bound"], held_out["bound"])
    score = split.score(model)
    return {
        "table": split.name,
        "rows": parity["n_rows"] + len(split.X_test),
        "leaves": parity["n_leaves"],
        "leaves_by_rows": parity["n_leaves_reached"],
        "leaves_reached": max(parity["n_leaves_reached"], parts["n_leaves_reached"]),
        "labels_different": parity["n_labels_different"] + held_out["labels_different"],
        "largest_difference": max(differences),
        "bound": bound,
        "is_exact": max(held_out["largest_difference"], parts["largest_difference"]) <= bound and parity["is_exact"],
        "graph_bytes": size,
        **speed,
        "metric": split.metric,
        "score": score,
        "reference": split.reference,
        "is_win": split.is_better(score),
        "own_score": float(model.best_score_),
        "fit_time_s": fit_time_s,
        "export_time_s": export_time_s,
        "members": sorted({m["model"] for m in facts["blend"]["members"]}),
        "n_configurations": len(model.leaderboard_),
    }


def _compare(model: Any, served: Any, X: pd.DataFrame) -> dict[str, Any]:
    """Graph against `predict` on rows that neither fit nor export saw."""
    if hasattr(model, "predict_proba"):
        expected, seen = model.predict_proba(X), served.predict_proba(X)
        different = int(np.sum(np.asarray(model.predict(X)) != np.asarray(served.predict(X))))
    else:
        expected, seen = model.predict(X), served.predict(X)
        different = 0
    return {
        "labels_different": different,
        "largest_difference": float(np.abs(np.asarray(seen) - expected).max()),
        "bound": 1e-9 * max(1.0, float(np.abs(expected).max())),
    }


def _compare_parts(model: Any, split: tables.Split) -> dict[str, Any]:
    """Each part of the blend on the matrix it was fitted on, through a graph of that part alone.

    Some leaves belong to cross-fitted statistics: the training rows had them, and no row will ever have them again,
    since a level's statistic is one number then. What these leaves hold is compared here.
    """
    from automl_wf.core.graph import GraphBuilder
    from automl_wf.model_selection.graph import emitter_of
    from automl_wf.model_selection.parity import open_session

    pipeline = model.best_estimator_
    table = pipeline.read(split.X_train)
    y = split.y_train if pipeline.classes is None else np.searchsorted(pipeline.classes, split.y_train)
    group = None if split.groups_train is None else np.unique(split.groups_train, return_inverse=True)[1]
    everything = np.arange(table.n_rows)
    largest, n_reached = 0.0, 0
    for member in pipeline.blend.members:
        for i, (view, learner) in enumerate(member.parts):
            # A single part was fitted on all rows, or, where there was no time for that, on those of the one split.
            samples = [model.splits_[i][0]] if len(member.parts) > 1 else [everything, model.splits_[0][0]]
            X = np.concatenate(
                [
                    view.transform_training(table.take(rows), y[rows], None, None if group is None else group[rows])
                    for rows in samples
                ]
            )
            builder = GraphBuilder()
            y_graph = emitter_of(learner)(builder, builder.input("X", "double", X.shape[1]))
            builder.output(y_graph, "y", "double", [None, None])
            seen = open_session(builder.model().SerializeToString()).run(None, {"X": np.ascontiguousarray(X)})[0]
            largest = max(largest, float(np.abs(seen - learner.predict(X).reshape(seen.shape)).max()))
            if learner.n_leaves:
                leaves = np.unique(np.concatenate([learner.leaves(X), learner.leaves(view.transform(table))]))
                n_reached += int((leaves >= 0).sum())
    return {"largest_difference": largest, "n_leaves_reached": n_reached}


def _speed(model: Any, served: Any, X: pd.DataFrame) -> dict[str, float]:
    """Median milliseconds for one row and for a thousand, raw cells in, predictions out."""
    one = X.head(1)
    thousand = X.take(np.arange(1000) % len(X)).reset_index(drop=True)
    return {
        "onnx_1_ms": _median_ms(lambda: served.predict(one), 30),
        "predict_1_ms": _median_ms(lambda: model.predict(one), 15),
        "onnx_1000_ms": _median_ms(lambda: served.predict(thousand), 7),
        "predict_1000_ms": _median_ms(lambda: model.predict(thousand), 5),
    }


def _median_ms(call: Callable[[], Any], n_times: int) -> float:
    call()
    seconds = []
    for _ in range(n_times):
        started_at = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_at)
    return float(np.median(seconds) * 1e3)


def _in_own_process(name: str, folder: Path | None, budget: float, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.parity", "--one", name, "--budget", str(budget), "--seed", str(seed)]
    if folder:
        command += ["--data", str(folder)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=budget + GRACE_S)
    except subprocess.TimeoutExpired:
        return {"table": name, "error": f"not done {GRACE_S} s after its budget"}
    if run.returncode:
        return {"table": name, "error": run.stderr.strip().splitlines()[-1] if run.stderr else str(run.returncode)}
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['table']:<16}failed: {row['error']}"
    leaves = f"{row['leaves_reached']}/{row['leaves']}"
    wins = {True: "yes", False: "no", None: "-"}[row["is_win"]]
    reference = "-" if row["reference"] is None else f"{row['reference']:.4f}"
    return (
        f"{row['table']:<16}{row['rows']:>8}{leaves:>18}{row['leaves_by_rows']:>9}{row['labels_different']:>9}{row['largest_difference']:>12.1e}"
        f"{row['bound']:>9.0e}{row['graph_bytes'] / 1e3:>9.0f}{row['onnx_1_ms']:>15.2f}{row['predict_1_ms']:>8.1f}"
        f"{row['onnx_1000_ms']:>11.1f}{row['predict_1000_ms']:>8.1f}{row['score']:>11.4f}{reference:>11}{wins:>5}"
        f"{row['fit_time_s']:>7.1f}  {', '.join(row['members'])}"
    )


def _summary(rows: list[dict[str, Any]]) -> str:
    done = [r for r in rows if "error" not in r]
    judged = [r for r in done if r["is_win"] is not None]
    return (
        f"{len(rows)} tables: {len(rows) - len(done)} failed, "
        f"{sum(not r['is_exact'] for r in done)} beyond the bound, "
        f"{sum(r['labels_different'] for r in done)} labels different, "
        f"{sum(r['leaves_reached'] < LEAVES * r['leaves'] for r in done)} below {LEAVES:.0%} of leaves, "
        f"{sum(bool(r['is_win']) for r in judged)} of {len(judged)} beat the reference"
    )


if __name__ == "__main__":
    sys.exit(main())
