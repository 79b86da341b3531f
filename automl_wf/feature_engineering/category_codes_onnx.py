"""Native category codes in the graph, and the one place where strings are looked up."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.category_codes import CategoryCodes


def emit(transformer: CategoryCodes, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return codes as one (N, p) double value.

    Parameters
    ----------
    transformer : CategoryCodes
        Fitted.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    pairs = zip(transformer.codes_, inputs, strict=True)
    return builder.concat([_codes(builder, value, codes) for codes, value in pairs])


def _codes(builder: GraphBuilder, value: str, codes: dict[str, int]) -> str:
    return builder.cast(level_index(builder, value, codes, -1), "double")


def level_index(builder: GraphBuilder, value: str, index: dict[str, int], default: int) -> str:
    """Index of each string as an int64 value of the same shape; `default` for strings without one.

    Where the builder knows all texts of the input, a string is looked up once for all views and folds, and each of them
    gathers its own index: hashing strings is what costs.
    """
    vocabulary = builder.vocabularies.get(value)
    if vocabulary is None or not set(index) <= set(vocabulary):
        return _look_up(builder, value, index, default)
    places = {level: i for i, level in enumerate(vocabulary)}
    known = _look_up(builder, value, places, len(vocabulary))
    own = np.array([*(index.get(level, default) for level in vocabulary), default], dtype=np.int64)
    return builder.op("Gather", builder.constant(own), known, axis=0)


def _look_up(builder: GraphBuilder, value: str, index: dict[str, int], default: int) -> str:
    return builder.op(
        "LabelEncoder",
        value,
        domain="ai.onnx.ml",
        keys_tensor=np.array(list(index), dtype=object),
        values_tensor=np.array(list(index.values()), dtype=np.int64),
        default_tensor=np.array([default], dtype=np.int64),
    )
