from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from automl_wf.core.budget import Budget
from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.exceptions import OutOfTime
from automl_wf.feature_engineering import FeaturePlan, plan_features
from automl_wf.feature_engineering.plan import Recipe, Step
from automl_wf.feature_engineering.view_onnx import EMIT, emit_view

N = 240
DENSE_KINDS = {"numeric", "indicator", "level", "statistic", "cycle", "calendar"}


def column(name: str, position: int, kind: ColumnKind, *, is_used: bool = True, time_zone: str | None = None) -> Column:
    return Column(name, position, f"f{position}", kind, "?", "", 0, 9, is_used, time_zone=time_zone)


def text(values: np.ndarray) -> Strings:
    levels, codes = np.unique(values.astype(object), return_inverse=True)
    return Strings(codes.astype(np.int32), levels)


@pytest.fixture
def table() -> Table:
    rng = np.random.default_rng(0)
    kinds = ColumnKind
    schema = Schema(
        (
            column("age", 0, kinds.NUMERIC),
            column("city", 1, kinds.CATEGORICAL),
            column("joined", 2, kinds.DATETIME, time_zone="Europe/Berlin"),
            column("copy", 3, kinds.NUMERIC, is_used=False),
            column("member", 4, kinds.BOOLEAN),
            column("customer", 5, kinds.CATEGORICAL),
            column("left", 6, kinds.DATETIME),
        ),
        "frame",
        N,
    )
    age = rng.normal(40, 9, N)
    age[::7] = np.nan
    low, high = np.array(["2020-01-01", "2025-01-01"], dtype="datetime64[us]").astype(np.int64)
    joined, left = rng.integers(low, high, N), rng.integers(low, high, N) // 86_400_000_000 * 86_400_000_000
    left[::11] = MISSING_TIME
    cells = (
        age,
        text(rng.choice(["oslo", "bern", "", "rome"], N)),
        joined,
        age,
        (rng.random(N) < 0.3).astype(float),
        text(np.array([f"id {i}" for i in rng.integers(0, 80, N)])),
        left,
    )
    return Table(schema, cells, N)


@pytest.fixture
def y() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, N)


@pytest.fixture
def plan(table: Table) -> FeaturePlan:
    return plan_features(table.schema, Task.BINARY, 2, table)


def test_views_hold_what_their_learners_want(plan, table, y) -> None:
    kinds = {name: set(recipe.fit(table, y).kinds) for name, recipe in plan.views.items()}
    assert kinds == {
        "constant": {"constant"},
        "tree": {"numeric", "code", "calendar"},
        "target": {"numeric", "statistic", "calendar"},
        "engineered": {"numeric", "code", "statistic", "calendar"},
        **dict.fromkeys(("dense", "piecewise"), DENSE_KINDS),
    }


def test_the_clock_is_asked_while_scales_are_learnt_and_memory_is_touched(plan, table, y) -> None:
    view = plan.views["tree"].fit(table, y)
    scaling = plan.views["dense"].steps[0]
    with Budget(0.0).governing():
        with pytest.raises(OutOfTime, match="Making features of view 'tree' was stopped"):
            view.empty(N)
        with pytest.raises(OutOfTime, match="Learning how to scale numbers was stopped"):
            scaling.fit(table, y, None, 0)


def test_tree_view_is_the_same_in_every_fold(plan, table, y) -> None:
    recipe = plan.views["tree"]
    assert not recipe.is_fitted_on_rows
    whole = recipe.fit(table, y).transform(table)
    rows = np.arange(0, N, 3)
    view, part = recipe.fit_transform(table.take(rows), y[rows], seed=9)
    np.testing.assert_array_equal(part, whole[rows])
    assert view.feature_names[:4] == ("age", "member", "city", "customer")
    assert view.categorical == (2, 3)


def test_only_target_statistics_read_the_target(plan, table, y) -> None:
    for name in ("target", "dense", "piecewise"):
        recipe = plan.views[name]
        assert recipe.is_fitted_on_rows
        view = recipe.fit(table, y)
        before, after = view.transform(table), recipe.fit(table, 1 - y).transform(table)
        differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
        changed = {view.features[j].kind for j in np.flatnonzero(differs.any(axis=0))}
        assert changed == {"statistic"}


def test_training_rows_are_cross_fitted_and_seeded(plan, table, y) -> None:
    recipe = plan.views["target"]
    view, X = recipe.fit_transform(table, y, None, seed=4)
    is_mean = np.array([name.endswith("target_mean") for name in view.feature_names])
    assert (X[:, is_mean] != view.transform(table)[:, is_mean]).any()
    np.testing.assert_array_equal(X[:, ~is_mean], view.transform(table)[:, ~is_mean])
    np.testing.assert_array_equal(X, recipe.fit_transform(table, y, None, seed=4)[1])
    assert (X[:, is_mean] != recipe.fit_transform(table, y, None, seed=5)[1][:, is_mean]).any()


def test_what_views_have_in_common_is_fitted_once(plan, table, y, monkeypatch) -> None:
    alone = {name: recipe.fit_transform(table, y, seed=3) for name, recipe in plan.views.items()}
    fitted: list[str] = []
    whole = Step.fit
    monkeypatch.setattr(
        Step, "fit", lambda step, *given: (fitted.append(type(step.transformer).__name__), whole(step, *given))[1]
    )
    shared: dict = {}
    for name, recipe in plan.views.items():
        view, X = recipe.fit_transform(table, y, seed=3, shared=shared)
        np.testing.assert_array_equal(X, alone[name][1])
        np.testing.assert_array_equal(view.transform(table), alone[name][0].transform(table))
    # Of all categories for trees, of those of many levels for the others.
    assert fitted.count("TargetStatistics") == 2


@pytest.mark.parametrize("name", ["dense", "piecewise"])
def test_dense_views_are_finite_even_where_everything_is_missing(plan, table, y, name) -> None:
    view, X = plan.views[name].fit_transform(table, y)
    assert np.isfinite(X).all()
    nothing = Table(table.schema, tuple(_missing(cells, 4) for cells in table.cells), 4)
    assert np.isfinite(view.transform(nothing)).all()
    assert X.flags.c_contiguous


def _missing(cells: np.ndarray | Strings, n: int) -> np.ndarray | Strings:
    if isinstance(cells, Strings):
        return Strings(np.zeros(n, dtype=np.int32), np.array([""], dtype=object))
    return np.full(n, MISSING_TIME) if cells.dtype == np.int64 else np.full(n, np.nan)


def test_unused_columns_are_nowhere(plan, table, y) -> None:
    for recipe in plan.views.values():
        assert "copy" not in {p for parents in recipe.fit(table, y).parents for p in parents}


def test_one_row_equals_the_same_row_among_many(plan, table, y) -> None:
    for recipe in plan.views.values():
        view = recipe.fit(table, y)
        np.testing.assert_array_equal(view.transform(table.take(slice(7, 8))), view.transform(table)[7:8])


def test_metadata_is_plain_and_complete(plan, table, y) -> None:
    for recipe in plan.views.values():
        view = recipe.fit(table, y)
        rows = plan.metadata(view)
        assert [r["name"] for r in rows] == list(view.feature_names)
        assert len(set(view.feature_names)) == view.n_features == view.transform(table).shape[1]
        assert all(set(r) == {"name", "kind", "parents", "formula"} and r["formula"] for r in rows)
        assert all(parent in table.schema.names for r in rows for parent in r["parents"])


def test_without_categories_target_and_tree_are_one(table) -> None:
    schema = Schema(tuple(c for c in table.schema.columns if c.kind is not ColumnKind.CATEGORICAL), "frame", N)
    plan = plan_features(schema, Task.REGRESSION, 1, table)
    assert plan.views["target"] is plan.views["tree"]


def test_views_without_numbers_that_bend_are_one_and_so_are_those_too_wide() -> None:
    def plan_of(n_columns: int, n_unique: int) -> FeaturePlan:
        columns = tuple(replace(column(f"x{j}", j, ColumnKind.NUMERIC), n_unique=n_unique) for j in range(n_columns))
        cells = tuple(np.arange(20.0) % n_unique + j for j in range(n_columns))
        schema = Schema(columns, "frame", 20)
        return plan_features(schema, Task.REGRESSION, 1, Table(schema, cells, 20))

    assert {"dense", "piecewise"} <= plan_of(3, 5).distinct_views
    flags, wide = plan_of(3, 2), plan_of(400, 5)
    assert "piecewise" not in flags.distinct_views
    assert flags.views["piecewise"] is flags.views["dense"]
    assert "piecewise" not in wide.distinct_views
    assert plan_of(200, 5).views["piecewise"].steps[0].transformer.n_bins == 3


def test_names_that_clash_are_numbered() -> None:
    columns = (column("d", 0, ColumnKind.NUMERIC), column("d_missing", 1, ColumnKind.NUMERIC))
    schema = Schema(columns, "frame", 4)
    cells = (np.array([1.0, np.nan, 2.0, 3.0]), np.arange(4.0))
    table = Table(schema, cells, 4)
    view = plan_features(schema, Task.REGRESSION, 1, table).views["dense"].fit(table)
    assert view.feature_names == ("d", "d_missing", "d_missing_2")


def test_many_string_columns_share_the_width(y) -> None:
    schema = Schema(tuple(column(f"c{j}", j, ColumnKind.CATEGORICAL) for j in range(100)), "frame", N)
    rng = np.random.default_rng(0)
    cells = tuple(text(np.array([f"level {i}" for i in rng.integers(0, 30, N)])) for _ in range(100))
    table = Table(schema, cells, N)
    view = plan_features(schema, Task.BINARY, 2, table).views["dense"].fit(table, y)
    assert view.n_features <= 100 * 11


def test_fitted_views_can_be_pickled(plan, table, y) -> None:
    for recipe in plan.views.values():
        view = recipe.fit(table, y)
        again = pickle.loads(pickle.dumps(view))
        np.testing.assert_array_equal(again.transform(table), view.transform(table))
        assert again.features == view.features


@pytest.mark.parametrize("transformer", list(EMIT), ids=lambda t: t.__name__)
def test_transformers_clone_and_keep_their_parameters(transformer) -> None:
    made = transformer()
    assert clone(made).get_params() == made.get_params()
    assert transformer.__name__ in repr(made)


def constant_plan(kind: ColumnKind) -> tuple[Recipe, Table]:
    schema = Schema((column("same", 0, kind, is_used=False),), "frame", 3)
    cells = {
        ColumnKind.NUMERIC: np.full(3, np.nan),
        ColumnKind.CATEGORICAL: text(np.full(3, "a")),
        ColumnKind.DATETIME: np.full(3, MISSING_TIME),
    }
    table = Table(schema, (cells[kind],), 3)
    return plan_features(schema, Task.REGRESSION, 1, table).views["dense"], table


@pytest.mark.parametrize("kind", [ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.DATETIME])
def test_nothing_to_use_makes_one_column_of_zeros(kind, view_graph) -> None:
    recipe, table = constant_plan(kind)
    view, X = recipe.fit_transform(table, np.arange(3.0))
    assert view.feature_names == ("constant",)
    assert view.parents == ((),)
    assert X.tolist() == [[0.0]] * 3
    np.testing.assert_array_equal(view_graph(view, table), X)


@pytest.mark.parametrize("name", ["tree", "target", "dense", "piecewise"])
def test_graph_of_a_view_equals_transform(plan, table, y, name, view_graph) -> None:
    half = table.take(np.arange(0, N, 2))
    view = plan.views[name].fit(half, y[::2])
    cells = list(table.cells)
    cells[1] = text(np.random.default_rng(5).choice(["oslo", "never seen", "", "ÅRØ 🙂"], N))
    cells[0] = 10 * cells[0]
    new = Table(table.schema, tuple(cells), N)
    np.testing.assert_allclose(view_graph(view, new), view.transform(new), rtol=0, atol=1e-12)


@pytest.fixture
def view_graph():
    """`view_graph(view, table)`: run the view's graph on one input per column."""
    import onnxruntime

    from automl_wf.core.graph import GraphBuilder

    def run(view, table) -> np.ndarray:
        builder = GraphBuilder()
        inputs = [builder.input(c.input_name, c.edge) for c in table.schema.columns]
        out = emit_view(view, builder, lambda ps: builder.concat([inputs[p] for p in ps]), lambda p: inputs[p])
        builder.output(out, "features", "double", [None, view.n_features])
        values = [c.values() if isinstance(c, Strings) else c for c in table.cells]
        feed = {name: v[:, None] for name, v in zip(inputs, values, strict=True)}
        return onnxruntime.InferenceSession(builder.model().SerializeToString()).run(None, feed)[0]

    return run
