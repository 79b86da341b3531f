"""Folds that respect classes, groups, equal rows and the order of time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    check_cv,
)

from automl_wf.core.folds import Folds
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.data_preparation.cleaning import Rows
from automl_wf.exceptions import InvalidInput, InvalidParameter

#: StratifiedGroupKFold looks at every group in turn; above this many groups their classes are left to chance.
MAX_STRATIFIED_GROUPS = 20_000
#: Bins of a regression target that random folds keep in proportion.
TARGET_BINS = 10


@dataclass(frozen=True)
class TimeOrder:
    """The column whose order the rows are in."""

    column: str


def time_order(table: Table) -> TimeOrder | None:
    """The datetime column that the rows follow, if nearly every row has a later time than the one before."""
    for column in table.schema.of_kind(ColumnKind.DATETIME):
        times = table.cells[column.position]
        if isinstance(times, Strings) or column.n_missing or table.n_rows < 50:
            continue
        steps = np.diff(times)
        if bool((steps >= 0).all()) and column.n_unique >= 0.9 * table.n_rows:
            return TimeOrder(column.name)
    return None


def can_learn_from_past(rows: Rows, task: Task) -> bool:
    """Whether the first half of rows in the order of time has more than one class."""
    return not task.is_classification or len(np.unique(rows.y[: len(rows.y) // 2])) > 1


def make_folds(
    rows: Rows,
    task: Task,
    *,
    cv: Any,
    n_folds: int,
    seed: int,
    order: TimeOrder | None,
) -> Folds:
    """Split the rows.

    Parameters
    ----------
    rows : Rows
        The rows in use.
    task : Task
        What is predicted.
    cv : "auto", int, splitter or iterable of (train, valid)
        The user's word.
    n_folds : int
        Folds when `cv` is "auto"; 1 means one hold-out part.
    seed : int
        Seed of random folds.
    order : TimeOrder or None
        Given if later rows must be predicted from earlier ones; parts whose past holds one class only are left out.

    Returns
    -------
    Folds
        Positions among the rows in use.

    Raises
    ------
    InvalidParameter
        The splits of `cv` overlap, repeat a row, name rows that X does not have, or are empty.
    InvalidInput
        There are fewer rows or groups than two folds need.
    """
    n = len(rows.index)
    if n < 2:
        raise InvalidInput(f"Found {n} sample (n_samples={n}): at least two rows are needed to learn and to judge.")
    if isinstance(cv, str):
        return _automatic(rows, task, n_folds, seed, order)
    if isinstance(cv, (int, np.integer)):
        return _automatic(rows, task, int(cv), seed, None)
    return _of_user(cv, rows, task)


def _automatic(rows: Rows, task: Task, n_folds: int, seed: int, order: TimeOrder | None) -> Folds:
    n = len(rows.index)
    if order is not None:
        k = min(max(n_folds, 2), n - 1)
        splits = list(TimeSeriesSplit(k).split(np.zeros(n)))
        if task.is_classification:
            splits = [s for s in splits if len(np.unique(rows.y[s[0]])) > 1]
        return Folds(
            tuple(splits), n, f"{len(splits)} parts in the order of {order.column!r}, each judged by the past", False
        )
    if rows.copies is not None and rows.group is None and rows.copies.max() > 0:
        return _keep_copies_together(rows, task, n_folds, seed)
    group = rows.group
    strata = _strata(rows, task)
    n_units = n if group is None else len(np.unique(group))
    if n_units < 2 and task is Task.RANKING:
        group, n_units = None, n
    if n_units < 2:
        raise InvalidInput("All rows belong to one group: at least two groups are needed to learn and to judge.")
    k = min(n_folds, n_units)
    by = " by group" if rows.group is not None and group is not None else ""
    stratified = " keeping the class shares" if task.is_classification else ""
    if k < 2:
        splits = [_hold_out(n, strata, group, seed)]
        return Folds(tuple(splits), n, f"one hold-out part of {len(splits[0][1])} rows{by}{stratified}", False)
    splits = _k_folds(n, k, strata, group, task, seed)
    return Folds(tuple(splits), n, f"{len(splits)}-fold cross-validation{by}{stratified}", True)


def _keep_copies_together(rows: Rows, task: Task, n_folds: int, seed: int) -> Folds:
    """Folds of the distinct rows; every copy goes where its original goes."""
    assert rows.copies is not None
    _, first = np.unique(rows.copies, return_index=True)
    distinct = replace(rows, index=rows.index[first], y=rows.y[first], weight=None, copies=None)
    folds = _automatic(distinct, task, n_folds, seed, None)
    splits = []
    for _, valid in folds.splits:
        is_held_out = np.zeros(len(first), dtype=bool)
        is_held_out[valid] = True
        held_out = is_held_out[rows.copies]
        splits.append((np.flatnonzero(~held_out).astype(np.intp), np.flatnonzero(held_out).astype(np.intp)))
    return replace(folds, splits=tuple(splits), n_rows=len(rows.index))


def _strata(rows: Rows, task: Task) -> NDArray[np.int64] | None:
    """What random folds keep in proportion: classes, or bins of a continuous target."""
    if task.is_classification:
        return rows.y.astype(np.int64)
    if task is Task.RANKING or len(rows.y) < 4 * TARGET_BINS:
        return None
    ranks = np.argsort(np.argsort(rows.y, kind="stable"), kind="stable")
    return (ranks * TARGET_BINS // len(ranks)).astype(np.int64)


def _k_folds(
    n: int, k: int, strata: NDArray[np.int64] | None, group: NDArray[np.int64] | None, task: Task, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    blank = np.zeros(n)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is a finding of its own; it is left to chance here.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        if group is None:
            if strata is None or int(np.bincount(strata).max()) < k:
                return list(KFold(k, shuffle=True, random_state=seed).split(blank))
            return list(StratifiedKFold(k, shuffle=True, random_state=seed).split(blank, strata))
        many = len(np.unique(group)) > MAX_STRATIFIED_GROUPS
        if strata is None or not task.is_classification or many or int(np.bincount(strata).max()) < k:
            return list(GroupKFold(k, shuffle=True, random_state=seed).split(blank, groups=group))
        splits = list(StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(blank, strata, group))
        splits = [s for s in splits if len(s[0]) and len(s[1])]
        # It may put all groups into one fold for the sake of the class shares.
        return splits or list(GroupKFold(k, shuffle=True, random_state=seed).split(blank, groups=group))


def _hold_out(
    n: int, strata: NDArray[np.int64] | None, group: NDArray[np.int64] | None, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """One part of clip(2500 / n, 1 %, 20 %) of the rows, between 10,000 and 100,000 of them on long tables."""
    share = min(max(2500 / n, 0.01), 0.2)
    size = max(int(min(max(share * n, min(10_000, 0.2 * n)), 100_000)), 1)
    blank = np.zeros(n)
    if group is not None:
        split = GroupShuffleSplit(1, test_size=size / n, random_state=seed).split(blank, groups=group)
    elif strata is not None and _can_stratify(strata, size):
        split = StratifiedShuffleSplit(1, test_size=size, random_state=seed).split(blank, strata)
    else:
        split = ShuffleSplit(1, test_size=size, random_state=seed).split(blank)
    train, valid = next(iter(split))
    return train, valid


def _can_stratify(strata: NDArray[np.int64], size: int) -> bool:
    """Whether each stratum has a row for either side."""
    _, counts = np.unique(strata, return_counts=True)
    return int(counts.min()) >= 2 and len(counts) <= min(size, len(strata) - size)


def _of_user(cv: Any, rows: Rows, task: Task) -> Folds:
    """The user's splitter or pairs, whose positions are those of X as given."""
    n_given = rows.n_given
    y = np.zeros(n_given, dtype=rows.y.dtype)
    y[rows.index] = rows.y
    group = None
    if rows.group is not None:
        group = np.zeros(n_given, dtype=np.int64)
        group[rows.index] = rows.group
    try:
        checked = check_cv(cv, y, classifier=task.is_classification)
        pairs = [
            (_read_rows(a, n_given), _read_rows(b, n_given)) for a, b in checked.split(np.zeros((n_given, 1)), y, group)
        ]
    except (TypeError, ValueError) as error:
        raise InvalidParameter(f"The 'cv' parameter cannot split these rows: {error}") from error
    if not pairs:
        raise InvalidParameter("The 'cv' parameter makes no split at all.")
    positions = _positions(rows.index, n_given)
    splits = tuple((_places(a, positions), _places(b, positions)) for a, b in pairs)
    for i, (train, valid) in enumerate(splits):
        if len(train) == 0 or len(valid) == 0 or len(np.intersect1d(train, valid)):
            raise InvalidParameter(
                f"The 'cv' parameter makes a split that cannot be used: split {i} has {len(train)} training and "
                f"{len(valid)} held-out rows, {len(np.intersect1d(train, valid))} of them in both."
            )
    held_out = np.concatenate([valid for _, valid in splits])
    n = len(rows.index)
    is_partition = len(held_out) == n and len(np.unique(held_out)) == n and len(splits) > 1
    return Folds(splits, n, f"{len(splits)} splits given by the user ({type(cv).__name__})", is_partition)


def _positions(index: NDArray[np.intp], n_given: int) -> list[NDArray[np.intp]]:
    """Where each row of X stands among the rows in use (none, one or several places)."""
    order = np.argsort(index, kind="stable")
    bounds = np.searchsorted(index[order], np.arange(n_given + 1))
    return [order[bounds[i] : bounds[i + 1]].astype(np.intp) for i in range(n_given)]


def _read_rows(given: Any, n_given: int) -> NDArray[np.intp]:
    """Ascending positions from positions or a mask."""
    rows = np.asarray(given)
    if rows.dtype == bool:
        if rows.shape != (n_given,):
            raise ValueError(f"a mask of shape {rows.shape} where X has {n_given} rows.")
        return np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, dtype=np.intp)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError(f"expected row positions or a mask, got an array of {rows.dtype} with shape {rows.shape}.")
    if rows.min() < -n_given or rows.max() >= n_given:
        raise ValueError(f"row {rows.max() if rows.max() >= n_given else rows.min()} where X has {n_given} rows.")
    distinct = np.unique(np.where(rows < 0, rows + n_given, rows))
    if len(distinct) < len(rows):
        raise ValueError("a row is named twice on one side of a split; use sample_weight to count it twice.")
    return distinct.astype(np.intp)


def _places(given: NDArray[np.intp], positions: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    found = [positions[i] for i in given]
    return np.sort(np.concatenate(found)).astype(np.intp) if found else np.empty(0, dtype=np.intp)
