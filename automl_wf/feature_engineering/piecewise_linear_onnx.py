"""Ramps between quantiles in the graph: the scaler's nodes and five more."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering import numeric_scaler_onnx
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear


def emit(transformer: PiecewiseLinear, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return scaled columns, indicators and ramps as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : PiecewiseLinear
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, p) double value.
    """
    scaled = numeric_scaler_onnx.emit(transformer.scaler_, builder, inputs)
    if not len(transformer.columns_):
        return scaled
    fill, lower, upper, width = (
        builder.constant(row[None, :], np.float64)
        for row in (
            transformer.scaler_.fill_,
            transformer.lower_,
            transformer.upper_,
            transformer.upper_ - transformer.lower_,
        )
    )
    filled = builder.op("Where", builder.op("IsNaN", inputs[0]), fill, inputs[0])
    x = builder.columns(filled, transformer.columns_.tolist())
    held = builder.op("Min", builder.op("Max", x, lower), upper)
    return builder.concat([scaled, builder.op("Div", builder.op("Sub", held, lower), width)])
