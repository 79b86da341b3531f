"""Every model of the catalogue, on every task it can do: fits, repeats, exports, and its graph equals `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from automl_wf import WorkflowEstimator
from automl_wf.core.tasks import Task
from automl_wf.model_selection.catalogue import MODELS

PAIRS = [(spec.name, task) for spec in MODELS for task in Task if task in spec.tasks]


def _spoilt(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows as they come on a bad day: each column missing, unseen, empty and non-ASCII strings, ten times the range."""
    rows = [frame.head(20).astype(object)]
    for column in frame:
        rows.append(frame.iloc[20:22].astype(object).assign(**{column: None}))
    for text in ("never seen", "", "ΑΒΓ ß ﬁ", "  Oslo\t", "oslo"):
        rows.append(frame.iloc[22:23].astype(object).assign(city=text, plan=text))
    rows.append(frame.iloc[23:25].astype(object).assign(amount=1e7, visits=-500, count=10**6))
    rows.append(frame.iloc[25:27].astype(object).assign(joined=pd.Timestamp("1969-12-31T23:59:59.999999")))
    rows.append(frame.iloc[27:29].astype(object).assign(joined=pd.Timestamp("2100-02-28"), born="1900-03-01"))
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(("name", "task"), PAIRS, ids=[f"{n}-{t}" for n, t in PAIRS])
def test_model_on_mixed_frame(
    name: str, task: Task, quick: dict[str, Any], mixed_frame: Any, target_of: Any, graph_equals_predict: Any
) -> None:
    frame = mixed_frame(150)
    groups = np.arange(150) // 10 if task is Task.RANKING else None
    settings = quick | {"n_iter": 2, "task": task.family, "estimators": [name]}
    model, twin = (WorkflowEstimator(**settings).fit(frame, target_of(frame, task), groups=groups) for _ in range(2))
    np.testing.assert_array_equal(model.predict(frame), twin.predict(frame))
    assert name in set(model.leaderboard_["model"])
    graph_equals_predict(model, _spoilt(mixed_frame(60, seed=9)))


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes])
def test_blend_on_bundled_table(load: Any, quick: dict[str, Any], graph_equals_predict: Any) -> None:
    X, y = load(return_X_y=True)
    settings = quick | {"n_iter": 5, "task": "regression" if load is load_diabetes else "classification"}
    model = WorkflowEstimator(**settings).fit(X, y)
    spoilt = np.vstack([X, X * 10.0, np.where(np.eye(X.shape[1], dtype=bool), np.nan, X[: X.shape[1]])])
    graph_equals_predict(model, spoilt)


@pytest.mark.parametrize("task", list(Task))
def test_default_search_on_mixed_frame(
    task: Task, quick: dict[str, Any], mixed_frame: Any, target_of: Any, graph_equals_predict: Any
) -> None:
    frame = mixed_frame(200, seed=5)
    groups = np.arange(200) // 10 if task is Task.RANKING else None
    settings = quick | {"n_iter": 8, "task": task.family, "estimators": ["lightgbm", "extra_trees", "linear", "mlp"]}
    model = WorkflowEstimator(**settings).fit(frame, target_of(frame, task), groups=groups)
    graph_equals_predict(model, _spoilt(mixed_frame(60, seed=9)))


def test_float32_and_float64_of_one_number_are_told_apart(quick: dict[str, Any], graph_equals_predict: Any) -> None:
    # Identifiers beyond 2**24 and a target with a large offset: both are lost where anything is cast to float32.
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"epoch": 1_700_000_000 + rng.integers(0, 1000, 200), "x": rng.normal(size=200)})
    y = 1e6 + (X["epoch"] - 1_700_000_000) * 0.1 + X["x"]
    graph_equals_predict(WorkflowEstimator(**quick, task="regression").fit(X, y), X)


def test_graph_says_what_it_is(quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    import onnx

    frame = mixed_frame(100)
    graph = WorkflowEstimator(**quick).fit(frame, target_of(frame, "binary")).to_onnx()
    onnx.checker.check_model(graph, full_check=True)
    domains = {o.domain: o.version for o in graph.opset_import}
    assert domains[""] == 21
    assert domains.get("ai.onnx.ml", 5) == 5
    assert graph.ir_version == 10
    assert {i.name for i in graph.graph.input} <= set(frame.columns)
    assert [o.name for o in graph.graph.output] == ["label", "probabilities", "in_set"]
    assert {n.op_type for n in graph.graph.node if n.domain == "com.microsoft"} <= {"Tokenizer"}


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_texts_and_pairs_of_numbers(task: Task, quick: dict[str, Any], graph_equals_predict: Any) -> None:
    rng = np.random.default_rng(0)
    words = np.array(
        [
            "bird",
            "hit",
            "wing",
            "left",
            "engine",
            "no",
            "damage",
            "seen",
            "on",
            "runway",
            "after",
            "landing",
            "naïve",
            "東京",
        ]
    )
    frame = pd.DataFrame(
        {
            "remarks": [" ".join(rng.choice(words, rng.integers(0, 6), replace=False)) for _ in range(240)],
            "width": rng.uniform(1, 9, 240),
            "height": rng.uniform(0, 9, 240).round(),
            "depth": rng.uniform(1, 9, 240),
        }
    )
    signal = frame["width"] / (frame["height"] + 1) + 3.0 * frame["remarks"].str.contains("engine") + frame["depth"] / 9
    y = signal if task is Task.REGRESSION else pd.qcut(signal, 2 if task is Task.BINARY else 3, labels=False)
    settings = quick | {"n_iter": 14, "task": task.family, "estimators": ["lightgbm"]}
    model = WorkflowEstimator(**settings).fit(frame, y)
    assert {"target", "engineered"} <= {params.get("view") for params in model.leaderboard_["params"]}
    spoilt = pd.concat([frame, frame.assign(height=0.0), frame.assign(remarks=None), frame.assign(width=np.nan)])
    odd = frame.head(6).assign(remarks=["~", "engine~engine", "ENGINE  Hit!", "ﬁ '\"{}[]", "引擎", "  "])
    graph_equals_predict(model, pd.concat([spoilt, odd], ignore_index=True))


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_numbers_spread_over_their_bins(task: Task, quick: dict[str, Any], graph_equals_predict: Any) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "income": rng.lognormal(10.0, 2.0, 240),
            "epoch": 1_700_000_000 + rng.integers(0, 1000, 240),
            "children": rng.integers(0, 4, 240),
            "odd": rng.standard_cauchy(240),
        }
    )
    X.loc[::9, "income"] = np.nan
    signal = np.abs(X["epoch"] - 1_700_000_500) / 100 + X["children"] + np.log(X["income"].fillna(9e3)) / 5
    y = signal if task is Task.REGRESSION else pd.qcut(signal, 2 if task is Task.BINARY else 3, labels=False)
    settings = quick | {"n_iter": 5, "task": task.family, "estimators": ["linear", "mlp"]}
    model = WorkflowEstimator(**settings).fit(X, y)
    assert "piecewise" in {params.get("view") for params in model.leaderboard_["params"]}
    ends = pd.DataFrame({name: [-1e308, 1e308, 0.0, np.nan] for name in X})
    graph_equals_predict(model, pd.concat([X, -X, 10 * X, ends], ignore_index=True))
