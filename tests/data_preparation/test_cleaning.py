"""The rows in use: a weight of two is a row twice, the order of the rows is nothing, copies are known as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier
from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Table
from automl_wf.data_preparation import cleaning
from automl_wf.data_preparation.cleaning import MAX_SORTED, Rows, arrange_rows


def table_of(X: Any) -> Table:
    return learn_schema(X)[1]


def arrange(X: Any, y: Any, weight: Any = None, group: Any = None, **options: Any) -> Rows:
    weight = None if weight is None else np.asarray(weight, dtype=float)
    group = None if group is None else np.asarray(group)
    return arrange_rows(table_of(X), np.asarray(y), weight, group, **options)


FRAME = pd.DataFrame({"n": [3.0, np.nan, 1.0, 1.0], "s": ["b", "a", "z", "c"]})


def test_small_tables_are_put_in_the_order_of_their_content() -> None:
    rows = arrange(FRAME, [1, 1, 0, 1])
    assert rows.index.tolist() == [2, 3, 0, 1]
    assert rows.y.tolist() == [0, 1, 1, 1]
    assert rows.copies is None
    for order in ([3, 1, 0, 2], [1, 0, 3, 2]):
        again = arrange(FRAME.iloc[order], np.array([1, 1, 0, 1])[order])
        assert np.array(order)[again.index].tolist() == rows.index.tolist()


def test_rows_in_the_order_of_time_and_long_tables_stay_as_they_are() -> None:
    assert arrange(FRAME, [1, 1, 0, 1], in_order=True).index.tolist() == [0, 1, 2, 3]
    X = np.random.default_rng(0).normal(size=(MAX_SORTED + 1, 1))
    assert arrange(X, np.zeros(len(X))).index.tolist() == list(range(len(X)))


@pytest.mark.parametrize(
    ("weight", "index", "left"),
    [
        ([2, 0, 1, 1], [2, 3, 0, 0], None),
        ([2, 2, 2, 2], [2, 2, 3, 3, 0, 0, 1, 1], None),
        ([1, 1, 1, 1], [2, 3, 0, 1], None),
        ([0.5, 0.5, 0.5, 0.5], [2, 3, 0, 1], None),
        ([0.5, 0.0, 1.0, 2.5], [2, 3, 0], [1.0, 2.5, 0.5]),
        ([40, 1, 1, 0], [2, 0, 1], [4 / 42, 160 / 42, 4 / 42]),
    ],
)
def test_weights(weight: list[float], index: list[int], left: list[float] | None) -> None:
    rows = arrange(FRAME, [1, 1, 0, 1], weight)
    assert rows.index.tolist() == index
    if left is None:
        assert rows.weight is None
    else:
        assert rows.weight is not None
        np.testing.assert_allclose(rows.weight, left)
    assert rows.n_given == 4


def test_copies_are_rows_equal_in_cells_and_target_whatever_their_weight() -> None:
    X = pd.DataFrame({"n": [1.0, 2.0, 1.0, np.nan, 4.0, np.nan], "s": list("xyxzwz")})
    y = [0.5, 1.5, 0.5, 2.5, 3.5, 2.5]
    rows = arrange(X, y)
    assert rows.index.tolist() == [0, 2, 1, 3, 5, 4]
    assert rows.copies is not None
    assert rows.copies.tolist() == [0, 0, 1, 2, 2, 3]
    weighted = arrange(X, y, [0.5, 1.0, 0.3, 1.0, 0.2, 0.7])
    assert weighted.copies is not None
    assert weighted.copies.tolist() == [0, 0, 1, 2, 2, 3]
    assert arrange(X, y, group=[0, 1, 0, 1, 0, 1]).copies is None


def test_rows_that_are_equal_by_chance_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.choice(list("uvw"), 200), "b": rng.choice(list("pq"), 200)})
    assert arrange(X, rng.integers(0, 2, 200)).copies is None
    assert arrange(X, (X["a"] == "u").to_numpy().astype(int)).copies is None


def _fit(X: Any, y: Any, **fit: Any) -> WorkflowClassifier:
    settings = {"time_budget": None, "n_iter": 3, "n_jobs": 1, "random_state": 0, "verbose": 0}
    return WorkflowClassifier(**settings, estimators=["linear", "lightgbm"]).fit(X, y, **fit)


def test_the_whole_fit_is_the_same_for_weights_repeated_rows_and_any_order() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=60), "z": rng.normal(size=60), "c": rng.choice(list("abc"), 60)})
    y = np.where(X["x"] + (X["c"] == "a") + 0.5 * rng.normal(size=60) > 0, "yes", "no")
    weight = rng.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weight)
    shuffled = rng.permutation(rows)
    weighted = _fit(X, y, sample_weight=weight)
    expected = weighted.predict_proba(X)
    for order in (rows, shuffled):
        repeated = _fit(X.iloc[order], y[order])
        np.testing.assert_array_equal(repeated.predict_proba(X), expected)
        assert repeated.best_score_ == weighted.best_score_
    doubled = _fit(X, y, sample_weight=np.full(60, 2.0)).predict_proba(X)
    np.testing.assert_array_equal(_fit(pd.concat([X, X]), np.r_[y, y]).predict_proba(X), doubled)


def test_a_table_of_few_possible_rows_is_learnt() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.choice(list("uvw"), 400), "b": rng.choice(list("pq"), 400)})
    y = rng.random(400) < 0.15 + 0.5 * (X["a"] == "u") + 0.25 * (X["b"] == "p")
    assert _fit(X, y).best_score_ > 0.7


@pytest.mark.parametrize("n_columns", [3, 30, 200])
@pytest.mark.parametrize("n_values", [1, 2, 40])
def test_the_order_is_that_of_all_columns_however_many_are_equal(n_columns: int, n_values: int) -> None:
    rng = np.random.default_rng(n_columns)
    keys = list(rng.integers(0, n_values, size=(n_columns, 300)).astype(float))
    keys[-1] = rng.permutation(300).astype(float)
    assert cleaning._in_order(keys).tolist() == np.lexsort(keys[::-1]).tolist()
