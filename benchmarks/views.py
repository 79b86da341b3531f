"""What a view of the features is worth to a model, alone and in a blend: no search, no clock, one fit each.

    python -m benchmarks.views --data ../shared/data --splits 3 [--views dense piecewise] [--tables ames]

On at most 5,000 training rows (the last ones where they follow time) a quarter is held out to choose a linear model's
penalty, a network's epochs and cosines, boosting's rounds and the weights of blends; errors are those on the split's
test rows. A view is worth something to a model if the mean logarithm of the error on the usual view over the error on
this one is above zero by more than twice its standard error over tables and splits. It is worth something to a blend if
adding the model on this view to three models on their usual views (boosting on "tree", the others on "dense") lowers
the error in the same sense. Runs are appended to `--json` and are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from automl_wf.core.budget import Budget
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Table
from automl_wf.feature_engineering import FeaturePlan, plan_features
from automl_wf.model_selection.base import Sample
from automl_wf.model_selection.catalogue import models_for
from automl_wf.problem_definition.target import Target, read_target
from benchmarks import tables

ROWS, HELD_OUT, BLENDING_ROUNDS = 5_000, 0.25, 25
VIEWS = ("dense", "piecewise")
USUAL: Mapping[str, str] = {"lightgbm": "tree", "linear": "dense", "mlp": "dense"}
#: Configurations, of which the held-out rows choose one.
GRIDS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "lightgbm": ({"learning_rate": 0.1, "n_rounds": 300, "patience": 20, "feature_fraction": 0.6},),
    "logistic_regression": tuple({"C": c} for c in (10.0, 1.0, 0.1, 0.01, 0.001)),
    "ridge": tuple({"alpha": alpha} for alpha in (0.1, 1.0, 10.0, 100.0, 1000.0)),
    "mlp": tuple(
        {"n_layers": 2, "width": 128, "learning_rate": 0.003, "dropout": 0.1, "n_rounds": 40, "patience": 10, **more}
        for more in ({"n_frequencies": 16}, {})
    ),
}


@dataclass(frozen=True)
class Case:
    """One split of one table, read.

    Parameters
    ----------
    split : Split
        The split, its training rows at most `ROWS`.
    target : Target
        Of the training rows.
    fit_on, choose_by : ndarray of shape (n,)
        Places among the training rows.
    train, test : Table
        All training rows, and the test rows.
    plan : FeaturePlan
        The views.
    seed : int
        Of split and models.
    """

    split: tables.Split
    target: Target
    fit_on: np.ndarray
    choose_by: np.ndarray
    train: Table
    test: Table
    plan: FeaturePlan
    seed: int

    def error(self, prediction: np.ndarray, *, is_test: bool) -> float:
        """The table's metric as an error: smaller is better."""
        split = self.split
        if not is_test:
            groups = None if split.groups_train is None else split.groups_train[self.choose_by]
            split = replace(split, y_test=split.y_train[self.choose_by], groups_test=groups)
        score = split.score(_Answer(prediction, self.target.classes))
        return 1.0 - score if split.greater_is_better else score


@dataclass(frozen=True)
class _Answer:
    """A prediction in the shape of a fitted model."""

    prediction: np.ndarray
    classes_: Any

    def predict(self, X: Any) -> np.ndarray:
        """Values or scores."""
        return self.prediction

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities."""
        return self.prediction


@dataclass(frozen=True)
class _Fit:
    """Predictions of one model on one view for the rows that choose and for the test rows."""

    chosen: np.ndarray
    test: np.ndarray


def open_case(name: str, folder: Path | None, seed: int) -> Case:
    """Read a table and lay aside the rows that choose."""
    split = tables.fewer_rows(tables.load(name, folder, seed), ROWS, seed)
    schema, train, _ = learn_schema(split.X_train)
    target = read_target(split.y_train, split.family, train.n_rows, "benchmark")
    fit_on, choose_by = _divide(split, target, seed)
    test = read_table(split.X_test, schema, owner="benchmark")
    plan = plan_features(schema, target.task, target.n_classes, train)
    return Case(split, target, fit_on, choose_by, train, test, plan, seed)


def _divide(split: tables.Split, target: Target, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(split.y_train))
    if split.is_ordered:
        first = round(len(rows) * (1 - HELD_OUT))
        return rows[:first], rows[first:]
    if split.groups_train is not None:
        splitter = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
        fit_on, choose_by = next(iter(splitter.split(rows, groups=split.groups_train)))
        return np.asarray(fit_on), np.asarray(choose_by)
    strata = target.values if target.task.is_classification and np.bincount(target.values).min() > 1 else None
    fit_on, choose_by = train_test_split(rows, test_size=HELD_OUT, random_state=seed, stratify=strata)
    return np.sort(fit_on), np.sort(choose_by)


def measure(case: Case, views: Sequence[str]) -> list[dict[str, Any]]:
    """Errors of each model on each view, and of the blends with it.

    Parameters
    ----------
    case : Case
        What `open_case` returned.
    views : sequence of str
        Views for the linear model and the network. One that is another one under a second name is left out.

    Returns
    -------
    list of dict
        Plain JSON types: table, seed, model (with "blend of " before it for a blend), view and error.
    """
    fits = {("lightgbm", "tree"): _fit(case, "lightgbm", "tree")}
    distinct = case.plan.distinct_views
    for view in [v for v in views if v in distinct]:
        for model in ("linear", "mlp"):
            fits[model, view] = _fit(case, model, view)
    usual = [fits[key] for key in USUAL.items() if key in fits]
    runs = []
    for (model, view), fit in fits.items():
        facts = {"table": case.split.name, "seed": case.seed, "metric": case.split.metric, "view": view}
        runs.append({**facts, "model": model, "error": case.error(fit.test, is_test=True)})
        if case.split.task != "ranking":
            members = usual if view == USUAL[model] else [*usual, fit]
            runs.append({**facts, "model": f"blend with {model}", "error": _blended(case, members)})
    return runs


def _fit(case: Case, model: str, view: str) -> _Fit:
    """The best configuration of a model on a view, by the rows that choose."""
    task, values = case.target.task, case.target.values
    name = model if model != "linear" else "logistic_regression" if task.is_classification else "ridge"
    spec = models_for(task, (name,))[-1]
    weight = None
    fitted, X_fit = case.plan.views[view].fit_transform(
        case.train.take(case.fit_on), values[case.fit_on], weight, seed=1
    )
    X_choose = fitted.transform(case.train.take(case.choose_by))
    group = None if case.split.groups_train is None else pd.factorize(case.split.groups_train)[0]

    def sample(X: np.ndarray, rows: np.ndarray) -> tuple[Sample, np.ndarray]:
        # Rows of one query lie side by side, as ranking wants them.
        order = np.arange(len(rows)) if group is None else np.argsort(group[rows], kind="stable")
        of_rows = None if group is None else group[rows][order]
        return Sample(X[order], values[rows][order], None, of_rows, fitted.categorical), order

    (train, _), (valid, _) = sample(X_fit, case.fit_on), sample(X_choose, case.choose_by)
    best, learner = np.inf, None
    for params in GRIDS[name]:
        tried = spec.learner(task, case.target.n_classes, params, case.seed)
        tried.fit(train, valid, budget=Budget())
        error = case.error(tried.predict(X_choose), is_test=False)
        if error < best or learner is None:
            best, learner = error, tried
    assert learner is not None
    return _Fit(learner.predict(X_choose), learner.predict(fitted.transform(case.test)))


def _blended(case: Case, members: Sequence[_Fit]) -> float:
    """Error of the greedy blend of some models: with replacement, each round the one that lowers the error most."""
    chosen, test = np.zeros_like(members[0].chosen), np.zeros_like(members[0].test)
    best, answer = np.inf, test
    for n in range(1, BLENDING_ROUNDS + 1):
        errors = [case.error((chosen + member.chosen) / n, is_test=False) for member in members]
        pick = members[int(np.argmin(errors))]
        chosen, test = chosen + pick.chosen, test + pick.test
        if min(errors) < best:
            best, answer = min(errors), test / n
    return case.error(answer, is_test=True)


def report(runs: pd.DataFrame) -> str:
    """What each view is worth to each model.

    Parameters
    ----------
    runs : DataFrame
        One row per run, as `measure` returns them.

    Returns
    -------
    str
        To be printed.
    """
    errors = runs.pivot_table(index=["table", "seed"], columns=["model", "view"], values="error")
    rows = []
    for model, view in errors.columns:
        usual = USUAL[model.removeprefix("blend with ")]
        if view == usual:
            continue
        ratio = np.log(errors[model, usual] / errors[model, view]).replace([np.inf, -np.inf], np.nan).dropna()
        spread = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else float("nan")
        by_table = ratio.groupby("table").mean().sort_values()
        rows.append(
            {
                "model": model,
                "view": view,
                "error on the usual view over this": float(np.exp(ratio.mean())),
                "± 2 s.e.": 2.0 * spread,
                "better on": f"{int((ratio > 0).sum())} of {len(ratio)}",
                "most": ", ".join(f"{t} {np.exp(v):.3f}" for t, v in by_table[::-1].head(3).items()),
                "least": ", ".join(f"{t} {np.exp(v):.3f}" for t, v in by_table.head(3).items()),
            }
        )
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format)


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and print what each view is worth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--views", nargs="+", default=list(VIEWS), help="dense, and those compared with it")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--splits", type=int, default=1, help="splits of each table, seeds 0, 1, …")
    parser.add_argument("--json", type=Path, default=Path("views.jsonl"), help="file of all runs")
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    runs = [json.loads(line) for line in options.json.read_text().splitlines()] if options.json.is_file() else []
    done = {(run["table"], run["seed"]) for run in runs}
    for table in options.tables or tables.names(folder):
        for seed in range(options.splits):
            if (table, seed) not in done:
                new = measure(open_case(table, folder, seed), options.views)
                runs += new
                with options.json.open("a", encoding="utf-8") as lines:
                    lines.writelines(json.dumps(run) + "\n" for run in new)
                print(table, seed, *(f"{r['model']}/{r['view']} {r['error']:.5g}" for r in new), flush=True)
    print(report(pd.DataFrame(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
