from __future__ import annotations

import json
import pickle
import time

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.evaluation import HonestScore, bias_corrected, evaluate
from automl_wf.evaluation.bias_correction import Chosen


def _given(task, n=300, seed=0):
    rng = np.random.default_rng(seed)
    given = {"task": task, "scoring": resolve_scoring("auto", task)}
    if task.is_classification:
        n_classes = 2 if task is Task.BINARY else 4
        y = rng.integers(0, n_classes, n)
        p = rng.dirichlet(np.ones(n_classes), n) + np.eye(n_classes)[y] * 0.3
        prior = np.full((n, n_classes), 1 / n_classes)
        classes = np.array(["w", "x", "y", "z"][:n_classes])
        return given | {
            "y": y,
            "prediction": p / p.sum(axis=1, keepdims=True),
            "baseline_prediction": prior,
            "classes": classes,
        }
    y = rng.integers(0, 4, n).astype(float) if task is Task.RANKING else rng.normal(size=n)
    group = rng.integers(0, n // 15, n) if task is Task.RANKING else None
    return given | {
        "y": y,
        "prediction": y + 0.5 * rng.normal(size=n),
        "baseline_prediction": np.zeros(n),
        "group": group,
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", list(Task))
def test_facts_are_plain_json_and_can_be_pickled(task, weighted):
    given = _given(task)
    if weighted:
        given["weight"] = np.random.default_rng(1).uniform(0.2, 2, 300)
    facts = evaluate(**given, n_bootstraps=20)
    again = json.loads(json.dumps(facts.to_dict(), allow_nan=False))
    assert again == facts.to_dict()
    assert again["task"] == task.value
    assert (again["n_rows"], again["on"]) == (300, "out-of-fold predictions")
    assert pickle.loads(pickle.dumps(facts)) == facts
    primary = facts.primary_score
    assert primary.is_primary
    better = primary.value > primary.baseline
    assert better == primary.greater_is_better
    assert all(s.value is not None and s.baseline is not None and s.low <= s.value <= s.high for s in facts.scores)


@pytest.mark.parametrize(
    ("task", "there", "missing"),
    [
        (Task.BINARY, ("confusion", "report", "roc", "pr", "calibration"), ("residuals", "queries")),
        (Task.MULTICLASS, ("confusion", "report", "roc", "pr", "calibration"), ("residuals", "queries")),
        (Task.REGRESSION, ("residuals",), ("confusion", "report", "roc", "pr", "calibration", "queries")),
        (Task.RANKING, ("queries",), ("confusion", "report", "roc", "pr", "calibration", "residuals")),
    ],
)
def test_each_task_has_its_facts(task, there, missing):
    facts = evaluate(**_given(task), n_bootstraps=0).to_dict()
    assert all(facts[name] for name in there)
    assert not any(facts[name] for name in missing)


def test_facts_agree_with_each_other():
    facts = evaluate(**_given(Task.BINARY), n_bootstraps=0)
    assert facts.roc[0].area == pytest.approx(facts.score("roc_auc").value, abs=1e-12)
    assert facts.pr[0].area == pytest.approx(facts.score("average_precision").value, abs=1e-12)
    counts = np.array(facts.confusion.counts)
    assert np.trace(counts) / counts.sum() == pytest.approx(facts.score("accuracy").value)
    assert facts.report[1].f1 == pytest.approx(facts.score("f1").value)
    assert facts.confusion.classes == ("w", "x")


def test_the_honest_score_is_kept_beside():
    given = _given(Task.BINARY)
    honest = bias_corrected(
        [given["prediction"]],
        lambda predictions, y, weight, group: Chosen(np.ones(1)),
        given["scoring"],
        given["y"],
        n_bootstraps=30,
        seed=0,
        budget=Budget(),
    )
    facts = evaluate(**given, honest=honest, n_bootstraps=0)
    assert facts.to_dict()["honest"]["value"] == honest.value
    assert facts.to_dict()["honest"]["interval"] == list(honest.interval)


def test_a_score_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="no score 'rmse': there are accuracy"):
        evaluate(**_given(Task.BINARY), n_bootstraps=0).score("rmse")


def test_same_seed_same_facts():
    given = _given(Task.MULTICLASS)
    assert evaluate(**given, n_bootstraps=20) == evaluate(**given, n_bootstraps=20)
    assert evaluate(**given, n_bootstraps=20) != evaluate(**given, n_bootstraps=20, seed=1)


def test_a_small_table_takes_little_time():
    given = _given(Task.BINARY)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        evaluate(**given)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.06


def _beats(task, **changes):
    return evaluate(**_given(task) | changes).beats_baseline


def test_better_than_the_baseline_beyond_chance_or_not():
    assert _beats(Task.BINARY) is True
    assert _beats(Task.REGRESSION) is True
    given = _given(Task.REGRESSION)
    assert _beats(Task.REGRESSION, prediction=given["baseline_prediction"] + 1e-9) is False
    assert _beats(Task.REGRESSION, baseline_prediction=None) is None
    assert _beats(Task.REGRESSION, n_bootstraps=0) is None


def test_the_honest_interval_decides_where_there_is_one():
    given = _given(Task.BINARY)
    honest = HonestScore(0.55, (0.45, 0.65), 100, 0.9)
    assert evaluate(**given, honest=honest).beats_baseline is False
    assert evaluate(**given, honest=HonestScore(0.6, (0.55, 0.65), 100, 0.9)).beats_baseline is True


def test_the_threshold_is_the_models_own():
    given = _given(Task.BINARY) | {"threshold": 0.0}
    accuracy = evaluate(**given, n_bootstraps=0).score("accuracy")
    assert accuracy.value == given["y"].mean()
    assert accuracy.baseline == 1 - given["y"].mean()
