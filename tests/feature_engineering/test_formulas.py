"""What a feature's formula says is what it is: features are computed again by their words, from the raw table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.feature_engineering import plan_features

N = 400
NUMBER = r"-?[\d.]+(?:e[+-]?\d+)?"


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    start = np.datetime64("2023-01-01", "us")
    frame = pd.DataFrame(
        {
            "length": rng.normal(50.0, 9.0, N),
            "income": rng.lognormal(8.0, 1.5, N),
            "city": rng.choice(["bern", "oslo", "rome", "ulm"], N, p=[0.5, 0.3, 0.198, 0.002]),
            "customer": [f"c{i}" for i in rng.integers(0, 90, N)],
            "seen": pd.Series(start + rng.integers(0, 700 * 86_400, N).astype("timedelta64[s]")).dt.tz_localize("UTC"),
            "paid": start + rng.integers(0, 700, N).astype("timedelta64[D]"),
        }
    )
    frame["seen"] = frame["seen"].dt.tz_convert("Europe/Berlin")
    for column in ("length", "city", "seen", "paid"):
        frame.loc[rng.random(N) < 0.1, column] = None
    frame.loc[3, "city"] = "ulm"
    return frame


LABELS = ["low", "mid", "high"]


@pytest.fixture(scope="module", params=[Task.BINARY, Task.MULTICLASS, Task.REGRESSION], ids=lambda t: t.value)
def told(request: pytest.FixtureRequest, raw: pd.DataFrame) -> tuple[Task, np.ndarray, dict[str, dict[str, tuple]]]:
    """Task, target, and per view: name of each feature → its formula and its values."""
    task = request.param
    n_classes = {Task.BINARY: 2, Task.MULTICLASS: 3, Task.REGRESSION: 1}[task]
    rng = np.random.default_rng(1)
    y = (
        rng.integers(0, n_classes, N)
        if n_classes > 1
        else raw["income"].to_numpy() / raw["length"].fillna(50).to_numpy()
    )
    schema, table, _ = learn_schema(raw)
    plan = plan_features(schema, task, n_classes, table)
    views = {}
    for name, recipe in plan.views.items():
        view = recipe.fit(table, y)
        facts = plan.metadata(view, LABELS[:n_classes] if n_classes > 1 else None)
        views[name] = {f["name"]: (f["formula"], x) for f, x in zip(facts, view.transform(table).T, strict=True)}
    return task, y, views


def same(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    """Equal where both are known, missing at the same places."""
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def read(pattern: str, formula: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern, formula)
    assert match is not None, formula
    return match.groups()


def test_numbers_as_they_are(told: tuple, raw: pd.DataFrame) -> None:
    formula, values = told[2]["tree"]["length"]
    assert formula == "length as it is; missing stays missing"
    same(values, raw["length"].to_numpy())


@pytest.mark.parametrize("column", ["length", "income"])
def test_scaled_numbers(told: tuple, raw: pd.DataFrame, column: str) -> None:
    formula, values = told[2]["dense"][column]
    pattern = rf"{column}, gaps filled by ({NUMBER}), held between ({NUMBER}) and ({NUMBER})"
    pattern += rf"(?:, brought to sign\(x\) log\(1 \+ \|x\| / ({NUMBER})\))?, minus ({NUMBER}), divided by ({NUMBER})"
    fill, low, high, unit, centre, scale = read(pattern, formula)
    x = raw[column].fillna(float(fill)).clip(float(low), float(high)).to_numpy()
    assert (unit is not None) is (column == "income")
    if unit is not None:
        x = np.sign(x) * np.log(1 + np.abs(x) / float(unit))
    # Six digits are shown.
    same(values, (x - float(centre)) / float(scale), 1e-4)


def test_gaps(told: tuple, raw: pd.DataFrame) -> None:
    formula, values = told[2]["dense"]["length_missing"]
    assert formula == "1 if length is missing, else 0"
    same(values, raw["length"].isna().to_numpy() * 1.0)


def test_levels(told: tuple, raw: pd.DataFrame) -> None:
    features = told[2]["dense"]
    for level in ("bern", "oslo", "rome"):
        formula, values = features[f"city_{level}"]
        assert formula == f"1 if city is '{level}', else 0"
        same(values, (raw["city"] == level).to_numpy() * 1.0)
    same(features["city_missing"][1], raw["city"].isna().to_numpy() * 1.0)
    formula, values = features["city_rare"]
    assert formula == "1 if city is none of its 4 common levels, else 0"
    same(values, (raw["city"] == "ulm").to_numpy() * 1.0)


def test_codes(told: tuple, raw: pd.DataFrame) -> None:
    formula, values = told[2]["tree"]["city"]
    levels = sorted(raw["city"].fillna("").unique())
    assert formula == f"place of city among its {len(levels)} sorted levels, from 0; -1: none of them"
    same(values, raw["city"].fillna("").map(levels.index).to_numpy(dtype=float))


def test_statistics_of_the_target(told: tuple, raw: pd.DataFrame) -> None:
    task, y, views = told
    features = {n: f for n, f in views["target"].items() if n.startswith("customer_target_mean")}
    assert len(features) == (3 if task is Task.MULTICLASS else 1)
    for formula, values in features.values():
        pattern = r"(mean of the target|share of class '(\w+)') among training rows of the same customer, "
        pattern += rf"smoothed by (\d+) rows towards the overall ({NUMBER})"
        _, label, rows, overall = read(pattern, formula)
        target = pd.Series(y if label is None else (y == LABELS.index(label)) * 1.0)
        assert float(overall) == pytest.approx(target.mean(), rel=1e-5)
        groups = target.groupby(raw["customer"])
        total, n = groups.transform("sum"), groups.transform("size")
        same(values, ((total + float(rows) * float(overall)) / (n + float(rows))).to_numpy(), 1e-5)
    formula, values = views["target"]["customer_log_count"]
    assert formula == "logarithm of 1 plus the number of training rows of the same customer"
    same(values, np.log(1.0 + raw.groupby("customer")["customer"].transform("size").to_numpy()))


def test_calendar(told: tuple, raw: pd.DataFrame) -> None:
    features = told[2]["tree"]
    clock, epoch = raw["seen"].dt, pd.Timestamp("1970-01-01")
    parts = {
        "year": ("year", clock.year),
        "quarter": ("quarter (1 to 4)", clock.quarter),
        "month": ("month (1 to 12)", clock.month),
        "day": ("day of the month", clock.day),
        "day_of_year": ("day of the year (1 to 366)", clock.day_of_year),
        "weekday": ("weekday (Monday is 0)", clock.day_of_week),
        "hour": ("hour", clock.hour),
        "minute": ("minute", clock.minute),
        "second_of_day": ("seconds since midnight", clock.hour * 3600 + clock.minute * 60 + clock.second),
    }
    for part, (words, expected) in parts.items():
        formula, values = features[f"seen_{part}"]
        assert formula == f"{words} of seen on the clock of Europe/Berlin"
        same(values, expected.to_numpy(dtype=float))
    formula, values = features["seen_is_weekend"]
    assert formula == "1 if seen on the clock of Europe/Berlin is a Saturday or Sunday, else 0"
    same(values, (clock.day_of_week >= 5).where(raw["seen"].notna()).to_numpy(dtype=float))
    seen = raw["seen"].dt.tz_convert(None)
    assert features["seen_days"][0] == "days from 1970-01-01 to seen"
    same(features["seen_days"][1], ((seen - epoch) / pd.Timedelta(days=1)).to_numpy())
    assert features["days_from_seen_to_paid"][0] == "days from seen to paid"
    same(features["days_from_seen_to_paid"][1], ((raw["paid"] - seen) / pd.Timedelta(days=1)).to_numpy())


def test_cycles(told: tuple, raw: pd.DataFrame) -> None:
    formula, values = told[2]["dense"]["paid_month_cos"]
    (turn,) = read(
        rf"cosine of the month \(January is 0\) of paid, ({NUMBER}) to a full turn; 0 where missing", formula
    )
    expected = np.cos(2 * np.pi * (raw["paid"].dt.month - 1) / float(turn)).fillna(0.0)
    same(values, expected.to_numpy())
    formula, values = told[2]["dense"]["days_from_seen_to_paid"]
    pattern = rf"days from seen to paid, gaps filled by ({NUMBER}), held between ({NUMBER}) and ({NUMBER}), "
    fill, low, high, centre, scale = read(pattern + rf"minus ({NUMBER}), divided by ({NUMBER})", formula)
    days = (raw["paid"] - raw["seen"].dt.tz_convert(None)) / pd.Timedelta(days=1)
    days = days.fillna(float(fill)).clip(float(low), float(high))
    same(values, ((days - float(centre)) / float(scale)).to_numpy(), 1e-4)
    assert told[2]["dense"]["seen_days_missing"][0] == "1 if the days from 1970-01-01 to seen are missing, else 0"


def test_arithmetic(told: tuple, raw: pd.DataFrame) -> None:
    features = {n: f for n, f in told[2]["engineered"].items() if re.search("_(plus|minus|times|by)_", n)}
    assert features
    functions = {"plus": np.add, "minus": np.subtract, "times": np.multiply, "divided by": np.divide}
    for formula, values in features.values():
        pattern = (
            "(length|income) (plus|minus|times|divided by) (length|income); missing where that is no finite number"
        )
        a, operator, b = read(pattern, formula)
        same(values, functions[operator](raw[a].to_numpy(), raw[b].to_numpy()))
