"""The diagnosis of a real fit: whole, plain, repeatable, and cut by the clock."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowEstimator, WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.evaluation import Evaluation
from automl_wf.evaluation.diagnosis import diagnose, slice_findings
from automl_wf.evaluation.slices import Slice, Slices

PARTS = ("errors", "coverage", "slices", "robustness", "stability", "learning_curve")


def _fit(task: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any, **settings: Any) -> WorkflowEstimator:
    frame = mixed_frame(240)
    groups = np.arange(240) // 10 if task == "ranking" else None
    family = "classification" if task in ("binary", "multiclass") else task
    parameters = quick | {"estimators": ["linear", "lightgbm"], "task": family} | settings
    return WorkflowEstimator(**parameters).fit(frame, target_of(frame, task), groups=groups)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "ranking"])
def test_every_part_is_there_and_the_same_again(
    task: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any
) -> None:
    first, second = (_fit(task, quick, mixed_frame, target_of, n_jobs=n_jobs).evaluation_ for n_jobs in (1, 2))
    facts = first.to_dict()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert {name: getattr(first, name) for name in PARTS} == {name: getattr(second, name) for name in PARTS}
    assert pickle.loads(pickle.dumps(first)) == first
    assert first.robustness.status == first.stability.status == first.learning_curve.status == "measured"
    assert first.robustness.score == pytest.approx(first.primary_score.value, rel=1e-6)
    assert first.robustness.baseline == pytest.approx(first.primary_score.baseline, rel=1e-6)
    assert {p.scenario for p in first.robustness.points} == {"noise", "missing", "unseen", "scale", "shift"}
    assert len(first.stability.fold_scores) == 3
    assert first.stability.seed_scores[0] == first.learning_curve.points[-1].score
    assert len(first.stability.seed_scores) == 2
    is_ranking = task == "ranking"
    assert (first.coverage is None) == is_ranking
    assert first.slices.status == ("not run: a ranking has no loss per row" if is_ranking else "measured")
    assert first.errors.worst


def test_the_worst_row_is_named_by_its_place_in_x(quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=150), "z": rng.normal(size=150)})
    y = X["x"].to_numpy() + 0.01 * rng.normal(size=150)
    y[77] += 50.0
    worst = WorkflowRegressor(**quick | {"estimators": ["linear"]}).fit(X, y).evaluation_.errors.worst[0]
    assert worst.row == 77
    assert worst.truth == y[77]


def test_a_planted_slice_becomes_a_finding(quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    city = rng.choice(["Oslo", "Rome", "Bern"], 900)
    X = pd.DataFrame({"x": rng.normal(size=900), "city": city})
    y = X["x"] + rng.normal(size=900) * np.where(city == "Rome", 5.0, 0.1)
    model = WorkflowRegressor(**quick | {"estimators": ["linear"]}).fit(X, y)
    (finding,) = [f for f in model.findings_ if f.code == "error_slices"]
    assert "city = rome" in finding.message
    assert finding.columns == ("city",)


def test_findings_count_the_other_slices() -> None:
    one = Slice("x is missing", ("x",), 60, 30, 0.25, 2.0, 1.0, 1.0, 0.5, 1.5, 0.01)
    (alone,) = slice_findings(Slices((one,), "absolute error"))
    assert alone.message == "The model errs more where x is missing: absolute error 2 against 1 elsewhere."
    (more,) = slice_findings(Slices((one, replace(one, where="y")), "absolute error"))
    assert more.message.endswith("elsewhere, and in 1 other slices.")
    assert slice_findings(Slices()) == slice_findings(None) == []


def test_a_fit_without_time_says_what_was_not_run(quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    found: Evaluation = _fit("binary", quick, mixed_frame, target_of, time_budget=0.05, n_iter=None).evaluation_
    statuses = {getattr(found, name).status for name in ("slices", "robustness", "learning_curve")}
    assert "not run: no time" in statuses
    assert statuses <= {"measured", "not run: no time"}


def test_repeated_rows_and_weights_mean_the_same(quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    frame = mixed_frame(120).drop(columns=["joined", "seen", "born"])
    y = target_of(mixed_frame(120), "binary")
    weight = np.where(np.arange(120) % 3 == 0, 2, 1)
    rows = np.repeat(np.arange(120), weight)
    settings = quick | {"estimators": ["linear"]}
    by_weight = WorkflowEstimator(**settings).fit(frame, y, sample_weight=weight).evaluation_
    by_rows = WorkflowEstimator(**settings).fit(frame.iloc[rows].reset_index(drop=True), y[rows]).evaluation_
    assert by_weight.robustness == by_rows.robustness
    assert by_weight.slices == by_rows.slices


def test_a_test_set_has_errors_but_no_diagnosis(quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    model = _fit("binary", quick, mixed_frame, target_of)
    frame = mixed_frame(60, 7)
    found = model.evaluate(frame, target_of(frame, "binary"))
    assert found.errors.worst[0].row in range(60)
    assert found.slices is found.robustness is found.learning_curve is found.coverage is None


def test_a_slow_metric_is_not_called_beyond_the_time(table_of: Any, held_out_of: Any) -> None:
    x = np.random.default_rng(0).normal(size=400)
    held_out = held_out_of(table_of(x=x), x, 0.5 * x, predict=lambda t: 0.5 * t.cells[0], baseline=np.zeros(400))
    calls = []

    def score(*given: Any, **named: Any) -> float:
        calls.append(given)
        return 0.0

    metric = replace(held_out.scoring.metric, function=score)
    slow = replace(held_out, scoring=replace(held_out.scoring, metric=metric), score_time_s=0.2)
    found = diagnose(slow, (), None, budget=Budget(1.0))
    assert calls == []
    assert found.robustness.status == found.stability.status == "not run: no time"
    assert diagnose(slow, (), None, budget=Budget(30.0)).robustness.status == "measured"
    assert calls
