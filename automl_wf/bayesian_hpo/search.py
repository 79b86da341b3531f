"""The search: portfolio first, then Bayesian optimisation warmed up by it, until time, count or use ends.

The clock is asked between trials and inside them; with no time budget nothing here reads it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from automl_wf.bayesian_hpo.objective import BLEND_ROUNDS, Configuration, Objective, Trial, WorthGoingOn
from automl_wf.bayesian_hpo.surrogate import Surrogate
from automl_wf.core.budget import Budget
from automl_wf.core.checkpoint import Journal
from automl_wf.core.compat import give_back_memory
from automl_wf.model_selection.base import ModelSpec
from automl_wf.model_selection.ensemble import CANDIDATES

#: Up to this many rows the list of configurations follows from the size alone.
SMALL = 2_000
#: With `n_iter`, at most this share is taken from the portfolio.
PORTFOLIO_SHARE = 0.6
#: Fitted models are kept for this many of the best trials: those that may become candidates for the blend.
KEPT = CANDIDATES
#: A single trial may take at most this share of the time left, or what finished trials usually took, if that is more:
#: slots that only shrink would be too short for anything in the end. The first one, a linear model, gets less. While
#: there is only the baseline, later trials get more, and each that its share ended doubles that of the next.
SLOT, FIRST_SLOT, SLOT_WITHOUT_MODEL = 0.35, 0.1, 0.5
#: Where features take more than the rest of a trial's time, its learners still have this share of it, once there is a
#: model.
LEARNING_SHARE = 0.5
#: A trial behind the best one is blended with so many of the best after its first folds, unless scoring the blends
#: takes more than this share of its time.
BLENDED, BLENDING_SHARE = 5, 0.05
#: Below this share of all time no further trial is started: it would be cut short to nothing.
LAST_SLOT = 0.1


@dataclass(frozen=True)
class SearchRules:
    """What ends the search.

    Parameters
    ----------
    n_iter : int or None
        Number of configurations, the baseline included.
    max_trials : int
        Most configurations that rows of this number can tell apart.
    asks : bool
        Whether Bayesian optimisation follows the portfolio.
    patience : int, default=12
        Asked trials in a row without a better one after which the search has converged.
    """

    n_iter: int | None
    max_trials: int
    asks: bool
    patience: int = 12

    def of_portfolio(self, portfolio: Sequence[Configuration]) -> Sequence[Configuration]:
        """The configurations of the portfolio that are tried before any is asked for."""
        if not self.asks or self.n_iter is None:
            return portfolio
        return portfolio[: max(2, int(self.n_iter * PORTFOLIO_SHARE))]


@dataclass
class SearchRecord:
    """Trials so far, why the search ended and must not go on, how many the journal had, and why one is not in there."""

    trials: list[Trial] = field(default_factory=list)
    ended: str = ""
    is_over: bool = False
    is_clock_limited: bool = False
    n_resumed: int = 0
    unwritten: str = ""
    began_at: float = field(default_factory=time.perf_counter)

    @property
    def best(self) -> Trial | None:
        """The best trial with predictions."""
        done = [t for t in self.trials if t.status == "ok"]
        return max(done, key=lambda t: t.score) if done else None


def run_search(
    objective: Objective,
    portfolio: Sequence[Configuration],
    rules: SearchRules,
    budget: Budget,
    *,
    seed: int,
    on_trial: Callable[[Trial, SearchRecord], None] = lambda trial, record: None,
    finishing_s: Callable[[SearchRecord], float] = lambda record: 0.0,
    journal: Journal | None = None,
    record: SearchRecord | None = None,
) -> SearchRecord:
    """Try configurations until the count, the time or their use ends.

    Parameters
    ----------
    objective : Objective
        Runs one configuration.
    portfolio : sequence of Configuration
        In the order of priority, the baseline first.
    rules : SearchRules
        What ends the search.
    budget : Budget
        Time for all trials.
    seed : int
        Seed of the surrogate.
    on_trial : callable
        Told of each trial.
    finishing_s : callable
        Seconds of the budget that must be left for what follows the search, judged by the trials so far.
    journal : Journal or None
        Trials found there are not run again; those that are run are written there.
    record : SearchRecord or None
        What to go on from: the trials of a search by the same rules.

    Returns
    -------
    SearchRecord
        All trials, the best ones with their fitted models.
    """
    record = SearchRecord() if record is None else record
    start = record.began_at
    limit = rules.n_iter if rules.n_iter is not None else rules.max_trials
    n_portfolio = len(rules.of_portfolio(portfolio))
    planned = _configurations(objective, portfolio[:n_portfolio], rules, record, seed)
    known = {} if journal is None else journal.records()
    for trial in record.trials:
        known.pop(trial.configuration.name, None)
    for configuration in planned:
        number = len(record.trials)
        if number >= limit:
            record.ended, record.is_over = f"all {limit} configurations were tried", True
            break
        done = known.pop(configuration.name, None)
        if done is not None:
            trial = objective.resume(done, number, started_s=time.perf_counter() - start)
            record.n_resumed += 1
            record.trials.append(trial)
            _let_go(record)
            on_trial(trial, record)
            continue
        # A trial that is cut short much earlier than others is no fair trial.
        least = max(0.5 * _usual_seconds(record), LAST_SLOT * (budget.seconds or 0.0), 2.0 * objective.scoring_s)
        open_budget = budget.until_reserve(finishing_s(record))
        if number > 0 and open_budget.left() < least:
            record.ended, record.is_over, record.is_clock_limited = "the time was used up", True, True
            break
        # The baseline is never refused: there must always be something that predicts.
        slot = Budget() if number == 0 else _slot(open_budget, record, configuration, objective.scoring_s)
        started_s, worth_going_on = time.perf_counter() - start, _forgiving(record, objective, slot)
        following = portfolio[number + 1 : min(n_portfolio, limit)]
        upcoming = _upcoming(objective, configuration, following, known, budget)
        if upcoming and (number > 0 or not budget.is_limited):
            objective.fit_ahead(upcoming, budget=slot, worth_going_on=worth_going_on)
        trial = objective(
            configuration,
            number,
            budget=slot,
            until=open_budget if number > 0 else None,
            learning_share=_learning_share(record),
            started_s=started_s,
            worth_going_on=worth_going_on,
        )
        record.trials.append(trial)
        _write(journal, trial, record)
        _let_go(record)
        give_back_memory()
        on_trial(trial, record)
    else:
        record.ended = "converged: further configurations were not better" if rules.asks else "the list was tried whole"
    return record


def _upcoming(
    objective: Objective,
    configuration: Configuration,
    following: Sequence[Configuration],
    known: Mapping[str, Trial],
    budget: Budget,
) -> list[Configuration]:
    """Configurations to be fitted at a time on the workers, this one first; none where it is fitted, or there are none.

    Only those of the portfolio are known before they are asked for.
    """
    n_ahead = objective.n_ahead(is_limited=budget.is_limited)
    if n_ahead == 0 or objective.is_ahead(configuration):
        return []
    return [c for c in (configuration, *following) if c.name not in known][:n_ahead]


def _write(journal: Journal | None, trial: Trial, record: SearchRecord) -> None:
    """Put a trial into the journal, unless its time ran out; views are made again from the rows."""
    if journal is None or trial.status == "out_of_time":
        return
    try:
        journal.append(trial.configuration.name, replace(trial, views=()))
    except Exception as error:  # the search goes on: a finding tells that this trial would be run again
        record.unwritten = f"{trial.configuration.model}: {type(error).__name__}: {error}"


def _configurations(
    objective: Objective,
    portfolio: Sequence[Configuration],
    rules: SearchRules,
    record: SearchRecord,
    seed: int,
) -> Iterator[Configuration]:
    yield from portfolio
    yield from _once_more(record)
    if not rules.asks:
        return
    tuners = _Tuners(objective, seed)
    stalled = 0
    while rules.n_iter is not None or stalled < rules.patience:
        best = record.best
        configuration = tuners.ask(record)
        if configuration is None:
            return
        yield configuration
        now = record.best
        stalled = 0 if best is None or (now is not None and now.score > best.score) else stalled + 1


def _has_model(record: SearchRecord) -> bool:
    """Whether anything but the baseline has a score."""
    return any(t.status == "ok" for t in record.trials[1:])


def _once_more(record: SearchRecord) -> list[Configuration]:
    """The first configuration that its share ended, if the list is through and there is only the baseline.

    Not where one had its second turn before.
    """
    ended = [t.configuration for t in record.trials if t.status == "out_of_time"]
    had_its_turn = len({c.name for c in ended}) < len(ended)
    return [] if _has_model(record) or had_its_turn else ended[:1]


class _Tuners:
    """One surrogate per model worth tuning; the two best models are asked in turn, the best one more often."""

    def __init__(self, objective: Objective, seed: int) -> None:
        self._objective, self._seed = objective, seed
        self._surrogates: dict[str, Surrogate] = {}
        self._told: dict[str, int] = {}
        self._turn = 0

    def ask(self, record: SearchRecord) -> Configuration | None:
        """The next configuration; None if no model has anything to tune."""
        ranked = self._ranked(record)
        if not ranked:
            return None
        # Two turns for the best model, one for the runner-up, if there is one.
        spec = ranked[1] if len(ranked) > 1 and self._turn % 3 == 2 else ranked[0]
        self._turn += 1
        surrogate = self._surrogates.setdefault(spec.name, Surrogate(spec.space, self._seed))
        mine = [t for t in record.trials if t.configuration.model == spec.name]
        new = mine[self._told.get(spec.name, 0) :]
        if new:
            # Without their seconds, which would make the asked points depend on the clock.
            surrogate.tell(
                [dict(t.configuration.params) for t in new],
                [loss_of(t) for t in new],
            )
            self._told[spec.name] = len(mine)
        template = self._template(mine)
        return Configuration(spec.name, {**template, **surrogate.ask(1)[0]}, "asked")

    def _template(self, trials: Sequence[Trial]) -> dict[str, object]:
        """Parameters outside the space, from the best trial of the model."""
        done = [t for t in trials if t.status == "ok"]
        return dict(max(done, key=lambda t: t.score).configuration.params) if done else {}

    def _ranked(self, record: SearchRecord) -> list[ModelSpec]:
        best: dict[str, float] = {}
        for trial in record.trials:
            spec = self._objective.specs[trial.configuration.model]
            if trial.status == "ok" and spec.space:
                best[spec.name] = max(best.get(spec.name, -math.inf), trial.score)
        return [self._objective.specs[name] for name in sorted(best, key=lambda n: -best[n])]


def _slot(budget: Budget, record: SearchRecord, configuration: Configuration, scoring_s: float) -> Budget:
    """A trial's share of the time left; where the metric is slow, at least as much for the model as for the metric.

    What is tried once more has all of it.
    """
    ended = [] if _has_model(record) else [t for t in record.trials if t.status == "out_of_time"]
    if not budget.is_limited or any(t.configuration.name == configuration.name for t in ended):
        return budget
    if len(record.trials) < 2:
        share = FIRST_SLOT
    else:
        share = SLOT if _has_model(record) else SLOT_WITHOUT_MODEL * 2 ** sum(t.number > 1 for t in ended)
    least_s = max(2.0 * scoring_s, _usual_seconds(record))
    return budget.share(min(max(share, least_s / max(budget.left(), 1e-9)), 1.0))


def _learning_share(record: SearchRecord) -> float | None:
    """Share of its own time that the learners of the next trial have, however long its features take.

    The first trial after the baseline has none: its features are to leave time for others. As long as there is only
    the baseline it is all of the time, since the features will serve other trials, too.
    """
    if len(record.trials) < 2:
        return None
    return LEARNING_SHARE if _has_model(record) else 1.0


def _usual_seconds(record: SearchRecord) -> float:
    """What a trial with a score usually took, the first two apart: neither the baseline nor a line says much."""
    seconds = [t.fit_time_s for t in record.trials[2:] if t.status == "ok"]
    return float(np.median(seconds)) if seconds else 0.0


def loss_of(trial: Trial) -> float:
    """What surrogates learn from, smaller is better: of a pruned trial the mean of its folds, of a failed one NaN."""
    if trial.status == "ok":
        return -trial.score
    known = [s for s in trial.fold_scores if not math.isnan(s)]
    return -float(np.mean(known)) if trial.status == "pruned" and known else math.nan


def _forgiving(record: SearchRecord, objective: Objective, slot: Budget) -> WorthGoingOn | None:
    """Go on unless the folds done are behind the best trial and no blend gains by them; None while there is none.

    Behind means: their mean is below the worst fold of the best trial.
    """
    best = record.best
    bar = [] if best is None else [s for s in best.fold_scores if not math.isnan(s)]
    if not bar:
        return None

    def worth_going_on(scores: Sequence[float], predictions: Sequence[NDArray[np.float64]]) -> bool:
        done = [s for s in scores if not math.isnan(s)]
        if not done or float(np.mean(done)) >= min(bar):
            return True
        rivals = sorted((t for t in record.trials if t.status == "ok"), key=lambda t: -t.score)[:BLENDED]
        n_calls = BLEND_ROUNDS * len(rivals) + 3
        if slot.is_limited and n_calls * objective.score_time_s > BLENDING_SHARE * slot.left():
            return False
        return objective.enriches(rivals, predictions)

    return worth_going_on


def _let_go(record: SearchRecord) -> None:
    """Drop the fitted models of all but the best trials; their predictions stay."""
    holders = [t for t in record.trials if t.learners]
    if len(holders) <= KEPT:
        return
    worst = min(holders, key=lambda t: t.score)
    record.trials[worst.number] = replace(worst, learners=(), views=())
