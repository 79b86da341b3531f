"""One configuration → one trial: out-of-fold predictions, score, seconds, or the reason why there are none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_wf.core.budget import Budget
from automl_wf.core.compat import one_blas_thread
from automl_wf.core.folds import FoldCache
from automl_wf.core.kept_matrix import KeptMatrix
from automl_wf.core.metrics import Scoring
from automl_wf.core.spread import Outcome, Workers
from automl_wf.core.tasks import Task
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection.base import Learner, ModelSpec, Sample
from automl_wf.model_selection.build import learner_of
from automl_wf.model_selection.ensemble import combine, greedy_weights

#: Above this many rows a fold is fitted with all threads, one after the other, to hold one at a time in memory; below,
#: folds run side by side with one thread each, which costs the same alone and far less beside other work.
MAX_PARALLEL_ROWS = 200_000
#: A feature view may take this share of the time of the search; one that would take more is not tried.
FEATURE_SHARE = 0.25
#: Up to this many rows folds run in turn: their rounds are so short that threads would only wait for the interpreter.
MIN_PARALLEL_ROWS = 1_000
#: Rounds that are kept of a loss curve, for people to look at.
CURVE_POINTS = 60
#: Where it is asked whether a blend gains by a trial: steps of building the blend, and the weight that the trial gets.
BLEND_ROUNDS, BLEND_SHARE = 6, 0.25

#: Whether a trial is worth its other folds, by scores and predictions of those done.
WorthGoingOn = Callable[[Sequence[float], Sequence[NDArray[np.float64]]], bool]
Status = Literal["ok", "pruned", "failed", "out_of_time"]
Source = Literal["baseline", "portfolio", "asked"]


@dataclass(frozen=True)
class Configuration:
    """A model and its hyper-parameters."""

    model: str
    params: Mapping[str, Any]
    source: Source

    @property
    def name(self) -> str:
        """Model and hyper-parameters: what a trial is known by in a journal."""
        return f"{self.model} {sorted(self.params.items())!r}"


@dataclass(frozen=True)
class Trial:
    """What came of a configuration.

    Parameters
    ----------
    number : int
        Place in the order of trials, from 0.
    configuration : Configuration
        What was tried.
    status : {"ok", "pruned", "failed", "out_of_time"}
        Only "ok" trials have a score and models; a "failed" one may have predictions that the metric cannot judge.
    reason : str
        Why it is not "ok".
    score : float
        Out-of-fold score, greater is better; NaN if there is none.
    fold_scores : tuple of float
        Score of each fold done.
    fit_time_s, predict_time_ms : float
        Seconds for all folds; milliseconds to predict a thousand rows with one fold's model.
    feature_time_s : float
        Of the seconds, those for matrices that no trial before had asked for.
    prediction : ndarray or None
        Out-of-fold predictions of `folds.rows`.
    learners, views : tuple
        Fitted learner and view of each fold.
    n_rounds, n_parameters : int or None, int
        Size of the learners.
    is_cut_short : bool
        Whether the clock ended a learner before it was done.
    started_s : float
        Seconds after the start of the search.
    loss_curve : tuple of (int, float)
        Validation loss after some of the rounds, mean over the folds; empty for learners that are not grown in rounds.
    """

    number: int
    configuration: Configuration
    status: Status
    reason: str = ""
    score: float = math.nan
    fold_scores: tuple[float, ...] = ()
    fit_time_s: float = 0.0
    predict_time_ms: float = math.nan
    prediction: NDArray[np.float64] | None = field(default=None, repr=False)
    learners: tuple[Learner, ...] = field(default=(), repr=False)
    views: tuple[Any, ...] = field(default=(), repr=False)
    n_rounds: int | None = None
    n_parameters: int = 0
    is_cut_short: bool = False
    started_s: float = 0.0
    feature_time_s: float = 0.0
    loss_curve: tuple[tuple[int, float], ...] = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class FoldFitter:
    """Fits a configuration on one fold: all that a worker of another process is sent.

    Parameters
    ----------
    cache : FoldCache
        Matrices of the folds; elsewhere they are made anew.
    task : Task
        What is predicted.
    n_classes : int
        Number of classes.
    specs : mapping of str to ModelSpec
        The models by name.
    seed : int
        Seed of every learner.
    """

    cache: FoldCache
    task: Task
    n_classes: int
    specs: Mapping[str, ModelSpec]
    seed: int

    def __call__(
        self,
        configuration: Configuration,
        fold: int,
        budget: Budget | float | None,
        n_threads: int,
        clock: Callable[[], Budget] = Budget,
    ) -> Learner:
        """The fitted learner; seconds instead of a budget count from now; `clock` gives the time to make features."""
        if not isinstance(budget, Budget):
            budget = Budget(budget)
        spec = self.specs[configuration.model]
        data = self.cache.get(fold, spec.view_of(configuration.params), clock)
        valid = self.cache.folds.splits[fold][1]
        learner = learner_of(spec, self.task, self.n_classes, configuration.params, self.seed + fold)
        return learner.fit(
            self.sample(data.teaching, data.train, data.view, data.cache.setdefault("train", {})),
            self.sample(data.held_out, valid, data.view, data.cache.setdefault("valid", {})),
            budget=budget,
            n_threads=n_threads,
        )

    def sample(self, matrix: NDArray[np.float64] | KeptMatrix, rows: Any, view: Any, cache: dict[Any, Any]) -> Sample:
        """Rows as a learner is given them."""
        weight = None if self.cache.weight is None else self.cache.weight[rows]
        group = None if self.cache.group is None else self.cache.group[rows]
        return Sample(matrix, self.cache.y[rows], weight, group, tuple(view.categorical), cache)


class _FailedElsewhere(Exception):
    """What a model raised on a worker, in words."""


class Objective:
    """Fits configurations on the folds.

    Parameters
    ----------
    cache : FoldCache
        Matrices of the folds.
    task : Task
        What is predicted.
    n_classes : int
        Number of classes.
    scoring : Scoring
        What is maximised.
    specs : mapping of str to ModelSpec
        The models by name.
    seed : int
        Seed of every learner.
    n_jobs : int
        Threads that may run at a time.
    feature_s : float or None, default=None
        Seconds that a feature view may take in all folds; None: no limit.
    workers : Workers or None, default=None
        What folds are spread over; None: threads of this process.
    """

    def __init__(
        self,
        cache: FoldCache,
        task: Task,
        n_classes: int,
        scoring: Scoring,
        specs: Mapping[str, ModelSpec],
        *,
        seed: int,
        n_jobs: int,
        feature_s: float | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.cache, self.task, self.n_classes, self.scoring, self.specs = cache, task, n_classes, scoring, specs
        self.seed, self.n_jobs, self.feature_s, self.workers = seed, n_jobs, feature_s, workers
        self._fit = FoldFitter(cache, task, n_classes, specs, seed)
        self._ahead: dict[tuple[str, int], Outcome] = {}
        if workers is not None:
            workers.send(self._fit)
        #: Longest time that the metric has taken on all held-out rows.
        self.score_time_s = 0.0
        self._known_scores: dict[int, tuple[NDArray[np.float64], float]] = {}

    def __call__(
        self,
        configuration: Configuration,
        number: int,
        *,
        budget: Budget,
        until: Budget | None = None,
        learning_share: float | None = None,
        started_s: float = 0.0,
        worth_going_on: WorthGoingOn | None = None,
    ) -> Trial:
        """Run one trial.

        Parameters
        ----------
        configuration : Configuration
            What to try.
        number : int
            Place in the order of trials.
        budget : Budget
            Time for the whole trial.
        until : Budget or None, default=None
            What all trials have left. Features that no trial before has asked for are stopped at the share of a view
            or at the end of that, if they have it, else at the end of `budget`. None: nothing stops them.
        learning_share : float or None, default=None
            Share of the trial's own time that its learners have, however long the features take, which may then take
            what all trials have left. None: learners have what the features leave.
        started_s : float, default=0.0
            Seconds after the start of the search, for the record.
        worth_going_on : callable or None
            Asked with scores and predictions of the folds done so far; False prunes the trial. None: there is nothing
            to compare with, all folds are fitted.

        Returns
        -------
        Trial
            Never raises for what a model does: that is the trial's `reason`.
        """
        start, spent_before = time.perf_counter(), self.cache.spent_s
        elsewhere_s = sum(outcome.seconds for outcome in self._fitted_ahead(configuration).values())
        self._known_scores.clear()
        try:
            clock: Callable[[], Budget] = Budget
            if until is not None:
                clock = partial(self._time_of_features, budget if learning_share is None else until)
            if until is not None and budget.is_limited and self.workers is None:
                if learning_share is None:
                    self._check_time_to_learn(configuration, budget, clock)
                else:
                    budget = self._with_time_to_learn(configuration, budget, until, clock, learning_share)
            outcome = self._run(configuration, budget, clock, worth_going_on)
        except OutOfTime as error:
            outcome = {"status": "out_of_time", "reason": str(error)}
        except _FailedElsewhere as error:
            outcome = {"status": "failed", "reason": str(error)}
        except Exception as error:  # whatever a model raises is a record in the leaderboard, not the end of fit
            outcome = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        for fold in self._fitted_ahead(configuration):
            del self._ahead[configuration.name, fold]
        # What was fitted ahead counts as what it would have taken here.
        seconds = time.perf_counter() - start + elsewhere_s / min(self.n_jobs, len(self.cache.folds))
        feature_s = min(self._wall_s(self.cache.spent_s - spent_before), seconds)
        return Trial(
            number, configuration, fit_time_s=seconds, feature_time_s=feature_s, started_s=started_s, **outcome
        )

    def n_ahead(self, *, is_limited: bool) -> int | None:
        """How many configurations are worth fitting at a time: none here; on workers as many as keep them busy.

        Where a configuration may be dropped after its first folds, no more than that; None: all there are.
        """
        if self.workers is None:
            return 0
        n_folds, first = len(self.cache.folds), len(self._batches(list(range(len(self.cache.folds))))[0])
        if is_limited:
            return self.workers.count() // n_folds
        return None if first == n_folds else math.ceil(2 * self.workers.count() / first)

    def is_ahead(self, configuration: Configuration) -> bool:
        """Whether folds of this configuration are fitted already."""
        return bool(self._fitted_ahead(configuration))

    def fit_ahead(
        self,
        configurations: Sequence[Configuration],
        *,
        budget: Budget,
        worth_going_on: WorthGoingOn | None,
    ) -> None:
        """Fit folds of several configurations side by side, before they are asked for one after the other.

        Nothing is decided here: what was not fitted ahead is fitted when it is asked for.

        Parameters
        ----------
        configurations : sequence of Configuration
            The next ones.
        budget : Budget
            Time for each of them.
        worth_going_on : callable or None
            As things stand: tells which of them are likely to be asked for all of their folds.
        """
        promising = list(configurations)
        for batch in self._batches(list(range(len(self.cache.folds)))):
            if budget.is_limited:
                promising = [c for c in promising if self._has_affordable_features(c)]
            self._spread([(c, fold) for c in promising for fold in batch], budget.seconds)
            promising = [c for c in promising if self._is_promising(c, worth_going_on)]

    def _has_affordable_features(self, configuration: Configuration) -> bool:
        try:
            self._check_features(self.specs[configuration.model].view_of(configuration.params))
        except OutOfTime:
            return False
        return True

    def _is_promising(self, configuration: Configuration, worth_going_on: WorthGoingOn | None) -> bool:
        done = self._fitted_ahead(configuration)
        if len(done) == len(self.cache.folds) or any(outcome.value is None for outcome in done.values()):
            return False
        if worth_going_on is None:
            return True
        view = self.specs[configuration.model].view_of(configuration.params)
        return worth_going_on(*self._scores(view, [done[fold].value for fold in sorted(done)]))

    def _fitted_ahead(self, configuration: Configuration) -> dict[int, Outcome]:
        name = configuration.name
        return {fold: outcome for (n, fold), outcome in self._ahead.items() if n == name}

    def _spread(self, fits: Sequence[tuple[Configuration, int]], seconds: float | None) -> None:
        """Fit folds on the workers and keep what came of each."""
        assert self.workers is not None
        outcomes = self.workers.run([(configuration, fold, seconds, 1) for configuration, fold in fits])
        for (configuration, fold), outcome in zip(fits, outcomes, strict=True):
            self._ahead[configuration.name, fold] = outcome

    def resume(self, trial: Trial, number: int, *, started_s: float = 0.0) -> Trial:
        """A trial of an earlier run of the same fit, in its place of this one."""
        view = self.specs[trial.configuration.model].view_of(trial.configuration.params)
        views = tuple(self.cache.get(fold, view).view for fold in range(len(trial.learners)))
        return replace(trial, number=number, views=views, started_s=started_s)

    @property
    def scoring_s(self) -> float:
        """Seconds that the metric takes in one trial: each fold is scored, and all rows together."""
        return (len(self.cache.folds) + 1) * self.score_time_s

    def _rescoring_s(self) -> float:
        """What scoring the first folds again may take, where the other folds change the number of their rounds."""
        batches = self._batches(list(range(len(self.cache.folds))))
        return len(batches[0]) * self.score_time_s if len(batches) > 1 else 0.0

    def refit(self, trial: Trial, *, budget: Budget) -> tuple[Any, Learner]:
        """View and learner of a trial's configuration on all rows, with the rounds that its folds chose."""
        spec = self.specs[trial.configuration.model]
        with threadpool_limits(self.n_jobs, user_api="blas"):
            params = dict(trial.configuration.params)
            view, X, rows = self.cache.whole(spec.view_of(params))
            sample = self._fit.sample(X, rows, view, {})
            if trial.n_rounds is not None:
                params["n_rounds"] = trial.n_rounds
            learner = learner_of(spec, self.task, self.n_classes, params, self.seed)
            learner.fit(sample, None, budget=budget, n_threads=self.n_jobs)
            learner.unpack()
        return view, learner

    def _run(
        self,
        configuration: Configuration,
        budget: Budget,
        clock: Callable[[], Budget],
        worth_going_on: WorthGoingOn | None,
    ) -> dict[str, Any]:
        spec = self.specs[configuration.model]
        view = spec.view_of(configuration.params)
        folds = list(range(len(self.cache.folds)))
        learners: list[Learner] = []
        for batch in self._batches(folds):
            if budget.is_limited:
                self._check_features(view, clock)
            # What scores the first folds is spent when the others are fitted.
            scoring_s = self.scoring_s + (0.0 if learners else self._rescoring_s())
            in_time = budget.until_reserve(scoring_s) if budget.is_limited else budget
            learners += self._fit_batch(configuration, batch, len(folds) - len(learners), in_time, clock)
            if worth_going_on is not None and len(learners) < len(folds):
                scores, predictions = self._scores(view, learners)
                if not worth_going_on(scores, predictions):
                    reason = f"behind the best after {len(learners)} of {len(folds)} folds"
                    return {"status": "pruned", "reason": reason, "fold_scores": tuple(scores)}
        self._share_rounds(learners)
        collected = self._collect(view, learners)
        for learner in learners:
            learner.settle()
        return collected

    def _time_of_features(self, until: Budget) -> Budget:
        """What one fold may take, from now on, of the share of the view that is made and of what is left until then."""
        if self.feature_s is None:
            return Budget()
        n_folds = len(self.cache.folds)
        return Budget(max(min(self.feature_s * self._n_side_by_side(n_folds) / n_folds, until.left()), 0.0))

    def _with_time_to_learn(
        self, configuration: Configuration, budget: Budget, until: Budget, clock: Callable[[], Budget], share: float
    ) -> Budget:
        """Time for the trial, such a share of which is the learners' however long the features take.

        Those of the folds that run first are made to know it, the others are forecast.
        """
        view, n_folds = self.specs[configuration.model].view_of(configuration.params), len(self.cache.folds)
        self._check_features(view, clock)
        seconds, n_first = budget.left(), self._n_side_by_side(n_folds)
        Parallel(n_jobs=n_first, prefer="threads")(delayed(self.cache.get)(f, view, clock) for f in range(n_first))
        to_come = self._wall_s(self.cache.cost_s(view)) * (1.0 - n_first / n_folds)
        least = share * seconds + to_come
        return budget if budget.left() >= least else Budget(max(min(least, until.left()), 0.0))

    def _check_time_to_learn(self, configuration: Configuration, budget: Budget, clock: Callable[[], Budget]) -> None:
        """Raise OutOfTime if the features would leave nothing of the trial's own time to its learners."""
        view = self.specs[configuration.model].view_of(configuration.params)
        seconds = self._wall_s(self.cache.cost_s(view, clock))
        # A forecast takes time as well.
        budget.check(f"Making features of view {view!r}")
        left = budget.left()
        if seconds > left:
            raise OutOfTime(
                f"the features of view {view!r} would take {seconds:.1f} s; "
                f"{left:.1f} s of its share of the time budget are left"
            )

    def _check_features(self, view: str, clock: Callable[[], Budget] = Budget) -> None:
        """Raise OutOfTime if the view takes more than its share of the time, or finding that out more than `clock`."""
        if self.feature_s is None:
            return
        seconds = self._wall_s(self.cache.cost_s(view, clock))
        if seconds > self.feature_s:
            raise OutOfTime(
                f"the features of view {view!r} would take {seconds:.1f} s; "
                f"a view may take {self.feature_s:.1f} s ({FEATURE_SHARE:.0%} of the search)"
            )

    def _wall_s(self, seconds: float) -> float:
        """What the matrices of all folds take by the clock: folds run side by side, and so are their features made."""
        return seconds / self._n_side_by_side(len(self.cache.folds))

    def _batches(self, folds: list[int]) -> list[list[int]]:
        """Folds fitted between two questions whether to go on."""
        if len(self.cache.y) <= 2_000 or len(folds) < 3:
            return [folds]
        return [folds[:2], folds[2:]]

    def _fit_batch(
        self,
        configuration: Configuration,
        batch: list[int],
        n_left: int,
        budget: Budget,
        clock: Callable[[], Budget],
    ) -> list[Learner]:
        if self.workers is not None:
            return self._fit_elsewhere(configuration, batch, n_left, budget)
        if len(self.cache.y) > MAX_PARALLEL_ROWS or len(batch) == 1:
            done = []
            for i, fold in enumerate(batch):
                share = budget.share(1.0 / (n_left - i))
                done.append(self._fit(configuration, fold, share, self.n_jobs, clock))
            return done
        n_workers = self._n_side_by_side(len(batch))
        share, waves = _share_of_batch(budget, n_workers, len(batch), n_left)
        with one_blas_thread():
            if n_workers == 1:
                shares = [1 / (len(batch) - i) for i in range(len(batch))]
                return [
                    self._fit(configuration, fold, share.share(part), 1, clock)
                    for fold, part in zip(batch, shares, strict=True)
                ]
            seconds = None if share.seconds is None else share.seconds / waves
            fitted = Parallel(n_jobs=n_workers, prefer="threads")(
                delayed(self._fit)(configuration, fold, seconds, 1, clock) for fold in batch
            )
        return list(fitted)

    @property
    def _is_side_by_side(self) -> bool:
        """Whether folds run at a time, with one thread each, as far as there are threads."""
        return MIN_PARALLEL_ROWS < len(self.cache.y) <= MAX_PARALLEL_ROWS

    def _n_side_by_side(self, n_folds: int) -> int:
        """Folds of those asked for that run at a time."""
        return min(self.n_jobs, n_folds) if self._is_side_by_side else 1

    def _fit_elsewhere(
        self, configuration: Configuration, batch: list[int], n_left: int, budget: Budget
    ) -> list[Learner]:
        """Learners of these folds from the workers; those fitted ahead are there already."""
        assert self.workers is not None
        missing = [fold for fold in batch if (configuration.name, fold) not in self._ahead]
        if missing:
            share, waves = _share_of_batch(budget, min(self.workers.count(), len(missing)), len(missing), n_left)
            seconds = None if share.seconds is None else share.seconds / waves
            self._spread([(configuration, fold) for fold in missing], seconds)
        outcomes = [self._ahead.pop((configuration.name, fold)) for fold in batch]
        for outcome in outcomes:
            if outcome.failure:
                raise (OutOfTime if outcome.is_out_of_time else _FailedElsewhere)(outcome.failure)
        return [outcome.value for outcome in outcomes]

    @staticmethod
    def _share_rounds(learners: Sequence[Learner]) -> None:
        """Each fold's rounds, from the mean curve of the *others*: no row chooses the rounds that it is judged by."""
        for fold, learner in enumerate(learners):
            others = [*learners[:fold], *learners[fold + 1 :]] or learners
            n_rounds = _best_rounds(others)
            if n_rounds is not None:
                learner.truncate(n_rounds)

    def _scores(self, view: str, learners: Sequence[Learner]) -> tuple[list[float], list[NDArray[np.float64]]]:
        """Scores and predictions of the folds done."""
        self._share_rounds(learners)
        predictions = [prediction for prediction, _ in self._predict(view, learners)]
        return [self._score(fold, prediction) for fold, prediction in enumerate(predictions)], predictions

    def enriches(self, trials: Sequence[Trial], predictions: Sequence[NDArray[np.float64]]) -> bool:
        """Whether the best blend of these trials gains on every fold done by predictions of another model.

        Scores of a ranking have no common scale to be blended on: there it is never said.

        Parameters
        ----------
        trials : sequence of Trial
            Those with predictions, best first, at least one.
        predictions : sequence of ndarray
            Predictions of the first folds' held-out rows.

        Returns
        -------
        bool
            True only if each fold scores better.
        """
        if self.task is Task.RANKING:
            return False
        rows, splits = self.cache.folds.rows, self.cache.folds.splits
        valid = [split[1] for split in splits[: len(predictions)]]
        together = np.concatenate(valid)
        held = [t.prediction[np.searchsorted(rows, together)] for t in trials if t.prediction is not None]
        if math.isnan(self._judge(together, held[0])):
            return False
        weight = None if self.cache.weight is None else self.cache.weight[together]
        weights = greedy_weights(held, self.cache.y[together], weight, None, self.scoring, rounds=BLEND_ROUNDS)
        blends = np.split(combine(held, weights), np.cumsum([len(part) for part in valid])[:-1])
        shares = np.array([1.0 - BLEND_SHARE, BLEND_SHARE])
        return all(
            self._judge(at, combine(pair, shares)) > self._judge(at, pair[0])
            for at, *pair in zip(valid, blends, predictions, strict=True)
        )

    def _predict(self, view: str, learners: Sequence[Learner]) -> list[tuple[NDArray[np.float64], float]]:
        """Predictions of each fold's held-out rows and the seconds they took; side by side, as folds are fitted.

        Models stay packed and are read a few trees at a time, which is not counted.
        """
        n_workers = self._n_side_by_side(len(learners))
        n_threads = self.n_jobs // n_workers if len(self.cache.y) > MIN_PARALLEL_ROWS else 1

        def of(fold: int) -> tuple[NDArray[np.float64], float]:
            X, learner = self.cache.get(fold, view).X_valid, learners[fold]
            start = time.perf_counter()
            prediction = learner.predict(X, n_threads)
            return prediction, time.perf_counter() - start - learner.reading_s

        folds = range(len(learners))
        if not self._is_side_by_side:
            return [of(fold) for fold in folds]
        with one_blas_thread():
            return list(Parallel(n_jobs=n_workers, prefer="threads")(delayed(of)(fold) for fold in folds))

    def _score(self, fold: int, prediction: NDArray[np.float64]) -> float:
        """Score of one fold, asked of the metric once per prediction; NaN where it is not defined (one class only)."""
        known = self._known_scores.get(fold)
        if known is not None and np.array_equal(known[0], prediction, equal_nan=True):
            return known[1]
        score = self._judge(self.cache.folds.splits[fold][1], prediction)
        self._known_scores[fold] = prediction, score
        return score

    def _judge(self, rows: NDArray[np.intp], prediction: NDArray[np.float64]) -> float:
        """What the metric says of predictions of these rows; NaN where it is not defined."""
        weight = None if self.cache.weight is None else self.cache.weight[rows]
        group = None if self.cache.group is None else self.cache.group[rows]
        try:
            return float(self.scoring(self.cache.y[rows], prediction, weight, group))
        except ValueError:
            return math.nan

    def _collect(self, view: str, learners: list[Learner]) -> dict[str, Any]:
        folds = self.cache.folds
        predictions, seconds = zip(*self._predict(view, learners), strict=True)
        times = [s / len(p) for s, p in zip(seconds, predictions, strict=True)]
        views = [self.cache.get(fold, view).view for fold in range(len(learners))]
        gathered = folds.gather(list(predictions))
        if not np.isfinite(gathered).all():
            return {"status": "failed", "reason": "predictions are not finite"}
        rows = folds.rows
        weight = None if self.cache.weight is None else self.cache.weight[rows]
        group = None if self.cache.group is None else self.cache.group[rows]
        start = time.perf_counter()
        score = float(self.scoring(self.cache.y[rows], gathered, weight, group))
        self.score_time_s = max(self.score_time_s, time.perf_counter() - start)
        if not math.isfinite(score):
            reason = f"{self.scoring.name} is not defined for these predictions ({score})"
            return {"status": "failed", "reason": reason, "prediction": gathered}
        return {
            "status": "ok",
            "score": score,
            "fold_scores": tuple(self._score(i, p) for i, p in enumerate(predictions)),
            "predict_time_ms": float(np.median(times)) * 1e6,
            "prediction": gathered,
            "learners": tuple(learners),
            "views": tuple(views),
            "n_rounds": _best_rounds(learners) or learners[0].n_rounds,
            "n_parameters": sum(learner.n_parameters for learner in learners),
            "is_cut_short": any(learner.is_cut_short_ for learner in learners),
            "loss_curve": _thinned(_mean_curve(learners)),
        }


def _mean_curve(learners: Sequence[Learner]) -> NDArray[np.float64]:
    """Validation loss by round, mean over the learners; empty if one has none.

    A learner that was done earlier counts with its last loss from there on: the first part of rows in the order of time
    is small and soon done, which says nothing of the rounds that the others, or all rows, need.
    """
    curves = [learner.curve_ for learner in learners if learner.curve_ is not None and len(learner.curve_)]
    if len(curves) < len(learners):
        return np.empty(0)
    n_most = max(len(c) for c in curves)
    mean: NDArray[np.float64] = np.mean([np.pad(c, (0, n_most - len(c)), mode="edge") for c in curves], axis=0)
    return mean


def _best_rounds(learners: Sequence[Learner]) -> int | None:
    """Rounds after which the mean curve is lowest; None where there is none."""
    mean = _mean_curve(learners)
    return int(np.nanargmin(mean)) + 1 if np.isfinite(mean).any() else None


def _thinned(curve: NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
    """Some rounds, evenly spread, with their loss; the best and the last among them."""
    if not np.isfinite(curve).any():
        return ()
    evenly = np.linspace(0, len(curve) - 1, min(len(curve), CURVE_POINTS)).astype(int)
    kept = np.unique([*evenly, int(np.nanargmin(curve))])
    return tuple((int(i) + 1, float(curve[i])) for i in kept if np.isfinite(curve[i]))


def _share_of_batch(budget: Budget, n_workers: int, n_folds: int, n_left: int) -> tuple[Budget, int]:
    """Time for this batch, and the waves its folds run in: those still to come after it have waves of their own."""
    waves, to_come = math.ceil(n_folds / n_workers), math.ceil((n_left - n_folds) / n_workers)
    return budget.share(waves / (waves + to_come)), waves
