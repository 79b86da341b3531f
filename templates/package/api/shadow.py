"""A version that predicts what another one answers, on the side: what it says is counted, nothing else."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass

import numpy as np
from monitoring.metrics import Metrics

from api.model import Model, Outputs, Values

MAX_WAITING = 32
#: Values that differ by more than this share of the larger one disagree.
TOLERANCE = 1e-3
_log = logging.getLogger("service")


@dataclass(frozen=True)
class Shadowed:
    """One request to be predicted again.

    Parameters
    ----------
    model : Model
        The shadow.
    values : dict of str to ndarray of shape (n_rows,)
        Cells as the current version has read them.
    outputs : Outputs
        What was answered.
    """

    model: Model
    values: Values
    outputs: Outputs


class Shadow:
    """Predicts in a thread of its own; requests that come faster than it can follow are dropped and counted.

    Parameters
    ----------
    metrics : Metrics
        Where agreement is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: queue.Queue[Shadowed] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def follow(self, request: Shadowed) -> None:
        """Take one request, or drop it."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            self._count(request, "dropped", request.outputs.n_rows)

    def _run(self) -> None:
        while True:
            request = self._waiting.get()
            try:
                task = request.model.config["task"]
                n_agreeing = count_agreeing(request.outputs, request.model.run(request.values), task)
            except Exception as error:  # whatever a shadow does, nobody waits for it
                _log.warning("a shadow failed", extra={"fields": {"error": type(error).__name__}})
                self._count(request, "failed", request.outputs.n_rows)
                continue
            self._count(request, "agrees", n_agreeing)
            self._count(request, "differs", request.outputs.n_rows - n_agreeing)

    def _count(self, request: Shadowed, result: str, n_rows: int) -> None:
        self._metrics.observe_shadow(request.model.config["version"], result, n_rows)


def count_agreeing(one: Outputs, other: Outputs, task: str) -> int:
    """Rows with the same class, the same place in the ranking, or values that differ by a thousandth at most."""
    if one.values is None or other.values is None:
        return int(np.sum(np.asarray(one.codes) == np.asarray(other.codes)))
    if task == "ranking":
        places = [np.argsort(np.argsort(-values, kind="stable")) for values in (one.values, other.values)]
        return int(np.sum(places[0] == places[1]))
    return int(np.isclose(one.values, other.values, rtol=TOLERANCE, atol=0.0, equal_nan=True).sum())
