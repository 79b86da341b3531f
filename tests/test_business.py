"""`business=` from end to end: decisions in `predict` and the graph, what is optimised, pickles, clones, packages."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV

from automl_wf import ModelDevelopmentWorkflow, WorkflowClassifier, WorkflowRanker, WorkflowRegressor, load
from automl_wf.core.costs import Costs
from automl_wf.deployment import package as writing
from automl_wf.deployment import verify
from automl_wf.deployment.checklist import TestRun
from automl_wf.deployment.comparison import compare_packages
from automl_wf.exceptions import InvalidParameter, WorkflowError

N = 240
RNG = np.random.default_rng(0)
X = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "town": RNG.choice(["a", "b"], N)})
SIGNAL = X["x"] + (X["town"] == "a") + RNG.normal(size=N)
BINARY = np.where(SIGNAL > 1.2, "yes", "no")
MANY = np.array(["high", "low", "mid"])[np.digitize(SIGNAL, [0.0, 1.4])]
DEAR = {"cost_per_false_positive": 1.0, "cost_per_false_negative": 9.0, "currency": "EUR"}


@pytest.fixture
def settings(quick: dict[str, Any]) -> dict[str, Any]:
    return quick | {"estimators": ["linear"]}


@pytest.fixture
def without_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that the package's own tests and service take."""
    monkeypatch.setattr(writing, "run_tests", lambda folder: TestRun(1, (), 0, "", 0.0, 0))
    monkeypatch.setattr(writing, "run_checklist", lambda inspection: ())


def test_costs_set_the_threshold_and_the_search_stays(settings: dict[str, Any], graph_equals_predict: Any) -> None:
    plain = WorkflowClassifier(**settings).fit(X, BINARY)
    model = WorkflowClassifier(**settings, business=DEAR).fit(X, BINARY)
    threshold = model.best_params_["threshold"]
    assert threshold == pytest.approx(0.1, abs=0.06)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.best_score_ == plain.best_score_
    assert (model.predict(X) == "yes").mean() > (plain.predict(X) == "yes").mean() + 0.1
    np.testing.assert_array_equal(model.predict(X) == "yes", model.predict_proba(X)[:, 1] >= threshold - 1e-9)
    graph_equals_predict(model, X)
    table = model.evaluation_.business.cost_matrix
    assert table.per_row < table.baseline_per_row
    costs = Costs(((0.0, 1.0), (9.0, 0.0)))
    argmax = (model._result.evidence["prediction"][:, 1] > 0.5).astype(int)
    assert table.per_row < costs.of_rows(model._result.evidence["y"], argmax).mean()
    assert any("decision: 'yes' from a probability" in d.decision for d in model.decisions_)


def test_errors_are_named_after_the_positive_class(settings: dict[str, Any]) -> None:
    model = WorkflowClassifier(**settings, pos_label="no", business=DEAR).fit(X, BINARY)
    # To call a row yes that is no is a false negative now: it takes 0.9 to dare it.
    assert model.best_params_["threshold"] == pytest.approx(0.9, abs=0.06)
    facts = model.evaluation_.business
    assert facts.cost_matrix.costs == ((0.0, 9.0), (1.0, 0.0))
    assert facts.profit_curve.label == model.evaluation_.lift_chart.label == "no"
    assert facts.profit_curve.chosen.profit == pytest.approx(-facts.cost_matrix.total)
    assert model.evaluation_.score("cost").value == pytest.approx(facts.cost_matrix.per_row)


def test_the_workflows_own_business_metrics(settings: dict[str, Any]) -> None:
    business = {
        "revenue_per_unit": 5,
        "cost_per_error": 2,
        "baseline_errors": 100,
        "custom_kpis": {"a": accuracy_score},
    }
    workflow = ModelDevelopmentWorkflow(settings | {"business": business})
    result = workflow.execute(X, BINARY)
    counts = np.array(result.evaluation.confusion.counts)
    errors = counts.sum() - np.trace(counts)
    assert workflow.metrics["business"] == {
        "revenue_impact": 5 * counts[1, 1],
        "cost_savings": (100 - errors) * 2,
        "a": pytest.approx(np.trace(counts) / N),
    }
    assert [f.code for f in result.findings if f.code.startswith("criterion")] == []


def test_a_scoring_of_labels_comes_first(settings: dict[str, Any]) -> None:
    model = WorkflowClassifier(**settings, scoring="balanced_accuracy", business=DEAR).fit(X, BINARY)
    plain = WorkflowClassifier(**settings, scoring="balanced_accuracy").fit(X, BINARY)
    assert model.best_params_["threshold"] == plain.best_params_["threshold"]
    assert model.evaluation_.business.cost_matrix.sets_decision is False
    # `score` judges what `predict` says.
    assert model.score(X, BINARY) == pytest.approx(balanced_accuracy_score(BINARY, model.predict(X)))


def test_three_classes_are_decided_on_by_their_costs(settings: dict[str, Any], graph_equals_predict: Any) -> None:
    # Classes are high, low, mid: to miss a high one is dear.
    costs = {"high": {"low": 20, "mid": 10}, "low": {"high": 1, "mid": 1}, "mid": {"high": 1, "low": 1}}
    plain = WorkflowClassifier(**settings).fit(X, MANY)
    model = WorkflowClassifier(**settings, business={"cost_matrix": costs}).fit(X, MANY)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert (model.predict(X) == "high").mean() > (plain.predict(X) == "high").mean() + 0.1
    matrix = np.array([[0, 20, 10], [1, 0, 1], [1, 1, 0]], dtype=float)
    expected = model.classes_[(model.predict_proba(X) @ matrix).argmin(axis=1)]
    np.testing.assert_array_equal(model.predict(X), expected)
    assert model.best_params_["decision_costs"] == (matrix / 20).tolist()
    graph_equals_predict(model, pd.concat([X, X.assign(town="c"), X.assign(x=np.nan)]))


def test_the_cost_is_what_the_search_maximises(settings: dict[str, Any]) -> None:
    model = WorkflowClassifier(**settings, business={**DEAR, "optimise": "cost"}).fit(X, BINARY)
    assert model.problem_.scoring.name == "cost"
    assert model.evaluation_.primary == "cost"
    assert -1.5 < model.best_score_ < 0
    costs = Costs(((0.0, 1.0), (9.0, 0.0)))
    y = (BINARY == "yes").astype(int)
    paid = costs.of_rows(y, (model.predict(X) == "yes").astype(int)).mean()
    assert model.score(X, BINARY) == pytest.approx(-paid)


def test_a_kpi_is_what_the_search_maximises(settings: dict[str, Any]) -> None:
    business = {"custom_kpis": {"share": accuracy_score}, "optimise": "share"}
    model = WorkflowClassifier(**settings, business=business).fit(X, BINARY)
    assert (model.evaluation_.primary, model.problem_.scoring.name) == ("share", "share")
    assert model.evaluation_.business.custom_kpis[0].value == pytest.approx(model.evaluation_.primary_score.value)


def test_values_are_shifted_where_the_cost_is_optimised(settings: dict[str, Any], graph_equals_predict: Any) -> None:
    sides = {"cost_per_unit_over": 1.0, "cost_per_unit_under": 8.0}
    plain = WorkflowRegressor(**settings, business=sides).fit(X, SIGNAL)
    assert plain.best_params_["shift"] == 0.0
    model = WorkflowRegressor(**settings, business={**sides, "optimise": True}).fit(X, SIGNAL)
    assert model.best_params_["shift"] > 0.5
    before, after = (m.evaluation_.business.dollar_impact for m in (plain, model))
    # The baseline is shifted as well: the best constant is the quantile that the costs imply.
    constant = np.quantile(SIGNAL, 8 / 9, method="inverted_cdf")
    best = np.where(constant < SIGNAL, 8.0, 1.0) * np.abs(SIGNAL - constant)
    assert after.baseline_per_row == pytest.approx(best.mean(), rel=0.05)
    # What is to be expected is what was reached, but for one number fitted to these rows.
    assert -model.best_score_ == pytest.approx(after.per_row, rel=0.15)
    error = model.predict(X) - SIGNAL
    assert model.score(X, SIGNAL) == pytest.approx(-np.mean(np.where(error > 0, error, -8.0 * error)))
    assert after.per_row < 0.8 * before.per_row
    assert model.evaluation_.score("cost").value == pytest.approx(after.per_row)
    graph_equals_predict(model, X)


def test_the_parameter_stays_as_it_is_and_grids_change_it(settings: dict[str, Any]) -> None:
    business = {"cost_matrix": np.array([[0.0, 1.0], [9.0, 0.0]]), "custom_kpis": {"one": lambda p, a: 1.0}}
    model = WorkflowClassifier(**settings, business=business)
    twin = clone(model)
    assert model.business is business
    assert twin.business is not business
    np.testing.assert_array_equal(twin.business["cost_matrix"], business["cost_matrix"])
    model.fit(X, BINARY)
    assert model.business is business
    assert set(business) == {"cost_matrix", "custom_kpis"}
    grid = {"business": [None, DEAR, {**DEAR, "cost_per_false_negative": 1.0}]}
    search = GridSearchCV(WorkflowClassifier(**settings), grid, cv=2, scoring="recall_macro").fit(X, BINARY)
    assert len(set(search.cv_results_["mean_test_score"])) > 1


@pytest.mark.usefixtures("without_service")
def test_a_lambda_is_a_finding_and_is_left_out_of_the_pickle(settings: dict[str, Any], tmp_path: Path) -> None:
    business = {**DEAR, "custom_kpis": {"kept": accuracy_score, "lost": lambda p, a: float(len(p))}}
    model = WorkflowClassifier(**settings, business=business).fit(X, BINARY)
    assert "kpi_not_pickled" in [f.code for f in model.findings_]
    path = model.export(tmp_path / "package").path
    again = load(path, trained=True)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(load(path).predict(X), model.predict(X))
    assert again.business["custom_kpis"]["kept"] is accuracy_score
    with pytest.raises(WorkflowError, match="'lost' could not be pickled"):
        again.business["custom_kpis"]["lost"](np.array([1]), np.array([1]))
    found = again.evaluate(X, BINARY).business.custom_kpis
    assert found[0].value is not None
    assert "could not be pickled" in found[1].note
    # What the user has is untouched.
    assert model.business["custom_kpis"]["lost"](X, None) == float(N)
    facts = json.loads((path / "model/metadata.json").read_text())
    assert "0x" not in facts["parameters"]["business"]


@pytest.mark.usefixtures("without_service")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_verify_counts_the_money_again(n_classes: int, settings: dict[str, Any], tmp_path: Path) -> None:
    business = DEAR | {"revenue_per_unit": 5, "cost_per_error": 2, "baseline_errors": 90}
    many = {"cost_matrix": [[0, 20, 10], [1, 0, 1], [1, 1, 0]], "cost_per_error": 1}
    model = WorkflowClassifier(
        **settings, business=business if n_classes == 2 else many, requirements={"score": 0.6, "max_size": 10**7}
    )
    path = model.fit(X, BINARY if n_classes == 2 else MANY).export(tmp_path / "package").path
    report = verify(path)
    assert report.ok, str(report)
    checked = {c.subject for c in report.checks if c.kind == "exact" and c.status == "ok"}
    assert {"business_value.cost_matrix", "business_value.cost_savings"} <= checked
    if n_classes == 2:
        assert {"business_value.profit_curve", "business_value.lift_chart", "business_value.revenue_impact"} <= checked
    card = json.loads((path / "docs/card.json").read_text())["sections"]
    verdicts = {row["name"]: row for row in card["metrics"]["criteria"]["value"]}
    assert verdicts["max_size"]["verdict"] == "met"
    assert verdicts["max_size"]["measured"] == (path / "model/model.onnx").stat().st_size
    assert verdicts["beats_baseline"]["verdict"] == "met"
    page = (path / "docs/model_card.md").read_text()
    assert "Success criteria" in page
    assert "Cost matrix" in page


def test_outcomes_of_a_ranking_are_no_inputs(settings: dict[str, Any], tmp_path: Path) -> None:
    queries = np.arange(N) // 12
    grades = np.digitize(SIGNAL, [0.5, 1.5]).astype(float)
    frame = X.assign(
        sku=[f"item {i % 40}" for i in range(N)],
        clicked=(grades > 1).astype(int),
        stars=np.where(grades > 0, grades + 2.0, np.nan),
    )
    business = {"item": "sku", "clicks": "clicked", "satisfaction": "stars"}
    model = WorkflowRanker(**settings, business=business).fit(frame, grades, groups=queries)
    assert list(model.feature_names_in_) == ["x", "z", "town", "sku"]
    facts = model.evaluation_.business
    assert facts.click_through_rate.value > facts.click_through_rate.by_chance
    assert facts.conversion_impact is None
    assert 0 < facts.exposure.coverage <= 1
    # Outcomes may be there when predicting, and need not be.
    np.testing.assert_array_equal(model.predict(frame), model.predict(frame.drop(columns=["clicked", "stars"])))
    tested = model.evaluate(frame, grades, groups=queries)
    assert tested.business.click_through_rate.value >= facts.click_through_rate.value - 0.2
    assert model.evaluate(frame.drop(columns="clicked"), grades, groups=queries).business.click_through_rate is None
    with pytest.raises(InvalidParameter, match="a column 'clicked' that X does not have"):
        model.fit(frame.drop(columns="clicked"), grades, groups=queries)


def test_criteria_are_judged_and_kept_with_the_problem(settings: dict[str, Any]) -> None:
    wanted = {"score": 0.55, "max_predict_time": 10.0, "max_size": 1e9}
    model = WorkflowClassifier(**settings, requirements=wanted).fit(X, BINARY)
    verdicts = {c.name: c.verdict for c in model.problem_.criteria}
    assert verdicts == {
        "score": "met",
        "max_predict_time": "met",
        "max_size": "not measured before export",
        "beats_baseline": "met",
    }
    assert model.evaluation_.criteria == model.problem_.criteria
    on_test = model.evaluate(X, BINARY).criteria
    assert [c.name for c in on_test] == ["score", "beats_baseline"]
    high = WorkflowClassifier(**settings, requirements={"score": 0.999}).fit(X, BINARY)
    assert high.evaluation_.criteria[0].verdict == "not met"
    assert "criterion_not_met" in [f.code for f in high.findings_]
    noise = np.random.default_rng(5).permutation(BINARY)
    undecided = WorkflowClassifier(**settings, requirements={"score": 0.5}).fit(X, noise)
    assert undecided.evaluation_.criteria[0].verdict == "undecided at this sample size"


def test_members_are_chosen_so_that_the_graph_is_small_enough(settings: dict[str, Any]) -> None:
    free = len(WorkflowClassifier(**settings).fit(X, BINARY).to_onnx().SerializeToString())
    limit = free // 2
    small = WorkflowClassifier(**settings, requirements={"max_size": limit}).fit(X, BINARY)
    assert len(small.to_onnx().SerializeToString()) <= limit
    assert small.score(X, BINARY) > 0.55


@pytest.mark.parametrize(
    ("parameter", "match"),
    [
        ({"business": {"revenue": 1}}, "Did you mean 'revenue_per_unit'"),
        ({"business": {"cost_per_unit_over": 1}}, "needs a regression; this is binary"),
        ({"business": {"optimise": True}}, "needs costs"),
        ({"business": DEAR | {"optimise": True}, "scoring": "f1"}, "Both scoring='f1'"),
        ({"requirements": {"speed": 1}}, "Got 'speed'"),
    ],
)
def test_what_cannot_be_is_an_error_before_any_model(parameter: dict, match: str, settings: dict[str, Any]) -> None:
    model = WorkflowClassifier(**settings | parameter)
    with pytest.raises(InvalidParameter, match=match):
        model.fit(X, BINARY)
    assert not hasattr(model, "leaderboard_")


def test_a_fitted_model_with_costs_can_be_pickled(settings: dict[str, Any]) -> None:
    model = WorkflowClassifier(**settings, business=DEAR).fit(X, BINARY)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.problem_.business == model.problem_.business


def test_a_checkpoint_knows_the_costs_that_are_optimised(settings: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = settings | {"checkpoint": tmp_path / "journal"}
    first = WorkflowClassifier(**checkpoint, business={**DEAR, "optimise": True}).fit(X, BINARY)
    again = WorkflowClassifier(**checkpoint, business={**DEAR, "optimise": True}).fit(X, BINARY)
    assert again.best_score_ == first.best_score_
    dearer = {**DEAR, "cost_per_false_negative": 90.0, "optimise": True}
    with pytest.raises(InvalidParameter, match="belongs to another fit: another scoring"):
        WorkflowClassifier(**checkpoint, business=dearer).fit(X, BINARY)


@pytest.mark.usefixtures("without_service")
def test_packages_are_compared_by_the_cost_of_their_decisions(settings: dict[str, Any], tmp_path: Path) -> None:
    paths = []
    for name, y in (("old", np.random.default_rng(1).permutation(BINARY)), ("new", BINARY)):
        model = WorkflowClassifier(**settings, business={**DEAR, "optimise": True})
        paths.append(model.fit(X, pd.Series(y, name="answer")).export(tmp_path / name).path)
    comparison = compare_packages(*paths, X.assign(answer=BINARY))
    costs = Costs(((0.0, 1.0), (9.0, 0.0)))
    paid = [
        costs.of_rows((BINARY == "yes").astype(int), (load(p).predict(X) == "yes").astype(int)).mean() for p in paths
    ]
    assert comparison.metric == "cost per row"
    assert (comparison.old.score, comparison.new.score) == pytest.approx(tuple(paid))
    assert comparison.gain == pytest.approx(paid[0] - paid[1])
