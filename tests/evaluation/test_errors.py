"""The worst rows, confusions and deciles, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from automl_wf.core.tasks import Task
from automl_wf.evaluation.calibration import wilson_interval
from automl_wf.evaluation.errors import find_errors
from automl_wf.evaluation.scores import Held


def test_the_worst_rows_of_classes() -> None:
    y = np.array([0, 1, 1, 0])
    p1 = np.array([0.1, 0.2, 0.9, 0.5])
    held = Held(Task.BINARY, y, np.column_stack([1 - p1, p1]))
    found = find_errors(held, ("no", "yes"), positions=np.array([70, 71, 72, 73]))
    assert found.loss == "log loss"
    worst = found.worst[0]
    assert (worst.row, worst.prediction, worst.truth) == (71, "no", "yes")
    assert worst.loss == pytest.approx(-math.log(0.2))
    assert worst.probability == pytest.approx(0.2)
    assert [case.row for case in found.worst] == [71, 73, 70, 72]


def test_confusions_are_shares_of_the_true_class() -> None:
    y = np.array([0] * 10 + [1] * 20 + [2] * 5)
    said = np.array([0] * 9 + [1] + [1] * 14 + [2] * 6 + [2] * 5)
    found = find_errors(Held(Task.MULTICLASS, y, np.eye(3)[said]), ("a", "b", "c"))
    pairs = [(p.truth, p.said, p.n, p.share) for p in found.confusions]
    assert pairs == [("b", "c", 6, 0.3), ("a", "b", 1, 0.1)]
    assert (found.confusions[0].low, found.confusions[0].high) == wilson_interval(0.3, 20)


def test_a_perfect_model_has_no_worst_row() -> None:
    y = np.array([0, 1, 0])
    found = find_errors(Held(Task.BINARY, y, np.eye(2)[y]), (0, 1))
    assert found.worst == found.confusions == ()


def test_errors_of_values_by_decile() -> None:
    prediction = np.arange(100.0)
    error = np.where(prediction < 10, 3.0, -1.0) * np.where(np.arange(100) % 2, 1.0, 2.0)
    found = find_errors(Held(Task.REGRESSION, prediction + error, prediction))
    assert found.loss == "absolute error"
    assert [case.loss for case in found.worst[:6]] == [6.0, 6.0, 6.0, 6.0, 6.0, 3.0]
    assert (found.worst[0].row, found.worst[0].prediction, found.worst[0].truth) == (0, 0.0, 6.0)
    assert len(found.by_prediction) == 10
    first, second = found.by_prediction[:2]
    assert (first.first, first.last, first.n, first.error, first.bias) == (0.0, 9.0, 10, 4.5, 4.5)
    assert (second.error, second.bias) == (1.5, -1.5)
    # Student's interval of five times 6 and five times 3: sd 1.5811, t(9) = 2.2622
    assert first.high - first.error == pytest.approx(2.262157 * 1.581139 / math.sqrt(10), rel=1e-5)


def test_a_row_that_was_repeated_for_its_weight_is_named_once() -> None:
    y = np.array([5.0, 5.0, 1.0, 0.0])
    found = find_errors(Held(Task.REGRESSION, y, np.zeros(4)), positions=np.array([3, 3, 8, 9]))
    assert [case.row for case in found.worst] == [3, 8]


def test_the_worst_queries_are_named_by_their_first_row() -> None:
    group = np.repeat([4, 2, 7], 2)
    y = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    score = np.array([2.0, 1.0, 1.0, 2.0, 0.0, 1.0])
    found = find_errors(Held(Task.RANKING, y, score, group=group))
    # Query 4 is ranked rightly, query 2 has its relevant row second, query 7 says nothing.
    assert [(case.row, case.truth) for case in found.worst] == [(2, None)]
    assert found.worst[0].loss == pytest.approx(1 - 1 / math.log2(3))
