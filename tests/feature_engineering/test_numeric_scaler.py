from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering import numeric_scaler
from automl_wf.feature_engineering.numeric_scaler import NumericScaler


@pytest.fixture
def block() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [
            rng.normal(1e6, 3.0, 400),
            rng.lognormal(0.0, 1.5, 400),
            rng.standard_cauchy(400),
            np.full(400, 7.5),
            np.full(400, np.nan),
            rng.random(400) < 0.002,
            rng.integers(0, 5, 400),
            -rng.lognormal(3.0, 2.0, 400),
            np.full(400, 1e9) + 1e-9 * rng.random(400),
        ]
    )
    x[rng.random(400) < 0.1, 1] = np.nan
    x[5, 3] = np.nan
    x[rng.integers(0, 400), 2] = 1e308
    x[17, 5] = 1.0
    return x


def test_standardises_what_is_plain() -> None:
    x = np.arange(101.0)[:, None]
    scaled = NumericScaler().fit_transform(x)
    np.testing.assert_allclose(scaled, (x - 50.0) / np.sqrt((101**2 - 1) / 12), rtol=1e-14)


def test_median_fills_and_an_indicator_tells() -> None:
    x = np.array([[0.0], [2.0], [10.0], [np.nan]])
    scaled = NumericScaler().fit(x)
    assert scaled.fill_.tolist() == [2.0]
    # filled: 0, 2, 10, 2 → mean 3.5, variance (12.25 + 2.25 + 42.25 + 2.25) / 4
    np.testing.assert_allclose(scaled.center_, [3.5])
    np.testing.assert_allclose(scaled.scale_, [np.sqrt(59.0 / 4)])
    assert scaled.transform(x)[:, 1].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert scaled.feature_names(["a"]) == ["a", "a_missing"]
    assert [f.kind for f in scaled.features(["a"])] == ["numeric", "indicator"]


def test_gap_never_seen_in_training_is_filled_without_an_indicator() -> None:
    scaler = NumericScaler().fit(np.array([[0.0], [2.0], [10.0]]))
    np.testing.assert_allclose(scaler.transform(np.array([[np.nan]])), (2.0 - 4.0) / scaler.scale_[0])


def test_extremes_are_clipped_beyond_the_quantiles() -> None:
    x = np.linspace(0.0, 1.0, 1001)[:, None]
    scaler = NumericScaler().fit(x)
    np.testing.assert_allclose([scaler.lower_[0], scaler.upper_[0]], [0.005 - 0.99, 0.995 + 0.99])
    assert scaler.transform(np.array([[1e300]]))[0, 0] == scaler.transform(np.array([[2.0]]))[0, 0]


def test_constant_and_empty_columns_become_zero(block) -> None:
    scaled = NumericScaler().fit_transform(block)
    for j in (3, 4, 8):
        assert not scaled[:, j].any()
    other = np.full((2, block.shape[1]), 1e200)
    assert not NumericScaler().fit(block).transform(other)[:, [3, 4, 8]].any()


def test_only_heavily_skewed_columns_are_logged(block) -> None:
    plain_or_skewed = block[:, [0, 1, 3, 4, 5, 6, 7, 8]]
    is_logged = NumericScaler().fit(plain_or_skewed).unit_ != 0
    assert is_logged.tolist() == [False, True, False, False, False, False, True, False]


def test_scaling_does_not_depend_on_the_unit(block) -> None:
    x = block[:, [0, 1, 6, 7]]
    np.testing.assert_allclose(NumericScaler().fit_transform(x), NumericScaler().fit_transform(x * 2.0**-40))


def test_heavy_tails_leave_no_large_values(block) -> None:
    scaled = NumericScaler().fit_transform(block)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled[:, [0, 1, 2, 5, 6, 7]].mean(axis=0), 0.0, atol=1e-8)
    np.testing.assert_allclose(scaled[:, [0, 1, 2, 5, 6, 7]].std(axis=0), 1.0, rtol=1e-8)


def test_rare_flag_is_not_clipped_away(block) -> None:
    scaled = NumericScaler().fit_transform(block)[:, 5]
    assert scaled.max() > scaled.min()


@pytest.mark.parametrize("order", ["C", "F"])
def test_in_place_equals_transform(block, order) -> None:
    scaler = NumericScaler().fit(block)
    out = np.empty((len(block), scaler.n_features_out_), order=order)
    out[:, : block.shape[1]] = block
    scaler.write(out[:, : block.shape[1]], out)
    np.testing.assert_array_equal(out, scaler.transform(block))


def test_graph_equals_transform(block, graph) -> None:
    scaler = NumericScaler().fit(block)
    rng = np.random.default_rng(1)
    new = np.vstack([block, 10 * block[:50], -10 * block[:50], rng.normal(size=(50, block.shape[1]))])
    new[rng.random(new.shape) < 0.1] = np.nan
    new[0], new[1], new[2] = 1e308, -1e308, 5e-324
    np.testing.assert_allclose(graph(scaler, new), scaler.transform(new), rtol=0, atol=1e-12)


def test_graph_without_logarithm_is_exact(block, graph) -> None:
    x = block[:, [0, 3, 4, 5, 6, 8]]
    scaler = NumericScaler().fit(x)
    assert not scaler.unit_.any()
    np.testing.assert_array_equal(graph(scaler, 3 * x), scaler.transform(3 * x))


def test_of_many_rows_some_are_learnt_from_and_all_are_searched_for_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numeric_scaler, "_MOST_ROWS", 5_000)
    x = np.column_stack([np.arange(40_000.0), np.full(40_000, 3.0)])
    x[17, 1] = np.nan
    scaler = NumericScaler().fit(x)
    assert scaler.center_[0] == pytest.approx(20_000, rel=0.03)
    assert scaler.scale_[0] == pytest.approx(40_000 / np.sqrt(12), rel=0.03)
    assert scaler.gaps_.tolist() == [1]
