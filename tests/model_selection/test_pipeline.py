"""The fitted pipeline: raw rows in, predictions out, and the graph that is compared before it is given away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.exceptions import InvalidParameter, MissingColumns, NotExportable
from automl_wf.model_selection import pipeline as module
from automl_wf.model_selection.pipeline import FittedPipeline


@pytest.fixture(scope="module")
def classifier(quick_settings: dict[str, Any], mixed_table: Any) -> WorkflowClassifier:
    X, y = mixed_table
    return WorkflowClassifier(**quick_settings, estimators=["linear", "lightgbm"]).fit(X, y)


def test_it_is_the_estimators_own_prediction(classifier: WorkflowClassifier, mixed_table: Any) -> None:
    X, _ = mixed_table
    pipeline = classifier.best_estimator_
    assert isinstance(pipeline, FittedPipeline)
    np.testing.assert_array_equal(pipeline.predict(X), classifier.predict(X))
    proba = pipeline.predict_proba(X)
    np.testing.assert_array_equal(proba, pipeline.predict_raw(X))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert pipeline.predict(X).tolist() == classifier.classes_[proba.argmax(axis=1)].tolist()
    with pytest.raises(MissingColumns, match="'city'"):
        pipeline.predict(X.drop(columns="city"))


def test_it_is_a_fitted_estimator_of_its_kind(classifier: WorkflowClassifier, quick_settings: dict[str, Any]) -> None:
    pipeline = classifier.best_estimator_
    assert pipeline.__sklearn_is_fitted__()
    assert is_classifier(pipeline)
    assert clone(pipeline, safe=False).owner == "WorkflowClassifier"
    X = np.random.default_rng(0).normal(size=(60, 2))
    regressor = WorkflowRegressor(**quick_settings, estimators=["linear"]).fit(X, X[:, 0]).best_estimator_
    assert is_regressor(regressor)
    with pytest.raises(InvalidParameter, match="predict_proba needs classes; this is regression"):
        regressor.predict_proba(X)


def test_one_row_at_a_time_is_the_same_as_all_at_once(classifier: WorkflowClassifier, mixed_table: Any) -> None:
    X, _ = mixed_table
    together = classifier.best_estimator_.predict_raw(X[:12])
    alone = np.vstack([classifier.best_estimator_.predict_raw(X.iloc[[i]]) for i in range(12)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)
    as_objects = classifier.best_estimator_.predict_raw(X[:12].astype(object))
    np.testing.assert_array_equal(as_objects, together)


def test_the_graph_says_the_same(classifier: WorkflowClassifier, mixed_table: Any) -> None:
    X, _ = mixed_table
    model, parity = classifier.best_estimator_.to_onnx(X)
    assert parity.is_exact
    assert parity.n_rows > len(X)
    assert parity.to_dict()["is_exact"] is True
    assert parity.n_bytes == model.ByteSize()
    assert [o.name for o in model.graph.output] == ["label", "probabilities", "in_set"]
    assert {i.name for i in model.graph.input} == {c.input_name for c in classifier.schema_.used}


def test_dates_of_other_dtypes_predict_alike(classifier: WorkflowClassifier, mixed_table: Any) -> None:
    X, _ = mixed_table
    later = X[:20].assign(
        joined=X["joined"][:20].astype("datetime64[ns]"),
        seen=X["seen"][:20].dt.tz_convert("UTC"),
        born=pd.to_datetime(X["born"][:20]),
        visits=X["visits"][:20].astype(float),
    )
    np.testing.assert_array_equal(
        classifier.best_estimator_.predict_raw(later), classifier.best_estimator_.predict_raw(X[:20])
    )


def test_many_rows_are_predicted_by_the_graph_where_that_pays(
    quick_settings: dict[str, Any], mixed_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = mixed_table
    pipeline = WorkflowClassifier(**quick_settings, estimators=["lightgbm"]).fit(X, y).best_estimator_
    table = pipeline.read(X)
    assert pipeline.blend.n_comparisons > 0
    assert pipeline.predictor_of_many(10) == pipeline.blend.predict
    predict = pipeline.predictor_of_many(10**9)
    assert predict != pipeline.blend.predict
    np.testing.assert_allclose(predict(table), pipeline.blend.predict(table), rtol=0, atol=1e-9)

    def fail(*_: Any) -> None:
        raise NotExportable("a model of the user's own")

    monkeypatch.setattr(module, "build_graph", fail)
    assert pipeline.predictor_of_many(10**9) == pipeline.blend.predict
