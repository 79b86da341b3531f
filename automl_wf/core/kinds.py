"""What a raw column is: its kind and the way its cells are written, each with the reason, from its cells alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from automl_wf.core import coerce
from automl_wf.core.schema import ColumnKind
from automl_wf.exceptions import InvalidInput

#: Ways to write a date or a time of day that are tried on text, in this order, after ISO 8601.
DATE_FORMATS = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d",
    "%Y-%m",
    "%Y/%m",
    "%m/%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%B %d, %Y",
    "%A, %B %d, %Y",
    "%a %b %d %H:%M:%S %Y",
    "%b-%Y",
    "%b-%y",
    "%b %Y",
    "%B %Y",
)
#: A date in eight digits: `strptime` would take seven as well.
COMPACT_DATE = "%Y%m%d"
_COMPACT = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_FIRST_COMPACT, _LAST_COMPACT = 19000101, 20991231
#: Times of day; `strptime` would take the score 2:1 as one, so that the digits are counted first.
_CLOCKS = {
    "%H:%M": re.compile(r"\d{1,2}:\d\d"),
    "%H:%M:%S": re.compile(r"\d{1,2}:\d\d:\d\d"),
    "%I:%M %p": re.compile(r"\d{1,2}:\d\d [ap]m", re.IGNORECASE),
    "%I:%M:%S %p": re.compile(r"\d{1,2}:\d\d:\d\d [ap]m", re.IGNORECASE),
}
CLOCK = "%H:%M:%S"
#: Formats in which day and month could be the other way round.
SWAPPED = {f: f.replace("%m/%d", "%d/%m") for f in DATE_FORMATS if f.startswith("%m/%d")}

#: A number with something around it: currency before, unit after, separators within.
_AFFIXED = re.compile(
    r"\(?[+-]?(?P<prefix>[^\d.,'()+\- #|]*)\s?[+-]?(?P<body>\d(?:[\d.,' ]*\d)?|\.\d+)\s?(?P<suffix>[^\d#|()]*)\)?"
)
_CURRENCY_WORDS = frozenset(
    {"usd", "us$", "eur", "gbp", "chf", "jpy", "inr", "cad", "aud", "rs", "r$", "a$", "c$", "~"}
)
_MAX_SUFFIX, _LONGEST = 16, 64
#: A few words among many numbers are read as missing: at most so many, and so many distinct numbers for each.
_MAX_ODD_WORDS, _NUMBERS_PER_ODD_WORD = 3, 10
#: Fewest distinct compact dates in a column of integers: a handful of integers may look like dates by chance.
_MIN_COMPACT_DATES = 3


class Guess(NamedTuple):
    """What a column is taken for.

    Parameters
    ----------
    kind : ColumnKind
        What its cells mean.
    reason : str
        Why, in words.
    cell_format : str or None
        How its cells are written, as in `Column`.
    time_zone : str or None
        As in `Column`.
    """

    kind: ColumnKind
    reason: str
    cell_format: str | None = None
    time_zone: str | None = None


def infer(series: pd.Series, override: ColumnKind | None, read_as_text: bool) -> Guess:
    """Kind, reason, format and zone of one column.

    Parameters
    ----------
    series : Series
        The raw column.
    override : ColumnKind or None
        The kind that the user gave.
    read_as_text : bool
        Whether the table seems to have been read without types, so that whole numbers written as text are numbers.

    Returns
    -------
    Guess

    Raises
    ------
    InvalidInput
        The column holds complex numbers.
    """
    guess = _infer_from_dtype(series) or _infer_from_cells(series, read_as_text)
    if override is None:
        return guess
    if override is guess.kind:
        return guess._replace(reason="as given in schema")
    cell_format = None
    if override is ColumnKind.DATETIME:
        cell_format = date_format(texts_of(series)) or None
    elif override is ColumnKind.NUMERIC:
        cell_format = _number_format(texts_of(series))
    return Guess(override, "as given in schema", cell_format)


def texts_of(series: pd.Series) -> list[str]:
    """Distinct texts of a column of strings, those that stand for missing left out."""
    if not (series.dtype == object or pd.api.types.is_string_dtype(series.dtype)):
        return []
    try:
        distinct = pd.unique(series.dropna())
    except TypeError:
        return []
    return [t for t in distinct if isinstance(t, str) and coerce.normalise(t) not in coerce.MISSING_WORDS]


def spells_decimals(series: pd.Series) -> bool:
    """Whether a column of text holds numbers, some with a decimal point: then nobody gave the table types."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return False
    texts = texts_of(series)
    return bool(texts) and any("." in t for t in texts) and _spells_numbers(texts)


def reads_swapped(series: pd.Series, cell_format: str | None) -> bool:
    """Whether every date of a column could be read with day and month the other way round."""
    return cell_format in SWAPPED and _parses(texts_of(series), SWAPPED[cell_format])


def _infer_from_dtype(series: pd.Series) -> Guess | None:
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mM":
        return None
    if isinstance(dtype, pd.CategoricalDtype):
        return Guess(ColumnKind.CATEGORICAL, "pandas categorical")
    if pd.api.types.is_bool_dtype(dtype):
        return Guess(ColumnKind.BOOLEAN, "boolean dtype")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return Guess(ColumnKind.DATETIME, f"datetimes in zone {dtype.tz}", None, str(dtype.tz))
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return Guess(ColumnKind.DATETIME, "datetime dtype")
    if pd.api.types.is_timedelta64_dtype(dtype):
        return Guess(ColumnKind.NUMERIC, "durations, in seconds")
    if pd.api.types.is_complex_dtype(dtype):
        raise InvalidInput(f"Complex data not supported: column {series.name!r} holds complex numbers.")
    if pd.api.types.is_numeric_dtype(dtype):
        if _holds_compact_dates(series):
            return Guess(ColumnKind.DATETIME, f"whole numbers that are dates ({COMPACT_DATE})", COMPACT_DATE)
        return Guess(ColumnKind.NUMERIC, "numeric dtype")
    return None


def _infer_from_cells(series: pd.Series, read_as_text: bool) -> Guess:
    present = series[~series.isna().to_numpy()]
    seen = pd.api.types.infer_dtype(present, skipna=True)
    if seen == "boolean":
        return Guess(ColumnKind.BOOLEAN, "boolean cells")
    if seen in ("integer", "floating", "mixed-integer-float", "decimal"):
        return Guess(ColumnKind.NUMERIC, "numeric cells")
    if seen in ("timedelta", "timedelta64"):
        return Guess(ColumnKind.NUMERIC, "durations, in seconds")
    if seen in ("datetime", "datetime64", "date", "period"):
        zones = {str(z) for z in (getattr(c, "tzinfo", None) for c in present.tolist()) if z is not None}
        return Guess(ColumnKind.DATETIME, "cells are dates", None, zones.pop() if len(zones) == 1 else None)
    if seen == "time":
        return Guess(ColumnKind.DATETIME, "cells are times of day", CLOCK)
    if seen == "empty":
        return Guess(ColumnKind.CATEGORICAL, "every cell is missing")
    if seen == "string":
        texts = texts_of(series)
        return (_infer_from_texts(texts, read_as_text) if texts else None) or Guess(ColumnKind.CATEGORICAL, "text")
    what = "cells of several kinds" if seen.startswith("mixed") else f"cells of kind {seen}"
    return Guess(ColumnKind.CATEGORICAL, f"{what}, read as text")


def _infer_from_texts(texts: Sequence[str], read_as_text: bool) -> Guess | None:
    words = set(map(coerce.normalise, texts))
    is_pair = len(words) == 2 and len(words & coerce.TRUE_WORDS) == len(words & coerce.FALSE_WORDS) == 1
    if is_pair or words in ({"true"}, {"false"}):
        return Guess(ColumnKind.BOOLEAN, f"text that spells booleans ({', '.join(sorted(words))})")
    if _spells_compact_dates(texts):
        return Guess(ColumnKind.DATETIME, f"dates written as text ({COMPACT_DATE})", COMPACT_DATE)
    if _spells_numbers(texts):
        if read_as_text or any("." in t or "e" in t.lower() for t in texts):
            return Guess(ColumnKind.NUMERIC, "numbers written as text")
        return Guess(ColumnKind.CATEGORICAL, "whole numbers stored as text are taken for codes")
    written = date_format(texts)
    if written is not None:
        return Guess(ColumnKind.DATETIME, f"dates written as text ({written or 'ISO 8601'})", written or None)
    number_format = _number_format(texts)
    if number_format is not None:
        return Guess(ColumnKind.NUMERIC, f"numbers written as text ({number_format})", number_format)
    return None


def number_format(texts: Sequence[str]) -> str | None:
    """How numbers are written: "" for plain ones, a format of `coerce`, or None: not all texts are numbers."""
    return "" if _spells_numbers(texts) else _number_format(texts)


def number_parts(text: str) -> tuple[str, str] | None:
    """What stands before and after the digits of a text that may be a number; None: it is none."""
    word = coerce.normalise(text)
    found = _AFFIXED.fullmatch(word) if len(word) <= _LONGEST else None
    return None if found is None else (found["prefix"], found["suffix"].strip())


def _spells_numbers(texts: Sequence[str]) -> bool:
    if any(t.strip().lstrip("+-")[:1] not in "0123456789." for t in texts[:100]):
        return False
    if any(_has_leading_zero(t.strip()) for t in texts):
        return False
    try:
        return not bool(np.isnan(coerce.to_double(texts)).any())
    except coerce.CellError:
        return False


def _has_leading_zero(digits: str) -> bool:
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def _holds_compact_dates(series: pd.Series) -> bool:
    """Whether all numbers of a column are dates like 20240131; most columns are told by their first numbers."""
    cells = series.to_numpy(dtype=np.float64, na_value=np.nan)
    for part in (cells[:50], cells):
        values = part[~np.isnan(part)]
        if len(values) and not (values.min() >= _FIRST_COMPACT and values.max() <= _LAST_COMPACT):
            return False
    distinct = pd.unique(values)
    return bool((distinct == np.floor(distinct)).all()) and _spells_compact_dates([str(int(v)) for v in distinct])


def _spells_compact_dates(texts: Sequence[str]) -> bool:
    return (
        len(texts) >= _MIN_COMPACT_DATES
        and all(_COMPACT.fullmatch(t.strip()) for t in texts)
        and _parses(texts, COMPACT_DATE)
    )


def date_format(texts: Sequence[str]) -> str | None:
    """How dates are written: "" for ISO 8601, a `strptime` format that reads every text, or None."""
    if not texts or not all(any(c.isdigit() for c in t) and len(t.strip()) >= 4 for t in texts[:100]):
        return None
    if all(t.strip()[:4].isdigit() and not t.strip().isdigit() for t in texts[:100]) and _parses(texts, ""):
        return ""
    for clock, pattern in _CLOCKS.items():
        if all(pattern.fullmatch(" ".join(t.split())) for t in texts) and _parses(texts, clock):
            return clock
    if any(len(t.strip()) < 6 for t in texts[:100]):
        return None
    return next((f for f in DATE_FORMATS if _parses(texts, f)), None)


def _parses(texts: Sequence[str], cell_format: str) -> bool:
    try:
        coerce.to_micros(texts[:50], cell_format or None)
        coerce.to_micros(texts[50:], cell_format or None)
    except coerce.CellError:
        return False
    return bool(texts)


def _number_format(texts: Sequence[str]) -> str | None:
    """How numbers with separators, a currency or a unit are written, as `coerce` reads it; None if they are none."""
    words = [coerce.normalise(t) for t in texts]
    if not words or max(map(len, words)) > _LONGEST or not any(_AFFIXED.fullmatch(w) for w in words[:100]):
        return None
    found = [_AFFIXED.fullmatch(w) for w in words]
    odd = sorted({w for w, match in zip(words, found, strict=True) if match is None})
    parts = [match for match in found if match is not None]
    bodies = [m["body"] for m in parts]
    if len(odd) > _MAX_ODD_WORDS or any(c.isdigit() or c in "|#" for w in odd for c in w):
        return None
    if odd and len(parts) < _NUMBERS_PER_ODD_WORD * len(odd):
        return None
    if len(set(bodies)) < 2 or any(_has_leading_zero(body) for body in bodies):
        return None
    prefix, suffix = _prefix(m["prefix"] for m in parts), _suffix([m["suffix"].strip() for m in parts])
    separators = _separators(bodies)
    if prefix is None or suffix is None or separators is None:
        return None
    group, point = separators
    if not (prefix or suffix or group or point == "," or (odd and point)):
        return None
    pattern = f"{prefix}#{group and group + '###'}{point and point + '##'}{suffix}"
    cell_format = "|".join([pattern, *odd])
    try:
        coerce.to_double(words, cell_format)
    except coerce.CellError:
        return None
    return cell_format


def _prefix(seen: Iterable[str]) -> str | None:
    """The one currency before the numbers, "" for nothing; None if it is something else."""
    prefixes = set(seen) - {""}
    if not prefixes:
        return ""
    prefix = prefixes.pop()
    is_currency = prefix in _CURRENCY_WORDS or any(unicodedata.category(c) == "Sc" for c in prefix)
    return None if prefixes or not is_currency else prefix


def _suffix(seen: Sequence[str]) -> str | None:
    """The one unit after the numbers, or a set of magnitudes; "" for nothing, None if they differ."""
    suffixes = set(seen) - {""}
    if not suffixes:
        return ""
    if len(suffixes) > 1:
        return f"[{''.join(sorted(suffixes))}]" if suffixes <= coerce.MAGNITUDES.keys() else None
    suffix = suffixes.pop()
    if len(suffix) > _MAX_SUFFIX or any(c in "[]" for c in suffix):
        return None
    is_partial = "" in seen
    if is_partial and (any(c.isalpha() for c in suffix) or seen.count("") > len(seen) / 2):
        return None
    return f" {suffix}" if suffix[0].isalpha() else suffix


def _separators(bodies: Sequence[str]) -> tuple[str, str] | None:
    """Separator of thousands and decimal mark, "" where there is none; None if they contradict each other."""
    seen = sorted({c for body in bodies for c in body if not c.isdigit()})
    if not seen:
        return "", ""
    if len(seen) == 1:
        (mark,) = seen
        grouped = re.compile(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{3}})*|\d+")
        is_repeated = any(body.count(mark) > 1 for body in bodies)
        if all(grouped.fullmatch(body) for body in bodies) and (mark != "." or is_repeated):
            return mark, ""
        return None if is_repeated or mark not in ".," else ("", mark)
    if len(seen) > 2:
        return None
    both = [body for body in bodies if all(mark in body for mark in seen)]
    points = {max(seen, key=body.rfind) for body in both}
    if len(points) != 1 or not points <= {".", ","}:
        return None
    point = points.pop()
    group = next(mark for mark in seen if mark != point)
    return group, point
