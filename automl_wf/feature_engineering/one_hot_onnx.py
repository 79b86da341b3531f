"""One-hot columns in the graph: look the level up, compare its index with each feature's."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.category_codes_onnx import level_index
from automl_wf.feature_engineering.one_hot import OneHot


def emit(transformer: OneHot, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return zeros and ones as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : OneHot
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    hits = []
    for value, index, width in zip(inputs, transformer.indices_, transformer.widths, strict=True):
        if width:
            places = builder.constant(np.arange(width, dtype=np.int64)[None, :])
            hits.append(builder.op("Equal", level_index(builder, value, index, len(index)), places))
    return builder.cast(builder.concat(hits), "double")
