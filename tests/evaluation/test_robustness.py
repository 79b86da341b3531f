"""What is spoilt is what is said, the score falls with it, and only where the model looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.table import Strings
from automl_wf.evaluation.diagnosis import diagnose
from automl_wf.evaluation.held_out import NO_TIME
from automl_wf.evaluation.robustness import Scenarios, with_spare_levels


def _table(table_of: Any, strings_of: Any, n: int = 1000) -> Any:
    rng = np.random.default_rng(0)
    return table_of(
        x=rng.normal(3.0, 2.0, n),
        s=strings_of(rng.choice(["a", "b", ""], n)),
        t=rng.integers(0, 10**9, n),
        FLAG=rng.integers(0, 2, n).astype(float),
    )


def test_each_scenario_touches_its_columns_only(table_of: Any, strings_of: Any) -> None:
    table = _table(table_of, strings_of)
    scenarios = Scenarios.of(table, seed=1)
    rows = np.arange(1000)
    base, *spoilt = scenarios.tables(rows, 0)
    by_name = dict(zip(scenarios.wanted, spoilt, strict=True))
    x, s = base.cells[0], base.cells[1]
    assert isinstance(s, Strings)
    assert s.values().tolist() == table.cells[1].values().tolist()

    noise = by_name["noise", 0.25].cells[0] - x
    assert noise.std() == pytest.approx(0.25 * x.std(), rel=0.1)
    np.testing.assert_allclose(by_name["scale", 1.1].cells[0], 1.1 * x)
    np.testing.assert_allclose(by_name["shift", 1.0].cells[0], x + x.std())
    for name in ("noise", "scale", "shift"):
        changed = next(t for (n, _), t in by_name.items() if n == name)
        assert all(changed.cells[i] is base.cells[i] for i in (1, 2, 3))

    unseen = by_name["unseen", 0.5].cells[1].values()
    is_hit = ~np.isin(unseen, ["a", "b", ""])
    assert is_hit.mean() == pytest.approx(0.5, abs=0.05)
    assert (unseen[~is_hit] == s.values()[~is_hit]).all()

    missing = by_name["missing", 0.25]
    shares = [
        np.isnan(missing.cells[0]).mean(),
        (missing.cells[2] == MISSING_TIME).mean(),
        np.isnan(missing.cells[3]).mean(),
    ]
    assert shares == pytest.approx([0.25] * 3, abs=0.05)
    assert (missing.cells[1].values() == "").mean() == pytest.approx(1 / 3 + 0.25 * 2 / 3, abs=0.05)
    assert missing.cells[2].dtype == np.int64


def test_scenarios_without_columns_are_left_out(table_of: Any, strings_of: Any) -> None:
    numbers = Scenarios.of(table_of(x=np.arange(10.0)), 0).wanted
    assert {name for name, _ in numbers} == {"noise", "missing", "scale", "shift"}
    texts = Scenarios.of(table_of(s=strings_of(["a", "b"])), 0).wanted
    assert {name for name, _ in texts} == {"missing", "unseen"}


def test_the_category_never_seen_is_really_new(table_of: Any, strings_of: Any) -> None:
    table = table_of(s=strings_of(["a category that was never seen", ""]))
    levels = with_spare_levels(table).cells[0].levels.tolist()
    assert len(set(levels)) == len(levels) == 3


def test_numbers_stay_finite(table_of: Any) -> None:
    table = table_of(x=np.array([1.7e308, -1.7e308, 0.0, np.nan]))
    for spoilt in Scenarios(table, {0: 1e308}, (("scale", 1.1), ("shift", 1.0), ("noise", 0.5)), 0).tables(
        np.arange(4), 0
    ):
        assert not np.isinf(spoilt.cells[0]).any()


def _diagnosed(table_of: Any, strings_of: Any, held_out_of: Any, **given: Any) -> Any:
    """The truth is 3 x plus noise, and so says the model; `s` does not matter."""
    table = _table(table_of, strings_of)
    y = 3.0 * table.cells[0] + 0.1 * np.random.default_rng(1).normal(size=1000)

    def predict(t: Any) -> np.ndarray:
        return 3.0 * np.nan_to_num(t.cells[0])

    baseline = np.full(1000, y.mean())
    held_out = held_out_of(table, y, predict(table), predict=predict, baseline=baseline, scoring="r2")
    return diagnose(held_out, (), None, **given).robustness


def test_the_score_falls_for_the_column_that_matters_and_as_theory_has_it(
    table_of: Any, strings_of: Any, held_out_of: Any
) -> None:
    found = _diagnosed(table_of, strings_of, held_out_of)
    points = {(p.scenario, p.level): p for p in found.points}
    assert (found.n_rows, found.n_folds, found.label, found.status) == (1000, 4, "R²", "measured")
    assert found.score == pytest.approx(1.0, abs=1e-3)
    assert found.baseline == pytest.approx(0.0, abs=1e-3)
    for level in (0.1, 0.25, 0.5):
        # Noise of so many standard deviations costs its square of R².
        assert points["noise", level].drop == pytest.approx(level**2, rel=0.2)
        assert points["noise", level].kept == pytest.approx(1 - level**2, rel=0.05)
        assert points["unseen", level].drop == 0.0
        assert points["unseen", level].kept == 1.0
    assert points["missing", 0.1].drop < points["missing", 0.25].drop < points["missing", 0.5].drop
    assert points["shift", 1.0].score == pytest.approx(0.0, abs=0.02)
    assert points["unseen", 0.5].n_columns == 1
    assert points["missing", 0.5].n_columns == 4


def test_draws_are_seeded(table_of: Any, strings_of: Any, held_out_of: Any) -> None:
    given = (table_of, strings_of, held_out_of)
    assert _diagnosed(*given, seed=3) == _diagnosed(*given, seed=3)
    assert _diagnosed(*given, seed=3) != _diagnosed(*given, seed=4)


def test_wide_tables_are_asked_about_fewer_rows(
    table_of: Any, strings_of: Any, held_out_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl_wf.evaluation.diagnosis.MAX_CELLS", 4 * 12 * 60)
    assert _diagnosed(table_of, strings_of, held_out_of).n_rows == 240


def test_without_time_it_says_so(table_of: Any, strings_of: Any, held_out_of: Any) -> None:
    found = _diagnosed(table_of, strings_of, held_out_of, budget=Budget(0.0))
    assert (found.status, found.points, found.score) == (NO_TIME, (), None)


def test_with_a_clock_and_time_enough_all_rows_are_used(table_of: Any, strings_of: Any, held_out_of: Any) -> None:
    found = _diagnosed(table_of, strings_of, held_out_of, budget=Budget(60.0))
    assert found == _diagnosed(table_of, strings_of, held_out_of)
