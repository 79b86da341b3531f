"""Arithmetic on pairs of columns in the graph."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.arithmetic import Arithmetic

_OPERATORS = {"plus": "Add", "minus": "Sub", "times": "Mul", "by": "Div"}


def emit(transformer: Arithmetic, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return the features as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : Arithmetic
        Fitted, with at least one pair.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, p) double value.
    """
    blocks, order = [], []
    for operator, name in _OPERATORS.items():
        places = [k for k, (chosen, _, _) in enumerate(transformer.pairs_) if chosen == operator]
        if places:
            left = builder.columns(inputs[0], [transformer.pairs_[k][1] for k in places])
            right = builder.columns(inputs[0], [transformer.pairs_[k][2] for k in places])
            blocks.append(builder.op(name, left, right))
            order += places
    made = builder.columns(builder.concat(blocks), np.argsort(order).tolist())
    # IsInf knows no doubles in every runtime; what exceeds the largest double is infinite.
    beyond = builder.op("Greater", builder.op("Abs", made), builder.constant(np.finfo(np.float64).max))
    return builder.op("Where", beyond, builder.constant(np.nan, np.float64), made)
