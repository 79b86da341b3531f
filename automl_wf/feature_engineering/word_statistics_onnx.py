"""Word statistics in the graph: points of the words present, added up and divided by the length of the text."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.words_onnx import emit_length, emit_presence


def emit(transformer: WordStatistics, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return scores and numbers of words as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : WordStatistics
        Fitted, with at least one word.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per column.
    """
    blocks = []
    for text, words in zip(inputs, transformer.words_, strict=True):
        if words.index:
            presence = emit_presence(builder, text, words.index)
            total = builder.op("MatMul", presence, builder.constant(words.points, np.float64))
            blocks.append(builder.op("Div", total, emit_length(builder, presence, words.squares)))
            are_single = builder.constant(words.are_single[:, None], np.float64)
            blocks.append(builder.op("MatMul", presence, are_single))
    return builder.concat(blocks)
