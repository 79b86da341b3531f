"""Words of text columns: how text is cut, which words are worth a place, and which columns are text at all.

A word is a run of anything but ASCII blanks, punctuation and control characters; texts come lower-cased from the edge.
The graph cuts with the same expression. Whatever is added up over the words of a text is held on a binary grid that
doubles add without rounding, so that the graph may add in another order and come to the same bits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Numbers

#: What the graph appends to every text, so that none is without a token; it is never a word.
STOP = "~"
#: Python's `re` and the graph's RE2 read this alike: it names ASCII characters only.
TOKEN = r"~|[^\x00-/:-@\[-`{-\x7f]+"
_TOKEN = re.compile(TOKEN)
#: Sums of up to 2**20 words of size below 2**12 are exact on this grid.
GRID = 2.0**-20
#: A column is text if it has more distinct values than this, and so many words that several of its values share.
MIN_LEVELS, MIN_SHARED_WORDS = 20, 10
MIN_WORDS_PER_ROW = 1.5


def words_of(text: str) -> list[str]:
    """The words of one text, in their order."""
    return [word for word in _TOKEN.findall(text) if word != STOP]


def rows_per_level(column: Strings) -> NDArray[np.int64]:
    """How many rows hold each level."""
    counts: NDArray[np.int64] = np.bincount(column.codes, minlength=len(column.levels))
    return counts


def common_words(column: Strings, min_rows: int, max_words: int) -> list[str]:
    """The words that most rows hold, sorted by code point.

    Parameters
    ----------
    column : Strings
        Texts.
    min_rows : int
        Rows that a word must occur in.
    max_words : int
        Of equally common words those that sort first are kept.

    Returns
    -------
    list of str
    """
    n_rows: Counter[str] = Counter()
    for text, count in zip(column.levels, rows_per_level(column).tolist(), strict=True):
        if count:
            for word in set(words_of(text)):
                n_rows[word] += count
    ranked = sorted((-count, word) for word, count in n_rows.items() if count >= min_rows)
    return sorted(word for _, word in ranked[:max_words])


def word_matrix(levels: NDArray[np.object_], index: Mapping[str, int]) -> sparse.csr_matrix:
    """Which of the indexed words each text holds: zeros and ones of shape (n_levels, n_words)."""
    columns: list[int] = []
    ends = [0]
    for text in levels:
        columns += sorted({index[word] for word in words_of(text) if word in index})
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


def learn_words(column: Strings, min_rows: int, max_words: int) -> tuple[dict[str, int], Numbers]:
    """The common words of a column, each with its place, and their squared rarity of shape (n_words,)."""
    index = {word: i for i, word in enumerate(common_words(column, min_rows, max_words))}
    n_holding = word_matrix(column.levels, index).T @ rows_per_level(column).astype(np.float64)
    return index, squared_rarity(n_holding[: len(index)], len(column.codes))


def is_text(column: Strings) -> bool:
    """Whether the values of a column share words: then their words say what the values as such do not.

    Parameters
    ----------
    column : Strings
        All rows.

    Returns
    -------
    bool
        True with more than 20 distinct values, 1.5 words a row and ten words that several values share.
    """
    counts = rows_per_level(column)
    held = np.flatnonzero(counts)
    if len(held) <= MIN_LEVELS:
        return False
    n_levels: Counter[str] = Counter()
    n_words = 0
    for i in held:
        words = words_of(column.levels[i])
        n_words += len(words) * int(counts[i])
        n_levels.update(set(words))
    n_present = int(counts[held].sum())
    n_shared = sum(n > 1 for n in n_levels.values())
    return n_shared >= MIN_SHARED_WORDS and n_words >= MIN_WORDS_PER_ROW * n_present
