"""Conformal intervals and sets as outputs of the graph: the same rules as `Postprocess`, number by number.

They are additional: whoever asks the graph for labels, probabilities or predictions pays next to nothing for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.postprocess import Postprocess

#: Share of rows whose truth may lie outside: that of `predict_interval`, if nothing else is asked for.
ALPHA = 0.05
#: Slack of `Postprocess.prediction_set`.
_SLACK = 1e-9


def has_conformal_outputs(post: Postprocess) -> bool:
    """Whether there are residuals, and enough of them for a finite quantile.

    Parameters
    ----------
    post : Postprocess
        Of the blend.

    Returns
    -------
    bool
        False for rankings and tiny tables: their graph has no such outputs.
    """
    return bool(post.residuals) and math.isfinite(post.residual_quantile(ALPHA))


def emit_conformal(builder: GraphBuilder, prediction: str, post: Postprocess, n_classes: int | None) -> None:
    """Declare `lower` and `upper` of shape (n,), or `in_set` of shape (n, n_classes).

    Parameters
    ----------
    builder : GraphBuilder
        Graph under construction.
    prediction : str
        [N] values, or [N, K] probabilities after the temperature.
    post : Postprocess
        Holds the residuals; without enough of them nothing is declared.
    n_classes : int or None
        None: values.
    """
    if not has_conformal_outputs(post):
        return
    quantile = post.residual_quantile(ALPHA)
    if n_classes is None:
        width = builder.constant(quantile, np.float64)
        builder.output(builder.op("Sub", prediction, width), "lower", "double", [None])
        builder.output(builder.op("Add", prediction, width), "upper", "double", [None])
    else:
        bound = builder.constant(1.0 - quantile - _SLACK, np.float64)
        builder.output(builder.op("GreaterOrEqual", prediction, bound), "in_set", "bool", [None, n_classes])


def compare_conformal(
    outputs: Mapping[str, NDArray[Any]], expected: NDArray[np.float64], post: Postprocess
) -> tuple[float, int]:
    """Graph against `Postprocess`.

    Parameters
    ----------
    outputs : mapping of str to ndarray
        What the graph said.
    expected : ndarray of shape (n_rows,) or (n_rows, n_classes)
        What `Blend.predict` said.
    post : Postprocess
        Of the blend.

    Returns
    -------
    largest : float
        Largest difference of an end of an interval; infinite if it is not there or not a number.
    n_different : int
        Rows whose sets differ.
    """
    if not has_conformal_outputs(post):
        return 0.0, 0
    if expected.ndim == 2:
        is_equal = outputs["in_set"] == post.prediction_set(expected, ALPHA)
        return 0.0, int((~is_equal.all(axis=1)).sum())
    delta = np.abs(np.column_stack([outputs["lower"], outputs["upper"]]) - post.interval(expected, ALPHA))
    return float(np.where(np.isnan(delta), np.inf, delta).max(initial=0.0)), 0
