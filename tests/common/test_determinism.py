"""With `time_budget=None` no decision reads the clock, free memory, core count or `n_jobs`: results are bit-equal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowEstimator

#: Measured, and what follows from it.
MEASURED = ["fit_time_s", "predict_time_ms", "on_pareto_front"]
#: A member of each kind that draws random numbers or starts threads.
ESTIMATORS = ["lightgbm", "extra_trees", "mlp", "linear"]


def _without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=MEASURED)


def _fit(frame: pd.DataFrame, y: np.ndarray, task: str, **settings: Any) -> WorkflowEstimator:
    family = "classification" if task in ("binary", "multiclass") else task
    groups = np.arange(len(frame)) // 10 if task == "ranking" else None
    parameters = {"time_budget": None, "verbose": 0, "estimators": ESTIMATORS, **settings}
    return WorkflowEstimator(task=family, **parameters).fit(frame, y, groups=groups)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "ranking"])
def test_runs_and_threads_agree_to_the_bit(task: str, mixed_frame: Callable[..., Any], target_of: Any) -> None:
    frame = mixed_frame(200)
    y = target_of(frame, task)
    models = [_fit(frame, y, task, n_iter=8, random_state=3, n_jobs=n_jobs) for n_jobs in (1, 2, 2)]
    answer = "predict_proba" if task in ("binary", "multiclass") else "predict"
    first, *others = (getattr(m, answer)(frame) for m in models)
    for other in others:
        np.testing.assert_array_equal(first, other)
    for model in models[1:]:
        pd.testing.assert_frame_equal(_without_times(models[0].leaderboard_), _without_times(model.leaderboard_))
        assert model.best_score_ == models[0].best_score_


def test_seeds_matter(mixed_frame: Callable[..., Any], target_of: Any) -> None:
    frame = mixed_frame(200)
    y = target_of(frame, "binary")
    first, second = (_fit(frame, y, "binary", n_iter=4, random_state=seed).predict_proba(frame) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_processes_agree_to_the_bit(root: Path) -> None:
    # Hash randomisation and import order differ between processes; the model must not.
    code = (
        "import numpy as np, pandas as pd, hashlib\n"
        "from automl_wf import WorkflowClassifier\n"
        "rng = np.random.default_rng(0)\n"
        "X = pd.DataFrame({'x': rng.normal(size=120), 'c': rng.choice(list('abcde'), 120)})\n"
        "y = np.where(X['x'] + (X['c'] == 'a') > 0, 'yes', 'no')\n"
        "m = WorkflowClassifier(time_budget=None, n_iter=5, random_state=0, verbose=0).fit(X, y)\n"
        "print(hashlib.sha256(m.predict_proba(X).tobytes() + m.to_onnx().SerializeToString()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
