"""Group metrics by hand, their intervals, and what is not shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_wf import WorkflowClassifier
from automl_wf.core.tasks import Task
from automl_wf.evaluation.groups import NO_METRIC, measure_groups, sensitive_columns, sensitive_findings
from automl_wf.evaluation.scores import Held
from automl_wf.exceptions import InvalidParameter


def _loans(table_of: Any, strings_of: Any) -> tuple[Any, Held]:
    """Forty of group a: 20 true, of whom 15 are selected, and 5 others; sixty of b: 20 true, 5 selected; two of c."""
    town = np.array(["a"] * 40 + ["b"] * 60 + ["c"] * 2)
    y = np.r_[np.ones(20), np.zeros(20), np.ones(20), np.zeros(40), 0, 1].astype(np.int64)
    said = np.r_[np.ones(15), np.zeros(5), np.ones(5), np.zeros(15), np.ones(5), np.zeros(55), 0, 1].astype(np.int64)
    return table_of(town=strings_of(town)), Held(Task.BINARY, y, np.eye(2)[said] * 0.8 + 0.1)


def test_rates_by_hand(table_of: Any, strings_of: Any) -> None:
    table, held = _loans(table_of, strings_of)
    found = measure_groups(held, table, table.schema.columns, labels=("no", "yes"))
    (column,) = found.columns
    assert (column.column, column.is_feature, column.n_hidden) == ("town", True, 1)
    assert [(g.name, g.n) for g in column.groups] == [("b", 60), ("a", 40)]
    b, a = ({m.name: m for m in g.metrics} for g in column.groups)
    values = {
        "selection_rate": (5 / 60, 20 / 40),
        "base_rate": (20 / 60, 20 / 40),
        "tpr": (5 / 20, 15 / 20),
        "fpr": (0.0, 5 / 20),
        "precision": (1.0, 15 / 20),
        "accuracy": (45 / 60, 30 / 40),
    }
    for name, expected in values.items():
        assert (b[name].value, a[name].value) == pytest.approx(expected), name
    overall = {m.name: m.value for m in found.overall}
    assert overall["selection_rate"] == pytest.approx(26 / 102)
    assert a["selection_rate"].difference == pytest.approx(20 / 40 - 26 / 102)
    assert a["selection_rate"].ratio == pytest.approx(20 / 40 / (26 / 102))
    for metric in (*b.values(), *a.values()):
        assert metric.low <= metric.value <= metric.high
        assert metric.difference_low <= metric.difference <= metric.difference_high
        assert 0.0 <= metric.low <= metric.high <= 1.0
    assert (found.n_rows, found.min_rows, found.positive) == (102, 30, "yes")


def test_the_positive_class_may_be_the_first(table_of: Any, strings_of: Any) -> None:
    table, held = _loans(table_of, strings_of)
    found = measure_groups(held, table, table.schema.columns, pos_index=0, labels=("no", "yes"))
    a = {m.name: m.value for m in found.columns[0].groups[1].metrics}
    assert found.positive == "no"
    assert a["selection_rate"] == 0.5
    assert a["tpr"] == pytest.approx(15 / 20)
    assert a["fpr"] == pytest.approx(5 / 20)


def test_the_interval_of_a_rate_is_that_of_the_binomial(table_of: Any, strings_of: Any) -> None:
    rng = np.random.default_rng(0)
    said = (rng.random(2000) < 0.3).astype(np.int64)
    table = table_of(town=strings_of(rng.choice(["a", "b"], 2000)))
    found = measure_groups(
        Held(Task.BINARY, said, np.eye(2)[said]), table, table.schema.columns, labels=(0, 1), n_draws=2000
    )
    rate = found.columns[0].groups[0].metrics[0]
    half = 1.96 * np.sqrt(rate.value * (1 - rate.value) / found.columns[0].groups[0].n)
    assert rate.high - rate.low == pytest.approx(2 * half, rel=0.1)


def test_errors_of_values_by_quarters(table_of: Any) -> None:
    age = np.arange(200.0)
    prediction = np.where(age < 50, 2.0, 1.0)
    table = table_of(age=age)
    found = measure_groups(Held(Task.REGRESSION, np.zeros(200), prediction), table, table.schema.columns)
    names = [g.name for g in found.columns[0].groups]
    assert names == ["from 0 to 49", "from 50 to 99", "from 100 to 149", "from 150 to 199"]
    mae, bias = found.columns[0].groups[0].metrics
    assert (mae.name, mae.value, mae.difference, mae.ratio) == ("mae", 2.0, 0.75, 1.6)
    assert (bias.name, bias.value, bias.ratio) == ("bias", 2.0, None)
    assert (mae.low, mae.high) == (2.0, 2.0)


def test_few_values_and_gaps_are_groups_of_their_own(table_of: Any) -> None:
    flag = np.repeat([0.0, 1.0, np.nan], 40)
    table = table_of(FLAG=flag)
    y = np.arange(120) % 3
    found = measure_groups(Held(Task.MULTICLASS, y, np.eye(3)[y]), table, table.schema.columns, labels=("x", "y", "z"))
    assert [(g.name, g.n) for g in found.columns[0].groups] == [("0", 40), ("1", 40), ("missing", 40)]
    assert [(m.name, m.value) for m in found.overall] == [("accuracy", 1.0), ("probability", 1.0)]
    assert found.positive is None


def test_weights_and_groups_count(table_of: Any, strings_of: Any) -> None:
    table, held = _loans(table_of, strings_of)
    weight = np.ones(102)
    weight[:15] = 3.0
    weighted = Held(held.task, held.y, held.prediction, weight)
    a = measure_groups(weighted, table, table.schema.columns).columns[0].groups[1]
    assert {m.name: m.value for m in a.metrics}["tpr"] == pytest.approx(45 / 50)
    whole = Held(held.task, held.y, held.prediction, None, np.arange(102) // 40)
    a = measure_groups(whole, table, table.schema.columns).columns[0].groups[1]
    # All of group a is one unit: no draw can differ from it.
    assert a.metrics[0].low == a.metrics[0].high == a.metrics[0].value


def test_rankings_have_none(table_of: Any) -> None:
    table = table_of(x=np.arange(40.0))
    held = Held(Task.RANKING, np.zeros(40), np.zeros(40), group=np.zeros(40, dtype=np.int64))
    assert measure_groups(held, table, table.schema.columns).status == NO_METRIC


def test_an_unknown_column_is_an_error_that_names_those_there_are(table_of: Any) -> None:
    schema = table_of(age=np.arange(3.0), income=np.arange(3.0)).schema
    with pytest.raises(InvalidParameter, match=r"'sensitive'.*'age', 'income'.*Got 'gender' among them"):
        sensitive_columns(["age", "gender"], schema)
    assert [c.name for c in sensitive_columns(["income", "age", "income"], schema)] == ["income", "age"]
    assert sensitive_columns(None, schema) == ()


def test_that_the_model_uses_them_is_a_finding(table_of: Any) -> None:
    columns = table_of(age=np.arange(3.0)).schema.columns
    (finding,) = sensitive_findings(columns)
    assert (finding.code, finding.severity, finding.columns) == ("sensitive_features", "info", ("age",))
    assert sensitive_findings(()) == []


def test_the_estimator_reports_groups_and_refuses_unknown_columns_before_any_work(
    quick: dict[str, Any], mixed_table: Any
) -> None:
    X, y = mixed_table
    with pytest.raises(InvalidParameter, match="'sensitive'"):
        WorkflowClassifier(**quick, sensitive=["no such column"]).fit(X, y)
    model = WorkflowClassifier(**quick | {"estimators": ["linear"]}, sensitive=["plan", "amount"]).fit(X, y)
    found = model.evaluation_.groups
    assert [c.column for c in found.columns] == ["plan", "amount"]
    assert {g.name for g in found.columns[0].groups} <= {"free", "pro", "team", "missing"}
    assert found.positive == "yes"
    assert sum(g.n for g in found.columns[0].groups) <= found.n_rows == len(X)
    assert [f.columns for f in model.findings_ if f.code == "sensitive_features"] == [("plan", "amount")]
    on_test = model.evaluate(X.head(100), y[:100]).groups
    assert on_test.n_rows == 100
    assert WorkflowClassifier(**quick | {"estimators": ["linear"]}).fit(X, y).evaluation_.groups is None
