from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.tasks import Task
from automl_wf.evaluation.calibration import calibrate, wilson_interval
from automl_wf.evaluation.scores import Held


def _held(p, y, weight=None):
    return Held(Task.BINARY, y, np.column_stack([1 - p, p]), weight)


def test_what_is_calibrated_is_found_to_be():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    y = (rng.uniform(size=20_000) < p).astype(int)
    table = calibrate(_held(p, y), ("no", "yes"))
    assert table.error < 0.015
    assert (table.event, table.label, len(table.bins)) == ("positive class", "yes", 10)
    assert sum(b.low <= b.predicted <= b.high for b in table.bins) >= 8
    assert sum(b.n for b in table.bins) == 20_000


def test_overconfidence_is_measured():
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=5000) < 0.5).astype(int)
    p = np.where(rng.uniform(size=5000) < 0.5, 0.9, 0.1)  # says nine in ten, and knows nothing
    table = calibrate(_held(p, y), ("no", "yes"))
    assert [b.predicted for b in table.bins] == pytest.approx([0.1, 0.9])
    assert table.error == pytest.approx(0.4, abs=0.02)


def test_by_hand_with_weights_and_positive_class_zero():
    p, y, w = np.array([0.2, 0.2, 0.6]), np.array([0, 1, 1]), np.array([3.0, 1.0, 1.0])
    table = calibrate(_held(p, y, w), ("no", "yes"))
    assert [(b.predicted, b.observed, b.n) for b in table.bins] == [
        (pytest.approx(0.2), pytest.approx(0.25), 2),
        (pytest.approx(0.6), pytest.approx(1.0), 1),
    ]
    assert table.error == pytest.approx((4 * 0.05 + 1 * 0.4) / 5)
    turned = calibrate(_held(p, y, w), ("no", "yes"), pos_index=0)
    assert turned.label == "no"
    assert turned.error == pytest.approx(table.error)


def test_more_classes_are_judged_by_the_most_probable():
    proba = np.array([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.6, 0.4, 0.0]])
    table = calibrate(Held(Task.MULTICLASS, np.array([0, 1, 2, 1]), proba), ("a", "b", "c"))
    assert table.label is None
    assert [(b.predicted, b.observed) for b in table.bins] == [(pytest.approx(0.6), pytest.approx(0.75))]


def test_wilson_interval_of_a_published_example():
    # 95 % interval for 81 of 263 (Newcombe, Statistics in Medicine 17, 1998, table I, method 3)
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
