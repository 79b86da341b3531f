"""Checks of the data, each a function from DataView to findings, listed in CHECKS; those of the target are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.findings import Finding
from automl_wf.problem_definition.association import indicators, ranks_of, told_by
from automl_wf.problem_definition.column_checks import (
    LEAK,
    implausible_dates,
    leaking_durations,
    lists_in_cells,
    long_texts,
    near_copies,
    nearly_constant,
    telling_gaps,
)
from automl_wf.problem_definition.data_view import DataView
from automl_wf.problem_definition.row_checks import (
    contradictory_rows,
    duplicate_rows,
    ordered_identifiers,
    ordered_rows,
    running_numbers,
)
from automl_wf.problem_definition.target import Target

__all__ = ["CHECKS", "DataView"]

#: Above this many columns only those are looked at closely that tell this much in a first look at a few rows.
MANY_COLUMNS, SUSPICIOUS = 200, 0.6
FIRST_LOOK_ROWS, FIRST_LOOK_BINS, FIRST_LOOK_CLASSES = 500, 50, 20
#: Fewest rows per class that cross-validation with five folds can use.
FOLDS = 5


def leakage(view: DataView) -> Iterator[Finding]:
    """A column that alone tells the target."""
    table, y = view.sample()
    if table.n_rows < 50:
        return
    of_target = indicators(view.target, y)
    ranked = ranks_of(of_target)
    leaks = [
        table.schema.columns[position].name
        for position in _suspects(view)
        if told_by(table.cells[position], of_target, ranked) >= LEAK
    ]
    if leaks:
        yield Finding(
            "leakage",
            "serious",
            f"Each of {leaks[:5]!r} alone tells almost all of the target.",
            "Drop columns that are not known at the time of the prediction, or that were made from the target.",
            tuple(leaks),
        )


def imbalance(view: DataView) -> Iterator[Finding]:
    """A commonest class that dwarfs the others."""
    if view.target.classes is None:
        return
    counts = np.bincount(view.target.values, minlength=view.target.n_classes)
    share = counts.max() / counts.sum()
    if share >= 0.9:
        commonest = view.target.classes.tolist()[int(counts.argmax())]
        yield Finding(
            "imbalanced_classes",
            "warning",
            f"{share:.1%} of the rows belong to class {commonest!r}.",
            "Judge by ROC AUC, average precision or costs, not by accuracy; scoring='average_precision' optimises it.",
        )


def tiny_classes(view: DataView) -> Iterator[Finding]:
    """Classes rarer than the folds."""
    if view.target.classes is None:
        return
    counts = np.bincount(view.target.values, minlength=view.target.n_classes)
    labels = view.target.classes.tolist()
    tiny = [(label, int(c)) for label, c in zip(labels, counts, strict=True) if c < FOLDS]
    if tiny:
        shown = ", ".join(f"{label!r} ({count})" for label, count in tiny[:5])
        may_be_quantity = len(tiny) == len(labels) and view.target.classes.dtype.kind in "iuf"
        hint = " If y is a quantity, set task='regression' (--task regression)." if may_be_quantity else ""
        yield Finding(
            "tiny_classes",
            "warning",
            f"{len(tiny)} class(es) have fewer rows than there are folds: {shown}.",
            "Merge them into another class or collect more rows: nobody can say how well a model knows them." + hint,
        )


def few_rows(view: DataView) -> Iterator[Finding]:
    """So few rows that any score is a guess."""
    if view.table.n_rows < 100:
        yield Finding(
            "few_rows",
            "warning",
            f"There are only {view.table.n_rows} rows.",
            "Read every score with its interval; simple models are safer (preset='interpretable').",
        )


def skewed_target(view: DataView) -> Iterator[Finding]:
    """A long tail in a regression target."""
    if view.target.classes is not None or view.target.task.value != "regression":
        return
    y = view.target.values
    spread = float(np.std(y))
    if spread > 0:
        skewness = float(np.mean(((y - y.mean()) / spread) ** 3))
        if abs(skewness) > 5:
            yield Finding(
                "skewed_target",
                "info",
                f"The target has a long tail (skewness {skewness:.1f}): few rows dominate squared errors.",
                "If relative errors matter more, set scoring='neg_mean_absolute_error' or predict its logarithm.",
            )


#: Every check, in the order they are run.
CHECKS: tuple[Callable[[DataView], Iterator[Finding]], ...] = (
    leakage,
    leaking_durations,
    telling_gaps,
    ordered_identifiers,
    running_numbers,
    duplicate_rows,
    contradictory_rows,
    ordered_rows,
    imbalance,
    tiny_classes,
    few_rows,
    skewed_target,
    implausible_dates,
    near_copies,
    nearly_constant,
    lists_in_cells,
    long_texts,
)


def _suspects(view: DataView) -> list[int]:
    """Positions of the used columns that may be leaks: all of them, unless there are many."""
    used = [c.position for c in view.table.schema.used]
    if len(used) <= MANY_COLUMNS:
        return used
    numeric = [p for p in used if view.table.schema.columns[p].edge == "double"]
    rows = _balanced_rows(view.target)
    # Bins of equal size: a few rows more or less do not matter.
    rows = rows[np.linspace(0, len(rows) - 1, len(rows) // FIRST_LOOK_BINS * FIRST_LOOK_BINS).astype(np.intp)]
    y = indicators(view.target, view.target.values[rows])
    y = y[:, np.argsort(-y.var(axis=0), kind="stable")[:FIRST_LOOK_CLASSES]]
    size = len(rows) // FIRST_LOOK_BINS
    total = float(y.var(axis=0).sum())
    if total == 0 or size < 2:
        return used
    order = np.argsort(view.table.take(rows).numbers(numeric), axis=0, kind="stable")
    between = np.zeros(len(numeric))
    for column in y.T:
        between += column[order].reshape(FIRST_LOOK_BINS, size, -1).mean(axis=1).var(axis=0)
    dull = {p for p, told in zip(numeric, between / total, strict=True) if told < SUSPICIOUS}
    return [p for p in used if p not in dull]


def _balanced_rows(target: Target) -> NDArray[np.intp]:
    """At most FIRST_LOOK_ROWS rows, evenly spaced within each class, every class with as equal a share as it can."""
    n = len(target.values)
    if target.classes is None:
        return np.linspace(0, n - 1, min(n, FIRST_LOOK_ROWS)).astype(np.intp)
    share = max(FIRST_LOOK_ROWS // target.n_classes, 1)
    chosen = []
    for code in range(target.n_classes):
        rows = np.flatnonzero(target.values == code)
        chosen.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), share)).astype(np.intp)])
    return np.sort(np.concatenate(chosen))[:FIRST_LOOK_ROWS]
