"""Crosses of categories in the graph: number both levels, number the combination, gather its row of the table."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.base import Numbers
from automl_wf.feature_engineering.category_codes_onnx import level_index
from automl_wf.feature_engineering.category_crosses import CategoryCrosses


def emit(transformer: CategoryCrosses, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return statistics and log counts as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : CategoryCrosses
        Fitted, with at least one cross.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) value per column: strings, or doubles.
    """
    flat = builder.constant([-1], np.int64)
    codes: dict[int, str] = {}
    blocks = []
    statistics = transformer.statistics_
    for pair, index, table in zip(transformer.pairs_, statistics.indices_, statistics.tables_, strict=True):
        for column in (pair.first, pair.second):
            if column not in codes:
                codes[column] = _emit_codes(builder, inputs[column], transformer.levels_[column])
        step = builder.constant(len(transformer.levels_[pair.second]) + 1, np.int64)
        keys = builder.op("Add", builder.op("Mul", codes[pair.first], step), codes[pair.second])
        # The table's rows are in the order of the levels as texts; its last one is of what was never seen.
        places = builder.op(
            "LabelEncoder",
            builder.op("Reshape", keys, flat),
            domain="ai.onnx.ml",
            keys_tensor=pair.keys,
            values_tensor=np.array([index[str(k)] for k in range(len(pair.keys))], dtype=np.int64),
            default_tensor=np.array([len(index)], dtype=np.int64),
        )
        blocks.append(builder.op("Gather", builder.constant(table), places, axis=0))
    return builder.concat(blocks)


def _emit_codes(builder: GraphBuilder, value: str, levels: dict[str, int] | Numbers) -> str:
    """Codes as an (N, 1) int64 value; the number of levels where there is none."""
    if isinstance(levels, dict):
        return level_index(builder, value, levels, len(levels))
    numbers = levels[~np.isnan(levels)]
    n_levels = len(levels)
    # A number is at most one of the levels: what is added up is the code of that one less that of none of them.
    is_level = builder.cast(builder.op("Equal", value, builder.constant(numbers[None, :])), "double")
    weights = builder.constant((np.arange(len(numbers), dtype=np.float64) - n_levels)[:, None])
    code = builder.op("Add", builder.op("MatMul", is_level, weights), builder.constant(float(n_levels)))
    if len(numbers) < n_levels:
        code = builder.op("Where", builder.op("IsNaN", value), builder.constant(float(n_levels - 1)), code)
    return builder.cast(code, "int64")
