"""Stage 2: which rows teach and which are held out, and what is done about weights, copies and imbalance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_wf.core.findings import Finding
from automl_wf.core.folds import Folds
from automl_wf.core.table import Table
from automl_wf.data_preparation.cleaning import Rows, arrange_rows
from automl_wf.data_preparation.splitting import can_learn_from_past, make_folds, time_order
from automl_wf.problem_definition import Problem

__all__ = ["DataPlan", "Rows", "arrange_rows", "prepare_data"]


@dataclass(frozen=True)
class DataPlan:
    """How the rows are used.

    Parameters
    ----------
    folds : Folds
        The splits that every configuration is judged on.
    n_rows : int
        Rows used in `fit`, after repeating them for integer weights.
    class_shares : mapping of str to float
        Share of each class.
    imbalance : str
        What is done about unequal classes, in words.
    cleaning : tuple of str
        What was done to the rows and columns, in words.
    findings : tuple of Finding
        What the user should know.
    """

    folds: Folds
    n_rows: int
    class_shares: Mapping[str, float]
    imbalance: str
    cleaning: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "folds": self.folds.description,
            "n_folds": len(self.folds),
            "n_rows": self.n_rows,
            "class_shares": dict(self.class_shares),
            "imbalance": self.imbalance,
            "cleaning": list(self.cleaning),
        }


def prepare_data(
    problem: Problem,
    table: Table,
    rows: Rows,
    *,
    cv: Any = "auto",
    n_folds: int = 5,
    seed: int = 0,
) -> DataPlan:
    """Decide the folds.

    Parameters
    ----------
    problem : Problem
        Stage 1's result.
    table : Table
        X as given, before `rows` rearranges it.
    rows : Rows
        The rows as they will be used.
    cv : "auto", int, splitter or iterable of (train, valid), default="auto"
        The user's word; row positions are those of X as given.
    n_folds : int, default=5
        Folds when `cv` leaves the number open; 1: one hold-out part.
    seed : int, default=0
        Seed of random folds.

    Returns
    -------
    DataPlan
        Folds on the rearranged rows.

    Raises
    ------
    InvalidParameter
        `cv` makes splits that cannot be used.
    """
    order = time_order(table) if isinstance(cv, str) and rows.group is None else None
    findings = []
    if order is not None and not can_learn_from_past(rows, problem.task):
        findings.append(
            Finding(
                "one_class_in_the_past",
                "warning",
                f"Rows are in the order of {order.column!r}, but the earlier half holds one class: folds are random.",
                "Scores do not tell how well later rows are predicted from earlier ones; collect rows of more time.",
                (order.column,),
            )
        )
        order = None
    folds = make_folds(rows, problem.task, cv=cv, n_folds=n_folds, seed=seed, order=order)
    if order is not None:
        findings.append(
            Finding(
                "time_ordered",
                "info",
                f"Rows are in the order of {order.column!r}, so models are judged on later rows than they learnt from.",
                "Set cv=5 if new rows will come from the same period instead.",
                (order.column,),
            )
        )
    shares: dict[str, float] = {}
    if problem.classes is not None:
        counts = np.bincount(rows.y, minlength=problem.n_classes)
        shares = {str(c): float(k / counts.sum()) for c, k in zip(problem.classes.tolist(), counts, strict=True)}
    return DataPlan(folds, len(rows.index), shares, _imbalance(problem, shares), rows.notes, tuple(findings))


def _imbalance(problem: Problem, shares: Mapping[str, float]) -> str:
    if not shares:
        return "no classes"
    if problem.scoring.rule is not None:
        return "probabilities are left as they are; the decision follows from the costs of errors"
    if problem.scoring.is_label_metric:
        return "probabilities are left as they are; the decision threshold is chosen for the metric"
    return "folds keep the class shares; probabilities are left as they are"
