"""The public shelf: what `automl_wf` shows, and what looking at it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import automl_wf

PUBLIC = {
    "ModelDevelopmentWorkflow",
    "WorkflowClassifier",
    "WorkflowEstimator",
    "WorkflowRanker",
    "WorkflowRegressor",
    "load",
}
HEAVY = ("lightgbm", "xgboost", "catboost", "onnx", "onnxruntime", "skl2onnx", "shap", "skopt", "fastapi", "matplotlib")


def test_all_is_sorted_and_without_doubles() -> None:
    assert list(automl_wf.__all__) == sorted(set(automl_wf.__all__))


def test_everything_of_ours_that_is_public_is_in_all() -> None:
    assert set(automl_wf._MODULE_OF) == set(automl_wf.__all__) - {"__version__"}
    assert set(automl_wf.__all__) <= set(dir(automl_wf))
    for name, module in automl_wf._MODULE_OF.items():
        assert getattr(automl_wf, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="module 'automl_wf' has no attribute 'WorkflowClusterer'"):
        automl_wf.WorkflowClusterer  # noqa: B018


def test_design_names_are_there() -> None:
    assert set(automl_wf.__all__) >= PUBLIC


def test_version_equals_pyproject(root: Path) -> None:
    declared = re.search(r'^version = "(.+)"$', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert automl_wf.__version__ == declared[1]


def test_import_is_light() -> None:
    code = f"import sys, automl_wf; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_objects_say_what_they_are_for(name: str) -> None:
    assert (getattr(automl_wf, name).__doc__ or "").strip()
