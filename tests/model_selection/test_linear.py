"""Linear models find scikit-learn's coefficients, survive odd targets, and equal their graphs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn import linear_model
from sklearn.preprocessing import StandardScaler

from automl_wf.core.budget import Budget
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.tasks import Task
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection import linear, linear_onnx
from automl_wf.model_selection.base import Sample, TargetCode

RNG = np.random.default_rng(0)
X = StandardScaler().fit_transform(RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6)))
VALUES = X @ np.array([2.0, 0.0, -1.0, 0.0, 0.5, 0.0]) + RNG.normal(size=200)
CODES = np.digitize(VALUES, [-1.0, 1.0])
WEIGHT = RNG.integers(1, 4, 200).astype(float)


def fit(kind: Any, task: Task, n_classes: int, y: Any, weight: Any = None, **params: Any) -> Any:
    return kind(task, n_classes, params, 0).fit(Sample(X, y, weight), budget=Budget())


def through_graph(learner: Any, rows: np.ndarray) -> np.ndarray:
    builder = GraphBuilder()
    value = linear_onnx.emit(learner, builder, builder.input("X", "double", rows.shape[1]))
    builder.output(value, "y", "double", [None, None])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    return np.asarray(session.run(None, {"X": rows})[0])


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_logistic_regression_is_scikit_learns(C: float, n_classes: int, weight: Any) -> None:
    y = np.minimum(CODES, n_classes - 1)
    task = Task.BINARY if n_classes == 2 else Task.MULTICLASS
    ours = fit(linear.LogisticRegression, task, n_classes, y, weight, C=C)
    theirs = linear_model.LogisticRegression(C=C, tol=1e-10, max_iter=1000).fit(X, y, weight)
    assert np.abs(ours.predict(X) - theirs.predict_proba(X)).max() < 1e-3


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(
    ("ours", "theirs", "alpha", "tolerance"),
    [
        (linear.LinearRegression, linear_model.LinearRegression(), None, 1e-9),
        (linear.Ridge, linear_model.Ridge(alpha=7.0), 7.0, 1e-9),
        (linear.Lasso, linear_model.Lasso(alpha=0.1, tol=1e-12), 0.1, 1e-4),
    ],
)
def test_least_squares_are_scikit_learns(ours: Any, theirs: Any, alpha: Any, tolerance: float, weight: Any) -> None:
    params = {} if alpha is None else {"alpha": alpha}
    learner = fit(ours, Task.REGRESSION, 1, VALUES, weight, **params)
    # Penalties apply to standardised y.
    code = learner.target_
    theirs.fit(X, code.encode(VALUES), weight)
    assert np.abs(code.encode(learner.predict(X)) - theirs.predict(X)).max() < tolerance


def test_lasso_drops_features_that_do_not_matter() -> None:
    learner = fit(linear.Lasso, Task.REGRESSION, 1, VALUES, alpha=1.0)
    assert np.count_nonzero(learner.coef_) == 0
    assert learner.predict(X) == pytest.approx(VALUES.mean())


def test_wide_rows_are_solved_in_the_dual() -> None:
    wide, y = RNG.normal(size=(20, 50)), RNG.normal(size=20)
    exact = linear.LinearRegression(Task.REGRESSION, 1, {}, 0).fit(Sample(wide, y), budget=Budget())
    assert exact.predict(wide) == pytest.approx(y)
    ridge = linear.Ridge(Task.REGRESSION, 1, {"alpha": 3.0}, 0).fit(Sample(wide, y), budget=Budget())
    theirs = linear_model.Ridge(alpha=3.0).fit(wide, y)
    assert ridge.predict(wide) == pytest.approx(theirs.predict(wide))
    lasso = linear.Lasso(Task.REGRESSION, 1, {"alpha": 0.2}, 0).fit(Sample(wide, y), budget=Budget())
    assert 0 < np.count_nonzero(lasso.coef_) < 20


def test_collinear_columns_get_the_smallest_coefficients() -> None:
    doubled = np.hstack([X, X])
    learner = linear.LinearRegression(Task.REGRESSION, 1, {}, 0).fit(Sample(doubled, VALUES), budget=Budget())
    assert learner.coef_[:6] == pytest.approx(learner.coef_[6:], abs=1e-8)


@pytest.mark.parametrize(
    ("kind", "task", "n_classes", "y"),
    [
        (linear.LogisticRegression, Task.BINARY, 2, CODES > 0),
        (linear.LogisticRegression, Task.MULTICLASS, 3, CODES),
        (linear.LogisticRegression, Task.MULTICLASS, 5, CODES + 1),
        (linear.LogisticRegression, Task.MULTICLASS, 3, 2 * (CODES > 0)),
        (linear.LogisticRegression, Task.BINARY, 2, np.ones(200)),
        (linear.Ridge, Task.REGRESSION, 1, VALUES * 1e5 + 1e6),
        (linear.Ridge, Task.REGRESSION, 1, np.full(200, 7.5)),
        (linear.Lasso, Task.RANKING, 1, CODES * 1.0),
        (linear.LinearRegression, Task.REGRESSION, 1, VALUES),
        (linear.Baseline, Task.MULTICLASS, 4, CODES),
        (linear.Baseline, Task.BINARY, 2, CODES > 0),
        (linear.Baseline, Task.REGRESSION, 1, VALUES),
        (linear.Baseline, Task.RANKING, 1, CODES * 1.0),
    ],
)
def test_prediction_is_sound_and_equals_the_graph(kind: Any, task: Task, n_classes: int, y: np.ndarray) -> None:
    y = np.asarray(y, dtype=np.int64 if task.is_classification else np.float64)
    learner = pickle.loads(pickle.dumps(fit(kind, task, n_classes, y)))
    rows = np.vstack([X, 10.0 * X, np.zeros((1, 6))])
    predicted = learner.predict(rows)
    graph = through_graph(learner, rows)
    if task.is_classification:
        assert predicted.shape == (401, n_classes)
        assert predicted.sum(axis=1) == pytest.approx(1.0)
        assert np.all(predicted[:, np.setdiff1d(np.arange(n_classes), y)] == 0.0)
    else:
        graph = graph[:, 0]
    assert np.abs(predicted - graph).max() <= 1e-9 * max(1.0, np.abs(predicted).max())


def test_values_are_held_near_those_of_the_training_rows() -> None:
    x = np.linspace(0.0, 1.0, 41)[:, None]
    y, weight = 2.0 * x[:, 0], np.ones(41)
    y[20], weight[20] = 1_000.0, 0.0  # a row that does not count
    learner = linear.LinearRegression(Task.REGRESSION, 1, {}, 0).fit(Sample(x, y, weight), budget=Budget())
    # On its way beyond the training rows a line may go as far as these are apart, and no farther.
    assert learner.predict(np.array([[-9.0], [0.25], [1.5], [9.0]])) == pytest.approx([-2.0, 0.5, 3.0, 4.0])


def test_grades_and_classes_have_no_bounds() -> None:
    grades, classes = (
        TargetCode.learn(Task.RANKING, 1, Sample(X, VALUES)),
        TargetCode.learn(Task.BINARY, 2, Sample(X, CODES > 0)),
    )
    assert {grades.low, classes.low} == {-np.inf}
    assert {grades.high, classes.high} == {np.inf}


def test_baseline_predicts_weighted_frequencies() -> None:
    y, weight = np.array([0, 0, 1]), np.array([1.0, 1.0, 6.0])
    learner = linear.Baseline(Task.BINARY, 2, {}, 0).fit(Sample(np.zeros((3, 1)), y, weight), budget=Budget())
    assert learner.predict(np.zeros((1, 1)))[0] == pytest.approx([0.25, 0.75])


def test_no_time_at_all_raises_and_little_time_keeps_what_is_there() -> None:
    with pytest.raises(OutOfTime, match="LogisticRegression"):
        linear.LogisticRegression(Task.BINARY, 2, {}, 0).fit(Sample(X, CODES > 0), budget=Budget(0.0))

    class Asked(Budget):
        """Over after so many questions."""

        def __init__(self, n_questions: int) -> None:
            super().__init__(1.0)
            self.left_to_ask = [None] * n_questions

        def is_over(self) -> bool:
            return not self.left_to_ask or self.left_to_ask.pop() is not None

    def fitted(n_questions: int) -> linear.LogisticRegression:
        learner = linear.LogisticRegression(Task.MULTICLASS, 3, {}, 0)
        return learner.fit(Sample(X, CODES), budget=Asked(n_questions))

    # One question before, one for each loss; the first loss is the start's, which is no model.
    for n_questions in (1, 2):
        with pytest.raises(OutOfTime, match="LogisticRegression was stopped"):
            fitted(n_questions)
    losses = [fitted(n).target_.loss(CODES, X @ fitted(n).coef_ + fitted(n).intercept_) for n in (4, 9, 30)]
    assert fitted(4).is_cut_short_
    assert losses[0] > losses[1] > losses[2]
    assert np.isfinite(fitted(4).predict(X)).all()


def test_of_many_rows_the_loss_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample(X, CODES, np.linspace(0.5, 2.0, len(X)))
    whole = linear.LogisticRegression(Task.MULTICLASS, 3, {}, 0).fit(sample, budget=Budget())
    monkeypatch.setattr(linear, "_CELLS_AT_ONCE", 20)
    parts = linear.LogisticRegression(Task.MULTICLASS, 3, {}, 0).fit(sample, budget=Budget())
    assert parts.coef_ == pytest.approx(whole.coef_, abs=1e-6)


def test_target_code_round_trip() -> None:
    code = TargetCode.learn(Task.MULTICLASS, 6, Sample(X[:4], np.array([5, 1, 3, 1])))
    assert code.classes == (1, 3, 5)
    assert code.encode(np.array([1, 5, 0])).tolist() == [0, 2, -1]
    proba = code.decode(np.log([[0.2, 0.3, 0.5]]))
    assert proba[0] == pytest.approx([0.0, 0.2, 0.0, 0.3, 0.0, 0.5])
    assert code.loss(np.array([2]), np.log([[0.2, 0.3, 0.5]])) == pytest.approx(np.log(2.0))
    values = TargetCode.learn(Task.REGRESSION, 1, Sample(X[:2], np.array([1.0, 3.0]), np.array([3.0, 1.0])))
    assert (values.mean, values.scale) == (1.5, pytest.approx(np.sqrt(0.75)))
