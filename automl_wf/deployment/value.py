"""Facts about success criteria and business value, arranged for the report; the card shows them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_wf.core.criteria import MET, NOT_MET, UNDECIDED
from automl_wf.deployment.figures import draw_bars, draw_curves, draw_profit

Facts = Mapping[str, Any]

#: How grave a verdict is, by the page's words for findings.
_GRAVITY = {MET: "info", NOT_MET: "serious", UNDECIDED: "warning"}
#: Costs of more classes than this are not drawn as a matrix.
MAX_CLASSES = 15
_RATES = {
    "click_through_rate": ("Click-through rate", "clicks per row shown"),
    "conversion_impact": ("Conversion impact", "conversions per row shown"),
    "user_satisfaction": ("User satisfaction", "mean of the rows shown"),
}


def arrange_value(evaluation: Facts) -> dict[str, Any]:
    """What the templates `report/criteria` and `report/value` use.

    Parameters
    ----------
    evaluation : mapping
        Facts of stage 6.

    Returns
    -------
    dict
        "criteria", rows with their gravity, and "value", None where nothing is known.
    """
    criteria = [
        {**row, "gravity": _GRAVITY.get(row["verdict"], "info")}
        for row in evaluation.get("criteria") or ()
        if row["wanted"] is not None
    ]
    business = evaluation.get("business") or {}
    value = {
        "currency": business.get("currency", ""),
        "lift": _lift(evaluation.get("lift_chart")),
        "percentages": evaluation.get("percentage_error") or None,
        "costs": _costs(business.get("cost_matrix")),
        "profit": business.get("profit_curve") or None,
        "profit_drawing": draw_profit(business.get("profit_curve")),
        "revenue": business.get("revenue_impact") or None,
        "savings": business.get("cost_savings") or None,
        "dollars": business.get("dollar_impact") or None,
        "kpis": business.get("custom_kpis") or [],
        "exposure": business.get("exposure") or None,
        "rates": [
            {"name": name, "unit": unit, **business[key]} for key, (name, unit) in _RATES.items() if business.get(key)
        ],
    }
    return {"criteria": criteria, "value": value if any(v for k, v in value.items() if k != "currency") else None}


def _lift(facts: Facts | None) -> dict[str, Any] | None:
    if not facts:
        return None
    bars = draw_bars([row["lift"] for row in facts["deciles"]], at_least=1.0)
    curve = {"label": facts["label"], "x": facts["share"], "y": facts["gain"], "area": facts["area"]}
    return {
        "label": facts["label"],
        "drawing": draw_curves([curve], has_diagonal=True),
        "deciles": [{**row, "bar": bar} for row, bar in zip(facts["deciles"], bars, strict=True)],
    }


def _costs(facts: Facts | None) -> dict[str, Any] | None:
    if not facts:
        return None
    rows = [
        {"label": label, "cells": [{"cost": c, "lost": m} for c, m in zip(costs, lost, strict=True)]}
        for label, costs, lost in zip(facts["classes"], facts["costs"], facts["lost"], strict=True)
    ]
    return {**facts, "rows": rows if len(rows) <= MAX_CLASSES else []}
