"""Numbers as they are, in the graph."""

from __future__ import annotations

from automl_wf.core.graph import GraphBuilder
from automl_wf.feature_engineering.numeric_pass import NumericPass


def emit(transformer: NumericPass, builder: GraphBuilder, inputs: list[str]) -> str:
    """Return the one (N, p) double value unchanged."""
    return inputs[0]
