"""Around every request: an id, a limit to its size, a line in the log, its metrics, and an answer whatever happens."""

from __future__ import annotations

import logging
import time
from typing import Any

from monitoring.metrics import Metrics
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, respond
from api.serving import Serving
from api.utils import request_id

CLIENT_CLOSED = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DISCARD = 8
_log = logging.getLogger("service")


class Edge:
    """ASGI middleware; see the module's first line.

    Parameters
    ----------
    app : ASGIApp
        What is inside.
    metrics : Metrics
        Where requests are counted.
    max_body_bytes : int
        Size of the largest body; a larger one is answered with 413.
    serving : Serving
        Knows the version of the model, for the log.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body_bytes: int, serving: Serving) -> None:
        self.app, self.metrics, self.max_body_bytes, self.serving = app, metrics, max_body_bytes, serving

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

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers(identity)]
            await send(message)

        try:
            await self.app(scope, self._limited(receive), send_marked)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except Exception:
            _log.exception("request failed", extra={"fields": {"request_id": identity}})
            if not status:
                await respond(Problem("internal-error"), scope["path"], identity)(scope, receive, send_marked)
        self._record(scope, identity, status, time.perf_counter() - started)

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
        handler = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.observe_request(handler, method, status, seconds)
        fields: dict[str, Any] = {
            "request_id": identity,
            "route": handler,
            "method": method,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "version": scope["state"].get("version", self.serving.model.config["version"]),
        }
        if "n_rows" in scope["state"]:
            fields["rows"] = scope["state"]["n_rows"]
        _log.info("request", extra={"fields": fields})


def _headers(identity: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", identity.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
