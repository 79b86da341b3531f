"""What clients tell of their rows before any model is fitted: counts, sums and sketches, which the server adds up.

First come the marginals, column by column. From them and nothing else follows which levels are common, how numbers are
scaled and which calendar parts vary; so that the second question, for sums of scaled numbers and of the target per
level, means the same at every client, and so do the features in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.sketch import QuantileSketch
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidTarget
from automl_wf.feature_engineering.civil_time import DATE_PARTS, PARTS, US_PER_DAY, varying_parts
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.model_selection.base import TargetCode

Floats = NDArray[np.float64]
#: Runs of a quantile sketch.
SKETCH_SIZE = 256
#: Levels of a column that a client tells of at most.
MAX_LEVELS = 1_000
#: Calendar parts that all dates have; the others are made where a client has times of day.
_CLOCK_PARTS = tuple(part for part in PARTS if part not in DATE_PARTS and part not in ("weekday", "is_weekend"))
#: Values that a sketch is spread to where a scaler learns from it.
_SPREAD = 4_000


@dataclass(frozen=True, eq=False)
class _Arrays:
    """Facts that are arrays, so that they are a message as they stand."""

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From the arrays of a message."""
        return cls(**arrays)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """As the arrays of a message."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Marginals(_Arrays):
    """Each column and the target for themselves.

    Parameters
    ----------
    n_rows : ndarray of shape ()
        Rows.
    missing : ndarray of shape (n_columns,)
        Missing cells per column.
    gaps : ndarray of shape (n_numbers,)
        Missing cells of the columns of numbers, then of days since 1970 and days between dates.
    means, counts : ndarray of shape (n_numbers, n_runs)
        Quantile sketches of the same.
    level_column, level_text, level_count : ndarray of shape (n_levels,)
        Levels that at least `min_rows` rows of a client have, their column's position, and those rows; in order.
    clock_varies : ndarray of shape (n_times, n_parts)
        Whether hours, seconds and so on of each column of dates vary.
    labels, label_counts : ndarray of shape (n_classes,)
        Classes in order, and their rows; empty for values.
    target_sum : ndarray of shape ()
        Sum of the values; 0 for classes.
    """

    n_rows: NDArray[np.int64]
    missing: NDArray[np.int64]
    gaps: NDArray[np.int64]
    means: Floats
    counts: Floats
    level_column: NDArray[np.int64]
    level_text: NDArray[np.str_]
    level_count: NDArray[np.int64]
    clock_varies: NDArray[np.bool_]
    labels: NDArray[Any]
    label_counts: NDArray[np.int64]
    target_sum: Floats

    @classmethod
    def measured(cls, table: Table, y: NDArray[Any], task: Task, min_rows: int) -> Marginals:
        """The marginals of one client.

        Parameters
        ----------
        table : Table
            Its rows, read by the schema agreed on.
        y : ndarray of shape (n_rows,)
            Labels, or values.
        task : Task
            Whether y holds classes.
        min_rows : int
            Fewest rows that a level or a run of a sketch stands for.

        Returns
        -------
        Marginals
        """
        columns = table.schema.columns
        numbers = numbers_of(table)
        sketches = [QuantileSketch.of(v, size=SKETCH_SIZE, min_rows=min_rows) for v in numbers.T]
        levels = [(c.position, *common) for c in columns for common in _common_levels(table, c, min_rows)]
        times = table.schema.of_kind(ColumnKind.DATETIME)
        varying = varying_parts(table.times([c.position for c in times]), [c.time_zone for c in times])
        labels, label_counts = np.empty(0, dtype="U1"), np.empty(0, dtype=np.int64)
        if task.is_classification:
            labels, label_counts = np.unique(y.astype(str) if y.dtype == object else y, return_counts=True)
        return cls(
            n_rows=np.array(table.n_rows),
            missing=np.array([_n_missing(table, c) for c in columns], dtype=np.int64),
            gaps=np.isnan(numbers).sum(axis=0),
            means=np.array([s.means for s in sketches]).reshape(-1, SKETCH_SIZE),
            counts=np.array([s.counts for s in sketches]).reshape(-1, SKETCH_SIZE),
            level_column=np.array([p for p, _, _ in levels], dtype=np.int64),
            level_text=np.array([text for _, text, _ in levels], dtype=str),
            level_count=np.array([n for _, _, n in levels], dtype=np.int64),
            clock_varies=np.array([[part in parts for part in _CLOCK_PARTS] for parts in varying], dtype=bool).reshape(
                -1, len(_CLOCK_PARTS)
            ),
            labels=labels,
            label_counts=label_counts,
            target_sum=np.array(0.0 if task.is_classification else y.sum()),
        )

    @classmethod
    def merged(cls, told: Sequence[Marginals]) -> Marginals:
        """What all clients tell together.

        Raises
        ------
        InvalidTarget
            Clients write their classes as different types.
        """
        levels: Counter[tuple[int, str]] = Counter()
        for m in told:
            keys = zip(m.level_column.tolist(), m.level_text.tolist(), strict=True)
            levels.update(dict(zip(keys, m.level_count.tolist(), strict=True)))
        ordered = sorted(levels)
        types = {m.labels.dtype.kind for m in told}
        if len(types) > 1:
            raise InvalidTarget("Clients write classes as different types: use text at all of them, or numbers at all.")
        labels, code = np.unique(np.concatenate([m.labels for m in told]), return_inverse=True)
        return cls(
            n_rows=np.sum([m.n_rows for m in told]),
            missing=np.sum([m.missing for m in told], axis=0),
            gaps=np.sum([m.gaps for m in told], axis=0),
            means=np.hstack([m.means for m in told]),
            counts=np.hstack([m.counts for m in told]),
            level_column=np.array([position for position, _ in ordered], dtype=np.int64),
            level_text=np.array([text for _, text in ordered], dtype=str),
            level_count=np.array([levels[key] for key in ordered], dtype=np.int64),
            clock_varies=np.any([m.clock_varies for m in told], axis=0),
            labels=labels,
            label_counts=np.bincount(
                code, np.concatenate([m.label_counts for m in told]), minlength=len(labels)
            ).astype(np.int64),
            target_sum=np.sum([m.target_sum for m in told]),
        )

    @property
    def sketches(self) -> list[QuantileSketch]:
        """One per column of numbers, then one per duration."""
        return [
            QuantileSketch.merged([QuantileSketch(means, counts)])
            for means, counts in zip(self.means, self.counts, strict=True)
        ]

    def levels_of(self, position: int) -> slice:
        """Where the levels of a column lie."""
        first, last = np.searchsorted(self.level_column, [position, position + 1])
        return slice(int(first), int(last))

    def parts_of_times(self) -> list[tuple[str, ...]]:
        """Calendar parts of each column of dates, in their order."""
        return [
            tuple(p for p in PARTS if p not in _CLOCK_PARTS or varies[_CLOCK_PARTS.index(p)])
            for varies in self.clock_varies.tolist()
        ]

    def complete(self, schema: Schema) -> Schema:
        """The schema agreed on with what the marginals add: gaps, values, ranges, levels, which columns are used."""
        sketches = dict(zip(numbered(schema), self.sketches, strict=False))
        columns, levels = [], {}
        for column, n_missing in zip(schema.columns, self.missing.tolist(), strict=True):
            at = self.levels_of(column.position)
            if column.edge == "string":
                levels[column.position] = self.level_text[at].astype(object)
                n_rare = int(self.n_rows) - int(self.level_count[at].sum())
                n_unique, n_kinds = at.stop - at.start, at.stop - at.start + (n_rare > 0)
                is_used = column.kind is not ColumnKind.IDENTIFIER and n_kinds > 1 and n_unique > 0
                columns.append(replace(column, n_missing=n_missing, n_unique=n_unique, is_used=is_used))
                continue
            sketch = sketches[column.position]
            is_time = column.edge == "int64"
            unit = US_PER_DAY if is_time else 1
            varies = sketch.n_distinct > 1 or (sketch.n_distinct == 1 and n_missing > 0)
            columns.append(
                replace(
                    column,
                    n_missing=n_missing,
                    n_unique=sketch.n_distinct,
                    is_used=is_time or varies,
                    minimum=float(sketch.means[0]) * unit if sketch.n_distinct else None,
                    maximum=float(sketch.means[-1]) * unit if sketch.n_distinct else None,
                )
            )
        return Schema(tuple(columns), schema.layout, int(self.n_rows), levels)

    def scaler(self) -> NumericScaler:
        """A scaler of all numbers and durations, learnt from values spread as the sketches say."""
        shares = (self.gaps / max(int(self.n_rows), 1)).tolist()
        spread = [sketch.spread(_SPREAD) for sketch in self.sketches]
        return NumericScaler().fit_samples(
            (values, share, share > 0) for values, share in zip(spread, shares, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Moments(_Arrays):
    """Sums that need the marginals of all clients to be asked for.

    Parameters
    ----------
    scaled_sum, scaled_square : ndarray of shape (n_numbers,)
        Sums of the numbers and durations as `Marginals.scaler` scales them, and of their squares.
    level_sums : ndarray of shape (n_parts, n_levels, n_targets + 1)
        Per part of the cross-fit and level, sums of the targets, and rows.
    target_square : ndarray of shape ()
        Sum of the squared distances of the values from their mean; 0 for classes.
    """

    scaled_sum: Floats
    scaled_square: Floats
    level_sums: Floats
    target_square: Floats

    @classmethod
    def merged(cls, told: Sequence[Moments]) -> Moments:
        """The sums of all clients."""
        return cls(**{name: np.sum([getattr(m, name) for m in told], axis=0) for name in vars(told[0])})


def durations_of(schema: Schema, parts: Sequence[Sequence[str]] | None = None) -> DatetimeCycles:
    """What makes durations of the columns of dates; its scaler has learnt nothing."""
    times = schema.of_kind(ColumnKind.DATETIME)
    given = [()] * len(times) if parts is None else parts
    return DatetimeCycles([c.time_zone for c in times], given).fit(np.empty((0, len(times)), dtype=np.int64))


def numbers_of(table: Table) -> Floats:
    """All columns of numbers, then all durations, of shape (n_rows, n_numbers)."""
    schema = table.schema
    numbers = table.numbers([c.position for c in schema.columns if c.edge == "double"])
    times = [c.position for c in schema.of_kind(ColumnKind.DATETIME)]
    return np.hstack([numbers, durations_of(schema).durations(table.times(times))]) if times else numbers


def numbered(schema: Schema) -> list[int]:
    """Position of the column of each number and of each elapsed time, in the order of `numbers_of`."""
    return [c.position for edge in ("double", "int64") for c in schema.columns if c.edge == edge]


def target_code(task: Task, marginals: Marginals, moments: Moments | None = None) -> TargetCode:
    """How the target is encoded; the scale of values needs the moments."""
    if task.is_classification:
        classes = tuple(range(len(marginals.labels)))
        return TargetCode(task, len(classes), classes, is_constant=len(classes) == 1)
    n_rows = max(int(marginals.n_rows), 1)
    scale = 1.0 if moments is None else float(np.sqrt(moments.target_square / n_rows))
    return TargetCode(task, 1, (), float(marginals.target_sum) / n_rows, scale or 1.0, is_constant=scale == 0.0)


def _common_levels(table: Table, column: Column, min_rows: int) -> list[tuple[str, int]]:
    """Levels that enough rows have, at most `MAX_LEVELS` of them, with these rows."""
    cells = table.cells[column.position]
    if not isinstance(cells, Strings) or column.kind is ColumnKind.IDENTIFIER:
        return []
    counts = np.bincount(cells.codes, minlength=len(cells.levels))
    ranked = sorted((-int(counts[i]), str(cells.levels[i])) for i in np.flatnonzero(counts >= min_rows))
    return [(text, -n) for n, text in ranked[:MAX_LEVELS]]


def _n_missing(table: Table, column: Column) -> int:
    cells = table.cells[column.position]
    if isinstance(cells, Strings):
        return int((cells.levels == "")[cells.codes].sum())
    return int(np.isnan(cells).sum() if column.edge == "double" else (cells == MISSING_TIME).sum())
