"""Trees as one `ai.onnx.ml` 5 TreeEnsemble in double precision, built from arrays; scikit-learn's trees with it.

The operator lets a leaf add one number to one target. Trees whose leaves hold one number each (boosting, values, two
classes) are written so; leaves of several numbers are looked up: the ensemble returns each tree's leaf number, and a
table holds the rest, so that the nodes are not repeated for every class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.linear_onnx import emit_both_classes, emit_constant, emit_spread, emit_target
from automl_wf.model_selection.trees import TreeLearner

#: Modes of a node: what is asked of its feature.
LEQ, LESS, GREATER, MEMBER = 0, 1, 3, 6

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TreeArrays:
    """One tree: `n` inner nodes, the first of them its root, and leaves numbered from 0.

    Parameters
    ----------
    feature, mode, split, is_true_for_nan : ndarray of shape (n,)
        What each node asks: feature, LEQ, LESS, GREATER or MEMBER, threshold, and the answer for a missing cell.
    on_true, on_false : ndarray of shape (n,)
        Node that follows, or `~leaf` (negative) for a leaf.
    leaves : ndarray of shape (n_leaves,) or (n_leaves, n_outputs)
        What the leaves hold.
    members : tuple of ndarray
        Codes of each MEMBER node, in the order of the nodes.
    target : int
        Output that the leaves add to, where they hold one number each.
    """

    feature: _Ints
    mode: NDArray[np.uint8]
    split: _Floats
    is_true_for_nan: _Ints
    on_true: _Ints
    on_false: _Ints
    leaves: _Floats
    members: tuple[_Floats, ...] = field(default=())
    target: int = 0


def stump(leaves: _Floats, target: int = 0) -> TreeArrays:
    """A tree that is one leaf: a node whose answers both lead to it."""
    zero = np.zeros(1, np.int64)
    return TreeArrays(zero, np.zeros(1, np.uint8), np.zeros(1), zero, ~zero, ~zero, leaves, (), target)


def emit_sum(builder: GraphBuilder, X: str, trees: list[TreeArrays], n_outputs: int) -> str:
    """Value of shape (rows, n_outputs): what the leaves reached hold, summed over the trees."""
    if trees[0].leaves.ndim == 1:
        leaves = np.concatenate([tree.leaves for tree in trees])
        targets = np.repeat([tree.target for tree in trees], [len(tree.leaves) for tree in trees])
        return _emit_ensemble(builder, X, trees, leaves, targets, n_outputs)
    sizes = [len(tree.leaves) for tree in trees]
    table = np.concatenate([tree.leaves for tree in trees])
    numbers, targets = np.arange(len(table), dtype=np.float64), np.repeat(np.arange(len(trees)), sizes)
    reached = builder.cast(_emit_ensemble(builder, X, trees, numbers, targets, len(trees)), "int64")
    held = builder.op("Gather", builder.constant(table), reached, axis=0)
    return builder.op("ReduceSum", held, builder.constant([1], np.int64), keepdims=0)


def _emit_ensemble(
    builder: GraphBuilder, X: str, trees: list[TreeArrays], leaves: _Floats, targets: _Ints, n_outputs: int
) -> str:
    """One TreeEnsemble node; nodes and leaves of each tree are numbered on from those of the trees before."""
    n_nodes = np.array([len(tree.feature) for tree in trees])
    first_node = np.concatenate([[0], np.cumsum(n_nodes)[:-1]])
    n_leaves = np.array([len(tree.leaves) for tree in trees])
    node_offset = np.repeat(first_node, n_nodes)
    leaf_offset = np.repeat(np.concatenate([[0], np.cumsum(n_leaves)[:-1]]), n_nodes)

    def children(name: str) -> tuple[list[int], list[int]]:
        child = np.concatenate([getattr(tree, name) for tree in trees])
        is_leaf = child < 0
        return np.where(is_leaf, ~child + leaf_offset, child + node_offset).tolist(), is_leaf.astype(int).tolist()

    true_ids, true_leaves = children("on_true")
    false_ids, false_leaves = children("on_false")
    members = [part for tree in trees for codes in tree.members for part in (codes, [np.nan])]
    return builder.op(
        "TreeEnsemble",
        X,
        domain="ai.onnx.ml",
        aggregate_function=1,
        post_transform=0,
        n_targets=n_outputs,
        tree_roots=first_node.tolist(),
        nodes_featureids=np.concatenate([tree.feature for tree in trees]).tolist(),
        nodes_modes=np.concatenate([tree.mode for tree in trees]),
        nodes_splits=np.concatenate([tree.split for tree in trees]),
        nodes_missing_value_tracks_true=np.concatenate([tree.is_true_for_nan for tree in trees]).tolist(),
        nodes_trueleafs=true_leaves,
        nodes_truenodeids=true_ids,
        nodes_falseleafs=false_leaves,
        nodes_falsenodeids=false_ids,
        leaf_targetids=targets.tolist(),
        leaf_weights=leaves,
        membership_values=np.concatenate(members) if members else None,
    )


def emit(learner: TreeLearner, builder: GraphBuilder, X: str) -> str:
    """Value of shape (rows, K) with probabilities or (rows, 1) with values, from `X` of shape (rows, n_features)."""
    target = learner.target_
    if not learner.packed_:
        return emit_target(target, builder, emit_constant(builder, X, np.zeros(1)))
    n_outputs = max(target.n_raw, 1)
    trees = [_tree_arrays(tree, target.task.is_classification and n_outputs == 1) for tree in learner.trees_]
    cells = builder.cast(builder.cast(X, "float"), "double")
    n_trees = builder.constant(np.array([float(len(trees))]))
    mean = builder.op("Div", emit_sum(builder, cells, trees, n_outputs), n_trees)
    if not target.task.is_classification:
        return emit_target(target, builder, mean)
    return emit_spread(target, builder, emit_both_classes(builder, mean) if n_outputs == 1 else mean)


def _tree_arrays(tree: Any, is_binary: bool) -> TreeArrays:
    """Arrays of scikit-learn's tree: inner nodes and leaves numbered apart, in the order they were grown."""
    is_inner = tree.children_left >= 0
    values = tree.value[~is_inner, 0, :]
    leaves = values[:, 1] if is_binary else values[:, 0] if values.shape[1] == 1 else values
    if not is_inner.any():
        return stump(leaves)
    place = np.where(is_inner, np.cumsum(is_inner) - 1, ~(np.cumsum(~is_inner) - 1))
    return TreeArrays(
        feature=tree.feature[is_inner].astype(np.int64),
        mode=np.full(int(is_inner.sum()), LEQ, np.uint8),
        split=tree.threshold[is_inner].astype(np.float64),
        is_true_for_nan=tree.missing_go_to_left[is_inner].astype(np.int64),
        on_true=place[tree.children_left[is_inner]],
        on_false=place[tree.children_right[is_inner]],
        leaves=leaves,
    )
