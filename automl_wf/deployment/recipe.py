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
        "options" of `automl-wf fit` by name, quoted, or None where a shell cannot say it. None: it is not recorded how
        fit was called.
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
        "options": _options(facts, given),
    }


def _options(facts: Facts, given: Facts) -> dict[str, str] | None:
    """Options of `automl-wf fit`; None where a parameter, or how rows were given, has none."""
    call, texts = facts["call"], [str(facts["target"]), str(facts["name"])]
    is_sayable = set(given) <= set(_OPTIONS) and not call["not_literal"] and facts["layout"] != "array"
    if not is_sayable or call["groups"] or call["sample_weight"] or not all(text.isprintable() for text in texts):
        return None
    said = {"task": _FAMILIES[call["estimator"]]} if call["estimator"] in _FAMILIES else {}
    said |= {name: _option(given[name]) for name in _OPTIONS if name in given}
    target, name = map(shlex.quote, texts)
    options = {"target": target, **said, "export": name}
    return {f"--{key.replace('_', '-')}": value for key, value in options.items()}


def _option(value: Any) -> str:
    """A parameter as the shell gives it; no limit of time is 0 there."""
    if isinstance(value, list):
        return shlex.quote(",".join(map(str, value)))
    return "0" if value is None else shlex.quote(str(value))
