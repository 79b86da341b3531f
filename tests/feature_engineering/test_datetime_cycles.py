from __future__ import annotations

import numpy as np

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles, cycle_table


def micros(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[us]").astype(np.int64)


def test_cycles_by_hand() -> None:
    block = micros("2024-01-01T00:00", "2024-04-01T06:00", "2024-07-06T12:00", "2024-10-06T18:00")[:, None]
    transformer = DatetimeCycles().fit(block)
    found = dict(zip(transformer.feature_names(["d"]), transformer.transform(block).T, strict=True))
    np.testing.assert_allclose(found["d_month_sin"], [0, 1, 0, -1], atol=1e-15)
    np.testing.assert_allclose(found["d_minute_of_day_cos"], [1, 0, -1, 0], atol=1e-15)
    np.testing.assert_allclose(found["d_weekday_sin"][:2], 0.0, atol=1e-15)
    assert found["d_is_weekend"].tolist() == [0.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose([found["d_days"].mean(), found["d_days"].std()], [0.0, 1.0], atol=1e-12)


def test_december_is_as_near_to_january_as_january_to_february() -> None:
    _, table = cycle_table("month")
    steps = np.linalg.norm(np.roll(table, -1, axis=0) - table, axis=1)
    np.testing.assert_allclose(steps, steps[0])


def test_missing_is_zero_with_an_indicator() -> None:
    block = np.array([*micros("2024-01-01T01:00", "2025-05-03T02:00"), MISSING_TIME])[:, None]
    transformer = DatetimeCycles().fit(block)
    found = dict(zip(transformer.feature_names(["d"]), transformer.transform(block).T, strict=True))
    assert found["d_days_missing"].tolist() == [0.0, 0.0, 1.0]
    assert all(found[name][2] == 0.0 for name in found if name.endswith(("_sin", "_cos", "is_weekend")))
    kinds = {f.name: f.kind for f in transformer.features(["d"])}
    assert kinds["d_days_missing"] == "indicator"
    assert kinds["d_month_sin"] == "cycle"


def test_differences_are_scaled_and_know_both_parents() -> None:
    start = micros("2024-01-01", "2024-02-01", "2024-03-01")
    block = np.column_stack([start, start + np.array([1, 2, 3]) * 86_400_000_000])
    transformer = DatetimeCycles().fit(block)
    features = transformer.features(["a", "b"])
    place = [f.name for f in features].index("days_from_a_to_b")
    assert features[place].parents == ("a", "b")
    np.testing.assert_allclose(transformer.transform(block)[:, place], np.sqrt(1.5) * np.array([-1.0, 0.0, 1.0]))


def test_graph_equals_transform(graph) -> None:
    rng = np.random.default_rng(0)
    zones = ["Australia/Melbourne", None, "UTC-03:30"]
    block = rng.integers(*micros("1960-01-01", "2030-01-01"), (500, 3))
    block[rng.random(block.shape) < 0.1] = MISSING_TIME
    transformer = DatetimeCycles(zones).fit(block[:300])
    block[0], block[1], block[2] = MISSING_TIME + 1, 2**63 - 1, MISSING_TIME
    np.testing.assert_allclose(graph(transformer, block), transformer.transform(block), rtol=0, atol=1e-12)


def test_graph_of_equal_instants_has_no_cycle(graph) -> None:
    block = np.tile(micros("2024-01-01"), 3)[:, None]
    transformer = DatetimeCycles().fit(block)
    assert transformer.feature_names(["d"]) == ["d_days"]
    np.testing.assert_array_equal(graph(transformer, block), np.zeros((3, 1)))
