"""What a learner is fitted on in place of the training rows: other weights, fewer or more rows, made-up ones.

Only training rows change, never the rows that a model is watched or judged on. Where the shares of the classes change,
rows that are watched are weighted to the changed shares, so that a learner stops where it should, and probabilities are
brought back to the given shares by Bayes' rule, in the model and in its graph.

References
----------
C. Elkan (2001). The foundations of cost-sensitive learning. IJCAI (theorem 2, two classes).
M. Saerens, P. Latinne and C. Decaestecker (2002). Adjusting the outputs of a classifier to new a priori probabilities.
Neural Computation 14(1) (equation 4, many classes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import Learner, Sample
from automl_wf.model_selection.wrapped import WrappedLearner

_Matrix = NDArray[np.float64]
_Draw = Callable[[Sample, Task, np.random.Generator], Sample]

#: Width of the noise of "smooth", in standard deviations of the column.
BANDWIDTH = 0.1
#: Both parameters of the beta distribution that "mixup" draws shares from.
MIXUP = 0.4
#: Columns of fewer distinct values are levels, which noise would make meaningless.
_LEVELS = 10


def balanced(train: Sample, task: Task, random: np.random.Generator) -> Sample:
    """Weights by which every class counts the same; their mean stays."""
    weight = _weights(train)
    total = np.bincount(train.y, weights=weight)
    present = total > 0
    factor = np.divide(weight.sum() / present.sum(), total, out=np.zeros_like(total), where=present)
    return replace(train, weight=weight * factor[train.y], cache={})


def under(train: Sample, task: Task, random: np.random.Generator) -> Sample:
    """Of each class as many rows, at random, as the rarest class has."""
    counts = np.bincount(train.y)
    most = int(counts[counts > 0].min())
    kept = [random.choice(np.flatnonzero(train.y == k), most, replace=False) for k in np.flatnonzero(counts)]
    return _take(train, np.sort(np.concatenate(kept)))


def over(train: Sample, task: Task, random: np.random.Generator) -> Sample:
    """All rows, and rows of each class once more, at random, until it has as many as the commonest class."""
    counts = np.bincount(train.y)
    more = [random.choice(np.flatnonzero(train.y == k), int(counts.max() - counts[k])) for k in np.flatnonzero(counts)]
    return _take(train, np.sort(np.concatenate([np.arange(len(train.y)), *more])))


def smooth(train: Sample, task: Task, random: np.random.Generator) -> Sample:
    """All rows, and as many drawn from them with Gaussian noise on what varies continuously: a smoothed bootstrap."""
    drawn = random.integers(0, len(train.y), len(train.y))
    made = _take(train, drawn)
    places = _continuous(train)
    deviation = np.nanstd(train.X[:, places], axis=0)
    X = made.X.copy()
    X[:, places] += BANDWIDTH * deviation * random.standard_normal((len(X), len(places)))
    return _joined(train, replace(made, matrix=X))


def mixup(train: Sample, task: Task, random: np.random.Generator) -> Sample:
    """All rows, and as many between two of them, with the target between theirs: two weighted rows for two classes.

    Category codes, and cells of which one is missing, are the first row's.
    """
    n = len(train.y)
    first, second = random.integers(0, n, n), random.integers(0, n, n)
    share = random.beta(MIXUP, MIXUP, n)
    share = np.maximum(share, 1.0 - share)
    weight = _weights(train)
    mixed = share[:, None] * train.X[first] + (1.0 - share[:, None]) * train.X[second]
    is_kept = np.isnan(mixed)
    is_kept[:, list(train.categorical)] = True
    X = np.where(is_kept, train.X[first], mixed)
    if not task.is_classification:
        y = share * train.y[first] + (1.0 - share) * train.y[second]
        pair = replace(train, matrix=X, y=y, weight=share * weight[first] + (1.0 - share) * weight[second], cache={})
        return _joined(train, pair)
    both = replace(
        train,
        matrix=np.vstack([X, X]),
        y=np.concatenate([train.y[first], train.y[second]]),
        weight=np.concatenate([share * weight[first], (1.0 - share) * weight[second]]),
        cache={},
    )
    return _joined(train, both)


#: What the hyper-parameter `sampling` may be.
SAMPLINGS: Mapping[str, _Draw] = {
    "balanced": balanced,
    "under": under,
    "over": over,
    "smooth": smooth,
    "mixup": mixup,
}
#: Those that are about the shares of classes.
_ABOUT_CLASSES = ("balanced", "under", "over")


def check_sampling(name: Any, task: Task) -> None:
    """Raise where there is no such sampling, or none for this task.

    Raises
    ------
    InvalidParameter
        Names those that there are.
    """
    usable = [] if task is Task.RANKING else [s for s in SAMPLINGS if task.is_classification or s not in _ABOUT_CLASSES]
    if name not in usable:
        raise InvalidParameter(
            f"The hyper-parameter 'sampling' must be one of {usable} for {task.family}. Got {name!r} instead."
        )


class SampledLearner(WrappedLearner):
    """A learner that is fitted on other rows than it is given, and predicts for those it was given.

    Parameters
    ----------
    inner : Learner
        The learner.
    sampling : str
        A key of `SAMPLINGS`.

    Attributes
    ----------
    ratio_ : ndarray of shape (n_classes,)
        Share of each class among the given rows over that among the rows fitted on; 1 for classes that do not occur.
        For values empty.
    """

    ratio_: _Matrix

    def __init__(self, inner: Learner, sampling: str) -> None:
        check_sampling(sampling, inner.task)
        super().__init__(inner)
        self.sampling = sampling

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> SampledLearner:
        """Fit on what `sampling` makes of `train`; `valid` stays, its classes weighted as they are fitted on."""
        drawn = SAMPLINGS[self.sampling](train, self.task, np.random.default_rng(self.seed))
        self.ratio_ = self._ratio(train, drawn)
        watched = None if valid is None else self._reweighted(valid)
        self.inner.fit(drawn, watched, budget=budget, n_threads=n_threads)
        self._note()
        return self

    def _ratio(self, train: Sample, drawn: Sample) -> _Matrix:
        if not self.task.is_classification:
            return np.empty(0)
        given, fitted = (_shares(sample, self.n_classes) for sample in (train, drawn))
        return np.divide(given, fitted, out=np.ones(self.n_classes), where=(given > 0) & (fitted > 0))

    def _reweighted(self, valid: Sample) -> Sample:
        # A cache of its own: what others keep there belongs to the training rows as they are.
        if not self.task.is_classification:
            return replace(valid, cache={})
        return replace(valid, weight=_weights(valid) / self.ratio_[valid.y], cache={})

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Probabilities at the given shares of the classes, or values."""
        prediction = self.inner.predict(X, n_threads)
        if not self.task.is_classification:
            return prediction
        changed = prediction * self.ratio_
        corrected: _Matrix = changed / changed.sum(axis=1, keepdims=True)
        return corrected


def _weights(sample: Sample) -> _Matrix:
    return np.ones(len(sample.y)) if sample.weight is None else sample.weight


def _shares(sample: Sample, n_classes: int) -> _Matrix:
    total = np.bincount(sample.y, weights=_weights(sample), minlength=n_classes)
    shares: _Matrix = total / total.sum()
    return shares


def _take(sample: Sample, rows: NDArray[np.intp]) -> Sample:
    weight = None if sample.weight is None else sample.weight[rows]
    return replace(sample, matrix=sample.X[rows], y=sample.y[rows], weight=weight, group=None, cache={})


def _joined(first: Sample, second: Sample) -> Sample:
    weight = None
    if first.weight is not None or second.weight is not None:
        weight = np.concatenate([_weights(first), _weights(second)])
    X, y = np.vstack([first.X, second.X]), np.concatenate([first.y, second.y])
    return replace(first, matrix=X, y=y, weight=weight, group=None, cache={})


def _continuous(sample: Sample) -> NDArray[np.intp]:
    """Columns of more than ten distinct values that are no category codes."""
    X = sample.X
    places = [j for j in range(X.shape[1]) if j not in sample.categorical]
    return np.array([j for j in places if len(np.unique(X[~np.isnan(X[:, j]), j])) > _LEVELS], dtype=np.intp)
