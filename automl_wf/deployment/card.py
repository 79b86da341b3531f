"""Facts → the model card's content, in plain JSON types.

`facts_of` gathers what the stages found (it becomes model/metadata.json), `build_card` arranges it in the sections of a
model card (it becomes docs/card.json), `render_card` writes docs/model_card.md from nothing but that. Because each step
is a pure function of the one before, `verify` can take it again and compare.

Every field says where its value comes from, and how far it can be computed again:

exact
    from model/evidence.npz or from the package's own files, to the last digit
tolerance
    measured again on the machine that verifies, so only its size is compared
data
    from the training data, if they are handed over
once
    measured during `fit` only; compared with what metadata.json recorded

References
----------
M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from automl_wf.core.criteria import Criterion, judge
from automl_wf.core.metrics import METRICS
from automl_wf.core.tasks import Task
from automl_wf.deployment.explanations import in_card
from automl_wf.deployment.render import NEEDED, render
from automl_wf.deployment.subject import Subject
from automl_wf.exceptions import InvalidParameter

Check = Literal["exact", "tolerance", "data", "once"]
Field = dict[str, Any]
Section = dict[str, Field]

OWNER_FIELDS = (
    "owner", "contact", "licence", "purpose", "users", "out_of_scope_uses", "data_source", "consent",
    "sensitive_columns", "error_costs", "human_oversight", "retraining_owner",
)  # fmt: skip
_ALIASES = {"license": "licence", "out_of_scope": "out_of_scope_uses"}
#: Parts of an evaluation that follow from out-of-fold predictions alone.
_COMPUTED_AGAIN = {"resampling", "confusion", "report", "roc", "pr", "calibration", "residuals", "queries"}
#: Parts of the business value that need the user's functions or columns of X, which a package does not hold.
_MEASURED_ONCE = {"custom_kpis", "exposure", "click_through_rate", "conversion_impact", "user_satisfaction"}
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
    stages = ("problem", "data", "search", "blend", "evaluation", "interpretation", "timings", "environment")
    rows = ("features", "leaderboard", "decisions", "findings")
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


def _configured(facts: Mapping[str, Any], key: str) -> Field:
    return _measured(facts[key], "exact", compute="config", key=key)


def _owner(facts: Mapping[str, Any], name: str) -> Field:
    value, source = (facts["info"][name], "by owner") if name in facts["info"] else (NEEDED, "unfilled")
    return {"value": value, "source": source, "check": "once", "evidence": {"info": name}}


def _model_details(facts: Mapping[str, Any]) -> Section:
    section = {
        "owner": _owner(facts, "owner"),
        "contact": _owner(facts, "contact"),
        "licence": _owner(facts, "licence"),
        "created": _recorded(facts, "created"),
        "task": _configured(facts, "task"),
        "target": _recorded(facts, "target"),
        "members": _recorded(facts, "blend", "members"),
        "weights": _measured(facts["measured"].get("weights"), "exact", compute="weights"),
        "strategy": _recorded(facts, "blend", "strategy"),
        "temperature": _recorded(facts, "blend", "temperature"),
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
    return {name: _owner(facts, name) for name in ("purpose", "users", "out_of_scope_uses", "human_oversight")}


def _factors(facts: Mapping[str, Any]) -> Section:
    keys = ("name", "kind", "dtype", "n_missing", "n_unique", "is_used", "reason")
    columns = [{key: column[key] for key in keys} for column in facts["columns"]]
    section = {
        "sensitive_columns": _owner(facts, "sensitive_columns"),
        "columns": _measured(columns, "data", compute="columns"),
    }
    if facts["evaluation"].get("groups"):
        section["groups"] = _recorded(facts, "evaluation", "groups")
    return section


def _metrics(facts: Mapping[str, Any]) -> Section:
    section = {"error_costs": _owner(facts, "error_costs"), "scoring": _recorded(facts, "problem", "scoring")}
    if "baseline" in facts["problem"]:
        section["baseline"] = _recorded(facts, "problem", "baseline")
    criteria = _criteria(facts)
    if criteria:
        section["criteria"] = _measured(criteria, "once", recorded="evaluation/criteria")
    if "business" in facts["problem"]:
        section["business"] = _recorded(facts, "problem", "business")
    return section


def _criteria(facts: Mapping[str, Any]) -> list[Any]:
    """What is asked of the model, judged: limits by what was measured while the package was written."""
    measured = facts["measured"]
    figures = {
        "max_size": (measured.get("sizes") or {}).get("model.onnx"),
        "max_predict_time": (measured.get("latency") or {}).get("one_row_p95_s"),
        "max_memory": (measured.get("memory") or {}).get("peak_bytes"),
    }
    judged = []
    for row in facts["evaluation"].get("criteria") or ():
        figure = figures.get(row["name"])
        judged.append(row if figure is None else plain(vars(judge(Criterion(**row), figure))))
    return judged


def _evaluation_data(facts: Mapping[str, Any]) -> Section:
    section = {
        "n_scored": _measured(facts["measured"].get("n_scored"), "exact", compute="n_scored"),
        "n_folds": _measured(facts["measured"].get("n_folds"), "exact", compute="n_folds"),
        "folds": _recorded(facts, "data", "folds"),
        "target_values": _measured(facts["measured"].get("target"), "exact", compute="target"),
    }
    if facts["evaluation"].get("shift"):
        section["shift"] = _recorded(facts, "evaluation", "shift")
        for name in ("columns", "moved"):
            if facts["evaluation"]["shift"][name]:
                section[f"shift_{name}"] = _recorded(facts, "evaluation", "shift", name)
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
    }


def _quantitative_analyses(facts: Mapping[str, Any]) -> Section:
    evaluation = facts["evaluation"]
    scores = evaluation.get("scores") or []
    section = {
        "honest": _recorded(facts, "evaluation", "honest"),
        "scores": _measured([row for row in scores if row["name"] in METRICS] or None, "exact", compute="scores"),
    }
    own = [row for row in scores if row["name"] not in METRICS]
    if own:
        section["own_scores"] = _measured(own, "once", recorded="evaluation/scores")
    for key, value in evaluation.items():
        if key in _COMPUTED_AGAIN and value not in (None, [], {}):
            section[key] = _measured(value, "exact", compute="evaluation", key=key)
    if facts["blend"].get("prediction_intervals"):
        section["prediction_intervals"] = _recorded(facts, "blend", "prediction_intervals")
    return section


def _why_it_predicts(facts: Mapping[str, Any]) -> Section:
    interpretation = facts["interpretation"]
    parts = {key: value for key, value in interpretation.items() if isinstance(value, (list, Mapping)) and value}
    section = {key: _recorded(facts, "interpretation", key) for key in parts}
    if "insights" in section:
        section["insights"] = {**section["insights"], "value": in_card(interpretation["insights"])}
    settings = {k: v for k, v in interpretation.items() if not isinstance(v, (list, Mapping, type(None)))}
    section["settings"] = _measured(settings, "once", recorded="interpretation")
    return section


def _where_it_fails(facts: Mapping[str, Any]) -> Section:
    """What follows from out-of-fold predictions can be computed again; what needed cells was measured once."""
    evaluation = facts["evaluation"]
    section = {
        name: _measured(evaluation[name], "exact", compute="evaluation", key=name)
        for name in ("errors", "coverage")
        if evaluation.get(name)
    }
    for name in ("slices", "robustness", "stability", "learning_curve"):
        if evaluation.get(name):
            section[name] = _recorded(facts, "evaluation", name)
    return section


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
        if key in _MEASURED_ONCE:
            section[key] = _recorded(facts, "evaluation", "business", key)
        else:
            section[key] = _measured(value, "exact", compute="business", key=key)
    return section


def _ethical_considerations(facts: Mapping[str, Any]) -> Section:
    codes = {"leakage", "identifier", "imbalance", "tiny_class", "sensitive"}
    concerns = [f for f in facts["findings"] if any(code in str(f.get("code", "")) for code in codes)]
    return {"concerns": _measured(concerns, "once", recorded="findings")}


def _caveats(facts: Mapping[str, Any]) -> Section:
    ranges = [
        {"name": c["name"], "minimum": c["minimum"], "maximum": c["maximum"]}
        for c in facts["columns"]
        if c["is_used"] and c["edge"] == "double" and c["minimum"] is not None
    ]
    return {
        "retraining_owner": _owner(facts, "retraining_owner"),
        "findings": _recorded(facts, "findings"),
        "ranges": _measured(ranges, "data", compute="ranges"),
        "on_unknown": _configured(facts, "on_unknown"),
    }


def _how_it_was_made(facts: Mapping[str, Any]) -> Section:
    section = {
        name: _recorded(facts, name)
        for name in ("timings", "search", "leaderboard", "decisions", "features", "parameters", "environment")
    }
    if facts["seed"] is not None:
        section["seed"] = _recorded(facts, "seed")
    return section


def _package(facts: Mapping[str, Any]) -> Section:
    section = {"graph": _measured(facts["graph"]["exists"], "exact", compute="graph_exists")}
    if not facts["graph"]["exists"]:
        section["reason"] = _recorded(facts, "graph", "reason")
    else:
        section["parity"] = _recorded(facts, "graph", "parity")
        section["n_nodes"] = _measured(facts["graph"].get("n_nodes"), "exact", compute="n_nodes")
        section["latency"] = _measured(facts["measured"].get("latency"), "tolerance", remeasure="latency")
        section["memory"] = _measured(facts["measured"].get("memory"), "tolerance", remeasure="memory")
    section["sizes"] = _measured(facts["measured"].get("sizes"), "exact", compute="sizes")
    return section


#: Section (a template in templates/sections/) → its fields.
SECTIONS = {
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
    if "licence" in facts["info"]:
        matter["license"] = facts["info"]["licence"]
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
