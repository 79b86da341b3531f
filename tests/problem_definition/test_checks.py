"""Each check fires on its example and is silent on clean data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.findings import Finding
from automl_wf.core.frame import learn_schema
from automl_wf.problem_definition import data_view, row_checks
from automl_wf.problem_definition.association import explained, rank_correlation, separation
from automl_wf.problem_definition.checks import CHECKS, DataView
from automl_wf.problem_definition.target import read_target

N = 300
RNG = np.random.default_rng(0)
CLEAN = pd.DataFrame({"x": RNG.normal(size=N), "c": RNG.choice(["u", "v"], N)})
CLASSES = RNG.choice(["no", "yes"], N)


def findings_of(X: Any, y: Any, task: str = "auto", group: Any = None) -> dict[str, Finding]:
    _, table, _ = learn_schema(X)
    view = DataView(table, read_target(y, task, len(y), "Owner"), group)
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
    assert "regression" not in found["tiny_classes"].advice
    prices = findings_of(CLEAN[:5], np.array([123600, 187000, 202665, 209500, 224000]))
    assert prices["tiny_classes"].advice.endswith("If y is a quantity, set task='regression' (--task regression).")


def test_few_rows_and_long_tails() -> None:
    assert "99 rows" in findings_of(CLEAN[:99], CLASSES[:99])["few_rows"].message
    tailed = np.append(np.zeros(N - 1), 1000.0) + RNG.random(N)
    assert "skewed_target" in findings_of(CLEAN, tailed)
    assert "skewed_target" not in findings_of(CLEAN, tailed, "ranking")


def test_separation_by_hand() -> None:
    y = np.array([0, 0, 1, 1])
    assert separation(np.array([1.0, 2.0, 3.0, 4.0]), y) == 1.0
    assert separation(np.array([4.0, 3.0, 2.0, 1.0]), y) == 1.0
    # Three of four pairs in order: AUC 3/4. A missing cell comes before all numbers.
    assert separation(np.array([1.0, 3.0, 2.0, 4.0]), y) == 0.5
    assert separation(np.array([np.nan, 2.0, 3.0, 4.0]), y) == 1.0
    assert separation(np.ones(4), y) == 0.0
    assert separation(np.ones(2), y[:2]) == 0.0


def test_explained_variance_by_hand() -> None:
    y = np.array([[0.0], [2.0], [4.0], [6.0]])
    codes = np.array([0, 0, 1, 1])
    # Between the bins 16, within 2 + 2; adjusted: 1 − (4 / 2) / (20 / 3).
    assert explained(codes, 2, y) == pytest.approx(0.7)
    assert explained(codes, 2, np.ones((4, 1))) == 0.0


def test_long_tables_are_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_view, "MAX_ROWS", 100)
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


def test_a_monotone_copy_of_the_target_tells_it_however_long_its_tail() -> None:
    y = RNG.lognormal(0.0, 2.0, N)
    assert findings_of(CLEAN.assign(told=np.log(y)), y)["leakage"].columns == ("told",)


# Columns --------------------------------------------------------------------------------------------------------------

DAYS = pd.date_range("2024-01-01", periods=700)


def test_two_dates_whose_distance_is_the_target() -> None:
    start, stay = pd.Series(RNG.choice(DAYS, N)), RNG.integers(1, 60, N)
    dates = CLEAN.assign(admitted=start, discharged=start + pd.to_timedelta(stay, unit="D"))
    found = findings_of(dates, stay * 1.0, "regression")
    assert found["leakage_by_duration"].columns == ("admitted", "discharged")
    assert found["leakage_by_duration"].severity == "serious"
    assert "leakage" not in found
    # What is known of the distance otherwise is no leak.
    other = findings_of(dates, np.sqrt(stay) + RNG.normal(size=N), "regression")
    assert "leakage_by_duration" not in other


def test_gaps_that_tell_the_outcome() -> None:
    left = np.where((CLASSES == "yes") & (RNG.random(N) < 0.9), RNG.normal(size=N), np.nan)
    found = findings_of(CLEAN.assign(left_on=left), CLASSES)
    assert found["telling_gaps"].columns == ("left_on",)
    assert "leakage" not in found
    at_random = np.where(RNG.random(N) < 0.5, RNG.normal(size=N), np.nan)
    assert findings_of(CLEAN.assign(left_on=at_random), CLASSES) == {}


def test_gaps_that_tell_one_class_of_several() -> None:
    y = RNG.choice(["a", "b", "c", "d"], N)
    found = findings_of(CLEAN.assign(told=np.where(y == "c", np.nan, RNG.normal(size=N))), y)
    assert found["telling_gaps"].message.endswith("'told' (100%).")


@pytest.mark.parametrize(
    ("odd", "is_found"),
    [("9999-12-31", True), ("1754-08-30", True), ("2090-01-01", False), ("1901-01-01", False)],
)
def test_dates_a_century_away(odd: str, is_found: bool) -> None:
    dates = pd.Series(RNG.choice(DAYS, N)).astype("datetime64[us]")
    dates[:3] = np.datetime64(odd)
    found = findings_of(CLEAN.assign(when=dates), CLASSES)
    assert ("implausible_dates" in found) is is_found
    if is_found:
        assert f"'when' (3, such as {odd})" in found["implausible_dates"].message


def test_a_column_of_old_dates_is_no_mistake() -> None:
    old = pd.Series(np.datetime64("1850-01-01", "us") + RNG.integers(0, 30_000, N).astype("timedelta64[D]"))
    assert "implausible_dates" not in findings_of(CLEAN.assign(born=old), CLASSES)


def test_columns_that_say_the_same_in_other_words() -> None:
    km, dept = RNG.lognormal(size=N), RNG.integers(0, 9, N)
    frame = pd.DataFrame(
        {
            "km": km,
            "miles": km / 1.609344,
            "rank": -np.argsort(np.argsort(km)) * 1.0,
            "dept": dept,
            "dept_name": np.array(list("ihgfedcba"))[dept],
            "other": RNG.integers(0, 9, N),
            "key": [f"k{i}" for i in range(N)],
        }
    )
    found = findings_of(frame, CLASSES)["near_copies"]
    assert set(found.columns) == {"miles", "rank", "dept_name"}
    assert "'miles' is in the same order as 'km'" in found.message
    assert "'dept_name' has the same groups of rows as 'dept'" in found.message
    noisy = frame[["km", "other"]].assign(near=km + 0.2 * RNG.normal(size=N))
    assert "near_copies" not in findings_of(noisy, CLASSES)


def test_copies_among_very_many_columns() -> None:
    wide = pd.DataFrame(RNG.normal(size=(N, 260)), columns=[f"n{i}" for i in range(260)])
    found = findings_of(wide.assign(copy=5 - 3 * wide["n7"]), CLASSES)
    assert found["near_copies"].columns == ("copy",)
    assert "near_copies" not in findings_of(wide, CLASSES)


def test_columns_of_one_value_but_for_two_rows() -> None:
    rare = np.zeros(N)
    rare[[5, 70]] = [1.0, 2.0]
    often = np.zeros(N)
    often[::20] = 1.0
    found = findings_of(CLEAN.assign(rare=rare, often=often, gaps=np.where(rare > 0, rare, np.nan)), CLASSES)
    assert found["nearly_constant_columns"].columns == ("rare", "gaps")


@pytest.mark.parametrize("separator", ["|", ";", ", "])
def test_lists_in_cells(separator: str) -> None:
    genres = ["action", "comedy", "drama", "noir", "western"]
    lists = [separator.join(RNG.permutation(genres)[: RNG.integers(1, 5)]) for _ in range(N)]
    found = findings_of(CLEAN.assign(genres=lists), CLASSES)["lists_in_cells"]
    assert found.columns == ("genres",)
    assert f"get_dummies('{separator.strip()}')" in found.advice
    brackets = [str(text.split(separator)) for text in lists]
    assert "lists_in_cells" in findings_of(CLEAN.assign(genres=brackets), CLASSES)


def test_what_has_commas_is_not_always_a_list() -> None:
    places = [f"town {i % 90}, {state}" for i, state in enumerate(RNG.choice(["ny", "ca", "wa"], N))]
    sentences = [f"we saw {i}, then {RNG.integers(1e6)}, and {RNG.integers(1e6)} of them" for i in range(N)]
    assert "lists_in_cells" not in findings_of(CLEAN.assign(place=places, said=sentences), CLASSES)


def test_documents() -> None:
    words = ["goose", "engine", "wing", "strike", "climb", "descent"]
    texts = [" ".join(RNG.choice(words, 150)) for _ in range(N)]
    assert findings_of(CLEAN.assign(report=texts), CLASSES)["long_texts"].columns == ("report",)
    short = [" ".join(RNG.choice(words, 5)) for _ in range(N)]
    assert "long_texts" not in findings_of(CLEAN.assign(report=short), CLASSES)


# Rows -----------------------------------------------------------------------------------------------------------------


def test_rows_that_were_recorded_twice() -> None:
    twice = pd.concat([CLEAN, CLEAN[:30]], ignore_index=True)
    found = findings_of(twice, np.r_[CLASSES, CLASSES[:30]])["duplicate_rows"]
    assert found.message == "9.1% of 330 rows repeat an earlier one, target included."
    assert found.severity == "warning"
    few = pd.concat([CLEAN, CLEAN[:5]], ignore_index=True)
    assert findings_of(few, np.r_[CLASSES, CLASSES[:5]])["duplicate_rows"].severity == "info"
    # Of another group they are other rows.
    groups = np.arange(330) // 30
    assert "duplicate_rows" not in findings_of(twice, np.r_[CLASSES, CLASSES[:30]], group=groups)


def test_rows_that_are_equal_by_chance_are_no_copies() -> None:
    few_values = pd.DataFrame({"a": RNG.integers(0, 4, N), "b": RNG.choice(["u", "v"], N)})
    found = findings_of(few_values, CLASSES)
    assert "duplicate_rows" not in found
    assert "contradictory_rows" in found


def test_how_good_a_model_of_these_columns_can_be() -> None:
    # Ten values of x, thirty rows each, twenty of which are "yes": no model is right more often than twice in three.
    x, y = np.repeat(np.arange(10.0), 30), np.tile(["yes", "yes", "no"], 100)
    found = findings_of(pd.DataFrame({"x": x}), y)["contradictory_rows"]
    assert found.message.startswith("100.0% of 300 rows have the cells of another row")
    assert "right on more than 66.7% of them" in found.message
    # Values 0 and 2 on top of x, whose variance is 8.25: of a variance of 9.25 in all, 1 is beyond reach.
    noise = np.tile([0.0, 2.0], 150)
    value = findings_of(pd.DataFrame({"x": x}), x + noise, "regression")["contradictory_rows"]
    assert f"R² above {8.25 / 9.25:.3f}" in value.message
    assert "contradictory_rows" not in findings_of(pd.DataFrame({"x": x}), x + noise, "ranking")


def test_running_numbers_that_follow_the_target() -> None:
    y = np.sort(CLASSES)
    found = findings_of(CLEAN.assign(row=np.arange(N)), y)
    assert found["ordered_identifier"].columns == ("row",)
    assert found["ordered_identifier"].severity == "serious"
    # Whole numbers that rise with the rows count them as well, whatever their steps are.
    account = np.cumsum(RNG.integers(1, 90, N))
    assert findings_of(CLEAN.assign(account=account), y)["ordered_identifier"].columns == ("account",)
    assert "ordered_identifier" not in findings_of(CLEAN.assign(account=account), CLASSES)
    assert "ordered_identifier" not in findings_of(CLEAN.assign(x=np.sort(CLEAN["x"])), y)


def test_a_target_that_follows_the_order_of_the_rows() -> None:
    drift = np.arange(N) / N + RNG.normal(size=N) * 0.5
    found = findings_of(CLEAN, drift)["ordered_rows"]
    assert f"rank correlation {rank_correlation(np.arange(N) * 1.0, drift[:, None]):.2f}" in found.message
    assert "ordered_rows" not in findings_of(CLEAN, drift, group=np.arange(N) // 10)
    assert "ordered_rows" not in findings_of(CLEAN.assign(day=DAYS[:N]), drift)


def test_long_tables_are_compared_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_view, "MAX_CELLS", 200)
    twice = pd.concat([CLEAN, CLEAN], ignore_index=True)
    assert "duplicate_rows" not in findings_of(twice, np.r_[CLASSES, CLASSES])
    monkeypatch.setattr(data_view, "MAX_CELLS", 1200)
    assert "50.0% of 600 rows" in findings_of(twice, np.r_[CLASSES, CLASSES])["duplicate_rows"].message


def test_steps_by_hand() -> None:
    assert row_checks._steps_are_alike(np.random.default_rng(0).permutation(100) * 0.5 + 7)
    assert not row_checks._steps_are_alike(np.append(np.arange(99.0), 300.0))
    assert not row_checks._steps_are_alike(np.random.default_rng(0).normal(size=100))
