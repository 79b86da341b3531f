"""All explanations of the final model in the order of their worth, each within the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from automl_wf.core.budget import Budget
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Table
from automl_wf.interpretation.boundary import Boundary, decision_boundary
from automl_wf.interpretation.explained import (
    MOVED_ROWS,
    NO_TIME,
    Explained,
    Floats,
    Places,
    by_worth,
    players,
    ranked_columns,
)
from automl_wf.interpretation.interactions import Interactions, interactions, n_terms
from automl_wf.interpretation.partial_dependence import PartialDependence, partial_dependence
from automl_wf.interpretation.rules import Rules, surrogate_rules
from automl_wf.interpretation.shapley import ShapleySummary, max_evals, shapley_summary, typical_rows
from automl_wf.interpretation.trust import CELL_S, Outside, Trust, outside_range, trust_figures

BASELINE = "not run: the model is the baseline, which looks at no column"
NO_COLUMNS = "not run: no column is used"
#: Columns whose partial dependence is drawn, and whose pairs are measured.
DEPENDENCES, PAIRED = 6, 5
#: Columns that rules may ask about.
ASKED = 20
#: A forecast may be wrong by this much.
_MARGIN = 1.3
#: Rows predicted to learn what a row costs, and rows that explanations ask about in one call.
_PROBE, _ROWS_PER_CALL = 200, 500
#: Seconds that are spent on an output of a prediction beside making it: 0.29 µs in Shapley values of 300 classes.
_OUTPUT_S = 3e-7
#: Share of the time that importances leave.
_KEPT_SHARE = 0.4

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Sizes:
    """How many rows and values each explanation looks at.

    Parameters
    ----------
    dependence_rows, dependence_points : int
        Lines, and values of a number or time, of partial dependence.
    shap_rows, shap_background : int
        Rows that are explained, and rows that each is compared with.
    pair_points, pair_rows, n_controls : int
        Of the interactions.
    boundary_rows, boundary_points : int
        Of the decision surface.
    n_levels : int
        Most texts of a column.
    """

    dependence_rows: int
    dependence_points: int
    shap_rows: int
    shap_background: int
    pair_points: int
    pair_rows: int
    n_controls: int
    boundary_rows: int
    boundary_points: int
    n_levels: int


#: Some 100,000 predictions, and some 7,000: what a fit of half a second can spare.
FULL = Sizes(50, 20, 200, 5, 50, 50, 3, 20, 25, 10)
BRIEF = Sizes(20, 10, 40, 3, 16, 10, 2, 5, 12, 6)
BRIEF_PREDICTIONS = 8_000


@dataclass(frozen=True)
class Explanations:
    """What is known of the final model.

    Parameters
    ----------
    partial_dependence, shap, interactions, rules, boundary, trust
        One set of facts each, with its status.
    """

    partial_dependence: PartialDependence
    shap: ShapleySummary
    interactions: Interactions
    rules: Rules
    boundary: Boundary
    trust: Trust

    @classmethod
    def none(cls, status: str) -> Explanations:
        """Nothing was run, for one reason."""
        return cls(
            PartialDependence(status),
            ShapleySummary(status),
            Interactions(status),
            Rules(status),
            Boundary(status),
            Trust(status),
        )


@dataclass(frozen=True)
class _Clock:
    """Runs what the time affords."""

    budget: Budget
    row_s: float

    def run(self, n_predictions: int, facts: Callable[[], Facts]) -> Facts | None:
        """The facts if so many predictions fit; None: no time."""
        return facts() if self.affords(n_predictions * self.row_s) else None

    def affords(self, seconds: float) -> bool:
        return not self.budget.is_limited or self.budget.left() > _MARGIN * seconds


def seconds_to_keep(model: Explained, budget: Budget) -> float:
    """Seconds of a budget that the brief form of all explanations takes.

    Parameters
    ----------
    model : Explained
        The final model: a few rows are predicted to learn what one costs.
    budget : Budget
        What is left for importances and explanations together.

    Returns
    -------
    float
        At most two fifths of what is left; 0 without a limit.
    """
    if not budget.is_limited or model.is_baseline:
        return 0.0
    return min(_MARGIN * BRIEF_PREDICTIONS * _probe(model), _KEPT_SHARE * max(budget.left(), 0.0))


def explain_final(
    model: Explained,
    order: Sequence[str],
    idle: Sequence[Column],
    *,
    table: Table,
    splits: Sequence[tuple[Places, Places]],
    is_small: bool,
    seed: int,
    budget: Budget,
) -> Explanations:
    """Explain the final model.

    Parameters
    ----------
    model : Explained
        The final model, and the reference rows.
    order : sequence of str
        Columns whose importance is known, the most important first. Where that are not all, columns are ordered by how
        much predictions move without their cells.
    idle : sequence of Column
        Columns that the score does not need.
    table : Table
        All rows.
    splits : sequence of (ndarray, ndarray)
        The folds: rows fitted on, and rows held out.
    is_small : bool
        Whether the brief form is enough.
    seed : int
        Seed of samples and orders.
    budget : Budget
        Asked before each explanation. Without a limit the sizes depend on `is_small` alone.

    Returns
    -------
    Explanations
        Facts; what did not fit the time says so.
    """
    used = table.schema.used
    if model.is_baseline or not used:
        return Explanations.none(BASELINE if model.is_baseline else NO_COLUMNS)
    rows = np.random.default_rng(seed).permutation(model.rows.n_rows)
    outputs, row_s = _predict_all(model, rows, budget)
    clock = _Clock(budget, row_s)
    ranked = None if outputs is None else _ranked(model, used, order, rows, clock)
    if outputs is None or ranked is None:
        return Explanations.none(NO_TIME)
    drawn, paired = ranked[:DEPENDENCES], ranked[:PAIRED]
    controls = [c for c in idle if c not in paired]
    n_units, n_slices = len(players(ranked)), len(model.slices())
    costs: dict[str, Callable[[Sizes], int]] = {
        "dependence": lambda s: len(drawn) * s.dependence_points * s.dependence_rows,
        "shap": lambda s: s.shap_rows * (2 + max_evals(n_units, _multiple(s.shap_background, n_slices)) // n_slices),
        "pairs": lambda s: n_terms(len(paired), s.n_controls) * s.pair_points * s.pair_rows,
        "boundary": lambda s: s.boundary_points**2 * s.boundary_rows,
    }
    # All in full or all in brief: rather each of them than one of them well
    is_brief = is_small or not clock.affords(sum(cost(FULL) for cost in costs.values()) * row_s)
    size = BRIEF if is_brief else FULL

    dependence = clock.run(
        costs["dependence"](size),
        lambda: partial_dependence(
            model, drawn, rows[: size.dependence_rows], n_points=size.dependence_points, n_levels=size.n_levels
        ),
    )
    background = _background(rows, outputs, size.shap_background, n_slices)
    shap = clock.run(
        costs["shap"](size),
        lambda: shapley_summary(model, ranked, rows[: size.shap_rows], background, seed=seed),
    )
    together = clock.run(
        costs["pairs"](size),
        lambda: interactions(
            model, paired, controls[: size.n_controls], rows[: size.pair_points], rows[-size.pair_rows :]
        ),
    )
    rules = clock.run(0, lambda: surrogate_rules(model, ranked[:ASKED], rows, outputs, seed=seed))
    boundary: Boundary | None = Boundary("not run: it takes two columns")
    if len(ranked) > 1:
        pair, some = (ranked[0], ranked[1]), rows[: size.boundary_rows]
        boundary = clock.run(
            costs["boundary"](size),
            lambda: decision_boundary(model, pair, some, n_points=size.boundary_points, n_levels=size.n_levels),
        )
    late = Explanations.none(NO_TIME)
    found = replace(
        late,
        partial_dependence=dependence or late.partial_dependence,
        shap=shap or late.shap,
        interactions=together or late.interactions,
        rules=rules or late.rules,
        boundary=boundary or late.boundary,
    )
    return replace(found, trust=trust_figures(found.rules, found.shap, _outside(table, splits, clock)))


def _probe(model: Explained) -> float:
    """Seconds that a row takes, by a few, with its part of the seconds that a call takes for however few rows.

    With what is made of its outputs.
    """
    some = np.arange(min(model.rows.n_rows, _PROBE))
    call_s, all_s = _seconds(model, some[:1]), _seconds(model, some)
    predicted_s = max(all_s - call_s, 0.1 * all_s) / max(len(some), 1) + min(call_s, all_s) / _ROWS_PER_CALL
    return predicted_s + _OUTPUT_S * len(model.outputs)


def _seconds(model: Explained, rows: Places) -> float:
    began = time.perf_counter()
    model(rows)
    return time.perf_counter() - began


def _predict_all(model: Explained, rows: Places, budget: Budget) -> tuple[Floats | None, float]:
    """Outputs of the reference rows and the seconds of one; None if there is no time for them."""
    if budget.is_limited:
        row_s = _probe(model)
        if budget.left() < row_s * len(rows):
            return None, row_s
    began = time.perf_counter()
    outputs = model(rows)
    return outputs, (time.perf_counter() - began) / len(rows) + _OUTPUT_S * len(model.outputs)


def _ranked(
    model: Explained, columns: Sequence[Column], order: Sequence[str], rows: Places, clock: _Clock
) -> list[Column] | None:
    """Columns by what they are worth; None: there is no time to find out of any."""
    is_known = {c.name for c in columns} <= set(order)
    if is_known or clock.affords(3.0 * len(columns) * MOVED_ROWS * clock.row_s):
        return by_worth(model, columns, order, rows, rows[::-1])
    return ranked_columns(columns, order) if order else None


def _multiple(n: int, of: int) -> int:
    """The smallest multiple that is not less."""
    return -(-n // of) * of


def _background(rows: Places, outputs: Floats, n: int, n_slices: int) -> Places:
    """Typical rows, as many for each slice; with very few rows some stand there twice."""
    chosen = rows[typical_rows(outputs, _multiple(n, n_slices))]
    return np.resize(chosen, _multiple(len(chosen), n_slices))


def _outside(
    table: Table, splits: Sequence[tuple[Places, Places]], clock: _Clock
) -> tuple[float, tuple[Outside, ...], int] | None:
    columns = [c for c in table.schema.used if c.kind is not ColumnKind.TEXT]
    n_cells = sum(len(train) + len(valid) for train, valid in splits) * len(columns)
    if not splits or not columns or not clock.affords(n_cells * CELL_S):
        return None
    return outside_range(table, splits, columns)
