"""From the body of a request to predictions, the same way for every protocol: read, predict, count, remember."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitoring.backlog import Answered
from monitoring.monitor import Monitor
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api import schemas
from api.explanations import MAX_ROWS, Explainer, can_explain
from api.feedback import FeedbackStore
from api.gate import Gate, read_body
from api.model import Model, Outputs, Values
from api.problems import Problem
from api.schemas import Rows, Table, Wishes
from api.serving import Role, Serving
from api.shadow import Shadow, Shadowed

Reader = Callable[[Any, Model], tuple[Table, Wishes, list[dict[str, Any]]]]
#: What is forecast to take no longer is answered on the event loop: a thread takes half as long again, and whoever
#: waits meanwhile does not wait for long.
QUICK_S = 0.01
#: A body of so many bytes takes as long as one row. Of larger ones, a moving average of seconds per byte tells how much
#: longer; so much of it is the latest request's.
SMALL_BODY, LATEST = 8_192, 0.1
N_EXPLAINING, N_WAITING_TO_EXPLAIN = 1, 8
_log = logging.getLogger("service")


@dataclass(frozen=True)
class Asked:
    """What one request asks for.

    Parameters
    ----------
    model : Model
        The version that is to answer.
    role : {"champion", "challenger"}
        What it is.
    rows : Rows
        The cells, read.
    wishes : Wishes
        What else is asked for.
    keeps : bool
        Whether the predictions are to be kept, under ids.
    n_bytes : int
        Size of the body.
    reading_s : float
        CPU seconds of reading it.
    """

    model: Model
    role: Role
    rows: Rows
    wishes: Wishes
    keeps: bool
    n_bytes: int
    reading_s: float


@dataclass
class Predicted:
    """What was predicted for one request.

    Parameters
    ----------
    model : Model
        The version that answers.
    role : {"champion", "challenger"}
        What it is.
    values : dict of str to ndarray of shape (n_rows,)
        The cells, as they were read.
    outputs : Outputs
        Its predictions.
    wishes : Wishes
        What else was asked for.
    warnings : list of dict
        What the client should know.
    ids : list of str
        An id for each row, if they were asked for.
    explanations : list of dict
        One for each row, if they were asked for.
    """

    model: Model
    role: Role
    values: Values
    outputs: Outputs
    wishes: Wishes
    warnings: list[dict[str, Any]]
    ids: list[str] = field(default_factory=list)
    explanations: list[dict[str, Any]] = field(default_factory=list)

    def word(self) -> list[dict[str, Any]]:
        """One object for each row, with everything that was asked for."""
        parts = [self.model.word(self.outputs)]
        if self.wishes.intervals:
            parts.append(self.model.word_intervals(self.outputs))
        if self.ids:
            parts.append([{"prediction_id": id_} for id_ in self.ids])
        if self.explanations:
            parts.append([{"explanation": explanation} for explanation in self.explanations])
        if len(parts) == 1:
            return parts[0]
        return [dict(ChainMap(*reversed(row))) for row in zip(*parts, strict=True)]


class Predictions:
    """Predicts, with what is counted and remembered on the way.

    Parameters
    ----------
    serving : Serving
        The versions that answer.
    monitor : Monitor
        What is counted.
    store : FeedbackStore
        Where predictions wait for their truth.
    max_waiting : int
        Requests that may wait for their turn.
    always_ids : bool
        Whether every prediction is given an id.

    Attributes
    ----------
    gate : Gate
        Admits requests.
    """

    def __init__(
        self, serving: Serving, monitor: Monitor, store: FeedbackStore, *, max_waiting: int, always_ids: bool
    ) -> None:
        self._serving, self._monitor, self._store, self._always_ids = serving, monitor, store, always_ids
        self.gate = Gate(serving.model.n_threads + 1, max_waiting)
        self._explaining = Gate(N_EXPLAINING, N_WAITING_TO_EXPLAIN)
        self._shadow = Shadow(monitor.metrics)
        self._byte_s = math.inf

    async def predict(self, request: Request, read: Reader) -> Predicted:
        """Predict the rows in a request's body.

        Parameters
        ----------
        request : Request
            Whose body is JSON.
        read : callable
            Reads the JSON for a model.

        Returns
        -------
        Predicted
            The predictions.

        Raises
        ------
        Problem
            The request cannot be answered.
        """
        check_media_type(request)
        if not self._serving.is_ready:
            raise Problem("not-ready")
        async with self.gate.inside():
            body = await read_body(request)
            # All wait in one line: what needs no thread must not overtake what does
            async with self.gate.working():
                model, role = self._serving.route(routing_key(request))
                request.state.version, request.state.role = model.config["version"], role
                found = await self._predicted(body, read, model, role)
        request.state.n_rows = found.outputs.n_rows
        if found.wishes.explanations:
            async with self._explaining.inside(), self._explaining.working():
                found.explanations = await run_in_threadpool(_explain, found)
        return found

    async def _predicted(self, body: bytes, read: Reader, model: Model, role: Role) -> Predicted:
        if self._forecast_s(len(body), model) > QUICK_S:
            return await run_in_threadpool(self._predict, body, read, model, role)
        asked = self._read(body, read, model, role)
        # Whoever else uses the file of predictions may keep it for a while
        return await run_in_threadpool(self._answer, asked) if asked.keeps else self._answer(asked)

    def _forecast_s(self, n_bytes: int, model: Model) -> float:
        """CPU seconds that a body of this size will take; before the first large one, nobody knows of those."""
        return model.row_s if n_bytes <= SMALL_BODY else model.row_s + n_bytes * self._byte_s

    def _learn(self, n_bytes: int, seconds: float, model: Model) -> None:
        if n_bytes > SMALL_BODY:
            latest = max(seconds - model.row_s, 0.0) / n_bytes
            known = self._byte_s if math.isfinite(self._byte_s) else latest
            self._byte_s = (1.0 - LATEST) * known + LATEST * latest

    def _predict(self, body: bytes, read: Reader, model: Model, role: Role) -> Predicted:
        return self._answer(self._read(body, read, model, role))

    def _read(self, body: bytes, read: Reader, model: Model, role: Role) -> Asked:
        started = time.thread_time()
        table, wishes, warnings = read(schemas.parse(body), model)
        _check_wishes(wishes, table.n_rows, model)
        rows = schemas.read_table(table, model)
        rows.warnings += warnings
        keeps = wishes.prediction_ids or self._always_ids
        return Asked(model, role, rows, wishes, keeps, len(body), time.thread_time() - started)

    def _answer(self, asked: Asked) -> Predicted:
        model, role, rows = asked.model, asked.role, asked.rows
        started, cpu_started = time.perf_counter(), time.thread_time()
        outputs = model.run(rows.values, intervals=asked.wishes.intervals or asked.keeps)
        seconds = time.perf_counter() - started
        self._monitor.metrics.observe_prediction(
            Answered(rows.values, rows.unseen, outputs, model.class_names, model.config["version"], role, seconds)
        )
        self._learn(asked.n_bytes, asked.reading_s + time.thread_time() - cpu_started, model)
        found = Predicted(model, role, rows.values, outputs, asked.wishes, rows.warnings)
        if asked.keeps:
            self._remember(found)
        trial = self._serving.trial
        if trial is not None and trial.mode == "shadow" and role == "champion":
            self._shadow.follow(Shadowed(trial.model, rows.values, outputs))
        return found

    def _remember(self, found: Predicted) -> None:
        """Predictions are worth more than their ids: where these cannot be kept, the answer says so."""
        try:
            found.ids = self._store.remember(found.outputs, found.model.config["version"])
        except sqlite3.Error as error:
            _log.error(
                "predictions are not kept", extra={"fields": {"error": type(error).__name__, "reason": str(error)}}
            )
            detail = "The predictions could not be kept: they have no ids, and no feedback can be given."
            found.warnings.append({"code": "not_kept", "detail": detail})


def _check_wishes(wishes: Wishes, n_rows: int, model: Model) -> None:
    if wishes.intervals and not model.has_intervals:
        schemas.refuse([schemas.unusable("intervals", "this model has none: it ranks, or had too few rows to tell")])
    if wishes.explanations and not can_explain(model):
        schemas.refuse([schemas.unusable("explanations", "this package holds no background to explain against")])
    if wishes.explanations and n_rows > MAX_ROWS:
        detail = f"at most {MAX_ROWS} rows are explained at a time; got {n_rows}"
        schemas.refuse([schemas.unusable("explanations", detail)])


def _explain(found: Predicted) -> list[dict[str, Any]]:
    return Explainer(found.model).explain(found.values, found.outputs)


def routing_key(request: Request) -> str:
    """What decides which version answers, if there are two: the caller's own key, else the id of the request."""
    return request.headers.get("x-routing-key") or str(request.state.request_id)


def check_media_type(request: Request) -> None:
    """Raise a Problem (415) unless the body is said to be JSON, and not compressed."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem("unsupported-media-type", "Send the body as it is, without the header Content-Encoding.")
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Problem("unsupported-media-type")
