"""Linear models and the constant baseline, solved here so that a deadline can stop them and nothing is ever printed.

scikit-learn's solvers report what they could not finish through `warnings`, whose filters belong to the process and not
to a thread; the folds of the search run in threads. The models are the same: the tests compare the coefficients.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.utils import gen_batches

from automl_wf.core.budget import Budget
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection.base import Learner, Sample, TargetCode, softmax

_Matrix = NDArray[np.float64]
_ROWS_AT_ONCE = 1 << 15
#: Raw scores that are computed at a time.
_CELLS_AT_ONCE = 1 << 17
_SINGULAR = 1e-10  # eigenvalues of the Gram matrix below this share of the largest count as zero


class Baseline(Learner):
    """Class frequencies, the mean, or one score for all rows: what every model has to beat."""

    target_: TargetCode
    raw_: _Matrix

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> Baseline:
        """Count the classes or take the mean."""
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        self.raw_ = self.target_.start(self.target_.encode(train.y), train.weight)
        return self

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """The same prediction for each row."""
        return self.target_.decode(np.repeat(self.raw_[None, :], len(X), axis=0))


class LinearLearner(Learner):
    """Raw scores `X @ coef_ + intercept_`; what differs is how the coefficients are found."""

    target_: TargetCode
    coef_: _Matrix
    intercept_: _Matrix

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> LinearLearner:
        """Find the coefficients; `valid` is not needed."""
        budget.check(f"{type(self).__name__}")
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        y = self.target_.encode(train.y)
        if self.target_.is_constant:
            self.coef_, self.intercept_ = np.zeros((train.X.shape[1], 1)), np.zeros(1)
        else:
            self.coef_, self.intercept_ = self._solve(train, y, budget)
        return self

    @abstractmethod
    def _solve(self, train: Sample, y: NDArray[Any], budget: Budget) -> tuple[_Matrix, _Matrix]:
        """Coefficients of shape (n_features, n_raw) and intercepts of shape (n_raw,)."""

    @property
    def beyond(self) -> float:
        """Standard deviations that values may lie beyond the training rows': as many again as these are apart."""
        return self.target_.high - self.target_.low

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Probabilities, values or scores."""
        return self.target_.decode(X @ self.coef_ + self.intercept_, self.beyond)

    @property
    def n_parameters(self) -> int:
        """Coefficients that are not zero, and intercepts."""
        return int(np.count_nonzero(self.coef_)) + self.intercept_.size


class LogisticRegression(LinearLearner):
    """Multinomial logistic regression with an L2 penalty of strength 1/C on the coefficients, by L-BFGS.

    Parameters `C` (default 1.0) and `max_iter` (default 300). The loss is scikit-learn's; a fit whose time runs out
    keeps the coefficients reached.
    """

    def _solve(self, train: Sample, y: NDArray[Any], budget: Budget) -> tuple[_Matrix, _Matrix]:
        loss = _PenalisedLogLoss(train, y, self.target_, float(self.params.get("C", 1.0)), budget)
        options = {"maxiter": int(self.params.get("max_iter", 300)), "gtol": 1e-5, "ftol": 1e-10, "maxls": 50}
        first = loss.start.ravel()
        try:
            theta = minimize(loss, first, jac=True, method="L-BFGS-B", callback=loss.check_clock, options=options).x
        except OutOfTime:
            # A line search asks for several losses: the clock is not kept by looking at it between the steps.
            if loss.reached is None:
                raise
            theta, self.is_cut_short_ = loss.reached, True
        theta = theta.reshape(loss.start.shape)
        return theta[1:].copy(), theta[0].copy()


class _PenalisedLogLoss:
    """Mean log loss with its penalty, and its slope, as L-BFGS asks for them; OutOfTime is raised when time is over.

    Rows are taken so many at a time that their raw scores stay in the cache of a core.
    """

    def __init__(self, train: Sample, y: NDArray[Any], target: TargetCode, C: float, budget: Budget) -> None:
        self._X, self._y, self._target, self._budget = train.X, y, target, budget
        weight = np.ones(len(y)) if train.weight is None else train.weight
        self._weight: _Matrix = weight / weight.sum()
        self._penalty = 1.0 / (C * float(weight.sum()))
        self._parts = tuple(gen_batches(len(y), max(_CELLS_AT_ONCE // target.n_raw, 1)))
        #: Coefficients of the constant prediction, intercepts in the first row.
        self.start = np.zeros((train.X.shape[1] + 1, target.n_raw))
        self.start[0] = target.start(y, train.weight)
        #: Those with the smallest loss so far; None as long as nothing is better than the start.
        self.reached: _Matrix | None = None
        self._least = np.inf

    def __call__(self, flat: _Matrix) -> tuple[float, _Matrix]:
        theta = flat.reshape(self.start.shape)
        value = 0.5 * self._penalty * float((theta[1:] ** 2).sum())
        slope = np.zeros_like(theta)
        slope[1:] = self._penalty * theta[1:]
        for rows in self._parts:
            self.check_clock()
            X, y, weight = self._X[rows], self._y[rows], self._weight[rows]
            raw = X @ theta[1:]
            raw += theta[0]
            value += float(weight @ self._target.losses(y, raw))
            error = softmax(raw) if self._target.n_raw > 1 else expit(raw)
            if self._target.n_raw > 1:
                error[np.arange(len(y)), y] -= 1.0
            else:
                error[:, 0] -= y
            error *= weight[:, None]
            slope[0] += error.sum(axis=0)
            slope[1:] += X.T @ error
        if value < self._least:
            is_first = self._least == np.inf
            self._least, self.reached = value, None if is_first else flat.copy()
        return value, slope.ravel()

    def check_clock(self, intermediate_result: Any = None) -> None:
        """Raise OutOfTime when the time is over."""
        self._budget.check("LogisticRegression")


class Centred:
    """The products of weighted, centred rows that every least-squares solution needs, computed once per sample."""

    def __init__(self, sample: Sample, y: _Matrix) -> None:
        weight = np.ones(len(y)) if sample.weight is None else sample.weight
        share = weight / weight.sum()
        self.n_rows, self.total = len(y), float(weight.sum())
        self.X_mean, self.y_mean = share @ sample.X, float(share @ y)
        root = np.sqrt(share * self.n_rows)
        self.y: _Matrix = (y - self.y_mean) * root
        self.rows: _Matrix | None = None
        if sample.X.shape[1] > self.n_rows:
            self.rows = self._centred(sample.X, root)
            self.gram: _Matrix = self.rows @ self.rows.T
            self.moment: _Matrix = self.rows.T @ self.y
            self.norms: _Matrix = np.einsum("ij,ij->j", self.rows, self.rows)
            return
        # Block by block: the centred rows of a long table would take as much memory again.
        self.gram, self.moment = np.zeros((len(self.X_mean),) * 2), np.zeros(len(self.X_mean))
        for rows in gen_batches(self.n_rows, _ROWS_AT_ONCE):
            X = self._centred(sample.X[rows], root[rows])
            self.gram += X.T @ X
            self.moment += X.T @ self.y[rows]
        self.norms = np.diag(self.gram).copy()

    def _centred(self, X: _Matrix, root: _Matrix) -> _Matrix:
        centred: _Matrix = X - self.X_mean
        centred *= root[:, None]
        return centred

    @classmethod
    def of(cls, sample: Sample, y: _Matrix) -> Centred:
        """From the sample's cache, or computed."""
        if "centred" not in sample.cache:
            sample.cache["centred"] = cls(sample, y)
        centred: Centred = sample.cache["centred"]
        return centred

    def ridge(self, penalty: float) -> _Matrix:
        """Coefficients for an L2 penalty on the sum of squares; the smallest ones that fit where it is 0."""
        system = self.gram + penalty * np.eye(len(self.gram)) if penalty > 0.0 else self.gram
        right = self.moment if self.rows is None else self.y
        try:
            if penalty <= 0.0:
                raise LinAlgError
            solution = cho_solve(cho_factor(system), right)
        except LinAlgError:
            solution = lstsq(system, right, cond=_SINGULAR, lapack_driver="gelsy")[0]
        coef: _Matrix = solution if self.rows is None else self.rows.T @ solution
        return coef

    def products(self, chosen: NDArray[np.intp]) -> _Matrix:
        """Gram matrix of some columns."""
        if self.rows is not None:
            return self.rows[:, chosen].T @ self.rows[:, chosen]
        gram: _Matrix = self.gram[np.ix_(chosen, chosen)]
        return gram


class LeastSquares(LinearLearner):
    """Linear models of values or grades; the intercept follows from the means."""

    def _solve(self, train: Sample, y: NDArray[Any], budget: Budget) -> tuple[_Matrix, _Matrix]:
        centred = Centred.of(train, y)
        budget.check(type(self).__name__)
        coef = self._coefficients(centred, budget)
        return coef[:, None], np.array([centred.y_mean - centred.X_mean @ coef])

    @abstractmethod
    def _coefficients(self, rows: Centred, budget: Budget) -> _Matrix:
        """Coefficients of shape (n_features,)."""


class LinearRegression(LeastSquares):
    """Ordinary least squares; of all solutions the one with the smallest coefficients."""

    def _coefficients(self, rows: Centred, budget: Budget) -> _Matrix:
        return rows.ridge(0.0)


class Ridge(LeastSquares):
    """Least squares with the penalty `alpha · Σ coef²` (default 1.0) beside the weighted sum of squares."""

    def _coefficients(self, rows: Centred, budget: Budget) -> _Matrix:
        return rows.ridge(float(self.params.get("alpha", 1.0)) * rows.n_rows / rows.total)


class Lasso(LeastSquares):
    """Least squares with the penalty `alpha · Σ |coef|` (default 0.01) beside half the mean square, by coordinates.

    Of more than 3,000 features only those most correlated with y enter (sure independence screening).

    References
    ----------
    Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models via coordinate descent.
    Fan, Lv (2008), Sure independence screening for ultrahigh dimensional feature space.
    """

    MAX_FEATURES: ClassVar[int] = 3000
    MAX_SWEEPS: ClassVar[int] = 1000

    def _coefficients(self, rows: Centred, budget: Budget) -> _Matrix:
        alpha = float(self.params.get("alpha", 0.01))
        strength = np.abs(rows.moment) / np.sqrt(np.maximum(rows.norms, np.finfo(float).tiny))
        chosen = np.sort(np.argsort(-strength, kind="stable")[: self.MAX_FEATURES])
        chosen = chosen[rows.norms[chosen] > 0.0]
        coef = np.zeros(len(rows.moment))
        gram, moment = rows.products(chosen) / rows.n_rows, rows.moment[chosen] / rows.n_rows
        coef[chosen] = self._descend(gram, moment, alpha, budget)
        return coef

    def _descend(self, gram: _Matrix, moment: _Matrix, alpha: float, budget: Budget) -> _Matrix:
        coef, left = np.zeros(len(moment)), moment.copy()
        norms = np.diag(gram).copy()
        active = np.arange(len(moment))
        for _ in range(self.MAX_SWEEPS):
            largest = 0.0
            for j in active:
                target = left[j] + norms[j] * coef[j]
                value = np.sign(target) * max(abs(target) - alpha, 0.0) / norms[j]
                step = value - coef[j]
                if step != 0.0:
                    left -= gram[j] * step
                    coef[j] = value
                    largest = max(largest, abs(step) * float(np.sqrt(norms[j])))
            if budget.is_over():
                self.is_cut_short_ = True
                break
            is_full = len(active) == len(moment)
            if largest < 1e-6 and is_full:
                break
            # Sweep over what is not zero until it settles, then over all once more.
            active = np.flatnonzero(coef) if is_full or largest >= 1e-6 else np.arange(len(moment))
        return coef
