"""Portfolio first, then what the surrogate asks for, until count, time or use ends."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo import search
from automl_wf.bayesian_hpo.objective import Configuration, Trial
from automl_wf.bayesian_hpo.search import SearchRecord, SearchRules, run_search
from automl_wf.core.budget import Budget
from automl_wf.core.spread import Outcome, Workers, _outcome

BASELINE = Configuration("mean", {}, "baseline")
GUESSES = [Configuration("guess", {"error": e}, "portfolio") for e in (2.5, 2.0, 1.5)]


def run(objective: Any, portfolio: Any, rules: SearchRules, seconds: float | None = None) -> SearchRecord:
    return run_search(objective, portfolio, rules, Budget(seconds), seed=0)


def sources(record: SearchRecord) -> list[str]:
    return [t.configuration.source for t in record.trials]


def test_the_whole_list(objective_of: Any) -> None:
    told: list[tuple[int, int]] = []
    record = run_search(
        objective_of(),
        [BASELINE, *GUESSES],
        SearchRules(None, 4, asks=False),
        Budget(),
        seed=0,
        on_trial=lambda trial, record: told.append((trial.number, len(record.trials))),
    )
    assert [t.number for t in record.trials] == [0, 1, 2, 3]
    assert told == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert record.best is record.trials[3]
    assert record.best.score == pytest.approx(-1.5)
    assert (record.ended, record.is_clock_limited) == ("the list was tried whole", False)


def test_n_iter_is_the_number_of_trials(objective_of: Any) -> None:
    record = run(objective_of(), [BASELINE, *GUESSES], SearchRules(2, 99, asks=False))
    assert len(record.trials) == 2
    assert record.ended == "all 2 configurations were tried"


def test_of_forty_trials_sixteen_are_asked_and_they_find_the_optimum(objective_of: Any) -> None:
    many = [Configuration("guess", {"error": 3.0 - 0.01 * i}, "portfolio") for i in range(50)]
    record = run(objective_of(), [BASELINE, *many], SearchRules(40, 200, asks=True))
    assert len(record.trials) == 40
    assert sources(record).count("asked") == 16
    assert record.best is not None
    assert record.best.configuration.source == "asked"
    assert abs(record.best.configuration.params["error"]) < 0.05
    again = run(objective_of(), [BASELINE, *many], SearchRules(40, 200, asks=True))
    assert [t.configuration for t in again.trials] == [t.configuration for t in record.trials]


def test_a_short_portfolio_leaves_more_to_ask(objective_of: Any) -> None:
    record = run(objective_of(), [BASELINE, *GUESSES], SearchRules(10, 200, asks=True))
    assert sources(record) == ["baseline"] + ["portfolio"] * 3 + ["asked"] * 6


def test_the_search_converges_after_asked_trials_without_a_better_one(objective_of: Any) -> None:
    best = Configuration("guess", {"error": 0.0}, "portfolio")
    record = run(objective_of(), [BASELINE, best], SearchRules(None, 99, asks=True, patience=3))
    assert sources(record).count("asked") == 3
    assert record.ended == "converged: further configurations were not better"


def test_models_are_asked_in_turn_the_best_one_twice_as_often(objective_of: Any) -> None:
    other = Configuration("other", {"error": 4.0}, "portfolio")
    record = run(objective_of(), [BASELINE, GUESSES[0], other], SearchRules(9, 99, asks=True))
    asked = [t.configuration.model for t in record.trials if t.configuration.source == "asked"]
    assert asked == ["guess", "guess", "other", "guess", "guess", "other"]


def test_nothing_to_tune_ends_the_search(objective_of: Any) -> None:
    record = run(objective_of(), [BASELINE], SearchRules(None, 99, asks=True))
    assert len(record.trials) == 1


def test_parameters_outside_the_space_are_the_best_trials(objective_of: Any) -> None:
    tagged = [Configuration("guess", {"error": e, "tag": e}, "portfolio") for e in (2.0, 1.0)]
    record = run(objective_of(), [BASELINE, *tagged], SearchRules(5, 99, asks=True))
    assert record.trials[-1].configuration.params["tag"] == 1.0


def test_the_baseline_runs_without_any_time(objective_of: Any) -> None:
    record = run(objective_of(), [BASELINE, *GUESSES], SearchRules(None, 4, asks=False), seconds=0.0)
    assert [t.status for t in record.trials] == ["ok"]
    assert (record.ended, record.is_clock_limited) == ("the time was used up", True)


def test_the_time_ends_the_search(objective_of: Any) -> None:
    slow = [Configuration("guess", {"error": 1.0, "sleep": 0.02}, "portfolio") for _ in range(100)]
    record = run(objective_of(), [BASELINE, *slow], SearchRules(None, 101, asks=False), seconds=0.4)
    assert 1 < len(record.trials) < 20
    assert record.is_clock_limited


def test_failures_and_undefined_scores_are_never_the_best(objective_of: Any) -> None:
    failing = Configuration("guess", {"fails": True}, "portfolio")
    record = run(objective_of(), [BASELINE, failing, GUESSES[0]], SearchRules(None, 3, asks=False))
    assert [t.status for t in record.trials] == ["ok", "failed", "ok"]
    assert record.best is record.trials[2]

    def only_for_guesses(estimator: Any, X: Any, y: Any) -> float:
        prediction = estimator.predict(X)
        return math.nan if np.ptp(prediction) == 0 else -float(np.abs(prediction - y).mean())

    constant = run(objective_of(12, 1, scoring=only_for_guesses), [BASELINE, GUESSES[0]], SearchRules(None, 2, False))
    assert [t.status for t in constant.trials] == ["failed", "ok"]
    assert constant.best is constant.trials[1]


def test_pruned_trials_tell_the_surrogate_what_their_folds_scored() -> None:
    configuration = Configuration("guess", {}, "asked")
    assert search.loss_of(Trial(0, configuration, "ok", score=-0.5)) == 0.5
    assert search.loss_of(Trial(0, configuration, "pruned", fold_scores=(-2.0, -3.0, math.nan))) == 2.5
    assert math.isnan(search.loss_of(Trial(0, configuration, "failed", fold_scores=(-2.0,))))


def test_a_trial_goes_on_unless_it_is_behind_the_worst_fold_of_the_best(objective_of: Any) -> None:
    objective = objective_of(3000, 3)
    best = objective(Configuration("guess", {"error": 1.5}, "portfolio"), 0, budget=Budget())
    best = replace(best, fold_scores=(-0.5, -1.5, math.nan))
    worth_going_on = search._forgiving(SearchRecord([best]), objective, Budget())
    assert worth_going_on is not None
    behind = [np.arange(1000.0) + 2.0, np.arange(1000.0, 2000.0) + 2.1]
    assert worth_going_on([-1.0, -2.0], behind)
    assert not worth_going_on([-1.0, -2.1], behind)
    assert worth_going_on([math.nan], behind[:1])
    assert search._forgiving(SearchRecord(), objective, Budget()) is None


@pytest.mark.parametrize(("error", "status"), [(-1.8, "ok"), (-9.0, "pruned"), (1.8, "pruned")])
def test_what_errs_differently_goes_on_where_a_blend_gains(objective_of: Any, error: float, status: str) -> None:
    # The best one is 1.0 too high: a quarter of one that is 1.8 too low makes 0.3 of it, one that is 9 too low -1.5.
    guesses = [Configuration("guess", {"error": e}, "portfolio") for e in (1.0, error)]
    record = run(objective_of(3000, 3), [BASELINE, *guesses], SearchRules(None, 3, asks=False))
    assert [t.status for t in record.trials] == ["ok", "ok", status]


def test_a_slow_metric_is_not_asked_about_blends(objective_of: Any) -> None:
    asked: list[int] = []

    def counted(estimator: Any, X: Any, y: Any) -> float:
        asked.append(len(y))
        return -float(np.abs(estimator.predict(X) - y).mean())

    objective = objective_of(3000, 3, scoring=counted)
    best = objective(Configuration("guess", {"error": 1.0}, "portfolio"), 0, budget=Budget())
    objective.score_time_s = 1.0
    asked.clear()
    worth_going_on = search._forgiving(SearchRecord([best]), objective, Budget(30.0))
    assert worth_going_on is not None
    assert not worth_going_on([-1.8, -1.8], [np.arange(1000.0) - 1.8, np.arange(1000.0, 2000.0) - 1.8])
    assert asked == []


def test_only_the_best_trials_keep_their_models(objective_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "KEPT", 2)
    record = run(objective_of(), [BASELINE, *GUESSES], SearchRules(None, 4, asks=False))
    assert [bool(t.learners) for t in record.trials] == [False, False, True, True]
    assert all(t.prediction is not None for t in record.trials)


def test_a_slot_is_no_shorter_than_what_a_trial_usually_takes() -> None:
    def trial(number: int, seconds: float, status: Any = "ok") -> Trial:
        return Trial(number, GUESSES[0], status, fit_time_s=seconds)

    record = SearchRecord([trial(0, 50.0), trial(1, 50.0), trial(2, 4.0), trial(3, 0.1, "pruned"), trial(4, 8.0)])
    assert search._usual_seconds(record) == 6.0
    assert search._usual_seconds(SearchRecord(record.trials[:2])) == 0.0
    other = Configuration("other", {}, "portfolio")
    records = [SearchRecord([trial(0, 1.0), trial(1, 1.0), trial(2, s)]) for s in (0.0, 6.0, 60.0)]
    of_ten = [search._slot(Budget(10.0), r, other, 0.0).seconds for r in records]
    assert of_ten == pytest.approx([3.5, 6.0, 10.0], rel=0.01)
    assert search._slot(Budget(), records[1], other, 0.0).seconds is None


def test_while_there_is_only_the_baseline_shares_are_larger_and_each_that_ended_a_trial_doubles_the_next() -> None:
    trials = [Trial(0, BASELINE, "ok")]
    trials += [Trial(i, Configuration("guess", {"error": i}, "portfolio"), "out_of_time") for i in range(1, 5)]
    other = Configuration("other", {}, "portfolio")
    shares = [search._slot(Budget(10.0), SearchRecord(trials[:n]), other, 0.0).seconds for n in range(1, 6)]
    assert shares == pytest.approx([1.0, 5.0, 10.0, 10.0, 10.0], rel=0.01)
    beside_a_model = SearchRecord([*trials, Trial(5, GUESSES[0], "ok")])
    assert search._slot(Budget(10.0), beside_a_model, other, 0.0).seconds == pytest.approx(3.5, rel=0.01)


def test_while_there_is_only_the_baseline_features_leave_all_of_its_time_to_a_trial_but_the_first() -> None:
    trials = [Trial(0, BASELINE, "ok"), Trial(1, GUESSES[0], "out_of_time"), Trial(2, GUESSES[1], "ok")]
    assert [search._learning_share(SearchRecord(trials[:n])) for n in range(4)] == [None, None, 1.0, 0.5]


def test_the_only_model_that_its_share_ended_is_tried_once_more_with_all_the_time(objective_of: Any) -> None:
    slow = Configuration("guess", {"error": 1.0, "sleep": 0.1}, "portfolio")
    record = run(objective_of(), [BASELINE, slow], SearchRules(None, 9, asks=False), seconds=2.0)
    assert [t.status for t in record.trials] == ["ok", "out_of_time", "ok"]
    assert record.best is record.trials[2]
    assert record.best.learners[0].seconds_ > 0.4

    slower = Configuration("guess", {"error": 1.0, "sleep": 0.2}, "portfolio")
    record = run(objective_of(), [BASELINE, slower], SearchRules(None, 9, asks=False), seconds=0.6)
    assert [t.status for t in record.trials] == ["ok", "out_of_time", "out_of_time"]
    assert record.best is record.trials[0]
    assert search._once_more(record) == []


class Elsewhere(Workers):
    """Two workers of which nothing is seen but what they are handed; their memory is their own."""

    def __init__(self) -> None:
        super().__init__(None, 2)
        self.n_calls: list[int] = []

    def count(self) -> int:
        return 2

    def run(self, calls: Any) -> list[Outcome]:
        self.n_calls.append(len(calls))
        work = pickle.loads(self._payload)
        return [_outcome(work, call) for call in calls]


@pytest.mark.parametrize("n_rows", [12, 3_000])
def test_what_is_fitted_ahead_on_workers_decides_nothing(objective_of: Any, n_rows: int) -> None:
    # Behind the first guess, which is the best of the portfolio, are hopeless ones, a failing one and one like it.
    errors = [{"error": e} for e in (1.0, 2.5, 2.0, 1.01)]
    portfolio = [Configuration("guess", p, "portfolio") for p in (*errors, {"fails": True})]
    rules = SearchRules(14, 99, asks=True)
    alone = run(objective_of(n_rows, 3), [BASELINE, *portfolio], rules)
    workers = Elsewhere()
    objective = objective_of(n_rows, 3)
    objective.workers = workers
    workers.send(objective._fit)
    spread = run(objective, [BASELINE, *portfolio], rules)
    for ours, theirs in zip(spread.trials, alone.trials, strict=True):
        assert (ours.configuration, ours.status, ours.reason) == (theirs.configuration, theirs.status, theirs.reason)
        assert ours.fold_scores == theirs.fold_scores
        assert ours.fit_time_s > 0
    assert [t.status for t in alone.trials].count("failed") == 1
    assert ("pruned" in [t.status for t in alone.trials]) == (n_rows == 3_000)
    # Few rows: all folds of all six at once. Many: the first two of two at a time, and the rest of the promising ones.
    assert workers.n_calls[0] == (6 * 3 if n_rows == 12 else 2 * 2)
    assert not objective._ahead


def test_ahead_of_the_clock_only_as_much_as_there_are_workers(objective_of: Any) -> None:
    workers = Elsewhere()
    objective = objective_of(12, 3)
    objective.workers = workers
    workers.send(objective._fit)
    record = run(objective, [BASELINE, *GUESSES], SearchRules(None, 4, asks=False), seconds=30.0)
    assert [t.status for t in record.trials] == ["ok"] * 4
    assert workers.n_calls == [3, 3, 3, 3]
