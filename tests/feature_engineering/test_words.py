from __future__ import annotations

import numpy as np

from automl_wf.feature_engineering.words import GRID, common_words, on_grid, squared_rarity, word_matrix


def test_common_words_are_counted_by_rows_and_ties_broken_by_name(strings) -> None:
    column = strings(["red red fox"] * 3 + ["red hen"] * 2 + ["cat"] * 2)
    assert common_words(column, 2, 10) == ["cat", "fox", "hen", "red"]
    assert common_words(column, 3, 10) == ["fox", "red"]
    assert common_words(column, 1, 3) == ["cat", "fox", "red"]


def test_pairs_follow_the_words_and_are_neighbours_in_the_text(strings) -> None:
    column = strings(["red fox runs"] * 3 + ["red, fox"] * 2 + ["fox red"] * 2)
    assert common_words(column, 2, 10, 10) == ["fox", "red", "runs", "fox red", "fox runs", "red fox"]
    assert common_words(column, 2, 10, 1) == ["fox", "red", "runs", "red fox"]
    held = word_matrix(np.array(["a b c", "c b", "b ~ c"], dtype=object), {"b": 0, "b c": 1})
    np.testing.assert_array_equal(held.toarray(), [[1, 1], [1, 0], [1, 0]])


def test_levels_that_no_row_holds_do_not_count(strings) -> None:
    column = strings(["red fox", "red hen", "old cat"]).take(np.array([0, 1]))
    assert common_words(column, 1, 10) == ["fox", "hen", "red"]


def test_matrix_tells_presence_not_counts() -> None:
    held = word_matrix(np.array(["b a b", "c", ""], dtype=object), {"a": 0, "b": 1})
    np.testing.assert_array_equal(held.toarray(), [[1, 1], [0, 0], [0, 0]])
    assert word_matrix(np.array(["a"], dtype=object), {}).shape == (1, 1)


def test_rarity_is_the_inverse_document_frequency() -> None:
    rarity = np.sqrt(squared_rarity(np.array([9.0, 0.0]), 9.0))
    np.testing.assert_allclose(rarity, [1.0, np.log(10.0) + 1.0], atol=1e-6)


def test_sums_on_the_grid_do_not_depend_on_their_order() -> None:
    rng = np.random.default_rng(0)
    values = on_grid(rng.normal(0.0, 100.0, 2000))
    assert np.abs(values / GRID - np.round(values / GRID)).max() == 0.0
    assert {float(sum(rng.permutation(values))) for _ in range(20)} == {float(sum(values))}
