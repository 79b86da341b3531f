"""Shapley values of models whose values are known on paper: on numbers, texts, times and gaps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.table import Strings, Table
from automl_wf.exceptions import InvalidInput
from automl_wf.interpretation import shapley
from automl_wf.interpretation.shapley import shapley_values

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


def test_the_seed_alone_decides_and_the_global_generator_stays_as_it_was() -> None:
    rows, background = make_tables()

    def explain(seed: int) -> pd.DataFrame:
        return shapley_values(entangled, rows, background, class_names=["x", "y", "z"], seed=seed)

    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = explain(1)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    pd.testing.assert_frame_equal(first, explain(1), check_exact=True)
    assert not first.equals(explain(2))


def test_wide_tables_go_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, background = make_tables()
    whole = shapley_values(additive, rows, background, class_names=None, seed=0)
    sizes = []

    def watched(table: Table) -> np.ndarray:
        sizes.append(table.n_rows)
        return additive(table)

    monkeypatch.setattr(shapley, "_MAX_CELLS", 100)
    monkeypatch.setattr(shapley, "MAX_MIXTURES", 1)
    pieces = shapley_values(watched, rows, background, class_names=None, seed=0)
    pd.testing.assert_frame_equal(pieces, whole, check_exact=False, rtol=0, atol=1e-12)
    assert max(sizes) == 100 // 5


def test_cells_that_equal_the_background_have_no_value() -> None:
    _, background = make_tables()
    same = background.take(np.zeros(3, dtype=np.intp))
    values = shapley_values(additive, same, same.take(slice(0, 1)), class_names=None, seed=0)
    np.testing.assert_array_equal(values.iloc[:, :-1], 0.0)


def test_no_rows_and_no_background() -> None:
    rows, background = make_tables()
    assert shapley_values(additive, rows.take(slice(0, 0)), background, class_names=None, seed=0).shape == (0, 5)
    with pytest.raises(InvalidInput, match="at least one background row"):
        shapley_values(additive, rows, background.take(slice(0, 0)), class_names=None, seed=0)


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


def test_shap_is_imported_when_it_is_used() -> None:
    code = "import sys, automl_wf.interpretation.shapley; sys.exit('shap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
