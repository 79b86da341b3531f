"""What the search teaches, arranged for the report: drawings of history and training, bars of what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_wf.deployment.figures import draw_bars, draw_search, draw_training

Facts = Mapping[str, Any]


def arrange_search(facts: Facts, sign: float) -> dict[str, Any] | None:
    """What the template `report/search` uses.

    Parameters
    ----------
    facts : mapping
        `SearchAnalysis`, in plain types.
    sign : float
        -1 where the natural form of the score is a loss.

    Returns
    -------
    dict or None
        Drawings and rows, scores in their natural form; None where there was no search.
    """
    if not facts:
        return None
    bars = draw_bars([row["share"] for row in facts["models"]], at_least=1.0)
    return {
        "history": draw_search(facts["history"], sign),
        "models": [
            {
                **row,
                "bar": bar,
                **{key: None if row[key] is None else sign * row[key] for key in ("first", "best")},
            }
            for row, bar in zip(facts["models"], bars, strict=True)
        ],
        "importances": [_importance(row) for row in facts["importances"]],
        "trainings": [{**row, "figure": draw_training(row)} for row in facts["histories"]],
    }


def _importance(part: Facts) -> dict[str, Any]:
    effects: Sequence[Facts] = part["effects"]
    ends = [(max(row["share"] - row["spread"], 0.0), min(row["share"] + row["spread"], 1.0)) for row in effects]
    bars = draw_bars([row["share"] for row in effects], ends, at_least=1.0)
    return {**part, "effects": [{**row, "bar": bar} for row, bar in zip(effects, bars, strict=True)]}
