"""Every metric beside the baseline's, with an interval; the confusion matrix; the report by class; queries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.costs import DecisionRule
from automl_wf.core.metrics import Codes, Floats, Metric, Scoring, class_totals, decide, metrics_for, query_ndcg
from automl_wf.core.tasks import Task
from automl_wf.evaluation.bias_correction import Units, sample_rows

#: Rows × draws × classes that a bootstrap may touch: what keeps it within a few tenths of a second.
_MAX_CELLS = 1_000_000
_MIN_DRAWS = 50
#: A scorer that is not one of METRICS is called once per draw.
_MAX_CALLS = 50


@dataclass(frozen=True)
class Held:
    """Held-out rows and what was predicted for them.

    Parameters
    ----------
    task : Task
        What is predicted.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    prediction : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities, values or scores.
    weight, group : ndarray of shape (n_rows,) or None
        Row weights and groups (queries for ranking).
    threshold : float, Costs or None
        What a class is decided on by, as for `decide`.
    """

    task: Task
    y: NDArray[Any]
    prediction: Floats
    weight: Floats | None = None
    group: Codes | None = None
    threshold: DecisionRule = None

    @property
    def codes(self) -> Codes:
        """Classes decided on."""
        return decide(self.prediction, self.threshold)

    @property
    def query(self) -> Codes | None:
        """Groups as far as metrics know them: queries of a ranking."""
        return self.group if self.task is Task.RANKING else None

    def take(self, rows: NDArray[np.intp]) -> Held:
        """Some rows."""
        return replace(
            self,
            y=self.y[rows],
            prediction=self.prediction[rows],
            weight=None if self.weight is None else self.weight[rows],
            group=None if self.group is None else self.group[rows],
        )

    def measure(self, metric: Metric, pos_index: int, draws: Floats | None = None) -> Any:
        """One metric on these rows, or on each draw of them; `pos_index` is the positive class."""
        y: NDArray[Any] = self.y
        prediction: NDArray[Any] = self.codes if metric.needs == "label" else self.prediction
        if self.task is Task.BINARY and pos_index == 0:
            y, prediction = 1 - y, prediction[:, ::-1] if prediction.ndim == 2 else 1 - prediction
        weight = self.weight
        if draws is not None:
            weight = draws if weight is None else draws * weight
        return metric.evaluate(y, prediction, weight, self.query)


@dataclass(frozen=True)
class Score:
    """One metric in its natural form (a loss is a loss), beside the baseline's.

    Parameters
    ----------
    name, label : str
        Its name in METRICS (or the scorer's own), and in words.
    value, baseline : float or None
        Of the model and of the baseline. None: not defined here, see `note`, or no baseline was given.
    greater_is_better : bool
        False for losses.
    low, high : float or None
        95 % interval of the value.
    is_primary : bool
        Whether it is what was optimised.
    note : str
        Why there is no value.
    """

    name: str
    label: str
    value: float | None
    baseline: float | None
    greater_is_better: bool
    low: float | None = None
    high: float | None = None
    is_primary: bool = False
    note: str = ""


@dataclass(frozen=True)
class Resampling:
    """How the intervals of the scores were got."""

    method: str
    n_draws: int
    n_rows: int
    unit: str
    seed: int
    confidence: float = 0.95


@dataclass(frozen=True)
class _Draws:
    """Rows, how often each draw has them, and what to multiply deviations with to speak of all rows."""

    held: Held
    counts: NDArray[np.float64]
    scale: float


def score_all(
    held: Held,
    baseline: Held | None,
    scoring: Scoring,
    *,
    extra: Sequence[Metric] = (),
    n_bootstraps: int = 200,
    max_rows: int = 5000,
    seed: int = 0,
    max_calls: int | None = None,
) -> tuple[tuple[Score, ...], Resampling]:
    """Every metric of the task, and the one that was optimised, with intervals.

    Parameters
    ----------
    held : Held
        The model's predictions.
    baseline : Held or None
        The baseline's on the same rows.
    scoring : Scoring
        What was optimised.
    extra : sequence of Metric, default=()
        Metrics that are not among METRICS: what the user's costs make of the rows.
    n_bootstraps : int, default=200
        Draws; fewer where rows times classes are many. 0: no intervals.
    max_rows : int, default=5000
        Longer data is resampled on a random subset of this size (whole groups); deviations are then scaled down by
        the square root of the share.
    seed : int, default=0
        Seed of the draws.
    max_calls : int or None, default=None
        How often a scorer that is not among METRICS may be called.

    Returns
    -------
    scores : tuple of Score
        In the order of METRICS, then those of `extra`; a scorer that is not among them comes first.
    resampling : Resampling
        How the intervals were got.

    Notes
    -----
    The interval is the percentile interval of the bootstrap's deviations around their mean (Efron 1979). It speaks of
    the rows that happened to be there, not of what another fit would have given.
    """
    draws = _draw(held, n_bootstraps, max_rows, seed)
    primary = None if scoring.metric is None else scoring.metric.name
    scores = []
    with warnings.catch_warnings():
        # Draws without some class are expected: scikit-learn would announce each.
        warnings.simplefilter("ignore", UserWarning)
        if primary is None:
            scores.append(_by_scorer(held, baseline, scoring, draws, max_calls))
        scores += [
            _by_metric(held, baseline, metric, scoring.pos_index, draws, metric.name == primary)
            for metric in (*metrics_for(held.task), *extra)
        ]
    unit = "row" if held.group is None else "query" if held.task is Task.RANKING else "group"
    return tuple(scores), Resampling("percentile bootstrap", len(draws.counts), len(draws.held.y), unit, seed)


def _draw(held: Held, n_bootstraps: int, max_rows: int, seed: int) -> _Draws:
    rng = np.random.default_rng(seed)
    n_classes = held.prediction.shape[1] if held.prediction.ndim == 2 and held.prediction.shape[1] > 2 else 1
    max_rows = min(max_rows, max(_MAX_CELLS // (_MIN_DRAWS * n_classes), 500))
    rows = sample_rows(len(held.y), held.group, max_rows, rng)
    subset = held if len(rows) == len(held.y) else held.take(rows)
    n_draws = min(n_bootstraps, max(_MAX_CELLS // (len(rows) * n_classes), _MIN_DRAWS))
    units = Units.of(len(rows), subset.group)
    drawn = rng.integers(0, len(units), (n_draws, len(units))) + np.arange(n_draws)[:, None] * len(units)
    counts = np.bincount(drawn.ravel(), minlength=n_draws * len(units)).reshape(n_draws, len(units)).astype(np.float64)
    if units.is_grouped:
        unit_of_row = np.empty(len(rows), dtype=np.intp)
        unit_of_row[units.order] = np.repeat(np.arange(len(units)), units.sizes)
        counts = counts[:, unit_of_row]
    return _Draws(subset, counts, float(np.sqrt(len(rows) / len(held.y))))


def _interval(
    value: float | None, drawn: Floats, scale: float, bounds: tuple[float, float]
) -> tuple[float | None, float | None]:
    drawn = drawn[np.isfinite(drawn)]
    if value is None or len(drawn) < 2:
        return None, None
    low, high = np.quantile((drawn - drawn.mean()) * scale, [0.025, 0.975])
    return max(value + float(low), bounds[0]), min(value + float(high), bounds[1])


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _by_metric(
    held: Held, baseline: Held | None, metric: Metric, pos_index: int, draws: _Draws, is_primary: bool
) -> Score:
    note = _why_not(metric, held)
    if note:
        return Score(metric.name, metric.label, None, None, metric.greater_is_better, is_primary=is_primary, note=note)
    value = _finite(held.measure(metric, pos_index))
    of_baseline = None if baseline is None else _finite(baseline.measure(metric, pos_index))
    drawn = draws.held.measure(metric, pos_index, draws.counts) if len(draws.counts) else np.empty(0)
    low, high = _interval(value, drawn, draws.scale, metric.bounds)
    note = "" if value is not None else "the rows do not define it"
    return Score(metric.name, metric.label, value, of_baseline, metric.greater_is_better, low, high, is_primary, note)


def _why_not(metric: Metric, held: Held) -> str:
    if metric.name == "mape" and (n_zero := int(np.count_nonzero(held.y == 0))):
        return f"a percentage of 0 is not defined: the target is 0 on {n_zero} rows"
    return ""


def _by_scorer(
    held: Held, baseline: Held | None, scoring: Scoring, draws: _Draws, max_calls: int | None = None
) -> Score:
    """A scorer outside METRICS: called on repeated rows, as it need not know weights."""

    def natural(h: Held) -> float | None:
        try:
            return _finite(scoring.natural(scoring(h.y, h.prediction, h.weight, h.query, threshold=h.threshold)))
        except ValueError:
            # How scorers of scikit-learn's say that the rows do not define them.
            return None

    value = natural(held)
    n_draws = _MAX_CALLS if max_calls is None else min(max(max_calls - 2, 0), _MAX_CALLS)
    drawn = [natural(draws.held.take(_repeated(counts))) for counts in draws.counts[:n_draws]]
    bounds = scoring.bounds if scoring.greater_is_better else (-scoring.bounds[1], -scoring.bounds[0])
    low, high = _interval(value, np.array([v for v in drawn if v is not None]), draws.scale, bounds)
    return Score(
        scoring.name,
        scoring.label,
        value,
        None if baseline is None else natural(baseline),
        scoring.greater_is_better,
        low,
        high,
        is_primary=True,
        note="" if value is not None else "the rows do not define it",
    )


def _repeated(counts: Floats) -> NDArray[np.intp]:
    return np.repeat(np.arange(len(counts)), counts.astype(np.intp))


# --- classification --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Confusion:
    """How often each true class (row) was predicted as each class (column), by weight where there are weights."""

    classes: tuple[Any, ...]
    counts: tuple[tuple[float, ...], ...]
    is_weighted: bool
    threshold: float | None


@dataclass(frozen=True)
class ClassReport:
    """Precision, recall and F1 of one class; `support` is the weight of its rows."""

    label: Any
    precision: float
    recall: float
    f1: float
    support: float


def confusion(held: Held, classes: tuple[Any, ...]) -> Confusion:
    """Confusion matrix.

    Parameters
    ----------
    held : Held
        Probabilities of a classification.
    classes : tuple
        Labels in order of their codes.

    Returns
    -------
    Confusion
        Rows are the truth, columns what was predicted.
    """
    n = len(classes)
    counts = np.bincount(held.y * n + held.codes, held.weight, n * n).astype(float).reshape(n, n)
    threshold = held.threshold if isinstance(held.threshold, float) else None
    return Confusion(classes, tuple(map(tuple, counts.tolist())), held.weight is not None, threshold)


def class_reports(held: Held, classes: tuple[Any, ...]) -> tuple[ClassReport, ...]:
    """Precision, recall and F1 of each class; 0 where undefined, as in scikit-learn's report.

    Parameters
    ----------
    held : Held
        Probabilities of a classification.
    classes : tuple
        Labels in order of their codes.

    Returns
    -------
    tuple of ClassReport
        One per class.
    """
    hits, predicted, actual = class_totals(held.y, held.codes, held.weight, len(classes))

    def share(part: float, whole: float) -> float:
        return float(part / whole) if whole else 0.0

    return tuple(
        ClassReport(label, share(h, p), share(h, a), share(2 * h, p + a), float(a))
        for label, h, p, a in zip(classes, hits, predicted, actual, strict=True)
    )


# --- ranking ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Queries:
    """How the quality of a ranking is spread over its queries.

    Parameters
    ----------
    n_queries, n_left_out : int
        All queries, and those with one grade only, which no metric counts.
    rows_per_query : dict
        Smallest, median and largest.
    ndcg_quantiles : dict
        By percentage, over the counted queries.
    ndcg_histogram : tuple of int
        Counted queries by NDCG in ten equal steps from 0 to 1.
    """

    n_queries: int
    n_left_out: int
    rows_per_query: dict[str, float]
    ndcg_quantiles: dict[str, float]
    ndcg_histogram: tuple[int, ...]


def summarise_queries(held: Held) -> Queries:
    """Spread of NDCG over queries.

    Parameters
    ----------
    held : Held
        Scores of a ranking.

    Returns
    -------
    Queries
        Counts and quantiles.
    """
    values, is_counted = query_ndcg(held.y, held.prediction, held.group)
    counted = values[is_counted]
    sizes = Units.of(len(held.y), np.zeros(len(held.y), dtype=np.int64) if held.group is None else held.group).sizes
    percents = (0, 10, 25, 50, 75, 90, 100)
    quantiles = np.percentile(counted, percents).tolist() if len(counted) else []
    of_size: dict[str, Callable[[Any], Any]] = {"min": np.min, "median": np.median, "max": np.max}
    return Queries(
        n_queries=len(values),
        n_left_out=int((~is_counted).sum()),
        rows_per_query={name: float(function(sizes)) for name, function in of_size.items()},
        ndcg_quantiles=dict(zip(map(str, percents), quantiles, strict=False)),
        ndcg_histogram=tuple(np.histogram(counted, bins=10, range=(0.0, 1.0))[0].tolist()),
    )
