"""Every example runs, quickly and without the network, and shows what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: What a reader should find in the output of each.
SHOWS = {
    "01_quickstart.py": [
        "Leaderboard:",
        "rows that were kept back: 0.9",
        "What matters (input columns):",
        "checklist:",
        "differ by at most",
        '"predictions"',
    ],
    "02_pipeline_and_grid_search.py": [
        "12 of 13 columns reach the workflow",
        "Best: {",
        "outer cross-validation",
        "0 bottles on both sides",
    ],
    "03_ranking.py": ["Leaderboard:", "best first:", "NDCG that new queries can expect: 0.", "as predict: True"],
}


def test_every_example_is_looked_at() -> None:
    assert sorted(p.name for p in (ROOT / "examples").glob("*.py")) == sorted(SHOWS)


@pytest.mark.parametrize("name", SHOWS)
def test_example(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    started_at = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for text in SHOWS[name]:
        assert text in run.stdout
    # Twice the promised minute: this machine may be busy with other tests.
    assert time.perf_counter() - started_at < 120
    assert list(tmp_path.iterdir()) == []
