"""Stage 3: which features are made of which columns, as unfitted recipes that every fold fits for itself."""

from __future__ import annotations

from automl_wf.feature_engineering.categorical import CategoricalFeatureEngineering
from automl_wf.feature_engineering.interaction import InteractionFeatures
from automl_wf.feature_engineering.numerical import NumericalFeatureEngineering
from automl_wf.feature_engineering.pipeline_onnx import pipeline_to_onnx
from automl_wf.feature_engineering.plan import FeaturePlan, plan_features
from automl_wf.feature_engineering.selection import FeatureSelection
from automl_wf.feature_engineering.temporal import TemporalFeatureEngineering

__all__ = [
    "CategoricalFeatureEngineering",
    "FeaturePlan",
    "FeatureSelection",
    "InteractionFeatures",
    "NumericalFeatureEngineering",
    "TemporalFeatureEngineering",
    "pipeline_to_onnx",
    "plan_features",
]
