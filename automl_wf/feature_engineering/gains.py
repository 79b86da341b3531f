"""What a small gradient boosting gains by each column: how features that could be made are judged before they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import check_clock
from automl_wf.feature_engineering.base import Numbers

_ROUNDS = 30


def draw_rows(n_rows: int, most: int, seed: int) -> NDArray[np.intp]:
    """At most so many rows at random, ascending."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def gains_of(X: Numbers, targets: Numbers, weights: Numbers, seed: int) -> Numbers:
    """Total gain of each column in a small gradient boosting, summed over the targets; asks the clock every round."""
    from lightgbm import Dataset, train

    total = np.zeros(X.shape[1])
    options = {
        "objective": "regression",
        "num_leaves": 15,
        "learning_rate": 0.2,
        "feature_fraction": 0.5,
        "min_data_in_leaf": max(5, min(20, len(X) // 50)),
        "max_bin": 63,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed % 2**31,
    }
    if not X.shape[1]:
        return total
    for target in targets.T:
        deviation = float(target.std())
        if deviation > 0:
            data = Dataset(X, label=(target - target.mean()) / deviation, weight=weights, params=options)
            rounds = train(options, data, num_boost_round=_ROUNDS, callbacks=[_asks_the_clock])
            total += rounds.feature_importance("gain")
    return total


def _asks_the_clock(of_lightgbm: object) -> None:
    check_clock("Judging features")


def largest(gains: Numbers, most: int) -> NDArray[np.intp]:
    """Places of the largest positive gains, largest first."""
    order = np.argsort(-gains, kind="stable")[:most]
    return order[gains[order] > 0]
