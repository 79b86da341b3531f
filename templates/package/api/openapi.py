"""What the service says of itself for machines: the OpenAPI document, with the model's own columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from api.adapters import describe, input_tensors
from api.feedback import RATINGS
from api.middleware import OPEN
from api.model import Model
from api.problems import PROBLEMS, Problem
from api.schemas import Wishes, missing_column

Operation = dict[str, Any]
REQUEST_ID = "7c2d7a52-5b0e-4f0c-9d5e-3f1f5d1f6f0a"
_OF_BODIES = (
    "invalid-json", "unauthorized", "slow-request", "too-large", "unsupported-media-type", "invalid-input",
    "internal-error",
)  # fmt: skip
_OF_PREDICTIONS = ("overloaded", "not-ready")

_JSON_TYPES = {
    "numeric": "number",
    "boolean": "boolean",
    "categorical": "string",
    "text": "string",
    "identifier": "string",
    "datetime": "string",
}


def request_schema(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of a prediction request, with the model's own columns and an example."""
    columns = {c["name"]: _column_schema(c, config["rules"]) for c in config["columns"]}
    required = [c["name"] for c in config["columns"] if c["is_used"]]
    n_rows = config["limits"]["max_rows"]
    row = {"type": "object", "properties": columns, "required": required}
    wishes = {f.name: {"type": "boolean", "default": f.default} for f in fields(Wishes)}
    lists = {
        name: {"type": "array", "minItems": 1, "maxItems": n_rows, "items": schema} for name, schema in columns.items()
    }
    return {
        "oneOf": [
            {
                "type": "object",
                "required": ["rows"],
                "properties": {
                    "rows": {"type": "array", "minItems": 1, "maxItems": n_rows, "items": row},
                    **wishes,
                },
            },
            {
                "type": "object",
                "required": ["columns"],
                "properties": {
                    "columns": {"type": "object", "properties": lists, "required": required},
                    **wishes,
                },
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
    confidence = {"type": "number"}
    if config["classes"] is None:
        prediction: dict[str, Any] = {"prediction": number}
        interval = {"interval": _object(lower=number, upper=number, confidence=confidence)}
    else:
        prediction = {
            "label": {"enum": config["classes"]},
            "probabilities": {"type": "object", "additionalProperties": number},
        }
        labels = {"type": "array", "items": {"enum": config["classes"]}}
        interval = {"set": _object(labels=labels, confidence=confidence)}
    more = {"prediction_id": {"type": "string"}, "explanation": {"type": "object"}, **interval}
    item = {"type": "object", "required": list(prediction), "properties": {**prediction, **more}}
    return {
        "type": "object",
        "required": ["model", "version", "request_id", "predictions", "warnings"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "role": {"enum": ["champion", "challenger"]},
            "request_id": {"type": "string"},
            "predictions": {"type": "array", "items": item},
            "warnings": {"type": "array", "items": {"type": "object", "required": ["code", "detail"]}},
        },
    }


def feedback_schema(config: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of feedback: one object, or a list of them."""
    low, high = RATINGS
    truth = {"type": "number"} if config["classes"] is None else {"enum": config["classes"]}
    one = {
        "type": "object",
        "required": ["prediction_id"],
        "properties": {
            "prediction_id": {"type": "string"},
            "y_true": truth,
            "rating": {"type": "number", "minimum": low, "maximum": high},
            "outcomes": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
        },
    }
    return {"oneOf": [one, _object(feedback={"type": "array", "minItems": 1, "items": one})]}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


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
                    "field": {"type": "string"},
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
        errors = [missing_column(c["name"], 0) for c in config["columns"] if c["is_used"]][:1] if status == 422 else []
        example = Problem(code, errors=errors).body(path, REQUEST_ID)
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        if status in responses:
            responses[status]["description"] += f"; {title[0].lower()}{title[1:]}"
        else:
            responses[status] = {"description": title, "content": {"application/problem+json": content}}
    return responses


def answers(
    example: Any, path: str = "", config: Mapping[str, Any] | None = None, *codes: str, schema: str | None = None
) -> Operation:
    """What OpenAPI says of an address that takes no body: its answer, and the problems there may be."""
    shape = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    done = {"description": "Done", "content": {"application/json": {"schema": shape, "example": example}}}
    return {"responses": {200: done, **(problem_responses(path, config, *codes) if config else {})}}


def takes(example: Any, operation: Operation, schema: str | None = None) -> Operation:
    """The same of an address that takes a body."""
    shape = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    body = {"required": True, "content": {"application/json": {"schema": shape, "example": example}}}
    return {**operation, "openapi_extra": {"requestBody": body}}


def predict(config: Mapping[str, Any]) -> Operation:
    """POST /v1/predict."""
    answer = {
        "model": config["name"],
        "version": config["version"],
        "request_id": REQUEST_ID,
        "predictions": [config["self_test"]["expected"]],
        "warnings": [],
    }
    operation = answers(answer, "/v1/predict", config, *_OF_BODIES, *_OF_PREDICTIONS, schema="PredictAnswer")
    return takes(example_request(config), operation, "PredictRequest")


def feedback(config: Mapping[str, Any]) -> Operation:
    """POST /v1/feedback."""
    answer = {"request_id": REQUEST_ID, "accepted": 1, "statuses": ["accepted"]}
    of_feedback = ("unknown-prediction", "conflicting-feedback", "expired-prediction", "feedback-not-kept")
    codes = (*_OF_BODIES, "overloaded", *of_feedback)
    operation = answers(answer, "/v1/feedback", config, *codes)
    return takes(example_feedback(config), operation, "FeedbackRequest")


def example_feedback(config: Mapping[str, Any]) -> dict[str, Any]:
    """Feedback as it may be given once the truth is known; its id is made up."""
    expected = config["self_test"]["expected"]
    return {
        "prediction_id": "6929a1b0.9f3c2a1b7d8e4f60.0",
        "y_true": expected.get("label", expected.get("prediction")),
        "rating": 5,
    }


def about(example: Mapping[str, Any]) -> Operation:
    """GET /v1/model."""
    return answers(example, "/v1/model", example, "unauthorized", "internal-error")


def advice(config: Mapping[str, Any]) -> Operation:
    """GET /v1/advice."""
    looked_at = {"labelled_rows": 0, "labelled_rows_of_the_hour": 0, "drift_rows": 0}
    example = {"version": config["version"], "advice": "none", "reasons": [], "looked_at": looked_at}
    return answers(example, "/v1/advice", config, "unauthorized", "internal-error")


def monitoring(config: Mapping[str, Any]) -> Operation:
    """GET /v1/monitoring."""
    parts = ("traffic", "process", "drift", "performance", "feedback", "advice")
    example = {"model": config["name"], "version": config["version"], **{part: {} for part in parts}, "trial": None}
    return answers(example, "/v1/monitoring", config, "unauthorized", "internal-error")


def metrics(config: Mapping[str, Any]) -> Operation:
    """GET /metrics."""
    return _text("text/plain", "Prometheus text format", "/metrics", config)


def page(config: Mapping[str, Any]) -> Operation:
    """GET /dashboard."""
    return _text("text/html", "A page that asks GET /v1/monitoring", "/dashboard", config)


def _text(media_type: str, description: str, path: str, config: Mapping[str, Any]) -> Operation:
    content = {media_type: {"schema": {"type": "string"}}}
    done = {"description": description, "content": content}
    return {"responses": {200: done, **problem_responses(path, config, "unauthorized")}}


def tensors(model: Model) -> Operation:
    """GET /v2/models/{name}."""
    path = "/v2/models/{name}"
    return answers(describe(model), path, model.config, "unauthorized", "not-found", "internal-error")


def model_ready(config: Mapping[str, Any]) -> Operation:
    """GET /v2/models/{name}/ready."""
    codes = ("unauthorized", "not-found", "internal-error", "not-ready")
    return answers({"name": config["name"], "ready": True}, "/v2/models/{name}/ready", config, *codes)


def infer(model: Model) -> Operation:
    """POST /v2/models/{name}/infer."""
    config = model.config
    row = example_request(config)["rows"][0]
    cells = {t["name"]: row[t["name"]] for t in input_tensors(config)}
    texts = {name: cell if cell is None else str(cell) for name, cell in cells.items()}
    sent = [
        {**t, "shape": [1], "data": [(texts if t["datatype"] == "BYTES" else cells)[t["name"]]]}
        for t in input_tensors(config)
    ]
    outputs = [{"name": name} for name in config["outputs"]]
    answer = {"model_name": config["name"], "model_version": config["version"], "outputs": outputs}
    operation = answers(answer, "/v2/models/{name}/infer", config, *_OF_BODIES, *_OF_PREDICTIONS, "not-found")
    return takes({"inputs": sent}, operation)


def invocations(config: Mapping[str, Any]) -> Operation:
    """POST /invocations."""
    answer = {"predictions": [config["self_test"]["expected"]]}
    sent = {"dataframe_records": example_request(config)["rows"]}
    return takes(sent, answers(answer, "/invocations", config, *_OF_BODIES, *_OF_PREDICTIONS))


def document(found: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The whole document: what FastAPI made of the addresses, with schemas and keys."""
    schemas = {
        "PredictRequest": request_schema(config),
        "PredictAnswer": answer_schema(config),
        "FeedbackRequest": feedback_schema(config),
        "Problem": PROBLEM_SCHEMA,
    }
    keys = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    found.setdefault("components", {}).update(schemas=schemas, securitySchemes=keys)
    for path, operations in found["paths"].items():
        for operation in operations.values():
            asks: list[dict[str, list[str]]] = [{name: []} for name in keys]
            # FastAPI expects errors of its own where an address holds a name: what can go wrong is said by us
            operation["responses"] = {
                status: response
                for status, response in operation["responses"].items()
                if "HTTPValidationError" not in str(response)
            }
            operation["security"] = [{}] if path in OPEN else [{}, *asks] if path == "/metrics" else asks
    return found
