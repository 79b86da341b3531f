"""The model by itself, with onnxruntime alone: it predicts what it did when it was exported, whatever it is given."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from api.model import Model, is_close

Row = dict[str, Any]
TEXTS = ["", " ", "a category that was never seen", "naïve Größe 東京 🚀", "x" * 1000, "'; DROP TABLE rows; --", "\x00"]
NUMBERS = [0, -1, 1e-300, 1e300, -1e300, math.nan, math.inf, -math.inf, True, "12.5"]
#: Where the owner set no limit of their own.
USUAL_SECONDS_PER_ROW = 0.1
TIMES = ["1970-01-01", "1900-02-28T23:59:59", "9999-12-31"]


@pytest.fixture(scope="module")
def model(root: Path) -> Model:
    return Model(root)


def predict(model: Model, rows: list[Row]) -> list[Row]:
    return model.predict({c["name"]: [row[c["name"]] for row in rows] for c in model.columns})


def check_shape(predictions: list[Row], config: Row) -> None:
    for prediction in predictions:
        if config["classes"] is None:
            assert list(prediction) == ["prediction"]
        else:
            shares = prediction["probabilities"].values()
            assert prediction["label"] in config["classes"]
            assert len(shares) == len(config["classes"])
            assert all(share is not None and -1e-9 <= share <= 1 + 1e-9 for share in shares)
            assert math.isclose(sum(shares), 1, abs_tol=1e-6)


def odd_cells(column: Row, rows: list[Row]) -> list[Any]:
    if column["edge"] == "string":
        return [None, *TEXTS]
    if column["edge"] == "double":
        seen = [abs(float(row[column["name"]])) for row in rows if isinstance(row[column["name"]], (int, float))]
        return [None, *NUMBERS, 10 * max(seen, default=1.0)]
    return [None, "", *(TIMES if column["cell_format"] is None else [])]


def test_samples_give_what_they_gave_at_export(model: Model, rows: list[Row], expected: list[Row]) -> None:
    found = predict(model, rows)
    assert len(found) == len(expected) > 0
    assert [i for i, pair in enumerate(zip(found, expected, strict=True)) if not is_close(*pair)] == []


def test_a_row_alone_gives_what_it_gives_among_others(model: Model, rows: list[Row], expected: list[Row]) -> None:
    assert is_close(predict(model, rows[:1])[0], expected[0])


def test_self_test(model: Model) -> None:
    test = model.self_test()
    assert test.passes, f"expected {test.expected}, found {test.found}"


def test_everything_missing(model: Model, config: Row, rows: list[Row]) -> None:
    check_shape(predict(model, [dict.fromkeys(rows[0])]), config)


class ModelTestSuite:
    """What every model must hold: it repeats itself, it survives odd cells, it is fast enough."""

    def test_model_consistency(self, model: Model, rows: list[Row]) -> None:
        assert predict(model, rows) == predict(model, rows)

    def test_edge_cases(self, model: Model, config: Row, rows: list[Row]) -> None:
        for column in model.columns[:50]:
            odd = [{**rows[i % len(rows)], column["name"]: cell} for i, cell in enumerate(odd_cells(column, rows))]
            check_shape(predict(model, odd), config)

    def test_performance_requirements(self, model: Model, config: Row, rows: list[Row]) -> None:
        limit = config["limits"].get("max_seconds_per_row", USUAL_SECONDS_PER_ROW)
        batch = [rows[i % len(rows)] for i in range(200)]
        predict(model, batch)
        started = time.perf_counter()
        predict(model, batch)
        assert (time.perf_counter() - started) / len(batch) <= limit
