"""Joint effects of categories in the graph: look each level up, gather its effects, add them."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.category_codes_onnx import level_index
from automl_wf.feature_engineering.category_effects import CategoryEffects


def emit(transformer: CategoryEffects, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return effects and sums as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : CategoryEffects
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    flat = builder.constant([-1], np.int64)
    effects = []
    for value, index, table in zip(inputs, transformer.indices_, transformer.tables_, strict=True):
        places = builder.op("Reshape", level_index(builder, value, index, len(index)), flat)
        effects.append(builder.op("Gather", builder.constant(table), places, axis=0))
    total = effects[0]
    for effect in effects[1:]:
        total = builder.op("Add", total, effect)
    return builder.concat([*effects, total])
