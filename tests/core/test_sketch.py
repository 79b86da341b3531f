"""Sketches: quantiles within their resolution, and no value that few rows have."""

from __future__ import annotations

import numpy as np

from automl_wf.core.sketch import QuantileSketch


def test_quantiles_of_merged_sketches_are_those_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(shift, 2.0, 3_000) for shift in (0.0, 1.0, 5.0)]
    merged = QuantileSketch.merged([QuantileSketch.of(part, size=256, min_rows=5) for part in parts])
    shares = np.array([0.01, 0.2, 0.5, 0.9, 0.99])
    spread = merged.spread(1_000)
    below = [(np.concatenate(parts) <= spread[int(share * 1_000)]).mean() for share in shares]
    np.testing.assert_allclose(below, shares, atol=0.01)
    assert merged.counts.sum() >= 9_000 - 3 * 12


def test_no_run_holds_fewer_rows_than_asked_and_extremes_do_not_show() -> None:
    values = np.concatenate([np.arange(50.0), [1e6]])
    sketch = QuantileSketch.of(values, size=64, min_rows=5)
    assert (sketch.counts[sketch.counts > 0] >= 5).all()
    assert np.nanmax(sketch.means) < 50.0
    assert len(sketch.means) == 64


def test_a_value_that_many_rows_share_is_kept_as_it_is() -> None:
    sketch = QuantileSketch.of(np.repeat([0.0, 1.0, 7.0], [100, 50, 30]), size=16, min_rows=5)
    assert sketch.means[:3].tolist() == [0.0, 1.0, 7.0]
    assert sketch.counts[:3].tolist() == [100.0, 50.0, 30.0]
    assert sketch.edges(64).tolist() == [0.5, 4.0]


def test_fewer_values_than_a_run_needs_say_nothing() -> None:
    sketch = QuantileSketch.of(np.array([1.0, 2.0, np.nan]), size=8, min_rows=3)
    assert sketch.n_distinct == 0
    assert sketch.spread(10).tolist() == sketch.edges(4).tolist() == []


def test_repeated_rows_and_twice_the_least_rows_make_the_same_means() -> None:
    values = np.random.default_rng(1).exponential(size=333)
    once = QuantileSketch.of(values, size=32, min_rows=5)
    twice = QuantileSketch.of(np.tile(values, 2), size=32, min_rows=10)
    np.testing.assert_allclose(twice.means, once.means)
    np.testing.assert_array_equal(twice.counts, 2 * once.counts)


def test_bins_hold_about_as_many_rows() -> None:
    values = np.random.default_rng(2).normal(size=20_000)
    edges = QuantileSketch.of(values, size=256, min_rows=5).edges(8)
    assert len(edges) == 7
    np.testing.assert_allclose(np.bincount(np.searchsorted(edges, values)) / 20_000, 1 / 8, atol=0.006)
