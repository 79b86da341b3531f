"""Blend and features → one ONNX graph, from raw columns to label and probabilities, or to a prediction.

The halves of the pieces stand beside them in the `*_onnx` files; here is the table of which belongs to which, and the
assembly: the same sums in the same order as `Blend.predict`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.graph import TENSOR, GraphBuilder
from automl_wf.core.schema import Schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.exceptions import NotExportable
from automl_wf.feature_engineering.view_onnx import emit_view
from automl_wf.model_selection import (
    boosting_onnx,
    histogram_trees_onnx,
    linear_onnx,
    neural_onnx,
    sampling_onnx,
    target_transform_onnx,
    trees_onnx,
)
from automl_wf.model_selection.boosting import CatBoost, LightGBM, XGBoost
from automl_wf.model_selection.conformal_onnx import emit_conformal
from automl_wf.model_selection.ensemble import Blend, Member
from automl_wf.model_selection.histogram_trees import HistogramTrees
from automl_wf.model_selection.linear import Baseline, LinearLearner
from automl_wf.model_selection.neural import MLP
from automl_wf.model_selection.postprocess_onnx import (
    emit_codes,
    emit_label,
    emit_shift,
    emit_temperature,
    label_dtype,
)
from automl_wf.model_selection.sampling import SampledLearner
from automl_wf.model_selection.target_transform import TransformedTarget
from automl_wf.model_selection.trees import TreeLearner
from automl_wf.model_selection.wrapped import WrappedLearner

if TYPE_CHECKING:
    from onnx import ModelProto

#: Which function writes the nodes of which learners.
EMITTERS: dict[type, Any] = {
    Baseline: linear_onnx.emit,
    LinearLearner: linear_onnx.emit,
    TreeLearner: trees_onnx.emit,
    LightGBM: boosting_onnx.emit,
    XGBoost: boosting_onnx.emit,
    CatBoost: boosting_onnx.emit,
    HistogramTrees: histogram_trees_onnx.emit,
    MLP: neural_onnx.emit,
}
#: The same for learners around others: from what the one inside predicts.
WRAPPERS: dict[type, Any] = {
    SampledLearner: sampling_onnx.emit,
    TransformedTarget: target_transform_onnx.emit,
}


def build_graph(
    blend: Blend, schema: Schema, task: Task, classes: NDArray[Any] | None, metadata: dict[str, str] | None = None
) -> ModelProto:
    """The whole pipeline as one ONNX model in double precision.

    Parameters
    ----------
    blend : Blend
        The fitted ensemble.
    schema : Schema
        The input columns.
    task : Task
        What is predicted.
    classes : ndarray of shape (n_classes,) or None
        Class labels.
    metadata : mapping of str to str, optional
        Written into the model.

    Returns
    -------
    ModelProto
        Inputs: one per used column of shape (n, 1), or the tensor `X`. Outputs: `label` (n,) and `probabilities`
        (n, n_classes), or `prediction` (n,); then `in_set` (n, n_classes), or `lower` and `upper` (n,), at 95 %, where
        there are residuals enough.

    Raises
    ------
    NotExportable
        A member has no exact graph, or the graph is too large for one file.
    """
    builder = GraphBuilder("automl_wf")
    inputs = _Inputs(builder, schema)
    views: dict[int, str] = {}

    def features(view: Any) -> str:
        if id(view) not in views:
            views[id(view)] = emit_view(view, builder, inputs.numeric, inputs.column)
        return views[id(view)]

    total: str | None = None
    for member in blend.members:
        term = _emit_member(builder, member, features)
        total = term if total is None else builder.op("Add", total, term)
    assert total is not None
    if task.is_classification:
        assert classes is not None
        proba = emit_temperature(builder, total, blend.postprocess.temperature)
        label = emit_label(builder, emit_codes(builder, proba, blend.postprocess.rule), classes)
        builder.output(label, "label", label_dtype(classes), [None])
        builder.output(proba, "probabilities", "double", [None, len(classes)])
        emit_conformal(builder, proba, blend.postprocess, len(classes))
    else:
        total = emit_shift(builder, total, blend.postprocess.shift)
        flat = builder.op("Reshape", total, builder.constant([-1], np.int64))
        builder.output(flat, "prediction", "double", [None])
        emit_conformal(builder, flat, blend.postprocess, None)
    return builder.model(metadata)


def graph_bytes(blend: Blend, schema: Schema, task: Task, classes: NDArray[Any] | None) -> int:
    """Size of the blend's graph; 0 where a member has none."""
    try:
        return int(build_graph(blend, schema, task, classes).ByteSize())
    except NotExportable:
        return 0


def feed_of(table: Table) -> dict[str, NDArray[Any]]:
    """What onnxruntime is fed for the rows of a table."""
    schema = table.schema
    if schema.layout == "array":
        return {TENSOR: np.ascontiguousarray(table.numbers(range(len(schema.columns))))}
    feed: dict[str, NDArray[Any]] = {}
    for column in graph_columns(schema):
        cells = table.cells[column.position]
        values = cells.values() if isinstance(cells, Strings) else cells
        feed[column.input_name] = values.reshape(-1, 1)
    return feed


def graph_columns(schema: Schema) -> Sequence[Any]:
    """Columns that are inputs of the graph: the used ones, or the first where none is."""
    return schema.used or schema.columns[:1]


class _Inputs:
    """The graph's inputs, declared once, handed out as blocks of numbers or single columns."""

    def __init__(self, builder: GraphBuilder, schema: Schema) -> None:
        self._builder, self._schema = builder, schema
        if schema.layout == "array":
            builder.input(TENSOR, "double", len(schema.columns))
        else:
            for column in graph_columns(schema):
                builder.input(column.input_name, column.edge, 1)
                if column.position in schema.levels:
                    builder.vocabularies[column.input_name] = schema.levels[column.position].tolist()

    def numeric(self, positions: Sequence[int]) -> str:
        """Columns of numbers side by side, [N, p]."""
        positions = list(positions)
        if self._schema.layout == "array":
            if positions == list(range(len(self._schema.columns))):
                return TENSOR
            return self._builder.columns(TENSOR, positions)
        return self._builder.concat([self._schema.columns[p].input_name for p in positions])

    def column(self, position: int) -> str:
        """One column, [N, 1]."""
        if self._schema.layout == "array":
            return self._builder.columns(TENSOR, [position])
        return self._schema.columns[position].input_name


def _emit_member(builder: GraphBuilder, member: Member, features: Any) -> str:
    """weight × scale(mean of the parts), in the order of `Blend.predict`."""
    total: str | None = None
    for view, learner in member.parts:
        part = emitter_of(learner, member.name)(builder, features(view))
        total = part if total is None else builder.op("Add", total, part)
    assert total is not None
    if len(member.parts) > 1:
        total = builder.op("Div", total, builder.constant(float(len(member.parts)), np.float64))
    if not member.scale.is_identity:
        total = builder.op("Sub", total, builder.constant(member.scale.mean, np.float64))
        total = builder.op("Div", total, builder.constant(member.scale.sd, np.float64))
    return builder.op("Mul", total, builder.constant(member.weight, np.float64))


def emitter_of(learner: Any, name: str = "the model") -> Callable[[GraphBuilder, str], str]:
    """`emit(builder, X)` of a learner: name of what it predicts for the value `X` of shape (rows, n_features).

    Raises
    ------
    NotExportable
        The learner, whose model is called `name`, has no exact graph.
    """
    if isinstance(learner, WrappedLearner):
        inner, around = emitter_of(learner.inner, name), WRAPPERS[type(learner)]
        return lambda builder, X: str(around(learner, builder, inner(builder, X)))
    emit = next((EMITTERS[kind] for kind in type(learner).__mro__ if kind in EMITTERS), None)
    if emit is None:
        raise NotExportable(
            f"{name} has no exact ONNX graph ({type(learner).__name__}). Leave it out with estimators=[…], "
            "or use the trained model: load(path, trained=True)."
        )
    return lambda builder, X: str(emit(learner, builder, X))
