"""Errors as RFC 9457 problem documents: they name the field that is wrong and never repeat what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

#: Every kind of problem: HTTP status, title, and the sentence that a client is told unless there is a better one.
PROBLEMS: dict[str, tuple[int, str, str]] = {
    "invalid-json": (400, "The body is not JSON", "Send one JSON object."),
    "unauthorized": (401, "A valid API key is needed", "Send your key in the header X-API-Key."),
    "not-found": (404, "There is nothing at this address", "The addresses are listed in /openapi.json."),
    "unknown-prediction": (404, "This prediction is not known", "It was never made here, or it had to give way."),
    "method-not-allowed": (405, "This method is not for this address", "The methods are listed in /openapi.json."),
    "slow-request": (408, "The body took too long", "Send it again, faster."),
    "conflicting-feedback": (409, "Feedback differs from what came before", "The first feedback stands."),
    "expired-prediction": (410, "This prediction is too old", "Feedback was not waited for any longer."),
    "too-large": (413, "The request is too large", "Send fewer rows at a time."),
    "unsupported-media-type": (415, "The body must be JSON", "Send the header Content-Type: application/json."),
    "invalid-input": (422, "Some input cannot be used", "See errors for the rows and columns concerned."),
    "internal-error": (500, "The service failed", "Quote request_id to the operator of the service."),
    "overloaded": (503, "Too many requests at a time", "Wait as long as Retry-After says, then try again."),
    "feedback-not-kept": (503, "The feedback could not be kept", "Nothing was taken. Send it again after Retry-After."),
    "not-ready": (503, "The service is not ready", "Nothing is predicted: the self-test fails. See the service's log."),
}
#: Beginnings of addresses that are there only if MODEL_ADAPTERS names their protocol.
SWITCHED = {"/v2": "v2", "/invocations": "mlflow"}
_BY_STATUS = {status: code for code, (status, _, _) in reversed(PROBLEMS.items())}


class FieldError(TypedDict, total=False):
    """What is wrong with one part of the input, a column or another field of the body; rows are counted from 0."""

    code: str
    column: str
    field: str
    row: int
    detail: str


class Problem(Exception):
    """Ends a request with a problem document.

    Parameters
    ----------
    code : str
        A key of PROBLEMS.
    detail : str, optional
        What was expected, what came (never its value) and what to do.
    errors : sequence of FieldError, optional
        The fields concerned.
    headers : mapping, optional
        Further response headers.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.title, usual = PROBLEMS[code]
        super().__init__(self.title)
        self.code, self.detail, self.errors, self.headers = code, detail or usual, list(errors), dict(headers or {})

    def body(self, instance: str, request_id: str) -> dict[str, Any]:
        """The document, as plain JSON types."""
        document: dict[str, Any] = {
            "type": f"docs/api_guide.md#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = self.errors
        if instance.startswith("/v2"):
            # Where clients of the Open Inference Protocol look for it
            document["error"] = self.detail
        return document


class JSON(Response):
    """JSON that cannot fail on odd text: half a surrogate pair leaves as the escape that it came as."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode strictly: a number that is not finite is an error in the service."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def respond(problem: Problem, path: str, request_id: str) -> Response:
    """Turn a problem into a response."""
    body = problem.body(path, request_id)
    return JSON(body, problem.status, headers=problem.headers, media_type="application/problem+json")


def answer(request: Request, problem: Problem) -> Response:
    """Answer a request with a problem, and leave word of it for the log."""
    request.state.problem, request.state.places = problem.code, problem.errors
    return respond(problem, request.url.path, request.state.request_id)


def install_handlers(app: FastAPI) -> None:
    """Answer everything that is raised on purpose, by us or by FastAPI, with a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = _BY_STATUS.get(error.status_code, "internal-error" if error.status_code >= 500 else "invalid-input")
        detail = _of_switched(request.url.path) if code == "not-found" else None
        return answer(request, Problem(code, detail, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        errors: list[FieldError] = [
            {"code": str(e["type"]), "column": ".".join(map(str, e["loc"])), "detail": "not what is expected here"}
            for e in error.errors()
        ]
        return answer(request, Problem("invalid-input", errors=errors))


def _of_switched(path: str) -> str | None:
    """What to do about an address that a protocol has which may be switched off."""
    names = [name for start, name in SWITCHED.items() if path == start or path.startswith(f"{start}/")]
    if not names:
        return None
    return f"Addresses of this protocol are there if MODEL_ADAPTERS names {names[0]}; all are listed in /openapi.json."
