"""Around every request: an id, a limit to its size, a line in the log, its metrics, and an answer whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from monitoring.monitor import Monitor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import Keys, key_of
from api.problems import FieldError, Problem, answer, respond
from api.serving import Serving
from api.utils import request_id

Endpoint = Callable[[Request], Awaitable[Response]]
CLIENT_CLOSED = 499
#: Addresses that need no key; /metrics joins them unless it is told not to.
OPEN = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
#: Addresses whose requests the monitoring page counts.
PREDICTING = frozenset({"/v1/predict", "/invocations", "/v2/models/{name:text}/infer"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Fields of the log, and where the request's state has them.
_LOGGED = {"rows": "n_rows", "role": "role", "problem": "problem"}
#: Places of a request that are named in the log: their codes and columns, never a value.
MAX_PLACES = 10
_DISCARD = 8
_HEADER = re.compile(r"[!-~]{1,64}")
_CHALLENGE = {"WWW-Authenticate": 'ApiKey header="X-API-Key"'}
_LOG_IN = {"WWW-Authenticate": 'Basic realm="model", charset="UTF-8"'}
_log = logging.getLogger("service")


class Edge:
    """ASGI middleware; see the module's first line.

    Parameters
    ----------
    app : ASGIApp
        What is inside.
    monitor : Monitor
        Where requests are counted.
    keys : Keys
        Who may call.
    serving : Serving
        Knows the version of the model, for the log.
    max_body_bytes : int
        Size of the largest body; a larger one is answered with 413.
    metrics_need_key : bool
        Whether /metrics asks for a key.
    paths : frozenset of str
        Addresses there are, for the metrics of what was refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        monitor: Monitor,
        keys: Keys,
        serving: Serving,
        max_body_bytes: int,
        metrics_need_key: bool,
        paths: frozenset[str],
    ) -> None:
        self.app, self.monitor, self.keys, self.serving = app, monitor, keys, serving
        self.max_body_bytes, self.paths = max_body_bytes, paths
        self._open = (OPEN if metrics_need_key else OPEN | {"/metrics"}) & paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        identity = request_id(headers[b"x-request-id"].decode("latin-1") if b"x-request-id" in headers else None)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = identity
        status = 0
        is_open = scope["path"] in self._open
        is_known = not is_open and self.keys.admits(key_of(headers, may_be_basic=scope["method"] == "GET"))

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *_headers(identity, self._version(scope) if is_known else ""),
                ]
            await send(message)

        try:
            # Strangers see what is open and nothing else, not even which addresses there are
            if is_open or is_known:
                await self.app(scope, self._limited(receive), send_marked)
            else:
                # A body that is no HTTP closes the connection: hear of it before answering into it
                await asyncio.sleep(0)
                challenge = _LOG_IN if scope["path"] == "/dashboard" else _CHALLENGE
                problem = Problem("unauthorized", headers=challenge)
                await respond(problem, scope["path"], identity)(scope, receive, send_marked)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except Exception:
            _log.exception("request failed", extra={"fields": {"request_id": identity}})
            if not status:
                await respond(Problem("internal-error"), scope["path"], identity)(scope, receive, send_marked)
        self._record(scope, identity, status, time.perf_counter() - started)

    def _version(self, scope: Scope) -> str:
        return str(scope["state"].get("version", self.serving.model.config["version"]))

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes of the body; once they are too many, read on for a while so that the client hears of it."""
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self.max_body_bytes:
                return message
            while message.get("more_body", False) and size <= _DISCARD * self.max_body_bytes:
                message = await receive()
                size += len(message.get("body", b""))
            raise Problem("too-large", f"A body may have {self.max_body_bytes} bytes. Send fewer rows at a time.")

        return receive_counted

    def _record(self, scope: Scope, identity: str, status: int, seconds: float) -> None:
        known = scope["path"] if scope["path"] in self.paths else "none"
        handler = str(getattr(scope.get("route"), "path", known))
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.monitor.metrics.observe_request(handler, method, status, seconds)
        if handler in PREDICTING:
            self.monitor.traffic.add(status, seconds)
        fields: dict[str, Any] = {
            "request_id": identity,
            "route": handler,
            "method": method,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "version": self._version(scope),
        }
        fields |= {name: scope["state"][key] for name, key in _LOGGED.items() if key in scope["state"]}
        fields |= self._places(scope["state"].get("places", ()))
        _log.info("request", extra={"fields": fields})

    def _places(self, errors: Sequence[FieldError]) -> dict[str, list[str]]:
        """Codes, and those columns that the model knows: any other name is the client's own text."""
        if not errors:
            return {}
        known = self.serving.model.names
        codes = dict.fromkeys(error["code"] for error in errors)
        columns = dict.fromkeys(error["column"] for error in errors if error.get("column") in known)
        return {"codes": list(codes), "columns": list(columns)[:MAX_PLACES]}


class Direct:
    """ASGI middleware that answers some addresses itself: the framework's way to them takes longer than to predict.

    Parameters
    ----------
    app : ASGIApp
        Answers all others.
    endpoints : mapping of str to callable
        What answers POST, by path.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        self.app, self._endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection scope."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(scope["path"]) if is_post else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Problem as problem:
            response = answer(request, problem)
        await response(scope, receive, send)


def _headers(identity: str, version: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", identity.encode()),
        *([(b"x-model-version", version.encode())] if _HEADER.fullmatch(version) else []),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
