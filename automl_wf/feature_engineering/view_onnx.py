"""A whole fitted view in the graph, and the table that says which function writes which transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering import (
    arithmetic_onnx,
    category_codes_onnx,
    category_crosses_onnx,
    datetime_cycles_onnx,
    datetime_parts_onnx,
    numeric_pass_onnx,
    numeric_scaler_onnx,
    one_hot_onnx,
    piecewise_linear_onnx,
    scaled_arithmetic_onnx,
    target_statistics_onnx,
    word_statistics_onnx,
    word_weights_onnx,
)
from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.base import FeatureTransformer
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.category_crosses import CategoryCrosses
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles
from automl_wf.feature_engineering.datetime_parts import DatetimeParts
from automl_wf.feature_engineering.numeric_pass import NumericPass
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.one_hot import OneHot
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear
from automl_wf.feature_engineering.plan import FittedView, Step
from automl_wf.feature_engineering.scaled_arithmetic import ScaledArithmetic
from automl_wf.feature_engineering.selected_view import SelectedView
from automl_wf.feature_engineering.target_statistics import TargetStatistics
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.word_weights import WordWeights

#: Transformer → emit(transformer, builder, inputs) → name of an (N, n_features_out_) double value.
EMIT: dict[type[FeatureTransformer[Any]], Callable[[Any, GraphBuilder, list[str]], str]] = {
    NumericPass: numeric_pass_onnx.emit,
    NumericScaler: numeric_scaler_onnx.emit,
    PiecewiseLinear: piecewise_linear_onnx.emit,
    CategoryCodes: category_codes_onnx.emit,
    OneHot: one_hot_onnx.emit,
    TargetStatistics: target_statistics_onnx.emit,
    CategoryCrosses: category_crosses_onnx.emit,
    WordWeights: word_weights_onnx.emit,
    WordStatistics: word_statistics_onnx.emit,
    Arithmetic: arithmetic_onnx.emit,
    ScaledArithmetic: scaled_arithmetic_onnx.emit,
    DatetimeParts: datetime_parts_onnx.emit,
    DatetimeCycles: datetime_cycles_onnx.emit,
}

Numeric = Callable[[Sequence[int]], str]
OneColumn = Callable[[int], str]


def emit_view(view: FittedView | SelectedView, builder: GraphBuilder, numeric: Numeric, column: OneColumn) -> str:
    """Write what `view.transform` does.

    Parameters
    ----------
    view : FittedView or SelectedView
        The view.
    builder : GraphBuilder
        Receives the nodes.
    numeric : callable
        `numeric(positions)`: name of one (N, len(positions)) double value holding these columns of the schema.
    column : callable
        `column(position)`: name of the (N, 1) string or int64 value of a column.

    Returns
    -------
    str
        Name of an (N, n_features) double value.
    """
    if isinstance(view, SelectedView):
        return builder.columns(emit_view(view.whole, builder, numeric, column), list(view.kept))
    blocks = [_emit_step(s, builder, numeric, column) for s in view.steps if s.transformer.n_features_out_]
    if blocks:
        return builder.concat(blocks)
    position, edge = view.anchor
    shape = builder.op("Shape", numeric([position]) if edge == "double" else column(position))
    return builder.op("ConstantOfShape", shape, value=np.zeros(1))


def _emit_step(step: Step, builder: GraphBuilder, numeric: Numeric, column: OneColumn) -> str:
    if step.edge == "double" and not step.transformer.takes_levels:
        inputs = [numeric(step.positions)]
    else:
        pairs = zip(step.positions, step.edges, strict=True)
        inputs = [numeric([p]) if edge == "double" else column(p) for p, edge in pairs]
    return EMIT[type(step.transformer)](step.transformer, builder, inputs)
