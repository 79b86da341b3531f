from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear, quantile_knots, ramp

LEVELS = np.linspace(0.0, 1.0, 5)


@pytest.fixture
def block() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [
            rng.normal(1e6, 3.0, 400),
            rng.lognormal(0.0, 2.0, 400),
            rng.integers(0, 2, 400),
            rng.integers(0, 4, 400),
            np.full(400, 7.5),
            np.full(400, np.nan),
            rng.standard_cauchy(400),
        ]
    )
    x[rng.random(400) < 0.1, 1] = np.nan
    x[17, 6] = 1e308
    return x


def test_bins_by_hand() -> None:
    x = np.arange(1.0, 102.0)[:, None]
    spread = PiecewiseLinear(n_bins=2, tail=0.0).fit(x)
    # knots 1, 51, 101
    new = np.array([[-5.0], [1.0], [26.0], [51.0], [76.0], [200.0], [np.nan]])
    np.testing.assert_array_equal(
        spread.transform(new)[:, 1:], [[0, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [1, 0]]
    )
    assert spread.feature_names(["a"]) == ["a", "a_from_1", "a_from_51"]
    assert spread.features(["a"])[2].formula == "share of the way from 51 to 101 that a has come (missing: 51)"


def test_what_the_scaler_makes_comes_first(block) -> None:
    made = PiecewiseLinear().fit_transform(block)
    scaled = NumericScaler().fit_transform(block)
    np.testing.assert_array_equal(made[:, : scaled.shape[1]], scaled)
    ramps = made[:, scaled.shape[1] :]
    assert ramps.min() == 0.0
    assert ramps.max() == 1.0


def test_columns_of_two_values_have_no_bins(block) -> None:
    spread = PiecewiseLinear(n_bins=8).fit(block)
    counts = np.bincount(spread.columns_, minlength=7)
    assert counts.tolist() == [8, 8, 0, 3, 0, 0, 8]


def test_a_weighted_sum_of_features_is_any_spline_with_these_knots() -> None:
    x = np.linspace(-2.0, 2.0, 401)[:, None]
    y = np.abs(x[:, 0])
    features = np.column_stack([PiecewiseLinear(n_bins=2, tail=0.0).fit_transform(x), np.ones(401)])
    coef, *_ = np.linalg.lstsq(features, y, rcond=None)
    np.testing.assert_allclose(features @ coef, y, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_in_place_equals_transform(block, order) -> None:
    spread = PiecewiseLinear().fit(block)
    out = np.empty((len(block), spread.n_features_out_), order=order)
    out[:, : block.shape[1]] = block
    spread.write(out[:, : block.shape[1]], out)
    np.testing.assert_array_equal(out, spread.transform(block))


def test_graph_equals_transform(block, graph) -> None:
    spread = PiecewiseLinear().fit(block)
    rng = np.random.default_rng(1)
    new = np.vstack([block, 10 * block[20:70], -10 * block[20:70], np.nextafter(block[:50], np.inf)])
    new[rng.random(new.shape) < 0.1] = np.nan
    new[0], new[1], new[2], new[3] = 1e308, -1e308, 5e-324, np.nan
    made, expected = graph(spread, new), spread.transform(new)
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-12)
    # The ramps themselves to the last bit: their slopes may be as steep as two neighbouring doubles.
    n_scaled = spread.scaler_.n_features_out_
    np.testing.assert_array_equal(made[:, n_scaled:], expected[:, n_scaled:])


def test_graph_without_bins(graph) -> None:
    flags = np.tile([[0.0], [1.0]], (20, 1))
    spread = PiecewiseLinear().fit(flags)
    np.testing.assert_array_equal(graph(spread, flags), spread.transform(flags))


def test_quantiles_are_values_that_occur() -> None:
    assert quantile_knots(np.arange(1.0, 101.0), LEVELS).tolist() == [1.0, 25.0, 50.0, 75.0, 100.0]
    assert quantile_knots(np.array([0.0, 0.0, 0.0, 1.0]), LEVELS).tolist() == [0.0, 1.0]


def test_quantiles_that_only_rounding_tells_apart_are_one() -> None:
    values = np.array([0.1 + 0.2, 0.3, 0.3, 0.5, 1e9, 1e9 + 1e-7])
    assert quantile_knots(values, np.linspace(0.0, 1.0, 50)).tolist() == [0.3, 0.5, 1e9]


def test_no_values_no_knots_and_no_infinite_ones() -> None:
    assert len(quantile_knots(np.empty(0), LEVELS)) == 0
    assert quantile_knots(np.array([-1e308, 0.0, 1e308]), LEVELS).tolist() == [-1e150, 0.0, 1e150]


def test_ramp_is_held_between_zero_and_one() -> None:
    x = np.array([-1e308, 2.0, 3.0, 4.0, 1e308])
    assert ramp(x, np.array(2.0), np.array(4.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
