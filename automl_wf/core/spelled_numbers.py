"""A target of text whose cells are numbers, as in $123,600.00: which they are, and which cells are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core import coerce, kinds

#: Text with at least this share of numbers among its distinct cells is meant as numbers.
MIN_SHARE = 0.95
#: With at most this many distinct values, numbers may be names of classes.
MAX_CLASSES = 20
_MAX_NAMED = 5


@dataclass(frozen=True)
class SpelledNumbers:
    """Text read as numbers.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The numbers; NaN where a cell is missing or cannot be read.
    example : tuple of str and float
        A cell, and what it is read as.
    unreadable : tuple of (int, str)
        Row and text of each cell that cannot be read.
    is_written_out : bool
        Whether a currency, a unit, a separator or a decimal mark is there: more than digits.
    n_distinct : int
        How many different texts there are.
    """

    values: NDArray[np.float64]
    example: tuple[str, float]
    unreadable: tuple[tuple[int, str], ...]
    is_written_out: bool
    n_distinct: int

    @property
    def are_no_classes(self) -> bool:
        """Whether there are too many different ones to be classes; plain digits that repeat may be codes of them."""
        is_mostly_distinct = 2 * self.n_distinct > len(self.values)
        return is_mostly_distinct or (self.is_written_out and self.n_distinct > MAX_CLASSES)

    @property
    def unreadable_cells(self) -> str:
        """The first cells that cannot be read, in words."""
        named = ", ".join(f"{text!r} in row {row}" for row, text in self.unreadable[:_MAX_NAMED])
        return named + (f" and {len(self.unreadable) - _MAX_NAMED} more" if len(self.unreadable) > _MAX_NAMED else "")


def read_spelled_numbers(cells: NDArray[np.object_] | pd.Series) -> SpelledNumbers | None:
    """Text as numbers.

    Parameters
    ----------
    cells : Series or ndarray of shape (n_rows,)
        A target.

    Returns
    -------
    SpelledNumbers or None
        None: it is not text, or fewer than `MIN_SHARE` of its distinct cells are numbers.
    """
    series = pd.Series(cells).reset_index(drop=True)
    if pd.api.types.infer_dtype(series, skipna=True) != "string":
        return None
    texts = kinds.texts_of(series.astype(object))
    found = _format_of(texts)
    if found is None:
        return None
    cell_format = found or None
    codes, distinct = pd.factorize(series)
    values, is_unreadable = np.full(len(distinct) + 1, np.nan), np.zeros(len(distinct) + 1, dtype=bool)
    for code, text in enumerate(distinct):
        try:
            values[code] = coerce.to_double([text], cell_format)[0]
        except coerce.CellError:
            is_unreadable[code] = True
    if is_unreadable.sum() > (1 - MIN_SHARE) * len(texts):
        return None
    known = int(np.argmax(~np.isnan(values)))
    rows = np.flatnonzero(is_unreadable[codes])
    return SpelledNumbers(
        values=values[codes],
        example=(str(distinct[known]), float(values[known])),
        unreadable=tuple((int(row), str(series[row])) for row in rows),
        is_written_out=bool(cell_format) or any(not text.strip().isdigit() for text in texts),
        n_distinct=len(texts),
    )


def _format_of(texts: Sequence[str]) -> str | None:
    """The number format that nearly all texts are written in, "" for plain numbers; None: there is none."""
    if not texts:
        return None
    parts = [(text, kinds.number_parts(text)) for text in texts]
    numbers = [text for text, around in parts if around is not None]
    around_most = Counter(around for _, around in parts if around is not None).most_common(1)
    alike = [text for text, around in parts if around_most and around in (around_most[0][0], ("", ""))]
    for candidates in (numbers, alike):
        if candidates and len(candidates) >= MIN_SHARE * len(texts):
            found = kinds.number_format(candidates)
            if found is not None:
                return found
    return None
