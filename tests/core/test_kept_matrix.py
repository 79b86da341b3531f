"""What is kept of a matrix makes it again, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_wf.core import kept_matrix
from automl_wf.core.kept_matrix import Packed, RowsOf, Unpacked, keep


def one_hot(n_rows: int, n_columns: int, order: Any) -> np.ndarray:
    X = np.zeros((n_rows, n_columns), order=order)
    X[np.arange(n_rows), np.random.default_rng(0).integers(0, n_columns, n_rows)] = 1.0
    X[::7, 0] = np.nan
    X[3::11, 1] = -0.0
    X[5::13, 2] = 1e-300
    return X


def awkward(n_rows: int, order: Any) -> np.ndarray:
    """Columns of 1, 2, 200, 3,000 and all different numbers, of few and of some that are not zero, 2 × 10 of each."""
    rng = np.random.default_rng(0)
    some = rng.normal(size=n_rows)
    columns = [
        np.full(n_rows, np.nan),
        np.where(some > 0, 3.0, -0.0),
        np.where(some > 1, rng.integers(0, 200, n_rows) / 3.0, np.nan),
        rng.integers(0, 3_000, n_rows) / 7.0,
        some,
        np.where(some > 1.6, some, 0.0),
        np.where(some > 0, some, 0.0),
    ]
    return np.array(np.column_stack([c for c in columns for _ in range(10)] * 2), order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_rows", [3, 1_001, 70_003])
def test_columns_are_packed_as_they_take_least(order: Any, n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_matrix, "_SMALL", 0)
    X = awkward(n_rows, order)
    kept = keep(X)
    made = kept.make()
    assert made.tobytes("A") == X.tobytes("A")
    assert (made.flags.c_contiguous, made.flags.f_contiguous) == (X.flags.c_contiguous, X.flags.f_contiguous)
    if n_rows == 70_003:
        assert isinstance(kept, Packed)
        bytes_per_cell = np.array([c.nbytes / n_rows for c in kept.columns]).reshape(2, 7, 10).mean(axis=(0, 2))
        expected = [1 / 8, 1 / 8, 1.0, 2.0, 8.0, 1 / 8 + 8 * 0.055, 1 / 8 + 8 * 0.5]
        assert bytes_per_cell == pytest.approx(expected, rel=0.05, abs=0.4)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_of_zeros_mostly_is_packed_and_made_again(order: Any) -> None:
    X = one_hot(10_001, 20, order)
    kept = keep(X)
    assert isinstance(kept, Packed)
    assert kept.nbytes < 0.1 * X.nbytes
    made = kept.make()
    assert made.tobytes("A") == X.tobytes("A")
    assert (made.flags.c_contiguous, made.flags.f_contiguous) == (X.flags.c_contiguous, X.flags.f_contiguous)


def test_small_and_full_matrices_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    full = np.random.default_rng(0).normal(size=(10_001, 20))
    for X in (full, one_hot(100, 20, "C"), one_hot(10_001, 20, "C")[::2]):
        kept = keep(X)
        assert isinstance(kept, Unpacked)
        assert kept.make() is X
        assert kept.nbytes == X.nbytes
    monkeypatch.setattr(kept_matrix, "_SMALL", 0)
    for shape in ((0, 3), (3, 0), (1, 1)):
        assert keep(np.zeros(shape)).make().shape == shape


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_rows", [3, 1_001, 20_003])
def test_the_parts_of_a_matrix_are_the_matrix(order: Any, n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_matrix, "_SMALL", 0)
    X = awkward(n_rows, order)
    rows = np.random.default_rng(1).permutation(n_rows)[: n_rows // 2 + 1]
    for kept, whole in ((keep(X), X), (Unpacked(X), X), (RowsOf(X, rows), X[rows])):
        assert kept.shape == whole.shape
        again = np.full(kept.shape, 7.0, order=order)
        n_cells = 0
        for some_rows, columns, cells in kept.parts():
            again[some_rows, columns] = cells
            n_cells += cells.size
        assert n_cells == whole.size
        assert again.tobytes("A") == np.array(whole, order=order).tobytes("A")


def test_rows_of_a_kept_matrix_take_nothing() -> None:
    X = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    kept = RowsOf(X, np.array([2, 0]))
    assert kept.nbytes == 0
    assert kept.make().tolist() == [[6.0, 7.0, 8.0], [0.0, 1.0, 2.0]]
