"""A `fit` that is killed goes on from its checkpoint and ends with the model of the uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.exceptions import InvalidParameter

SCRIPT = """
import hashlib, sys
import numpy as np, pandas as pd
from automl_wf import WorkflowClassifier
rng = np.random.default_rng(0)
X = pd.DataFrame({"x": rng.normal(size=(400)), "z": rng.normal(size=400), "c": rng.choice(list("abcde"), 400)})
y = np.where(X["x"] * X["z"] + (X["c"] == "a") > 0, "yes", "no")
model = WorkflowClassifier(
    time_budget=None, n_iter=12, random_state=0, verbose=0, checkpoint=sys.argv[1] or None,
    estimators=["lightgbm", "extra_trees", "mlp", "linear"],
).fit(X, y)
made = model.predict_proba(X).tobytes() + repr(model.best_score_).encode() + model.to_onnx().SerializeToString()
print(hashlib.sha256(made).hexdigest())
"""


def start(folder: Path | str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    said, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint
    return said


def kill_after(process: subprocess.Popen[str], folder: Path, n_records: int) -> None:
    """Kill without warning as soon as the journal holds so many trials."""
    deadline = time.monotonic() + 300
    while len(list(folder.glob("*.record"))) < n_records:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_at_any_moment_the_model_is_the_same(tmp_path: Path, root: Path) -> None:
    uninterrupted = finish(start("", root))
    folder = tmp_path / "journal"
    seen = []
    for n_records in (1, 4, 11):
        kill_after(start(folder, root), folder, n_records)
        seen.append({p.name: p.stat().st_mtime_ns for p in folder.glob("*.record")})
    assert finish(start(folder, root)) == uninterrupted
    last = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.record")}
    # What was written before a kill was not run again.
    assert all(last[name] == at for earlier in seen for name, at in earlier.items())
    assert len(last) == 12


def fit(folder: Path, X: Any, y: Any, kind: Any = WorkflowClassifier, **settings: Any) -> Any:
    given = {"time_budget": None, "n_iter": 3, "verbose": 0, "checkpoint": folder, **settings}
    return kind(**given).fit(X, y)


def test_without_a_seed_the_journals_is_taken(
    tmp_path: Path, mixed_frame: Callable[..., Any], target_of: Callable[..., Any]
) -> None:
    frame = mixed_frame(150)
    y = target_of(frame, "binary")
    first, second = (fit(tmp_path, frame, y).predict_proba(frame) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    reason = next(d.reason for d in fit(tmp_path, frame, y).decisions_ if d.decision.startswith("search ended"))
    assert reason == "3 configurations, 3 of them from the checkpoint"
    longer = fit(tmp_path, frame, y, n_iter=5)
    assert len(longer.leaderboard_) == 5


def test_another_table_target_or_question_is_refused(
    tmp_path: Path, mixed_frame: Callable[..., Any], target_of: Callable[..., Any]
) -> None:
    frame = mixed_frame(150)
    y = target_of(frame, "binary")
    fit(tmp_path, frame, y, random_state=0)
    for X, target, settings, named in (
        (frame.iloc[::-1].iloc[:-1], y[::-1][:-1], {}, "table"),
        (frame, y[::-1], {}, "(table|target)"),
        (frame, y, {"random_state": 1}, "seed"),
        (frame, y, {"scoring": "accuracy"}, "scoring"),
        (frame, y, {"cv": 3}, "folds"),
    ):
        with pytest.raises(InvalidParameter, match=f"another .*{named}"):
            fit(tmp_path, X, target, **{"random_state": 0, **settings})
    with pytest.raises(InvalidParameter, match="task"):
        fit(tmp_path, frame, target_of(frame, "regression"), WorkflowRegressor, random_state=0)
