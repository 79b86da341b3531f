from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.feature_engineering.civil_time import PARTS, zone_offsets
from automl_wf.feature_engineering.datetime_parts import DatetimeParts


def micros(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[us]").astype(np.int64)


def test_parts_by_hand() -> None:
    block = micros("2024-02-29T18:30:15", "2023-03-04T06:00:00")[:, None]
    transformer = DatetimeParts().fit(block)
    found = dict(zip(transformer.feature_names(["d"]), transformer.transform(block).T.tolist(), strict=True))
    assert found == {
        "d_year": [2024.0, 2023.0],
        "d_month": [2.0, 3.0],
        "d_day": [29.0, 4.0],
        "d_day_of_year": [60.0, 63.0],
        "d_weekday": [3.0, 5.0],
        "d_is_weekend": [0.0, 1.0],
        "d_hour": [18.0, 6.0],
        "d_minute": [30.0, 0.0],
        "d_second_of_day": [66_615.0, 21_600.0],
        "d_days": [19_782.0 + 66_615 / 86_400, 19_420.25],
    }


def test_what_does_not_vary_is_left_out_and_what_is_missing_is_nan() -> None:
    block = np.array([*micros("2024-01-05", "2024-01-06"), MISSING_TIME])[:, None]
    transformer = DatetimeParts().fit(block)
    assert transformer.feature_names(["d"]) == ["d_day", "d_day_of_year", "d_weekday", "d_is_weekend", "d_days"]
    assert np.isnan(transformer.transform(block)[2]).all()
    assert not np.isnan(transformer.transform(block)[:2]).any()


def test_wall_clock_of_the_zone() -> None:
    block = micros("2024-06-30T22:30", "2024-12-31T22:30")[:, None]
    transformer = DatetimeParts(["Europe/Berlin"], [["month", "hour"]]).fit(block)
    assert not transformer.is_fitted_on_rows
    assert transformer.transform(block)[:, :2].tolist() == [[7.0, 0.0], [12.0, 23.0]]


def test_days_between_columns() -> None:
    start, end = micros("2024-01-01", "2024-01-01"), micros("2024-01-02T12:00", "2023-12-31")
    block = np.column_stack([start, end])
    block = np.vstack([block, [MISSING_TIME, end[0]]])
    transformer = DatetimeParts(parts=[[], []]).fit(block)
    assert transformer.feature_names(["a", "b"]) == ["a_days", "b_days", "days_from_a_to_b"]
    np.testing.assert_array_equal(transformer.transform(block)[:, 2], [1.5, -1.0, np.nan])


def test_pairs_are_capped() -> None:
    block = np.tile(micros("2024-01-01", "2024-05-01")[:, None], (1, 6))
    assert len(DatetimeParts(max_pairs=4).fit(block).pairs_) == 4


def extreme_block(seed: int = 0) -> tuple[np.ndarray, list[str | None]]:
    zones = [None, "Europe/Berlin", "Australia/Melbourne", "UTC+02:00", "America/New_York", "Asia/Kolkata"]
    rng = np.random.default_rng(seed)
    low, high = micros("1890-01-01", "2110-01-01")
    block = rng.integers(low, high, (900, len(zones)))
    for j, zone in enumerate(zones):
        changes = zone_offsets(zone).changes[:150]
        block[: len(changes), j] = changes
        block[len(changes) : 2 * len(changes), j] = changes - 1
    block[rng.random(block.shape) < 0.1] = MISSING_TIME
    block[0], block[1], block[2], block[3] = MISSING_TIME + 1, 2**63 - 1, -1, 0
    return block, zones


def test_graph_equals_transform(graph) -> None:
    block, zones = extreme_block()
    transformer = DatetimeParts(zones, [PARTS] * len(zones)).fit(block)
    expected = transformer.transform(block)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(graph(transformer, block), expected)


@pytest.mark.parametrize("parts", [[], ["hour"], ["year"]])
def test_graph_of_few_parts(graph, parts) -> None:
    block = np.array([*micros("2024-01-05T03:00", "1924-01-06"), MISSING_TIME])[:, None]
    transformer = DatetimeParts(["Europe/Berlin"], [parts]).fit(block)
    np.testing.assert_array_equal(graph(transformer, block), transformer.transform(block))
