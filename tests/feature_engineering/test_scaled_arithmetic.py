"""Scaled arithmetic: what `Arithmetic` makes, scaled; what cancels is left out; and the graph."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.scaled_arithmetic import ScaledArithmetic


@pytest.fixture
def block() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 3))


def test_it_scales_what_arithmetic_makes(block: np.ndarray) -> None:
    y = block[:, 0] * block[:, 1] + block[:, 2]
    plain = Arithmetic(max_features=6).fit(block, y)
    scaled = ScaledArithmetic(max_features=6).fit(block, y)
    assert scaled.pairs_ == plain.pairs_
    np.testing.assert_array_equal(scaled.transform(block), NumericScaler().fit_transform(plain.transform(block)))


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minus", "plus"])
@pytest.mark.parametrize(("size", "is_kept"), [(1e-12, False), (1e-4, True)])
def test_what_cancels_is_left_out(block: np.ndarray, sign: float, size: float, is_kept: bool) -> None:
    near = np.column_stack([block[:, 0], sign * (block[:, 0] + size * block[:, 1])])
    operator = "minus" if sign > 0 else "plus"
    chosen = [pair[0] for pair in Arithmetic().fit(near, block[:, 1]).pairs_]
    assert operator in chosen
    scaled = ScaledArithmetic().fit(near, block[:, 1])
    assert (operator in [pair[0] for pair in scaled.pairs_]) is is_kept
    assert len(scaled.features(["a", "b"])) == scaled.n_features_out_ == scaled.transform(near).shape[1]


def test_graph(graph, block: np.ndarray) -> None:
    block[::7, 1] = 0.0
    block[::11, 2] = np.nan
    transformer = ScaledArithmetic().fit(block, block[:, 0] / (block[:, 1] + 2) + np.nan_to_num(block[:, 2]))
    odd = np.vstack([block, 1e200 * block[:9], np.zeros((1, 3)), np.full((1, 3), np.nan)])
    np.testing.assert_allclose(graph(transformer, odd), transformer.transform(odd), rtol=0, atol=1e-12)
