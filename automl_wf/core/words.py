"""Words of text: how text is cut, and which columns are text at all, their words saying more than their values.

A word is a run of anything but ASCII blanks, punctuation and control characters; texts come lower-cased from the edge.
The graph cuts with the same expression.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings

#: What the graph appends to every text, so that none is without a token; it is never a word.
STOP = "~"
#: Python's `re` and the graph's RE2 read this alike: it names ASCII characters only.
TOKEN = r"~|[^\x00-/:-@\[-`{-\x7f]+"
_TOKEN = re.compile(TOKEN)
#: A column is text if it has more distinct values than this, and so many words that several of its values share.
MIN_LEVELS, MIN_SHARED_WORDS = 20, 10
MIN_WORDS_PER_ROW = 1.5
#: Distinct values that are looked at.
MAX_LEVELS = 20_000


def words_of(text: str) -> list[str]:
    """The words of one text, in their order."""
    return [word for word in _TOKEN.findall(text) if word != STOP]


def terms_of(text: str) -> list[str]:
    """The words of one text, then the pairs of neighbouring ones, each pair joined by a blank."""
    tokens = _TOKEN.findall(text)
    pairs = [f"{a} {b}" for a, b in pairwise(tokens) if a != STOP and b != STOP]
    return [word for word in tokens if word != STOP] + pairs


def rows_per_level(column: Strings) -> NDArray[np.int64]:
    """How many rows hold each level."""
    counts: NDArray[np.int64] = np.bincount(column.codes, minlength=len(column.levels))
    return counts


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
    held = held[:: -(-len(held) // MAX_LEVELS)]
    n_levels: Counter[str] = Counter()
    n_words = 0
    for i in held:
        words = words_of(column.levels[i])
        n_words += len(words) * int(counts[i])
        n_levels.update(set(words))
    n_present = int(counts[held].sum())
    n_shared = sum(n > 1 for n in n_levels.values())
    return n_shared >= MIN_SHARED_WORDS and n_words >= MIN_WORDS_PER_ROW * n_present
