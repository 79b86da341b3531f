"""Costs by hand: thresholds, expected costs, decisions and the order of classes."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.metrics import TIE, cost_metric, cost_scoring, decide
from automl_wf.core.tasks import Task


@pytest.mark.parametrize(
    ("matrix", "threshold"),
    [
        (((0, 1), (1, 0)), 0.5),
        (((0, 1), (9, 0)), 0.1),
        (((0, 5), (1, 0)), 5 / 6),
        # Being right earns: targeting a row of class 1 wins 19, of class 0 loses 1.
        (((0, 1), (0, -19)), 0.05),
        # What is the same whatever is decided does not matter.
        (((7, 8), (3 + 9, 3)), 0.1),
    ],
)
def test_elkans_threshold_and_the_least_expected_cost_agree(matrix: tuple, threshold: float) -> None:
    costs = Costs.of(matrix)
    assert costs.threshold == pytest.approx(threshold)
    assert costs.rule == costs.threshold
    p1 = np.linspace(0, 1, 401)
    p1 = p1[np.abs(p1 - threshold) > 1e-6]
    proba = np.column_stack([1 - p1, p1])
    np.testing.assert_array_equal(decide(proba, costs.threshold), decide(proba, costs.scaled()))
    np.testing.assert_array_equal(decide(proba, costs.scaled()), costs.expected(proba).argmin(axis=1))


def test_scaled_costs_lead_to_the_same_decisions() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.uniform(1, 5000, (4, 4))
    np.fill_diagonal(matrix, rng.uniform(-900, 1, 4))
    costs, proba = Costs.of(matrix), rng.dirichlet(np.ones(4), 500)
    assert costs.rule == costs.scaled()
    assert np.max(costs.scaled().array) == 1.0
    assert costs.scaled().array.diagonal().tolist() == [0.0] * 4
    np.testing.assert_array_equal(decide(proba, costs.scaled()), (proba @ matrix).argmin(axis=1))
    assert len(np.unique(decide(proba, costs.scaled()))) > 2


def test_the_first_class_within_the_tie_is_decided_on() -> None:
    equal = Costs.of(1 - np.eye(3))
    third = np.full((1, 3), 1 / 3)
    for step, code in ((0.5, 0), (0.999, 0), (1.001, 2)):
        proba = third.copy()
        proba[0, 2] += step * TIE
        assert decide(proba, equal).tolist() == [code]


def test_costs_of_rows_and_classes_in_the_opposite_order() -> None:
    costs = Costs(((0.0, 1.0), (5.0, -2.0)))
    y, codes = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert costs.of_rows(y, codes).tolist() == [0.0, 1.0, 5.0, -2.0]
    assert costs.reversed().matrix == ((-2.0, 5.0), (1.0, 0.0))
    np.testing.assert_array_equal(costs.reversed().of_rows(1 - y, 1 - codes), costs.of_rows(y, codes))


def test_unit_costs_by_hand_and_the_quantile_that_costs_least() -> None:
    costs = UnitCosts(over=1.0, under=3.0)
    assert costs.of_rows(np.array([10.0, 10.0, 10.0]), np.array([12.0, 10.0, 9.0])).tolist() == [2.0, 0.0, 3.0]
    assert costs.level == 0.75
    y = np.random.default_rng(0).normal(size=4001)
    grid = np.linspace(-2, 2, 401)
    means = [costs.of_rows(y, np.full(len(y), v)).mean() for v in grid]
    assert grid[int(np.argmin(means))] == pytest.approx(np.quantile(y, 0.75), abs=0.011)


def test_values_are_scored_once_they_are_shifted_without_praising_themselves() -> None:
    rng = np.random.default_rng(0)
    costs, y = UnitCosts(over=1.0, under=4.0), rng.normal(size=20_000)
    value = np.zeros(len(y))
    final = cost_scoring(costs, Task.REGRESSION, is_final=True)
    scoring = cost_scoring(costs, Task.REGRESSION)
    assert final(y, value) == pytest.approx(-costs.of_rows(y, value).mean())
    best = -costs.of_rows(y, np.full(len(y), np.quantile(y, 0.8))).mean()
    assert scoring(y, value) == pytest.approx(best, rel=1e-3)
    assert scoring(y, value + 5.0) == pytest.approx(scoring(y, value))
    # Four rows cannot look better than they are: on average the score is below the best shift's on these rows.
    few = [
        scoring(part, np.zeros(4)) + costs.of_rows(part, np.full(4, np.quantile(y, 0.8))).mean()
        for part in y.reshape(-1, 4)
    ]
    assert np.mean(few) < 0
    weight = rng.integers(1, 3, len(y)).astype(float)
    assert scoring(y, value, weight) == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize("pos_index", [0, 1])
def test_the_cost_as_a_score_is_the_mean_cost_of_the_least_costly_decisions(pos_index: int) -> None:
    rng = np.random.default_rng(1)
    proba = rng.dirichlet([1, 1], 300)
    y, weight = (rng.random(300) < proba[:, 1]).astype(int), rng.uniform(0.5, 2, 300)
    costs = Costs(((0.0, 1.0), (4.0, -1.0)))
    scoring = cost_scoring(costs, Task.BINARY, pos_index)
    expected = np.average(costs.of_rows(y, (proba[:, 1] >= costs.threshold).astype(int)), weights=weight)
    assert scoring(y, proba, weight) == pytest.approx(-expected)
    assert scoring.natural(scoring(y, proba, weight)) == pytest.approx(expected)
    always = np.average(costs.of_rows(y, np.ones(300, dtype=int)), weights=weight)
    assert scoring(y, proba, weight, threshold=0.0) == pytest.approx(-always)


def test_the_cost_of_many_draws_is_that_of_each() -> None:
    rng = np.random.default_rng(2)
    costs, y, codes = Costs.of(1.0 - np.eye(3)), rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    draws = rng.poisson(1.0, (5, 50)).astype(float)
    metric = cost_metric(costs, Task.MULTICLASS)
    together = metric.evaluate(y, codes, draws)
    np.testing.assert_allclose(together, [metric.evaluate(y, codes, w) for w in draws])
    assert float(metric.evaluate(y, codes)) == pytest.approx(np.mean(y != codes))
