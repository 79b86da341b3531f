"""Subject: everything a package is made from, in plain types, independent of how the workflow found it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.schema import Schema
from automl_wf.core.tasks import Task

if TYPE_CHECKING:
    from onnx import ModelProto

Facts = Mapping[str, Any]
_TRAINING = (
    "automl-wf", "scikit-learn", "numpy", "pandas", "scipy", "joblib", "scikit-optimize", "lightgbm", "xgboost",
    "catboost", "onnx", "onnxruntime", "skl2onnx",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is packaged.

    Parameters
    ----------
    name, version, created : str
        Name of the model, its version, and the time of `fit` in ISO 8601.
    task : Task
        What is predicted.
    classes : ndarray of shape (n_classes,) or None
        The classes as the user wrote them, in the order of their codes.
    target_name : str
        Name of y.
    schema : Schema
        The input columns.
    estimator, preprocessor : object
        The fitted estimator, and coercion with features; both are pickled.
    to_onnx : callable
        `to_onnx()` → (ModelProto, parity facts). Raises NotExportable or ParityError, saying why.
    predict : callable
        `predict(X)` → {"label": …, "probabilities": …} or {"prediction": …}, never through ONNX. `X` is a DataFrame, or
        a float64 array when the schema's layout is "array".
    reference : DataFrame or ndarray
        At most 1,000 raw training rows.
    evidence : mapping of str to ndarray
        Rows that `verify` computes figures from: "y" (codes, values or grades), "prediction" (out of fold:
        probabilities of shape (n, K), or values), "baseline" (likewise), "fold"; optionally "row" (position in X),
        "weight", "group", "blend_weights", "members" (m, n, …), "candidates" (the model of each of these). A row with
        NaN in "prediction" was never predicted out of fold.
    reference_y : ndarray or None
        Targets of the reference rows.
    reference_rows : ndarray of int or None
        Positions of the reference rows in X.
    problem, data, search, analysis, blend, evaluation, interpretation : mapping
        Facts of the stages in plain types; what the card reads of them is listed in `card.py`.
    timings, environment, resources, parameters : mapping
        Facts of the stages in plain types; what the card reads of them is listed in `card.py`.
    features, leaderboard, decisions, findings : sequence of mapping
        One row per engineered feature, configuration, decision and finding.
    stages : sequence of mapping
        "stage", "lead", "support" and "seconds" of each of the eight.
    call : mapping
        How `fit` was called: "estimator" (name of its class), "groups" and "sample_weight" (whether they were given)
        and "not_literal" (parameters that JSON cannot hold); "taken_from" tells how X, y and the rest were taken out of
        one table, or is None: "has_rows_without_target", "group_column", "weight_column" and "drop".
    drift : mapping
        {"features": …, "prediction": …} of config.json.
    categories : mapping of str to list of str
        Levels seen, as `to_string` writes them.
    limits : mapping
        What the user allows: "max_size" (bytes of model.onnx), "max_predict_time" (seconds per row), "max_memory"
        (bytes).
    on_unknown : str
        "ignore", "warn" or "raise".
    threshold : float or None
        Probability of class 1 from which a binary model says class 1.
    decision_costs : sequence of sequence of float or None
        Scaled costs by true class (row) and class (column) that a multiclass model decides by.
    pos_index : int
        Code of the positive class.
    seed : int or None
        `random_state` of the fit.
    info : mapping
        What the owner has said so far.
    """

    name: str
    version: str
    created: str
    task: Task
    classes: NDArray[Any] | None
    target_name: str
    schema: Schema
    estimator: Any
    preprocessor: Any
    to_onnx: Callable[[], tuple[ModelProto, Facts]]
    predict: Callable[[Any], Mapping[str, NDArray[Any]]]
    reference: pd.DataFrame | NDArray[Any]
    evidence: Mapping[str, NDArray[Any]]
    reference_y: NDArray[Any] | None = None
    reference_rows: NDArray[np.intp] | None = None
    problem: Facts = field(default_factory=dict)
    data: Facts = field(default_factory=dict)
    search: Facts = field(default_factory=dict)
    analysis: Facts = field(default_factory=dict)
    blend: Facts = field(default_factory=dict)
    evaluation: Facts = field(default_factory=dict)
    interpretation: Facts = field(default_factory=dict)
    timings: Facts = field(default_factory=dict)
    environment: Facts = field(default_factory=dict)
    resources: Facts = field(default_factory=dict)
    parameters: Facts = field(default_factory=dict)
    features: Sequence[Facts] = ()
    leaderboard: Sequence[Facts] = ()
    decisions: Sequence[Facts] = ()
    findings: Sequence[Facts] = ()
    stages: Sequence[Facts] = ()
    call: Facts = field(default_factory=dict)
    drift: Facts = field(default_factory=dict)
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: Facts = field(default_factory=dict)
    on_unknown: str = "ignore"
    threshold: float | None = None
    decision_costs: Sequence[Sequence[float]] | None = None
    pos_index: int = 1
    seed: int | None = None
    info: Facts = field(default_factory=dict)


def describe_environment() -> dict[str, Any]:
    """Python, platform and the versions of what training used, for `Subject.environment`."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{sys.platform}-{platform.machine()}",
        "packages": {name: version for name in _TRAINING if (version := installed_version(name)) is not None},
    }


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
