"""The graph half of sampling: probabilities brought back to the shares of the classes that were given."""

from __future__ import annotations

import numpy as np

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.sampling import SampledLearner


def emit(learner: SampledLearner, builder: GraphBuilder, prediction: str) -> str:
    """Value of the shape of `prediction`, which is what the learner inside predicts."""
    if not learner.task.is_classification:
        return prediction
    changed = builder.op("Mul", prediction, builder.constant(learner.ratio_))
    total = builder.op("ReduceSum", changed, builder.constant([1], np.int64), keepdims=1)
    return builder.op("Div", changed, total)
