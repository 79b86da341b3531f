"""Stage 7: `interpret` → `Interpretation`: why the final model predicts what it does, as facts and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.costs import DecisionRule
from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.table import Table
from automl_wf.interpretation.boundary import Boundary
from automl_wf.interpretation.explained import Explained
from automl_wf.interpretation.explanations import Explanations, explain_final, seconds_to_keep
from automl_wf.interpretation.insights import Insight, insights
from automl_wf.interpretation.interactions import Interactions
from automl_wf.interpretation.partial_dependence import PartialDependence
from automl_wf.interpretation.permutation import (
    Importance,
    Importances,
    Predictor,
    affordable_effort,
    idle,
    most_urgent_first,
    permutation_importance,
    seconds_per_row,
    unstable,
)
from automl_wf.interpretation.rules import Rules
from automl_wf.interpretation.shapley import ShapleySummary
from automl_wf.interpretation.trust import Trust

__all__ = ["Explained", "Importance", "Insight", "Interpretation", "interpret", "permutation_importance"]

#: Up to this many rows explanations are brief.
_SMALL_ROWS = 2_000


@dataclass(frozen=True)
class Interpretation:
    """Why the final model predicts what it does.

    Parameters
    ----------
    importances : tuple of Importance
        Permutation importance of the input columns, the largest first, those not run last.
    scoring, label : str
        Name of the score that falls, and its natural form in words.
    base_score : float or None
        The score before anything is shuffled, greater is better.
    n_rows, n_folds, n_repeats : int
        Held-out rows used, folds, and shuffles per column and fold.
    greater_is_better : bool
        Whether more of the natural form is better.
    idle : tuple of str
        Columns whose shuffling costs nothing beyond chance.
    not_run : tuple of str
        Columns for which there was no time.
    unstable : tuple of str
        Columns that matter on average, but in some folds hardly or not at all.
    shap, partial_dependence, interactions, rules, boundary, trust
        Explanations of the final ensemble on reference rows, each with its status; None: no final model was given.
    insights : tuple of Insight
        The facts above in sentences, each with the path of its fact; ± is half of the 95 % interval.
    """

    importances: tuple[Importance, ...]
    scoring: str
    label: str
    base_score: float | None
    n_rows: int
    n_folds: int
    n_repeats: int
    greater_is_better: bool = True
    idle: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    shap: ShapleySummary | None = None
    partial_dependence: PartialDependence | None = None
    interactions: Interactions | None = None
    rules: Rules | None = None
    boundary: Boundary | None = None
    trust: Trust | None = None
    insights: tuple[Insight, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The insights as text alone."""
        return tuple(insight.text for insight in self.insights)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        facts: dict[str, Any] = _plain(asdict(self))
        return facts


def interpret(
    predictors: Sequence[Predictor],
    table: Table,
    y: NDArray[Any],
    weight: Floats | None,
    group: Codes | None,
    scoring: Scoring,
    columns: Sequence[int],
    *,
    n_repeats: int = 3,
    seed: int = 0,
    budget: Budget | None = None,
    max_rows: int = 2000,
    threshold: DecisionRule = None,
    final: Explained | None = None,
    splits: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]] = (),
) -> Interpretation:
    """Find out which input columns the final model lives on, and what it makes of them.

    Parameters
    ----------
    predictors, table, y, weight, group, scoring, columns
        As for `permutation_importance`.
    n_repeats : int, default=3
        Shuffles per column and fold, fewer where that makes all columns fit into the time.
    seed : int, default=0
        Seed of shuffles and samples.
    budget : Budget or None, default=None
        Asked before each column and each explanation. None: no limit.
    max_rows : int, default=2000
        Held-out rows used, fewer where that makes all columns fit into the time.
    threshold : float, Costs or None, default=None
        What a class is decided on by, as for `decide`.
    final : Explained or None, default=None
        The final model and reference rows. None: only importances.
    splits : sequence of (ndarray, ndarray), default=()
        The folds, to see how often held-out rows lie outside the range of the rows learnt from.

    Returns
    -------
    Interpretation
        Facts, and sentences made from them.
    """
    budget = Budget() if budget is None else budget
    first = budget if final is None else budget.until_reserve(seconds_to_keep(final, budget))
    row_s = seconds_per_row(predictors, table) if budget.is_limited else 0.0
    columns = most_urgent_first(predictors, table, scoring.task, columns, row_s=row_s, seed=seed, budget=first)
    max_rows, n_repeats, n_folds = affordable_effort(
        row_s, len(predictors), len(columns), n_repeats=n_repeats, budget=first, max_rows=max_rows
    )
    measured = permutation_importance(
        predictors[:n_folds],
        table,
        y,
        weight,
        group,
        scoring,
        columns,
        n_repeats=n_repeats,
        seed=seed,
        # Sized for a part of the time; where that was judged wrong, rather all columns than explanations of some
        budget=budget,
        max_rows=max_rows,
        threshold=threshold,
    )
    found = _ranked(measured, scoring)
    if final is not None:
        explained = _explain(final, found, table, splits, seed, budget)
        # Not `asdict`: that would make dictionaries of what is inside too
        found = replace(found, **vars(explained))
    return replace(found, insights=insights(found.to_dict()))


def _ranked(measured: Importances, scoring: Scoring) -> Interpretation:
    ranked = tuple(sorted(measured.rows, key=lambda row: np.inf if row.mean is None else -row.mean))
    return Interpretation(
        ranked,
        scoring.name,
        scoring.label,
        measured.base_score,
        measured.n_rows,
        measured.n_folds,
        measured.n_repeats,
        scoring.greater_is_better,
        idle=idle(ranked),
        not_run=tuple(row.column for row in ranked if row.mean is None),
        unstable=unstable(ranked),
    )


def _explain(
    final: Explained,
    found: Interpretation,
    table: Table,
    splits: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    seed: int,
    budget: Budget,
) -> Explanations:
    by_name = {c.name: c for c in table.schema.used}
    return explain_final(
        final,
        [row.column for row in found.importances if row.mean is not None],
        [by_name[name] for name in found.idle],
        table=table,
        splits=splits,
        is_small=table.n_rows <= _SMALL_ROWS,
        seed=seed,
        budget=budget,
    )


def _plain(value: Any) -> Any:
    """Lists for tuples, all the way down."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
