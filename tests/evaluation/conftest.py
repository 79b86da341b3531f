"""Tables by hand, and held-out rows whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.evaluation.held_out import HeldOut
from automl_wf.evaluation.scores import Held


def strings(texts: Any) -> Strings:
    """A column of strings."""
    levels, codes = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    return Strings(codes.ravel().astype(np.int32), levels.astype(object))


def make_table(**cells: Any) -> Table:
    """A table: float arrays are numbers, integers times, `Strings` categories; a name in capitals is boolean."""
    columns = []
    for i, (name, values) in enumerate(cells.items()):
        if isinstance(values, Strings):
            kind, n_unique = ColumnKind.CATEGORICAL, int((values.levels != "").sum())
        else:
            kind = ColumnKind.NUMERIC if values.dtype.kind == "f" else ColumnKind.DATETIME
            kind = ColumnKind.BOOLEAN if name.isupper() else kind
            n_unique = len(np.unique(values))
        columns.append(Column(name, i, name, kind, "", "", 0, n_unique))
    n_rows = max(len(v.codes) if isinstance(v, Strings) else len(v) for v in cells.values())
    return Table(Schema(tuple(columns), "frame", n_rows), tuple(cells.values()), n_rows)


def make_held_out(
    table: Table,
    y: Any,
    prediction: Any,
    *,
    task: Task = Task.REGRESSION,
    group: Any = None,
    weight: Any = None,
    n_folds: int = 4,
    predict: Any = None,
    baseline: Any = None,
    scoring: str = "auto",
) -> HeldOut:
    """Held-out rows in `n_folds` folds that take turns."""
    held = Held(task, np.asarray(y), np.asarray(prediction, dtype=np.float64), weight, group)
    labels = tuple(f"c{k}" for k in range(held.prediction.shape[1])) if held.prediction.ndim == 2 else ()
    return HeldOut(
        table,
        held,
        np.arange(len(held.y)) % n_folds,
        (predict or (lambda t: np.zeros(t.n_rows)),) * n_folds,
        resolve_scoring(scoring, task),
        baseline,
        labels,
    )


@pytest.fixture
def table_of() -> Callable[..., Table]:
    """`make_table(**cells)`."""
    return make_table


@pytest.fixture
def strings_of() -> Callable[..., Strings]:
    """`strings(texts)`."""
    return strings


@pytest.fixture
def held_out_of() -> Callable[..., HeldOut]:
    """`make_held_out(table, y, prediction, …)`."""
    return make_held_out
