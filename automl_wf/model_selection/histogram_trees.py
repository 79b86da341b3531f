"""Gradient boosting that sees rows only through sums: histograms of gradients, which several tables can add up.

The algorithm is split in two. `grow` decides: it asks for histograms and answers with splits and leaves. `BoostedRows`
holds the rows of one table and answers. With one table this is ordinary histogram boosting (`HistogramTrees.fit`);
with several, whose answers are added, it grows the very trees of the tables put together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from automl_wf.core.budget import Budget
from automl_wf.core.sketch import QuantileSketch
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import Learner, Sample, TargetCode, leaf_offsets, softmax
from automl_wf.model_selection.trees_onnx import LEQ, TreeArrays, stump

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CELLS_AT_ONCE = 2_000_000
_SKETCH_SIZE = 256
_ABOVE_ALL = float(np.finfo(np.float64).max)
#: Range of each setting; whole numbers where the ends are.
_BOUNDS: dict[str, tuple[float, float]] = {
    "n_rounds": (1, 100_000),
    "learning_rate": (1e-6, 1.0),
    "max_depth": (1, 12),
    "max_bins": (2, 65_536),
    "min_rows_leaf": (1, 10**9),
    "l2": (0.0, 1e9),
    "validation": (0.0, 0.9),
    "patience": (1, 100_000),
}
#: Gains below this share of what a node has to be split for are rounding.
_LEAST_GAIN = 1e-10
_LEAST_CURVATURE = 1e-12


@dataclass(frozen=True)
class BoostingSettings:
    """How trees are grown.

    Parameters
    ----------
    n_rounds : int, default=200
        Most rounds; a round grows one tree, or one per class where there are more than two.
    learning_rate : float, default=0.1
        What leaves are multiplied by.
    max_depth : int, default=5
        Depth of the trees.
    max_bins : int, default=64
        Most bins of a feature, missing apart.
    min_rows_leaf : int, default=20
        Fewest rows of a leaf.
    l2 : float, default=1.0
        Penalty on leaves, beside the sum of the second derivatives.
    validation : float, default=0.1
        Share of the rows kept back to end the rounds by; 0: all rounds are run.
    patience : int, default=20
        Rounds without a better loss on those rows after which growing ends.

    Raises
    ------
    InvalidParameter
        A setting is out of its range.
    """

    n_rounds: int = 200
    learning_rate: float = 0.1
    max_depth: int = 5
    max_bins: int = 64
    min_rows_leaf: int = 20
    l2: float = 1.0
    validation: float = 0.1
    patience: int = 20

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            is_whole = isinstance(low, int)
            is_number = isinstance(value, Integral if is_whole else Real) and not isinstance(value, bool)
            if not is_number or not low <= float(value) <= high:
                raise InvalidParameter(
                    f"The {name!r} of boosted trees must be {'a whole' if is_whole else 'a'} number from {low:g} to "
                    f"{high:g}. Got {value!r} instead."
                )


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of all features, counted through: those of a feature lie side by side, its missing values last.

    Parameters
    ----------
    edges : tuple of ndarray
        Per feature, ascending; the last one is above all values, so that what is missing can be split off.
    """

    edges: tuple[Floats, ...]
    first: Ints = field(init=False)
    n_bins: int = field(init=False)

    def __post_init__(self) -> None:
        ends = np.cumsum([0, *(len(e) + 2 for e in self.edges)])
        object.__setattr__(self, "first", ends[:-1])
        object.__setattr__(self, "n_bins", int(ends[-1]))

    @classmethod
    def cut(cls, sketches: Iterable[QuantileSketch], n_bins: Sequence[int], n_kept: Sequence[int]) -> Bins:
        """Bins of about equal numbers of rows.

        Parameters
        ----------
        sketches : iterable of QuantileSketch
            One per feature.
        n_bins : sequence of int
            Most bins of each feature.
        n_kept : sequence of int
            Fewest bins of each feature: empty ones are added, so that their number tells nothing of the rows.

        Returns
        -------
        Bins
        """
        edges = []
        for sketch, most, fewest in zip(sketches, n_bins, n_kept, strict=True):
            found = sketch.edges(most)
            edges.append(np.append(found, np.full(max(fewest - len(found), 1), _ABOVE_ALL)))
        return cls(tuple(edges))

    def of(self, X: Floats) -> NDArray[np.int32]:
        """Bin of each cell."""
        codes = np.empty(X.shape, dtype=np.int32)
        for j, edges in enumerate(self.edges):
            place = np.searchsorted(edges, X[:, j])
            codes[:, j] = self.first[j] + np.where(np.isnan(X[:, j]), len(edges) + 1, place)
        return codes


@dataclass(frozen=True, eq=False)
class Step:
    """What the rows are told, and which sums they are asked for.

    At depth d a tree has 2^d places; the children of place i are 2i and 2i + 1, and a node that is not split sends all
    its rows to the first. So every step of one depth is of one shape, whatever the tree looks like.

    Parameters
    ----------
    depth : int
        Depth that histograms are asked for. At 0 the trees of a round are done: leaves are added to the scores, and
        gradients are taken anew.
    feature, edge, missing_left : ndarray of shape (n_trees, 2 ** (d - 1))
        The splits of the depth before (of the last one, where `depth` is 0): feature (-1: none), place of the edge
        among its edges, and whether missing values go to the first child. Empty before the first tree.
    side : ndarray of shape (n_trees, 2 ** (depth - 1))
        Child of each place whose histogram is asked for; that of its sibling is the rest of their parent's.
    leaves : ndarray of shape (n_trees, 2 ** max_depth)
        What is added to the scores of the rows of each place, where `depth` is 0.
    """

    depth: int
    feature: Ints
    edge: Ints
    missing_left: NDArray[np.bool_]
    side: Ints
    leaves: Floats


@dataclass(frozen=True, eq=False)
class Sums:
    """An answer to a `Step`; answers of several tables are added up.

    Parameters
    ----------
    histograms : ndarray of shape (3, n_trees, n_places, n_bins)
        Gradients, second derivatives and rows per bin.
    loss : ndarray of shape (2,)
        Loss of the rows kept back, and their number; where `depth` is 0.
    """

    histograms: Floats
    loss: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.histograms + other.histograms, self.loss + other.loss)


class BoostedRows:
    """The rows of one table while trees are grown.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Features.
    y : ndarray of shape (n_rows,)
        Encoded target.
    target : TargetCode
        Tells the loss.
    bins : Bins
        The bins that all tables share.
    start : ndarray of shape (n_raw,)
        Raw scores to begin with.
    settings : BoostingSettings
        How many rows are kept back.
    unit : ndarray of shape (n_rows,), default=None
        Rows of one unit, counted from 0, are kept back together; None: each row is one.
    seed : int
        Which are kept back.
    """

    def __init__(
        self,
        X: Floats,
        y: NDArray[Any],
        target: TargetCode,
        bins: Bins,
        start: Floats,
        settings: BoostingSettings,
        *,
        unit: Ints | None = None,
        seed: int,
    ) -> None:
        self._bins, self._target, self._y = bins, target, y
        self._codes = bins.of(X)
        self._raw = np.repeat(start[None, :], len(X), axis=0)
        self._place = np.zeros((target.n_raw, len(X)), dtype=np.int64)
        unit = np.arange(len(X)) if unit is None else unit
        shuffled = np.random.default_rng(seed).permutation(int(unit.max()) + 1)
        is_kept_back = np.isin(unit, shuffled[: round(settings.validation * len(shuffled))])
        self._kept_back, self._used = np.flatnonzero(is_kept_back), np.flatnonzero(~is_kept_back)

    def answer(self, step: Step) -> Sums:
        """Follow the splits, then sum what is asked for."""
        if step.feature.size:
            for tree in range(len(self._place)):
                self._descend(tree, step)
        loss = np.zeros(2)
        if step.depth == 0:
            if step.leaves.size:
                for tree, leaves in enumerate(step.leaves):
                    self._raw[:, tree] += leaves[self._place[tree]]
            self._place[:] = 0
            self._gradient, self._hessian = gradients(self._target, self._y, self._raw)
            kept = self._kept_back
            loss = np.array([self._target.losses(self._y[kept], self._raw[kept]).sum(), len(kept)])
        return Sums(np.stack([self._histograms(tree, step) for tree in range(len(self._place))], axis=1), loss)

    def _descend(self, tree: int, step: Step) -> None:
        place = self._place[tree]
        feature = step.feature[tree][place]
        rows = np.flatnonzero(feature >= 0)
        first, j = self._bins.first, feature[rows]
        bin_ = self._codes[rows, j] - first[j]
        n_edges = np.array([len(e) for e in self._bins.edges])[j]
        is_left = np.where(bin_ > n_edges, step.missing_left[tree][place[rows]], bin_ <= step.edge[tree][place[rows]])
        place *= 2
        place[rows] += ~is_left

    def _histograms(self, tree: int, step: Step) -> Floats:
        """Gradients, second derivatives and rows of the places asked for, of shape (3, n_places, n_bins)."""
        rows, place = self._used, self._place[tree][self._used]
        n_places, n_bins = 1, self._bins.n_bins
        if step.depth:
            n_places = 2 ** (step.depth - 1)
            is_asked = (place & 1) == step.side[tree][place >> 1]
            rows, place = rows[is_asked], place[is_asked] >> 1
        out = np.zeros((3, n_places * n_bins))
        width = self._codes.shape[1]
        n_at_once = max(_CELLS_AT_ONCE // width, 1)
        for first in range(0, len(rows), n_at_once):
            some = rows[first : first + n_at_once]
            cells = (self._codes[some] + (place[first : first + n_at_once] * n_bins)[:, None]).ravel()
            for k, values in enumerate((self._gradient, self._hessian)):
                out[k] += np.bincount(cells, np.repeat(values[some, tree], width), minlength=n_places * n_bins)
            out[2] += np.bincount(cells, minlength=n_places * n_bins)
        return out.reshape(3, n_places, n_bins)


def gradients(target: TargetCode, y: NDArray[Any], raw: Floats) -> tuple[Floats, Floats]:
    """First and second derivatives of the loss by the raw scores, each of shape (n_rows, n_raw).

    Half the squared error; or the log loss, whose second derivatives are scaled by K / (K - 1) where there are K > 2
    classes, since their scores are not independent of each other [1]_.

    References
    ----------
    .. [1] Friedman (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29 (5).
    """
    if not target.task.is_classification:
        return raw - y[:, None], np.ones_like(raw)
    if target.n_raw == 1:
        p = expit(raw)
        return p - (y == 1)[:, None], p * (1.0 - p)
    p = softmax(raw)
    hits = np.arange(target.n_raw) == y[:, None]
    return p - hits, p * (1.0 - p) * (target.n_raw / (target.n_raw - 1))


def grow(
    bins: Bins, n_trees: int, settings: BoostingSettings
) -> Generator[Step, Sums, tuple[list[list[TreeArrays]], int]]:
    """Ask for sums until the trees are grown.

    Parameters
    ----------
    bins : Bins
        The bins of all features.
    n_trees : int
        Trees per round.
    settings : BoostingSettings
        How they are grown.

    Yields
    ------
    Step
        What is asked; to be sent the sum of the answers.

    Returns
    -------
    rounds : list of list of TreeArrays
        All trees, round by round.
    n_best : int
        Rounds up to the smallest loss on rows kept back; all rounds where none are.

    References
    ----------
    Chen and Guestrin (2016). XGBoost: a scalable tree boosting system. KDD. (Gain and leaves by second derivatives.)
    Cheng, Fan, Jin, Liu, Chen, Papadopoulos and Yang (2021). SecureBoost: a lossless federated learning framework.
    IEEE Intelligent Systems 36 (6). (Splits found in summed histograms; here rows, not columns, are divided.)
    """
    no_splits = np.empty((n_trees, 0), dtype=np.int64)
    step = Step(0, no_splits, no_splits, no_splits.astype(bool), no_splits, np.empty((n_trees, 0)))
    rounds: list[list[TreeArrays]] = []
    best_loss, n_best, has_ended = np.inf, 0, False
    while True:
        sums = yield step
        loss = sums.loss[0] / max(sums.loss[1], 1.0)
        if sums.loss[1] == 0 or loss < best_loss:
            best_loss, n_best = loss, len(rounds)
        has_ended = has_ended or len(rounds) - n_best >= settings.patience
        if len(rounds) >= settings.n_rounds or has_ended:
            return rounds, n_best
        levels: list[_Splits] = []
        histograms = sums.histograms
        for depth in range(1, settings.max_depth + 1):
            splits = _choose(histograms, bins, settings)
            levels.append(splits)
            if depth == settings.max_depth:
                break
            sums = yield Step(
                depth, splits.feature, splits.edge, splits.missing_left, splits.smaller, np.empty((n_trees, 0))
            )
            histograms = _with_siblings(histograms, sums.histograms, splits.smaller)
        leaves = -settings.learning_rate * levels[-1].children[0] / _curvature(levels[-1].children, settings.l2)
        rounds.append([_tree(levels, leaves[t], bins, t) for t in range(n_trees)])
        # Trees that cannot be split any more end the rounds, once their leaves are judged, too.
        has_ended = bool((levels[0].feature < 0).all())
        step = Step(0, levels[-1].feature, levels[-1].edge, levels[-1].missing_left, no_splits, leaves)


@dataclass(frozen=True, eq=False)
class _Splits:
    """The splits of all places of a depth, each of shape (n_trees, n_places), and the sums of their children."""

    feature: Ints
    edge: Ints
    missing_left: NDArray[np.bool_]
    smaller: Ints
    #: Gradients, second derivatives and rows, of shape (3, n_trees, 2 n_places).
    children: Floats


def _choose(histograms: Floats, bins: Bins, settings: BoostingSettings) -> _Splits:
    """The split of each place that gains most, over all features, edges and both ways for missing values."""
    n_edges = np.array([len(e) for e in bins.edges])
    most = max(int(n_edges.max(initial=0)), 1)
    # Beyond the edges of a feature its last bin is read again; no split is allowed there.
    read = bins.first[:, None] + np.minimum(np.arange(most), n_edges[:, None])
    is_edge = np.arange(most) < n_edges[:, None]
    shape = histograms.shape[1:3]
    total = histograms[..., bins.first[0] : bins.first[0] + n_edges[0] + 2].sum(axis=-1)
    missing = histograms[..., bins.first + n_edges + 1]
    below = np.cumsum(histograms[..., read] * is_edge, axis=-1)
    left = np.stack([below, below + missing[..., None]], axis=-1)
    right = total[..., None, None, None] - left
    fits = is_edge[..., None] & (np.minimum(left[2], right[2]) >= settings.min_rows_leaf)
    parent = _worth(total, settings.l2)
    gain = np.where(fits, _worth(left, settings.l2) + _worth(right, settings.l2), -np.inf).reshape(*shape, -1)
    best = gain.argmax(axis=-1)
    gained = np.take_along_axis(gain, best[..., None], axis=-1)[..., 0] - parent
    is_split = gained > _LEAST_GAIN * np.maximum(parent, 1.0)
    lefts = np.take_along_axis(left.reshape(3, *shape, -1), best[None, ..., None], axis=-1)[..., 0]
    lefts = np.where(is_split, lefts, total)
    rights = np.where(is_split, total - lefts, 0.0)
    feature, rest = np.divmod(best, most * 2)
    has_missing = np.take_along_axis(missing[2], feature[..., None], axis=-1)[..., 0] > 0
    return _Splits(
        np.where(is_split, feature, -1),
        np.where(is_split, rest // 2, 0),
        # Where none is missing, missing values go where most rows go.
        np.where(has_missing, rest % 2 == 1, lefts[2] >= rights[2]),
        np.where(is_split & (lefts[2] < rights[2]), 0, 1),
        np.stack([lefts, rights], axis=-1).reshape(3, shape[0], -1),
    )


def _worth(sums: Floats, l2: float) -> Floats:
    worth: Floats = sums[0] ** 2 / _curvature(sums, l2)
    return worth


def _curvature(sums: Floats, l2: float) -> Floats:
    """What slopes are divided by: above 0, where there are no rows, too."""
    curvature: Floats = np.maximum(sums[1], 0.0) + l2 + _LEAST_CURVATURE
    return curvature


def _with_siblings(parents: Floats, asked: Floats, side: Ints) -> Floats:
    """Histograms of all children: those asked for, and what they leave of their parents'."""
    rest = parents - asked
    is_first = (side == 0)[None, ..., None]
    both = np.stack([np.where(is_first, asked, rest), np.where(is_first, rest, asked)], axis=3)
    return both.reshape(3, parents.shape[1], -1, parents.shape[3])


def _tree(levels: Sequence[_Splits], leaves: Floats, bins: Bins, t: int) -> TreeArrays:
    """One tree, without the places that were not split."""
    nodes: list[list[Any]] = []
    held: list[float] = []

    def add(depth: int, place: int) -> int:
        while depth < len(levels) and levels[depth].feature[t, place] < 0:
            depth, place = depth + 1, 2 * place
        if depth == len(levels):
            held.append(float(leaves[place]))
            return ~(len(held) - 1)
        splits, node = levels[depth], len(nodes)
        feature = int(splits.feature[t, place])
        split = bins.edges[feature][splits.edge[t, place]]
        nodes.append([feature, split, int(splits.missing_left[t, place]), 0, 0])
        nodes[node][3] = add(depth + 1, 2 * place)
        nodes[node][4] = add(depth + 1, 2 * place + 1)
        return node

    add(0, 0)
    if not nodes:
        return stump(np.array(held), t)
    feature, split, is_true_for_nan, on_true, on_false = (np.array(column) for column in zip(*nodes, strict=True))
    return TreeArrays(
        feature=feature,
        mode=np.full(len(nodes), LEQ, np.uint8),
        split=split,
        is_true_for_nan=is_true_for_nan,
        on_true=on_true,
        on_false=on_false,
        leaves=np.array(held),
        target=t,
    )


class HistogramTrees(Learner):
    """Boosted trees of `grow`; the parameters are those of `BoostingSettings`."""

    target_: TargetCode
    start_: Floats
    trees_: list[TreeArrays]

    @classmethod
    def of(
        cls, target: TargetCode, start: Floats, trees: Sequence[TreeArrays], params: Mapping[str, Any], seed: int
    ) -> HistogramTrees:
        """The learner of trees that were grown elsewhere."""
        learner = cls(target.task, target.n_classes, params, seed)
        learner.target_, learner.start_, learner.trees_ = target, start, list(trees)
        return learner

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> HistogramTrees:
        """Grow trees on the rows of one table; `valid` is not needed, since rows are kept back."""
        settings = BoostingSettings(**self.params)
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        y = self.target_.encode(train.y)
        self.start_, self.trees_ = self.target_.start(y, None), []
        if self.target_.is_constant:
            return self
        sketches = (QuantileSketch.of(column, size=_SKETCH_SIZE, min_rows=1) for column in train.X.T)
        n_features = train.X.shape[1]
        bins = Bins.cut(sketches, [settings.max_bins] * n_features, [1] * n_features)
        rows = BoostedRows(train.X, y, self.target_, bins, self.start_, settings, seed=self.seed)
        growing = grow(bins, self.target_.n_raw, settings)
        step = next(growing)
        while True:
            budget.check(type(self).__name__)
            try:
                step = growing.send(rows.answer(step))
            except StopIteration as done:
                rounds, n_best = done.value
                self.trees_ = [tree for trees in rounds[:n_best] for tree in trees]
                return self

    def predict(self, X: Floats, n_threads: int = 1) -> Floats:
        """Probabilities, or values."""
        raw = np.repeat(self.start_[None, :], len(X), axis=0)
        for tree in self.trees_:
            raw[:, tree.target] += tree.leaves[_leaf(tree, X)]
        return self.target_.decode(raw)

    @property
    def n_trees(self) -> int:
        """Trees in use."""
        return len(self.trees_)

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees."""
        return sum(len(tree.leaves) for tree in self.trees_)

    @property
    def n_parameters(self) -> int:
        """Leaves of all trees."""
        return self.n_leaves

    def leaves(self, X: Floats) -> NDArray[np.int64]:
        """Number of each row's leaf in each tree, unique among all."""
        if not self.trees_:
            return super().leaves(X)
        offsets = leaf_offsets([len(tree.leaves) for tree in self.trees_])
        return np.column_stack([_leaf(tree, X) + first for tree, first in zip(self.trees_, offsets, strict=True)])


def _leaf(tree: TreeArrays, X: Floats) -> Ints:
    """Leaf of each row."""
    rows, node = np.arange(len(X)), np.zeros(len(X), dtype=np.int64)
    while len(rows):
        at = node[rows]
        cells = X[rows, tree.feature[at]]
        is_true = np.where(np.isnan(cells), tree.is_true_for_nan[at] == 1, cells <= tree.split[at])
        node[rows] = np.where(is_true, tree.on_true[at], tree.on_false[at])
        rows = rows[node[rows] >= 0]
    return ~node
