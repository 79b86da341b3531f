"""The problem: task, metric, baseline and findings, and what does not fit together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from automl_wf.core.findings import Finding
from automl_wf.core.frame import learn_schema
from automl_wf.exceptions import InvalidParameter
from automl_wf.problem_definition import Problem, define_problem, read_target

X = np.random.default_rng(0).normal(size=(120, 2))


def define(y: Any, task: str = "auto", **options: Any) -> Problem:
    _, table, _ = learn_schema(X)
    return define_problem(read_target(y, task, len(X), "Owner"), table, **options)


@pytest.mark.parametrize(
    ("y", "task", "scoring"),
    [
        (X[:, 0] > 0, "auto", "roc_auc"),
        (np.digitize(X[:, 0], [-1, 1]), "auto", "neg_log_loss"),
        (X[:, 0], "auto", "neg_root_mean_squared_error"),
        (np.digitize(X[:, 0], [-1, 1]), "ranking", "ndcg"),
    ],
)
def test_the_metric_is_the_tasks_unless_named(y: Any, task: str, scoring: str) -> None:
    assert define(y, task).scoring.name == scoring
    assert define(y, task, scoring=None).scoring.name == scoring


def test_a_named_metric_has_to_fit() -> None:
    assert define(X[:, 0] > 0, scoring="accuracy").scoring.name == "accuracy"
    with pytest.raises(InvalidParameter):
        define(X[:, 0], scoring="roc_auc")


def test_the_positive_class() -> None:
    y = np.where(X[:, 0] > 0, "sick", "well")
    assert define(y).to_dict()["positive_class"] == "well"
    problem = define(y, pos_label="sick")
    assert (problem.positive, problem.to_dict()["positive_class"]) == (0, "sick")
    with pytest.raises(InvalidParameter, match=r"one of the classes \['sick', 'well'\]. Got 'ill'"):
        define(y, pos_label="ill")
    with pytest.raises(InvalidParameter, match="needs a target of two classes; this is regression"):
        define(X[:, 0], pos_label=1)


def test_findings_of_y_of_x_and_of_both_gravest_first() -> None:
    problem = define(
        np.r_[np.zeros(115, dtype=int), np.ones(5, dtype=int)], findings=(Finding("given", "serious", "", ""),)
    )
    assert [f.code for f in problem.findings] == ["given", "imbalanced_classes", "task_inferred"]


def test_plain_json_types() -> None:
    facts = json.loads(json.dumps(define(X[:, 0] > 0, constraints={"max_size": 5}).to_dict()))
    assert facts["classes"] == [False, True]
    assert facts["constraints"] == {"max_size": 5}
    assert (facts["n_rows"], facts["n_columns"], facts["task"]) == (120, 2, "binary")
    assert define(X[:, 0]).n_classes == 1
