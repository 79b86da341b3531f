"""The graph half of the multilayer perceptron: the same formulas in double."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.linear_onnx import emit_target
from automl_wf.model_selection.neural import BEYOND, MLP

_STANDARD = {"relu": "Relu", "tanh": "Tanh"}


def emit(learner: MLP, builder: GraphBuilder, X: str) -> str:
    """Value of shape (rows, K) with probabilities or (rows, 1) with values, from `X` of shape (rows, n_features)."""
    value = _emit_draw_in(builder, X)
    head, weights = learner.weights_[: learner.n_head], learner.weights_[learner.n_head :]
    if head:
        value = builder.concat([value, _emit_cosines(builder, value, learner.waving_, head)])
    for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        value = _emit_activation(builder, learner.activation_, _emit_layer(builder, value, W, b))
    return emit_target(learner.target_, builder, _emit_layer(builder, value, weights[-2], weights[-1]), BEYOND)


def _emit_cosines(builder: GraphBuilder, value: str, columns: np.ndarray, head: list[np.ndarray]) -> str:
    """Mixtures of cosines, of shape (rows, n_columns * n_mixtures); columns are a batch of the matrix product."""
    frequencies, shifts, mix, bias = head
    chosen = builder.op("Gather", value, builder.constant(columns, np.int64), axis=1)
    by_column = builder.op("Unsqueeze", builder.op("Transpose", chosen, perm=[1, 0]), builder.constant([2], np.int64))
    phases = builder.op("Mul", by_column, builder.constant(frequencies[:, None, :], np.float64))
    phases = builder.op("Add", phases, builder.constant(shifts[:, None, :], np.float64))
    mixed = builder.op("MatMul", builder.op("Cos", phases), builder.constant(mix, np.float64))
    mixed = builder.op("Add", mixed, builder.constant(bias[:, None, :], np.float64))
    in_rows = builder.op("Transpose", mixed, perm=[1, 0, 2])
    return builder.op("Reshape", in_rows, builder.constant([0, bias.size], np.int64))


def _emit_layer(builder: GraphBuilder, value: str, W: np.ndarray, b: np.ndarray) -> str:
    return builder.op("Add", builder.op("MatMul", value, builder.constant(W)), builder.constant(b))


def _emit_activation(builder: GraphBuilder, name: str, z: str) -> str:
    if name in _STANDARD:
        return builder.op(_STANDARD[name], z)
    return builder.op("Mul", z, builder.op("Sigmoid", z))


def _emit_draw_in(builder: GraphBuilder, X: str) -> str:
    ninth = builder.op("Div", builder.op("Mul", X, X), builder.constant(np.array([9.0])))
    root = builder.op("Sqrt", builder.op("Add", ninth, builder.constant(np.array([1.0]))))
    return builder.op("Div", X, root)
