"""Facts → the model card's content, in plain JSON types.

`facts_of` gathers what the stages found (it becomes model/metadata.json), `build_card` arranges it in the sections of a
model card (it becomes docs/card.json), `render_card` writes docs/model_card.md from nothing but that. Because each step
is a pure function of the one before, `verify` can take it again and compare.

Every field says where its value comes from, and how far it can be computed again:

exact
    from model/evidence.npz or from the package's own files, to the last digit
data
    from the training data, if they are handed over: by counting, or by fitting again where a fit repeats bit by bit
tolerance
    a record of the run that is measured again on the machine that verifies, so only its size is compared
once
    a record of the run: times, versions, memory, dates, and what hung on the clock or on functions of the user's;
    compared with what metadata.json recorded

Single figures of a field may be records although the field is not: "records" of its evidence holds their patterns.

References
----------
M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from automl_wf.core.criteria import Criterion, judge
from automl_wf.core.metrics import METRICS, scoring_names
from automl_wf.core.tasks import Task
from automl_wf.deployment.explanations import in_card
from automl_wf.deployment.recipe import recipe
from automl_wf.deployment.render import NEEDED, natural, render
from automl_wf.deployment.subject import Subject
from automl_wf.evaluation.held_out import NO_TIME
from automl_wf.exceptions import InvalidParameter

Check = Literal["exact", "tolerance", "data", "once"]
Field = dict[str, Any]
Section = dict[str, Field]

OWNER_FIELDS = (
    "owner", "contact", "licence", "objectives", "purpose", "users", "out_of_scope_uses", "data_source", "consent",
    "sensitive_columns", "error_costs", "human_oversight", "retraining_owner", "timeline",
)  # fmt: skip
_ALIASES = {"license": "licence", "out_of_scope": "out_of_scope_uses"}
#: Parts of an evaluation that follow from out-of-fold predictions alone.
_COMPUTED_AGAIN = {
    "resampling", "confusion", "report", "roc", "pr", "calibration", "thresholds", "residuals", "queries",
}  # fmt: skip
#: Parts of the business value that need columns of X.
_OF_COLUMNS = {"exposure", "click_through_rate", "conversion_impact", "user_satisfaction"}
#: What the scores of a part of the stability are: the rest needs the fold models.
FOLD_SCORES = ("label", "fold_scores", "mean", "std")
#: Parameters by which the clock takes part in a fit.
CLOCKS = ("time_budget", "max_predict_time")
#: Shown only where they are known.
_OPTIONAL = {"call", "stages", "resources"}
#: What a trial took, and which trials nothing beats in both score and time.
_TIMES = ("*.fit_time_s", "*.predict_time_ms", "*.on_pareto_front")
#: Licences by the names that the Hugging Face hub knows; any other one is "other", with its name beside it.
_HUB_LICENCES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc", "cc-by-2.0",
    "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc0-1.0", "ecl-2.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1",
    "lgpl-3.0", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "openrail", "osl-3.0", "pddl", "postgresql", "unlicense",
    "wtfpl", "zlib",
}  # fmt: skip
_PIPELINES = {"classification": "tabular-classification", "regression": "tabular-regression"}


def plain(value: Any) -> Any:
    """The same in JSON types: NaN becomes None, infinity "inf", keys text.

    Parameters
    ----------
    value : object
        Nested mappings, sequences, arrays and scalars.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None.
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(v) for v in value]
    if isinstance(value, (np.bool_, np.integer)):
        return value.item()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else None if math.isnan(number) else str(number)
    return str(value)


def owner_info(*sources: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the owner said, later sources over earlier ones.

    Parameters
    ----------
    *sources : mapping or None
        Text by name of field; "license" is read as "licence".

    Returns
    -------
    dict
        Only what is not empty.

    Raises
    ------
    InvalidParameter
        A name is not one of the card's.
    """
    info: dict[str, Any] = {}
    for source in sources:
        for key, value in (source or {}).items():
            name = _ALIASES.get(str(key), str(key))
            if name not in OWNER_FIELDS:
                raise InvalidParameter(
                    f"The 'info' parameter of export must be a mapping with keys among {', '.join(OWNER_FIELDS)}. "
                    f"Got {key!r} instead."
                )
            if value not in (None, "", [], {}):
                info[name] = plain(value)
    return info


def facts_of(subject: Subject, info: Mapping[str, Any], graph: Mapping[str, Any], measured: Mapping[str, Any]) -> Any:
    """Everything the card is made from, in plain JSON types.

    Parameters
    ----------
    subject : Subject
        What is packaged.
    info : mapping
        What the owner said (`owner_info`).
    graph : mapping
        "exists", "reason", "parity" and size of the ONNX graph.
    measured : mapping
        "sizes", "latency", "memory" and "samples", measured while the package was written.

    Returns
    -------
    dict
        The content of model/metadata.json.
    """
    schema = subject.schema
    columns = [{**vars(c), "kind": c.kind.value, "edge": c.edge} for c in schema.columns]
    stages = (
        "problem",
        "data",
        "search",
        "analysis",
        "blend",
        "evaluation",
        "interpretation",
        "timings",
        "environment",
        "resources",
    )
    rows = ("features", "leaderboard", "decisions", "findings", "stages")
    return plain(
        {
            "format": 1,
            "name": subject.name,
            "version": subject.version,
            "created": subject.created,
            "task": subject.task.value,
            "target": subject.target_name,
            "classes": subject.classes,
            "class_dtype": None if subject.classes is None else subject.classes.dtype.str,
            "pos_index": subject.pos_index,
            "threshold": subject.threshold,
            "decision_costs": subject.decision_costs,
            "on_unknown": subject.on_unknown,
            "seed": subject.seed,
            "layout": schema.layout,
            "n_rows": schema.n_rows,
            "columns": columns,
            "n_levels": sum(len(levels) for levels in subject.categories.values()),
            "parameters": subject.parameters,
            "call": subject.call,
            "arrays": sorted(name for name, values in subject.evidence.items() if values is not None),
            "limits": subject.limits,
            **{name: getattr(subject, name) for name in (*stages, *rows)},
            "info": info,
            "graph": graph,
            "measured": measured,
        }
    )


def build_card(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange facts in the sections of the card.

    Parameters
    ----------
    facts : mapping
        The content of metadata.json.

    Returns
    -------
    dict
        The content of card.json: "name", "completeness", "front_matter" and "sections", a mapping of section to
        fields, each {"value", "source", "check", "evidence"}.
    """
    sections = {name: section(facts) for name, section in SECTIONS.items()}
    return {
        "format": 1,
        "name": facts["name"],
        "version": facts["version"],
        "task": facts["task"],
        "completeness": completeness(sections),
        "front_matter": _front_matter(facts),
        "sections": sections,
    }


def render_card(card: Mapping[str, Any]) -> str:
    """The Markdown page of a card; nothing but `card` decides what it says."""
    return render("model_card.md.jinja", {"card": card, "names": list(card["sections"])})


def render_problem_statement(card: Mapping[str, Any]) -> str:
    """The problem as it was stated: the Markdown page of stage 1; nothing but `card` decides what it says."""
    return render("problem_statement.md.jinja", {"card": card})


#: Pages that are made from card.json and nothing else.
PAGES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "docs/model_card.md": render_card,
    "docs/problem_statement.md": render_problem_statement,
}


def completeness(sections: Mapping[str, Section]) -> dict[str, int]:
    """How many fields are filled, and by whom."""
    sources = [field["source"] for fields in sections.values() for field in fields.values()]
    counts = {"measured": sources.count("measured"), "by_owner": sources.count("by owner")}
    return {
        "fields": len(sources),
        "filled": counts["measured"] + counts["by_owner"],
        **counts,
        "missing": sources.count("unfilled"),
    }


def _measured(value: Any, check: Check, **evidence: Any) -> Field:
    if value is None or value == {}:
        return {"value": "not run", "source": "unfilled", "check": check, "evidence": evidence}
    return {"value": value, "source": "measured", "check": check, "evidence": evidence}


def _recorded(facts: Mapping[str, Any], *path: str) -> Field:
    value: Any = facts
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return _measured(value, "once", recorded="/".join(path))


def _from_fit(facts: Mapping[str, Any], *path: str, records: tuple[str, ...] = ()) -> Field:
    """What only a fit finds out: computed again by another one where that repeats bit by bit, else a record."""
    field = _recorded(facts, *path)
    if obstacle(facts) is not None:
        return field
    evidence = {"compute": "fit", **field["evidence"], **({"records": list(records)} if records else {})}
    return {**field, "check": "data", "evidence": evidence}


def _selected(facts: Mapping[str, Any], name: str, *path: str) -> Field:
    """What follows from the out-of-fold predictions of all configurations; as `_from_fit` where they are not kept."""
    if not can_select_again(facts):
        return _from_fit(facts, *path)
    return {**_recorded(facts, *path), "check": "exact", "evidence": {"compute": name}}


def obstacle(facts: Mapping[str, Any]) -> str | None:
    """Why another fit on the same rows would not give the same model bit by bit.

    Parameters
    ----------
    facts : mapping
        The content of metadata.json.

    Returns
    -------
    str or None
        In words; None: it would.
    """
    call, parameters = facts["call"], facts["parameters"]
    if not call:
        return "it is not recorded how fit was called"
    clocks = [name for name in CLOCKS if parameters.get(name) is not None]
    if clocks:
        return f"the clock had a part in it ({', '.join(clocks)})"
    if call["not_literal"]:
        return f"the package does not hold the objects given as {', '.join(call['not_literal'])}"
    if not isinstance(parameters.get("random_state"), int):
        return "no random_state was given"
    if call["sample_weight"]:
        return "the sample weights are not in the package"
    if call["groups"] and facts["measured"].get("n_scored", facts["n_rows"]) < facts["n_rows"]:
        return "the groups of rows that were never held out are not in the package"
    return None


def can_select_again(facts: Mapping[str, Any]) -> bool:
    """Whether the package holds what the choice among many was made from: predictions, and a metric with a name."""
    return {"members", "candidates"} <= set(facts["arrays"]) and is_named(facts)


def is_named(facts: Mapping[str, Any]) -> bool:
    """Whether what was optimised is a metric that the package can name: no function of the user's own."""
    optimised = (facts["problem"].get("business") or {}).get("optimise")
    if optimised is not None or "scoring" in facts["call"].get("not_literal", ()):
        return bool(optimised == "cost")
    return facts["problem"].get("scoring") in scoring_names(Task(facts["task"]))


def is_computable(facts: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row of the scores follows from predictions alone: all but those of functions of the user's own."""
    return row["name"] in METRICS or row["name"] == "cost" or (row["is_primary"] and is_named(facts))


def expected_score(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the model will score on new rows, in the natural form of the metric, beside the baseline.

    Parameters
    ----------
    evaluation : mapping
        `Evaluation.to_dict()`.

    Returns
    -------
    dict or None
        "name", "label", "greater_is_better", "value", "low", "high", "baseline", "best_of_n" (before the correction),
        "is_corrected" (for the choice among many) and "verdict"; None without scores.
    """
    row = next((row for row in evaluation.get("scores") or () if row["is_primary"]), None)
    if row is None:
        return None
    found = {name: row[name] for name in ("name", "label", "greater_is_better", "value", "low", "high", "baseline")}
    honest = evaluation.get("honest") or {}
    is_corrected = honest.get("value") is not None and honest.get("interval") is not None
    if is_corrected:
        sign = 1.0 if row["greater_is_better"] else -1.0
        low, high = sorted(sign * end + 0.0 for end in honest["interval"])
        found |= {"value": sign * honest["value"] + 0.0, "low": low, "high": high}
    best_of_n = natural(honest.get("best_of_n"), row["greater_is_better"])
    return {**found, "best_of_n": best_of_n, "is_corrected": is_corrected, "verdict": against_baseline(found)}


def against_baseline(row: Mapping[str, Any]) -> str:
    """Whether an interval ("low" to "high") lies beyond the baseline, in words."""
    baseline, low, high = row["baseline"], row["low"], row["high"]
    if baseline is None or low is None or high is None:
        return "not compared with the baseline"
    sign = 1.0 if row["greater_is_better"] else -1.0
    worst, best = sorted((sign * low, sign * high))
    if worst > sign * baseline:
        return "better than the baseline"
    return "not better than the baseline" if best < sign * baseline else "undecided at this number of rows"


def _configured(facts: Mapping[str, Any], key: str) -> Field:
    return _measured(facts[key], "exact", compute="config", key=key)


def _owner(facts: Mapping[str, Any], name: str) -> Field:
    value, source = (facts["info"][name], "by owner") if name in facts["info"] else (NEEDED, "unfilled")
    return {"value": value, "source": source, "check": "once", "evidence": {"info": name}}


def _summary(facts: Mapping[str, Any]) -> Section:
    """What somebody with a minute wants to know first."""
    evaluation = facts["evaluation"]
    expected = _measured(expected_score(evaluation), "exact", compute="expected_score")
    is_exact = can_select_again(facts) if evaluation.get("honest") else is_named(facts)
    if not is_exact:
        expected |= {
            key: value for key, value in _from_fit(facts, "evaluation").items() if key in ("check", "evidence")
        }
    reason = obstacle(facts)
    return {
        "expected_score": expected,
        "repeats": _measured({"is_exact": reason is None, "reason": reason}, "exact", compute="repeats"),
    }


def _model_details(facts: Mapping[str, Any]) -> Section:
    section = {
        "owner": _owner(facts, "owner"),
        "contact": _owner(facts, "contact"),
        "licence": _owner(facts, "licence"),
        "created": _recorded(facts, "created"),
        "task": _configured(facts, "task"),
        "target": _from_fit(facts, "target"),
        "members": _from_fit(facts, "blend", "members"),
        "weights": _measured(facts["measured"].get("weights"), "exact", compute="weights"),
        "strategy": _from_fit(facts, "blend", "strategy"),
        "temperature": _selected(facts, "temperature", "blend", "temperature"),
    }
    if facts["classes"] is None:
        del section["temperature"]
        return section
    section["classes"] = _configured(facts, "classes")
    if facts.get("decision_costs") is not None:
        section["decision_costs"] = _configured(facts, "decision_costs")
    if facts["threshold"] is not None:
        section["threshold"] = _configured(facts, "threshold")
    return section


def _intended_use(facts: Mapping[str, Any]) -> Section:
    names = ("objectives", "purpose", "users", "out_of_scope_uses", "human_oversight", "timeline")
    return {name: _owner(facts, name) for name in names}


def _factors(facts: Mapping[str, Any]) -> Section:
    keys = ("name", "kind", "dtype", "n_missing", "n_unique", "is_used", "reason")
    columns = [{key: column[key] for key in keys} for column in facts["columns"]]
    section = {
        "sensitive_columns": _owner(facts, "sensitive_columns"),
        "columns": _measured(columns, "data", compute="columns"),
    }
    if facts["evaluation"].get("groups"):
        section["groups"] = _with_rows(facts, "groups")
    return section


def _with_rows(facts: Mapping[str, Any], name: str) -> Field:
    """A part of the evaluation that needs the cells of the held-out rows, but no model."""
    field = _recorded(facts, "evaluation", name)
    if field["value"]["status"] == NO_TIME or "row" not in facts["arrays"] or not is_named(facts):
        return field
    return {**field, "check": "data", "evidence": {"compute": name}}


def _metrics(facts: Mapping[str, Any]) -> Section:
    scoring = _from_fit(facts, "problem", "scoring")
    if is_named(facts):
        scoring = {**scoring, "check": "exact", "evidence": {"compute": "scoring"}}
    section = {"error_costs": _owner(facts, "error_costs"), "scoring": scoring}
    if "baseline" in facts["problem"]:
        section["baseline"] = _from_fit(facts, "problem", "baseline")
    criteria = _criteria(facts)
    if criteria:
        section["criteria"] = criteria
    if facts["problem"].get("constraints"):
        section["constraints"] = _recorded(facts, "problem", "constraints")
    if "business" in facts["problem"]:
        section["business"] = _from_fit(facts, "problem", "business")
    return section


def _criteria(facts: Mapping[str, Any]) -> Field | None:
    """What is asked of the model, judged: limits by what was measured while the package was written."""
    rows = judged_criteria(facts, facts["evaluation"])
    if not rows:
        return None
    records = [f"*[[]{name}]{end}" for name in ("max_predict_time", "max_memory") for end in (".measured", ".verdict")]
    field = _measured(rows, "exact", compute="criteria", records=records)
    is_exact = can_select_again(facts) if facts["evaluation"].get("honest") else is_named(facts)
    return field if is_exact else {**field, "check": "once", "evidence": {"recorded": "evaluation/criteria"}}


def judged_criteria(facts: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[Any]:
    """Each criterion with its verdict.

    Parameters
    ----------
    facts : mapping
        The content of metadata.json: limits are judged by its "measured".
    evaluation : mapping
        `Evaluation.to_dict()`, by whose scores those of the model are judged.

    Returns
    -------
    list of dict
        One per criterion.
    """
    measured, expected = facts["measured"], expected_score(evaluation) or {}
    figures = {
        "max_size": (measured.get("sizes") or {}).get("model.onnx"),
        "max_predict_time": (measured.get("latency") or {}).get("one_row_p95_s"),
        "max_memory": (measured.get("memory") or {}).get("peak_bytes"),
    }
    judged = []
    for row in facts["evaluation"].get("criteria") or ():
        criterion, figure = Criterion(**row), figures.get(row["name"])
        if criterion.is_of_score:
            wanted = expected["baseline"] if criterion.name == "beats_baseline" else criterion.wanted
            low, high = expected["low"], expected["high"]
            interval = None if low is None or high is None else (low, high)
            criterion = judge(replace(criterion, wanted=wanted), expected["value"], interval)
        elif figure is not None:
            criterion = judge(criterion, figure)
        judged.append(plain(vars(criterion)))
    return judged


def _evaluation_data(facts: Mapping[str, Any]) -> Section:
    section = {
        "n_scored": _measured(facts["measured"].get("n_scored"), "exact", compute="n_scored"),
        "n_folds": _measured(facts["measured"].get("n_folds"), "exact", compute="n_folds"),
        "folds": _from_fit(facts, "data", "folds"),
        "target_values": _measured(facts["measured"].get("target"), "exact", compute="target"),
    }
    if facts["evaluation"].get("shift"):
        section["shift"] = _from_fit(facts, "evaluation", "shift")
        for name in ("columns", "moved"):
            if facts["evaluation"]["shift"][name]:
                section[f"shift_{name}"] = _from_fit(facts, "evaluation", "shift", name)
    if "test" in facts["evaluation"]:
        section["test"] = _recorded(facts, "evaluation", "test")
    return section


def _training_data(facts: Mapping[str, Any]) -> Section:
    return {
        "data_source": _owner(facts, "data_source"),
        "consent": _owner(facts, "consent"),
        "n_rows": _measured(facts["n_rows"], "data", compute="n_rows"),
        "n_columns": _measured(len(facts["columns"]), "exact", compute="n_columns"),
        "fingerprint": _measured(facts["data"].get("fingerprint"), "data", compute="fingerprint"),
        **_fingerprints(facts),
        "n_levels": _measured(facts["n_levels"], "exact", compute="n_levels"),
        "samples": _measured(facts["measured"].get("samples"), "exact", compute="samples"),
    }


def _fingerprints(facts: Mapping[str, Any]) -> Section:
    """What else of the data is told by hashes: rows in any order, target, names and types."""
    hashes = facts["problem"].get("fingerprint", {})
    return {
        "fingerprint_any_order": _measured(hashes.get("any_order"), "data", compute="fingerprint_any_order"),
        "fingerprint_target": _measured(hashes.get("target"), "data", compute="fingerprint_target"),
        "fingerprint_types": _measured(hashes.get("types"), "exact", compute="fingerprint_types"),
        **_row_hashes(facts),
    }


def _row_hashes(facts: Mapping[str, Any]) -> Section:
    """Hashes of rows that were kept: they are those in the package, and those of the training table."""
    kept = facts["measured"].get("row_hashes")
    if not kept:
        return {}
    return {
        "row_hashes": _measured(kept, "exact", compute="row_hashes"),
        "fingerprint_row_hashes": _measured(kept["sha256"], "data", compute="fingerprint_row_hashes"),
    }


def _quantitative_analyses(facts: Mapping[str, Any]) -> Section:
    evaluation = facts["evaluation"]
    scores = evaluation.get("scores") or []
    section = {
        "honest": _selected(facts, "honest", "evaluation", "honest"),
        "scores": _measured([row for row in scores if is_computable(facts, row)] or None, "exact", compute="scores"),
    }
    own = [row for row in scores if not is_computable(facts, row)]
    if own:
        section["own_scores"] = _measured(own, "once", recorded="evaluation/scores")
    for key, value in evaluation.items():
        if key in _COMPUTED_AGAIN and value not in (None, [], {}):
            section[key] = _measured(value, "exact", compute="evaluation", key=key)
    if facts["blend"].get("prediction_intervals"):
        widths = facts["blend"]["prediction_intervals"]
        section["prediction_intervals"] = _measured(widths, "exact", compute="prediction_intervals")
    return section


def _why_it_predicts(facts: Mapping[str, Any]) -> Section:
    interpretation = facts["interpretation"]
    parts = {key: value for key, value in interpretation.items() if isinstance(value, (list, Mapping)) and value}
    section = {key: _from_fit(facts, "interpretation", key) for key in parts}
    if "insights" in section:
        section["insights"] = _measured(in_card(interpretation["insights"]), "exact", compute="insights")
    settings = {k: v for k, v in interpretation.items() if not isinstance(v, (list, Mapping, type(None)))}
    section["settings"] = {**_from_fit(facts, "interpretation"), "value": settings}
    return section


def _where_it_fails(facts: Mapping[str, Any]) -> Section:
    """What follows from out-of-fold predictions can be computed again; what needed cells was measured once."""
    evaluation = facts["evaluation"]
    section = {
        name: _measured(evaluation[name], "exact", compute="evaluation", key=name)
        for name in ("errors", "coverage")
        if evaluation.get(name)
    }
    if evaluation.get("slices"):
        section["slices"] = _with_rows(facts, "slices")
    if evaluation.get("stability"):
        section |= _stability(facts)
    for name in ("robustness", "learning_curve"):
        if evaluation.get(name):
            section[name] = _from_fit(facts, "evaluation", name)
    return section


def _stability(facts: Mapping[str, Any]) -> Section:
    """Scores of the folds follow from the out-of-fold predictions; what fold models say of the same rows does not."""
    field = _from_fit(facts, "evaluation", "stability")
    by_fold = {key: field["value"][key] for key in FOLD_SCORES}
    agreement = {**field, "value": {k: v for k, v in field["value"].items() if k not in FOLD_SCORES}}
    if not by_fold["fold_scores"] or not is_named(facts):
        return {"fold_scores": {**field, "value": by_fold}, "stability": agreement}
    return {"fold_scores": _measured(by_fold, "exact", compute="fold_scores"), "stability": agreement}


def _business_value(facts: Mapping[str, Any]) -> Section:
    """Lift and percentage errors of the predictions, and whatever `business=` asks for."""
    evaluation = facts["evaluation"]
    section = {
        key: _measured(evaluation[key], "exact", compute="evaluation", key=key)
        for key in ("lift_chart", "percentage_error")
        if evaluation.get(key)
    }
    for key, value in (evaluation.get("business") or {}).items():
        if value in (None, [], {}):
            continue
        if key == "custom_kpis":
            section[key] = _recorded(facts, "evaluation", "business", key)
        elif key in _OF_COLUMNS:
            section[key] = _measured(value, "data", compute="business", key=key)
        else:
            section[key] = _measured(value, "exact", compute="business", key=key)
    return section


def _ethical_considerations(facts: Mapping[str, Any]) -> Section:
    codes = {"leakage", "identifier", "imbalance", "tiny_class", "sensitive"}
    concerns = [f for f in facts["findings"] if any(code in str(f.get("code", "")) for code in codes)]
    return {"concerns": {**_from_fit(facts, "findings"), "source": "measured", "value": concerns}}


def _caveats(facts: Mapping[str, Any]) -> Section:
    ranges = [
        {"name": c["name"], "minimum": c["minimum"], "maximum": c["maximum"]}
        for c in facts["columns"]
        if c["is_used"] and c["edge"] == "double" and c["minimum"] is not None
    ]
    return {
        "retraining_owner": _owner(facts, "retraining_owner"),
        "findings": _findings(facts),
        "ranges": _measured(ranges, "data", compute="ranges"),
        "on_unknown": _configured(facts, "on_unknown"),
    }


def _findings(facts: Mapping[str, Any]) -> Field:
    """From the fit; one that judges the time of a prediction is a record of it."""
    is_timed = "max_predict_time" in (facts["problem"].get("constraints") or {})
    return _recorded(facts, "findings") if is_timed else _from_fit(facts, "findings")


def _how_it_was_made(facts: Mapping[str, Any]) -> Section:
    section = {
        "call": _recorded(facts, "call"),
        "parameters": _recorded(facts, "parameters"),
        "stages": _recorded(facts, "stages"),
        "timings": _recorded(facts, "timings"),
        "resources": _recorded(facts, "resources"),
        "search": _from_fit(facts, "search", records=("*seconds",)),
        "leaderboard": _from_fit(facts, "leaderboard", records=_TIMES),
        "decisions": _from_fit(facts, "decisions"),
        "features": _from_fit(facts, "features"),
        "environment": _recorded(facts, "environment"),
    }
    if facts["call"]:
        section["recipe"] = _measured(recipe(facts), "exact", compute="recipe")
    if isinstance(facts["parameters"].get("random_state"), int):
        section["seed"] = _measured(facts["seed"], "exact", compute="seed")
    elif facts["seed"] is not None:
        section["seed"] = _recorded(facts, "seed")
    return {name: field for name, field in section.items() if name not in _OPTIONAL or field["source"] == "measured"}


def _package(facts: Mapping[str, Any]) -> Section:
    section = {"graph": _measured(facts["graph"]["exists"], "exact", compute="graph_exists")}
    if not facts["graph"]["exists"]:
        section["reason"] = _recorded(facts, "graph", "reason")
    else:
        section["parity"] = _from_fit(facts, "graph", "parity")
        section["n_nodes"] = _measured(facts["graph"].get("n_nodes"), "exact", compute="n_nodes")
        section["latency"] = _measured(facts["measured"].get("latency"), "tolerance", remeasure="latency")
        section["memory"] = _measured(facts["measured"].get("memory"), "tolerance", remeasure="memory")
    section["sizes"] = _measured(facts["measured"].get("sizes"), "exact", compute="sizes")
    section["arrays"] = _measured(facts["arrays"], "exact", compute="arrays")
    return section


#: Section (a template in templates/sections/) → its fields.
SECTIONS = {
    "summary": _summary,
    "model_details": _model_details,
    "intended_use": _intended_use,
    "factors": _factors,
    "metrics": _metrics,
    "evaluation_data": _evaluation_data,
    "training_data": _training_data,
    "quantitative_analyses": _quantitative_analyses,
    "where_it_fails": _where_it_fails,
    "business_value": _business_value,
    "why_it_predicts": _why_it_predicts,
    "ethical_considerations": _ethical_considerations,
    "caveats_and_recommendations": _caveats,
    "how_it_was_made": _how_it_was_made,
    "package": _package,
}


def _front_matter(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of the Hugging Face hub, with a model-index where there are scores."""
    scores = [row for row in facts["evaluation"].get("scores") or () if row["value"] is not None]
    # The first one is shown first: what was optimised
    scores.sort(key=lambda row: not row["is_primary"])
    pipeline = _PIPELINES.get(Task(facts["task"]).family)
    matter: dict[str, Any] = {"library_name": "automl_wf"}
    licence = facts["info"].get("licence")
    if licence is not None:
        is_known = str(licence).lower() in _HUB_LICENCES
        matter |= {"license": str(licence).lower()} if is_known else {"license": "other", "license_name": licence}
    if pipeline is not None:
        matter["pipeline_tag"] = pipeline
    matter["tags"] = [t for t in (pipeline, "tabular", "automl", "onnx" if facts["graph"]["exists"] else None) if t]
    matter["metrics"] = [row["name"] for row in scores]
    if scores:
        result = {
            "task": {"type": pipeline or f"tabular-{facts['task']}"},
            "dataset": {"type": "tabular", "name": f"{facts['target']}, rows predicted out of fold"},
            "metrics": [{"type": row["name"], "name": row["name"], "value": row["value"]} for row in scores],
        }
        matter["model-index"] = [{"name": facts["name"], "results": [result]}]
    return matter
