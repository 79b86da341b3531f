"""How far the explanations themselves can be trusted, and how often new rows will lie where nothing was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import Column
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.interpretation.explained import MEASURED, Places, missing_cells, short
from automl_wf.interpretation.rules import Rules
from automl_wf.interpretation.shapley import ShapleySummary

#: Columns named one by one.
_MAX_NAMED = 5
#: Seconds per cell to find ranges and compare with them.
CELL_S = 4e-9


@dataclass(frozen=True)
class Outside:
    """One column whose held-out cells lie outside the training range.

    Parameters
    ----------
    column : str
        Its name.
    share : float
        Share of the held-out rows.
    """

    column: str
    share: float


@dataclass(frozen=True)
class Trust:
    """Figures on which trust in the explanations rests.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    fidelity : float or None
        R² of the surrogate rules on rows they were not learnt from.
    agreement : float or None
        Share of these rows on which the rules say the same class.
    stability : float or None
        Rank correlation of the columns' mean Shapley sizes between two halves of the rows.
    largest_sum_error : float or None
        How far Shapley values and base value together are from the prediction, at most.
    outside_share : float or None
        Share of held-out rows with a number or time outside the range, or a text not among the values, of the rows that
        their models were fitted on: about the share to expect among new rows.
    outside : tuple of Outside
        The columns where that is most frequent.
    n_rows : int
        Held-out rows that were looked at.
    """

    status: str
    fidelity: float | None = None
    agreement: float | None = None
    stability: float | None = None
    largest_sum_error: float | None = None
    outside_share: float | None = None
    outside: tuple[Outside, ...] = ()
    n_rows: int = 0


def trust_figures(rules: Rules, shap: ShapleySummary, outside: tuple[float, tuple[Outside, ...], int] | None) -> Trust:
    """Collect what is known.

    Parameters
    ----------
    rules : Rules
        The surrogate.
    shap : ShapleySummary
        Shapley values.
    outside : tuple or None
        What `outside_range` returned; None: it was not run.

    Returns
    -------
    Trust
        The figures; the status of the first that is missing if none is there.
    """
    has_shap, has_rules = shap.status == MEASURED, rules.status == MEASURED
    is_there = has_shap or has_rules or outside is not None
    share, columns, n_rows = outside or (None, (), 0)
    return Trust(
        MEASURED if is_there else shap.status,
        fidelity=rules.r2,
        agreement=rules.agreement,
        stability=shap.stability,
        largest_sum_error=float(f"{shap.largest_sum_error:.2g}") if has_shap else None,
        outside_share=share,
        outside=columns,
        n_rows=n_rows,
    )


def outside_range(
    table: Table, splits: Sequence[tuple[Places, Places]], columns: Sequence[Column]
) -> tuple[float, tuple[Outside, ...], int]:
    """How many held-out rows lie outside what their models were fitted on.

    Parameters
    ----------
    table : Table
        All rows.
    splits : sequence of (ndarray, ndarray)
        Rows that the models of a fold were fitted on, and rows held out.
    columns : sequence of Column
        Columns to look at.

    Returns
    -------
    share : float
        Share of the held-out rows with a cell outside.
    columns : tuple of Outside
        Where that is most frequent, at most five.
    n_rows : int
        Held-out rows.
    """
    n_outside = np.zeros(len(columns))
    n_rows, n_any = 0, 0
    for train, valid in splits:
        is_outside = np.zeros(len(valid), dtype=bool)
        for i, column in enumerate(columns):
            here = _is_outside(table.cells[column.position], train, valid)
            n_outside[i] += here.sum()
            is_outside |= here
        n_rows += len(valid)
        n_any += int(is_outside.sum())
    worst = [i for i in np.argsort(-n_outside, kind="stable")[:_MAX_NAMED] if n_outside[i] > 0]
    named = tuple(Outside(columns[i].name, short([n_outside[i] / n_rows])[0]) for i in worst)
    return short([n_any / max(n_rows, 1)])[0], named, n_rows


def _is_outside(cells: Cells, train: Places, valid: Places) -> NDArray[np.bool_]:
    """Which held-out cells are outside the range of the training cells, or not among their texts; gaps are inside."""
    if isinstance(cells, Strings):
        is_seen = np.zeros(len(cells.levels), dtype=bool)
        is_seen[cells.codes[train]] = True
        is_seen[cells.levels == ""] = True
        new: NDArray[np.bool_] = ~is_seen[cells.codes[valid]]
        return new
    learnt = cells[train]
    learnt = learnt[~missing_cells(learnt)]
    held_out = cells[valid]
    if len(learnt) == 0:
        return ~missing_cells(held_out)
    outside: NDArray[np.bool_] = (held_out < learnt.min()) | (held_out > learnt.max())
    return outside & ~missing_cells(held_out)
