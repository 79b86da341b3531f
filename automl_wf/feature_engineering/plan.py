"""Which transformer for which kind of column: five views of one table, as recipes that every fold fits for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import gen_batches

from automl_wf.core.budget import check_clock
from automl_wf.core.kept_matrix import KeptMatrix, keep
from automl_wf.core.schema import Column, ColumnKind, Edge, Schema
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.base import Block, Described, Feature, FeatureTransformer, Numbers, seen_levels
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.civil_time import varying_parts
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles
from automl_wf.feature_engineering.datetime_parts import DatetimeParts
from automl_wf.feature_engineering.numeric_pass import NumericPass
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.one_hot import OneHot
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear
from automl_wf.feature_engineering.selected_view import SelectedRecipe, SelectedView, selected_views
from automl_wf.feature_engineering.target_statistics import TargetStatistics
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.word_weights import WordWeights

_MAX_ONE_HOT_LEVELS = 50
_MAX_ONE_HOT_WIDTH = 1000
_MAX_WORDS = 500
#: Bins of each number in the piecewise view, features it may have for them, and cells of all rows.
_MAX_BINS, _MAX_RAMPS, _MAX_RAMP_CELLS = 8, 600, 40_000_000
_ROWS_AT_ONCE, _ROWS_OF_PART = 1 << 12, 1 << 15
#: Cells of a matrix that memory is touched for between two looks at the clock.
_CELLS_AT_ONCE = 1 << 20
#: Cells of one step's features that are kept for other views of the same rows.
_MAX_SHARED_CELLS = 4_000_000
#: What a view without features holds.
CONSTANT = Feature("constant", "constant", (), "0: no column of the table is read")


@dataclass(frozen=True, eq=False)
class Step:
    """One transformer and the columns it is given.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted already if it learns nothing from rows, or if the step belongs to a FittedView.
    positions : tuple of int
        The columns, by their place in the schema.
    names : tuple of str
        Their names.
    edges : tuple of {"double", "string", "int64"}
        Their edges: one that they share, or doubles and strings.
    """

    transformer: FeatureTransformer[Any]
    positions: tuple[int, ...]
    names: tuple[str, ...]
    edges: tuple[Edge, ...]

    @property
    def edge(self) -> Edge | None:
        """The edge that all columns share; None: they do not."""
        return self.edges[0] if len(set(self.edges)) == 1 else None

    def read(self, table: Table) -> Block:
        """The block of the table that the transformer is given."""
        if self.transformer.takes_levels:
            return table.levels(self.positions)
        if self.edge == "double":
            return table.numbers(self.positions)
        return table.strings(self.positions) if self.edge == "string" else table.times(self.positions)

    def fit(self, table: Table, y: NDArray[Any] | None, weight: Numbers | None, seed: int) -> Step:
        """The step with a fitted transformer; itself if there is nothing to learn from rows."""
        if not self.transformer.is_fitted_on_rows:
            return self
        transformer = clone(self.transformer)
        if "random_state" in transformer.get_params():
            transformer.set_params(random_state=seed)
        return replace(self, transformer=transformer.fit(self.read(table), y, weight))

    @property
    def is_cross_fitted(self) -> bool:
        """Whether training rows have other features than new rows."""
        return type(self.transformer).write_training is not FeatureTransformer.write_training

    def write(self, table: Table, out: Numbers) -> None:
        """Write the features of new rows: of numbers in parts, so that a long block is not held beside its features."""
        if not out.size:
            return
        if self.edge != "double" or self.transformer.is_in_place or self.transformer.takes_levels:
            self.transformer.write(self.block_within(table, out), out)
            return
        for rows in gen_batches(table.n_rows, _ROWS_OF_PART):
            self.transformer.write(self.read(table.take(rows)), out[rows])

    def write_training(
        self, table: Table, y: NDArray[Any] | None, weight: Numbers | None, group: NDArray[Any] | None, out: Numbers
    ) -> None:
        """Write the features of the rows that the step was fitted on."""
        if self.is_cross_fitted and out.size:
            self.transformer.write_training(self.block_within(table, out), y, weight, group, out)
        else:
            self.write(table, out)

    def block_within(self, table: Table, out: Numbers) -> Block:
        """The block, read straight into `out` where the transformer allows it: wide tables are not held twice."""
        if not self.transformer.is_in_place:
            return self.read(table)
        columns = [np.asarray(table.cells[position]) for position in self.positions]
        # A few rows at a time: the columns of a long row-major matrix, one after the other, miss every cache.
        for rows in gen_batches(table.n_rows, _ROWS_AT_ONCE):
            for j, column in enumerate(columns):
                out[rows, j] = column[rows]
        return out[:, : len(self.positions)]


#: Step of a recipe, by identity → the step fitted, and its features of the rows it was fitted on.
Shared: TypeAlias = dict[int, tuple[Step, KeptMatrix]]


@dataclass(frozen=True, eq=False)
class FittedView(Described):
    """A recipe after `fit`: turns any table of the same schema into a matrix.

    Parameters
    ----------
    name : str
        Name of the view.
    steps : tuple of Step
        Fitted, in the order of their features.
    features : tuple of Feature
        One per column of the matrix; names are unique.
    order : {"C", "F"}
        Memory order of the matrix.
    anchor : tuple of int and edge
        Some column of the schema and its edge: where the graph of a view without features counts its rows.
    """

    name: str
    steps: tuple[Step, ...]
    features: tuple[Feature, ...]
    order: Literal["C", "F"]
    anchor: tuple[int, Edge]

    def transform(self, table: Table) -> Numbers:
        """Features of new rows.

        Parameters
        ----------
        table : Table
            Rows of the schema that the view was fitted on.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
        """
        X = self.empty(table.n_rows)
        for step, out in self.outputs(X):
            step.write(table, out)
        return X

    def transform_training(
        self, table: Table, y: NDArray[Any] | None, weight: Numbers | None, group: NDArray[Any] | None = None
    ) -> Numbers:
        """Features of the rows the view was fitted on: target statistics are cross-fitted.

        Parameters
        ----------
        table, y, weight
            What `fit` was given.
        group : ndarray of shape (n_rows,), default=None
            Rows of one group share a part of the cross-fit.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
        """
        X = self.empty(table.n_rows)
        for step, out in self.outputs(X):
            step.write_training(table, y, weight, group, out)
        return X

    def empty(self, n_rows: int) -> Numbers:
        """A matrix for the features of so many rows."""
        # Filled, not only allocated: pages are first touched in order, which is ten times faster in some containers.
        # So many at a time: where new memory is slow, a wide table's takes seconds.
        X = np.empty((n_rows, self.n_features), order=self.order)
        cells = X.ravel(order="K")
        for part in gen_batches(cells.size, _CELLS_AT_ONCE):
            check_clock(f"Making features of view {self.name!r}")
            cells[part] = 0.0
        return X

    def outputs(self, X: Numbers) -> list[tuple[Step, Numbers]]:
        """Each step, and its columns of the matrix."""
        ends = np.cumsum([0, *(s.transformer.n_features_out_ for s in self.steps)])
        return [(s, X[:, a:b]) for s, a, b in zip(self.steps, ends[:-1], ends[1:], strict=True)]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a view is made: steps not yet fitted.

    Parameters
    ----------
    name : str
        Name of the view.
    steps : tuple of Step
        In the order of their features.
    order : {"C", "F"}
        Memory order of the matrices: column-major fills fastest, row-major suits learners that multiply.
    anchor : tuple of int and edge
        As in FittedView.
    """

    name: str
    steps: tuple[Step, ...]
    order: Literal["C", "F"]
    anchor: tuple[int, Edge]

    @property
    def is_fitted_on_rows(self) -> bool:
        """Whether folds differ; if not, one matrix of all rows serves every fold."""
        return any(step.transformer.is_fitted_on_rows for step in self.steps)

    def fit(
        self, table: Table, y: NDArray[Any] | None = None, weight: Numbers | None = None, *, seed: int = 0
    ) -> FittedView:
        """Fit every step.

        Parameters
        ----------
        table : Table
            Training rows.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades; only target statistics read it.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights.
        seed : int, default=0
            Seed of the parts of the cross-fit.

        Returns
        -------
        FittedView
        """
        return self._fitted([step.fit(table, y, weight, seed) for step in self.steps])

    def n_columns(self, table: Table, y: NDArray[Any], *, seed: int) -> int:
        """Columns of the view, as rows like these ones have it."""
        return self.fit(table, y, seed=seed).n_features

    def _fitted(self, steps: Sequence[Step]) -> FittedView:
        features = [f for step in steps for f in step.transformer.features(step.names)]
        return FittedView(self.name, tuple(steps), unique_features(features or [CONSTANT]), self.order, self.anchor)

    def fit_transform(
        self,
        table: Table,
        y: NDArray[Any] | None,
        weight: Numbers | None = None,
        *,
        seed: int = 0,
        group: NDArray[Any] | None = None,
        shared: Shared | None = None,
    ) -> tuple[FittedView, Numbers]:
        """Fit every step and return the features of the training rows, target statistics cross-fitted.

        Parameters
        ----------
        table, y, weight, seed
            As in `fit`.
        group : ndarray of shape (n_rows,), default=None
            Rows of one group share a part of the cross-fit.
        shared : dict, default=None
            Cross-fitted steps that other recipes have fitted on these very rows with this seed, and their features;
            those of this recipe are added.

        Returns
        -------
        view : FittedView
        X : ndarray of shape (n_rows, n_features)
        """
        known: Shared = {} if shared is None else shared
        steps = []
        for step in self.steps:
            check_clock(f"Making features of view {self.name!r}")
            steps.append(known[id(step)][0] if id(step) in known else step.fit(table, y, weight, seed))
        view = self._fitted(steps)
        X = view.empty(table.n_rows)
        for unfitted, (step, out) in zip(self.steps, view.outputs(X), strict=True):
            check_clock(f"Making features of view {self.name!r}")
            if id(unfitted) in known:
                out[:] = known[id(unfitted)][1].make()
                continue
            step.write_training(table, y, weight, group, out)
            if shared is not None and step.is_cross_fitted and out.size <= _MAX_SHARED_CELLS:
                shared[id(unfitted)] = step, keep(out.copy(order="K"))
        return view, X


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """The views of one table.

    Parameters
    ----------
    views : mapping of str to Recipe
        "constant" (no features: the baseline's), "tree" (numbers with gaps, native category codes, calendar parts),
        "target" (the same with statistics of the target in place of codes), "engineered" (codes and statistics, and
        arithmetic on pairs of numbers), "dense" (imputed, scaled, one-hot, statistics of many levels, word weights,
        cycles) and "piecewise" (the same, and numbers spread over their bins); on wide tables "tree_selected" and
        "dense_selected", too. Views that would hold the same are one.
    """

    views: Mapping[str, Recipe | SelectedRecipe]

    @property
    def distinct_views(self) -> frozenset[str]:
        """Names of the views that hold something of their own: of equal ones the first."""
        first = {id(recipe): name for name, recipe in reversed(list(self.views.items()))}
        return frozenset(first.values()) - {CONSTANT.name}

    def metadata(self, fitted: FittedView | SelectedView, classes: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Name, kind, parents and formula of each feature of a fitted view, as plain JSON types."""
        return [feature_facts(f, classes) for f in fitted.features]


def feature_facts(feature: Feature, classes: Sequence[Any] | None = None) -> dict[str, Any]:
    """Name, kind, parents and formula as plain JSON types."""
    return {
        "name": feature.name,
        "kind": feature.kind,
        "parents": list(feature.parents),
        "formula": feature.told(classes),
    }


def plan_features(schema: Schema, task: Task, n_classes: int, table: Table) -> FeaturePlan:
    """Decide how each used column enters each view, from its kind and its cells but never from the target.

    Parameters
    ----------
    schema : Schema
        The input.
    task : Task
        What is predicted.
    n_classes : int
        Number of classes; 1 for values and grades.
    table : Table
        All rows of `fit`: vocabularies and the calendar parts that vary are read from them, so that the tree view is
        the same in every fold.

    Returns
    -------
    FeaturePlan
    """
    first = (schema.used or schema.columns)[0]
    anchor: tuple[int, Edge] = (first.position, first.edge)
    numbers = schema.of_kind(ColumnKind.NUMERIC, ColumnKind.BOOLEAN)
    categories = schema.of_kind(ColumnKind.CATEGORICAL, ColumnKind.TEXT)
    texts = schema.of_kind(ColumnKind.TEXT)
    measured = schema.of_kind(ColumnKind.NUMERIC)
    times = schema.of_kind(ColumnKind.DATETIME)
    vocabularies = [seen_levels(column) for column in table.strings(_positions(categories))]
    many = tuple(c for c, levels in zip(categories, vocabularies, strict=True) if len(levels) > _MAX_ONE_HOT_LEVELS)
    zones = [c.time_zone for c in times]
    parts = varying_parts(table.times(_positions(times)), zones)

    passed = _step(NumericPass().fit(np.empty((0, len(numbers)))), numbers)
    codes = _step(CategoryCodes(vocabularies).fit([]), categories)
    calendar = _step(DatetimeParts(zones, parts).fit(np.empty((0, len(times)), dtype=np.int64)), times)
    n_targets = n_classes if task.is_classification else 1
    statistics = TargetStatistics(n_targets)
    words = _step(WordStatistics(n_targets), texts)
    pairs = _step(Arithmetic(n_targets), measured) if len(measured) > 1 else ()
    n_words = max(50, _MAX_WORDS // max(len(texts), 1))
    one_hot = OneHot(max_levels=min(_MAX_ONE_HOT_LEVELS, max(5, _MAX_ONE_HOT_WIDTH // max(len(categories), 1))))
    beside = (
        *_step(one_hot, categories),
        *_step(statistics, many),
        *_step(WordWeights(max_words=n_words, max_pairs=n_words // 3), texts),
        *_step(DatetimeCycles(zones, parts), times),
    )
    learnt = (*_step(statistics, categories), *words)
    tree = Recipe("tree", (*passed, *codes, *calendar), "F", anchor)
    target = Recipe("target", (*passed, *learnt, *calendar), "F", anchor) if learnt else tree
    engineered = tree
    if learnt or pairs:
        engineered = Recipe("engineered", (*passed, *codes, *learnt, *pairs, *calendar), "F", anchor)
    dense = _dense_views(numbers, beside, anchor, table.n_rows)
    views = {"tree": tree, "target": target, "engineered": engineered, **dense}
    selected = selected_views(views, len(schema.used), n_targets)
    return FeaturePlan({CONSTANT.name: Recipe(CONSTANT.name, (), "F", anchor), **views, **selected})


def _dense_views(
    numbers: Sequence[Column], beside: tuple[Step, ...], anchor: tuple[int, Edge], n_rows: int
) -> dict[str, Recipe]:
    """Views for learners that multiply and add: they differ in what becomes of numbers with more than two values."""

    def recipe(name: str, transformer: FeatureTransformer[Any]) -> Recipe:
        return Recipe(name, (*_step(transformer, numbers), *beside), "C", anchor)

    dense = recipe("dense", NumericScaler())
    if any(column.n_unique > 2 for column in numbers):
        n_bins = min(_MAX_BINS, _MAX_RAMPS // len(numbers), _MAX_RAMP_CELLS // (len(numbers) * n_rows))
        if n_bins > 1:
            return {"dense": dense, "piecewise": recipe("piecewise", PiecewiseLinear(n_bins))}
    return {"dense": dense, "piecewise": dense}


def _step(transformer: FeatureTransformer[Any], columns: Sequence[Column]) -> tuple[Step, ...]:
    if not columns:
        return ()
    names, edges = tuple(c.name for c in columns), tuple(c.edge for c in columns)
    return (Step(transformer, _positions(columns), names, edges),)


def _positions(columns: Sequence[Column]) -> tuple[int, ...]:
    return tuple(c.position for c in columns)


def unique_features(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Number names that several features share: a column may be called like a feature of another one."""
    taken: set[str] = {f.name for f in features}
    met: set[str] = set()
    unique = []
    for feature in features:
        name, k = feature.name, 2
        if name in met:
            while f"{name}_{k}" in taken:
                k += 1
            name = f"{name}_{k}"
            taken.add(name)
        met.add(name)
        unique.append(replace(feature, name=name))
    return tuple(unique)
