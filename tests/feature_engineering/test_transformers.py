"""The five public transformers: scikit-learn's checks, what is handed on and what is made, alone and in a pipeline."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpydoc.docscrape import ClassDoc
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import chi2, f_classif, f_regression, mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from automl_wf import (
    CategoricalFeatureEngineering,
    FeatureSelection,
    InteractionFeatures,
    NumericalFeatureEngineering,
    TemporalFeatureEngineering,
)
from automl_wf.core.frame import learn_schema
from automl_wf.exceptions import InvalidCell, InvalidInput, InvalidParameter, WorkflowError
from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles
from automl_wf.feature_engineering.datetime_parts import DatetimeParts
from automl_wf.feature_engineering.numeric_pass import NumericPass
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.one_hot import OneHot
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear
from automl_wf.feature_engineering.target_statistics import TargetStatistics
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.word_weights import WordWeights

CLASSES = (
    NumericalFeatureEngineering,
    CategoricalFeatureEngineering,
    TemporalFeatureEngineering,
    InteractionFeatures,
    FeatureSelection,
)
VARIANTS = [
    NumericalFeatureEngineering(),
    NumericalFeatureEngineering(scaling=None),
    NumericalFeatureEngineering(scaling="piecewise"),
    CategoricalFeatureEngineering(),
    CategoricalFeatureEngineering(encoding="codes"),
    CategoricalFeatureEngineering(encoding="target", random_state=0),
    TemporalFeatureEngineering(),
    TemporalFeatureEngineering(encoding="parts"),
    InteractionFeatures(max_features=5, max_columns=4, random_state=0),
    InteractionFeatures(max_features=5, max_columns=4, scaling=None, random_state=0),
    *(FeatureSelection(method=m, random_state=0) for m in ("probe", "mutual_info", "anova", "chi2", "correlation")),
]
#: What scikit-learn holds of its own transformers beside `parametrize_with_checks`.
FURTHER_CHECKS = (
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
)
WORDS = np.array([f"word{i}" for i in range(18)])
REVIEWS = [" ".join(np.random.default_rng(i).choice(WORDS, 6)) for i in range(60)]

every_class = pytest.mark.parametrize("cls", CLASSES)
every_variant = pytest.mark.parametrize("transformer", VARIANTS, ids=repr)


def seeds_pipeline(model: Any) -> Pipeline:
    """The author's order, then a learner."""
    return Pipeline(
        [
            ("numerical", NumericalFeatureEngineering()),
            ("categorical", CategoricalFeatureEngineering(random_state=0)),
            ("temporal", TemporalFeatureEngineering()),
            ("interaction", InteractionFeatures(max_features=5, random_state=0)),
            ("selection", FeatureSelection(random_state=0)),
            ("model", model),
        ]
    )


@pytest.fixture
def X(mixed_frame: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Every kind of column, gaps and a text among them, under an index with doubles."""
    frame = mixed_frame(240, seed=3).assign(
        review=np.random.default_rng(5).choice(REVIEWS, 240), price=[f"{i % 7}.50 €" for i in range(240)]
    )
    return frame.set_axis([i // 2 for i in range(240)], axis=0)


@pytest.fixture
def y(X: pd.DataFrame, target_of: Callable[..., np.ndarray]) -> np.ndarray:
    return target_of(X.reset_index(drop=True), "binary")


# scikit-learn's checks ------------------------------------------------------------------------------------------------


@parametrize_with_checks([clone(transformer) for transformer in VARIANTS])
def test_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@every_variant
@pytest.mark.parametrize("check", FURTHER_CHECKS)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_further_check(transformer: Any, check: str) -> None:
    getattr(estimator_checks, check)(type(transformer).__name__, clone(transformer))


@every_variant
def test_enough_checks_apply(transformer: Any) -> None:
    assert sum(1 for _ in estimator_checks_generator(clone(transformer), mark="skip")) >= 40


# Parameters and documentation -----------------------------------------------------------------------------------------


@every_class
def test_parameters_are_keyword_only_declared_and_documented(cls: type) -> None:
    names = set(cls().get_params())
    assert set(cls._parameter_constraints) == names
    documented = {p.name: p.type.replace('"', "'") for p in ClassDoc(cls)["Parameters"]}
    signature = inspect.signature(cls).parameters
    assert list(documented) == list(signature)
    for name, parameter in signature.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert documented[name].endswith(f"default={parameter.default!r}")


@every_class
def test_fitted_attributes_are_documented(cls: type, X: pd.DataFrame, y: np.ndarray) -> None:
    learnt = {a for a in vars(cls().fit(X, y)) if a.endswith("_") and not a.startswith("_")}
    assert learnt == {a.name for a in ClassDoc(cls)["Attributes"]}


@pytest.mark.parametrize(
    ("cls", "parameter", "value"),
    [
        (NumericalFeatureEngineering, "scaling", "minmax"),
        (NumericalFeatureEngineering, "schema", "numeric"),
        (CategoricalFeatureEngineering, "encoding", "hash"),
        (CategoricalFeatureEngineering, "max_levels", 0),
        (CategoricalFeatureEngineering, "max_words", 1.5),
        (TemporalFeatureEngineering, "encoding", None),
        (InteractionFeatures, "max_features", 0),
        (InteractionFeatures, "max_columns", 1),
        (InteractionFeatures, "random_state", "x"),
        (FeatureSelection, "method", "best"),
        (FeatureSelection, "max_features", 0),
        (FeatureSelection, "threshold", -0.1),
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_parameters_are_validated_in_fit(cls: type, parameter: str, value: Any, method: str) -> None:
    transformer = cls(**{parameter: value})
    match = f"The '{parameter}' parameter of {cls.__name__} must be .* Got {value!r} instead"
    with pytest.raises(InvalidParameter, match=match):
        getattr(transformer, method)([[1.0, 2.0], [2.0, 1.0]], [0, 1])
    assert set(vars(transformer)) == set(transformer.get_params())


# What is handed on ----------------------------------------------------------------------------------------------------

TREATED = {
    NumericalFeatureEngineering: ["amount", "count", "is_member", "visits", "price"],
    CategoricalFeatureEngineering: ["city", "plan", "review"],
    TemporalFeatureEngineering: ["joined", "seen", "born"],
    InteractionFeatures: [],
}


@pytest.mark.parametrize("cls", TREATED)
def test_other_columns_come_first_as_they_were(cls: type, X: pd.DataFrame, y: np.ndarray) -> None:
    before = X.copy()
    out = cls().fit(X, y).transform(X)
    others = [c for c in X.columns if c not in TREATED[cls]]
    assert list(out.columns[: len(others)]) == others
    pd.testing.assert_frame_equal(out[others], X[others])
    assert set(out.dtypes[len(others) :]) == {np.dtype(np.float64)}
    pd.testing.assert_frame_equal(X, before)


@every_variant
def test_names_are_those_of_the_output_and_of_the_metadata(transformer: Any, X: pd.DataFrame, y: np.ndarray) -> None:
    transformer = clone(transformer).set_params(**({"method": "probe"} if hasattr(transformer, "method") else {}))
    out = transformer.fit_transform(X, y)
    names = transformer.get_feature_names_out()
    assert list(out.columns) == names.tolist() == [facts["name"] for facts in transformer.feature_metadata_]
    assert len(set(names)) == len(names)
    for facts in transformer.feature_metadata_:
        assert list(facts) == ["name", "kind", "parents", "formula"]
        assert facts["parents"]
        assert set(facts["parents"]) <= set(X.columns)
        assert facts["formula"]


def test_a_feature_that_is_called_like_a_column_is_numbered() -> None:
    X = pd.DataFrame({"a_x": [1.0, 2.0, 3.0] * 2, "a": ["x"] * 6, "A_X_2": [True] * 6})
    out = CategoricalFeatureEngineering().fit_transform(X)
    assert list(out.columns) == ["a_x", "A_X_2", "a_x_2"]
    assert out["a_x"].tolist() == X["a_x"].tolist()


def test_columns_that_a_model_would_not_use_are_treated_too() -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 4.0], "copy": [1.0, 2.0, 4.0], "one": [3.0, 3.0, 3.0], "gap": [np.nan] * 3})
    out = NumericalFeatureEngineering().fit_transform(X)
    np.testing.assert_array_equal(out["copy"], out["a"])
    assert out["one"].tolist() == out["gap"].tolist() == [0.0, 0.0, 0.0]


def test_nothing_is_made_of_identifiers() -> None:
    X = pd.DataFrame({"n": range(60), "id": [f"k{i:x}" for i in range(60)]})
    for encoding in ("one_hot", "codes", "target"):
        out = CategoricalFeatureEngineering(encoding=encoding).fit_transform(X, X["n"] / 7)
        assert list(out.columns) == ["n"]


def test_a_frame_without_columns_of_the_kind_is_handed_on() -> None:
    X = pd.DataFrame({"n": [1, 2, 3]}, index=list("abc"))
    for transformer in (CategoricalFeatureEngineering(), TemporalFeatureEngineering()):
        pd.testing.assert_frame_equal(transformer.fit_transform(X), X)
        pd.testing.assert_frame_equal(transformer.transform(X), X)


# Arrays and other containers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_arrays_of_numbers_make_float64(dtype: Any) -> None:
    X = np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)
    for transformer in (CategoricalFeatureEngineering(), NumericalFeatureEngineering(scaling=None)):
        out = transformer.fit_transform(X)
        assert out.dtype == np.float64
        np.testing.assert_array_equal(out, X)


def test_arrays_of_objects_stay_so_until_everything_is_a_number() -> None:
    X = np.array([[1.5, "a", True], [np.nan, "b", False], [2.5, "a", True]] * 3, dtype=object)
    numbers = NumericalFeatureEngineering(scaling=None).fit_transform(X)
    assert numbers.dtype == object
    assert numbers[:2].tolist()[0] == ["a", 1.5, 1.0]
    out = CategoricalFeatureEngineering(encoding="codes").fit_transform(numbers)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out[:3], [[1.5, 1.0, 0.0], [np.nan, 0.0, 1.0], [2.5, 1.0, 0.0]])


def test_arrays_of_times() -> None:
    X = pd.date_range("2024-01-31", periods=4, freq="MS").to_numpy().reshape(-1, 1)
    handed_on = NumericalFeatureEngineering().fit_transform(X)
    assert handed_on.dtype == object
    parts = TemporalFeatureEngineering(encoding="parts")
    np.testing.assert_array_equal(parts.fit_transform(handed_on), parts.fit_transform(X))
    assert "x0_month" in parts.get_feature_names_out()


@every_variant
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_an_array_makes_what_its_frame_makes(transformer: Any, X: pd.DataFrame, y: np.ndarray) -> None:
    X = X.drop(columns=["plan"])  # a category by its dtype
    transformer = clone(transformer).set_params(**({"method": "probe"} if hasattr(transformer, "method") else {}))
    frame = transformer.fit(X, y).transform(X)
    array = clone(transformer).fit(X.to_numpy(dtype=object), y).transform(X.to_numpy(dtype=object))
    assert array.shape == frame.shape
    for j, name in enumerate(frame.columns):
        if frame[name].dtype == np.float64:
            np.testing.assert_allclose(array[:, j].astype(float), frame[name], rtol=1e-12)


def test_fitted_on_an_array_it_reads_frames_by_position() -> None:
    X = np.array([["a", 1.0], ["b", 2.0], ["a", np.nan]] * 3, dtype=object)
    transformer = NumericalFeatureEngineering(scaling=None).fit(X)
    assert transformer.get_feature_names_out().tolist() == ["x0", "x1"]
    assert transformer.get_feature_names_out(["c", "n"]).tolist() == ["c", "n"]
    with pytest.warns(UserWarning, match="X has feature names, but NumericalFeatureEngineering was fitted without"):
        out = transformer.transform(pd.DataFrame(X, columns=["c", "n"]))
    assert list(out.columns) == ["x0", "x1"]
    np.testing.assert_array_equal(out["x1"], X[:, 1].astype(float))


def test_columns_labelled_by_numbers_have_no_names() -> None:
    X = pd.DataFrame({0: [1.0, 2.0, np.nan], 7: ["a", "b", "a"]})
    transformer = NumericalFeatureEngineering().fit(X)
    assert not hasattr(transformer, "feature_names_in_")
    assert transformer.transform(X).columns.tolist() == ["x1", "x0", "x0_missing"]


def test_set_output(X: pd.DataFrame) -> None:
    transformer = CategoricalFeatureEngineering().set_output(transform="pandas")
    out = transformer.fit_transform(X[["amount", "city"]].to_numpy(dtype=object))
    assert list(out.columns) == transformer.get_feature_names_out().tolist()
    assert out.columns[0] == "x0"
    transformer.set_output(transform="default")
    assert isinstance(transformer.transform(X[["amount", "city"]].to_numpy(dtype=object)), np.ndarray)


# What is made ---------------------------------------------------------------------------------------------------------


def made(transformer: Any, X: pd.DataFrame, y: Any = None) -> np.ndarray:
    """The features of a fitted transformer without the columns that are handed on."""
    out = transformer.fit(X, y).transform(X)
    return out.iloc[:, [facts["formula"] != "handed on as it is" for facts in transformer.feature_metadata_]].to_numpy()


def test_features_are_those_of_the_block_transformers(X: pd.DataFrame, y: np.ndarray) -> None:
    X = X.reset_index(drop=True)
    schema, table, _ = learn_schema(X)
    place = {c.name: c.position for c in schema.columns}
    codes = np.unique(y, return_inverse=True)[1]
    numbers = table.numbers([place[c] for c in ("amount", "count", "is_member", "visits", "price")])
    texts = table.strings([place[c] for c in ("city", "plan", "review")])
    reviews = table.strings([place["review"]])
    times = table.times([place[c] for c in ("joined", "seen", "born")])
    zones = [None, "Europe/Berlin", None]
    expected = {
        NumericalFeatureEngineering(): [NumericScaler().fit_transform(numbers)],
        NumericalFeatureEngineering(scaling=None): [NumericPass().fit_transform(numbers)],
        NumericalFeatureEngineering(scaling="piecewise"): [PiecewiseLinear().fit_transform(numbers)],
        CategoricalFeatureEngineering(max_levels=3, max_words=9): [
            OneHot(max_levels=3).fit_transform(texts),
            WordWeights(max_words=9, max_pairs=3).fit_transform(reviews),
        ],
        CategoricalFeatureEngineering(encoding="codes"): [CategoryCodes().fit_transform(texts)],
        CategoricalFeatureEngineering(encoding="target", max_words=9): [
            TargetStatistics(2).fit(texts, codes).transform(texts),
            WordStatistics(2, max_words=9, max_pairs=3).fit(reviews, codes).transform(reviews),
        ],
        TemporalFeatureEngineering(): [DatetimeCycles(zones).fit_transform(times)],
        TemporalFeatureEngineering(encoding="parts"): [DatetimeParts(zones).fit_transform(times)],
    }
    for transformer, blocks in expected.items():
        np.testing.assert_array_equal(made(transformer, X, y), np.hstack(blocks), err_msg=repr(transformer))


def test_target_statistics_of_training_rows_are_cross_fitted() -> None:
    X = pd.DataFrame({"c": np.random.default_rng(0).choice(list("abcdef"), 120)})
    y = np.random.default_rng(1).normal(size=120)
    twins = [CategoricalFeatureEngineering(encoding="target", random_state=s) for s in (0, 0, 1)]
    first, second, other = (t.fit_transform(X, y) for t in twins)
    pd.testing.assert_frame_equal(first, second)
    assert not first["c_target_mean"].equals(other["c_target_mean"])
    new = twins[0].transform(X)
    assert not first["c_target_mean"].equals(new["c_target_mean"])
    assert new.groupby(X["c"])["c_target_mean"].nunique().eq(1).all()
    pd.testing.assert_frame_equal(new, clone(twins[2]).fit(X, y).transform(X))


def test_unseen_and_missing_values_make_no_error(X: pd.DataFrame, y: np.ndarray) -> None:
    strange = X.assign(amount=np.inf, city="Atlantis", joined=pd.NaT, review=None, price="n/a").iloc[:3]
    for cls in (NumericalFeatureEngineering, CategoricalFeatureEngineering, TemporalFeatureEngineering):
        transformer = cls().fit(X, y)
        out = transformer.transform(strange)
        new = [facts["name"] for facts in transformer.feature_metadata_ if facts["name"] not in X.columns]
        assert np.isfinite(out[new].to_numpy(dtype=float)).all()


def test_a_cell_that_cannot_be_read_is_an_error_of_its_own_kind_only(X: pd.DataFrame) -> None:
    bad = X.assign(price="cheap")
    with pytest.raises(InvalidCell, match="'price'"):
        NumericalFeatureEngineering().fit(X).transform(bad)
    assert CategoricalFeatureEngineering().fit(X).transform(bad)["price"].tolist() == ["cheap"] * len(X)


def test_the_advice_for_a_cell_that_cannot_be_read_helps(X: pd.DataFrame) -> None:
    with pytest.raises(InvalidCell, match=r"fit again with schema=\{'price': 'categorical'\}"):
        NumericalFeatureEngineering().fit(X).transform(X.assign(price="cheap"))
    told = NumericalFeatureEngineering(schema={"price": "categorical"}).fit(X)
    assert told.transform(X.assign(price="cheap"))["price"].tolist() == ["cheap"] * len(X)


@every_class
def test_kinds_that_the_user_knows_better(cls: type, X: pd.DataFrame, y: np.ndarray) -> None:
    transformer = cls(schema={"count": "categorical", "city": "identifier"}).fit(X, y)
    kinds = {c.name: c.kind.value for c in transformer.schema_.columns}
    assert (kinds["count"], kinds["city"], kinds["plan"]) == ("categorical", "identifier", "categorical")
    out = set(transformer.get_feature_names_out())
    if cls is not FeatureSelection:
        assert ("count" in out) is (cls is not CategoricalFeatureEngineering)
    assert ("city" in out) is (cls not in (CategoricalFeatureEngineering, FeatureSelection))
    for bad in ({"absent": "numeric"}, {"count": "ordinal"}):
        with pytest.raises(InvalidParameter, match="'schema' parameter"):
            cls(schema=bad).fit(X, y)


# Errors ---------------------------------------------------------------------------------------------------------------


@every_class
def test_inputs_that_cannot_be_used(cls: type) -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [2.0, 1.0, 2.0, 1.0]})
    y = [0, 1, 0, 1]
    transformer = cls().fit(X, y)
    for bad in (
        X["a"],
        sparse.csr_array(X.to_numpy()),
        X.iloc[:0],
        X[["a"]],
        X[["b", "a"]],
        X.rename(columns={"a": "c"}),
    ):
        with pytest.raises(InvalidInput):
            transformer.transform(bad)
    with pytest.raises(InvalidInput, match="input_features is not equal to feature_names_in_"):
        transformer.get_feature_names_out(["b", "a"])
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(cls(), method)(X)
    with pytest.raises(InvalidInput, match="1D array"):
        cls().fit(X["a"].to_numpy(), y)


@pytest.mark.parametrize(
    "transformer",
    [CategoricalFeatureEngineering(encoding="target"), InteractionFeatures(), FeatureSelection()],
    ids=lambda t: type(t).__name__,
)
def test_y_is_needed_where_it_is_learnt_from(transformer: Any, X: pd.DataFrame) -> None:
    assert transformer.__sklearn_tags__().target_tags.required
    with pytest.raises(InvalidInput, match="requires y to be passed, but the target y is None"):
        transformer.fit(X)
    with pytest.raises(InvalidInput, match="inconsistent numbers of samples"):
        transformer.fit(X, [0, 1])
    assert not FeatureSelection(method="correlation").__sklearn_tags__().target_tags.required
    assert not CategoricalFeatureEngineering().__sklearn_tags__().target_tags.required


# Interactions ---------------------------------------------------------------------------------------------------------


def test_a_product_is_found_in_values_and_in_classes() -> None:
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 5)), columns=list("abcde"))
    product = X["b"] * X["d"]
    for y in (product, np.where(product > 0, "same", "other")):
        features = InteractionFeatures(max_features=3, random_state=0).fit(X, y)
        assert "b_times_d" in features.get_feature_names_out()
        parents = {f["name"]: f["parents"] for f in features.feature_metadata_}
        assert parents["b_times_d"] == ["b", "d"]


def test_interactions_are_those_of_arithmetic_scaled_or_not(X: pd.DataFrame) -> None:
    y = X["amount"].fillna(0.0) * X["count"]
    plain = InteractionFeatures(max_features=4, scaling=None, random_state=0)
    values = made(plain, X, y)
    fitted = plain._learnt.steps[0].transformer
    assert type(fitted) is Arithmetic
    numbers = learn_schema(X.reset_index(drop=True))[1].numbers([0, 1, 5, 10])
    np.testing.assert_array_equal(values, fitted.transform(numbers))
    scaled = InteractionFeatures(max_features=4, random_state=0)
    np.testing.assert_array_equal(made(scaled, X, y), NumericScaler().fit_transform(values))
    assert np.isfinite(made(scaled, X, y)).all()
    assert any(f["name"].endswith("_missing") and f["kind"] == "indicator" for f in scaled.feature_metadata_)


def test_one_column_of_numbers_makes_no_pair() -> None:
    X = pd.DataFrame({"a": range(20), "b": list("xy") * 10})
    pd.testing.assert_frame_equal(InteractionFeatures().fit_transform(X, X["a"] % 2), X)


# Selection ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told() -> tuple[pd.DataFrame, pd.Series]:
    """Two numbers and a category that tell something, eight columns of noise, one that does not vary."""
    rng = np.random.default_rng(7)
    X = pd.DataFrame(rng.normal(size=(600, 10)), columns=[f"n{i}" for i in range(10)])
    X["c"] = rng.choice(["low", "mid", "top"], 600)
    X["one"] = 1.0
    return X, 2.0 * X["n0"] - X["n1"] + 2.0 * (X["c"] == "top") + 0.5 * rng.normal(size=600)


@pytest.mark.parametrize("classes", [False, True], ids=["values", "classes"])
def test_probes_keep_what_tells_and_drop_noise(told: Any, classes: bool) -> None:
    X, y = told
    selection = FeatureSelection(random_state=0).fit(X, y > 0 if classes else y)
    assert selection.get_feature_names_out().tolist() == ["n0", "n1", "c"]
    assert selection.get_support(indices=True).tolist() == [0, 1, 10]
    assert list(selection.transform(X).columns) == ["n0", "n1", "c"]
    assert selection.reasons_[0].startswith("kept: gain")
    assert selection.reasons_[5].startswith("dropped: gain")
    assert selection.reasons_[11] == "dropped: one value only"
    assert np.isnan(selection.scores_[11])
    assert np.argmax(np.nan_to_num(selection.scores_)) == 0


@pytest.mark.parametrize("method", ["mutual_info", "anova"])
@pytest.mark.parametrize("classes", [False, True], ids=["values", "classes"])
def test_statistics_are_those_of_scikit_learn(told: Any, method: str, classes: bool) -> None:
    X, y = told[0].drop(columns=["one", "c"]), told[1]
    y = (y > 0).astype(int) if classes else y
    selection = FeatureSelection(method=method, max_features=2, random_state=0).fit(X, y)
    Z = NumericScaler().fit_transform(X.to_numpy())
    if method == "anova":
        scores = (f_classif if classes else f_regression)(Z, y)[0]
        np.testing.assert_allclose(selection.scores_, scores)
    else:
        measure = mutual_info_classif if classes else mutual_info_regression
        np.testing.assert_allclose(selection.scores_, measure(Z, y, random_state=0), atol=0.01)
    best = set(np.argsort(-selection.scores_)[:2])
    kept = set(selection.get_support(indices=True).tolist())
    # With few rows an estimate of mutual information may lie among those that chance makes.
    assert kept <= best if method == "mutual_info" else kept == best
    assert "n0" in selection.get_feature_names_out()


@pytest.mark.parametrize("classes", [False, True], ids=["values", "classes"])
def test_mutual_information_lets_one_column_of_noise_in_twenty_through(classes: bool) -> None:
    # 200 columns tell nothing: 10 pass on average, and more than 20 (three standard deviations beyond) hardly ever.
    rng = np.random.default_rng(3)
    noise = {f"n{i}": rng.normal(size=150) for i in range(100)}
    noise |= {f"c{i}": rng.choice(list("abcd"), 150) for i in range(100)}
    told = rng.normal(size=150)
    X = pd.DataFrame({**noise, "told": told, "level": np.where(told > 0.5, "high", "low")})
    y = told + 0.3 * rng.normal(size=150)
    selection = FeatureSelection(method="mutual_info", random_state=0).fit(X, y > 0 if classes else y)
    kept = selection.get_feature_names_out()
    assert {"told", "level"} <= set(kept)
    assert len(kept) - 2 <= 20
    assert selection.reasons_[-2].startswith("kept: ")
    assert "× the most by chance" in selection.reasons_[0]
    stricter = FeatureSelection(method="mutual_info", threshold=2.0, random_state=0).fit(X, y > 0 if classes else y)
    assert {"told", "level"} <= set(stricter.get_feature_names_out()) < set(kept)


def test_anova_drops_by_the_p_value(told: Any) -> None:
    X, y = told
    selection = FeatureSelection(method="anova", threshold=1e-3).fit(X, y)
    assert set(selection.get_feature_names_out()) == {"n0", "n1", "c"}
    assert "p " in selection.reasons_[0]


def test_chi2_counts_and_needs_classes() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    X = pd.DataFrame({"hits": rng.poisson(2 + 3 * y), "noise": rng.poisson(3, 300)})
    selection = FeatureSelection(method="chi2", threshold=1e-6).fit(X, y)
    np.testing.assert_allclose(selection.scores_, chi2(X, y)[0])
    assert selection.get_feature_names_out().tolist() == ["hits"]
    with pytest.raises(InvalidParameter, match="chi2 compares classes"):
        selection.fit(X, y + rng.normal(size=300))


def test_of_correlated_columns_the_first_is_kept(told: Any) -> None:
    X = told[0][["n0", "n1", "one"]].assign(
        twice=lambda x: 2 * x["n0"] + 1, back=lambda x: -x["n1"], near=lambda x: x["n0"]
    )
    X["near"] += 0.5 * np.random.default_rng(0).normal(size=len(X))
    selection = FeatureSelection(method="correlation").fit(X)
    assert selection.get_feature_names_out().tolist() == ["n0", "n1", "near"]
    assert selection.reasons_[3] == "dropped: correlation 1.000 with 'n0'; needed: at most 0.95"
    assert selection.scores_[3] == pytest.approx(0.0, abs=1e-9)
    assert (
        FeatureSelection(method="correlation", threshold=0.5).fit(X).get_support().tolist()
        == [True, True] + [False] * 4
    )


def test_cap_and_threshold(told: Any) -> None:
    X, y = told
    capped = FeatureSelection(max_features=1, random_state=0).fit(X, y)
    assert capped.get_feature_names_out().tolist() == ["n0"]
    assert capped.reasons_[1].startswith("dropped: not among the best 1; gain")
    strict = FeatureSelection(threshold=1e9, random_state=0).fit(X, y)
    assert strict.get_feature_names_out().tolist() == ["n0"]
    assert strict.reasons_[0].startswith("kept: the best of a table where none passes; gain")


def test_one_column_is_kept_even_where_none_can_be_judged() -> None:
    X = pd.DataFrame({"a": [1.0] * 6, "b": ["x"] * 6})
    selection = FeatureSelection().fit(X, [0, 1] * 3)
    assert selection.get_support().tolist() == [True, False]
    assert selection.reasons_[0] == "kept: the best of a table where none passes; one value only"


def test_text_is_kept_and_identifiers_are_dropped(X: pd.DataFrame, y: np.ndarray) -> None:
    X = X.assign(id=[f"k{i:x}" for i in range(len(X))])
    for method in ("probe", "mutual_info", "anova", "chi2", "correlation"):
        selection = FeatureSelection(method=method, random_state=0).fit(X, y)
        reasons = dict(zip(X.columns, selection.reasons_, strict=True))
        assert reasons["review"] == "kept: text is not judged by one number"
        assert reasons["id"] == "dropped: another value in every row"
        assert reasons["amount"].startswith("kept")
        pd.testing.assert_frame_equal(selection.transform(X), X.loc[:, selection.get_support()])


def test_too_few_rows_for_mutual_information() -> None:
    with pytest.raises(InvalidInput, match="too few rows"):
        FeatureSelection(method="mutual_info").fit([[1.0], [2.0], [3.0]], [0.1, 0.2, 0.35])


# Together -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_array", [False, True], ids=["frame", "array"])
def test_the_authors_pipeline_feeds_a_classifier(X: pd.DataFrame, y: np.ndarray, as_array: bool) -> None:
    given: Any = X.to_numpy(dtype=object) if as_array else X
    pipeline = seeds_pipeline(LogisticRegression(max_iter=1000))
    pipeline.fit(given[:180], y[:180])
    assert pipeline.score(given[180:], y[180:]) >= 0.75
    engineered = pipeline[:-1].transform(given[180:])
    assert len(pipeline[:-1].get_feature_names_out()) == engineered.shape[1]
    assert np.isfinite(np.asarray(engineered, dtype=float)).all()
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(given), pipeline.predict_proba(given))


def test_the_authors_pipeline_feeds_a_regressor(X: pd.DataFrame, target_of: Callable[..., np.ndarray]) -> None:
    y = target_of(X.reset_index(drop=True), "regression")
    assert cross_val_score(seeds_pipeline(Ridge()), X, y, cv=3).mean() >= 0.7


def test_a_grid_search_changes_the_encoding(X: pd.DataFrame, y: np.ndarray) -> None:
    grid = {"categorical__encoding": ["one_hot", "codes", "target"], "temporal__encoding": ["cycles"]}
    search = GridSearchCV(seeds_pipeline(LogisticRegression(max_iter=1000)), grid, cv=3, error_score="raise").fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.predict(X[:3]).shape == (3,)


def test_steps_output_frames_all_the_way(X: pd.DataFrame, y: np.ndarray) -> None:
    pipeline = make_pipeline(
        NumericalFeatureEngineering(), CategoricalFeatureEngineering(), FeatureSelection(random_state=0)
    )
    out = pipeline.fit_transform(X, y)
    assert isinstance(out, pd.DataFrame)
    assert out.index.equals(X.index)
    assert list(out.columns) == pipeline.get_feature_names_out().tolist()


@every_variant
def test_stored_and_cloned(transformer: Any, X: pd.DataFrame, y: np.ndarray) -> None:
    transformer = clone(transformer).fit(X, y)
    again = pickle.loads(pickle.dumps(transformer))
    pd.testing.assert_frame_equal(again.transform(X), transformer.transform(X))
    twin = clone(transformer)
    assert twin.get_params() == transformer.get_params()
    with pytest.raises(NotFittedError):
        twin.transform(X)


@every_class
def test_errors_are_ours(cls: type) -> None:
    with pytest.raises(WorkflowError):
        cls().fit(None, [0, 1])
