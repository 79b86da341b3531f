"""How much each common word and pair of words weighs in a text: tf-idf, for learners that multiply and add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.words import learn_words, word_matrix


class WordWeights(FeatureTransformer[Sequence[Strings]]):
    r"""Presence of each common word, weighted by its rarity, rows scaled to length one [1]_.

    For a text with the common words :math:`w \in T` the feature of word :math:`w` is
    :math:`i_w / \sqrt{\sum_{v \in T} i_v^2}` with :math:`i_w = \log\frac{1 + n}{1 + n_w} + 1`, where :math:`n_w` of
    the :math:`n` training rows hold the word. A text without common words is zero throughout.

    Parameters
    ----------
    min_rows : int, default=None
        Training rows that a word must occur in. None: a thousandth of the rows, at least 3.
    max_words : int, default=300
        Words of each column.
    max_pairs : int, default=100
        Pairs of neighbouring words of each column, which count like words.

    Attributes
    ----------
    indices_ : list of dict
        Per column, word → place among the column's features.
    squares_ : list of ndarray of shape (n_words,)
        Per column, the squared rarity of each word.

    References
    ----------
    .. [1] Manning, Raghavan and Schütze (2008). Introduction to Information Retrieval, chapter 6.
    """

    def __init__(self, min_rows: int | None = None, max_words: int = 300, max_pairs: int = 100) -> None:
        self.min_rows = min_rows
        self.max_words = max_words
        self.max_pairs = max_pairs

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Find the common words and their rarity.

        Parameters
        ----------
        block : sequence of Strings
            One entry per column.
        y, weight : ignored

        Returns
        -------
        WordWeights
        """
        self.indices_: list[dict[str, int]] = []
        self.squares_: list[Numbers] = []
        for column in block:
            n_rows = len(column.codes)
            least = max(3, math.ceil(n_rows / 1000)) if self.min_rows is None else self.min_rows
            index, squares, _ = learn_words(column, least, self.max_words, self.max_pairs)
            self.indices_.append(index)
            self.squares_.append(squares)
        self.n_features_out_ = sum(map(len, self.indices_))
        return self

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write the weights."""
        start = 0
        for column, index, squares in zip(block, self.indices_, self.squares_, strict=True):
            if not index:
                continue
            per_level = weighted_words(word_matrix(column.levels, index), squares)
            out[:, start : start + len(index)] = per_level[column.codes].toarray()
            start += len(index)

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_word_<word>`."""
        return [
            Feature(
                f"{name}_word_{word}",
                "word",
                (name,),
                f"tf-idf weight of {word!r} in {name}, the weights of a text having length 1",
            )
            for name, index in zip(input_names, self.indices_, strict=True)
            for word in index
        ]


def weighted_words(holds: sparse.csr_matrix, squares: Numbers) -> sparse.csr_matrix:
    """Weights of the words of each text, of shape (n_levels, n_words), from which words it holds."""
    lengths = np.sqrt(holds @ squares)
    scale = np.sqrt(squares)
    weights = scale[holds.indices] / np.repeat(lengths, np.diff(holds.indptr))
    return sparse.csr_matrix((weights, holds.indices, holds.indptr), shape=holds.shape)
