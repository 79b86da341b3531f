from __future__ import annotations

import json

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import Chosen, Units, bias_corrected, repeat_choice
from automl_wf.exceptions import InvalidInput
from automl_wf.model_selection.ensemble import combine, fit_strategy
from automl_wf.model_selection.postprocess import Postprocess, fit_postprocess


def best_single(scoring):
    """A choice of the one best prediction."""

    def select(predictions, y, weight, group):
        scores = [scoring(y, p, weight, group) for p in predictions]
        return Chosen(np.eye(len(predictions))[int(np.argmax(scores))])

    return select


def first(predictions, y, weight, group):
    return Chosen(np.eye(len(predictions))[0])


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
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 400)
        codes = np.where(rng.uniform(size=400) < 0.8, y, 1 - y)
        result = _corrected([_proba(codes.astype(float))], first, scoring, y, n_bootstraps=25, seed=seed)
        low, high = result.interval
        n_hit += low <= 0.8 <= high
        widths.append(high - low)
    assert 0.90 <= n_hit / 60 <= 0.985
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
    assert result.value == pytest.approx(0.7, abs=0.015)


def test_luck_on_long_data_shrinks_with_the_root_of_the_rows():
    """Of twenty coins the best of 16,000 throws is one standard error better than it is, not one of a tenth of them."""
    scoring = resolve_scoring("accuracy", Task.BINARY)
    gaps, errors = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 16_000)
        coins = [_proba(rng.integers(0, 2, 16_000).astype(float)) for _ in range(20)]
        given = {"max_rows": 1600, "n_bootstraps": 20, "seed": seed}
        result = _corrected(coins, best_single(scoring), scoring, y, **given)
        gaps.append(result.best_of_n - 0.5)
        errors.append(result.value - 0.5)
    assert np.mean(gaps) > 0.006
    assert np.mean(errors) == pytest.approx(0.0, abs=0.003)


def test_what_is_chosen_in_the_bag_counts_by_what_it_loses_outside():
    """A choice that is worse in every bag than on all rows, and no luckier there: by half of the difference."""
    scoring = resolve_scoring("accuracy", Task.BINARY)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200)
    uniform = rng.uniform(size=1200)
    right = [_proba(np.where(uniform < share, y, 1 - y).astype(float)) for share in (0.9, 0.8)]

    def select(predictions, y, weight, group):
        return Chosen(np.eye(2)[0 if weight is None else 1])

    result = _corrected(right, select, scoring, y, n_bootstraps=100)
    assert result.best_of_n == pytest.approx(0.9, abs=0.03)
    assert result.value == pytest.approx((scoring(y, right[0]) + scoring(y, right[1])) / 2.0, abs=0.01)


def test_weights_that_are_fitted_are_corrected_too():
    """Least squares on ten columns of noise: out of the bag alone, the correction would be half as much again."""
    scoring = resolve_scoring("neg_mean_squared_error", Task.REGRESSION)
    luck, error = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y, noise = rng.normal(size=150), rng.normal(size=(150, 10))

        def select(predictions, y, weight, group):
            root = np.sqrt(np.ones(len(y)) if weight is None else weight)
            X = np.column_stack(predictions)
            return Chosen(np.linalg.lstsq(root[:, None] * X, root * y, rcond=None)[0])

        result = _corrected(list(noise.T), select, scoring, y, n_bootstraps=50, seed=seed)
        weights = select(list(noise.T), y, None, None).weights
        truth = -(1.0 + float(weights @ weights))
        luck.append(result.best_of_n - truth)
        error.append(result.value - truth)
    assert abs(np.mean(error)) < 0.4 * np.mean(luck)


def test_groups_are_drawn_whole_and_a_group_drawn_twice_counts_as_two():
    scoring = resolve_scoring("mrr", Task.RANKING)
    group = np.tile(np.arange(30), 4)  # rows of a query are not adjacent
    y = (np.arange(120) < 30).astype(float)  # the first row of each query is the relevant one
    seen = []

    def select(predictions, y, weight, group):
        sizes = np.bincount(group)
        assert (sizes[sizes > 0] == 4).all()
        weight = np.ones(len(y)) if weight is None else weight
        seen.append((weight.sum(), (weight * y).sum()))
        return Chosen(np.ones(1))

    result = _corrected([-np.arange(120.0)], select, scoring, y, None, group)
    assert result.value == 1.0
    assert set(seen) == {(120.0, 30.0)}


def test_a_scorer_without_weights_sees_rows_as_often_as_they_were_drawn():
    seen = []

    def own(estimator, X, y):
        return float((estimator.predict(X) == y).mean())

    def select(predictions, y, weight, group):
        seen.append((len(y), weight, None if group is None else len(np.unique(group))))
        return Chosen(np.ones(1))

    y = np.tile([0, 1], 40)
    result = _corrected([_proba(y * 0.8)], select, resolve_scoring(own, Task.BINARY), y, None, np.arange(80) // 2)
    # The choice on all rows is made once, before.
    assert set(seen) == {(80, None, 40)}
    assert result.value == 1.0


def test_weights_go_with_their_rows():
    scoring = resolve_scoring("accuracy", Task.BINARY)
    y = np.tile([0, 1], 100)
    proba = _proba(np.where(np.arange(200) < 100, y, 1 - y).astype(float))  # right in the first half only
    weight = np.where(np.arange(200) < 100, 3.0, 1.0)
    result = _corrected([proba], first, scoring, y, weight, n_bootstraps=200)
    assert result.best_of_n == 0.75
    assert result.value == pytest.approx(0.75, abs=0.01)


def test_choice_sees_the_bag_and_the_score_the_rest():
    """The bag of a bootstrap never overlaps the rows that are scored."""
    rng = np.random.default_rng(0)
    y = np.arange(60.0)
    scoring = resolve_scoring("neg_mean_squared_error", Task.REGRESSION)
    bags = []

    def select(predictions, y, weight, group):
        bags.append(len(np.unique(y)) / 60)
        return Chosen(np.ones(1))

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
    result = _corrected(predictions, best_single(scoring), scoring, y, chosen=Chosen(np.array([0.0, 1.0])))
    assert result.best_of_n == 0.0


def _choice_of(scoring, y, predictions, strategy="single", post=None):
    families = [f"family {i}" for i in range(len(predictions))]
    weights = fit_strategy(strategy, predictions, y, None, None, scoring, families)
    post = post or fit_postprocess(combine(predictions, weights), y, None, None, scoring, scoring.task)
    chosen = Chosen(weights, post)
    return chosen, repeat_choice(chosen, strategy, families, scoring, predictions, y)


def _rare(n, seed):
    """Calibrated probabilities of a rare class: F1 is best at a threshold far below a half."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(2.0 - 1.5 * rng.normal(size=n)))
    return (rng.uniform(size=n) < p).astype(np.int64), _proba(p)


def test_the_threshold_is_chosen_again_in_each_bag():
    scoring = resolve_scoring("f1", Task.BINARY)
    y, proba = _rare(600, 2)
    chosen, select = _choice_of(scoring, y, [proba])
    assert chosen.post.threshold < 0.4
    y_fresh, fresh = _rare(50_000, 1)
    truth = scoring(y_fresh, chosen.post.apply(fresh), threshold=chosen.post.threshold)
    result = _corrected([proba], select, scoring, y, chosen=chosen, n_bootstraps=25)
    assert result.best_of_n == scoring(y, chosen.post.apply(proba), threshold=chosen.post.threshold)
    assert result.value < result.best_of_n
    assert result.interval[0] < truth < result.interval[1]
    assert scoring(y, proba) < result.value  # by a half: what was scored before the threshold was part of the choice
    again = select([proba[:400]], y[:400], None, None)
    assert again.post.threshold != chosen.post.threshold


@pytest.mark.parametrize(
    ("name", "is_again"), [("roc_auc", False), ("neg_log_loss", True), ("f1", True), ("matthews_corrcoef", False)]
)
def test_postprocessing_is_chosen_again_where_it_moves_the_score(name, is_again):
    """And where that takes milliseconds: scikit-learn's scorers are slow."""
    scoring = resolve_scoring(name, Task.BINARY)
    y, proba = _rare(300, 0)
    sharp = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    chosen, select = _choice_of(scoring, y, [sharp], post=Postprocess(temperature=2.0, threshold=0.3))
    again = select([sharp[:200]], y[:200], None, None)
    assert (again.post != chosen.post) is is_again


def test_as_many_models_compete_on_few_rows_as_on_all():
    """On 120 rows only five would; each of eight predicts an eighth of the targets, and all are needed."""
    scoring = resolve_scoring("neg_mean_squared_error", Task.REGRESSION)
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(8, 600))
    chosen, select = _choice_of(scoring, parts.sum(axis=0), list(8 * parts), "stacking")
    of_few_rows = select(list(8 * parts[:, :120]), parts[:, :120].sum(axis=0), None, None)
    assert np.count_nonzero(of_few_rows.weights) == np.count_nonzero(chosen.weights) == 8


def test_units_in_and_out_of_the_bag_are_all_units():
    group = np.tile(np.arange(10), 3)
    units = Units.of(30, group)
    drawn = units.draw(np.random.default_rng(0))
    rows, drawn_groups = units.bag(drawn)
    others = units.others(drawn)
    assert len(rows) == 30
    assert np.bincount(drawn_groups).tolist() == [3] * 10
    assert sorted(np.r_[np.unique(rows), others].tolist()) == list(range(30))


def test_predictions_that_are_no_numbers_are_not_hidden():
    scoring = resolve_scoring("r2", Task.REGRESSION)
    with pytest.raises(InvalidInput, match="not a number"):
        _corrected([np.full(10, np.nan)], first, scoring, np.arange(10.0))
