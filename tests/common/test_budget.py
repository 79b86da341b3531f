"""`time_budget` covers the whole of `fit`; how closely is measured by `python -m benchmarks.parity`, not here."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression

from automl_wf import WorkflowClassifier, WorkflowRegressor

#: Tests share their cores with others: what is asserted is the order of magnitude.
GUARD = 3.0


@pytest.mark.parametrize("seconds", [2.0, 5.0])
@pytest.mark.parametrize("n_rows", [300, 20_000])
def test_fit_ends_in_time(seconds: float, n_rows: int) -> None:
    X, y = make_classification(n_rows, 20, n_informative=8, random_state=0)
    started_at = time.perf_counter()
    model = WorkflowClassifier(time_budget=seconds, verbose=0, random_state=0).fit(X, y)
    assert time.perf_counter() - started_at < seconds * 1.02 + 0.5 + GUARD
    assert model.score(X, y) > 0.8


def test_wide_and_slow_table_ends_in_time() -> None:
    X, y = make_regression(3000, 600, n_informative=20, noise=10.0, random_state=0)
    started_at = time.perf_counter()
    model = WorkflowRegressor(time_budget=4.0, verbose=0, random_state=0).fit(X, y)
    assert time.perf_counter() - started_at < 4.0 * 1.02 + 0.5 + GUARD
    assert np.isfinite(model.predict(X)).all()


def test_a_tiny_budget_still_gives_a_model() -> None:
    X, y = make_classification(500, 10, random_state=0)
    model = WorkflowClassifier(time_budget=0.05, verbose=0, random_state=0).fit(X, y)
    assert set(model.predict(X)) <= {0, 1}
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_the_first_second_gives_more_than_the_baseline() -> None:
    X, y = make_classification(500, 10, random_state=0)
    # A machine that pauses for most of a second is no fault of the search: it may try again
    fits = (WorkflowClassifier(time_budget=1.0, verbose=0, random_state=0).fit(X, y) for _ in range(5))
    assert any(model.score(X, y) > 0.8 for model in fits)


def test_converged_is_converged() -> None:
    # Small tables return early: the budget is a limit, not a target.
    X, y = make_classification(300, 10, random_state=0)
    started_at = time.perf_counter()
    WorkflowClassifier(verbose=0, random_state=0).fit(X, y)
    assert time.perf_counter() - started_at < 20.0


def test_timings_add_up(quick: dict[str, Any]) -> None:
    X, y = make_classification(300, 10, random_state=0)
    started_at = time.perf_counter()
    model = WorkflowClassifier(**quick).fit(X, y)
    elapsed = time.perf_counter() - started_at
    seconds = [v for v in dict(model.timings_).values() if isinstance(v, float)]
    assert seconds
    assert all(0.0 <= s <= elapsed for s in seconds)


def test_a_slow_metric_of_ones_own_ends_in_time() -> None:
    X, y = make_classification(3000, 10, n_informative=6, random_state=0)
    n_calls = 0

    def slow(estimator: Any, X: Any, y: Any) -> float:
        nonlocal n_calls
        n_calls += 1
        time.sleep(0.2)
        return float(np.mean(estimator.predict(X) == y))

    started_at = time.perf_counter()
    model = WorkflowClassifier(time_budget=5.0, scoring=slow, verbose=0, random_state=0).fit(X, y)
    assert time.perf_counter() - started_at < 5.0 * 1.02 + 0.5 + GUARD
    assert 0 < n_calls < 50
    assert model.score(X, y) > 0.8
