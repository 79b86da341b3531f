"""Held-out rows that look unlike training rows are found, with the columns that give them away; others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit

from automl_wf import WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.core.folds import Folds
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.evaluation.shift import (
    AT_RANDOM,
    FEW_ROWS,
    MEASURED,
    NO_COLUMNS,
    NO_TIME,
    Shift,
    measure_shift,
    shift_findings,
)
from automl_wf.feature_engineering import plan_features

N = 1200


def shift_of(frame: pd.DataFrame, splitter: Any, group: Any = None, **options: Any) -> Shift:
    schema, table, _ = learn_schema(frame)
    splits = tuple(splitter.split(np.zeros(len(frame)), groups=group))
    recipe = plan_features(schema, Task.REGRESSION, 1, table).views["tree"]
    options = {"is_given": False, "budget": Budget(), "seed": 0, **options}
    return measure_shift(table, recipe, Folds(splits, len(frame), "", False), group, **options)


def noise(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "c": rng.choice(list("uvw"), n)})


def test_rows_split_at_random_are_not_asked_about() -> None:
    splitter = KFold(5, shuffle=True, random_state=0)
    assert shift_of(noise(), splitter) == Shift(AT_RANDOM)
    asked = shift_of(noise(), splitter, is_given=True)
    assert asked.status == MEASURED
    assert abs(asked.auc - 0.5) < 0.05
    assert asked.low <= 0.5 <= asked.high
    assert shift_findings(asked) == []
    assert asked.moved == ()


def test_the_auc_is_that_of_theory() -> None:
    # Two normal distributions one standard deviation apart: AUC = Φ(1 / √2).
    frame = noise(4000)
    splits = [(np.arange(2000), np.arange(2000, 4000))]
    frame.loc[2000:, "b"] += 1.0

    class Given:
        def split(self, X: Any, groups: Any = None) -> Any:
            return splits

    found = shift_of(frame, Given())
    assert found.auc == pytest.approx(ndtr(1 / np.sqrt(2)), abs=0.04)
    assert found.columns[0].column == "b"
    assert found.columns[0].gain_share > 0.5
    # The index of two such normal distributions is 1; ten bins keep most of it.
    assert 0.6 < found.columns[0].psi < 1.1
    assert [c.column for c in found.moved] == ["b"]


def test_later_rows_that_look_unlike_earlier_ones() -> None:
    frame = noise().assign(drifting=np.arange(N) / N * 3 + np.random.default_rng(1).normal(size=N))
    found = shift_of(frame, TimeSeriesSplit(5))
    assert found.is_shifted
    assert len(found.by_split) == 5
    assert found.columns[0].column == "drifting"
    (finding,) = shift_findings(found)
    assert (finding.code, finding.severity) == ("shifted_validation", "warning")
    assert finding.columns[0] == "drifting"
    assert f"AUC {found.auc:.2f}" in finding.message


def test_dates_are_left_out_where_rows_follow_them() -> None:
    frame = noise().assign(day=pd.date_range("2020-01-01", periods=N))
    found = shift_of(frame, TimeSeriesSplit(5))
    assert found.left_out == ("day",)
    assert not found.is_shifted
    assert abs(found.auc - 0.5) < 0.06
    assert shift_of(frame[["day"]], TimeSeriesSplit(5)).status == NO_COLUMNS


def test_groups_are_judged_by_groups_they_were_not_learnt_from() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(120), 10)
    # Each group has numbers of its own: by rows it is known again, by groups it is not.
    frame = noise().assign(own=rng.normal(size=120)[group], other=rng.normal(size=120)[group])
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    by_groups = shift_of(frame, splitter, group)
    assert by_groups.judged_by == "groups"
    assert by_groups.auc < 0.65
    assert not by_groups.is_shifted
    assert by_groups.moved == ()


def test_a_group_alone_is_told_from_the_others_by_its_rows() -> None:
    group = np.repeat(np.arange(5), N // 5)
    frame = noise().assign(site=group * 1.0)
    found = shift_of(frame, GroupKFold(5), group)
    assert (found.judged_by, found.is_shifted) == ("rows", True)
    assert found.columns[0].column == "site"


def test_without_time_or_rows_it_says_so() -> None:
    assert shift_of(noise(), TimeSeriesSplit(5), budget=Budget(0.0)).status == NO_TIME
    assert shift_of(noise(100), TimeSeriesSplit(5)).status == FEW_ROWS
    assert shift_findings(None) == shift_findings(Shift(NO_TIME)) == []


def test_rows_are_limited_and_the_seed_decides() -> None:
    frame = noise(6000)
    found = shift_of(frame, TimeSeriesSplit(5), max_rows=1000)
    assert found.n_rows == 1000
    assert found == shift_of(frame, TimeSeriesSplit(5), max_rows=1000)
    assert found != shift_of(frame, TimeSeriesSplit(5), max_rows=1000, seed=1)


def test_a_fit_on_rows_in_time_states_it(quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    frame = noise(600).assign(day=pd.date_range("2020-01-01", periods=600), level=np.arange(600) / 60)
    settings = {**quick, "cv": "auto", "estimators": ["linear"]}
    model = WorkflowRegressor(**settings).fit(frame, frame["a"] + frame["level"] + rng.normal(size=600))
    assert model.evaluation_.shift.left_out == ("day",)
    assert "shifted_validation" in {f.code for f in model.findings_}
    assert model.evaluation_.to_dict()["shift"]["columns"][0]["column"] == "level"
    at_random = WorkflowRegressor(**settings).fit(frame.drop(columns="day"), frame["a"])
    assert at_random.evaluation_.shift.status == AT_RANDOM
