"""Predictions set aside and counted together: to count the cells of one row takes nearly as long as those of a hundred.

Whoever reads the counts has those set aside counted first, so that nobody sees the difference.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.model import Outputs, Values
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

#: So many requests, rows or seconds are set aside at most while requests come in.
MAX_REQUESTS, MAX_ROWS, MAX_S = 256, 2**15, 1.0
_log = logging.getLogger("service")


@dataclass(frozen=True)
class Answered:
    """What one request was answered.

    Parameters
    ----------
    values : dict of str to ndarray of shape (n_rows,)
        Its cells, by column.
    unseen : mapping of str to sequence of int
        Rows with a category that was not in the training data, by column.
    outputs : Outputs
        The predictions.
    class_names : sequence of str
        Classes, by code.
    version, role : str
        The version that answered, and whether it is the "champion" or the "challenger".
    seconds : float
        Time in the model.
    """

    values: Values
    unseen: Mapping[str, Sequence[int]]
    outputs: Outputs
    class_names: Sequence[str]
    version: str
    role: str
    seconds: float

    @property
    def is_champion(self) -> bool:
        """Whether the current version answered."""
        return self.role == "champion"


class Backlog(Collector):
    """Sets predictions aside and hands them on, in the order in which they came; safe to use from several threads.

    As a collector it has no metrics of its own. Registered before all others, it has them counted before they are read.

    Parameters
    ----------
    clock : callable, default=time.monotonic
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._adding, self._counting = threading.Lock(), threading.Lock()
        self._waiting: list[Answered] = []
        self._n_rows, self._since = 0, 0.0
        self._counters: list[Callable[[Sequence[Answered]], None]] = []

    def subscribe(self, count: Callable[[Sequence[Answered]], None]) -> None:
        """Hand to this function, too, what was set aside."""
        self._counters.append(count)

    def add(self, answered: Answered) -> None:
        """Set one request aside; count, once enough have come together."""
        with self._adding:
            if not self._waiting:
                self._since = self._clock()
            self._waiting.append(answered)
            self._n_rows += answered.outputs.n_rows
            is_due = (
                len(self._waiting) >= MAX_REQUESTS or self._n_rows >= MAX_ROWS or self._clock() - self._since >= MAX_S
            )
        if is_due:
            self.settle()

    def settle(self) -> None:
        """Count all that was set aside until now."""
        with self._counting:
            with self._adding:
                waiting, self._waiting, self._n_rows = self._waiting, [], 0
            if not waiting:
                return
            for count in self._counters:
                try:
                    count(waiting)
                except Exception:  # the answers are right and sent: no other request may fail for their counts
                    _log.exception("predictions were not counted", extra={"fields": {"requests": len(waiting)}})

    def collect(self) -> Iterable[Metric]:
        """Count; there is nothing of its own to yield."""
        self.settle()
        return ()
