"""The graph half of gradient boosting: each library's own trees, read as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.exceptions import NotExportable
from automl_wf.model_selection.boosting import BoostedLearner, CatBoost, LightGBM, XGBoost
from automl_wf.model_selection.linear_onnx import emit_constant, emit_target
from automl_wf.model_selection.trees_onnx import GREATER, LEQ, LESS, MEMBER, TreeArrays, emit_sum, stump


def emit(learner: BoostedLearner, builder: GraphBuilder, X: str) -> str:
    """Value of shape (rows, K) with probabilities or (rows, 1) with values, from `X` of shape (rows, n_features)."""
    target = learner.target_
    if not learner.n_rounds:
        return emit_target(target, builder, emit_constant(builder, X, learner.start_))
    if isinstance(learner, LightGBM):
        trees = [_lightgbm_tree(block, i % target.n_raw) for i, block in enumerate(lightgbm_blocks(learner))]
        return emit_target(target, builder, emit_sum(builder, X, trees, target.n_raw))
    cells = builder.cast(builder.cast(X, "float"), "double")
    if isinstance(learner, XGBoost):
        trees = [_xgboost_tree(tree, i % target.n_raw) for i, tree in enumerate(learner.trees())]
        start = learner.start_
    elif isinstance(learner, CatBoost):
        trees, start = _catboost_trees(learner.description(), learner.n_rounds, target.n_raw)
    else:
        raise NotExportable(f"No graph is known for {type(learner).__name__}; add one to boosting_onnx.py.")
    total = builder.op("Add", emit_sum(builder, cells, trees, target.n_raw), builder.constant(start))
    return emit_target(target, builder, total)


def lightgbm_blocks(learner: LightGBM) -> Iterator[dict[str, str]]:
    """Name and value of each line of each tree in use, in LightGBM's text format, which keeps every digit."""
    blocks = chain.from_iterable(text.split("\nTree=")[1:] for text in learner.descriptions())
    for block in islice(blocks, learner.n_trees):
        lines = block.partition("\n\n")[0].splitlines()[1:]
        yield dict(line.split("=", 1) for line in lines if "=" in line)


def _lightgbm_tree(block: dict[str, str], target: int) -> TreeArrays:
    """LightGBM numbers leaves as `~leaf` too. Bits of a decision: 1 categorical, 2 missing to the left, 4 and 8 how."""
    if block.get("is_linear", "0") != "0":
        raise NotExportable("Linear trees of LightGBM have no exact graph; fit without linear_tree.")
    leaves = np.array(block["leaf_value"].split(), dtype=np.float64)
    if int(block["num_leaves"]) == 1:
        return stump(leaves, target)
    decision = np.array(block["decision_type"].split(), dtype=np.int64)
    threshold = np.array(block["threshold"].split(), dtype=np.float64)
    is_member, missing = (decision & 1) == 1, (decision >> 2) & 3
    if np.any(missing[~is_member] == 1):
        raise NotExportable("LightGBM's zero_as_missing has no exact graph; fit without it.")
    # Where no cell was missing in `fit`, LightGBM reads a missing one as 0.
    to_left = np.where(missing == 2, (decision & 2) > 0, threshold >= 0.0)
    return TreeArrays(
        feature=np.array(block["split_feature"].split(), dtype=np.int64),
        mode=np.where(is_member, MEMBER, LEQ).astype(np.uint8),
        split=np.where(is_member, 0.0, threshold),
        is_true_for_nan=(to_left & ~is_member).astype(np.int64),
        on_true=np.array(block["left_child"].split(), dtype=np.int64),
        on_false=np.array(block["right_child"].split(), dtype=np.int64),
        leaves=leaves,
        members=_lightgbm_members(block, threshold[is_member].astype(int)),
        target=target,
    )


def _lightgbm_members(block: dict[str, str], sets: Any) -> tuple[Any, ...]:
    """Category codes that go left, from the bits of 32-bit words."""
    if not len(sets):
        return ()
    bounds = np.array(block["cat_boundaries"].split(), dtype=np.int64)
    words = np.array(block["cat_threshold"].split(), dtype=np.uint32)
    bits = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
    return tuple(np.flatnonzero(bits[32 * bounds[s] : 32 * bounds[s + 1]]).astype(np.float64) for s in sets)


def _xgboost_tree(tree: dict[str, Any], target: int) -> TreeArrays:
    """XGBoost asks `float32(x) < threshold`; nodes and leaves share one numbering, which is taken apart here."""
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    is_inner = left >= 0
    if not is_inner.any():
        return stump(conditions, target)
    place = np.where(is_inner, np.cumsum(is_inner) - 1, ~(np.cumsum(~is_inner) - 1))
    return TreeArrays(
        feature=np.array(tree["split_indices"], dtype=np.int64)[is_inner],
        mode=np.full(int(is_inner.sum()), LESS, np.uint8),
        split=conditions[is_inner],
        is_true_for_nan=np.array(tree["default_left"], dtype=np.int64)[is_inner],
        on_true=place[left[is_inner]],
        on_false=place[right[is_inner]],
        leaves=conditions[~is_inner],
        target=target,
    )


def _catboost_trees(description: dict[str, Any], n_rounds: int, n_raw: int) -> tuple[list[TreeArrays], Any]:
    """Oblivious trees as full binary ones, the last split at the root, so that leaves keep CatBoost's numbers."""
    scale, bias = description["scale_and_bias"]
    is_true_for_nan = {
        feature["feature_index"]: int(feature["nan_value_treatment"] == "AsTrue")
        for feature in description["features_info"]["float_features"]
    }
    trees = []
    for tree in description["oblivious_trees"][:n_rounds]:
        values = np.array(tree["leaf_values"], dtype=np.float64) * scale
        leaves = values if n_raw == 1 else values.reshape(-1, n_raw)
        trees.append(_oblivious_tree(tree["splits"] or [], leaves, is_true_for_nan))
    return trees, np.broadcast_to(np.array(bias, dtype=np.float64), n_raw)


def _oblivious_tree(splits: list[dict[str, Any]], leaves: Any, is_true_for_nan: dict[int, int]) -> TreeArrays:
    if not splits:
        return stump(leaves)
    levels = splits[::-1]
    repeats = 2 ** np.arange(len(levels))
    features = np.array([split["float_feature_index"] for split in levels], dtype=np.int64)
    n_nodes = 2 ** len(levels) - 1
    child = 2 * np.arange(n_nodes) + 1
    return TreeArrays(
        feature=np.repeat(features, repeats),
        mode=np.full(n_nodes, GREATER, np.uint8),
        split=np.repeat([np.float64(np.float32(split["border"])) for split in levels], repeats),
        is_true_for_nan=np.repeat([is_true_for_nan[int(f)] for f in features], repeats),
        on_true=np.where(child + 1 < n_nodes, child + 1, ~(child + 1 - n_nodes)),
        on_false=np.where(child < n_nodes, child, ~(child - n_nodes)),
        leaves=leaves,
    )
