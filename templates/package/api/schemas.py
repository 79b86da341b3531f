"""What the body of a request may hold. All of it follows from config.json."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from api.coerce import CellError
from api.model import Model, Values
from api.problems import FieldError, Problem

MAX_ERRORS = 20
MAX_NAMED = 10
_CELL_TYPES = frozenset({str, int, float, bool, type(None)})


@dataclass
class Rows:
    """A request that has been read.

    Parameters
    ----------
    values : dict of str to ndarray of shape (n_rows,)
        Used columns, after the edge.
    n_rows : int
        Number of rows.
    unseen : dict of str to list of int
        Rows with a category that was not in the training data, by column.
    warnings : list of dict
        What the client should know.
    """

    values: Values
    n_rows: int
    unseen: dict[str, list[int]]
    warnings: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """Cells as they were sent, by column.

    Parameters
    ----------
    cells : mapping of str to sequence
        Every column that the model uses; others may be among them.
    n_rows : int
        Number of rows.
    extra : list of str
        Columns that the model does not know.
    """

    cells: Mapping[str, Sequence[Any]]
    n_rows: int
    extra: list[str]


@dataclass(frozen=True)
class Wishes:
    """What a client wants beside the predictions.

    Parameters
    ----------
    explanations, intervals, prediction_ids : bool
        Asked for or not.
    """

    explanations: bool = False
    intervals: bool = False
    prediction_ids: bool = False


def parse(body: bytes) -> Any:
    """The JSON in a body; raises a Problem (400) if there is none."""
    # The quick reader is strict: what it does not take, such as 1e400 or NaN, the other may, or says where it stopped
    with contextlib.suppress(msgspec.DecodeError, ValueError, RecursionError):
        return msgspec.json.decode(body)
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise Problem(
            "invalid-json", f"What came stops being JSON at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):
        raise Problem("invalid-json", "Text must be UTF-8, numbers and nesting must be of a sensible size.") from None


def read_predict(payload: Any, model: Model) -> tuple[Table, Wishes, list[dict[str, Any]]]:
    """Read the body of POST /v1/predict.

    Returns
    -------
    table : Table
        Its cells.
    wishes : Wishes
        What else is wanted.
    warnings : list of dict
        Members of the body that are not known.

    Raises
    ------
    Problem
        413 too many rows, 422 anything else that cannot be used.
    """
    if not isinstance(payload, dict) or ("rows" in payload) == ("columns" in payload):
        raise Problem("invalid-input", 'Send an object with either "rows" (a list of objects) or "columns" (of lists).')
    names = [f.name for f in fields(Wishes)]
    wrong = [name for name in names if not isinstance(payload.get(name, False), bool)]
    refuse([unusable(name, "expected true or false") for name in wrong])
    wishes = Wishes(**{name: payload.get(name, False) for name in names})
    table = rows_table(payload["rows"], model) if "rows" in payload else columns_table(payload["columns"], model)
    return table, wishes, _warn_of_members([name for name in payload if name not in (*names, "rows", "columns")])


def read_table(table: Table, model: Model) -> Rows:
    """Read cells as the model's columns are read.

    Raises
    ------
    Problem
        422 with the places that cannot be used.
    """
    cells = table.cells
    rows = Rows({}, table.n_rows, {}, _warn_of_extra(table.extra))
    errors: list[FieldError] = []
    numbers = model.read_numbers(cells)
    for column in model.columns:
        name = column["name"]
        if name in numbers:
            rows.values[name] = numbers[name]
            continue
        error = _check_cells(name, cells[name], model.config["limits"]["max_string_length"])
        if error is None:
            try:
                rows.values[name] = model.read(column, cells[name])
            except CellError as cell:
                error = _invalid(name, cell.row, f"expected {cell.expected}")
        if error is not None:
            errors.append(error)
    refuse(errors)
    rows.warnings += _warn_of_infinity(model, cells)
    rows.unseen = model.unseen(rows.values)
    _apply_on_unknown(rows, model.config["on_unknown"])
    return rows


def rows_table(rows: Any, model: Model) -> Table:
    """Cells of a list of objects, one for each row; raises a Problem naming what is missing."""
    if not isinstance(rows, list):
        raise Problem("invalid-input", '"rows" must be a list of objects, one for each row.')
    check_count(len(rows), model)
    refuse([_shape(None, i, "expected an object") for i, row in enumerate(rows) if not isinstance(row, dict)])
    cells: dict[str, Sequence[Any]] = {}
    errors = []
    for column in model.columns:
        name = column["name"]
        try:
            cells[name] = [row[name] for row in rows]
        except KeyError:
            errors.append(missing_column(name, next(i for i, row in enumerate(rows) if name not in row)))
    is_all_known = model.names.issuperset(set().union(*rows))
    extra = [] if is_all_known else _without_known(list(dict.fromkeys(name for row in rows for name in row)), model)
    refuse(errors, extra)
    return Table(cells, len(rows), extra)


def columns_table(columns: Any, model: Model) -> Table:
    """Cells of an object of lists, one for each column; raises a Problem naming what is missing."""
    if not isinstance(columns, dict):
        raise Problem("invalid-input", '"columns" must be an object of lists, one for each column.')
    known = {c["name"]: columns.get(c["name"]) for c in model.columns}
    extra = _without_known(list(columns), model)
    refuse([missing_column(name, None) for name in known if name not in columns], extra)
    refuse([_shape(name, None, "expected a list") for name, cells in known.items() if not isinstance(cells, list)])
    lists = {name: cells for name, cells in known.items() if isinstance(cells, list)}
    lengths = {name: len(cells) for name, cells in lists.items()}
    n_rows = next(iter(lengths.values()), 0)
    check_count(max(lengths.values(), default=0), model)
    refuse(
        [
            _shape(name, None, f"expected {n_rows} cells, as in the first column, got {length}")
            for name, length in lengths.items()
            if length != n_rows
        ]
    )
    return Table(lists, n_rows, extra)


def check_count(n_rows: int, model: Model) -> None:
    """Raise a Problem unless a request may have so many rows."""
    limit = model.config["limits"]["max_rows"]
    if n_rows == 0:
        raise Problem("invalid-input", "Send at least one row.")
    if n_rows > limit:
        raise Problem("too-large", f"At most {limit} rows at a time; got {n_rows}. Split them up.")


def _check_cells(name: str, cells: Sequence[Any], max_length: int) -> FieldError | None:
    kinds = set(map(type, cells))
    if not kinds <= _CELL_TYPES:
        row = next(i for i, cell in enumerate(cells) if type(cell) not in _CELL_TYPES)
        return _invalid(name, row, "expected a number, text, true, false or null")
    if str in kinds:
        for row, cell in enumerate(cells):
            if type(cell) is not str:
                continue
            if len(cell) > max_length:
                return _invalid(
                    name, row, f"expected at most {max_length} characters, got {len(cell)}", "text_too_long"
                )
            if not cell.isascii() and not _is_unicode(cell):
                return _invalid(name, row, "expected Unicode text, got half a surrogate pair")
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _apply_on_unknown(rows: Rows, on_unknown: str) -> None:
    if on_unknown == "raise":
        refuse(
            [
                _invalid(name, unseen[0], "expected a category known from training", "unknown_category")
                for name, unseen in rows.unseen.items()
            ]
        )
    elif on_unknown == "warn":
        rows.warnings += [
            {
                "code": "unknown_category",
                "column": name,
                "rows": unseen[:MAX_NAMED],
                "detail": f"{len(unseen)} rows hold a category not known from training; they are predicted as such.",
            }
            for name, unseen in rows.unseen.items()
        ]


def _warn_of_infinity(model: Model, cells: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    warnings = []
    for name in (c["name"] for c in model.columns):
        column = cells[name]
        if math.inf in column or -math.inf in column:
            infinite = [i for i, cell in enumerate(column) if type(cell) is float and math.isinf(cell)]
            detail = f"{len(infinite)} infinite numbers are read as missing."
            warnings.append({"code": "infinity", "column": name, "rows": infinite[:MAX_NAMED], "detail": detail})
    return warnings


def _warn_of_extra(names: list[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    detail = f"{len(names)} columns are not known to the model and were ignored."
    return [{"code": "extra_columns", "columns": _shorten(names), "detail": detail}]


def _warn_of_members(names: list[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    return [
        {"code": "unknown_members", "members": _shorten(names), "detail": "These members of the body were ignored."}
    ]


def _shorten(names: list[str]) -> list[str]:
    return [name[:100] for name in names[:MAX_NAMED]]


def _without_known(names: list[str], model: Model) -> list[str]:
    return [name for name in names if name not in model.names]


def refuse(errors: Sequence[FieldError], extra: Sequence[str] = ()) -> None:
    """Raise a Problem (422) with these places, if there are any; unknown columns that were sent may be why."""
    if errors:
        codes = ", ".join(sorted({error["code"] for error in errors}))
        detail = f"Places that cannot be used: {len(errors)} ({codes})."
        if extra:
            names, n_more = ", ".join(map(repr, _shorten(list(extra)))), len(extra) - MAX_NAMED
            detail += f" Sent, but not known to the model: {names}{f' and {n_more} more' if n_more > 0 else ''}."
        raise Problem("invalid-input", detail, errors[:MAX_ERRORS])


def missing_column(name: str, row: int | None) -> FieldError:
    """The place where a column is missing; None: as a whole."""
    error: FieldError = {"code": "missing_column", "column": name, "detail": "expected this column; null means missing"}
    return error if row is None else {**error, "row": row}


def unusable(name: str, detail: str) -> FieldError:
    """The place where a member of the body, not a cell, cannot be used."""
    return {"code": "invalid_value", "field": name, "detail": detail}


def _shape(name: str | None, row: int | None, detail: str) -> FieldError:
    error: FieldError = {"code": "wrong_shape", "detail": detail}
    if name is not None:
        error["column"] = name
    if row is not None:
        error["row"] = row
    return error


def _invalid(name: str, row: int, detail: str, code: str = "invalid_value") -> FieldError:
    return {"code": code, "column": name, "row": row, "detail": detail}
