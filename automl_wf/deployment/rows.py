"""Rows for the explorer of the report: training rows, so only where the user asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.costs import Costs
from automl_wf.core.metrics import decide
from automl_wf.core.number_format import number
from automl_wf.core.tasks import Task
from automl_wf.deployment.card import plain
from automl_wf.deployment.samples import reference_cells
from automl_wf.deployment.subject import Subject

#: A page is no data set.
MAX_ROWS, MAX_COLUMNS, MAX_TEXT = 300, 20, 60


def arrange_rows(subject: Subject) -> dict[str, Any] | None:
    """Reference rows beside what was predicted for them by models fitted without them, worst first.

    Parameters
    ----------
    subject : Subject
        What the page is about.

    Returns
    -------
    dict or None
        "columns", names; "rows", texts in their order; "n_rows" and "n_columns", how many there are. None where no
        reference row was predicted out of fold, or it is not known which rows these are.
    """
    if subject.reference_rows is None or "row" not in subject.evidence:
        return None
    place = {int(row): i for i, row in reversed(list(enumerate(subject.evidence["row"])))}
    prediction = np.asarray(subject.evidence["prediction"], dtype=np.float64)
    known = [
        (i, int(row), place[int(row)])
        for i, row in enumerate(subject.reference_rows)
        if int(row) in place and np.isfinite(prediction[place[int(row)]]).all()
    ]
    if not known:
        return None
    losses = _losses(subject)
    known.sort(key=lambda at: -losses[at[2]])
    names = _columns(subject)
    cells = reference_cells(subject)
    rows = [
        [str(row), *_said(subject, at), _text(losses[at]), *(_text(cells[name][i]) for name in names)]
        for i, row, at in known[:MAX_ROWS]
    ]
    return {
        "columns": ["row", "truth", *(["prediction"] if subject.classes is None else ["said", "probability"]), "loss"]
        + names,
        "n_own": 4 if subject.classes is None else 5,
        "rows": rows,
        "n_rows": subject.schema.n_rows,
        "n_columns": len(subject.schema.columns),
    }


def _losses(subject: Subject) -> NDArray[np.float64]:
    """What each row of the evidence costs: −log of the truth's probability, or the absolute error; ranking: 0."""
    y, prediction = subject.evidence["y"], np.asarray(subject.evidence["prediction"], dtype=np.float64)
    if subject.task is Task.RANKING:
        return np.zeros(len(y))
    if subject.task is Task.REGRESSION:
        distances: NDArray[np.float64] = np.abs(y - prediction)
        return distances
    losses: NDArray[np.float64] = -np.log(np.maximum(prediction[np.arange(len(y)), y], 1e-15)) + 0.0
    return losses


def _said(subject: Subject, at: int) -> list[str]:
    """Truth and prediction; of classes the one decided on and its probability."""
    truth, prediction = subject.evidence["y"][at], subject.evidence["prediction"][at]
    if subject.classes is None:
        return [_text(float(truth)), _text(float(prediction))]
    rule = subject.threshold if subject.decision_costs is None else Costs.of(subject.decision_costs)
    code = int(decide(prediction[None, :], rule)[0])
    return [_text(subject.classes[truth]), _text(subject.classes[code]), _text(float(prediction[code]))]


def _columns(subject: Subject) -> list[str]:
    """The columns that matter most, in their order."""
    measured = [row["column"] for row in subject.interpretation.get("importances") or () if row["mean"] is not None]
    names = list(subject.schema.names)
    return [*measured, *(name for name in names if name not in set(measured))][:MAX_COLUMNS]


def _text(cell: Any) -> str:
    value = plain(cell)
    text = number(value) if value is None or isinstance(value, (bool, int, float)) else str(value)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
