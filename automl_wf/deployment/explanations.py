"""Why the model predicts what it does, arranged for card and report: facts of stage 7, none of them made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_wf.deployment.figures import draw_bars, draw_dependence, draw_surface

Facts = Mapping[str, Any]

SECTION = "why_it_predicts"
MEASURED, NOT_RUN = "measured", "not run"


def in_card(insights: Sequence[Facts]) -> list[dict[str, Any]]:
    """Insights whose paths lead through card.json.

    Parameters
    ----------
    insights : sequence of mapping
        With paths among the facts of the interpretation.

    Returns
    -------
    list of dict
        The same, "/rules/r2" being "/sections/why_it_predicts/rules/value/r2".
    """
    found = []
    for insight in insights:
        _, first, *rest = insight["path"].split("/")
        found.append({**insight, "path": "/".join(["", "sections", SECTION, first, "value", *rest])})
    return found


def arrange_explanations(facts: Facts) -> dict[str, Any]:
    """Everything that the report's section on reasons uses.

    Parameters
    ----------
    facts : mapping
        `Interpretation.to_dict()`, or a part of it.

    Returns
    -------
    dict
        Sentences, drawings and rows; each part is None where it was not run, and `not_run` says why.
    """
    parts = {
        name: facts.get(name) or {}
        for name in ("shap", "partial_dependence", "interactions", "rules", "boundary", "trust")
    }
    done = {name: part if part.get("status") == MEASURED else None for name, part in parts.items()}
    return {
        "sentences": [insight["text"] for insight in facts.get("insights") or ()],
        "shap": _shap(done["shap"]),
        "dependences": _dependences(done["partial_dependence"]),
        "outputs": (done["partial_dependence"] or {}).get("outputs") or [],
        "interactions": done["interactions"],
        "rules": done["rules"],
        "boundary": done["boundary"],
        "surface": draw_surface(done["boundary"]) if done["boundary"] else None,
        "trust": done["trust"],
        "not_run": [
            {"name": name.replace("_", " "), "status": parts[name].get("status", NOT_RUN)}
            for name, part in done.items()
            if part is None
        ],
    }


def _shap(part: Facts | None) -> dict[str, Any] | None:
    """The effects with their bars."""
    if part is None:
        return None
    bars = draw_bars([effect["mean_abs"] for effect in part["effects"]])
    rows = [{**effect, "bar": bar} for effect, bar in zip(part["effects"], bars, strict=True)]
    return {**part, "rows": rows}


def _dependences(part: Facts | None) -> list[dict[str, Any]]:
    if part is None:
        return []
    return [{**drawn, "figure": draw_dependence(drawn, part["outputs"])} for drawn in part["columns"]]
