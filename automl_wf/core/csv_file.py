"""A CSV file → DataFrame: text as it is written, numbers with gaps where a word such as NA stands for one."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from automl_wf.core import coerce
from automl_wf.core.schema import Column, Schema
from automl_wf.exceptions import InvalidInput, InvalidParameter

#: What pandas takes for missing on its own account, and our words as they may be written: in numbers, dates, booleans.
_WORDS = sorted(
    {spelled for word in coerce.MISSING_WORDS for spelled in (word, word.upper(), word.capitalize(), word.title())}
    | {"NaN", "n/A", "#N/A N/A", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)
#: Separators that are looked for where there is one column only, and how each is typed.
_OTHER_SEPARATORS = {";": ";", "\t": r"\t", "|": "|"}
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
#: A number as it is written where commas mark decimals; pandas reads those without points itself.
_GROUPED_BY_POINTS = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?"
_LINES_TO_LOOK_AT = 100
#: A separator that no table has: every line is one cell.
_NOWHERE = "\x1f"


@dataclass(frozen=True)
class CsvDialect:
    r"""How a CSV file is written.

    Parameters
    ----------
    sep : str, default=","
        Separator of cells; `\t` may be typed for a tab.
    decimal : {".", ","}, default="."
        What marks decimals.
    encoding : str, default="utf-8"
        Encoding of the text.
    """

    sep: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.sep == r"\t":
            object.__setattr__(self, "sep", "\t")
        if len(self.sep) != 1 or self.sep in '"\r\n':
            raise InvalidParameter(
                f"The separator must be one character, such as ';' or '\\t'. Got {self.sep!r} instead."
            )
        if self.decimal not in (".", ","):
            raise InvalidParameter(f"The decimal mark must be '.' or ','. Got {self.decimal!r} instead.")
        if self.decimal == self.sep:
            raise InvalidParameter(
                f"{self.sep!r} cannot separate cells and mark decimals. Name the separator, as in --sep ';'."
            )
        try:
            "".encode(self.encoding)
        except LookupError:
            raise InvalidParameter(
                f"The encoding must be one that Python knows, such as utf-8, cp1252 or utf-16. "
                f"Got {self.encoding!r} instead."
            ) from None

    @property
    def unusual(self) -> dict[str, str]:
        """What is not as usual, by name."""
        return {name: value for name, value in self.options.items() if value != getattr(CsvDialect, name)}

    @property
    def options(self) -> dict[str, str]:
        """The same for pandas."""
        return {"sep": self.sep, "decimal": self.decimal, "encoding": self.encoding}


def read_csv(path: str | os.PathLike[str], dialect: CsvDialect, schema: Schema | None = None) -> pd.DataFrame:
    """All of a CSV file.

    Parameters
    ----------
    path : path
        The file; it may be compressed.
    dialect : CsvDialect
        How it is written.
    schema : Schema, optional
        What is known of columns: those of text are then read as text, whatever this file's cells look like.

    Returns
    -------
    DataFrame
        In text only an empty cell is missing; in columns of numbers, words such as NA and null are, too.

    Raises
    ------
    InvalidInput
        Two columns have one name, or there is one column only and another separator in its name.
    """
    header = read_header(path, dialect)
    options = _options(header, dialect, schema)
    table = _checked(pd.read_csv(path, low_memory=False, **options), path)
    known = set(options["dtype"])
    gapped = [name for name in table.columns if name not in known and _is_text(table[name]) and table[name].hasnans]
    if gapped:
        texts = pd.read_csv(path, usecols=gapped, low_memory=False, **_options(header, dialect, text=gapped))
        table[gapped] = texts[gapped]
    return _with_points(table, dialect, known)


def csv_chunks(
    path: str | os.PathLike[str], dialect: CsvDialect, schema: Schema, names: Sequence[str], n_rows: int
) -> Iterator[pd.DataFrame]:
    """Some columns of a CSV file, so many rows at a time, each read as `schema` describes it."""
    options = _options(read_header(path, dialect), dialect, schema)
    with pd.read_csv(path, usecols=list(names), chunksize=n_rows, low_memory=False, **options) as chunks:
        for chunk in chunks:
            if len(chunk):
                yield _with_points(_checked(chunk, path), dialect, set(options["dtype"]))


def read_header(path: str | os.PathLike[str], dialect: CsvDialect) -> list[str]:
    """Names of the columns of a CSV file; InvalidInput if two are one, or if it is written in another dialect."""
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **dialect.options)
    names = [str(name) for name in first.iloc[0]]
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise InvalidInput(
            f"{path} has more than one column {', '.join(map(repr, doubled[:5]))}. Give each a name of its own."
        )
    if len(names) == 1 and any(mark in names[0] for mark in _OTHER_SEPARATORS if mark != dialect.sep):
        raise InvalidInput(f"{path} has one column only, {names[0][:60]!r}. Read it with {_advice(path, dialect)}.")
    return [str(name) for name in pd.read_csv(path, nrows=0, **dialect.options).columns]


def _advice(path: str | os.PathLike[str], dialect: CsvDialect) -> str:
    """The options that a file seems to need, as they are typed."""
    whole = pd.read_csv(
        path, header=None, names=["line"], sep=_NOWHERE, quoting=csv.QUOTE_NONE, nrows=_LINES_TO_LOOK_AT, dtype=str,
        keep_default_na=False, encoding=dialect.encoding,
    )  # fmt: skip
    lines = whole["line"].tolist()
    sep = max(_OTHER_SEPARATORS, key=lambda mark: lines[0].count(mark))
    cells = [cell.strip().strip('"') for line in lines[1:] for cell in line.split(sep)]
    decimal = " --decimal ','" if any(map(_DECIMAL_COMMA.fullmatch, cells)) else ""
    return f"--sep '{_OTHER_SEPARATORS[sep]}'{decimal}"


def _options(
    header: Sequence[str], dialect: CsvDialect, schema: Schema | None = None, text: Sequence[str] = ()
) -> dict[str, Any]:
    """How pandas is to read the columns."""
    columns = () if schema is None else schema.columns
    known = {*text, *(c.name for c in columns if _is_read_as_text(c))}
    return {
        "keep_default_na": False,
        "na_values": {name: [""] if name in known else _WORDS for name in header},
        "dtype": {name: str for name in header if name in known},
        **dialect.options,
    }


def _is_read_as_text(column: Column) -> bool:
    """Whether cells keep every character, so that no part of a file is read otherwise than the whole."""
    was_number = column.dtype.lower().startswith(("int", "uint", "float", "double"))
    return not was_number and (column.edge != "double" or column.cell_format is not None)


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True) in ("string", "mixed")


def _checked(table: pd.DataFrame, path: str | os.PathLike[str]) -> pd.DataFrame:
    # Where rows are longer than the header, pandas shifts the names and takes the first cells for labels of rows.
    if not isinstance(table.index, pd.RangeIndex):
        raise InvalidInput(f"{path} has more cells in its rows than names in its header. Give every column a name.")
    return table


def _with_points(table: pd.DataFrame, dialect: CsvDialect, known: set[str]) -> pd.DataFrame:
    """Columns of numbers such as 1.234,5 as numbers: pandas takes the points for text, or else dates for numbers."""
    if dialect.decimal != ",":
        return table
    for name in table.columns:
        cells = table[name]
        if name not in known and _is_text(cells):
            words = cells.astype("object").str.strip().fillna("")
            is_gap = words.isin(_WORDS)
            if words[~is_gap].str.fullmatch(_GROUPED_BY_POINTS).all() and not is_gap.all():
                plain = words.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
                table[name] = plain.mask(is_gap).astype("float64")
    return table
