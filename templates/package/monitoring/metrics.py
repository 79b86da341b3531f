"""Metric definitions. What nobody has measured is absent: no zero stands for an unknown."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import api.drift as drift
import numpy as np
import prometheus_client
from api.model import Outputs, Values
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

MAX_FEATURES = 50
_PREDICTION = "prediction"
Watched = tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any] | None, drift.Window]
_FEATURE = "feature "
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_INFERENCE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one service.

    Parameters
    ----------
    config : mapping
        config.json.
    n_threads : int
        Threads for one prediction.
    memory_limit : int or None
        Bytes that the service may use, where there is a limit.
    """

    def __init__(self, config: Mapping[str, Any], *, n_threads: int, memory_limit: int | None = None) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        self._define_service(n_threads, memory_limit)
        self._define_features()
        self._drift = DriftCollector()
        self.registry.register(self._drift)
        self.describe(config)

    def describe(self, config: Mapping[str, Any]) -> None:
        """Measure against the training data of this model from now on; counters go on counting.

        Parameters
        ----------
        config : mapping
            config.json of the model that serves.
        """
        self._info.info({key: _label(str(config[key])) for key in ("name", "version", "task")})
        self._scores.clear()
        for name, value in config["reference_metrics"].items():
            if value is not None:
                self._scores.labels(_label(name)).set(value)
        references = watched(config)
        self._missing_share.clear()
        for name, reference in references.items():
            self._announce(_label(name), reference)
        self._drift.watch(references, config["drift"].get("prediction"))

    def _define_service(self, n_threads: int, memory_limit: int | None) -> None:
        registry = self.registry
        self._requests = Counter(
            "http_requests_total", "Requests answered", ["handler", "status", "method"], registry=registry
        )
        self._request_s = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request",
            ["handler", "method"],
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._predictions = Counter("model_predictions_total", "Rows predicted, by class", ["label"], registry=registry)
        self._inference_s = Histogram(
            "model_inference_duration_seconds",
            "Time in the model, for one request",
            buckets=_INFERENCE_S,
            registry=registry,
        )
        self._messages = Counter("log_messages_total", "Lines in the log", ["level"], registry=registry)
        for level in _LEVELS:
            self._messages.labels(level)
        self._info = Info("model", "The model that is served", registry=registry)
        Gauge("model_threads", "Threads for one prediction", registry=registry).set(n_threads)
        limit = Gauge(
            "model_memory_limit_bytes", "Memory that the service may use; infinite: no limit", registry=registry
        )
        limit.set(float("inf") if memory_limit is None else memory_limit)
        self._scores = Gauge(
            "model_performance_reference", "Scores measured in training", ["metric"], registry=registry
        )

    def _define_features(self) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"model_feature_{name}_total", text, ["feature"], registry=self.registry)

        self._values = counter("values", "Cells received")
        self._missing = counter("missing", "Cells that were missing")
        self._unseen = counter("unseen", "Cells with a category not known from training")
        self._outliers = counter("outliers", "Cells outside the range seen in training")
        self._missing_share = Gauge(
            "model_feature_missing_reference_ratio",
            "Share of cells that were missing in training",
            ["feature"],
            registry=self.registry,
        )

    def _announce(self, label: str, reference: Mapping[str, Any]) -> None:
        """A feature is there from the start, with nothing counted yet."""
        self._values.labels(label)
        self._missing.labels(label)
        (self._outliers if reference["kind"] == "numeric" else self._unseen).labels(label)
        n_rows = sum(reference["counts"])
        if n_rows:
            self._missing_share.labels(label).set(reference["counts"][-1] / n_rows)

    def observe_request(self, handler: str, method: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        self._requests.labels(handler, str(status), method).inc()
        self._request_s.labels(handler, method).observe(seconds)

    def observe_inference(self, seconds: float) -> None:
        """Count one run of the graph."""
        self._inference_s.observe(seconds)

    def observe_log(self, level: str) -> None:
        """Count one line in the log."""
        self._messages.labels(level if level in _LEVELS else "INFO").inc()

    def observe_rows(
        self,
        values: Values,
        unseen: Mapping[str, Sequence[int]],
        outputs: Outputs,
        class_names: Sequence[str],
    ) -> None:
        """Count the cells and predictions of one request."""
        counts: dict[str, drift.Counts] = {}
        references, of_prediction, window = self._drift.watched
        for name, reference in references.items():
            if name not in values:
                continue
            label, bins = _label(name), drift.count(values[name], reference)
            counts[_FEATURE + name] = bins
            self._values.labels(label).inc(int(bins.sum()))
            self._missing.labels(label).inc(int(bins[-1]))
            if reference["kind"] == "numeric":
                self._outliers.labels(label).inc(int(bins[0] + bins[-2]))
            else:
                self._unseen.labels(label).inc(len(unseen.get(name, ())))
        n_rows = len(next(iter(values.values())))
        names = [""] * n_rows if outputs.codes is None else [class_names[code] for code in outputs.codes]
        for label, n_predictions in collections.Counter(names).items():
            self._predictions.labels(_label(label)).inc(n_predictions)
        if of_prediction is not None:
            counts[_PREDICTION] = drift.count(_scores(outputs, names, of_prediction["kind"]), of_prediction)
        window.add(counts)

    def render(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its media type."""
        return prometheus_client.generate_latest(self.registry), prometheus_client.CONTENT_TYPE_LATEST


class DriftCollector(Collector):
    """Computes drift when it is asked for: the index as it is, and the part that chance alone would give.

    Attributes
    ----------
    watched : tuple of (mapping, mapping or None, drift.Window)
        References of the features and of the prediction, as in config.json, and the counts of the latest requests: one
        tuple, so that whoever reads it has three that belong together.
    """

    def __init__(self) -> None:
        self.watched: Watched = ({}, None, drift.Window())

    def watch(self, features: Mapping[str, Mapping[str, Any]], prediction: Mapping[str, Any] | None) -> None:
        """Compare with other references from now on, in a window of their own."""
        self.watched = (features, prediction, drift.Window())

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metric families; those without rows in the window hold no sample."""
        features, of_prediction, window = self.watched
        total = window.total()
        index = GaugeMetricFamily("model_feature_drift_psi", "Population stability index", labels=["feature"])
        chance = GaugeMetricFamily("model_feature_drift_noise_psi", "The part expected by chance", labels=["feature"])
        for name, reference in features.items():
            if _FEATURE + name in total:
                counts = total[_FEATURE + name]
                index.add_metric([_label(name)], drift.psi(reference["counts"], counts))
                chance.add_metric([_label(name)], drift.noise(reference["counts"], counts))
        yield index
        yield chance
        yield from _collect_prediction(of_prediction, total.get(_PREDICTION))
        n_rows = max((int(counts.sum()) for counts in total.values()), default=0)
        yield GaugeMetricFamily("model_drift_window_rows", "Rows in the drift window", value=n_rows)


def _collect_prediction(
    of_prediction: Mapping[str, Any] | None, counts: NDArray[np.int64] | None
) -> Iterable[GaugeMetricFamily]:
    if of_prediction is None or counts is None:
        return
    reference = of_prediction["counts"]
    index, chance = drift.psi(reference, counts), drift.noise(reference, counts)
    yield GaugeMetricFamily("model_prediction_drift_psi", "Population stability index of predictions", value=index)
    yield GaugeMetricFamily("model_prediction_drift_noise_psi", "The part expected by chance", value=chance)


class LogCounter(logging.Handler):
    """Counts log lines by level.

    Parameters
    ----------
    metrics : Metrics
        Where they are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def emit(self, record: logging.LogRecord) -> None:
        """Count one record."""
        self._metrics.observe_log(record.levelname)


def watched(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """References of the features with metrics of their own: the first 50 of config.json that the model uses."""
    used = {c["name"] for c in config["columns"] if c["is_used"]}
    features = [(name, reference) for name, reference in config["drift"]["features"].items() if name in used]
    return dict(features[:MAX_FEATURES])


def _scores(outputs: Outputs, names: list[str], kind: str) -> Any:
    """What the drift of predictions is measured on: the label, else the value or the last class's probability."""
    if kind == "categorical":
        return names
    if outputs.values is not None:
        return outputs.values
    return outputs.probabilities[:, -1] if outputs.probabilities is not None else np.array([])


def _label(text: str) -> str:
    """A label value that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
