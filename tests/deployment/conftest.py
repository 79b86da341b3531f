"""A Subject made by hand: one number and one string in, a tiny graph, and figures that can be checked on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core import coerce
from automl_wf.core.fingerprint import fingerprint, fingerprint_of
from automl_wf.core.frame import learn_schema
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.row_sketch import RowSketch
from automl_wf.core.tasks import Task
from automl_wf.deployment.package import Package, deploy
from automl_wf.deployment.subject import Subject, describe_environment
from automl_wf.evaluation import evaluate

CLASSES = np.array(["no", "yes"], dtype=object)
LEVELS = {"north": 0.3, "south": -0.2}


class Logistic:
    """p(yes) = sigmoid(x / 10 + effect of the place); a gap counts as 0, an unknown place has no effect."""

    def __init__(self, number: Any, text: Any) -> None:
        self.number, self.text = number, text

    def predict(self, X: pd.DataFrame) -> dict[str, np.ndarray]:
        x = np.nan_to_num(coerce.to_double(X[self.number].to_numpy(dtype=object)))
        effect = np.array([LEVELS.get(t, 0.0) for t in coerce.to_string(X[self.text].to_numpy(dtype=object))])
        p = 1 / (1 + np.exp(np.clip(-(x / 10 + effect), None, 700)))
        p = np.column_stack([1 - p, p])
        return {"label": CLASSES[(p[:, 1] > p[:, 0] + 1e-9).astype(int)], "probabilities": p}


def graph(number: str, text: str) -> tuple[Any, dict[str, Any]]:
    """The same as an ONNX graph."""
    b = GraphBuilder()
    x, t = b.input(number, "double"), b.input(text, "string")
    x = b.op("Where", b.op("IsNaN", x), b.constant([[0.0]]), x)
    keys, values = np.array(list(LEVELS), dtype=object), np.array(list(LEVELS.values()))
    effect = b.op(
        "LabelEncoder",
        t,
        domain="ai.onnx.ml",
        keys_tensor=keys,
        values_tensor=values,
        default_tensor=np.array([0.0]),
    )
    p = b.op("Sigmoid", b.op("Add", b.op("Div", x, b.constant([[10.0]])), effect))
    q = b.op("Sub", b.constant([[1.0]]), p)
    is_yes = b.op("Cast", b.op("Greater", p, b.op("Add", q, b.constant([[1e-9]]))), to=7)
    label = b.op("Gather", b.constant(CLASSES), b.op("Reshape", is_yes, b.constant([-1], np.int64)))
    b.output(label, "label", "string", [None])
    b.output(b.concat([q, p]), "probabilities", "double", [None, 2])
    return b.model(), {"n_rows": 40, "n_labels_different": 0, "largest_difference": 0.0, "bound": 1e-9}


def make_subject(number: str = "x", text: str = "place", **changes: Any) -> Subject:
    """A subject of 40 rows whose out-of-fold accuracy is 0.75 and the baseline's 0.5."""
    n = 40
    places = np.array(["North", "South", "North", None], dtype=object)[np.arange(n) % 4]
    X = pd.DataFrame({number: np.arange(n) / 2 - 10.0, text: places})
    schema, table, _ = learn_schema(X)
    y = (np.arange(n) >= n // 2).astype(np.int64)
    said = y.copy()
    said[::4] = 1 - said[::4]
    p = np.where(said == 1, 0.8, 0.2)
    prediction = np.column_stack([1 - p, p])
    model = Logistic(number, text)
    names = [c.input_name for c in schema.columns]
    evaluation = evaluate(
        task=Task.BINARY,
        scoring=resolve_scoring("roc_auc", Task.BINARY),
        y=y,
        prediction=prediction,
        baseline_prediction=np.full((n, 2), 0.5),
        classes=CLASSES,
        n_bootstraps=50,
        seed=0,
        fold=np.arange(n) % 4,
    )
    subject = Subject(
        name="plain model",
        version="1",
        created="2024-05-01T12:00:00+00:00",
        task=Task.BINARY,
        classes=CLASSES,
        target_name="answer",
        schema=schema,
        estimator={"kind": "logistic"},
        preprocessor={"columns": [number, text]},
        to_onnx=lambda: graph(*names),
        predict=model.predict,
        reference=X,
        reference_y=CLASSES[y],
        evidence={
            "y": y,
            "prediction": prediction,
            "baseline": np.full((n, 2), 0.5),
            "fold": np.arange(n) % 4,
            "blend_weights": np.array([1.0]),
            **RowSketch.of(table.cells, 0).arrays,
        },
        problem={"scoring": "roc_auc", "fingerprint": fingerprint_of(table, y, CLASSES).to_dict()},
        data={"fingerprint": fingerprint(table.cells), "folds": "stratified, 4 folds"},
        search={"n_trials": 2, "n_failed": 0, "n_asked": 1},
        blend={"members": [{"model": "logistic", "weight": 1.0, "params": {"C": 1.0}}], "strategy": "single model"},
        evaluation=evaluation.to_dict(),
        interpretation={"importance": [{"column": number, "value": 0.2}, {"column": text, "value": 0.1}]},
        timings={"tune": 1.5, "total": 2.0},
        environment=describe_environment(),
        features=[{"name": number, "kind": "numeric", "parents": [number], "formula": "as it is"}],
        leaderboard=[{"rank": 1, "name": "logistic", "score": 0.8, "status": "ok"}],
        decisions=[{"stage": "data_preparation", "decision": "4 folds", "reason": "40 rows", "fact": "40 rows"}],
        findings=[
            {
                "code": "tiny_data",
                "severity": "warning",
                "message": "40 rows.",
                "advice": "Collect more.",
                "columns": [],
            }
        ],
        drift={
            "features": {number: {"kind": "numeric", "edges": [-10.0, 0.0, 9.5], "counts": [0, 20, 20, 0, 0]}},
            "prediction": {"kind": "numeric", "edges": [0.0, 0.5, 1.0], "counts": [0, 20, 20, 0, 0]},
        },
        categories={text: ["north", "south"]},
        seed=0,
    )
    return replace(subject, **changes)


@pytest.fixture
def subject() -> Subject:
    return make_subject()


@pytest.fixture
def make() -> Callable[..., Subject]:
    return make_subject


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """One package of `subject`, for tests that only look or work on a copy."""
    return deploy(make_subject(), tmp_path_factory.mktemp("packages") / "model_package", info={"owner": "Ada"})
