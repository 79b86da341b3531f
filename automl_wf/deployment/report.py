"""One self-contained HTML page about a fit: facts are arranged here, worded in `templates/report.html.jinja`."""

from __future__ import annotations

import math
import os
import secrets
import stat
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from automl_wf.deployment.card import CLOCKS, facts_of
from automl_wf.deployment.explanations import arrange_explanations
from automl_wf.deployment.failures import arrange_failures
from automl_wf.deployment.figures import (
    draw_bars,
    draw_calibration,
    draw_curves,
    draw_histogram,
    draw_quantiles,
    draw_residuals,
    draw_strip,
)
from automl_wf.deployment.lookback import arrange_search
from automl_wf.deployment.overview import arrange_overview
from automl_wf.deployment.recipe import recipe
from automl_wf.deployment.render import percent, render, template_root
from automl_wf.deployment.rows import arrange_rows
from automl_wf.deployment.subject import Subject
from automl_wf.deployment.threshold_slider import arrange_thresholds
from automl_wf.deployment.value import arrange_value
from automl_wf.exceptions import PackageError, PackageExists

Facts = Mapping[str, Any]

#: Longer texts are cut: a page holds names and reasons, not documents.
MAX_TEXT = 300
#: Rows of the tables; a page says how many it leaves out.
MAX_COLUMNS, MAX_TRIALS, MAX_IMPORTANCES, MAX_FINDINGS, MAX_CLASSES = 200, 150, 25, 60, 15
#: Rows that are open at once.
N_OPEN_FINDINGS, N_OPEN_TRIALS = 8, 15
_GRAVITY = ("serious", "warning", "info")


def write_report(
    subject: Subject, path: str | os.PathLike[str], *, facts: Facts | None = None, include_samples: bool = False
) -> Path:
    """Write one page about a fit that needs nothing but itself and asks nobody for anything.

    Parameters
    ----------
    subject : Subject
        What the page is about.
    path : path-like
        File to write; folders above it are made, and a regular file there is replaced.
    facts : mapping, optional
        Facts of the card, where they are known already. None: those of the fit alone.
    include_samples : bool, default=False
        Whether training rows may be shown.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    PackageExists
        There is something else than a regular file at `path`.
    PackageError
        The file cannot be written.
    """
    target = Path(path)
    page = render("report.html.jinja", arrange(subject, facts=facts, include_samples=include_samples))
    # Half a surrogate pair in a name has no UTF-8
    _replace(target, page.encode("utf-8", "replace"))
    return target


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename, so that there is never half a page."""
    try:
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise PackageExists(f"{path} is not a regular file and was left as it is. Give another path.")
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent / f".{secrets.token_hex(8)}.tmp"
        try:
            with beside.open("xb") as stream:
                stream.write(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except PackageExists:
        raise
    except OSError as error:
        raise PackageError(f"The report cannot be written: {error}") from error


def arrange(subject: Subject, *, facts: Facts | None = None, include_samples: bool = False) -> dict[str, Any]:
    """Everything the template uses, by name.

    Parameters
    ----------
    subject : Subject
        What the page is about.
    facts : mapping, optional
        Facts of the card; None: those of the fit alone.
    include_samples : bool, default=False
        Whether training rows may be shown.

    Returns
    -------
    dict
        Plain JSON types, and drawings of `figures`.
    """
    facts = facts_of(subject, {}, {}, {}) if facts is None else facts
    again = _again(subject, facts)
    facts = _shortened(facts)
    evaluation, problem = facts["evaluation"], facts["problem"]
    scores = evaluation.get("scores") or []
    primary = next((row for row in scores if row["is_primary"]), None)
    findings = sorted(facts["findings"], key=lambda finding: _GRAVITY.index(finding["severity"]))
    sign = -1.0 if primary is not None and not primary["greater_is_better"] else 1.0
    trials = _trials(facts["leaderboard"], sign)
    score = _score(primary, evaluation.get("honest"), sign)
    return {
        **_page(),
        "facts": facts,
        "task": facts["task"],
        "created": facts["created"][:16].replace("T", " "),
        "again": again,
        "overview": arrange_overview(facts, score),
        "score": score,
        "score_label": problem.get("scoring_label") or (primary["label"] if primary else problem.get("scoring", "")),
        "baseline": problem.get("baseline", ""),
        "evaluated_on": evaluation.get("on", ""),
        "findings": findings[:N_OPEN_FINDINGS],
        "more_findings": findings[N_OPEN_FINDINGS:MAX_FINDINGS],
        "n_findings_left_out": max(len(findings) - MAX_FINDINGS, 0),
        "scores": scores,
        "members": _members(facts["blend"]),
        "trials": trials,
        "n_open_trials": N_OPEN_TRIALS,
        "n_trials": len(facts["leaderboard"]),
        "n_trials_left_out": len(facts["leaderboard"]) - len(trials),
        "decisions": arrange_thresholds(evaluation.get("thresholds")),
        "confusion": _confusion(evaluation.get("confusion")),
        "roc": draw_curves(evaluation.get("roc") or (), has_diagonal=True),
        "pr": draw_curves(evaluation.get("pr") or (), has_diagonal=False),
        "calibration": draw_calibration(evaluation.get("calibration")),
        **_residuals(evaluation.get("residuals")),
        **_queries(evaluation.get("queries")),
        **arrange_value(evaluation),
        "failures": arrange_failures(evaluation),
        "importances": _importances(facts["interpretation"].get("importances") or ()),
        "why": arrange_explanations(facts["interpretation"]),
        "rows": arrange_rows(subject) if include_samples else None,
        "search": arrange_search(facts["analysis"], sign),
        "columns": _columns(facts),
        "timings": _timings(facts["timings"]),
        "resources": _resources(facts),
    }


def _page() -> dict[str, Any]:
    """Style and script, each with the hash by which the page's policy knows it."""
    from markupsafe import Markup

    parts = {"style": "style.css", "script": "script.js"}
    texts = {name: (template_root() / "report" / file).read_text(encoding="utf-8") for name, file in parts.items()}
    hashes = {f"{name}_hash": "sha256-" + _base64(sha256(text.encode()).digest()) for name, text in texts.items()}
    # Files of ours, in which no fact is: everything else is escaped
    return {name: Markup(text) for name, text in texts.items()} | hashes


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def _again(subject: Subject, facts: Facts) -> dict[str, Any]:
    """What to call for the same fit: the estimator with the parameters that are not at their defaults."""
    given = facts["call"] or {"groups": "group" in subject.evidence}
    extra = [f"{name}={name}" for name in ("groups", "sample_weight") if given.get(name)]
    return {
        "recipe": recipe(facts),
        "call": " ".join(repr(subject.estimator).split()),
        "arguments": ", ".join(["X", "y", *extra]),
        "seed_is_given": isinstance(subject.parameters.get("random_state"), int),
        "clocks": [name for name in CLOCKS if subject.parameters.get(name) is not None],
    }


def _shortened(value: Any) -> Any:
    """The same with long texts cut, keys too."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
    if isinstance(value, dict):
        return {_shortened(k): _shortened(v) for k, v in value.items()}
    return [_shortened(v) for v in value] if isinstance(value, list) else value


def _score(primary: Facts | None, honest: Facts | None, sign: float) -> dict[str, Any] | None:
    """The score to lead with, in its natural form: corrected for the choice among many if that could be done."""
    if primary is None or primary["value"] is None:
        return None
    value, low, high, optimistic, confidence = primary["value"], primary["low"], primary["high"], None, 0.95
    is_corrected = honest is not None and honest["value"] is not None
    if honest is not None and honest["value"] is not None:
        value, confidence = sign * honest["value"], honest["confidence"]
        low, high = sorted(sign * end for end in honest["interval"])
        optimistic = None if honest["best_of_n"] is None else sign * honest["best_of_n"]
    return {
        "value": value,
        "low": low,
        "high": high,
        "confidence": percent(confidence),
        "baseline": primary["baseline"],
        "optimistic": optimistic,
        "is_corrected": is_corrected,
        "rises": sign > 0,
        "strip": draw_strip(value, primary["baseline"], low, high, optimistic),
    }


def _members(blend: Facts) -> list[dict[str, Any]]:
    members = sorted(blend.get("members") or (), key=lambda m: -m["weight"])
    bars = draw_bars([m["weight"] for m in members], at_least=1.0)
    return [
        {**m, "params": list((m.get("params") or {}).items())[:20], "share": percent(m["weight"]), "bar": bar}
        for m, bar in zip(members, bars, strict=True)
    ]


def _trials(leaderboard: Sequence[Facts], sign: float) -> list[dict[str, Any]]:
    """Rows of the leaderboard, the score in its natural form; the failed ones are kept where not all fit."""
    rows = list(leaderboard)
    if len(rows) > MAX_TRIALS:
        failed = [row for row in rows if row.get("status") == "failed"][: MAX_TRIALS // 3]
        rows = [row for row in rows if row.get("status") != "failed"][: MAX_TRIALS - len(failed)] + failed
    keys = ("rank", "source", "status", "weight", "fit_time_s", "predict_time_ms")
    return [
        {
            **{key: row.get(key) for key in keys},
            "model": row.get("model", row.get("name", "")),
            "reason": row.get("reason") or "",
            "score": None if row.get("score") is None else sign * row["score"],
            "spread": row.get("score_std"),
        }
        for row in rows
    ]


def _confusion(facts: Facts | None) -> dict[str, Any] | None:
    """Counts with the share of their row, in tenths how dark they are; of many classes, what is confused most."""
    if not facts:
        return None
    classes, counts = facts["classes"], facts["counts"]
    rows = [
        {
            "label": label,
            "cells": [{"count": n, "share": percent(n / total), "shade": math.ceil(10 * n / total)} for n in of_class],
        }
        for label, of_class in zip(classes, counts, strict=True)
        if (total := sum(of_class) or 1.0)
    ]
    errors = [
        {"true": classes[i], "said": classes[j], "count": n, "share": percent(n / (sum(of_class) or 1.0))}
        for i, of_class in enumerate(counts)
        for j, n in enumerate(of_class)
        if i != j and n > 0
    ]
    errors.sort(key=lambda error: -error["count"])
    is_drawn = len(classes) <= MAX_CLASSES
    return {
        **facts,
        "rows": rows if is_drawn else [],
        "is_drawn": is_drawn,
        "is_wide": len(classes) > 5,
        "errors": errors[:20],
    }


def _residuals(facts: Facts | None) -> dict[str, Any]:
    if not facts:
        return {"residuals": None, "residual_bins": None, "residual_quantiles": None}
    return {
        "residuals": facts,
        "residual_bins": draw_residuals(facts["by_prediction"]),
        "residual_quantiles": draw_quantiles(facts["qq"]),
    }


def _queries(facts: Facts | None) -> dict[str, Any]:
    return {
        "queries": facts or None,
        "query_histogram": draw_histogram(facts["ndcg_histogram"]) if facts else None,
    }


def _importances(rows: Sequence[Facts]) -> dict[str, Any]:
    """The largest, with bars; those not run are counted."""
    measured = [row for row in rows if row["mean"] is not None]
    top = measured[:MAX_IMPORTANCES]
    bars = draw_bars([row["mean"] for row in top], [(row["low"], row["high"]) for row in top])
    return {
        "rows": [{**row, "bar": bar} for row, bar in zip(top, bars, strict=True)],
        "n_measured": len(measured),
        "n_not_run": len(rows) - len(measured),
    }


def _columns(facts: Facts) -> list[dict[str, Any]]:
    """The input columns in their order, or of very many the ones that matter most."""
    order = {row["column"]: i for i, row in enumerate(facts["interpretation"].get("importances") or ())}
    columns = facts["columns"]
    if len(columns) > MAX_COLUMNS:
        columns = sorted(columns, key=lambda c: order.get(c["name"], len(order)))[:MAX_COLUMNS]
    n_rows = facts["n_rows"] or 1
    return [
        {
            **column,
            "missing": percent(column["n_missing"] / n_rows) if column["n_missing"] else "",
            "ends": [_end(column["minimum"], column["edge"]), _end(column["maximum"], column["edge"])]
            if column["minimum"] is not None
            else None,
        }
        for column in columns
    ]


def _end(value: float, edge: str) -> Any:
    """An end of a column's range; times are dates for people."""
    if edge != "int64":
        return value
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).strftime("%Y-%m-%d")
    except OverflowError:
        return value


def _resources(facts: Facts) -> dict[str, Any] | None:
    """What the fit used, and what its graph takes where that is known."""
    used, measured = facts["resources"], facts["measured"]
    if not used:
        return None
    peak, size = used["peak_memory_bytes"], (measured.get("sizes") or {}).get("model.onnx")
    one_row = (measured.get("latency") or {}).get("one_row_p50_s")
    return {
        "seconds": facts["search"]["seconds"],
        **{key: used[key] for key in ("cpu_seconds", "n_threads")},
        "peak_mb": None if peak is None else peak / 1e6,
        "graph_mb": None if size is None else size / 1e6,
        "one_row_ms": None if one_row is None else one_row * 1e3,
        "parity": (facts["graph"].get("parity") or {}).get("largest_difference"),
    }


def _timings(timings: Facts) -> list[dict[str, Any]]:
    stages = [(name, seconds) for name, seconds in timings.items() if name != "total"]
    bars = draw_bars([seconds for _, seconds in stages])
    return [
        {"stage": name.replace("_", " "), "seconds": seconds, "bar": bar}
        for (name, seconds), bar in zip(stages, bars, strict=True)
    ]
