"""The shortlist: which models take part, in which order, and the user's word about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from automl_wf import model_selection
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection import VIEWS, DataProfile, shortlist_models
from automl_wf.model_selection.catalogue import MODELS, models_for


def profile(**facts: Any) -> DataProfile:
    given: dict[str, Any] = {
        "n_rows": 500,
        "n_columns": 5,
        "n_numeric": 5,
        "n_categorical": 0,
        "n_datetime": 0,
        "n_levels_max": 0,
        "missing_share": 0.0,
        "task": Task.BINARY,
        "n_classes": 2,
        "smallest_class": 200,
        "seconds": None,
    }
    return DataProfile(**(given | facts))


def test_the_baseline_is_first_and_every_configuration_has_its_model() -> None:
    shortlist = shortlist_models(profile(), max_trials=None)
    names = [name for name, _ in shortlist.configurations]
    assert names[0] == "dummy"
    assert names.count("dummy") == 1
    assert set(names) <= set(shortlist.specs)
    assert {r.name for r in shortlist.recommendations} <= set(shortlist.specs)
    assert all(r.reason for r in shortlist.recommendations)


def test_names_families_and_own_ones() -> None:
    mine = ("mine", LogisticRegression())
    shortlist = shortlist_models(profile(), estimators=["linear", "lightgbm", mine], max_trials=None)
    assert [name for name, _ in shortlist.configurations][:2] == ["dummy", "mine"]
    assert set(shortlist.specs) == {"dummy", "mine", "logistic_regression", "lightgbm"}
    only = shortlist_models(profile(), estimators=[mine], max_trials=None)
    assert [name for name, _ in only.configurations] == ["dummy", "mine"]
    assert set(shortlist_models(profile(), estimators="lightgbm", max_trials=None).specs) == {"dummy", "lightgbm"}


@pytest.mark.parametrize(
    ("n_rows", "n_classes", "rounds", "takes_part"),
    [
        (5_000, 50, 299.0, True),
        (5_000, 50, 300.0, False),
        (5_000, 50, None, False),
        (5_000, 10, 20.0, False),
        (5_000, 11, 20.0, True),
        (4_999, 11, 20.0, False),
    ],
)
def test_networks_take_part_where_there_is_time_for_few_rounds_of_many_classes(
    n_rows: int, n_classes: int, rounds: float | None, takes_part: bool
) -> None:
    facts = profile(task=Task.MULTICLASS, n_classes=n_classes, rounds=rounds, n_rows=n_rows, seconds=20.0)
    shortlist = shortlist_models(facts, max_trials=None)
    assert ("mlp" in shortlist.specs) == takes_part
    assert not takes_part or [name for name, _ in shortlist.configurations][1:5] == [
        "logistic_regression",
        "lightgbm",
        "mlp",
        "lightgbm",
    ]
    assert "mlp" not in shortlist_models(facts, estimators=["lightgbm"], max_trials=None).specs
    reasons = {r.name: r.reason for r in shortlist.recommendations}
    assert not takes_part or f"time for {rounds:.0f} rounds of {n_classes} trees only" in reasons["mlp"]


@pytest.mark.parametrize("estimators", [["nobody"], "nobody", ["ridge"], [], [3], [("a",)], [("a", "b")]], ids=repr)
def test_what_cannot_take_part(estimators: Any) -> None:
    with pytest.raises(InvalidParameter):
        shortlist_models(profile(), estimators=estimators, max_trials=None)


def test_as_many_configurations_as_asked_for() -> None:
    assert len(shortlist_models(profile(), max_trials=3).configurations) == 3


def test_views_that_there_are_not_are_neither_tried_nor_searched() -> None:
    whole = shortlist_models(profile(), estimators="lightgbm", max_trials=50)
    assert {params.get("view") for _, params in whole.configurations} == {None, "target", "engineered"}
    some = shortlist_models(profile(), estimators="lightgbm", max_trials=50, views={"tree", "dense", "engineered"})
    assert {params.get("view") for _, params in some.configurations} == {None, "engineered"}
    assert some.specs["lightgbm"].space["view"].choices == ("tree", "engineered")
    none = shortlist_models(profile(), estimators="lightgbm", max_trials=50, views={"tree", "dense"})
    assert {params.get("view") for _, params in none.configurations} == {None}
    assert "view" not in none.specs["lightgbm"].space
    assert len(whole.configurations) == len(some.configurations) == len(none.configurations)


def test_configurations_that_differed_by_a_missing_view_alone_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (spec,) = models_for(Task.BINARY, ("logistic_regression",))
    doubled = replace(spec, portfolio=({"C": 1.0}, {"C": 1.0, "view": "piecewise"}, {"C": 0.1}))
    baseline = models_for(Task.BINARY, ("dummy",))
    monkeypatch.setattr(
        model_selection, "models_for", lambda task, names=None: baseline if names == ("dummy",) else (doubled,)
    )

    def listed(views: set[str]) -> list[Any]:
        shortlist = shortlist_models(profile(), estimators="linear", max_trials=50, views=views)
        assert ("view" in shortlist.specs["logistic_regression"].space) == ("piecewise" in views)
        return [params for _, params in shortlist.configurations[1:]]

    assert len(listed({"tree", "dense", "piecewise"})) == 3
    assert listed({"tree", "dense"}) == [{"C": 1.0}, {"C": 0.1}]


def test_hyper_parameters_that_are_held() -> None:
    given = [("lightgbm", {"sampling": "balanced", "learning_rate": 0.01, "num_leaves": 4}), ("linear", {"C": 3.0})]
    shortlist = shortlist_models(profile(), estimators=given, max_trials=50)
    boosted = [params for name, params in shortlist.configurations if name == "lightgbm"]
    assert len(boosted) > 3
    assert all(p["sampling"] == "balanced" and p["learning_rate"] == 0.01 and p["num_leaves"] == 4 for p in boosted)
    assert not {"sampling", "learning_rate", "num_leaves"} & set(shortlist.specs["lightgbm"].space)
    linear = [params for name, params in shortlist.configurations if name == "logistic_regression"]
    assert linear == [{"C": 3.0, "view": "piecewise"}, {"C": 3.0}]


def test_a_view_that_is_held_is_used_where_there_is_one() -> None:
    given = [("lightgbm", {"view": "tree_selected"})]
    wide = shortlist_models(profile(), estimators=given, max_trials=50, views={"tree", "dense", "tree_selected"})
    assert {params.get("view") for name, params in wide.configurations if name == "lightgbm"} == {"tree_selected"}
    narrow = shortlist_models(profile(), estimators=given, max_trials=50, views={"tree", "dense"})
    assert {params.get("view") for _, params in narrow.configurations} == {None}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"view": "wide"}, "'view' must be one of.*'wide'"),
        ({"sampling": "smote"}, "'sampling' must be one of.*'smote'"),
    ],
)
def test_views_and_samplings_that_there_are_not(held: Any, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        shortlist_models(profile(), estimators=[("lightgbm", held)], max_trials=5)


def test_every_view_of_the_catalogue_may_be_held() -> None:
    for spec in MODELS[1:]:  # the baseline has no features
        named = {spec.view_of(params) for params in spec.portfolio}
        choices = spec.space["view"].choices if "view" in spec.space else ()
        assert {spec.view, *named, *choices} <= set(VIEWS)
