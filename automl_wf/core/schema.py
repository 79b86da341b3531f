"""What is known of each input column, learnt once in `fit` and the only description of the input ever after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Edge = Literal["double", "string", "int64"]


class ColumnKind(StrEnum):
    """What the cells of a column mean."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    #: Text whose words say more than the text as a whole.
    TEXT = "text"
    #: Another value in every row: never used.
    IDENTIFIER = "identifier"
    DATETIME = "datetime"

    @property
    def edge(self) -> Edge:
        """The type that cells of this kind are turned into before anything learnt touches them."""
        return _EDGES[self]


_EDGES: dict[ColumnKind, Edge] = {
    ColumnKind.NUMERIC: "double",
    ColumnKind.BOOLEAN: "double",
    ColumnKind.CATEGORICAL: "string",
    ColumnKind.TEXT: "string",
    ColumnKind.IDENTIFIER: "string",
    ColumnKind.DATETIME: "int64",
}


@dataclass(frozen=True)
class Column:
    """One column of X.

    Parameters
    ----------
    name : str
        Its name as text; `x0`, `x1` … for an array.
    position : int
        Its place in X.
    input_name : str
        Its name as an input of the ONNX graph.
    kind : ColumnKind
        What its cells mean.
    dtype : str
        The dtype seen in `fit`.
    reason : str
        Why it has this kind, in words.
    n_missing, n_unique : int
        Missing cells and distinct values among the rest.
    is_used : bool
        False for constant columns, identifiers and copies of another column.
    cell_format : str or None
        How its cells are written where they are text: `strptime` format of dates (None: ISO 8601), number format of
        numbers with a unit, a currency or separators (see `core/coerce.py`; None: plain numbers).
    time_zone : str or None
        Zone in which calendar parts are read; None: as written (naive) or UTC.
    minimum, maximum : float or None
        Range seen; for datetimes in microseconds since 1970-01-01.
    """

    name: str
    position: int
    input_name: str
    kind: ColumnKind
    dtype: str
    reason: str
    n_missing: int
    n_unique: int
    is_used: bool = True
    cell_format: str | None = None
    time_zone: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def edge(self) -> Edge:
        """The type of its cells at the edge."""
        return self.kind.edge


@dataclass(frozen=True)
class Schema:
    """All columns, and whether X was a frame (one graph input per column) or an array (one tensor `X`).

    Parameters
    ----------
    columns : tuple of Column
        In the order of X.
    layout : {"frame", "array"}
        How the graph takes its input.
    n_rows : int
        Rows seen in `fit`.
    levels : mapping of int to ndarray of str
        Sorted distinct texts of each column of edge "string", by position; "" among them if cells were missing.
    """

    columns: tuple[Column, ...]
    layout: Literal["frame", "array"]
    n_rows: int
    levels: Mapping[int, NDArray[np.object_]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """Column names in the order of `fit`."""
        return [c.name for c in self.columns]

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that models are given."""
        return tuple(c for c in self.columns if c.is_used)

    def of_kind(self, *kinds: ColumnKind) -> tuple[Column, ...]:
        """Used columns of these kinds."""
        return tuple(c for c in self.used if c.kind in kinds)

    def to_frame(self) -> pd.DataFrame:
        """One row per column."""
        rows: list[dict[str, Any]] = [{**vars(c), "kind": c.kind.value, "edge": c.edge} for c in self.columns]
        return pd.DataFrame(rows).set_index("name")

    def _repr_html_(self) -> str:
        html = self.to_frame().to_html(max_rows=60)
        return str(html)
