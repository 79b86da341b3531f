"""No leak: with its target shuffled, no table can be predicted, and a fit that seems to shows where rows leak.

    python -m benchmarks.leaks --data ../shared/data --budget 10 [--tables ames] [--seed 0]

The target of the training rows is shuffled over all of them, groups and time included, so that nothing of what rows or
subjects have in common is left; grades of documents are shuffled within their query, since NDCG compares documents of
one query only. Everything else is as in any fit. Two things are asked, each so that a run without leaks calls any table
beyond chance once in forty runs:

* whether the interval of the honest score, widened for as many looks as there are tables, lies above the baseline;
* how much better the blend is than the baseline on the same out-of-fold rows, in standard errors of 200 paired
  bootstraps of at most 5,000 rows (whole groups). This is finer, but the blend was chosen on these rows: the limit
  counts one look for every configuration of every table.

Beyond chance on any table is exit status 1. A table of which nothing but the baseline could be fitted in the time is
told apart: it says nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from benchmarks import tables

#: A fit is given up after its budget and as many seconds more.
GRACE_S = 300.0
#: Chance that any table of a run without leaks is called beyond chance by each of the two questions.
ANY = 0.025
N_BOOTSTRAPS, MAX_ROWS = 200, 5_000
VERDICTS = CHANCE, BEYOND, UNJUDGED, FAILED = "at chance", "beyond chance", "no model in the time", "failed"


def main(arguments: list[str] | None = None) -> int:
    """Fit every table on shuffled targets, print what came of it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each fit")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle, the split and the fit")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--one", metavar="TABLE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    if options.one:
        print(json.dumps(measure(tables.load(options.one, folder, options.seed), options.budget, options.seed)))
        return 0
    names = options.tables or tables.names(folder)
    print(
        f"{'table':<16}{'metric':>16}{'score':>11}{'95 % interval':>24}{'baseline':>11}{'gain in s.e.':>14}{'limit':>7}"
        f"{'fit s':>7}  verdict"
    )
    rows = []
    for name in names:
        row = _in_own_process(name, folder, options.budget, options.seed)
        row["verdict"] = _verdict(row, len(names))
        rows.append(row)
        print(_line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    counts = {kind: sum(row["verdict"] == kind for row in rows) for kind in VERDICTS}
    print(f"{len(rows)} tables: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return int(counts[BEYOND] + counts[FAILED] > 0)


def _verdict(row: dict[str, Any], n_tables: int) -> str:
    """What came of one table; the limit of its gain is noted."""
    if "error" in row:
        return FAILED
    row["limit"] = float(norm.ppf(1 - ANY / (n_tables * row["n_trials"])))
    if row["score"] is None:
        return UNJUDGED
    # The interval is one of 95 %.
    widened = float(norm.ppf(1 - ANY / n_tables) / norm.ppf(0.975))
    is_above = row["honest"] - widened * (row["honest"] - row["low"]) > row["honest_baseline"]
    return BEYOND if is_above or row["gain_in_errors"] > row["limit"] else CHANCE


def shuffled(split: tables.Split, seed: int) -> tables.Split:
    """The table with the targets of its training rows in another order, within each query when ranking."""
    rng = np.random.default_rng(seed)
    y = split.y_train.copy()
    if split.task == "ranking" and split.groups_train is not None:
        for query in np.unique(split.groups_train):
            rows = np.flatnonzero(split.groups_train == query)
            y[rows] = y[rng.permutation(rows)]
    else:
        y = y[rng.permutation(len(y))]
    return replace(split, y_train=y)


def measure(split: tables.Split, budget: float, seed: int) -> dict[str, Any]:
    """One table with its target shuffled.

    Parameters
    ----------
    split : Split
        The table.
    budget : float
        Seconds for `fit`.
    seed : int
        Of the shuffle and the fit.

    Returns
    -------
    dict
        Plain JSON types: honest score, interval and baseline (natural form, and greater is better), and the gain of the
        blend over the baseline in standard errors.
    """
    from automl_wf import WorkflowEstimator

    split = shuffled(split, seed)
    model = WorkflowEstimator(task=split.family, time_budget=budget, random_state=seed, verbose=0)
    model.fit(split.X_train, split.y_train, groups=split.groups_train)
    scoring, honest = model.problem_.scoring, model.evaluation_.honest
    facts = {
        "table": split.name,
        "metric": scoring.label,
        "baseline": model.evaluation_.primary_score.baseline,
        "n_trials": len(model.leaderboard_),
        "fit_time_s": model.timings_["total"],
        "members": [m["model"] for m in model.best_params_["members"]],
    }
    if honest is None or honest.value is None or set(facts["members"]) == {"dummy"}:
        # Nothing but the baseline was fitted: this says nothing of leaks.
        return {**facts, "score": None, "interval": None, "gain_in_errors": 0.0}
    gain, error = _paired_gain(model._result.evidence, scoring, seed)
    return {
        **facts,
        "score": scoring.natural(honest.value),
        "interval": sorted(scoring.natural(end) for end in honest.interval),
        "honest": honest.value,
        "low": honest.interval[0],
        "honest_baseline": scoring.natural(facts["baseline"]),
        "gain": gain,
        "gain_in_errors": gain / error if error > 0 else 0.0,
    }


def _paired_gain(evidence: Any, scoring: Any, seed: int) -> tuple[float, float]:
    """How much better the predictions are than the baseline's on the same rows, and the standard error of that."""
    from automl_wf.core.tasks import Task
    from automl_wf.evaluation.bias_correction import Units, sample_rows

    y, group, weight = evidence["y"], evidence.get("group"), evidence.get("weight")
    is_ranking = scoring.task is Task.RANKING

    def gain(rows: np.ndarray, units: np.ndarray | None) -> float:
        of_weight = None if weight is None else weight[rows]
        of_group = units if is_ranking else None
        scores = [scoring(y[rows], evidence[name][rows], of_weight, of_group) for name in ("prediction", "baseline")]
        return float(scores[0] - scores[1])

    rng = np.random.default_rng(seed)
    kept = sample_rows(len(y), group, MAX_ROWS, rng)
    units = Units.of(len(kept), None if group is None else group[kept])
    gains = []
    for _ in range(N_BOOTSTRAPS):
        drawn, as_group = units.bag(units.draw(rng))
        if not scoring.task.is_classification or len(np.unique(y[kept[drawn]])) > 1:
            gains.append(gain(kept[drawn], as_group))
    error = float(np.std(gains, ddof=1)) * np.sqrt(len(kept) / len(y))
    return gain(np.arange(len(y)), group), error


def _in_own_process(name: str, folder: Path | None, budget: float, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.leaks", "--one", name, "--budget", str(budget), "--seed", str(seed)]
    command += ["--data", str(folder)] if folder else []
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=budget + GRACE_S)
    except subprocess.TimeoutExpired:
        return {"table": name, "error": f"not done {GRACE_S} s after its budget"}
    if run.returncode:
        return {"table": name, "error": (run.stderr.strip().splitlines() or [str(run.returncode)])[-1]}
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['table']:<16}failed: {row['error']}"
    score = "–" if row["score"] is None else f"{row['score']:.5g}"
    interval = "–" if row["interval"] is None else "{:.5g} to {:.5g}".format(*row["interval"])
    return (
        f"{row['table']:<16}{row['metric']:>16}{score:>11}{interval:>24}{row['baseline']:>11.5g}"
        f"{row['gain_in_errors']:>14.2f}{row['limit']:>7.2f}{row['fit_time_s']:>7.1f}  {row['verdict']}"
    )


if __name__ == "__main__":
    sys.exit(main())
