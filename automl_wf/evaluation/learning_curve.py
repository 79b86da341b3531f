"""Learning curve: the score by number of training rows, and whether more of them would help.

The heaviest member of the blend is fitted again on an eighth, a quarter, half and all of one fold's training rows, and
scored on the rows which that fold holds out. A power law through the errors says what twice the rows would bring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_wf.bayesian_hpo.objective import MAX_PARALLEL_ROWS
from automl_wf.core.budget import Budget
from automl_wf.core.folds import FoldCache, FoldData
from automl_wf.core.metrics import METRICS, Floats, Scoring
from automl_wf.core.number_format import number
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import sample_rows
from automl_wf.evaluation.held_out import MEASURED, NO_TIME, draw_counts
from automl_wf.evaluation.scores import Held
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection.base import ModelSpec, Sample

SHARES = (0.125, 0.25, 0.5, 1.0)
#: Fewer training rows than this are no point of the curve.
MIN_ROWS = 40
TOO_FEW = "not run: too few training rows"
N_DRAWS, MAX_DRAWN_ROWS = 200, 2_000
#: Exponents of the power law that are tried.
EXPONENTS = np.linspace(0.1, 2.0, 39)
#: Less than this share of the error is hardly a help.
HARDLY = 0.02

HELPS, HARDLY_HELPS, OPEN = "more data would help", "more data would hardly help", "it cannot be told"


@dataclass(frozen=True)
class CurvePoint:
    """Score, in its natural form, after fitting on so many rows; None where it is not defined."""

    share: float
    n_rows: int
    score: float | None


@dataclass(frozen=True)
class LearningCurve:
    """Score by number of training rows.

    Parameters
    ----------
    points : tuple of CurvePoint
        From few rows to all of one fold's training rows.
    model : str
        The member that was fitted again.
    label : str
        The score in words.
    greater_is_better : bool
        False for losses.
    n_scored : int
        Held-out rows that every point was scored on; they also decided when boosting stops, at every size alike.
    twice : int
        Twice the rows of the last point.
    at_last, at_twice, at_twice_low, at_twice_high : float or None
        Scores by the power law, in their natural form, the latter with a 95 % interval for the choice of the rows
        scored. None: fewer than three points, or a score that is not among METRICS or has no best value.
    exponent : float or None
        How fast the error falls: error = floor + b · rows^−exponent.
    verdict : str
        "more data would help", "more data would hardly help" (by less than 2 % of the error) or "it cannot be told".
    sentence : str
        The same for people.
    status : str
        "measured", or why not.
    """

    points: tuple[CurvePoint, ...] = ()
    model: str = ""
    label: str = ""
    greater_is_better: bool = True
    n_scored: int = 0
    twice: int = 0
    at_last: float | None = None
    at_twice: float | None = None
    at_twice_low: float | None = None
    at_twice_high: float | None = None
    exponent: float | None = None
    verdict: str = ""
    sentence: str = ""
    status: str = MEASURED


@dataclass(frozen=True)
class Refit:
    """A configuration that can be fitted again on some of the training rows of one fold.

    Parameters
    ----------
    cache : FoldCache
        Rows, folds and recipes.
    spec : ModelSpec
        The model.
    params : mapping
        Its configuration.
    task, n_classes, scoring
        What is predicted and what is maximised.
    seed : int
        Seed of learner and samples.
    n_jobs : int
        Threads, where rows are so many that a fold's fit had them all.
    seconds : float
        Forecast of one fit on all training rows of a fold.
    """

    cache: FoldCache
    spec: ModelSpec
    params: Mapping[str, Any]
    task: Task
    n_classes: int
    scoring: Scoring
    seed: int
    n_jobs: int
    seconds: float

    @property
    def fold(self) -> int:
        """The fold with most training rows, the first of equal ones."""
        return int(np.argmax([len(train) for train, _ in self.cache.folds.splits]))

    @property
    def data(self) -> FoldData:
        """The fold's matrices, and the rows that teach."""
        return self.cache.get(self.fold, self.spec.view_of(self.params))

    def rows(self, share: float, train: NDArray[np.intp]) -> NDArray[np.intp]:
        """Places among the rows that teach: classes in their shares, groups whole; less is part of more."""
        n = len(train)
        if share >= 1.0:
            return np.arange(n)
        rng = np.random.default_rng([self.seed, 3])
        if self.cache.group is not None:
            return sample_rows(n, self.cache.group[train], max(int(share * n), 1), rng)
        order = rng.permutation(n)
        if not self.task.is_classification:
            return np.sort(order[: max(int(share * n), 1)])
        y = self.cache.y[train][order]
        parts = [of_class[: max(int(np.ceil(share * len(of_class))), 1)] for of_class in _by_class(order, y)]
        return np.sort(np.concatenate(parts))

    def predict(self, data: FoldData, rows: NDArray[np.intp], budget: Budget, more_seed: int = 0) -> Floats:
        """Fit on these of the rows that teach, with another seed if wanted, and predict the rows the fold holds out."""
        train, valid = data.train, self.cache.folds.splits[self.fold][1]
        recipe = self.cache.recipes[self.spec.view_of(self.params)]
        if len(rows) == len(train) or not recipe.is_fitted_on_rows:
            view, X, X_valid = data.view, data.X_train[rows], data.X_valid
        else:
            at = train[rows]
            view, X = recipe.fit_transform(
                self.cache.table.take(at), self.cache.y[at], _take(self.cache.weight, at), seed=self.seed,
                group=_take(self.cache.group, at),
            )  # fmt: skip
            X_valid = view.transform(self.cache.table.take(valid))
        n_threads = 1 if len(self.cache.y) <= MAX_PARALLEL_ROWS else self.n_jobs
        learner = self.spec.learner(self.task, self.n_classes, self.params, self.seed + self.fold + more_seed)
        with threadpool_limits(n_threads, user_api="blas"):
            learner.fit(
                self._sample(X, train[rows], view),
                self._sample(X_valid, valid, view),
                budget=budget,
                n_threads=n_threads,
            )
            if learner.is_cut_short_:
                raise OutOfTime(f"fitting {self.spec.name} again was cut short")
            return learner.predict(X_valid, n_threads)

    def _sample(self, X: Floats, rows: NDArray[np.intp], view: Any) -> Sample:
        weight, group = _take(self.cache.weight, rows), _take(self.cache.group, rows)
        return Sample(X, self.cache.y[rows], weight, group, tuple(view.categorical))


def measure_learning_curve(refit: Refit, *, budget: Budget, shares: Sequence[float] = SHARES) -> LearningCurve:
    """Fit on more and more rows, if the time is there.

    Parameters
    ----------
    refit : Refit
        What is fitted.
    budget : Budget
        Time for all fits; without time for all of them none is made.
    shares : sequence of float, default=(0.125, 0.25, 0.5, 1.0)
        Shares of the training rows, rising.

    Returns
    -------
    LearningCurve
        Facts, or the reason why there are none.

    References
    ----------
    T. Viering and M. Loog, The shape of learning curves: a review, IEEE TPAMI 45, 2023.
    """
    scoring = refit.scoring
    about = LearningCurve(model=refit.spec.name, label=scoring.label, greater_is_better=scoring.greater_is_better)
    if refit.seconds * sum(shares) > budget.left():
        return replace(about, status=NO_TIME)
    data = refit.data
    chosen: list[tuple[float, NDArray[np.intp]]] = []
    for share in shares:
        # Whole groups may come to as many rows at one share as at another.
        rows = refit.rows(share, data.train)
        if len(rows) >= MIN_ROWS and (not chosen or len(rows) > len(chosen[-1][1])):
            chosen.append((share, rows))
    if len(chosen) < 3:
        return replace(about, status=TOO_FEW)
    predictions = []
    try:
        for _, rows in chosen:
            predictions.append(refit.predict(data, rows, budget))
    except OutOfTime:
        return replace(about, status=NO_TIME)
    except Exception as error:  # whatever a model raises on few rows is told, and is not the end of fit
        return replace(about, status=f"not run: {refit.spec.name} failed ({type(error).__name__}: {error})"[:300])
    valid = refit.cache.folds.splits[refit.fold][1]
    held = [_held(refit, valid, prediction) for prediction in predictions]
    sizes = [len(rows) for _, rows in chosen]
    scores = [_score(scoring, h) for h in held]
    points = tuple(
        CurvePoint(share, n, None if s is None else scoring.natural(s))
        for (share, _), n, s in zip(chosen, sizes, scores, strict=True)
    )
    about = replace(about, points=points, n_scored=len(valid), twice=2 * sizes[-1])
    known = [s for s in scores if s is not None]
    # Only the metrics of the table take many draws at once.
    is_of_table = scoring.metric is not None and METRICS.get(scoring.metric.name) is scoring.metric
    if len(known) < len(scores) or not np.isfinite(scoring.bounds[1]) or not is_of_table:
        return about
    errors = scoring.bounds[1] - np.array(known)
    return _extrapolated(
        about, scoring, np.array(sizes, dtype=np.float64), errors, _deviations(scoring, held, refit.seed)
    )


def score_with_another_seed(refit: Refit, *, budget: Budget) -> float | None:
    """Natural score of the last point of the curve, had the learner drawn other random numbers.

    Parameters
    ----------
    refit : Refit
        What is fitted, on all training rows of its fold.
    budget : Budget
        Time for it.

    Returns
    -------
    float or None
        None: no time, or the rows do not define it.
    """
    if refit.seconds > budget.left():
        return None
    valid = refit.cache.folds.splits[refit.fold][1]
    try:
        data = refit.data
        prediction = refit.predict(data, np.arange(len(data.train)), budget, more_seed=len(refit.cache.folds))
    except OutOfTime:
        return None
    score = _score(refit.scoring, _held(refit, valid, prediction))
    return None if score is None else refit.scoring.natural(score)


def _held(refit: Refit, valid: NDArray[np.intp], prediction: Floats) -> Held:
    weight, group = _take(refit.cache.weight, valid), _take(refit.cache.group, valid)
    return Held(refit.task, refit.cache.y[valid], prediction, weight, group)


def _by_class(order: NDArray[np.intp], y: NDArray[Any]) -> list[NDArray[np.intp]]:
    return [order[y == code] for code in np.unique(y)]


def _score(scoring: Scoring, held: Held) -> float | None:
    try:
        score = scoring(held.y, held.prediction, held.weight, held.query)
    except ValueError:
        # How scorers of scikit-learn's say that a class is missing from the rows.
        return None
    return score if np.isfinite(score) else None


def _deviations(scoring: Scoring, held: Sequence[Held], seed: int) -> Floats:
    """How far the errors of all sizes move together when other rows are scored, of shape (n_draws, n_sizes)."""
    assert scoring.metric is not None
    rng = np.random.default_rng([seed, 4])
    n = len(held[0].y)
    rows = sample_rows(n, held[0].group, MAX_DRAWN_ROWS, rng)
    some = [h.take(rows) for h in held]
    counts = draw_counts(len(rows), some[0].group, N_DRAWS, rng)
    sign = -1.0 if scoring.greater_is_better else 1.0
    drawn = np.stack([sign * np.asarray(h.measure(scoring.metric, scoring.pos_index, counts)) for h in some], axis=1)
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    return np.asarray((drawn - drawn.mean(axis=0)) * np.sqrt(len(rows) / n)) if len(drawn) else np.empty((0, len(held)))


def _extrapolated(
    about: LearningCurve, scoring: Scoring, sizes: Floats, errors: Floats, deviations: Floats
) -> LearningCurve:
    at = np.array([sizes[-1], 2 * sizes[-1]])
    (last, twice), exponent = (part[0] for part in power_law(sizes, errors[None, :], at))
    drawn, _ = power_law(sizes, np.maximum(errors + deviations, 0.0), at)
    if len(drawn) < 2:
        return about

    def natural(error: float) -> float:
        return scoring.natural(scoring.bounds[1] - error)

    gains = (drawn[:, 0] - drawn[:, 1]) / np.maximum(drawn[:, 0], 1e-300)
    least, most = np.quantile(gains, [0.025, 0.975])
    low, high = sorted(natural(float(e)) for e in np.quantile(drawn[:, 1], [0.025, 0.975]))
    verdict = HELPS if least >= HARDLY else HARDLY_HELPS if most < HARDLY else OPEN
    facts = replace(
        about,
        at_last=natural(float(last)),
        at_twice=natural(float(twice)),
        at_twice_low=low,
        at_twice_high=high,
        exponent=float(exponent),
        verdict=verdict,
    )
    return replace(facts, sentence=_sentence(facts))


def power_law(sizes: Floats, errors: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Least-squares fit of error = a + b · size^−c with a, b ≥ 0 and c between 0.1 and 2.

    For each c of a grid a and b follow in closed form; the c with the smallest sum of squares is taken.

    Parameters
    ----------
    sizes : ndarray of shape (n_sizes,)
        Numbers of rows.
    errors : ndarray of shape (n_draws, n_sizes)
        Not negative.
    at : ndarray of shape (n_at,)
        Sizes asked about.

    Returns
    -------
    values : ndarray of shape (n_draws, n_at)
        Errors by the fitted law.
    exponents : ndarray of shape (n_draws,)
        The c of each draw.

    Examples
    --------
    >>> sizes = np.array([100.0, 200.0, 400.0, 800.0])
    >>> values, exponents = power_law(sizes, (0.1 + 2.0 * sizes**-0.5)[None, :], np.array([1600.0]))
    >>> values.round(6).tolist(), exponents.round(6).tolist()
    ([[0.15]], [0.5])
    """
    scaled, asked = sizes / sizes[-1], at / sizes[-1]
    X = scaled[None, :] ** -EXPONENTS[:, None]
    mean_x, mean_y = X.mean(axis=1), errors.mean(axis=1)
    centred = X - mean_x[:, None]
    b = np.einsum("dn,cn->dc", errors, centred) / (centred**2).sum(axis=1)
    a = mean_y[:, None] - b * mean_x
    # On the edge of what is allowed: no floor, or no slope.
    steep = np.einsum("dn,cn->dc", errors, X) / (X**2).sum(axis=1)
    a, b = np.where(a < 0, 0.0, a), np.where(a < 0, steep, b)
    a, b = np.where(b < 0, mean_y[:, None], a), np.maximum(b, 0.0)
    squares = ((a[:, :, None] + b[:, :, None] * X - errors[:, None, :]) ** 2).sum(axis=2)
    best = np.argmin(squares, axis=1)
    draws = np.arange(len(errors))
    c = EXPONENTS[best]
    values: Floats = a[draws, best][:, None] + b[draws, best][:, None] * asked ** -c[:, None]
    return values, c


def _sentence(facts: LearningCurve) -> str:
    last = facts.points[-1].n_rows
    change = f"from {number(facts.at_last)} at {number(last)} to {number(facts.at_twice)} at {number(facts.twice)} rows"
    interval = f"95 % interval {number(facts.at_twice_low)} to {number(facts.at_twice_high)}"
    said = {
        HELPS: "more data would help",
        HARDLY_HELPS: "more data would hardly help",
        OPEN: "whether more data would help cannot be told from these rows",
    }[facts.verdict]
    return f"A power law through the scores of {facts.model} takes {facts.label} {change} ({interval}): {said}."


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]
