"""Splits, what is gathered from them, and the cache that fits each recipe once per fold and view."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from automl_wf.core import folds
from automl_wf.core.budget import Budget, check_clock
from automl_wf.core.folds import FoldCache, Folds
from automl_wf.core.frame import learn_schema
from automl_wf.exceptions import OutOfTime


def rows(*positions: int) -> np.ndarray:
    return np.array(positions, dtype=np.intp)


class CountingRecipe:
    """Centres the first column on its training rows, and counts how often it is fitted."""

    def __init__(self, is_fitted_on_rows: bool = True) -> None:
        self.is_fitted_on_rows = is_fitted_on_rows
        self.calls: list[tuple[int, int, Any]] = []
        self.shared: list[Any] = []

    def fit_transform(
        self, table: Any, y: Any, weight: Any, *, seed: int, group: Any = None, shared: Any = None
    ) -> tuple[Any, Any]:
        self.calls.append((table.n_rows, seed, group))
        self.shared.append(shared)
        view = Centred(float(table.cells[0].mean()))
        return view, view.transform(table)


class Centred:
    categorical: tuple[int, ...] = ()

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def transform(self, table: Any) -> np.ndarray:
        return table.numbers([0]) - self.mean


def make_cache(recipes: dict[str, Any], **options: Any) -> FoldCache:
    _, table, _ = learn_schema(np.arange(6.0).reshape(-1, 1))
    folds = Folds(((rows(2, 3, 4, 5), rows(0, 1)), (rows(0, 1), rows(2, 3, 4, 5))), 6, "two", True)
    return FoldCache(table, recipes, np.arange(6.0), None, None, folds, seed=10, **options)


def test_gather_puts_each_prediction_in_its_row_and_averages_repeats() -> None:
    folds = Folds(((rows(0), rows(2, 3)), (rows(0), rows(3, 1))), 5, "", False)
    assert folds.rows.tolist() == [1, 2, 3]
    assert folds.fold_of_row.tolist() == [1, 0, 1]
    assert folds.gather([np.array([20.0, 30.0]), np.array([50.0, 10.0])]).tolist() == [10.0, 20.0, 40.0]
    proba = folds.gather([np.array([[0.2, 0.8], [0.4, 0.6]]), np.array([[0.6, 0.4], [1.0, 0.0]])])
    np.testing.assert_allclose(proba, [[1.0, 0.0], [0.2, 0.8], [0.5, 0.5]])
    assert len(folds) == 2


def test_a_view_is_fitted_on_the_training_rows_only_and_once() -> None:
    recipe = CountingRecipe()
    cache = make_cache({"a": recipe, "b": recipe}, units=np.array([0, 0, 1, 1, 2, 2]))
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda i: cache.get(i % 2, "ab"[i % 3 > 0]), range(12)))
    assert sorted((n, seed, group.tolist()) for n, seed, group in recipe.calls) == [
        (2, 12, [0, 0]),
        (4, 11, [1, 1, 2, 2]),
    ]
    assert seen[0].X_train.ravel().tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert seen[0].X_valid.ravel().tolist() == [-3.5, -2.5]
    assert seen[0] is seen[2]


def test_views_of_the_same_rows_share_and_others_do_not() -> None:
    first, second = CountingRecipe(), CountingRecipe()
    cache = make_cache({"first": first, "second": second})
    for view in ("first", "second"):
        cache.get(0, view)
        cache.get(1, view)
        cache.whole(view)
    assert all(a is b for a, b in zip(first.shared, second.shared, strict=True))
    assert len({id(shared) for shared in first.shared}) == 3
    cache.forget()
    cache.get(0, "first")
    assert first.shared[-1] is not first.shared[0]
    fewer = make_cache({"first": first, "second": second})
    fewer.get(0, "first")
    fewer._drawn["second", 0] = rows(2, 3)
    fewer.get(0, "second")
    assert second.shared[-1] is None


def test_a_view_that_learns_nothing_is_made_once_for_all_folds() -> None:
    recipe = CountingRecipe(is_fitted_on_rows=False)
    cache = make_cache({"a": recipe})
    assert cache.get(0, "a").X_valid.ravel().tolist() == [-2.5, -1.5]
    assert cache.get(1, "a").X_train.ravel().tolist() == [-2.5, -1.5]
    assert [n for n, _, _ in recipe.calls] == [6]


def test_beyond_the_memory_limit_matrices_are_computed_again_but_what_was_derived_stays() -> None:
    recipe = CountingRecipe()
    cache = make_cache({"a": recipe}, memory_limit=6 * 8)
    cache.get(0, "a")
    cache.get(1, "a").cache["bins"] = 1
    assert cache.get(1, "a").cache == {"bins": 1}
    assert [n for n, _, _ in recipe.calls] == [4, 2, 2]
    cache.forget()
    assert cache.get(1, "a").cache == {}


class WideRecipe(CountingRecipe):
    def fit(self, table: Any) -> Any:
        return Centred(0.0)

    def n_columns(self, table: Any, y: Any, *, seed: int) -> int:
        return 10


@pytest.mark.parametrize("is_fitted_on_rows", [True, False])
def test_models_learn_from_as_many_rows_as_time_and_memory_allow(is_fitted_on_rows: bool) -> None:
    n, labels = 12_000, np.arange(12_000) % 100 // 99
    _, table, _ = learn_schema(np.arange(float(n)).reshape(-1, 1))
    folds = Folds(((np.arange(2_000, n), np.arange(2_000)),), n, "one", False)
    given = (table, {"a": WideRecipe(is_fitted_on_rows)}, labels, None)

    by_time = FoldCache(*given, None, folds, seed=0, max_rows=1_000, has_classes=True)
    data = by_time.get(0, "a")
    assert len(data.train) == len(data.X_train) == 1_000
    assert len(data.X_valid) == 2_000
    assert labels[data.train].sum() == 10
    assert set(data.train) <= set(folds.splits[0][0])
    assert by_time.thinned == {"a": (1_000, 10_000)}
    assert by_time.growth("a") == 12.0
    assert len(by_time.whole("a")[1]) == n

    by_memory = FoldCache(*given, None, folds, seed=0, memory_limit=4 * 8 * 10 * 5_000)
    assert len(by_memory.get(0, "a").train) == len(by_memory.whole("a")[2]) == 5_000
    assert len(by_memory.whole("a")[1]) == 5_000

    queries = FoldCache(*given, np.repeat(np.arange(n // 10), 10), folds, seed=0, max_rows=5_000)
    kept = queries.get(0, "a").train
    assert 4_000 < len(kept) < 6_000
    assert set(np.bincount(kept // 10)) <= {0, 10}

    everything = FoldCache(*given, None, folds, seed=0)
    assert len(everything.get(0, "a").train) == 10_000
    assert everything.thinned == {}


def test_the_cost_of_a_view_is_judged_by_its_folds() -> None:
    cache = make_cache({"a": CountingRecipe(), "b": CountingRecipe()})
    assert cache.cost_s("a") == 0.0  # few rows, and none seen yet
    cache.get(0, "a")
    first = cache.forecast_s("a") / 1.5
    assert first > 0.0
    assert cache.cost_s("a") == pytest.approx(2 * first)
    cache.get(1, "a")
    assert cache.cost_s("a") == 0.0
    assert cache.spent_s >= first
    assert cache.forecast_s("a") > 0.0  # of all rows it is still to be made
    cache.whole("a")
    assert cache.forecast_s("a") == 0.0


def test_the_cost_of_a_view_of_many_rows_is_judged_by_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_MANY_ROWS", 3)
    cache = make_cache({"a": CountingRecipe()})
    seconds = iter([9.0, 1.0, 3.0])
    monkeypatch.setattr(cache, "_seconds_on", lambda view, rows: next(seconds))
    # 1 s for a fortieth and 3 s for a tenth of the rows: 3 + 9 · 2 / 0.75 s for all of each fold's.
    assert cache.cost_s("a") == 2 * 27.0


def test_finding_out_what_a_view_costs_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_MANY_ROWS", 3)
    cache = make_cache({"a": SlowRecipe()})
    with pytest.raises(OutOfTime, match="Making features was stopped"):
        cache.cost_s("a", partial(Budget, 0.01))
    assert cache.cost_s("a", partial(Budget, 30.0)) > 0.0


class SlowRecipe(CountingRecipe):
    def fit_transform(self, *given: Any, **named: Any) -> Any:
        time.sleep(0.05)
        check_clock("Making features")
        return super().fit_transform(*given, **named)


def test_features_end_with_their_time_and_it_is_known_then_that_they_take_longer() -> None:
    cache = make_cache({"a": SlowRecipe()})
    with pytest.raises(OutOfTime, match="Making features was stopped"):
        cache.get(0, "a", partial(Budget, 0.01))
    assert cache.cost_s("a") >= 0.1
    cache.get(0, "a", partial(Budget, 30.0))
    # Features that are there take no time.
    cache.get(0, "a", partial(Budget, 0.0))
