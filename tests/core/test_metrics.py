from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pytest
from sklearn import metrics as skm
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer_names, make_scorer

from automl_wf.core.metrics import (
    METRICS,
    decide,
    metrics_for,
    query_ndcg,
    resolve_scoring,
    scoring_names,
    weighted_median,
)
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter

N = 240


def _probabilities(rng, n_classes, n=N, step=None):
    proba = rng.dirichlet(np.full(n_classes, 0.8), size=n)
    if step is not None:
        proba = np.round(proba / step) * step
        proba[:, -1] = 1 - proba[:, :-1].sum(axis=1)
    return np.abs(proba)


def _problem(task, seed=0, n=N):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 3, n)
    if task is Task.REGRESSION:
        y = rng.normal(3, 2, n)
        return y, y + rng.normal(0, 1, n), weight, None
    if task is Task.RANKING:
        y = rng.integers(0, 4, n).astype(float)
        return y, np.round(y + rng.normal(0, 1.5, n), 1), weight, rng.integers(0, 12, n)
    n_classes = 2 if task is Task.BINARY else 4
    return rng.integers(0, n_classes, n), _probabilities(rng, n_classes, n), weight, None


def _reference(name, y, p, w):
    """The same number by scikit-learn."""
    if name in ("average_precision", "roc_auc"):
        function = {"average_precision": skm.average_precision_score, "roc_auc": skm.roc_auc_score}[name]
        return function(y, p[:, 1] if p.shape[1] == 2 else p, sample_weight=w)
    simple = {
        "mse": skm.mean_squared_error,
        "rmse": skm.root_mean_squared_error,
        "mae": skm.mean_absolute_error,
        "r2": skm.r2_score,
        "mape": skm.mean_absolute_percentage_error,
        "median_absolute_error": skm.median_absolute_error,
        "brier": skm.brier_score_loss,
        "wape": lambda y, p, sample_weight: (
            skm.mean_absolute_error(y, p, sample_weight=sample_weight)
            / skm.mean_absolute_error(y, np.zeros(len(y)), sample_weight=sample_weight)
        ),
        "log_loss": skm.log_loss,
        "roc_auc_ovr_weighted": lambda y, p, sample_weight: skm.roc_auc_score(
            y, p, multi_class="ovr", average="weighted", sample_weight=sample_weight
        ),
    }
    if name in simple:
        return simple[name](y, p, sample_weight=w)
    codes = p.argmax(axis=1)
    if name in ("accuracy", "balanced_accuracy"):
        return getattr(skm, f"{name}_score")(y, codes, sample_weight=w)
    kind, _, average = name.partition("_")
    return getattr(skm, f"{kind}_score")(y, codes, sample_weight=w, average=average or "binary")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_equal_to_scikit_learn(task, weighted):
    compared = 0
    for seed in range(3):
        y, p, w, _ = _problem(task, seed)
        w = w if weighted else None
        for metric in metrics_for(task):
            if metric.name == "directional_accuracy":
                continue
            assert metric.evaluate(y, p, w) == pytest.approx(_reference(metric.name, y, p, w), rel=1e-12, abs=1e-12)
            compared += 1
    assert compared >= 18


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("step", [0.5, 0.1, 0.01])
def test_roc_auc_and_average_precision_with_ties_equal_scikit_learn(step, weighted):
    rng = np.random.default_rng(5)
    for n in (2, 3, 10, 500):
        y = rng.integers(0, 2, n)
        y[:2] = 0, 1
        p = _probabilities(rng, 2, n, step)
        w = rng.uniform(0, 2, n) if weighted else None
        for name in ("roc_auc", "average_precision"):
            assert METRICS[name].evaluate(y, p, w) == pytest.approx(_reference(name, y, p, w), abs=1e-12)


@pytest.mark.parametrize("task", list(Task))
def test_draws_of_weights_equal_one_draw_at_a_time(task):
    y, p, _, group = _problem(task)
    rng = np.random.default_rng(1)
    if group is None:
        draws = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=6).astype(float)
    else:
        draws = rng.poisson(1.0, size=(6, 12)).astype(float)[:, group]
    for metric in metrics_for(task):
        together = metric.evaluate(y, p, draws, group)
        assert together.shape == (6,)
        singly = [metric.evaluate(y, p, w, group) for w in draws]
        np.testing.assert_allclose(together, singly, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_integer_weights_mean_repeated_rows(task):
    y, p, _, _ = _problem(task)
    w = np.random.default_rng(2).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), w)
    for metric in metrics_for(task):
        assert metric.evaluate(y, p, w.astype(float)) == pytest.approx(metric.evaluate(y[rows], p[rows]), rel=1e-10)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda m: m.name)
def test_direction_bounds_and_perfect_prediction(metric):
    for task in metric.tasks:
        y, p, w, group = _problem(task)
        perfect = np.eye(p.shape[1])[y] if p.ndim == 2 else y.astype(float)
        p = np.random.default_rng(4).permutation(p)
        low, high = metric.bounds
        best, usual = metric.evaluate(y, perfect, None, group), metric.evaluate(y, p, w, group)
        assert low <= usual <= high
        if metric.name != "precision_at_k":  # a query may have fewer than k relevant rows
            assert best == pytest.approx(high if metric.greater_is_better else low, abs=1e-12)
        assert best > usual if metric.greater_is_better else best < usual


def test_every_metric_is_in_the_seeds_words():
    assert {m.name for m in metrics_for(Task.BINARY)} == {
        *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("roc_auc", "average_precision", "log_loss", "brier"),
    }
    assert {m.name for m in metrics_for(Task.MULTICLASS)} == {
        *("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro"),
        *("roc_auc_ovr_weighted", "average_precision", "log_loss", "brier"),
    }
    assert {m.name for m in metrics_for(Task.REGRESSION)} == {
        *("mse", "rmse", "mae", "r2", "mape", "median_absolute_error", "wape", "directional_accuracy")
    }
    assert {m.name for m in metrics_for(Task.RANKING)} == {"ndcg", "ndcg_at_10", "map", "mrr", "precision_at_k"}


# --- regression by hand


def test_directional_accuracy_by_hand():
    y, p = (
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([0.0, 3.0, 2.0, 9.0]),
    )  # median 2.5: sides - - + +, predicted - + - +
    assert METRICS["directional_accuracy"].evaluate(y, p) == 0.5
    assert METRICS["directional_accuracy"].evaluate(y, p, np.array([3.0, 1.0, 1.0, 3.0])) == 0.75


def test_weighted_median_of_even_and_uneven_weights():
    values = np.array([4.0, 1.0, 3.0, 2.0])
    assert weighted_median(values) == 2.5
    assert weighted_median(values, np.ones(4)) == 2.5
    np.testing.assert_array_equal(
        weighted_median(values, np.array([[0, 1, 0, 0], [5, 1, 1, 1], [1, 1, 0, 0]])), [1, 4, 2.5]
    )


# --- ranking


def test_ndcg_by_hand():
    y, score, group = np.array([3.0, 0, 1]), np.array([0.2, 0.9, 0.5]), np.zeros(3, int)
    reached = 0 + 1 / np.log2(3) + 7 / np.log2(4)
    possible = 7 + 1 / np.log2(3)
    assert METRICS["ndcg"].evaluate(y, score, None, group) == pytest.approx(reached / possible, abs=1e-15)
    assert query_ndcg(y, score, group, k=1)[0][0] == 0.0


@pytest.mark.parametrize("k", [None, 10])
def test_ndcg_equals_scikit_learn_query_by_query_with_ties(k):
    y, score, _, group = _problem(Task.RANKING)
    values, is_counted = query_ndcg(y, score, group, k)
    assert is_counted.all()
    for q in range(12):
        rows = group == q
        expected = skm.ndcg_score([2 ** y[rows] - 1], [score[rows]], k=k)
        assert values[q] == pytest.approx(expected, abs=1e-12)


def test_map_mrr_and_precision_by_hand():
    y = np.array([0.0, 2, 0, 1, 1, 0, 0])
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.5, 0.3])
    group = np.array([0, 0, 0, 0, 1, 1, 1])
    # query 0: relevant on places 2 and 4; query 1: on place 3 of 3
    assert METRICS["map"].evaluate(y, score, None, group) == pytest.approx(((1 / 2 + 2 / 4) / 2 + 1 / 3) / 2)
    assert METRICS["mrr"].evaluate(y, score, None, group) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert METRICS["precision_at_k"].evaluate(y, score, None, group) == pytest.approx((2 / 4 + 1 / 3) / 2)


@pytest.mark.parametrize("name", ["ndcg", "map", "mrr", "precision_at_k"])
def test_ties_are_the_mean_over_all_their_orders(name):
    y = np.array([0.0, 2, 1, 0, 0, 1])
    score = np.array([1.0, 1, 1, 2, 0, 0])  # places 2-4 and 5-6 are tied
    values = []
    for first in itertools.permutations(range(3)):
        for second in itertools.permutations(range(2)):
            broken = score + 0.1 * np.array([*first, 0, *second])
            values.append(METRICS[name].evaluate(y, broken))
    assert len(set(values)) > 1 or name == "precision_at_k"
    assert METRICS[name].evaluate(y, score) == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("name", ["ndcg", "ndcg_at_10", "map", "mrr", "precision_at_k"])
def test_ranking_does_not_depend_on_row_order_and_rows_need_not_be_adjacent(name):
    y, score, w, group = _problem(Task.RANKING)
    rows = np.random.default_rng(3).permutation(len(y))
    one = METRICS[name].evaluate(y, score, w, group)
    assert METRICS[name].evaluate(y[rows], score[rows], w[rows], group[rows]) == pytest.approx(one, abs=1e-12)
    by_query = [METRICS[name].evaluate(y[group == q], score[group == q]) for q in range(12)]
    weights = [w[group == q].mean() for q in range(12)]
    assert one == pytest.approx(np.average(by_query, weights=weights), abs=1e-12)


def test_queries_with_one_grade_are_left_out():
    y, score = np.array([1.0, 0, 2, 2, 0, 0]), np.array([1.0, 2, 1, 2, 1, 2])
    group = np.array([0, 0, 1, 1, 2, 2])
    assert METRICS["mrr"].evaluate(y, score, None, group) == 0.5
    assert np.isnan(METRICS["ndcg"].evaluate(y[2:], score[2:], None, group[2:]))


def test_constant_scores_gain_nothing_from_sorted_rows():
    y = np.sort(np.random.default_rng(0).integers(0, 2, 200).astype(float))[::-1]
    assert METRICS["map"].evaluate(y, np.zeros(200)) == pytest.approx(y.mean(), abs=0.02)
    assert METRICS["map"].evaluate(y, np.arange(200.0)[::-1]) == 1.0


# --- decide


def test_decide_takes_the_first_class_within_the_tie():
    proba = np.array([[0.5, 0.5], [0.5 - 4e-10, 0.5 + 4e-10], [0.4, 0.6]])
    assert decide(proba).tolist() == [0, 0, 1]
    assert decide(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]
    assert decide(proba).dtype == np.int64


def test_decide_with_a_threshold():
    proba = np.array([[0.7, 0.3], [0.7 + 5e-10, 0.3 - 5e-10], [0.71, 0.29]])
    assert decide(proba, 0.3).tolist() == [1, 1, 0]


# --- scoring


@pytest.mark.parametrize("task", list(Task))
def test_auto_is_the_tasks_default(task):
    assert resolve_scoring("auto", task).name == resolve_scoring(None, task).name == task.default_scoring


def _sklearn_scorer_value(name, y, p, w, classes):
    """The scorer on a real estimator of scikit-learn's kind, which knows nothing of ours."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Fixed(*((ClassifierMixin,) if classes is not None else (RegressorMixin,)), BaseEstimator):
        def fit(self):
            self.classes_ = classes
            return self

        def predict(self, X):
            return p if classes is None else classes[p.argmax(axis=1)]

        def predict_proba(self, X):
            return p

    weights = {} if w is None else {"sample_weight": w}
    return skm.get_scorer(name)(Fixed().fit(), np.zeros((len(y), 1)), y, **weights)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_scorer_name_gives_scikit_learns_number(task, weighted):
    y, p, w, _ = _problem(task)
    if task is Task.REGRESSION:
        y, p = np.abs(y) + 0.1, np.abs(p) + 0.1  # the deviances and logarithms need positive values
    for name in scoring_names(task):
        if task is Task.MULTICLASS and name in ("f1", "precision", "recall", "roc_auc"):
            continue  # scikit-learn refuses these
        scoring = resolve_scoring(name, task)
        unweighted = scoring.metric is None and not scoring.takes_weight
        assert unweighted or name not in ("adjusted_rand_score", "neg_max_error")
        weight = w if weighted and not unweighted else None
        expected = _sklearn_scorer_value(name, y, p, weight, None if task is Task.REGRESSION else np.arange(p.shape[1]))
        assert scoring(y, p, w if weighted else None) == pytest.approx(expected, rel=1e-9, abs=1e-12), name


def test_every_scorer_of_scikit_learn_has_a_task_but_the_multilabel_ones():
    placed = {name for task in Task for name in scoring_names(task)}
    left = set(get_scorer_names()) - placed
    assert left == {"f1_samples", "jaccard_samples", "precision_samples", "recall_samples"}


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_binary_names_are_macro_on_more_classes(name):
    y, p, w, _ = _problem(Task.MULTICLASS)
    scoring = resolve_scoring(name, Task.MULTICLASS)
    assert scoring.name == name
    assert scoring(y, p, w) == resolve_scoring(f"{name}_macro", Task.MULTICLASS)(y, p, w)


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("r2", Task.BINARY, "It is for regression"),
        ("accuracy", Task.REGRESSION, "It is for binary and multiclass"),
        ("ndcg", Task.REGRESSION, "neg_root_mean_squared_error"),
        ("rmse", Task.REGRESSION, "Did you mean 'neg_root_mean_squared_error'"),
        ("rocauc", Task.BINARY, "Did you mean 'roc_auc'"),
        ("jaccard", Task.MULTICLASS, "It is for binary"),
        ("roc_auc", Task.RANKING, "ndcg_at_10"),
    ],
)
def test_wrong_names_say_what_fits(name, task, words):
    with pytest.raises(InvalidParameter, match="The 'scoring' parameter must be") as caught:
        resolve_scoring(name, task)
    assert words in str(caught.value)


def test_metric_functions_and_other_things_are_refused():
    with pytest.raises(InvalidParameter, match="make_scorer"):
        resolve_scoring(skm.accuracy_score, Task.BINARY)
    with pytest.raises(InvalidParameter, match="Got 3 instead"):
        resolve_scoring(3, Task.BINARY)


@pytest.mark.parametrize("task", list(Task))
def test_greater_is_better_and_natural_is_the_metric(task):
    y, p, w, group = _problem(task)
    for metric in metrics_for(task):
        if metric.scoring is None:
            continue
        scoring = resolve_scoring(metric.scoring, task)
        value = metric.evaluate(y, p, w, group)
        score = scoring(y, p, w, group)
        assert score == (value if metric.greater_is_better else -value)
        assert scoring.natural(score) == value
        assert scoring.bounds[0] <= score <= scoring.bounds[1]
        assert isinstance(score, float)
        assert scoring.is_label_metric == (metric.needs == "label")


@pytest.mark.parametrize("name", ["f1", "precision", "average_precision", "neg_brier_score", "roc_auc", "jaccard"])
def test_positive_class_zero_is_the_problem_turned_round(name):
    y, p, w, _ = _problem(Task.BINARY)
    turned = resolve_scoring(name, Task.BINARY)(1 - y, p[:, ::-1], w)
    assert resolve_scoring(name, Task.BINARY, pos_index=0)(y, p, w) == pytest.approx(turned, abs=1e-12)


def test_positive_class_zero_keeps_the_tie_rule():
    y, p = np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])  # both decided as class 0
    for name in ("recall", "jaccard"):
        assert resolve_scoring(name, Task.BINARY, pos_index=0)(y, p) == (1.0 if name == "recall" else 0.5)


def test_threshold_decides():
    y, p = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    for name in ("recall", "jaccard"):
        scoring = resolve_scoring(name, Task.BINARY)
        assert scoring(y, p) == 0.5
        assert scoring(y, p, threshold=0.2) == 1.0
    assert resolve_scoring("recall", Task.BINARY)(y, np.array([0, 1, 1])) == 1.0


def strange_scorer(estimator, X, y):
    """Looks at everything that a scorer may look at."""
    assert is_classifier(estimator)
    assert not is_regressor(estimator)
    assert X.tolist() == [[i] for i in range(len(y))]
    half = X[::2]
    assert set(np.unique(y)) <= set(estimator.classes_)
    assert ((estimator.decision_function(half) > 0) == (estimator.predict_proba(half)[:, 1] > 0.5)).all()
    return np.mean(estimator.predict(half) == y[::2])


def test_callable_gets_original_labels_and_row_indices():
    y, p, w, _ = _problem(Task.BINARY)
    classes = np.array(["no", "yes"])
    scoring = resolve_scoring(strange_scorer, Task.BINARY, classes)
    assert scoring.name == "strange_scorer"
    assert scoring(y, p, w) == np.mean(p[::2].argmax(axis=1) == y[::2])


def test_scorers_with_labels_of_the_users_own():
    y, p, w, _ = _problem(Task.BINARY)
    classes = np.array(["no", "yes"])
    f2_of_no = make_scorer(skm.fbeta_score, beta=2, pos_label="no")
    expected = skm.fbeta_score(classes[y], classes[p.argmax(axis=1)], beta=2, pos_label="no", sample_weight=w)
    assert resolve_scoring(f2_of_no, Task.BINARY, classes)(y, p, w) == pytest.approx(expected)
    named = resolve_scoring(skm.get_scorer("f1"), Task.BINARY, classes)
    assert named.name == "f1"
    assert named(y, p) == pytest.approx(skm.f1_score(y, p.argmax(axis=1)))


def test_callable_for_values_and_scores():
    y, p, _, _ = _problem(Task.REGRESSION)
    scorer = make_scorer(skm.mean_pinball_loss, alpha=0.9, greater_is_better=False)
    assert resolve_scoring(scorer, Task.REGRESSION)(y, p) == pytest.approx(-skm.mean_pinball_loss(y, p, alpha=0.9))
    spearman = resolve_scoring(make_scorer(lambda y, s: np.corrcoef(y, s)[0, 1]), Task.RANKING)
    y, p, _, group = _problem(Task.RANKING)
    assert spearman(y, p, None, group) == pytest.approx(np.corrcoef(y, p)[0, 1])


@pytest.mark.parametrize("task", list(Task))
def test_everything_can_be_pickled(task):
    y, p, w, group = _problem(task)
    scorings = [resolve_scoring(name, task) for name in scoring_names(task)]
    if task is Task.BINARY:
        scorings.append(resolve_scoring(strange_scorer, task))
    for scoring in scorings:
        if scoring.name in ("neg_mean_gamma_deviance", "neg_mean_poisson_deviance") or "log_error" in scoring.name:
            continue  # they refuse this problem's negative values
        again = pickle.loads(pickle.dumps(scoring))
        assert again(y, p, w, group) == scoring(y, p, w, group)
    for metric in metrics_for(task):
        again = pickle.loads(pickle.dumps(metric))
        assert again.evaluate(y, p, w, group) == metric.evaluate(y, p, w, group)


def test_undefined_is_not_a_number_and_warns_nothing():
    y, p = np.zeros(5, int), np.tile([0.4, 0.6], (5, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(resolve_scoring("roc_auc", Task.BINARY)(y, p))
        assert np.isnan(resolve_scoring("average_precision", Task.BINARY)(y, p))
        assert np.isnan(resolve_scoring("roc_auc", Task.MULTICLASS)(y, np.tile([0.2, 0.3, 0.5], (5, 1))))
        assert resolve_scoring("neg_log_loss", Task.BINARY)(y, p) == pytest.approx(np.log(0.4))


def test_classes_that_are_not_there_are_left_out():
    y, p, _, _ = _problem(Task.MULTICLASS)
    rows = y < 3
    padded = np.column_stack([p[rows][:, :3], np.zeros(rows.sum())])
    padded /= padded.sum(axis=1, keepdims=True)
    for name in ("roc_auc", "average_precision"):
        scoring = resolve_scoring(name, Task.MULTICLASS)
        assert scoring(y[rows], padded) == pytest.approx(scoring(y[rows], padded[:, :3]), abs=1e-12)


def test_predictions_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidInput, match="Got 1 that are infinite or not a number"):
        resolve_scoring("r2", Task.REGRESSION)(np.zeros(3), np.array([0.0, np.nan, 1.0]))
