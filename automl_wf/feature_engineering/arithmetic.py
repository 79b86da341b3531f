"""Sums, differences, products and quotients of pairs of numbers: what trees can only approach in steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.cross_fit import choose_targets, target_columns, unit_weights
from automl_wf.feature_engineering.gains import draw_rows, gains_of, largest

Operator = Literal["plus", "minus", "times", "by"]
_WORDS: dict[Operator, str] = {"plus": "plus", "minus": "minus", "times": "times", "by": "divided by"}
#: Classes of the target that the judging boosting looks at.
_MAX_CLASSES = 3


class Arithmetic(FeatureTransformer[Numbers]):
    """The most useful sums, differences, products and quotients of two columns.

    Candidates are all pairs of the columns that a small gradient boosting on the single columns splits on most; a
    second one is given the candidates too, and those that it gains most by are kept. Both see a random part of the
    training rows. The order of a quotient is that in which it is tried: both are. What is not a finite number, such as
    a division by zero, is missing.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    max_columns : int, default=12
        Columns that are paired.
    max_features : int, default=20
        Features made.
    max_rows : int, default=5000
        Rows that candidates are judged on.
    random_state : int, default=0
        Seed of the rows and of the boosting.

    Attributes
    ----------
    pairs_ : list of (str, int, int)
        Operator ("plus", "minus", "times", "by") and the places of its operands, most useful first.

    References
    ----------
    U. Khurana, H. Samulowitz and D. Turaga (2018). Feature engineering for predictive modeling using reinforcement
    learning. AAAI (the space of transformations; candidates are judged differently here).
    """

    def __init__(
        self,
        n_classes: int = 1,
        max_columns: int = 12,
        max_features: int = 20,
        max_rows: int = 5000,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.max_columns = max_columns
        self.max_features = max_features
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, block: Numbers, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Choose operators and pairs.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            Numbers; NaN is missing.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights.

        Returns
        -------
        Arithmetic

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("Arithmetic.fit needs the target: expected y of shape (n_rows,), got None.")
        rows = draw_rows(len(y), self.max_rows, self.random_state)
        weights = unit_weights(weight, len(y))
        targets = target_columns(y, self.n_classes, choose_targets(y, weights, self.n_classes, _MAX_CLASSES))
        X, targets, weights = block[rows], targets[rows], weights[rows]
        chosen = largest(gains_of(X, targets, weights, self.random_state), self.max_columns)
        candidates = list(_candidates(np.sort(chosen).tolist()))
        made = np.empty((len(X), len(chosen) + len(candidates)), order="F")
        made[:, : len(chosen)] = X[:, chosen]
        _compute(X, candidates, made[:, len(chosen) :])
        gains = gains_of(made, targets, weights, self.random_state)[len(chosen) :]
        self.pairs_ = [candidates[i] for i in largest(gains, self.max_features)]
        self.n_features_out_ = len(self.pairs_)
        return self

    def write(self, block: Numbers, out: Numbers) -> None:
        """Write the chosen features."""
        _compute(block, self.pairs_, out)

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<a>_<operator>_<b>`."""
        return [
            Feature(
                f"{input_names[i]}_{operator}_{input_names[j]}",
                "numeric",
                (input_names[i], input_names[j]),
                f"{input_names[i]} {_WORDS[operator]} {input_names[j]}; missing where that is no finite number",
            )
            for operator, i, j in self.pairs_
        ]


def _candidates(columns: Sequence[int]) -> list[tuple[Operator, int, int]]:
    found: list[tuple[Operator, int, int]] = []
    for i, j in combinations(columns, 2):
        found += [("plus", i, j), ("minus", i, j), ("times", i, j), ("by", i, j), ("by", j, i)]
    return found


def _compute(X: Numbers, pairs: Sequence[tuple[Operator, int, int]], out: Numbers) -> None:
    """Write what the operators make of the pairs."""
    functions = {"plus": np.add, "minus": np.subtract, "times": np.multiply, "by": np.divide}
    with np.errstate(all="ignore"):
        for (operator, i, j), column in zip(pairs, out.T, strict=True):
            made = functions[operator](X[:, i], X[:, j])
            made[~np.isfinite(made)] = np.nan
            column[:] = made
