"""What the public transformers share: columns of their kind become features, all others are handed on as they are.

They are made of the same block transformers as the views of `plan.py`, for anyone's `sklearn.pipeline.Pipeline`: a
frame makes a frame, an array makes an array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from automl_wf.core.compat import check_parameters
from automl_wf.core.frame import learn_schema, read_table, take_rows
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidInput
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.plan import FittedView, Recipe, Step, unique_features
from automl_wf.problem_definition import Target, read_target

Raw: TypeAlias = pd.DataFrame | NDArray[Any]
#: For `take_rows`.
_EVERY_ROW = slice(None)


@dataclass(frozen=True, eq=False)
class Part:
    """Some columns of a table, and how they are read without the others.

    Parameters
    ----------
    places : tuple of int
        The columns, by their place in the table.
    schema : Schema
        These columns alone, counted from 0.
    """

    places: tuple[int, ...]
    schema: Schema

    @classmethod
    def of(cls, schema: Schema, columns: Sequence[Column]) -> Part:
        """The part of a schema that holds some of its columns."""
        alone = tuple(replace(c, position=i) for i, c in enumerate(columns))
        levels = {i: schema.levels[c.position] for i, c in enumerate(columns) if c.position in schema.levels}
        return cls(tuple(c.position for c in columns), Schema(alone, schema.layout, schema.n_rows, levels))

    def within(self, table: Table) -> Table:
        """These columns of a table that was read whole."""
        return Table(self.schema, tuple(table.cells[p] for p in self.places), table.n_rows)

    def take(self, raw: Raw) -> Raw:
        """These columns as they were given."""
        places = list(self.places)
        return raw.iloc[:, places] if isinstance(raw, pd.DataFrame) else raw[:, places]

    def read(self, raw: Raw, owner: str) -> Table:
        """These columns, read as the schema describes them."""
        if not self.places:
            return Table(self.schema, (), len(raw))
        cells = self.take(raw)
        if isinstance(cells, pd.DataFrame):
            cells = cells.set_axis(self.schema.names, axis=1)
        return read_table(cells, self.schema, owner=owner)


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a transformer holds after `fit`.

    Parameters
    ----------
    handed_on : Part
        The columns that are handed on as they are; they come first.
    treated : Part
        The columns that features are made of.
    view : FittedView or None
        Makes the features of the treated columns; None: there are none to make.
    attributes : mapping of str to object
        Fitted attributes beside those that all transformers have.
    """

    handed_on: Part
    treated: Part
    view: FittedView | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The fitted steps."""
        return () if self.view is None else self.view.steps

    def make(self, table: Table) -> Numbers:
        """Features of new rows of the treated columns."""
        if self.view is None:
            return np.empty((table.n_rows, 0))
        return self._without_constant(self.view.transform(table))

    def make_training(self, table: Table, y: NDArray[Any] | None) -> Numbers:
        """Features of the rows given to `fit`, cross-fitted where they depend on the target."""
        if self.view is None:
            return np.empty((table.n_rows, 0))
        return self._without_constant(self.view.transform_training(table, y, None))

    def _without_constant(self, made: Numbers) -> Numbers:
        """A view is never empty; here nothing is nothing."""
        return made[:, : sum(step.transformer.n_features_out_ for step in self.steps)]

    def metadata(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Name, kind, parents and formula of everything that comes out, given the names of all that goes in."""
        kinds: list[str] = [c.kind.value for c in self.handed_on.schema.columns]
        features = [Feature(names[p], "numeric", (names[p],), "handed on as it is") for p in self.handed_on.places]
        for step in self.steps:
            made = step.transformer.features([names[self.treated.places[q]] for q in step.positions])
            kinds += [f.kind for f in made]
            features += made
        return [
            {"name": f.name, "kind": kind, "parents": list(f.parents), "formula": f.formula}
            for f, kind in zip(unique_features(features), kinds, strict=True)
        ]


def columns_of(schema: Schema, *kinds: ColumnKind) -> list[Column]:
    """Columns of these kinds; those too that a model would not use, such as copies of another one."""
    return [c for c in schema.columns if c.kind in kinds]


def draw_seed(random_state: Any) -> int:
    """A seed for one `fit`."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def treat(
    table: Table,
    treated: Sequence[Column],
    assigned: Sequence[tuple[FeatureTransformer[Any], Sequence[Column]]],
    *,
    target: Target | None = None,
    seed: int = 0,
    hand_on_all: bool = False,
) -> Learnt:
    """Fit transformers to columns of a table.

    Parameters
    ----------
    table : Table
        All columns of the training rows.
    treated : sequence of Column
        The columns that features are made of, or that nothing is made of and that go no further.
    assigned : sequence of (FeatureTransformer, sequence of Column)
        Which transformer is given which of the treated columns; those without columns are left out.
    target : Target or None
        The target of the training rows, for transformers that learn from it.
    seed : int
        Seed of what they draw.
    hand_on_all : bool
        Whether the treated columns are handed on too.

    Returns
    -------
    Learnt
    """
    part = Part.of(table.schema, treated)
    place = {position: i for i, position in enumerate(part.places)}
    steps = tuple(
        Step(transformer, tuple(place[c.position] for c in columns), tuple(c.name for c in columns), columns[0].edge)
        for transformer, columns in assigned
        if columns
    )
    handed_on = Part.of(table.schema, [c for c in table.schema.columns if hand_on_all or c.position not in place])
    if not steps:
        return Learnt(handed_on, part)
    recipe = Recipe("treated", steps, "F", (0, treated[0].edge))
    return Learnt(handed_on, part, recipe.fit(part.within(table), None if target is None else target.values, seed=seed))


class TableTransformer(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Columns of one kind become features; all others are handed on."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    @property
    def _needs_target(self) -> bool:
        """Whether `fit` learns from y."""
        return False

    @abstractmethod
    def _learn(self, table: Table, target: Target | None) -> Learnt:
        """Learn from the training rows; `target` is there if it is needed."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._needs_target
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_learnt")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what each column is, and what the features of its kind need to know.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: numbers, booleans, text, categories, dates, gaps and all.
        y : array-like of shape (n_samples,), default=None
            Classes or values; read only where features are learnt from them. Text, booleans and at most 20 distinct
            whole numbers are classes.

        Returns
        -------
        TableTransformer
            This transformer, fitted.

        Raises
        ------
        InvalidParameter
            A parameter is not what it may be.
        InvalidInput
            X or y cannot be used.
        """
        self._fit(self._given(X), y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, and return the features of the same rows; those that depend on the target are cross-fitted.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table.
        y : array-like of shape (n_samples,), default=None
            Classes or values, as in `fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_features_out)
            As `transform` returns it.

        Raises
        ------
        InvalidParameter
            A parameter is not what it may be.
        InvalidInput
            X or y cannot be used.
        """
        raw = self._given(X)
        table, target = self._fit(raw, y)
        rows = self._learnt.treated.within(table)
        return self._arrange(raw, self._learnt.make_training(rows, None if target is None else target.values))

    def transform(self, X: Any) -> Any:
        """Columns that are handed on, then features.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`, in its order.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_features_out)
            A frame for a frame, with its index and, in columns that are handed on, its dtypes. An array for an array:
            float64 if all columns that are handed on are numbers, otherwise of objects.

        Raises
        ------
        InvalidInput
            X has other columns than in `fit`.
        InvalidCell
            A cell of a column that features are made of cannot be read; column, row and value are named.
        """
        check_is_fitted(self)
        raw = take_rows(X, _EVERY_ROW)
        try:
            validate_data(self, raw, reset=False, skip_check_array=True)
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        return self._arrange(raw, self._learnt.make(self._learnt.treated.read(raw, type(self).__name__)))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of what `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns. None: those of `fit`, or `x0`, `x1` … if it was given none.

        Returns
        -------
        ndarray of shape (n_features_out,)
            The names.

        Raises
        ------
        InvalidInput
            `input_features` are not the names of `fit`, or not as many.
        """
        check_is_fitted(self)
        return np.asarray([facts["name"] for facts in self._learnt.metadata(self._names_in(input_features))], object)

    def _names_in(self, input_features: Any = None) -> list[str]:
        try:
            # What is public of scikit-learn's check of names.
            return list(OneToOneFeatureMixin.get_feature_names_out(self, input_features))
        except ValueError as error:
            raise InvalidInput(str(error)) from None

    def _given(self, X: Any) -> Raw:
        """X as it was given, after a look at the parameters."""
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        return take_rows(X, _EVERY_ROW)

    def _fit(self, raw: Raw, y: Any) -> tuple[Table, Target | None]:
        schema, table, _ = learn_schema(raw)
        target = read_target(y, "auto", table.n_rows, type(self).__name__) if self._needs_target else None
        learnt = self._learn(table, target)
        validate_data(self, raw, reset=True, skip_check_array=True)
        self._learnt = learnt
        self.schema_ = schema
        self.feature_metadata_ = learnt.metadata(self._names_in())
        for name, value in learnt.attributes.items():
            setattr(self, name, value)
        return table, target

    def _arrange(self, raw: Raw, made: Numbers) -> Raw:
        """What is handed on and what is made, side by side."""
        part = self._learnt.handed_on
        cells = part.take(raw)
        if isinstance(cells, pd.DataFrame):
            out = pd.concat([cells, pd.DataFrame(made, index=cells.index)], axis=1)
            return out.set_axis(list(self.get_feature_names_out()), axis=1)
        if cells.dtype.kind in "biuf":
            return np.hstack([cells.astype(np.float64), made])
        if all(c.edge == "double" for c in part.schema.columns):
            return np.hstack([part.read(raw, type(self).__name__).numbers(range(len(part.places))), made])
        objects: NDArray[Any] = pd.concat([pd.DataFrame(cells), pd.DataFrame(made)], axis=1).to_numpy(dtype=object)
        return objects
