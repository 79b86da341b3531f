"""Decision surface: what the final model says over the two most important columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_wf.core.schema import Column
from automl_wf.interpretation.explained import MEASURED, Explained, Places, cell_values, grid, short


@dataclass(frozen=True)
class Boundary:
    """Mean predictions on a grid over two columns.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    columns : tuple of str
        The two columns.
    x, y : tuple
        Values of the first and of the second column: quantiles of numbers and times, the commonest texts.
    labels : tuple of tuple of str
        The class that is said at each place, a tuple per value of y; empty without classes.
    values : tuple of tuple of float
        Mean prediction at each place, a tuple per value of y: of the value, of the probability of the second of two
        classes, or of that of the class in `labels`.
    output : str
        What `values` are of; empty where that is the class in `labels`.
    n_rows : int
        Rows whose other cells were averaged over.
    """

    status: str
    columns: tuple[str, ...] = ()
    x: tuple[Any, ...] = ()
    y: tuple[Any, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    output: str = ""
    n_rows: int = 0


def decision_boundary(
    model: Explained, pair: tuple[Column, Column], rows: Places, *, n_points: int, n_levels: int
) -> Boundary:
    """Give two columns all pairs of values of a grid, in some rows, and average the predictions.

    Parameters
    ----------
    model : Explained
        The final model.
    pair : tuple of two Column
        Columns along x and y.
    rows : ndarray of int
        Rows of the model's table that keep their other cells.
    n_points, n_levels : int
        Values of a number or time, and of a text.

    Returns
    -------
    Boundary
        The surface.
    """
    x, y = (grid(model.rows, column, n_points, n_levels) for column in pair)
    n = len(rows)
    base = np.tile(rows, len(x) * len(y))
    sources = {pair[0].position: np.tile(x.repeat(n), len(y)), pair[1].position: y.repeat(len(x) * n)}
    means = model(base, sources).reshape(len(y), len(x), n, -1).mean(axis=2)
    labels: tuple[tuple[str, ...], ...] = ()
    shown, output = means[:, :, 0], model.outputs[0]
    if model.task.is_classification:
        codes = model.decide(means.reshape(-1, means.shape[2])).reshape(len(y), len(x))
        labels = tuple(tuple(model.classes[code] for code in line) for line in codes)
        if len(model.outputs) > 1:
            shown, output = np.take_along_axis(means, codes[:, :, None], axis=2)[:, :, 0], ""
    return Boundary(
        MEASURED,
        (pair[0].name, pair[1].name),
        cell_values(model.rows, pair[0], x),
        cell_values(model.rows, pair[1], y),
        labels,
        tuple(short(line) for line in shown),
        output,
        n,
    )
