"""Every entry of the catalogue fits what it says it can, and names lead to models or to a helpful error."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.search_space import from_unit, to_unit
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter, MissingDependency
from automl_wf.model_selection import catalogue
from automl_wf.model_selection.base import ModelSpec, Sample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
GROUP = np.repeat(np.arange(12), 10)
TARGETS: Mapping[Task, np.ndarray] = {
    Task.BINARY: (X[:, 0] > 0).astype(np.int64),
    Task.MULTICLASS: np.digitize(X[:, 0], [-0.5, 0.5]),
    Task.REGRESSION: X[:, 0] + X[:, 1],
    Task.RANKING: np.digitize(X[:, 0], [-0.5, 0.5]).astype(float),
}
CASES = [
    pytest.param(spec, task, id=f"{spec.name}-{task}")
    for spec in catalogue.MODELS
    for task in Task
    if task in spec.tasks and catalogue.is_installed(spec)
]
SMALL: Mapping[str, Mapping[str, Any]] = {
    **{name: {"n_rounds": 3} for name in ("lightgbm", "xgboost", "catboost", "mlp")},
    **{name: {"n_estimators": 3} for name in ("random_forest", "extra_trees")},
}


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_every_configuration_fits(spec: ModelSpec, task: Task) -> None:
    y, n_classes = TARGETS[task], {Task.BINARY: 2, Task.MULTICLASS: 3}.get(task, 1)
    train = Sample(X[:90], y[:90], None, GROUP[:90])
    valid = Sample(X[90:], y[90:], None, GROUP[90:])
    corners = [from_unit(spec.space, [u] * len(spec.space)) for u in (0.0, 1.0)] if spec.space else []
    for params in (*spec.portfolio, *corners):
        learner = spec.build(task, n_classes, {**params, **SMALL.get(spec.name, {})}, 0)
        prediction = learner.fit(train, valid, budget=Budget()).predict(X[90:])
        assert prediction.shape == ((30, n_classes) if task.is_classification else (30,))
        assert np.isfinite(prediction).all()
        assert learner.n_parameters > 0 or spec.name == "dummy"


@pytest.mark.parametrize("spec", catalogue.MODELS, ids=lambda spec: spec.name)
def test_portfolios_lie_in_a_space_that_maps_back(spec: ModelSpec) -> None:
    assert spec.portfolio
    assert spec.view in (("constant",) if spec.name == "dummy" else ("tree", "target", "dense"))
    assert all((spec.use_cases, spec.pros, spec.cons))
    for params in spec.portfolio:
        point = to_unit(spec.space, params)
        assert all(0.0 <= u <= 1.0 for u in point)
        from_unit(spec.space, point)


def test_a_name_stands_for_one_model_per_task() -> None:
    for task in Task:
        names = [spec.name for spec in catalogue.MODELS if task in spec.tasks]
        assert len(names) == len(set(names))
        assert names[0] == "dummy"


def test_taxonomy_names_every_model() -> None:
    assert list(catalogue.TAXONOMY) == ["linear", "tree_based", "neural_networks", "ensemble"]
    described = {name: family for family in catalogue.TAXONOMY.values() for name, _ in family.models}
    for spec in catalogue.MODELS[1:]:
        assert described[spec.name].name == spec.family
    assert {"voting", "stacking", "blending"} <= described.keys()


def test_names_and_families_are_found() -> None:
    linear = catalogue.models_for(Task.REGRESSION, ("linear",))
    assert [spec.name for spec in linear] == ["linear_regression", "ridge", "lasso"]
    both = catalogue.models_for(Task.BINARY, ("mlp", "linear"))
    assert [spec.name for spec in both] == ["logistic_regression", "mlp"]
    assert "lightgbm" in {spec.name for spec in catalogue.models_for(Task.RANKING)}


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("lightgmb", Task.BINARY, "no model or family.*lightgbm"),
        ("logistic_regression", Task.REGRESSION, "cannot do regression.*ridge"),
        ("ensemble", Task.BINARY, "no model or family.*linear, neural_networks, tree_based"),
    ],
)
def test_wrong_names_list_the_right_ones(name: str, task: Task, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        catalogue.models_for(task, (name,))


def test_absent_packages_are_left_out_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "catboost" else find_spec(name))
    assert "catboost" not in {spec.name for spec in catalogue.models_for(Task.BINARY)}
    assert "catboost" not in {spec.name for spec in catalogue.models_for(Task.BINARY, ("tree_based",))}
    with pytest.raises(MissingDependency, match=r"catboost.*automl_wf\[boosters\]"):
        catalogue.models_for(Task.BINARY, ("catboost",))


@pytest.mark.parametrize(
    ("seconds", "rate"), [(10.0, 0.05), (60.0, 0.05), (None, 0.05), (300.0, 0.03), (3600.0, 0.0127)]
)
def test_learning_rate_floor(seconds: float | None, rate: float) -> None:
    params = {"learning_rate": 0.0127, "num_leaves": 5}
    assert catalogue.with_learning_rate_floor(params, seconds) == {"learning_rate": rate, "num_leaves": 5}
    assert catalogue.with_learning_rate_floor({"learning_rate": 0.2}, seconds) == {"learning_rate": 0.2}
    assert catalogue.with_learning_rate_floor({}, seconds) == {}


@pytest.mark.parametrize(("rounds", "rate"), [(2000.0, 0.05), (800.0, 0.0625), (60.0, 0.1), (40.0, 0.125), (5.0, 0.2)])
def test_few_rounds_make_larger_steps_up_to_a_fifth(rounds: float, rate: float) -> None:
    found = catalogue.with_learning_rate_floor({"learning_rate": 0.0127}, 60.0, 20_000, rounds)
    assert found == {"learning_rate": pytest.approx(rate)}
