"""Stage 1: what is predicted from what, how success is measured, and what in the data deserves a warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.business import Business, apply_business, read_business
from automl_wf.core.criteria import Criterion, state_criteria
from automl_wf.core.findings import Finding, sort_findings
from automl_wf.core.fingerprint import Fingerprint, fingerprint_of
from automl_wf.core.metrics import Scoring, resolve_scoring
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.problem_definition.checks import CHECKS, DataView
from automl_wf.problem_definition.target import Target, read_target

__all__ = ["Problem", "Target", "define_problem", "read_target"]

_BASELINES = {
    Task.BINARY: "class frequencies of the training rows",
    Task.MULTICLASS: "class frequencies of the training rows",
    Task.REGRESSION: "mean of the training rows",
    Task.RANKING: "one score for every document",
}


@dataclass(frozen=True)
class Problem:
    """The problem, decided before any model is fitted.

    Parameters
    ----------
    task : Task
        What is predicted.
    scoring : Scoring
        What is optimised; greater is better.
    classes : ndarray of shape (n_classes,) or None
        Sorted class labels.
    positive : int
        Code of the positive class; 1 unless `pos_label` says otherwise.
    target_name : str
        Name of y.
    n_rows, n_columns : int
        Size of X.
    baseline : str
        What every model has to beat, in words.
    constraints : mapping
        Limits and success criteria that the user gave.
    findings : tuple of Finding
        Gravest first.
    fingerprint : Fingerprint
        Which data this is, for version control.
    business : Business or None
        What predictions are worth, as the user said.
    criteria : tuple of Criterion
        What is asked of the model: its score, to beat the baseline, limits. Judged once the model is there.
    """

    task: Task
    scoring: Scoring
    classes: NDArray[Any] | None
    positive: int
    target_name: str
    n_rows: int
    n_columns: int
    baseline: str
    constraints: Mapping[str, Any]
    findings: tuple[Finding, ...]
    fingerprint: Fingerprint
    business: Business | None = None
    criteria: tuple[Criterion, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for values and scores."""
        return 1 if self.classes is None else len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "task": self.task.value,
            "scoring": self.scoring.name,
            "scoring_label": self.scoring.label,
            "classes": None if self.classes is None else self.classes.tolist(),
            "positive_class": None if self.task is not Task.BINARY else self._positive_label(),
            "target_name": self.target_name,
            "n_rows": self.n_rows,
            "n_columns": self.n_columns,
            "baseline": self.baseline,
            "constraints": dict(self.constraints),
            "criteria": [asdict(criterion) for criterion in self.criteria],
            **({} if self.business is None else {"business": self.business.to_dict()}),
            "fingerprint": self.fingerprint.to_dict(),
        }

    def _positive_label(self) -> Any:
        return None if self.classes is None else self.classes[self.positive : self.positive + 1].tolist()[0]


def define_problem(
    target: Target,
    table: Table,
    *,
    scoring: str | Callable[..., float] | None = "auto",
    pos_label: Any = None,
    business: Mapping[str, Any] | None = None,
    group: NDArray[np.int64] | None = None,
    constraints: Mapping[str, Any] | None = None,
    findings: tuple[Finding, ...] = (),
) -> Problem:
    """State the problem and check the data for what would make its answer worthless.

    Parameters
    ----------
    target : Target
        y, read.
    table : Table
        X, read.
    scoring : str, callable or None, default="auto"
        scikit-learn's scorer name or callable, or one of our ranking metrics.
    pos_label : label, optional
        The positive class; default: the larger of the two labels.
    business : mapping, optional
        Costs, revenue, KPIs and columns, as for the estimators.
    group : ndarray of shape (n_rows,), optional
        Group or query of each row.
    constraints : mapping, optional
        Limits and success criteria.
    findings : tuple of Finding, default=()
        What reading X and y has already found.

    Returns
    -------
    Problem
        The problem and all findings so far.

    Raises
    ------
    InvalidParameter
        `scoring` or `business` does not fit the task, or `pos_label` is none of the classes.
    """
    positive = _positive(target, pos_label)
    scorer = resolve_scoring(None if scoring == "auto" else scoring, target.task, target.classes, positive)
    worth = read_business(business, target.task, target.classes, positive, table.n_rows)
    if worth is not None:
        is_auto = scoring is None or (isinstance(scoring, str) and scoring == "auto")
        worth, scorer = apply_business(worth, scorer, is_auto, target.classes, positive)
    view = DataView(table, target, group)
    found = [finding for check in CHECKS for finding in check(view)]
    return Problem(
        task=target.task,
        scoring=scorer,
        classes=target.classes,
        positive=positive,
        target_name=target.name,
        n_rows=table.n_rows,
        n_columns=len(table.schema.columns),
        baseline=_BASELINES[target.task],
        constraints=dict(constraints or {}),
        findings=sort_findings([*target.findings, *findings, *found, *(worth.findings if worth else ())]),
        business=worth,
        criteria=state_criteria(constraints or {}, scorer.label, scorer.greater_is_better),
        fingerprint=fingerprint_of(table, target.values, target.classes),
    )


def _positive(target: Target, pos_label: Any) -> int:
    if pos_label is None:
        return 1
    if target.task is not Task.BINARY or target.classes is None:
        raise InvalidParameter(f"The 'pos_label' parameter needs a target of two classes; this is {target.task.value}.")
    labels = target.classes.tolist()
    if pos_label not in labels:
        raise InvalidParameter(
            f"The 'pos_label' parameter must be one of the classes {labels}. Got {pos_label!r} instead."
        )
    return int(labels.index(pos_label))
