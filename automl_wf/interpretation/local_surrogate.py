"""A local surrogate in the manner of LIME: a linear model of what keeping or losing each cell of a row does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from automl_wf.core.table import Table, stack
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput
from automl_wf.interpretation.explained import Explained, Floats, Places, Predict, units_to_explain
from automl_wf.interpretation.shapley import MAX_PREDICTIONS, as_frame

#: Width of the kernel, times the root of the number of columns: that of the authors' own program.
KERNEL_WIDTH = 0.75
#: Strength of the ridge penalty.
PENALTY = 1.0
#: Neighbours of a row at most.
MAX_NEIGHBOURS = 500
INTERCEPT, FIDELITY = "intercept", "local_r2"


def local_surrogate(
    predict: Predict,
    table: Table,
    background: Table,
    *,
    class_names: Sequence[Any] | None,
    index: pd.Index | None = None,
    seed: int,
    order: Sequence[str] = (),
    max_single: int | None = None,
    n_threads: int = 1,
    max_predictions: int = MAX_PREDICTIONS,
) -> pd.DataFrame:
    """Fit a weighted ridge regression around each row.

    A neighbour of a row keeps some of its cells and has the others from a background row. The regression tells from
    which cells were kept what the model says; neighbours that kept more count more.

    Parameters
    ----------
    predict : callable
        From a Table to probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,).
    table : Table
        Rows to explain.
    background : Table
        Rows that cells are replaced from.
    class_names : sequence or None
        Class labels in the order of the probabilities; None: there are no classes.
    index : Index or None, default=None
        Labels of the rows. None: 0, 1, …
    seed : int
        Seed of the neighbours.
    order : sequence of str, default=()
        Columns by importance, for `max_single`; see `units_to_explain`.
    max_single : int or None, default=None
        Columns that stand alone; the others are one group. None: all.
    n_threads : int, default=1
        Batches that are predicted at a time.
    max_predictions : int, default=80000
        Predictions for all rows together, but at least two neighbours for each coefficient.

    Returns
    -------
    DataFrame
        One row per row of `table` (and class, where there are more than two): the coefficient of each column (how much
        keeping its cell moves the prediction), `intercept`, and `local_r2`, the weighted share of the variance of the
        neighbours' predictions that the regression follows (NaN where these do not vary). `attrs` says how many
        neighbours a row had and how wide the kernel was.

    Raises
    ------
    InvalidInput
        There are no background rows.

    Notes
    -----
    The weight of a neighbour is exp(−D² / σ²), where D² is the number of cells that were replaced and σ is 0.75 √d for
    d columns; the ridge penalty is 1.

    References
    ----------
    M. T. Ribeiro, S. Singh and C. Guestrin, "Why should I trust you?": explaining the predictions of any classifier,
    KDD 2016.
    """
    if background.n_rows == 0:
        raise InvalidInput("A local surrogate needs at least one background row, got none.")
    model = Explained(
        predict,
        stack([table, background]),
        Task.REGRESSION if class_names is None else Task.BINARY if len(class_names) == 2 else Task.MULTICLASS,
        () if class_names is None else tuple(map(str, class_names)),
        n_threads=n_threads,
    )
    units = units_to_explain(model, table.n_rows, order, max_single)
    n_neighbours = max(min(max_predictions // max(table.n_rows, 1), MAX_NEIGHBOURS), 2 * (len(units) + 1))
    rng = np.random.default_rng(seed)
    # The first neighbour of each row is the row itself
    kept = rng.random((table.n_rows, n_neighbours, len(units))) < rng.random((table.n_rows, n_neighbours, 1))
    kept[:, :1] = True
    others = rng.integers(table.n_rows, table.n_rows + background.n_rows, size=(table.n_rows, n_neighbours))
    said = _predict(model, kept, others, [p for _, p in units])
    width = KERNEL_WIDTH * np.sqrt(max(len(units), 1))
    lines = (
        np.stack([_fit(z, y, width) for z, y in zip(kept.astype(np.float64), said, strict=True)])
        if len(said)
        else (np.empty((0, len(units) + 2, len(model.outputs))))
    )
    names = [*(name for name, _ in units), INTERCEPT, FIDELITY]
    frame = as_frame(lines, names, class_names, pd.RangeIndex(table.n_rows) if index is None else index)
    frame.attrs = {"n_neighbours": n_neighbours, "kernel_width": float(width), "n_background": background.n_rows}
    return frame


def _predict(model: Explained, kept: Any, others: Places, units: Sequence[tuple[int, ...]]) -> Floats:
    """Predictions of all neighbours, of shape (n_rows, n_neighbours, n_outputs)."""
    n_rows, n_neighbours = others.shape
    own = np.arange(n_rows).repeat(n_neighbours)
    elsewhere = others.ravel()
    sources: dict[int, Places] = {}
    for u, positions in enumerate(units):
        sources.update(dict.fromkeys(positions, np.where(kept[:, :, u].ravel(), own, elsewhere)))
    return model(own, sources).reshape(n_rows, n_neighbours, len(model.outputs))


def _fit(kept: Floats, said: Floats, width: float) -> Floats:
    """Coefficients, intercept and fidelity of one row, of shape (n_units + 2, n_outputs)."""
    from sklearn.linear_model import Ridge

    weight = np.exp(-(1.0 - kept).sum(axis=1) / width**2)
    ridge = Ridge(alpha=PENALTY).fit(kept, said, sample_weight=weight)
    follows = np.asarray(ridge.predict(kept)).reshape(said.shape)
    share = weight / weight.sum()
    total = share @ np.square(said - share @ said)
    left = share @ np.square(said - follows)
    varies = total > 1e-24 * np.maximum(1.0, share @ np.square(said))
    fidelity = np.where(varies, 1.0 - left / np.where(varies, total, 1.0), np.nan)
    coefficients = np.asarray(ridge.coef_).reshape(said.shape[1], -1).T
    return np.vstack([coefficients, np.broadcast_to(ridge.intercept_, fidelity.shape), fidelity])
