"""Real tables beside the checkout, on a small budget; a user's machine has none, then these are skipped.

All seventeen, longer and with scores: `python -m benchmarks.parity --data ../shared/data`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowEstimator

#: Small ones that are awkward each in a way of its own.
TABLES = ("hitters", "credit_status", "telco_churn", "ames", "bird_strikes", "web_rank")


def _load(folder: Path, name: str, n_rows: int = 1500) -> tuple[pd.DataFrame, np.ndarray, Any, str]:
    facts = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))[name]
    X = pd.read_parquet(folder / facts["file"]).head(n_rows)
    y = X.pop(facts["target"])
    groups = X.pop(facts["group"]) if facts["group"] else None
    family = {"binary": "classification", "multiclass": "classification"}.get(facts["task"], facts["task"])
    return X.drop(columns=[c for c in facts["drop"] if c in X]), y.to_numpy(), groups, family


@pytest.mark.parametrize("name", TABLES)
def test_fits_and_exports(name: str, shared_data: Path, quick: dict[str, Any], graph_equals_predict: Any) -> None:
    X, y, groups, task = _load(shared_data, name)
    model = WorkflowEstimator(**quick | {"task": task}).fit(X, y, groups=groups)
    graph_equals_predict(model, X.tail(200))


def test_the_class_none_is_a_class(shared_data: Path, quick: dict[str, Any]) -> None:
    X, y, _, _ = _load(shared_data, "bird_strikes", n_rows=400)
    model = WorkflowEstimator(**quick).fit(X, y)
    assert "None" in model.classes_
