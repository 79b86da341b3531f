"""The blend: which models, with which weights, chosen by pure functions of out-of-fold predictions.

Four strategies compete: the best single model; voting (the plain mean of the best models of different families);
blending (greedy selection on the metric itself); stacking (convex weights that minimise a proper loss). Which one is
used is decided on folds whose rows did not take part in fitting the weights. Nothing here knows how the predictions
were made, so that the honest score can repeat the whole choice inside its bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from automl_wf.core.metrics import Scoring
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidInput
from automl_wf.model_selection.base import Learner
from automl_wf.model_selection.postprocess import SMALLEST_PROBABILITY, Postprocess, scoring_rows

if TYPE_CHECKING:
    from automl_wf.feature_engineering.plan import FittedView

Strategy = Literal["single", "voting", "blending", "stacking"]
#: From the simplest to the most complex: among equals the first one wins.
STRATEGIES: tuple[Strategy, ...] = ("single", "voting", "blending", "stacking")
#: Weights below this are dropped: they cost prediction time and change next to nothing.
MIN_WEIGHT = 0.05

Floats = NDArray[np.float64]
Weights = NDArray[np.float64]

#: The best so many models are candidates for a blend: on fewer rows than these, and on others.
_SMALL_DATA, _SMALL_DATA_CANDIDATES, CANDIDATES = 500, 5, 30
_VOTERS = 3
_PATIENCE = 5
_FULL_ROUNDS, _SHORTLIST = 2, 12
_BLOCKS = 5
_MIN_ROWS, _MAX_ROWS, _CELLS = 20_000, 1_000_000, 800_000
# How many models rows can tell apart: (rows, models), interpolated on logarithmic scales.
_MEMBER_LIMIT = ((100, 4), (500, 8), (2_500, 15), (10_000, 40), (100_000, 100))


@dataclass(frozen=True)
class BlendChoice:
    """What `choose_blend` decided.

    Parameters
    ----------
    weights : ndarray of shape (n_models,)
        Not negative, summing to one.
    strategy : {"single", "voting", "blending", "stacking"}
        How they were found.
    scores : mapping
        Score of each strategy on rows that did not take part in fitting its weights; greater is better.
    """

    weights: Weights
    strategy: Strategy
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ScoreScale:
    """Constants that bring the scores of different models to one scale: (score − mean) / sd.

    Parameters
    ----------
    mean, sd : float
        Learnt from out-of-fold scores; 0 and 1 leave predictions as they are.
    """

    mean: float = 0.0
    sd: float = 1.0

    @classmethod
    def fit(cls, scores: Floats, weight: Floats | None = None) -> ScoreScale:
        """Learn mean and standard deviation; constant scores keep sd 1.

        Parameters
        ----------
        scores : ndarray of shape (n_rows,)
            Out-of-fold scores of one model.
        weight : ndarray of shape (n_rows,) or None, default=None
            Sample weights.

        Returns
        -------
        ScoreScale
            The constants.
        """
        mean = float(np.average(scores, weights=weight))
        sd = math.sqrt(float(np.average((scores - mean) ** 2, weights=weight)))
        return cls(mean, sd if sd > 1e-12 * max(1.0, abs(mean)) else 1.0)

    @property
    def is_identity(self) -> bool:
        """Whether scores stay as they are."""
        return self.mean == 0.0 and self.sd == 1.0

    def apply(self, prediction: Floats) -> Floats:
        """Scale predictions: (prediction − mean) / sd.

        Parameters
        ----------
        prediction : ndarray of shape (n_rows,)
            Scores of one model; anything else with the identity.

        Returns
        -------
        ndarray of the same shape
            Scaled scores.
        """
        return prediction if self.is_identity else (prediction - self.mean) / self.sd


@dataclass(frozen=True)
class _Evidence:
    """Out-of-fold predictions and what they are scored against."""

    predictions: tuple[Floats, ...]
    y: NDArray[Any]
    weight: Floats | None
    group: NDArray[np.int64] | None
    scoring: Scoring

    def take(self, rows: NDArray[np.intp] | slice, factor: Floats | None = None) -> _Evidence:
        weight = None if self.weight is None else self.weight[rows]
        if factor is not None:
            weight = factor if weight is None else weight * factor
        return _Evidence(
            tuple(p[rows] for p in self.predictions),
            self.y[rows],
            weight,
            None if self.group is None else self.group[rows],
            self.scoring,
        )

    def thinned(self, fraction: float = 1.0) -> _Evidence:
        """So few rows that 40 models can be selected from in seconds; fewer models may keep more rows."""
        limit = int(fraction * min(max(_CELLS // max(len(self.predictions), 1), _MIN_ROWS), _MAX_ROWS))
        if len(self.y) <= limit:
            return self
        return self.take(*scoring_rows(self.y, self.group, limit))

    def score(self, prediction: Floats) -> float:
        """The metric; what it cannot score counts as worst."""
        value = float(self.scoring(self.y, prediction, self.weight, self.group))
        return -math.inf if math.isnan(value) else value

    def scores(self) -> Floats:
        return np.array([self.score(p) for p in self.predictions])


def greedy_weights(
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    *,
    rounds: int = 25,
    max_members: int | None = None,
) -> Weights:
    """Ensemble selection with replacement [1]_: add, again and again, the model that helps the mean most.

    Starts empty; ties go to a model already used, then to the lower index. The selection is cut at the first round
    with the best score and ends early after 5 rounds without a better one. Scoring is what costs: from the third round
    on only the twelve models that helped most in the second are tried. Weights below 0.05 are dropped.

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions, one array per model.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Sample weights, query ids.
    scoring : Scoring
        Greater is better.
    rounds : int, default=25
        Number of additions.
    max_members : int or None
        Largest number of different models.

    Returns
    -------
    ndarray of shape (n_models,)
        Not negative, summing to one.

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew and Ksikes (2004). Ensemble selection from libraries of models. ICML.
    """
    evidence = _Evidence(tuple(predictions), y, weight, group, scoring).thinned()
    counts = np.zeros(len(predictions))
    total = np.zeros_like(evidence.predictions[0])
    best_score, best_counts, stalled = -math.inf, counts, 0
    candidates = np.arange(len(predictions))
    for size in range(1, rounds + 1):
        is_full = max_members is not None and np.count_nonzero(counts) >= max_members
        scores = np.full(len(predictions), -np.inf)
        for i in np.flatnonzero(counts) if is_full else candidates:
            scores[i] = evidence.score((total + evidence.predictions[i]) / size)
        if size == _FULL_ROUNDS and not is_full:
            candidates = np.union1d(np.argsort(-scores, kind="stable")[:_SHORTLIST], np.flatnonzero(counts))
        pick = _first_best(scores, preferred=counts > 0)
        total = total + evidence.predictions[pick]
        counts = counts.copy()
        counts[pick] += 1
        stalled += 1
        if size == 1 or scores[pick] > best_score + _tolerance(best_score):
            best_score, best_counts, stalled = float(scores[pick]), counts, 0
        if stalled >= _PATIENCE or len(predictions) == 1:
            break
    return _tidied(best_counts)


def voting_weights(
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    families: Sequence[str],
    *,
    max_members: int | None = None,
) -> Weights:
    """Plain mean of the best two or three models, each of another family as far as there are families.

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions, one array per model.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Sample weights, query ids.
    scoring : Scoring
        Greater is better.
    families : sequence of str
        Family of each model.
    max_members : int or None
        Largest number of different models.

    Returns
    -------
    ndarray of shape (n_models,)
        Equal weights for two or three models (whichever scores better), zero for the others.
    """
    evidence = _Evidence(tuple(predictions), y, weight, group, scoring).thinned()
    ranking = np.argsort(-evidence.scores(), kind="stable")
    seen: set[str] = set()
    firsts: list[int] = []
    others: list[int] = []
    for i in ranking:
        (others if families[i] in seen else firsts).append(int(i))
        seen.add(families[i])
    order = (firsts + others)[: min(_VOTERS, max_members or _VOTERS)]
    sizes = range(min(2, len(order)), len(order) + 1)
    means = [sum((evidence.predictions[i] for i in order[1:k]), evidence.predictions[order[0]]) / k for k in sizes]
    best = _first_best(np.array([evidence.score(m) for m in means]))
    counts = np.zeros(len(predictions))
    counts[order[: sizes[best]]] = 1.0
    return _tidied(counts)


def stacking_weights(
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
) -> Weights:
    """Convex weights with the smallest proper loss of the weighted mean: the super learner [1]_.

    Log loss for probabilities, squared error for values. Scores for ranking are regressed, within queries, on the
    grades; only the proportions of the coefficients matter then. Weights below 0.05 are dropped.

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions, one array per model.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Sample weights, query ids.
    scoring : Scoring
        Only tells scores from values here.

    Returns
    -------
    ndarray of shape (n_models,)
        Not negative, summing to one.

    References
    ----------
    .. [1] van der Laan, Polley and Hubbard (2007). Super learner. Statistical Applications in Genetics and Molecular
       Biology 6 (1).
    """
    evidence = _Evidence(tuple(predictions), y, weight, group, scoring).thinned()
    if len(predictions) == 1:
        return np.ones(1)
    share = np.ones(len(evidence.y)) if evidence.weight is None else evidence.weight
    share = share / share.sum()
    if evidence.predictions[0].ndim == 2:
        rows = np.arange(len(evidence.y))
        true = np.column_stack([p[rows, evidence.y] for p in evidence.predictions])
        return _tidied(_mixture_weights(true, share))
    P = np.column_stack(evidence.predictions)
    if evidence.group is not None and scoring.needs == "score":
        return _tidied(_nonnegative_coefficients(P, evidence.y, share, evidence.group))
    return _tidied(_convex_coefficients(P, evidence.y, share))


def fit_strategy(
    strategy: Strategy,
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    families: Sequence[str],
    *,
    rounds: int = 25,
    max_members: int | None = None,
    max_candidates: int | None = None,
) -> Weights:
    """Weights by one strategy: what `choose_blend` fits, and what the honest score repeats inside its bootstrap.

    A model with infinite or missing predictions is never a candidate.

    Parameters
    ----------
    strategy : {"single", "voting", "blending", "stacking"}
        See the module.
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions, one array per model.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Sample weights, query ids.
    scoring : Scoring
        Greater is better.
    families : sequence of str
        Family of each model.
    rounds : int, default=25
        Rounds of the greedy selection.
    max_members : int or None
        Largest number of different models.
    max_candidates : int or None
        The best so many models are candidates; None: by the number of rows (`candidate_limit`).

    Returns
    -------
    ndarray of shape (n_models,)
        Not negative, summing to one.

    Raises
    ------
    InvalidInput
        No model has finite predictions only.
    """
    chosen = [i for i, p in enumerate(predictions) if np.isfinite(p).all()]
    if not chosen:
        raise InvalidInput(f"None of the {len(predictions)} models has finite predictions: there is nothing to blend.")
    limit = 1 if strategy == "single" else max_candidates or candidate_limit(len(y))
    if strategy == "single" or len(chosen) > limit:
        evidence = _Evidence(tuple(predictions[i] for i in chosen), y, weight, group, scoring)
        ranking = np.argsort(-evidence.thinned().scores(), kind="stable")
        chosen = sorted(chosen[i] for i in ranking[:limit])
    kept = [predictions[i] for i in chosen]
    weights = np.zeros(len(predictions))
    if len(kept) == 1:
        weights[chosen] = 1.0
    elif strategy == "voting":
        names = [families[i] for i in chosen]
        weights[chosen] = voting_weights(kept, y, weight, group, scoring, names, max_members=max_members)
    elif strategy == "blending":
        weights[chosen] = greedy_weights(kept, y, weight, group, scoring, rounds=rounds, max_members=max_members)
    else:
        weights[chosen] = _largest(stacking_weights(kept, y, weight, group, scoring), max_members)
    return weights


def choose_blend(
    predictions: Sequence[Floats],
    y: NDArray[Any],
    weight: Floats | None,
    group: NDArray[np.int64] | None,
    scoring: Scoring,
    folds: NDArray[np.int64],
    families: Sequence[str],
    *,
    rounds: int = 25,
    max_members: int | None = None,
    max_calls: int | None = None,
) -> BlendChoice:
    """Choose strategy and weights.

    No strategy judges its own fit: weights are fitted on all folds but one (at most five blocks of folds; a single
    hold-out is cut into five) and scored on the one left out. The best mean over the blocks wins, the simpler strategy
    among equals. The weights returned are then fitted on all rows.

    Parameters
    ----------
    predictions : sequence of ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions, one array per model; scores for ranking on one scale (`ScoreScale`).
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    weight, group : ndarray of shape (n_rows,) or None
        Sample weights, query ids.
    scoring : Scoring
        Greater is better.
    folds : ndarray of shape (n_rows,)
        Fold in which a row was predicted; -1 for rows without a prediction, which are left out.
    families : sequence of str
        Family of each model.
    rounds : int, default=25
        Rounds of the greedy selection.
    max_members : int or None
        Largest number of different models; None: by the number of rows (`member_limit`).
    max_calls : int or None
        How often the metric may be called. Strategies that would need more calls take no part; "stacking" needs none.

    Returns
    -------
    BlendChoice
        Strategy, weights and the score of every strategy.
    """
    evidence = _Evidence(tuple(predictions), y, weight, group, scoring)
    if folds.min() < 0:
        rows = np.flatnonzero(folds >= 0)
        evidence, folds = evidence.take(rows), folds[rows]
    if max_members is None:
        max_members = member_limit(len(evidence.y))

    def fit(strategy: Strategy, on: _Evidence) -> Weights:
        return fit_strategy(
            strategy,
            on.predictions,
            on.y,
            on.weight,
            on.group,
            scoring,
            families,
            rounds=rounds,
            max_members=max_members,
        )

    if len(predictions) == 1:
        return BlendChoice(np.ones(1), "single", {"single": evidence.score(predictions[0])})
    strategies = _affordable(len(predictions), rounds, max_calls)
    if len(strategies) == 1:
        return BlendChoice(fit(strategies[0], evidence), strategies[0], {})
    table = _block_scores(evidence, _folds_to_blocks(folds, evidence), fit, strategies)
    strategy = _best_on_others(table)
    scores: dict[str, float] = {s: float(np.mean(v)) if len(v) else math.nan for s, v in table.items()}
    return BlendChoice(fit(strategy, evidence), strategy, scores)


def _affordable(n_models: int, rounds: int, max_calls: int | None) -> tuple[Strategy, ...]:
    """The strategies whose calls of the metric, over all blocks and for the final fit, do not exceed a number."""
    if max_calls is None:
        return STRATEGIES
    greedy = _FULL_ROUNDS * n_models + (rounds - _FULL_ROUNDS) * min(n_models, _SHORTLIST)
    calls: dict[Strategy, int] = {"stacking": 0, "single": n_models, "voting": n_models + 2, "blending": greedy}
    left, chosen = max_calls, set()
    for strategy, each in calls.items():
        left -= (_BLOCKS + 1) * (each + 1)
        if left < 0:
            break
        chosen.add(strategy)
    return tuple(s for s in STRATEGIES if s in chosen) or ("stacking",)


def member_limit(n_rows: int) -> int:
    """How many models to keep: few rows cannot tell many models apart, and overfit their own validation.

    Parameters
    ----------
    n_rows : int
        Rows with out-of-fold predictions.

    Returns
    -------
    int
        4 up to 100 rows, 8 at 500, 15 at 2,500, 40 at 10,000 and 100 from 100,000 on.
    """
    rows, models = np.log(np.array(_MEMBER_LIMIT, dtype=np.float64)).T
    return round(math.exp(float(np.interp(math.log(max(n_rows, 1)), rows, models))))


def candidate_limit(n_rows: int) -> int:
    """How many of the best models compete for a place in the blend.

    Parameters
    ----------
    n_rows : int
        Rows with out-of-fold predictions.

    Returns
    -------
    int
        5 on fewer than 500 rows, else 30.
    """
    return _SMALL_DATA_CANDIDATES if n_rows < _SMALL_DATA else CANDIDATES


def combine(predictions: Sequence[Floats], weights: Weights) -> Floats:
    """Weighted mean, added in the order given; models with weight zero are not touched.

    Parameters
    ----------
    predictions : sequence of ndarray of equal shape
        One per model.
    weights : ndarray of shape (n_models,)
        At least one is not zero.

    Returns
    -------
    ndarray of the same shape
        Σ weight · prediction.
    """
    used = np.flatnonzero(weights)
    total: Floats = predictions[used[0]] * weights[used[0]]
    for i in used[1:]:
        total = total + predictions[i] * weights[i]
    return total


@dataclass(frozen=True)
class Member:
    """One model of a blend.

    Parameters
    ----------
    name, family : str
        As in the catalogue.
    params : mapping
        Its configuration.
    weight : float
        Its share of the blend.
    parts : tuple of (FittedView, Learner)
        The fold models, in the order of the folds, or a single one fitted on all rows.
    scale : ScoreScale
        What brings its scores to the scale of the others (ranking).
    """

    name: str
    family: str
    params: Mapping[str, Any]
    weight: float
    parts: tuple[tuple[FittedView, Learner], ...]
    scale: ScoreScale = field(default_factory=ScoreScale)

    @property
    def n_parameters(self) -> int:
        """Size of all parts together."""
        return sum(learner.n_parameters for _, learner in self.parts)


@dataclass(frozen=True)
class Blend:
    """The fitted ensemble.

    Its prediction is added up in one fixed order, which the ONNX graph repeats: per member the parts in their order,
    divided by their number, then scaled, then multiplied with the weight; the members in their order; and at the end
    the temperature.

    Parameters
    ----------
    members : tuple of Member
        At least one.
    postprocess : Postprocess
        Temperature, threshold and residuals.
    """

    members: tuple[Member, ...]
    postprocess: Postprocess = field(default_factory=Postprocess)

    @property
    def n_folds(self) -> int:
        """Number of fold models of the member that has most; 1 after a refit."""
        return max(len(m.parts) for m in self.members)

    @property
    def n_parameters(self) -> int:
        """Size of all members together."""
        return sum(m.n_parameters for m in self.members)

    @property
    def n_comparisons(self) -> int:
        """Comparisons that one row takes on its way down all trees, as if these were balanced: what it costs."""
        learners = [learner for member in self.members for _, learner in member.parts if learner.n_trees]
        return round(sum(x.n_trees * math.log2(max(x.n_parameters / x.n_trees, 2.0)) for x in learners))

    def predict(self, table: Table, n_threads: int = 1) -> Floats:
        """Predict rows.

        Parameters
        ----------
        table : Table
            Coerced rows.
        n_threads : int, default=1
            Threads that may run at a time; no bit depends on it.

        Returns
        -------
        ndarray of shape (n_rows, n_classes) or (n_rows,)
            Probabilities; or values or scores.
        """
        return self._combined([m.parts for m in self.members], table, n_threads)

    def predict_fold(self, table: Table, fold: int) -> Floats:
        """Predict rows by the models that did not see the rows of `fold`.

        Parameters
        ----------
        table : Table
            Coerced rows.
        fold : int
            Number of a fold; members with a single part take part whole.

        Returns
        -------
        ndarray of shape (n_rows, n_classes) or (n_rows,)
            Probabilities; or values or scores.
        """
        return self._combined([m.parts if len(m.parts) == 1 else (m.parts[fold],) for m in self.members], table)

    def slices(self) -> tuple[Callable[[Table], Floats], ...]:
        """Functions whose mean is `predict`, each of them cheaper.

        Returns
        -------
        tuple of callable
            One per fold, or `predict` alone where a temperature makes it no mean of the folds.
        """
        n = self.n_folds
        if self.postprocess.temperature != 1.0 or any(len(m.parts) not in (1, n) for m in self.members):
            return (self.predict,)
        return tuple(partial(self.predict_fold, fold=fold) for fold in range(n))

    def _combined(
        self, parts: Sequence[tuple[tuple[FittedView, Learner], ...]], table: Table, n_threads: int = 1
    ) -> Floats:
        outputs = _predict_parts(parts, table, n_threads)
        predictions = []
        for i, member in enumerate(self.members):
            total = outputs[i, 0]
            for j in range(1, len(parts[i])):
                total = total + outputs[i, j]
            predictions.append(member.scale.apply(total / len(parts[i])))
        weights = np.array([m.weight for m in self.members])
        return self.postprocess.apply(combine(predictions, weights))


def _predict_parts(
    parts: Sequence[tuple[tuple[FittedView, Learner], ...]], table: Table, n_threads: int
) -> dict[tuple[int, int], Floats]:
    """Prediction of each part of each member; each distinct view is applied once and let go."""
    uses: dict[int, list[tuple[int, int]]] = {}
    for i, of_member in enumerate(parts):
        for j, (view, _) in enumerate(of_member):
            uses.setdefault(id(view), []).append((i, j))
    outputs = {}
    for places in uses.values():
        i, j = places[0]
        X = parts[i][j][0].transform(table)
        for i, j in places:
            learner = parts[i][j][1]
            learner.unpack()
            outputs[i, j] = learner.predict(X, n_threads)
    return outputs


def _block_scores(
    evidence: _Evidence,
    block: NDArray[np.intp],
    fit: Callable[[Strategy, _Evidence], Weights],
    strategies: Sequence[Strategy],
) -> dict[Strategy, Floats]:
    """Score per strategy and block left out; blocks that cannot be scored (one class only) do not count."""
    table: dict[Strategy, list[float]] = {s: [] for s in strategies}
    for b in np.unique(block):
        train, test = evidence.take(np.flatnonzero(block != b)), evidence.take(np.flatnonzero(block == b))
        train = train.thinned(fraction=0.5)
        scores = [test.score(combine(test.predictions, fit(s, train))) for s in strategies]
        if np.all(np.isfinite(scores)):
            for strategy, score in zip(strategies, scores, strict=True):
                table[strategy].append(score)
    return {s: np.array(v) for s, v in table.items()}


def _folds_to_blocks(folds: NDArray[np.int64], evidence: _Evidence) -> NDArray[np.intp]:
    """At most five blocks of whole folds; rows of a single fold are dealt out by class or query."""
    ids, index = np.unique(folds, return_inverse=True)
    if len(ids) > 1:
        return np.asarray(index % _BLOCKS, dtype=np.intp)
    if evidence.group is not None:
        return np.asarray(np.unique(evidence.group, return_inverse=True)[1] % _BLOCKS, dtype=np.intp)
    block = np.empty(len(folds), dtype=np.intp)
    block[np.argsort(evidence.y, kind="stable")] = np.arange(len(folds)) % _BLOCKS
    return block


def _best_on_others(table: Mapping[Strategy, Floats]) -> Strategy:
    """The strategy with the best mean over the blocks, the simpler one where they are equal."""
    incumbent, *challengers = table
    for challenger in challengers:
        gain = table[challenger] - table[incumbent]
        if len(gain) and gain.mean() > _tolerance(float(table[incumbent].mean())):
            incumbent = challenger
    return incumbent


def _mixture_weights(true: Floats, share: Floats) -> Weights:
    """Minimise −Σ share · log(true @ w) over the simplex; true: probability each model gives the true class."""
    true = np.maximum(true, SMALLEST_PROBABILITY)

    def loss(w: Floats) -> tuple[float, Floats]:
        mixed = np.maximum(true @ w, SMALLEST_PROBABILITY)
        return float(-(share @ np.log(mixed))), -((share / mixed) @ true)

    return _minimise_on_simplex(loss, true.shape[1])


def _convex_coefficients(P: Floats, y: Floats, share: Floats) -> Weights:
    """Minimise Σ share · (y − P w)² over the simplex."""
    residuals = P - y[:, None]
    gram = (residuals * share[:, None]).T @ residuals
    scale = float(np.trace(gram)) / len(gram)
    gram = gram / scale if scale > 0 else gram

    def loss(w: Floats) -> tuple[float, Floats]:
        toward = gram @ w
        return float(w @ toward), 2.0 * toward

    return _minimise_on_simplex(loss, P.shape[1])


def _nonnegative_coefficients(P: Floats, y: Floats, share: Floats, group: NDArray[np.int64]) -> Weights:
    """Minimise Σ share · (y − P w)², w ≥ 0, all centred within queries; proportions only."""
    query = np.unique(group, return_inverse=True)[1]
    mass = np.bincount(query, share)
    root = np.sqrt(share)

    def centred(values: Floats) -> Floats:
        out: Floats = (values - (np.bincount(query, values * share) / mass)[query]) * root
        return out

    w = nnls(np.column_stack([centred(p) for p in P.T]), centred(y))[0]
    return w if w.sum() > 0 else np.ones(P.shape[1])


def _minimise_on_simplex(loss: Callable[[Floats], tuple[float, Floats]], n: int) -> Weights:
    result = minimize(
        loss,
        np.full(n, 1.0 / n),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"maxiter": 100, "ftol": 1e-9},
    )
    w = np.clip(np.nan_to_num(result.x), 0.0, 1.0)
    return w if w.sum() > 0 else np.full(n, 1.0 / n)


def _largest(weights: Weights, max_members: int | None) -> Weights:
    """Keep the largest `max_members` weights."""
    if max_members is None or np.count_nonzero(weights) <= max_members:
        return weights
    kept = np.zeros_like(weights)
    largest = np.argsort(-weights, kind="stable")[:max_members]
    kept[largest] = weights[largest]
    scaled: Weights = kept / kept.sum()
    return scaled


def _tidied(weights: Weights) -> Weights:
    """Sum to one, without weights below 0.05 (the largest always stays)."""
    weights = weights / weights.sum()
    kept = np.where(weights >= min(MIN_WEIGHT, weights.max()) - 1e-12, weights, 0.0)
    scaled: Weights = kept / kept.sum()
    return scaled


def _first_best(scores: Floats, preferred: NDArray[np.bool_] | None = None) -> int:
    """First index with the largest score; among equals a preferred one."""
    best = scores >= scores.max() - _tolerance(float(scores.max()))
    if preferred is not None and np.any(best & preferred):
        best &= preferred
    return int(np.argmax(best))


def _tolerance(score: float) -> float:
    """Differences below this are rounding."""
    return 1e-12 * max(1.0, abs(score)) if math.isfinite(score) else 0.0
