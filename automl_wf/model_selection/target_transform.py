"""Values fitted on another scale: the square root or the logarithm of a target with a long right tail.

On that scale effects add up that multiply on the given one, and a few large values do not outweigh all others. The way
back is monotone, held near the range of the training rows, and brought to their mean: the mean of a transformed value
is not the transform of its mean.

References
----------
N. Duan (1983). Smearing estimate: a nonparametric retransformation method. Journal of the American Statistical
Association 78 (the mean is restored by a factor here, and not residual by residual).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import TRANSFORM, Learner, Sample
from automl_wf.model_selection.wrapped import WrappedLearner

_Vector = NDArray[np.float64]

#: Rows that the mean is restored on.
_LEVEL_ROWS = 2_000
#: The hyper-parameter's value for the target as it is.
NONE = "none"


@dataclass(frozen=True)
class Transform:
    """A scale and the way back.

    Parameters
    ----------
    forward, backward : callable
        From values to the scale, and back.
    is_defined : callable
        Whether all values have a place on the scale.
    needs : str
        What they must be for it, in words.
    """

    forward: Callable[[_Vector], _Vector]
    backward: Callable[[_Vector], _Vector]
    is_defined: Callable[[_Vector], bool]
    needs: str


def _square(z: _Vector) -> _Vector:
    # A product, not a power: the graph multiplies, too.
    return z * z


#: What the hyper-parameter `target_transform` may be, beside "none".
TRANSFORMS: Mapping[str, Transform] = {
    "sqrt": Transform(np.sqrt, _square, lambda y: bool((y >= 0.0).all()), "not below zero"),
    "log": Transform(np.log, np.exp, lambda y: bool((y > 0.0).all()), "above zero"),
}


def check_transform(name: Any, task: Task) -> None:
    """Raise where there is no such transform, or none for this task.

    Raises
    ------
    InvalidParameter
        Names those that there are.
    """
    usable = [NONE, *TRANSFORMS] if task is Task.REGRESSION else [NONE]
    if name not in usable:
        raise InvalidParameter(
            f"The hyper-parameter {TRANSFORM!r} must be one of {usable} for {task.family}. Got {name!r} instead."
        )


class TransformedTarget(WrappedLearner):
    """A learner of values that is fitted on their transform.

    Parameters
    ----------
    inner : Learner
        The learner.
    transform : str
        A key of `TRANSFORMS`.

    Attributes
    ----------
    low_, high_ : float
        Bounds of what is predicted on the scale of the transform: those of the training rows, a standard deviation
        wider.
    factor_ : float
        Mean of the training rows over the mean of what is predicted for them.
    """

    low_: float
    high_: float
    factor_: float

    def __init__(self, inner: Learner, transform: str) -> None:
        check_transform(transform, inner.task)
        super().__init__(inner)
        self.transform = transform

    def fit(
        self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1
    ) -> TransformedTarget:
        """Fit on the transformed target of `train`, watching that of `valid`.

        Raises
        ------
        InvalidParameter
            A value has no place on the scale.
        """
        seen = self._transformed(train)
        watched = None if valid is None else self._transformed(valid)
        self.inner.fit(seen, watched, budget=budget, n_threads=n_threads)
        self._note()
        margin = float(np.std(seen.y))
        self.low_, self.high_ = float(seen.y.min()) - margin, float(seen.y.max()) + margin
        if self.transform == "sqrt":
            self.low_ = max(self.low_, 0.0)
        self.factor_ = 1.0
        self.factor_ = self._level(train, n_threads)
        return self

    def _transformed(self, sample: Sample) -> Sample:
        """The rows with their target on the scale; what learners derive from them is kept apart, with the rows."""
        scale, y = TRANSFORMS[self.transform], np.asarray(sample.y, dtype=np.float64)
        if not scale.is_defined(y):
            raise InvalidParameter(
                f"{TRANSFORM}={self.transform!r} needs a target {scale.needs}. Got values down to {y.min():g}."
            )
        kept = sample.cache.setdefault((TRANSFORM, self.transform), {})
        return replace(sample, y=scale.forward(y), cache=kept)

    def _level(self, train: Sample, n_threads: int) -> float:
        step = -(-len(train.y) // _LEVEL_ROWS)
        rows = slice(None, None, step)
        weight = None if train.weight is None else train.weight[rows]
        if weight is not None and not weight.sum() > 0.0:
            return 1.0
        truth = float(np.average(train.y[rows], weights=weight))
        found = float(np.average(self.predict(train.every(step), n_threads), weights=weight))
        return truth / found if found > 0.0 and truth > 0.0 else 1.0

    def predict(self, X: NDArray[np.float64], n_threads: int = 1) -> _Vector:
        """Values on the given scale."""
        held = np.minimum(np.maximum(self.inner.predict(X, n_threads), self.low_), self.high_)
        values: _Vector = TRANSFORMS[self.transform].backward(held) * self.factor_
        return values
