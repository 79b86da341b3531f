"""Metrics by group, for the columns that a user calls sensitive: what differs, with intervals, and no verdict.

Whether a difference is right or wrong depends on what the predictions are used for, which no figure here knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.findings import Finding
from automl_wf.core.metrics import Floats
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import sample_rows
from automl_wf.evaluation.bins import name_level, name_range, quantile_codes
from automl_wf.evaluation.held_out import MEASURED, draw_counts
from automl_wf.evaluation.scores import Held
from automl_wf.exceptions import InvalidParameter

NO_METRIC = "not run: the rows of a ranking have no metric of their own"

#: Smaller groups are not shown: their figures would be chance, and might point at somebody.
MIN_ROWS = 30
MAX_GROUPS = 20
#: Bins of numbers and times; up to so many distinct numbers are groups of their own.
N_BINS, MAX_VALUES = 4, 5
N_DRAWS = 200
#: The intervals come from a sample of this size, scaled to all rows; groups with too few rows in it get none.
MAX_ROWS, MIN_SAMPLED = 20_000, 20

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class GroupMetric:
    """One metric of one group.

    Parameters
    ----------
    name, label : str
        Its name, and in words.
    value, low, high : float or None
        With a 95 % interval. None: the group's rows do not define it.
    difference, difference_low, difference_high : float or None
        The group's minus that of all rows, with a 95 % interval.
    ratio : float or None
        The group's over that of all rows.
    """

    name: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Group:
    """The held-out rows with one value of a column, or in one range."""

    name: str
    n: int
    metrics: tuple[GroupMetric, ...]


@dataclass(frozen=True)
class GroupedColumn:
    """One sensitive column.

    Parameters
    ----------
    column : str
        Its name.
    is_feature : bool
        Whether the model is given it.
    groups : tuple of Group
        The largest first, or in the order of their range.
    n_hidden : int
        Groups of fewer than 30 rows, and any beyond the twenty largest.
    """

    column: str
    is_feature: bool
    groups: tuple[Group, ...]
    n_hidden: int


@dataclass(frozen=True)
class Groups:
    """Differences observed between groups.

    Parameters
    ----------
    columns : tuple of GroupedColumn
        In the order in which the user named them.
    overall : tuple of GroupMetric
        Of all rows.
    n_rows, min_rows, n_draws : int
        Held-out rows, fewest rows of a group that is shown, bootstrap draws.
    positive : object
        The class that counts as positive; None with other than two classes.
    status : str
        "measured", or why not.
    """

    columns: tuple[GroupedColumn, ...] = ()
    overall: tuple[GroupMetric, ...] = ()
    n_rows: int = 0
    min_rows: int = MIN_ROWS
    n_draws: int = 0
    positive: Any = None
    status: str = MEASURED


def sensitive_columns(names: Sequence[Any] | None, schema: Schema) -> tuple[Column, ...]:
    """The columns that the user calls sensitive.

    Parameters
    ----------
    names : sequence or None
        The `sensitive` parameter.
    schema : Schema
        The columns of X.

    Returns
    -------
    tuple of Column
        Each once, in the order given.

    Raises
    ------
    InvalidParameter
        X has no such column; those it has are named.
    """
    by_name = {c.name: c for c in schema.columns}
    unknown = [name for name in names or () if str(name) not in by_name]
    if unknown:
        known = ", ".join(map(repr, list(by_name)[:10])) + (" …" if len(by_name) > 10 else "")
        raise InvalidParameter(
            f"The 'sensitive' parameter must be a list of columns of X, which are {known}. "
            f"Got {', '.join(map(repr, unknown[:5]))} among them instead."
        )
    return tuple(by_name[name] for name in dict.fromkeys(map(str, names or ())))


def sensitive_findings(columns: Sequence[Column]) -> list[Finding]:
    """Says that the model is given columns which the user calls sensitive."""
    used = [c.name for c in columns if c.is_used]
    if not used:
        return []
    return [
        Finding(
            "sensitive_features",
            "info",
            f"{len(used)} column(s) named as sensitive are inputs of the model: {', '.join(map(repr, used[:5]))}"
            f"{' …' if len(used) > 5 else ''}.",
            "Fit without them if the model must not use them; others may tell the same.",
            tuple(used),
        )
    ]


def measure_groups(
    held: Held,
    table: Table,
    columns: Sequence[Column],
    *,
    pos_index: int = 1,
    labels: Sequence[Any] = (),
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Groups:
    """Metrics of every group of some columns.

    Parameters
    ----------
    held : Held
        Held-out rows and their predictions.
    table : Table
        Their cells.
    columns : sequence of Column
        Columns to group by: categories and booleans by value, numbers and times by quarters of their distribution.
    pos_index : int, default=1
        Code of the positive class (binary).
    labels : sequence, default=()
        Class labels in order of their codes.
    seed : int, default=0
        Seed of the bootstrap.
    n_draws : int, default=200
        Bootstrap draws.

    Returns
    -------
    Groups
        Selection rate, rates of true and false positives, precision, accuracy and base rate (two classes); accuracy
        and the mean probability of the true class (more); mean absolute and mean error (regression).
    """
    sums = _sums(held, pos_index)
    if sums is None:
        return Groups(n_rows=len(held.y), status=NO_METRIC)
    rng = np.random.default_rng([seed, 2])
    rows = sample_rows(len(held.y), held.group, MAX_ROWS, rng)
    counts = draw_counts(len(rows), None if held.group is None else held.group[rows], n_draws, rng)
    bootstrap = _Bootstrap(sums, rows, counts, float(np.sqrt(len(rows) / len(held.y))))
    everyone = bootstrap.of(np.ones(len(held.y), dtype=bool))
    found = []
    for column in columns:
        shown, n_hidden = _groups_of(column, table.cells[column.position])
        groups = tuple(Group(name, int(m.sum()), _compared(sums, bootstrap.of(m), everyone)) for name, m in shown)
        found.append(GroupedColumn(column.name, column.is_used, groups, n_hidden))
    overall = tuple(
        GroupMetric(s.name, s.label, v, *i) for s, v, i in zip(sums, everyone.values, everyone.intervals(), strict=True)
    )
    positive = labels[pos_index] if held.task is Task.BINARY and labels else None
    return Groups(tuple(found), overall, len(held.y), MIN_ROWS, n_draws, positive)


# --- metrics as quotients of sums ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Quotient:
    """Σ numerator / Σ denominator over some rows; both are weighted."""

    name: str
    label: str
    numerator: Floats
    denominator: Floats
    bounds: tuple[float, float] = (0.0, 1.0)


def _sums(held: Held, pos_index: int) -> tuple[_Quotient, ...] | None:
    weight = np.ones(len(held.y)) if held.weight is None else held.weight
    if held.task is Task.RANKING:
        return None
    if held.task is Task.REGRESSION:
        error = held.prediction - held.y
        return (
            _Quotient("mae", "mean absolute error", weight * np.abs(error), weight, (0.0, np.inf)),
            _Quotient("bias", "mean of prediction minus truth", weight * error, weight, (-np.inf, np.inf)),
        )
    is_right = weight * (held.codes == held.y)
    if held.task is Task.MULTICLASS:
        of_truth = held.prediction[np.arange(len(held.y)), held.y]
        return (
            _Quotient("accuracy", "accuracy", is_right, weight),
            _Quotient("probability", "mean probability of the true class", weight * of_truth, weight),
        )
    said, true = weight * (held.codes == pos_index), weight * (held.y == pos_index)
    both = said * (held.y == pos_index)
    return (
        _Quotient("selection_rate", "selection rate", said, weight),
        _Quotient("base_rate", "share of the positive class", true, weight),
        _Quotient("tpr", "true positive rate", both, true),
        _Quotient("fpr", "false positive rate", said - both, weight - true),
        _Quotient("precision", "precision", both, said),
        _Quotient("accuracy", "accuracy", is_right, weight),
    )


@dataclass(frozen=True)
class _Drawn:
    """Values of all metrics for some rows, and what the draws gave, of shape (n_draws, n_metrics)."""

    sums: tuple[_Quotient, ...]
    values: list[float | None]
    draws: Floats
    scale: float

    def intervals(self) -> list[tuple[float | None, float | None]]:
        return [
            _interval(v, self.draws[:, i], self.scale, s.bounds)
            for i, (s, v) in enumerate(zip(self.sums, self.values, strict=True))
        ]


@dataclass(frozen=True)
class _Bootstrap:
    sums: tuple[_Quotient, ...]
    rows: NDArray[np.intp]
    counts: Floats
    scale: float

    def of(self, mask: Mask) -> _Drawn:
        """All metrics of the rows of a mask over all rows."""
        above = np.stack([s.numerator for s in self.sums])
        below = np.stack([s.denominator for s in self.sums])
        values = [
            float(a / b) if b > 0 else None
            for a, b in zip(above[:, mask].sum(axis=1), below[:, mask].sum(axis=1), strict=True)
        ]
        at = np.flatnonzero(mask[self.rows])
        counts, rows = self.counts[:, at], self.rows[at]
        # Not BLAS: its sums may differ in the last bit with the number of threads.
        numerators = np.einsum("bn,kn->bk", counts, above[:, rows])
        denominators = np.einsum("bn,kn->bk", counts, below[:, rows])
        drawn = np.full(numerators.shape, np.nan)
        if len(at) >= min(MIN_SAMPLED, len(mask)):
            np.divide(numerators, denominators, out=drawn, where=denominators > 0)
        return _Drawn(self.sums, values, drawn, self.scale)


def _interval(
    value: float | None, drawn: Floats, scale: float, bounds: tuple[float, float]
) -> tuple[float | None, float | None]:
    """Percentiles of the deviations of the draws from their mean, around the value."""
    drawn = drawn[np.isfinite(drawn)]
    if value is None or len(drawn) < 2:
        return None, None
    low, high = np.quantile((drawn - drawn.mean()) * scale, [0.025, 0.975])
    return max(value + float(low), bounds[0]), min(value + float(high), bounds[1])


def _compared(sums: tuple[_Quotient, ...], group: _Drawn, everyone: _Drawn) -> tuple[GroupMetric, ...]:
    metrics = []
    for i, (quotient, interval) in enumerate(zip(sums, group.intervals(), strict=True)):
        value, whole = group.values[i], everyone.values[i]
        difference = None if value is None or whole is None else value - whole
        ends = _interval(difference, group.draws[:, i] - everyone.draws[:, i], group.scale, (-np.inf, np.inf))
        is_ratio = value is not None and whole is not None and whole > 0 and quotient.bounds[0] == 0.0
        ratio = value / whole if is_ratio and value is not None and whole is not None else None
        metrics.append(GroupMetric(quotient.name, quotient.label, value, *interval, difference, *ends, ratio))
    return tuple(metrics)


# --- groups ----------------------------------------------------------------------------------------------------------


def _groups_of(column: Column, cells: Cells) -> tuple[list[tuple[str, Mask]], int]:
    """Name and rows of the groups that are shown, and how many are not."""
    if isinstance(cells, Strings):
        counts = np.bincount(cells.codes, minlength=len(cells.levels))
        order = np.argsort(-counts, kind="stable")[:MAX_GROUPS].tolist()
        shown = [
            (name_level(str(cells.levels[k])) or "missing", cells.codes == k) for k in order if counts[k] >= MIN_ROWS
        ]
        return shown, int((counts > 0).sum()) - len(shown)
    codes, n_codes = quantile_codes(cells, N_BINS)
    if column.kind is ColumnKind.BOOLEAN or column.n_unique <= MAX_VALUES:
        values, codes = np.unique(cells, return_inverse=True)
        codes, n_codes = codes.ravel(), len(values)
    masks = [mask for code in range(n_codes) if (mask := codes == code).any()]
    shown = [(name_range(cells[mask]), mask) for mask in masks if mask.sum() >= MIN_ROWS]
    return shown, len(masks) - len(shown)
