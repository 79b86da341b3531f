"""Which trials may become members, where the owner bounds time or size."""

from __future__ import annotations

from collections.abc import Sequence

from automl_wf.bayesian_hpo.limits import Limits, excess, within_limits
from automl_wf.bayesian_hpo.objective import Configuration, Trial

#: Scores 0.9, 0.8, 0.7, 0.6; the second is large, the third slow.
TRIALS = [
    Trial(i, Configuration("guess", {}, "portfolio"), "ok", score=0.9 - 0.1 * i, n_parameters=size, fit_time_s=slow)
    for i, (size, slow) in enumerate([(10, 1.0), (90, 1.0), (10, 8.0), (10, 1.0)])
]


def seconds_of(trials: Sequence[Trial]) -> float:
    return sum(t.fit_time_s for t in trials)


def bytes_of(trials: Sequence[Trial]) -> float:
    return sum(t.n_parameters for t in trials)


def kept(limits: Limits) -> list[int]:
    return [t.number for t in within_limits(TRIALS[::-1], limits, seconds_of, bytes_of)]


def test_all_without_limits() -> None:
    assert not Limits().is_bound
    assert kept(Limits()) == [0, 1, 2, 3]


def test_one_that_would_exceed_a_limit_is_left_out_and_the_next_may_fit() -> None:
    assert kept(Limits(max_bytes=50)) == [0, 2, 3]
    assert kept(Limits(max_seconds_per_row=5.0)) == [0, 1, 3]
    assert kept(Limits(5.0, 50)) == [0, 3]
    assert kept(Limits(max_bytes=100)) == [0, 1]


def test_none_if_none_keeps_to_the_limit_and_how_far_each_is_over() -> None:
    assert kept(Limits(max_bytes=5)) == []
    assert excess(TRIALS[:2], Limits(max_bytes=5), seconds_of, bytes_of) == 20.0
    assert excess(TRIALS[:2], Limits(0.5, 1000), seconds_of, bytes_of) == 4.0
    assert excess(TRIALS, Limits(), seconds_of, bytes_of) == 0.0
