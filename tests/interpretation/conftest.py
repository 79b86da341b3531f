"""Models whose explanations are known on paper, on numbers, texts and times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation.explained import Explained


def make_explained(
    frame: pd.DataFrame, value: Callable[[Table], np.ndarray], task: Task = Task.REGRESSION, **settings: Any
) -> Explained:
    """A model on the rows of a frame."""
    _, table, _ = learn_schema(frame, None)
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("low", "mid", "high")}.get(task, ())
    return Explained(value, table, task, classes, **settings)


def make_numbers(n_rows: int = 200, n_columns: int = 4, seed: int = 0) -> pd.DataFrame:
    """Independent normal columns a, b, c, …"""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n_rows, n_columns)), columns=list("abcdefghijklmnopqrstuvwxyz")[:n_columns])


def make_logistic(score: Callable[[Table], np.ndarray]) -> Callable[[Table], np.ndarray]:
    """Two classes whose log-odds are a score."""

    def proba(table: Table) -> np.ndarray:
        p = 1.0 / (1.0 + np.exp(-score(table)))
        return np.column_stack([1.0 - p, p])

    return proba


@pytest.fixture
def explained() -> Callable[..., Explained]:
    """`make_explained(frame, value, task, **settings)`."""
    return make_explained


@pytest.fixture
def numbers() -> Callable[..., pd.DataFrame]:
    """`make_numbers(n_rows, n_columns, seed)`."""
    return make_numbers


@pytest.fixture
def logistic() -> Callable[..., Callable[[Table], np.ndarray]]:
    """`make_logistic(score)`."""
    return make_logistic
