"""Each check fires on its example and is silent on clean data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.findings import Finding
from automl_wf.core.frame import learn_schema
from automl_wf.problem_definition import checks
from automl_wf.problem_definition.checks import CHECKS, DataView
from automl_wf.problem_definition.target import read_target

N = 300
RNG = np.random.default_rng(0)
CLEAN = pd.DataFrame({"x": RNG.normal(size=N), "c": RNG.choice(["u", "v"], N)})
CLASSES = RNG.choice(["no", "yes"], N)


def findings_of(X: Any, y: Any, task: str = "auto") -> dict[str, Finding]:
    _, table, _ = learn_schema(X)
    view = DataView(table, read_target(y, task, len(y), "Owner"))
    return {f.code: f for check in CHECKS for f in check(view)}


def test_clean_data_is_clean() -> None:
    assert findings_of(CLEAN, CLASSES) == {}
    assert findings_of(CLEAN, RNG.normal(size=N)) == {}


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda y: np.where(y == "yes", "Y", "N"), id="text"),
        pytest.param(lambda y: (y == "yes") * 2.0 - RNG.random(N), id="number"),
        pytest.param(lambda y: pd.to_datetime(np.where(y == "yes", "2024-01-01", "2020-01-01")), id="date"),
    ],
)
def test_a_column_that_tells_the_class(leak: Any) -> None:
    found = findings_of(CLEAN.assign(told=leak(CLASSES)), CLASSES)
    assert found["leakage"].columns == ("told",)
    assert found["leakage"].severity == "serious"


def test_a_column_that_tells_the_value() -> None:
    y = RNG.integers(0, 40, N) * 1.5
    assert findings_of(CLEAN.assign(told=y * 3 + 1), y)["leakage"].columns == ("told",)
    assert "leakage" not in findings_of(CLEAN.assign(hint=y + RNG.normal(size=N) * 10), y)


def test_a_text_of_its_own_in_every_row_tells_nothing() -> None:
    found = findings_of(CLEAN.assign(key=[f"k{i}" for i in range(N)]), CLASSES)
    assert "leakage" not in found


def test_running_numbers_are_identifiers_and_measurements_are_not() -> None:
    numbered = CLEAN.assign(row=RNG.permutation(N) + 1000)
    assert findings_of(numbered, CLASSES)["running_numbers"].columns == ("row",)


def test_unequal_and_tiny_classes_are_named_as_the_user_wrote_them() -> None:
    y = np.array(["common"] * 295 + ["rare"] * 3 + ["rarer"] * 2)
    found = findings_of(CLEAN, y)
    assert found["imbalanced_classes"].message == "98.3% of the rows belong to class 'common'."
    assert "'rare' (3), 'rarer' (2)" in found["tiny_classes"].message


def test_few_rows_and_long_tails() -> None:
    assert "99 rows" in findings_of(CLEAN[:99], CLASSES[:99])["few_rows"].message
    tailed = np.append(np.zeros(N - 1), 1000.0) + RNG.random(N)
    assert "skewed_target" in findings_of(CLEAN, tailed)
    assert "skewed_target" not in findings_of(CLEAN, tailed, "ranking")


def test_separation_by_hand() -> None:
    y = np.array([0, 0, 1, 1])
    assert checks._separation(np.array([1.0, 2.0, 3.0, 4.0]), y) == 1.0
    assert checks._separation(np.array([4.0, 3.0, 2.0, 1.0]), y) == 1.0
    # Three of four pairs in order: AUC 3/4. A missing cell comes before all numbers.
    assert checks._separation(np.array([1.0, 3.0, 2.0, 4.0]), y) == 0.5
    assert checks._separation(np.array([np.nan, 2.0, 3.0, 4.0]), y) == 1.0
    assert checks._separation(np.ones(4), y) == 0.0
    assert checks._separation(np.ones(2), y[:2]) == 0.0


def test_explained_variance_by_hand() -> None:
    y = np.array([[0.0], [2.0], [4.0], [6.0]])
    codes = np.array([0, 0, 1, 1])
    # Between the bins 16, within 2 + 2; adjusted: 1 − (4 / 2) / (20 / 3).
    assert checks._explained(codes, 2, y) == pytest.approx(0.7)
    assert checks._explained(codes, 2, np.ones((4, 1))) == 0.0


def test_long_tables_are_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_ROWS", 100)
    _, table, _ = learn_schema(CLEAN)
    sample, y = DataView(table, read_target(CLASSES, "auto", N, "Owner")).sample()
    assert (sample.n_rows, len(y)) == (100, 100)
    assert sample.numbers([0])[[0, -1], 0].tolist() == CLEAN["x"].iloc[[0, -1]].tolist()


@pytest.mark.parametrize("kind", ["rare class", "many classes", "value"])
def test_a_leak_among_very_many_columns(kind: str) -> None:
    rng = np.random.default_rng(1)
    y = {
        "rare class": np.where(np.arange(2000) % 100 == 3, "yes", "no"),
        "many classes": np.array([f"c{i}" for i in rng.integers(0, 40, 2000)]),
        "value": np.round(rng.normal(size=2000), 1),
    }[kind]
    frame = pd.DataFrame(rng.normal(size=(2000, 260)), columns=[f"n{i}" for i in range(260)])
    assert "leakage" not in findings_of(frame, y, "regression" if kind == "value" else "classification")
    told = y * 3.0 if kind == "value" else pd.factorize(y)[0] * 1.0
    found = findings_of(frame.assign(told=told), y, "regression" if kind == "value" else "classification")
    assert found["leakage"].columns == ("told",)
