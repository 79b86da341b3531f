"""Everything is run in the time there is, in the order of its worth, and of real ensembles the truth is found."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.estimator import WorkflowEstimator
from automl_wf.interpretation import interpret
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.explanations import BASELINE, BRIEF, FULL, Explanations, explain_final

PARTS = ("partial_dependence", "shap", "interactions", "rules", "boundary", "trust")


def run(model: Explained, budget: Budget | None = None, is_small: bool = True) -> Explanations:
    columns = model.rows.schema.used
    n = model.rows.n_rows
    splits = [(np.arange(n // 2), np.arange(n // 2, n))]
    return explain_final(
        model, [c.name for c in columns], columns[-1:], table=model.rows, splits=splits, is_small=is_small, seed=0,
        budget=Budget() if budget is None else budget,
    )  # fmt: skip


def statuses(found: Explanations) -> dict[str, str]:
    return {name: getattr(found, name).status for name in PARTS}


@pytest.mark.parametrize(("is_small", "sizes"), [(True, BRIEF), (False, FULL)])
def test_without_a_clock_sizes_are_fixed(
    is_small: bool, sizes: Any, numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(300), lambda t: t.cells[0] + t.cells[1] * t.cells[2])
    found = run(model, is_small=is_small)
    assert set(statuses(found).values()) == {"measured"}
    assert (found.shap.n_rows, found.shap.n_background) == (sizes.shap_rows, sizes.shap_background)
    assert found.partial_dependence.n_rows == sizes.dependence_rows
    assert (found.interactions.n_points, found.interactions.n_rows) == (sizes.pair_points, sizes.pair_rows)
    assert len(found.boundary.values) == len(found.boundary.x) == sizes.boundary_points
    assert run(model, is_small=is_small) == found


def test_brief_is_brief(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    asked = []

    def value(table: Table) -> np.ndarray:
        asked.append(table.n_rows)
        return np.asarray(table.cells[0])

    run(explained(numbers(300, 10), value))
    assert sum(asked) < 9_000


def test_what_does_not_fit_the_time_says_so(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    def slow(table: Table) -> np.ndarray:
        time.sleep(table.n_rows * 1e-4)
        return np.asarray(table.cells[0])

    model = explained(numbers(300), slow)
    assert set(statuses(run(model, Budget(0.0))).values()) == {"not run: no time"}
    began = time.perf_counter()
    # 300 rows to learn what they say, 1,200 for partial dependence, then no more than what is left
    found = run(model, Budget(0.3), is_small=False)
    assert time.perf_counter() - began < 0.6
    assert found.partial_dependence.status == "measured"
    assert found.interactions.status == "not run: no time"
    assert found.rules.status == "measured"


def test_importances_leave_time_for_the_rest(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    """Sixty slow columns would take more than there is: they are measured on fewer rows, and the rest still fits."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 60)), columns=[f"x{i}" for i in range(60)])

    def slow(table: Table) -> np.ndarray:
        time.sleep(table.n_rows * 2e-5)
        return np.asarray(table.cells[59] + 0.1 * table.cells[0])

    model = explained(frame, slow)
    rows = np.arange(400)
    y = slow(model.rows)
    found = interpret(
        [(slow, rows)], model.rows, y, None, None, resolve_scoring("r2", Task.REGRESSION), range(60),
        budget=Budget(1.0), final=model,
    )  # fmt: skip
    assert found.not_run == ()
    assert found.n_rows < 400
    assert found.shap is not None
    assert found.shap.status == found.partial_dependence.status == found.rules.status == "measured"
    assert found.importances[0].column == found.shap.effects[0].column == "x59"


def test_columns_of_unknown_importance_are_ordered_by_what_they_move(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(100, 8), lambda t: t.cells[6] + 0.1 * t.cells[3])
    found = explain_final(
        model, ["a"], (), table=model.rows, splits=(), is_small=True, seed=0, budget=Budget()
    )  # fmt: skip
    assert [drawn.column for drawn in found.partial_dependence.columns][:2] == ["g", "d"]


def test_the_baseline_is_not_explained(
    numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]
) -> None:
    model = explained(numbers(60), lambda t: np.zeros(t.n_rows), is_baseline=True)
    assert set(statuses(run(model)).values()) == {BASELINE}


def test_one_column_has_no_surface(numbers: Callable[..., pd.DataFrame], explained: Callable[..., Explained]) -> None:
    found = run(explained(numbers(60, 1), lambda t: t.cells[0]))
    assert found.boundary.status == "not run: it takes two columns"
    assert found.interactions.pairs == ()
    assert found.shap.effects[0].direction == 1.0


# Fitted ensembles -----------------------------------------------------------------------------------------------------


def fitted(y: Callable[[pd.DataFrame], np.ndarray], quick: dict[str, Any], **settings: Any) -> WorkflowEstimator:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 5)), columns=["a", "b", "c", "noise1", "noise2"])
    return WorkflowEstimator(**{**quick, **settings}).fit(X, pd.Series(y(X), name="y"))


def noise(X: pd.DataFrame) -> np.ndarray:
    """Something that boosting stops at."""
    return np.random.default_rng(1).normal(size=len(X))


def test_an_additive_truth_is_explained_rightly(quick: dict[str, Any]) -> None:
    model = fitted(lambda X: 3.0 * X["a"] - 2.0 * X["b"] + X["c"], quick, estimators=["linear"])
    facts = model.interpretation_
    slopes = {d.column: np.polyfit(d.at, d.mean[0], 1)[0] for d in facts.partial_dependence.columns}
    assert [slopes[name] for name in "abc"] == pytest.approx([3.0, -2.0, 1.0], abs=0.1)
    assert not any(pair.is_found for pair in facts.interactions.pairs)
    sizes = {effect.column: effect.mean_abs for effect in facts.shap.effects}
    assert max(sizes["noise1"], sizes["noise2"]) < 0.05 * sizes["a"]
    assert {e.column: e.direction for e in facts.shap.effects}["a"] > 0.9
    assert facts.shap.largest_sum_error < 1e-9
    assert facts.trust.stability is not None


def test_a_planted_interaction_is_found_by_trees(quick: dict[str, Any]) -> None:
    model = fitted(
        lambda X: 2.0 * np.sign(X["a"]) * np.sign(X["b"]) + X["c"] + noise(X), quick, estimators=["lightgbm"]
    )
    found = [set(pair.columns) for pair in model.interpretation_.interactions.pairs if pair.is_found]
    assert found == [{"a", "b"}]


@pytest.mark.parametrize("is_classes", [False, True])
def test_trees_on_an_additive_truth_find_none(is_classes: bool, quick: dict[str, Any]) -> None:
    def truth(X: pd.DataFrame) -> np.ndarray:
        value = 2.0 * X["a"] - 2.0 * X["b"] + 2.0 * X["c"] + noise(X)
        return np.where(value > 0, "yes", "no") if is_classes else value

    model = fitted(truth, quick, estimators=["lightgbm"])
    assert [pair.columns for pair in model.interpretation_.interactions.pairs if pair.is_found] == []


def test_facts_repeat_bit_by_bit_whatever_the_threads(quick: dict[str, Any]) -> None:
    one, two = (
        fitted(lambda X: np.where(X["a"] * X["b"] > 0, "yes", "no"), quick, n_jobs=n).interpretation_ for n in (1, 2)
    )
    assert one == two


def test_facts_are_plain_json_and_can_be_pickled(
    mixed_frame: Callable[..., pd.DataFrame], target_of: Callable[..., np.ndarray], quick: dict[str, Any]
) -> None:
    X = mixed_frame(160)
    model = WorkflowEstimator(**quick, estimators=["linear", "lightgbm"]).fit(X, target_of(X, "multiclass"))
    facts = model.interpretation_
    assert json.loads(json.dumps(facts.to_dict(), allow_nan=False)) == facts.to_dict()
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert {getattr(facts, name).status for name in PARTS} == {"measured"}
    assert facts.shap.outputs == ("None", "high", "low")
