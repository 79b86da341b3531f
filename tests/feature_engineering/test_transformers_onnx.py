"""The public transformers' graphs give what `transform` gives: each alone, in pairs, all five, and on real tables.

The graphs are fed as any other language would feed them: cells are read by `coerce` as the graph's metadata says.
"""

from __future__ import annotations

import datetime as dt
import json
import pickle
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from automl_wf import (
    CategoricalFeatureEngineering,
    FeatureSelection,
    InteractionFeatures,
    NumericalFeatureEngineering,
    TemporalFeatureEngineering,
    pipeline_to_onnx,
)
from automl_wf.core.coerce import coerce
from automl_wf.exceptions import InvalidParameter, NotExportable

VARIANTS = [
    NumericalFeatureEngineering(),
    NumericalFeatureEngineering(scaling=None),
    CategoricalFeatureEngineering(max_words=30),
    CategoricalFeatureEngineering(encoding="codes"),
    CategoricalFeatureEngineering(encoding="target", random_state=0),
    TemporalFeatureEngineering(),
    TemporalFeatureEngineering(encoding="parts"),
    InteractionFeatures(random_state=0),
    InteractionFeatures(scaling=None, random_state=0),
    *(FeatureSelection(method=m, random_state=0) for m in ("probe", "mutual_info", "anova", "chi2", "correlation")),
]
#: In the order of the workflow's pipeline.
FIVE = [
    NumericalFeatureEngineering(),
    CategoricalFeatureEngineering(random_state=0),
    TemporalFeatureEngineering(),
    InteractionFeatures(random_state=0),
    FeatureSelection(random_state=0),
]
FOR_TREES = [
    NumericalFeatureEngineering(scaling=None),
    CategoricalFeatureEngineering(encoding="target", random_state=0),
    TemporalFeatureEngineering(encoding="parts"),
    InteractionFeatures(scaling=None, random_state=0),
    FeatureSelection(method="correlation"),
]
PAIRS = list(combinations(FIVE, 2))
#: Columns of `FEW` are handed on or treated whatever the transformer.
FEW = pd.DataFrame({"age": [20.0, None, 40.0] * 4, "city": ["Oslo", "Rome", "Oslo"] * 4})

WORDS = np.array(["bird", "hit", "wing", "engine", "no", "damage", "naïve", "東京", "runway", "left", "on", "seen"])
CITIES = np.array(["Oslo", "Zürich", "São Paulo", "東京", "New York", 'a"b{}'], dtype=object)
ODD_TEXTS = (
    None,
    "",
    "  ",
    "never seen",
    "ΑΒΓ ß ﬁ",
    "東京 🦜",
    "nan",
    "  Oslo\t",
    "ENGINE  Hit!",
    "~",
    "a\nb",
    7,
    True,
)
ODD_NUMBERS = (None, np.nan, np.inf, -np.inf, 0, -1, 1e308, -1e308, 5e-324, 123_456_789_012_345_678, "7.5", " n/a ")
#: What each column of `zoo` holds on a bad day.
ODD: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["amount", "income", "count", "features"], ODD_NUMBERS),
    "income_kr": (None, 0.0, 1e308),
    "share": (None, "0%", "1000000%", "-5 %", 12, ""),
    "mileage": (None, "9e300 kmpl", "-5 kmpl", "12", 12.5, "", "１２.5 KMPL", np.inf),
    "price": (None, "($5.00)", "-$1,000", "$0", "n/a"),
    "is_member": (None, "YES", "n", "t", "off", 1, ""),
    "flag": (None, True, 0.0),
    **dict.fromkeys(["city", "plan", "remarks", "label"], ODD_TEXTS),
    "joined": (
        None,
        pd.NaT,
        pd.Timestamp("1969-12-31T23:59:59.999999"),
        pd.Timestamp("2100-02-28"),
        dt.datetime(1, 1, 1),
        dt.datetime(9999, 12, 31, 23, 59, 59),
    ),
    "seen": (
        None,
        *(pd.Timestamp(f"2024-03-31T0{h}:59:59.999999Z") for h in (0, 1)),
        *(pd.Timestamp(f"2024-10-27T0{h}:30:00Z") for h in (0, 1)),
        pd.Timestamp("1905-01-01T00:00:00Z"),
        pd.Timestamp("2150-07-01T12:00:00Z"),
    ),
    "sold": (None, "29-Feb-2000", " 01-jan-1900 ", "31-Dec-9999", "n/a"),
    "clock": (None, "00:00", "23:59", ""),
    "id": (None, "k1"),
    "one": (None, 4),
    "gone": (None, 1.5),
}


def zoo(n_rows: int, seed: int) -> pd.DataFrame:
    """Every kind of column and of writing, gaps in most."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(10, 1.5, n_rows)
    joined = pd.Series(
        np.datetime64("2023-01-01", "us") + rng.integers(0, 7 * 10**13, n_rows).astype("timedelta64[us]")
    )
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50, 20, n_rows),
            "income": income,
            "income_kr": income * 11.3,
            "count": rng.integers(0, 9, n_rows),
            "features": rng.integers(0, 50, n_rows),
            "share": [f"{v:.1f}%" for v in rng.uniform(0, 99, n_rows)],
            "mileage": [f"{v:.1f} kmpl" for v in rng.uniform(8, 30, n_rows)],
            "price": [f"${v:,.2f}" for v in rng.uniform(1, 9000, n_rows)],
            "is_member": rng.choice(["Yes", "no"], n_rows),
            "flag": rng.random(n_rows) < 0.4,
            "city": rng.choice(CITIES, n_rows),
            "plan": pd.Categorical(rng.choice(["free", "pro", "team"], n_rows)),
            "label": rng.choice(["a", "b", "c"], n_rows, p=[0.7, 0.2, 0.1]),
            "remarks": [" ".join(rng.choice(WORDS, rng.integers(0, 6))) for _ in range(n_rows)],
            "joined": joined,
            "seen": joined.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
            "sold": joined.dt.strftime("%d-%b-%Y").astype(object),
            "clock": joined.dt.strftime("%H:%M").astype(object),
            "id": [f"k{seed}-{i:x}" for i in range(n_rows)],
            "one": 3.0,
            "gone": np.nan,
        }
    )
    for j, column in enumerate(frame.columns.drop(["count", "features", "flag", "id", "one", "gone"])):
        frame.loc[rng.random(n_rows) < 0.01 * (j % 5), column] = None
    return frame


def spoilt(frame: pd.DataFrame) -> pd.DataFrame:
    """Some rows as they are, and for every odd cell two rows that hold it."""
    rows = [frame.head(30).astype(object)]
    for column in frame.columns.intersection(list(ODD)):
        for k, cell in enumerate(ODD[column]):
            bad = frame.iloc[2 * k : 2 * k + 2].astype(object)
            bad[column] = pd.Series([cell, cell], index=bad.index, dtype=object)
            rows.append(bad)
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    """Training rows."""
    return zoo(260, seed=1)


@pytest.fixture(scope="module")
def y(known: pd.DataFrame) -> np.ndarray:
    """Classes that numbers, categories and times tell something of."""
    signal = (
        known["amount"].fillna(50) / 20
        + 2.0 * (known["city"] == "東京")
        + known["joined"].dt.month.fillna(6) / 6
        + known["remarks"].fillna("").str.contains("engine")
        + known["income"].rank().fillna(130) / 130
    )
    return np.where(signal > signal.median(), "yes", "no")


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    """Rows that no fit saw, odd ones among them."""
    return spoilt(zoo(120, seed=2))


def facts_of(model: Any, key: str) -> list[dict[str, Any]]:
    return json.loads({p.key: p.value for p in model.metadata_props}[key])


def cells_of(X: Any, position: int, facts: dict[str, Any]) -> np.ndarray:
    column = pd.DataFrame(X).iloc[:, position].astype(object).tolist()
    return coerce(column, facts["edge"], facts["cell_format"])


def run(model: Any, X: Any) -> dict[str, np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed: dict[str, list[np.ndarray]] = {}
    for facts in facts_of(model, "inputs"):
        feed.setdefault(facts["input"], []).append(cells_of(X, facts["position"], facts))
    outputs = [o.name for o in session.get_outputs()]
    found = session.run(outputs, {name: np.column_stack(columns) for name, columns in feed.items()})
    return dict(zip(outputs, found, strict=True))


def assert_same(fitted: Any, model: Any, X: Any) -> None:
    """No text or time differs, and no number by more than 1e-9 times max(1, its size); NaN where NaN."""
    expected, outputs = fitted.transform(X), run(model, X)
    told = facts_of(model, "outputs")
    assert [facts["column"] for facts in told] == fitted.get_feature_names_out().tolist()
    assert sum(value.shape[1] for value in outputs.values()) == expected.shape[1]
    for position, facts in enumerate(told):
        seen, wanted = outputs[facts["output"]][:, facts["place"]], cells_of(expected, position, facts)
        if facts["edge"] == "double":
            assert seen.dtype == np.float64
            np.testing.assert_array_equal(np.isnan(seen), np.isnan(wanted), err_msg=facts["column"])
            beyond = np.abs(seen - wanted) > 1e-9 * np.maximum(1.0, np.abs(wanted))
            assert not beyond.any(), (facts["column"], seen[beyond][:3], wanted[beyond][:3])
        else:
            np.testing.assert_array_equal(seen.astype(wanted.dtype), wanted, err_msg=facts["column"])


def chain_of(steps: Any) -> Pipeline:
    return make_pipeline(*(clone(step) for step in steps))


# Parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transformer", VARIANTS, ids=repr)
def test_alone(transformer: Any, known: pd.DataFrame, y: np.ndarray, new: pd.DataFrame) -> None:
    fitted = clone(transformer).fit(known, y)
    assert_same(fitted, fitted.to_onnx(), new)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(type(t).__name__ for t in pair))
def test_in_pairs(pair: Any, known: pd.DataFrame, y: np.ndarray, new: pd.DataFrame) -> None:
    fitted = chain_of(pair).fit(known, y)
    assert_same(fitted, pipeline_to_onnx(fitted), new)


@pytest.mark.parametrize("steps", [FIVE, FOR_TREES], ids=["defaults", "for trees"])
@pytest.mark.parametrize("as_array", [False, True], ids=["frame", "array"])
def test_all_five(steps: Any, as_array: bool, known: pd.DataFrame, y: np.ndarray, new: pd.DataFrame) -> None:
    given, asked = (known.to_numpy(dtype=object), new.to_numpy(dtype=object)) if as_array else (known, new)
    fitted = chain_of(steps).fit(given, y)
    model = pipeline_to_onnx(fitted)
    assert_same(fitted, model, asked)
    assert {f["edge"] for f in facts_of(model, "inputs")} == {"double", "string", "int64"}


def test_values_as_target(known: pd.DataFrame, new: pd.DataFrame) -> None:
    y = known["amount"].fillna(0.0) * known["count"] + known["income"].fillna(0.0) / 1e4
    fitted = chain_of(FIVE).fit(known, y)
    assert_same(fitted, pipeline_to_onnx(fitted), new)
    assert any("_times_" in name for name in fitted.get_feature_names_out())


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_crosses_of_categories_and_numbers(n_classes: int) -> None:
    rng = np.random.default_rng(11)
    X = pd.DataFrame({"city": rng.choice(CITIES, 900), "visits": rng.integers(0, 5, 900), "size": rng.normal(size=900)})
    X.loc[::9, "visits"] = None
    effects = rng.normal(size=(len(CITIES), 6))
    y = effects[pd.factorize(X["city"])[0], X["visits"].fillna(5).astype(int)] + 0.3 * rng.normal(size=900)
    y = y if n_classes == 1 else pd.qcut(y, n_classes, labels=[f"class {i}" for i in range(n_classes)]).astype(str)
    for steps in ([InteractionFeatures(random_state=0)], [InteractionFeatures(random_state=0), FOR_TREES[1]]):
        chain = chain_of(steps).fit(X, y)
        strange = X.assign(
            city=rng.choice([*CITIES, None, "", "Atlantis"], 900),
            visits=rng.choice([0, 1.5, 7, np.nan, np.inf, 1e300], 900),
        )
        for rows in (X, strange):
            assert_same(chain, pipeline_to_onnx(chain), rows)
    fitted = InteractionFeatures(random_state=0).fit(X, y)
    told = [f for f in fitted.feature_metadata_ if f["kind"] == "statistic" and f["parents"] == ["city", "visits"]]
    assert len(told) == (n_classes if n_classes > 2 else 1) + 1
    of_target = told[0]["name"]
    assert of_target.startswith("city_and_visits_target_mean" if n_classes == 1 else "city_and_visits_target_")
    assert of_target in chain.get_feature_names_out().tolist()
    assert fitted.fit_transform(X, y)[of_target].nunique() > 5 * len(CITIES) * 6 / 2
    none = InteractionFeatures(max_crosses=0, random_state=0).fit(X, y)
    assert not any("_and_" in name for name in none.get_feature_names_out())


def test_many_classes(known: pd.DataFrame, new: pd.DataFrame) -> None:
    y = known["city"].fillna("none")
    fitted = chain_of([CategoricalFeatureEngineering(encoding="target", random_state=0)]).fit(known, y)
    assert_same(fitted, pipeline_to_onnx(fitted), new)


def test_the_order_of_steps_is_free(known: pd.DataFrame, y: np.ndarray, new: pd.DataFrame) -> None:
    fitted = chain_of(reversed(FIVE[:4])).fit(known, y)
    assert_same(fitted, pipeline_to_onnx(fitted), new)
    twice = chain_of([*FIVE[:2], *FIVE[:2]]).fit(known, y)
    assert_same(twice, pipeline_to_onnx(twice), new)


def test_an_array_of_numbers_is_one_tensor() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(200, 3)), rng.lognormal(0, 2, 200), np.full(200, 7.0)])
    X[rng.random(X.shape) < 0.05] = np.nan
    odd = np.vstack([X[:20], 1e300 * X[:5], np.full((1, 5), np.nan), np.full((1, 5), np.inf), np.zeros((1, 5))])
    for steps in (FIVE, FOR_TREES, FIVE[1:2], FIVE[4:]):
        fitted = chain_of(steps).fit(X, X[:, 0] > 0)
        model = pipeline_to_onnx(fitted)
        assert [i.name for i in model.graph.input] == ["X"]
        assert [o.name for o in model.graph.output] == ["features"]
        assert_same(fitted, model, odd)


def test_arrays_of_times_and_of_columns_labelled_by_numbers() -> None:
    times = pd.date_range("2024-01-31", periods=40, freq="37h").to_numpy().reshape(-1, 2)
    fitted = chain_of([NumericalFeatureEngineering(), TemporalFeatureEngineering()]).fit(times)
    assert_same(fitted, pipeline_to_onnx(fitted), times)
    frame = pd.DataFrame({0: [1.0, 2.0, np.nan] * 4, 7: ["a", "b", "a"] * 4})
    alone = NumericalFeatureEngineering().fit(frame)
    assert_same(alone, alone.to_onnx(), frame)


def test_numbers_of_an_array_go_on_as_they_were_read() -> None:
    cells = [["a", "1.5 kg"], ["b", "22.25 kg"], ["a", None], ["b", "3.0 kg"]]
    X = np.array(cells * 4, dtype=object)
    fitted = chain_of([CategoricalFeatureEngineering(), NumericalFeatureEngineering()]).fit(X)
    model = pipeline_to_onnx(fitted)
    assert [f["cell_format"] for f in facts_of(model, "inputs")] == [None, "#.## kg"]
    assert_same(fitted, model, np.array([["c", "7 kg"], [None, 8.5]], dtype=object))


def test_amounts_in_two_currencies_do_not_cancel_to_noise() -> None:
    rng = np.random.default_rng(0)
    income = rng.lognormal(10, 1.5, 600)
    X = pd.DataFrame({"eur": income, "usd": income * 1.07})
    noise = NumericalFeatureEngineering().fit_transform(X)[["eur", "usd"]]
    noise = noise["eur"] - noise["usd"]
    assert 0.0 < noise.abs().max() < 1e-12
    fitted = chain_of([NumericalFeatureEngineering(), InteractionFeatures(random_state=0)])
    fitted.fit(X, noise < 0)
    assert_same(fitted, pipeline_to_onnx(fitted), X)
    assert not {"eur_minus_usd", "eur_by_usd"} & set(fitted.get_feature_names_out())


# Real tables ----------------------------------------------------------------------------------------------------------

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "MANIFEST.json"
TABLES = json.loads(SHARED.read_text(encoding="utf-8")) if SHARED.is_file() else {}


@pytest.mark.skipif(not TABLES, reason="no tables beside the checkout (../shared/data)")
def test_there_are_seventeen_tables() -> None:
    assert len(TABLES) == 17


@pytest.mark.parametrize("name", list(TABLES) or [pytest.param("none", marks=pytest.mark.skip("no tables"))])
def test_real_tables(name: str) -> None:
    facts = TABLES[name]
    table = pd.read_parquet(SHARED.with_name(facts["file"]))
    table = table.sample(n=min(len(table), 260), random_state=0, ignore_index=True)
    y = table.pop(facts["target"])
    X = table.drop(columns=[c for c in [facts["group"], *facts["drop"]] if c in table])
    X = X.iloc[:, :: -(-X.shape[1] // 40)]
    train, test = X.iloc[:180], X.iloc[180:]
    holes = test.astype(object).mask(np.random.default_rng(0).random(test.shape) < 0.2, None)
    if y.nunique() < 20 and y[:180].nunique() < 2:
        y = pd.Series(np.arange(len(y)) % 2)
    for steps in (FIVE, FOR_TREES):
        fitted = chain_of(steps).fit(train, y.iloc[:180])
        model = pipeline_to_onnx(fitted)
        assert_same(fitted, model, test)
        assert_same(fitted, model, holes)


# What goes in and what comes out --------------------------------------------------------------------------------------


def test_inputs_and_outputs(known: pd.DataFrame) -> None:
    fitted = NumericalFeatureEngineering().fit(known)
    model = fitted.to_onnx()
    inputs = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    # A column that is called like an output of graphs has another input.
    assert list(inputs) == [f"f{i}" if c in ("features", "label") else c for i, c in enumerate(known.columns)]
    assert (inputs["amount"], inputs["city"], inputs["joined"]) == (11, 8, 7)
    assert {o.name for o in model.graph.output} == {
        "features",
        *(f"{c}_out" for c in ("city", "plan", "f12", "remarks", "joined", "seen", "sold", "clock", "id")),
    }
    by_column = {f["column"]: f for f in facts_of(model, "inputs")}
    assert by_column["mileage"]["cell_format"] == "#.## kmpl"
    assert by_column["sold"] == {
        "column": "sold",
        "position": 16,
        "input": "sold",
        "edge": "int64",
        "cell_format": "%d-%b-%Y",
    }
    assert "id" not in [i.name for i in CategoricalFeatureEngineering().fit(known).to_onnx().graph.input]


def test_what_selection_leaves_out_is_no_input(known: pd.DataFrame, y: np.ndarray) -> None:
    selection = FeatureSelection(random_state=0).fit(known, y)
    kept = known.columns[selection.get_support()].tolist()
    assert 0 < len(kept) < known.shape[1]
    assert [f["column"] for f in facts_of(selection.to_onnx(), "inputs")] == kept


def test_an_output_is_not_called_like_an_input() -> None:
    X = pd.DataFrame({"city": list("ab") * 3, "city_out": list("cd") * 3, "n": range(6)})
    model = NumericalFeatureEngineering().fit(X).to_onnx()
    assert [o.name for o in model.graph.output] == ["features", "city_out_", "city_out_out"]


def test_only_what_every_runtime_has(known: pd.DataFrame, y: np.ndarray) -> None:
    import onnx

    fitted = chain_of(FIVE).fit(known, y)
    model = pipeline_to_onnx(fitted)
    onnx.checker.check_model(model, full_check=True)
    assert {n.op_type for n in model.graph.node if n.domain == "com.microsoft"} == {"Tokenizer"}
    assert {o.domain: o.version for o in model.opset_import}[""] == 21
    again = pipeline_to_onnx(pickle.loads(pickle.dumps(fitted)))
    assert again.SerializeToString() == model.SerializeToString()


def test_steps_that_pass_through_and_pipelines_within() -> None:
    y = [0, 1, 0] * 4
    inner = make_pipeline(NumericalFeatureEngineering(), "passthrough")
    fitted = make_pipeline(inner, None, CategoricalFeatureEngineering()).fit(FEW, y)
    assert_same(fitted, pipeline_to_onnx(fitted), FEW)
    plain = make_pipeline(NumericalFeatureEngineering(), CategoricalFeatureEngineering()).fit(FEW, y)
    assert pipeline_to_onnx(fitted).SerializeToString() == pipeline_to_onnx(plain).SerializeToString()


def test_frames_that_set_output_makes() -> None:
    X = FEW.to_numpy(dtype=object)
    steps = [NumericalFeatureEngineering(), CategoricalFeatureEngineering()]
    fitted = make_pipeline(*steps).set_output(transform="pandas").fit(X)
    assert_same(fitted, pipeline_to_onnx(fitted), X)


# Errors ---------------------------------------------------------------------------------------------------------------


def test_a_kind_that_one_step_only_knows() -> None:
    X = pd.DataFrame({"zone": [1.0, 2.0, 3.0, 4.0] * 5, "x": np.arange(20) / 7})
    schema = {"zone": "categorical"}
    both = make_pipeline(NumericalFeatureEngineering(schema=schema), CategoricalFeatureEngineering(schema=schema))
    fitted = both.fit(X)
    assert "zone_1" in fitted.get_feature_names_out()
    assert_same(fitted, pipeline_to_onnx(fitted), X)
    second = make_pipeline(NumericalFeatureEngineering(), CategoricalFeatureEngineering(schema=schema)).fit(X)
    with pytest.raises(NotExportable, match="'categoricalfeatureengineering' reads column 'zone' as categorical"):
        pipeline_to_onnx(second)
    twice = make_pipeline(InteractionFeatures(random_state=0), CategoricalFeatureEngineering(schema=schema))
    twice.fit(X, X["x"] > 1)
    with pytest.raises(NotExportable, match="Column 'zone' is read as numeric by one step and as categorical by"):
        pipeline_to_onnx(twice)


def test_steps_that_have_no_graph() -> None:
    y = [0, 1, 0] * 4
    pipeline = make_pipeline(NumericalFeatureEngineering(), CategoricalFeatureEngineering(), LogisticRegression())
    pipeline.fit(FEW, y)
    with pytest.raises(NotExportable, match=r"'logisticregression' \(LogisticRegression\).*pipeline\[:-1\]"):
        pipeline_to_onnx(pipeline)
    assert_same(pipeline[:-1], pipeline_to_onnx(pipeline[:-1]), FEW)
    with pytest.raises(NotExportable, match="StandardScaler"):
        pipeline_to_onnx(make_pipeline(NumericalFeatureEngineering(), StandardScaler()).fit(FEW[["age"]]))
    with pytest.raises(NotExportable, match="no transformer"):
        pipeline_to_onnx(make_pipeline("passthrough").fit(FEW))
    with pytest.raises(InvalidParameter, match="must be a Pipeline"):
        pipeline_to_onnx(NumericalFeatureEngineering().fit(FEW))


@pytest.mark.parametrize("transformer", FIVE, ids=lambda t: type(t).__name__)
def test_not_fitted(transformer: Any) -> None:
    with pytest.raises(NotFittedError):
        clone(transformer).to_onnx()
    with pytest.raises(NotFittedError):
        pipeline_to_onnx(make_pipeline(clone(transformer)))


def test_steps_that_were_fitted_apart() -> None:
    apart = [NumericalFeatureEngineering().fit(FEW), CategoricalFeatureEngineering().fit(FEW)]
    with pytest.raises(NotExportable, match="fit the pipeline as a whole"):
        pipeline_to_onnx(make_pipeline(*apart))


def test_nothing_comes_out() -> None:
    X = pd.DataFrame({"id": [f"k{i:x}" for i in range(60)]})
    with pytest.raises(NotExportable, match="Nothing comes out"):
        CategoricalFeatureEngineering().fit(X).to_onnx()
