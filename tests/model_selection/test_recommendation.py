"""Recommendations follow from facts: another fact, another list and another sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from automl_wf.core.tasks import Task
from automl_wf.model_selection import shortlist_models
from automl_wf.model_selection.catalogue import MODELS, is_installed, models_for
from automl_wf.model_selection.recommendation import (
    DataProfile,
    Recommendation,
    max_configurations,
    portfolio_order,
    recommend,
    search_patience,
)

PROFILE = DataProfile(
    n_rows=4000,
    n_columns=20,
    n_numeric=20,
    n_categorical=0,
    n_datetime=0,
    n_levels_max=0,
    missing_share=0.0,
    task=Task.BINARY,
    n_classes=2,
    smallest_class=2000,
    seconds=60.0,
)


def recommended(**facts: Any) -> dict[str, Recommendation]:
    profile = replace(PROFILE, **facts)
    specs = [spec for spec in MODELS if profile.task in spec.tasks and is_installed(spec)]
    return {entry.name: entry for entry in recommend(profile, specs)}


def names(**facts: Any) -> list[str]:
    return list(recommended(**facts))


def test_ranks_count_from_one_and_sentences_name_the_facts() -> None:
    entries = list(recommended().values())
    assert [entry.rank for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0].name == "lightgbm"
    assert all("4,000 rows, 20 columns" in entry.reason for entry in entries)


@pytest.mark.parametrize(
    ("facts", "model", "is_better", "words"),
    [
        ({"n_rows": 300}, "logistic_regression", True, "300 rows"),
        ({"n_rows": 300}, "mlp", False, "300 rows are few"),
        ({"n_rows": 200_000}, "extra_trees", False, "200,000 rows"),
        ({"n_rows": 200, "n_columns": 1000}, "logistic_regression", True, "1,000 columns on 200 rows"),
        ({"n_classes": 32, "task": Task.MULTICLASS}, "xgboost", False, "32 classes"),
        ({"seconds": 5.0}, "catboost", False, "5 s"),
    ],
)
def test_a_fact_moves_a_model_and_is_named(facts: dict[str, Any], model: str, is_better: bool, words: str) -> None:
    if model not in names():
        pytest.skip(f"{model} is not installed")
    before, after = names(), names(**facts)
    assert before != after
    moved = after.index(model) - before.index(model)
    assert moved < 0 if is_better else moved > 0
    assert words in recommended(**facts)[model].reason


@pytest.mark.parametrize(
    ("facts", "model", "words"),
    [
        ({"n_categorical": 3}, "lightgbm", "3 categorical columns natively"),
        ({"n_categorical": 1}, "lightgbm", "1 categorical column natively"),
        ({"missing_share": 0.12}, "extra_trees", "12%"),
        ({"n_levels_max": 4000}, "mlp", "4,000 levels"),
        ({"smallest_class": 7}, "random_forest", "7 rows"),
    ],
)
def test_a_fact_changes_the_sentence(facts: dict[str, Any], model: str, words: str) -> None:
    assert words in recommended(**facts)[model].reason
    assert words not in recommended()[model].reason


def test_order_begins_with_the_baseline_a_line_and_small_extra_trees_boosting() -> None:
    profile = replace(PROFILE, n_rows=3000)
    order = portfolio_order(recommend(profile, models_for(profile.task)), profile)
    assert [name for name, _ in order[:3]] == ["dummy", "logistic_regression", "lightgbm"]
    first = order[2][1]
    assert (first["extra_trees"], first["num_leaves"], first["learning_rate"]) == (True, 5, 0.05)
    assert "decision_tree" in {name for name, _ in order[:10]}
    assert sum(name == "lightgbm" for name, _ in order[:10]) >= 3
    assert len({repr(entry) for entry in order}) == len(order)


def test_an_hour_keeps_the_published_rates() -> None:
    profile = replace(PROFILE, seconds=3600.0, n_rows=3000)
    order = portfolio_order(recommend(profile, models_for(profile.task)), profile)
    assert order[2][1]["learning_rate"] == 0.0127


def test_few_affordable_rounds_raise_the_learning_rate() -> None:
    profile = replace(PROFILE, n_rows=20_000, seconds=20.0, rounds=700.0)
    order = portfolio_order(recommend(profile, models_for(profile.task)), profile)
    rates = [params["learning_rate"] for name, params in order if name == "lightgbm"]
    assert min(rates) == 50 / 700


@pytest.mark.parametrize(
    ("facts", "n_effective", "patience"),
    [
        ({"smallest_class": 5_000}, 10_000, 12),
        ({"smallest_class": 100}, 396, 3),
        ({"n_rows": 3_000, "smallest_class": 1_500}, 3_000, 5),
        ({"n_rows": 3_000, "task": Task.REGRESSION, "n_classes": 1, "smallest_class": 0}, 3_000, 5),
        ({"n_rows": 3_000, "task": Task.MULTICLASS, "n_classes": 3, "smallest_class": 30}, 3_000, 5),
        ({"n_rows": 0, "smallest_class": 0}, 0, 3),
    ],
)
def test_less_is_asked_for_where_rows_tell_less(facts: dict[str, Any], n_effective: int, patience: int) -> None:
    profile = replace(PROFILE, **{"n_rows": 10_000, "task": Task.BINARY, "n_classes": 2, **facts})
    assert profile.effective_rows == n_effective
    assert search_patience(profile) == patience


@pytest.mark.parametrize(
    ("n_rows", "n"), [(1, 4), (100, 4), (500, 8), (2500, 15), (10_000, 40), (100_000, 100), (10**7, 100)]
)
def test_rows_cap_the_number_of_configurations(n_rows: int, n: int) -> None:
    assert max_configurations(n_rows) == n
    profile = replace(PROFILE, n_rows=n_rows)
    order = portfolio_order(recommend(profile, models_for(profile.task)), profile)
    assert len(order) <= 1 + n
    assert len(order) == 1 + n or n > 25


def test_the_cap_grows_between_the_table() -> None:
    assert max_configurations(100) < max_configurations(220) < max_configurations(500)
    assert max_configurations(200) == 5
    assert max_configurations(2000) == 13


def test_limit_and_presets_shorten_the_list() -> None:
    entries = list(recommended().values())
    assert len(portfolio_order(entries, PROFILE, limit=3)) == 3
    assert len(portfolio_order(entries, PROFILE, preset="fast")) == 7
    fast = recommend(PROFILE, models_for(Task.BINARY), preset="fast")
    assert {e.name: e for e in fast}["lightgbm"].configurations[0]["patience"] == 30


@pytest.mark.parametrize("task", list(Task))
def test_interpretable_means_lines_and_one_shallow_tree(task: Task) -> None:
    profile = replace(PROFILE, task=task)
    entries = recommend(profile, models_for(task), preset="interpretable")
    kept = {entry.name: entry for entry in entries}
    linear = {"logistic_regression"} if task.is_classification else {"linear_regression", "ridge", "lasso"}
    assert kept.keys() == {"dummy", "decision_tree"} | linear
    assert [params["max_depth"] for params in kept["decision_tree"].configurations] == [4]


def test_ranking_tries_every_objective() -> None:
    profile = replace(PROFILE, task=Task.RANKING, n_classes=1)
    order = portfolio_order(recommend(profile, models_for(Task.RANKING)), profile)
    objectives = [params["objective"] for name, params in order if name == "lightgbm"]
    assert set(objectives[:3]) == {"rank_xendcg", "lambdarank", "regression"}
    assert order[1][0] == "ridge"


@pytest.mark.parametrize(("name", "task"), [("logistic_regression", Task.BINARY), ("ridge", Task.REGRESSION)])
def test_few_rows_begin_with_bent_lines(name: str, task: Task) -> None:
    def views(n_rows: int) -> list[str | None]:
        return [params.get("view") for params in recommended(n_rows=n_rows, task=task)[name].configurations]

    few, many = views(300), views(50_000)
    assert few[:2] == ["piecewise", None]
    assert many[:2] == [None, "piecewise"]
    assert sorted(map(str, few)) == sorted(map(str, many))


def test_few_rows_of_few_classes_begin_with_arithmetic() -> None:
    def first_view(**facts: Any) -> Any:
        return recommended(**facts)["lightgbm"].configurations[0].get("view")

    assert first_view(n_rows=300) == "engineered"
    assert first_view(n_rows=300, task=Task.MULTICLASS, n_classes=30) is None
    assert first_view(n_rows=300, n_columns=500) is None
    assert first_view(n_rows=50_000) != "engineered"


@pytest.mark.parametrize("n_rows", [3000, 30_000])
@pytest.mark.parametrize(("n_columns", "n_classes", "is_chosen"), [(199, 2, False), (200, 2, True), (200, 11, False)])
def test_wide_tables_have_models_on_chosen_features(
    n_columns: int, n_classes: int, is_chosen: bool, n_rows: int
) -> None:
    task = Task.BINARY if n_classes == 2 else Task.MULTICLASS
    entries = recommended(n_rows=n_rows, n_columns=n_columns, n_classes=n_classes, task=task).values()
    views = {entry.name: [params.get("view") for params in entry.configurations] for entry in entries}
    assert (views["lightgbm"][1] == "tree_selected") is is_chosen
    assert (views["mlp"][:2] == ["dense_selected", None]) is is_chosen
    first = "piecewise" if n_rows < 5_000 else None
    assert (views["logistic_regression"][:2] == [first, "dense_selected"]) is is_chosen
    assert all(view in (None, "target", "engineered") for view in views["extra_trees"])


@pytest.mark.parametrize(
    ("n_rows", "first"),
    [(20_000, [(24, "target"), (31, None), (39, None)]), (200_000, [(64, "target"), (84, None), (39, None)])],
)
def test_many_rows_take_kinds_of_boosting_by_turns_very_many_begin_with_large_trees(
    n_rows: int, first: list[Any]
) -> None:
    boosting = recommended(n_rows=n_rows, task=Task.REGRESSION, n_classes=1)["lightgbm"].configurations
    assert [(params["num_leaves"], params.get("view")) for params in boosting[:3]] == first
    assert [params["extra_trees"] for params in boosting[:6]] == [False, False, True] * 2
    assert [params.get("view") == "target" for params in boosting[:6]] == [True, False, False] * 2
    leaves = [params["num_leaves"] for params in boosting]
    assert min(leaves[: len(leaves) // 2]) >= 16


def test_two_with_searched_thresholds_come_first_where_no_view_holds_statistics_of_the_target() -> None:
    profile = replace(PROFILE, n_rows=20_000, task=Task.REGRESSION, n_classes=1)
    shortlist = shortlist_models(profile, estimators=["lightgbm"], max_trials=6, views=frozenset({"tree"}))
    first = [(params["num_leaves"], params["extra_trees"]) for name, params in shortlist.configurations[1:4]]
    assert first == [(24, False), (31, False), (39, True)]


def test_texts_are_read_by_their_words_on_many_rows() -> None:
    def views(**facts: Any) -> list[str]:
        entries = recommended(n_rows=20_000, task=Task.REGRESSION, n_classes=1, **facts)
        return [params.get("view", "tree") for params in entries["lightgbm"].configurations]

    assert "tree" in views()
    assert set(views(n_text=1)) == {"target", "engineered"}
    boosting = recommended(n_rows=20_000, task=Task.REGRESSION, n_classes=1, n_text=1)["lightgbm"].configurations
    assert [(params["num_leaves"], params["view"]) for params in boosting[:3]] == [
        (24, "target"),
        (31, "engineered"),
        (39, "engineered"),
    ]
    profile = replace(PROFILE, n_rows=20_000, n_text=1)
    shortlist = shortlist_models(profile, estimators=["lightgbm"], max_trials=6, views=frozenset({"tree"}))
    assert not any("view" in params for _, params in shortlist.configurations)


def test_many_rows_try_two_kinds_of_boosting_before_anything_slower() -> None:
    def first(n_rows: int) -> list[str]:
        profile = replace(PROFILE, n_rows=n_rows)
        taking_part = models_for(profile.task, ("dummy", "linear", "lightgbm", "mlp"))
        return [name for name, _ in portfolio_order(recommend(profile, taking_part), profile)[2:5]]

    assert first(4_999) == ["lightgbm", "lightgbm", "mlp"]
    assert first(5_000) == ["lightgbm", "lightgbm", "mlp"]


@pytest.mark.parametrize("facts", [{}, {"n_classes": 32, "task": Task.MULTICLASS}, {"task": Task.RANKING}])
@pytest.mark.parametrize(
    ("family", "models"), [("tree_based", {"extra_trees", "random_forest"}), ("neural_networks", {"mlp"})]
)
def test_forests_and_networks_are_tried_where_they_are_named_only(
    facts: dict[str, Any], family: str, models: set[str]
) -> None:
    profile = replace(PROFILE, **facts)
    for estimators, is_there in (("auto", False), (["lightgbm", *models], True), ([family], True)):
        shortlist = shortlist_models(profile, estimators=estimators, max_trials=1_000)
        assert (models <= {name for name, _ in shortlist.configurations}) is is_there
        assert models.isdisjoint(shortlist.specs) is not is_there


def test_networks_learn_faster_on_many_rows_up_to_a_rate() -> None:
    few = [params["learning_rate"] for params in recommended(n_rows=4_999)["mlp"].configurations]
    many = [params["learning_rate"] for params in recommended(n_rows=5_000)["mlp"].configurations]
    assert many == [max(rate, min(2.0 * rate, 0.006)) for rate in few] != few
