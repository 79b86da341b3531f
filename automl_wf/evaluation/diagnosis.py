"""The diagnosis: where the model fails and how far it can be trusted, the most valuable part first, as time allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.findings import Finding
from automl_wf.core.metrics import Floats
from automl_wf.core.number_format import number
from automl_wf.core.schema import Column
from automl_wf.core.table import stack
from automl_wf.evaluation import slices as slices_of
from automl_wf.evaluation.groups import Groups, measure_groups
from automl_wf.evaluation.held_out import MEASURED, NO_TIME, HeldOut, Predict
from automl_wf.evaluation.learning_curve import LearningCurve, Refit, measure_learning_curve, score_with_another_seed
from automl_wf.evaluation.robustness import Robustness, Scenarios, summarise_robustness
from automl_wf.evaluation.slices import Slices, find_slices
from automl_wf.evaluation.stability import Stability, summarise_stability

#: Held-out rows that are spoilt, and rows that all fold models are asked about; fewer where the time is short.
MAX_ROWS, MIN_ROWS, MAX_SHARED_ROWS = 1_000, 100, 200
#: Cells that one fold's models are asked about at a time, and the fewest rows of wide tables.
MAX_CELLS, MIN_FOLD_ROWS = 4_000_000, 25
#: Seconds that scores may take in any case.
FREE_S = 0.05
#: Seconds per cell that the search for slices takes at most.
SLICE_CELL_S = 1.5e-7


@dataclass(frozen=True)
class Diagnosis:
    """Where the model fails.

    Parameters
    ----------
    groups : Groups or None
        Metrics by group; None: no column was named as sensitive.
    slices : Slices
        Where in the input it errs more than elsewhere.
    robustness : Robustness
        How the score decays under worse input.
    stability : Stability
        How much it depends on the rows it was fitted on.
    learning_curve : LearningCurve or None
        Whether more rows would help; None: there is nothing to fit again.
    """

    groups: Groups | None
    slices: Slices
    robustness: Robustness
    stability: Stability
    learning_curve: LearningCurve | None


def diagnose(
    held_out: HeldOut,
    sensitive: Sequence[Column],
    refit: Refit | None,
    *,
    seed: int = 0,
    budget: Budget | None = None,
) -> Diagnosis:
    """Find out where the model fails.

    Parameters
    ----------
    held_out : HeldOut
        Held-out rows, their predictions and the fold models.
    sensitive : sequence of Column
        Columns to report group metrics for.
    refit : Refit or None
        What the learning curve is fitted with.
    seed : int, default=0
        Seed of halves, draws and samples.
    budget : Budget or None, default=None
        Asked before each part. None: no limit.

    Returns
    -------
    Diagnosis
        Facts; parts that did not fit say "not run: no time".
    """
    budget = Budget() if budget is None else budget
    groups = _groups(held_out, sensitive, seed, budget)
    n_cells = min(len(held_out), slices_of.MAX_ROWS) * len(held_out.table.schema.used)
    is_late = budget.left() <= SLICE_CELL_S * min(n_cells, slices_of.MAX_CELLS)
    slices = Slices(status=NO_TIME) if is_late else find_slices(held_out, seed=seed)
    robustness, stability = _ask_fold_models(held_out, seed, budget)
    curve = None if refit is None else measure_learning_curve(refit, budget=budget)
    if refit is not None and curve is not None and curve.points:
        first, second = curve.points[-1].score, score_with_another_seed(refit, budget=budget)
        if first is not None and second is not None:
            stability = replace(stability, seed_scores=(first, second))
    return Diagnosis(groups, slices, robustness, stability, curve)


def _groups(held_out: HeldOut, sensitive: Sequence[Column], seed: int, budget: Budget) -> Groups | None:
    if not sensitive:
        return None
    if budget.is_over():
        return Groups(status=NO_TIME)
    return measure_groups(
        held_out.held,
        held_out.table,
        sensitive,
        pos_index=held_out.scoring.pos_index,
        labels=held_out.labels,
        seed=seed,
    )


def _ask_fold_models(held_out: HeldOut, seed: int, budget: Budget) -> tuple[Robustness, Stability]:
    """Every fold's models are asked once: about their spoilt rows, and about rows that all of them are asked about."""
    scenarios = Scenarios.of(held_out.table, seed)
    scoring_s = held_out.score_time_s * (len(scenarios.wanted) + 2 + len(held_out.predictors))
    if scoring_s > max(budget.left(), FREE_S):
        return Robustness(status=NO_TIME), Stability(held_out.scoring.label, (), None, None, status=NO_TIME)
    most = _rows_in_memory(held_out, scenarios)
    n_rows = _affordable_rows(held_out, scenarios, most, budget)
    if n_rows < min(MIN_ROWS, most, len(held_out)):
        return Robustness(status=NO_TIME), summarise_stability(held_out, (), NO_TIME)
    rows = held_out.sample(n_rows, seed)
    n_shared = min(MAX_SHARED_ROWS, n_rows, len(held_out))
    shared = np.sort(np.random.default_rng([seed, 5]).permutation(len(held_out))[:n_shared])
    answers = _predictions(held_out.predictors, scenarios, rows, shared, budget)
    if not answers:
        return Robustness(status=NO_TIME), summarise_stability(held_out, (), NO_TIME)
    is_done = len(answers) == len(held_out.predictors)
    return (
        summarise_robustness(held_out, scenarios, rows, [of_fold[:-1] for of_fold in answers]),
        summarise_stability(held_out, [a[-1] for a in answers] if is_done else (), MEASURED if is_done else NO_TIME),
    )


def _predictions(
    predictors: Sequence[Predict],
    scenarios: Scenarios,
    rows: Sequence[NDArray[np.intp]],
    shared: NDArray[np.intp],
    budget: Budget,
) -> list[list[Floats]]:
    """For each fold that the time allowed its predictions, table by table, those of the shared rows last."""
    answers: list[list[Floats]] = []
    common = scenarios.table.take(shared)
    longest = 0.0
    for fold, predict in enumerate(predictors):
        if budget.left() <= longest:
            break
        start = time.perf_counter()
        tables = [*scenarios.tables(rows[fold], fold), common]
        ends = np.cumsum([t.n_rows for t in tables])[:-1]
        answers.append(np.split(predict(stack(tables)), ends))
        longest = max(longest, time.perf_counter() - start) if budget.is_limited else 0.0
    return answers


def _rows_in_memory(held_out: HeldOut, scenarios: Scenarios) -> int:
    """Held-out rows whose copies, one per scenario, fit into memory fold by fold."""
    n_copies = (len(scenarios.wanted) + 1) * max(len(held_out.table.cells), 1)
    return min(MAX_ROWS, len(held_out.predictors) * max(MAX_CELLS // n_copies, MIN_FOLD_ROWS))


def _affordable_rows(held_out: HeldOut, scenarios: Scenarios, most: int, budget: Budget) -> int:
    """How many held-out rows can be asked about in the time left, once per scenario, judged by three calls."""
    if not budget.is_limited:
        return most
    number, rows = max(enumerate(held_out.sample(most, 0)), key=lambda entry: len(entry[1]))
    if budget.is_over():
        return 0
    predict = held_out.predictors[number]
    each_fold = _seconds(lambda: scenarios.tables(rows[:2], number))
    each_call, all_rows = (_seconds(partial(predict, scenarios.table.take(some))) for some in (rows[:2], rows))
    each_row = max(all_rows - each_call, 0.1 * all_rows) / len(rows) * (len(scenarios.wanted) + 2)
    # A third is for the learning curve, which comes last.
    left = 0.67 * budget.left() - (each_fold + each_call) * len(held_out.predictors)
    return max(min(most, int(left / max(each_row, 1e-12))), 0)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def slice_findings(slices: Slices | None) -> list[Finding]:
    """Says where the model errs more than elsewhere, if that was confirmed.

    Parameters
    ----------
    slices : Slices or None
        What was found.

    Returns
    -------
    list of Finding
        At most one.
    """
    if slices is None or not slices.rows:
        return []
    worst = slices.rows[0]
    more = f", and in {len(slices.rows) - 1} other slices" if len(slices.rows) > 1 else ""
    return [
        Finding(
            "error_slices",
            "info",
            f"The model errs more where {worst.where}: {slices.loss} {number(worst.loss)} against {number(worst.rest)} "
            f"elsewhere{more}.",
            "Look at these rows: more of them, or a column that tells them apart, may help. See evaluation_.slices.",
            worst.columns,
        )
    ]
