"""How often held-out rows lie outside can be counted on paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.interpretation.rules import Rules
from automl_wf.interpretation.shapley import ShapleySummary
from automl_wf.interpretation.trust import Outside, outside_range, trust_figures

SPLITS = [(np.array([4, 5, 6, 7]), np.array([0, 1, 2, 3])), (np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7]))]


def test_cells_outside_the_range_are_counted() -> None:
    frame = pd.DataFrame(
        {
            # 9 and 0 lie outside what the other half has; a gap does not
            "x": [9.0, 3.0, np.nan, 4.0, 5.0, 3.0, 0.0, 4.0],
            # "c" is new to the first half's models
            "s": ["a", "b", "c", None, "a", "b", "a", "b"],
            "d": pd.to_datetime(["2024-01-02"] * 4 + ["2024-01-01", "2024-01-03", "2024-01-02", None]),
        }
    )
    _, table, _ = learn_schema(frame, {"s": "categorical"})
    share, columns, n_rows = outside_range(table, SPLITS, table.schema.columns)
    assert n_rows == 8
    # Rows 0 (x), 2 (s), 6 (x), 4 and 5 (d: the other half has one day only)
    assert share == pytest.approx(5 / 8)
    assert columns == (Outside("x", 0.25), Outside("d", 0.25), Outside("s", 0.125))


def test_figures_are_those_of_the_parts() -> None:
    rules = Rules("measured", r2=0.9, agreement=0.8)
    shap = ShapleySummary("measured", stability=0.7, largest_sum_error=1.23e-13)
    trust = trust_figures(rules, shap, (0.1, (Outside("x", 0.1),), 50))
    assert (trust.status, trust.fidelity, trust.agreement, trust.stability) == ("measured", 0.9, 0.8, 0.7)
    assert (trust.largest_sum_error, trust.outside_share, trust.n_rows) == (1.2e-13, 0.1, 50)
    nothing = trust_figures(Rules("not run: no time"), ShapleySummary("not run: no time"), None)
    assert nothing.status == "not run: no time"
    assert nothing.largest_sum_error is None
