"""Shapley values of models whose values are known on paper: on numbers, texts, times and gaps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Strings, Table, stack
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.interpretation import explained, shapley
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.shapley import (
    MAX_PREDICTIONS,
    Effort,
    affordable,
    shapley_summary,
    shapley_values,
    typical_rows,
    walk_values,
)

CITIES = {"": -1.0, "oslo": 0.5, "rome": 2.0, "lima": 4.0}


def make_frame(n_rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 1000, n_rows).astype("timedelta64[D]")
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "constant": 7.0,
            "city": rng.choice(["oslo", "rome", "lima"], n_rows).astype(object),
            "day": pd.Series(np.datetime64("2024-01-01", "us") + days),
            "b": rng.integers(0, 2, n_rows).astype(float),
        }
    )
    frame.loc[1::5, "a"] = np.nan
    frame.loc[2::7, "city"] = None
    frame.loc[3::6, "day"] = None
    return frame


def make_tables(n_rows: int = 6, n_background: int = 20) -> tuple[Table, Table]:
    schema, _, _ = learn_schema(make_frame(60), None)
    # Read apart, so that the levels of both tables are numbered differently
    frames = make_frame(n_rows, 1), make_frame(n_background, 2)
    rows, background = (read_table(frame, schema, owner="test") for frame in frames)
    return rows, background


def effects(table: Table) -> np.ndarray:
    """What each used column adds to `additive`, of shape (n_rows, 4)."""
    a, _, city, day, b = table.cells
    assert isinstance(city, Strings)
    days = np.where(day == MISSING_TIME, 100.0, day / 86_400e6 - 19_000.0) / 500.0
    return np.column_stack(
        [np.where(np.isnan(a), -3.0, np.square(a)), [CITIES[v] for v in city.values()], days, 1.5 * b]
    )


def additive(table: Table) -> np.ndarray:
    return np.asarray(effects(table).sum(axis=1))


def test_an_additive_model_has_the_values_known_on_paper() -> None:
    rows, background = make_tables()
    values = shapley_values(additive, rows, background, class_names=None, seed=0)
    assert list(values.columns) == ["a", "city", "day", "b", "base_value"]
    expected = effects(rows) - effects(background).mean(axis=0)
    np.testing.assert_allclose(values.iloc[:, :-1], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(values["base_value"], additive(background).mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=1), additive(rows), rtol=0, atol=1e-9)


def test_two_columns_share_what_they_do_together() -> None:
    rows, background = make_tables()

    def product(table: Table) -> np.ndarray:
        e = effects(table)
        return np.asarray(e[:, 1] * e[:, 3])

    values = shapley_values(product, rows, background, class_names=None, seed=3)
    x, r = effects(rows)[:, [1, 3]], effects(background)[:, [1, 3]]
    only_city, only_b, none = x[:, 0] * r[:, 1].mean(), x[:, 1] * r[:, 0].mean(), (r[:, 0] * r[:, 1]).mean()
    both = x[:, 0] * x[:, 1]
    np.testing.assert_allclose(values["city"], ((only_city - none) + (both - only_b)) / 2, atol=1e-12)
    np.testing.assert_allclose(values["b"], ((only_b - none) + (both - only_city)) / 2, atol=1e-12)
    np.testing.assert_allclose(values[["a", "day"]], 0.0, atol=1e-12)


def entangled(table: Table) -> np.ndarray:
    """Probabilities of three classes in which all columns interact."""
    e = effects(table)
    scores = np.column_stack([e.prod(axis=1), np.sin(e.sum(axis=1)), e[:, 0] - e[:, 2] * e[:, 3]])
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def test_each_class_of_several_adds_up_to_its_probability() -> None:
    rows, background = make_tables()
    index = pd.Index([f"r{i}" for i in range(rows.n_rows)], name="customer")
    values = shapley_values(entangled, rows, background, class_names=["x", "y", "z"], index=index, seed=0)
    assert values.index.names == ["customer", "class"]
    assert list(values.index[:4]) == [("r0", "x"), ("r0", "y"), ("r0", "z"), ("r1", "x")]
    np.testing.assert_allclose(values.sum(axis=1), entangled(rows).ravel(), rtol=0, atol=1e-9)
    by_class = values.drop(columns="base_value").groupby(level="customer").sum()
    np.testing.assert_allclose(by_class, 0.0, atol=1e-9)


def test_of_two_classes_the_second_is_explained() -> None:
    rows, background = make_tables()

    def binary(table: Table) -> np.ndarray:
        p = 1 / (1 + np.exp(-additive(table)))
        return np.column_stack([1 - p, p])

    values = shapley_values(binary, rows, background, class_names=["no", "yes"], seed=0)
    assert values.shape == (rows.n_rows, 5)
    assert values.index.tolist() == list(range(rows.n_rows))
    np.testing.assert_allclose(values.sum(axis=1), binary(rows)[:, 1], rtol=0, atol=1e-9)


def test_the_seed_alone_decides() -> None:
    rows, background = make_tables()

    def explain(seed: int, n_threads: int = 1) -> pd.DataFrame:
        return shapley_values(entangled, rows, background, class_names=["x", "y", "z"], seed=seed, n_threads=n_threads)

    first = explain(1)
    pd.testing.assert_frame_equal(first, explain(1), check_exact=True)
    pd.testing.assert_frame_equal(first, explain(1, 2), check_exact=True)
    assert not first.equals(explain(2))


def test_many_rows_go_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, background = make_tables()
    whole = shapley_values(entangled, rows, background, class_names=["x", "y", "z"], seed=0)
    sizes = []

    def watched(table: Table) -> np.ndarray:
        sizes.append(table.n_rows)
        return entangled(table)

    monkeypatch.setattr(shapley, "MIXTURES", 1)
    monkeypatch.setattr(explained, "BATCH_ROWS", 40)
    pieces = shapley_values(watched, rows, background, class_names=["x", "y", "z"], seed=0)
    pd.testing.assert_frame_equal(pieces, whole, check_exact=False, rtol=0, atol=1e-12)
    assert max(sizes) == 40


def test_cells_that_equal_the_background_have_no_value_and_cost_nothing() -> None:
    _, background = make_tables()
    same = background.take(np.zeros(3, dtype=np.intp))
    sizes = []

    def watched(table: Table) -> np.ndarray:
        sizes.append(table.n_rows)
        return additive(table)

    values = shapley_values(watched, same, same.take(slice(0, 1)), class_names=None, seed=0)
    np.testing.assert_array_equal(values.iloc[:, :-1], 0.0)
    assert sum(sizes) == 4


def test_values_are_those_of_the_shap_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exact explainer tries every coalition; the mean of many random orders comes as near as chance lets it."""
    # Compiling its helpers takes longer than running them here
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    rows, background = make_tables(4, 6)
    model = Explained(entangled, stack([rows, background]), Task.MULTICLASS, ("x", "y", "z"))
    used = [c.position for c in rows.schema.used]
    exact = by_shap(model, 4, 6, used)
    units = [(p,) for p in used]
    found = np.mean([walk_values(model, np.arange(4), np.arange(4, 10), units, seed=s)[0] for s in range(150)], axis=0)
    np.testing.assert_allclose(found, exact, atol=0.01)
    one = walk_values(model, np.arange(4), np.arange(4, 10), units, seed=0)[0]
    assert np.abs(one - exact).max() > np.abs(found - exact).max()


def by_shap(model: Explained, n_rows: int, n_background: int, used: list[int]) -> np.ndarray:
    """Exact values of shape (n_rows, n_columns, n_classes): the explainer is handed masks alone, row by row."""
    with warnings.catch_warnings():
        # What its plots still call in matplotlib is nothing a user can mend (shap 0.51 with matplotlib 3.11)
        warnings.simplefilter("ignore")
        shap = pytest.importorskip("shap")
    values = []
    for row in range(n_rows):

        def game(masks: np.ndarray, row: int = row) -> np.ndarray:
            known, others = masks.astype(bool), np.arange(n_rows, n_rows + n_background)
            base = np.tile(others, len(masks))
            sources = {p: np.where(known[:, j].repeat(n_background), row, base) for j, p in enumerate(used)}
            return np.asarray(model(base, sources).reshape(len(masks), n_background, -1).mean(axis=1))

        explainer = shap.explainers.Exact(game, lambda mask, x: (mask * x)[None, :])
        values.append(explainer(np.ones((1, len(used)))).values[0])
    return np.stack(values)


def test_slices_compare_with_their_share_of_the_background() -> None:
    """Shapley values are linear in the model: those of a mean are the mean of those of its parts."""
    rows, background = make_tables()
    sizes = {"whole": 0, "part": 0}

    def part(sign: float) -> Callable[[Table], np.ndarray]:
        def value(table: Table) -> np.ndarray:
            sizes["part"] += table.n_rows
            e = effects(table)
            return np.asarray(e.sum(axis=1) + sign * e[:, 0] * e[:, 1])

        return value

    def whole(table: Table) -> np.ndarray:
        sizes["whole"] += table.n_rows
        return additive(table)

    found = shapley_values(whole, rows, background, class_names=None, seed=0, slices=[part(1.0), part(-1.0)])
    assert sizes["whole"] == rows.n_rows
    np.testing.assert_allclose(found.sum(axis=1), additive(rows), rtol=0, atol=1e-9)
    alone = [
        shapley_values(part(sign), rows, background.take(slice(i, None, 2)), class_names=None, seed=0)
        for i, sign in enumerate((1.0, -1.0))
    ]
    np.testing.assert_allclose(found, (alone[0] + alone[1]) / 2, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="multiple of 3"):
        shapley_values(whole, rows, background, class_names=None, seed=0, slices=[part(1.0)] * 3)
    with pytest.raises(AssertionError):
        shapley_values(whole, rows, background, class_names=None, seed=0, slices=[part(1.0)] * 2)


def test_the_less_important_columns_are_one_group() -> None:
    rows, background = make_tables()
    order = ["b", "city", "a", "day"]
    values = shapley_values(additive, rows, background, class_names=None, seed=0, order=order, max_single=2)
    assert list(values.columns) == ["b", "city", "other columns", "base_value"]
    single = shapley_values(additive, rows, background, class_names=None, seed=0)
    np.testing.assert_allclose(values["other columns"], single["a"] + single["day"], atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=1), additive(rows), rtol=0, atol=1e-9)
    # Two single columns and a group against twenty background rows
    assert values.attrs == {"n_background": 20, "max_evals": 1 + 2 * 2 * 20}


def test_no_rows_and_no_background() -> None:
    rows, background = make_tables()
    assert shapley_values(additive, rows.take(slice(0, 0)), background, class_names=None, seed=0).shape == (0, 5)
    with pytest.raises(InvalidInput, match="at least one background row"):
        shapley_values(additive, rows, background.take(slice(0, 0)), class_names=None, seed=0)


def test_one_way_is_exact_for_additive_models() -> None:
    rows, background = make_tables()
    values = shapley_values(additive, rows, background, class_names=None, seed=0, n_ways=1)
    np.testing.assert_allclose(values.iloc[:, :-1], effects(rows) - effects(background).mean(axis=0), atol=1e-12)
    assert values.attrs["max_evals"] == 1 + 3 * 20
    bent = shapley_values(entangled, rows, background, class_names=["x", "y", "z"], seed=0, n_ways=1)
    np.testing.assert_allclose(bent.sum(axis=1), entangled(rows).ravel(), rtol=0, atol=1e-9)


def test_more_rows_and_larger_models_have_a_smaller_background() -> None:
    assert affordable(1, 21) == Effort(50)
    sizes = [affordable(n, 21).n_background for n in (10, 100, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert affordable(1000, 21) == Effort(MAX_PREDICTIONS // 40_000)
    assert affordable(1000, 21, 5) == Effort(5 * affordable(1000, 21).n_background)
    assert affordable(1, 21, 3) == Effort(48)
    # Twelve thousand trees of five leaves: one row to compare with, and one way
    assert affordable(1000, 21, 1, 28_000) == Effort(1, 1)
    assert affordable(100, 21, 1, 28_000).n_background > 1
    assert affordable(1000, 21, 5, 12_000) == Effort(5)
    assert affordable(10**6, 21, 5) == Effort(5, 1)


def test_typical_rows_are_spread_over_the_predictions() -> None:
    said = np.random.default_rng(0).normal(size=(1000, 1))
    chosen = typical_rows(said, 5)
    np.testing.assert_allclose(np.sort(said[chosen, 0]), np.quantile(said, [0.1, 0.3, 0.5, 0.7, 0.9]), atol=0.05)
    assert said[chosen].mean() == pytest.approx(said.mean(), abs=0.05)
    assert typical_rows(said[:2], 5).tolist() == [0, 1]


def test_the_summary_tells_sizes_and_directions() -> None:
    rows, background = make_tables(80, 5)
    model = Explained(additive, stack([rows, background]), Task.REGRESSION)
    summary = shapley_summary(model, rows.schema.used, np.arange(80), np.arange(80, 85), seed=0)
    expected = np.abs(effects(rows) - effects(background).mean(axis=0)).mean(axis=0)
    found = {effect.column: effect for effect in summary.effects}
    np.testing.assert_allclose([found[n].mean_abs for n in ("a", "city", "day", "b")], expected, rtol=1e-5)
    assert [effect.column for effect in summary.effects] == sorted(found, key=lambda n: -found[n].mean_abs)
    assert (found["city"].highest, found["city"].lowest) == ("lima", None)
    assert found["day"].direction == pytest.approx(1.0)
    assert found["b"].direction == pytest.approx(1.0)
    assert abs(found["a"].direction) < 0.5
    assert summary.base_values[0] == pytest.approx(additive(background).mean(), rel=1e-5)
    assert summary.largest_sum_error < 1e-9
    assert summary.stability is not None
    assert summary.stability >= 0.8
    assert (summary.n_rows, summary.n_background, summary.n_grouped) == (80, 5, 0)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_values_of_a_fitted_model_add_up(
    task: str, mixed_frame: Callable[..., pd.DataFrame], target_of: Callable[..., np.ndarray], quick: dict[str, Any]
) -> None:
    from automl_wf.estimator import WorkflowEstimator

    X = mixed_frame(120)
    model = WorkflowEstimator(**quick, estimators=["linear", "lightgbm"]).fit(X, target_of(X, task))
    some = X.iloc[5:8]
    values = model.explain(some, n_background=10)
    if task == "regression":
        expected = model.predict(some)
    else:
        expected = model.predict_proba(some)
        expected = expected[:, 1] if task == "binary" else expected.ravel()
    np.testing.assert_allclose(values.sum(axis=1), expected, rtol=0, atol=1e-9)
    assert list(values.columns[:-1]) == [c.name for c in model.schema_.used]
    assert list(dict.fromkeys(values.index.get_level_values(0))) == [5, 6, 7]
    assert values.attrs["n_background"] == 10
    around = model.explain(some, method="lime")
    assert list(around.columns[-2:]) == ["intercept", "local_r2"]
    assert around.index.equals(values.index)
    with pytest.raises(InvalidParameter, match="'shap' or 'lime'"):
        model.explain(some, method="anchors")
    with pytest.raises(InvalidInput, match="at most 2 rows"):
        model.explain(some, max_rows=2)
