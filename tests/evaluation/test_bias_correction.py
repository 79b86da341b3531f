from __future__ import annotations

import json

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import bias_corrected, blend
from automl_wf.exceptions import InvalidInput


def best_single(scoring):
    """A choice of the one best prediction."""

    def select(predictions, y, weight, group):
        scores = [scoring(y, p, weight, group) for p in predictions]
        return np.eye(len(predictions))[int(np.argmax(scores))]

    return select


def first(predictions, y, weight, group):
    return np.eye(len(predictions))[0]


def _proba(p):
    return np.column_stack([1 - p, p])


def _corrected(predictions, select, scoring, y, weight=None, group=None, **given):
    settings = {"n_bootstraps": 60, "seed": 0, "budget": Budget()} | given
    return bias_corrected(predictions, select, scoring, y, weight, group, **settings)


def test_the_best_of_twenty_noise_models_is_no_better_than_chance():
    scoring = resolve_scoring("roc_auc", Task.BINARY)
    honest, optimistic = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 150)
        noise = [_proba(rng.uniform(size=150)) for _ in range(20)]
        result = _corrected(noise, best_single(scoring), scoring, y, n_bootstraps=40, seed=seed)
        honest.append(result.value)
        optimistic.append(result.best_of_n)
    assert np.mean(optimistic) > 0.57
    assert np.mean(honest) == pytest.approx(0.5, abs=0.02)


def test_interval_covers_the_truth_as_often_as_it_says():
    """One model, no choice: the score on new rows is known; without the correction 98.3 % are covered."""
    scoring = resolve_scoring("accuracy", Task.BINARY)
    n_hit, widths = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 400)
        codes = np.where(rng.uniform(size=400) < 0.8, y, 1 - y)
        result = _corrected([_proba(codes.astype(float))], first, scoring, y, n_bootstraps=80, seed=seed)
        low, high = result.interval
        n_hit += low <= 0.8 <= high
        widths.append(high - low)
    assert 0.90 <= n_hit / 100 <= 0.985
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 400), rel=0.08)


def test_without_a_choice_nothing_is_taken_off():
    scoring = resolve_scoring("neg_root_mean_squared_error", Task.REGRESSION)
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    result = _corrected([y + rng.normal(size=500)], first, scoring, y, n_bootstraps=200)
    assert result.value == pytest.approx(result.best_of_n, abs=0.01)
    assert result.n_bootstraps == 200
    assert result.n_skipped == 0


def test_long_data_is_corrected_from_a_subset():
    scoring = resolve_scoring("accuracy", Task.BINARY)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 20_000)
    candidates = [_proba((rng.uniform(size=20_000) < np.where(y, 0.7, 0.3)).astype(float)) for _ in range(3)]
    result = _corrected(candidates, best_single(scoring), scoring, y, max_rows=1000)
    assert result.n_rows == 1000
    low, high = result.interval
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 20_000), rel=0.5)
    assert result.value == pytest.approx(0.7, abs=0.03)


def test_groups_are_drawn_whole_and_a_group_drawn_twice_counts_as_two():
    scoring = resolve_scoring("mrr", Task.RANKING)
    group = np.tile(np.arange(30), 4)  # rows of a query are not adjacent
    y = (np.arange(120) < 30).astype(float)  # the first row of each query is the relevant one
    seen = []

    def select(predictions, y, weight, group):
        sizes = np.bincount(group)
        seen.append((len(y), len(np.unique(group)), y.sum()))
        assert (sizes[sizes > 0] == 4).all()
        return np.ones(1)

    result = _corrected([-np.arange(120.0)], select, scoring, y, None, group)
    assert result.value == 1.0
    assert set(seen[1:]) == {(120, 30, 30.0)}


def test_weights_go_with_their_rows():
    scoring = resolve_scoring("accuracy", Task.BINARY)
    y = np.tile([0, 1], 100)
    proba = _proba(np.where(np.arange(200) < 100, y, 1 - y).astype(float))  # right in the first half only
    weight = np.where(np.arange(200) < 100, 3.0, 1.0)
    result = _corrected([proba], first, scoring, y, weight, n_bootstraps=200)
    assert result.best_of_n == 0.75
    assert result.value == pytest.approx(0.75, abs=0.01)


def test_choice_sees_the_bag_and_the_score_the_rest():
    """A choice that remembers its rows is found out: it gains nothing out of the bag."""
    rng = np.random.default_rng(0)
    y = np.arange(60.0)
    scoring = resolve_scoring("neg_mean_squared_error", Task.REGRESSION)
    bags = []

    def select(predictions, y, weight, group):
        bags.append(len(np.unique(y)) / 60)
        return np.ones(1)

    _corrected([y + rng.normal(size=60)], select, scoring, y, n_bootstraps=100)
    assert np.mean(bags[1:]) == pytest.approx(1 - np.exp(-1), abs=0.02)


def test_bootstraps_without_a_score_are_drawn_again_and_counted():
    scoring = resolve_scoring("roc_auc", Task.BINARY)
    y = np.array([1] + [0] * 19)  # the one positive row is never in the bag and out of it
    result = _corrected([_proba(np.linspace(0, 1, 20))], first, scoring, y)
    assert (result.value, result.interval, result.n_bootstraps, result.n_skipped) == (None, None, 0, 60)
    assert result.best_of_n == 0.0
    y[1] = 1
    result = _corrected([_proba(np.linspace(1, 0, 20))], first, scoring, y)
    assert result.n_skipped > 0
    assert result.value == 1.0


def test_scorers_that_refuse_missing_classes_are_counted_too():
    rng = np.random.default_rng(0)
    y = np.r_[np.tile([0, 1], 20), 2, 2]
    scoring = resolve_scoring("roc_auc_ovo", Task.MULTICLASS)
    result = _corrected([rng.dirichlet(np.ones(3), 42)], first, scoring, y, n_bootstraps=15)
    assert result.n_skipped > 0
    assert result.n_bootstraps > 0


def test_budget_stops_it_and_the_count_is_stated():
    scoring = resolve_scoring("accuracy", Task.BINARY)
    y = np.tile([0, 1], 50)
    result = _corrected([_proba(y * 0.8)], first, scoring, y, budget=Budget(0.0))
    assert (result.value, result.n_bootstraps, result.best_of_n) == (None, 0, 1.0)


def test_few_bootstraps_give_a_wide_interval_and_one_gives_nothing():
    scoring = resolve_scoring("roc_auc", Task.BINARY)
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 200), _proba(rng.uniform(size=200))
    few, many = (_corrected([p], first, scoring, y, n_bootstraps=n) for n in (4, 200))
    width = many.interval[1] - many.interval[0]
    assert few.interval[0] < few.value < few.interval[1]
    assert few.interval[1] - few.interval[0] < 4 * width
    one = _corrected([p], first, scoring, y, n_bootstraps=1)
    assert (one.value, one.interval, one.n_bootstraps) == (None, None, 1)
    for result in (few, many, one):
        json.dumps(result.to_dict(), allow_nan=False)


def test_same_seed_same_score():
    scoring = resolve_scoring("roc_auc", Task.BINARY)
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 100), _proba(rng.uniform(size=100))
    one, two, other = (_corrected([p], first, scoring, y, seed=seed) for seed in (1, 1, 2))
    assert one == two != other


def test_what_was_chosen_need_not_be_chosen_again():
    scoring = resolve_scoring("accuracy", Task.BINARY)
    y = np.tile([0, 1], 50)
    predictions = [_proba(y * 0.8), _proba(0.8 - y * 0.8)]
    result = _corrected(predictions, best_single(scoring), scoring, y, chosen=np.array([0.0, 1.0]))
    assert result.best_of_n == 0.0


def test_blend_is_the_weighted_mean():
    one, two = np.array([1.0, 2.0]), np.array([3.0, 6.0])
    np.testing.assert_allclose(blend([one, two, one * np.nan], np.array([0.25, 0.75, 0.0])), [2.5, 5.0])


def test_predictions_that_are_no_numbers_are_not_hidden():
    scoring = resolve_scoring("r2", Task.REGRESSION)
    with pytest.raises(InvalidInput, match="not a number"):
        _corrected([np.full(10, np.nan)], first, scoring, np.arange(10.0))
