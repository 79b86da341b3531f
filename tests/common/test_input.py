"""The input as it comes: every kind of column, cell, name and target, in `fit` and in `predict`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from automl_wf import WorkflowClassifier, WorkflowEstimator, WorkflowRanker, WorkflowRegressor
from automl_wf.exceptions import (
    InvalidCell,
    InvalidInput,
    InvalidTarget,
    MissingColumns,
    UnknownCategory,
    UnknownCategoryWarning,
)

HOSTILE_NAMES = [
    'quo"te',
    "apos'trophe",
    "back`tick",
    "br{ace}",
    "{{ 7 * 7 }}",
    "br[ack]et",
    "<b>angle</b>",
    "emoji 🦜",
    '{"json": [1, 2]}',
    "Robert'); DROP TABLE students;--",
    "label",
    "probabilities",
    "prediction",
    "X",
    "new\nline",
    "",
    "a,b",
    "__class__",
    "../../etc/passwd",
    "long " * 60,
]


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    return X, np.where(X[:, 0] + 0.5 * X[:, 1] > 0, "yes", "no")


@pytest.fixture(scope="module")
def _fitted() -> dict[str, Any]:
    return {}


@pytest.fixture
def fitted(_fitted: dict[str, Any], quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> WorkflowClassifier:
    """A model on the mixed frame, fitted once."""
    if not _fitted:
        frame = mixed_frame()
        _fitted["model"] = WorkflowClassifier(**quick).fit(frame, target_of(frame, "binary"))
    return _fitted["model"]


def _accuracy(model: Any, X: Any, y: Any) -> float:
    return float(np.mean(model.predict(X) == y))


# What fit accepts -----------------------------------------------------------------------------------------------------


def test_kinds_of_the_mixed_frame(fitted: WorkflowClassifier) -> None:
    kinds = {c.name: c.kind.value for c in fitted.schema_.columns}
    assert kinds == {
        "amount": "numeric",
        "count": "numeric",
        "city": "categorical",
        "plan": "categorical",
        "is_member": "boolean",
        "visits": "numeric",
        "joined": "datetime",
        "seen": "datetime",
        "born": "datetime",
    }


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_mixed_frame_is_learnt(task: str, quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    X, X_new = mixed_frame(200, seed=0), mixed_frame(200, seed=1)
    y, y_new = target_of(X, task, seed=2), target_of(X_new, task, seed=3)
    model = WorkflowEstimator(**quick).fit(X, y)
    if task == "regression":
        assert np.corrcoef(model.predict(X_new), y_new)[0, 1] > 0.7
    else:
        assert set(model.classes_) == set(y)
        assert _accuracy(model, X_new, y_new) > {"binary": 0.75, "multiclass": 0.55}[task]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda X: X.astype(np.float32), id="float32"),
        pytest.param(lambda X: (X * 100).astype(int), id="integers"),
        pytest.param(lambda X: X > 0, id="booleans"),
        pytest.param(lambda X: X.astype(object), id="objects"),
        pytest.param(lambda X: X.tolist(), id="lists"),
        pytest.param(lambda X: np.asfortranarray(X)[::-1][::-1], id="strides"),
    ],
)
def test_arrays(form: Callable[[np.ndarray], Any], numbers: Any, quick: dict[str, Any]) -> None:
    X, y = form(numbers[0]), numbers[1]
    model = WorkflowClassifier(**quick).fit(X, y)
    assert model.n_features_in_ == 5
    assert not hasattr(model, "feature_names_in_")
    assert _accuracy(model, X, y) > 0.7


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array])
def test_sparse_is_refused_with_the_way_out(form: Any, numbers: Any, quick: dict[str, Any]) -> None:
    X, y = numbers
    with pytest.raises((ValueError, TypeError), match="toarray"):
        WorkflowClassifier(**quick).fit(form(X), y)


def test_infinities_are_missing_and_said(numbers: Any, quick: dict[str, Any]) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.loc[[0, 5], "b"] = [np.inf, -np.inf]
    model = WorkflowClassifier(**quick).fit(frame, y)
    assert any("b" in f.columns and "infinit" in f.message.lower() for f in model.findings_)
    as_missing = frame.replace([np.inf, -np.inf], np.nan)
    np.testing.assert_array_equal(model.predict_proba(frame), model.predict_proba(as_missing))


def test_constant_and_doubled_columns_are_left_out(numbers: Any, quick: dict[str, Any]) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=list("abcde")).assign(fixed=7.0, empty=np.nan, copy=X[:, 0])
    model = WorkflowClassifier(**quick).fit(frame, y)
    used = {c.name for c in model.schema_.columns if c.is_used}
    assert used == set("abcde")
    concerned = {c for f in model.findings_ for c in f.columns}
    assert {"fixed", "empty", "copy"} <= concerned


def test_column_missing_altogether_in_some_rows_everywhere(quick: dict[str, Any], mixed_frame: Any) -> None:
    frame = mixed_frame(120)
    y = (frame["amount"].fillna(0) > 50).to_numpy()
    frame = frame.astype(object).where(np.random.default_rng(0).random(frame.shape) > 0.5, None).convert_dtypes()
    model = WorkflowClassifier(**quick).fit(frame, y)
    assert np.isfinite(model.predict_proba(frame)).all()


def test_fifteen_hundred_columns(quick: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 1500))
    y = (X[:, 3] > 0).astype(int)
    model = WorkflowClassifier(**quick).fit(X, y)
    assert model.n_features_in_ == 1500
    assert model.predict(X).shape == (90,)


@pytest.mark.parametrize(
    "classes",
    [["None", "Some"], ["", "x"], [True, False], [-1, 1], ["a", "b", "None", "nan"], ["ja", "nein"]],
    ids=repr,
)
def test_classes_come_back_as_they_were(classes: list[Any], numbers: Any, quick: dict[str, Any]) -> None:
    X, _ = numbers
    codes = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(1, len(classes)) / len(classes)))
    y = np.array(classes)[codes]
    model = WorkflowClassifier(**quick).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    assert set(predicted) <= set(classes)
    assert np.mean(predicted == y) > 0.6


def test_hostile_names(numbers: Any, quick: dict[str, Any], graph_equals_predict: Any) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, len(HOSTILE_NAMES))), columns=HOSTILE_NAMES)
    frame["label"] = np.where(frame["label"] > 0, "{{ label }}", '"; import os')
    y = np.where(frame["X"] > 0, "yes", "no")
    model = WorkflowClassifier(**quick).fit(frame, y)
    assert list(model.feature_names_in_) == HOSTILE_NAMES
    assert _accuracy(model, frame, y) > 0.8
    inputs = [c.input_name for c in model.schema_.columns]
    assert len(set(inputs)) == len(inputs)
    assert not set(inputs) & {"label", "probabilities", "prediction"}
    graph_equals_predict(model, frame)


def test_user_knows_a_kind_better(quick: dict[str, Any], numbers: Any) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=list("abcde")).assign(code=np.arange(120) % 7)
    model = WorkflowClassifier(**quick, schema={"code": "categorical"}).fit(frame, y)
    assert next(c.kind.value for c in model.schema_.columns if c.name == "code") == "categorical"


# What predict accepts -------------------------------------------------------------------------------------------------


def test_columns_in_another_order(fitted: WorkflowClassifier, mixed_frame: Any) -> None:
    frame = mixed_frame(50, seed=3)
    np.testing.assert_array_equal(fitted.predict_proba(frame), fitted.predict_proba(frame.iloc[:, ::-1]))


def test_missing_columns_are_named(fitted: WorkflowClassifier, mixed_frame: Any) -> None:
    with pytest.raises(MissingColumns, match="city"):
        fitted.predict(mixed_frame(5).drop(columns="city"))


def test_extra_columns_are_ignored_and_said_once(
    quick: dict[str, Any], numbers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = WorkflowClassifier(**quick).fit(frame, y)
    wide = frame.assign(surplus=1.0)
    logging.getLogger("automl_wf").propagate = True
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.INFO, logger="automl_wf"):
        warnings.simplefilter("always")
        for _ in range(2):
            np.testing.assert_array_equal(model.predict_proba(wide), model.predict_proba(frame))
    said = [str(w.message) for w in caught] + [r.getMessage() for r in caplog.records]
    assert len([m for m in said if "surplus" in m]) == 1


def test_unseen_categories(quick: dict[str, Any], mixed_frame: Any, target_of: Any) -> None:
    frame = mixed_frame(120)
    y = target_of(frame, "binary")
    new = frame.head(4).assign(city="Atlantis")
    unknown = frame.head(4).assign(city=None)
    silent = WorkflowClassifier(**quick).fit(frame, y)
    assert np.isfinite(silent.predict_proba(new)).all()
    assert np.isfinite(silent.predict_proba(unknown)).all()
    with pytest.warns(UnknownCategoryWarning, match=r"city.*atlantis|city.*Atlantis"):
        WorkflowClassifier(**quick, on_unknown="warn").fit(frame, y).predict(new)
    with pytest.raises(UnknownCategory, match=r"city.*atlantis|city.*Atlantis"):
        WorkflowClassifier(**quick, on_unknown="raise").fit(frame, y).predict(new)


def test_other_dtypes_that_can_be_read(fitted: WorkflowClassifier, mixed_frame: Any) -> None:
    frame = mixed_frame(30, seed=4).assign(is_member=lambda f: f["is_member"].astype(bool))
    text = frame.assign(
        amount=frame["amount"].map(lambda v: None if pd.isna(v) else repr(float(v))).astype(object),
        count=frame["count"].astype(str),
        is_member=frame["is_member"].map({True: "True", False: "no"}).astype(object),
        visits=frame["visits"].astype(object),
        joined=frame["joined"].map(lambda t: None if pd.isna(t) else t.isoformat()).astype(object),
        born=pd.to_datetime(frame["born"]),
        plan=frame["plan"].astype(object),
    )
    np.testing.assert_array_equal(fitted.predict_proba(frame), fitted.predict_proba(text))


@pytest.mark.parametrize(
    ("column", "value"), [("amount", "a lot"), ("is_member", "perhaps"), ("joined", "last week"), ("visits", "1,2,3")]
)
def test_unreadable_cell_names_column_row_and_value(
    fitted: WorkflowClassifier, mixed_frame: Any, column: str, value: str
) -> None:
    frame = mixed_frame(6, seed=5).astype(object)
    frame.loc[3, column] = value
    with pytest.raises(InvalidCell) as caught:
        fitted.predict(frame)
    message = str(caught.value)
    assert column in message
    assert value in message
    assert "3" in message


def test_array_of_another_width(quick: dict[str, Any], numbers: Any) -> None:
    X, y = numbers
    model = WorkflowClassifier(**quick).fit(X, y)
    with pytest.raises(ValueError, match=r"3 features.*5 features"):
        model.predict(X[:, :3])


def test_no_rows_to_predict(fitted: WorkflowClassifier, mixed_frame: Any) -> None:
    with pytest.raises(ValueError, match=r"0 sample|no rows|minimum of 1"):
        fitted.predict(mixed_frame(5).iloc[:0])


# Bad y ----------------------------------------------------------------------------------------------------------------


def _first(values: np.ndarray, value: Any) -> np.ndarray:
    changed = values.astype(object)
    changed[0] = value
    return changed


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        pytest.param(lambda y: _first(y, None), "missing|NaN", id="missing class"),
        pytest.param(lambda y: _first(y, float("nan")), "missing|NaN", id="NaN class"),
        pytest.param(lambda y: np.full(len(y), "yes"), "class", id="one class"),
        pytest.param(lambda y: np.column_stack([y, y]), "column|1d|one-dimensional|2D", id="several columns"),
        pytest.param(lambda y: y[:-1], "inconsistent|length|rows", id="too short"),
        pytest.param(lambda y: "target", "column|name", id="a column's name"),
        pytest.param(lambda y: None, "requires y|y.*None|expected.*y", id="None"),
        pytest.param(lambda y: np.arange(len(y)) * 1.5, "Unknown label type|continuous|regress", id="fractions"),
    ],
)
def test_bad_classes(bad: Callable[[np.ndarray], Any], match: str, numbers: Any) -> None:
    X, y = numbers
    with pytest.raises(ValueError, match=f"(?i){match}"):
        WorkflowClassifier().fit(X, bad(y))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        pytest.param(np.nan, "missing|NaN", id="missing"),
        pytest.param(np.inf, "infin", id="infinite"),
        pytest.param("twelve", "number|numeric|convert", id="text"),
    ],
)
def test_bad_values(value: Any, match: str, numbers: Any) -> None:
    X, _ = numbers
    with pytest.raises(InvalidTarget, match=f"(?i){match}"):
        WorkflowRegressor().fit(X, _first(X[:, 0] * 2, value))


def test_column_name_as_y_shows_the_way(mixed_frame: Any) -> None:
    frame = mixed_frame(30)
    with pytest.raises(InvalidTarget, match=r"city.*X\.pop|X\[.city.\]|column"):
        WorkflowClassifier().fit(frame, "city")


@pytest.mark.parametrize("cls", [WorkflowClassifier, WorkflowRegressor, WorkflowRanker, WorkflowEstimator])
def test_zero_rows(cls: type) -> None:
    with pytest.raises(ValueError, match=r"0 sample|no rows|minimum of 1"):
        cls().fit(np.empty((0, 3)), np.empty(0))


def test_doubled_column_names(numbers: Any) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=["a", "b", "c", "a", "b"])
    with pytest.raises(InvalidInput, match="'a', 'b'"):
        WorkflowClassifier().fit(frame, y)


def test_class_rarer_than_the_folds_is_a_finding(numbers: Any, quick: dict[str, Any]) -> None:
    X, y = numbers
    y = y.astype(object)
    y[:2] = "rare"
    model = WorkflowClassifier(**quick | {"cv": "auto"}).fit(X, y)
    assert "rare" in model.classes_
    assert model.predict_proba(X).shape == (120, 3)
    assert any("rare" in f.message or "class" in f.code for f in model.findings_)


def test_groups_and_weights_of_another_length(numbers: Any) -> None:
    X, y = numbers
    with pytest.raises(ValueError, match="groups"):
        WorkflowClassifier().fit(X, y, groups=np.arange(7))
    with pytest.raises(ValueError, match="sample_weight"):
        WorkflowClassifier().fit(X, y, sample_weight=np.ones(7))


def test_auto_task_says_how_to_override(numbers: Any, quick: dict[str, Any]) -> None:
    X, _ = numbers
    stars = np.clip(np.round(X[:, 0] + 3), 1, 5).astype(int)
    model = WorkflowEstimator(**quick).fit(X, stars)
    assert hasattr(model, "classes_")
    assert any("task=" in f.message + f.advice for f in model.findings_)
    assert not hasattr(WorkflowEstimator(**quick).fit(X, X[:, 0] * 1.5), "classes_")
