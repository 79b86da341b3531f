"""A finished search as tables: order, ranks, the Pareto front and what goes into a package."""

from __future__ import annotations

import json
import math
import pickle
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.bayesian_hpo import Configuration, Trial
from automl_wf.exceptions import InvalidParameter
from automl_wf.results import _pareto_front, cv_results, history, leaderboard, subject_of


def trial(number: int, score: float, ms: float = 1.0, folds: tuple[float, ...] = (), **facts: Any) -> Trial:
    configuration = Configuration(facts.pop("model", "ridge"), {"alpha": number}, facts.pop("source", "portfolio"))
    status = facts.pop("status", "ok")
    return Trial(number, configuration, status, score=score, predict_time_ms=ms, fold_scores=folds, **facts)


TRIALS = (
    trial(0, 0.5, 1.0, (0.4, 0.6), model="dummy", source="baseline", fit_time_s=2.0),
    trial(1, math.nan, math.nan, status="failed", reason="ValueError: no"),
    trial(2, 0.9, 5.0, (0.8, 1.0), n_rounds=7, is_cut_short=True),
    trial(3, math.nan, math.nan, (0.2,), status="pruned", reason="behind"),
    trial(4, 0.7, 2.0, (0.7, math.nan)),
    trial(5, 0.7, 3.0, (0.7, 0.7)),
)


def result_of(trials: tuple[Trial, ...]) -> Any:
    choice = SimpleNamespace(weights=np.array([0.75, 0.25]))
    families = {name: SimpleNamespace(family="linear") for name in ("dummy", "ridge")}
    tuning = SimpleNamespace(trials=trials, candidates=(2, 5), choice=choice)
    return SimpleNamespace(tuning=tuning, shortlist=SimpleNamespace(specs=families))


def test_the_leaderboard_is_best_first_and_those_without_a_score_last() -> None:
    board = leaderboard(result_of(TRIALS))
    assert list(board.columns) == [
        "rank",
        "model",
        "family",
        "source",
        "status",
        "score",
        "score_std",
        "weight",
        "fit_time_s",
        "predict_time_ms",
        "n_rounds",
        "n_parameters",
        "on_pareto_front",
        "reason",
        "params",
        "number",
    ]
    assert board["number"].tolist() == [2, 4, 5, 0, 1, 3]
    assert board["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert board["weight"].tolist() == [0.75, 0.0, 0.25, 0.0, 0.0, 0.0]
    assert board["score_std"].tolist()[:4] == pytest.approx([0.1, 0.0, 0.0, 0.1])
    assert board["reason"].tolist() == ["cut short by the clock", "", "", "", "ValueError: no", "behind"]
    assert board["n_rounds"].tolist()[0] == 7
    assert str(board["n_rounds"].dtype) == "Int64"
    assert board["params"][0] == {"alpha": 2}
    assert str(leaderboard(result_of(TRIALS[:1] + TRIALS[1:2]))["n_rounds"].dtype) == "Int64"


def test_the_pareto_front_by_hand() -> None:
    # 0 is fastest, 4 better at 2 ms, 5 no better than 4 but slower, 2 best of all.
    assert _pareto_front(TRIALS) == {0, 4, 2}
    assert _pareto_front((trial(0, 0.5, 1.0), trial(1, 0.6, 1.0), trial(2, 0.6, 1.0))) == {1}
    assert _pareto_front(TRIALS[1:2]) == set()
    # 1 is slower and worse than 0, but smaller; 2 is neither.
    sizes = (trial(0, 0.8, 1.0, n_parameters=9), trial(1, 0.7, 2.0, n_parameters=3), trial(2, 0.7, 2.0, n_parameters=9))
    assert _pareto_front(sizes) == {0, 1}


def test_cv_results_have_a_row_per_trial_and_ranks_with_ties() -> None:
    table = cv_results(SimpleNamespace(trials=TRIALS))  # type: ignore[arg-type]
    assert {len(column) for column in table.values()} == {6}
    assert {f"split{i}_test_score" for i in range(2)} <= set(table)
    np.testing.assert_allclose(table["mean_test_score"], [0.5, np.nan, 0.9, 0.2, 0.7, 0.7])
    assert table["rank_test_score"].tolist() == [4, 6, 1, 5, 2, 2]
    np.testing.assert_allclose(table["split1_test_score"], [0.6, np.nan, 1.0, np.nan, np.nan, 0.7])
    assert table["params"][2] == {"model": "ridge", "alpha": 2}
    assert table["mean_fit_time"][0] == 1.0


def test_history_keeps_the_order_and_the_best_so_far() -> None:
    table = history(SimpleNamespace(trials=TRIALS))  # type: ignore[arg-type]
    assert table["number"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["best_score"].tolist() == [0.5, 0.5, 0.9, 0.9, 0.9, 0.9]
    assert table["source"].tolist()[:2] == ["baseline", "portfolio"]
    late = history(SimpleNamespace(trials=TRIALS[1:3]))  # type: ignore[arg-type]
    assert math.isnan(late["best_score"][0])


@pytest.fixture(scope="module")
def model(quick_settings: dict[str, Any], mixed_table: Any) -> WorkflowClassifier:
    X, y = mixed_table
    return WorkflowClassifier(**quick_settings, estimators=["linear", "lightgbm"]).fit(X.assign(fixed=1), y)


def test_importances_are_in_the_order_of_the_columns_and_nought_for_unused_ones(model: WorkflowClassifier) -> None:
    importances = model.feature_importances_
    names = list(model.feature_names_in_)
    assert importances.shape == (len(names),)
    assert importances[names.index("fixed")] == 0.0
    means = {row.column: row.mean for row in model.interpretation_.importances}
    assert all(importances[i] == means[name] for i, name in enumerate(names) if name != "fixed")


def test_what_is_pickled_for_a_package_holds_no_training_rows(model: WorkflowClassifier, mixed_table: Any) -> None:
    X, _ = mixed_table
    subject = subject_of(model, model._result)
    assert len(model._result.reference) == len(X)
    twin = pickle.loads(pickle.dumps(subject.estimator))
    assert len(twin._result.reference) == len(twin._result.reference_y) == 0
    assert set(twin._result.evidence) <= {"baseline"}
    np.testing.assert_array_equal(twin.predict_proba(X.assign(fixed=1)), model.predict_proba(X.assign(fixed=1)))
    facts = (subject.search, subject.blend, subject.findings, subject.decisions, subject.parameters, subject.drift)
    for fact in facts:
        json.dumps(fact)
    assert subject.categories["plan"] == ["free", "pro", "team"]
    assert {f["name"] for f in subject.features} == set(model.feature_metadata_["name"])
    shares = [f["importance"] for f in subject.features if f["is_kept"] and not np.isnan(f["importance"])]
    assert shares == sorted(shares, reverse=True)
    most_important = model.interpretation_.importances[0].column
    assert next(iter(subject.drift["features"])) == most_important


def test_features_are_told_with_their_share_of_the_gain_and_unused_columns_with_the_reason() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    frame = pd.DataFrame({"x": x, "noise": rng.normal(size=200), "copy": x, "same": 1.0})
    frame["key"] = [f"order {i:04d}" for i in range(200)]
    model = WorkflowRegressor(time_budget=None, n_iter=3, estimators=["lightgbm"], random_state=0, verbose=0)
    features = model.fit(frame, 3.0 * x + rng.normal(size=200)).feature_metadata_.set_index("name")
    kept = features[features["is_kept"]]
    assert list(kept.index) == list(model.get_feature_names_out())
    assert kept["importance"].sum() == pytest.approx(1.0)
    assert kept["importance"]["x"] > kept["importance"]["noise"]
    assert features[~features["is_kept"]]["reason"].to_dict() == {
        "copy": "repeats another column",
        "same": "one value only",
        "key": "another value in every row",
    }


def test_features_that_are_made_are_told_before_levels() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"city": rng.choice(["Oslo", "Rome", "Lima"], 300), "street": rng.integers(0, 60, 300)})
    X["street"] = "street " + X["street"].astype(str)
    y = rng.normal(size=60)[pd.factorize(X["street"])[0]] + 0.1 * rng.normal(size=300)
    model = WorkflowRegressor(time_budget=None, n_iter=2, estimators=["linear"], random_state=0, verbose=0).fit(X, y)
    told = subject_of(model, model._result).features
    kinds = [f["kind"] for f in told]
    assert {"level", "statistic"} <= set(kinds)
    assert kinds.index("level") > max(i for i, kind in enumerate(kinds) if kind == "statistic")
    assert "street_target_mean" in {f["name"] for f in told}


def test_the_version_is_the_moment_of_the_fit_unless_it_is_given(model: WorkflowClassifier) -> None:
    of_the_moment = subject_of(model, model._result).version
    assert datetime.strptime(of_the_moment, "%Y%m%d.%H%M%S").replace(tzinfo=UTC) == datetime.fromisoformat(
        model._result.created
    )
    assert subject_of(model, model._result, "2.1-rc.1").version == "2.1-rc.1"
    for version in ("", "-1", "a b", "v/1", "1" * 129):
        with pytest.raises(InvalidParameter, match="The 'version' parameter must be 1 to 128 letters"):
            subject_of(model, model._result, version)
