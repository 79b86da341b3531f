"""Intervals and sets as outputs of the graph: equal to `predict_interval`, and a graph that lies is found out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_wf.core.graph import GraphBuilder
from automl_wf.model_selection.conformal_onnx import (
    ALPHA,
    compare_conformal,
    emit_conformal,
    has_conformal_outputs,
)
from automl_wf.model_selection.parity import open_session
from automl_wf.model_selection.postprocess import Postprocess, fit_residuals

RNG = np.random.default_rng(0)


def _post(residuals: Any) -> Postprocess:
    return Postprocess(residuals=fit_residuals(np.asarray(residuals, dtype=np.float64)), n_residuals=len(residuals))


def _run(values: np.ndarray, post: Postprocess, n_classes: int | None) -> dict[str, np.ndarray]:
    builder = GraphBuilder()
    X = builder.input("X", "double", values.shape[1])
    said = X if n_classes is not None else builder.op("Reshape", X, builder.constant([-1], np.int64))
    builder.output(said, "prediction", "double", [None] if n_classes is None else [None, n_classes])
    emit_conformal(builder, said, post, n_classes)
    session = open_session(builder.model().SerializeToString())
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": values}), strict=True))


def test_ends_of_intervals_are_equal() -> None:
    post = _post(np.abs(RNG.normal(size=200)))
    values = RNG.normal(size=(50, 1)) * 10.0 ** RNG.integers(-6, 7, (50, 1))
    outputs = _run(values, post, None)
    np.testing.assert_array_equal(
        np.column_stack([outputs["lower"], outputs["upper"]]), post.interval(values[:, 0], ALPHA)
    )
    assert compare_conformal(outputs, values[:, 0], post) == (0.0, 0)
    assert compare_conformal(outputs, values[:, 0] + 1.0, post)[0] == pytest.approx(1.0)
    broken = {**outputs, "upper": np.full(50, np.nan)}
    assert compare_conformal(broken, values[:, 0], post)[0] == np.inf


def test_sets_are_equal_on_their_edge_too() -> None:
    post = _post(RNG.uniform(size=99))
    edge = 1.0 - post.residual_quantile(ALPHA)
    p = np.array([edge, edge - 5e-10, edge - 2e-9, edge + 1e-3, 0.999])
    proba = np.column_stack([p, 1 - p])
    outputs = _run(proba, post, 2)
    assert outputs["in_set"].dtype == bool
    np.testing.assert_array_equal(outputs["in_set"], post.prediction_set(proba, ALPHA))
    assert outputs["in_set"][:, 0].tolist() == [True, True, False, True, True]
    assert compare_conformal(outputs, proba, post) == (0.0, 0)
    assert compare_conformal({"in_set": ~outputs["in_set"]}, proba, post) == (0.0, 5)


@pytest.mark.parametrize("residuals", [[], np.arange(18.0)])
def test_too_few_residuals_are_no_outputs(residuals: Any) -> None:
    post = _post(residuals) if len(residuals) else Postprocess()
    assert not has_conformal_outputs(post)
    assert list(_run(np.zeros((2, 1)), post, None)) == ["prediction"]
    assert compare_conformal({}, np.zeros(2), post) == (0.0, 0)


def test_nineteen_residuals_are_enough_at_95_percent() -> None:
    assert has_conformal_outputs(_post(np.arange(19.0)))
