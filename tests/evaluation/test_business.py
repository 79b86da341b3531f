"""Lift, profit, money, percentages and what a ranking shows, against values worked by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from automl_wf.core.business import Business
from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.criteria import NOT_BEFORE_EXPORT, state_criteria
from automl_wf.core.metrics import cost_scoring, mean_of_top, resolve_scoring, top_rows
from automl_wf.core.tasks import Task
from automl_wf.evaluation import HonestScore, evaluate
from automl_wf.evaluation.business import (
    N_POINTS,
    business_value,
    cost_savings,
    cost_table,
    dollar_impact,
    exposure,
    kpi_value,
    lift_chart,
    percentage_error,
    profit_curve,
    revenue_impact,
    top_rate,
)
from automl_wf.evaluation.scores import Held

LABELS = ("no", "yes")
#: Falls by tenths; the positives are at places 1, 2, 4 and 8 of ten.
P1 = np.arange(0.95, 0.0, -0.1)
Y = np.isin(np.arange(1, 11), [1, 2, 4, 8]).astype(int)


def binary(p1: Any = P1, y: Any = Y, threshold: float | None = None, weight: Any = None) -> Held:
    p1 = np.asarray(p1, dtype=float)
    return Held(Task.BINARY, np.asarray(y), np.column_stack([1 - p1, p1]), weight, None, threshold)


# Lift -----------------------------------------------------------------------------------------------------------------


def test_gains_and_lift_of_ten_rows_by_hand() -> None:
    chart = lift_chart(binary(), LABELS)
    assert chart is not None
    assert chart.label == "yes"
    assert [d.gain for d in chart.deciles] == pytest.approx([0.25, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 1, 1, 1])
    assert [d.lift for d in chart.deciles][:4] == pytest.approx([2.5, 2.5, 5 / 3, 1.875])
    assert [d.rate for d in chart.deciles][:4] == pytest.approx([1, 1, 0, 1])
    assert [d.rate_lift for d in chart.deciles][:3] == pytest.approx([2.5, 2.5, 0])
    assert chart.deciles[-1].lift == pytest.approx(1.0)
    assert len(chart.share) == len(chart.gain) == N_POINTS
    assert (chart.gain[0], chart.gain[10], chart.gain[15]) == pytest.approx((0.0, 0.25, 0.375))


def test_the_area_under_the_gains_follows_from_the_roc_area() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    p1 = np.clip(0.5 + 0.2 * (y - 0.5) + rng.normal(0, 0.3, 400), 0, 1).round(1)
    chart = lift_chart(binary(p1, y), LABELS)
    assert chart is not None
    # A share of positives comes from the others by one affine map: area = share / 2 + (1 - share) · AUC.
    assert chart.area == pytest.approx(y.mean() / 2 + (1 - y.mean()) * roc_auc_score(y, p1))


def test_rows_of_equal_probability_come_in_every_order() -> None:
    chart = lift_chart(binary(np.full(10, 0.3)), LABELS)
    assert chart is not None
    assert [d.lift for d in chart.deciles] == pytest.approx([1.0] * 10)
    assert chart.area == pytest.approx(0.5)
    assert lift_chart(binary(y=np.zeros(10, dtype=int)), LABELS) is None


def test_whole_weights_are_repeated_rows_in_curves() -> None:
    weight = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1, 1])
    costs = Costs(((0.0, 1.0), (4.0, -2.0)))
    rows = np.repeat(np.arange(10), weight)
    weighted, repeated = binary(weight=weight.astype(float), threshold=0.5), binary(P1[rows], Y[rows], threshold=0.5)
    assert lift_chart(weighted, LABELS).gain == pytest.approx(lift_chart(repeated, LABELS).gain)  # type: ignore[union-attr]
    one, other = (profit_curve(h, costs, LABELS) for h in (weighted, repeated))
    assert one is not None
    assert other is not None
    assert one.profit == pytest.approx(other.profit)
    assert one.chosen.profit == pytest.approx(other.chosen.profit)
    assert (
        cost_table(weighted, None, costs, LABELS, True).total == cost_table(repeated, None, costs, LABELS, True).total
    )


# Costs and profit -----------------------------------------------------------------------------------------------------

COSTS = Costs(((0.0, 1.0), (3.0, -2.0)))


def test_the_cost_table_by_hand() -> None:
    # From 0.7 on: places 1, 2, 3 → two hits and one alarm; two positives are missed.
    prior = binary(np.full(10, 0.4), threshold=COSTS.threshold)
    table = cost_table(binary(threshold=0.7), prior, COSTS, LABELS, True)
    assert table.lost == ((0.0, 1.0), (6.0, -4.0))
    assert (table.total, table.per_row) == (3.0, 0.3)
    # The cheapest constant answer is yes: six alarms, four hits. 1 / (1 + 5) is what the costs imply.
    assert (table.baseline_total, table.saved) == (6 - 8, -5.0)
    assert table.implied_threshold == pytest.approx(1 / 6)
    assert table.threshold == 0.7


def test_the_profit_curve_by_hand() -> None:
    curve = profit_curve(binary(threshold=0.7), COSTS, LABELS)
    assert curve is not None
    # Nobody: four misses. Everybody: six alarms and four hits.
    assert (curve.profit[0], curve.profit[-1]) == (-12.0, 2.0)
    # A hit moves the profit by 5, an alarm by −1: the best ends at place 8.
    by_place = -12 + np.cumsum(np.where(Y == 1, 5, -1))
    assert curve.profit[10::10] == pytest.approx(by_place)
    assert (curve.best.share, curve.best.profit, curve.best.threshold) == pytest.approx((0.8, 4.0, P1[7]))
    assert (curve.chosen.share, curve.chosen.profit, curve.chosen.threshold) == pytest.approx((0.3, -3.0, 0.7))
    assert curve.threshold[0] is None
    assert curve.threshold[30] == pytest.approx(P1[2])
    assert len(curve.profit) == N_POINTS
    assert curve.chosen.profit == -cost_table(binary(threshold=0.7), None, COSTS, LABELS, True).total


def test_the_first_class_may_be_the_positive_one() -> None:
    turned = Held(Task.BINARY, 1 - Y, binary().prediction[:, ::-1], None, None, 0.3)
    curve = profit_curve(turned, COSTS.reversed(), ("yes", "no"), pos_index=0)
    straight = profit_curve(binary(threshold=0.7), COSTS, LABELS)
    assert curve is not None
    assert straight is not None
    assert curve.label == "yes"
    assert curve.profit == pytest.approx(straight.profit)
    assert curve.chosen == straight.chosen or curve.chosen.profit == straight.chosen.profit
    assert lift_chart(turned, ("yes", "no"), 0).gain == lift_chart(binary(), LABELS).gain  # type: ignore[union-attr]


def test_three_classes_cost_what_their_cells_say() -> None:
    costs = Costs(((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (9.0, 9.0, 0.0)))
    proba = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.95, 0.03, 0.02]])
    held = Held(Task.MULTICLASS, np.array([0, 1, 2]), proba, threshold=costs.rule)
    # The third class is decided on wherever it is at all likely: 1, 1 and then a miss of 9.
    table = cost_table(held, None, costs, ("a", "b", "c"), True)
    assert (table.total, table.implied_threshold, table.threshold) == (11.0, None, None)
    assert business_value(held, None, Business(Task.MULTICLASS, costs=costs), ("a", "b", "c")).profit_curve is None


def test_revenue_and_savings_are_the_workflows_formulas() -> None:
    held, prior = binary(threshold=0.7), binary(np.full(10, 0.4))
    revenue = revenue_impact(held, prior, 25.0, 1)
    assert (revenue.value, revenue.baseline, revenue.n_found) == (50.0, 0.0, 2.0)
    business = Business(Task.BINARY, cost_per_error=10.0, baseline_errors=7.0, n_rows=10)
    savings = cost_savings(held, prior, business)
    assert savings is not None
    # One alarm and two misses instead of seven errors.
    assert (savings.value, savings.errors, savings.baseline_errors, savings.against) == (40.0, 3.0, 7.0, "today")
    # On half as many rows half as many errors are today's.
    halved = cost_savings(held, prior, replace(business, n_rows=20))
    assert halved is not None
    assert halved.baseline_errors == 3.5
    against = cost_savings(held, prior, replace(business, baseline_errors=None))
    assert against is not None
    assert (against.value, against.baseline_errors, against.against) == (10.0, 4.0, "the baseline")
    assert cost_savings(held, None, replace(business, baseline_errors=None)) is None


def test_a_kpi_speaks_the_users_words_and_may_fail() -> None:
    seen: list[Any] = []

    def hits(predictions: Any, actuals: Any) -> float:
        seen.extend([predictions, actuals])
        return float(np.sum((predictions == "yes") & (actuals == "yes")))

    found = kpi_value("hits", hits, binary(threshold=0.7), binary(np.full(10, 0.4)), LABELS)
    assert (found.value, found.baseline, found.note) == (2.0, 0.0, "")
    assert set(seen[0]) == {"no", "yes"}
    failed = kpi_value("bad", lambda p, a: 1 / 0, binary(), None, LABELS)
    assert failed.value is None
    assert failed.note == "not run: ZeroDivisionError: division by zero"
    assert "not defined" in kpi_value("nan", lambda p, a: math.nan, binary(), None, LABELS).note
    values = Held(Task.REGRESSION, np.array([1.0, 2.0]), np.array([1.5, 2.0]))
    assert kpi_value("sum", lambda p, a: float((p - a).sum()), values, None, ()).value == 0.5


# Values ---------------------------------------------------------------------------------------------------------------


def test_dollar_impact_by_hand() -> None:
    held = Held(Task.REGRESSION, np.array([10.0, 10.0, 10.0]), np.array([12.0, 10.0, 9.0]))
    mean = replace(held, prediction=np.full(3, 11.0))
    impact = dollar_impact(held, mean, UnitCosts(over=2.0, under=5.0))
    assert (impact.over, impact.under, impact.total, impact.per_row) == (4.0, 5.0, 9.0, 3.0)
    assert (impact.baseline_total, impact.baseline_per_row, impact.saved) == (6.0, 2.0, -3.0)
    weighted = dollar_impact(replace(held, weight=np.array([1.0, 1.0, 3.0])), None, UnitCosts(2.0, 5.0))
    assert (weighted.total, weighted.per_row, weighted.saved) == (19.0, 3.8, None)


def test_percentage_errors_by_hand() -> None:
    held = Held(Task.REGRESSION, np.array([10.0, -10.0, 100.0, 0.0]), np.array([12.0, -9.0, 70.0, 5.0]))
    # +20 %, +10 % (above), −30 %; the last has none.
    found = percentage_error(held)
    assert (found.median, found.mean, found.n_left_out) == (pytest.approx(0.1), pytest.approx(0.0), 1)
    nothing = percentage_error(Held(Task.REGRESSION, np.zeros(2), np.ones(2)))
    assert (nothing.median, nothing.mean, nothing.n_left_out) == (None, None, 2)


# Ranking --------------------------------------------------------------------------------------------------------------

#: Two queries of three rows; one place is looked at.
QUERY = np.array([0, 0, 0, 1, 1, 1])
SCORE = np.array([3.0, 2.0, 1.0, 1.0, 2.0, 3.0])


def ranked(score: Any = SCORE) -> Held:
    return Held(Task.RANKING, np.array([2.0, 0, 0, 0, 1, 2]), np.asarray(score), None, QUERY)


def test_coverage_diversity_and_novelty_by_hand() -> None:
    item = np.array([7, 8, 9, 7, 8, 5])
    # Shown: 7, then 5. Items: 5, 7, 8, 9. Queries with them: 1, 2, 2, 1 of 2.
    found = exposure(ranked(), item, k=1)
    assert (found.k, found.n_items, found.coverage) == (1, 4, 0.5)
    assert found.diversity == pytest.approx(math.log(2) / math.log(4))
    assert found.novelty == pytest.approx((0.0 + 1.0) / 2)
    everything = exposure(ranked(), item, k=3)
    assert everything.coverage == 1.0
    # 7 and 8 twice, 5 and 9 once.
    assert everything.diversity == pytest.approx((2 / 3 * math.log(3) + 1 / 3 * math.log(6)) / math.log(4))
    same = exposure(ranked(), np.zeros(6, dtype=int), k=2)
    assert (same.coverage, same.diversity, same.novelty) == (1.0, 0.0, 0.0)


def test_rates_of_the_rows_shown_by_hand() -> None:
    clicks = np.array([1.0, 0, 0, 0, 1, 0])
    found = top_rate(ranked(), clicks, k=1)
    assert found is not None
    # Shown: a click and none; by chance a third of each.
    assert (found.value, found.by_chance, found.gain) == pytest.approx((0.5, 1 / 3, 1 / 6))
    two = top_rate(ranked(), clicks, k=2)
    assert two is not None
    assert (two.value, two.by_chance) == pytest.approx((0.5, 1 / 3))
    stars = np.array([4.0, np.nan, 1.0, np.nan, np.nan, np.nan])
    known = top_rate(ranked(), stars, k=1)
    assert known is not None
    assert (known.value, known.by_chance) == pytest.approx((4.0, 2.5))
    assert top_rate(ranked(), np.full(6, np.nan)) is None


def test_equal_scores_show_what_is_expected_of_them() -> None:
    assert mean_of_top(np.array([1.0, 0, 0, 0, 1, 0]), np.zeros(6), QUERY, 1) == pytest.approx(1 / 3)
    assert top_rows(np.zeros(6), QUERY, 2).tolist() == [True, True, False, True, True, False]
    assert top_rows(SCORE, QUERY, 1).tolist() == [True, False, False, False, False, True]


# All of it ------------------------------------------------------------------------------------------------------------


def given(task: Task, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    if task is Task.REGRESSION:
        y = rng.normal(10, 2, 200)
        facts = {"y": y, "prediction": y + rng.normal(size=200), "baseline_prediction": np.full(200, y.mean())}
    elif task is Task.RANKING:
        y = rng.integers(0, 3, 200).astype(float)
        facts = {"y": y, "prediction": y + rng.normal(size=200), "baseline_prediction": np.zeros(200)}
        facts["group"] = np.arange(200) // 10
    else:
        n = 2 if task is Task.BINARY else 3
        y = rng.integers(0, n, 200)
        proba = rng.dirichlet(np.ones(n), 200) + 0.4 * np.eye(n)[y]
        facts = {"y": y, "prediction": proba / proba.sum(axis=1, keepdims=True)}
        facts["baseline_prediction"] = np.full((200, n), 1 / n)
        facts["classes"] = np.array(["a", "b", "c"][:n], dtype=object)
    scoring = resolve_scoring("auto", task)
    return {"task": task, "scoring": scoring, "n_bootstraps": 20, **facts, **changes}


@pytest.mark.parametrize("task", list(Task))
def test_without_business_nothing_of_money_is_there(task: Task) -> None:
    facts = evaluate(**given(task)).to_dict()
    assert facts["business"] is None
    assert (facts["lift_chart"] is not None) == (task is Task.BINARY)
    assert (facts["percentage_error"] is not None) == (task is Task.REGRESSION)
    assert "cost" not in [row["name"] for row in facts["scores"]]


def test_the_cost_per_row_stands_among_the_scores_with_its_interval() -> None:
    costs = Costs(((0.0, 1.0), (4.0, 0.0)))
    business = Business(Task.BINARY, costs=costs, sets_decision=True, n_rows=200)
    facts = evaluate(**given(Task.BINARY, business=business, threshold=costs.threshold))
    row = facts.score("cost")
    assert not row.is_primary
    assert facts.primary == "roc_auc"
    assert facts.business is not None
    assert facts.business.cost_matrix is not None
    assert row.value == pytest.approx(facts.business.cost_matrix.per_row)
    assert row.baseline == pytest.approx(facts.business.cost_matrix.baseline_per_row)
    # Half of each class: saying yes to all costs 0.5 a row, and that is what the baseline does.
    y = given(Task.BINARY)["y"]
    assert row.baseline == pytest.approx(1 - y.mean())
    assert row.low is not None
    assert row.low < row.value < row.high
    optimised = evaluate(
        **given(Task.BINARY, business=business, threshold=0.2, scoring=cost_scoring(costs, Task.BINARY))
    )
    assert optimised.primary == "cost"
    assert json.loads(json.dumps(optimised.to_dict(), allow_nan=False)) == optimised.to_dict()


@pytest.mark.parametrize("pos_index", [0, 1])
def test_the_cost_does_not_depend_on_which_class_is_called_positive(pos_index: int) -> None:
    costs = Costs(((0.0, 1.0), (4.0, -1.0)))
    business = Business(Task.BINARY, costs=costs, sets_decision=True, n_rows=200)
    scoring = resolve_scoring("roc_auc", Task.BINARY, pos_index=pos_index)
    facts = evaluate(**given(Task.BINARY, business=business, threshold=costs.threshold, scoring=scoring))
    assert facts.business is not None
    assert facts.business.cost_matrix is not None
    assert facts.score("cost").value == pytest.approx(facts.business.cost_matrix.per_row)


def test_everything_of_a_ranking() -> None:
    rng = np.random.default_rng(1)
    columns = {"item": rng.integers(0, 30, 200), "clicks": rng.integers(0, 2, 200).astype(float)}
    business = Business(Task.RANKING, columns={"item": "sku", "clicks": "c"}, kpis={"mae": lambda p, a: 0.5})
    facts = evaluate(**given(Task.RANKING, business=business, columns=columns)).to_dict()["business"]
    assert 0 < facts["exposure"]["coverage"] <= 1
    assert facts["click_through_rate"]["value"] == pytest.approx(facts["click_through_rate"]["by_chance"], abs=1e-12)
    assert facts["conversion_impact"] is None
    assert facts["custom_kpis"] == [{"name": "mae", "value": 0.5, "baseline": 0.5, "note": ""}]


def test_kpis_of_classes() -> None:
    business = Business(Task.MULTICLASS, kpis={"accuracy": accuracy_score})
    facts = evaluate(**given(Task.MULTICLASS, business=business))
    assert facts.business is not None
    assert facts.business.custom_kpis[0].value == pytest.approx(facts.score("accuracy").value)
    assert facts.business.custom_kpis[0].baseline == pytest.approx(facts.score("accuracy").baseline)


def test_criteria_are_judged_by_the_honest_interval() -> None:
    stated = state_criteria({"score": 0.9, "max_predict_time": 1e-3, "max_size": 5}, "ROC AUC", True)
    honest = HonestScore(0.93, (0.91, 0.95), 100, 0.96)
    facts = evaluate(**given(Task.BINARY, criteria=stated, honest=honest, seconds_per_row=2e-3))
    verdicts = {c.name: (c.measured, c.verdict) for c in facts.criteria}
    assert verdicts == {
        "score": (0.93, "met"),
        "max_predict_time": (2e-3, "not met"),
        "max_size": (None, NOT_BEFORE_EXPORT),
        "beats_baseline": (0.93, "met"),
    }
    assert facts.criteria[-1].wanted == 0.5
    wide = evaluate(**given(Task.BINARY, criteria=stated, honest=HonestScore(0.93, (0.85, 0.97), 100, 0.96)))
    assert wide.criteria[0].verdict == "undecided at this sample size"


def test_a_loss_is_judged_as_a_loss() -> None:
    stated = state_criteria({"score": 2.0}, "RMSE", False)
    honest = HonestScore(-1.5, (-1.8, -1.2), 100, -1.4)
    criterion = evaluate(**given(Task.REGRESSION, criteria=stated, honest=honest)).criteria[0]
    assert (criterion.measured, criterion.interval, criterion.verdict) == (1.5, (1.2, 1.8), "met")
    without = evaluate(**given(Task.REGRESSION, criteria=stated)).criteria[0]
    assert without.verdict == "met"
    assert without.interval is not None
