"""Words in the graph: cut, count, and what is added up over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.core.words import STOP, TOKEN


def emit_presence(builder: GraphBuilder, text: str, index: Mapping[str, int]) -> str:
    """Return which of the indexed words and pairs each text holds, as zeros and ones of shape (N, n_terms) in double.

    Parameters
    ----------
    builder : GraphBuilder
        Receives the nodes.
    text : str
        An (N, 1) string value.
    index : mapping of str to int
        Word, or pair of words joined by a blank → column; at least one.
    """
    pairs = {term: place for term, place in index.items() if " " in term}
    words = {term: place for term, place in index.items() if term not in pairs}
    ended = builder.op("StringConcat", text, builder.constant(np.array([f" {STOP}"], dtype=object)))
    tokens = builder.op("Tokenizer", ended, domain="com.microsoft", tokenexp=TOKEN, mark=0, pad_value="", mincharnum=1)
    rows = builder.op("Reshape", tokens, builder.constant([0, -1], np.int64))
    counts = builder.op(
        "TfIdfVectorizer",
        rows,
        mode="TF",
        min_gram_length=1,
        max_gram_length=2 if pairs else 1,
        max_skip_count=0,
        ngram_counts=[0, len(words)] if pairs else [0],
        ngram_indexes=[*words.values(), *pairs.values()],
        pool_strings=[*words, *(word for pair in pairs for word in pair.split(" "))],
    )
    # Counts are whole numbers, which float32 holds.
    return builder.op("Min", builder.cast(counts, "double"), builder.constant(1.0, np.float64))


def emit_length(builder: GraphBuilder, presence: str, squares: np.ndarray) -> str:
    """Return √Σ squared rarity of the words held, of shape (N, 1); 1 where there is none."""
    total = builder.op("MatMul", presence, builder.constant(squares[:, None], np.float64))
    none = builder.op("Equal", total, builder.constant(0.0, np.float64))
    return builder.op("Sqrt", builder.op("Where", none, builder.constant(1.0, np.float64), total))
