"""Numbers held against what is usual in their group."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.base import Mixed
from automl_wf.feature_engineering.group_statistics import GroupStatistics


def relative(strings, n_rows: int = 1500, seed: int = 0):
    """The target is how far a price is from what its town usually asks; a second category and number are noise."""
    rng = np.random.default_rng(seed)
    usual = rng.normal(0, 10, 40)
    town = rng.integers(0, 40, n_rows)
    price = usual[town] + rng.normal(size=n_rows)
    y = price - usual[town]
    texts = [strings([f"colour {i}" for i in rng.integers(0, 5, n_rows)]), strings([f"town {i}" for i in town])]
    return Mixed(texts, np.column_stack([rng.normal(size=n_rows), price])), y


def test_the_pair_that_matters_is_found_and_first(strings) -> None:
    block, y = relative(strings)
    fitted = GroupStatistics(max_features=3).fit(block, y)
    assert fitted.pairs_[0] == (1, 1)
    assert fitted.feature_names(["colour", "town", "size", "price"])[0] == "price_within_town"
    assert np.corrcoef(fitted.transform(block)[:, 0], y)[0, 1] > 0.9


def test_values_by_hand(strings) -> None:
    block = Mixed([strings(["a", "a", "b", "b"] * 30)], np.array([[1.0], [3.0], [10.0], [np.nan]] * 30))
    y = np.tile([0.0, 1.0, 5.0, 2.0], 30)
    fitted = GroupStatistics(smoothing=0.0).fit(block, y)
    assert fitted.pairs_ == [(0, 0)]
    found = fitted.transform(Mixed([strings(["a", "b", "c", "a"])], np.array([[5.0], [5.0], [5.0], [np.nan]])))
    np.testing.assert_allclose(found[:, 0], [3.0, -5.0, 5.0 - 14 / 3, np.nan])
    smoothed = GroupStatistics(smoothing=30.0).fit(block, y)
    # 60 rows of a with sum 120, the overall mean is 14 / 3
    np.testing.assert_allclose(smoothed.transform(Mixed([strings(["a"])], np.array([[0.0]])))[0, 0], -(120 + 140) / 90)


def test_identifiers_and_constants_are_no_groups(strings) -> None:
    rng = np.random.default_rng(0)
    texts = [strings([f"id {i}" for i in range(400)]), strings(["same"] * 400)]
    block, y = Mixed(texts, rng.normal(size=(400, 2))), rng.normal(size=400)
    assert GroupStatistics().fit(block, y).n_features_out_ == 0
    assert GroupStatistics().fit(block, y).transform(block).shape == (400, 0)


def test_the_target_is_needed(strings) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        GroupStatistics().fit(Mixed([strings(["a"])], np.zeros((1, 1))))


@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_graph(odd_strings, graph, n_classes: int) -> None:
    rng = np.random.default_rng(0)

    def rows(n: int, seed: int) -> Mixed:
        numbers = rng.normal(size=(n, 3)) * [1.0, 1e6, 1e-3]
        numbers[rng.random((n, 3)) < 0.1] = np.nan
        return Mixed([odd_strings(n, seed), odd_strings(n, seed + 1)], numbers)

    block = rows(600, 0)
    y = np.nan_to_num(block.numbers[:, 0]) + (block.texts[0].codes % 3)
    y = y if n_classes == 1 else np.digitize(y, np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1]))
    fitted = GroupStatistics(n_classes=n_classes).fit(block, y)
    assert fitted.n_features_out_ > 0
    new = rows(300, 5)
    np.testing.assert_array_equal(graph(fitted, new), fitted.transform(new))
