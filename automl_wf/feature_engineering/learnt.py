"""What a public transformer holds after `fit`: which columns are handed on, which are treated, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.frame import read_table
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Table
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.plan import FittedView, Recipe, Step, unique_features
from automl_wf.problem_definition import Target

Raw: TypeAlias = pd.DataFrame | NDArray[Any]


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

    @property
    def holds_numbers_only(self) -> bool:
        """Whether all its columns are numbers."""
        return all(c.edge == "double" for c in self.schema.columns)

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

    @property
    def n_made(self) -> int:
        """Number of features made; 0, where a view would hold a constant."""
        return sum(step.transformer.n_features_out_ for step in self.steps)

    def make(self, table: Table) -> Numbers:
        """Features of new rows of the treated columns."""
        if self.view is None:
            return np.empty((table.n_rows, 0))
        return self.view.transform(table)[:, : self.n_made]

    def make_training(self, table: Table, y: NDArray[Any] | None) -> Numbers:
        """Features of the rows given to `fit`, cross-fitted where they depend on the target."""
        if self.view is None:
            return np.empty((table.n_rows, 0))
        return self.view.transform_training(table, y, None)[:, : self.n_made]

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
        Step(
            transformer,
            tuple(place[c.position] for c in columns),
            tuple(c.name for c in columns),
            tuple(c.edge for c in columns),
        )
        for transformer, columns in assigned
        if columns
    )
    handed_on = Part.of(table.schema, [c for c in table.schema.columns if hand_on_all or c.position not in place])
    if not steps:
        return Learnt(handed_on, part)
    recipe = Recipe("treated", steps, "F", (0, treated[0].edge))
    return Learnt(handed_on, part, recipe.fit(part.within(table), None if target is None else target.values, seed=seed))
