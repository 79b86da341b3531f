"""Filling, clipping, logarithm and standardisation in the graph: a dozen nodes on rows of constants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.numeric_scaler import NumericScaler


def emit(transformer: NumericScaler, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return scaled columns and indicators as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : NumericScaler
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, p) double value.
    """
    is_missing = builder.op("IsNaN", inputs[0])
    x = builder.op("Where", is_missing, _row(builder, transformer.fill_), inputs[0])
    x = builder.op("Min", builder.op("Max", x, _row(builder, transformer.lower_)), _row(builder, transformer.upper_))
    if transformer.unit_.any():
        x = _log_some(builder, x, transformer.unit_)
    x = builder.op("Sub", x, _row(builder, transformer.center_))
    x = builder.op("Div", x, _row(builder, transformer.scale_))
    if not len(transformer.gaps_):
        return x
    indicators = builder.cast(builder.columns(is_missing, transformer.gaps_.tolist()), "double")
    return builder.concat([x, indicators])


def _log_some(builder: GraphBuilder, x: str, unit: NDArray[np.float64]) -> str:
    is_logged = unit != 0
    sizes = builder.op("Div", builder.op("Abs", x), _row(builder, np.where(is_logged, unit, 1.0)))
    logarithm = builder.op("Log", builder.op("Add", sizes, builder.constant(1.0, np.float64)))
    logged = builder.op("Mul", builder.op("Sign", x), logarithm)
    return builder.op("Where", builder.constant(is_logged[None, :]), logged, x)


def _row(builder: GraphBuilder, values: NDArray[np.float64]) -> str:
    return builder.constant(values[None, :], np.float64)
