"""What live rows are held against: counts of every column and of the predictions, from all rows of `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.drift import categorical_reference, numeric_reference
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task

#: Rows that the counts are taken from at most.
MAX_ROWS = 100_000


def drift_reference(
    table: Table, prediction: NDArray[np.float64], task: Task, labels: NDArray[Any] | None
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

    Returns
    -------
    dict
        "features": one entry per used column; "prediction": values or scores, the probability of the last of two
        classes, or the labels of more.
    """
    step = -(-table.n_rows // MAX_ROWS)
    features = {}
    for column in table.schema.used:
        cells = table.cells[column.position]
        if isinstance(cells, Strings):
            features[column.name] = categorical_reference(cells.values()[::step])
        else:
            features[column.name] = numeric_reference(cells[::step])
    if task is Task.MULTICLASS and labels is not None:
        predicted = categorical_reference(
            [str(label) for label in labels.tolist()], k=max(len(set(labels.tolist())), 1)
        )
    else:
        predicted = numeric_reference(prediction[:, -1] if prediction.ndim == 2 else prediction)
    return {"features": features, "prediction": predicted}
