"""Temperature, shift, class codes and labels as ONNX nodes: the same rules as `postprocess`, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.costs import Costs, DecisionRule
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.metrics import TIE
from automl_wf.model_selection.postprocess import SMALLEST_PROBABILITY

# onnx.TensorProto.INT32; ArgMax takes no booleans.
_INT32 = 6


def emit_temperature(builder: GraphBuilder, proba: str, temperature: float) -> str:
    """Scale probabilities: softmax(log(max(p, 1e-15)) / temperature).

    Parameters
    ----------
    builder : GraphBuilder
        Graph under construction.
    proba : str
        [N, K] double value.
    temperature : float
        1 adds nothing.

    Returns
    -------
    str
        [N, K] double value.
    """
    if temperature == 1.0:
        return proba
    logs = builder.op("Log", builder.op("Max", proba, builder.constant(SMALLEST_PROBABILITY, np.float64)))
    return builder.op("Softmax", builder.op("Div", logs, builder.constant(temperature, np.float64)), axis=1)


def emit_shift(builder: GraphBuilder, values: str, shift: float) -> str:
    """Shift predicted values; 0 adds nothing.

    Parameters
    ----------
    builder : GraphBuilder
        Graph under construction.
    values : str
        Double value.
    shift : float
        In units of the target.

    Returns
    -------
    str
        Double value of the same shape.
    """
    return values if shift == 0.0 else builder.op("Add", values, builder.constant(shift, np.float64))


def emit_codes(builder: GraphBuilder, proba: str, threshold: DecisionRule = None) -> str:
    """Choose a class by the rule of `decide`, with its allowance of 1e-9.

    Parameters
    ----------
    builder : GraphBuilder
        Graph under construction.
    proba : str
        [N, K] double value.
    threshold : float, Costs or None, default=None
        As for `decide`.

    Returns
    -------
    str
        [N] int64 value.
    """
    if isinstance(threshold, Costs):
        expected = builder.op("MatMul", proba, builder.constant(threshold.array))
        lowest = builder.op("ReduceMin", expected, builder.constant([1], np.int64), keepdims=1)
        bound = builder.op("Add", lowest, builder.constant(TIE, np.float64))
        return _first_true(builder, builder.op("LessOrEqual", expected, bound))
    if threshold is not None:
        p1 = builder.op("Gather", proba, builder.constant(1, np.int64), axis=1)
        bound = builder.constant(threshold - TIE, np.float64)
        return builder.cast(builder.op("GreaterOrEqual", p1, bound), "int64")
    top = builder.op("ReduceMax", proba, builder.constant([1], np.int64), keepdims=1)
    bound = builder.op("Sub", top, builder.constant(TIE, np.float64))
    return _first_true(builder, builder.op("GreaterOrEqual", proba, bound))


def _first_true(builder: GraphBuilder, flags: str) -> str:
    """Column of the first true flag of each row, [N] int64."""
    numbers = builder.op("Cast", flags, to=_INT32)
    return builder.op("ArgMax", numbers, axis=1, keepdims=0, select_last_index=0)


def emit_label(builder: GraphBuilder, codes: str, classes: Sequence[Any] | NDArray[Any]) -> str:
    """Turn class codes into labels.

    Parameters
    ----------
    builder : GraphBuilder
        Graph under construction.
    codes : str
        [N] int64 value.
    classes : sequence of shape (n_classes,)
        Integers, floats, booleans or strings.

    Returns
    -------
    str
        [N] value of type `label_dtype(classes)`.
    """
    return builder.op("Gather", builder.constant(_class_array(classes)), codes, axis=0)


def label_dtype(classes: Sequence[Any] | NDArray[Any]) -> Literal["int64", "double", "bool", "string"]:
    """Type of the graph's label output.

    Parameters
    ----------
    classes : sequence of shape (n_classes,)
        Integers, floats, booleans or strings.

    Returns
    -------
    {"int64", "double", "bool", "string"}
        For `GraphBuilder.output`.
    """
    kinds: dict[str, Literal["int64", "double", "bool", "string"]] = {"i": "int64", "f": "double", "b": "bool"}
    return kinds.get(_class_array(classes).dtype.kind, "string")


def _class_array(classes: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Classes as int64, float64, bool or text."""
    array = np.asarray(classes)
    if array.dtype == object:
        array = np.asarray(array.tolist())
        if array.dtype.kind in "US" and not all(isinstance(c, str) for c in classes):
            array = np.asarray([str(c) for c in classes])
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    return array if array.dtype.kind == "b" else array.astype(object)
