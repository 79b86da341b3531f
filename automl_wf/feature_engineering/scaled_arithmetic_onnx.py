"""Scaled arithmetic on pairs of columns in the graph."""

from __future__ import annotations

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering import arithmetic_onnx, numeric_scaler_onnx
from automl_wf.feature_engineering.scaled_arithmetic import ScaledArithmetic


def emit(transformer: ScaledArithmetic, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return scaled features and indicators as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : ScaledArithmetic
        Fitted, with at least one pair.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, p) double value.
    """
    made = arithmetic_onnx.emit(transformer, builder, inputs)
    return numeric_scaler_onnx.emit(transformer.scaler_, builder, [made])
