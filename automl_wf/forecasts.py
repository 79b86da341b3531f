"""What the clock allows, before anything is fitted: folds, rows, rounds, bootstraps, and what is kept in reserve."""

from __future__ import annotations

import numpy as np

from automl_wf.bayesian_hpo.objective import MAX_PARALLEL_ROWS
from automl_wf.core.budget import Budget
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.model_selection.boosting import seconds_per_tree
from automl_wf.problem_definition import Problem

#: Seconds to count the cells of one column into bins, for drift; and to blend, calibrate and score for each number that
#: a model predicts (on 300 classes, where new memory takes most of it).
KEEPING_S, PREDICTED_S = 2e-4, 6e-7
#: Up to this many rows the configurations follow from the size alone, and the clock is only a guard; up to this many
#: cells the folds do.
SMALL_ROWS, SMALL_CELLS = 2_000, 400_000
#: From this many rows on a hold-out part is large enough to compare models by.
HOLD_OUT_ROWS = 20_000
#: One model's share of the time; where it affords fewer boosting rounds than this, models are compared on fewer rows.
FAIR_SHARE, FEWEST_ROUNDS = 0.25, 100
#: Rows that tell how many of a column's cells have its most frequent value; where fewer than this share of them have
#: another one, boosting takes less time for the column.
LOOKED_AT_ROWS, SPARSE_SHARE = 1_000, 0.2
#: Seconds of one core that the features and bins of a fold take for each cell of the table, over all views.
VIEWS_S = 6e-7
#: Folds of a preset; five for the others.
FOLDS = {"best": 8}
#: Folds that threads are filled with at most: each costs the features of its own, and time to predict.
MOST_FOLDS = 8


def reserve_s(budget: Budget, n_columns: int, n_predicted: int) -> float:
    """Seconds kept for blending, evaluation, what is kept of each column, and interpretation.

    Parameters
    ----------
    budget : Budget
        Of the whole fit.
    n_columns : int
        Columns of the table.
    n_predicted : int
        Numbers that a model predicts out of fold: held-out rows times classes.

    Returns
    -------
    float
        Seconds, at most half of the budget; 0 without a limit.
    """
    if budget.seconds is None:
        return 0.0
    least = min(0.5, 0.3 * budget.seconds) + PREDICTED_S * n_predicted
    return min(max(0.12 * budget.seconds, least) + KEEPING_S * n_columns, 0.5 * budget.seconds)


def diagnosis_budget(budget: Budget) -> Budget:
    """A few percent of all time; where the search ended early, a fraction of what it took."""
    if budget.seconds is None:
        return Budget()
    return Budget(max(min(0.3 * budget.left(), 0.04 * budget.seconds, max(0.1 * budget.elapsed(), 0.15)), 0.0))


def n_bootstraps(budget: Budget, n_rows: int) -> int:
    """Draws for intervals and the honest score: a small table is not to wait for more than its models take."""
    return 200 if n_rows > SMALL_ROWS and (budget.seconds is None or budget.seconds >= 30) else 100


def n_repeats(n_rows: int) -> int:
    """Times that each column is shuffled for its importance."""
    return 3 if n_rows > SMALL_ROWS else 2


def forecast_folds(table: Table, problem: Problem, budget: Budget, n_jobs: int, preset: str = "balanced") -> int:
    """Five folds (eight for the preset "best"), three or one hold-out part: so that several models fit into the time.

    Where folds run side by side there are as many as fill the threads: four in place of three on two of them.

    By a cost model of LightGBM: a model is counted as 300 rounds on 10,000 rows or fewer, and as more on more: four
    times the rows take about twice the rounds. Beside it each fold takes time for its features and bins.
    """
    is_small = table.n_rows <= SMALL_ROWS and table.n_rows * len(table.schema.used) <= SMALL_CELLS
    if budget.seconds is None or is_small:
        return FOLDS.get(preset, 5)
    n_rounds = 300 * max(table.n_rows / 10_000, 1.0) ** 0.5
    model = n_rounds * _seconds_per_round(table, problem, n_jobs)
    views = VIEWS_S * table.n_rows * len(table.schema.used) / n_jobs
    for n_folds in (FOLDS.get(preset, 5), 5, 3):
        # One hold-out part of few rows tells little: rather three folds for few models.
        n_models = 3 if n_folds == 3 and table.n_rows < HOLD_OUT_ROWS else 6
        if n_folds * (n_models * model + views) <= 0.7 * budget.seconds:
            return _filled(n_folds, n_jobs) if table.n_rows <= MAX_PARALLEL_ROWS else n_folds
    return 1


def _filled(n_folds: int, n_jobs: int) -> int:
    """Folds that run side by side come in waves: as many as fill the last one, which costs no more for it."""
    return max(n_folds, min(-(-n_folds // n_jobs) * n_jobs, MOST_FOLDS))


def _seconds_per_round(table: Table, problem: Problem, n_jobs: int) -> float:
    """One boosting round on all rows."""
    trees_per_round = problem.n_classes if problem.task is Task.MULTICLASS else 1
    return trees_per_round * _seconds_per_tree(table, n_jobs)


def _seconds_per_tree(table: Table, n_jobs: int) -> float:
    """One tree of boosting on all rows."""
    return seconds_per_tree(table.n_rows, max(_busy_columns(table), 1.0), n_jobs)


def _busy_columns(table: Table) -> float:
    """Used columns, where those that most rows have one value of count less: LightGBM skips what is most frequent."""
    rows = slice(None, None, -(-table.n_rows // LOOKED_AT_ROWS) or 1)
    busy = 0.0
    for column in table.schema.used:
        cells = table.cells[column.position]
        looked_at = cells.codes[rows] if isinstance(cells, Strings) else cells[rows]
        # What more than half of the cells have is their median.
        middle = np.partition(looked_at, len(looked_at) // 2)[len(looked_at) // 2]
        has_it = np.isnan(looked_at) if np.isnan(middle) else looked_at == middle
        busy += min((1.0 - has_it.mean()) / SPARSE_SHARE, 1.0)
    return busy


def affordable_rounds(table: Table, problem: Problem, budget: Budget, n_jobs: int, n_folds: int) -> float | None:
    """Boosting rounds per fold that a fair share of the time affords; None without a clock."""
    if budget.seconds is None or table.n_rows <= SMALL_ROWS:
        return None
    growth = table.n_rows / (search_rows(table, budget, n_jobs) or table.n_rows)
    per_round = n_folds * _seconds_per_round(table, problem, n_jobs)
    return growth * FAIR_SHARE * budget.seconds / per_round


def search_rows(table: Table, budget: Budget, n_jobs: int) -> int | None:
    """Rows that configurations are compared on, where all of them would leave too few rounds; None: all."""
    if budget.seconds is None or table.n_rows <= HOLD_OUT_ROWS:
        return None
    rounds = FAIR_SHARE * budget.seconds / _seconds_per_tree(table, n_jobs)
    return None if rounds >= FEWEST_ROUNDS else max(int(table.n_rows * rounds / FEWEST_ROUNDS), HOLD_OUT_ROWS)
