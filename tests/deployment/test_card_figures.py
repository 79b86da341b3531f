"""Every measured figure of a card is computed again, from the package or with the data, or is a record of the run."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import automl_wf
from automl_wf import cli
from automl_wf.deployment import Subject, load, package, verify
from automl_wf.deployment.card import build_card, plain
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.leaves import Leaf, called, leaves_of
from automl_wf.deployment.manifest import write_manifest
from automl_wf.deployment.training_data import TrainingData
from automl_wf.deployment.verify import _check_field
from automl_wf.estimator import fit_again
from automl_wf.results import subject_of

#: `automl_wf.deployment.verify` is the function.
verify_module = importlib.import_module("automl_wf.deployment.verify")

TASKS = ("binary", "multiclass", "regression", "ranking")
#: Fields that are records of the run, whatever the fit; of the leaderboard and the search only times are.
RECORDS = {
    "model_details.created", "metrics.constraints", "metrics.criteria", "how_it_was_made.call",
    "how_it_was_made.parameters", "how_it_was_made.stages", "how_it_was_made.timings", "how_it_was_made.resources",
    "how_it_was_made.search", "how_it_was_made.leaderboard", "how_it_was_made.environment", "package.latency",
    "package.memory", "business_value.custom_kpis",
}  # fmt: skip


MEASURED = {
    "latency": {"one_row_p50_s": 1e-4, "one_row_p95_s": 2e-4, "thousand_rows_s": 3e-3},
    "memory": {"peak_bytes": 10**8},
}


@pytest.fixture(autouse=True)
def measured_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings are measured again elsewhere (test_verify.py)."""
    monkeypatch.setattr(verify_module, "measure", lambda _: MEASURED)


@dataclass(frozen=True)
class Case:
    """One fit of a second, its training data, and the package that was written of it (its tests were not run)."""

    task: str
    data: pd.DataFrame
    model: Any
    path: Path

    @cached_property
    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self.path / "docs/card.json").read_text(encoding="utf-8"))
        return card

    @cached_property
    def page(self) -> str:
        return (self.path / "docs/model_card.md").read_text(encoding="utf-8")

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.path)

    @cached_property
    def training(self) -> TrainingData:
        return TrainingData.read(self.data, self.evidence, self.fit_again)

    @cached_property
    def again(self) -> Any:
        """The model that the code of the card makes."""
        (code,) = re.findall(r"```python\n(.*?)```", self.page, re.DOTALL)
        names = {"groups": self.inputs.get("groups")}
        table = self.inputs["X"].assign(answer=self.inputs["y"])
        with pytest.MonkeyPatch.context() as patch:
            # CSV would keep neither types nor all digits
            patch.setattr(pd, "read_csv", lambda path, **_: {"TABLE.csv": table}[path].copy())
            exec(compile(ast.parse(code), "model_card.md", "exec"), names)
        return names["model"]

    def fit_again(self, *_: Any) -> Subject:
        """As `verify` would fit again."""
        return subject_of(self.again, self.again._result)

    @property
    def inputs(self) -> dict[str, Any]:
        """What `fit` was given."""
        named = {"groups": self.data["query"]} if self.task == "ranking" else {}
        return {"X": self.data.drop(columns=["answer", "query"], errors="ignore"), "y": self.data["answer"], **named}


def make_data(task: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    X = pd.DataFrame({"size": rng.normal(size=n), "age": rng.integers(0, 9, n).astype(float)})
    X["place"] = rng.choice(["north", "south"], n)
    signal = 2 * X["size"] + (X["place"] == "north") + rng.normal(scale=0.5, size=n)
    if task == "binary":
        return X.assign(answer=np.where(signal > 0.5, "yes", "no"))
    if task == "multiclass":
        return X.assign(answer=np.digitize(signal, [-0.5, 1.5]).astype(str)).replace({"answer": {"0": "low"}})
    if task == "regression":
        return X.assign(answer=signal * 10)
    outcomes = X.assign(clicks=(signal > 1).astype(float), product=rng.choice(["a", "b", "c", "d"], n))
    return outcomes.assign(answer=np.digitize(signal, [-0.5, 1.5]), query=np.arange(n) // 6)


PARAMETERS: dict[str, dict[str, Any]] = {
    "binary": {
        "business": {"currency": "EUR", "cost_per_false_positive": 1.0, "cost_per_false_negative": 5.0},
        "requirements": {"score": 0.6, "max_size": 10**7, "max_memory": 10**10},
        "sensitive": ["place"],
    },
    "multiclass": {"business": {"cost_per_error": 2.0}, "scoring": "accuracy"},
    "regression": {
        "requirements": {"score": 8.0},
        "sensitive": ["age"],
        "estimators": [("ridge", {"alpha": 1.0}), "lightgbm"],
    },
    "ranking": {"business": {"clicks": "clicks", "item": "product"}, "requirements": {"score": 0.5}},
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    made: dict[str, Case] = {}
    kin = {
        "binary": automl_wf.WorkflowClassifier, "multiclass": automl_wf.WorkflowClassifier,
        "regression": automl_wf.WorkflowRegressor, "ranking": automl_wf.WorkflowRanker,
    }  # fmt: skip

    def case(task: str) -> Case:
        if task not in made:
            settings = {"time_budget": None, "n_iter": 3, "cv": 3, "n_jobs": 1, "random_state": 0, "verbose": 0}
            model = kin[task](**settings, **PARAMETERS[task])
            path = tmp_path_factory.mktemp(task) / "model_package"
            made[task] = Case(task, make_data(task), model, path)
            model.fit(**made[task].inputs)
            with pytest.MonkeyPatch.context() as patch:
                # What the checklist measures is no part of the card, and takes most of the time
                patch.setattr(package, "_inspect", lambda *_: ())
                patch.setattr(package, "measure", lambda _: MEASURED)
                model.export(path, info={"owner": "Ada", "licence": "MIT", "users": "analysts"})
        return made[task]

    return case


@pytest.fixture(params=TASKS)
def case(request: pytest.FixtureRequest, cases: Callable[[str], Case]) -> Case:
    return cases(request.param)


def test_every_measured_figure_has_one_origin_and_records_are_declared(case: Case) -> None:
    leaves = list(leaves_of(case.card))
    assert len({leaf.path for leaf in leaves}) == len(leaves)
    records = {leaf.path for leaf in leaves if leaf.origin == "record"}
    assert [path for path in records if not path.startswith(tuple(RECORDS))] == []
    for section, fields in case.card["sections"].items():
        for name, field in fields.items():
            is_computed = "compute" in field["evidence"]
            assert field["source"] != "measured" or is_computed == (field["check"] in ("exact", "data")), (
                section,
                name,
            )


def test_with_the_data_every_figure_but_the_records_is_computed_again(case: Case) -> None:
    leaves = list(leaves_of(case.card))
    n = {origin: sum(leaf.origin == origin for leaf in leaves) for origin in ("package", "data", "record")}
    without = verify(case.path)
    assert without.ok, str(without)
    assert without.figures == {"computed_again": n["package"], "need_data": n["data"], "records": n["record"]}
    assert f"{n['package']:,} figures computed again, {n['data']:,} need --data" in str(without)
    report = verify(case.path, case.data, case.fit_again)
    assert report.ok, str(report)
    assert report.figures == {"computed_again": n["package"] + n["data"], "need_data": 0, "records": n["record"]}


def test_a_changed_figure_is_found_and_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compute", "compute_from_data"):
        monkeypatch.setattr(verify_module, name, computed_once(getattr(verify_module, name)))
    fields = {f"{s}.{n}": f for s, of in case.card["sections"].items() for n, f in of.items()}
    tampered = [leaf for leaf in leaves_of(case.card) if leaf.origin != "record" and not _is_inside_of_a_curve(leaf)]
    assert len(tampered) > 100
    for leaf in tampered:
        name = ".".join(re.split(r"[.\[]", leaf.path)[:2])
        field = {**fields[name], "value": _with(fields[name]["value"], leaf, name)}
        # Forged in the record, too: only computing it again can tell
        check = _check_field(name, field, field, case.evidence, case.training)
        assert check.status == "wrong", leaf
        assert "computed again" in check.reason, leaf
        assert leaf.path.removeprefix(name) in check.reason, (leaf, check.reason)


def computed_once(compute: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which keeps what it has computed."""
    known: dict[str, Any] = {}

    def cached(source: Any, recipe: dict[str, Any], name: str = "") -> Any:
        key = json.dumps([name, recipe], sort_keys=True)
        if key not in known:
            known[key] = compute(source, recipe, name) if name else compute(source, recipe)
        return known[key]

    return cached


def test_the_command_names_the_figure_and_ends_with_1(
    cases: Callable[[str], Case], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    case = cases("regression")
    copy = Path(shutil.copytree(case.path, tmp_path / "copy"))
    forged = ("summary.expected_score.value", "where_it_fails.fold_scores.mean", "how_it_was_made.search.n_trials")
    card = deepcopy(case.card)
    for path in forged:
        section, name, key = path.split(".")
        card["sections"][section][name]["value"][key] += 1
    (copy / "docs/card.json").write_text(json.dumps(card))
    write_manifest(copy)
    case.data.to_parquet(tmp_path / "data.parquet")
    monkeypatch.setattr(sys, "argv", ["automl-wf", "verify", str(copy), "--data", str(tmp_path / "data.parquet")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1
    for path in forged:
        section, name, key = path.split(".")
        assert re.search(rf"wrong: {section}\.{name}: value\.{key}", said)
    assert re.search(r"^[\d,]+ figures computed again, 0 need --data, \d+ are records of the run$", said, re.MULTILINE)


def test_what_hung_on_the_clock_is_a_record_of_the_run(cases: Callable[[str], Case]) -> None:
    facts = deepcopy(cases("binary").evidence.facts)
    facts["parameters"]["time_budget"] = 60.0
    card = plain(build_card(facts))
    assert card["sections"]["summary"]["repeats"]["value"]["reason"] == ("the clock had a part in it (time_budget)")
    checks = {f"{s}.{n}": f["check"] for s, of in card["sections"].items() for n, f in of.items()}
    assert checks["how_it_was_made.leaderboard"] == checks["why_it_predicts.importances"] == "once"
    # The choice among many, the scores and the slices do not hang on it
    assert checks["quantitative_analyses.honest"] == checks["quantitative_analyses.scores"] == "exact"
    assert checks["where_it_fails.slices"] == checks["factors.groups"] == "data"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"call": {}}, "it is not recorded how fit was called"),
        ({"parameters": {"random_state": None}}, "no random_state was given"),
        (
            {
                "call": {
                    "estimator": "WorkflowClassifier",
                    "not_literal": ["cv"],
                    "groups": False,
                    "sample_weight": False,
                }
            },
            "the objects given as cv",
        ),
        (
            {"call": {"estimator": "WorkflowClassifier", "not_literal": [], "groups": False, "sample_weight": True}},
            "the sample weights are not",
        ),
        (
            {"call": {"estimator": "X", "not_literal": [], "groups": True, "sample_weight": False}, "n_rows": 10**6},
            "the groups of rows that were never held out are not",
        ),
    ],
)
def test_why_a_fit_does_not_repeat_is_said(cases: Callable[[str], Case], change: dict[str, Any], reason: str) -> None:
    facts = {**cases("binary").evidence.facts, **change}
    found = build_card(facts)["sections"]["summary"]["repeats"]["value"]
    assert found["is_exact"] is False
    assert reason in found["reason"]


def test_the_code_of_the_card_makes_the_model_again(case: Case) -> None:
    again, X = case.again, case.inputs["X"]
    kind = "predict_proba" if case.task in ("binary", "multiclass") else "predict"
    np.testing.assert_array_equal(getattr(again, kind)(X), getattr(case.model, kind)(X))
    np.testing.assert_allclose(getattr(load(case.path), kind)(X), getattr(again, kind)(X), rtol=1e-9, atol=1e-9)
    assert "give the same model bit by bit" in case.page


def test_other_data_are_not_fitted(cases: Callable[[str], Case]) -> None:
    case = cases("regression")
    other = case.data.assign(size=case.data["size"] + 1)
    report = verify(case.path, other, fit_again)
    checks = {c.subject: c for c in report.checks}
    assert checks["training_data.fingerprint"].status == "wrong"
    assert checks["how_it_was_made.leaderboard"].status == "not checked"
    assert "in their order" in checks["how_it_was_made.leaderboard"].reason
    without_target = verify(case.path, case.data.drop(columns="answer"), fit_again)
    assert without_target.ok
    assert "needs the target" in {c.subject: c for c in without_target.checks}["how_it_was_made.leaderboard"].reason


def test_another_environment_is_no_forgery(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases("regression")
    facts = deepcopy(case.evidence.facts)
    facts["environment"]["python"] = "3.99.0"
    evidence = Evidence(tmp_path)
    evidence.__dict__.update(facts=facts, config=case.evidence.config, arrays=case.evidence.arrays)
    training = TrainingData.read(case.data, evidence, fit_again)
    assert training.lacking({"compute": "fit"}).startswith("the model was fitted in another environment (python)")
    nobody = TrainingData.read(case.data, case.evidence)
    assert nobody.lacking({"compute": "fit"}).startswith("needs a fit")


def _is_inside_of_a_curve(leaf: Leaf) -> bool:
    """All but the first rows of a long table or curve."""
    return any(int(place) > 1 for place in re.findall(r"\[(\d+)\]", leaf.path))


def _with(value: Any, leaf: Leaf, place: str) -> Any:
    """The value with one leaf changed."""
    if isinstance(value, dict):
        return {key: _with(item, leaf, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, leaf, f"{place}[{called(item, i)}]") for i, item in enumerate(value)]
    return _changed(value) if place == leaf.path else value


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value * 1.01 + 1
    return 0.5 if value is None else f"{value}!"
