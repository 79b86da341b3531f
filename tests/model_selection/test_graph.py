"""Assembly: the same sums as `Blend.predict`, the right inputs, and a reason where there is no graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowRegressor
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.exceptions import NotExportable
from automl_wf.model_selection.graph import build_graph, feed_of, graph_columns
from automl_wf.model_selection.parity import open_session


@pytest.fixture(scope="module")
def model(quick_settings: dict[str, Any]) -> WorkflowRegressor:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"label": rng.normal(size=80), "b": rng.normal(size=80), "fixed": 1.0})
    settings = quick_settings | {"n_iter": 4, "estimators": ["linear", "lightgbm"]}
    return WorkflowRegressor(**settings).fit(X, X["label"] * 2 + X["b"])


def run(model: Any, feed: Any) -> Any:
    return open_session(model.SerializeToString()).run(None, feed)[0]


def test_used_columns_are_inputs_under_names_that_are_no_outputs(model: WorkflowRegressor) -> None:
    graph = build_graph(model.best_estimator_.blend, model.schema_, model.task_, None, {"a": "b"})
    assert [i.name for i in graph.graph.input] == ["f0", "b"]
    assert [o.name for o in graph.graph.output] == ["prediction", "lower", "upper"]
    assert [(p.key, p.value) for p in graph.metadata_props] == [("a", "b")]
    rows = pd.DataFrame({"label": [0.5, np.nan], "b": [1.0, 1e6], "fixed": [1.0, 2.0]})
    table = read_table(rows, model.schema_, owner="test")
    np.testing.assert_allclose(run(graph, feed_of(table)), model.predict(rows), rtol=0, atol=1e-9)


def test_an_array_is_one_tensor(quick_settings: dict[str, Any]) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[:, 1] = 5.0
    fitted = WorkflowRegressor(**quick_settings, estimators=["linear"]).fit(X, X[:, 0])
    feed = feed_of(read_table(X[:2], fitted.schema_, owner="test"))
    assert list(feed) == ["X"]
    assert feed["X"].tolist() == X[:2].tolist()
    np.testing.assert_allclose(run(fitted.to_onnx(), feed), fitted.predict(X[:2]), rtol=0, atol=1e-9)


def test_columns_that_do_not_vary_are_no_inputs_but_one_is_kept() -> None:
    schema, table, _ = learn_schema(pd.DataFrame({"a": ["x", "x"], "b": [1.0, 1.0]}))
    assert [c.name for c in graph_columns(schema)] == ["a"]
    assert {name: cells.tolist() for name, cells in feed_of(table).items()} == {"a": [["x"], ["x"]]}


def test_a_learner_without_a_graph_is_named(model: WorkflowRegressor) -> None:
    member = SimpleNamespace(name="mystery", parts=((None, object()),), weight=1.0)
    blend = SimpleNamespace(members=(member,), postprocess=None)
    with pytest.raises(NotExportable, match=r"mystery has no exact ONNX graph \(object\)"):
        build_graph(blend, model.schema_, model.task_, None)  # type: ignore[arg-type]
