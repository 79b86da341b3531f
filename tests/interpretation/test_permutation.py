from __future__ import annotations

import json
import pickle
import time

import numpy as np
import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.interpretation import interpret
from automl_wf.interpretation.insights import insights
from automl_wf.interpretation.permutation import (
    Importance,
    affordable_effort,
    idle,
    most_urgent_first,
    permutation_importance,
    seconds_per_row,
    with_shuffled,
)

KINDS = (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.DATETIME, ColumnKind.NUMERIC)
NAMES = ("x", "s", "t", "noise")


def _table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    cells = (
        rng.normal(size=n),
        Strings(rng.integers(0, 3, n).astype(np.int32), np.array(["", "a", "b"], dtype=object)),
        rng.integers(0, 10, n),
        rng.normal(size=n),
    )
    columns = tuple(
        Column(name, i, name, kind, "", "", 0, 3) for i, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))
    )
    return Table(Schema(columns, "frame", n), cells, n)


def _value(table):
    """3 x + (s is "a") + 0.1 t: what the model says and what is true."""
    x, s, t, _ = table.cells
    return 3 * x + (s.values() == "a") + 0.1 * t


def _folds(n, k=4):
    return [(_value, rows) for rows in np.array_split(np.random.default_rng(9).permutation(n), k)]


R2 = resolve_scoring("neg_mean_squared_error", Task.REGRESSION)
RULES = {"n_repeats": 5, "seed": 0, "budget": Budget()}


def test_drops_are_those_of_theory():
    """Shuffling a term f of a model without error adds twice the variance of f to the mean squared error."""
    table = _table(4000)
    x, s, t, _ = table.cells
    found = permutation_importance(
        _folds(4000), table, _value(table), None, None, R2, [0, 1, 2, 3], **RULES, max_rows=4000
    )
    expected = [2 * np.var(3 * x), 2 * np.var(s.values() == "a"), 2 * np.var(0.1 * t), 0.0]
    for row, theory in zip(found.rows, expected, strict=True):
        assert row.mean == pytest.approx(theory, rel=0.1)
        assert row.low <= row.mean <= row.high
        assert row.status == "measured"
    assert found.base_score == 0.0
    assert (found.n_rows, found.n_folds, found.n_repeats) == (4000, 4, 5)
    assert found.rows[3].mean == found.rows[3].std == 0.0


def test_only_held_out_rows_are_looked_at():
    table = _table()
    seen = []

    def spying(t):
        seen.append(set(t.cells[0].tolist()))
        return _value(t)

    rows = np.arange(100, 200)
    permutation_importance([(spying, rows)], table, _value(table), None, None, R2, [0], **RULES)
    assert seen[0] == seen[1] == set(table.cells[0][rows].tolist())


def test_rows_are_limited_over_all_folds():
    table = _table()
    found = permutation_importance(_folds(400), table, _value(table), None, None, R2, [0], **RULES, max_rows=240)
    assert found.n_rows == 240


def test_columns_without_time_are_listed():
    table = _table()

    def slow(t):
        time.sleep(0.1 * t.n_rows / 400)
        return _value(t)

    # One call on the rows as they are, then one on as many copies as there are repeats for each column.
    rules = RULES | {"budget": Budget(0.1 * (1 + 1.7 * RULES["n_repeats"]))}
    found = permutation_importance(
        [(slow, np.arange(400))], table, _value(table), None, None, R2, [2, 0, 1, 3], **rules
    )
    statuses = [row.status for row in found.rows]
    assert [row.column for row in found.rows] == ["t", "x", "s", "noise"]
    assert statuses[0] == "measured"
    assert statuses[-1] == "not run: no time"
    assert found.rows[-1].mean is None


def test_a_column_does_not_depend_on_the_others_nor_on_their_order():
    table = _table()
    y = _value(table) + np.random.default_rng(1).normal(size=400)
    one = permutation_importance(_folds(400), table, y, None, None, R2, [1], **RULES)
    all_of_them = permutation_importance(_folds(400), table, y, None, None, R2, [3, 2, 1, 0], **RULES)
    assert one.rows[0] == all_of_them.rows[2]
    assert (
        one.rows[0] != permutation_importance(_folds(400), table, y, None, None, R2, [1], **RULES | {"seed": 1}).rows[0]
    )


def test_folds_without_a_score_are_left_out():
    table = _table(200)
    y = np.r_[np.zeros(100, int), np.tile([0, 1], 50)]

    def proba(t):
        p = 1 / (1 + np.exp(-t.cells[0]))
        return np.column_stack([1 - p, p])

    scoring = resolve_scoring("roc_auc", Task.BINARY)
    predictors = [(proba, np.arange(100)), (proba, np.arange(100, 200))]
    found = permutation_importance(predictors, table, y, None, None, scoring, [0], **RULES)
    assert (found.n_folds, found.n_rows) == (1, 100)
    nothing = permutation_importance(predictors[:1], table, y, None, None, scoring, [0], **RULES)
    assert nothing.rows[0].status == "not run: the held-out rows define no score"
    assert nothing.base_score is None


def test_queries_are_sampled_whole():
    table = _table(300)
    group = np.repeat(np.arange(30), 10)
    y = (np.arange(300) % 10 == 0).astype(float)
    scoring = resolve_scoring("mrr", Task.RANKING)
    sizes = []

    def by_place(t):
        sizes.append(t.n_rows)
        return t.cells[0]

    found = permutation_importance(
        [(by_place, np.arange(300))], table, y, np.ones(300), group, scoring, [0], **RULES, max_rows=105
    )
    assert found.n_rows == 100
    assert sizes == [100, 500]


def test_weights_count():
    table = _table()
    x = table.cells[0]
    y = _value(table) + np.where(x > 0, 0.0, 5.0)
    rows = [(_value, np.arange(400))]
    weight = (x > 0).astype(float)
    found = permutation_importance(rows, table, y, weight, None, R2, [0], **RULES)
    assert found.base_score == 0.0


def test_threshold_is_used():
    table = _table()

    def proba(t):
        p = np.where(t.cells[0] > 0, 0.4, 0.1)
        return np.column_stack([1 - p, p])

    y = (table.cells[0] > 0).astype(int)
    scoring = resolve_scoring("accuracy", Task.BINARY)
    given = ([(proba, np.arange(400))], table, y, None, None, scoring, [0])
    assert permutation_importance(*given, **RULES, threshold=0.3).rows[0].mean == pytest.approx(0.5, abs=0.05)
    assert permutation_importance(*given, **RULES).rows[0].mean == 0.0


@pytest.mark.parametrize("position", range(4))
def test_shuffling_shares_all_other_columns(position):
    table = _table(10)
    order = np.arange(10)[::-1]
    shuffled = with_shuffled(table, position, order)
    for i, (before, after) in enumerate(zip(table.cells, shuffled.cells, strict=True)):
        assert (before is after) == (i != position)
    before, after = table.cells[position], shuffled.cells[position]
    if isinstance(before, Strings):
        assert after.levels is before.levels
        before, after = before.codes, after.codes
    np.testing.assert_array_equal(after, before[::-1])
    assert shuffled.n_rows == 10


def _slow(t):
    time.sleep(2e-5 * t.n_rows)
    return _value(t)


def test_effort_is_what_makes_all_columns_fit():
    given = {"n_repeats": 3, "max_rows": 2000}
    assert affordable_effort(2e-5, 6, 20, budget=Budget(), **given) == (2000, 3, 6)
    # One shuffle of more rows, not three of fewer: 20 passes over them at 20 microseconds each, and a margin
    n_rows, n_repeats, n_folds = affordable_effort(2e-5, 6, 20, budget=Budget(0.5), **given)
    assert (n_repeats, n_folds) == (1, 6)
    assert 800 < n_rows <= 0.5 / (20 * 2e-5 * 1.3)
    # From where all rows are affordable twice on, more shuffles
    assert affordable_effort(2e-5, 6, 20, budget=Budget(2.3), **given) == (2000, 2, 6)
    assert affordable_effort(2e-5, 6, 20, budget=Budget(9.0), **given) == (2000, 3, 6)
    assert affordable_effort(2e-5, 6, 20, budget=Budget(0.0), **given) == (1, 1, 3)
    # Each fold takes 50 rows: where 300 are too many, fewer folds
    n_rows, n_repeats, n_folds = affordable_effort(2e-5, 6, 20, budget=Budget(0.115), **given)
    assert (200 <= n_rows < 250, n_repeats, n_folds) == (True, 1, 4)
    # The interval of fewer than three folds is over their shuffles
    assert affordable_effort(2e-5, 1, 20, budget=Budget(0.5), **given)[1] == 2
    assert affordable_effort(0.0, 0, 20, budget=Budget(1.0), **given) == (2000, 3, 0)


def test_a_row_costs_what_a_few_cost():
    assert 2e-5 <= seconds_per_row([(_slow, np.arange(4000))], _table(4000)) < 1e-3
    assert seconds_per_row([], _table()) == 0.0


def test_the_columns_that_move_predictions_most_are_urgent():
    table, folds = _table(400), _folds(400)
    given = {"row_s": 1e-6, "seed": 0}
    # 3 x moves predictions more than 0.1 t or one of three levels, and the noise does not move them
    order = most_urgent_first(folds, table, Task.REGRESSION, [3, 2, 1, 0], budget=Budget(10.0), **given)
    assert (order[0], order[-1]) == (0, 3)
    assert most_urgent_first(folds, table, Task.REGRESSION, [3, 2, 1, 0], budget=Budget(), **given) == [3, 2, 1, 0]
    # Four rows of the twenty tell enough where the time is short
    short = {"row_s": 2e-3, "seed": 0}
    assert most_urgent_first(folds, table, Task.REGRESSION, [3, 2, 1, 0], budget=Budget(0.5), **short)[0] == 0
    slow = {"row_s": 1.0, "seed": 0}
    assert most_urgent_first(folds, table, Task.REGRESSION, [3, 0], budget=Budget(10.0), **slow) == [3, 0]


# --- interpret


def _interpreted(scoring=R2, noise=1.0, columns=(3, 2, 1, 0), **given):
    table = _table(1200)
    y = _value(table) + noise * np.random.default_rng(1).normal(size=1200)
    rules = {"n_repeats": 4, "budget": Budget()} | given
    return interpret(_folds(1200), table, y, None, None, scoring, columns, **rules)


def test_the_largest_comes_first_and_what_is_idle_is_named():
    facts = _interpreted()
    assert [row.column for row in facts.importances] == ["x", "s", "t", "noise"]
    assert facts.idle == ("noise",)
    assert facts.not_run == ()
    assert facts.scoring == "neg_mean_squared_error"
    assert facts.label == "mean squared error"


def test_sentences_follow_from_the_facts():
    facts = _interpreted()
    first, then, last, idle = facts.sentences
    top = facts.importances[0]
    assert first.startswith("`x` matters most: shuffling it raises mean squared error by ")
    mean, half = (float(word) for word in first.split(" by ")[1].split(", from")[0].split(" ± "))
    assert mean == pytest.approx(top.mean, abs=0.1)
    assert half == pytest.approx(top.high - top.mean, rel=0.1)
    assert first.endswith(" on 1200 held-out rows.")
    assert then.startswith("Then comes `s` (")
    assert last.startswith("Then comes `t` (")
    assert idle == "Shuffling `noise` costs nothing beyond chance, one column at a time."


def _row(column: str, mean: float, by_fold: tuple[float, ...], half: float) -> Importance:
    return Importance(column, mean, 1.0, mean - half, mean + half, by_fold=by_fold)


def test_a_column_that_costs_much_in_each_of_few_folds_is_not_called_idle():
    rows = (
        _row("large", 13.4, (18.5, 14.0, 7.7), half=13.5),
        _row("sure", 0.28, (0.2, 0.3, 0.34), half=0.2),
        _row("small", 0.5, (0.1, 0.4, 1.0), half=1.2),
        _row("odd", 5.0, (-1.0, 6.0, 10.0), half=14.0),
    )
    assert idle(rows) == ("small", "odd")
    assert idle(rows[2:3]) == (), "half a unit is much where nothing costs more"


def test_what_seems_to_matter_most_is_said_first_and_with_its_doubt():
    whole = _interpreted().to_dict()
    top = {**whole["importances"][0], "low": -0.1, "by_fold": [2.0, 1.0, 3.0]}
    first, then, *_ = insights({**whole, "importances": [top, *whole["importances"][1:]]})
    assert first.kind == "seems_to_matter_most"
    assert first.text.startswith("`x` seems to matter most: shuffling it raises mean squared error by ")
    assert first.text.endswith("It does so in each of 3 folds, which are too few to tell how much is chance.")
    assert then.text.startswith("Then comes `s` (")


def test_scores_are_said_to_fall_and_losses_to_rise():
    facts = _interpreted(resolve_scoring("r2", Task.REGRESSION))
    assert facts.sentences[0].startswith("`x` matters most: shuffling it lowers R² by ")
    assert f"from {facts.base_score:.4g} on" in facts.sentences[0]


def test_where_nothing_matters_it_says_so():
    facts = _interpreted(columns=(3,))
    assert facts.sentences == ("No single column matters beyond chance on 1200 held-out rows (tried: `noise`).",)


def test_what_was_not_run_is_said():
    facts = _interpreted(budget=Budget(0.0))
    assert facts.not_run == ("noise", "t", "s", "x")
    assert facts.sentences == ("4 of 4 columns were not run: no time.",)
    assert facts.base_score is None


def test_no_column_matters_most_while_others_are_not_measured():
    whole = _interpreted().to_dict()
    late = {"mean": None, "low": None, "high": None, "status": "not run: no time"}
    rows = [*whole["importances"][:2], *({**row, **late} for row in whole["importances"][2:])]
    first, *_ = insights({**whole, "importances": rows, "idle": [], "not_run": ["t", "noise"]})
    assert first.kind == "most_of_measured"
    assert first.text.startswith("Of the 2 columns measured, `x` matters most: shuffling it raises ")
    assert first.text.endswith("There are 4 columns: one of the others may matter more.")
    rows = [*whole["importances"][3:], {**whole["importances"][0], **late}]
    idle, *_ = insights({**whole, "importances": rows, "idle": ["noise"], "not_run": ["x"]})
    assert idle.text.startswith("None of the columns measured (1 of 2) matters beyond chance")


def test_all_columns_are_measured_in_little_time():
    """What three shuffles of 50 rows per fold would not fit into: one shuffle does."""
    table = _table(1200)
    folds = [(_slow, rows) for _, rows in _folds(1200, 6)]
    facts = interpret(folds, table, _value(table), None, None, R2, (3, 2, 1, 0), n_repeats=10, budget=Budget(0.2))
    assert facts.not_run == ()
    assert facts.n_repeats < 10
    assert facts.importances[0].column == "x"


def test_facts_are_plain_json_and_can_be_pickled():
    for facts in (_interpreted(), _interpreted(budget=Budget(0.0))):
        assert json.loads(json.dumps(facts.to_dict(), allow_nan=False)) == facts.to_dict()
        assert pickle.loads(pickle.dumps(facts)) == facts


def test_no_columns_no_words():
    facts = _interpreted(columns=())
    assert facts.importances == facts.sentences == ()


def test_each_fold_is_told_and_what_differs_between_them():
    table = _table(4000)
    x = table.cells[0]

    def predict(t):
        return 3 * t.cells[0] + t.cells[3]

    # The first column counts in all folds, the last one only among rows of three folds of four.
    folds = _folds(4000)
    y = 3 * x
    for _, rows in folds[:3]:
        y[rows] += table.cells[3][rows]
    found = interpret([(predict, rows) for _, rows in folds], table, y, None, None, R2, [0, 3], **RULES, max_rows=4000)
    by_fold = {row.column: row.by_fold for row in found.importances}
    assert all(len(each) == 4 for each in by_fold.values())
    assert np.mean(by_fold["noise"]) == pytest.approx(next(r.mean for r in found.importances if r.column == "noise"))
    assert by_fold["noise"][3] < 0.3 < 1.5 < min(by_fold["noise"][:3])
    assert found.unstable == ("noise",)
    assert "What `noise` is worth differs much from fold to fold." in found.sentences
    assert json.loads(json.dumps(found.to_dict()))["importances"][0]["by_fold"] == list(by_fold["x"])
