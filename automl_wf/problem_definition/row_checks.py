"""Checks of the rows: copies, contradictions, and targets that follow the order in which rows were collected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.findings import Finding
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Strings
from automl_wf.core.tasks import Task
from automl_wf.problem_definition.association import indicators, rank_correlation
from automl_wf.problem_definition.data_view import DataView, EqualRows

#: Fewest rows that say anything.
MIN_ROWS = 50
#: Share of the rows that must be copies, or contradict each other, to be remarkable; from which on copies are grave.
REMARKABLE, MANY_COPIES = 0.01, 0.05
#: Equal rows are equal by chance if more than this share of the cells that several rows share have unequal targets.
MAX_DISAGREEMENT = 0.1
#: Equal rows are equal by chance if there are more than this many rows for each that differs.
MAX_REPEATS = 10
#: Smallest rank correlation that is worth a word, in itself and in standard errors; from which on it is grave.
ORDERED, BEYOND_CHANCE, STRONG = 0.1, 5.0, 0.5


def duplicate_rows(view: DataView) -> Iterator[Finding]:
    """Rows that repeat an earlier one, target included: on both sides of a split they are learnt by heart."""
    rows = view.equal_rows
    if rows is None or len(rows.y) < MIN_ROWS:
        return
    n_distinct = int(rows.n_targets.sum())
    share = 1.0 - n_distinct / len(rows.y)
    by_chance = rows.disagreement > MAX_DISAGREEMENT or n_distinct * MAX_REPEATS < len(rows.y)
    if share >= REMARKABLE and not by_chance:
        yield Finding(
            "duplicate_rows",
            "warning" if share >= MANY_COPIES else "info",
            f"{share:.1%} of {len(rows.y)} rows repeat an earlier one, target included.",
            "Drop them (X.drop_duplicates()) if they were recorded twice; say groups= if they belong together.",
        )


def contradictory_rows(view: DataView) -> Iterator[Finding]:
    """Rows of equal cells and unequal targets: how good the best of models could be."""
    rows = view.equal_rows
    if rows is None or len(rows.y) < MIN_ROWS or view.target.task is Task.RANKING:
        return
    share = float((rows.n_targets > 1)[rows.place].mean())
    best = _best_score(rows, view.target.classes is not None) if share >= REMARKABLE else 1.0
    if best <= 1.0 - REMARKABLE:
        bound = f"has an R² above {best:.3f}"
        if view.target.classes is not None:
            bound = f"is right on more than {best:.1%} of them"
        yield Finding(
            "contradictory_rows",
            "info",
            f"{share:.1%} of {len(rows.y)} rows have the cells of another row but not its target: no model of these "
            f"columns {bound}.",
            "More columns could tell these rows apart; more rows could not.",
        )


def _best_score(rows: EqualRows, is_classes: bool) -> float:
    """Accuracy or R² on these rows of a model that knows the best answer for all equal cells."""
    n, width = len(rows.y), len(rows.counts)
    if is_classes:
        classes, codes = np.unique(rows.y, return_inverse=True)
        pairs, counts = np.unique(rows.place * len(classes) + codes, return_counts=True)
        best = np.zeros(width)
        np.maximum.at(best, pairs // len(classes), counts)
        return float(best.sum() / n)
    means = np.bincount(rows.place, weights=rows.y, minlength=width) / rows.counts
    rest = float(((rows.y - means[rows.place]) ** 2).sum() / ((rows.y - rows.y.mean()) ** 2).sum())
    return 1.0 - rest


def running_numbers(view: DataView) -> Iterator[Finding]:
    """Numbers with another value in every row, all steps alike; text of this kind is no feature from the start."""
    names = []
    for column in view.table.schema.of_kind(ColumnKind.NUMERIC):
        if view.table.n_rows < MIN_ROWS or column.n_unique < view.table.n_rows:
            continue
        cells = view.table.cells[column.position]
        if not isinstance(cells, Strings) and _steps_are_alike(cells):
            names.append(column.name)
    if names:
        yield Finding(
            "running_numbers",
            "warning",
            f"{names[:5]!r} count the rows, as identifiers do.",
            "Drop them: new rows will have values that were never seen.",
            tuple(names),
        )


def ordered_identifiers(view: DataView) -> Iterator[Finding]:
    """Numbers that count the rows, or rise with them, and follow the target."""
    table, y = view.sample()
    if table.n_rows < MIN_ROWS:
        return
    of_target = indicators(view.target, y)
    for column in view.table.schema.of_kind(ColumnKind.NUMERIC):
        cells = view.table.cells[column.position]
        if isinstance(cells, Strings) or column.n_unique < view.table.n_rows:
            continue
        if not (_is_monotone(cells) and bool((cells == np.floor(cells)).all())) and not _steps_are_alike(cells):
            continue
        found = rank_correlation(np.asarray(table.cells[column.position], dtype=np.float64), of_target)
        if _is_beyond_chance(found, table.n_rows):
            yield Finding(
                "ordered_identifier",
                "serious" if found >= STRONG else "warning",
                f"{column.name!r} differs from row to row and follows the target (rank correlation {found:.2f}).",
                "Drop it if it is a running number: new rows go on counting, and their targets do not follow.",
                (column.name,),
            )


def ordered_rows(view: DataView) -> Iterator[Finding]:
    """A target that follows the order of the rows, where no column tells their time."""
    table, y = view.sample()
    if view.group is not None or table.n_rows < MIN_ROWS or _has_order(view):
        return
    found = rank_correlation(np.arange(table.n_rows, dtype=np.float64), indicators(view.target, y))
    if _is_beyond_chance(found, table.n_rows):
        yield Finding(
            "ordered_rows",
            "info",
            f"The target follows the order of the rows (rank correlation {found:.2f}).",
            "It does not matter if they were sorted; if they were collected in this order, add the time as a column, "
            "so that models are judged on later rows.",
        )


def _steps_are_alike(numbers: NDArray[Any]) -> bool:
    """Whether numbers, each another one, are all steps of one size apart."""
    low, high = float(numbers.min()), float(numbers.max())
    places = (numbers[:MIN_ROWS] - low) * (len(numbers) - 1) / (high - low)
    # Few numbers show that most columns are none of this kind, before all are sorted.
    if np.abs(places - np.round(places)).max() > 1e-3:
        return False
    steps = np.diff(np.sort(numbers))
    return bool((steps == steps[0]).all())


def _has_order(view: DataView) -> bool:
    """Whether some column rises or falls from row to row: then the order of the rows is known."""
    for column in view.table.schema.of_kind(ColumnKind.NUMERIC, ColumnKind.DATETIME):
        cells = view.table.cells[column.position]
        is_complete = not column.n_missing and column.n_unique > MIN_ROWS
        if is_complete and not isinstance(cells, Strings) and _is_monotone(cells):
            return True
    return False


def _is_monotone(cells: NDArray[Any]) -> bool:
    """Whether values never fall, or never rise, from row to row; the first rows show that most do both."""
    for part in (cells[:MIN_ROWS], cells):
        steps = np.diff(part)
        if not bool((steps >= 0).all() or (steps <= 0).all()):
            return False
    return True


def _is_beyond_chance(correlation: float, n_rows: int) -> bool:
    return correlation >= ORDERED and correlation * np.sqrt(n_rows - 1) >= BEYOND_CHANCE
