"""Verdicts by hand."""

from __future__ import annotations

from typing import Any

import pytest

from automl_wf.core.criteria import (
    MET,
    NOT_JUDGED,
    NOT_MET,
    UNDECIDED,
    Criterion,
    check_requirements,
    criteria_findings,
    judge,
    state_criteria,
)
from automl_wf.exceptions import InvalidParameter


@pytest.mark.parametrize(
    ("wanted", "is_at_least", "interval", "verdict"),
    [
        (0.8, True, (0.81, 0.9), MET),
        (0.8, True, (0.8, 0.9), MET),
        (0.8, True, (0.7, 0.9), UNDECIDED),
        (0.8, True, (0.7, 0.79), NOT_MET),
        (0.8, True, None, UNDECIDED),
        (3.0, False, (2.0, 2.9), MET),
        (3.0, False, (2.0, 3.1), UNDECIDED),
        (3.0, False, (3.1, 4.0), NOT_MET),
    ],
)
def test_a_score_is_judged_by_its_interval(wanted: float, is_at_least: bool, interval: Any, verdict: str) -> None:
    middle = 1.0 if interval is None else sum(interval) / 2
    judged = judge(Criterion("score", "x", wanted, is_at_least), middle, interval)
    assert (judged.verdict, judged.measured, judged.interval) == (verdict, middle, interval)


def test_to_equal_the_baseline_is_not_to_beat_it() -> None:
    wanted = Criterion("beats_baseline", "x", 0.5, True)
    assert judge(wanted, 0.5, (0.5, 0.5)).verdict == NOT_MET
    assert judge(wanted, 0.6, (0.5, 0.7)).verdict == UNDECIDED
    assert judge(wanted, 0.6, (0.51, 0.7)).verdict == MET
    assert judge(Criterion("beats_baseline", "x", None, True), 0.5, (0.4, 0.6)).verdict.startswith("not run")


def test_a_limit_is_met_or_not() -> None:
    limit = Criterion("max_size", "size", 1000.0, False, "bytes")
    assert judge(limit, 1000.0).verdict == MET
    assert judge(limit, 1001.0).verdict == NOT_MET
    assert judge(limit, None).verdict.startswith("not run")


def test_what_is_asked_is_stated_in_the_scores_usual_form() -> None:
    stated = state_criteria({"score": -3, "max_size": 10, "time_budget": 60}, "RMSE", greater_is_better=False)
    assert [(c.name, c.wanted, c.is_at_least) for c in stated] == [
        ("score", 3.0, False),
        ("max_size", 10.0, False),
        ("beats_baseline", None, False),
    ]
    assert {c.verdict for c in stated} == {NOT_JUDGED}
    # A score that may be negative stays what it is.
    assert state_criteria({"score": -0.2}, "R²", greater_is_better=True)[0].wanted == -0.2


@pytest.mark.parametrize(
    ("requirements", "match"),
    [
        ({"speed": 3}, "may hold score, max_size, max_predict_time, max_memory. Got 'speed'"),
        ({"score": "high"}, "'score' must be a number"),
        ({"max_size": 0}, "'max_size' must be a number of bytes above 0. Got 0"),
        ({"max_memory": "4GB"}, "'max_memory' must be"),
        ({"score": True}, "'score'"),
    ],
)
def test_requirements_that_cannot_be_are_refused(requirements: dict, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        check_requirements(requirements)


def test_no_requirements_are_fine() -> None:
    check_requirements(None)
    check_requirements({"score": 0.9, "max_size": 1e6, "max_predict_time": 1e-3, "max_memory": 2**30})


def test_what_was_not_got_is_a_finding() -> None:
    stated = state_criteria({"score": 0.9, "max_predict_time": 0.001, "max_size": 10}, "ROC AUC", True)
    score, time, size, baseline = stated
    judged = [
        judge(score, 0.88, (0.8, 0.95)),
        judge(time, 0.5),
        size,
        judge(baseline, 0.4, (0.3, 0.45)),
    ]
    undecided, missed = criteria_findings(judged)
    assert (undecided.code, undecided.severity) == ("criterion_undecided", "info")
    assert (
        "at least 0.9) is undecided at this sample size: measured 0.88, 95 % interval 0.8 to 0.95." in undecided.message
    )
    assert (missed.code, missed.severity) == ("criterion_not_met", "warning")
    assert "at most 0.001 seconds per row) is not met: measured 0.5." in missed.message
    assert criteria_findings(stated) == []
