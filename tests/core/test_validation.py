"""What comes beside X and y: weights, groups and amounts of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.validation import read_bytes, read_groups, read_weights
from automl_wf.exceptions import InvalidInput, InvalidParameter


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ([1, 2, 0], [1.0, 2.0, 0.0]), (2.0, [2.0, 2.0, 2.0]), (pd.Series([1, 1, 1]), [1.0, 1.0, 1.0])],
)
def test_weights(given: Any, expected: Any) -> None:
    weights = read_weights(given, 3)
    assert (weights if weights is None else weights.tolist()) == expected


@pytest.mark.parametrize(
    "given", [[1, 2], [1, -1, 1], [0, 0, 0], [1, np.nan, 1], [1, np.inf, 1], ["a", "b", "c"], [[1, 1, 1]]], ids=repr
)
def test_weights_that_cannot_be_used(given: Any) -> None:
    with pytest.raises(InvalidInput):
        read_weights(given, 3)


def test_weights_are_a_copy() -> None:
    given = np.ones(3)
    weights = read_weights(given, 3)
    assert weights is not None
    weights[0] = 5.0
    assert given.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "given",
    [
        ["b", "a", "b"],
        [2, 1, 2],
        np.array([["b"], ["a"], ["b"]]),
        pd.Series(["b", "a", "b"], index=[7, 8, 9]),
        pd.Series(pd.Categorical(["b", "a", "b"], categories=["b", "a"])),
        pd.Series(pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-02"])),
    ],
    ids=lambda v: type(v).__name__,
)
def test_groups_become_codes_in_the_order_of_their_names(given: Any) -> None:
    groups = read_groups(given, 3)
    assert groups is not None
    assert groups.tolist() == [1, 0, 1]
    assert read_groups(None, 3) is None


def test_groups_of_several_kinds_are_told_apart() -> None:
    groups = read_groups(np.array([1, "1", 1], dtype=object), 3)
    assert groups is not None
    assert groups.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("given", "message"), [([1, 2], "inconsistent"), (["a", None, "b"], "missing in row 1")])
def test_groups_that_cannot_be_used(given: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_groups(given, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (4e9, 4e9),
        (np.int64(5), 5.0),
        ("4GB", 4e9),
        (" 512 MiB ", 2.0**29),
        ("1.5kb", 1500.0),
        (".5 TB", 5e11),
        ("100", 100.0),
    ],
)
def test_bytes(given: Any, expected: float | None) -> None:
    assert read_bytes(given, "memory_limit") == expected


@pytest.mark.parametrize("given", ["", "GB", "1.2.3GB", "4 parsecs", "-1GB", "0GB", "."])
def test_texts_that_are_no_bytes(given: str) -> None:
    with pytest.raises(InvalidParameter, match="'memory_limit' parameter must be a number of bytes"):
        read_bytes(given, "memory_limit")
