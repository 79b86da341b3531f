"""automl_wf: AutoML for raw tables, from `fit` to a verified ONNX package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from automl_wf.deployment.loading import load
from automl_wf.estimator import WorkflowClassifier, WorkflowEstimator, WorkflowRanker, WorkflowRegressor
from automl_wf.feature_engineering import (
    CategoricalFeatureEngineering,
    FeatureSelection,
    InteractionFeatures,
    NumericalFeatureEngineering,
    TemporalFeatureEngineering,
    pipeline_to_onnx,
)
from automl_wf.orchestrator import ModelDevelopmentWorkflow

try:
    __version__ = version("automl-wf")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"

__all__ = [
    "CategoricalFeatureEngineering",
    "FeatureSelection",
    "InteractionFeatures",
    "ModelDevelopmentWorkflow",
    "NumericalFeatureEngineering",
    "TemporalFeatureEngineering",
    "WorkflowClassifier",
    "WorkflowEstimator",
    "WorkflowRanker",
    "WorkflowRegressor",
    "__version__",
    "load",
    "pipeline_to_onnx",
]
