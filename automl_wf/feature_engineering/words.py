"""Words of text columns and pairs of neighbouring words: which of them are worth a place, and how rare they are.

Whatever is added up over the words of a text is held on a binary grid that doubles add without rounding, so that the
graph may add in another order and come to the same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core.table import Strings
from automl_wf.core.words import rows_per_level, terms_of
from automl_wf.feature_engineering.base import Numbers

#: Sums of up to 2**20 words of size below 2**12 are exact on this grid.
GRID = 2.0**-20


def common_words(column: Strings, min_rows: int, max_words: int, max_pairs: int = 0) -> list[str]:
    """The words that most rows hold, sorted by code point, then such pairs of neighbouring words.

    Parameters
    ----------
    column : Strings
        Texts.
    min_rows : int
        Rows that a word must occur in.
    max_words, max_pairs : int
        Of equally common ones those that sort first are kept.

    Returns
    -------
    list of str
        A pair has a blank between its words.
    """
    n_rows: Counter[str] = Counter()
    for text, count in zip(column.levels, rows_per_level(column).tolist(), strict=True):
        if count:
            for term in set(terms_of(text)):
                n_rows[term] += count
    ranked = sorted((-count, term) for term, count in n_rows.items() if count >= min_rows)
    words = [term for _, term in ranked if " " not in term][:max_words]
    pairs = [term for _, term in ranked if " " in term][:max_pairs]
    return sorted(words) + sorted(pairs)


def word_matrix(levels: NDArray[np.object_], index: Mapping[str, int]) -> sparse.csr_matrix:
    """Which of the indexed words and pairs each text holds: zeros and ones of shape (n_levels, n_terms)."""
    columns: list[int] = []
    ends = [0]
    for text in levels:
        columns += sorted({index[term] for term in terms_of(text) if term in index})
        ends.append(len(columns))
    shape = (len(levels), max(len(index), 1))
    return sparse.csr_matrix((np.ones(len(columns)), np.array(columns, dtype=np.int32), np.array(ends)), shape=shape)


def on_grid(values: Numbers) -> Numbers:
    """The nearest multiples of `GRID`."""
    held: Numbers = np.round(values / GRID) * GRID
    return held


def squared_rarity(document_rows: Numbers, n_rows: float) -> Numbers:
    """Squares of the inverse document frequency log((1 + n) / (1 + n_w)) + 1, on the grid."""
    return on_grid((np.log((1.0 + n_rows) / (1.0 + document_rows)) + 1.0) ** 2)


def learn_words(
    column: Strings, min_rows: int, max_words: int, max_pairs: int
) -> tuple[dict[str, int], Numbers, sparse.csr_matrix]:
    """The common words and pairs of a column.

    Parameters
    ----------
    column : Strings
        Texts.
    min_rows, max_words, max_pairs : int
        As for `common_words`.

    Returns
    -------
    index : dict
        Word or pair → place.
    squares : ndarray of shape (n_terms,)
        Squared rarity of each.
    holds : csr_matrix of shape (n_levels, n_terms)
        What `word_matrix` makes of the texts, which takes longest of all.
    """
    index = {term: i for i, term in enumerate(common_words(column, min_rows, max_words, max_pairs))}
    holds = word_matrix(column.levels, index)
    n_holding = holds.T @ rows_per_level(column).astype(np.float64)
    return index, squared_rarity(n_holding[: len(index)], len(column.codes)), holds
