"""Federated fits against the same fit on all rows, each client in a process of its own, and what crosses the pipes.

    python -m benchmarks.federated --data ../shared/data [--clients 5] [--tables ames] [--seed 0]

Per task the table of middle size among those whose rows are split at random. The training rows are dealt out twice: at
random, and by Dirichlet(0.3) shares of each class or tenth of the target (Hsu, Qi and Brown, 2019), so that clients
differ. A client reads its own rows in its own process, where they stay. Beside the federated model stand

* pooled: one client that has all rows, the same configuration;
* LightGBM: the same configuration on all rows and the workflow's own features, as many rounds (boosting only);
* alone: the client with most rows, the same configuration, where it has all classes.

Errors are 1 − AUC, log loss or RMSE on the test rows. More than 3 % above pooled is exit status 1, and so is an array
with a side as long as a client has rows, or a message whose size changes when every client has each of its rows twice
(and levels and runs of sketches need twice as many rows, so that the same ones are told of).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from automl_wf.core.frame import learn_schema, read_table
from automl_wf.feature_engineering.plan import plan_features
from automl_wf.federated import FederatedClient, Simulation, simulate
from automl_wf.model_selection.histogram_trees import BoostingSettings
from automl_wf.problem_definition.target import read_target
from benchmarks import tables

TASKS = ("binary", "multiclass", "regression")
MODELS = ("boosting", "linear")
SPLITS = ("random", "skewed")
MOST = 1.03
CONCENTRATION, STRATA = 0.3, 10
Shard = tuple[Path | None, str, int, str, int]


def main(arguments: list[str] | None = None) -> int:
    """Run all tables, splits and models, print what came of it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.json and the tables it names")
    parser.add_argument("--clients", type=int, default=5, help="processes")
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    given = parser.parse_args(arguments)
    rows = []
    for name in given.tables or chosen(given.data):
        for model in given.models:
            pooled: dict[str, Any] = {}
            for how in SPLITS:
                rows.append(measure(given.data, name, model, how, given.clients, given.seed, pooled))
                show(rows[-1])
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    bad = [row for row in rows if row["ratio"] > MOST or row["row_sized"] or not row["is_size_kept"]]
    print(f"{len(rows) - len(bad)} of {len(rows)} within {MOST - 1:.0%} of pooled, no row on the way")
    return int(bool(bad))


def chosen(folder: Path | None) -> list[str]:
    """Per task, the table of middle size among those split at random."""
    if folder is None:
        return ["breast_cancer", "digits", "diabetes"]
    manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    names = []
    for task in TASKS:
        fit = [n for n, t in manifest.items() if t["task"] == task and not t["group"] and "time" not in t["split"]]
        fit.sort(key=lambda name: manifest[name]["n_rows"])
        names.append(fit[(len(fit) - 1) // 2])
    return names


def shares(y: np.ndarray, task: str, how: str, n_clients: int, seed: int) -> list[np.ndarray]:
    """Training rows of each client."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(len(y)) % n_clients
    if how == "skewed":
        codes = pd.factorize(y)[0] if task != "regression" else pd.qcut(y, STRATA, labels=False, duplicates="drop")
        for code in np.unique(codes):
            rows = rng.permutation(np.flatnonzero(codes == code))
            ends = np.cumsum(rng.dirichlet(np.full(n_clients, CONCENTRATION))) * len(rows)
            owner[rows] = np.searchsorted(ends, np.arange(len(rows)) + 0.5).clip(max=n_clients - 1)
    return [np.flatnonzero(owner == i) for i in range(n_clients)]


def make_client(
    folder: Path | None, name: str, how: str, n_clients: int, seed: int, place: int, copies: int = 1
) -> FederatedClient:
    """Read one client's rows; runs in the process of the client."""
    split = tables.load(name, folder, seed)
    rows = shares(split.y_train, split.task, how, n_clients, seed)[place]
    rows = np.tile(rows, copies)
    return FederatedClient(split.X_train.iloc[rows].reset_index(drop=True), split.y_train[rows], seed=place)


def measure(
    folder: Path | None, name: str, model: str, how: str, n_clients: int, seed: int, pooled: dict[str, Any]
) -> dict[str, Any]:
    """One federated fit, beside those it is compared with."""
    split = tables.load(name, folder, seed)
    sizes = [len(rows) for rows in shares(split.y_train, split.task, how, n_clients, seed)]
    present = [i for i in range(n_clients) if sizes[i] > 0]

    def makers(copies: int = 1) -> list[Callable[[], FederatedClient]]:
        return [partial(make_client, folder, name, how, n_clients, seed, i, copies) for i in present]

    begun = time.perf_counter()
    federated = simulate(makers(), split.family, model=model, processes=True)
    seconds = time.perf_counter() - begun
    if not pooled:
        everyone = FederatedClient(split.X_train, split.y_train)
        whole = simulate([everyone], split.family, model=model)
        pooled["error"] = error(split, whole.model)
        pooled["lightgbm"] = lightgbm_error(split, whole) if model == "boosting" else None
    found = error(split, federated.model)
    _, parity = federated.model.to_onnx(split.X_test)
    brief = {"n_rounds": 2} if model == "boosting" else {}
    once, twice = (
        simulate(makers(copies), split.family, model=model, processes=True, params=brief, min_rows=10 * copies)
        for copies in (1, 2)
    )
    messages = federated.traffic[federated.traffic["array"] == ""]
    return {
        "table": name,
        "task": split.task,
        "model": model,
        "split": how,
        "rows": sizes,
        "error": found,
        "pooled": pooled["error"],
        "ratio": found / pooled["error"],
        "lightgbm": pooled["lightgbm"],
        "alone": alone(split, model, how, n_clients, seed),
        "exchanges": federated.n_exchanges,
        "largest_message": int(messages["n_bytes"].max()),
        "bytes_per_client": int(federated.bytes_per_client.max()),
        "row_sized": row_sized(once.traffic, twice.traffic, [sizes[i] for i in present]),
        "is_size_kept": message_sizes(once.traffic) == message_sizes(twice.traffic),
        "parity": parity.largest_difference,
        "seconds": seconds,
    }


def error(split: tables.Split, model: Any) -> float:
    """What is better when it is smaller."""
    score = split.score(model)
    return 1.0 - score if split.greater_is_better else score


def lightgbm_error(split: tables.Split, whole: Simulation) -> float:
    """LightGBM with the same settings, on all rows and the features that the workflow makes of them."""
    settings = BoostingSettings()
    schema, table, _ = learn_schema(split.X_train)
    target = read_target(split.y_train, split.family, table.n_rows, "benchmark")
    recipe = plan_features(schema, target.task, target.n_classes, table).views["target"]
    view, X = recipe.fit_transform(table, target.values, seed=0)
    n_raw = target.n_classes if target.n_classes > 2 else 1
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[split.task]
    params = {
        "objective": objective,
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "num_leaves": 2**settings.max_depth,
        "min_data_in_leaf": settings.min_rows_leaf,
        "lambda_l2": settings.l2,
        "max_bin": settings.max_bins,
        "verbose": -1,
        "num_threads": 1,
        **({"num_class": n_raw} if n_raw > 1 else {}),
    }
    n_rounds = whole.model.learner.n_trees // n_raw
    booster = lightgbm.train(params, lightgbm.Dataset(X, target.values), n_rounds)
    return error(split, _Booster(booster, view, schema, target.classes))


class _Booster:
    """LightGBM on raw rows, as `Split.score` asks it."""

    def __init__(self, booster: Any, view: Any, schema: Any, classes: Any) -> None:
        self.booster, self.view, self.schema, self.classes_ = booster, view, schema, classes

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.booster.predict(self.view.transform(read_table(X, self.schema, owner="LightGBM"))))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        p = self.predict(X)
        return p if p.ndim == 2 else np.column_stack([1 - p, p])


def alone(split: tables.Split, model: str, how: str, n_clients: int, seed: int) -> float | None:
    """What the client with most rows gets by itself; None where it lacks a class."""
    rows = max(shares(split.y_train, split.task, how, n_clients, seed), key=len)
    y = split.y_train[rows]
    if split.task != "regression" and len(pd.unique(y)) < len(pd.unique(split.y_train)):
        return None
    client = FederatedClient(split.X_train.iloc[rows].reset_index(drop=True), y)
    return error(split, simulate([client], split.family, model=model).model)


def row_sized(once: pd.DataFrame, twice: pd.DataFrame, sizes: list[int]) -> list[str]:
    """Arrays with a side as long as some client has rows, or rows that are not kept back; with twice the rows, too.

    An array of 31 levels is not one of rows because a client has 31: it stays as it is when these are 62.
    """
    return sorted(_as_long_as_rows(once, sizes) & _as_long_as_rows(twice, [2 * n for n in sizes]))


def _as_long_as_rows(traffic: pd.DataFrame, sizes: list[int]) -> set[str]:
    used = {n - round(BoostingSettings().validation * n) for n in sizes} | set(sizes)
    found = traffic[[bool(used & set(shape)) for shape in traffic["shape"]]]
    return {f"{row.kind}/{row.array}" for row in found.itertuples()}


def message_sizes(traffic: pd.DataFrame) -> dict[Any, list[int]]:
    """Bytes of the messages of each kind, to and from each client."""
    messages = traffic[traffic["array"] == ""]
    return {key: sorted(set(part)) for key, part in messages.groupby(["kind", "is_reply", "client"])["n_bytes"]}


def show(row: dict[str, Any]) -> None:
    """A few lines per fit."""
    beside = "".join(f", {k} {row[k]:.4f}" for k in ("lightgbm", "alone") if row[k] is not None)
    print(f"{row['table']} ({row['task']}), {row['model']}, {row['split']} rows {row['rows']}")
    print(f"  error {row['error']:.4f}, pooled {row['pooled']:.4f} (× {row['ratio']:.3f}){beside}")
    print(
        f"  {row['exchanges']} exchanges, {row['bytes_per_client'] / 1e6:.1f} MB per client, largest message "
        f"{row['largest_message'] / 1e3:.0f} kB; {row['seconds']:.0f} s; |Δ| of the graph {row['parity']:.1e}"
    )
    print(
        f"  arrays as long as rows: {row['row_sized'] or 'none'}; sizes kept with rows doubled: {row['is_size_kept']}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
