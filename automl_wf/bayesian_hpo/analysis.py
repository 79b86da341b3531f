"""What a finished search teaches: its history, what models cost and brought, and which hyper-parameters mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_wf.bayesian_hpo.objective import Trial
from automl_wf.bayesian_hpo.search import loss_of
from automl_wf.core.search_space import SearchSpace, to_unit

Floats = NDArray[np.float64]

#: Fewer judged configurations of a model tell nothing about its hyper-parameters.
MIN_TRIALS = 10
N_TREES, MIN_LEAF, N_GRID, N_ROWS = 64, 2, 12, 128
#: Training histories are drawn of this many configurations, the best ones.
MAX_HISTORIES = 6


@dataclass(frozen=True)
class Step:
    """One trial in the order of the search; scores are greater for better ones, None where there is none."""

    number: int
    model: str
    source: str
    status: str
    score: float | None
    best: float | None
    started_s: float
    fit_time_s: float


@dataclass(frozen=True)
class ModelEffort:
    """What was spent on a model, and what that brought.

    Parameters
    ----------
    model : str
        Its name.
    n_trials, n_ok, n_pruned, n_failed, n_out_of_time : int
        Configurations, and what became of them.
    seconds, share : float
        Time for all of them, and as a share of that of all trials.
    first, best : float or None
        Score of its first configuration (published defaults, or what the user named) and of its best one.
    gain : float or None
        `best` − `first`.
    best_source : str
        Where its best configuration came from: "baseline", "portfolio" or "asked".
    """

    model: str
    n_trials: int
    n_ok: int
    n_pruned: int
    n_failed: int
    n_out_of_time: int
    seconds: float
    share: float
    first: float | None
    best: float | None
    gain: float | None
    best_source: str


@dataclass(frozen=True)
class ParameterEffect:
    """Share of the variance that one hyper-parameter explains alone, and its standard deviation between trees."""

    name: str
    share: float
    spread: float


@dataclass(frozen=True)
class ParameterImportance:
    """Which hyper-parameters of a model mattered.

    Parameters
    ----------
    model : str
        Its name.
    status : str
        "measured", or why not.
    n_trials : int
        Configurations with a score, pruned ones with that of the folds done.
    r2 : float or None
        How well the forest foretells configurations that it was not grown on (out of bag), of ranks.
    effects : tuple of ParameterEffect
        The largest first.
    """

    model: str
    status: str
    n_trials: int
    r2: float | None = None
    effects: tuple[ParameterEffect, ...] = ()


@dataclass(frozen=True)
class TrainingHistory:
    """Validation loss by round of one configuration, mean over the folds, in the units of the learner's own loss.

    Parameters
    ----------
    number : int
        Its trial.
    model : str
        Its name.
    n_rounds : int
        Rounds in use.
    rounds : tuple of int
        Some of the rounds grown.
    losses : tuple of float
        Loss after each of them.
    """

    number: int
    model: str
    n_rounds: int
    rounds: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class SearchAnalysis:
    """What a search teaches.

    Parameters
    ----------
    history : tuple of Step
        Every trial, in order.
    models : tuple of ModelEffort
        Those with most time first.
    importances : tuple of ParameterImportance
        Of every model that was tried with more than one configuration.
    histories : tuple of TrainingHistory
        Of the best configurations whose learners are grown in rounds.
    """

    history: tuple[Step, ...]
    models: tuple[ModelEffort, ...]
    importances: tuple[ParameterImportance, ...]
    histories: tuple[TrainingHistory, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def analyse_search(trials: Sequence[Trial], spaces: Mapping[str, SearchSpace], *, seed: int) -> SearchAnalysis:
    """Look back on a search.

    Parameters
    ----------
    trials : sequence of Trial
        In the order in which they were run.
    spaces : mapping of str to SearchSpace
        What could be varied, by model.
    seed : int
        Seed of the forests.

    Returns
    -------
    SearchAnalysis
        Facts.
    """
    models = list(dict.fromkeys(t.configuration.model for t in trials))
    by_model = {name: [t for t in trials if t.configuration.model == name] for name in models}
    total = math.fsum(t.fit_time_s for t in trials)
    efforts = [_effort(name, mine, total) for name, mine in by_model.items()]
    return SearchAnalysis(
        _history(trials),
        tuple(sorted(efforts, key=lambda effort: -effort.seconds)),
        tuple(
            parameter_importance(name, mine, spaces[name], seed=seed)
            for name, mine in by_model.items()
            if len(mine) > 1
        ),
        _histories(trials),
    )


def _history(trials: Sequence[Trial]) -> tuple[Step, ...]:
    best, steps = None, []
    for t in trials:
        score = t.score if t.status == "ok" else None
        best = score if best is None else best if score is None else max(best, score)
        steps.append(
            Step(
                t.number,
                t.configuration.model,
                t.configuration.source,
                t.status,
                score,
                best,
                t.started_s,
                t.fit_time_s,
            )
        )
    return tuple(steps)


def _effort(name: str, trials: Sequence[Trial], total_s: float) -> ModelEffort:
    counts = {status: sum(t.status == status for t in trials) for status in ("ok", "pruned", "failed", "out_of_time")}
    done = [t for t in trials if t.status == "ok"]
    best = max(done, key=lambda t: t.score, default=None)
    first = trials[0].score if trials[0].status == "ok" else None
    seconds = math.fsum(t.fit_time_s for t in trials)
    return ModelEffort(
        name,
        len(trials),
        counts["ok"],
        counts["pruned"],
        counts["failed"],
        counts["out_of_time"],
        seconds,
        seconds / total_s if total_s > 0 else 0.0,
        first,
        None if best is None else best.score,
        None if best is None or first is None else best.score - first,
        "" if best is None else best.configuration.source,
    )


def parameter_importance(
    model: str, trials: Sequence[Trial], space: SearchSpace, *, seed: int = 0
) -> ParameterImportance:
    """Main effects of the hyper-parameters by functional ANOVA on a random forest [1]_.

    The forest learns the rank of the score from the place in the search space; what it says is averaged over the whole
    space, evenly, for each value of one hyper-parameter. The variance of these means over the variance of all it says
    is that hyper-parameter's share. Ranks, so that a few terrible configurations do not hide the differences between
    good ones.

    Parameters
    ----------
    model : str
        Name of the model.
    trials : sequence of Trial
        Its configurations.
    space : SearchSpace
        What could be varied.
    seed : int, default=0
        Seed of the forest.

    Returns
    -------
    ParameterImportance
        Shares, or why there are none: too few configurations, or a forest that foretells nothing (R² out of bag at most
        0), whose shares would be noise.

    References
    ----------
    .. [1] F. Hutter, H. Hoos and K. Leyton-Brown, An efficient approach for assessing hyperparameter importance, ICML
       2014.
    """
    losses = np.array([loss_of(t) for t in trials])
    known = np.flatnonzero(np.isfinite(losses)).tolist()
    if not space:
        return ParameterImportance(model, "not run: this model has nothing to tune", len(known))
    if len(known) < MIN_TRIALS:
        return ParameterImportance(model, f"not run: fewer than {MIN_TRIALS} configurations with a score", len(known))
    points = np.array([to_unit(space, trials[i].configuration.params) for i in known])
    varied = np.flatnonzero(np.ptp(points, axis=0) > 0)
    if not len(varied):
        return ParameterImportance(model, "not run: nothing of the search space was varied", len(known))
    forest, r2 = _fit_forest(points[:, varied], rankdata(losses[known]) / len(known), seed)
    if not r2 > 0:
        return ParameterImportance(model, "not told: chance explains the scores as well", len(known), r2)
    shares = _main_effects(forest, len(varied), seed)
    names = list(space)
    effects = [
        ParameterEffect(names[j], float(np.mean(of_trees)), float(np.std(of_trees)))
        for j, of_trees in zip(varied, shares, strict=True)
    ]
    return ParameterImportance(
        model, "measured", len(known), r2, tuple(sorted(effects, key=lambda effect: -effect.share))
    )


def _fit_forest(points: Floats, ranks: Floats, seed: int) -> tuple[Any, float]:
    """A forest, and its R² on the rows that each tree did not see."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        N_TREES, min_samples_leaf=MIN_LEAF, max_features=1.0, oob_score=_out_of_bag_r2, random_state=seed % 2**32
    )
    forest.fit(points, ranks)
    return forest, float(forest.oob_score_)


def _out_of_bag_r2(truth: Floats, predicted: Floats) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(truth, predicted))


def _main_effects(forest: Any, n_parameters: int, seed: int) -> Floats:
    """Share of each parameter in the variance of each tree, of shape (n_parameters, n_trees); 0 for constant trees."""
    rng = np.random.default_rng(seed)
    base, grid = rng.random((N_ROWS, n_parameters)), (np.arange(N_GRID) + 0.5) / N_GRID
    shares = np.zeros((n_parameters, len(forest.estimators_)))
    for j in range(n_parameters):
        points = np.repeat(base[None], N_GRID, axis=0)
        points[:, :, j] = grid[:, None]
        flat = points.reshape(-1, n_parameters).astype(np.float32)
        for i, tree in enumerate(forest.estimators_):
            said = tree.predict(flat).reshape(N_GRID, N_ROWS)
            variance = said.var()
            shares[j, i] = said.mean(axis=1).var() / variance if variance > 0 else 0.0
    return shares


def _histories(trials: Sequence[Trial]) -> tuple[TrainingHistory, ...]:
    grown = [t for t in trials if t.status == "ok" and len(t.loss_curve) > 1]
    best = sorted(grown, key=lambda t: -t.score)[:MAX_HISTORIES]
    return tuple(
        TrainingHistory(
            t.number,
            t.configuration.model,
            t.n_rounds or 0,
            tuple(n for n, _ in t.loss_curve),
            tuple(loss for _, loss in t.loss_curve),
        )
        for t in best
    )
