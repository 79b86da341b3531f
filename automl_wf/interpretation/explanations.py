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
from automl_wf.interpretation.explained import NO_TIME, Explained, Floats, Places, players
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
#: Rows predicted to learn what a row costs.
_PROBE = 50

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
    """Runs what the time affords: in full, in brief, or not at all."""

    budget: Budget
    row_s: float

    def run(
        self, size: Callable[[Sizes], int], facts: Callable[[Sizes], Facts], sizes: Sequence[Sizes]
    ) -> Facts | None:
        """The facts at the first of some sizes that fits; None: no time."""
        for some in sizes:
            if self.affords(size(some) * self.row_s):
                return facts(some)
        return None

    def affords(self, seconds: float) -> bool:
        return not self.budget.is_limited or self.budget.left() > _MARGIN * seconds


def explain_final(
    model: Explained,
    ranked: Sequence[Column],
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
    ranked : sequence of Column
        Used columns whose importance is known, the most important first, then the others.
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
    if model.is_baseline or not ranked:
        return Explanations.none(BASELINE if model.is_baseline else NO_COLUMNS)
    rows = np.random.default_rng(seed).permutation(model.rows.n_rows)
    outputs, row_s = _predict_all(model, rows, budget)
    if outputs is None:
        return Explanations.none(NO_TIME)
    clock = _Clock(budget, row_s)
    sizes = [BRIEF] if is_small else [FULL, BRIEF]
    drawn, paired = ranked[:DEPENDENCES], ranked[:PAIRED]
    controls = [c for c in idle if c not in paired]
    n_units, n_slices = len(players(ranked)), len(model.slices())

    dependence = clock.run(
        lambda s: len(drawn) * s.dependence_points * s.dependence_rows,
        lambda s: partial_dependence(
            model, drawn, rows[: s.dependence_rows], n_points=s.dependence_points, n_levels=s.n_levels
        ),
        sizes,
    )
    shap = clock.run(
        lambda s: s.shap_rows * (2 + max_evals(n_units, _multiple(s.shap_background, n_slices)) // n_slices),
        lambda s: shapley_summary(
            model, ranked, rows[: s.shap_rows], _background(rows, outputs, s.shap_background, n_slices), seed=seed
        ),
        sizes,
    )
    together = clock.run(
        lambda s: n_terms(len(paired), s.n_controls) * s.pair_points * s.pair_rows,
        lambda s: interactions(model, paired, controls[: s.n_controls], rows[: s.pair_points], rows[-s.pair_rows :]),
        sizes,
    )
    rules = clock.run(lambda s: 0, lambda s: surrogate_rules(model, ranked[:ASKED], rows, outputs, seed=seed), [BRIEF])
    boundary = None
    if len(ranked) > 1:
        boundary = clock.run(
            lambda s: s.boundary_points**2 * s.boundary_rows,
            lambda s: decision_boundary(
                model,
                (ranked[0], ranked[1]),
                rows[: s.boundary_rows],
                n_points=s.boundary_points,
                n_levels=s.n_levels,
            ),
            sizes,
        )
    found = Explanations.none(NO_TIME)
    found = replace(
        found,
        partial_dependence=dependence or found.partial_dependence,
        shap=shap or found.shap,
        interactions=together or found.interactions,
        rules=rules or found.rules,
        boundary=boundary or (found.boundary if len(ranked) > 1 else Boundary("not run: it takes two columns")),
    )
    return replace(found, trust=trust_figures(found.rules, found.shap, _outside(table, splits, clock)))


def _predict_all(model: Explained, rows: Places, budget: Budget) -> tuple[Floats | None, float]:
    """Outputs of the reference rows and the seconds of one; None if there is no time for them."""
    row_s = 0.0
    if budget.is_limited:
        began = time.perf_counter()
        model(rows[:_PROBE])
        row_s = (time.perf_counter() - began) / len(rows[:_PROBE])
        if budget.left() < row_s * len(rows):
            return None, row_s
    began = time.perf_counter()
    outputs = model(rows)
    return outputs, (time.perf_counter() - began) / len(rows)


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
