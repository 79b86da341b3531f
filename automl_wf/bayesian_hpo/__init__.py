"""Stage 5: search for configurations, blend the best, and fit what will predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from automl_wf.bayesian_hpo.limits import Limits, excess, within_limits
from automl_wf.bayesian_hpo.objective import FEATURE_SHARE, Configuration, Objective, Trial
from automl_wf.bayesian_hpo.partitioned import PARTITION_SHARE, AllRows, fit_on_all_rows
from automl_wf.bayesian_hpo.search import SearchRecord, SearchRules, run_search
from automl_wf.core.budget import Budget
from automl_wf.core.checkpoint import Journal
from automl_wf.core.compat import one_blas_thread
from automl_wf.core.folds import FoldCache
from automl_wf.core.metrics import Scoring
from automl_wf.core.spread import Workers
from automl_wf.core.tasks import Task
from automl_wf.exceptions import OutOfTime, WorkflowError
from automl_wf.model_selection.base import Learner
from automl_wf.model_selection.ensemble import (
    STRATEGIES,
    Blend,
    BlendChoice,
    Member,
    ScoreScale,
    choose_blend,
    combine,
)
from automl_wf.model_selection.postprocess import fit_postprocess, threshold_is_affordable

__all__ = [
    "PARTITION_SHARE",
    "AllRows",
    "Configuration",
    "Limits",
    "Objective",
    "SearchRules",
    "Training",
    "Trial",
    "Tuning",
    "train",
    "tune",
]

#: Up to this many rows the fold models are kept and averaged: on five tables of 26,000 to 73,000 rows that lost less
#: than members fitted again on all rows on four, and the search has their time. Beyond, members are fitted again.
KEEP_FOLDS = 100_000
#: A member whose fit on all rows the clock ended is of use if it has this share of the rounds that its folds had.
ENOUGH_ROUNDS = 0.9
#: The search leaves time for fitting this many of its best trials again on all rows, up to a share of all its time.
REFITTED, REFIT_SHARE = 3, 0.35


@dataclass(frozen=True)
class Spread:
    """What became of trials that workers were to run.

    Parameters
    ----------
    n_bytes, n_sent : int
        Size of rows and recipes, and how often they were sent to all workers.
    n_here : int
        Folds that were fitted in this process after all.
    losses : tuple of str
        Why workers were lost.
    """

    n_bytes: int
    n_sent: int
    n_here: int
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Tuning:
    """What the search found.

    Parameters
    ----------
    trials : tuple of Trial
        In the order in which they were run, without their models: those that count are in `fold_blend`.
    choice : BlendChoice
        Strategy and weights over `candidates`.
    candidates : tuple of int
        Numbers of the trials that the weights belong to.
    predictions : tuple of ndarray
        Out-of-fold predictions of the candidates, on one scale.
    prediction : ndarray
        Out-of-fold prediction of the blend, temperature applied.
    blend : Blend
        What predicts.
    fold_blend : Blend
        The same blend made of fold models, for everything that needs held-out rows.
    ended : str
        Why the search ended.
    is_clock_limited : bool
        Whether the clock ended it.
    finish : str
        How the final models were fitted, in words.
    seconds_per_row : float
        What a prediction of the blend takes, its features included.
    score_time_s : float
        Longest time that the metric has taken on all held-out rows.
    n_resumed : int
        Trials that came from a journal.
    unwritten : str
        Why a trial could not be written to the journal; empty if all were, or there is none.
    spread : Spread or None
        What workers of their own memory did; None: threads of this process did everything.
    is_metric_slow : bool
        Whether the time was too short for the metric's calls: fewer strategies of blending took part, or no threshold
        was sought.
    rivals : tuple of int
        Numbers of the trials that took part in the choice, too, but were not among the best whose models are kept.
    rival_predictions : tuple of ndarray
        Their out-of-fold predictions, on one scale.
    """

    trials: tuple[Trial, ...]
    choice: BlendChoice
    candidates: tuple[int, ...]
    predictions: tuple[NDArray[np.float64], ...]
    prediction: NDArray[np.float64]
    blend: Blend
    fold_blend: Blend
    ended: str
    is_clock_limited: bool
    finish: str
    seconds_per_row: float
    score_time_s: float = 0.0
    n_resumed: int = 0
    unwritten: str = ""
    spread: Spread | None = None
    is_metric_slow: bool = False
    rivals: tuple[int, ...] = ()
    rival_predictions: tuple[NDArray[np.float64], ...] = ()

    @property
    def baseline(self) -> Trial:
        """The baseline's trial."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The best single configuration."""
        return max((t for t in self.trials if t.status == "ok"), key=lambda t: t.score)


@dataclass(frozen=True)
class Training:
    """The portfolio, trained: what stage 4 hands to the search, which goes on from there.

    Parameters
    ----------
    objective : Objective
        Runs one configuration.
    record : SearchRecord
        Trials so far, the baseline first, the best ones with their fitted models.
    rules : SearchRules
        What ends the search.
    budget : Budget
        The clock of the search; it stands still between the stages.
    used_s : float
        Seconds of it that the portfolio took.
    seed : int
        Seed of the search.
    on_trial : callable
        Told of each trial.
    journal : Journal or None
        Where trials are found and kept.
    all_rows : AllRows or None
        The table that the rows of the objective are a sample of; None: they are all there are.
    """

    objective: Objective
    record: SearchRecord
    rules: SearchRules
    budget: Budget
    used_s: float
    seed: int
    on_trial: Callable[[Trial, SearchRecord], None] = lambda trial, record: None
    journal: Journal | None = None
    all_rows: AllRows | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials so far."""
        return tuple(self.record.trials)


def train(
    cache: FoldCache,
    task: Task,
    n_classes: int,
    scoring: Scoring,
    specs: Mapping[str, Any],
    portfolio: Sequence[Configuration],
    rules: SearchRules,
    *,
    budget: Budget,
    seed: int,
    n_jobs: int,
    on_trial: Callable[[Trial, SearchRecord], None] = lambda trial, record: None,
    journal: Journal | None = None,
    workers: Workers | None = None,
    all_rows: AllRows | None = None,
) -> Training:
    """Train the portfolio: the first half of the search.

    Parameters
    ----------
    cache : FoldCache
        Matrices of the folds.
    task, n_classes, scoring
        What is predicted and what is maximised.
    specs : mapping of str to ModelSpec
        The models by name.
    portfolio : sequence of Configuration
        In the order of priority, the baseline first.
    rules : SearchRules
        What ends the search.
    budget : Budget
        The clock of the whole search, what follows the portfolio included.
    seed, n_jobs : int
        Seed and threads.
    on_trial : callable
        Told of each trial.
    journal : Journal or None
        Where trials are found and kept.
    workers : Workers or None
        What folds are spread over; None: threads of this process.
    all_rows : AllRows or None
        The table that the rows of `cache` are a sample of; None: they are all there are.

    Returns
    -------
    Training
        The trials.

    Raises
    ------
    WorkflowError
        Not even the baseline could be fitted; the reason is given.
    """
    feature_s = None if budget.seconds is None else FEATURE_SHARE * budget.seconds
    objective = Objective(
        cache, task, n_classes, scoring, specs, seed=seed, n_jobs=n_jobs, feature_s=feature_s, workers=workers
    )
    record = run_search(
        objective,
        rules.of_portfolio(portfolio),
        replace(rules, asks=False),
        budget,
        seed=seed,
        on_trial=on_trial,
        finishing_s=lambda record: _finishing_s(objective, record, budget),
        journal=journal,
    )
    if record.best is None:
        raise WorkflowError(f"No model could be fitted. {_reasons(record.trials)}")
    return Training(objective, record, rules, budget, budget.elapsed(), seed, on_trial, journal, all_rows)


def tune(
    training: Training,
    *,
    budget: Budget,
    reserve: float,
    limits: Limits | None = None,
    graph_bytes: Callable[[Blend], int] = lambda blend: 0,
) -> Tuning:
    """Go on with the search, blend, and fit what will predict.

    Parameters
    ----------
    training : Training
        The portfolio, trained; it stays as it is.
    budget : Budget
        The clock of the whole fit.
    reserve : float
        Seconds to be left for the stages after this one.
    limits : Limits or None
        What the whole model may cost; members are chosen so that it holds.
    graph_bytes : callable
        Size of the graph of a blend, asked where the size is bound; 0 where it has none.

    Returns
    -------
    Tuning
        Trials, blend and what was predicted out of fold.
    """
    objective = training.objective
    record = replace(training.record, trials=list(training.record.trials))
    cache, task, scoring = objective.cache, objective.task, objective.scoring
    search_budget = training.budget.with_used(training.used_s)
    if training.rules.asks and not record.is_over:
        run_search(
            objective,
            (),
            training.rules,
            search_budget,
            seed=training.seed,
            on_trial=training.on_trial,
            finishing_s=lambda record: _finishing_s(objective, record, search_budget),
            journal=training.journal,
            record=record,
        )
    workers, all_rows = objective.workers, training.all_rows
    if workers is not None:
        workers.forget()
    keeps_folds = _keeps_folds(cache)
    limits = Limits() if limits is None else limits
    candidates = _candidates(objective, record, limits, graph_bytes, keeps_folds)
    rows = cache.folds.rows
    y, weight, group = cache.y[rows], _take(cache.weight, rows), _take(cache.group, rows)
    scales = [_scale(task, t, weight) for t in candidates]
    predictions = [s.apply(t.prediction) for s, t in zip(scales, candidates, strict=True) if t.prediction is not None]
    rivals = [] if limits.is_bound else _rivals(record)
    families = [t.configuration.model for t in candidates]
    # A metric of the user's own may be slow: half of what is left is for the blend, half for the threshold.
    blend_share = 0.5 if all_rows is None else 0.5 * (1.0 - PARTITION_SHARE)
    max_calls = budget.until_reserve(reserve).share(blend_share).calls(objective.score_time_s)
    with one_blas_thread():
        choice = choose_blend(
            predictions, y, weight, group, scoring, cache.folds.fold_of_row, families, max_calls=max_calls
        )
        combined = combine(predictions, choice.weights)
        post = fit_postprocess(combined, y, weight, group, scoring, task, costs=scoring.costs, max_calls=max_calls)
    chosen = [(t, float(w), s) for t, w, s in zip(candidates, choice.weights, scales, strict=True) if w > 0]
    fold_members = tuple(_member(objective, t, w, s) for t, w, s in chosen)
    _unpack(fold_members, objective.n_jobs)
    rest = budget.until_reserve(reserve)
    if all_rows is None:
        members, finish = _finish(objective, chosen, fold_members, rest)
    else:
        members, finish = fit_on_all_rows(objective, [t for t, _, _ in chosen], fold_members, all_rows, rest)
    return Tuning(
        trials=tuple(replace(t, learners=(), views=()) for t in record.trials),
        choice=choice,
        candidates=tuple(t.number for t in candidates),
        predictions=tuple(predictions),
        prediction=post.apply(combined),
        blend=Blend(members, post),
        fold_blend=Blend(fold_members, post),
        ended=record.ended,
        is_clock_limited=record.is_clock_limited,
        finish=finish,
        seconds_per_row=_seconds_per_row(
            objective, [(t, len(member.parts)) for (t, _, _), member in zip(chosen, members, strict=True)]
        ),
        score_time_s=objective.score_time_s,
        n_resumed=record.n_resumed,
        unwritten=record.unwritten,
        spread=None
        if workers is None
        else Spread(workers.n_bytes, workers.n_sent, workers.n_here, tuple(workers.losses)),
        is_metric_slow=(len(candidates) > 1 and len(choice.scores) < len(STRATEGIES))
        or (task is Task.BINARY and scoring.needs == "label" and not threshold_is_affordable(max_calls)),
        rivals=tuple(t.number for t in rivals),
        rival_predictions=tuple(
            _scale(task, t, weight).apply(t.prediction) for t in rivals if t.prediction is not None
        ),
    )


def _finishing_s(objective: Objective, record: SearchRecord, budget: Budget) -> float:
    """Seconds to be left of the search's time for fitting its best trials again on all rows."""
    if _keeps_folds(objective.cache) or budget.seconds is None:
        return 0.0
    best = sorted((t for t in record.trials if t.status == "ok"), key=lambda t: -t.score)[:REFITTED]
    most = REFIT_SHARE * budget.seconds
    best = [trial for trial in best if _refit_s(objective, trial) <= most]
    # What trials share of their features is made once.
    features_s = sum(objective.cache.forecast_s(view) for view in {_view_of(objective, trial) for trial in best})
    return min(sum(_model_s(objective, trial) for trial in best) + features_s, most)


def _keeps_folds(cache: FoldCache) -> bool:
    return cache.folds.is_partition and len(cache.y) <= KEEP_FOLDS


def _candidates(
    objective: Objective,
    record: SearchRecord,
    limits: Limits,
    graph_bytes: Callable[[Blend], int],
    keeps_folds: bool,
) -> list[Trial]:
    """Trials whose models are at hand; the baseline only if nothing else is.

    With limits the best trials that together keep to them; if none does, the one that exceeds them least.
    """
    fitted = [t for t in record.trials if t.status == "ok" and t.learners]
    better = [t for t in fitted if t.configuration.source != "baseline"] or fitted
    if not limits.is_bound:
        return better
    n_parts = len(objective.cache.folds) if keeps_folds else 1

    def seconds_of(trials: Sequence[Trial]) -> float:
        return _seconds_per_row(objective, [(t, n_parts) for t in trials])

    def bytes_of(trials: Sequence[Trial]) -> float:
        members = [_member(objective, t, 1.0, ScoreScale()) for t in trials]
        return graph_bytes(Blend(tuple(replace(m, parts=m.parts[:n_parts]) for m in members)))

    within = within_limits(better, limits, seconds_of, bytes_of)
    return within or [min(fitted, key=lambda t: excess([t], limits, seconds_of, bytes_of))]


def _seconds_per_row(objective: Objective, trials: Sequence[tuple[Trial, int]]) -> float:
    """What a prediction of so many models of each trial takes, from the times of the folds on their held-out rows.

    Features that several models share are made once.
    """
    n_views: dict[str, int] = {}
    for trial, n_parts in trials:
        view = objective.cache.recipe_name(_view_of(objective, trial))
        n_views[view] = max(n_views.get(view, 0), n_parts if objective.cache.is_fitted_on_rows(view) else 1)
    features = sum(n * objective.cache.seconds_per_row(view) for view, n in n_views.items())
    return features + sum(n_parts * trial.predict_time_ms * 1e-6 for trial, n_parts in trials)


def _rivals(record: SearchRecord) -> list[Trial]:
    """Trials that were judged whole, but whose models were let go for better ones."""
    return [
        t
        for t in record.trials
        if t.status == "ok" and not t.learners and t.prediction is not None and t.configuration.source != "baseline"
    ]


def _scale(task: Task, trial: Trial, weight: NDArray[np.float64] | None) -> ScoreScale:
    if task is not Task.RANKING or trial.prediction is None:
        return ScoreScale()
    return ScoreScale.fit(trial.prediction, weight)


def _member(objective: Objective, trial: Trial, weight: float, scale: ScoreScale) -> Member:
    spec = objective.specs[trial.configuration.model]
    parts = tuple(zip(trial.views, trial.learners, strict=True))
    return Member(spec.name, spec.family, dict(trial.configuration.params), weight, parts, scale)


def _unpack(members: Sequence[Member], n_jobs: int) -> None:
    """Have the models at hand before anybody takes the time of a prediction."""
    learners = [learner for member in members for _, learner in member.parts]
    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(learner.unpack)() for learner in learners)


def _finish(
    objective: Objective,
    chosen: Sequence[tuple[Trial, float, ScoreScale]],
    fold_members: tuple[Member, ...],
    budget: Budget,
) -> tuple[tuple[Member, ...], str]:
    """Keep the fold models, or fit each member again on all rows as far as the time goes, heaviest weight first."""
    if _keeps_folds(objective.cache):
        return fold_members, f"the {len(objective.cache.folds)} fold models of each member are averaged"
    members = list(fold_members)
    n_refitted = 0
    failures = []
    for i in sorted(range(len(chosen)), key=lambda i: -chosen[i][1]):
        trial, weight, scale = chosen[i]
        if budget.is_limited and _refit_s(objective, trial) > budget.left():
            continue
        try:
            part = objective.refit(trial, budget=budget)
        except OutOfTime:
            continue
        except Exception as error:  # the fold models are there: the reason is told, and fit goes on
            failures.append(f"{trial.configuration.model} failed on all rows ({type(error).__name__}: {error})")
            continue
        if not _is_whole(part[1], trial):
            continue
        n_refitted += 1
        members[i] = Member(
            fold_members[i].name, fold_members[i].family, fold_members[i].params, weight, (part,), scale
        )
    if n_refitted == len(members):
        return tuple(members), "each member is fitted again on all rows"
    why = "; ".join(failures) or "the time left was too short for the others"
    return tuple(members), (
        f"{n_refitted} of {len(members)} members are fitted again on all rows; {why}: fold models are averaged instead"
    )


def _is_whole(learner: Learner, trial: Trial) -> bool:
    """Whether a member fitted on all rows came as far as its folds did: the clock may have ended either."""
    if not learner.is_cut_short_:
        return True
    if trial.n_rounds is None or learner.n_rounds is None:
        return trial.is_cut_short
    return learner.n_rounds >= ENOUGH_ROUNDS * trial.n_rounds


def _refit_s(objective: Objective, trial: Trial) -> float:
    """Forecast of the seconds that fitting a trial's configuration on all rows takes, its features included."""
    return _model_s(objective, trial) + objective.cache.forecast_s(_view_of(objective, trial))


def _model_s(objective: Objective, trial: Trial) -> float:
    growth = objective.cache.growth(_view_of(objective, trial))
    return 1.3 * growth * (trial.fit_time_s - trial.feature_time_s) / len(objective.cache.folds)


def _view_of(objective: Objective, trial: Trial) -> str:
    return objective.specs[trial.configuration.model].view_of(trial.configuration.params)


def _reasons(trials: Sequence[Trial]) -> str:
    return "; ".join(f"{t.configuration.model}: {t.reason}" for t in trials[:5])


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]
