"""Each dimension maps the unit interval to its values and back."""

from __future__ import annotations

import pytest

from automl_wf.core.search_space import Categorical, Dimension, Float, Int, from_unit, to_unit

SPACE: dict[str, Dimension] = {
    "rate": Float(0.01, 1.0, log=True),
    "share": Float(-1.0, 3.0),
    "leaves": Int(2, 128, log=True),
    "depth": Int(1, 5),
    "kind": Categorical(("a", "b", None)),
}


def test_ends_and_middle() -> None:
    low, middle, high = (from_unit(SPACE, [u] * 5) for u in (0.0, 0.5, 1.0))
    assert [p.pop("rate") for p in (low, middle, high)] == pytest.approx([0.01, 0.1, 1.0])
    assert low == {"share": -1.0, "leaves": 2, "depth": 1, "kind": "a"}
    assert middle == {"share": 1.0, "leaves": 16, "depth": 3, "kind": "b"}
    assert high == {"share": 3.0, "leaves": 128, "depth": 5, "kind": None}


@pytest.mark.parametrize("u", [0.0, 0.123, 0.5, 0.77, 1.0])
def test_there_and_back(u: float) -> None:
    params = from_unit(SPACE, [u] * 5)
    assert from_unit(SPACE, to_unit(SPACE, params)) == pytest.approx(params)


def test_values_outside_lie_on_the_border_and_strangers_in_the_middle() -> None:
    assert to_unit(SPACE, {"rate": 0.0, "share": 99.0, "leaves": 1, "depth": 100, "kind": "z"}) == [0, 1, 0, 1, 0.5]
    assert to_unit(SPACE, {}) == [0.5] * 5
