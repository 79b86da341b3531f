"""Checks of the data, each a function from DataView to findings, listed in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_wf.core.findings import Finding
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Strings, Table
from automl_wf.problem_definition.target import Target

#: Rows that a check looks at: enough to see what matters, few enough to be free.
MAX_ROWS = 5_000
#: Share of the target's variation that a single column must explain, or of the pairs of two classes that it must put
#: in order beyond chance, to be called a leak.
LEAK = 0.995
#: Above this many columns only those are looked at closely that tell this much in a first look at a few rows.
MANY_COLUMNS, SUSPICIOUS = 200, 0.6
FIRST_LOOK_ROWS, FIRST_LOOK_BINS, FIRST_LOOK_CLASSES = 500, 50, 20
#: Fewest rows per class that cross-validation with five folds can use.
FOLDS = 5


@dataclass(frozen=True)
class DataView:
    """What the checks may look at."""

    table: Table
    target: Target
    group: NDArray[np.int64] | None = None

    def sample(self) -> tuple[Table, NDArray[Any]]:
        """At most MAX_ROWS rows, evenly spaced."""
        n = self.table.n_rows
        if n <= MAX_ROWS:
            return self.table, self.target.values
        rows = np.linspace(0, n - 1, MAX_ROWS).astype(np.intp)
        return self.table.take(rows), self.target.values[rows]


def leakage(view: DataView) -> Iterator[Finding]:
    """A column that alone tells the target."""
    table, y = view.sample()
    if table.n_rows < 50:
        return
    leaks = []
    indicators = _indicators(view.target, y)
    for position in _suspects(view):
        column, cells = table.schema.columns[position], table.cells[position]
        codes, n_levels = _bins(cells)
        told = _explained(codes, n_levels, indicators) if n_levels <= table.n_rows / 5 else 0.0
        if view.target.n_classes == 2 and not isinstance(cells, Strings):
            told = max(told, _separation(cells, y))
        if told >= LEAK:
            leaks.append(column.name)
    if leaks:
        yield Finding(
            "leakage",
            "serious",
            f"Each of {leaks[:5]!r} alone tells almost all of the target.",
            "Drop columns that are not known at the time of the prediction, or that were made from the target.",
            tuple(leaks),
        )


def running_numbers(view: DataView) -> Iterator[Finding]:
    """Numbers with another value in every row, all steps alike; text of this kind is no feature from the start."""
    names = []
    for column in view.table.schema.used:
        if view.table.n_rows < 50 or column.n_unique < view.table.n_rows or column.n_missing:
            continue
        cells = view.table.cells[column.position]
        if column.kind is ColumnKind.NUMERIC and not isinstance(cells, Strings):
            steps = np.diff(np.sort(cells))
            if bool((steps == steps[0]).all()) and steps[0] > 0:
                names.append(column.name)
    if names:
        yield Finding(
            "running_numbers",
            "warning",
            f"{names[:5]!r} count the rows, as identifiers do.",
            "Drop them: new rows will have values that were never seen.",
            tuple(names),
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
        yield Finding(
            "tiny_classes",
            "warning",
            f"{len(tiny)} class(es) have fewer rows than there are folds: {shown}.",
            "Merge them into another class or collect more rows: nobody can say how well a model knows them.",
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
    running_numbers,
    imbalance,
    tiny_classes,
    few_rows,
    skewed_target,
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
    y = _indicators(view.target, view.target.values[rows])
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


def _indicators(target: Target, y: NDArray[Any]) -> NDArray[np.float64]:
    if target.classes is None:
        return np.asarray(y, dtype=np.float64).reshape(-1, 1)
    return np.asarray(y[:, None] == np.arange(target.n_classes), dtype=np.float64)


def _bins(cells: Any) -> tuple[NDArray[np.int64], int]:
    """Bin of each row: levels of text, else at most 50 quantile bins with one for missing."""
    if isinstance(cells, Strings):
        distinct, codes = np.unique(cells.codes, return_inverse=True)
        return codes.astype(np.int64), len(distinct)
    values = cells.astype(np.float64)
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, 51)[1:-1])) if np.isfinite(values).any() else np.empty(0)
    codes = np.searchsorted(edges, values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, codes).astype(np.int64), len(edges) + 2


def _separation(cells: NDArray[Any], y: NDArray[Any]) -> float:
    """How well a threshold tells two classes apart: |2 AUC − 1|; missing cells come first."""
    ranks = rankdata(np.nan_to_num(cells.astype(np.float64), nan=-np.inf))
    n_ones = int(y.sum())
    n_pairs = n_ones * (len(y) - n_ones)
    if n_pairs == 0:
        return 0.0
    auc = (float(ranks[y == 1].sum()) - n_ones * (n_ones + 1) / 2) / n_pairs
    return abs(2.0 * auc - 1.0)


def _explained(codes: NDArray[np.int64], n_levels: int, y: NDArray[np.float64]) -> float:
    """Share of the variance of y's columns between the bins (correlation ratio), adjusted for their count."""
    counts = np.bincount(codes, minlength=n_levels).astype(np.float64)
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    if total == 0:
        return 0.0
    within = 0.0
    for column in y.T:
        sums = np.bincount(codes, weights=column, minlength=n_levels)
        means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        within += float(((column - means[codes]) ** 2).sum())
    n, used = len(y), int((counts > 0).sum())
    return 1.0 - (within / max(n - used, 1)) / (total / (n - 1))
