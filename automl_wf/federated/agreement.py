"""One schema out of what every client takes its columns for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.exceptions import InvalidInput

Arrays = Mapping[str, NDArray[Any]]
_TEXTS = ("name", "input_name", "kind", "dtype", "cell_format", "time_zone")
_STRINGS = {ColumnKind.CATEGORICAL, ColumnKind.TEXT, ColumnKind.IDENTIFIER}
_NUMBERS = {ColumnKind.NUMERIC, ColumnKind.BOOLEAN}


def schema_arrays(schema: Schema) -> dict[str, NDArray[Any]]:
    """A schema without counts, ranges and levels, as arrays of a message."""
    columns = schema.columns
    texts = {key: np.array([str(getattr(c, key) or "") for c in columns], dtype=str) for key in _TEXTS}
    return {**texts, "layout": np.array([schema.layout]), "is_empty": np.array([c.n_unique == 0 for c in columns])}


def schema_from(arrays: Arrays) -> Schema:
    """The schema that `schema_arrays` wrote."""
    columns = [
        Column(
            name=name,
            position=i,
            input_name=input_name,
            kind=ColumnKind(kind),
            dtype=dtype,
            reason="agreed on by all clients",
            n_missing=0,
            n_unique=int(not is_empty),
            cell_format=cell_format or None,
            time_zone=time_zone or None,
        )
        for i, (name, input_name, kind, dtype, cell_format, time_zone, is_empty) in enumerate(
            zip(*(arrays[key].tolist() for key in _TEXTS), arrays["is_empty"].tolist(), strict=True)
        )
    ]
    layout = str(arrays["layout"][0])
    return Schema(tuple(columns), "array" if layout == "array" else "frame", 0)


def agree(schemas: Sequence[Schema]) -> Schema:
    """The schema that all clients read their rows by.

    Columns without a value at a client have no say there. Numbers and booleans are numbers; kinds of text are
    categories, or texts where no client takes them for categories; text here and numbers there are categories.

    Parameters
    ----------
    schemas : sequence of Schema
        One per client.

    Returns
    -------
    Schema

    Raises
    ------
    InvalidInput
        Clients have different columns, or write dates or numbers of one column differently.
    """
    names = schemas[0].names
    for i, schema in enumerate(schemas):
        if schema.names != names:
            missing, extra = sorted(set(names) - set(schema.names)), sorted(set(schema.names) - set(names))
            raise InvalidInput(
                f"All clients must have the same columns in the same order. Client {i} lacks {missing[:5]!r} and has "
                f"{extra[:5]!r} beside those of client 0; columns may be empty but not absent."
            )
    columns = tuple(_agree_on([s.columns[j] for s in schemas]) for j in range(len(names)))
    is_array = all(s.layout == "array" for s in schemas) and all(c.edge == "double" for c in columns)
    return Schema(columns, "array" if is_array else "frame", 0)


def _agree_on(told: Sequence[Column]) -> Column:
    voters = [c for c in told if c.n_unique] or list(told[:1])
    kind = _common_kind({c.kind for c in voters}, told[0].name)
    first = next((c for c in voters if c.kind is kind), voters[0])
    is_number = kind.edge == "double"
    written = {(c.cell_format, c.time_zone) for c in voters if c.kind.edge == kind.edge}
    if kind.edge != "string" and len(written) > 1:
        raise InvalidInput(
            f"Clients write the {'numbers' if is_number else 'dates'} of column {told[0].name!r} differently: "
            f"{sorted(map(str, written))}. Bring them to one format before, or pass "
            f"schema={{{told[0].name!r}: 'categorical'}} to the server."
        )
    cell_format, time_zone = written.pop() if kind.edge != "string" else (None, None)
    return Column(
        name=first.name,
        position=first.position,
        input_name=first.input_name,
        kind=kind,
        dtype=first.dtype,
        reason="agreed on by all clients",
        n_missing=0,
        n_unique=max(c.n_unique for c in told),
        cell_format=cell_format,
        time_zone=time_zone,
    )


def _common_kind(kinds: set[ColumnKind], name: str) -> ColumnKind:
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds <= _NUMBERS:
        return ColumnKind.NUMERIC
    if kinds == {ColumnKind.TEXT, ColumnKind.IDENTIFIER}:
        return ColumnKind.TEXT
    if ColumnKind.DATETIME in kinds and kinds & _NUMBERS:
        raise InvalidInput(
            f"Column {name!r} holds dates at some clients and numbers at others. Bring it to one kind before, or pass "
            f"schema={{{name!r}: 'categorical'}} to the server."
        )
    return ColumnKind.CATEGORICAL
