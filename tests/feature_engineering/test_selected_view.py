"""Views of chosen features: chosen by the training rows alone, with a reason each, and in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier
from automl_wf.core.frame import learn_schema
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.tasks import Task
from automl_wf.feature_engineering.plan import FeaturePlan, plan_features
from automl_wf.feature_engineering.selected_view import WIDE, SelectedRecipe, SelectedView
from automl_wf.feature_engineering.view_onnx import emit_view

N = 400


def wide_frame(n_rows: int = N, seed: int = 0, n_noise: int = WIDE) -> tuple[pd.DataFrame, np.ndarray]:
    """`told`, its copy `again` and `level` tell the class; the rest is noise."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n_rows, n_noise)), columns=[f"noise {j}" for j in range(n_noise)])
    frame.insert(3, "told", rng.normal(size=n_rows))
    frame.insert(9, "level", rng.choice(["a", "b", "c"], n_rows))
    signal = frame["told"] + 2.0 * (frame["level"] == "b") + 0.3 * rng.normal(size=n_rows)
    return frame, (signal > 0.7).astype(int).to_numpy()


def plan_of(frame: pd.DataFrame) -> tuple[FeaturePlan, Any]:
    schema, table, _ = learn_schema(frame)
    return plan_features(schema, Task.BINARY, 2, table), table


def test_narrow_tables_have_no_such_views() -> None:
    narrow, _ = plan_of(wide_frame(n_noise=WIDE - 3)[0])
    assert set(narrow.views) == {"constant", "tree", "target", "engineered", "dense", "piecewise"}
    wide, _ = plan_of(wide_frame(n_noise=WIDE - 2)[0])
    assert set(wide.views) == {*narrow.views, "tree_selected", "dense_selected"}
    assert wide.distinct_views >= {"tree_selected", "dense_selected"}


@pytest.mark.parametrize("name", ["tree_selected", "dense_selected"])
def test_what_tells_is_kept_and_why(name: str) -> None:
    frame, y = wide_frame()
    plan, table = plan_of(frame)
    view, X = plan.views[name].fit_transform(table, y, seed=1)
    assert isinstance(view, SelectedView)
    kept = {parent for parents in view.parents for parent in parents}
    assert kept >= {"told", "level"}
    assert len(view.feature_names) == view.n_features == X.shape[1] < 20
    assert np.array_equal(X, view.whole.transform(table)[:, list(view.kept)])
    assert np.array_equal(X, view.transform(table))
    assert np.array_equal(X, view.transform_training(table, y, None))
    assert set(view.why_kept) == set(view.feature_names)
    assert all(reason.startswith("kept: gain ") for reason in view.why_kept.values())
    assert len(view.dropped) + view.n_features == view.whole.n_features
    assert all(reason.startswith("dropped: gain ") for _, reason in view.dropped)
    assert [view.kinds[i] for i in view.categorical] == (["code"] if name == "tree_selected" else [])


def test_columns_are_counted_without_choosing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, y = wide_frame()
    plan, table = plan_of(frame)
    n_whole = plan.views["tree"].n_columns(table, y, seed=0)
    assert n_whole == plan.views["tree"].fit(table, y).n_features
    monkeypatch.setattr(SelectedRecipe, "_choose", None)
    assert plan.views["tree_selected"].n_columns(table, y, seed=0) == 2 * n_whole


def test_the_choice_follows_seed_and_rows_only() -> None:
    frame, y = wide_frame()
    plan, table = plan_of(frame)
    recipe = plan.views["tree_selected"]
    assert recipe.is_fitted_on_rows
    assert recipe.fit(table, y, seed=1).kept == recipe.fit(table, y, seed=1).kept
    other, _ = wide_frame(seed=0)
    swapped = y.copy()
    swapped[:] = (other["noise 20"] > 0).astype(int)
    assert "noise 20" in recipe.fit(table, swapped, seed=1).feature_names
    assert "told" not in recipe.fit(table, swapped, seed=1).feature_names
    with pytest.raises(ValueError, match="needs the target"):
        recipe.fit(table)


def test_one_feature_is_kept_where_none_tells() -> None:
    frame, _ = wide_frame()
    plan, table = plan_of(frame)
    view = plan.views["tree_selected"].fit(table, np.zeros(N, dtype=np.int64), seed=0)
    assert view.n_features == 1
    assert next(iter(view.why_kept.values())).startswith("kept: the best of a view where none passes; gain 0")


@pytest.mark.parametrize("name", ["tree_selected", "dense_selected"])
def test_the_graph_of_a_view_of_chosen_features(name: str) -> None:
    frame, y = wide_frame()
    frame.iloc[::7, 3] = np.nan
    plan, table = plan_of(frame)
    view = plan.views[name].fit(table, y, seed=0)
    builder = GraphBuilder()
    feed: dict[str, Any] = {}
    for column in table.schema.columns:
        builder.input(column.input_name, column.edge, 1)
        cells = table.cells[column.position]
        feed[column.input_name] = (cells if column.edge == "double" else cells.values()).reshape(-1, 1)

    def numeric(positions: Any) -> str:
        return builder.concat([table.schema.columns[p].input_name for p in positions])

    value = emit_view(view, builder, numeric, lambda p: table.schema.columns[p].input_name)
    builder.output(value, "features", "double", [None, view.n_features])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    seen = session.run(None, {k: v for k, v in feed.items() if k in wanted})[0]
    np.testing.assert_allclose(seen, view.transform(table), rtol=0, atol=1e-12)


def test_features_left_out_are_in_the_record_and_the_graph_is_exact(
    quick: dict[str, Any], graph_equals_predict: Any
) -> None:
    frame, y = wide_frame(200)
    settings = quick | {"n_iter": 3, "estimators": [("lightgbm", {"view": "tree_selected"})]}
    model = WorkflowClassifier(**settings).fit(frame, y)
    assert {params.get("view") for params in model.leaderboard_["params"]} == {None, "tree_selected"}
    record = model.feature_metadata_.set_index("name")
    assert record.loc["told", "is_kept"]
    assert record.loc["told", "reason"].startswith("kept: gain")
    dropped = record[~record["is_kept"]]
    assert len(dropped) > WIDE // 2
    assert dropped["reason"].str.startswith("dropped: gain").all()
    assert list(model.get_feature_names_out()) == list(record.index[record["is_kept"]])
    graph_equals_predict(model, wide_frame(50, seed=3)[0])
