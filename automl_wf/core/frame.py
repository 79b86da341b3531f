"""X as users bring it → Schema and Table: `learn_schema` infers the kinds once, `read_table` follows them then on."""

from __future__ import annotations

import codecs
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core import coerce, kinds
from automl_wf.core.csv_file import CsvDialect, read_csv
from automl_wf.core.findings import Finding
from automl_wf.core.partitions import is_partitioned
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.words import is_text
from automl_wf.exceptions import (
    InvalidCell,
    InvalidInput,
    InvalidParameter,
    MissingColumns,
    MissingDependency,
    UnknownCategory,
    UnknownCategoryWarning,
    WorkflowError,
)

#: Names that the graph's outputs have; a column of such a name gets another input name.
OUTPUT_NAMES = frozenset({"label", "probabilities", "prediction", "lower", "upper", "in_set", "features", "X"})
#: From this many rows on, text that differs in every row is an identifier.
MIN_IDENTIFIERS = 50


def learn_schema(X: Any, overrides: Mapping[Any, str] | None = None) -> tuple[Schema, Table, list[Finding]]:
    """Infer what each column is and read all cells.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        The raw table.
    overrides : mapping of column to kind, optional
        Kinds that the user knows better.

    Returns
    -------
    schema : Schema
        What is known of the columns.
    table : Table
        The cells, coerced.
    findings : list of Finding
        Infinities, constants, copies, ambiguous dates.

    Raises
    ------
    InvalidInput
        X is not a dense two-dimensional table with rows, columns and distinct column names.
    InvalidParameter
        `overrides` names an unknown column or kind.
    """
    frame, layout = _as_frame(X)
    given = _check_overrides(frame.columns, overrides)
    findings: list[Finding] = []
    raw = [series for _, series in frame.items()]
    read_as_text = any(kinds.spells_decimals(s) for s in raw) if layout == "frame" else False
    columns, cells, levels = [], [], {}
    infinite: list[str] = []
    names = [str(c) for c in frame.columns] if layout == "frame" else [f"x{i}" for i in range(frame.shape[1])]
    inputs = _input_names(frame.columns) if layout == "frame" else names
    for i, series in enumerate(raw):
        guess = kinds.infer(series, given.get(i), read_as_text)
        if _holds_infinity(series):
            infinite.append(names[i])
        values = _read_column(series, guess.kind, guess.cell_format, names[i])
        if isinstance(values, Strings):
            levels[i] = np.sort(values.levels)
            if i not in given:
                guess = _by_levels(guess, values)
        columns.append(_describe(names[i], i, inputs[i], series, guess, values))
        cells.append(values)
        if kinds.reads_swapped(series, guess.cell_format):
            findings.append(_ambiguous_dates(names[i], str(guess.cell_format)))
    columns = _mark_unused(columns, cells, findings)
    if infinite:
        findings.append(_infinities(infinite))
    schema = Schema(tuple(columns), layout if _is_numeric(columns) else "frame", len(frame), levels)
    return schema, Table(schema, tuple(cells), len(frame)), findings


def read_table(X: Any, schema: Schema, *, owner: str, on_unknown: str = "ignore", first_row: int = 0) -> Table:
    """Read rows as `schema` describes them.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        Columns of a frame are found by name, in any order; further ones are ignored. Columns of an array by position.
    schema : Schema
        As learnt in `fit`.
    owner : str
        Name of the estimator, for messages.
    on_unknown : {"ignore", "warn", "raise"}
        What to do about categories not seen in `fit`.
    first_row : int, default=0
        Where the rows begin in the whole that they are a part of, for messages.

    Returns
    -------
    Table
        The cells, coerced.

    Raises
    ------
    InvalidInput
        X is not a dense two-dimensional table with rows, or an array of another width.
    MissingColumns
        Columns are missing; they are named.
    InvalidCell
        A cell cannot be read; column, row and value are named.
    UnknownCategory
        A category was not seen in `fit` and `on_unknown="raise"`.
    """
    frame, layout = _as_frame(X)
    positions = _positions(frame, layout, schema, owner)
    cells = [
        _read_column(frame.iloc[:, p], c.kind, c.cell_format, c.name, first_row)
        for p, c in zip(positions, schema.columns, strict=True)
    ]
    table = Table(schema, tuple(cells), len(frame))
    if on_unknown != "ignore":
        _report_unknown(table, on_unknown)
    return table


def read_file(
    path: str | os.PathLike[str], dialect: CsvDialect | None = None, schema: Schema | None = None
) -> pd.DataFrame:
    """A table in a file.

    Parameters
    ----------
    path : path
        Parquet (.parquet, .pq), else CSV, which may be compressed.
    dialect : CsvDialect, optional
        How a CSV file is written; None: commas, points, UTF-8.
    schema : Schema, optional
        What is known of the columns: those of text are read as text.

    Returns
    -------
    DataFrame
        The table.

    Raises
    ------
    InvalidInput
        There is no such file, or it cannot be read as what its name says.
    MissingDependency
        Parquet needs pyarrow.
    """
    dialect = dialect or CsvDialect()
    with reading(path, dialect):
        table = pd.read_parquet(path) if is_parquet(path) else read_csv(path, dialect, schema)
    if not len(table):
        raise InvalidInput(f"{path} has no rows.")
    return table


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether a file is Parquet by its name."""
    return Path(path).suffix in (".parquet", ".pq")


@contextmanager
def reading(path: str | os.PathLike[str], dialect: CsvDialect) -> Iterator[None]:
    """What goes wrong with a file inside is an InvalidInput, or a MissingDependency, that says what to do."""
    try:
        yield
    except WorkflowError:
        raise
    except ImportError as error:
        raise MissingDependency("Reading Parquet needs pyarrow: pip install pyarrow") from error
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:
        kind = "Parquet" if is_parquet(path) else "CSV"
        raise InvalidInput(f"{path} cannot be read as {kind}: {_why_unreadable(Path(path), error, dialect)}") from error


def _why_unreadable(path: Path, error: Exception, dialect: CsvDialect) -> str:
    """The commonest reasons in words, others as they are told."""
    if path.is_dir():
        return "it is a folder"
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1" and not is_parquet(path):
        return "it is Parquet: give it the name of one, .parquet"
    if isinstance(error, UnicodeError):
        is_utf_16 = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        other = "utf-16" if is_utf_16 else "latin-1" if dialect.encoding == "cp1252" else "cp1252"
        byte = f" (byte {error.object[error.start]:#04x})" if isinstance(error, UnicodeDecodeError) else ""
        return f"it is not {dialect.encoding.upper()}{byte}. Read it with --encoding {other}, or save it as UTF-8"
    return f"{type(error).__name__}: {error}"


def take_rows(X: Any, rows: NDArray[np.intp] | slice) -> pd.DataFrame | NDArray[Any]:
    """Some rows of X, as they were given: a copy, a DataFrame if X has named columns, else an array."""
    frame, layout = _as_frame(X)
    taken = frame.iloc[rows]
    return taken.copy() if layout == "frame" else taken.to_numpy(copy=True)


def count_unknown(table: Table) -> dict[str, list[str]]:
    """Categories of each column that `fit` did not see; columns without any are left out."""
    unknown = {}
    for column in table.schema.of_kind(ColumnKind.CATEGORICAL):
        cells = table.cells[column.position]
        if isinstance(cells, Strings):
            present = cells.levels[np.unique(cells.codes)]
            new = sorted(set(present) - set(table.schema.levels[column.position]) - {""})
            if new:
                unknown[column.name] = new
    return unknown


def _report_unknown(table: Table, on_unknown: str) -> None:
    unknown = count_unknown(table)
    if not unknown:
        return
    text = "; ".join(f"column {name!r}: {', '.join(map(repr, new[:5]))}" for name, new in unknown.items())
    message = f"Categories that were not seen in fit: {text}. They are treated as unknown."
    if on_unknown == "raise":
        raise UnknownCategory(
            message.replace(
                " They are treated as unknown.", " Set on_unknown='ignore' to predict for them all the same."
            )
        )
    warnings.warn(message, UnknownCategoryWarning, stacklevel=4)


def _as_frame(X: Any) -> tuple[pd.DataFrame, Literal["frame", "array"]]:
    if sparse.issparse(X):
        raise InvalidInput(
            "Sparse data was passed for X, but dense data is required. Use X.toarray(), or a DataFrame of its columns."
        )
    if is_partitioned(X):
        raise InvalidInput(
            "X is a Dask DataFrame, which only fit takes. Use X.map_partitions(model.predict) for predictions, or "
            "X.compute() where it fits into memory."
        )
    layout: Literal["frame", "array"]
    if not isinstance(X, pd.DataFrame) and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame):
        frame, layout = X, "frame"
        _check_labels(frame.columns)
    else:
        frame, layout = _frame_of_array(X), "array"
    if frame.shape[1] == 0:
        raise InvalidInput(f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if frame.shape[0] == 0:
        raise InvalidInput(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    return frame, layout


def _frame_of_array(X: Any) -> pd.DataFrame:
    if X is None or isinstance(X, (str, bytes, Mapping)):
        raise InvalidInput(f"Expected X to be a DataFrame or a two-dimensional array, got {type(X).__name__}.")
    array = _as_array(X)
    if array.ndim != 2:
        raise InvalidInput(
            f"Expected 2D array, got {array.ndim}D array instead (shape={array.shape}). Reshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it contains a single "
            "sample."
        )
    if array.dtype.kind == "c":
        raise InvalidInput("Complex data not supported: pass real and imaginary parts as columns of their own.")
    return pd.DataFrame(array, copy=False)


def _as_array(X: Any) -> NDArray[Any]:
    if isinstance(X, np.ma.MaskedArray):
        cells = X.data.astype(object)
        cells[np.ma.getmaskarray(X)] = None
        return cells
    try:
        array = np.asarray(X)
        # Rows of numbers and text would all become text.
        return np.asarray(X, dtype=object) if array.dtype.kind in "US" and not hasattr(X, "dtype") else array
    except ValueError as error:
        raise InvalidInput(f"Expected 2D array, got rows of unequal length instead: {error}") from None


def _check_labels(labels: pd.Index) -> None:
    doubled = labels[labels.duplicated()].unique().tolist()
    if doubled:
        raise InvalidInput(
            f"Column names must be distinct, but these occur more than once: {doubled[:5]!r}. "
            "Rename them, or drop the copies with X.loc[:, ~X.columns.duplicated()]."
        )
    kinds = {type(c).__name__ for c in labels}
    if "str" in kinds and len(kinds) > 1:
        raise InvalidInput(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{sorted(kinds)} as feature name / column name types. Use X.columns = X.columns.astype(str)."
        )
    texts = pd.Index([str(c) for c in labels])
    if texts.has_duplicates:
        raise InvalidInput(
            f"Column names must be distinct as text: {texts[texts.duplicated()].tolist()[:5]!r} are not."
        )


def _check_overrides(labels: pd.Index, overrides: Mapping[Any, str] | None) -> dict[int, ColumnKind]:
    known = {label: i for i, label in enumerate(labels)} | {f"x{i}": i for i in range(len(labels)) if i in labels}
    kinds = {}
    for label, kind in (overrides or {}).items():
        if label not in known:
            raise InvalidParameter(f"The 'schema' parameter names a column {label!r} that X does not have.")
        try:
            kinds[known[label]] = ColumnKind(kind)
        except ValueError:
            raise InvalidParameter(
                f"The 'schema' parameter must map columns to one of {[k.value for k in ColumnKind]}. "
                f"Got {kind!r} for {label!r} instead."
            ) from None
    return kinds


def _input_names(labels: Iterable[Any]) -> list[str]:
    """Graph input per column: its name, or `f<i>` where that cannot be one.

    onnxruntime reads names as C strings in UTF-8; names that begin with `_` are the graph's own.
    """
    labels = list(labels)
    taken = {c for c in labels if isinstance(c, str)}
    names = []
    for i, label in enumerate(labels):
        if isinstance(label, str) and label and label not in OUTPUT_NAMES and _is_input_name(label):
            names.append(label)
            continue
        name = f"f{i}"
        while name in taken:
            name += "_"
        taken.add(name)
        names.append(name)
    return names


def _is_input_name(text: str) -> bool:
    return not text.startswith("_") and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _by_levels(guess: kinds.Guess, column: Strings) -> kinds.Guess:
    """Text that is no category: its words say more than its values, or no two rows share a value."""
    if is_text(column):
        return guess._replace(kind=ColumnKind.TEXT, reason=f"{guess.reason} whose values share words")
    n_rows = len(column.codes)
    if n_rows >= MIN_IDENTIFIERS and len(column.levels) == n_rows:
        return guess._replace(kind=ColumnKind.IDENTIFIER, reason=f"{guess.reason}, another value in every row")
    return guess


def _read_column(series: pd.Series, kind: ColumnKind, cell_format: str | None, name: str, first_row: int = 0) -> Cells:
    try:
        if kind.edge == "double":
            return _read_double(series, cell_format)
        if kind.edge == "string":
            return _read_strings(series)
        return _read_times(series, cell_format)
    except coerce.CellError as error:
        expected = "true or false, yes or no, or a number" if kind is ColumnKind.BOOLEAN else error.expected
        raise InvalidCell(
            f"Column {name!r} is {kind.value}: expected {expected} in row {first_row + error.row}, "
            f"got {error.value!r}. Correct the cell or make it missing; to change the kind of the column, fit again "
            f"with schema={{{name!r}: 'categorical'}}."
        ) from None


def _read_double(series: pd.Series, cell_format: str | None) -> NDArray[np.float64]:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "m":
        return coerce.to_double(series.to_numpy())
    is_plain = not isinstance(series.dtype, pd.CategoricalDtype)
    if is_plain and (pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype)):
        return coerce.to_double(series.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        return _read_distinct(series, lambda cells: coerce.to_double(cells, cell_format), np.nan)
    return coerce.to_double(series.to_numpy(dtype=object), cell_format)


def _read_strings(series: pd.Series) -> Strings:
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, distinct = series.cat.codes.to_numpy(), series.cat.categories.to_numpy(dtype=object)
    elif pd.api.types.infer_dtype(series, skipna=True) in ("string", "empty"):
        codes, index = pd.factorize(series)
        distinct = np.asarray(index, dtype=object)
    else:
        codes, index = pd.factorize(coerce.to_string(series.to_numpy(dtype=object)))
        distinct = np.asarray(index, dtype=object)
    texts = coerce.to_string(distinct)
    if (codes < 0).any():
        codes = np.where(codes < 0, len(texts), codes)
        texts = np.append(texts, np.array([""], dtype=object))
    again, levels = pd.factorize(texts)
    return _of_present_levels(again.astype(np.int32)[codes], np.asarray(levels, dtype=object))


def _of_present_levels(codes: NDArray[np.int32], levels: NDArray[np.object_]) -> Strings:
    """A categorical may know categories that no row has: they are no levels of the column."""
    is_present = np.zeros(len(levels), dtype=bool)
    is_present[codes] = True
    if is_present.all():
        return Strings(codes, levels)
    place = (np.cumsum(is_present) - 1).astype(np.int32)
    return Strings(place[codes], levels[is_present])


def _read_times(series: pd.Series, cell_format: str | None) -> NDArray[np.int64]:
    dtype = series.dtype
    if isinstance(dtype, pd.PeriodDtype):
        series, dtype = series.dt.to_timestamp(), np.dtype("datetime64[ns]")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return coerce.to_micros(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if dtype.kind == "M":
        return coerce.to_micros(series.to_numpy())
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.infer_dtype(series, skipna=True) == "string":
        return _read_distinct(series, lambda cells: coerce.to_micros(cells, cell_format), coerce.MISSING_TIME)
    return coerce.to_micros([c.to_timestamp() if isinstance(c, pd.Period) else c for c in series.tolist()], cell_format)


def _read_distinct(series: pd.Series, read: Callable[[list[Any]], NDArray[Any]], missing: Any) -> NDArray[Any]:
    """Read each distinct cell once; `missing` stands for cells without a value."""
    codes, distinct = pd.factorize(series)
    try:
        values = read(list(distinct))
    except coerce.CellError as error:
        raise coerce.CellError(int(np.argmax(codes == error.row)), error.value, error.expected) from None
    spread: NDArray[Any] = np.append(values, np.array([missing], dtype=values.dtype))[codes]
    return spread


def _describe(name: str, position: int, input_name: str, series: pd.Series, guess: kinds.Guess, cells: Cells) -> Column:
    low = high = None
    n_unique = 0
    if isinstance(cells, Strings):
        n_missing, n_unique = int((cells.levels == "")[cells.codes].sum()), int((cells.levels != "").sum())
    else:
        known = cells[~np.isnan(cells)] if cells.dtype.kind == "f" else cells[cells != coerce.MISSING_TIME]
        known.sort()
        n_missing = len(cells) - len(known)
        if len(known):
            n_unique, low, high = 1 + int(np.count_nonzero(known[1:] != known[:-1])), float(known[0]), float(known[-1])
    return Column(
        name=name,
        position=position,
        input_name=input_name,
        kind=guess.kind,
        dtype=str(series.dtype),
        reason=guess.reason,
        n_missing=n_missing,
        n_unique=n_unique,
        cell_format=guess.cell_format,
        time_zone=guess.time_zone,
        minimum=low,
        maximum=high,
    )


def _mark_unused(columns: list[Column], cells: list[Cells], findings: list[Finding]) -> list[Column]:
    constant = {c.name: None for c in columns if c.n_unique == 0 or (c.n_unique == 1 and c.n_missing == 0)}
    copies: dict[str, str] = {}
    first: dict[tuple[str | None, bytes], str] = {}
    for column, values in zip(columns, cells, strict=True):
        if column.name not in constant:
            original = first.setdefault((column.time_zone, _fingerprint(values)), column.name)
            if original != column.name:
                copies[column.name] = original
    if constant:
        findings.append(
            Finding(
                "constant_columns",
                "info",
                f"{len(constant)} column(s) hold one value only and are not used.",
                "Drop them, or check why they do not vary.",
                tuple(constant),
            )
        )
    if copies:
        pairs = ", ".join(f"{a!r} copies {b!r}" for a, b in list(copies.items())[:5])
        findings.append(
            Finding(
                "duplicate_columns",
                "info",
                f"{len(copies)} column(s) repeat another one cell by cell and are not used: {pairs}.",
                "Drop one of each pair.",
                tuple(copies),
            )
        )
    identifiers = [c.name for c in columns if c.kind is ColumnKind.IDENTIFIER]
    if identifiers:
        findings.append(
            Finding(
                "identifier_columns",
                "info",
                f"{len(identifiers)} column(s) of text hold another value in every row, as identifiers do, and are not "
                "used.",
                "Drop them; if a part of them means something, such as a prefix, make that a column.",
                tuple(identifiers),
            )
        )
    unused = {*constant, *copies, *identifiers}
    return [Column(**{**vars(c), "is_used": c.name not in unused}) for c in columns]


def _fingerprint(values: Cells) -> bytes:
    if isinstance(values, Strings):
        order = np.argsort(values.levels.astype(str), kind="stable")
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        digest = hashlib.sha256(rank[values.codes].tobytes())
        digest.update("\0".join(map(str, values.levels[order])).encode())
        return digest.digest()
    return hashlib.sha256(values.dtype.str.encode() + np.ascontiguousarray(values).tobytes()).digest()


def _holds_infinity(series: pd.Series) -> bool:
    if series.dtype == object:
        return any(isinstance(cell, (float, np.floating)) and math.isinf(cell) for cell in series)
    return series.dtype.kind == "f" and bool(np.isinf(series.to_numpy(dtype=np.float64, na_value=np.nan)).any())


def _is_numeric(columns: Iterable[Column]) -> bool:
    return all(c.edge == "double" for c in columns)


def _infinities(names: list[str]) -> Finding:
    return Finding(
        "infinite_values",
        "warning",
        f"{len(names)} column(s) hold infinities; they are read as missing.",
        "Replace them by the largest sensible number if they mean one.",
        tuple(names),
    )


def _ambiguous_dates(name: str, cell_format: str) -> Finding:
    return Finding(
        "ambiguous_date_order",
        "warning",
        f"The dates of {name!r} can be read as month/day or as day/month; {cell_format} was taken.",
        "Convert the column with pandas.to_datetime(…, format=…) before fit if this is wrong.",
        (name,),
    )


def _positions(frame: pd.DataFrame, layout: str, schema: Schema, owner: str) -> list[int]:
    n_seen, n_expected = frame.shape[1], len(schema.columns)
    labels = [str(c) for c in frame.columns]
    # Columns of an array have no names of their own: a frame is then read by position, unless it has just these names.
    is_nameless = schema.names == [f"x{i}" for i in range(n_expected)] and not set(schema.names) & set(labels)
    if layout == "array" or is_nameless:
        if n_seen != n_expected:
            raise InvalidInput(f"X has {n_seen} features, but {owner} is expecting {n_expected} features as input.")
        return list(range(n_expected))
    place = {label: i for i, label in enumerate(labels)}
    missing = [name for name in schema.names if name not in place]
    if missing:
        if n_seen != n_expected and schema.layout == "array":
            raise InvalidInput(f"X has {n_seen} features, but {owner} is expecting {n_expected} features as input.")
        extra = [label for label in labels if label not in set(schema.names)]
        hint = f" X has instead: {', '.join(map(repr, extra[:5]))}." if extra else ""
        raise MissingColumns(
            f"X lacks {len(missing)} of the {n_expected} columns seen in fit: {', '.join(map(repr, missing[:5]))}"
            f"{' …' if len(missing) > 5 else ''}.{hint} Add them; cells may be missing (NaN), columns may not."
        )
    return [place[name] for name in schema.names]
