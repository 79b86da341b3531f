"""What a federation ends with: one fitted pipeline on raw columns, and its ONNX graph."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.schema import Column, Schema
from automl_wf.feature_engineering.plan import FittedView
from automl_wf.federated.features import Features
from automl_wf.federated.statistics import Marginals, numbered
from automl_wf.model_selection.base import Learner
from automl_wf.model_selection.ensemble import Blend, Member
from automl_wf.model_selection.parity import Parity
from automl_wf.model_selection.pipeline import FittedPipeline

if TYPE_CHECKING:
    from onnx import ModelProto

#: Made-up rows that the graph is compared on.
REFERENCE_ROWS = 500
_FAMILIES = {"boosting": "tree_based", "linear": "linear"}


@dataclass(frozen=True, eq=False)
class FederatedModel:
    """A model of the rows of all clients.

    Parameters
    ----------
    pipeline : FittedPipeline
        Schema, features and model.
    reference : DataFrame or ndarray
        Made-up rows: each column drawn for itself from what all clients told of it.
    target_name : str
        Name of y.
    """

    pipeline: FittedPipeline
    reference: pd.DataFrame | NDArray[Any]
    target_name: str

    @classmethod
    def of(
        cls,
        features: Features,
        view: FittedView,
        learner: Learner,
        classes: NDArray[Any] | None,
        model_name: str,
        target_name: str,
    ) -> FederatedModel:
        """Put the parts together."""
        member = Member(model_name, _FAMILIES[model_name], learner.params, 1.0, ((view, learner),))
        pipeline = FittedPipeline(features.schema, Blend((member,)), features.task, classes, owner=cls.__name__)
        return cls(pipeline, stand_in_rows(features.schema, features.marginals), target_name)

    @property
    def schema_(self) -> Schema:
        """The input columns, as agreed on by all clients."""
        return self.pipeline.schema

    @property
    def classes_(self) -> NDArray[Any] | None:
        """The classes, in the order of the columns of `predict_proba`; None for values."""
        return self.pipeline.classes

    @property
    def learner(self) -> Learner:
        """The trees, or the linear model."""
        return self.pipeline.blend.members[0].parts[0][1]

    def predict(self, X: Any) -> NDArray[Any]:
        """Classes or values of raw rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            Raw rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Predictions.
        """
        return self.pipeline.predict(X)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of raw rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            Raw rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In the order of `classes_`.

        Raises
        ------
        InvalidParameter
            There are no classes.
        """
        return self.pipeline.predict_proba(X)

    def to_onnx(self, reference: Any = None) -> tuple[ModelProto, Parity]:
        """The whole pipeline as one graph, compared with `predict`.

        Parameters
        ----------
        reference : DataFrame or array-like, default=None
            Raw rows to compare on; None: made-up ones.

        Returns
        -------
        model : ModelProto
            Raw columns in, label and probabilities, or prediction, out.
        parity : Parity
            On how many rows it was compared, and how close it is.

        Raises
        ------
        ParityError
            Graph and predict differ.
        """
        return self.pipeline.to_onnx(self.reference if reference is None else reference)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the graph.

        Parameters
        ----------
        path : path-like
            File to write.

        Returns
        -------
        Path
            The file.
        """
        target = Path(path)
        model, _ = self.to_onnx()
        target.write_bytes(model.SerializeToString())
        return target


def stand_in_rows(schema: Schema, marginals: Marginals, n_rows: int = REFERENCE_ROWS) -> Any:
    """Made-up rows: each column drawn for itself from its counts or its sketch.

    Parameters
    ----------
    schema : Schema
        The schema agreed on.
    marginals : Marginals
        Of all clients.
    n_rows : int
        How many.

    Returns
    -------
    DataFrame or ndarray
        As the schema's layout says.
    """
    rng = np.random.default_rng(0)
    spread = {
        position: sketch.spread(n_rows) for position, sketch in zip(numbered(schema), marginals.sketches, strict=False)
    }
    cells = {}
    for column in schema.columns:
        if column.edge == "string":
            at = marginals.levels_of(column.position)
            drawn = _draw_texts(marginals.level_text[at], marginals.level_count[at], n_rows, rng)
        else:
            values = spread[column.position]
            drawn = _written(rng.permutation(values) if len(values) else np.full(n_rows, np.nan), column)
        is_missing = rng.random(n_rows) < column.n_missing / max(schema.n_rows, 1)
        drawn[is_missing] = np.nan if drawn.dtype.kind == "f" else None
        cells[column.name] = drawn
    frame = pd.DataFrame(cells)
    return frame.to_numpy(dtype=np.float64) if schema.layout == "array" else frame


def _draw_texts(
    levels: NDArray[np.str_], counts: NDArray[np.int64], n_rows: int, rng: np.random.Generator
) -> NDArray[Any]:
    if not len(levels):
        return np.full(n_rows, "a rare level", dtype=object)
    return np.asarray(rng.choice(levels.astype(object), n_rows, p=counts / counts.sum()))


def _written(values: NDArray[np.float64], column: Column) -> NDArray[Any]:
    """Numbers, or dates in the format of their column."""
    if column.edge == "double":
        return values.copy()
    times = [None if np.isnan(v) else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(v)) for v in values]
    texts = [t if t is None else t.strftime(column.cell_format or "%Y-%m-%dT%H:%M:%S") for t in times]
    return np.array(texts, dtype=object)
