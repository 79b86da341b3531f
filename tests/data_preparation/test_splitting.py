"""Folds: class shares, groups, copies, time, hold-outs and what users bring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, RepeatedKFold

from automl_wf.core.folds import Folds
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.data_preparation import splitting
from automl_wf.data_preparation.cleaning import Rows, arrange_rows
from automl_wf.data_preparation.splitting import TimeOrder, can_learn_from_past, make_folds, time_order
from automl_wf.exceptions import InvalidInput, InvalidParameter


def rows_of(y: Any, group: Any = None, copies: Any = None, index: Any = None, n_given: int | None = None) -> Rows:
    y = np.asarray(y)
    index = np.arange(len(y)) if index is None else np.asarray(index)
    group = None if group is None else np.asarray(group)
    copies = None if copies is None else np.asarray(copies)
    return Rows(index, y, None, group, copies, (), n_given or len(y))


def split(rows: Rows, task: Task = Task.BINARY, cv: Any = "auto", n_folds: int = 5, order: Any = None) -> Folds:
    return make_folds(rows, task, cv=cv, n_folds=n_folds, seed=0, order=order)


def is_partition(folds: Folds) -> bool:
    held_out = np.concatenate([valid for _, valid in folds.splits])
    return sorted(held_out) == list(range(folds.n_rows)) and all(
        sorted(np.r_[train, valid]) == list(range(folds.n_rows)) for train, valid in folds.splits
    )


def test_folds_keep_the_class_shares() -> None:
    y = np.r_[np.zeros(80, dtype=int), np.ones(20, dtype=int)]
    folds = split(rows_of(y))
    assert is_partition(folds)
    assert folds.is_partition
    assert [int(y[valid].sum()) for _, valid in folds.splits] == [4] * 5
    assert folds.description == "5-fold cross-validation keeping the class shares"


def test_folds_keep_a_continuous_target_in_proportion() -> None:
    y = np.random.default_rng(0).normal(size=200)
    folds = split(rows_of(y), Task.REGRESSION)
    lowest = y < np.quantile(y, 0.1)
    assert [int(lowest[valid].sum()) for _, valid in folds.splits] == [4] * 5


def test_a_class_of_one_row_is_left_to_chance() -> None:
    y = np.r_[np.zeros(10, dtype=int), np.ones(9, dtype=int), 2]
    folds = split(rows_of(y), Task.MULTICLASS)
    assert is_partition(folds)
    assert len(folds) == 5


def test_more_folds_than_rows_of_any_class() -> None:
    assert len(split(rows_of([0, 1, 0, 1]), cv=4)) == 4
    assert len(split(rows_of([0, 1, 0, 1]), cv=50)) == 4


@pytest.mark.parametrize("task", list(Task))
def test_groups_are_never_on_both_sides(task: Task) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 5)
    folds = split(rows_of(rng.integers(0, 2, 100), group), task)
    assert is_partition(folds)
    assert all(not set(group[a]) & set(group[b]) for a, b in folds.splits)
    assert "by group" in folds.description


def test_many_groups_are_not_stratified_but_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "MAX_STRATIFIED_GROUPS", 5)
    group = np.repeat(np.arange(20), 5)
    folds = split(rows_of(np.tile([0, 1], 50), group))
    assert is_partition(folds)
    assert all(not set(group[a]) & set(group[b]) for a, b in folds.splits)


def test_fewer_groups_than_folds() -> None:
    assert len(split(rows_of([0, 1] * 6, np.repeat([0, 1, 2], 4)))) == 3
    folds = split(rows_of(np.repeat([0, 1], 6), np.repeat([0, 1], 6)))
    assert is_partition(folds)
    with pytest.raises(InvalidInput, match="at least two groups"):
        split(rows_of([0, 1] * 6, np.zeros(12, dtype=int)))
    one_query = split(rows_of([0, 1] * 6, np.zeros(12, dtype=int)), Task.RANKING)
    assert is_partition(one_query)
    assert "group" not in one_query.description


def test_copies_of_a_row_stay_together() -> None:
    copies = np.repeat(np.arange(30), 2)
    folds = split(rows_of(copies % 2, copies=copies))
    assert is_partition(folds)
    assert all(not set(copies[a]) & set(copies[b]) for a, b in folds.splits)


def test_one_row_many_times_can_still_be_split() -> None:
    assert is_partition(split(rows_of(np.ones(10), copies=np.zeros(10, dtype=int)), Task.REGRESSION))


@pytest.mark.parametrize(("n", "size"), [(2, 1), (100, 20), (10_000, 2_000), (100_000, 10_000), (2_000_000, 20_000)])
def test_hold_out_sizes(n: int, size: int) -> None:
    folds = split(rows_of(np.zeros(n)), Task.RANKING, n_folds=1)
    assert [len(part) for part in folds.splits[0]] == [n - size, size]
    assert not folds.is_partition


def test_a_hold_out_keeps_class_shares_where_it_can_and_groups_always() -> None:
    y = np.tile([0, 0, 0, 1], 100)
    assert int(y[split(rows_of(y), n_folds=1).splits[0][1]].sum()) == 20
    assert len(split(rows_of(np.append(y, 2)), Task.MULTICLASS, n_folds=1).splits[0][1]) == 80
    assert len(split(rows_of(np.repeat(np.arange(50), 2)), Task.MULTICLASS, n_folds=1).splits[0][1]) == 20
    group = np.repeat(np.arange(40), 10)
    train, valid = split(rows_of(y, group), n_folds=1).splits[0]
    assert not set(group[train]) & set(group[valid])


def test_later_rows_are_judged_by_models_of_the_past() -> None:
    folds = split(rows_of(np.tile([0, 1], 60)), order=TimeOrder("t"))
    assert [(train.max() + 1, valid.min(), len(valid)) for train, valid in folds.splits] == [
        (20 * i, 20 * i, 20) for i in range(1, 6)
    ]
    assert not folds.is_partition
    assert folds.rows.tolist() == list(range(20, 120))
    assert len(split(rows_of(np.tile([0, 1], 60)), cv=5, order=TimeOrder("t")).rows) == 120


def test_parts_whose_past_has_one_class_are_left_out() -> None:
    late = rows_of(np.r_[np.zeros(50, dtype=int), np.tile([0, 1], 35)])
    assert can_learn_from_past(late, Task.BINARY)
    folds = split(late, order=TimeOrder("t"))
    assert len(folds) == 3
    assert all(len(np.unique(late.y[train])) == 2 for train, _ in folds.splits)
    assert not can_learn_from_past(rows_of(np.repeat([0, 1], 60)), Task.BINARY)
    assert can_learn_from_past(rows_of(np.repeat([0, 1], 60)), Task.REGRESSION)


def test_time_order_is_seen_where_nearly_every_row_is_later() -> None:
    times = pd.Series(pd.date_range("2024", periods=60))
    x = np.arange(60.0)
    gap = times.copy()
    gap[3] = pd.NaT
    assert time_order(learn_schema(pd.DataFrame({"x": x, "t": times}))[1]) == TimeOrder("t")
    for other in (times[::-1].reset_index(drop=True), times.dt.to_period("M").dt.to_timestamp(), gap):
        assert time_order(learn_schema(pd.DataFrame({"x": x, "t": other}))[1]) is None
    assert time_order(learn_schema(pd.DataFrame({"x": x, "t": times})[:49])[1]) is None


PAIRS = [(np.arange(0, 6), np.arange(6, 12)), (np.arange(6, 12), np.arange(0, 6))]


@pytest.mark.parametrize(
    "cv",
    [
        pytest.param(PAIRS, id="positions"),
        pytest.param(iter(PAIRS), id="generator"),
        pytest.param(np.array(PAIRS), id="array"),
        pytest.param([(a.tolist(), b.tolist()) for a, b in PAIRS], id="lists"),
        pytest.param([(np.isin(np.arange(12), a), np.isin(np.arange(12), b)) for a, b in PAIRS], id="masks"),
        pytest.param([(a, b - 12) for a, b in PAIRS], id="from the end"),
        pytest.param([(a[::-1], b) for a, b in PAIRS], id="any order"),
        pytest.param(KFold(2), id="splitter"),
    ],
)
def test_splits_of_the_user(cv: Any) -> None:
    folds = split(rows_of([0, 1] * 6), cv=cv)
    assert sorted(valid.tolist() for _, valid in folds.splits) == [list(range(6)), list(range(6, 12))]
    assert folds.is_partition
    assert "2 splits given by the user" in folds.description


def test_splits_of_the_user_follow_rows_that_were_rearranged_repeated_and_dropped() -> None:
    X = np.array([[5.0], [1.0], [3.0], [2.0]])
    _, table, _ = learn_schema(X)
    rows = arrange_rows(table, np.array([0.5, 0.5, 0.5, 0.7]), np.array([1.0, 2.0, 0.0, 1.0]), None)
    assert rows.index.tolist() == [1, 1, 0, 3]
    folds = split(rows, Task.REGRESSION, cv=[([0, 2], [1, 3]), ([1, 3], [0, 2])])
    assert [(a.tolist(), b.tolist()) for a, b in folds.splits] == [([2], [0, 1, 3]), ([0, 1, 3], [2])]
    assert folds.is_partition


def test_splitters_are_given_groups_and_may_hold_rows_out_more_than_once() -> None:
    group = np.repeat([0, 1, 2], 4)
    folds = split(rows_of([0, 1] * 6, group), cv=GroupKFold(3))
    assert all(not set(group[a]) & set(group[b]) for a, b in folds.splits)
    assert not split(rows_of([0, 1] * 6), cv=RepeatedKFold(n_splits=3, n_repeats=2)).is_partition
    assert len(split(rows_of([0, 1] * 6), cv=LeaveOneOut())) == 12


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "makes no split"),
        ([(range(6), range(5, 12))], "1 of them in both"),
        ([(range(12), [])], "0 held-out rows"),
        ([(range(6), range(6, 13))], "row 12 where X has 12 rows"),
        ([(range(6), [-13])], "row -13"),
        ([([0, 0, 1], range(6, 12))], "named twice"),
        ([([True, False], range(6, 12))], "a mask of shape"),
        ([([0.5], range(6, 12))], "expected row positions"),
        (GroupKFold(2), "cannot split these rows"),
        (KFold(50), "cannot split these rows"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_splits_that_cannot_be_used(cv: Any, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        split(rows_of([0, 1] * 6), cv=cv)


def test_one_row_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match="at least two rows"):
        split(rows_of([1]))
