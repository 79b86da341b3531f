"""The honest score: what the chosen model will do on new rows, corrected for having been chosen among many.

The best of many cross-validated scores is too good: part of it is luck. Bootstrap bias-corrected cross-validation
repeats the whole choice on resampled rows and scores what it chose on the rows left out. No row is set aside for it, no
model is fitted again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput
from automl_wf.model_selection.ensemble import Strategy, candidate_limit, combine, fit_strategy, member_limit
from automl_wf.model_selection.postprocess import Postprocess, apply_temperature, fit_postprocess

CONFIDENCE = 0.95
#: From fewer bootstraps than this the interval is Student's, not their percentiles.
MIN_FOR_PERCENTILES = 20
#: Bootstraps for the percentiles, most of which only score what is chosen already.
N_FOR_PERCENTILES = 250


@dataclass(frozen=True)
class Chosen:
    """What was chosen among predictions.

    Parameters
    ----------
    weights : ndarray of shape (n_predictions,)
        Not negative, summing to 1.
    post : Postprocess, default: the identity
        What is done to the weighted mean: temperature, shift, and what a class is decided on by.
    """

    weights: Floats
    post: Postprocess = field(default_factory=Postprocess)


#: ``select(predictions, y, weight, group)`` → what is chosen on these rows.
Select = Callable[[Sequence[Floats], NDArray[Any], Floats | None, Codes | None], Chosen]


def repeat_choice(
    chosen: Chosen,
    strategy: Strategy,
    families: Sequence[str],
    scoring: Scoring,
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None = None,
) -> Select:
    """The choice that was made on all rows, as a function that makes it again on others.

    Which of several predictions compete, their weights, temperature and threshold are all chosen again; the strategy
    and the largest number of members stay. A threshold is not sought again with a scorer from outside METRICS, which
    would have to be called a thousand times: the one chosen on all rows is used.

    Parameters
    ----------
    chosen : Chosen
        On all rows.
    strategy : {"single", "voting", "blending", "stacking"}
        How the weights were found.
    families : sequence of str
        Family of the model behind each prediction.
    scoring : Scoring
        What was optimised.
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions of every configuration that competed.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight : ndarray of shape (n_rows,) or None, default=None
        Row weights.

    Returns
    -------
    callable
        ``select(predictions, y, weight, group)`` → Chosen.
    """
    limits = {"max_members": member_limit(len(y)), "max_candidates": candidate_limit(len(y))}
    is_sought = _is_sought_again(chosen, scoring, predictions, y, weight)

    def select(predictions: Sequence[Floats], y: Any, weight: Floats | None, group: Codes | None) -> Chosen:
        weights = fit_strategy(strategy, predictions, y, weight, group, scoring, families, **limits)
        if not is_sought:
            return Chosen(weights, chosen.post)
        mean = combine(predictions, weights)
        return Chosen(weights, fit_postprocess(mean, y, weight, group, scoring, scoring.task, costs=scoring.costs))

    return select


def _is_sought_again(
    chosen: Chosen, scoring: Scoring, predictions: Sequence[Floats], y: NDArray[Any], weight: Floats | None
) -> bool:
    """Whether temperature and threshold move the score, and can be sought in milliseconds."""
    if not scoring.task.is_classification:
        return False
    if scoring.needs == "label":
        return scoring.metric is not None and scoring.task is Task.BINARY
    plain = combine(predictions, chosen.weights)
    scores = [scoring(y, p, weight) for p in (plain, apply_temperature(plain, 2.0))]
    return abs(scores[1] - scores[0]) > 1e-9 * max(1.0, abs(scores[0]))


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
    n_scored : int
        Further bootstraps, for the ends of the interval: what was chosen already was scored in them, nothing chosen.
    """

    value: float | None
    interval: tuple[float, float] | None
    n_bootstraps: int
    best_of_n: float
    n_skipped: int = 0
    n_rows: int = 0
    confidence: float = CONFIDENCE
    n_scored: int = 0

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
    """Scores, one per bootstrap.

    Out of the bag, of what was chosen in it (`in_bag`) and of what was chosen on all rows (`of_chosen`; further ones of
    bootstraps in which nothing was chosen); `optimism` is how much better what was chosen in the bag is there than on
    all rows.
    """

    in_bag: Floats
    of_chosen: Floats
    optimism: Floats
    of_chosen_further: Floats
    n_skipped: int
    n_scored: int
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
    chosen: Chosen | None = None,
    n_draws: tuple[int, int] | None = None,
) -> HonestScore:
    r"""Score of the choice among many predictions, as it will be on new rows (BBC-CV).

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions of every configuration that competed.
    select : callable
        ``select(predictions, y, weight, group)`` → Chosen; the weighted mean, temperature and threshold applied, is
        scored. It is called again in each bootstrap, on the rows drawn, weighted by how often they were.
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
        The bootstrap uses a random subset of this size (whole groups) of longer data.
    chosen : Chosen or None, default=None
        What `select` chose on all rows, where that is known already.
    n_draws : (int, int) or None, default=None
        Draw exactly so often, whatever comes of it: `n_bootstraps` and `n_skipped` of an earlier score together, and
        its `n_scored`, repeat it, however it ended.

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
    **Value.** Two estimates of how much too good the score of the choice on its own rows is, of the same bootstraps,
    are averaged and taken off it. (1) What was chosen on all rows and what was chosen in the bag are scored on the same
    rows out of the bag [1]_: the mean difference. (2) What was chosen in the bag is scored there and on all rows, which
    stand for the population [2]_: the mean difference. Where equals compete (1) is right, and (2) finds
    :math:`1/\sqrt 2` of the luck: the bag's winner is mostly that of all rows, whose luck is in both its scores. Where
    weights, a temperature or a threshold are fitted, (2) is right to first order, and (1) finds half as much again:
    a bag scatters around the choice as that does around the best one, so that out of the bag both add up. Choices are
    of both kinds, and the errors of the two estimates have opposite signs. Differences of scores on the same rows do
    not carry the bias that few rows mean for a root or an F1.

    **Long data.** What a choice among equals gains from luck falls with the root of the number of rows, among unequals
    faster: what was found on a subset is multiplied by the root of its share, which errs on the careful side.

    **Interval.** A share f of the rows (about 0.368) drawn without replacement from n has a mean whose variance is
    (1 - f) / f times that of all n rows, 1.72 times. Deviations of the out-of-bag scores from their mean are therefore
    multiplied by sqrt(f / (1 - f)), about 0.76: without it a 95 % interval was seen to cover 98.5 %. Their shape is
    that of what was chosen on all rows in many bags, their spread that of what was chosen in the bag.

    References
    ----------
    .. [1] I. Tsamardinos, E. Greasidou and G. Borboudakis, Bootstrapping the out-of-sample predictions for efficient
       and accurate cross-validation, Machine Learning 107, 2018.
    .. [2] B. Efron, Estimating the error rate of a prediction rule: improvement on cross-validation, Journal of the
       American Statistical Association 78, 1983 (the bootstrap estimate of optimism).
    """
    everything = _Rows(y, weight, group, tuple(predictions))
    rng = np.random.default_rng(seed)
    if chosen is None:
        chosen = _choose(everything, select, scoring)
    best_of_n = None if chosen is None else _score(chosen, everything, scoring)
    subset = everything
    if len(y) > max_rows:
        subset = everything.at(sample_rows(len(y), group, max_rows, rng))
        chosen = _choose(subset, select, scoring)
    n_rows = len(subset.y)
    if chosen is None or best_of_n is None:
        return HonestScore(None, None, 0, float("nan") if best_of_n is None else best_of_n, 0, n_rows)
    drawn = _draw(subset, select, scoring, chosen, n_bootstraps, budget, rng, n_draws)
    n_done = len(drawn.in_bag)
    if n_done < 2:
        return HonestScore(None, None, n_done, best_of_n, drawn.n_skipped, n_rows)
    root = float(np.sqrt(n_rows / len(y)))
    luck = (float(np.mean(drawn.of_chosen - drawn.in_bag)) + float(np.mean(drawn.optimism))) / 2.0
    value = float(np.clip(best_of_n - root * luck, *scoring.bounds))
    interval = _interval(value, drawn, root, scoring)
    return HonestScore(value, interval, n_done, best_of_n, drawn.n_skipped, n_rows, n_scored=drawn.n_scored)


def _interval(value: float, drawn: _Drawn, root: float, scoring: Scoring) -> tuple[float, float]:
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    f = drawn.out_of_bag_share
    scale = root * np.sqrt(f / (1 - f))
    spread = drawn.of_chosen.std()
    if len(drawn.in_bag) < MIN_FOR_PERCENTILES or spread == 0:
        low, high = stdtrit(len(drawn.in_bag) - 1, tails) * drawn.in_bag.std(ddof=1) * scale
    else:
        scores = np.concatenate([drawn.of_chosen, drawn.of_chosen_further])
        deviations = (scores - scores.mean()) * drawn.in_bag.std() / spread * scale
        # Weibull's positions: a new draw lies beyond them as often as it should, however many draws there are.
        low, high = np.quantile(deviations, tails, method="weibull")
    return max(value + float(low), scoring.bounds[0]), min(value + float(high), scoring.bounds[1])


def _draw(
    rows: _Rows,
    select: Select,
    scoring: Scoring,
    chosen: Chosen,
    n_bootstraps: int,
    budget: Budget,
    rng: np.random.Generator,
    n_draws: tuple[int, int] | None,
) -> _Drawn:
    """Scores of as many bootstraps as the time allows; those without a score are drawn again, within reason."""
    units = Units.of(len(rows.y), rows.group)
    table: list[tuple[float, float, float]] = []
    further: list[float] = []
    shares: list[float] = []
    n_skipped = 0
    longest = 0.0

    def is_wanted() -> bool:
        if n_draws is not None:
            return len(table) + n_skipped < n_draws[0]
        return len(table) < n_bootstraps and n_skipped < n_bootstraps and budget.left() > longest

    with warnings.catch_warnings():
        # Small samples without some class are expected here: they are counted, not announced one by one.
        warnings.simplefilter("ignore", UserWarning)
        while is_wanted():
            start = time.perf_counter()
            drawn = units.draw(rng)
            outside = rows.at(units.others(drawn))
            bag = _in_bag(rows, units, drawn, scoring)
            again = _choose(bag, select, scoring)
            of_chosen = _score(chosen, outside, scoring)
            seen = [] if again is None else [_score(again, where, scoring) for where in (outside, bag, rows)]
            known = [score for score in seen if score is not None]
            if len(known) < 3 or of_chosen is None:
                n_skipped += 1
            else:
                table.append((known[0], of_chosen, known[1] - known[2]))
                shares.append(len(outside.y) / len(rows.y))
            longest = max(longest, time.perf_counter() - start) if budget.is_limited else 0.0
        n_wanted, n_scored = max(N_FOR_PERCENTILES - len(table), 0) if len(table) >= MIN_FOR_PERCENTILES else 0, 0
        if n_draws is not None:
            n_wanted = n_draws[1]
        while n_scored < n_wanted and (n_draws is not None or not budget.is_over()):
            score = _score(chosen, rows.at(units.others(units.draw(rng))), scoring)
            further += [] if score is None else [score]
            n_scored += 1
    scores = np.array(table, dtype=np.float64).reshape(-1, 3)
    return _Drawn(
        in_bag=scores[:, 0],
        of_chosen=scores[:, 1],
        optimism=scores[:, 2],
        of_chosen_further=np.array(further),
        n_skipped=n_skipped,
        n_scored=n_scored,
        out_of_bag_share=float(np.mean(shares)) if shares else 0.0,
    )


def _in_bag(rows: _Rows, units: Units, drawn: NDArray[np.intp], scoring: Scoring) -> _Rows:
    """Rows drawn: each once, weighted by how often, so that no fold within the choice has copies of another's rows.

    Repeated where a scorer of the user's own knows no weights.
    """
    if scoring.metric is None and not scoring.takes_weight:
        return rows.take(*units.bag(drawn))
    counts = np.bincount(drawn, minlength=len(units))
    present = np.flatnonzero(counts)
    bag = rows.at(units.rows(present))
    times = np.repeat(counts[present], units.sizes[present]).astype(np.float64)
    return replace(bag, weight=times if bag.weight is None else bag.weight * times)


def _choose(rows: _Rows, select: Select, scoring: Scoring) -> Chosen | None:
    """None where the rows do not define a score to choose by."""
    if scoring.task.is_classification and _n_present(rows.y) < 2:
        return None
    try:
        return select(rows.predictions, rows.y, rows.weight, rows.group)
    except InvalidInput:
        raise
    except ValueError:
        # How scorers of scikit-learn's say that a class is missing from the rows drawn.
        return None


def _score(chosen: Chosen, rows: _Rows, scoring: Scoring) -> float | None:
    """None where the rows do not define the score."""
    if len(rows.y) == 0 or (scoring.task.is_classification and _n_present(rows.y) < 2):
        return None
    group = rows.group if scoring.task is Task.RANKING else None
    prediction = chosen.post.apply(combine(rows.predictions, chosen.weights))
    try:
        score = scoring(rows.y, prediction, rows.weight, group, threshold=chosen.post.rule)
    except InvalidInput:
        raise
    except ValueError:
        # How scorers of scikit-learn's say that a class is missing from the rows drawn.
        return None
    return score if np.isfinite(score) else None


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

    def draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """As many units as there are, with replacement."""
        return rng.integers(0, len(self), len(self))

    def bag(self, drawn: NDArray[np.intp]) -> tuple[NDArray[np.intp], Codes | None]:
        """Rows of units drawn, and their groups (each draw its own)."""
        group = np.repeat(np.arange(len(drawn)), self.sizes[drawn]) if self.is_grouped else None
        return self.rows(drawn), group

    def others(self, drawn: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of the units that were not drawn."""
        is_out = np.ones(len(self), dtype=bool)
        is_out[drawn] = False
        return self.rows(np.flatnonzero(is_out))


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
