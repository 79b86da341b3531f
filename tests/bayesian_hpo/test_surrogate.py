"""The surrogate beats chance, repeats itself, and survives what scikit-optimize does not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo.surrogate import Surrogate, _regret
from automl_wf.core.search_space import Categorical, Float, Int, SearchSpace, from_unit
from automl_wf.exceptions import InvalidParameter

FOUR: SearchSpace = {f"x{i}": Float(0.0, 1.0) for i in range(4)}
MIXED: SearchSpace = {
    "lr": Float(0.005, 0.1, log=True),
    "leaves": Int(2, 200, log=True),
    "extra": Categorical((False, True)),
    "kind": Categorical(("a", "b", "c")),
}


def _bowl(params: Mapping[str, Any]) -> float:
    return sum((params[f"x{i}"] - 0.2 - 0.15 * i) ** 2 for i in range(4))


def _random(space: SearchSpace, n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng([99, seed])
    return [from_unit(space, rng.random(len(space))) for _ in range(n)]


def _search(space: SearchSpace, loss: Callable[[Mapping[str, Any]], float], n: int, seed: int) -> list[dict[str, Any]]:
    surrogate = Surrogate(space, seed)
    start = _random(space, 8, seed)
    surrogate.tell(start, [loss(p) for p in start])
    asked = []
    for _ in range(n):
        (params,) = surrogate.ask()
        surrogate.tell([params], [loss(params)])
        asked.append(params)
    return asked


def test_twenty_asks_beat_twenty_random_points() -> None:
    ours, chance = [], []
    for seed in range(5):
        ours.append(min(map(_bowl, _search(FOUR, _bowl, 20, seed))))
        chance.append(min(map(_bowl, _random(FOUR, 28, seed)[8:])))
    assert np.median(ours) < np.median(chance) / 3


def test_a_run_repeats_itself_bit_for_bit_also_in_a_thread() -> None:
    def loss(params: Mapping[str, Any]) -> float:
        return abs(math.log(params["lr"] / 0.03)) + 0.1 * params["extra"] + (params["kind"] == "b")

    first = _search(MIXED, loss, 4, 7)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(_search(MIXED, loss, 4, 7)))
    thread.start()
    thread.join()
    assert results == [first]
    assert _search(MIXED, loss, 4, 8) != first


def test_values_stay_within_their_dimensions_and_are_never_asked_twice() -> None:
    asked = _search(MIXED, lambda p: p["leaves"], 10, 0)
    assert all(0.005 * (1 - 1e-12) <= p["lr"] <= 0.1 * (1 + 1e-12) and 2 <= p["leaves"] <= 200 for p in asked)
    assert all(isinstance(p["leaves"], int) and isinstance(p["extra"], bool) and p["kind"] in "abc" for p in asked)
    assert len({tuple(p.values()) for p in asked}) == 10


def test_a_batch_holds_different_points_away_from_each_other() -> None:
    surrogate = Surrogate(FOUR, 0)
    start = _random(FOUR, 10, 0)
    surrogate.tell(start, [_bowl(p) for p in start])
    batch = surrogate.ask(3)
    points = np.array([list(p.values()) for p in batch])
    assert min(np.linalg.norm(points[i] - points[j]) for i in range(3) for j in range(i)) > 0.01


def test_an_empty_history_gives_random_points() -> None:
    assert len({p["x0"] for p in Surrogate(FOUR, 0).ask(5)}) == 5


def test_a_single_dimension_is_searched() -> None:
    space = {"C": Float(0.01, 1000.0, log=True)}
    asked = _search(space, lambda p: (math.log10(p["C"]) - 1.0) ** 2, 10, 0)
    assert min(abs(math.log10(p["C"]) - 1.0) for p in asked) < 0.05


def test_finite_space_is_exhausted_without_repeating() -> None:
    space = {"a": Categorical(("x", "y", None)), "b": Int(3, 4)}
    surrogate = Surrogate(space, 0)
    asked = []
    while not surrogate.is_exhausted:
        answer = surrogate.ask()
        surrogate.tell(answer, [float(len(asked))])
        asked += answer
    assert len(asked) == 6
    assert len({tuple(p.values()) for p in asked}) == 6
    assert all(p in asked for p in surrogate.ask(3))
    assert not Surrogate({**space, "c": Float(0.0, 1.0)}, 0).is_exhausted


@pytest.mark.parametrize("losses", [[math.nan] * 5, [math.inf, math.nan, -math.inf, math.nan, math.inf], [2.0] * 5])
def test_losses_that_say_nothing_do_not_stop_the_search(losses: list[float]) -> None:
    surrogate = Surrogate(FOUR, 0)
    surrogate.tell(_random(FOUR, 5, 0), losses)
    assert len(surrogate.ask(2)) == 2


def test_failures_are_avoided() -> None:
    def loss(params: Mapping[str, Any]) -> float:
        return math.nan if params["x0"] > 0.5 else _bowl(params)

    asked = _search(FOUR, loss, 15, 0)
    assert np.mean([p["x0"] > 0.5 for p in asked]) < 0.3
    assert np.nanmin([loss(p) for p in asked]) < 0.1


def test_regret_is_bounded_and_ordered_whatever_the_scale() -> None:
    regret = _regret(np.array([1.0, 2.0, 3.0, 1e308, -1e308, math.nan]))
    assert np.isfinite(regret).all()
    assert regret.argmin() == 4
    assert regret.argmax() == 5
    # regrets 0, 1, 2, 4 with median 2 of those above zero
    assert _regret(np.array([5.0, 6.0, 7.0, 9.0])).tolist() == pytest.approx([0.0, 1 / 3, 1 / 2, 2 / 3])
    assert _regret(1e6 * np.array([5.0, 6.0, 7.0, 9.0])).tolist() == pytest.approx([0.0, 1 / 3, 1 / 2, 2 / 3])


def test_points_told_twice_or_outside_the_space_are_accepted() -> None:
    surrogate = Surrogate(FOUR, 0)
    outside = {"x0": 1.0 + 1e-10, "x1": -3.0, "unknown": 1}
    surrogate.tell([outside, outside, {"x0": 0.3}], [1.0, 1.1, 0.5])
    assert surrogate.n_told == 3
    assert 0.0 <= surrogate.ask()[0]["x0"] <= 1.0


def test_cheap_configurations_are_preferred_among_equals() -> None:
    space = {"cost": Float(0.0, 1.0), "x": Float(0.0, 1.0)}
    start = _random(space, 12, 0)
    losses = [(p["x"] - 0.5) ** 2 for p in start]

    def mean_cost(seconds: list[float] | None) -> float:
        surrogate = Surrogate(space, 0)
        surrogate.tell(start, losses, seconds)
        return float(np.mean([p["cost"] for p in surrogate.ask(4)]))

    dear = [math.exp(5 * p["cost"]) for p in start]
    assert mean_cost(dear) < 0.3
    assert mean_cost(dear) < mean_cost(None)


def test_many_points_stay_cheap() -> None:
    surrogate = Surrogate(MIXED, 0)
    start = _random(MIXED, 400, 0)
    surrogate.tell(start, [abs(math.log(p["lr"] / 0.03)) for p in start])
    surrogate.ask()
    started = time.process_time()
    surrogate.ask()
    assert time.process_time() - started < 5.0


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(InvalidParameter, match="at least one dimension"):
        Surrogate({}, 0)
    with pytest.raises(InvalidParameter, match="2 configurations, 1 losses"):
        Surrogate(FOUR, 0).tell([{}, {}], [1.0])
