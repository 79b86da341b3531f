"""Targets that have nothing to do with the table are not predicted: nothing of a held-out row's target leaks.

The same on every real table: `python -m benchmarks.leaks --data ../shared/data`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import ModelDevelopmentWorkflow
from automl_wf.core.folds import FoldCache, FoldData
from automl_wf.core.kept_matrix import keep
from automl_wf.evaluation import Evaluation

N = 500
#: Four standard errors of an AUC of 0.5 with as many rows of both classes, and of a correlation of 0, squared.
AUC_BOUND = 4 * np.sqrt((N + 1) / (12 * (N / 2) ** 2))
R2_BOUND = 16 / N
VIEWS = ("tree", "target", "engineered", "dense")


def mixed(seed: int = 0) -> pd.DataFrame:
    """What target statistics learn by heart if they are let: levels of few rows, words, dates."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(60)])
    return pd.DataFrame(
        {
            "x": rng.normal(size=N),
            "visits": rng.poisson(3.0, N),
            "customer": [f"c{i}" for i in rng.integers(0, 200, N)],
            "city": rng.choice(["oslo", "bern", None], N),
            "remark": [" ".join(rng.choice(words, 5)) for _ in range(N)],
            "seen": np.datetime64("2024-01-01", "us") + rng.integers(0, 10**7, N).astype("timedelta64[s]"),
        }
    )


def chance(task: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 99])
    return {
        "binary": rng.permutation(np.repeat(["no", "yes"], N // 2)),
        "multiclass": rng.choice(["a", "b", "c"], N),
        "regression": rng.normal(size=N),
        "ranking": rng.integers(0, 3, N).astype(float),
    }[task]


def evaluated(task: str, seed: int = 0, **settings: Any) -> Evaluation:
    family = "classification" if task in ("binary", "multiclass") else task
    config = {"time_budget": None, "random_state": seed, "verbose": 0, "task": family, **settings}
    groups = np.repeat(np.arange(N // 10), 10) if task == "ranking" else None
    return ModelDevelopmentWorkflow(config).execute(mixed(seed), chance(task, seed), groups=groups).evaluation


def is_at_chance(facts: Evaluation) -> bool:
    names = {score.name: score.value for score in facts.scores}
    if "roc_auc" in names:
        return bool(abs(names["roc_auc"] - 0.5) < AUC_BOUND)
    return bool(names["r2"] < R2_BOUND)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "ranking"])
def test_a_search_over_every_view_finds_nothing(task: str) -> None:
    facts = evaluated(task, n_iter=6, cv=4)
    assert facts.beats_baseline is False
    if task in ("binary", "regression"):
        assert is_at_chance(facts)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_no_view_tells_a_held_out_row_its_target(task: str, view: str) -> None:
    facts = evaluated(task, seed=1, cv=4, recipe=[("lightgbm", {"view": view, "n_rounds": 40})])
    assert is_at_chance(facts)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_leak_would_be_seen(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FoldCache._compute

    def leaking(cache: FoldCache, fold: int, view: str) -> FoldData:
        """As if features were fitted before rows are held out."""
        data = whole(cache, fold, view)
        X = cache.recipes[view].fit(cache.table, cache.y).transform(cache.table)
        return replace(data, teaching=keep(X[data.train]), held_out=keep(X[cache.folds.splits[fold][1]]))

    monkeypatch.setattr(FoldCache, "_compute", leaking)
    facts = evaluated(task, seed=1, cv=4, recipe=[("lightgbm", {"view": "target", "n_rounds": 40})])
    assert not is_at_chance(facts)
    assert facts.beats_baseline is True
