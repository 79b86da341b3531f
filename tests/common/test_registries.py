"""Registries: no doubles, every entry does what its row says, and every task is served."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import METRICS, Metric, metrics_for, resolve_scoring
from automl_wf.core.search_space import from_unit, to_unit
from automl_wf.core.tasks import Task
from automl_wf.model_selection.base import Learner, ModelSpec, Sample
from automl_wf.model_selection.catalogue import MODELS

FAMILIES = {"linear", "tree_based", "neural_networks", "ensemble"}
#: The seed's words for the primary metrics, by the names that hold them here.
SEED_METRICS = {
    Task.BINARY: {"accuracy", "precision", "recall", "f1", "roc_auc"},
    Task.MULTICLASS: {"accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc_ovr_weighted"},
    Task.REGRESSION: {"mse", "rmse", "mae", "r2", "mape"},
    Task.RANKING: {"ndcg", "map", "mrr", "precision_at_k"},
}

every_model = pytest.mark.parametrize("spec", MODELS, ids=lambda s: s.name)
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=lambda m: m.name)
every_task = pytest.mark.parametrize("task", Task)


def _target(task: Task, rng: np.random.Generator, n: int) -> np.ndarray:
    match task:
        case Task.BINARY:
            return rng.permutation(np.arange(n) % 2)
        case Task.MULTICLASS:
            return rng.permutation(np.arange(n) % 3)
        case Task.RANKING:
            return rng.integers(0, 3, n).astype(float)
        case _:
            return rng.normal(5.0, 1.0, n)


def _perfect(y: np.ndarray, task: Task) -> np.ndarray:
    return np.eye(int(y.max()) + 1)[y] if task.is_classification else y.astype(float)


# Models ---------------------------------------------------------------------------------------------------------------


def test_models_have_names_of_their_own() -> None:
    # One name may have a row for classes and one for values, but only one for each task.
    names = [(spec.name, task) for spec in MODELS for task in spec.tasks]
    assert len(set(names)) == len(names)
    assert all(name == name.lower().replace(" ", "_") for name, _ in names)


@every_model
def test_model_is_described_in_words(spec: ModelSpec) -> None:
    assert spec.family in FAMILIES or spec.name == "dummy"
    assert spec.view in ({"constant"} if spec.name == "dummy" else {"tree", "target", "dense"})
    assert spec.tasks
    for words in (spec.use_cases, spec.pros, spec.cons):
        assert words
        assert all(isinstance(w, str) and len(w) > 3 for w in words)


@every_model
def test_portfolio_and_space_fit_together(spec: ModelSpec) -> None:
    assert spec.portfolio
    assert len({repr(sorted(p.items(), key=str)) for p in spec.portfolio}) == len(spec.portfolio)
    for u in (0.0, 0.5, 1.0):
        params = from_unit(spec.space, [u] * len(spec.space))
        back = to_unit(spec.space, params)
        assert from_unit(spec.space, back) == pytest.approx(params) or from_unit(spec.space, back) == params


@pytest.mark.parametrize(
    ("spec", "task"), [(s, t) for s in MODELS for t in Task if t in s.tasks], ids=lambda v: getattr(v, "name", str(v))
)
def test_learner_fits_and_repeats(spec: ModelSpec, task: Task) -> None:
    rng = np.random.default_rng(0)
    y = _target(task, rng, 90)
    X = np.column_stack([y + 0.3 * rng.normal(size=90), rng.normal(size=(90, 2))])
    group = np.repeat(np.arange(9), 10) if task is Task.RANKING else None
    n_classes = int(y.max()) + 1 if task.is_classification else 1
    answers = []
    for _ in range(2):
        learner: Learner = spec.build(task, n_classes, spec.portfolio[0], 7)
        learner.fit(Sample(X, y, group=group), budget=Budget(), n_threads=1)
        answers.append(learner.predict(X))
    np.testing.assert_array_equal(*answers)
    if task.is_classification:
        assert answers[0].shape == (90, n_classes)
        np.testing.assert_allclose(answers[0].sum(axis=1), 1.0)
    else:
        assert answers[0].shape == (90,)
    assert np.isfinite(answers[0]).all()


@every_task
def test_every_task_has_models_of_more_than_one_family(task: Task) -> None:
    families = {s.family for s in MODELS if task in s.tasks}
    assert families
    assert len(families) >= (1 if task is Task.RANKING else 3)


# Metrics --------------------------------------------------------------------------------------------------------------


def test_metrics_are_registered_under_their_names() -> None:
    assert [m.name for m in METRICS.values()] == list(METRICS)
    labels = [m.label for m in METRICS.values()]
    assert len(set(labels)) == len(labels)


@every_metric
def test_perfect_prediction_is_the_best(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    for task in metric.tasks:
        y = _target(task, rng, 60)
        group = np.repeat(np.arange(6), 10) if task is Task.RANKING else None
        perfect = float(metric.evaluate(y, _perfect(y, task), None, group))
        low, high = metric.bounds
        assert low <= perfect <= high
        if metric.name not in ("precision_at_k", "directional_accuracy"):
            assert perfect == pytest.approx(high if metric.greater_is_better else low, abs=1e-6)
        for _ in range(5):
            other = _perfect(_target(task, rng, 60), task)
            worse = float(metric.evaluate(y, other, None, group))
            assert low <= worse <= high
            assert worse <= perfect if metric.greater_is_better else worse >= perfect


@every_metric
def test_scoring_is_greater_is_better(metric: Metric) -> None:
    if metric.scoring is None:
        return
    rng = np.random.default_rng(1)
    for task in metric.tasks:
        y = _target(task, rng, 60)
        group = np.repeat(np.arange(6), 10) if task is Task.RANKING else None
        classes = np.arange(int(y.max()) + 1) if task.is_classification else None
        scoring = resolve_scoring(metric.scoring, task, classes)
        prediction = _perfect(y, task)
        if scoring.needs == "label":
            prediction = y
        sign = 1.0 if metric.greater_is_better else -1.0
        expected = sign * float(metric.evaluate(y, prediction, None, group))
        assert float(scoring(y, prediction, None, group)) == pytest.approx(expected)


@every_task
def test_task_has_the_metrics_of_the_workflow(task: Task) -> None:
    assert {m.name for m in metrics_for(task)} >= SEED_METRICS[task]
    assert task.default_scoring in {m.scoring for m in metrics_for(task)}
