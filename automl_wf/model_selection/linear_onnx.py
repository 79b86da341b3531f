"""The graph half of linear models, and the way from raw scores to predictions that all model families share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.base import TargetCode
from automl_wf.model_selection.linear import Baseline, LinearLearner


def emit(learner: LinearLearner | Baseline, builder: GraphBuilder, X: str) -> str:
    """Value of shape (rows, K) with probabilities or (rows, 1) with values, from `X` of shape (rows, n_features)."""
    if isinstance(learner, Baseline):
        return emit_target(learner.target_, builder, emit_constant(builder, X, learner.raw_))
    product = builder.op("MatMul", X, builder.constant(learner.coef_))
    raw = builder.op("Add", product, builder.constant(learner.intercept_))
    return emit_target(learner.target_, builder, raw, learner.beyond)


def emit_target(target: TargetCode, builder: GraphBuilder, raw: str, beyond: float = math.inf) -> str:
    """`TargetCode.decode` in the graph: raw scores of shape (rows, n_raw) to predictions."""
    if not target.task.is_classification:
        if math.isfinite(target.high + beyond):
            raw = builder.op("Max", raw, builder.constant(np.array([target.low - beyond])))
            raw = builder.op("Min", raw, builder.constant(np.array([target.high + beyond])))
        scaled = builder.op("Mul", raw, builder.constant(np.array([target.scale])))
        return builder.op("Add", scaled, builder.constant(np.array([target.mean])))
    if target.is_constant:
        return emit_spread(target, builder, emit_constant(builder, raw, np.ones(1)))
    if target.n_raw > 1:
        return emit_spread(target, builder, builder.op("Softmax", raw, axis=1))
    return emit_spread(target, builder, emit_both_classes(builder, builder.op("Sigmoid", raw)))


def emit_both_classes(builder: GraphBuilder, p: str) -> str:
    """Two columns from the probability of the second class."""
    return builder.concat([builder.op("Sub", builder.constant(np.ones(1)), p), p])


def emit_spread(target: TargetCode, builder: GraphBuilder, proba: str) -> str:
    """`TargetCode.spread` in the graph: columns of occurring classes in their places among all classes."""
    if len(target.classes) == target.n_classes:
        return proba
    places = np.zeros((len(target.classes), target.n_classes))
    places[np.arange(len(target.classes)), list(target.classes)] = 1.0
    return builder.op("MatMul", proba, builder.constant(places))


def emit_constant(builder: GraphBuilder, X: str, row: NDArray[np.float64]) -> str:
    """`row` once for each row of `X`."""
    n_rows = builder.op("Shape", X, start=0, end=1)
    shape = builder.concat([n_rows, builder.constant([len(row)], np.int64)], axis=0)
    return builder.op("Expand", builder.constant(row[None, :], np.float64), shape)
