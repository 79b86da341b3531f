"""The graph half of transformed targets: from the scale back to values."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.target_transform import TransformedTarget


def emit(learner: TransformedTarget, builder: GraphBuilder, prediction: str) -> str:
    """Value of shape (rows, 1), from what the learner inside predicts."""

    def number(value: float) -> str:
        return builder.constant(value, np.float64)

    held = builder.op("Min", builder.op("Max", prediction, number(learner.low_)), number(learner.high_))
    values = builder.op("Mul", held, held) if learner.transform == "sqrt" else builder.op("Exp", held)
    return builder.op("Mul", values, number(learner.factor_))
