from __future__ import annotations

import numpy as np

from automl_wf.feature_engineering.numeric_pass import NumericPass


def test_numbers_are_handed_on_with_their_gaps(graph) -> None:
    block = np.array([[1.0, np.nan], [-1e300, 2.0**60 + 2.0**9]])
    transformer = NumericPass().fit(block)
    assert not transformer.is_fitted_on_rows
    np.testing.assert_array_equal(transformer.transform(block), block)
    np.testing.assert_array_equal(graph(transformer, block), block)
    assert transformer.feature_names(["a", "b"]) == ["a", "b"]


def test_writing_in_place_changes_nothing() -> None:
    out = np.array([[1.0, np.nan], [3.0, 4.0]])
    before = out.copy()
    NumericPass().fit(out).write(out, out)
    np.testing.assert_array_equal(out, before)
