"""Bins, windows and the population stability index against figures known by hand or from theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from automl_wf.core import drift


def test_numeric_bins_hold_their_left_edge_and_the_last_one_both() -> None:
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, np.nan, np.inf])
    assert drift.bin_numeric(values, [0.0, 1.0, 2.0]).tolist() == [1, 2, 2, 1, 2]


def test_times_are_binned_as_numbers_and_the_smallest_one_is_missing() -> None:
    values = np.array([drift.MISSING_TIME, 5, 10, 11], dtype=np.int64)
    assert drift.bin_numeric(values, [5.0, 10.0]).tolist() == [0, 2, 1, 1]


def test_categorical_bins_tell_other_levels_from_missing_ones() -> None:
    assert drift.bin_categorical(["a", "b", "a", "", "z", "y"], ["a", "b", "c"]).tolist() == [2, 1, 0, 2, 1]


def test_no_rows_give_empty_bins_of_the_right_number() -> None:
    assert drift.bin_numeric(np.array([]), [0.0, 1.0]).tolist() == [0, 0, 0, 0]
    assert drift.bin_categorical([], ["a"]).tolist() == [0, 0, 0]


def test_edges_share_out_continuous_values_evenly() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    edges = drift.numeric_edges(values, 10)
    assert len(edges) == 11
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert drift.bin_numeric(values, edges)[1:-2] == pytest.approx(100, abs=1)


@pytest.mark.parametrize("values", [[0.0, 1.0], [3.0], [1.0, 2.0, 4.0, 8.0]])
def test_few_distinct_values_get_a_bin_each(values: list[float]) -> None:
    repeated = np.repeat(values, np.arange(1, len(values) + 1))
    counts = drift.bin_numeric(repeated, drift.numeric_edges(repeated, 10))
    assert counts.tolist() == [0, *range(1, len(values) + 1), 0, 0]


@pytest.mark.parametrize("at", [0.0, 50.5, 200.0])
def test_a_frequent_value_has_a_bin_of_its_own(at: float) -> None:
    values = np.concatenate([np.full(900, at), np.arange(1.0, 101.0)])
    edges = drift.numeric_edges(values, 10)
    assert np.all(np.diff(edges) > 0)
    assert 900 in drift.bin_numeric(values, edges)
    assert drift.bin_numeric(values, edges)[[0, -2, -1]].tolist() == [0, 0, 0]


def test_a_column_without_values_has_edges_and_all_rows_missing() -> None:
    reference = drift.numeric_reference(np.full(4, np.nan))
    assert reference == {"kind": "numeric", "edges": [0.0, 0.0], "counts": [0, 0, 0, 4]}


def test_top_levels_break_ties_by_name_and_leave_out_missing() -> None:
    assert drift.top_levels(["b", "a", "c", "c", "", "", ""], 2) == ["c", "a"]


_RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(50.0),
        _RNG.normal(size=2_000),
        _RNG.integers(0, 4, 2_000).astype(float),
        np.where(_RNG.random(2_000) < 0.9, 0.0, _RNG.normal(size=2_000)),
        np.where(_RNG.random(2_000) < 0.3, np.nan, _RNG.lognormal(size=2_000) * 1e300),
        np.where(_RNG.random(2_000) < 0.3, np.inf, _RNG.normal(size=2_000)),
        np.where(_RNG.random(2_000) < 0.1, drift.MISSING_TIME, _RNG.integers(0, 10**15, 2_000)),
        np.full(9, 3.0),
        np.full(9, np.nan),
    ],
)
def test_a_reference_counts_its_own_values_as_others_are_counted(values: np.ndarray) -> None:
    reference = drift.numeric_reference(values)
    assert reference["edges"] == drift.numeric_edges(values).tolist()
    assert drift.count(values, reference).tolist() == reference["counts"]


def test_reference_and_count_of_texts_agree() -> None:
    texts = ["x"] * 3 + ["y"] * 2 + [""]
    assert drift.count(texts, drift.categorical_reference(texts, 1)).tolist() == [3, 2, 1]
    assert drift.categorical_reference(texts, 1)["counts"] == [3, 2, 1]


def test_psi_by_hand() -> None:
    expected = (0.75 - 0.5) * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert drift.psi([10, 10, 0], [3, 1, 0]) == pytest.approx(expected, rel=1e-12)
    assert drift.psi([5, 5], [50, 50]) == 0.0


def test_psi_is_finite_for_empty_bins_and_unknown_without_rows() -> None:
    assert drift.psi([100, 0], [0, 100]) == pytest.approx(2 * 0.995 * math.log(200), rel=1e-12)
    assert math.isnan(drift.psi([0, 0], [1, 1]))
    assert math.isinf(drift.expected_psi(10, 0, 5))


@pytest.mark.parametrize(("shift", "population_psi"), [(0.25, 0.060), (0.5, 0.238)])
def test_psi_of_a_shifted_normal(shift: float, population_psi: float) -> None:
    rng = np.random.default_rng(1)
    reference = drift.numeric_reference(rng.normal(size=200_000))
    current = drift.count(rng.normal(shift, size=200_000), reference)
    assert drift.psi(reference["counts"], current) == pytest.approx(population_psi, rel=0.07)


@pytest.mark.parametrize("n", [200, 1000])
def test_expected_psi_is_the_mean_without_drift(n: int) -> None:
    rng = np.random.default_rng(2)
    reference = rng.multinomial(10_000, np.full(10, 0.1))
    values = [drift.psi(reference, rng.multinomial(n, reference / 10_000)) for _ in range(2000)]
    assert np.mean(values) == pytest.approx(drift.expected_psi(10, n, 10**12), rel=0.06)


def test_noise_counts_only_the_bins_in_use() -> None:
    assert drift.noise([50, 50, 0, 0], [10, 0, 10, 0]) == pytest.approx(2 * (1 / 100 + 1 / 20))


def test_a_window_adds_up_and_forgets_slot_by_slot() -> None:
    now = [0.0]
    window = drift.Window(slot_s=10, n_slots=3, clock=lambda: now[0])
    for second, rows in [(0.0, 1), (5.0, 2), (10.0, 4), (29.0, 8)]:
        now[0] = second
        window.add({"a": np.array([rows, 0])})
    assert window.total()["a"].tolist() == [15, 0]
    now[0] = 30.0
    assert window.total()["a"].tolist() == [12, 0]
    now[0] = 100.0
    assert window.total() == {}


def test_a_window_keeps_what_it_was_given_unchanged() -> None:
    window, counts = drift.Window(clock=lambda: 0.0), np.array([1, 1])
    window.add({"a": counts})
    window.add({"a": counts})
    assert counts.tolist() == [1, 1]
    assert window.total()["a"].tolist() == [2, 2]


@pytest.mark.parametrize("seed", range(60))
def test_edges_are_quantiles_but_for_heavy_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, n_bins = np.round(rng.normal(size=rng.integers(1, 200)), int(rng.integers(0, 3))), int(rng.integers(1, 13))
    edges, distinct = drift.numeric_edges(values, n_bins), np.unique(values)
    quantiles = np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1), method="inverted_cdf")
    heavy = distinct if len(distinct) <= n_bins else np.unique(quantiles[1:][np.diff(quantiles) == 0])
    beside = np.isin(distinct[:-1], heavy) | np.isin(distinct[1:], heavy)
    between = ((distinct[:-1] + distinct[1:]) / 2)[beside]
    light = set(quantiles[1:-1]) - set(heavy) - {distinct[0], distinct[-1]}
    assert edges.tolist() == sorted([distinct[0], *light, *between, distinct[-1]])
