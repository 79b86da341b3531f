"""Held-out rows, what was predicted for them, and the models that did not see them: what a diagnosis works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import Units, sample_rows
from automl_wf.evaluation.scores import Held

#: What a part of the diagnosis says of itself: that it was measured, or why not.
MEASURED, NO_TIME = "measured", "not run: no time"

#: A fold's models: rows in, probabilities, values or scores out.
Predict = Callable[[Table], Floats]


@dataclass(frozen=True)
class HeldOut:
    """Rows that some fold held out.

    Parameters
    ----------
    table : Table
        Their cells.
    held : Held
        Their targets, weights, groups and out-of-fold predictions.
    fold : ndarray of shape (n_rows,)
        The fold that held each of them out.
    predictors : tuple of callable
        For each fold its models, which did not see its rows.
    scoring : Scoring
        What was optimised.
    baseline : ndarray like the predictions, or None, default=None
        The baseline's out-of-fold predictions.
    labels : tuple, default=()
        Class labels in order of their codes.
    score_time_s : float, default=0.0
        Longest time that the metric has taken so far.
    """

    table: Table
    held: Held
    fold: Codes
    predictors: tuple[Predict, ...]
    scoring: Scoring
    baseline: Floats | None = None
    labels: tuple[Any, ...] = ()
    score_time_s: float = 0.0

    def __len__(self) -> int:
        return len(self.fold)

    def score(self, prediction: Floats, rows: NDArray[np.intp] | slice = slice(None)) -> float | None:
        """Score of some rows' prediction, greater is better; None where they do not define it or it is not finite."""
        held = self.held
        weight = None if held.weight is None else held.weight[rows]
        query = None if held.query is None else held.query[rows]
        y = held.y[rows]
        if not np.isfinite(prediction).all() or (held.task.is_classification and len(np.unique(y)) < 2):
            return None
        try:
            score = self.scoring(y, prediction, weight, query, threshold=held.threshold)
        except ValueError:
            # How scorers of scikit-learn's say that a class is missing from the rows.
            return None
        return score if np.isfinite(score) else None

    def natural(self, score: float | None) -> float | None:
        """A score as it is usually written: a loss is not negated."""
        return None if score is None else self.scoring.natural(score)

    def sample(self, max_rows: int, seed: int) -> tuple[NDArray[np.intp], ...]:
        """For each fold some of the rows that it held out: at most `max_rows` in all, queries whole."""
        query = self.held.query
        chosen = []
        for number in range(len(self.predictors)):
            rows = np.flatnonzero(self.fold == number)
            share = max(max_rows // len(self.predictors), 1)
            rng = np.random.default_rng([seed, number])
            chosen.append(rows[sample_rows(len(rows), None if query is None else query[rows], share, rng)])
        return tuple(chosen)


def row_losses(held: Held) -> tuple[Floats, str] | None:
    """What each row costs, and what that is in words.

    Parameters
    ----------
    held : Held
        Held-out rows and their predictions.

    Returns
    -------
    (ndarray of shape (n_rows,), str) or None
        Squared error of the probabilities, bounded so that no single row decides (Brier 1950), or absolute error.
        None for a ranking, whose rows have no loss of their own.
    """
    if held.task is Task.RANKING:
        return None
    if held.task is Task.REGRESSION:
        return np.abs(held.y - held.prediction), "absolute error"
    if held.task is Task.BINARY:
        loss: Floats = (held.prediction[:, 1] - held.y) ** 2
        return loss, "squared error of the probability"
    hit = held.prediction[np.arange(len(held.y)), held.y]
    loss = (held.prediction**2).sum(axis=1) - hit**2 + (1 - hit) ** 2
    return loss, "squared error of the probabilities"


def unit_of_row(n_rows: int, group: Codes | None) -> NDArray[np.intp] | None:
    """Number of each row's group, 0, 1, … without gaps; None where each row stands for itself."""
    if group is None:
        return None
    units: NDArray[np.intp] = np.unique(group, return_inverse=True)[1].reshape(n_rows)
    return units


def draw_counts(n_rows: int, group: Codes | None, n_draws: int, rng: np.random.Generator) -> Floats:
    """How often each row is in each bootstrap draw; groups are drawn whole.

    Parameters
    ----------
    n_rows : int
        Rows to draw from.
    group : ndarray of shape (n_rows,) or None
        Groups.
    n_draws : int
        Draws wanted.
    rng : Generator
        Source of chance.

    Returns
    -------
    ndarray of shape (n_draws, n_rows)
        Whole numbers.
    """
    units = Units.of(n_rows, group)
    drawn = rng.integers(0, len(units), (n_draws, len(units))) + np.arange(n_draws)[:, None] * len(units)
    counts = np.bincount(drawn.ravel(), minlength=n_draws * len(units)).reshape(n_draws, len(units))
    of_row = unit_of_row(n_rows, group)
    spread: Any = counts.astype(np.float64)
    return spread if of_row is None else np.ascontiguousarray(spread[:, of_row])
