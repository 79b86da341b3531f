"""Linear models from sums over rows: exactly those that the rows of all clients would give in one place.

Ridge regression needs the Gram matrix once. Logistic regression is found by Newton's method, whose gradient and second
derivatives are sums as well: a few exchanges, where averaging locally fitted coefficients (FedAvg) takes many and does
not end at the same model when clients differ.

References
----------
McMahan, Moore, Ramage, Hampson and Agüera y Arcas (2017). Communication-efficient learning of deep networks from
decentralized data. AISTATS. (FedAvg.)
Karr, Lin, Sanil and Reiter (2005). Secure regression on distributed databases. Journal of Computational and Graphical
Statistics 14 (2). (Least squares from summed products.)
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq
from scipy.special import expit
from sklearn.utils import gen_batches

from automl_wf.model_selection.base import TargetCode, softmax

Floats = NDArray[np.float64]
_ROWS_AT_ONCE = 1 << 15
#: Largest matrix of second derivatives that is sent whole.
MAX_SIDE = 600
#: Keeps the scores of all classes from being shifted together, which changes nothing.
_JITTER = 1e-10
#: Newton's method ends at slopes below this, after so many steps, or so many halvings without a better loss.
_SLOPE, _MAX_STEPS, _MAX_HALVINGS = 1e-7, 100, 30


@dataclass(frozen=True, eq=False)
class GramSums:
    """Products of rows that have a 1 in front, of shape (p + 1, p + 1), and with the target, of shape (p + 1,)."""

    gram: Floats
    moment: Floats

    @classmethod
    def of(cls, X: Floats, y: Floats) -> GramSums:
        """The products of one client."""
        gram, moment = np.zeros((X.shape[1] + 1,) * 2), np.zeros(X.shape[1] + 1)
        for rows in gen_batches(len(X), _ROWS_AT_ONCE):
            some = _with_one(X[rows])
            gram += some.T @ some
            moment += some.T @ y[rows]
        return cls(gram, moment)

    def __add__(self, other: GramSums) -> GramSums:
        return GramSums(self.gram + other.gram, self.moment + other.moment)

    def ridge(self, alpha: float) -> tuple[Floats, Floats]:
        """Coefficients of shape (p, 1) and intercept of shape (1,): least squares with alpha · Σ coef² beside it."""
        n_rows = self.gram[0, 0]
        X_mean, y_mean = self.gram[0, 1:] / n_rows, self.moment[0] / n_rows
        gram = self.gram[1:, 1:] - n_rows * np.outer(X_mean, X_mean) + alpha * np.eye(len(X_mean))
        coef = _solve(gram, self.moment[1:] - n_rows * X_mean * y_mean)
        return coef[:, None], np.array([y_mean - X_mean @ coef])


@dataclass(frozen=True, eq=False)
class NewtonSums:
    """Log loss, its slopes of shape (p + 1, n_raw), and its second derivatives, summed over rows.

    Second derivatives are one matrix of side n_raw (p + 1), class by class, as long as that is at most `MAX_SIDE`; else
    one block of shape (p + 1, p + 1) per class, times K / (K - 1).
    """

    loss: Floats
    slope: Floats
    curvature: Floats

    @classmethod
    def of(cls, X: Floats, y: NDArray[Any], target: TargetCode, theta: Floats) -> NewtonSums:
        """The sums of one client at coefficients `theta` of shape (p + 1, n_raw), the intercepts in front."""
        width, n_raw = theta.shape
        is_whole = n_raw * width <= MAX_SIDE
        blocks = np.zeros((n_raw, n_raw if is_whole else 1, width, width))
        loss, slope = 0.0, np.zeros(theta.shape)
        for rows in gen_batches(len(X), _ROWS_AT_ONCE):
            some = _with_one(X[rows])
            raw = some @ theta
            loss += float(target.losses(y[rows], raw).sum())
            p = expit(raw) if n_raw == 1 else softmax(raw)
            hits = (y[rows] == 1)[:, None] if n_raw == 1 else np.arange(n_raw) == y[rows][:, None]
            slope += some.T @ (p - hits)
            for k in range(n_raw):
                for m in range(n_raw) if is_whole else [k]:
                    weight = p[:, k] * ((k == m) - p[:, m])
                    blocks[k, m if is_whole else 0] += (some * weight[:, None]).T @ some
        if is_whole:
            return cls(np.array(loss), slope, blocks.transpose(0, 2, 1, 3).reshape(1, n_raw * width, n_raw * width))
        return cls(np.array(loss), slope, blocks[:, 0] * (n_raw / (n_raw - 1)))

    def __add__(self, other: NewtonSums) -> NewtonSums:
        return NewtonSums(self.loss + other.loss, self.slope + other.slope, self.curvature + other.curvature)

    def step(self, slope: Floats, n_rows: float, penalty: Floats) -> Floats:
        """Newton's step for the slope of the penalised mean loss, of the same shape."""
        n_blocks, side = self.curvature.shape[:2]
        added = np.diag(np.tile(penalty, side // len(penalty)) + _JITTER)
        parts = slope.T.reshape(n_blocks, side)
        steps = [_solve(block / n_rows + added, part) for block, part in zip(self.curvature, parts, strict=True)]
        return np.concatenate(steps).reshape(slope.shape[::-1]).T


def newton(first: Floats, n_rows: float, C: float) -> Generator[Floats, NewtonSums, Floats]:
    """Ask for sums at coefficients until the penalised log loss is smallest; steps that do not lower it are halved.

    Parameters
    ----------
    first : ndarray of shape (p + 1, n_raw)
        Where to begin; the intercepts in front.
    n_rows : float
        Rows of all clients.
    C : float
        Inverse of the L2 penalty on the coefficients, as in scikit-learn.

    Yields
    ------
    ndarray of shape (p + 1, n_raw)
        Coefficients; to be sent the sums at them.

    Returns
    -------
    ndarray of shape (p + 1, n_raw)
        The best coefficients.
    """
    penalty = np.full(len(first), 1.0 / (C * n_rows))
    penalty[0] = 0.0

    def value(theta: Floats, sums: NewtonSums) -> float:
        return float(sums.loss) / n_rows + 0.5 * float((penalty[:, None] * theta**2).sum())

    theta = first
    sums = yield theta
    best = value(theta, sums)
    for _ in range(_MAX_STEPS):
        slope = sums.slope / n_rows + penalty[:, None] * theta
        if np.abs(slope).max() < _SLOPE:
            break
        step, is_better = sums.step(slope, n_rows, penalty), False
        for _ in range(_MAX_HALVINGS):
            tried = theta - step
            there = yield tried
            if value(tried, there) < best:
                theta, sums, best, is_better = tried, there, value(tried, there), True
                break
            step = step / 2.0
        if not is_better:
            break
    return theta


def _with_one(X: Floats) -> Floats:
    return np.column_stack([np.ones(len(X)), X])


def _solve(system: Floats, right: Floats) -> Floats:
    """Solution of a symmetric system; the smallest one where it is singular."""
    try:
        solution: Floats = cho_solve(cho_factor(system), right)
    except LinAlgError:
        solution = lstsq(system, right, lapack_driver="gelsy")[0]
    return solution
