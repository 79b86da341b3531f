"""Target statistics in the graph: look the level up, gather its row of the table."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.category_codes_onnx import level_index
from automl_wf.feature_engineering.target_statistics import TargetStatistics


def emit(transformer: TargetStatistics, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return statistics and log counts as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : TargetStatistics
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    flat = builder.constant([-1], np.int64)
    rows = []
    for value, index, table in zip(inputs, transformer.indices_, transformer.tables_, strict=True):
        places = builder.op("Reshape", level_index(builder, value, index, len(index)), flat)
        rows.append(builder.op("Gather", builder.constant(table), places, axis=0))
    return builder.concat(rows)
