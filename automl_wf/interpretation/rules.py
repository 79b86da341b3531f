"""Surrogate rules: a small tree on the original columns that says what the final model says, as far as it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Strings
from automl_wf.interpretation.explained import MEASURED, Explained, Floats, Places, cell_value, missing_cells, short

#: Texts of a column that a question may be about.
MAX_LEVELS = 10
_MIN_ROWS = 40
TOO_FEW_ROWS = f"not run: a surrogate needs {_MIN_ROWS} rows"


@dataclass(frozen=True)
class Condition:
    """One part of a rule.

    Parameters
    ----------
    column : str
        The column it asks about.
    relation : {"at most", "above", "is", "is not"}
        How its cell compares.
    value : object
        With what: a number, a date in ISO 8601, or a text; None is missing.
    or_missing : bool
        Whether rows without a value follow the same way, where such rows were seen.
    """

    column: str
    relation: str
    value: Any
    or_missing: bool = False


@dataclass(frozen=True)
class Rule:
    """One leaf of the surrogate.

    Parameters
    ----------
    conditions : tuple of Condition
        All must hold; empty: always.
    prediction : float
        Mean prediction of the final model on the rows it holds for: of the value, or of the probability of `label`.
    label : str
        The class that is spoken of; empty without classes.
    n_rows : int
        Rows that it was learnt from.
    share : float
        Their share of all.
    """

    conditions: tuple[Condition, ...]
    prediction: float
    label: str
    n_rows: int
    share: float


@dataclass(frozen=True)
class Rules:
    """What the final model says, in a few rules, and how faithful these are.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    rules : tuple of Rule
        The largest prediction first.
    depth : int
        Most questions per rule.
    r2 : float or None
        Share of the variance of the final model's predictions that the rules follow, on rows that they were not learnt
        from. None: the predictions do not vary there.
    agreement : float or None
        Share of these rows on which both say the same class; None without classes.
    n_rows, n_held_out : int
        Rows learnt from, and rows compared on.
    """

    status: str
    rules: tuple[Rule, ...] = ()
    depth: int = 0
    r2: float | None = None
    agreement: float | None = None
    n_rows: int = 0
    n_held_out: int = 0


@dataclass(frozen=True, eq=False)
class _Question:
    """A column of the surrogate's matrix: a number or time, or whether a text is a certain one."""

    column: Column
    values: Floats
    level: str | None = None


def surrogate_rules(
    model: Explained,
    columns: Sequence[Column],
    rows: Places,
    outputs: Floats,
    *,
    depth: int = 3,
    seed: int = 0,
) -> Rules:
    """Fit a small tree to the final model's predictions and put it into rules.

    Parameters
    ----------
    model : Explained
        The final model.
    columns : sequence of Column
        Columns that may be asked about. Texts of many words are not.
    rows : ndarray of int
        Rows of the model's table; a third of them is kept back to compare on.
    outputs : ndarray of shape (n_rows, n_outputs)
        What the model says of them.
    depth : int, default=3
        Most questions per rule.
    seed : int, default=0
        Seed of the division and of the tree's ties.

    Returns
    -------
    Rules
        Rules and their fidelity.

    References
    ----------
    M. W. Craven and J. W. Shavlik, Extracting tree-structured representations of trained networks, NeurIPS 1996.
    """
    from sklearn.tree import DecisionTreeRegressor

    questions = _questions(model, columns, rows)
    if len(rows) < _MIN_ROWS or not questions:
        return Rules(TOO_FEW_ROWS if questions else "not run: no column can be asked about")
    X = np.column_stack([q.values for q in questions])
    order = np.random.default_rng(seed).permutation(len(rows))
    test, train = order[: len(rows) // 3], order[len(rows) // 3 :]
    tree = DecisionTreeRegressor(
        max_depth=depth, min_samples_leaf=max(5, len(train) // 50), random_state=seed % 2**32
    ).fit(X[train], outputs[train])
    said = np.asarray(tree.predict(X[test])).reshape(len(test), -1)
    agreement = None
    if model.task.is_classification:
        agreement = short([float(np.mean(model.decide(said) == model.decide(outputs[test])))])[0]
    return Rules(
        MEASURED,
        _leaves(model, questions, tree.tree_, len(train)),
        int(tree.get_depth()),
        _r2(outputs[test], said),
        agreement,
        len(train),
        len(test),
    )


def _questions(model: Explained, columns: Sequence[Column], rows: Places) -> list[_Question]:
    found = []
    for column in columns:
        cells = model.rows.cells[column.position]
        if not isinstance(cells, Strings):
            is_missing = missing_cells(cells)[rows]
            found.append(_Question(column, np.where(is_missing, np.nan, cells[rows].astype(np.float64))))
        elif column.kind is not ColumnKind.TEXT:
            codes, counts = np.unique(cells.codes[rows], return_counts=True)
            common = codes[np.lexsort((codes, -counts))[:MAX_LEVELS]]
            # Of two texts one question is enough
            common = common[:1] if len(codes) == 2 else common
            found += [
                _Question(column, (cells.codes[rows] == code).astype(np.float64), str(cells.levels[code]))
                for code in common
                if len(codes) > 1
            ]
    return found


def _r2(truth: Floats, said: Floats) -> float | None:
    total = float(np.square(truth - truth.mean(axis=0)).sum())
    return short([1.0 - float(np.square(truth - said).sum()) / total])[0] if total > 0.0 else None


def _leaves(model: Explained, questions: Sequence[_Question], tree: Any, n_rows: int) -> tuple[Rule, ...]:
    """The leaves of scikit-learn's tree as rules, the largest prediction first."""
    rules = []
    open_nodes: list[tuple[int, list[tuple[_Question, float, bool, bool]]]] = [(0, [])]
    while open_nodes:
        node, path = open_nodes.pop()
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            rules.append(_rule(model, path, tree.value[node], int(tree.n_node_samples[node]), n_rows))
            continue
        question, threshold = questions[tree.feature[node]], float(tree.threshold[node])
        missing_left = bool(tree.missing_go_to_left[node]) if np.isnan(question.values).any() else None
        open_nodes.append((left, [*path, (question, threshold, True, missing_left is True)]))
        open_nodes.append((right, [*path, (question, threshold, False, missing_left is False)]))
    return tuple(sorted(rules, key=lambda r: (r.label, -r.prediction)))


def _rule(
    model: Explained, path: Sequence[tuple[_Question, float, bool, bool]], value: NDArray[Any], n: int, n_rows: int
) -> Rule:
    means = np.asarray(value, dtype=np.float64).reshape(1, -1)
    label, shown = "", float(means[0, 0])
    if model.task.is_classification:
        code = int(model.decide(means)[0]) if len(model.outputs) > 1 else 0
        label, shown = model.outputs[code], float(means[0, code])
    return Rule(_conditions(path), short([shown])[0], label, n, short([n / n_rows])[0])


def _conditions(path: Sequence[tuple[_Question, float, bool, bool]]) -> tuple[Condition, ...]:
    """What a path asks, without what follows from the rest: of several bounds the tightest."""
    found: dict[tuple[int, str, Any], Condition] = {}
    for question, threshold, goes_left, or_missing in path:
        column = question.column
        if question.level is not None:
            relation = "is not" if goes_left else "is"
            key: tuple[int, str, Any] = (column.position, relation, question.level)
            found[key] = Condition(column.name, relation, question.level or None)
        elif np.isinf(threshold):
            # Every value lies on one side: what is asked is whether there is one.
            relation = "is not" if goes_left else "is"
            found[column.position, relation, ""] = Condition(column.name, relation, None)
        elif column.kind is ColumnKind.BOOLEAN:
            found[column.position, "is", None] = Condition(column.name, "is", not goes_left, or_missing)
        else:
            relation = "at most" if goes_left else "above"
            # Later bounds of one side are tighter: they were drawn among the rows that the earlier ones left
            key = (column.position, relation, None)
            earlier = found.pop(key, None)
            still = or_missing and (earlier is None or earlier.or_missing)
            found[key] = Condition(column.name, relation, cell_value(column, threshold), still)
    is_certain = {c.column for c in found.values() if c.relation == "is"}
    kept = [c for c in found.values() if c.relation != "is not" or c.column not in is_certain]
    # What is asked of one column stands together, in the order in which the columns are first asked about
    first = {column: i for i, column in reversed(list(enumerate(q.column.name for q, *_ in path)))}
    return tuple(sorted(kept, key=lambda c: first[c.column]))
