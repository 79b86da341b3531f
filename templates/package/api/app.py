"""The HTTP application. `python -m api` runs it, and so does `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.security import APIKeyHeader
from monitoring.metrics import LogCounter, Metrics
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import schemas, utils
from api.middleware import Edge
from api.model import Model
from api.problems import JSON, Problem, install_handlers
from api.serving import Serving

ROOT = Path(__file__).resolve().parents[1]
_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="Your API key")
_log = logging.getLogger("service")


def create_app(root: Path = ROOT) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    root : Path, optional
        Folder of the package.

    Returns
    -------
    FastAPI
        Ready to be run by uvicorn.

    Raises
    ------
    utils.StartError
        The environment names no API keys, or something that cannot be used.
    """
    registry = os.environ.get("MODEL_REGISTRY")
    hashes = utils.read_key_hashes()
    serving = Serving(root, utils.count_threads(), Path(registry) if registry else None)
    model, config = serving.model, serving.model.config
    metrics = Metrics(config, n_threads=model.n_threads, memory_limit=utils.memory_limit())
    utils.configure_logging(LogCounter(metrics))
    app = FastAPI(title=config["name"], version=config["version"], docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_operations(serving, metrics))
    app.include_router(_predictions(serving, metrics), dependencies=[Depends(_key_check(hashes))])
    app.add_middleware(Edge, metrics=metrics, max_body_bytes=config["limits"]["max_body_bytes"], serving=serving)
    install_handlers(app)
    _describe(app, config)
    if not model.passes_self_test():
        _log.error("the self-test fails: the service will not report ready")
    serving.watch(lambda now: metrics.describe(now.config))
    return app


def _key_check(hashes: tuple[bytes, ...]) -> Callable[..., None]:
    def check(key: str | None = Security(_KEY)) -> None:
        if not utils.is_known_key(key, hashes):
            raise Problem("unauthorized", headers={"WWW-Authenticate": 'ApiKey header="X-API-Key"'})

    return check


def _operations(serving: Serving, metrics: Metrics) -> APIRouter:
    """Addresses for whoever operates the service; they need no key."""
    router = APIRouter(tags=["operations"])
    not_ready = schemas.problem_responses("/readyz", serving.model.config, "internal-error", "not-ready")
    text = {"text/plain": {"schema": {"type": "string"}}}

    @router.get("/healthz", summary="The process is alive", responses=schemas.ok({"status": "alive"}))
    async def healthz() -> Response:
        return JSON({"status": "alive"})

    @router.get("/readyz", summary="The model predicts", responses={**schemas.ok({"status": "ready"}), **not_ready})
    def readyz() -> Response:
        if not serving.model.passes_self_test():
            raise Problem("not-ready")
        return JSON({"status": "ready"})

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"description": "Prometheus text format", "content": text}},
    )
    def prometheus() -> Response:
        body, media_type = metrics.render()
        return Response(body, media_type=media_type)

    return router


def _predictions(serving: Serving, metrics: Metrics) -> APIRouter:
    """Addresses for clients."""
    router = APIRouter(prefix="/v1", tags=["predictions"])
    about, config = _about(serving.model, serving.root), serving.model.config
    slots = asyncio.Semaphore(serving.model.n_threads + 1)
    problems = schemas.problem_responses("/v1/model", config, "unauthorized", "internal-error")

    @router.get("/model", summary="The model and its input", responses={**schemas.ok(about), **problems})
    def describe() -> Response:
        return JSON(_about(serving.model, serving.root))

    @router.post("/predict", summary="Predict rows", **schemas.predict_operation(config))
    async def predict(request: Request) -> Response:
        if not _is_json(request.headers.get("content-type", "")):
            raise Problem("unsupported-media-type")
        body = await request.body()
        async with slots:
            model = serving.model
            request.state.version = model.config["version"]
            request.state.n_rows, answer = await run_in_threadpool(answer_request, body, model, metrics)
        return answer

    return router


def answer_request(body: bytes, model: Model, metrics: Metrics) -> tuple[int, Response]:
    """Read a body, predict its rows, count them; returns the number of rows and the response."""
    rows = schemas.read_request(body, model)
    started = time.perf_counter()
    outputs = model.run(rows.values)
    metrics.observe_inference(time.perf_counter() - started)
    metrics.observe_rows(rows.values, rows.unseen, outputs, model.class_names)
    answer = {
        "model": model.config["name"],
        "version": model.config["version"],
        "predictions": model.word(outputs),
        "warnings": rows.warnings,
    }
    return rows.n_rows, JSON(answer)


def _is_json(content_type: str) -> bool:
    media_type = content_type.split(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _about(model: Model, root: Path) -> dict[str, Any]:
    config, path = model.config, root / "model" / "metadata.json"
    shown = ("name", "kind", "cell_format", "example")
    kept = ("name", "version", "task", "outputs", "classes", "threshold", "on_unknown", "limits", "rules")
    return {
        **{key: config[key] for key in kept},
        "columns": [{**{k: c[k] for k in shown}, "is_required": c["is_used"]} for c in config["columns"]],
        "reference_metrics": config["reference_metrics"],
        "metadata": json.loads(path.read_text(encoding="utf-8")) if path.exists() else {},
        "runtime": {"onnxruntime": onnxruntime.__version__, "n_threads": model.n_threads},
    }


def _describe(app: FastAPI, config: dict[str, Any]) -> None:
    """Serve /openapi.json, with the model's own columns."""
    document = app.openapi()
    document["components"]["schemas"] = schemas.components(config)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSON(document)
