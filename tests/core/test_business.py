"""What `business=` may hold, the costs that follow from it, and what is optimised then."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from automl_wf.core.business import (
    LostKpi,
    apply_business,
    business_from,
    check_business,
    read_business,
    storable_business,
    storable_scoring,
    take_columns,
)
from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter, WorkflowError

NO_YES = np.array(["no", "yes"], dtype=object)
ABC = np.array(["a", "b", "c"], dtype=object)


def matrix_of(given: dict, classes: Any = NO_YES, positive: int = 1) -> list:
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    business = read_business(given, task, classes, positive, 100)
    assert business is not None
    assert isinstance(business.costs, Costs)
    return [list(row) for row in business.costs.matrix]


def test_nothing_given_is_nothing() -> None:
    assert read_business(None, Task.BINARY, NO_YES, 1, 10) is None
    assert read_business({}, Task.BINARY, NO_YES, 1, 10) is None
    assert business_from(None, Task.BINARY) is None


def test_costs_of_two_classes_by_hand() -> None:
    assert matrix_of({"cost_per_false_positive": 2, "cost_per_false_negative": 9}) == [[0, 2], [9, 0]]
    # The positive class is the first one: its rows that are missed cost 9.
    assert matrix_of({"cost_per_false_positive": 2, "cost_per_false_negative": 9}, positive=0) == [[0, 9], [2, 0]]
    assert matrix_of({"cost_per_error": 3, "revenue_per_unit": 4}) == [[0, 3], [3, -4]]
    assert matrix_of({"cost_per_error": 3, "cost_per_false_negative": 5}) == [[0, 3], [5, 0]]
    # A matrix says all there is; the revenue is reported beside it.
    assert matrix_of({"cost_matrix": [[0, 1], [2, -1]], "revenue_per_unit": 7}) == [[0, 1], [2, -1]]


def test_revenue_alone_decides_nothing() -> None:
    business = read_business({"revenue_per_unit": 5}, Task.BINARY, NO_YES, 1, 10)
    assert business is not None
    assert business.costs is None
    assert business.revenue_per_unit == 5.0


def test_a_matrix_by_label_is_in_the_order_of_the_classes() -> None:
    given = {"c": {"a": 9}, "a": {"b": 1, "c": 2}, "b": {"a": 3}}
    expected = [[0, 1, 2], [3, 0, 0], [9, 0, 0]]
    assert matrix_of({"cost_matrix": given}, ABC) == expected
    frame = pd.DataFrame(given).T.fillna(0.0).reindex(index=list("cab"), columns=list("bca")).fillna(0.0)
    assert matrix_of({"cost_matrix": frame}, ABC) == expected
    assert matrix_of({"cost_matrix": np.array(expected)}, ABC) == expected
    assert matrix_of({"cost_per_error": 2}, ABC) == [[0, 2, 2], [2, 0, 2], [2, 2, 0]]
    assert matrix_of({"cost_matrix": {True: {False: 5}, False: {True: 1}}}, np.array([False, True])) == [[0, 1], [5, 0]]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"revenue": 3}, r"Got 'revenue' instead. Did you mean 'revenue_per_unit'"),
        ({"optimize": "cost"}, "Did you mean 'optimise'"),
        ({"cost_per_error": -1}, "'cost_per_error' of the 'business' parameter must be a number of at least 0. Got -1"),
        ({"cost_per_error": "much"}, "'cost_per_error'"),
        ({"currency": 3}, "'currency'"),
        ({"custom_kpis": [len]}, "a mapping of name to function"),
        ({"custom_kpis": {"a": 3}}, "'a' is none"),
        ({"custom_kpis": {"cost": len}}, "other than 'cost'"),
        ({"optimise": "gain"}, "'optimise' .* one of 'cost'. Got 'gain'"),
        ({"optimise": "gain", "custom_kpis": {"hits": len}}, "one of 'cost', 'hits'. Got 'gain'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_target_is_known(given: dict, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        check_business(given)


@pytest.mark.parametrize(
    ("given", "task", "match"),
    [
        ({"cost_per_false_positive": 1}, Task.MULTICLASS, "needs two classes; this is multiclass. Give a cost_matrix"),
        ({"cost_per_error": 1}, Task.REGRESSION, "needs classes; this is regression"),
        ({"revenue_per_unit": 1}, Task.REGRESSION, "Give cost_per_unit_over"),
        ({"cost_per_unit_over": 1}, Task.BINARY, "needs a regression; this is binary"),
        ({"clicks": "c"}, Task.REGRESSION, "needs a ranking; this is regression"),
        ({"cost_matrix": [[0, 1, 1], [1, 0, 1], [1, 1, 0]]}, Task.BINARY, r"2 rows .* in the order \['no', 'yes'\]"),
        ({"cost_matrix": {"no": {"maybe": 1}}}, Task.BINARY, r"about the classes \['no', 'yes'\]. Got 'maybe'"),
        ({"cost_matrix": {"no": 1}}, Task.BINARY, "a mapping {true: {predicted: cost}}"),
        ({"cost_matrix": {"no": {"yes": "dear"}}}, Task.BINARY, "must be numbers. Got 'dear'"),
        ({"cost_matrix": [["a", "b"], ["c", "d"]]}, Task.BINARY, "numbers"),
        ({"cost_matrix": [[0, np.inf], [1, 0]]}, Task.BINARY, "finite"),
        ({"cost_matrix": [[2, 1], [1, 0]]}, Task.BINARY, r"being right must cost less .* \[2.0, 1.0\] .* 'no'"),
        ({"cost_per_false_negative": 5}, Task.BINARY, "Give both cost_per_false_positive and cost_per_false_negative"),
        ({"cost_matrix": [[0, 1], [1, 0]], "cost_per_false_positive": 1}, Task.BINARY, "give one of them"),
        ({"optimise": "cost"}, Task.BINARY, "needs costs"),
        ({"optimise": True, "cost_per_unit_over": 2}, Task.REGRESSION, "needs both"),
    ],
)
def test_what_does_not_fit_the_target_is_refused(given: dict, task: Task, match: str) -> None:
    classes = {Task.BINARY: NO_YES, Task.MULTICLASS: ABC}.get(task)
    with pytest.raises(InvalidParameter, match=match):
        read_business(given, task, classes, 1, 10)


def apply(given: dict, scoring: str = "auto", task: Task = Task.BINARY, positive: int = 1) -> Any:
    classes = {Task.BINARY: NO_YES, Task.MULTICLASS: ABC}.get(task)
    business = read_business(given, task, classes, positive, 10)
    assert business is not None
    usual = resolve_scoring(scoring, task, classes, positive)
    return apply_business(business, usual, scoring == "auto", classes, positive)


COSTS = {"cost_per_false_positive": 1, "cost_per_false_negative": 9}


def test_costs_decide_while_a_proper_score_is_optimised() -> None:
    business, scoring = apply(COSTS)
    assert (scoring.name, scoring.rule, business.sets_decision, business.rule) == ("roc_auc", 0.1, True, 0.1)
    _, by_loss = apply(COSTS, "neg_log_loss")
    assert (by_loss.name, by_loss.rule) == ("neg_log_loss", 0.1)
    business, by_label = apply(COSTS, "f1")
    assert (by_label.name, by_label.rule, business.sets_decision, business.rule) == ("f1", None, False, None)
    _, many = apply({"cost_per_error": 2}, task=Task.MULTICLASS)
    assert isinstance(many.rule, Costs)


def test_what_is_optimised_instead() -> None:
    for wish in (True, "cost"):
        _, scoring = apply({**COSTS, "optimise": wish})
        assert (scoring.name, scoring.needs, scoring.greater_is_better, scoring.rule) == ("cost", "label", False, 0.1)
        y, proba = np.array([0, 1]), np.array([[0.8, 0.2], [0.95, 0.05]])
        # From 0.1 on a row is called positive: one false positive (1), one false negative (9).
        assert scoring(y, proba) == -5.0
    _, flipped = apply({**COSTS, "optimise": True}, positive=0)
    # Class 0 is positive: calling the second row 0 is a false positive, and the first a hit.
    assert flipped(y, proba, threshold=0.5) == -0.5
    _, kpi = apply({"custom_kpis": {"hits": accuracy_score}, "optimise": "hits"})
    assert (kpi.name, kpi.greater_is_better) == ("hits", True)
    assert kpi(np.array([0, 1]), np.array([[0.8, 0.2], [0.3, 0.7]])) == 1.0
    _, regression = apply({"cost_per_unit_over": 1, "cost_per_unit_under": 3, "optimise": True}, task=Task.REGRESSION)
    assert regression.costs == UnitCosts(1.0, 3.0)
    # Residuals −1 and 1: each row is shifted by the other's residual, to errors of 2 above and 2 below.
    assert regression(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == -4.0


def test_two_wishes_at_once_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="Both scoring='f1' and business="):
        apply({**COSTS, "optimise": True}, "f1")


def test_facts_are_plain_and_can_be_read_again() -> None:
    given = {
        **COSTS,
        "currency": "EUR",
        "cost_per_error": 2,
        "baseline_errors": 8,
        "custom_kpis": {"h": accuracy_score},
    }
    business, _ = apply(given)
    facts = json.loads(json.dumps(business.to_dict()))
    again = business_from(facts, Task.BINARY)
    assert again is not None
    assert again.costs == business.costs
    assert (again.rule, again.baseline_errors, again.cost_per_error, again.n_rows) == (0.1, 8.0, 2.0, 10)
    assert facts["custom_kpis"] == ["h"]
    values, _ = apply({"cost_per_unit_over": 1, "cost_per_unit_under": 3}, task=Task.REGRESSION)
    assert business_from(values.to_dict(), Task.REGRESSION).costs == UnitCosts(1.0, 3.0)  # type: ignore[union-attr]


def test_a_lambda_is_a_finding_and_a_note_in_the_pickle() -> None:
    given = {"custom_kpis": {"named": accuracy_score, "lost": lambda p, a: 1.0}, "optimise": "lost"}
    business, scoring = apply(given)
    assert [f.code for f in business.findings] == ["kpi_not_pickled"]
    assert "lost" in business.findings[0].message
    assert "named" not in business.findings[0].message
    kept = pickle.loads(pickle.dumps((storable_business(given), business.storable(), storable_scoring(scoring))))
    assert kept[0]["custom_kpis"]["named"] is accuracy_score
    assert kept[0]["custom_kpis"]["lost"] == LostKpi("lost")
    with pytest.raises(WorkflowError, match="'lost' could not be pickled"):
        kept[2](np.array([0, 1]), np.eye(2))
    whole = {"custom_kpis": {"named": accuracy_score}}
    assert storable_business(whole) is whole
    assert storable_business(None) is None
    assert apply(whole)[0].findings == ()


def test_outcomes_are_taken_out_and_the_item_stays() -> None:
    X = pd.DataFrame({"x": [1, 2, 3], "sku": ["b", "a", None], "clicked": [True, False, True], "stars": [5, None, 1]})
    given = {"item": "sku", "clicks": "clicked", "satisfaction": "stars"}
    kept, columns = take_columns(X, given)
    assert list(kept.columns) == ["x", "sku"]
    assert columns["item"].tolist() == [0, 1, 2]
    assert columns["clicks"].tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_array_equal(columns["satisfaction"], [5.0, np.nan, 1.0])
    assert take_columns(X, None)[0] is X
    assert set(take_columns(X.drop(columns="stars"), given, is_needed=False)[1]) == {"item", "clicks"}
    with pytest.raises(InvalidParameter, match=r"a column 'stars' that X does not have\. It has"):
        take_columns(X.drop(columns="stars"), given)
    with pytest.raises(InvalidParameter, match="Only a DataFrame has names"):
        take_columns(X.to_numpy(), given)
    with pytest.raises(InvalidInput, match=r"'sku' .*clicks.* must hold numbers"):
        take_columns(X, {"clicks": "sku"})
