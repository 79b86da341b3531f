"""The single figures of a card, each with its path, and where it can be computed from again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Origin = Literal["package", "data", "record"]
_ORIGINS: dict[str, Origin] = {"exact": "package", "data": "data", "tolerance": "record", "once": "record"}


@dataclass(frozen=True)
class Leaf:
    """One measured figure of a card.

    Parameters
    ----------
    path : str
        For example "quantitative_analyses.scores[roc_auc].low": section, field, and the way inside its value.
    value : str, int, float, bool or None
        What is stated.
    origin : {"package", "data", "record"}
        Computed again from the package, or with the training data; or a record of the run, which nothing repeats.
    """

    path: str
    value: Any
    origin: Origin


def leaves_of(card: Mapping[str, Any]) -> Iterator[Leaf]:
    """Every measured figure of a card, each once.

    Parameters
    ----------
    card : mapping
        The content of card.json.

    Yields
    ------
    Leaf
        In the order of the card.
    """
    for section, fields in card["sections"].items():
        for name, field in fields.items():
            if field["source"] == "measured":
                yield from leaves_of_field(f"{section}.{name}", field)


def leaves_of_field(name: str, field: Mapping[str, Any]) -> Iterator[Leaf]:
    """Every figure of one measured field; `name` is "section.field"."""
    records = field["evidence"].get("records", ())
    for place, value in _walk(field["value"], name):
        is_record = any(fnmatchcase(place, pattern) for pattern in records)
        yield Leaf(place, value, "record" if is_record else _ORIGINS[field["check"]])


def without_records(name: str, value: Any, evidence: Mapping[str, Any]) -> Any:
    """A field's value with None in the place of every figure that is a record of the run."""
    records = evidence.get("records", ())
    if not records:
        return value
    return _map(value, name, lambda place, leaf: None if any(fnmatchcase(place, p) for p in records) else leaf)


def called(item: Any, i: int) -> str:
    """What a row of a table is called in a path: by its name, if it has one."""
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else str(i)


def _walk(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, f"{place}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _walk(item, f"{place}[{called(item, i)}]")
    else:
        yield place, value


def _map(value: Any, place: str, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _map(item, f"{place}.{key}", change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(item, f"{place}[{called(item, i)}]", change) for i, item in enumerate(value)]
    return change(place, value)
