"""validation.json: what was checked of a model, on which rows, with which result and which versions.

A certificate in the sense of a record, not of a verdict: it says what was observed, and how far that can be repeated.
It is a pure function of the package's own files, so that `verify` makes it again and compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.deployment.card import against_baseline, can_select_again, plain
from automl_wf.deployment.evidence import Evidence

NAME = "validation.json"
#: The arrays of evidence.npz that say which rows were judged, and what was said of them.
_HASHED = ("row", "fold", "y", "prediction", "baseline", "weight", "group")


def certify(evidence: Evidence) -> dict[str, Any]:
    """The content of validation.json.

    Parameters
    ----------
    evidence : Evidence
        The package, with metadata.json and evidence.npz written.

    Returns
    -------
    dict
        "model", "rows" (numbers and SHA-256 of positions, folds, targets and predictions), "versions" and "checks":
        a list of {"name", "result", "facts", "repeatable"}, the latter "exact" (computed from the evidence here, and
        again by `verify`) or "once" (measured during `fit`, or by `export`).
    """
    facts, rows = evidence.facts, evidence.scored
    stated = facts["evaluation"]
    content: dict[str, Any] = plain(
        {
            "format": 1,
            "model": {key: facts[key] for key in ("name", "version", "created", "task", "target", "seed")},
            "rows": {
                "n_held_out": len(rows["y"]),
                "n_folds": len(np.unique(rows["fold"])),
                "on": stated.get("on", ""),
                "training_table_sha256": facts["data"].get("fingerprint"),
                "sha256": {name: digest(rows[name]) for name in _HASHED if name in rows},
            },
            "versions": facts["environment"],
            "checks": [*_exact(evidence), *_once(facts)],
        }
    )
    return content


def digest(values: NDArray[Any]) -> str:
    """SHA-256 of an array's shape and cells, the same on every machine.

    Parameters
    ----------
    values : ndarray
        Numbers or text.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if values.dtype.kind == "f":
        # One NaN and one zero, so that equal cells have equal bytes
        cells = np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes()
    elif values.dtype.kind in "iub":
        cells = values.astype("<i8").tobytes()
    else:
        cells = "\0".join(map(str, values.ravel().tolist())).encode(errors="surrogatepass")
    return hashlib.sha256(f"{values.shape};".encode() + cells).hexdigest()


def _check(name: str, result: str, facts: Any, repeatable: str) -> dict[str, Any]:
    return {"name": name, "result": result, "facts": facts, "repeatable": repeatable}


def _exact(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """What follows from out-of-fold predictions, computed here."""
    evaluation, stated = evidence.evaluation, evidence.facts["evaluation"]
    # A scorer of the user's own cannot be called again: what it said is on record.
    again = {row["name"]: row for row in evaluation["scores"]}
    for row in stated["scores"]:
        if row["is_primary"]:
            known = again.get(row["name"])
            facts, repeatable = (row, "once") if known is None else (known, "exact")
            yield _check("score on held-out rows", against_baseline(facts), facts, repeatable)
    coverage = evaluation.get("coverage") if stated.get("coverage") else None
    if coverage:
        for level in coverage["levels"]:
            is_below = level["high"] < level["confidence"]
            result = "below what is promised" if is_below else "as promised, within its interval or above"
            yield _check(f"coverage at {level['confidence']:.0%}", result, level, "exact")
    else:
        yield _check("coverage", "not run", None, "exact")
    if stated.get("honest") and can_select_again(evidence.facts):
        yield _honest(evidence.honest, "exact")


def _honest(found: Mapping[str, Any], repeatable: str) -> dict[str, Any]:
    result = "measured" if found["value"] is not None else "not run: too few rows or too little time"
    return _check("score corrected for the choice among many", result, found, repeatable)


def _once(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What needed the rows' cells or the fold models; recorded in metadata.json."""
    evaluation = facts["evaluation"]
    honest = evaluation.get("honest")
    if honest and not can_select_again(facts):
        yield _honest(honest, "once")
    parity = facts["graph"]["parity"]
    yield _check("graph equals predict", "equal" if parity else f"no graph: {facts['graph']['reason']}", parity, "once")
    for name in ("slices", "robustness", "stability", "learning_curve", "groups"):
        found = evaluation.get(name)
        if found:
            yield _check(name.replace("_", " "), _result(name, found), found, "once")
    findings = [{key: f.get(key) for key in ("code", "severity", "columns")} for f in facts["findings"]]
    serious = sum(f["severity"] == "serious" for f in findings)
    yield _check("checks of data and run", f"{len(findings)} findings, {serious} of them serious", findings, "once")


def _result(name: str, found: Mapping[str, Any]) -> str:
    if found["status"] != "measured":
        return str(found["status"])
    if name == "slices":
        return f"{len(found['rows'])} slices with larger errors confirmed, of {found['n_tested']} tested"
    if name == "learning_curve":
        return found["verdict"] or "measured"
    return "measured"
