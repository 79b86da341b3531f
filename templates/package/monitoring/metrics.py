"""Metric definitions. What nobody has measured is absent: no zero stands for an unknown."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import api.drift as drift
import numpy as np
import prometheus_client
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitoring.backlog import Answered, Backlog
from monitoring.thresholds import Thresholds
from monitoring.thresholds import label as _label

MAX_FEATURES = 50
_PREDICTION = "prediction"
Watched = tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any] | None, drift.Window]
_FEATURE = "feature "
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_INFERENCE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0)
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
        # First of all collectors, so that what waits is counted before the others are read
        self.backlog = Backlog()
        self.registry.register(self.backlog)
        self.backlog.subscribe(self._count)
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        self._define_service(n_threads, memory_limit)
        self._define_features()
        self._define_feedback()
        self.drift = DriftCollector()
        self.registry.register(self.drift)
        self._thresholds = Thresholds()
        self.registry.register(self._thresholds)
        self.describe(config)

    def describe(self, config: Mapping[str, Any]) -> None:
        """Measure against the training data of this model from now on; counters go on counting.

        Parameters
        ----------
        config : mapping
            config.json of the model that serves.
        """
        self.backlog.settle()
        self._info.info({key: _label(str(config[key])) for key in ("name", "version", "task")})
        self._scores.clear()
        for name, value in config["reference_metrics"].items():
            if value is not None:
                self._scores.labels(_label(name)).set(value)
        references = watched(config)
        self._missing_share.clear()
        for name, reference in references.items():
            self._announce(_label(name), reference)
        self.drift.watch(references, config["drift"].get("prediction"))
        self._thresholds.watch(config, references)

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
        # Found once, for looking them up takes longer than counting
        self._answers: dict[tuple[str, int, str], tuple[Counter, Histogram]] = {}
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
        # Found once, as above
        self._cells: dict[tuple[str, str], tuple[Counter, ...]] = {}
        self._missing_share = Gauge(
            "model_feature_missing_reference_ratio",
            "Share of cells that were missing in training",
            ["feature"],
            registry=self.registry,
        )

    def _define_feedback(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        self._routed = counter("model_routed_total", "Rows answered, by version and its role", "version", "role")
        self._shadowed = counter("model_shadow_total", "Rows that a shadow predicted, too", "version", "result")
        self._feedback = counter("model_feedback_total", "Feedback, by what became of it", "status")
        self._errors = counter("model_errors_total", "Errors that feedback revealed", "kind")
        self._costs = counter("model_error_cost_total", "What these errors cost", "kind", "currency")
        self._worth = counter("model_business_value_total", "Amounts by KPI, from feedback", "kpi")
        # A histogram without labels would show zeros before anybody is asked: it is made with the first rating
        self._ratings: Histogram | None = None
        self._lock = threading.Lock()

    def announce_business(self, kpis: Sequence[str], costs: Iterable[str], currency: str) -> None:
        """What is configured is there from the start, with nothing counted yet; nothing else ever is."""
        for kpi in kpis:
            self._worth.labels(_label(kpi))
        for kind in costs:
            self._costs.labels(kind, _label(currency))

    def _announce(self, label: str, reference: Mapping[str, Any]) -> None:
        """A feature is there from the start, with nothing counted yet."""
        odd = self._outliers if reference["kind"] == "numeric" else self._unseen
        self._cells[label, reference["kind"]] = tuple(c.labels(label) for c in (self._values, self._missing, odd))
        n_rows = sum(reference["counts"])
        if n_rows:
            self._missing_share.labels(label).set(reference["counts"][-1] / n_rows)

    def observe_request(self, handler: str, method: str, status: int, seconds: float) -> None:
        """Count one HTTP request."""
        found = self._answers.get((handler, status, method))
        if found is None:
            found = self._requests.labels(handler, str(status), method), self._request_s.labels(handler, method)
            self._answers[handler, status, method] = found
        counter, durations = found
        counter.inc()
        durations.observe(seconds)

    def observe_log(self, level: str) -> None:
        """Count one line in the log."""
        self._messages.labels(level if level in _LEVELS else "INFO").inc()

    def observe_shadow(self, version: str, result: str, n_rows: int) -> None:
        """Count rows that a shadow predicted: "agrees", "differs", or not at all: "dropped", "failed"."""
        self._shadowed.labels(_label(version), result).inc(n_rows)

    def observe_feedback(self, status: str) -> None:
        """Count one feedback."""
        self._feedback.labels(status).inc()

    def observe_error(self, kind: str) -> None:
        """Count one error that feedback revealed: "fp", "fn" or, of several classes, "error"."""
        self._errors.labels(kind).inc()

    def observe_cost(self, kind: str, currency: str, amount: float) -> None:
        """Count what one error costs."""
        self._costs.labels(kind, _label(currency)).inc(amount)

    def observe_outcome(self, kpi: str, amount: float) -> None:
        """Count an amount of a KPI."""
        self._worth.labels(_label(kpi)).inc(amount)

    def observe_rating(self, rating: float) -> None:
        """Count how content somebody was."""
        with self._lock:
            if self._ratings is None:
                self._ratings = Histogram(
                    "model_feedback_rating", "Ratings from 1 to 5", buckets=_RATINGS, registry=self.registry
                )
        self._ratings.observe(rating)

    def observe_prediction(self, answered: Answered) -> None:
        """Count the cells and predictions of one request, before anybody reads these metrics."""
        self.backlog.add(answered)

    def _count(self, answered: Sequence[Answered]) -> None:
        for each in answered:
            self._inference_s.observe(each.seconds)
        routes = collections.Counter({(each.version, each.role): 0 for each in answered})
        labels: collections.Counter[str] = collections.Counter()
        for each in answered:
            routes[each.version, each.role] += each.outputs.n_rows
            labels.update(_labels_of(each))
        for (version, role), n_rows in routes.items():
            self._routed.labels(_label(version), role).inc(n_rows)
        for label, n_predictions in labels.items():
            self._predictions.labels(_label(label)).inc(n_predictions)
        self._count_cells(answered)

    def _count_cells(self, answered: Sequence[Answered]) -> None:
        """Count cells by column; the drift of predictions is the champion's alone."""
        counts: dict[str, drift.Counts] = {}
        references, of_prediction, window = self.drift.watched
        for name, reference in references.items():
            parts = [each.values[name] for each in answered if name in each.values]
            if not parts:
                continue
            cells, kind = np.concatenate(parts), reference["kind"]
            bins = counts[_FEATURE + name] = drift.count(cells, reference)
            n_cells, n_missing, n_odd = self._cells[_label(name), kind]
            n_cells.inc(len(cells))
            n_missing.inc(int(bins[-1]))
            n_unseen = sum(len(each.unseen.get(name, ())) for each in answered)
            n_odd.inc(int(bins[0] + bins[-2]) if kind == "numeric" else n_unseen)
        scores = [] if of_prediction is None else [_scores(a, of_prediction["kind"]) for a in answered if a.is_champion]
        if of_prediction is not None and scores:
            counts[_PREDICTION] = drift.count(np.concatenate(scores), of_prediction)
        window.add(counts)

    def drift_figures(self) -> DriftFigures:
        """Drift of the latest hour, up to the latest request."""
        self.backlog.settle()
        return self.drift.figures()

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

    @property
    def seconds(self) -> float:
        """How long ago the oldest request came in that is still counted."""
        window = self.watched[2]
        return window.slot_s * window.n_slots

    def watch(self, features: Mapping[str, Mapping[str, Any]], prediction: Mapping[str, Any] | None) -> None:
        """Compare with other references from now on, in a window of their own."""
        self.watched = (features, prediction, drift.Window())

    def figures(self) -> DriftFigures:
        """Drift of the latest hour; of what no row has come in for there is no figure."""
        features, of_prediction, window = self.watched
        total = window.total()
        found = {
            name: (drift.psi(reference["counts"], counts), drift.noise(reference["counts"], counts))
            for name, reference in features.items()
            if (counts := total.get(_FEATURE + name)) is not None
        }
        prediction = None
        if of_prediction is not None and _PREDICTION in total:
            reference, counts = of_prediction["counts"], total[_PREDICTION]
            prediction = drift.psi(reference, counts), drift.noise(reference, counts)
        return DriftFigures(found, prediction, max((int(counts.sum()) for counts in total.values()), default=0))

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metric families; those without rows in the window hold no sample."""
        figures = self.figures()
        index = GaugeMetricFamily("model_feature_drift_psi", "Population stability index", labels=["feature"])
        chance = GaugeMetricFamily("model_feature_drift_noise_psi", "The part expected by chance", labels=["feature"])
        for name, (psi, noise) in figures.features.items():
            index.add_metric([_label(name)], psi)
            chance.add_metric([_label(name)], noise)
        yield index
        yield chance
        if figures.prediction is not None:
            psi, noise = figures.prediction
            text = "Population stability index of predictions"
            yield GaugeMetricFamily("model_prediction_drift_psi", text, value=psi)
            yield GaugeMetricFamily("model_prediction_drift_noise_psi", "The part expected by chance", value=noise)
        yield GaugeMetricFamily("model_drift_window_rows", "Rows in the drift window", value=figures.n_rows)


@dataclass(frozen=True)
class DriftFigures:
    """Drift of the latest hour.

    Parameters
    ----------
    features : mapping of str to (float, float)
        Population stability index and the part expected by chance, by feature.
    prediction : (float, float) or None
        The same of the predictions.
    n_rows : int
        Rows of the hour.
    """

    features: Mapping[str, tuple[float, float]]
    prediction: tuple[float, float] | None
    n_rows: int


@dataclass(frozen=True)
class PerformanceSamples:
    """What is known of performance, as samples.

    Parameters
    ----------
    scores : sequence of (str, bool, float)
        Name, whether it is an estimate, value.
    challenger : sequence of (str, str, float)
        Name, version, value: measured.
    n_measured, n_estimated : int
        Rows behind them.
    coverage : float or None
        Share of truths inside their interval or set.
    n_waiting : int
        Predictions kept for their truth.
    is_advised : bool
        Whether training again is advised.
    """

    scores: Sequence[tuple[str, bool, float]]
    challenger: Sequence[tuple[str, str, float]]
    n_measured: int
    n_estimated: int
    coverage: float | None
    n_waiting: int
    is_advised: bool


class PerformanceCollector(Collector):
    """Asks for performance when it is asked itself.

    Parameters
    ----------
    ask : callable
        Returns PerformanceSamples.
    """

    def __init__(self, ask: Callable[[], PerformanceSamples]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metric families; what nobody knows holds no sample."""
        known = self._ask()
        scores = GaugeMetricFamily(
            "model_performance", "Scores, measured from feedback or estimated", labels=["metric", "estimated"]
        )
        for name, is_estimated, value in known.scores:
            scores.add_metric([name, str(is_estimated).lower()], value)
        yield scores
        rivals = GaugeMetricFamily(
            "model_challenger_performance", "Scores of a version on trial", labels=["metric", "version"]
        )
        for name, version, value in known.challenger:
            rivals.add_metric([name, _label(version)], value)
        yield rivals
        rows = GaugeMetricFamily("model_performance_rows", "Rows behind the scores", labels=["estimated"])
        rows.add_metric(["false"], known.n_measured)
        rows.add_metric(["true"], known.n_estimated)
        yield rows
        covered = GaugeMetricFamily(
            "model_interval_coverage", "Share of truths inside their interval or set", labels=[]
        )
        if known.coverage is not None:
            covered.add_metric([], known.coverage)
        yield covered
        yield GaugeMetricFamily("model_feedback_predictions", "Predictions kept for their truth", value=known.n_waiting)
        yield GaugeMetricFamily("model_retraining_advised", "1 if GET /v1/advice says so", value=int(known.is_advised))


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
    return {name: _ready(reference) for name, reference in features[:MAX_FEATURES]}


def _ready(reference: Mapping[str, Any]) -> Mapping[str, Any]:
    """A reference whose edges need not be read as numbers with every request."""
    return {**reference, "edges": np.asarray(reference["edges"])} if reference["kind"] == "numeric" else reference


def _labels_of(answered: Answered) -> list[str]:
    """The class of each row; without classes, no name."""
    codes = answered.outputs.codes
    return [""] * answered.outputs.n_rows if codes is None else [answered.class_names[code] for code in codes]


def _scores(answered: Answered, kind: str) -> NDArray[Any]:
    """What the drift of predictions is measured on: the label, else the value or the last class's probability."""
    outputs = answered.outputs
    if kind == "categorical":
        return np.array(_labels_of(answered), dtype=object)
    if outputs.values is not None:
        return outputs.values
    return outputs.probabilities[:, -1] if outputs.probabilities is not None else np.empty(0)
