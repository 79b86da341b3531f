"""y as users bring it: the task that follows, the numbers that models are given, and the errors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidTarget
from automl_wf.problem_definition.target import MAX_INTEGER_CLASSES, Target, read_target


def read(y: Any, task: str = "auto") -> Target:
    return read_target(y, task, len(y), "Owner")


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b", "a"], Task.BINARY),
        (["a", "b", "None"], Task.MULTICLASS),
        ([True, False, True], Task.BINARY),
        ([0, 1, 1], Task.BINARY),
        ([0.0, 1.0, 2.0], Task.MULTICLASS),
        ([0.5, 1.0, 2.0], Task.REGRESSION),
        (list(range(MAX_INTEGER_CLASSES)), Task.MULTICLASS),
        (list(range(MAX_INTEGER_CLASSES + 1)), Task.REGRESSION),
        ([Decimal("0.5"), Decimal("1.5")], Task.REGRESSION),
        (pd.Series(["x", "y"], dtype="category"), Task.BINARY),
        (pd.Series(["x", "y"], dtype="string"), Task.BINARY),
        (pd.Series([1, 2], dtype="Int64"), Task.BINARY),
        (pd.Series([True, False], dtype="boolean"), Task.BINARY),
        (np.array([1, "a"], dtype=object), Task.BINARY),
    ],
    ids=lambda v: str(v)[:40],
)
def test_the_task_follows_from_y(y: Any, task: Task) -> None:
    assert read(y).task is task


def test_numbers_that_could_mean_either_are_a_finding_with_the_way_out() -> None:
    (finding,) = read([0, 1, 1]).findings
    assert (finding.code, finding.message) == (
        "task_inferred",
        "y holds 2 distinct whole numbers, so this is classification.",
    )
    assert "task='regression'" in finding.advice
    assert "task='classification'" in read([0.5, 1.0, 2.0]).findings[0].advice
    assert read(["a", "b"]).findings == ()
    assert read([0, 1, 1], "classification").findings == ()


def test_classes_are_sorted_and_coded() -> None:
    target = read(np.array(["no", "yes", "maybe", "no"]))
    assert target.classes is not None
    assert target.classes.tolist() == ["maybe", "no", "yes"]
    assert target.values.tolist() == [1, 2, 0, 1]
    assert (target.values.dtype, target.n_classes) == (np.int64, 3)


def test_values_and_grades_are_floats() -> None:
    target = read([3, 1, 2], "regression")
    assert (target.values.tolist(), target.values.dtype, target.classes, target.n_classes) == (
        [3.0, 1.0, 2.0],
        np.float64,
        None,
        1,
    )
    assert read([0, 2, 1], "ranking").task is Task.RANKING


def test_the_name_of_y() -> None:
    assert read(pd.Series([0.5, 1.5], name="price")).name == "price"
    assert read([0.5, 1.5]).name == "y"
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert read(pd.DataFrame({"price": [0.5, 1.5]})).name == "price"


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (None, "auto", "y is None"),
        ("price", "auto", r"If it names a column: y = X.pop\('price'\)"),
        ([], "auto", r"inconsistent numbers of samples: \[4, 0\]"),
        ([1, 2, 3], "auto", r"inconsistent numbers of samples: \[4, 3\]"),
        ([1.5, np.nan, 2.5, np.nan], "auto", "2 of 4 targets are missing, the first in row 1"),
        (["a", None, "b", "a"], "auto", "1 of 4 targets are missing"),
        (pd.Series([1, 2, None, 3], dtype="Int64"), "auto", "first in row 2"),
        ([1.5, 2.5, np.inf, 3.5], "auto", "infinity .* row 2"),
        (np.array([1.5, 2, -np.inf, 3], dtype=object), "regression", "infinity .* row 2"),
        (["a"] * 4, "auto", r"one class only \('a'\)"),
        ([7] * 4, "auto", r"one class only \(7\)"),
        (["a", "b", "c", "d"], "regression", "must hold numbers for regression, got 'a'"),
        (["a", "b", "c", "d"], "ranking", "must hold numbers for ranking"),
        ([0.5, 1.5, 2.5, 3.5], "classification", "Unknown label type: continuous"),
        (np.array([b"a", b"b"] * 2), "classification", "bytes is not supported"),
        (pd.Series(pd.date_range("2024", periods=4)), "auto", "dates or durations"),
        (pd.date_range("2024", periods=4), "regression", "dates or durations"),
        (pd.to_timedelta([1, 2, 3, 4], unit="D"), "regression", "dates or durations"),
        (np.ones((4, 2)), "auto", "One estimator predicts one target"),
        (np.array([1j, 2, 3, 4]), "auto", "Complex data not supported"),
        ([10**400, 1, 2, 3], "regression", "must hold numbers"),
    ],
    ids=lambda v: str(v)[:30].replace("\n", " "),
)
def test_y_that_cannot_be_a_target(y: Any, task: str, message: str) -> None:
    with pytest.raises(InvalidTarget, match=message):
        read_target(y, task, 4, "Owner")


def test_text_that_spells_numbers_is_not_taken_for_hundreds_of_classes() -> None:
    prices = [f"${1000 + 7 * i:,}.00" for i in range(60)]
    with pytest.raises(InvalidTarget, match=r"y is text that spells 60 different numbers \('\$1,000\.00' is 1000\)"):
        read_target(prices, "auto", 60, "E")
    with pytest.raises(InvalidTarget, match=r"set task='classification'.*No numbers are 'call us' in row 60\.$"):
        read_target([*prices, "call us"], "auto", 61, "E")
    with pytest.raises(InvalidTarget, match=r"'1\.000,50' is 1000\.5"):
        read_target([f"{1 + i // 10}.{i % 10:03d},50" for i in range(60)], "auto", 60, "E")
    assert read_target(prices * 2, "classification", 120, "E").n_classes == 60
    assert read_target(["$1.00", "$2.00"] * 30, "auto", 60, "E").n_classes == 2
    assert read_target([str(i % 25) for i in range(75)], "auto", 75, "E").n_classes == 25
    assert read_target([f"A{i % 25}" for i in range(75)], "auto", 75, "E").n_classes == 25


def test_one_number_alone_may_be_a_quantity() -> None:
    with pytest.raises(InvalidTarget, match=r"If y is a quantity, set task='regression' \(--task regression\)\.$"):
        read_target([1, 1, 1], "auto", 3, "E")
    with pytest.raises(InvalidTarget, match=r"at least two classes\.$"):
        read_target(["a", "a"], "auto", 2, "E")
