"""The HTTP application. `python -m api` runs it, and so does `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from monitoring.metrics import LogCounter, Metrics
from monitoring.monitor import Monitor
from starlette.responses import Response

from api import openapi, utils
from api.config import other_versions
from api.feedback import FeedbackStore
from api.keys import Keys
from api.middleware import PREDICTING, Direct, Edge
from api.predictions import Predictions
from api.problems import JSON, Problem, install_handlers
from api.routes import client_routes, inference_routes, invocation_routes, page_routes
from api.serving import Serving
from api.settings import Settings
from api.start import ROOT

_log = logging.getLogger("service")


def build_app(root: Path = ROOT, settings: Settings | None = None) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    root : Path, optional
        Folder of the package.
    settings : Settings, optional
        None: those of the environment.

    Returns
    -------
    FastAPI
        Ready to be run by uvicorn.

    Raises
    ------
    StartError
        The environment names no API keys, or something that cannot be used; or a file of the package is not as it
        should be.
    """
    settings, keys = settings or Settings.read(), Keys()
    serving = Serving(root, settings.n_threads, settings.registry)
    config = serving.model.config
    metrics = Metrics(config, n_threads=settings.n_threads, memory_limit=utils.memory_limit())
    utils.configure_logging(settings.log_level, LogCounter(metrics))
    _say_what_starts(root, serving, keys)
    serving.begin()
    store = FeedbackStore(settings.feedback_db, settings.feedback_max, settings.feedback_ttl_s)
    monitor = Monitor(config, metrics, store, settings.feedback_window_s, settings.kpis)
    predictions = Predictions(serving, monitor, store, max_waiting=settings.max_waiting, always_ids=settings.always_ids)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(
        title=config["name"],
        version=config["version"],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(_operations(serving, metrics))
    routers = [client_routes(serving, predictions, monitor, store)]
    if "v2" in settings.adapters:
        routers.append(inference_routes(serving, predictions))
    if "mlflow" in settings.adapters:
        routers.append(invocation_routes(serving, predictions))
    for router in (*routers, page_routes(root, monitor, config)):
        app.include_router(router)
    install_handlers(app)
    addresses = _describe(app, config)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.add_middleware(
        Direct, endpoints={r.path: r.endpoint for r in routes if r.path in PREDICTING and not r.param_convertors}
    )
    app.add_middleware(
        Edge,
        monitor=monitor,
        keys=keys,
        serving=serving,
        max_body_bytes=config["limits"]["max_body_bytes"],
        metrics_need_key=settings.metrics_need_key,
        paths=addresses,
    )
    _follow(serving, monitor)
    return app


def _say_what_starts(root: Path, serving: Serving, keys: Keys) -> None:
    """One line for whoever reads the log first, and one for each thing that should not be so."""
    config = serving.model.config
    fields = {
        "name": config["name"],
        "version": config["version"],
        "created": _created(serving.root),
        "n_keys": keys.n_keys,
        "n_threads": serving.model.n_threads,
    }
    _log.info("the service starts", extra={"fields": fields})
    if keys.admits_everybody:
        _log.warning("everybody may call: MODEL_ALLOW_ANONYMOUS is 1 and no key is known")
    if config.get("model_sha256") is None:
        _log.warning("model.onnx may be any: config.json names no model_sha256 that it could be compared with")
    others = other_versions(root)
    if others:
        versions = {name: {"wanted": wanted, "installed": here} for name, (wanted, here) in others.items()}
        _log.warning(
            "other versions are installed than requirements.txt names", extra={"fields": {"packages": versions}}
        )


def _created(root: Path) -> str | None:
    """When the package was exported, if it says so."""
    try:
        found = json.loads((root / "model" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found["created"]) if isinstance(found, dict) and "created" in found else None


def _follow(serving: Serving, monitor: Monitor) -> None:
    """Measure whatever serves: another model, another version on trial."""
    described = serving.model

    def on_change() -> None:
        nonlocal described
        if serving.model is not described:
            described = serving.model
            monitor.metrics.describe(described.config)
            monitor.describe(described.config)
        watch_trial()

    def watch_trial() -> None:
        monitor.watch_challenger(None if serving.trial is None else serving.trial.model.config["version"])

    watch_trial()
    serving.watch(on_change)
    monitor.watch()


def _operations(serving: Serving, metrics: Metrics) -> APIRouter:
    """Addresses for whoever operates the service."""
    router = APIRouter(tags=["operations"])
    config = serving.model.config

    @router.get("/healthz", summary="The process is alive", **openapi.answers({"status": "alive"}))
    async def healthz() -> Response:
        return JSON({"status": "alive"})

    @router.get(
        "/readyz",
        summary="The model predicts",
        **openapi.answers({"status": "ready"}, "/readyz", config, "internal-error", "not-ready"),
    )
    def readyz() -> Response:
        if not serving.model.self_test().passes:
            raise Problem("not-ready")
        return JSON({"status": "ready"})

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, **openapi.metrics(config))
    def prometheus() -> Response:
        body, media_type = metrics.render()
        return Response(body, media_type=media_type)

    return router


def _describe(app: FastAPI, config: dict[str, Any]) -> frozenset[str]:
    """Serve /openapi.json, with the model's own columns; returns all addresses."""
    document = openapi.document(app.openapi(), config)
    address = "/openapi.json"

    @app.get(address, include_in_schema=False)
    async def description() -> Response:
        return JSON(document)

    return frozenset({address, *document["paths"]})
