"""Differences from the mean of a group in the graph: look the level up, gather its usual value, subtract."""

from __future__ import annotations

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.category_codes_onnx import level_index
from automl_wf.feature_engineering.group_statistics import GroupStatistics


def emit(transformer: GroupStatistics, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return the differences as one (N, n_features_out_) double value.

    Parameters
    ----------
    transformer : GroupStatistics
        Fitted, with at least one pair.
    builder : GraphBuilder
        Receives the nodes.
    inputs : list of str
        One (N, 1) string value per category, then one (N, p) double value.
    """
    *texts, numbers = inputs
    usual = [
        builder.op("Gather", builder.constant(table), level_index(builder, texts[c], index, len(index)), axis=0)
        for (c, _), index, table in zip(transformer.pairs_, transformer.indices_, transformer.tables_, strict=True)
    ]
    chosen = builder.columns(numbers, [j for _, j in transformer.pairs_])
    return builder.op("Sub", chosen, builder.concat(usual))
