"""What each member of model/config.json must be, said of the first one that is something else; nothing is mended."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FORMAT = 1
Test = Callable[[Any], bool]
_TASKS = ("binary", "multiclass", "regression", "ranking")
_KINDS = ("numeric", "boolean", "categorical", "text", "identifier", "datetime")
_EDGES = ("double", "string", "int64")
_WHOLE_LIMITS = ("max_body_bytes", "max_rows", "max_string_length")
#: How a score that is not finite is written.
_INFINITE = ("inf", "-inf")


def find_wrong(config: Any) -> str | None:
    """The first thing that the service could not work with, with its place; None: there is none."""
    if not isinstance(config, dict):
        return f"expected an object, got {_name_of(config)}"
    for check in _CHECKS:
        for wrong in check(config):
            return wrong
    return None


def _check_members(config: Mapping[str, Any]) -> Iterator[str]:
    """Types of the members themselves; what is inside them is looked at once these are right."""
    if config.get("format") != FORMAT or isinstance(config["format"], bool):
        yield f'"format" must be {FORMAT}, which this service reads. {_got(config.get("format"))}'
    for name, (is_right, expected) in _MEMBERS.items():
        if name not in config:
            yield f'"{name}" is missing'
        elif not is_right(config[name]):
            yield _wrong(name, expected, config[name])
    for name, (is_right, expected) in _OPTIONAL.items():
        if name in config and not is_right(config[name]):
            yield _wrong(name, expected, config[name])


def _check_limits(config: Mapping[str, Any]) -> Iterator[str]:
    limits = config["limits"]
    for name in _WHOLE_LIMITS:
        if not _is_whole(limits.get(name)) or limits[name] < 1:
            yield _wrong(f"limits.{name}", "a whole number from 1", limits.get(name))
    seconds = limits.get("max_seconds_per_row")
    if seconds is not None and not (_is_number(seconds) and seconds > 0):
        yield _wrong("limits.max_seconds_per_row", "a number above 0", seconds)


def _check_columns(config: Mapping[str, Any]) -> Iterator[str]:
    for i, column in enumerate(config["columns"]):
        missing = _OF_A_COLUMN.keys() - column.keys() if isinstance(column, dict) else _OF_A_COLUMN.keys()
        if missing:
            yield f'"columns[{i}]" must hold {", ".join(sorted(missing))}'
            return
        for name, (is_right, expected) in _OF_A_COLUMN.items():
            if not is_right(column[name]):
                yield _wrong(f"columns[{i}].{name}", expected, column[name])
    names = [column["name"] for column in config["columns"]]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f'"columns[{i}].name" must be another one than those before. {_got(name)}'
    if not any(column["is_used"] for column in config["columns"]):
        yield '"columns" must hold one that is used'
    if config["layout"] == "array" and config["tensor"] is None:
        yield _wrong("tensor", "text where layout is array", None)
    yield from _each("categories", config["categories"], _is_texts, "a list of texts")
    yield from _each("rules", config["rules"], _is_text, "text")


def _check_classes(config: Mapping[str, Any]) -> Iterator[str]:
    """Classes, and whatever has one entry for each of them."""
    classes, has_classes = config["classes"], config["task"] in ("binary", "multiclass")
    if has_classes != (classes is not None):
        yield _wrong("classes", "a list where the task is binary or multiclass, else null", classes)
    elif has_classes:
        if len(classes) < 2 or (config["task"] == "binary" and len(classes) != 2):
            n_classes = "two" if config["task"] == "binary" else "two or more"
            yield f'"classes" must hold {n_classes} entries. Got {len(classes)} instead'
        if len({json.dumps(c) for c in classes}) < len(classes) or any(isinstance(c, (dict, list)) for c in classes):
            yield _wrong("classes", "a list of texts, numbers or truth values that differ", classes)
        if not 0 <= config.get("positive", 1) < len(classes):
            yield _wrong("positive", f"a position in classes, from 0 to {len(classes) - 1}", config["positive"])
    names = ("label", "probabilities") if has_classes else ("prediction",)
    for name in names:
        if not _is_text(config["outputs"].get(name)):
            yield _wrong(f"outputs.{name}", "text, the name of an output of the graph", config["outputs"].get(name))
    test = config["self_test"]
    if not all(isinstance(test.get(name), dict) for name in ("row", "expected")):
        yield '"self_test" must hold row and expected, both objects'
    elif not test["expected"].keys() >= set(names):
        yield f'"self_test.expected" must hold {" and ".join(names)}'


def _check_drift(config: Mapping[str, Any]) -> Iterator[str]:
    drift, edges = config["drift"], {c["name"]: c["edge"] for c in config["columns"]}
    if not isinstance(drift.get("features"), dict):
        yield _wrong("drift.features", "an object", drift.get("features"))
        return
    for name, reference in drift["features"].items():
        yield from _check_reference(f"drift.features.{name}", reference)
        kind = "categorical" if edges.get(name) == "string" else "numeric"
        if name in edges and reference["kind"] != kind:
            yield _wrong(f"drift.features.{name}.kind", f"{kind}, as the column's edge is", reference["kind"])
    if drift.get("prediction") is not None:
        yield from _check_reference("drift.prediction", drift["prediction"])


def _check_reference(place: str, reference: Any) -> Iterator[str]:
    """Bins and what training counted in them: those between the edges, or of the levels, and two more."""
    if not isinstance(reference, dict) or reference.get("kind") not in ("numeric", "categorical"):
        yield _wrong(place, "an object whose kind is numeric or categorical", reference)
        return
    counts: Any = reference.get("counts")
    if reference["kind"] == "numeric":
        edges: Any = reference.get("edges")
        if not _is_list(edges, _is_number) or len(edges) < 2 or sorted(edges) != edges:
            yield _wrong(f"{place}.edges", "a list of two numbers or more, none smaller than the one before", edges)
            return
        n_counts, of_what = len(edges) + 2, "edges"
    else:
        levels: Any = reference.get("levels")
        if not _is_texts(levels) or len(set(levels)) < len(levels):
            yield _wrong(f"{place}.levels", "a list of texts that differ", levels)
            return
        n_counts, of_what = len(levels) + 2, "levels"
    if not _is_list(counts, _is_whole) or len(counts) != n_counts or min(counts) < 0:
        expected = f"a list of {n_counts} whole numbers from 0, two more than {of_what}"
        yield _wrong(f"{place}.counts", expected, counts)


def _check_thresholds(config: Mapping[str, Any]) -> Iterator[str]:
    stated = config.get("thresholds") or {}
    for name, (is_right, expected) in _OF_THRESHOLDS.items():
        if name in stated and not is_right(stated[name]):
            yield _wrong(f"thresholds.{name}", expected, stated[name])
            return
    yield from _each("thresholds.drift", stated.get("drift", {}), _is_number, "a number")
    for name, limit in stated.get("performance", {}).items():
        place = f"thresholds.performance.{name}"
        if not isinstance(limit, dict) or not _is_number(limit.get("limit")):
            yield _wrong(place, "an object that holds limit, a number", limit)
        elif not isinstance(limit.get("greater_is_better"), bool):
            yield _wrong(f"{place}.greater_is_better", "true or false", limit.get("greater_is_better"))
    yield from _each("reference_metrics", config["reference_metrics"], _is_score, "a number or null")
    yield from _each("reference_errors", config.get("reference_errors") or {}, _is_number, "a number")


def _check_business(config: Mapping[str, Any]) -> Iterator[str]:
    stated = config.get("business") or {}
    for name in ("revenue_per_unit", "cost_per_unit_over", "cost_per_unit_under"):
        if stated.get(name) is not None and not _is_number(stated[name]):
            yield _wrong(f"business.{name}", "a number", stated[name])
    for name in ("custom_kpis", "columns"):
        named = stated.get(name, [])
        if not _is_texts([*named] if isinstance(named, dict) else named):
            yield _wrong(f"business.{name}", "a list of texts", named)
    costs, n = stated.get("cost_matrix"), len(config["classes"] or ())
    is_square = _is_list(costs, lambda row: _is_list(row, _is_number) and len(row) == n)
    if costs is not None and not (is_square and len(costs) == n):
        yield _wrong("business.cost_matrix", f"{n} lists of {n} numbers, as many as there are classes", costs)


def _check_background(config: Mapping[str, Any]) -> Iterator[str]:
    cells = (config.get("background") or {}).get("cells")
    if not cells:
        return
    if not isinstance(cells, dict):
        yield _wrong("background.cells", "an object", cells)
        return
    used = [column["name"] for column in config["columns"] if column["is_used"]]
    n_rows = len(cells[used[0]]) if isinstance(cells.get(used[0]), list) else 0
    for name in used:
        if not isinstance(cells.get(name), list) or not cells[name] or len(cells[name]) != n_rows:
            expected = f"a list of {n_rows} cells, as of the first column" if n_rows else "a list of cells"
            yield _wrong(f"background.cells.{name}", expected, cells.get(name))


_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
    _check_members,
    _check_limits,
    _check_columns,
    _check_classes,
    _check_drift,
    _check_thresholds,
    _check_business,
    _check_background,
)


def _each(place: str, members: Mapping[str, Any], is_right: Test, expected: str) -> Iterator[str]:
    return (_wrong(f"{place}.{name}", expected, value) for name, value in members.items() if not is_right(value))


def _wrong(place: str, expected: str, found: Any) -> str:
    return f"{_quoted(place)} must be {expected}. {_got(found)}"


def _quoted(place: str) -> str:
    """A place may hold names of columns: on one line, and not endless."""
    return json.dumps(place[:200])


def _got(found: Any) -> str:
    """What came, shortened, as JSON writes it."""
    if isinstance(found, list):
        return f"Got a list of {len(found)} instead"
    if isinstance(found, dict):
        return "Got an object instead"
    return f"Got {json.dumps(found)[:40]} instead"


def _name_of(found: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(found), "a number")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_number_or_null(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_score(value: Any) -> bool:
    return value in _INFINITE or _is_number_or_null(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_object_or_null(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_list(value: Any, of: Test) -> bool:
    return isinstance(value, list) and all(map(of, value))


def _is_texts(value: Any) -> bool:
    return _is_list(value, _is_text)


def _is_threshold(value: Any) -> bool:
    return _is_number_or_null(value) or _is_list(value, _is_number)


def _one_of(words: tuple[str, ...]) -> tuple[Test, str]:
    return (lambda value: value in words), f"one of {', '.join(words)}"


_TEXT, _OBJECT = (_is_text, "text"), (_is_object, "an object")
#: Members that the service reads: how they are told, and the words for it.
_MEMBERS: dict[str, tuple[Test, str]] = {
    "name": _TEXT,
    "version": _TEXT,
    "task": _one_of(_TASKS),
    "layout": _one_of(("frame", "array")),
    "columns": (lambda value: isinstance(value, list), "a list"),
    "tensor": (_is_text_or_null, "text or null"),
    "outputs": _OBJECT,
    "classes": (lambda value: value is None or isinstance(value, list), "a list or null"),
    "threshold": (_is_threshold, "a number, a list of numbers or null"),
    "on_unknown": _one_of(("ignore", "warn", "raise")),
    "categories": _OBJECT,
    "limits": _OBJECT,
    "rules": _OBJECT,
    "drift": _OBJECT,
    "reference_metrics": _OBJECT,
    "self_test": _OBJECT,
}
#: Members that need not be there.
_OPTIONAL: dict[str, tuple[Test, str]] = {
    "positive": (_is_whole, "a whole number"),
    "model_sha256": (_is_text_or_null, "text or null"),
    **dict.fromkeys(("thresholds", "reference_errors", "business", "background"), (_is_object_or_null, "an object")),
}
_OF_A_COLUMN: dict[str, tuple[Test, str]] = {
    "name": _TEXT,
    "input": _TEXT,
    "kind": _one_of(_KINDS),
    "edge": _one_of(_EDGES),
    "cell_format": (_is_text_or_null, "text or null"),
    "is_used": (_is_truth, "true or false"),
    "example": (lambda value: not isinstance(value, (dict, list)), "a cell"),
}
_OF_THRESHOLDS: dict[str, tuple[Test, str]] = {
    "drift": _OBJECT,
    "prediction_drift": (_is_number_or_null, "a number or null"),
    "performance": _OBJECT,
    "seconds_per_row": (_is_number_or_null, "a number or null"),
}
