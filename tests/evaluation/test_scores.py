from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as skm

from automl_wf.core.metrics import metrics_for, resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.evaluation.scores import Held, class_reports, confusion, score_all, summarise_queries


def _binary(n=400, accuracy=0.8, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    p = np.clip(np.where(rng.uniform(size=n) < accuracy, y, 1 - y) * 0.6 + 0.2 + rng.uniform(-0.1, 0.1, n), 0, 1)
    return y, np.column_stack([1 - p, p])


def _by_name(scores):
    return {s.name: s for s in scores}


def test_every_metric_beside_the_baselines():
    y, p = _binary()
    prior = np.tile([0.5, 0.5], (400, 1))
    scoring = resolve_scoring("neg_log_loss", Task.BINARY)
    scores, resampling = score_all(Held(Task.BINARY, y, p), Held(Task.BINARY, y, prior), scoring)
    assert [s.name for s in scores] == [m.name for m in metrics_for(Task.BINARY)]
    found = _by_name(scores)
    assert found["roc_auc"].value == pytest.approx(skm.roc_auc_score(y, p[:, 1]))
    assert found["roc_auc"].baseline == 0.5
    assert found["log_loss"].baseline == pytest.approx(np.log(2))
    assert [s.name for s in scores if s.is_primary] == ["log_loss"]
    assert not found["log_loss"].greater_is_better
    assert all(s.low <= s.value <= s.high for s in scores)
    assert (resampling.n_draws, resampling.n_rows, resampling.unit) == (200, 400, "row")


def test_interval_of_a_share_is_the_binomials():
    y, p = _binary(n=1000)
    scores, _ = score_all(Held(Task.BINARY, y, p), None, resolve_scoring("accuracy", Task.BINARY))
    accuracy = _by_name(scores)["accuracy"]
    expected = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 1000)
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(expected, rel=0.2)
    assert accuracy.baseline is None


def test_long_data_is_subsampled_and_the_interval_is_still_that_of_all_rows():
    y, p = _binary(n=20_000)
    scores, resampling = score_all(
        Held(Task.BINARY, y, p), None, resolve_scoring("accuracy", Task.BINARY), max_rows=1000
    )
    accuracy = _by_name(scores)["accuracy"]
    assert resampling.n_rows == 1000
    assert accuracy.value == skm.accuracy_score(y, p.argmax(axis=1))
    expected = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 20_000)
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(expected, rel=0.25)


def test_groups_are_resampled_whole():
    """Twenty groups of fifty equal rows hold what twenty rows hold."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 50)
    y = np.repeat(rng.integers(0, 2, 20), 50)
    p = np.repeat(np.where(np.arange(20) < 14, 1, 0), 50)
    proba = np.eye(2)[np.where(p == 1, y, 1 - y)]
    held = Held(Task.BINARY, y, proba, None, group)
    scores, resampling = score_all(held, None, resolve_scoring("accuracy", Task.BINARY))
    accuracy = _by_name(scores)["accuracy"]
    assert resampling.unit == "group"
    assert accuracy.value == 0.7
    assert (accuracy.high - accuracy.low) / 2 == pytest.approx(1.96 * np.sqrt(0.7 * 0.3 / 20), rel=0.25)


def test_a_scorer_outside_the_table_comes_first():
    y, p = _binary()
    scoring = resolve_scoring("matthews_corrcoef", Task.BINARY)
    scores, _ = score_all(Held(Task.BINARY, y, p), Held(Task.BINARY, y, p[:, ::-1]), scoring)
    assert scores[0].name == "matthews_corrcoef"
    assert scores[0].is_primary
    assert scores[0].value == pytest.approx(skm.matthews_corrcoef(y, p.argmax(axis=1)))
    assert scores[0].baseline == pytest.approx(-scores[0].value)
    assert scores[0].low < scores[0].value < scores[0].high


def test_a_loss_outside_the_table_is_written_as_a_loss():
    rng = np.random.default_rng(0)
    y = rng.normal(size=100)
    scores, _ = score_all(Held(Task.REGRESSION, y, y + 1), None, resolve_scoring("neg_max_error", Task.REGRESSION))
    assert scores[0].value == pytest.approx(1.0)
    assert not scores[0].greater_is_better


def test_threshold_and_positive_class():
    y, p = _binary()
    held = Held(Task.BINARY, y, p, threshold=0.75)
    codes = (p[:, 1] >= 0.75).astype(int)
    found = _by_name(score_all(held, None, resolve_scoring("f1", Task.BINARY, pos_index=0), n_bootstraps=0)[0])
    assert found["f1"].value == pytest.approx(skm.f1_score(y, codes, pos_label=0))
    assert found["precision"].value == pytest.approx(skm.precision_score(y, codes, pos_label=0))
    assert found["average_precision"].value == pytest.approx(skm.average_precision_score(1 - y, p[:, 0]))
    assert found["f1"].low is None
    assert found["f1"].high is None


def test_mape_is_left_out_where_the_target_is_zero():
    y = np.arange(10.0)
    found = _by_name(score_all(Held(Task.REGRESSION, y, y + 1), None, resolve_scoring("r2", Task.REGRESSION))[0])
    assert found["mape"].value is None
    assert "the target is 0 on 1 rows" in found["mape"].note
    assert found["mae"].value == 1.0


def test_one_class_only_is_no_error():
    y, p = np.zeros(20, int), np.tile([0.7, 0.3], (20, 1))
    found = _by_name(score_all(Held(Task.BINARY, y, p), None, resolve_scoring("roc_auc", Task.BINARY))[0])
    assert found["roc_auc"].value is None
    assert found["roc_auc"].note
    assert found["accuracy"].value == 1.0


def test_confusion_and_report_equal_scikit_learns():
    rng = np.random.default_rng(0)
    y, p, w = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200), rng.uniform(size=200)
    held = Held(Task.MULTICLASS, y, p, w)
    labels = ("a", "b", "c")
    codes = p.argmax(axis=1)
    np.testing.assert_allclose(confusion(held, labels).counts, skm.confusion_matrix(y, codes, sample_weight=w))
    precision, recall, f1, support = skm.precision_recall_fscore_support(y, codes, sample_weight=w)
    for k, row in enumerate(class_reports(held, labels)):
        assert row.label == labels[k]
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[k], recall[k], f1[k]))
        assert row.support == pytest.approx(support[k])


def test_a_class_never_predicted_has_precision_zero():
    held = Held(Task.BINARY, np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert confusion(held, ("no", "yes")).counts == ((1.0, 0.0), (1.0, 0.0))
    assert class_reports(held, ("no", "yes"))[1].precision == 0.0


def test_queries_by_hand():
    group = np.array([0, 0, 1, 1, 2, 2, 2])
    y = np.array([1.0, 0, 0, 1, 1, 1, 1])
    score = np.array([2.0, 1, 2, 1, 3, 2, 1])
    queries = summarise_queries(Held(Task.RANKING, y, score, None, group))
    assert (queries.n_queries, queries.n_left_out) == (3, 1)
    assert queries.rows_per_query == {"min": 2.0, "median": 2.0, "max": 3.0}
    assert queries.ndcg_quantiles["100"] == 1.0
    assert queries.ndcg_quantiles["0"] == pytest.approx(1 / np.log2(3))
    assert queries.ndcg_histogram[6] == queries.ndcg_histogram[9] == 1
