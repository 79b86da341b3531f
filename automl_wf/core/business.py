"""What predictions are worth: costs of errors, revenue, KPIs and outcomes that the user names in `business=`.

`check_business` says before any work begins what a `business` mapping lacks; `read_business` ties it to a target, where
costs become a matrix over class codes. Costs that decide make the decision rule: Elkan's threshold for two classes, the
least expected cost for more. All of it is pure; the money lost and earned is counted in `evaluation/business.py`.
"""

from __future__ import annotations

import difflib
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.costs import Costs, DecisionRule, UnitCosts
from automl_wf.core.findings import Finding
from automl_wf.core.metrics import Needs, Scoring, cost_scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter, WorkflowError

Kpi = Callable[[NDArray[Any], NDArray[Any]], float]

_BINARY_ONLY = ("revenue_per_unit", "cost_per_false_positive", "cost_per_false_negative")
_CLASSES_ONLY = (*_BINARY_ONLY, "cost_per_error", "baseline_errors", "cost_matrix")
_REGRESSION_ONLY = ("cost_per_unit_over", "cost_per_unit_under")
#: Columns of X that hold what became of a ranking: known only afterwards, so never inputs.
OUTCOMES = ("clicks", "conversions", "satisfaction")
_COLUMNS = ("item", *OUTCOMES)
_NUMBERS = (*_BINARY_ONLY, "cost_per_error", "baseline_errors", *_REGRESSION_ONLY)
KEYS = ("currency", *_NUMBERS, "cost_matrix", "custom_kpis", "optimise", *_COLUMNS)


@dataclass(frozen=True)
class Business:
    """What predictions are worth for one target.

    Parameters
    ----------
    task : Task
        What is predicted.
    currency : str
        Name of the unit of money, for people.
    costs : Costs or UnitCosts or None
        Cost of each decision by class codes, or of each unit of error.
    sets_decision : bool
        Whether classes are decided on by these costs, or values shifted by them.
    revenue_per_unit : float or None
        Earned by each row of the positive class that is found.
    cost_per_error : float or None
        Cost of any wrong class.
    baseline_errors : float or None
        Errors made today on as many rows as `n_rows`. None: those of the baseline are counted instead.
    n_rows : int
        Rows of `fit`.
    kpis : mapping of str to callable
        ``function(predictions, actuals)`` in the user's labels or values; greater is better.
    optimise : str or None
        "cost" or the name of a KPI: what the search maximises (costs negated). None: the scoring stays.
    columns : mapping of str to str
        "item", "clicks", "conversions", "satisfaction" → column of X.
    """

    task: Task
    currency: str = "units of money"
    costs: Costs | UnitCosts | None = None
    sets_decision: bool = False
    revenue_per_unit: float | None = None
    cost_per_error: float | None = None
    baseline_errors: float | None = None
    n_rows: int = 0
    kpis: Mapping[str, Kpi] = field(default_factory=dict)
    optimise: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule(self) -> DecisionRule:
        """What a class is decided on by; None: not by costs."""
        return self.costs.rule if self.sets_decision and isinstance(self.costs, Costs) else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user should know before the search begins."""
        lost = [name for name, kpi in self.kpis.items() if not _is_picklable(kpi)]
        if not lost:
            return ()
        return (
            Finding(
                "kpi_not_pickled",
                "warning",
                f"The KPIs {', '.join(lost)} cannot be pickled: model.pkl of a package will not hold them.",
                "Define them with def at the top of a module instead of as lambdas.",
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what was not given; `business_from` reads it again, but for the KPIs."""
        facts: dict[str, Any] = {"currency": self.currency}
        if isinstance(self.costs, Costs):
            facts["cost_matrix"] = [list(row) for row in self.costs.matrix]
        elif self.costs is not None:
            facts |= {"cost_per_unit_over": self.costs.over, "cost_per_unit_under": self.costs.under}
        facts |= {} if self.costs is None else {"sets_decision": self.sets_decision}
        for name in ("revenue_per_unit", "cost_per_error", "baseline_errors", "optimise"):
            if getattr(self, name) is not None:
                facts[name] = getattr(self, name)
        facts["n_rows"] = self.n_rows
        facts |= {"custom_kpis": list(self.kpis)} if self.kpis else {}
        return facts | ({"columns": dict(self.columns)} if self.columns else {})

    def storable(self) -> Business:
        """The same with a note in the place of each KPI that cannot be pickled."""
        return replace(self, kpis=_storable_kpis(self.kpis))


@dataclass(frozen=True)
class KpiScorer:
    """A KPI as scikit-learn's scorers are: ``scorer(estimator, X, y)``."""

    function: Kpi

    def __call__(self, estimator: Any, X: Any, y: NDArray[Any]) -> float:
        """The KPI of what the estimator predicts."""
        return float(self.function(np.asarray(estimator.predict(X)), y))


@dataclass(frozen=True)
class LostKpi:
    """Stands in a pickle for a KPI that could not be pickled."""

    name: str

    def __call__(self, predictions: NDArray[Any], actuals: NDArray[Any]) -> float:
        """Say that it is lost.

        Raises
        ------
        WorkflowError
            Always.
        """
        raise WorkflowError(
            f"The KPI {self.name!r} could not be pickled and was left out of the file. Set business again, with a "
            "function defined at the top of a module."
        )


# --- what the user wrote ---------------------------------------------------------------------------------------------


def check_business(given: Mapping[str, Any] | None) -> None:
    """Check whatever can be checked before the target is known.

    Parameters
    ----------
    given : mapping or None
        The `business` parameter.

    Raises
    ------
    InvalidParameter
        A key is unknown, or its value is not what it may be.
    """
    for name, value in (given or {}).items():
        if name not in KEYS:
            close = difflib.get_close_matches(str(name), KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InvalidParameter(f"The 'business' parameter may hold {', '.join(KEYS)}. Got {name!r} instead.{hint}")
        if name in _NUMBERS and not _is_amount(value):
            raise _wrong(name, "a number of at least 0", value)
        if name == "currency" and not (isinstance(value, str) and value):
            raise _wrong(name, "a text such as 'EUR'", value)
    if given:
        _check_kpis(given.get("custom_kpis"))
        _check_optimise(given)


def read_business(
    given: Mapping[str, Any] | None, task: Task, classes: NDArray[Any] | None, positive: int, n_rows: int
) -> Business | None:
    """Tie what the user wrote to a target.

    Parameters
    ----------
    given : mapping or None
        The `business` parameter.
    task : Task
        What is predicted.
    classes : ndarray of shape (n_classes,) or None
        Labels in order of their codes.
    positive : int
        Code of the positive class (binary).
    n_rows : int
        Rows of `fit`, which `baseline_errors` speaks of.

    Returns
    -------
    Business or None
        None: nothing was given.

    Raises
    ------
    InvalidParameter
        A key does not fit the task or the classes.
    """
    check_business(given)
    if not given:
        return None
    _check_task(given, task)
    optimise = given.get("optimise")
    business = Business(
        task=task,
        currency=given.get("currency", "units of money"),
        costs=_costs(given, task, classes, positive),
        revenue_per_unit=_number(given, "revenue_per_unit"),
        cost_per_error=_number(given, "cost_per_error"),
        baseline_errors=_number(given, "baseline_errors"),
        n_rows=n_rows,
        kpis=dict(given.get("custom_kpis") or {}),
        optimise="cost" if optimise is True else optimise or None,
        columns={role: given[role] for role in _COLUMNS if given.get(role) is not None},
    )
    if business.optimise == "cost" and business.costs is None:
        raise InvalidParameter(
            "business={'optimise': 'cost'} needs costs: cost_matrix, cost_per_false_positive and "
            "cost_per_false_negative, cost_per_error, or for regression cost_per_unit_over and cost_per_unit_under."
        )
    is_one_sided = isinstance(business.costs, UnitCosts) and 0.0 in (business.costs.over, business.costs.under)
    if business.optimise == "cost" and is_one_sided:
        raise InvalidParameter(
            "business={'optimise': 'cost'} needs both cost_per_unit_over and cost_per_unit_under above 0: with one of "
            "them a prediction far enough on the other side costs nothing."
        )
    return business


def business_from(facts: Mapping[str, Any] | None, task: Task) -> Business | None:
    """Read again what `Business.to_dict` wrote, without KPIs and columns.

    Parameters
    ----------
    facts : mapping or None
        Plain JSON types.
    task : Task
        What is predicted.

    Returns
    -------
    Business or None
        None: nothing was given.
    """
    if not facts:
        return None
    costs: Costs | UnitCosts | None = None
    if "cost_matrix" in facts:
        costs = Costs.of(facts["cost_matrix"])
    elif "cost_per_unit_over" in facts:
        costs = UnitCosts(float(facts["cost_per_unit_over"]), float(facts["cost_per_unit_under"]))
    return Business(
        task,
        facts["currency"],
        costs,
        bool(facts.get("sets_decision", False)),
        facts.get("revenue_per_unit"),
        facts.get("cost_per_error"),
        facts.get("baseline_errors"),
        int(facts["n_rows"]),
        optimise=facts.get("optimise"),
    )


def apply_business(
    business: Business, scoring: Scoring, is_auto: bool, classes: NDArray[Any] | None, positive: int
) -> tuple[Business, Scoring]:
    """What is optimised, and whether the costs decide.

    Costs decide unless the user names a metric of labels, which then has the threshold chosen for it. They are
    optimised only where `optimise` says so; values are shifted only then, as their predictions would be nothing else.

    Parameters
    ----------
    business : Business
        Read.
    scoring : Scoring
        What would be optimised without it.
    is_auto : bool
        Whether the user left the scoring open.
    classes : ndarray of shape (n_classes,) or None
        Labels in order of their codes.
    positive : int
        Code of the positive class (binary).

    Returns
    -------
    business : Business
        With `sets_decision`.
    scoring : Scoring
        Greater is better.

    Raises
    ------
    InvalidParameter
        Both `scoring` and `optimise` say what to optimise.
    """
    if business.optimise is not None and not is_auto:
        raise InvalidParameter(
            f"Both scoring={scoring.name!r} and business={{'optimise': {business.optimise!r}}} say what to optimise. "
            "Leave one of them out."
        )
    if isinstance(business.costs, Costs):
        decides = business.optimise is not None or not scoring.is_label_metric
    else:
        decides = business.optimise == "cost"
    business = replace(business, sets_decision=decides)
    if business.optimise == "cost":
        assert business.costs is not None
        return business, cost_scoring(business.costs, business.task, positive)
    costs = business.costs if decides else None
    if business.optimise is None:
        return business, replace(scoring, costs=costs)
    needs: dict[str, Needs] = {"classification": "label", "regression": "value", "ranking": "score"}
    return business, Scoring(
        business.optimise,
        business.optimise,
        needs[business.task.family],
        business.task,
        scorer=KpiScorer(business.kpis[business.optimise]),
        classes=None if classes is None else tuple(np.asarray(classes).tolist()),
        pos_index=positive,
        costs=costs,
    )


# --- columns ---------------------------------------------------------------------------------------------------------


def take_columns(
    X: Any, given: Mapping[str, Any] | None, is_needed: bool = True
) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Take the columns that `business` names out of X.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        The raw table.
    given : mapping or None
        The `business` parameter.
    is_needed : bool, default=True
        Whether a column that X does not have is an error. False: it is left out.

    Returns
    -------
    X : DataFrame or array-like
        Without the outcomes, which are no inputs; the item stays.
    columns : dict of str to ndarray of shape (n_rows,)
        Item as codes, outcomes as numbers, by role.

    Raises
    ------
    InvalidParameter
        X has no such column.
    InvalidInput
        An outcome is no number.
    """
    named = {role: given[role] for role in _COLUMNS if given and given.get(role) is not None}
    if not named:
        return X, {}
    there = set(X.columns) if isinstance(X, pd.DataFrame) else set()
    lost = [name for name in named.values() if name not in there]
    if lost and is_needed:
        there_are = (
            f"It has {list(X.columns)[:20]!r}." if isinstance(X, pd.DataFrame) else "Only a DataFrame has names."
        )
        raise InvalidParameter(f"The 'business' parameter names a column {lost[0]!r} that X does not have. {there_are}")
    named = {role: name for role, name in named.items() if name in there}
    columns = {role: _read_column(X[name], role) for role, name in named.items()}
    outcomes = [named[role] for role in OUTCOMES if role in named]
    return X.drop(columns=outcomes) if outcomes else X, columns


def outcome_names(given: Mapping[str, Any] | None) -> list[str]:
    """Columns of X that are no inputs."""
    return [given[role] for role in OUTCOMES if given and given.get(role) is not None]


def _read_column(series: pd.Series, role: str) -> NDArray[Any]:
    if role == "item":
        return np.asarray(pd.factorize(series, use_na_sentinel=False)[0], dtype=np.int64)
    try:
        return np.asarray(pd.to_numeric(series), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The column {series.name!r} (business: {role}) must hold numbers: {error}") from None


# --- pickles ---------------------------------------------------------------------------------------------------------


def storable_business(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The `business` parameter as a pickle can hold it; itself where it can."""
    kpis = (given or {}).get("custom_kpis")
    if not given or not kpis or all(_is_picklable(kpi) for kpi in kpis.values()):
        return given
    return {**given, "custom_kpis": _storable_kpis(kpis)}


def storable_scoring(scoring: Scoring) -> Scoring:
    """The same with a note in the place of a KPI that cannot be pickled."""
    if isinstance(scoring.scorer, KpiScorer) and not _is_picklable(scoring.scorer.function):
        return replace(scoring, scorer=KpiScorer(LostKpi(scoring.name)))
    return scoring


def _storable_kpis(kpis: Mapping[str, Kpi]) -> dict[str, Kpi]:
    return {name: kpi if _is_picklable(kpi) else LostKpi(name) for name, kpi in kpis.items()}


def _is_picklable(thing: Any) -> bool:
    try:
        pickle.dumps(thing)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


# --- single keys -----------------------------------------------------------------------------------------------------


def _is_amount(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value) and float(value) >= 0


def _number(given: Mapping[str, Any], name: str) -> float | None:
    return None if given.get(name) is None else float(given[name])


def _wrong(name: str, expected: str, value: Any) -> InvalidParameter:
    return InvalidParameter(f"The key {name!r} of the 'business' parameter must be {expected}. Got {value!r} instead.")


def _check_kpis(kpis: Any) -> None:
    if kpis is None:
        return
    if not isinstance(kpis, Mapping):
        raise _wrong("custom_kpis", "a mapping of name to function(predictions, actuals)", kpis)
    for name, kpi in kpis.items():
        if not isinstance(name, str) or not name or name == "cost":
            raise _wrong("custom_kpis", "a mapping whose names are texts other than 'cost'", name)
        if not callable(kpi):
            raise _wrong("custom_kpis", f"a mapping of name to function(predictions, actuals); {name!r} is none", kpi)


def _check_optimise(given: Mapping[str, Any]) -> None:
    wish, kpis = given.get("optimise"), list(given.get("custom_kpis") or {})
    if wish is None or wish is True or wish == "cost" or (isinstance(wish, str) and wish in kpis):
        return
    allowed = ", ".join(map(repr, ["cost", *kpis]))
    raise _wrong("optimise", f"None, True or one of {allowed}", wish)


def _check_task(given: Mapping[str, Any], task: Task) -> None:
    """Each key belongs to a task."""
    for name in (n for n in given if given[n] is not None):
        if name in _BINARY_ONLY and task is not Task.BINARY:
            instead = {
                Task.MULTICLASS: "Give a cost_matrix, with negative costs where money is earned.",
                Task.REGRESSION: "Give cost_per_unit_over and cost_per_unit_under.",
            }.get(task, "Give custom_kpis, or the columns clicks, conversions or satisfaction.")
            raise InvalidParameter(f"business={{{name!r}: …}} needs two classes; this is {task.value}. {instead}")
        if name in _CLASSES_ONLY and not task.is_classification:
            raise InvalidParameter(f"business={{{name!r}: …}} needs classes; this is {task.value}.")
        if name in _REGRESSION_ONLY and task is not Task.REGRESSION:
            raise InvalidParameter(f"business={{{name!r}: …}} needs a regression; this is {task.value}.")
        if name in _COLUMNS and task is not Task.RANKING:
            raise InvalidParameter(f"business={{{name!r}: …}} needs a ranking; this is {task.value}.")


def _costs(
    given: Mapping[str, Any], task: Task, classes: NDArray[Any] | None, positive: int
) -> Costs | UnitCosts | None:
    """The matrix that was given or follows from single costs and the revenue, or costs per unit of error."""
    if task is Task.REGRESSION:
        over, under = (_number(given, name) or 0.0 for name in _REGRESSION_ONLY)
        return UnitCosts(over, under) if over or under else None
    if classes is None:
        return None
    errors = ("cost_per_error", "cost_per_false_positive", "cost_per_false_negative")
    if given.get("cost_matrix") is not None:
        doubled = [name for name in errors[1:] if given.get(name) is not None]
        if doubled:
            raise InvalidParameter(f"The 'business' parameter has both cost_matrix and {doubled[0]}: give one of them.")
        return Costs.of(_checked(_read_matrix(given["cost_matrix"], classes), classes))
    amounts = {name: _number(given, name) for name in errors}
    if all(amount is None for amount in amounts.values()):
        return None
    matrix = (amounts["cost_per_error"] or 0.0) * (1.0 - np.eye(len(classes)))
    if task is Task.BINARY:
        for true, said, name in ((1, 0, "cost_per_false_negative"), (0, 1, "cost_per_false_positive")):
            if amounts[name] is not None:
                matrix[true, said] = amounts[name]
        matrix[1, 1] = -(_number(given, "revenue_per_unit") or 0.0)
        matrix = matrix if positive == 1 else matrix[::-1, ::-1]
    return Costs.of(_checked(matrix, classes))


def _read_matrix(given: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """An array [true][predicted] in the order of the sorted classes, or a mapping of mappings by label."""
    labels = np.asarray(classes).tolist()
    place = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    if isinstance(given, pd.DataFrame):
        given = given.to_dict("index")
    if isinstance(given, Mapping):
        for true, row in given.items():
            if not isinstance(row, Mapping):
                raise _wrong("cost_matrix", "a mapping {true: {predicted: cost}}", given)
            for said, cost in row.items():
                unknown = [label for label in (true, said) if label not in place]
                if unknown:
                    raise _wrong("cost_matrix", f"about the classes {labels}", unknown[0])
                if not isinstance(cost, Real):
                    raise _wrong("cost_matrix", "numbers", cost)
                matrix[place[true], place[said]] = float(cost)
        return matrix
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise _wrong("cost_matrix", "numbers, [true][predicted]", given) from None
    if array.shape != matrix.shape:
        shape = f"{matrix.shape[0]} rows (true) of {matrix.shape[1]} costs (predicted), in the order {labels}"
        raise _wrong("cost_matrix", shape, f"shape {array.shape}")
    return array


def _checked(matrix: NDArray[np.float64], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Finite, and being right costs least: otherwise the same class would be decided on whatever is predicted."""
    if not np.isfinite(matrix).all():
        raise _wrong("cost_matrix", "finite numbers", matrix.tolist())
    excess = matrix - matrix.diagonal()[:, None]
    is_wrong = (excess < 0).any(axis=1)
    if len(matrix) == 2:
        is_wrong = is_wrong | (excess.max(axis=1) == 0)
    elif not excess.any():
        is_wrong = ~is_wrong
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise InvalidParameter(
            "In the costs of the 'business' parameter being right must cost less than being wrong, for each of two "
            "classes: otherwise one class is decided on whatever is predicted. Give both cost_per_false_positive and "
            f"cost_per_false_negative, or a cost_matrix. Got the costs {matrix[row].tolist()} for rows of the class "
            f"{np.asarray(classes).tolist()[row]!r}."
        )
    return matrix
