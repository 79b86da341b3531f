"""How long it takes to explain a thousand rows of the final ensemble, and whether the values sum to the predictions.

    python -m benchmarks.explanations --data ../shared/data --budget 10 [--tables hitters ames] [--json out.json]

Without the folder, scikit-learn's bundled tables are used. Each table runs in a process of its own. The exit status is
1 when a table failed, took longer than ten seconds, or has a sum that is off by more than 1e-9 (of the largest
prediction, where that is above 1).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import tables

#: Rows that are explained, and seconds that they may take.
ROWS, LIMIT_S = 1_000, 10.0
TOLERANCE = 1e-9
GRACE_S = 600
HEADER = (
    f"{'table':<16}{'columns':>8}{'rows':>6}{'shap s':>8}{'per row':>9}{'background':>11}{'largest error':>14}"
    f"{'allowed':>9}{'lime s':>8}{'20 counterf. s':>15}{'found':>6}{'in fit s':>9}  not run in fit"
)


def main(arguments: list[str] | None = None) -> int:
    """Run all tables and print one line each; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each fit")
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
    failed = [r["table"] for r in rows if not _is_good(r)]
    print(f"{len(rows) - len(failed)} of {len(rows)} tables within {LIMIT_S:g} s and {TOLERANCE:g}", *failed)
    return int(bool(failed))


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
    from automl_wf import WorkflowEstimator

    model = WorkflowEstimator(task=split.family, time_budget=budget, random_state=seed, verbose=0)
    model.fit(split.X_train, split.y_train, groups=split.groups_train)
    # Held-out rows first, training rows after them where there are fewer than a thousand
    X = pd.concat([split.X_test, split.X_train], ignore_index=True).head(ROWS)
    values, shap_s = _timed(lambda: model.explain(X))
    expected = _explained(model, X)
    error = float(np.abs(values.to_numpy().sum(axis=1) - expected).max())
    _, lime_s = _timed(lambda: model.explain(X.head(100), method="lime"))
    changes, counterfactuals_s = _timed(lambda: model.counterfactuals(X.head(20)))
    facts = model.interpretation_.to_dict()
    return {
        "table": split.name,
        "columns": len(model.schema_.used),
        "rows": len(X),
        "shap_s": shap_s,
        **values.attrs,
        "largest_error": error,
        "allowed": TOLERANCE * max(1.0, float(np.abs(expected).max())),
        "lime_100_s": lime_s,
        "counterfactuals_20_s": counterfactuals_s,
        "n_found": int(changes.groupby("row")["is_found"].first().sum()),
        "interpretation_s": model.timings_["interpretation"],
        "fit_time_s": model.timings_["total"],
        "budget": budget,
        "statuses": {k: v["status"] for k, v in facts.items() if isinstance(v, dict)},
        "n_columns_not_run": len(facts["not_run"]),
        "pairs": (facts["interactions"] or {}).get("pairs"),
        "threshold": (facts["interactions"] or {}).get("threshold"),
        "trust": facts["trust"],
        "members": sorted({m["model"] for m in model.best_params_["members"]}),
    }


def _timed(call: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def _explained(model: Any, X: pd.DataFrame) -> np.ndarray:
    """What the values should sum to, line by line."""
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(X), dtype=float)
    proba = model.predict_proba(X)
    return proba[:, 1] if proba.shape[1] == 2 else proba.ravel()


def _is_good(row: dict[str, Any]) -> bool:
    return "error" not in row and row["shap_s"] <= LIMIT_S and row["largest_error"] <= row["allowed"]


def _in_own_process(name: str, folder: Path | None, budget: float, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.explanations", "--one", name]
    command += ["--budget", str(budget), "--seed", str(seed)]
    command += ["--data", str(folder)] if folder else []
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=3 * budget + GRACE_S)
    except subprocess.TimeoutExpired:
        return {"table": name, "error": "took too long"}
    if run.returncode:
        return {"table": name, "error": (run.stderr.strip().splitlines() or ["no message"])[-1]}
    facts: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    return facts


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['table']:<16}failed: {row['error']}"
    missing = [name for name, status in row["statuses"].items() if status != "measured"]
    if row["n_columns_not_run"]:
        missing.append(f"importance of {row['n_columns_not_run']} columns")
    return (
        f"{row['table']:<16}{row['columns']:>8}{row['rows']:>6}{row['shap_s']:>8.2f}{row['max_evals']:>9}"
        f"{row['n_background']:>11}{row['largest_error']:>14.1e}{row['allowed']:>9.0e}{row['lime_100_s']:>8.2f}"
        f"{row['counterfactuals_20_s']:>15.2f}{row['n_found']:>6}{row['interpretation_s']:>9.2f}  {', '.join(missing)}"
    )


if __name__ == "__main__":
    sys.exit(main())
