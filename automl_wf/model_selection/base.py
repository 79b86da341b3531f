"""What the search knows of a model: a Learner on a numeric matrix, and the ModelSpec that describes it in words."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from automl_wf.core.budget import Budget
from automl_wf.core.kept_matrix import KeptMatrix, Part, Unpacked
from automl_wf.core.search_space import SearchSpace
from automl_wf.core.tasks import Task

#: The hyper-parameters that name the feature view, what is made of the training rows (`sampling.py`), and the scale
#: that the target is fitted on (`target_transform.py`).
VIEW, SAMPLING, TRANSFORM = "view", "sampling", "target_transform"


@dataclass(frozen=True)
class Sample:
    """Rows that a learner is fitted or watched on.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_features) or KeptMatrix
        float64; NaN is missing (tree view only).
    y : ndarray of shape (n_rows,)
        Class codes 0 … K-1 (int64), values (float64) or relevance grades (float64, ranking).
    weight : ndarray of shape (n_rows,) or None
        Sample weights.
    group : ndarray of shape (n_rows,) or None
        Query ids (ranking): rows of one query are adjacent.
    categorical : tuple of int
        Columns of X that hold category codes 0, 1, … (-1: unknown).
    cache : dict
        Lives as long as the sample: a learner may keep what is costly to derive from these rows alone (binned data).
    """

    matrix: NDArray[np.float64] | KeptMatrix
    y: NDArray[Any]
    weight: NDArray[np.float64] | None = None
    group: NDArray[np.int64] | None = None
    categorical: tuple[int, ...] = ()
    cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    _made: list[NDArray[np.float64]] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def X(self) -> NDArray[np.float64]:
        """The matrix, made when it is first asked for."""
        if isinstance(self.matrix, np.ndarray):
            return self.matrix
        if not self._made:
            self._made.append(self.matrix.make())
        return self._made[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n_rows, n_columns = self.matrix.shape
        return n_rows, n_columns

    def parts(self) -> Iterator[Part]:
        """The cells, few at a time, without the matrix if it is not there yet."""
        matrix = self._made[0] if self._made else self.matrix
        return (Unpacked(matrix) if isinstance(matrix, np.ndarray) else matrix).parts()

    def every(self, step: int) -> NDArray[np.float64]:
        """Every so many-th row, the first one among them."""
        n_rows, n_columns = self.shape
        few = np.empty((-(-n_rows // step), n_columns))
        for rows, columns, cells in self.parts():
            begin = rows.start or 0
            first = -(-begin // step)
            taken = cells[first * step - begin :: step]
            few[first : first + len(taken), columns] = taken
        return few

    def let_go(self) -> None:
        """Free the matrix, if it can be made again."""
        self._made.clear()


@dataclass(frozen=True)
class TargetCode:
    """What a learner is really fitted on, and the way back from its raw scores.

    Classes that do not occur among the training rows are left out and get probability 0; values and grades are
    brought to mean 0 and deviation 1, so that penalties and learning rates mean the same at any scale of y.

    Parameters
    ----------
    task : Task
        What is predicted.
    n_classes : int
        Number of classes K, occurring or not; 1 for values and scores.
    classes : tuple of int
        Codes that occur; empty for values and grades.
    mean, scale : float
        Weighted mean and standard deviation of values or grades; scale 1 where y is constant.
    is_constant : bool
        Whether there is nothing to learn: one class or one value only.
    low, high : float
        Least and greatest of the values that count, standardised; infinite for classes and grades.
    """

    task: Task
    n_classes: int
    classes: tuple[int, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    is_constant: bool = False
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def learn(cls, task: Task, n_classes: int, sample: Sample) -> TargetCode:
        """Learn the code from training rows."""
        if task.is_classification:
            classes = tuple(int(c) for c in np.unique(sample.y))
            return cls(task, n_classes, classes, is_constant=len(classes) == 1)
        y = np.asarray(sample.y, dtype=np.float64)
        is_constant = bool(np.ptp(y) == 0.0)
        mean = float(y[0]) if is_constant else float(np.average(y, weights=sample.weight))
        scale = 1.0 if is_constant else float(np.sqrt(np.average((y - mean) ** 2, weights=sample.weight)))
        code = cls(task, n_classes, (), mean, scale if scale > 0.0 else 1.0, is_constant)
        if task is not Task.REGRESSION:
            return code
        # The mean lies between the least and the greatest: 0 changes neither, but where no row counts.
        counted = code.encode(y if sample.weight is None else y[sample.weight > 0.0])
        return replace(code, low=float(counted.min(initial=0.0)), high=float(counted.max(initial=0.0)))

    @property
    def n_raw(self) -> int:
        """Raw scores per row: one for values, grades and two classes, else one per occurring class."""
        return len(self.classes) if len(self.classes) > 2 else 1

    def encode(self, y: NDArray[Any]) -> NDArray[Any]:
        """Codes among the occurring classes (int64; -1: does not occur), or standardised values (float64)."""
        if not self.task.is_classification:
            return (np.asarray(y, dtype=np.float64) - self.mean) / self.scale
        place = np.full(max(self.n_classes, max(self.classes) + 1), -1, dtype=np.int64)
        place[list(self.classes)] = np.arange(len(self.classes))
        codes: NDArray[np.int64] = place[np.asarray(y, dtype=np.int64)]
        return codes

    def start(self, y: NDArray[Any], weight: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Raw scores of shape (n_raw,) of the best constant prediction, for encoded `y`."""
        if not self.task.is_classification or self.is_constant:
            return np.zeros(self.n_raw)
        share = np.bincount(y, weights=weight, minlength=len(self.classes)) + 1e-9
        logs: NDArray[np.float64] = np.log(share / share.sum())
        return logs if self.n_raw > 1 else np.array([logs[1] - logs[0]])

    def decode(self, raw: NDArray[np.float64], beyond: float = math.inf) -> NDArray[np.float64]:
        """Probabilities of shape (n_rows, n_classes) or values of shape (n_rows,) from raw scores (n_rows, n_raw).

        Values lie at most `beyond` standard deviations outside of the training rows' range: nothing else bounds what a
        network or a line says of rows unlike all others.
        """
        if not self.task.is_classification:
            held = np.minimum(np.maximum(raw[:, 0], self.low - beyond), self.high + beyond)
            return held * self.scale + self.mean
        if self.is_constant:
            return self.spread(np.ones((len(raw), 1)))
        return self.spread(softmax(raw) if self.n_raw > 1 else both_classes(expit(raw[:, 0])))

    def spread(self, proba: NDArray[np.float64]) -> NDArray[np.float64]:
        """Columns of the occurring classes put in their places among all classes."""
        if len(self.classes) == self.n_classes:
            return proba
        spread = np.zeros((len(proba), self.n_classes))
        spread[:, list(self.classes)] = proba
        return spread

    def losses(self, y: NDArray[Any], raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log loss or squared error of each row, from raw scores and encoded `y`."""
        each: NDArray[np.float64]
        if not self.task.is_classification:
            each = (raw[:, 0] - y) ** 2
        elif self.n_raw == 1:
            each = np.logaddexp(0.0, np.where(y == 1, -raw[:, 0], raw[:, 0]))
        else:
            top = raw.max(axis=1)
            powers = raw - top[:, None]
            np.exp(powers, out=powers)
            each = top + np.log(powers.sum(axis=1)) - raw[np.arange(len(y)), y]
        return each

    def loss(self, y: NDArray[Any], raw: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> float:
        """Mean of `losses`, probabilities held above 1e-15; smaller is better."""
        each = self.losses(y, raw)
        if self.task.is_classification:
            each = np.minimum(each, -np.log(1e-15))
        return float(np.average(each, weights=weight))

    def known(self, sample: Sample) -> Sample | None:
        """The rows whose class occurs, which is all of them for values and grades; None if there is none."""
        if not self.task.is_classification:
            return sample
        is_known = np.isin(sample.y, self.classes)
        if is_known.all() or not is_known.any():
            return sample if len(is_known) and is_known[0] else None
        weight = None if sample.weight is None else sample.weight[is_known]
        known = Sample(sample.X[is_known], sample.y[is_known], weight, categorical=sample.categorical)
        sample.let_go()
        return known


def softmax(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities from raw scores, row by row."""
    # In place: with many classes new memory takes longer than the arithmetic.
    share: NDArray[np.float64] = raw - raw.max(axis=1, keepdims=True)
    np.exp(share, out=share)
    share /= share.sum(axis=1, keepdims=True)
    return share


def both_classes(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two columns from the probability of the second class."""
    return np.column_stack([1.0 - p, p])


def leaf_offsets(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where the numbers of each tree's leaves begin when all trees are counted through."""
    return np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64)


class Learner(ABC):
    """A model on a numeric matrix, for one task.

    Parameters
    ----------
    task : Task
        What is predicted.
    n_classes : int
        Number of classes; 1 for values and scores.
    params : mapping
        Hyper-parameters, with the names used in the model's search space and portfolio.
    seed : int
        Seed of whatever is random.
    """

    def __init__(self, task: Task, n_classes: int, params: Mapping[str, Any], seed: int) -> None:
        self.task, self.n_classes, self.params, self.seed = task, n_classes, dict(params), seed

    #: Validation loss after each round (smaller is better), if the learner is grown in rounds and was given `valid`.
    curve_: NDArray[np.float64] | None = None
    #: Whether the time ran out before the learner was done: what is there is valid but smaller than asked for.
    is_cut_short_: bool = False
    _reading_s: float = 0.0

    @abstractmethod
    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> Learner:
        """Fit on `train`; `valid` is watched for early stopping only, through `curve_`.

        Stops in chunks (trees, epochs, iterations) when `budget` is over and keeps what it has, if that can predict.

        Raises
        ------
        OutOfTime
            The time was over before anything that can predict was there.
        """

    @abstractmethod
    def predict(self, X: NDArray[np.float64], n_threads: int = 1) -> NDArray[np.float64]:
        """Probabilities of shape (n_rows, n_classes), rows summing to 1; or values or scores of shape (n_rows,).

        The number of threads changes no bit of them; learners that are soon done use one whatever it is.
        """

    def truncate(self, n_rounds: int) -> None:  # noqa: B027  (most learners are not grown in rounds)
        """Use the first `n_rounds` rounds only; nothing to do for learners not grown in rounds."""

    def settle(self) -> None:  # noqa: B027
        """Let go of what only another number of rounds would need: none will be asked for."""

    def unpack(self) -> None:  # noqa: B027  (most learners take little memory as they are)
        """Have at hand what `predict` needs; until then each prediction reads it anew, a few trees at a time."""

    @property
    def reading_s(self) -> float:
        """Seconds of the last prediction that went into reading what was not at hand."""
        return self._reading_s

    @property
    def n_rounds(self) -> int | None:
        """Rounds in use; None for learners not grown in rounds."""
        return None

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees in use; 0 for learners without trees."""
        return 0

    @property
    def n_trees(self) -> int:
        """Trees in use; 0 for learners without trees."""
        return 0

    def leaves(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of each row's leaf in each tree, unique among all, of shape (n_rows, n_trees); -1: not counted."""
        return np.empty((len(X), 0), dtype=np.int64)

    @property
    def n_parameters(self) -> int:
        """Size: leaves of all trees in use, or coefficients."""
        return 0

    def feature_gains(self) -> NDArray[np.float64] | None:
        """How much the loss on the training rows was lowered by splits on each column; None: it is not known."""
        return None


@dataclass(frozen=True)
class ModelSpec:
    """One model of the catalogue.

    Parameters
    ----------
    name : str
        Its name in `estimators=`, the leaderboard and the card.
    family : str
        linear, tree_based, neural_networks or ensemble: the seed's taxonomy.
    tasks : frozenset of Task
        Tasks it can do.
    view : str
        The feature view it is given unless a configuration names another one (`view_of`): "tree" (numbers with gaps,
        native category codes), "target" (numbers with gaps, cross-fitted target statistics for categories),
        "engineered" (both, and arithmetic on pairs of numbers), "dense" (imputed, scaled, one-hot) or "piecewise" (the
        same, and numbers spread over their quantile bins); the baseline's is "constant" (no features).
    build : callable
        `build(task, n_classes, params, seed)` → Learner.
    space : SearchSpace
        What Bayesian optimisation may vary.
    portfolio : tuple of mapping
        Configurations known to be good, best first.
    use_cases, pros, cons : tuple of str
        In words, for recommendation, card and report.
    requires : str or None
        Optional package it needs; the spec is left out where it is absent.
    is_named_only : bool
        Whether it takes part only where it is named: beside all others it was not shown to lower the error over many
        tables. Networks also where `DataProfile.is_short_of_rounds`.
    """

    name: str
    family: str
    tasks: frozenset[Task]
    view: str
    build: Callable[[Task, int, Mapping[str, Any], int], Learner]
    space: SearchSpace
    portfolio: tuple[Mapping[str, Any], ...]
    use_cases: tuple[str, ...]
    pros: tuple[str, ...]
    cons: tuple[str, ...]
    requires: str | None = None
    is_named_only: bool = False

    def view_of(self, params: Mapping[str, Any]) -> str:
        """The feature view of a configuration: features are searched like any other hyper-parameter."""
        return str(params.get(VIEW, self.view))

    def learner(self, task: Task, n_classes: int, params: Mapping[str, Any], seed: int) -> Learner:
        """An unfitted learner of a configuration, for rows and target as they are; `build.learner_of` changes them."""
        own = {name: value for name, value in params.items() if name not in (VIEW, SAMPLING, TRANSFORM)}
        return self.build(task, n_classes, own, seed)
