"""A linear model around a row finds the effects of a linear model, and says where it does not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidInput
from automl_wf.interpretation.local_surrogate import local_surrogate


def tables(numbers: Callable[..., pd.DataFrame], n: int = 5) -> tuple[Table, Table]:
    schema, background, _ = learn_schema(numbers(60), None)
    return read_table(numbers(n, seed=7), schema, owner="test"), background


def test_an_additive_model_is_followed_wholly(numbers: Callable[..., pd.DataFrame]) -> None:
    """Replacing a cell by another row's costs coefficient × distance: the mean of it is what the surrogate learns."""
    rows, background = tables(numbers)

    def value(table: Table) -> np.ndarray:
        return np.asarray(3.0 * table.cells[0] - table.cells[1])

    constant = background.take(np.zeros(3, dtype=np.intp))
    found = local_surrogate(value, rows, constant, class_names=None, seed=0)
    deviation = [rows.cells[j] - background.cells[j][0] for j in range(4)]
    # The penalty shrinks a little
    np.testing.assert_allclose(found["a"], 3.0 * deviation[0], rtol=0.03, atol=0.05)
    np.testing.assert_allclose(found["b"], -deviation[1], rtol=0.03, atol=0.05)
    np.testing.assert_allclose(found[["c", "d"]], 0.0, atol=0.06)
    assert found["local_r2"].min() > 0.99
    assert found.attrs == {"n_neighbours": 500, "kernel_width": 1.5, "n_background": 3}


def test_what_is_not_linear_is_said_to_fit_badly(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, background = tables(numbers)

    def parity(table: Table) -> np.ndarray:
        return np.prod([np.sign(c) for c in table.cells], axis=0)

    assert local_surrogate(parity, rows, background, class_names=None, seed=0)["local_r2"].max() < 0.5


def test_classes_and_rows_that_do_not_vary(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, background = tables(numbers)

    def proba(table: Table) -> np.ndarray:
        return np.tile([0.2, 0.3, 0.5], (table.n_rows, 1))

    found = local_surrogate(proba, rows, background, class_names=["x", "y", "z"], seed=0)
    assert found.shape == (15, 6)
    assert found.index.names == ["row", "class"]
    np.testing.assert_allclose(found["intercept"].to_numpy().reshape(5, 3), np.tile([0.2, 0.3, 0.5], (5, 1)))
    assert found["local_r2"].isna().all()


def test_the_seed_decides(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, background = tables(numbers)

    def bent(table: Table) -> np.ndarray:
        return np.asarray(table.cells[0] * table.cells[1])

    first, again, other = (local_surrogate(bent, rows, background, class_names=None, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


def test_no_rows_and_no_background(numbers: Callable[..., pd.DataFrame]) -> None:
    rows, background = tables(numbers)
    nothing = np.empty(0, dtype=np.intp)
    assert local_surrogate(lambda t: t.cells[0], rows.take(nothing), background, class_names=None, seed=0).shape == (
        0,
        6,
    )
    with pytest.raises(InvalidInput, match="at least one background row"):
        local_surrogate(lambda t: t.cells[0], rows, background.take(nothing), class_names=None, seed=0)
