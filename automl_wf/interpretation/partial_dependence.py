"""Partial dependence: what the final model says on average, and row by row, as one input column takes other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_wf.core.schema import Column
from automl_wf.interpretation.explained import (
    MEASURED,
    Explained,
    Floats,
    Places,
    axis_values,
    cell_values,
    grid,
    short,
)

#: Outputs whose mean is kept; of more classes those with the largest mean probability.
MAX_OUTPUTS = 5


@dataclass(frozen=True)
class Swing:
    """How far one column moves the mean prediction of the first output.

    Parameters
    ----------
    column : str
        Its name.
    highest_at, lowest_at : object
        The values with the largest and the smallest mean prediction; None is missing.
    highest, lowest : float
        These means.
    """

    column: str
    highest_at: Any
    highest: float
    lowest_at: Any
    lowest: float


@dataclass(frozen=True)
class Dependence:
    """How predictions depend on one column.

    Parameters
    ----------
    column, kind : str
        Its name and kind.
    values : tuple
        The values it was given: numbers, yes or no as bool, texts, dates in ISO 8601; None is missing.
    at : tuple of float
        Their places on an axis: numbers, days since 1970, or 0, 1, …
    mean : tuple of tuple of float
        Mean prediction at each value, for each output.
    lines : tuple of tuple of float
        Predictions of single rows at each value, for the first output (individual conditional expectation).
    swing : Swing
        How far it moves the mean of the first output.
    own_share : float or None
        Share of the lines' variation that is not common to all rows: 0 where the column's effect is the same for every
        row, so that it acts alone; on the scale on which effects add up. None: the lines do not vary.
    """

    column: str
    kind: str
    values: tuple[Any, ...]
    at: tuple[float, ...]
    mean: tuple[tuple[float, ...], ...]
    lines: tuple[tuple[float, ...], ...]
    swing: Swing
    own_share: float | None


@dataclass(frozen=True)
class PartialDependence:
    """Partial dependence on the most important columns.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    outputs : tuple of str
        What `mean` is of, in its order.
    n_rows : int
        Rows that were averaged over.
    columns : tuple of Dependence
        The most important first.
    """

    status: str
    outputs: tuple[str, ...] = ()
    n_rows: int = 0
    columns: tuple[Dependence, ...] = ()


def partial_dependence(
    model: Explained, columns: Sequence[Column], rows: Places, *, n_points: int, n_levels: int
) -> PartialDependence:
    """Give each column the values of a grid, in all rows, and predict.

    Parameters
    ----------
    model : Explained
        The final model.
    columns : sequence of Column
        Columns to vary, one at a time.
    rows : ndarray of int
        Rows of the model's table that keep their other cells.
    n_points, n_levels : int
        Values of a number or time (quantiles), and of a text (the commonest).

    Returns
    -------
    PartialDependence
        Means and single lines.

    References
    ----------
    J. H. Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29, 2001.
    A. Goldstein et al., Peeking inside the black box: visualizing statistical learning with plots of individual
    conditional expectation, JCGS 24, 2015.
    """
    grids = [grid(model.rows, column, n_points, n_levels) for column in columns]
    asked = [(c, points) for c, points in zip(columns, grids, strict=True) if len(points) > 1]
    said = _predict(model, asked, rows)
    outputs = _largest_outputs(said)
    return PartialDependence(
        MEASURED,
        tuple(model.outputs[i] for i in outputs),
        len(rows),
        tuple(_described(model, c, points, s, outputs) for (c, points), s in zip(asked, said, strict=True)),
    )


def _predict(model: Explained, asked: Sequence[tuple[Column, Places]], rows: Places) -> list[Floats]:
    """Predictions of shape (n_points, n_rows, n_outputs) for each column, all in one batch."""
    sizes = [len(points) * len(rows) for _, points in asked]
    base = np.tile(rows, sum(len(points) for _, points in asked))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
    sources = {}
    for (column, points), start, end in zip(asked, starts[:-1], starts[1:], strict=True):
        source = base.copy()
        source[start:end] = points.repeat(len(rows))
        sources[column.position] = source
    said = model(base, sources)
    return [
        said[start:end].reshape(len(points), len(rows), -1)
        for (_, points), start, end in zip(asked, starts[:-1], starts[1:], strict=True)
    ]


def _largest_outputs(said: Sequence[Floats]) -> list[int]:
    """Of several outputs those that are largest on average, the largest first."""
    if not said:
        return [0]
    means = np.mean([s.mean(axis=(0, 1)) for s in said], axis=0)
    return [int(i) for i in np.argsort(-means, kind="stable")[:MAX_OUTPUTS]]


def _described(model: Explained, column: Column, points: Places, said: Floats, outputs: Sequence[int]) -> Dependence:
    means, values = said.mean(axis=1), cell_values(model.rows, column, points)
    first = outputs[0]
    high, low = int(np.argmax(means[:, first])), int(np.argmin(means[:, first]))
    adding = model.where_effects_add(said.reshape(-1, said.shape[2])).reshape(said.shape)[:, :, first]
    return Dependence(
        column.name,
        column.kind.value,
        values,
        axis_values(model.rows, column, points),
        tuple(short(means[:, i]) for i in outputs),
        tuple(short(line) for line in said[:, :, first].T),
        Swing(column.name, values[high], short(means[:, first])[high], values[low], short(means[:, first])[low]),
        _own_share(adding),
    )


def _own_share(lines: Floats) -> float | None:
    """Share of what varies along the lines, of shape (n_points, n_rows), that their mean does not show."""
    centred = lines - lines.mean(axis=0)
    total = float(np.square(centred).mean())
    if total <= 1e-24 * max(1.0, float(np.square(lines).mean())):
        return None
    common = float(np.square(centred.mean(axis=1)).mean())
    return short([max(1.0 - common / total, 0.0)])[0]
