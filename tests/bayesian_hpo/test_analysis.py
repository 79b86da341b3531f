"""Looking back on a search: sums by hand, and hyper-parameters whose share is known from theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo.analysis import MIN_TRIALS, analyse_search, parameter_importance
from automl_wf.bayesian_hpo.objective import Configuration, Trial
from automl_wf.core.search_space import Categorical, Float

SPACE = {"steep": Float(0.0, 1.0), "idle": Float(0.0, 1.0), "kind": Categorical(("a", "b"))}


def trial(number: int, score: float, params: dict[str, Any], status: Any = "ok", **facts: Any) -> Trial:
    model = facts.pop("model", "boosting")
    return Trial(number, Configuration(model, params, facts.pop("source", "asked")), status, score=score, **facts)


def drawn(n: int, effect: float, noise: float = 0.0) -> list[Trial]:
    rng = np.random.default_rng(0)
    points = rng.random((n, 2))
    kinds = rng.choice(["a", "b"], n)
    scores = effect * points[:, 0] + noise * rng.normal(size=n)
    return [
        trial(i, float(scores[i]), {"steep": points[i, 0], "idle": points[i, 1], "kind": str(kinds[i])})
        for i in range(n)
    ]


def test_what_decides_the_score_has_nearly_all_of_the_variance() -> None:
    found = parameter_importance("boosting", drawn(60, 1.0), SPACE, seed=0)
    assert (found.status, found.n_trials) == ("measured", 60)
    assert found.r2 is not None
    assert found.r2 > 0.9
    assert found.effects[0].name == "steep"
    assert found.effects[0].share > 0.9
    assert {row.name for row in found.effects[1:]} == {"idle", "kind"}
    assert all(row.share < 0.05 for row in found.effects[1:])
    assert parameter_importance("boosting", drawn(60, 1.0), SPACE, seed=0) == found


def test_chance_is_not_told_as_importance() -> None:
    found = parameter_importance("boosting", drawn(40, 0.0, noise=1.0), SPACE, seed=0)
    assert found.status.startswith("not told")
    assert found.effects == ()


@pytest.mark.parametrize(
    ("trials", "space", "status"),
    [
        (drawn(MIN_TRIALS - 1, 1.0), SPACE, "fewer than"),
        (drawn(20, 1.0), {}, "nothing to tune"),
        ([trial(i, float(i), {"steep": 0.5, "idle": 0.5, "kind": "a"}) for i in range(20)], SPACE, "was varied"),
    ],
)
def test_why_there_is_no_importance(trials: list[Trial], space: Any, status: str) -> None:
    found = parameter_importance("boosting", trials, space)
    assert status in found.status
    assert found.effects == ()


def test_effort_and_gain_are_counted_by_model() -> None:
    trials = [
        trial(0, 0.5, {}, model="dummy", source="baseline", fit_time_s=1.0),
        trial(1, 0.6, {"steep": 0.1}, source="portfolio", fit_time_s=2.0, started_s=1.0),
        trial(2, math.nan, {}, "failed", fit_time_s=1.0, started_s=3.0, reason="no"),
        trial(3, 0.75, {"steep": 0.9}, fit_time_s=4.0, started_s=4.0, n_rounds=2, loss_curve=((1, 0.7), (2, 0.5))),
    ]
    found = analyse_search(trials, {"dummy": {}, "boosting": SPACE}, seed=0)
    assert [step.best for step in found.history] == [0.5, 0.6, 0.6, 0.75]
    assert [step.score for step in found.history] == [0.5, 0.6, None, 0.75]
    boosting, dummy = found.models
    assert (boosting.model, boosting.n_trials, boosting.n_ok, boosting.n_failed) == ("boosting", 3, 2, 1)
    assert (boosting.seconds, boosting.share) == (7.0, 0.875)
    assert (boosting.first, boosting.best, boosting.best_source) == (0.6, 0.75, "asked")
    assert boosting.gain == pytest.approx(0.15)
    assert dummy.gain == 0.0
    assert [row.model for row in found.importances] == ["boosting"]
    (history,) = found.histories
    assert (history.number, history.n_rounds, history.rounds, history.losses) == (3, 2, (1, 2), (0.7, 0.5))
    assert found.to_dict()["histories"][0]["losses"] == (0.7, 0.5)
