"""What variants of a configuration are worth: the error with one over the error of the same configuration without it.

    python -m benchmarks.variants --data ../shared/data [--of imbalance target] [--splits 3]

One LightGBM, one linear model and one multilayer perceptron, each the first configuration of the catalogue (boosting at
a learning rate of 0.1), no clock and no search; folds, features and early stopping as `fit` has them, fold models
averaged. "imbalance" takes the tables with classes as they are (at most 5,000 training rows) and, where there are two,
thinned until 2 % of the rows are of the rarer one; labels of two classes are by the threshold that suits the metric on
out-of-fold predictions, with and without the variant. "augmentation" takes 100 and 300 training rows of every table.
"selection" takes the tables of 30 columns and more, "target" those whose target has a long right tail. Runs are
appended to `--json` and are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.stats import skew
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score, root_mean_squared_error

from automl_wf.exceptions import InvalidInput
from automl_wf.model_selection.target_transform import TRANSFORMS
from benchmarks import tables

PLAIN = "plain"
#: "copies" is every row twice, without anything made up: what of the others is due to the number of rows alone.
SAMPLINGS = {"imbalance": ("balanced", "under", "over"), "augmentation": ("copies", "smooth", "mixup")}
#: View of chosen features → what the choice is made by.
SELECTIONS: Mapping[str, Mapping[str, Any]] = {
    "probe": {"method": "probe"},
    "best quarter": {"method": "probe", "threshold": 0.0, "max_share": 0.25},
    "correlation": {"method": "correlation", "threshold": 0.98},
}
MODELS = {"lightgbm": ("lightgbm",), "linear": ("logistic_regression", "ridge"), "mlp": ("mlp",)}
MOST_ROWS, MOST_TEST_ROWS, FEW_ROWS, RARE = 5_000, 10_000, (100, 300), 0.02
MOST_ROWS_OF_SELECTION, MANY_COLUMNS = 10_000, 30
#: A target less skewed than this is left as it is ("moderately skewed" begins here: Bulmer, Principles of Statistics).
SKEWED = 0.5
OF = (*SAMPLINGS, "selection", "target")


@dataclass(frozen=True)
class Case:
    """One table, in one size, with what is tried on it."""

    of: str
    form: str
    split: tables.Split
    variants: tuple[str, ...]


def cases(of: str, split: tables.Split, seed: int) -> Iterator[Case]:
    """The forms of a table that say something about a kind of variant."""
    rng = np.random.default_rng(seed)
    if of == "imbalance" and split.family == "classification":
        yield Case(of, "as it is", _fewer(split, MOST_ROWS, rng), SAMPLINGS[of])
        if split.task == "binary":
            yield Case(of, "2 %", _rarer(split, rng), SAMPLINGS[of])
    if of == "augmentation" and split.task != "ranking":
        for n_rows in FEW_ROWS:
            few = _fewer(split, n_rows, rng)
            if split.family != "classification" or len(np.unique(few.y_train)) > 1:
                yield Case(of, f"{n_rows} rows", few, SAMPLINGS[of])
    if of == "target" and split.task == "regression" and (transforms := symmetrising(split.y_train)):
        yield Case(of, "as it is", _fewer(split, MOST_ROWS_OF_SELECTION, rng), transforms)
    if of == "selection" and _is_wide(split):
        yield Case(of, "as it is", _fewer(split, MOST_ROWS_OF_SELECTION, rng), tuple(SELECTIONS))


def symmetrising(y: np.ndarray) -> tuple[str, ...]:
    """Names of the transforms that take some of the skew out of a target with a long right tail.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Values.

    Returns
    -------
    tuple of str
        Keys of `TRANSFORMS`; none where the skewness is at most 0.5.
    """
    values = np.asarray(y, dtype=np.float64)
    given = _skewness(values)
    if not given > SKEWED:
        return ()
    defined = {name: t for name, t in TRANSFORMS.items() if t.is_defined(values)}
    return tuple(name for name, t in defined.items() if abs(_skewness(t.forward(values))) < given)


def _skewness(values: np.ndarray) -> float:
    # Centred and scaled before: third powers of large values overflow, and scipy warns where all are nearly alike.
    centred = values - np.mean(values) if len(values) else values
    widest = float(np.abs(centred).max(initial=0.0))
    return float(skew(centred / widest)) if widest > 0.0 else 0.0


def _is_wide(split: tables.Split) -> bool:
    return split.X_train.shape[1] >= MANY_COLUMNS


def _fewer(split: tables.Split, n_rows: int, rng: np.random.Generator) -> tables.Split:
    """At most so many training rows, and test rows, at random; whole groups are not kept."""
    train = _draw(len(split.X_train), n_rows, rng)
    test = np.arange(len(split.X_test))
    if split.groups_test is None:
        test = _draw(len(test), MOST_TEST_ROWS, rng)
    if split.family == "classification":
        # Classes that no training row has cannot be told apart by anything.
        test = test[np.isin(split.y_test[test].astype(str), np.unique(split.y_train[train].astype(str)))]
    return _rows(split, train, test)


def _draw(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(n, most, replace=False)) if n > most else np.arange(n)


def _rarer(split: tables.Split, rng: np.random.Generator) -> tables.Split:
    """Rows of the rarer class left out, in training and test part, until 2 % are of it."""
    classes, counts = np.unique(split.y_train.astype(str), return_counts=True)
    rare = classes[np.argmin(counts)]

    def thin(y: np.ndarray, most: int) -> np.ndarray:
        is_rare = y.astype(str) == rare
        common = np.flatnonzero(~is_rare)
        common = common[_draw(len(common), round(most * (1 - RARE)), rng)]
        few = np.flatnonzero(is_rare)
        few = few[_draw(len(few), max(round(len(common) * RARE / (1 - RARE)), 2), rng)]
        return np.sort(np.concatenate([common, few]))

    return _rows(split, thin(split.y_train, MOST_ROWS), thin(split.y_test, MOST_TEST_ROWS))


def _rows(split: tables.Split, train: np.ndarray, test: np.ndarray) -> tables.Split:
    def of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
        return None if values is None else values[rows]

    return replace(
        split,
        X_train=split.X_train.iloc[train].reset_index(drop=True),
        y_train=split.y_train[train],
        groups_train=of(split.groups_train, train),
        X_test=split.X_test.iloc[test].reset_index(drop=True),
        y_test=split.y_test[test],
        groups_test=of(split.groups_test, test),
    )


class Bench:
    """The stages before the search, done once for a table; then one configuration after the other."""

    def __init__(self, case: Case, seed: int) -> None:
        from automl_wf import ModelDevelopmentWorkflow

        self.split, self.seed = case.split, seed
        split = _with_rare_class_second(case.split)
        self.y_test = split.y_test
        few = len(split.X_train) <= max(FEW_ROWS)
        workflow = ModelDevelopmentWorkflow(
            {
                "task": split.family,
                "time_budget": None,
                "random_state": seed,
                "verbose": 0,
                "n_jobs": 1,
                "cv": "auto" if few or split.is_ordered else 3,
            }
        )
        prepared = workflow.prepare_data(
            workflow.define_problem(split.X_train, split.y_train, groups=split.groups_train)
        )
        self.problem, self.schema = prepared.problem, prepared.data.schema
        with patch("automl_wf.feature_engineering.plan.selected_views", _selections):
            self.cache = workflow.engineer_features(prepared).cache

    def errors(self, model: str, variant: str) -> dict[str, float]:
        """Error of a model by each metric, on the held-out rows."""
        from automl_wf.bayesian_hpo.objective import Configuration, Objective
        from automl_wf.core.budget import Budget
        from automl_wf.core.frame import read_table
        from automl_wf.model_selection import catalogue

        task = self.problem.task
        spec = next(s for s in catalogue.MODELS if s.name in MODELS[model] and task in s.tasks)
        params = {**spec.portfolio[0], **({"learning_rate": 0.1} if model == "lightgbm" else {})}
        if variant in SELECTIONS:
            params["view"] = f"{spec.view} {variant}"
        elif variant in TRANSFORMS:
            params["target_transform"] = variant
        elif variant != PLAIN:
            params["sampling"] = variant
        objective = Objective(
            self.cache, task, self.problem.n_classes, self.problem.scoring, {spec.name: spec}, seed=self.seed, n_jobs=1
        )
        with patch.dict("automl_wf.model_selection.sampling.SAMPLINGS", {"copies": _copies}):
            trial = objective(Configuration(spec.name, params, "portfolio"), 0, budget=Budget())
        if trial.prediction is None:
            raise RuntimeError(f"{self.split.name}, {model}, {variant}: {trial.reason}")
        new = read_table(self.split.X_test, self.schema, owner="benchmark")
        parts = zip(trial.views, trial.learners, strict=True)
        prediction = np.mean([learner.predict(view.transform(new)) for view, learner in parts], axis=0)
        width = float(np.mean([view.n_features for view in trial.views]))
        return {**self._errors(trial.prediction, prediction), "seconds": trial.fit_time_s, "features": width}

    def _errors(self, held_out: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        split, task = self.split, self.problem.task
        if task.value == "regression":
            return {"rmse": float(root_mean_squared_error(self.y_test, prediction))}
        if task.value == "ranking":
            return {"ndcg@10": 1.0 - tables.mean_ndcg(self.y_test, prediction, split.groups_test, k=10)}
        classes = list(self.problem.classes)
        codes = np.array([classes.index(c) for c in self.y_test])
        found = {"log_loss": float(log_loss(codes, prediction, labels=range(len(classes))))}
        if task.value == "binary":
            found["roc_auc"] = 1.0 - float(roc_auc_score(codes, prediction[:, 1]))
        balanced = self._labels("balanced_accuracy", held_out, prediction)
        found["balanced_accuracy"] = 1.0 - float(balanced_accuracy_score(codes, balanced))
        average = "binary" if task.value == "binary" else "macro"
        labels = self._labels("f1" if task.value == "binary" else "f1_macro", held_out, prediction)
        found["f1"] = 1.0 - float(f1_score(codes, labels, average=average, zero_division=0.0))
        return found

    def _labels(self, scoring: str, held_out: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        from automl_wf.core.metrics import resolve_scoring
        from automl_wf.model_selection.postprocess import fit_postprocess

        rows = self.cache.folds.rows
        resolved = resolve_scoring(scoring, self.problem.task)
        post = fit_postprocess(held_out, self.cache.y[rows], None, None, resolved, self.problem.task)
        return np.asarray(post.decide(post.apply(prediction)))


def _with_rare_class_second(split: tables.Split) -> tables.Split:
    """Two classes as 0 and 1, 1 being the rarer one: F1 is about it."""
    if split.task != "binary":
        return split
    classes, counts = np.unique(split.y_train.astype(str), return_counts=True)
    rare = classes[np.argmin(counts)]
    y_train, y_test = (np.where(y.astype(str) == rare, 1, 0) for y in (split.y_train, split.y_test))
    return replace(split, y_train=y_train, y_test=y_test)


def _copies(train: Any, task: Any, random: Any) -> Any:
    """Every row twice."""
    from automl_wf.model_selection.sampling import _joined

    return _joined(train, train)


def _selections(views: Mapping[str, Any], n_columns: int, n_classes: int) -> dict[str, Any]:
    from automl_wf.feature_engineering.selected_view import SelectedRecipe

    return {
        f"{name} {variant}": SelectedRecipe(f"{name} {variant}", views[name], n_classes, **options)
        for name in ("tree", "dense")
        for variant, options in SELECTIONS.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, and print what each variant is worth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--of", nargs="+", choices=OF, default=OF)
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--splits", type=int, default=3, help="splits of each table, seeds 0, 1, …")
    parser.add_argument("--json", type=Path, default=Path("variants.jsonl"), help="file of all runs")
    options = parser.parse_args(arguments)
    folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
    runs = _read(options.json)
    for seed in range(options.splits):
        for table in options.tables or tables.names(folder):
            for of in options.of:
                for case in cases(of, tables.load(table, folder, seed), seed):
                    _run_case(case, seed, options, runs)
    print(report(pd.DataFrame(runs.values())))
    return 0


def _read(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    if not path.is_file():
        return {}
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {_key(run): run for run in runs}


def _key(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run[name] for name in ("of", "form", "table", "seed", "model", "variant"))


def _run_case(case: Case, seed: int, options: argparse.Namespace, runs: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    bench = None
    for model in options.models:
        for variant in (PLAIN, *case.variants):
            run = {"of": case.of, "form": case.form, "table": case.split.name, "seed": seed}
            run |= {"model": model, "variant": variant}
            if _key(run) in runs:
                continue
            try:
                bench = bench or Bench(case, seed)
            except InvalidInput as error:
                # A few rows of a rare class cannot be laid into folds.
                print(f"{case.split.name} {seed}, {case.form}: {error}", flush=True)
                return
            run |= bench.errors(model, variant)
            runs[_key(run)] = run
            with options.json.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
            print(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in run.values()), flush=True)


def report(board: pd.DataFrame) -> str:
    """What each variant is worth, by kind of table, model and metric.

    Parameters
    ----------
    board : DataFrame
        One row per run: of, form, table, seed, model, variant, and one error per column.

    Returns
    -------
    str
        A Markdown table: geometric mean of the error with the variant over the error without it; below 1 it pays.
    """
    metrics = [m for m in ("rmse", "ndcg@10", "roc_auc", "log_loss", "balanced_accuracy", "f1") if m in board]
    keys = ["of", "form", "model", "table", "seed"]
    long = board.melt([*keys, "variant"], metrics, "metric", "error").dropna(subset="error")
    plain = long[long["variant"] == PLAIN].drop(columns="variant")
    both = long[long["variant"] != PLAIN].merge(plain, on=[*keys, "metric"], suffixes=("", "_plain"))
    # An error of nothing says no more than that both are perfect.
    both = both[(both["error"] > 0) & (both["error_plain"] > 0)]
    both["ratio"] = np.log(both["error"] / both["error_plain"])
    lines = [
        "| of | tables | model | metric | variant | error ratio | ± 2 s.e. | better on | pays |",
        "|" + " --- |" * 9,
    ]
    for key, group in both.groupby(["of", "form", "model", "metric", "variant"], sort=False):
        ratio = group["ratio"]
        spread = 2.0 * float(ratio.std(ddof=1)) / np.sqrt(len(ratio)) if len(ratio) > 1 else float("nan")
        verdict = "yes" if ratio.mean() < -spread else "harms" if ratio.mean() > spread else "not shown"
        figures = f"{np.exp(ratio.mean()):.4f} | {spread:.4f} | {int((ratio < 0).sum())} of {len(ratio)} | {verdict}"
        lines.append(f"| {' | '.join(str(k) for k in key)} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
