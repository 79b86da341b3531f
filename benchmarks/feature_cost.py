"""Seconds and memory that features take: every view of every fold, and of all rows, beside a budget of a minute.

    python -m benchmarks.feature_cost --data ../shared/data [--tables ames wide long] [--budget 60] [--memory 12GB]

Besides the tables of `--data`: "wide", 2,000 rows of 1,500 columns (numbers, and a tenth categories), and "long", five
million rows of 20 numbers. Each runs in a process of its own on two cores, with the folds, views and rules that the
search has: folds side by side where it fits them so, and a view that would take more than its share is left out.
"total" is planning, all views of all folds, and the one that takes longest fitted on all rows, for the final model that
weighs most; others are fitted again only where time is left. "CPU s" is what all of it takes of processors, every view
of all rows included: the figure to look at where other programs run. The peak is that of the process, its table
included. Exit status 1: features take more than a quarter of the budget, or more memory than the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from automl_wf.model_selection import VIEWS
from benchmarks import scaling, tables
from benchmarks.systems import CORES

SHARE = 0.25
GRACE_S = 600.0
#: Tables that are made up: rows, columns, and whether there are categories among them.
MADE_UP: Mapping[str, tuple[int, int, bool]] = {"wide": (2_000, 1_500, True), "long": (5_000_000, 20, False)}


def main(arguments: list[str] | None = None) -> int:
    """Measure every table and print a row of each; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of `fit`")
    parser.add_argument("--memory", default="12GB", help="memory_limit of `fit`")
    parser.add_argument("--all", action="store_true", help="leave no view out, whatever it takes")
    parser.add_argument("--json", type=Path, help="file that each result is appended to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    if options.one:
        print(json.dumps(measure(options.one, folder, options.budget, options.memory, options.all)))
        return 0
    names = options.tables or [*tables.names(folder), *MADE_UP]
    views = " | ".join(f"{view} s" for view in VIEWS)
    print(f"| table | rows | columns | folds | plan s | {views} | all rows s | total s | CPU s |", end="")
    print(" share | peak MiB | left out |\n" + "| --- " * (12 + len(VIEWS)) + "|")
    is_fine = True
    for name in names:
        result = _in_own_process(name, folder, options)
        print(line_of(result), flush=True)
        is_fine &= result["share"] <= SHARE and result["peak_mib"] <= result["memory_mib"]
        if options.json:
            with options.json.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(result) + "\n")
    return int(not is_fine)


def _in_own_process(name: str, folder: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.feature_cost", "--one", name, "--budget", str(options.budget)]
    command += [
        "--memory",
        options.memory,
        *(["--all"] if options.all else []),
        *(["--data", str(folder)] if folder else []),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=options.budget + GRACE_S)
    if run.returncode:
        raise SystemExit(run.stderr)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def measure(name: str, folder: Path | None, budget: float, memory: str, every: bool) -> dict[str, Any]:
    """Fit all views of one table in this process.

    Parameters
    ----------
    name : str
        A table of the folder, "wide" or "long".
    folder : Path or None
        Where the tables are.
    budget : float
        Seconds of the fit that the features are for.
    memory : str
        Its memory limit.
    every : bool
        Whether no view is left out.

    Returns
    -------
    dict
        Plain JSON types.
    """
    from automl_wf import ModelDevelopmentWorkflow
    from automl_wf.bayesian_hpo.objective import FEATURE_SHARE, Objective
    from automl_wf.core.search_space import Categorical
    from automl_wf.exceptions import OutOfTime
    from automl_wf.model_selection.base import VIEW

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    X, y, groups, task = _load(name, folder)
    n_rows, n_columns = X.shape
    workflow = ModelDevelopmentWorkflow(
        {"task": task, "time_budget": budget, "memory_limit": memory, "random_state": 0, "verbose": 0}
    )
    prepared = workflow.prepare_data(workflow.define_problem(X, y, groups=groups))
    engineered, plan_s, _ = _timed(lambda: workflow.engineer_features(prepared))
    problem, features, cache = engineered.problem, engineered.features, engineered.cache
    shortlist = workflow._shortlist(engineered)
    used = {shortlist.specs[model].view_of(params) for model, params in shortlist.configurations}
    # What is asked for after the portfolio may look through other views.
    asked = [spec.space.get(VIEW) for spec in shortlist.specs.values()]
    used.update(view for dimension in asked if isinstance(dimension, Categorical) for view in dimension.choices)
    distinct = [view for view in VIEWS if view in used and view in features.distinct_views]
    feature_s = None if every else FEATURE_SHARE * budget
    objective = Objective(
        cache, problem.task, problem.n_classes, problem.scoring, {}, seed=0, n_jobs=workflow.n_jobs, feature_s=feature_s
    )
    seconds: dict[str, float] = {}
    whole: dict[str, float] = {}
    cpu: dict[str, float] = {}
    whole_cpu: dict[str, float] = {}
    left_out = []
    for view in distinct:
        try:
            _, seconds[view], cpu[view] = _timed(lambda view=view: _fit_folds(objective, view))
        except OutOfTime:
            left_out.append(view)
    for view in seconds:
        _, whole[view], whole_cpu[view] = _timed(lambda view=view: cache.whole(view))
        cache.forget()
    all_rows_s = max(whole.values())
    total = plan_s + sum(seconds.values()) + all_rows_s
    return {
        "table": name,
        "n_rows": n_rows,
        "n_columns": n_columns,
        "n_folds": len(engineered.data_plan.folds),
        "plan_s": plan_s,
        "seconds": seconds,
        "all_rows_s": all_rows_s,
        "total_s": total,
        "cpu": cpu,
        "whole_cpu": whole_cpu,
        "share": total / budget,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "memory_mib": (workflow.memory_limit or 0.0) / 2**20,
        "left_out": left_out,
    }


def _fit_folds(objective: Any, view: str) -> None:
    """A view on all folds, as the search has it made."""
    from automl_wf.bayesian_hpo.objective import MAX_PARALLEL_ROWS, MIN_PARALLEL_ROWS

    cache = objective.cache
    side_by_side = MIN_PARALLEL_ROWS < len(cache.y) <= MAX_PARALLEL_ROWS
    for batch in objective._batches(list(range(len(cache.folds)))):
        objective._check_features(view)
        if side_by_side:
            Parallel(n_jobs=objective.n_jobs, prefer="threads")(delayed(cache.get)(fold, view) for fold in batch)
        else:
            for fold in batch:
                cache.get(fold, view)


def _timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, seconds of the clock, and seconds of processors."""
    started_at, used = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - started_at, time.process_time() - used


def _load(name: str, folder: Path | None) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None, str]:
    if name not in MADE_UP:
        split = tables.load(name, folder)
        return split.X_train, split.y_train, split.groups_train, split.family
    n_rows, n_columns, has_categories = MADE_UP[name]
    if has_categories:
        X, y, _ = scaling.make_table(scaling.Case("columns", n_rows, n_columns, 1), n_rows, seed=0)
        return X, y, None, "regression"
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n_rows, n_columns))
    y = numbers[:, 0] * numbers[:, 1] + numbers[:, 2] + rng.normal(size=n_rows)
    return pd.DataFrame(numbers, columns=[f"number {j}" for j in range(n_columns)]), y, None, "regression"


def line_of(result: Mapping[str, Any]) -> str:
    """One result as a row of the table."""
    seconds = result["seconds"]
    cpu_s = sum(result["cpu"].values()) + sum(result["whole_cpu"].values())
    each = " | ".join(f"{seconds[view]:.2f}" if view in seconds else "–" for view in VIEWS)
    return (
        f"| {result['table']} | {result['n_rows']:,} | {result['n_columns']:,} | {result['n_folds']} "
        f"| {result['plan_s']:.2f} | {each} | {result['all_rows_s']:.2f} | {result['total_s']:.2f} | {cpu_s:.2f} "
        f"| {result['share']:.1%} | {result['peak_mib']:,.0f} | {', '.join(result['left_out']) or 'none'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
