"""What public transformers hand on and make, in one graph: of a single one, or of several one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from automl_wf.core.graph import TENSOR, GraphBuilder
from automl_wf.core.schema import Column, Edge, Schema
from automl_wf.exceptions import NotExportable
from automl_wf.feature_engineering.learnt import Learnt
from automl_wf.feature_engineering.view_onnx import emit_view

if TYPE_CHECKING:
    from onnx import ModelProto

#: The output that holds all numbers side by side; other columns have an output of their own, with this at its end.
FEATURES, ENDING = "features", "_out"


@dataclass(frozen=True, eq=False)
class Stage:
    """One fitted transformer of a chain.

    Parameters
    ----------
    name : str
        What messages call it.
    learnt : Learnt
        What it holds.
    is_of_array : bool
        Whether it was fitted on an array. Of an array it hands numbers on as it reads them, if it hands nothing else
        on; whatever else is handed on stays as it was given.
    """

    name: str
    learnt: Learnt
    is_of_array: bool

    @property
    def reads_what_it_hands_on(self) -> bool:
        """Whether the columns that are handed on are numbers ever after."""
        return self.is_of_array and self.learnt.handed_on.holds_numbers_only


@dataclass(frozen=True)
class _Value:
    """A column within the graph: one place of a value of shape (N, width)."""

    value: str
    place: int
    width: int
    edge: Edge
    #: How the cells of a column that is handed on are written.
    cell_format: str | None = None


def build_graph(schema: Schema, names: Sequence[str], stages: Sequence[Stage]) -> ModelProto:
    """Several fitted transformers as one ONNX model in double precision.

    Parameters
    ----------
    schema : Schema
        The columns that the first of them is given.
    names : sequence of str
        Their names.
    stages : sequence of Stage
        In their order; each was fitted on what the one before it gives.

    Returns
    -------
    ModelProto
        As `TableTransformer.to_onnx` describes it.

    Raises
    ------
    NotExportable
        Steps read one column in two ways, or nothing comes out.
    """
    builder = GraphBuilder("automl_wf")
    inputs = _declare_inputs(builder, schema, _readings(schema, names, stages))
    columns: Sequence[_Value | None] = [inputs.get(p) for p in range(len(schema.columns))]
    names_out = names
    for stage in stages:
        columns = _emit_stage(stage, builder, columns)
        names_out = [facts["name"] for facts in stage.learnt.metadata(names_out)]
    told = {
        "inputs": [{"column": names[p], "position": p, "input": v.value, **_cells_of(v)} for p, v in inputs.items()],
        "outputs": _declare_outputs(builder, [v.value for v in inputs.values()], columns, names_out),
    }
    return builder.model({"producer": "automl_wf", **{key: json.dumps(facts) for key, facts in told.items()}})


def _readings(schema: Schema, names: Sequence[str], stages: Sequence[Stage]) -> dict[int, Column]:
    """How each raw column is read that a feature is made of or that comes out: all who read it must agree."""
    readings: dict[int, Column] = {}
    # What each column that a stage is given is: a raw one, by its place, or None: a number.
    origins: list[int | None] = [p if schema.layout == "frame" else None for p in range(len(schema.columns))]
    for stage in stages:
        learnt, kept = stage.learnt, [origins[p] for p in stage.learnt.handed_on.places]
        for place in (q for step in learnt.steps for q in step.positions):
            column = learnt.treated.schema.columns[place]
            origin = origins[learnt.treated.places[place]]
            if origin is None:
                _check_number(column, stage)
            else:
                _note(readings, origin, column, names[origin], stage)
        if stage.reads_what_it_hands_on or stage is stages[-1]:
            for origin, column in zip(kept, learnt.handed_on.schema.columns, strict=True):
                if origin is not None:
                    _note(readings, origin, column, names[origin], stage)
        origins = [None if stage.reads_what_it_hands_on else origin for origin in kept] + [None] * learnt.n_made
    return readings


def _check_number(column: Column, stage: Stage) -> None:
    if column.edge != "double":
        raise NotExportable(
            f"{stage.name!r} reads column {column.name!r} as {_words(column)}, but it comes to it as a number, and the "
            f"graph makes no text or time of one. Give {stage.name!r} schema={{{column.name!r}: 'numeric'}}."
        )


def _note(readings: dict[int, Column], origin: int, column: Column, name: str, stage: Stage) -> None:
    known = readings.setdefault(origin, column)
    if (known.edge, known.cell_format) != (column.edge, column.cell_format):
        raise NotExportable(
            f"Column {name!r} is read as {_words(known)} by one step and as {_words(column)} by {stage.name!r}, but "
            f"the graph takes each column once. Give every step the same schema={{{name!r}: kind}}."
        )


def _words(column: Column) -> str:
    return column.kind.value + (f" written like {column.cell_format}" if column.cell_format else "")


def _declare_inputs(builder: GraphBuilder, schema: Schema, readings: dict[int, Column]) -> dict[int, _Value]:
    """The graph's inputs, by the place of the column."""
    if schema.layout == "array":
        width = len(schema.columns)
        builder.input(TENSOR, "double", width)
        return {p: _Value(TENSOR, p, width, "double") for p in range(width)}
    inputs = {}
    for p in sorted(readings):
        edge, name = readings[p].edge, schema.columns[p].input_name
        inputs[p] = _Value(builder.input(name, edge, 1), 0, 1, edge, readings[p].cell_format)
    return inputs


def _emit_stage(stage: Stage, builder: GraphBuilder, columns: Sequence[_Value | None]) -> Sequence[_Value | None]:
    """What `transform` does: the columns that are handed on, then those that are made."""
    learnt = stage.learnt
    handed_on = [columns[p] for p in learnt.handed_on.places]
    if learnt.view is None or not learnt.n_made:
        return handed_on
    treated = [columns[p] for p in learnt.treated.places]

    def given(position: int) -> _Value:
        value = treated[position]
        assert value is not None
        return value

    def numeric(positions: Sequence[int]) -> str:
        return _side_by_side(builder, [given(q) for q in positions])

    made = emit_view(learnt.view, builder, numeric, lambda position: given(position).value)
    return [*handed_on, *(_Value(made, k, learnt.n_made, "double") for k in range(learnt.n_made))]


def _side_by_side(builder: GraphBuilder, columns: Sequence[_Value]) -> str:
    """Columns of numbers as one value; neighbours within a value are gathered at once."""
    blocks = []
    for value, neighbours in groupby(columns, key=lambda c: (c.value, c.width)):
        places = [c.place for c in neighbours]
        is_whole = places == list(range(value[1]))
        blocks.append(value[0] if is_whole else builder.columns(value[0], places))
    return builder.concat(blocks)


def _declare_outputs(
    builder: GraphBuilder, inputs: Sequence[str], columns: Sequence[_Value | None], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The graph's outputs; for each column that comes out, where it is to be found."""
    known = [column for column in columns if column is not None]
    numbers = [column for column in known if column.edge == "double"]
    if not known:
        raise NotExportable("Nothing comes out: every column was left out, and a graph needs an output.")
    if numbers:
        builder.output(_side_by_side(builder, numbers), FEATURES, "double", [None, len(numbers)])
    taken = {*inputs, FEATURES}
    outputs, places = [], iter(range(len(numbers)))
    for name, column in zip(names, known, strict=True):
        output, place = FEATURES, 0
        if column.edge == "double":
            place = next(places)
        else:
            output = _free_name(f"{column.value}{ENDING}", taken)
            builder.output(column.value, output, column.edge, [None, 1])
        outputs.append({"column": name, "output": output, "place": place, **_cells_of(column)})
    return outputs


def _cells_of(value: _Value) -> dict[str, Any]:
    return {"edge": value.edge, "cell_format": value.cell_format}


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
