"""What live rows are held against: counts of every column and of the predictions, from all rows of `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.drift import categorical_reference, count, noise, numeric_reference, psi
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task

#: Rows that the counts are taken from at most.
MAX_ROWS = 100_000
#: Rows of which folds are compared with each other at most, and rows that a fold must have for it.
MAX_FOLD_ROWS, MIN_FOLD_ROWS = 20_000, 200


def drift_reference(
    table: Table,
    prediction: NDArray[np.float64],
    task: Task,
    labels: NDArray[Any] | None,
    fold: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Reference counts for the drift metrics of the service.

    Parameters
    ----------
    table : Table
        The rows of `fit`.
    prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Out-of-fold predictions.
    task : Task
        What is predicted.
    labels : ndarray of shape (n_rows,) or None
        Predicted labels, for classes.
    fold : ndarray of shape (n_rows,) or None, default=None
        The fold that holds out each row of the table; -1: none does. None where folds are random parts of the rows,
        which differ by chance alone.

    Returns
    -------
    dict
        "features": one entry per used column; "prediction": values or scores, the probability of the last of two
        classes, or the labels of more. With `fold`, each feature has "fold_excess" as well.
    """
    step = -(-table.n_rows // MAX_ROWS)
    features: dict[str, Any] = {}
    for column in table.schema.used:
        cells = table.cells[column.position]
        if isinstance(cells, Strings):
            features[column.name] = categorical_reference(cells.values()[::step])
        else:
            features[column.name] = numeric_reference(cells[::step])
        if fold is not None:
            features[column.name]["fold_excess"] = _fold_excess(cells, features[column.name], fold)
    if task is Task.MULTICLASS and labels is not None:
        predicted = categorical_reference(
            [str(label) for label in labels.tolist()], k=max(len(set(labels.tolist())), 1)
        )
    else:
        predicted = numeric_reference(prediction[:, -1] if prediction.ndim == 2 else prediction)
    return {"features": features, "prediction": predicted}


def _fold_excess(cells: Cells, reference: Mapping[str, Any], fold: NDArray[np.int64]) -> float:
    """Largest index of a fold against all rows, less what chance gives: how far training differs from itself."""
    step = -(-len(fold) // MAX_FOLD_ROWS)
    kept = np.arange(0, len(fold), step)
    values, fold = cells.take(kept).values() if isinstance(cells, Strings) else cells[kept], fold[kept]
    largest = 0.0
    for held_out in np.unique(fold[fold >= 0]):
        counts = count(values[fold == held_out], reference)
        if counts.sum() >= MIN_FOLD_ROWS:
            largest = max(largest, psi(reference["counts"], counts) - noise(reference["counts"], counts))
    return largest
