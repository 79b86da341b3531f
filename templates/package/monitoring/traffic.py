"""The latest prediction requests, for the monitoring page: rates, errors and how long answers took."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

N_MINUTES = 60
N_KEPT = 4096


class Traffic:
    """Counts by minute and the latest durations; its size never grows. Safe to use from several threads.

    Parameters
    ----------
    clock : callable, default=time.time
        Returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self.started = clock, clock()
        self._lock = threading.Lock()
        self._minutes: deque[list[int]] = deque(maxlen=N_MINUTES)
        self._latest: deque[tuple[float, float]] = deque(maxlen=N_KEPT)

    def add(self, status: int, seconds: float) -> None:
        """Count one request."""
        now = self._clock()
        minute = int(now // 60)
        with self._lock:
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append([minute, 0, 0, 0])
            counts = self._minutes[-1]
            counts[1] += 1
            counts[2] += 400 <= status < 500
            counts[3] += status >= 500
            self._latest.append((now, seconds))

    def summary(self) -> dict[str, Any]:
        """Requests by minute (oldest first), totals of the hour, and quantiles of the latest durations."""
        now = self._clock()
        this = int(now // 60)
        with self._lock:
            minutes = {m: counts for m, *counts in self._minutes if m > this - N_MINUTES}
            seconds = [s for at, s in self._latest if at > now - 3600]
        rows = [minutes.get(minute, [0, 0, 0]) for minute in range(this - N_MINUTES + 1, this + 1)]
        n, refused, failed = (sum(row[i] for row in rows) for i in range(3))
        quantiles = np.quantile(seconds, (0.5, 0.95, 0.99)) * 1000 if seconds else None
        return {
            "uptime_s": round(now - self.started, 1),
            "requests": n,
            "refused": refused,
            "failed": failed,
            "per_minute": [row[0] for row in rows],
            "latency_ms": None
            if quantiles is None
            else {name: round(float(q), 3) for name, q in zip(("p50", "p95", "p99"), quantiles, strict=True)},
        }
