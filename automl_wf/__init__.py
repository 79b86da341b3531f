"""automl_wf: AutoML for raw tables, from `fit` to a verified ONNX package."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

    __version__: str

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

#: Where each public name is defined: modules are imported when they are asked for (PEP 562), so that the command line
#: answers `--help` without scikit-learn.
_HOMES = {
    "automl_wf.deployment.loading": ("load",),
    "automl_wf.estimator": ("WorkflowClassifier", "WorkflowEstimator", "WorkflowRanker", "WorkflowRegressor"),
    "automl_wf.feature_engineering": (
        "CategoricalFeatureEngineering",
        "FeatureSelection",
        "InteractionFeatures",
        "NumericalFeatureEngineering",
        "TemporalFeatureEngineering",
        "pipeline_to_onnx",
    ),
    "automl_wf.orchestrator": ("ModelDevelopmentWorkflow",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("automl-wf")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0.0.0"
