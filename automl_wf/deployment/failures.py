"""Where a model fails, arranged for a page: facts of the diagnosis beside the drawings made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_wf.deployment.figures import draw_decay, draw_learning_curve

Facts = Mapping[str, Any]
#: Rows of the table of groups: a page is no data set.
MAX_GROUP_ROWS = 150


def arrange_failures(evaluation: Facts) -> dict[str, Any]:
    """Everything that the section "where it fails" of the report uses, by name.

    Parameters
    ----------
    evaluation : mapping
        Facts of stage 6; parts that are not there are None.

    Returns
    -------
    dict
        Plain JSON types, and drawings of `figures`.
    """
    parts = ("errors", "coverage", "slices", "robustness", "stability", "learning_curve", "groups")
    found = {name: evaluation.get(name) for name in parts}
    group_rows = _group_rows(found["groups"])
    return {
        **found,
        "decay": draw_decay(found["robustness"]),
        "curve": draw_learning_curve(found["learning_curve"]),
        "group_rows": group_rows[:MAX_GROUP_ROWS],
        "n_group_rows_left_out": max(len(group_rows) - MAX_GROUP_ROWS, 0),
    }


def _group_rows(groups: Facts | None) -> list[dict[str, Any]]:
    """One row per column, group and metric; the first of a group says whose it is."""
    if not groups:
        return []
    return [
        {**metric, "column": column["column"], "group": group["name"], "n": group["n"], "is_first": i == 0}
        for column in groups["columns"]
        for group in column["groups"]
        for i, metric in enumerate(group["metrics"])
    ]
