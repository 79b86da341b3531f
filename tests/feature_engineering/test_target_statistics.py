from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.target_statistics import TargetStatistics


def test_formula_by_hand(strings) -> None:
    y = np.array([1.0, 3.0, 8.0, 4.0])
    transformer = TargetStatistics(smoothing=2.0).fit([strings(["a", "a", "a", "b"])], y)
    # prior 4; a: (12 + 2·4) / (3 + 2); b: (4 + 2·4) / (1 + 2)
    found = transformer.transform([strings(["a", "b", "never seen"])])
    np.testing.assert_allclose(found, [[4.0, np.log(4)], [4.0, np.log(2)], [4.0, 0.0]])
    found = (
        TargetStatistics(smoothing=0.5)
        .fit([strings(["a", "a", "a", "b"])], y + np.array([0, 0, 0, 8]))
        .transform([strings(["a", "b", ""])])
    )
    np.testing.assert_allclose(found[:, 0], [(12 + 3) / 3.5, (12 + 3) / 1.5, 6.0])


def test_two_classes_have_the_probability_of_the_second(strings) -> None:
    transformer = TargetStatistics(n_classes=2, smoothing=0.0).fit(
        [strings(["a", "a", "b", "b"])], np.array([0, 1, 1, 1])
    )
    np.testing.assert_allclose(transformer.transform([strings(["a", "b"])])[:, 0], [0.5, 1.0])
    assert transformer.feature_names(["x"]) == ["x_target_mean", "x_log_count"]


def test_several_classes_have_a_column_each_and_many_the_commonest(strings) -> None:
    y = np.repeat(np.arange(15), np.arange(1, 16))
    column = strings(["a", "b"] * 60)
    three = TargetStatistics(n_classes=3, smoothing=1.0).fit([column.take(slice(0, 6))], np.array([0, 1, 2, 0, 1, 2]))
    assert three.n_features_out_ == 4
    np.testing.assert_allclose(three.transform([column])[:, :3].sum(axis=1), 1.0)
    many = TargetStatistics(n_classes=15).fit([column], y)
    assert many.targets_ == tuple(range(3, 15))
    assert many.feature_names(["x"])[0] == "x_target_mean_3"
    assert many.transform([column]).shape == (120, 13)


def test_weights_count_like_rows_and_have_no_unit(strings) -> None:
    column, y = strings(["a", "a", "b", "b"]), np.array([0.0, 1.0, 2.0, 9.0])
    weight = np.array([1.0, 3.0, 2.0, 0.0])
    weighted = TargetStatistics().fit([column], y, weight)
    np.testing.assert_allclose(weighted.prior_, [7 / 6])
    # mean weight of the three rows that count is 2: b has total weight 1, a has 2
    np.testing.assert_allclose(weighted.transform([strings(["b", "a"])])[:, 1], np.log1p([1.0, 2.0]))
    scaled = TargetStatistics().fit([column], y, 1000 * weight)
    np.testing.assert_allclose(weighted.transform([column]), scaled.transform([column]))


def test_own_target_never_enters_a_training_row(strings) -> None:
    rng = np.random.default_rng(0)
    column, y = strings([f"level {i}" for i in rng.integers(0, 8, 60)]), rng.normal(size=60)
    reference = TargetStatistics(smoothing=0.0, random_state=3).fit_transform([column], y)
    for i in range(0, 60, 7):
        changed = y.copy()
        changed[i] += 100.0
        found = TargetStatistics(smoothing=0.0, random_state=3).fit_transform([column], changed)
        assert found[i, 0] == reference[i, 0]
        assert (found[:, 0] != reference[:, 0]).any()


def test_singletons_carry_no_trace_of_the_target(strings) -> None:
    y = 1e15 * np.random.default_rng(0).normal(size=50)
    found = TargetStatistics().fit_transform([strings([f"id {i}" for i in range(50)])], y)
    np.testing.assert_array_equal(found[:, 0], np.full(50, found[0, 0]))


def test_cross_fit_by_hand(strings) -> None:
    column, y = strings(["a"] * 10), np.arange(10.0)
    transformer = TargetStatistics(smoothing=0.0, n_folds=5, random_state=1)
    found = transformer.fit_transform([column], y)[:, 0]
    parts = np.random.default_rng(1).permutation(10) % 5
    np.testing.assert_allclose(found, [(45.0 - y[parts == k].sum()) / 8.0 for k in parts])


def test_rows_of_a_group_share_a_part(strings) -> None:
    group = np.repeat(np.arange(10), 3)
    column = strings(["a"] * 30)
    y = np.random.default_rng(0).normal(size=30)
    found = TargetStatistics(smoothing=0.0).fit_transform([column], y, group=group)[:, 0]
    assert all(len(set(found[group == g])) == 1 for g in range(10))
    assert len(set(found)) == 5


def test_equal_seeds_equal_bits_and_other_seeds_other_parts(odd_strings) -> None:
    block, y = [odd_strings(200, 0)], np.random.default_rng(0).normal(size=200)
    first, again = (TargetStatistics(random_state=5).fit_transform(block, y) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (TargetStatistics(random_state=6).fit_transform(block, y) != first).any()


@pytest.mark.parametrize("n_rows", [1, 2])
def test_hardly_any_row_has_the_prior(strings, n_rows) -> None:
    found = TargetStatistics().fit_transform([strings(["a", "b"][:n_rows])], np.array([4.0, 4.0])[:n_rows])
    np.testing.assert_allclose(found[:, 0], 4.0)


def test_target_is_needed(strings) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        TargetStatistics().fit([strings(["a"])])


@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_graph_equals_transform(odd_strings, graph, n_classes) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=300) if n_classes == 1 else rng.integers(0, n_classes, 300)
    transformer = TargetStatistics(n_classes).fit([odd_strings(300, 0), odd_strings(300, 2)], y)
    new = [odd_strings(400, 1), odd_strings(400, 3)]
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))
