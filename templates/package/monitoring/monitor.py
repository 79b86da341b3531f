"""What is known of the service while it runs: for /metrics, for the advice to train again, and for the page."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from monitoring.advice import advise
from monitoring.backlog import Answered
from monitoring.business import REVENUE, Worth
from monitoring.metrics import Metrics, PerformanceCollector, PerformanceSamples
from monitoring.performance import Estimate, Labelled, Score, coverage, measure
from monitoring.traffic import Traffic

#: Measuring all labelled rows again is worth it this often, in seconds.
FRESH_S = 5.0
#: Advice is made again this often, in seconds.
ADVICE_S = 60.0
_log = logging.getLogger("service")


class Store(Protocol):
    """Where predictions wait for their truth."""

    def labelled(self, version: str, window_s: float) -> Labelled:
        """Those whose truth is known."""
        ...

    def n_waiting(self) -> int:
        """How many are kept."""
        ...


class Monitor:
    """Everything that is counted, and what follows from it.

    Parameters
    ----------
    config : mapping
        config.json of the model that serves.
    metrics : Metrics
        What Prometheus reads.
    store : Store
        Predictions and their truth.
    window_s : float
        Seconds over which performance is measured.
    kpis : tuple of str
        KPIs of the settings.
    """

    def __init__(
        self, config: Mapping[str, Any], metrics: Metrics, store: Store, window_s: float, kpis: tuple[str, ...] = ()
    ) -> None:
        self.metrics, self.traffic = metrics, Traffic()
        self._store, self._window_s, self._more_kpis = store, window_s, kpis
        self._lock = threading.Lock()
        self._challenger: str | None = None
        self._advice = "none"
        self.describe(config)
        metrics.backlog.subscribe(self._count)
        metrics.registry.register(PerformanceCollector(self._samples))

    def describe(self, config: Mapping[str, Any]) -> None:
        """Watch this model from now on."""
        self._config, self.worth = config, Worth.of(config, self._more_kpis)
        self.estimate = Estimate()
        self._measured: tuple[float, dict[str, Any]] = (-math.inf, {})
        self.metrics.announce_business(self.worth.counted, self.worth.priced, self.worth.currency)

    def watch_challenger(self, version: str | None) -> None:
        """Measure this version, too."""
        self._challenger = version
        self._measured = (-math.inf, {})

    def watch(self) -> None:
        """Weigh drift and feedback again and again, in a thread of its own, so that the log tells of a change."""
        threading.Thread(target=self._watch, name="advice", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(ADVICE_S):
            try:
                self.advice()
            except Exception:  # a closed store at the end must not end in a traceback nobody asked for
                _log.exception("no advice could be made")

    def _count(self, answered: Sequence[Answered]) -> None:
        """Count predictions of the champion for the estimate."""
        codes = [code for each in answered if each.is_champion for code in each.outputs.codes or ()]
        shares = [a.outputs.probabilities for a in answered if a.is_champion and a.outputs.probabilities is not None]
        if codes and shares:
            self.estimate.add(codes, np.concatenate(shares), self.worth.positive)

    def observe_feedback(self, status: str, code: int | None, value: float | None, news: Any) -> None:
        """Count one feedback, and what it says of errors, money, KPIs and content."""
        self.metrics.observe_feedback(status)
        if news is None:
            return
        if news.rating is not None:
            self.metrics.observe_rating(news.rating)
        for kpi, amount in news.outcomes.items():
            self.metrics.observe_outcome(kpi, amount)
        if news.y is not None:
            self._observe_truth(code, value, news.y)

    def _observe_truth(self, code: int | None, value: float | None, y: float) -> None:
        worth, metrics = self.worth, self.metrics
        if code is not None:
            kind, cost, earned = worth.error(code, int(y)), worth.cost(code, int(y)), worth.earned(code, int(y))
            if kind is not None:
                metrics.observe_error(kind)
                if cost is not None:
                    metrics.observe_cost(kind, worth.currency, cost)
            if earned is not None:
                metrics.observe_outcome(REVENUE, earned)
        elif value is not None and (priced := worth.cost_of_value(value, y)) is not None:
            metrics.observe_cost(priced[0], worth.currency, priced[1])

    def performance(self) -> dict[str, Any]:
        """Measured scores of champion and challenger, coverage and estimate; measured again every few seconds."""
        with self._lock:
            at, found = self._measured
            if time.monotonic() - at > FRESH_S:
                found = self._measure()
                self._measured = (time.monotonic(), found)
        self.metrics.backlog.settle()
        n_estimated, estimated = self.estimate.scores()
        return {**found, "n_estimated": n_estimated, "estimated": estimated}

    def _measure(self) -> dict[str, Any]:
        config = self._config
        rows = self._store.labelled(config["version"], self._window_s)
        rivals = None if self._challenger is None else self._store.labelled(self._challenger, self._window_s)
        positive = self.worth.positive
        return {
            "n_measured": len(rows.y),
            "n_of_the_hour": rows.n_younger(self.metrics.drift.seconds),
            "measured": measure(rows, config["task"], positive),
            "coverage": coverage(rows),
            "challenger": self._challenger,
            "n_challenger": 0 if rivals is None else len(rivals.y),
            "of_challenger": [] if rivals is None else measure(rivals, config["task"], positive),
            "n_waiting": self._store.n_waiting(),
        }

    def advice(self) -> dict[str, Any]:
        """Whether to train again, and why; a change of mind is a line in the log."""
        known = self.performance()
        found = advise(
            self._config["reference_metrics"],
            self._config.get("reference_errors") or {},
            known["measured"],
            known["n_measured"],
            known["n_of_the_hour"],
            known["coverage"],
            0.95,
            known["estimated"],
            self.metrics.drift_figures(),
            self._config.get("thresholds") or {},
        )
        with self._lock:
            is_other, self._advice = found["advice"] != self._advice, found["advice"]
        if is_other:
            level = logging.WARNING if found["advice"] == "retrain" else logging.INFO
            _log.log(level, "advice on training again", extra={"fields": {**found, "version": self._config["version"]}})
        return {"version": self._config["version"], **found}

    def _samples(self) -> PerformanceSamples:
        known = self.performance()
        return PerformanceSamples(
            scores=[
                *((s.name, False, s.value) for s in known["measured"]),
                *((s.name, True, s.value) for s in known["estimated"]),
            ],
            challenger=[(s.name, str(known["challenger"]), s.value) for s in known["of_challenger"]],
            n_measured=known["n_measured"],
            n_estimated=known["n_estimated"],
            coverage=None if known["coverage"] is None else known["coverage"].value,
            n_waiting=known["n_waiting"],
            is_advised=self.advice()["advice"] == "retrain",
        )

    def summary(self) -> dict[str, Any]:
        """What GET /v1/monitoring answers, in plain JSON types."""
        config, known, drift = self._config, self.performance(), self.metrics.drift_figures()
        limits = config.get("thresholds") or {}
        used = os.times()
        challenger = {
            "version": known["challenger"],
            "rows": known["n_challenger"],
            "scores": _plain(known["of_challenger"]),
        }
        return {
            "model": config["name"],
            "version": config["version"],
            "task": config["task"],
            "traffic": self.traffic.summary(),
            "process": {"cpu_s": round(used.user + used.system, 3), "resident_bytes": _resident_bytes()},
            "drift": {
                "rows": drift.n_rows,
                "features": [
                    {
                        "feature": name,
                        "psi": _finite(psi),
                        "noise": _finite(noise),
                        "excess": _finite(psi - noise),
                        "limit": limits.get("drift", {}).get(name),
                    }
                    for name, (psi, noise) in drift.features.items()
                ],
                "prediction": None
                if drift.prediction is None
                else {
                    "psi": _finite(drift.prediction[0]),
                    "noise": _finite(drift.prediction[1]),
                    "limit": limits.get("prediction_drift"),
                },
            },
            "performance": {
                "reference": {name: value for name, value in config["reference_metrics"].items() if value is not None},
                "measured": {"rows": known["n_measured"], "scores": _plain(known["measured"])},
                "estimated": {
                    "rows": known["n_estimated"],
                    "scores": _plain(known["estimated"]),
                    "note": "from confidence, before any truth is known"
                    if config["classes"] is not None
                    else "not available: values and scores come without probabilities",
                },
                "coverage": None if known["coverage"] is None else _plain([known["coverage"]])["coverage"],
                "challenger": None if known["challenger"] is None else challenger,
            },
            "feedback": {"predictions_kept": known["n_waiting"], "kpis": list(self.worth.kpis)},
            "advice": self.advice(),
        }


def _plain(scores: Sequence[Score]) -> dict[str, Any]:
    return {s.name: {"value": s.value, "standard_error": s.error} for s in scores if math.isfinite(s.value)}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _resident_bytes() -> int | None:
    """Memory in use, where the system tells."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
