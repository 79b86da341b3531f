from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as skm

from automl_wf.core.tasks import Task
from automl_wf.evaluation.curves import quantile_bins, roc_and_pr_curves, summarise_residuals
from automl_wf.evaluation.scores import Held


def _held(n, n_classes=2, seed=0, step=None):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    p = rng.dirichlet(np.ones(n_classes), n) + np.eye(n_classes)[y] * 0.5
    p = p / p.sum(axis=1, keepdims=True)
    if step:
        p[:, 1] = np.round(p[:, 1] / step) * step
        p[:, 0] = 1 - p[:, 1]
    return Held(Task.BINARY if n_classes == 2 else Task.MULTICLASS, y, p, rng.uniform(0.5, 2, n))


def test_few_points_are_scikit_learns_curves():
    held = _held(40, step=0.1)
    (roc,), (pr,) = roc_and_pr_curves(held, ("no", "yes"))
    x, y, _ = skm.roc_curve(held.y, held.prediction[:, 1], sample_weight=held.weight, drop_intermediate=False)
    np.testing.assert_allclose(roc.x, x)
    np.testing.assert_allclose(roc.y, y)
    precision, recall, thresholds = skm.precision_recall_curve(held.y, held.prediction[:, 1], sample_weight=held.weight)
    np.testing.assert_allclose(pr.x, recall[::-1])
    np.testing.assert_allclose(pr.y, precision[::-1])
    assert pr.thresholds[0] is None
    np.testing.assert_allclose(pr.thresholds[1:], thresholds[::-1])
    assert roc.label == pr.label == "yes"


def test_areas_are_those_of_the_whole_curve_and_points_are_thinned():
    held = _held(5000)
    (roc,), (pr,) = roc_and_pr_curves(held, ("no", "yes"))
    assert roc.area == pytest.approx(
        skm.roc_auc_score(held.y, held.prediction[:, 1], sample_weight=held.weight), abs=1e-12
    )
    assert pr.area == pytest.approx(
        skm.average_precision_score(held.y, held.prediction[:, 1], sample_weight=held.weight), abs=1e-12
    )
    for curve in (roc, pr):
        assert 100 < len(curve.x) == len(curve.y) == len(curve.thresholds) <= 200
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == pytest.approx((0, 0, 1, 1))
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(roc.area, abs=0.002)


def test_one_curve_per_class_that_is_there():
    held = _held(300, n_classes=3)
    roc, pr = roc_and_pr_curves(held, ("a", "b", "c"))
    assert [c.label for c in roc] == [c.label for c in pr] == ["a", "b", "c"]
    assert roc[2].area == pytest.approx(
        skm.roc_auc_score(held.y == 2, held.prediction[:, 2], sample_weight=held.weight)
    )
    without = held.take(np.flatnonzero(held.y != 1))
    assert [c.label for c in roc_and_pr_curves(without, ("a", "b", "c"))[0]] == ["a", "c"]


def test_positive_class_zero():
    held = _held(100)
    (roc,), (pr,) = roc_and_pr_curves(held, ("no", "yes"), pos_index=0)
    assert roc.label == "no"
    assert pr.area == pytest.approx(
        skm.average_precision_score(1 - held.y, held.prediction[:, 0], sample_weight=held.weight)
    )


def test_quantile_bins_keep_equal_values_together():
    assert np.bincount(quantile_bins(np.arange(100.0))).tolist() == [10] * 10
    tied = np.r_[np.zeros(70), np.arange(1.0, 31)]
    bins = quantile_bins(tied)
    assert len(set(bins[:70])) == 1
    assert set(bins) == set(range(bins.max() + 1))
    assert quantile_bins(np.ones(5)).tolist() == [0] * 5


def test_residuals_by_hand_and_theory():
    rng = np.random.default_rng(0)
    value = rng.uniform(0, 10, 5000)
    residual = rng.normal(0, 1, 5000) * (1 + value / 10) + np.where(value > 9, 2.0, 0.0)
    facts = summarise_residuals(Held(Task.REGRESSION, value + residual, value))
    assert facts.mean == pytest.approx(residual.mean())
    assert facts.std == pytest.approx(residual.std())
    assert facts.quantiles["50"] == pytest.approx(np.median(residual))
    assert len(facts.qq) == 100
    assert len(facts.by_prediction) == 10
    assert sum(b.n for b in facts.by_prediction) == 5000
    assert facts.by_prediction[-1].residual == pytest.approx(2.0, abs=0.3)
    assert facts.by_prediction[8].std > 1.4 * facts.by_prediction[0].std


def test_normal_residuals_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    facts = summarise_residuals(Held(Task.REGRESSION, rng.normal(5, 3, 20_000), np.zeros(20_000)))
    theory, seen = np.array(facts.qq).T
    np.testing.assert_allclose(theory, seen, atol=0.1)


def test_perfect_predictions_have_no_spread():
    facts = summarise_residuals(Held(Task.REGRESSION, np.arange(5.0), np.arange(5.0), np.ones(5)))
    assert facts.std == 0.0
    assert all(seen == 0.0 for _, seen in facts.qq)
