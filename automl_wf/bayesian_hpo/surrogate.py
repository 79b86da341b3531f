"""The only file that knows scikit-optimize: a surrogate of the loss, asked for configurations and told of results.

scikit-optimize supplies the Gaussian process and expected improvement. Its `Optimizer` is not used: it proposes points
between the values that integers and categories can take (and so the same configuration again and again), clips
log-uniform integers wrongly and fits on every `tell`. Here every candidate is first moved to where it will really be
evaluated, and nothing is fitted before a question is asked.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_wf.core.search_space import Categorical, Dimension, Int, SearchSpace, from_unit, to_unit
from automl_wf.exceptions import InvalidParameter

Floats = NDArray[np.float64]

_N_CANDIDATES, _N_LOCAL, _LOCAL_SD, _N_CENTRES = 2000, 500, 0.1, 5
_MAX_POINTS = 100
_MIN_TIMED = 5
# Where fitting the kernel starts: one start with little noise finds better kernels than several of the default ones.
_LENGTH_SCALE, _NOISE_LEVEL = 0.5, 0.01


class Surrogate:
    """Bayesian optimisation of one search space: Gaussian process, expected improvement (per second) [1]_ [2]_.

    The same calls with the same seed give the same answers, bit for bit, whatever the clock and the number of threads;
    only `seconds`, where they are given, bring the clock in.

    Parameters
    ----------
    space : SearchSpace
        What may be varied; every dimension is searched on the unit interval.
    seed : int
        Seed of the candidates.

    References
    ----------
    .. [1] Jones, Schonlau and Welch (1998). Efficient global optimization of expensive black-box functions. Journal of
       Global Optimization 13, 455-492.
    .. [2] Snoek, Larochelle and Adams (2012). Practical Bayesian optimization of machine learning algorithms. NeurIPS.

    Examples
    --------
    >>> from automl_wf.core.search_space import Float
    >>> surrogate = Surrogate({"x": Float(0.0, 1.0)}, seed=0)
    >>> surrogate.tell([{"x": 0.1}, {"x": 0.5}, {"x": 0.9}], [0.16, 0.0, 0.16])
    >>> 0.3 < surrogate.ask()[0]["x"] < 0.7
    True
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        if not space:
            raise InvalidParameter("A search space must have at least one dimension. Got an empty one instead.")
        self._space = dict(space)
        self._seed = seed
        self._points: list[tuple[float, ...]] = []
        self._losses: list[float] = []
        self._seconds: list[float] = []
        self._pending: list[tuple[float, ...]] = []
        self._n_asked = 0

    @property
    def n_told(self) -> int:
        """Number of results known."""
        return len(self._points)

    @property
    def is_exhausted(self) -> bool:
        """Whether every configuration of a finite space is known or asked for."""
        size = math.prod(_size(dimension) for dimension in self._space.values())
        return len({*self._points, *self._pending}) >= size

    def tell(
        self, params_list: Sequence[Mapping[str, Any]], losses: Sequence[float], seconds: Sequence[float] | None = None
    ) -> None:
        """Report results, asked for or not.

        Parameters
        ----------
        params_list : sequence of mapping
            Configurations; what a configuration does not name lies in the middle of its dimension, and values outside
            the space on its border.
        losses : sequence of float
            Smaller is better; NaN or infinite for a configuration that failed.
        seconds : sequence of float or None
            What they cost; then improvement per second is sought.

        Raises
        ------
        InvalidParameter
            The sequences differ in length.
        """
        times = [math.nan] * len(losses) if seconds is None else list(seconds)
        if not len(params_list) == len(losses) == len(times):
            raise InvalidParameter(
                "tell must be given one loss (and one number of seconds) per configuration. "
                f"Got {len(params_list)} configurations, {len(losses)} losses and {len(times)} times instead."
            )
        for params, loss, time in zip(params_list, losses, times, strict=True):
            point = self._key(params)
            if point in self._pending:
                self._pending.remove(point)
            self._points.append(point)
            self._losses.append(float(loss))
            self._seconds.append(float(time))

    def ask(self, n: int = 1) -> list[dict[str, Any]]:
        """Configurations worth trying next, none of them known or asked for before.

        Several at once, and those asked for that nobody has told of yet, are assumed to do as well as the best one
        known (constant liar), so that they spread out.

        Parameters
        ----------
        n : int, default=1
            How many.

        Returns
        -------
        list of dict
            `n` configurations. Once `is_exhausted`, the most promising ones are repeated.
        """
        answer: list[dict[str, Any]] = []
        for _ in range(n):
            rng = np.random.default_rng([self._seed, self._n_asked])
            candidates = self._candidates(rng)
            value = self._acquisition(candidates)
            params = self._best_new(candidates, value)
            self._n_asked += 1
            self._pending.append(self._key(params))
            answer.append(params)
        return answer

    def _key(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        """Point of the unit cube, clipped: what is outside is on the border."""
        return tuple(float(u) for u in np.clip(to_unit(self._space, params), 0.0, 1.0))

    def _candidates(self, rng: np.random.Generator) -> Floats:
        """Points all over the cube and points near the best ones, moved to values that the dimensions can take."""
        points = rng.random((_N_CANDIDATES, len(self._space)))
        finite = np.flatnonzero(np.isfinite(self._losses))
        if len(finite):
            order = finite[np.argsort(np.array(self._losses)[finite], kind="stable")]
            best = np.array(self._points)[order[:_N_CENTRES]]
            centres = best[rng.integers(len(best), size=_N_LOCAL)]
            points[:_N_LOCAL] = np.clip(centres + rng.normal(0.0, _LOCAL_SD, centres.shape), 0.0, 1.0)
        for j, dimension in enumerate(self._space.values()):
            points[:, j] = _snapped(dimension, points[:, j])
        return points

    def _acquisition(self, candidates: Floats) -> Floats:
        """Expected improvement (per second) of each candidate; equal for all as long as nothing can be learnt."""
        if len(self._points) < 2:
            return np.zeros(len(candidates))
        X, y = np.array(self._points), _regret(np.array(self._losses))
        kept = np.argsort(y, kind="stable")[:_MAX_POINTS]
        X, y = X[kept], y[kept]
        if self._pending:
            X = np.vstack([X, self._pending])
            y = np.append(y, np.full(len(self._pending), y.min()))
        improvement = _expected_improvement(X, y, candidates, self._seed)
        return improvement / np.exp(self._log_seconds(candidates))

    def _log_seconds(self, candidates: Floats) -> Floats:
        """Logarithm of the cost of each candidate: ridge regression on coordinates and their squares.

        Never outside the range seen; zero where costs are not known.
        """
        seconds = np.array(self._seconds)
        known = np.isfinite(seconds) & (seconds > 0)
        if known.sum() < _MIN_TIMED:
            return np.zeros(len(candidates))
        X, cost = np.array(self._points)[known] - 0.5, np.log(seconds[known])
        features, new = np.hstack([X, X**2]), np.hstack([candidates - 0.5, (candidates - 0.5) ** 2])
        centre = features.mean(axis=0)
        features = features - centre
        gram = features.T @ features + 0.1 * np.eye(features.shape[1])
        slopes = np.linalg.solve(gram, features.T @ (cost - cost.mean()))
        predicted: Floats = np.clip(cost.mean() + (new - centre) @ slopes, cost.min(), cost.max())
        return predicted

    def _best_new(self, candidates: Floats, value: Floats) -> dict[str, Any]:
        known = {*self._points, *self._pending}
        order = np.argsort(-value, kind="stable")
        for i in order:
            params = from_unit(self._space, candidates[i])
            if self._key(params) not in known:
                return params
        return from_unit(self._space, candidates[order[0]])


def _size(dimension: Dimension) -> float:
    """Number of values."""
    if isinstance(dimension, Categorical):
        return len(dimension.choices)
    return dimension.high - dimension.low + 1 if isinstance(dimension, Int) else math.inf


def _snapped(dimension: Dimension, u: Floats) -> Floats:
    """Where a value at `u` will lie when it is told: choices in the middle of their share, integers on themselves."""
    if isinstance(dimension, Categorical):
        k = len(dimension.choices)
        return (np.minimum(np.floor(u * k), k - 1) + 0.5) / k
    if isinstance(dimension, Int):
        values, place = np.unique([dimension.from_unit(float(v)) for v in u], return_inverse=True)
        return np.array([dimension.to_unit(int(v)) for v in values])[place]
    return u


def _regret(losses: Floats) -> Floats:
    """What the process models: regret r as r / (r + median r), failures one standard deviation beyond the worst.

    Between 0 and 1 whatever the loss: nearly linear around the best, where it matters, and flat far away, so that a
    few terrible configurations do not hide the differences between good ones.
    """
    ok = np.isfinite(losses)
    if not ok.any():
        return np.zeros(len(losses))
    with np.errstate(over="ignore"):
        regret = np.minimum(losses[ok] - losses[ok].min(), np.finfo(np.float64).max / 4)
    scale = float(np.median(regret[regret > 0])) if (regret > 0).any() else 1.0
    bounded = regret / (regret + scale)
    out = np.full(len(losses), bounded.max() + (bounded.std() or 1.0))
    out[ok] = bounded
    return out


def _expected_improvement(X: Floats, y: Floats, candidates: Floats, seed: int) -> Floats:
    from skopt.acquisition import gaussian_ei
    from skopt.learning import GaussianProcessRegressor
    from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    d = X.shape[1]
    matern = Matern(length_scale=np.full(d, _LENGTH_SCALE), length_scale_bounds=[(0.01, 100.0)] * d, nu=2.5)
    kernel = ConstantKernel(1.0, (0.01, 1000.0)) * matern + WhiteKernel(_NOISE_LEVEL, (1e-5, 1e5))
    process = GaussianProcessRegressor(kernel, normalize_y=True, noise="gaussian", random_state=seed % 2**32)
    # One BLAS thread: the sums, and so the answers, do not depend on the number of cores.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        # 2025-11, scikit-optimize 0.10.2: length scales of dimensions without influence run into their bounds, and
        # L-BFGS reports that as a failure to converge. Both are of no consequence here.
        warnings.simplefilter("ignore")
        process.fit(X, y / (y.std() or 1.0))
        values: Floats = gaussian_ei(candidates, process, y.min() / (y.std() or 1.0))
    return values
