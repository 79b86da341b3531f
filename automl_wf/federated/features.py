"""The same features at every client: the views of the workflow, fitted on merged statistics instead of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, look_up
from automl_wf.feature_engineering.cross_fit import choose_targets, target_columns
from automl_wf.feature_engineering.datetime_parts import DatetimeParts
from automl_wf.feature_engineering.numeric_pass import NumericPass
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.one_hot import OneHot
from automl_wf.feature_engineering.plan import CONSTANT, FittedView, Step, unique_features
from automl_wf.feature_engineering.target_statistics import TargetStatistics, sums_per_part
from automl_wf.federated.statistics import Marginals, Moments, durations_of, numbered, numbers_of, target_code

Floats = NDArray[np.float64]
View = Literal["target", "dense"]
#: Levels of a column that have a column of their own; columns with more have statistics of the target, too.
MAX_ONE_HOT_LEVELS = 50
#: Parts of the cross-fit.
N_PARTS = 5


class Features:
    """Everything that follows from the statistics that all clients know.

    Parameters
    ----------
    view : {"target", "dense"}
        For trees (numbers with gaps, statistics of the target, calendar parts), or for linear models (scaled numbers,
        one-hot levels, statistics of the target where there are many, cycles of the calendar).
    task : Task
        What is predicted.
    schema : Schema
        The schema agreed on.
    marginals : Marginals
        Of all clients.
    """

    def __init__(self, view: View, task: Task, schema: Schema, marginals: Marginals) -> None:
        self.view, self.task, self.marginals = view, task, marginals
        self.schema = marginals.complete(schema)
        categories = self.schema.of_kind(ColumnKind.CATEGORICAL, ColumnKind.TEXT)
        self.categories = categories
        self.with_statistics = categories
        if view == "dense":
            self.with_statistics = tuple(c for c in categories if c.n_unique > MAX_ONE_HOT_LEVELS)
        counts = marginals.label_counts
        self.n_targets = len(counts) if task.is_classification else 1
        blank = TargetStatistics(self.n_targets)
        self.targets = choose_targets(
            np.arange(len(counts)), counts.astype(np.float64), self.n_targets, blank.max_classes
        )
        self.prior = np.array([float(marginals.target_sum) / int(marginals.n_rows)])
        if task.is_classification:
            self.prior = counts[list(self.targets)] / counts.sum()
        self.provisional = marginals.scaler()

    def index_of(self, column: Column) -> dict[str, int]:
        """Level → place among the levels of a column."""
        levels = self.marginals.level_text[self.marginals.levels_of(column.position)]
        return {level: i for i, level in enumerate(levels.tolist())}

    def moments(self, table: Table, y: NDArray[Any], parts: NDArray[np.int64], min_rows: int) -> Moments:
        """The sums of one client.

        Parameters
        ----------
        table : Table
            Its rows.
        y : ndarray of shape (n_rows,)
            Class codes, or values.
        parts : ndarray of shape (n_rows,)
            Part of the cross-fit of each row.
        min_rows : int
            Levels that fewer of its rows have are left out.

        Returns
        -------
        Moments
        """
        scaled = np.zeros((1, 0))
        if self.view == "dense":
            scaled = self.provisional.transform(numbers_of(table))[:, : len(self.provisional.fill_)]
        targets = target_columns(y, self.n_targets, self.targets)
        level_sums = np.zeros((N_PARTS, len(self.marginals.level_text), len(self.targets) + 1))
        for column in self.with_statistics:
            index = self.index_of(column)
            codes = self._codes(table, column, index)
            sums = sums_per_part(codes, len(index) + 1, parts, N_PARTS, targets, np.ones(len(y)))
            is_common = sums[:, :-1, -1].sum(axis=0) >= min_rows
            level_sums[:, self.marginals.levels_of(column.position)] = sums[:, :-1] * is_common[:, None]
        mean = target_code(self.task, self.marginals).mean
        square = 0.0 if self.task.is_classification else float(((y - mean) ** 2).sum())
        return Moments(scaled.sum(axis=0), (scaled**2).sum(axis=0), level_sums, np.array(square))

    def fitted(self, moments: Moments) -> FittedView:
        """The view that turns raw rows into features, from the sums of all clients."""
        schema = self.schema
        numbers = schema.of_kind(ColumnKind.NUMERIC, ColumnKind.BOOLEAN)
        times = schema.of_kind(ColumnKind.DATETIME)
        parts = self.marginals.parts_of_times()
        statistics = self._statistics(moments)
        if self.view == "target":
            passed = NumericPass().fit(np.empty((0, len(numbers))))
            calendar = DatetimeParts([c.time_zone for c in times], parts).fit(np.empty((0, len(times)), dtype=np.int64))
            chosen: list[tuple[FeatureTransformer[Any], Sequence[Column]]] = [
                (passed, numbers), (statistics, self.with_statistics), (calendar, times),
            ]  # fmt: skip
        else:
            scaler = self._scaler(moments)
            place = numbered(schema)
            cycles = durations_of(schema, parts)
            n_singles = len(place) - len(times)
            n_cyclic = cycles.n_features_out_ - cycles.scaler_.n_features_out_
            cycles.scaler_ = _some_columns(scaler, list(range(n_singles, len(scaler.fill_))))
            cycles.n_features_out_ = n_cyclic + cycles.scaler_.n_features_out_
            chosen = [
                (_some_columns(scaler, [place.index(c.position) for c in numbers]), numbers),
                (self._one_hot(), self.categories), (statistics, self.with_statistics), (cycles, times),
            ]  # fmt: skip
        steps = tuple(
            Step(
                transformer,
                tuple(c.position for c in columns),
                tuple(c.name for c in columns),
                tuple(c.edge for c in columns),
            )
            for transformer, columns in chosen
            if columns
        )
        features: list[Feature] = [f for step in steps for f in step.transformer.features(step.names)]
        first = (schema.used or schema.columns)[0]
        order: Literal["C", "F"] = "F" if self.view == "target" else "C"
        anchor = (first.position, first.edge)
        return FittedView(self.view, steps, unique_features(features or [CONSTANT]), order, anchor)

    def bins_of(self, view: FittedView, max_bins: int) -> list[tuple[int, int]]:
        """Most and fewest bins of each feature.

        A statistic of the target has a value per part of the cross-fit and level; how many of them differ is for no one
        to know.
        """
        n_levels = {c.name: c.n_unique for c in self.categories}
        bounds = [(f.kind == "statistic", N_PARTS * (n_levels.get(f.parents[0], 0) + 1)) for f in view.features]
        return [(min(max_bins, n), min(max_bins, n)) if is_padded else (max_bins, 1) for is_padded, n in bounds]

    def training(self, view: FittedView, table: Table, moments: Moments, parts: NDArray[np.int64]) -> Floats:
        """Features of a client's rows: statistics of the target do not know the rows of their own part, anywhere."""
        X, start = view.transform(table), 0
        for step in view.steps:
            if isinstance(step.transformer, TargetStatistics):
                self._cross_fit(step.transformer, table, moments, parts, X[:, start:])
            start += step.transformer.n_features_out_
        return X

    def _cross_fit(
        self, statistics: TargetStatistics, table: Table, moments: Moments, parts: NDArray[np.int64], out: Floats
    ) -> None:
        width = len(self.targets) + 1
        for j, column in enumerate(self.with_statistics):
            index = self.index_of(column)
            sums = moments.level_sums[:, self.marginals.levels_of(column.position)]
            sums = np.concatenate([sums, np.zeros((N_PARTS, 1, width))], axis=1)
            crossed = statistics.cross_fitted(sums, parts, self._codes(table, column, index))
            out[:, j * width : (j + 1) * width - 1] = crossed

    @staticmethod
    def _codes(table: Table, column: Column, index: dict[str, int]) -> NDArray[np.int64]:
        cells = table.cells[column.position]
        assert isinstance(cells, Strings)
        return look_up(cells, index, len(index))

    def _statistics(self, moments: Moments) -> TargetStatistics:
        sums = moments.level_sums.sum(axis=0)
        unseen = np.zeros((1, len(self.targets) + 1))
        return TargetStatistics(self.n_targets).fit_sums(
            [self.index_of(c) for c in self.with_statistics],
            [np.vstack([sums[self.marginals.levels_of(c.position)], unseen]) for c in self.with_statistics],
            self.targets,
            self.prior,
        )

    def _one_hot(self) -> OneHot:
        counted = [self.marginals.levels_of(c.position) for c in self.categories]
        return OneHot(max_levels=MAX_ONE_HOT_LEVELS).fit_counts(
            [
                dict(zip(self.marginals.level_text[at].tolist(), self.marginals.level_count[at].tolist(), strict=True))
                for at in counted
            ],
            int(self.marginals.n_rows),
        )

    def _scaler(self, moments: Moments) -> NumericScaler:
        """The provisional scaler with the exact mean and deviation of what it makes."""
        n_rows = int(self.marginals.n_rows)
        mean = moments.scaled_sum / n_rows
        deviation = np.sqrt(np.maximum(moments.scaled_square / n_rows - mean**2, 0.0))
        scaler = _some_columns(self.provisional, list(range(len(mean))))
        scaler.center_ = scaler.center_ + mean * scaler.scale_
        scaler.scale_ = scaler.scale_ * np.where(deviation > 0.0, deviation, 1.0)
        return scaler


def _some_columns(scaler: NumericScaler, places: list[int]) -> NumericScaler:
    """A scaler of some of the columns."""
    part = NumericScaler(scaler.tail, scaler.max_skewness)
    for name in ("fill_", "lower_", "upper_", "unit_", "center_", "scale_"):
        setattr(part, name, getattr(scaler, name)[places])
    part.gaps_ = np.flatnonzero(np.isin(places, scaler.gaps_))
    part.n_features_out_ = len(places) + len(part.gaps_)
    return part
