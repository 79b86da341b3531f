"""Whether the honest score is honest: against the truth, which only simulated rows have.

    python -m benchmarks.honest_score [--draws 2000] [--fits 200] [--jsonl honest_score.jsonl]
    python -m benchmarks.honest_score --coverage --data ../shared/data

Three questions; nothing of the first two depends on the clock, so that they may run on a busy machine.

* Draws: stacks of out-of-fold predictions of configurations that are fixed functions of simulated features. The blend
  is chosen, postprocessed and scored by the functions that `fit` calls; the truth is its score on 100,000 fresh rows.
* Fits: `WorkflowEstimator` on generated tables of 100 to 1,000 rows. The target of the honest score is what the models
  of a single fold do on fresh rows (20,000), on average over the folds; what is kept, their mean, is better and is
  reported beside it.
* Coverage: every regression table of a folder; how many of its held-out rows lie within `predict_interval`.

Errors are in standard errors: divided, by metric and number of rows, by the standard deviation of the honest score's
error. The bias of the honest score should be at most a tenth of that of best-of-N, or two standard errors of its mean,
and the 95 % interval should cover the truth in 92 to 98 % of the draws. Each result is appended to a file of JSON
lines, from which a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification, make_friedman1, make_regression

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import Chosen, bias_corrected, repeat_choice
from automl_wf.model_selection.ensemble import CANDIDATES, choose_blend, combine
from automl_wf.model_selection.postprocess import fit_postprocess
from benchmarks import tables

FRESH_ROWS, FRESH_ROWS_OF_FITS = 100_000, 20_000
N_BOOTSTRAPS = 50
#: Between the scenarios of successive draws; it has no divisor in common with their number.
STEP = 61
#: What is asked of the honest score.
BIAS_SHARE, STANDARD_ERRORS, COVERED = 0.1, 2.0, (0.92, 0.98)
KINDS = {
    "roc_auc": ("roc_auc", Task.BINARY),
    "log_loss": ("neg_log_loss", Task.BINARY),
    "log_loss, 4 classes": ("neg_log_loss", Task.MULTICLASS),
    "rmse": ("neg_root_mean_squared_error", Task.REGRESSION),
    "f1": ("f1", Task.BINARY),
    "balanced_accuracy": ("balanced_accuracy", Task.BINARY),
}
#: Of these the positive class is rare, so that the threshold matters.
RARE = ("f1", "balanced_accuracy")
N_CLASSES, N_FOLDS = 4, 5


@dataclass(frozen=True)
class Scenario:
    """One kind of stack.

    Parameters
    ----------
    kind : str
        One of KINDS.
    n_rows, n_models : int
        Rows with out-of-fold predictions; configurations that compete.
    correlation : float
        Between the errors of two configurations.
    quality : {"equal", "spread"}
        Whether all configurations are equally good on fresh rows.
    max_rows : int, default=5000
        As for `bias_corrected`.
    """

    kind: str
    n_rows: int
    n_models: int
    correlation: float
    quality: str
    max_rows: int = 5_000


def scenarios() -> list[Scenario]:
    """All: short stacks, longer ones, more models than are kept, and a quarter of the rows for the bootstrap."""
    sizes = [(100, 5), (100, 20), (300, 5), (300, 20), (1_000, 20)]
    short = [
        Scenario(kind, n, m, rho, quality)
        for (n, m), rho, quality, kind in product(sizes, (0.5, 0.95), ("equal", "spread"), KINDS)
    ]
    special = [
        Scenario(kind, n, m, 0.95, quality, max_rows)
        for (n, m, max_rows), quality, kind in product([(500, 60, 5_000), (2_000, 10, 500)], ("equal", "spread"), KINDS)
    ]
    return short + special


@dataclass(frozen=True)
class Stack:
    """Configurations as fixed functions of features: the signal, an error that all share and one of their own.

    Parameters
    ----------
    scenario : Scenario
        What kind of stack.
    noise : ndarray of shape (n_models,)
        Standard deviation of each configuration's error, that of the signal being 1.
    """

    scenario: Scenario
    noise: np.ndarray

    @classmethod
    def of(cls, scenario: Scenario, rng: np.random.Generator) -> Stack:
        """Qualities drawn for one scenario."""
        m = scenario.n_models
        spread = np.linspace(0.7, 1.3, m) if scenario.quality == "spread" else np.ones(m)
        return cls(scenario, rng.permutation(spread))

    def rows(self, n_rows: int, rng: np.random.Generator, models: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Targets of fresh rows, and what some of the configurations predict for them."""
        task = KINDS[self.scenario.kind][1]
        width = N_CLASSES if task is Task.MULTICLASS else 1
        signal, shared = rng.normal(size=(2, n_rows, width))
        rho = self.scenario.correlation
        seen = [
            signal + self.noise[j] * (np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(n_rows, width)))
            for j in models
        ]
        # A calibrated model would divide by 1 + noise²: these are too sure of themselves.
        shrunk = [s / (1 + 0.5 * self.noise[j] ** 2) for s, j in zip(seen, models, strict=True)]
        if task is Task.REGRESSION:
            return signal[:, 0] + rng.normal(scale=0.7, size=n_rows), [s[:, 0] for s in shrunk]
        if task is Task.MULTICLASS:
            return _drawn(softmax(2 * signal), rng), [softmax(2 * s) for s in shrunk]
        shift = -2.5 if self.scenario.kind in RARE else 0.0
        return _drawn(_odds(2 * signal + shift), rng), [_odds(2 * s + shift) for s in shrunk]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _odds(logit: np.ndarray) -> np.ndarray:
    return softmax(np.column_stack([np.zeros(len(logit)), logit[:, 0]]))


def _drawn(proba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    reached = np.cumsum(proba, axis=1)[:, :-1]
    return np.asarray((rng.uniform(size=(len(proba), 1)) > reached).sum(axis=1), dtype=np.int64)


def measure_draw(number: int) -> dict[str, Any]:
    """One stack: the choice as `fit` makes it, its honest score, and the truth.

    Parameters
    ----------
    number : int
        Seed, and by its remainder the scenario.

    Returns
    -------
    dict
        Plain JSON types; scores are greater-is-better. "value" is None where too few bootstraps had a score.
    """
    everything = scenarios()
    # In steps, so that a run that is stopped has seen few of every kind.
    scenario = everything[number * STEP % len(everything)]
    rng = np.random.default_rng([number, 2026])
    stack = Stack.of(scenario, rng)
    name, task = KINDS[scenario.kind]
    scoring = resolve_scoring(name, task)
    y, predictions = stack.rows(scenario.n_rows, rng, range(scenario.n_models))
    families = [f"family {j % 4}" for j in range(scenario.n_models)]
    # The search keeps the models of the best only; the others took part in the choice, too.
    ranking = np.argsort([-scoring(y, p) for p in predictions], kind="stable")
    kept = np.sort(ranking[:CANDIDATES])
    choice = choose_blend(
        [predictions[j] for j in kept], y, None, None, scoring, _folds(y), [families[j] for j in kept]
    )
    weights = np.zeros(scenario.n_models)
    weights[kept] = choice.weights
    post = fit_postprocess(combine(predictions, weights), y, None, None, scoring, task)
    chosen = Chosen(weights, post)
    honest = bias_corrected(
        predictions,
        repeat_choice(chosen, choice.strategy, families, scoring, predictions, y),
        scoring,
        y,
        n_bootstraps=N_BOOTSTRAPS,
        seed=number,
        budget=Budget(),
        max_rows=scenario.max_rows,
        chosen=chosen,
    )
    used = np.flatnonzero(weights)
    y_fresh, fresh = stack.rows(FRESH_ROWS, rng, used)
    truth = scoring(y_fresh, post.apply(combine(fresh, weights[used])), threshold=post.rule)
    return {
        "part": "draw",
        "number": number,
        **asdict(scenario),
        "strategy": choice.strategy,
        "best_of_n": honest.best_of_n,
        "value": honest.value,
        "interval": None if honest.interval is None else list(honest.interval),
        "truth": truth,
    }


def _folds(y: np.ndarray) -> np.ndarray:
    """Five folds, classes spread evenly."""
    fold = np.empty(len(y), dtype=np.int64)
    fold[np.argsort(y, kind="stable")] = np.arange(len(y)) % N_FOLDS
    return fold


# --- fits ------------------------------------------------------------------------------------------------------------

ROWS_OF_FITS = (100, 300, 1_000)
N_ITER = 15
Generated = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


def _easy_classes(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(
        n_rows, 10, n_informative=5, n_redundant=2, n_clusters_per_class=2, flip_y=0.1, random_state=seed
    )
    return X, y


def _hard_classes(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(
        n_rows, 20, n_informative=4, n_redundant=0, class_sep=0.5, flip_y=0.3, weights=[0.7], random_state=seed
    )
    return X, y


def _three_classes(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(
        n_rows, 10, n_informative=6, n_classes=3, n_clusters_per_class=1, flip_y=0.15, random_state=seed
    )
    return X, y


def _friedman(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_friedman1(n_rows, 10, noise=2.0, random_state=seed)
    return X, y


def _linear(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_regression(n_rows, 15, n_informative=5, noise=100.0, random_state=seed)
    return X, y


GENERATORS: dict[str, tuple[Generated, str]] = {
    "two classes": (_easy_classes, "auto"),
    "two classes, hard": (_hard_classes, "auto"),
    "two classes, hard, balanced accuracy": (_hard_classes, "balanced_accuracy"),
    "three classes": (_three_classes, "auto"),
    "friedman": (_friedman, "auto"),
    "linear": (_linear, "auto"),
}


def measure_fit(number: int) -> dict[str, Any]:
    """One fit on a generated table, and its truth.

    Parameters
    ----------
    number : int
        Seed, and by its remainder generator and rows.

    Returns
    -------
    dict
        Plain JSON types; scores are greater-is-better. "truth" is what the models of a single fold do on fresh rows, on
        average over the folds; "kept" is what their mean does; "best_single" the best configuration's score.
    """
    from automl_wf import WorkflowEstimator

    cells = list(product(ROWS_OF_FITS, GENERATORS))
    n_rows, kind = cells[number % len(cells)]
    make, scoring_name = GENERATORS[kind]
    X, y = make(n_rows + FRESH_ROWS_OF_FITS, number)
    mixed = np.random.default_rng([number, 7]).permutation(len(y))
    X, y = X[mixed], y[mixed]
    is_regression = y.dtype.kind == "f"
    model = WorkflowEstimator(
        task="regression" if is_regression else "classification",
        scoring=scoring_name,
        time_budget=None,
        n_iter=N_ITER,
        n_jobs=1,
        random_state=number,
        verbose=0,
    ).fit(X[:n_rows], y[:n_rows])
    scoring, honest = model.problem_.scoring, model.evaluation_.honest
    blend, table = model.best_estimator_.blend, model.best_estimator_.read(X[n_rows:])
    fresh = y[n_rows:] if is_regression else np.searchsorted(model.classes_, y[n_rows:])
    rule = blend.postprocess.rule

    def score(prediction: np.ndarray) -> float:
        return float(scoring(fresh, prediction, threshold=rule))

    return {
        "part": "fit",
        "number": number,
        "kind": kind,
        "n_rows": n_rows,
        "metric": scoring.name,
        "strategy": model.best_params_["strategy"],
        "best_single": float(np.nanmax(model.cv_results_["mean_test_score"])),
        "best_of_n": honest.best_of_n,
        "value": honest.value,
        "interval": None if honest.interval is None else list(honest.interval),
        "truth": float(np.mean([score(blend.predict_fold(table, k)) for k in range(blend.n_folds)])),
        "kept": score(blend.predict(table)),
    }


# --- coverage --------------------------------------------------------------------------------------------------------


def measure_coverage(name: str, folder: Path | None, n_iter: int, seconds: float) -> dict[str, Any]:
    """One regression table: how many of its held-out rows lie within the 95 % interval.

    Parameters
    ----------
    name : str
        Table.
    folder : Path or None
        Of the tables; None: those of scikit-learn's.
    n_iter : int
        Configurations tried.
    seconds : float
        For the fit, most of which would go into explanations otherwise.

    Returns
    -------
    dict
        Plain JSON types; "error" is the standard error of the share covered, whole groups being independent where
        there are groups.
    """
    from automl_wf import WorkflowEstimator

    split = tables.load(name, folder)
    settings = {"time_budget": seconds, "n_iter": n_iter, "n_jobs": 1, "random_state": 0, "verbose": 0}
    model = WorkflowEstimator(task="regression", **settings)
    model.fit(split.X_train, split.y_train, groups=split.groups_train)
    low, high = model.predict_interval(split.X_test).T
    is_covered = (low <= split.y_test) & (split.y_test <= high)
    within = model.evaluation_.coverage
    return {
        "part": "coverage",
        "number": name,
        "n_train": len(split.y_train),
        "n_test": len(split.y_test),
        "is_ordered": split.is_ordered,
        "covered": float(is_covered.mean()),
        "error": _share_error(is_covered, split.groups_test),
        "out_of_fold": None if within is None else within.levels[-1].covered,
        "width": float(np.mean(high - low)) / float(np.std(split.y_test)),
    }


def _share_error(is_covered: np.ndarray, groups: np.ndarray | None) -> float:
    """Standard error of a share; of its residuals summed by group where there are groups."""
    units = np.arange(len(is_covered)) if groups is None else pd.factorize(groups)[0]
    sums = np.bincount(units, is_covered - is_covered.mean())
    n = len(sums)
    return float(np.sqrt((sums**2).sum() * n / max(n - 1, 1)) / len(is_covered))


# --- the record and the tables ---------------------------------------------------------------------------------------


def recorded(path: Path) -> list[dict[str, Any]]:
    """Results of earlier runs; a last line that a kill cut off is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def run(
    path: Path, part: str, numbers: Sequence[Any], measure: Callable[[Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Measure what the file does not have yet, and append it.

    Parameters
    ----------
    path : Path
        File of JSON lines.
    part : str
        "draw", "fit" or "coverage".
    numbers : sequence
        What to measure.
    measure : callable
        One of them → a record.

    Returns
    -------
    list of dict
        All records of this part, in order.
    """
    known = {row["number"]: row for row in recorded(path) if row["part"] == part}
    start = time.perf_counter()
    todo = [number for number in numbers if number not in known]
    with path.open("a", encoding="utf-8") as file:
        for i, number in enumerate(todo, 1):
            known[number] = measure(number)
            file.write(json.dumps(known[number]) + "\n")
            file.flush()
            if i % 100 == 0:
                print(f"{part}: {i} of {len(todo)} in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return [known[number] for number in numbers]


def standardised(rows: list[dict[str, Any]], cell: Sequence[str]) -> pd.DataFrame:
    """Errors of honest score and best-of-N, in standard errors of their cell, and whether the interval covers.

    Parameters
    ----------
    rows : list of dict
        Records.
    cell : sequence of str
        Columns whose values together make a cell.

    Returns
    -------
    DataFrame
        One row per record that has an honest score.
    """
    frame = pd.DataFrame([row for row in rows if row["value"] is not None])
    interval = np.array(frame["interval"].tolist())
    frame["covers"] = (interval[:, 0] <= frame["truth"]) & (frame["truth"] <= interval[:, 1])
    error = frame["value"] - frame["truth"]
    scale = error.groupby([frame[c] for c in cell]).transform("std")
    frame["of_honest"] = error / scale
    frame["of_best"] = (frame["best_of_n"] - frame["truth"]) / scale
    if "kept" in frame:
        frame["of_kept"] = (frame["kept"] - frame["truth"]) / scale
    return frame


def summaries(frame: pd.DataFrame, factors: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Bias and coverage overall and by each value of each factor.

    Parameters
    ----------
    frame : DataFrame
        From `standardised`.
    factors : sequence of sequence of str
        Columns to group by.

    Yields
    ------
    dict
        Name, draws, mean errors, their standard error, coverage, and whether it is as asked.
    """
    yield _summary("all", frame)
    for factor in factors:
        for values, group in frame.groupby(list(factor)):
            yield _summary(", ".join(f"{f} {v}" for f, v in zip(factor, values, strict=True)), group)


def _summary(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    n = len(frame)
    best, honest = float(frame["of_best"].mean()), float(frame["of_honest"].mean())
    error = float(frame["of_honest"].std(ddof=1)) / np.sqrt(n) if n > 1 else float("nan")
    covered = float(frame["covers"].mean())
    return {
        "name": name,
        "n": n,
        "best": best,
        "honest": honest,
        "error": error,
        "covered": covered,
        "is_unbiased": abs(honest) <= max(BIAS_SHARE * abs(best), STANDARD_ERRORS * error),
        "covers": COVERED[0] <= covered <= COVERED[1],
        "kept": float(frame["of_kept"].mean()) if "of_kept" in frame else None,
    }


def print_table(rows: Iterator[dict[str, Any]]) -> None:
    """A line for each scenario, as README holds them."""
    print("| scenario | draws | best-of-N | honest | ± 2 s.e. | covered | kept models | missed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        missed = ["bias"] * (not row["is_unbiased"]) + ["coverage"] * (not row["covers"])
        kept = "" if row["kept"] is None else f"{row['kept']:+.2f}"
        print(
            f"| {row['name']} | {row['n']} | {row['best']:+.2f} | {row['honest']:+.3f} | {2 * row['error']:.3f} "
            f"| {row['covered']:.1%} | {kept} | {', '.join(missed)} |"
        )


def print_coverage(rows: list[dict[str, Any]]) -> None:
    """A line for each table."""
    print("| table | training rows | held-out rows | covered | ± 2 s.e. | out of fold | width / s.d. |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        within = "" if row["out_of_fold"] is None else f"{row['out_of_fold']:.1%}"
        order = ", by time" if row["is_ordered"] else ""
        print(
            f"| {row['number']}{order} | {row['n_train']} | {row['n_test']} | {row['covered']:.1%} "
            f"| {2 * row['error']:.1%} | {within} | {row['width']:.2f} |"
        )


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked, print the tables; return the exit status: 1 where bias or coverage overall is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=2_000, help="simulated stacks")
    parser.add_argument("--fits", type=int, default=200, help="fits of generated tables")
    parser.add_argument("--coverage", action="store_true", help="intervals on the regression tables instead")
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--n-iter", type=int, default=8, help="configurations of each fit of --coverage")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each fit of --coverage")
    parser.add_argument("--jsonl", type=Path, default=Path("honest_score.jsonl"), help="results, appended to")
    options = parser.parse_args(arguments)
    if options.coverage:
        folder = options.data if options.data and (options.data / "MANIFEST.json").is_file() else None
        names = [n for n in tables.names(folder) if tables.load(n, folder).task == "regression"]
        print_coverage(
            run(
                options.jsonl,
                "coverage",
                names,
                lambda name: measure_coverage(name, folder, options.n_iter, options.budget),
            )
        )
        return 0
    is_missed = False
    if options.draws:
        rows = run(options.jsonl, "draw", range(options.draws), measure_draw)
        frame = standardised(rows, ("kind", "n_rows"))
        print(f"{options.draws} stacks, {len(rows) - len(frame)} of them without an honest score")
        factors = (("kind",), ("n_rows",), ("n_models",), ("correlation",), ("quality",), ("kind", "n_rows"))
        found = list(summaries(frame, factors))
        print_table(iter(found))
        is_missed |= not (found[0]["is_unbiased"] and found[0]["covers"])
    if options.fits:
        rows = run(options.jsonl, "fit", range(options.fits), measure_fit)
        frame = standardised(rows, ("kind", "n_rows"))
        print(f"{options.fits} fits, {len(rows) - len(frame)} of them without an honest score")
        found = list(summaries(frame, (("kind",), ("n_rows",), ("metric",))))
        print_table(iter(found))
        is_missed |= not (found[0]["is_unbiased"] and found[0]["covers"])
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
