"""The honest score: what the chosen model will do on new rows, corrected for having been chosen among many.

The best of many cross-validated scores is too good: part of it is luck. Bootstrap bias-corrected cross-validation
repeats the whole choice on resampled rows and scores what it chose on the rows left out. No row is set aside for it, no
model is fitted again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput

#: ``select(predictions, y, weight, group)`` → weights of shape (n_predictions,), summing to 1.
Select = Callable[[Sequence[Floats], NDArray[Any], Floats | None, Codes | None], Floats]

CONFIDENCE = 0.95
#: From fewer bootstraps than this the interval is Student's, not their percentiles.
MIN_FOR_PERCENTILES = 20


@dataclass(frozen=True)
class HonestScore:
    """A score corrected for the choice among many, and how it was got.

    Parameters
    ----------
    value : float or None
        The corrected score, greater is better. None: fewer than two bootstraps gave a score.
    interval : tuple of float or None
        Where the score on new rows lies with the given confidence. None if and only if `value` is.
    n_bootstraps : int
        Bootstraps that gave a score.
    best_of_n : float
        The optimistic score of the choice on the rows it was made on.
    n_skipped : int
        Bootstraps without a score: one class only on one of the sides.
    n_rows : int
        Rows resampled.
    confidence : float
        Of the interval.
    """

    value: float | None
    interval: tuple[float, float] | None
    n_bootstraps: int
    best_of_n: float
    n_skipped: int = 0
    n_rows: int = 0
    confidence: float = CONFIDENCE

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        facts = asdict(self)
        facts["interval"] = None if self.interval is None else list(self.interval)
        facts["best_of_n"] = self.best_of_n if np.isfinite(self.best_of_n) else None
        return facts


@dataclass(frozen=True)
class _Rows:
    """The rows that are resampled, and the units (rows, or whole groups) that are drawn."""

    y: NDArray[Any]
    weight: Floats | None
    group: Codes | None
    predictions: tuple[Floats, ...]

    def take(self, rows: NDArray[np.intp], group: Codes | None) -> _Rows:
        weight = None if self.weight is None else self.weight[rows]
        return _Rows(self.y[rows], weight, group, tuple(p[rows] for p in self.predictions))

    def at(self, rows: NDArray[np.intp]) -> _Rows:
        return self.take(rows, None if self.group is None else self.group[rows])


@dataclass(frozen=True)
class _Drawn:
    scores: Floats
    n_skipped: int
    out_of_bag_share: float


def bias_corrected(
    predictions: Sequence[Floats],
    select: Select,
    scoring: Scoring,
    y: NDArray[Any],
    weight: Floats | None = None,
    group: Codes | None = None,
    *,
    n_bootstraps: int,
    seed: int,
    budget: Budget,
    max_rows: int = 5000,
    chosen: Floats | None = None,
) -> HonestScore:
    """Score of the choice among many predictions, as it will be on new rows (BBC-CV).

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions of every configuration that competed.
    select : callable
        ``select(predictions, y, weight, group)`` → weights over the predictions; their weighted mean is scored. It is
        called again in each bootstrap, on the rows drawn (repeated as often as they were drawn).
    scoring : Scoring
        Greater is better.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None, default=None
        Row weights; groups are drawn whole, and one drawn twice counts as two.
    n_bootstraps : int
        Bootstraps wanted.
    seed : int
        Seed of the draws.
    budget : Budget
        Asked before each bootstrap; what was done until then counts, and is counted.
    max_rows : int, default=5000
        The bootstrap uses a random subset of this size (whole groups) of longer data. The optimism found there is then
        taken off the score of all rows.
    chosen : ndarray of shape (n_predictions,) or None, default=None
        What `select` chose on all rows, where that is known already.

    Returns
    -------
    HonestScore
        Value and interval, next to the optimistic score.

    Raises
    ------
    InvalidInput
        A prediction is not a finite number.

    Notes
    -----
    The value is the mean of the out-of-bag scores. Their percentiles are too far apart for an interval of that mean: a
    share f of the rows (about 0.368) drawn without replacement from n has a mean whose variance is (1 - f) / f times
    that of all n rows, 1.72 times. Deviations from the mean are therefore multiplied by sqrt(f / (1 - f)), about 0.76:
    without it a 95 % interval was seen to cover 98.5 %.

    References
    ----------
    I. Tsamardinos, E. Greasidou and G. Borboudakis, Bootstrapping the out-of-sample predictions for efficient and
    accurate cross-validation, Machine Learning 107, 2018.
    """
    everything = _Rows(y, weight, group, tuple(predictions))
    rng = np.random.default_rng(seed)
    best_of_n = _score(everything, select, everything, scoring, chosen)
    subset = everything if len(y) <= max_rows else everything.at(sample_rows(len(y), group, max_rows, rng))
    drawn = _draw(subset, select, scoring, n_bootstraps, budget, rng)
    n_done, n_rows = len(drawn.scores), len(subset.y)
    if n_done < 2 or best_of_n is None:
        nothing = float("nan") if best_of_n is None else best_of_n
        return HonestScore(None, None, n_done, nothing, drawn.n_skipped, n_rows)
    centre = float(drawn.scores.mean())
    value = centre
    if subset is not everything:
        apparent = _score(subset, select, subset, scoring)
        value = best_of_n if apparent is None else best_of_n + centre - apparent
    scale = np.sqrt(drawn.out_of_bag_share / (1 - drawn.out_of_bag_share) * n_rows / len(y))
    interval = _interval(value, (drawn.scores - centre) * scale, scoring)
    return HonestScore(value, interval, n_done, best_of_n, drawn.n_skipped, n_rows)


def _interval(value: float, deviations: Floats, scoring: Scoring) -> tuple[float, float]:
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if len(deviations) >= MIN_FOR_PERCENTILES:
        low, high = np.quantile(deviations, tails)
    else:
        low, high = stdtrit(len(deviations) - 1, tails) * deviations.std(ddof=1)
    return max(value + float(low), scoring.bounds[0]), min(value + float(high), scoring.bounds[1])


def _draw(
    rows: _Rows, select: Select, scoring: Scoring, n_bootstraps: int, budget: Budget, rng: np.random.Generator
) -> _Drawn:
    """Scores of as many bootstraps as the time allows; those without a score are drawn again, within reason."""
    units = Units.of(len(rows.y), rows.group)
    scores: list[float] = []
    shares: list[float] = []
    n_skipped = 0
    with warnings.catch_warnings():
        # Small samples without some class are expected here: they are counted, not announced one by one.
        warnings.simplefilter("ignore", UserWarning)
        longest = 0.0
        while len(scores) < n_bootstraps and n_skipped < n_bootstraps and budget.left() > longest:
            start = time.perf_counter()
            in_bag, in_group, out_of_bag = units.draw(rng)
            score = None
            if len(out_of_bag):
                score = _score(rows.take(in_bag, in_group), select, rows.at(out_of_bag), scoring)
            if score is None:
                n_skipped += 1
            else:
                scores.append(score)
                shares.append(len(out_of_bag) / len(rows.y))
            longest = max(longest, time.perf_counter() - start) if budget.is_limited else 0.0
    return _Drawn(np.array(scores), n_skipped, float(np.mean(shares)) if shares else 0.0)


def _score(
    selected_on: _Rows, select: Select, scored_on: _Rows, scoring: Scoring, chosen: Floats | None = None
) -> float | None:
    """Select on some rows, score on others; None where the rows do not define the score."""
    if scoring.task.is_classification and min(_n_present(selected_on.y), _n_present(scored_on.y)) < 2:
        return None
    if chosen is None:
        chosen = select(selected_on.predictions, selected_on.y, selected_on.weight, selected_on.group)
    group = scored_on.group if scoring.task is Task.RANKING else None
    try:
        score = scoring(scored_on.y, blend(scored_on.predictions, chosen), scored_on.weight, group)
    except InvalidInput:
        raise
    except ValueError:
        # How scorers of scikit-learn's say that a class is missing from the rows drawn.
        return None
    return score if np.isfinite(score) else None


def blend(predictions: Sequence[Floats], weights: Floats) -> Floats:
    """Weighted mean of predictions of equal shape; the weights sum to 1, those of 0 cost nothing."""
    members = np.flatnonzero(weights)
    mean: Floats = predictions[members[0]] * weights[members[0]]
    for member in members[1:]:
        mean = mean + predictions[member] * weights[member]
    return mean


def _n_present(y: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.bincount(y)))


@dataclass(frozen=True)
class Units:
    """What a bootstrap draws: rows, or whole groups.

    Parameters
    ----------
    order, starts, sizes : ndarray
        Unit u holds the rows ``order[starts[u]:starts[u] + sizes[u]]``.
    is_grouped : bool
        Whether units are groups.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]
    is_grouped: bool

    @classmethod
    def of(cls, n_rows: int, group: Codes | None) -> Units:
        """One unit per row, or per group where there are groups."""
        if group is None:
            everything = np.arange(n_rows)
            return cls(everything, everything, np.ones(n_rows, dtype=np.intp), False)
        order = np.argsort(group, kind="stable")
        ordered = group[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        return cls(order, starts, np.diff(starts, append=len(order)), True)

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, units: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of some units, unit after unit."""
        sizes = self.sizes[units]
        firsts = np.repeat(self.starts[units] - np.cumsum(sizes) + sizes, sizes)
        found: NDArray[np.intp] = self.order[firsts + np.arange(len(firsts))]
        return found

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.intp], Codes | None, NDArray[np.intp]]:
        """Rows in the bag, their groups (each draw its own), rows out of it."""
        n_units = len(self)
        drawn = rng.integers(0, n_units, n_units)
        is_out = np.ones(n_units, dtype=bool)
        is_out[drawn] = False
        group = np.repeat(np.arange(n_units), self.sizes[drawn]) if self.is_grouped else None
        return self.rows(drawn), group, self.rows(np.flatnonzero(is_out))


def sample_rows(n_rows: int, group: Codes | None, max_rows: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows at random, at most `max_rows` of them, groups whole (at least one), in their order.

    Parameters
    ----------
    n_rows : int
        Rows to choose from.
    group : ndarray of shape (n_rows,) or None
        Groups that are not torn apart.
    max_rows : int
        Rows wanted; all where there are no more.
    rng : Generator
        Source of chance; not asked where all rows are taken.

    Returns
    -------
    ndarray of shape (n_taken,)
        Rising row numbers.
    """
    if n_rows <= max_rows:
        return np.arange(n_rows)
    units = Units.of(n_rows, group)
    mixed = rng.permutation(len(units))
    n_fitting = max(1, int(np.searchsorted(np.cumsum(units.sizes[mixed]), max_rows, side="right")))
    return np.sort(units.rows(mixed[:n_fitting]))
