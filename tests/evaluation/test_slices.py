"""A planted slice is found, nothing is found where there is nothing, and the test is Welch's."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy import stats

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.tasks import Task
from automl_wf.evaluation.slices import NO_LOSS, TOO_FEW, bin_column, compare_means, find_slices, holm


def _numbers(n: int, n_columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"x{i}": rng.normal(size=n) for i in range(n_columns)}


def test_a_planted_range_is_found(table_of: Any, held_out_of: Any) -> None:
    cells = _numbers(2000, 5)
    noise = np.random.default_rng(1).normal(size=2000)
    is_hard = (cells["x3"] > np.quantile(cells["x3"], 0.8)) & (cells["x3"] < np.quantile(cells["x3"], 0.9))
    found = find_slices(held_out_of(table_of(**cells), noise * np.where(is_hard, 4.0, 1.0), np.zeros(2000)))
    first = found.rows[0]
    assert first.columns == ("x3",)
    assert first.where.startswith("x3 from 0.9")
    assert first.n == pytest.approx(200, abs=5)
    assert first.n_tested == pytest.approx(100, abs=25)
    # E|N(0, s)| = s · sqrt(2/π)
    assert first.loss == pytest.approx(4 * np.sqrt(2 / np.pi), rel=0.2)
    assert first.rest == pytest.approx(np.sqrt(2 / np.pi), rel=0.15)
    assert first.low < first.difference < first.high
    assert first.p < 1e-6
    assert (found.loss, found.n_rows, found.min_rows, found.status, found.kind) == (
        "absolute error", 2000, 30, "measured", "exploratory",
    )  # fmt: skip
    assert found.n_searched > 100
    assert first.wrong is None


def test_a_pair_that_is_hard_only_together_is_found(table_of: Any, strings_of: Any, held_out_of: Any) -> None:
    rng = np.random.default_rng(0)
    n = 4000
    city, plan = rng.choice(["Oslo", "Rome", "Bern"], n), rng.choice(["free", "pro"], n)
    is_hard = (city == "Rome") & (plan == "pro")
    y = rng.integers(0, 2, n)
    p_right = np.where(is_hard, 0.3, 0.9)
    p1 = np.where(y == 1, p_right, 1 - p_right)
    table = table_of(city=strings_of(city), x=rng.normal(size=n), plan=strings_of(plan))
    found = find_slices(held_out_of(table, y, np.column_stack([1 - p1, p1]), task=Task.BINARY))
    assert found.rows[0].where == "city = Rome and plan = pro"
    assert found.rows[0].columns == ("city", "plan")
    assert found.rows[0].n == is_hard.sum()
    assert (found.rows[0].wrong, found.rows[0].wrong_rest) == (1.0, 0.0)
    assert found.rows[0].loss == pytest.approx(0.49)
    assert found.rows[0].rest == pytest.approx(0.01)


def test_missing_cells_and_times_are_slices_too(table_of: Any, held_out_of: Any) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=1500), rng.integers(0, 10**15, 1500)
    x[:300], t[300:500] = np.nan, MISSING_TIME
    error = rng.normal(size=1500)
    error[:500] *= 5
    found = find_slices(held_out_of(table_of(x=x, t=t), error, np.zeros(1500)))
    assert {s.where for s in found.rows} >= {"x is missing", "t is missing"}


def test_clean_noise_has_no_slices_beyond_chance(table_of: Any, held_out_of: Any) -> None:
    """Holm holds the chance of any false slice in a table at 5 %."""
    n_false = 0
    for seed in range(60):
        noise = np.random.default_rng([9, seed]).normal(size=400)
        found = find_slices(held_out_of(table_of(**_numbers(400, 8, seed)), noise, np.zeros(400)), seed=seed)
        n_false += bool(found.rows)
    # 8 or more of 60 at 5 % each: one in a hundred
    assert n_false < 8


def test_rows_of_one_group_are_one_observation(table_of: Any, held_out_of: Any) -> None:
    """Forty groups with an error of their own: rows as such would find slices in the groups' constant cells."""
    n_false = [0, 0]
    for seed in range(25):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(40), 25)
        cells = {f"g{i}": rng.normal(size=40)[group] for i in range(4)}
        error = rng.normal(size=40)[group] + 0.1 * rng.normal(size=1000)
        for i, given in enumerate((group, None)):
            found = find_slices(held_out_of(table_of(**cells), error, np.zeros(1000), group=given), seed=seed)
            n_false[i] += bool(found.rows)
    assert n_false[0] <= 4
    assert n_false[1] >= 20


def test_a_condition_that_leaves_nearly_all_rows_is_none(table_of: Any, held_out_of: Any) -> None:
    """Errors are large where x is 1; nearly all rows have y = 0, and z has one bin of ten quantiles."""
    rng = np.random.default_rng(0)
    n = 3000
    x, y, z = rng.integers(0, 4, n).astype(float), np.zeros(n), np.zeros(n)
    y[:90], z[:20] = 1.0, 1.0
    error = np.where((x == 1.0) & (y == 0.0), 5.0, 1.0) * rng.normal(size=n)
    found = find_slices(held_out_of(table_of(x=x, y=y, z=z), error, np.zeros(n)))
    assert [s.where for s in found.rows] == ["x = 1"]
    table = table_of(x=x, z=z)
    names = [c.name for c in table.schema.used if bin_column(c, table.cells[c.position], 30) is not None]
    assert names == ["x"]


def test_a_slice_tells_its_share_and_the_costliest_comes_first(table_of: Any, held_out_of: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([0.0, 1.0, 2.0], 4000, p=[0.6, 0.27, 0.13])
    error = np.array([1.0, 4.0, 5.0])[x.astype(int)] * rng.normal(size=4000)
    found = find_slices(held_out_of(table_of(x=x), error, np.zeros(4000)))
    first, second = found.rows
    # More in all where x is 1, although the error is larger where x is 2
    assert (first.where, second.where) == ("x = 1", "x = 2")
    assert second.loss > first.loss
    assert first.share == first.n_tested / 2000 == pytest.approx(0.27, abs=0.03)
    assert first.n > first.n_tested


def test_weights_count(table_of: Any, held_out_of: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([0.0, 1.0, 2.0], 900)
    error = np.where((x == 1.0) & (np.arange(900) % 2 == 0), 5.0, 1.0) * rng.normal(size=900)
    weight = np.where(np.arange(900) % 2 == 0, 1e-6, 1.0)
    assert find_slices(held_out_of(table_of(x=x), error, np.zeros(900))).rows[0].where == "x = 1"
    assert find_slices(held_out_of(table_of(x=x), error, np.zeros(900), weight=weight)).rows == ()


def test_what_cannot_be_searched_says_why(table_of: Any, held_out_of: Any) -> None:
    y = np.arange(40.0)
    few = find_slices(held_out_of(table_of(x=y), y, y))
    assert (few.status, few.rows) == (TOO_FEW, ())
    queries = np.repeat(np.arange(4), 10)
    assert find_slices(held_out_of(table_of(x=y), y, y, task=Task.RANKING, group=queries)).status == NO_LOSS


def test_the_same_seed_gives_the_same_and_long_tables_are_sampled(table_of: Any, held_out_of: Any) -> None:
    cells = _numbers(3000, 3)
    noise = np.random.default_rng(1).normal(size=3000) * np.where(cells["x0"] > 1, 3, 1)
    given = held_out_of(table_of(**cells), noise, np.zeros(3000))
    assert find_slices(given, seed=4) == find_slices(given, seed=4)
    assert find_slices(given, max_rows=1000).n_rows == 1000


def test_wide_tables_are_searched_on_fewer_rows_and_then_columns(
    table_of: Any, held_out_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl_wf.evaluation.slices.MAX_CELLS", 1200)
    monkeypatch.setattr("automl_wf.evaluation.slices.MIN_SEARCHED_ROWS", 300)
    given = held_out_of(table_of(**_numbers(600, 8)), np.random.default_rng(1).normal(size=600), np.zeros(600))
    found = find_slices(given)
    assert (found.n_rows, found.n_columns) == (300, 4)


def test_twenty_thousand_rows_of_thirty_columns_take_well_below_a_second(table_of: Any, held_out_of: Any) -> None:
    table = table_of(**_numbers(20_000, 30))
    given = held_out_of(table, np.random.default_rng(1).normal(size=20_000), np.zeros(20_000))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        find_slices(given)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


def test_means_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    values, inside = rng.normal(size=60), np.arange(60) < 20
    values[inside] = 3 * values[inside] + 1
    expected = stats.ttest_ind(values[inside], values[~inside], equal_var=False, alternative="greater")
    both = stats.ttest_ind(values[inside], values[~inside], equal_var=False).confidence_interval(0.95)
    found = compare_means(values, inside)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((both.low, both.high), rel=1e-9)


def test_groups_of_equal_rows_are_their_means() -> None:
    rng = np.random.default_rng(0)
    means, inside = rng.normal(size=30), np.arange(30) < 10
    unit = np.repeat(np.arange(30), 4)
    by_rows = compare_means(means[unit], inside[unit], unit=unit)
    by_groups = compare_means(means, inside)
    assert by_rows.p == pytest.approx(by_groups.p, rel=1e-9)
    assert (by_rows.low, by_rows.high) == pytest.approx((by_groups.low, by_groups.high), rel=1e-9)


def test_values_that_do_not_vary() -> None:
    inside = np.arange(6) < 3
    assert compare_means(np.where(inside, 2.0, 1.0), inside).p == 0.0
    assert compare_means(np.ones(6), inside).p == 1.0


def test_holm_by_hand() -> None:
    assert holm([]).tolist() == []
    assert holm([0.04]).tolist() == [0.04]
    np.testing.assert_allclose(holm([0.001, 0.5, 0.02, 0.9]), [0.004, 1.0, 0.06, 1.0])
