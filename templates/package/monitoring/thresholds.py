"""Thresholds of the alerts that differ between models, as metrics: what Prometheus compares with follows the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Thresholds(Collector):
    """Exposes the thresholds of config.json; those that it does not hold have no sample.

    Attributes
    ----------
    stated : mapping
        The section "thresholds" of config.json.
    features : frozenset of str
        Columns whose drift is measured.
    """

    def __init__(self) -> None:
        self.stated: Mapping[str, Any] = {}
        self.features: frozenset[str] = frozenset()

    def watch(self, config: Mapping[str, Any], features: Iterable[str]) -> None:
        """Expose those of this model from now on."""
        self.features = frozenset(features)
        self.stated = config.get("thresholds", {})

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metric families."""
        stated, features = self.stated, self.features
        drift = GaugeMetricFamily("model_feature_drift_threshold", "Drift that is alarming", labels=["feature"])
        for name, value in stated.get("drift", {}).items():
            if name in features:
                drift.add_metric([label(name)], value)
        yield drift
        for name, key, text in (
            ("model_prediction_drift_threshold", "prediction_drift", "Drift of predictions that is alarming"),
            ("model_seconds_per_row_limit", "seconds_per_row", "Time in the model for one row that was allowed"),
        ):
            family = GaugeMetricFamily(name, text, labels=[])
            if stated.get(key) is not None:
                family.add_metric([], stated[key])
            yield family
        yield from _performance(stated.get("performance", {}))


def _performance(performance: Mapping[str, Any]) -> Iterable[GaugeMetricFamily]:
    lowest = GaugeMetricFamily("model_performance_lowest", "What a score may not fall short of", labels=["metric"])
    highest = GaugeMetricFamily("model_performance_highest", "What a loss may not exceed", labels=["metric"])
    for name, stated in performance.items():
        family = lowest if stated["greater_is_better"] else highest
        family.add_metric([label(name)], stated["limit"])
    yield lowest
    yield highest


def label(text: str) -> str:
    """A label value that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
