"""X as users bring it → Schema and Table: `learn_schema` infers the kinds once, `read_table` follows them then on."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core import coerce
from automl_wf.core.findings import Finding
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.exceptions import (
    InvalidCell,
    InvalidInput,
    InvalidParameter,
    MissingColumns,
    UnknownCategory,
    UnknownCategoryWarning,
)

#: Names that the graph's outputs have; a column of such a name gets another input name.
OUTPUT_NAMES = frozenset({"label", "probabilities", "prediction", "lower", "upper", "X"})
#: Ways to write a date that are tried on text, in this order, after ISO 8601.
DATE_FORMATS = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
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
    "%d-%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b-%Y",
    "%b %Y",
    "%B %Y",
)
_SWAPPED = {f: f.replace("%m/%d", "%d/%m") for f in DATE_FORMATS if f.startswith("%m/%d")}


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
    kinds = _check_overrides(frame.columns, overrides)
    findings: list[Finding] = []
    raw = [frame.iloc[:, i] for i in range(frame.shape[1])]
    read_as_text = any(_spells_decimals(s) for s in raw) if layout == "frame" else False
    columns, cells, levels = [], [], {}
    infinite: list[str] = []
    names = [str(c) for c in frame.columns] if layout == "frame" else [f"x{i}" for i in range(frame.shape[1])]
    inputs = _input_names(frame.columns) if layout == "frame" else names
    for i, series in enumerate(raw):
        kind, reason, date_format, zone = _infer(series, kinds.get(i), read_as_text)
        if _holds_infinity(series):
            infinite.append(names[i])
        values = _read_column(series, kind, date_format, names[i])
        if isinstance(values, Strings):
            levels[i] = np.sort(values.levels)
        columns.append(_describe(names[i], i, inputs[i], kind, series, reason, date_format, zone, values))
        cells.append(values)
        if date_format in _SWAPPED and _parses(_texts(series), _SWAPPED[date_format]):
            findings.append(_ambiguous_dates(names[i], date_format))
    columns = _mark_unused(columns, cells, findings)
    if infinite:
        findings.append(_infinities(infinite))
    schema = Schema(tuple(columns), layout if _is_numeric(columns) else "frame", len(frame), levels)
    return schema, Table(schema, tuple(cells), len(frame)), findings


def read_table(X: Any, schema: Schema, *, owner: str, on_unknown: str = "ignore") -> Table:
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
        _read_column(frame.iloc[:, p], c.kind, c.date_format, c.name)
        for p, c in zip(positions, schema.columns, strict=True)
    ]
    table = Table(schema, tuple(cells), len(frame))
    if on_unknown != "ignore":
        _report_unknown(table, on_unknown)
    return table


def take_rows(X: Any, rows: NDArray[np.intp]) -> pd.DataFrame | NDArray[Any]:
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


def _infer(
    series: pd.Series, override: ColumnKind | None, read_as_text: bool
) -> tuple[ColumnKind, str, str | None, str | None]:
    """Kind, reason, date format and zone of one column."""
    kind, reason, date_format, zone = _infer_from_dtype(series) or _infer_from_cells(series, read_as_text)
    if override is None or override is kind:
        return kind, reason if override is None else "as given in schema", date_format, zone
    if override is ColumnKind.DATETIME:
        return override, "as given in schema", _date_format(_texts(series)) or None, None
    return override, "as given in schema", None, None


def _infer_from_dtype(series: pd.Series) -> tuple[ColumnKind, str, str | None, str | None] | None:
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "mM":
        return None
    if isinstance(dtype, pd.CategoricalDtype):
        return ColumnKind.CATEGORICAL, "pandas categorical", None, None
    if pd.api.types.is_bool_dtype(dtype):
        return ColumnKind.BOOLEAN, "boolean dtype", None, None
    if isinstance(dtype, pd.DatetimeTZDtype):
        return ColumnKind.DATETIME, f"datetimes in zone {dtype.tz}", None, str(dtype.tz)
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return ColumnKind.DATETIME, "datetime dtype", None, None
    if pd.api.types.is_timedelta64_dtype(dtype):
        return ColumnKind.NUMERIC, "durations, in seconds", None, None
    if pd.api.types.is_complex_dtype(dtype):
        raise InvalidInput(f"Complex data not supported: column {series.name!r} holds complex numbers.")
    if pd.api.types.is_numeric_dtype(dtype):
        return ColumnKind.NUMERIC, "numeric dtype", None, None
    return None


def _infer_from_cells(series: pd.Series, read_as_text: bool) -> tuple[ColumnKind, str, str | None, str | None]:
    present = series[~series.isna().to_numpy()]
    seen = pd.api.types.infer_dtype(present, skipna=True)
    if seen == "boolean":
        return ColumnKind.BOOLEAN, "boolean cells", None, None
    if seen in ("integer", "floating", "mixed-integer-float", "decimal"):
        return ColumnKind.NUMERIC, "numeric cells", None, None
    if seen in ("timedelta", "timedelta64"):
        return ColumnKind.NUMERIC, "durations, in seconds", None, None
    if seen in ("datetime", "datetime64", "date", "period"):
        zones = {str(z) for z in (getattr(c, "tzinfo", None) for c in present.tolist()) if z is not None}
        return ColumnKind.DATETIME, "cells are dates", None, zones.pop() if len(zones) == 1 else None
    texts = _texts(series)
    if seen == "string" and len(texts):
        if set(map(coerce.normalise, texts)) <= {"true", "false"}:
            return ColumnKind.BOOLEAN, "text that spells true and false", None, None
        if _spells_numbers(texts):
            if read_as_text or any("." in t or "e" in t.lower() for t in texts):
                return ColumnKind.NUMERIC, "numbers written as text", None, None
            return ColumnKind.CATEGORICAL, "whole numbers stored as text are taken for codes", None, None
        date_format = _date_format(texts)
        if date_format is not None:
            how = "ISO 8601" if date_format == "" else date_format
            return ColumnKind.DATETIME, f"dates written as text ({how})", date_format or None, None
    if seen == "empty":
        return ColumnKind.CATEGORICAL, "every cell is missing", None, None
    if seen == "string":
        return ColumnKind.CATEGORICAL, "text", None, None
    what = "cells of several kinds" if seen.startswith("mixed") else f"cells of kind {seen}"
    return ColumnKind.CATEGORICAL, f"{what}, read as text", None, None


def _texts(series: pd.Series) -> list[str]:
    """Distinct texts of a column of strings."""
    if not (series.dtype == object or pd.api.types.is_string_dtype(series.dtype)):
        return []
    try:
        distinct = pd.unique(series.dropna())
    except TypeError:
        return []
    return [t for t in distinct if isinstance(t, str) and coerce.normalise(t) not in coerce.MISSING_WORDS]


def _spells_numbers(texts: Sequence[str]) -> bool:
    if any(t.strip().lstrip("+-")[:1] not in "0123456789." for t in texts[:100]):
        return False
    if any(len(t.strip()) > 1 and t.strip()[0] == "0" and t.strip()[1].isdigit() for t in texts):
        return False
    try:
        return not bool(np.isnan(coerce.to_double(texts)).any())
    except coerce.CellError:
        return False


def _spells_decimals(series: pd.Series) -> bool:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return False
    texts = _texts(series)
    return bool(texts) and any("." in t for t in texts) and _spells_numbers(texts)


def _date_format(texts: Sequence[str]) -> str | None:
    """ "" for ISO 8601, a format that reads every text, or None."""
    if not texts or not all(any(c.isdigit() for c in t) and len(t.strip()) >= 6 for t in texts[:100]):
        return None
    if all(t.strip()[:4].isdigit() and not t.strip().isdigit() for t in texts[:100]) and _parses(texts, ""):
        return ""
    return next((f for f in DATE_FORMATS if _parses(texts, f)), None)


def _parses(texts: Sequence[str], date_format: str) -> bool:
    try:
        coerce.to_micros(texts[:50], date_format or None)
        coerce.to_micros(texts[50:], date_format or None)
    except coerce.CellError:
        return False
    return bool(texts)


def _read_column(series: pd.Series, kind: ColumnKind, date_format: str | None, name: str) -> Cells:
    try:
        if kind.edge == "double":
            return _read_double(series)
        if kind.edge == "string":
            return _read_strings(series)
        return _read_times(series, date_format)
    except coerce.CellError as error:
        raise InvalidCell(
            f"Column {name!r} is {kind.value}: expected {error.expected} in row {error.row}, got {error.value!r}. "
            "Correct the cell or make it missing; to change the kind of the column, fit again with "
            f"schema={{{name!r}: 'categorical'}}."
        ) from None


def _read_double(series: pd.Series) -> NDArray[np.float64]:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "m":
        return coerce.to_double(series.to_numpy())
    is_plain = not isinstance(series.dtype, pd.CategoricalDtype)
    if is_plain and (pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype)):
        return coerce.to_double(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return coerce.to_double(series.to_numpy(dtype=object))


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


def _read_times(series: pd.Series, date_format: str | None) -> NDArray[np.int64]:
    dtype = series.dtype
    if isinstance(dtype, pd.PeriodDtype):
        series, dtype = series.dt.to_timestamp(), np.dtype("datetime64[ns]")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return coerce.to_micros(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if dtype.kind == "M":
        return coerce.to_micros(series.to_numpy())
    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        codes, distinct = pd.factorize(series)
        try:
            return _spread(codes, coerce.to_micros(list(distinct), date_format), coerce.MISSING_TIME)
        except coerce.CellError as error:
            raise coerce.CellError(int(np.argmax(codes == error.row)), error.value, error.expected) from None
    return coerce.to_micros([c.to_timestamp() if isinstance(c, pd.Period) else c for c in series.tolist()], date_format)


def _spread(codes: NDArray[Any], values: NDArray[Any], missing: Any) -> NDArray[Any]:
    """`values[codes]`, with `missing` where the code is -1."""
    spread: NDArray[Any] = np.append(values, np.array([missing], dtype=values.dtype))[codes]
    return spread


def _describe(
    name: str,
    position: int,
    input_name: str,
    kind: ColumnKind,
    series: pd.Series,
    reason: str,
    date_format: str | None,
    zone: str | None,
    cells: Cells,
) -> Column:
    low = high = None
    if isinstance(cells, Strings):
        n_missing, n_unique = int((cells.levels == "")[cells.codes].sum()), int((cells.levels != "").sum())
    else:
        known = cells[~np.isnan(cells)] if cells.dtype.kind == "f" else cells[cells != coerce.MISSING_TIME]
        n_missing, n_unique = len(cells) - len(known), len(pd.unique(known))
        if len(known):
            low, high = float(known.min()), float(known.max())
    return Column(
        name,
        position,
        input_name,
        kind,
        str(series.dtype),
        reason,
        n_missing,
        n_unique,
        True,
        date_format,
        zone,
        low,
        high,
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
    unused = {*constant, *copies}
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


def _ambiguous_dates(name: str, date_format: str) -> Finding:
    return Finding(
        "ambiguous_date_order",
        "warning",
        f"The dates of {name!r} can be read as month/day or as day/month; {date_format} was taken.",
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
