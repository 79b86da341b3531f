"""What a notebook shows: scikit-learn's diagram, and of a fitted estimator what the fit found, all names escaped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.pipeline import make_pipeline

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.core.number_format import number

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>{{7*7}}'


@pytest.fixture(scope="module")
def fitted(quick_settings: dict[str, Any]) -> WorkflowRegressor:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=80), HOSTILE: rng.normal(size=80), "one": 1})
    y = pd.Series(X["x"] + 0.3 * rng.normal(size=80), name=HOSTILE)
    return WorkflowRegressor(estimators=["linear"], **quick_settings).fit(X, y)


def test_a_fitted_estimator_shows_what_it_found(fitted: WorkflowRegressor) -> None:
    html = fitted._repr_html_()
    low, high = sorted(-end for end in fitted.evaluation_.honest.interval)
    for figure in (-fitted.best_score_, low, high, fitted.evaluation_.primary_score.baseline):
        assert number(figure) in html
    for row in fitted.leaderboard_.head(3).itertuples():
        assert row.model in html
        assert number(-row.score) in html
    assert fitted.findings_[0].severity.capitalize() in html
    assert "evaluate(X_test, y_test)" in html
    assert "sk-container" in html
    bundle = fitted._repr_mimebundle_()
    assert bundle["text/plain"] == repr(fitted)
    assert "automl-wf-fit" in bundle["text/html"]


def test_names_are_escaped(fitted: WorkflowRegressor) -> None:
    own = fitted._repr_html_().split("</p>")[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in own
    assert "<script" not in own
    assert "<img" not in own


def test_before_fit_and_as_text_it_is_scikit_learns_own(fitted: WorkflowRegressor) -> None:
    assert "automl-wf-fit" not in WorkflowClassifier()._repr_html_()
    assert "sk-container" in WorkflowClassifier()._repr_html_()
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert set(fitted._repr_mimebundle_()) == {"text/plain"}


def test_inside_a_pipeline_it_is_a_step(fitted: WorkflowRegressor) -> None:
    assert "WorkflowRegressor" in make_pipeline(fitted)._repr_html_()
