"""Every sentence is made from the fact it names, and from another fact another sentence would be made."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation import Interpretation, interpret
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.insights import WORDS, insights, resolve, say


def value(table: Table) -> np.ndarray:
    a, b, c, town, _ = table.cells
    return np.asarray(2.0 * a + 1.5 * b * c + (town.values() == "oslo"))


@pytest.fixture(scope="module")
def interpretation() -> Interpretation:
    from automl_wf.core.frame import learn_schema

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    frame["town"] = rng.choice(["oslo", "rome", "lima"], 300)
    frame["noise"] = rng.normal(size=300)
    _, table, _ = learn_schema(frame, None)
    folds = np.array_split(np.arange(300), 3)
    splits = [(np.setdiff1d(np.arange(300), f), f) for f in folds]
    y = value(table) + 0.1 * rng.normal(size=300)
    return interpret(
        [(value, f) for f in folds],
        table,
        y,
        None,
        None,
        resolve_scoring("neg_root_mean_squared_error", Task.REGRESSION),
        [0, 1, 2, 3, 4],
        final=Explained(value, table, Task.REGRESSION),
        splits=splits,
    )


def test_sentences_are_said_again_from_what_stands_at_their_paths(interpretation: Interpretation) -> None:
    facts = json.loads(json.dumps(interpretation.to_dict(), allow_nan=False))
    assert len(interpretation.insights) >= 10
    for insight in facts["insights"]:
        there = resolve(facts, insight["path"])
        assert there == insight["value"]
        assert say(insight["kind"], there, facts) == insight["text"]
    assert [i["text"] for i in facts["insights"]] == list(interpretation.sentences)


def changed(fact: Any) -> list[Any]:
    """The fact with each of its parts, in turn, as something else."""
    if isinstance(fact, dict):
        return [{**fact, key: other} for key in fact for other in changed(fact[key])]
    if isinstance(fact, list):
        return [[*fact[:i], other, *fact[i + 1 :]] for i in range(len(fact)) for other in changed(fact[i])]
    if isinstance(fact, bool):
        return [not fact]
    if isinstance(fact, (int, float)):
        return [fact + max(abs(fact), 1.0) * 0.37]
    return [f"not {fact}"]


#: Parts of facts that no sentence speaks of.
SILENT = {
    "importances": {"by_fold", "std", "low", "status"},
    "effects": {"mean_abs", "highest", "lowest", "direction"},
    "pairs": {"is_found"},
}


def test_a_wrong_fact_makes_another_sentence(interpretation: Interpretation) -> None:
    facts = interpretation.to_dict()
    for insight in facts["insights"]:
        others = [other for other in changed(insight["value"]) if other != insight["value"]]
        assert others
        silent = next((parts for name, parts in SILENT.items() if f"/{name}/" in insight["path"]), set())
        for other in others:
            if isinstance(other, dict):
                part = next(k for k in other if other[k] != insight["value"][k])
                if (
                    part in silent
                    and not (part in ("highest", "lowest") and insight["kind"] == "extremes")
                    and not (part == "direction" and insight["kind"] == "trend")
                ):
                    continue
            wrong = copy.deepcopy(facts)
            *above, last = insight["path"].split("/")[1:]
            place = resolve(wrong, "".join(f"/{p}" for p in above))
            place[int(last) if isinstance(place, list) else last] = other
            assert say(insight["kind"], other, wrong) != insight["text"], (insight["path"], other)


def test_what_is_true_is_said(interpretation: Interpretation) -> None:
    text = " ".join(interpretation.sentences)
    assert "`a` matters most: shuffling it raises RMSE by" in text
    assert "More of `a` raises the prediction" in text
    assert "`town` raises the prediction most where it is `oslo`" in text
    assert "`b` and `c` act together" in text
    assert "Shuffling `noise` costs nothing beyond chance" in text


def test_every_wording_is_for_something(interpretation: Interpretation, explained: Callable[..., Explained]) -> None:
    said = {insight.kind for insight in interpretation.insights}
    facts = interpretation.to_dict()
    unsure = [{**row, "low": -1.0} for row in facts["importances"]]
    said |= {insight.kind for insight in insights({**facts, "importances": unsure})}
    quiet = {**facts, "importances": list(unsure), "idle": [row["column"] for row in unsure]}
    quiet["importances"][-1] = {
        "column": "z",
        "mean": None,
        "low": None,
        "high": None,
        "std": None,
        "status": "not run: no time",
    }
    quiet["interactions"] = {
        **facts["interactions"],
        "pairs": [{**p, "is_found": False} for p in facts["interactions"]["pairs"]],
    }
    quiet["unstable"] = ["a", "z"]
    said |= {insight.kind for insight in insights(quiet)}
    said |= {insight.kind for insight in insights({**facts, "not_run": ["z"]})}
    assert said == set(WORDS)


def test_nothing_is_said_of_what_was_not_run(interpretation: Interpretation) -> None:
    facts = interpretation.to_dict()
    for name in ("shap", "partial_dependence", "interactions", "rules", "trust"):
        facts[name] = {"status": "not run: no time"}
    kinds = {insight.kind for insight in insights(facts)}
    assert kinds == {"matters_most", "matters_too", "idle"}


def test_pointers_are_those_of_the_standard() -> None:
    facts = {"a/b": [{"m~n": 1}], "": 2}
    assert resolve(facts, "/a~1b/0/m~0n") == 1
    assert resolve(facts, "/") == 2
    assert resolve(facts, "") is facts
    with pytest.raises(KeyError):
        resolve(facts, "/nowhere")


def test_nothing_but_importances_without_a_final_model() -> None:
    from automl_wf.core.frame import learn_schema

    rng = np.random.default_rng(0)
    _, table, _ = learn_schema(pd.DataFrame({"x": rng.normal(size=90), "z": rng.normal(size=90)}), None)
    found = interpret(
        [(lambda t: t.cells[0], np.arange(90))], table, table.cells[0], None, None,
        resolve_scoring("r2", Task.REGRESSION), [0, 1], budget=Budget(),
    )  # fmt: skip
    assert found.shap is None
    assert {insight.kind for insight in found.insights} == {"matters_most", "idle"}
