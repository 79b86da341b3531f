from __future__ import annotations

import numpy as np

from automl_wf.feature_engineering.one_hot import OneHot


def test_common_levels_have_a_column_and_rare_ones_share_one(strings) -> None:
    column = strings(["b"] * 4 + ["a"] * 3 + ["c", "d"])
    transformer = OneHot().fit([column])
    assert transformer.feature_names(["x"]) == ["x_a", "x_b", "x_rare"]
    np.testing.assert_array_equal(
        transformer.transform([strings(["a", "b", "c", "never seen", ""])]),
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]],
    )


def test_unseen_is_all_zero_where_no_level_is_rare(strings) -> None:
    transformer = OneHot().fit([strings(["", "a"] * 3)])
    assert transformer.feature_names(["x"]) == ["x_missing", "x_a"]
    assert transformer.transform([strings(["b", ""])]).tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_cap_keeps_the_commonest_and_breaks_ties_by_name(strings) -> None:
    column = strings(["d"] * 5 + ["c"] * 4 + ["b"] * 4 + ["a"] * 3)
    transformer = OneHot(max_levels=2).fit([column])
    assert list(transformer.indices_[0]) == ["b", "d"]
    assert transformer.has_rare_ == [True]


def test_column_of_identifiers_makes_no_feature(strings, graph) -> None:
    block = [strings([f"id {i}" for i in range(9)]), strings(["a", "b", "c"] * 3)]
    transformer = OneHot().fit(block)
    assert transformer.widths == [0, 3]
    np.testing.assert_array_equal(graph(transformer, block), transformer.transform(block))


def test_threshold_follows_the_rows(strings) -> None:
    column = strings(["a"] * 4991 + ["b"] * 5 + ["c"] * 4)
    assert list(OneHot().fit([column]).indices_[0]) == ["a", "b"]


def test_graph_equals_transform(odd_strings, strings, graph) -> None:
    transformer = OneHot(max_levels=12).fit([odd_strings(400, 0), strings(["only"] * 400)])
    new = [odd_strings(300, 1), strings(["only", "other", ""] * 100)]
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))
