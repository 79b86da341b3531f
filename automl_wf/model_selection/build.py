"""From a configuration to the learner that is fitted: the model, and what its rows and its target are changed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_wf.core.tasks import Task
from automl_wf.model_selection.base import SAMPLING, TRANSFORM, Learner, ModelSpec
from automl_wf.model_selection.sampling import SampledLearner
from automl_wf.model_selection.target_transform import NONE, TransformedTarget


def learner_of(spec: ModelSpec, task: Task, n_classes: int, params: Mapping[str, Any], seed: int) -> Learner:
    """An unfitted learner of a configuration.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    task, n_classes
        What is predicted.
    params : mapping
        Hyper-parameters, `sampling` and `target_transform` among them where rows or target are changed.
    seed : int
        Seed of whatever is random.

    Returns
    -------
    Learner
        To be fitted on rows and target as they are given.
    """
    learner = spec.learner(task, n_classes, params, seed)
    if params.get(TRANSFORM, NONE) != NONE:
        learner = TransformedTarget(learner, params[TRANSFORM])
    return SampledLearner(learner, params[SAMPLING]) if SAMPLING in params else learner
