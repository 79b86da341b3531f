"""A fit killed at random moments goes on from its checkpoint: does it end with the uninterrupted run's predictions?

    python -m benchmarks.kills [--times 30] [--seed 0] [--rows 569]

Each time a fit in a process of its own is killed (SIGKILL) at a moment drawn uniformly from the seconds that an
uninterrupted one takes, imports included, then started again, and once more killed in one case of three. Exit status 1:
predictions, honest score or graph of one of them differ in a single bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIT = """
import hashlib, sys
from sklearn.datasets import load_breast_cancer
from automl_wf import WorkflowClassifier
X, y = (part.tail(int(sys.argv[2])) for part in load_breast_cancer(return_X_y=True, as_frame=True))
model = WorkflowClassifier(
    time_budget=None, n_iter=16, random_state=0, verbose=0, checkpoint=sys.argv[1] or None
).fit(X, y)
made = model.predict_proba(X).tobytes() + repr(model.best_score_).encode() + model.to_onnx().SerializeToString()
print(hashlib.sha256(made).hexdigest())
"""
#: A fit that takes so many times the seconds of the uninterrupted one hangs.
PATIENCE = 20


def main(arguments: list[str] | None = None) -> int:
    """Kill, go on, compare; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=569)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    started_at = time.perf_counter()
    expected = _finish(_start("", options.rows), None)
    seconds = time.perf_counter() - started_at
    print(f"uninterrupted: {seconds:.1f} s")
    n_equal = 0
    for i in range(options.times):
        with tempfile.TemporaryDirectory() as folder:
            kept = []
            for _ in range(1 + (draw.random() < 1 / 3)):
                _kill(_start(folder, options.rows), draw.uniform(0.0, seconds))
                kept.append(len(list(Path(folder).glob("*.record"))))
            is_equal = _finish(_start(folder, options.rows), PATIENCE * seconds) == expected
        n_equal += is_equal
        print(f"{i + 1:>3} killed with {kept} trials kept: {'equal' if is_equal else 'DIFFERENT'}", flush=True)
    print(f"{n_equal} of {options.times} end with the uninterrupted run's bits")
    return int(n_equal < options.times)


def _start(folder: str, n_rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FIT, folder, str(n_rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})


def _kill(process: subprocess.Popen[str], after_s: float) -> None:
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()


def _finish(process: subprocess.Popen[str], patience_s: float | None) -> str:
    try:
        said, _ = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SystemExit(f"the fit was not done after {patience_s:.0f} s") from None
    if process.returncode:
        raise SystemExit(f"the fit ended with status {process.returncode}")
    return said


if __name__ == "__main__":
    sys.exit(main())
