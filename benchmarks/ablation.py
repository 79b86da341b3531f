"""What each part of the search and of the features is worth: the error without it over the error with it.

    python -m benchmarks.ablation --data ../shared/data --budget 20 [--without words blend] [--tables ames] [--splits 3]
    python -m benchmarks.ablation --data ../shared/data --budget 20 --rows 3000 --without asking surrogate pruning
    python -m benchmarks.ablation --data ../shared/data --n-iter 20 --rows 10000 --without pruning
    python -m benchmarks.ablation --data ../shared/data --budget 5 --log-loss --without temperature --splits 3
    python -m benchmarks.ablation --data ../shared/data --features [--splits 3]

Every variant runs on the same splits, seconds and cores as the whole, each in a process of its own. A part is worth
something if Wilcoxon's signed-rank test over tables and splits says so (one-sided, 5 %): in the mean of the ratios,
which is printed with twice its standard error, one table whose error nearly vanishes outweighs all others. Where a
part had no occasion to act in the run of the whole, it is not taken out: the clock would make a difference that is
none. On few rows (`--rows`) a search comes further in the same seconds, to where it asks for configurations. What saves
time shows in the seconds of a search without a clock (`--n-iter`). What is done to a finished model is taken out of
that same model, so that no second search makes a difference; the temperature acts on log loss alone, which
`--log-loss` makes the metric of every table of classes. Runs are appended to `--json`, a file for each metric, number
of rows and number of configurations, and are not made again.

With `--features` there is no clock and no search: one LightGBM with all features and without each family of them, on
at most 20,000 training rows (the last ones where they follow time), so that nothing but the features differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from benchmarks import compare, tables
from benchmarks.systems import Ours

WHOLE = "nothing"
#: Parts that are families of features, rows that they are judged on, and the model.
FEATURES = ("words", "pairs", "arithmetic", "statistics", "calendar")
FEATURE_ROWS = 20_000
FEATURE_MODEL = {"learning_rate": 0.1, "n_rounds": 300, "feature_fraction": 0.6}
#: A part pays if no worth at all would look as good as this rarely.
SIGNIFICANT = 0.05
#: A run is given up after its budget and as many seconds more.
GRACE_S = 300.0
#: What a fit without a budget may take before that.
UNTIMED_S = 600.0


def _without_steps(*transformers: str) -> list[Any]:
    from automl_wf.feature_engineering import plan

    whole = plan._step
    return [
        patch.object(
            plan, "_step", lambda made, columns: () if type(made).__name__ in transformers else whole(made, columns)
        )
    ]


def _without_words() -> list[Any]:
    """Texts are categories."""
    return _without_steps("WordWeights", "WordStatistics")


def _without_pairs() -> list[Any]:
    """Words count, their neighbours do not."""
    from automl_wf.feature_engineering import plan

    kinds = ("WordWeights", "WordStatistics")
    return [patch.object(plan, kind, _keeping(getattr(plan, kind), max_pairs=0)) for kind in kinds]


def _without_arithmetic() -> list[Any]:
    return _without_steps("Arithmetic")


def _without_statistics() -> list[Any]:
    """Nothing is learnt from the target but the words of texts."""
    return _without_steps("TargetStatistics")


def _without_calendar() -> list[Any]:
    return _without_steps("DatetimeParts", "DatetimeCycles")


def _without_asking() -> list[Any]:
    from automl_wf import workflow

    return [patch.object(workflow, "SearchRules", _keeping(workflow.SearchRules, asks=False))]


def _without_surrogate() -> list[Any]:
    """Points are asked for at random."""
    from automl_wf.bayesian_hpo.surrogate import Surrogate

    return [patch.object(Surrogate, "_acquisition", lambda self, candidates: np.zeros(len(candidates)))]


def _without_blend() -> list[Any]:
    """The best single configuration predicts."""
    from automl_wf.model_selection import ensemble

    return [patch.object(ensemble, "_affordable", lambda *given: ("single",))]


def _without_pruning() -> list[Any]:
    from automl_wf.bayesian_hpo import search

    return [patch.object(search, "_forgiving", lambda *given: None)]


def _run(part: str, split: tables.Split, seed: int, options: argparse.Namespace) -> dict[str, Any] | None:
    """One variant; None if there is nothing of the part in the features of this table."""
    if options.rows:
        split = tables.fewer_rows(split, options.rows, seed)
    settings: dict[str, Any] = {}
    if options.n_iter:
        settings |= {"time_budget": None, "n_iter": options.n_iter}
    if options.log_loss:
        split = replace(split, metric="log_loss")
        settings |= {"scoring": "neg_log_loss"}
    whole = _steps_of(split) if part in FEATURES else None
    with ExitStack() as patches:
        patches.enter_context(patch.object(Ours, "settings", settings))
        for change in [*PARTS[part](), *(_one_model(options.view) if options.features else [])]:
            patches.enter_context(change)
        patches.enter_context(patch.object(Ours, "facts", _facts))
        if whole is not None and whole == _steps_of(split):
            return None
        return {**compare.measure("ours", split, options.budget, seed), "system": part}


def _steps_of(split: tables.Split) -> str:
    """The recipes of all views, to be compared."""
    from automl_wf.core.frame import learn_schema
    from automl_wf.core.tasks import Task
    from automl_wf.feature_engineering.plan import plan_features

    schema, table, _ = learn_schema(split.X_train)
    n_classes = len(np.unique(split.y_train)) if split.family == "classification" else 1
    plan = plan_features(schema, Task(split.task), n_classes, table)
    return repr([[(s.transformer, s.positions) for s in recipe.steps] for recipe in plan.views.values()])


def _one_model(view: str) -> list[Any]:
    """One configuration, no clock; there is no time to say where it fails and why."""
    from automl_wf import workflow
    from automl_wf.core.budget import Budget

    whole = workflow.shortlist_models
    over = Budget(0.0)

    def shortlist(*given: Any, **keywords: Any) -> Any:
        return replace(
            whole(*given, **keywords), configurations=(("dummy", {}), ("lightgbm", {**FEATURE_MODEL, "view": view}))
        )

    settings = {"time_budget": None, "n_iter": 2, "preset": "fast"}
    return [
        patch.object(workflow, "shortlist_models", shortlist),
        patch.object(workflow, "diagnosis_budget", lambda given: over),
        patch.object(workflow, "interpret", _keeping(workflow.interpret, budget=over)),
        patch.object(Ours, "settings", settings),
    ]


def _facts(system: Ours) -> dict[str, Any]:
    """The parts of the search that had occasion to act in a fit, and scores of its model without a part."""
    board = system.model.leaderboard_
    without = _scores_without(system)
    occasions = {
        "asking": (board["source"] == "asked").any(),
        "surrogate": (board["source"] == "asked").any(),
        "blend": (board["weight"] > 0.0).sum() > 1,
        "pruning": (board["status"] == "pruned").any(),
    }
    return {"acted": [*without, *(part for part, is_there in occasions.items() if is_there)], "without": without}


def _scores_without(system: Ours) -> dict[str, float]:
    """Scores of the fitted model itself, by the part that is taken out of it."""
    fitted = system.model.best_estimator_
    post = fitted.blend.postprocess
    if post.temperature == 1.0 or system.split.metric != "log_loss":
        return {}
    with patch.object(fitted, "blend", replace(fitted.blend, postprocess=replace(post, temperature=1.0))):
        return {"temperature": system.split.score(system)}


def _keeping(function: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """The function with some keyword arguments held."""

    def held(*given: Any, **keywords: Any) -> Any:
        return function(*given, **{**keywords, **fixed})

    return held


#: Part → patches that take it out of a fit.
PARTS: Mapping[str, Callable[[], list[Any]]] = {
    WHOLE: list,
    "words": _without_words,
    "pairs": _without_pairs,
    "arithmetic": _without_arithmetic,
    "statistics": _without_statistics,
    "calendar": _without_calendar,
    "asking": _without_asking,
    "surrogate": _without_surrogate,
    "blend": _without_blend,
    "pruning": _without_pruning,
}
#: Parts that are taken out of the fitted model.
OF_THE_MODEL = ("temperature",)


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, and print what each part is worth; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each fit")
    parser.add_argument("--without", nargs="+", choices=_parts(), help="only these parts")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--splits", type=int, default=1, help="splits of each table")
    parser.add_argument("--first-split", type=int, default=0, help="seed of the first one; the others follow it")
    parser.add_argument("--n-iter", type=int, help="so many configurations in place of a budget")
    parser.add_argument(
        "--rows", type=int, default=0, help="at most so many training rows; 0: all, or as --features has"
    )
    parser.add_argument("--features", action="store_true", help="families of features only, without clock and search")
    parser.add_argument("--view", default="engineered", help="features that --features is about; a --json file each")
    parser.add_argument("--log-loss", action="store_true", help="tables of classes only, fitted for and judged by it")
    parser.add_argument("--json", type=Path, default=Path("ablation.jsonl"), help="file of all runs")
    parser.add_argument("--one", nargs=3, metavar=("PART", "TABLE", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.rows = options.rows or (FEATURE_ROWS if options.features else 0)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    if options.one:
        part, table, seed = options.one
        print(json.dumps(_run(part, tables.load(table, folder, int(seed)), int(seed), options)))
        return 0
    parts = [WHOLE, *(options.without or (FEATURES if options.features else _parts()))]
    if options.features or options.n_iter:
        options.budget = 0.0
    runs = compare.read_runs(options.json, options.budget)
    for table in options.tables or _tables(folder, options.log_loss):
        for seed in range(options.first_split, options.first_split + options.splits):
            for part in parts:
                if (table, seed, part) not in runs:
                    run = _run_if_it_acts(options, folder, part, table, seed, runs.get((table, seed, WHOLE)))
                    runs[table, seed, part] = run
                    with options.json.open("a", encoding="utf-8") as lines:
                        lines.write(json.dumps(run) + "\n")
    print(report(pd.DataFrame(runs.values()), parts))
    return int(any(run["failure"] for run in runs.values()))


def _parts() -> list[str]:
    return [part for part in (*PARTS, *OF_THE_MODEL) if part != WHOLE]


def _tables(folder: Path | None, log_loss: bool) -> list[str]:
    names = tables.names(folder)
    return [n for n in names if tables.load(n, folder).family == "classification"] if log_loss else names


def _run_if_it_acts(
    options: argparse.Namespace, folder: Path | None, part: str, table: str, seed: int, whole: dict[str, Any] | None
) -> dict[str, Any]:
    """A run without a part; that of the whole, with its model's score without the part, where no other is needed."""
    if whole is not None and (part in OF_THE_MODEL or part not in (*FEATURES, *whole.get("acted", ()))):
        return {**whole, "system": part, "score": whole.get("without", {}).get(part, whole["score"])}
    run = _in_own_process(options, folder, part, table, seed)
    if run is None:  # none of its features in this table
        return {**(whole or {}), "system": part}
    print(compare.line_of(run), flush=True)
    return dict(run)


def _in_own_process(options: argparse.Namespace, folder: Path | None, part: str, table: str, seed: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.ablation", "--one", part, table, str(seed)]
    command += ["--budget", str(options.budget), *(["--data", str(folder)] if folder else [])]
    command += ["--rows", str(options.rows)] if options.rows else []
    command += ["--n-iter", str(options.n_iter)] if options.n_iter else []
    command += ["--features", "--view", options.view] if options.features else []
    command += ["--log-loss"] if options.log_loss else []
    run = subprocess.run(command, capture_output=True, text=True, timeout=(options.budget or UNTIMED_S) + GRACE_S)
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def report(board: pd.DataFrame, parts: list[str]) -> str:
    """What each part is worth.

    Parameters
    ----------
    board : DataFrame
        One row per run, as `compare.measure` returns them, `system` being the part left out.
    parts : list of str
        Parts, the whole first.

    Returns
    -------
    str
        To be printed.
    """
    known = compare.errors_of(board)
    errors, seconds = (
        known.pivot(index=["table", "seed"], columns="system", values=column) for column in ("error", "fit_time_s")
    )
    rows = []
    for part in parts[1:]:
        ratio = np.log(errors[part] / errors[WHOLE]).dropna()
        # Tables that hold nothing of the part say nothing about it.
        ratio = ratio[ratio != 0.0]
        time = np.log(seconds[part] / seconds[WHOLE]).dropna()
        time = time[time != 0.0]
        spread = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else float("nan")
        p_value, p_of_time = (
            float(wilcoxon(logs, alternative="greater").pvalue) if len(logs) else float("nan") for logs in (ratio, time)
        )
        rows.append(
            {
                "without": part,
                "error ratio": float(np.exp(ratio.mean())),
                "± 2 s.e.": 2.0 * spread,
                "p": p_value,
                "seconds ratio": float(np.exp(time.mean())),
                "p of it": p_of_time,
                "pays": "yes" if p_value < SIGNIFICANT else "not shown",
                "worse on": f"{int((ratio > 0).sum())} of {len(ratio)}",
                "largest loss": f"{ratio.idxmax()[0]} {np.exp(ratio.max()):.3f}" if len(ratio) else "",
            }
        )
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format)


if __name__ == "__main__":
    sys.exit(main())
