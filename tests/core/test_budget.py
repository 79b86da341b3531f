"""The clock, with the time set by hand."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from automl_wf.core import budget as module
from automl_wf.core.budget import Budget, check_clock
from automl_wf.exceptions import OutOfTime


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_seconds_run_out(clock: Clock) -> None:
    budget = Budget(10.0, started_at=100.0)
    clock.now = 104.0
    assert (budget.elapsed(), budget.left(), budget.is_over()) == (4.0, 6.0, False)
    clock.now = 110.0
    assert budget.is_over()
    with pytest.raises(OutOfTime, match=r"the fit was stopped: its share of the time budget \(10.0 s\)"):
        budget.check("the fit")


def test_shares_and_reserves_are_of_what_is_left(clock: Clock) -> None:
    budget = Budget(10.0, started_at=100.0)
    clock.now = 102.0
    assert budget.share(0.25).seconds == 2.0
    assert budget.until_reserve(3.0).seconds == 5.0
    assert budget.until_reserve(9.0).seconds == 0.0
    clock.now = 120.0
    assert budget.share(0.5).seconds == 0.0


def test_without_a_limit_no_question_reads_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(None, started_at=0.0)
    monkeypatch.setattr(module, "time", None)
    assert not budget.is_limited
    assert budget.left() == math.inf
    assert not budget.is_over()
    budget.check("nothing")


def test_calls_that_fit_into_what_is_left(clock: Clock) -> None:
    budget = Budget(10.0, started_at=100.0)
    clock.now = 104.0
    assert budget.calls(2.0) == 3
    clock.now = 120.0
    assert budget.calls(2.0) == 0
    assert Budget().calls(2.0) is None


def test_what_knows_no_budget_asks_the_one_that_governs_its_thread(clock: Clock) -> None:
    check_clock("a step")
    with Budget(10.0, started_at=100.0).governing():
        clock.now = 109.0
        check_clock("a step")
        with ThreadPoolExecutor(1) as other:
            other.submit(check_clock, "a step of another thread").result()
        clock.now = 111.0
        with Budget().governing():
            check_clock("a step without a limit")
        with pytest.raises(OutOfTime, match="a step was stopped"):
            check_clock("a step")
    check_clock("a step")
