"""Decision tree, random forest and extra trees: scikit-learn's, grown in chunks that a deadline can stop.

Kept is what the trees predict by, packed, with their leaves in probabilities or standardised values; all cells are
compared as float32, as scikit-learn does, so that the graph can repeat every comparison.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.core.budget import Budget
from automl_wf.core.kept_matrix import Unpacked
from automl_wf.exceptions import OutOfTime
from automl_wf.model_selection.base import Learner, Sample, TargetCode, both_classes, leaf_offsets

_Matrix = NDArray[np.float64]
_FLOAT32_MAX = float(np.finfo(np.float32).max)
#: Trees that are grown before they are packed, and that are unpacked together.
_GROWN_AT_A_TIME, _READ_AT_A_TIME = 20, 4
#: Rows that one thread takes down the trees at a time: so many at most and, where there are several, at least.
_ROWS_PER_BLOCK, _LEAST_ROWS_PER_BLOCK = 20_000, 200


def as_float32(given: _Matrix | Sample) -> NDArray[np.float32]:
    """What scikit-learn's trees see of a matrix or sample; what float32 cannot hold is put at its ends."""
    single = np.empty(given.shape, dtype=np.float32)
    for rows, columns, cells in given.parts() if isinstance(given, Sample) else Unpacked(given).parts():
        np.clip(cells, -_FLOAT32_MAX, _FLOAT32_MAX, out=single[rows, columns], casting="unsafe")
    return single


def in_blocks(
    predict: Callable[[NDArray[Any]], _Matrix], X: NDArray[Any], n_threads: int, most_rows: int = _ROWS_PER_BLOCK
) -> _Matrix:
    """What `predict` says of the rows, taken block by block and as many blocks at a time as there are threads."""
    n_rows = max(min(most_rows, -(-len(X) // n_threads)), _LEAST_ROWS_PER_BLOCK)
    blocks = [X[i : i + n_rows] for i in range(0, max(len(X), 1), n_rows)]
    if n_threads == 1 or len(blocks) == 1:
        return np.concatenate([predict(block) for block in blocks])
    with ThreadPoolExecutor(n_threads) as pool:
        return np.concatenate(list(pool.map(predict, blocks)))


@dataclass(frozen=True, eq=False)
class PackedTree:
    """What a tree of scikit-learn predicts by, in about a fifth of its memory.

    Parameters
    ----------
    n_features, max_depth : int
        Columns of the matrix, and the depth.
    kind : type
        scikit-learn's `Tree`.
    nodes : numpy.dtype
        What it keeps of a node.
    is_inner, is_missing_left : ndarray of uint8
        A bit for each node: whether it asks something; and for each that does, whether missing cells go left.
    left, right, feature, threshold : ndarray of shape (n_inner,)
        The nodes that follow, and what is asked.
    leaves : ndarray of shape (n_leaves, n_outputs, n_classes)
        What the leaves hold.
    """

    n_features: int
    max_depth: int
    kind: type[Any]
    nodes: np.dtype[Any]
    is_inner: NDArray[np.uint8]
    is_missing_left: NDArray[np.uint8]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.unsignedinteger[Any]]
    threshold: _Matrix
    leaves: _Matrix

    @classmethod
    def of(cls, tree: Any) -> PackedTree:
        """Pack a `sklearn.tree._tree.Tree`."""
        state = tree.__getstate__()
        nodes, is_inner = state["nodes"], state["nodes"]["left_child"] >= 0
        inner = nodes[is_inner]
        return cls(
            n_features=int(tree.n_features),
            max_depth=int(state["max_depth"]),
            kind=type(tree),
            nodes=nodes.dtype,
            is_inner=np.packbits(is_inner),
            is_missing_left=np.packbits(inner["missing_go_to_left"].astype(np.bool_)),
            left=inner["left_child"].astype(np.int32),
            right=inner["right_child"].astype(np.int32),
            feature=inner["feature"].astype(np.min_scalar_type(tree.n_features)),
            threshold=inner["threshold"].copy(),
            leaves=state["values"][~is_inner],
        )

    @property
    def n_leaves(self) -> int:
        """Its leaves."""
        return len(self.leaves)

    def unpacked(self) -> Any:
        """The tree; what was known of training rows in its nodes is zero."""
        n_inner = len(self.left)
        is_inner = np.unpackbits(self.is_inner, count=n_inner + self.n_leaves).view(np.bool_)
        nodes = np.zeros(len(is_inner), dtype=self.nodes)
        for name in ("left_child", "right_child"):
            nodes[name] = -1
        for name in ("feature", "threshold"):
            nodes[name] = -2
        nodes["left_child"][is_inner], nodes["right_child"][is_inner] = self.left, self.right
        nodes["feature"][is_inner], nodes["threshold"][is_inner] = self.feature, self.threshold
        nodes["missing_go_to_left"][is_inner] = np.unpackbits(self.is_missing_left, count=n_inner)
        values = np.zeros((len(nodes), *self.leaves.shape[1:]))
        values[~is_inner] = self.leaves
        n_outputs, n_classes = self.leaves.shape[1:]
        tree = self.kind(self.n_features, np.full(n_outputs, n_classes, dtype=np.intp), n_outputs)
        tree.__setstate__({"max_depth": self.max_depth, "node_count": len(nodes), "nodes": nodes, "values": values})
        return tree


class TreeLearner(Learner):
    """The mean of scikit-learn trees on float32 cells, NaN allowed."""

    #: Numbers that the leaves of one learner may hold: bounds memory, package and export time.
    MAX_LEAF_NUMBERS: ClassVar[int] = 3_000_000
    MAX_LEAVES_PER_TREE: ClassVar[int] = 15_000

    target_: TargetCode
    packed_: tuple[PackedTree, ...] = ()
    _trees: list[Any] | None = None

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> TreeLearner:
        """Grow the trees; `valid` is not needed."""
        budget.check(type(self).__name__)
        self._n_threads = n_threads
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        self.packed_, self._trees = (), None
        if not self.target_.is_constant:
            if "float32" not in train.cache:
                train.cache["float32"] = as_float32(train)
            y = self.target_.encode(train.y)
            self.packed_ = tuple(self._grow(train.cache["float32"], y, train.weight, budget))
        return self

    @abstractmethod
    def _grow(
        self, X: NDArray[np.float32], y: NDArray[Any], weight: _Matrix | None, budget: Budget
    ) -> list[PackedTree]:
        """Fitted trees."""

    @property
    def trees_(self) -> list[Any]:
        """The trees as `sklearn.tree._tree.Tree` objects."""
        return [tree.unpacked() for tree in self.packed_] if self._trees is None else self._trees

    def _some_trees(self) -> Iterator[list[Any]]:
        """The trees, a few at a time."""
        self._reading_s = 0.0
        for some in gen_batches(len(self.packed_), _READ_AT_A_TIME):
            start = time.perf_counter()
            trees = [tree.unpacked() for tree in self.packed_[some]] if self._trees is None else self._trees[some]
            self._reading_s += time.perf_counter() - start
            yield trees

    def unpack(self) -> None:
        """Unpack the trees, which are else unpacked for each prediction, a few at a time."""
        self._trees = self.trees_

    def __getstate__(self) -> dict[str, Any]:
        """The packed trees only."""
        return {name: value for name, value in vars(self).items() if name not in ("_trees", "_reading_s")}

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Probabilities, values or scores: the mean over the trees."""
        mean = self._mean_leaf(X, n_threads)
        if not self.target_.task.is_classification or self.target_.is_constant:
            return self.target_.decode(mean)
        return self.target_.spread(both_classes(mean[:, 1]) if self.target_.n_raw == 1 else mean)

    def _mean_leaf(self, X: _Matrix, n_threads: int) -> _Matrix:
        if not self.packed_:
            return np.zeros((len(X), 1))
        cells, total = as_float32(X), np.zeros((len(X), 1))
        for trees in self._some_trees():
            total = total + in_blocks(partial(_sum_of_leaves, trees), cells, n_threads)
        return total / self.n_trees

    @property
    def n_trees(self) -> int:
        """Trees in use."""
        return len(self.packed_)

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees."""
        return sum(tree.n_leaves for tree in self.packed_)

    def leaves(self, X: _Matrix) -> NDArray[np.int64]:
        """Leaf of each row in each tree."""
        cells = as_float32(X)
        trees = self.trees_
        numbers = np.column_stack([tree.apply(cells) for tree in trees]).astype(np.int64)
        return numbers + leaf_offsets([int(tree.node_count) for tree in trees])

    @property
    def n_parameters(self) -> int:
        """Leaves of all trees."""
        return self.n_leaves

    def _options(self, n_rows: int, n_trees: int) -> dict[str, Any]:
        """Parameters shared by scikit-learn's trees; leaves are capped only where the rows could exceed the cap."""
        options = {k: v for k, v in self.params.items() if k not in ("n_estimators", "bootstrap", "max_leaf_nodes")}
        numbers = max(len(self.target_.classes), 1)
        cap = min(self.MAX_LEAVES_PER_TREE, max(self.MAX_LEAF_NUMBERS // (n_trees * numbers), 32))
        asked = self.params.get("max_leaf_nodes")
        cap = cap if asked is None else min(cap, int(asked))
        could_have = n_rows // int(options.get("min_samples_leaf", 1))
        return {**options, "max_leaf_nodes": cap if could_have > cap else None, "random_state": self.seed}


def _sum_of_leaves(trees: list[Any], cells: NDArray[np.float32]) -> _Matrix:
    total: _Matrix = trees[0].predict(cells)
    for tree in trees[1:]:
        total += tree.predict(cells)
    return total


class DecisionTree(TreeLearner):
    """One tree. Parameters of scikit-learn's; `max_depth` 6 and `min_samples_leaf` 5 unless given."""

    def _grow(
        self, X: NDArray[np.float32], y: NDArray[Any], weight: _Matrix | None, budget: Budget
    ) -> list[PackedTree]:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        builder = DecisionTreeClassifier if self.task.is_classification else DecisionTreeRegressor
        model = builder(**{"max_depth": 6, "min_samples_leaf": 5, **self._options(len(X), 1)})
        return [PackedTree.of(model.fit(X, y, sample_weight=weight).tree_)]


class Forest(TreeLearner):
    """Trees grown until `n_estimators` (default 100) or the deadline is reached."""

    @abstractmethod
    def _estimator(self, options: dict[str, Any]) -> Any:
        """scikit-learn's forest for the task."""

    def _grow(
        self, X: NDArray[np.float32], y: NDArray[Any], weight: _Matrix | None, budget: Budget
    ) -> list[PackedTree]:
        n_trees = int(self.params.get("n_estimators", 100))
        options = {**self._options(len(X), n_trees), "bootstrap": self._is_bootstrapped, "n_jobs": self._n_threads}
        options.setdefault("max_features", "sqrt" if self.task.is_classification else 1.0)
        forest = self._estimator(options).set_params(warm_start=True)
        grown: list[PackedTree] = []
        while len(grown) < n_trees:
            chunk = _GROWN_AT_A_TIME if not budget.is_limited else self._next_chunk(len(grown), budget)
            if chunk == 0:
                break
            forest.set_params(n_estimators=min(len(grown) + min(chunk, _GROWN_AT_A_TIME), n_trees))
            forest.fit(X, y, sample_weight=weight)
            for estimator in forest.estimators_[len(grown) :]:
                grown.append(PackedTree.of(estimator.tree_))
                del estimator.tree_
        if not grown:
            raise OutOfTime(f"{type(self).__name__} was stopped before its first tree: its time was used up")
        self.is_cut_short_ = len(grown) < n_trees
        return grown

    def _next_chunk(self, grown: int, budget: Budget) -> int:
        """Trees that fit into a quarter of the time left, judged by those grown so far; 0: none fits."""
        if grown == 0:
            self._grown_since = time.perf_counter()
            return 0 if budget.is_over() else max(2, self._n_threads)
        seconds_per_tree = (time.perf_counter() - self._grown_since) / grown
        fitting = budget.left() / max(seconds_per_tree, 1e-9)
        return 0 if fitting < 1 else max(int(fitting / 4), 1)

    @property
    def _is_bootstrapped(self) -> bool:
        return bool(self.params.get("bootstrap", False))


class RandomForest(Forest):
    """Trees on bootstrap samples, each split the best of random features."""

    @property
    def _is_bootstrapped(self) -> bool:
        return bool(self.params.get("bootstrap", True))

    def _estimator(self, options: dict[str, Any]) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        return (RandomForestClassifier if self.task.is_classification else RandomForestRegressor)(**options)


class ExtraTrees(Forest):
    """Trees on all rows, each split at a random threshold: faster than a random forest and mostly better."""

    def _estimator(self, options: dict[str, Any]) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        return (ExtraTreesClassifier if self.task.is_classification else ExtraTreesRegressor)(**options)
