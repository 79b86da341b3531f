"""The user's own estimators: cloned, seeded, weighted where they can be, and put in the columns of all classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_moons
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC, LinearSVC

from automl_wf import WorkflowClassifier, WorkflowRegressor, load
from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter, NotExportable, OutOfTime
from automl_wf.model_selection.base import Sample
from automl_wf.model_selection.own import own_model

X = np.array([[0.0], [1.0], [2.0], [3.0]])
Y = np.array([0, 0, 2, 2])


def fit(estimator: Any, task: Task, y: Any, weight: Any = None) -> Any:
    learner = own_model("mine", estimator, task).build(task, 3 if task.is_classification else 1, {}, 7)
    return learner.fit(Sample(X, np.asarray(y), weight), None, budget=Budget())


def test_classes_that_do_not_occur_have_probability_zero() -> None:
    learner = fit(LogisticRegression(), Task.MULTICLASS, Y)
    proba = learner.predict(X)
    assert proba.shape == (4, 3)
    assert proba[:, 1].tolist() == [0.0] * 4
    np.testing.assert_allclose(proba[:, [0, 2]], learner.model_.predict_proba(X))


def test_labels_are_certain_probabilities() -> None:
    proba = fit(LinearSVC(), Task.MULTICLASS, Y).predict(X)
    assert proba.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_values_are_flat_doubles() -> None:
    predicted = fit(LinearRegression(), Task.REGRESSION, X * 2.0).predict(X)
    assert predicted.shape == (4,)
    np.testing.assert_allclose(predicted, [0.0, 2.0, 4.0, 6.0], atol=1e-12)


def test_the_users_object_is_cloned_and_seeded_unless_it_has_a_seed() -> None:
    given = RandomForestClassifier(n_estimators=2)
    learner = fit(given, Task.MULTICLASS, Y)
    assert not hasattr(given, "estimators_")
    assert (given.random_state, learner.model_.random_state) == (None, 7)
    assert fit(RandomForestClassifier(2, random_state=3), Task.MULTICLASS, Y).model_.random_state == 3


def test_weights_are_given_to_estimators_that_know_them() -> None:
    weighted = fit(LinearRegression(), Task.REGRESSION, [0.0, 0.0, 0.0, 4.0], np.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(weighted.predict(X), 0.0, atol=1e-12)

    class Plain(BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    assert fit(Plain(), Task.REGRESSION, [0.0, 0.0, 0.0, 4.0], np.ones(4)).predict(X).tolist() == [0.0] * 4


def test_without_time_nothing_is_begun() -> None:
    learner = own_model("mine", LinearRegression(), Task.REGRESSION).build(Task.REGRESSION, 1, {}, 0)
    with pytest.raises(OutOfTime, match="LinearRegression"):
        learner.fit(Sample(X, X[:, 0]), None, budget=Budget(0.0))


class Threshold(ClassifierMixin, BaseEstimator):
    """Class 1 where the first feature is positive."""

    def fit(self, X: Any, y: Any) -> Threshold:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        p = np.where(X[:, 0] > 0, 0.99, 0.01)
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> np.ndarray:
        return (X[:, 0] > 0).astype(int)


def test_an_own_estimator_predicts_and_has_no_graph_with_the_reason(quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(90, 2))
    y = (data[:, 0] > 0).astype(int)
    model = WorkflowClassifier(**quick, estimators=[("mine", Threshold())]).fit(data, y)
    assert {"mine"} == {m["model"] for m in model.best_params_["members"]}
    assert np.mean(model.predict(data) == y) > 0.9
    with pytest.raises(NotExportable, match=r"mine has no exact ONNX graph \(OwnLearner\).*trained=True"):
        model.to_onnx()


class Shifted(LinearRegression):
    """Least squares that is wrong by a constant."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = shift

    def predict(self, X: Any) -> np.ndarray:
        return super().predict(X) + self.shift


def test_own_estimators_that_err_in_opposite_directions_are_blended(quick: dict[str, Any]) -> None:
    data = np.random.default_rng(0).normal(size=(90, 2))
    y = data[:, 0] + 0.3 * data[:, 1]
    model = WorkflowRegressor(**quick, estimators=[("low", Shifted(-1.0)), ("high", Shifted(1.0))]).fit(data, y)
    assert {m["model"]: round(m["weight"], 2) for m in model.best_params_["members"]} == {"low": 0.5, "high": 0.5}
    np.testing.assert_allclose(model.predict(data), y, atol=0.02)


OWN = {
    "svm": CalibratedClassifierCV(SVC(), ensemble=False),
    "hist_gradient_boosting": HistGradientBoostingClassifier(max_iter=30, early_stopping=False),
}


@pytest.mark.parametrize("name", OWN)
def test_an_own_estimator_is_blended_exported_as_a_pickle_and_told_of(
    name: str, quick: dict[str, Any], tmp_path: Path
) -> None:
    data, y = make_moons(160, noise=0.2, random_state=0)
    model = WorkflowClassifier(**quick, estimators=["logistic_regression", (name, OWN[name])]).fit(data, y)
    row = model.leaderboard_.set_index("model").loc[name]
    assert (row["family"], row["status"]) == ("own", "ok")
    weights = {m["model"]: m["weight"] for m in model.best_params_["members"]}
    assert row["weight"] == weights[name] > 0
    assert row["score"] > model.leaderboard_.set_index("model").loc["dummy", "score"]
    package = model.export(tmp_path / "package")
    assert f"{name} has no exact ONNX graph" in package.reason
    assert not (package.path / "model/model.onnx").exists()
    assert not (package.path / "api").exists()
    page = (package.path / "docs/model_card.md").read_text(encoding="utf-8")
    card = " ".join(page.replace("\\", "").split())
    assert "There is no ONNX graph, and so no service" in card
    assert name in card
    facts = json.loads((package.path / "model/metadata.json").read_text(encoding="utf-8"))
    assert facts["graph"] == {"exists": False, "reason": package.reason, "parity": None, "n_nodes": None}
    statuses = {item.name: item.status for item in package.checklist}
    assert statuses["endpoint_defined"] != "pass"
    opened = load(package.path, trained=True)
    np.testing.assert_array_equal(opened.predict_proba(data), model.predict_proba(data))


def test_an_own_estimator_that_fails_is_a_row_in_the_leaderboard(quick: dict[str, Any]) -> None:
    data = np.random.default_rng(0).normal(size=(90, 2))
    broken = LogisticRegression(C=-1.0)
    model = WorkflowClassifier(**quick, estimators=["linear", ("broken", broken)]).fit(data, data[:, 0] > 0)
    row = model.leaderboard_.set_index("model").loc["broken"]
    assert row["status"] == "failed"
    assert "'C' parameter" in row["reason"]
    assert any(f.code == "failed_trials" for f in model.findings_)


def test_names_are_given_once(quick: dict[str, Any]) -> None:
    data = np.random.default_rng(0).normal(size=(90, 2))
    for estimators in (
        ["lightgbm", ("lightgbm", LogisticRegression())],
        [("a", LogisticRegression()), ("a", LogisticRegression())],
        [],
        [("a", 5)],
    ):
        with pytest.raises(InvalidParameter, match="'estimators' parameter"):
            WorkflowClassifier(**quick, estimators=estimators).fit(data, data[:, 0] > 0)
