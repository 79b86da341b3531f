"""The search past one process: on Dask, on Ray and alone it comes to the same trials."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier

pytestmark = pytest.mark.filterwarnings("default")

SETTINGS: dict[str, Any] = {
    "time_budget": None,
    "n_iter": 4,
    "estimators": ["linear", "lightgbm"],
    "random_state": 0,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, np.ndarray]:
    """More rows than are fitted on all folds unasked."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(2_100, 3)), columns=list("abc"))
    X["colour"] = rng.choice(["red", "green", "blue"], len(X))
    X.loc[::7, "b"] = np.nan
    return X, np.where(X["a"] + X["c"] * (X["colour"] == "red") + rng.normal(size=len(X)) > 0, "yes", "no")


@pytest.fixture(scope="module")
def alone(table: Any) -> WorkflowClassifier:
    return WorkflowClassifier(**SETTINGS).fit(*table)


@contextmanager
def dask_client(**settings: Any) -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'automl-wf[dask]'")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50, **settings}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client


def assert_same(model: WorkflowClassifier, alone: WorkflowClassifier, table: Any) -> None:
    for ours, theirs in zip(model._result.tuning.predictions, alone._result.tuning.predictions, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    known = [c for c in alone.leaderboard_ if not c.endswith(("_s", "_ms", "_front"))]  # that have nothing of the clock
    pd.testing.assert_frame_equal(model.leaderboard_[known], alone.leaderboard_[known], check_exact=True)
    np.testing.assert_array_equal(model.predict_proba(table[0]), alone.predict_proba(table[0]))
    assert model.best_score_ == alone.best_score_


def test_dask_comes_to_the_same_trials(table: Any, alone: WorkflowClassifier) -> None:
    with dask_client(processes=False), joblib.parallel_config("dask"):
        model = WorkflowClassifier(**SETTINGS).fit(*table)
    assert_same(model, alone, table)
    spread = model._result.tuning.spread
    assert (spread.n_sent, spread.n_here, spread.losses) == (1, 0, ())
    assert spread.n_bytes > 2_100 * 3 * 8
    assert any("workers of joblib's backend" in decision.decision for decision in model.decisions_)


def test_a_killed_worker_changes_nothing(table: Any, alone: WorkflowClassifier) -> None:
    with dask_client() as client:
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Timer(1.5, os.kill, (victim, signal.SIGKILL))
        killer.start()
        with joblib.parallel_config("dask"):
            model = WorkflowClassifier(**SETTINGS).fit(*table)
        killer.join()
    assert_same(model, alone, table)


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'automl-wf[ray]'"
)
def test_ray_comes_to_the_same_trials(table: Any, alone: WorkflowClassifier) -> None:
    import ray
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    try:
        with joblib.parallel_config("ray"):
            model = WorkflowClassifier(**SETTINGS).fit(*table)
    finally:
        ray.shutdown()
    assert_same(model, alone, table)
    assert (model._result.tuning.spread.n_sent, model._result.tuning.spread.n_here) == (1, 0)
