"""Robustness: how the score decays when what comes in is worse than what was learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.metrics import Floats
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.evaluation.held_out import MEASURED, HeldOut

#: Scenario → its levels, the mildest first: standard deviations, shares of cells, factors.
SCENARIOS: Mapping[str, tuple[float, ...]] = {
    "noise": (0.1, 0.25, 0.5),
    "missing": (0.1, 0.25, 0.5),
    "unseen": (0.1, 0.25, 0.5),
    "scale": (1.1,),
    "shift": (1.0,),
}
#: Which columns a scenario touches; the others touch every used column.
_KINDS: Mapping[str, tuple[ColumnKind, ...]] = {
    "noise": (ColumnKind.NUMERIC,),
    "unseen": (ColumnKind.CATEGORICAL,),
    "scale": (ColumnKind.NUMERIC,),
    "shift": (ColumnKind.NUMERIC,),
}
_UNSEEN = "a category that was never seen"


@dataclass(frozen=True)
class RobustnessPoint:
    """The score under one scenario at one level.

    Parameters
    ----------
    scenario : str
        "noise" (normal, on numbers, in standard deviations of the column), "missing" (share of all cells), "unseen"
        (share of the cells of categories that hold a category never seen), "scale" (numbers times a factor), "shift"
        (numbers plus so many standard deviations).
    level : float
        How much.
    n_columns : int
        Columns touched.
    score : float or None
        In its natural form. None: not defined on these rows, or a prediction was not finite.
    drop : float or None
        How much worse than on the rows as they are; negative where it is better.
    kept : float or None
        Share that is left of the gain over the baseline. None: there was none.
    """

    scenario: str
    level: float
    n_columns: int
    score: float | None = None
    drop: float | None = None
    kept: float | None = None


@dataclass(frozen=True)
class Robustness:
    """The score as it decays.

    Parameters
    ----------
    points : tuple of RobustnessPoint
        By scenario, the mildest level first; scenarios without columns are left out.
    label : str
        The score in words.
    greater_is_better : bool
        False for losses.
    score, baseline : float or None
        Of the rows as they are, by model and baseline, in their natural form.
    n_rows, n_folds : int
        Held-out rows used, each predicted by models that did not see it, and folds that took part.
    seed : int
        Seed of the draws.
    status : str
        "measured", or why not.
    """

    points: tuple[RobustnessPoint, ...] = ()
    label: str = ""
    greater_is_better: bool = True
    score: float | None = None
    baseline: float | None = None
    n_rows: int = 0
    n_folds: int = 0
    seed: int = 0
    status: str = MEASURED


@dataclass(frozen=True)
class Scenarios:
    """What is done to rows: the same columns, spreads and levels for every fold.

    Parameters
    ----------
    table : Table
        All held-out rows.
    spread : mapping of int to float
        Standard deviation of each numeric column.
    wanted : tuple of (str, float)
        Scenarios and levels that touch some column.
    seed : int
        Seed of the draws.
    """

    table: Table
    spread: Mapping[int, float]
    wanted: tuple[tuple[str, float], ...]
    seed: int

    @classmethod
    def of(cls, table: Table, seed: int) -> Scenarios:
        """The scenarios that suit a table."""
        spread = {}
        for column in table.schema.of_kind(ColumnKind.NUMERIC):
            cells = table.cells[column.position]
            assert not isinstance(cells, Strings)
            known = cells[~np.isnan(cells)]
            spread[column.position] = float(known.std()) if len(known) else 0.0
        wanted = tuple((name, level) for name, levels in SCENARIOS.items() if _touched(table, name) for level in levels)
        return cls(table, spread, wanted, seed)

    def tables(self, rows: NDArray[np.intp], fold: int) -> list[Table]:
        """The rows as they are, then once per scenario."""
        base = with_spare_levels(self.table.take(rows))
        return [
            base,
            *(
                self._changed(base, name, level, np.random.default_rng([self.seed, fold, number]))
                for number, (name, level) in enumerate(self.wanted)
            ),
        ]

    def _changed(self, base: Table, name: str, level: float, rng: np.random.Generator) -> Table:
        cells: list[Cells] = list(base.cells)
        for column in _touched(base, name):
            cells[column.position] = self._change(cells[column.position], column, name, level, rng)
        return replace(base, cells=tuple(cells))

    def _change(self, cells: Cells, column: Column, name: str, level: float, rng: np.random.Generator) -> Cells:
        if isinstance(cells, Strings):
            text = "" if name == "missing" else cells.levels[-1]
            code = int(np.flatnonzero(cells.levels == text)[0])
            is_hit = rng.random(len(cells.codes)) < level
            return Strings(np.where(is_hit, code, cells.codes).astype(np.int32), cells.levels)
        if name == "missing":
            is_hit = rng.random(len(cells)) < level
            gap = np.nan if cells.dtype.kind == "f" else MISSING_TIME
            spoilt = cells.copy()
            spoilt[is_hit] = gap
            return spoilt
        values: Floats = cells.astype(np.float64)
        with np.errstate(over="ignore"):
            if name == "noise":
                changed = values + level * self.spread[column.position] * rng.standard_normal(len(values))
            elif name == "scale":
                changed = values * level
            else:
                changed = values + level * self.spread[column.position]
        # Beyond the largest double there is nothing: such cells stay.
        return np.where(np.isinf(changed), values, changed)


def _touched(table: Table, name: str) -> tuple[Column, ...]:
    kinds = _KINDS.get(name)
    return table.schema.used if kinds is None else table.schema.of_kind(*kinds)


def with_spare_levels(table: Table) -> Table:
    """The same rows; columns of strings know the missing string, and as their last level one that no row has.

    Parameters
    ----------
    table : Table
        Rows.

    Returns
    -------
    Table
        Numbers and codes are shared, not copied.
    """
    cells: list[Cells] = []
    for column in table.cells:
        if isinstance(column, Strings):
            known, unseen = set(column.levels.tolist()), _UNSEEN
            while unseen in known:
                unseen += "."
            more = [unseen] if "" in known else ["", unseen]
            column = Strings(column.codes, np.append(column.levels, np.array(more, dtype=object)))
        cells.append(column)
    return replace(table, cells=tuple(cells))


def summarise_robustness(
    held_out: HeldOut, scenarios: Scenarios, rows: Sequence[NDArray[np.intp]], answers: Sequence[Sequence[Floats]]
) -> Robustness:
    """Scores from what the fold models answered.

    Parameters
    ----------
    held_out : HeldOut
        Rows and their targets.
    scenarios : Scenarios
        What was done to them.
    rows : sequence of ndarray
        The rows that each fold was asked about.
    answers : sequence of sequence of ndarray
        For each fold its predictions, in the order of `Scenarios.tables`.

    Returns
    -------
    Robustness
        One point per scenario and level; the rows of all folds are scored together.
    """
    asked = np.concatenate([r for r, _ in zip(rows, answers, strict=False)])
    scores = [
        held_out.score(np.concatenate([of_fold[i] for of_fold in answers]), asked)
        for i in range(len(scenarios.wanted) + 1)
    ]
    base = scores[0]
    baseline = None if held_out.baseline is None else held_out.score(held_out.baseline[asked], asked)
    gain = None if base is None or baseline is None else base - baseline
    points = []
    for (name, level), score in zip(scenarios.wanted, scores[1:], strict=True):
        drop = None if base is None or score is None else base - score
        kept = None if gain is None or drop is None or not gain > 0 else 1.0 - drop / gain
        n_columns = len(_touched(held_out.table, name))
        points.append(RobustnessPoint(name, level, n_columns, held_out.natural(score), drop, kept))
    scoring = held_out.scoring
    return Robustness(
        tuple(points),
        scoring.label,
        scoring.greater_is_better,
        held_out.natural(base),
        held_out.natural(baseline),
        len(asked),
        len(answers),
        scenarios.seed,
    )
