"""Requests and answers: what a body may hold, and how OpenAPI describes it. All of it follows from config.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.coerce import CellError
from api.model import Model, Values
from api.problems import PROBLEMS, FieldError, Problem

MAX_ERRORS = 20
MAX_NAMED = 10
_CELL_TYPES = frozenset({str, int, float, bool, type(None)})
_JSON_TYPES = {
    "numeric": "number",
    "boolean": "boolean",
    "categorical": "string",
    "text": "string",
    "identifier": "string",
    "datetime": "string",
}


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


def read_request(body: bytes, model: Model) -> Rows:
    """Read the body of a prediction request.

    Raises
    ------
    Problem
        400 not JSON, 413 too many rows, 422 anything else that cannot be used.
    """
    cells, n_rows, extra = _columns_of(_parse(body), model)
    rows = Rows({}, n_rows, {}, _warn_of_extra(extra))
    errors: list[FieldError] = []
    for column in model.columns:
        name = column["name"]
        error = _check_cells(name, cells[name], model.config["limits"]["max_string_length"])
        if error is None:
            try:
                rows.values[name] = model.read(column, cells[name])
            except CellError as cell:
                error = _invalid(name, cell.row, f"expected {cell.expected}")
        if error is not None:
            errors.append(error)
    _refuse(errors)
    rows.warnings += _warn_of_infinity(model, cells)
    rows.unseen = model.unseen(rows.values)
    _apply_on_unknown(rows, model.config["on_unknown"])
    return rows


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise Problem(
            "invalid-json", f"What came stops being JSON at line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError):
        raise Problem("invalid-json", "Text must be UTF-8, numbers and nesting must be of a sensible size.") from None


def _columns_of(payload: Any, model: Model) -> tuple[dict[str, Sequence[Any]], int, list[str]]:
    if not isinstance(payload, dict) or ("rows" in payload) == ("columns" in payload):
        raise Problem("invalid-input", 'Send an object with either "rows" (a list of objects) or "columns" (of lists).')
    if "rows" in payload:
        return _from_rows(payload["rows"], model)
    return _from_columns(payload["columns"], model)


def _from_rows(rows: Any, model: Model) -> tuple[dict[str, Sequence[Any]], int, list[str]]:
    if not isinstance(rows, list):
        raise Problem("invalid-input", '"rows" must be a list of objects, one for each row.')
    _check_count(len(rows), model)
    _refuse([_shape(None, i, "expected an object") for i, row in enumerate(rows) if not isinstance(row, dict)])
    cells: dict[str, Sequence[Any]] = {}
    errors = []
    for column in model.columns:
        name = column["name"]
        try:
            cells[name] = [row[name] for row in rows]
        except KeyError:
            errors.append(_missing(name, next(i for i, row in enumerate(rows) if name not in row)))
    _refuse(errors)
    sent = dict.fromkeys(name for row in rows for name in row)
    return cells, len(rows), _without_known(list(sent), model)


def _from_columns(columns: Any, model: Model) -> tuple[dict[str, Sequence[Any]], int, list[str]]:
    if not isinstance(columns, dict):
        raise Problem("invalid-input", '"columns" must be an object of lists, one for each column.')
    known = {c["name"]: columns.get(c["name"]) for c in model.columns}
    _refuse([_missing(name, None) for name in known if name not in columns])
    _refuse([_shape(name, None, "expected a list") for name, cells in known.items() if not isinstance(cells, list)])
    lists = {name: cells for name, cells in known.items() if isinstance(cells, list)}
    lengths = {name: len(cells) for name, cells in lists.items()}
    n_rows = next(iter(lengths.values()), 0)
    _check_count(max(lengths.values(), default=0), model)
    _refuse(
        [
            _shape(name, None, f"expected {n_rows} cells, as in the first column, got {length}")
            for name, length in lengths.items()
            if length != n_rows
        ]
    )
    return dict(lists), n_rows, _without_known(list(columns), model)


def _check_count(n_rows: int, model: Model) -> None:
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
        _refuse(
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
        infinite = [i for i, cell in enumerate(cells[name]) if type(cell) is float and math.isinf(cell)]
        if infinite:
            detail = f"{len(infinite)} infinite numbers are read as missing."
            warnings.append({"code": "infinity", "column": name, "rows": infinite[:MAX_NAMED], "detail": detail})
    return warnings


def _warn_of_extra(names: list[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    detail = f"{len(names)} columns are not known to the model and were ignored."
    return [{"code": "extra_columns", "columns": [name[:100] for name in names[:MAX_NAMED]], "detail": detail}]


def _without_known(names: list[str], model: Model) -> list[str]:
    known = {c["name"] for c in model.config["columns"]}
    return [name for name in names if name not in known]


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        codes = ", ".join(sorted({error["code"] for error in errors}))
        raise Problem("invalid-input", f"Places that cannot be used: {len(errors)} ({codes}).", errors[:MAX_ERRORS])


def _missing(name: str, row: int | None) -> FieldError:
    error: FieldError = {"code": "missing_column", "column": name, "detail": "expected this column; null means missing"}
    return error if row is None else {**error, "row": row}


def _shape(name: str | None, row: int | None, detail: str) -> FieldError:
    error: FieldError = {"code": "wrong_shape", "detail": detail}
    if name is not None:
        error["column"] = name
    if row is not None:
        error["row"] = row
    return error


def _invalid(name: str, row: int, detail: str, code: str = "invalid_value") -> FieldError:
    return {"code": code, "column": name, "row": row, "detail": detail}


def request_schema(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of a prediction request, with the model's own columns and an example."""
    columns = {c["name"]: _column_schema(c, config["rules"]) for c in config["columns"]}
    required = [c["name"] for c in config["columns"] if c["is_used"]]
    n_rows = config["limits"]["max_rows"]
    row = {"type": "object", "properties": columns, "required": required}
    lists = {name: {"type": "array", "maxItems": n_rows, "items": schema} for name, schema in columns.items()}
    return {
        "oneOf": [
            {
                "type": "object",
                "required": ["rows"],
                "properties": {"rows": {"type": "array", "minItems": 1, "maxItems": n_rows, "items": row}},
            },
            {
                "type": "object",
                "required": ["columns"],
                "properties": {"columns": {"type": "object", "properties": lists, "required": required}},
            },
        ],
        "examples": [example_request(config)],
    }


def example_request(config: Mapping[str, Any]) -> dict[str, Any]:
    """A body that works: one row made of each column's example."""
    return {"rows": [{c["name"]: c["example"] for c in config["columns"] if c["is_used"]}]}


def _column_schema(column: Mapping[str, Any], rules: Mapping[str, str]) -> dict[str, Any]:
    types = [_JSON_TYPES[column["kind"]], "null"]
    if column["cell_format"]:
        # A number with its unit is text, a date in eight digits may be a number.
        types += [kind for kind in ("string", "number") if kind not in types]
    schema: dict[str, Any] = {
        "type": types,
        "description": rules.get(column["edge"], ""),
        "examples": [column["example"]],
    }
    if column["cell_format"]:
        schema["description"] += f" Written like {column['cell_format']}."
    return schema


def answer_schema(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of a prediction answer."""
    number = {"type": ["number", "null"]}
    if config["classes"] is None:
        prediction: dict[str, Any] = {"prediction": number}
    else:
        prediction = {
            "label": {"enum": config["classes"]},
            "probabilities": {"type": "object", "additionalProperties": number},
        }
    item = {"type": "object", "required": list(prediction), "properties": prediction}
    return {
        "type": "object",
        "required": ["model", "version", "predictions", "warnings"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "predictions": {"type": "array", "items": item},
            "warnings": {"type": "array", "items": {"type": "object", "required": ["code", "detail"]}},
        },
    }


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "code": {"type": "string"},
                    "column": {"type": "string"},
                    "row": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def problem_responses(path: str, config: Mapping[str, Any], *codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these problems, each with an example for this model."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title, _ = PROBLEMS[code]
        errors = [_missing(c["name"], 0) for c in config["columns"] if c["is_used"]][:1] if status == 422 else []
        example = Problem(code, errors=errors).body(path, "7c2d7a52-5b0e-4f0c-9d5e-3f1f5d1f6f0a")
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        responses[status] = {"description": title, "content": {"application/problem+json": content}}
    return responses


def ok(example: Any, schema: str | None = None) -> dict[int | str, dict[str, Any]]:
    """OpenAPI response 200 with an example, and the name of its schema if it has one."""
    shape = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    return {200: {"description": "Done", "content": {"application/json": {"schema": shape, "example": example}}}}


def predict_operation(config: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a prediction: its body, and every status with an example."""
    answer = {"model": config["name"], "version": config["version"], "predictions": [config["self_test"]["expected"]]}
    body = {"schema": {"$ref": "#/components/schemas/PredictRequest"}, "example": example_request(config)}
    codes = ("invalid-json", "unauthorized", "too-large", "unsupported-media-type", "invalid-input", "internal-error")
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": body}}},
        "responses": {
            **ok({**answer, "warnings": []}, "PredictAnswer"),
            **problem_responses("/v1/predict", config, *codes),
        },
    }


def components(config: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that the OpenAPI document refers to."""
    return {"PredictRequest": request_schema(config), "PredictAnswer": answer_schema(config), "Problem": PROBLEM_SCHEMA}
