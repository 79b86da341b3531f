"""Sentences made from facts alone: each says where its fact stands, and can be made again from what stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Facts = Mapping[str, Any]
#: Columns named one by one in a sentence.
MAX_NAMED = 5
#: A trend is spoken of from this rank correlation on.
_TREND = 0.6
#: Shares of what a surrogate follows: above the first it may be read, below the second it may not.
_FAITHFUL, _UNFAITHFUL = 0.8, 0.5
#: Ranks that agree less than this are not to be relied on.
_STABLE = 0.8


@dataclass(frozen=True)
class Insight:
    """A sentence and the fact it was made from.

    Parameters
    ----------
    kind : str
        Which wording.
    text : str
        The sentence.
    path : str
        JSON pointer (RFC 6901) of the fact among the facts of the interpretation.
    value : object
        What stands there.
    """

    kind: str
    text: str
    path: str
    value: Any


def insights(facts: Facts) -> tuple[Insight, ...]:
    """What is worth saying, in words.

    Parameters
    ----------
    facts : mapping
        `Interpretation.to_dict()`, with or without insights.

    Returns
    -------
    tuple of Insight
        In the order in which they are read.
    """
    found = []
    for kind, path in _worth_saying(facts):
        value = resolve(facts, path)
        found.append(Insight(kind, say(kind, value, facts), path, value))
    return tuple(found)


def say(kind: str, value: Any, facts: Facts) -> str:
    """The sentence of a kind about a value.

    Parameters
    ----------
    kind : str
        Which wording.
    value : object
        The fact.
    facts : mapping
        What it is a part of: units and counts are taken from there.

    Returns
    -------
    str
        One sentence; names of columns in backticks.
    """
    return WORDS[kind](value, facts)


def resolve(facts: Any, path: str) -> Any:
    """What a JSON pointer leads to.

    Parameters
    ----------
    facts : object
        Plain JSON types.
    path : str
        For example "/importances/0"; "" is everything.

    Returns
    -------
    object
        The part.

    Raises
    ------
    KeyError, IndexError
        It leads nowhere.

    Examples
    --------
    >>> resolve({"pairs": [{"h": 0.5}]}, "/pairs/0/h")
    0.5
    """
    for token in path.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        facts = facts[int(key)] if isinstance(facts, Sequence) else facts[key]
    return facts


def _worth_saying(facts: Facts) -> Iterator[tuple[str, str]]:
    """Kinds of sentences, and where their facts are."""
    rows = facts["importances"]
    costing = [i for i, row in enumerate(rows) if row["mean"] is not None and row["column"] not in facts["idle"]]
    for i in costing[:MAX_NAMED]:
        top = "most_of_measured" if facts["not_run"] else "matters_most"
        if not _is_beyond_chance(rows[i]):
            top = "seems_to_matter_most"
        yield (top if i == costing[0] else "matters_too"), f"/importances/{i}"
    if facts["idle"]:
        yield ("idle" if costing else "nothing_matters"), "/idle"
    if facts["unstable"]:
        yield "unstable", "/unstable"
    for status in sorted({row["status"] for row in rows if row["mean"] is None}):
        first = next(i for i, row in enumerate(rows) if row["status"] == status)
        yield "columns_not_run", f"/importances/{first}/status"
    yield from _of_the_final_model(facts)


def _of_the_final_model(facts: Facts) -> Iterator[tuple[str, str]]:
    for i, effect in enumerate(((facts["shap"] or {}).get("effects") or ())[:MAX_NAMED]):
        if abs(effect["direction"] or 0.0) >= _TREND:
            yield "trend", f"/shap/effects/{i}"
        elif effect["highest"] is not None and effect["lowest"] is not None:
            yield "extremes", f"/shap/effects/{i}"
    for i, drawn in enumerate(((facts["partial_dependence"] or {}).get("columns") or ())[:3]):
        if drawn["swing"]["highest"] > drawn["swing"]["lowest"]:
            yield "swing", f"/partial_dependence/columns/{i}/swing"
    together = facts["interactions"] or {}
    for i, pair in enumerate((together.get("pairs") or ())[:3]):
        if pair["is_found"]:
            yield "pair", f"/interactions/pairs/{i}"
        elif i == 0:
            yield "no_pair", "/interactions/pairs/0"
    if (facts["rules"] or {}).get("r2") is not None:
        yield "fidelity", "/rules/r2"
    trust = facts["trust"] or {}
    for name in ("stability", "outside_share"):
        if trust.get(name) is not None:
            yield name, f"/trust/{name}"


def _matters_most(row: Facts, facts: Facts) -> str:
    return f"`{row['column']}` matters most: {_what_shuffling_does(row, facts)}."


def _most_of_measured(row: Facts, facts: Facts) -> str:
    n_columns = len(facts["importances"])
    return (
        f"Of the {n_columns - len(facts['not_run'])} columns measured, `{row['column']}` matters most: "
        f"{_what_shuffling_does(row, facts)}. There are {n_columns} columns: one of the others may matter more."
    )


def _seems_to_matter_most(row: Facts, facts: Facts) -> str:
    n_folds = len(row["by_fold"])
    each = "in the one fold looked at" if n_folds == 1 else f"in each of {n_folds} folds"
    return (
        f"`{row['column']}` seems to matter most: {_what_shuffling_does(row, facts)}. It does so {each}, "
        "which are too few to tell how much is chance."
    )


def _is_beyond_chance(row: Facts) -> bool:
    return row["low"] is not None and row["low"] > 0


def _what_shuffling_does(row: Facts, facts: Facts) -> str:
    falls, base = facts["greater_is_better"], facts["base_score"] or 0.0
    return (
        f"shuffling it {'lowers' if falls else 'raises'} {facts['label']} by {with_error(row)}, "
        f"from {(base if falls else -base) + 0.0:.4g} on {facts['n_rows']} held-out rows"
    )


def _matters_too(row: Facts, facts: Facts) -> str:
    return f"Then comes `{row['column']}` ({with_error(row)})."


def _idle(names: Sequence[str], facts: Facts) -> str:
    return f"Shuffling {_named(names)} costs nothing beyond chance, one column at a time."


def _nothing_matters(names: Sequence[str], facts: Facts) -> str:
    n_columns = len(facts["importances"])
    of_columns = (
        f"None of the columns measured ({n_columns - len(facts['not_run'])} of {n_columns})"
        if facts["not_run"]
        else "No single column"
    )
    return f"{of_columns} matters beyond chance on {facts['n_rows']} held-out rows (tried: {_named(names)})."


def _unstable(names: Sequence[str], facts: Facts) -> str:
    return f"What {_named(names)} {'is' if len(names) == 1 else 'are'} worth differs much from fold to fold."


def _named(names: Sequence[str]) -> str:
    named = [f"`{name}`" for name in names[:MAX_NAMED]]
    more = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return listed(named + more)


def _columns_not_run(status: str, facts: Facts) -> str:
    rows = facts["importances"]
    return f"{sum(row['status'] == status for row in rows)} of {len(rows)} columns were {status}."


def _trend(effect: Facts, facts: Facts) -> str:
    way = "raises" if effect["direction"] > 0 else "lowers"
    return (
        f"More of `{effect['column']}` {way} {_of_output(facts['shap'])} "
        f"(rank correlation {effect['direction']:.2f} with its Shapley values)."
    )


def _extremes(effect: Facts, facts: Facts) -> str:
    return (
        f"`{effect['column']}` raises {_of_output(facts['shap'])} most where it is {_cell(effect['highest'])}, and "
        f"lowers it most where it is {_cell(effect['lowest'])}."
    )


def _swing(swing: Facts, facts: Facts) -> str:
    return (
        f"With `{swing['column']}` at {_cell(swing['highest_at'])} instead of {_cell(swing['lowest_at'])}, "
        f"{_of_output(facts['partial_dependence'])} is {swing['highest']:.4g} instead of {swing['lowest']:.4g} on "
        "average."
    )


def _pair(pair: Facts, facts: Facts) -> str:
    a, b = pair["columns"]
    return (
        f"`{a}` and `{b}` act together: what neither does alone is {_percent(pair['strength'])} of the predictions' "
        f"spread, where {_percent(pair['expected'])} would be expected without an interaction (H = {pair['h']:.2f})."
    )


def _no_pair(pair: Facts, facts: Facts) -> str:
    a, b = pair["columns"]
    return (
        "No pair of the most important columns acts together by more than chance explains: of the predictions' spread, "
        f"`{a}` and `{b}` come nearest with {_percent(pair['strength'])}, where {_percent(pair['expected'])} would be "
        f"expected and {_percent(facts['interactions']['threshold'])} more may be chance."
    )


def _fidelity(r2: float, facts: Facts) -> str:
    rules = facts["rules"]
    followed = f"{len(rules['rules'])} rules follow {_percent(max(r2, 0.0))} of the variance of the predictions"
    on = f"on {rules['n_held_out']} rows they were not learnt from"
    if r2 >= _FAITHFUL:
        return f"{followed} {on}: they may be read as a summary of the model."
    if r2 >= _UNFAITHFUL:
        return f"{followed} {on}: they are a rough sketch of the model."
    return f"{followed} {on}: they do not describe the model."


def _stability(correlation: float, facts: Facts) -> str:
    verdict = "can be relied on" if correlation >= _STABLE else "is to be taken with care"
    return (
        f"Two halves of the explained rows rank the columns alike to {correlation:.2f} (rank correlation): their order "
        f"{verdict}."
    )


def _outside_share(share: float, facts: Facts) -> str:
    columns = facts["trust"]["outside"]
    where = f", most of them by `{columns[0]['column']}`" if columns else ""
    return (
        f"{_percent(share)} of {facts['trust']['n_rows']} held-out rows lay outside the range of the rows learnt from"
        f"{where}; expect about as many among new rows, and less of the predictions there."
    )


WORDS: dict[str, Callable[[Any, Facts], str]] = {
    "matters_most": _matters_most,
    "most_of_measured": _most_of_measured,
    "seems_to_matter_most": _seems_to_matter_most,
    "matters_too": _matters_too,
    "idle": _idle,
    "nothing_matters": _nothing_matters,
    "unstable": _unstable,
    "columns_not_run": _columns_not_run,
    "trend": _trend,
    "extremes": _extremes,
    "swing": _swing,
    "pair": _pair,
    "no_pair": _no_pair,
    "fidelity": _fidelity,
    "stability": _stability,
    "outside_share": _outside_share,
}


def with_error(row: Facts) -> str:
    """Mean ± half of the interval, both to the second digit of the error."""
    mean = row["mean"] or 0.0
    half = 0.0 if row["high"] is None else row["high"] - mean
    if half <= 0:
        return f"{mean:.3g}"
    decimals = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _of_output(part: Facts) -> str:
    name = part["outputs"][0]
    return f"the {name}" if name in ("prediction", "score") else f"the probability of `{name}`"


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value + 0.0:.4g}" if isinstance(value, (int, float)) else f"`{value}`"


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.095 or share == 0 else 1}f} %"
