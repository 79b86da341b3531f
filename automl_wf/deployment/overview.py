"""The first screen of a report: whether the model can be trusted and where it is weak, each from a fact of a stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from automl_wf.core.criteria import MET, NOT_MET, UNDECIDED
from automl_wf.evaluation.shift import SHIFTED

Facts = Mapping[str, Any]
State = Literal["good", "doubt", "bad", "open"]

#: Share of the bins of a calibration whose interval must hold what was said: nineteen in twenty would by chance alone.
CALIBRATED = 0.8
#: What is promised of prediction intervals where their coverage is shown.
PROMISED = 0.95
#: Weak spots shown; the sections tell the rest.
MAX_SLICES, MAX_CONFUSIONS = 2, 2


def arrange_overview(facts: Facts, score: Facts | None) -> dict[str, Any]:
    """What the template `report/overview` uses.

    Parameters
    ----------
    facts : mapping
        Those of the card.
    score : mapping or None
        The score that the page leads with.

    Returns
    -------
    dict
        "checks" by name, each with its state, and "weak", the weak spots by kind.
    """
    evaluation = facts["evaluation"]
    checks = {
        "baseline": _against_baseline(score),
        "correction": _corrected(score),
        "calibration": _calibration(evaluation.get("calibration")),
        "coverage": _coverage(evaluation.get("coverage")),
        "shift": _shift(evaluation.get("shift")),
        "criteria": _criteria(evaluation.get("criteria") or ()),
        "findings": _findings(facts["findings"]),
    }
    return {"checks": {k: v for k, v in checks.items() if v is not None}, "weak": weak_spots(evaluation)}


def _against_baseline(score: Facts | None) -> dict[str, Any] | None:
    """Whether the whole interval is on the better side of the baseline."""
    if score is None or score["baseline"] is None:
        return None
    worst = score["low"] if score["rises"] else score["high"]
    if worst is None:
        return {"state": "open", "baseline": score["baseline"]}
    is_better = worst > score["baseline"] if score["rises"] else worst < score["baseline"]
    return {"state": "good" if is_better else "bad", "baseline": score["baseline"]}


def _corrected(score: Facts | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"state": "good" if score["is_corrected"] else "doubt", "optimistic": score["optimistic"]}


def _calibration(part: Facts | None) -> dict[str, Any] | None:
    """In how many bins what was said lies within the interval of what happened."""
    if not part or not part["bins"]:
        return None
    n_within = sum(b["low"] <= b["predicted"] <= b["high"] for b in part["bins"])
    n_bins = len(part["bins"])
    state: State = "good" if n_within >= CALIBRATED * n_bins else "doubt"
    return {"state": state, "n_within": n_within, "n_bins": n_bins, "error": part["error"]}


def _coverage(part: Facts | None) -> dict[str, Any] | None:
    level = next((row for row in (part or {}).get("levels") or () if row["confidence"] == PROMISED), None)
    if part is None or level is None:
        return None
    return {"state": "good" if level["high"] >= PROMISED else "doubt", "of": part["of"], **level}


def _shift(part: Facts | None) -> dict[str, Any] | None:
    if not part or part["auc"] is None:
        return None
    is_shifted = part["auc"] >= SHIFTED and part["low"] is not None and part["low"] > 0.5
    columns = [row["column"] for row in part["columns"]]
    return {"state": "doubt" if is_shifted else "good", "auc": part["auc"], "columns": columns}


def _criteria(rows: Iterable[Facts]) -> dict[str, Any] | None:
    """The user's own criteria; the one that is always there, to beat the baseline, has its own line."""
    asked = [row for row in rows if row["name"] != "beats_baseline" and row["wanted"] is not None]
    if not asked:
        return None
    counts = {verdict: sum(row["verdict"] == verdict for row in asked) for verdict in (MET, NOT_MET, UNDECIDED)}
    state: State = "bad" if counts[NOT_MET] else "good" if counts[MET] == len(asked) else "doubt"
    return {"state": state, "n": len(asked), "n_met": counts[MET], "n_not_met": counts[NOT_MET]}


def _findings(rows: Sequence[Facts]) -> dict[str, Any]:
    counts = {severity: sum(row["severity"] == severity for row in rows) for severity in ("serious", "warning", "info")}
    state: State = "bad" if counts["serious"] else "doubt" if counts["warning"] else "good"
    return {"state": state, **counts}


def weak_spots(evaluation: Facts) -> dict[str, Any]:
    """The worst of what the diagnosis found.

    Parameters
    ----------
    evaluation : mapping
        Facts of stage 6.

    Returns
    -------
    dict
        "slices", "confusions", "error_bin", "robustness" and "queries"; empty or None where nothing is known.
    """
    errors, robustness = evaluation.get("errors") or {}, evaluation.get("robustness") or {}
    bins = [row for row in errors.get("by_prediction") or () if row["error"] is not None]
    drops = [row for row in robustness.get("points") or () if row["drop"] is not None and row["drop"] > 0]
    # The mildest level of each scenario: what may well happen
    mildest = list({row["scenario"]: row for row in reversed(drops)}.values())
    worst_drop = max(mildest, key=lambda row: row["drop"], default=None)
    return {
        "slices": ((evaluation.get("slices") or {}).get("rows") or [])[:MAX_SLICES],
        "confusions": (errors.get("confusions") or [])[:MAX_CONFUSIONS],
        "error_bin": max(bins, key=lambda row: row["error"], default=None),
        "robustness": None if worst_drop is None else {**worst_drop, "label": robustness["label"]},
        "queries": evaluation.get("queries") or None,
    }
