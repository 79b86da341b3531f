"""Counts at each threshold are those that deciding there gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl_wf.core.costs import Costs
from automl_wf.core.tasks import Task
from automl_wf.evaluation.scores import Held
from automl_wf.evaluation.thresholds import count_by_threshold


def held(threshold: float | None = None, weighted: bool = False) -> Held:
    rng = np.random.default_rng(0)
    p = np.round(rng.random(200), 2)
    y = (rng.random(200) < p).astype(np.int64)
    weight = rng.integers(1, 4, 200).astype(float) if weighted else None
    return Held(Task.BINARY, y, np.column_stack([1 - p, p]), weight, None, threshold)


@pytest.mark.parametrize("pos_index", [0, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_are_those_of_decisions(pos_index: int, weighted: bool) -> None:
    rows = held(0.37, weighted)
    found = count_by_threshold(rows, ("no", "yes"), pos_index, Costs(((0.0, 2.0), (7.0, 0.0))))
    assert found is not None
    assert (found.label, found.other) == (("no", "yes") if pos_index == 0 else ("yes", "no"))
    weight = np.ones(200) if rows.weight is None else rows.weight
    positive = rows.y == pos_index
    assert (found.n_positive, found.n_negative) == (weight[positive].sum(), weight[~positive].sum())
    assert list(found.thresholds) == sorted(set(found.thresholds))
    price = {0: 2.0, 1: 7.0}
    for t, hits, alarms, cost in zip(found.thresholds, found.hits, found.alarms, found.cost_per_row, strict=True):
        said = rows.prediction[:, pos_index] >= t - 1e-9
        if t == found.thresholds[found.in_use]:
            said = rows.codes == pos_index
        assert hits == pytest.approx(weight[said & positive].sum())
        assert alarms == pytest.approx(weight[said & ~positive].sum())
        lost = alarms * price[1 - pos_index] + (found.n_positive - hits) * price[pos_index]
        assert cost == pytest.approx(lost / weight.sum())
    assert found.thresholds[found.in_use] == pytest.approx(0.37 if pos_index == 1 else 0.63)


def test_one_class_has_no_thresholds() -> None:
    rows = held()
    assert count_by_threshold(replace(rows, y=np.zeros_like(rows.y)), ("no", "yes")) is None
