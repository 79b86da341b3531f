"""The edge: cells of any origin → float64, text or int64 microseconds, by fixed rules that learn nothing.

`predict`, the ONNX graph's feeder and the exported service all read a cell through this one file; it is copied verbatim
into every package and therefore needs numpy and the standard library only.

Rules
-----
double
    Numbers as they are, booleans as 0 and 1, text after NFKC if it spells a number ("1.5", "-2e3") or a boolean
    ("true", "yes", "on" …), durations in seconds. Missing, "", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?",
    infinities and text that spells a number beyond the doubles are NaN. With a number format also text written like it.
string
    Text is NFKC-normalised, lower-cased, its white space collapsed to single blanks, NUL dropped. Whole numbers have no
    decimal point, booleans are "true" and "false". Missing is "".
int64
    Microseconds since 1970-01-01. ISO 8601, or the column's own `strptime` format; times with an offset become UTC,
    times without are taken as they stand; a time of day is one on 1900-01-01. Missing is the smallest int64.

Number formats
--------------
`#` stands for digits; before it a currency, after it `,###` if thousands are separated by commas (any other character
alike), `.##` if a point marks decimals (or a comma), and a unit: `$#,###.##`, `#.###,##€`, `# kmpl`, `#%`. Currency,
unit and separators may be left out in a cell, and a plain number is always read; a sign may come before or after the
currency, and brackets around the whole are a minus. A unit `[km]` is one of the letters k, m, b, t: thousands,
millions, billions, trillions. Words after a `|` are missing: `#.##|trace`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_TIME = -(2**63)
TRUE_WORDS = frozenset({"true", "yes", "t", "y", "on"})
FALSE_WORDS = frozenset({"false", "no", "f", "n", "off"})
MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "#na", "nan", "null", "none", "nil", "?", "-", "nat", "<na>"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
MAGNITUDES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_NUMBER_FORMAT = re.compile(
    r"(?P<prefix>[^#|]*)#(?:(?P<group>[^#|])###)?(?:(?P<point>[^#|])##)?(?P<suffix>[^#|]*)(?P<words>(?:\|[^|]*)*)"
)
_INFINITY = re.compile(r"[+-]?inf(?:inity)?")
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_DAY = date(1900, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
EXPECTED = {"double": "a number", "string": "text", "int64": "a date or time"}


class CellError(ValueError):
    """A cell cannot be read.

    Parameters
    ----------
    row : int
        Position of the cell, counted from 0.
    value : object
        What was there.
    expected : str
        What should have been there, in words.
    """

    def __init__(self, row: int, value: object, expected: str) -> None:
        super().__init__(f"row {row}: expected {expected}")
        self.row, self.value, self.expected = row, value, expected


def coerce(cells: Any, edge: str, cell_format: str | None = None) -> NDArray[Any]:
    """Read cells as one edge type.

    Parameters
    ----------
    cells : sequence or ndarray of shape (n_rows,)
        Cells of one column.
    edge : {"double", "string", "int64"}
        Type to read them as.
    cell_format : str or None
        How text is written: the number format of a column of edge "double", the `strptime` format of one of edge
        "int64". None: plain numbers, ISO 8601.

    Returns
    -------
    ndarray of shape (n_rows,)
        float64, object (of str) or int64.

    Raises
    ------
    CellError
        A cell cannot be read; the first one is named.
    """
    if edge == "double":
        return to_double(cells, cell_format)
    if edge == "string":
        return to_string(cells)
    return to_micros(cells, cell_format)


def to_double(cells: Any, cell_format: str | None = None) -> NDArray[np.float64]:
    """Read cells as numbers; see the rules at the top of this file."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        values = cells.astype(np.float64)
        values[np.isinf(values)] = np.nan
        return values
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "m":
        return cells / np.timedelta64(1, "s")
    if cell_format is None:
        return np.fromiter(_each(cells, _double, "a number"), dtype=np.float64, count=len(cells))
    read = _number_reader(cell_format)
    each = _each(cells, lambda c: _double(c, read), f"a number written like {cell_format}")
    return np.fromiter(each, dtype=np.float64, count=len(cells))


def to_string(cells: Any) -> NDArray[np.object_]:
    """Read cells as text; see the rules at the top of this file."""
    out = np.empty(len(cells), dtype=object)
    known: dict[str, str] = {}
    for i, cell in enumerate(_items(cells)):
        if type(cell) is str:
            text = known.get(cell)
            if text is None:
                text = known[cell] = normalise(cell)
            out[i] = text
        else:
            out[i] = _string(cell)
    return out


def to_micros(cells: Any, cell_format: str | None = None) -> NDArray[np.int64]:
    """Read cells as microseconds since 1970-01-01; see the rules at the top of this file."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind == "M":
        return cells.astype("datetime64[us]").astype(np.int64)
    expected = "a date or time" + (f" written like {cell_format}" if cell_format else " in ISO 8601")
    return np.fromiter(_each(cells, lambda c: _micros(c, cell_format), expected), dtype=np.int64, count=len(cells))


def normalise(text: str) -> str:
    """NFKC, lower case, white space collapsed to single blanks and stripped; what UTF-8 cannot hold is left out."""
    text = text.replace("\0", "")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.encode("utf-8", "ignore").decode())
    return " ".join(text.lower().split())


def is_missing(cell: object) -> bool:
    """Whether a cell is None, NaN, NaT or a missing value of pandas."""
    if cell is None:
        return True
    if isinstance(cell, (float, np.floating)):
        return math.isnan(cell)
    if isinstance(cell, Decimal):
        return cell.is_nan()
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return type(cell).__name__ in ("NAType", "NaTType")


def _each(cells: Any, read: Any, expected: str) -> Iterable[Any]:
    for i, cell in enumerate(_items(cells)):
        try:
            yield read(cell)
        except (ValueError, TypeError, OverflowError):
            raise CellError(i, cell, expected) from None


def _items(cells: Any) -> Sequence[Any]:
    if isinstance(cells, np.ndarray) and cells.dtype.kind != "M":
        items: list[Any] = cells.tolist()
        return items
    return cells if isinstance(cells, Sequence) else list(cells)


def _double(cell: Any, read: Callable[[str], float] | None = None) -> float:
    if type(cell) is float:
        return math.nan if math.isinf(cell) else cell
    if is_missing(cell):
        return math.nan
    if isinstance(cell, (bytes, str)):
        text = cell.decode() if isinstance(cell, bytes) else cell
        return _double_of_text(text) if read is None else read(text)
    if isinstance(cell, np.timedelta64):
        return float(cell / np.timedelta64(1, "s"))
    if isinstance(cell, timedelta):
        return cell / _SECOND
    if isinstance(cell, (bool, np.bool_, Real, Decimal)):
        value = float(cell)
        return math.nan if math.isinf(value) else value
    raise TypeError


def _double_of_text(text: str) -> float:
    word = normalise(text)
    if _NUMBER.fullmatch(word):
        value = float(word)
        return math.nan if math.isinf(value) else value
    if word in MISSING_WORDS or _INFINITY.fullmatch(word):
        return math.nan
    if word in TRUE_WORDS:
        return 1.0
    if word in FALSE_WORDS:
        return 0.0
    raise ValueError


@lru_cache(maxsize=4096)
def _number_reader(cell_format: str) -> Callable[[str], float]:
    """What reads a text written like a number format."""
    form = _NUMBER_FORMAT.fullmatch(cell_format)
    if form is None:
        raise ValueError(f"{cell_format!r} is no number format.")
    group, point, suffix = form["group"] or "", form["point"] or ".", form["suffix"].strip()
    is_scaled = suffix[:1] == "[" and suffix[-1:] == "]"
    whole = f"(?:[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+|[0-9]+)" if group else "[0-9]+"
    decimals = "" if point == group else f"(?:{re.escape(point)}[0-9]*)?"
    bare = "" if point == group else f"|{re.escape(point)}[0-9]+"
    unit = suffix if is_scaled else re.escape(suffix)
    pattern = re.compile(
        rf"(?P<open>\()?(?P<sign>[+-]?) ?(?:{re.escape(form['prefix'].strip())})? ?(?P<late>[+-]?)"
        rf"(?P<body>(?:{whole}{decimals}{bare})(?:e[+-]?[0-9]+)?) ?(?P<unit>{unit})?(?P<close>\))?"
    )
    words = MISSING_WORDS | set(form["words"].split("|"))

    def read(text: str) -> float:
        word = normalise(text)
        found = pattern.fullmatch(word)
        if found is None or (found["open"] is None) != (found["close"] is None):
            if word in words or _INFINITY.fullmatch(word):
                return math.nan
            if _NUMBER.fullmatch(word):
                return _double_of_text(word)
            raise ValueError
        body = found["body"].replace(group, "") if group else found["body"]
        value = float(body.replace(point, "."))
        if is_scaled and found["unit"]:
            value *= MAGNITUDES[found["unit"]]
        signs = (found["sign"], found["late"], "-" if found["open"] else "")
        value = -value if signs.count("-") % 2 else value
        return math.nan if math.isinf(value) else value

    return read


def _string(cell: Any) -> str:
    if is_missing(cell):
        return ""
    if isinstance(cell, (bool, np.bool_)):
        return "true" if cell else "false"
    if isinstance(cell, Integral):
        return str(int(cell))
    if isinstance(cell, (float, np.floating, Decimal)):
        value = float(cell)
        if math.isinf(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(cell, bytes):
        return normalise(cell.decode(errors="replace"))
    if isinstance(cell, (datetime, date)):
        return normalise(cell.isoformat())
    return normalise(str(cell))


def _micros(cell: Any, cell_format: str | None) -> int:
    if is_missing(cell):
        return MISSING_TIME
    if isinstance(cell, np.datetime64):
        return int(cell.astype("datetime64[us]").astype(np.int64))
    if isinstance(cell, bytes):
        cell = cell.decode()
    if isinstance(cell, str):
        word = " ".join(unicodedata.normalize("NFKC", cell).split())
        if word.lower() in MISSING_WORDS:
            return MISSING_TIME
        cell = datetime.strptime(word, cell_format) if cell_format else datetime.fromisoformat(word)
    elif cell_format and isinstance(cell, (Integral, float, np.floating)) and cell == int(cell):
        cell = datetime.strptime(str(int(cell)), cell_format)
    if isinstance(cell, datetime):
        return (cell - (_EPOCH if cell.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND
    if isinstance(cell, date):
        return (datetime(cell.year, cell.month, cell.day) - _EPOCH) // _MICROSECOND
    if isinstance(cell, time):
        return (datetime.combine(_CLOCK_DAY, cell.replace(tzinfo=None)) - _EPOCH) // _MICROSECOND
    raise TypeError
