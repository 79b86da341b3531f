"""How to make the model again: what to write in Python, and in a shell where its options can say all of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]

#: What has no part in the model.
_NO_PART = {"checkpoint", "verbose"}
#: Parameters that `automl-wf fit` has an option for, in the order of `--help`.
_OPTIONS = ("task", "scoring", "time_budget", "n_iter", "preset", "estimators", "random_state")
_FAMILIES = {"WorkflowClassifier": "classification", "WorkflowRegressor": "regression", "WorkflowRanker": "ranking"}


def recipe(facts: Facts) -> dict[str, Any] | None:
    """The call that made a model, with the `random_state` that its seed was drawn from.

    Parameters
    ----------
    facts : mapping
        The content of metadata.json.

    Returns
    -------
    dict or None
        "estimator"; "arguments" by name and "target", as Python writes them; "is_table" (whether X was one with names);
        "taken_from", how the table was read and taken apart: "dialect" (None: not by `automl-wf fit`; else what Python
        gives `CsvDialect`), "has_spelled_target" and "has_rows_without_target", and "groups", "sample_weight" and
        "drop" as Python writes these columns, or None; "options" of `automl-wf fit`, name and quoted value, or None
        where a shell cannot say it. None: it is not recorded how fit was called.
    """
    call, parameters = facts["call"], facts["parameters"]
    if not call:
        return None
    left_out = _NO_PART | set(call["not_literal"])
    names = [name for name in call.get("changed", parameters) if name in parameters and name not in left_out]
    if isinstance(parameters.get("random_state"), int) and "random_state" not in names:
        names.append("random_state")
    given = {name: parameters[name] for name in names}
    return {
        "estimator": call["estimator"],
        "arguments": {name: repr(value) for name, value in given.items()},
        "target": repr(facts["target"]),
        "is_table": facts["layout"] != "array",
        "taken_from": _taken_from(facts),
        "options": _options(facts, given),
    }


def _taken_from(facts: Facts) -> dict[str, Any]:
    """How X, y and the rest are taken out of the table; what was not recorded was given as it is."""
    taken = facts["call"].get("taken_from") or {}
    groups, weight = taken.get("group_column"), taken.get("weight_column")
    aside = [name for name in (groups, weight, *taken.get("drop", ())) if name not in (None, facts["target"])]
    return {
        "dialect": None if "dialect" not in taken else {k: repr(v) for k, v in taken["dialect"].items()},
        "has_spelled_target": bool(taken.get("has_spelled_target")),
        "has_rows_without_target": bool(taken.get("has_rows_without_target")),
        "groups": None if groups is None else repr(groups),
        "sample_weight": None if weight is None else repr(weight),
        "drop": repr(list(dict.fromkeys(aside))) if aside else None,
    }


def _options(facts: Facts, given: Facts) -> list[tuple[str, str | None]] | None:
    """Options of `automl-wf fit`, a flag with None; None where a parameter, or how rows were given, has none."""
    call, taken = facts["call"], facts["call"].get("taken_from") or {}
    groups, weight, drop = taken.get("group_column"), taken.get("weight_column"), taken.get("drop", ())
    is_sayable = set(given) <= set(_OPTIONS) and not call["not_literal"] and facts["layout"] != "array"
    # Copies of rows count as weights too, which is why only a column that is known to hold them can be said
    is_sayable &= (not call["groups"] or groups is not None) and (not call["sample_weight"] or weight is not None)
    columns = {"target": [str(facts["target"])], "group_column": filter(None, [groups])}
    columns |= {"weight_column": filter(None, [weight]), "drop": drop}
    said = [(name, column) for name, values in columns.items() for column in values]
    texts = [text for _, text in said] + [str(facts["name"])]
    if not is_sayable or not all(text.isprintable() for text in texts):
        return None
    options: list[tuple[str, str | None]] = [(name, shlex.quote(text)) for name, text in said]
    options += [(name, shlex.quote(value.replace("\t", r"\t"))) for name, value in taken.get("dialect", {}).items()]
    if taken.get("has_rows_without_target"):
        options.append(("drop_missing_target", None))
    if call["estimator"] in _FAMILIES:
        options.append(("task", _FAMILIES[call["estimator"]]))
    options += [(name, _option(given[name])) for name in _OPTIONS if name in given]
    options.append(("export", shlex.quote(texts[-1])))
    return [(f"--{name.replace('_', '-')}", value) for name, value in options]


def _option(value: Any) -> str:
    """A parameter as the shell gives it; no limit of time is 0 there."""
    if isinstance(value, list):
        return shlex.quote(",".join(map(str, value)))
    return "0" if value is None else shlex.quote(str(value))
