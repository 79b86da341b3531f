from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.arithmetic import Arithmetic


@pytest.fixture
def X() -> np.ndarray:
    return np.random.default_rng(0).uniform(1.0, 10.0, (800, 6))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (lambda X: X[:, 1] - X[:, 4], {("minus", 1, 4)}),
        (lambda X: X[:, 1] / X[:, 4], {("by", 1, 4), ("by", 4, 1)}),
        (lambda X: X[:, 0] * X[:, 5], {("times", 0, 5)}),
        (lambda X: X[:, 2] + X[:, 3], {("plus", 2, 3)}),
    ],
    ids=["difference", "quotient", "product", "sum"],
)
def test_the_true_pair_is_found(X, target, expected) -> None:
    noise = 0.1 * np.random.default_rng(1).normal(size=len(X))
    assert Arithmetic().fit(X, target(X) + noise).pairs_[0] in expected


def test_classes_are_judged_too(X) -> None:
    y = (X[:, 1] > X[:, 4]).astype(np.int64) + (X[:, 1] > X[:, 4] + 3.0)
    assert {tuple(sorted(pair[1:])) for pair in Arithmetic(n_classes=3).fit(X, y).pairs_[:2]} == {(1, 4)}


def test_values_and_names_by_hand(X) -> None:
    transformer = Arithmetic(max_features=4).fit(X, X[:, 0] - X[:, 1])
    transformer.pairs_ = [("by", 0, 1), ("minus", 1, 0), ("times", 0, 0), ("plus", 0, 1)]
    block = np.array([[6.0, 3.0], [1.0, 0.0], [np.nan, 2.0], [1e200, -1e-200], [1e308, 1e308]])
    np.testing.assert_array_equal(
        transformer.transform(block),
        [
            [2.0, -3.0, 36.0, 9.0],
            [np.nan, -1.0, 1.0, 1.0],
            [np.nan, np.nan, np.nan, np.nan],
            [np.nan, -1e200, np.nan, 1e200],
            [1.0, 0.0, np.nan, np.nan],
        ],
    )
    assert transformer.feature_names(["a", "b"]) == ["a_by_b", "b_minus_a", "a_times_a", "a_plus_b"]


def test_graph_equals_transform_bit_by_bit(X, graph) -> None:
    X[::7, 2] = np.nan
    X[::11, 1] = 0.0
    transformer = Arithmetic().fit(X, X[:, 0] / (X[:, 1] + 1.0) + X[:, 3] * X[:, 4])
    assert {operator for operator, _, _ in transformer.pairs_} == {"plus", "minus", "times", "by"}
    new = np.vstack([X * np.array([1e307, 1.0, -1.0, 0.0, 1e-300, 1.0]), X, np.zeros((2, 6))])
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))


def test_nothing_to_learn_makes_no_feature(X) -> None:
    assert Arithmetic().fit(X, np.ones(len(X))).n_features_out_ == 0
    assert Arithmetic().fit(np.ones((50, 3)), np.arange(50.0)).n_features_out_ == 0


def test_equal_seeds_equal_pairs_and_a_sample_of_long_tables(X) -> None:
    y = X[:, 0] - X[:, 1]
    first, second = (Arithmetic(max_rows=300, random_state=4).fit(X, y).pairs_ for _ in range(2))
    assert first == second


def test_y_is_needed(X) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        Arithmetic().fit(X)
