"""Intervals and sets hold what they promise on exchangeable rows, and it is seen where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.tasks import Task
from automl_wf.evaluation.coverage import measure_coverage
from automl_wf.evaluation.scores import Held


def test_intervals_of_normal_errors() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=4000)
    found = measure_coverage(Held(Task.REGRESSION, prediction + rng.normal(size=4000), prediction), np.arange(4000) % 5)
    assert found is not None
    assert (found.of, found.by, found.n_rows, found.n_folds) == ("intervals", "prediction", 4000, 5)
    for level, quantile in zip(found.levels, (1.281552, 1.644854, 1.959964), strict=True):
        assert level.covered == pytest.approx(level.confidence, abs=0.02)
        assert level.low <= level.confidence <= level.high
        assert level.size == pytest.approx(2 * quantile, rel=0.05)
        assert level.worst <= level.covered
        assert level.worst_n == 400
        assert level.empty is None


def test_the_worst_decile_is_where_errors_are_large() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.uniform(size=2000)
    error = rng.normal(size=2000) * np.where(prediction > 0.9, 5.0, 1.0)
    found = measure_coverage(Held(Task.REGRESSION, prediction + error, prediction), np.arange(2000) % 4)
    level = found.levels[1]
    assert level.worst < 0.6
    assert level.worst_high < level.low
    assert level.worst_first == pytest.approx(0.9, abs=0.02)
    assert level.worst_last > 0.99


def test_sets_of_calibrated_probabilities() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 3000)
    y = (proba.cumsum(axis=1) > rng.random(3000)[:, None]).argmax(axis=1)
    found = measure_coverage(Held(Task.MULTICLASS, y, proba), np.arange(3000) % 5)
    assert (found.of, found.by) == ("sets", "largest probability")
    for level in found.levels:
        assert level.covered == pytest.approx(level.confidence, abs=0.02)
        assert 1.0 < level.size < 3.0
    assert found.levels[0].size < found.levels[2].size


def test_no_fold_judges_itself() -> None:
    """All of the error is in one fold: its rows are covered by nobody's quantile, the others by everybody's."""
    y = np.r_[np.full(25, 100.0), np.zeros(75)]
    found = measure_coverage(Held(Task.REGRESSION, y, np.zeros(100)), np.repeat(np.arange(4), 25))
    assert found.levels[2].covered == 0.75


def test_a_single_part_is_cut_into_blocks() -> None:
    rng = np.random.default_rng(0)
    held = Held(Task.REGRESSION, rng.normal(size=500), np.zeros(500))
    found = measure_coverage(held, np.zeros(500, dtype=np.int64))
    assert found.n_folds == 5
    assert found.levels[1].covered == pytest.approx(0.9, abs=0.03)


def test_too_few_rows_for_a_level_are_covered_by_the_whole_line() -> None:
    held = Held(Task.REGRESSION, np.random.default_rng(0).normal(size=20), np.zeros(20))
    found = measure_coverage(held, np.arange(20) % 2)
    assert (found.levels[2].covered, found.levels[2].size) == (1.0, None)
    assert found.levels[0].size is not None


def test_rankings_and_tiny_tables_have_none() -> None:
    held = Held(Task.RANKING, np.zeros(50), np.zeros(50), group=np.zeros(50, dtype=np.int64))
    assert measure_coverage(held, np.arange(50) % 5) is None
    assert measure_coverage(Held(Task.REGRESSION, np.zeros(19), np.zeros(19)), np.arange(19) % 5) is None
