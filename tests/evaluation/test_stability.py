"""Fold scores and agreement, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_wf.core.tasks import Task
from automl_wf.evaluation.stability import ONE_FOLD, summarise_stability


def _regression(table_of: Any, held_out_of: Any, n_folds: int = 2) -> Any:
    y = np.array([0.0, 0.0, 2.0, 2.0])
    prediction = y + np.array([1.0, 3.0, -1.0, 3.0])
    return held_out_of(table_of(x=y), y, prediction, n_folds=n_folds)


def test_fold_scores_by_hand(table_of: Any, held_out_of: Any) -> None:
    found = summarise_stability(_regression(table_of, held_out_of), ())
    assert found.label == "RMSE"
    assert found.fold_scores == (1.0, 3.0)
    assert (found.mean, found.std) == (2.0, pytest.approx(np.sqrt(2.0)))
    assert (found.n_rows, found.spread, found.same_label) == (0, None, None)


def test_spread_of_values_is_in_deviations_of_the_target(table_of: Any, held_out_of: Any) -> None:
    answers = [np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0])]
    found = summarise_stability(_regression(table_of, held_out_of), answers)
    # Two values that differ by 2 have a standard deviation of √2; the target's is 1.
    assert found.spread == pytest.approx(np.sqrt(2.0))
    assert found.n_rows == 3


def test_agreement_of_classes(table_of: Any, held_out_of: Any) -> None:
    y = np.array([0, 1, 0, 1])
    p1 = np.array([0.2, 0.9, 0.4, 0.8])
    held_out = held_out_of(table_of(x=p1), y, np.column_stack([1 - p1, p1]), task=Task.BINARY, n_folds=2)
    answers = [np.column_stack([1 - p, p]) for p in (np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.3, 0.4, 0.4, 0.9]))]
    found = summarise_stability(held_out, answers)
    assert found.same_label == 0.75
    assert found.spread == pytest.approx(np.mean([0.2, 0.2, 0.0, 0.0]) / np.sqrt(2))
    # The rows of a fold are of one class: they define no ROC AUC.
    assert found.fold_scores == (None, None)
    assert found.mean is None
    assert found.std is None


def test_rankings_agree_by_rank(table_of: Any, held_out_of: Any) -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    held_out = held_out_of(table_of(x=y), y, y, task=Task.RANKING, group=np.zeros(4, dtype=np.int64), n_folds=2)
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 30.0, 40.0])
    assert summarise_stability(held_out, [a, b]).rank_correlation == pytest.approx(1.0)
    assert summarise_stability(held_out, [a, -b]).rank_correlation == pytest.approx(-1.0)
    assert summarise_stability(held_out, [a, np.zeros(4)]).rank_correlation == 0.0


def test_one_fold_has_nobody_to_agree_with(table_of: Any, held_out_of: Any) -> None:
    found = summarise_stability(_regression(table_of, held_out_of, 1), [np.zeros(3)])
    assert found.status == ONE_FOLD
    assert len(found.fold_scores) == 1
