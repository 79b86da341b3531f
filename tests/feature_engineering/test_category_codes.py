from __future__ import annotations

from automl_wf.feature_engineering.category_codes import CategoryCodes


def test_codes_are_places_in_the_sorted_levels(strings) -> None:
    column = strings(["b", "", "a", "b"])
    transformer = CategoryCodes().fit([column])
    assert transformer.transform([column])[:, 0].tolist() == [2.0, 0.0, 1.0, 2.0]
    assert transformer.transform([strings(["z", "a"])])[:, 0].tolist() == [-1.0, 1.0]
    assert transformer.is_fitted_on_rows


def test_missing_is_unseen_where_training_had_none(strings) -> None:
    transformer = CategoryCodes().fit([strings(["b", "a"])])
    assert transformer.transform([strings(["", "b"])])[:, 0].tolist() == [-1.0, 1.0]


def test_levels_without_rows_get_no_code(strings) -> None:
    column = strings(["a", "b", "c"]).take(slice(1, 3))
    assert list(CategoryCodes().fit([column]).codes_[0]) == ["b", "c"]


def test_given_vocabulary_needs_no_rows(strings) -> None:
    transformer = CategoryCodes([["x", "y"]]).fit([])
    assert not transformer.is_fitted_on_rows
    assert transformer.transform([strings(["y", "x", "w"])])[:, 0].tolist() == [1.0, 0.0, -1.0]


def test_graph_equals_transform(odd_strings, strings, graph) -> None:
    transformer = CategoryCodes().fit([odd_strings(200, 0), strings(["only"] * 200)])
    new = [odd_strings(300, 1), strings(["only", "other", ""] * 100)]
    found = graph(transformer, new)
    assert (found == transformer.transform(new)).all()
    assert (found == -1).any()
