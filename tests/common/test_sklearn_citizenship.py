"""A citizen of scikit-learn: cloned, pickled, weighted, routed, nested and searched over like any other estimator."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from automl_wf import WorkflowClassifier, WorkflowEstimator, WorkflowRanker, WorkflowRegressor

KIN = (WorkflowEstimator, WorkflowClassifier, WorkflowRegressor, WorkflowRanker)


@pytest.fixture(scope="module")
def cancer() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return X.iloc[:240, :8], y.iloc[:240]


@pytest.fixture(scope="module")
def diabetes() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return X.iloc[:200], y.iloc[:200]


@pytest.fixture
def fitted(cancer: Any, quick: dict[str, Any]) -> WorkflowClassifier:
    return WorkflowClassifier(**quick).fit(*cancer)


@pytest.mark.parametrize("cls", KIN)
def test_parameters_are_stored_untouched(cls: type) -> None:
    marker = object()
    for name in cls().get_params(deep=False):
        assert getattr(cls(**{name: marker}), name) is marker
        assert cls().set_params(**{name: marker}).get_params(deep=False)[name] is marker


@pytest.mark.parametrize("cls", KIN)
def test_parameters_are_keyword_only(cls: type) -> None:
    with pytest.raises(TypeError):
        cls("classification")


def test_task_is_a_parameter_of_the_open_estimator_only() -> None:
    assert "task" in WorkflowEstimator().get_params()
    for cls in KIN[1:]:
        assert "task" not in cls().get_params()


def test_clone_is_unfitted_and_equal(fitted: WorkflowClassifier) -> None:
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "leaderboard_")
    with pytest.raises(NotFittedError):
        twin.predict(np.zeros((1, 8)))


@pytest.mark.parametrize("way", ["pickle", "joblib"])
def test_stored_and_loaded_predicts_the_same(fitted: WorkflowClassifier, cancer: Any, way: str, tmp_path: Path) -> None:
    if way == "pickle":
        loaded = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "model.joblib")
        loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(cancer[0]), fitted.predict_proba(cancer[0]))


def test_fit_starts_afresh(cancer: Any, diabetes: Any, quick: dict[str, Any]) -> None:
    model = WorkflowEstimator(**quick).fit(*diabetes)
    assert not hasattr(model, "classes_")
    model.fit(*cancer)
    assert model.n_features_in_ == 8
    assert list(model.classes_) == [0, 1]
    again = WorkflowEstimator(**quick).fit(*cancer)
    np.testing.assert_array_equal(model.predict_proba(cancer[0]), again.predict_proba(cancer[0]))


def test_failed_fit_leaves_nothing_half_fitted(cancer: Any, quick: dict[str, Any]) -> None:
    model = WorkflowClassifier(**quick)
    with pytest.raises(ValueError, match=r"inconsistent|length|rows|samples"):
        model.fit(cancer[0], cancer[1].iloc[:-1])
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]


def test_names_and_tags(fitted: WorkflowClassifier, cancer: Any) -> None:
    assert list(fitted.feature_names_in_) == list(cancer[0].columns)
    assert fitted.n_features_in_ == 8
    tags = fitted.__sklearn_tags__()
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.allow_nan
    assert tags.input_tags.string
    assert not tags.input_tags.sparse
    assert tags.target_tags.required


def test_predict_proba_only_where_there_are_classes(diabetes: Any, quick: dict[str, Any]) -> None:
    assert not hasattr(WorkflowRegressor(), "predict_proba")
    assert not hasattr(WorkflowEstimator(task="regression"), "predict_proba")
    assert hasattr(WorkflowEstimator(task="classification"), "predict_proba")
    assert not hasattr(WorkflowEstimator(**quick).fit(*diabetes), "predict_proba")


def test_html_repr(fitted: WorkflowClassifier) -> None:
    for model in (WorkflowClassifier(), fitted):
        assert "WorkflowClassifier" in model._repr_html_()
        assert "WorkflowClassifier" in repr(model)


def test_integer_weights_are_repeated_rows(cancer: Any, quick: dict[str, Any]) -> None:
    X, y = cancer[0].iloc[:80], cancer[1].iloc[:80]
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    settings = quick | {"cv": "auto"}
    weighted = WorkflowClassifier(**settings).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(len(y)), weight)
    repeated = WorkflowClassifier(**settings).fit(X.iloc[rows], y.iloc[rows])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-12)


def test_weights_change_the_model(diabetes: Any, quick: dict[str, Any]) -> None:
    X, y = diabetes
    heavy = np.where(y > y.median(), 10.0, 0.5)
    plain = WorkflowRegressor(**quick).fit(X, y).predict(X)
    weighted = WorkflowRegressor(**quick).fit(X, y, sample_weight=heavy).predict(X)
    assert weighted.mean() > plain.mean() + 1.0


def test_groups_stay_on_one_side(cancer: Any, quick: dict[str, Any]) -> None:
    groups = np.arange(240) // 4
    model = WorkflowClassifier(**quick).fit(*cancer, groups=groups)
    assert len(model.splits_) >= 2
    for train, test in model.splits_:
        assert not set(groups[train]) & set(groups[test])


def test_own_splits_are_used(cancer: Any, quick: dict[str, Any]) -> None:
    rows = np.arange(240)
    own = [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    model = WorkflowClassifier(**quick | {"cv": own}).fit(*cancer)
    for (_, expected), (_, test) in zip(own, model.splits_, strict=True):
        np.testing.assert_array_equal(np.sort(test), expected)


def test_metadata_is_routed(cancer: Any, quick: dict[str, Any]) -> None:
    groups, weight = np.arange(240) // 4, np.ones(240)
    with sklearn.config_context(enable_metadata_routing=True):
        model = WorkflowClassifier(**quick).set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=True, groups=False)
        search = GridSearchCV(model, {"preset": ["fast"]}, cv=GroupKFold(2))
        search.fit(*cancer, groups=groups, sample_weight=weight)
    for train, test in search.best_estimator_.splits_:
        assert not set(groups[train]) & set(groups[test])


def test_last_step_of_a_pipeline(cancer: Any, quick: dict[str, Any]) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("model", WorkflowClassifier(**quick))]).fit(*cancer)
    assert pipeline.score(*cancer) > 0.9
    assert pipeline.predict_proba(cancer[0]).shape == (240, 2)


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("preset", ["fast", "interpretable"]),
        ("preset", ["balanced", "best"]),
        ("estimators", [["linear"], ["tree_based"]]),
        ("cv", [2, 5]),
    ],
)
def test_grid_search_really_changes_the_fits(cancer: Any, quick: dict[str, Any], parameter: str, values: Any) -> None:
    search = GridSearchCV(WorkflowClassifier(**quick), {parameter: values}, cv=2, scoring="roc_auc").fit(*cancer)
    assert search.best_score_ > 0.9
    # What was tried and what came of it: columns that depend on the clock would differ between any two fits.
    boards = [
        WorkflowClassifier(**quick | {"n_iter": 6, parameter: value}).fit(*cancer).leaderboard_ for value in values
    ]
    first, second = (board[["model", "params", "score"]] for board in boards)
    assert not first.equals(second)
    assert boards[0]["fit_time_s"].sum() != boards[1]["fit_time_s"].sum()


def test_cross_val_score(diabetes: Any, quick: dict[str, Any]) -> None:
    scores = cross_val_score(WorkflowRegressor(**quick), *diabetes, cv=3)
    assert scores.shape == (3,)
    assert (scores > 0.2).all()


def test_inside_calibration(cancer: Any, quick: dict[str, Any]) -> None:
    X, y = cancer
    calibrated = CalibratedClassifierCV(WorkflowClassifier(**quick), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    assert calibrated.score(X, y) > 0.9


def test_inside_stacking(cancer: Any, quick: dict[str, Any]) -> None:
    X, y = cancer
    members = [("workflow", WorkflowClassifier(**quick)), ("bayes", GaussianNB())]
    stack = StackingClassifier(members, final_estimator=LogisticRegression(), cv=2).fit(X, y)
    assert stack.score(X, y) > 0.9


def test_scoring_decides_what_score_means(cancer: Any, quick: dict[str, Any]) -> None:
    from sklearn.metrics import accuracy_score, log_loss

    X, y = cancer
    plain = WorkflowClassifier(**quick).fit(X, y)
    assert plain.score(X, y) == pytest.approx(accuracy_score(y, plain.predict(X)))
    by_loss = WorkflowClassifier(**quick, scoring="neg_log_loss").fit(X, y)
    assert by_loss.score(X, y) == pytest.approx(-log_loss(y, by_loss.predict_proba(X)))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("time_budget", -1.0),
        ("time_budget", "soon"),
        ("n_iter", 0),
        ("preset", "turbo"),
        ("estimators", ["no_such_model"]),
        ("cv", 1),
        ("on_unknown", "explode"),
        ("scoring", "no_such_metric"),
        ("memory_limit", "lots"),
        ("n_jobs", "all"),
        ("random_state", "dice"),
        ("verbose", "loud"),
    ],
)
def test_bad_parameter_is_named_in_fit(cancer: Any, parameter: str, value: Any) -> None:
    model = WorkflowClassifier(**{parameter: value})
    with pytest.raises(ValueError, match=parameter):
        model.fit(*cancer)


def test_ranker_without_groups_is_one_query(quick: dict[str, Any], mixed_frame: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = np.digitize(X[:, 0] + 0.1 * rng.normal(size=60), [-0.5, 0.8])
    model = WorkflowRanker(**quick).fit(X, y)
    assert model.predict(X).shape == (60,)
    assert model.score(X, y) > 0.8
