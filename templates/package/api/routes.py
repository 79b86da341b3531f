"""Addresses for clients: predictions, feedback, the model, what is known of it, and two protocols beside our own."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import sqlite3
from pathlib import Path
from typing import Any

import onnxruntime
from fastapi import APIRouter, Request
from monitoring.monitor import Monitor
from starlette.concurrency import run_in_threadpool
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from api import adapters, openapi, schemas
from api.feedback import Feedback, FeedbackStore, Receipt, read_feedback
from api.gate import read_body
from api.model import Model
from api.predictions import Predicted, Predictions, check_media_type
from api.problems import JSON, Problem
from api.serving import Serving
from api.start import RESTORE, StartError

#: What a single feedback that was not taken is answered with.
REFUSALS = {"unknown": "unknown-prediction", "expired": "expired-prediction", "conflict": "conflicting-feedback"}
#: Of what could not be kept: somebody has to make room first.
TRY_AGAIN = {"Retry-After": "30"}
_log = logging.getLogger("service")


class Text(PathConvertor):
    """Any text, line ends too: a name may hold them."""

    regex = "(?s:.*)"


register_url_convertor("text", Text())


def client_routes(serving: Serving, predictions: Predictions, monitor: Monitor, store: FeedbackStore) -> APIRouter:
    """Our own addresses, under /v1."""
    router = APIRouter(prefix="/v1", tags=["predictions"])
    config = serving.model.config

    @router.post("/predict", summary="Predict rows", **openapi.predict(config))
    async def predict(request: Request) -> Response:
        found = await predictions.predict(request, schemas.read_predict)
        return JSON(_answer(found, request, is_split=serving.trial is not None))

    @router.post("/feedback", summary="Say what became of predictions", **openapi.feedback(config))
    async def feedback(request: Request) -> Response:
        check_media_type(request)
        async with predictions.gate.inside():
            body = await read_body(request)
            async with predictions.gate.working():
                said, is_list = read_feedback(schemas.parse(body), serving.model, monitor.worth.kpis)
                receipts = await run_in_threadpool(_receive, said, store, monitor)
        return _acknowledge(receipts, is_list, request)

    @router.get("/model", summary="The model and its input", **openapi.about(_about(serving.model, serving.root)))
    def describe() -> Response:
        return JSON(_about(serving.model, serving.root))

    @router.get("/advice", summary="Whether to train again, and why", **openapi.advice(config))
    def advice() -> Response:
        return JSON(monitor.advice())

    @router.get("/monitoring", summary="What is known of the service", **openapi.monitoring(config))
    def monitoring() -> Response:
        trial = serving.trial
        routing = None if trial is None else {"mode": trial.mode, "share": trial.share}
        return JSON({**monitor.summary(), "trial": routing})

    return router


def _answer(found: Predicted, request: Request, *, is_split: bool) -> dict[str, Any]:
    answer = {
        "model": found.model.config["name"],
        "version": found.model.config["version"],
        "request_id": request.state.request_id,
        "predictions": found.word(),
        "warnings": found.warnings,
    }
    return {**answer, "role": found.role} if is_split else answer


def _receive(said: list[Feedback], store: FeedbackStore, monitor: Monitor) -> list[Receipt]:
    try:
        receipts = store.receive(said)
    except sqlite3.Error as error:
        _log.error("feedback is not kept", extra={"fields": {"error": type(error).__name__, "reason": str(error)}})
        raise Problem("feedback-not-kept", headers=TRY_AGAIN) from None
    for receipt in receipts:
        monitor.observe_feedback(receipt.status, receipt.code, receipt.value, receipt.news)
    return receipts


def _acknowledge(receipts: list[Receipt], is_list: bool, request: Request) -> Response:
    """A single feedback that was not taken is a problem; of a list, each item has its status."""
    if not is_list and receipts[0].status in REFUSALS:
        raise Problem(REFUSALS[receipts[0].status])
    return JSON(
        {
            "request_id": request.state.request_id,
            "accepted": sum(receipt.status == "accepted" for receipt in receipts),
            "statuses": [receipt.status for receipt in receipts],
        }
    )


def _about(model: Model, root: Path) -> dict[str, Any]:
    config, path = model.config, root / "model" / "metadata.json"
    shown = ("name", "kind", "cell_format", "example")
    kept = ("name", "version", "task", "outputs", "classes", "threshold", "on_unknown", "limits", "rules")
    return {
        **{key: config[key] for key in kept},
        "columns": [{**{k: c[k] for k in shown}, "is_required": c["is_used"]} for c in config["columns"]],
        "has_intervals": model.has_intervals,
        "reference_metrics": config["reference_metrics"],
        "metadata": json.loads(path.read_text(encoding="utf-8")) if path.exists() else {},
        "runtime": {"onnxruntime": onnxruntime.__version__, "n_threads": model.n_threads},
    }


def page_routes(root: Path, monitor: Monitor, config: dict[str, Any]) -> APIRouter:
    """The monitoring page: one file without data, which asks GET /v1/monitoring with the browser's log-in."""
    router = APIRouter(tags=["operations"])
    path = root / "monitoring" / "dashboard.html"
    try:
        page = path.read_bytes()
    except OSError as error:
        raise StartError(f"{path} cannot be read ({error.strerror}). {RESTORE}") from None
    headers = {"Content-Security-Policy": content_security_policy(page), "Referrer-Policy": "no-referrer"}

    @router.get("/dashboard", summary="A page to watch the service", response_class=Response, **openapi.page(config))
    async def dashboard() -> Response:
        return Response(page, media_type="text/html", headers=headers)

    return router


def content_security_policy(page: bytes) -> str:
    """A policy that allows the page's own script and style, by their hashes, and questions to this service."""

    def hashes(tag: bytes) -> str:
        parts = re.findall(rb"<%s>(.*?)</%s>" % (tag, tag), page, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(part).digest()).decode()}'" for part in parts)

    return (
        f"default-src 'none'; script-src {hashes(b'script')}; style-src {hashes(b'style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def inference_routes(serving: Serving, predictions: Predictions) -> APIRouter:
    """Open Inference Protocol v2."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    config = serving.model.config

    def check_name(name: str) -> None:
        if name != serving.model.config["name"]:
            raise Problem("not-found", "There is one model here: GET /v1/model tells its name.")

    @router.get("/health/live", summary="The process is alive", **openapi.answers({"live": True}))
    async def live() -> Response:
        return JSON({"live": True})

    @router.get(
        "/health/ready",
        summary="The model predicts",
        **openapi.answers({"ready": True}, "/v2/health/ready", config, "internal-error", "not-ready"),
    )
    def ready() -> Response:
        if not serving.model.self_test().passes:
            raise Problem("not-ready")
        return JSON({"ready": True})

    @router.get("/models/{name:text}/ready", summary="This model predicts", **openapi.model_ready(config))
    def model_ready(name: str) -> Response:
        check_name(name)
        if not serving.model.self_test().passes:
            raise Problem("not-ready")
        return JSON({"name": name, "ready": True})

    @router.post("/models/{name:text}/infer", summary="Predict tensors", **openapi.infer(serving.model))
    async def infer(name: str, request: Request) -> Response:
        check_name(name)
        inference = adapters.Inference()
        return JSON(inference.write(await predictions.predict(request, inference.read)))

    @router.get("/models/{name:text}", summary="The model's tensors", **openapi.tensors(serving.model))
    async def tensors(name: str) -> Response:
        check_name(name)
        return JSON(adapters.describe(serving.model))

    return router


def invocation_routes(serving: Serving, predictions: Predictions) -> APIRouter:
    """The address of MLflow's scoring server."""
    router = APIRouter(tags=["mlflow"])

    @router.post("/invocations", summary="Predict rows", **openapi.invocations(serving.model.config))
    async def invocations(request: Request) -> Response:
        found = await predictions.predict(request, adapters.read_invocations)
        return JSON({"predictions": found.word()})

    return router
