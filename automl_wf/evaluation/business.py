"""What predictions are worth: lift and gains, profit by threshold, money lost and earned, KPIs, what a ranking shows.

Lift, gains and percentage errors need nothing but predictions. Everything else is absent unless the user says in
`business=` what errors cost, what is earned, or which columns hold what became of a ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.business import Business, Kpi
from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.metrics import TOP_K, Floats, mean_of_top, threshold_counts, top_rows, weighted_median
from automl_wf.core.tasks import Task
from automl_wf.evaluation.scores import Held

#: Points of a curve: one for each percent of the rows.
N_POINTS = 101
_SHARES = np.linspace(0.0, 1.0, N_POINTS)


# --- lift ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decile:
    """The rows up to a share, most probable first.

    Parameters
    ----------
    share : float
        Share of the rows, 0.1 … 1.
    gain : float
        Share of the positive rows among them.
    lift : float
        `gain` over `share`: how many times more positives than among rows picked at random.
    rate, rate_lift : float
        Share of positives in this tenth alone, and as a multiple of that of all rows.
    """

    share: float
    gain: float
    lift: float
    rate: float
    rate_lift: float


@dataclass(frozen=True)
class LiftChart:
    """How many of the positive rows are found by looking at the most probable ones first.

    Parameters
    ----------
    label : object
        The positive class.
    share, gain : tuple of float
        Cumulative gains: share of rows looked at and share of positives found, at most 101 points.
    area : float
        Under the gains curve; 0.5 for guessing.
    deciles : tuple of Decile
        By tenths of the rows.
    """

    label: Any
    share: tuple[float, ...]
    gain: tuple[float, ...]
    area: float
    deciles: tuple[Decile, ...]


def lift_chart(held: Held, classes: tuple[Any, ...], pos_index: int = 1) -> LiftChart | None:
    """Cumulative gains and lift of a binary classification.

    Rows of equal probability come in every order equally often: gains are the expected ones.

    Parameters
    ----------
    held : Held
        Probabilities.
    classes : tuple
        Labels in order of their codes.
    pos_index : int, default=1
        Code of the positive class.

    Returns
    -------
    LiftChart or None
        None: one class only.

    References
    ----------
    F. Provost and T. Fawcett, Data Science for Business, O'Reilly 2013, chapter 8.
    """
    counts = _Counts.of(held, pos_index)
    if counts is None:
        return None
    gain = np.interp(_SHARES, counts.share, counts.hits / counts.hits[-1])
    area = float(np.sum(np.diff(counts.share) * (counts.hits[1:] + counts.hits[:-1]) / 2) / counts.hits[-1])
    base = counts.hits[-1] / counts.total
    tenths = gain[::10]
    deciles = []
    for i in range(1, 11):
        rise = float(tenths[i] - tenths[i - 1]) * 10
        share, reached = i / 10, float(tenths[i])
        deciles.append(Decile(share, reached, reached / share, float(rise * base), rise))
    return LiftChart(classes[pos_index], _points(_SHARES), _points(gain), area, tuple(deciles))


@dataclass(frozen=True)
class _Counts:
    """Positives and others found by targeting the rows from each distinct probability on; first nobody is."""

    hits: Floats
    alarms: Floats
    thresholds: Floats

    @classmethod
    def of(cls, held: Held, pos_index: int) -> _Counts | None:
        score = np.ascontiguousarray(held.prediction[:, pos_index])
        hits, alarms, thresholds = threshold_counts(held.y == pos_index, score, held.weight)
        if not (hits[-1] > 0 and alarms[-1] > 0):
            return None
        return cls(np.append(0.0, hits), np.append(0.0, alarms), thresholds)

    @property
    def total(self) -> float:
        return float(self.hits[-1] + self.alarms[-1])

    @property
    def share(self) -> Floats:
        share: Floats = (self.hits + self.alarms) / self.total
        return share


# --- costs of classes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CostTable:
    """What the decisions on these rows cost.

    Parameters
    ----------
    classes : tuple
        Labels in order of the rows and columns.
    costs : tuple of tuple of float
        Cost of a row, by truth (row) and decision (column).
    lost : tuple of tuple of float
        Cost times the number of rows of each cell.
    per_row, total : float
        Mean and sum; weighted where there are weights.
    baseline_per_row, baseline_total : float or None
        The same for the baseline, deciding by the same costs.
    saved : float or None
        What is saved against the baseline.
    implied_threshold : float or None
        Probability of the second of two classes from which on deciding for it costs least.
    threshold : float or None
        The one in use. It differs where another was cheaper beyond doubt, or a metric of labels chose it.
    sets_decision : bool
        Whether the costs decide.
    """

    classes: tuple[Any, ...]
    costs: tuple[tuple[float, ...], ...]
    lost: tuple[tuple[float, ...], ...]
    per_row: float
    total: float
    baseline_per_row: float | None
    baseline_total: float | None
    saved: float | None
    implied_threshold: float | None
    threshold: float | None
    sets_decision: bool


def cost_table(held: Held, baseline: Held | None, costs: Costs, classes: tuple[Any, ...], decides: bool) -> CostTable:
    """Count decisions and multiply them with their costs.

    Parameters
    ----------
    held : Held
        Probabilities, and the rule by which classes are decided on.
    baseline : Held or None
        The baseline's.
    costs : Costs
        In the order of the class codes.
    classes : tuple
        Labels in that order.
    decides : bool
        Whether the costs decide.

    Returns
    -------
    CostTable
        Money, by cell and in all.
    """
    n = len(classes)
    counts = np.bincount(held.y * n + held.codes, held.weight, n * n).astype(float).reshape(n, n)
    lost = counts * costs.array
    weight, total = float(counts.sum()), float(lost.sum())
    of_baseline = None if baseline is None else _total(costs.of_rows(baseline.y, baseline.codes), baseline.weight)
    return CostTable(
        classes=classes,
        costs=costs.matrix,
        lost=tuple(map(tuple, lost.tolist())),
        per_row=total / weight,
        total=total,
        baseline_per_row=None if of_baseline is None else of_baseline / weight,
        baseline_total=of_baseline,
        saved=None if of_baseline is None else of_baseline - total,
        implied_threshold=costs.threshold if n == 2 else None,
        threshold=held.threshold if isinstance(held.threshold, float) else None,
        sets_decision=decides,
    )


@dataclass(frozen=True)
class ProfitPoint:
    """One way to target rows: from which probability on, which share that is, and the profit."""

    threshold: float | None
    share: float
    profit: float


@dataclass(frozen=True)
class ProfitCurve:
    """Profit (costs negated) by the share of rows targeted, the most probable first.

    Parameters
    ----------
    label : object
        The positive class: rows targeted are those decided to be of it.
    share, profit : tuple of float
        At most 101 points, the first of which targets nobody.
    threshold : tuple of float or None
        Probability of the last row targeted; None where nobody is.
    chosen : ProfitPoint
        What the model does.
    best : ProfitPoint
        The largest profit on these rows, found by looking at them: no promise for others.
    """

    label: Any
    share: tuple[float, ...]
    profit: tuple[float, ...]
    threshold: tuple[float | None, ...]
    chosen: ProfitPoint
    best: ProfitPoint


def profit_curve(held: Held, costs: Costs, classes: tuple[Any, ...], pos_index: int = 1) -> ProfitCurve | None:
    """Profit by threshold and by share targeted, of a binary classification.

    Parameters
    ----------
    held : Held
        Probabilities, and the rule by which classes are decided on.
    costs : Costs
        In the order of the class codes.
    classes : tuple
        Labels in that order.
    pos_index : int, default=1
        Code of the positive class.

    Returns
    -------
    ProfitCurve or None
        None: one class only.

    References
    ----------
    F. Provost and T. Fawcett, Data Science for Business, O'Reilly 2013, chapter 8.
    """
    counts = _Counts.of(held, pos_index)
    if counts is None:
        return None
    (false_positive, true_positive), (true_negative, false_negative) = _by_kind(costs, pos_index)
    profit = -(
        counts.hits * true_positive
        + counts.alarms * false_positive
        + (counts.hits[-1] - counts.hits) * false_negative
        + (counts.alarms[-1] - counts.alarms) * true_negative
    )
    at = np.searchsorted(counts.share, _SHARES - 1e-12)
    thresholds = [None if i == 0 else float(counts.thresholds[i - 1]) for i in np.minimum(at, len(counts.share) - 1)]
    top = int(np.argmax(profit))
    best = ProfitPoint(
        None if top == 0 else float(counts.thresholds[top - 1]), float(counts.share[top]), float(profit[top])
    )
    codes = held.codes
    chosen = ProfitPoint(
        _threshold_of(held, pos_index),
        _total((codes == pos_index).astype(float), held.weight) / counts.total,
        -_total(costs.of_rows(held.y, codes), held.weight),
    )
    return ProfitCurve(
        classes[pos_index],
        _points(_SHARES),
        _points(np.interp(_SHARES, counts.share, profit)),
        tuple(thresholds),
        chosen,
        best,
    )


def _by_kind(costs: Costs, pos_index: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Costs of (false, true) positives and (true, false) negatives."""
    matrix, other = costs.matrix, 1 - pos_index
    return (matrix[other][pos_index], matrix[pos_index][pos_index]), (matrix[other][other], matrix[pos_index][other])


def _threshold_of(held: Held, pos_index: int) -> float:
    """Probability of the positive class from which on a row is targeted."""
    threshold = held.threshold if isinstance(held.threshold, float) else 0.5
    return threshold if pos_index == 1 else 1.0 - threshold


# --- revenue, errors, KPIs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RevenueImpact:
    """Revenue per unit times the positive rows found, by the model and by the baseline."""

    value: float
    baseline: float | None
    n_found: float


@dataclass(frozen=True)
class CostSavings:
    """Cost per error times the errors that are made less than today, or than by the baseline.

    Parameters
    ----------
    value : float
        (baseline_errors − errors) × cost_per_error.
    errors, baseline_errors : float
        On these rows; those of today scaled to their number.
    against : str
        What is compared with: "today" or "the baseline".
    """

    value: float
    errors: float
    baseline_errors: float
    against: str


@dataclass(frozen=True)
class KpiValue:
    """A KPI of the user's, of the model and of the baseline; `note` says why there is none."""

    name: str
    value: float | None
    baseline: float | None
    note: str = ""


def revenue_impact(held: Held, baseline: Held | None, per_unit: float, pos_index: int) -> RevenueImpact:
    """What the positive rows that are found earn: ``revenue_per_unit`` × true positives."""

    def found(rows: Held) -> float:
        return _total(((rows.y == pos_index) & (rows.codes == pos_index)).astype(float), rows.weight)

    n_found = found(held)
    return RevenueImpact(per_unit * n_found, None if baseline is None else per_unit * found(baseline), n_found)


def cost_savings(held: Held, baseline: Held | None, business: Business) -> CostSavings | None:
    """What fewer errors save: ``(baseline_errors − errors) × cost_per_error``.

    Parameters
    ----------
    held : Held
        Decisions.
    baseline : Held or None
        The baseline's; its errors are counted where the user gave none.
    business : Business
        With `cost_per_error`. Its `baseline_errors` are of as many rows as were in `fit`.

    Returns
    -------
    CostSavings or None
        None: there is nothing to compare with.
    """
    assert business.cost_per_error is not None
    errors = _total((held.y != held.codes).astype(float), held.weight)
    if business.baseline_errors is not None:
        n_rows = _total(np.ones(len(held.y)), held.weight)
        today, against = business.baseline_errors * n_rows / business.n_rows, "today"
    elif baseline is not None:
        today, against = _total((baseline.y != baseline.codes).astype(float), baseline.weight), "the baseline"
    else:
        return None
    return CostSavings((today - errors) * business.cost_per_error, errors, today, against)


def kpi_value(name: str, kpi: Kpi, held: Held, baseline: Held | None, classes: tuple[Any, ...]) -> KpiValue:
    """A KPI of predictions and truth, in the user's labels; what it raises is the note.

    Parameters
    ----------
    name : str
        Its name.
    kpi : callable
        ``kpi(predictions, actuals)`` → number.
    held : Held
        Predictions.
    baseline : Held or None
        The baseline's.
    classes : tuple
        Labels in order of their codes; empty for values and scores.

    Returns
    -------
    KpiValue
        A number, or why there is none.
    """

    def measure(rows: Held) -> float:
        if not classes:
            return float(kpi(rows.prediction, rows.y))
        labels = np.asarray(classes)
        return float(kpi(labels[rows.codes], labels[rows.y]))

    value, note = _asked(measure, held)
    of_baseline = None if baseline is None else _asked(measure, baseline)[0]
    return KpiValue(name, value, of_baseline, note)


def _asked(measure: Callable[[Held], float], rows: Held) -> tuple[float | None, str]:
    """What the user's function says of rows, or why it says nothing."""
    try:
        value = measure(rows)
    except Exception as error:  # whatever it raises is the fact
        return None, f"not run: {type(error).__name__}: {error}"
    return (value, "") if np.isfinite(value) else (None, f"not defined on these rows ({value})")


# --- money and percentages of values ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class DollarImpact:
    """What the errors of predicted values cost.

    Parameters
    ----------
    per_row, total : float
        Mean and sum; weighted where there are weights.
    over, under : float
        Sums of what was predicted too much, and too little.
    baseline_per_row, baseline_total : float or None
        The baseline's.
    saved : float or None
        What is saved against it.
    """

    per_row: float
    total: float
    over: float
    under: float
    baseline_per_row: float | None
    baseline_total: float | None
    saved: float | None


def dollar_impact(held: Held, baseline: Held | None, costs: UnitCosts) -> DollarImpact:
    """Money lost by errors: ``over · max(ŷ − y, 0) + under · max(y − ŷ, 0)``.

    Parameters
    ----------
    held : Held
        Values predicted.
    baseline : Held or None
        The baseline's.
    costs : UnitCosts
        Cost of a unit too much and of a unit too little.

    Returns
    -------
    DollarImpact
        In units of money.
    """
    error = held.prediction - held.y
    over = _total(costs.over * np.maximum(error, 0.0), held.weight)
    under = _total(costs.under * np.maximum(-error, 0.0), held.weight)
    weight, total = _total(np.ones(len(error)), held.weight), over + under
    of_baseline = None
    if baseline is not None:
        of_baseline = _total(costs.of_rows(baseline.y, baseline.prediction), baseline.weight)
    return DollarImpact(
        total / weight,
        total,
        over,
        under,
        None if of_baseline is None else of_baseline / weight,
        of_baseline,
        None if of_baseline is None else of_baseline - total,
    )


@dataclass(frozen=True)
class PercentageError:
    """Signed errors as a share of the truth; above 0: predicted too much.

    Parameters
    ----------
    median, mean : float or None
        Of (ŷ − y) / |y|; None: the truth is 0 everywhere.
    n_left_out : int
        Rows whose truth is 0, which have no percentage.
    """

    median: float | None
    mean: float | None
    n_left_out: int


def percentage_error(held: Held) -> PercentageError:
    """Median and mean signed percentage error: whether a model predicts too much or too little.

    Parameters
    ----------
    held : Held
        Values predicted.

    Returns
    -------
    PercentageError
        As shares: 0.05 is 5 %.
    """
    is_counted = held.y != 0
    n_left_out = int((~is_counted).sum())
    weight = None if held.weight is None else held.weight[is_counted]
    if not is_counted.any() or (weight is not None and not weight.sum() > 0):
        return PercentageError(None, None, n_left_out)
    shares = (held.prediction[is_counted] - held.y[is_counted]) / np.abs(held.y[is_counted])
    return PercentageError(
        float(weighted_median(shares, weight)), float(np.average(shares, weights=weight)), n_left_out
    )


# --- what a ranking shows --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exposure:
    """What comes to the first k places of the queries, over all queries; weights of rows do not count.

    Parameters
    ----------
    k : int
        Places.
    n_items : int
        Distinct items among all rows.
    coverage : float
        Share of these items that are shown anywhere [1]_.
    diversity : float
        How evenly the places are spread over the items: Shannon entropy of the items' shares of the places over its
        largest value, log n_items; 1: all items are shown equally often, 0: only one is [2]_.
    novelty : float
        Mean over the places of −log2 of the item's popularity, in bits: the share of queries that have the item among
        their rows [3]_.

    References
    ----------
    .. [1] M. Ge, C. Delgado-Battenfeld and D. Jannach, Beyond accuracy: evaluating recommender systems by coverage and
       serendipity, RecSys 2010.
    .. [2] G. Adomavicius and Y. Kwon, Improving aggregate recommendation diversity using ranking-based techniques, IEEE
       TKDE 24(5), 2012.
    .. [3] S. Vargas and P. Castells, Rank and relevance in novelty and diversity metrics for recommender systems,
       RecSys 2011.
    """

    k: int
    n_items: int
    coverage: float
    diversity: float
    novelty: float


@dataclass(frozen=True)
class TopRate:
    """What the rows in the first k places have, on average, beside what any order would show.

    Parameters
    ----------
    value : float
        Clicks or conversions per row shown, or mean satisfaction. Equal scores count with their expected value.
    by_chance : float
        The same where the rows of each query come in random order.
    gain : float
        `value` − `by_chance`.
    k : int
        Places.
    """

    value: float
    by_chance: float
    gain: float
    k: int


def exposure(held: Held, item: NDArray[np.int64], k: int = TOP_K) -> Exposure:
    """Coverage, diversity and novelty of what a ranking shows.

    Parameters
    ----------
    held : Held
        Scores and queries; equal scores come in the order of the rows.
    item : ndarray of shape (n_rows,)
        What each row offers.
    k : int, default=10
        Places of a query that are shown.

    Returns
    -------
    Exposure
        Over all queries.
    """
    codes = np.unique(item, return_inverse=True)[1]
    query = np.zeros(len(codes), dtype=np.int64) if held.group is None else held.group
    n_items, n_queries = int(codes.max()) + 1, len(np.unique(query))
    shown = codes[top_rows(held.prediction, held.group, k)]
    times = np.bincount(shown, minlength=n_items)
    pairs = np.unique(np.column_stack([query, codes]), axis=0)
    popularity = np.bincount(pairs[:, 1], minlength=n_items) / n_queries
    share = times[times > 0] / times.sum()
    evenness = float(-(share * np.log(share)).sum() / np.log(n_items)) if n_items > 1 else 0.0
    # + 0.0: no minus before a zero
    return Exposure(
        k, n_items, float((times > 0).mean()), evenness + 0.0, float(-np.log2(popularity[shown]).mean()) + 0.0
    )


def top_rate(held: Held, outcome: Floats, k: int = TOP_K) -> TopRate | None:
    """What became of the rows that a ranking shows first.

    Outcomes were seen under the ranking of their time: people click what is shown on top, so a new order is judged
    more harshly than it deserves. Only an experiment tells what it would do.

    Parameters
    ----------
    held : Held
        Scores and queries.
    outcome : ndarray of shape (n_rows,)
        Clicks, conversions or satisfaction; rows without one (NaN) do not count.
    k : int, default=10
        Places of a query that are shown.

    Returns
    -------
    TopRate or None
        None: no outcome is known of the rows shown.
    """
    value = mean_of_top(outcome, held.prediction, held.group, k)
    by_chance = mean_of_top(outcome, np.zeros(len(outcome)), held.group, k)
    if not (np.isfinite(value) and np.isfinite(by_chance)):
        return None
    return TopRate(value, by_chance, value - by_chance, k)


# --- all of it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BusinessValue:
    """What the user's costs, revenue, KPIs and columns make of these rows; None where nothing was given for it.

    Parameters
    ----------
    currency : str
        Name of the unit of money.
    cost_matrix : CostTable or None
        Costs of classes.
    profit_curve : ProfitCurve or None
        Profit by threshold and share (binary).
    revenue_impact, cost_savings
        By revenue per unit, and by cost per error.
    dollar_impact : DollarImpact or None
        Costs of values.
    custom_kpis : tuple of KpiValue
        In the order given.
    exposure : Exposure or None
        Coverage, diversity and novelty, by item.
    click_through_rate, conversion_impact, user_satisfaction : TopRate or None
        What became of the rows shown first.
    """

    currency: str
    cost_matrix: CostTable | None = None
    profit_curve: ProfitCurve | None = None
    revenue_impact: RevenueImpact | None = None
    cost_savings: CostSavings | None = None
    dollar_impact: DollarImpact | None = None
    custom_kpis: tuple[KpiValue, ...] = ()
    exposure: Exposure | None = None
    click_through_rate: TopRate | None = None
    conversion_impact: TopRate | None = None
    user_satisfaction: TopRate | None = None

    @property
    def metrics(self) -> dict[str, float | None]:
        """Revenue impact, cost savings and each KPI by name: what the workflow's `calculate_business_metrics` gives."""
        amounts = {"revenue_impact": self.revenue_impact, "cost_savings": self.cost_savings}
        given: dict[str, float | None] = {name: fact.value for name, fact in amounts.items() if fact is not None}
        return given | {kpi.name: kpi.value for kpi in self.custom_kpis}


def business_value(
    held: Held,
    baseline: Held | None,
    business: Business,
    classes: tuple[Any, ...],
    pos_index: int = 1,
    columns: Mapping[str, NDArray[Any]] | None = None,
) -> BusinessValue:
    """Everything that `business=` asks for.

    Parameters
    ----------
    held : Held
        The model's predictions.
    baseline : Held or None
        The baseline's on the same rows.
    business : Business
        What the user gave.
    classes : tuple
        Labels in order of their codes; empty for values and scores.
    pos_index : int, default=1
        Code of the positive class (binary).
    columns : mapping of str to ndarray of shape (n_rows,), or None, default=None
        "item", "clicks", "conversions", "satisfaction" of these rows.

    Returns
    -------
    BusinessValue
        Facts.
    """
    facts: dict[str, Any] = {}
    costs, columns = business.costs, columns or {}
    if isinstance(costs, Costs):
        facts["cost_matrix"] = cost_table(held, baseline, costs, classes, business.sets_decision)
        if held.task is Task.BINARY:
            facts["profit_curve"] = profit_curve(held, costs, classes, pos_index)
    elif costs is not None:
        facts["dollar_impact"] = dollar_impact(held, baseline, costs)
    if business.revenue_per_unit is not None:
        facts["revenue_impact"] = revenue_impact(held, baseline, business.revenue_per_unit, pos_index)
    if business.cost_per_error is not None:
        facts["cost_savings"] = cost_savings(held, baseline, business)
    if "item" in columns:
        facts["exposure"] = exposure(held, columns["item"])
    outcomes = {"clicks": "click_through_rate", "conversions": "conversion_impact", "satisfaction": "user_satisfaction"}
    facts |= {name: top_rate(held, columns[role]) for role, name in outcomes.items() if role in columns}
    kpis = tuple(kpi_value(name, kpi, held, baseline, classes) for name, kpi in business.kpis.items())
    return BusinessValue(business.currency, custom_kpis=kpis, **facts)


def _total(values: Floats, weight: Floats | None) -> float:
    return float(values.sum() if weight is None else np.einsum("n,n->", values, weight))


def _points(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())
