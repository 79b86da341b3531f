"""Reference counts of inputs and predictions, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.drift import bin_numeric
from automl_wf.core.frame import learn_schema
from automl_wf.core.tasks import Task
from automl_wf.evaluation import reference
from automl_wf.evaluation.reference import drift_reference

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, np.nan, 4.0],
        "s": ["a", "b", "a", None],
        "t": pd.to_datetime(["2024-01-01", None, "2024-03-01", "2024-04-01"]),
        "fixed": 1.0,
    }
)


def test_every_used_column_is_counted_in_full() -> None:
    _, table, _ = learn_schema(FRAME)
    facts = drift_reference(table, np.array([0.1, 0.2, 0.3, 0.4]), Task.REGRESSION, None)
    assert list(facts["features"]) == ["x", "s", "t"]
    assert [sum(f["counts"]) for f in facts["features"].values()] == [4, 4, 4]
    for name, position in (("x", 0), ("t", 2)):
        feature = facts["features"][name]
        assert bin_numeric(table.cells[position], feature["edges"]).tolist() == feature["counts"]
        assert feature["counts"][-1] == 1
    assert facts["features"]["s"]["kind"] == "categorical"
    assert sum(facts["prediction"]["counts"]) == 4


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_probabilities_of_two_classes_and_labels_of_more(task: Task) -> None:
    _, table, _ = learn_schema(FRAME)
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    predicted = drift_reference(table, proba, task, np.array(["u", "v", "u", "v"]))["prediction"]
    if task is Task.BINARY:
        assert (predicted["edges"][0], predicted["edges"][-1]) == (0.1, 0.8)
    else:
        assert dict(zip(predicted["levels"], predicted["counts"], strict=False)) == {"u": 2, "v": 2}


def test_long_tables_are_counted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MAX_ROWS", 100)
    for n, counted in ((100, 100), (101, 51), (199, 100), (250, 84)):
        _, table, _ = learn_schema(np.arange(float(n)).reshape(-1, 1))
        facts = drift_reference(table, np.zeros(n), Task.REGRESSION, None)
        assert sum(facts["features"]["x0"]["counts"]) == counted
