"""Stage 7: `interpret` → `Interpretation`: which input columns the final model lives on, as facts and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import Codes, Floats, Scoring
from automl_wf.core.table import Table
from automl_wf.interpretation.permutation import Importance, Importances, Predictor, permutation_importance, unstable

__all__ = ["Importance", "Interpretation", "interpret", "permutation_importance"]

#: Columns named one by one in a sentence.
_MAX_NAMED = 5


@dataclass(frozen=True)
class Interpretation:
    """Which input columns the final model lives on.

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
    idle : tuple of str
        Columns whose shuffling costs nothing beyond chance.
    not_run : tuple of str
        Columns for which there was no time.
    unstable : tuple of str
        Columns that matter on average, but in some folds hardly or not at all.
    sentences : tuple of str
        The facts above in words; ± is half of the 95 % interval.
    """

    importances: tuple[Importance, ...]
    scoring: str
    label: str
    base_score: float | None
    n_rows: int
    n_folds: int
    n_repeats: int
    idle: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        facts = asdict(self)
        for name in ("importances", "idle", "not_run", "unstable", "sentences"):
            facts[name] = list(facts[name])
        for row in facts["importances"]:
            row["by_fold"] = list(row["by_fold"])
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
    threshold: float | None = None,
) -> Interpretation:
    """Find out which input columns the final model lives on.

    Parameters
    ----------
    predictors, table, y, weight, group, scoring, columns
        As for `permutation_importance`.
    n_repeats : int, default=3
        Shuffles per column and fold.
    seed : int, default=0
        Seed of the shuffles.
    budget : Budget or None, default=None
        Asked before each column. None: no limit.
    max_rows : int, default=2000
        Held-out rows used.
    threshold : float or None, default=None
        Decision threshold for class 1.

    Returns
    -------
    Interpretation
        Facts, and sentences made from them.
    """
    measured = permutation_importance(
        predictors,
        table,
        y,
        weight,
        group,
        scoring,
        columns,
        n_repeats=n_repeats,
        seed=seed,
        budget=Budget() if budget is None else budget,
        max_rows=max_rows,
        threshold=threshold,
    )
    ranked = tuple(sorted(measured.rows, key=lambda row: np.inf if row.mean is None else -row.mean))
    return Interpretation(
        ranked,
        scoring.name,
        scoring.label,
        measured.base_score,
        measured.n_rows,
        measured.n_folds,
        measured.n_repeats,
        idle=tuple(row.column for row in ranked if row.is_idle),
        not_run=tuple(row.column for row in ranked if row.mean is None),
        unstable=unstable(ranked),
        sentences=_sentences(ranked, measured, scoring),
    )


def _sentences(ranked: Sequence[Importance], measured: Importances, scoring: Scoring) -> tuple[str, ...]:
    mattering = [row for row in ranked if row.matters]
    idle = [row.column for row in ranked if row.is_idle]
    statuses = {row.status for row in ranked if row.mean is None}
    said = []
    if mattering:
        verb = "lowers" if scoring.greater_is_better else "raises"
        first = mattering[0]
        said.append(
            f"`{first.column}` matters most: shuffling it {verb} {scoring.label} by {_with_error(first)}, "
            f"from {scoring.natural(measured.base_score or 0.0):.4g} on {measured.n_rows} held-out rows."
        )
        others = [f"`{row.column}` ({_with_error(row)})" for row in mattering[1:_MAX_NAMED]]
        if others:
            said.append(f"Then {'comes' if len(others) == 1 else 'come'} {_listed(others)}.")
    elif idle:
        said.append(f"No single column matters beyond chance on {measured.n_rows} held-out rows.")
    if mattering and idle:
        named = [f"`{name}`" for name in idle[:_MAX_NAMED]]
        more = [f"{len(idle) - _MAX_NAMED} more"] if len(idle) > _MAX_NAMED else []
        said.append(f"Shuffling {_listed(named + more)} costs nothing beyond chance, one column at a time.")
    shaky = [f"`{name}`" for name in unstable(ranked)[:_MAX_NAMED]]
    if shaky:
        said.append(f"What {_listed(shaky)} {'is' if len(shaky) == 1 else 'are'} worth differs much from fold to fold.")
    said += [
        f"{sum(row.status == status for row in ranked)} of {len(ranked)} columns were {status}."
        for status in sorted(statuses)
    ]
    return tuple(said)


def _with_error(row: Importance) -> str:
    """Mean ± half of the interval, both to the second digit of the error."""
    mean = row.mean or 0.0
    half = 0.0 if row.high is None else row.high - mean
    if half <= 0:
        return f"{mean:.3g}"
    decimals = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
