"""Features that are validated: what is wrong is named, what is harmless is counted."""

from __future__ import annotations

import numpy as np

from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Table
from automl_wf.feature_engineering.validation import VALIDATED_ROWS, validate_features


def table(n_rows: int = 6) -> Table:
    return learn_schema(np.column_stack([np.arange(n_rows), np.arange(n_rows) % 2.0]).astype(float))[1]


class View:
    """Features by a function of the numbers."""

    def __init__(self, make: object, *names: str) -> None:
        self.make, self.feature_names = make, names

    def transform(self, rows: Table) -> np.ndarray:
        return self.make(rows.numbers([0, 1]))  # type: ignore[operator]


def test_good_features_are_valid() -> None:
    found = validate_features(View(lambda X: X, "a", "b"), table(500))
    assert found.is_valid
    assert (found.n_rows, found.n_features, found.missing_share) == (VALIDATED_ROWS, 2, 0.0)
    assert (found.constant, found.repeated, found.infinite) == ((), (), ())
    assert str(found) == (
        "2 features on 200 rows: repeatable, row by row, finite; 0.0% missing, 0 constant, 0 repeated"
    )


def test_constant_repeated_and_missing_features_do_no_harm() -> None:
    found = validate_features(
        View(lambda X: np.column_stack([X[:, 0], X[:, 0], X[:, 0] * 0 + 2, np.full(len(X), np.nan)]), *"abcd"), table()
    )
    assert found.is_valid
    assert (found.repeated, found.constant, found.missing_share) == (("b",), ("c", "d"), 0.25)


def test_what_models_cannot_rely_on_is_not_valid() -> None:
    calls = iter(range(100))
    infinite = validate_features(View(lambda X: np.where(X == 3, np.inf, X), "a", "b"), table())
    drawn = validate_features(View(lambda X: X + next(calls), "a", "b"), table())
    centred = validate_features(View(lambda X: X - X.mean(axis=0), "a", "b"), table())
    assert (infinite.is_valid, infinite.infinite) == (False, ("a",))
    assert (drawn.is_valid, drawn.is_repeatable) == (False, False)
    assert (centred.is_valid, centred.is_repeatable, centred.is_row_wise) == (False, True, False)
    assert "a row alone differs" in str(centred)
    assert centred.to_dict()["is_valid"] is False
