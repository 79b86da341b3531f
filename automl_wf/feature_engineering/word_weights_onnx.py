"""Word weights in the graph: presence times rarity, divided by the length of the text."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.word_weights import WordWeights
from automl_wf.feature_engineering.words_onnx import emit_length, emit_presence


def emit(transformer: WordWeights, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return the weights as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : WordWeights
        Fitted, with at least one word.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    blocks = []
    for text, index, squares in zip(inputs, transformer.indices_, transformer.squares_, strict=True):
        if index:
            presence = emit_presence(builder, text, index)
            rarity = builder.constant(np.sqrt(squares)[None, :], np.float64)
            blocks.append(
                builder.op("Div", builder.op("Mul", presence, rarity), emit_length(builder, presence, squares))
            )
    return builder.concat(blocks)
