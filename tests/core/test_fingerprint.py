"""What data a model was made from: equal cells have equal fingerprints, and any other cell, type or target another."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.fingerprint import Fingerprint, fingerprint, fingerprint_in_any_order, fingerprint_of, row_hashes
from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Strings

FRAME = pd.DataFrame(
    {
        "x": [1.5, np.nan, 0.0, -3.0, 1.5],
        "city": ["Oslo", None, "東京", "oslo ", "Bern"],
        "when": pd.to_datetime(["2024-01-01", "2024-01-02", None, "2024-01-04", "2024-01-05"]),
    }
)
Y = np.array([0, 1, 1, 0, 1])
LABELS = np.array(["no", "yes"], dtype=object)


def of(frame: pd.DataFrame, y: np.ndarray = Y, labels: np.ndarray | None = LABELS) -> Fingerprint:
    _, table, _ = learn_schema(frame)
    return fingerprint_of(table, y, labels)


def test_by_hand() -> None:
    expected = hashlib.sha256(b"<f82;" + np.array([1.0, 2.0]).tobytes()).hexdigest()
    assert fingerprint([np.array([1.0, 2.0])]) == expected
    types = json.dumps([["x", "float64", "numeric"], ["city", str(FRAME["city"].dtype), "categorical"]])
    assert of(FRAME[["x", "city"]]).types == hashlib.sha256(types.encode()).hexdigest()
    assert (of(FRAME).n_rows, of(FRAME).n_columns) == (5, 3)


def test_equal_cells_in_other_containers_are_equal() -> None:
    again = FRAME.assign(x=FRAME["x"].replace(0.0, -0.0).astype(object), city=FRAME["city"].astype("category"))
    first, second = of(FRAME), of(again)
    assert (first.in_order, first.any_order, first.target) == (second.in_order, second.any_order, second.target)
    assert first.types != second.types


def test_another_order_of_the_rows_is_another_fingerprint_in_order_only() -> None:
    first, second = of(FRAME), of(FRAME.iloc[::-1], Y[::-1])
    assert first.any_order == second.any_order
    assert first.in_order != second.in_order
    assert first.target != second.target


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda f: f.assign(x=f["x"].replace(-3.0, -3.0000000000000004)), id="last digit"),
        pytest.param(lambda f: f.assign(x=f["x"].fillna(0.0)), id="a gap filled"),
        pytest.param(lambda f: f.assign(city=f["city"].replace("Bern", "Berne")), id="a letter"),
        pytest.param(lambda f: f.assign(x=f["x"][[3, 1, 2, 0, 4]].to_numpy()), id="cells swapped within a column"),
        pytest.param(lambda f: f[["when", "x", "city"]], id="columns swapped"),
        pytest.param(lambda f: f.drop(index=2), id="a row less"),
        pytest.param(lambda f: pd.concat([f, f.tail(1)]), id="a row twice"),
    ],
)
def test_whatever_changes_is_noticed(change: object) -> None:
    frame = change(FRAME)  # type: ignore[operator]
    first, second = of(FRAME), of(frame, np.resize(Y, len(frame)))
    assert first.in_order != second.in_order
    assert first.any_order != second.any_order


def test_the_target_is_told_by_its_labels_or_values() -> None:
    assert of(FRAME).target == of(FRAME, 1 - Y, LABELS[::-1]).target
    assert of(FRAME).target != of(FRAME, 1 - Y).target
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.5])
    assert of(FRAME, values, None).target == fingerprint([values])


def test_row_hashes_are_equal_for_equal_rows_only() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 300, (100_000, 2)).astype(np.float64)
    hashes = row_hashes([numbers[:, 0], numbers[:, 1]])
    n_distinct = len(np.unique(numbers, axis=0))
    assert len(np.unique(hashes)) == n_distinct
    assert hashes[0] == row_hashes([numbers[:1, 0], numbers[:1, 1]])[0]
    # A hash spreads its bits: each of the 64 is set in half of the rows.
    set_bits = [(hashes >> np.uint64(b) & np.uint64(1)).mean() for b in range(64)]
    np.testing.assert_allclose(set_bits, 0.5, atol=0.01)


def test_a_row_of_texts_and_numbers_by_hand() -> None:
    levels = np.array(["", "Łódź"], dtype=object)
    texts, numbers = Strings(np.array([1, 0], dtype=np.int32), levels), np.array([-0.0, np.nan])
    words = [int.from_bytes(hashlib.sha256("Łódź".encode()).digest()[:8], "little"), 0]
    expected = 0x9E3779B97F4A7C15
    for word in words:
        expected ^= word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            expected = (expected ^ expected >> shift) * factor % 2**64
    assert row_hashes([texts, numbers])[0] == expected
    assert row_hashes([texts, numbers])[1] == row_hashes([texts, np.array([0.0, -np.nan])])[1]


def test_rows_of_several_blocks() -> None:
    cells = [np.arange(70_000.0), np.arange(70_000)]
    order = np.random.default_rng(0).permutation(70_000)
    assert fingerprint_in_any_order(cells) == fingerprint_in_any_order([c[order] for c in cells])
    assert fingerprint_in_any_order(cells) != fingerprint_in_any_order([cells[0], cells[1][::-1]])
