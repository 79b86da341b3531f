"""Graph against `predict`: what is compared, and that a tampered graph is found out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import numpy_helper

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Strings
from automl_wf.exceptions import ParityError
from automl_wf.model_selection.graph import build_graph
from automl_wf.model_selection.parity import LEAVES, Parity, awkward_rows, check_parity, mixed_rows

FRAME = pd.DataFrame(
    {
        "x": [1.0, -2.0, np.nan],
        "s": ["a", "b", None],
        "t": pd.to_datetime(["2024-01-01", None, "2024-03-01"]),
    }
)


@pytest.fixture(scope="module")
def table() -> Any:
    return learn_schema(FRAME)[1]


def test_awkward_rows_change_one_column_at_a_time_and_then_all(table: Any) -> None:
    (rows,) = awkward_rows(table, np.random.default_rng(0))
    x, t = rows.cells[0], rows.cells[2]
    strings = rows.cells[1]
    assert isinstance(strings, Strings)
    texts = strings.values()
    assert rows.n_rows == len(x) == len(texts) == len(t)
    assert {10.0, -20.0, 20.0, 1e30, -1e30} <= set(x[~np.isnan(x)])
    assert {"", "never seen before", "nan", "ß→ü 東京 🦜"} <= set(texts)
    assert (np.isnan(x) & (texts == "") & (t == -(2**63))).sum() >= 3
    strange = ~np.isin(texts, ["a", "b", ""])
    assert set(x[strange & ~np.isnan(x)]) == {1.0, -2.0}


def test_mixed_rows_stay_within_the_range_and_the_levels(table: Any) -> None:
    rows = mixed_rows(table, np.random.default_rng(0), 500)
    x, t = rows.cells[0], rows.cells[2]
    known = x[~np.isnan(x)]
    assert rows.n_rows == 500
    assert (known.min() >= -2.0, known.max() <= 1.0) == (True, True)
    assert len(np.unique(known)) > 20
    assert rows.cells[1].levels.tolist() == table.cells[1].levels.tolist()
    assert t[t != -(2**63)].min() >= pd.Timestamp("2024-01-01").value // 1000
    assert np.isnan(table.cells[0]).sum() == 1


@pytest.fixture(scope="module")
def classifier(quick_settings: dict[str, Any], mixed_table: Any) -> Any:
    X, y = mixed_table
    return WorkflowClassifier(**quick_settings | {"n_iter": 2, "estimators": ["lightgbm"]}).fit(X, y), X


@pytest.fixture(scope="module")
def regressor(quick_settings: dict[str, Any], mixed_table: Any) -> Any:
    X = mixed_table[0].drop(columns=["joined", "seen", "born"])
    y = X["amount"].fillna(0.0) + 10.0 * (X["city"] == "Oslo")
    return WorkflowRegressor(**quick_settings | {"n_iter": 2, "estimators": ["lightgbm"]}).fit(X, y), X


def compare(fitted: Any, tamper: Any = None, budget: Budget | None = None) -> Parity:
    model, X = fitted
    pipeline = model.best_estimator_
    graph = build_graph(pipeline.blend, pipeline.schema, pipeline.task, pipeline.classes)
    if tamper is not None:
        tamper(graph)
    table = read_table(X, pipeline.schema, owner="test")
    return check_parity(graph, pipeline.blend, table, pipeline.classes, budget=budget or Budget())


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_an_honest_graph_is_exact_and_most_leaves_are_reached(name: str, request: pytest.FixtureRequest) -> None:
    parity = compare(request.getfixturevalue(name))
    assert parity.is_exact
    assert parity.n_labels_different == 0
    assert parity.largest_difference <= parity.bound
    assert 0 < parity.n_leaves_reached <= parity.n_leaves
    assert parity.n_leaves_reached >= LEAVES * parity.n_leaves or parity.n_rows > 60_000


def test_without_time_the_real_and_the_awkward_rows_are_compared_all_the_same(classifier: Any) -> None:
    parity = compare(classifier, budget=Budget(0.0))
    assert len(classifier[1]) < parity.n_rows < 60_000


def _shift_leaves(graph: Any) -> None:
    """The leaves of one ensemble of trees a millionth off."""
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "leaf_weights":
                values = numpy_helper.to_array(attribute.t).copy()
                values[:] += 1e-6
                attribute.t.CopyFrom(numpy_helper.from_array(values))
                return
    raise AssertionError("no trees in this graph")


def _swap_labels(graph: Any) -> None:
    for tensor in graph.graph.initializer:
        if sorted(tensor.string_data) == [b"no", b"yes"]:
            tensor.string_data[:] = list(tensor.string_data)[::-1]
            return
    for node in graph.graph.node:
        for attribute in node.attribute:
            for held in (attribute.strings, attribute.t.string_data):
                if sorted(held) == [b"no", b"yes"]:
                    held[:] = list(held)[::-1]
                    return
    raise AssertionError("no labels in this graph")


def test_a_graph_with_other_leaves_is_found_out(classifier: Any, regressor: Any) -> None:
    for fitted in (classifier, regressor):
        with pytest.raises(ParityError, match=r"differ on [0-9]+ rows compared: .* is allowed"):
            compare(fitted, _shift_leaves)


def test_a_graph_with_other_labels_is_found_out(classifier: Any) -> None:
    with pytest.raises(ParityError, match=r"[1-9][0-9]* labels, largest \|Δ\| "):
        compare(classifier, _swap_labels)


def test_a_figure_on_either_side_of_the_bound() -> None:
    assert Parity(1, 0, 1e-9, 1e-9, 0, 0, 1).is_exact
    assert not Parity(1, 0, 1.1e-9, 1e-9, 0, 0, 1).is_exact
    assert not Parity(1, 1, 0.0, 1e-9, 0, 0, 1).is_exact
    assert not Parity(1, 0, float("inf"), 1e-9, 0, 0, 1).is_exact
