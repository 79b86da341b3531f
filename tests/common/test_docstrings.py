"""Docstrings of everything public: numpydoc's rules, and the parameters of the signature."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate

import automl_wf
from automl_wf import WorkflowEstimator

ROOT = Path(__file__).resolve().parents[2]
CHECKS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["numpydoc_validation"]["checks"]
)


def _public() -> list[str]:
    names = []
    for name in automl_wf.__all__:
        thing = getattr(automl_wf, name)
        if not callable(thing):
            continue
        names.append(f"automl_wf.{name}")
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    names.append(f"automl_wf.{name}.{method}")
    return names


@pytest.mark.parametrize("name", _public())
def test_docstring_is_numpydoc(name: str) -> None:
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"] if code in CHECKS]
    assert errors == []


KIN = ["WorkflowClassifier", "WorkflowRanker", "WorkflowRegressor"]


def test_parameters_are_those_of_the_signature() -> None:
    documented = {p.name: p.type.replace('"', "'") for p in ClassDoc(WorkflowEstimator)["Parameters"]}
    signature = inspect.signature(WorkflowEstimator.__init__).parameters
    assert list(documented) == [name for name in signature if name != "self"]
    for name, text in documented.items():
        assert text.endswith(f"default={signature[name].default!r}"), name


@pytest.mark.parametrize("name", KIN)
def test_kin_differ_by_the_task_only(name: str) -> None:
    kin = getattr(automl_wf, name)
    assert "those of `WorkflowEstimator`, without `task`" in " ".join(inspect.getdoc(kin).split())
    expected = dict(inspect.signature(WorkflowEstimator.__init__).parameters)
    del expected["task"]
    assert dict(inspect.signature(kin.__init__).parameters) == expected


@pytest.mark.parametrize("name", ["WorkflowEstimator", *KIN])
def test_fitted_attributes_are_documented(name: str, quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    y = X["a"] * 1.5 if name == "WorkflowRegressor" else (X["a"] > 0).astype(int)
    model = getattr(automl_wf, name)(**quick).fit(X, y)
    model.evaluate(X, y)
    learnt = {a for a in vars(model) if a.endswith("_") and not a.startswith("_")}
    documented = {a.name for a in ClassDoc(WorkflowEstimator)["Attributes"]}
    assert learnt <= documented
    assert documented - learnt <= ({"classes_"} if name in ("WorkflowRegressor", "WorkflowRanker") else set())


@pytest.mark.parametrize("name", [n for n in automl_wf.__all__ if inspect.isfunction(getattr(automl_wf, n))])
def test_functions_document_their_parameters(name: str) -> None:
    function = getattr(automl_wf, name)
    assert [p.name for p in FunctionDoc(function)["Parameters"]] == list(inspect.signature(function).parameters)
