"""Weights and fitted blends: numbers known by hand or from theory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput
from automl_wf.model_selection.ensemble import (
    STRATEGIES,
    Blend,
    Member,
    ScoreScale,
    choose_blend,
    combine,
    fit_strategy,
    greedy_weights,
    member_limit,
    stacking_weights,
    voting_weights,
)
from automl_wf.model_selection.postprocess import Postprocess


@dataclass
class Metric:
    function: Callable[..., float]
    needs: str
    calls: int = 0

    def __call__(self, y: Any, prediction: Any, weight: Any = None, group: Any = None) -> float:
        self.calls += 1
        return float(self.function(y, prediction, weight))


def _negative_rmse(y: Any, prediction: Any, weight: Any) -> float:
    return -np.sqrt(np.average((y - prediction) ** 2, weights=weight))


def _negative_log_loss(y: Any, proba: Any, weight: Any) -> float:
    return np.average(np.log(np.maximum(proba[np.arange(len(y)), y], 1e-15)), weights=weight)


@pytest.fixture
def rmse() -> Metric:
    return Metric(_negative_rmse, "value")


@pytest.fixture
def log_loss() -> Metric:
    return Metric(_negative_log_loss, "proba")


def _noisy_views(n: int, sds: list[float], seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) * 3.0
    return y, [y + rng.normal(size=n) * sd for sd in sds]


def test_combine_is_the_weighted_mean() -> None:
    assert combine(
        [np.array([1.0, 2.0]), np.array([np.nan, 9.0]), np.array([3.0, 6.0])], np.array([0.25, 0, 0.75])
    ) == (pytest.approx([2.5, 5.0]))


def test_greedy_averages_models_that_err_in_opposite_directions(rmse: Metric) -> None:
    y = np.zeros(4)
    up, down, far = np.ones(4), -np.ones(4), np.full(4, 5.0)
    assert greedy_weights([up, far, down], y, None, None, rmse) == pytest.approx([0.5, 0.0, 0.5])


def test_greedy_finds_a_weight_of_three_quarters(rmse: Metric) -> None:
    y = np.zeros(4)
    assert greedy_weights([np.ones(4), np.full(4, -3.0)], y, None, None, rmse) == pytest.approx([0.75, 0.25])


def test_greedy_is_never_worse_than_the_best_single_model(rmse: Metric) -> None:
    y, views = _noisy_views(400, [1.0, 0.4, 2.0, 0.5])
    weights = greedy_weights(views, y, None, None, rmse)
    assert rmse(y, combine(views, weights)) >= max(rmse(y, p) for p in views)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[weights > 0].min() >= 0.05


def test_greedy_takes_the_lower_index_and_then_the_used_model_on_ties(rmse: Metric) -> None:
    y, (view,) = _noisy_views(50, [1.0])
    assert greedy_weights([view + 9.0, view, view.copy()], y, None, None, rmse).tolist() == [0.0, 1.0, 0.0]


def test_greedy_respects_the_largest_number_of_members(rmse: Metric) -> None:
    y, views = _noisy_views(300, [1.0] * 6)
    assert np.count_nonzero(greedy_weights(views, y, None, None, rmse)) > 2
    assert np.count_nonzero(greedy_weights(views, y, None, None, rmse, max_members=2)) == 2


def test_greedy_uses_sample_weights(rmse: Metric) -> None:
    y = np.zeros(2)
    views = [np.array([0.0, 1.0]), np.array([1.0, 0.0])]
    assert greedy_weights(views, y, np.array([1.0, 0.0]), None, rmse).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_without_finite_predictions_is_no_candidate(strategy: Any, rmse: Metric) -> None:
    y, views = _noisy_views(50, [1.0, 0.5])
    weights = fit_strategy(strategy, [np.full(50, np.nan), *views], y, None, None, rmse, list("abc"))
    assert weights[0] == 0.0
    assert weights.sum() == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="nothing to blend"):
        fit_strategy(strategy, [np.full(50, np.inf)] * 2, y, None, None, rmse, list("ab"))


def test_greedy_scores_many_rows_and_models_on_a_sample(rmse: Metric) -> None:
    seen: list[int] = []
    counting = Metric(lambda y, p, w: seen.append(len(y)) or _negative_rmse(y, p, w), "value")
    y, views = _noisy_views(30_000, [1.0] * 50)
    greedy_weights(views, y, None, None, counting)
    assert max(seen) == 20_000
    assert len(seen) <= 2 * 50 + 23 * 14


def test_voting_takes_one_model_of_each_family(rmse: Metric) -> None:
    y, views = _noisy_views(2000, [0.9, 1.0, 1.1, 1.2])
    weights = voting_weights(views, y, None, None, rmse, ["tree", "tree", "linear", "mlp"])
    assert weights == pytest.approx([1 / 3, 0.0, 1 / 3, 1 / 3])


def test_voting_leaves_out_what_harms_and_fills_up_where_families_are_few(rmse: Metric) -> None:
    y, views = _noisy_views(2000, [1.0, 1.0, 50.0])
    assert voting_weights(views, y, None, None, rmse, ["a", "b", "c"]) == pytest.approx([0.5, 0.5, 0.0])
    assert voting_weights(views, y, None, None, rmse, ["a", "a", "a"]) == pytest.approx([0.5, 0.5, 0.0])


def test_stacking_of_values_gives_inverse_variance_weights(rmse: Metric) -> None:
    y, views = _noisy_views(200_000, [1.0, 2.0])
    assert stacking_weights(views, y, None, None, rmse) == pytest.approx([0.8, 0.2], abs=0.01)


def test_stacking_of_probabilities_finds_the_mixture(log_loss: Metric) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet([1, 1, 1], 50_000), rng.dirichlet([1, 1, 1], 50_000)
    mixed = 0.3 * first + 0.7 * second
    y = (rng.random(50_000)[:, None] > np.cumsum(mixed, axis=1)).sum(axis=1)
    assert stacking_weights([first, second], y, None, None, log_loss) == pytest.approx([0.3, 0.7], abs=0.03)


def test_stacking_minimises_the_weighted_log_loss(log_loss: Metric) -> None:
    rng = np.random.default_rng(3)
    y, weight = rng.integers(0, 2, 200), rng.integers(0, 4, 200).astype(float)
    p1 = [np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(size=200) * sd, 0.02, 0.98) for sd in (0.15, 0.2)]
    views = [np.column_stack([1 - p, p]) for p in p1]
    found = stacking_weights(views, y, weight, None, log_loss)
    grid = [log_loss(y, combine(views, np.array([a, 1 - a])), weight) for a in np.linspace(0, 1, 1001)]
    assert log_loss(y, combine(views, found), weight) == pytest.approx(max(grid), abs=1e-6)


def test_stacking_of_scores_ignores_what_is_constant_within_a_query() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(100), 10)
    y = rng.integers(0, 3, 1000).astype(float)
    noise, query_effect = rng.normal(size=1000), rng.normal(size=100)[group] * 50
    weights = stacking_weights([noise, y + query_effect], y, None, group, Metric(lambda *_: 0.0, "score"))
    assert weights == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_convex_weights_and_repeats_itself(strategy: Any, log_loss: Metric) -> None:
    rng = np.random.default_rng(1)
    y, views = rng.integers(0, 3, 200), [rng.dirichlet([1, 1, 1], 200) for _ in range(7)]
    arguments = (strategy, views, y, None, None, log_loss, list("abcabca"))
    weights = fit_strategy(*arguments)
    assert weights.shape == (7,)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    assert np.array_equal(weights, fit_strategy(*arguments))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_small_data_only_consider_the_best_five(strategy: Any, rmse: Metric) -> None:
    y, views = _noisy_views(100, [1.0] * 12)
    best = np.argsort([-rmse(y, p) for p in views])[:5]
    assert set(np.flatnonzero(fit_strategy(strategy, views, y, None, None, rmse, ["a"] * 12))) <= set(best)


def test_choose_blend_keeps_a_single_model_that_nothing_improves_on(rmse: Metric) -> None:
    y, views = _noisy_views(600, [0.1, 3.0, 4.0])
    choice = choose_blend(views, y, None, None, rmse, np.arange(600) % 5, ["a", "b", "c"])
    assert choice.strategy == "single"
    assert choice.weights.tolist() == [1.0, 0.0, 0.0]
    assert set(choice.scores) == set(STRATEGIES)


def test_choose_blend_votes_when_equals_differ(rmse: Metric) -> None:
    y, views = _noisy_views(3000, [1.0, 1.0, 1.0])
    choice = choose_blend(views, y, None, None, rmse, np.arange(3000) % 5, ["a", "b", "c"])
    assert choice.strategy == "voting"
    assert choice.scores["voting"] > choice.scores["single"]
    assert choice.scores["voting"] == pytest.approx(-1 / np.sqrt(3), abs=0.03)


def test_choose_blend_weighs_when_unequals_differ(rmse: Metric) -> None:
    y, views = _noisy_views(5000, [1.0, 1.0, 1.0, 1.0, 1.0, 2.0])
    choice = choose_blend(views, y, None, None, rmse, np.arange(5000) % 5, ["a"] * 6)
    assert choice.strategy in ("blending", "stacking")
    assert np.count_nonzero(choice.weights) >= 5


def test_choose_blend_does_not_let_overfitted_weights_judge_themselves(rmse: Metric) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    views = [rng.normal(size=60) for _ in range(30)]
    choice = choose_blend(views, y, None, None, rmse, np.arange(60) % 5, ["a"] * 30)
    in_sample = rmse(y, combine(views, fit_strategy("blending", views, y, None, None, rmse, ["a"] * 30)))
    assert choice.scores["blending"] < in_sample


def test_choose_blend_leaves_out_rows_without_prediction_and_cuts_a_single_holdout(rmse: Metric) -> None:
    y, views = _noisy_views(1000, [1.0, 1.0])
    for view in views:
        view[:400] = np.nan
    folds = np.where(np.arange(1000) < 400, -1, 0)
    choice = choose_blend(views, y, None, None, rmse, folds, ["a", "b"])
    assert choice.strategy != "single"
    assert np.isfinite(list(choice.scores.values())).all()


def test_choose_blend_of_one_model(rmse: Metric) -> None:
    y, views = _noisy_views(20, [1.0])
    choice = choose_blend(views, y, None, None, rmse, np.full(20, 0), ["a"])
    assert (choice.strategy, choice.weights.tolist()) == ("single", [1.0])


def test_choose_blend_when_no_block_can_be_scored() -> None:
    y, views = _noisy_views(20, [1.0, 2.0])
    hopeless = Metric(lambda *_: np.nan, "value")
    choice = choose_blend(views, y, None, None, hopeless, np.arange(20) % 2, ["a", "b"])
    assert choice.strategy == "single"
    assert choice.weights.sum() == 1.0


def test_member_limit_grows_with_the_rows() -> None:
    assert [member_limit(n) for n in (0, 100, 500, 2_500, 10_000, 10**6)] == [4, 4, 8, 15, 40, 100]
    assert 8 < member_limit(1_000) < 15


def test_score_scale_standardises_and_survives_constants() -> None:
    scale = ScoreScale.fit(np.array([1.0, 3.0]))
    assert (scale.mean, scale.sd) == (2.0, 1.0)
    assert scale.apply(np.array([4.0])).tolist() == [2.0]
    assert ScoreScale.fit(np.array([1.0, 3.0, 9.0]), np.array([1.0, 1.0, 0.0])) == scale
    assert ScoreScale.fit(np.full(3, 0.1)).sd == 1.0
    assert ScoreScale().is_identity


class CountingView:
    """Stands for a fitted view: shifts the table and counts its uses."""

    def __init__(self, shift: float) -> None:
        self.shift, self.calls = shift, 0

    def transform(self, table: Any) -> np.ndarray:
        self.calls += 1
        return table.X + self.shift


class Slope:
    """Stands for a learner: its slope times the first column."""

    def __init__(self, slope: float) -> None:
        self.slope = slope
        self.n_parameters = 1

    def unpack(self) -> None:
        pass

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        return self.slope * X[:, 0]


def _blend(views: list[CountingView]) -> Blend:
    members = (
        Member("one", "linear", {}, 0.25, ((views[0], Slope(1.0)), (views[1], Slope(3.0)))),
        Member("two", "tree_based", {}, 0.75, ((views[0], Slope(2.0)), (views[1], Slope(4.0))), ScoreScale(1.0, 2.0)),
    )
    return Blend(members)


def test_blend_averages_parts_scales_and_weighs_members() -> None:
    views = [CountingView(0.0), CountingView(1.0)]
    table = SimpleNamespace(X=np.array([[1.0], [2.0]]))
    # parts of row 0: 1·1, 3·2 → 3.5; 2·1, 4·2 → 5 → (5 − 1) / 2 = 2; of row 1: 2, 9 → 5.5; 4, 12 → 8 → 3.5
    assert _blend(views).predict(table) == pytest.approx([0.25 * 3.5 + 0.75 * 2.0, 0.25 * 5.5 + 0.75 * 3.5])
    assert [v.calls for v in views] == [1, 1]


def test_blend_of_one_fold() -> None:
    blend = _blend([CountingView(0.0), CountingView(1.0)])
    table = SimpleNamespace(X=np.array([[1.0]]))
    assert blend.predict_fold(table, 1) == pytest.approx([0.25 * 6.0 + 0.75 * (8.0 - 1.0) / 2.0])
    assert blend.n_folds == 2
    assert blend.n_parameters == 4


def test_blend_applies_the_temperature_at_the_end() -> None:
    class Fixed(Slope):
        def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
            return np.array([[0.2, 0.8]])

    member = Member("m", "linear", {}, 1.0, ((CountingView(0.0), Fixed(1.0)),))
    table = SimpleNamespace(X=np.array([[1.0]]))
    # temperature 2 takes the square root of the odds: 4 → 2
    assert Blend((member,), Postprocess(temperature=2.0)).predict(table) == pytest.approx(np.array([[1 / 3, 2 / 3]]))


def test_comparisons_are_counted_down_all_trees() -> None:
    forest, boosted, line = (
        SimpleNamespace(n_trees=t, n_parameters=p) for t, p in ((10, 10 * 1024), (100, 100 * 4), (0, 7))
    )
    members = tuple(Member("m", "tree_based", {}, 1.0, ((CountingView(0.0), x),)) for x in (forest, boosted, line))
    assert Blend(members).n_comparisons == 10 * 10 + 100 * 2


def test_slices_have_the_prediction_as_their_mean() -> None:
    blend = _blend([CountingView(0.0), CountingView(1.0)])
    table = SimpleNamespace(X=np.array([[1.0], [5.0]]))
    slices = blend.slices()
    assert len(slices) == 2
    np.testing.assert_allclose(np.mean([s(table) for s in slices], axis=0), blend.predict(table), rtol=1e-14)
    # A temperature bends the mean: then there is nothing but the whole
    bent = Blend(blend.members, Postprocess(temperature=2.0))
    assert bent.slices() == (bent.predict,)


def test_blend_pickles() -> None:
    blend = _blend([CountingView(0.0), CountingView(1.0)])
    again = pickle.loads(pickle.dumps(blend))
    table = SimpleNamespace(X=np.array([[1.0], [5.0]]))
    assert np.array_equal(again.predict(table), blend.predict(table))
    assert again.members[0].parts[0][0] is again.members[1].parts[0][0]


def test_choose_blend_with_the_real_metrics_of_each_task() -> None:
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=1200), rng.normal(size=(3, 1200))
    group = np.repeat(np.arange(120), 10)
    p1 = [1 / (1 + np.exp(-(signal + e))) for e in noise]
    cases = {
        Task.BINARY: ((signal > 0).astype(np.int64), [np.column_stack([1 - p, p]) for p in p1], None),
        Task.REGRESSION: (signal, [signal + e for e in noise], None),
        Task.RANKING: (np.digitize(signal, [0.0, 1.0]).astype(float), [signal + e for e in noise], group),
    }
    for task, (y, views, queries) in cases.items():
        scoring = resolve_scoring(None, task)
        choice = choose_blend(views, y, None, queries, scoring, group % 5, ["a", "b", "c"])
        assert choice.strategy != "single", task
        assert scoring(y, combine(views, choice.weights), None, queries) > max(
            scoring(y, p, None, queries) for p in views
        )


def test_choose_blend_calls_a_slow_metric_no_more_often_than_it_may(rmse: Metric) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    predictions = [y + rng.normal(0, s, 200) for s in (1.0, 1.1, 2.0, 3.0)]
    folds = np.arange(200) % 5
    seen = []
    for most in (0, 12, 40, 80, 1000):
        rmse.calls = 0
        choice = choose_blend(predictions, y, None, None, rmse, folds, list("abcd"), max_calls=most)
        assert rmse.calls <= most
        seen.append(set(choice.scores))
    assert seen == [
        set(),
        set(),
        {"single", "stacking"},
        {"single", "voting", "stacking"},
        set(STRATEGIES),
    ]
