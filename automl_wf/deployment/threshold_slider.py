"""Decisions by threshold, arranged for the slider of the report: every figure that it shows is worked out here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_wf.core.number_format import number
from automl_wf.deployment.figures import places_on_curves

Facts = Mapping[str, Any]


def arrange_thresholds(facts: Facts | None) -> dict[str, Any] | None:
    """What the template `report/decide` and its script use.

    Parameters
    ----------
    facts : mapping or None
        `Thresholds`, in plain types.

    Returns
    -------
    dict or None
        "steps", one per threshold, of texts by name; "place", the one in use; and "in_use", its step. None without
        facts.
    """
    if not facts:
        return None
    costs = facts["cost_per_row"] or [None] * len(facts["thresholds"])
    rows = [
        _rates(hits, alarms, facts["n_positive"], facts["n_negative"])
        for hits, alarms in zip(facts["hits"], facts["alarms"], strict=True)
    ]
    places = places_on_curves(
        [row["recall"] for row in rows],
        [row["fall_out"] for row in rows],
        [1.0 if row["precision"] is None else row["precision"] for row in rows],
    )
    steps = [
        {
            "threshold": number(threshold),
            **{name: number(value) for name, value in row.items()},
            "cost": number(cost),
            "places": place,
        }
        for threshold, row, cost, place in zip(facts["thresholds"], rows, costs, places, strict=True)
    ]
    cheapest = min(range(len(costs)), key=lambda i: costs[i]) if facts["cost_per_row"] else None
    return {
        "label": facts["label"],
        "other": facts["other"],
        "has_costs": bool(facts["cost_per_row"]),
        "cheapest": None if cheapest is None else {"step": cheapest, **steps[cheapest]},
        "place": facts["in_use"],
        "last": len(steps) - 1,
        "in_use": steps[facts["in_use"]],
        "steps": steps,
    }


def _rates(hits: float, alarms: float, n_positive: float, n_negative: float) -> dict[str, Any]:
    """What follows from counts; None where a share is of nothing."""
    misses, passed = n_positive - hits, n_negative - alarms
    n_said, n_rows = hits + alarms, n_positive + n_negative
    return {
        "hits": hits,
        "misses": misses,
        "alarms": alarms,
        "passed": passed,
        "precision": hits / n_said if n_said > 0 else None,
        "recall": hits / n_positive,
        "fall_out": alarms / n_negative,
        "f1": 2 * hits / (2 * hits + alarms + misses) if hits + alarms + misses > 0 else None,
        "accuracy": (hits + passed) / n_rows,
        "said": n_said / n_rows,
    }
