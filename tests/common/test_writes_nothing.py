"""`fit` writes nothing outside the temporary folder, shown by an audit hook in a folder that cannot be written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

SCRIPT = textwrap.dedent(
    """
    import json, os, sys

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
               "shutil.copyfile", "shutil.move", "shutil.rmtree", "sqlite3.connect", "tempfile.mkdtemp",
               "tempfile.mkstemp"}
    seen = []

    def watch(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)) and isinstance(args[2], int) and args[2] & WRITES:
            seen.append([event, os.path.abspath(os.fsdecode(args[0]))])
        elif event in CHANGES and args and isinstance(args[0], (str, bytes, os.PathLike)):
            # rmtree names files relative to an open folder, which is the last argument
            is_inside = event in ("os.remove", "os.rmdir") and args[1] >= 0
            folder = os.readlink(f"/proc/self/fd/{args[1]}") if is_inside else os.getcwd()
            seen.append([event, os.path.join(folder, os.fsdecode(args[0]))])

    import numpy as np
    import pandas as pd
    from automl_wf import WorkflowEstimator

    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=150), "c": rng.choice(list("abc"), 150),
                      "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, 150), unit="D")})
    y = np.where(X["x"] + (X["c"] == "a") > 0, "yes", "no")
    sys.addaudithook(watch)
    for settings in json.loads(sys.argv[1]):
        model = WorkflowEstimator(verbose=0, random_state=0, **settings).fit(X, y)
        model.predict(X), model.predict_proba(X), model.to_onnx()
    print(json.dumps(seen))
    """
)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"time_budget": None, "n_iter": 4}, id="count"),
        pytest.param({"time_budget": 3.0}, id="clock"),
        pytest.param({"time_budget": None, "n_iter": 3, "n_jobs": 2}, id="two threads"),
        pytest.param({"time_budget": None, "n_iter": 2, "estimators": ["mlp"]}, id="mlp"),
        pytest.param({"time_budget": None, "n_iter": 2, "estimators": ["catboost"]}, id="catboost"),
        pytest.param({"time_budget": None, "n_iter": 2, "estimators": ["xgboost"]}, id="xgboost"),
    ],
)
def test_fit_in_a_read_only_folder(settings: dict[str, Any], tmp_path: Path, root: Path) -> None:
    for name in settings.get("estimators", []):
        if name in ("catboost", "xgboost"):
            pytest.importorskip(name)
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(scratch),
    }
    # onnxruntime writes and sends telemetry unless told not to, and it is automl_wf that has to tell it.
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    home.chmod(0o555)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps([settings])],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    home.chmod(0o755)
    assert run.returncode == 0, run.stderr
    allowed = (str(scratch), "/dev/", "/proc/")
    # The hook is what proves it for root, whom a read-only folder does not stop.
    outside = [entry for entry in json.loads(run.stdout.splitlines()[-1]) if not entry[1].startswith(allowed)]
    assert outside == []
    assert list(home.iterdir()) == []
