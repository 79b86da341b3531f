"""The graph half of boosting by summed histograms."""

from __future__ import annotations

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.histogram_trees import HistogramTrees
from automl_wf.model_selection.linear_onnx import emit_constant, emit_target
from automl_wf.model_selection.trees_onnx import emit_sum


def emit(learner: HistogramTrees, builder: GraphBuilder, X: str) -> str:
    """Value of shape (rows, K) with probabilities or (rows, 1) with values, from `X` of shape (rows, n_features)."""
    target = learner.target_
    if not learner.trees_:
        return emit_target(target, builder, emit_constant(builder, X, learner.start_))
    total = emit_sum(builder, X, learner.trees_, target.n_raw)
    return emit_target(target, builder, builder.op("Add", total, builder.constant(learner.start_)))
