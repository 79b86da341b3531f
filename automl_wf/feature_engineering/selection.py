"""Which columns of a table tell something, and for each one the reason why it is kept or dropped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.compat import Interval, StrOptions
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.feature_engineering.base import Numbers
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.civil_time import elapsed_days, in_range
from automl_wf.feature_engineering.cross_fit import choose_targets, target_columns
from automl_wf.feature_engineering.gains import draw_rows, gains_of
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.table_transformer import Learnt, Part, TableTransformer, draw_seed
from automl_wf.problem_definition import Target

#: What `threshold=None` stands for.
_THRESHOLDS = {"probe": 1.0, "mutual_info": 0.01, "anova": 0.05, "chi2": 0.05, "correlation": 0.95}
#: Rows that columns are judged on, times that they are shuffled, and classes that the boosting looks at.
_MAX_ROWS, _N_PROBES, _MAX_CLASSES = 10_000, 5, 3


class FeatureSelection(TableTransformer):
    """Leave out columns that tell nothing of the target, or nothing that another column does not tell.

    Each column is judged by one number per cell: numbers as they are, categories by the place of their level in the
    sorted vocabulary, times by elapsed days. Text is not judged and always kept; columns of one value, and text that is
    another in every row, are always dropped. At least one column is kept. Of more than 10,000 rows as many are drawn at
    random.

    Parameters
    ----------
    method : {"probe", "mutual_info", "anova", "chi2", "correlation"}, default="probe"
        "probe": a small gradient boosting is given all columns and shuffled copies of them, five times over; a column
        is kept if it is gained more by than by the best copy of any. "mutual_info", "anova" and "chi2": statistics of
        scikit-learn, each column by itself; "anova" is an F-test, also for numbers as targets; "chi2" needs classes and
        takes numbers for counts, which start at 0.
        "correlation": of columns that say the same the first one is kept, y is not needed.
    max_features : int, default=None
        Judged columns kept at most, those with the highest scores; None: all that pass.
    threshold : float, default=None
        What a column has to reach. "probe": more than so many times the gain of the best copy (None: 1).
        "mutual_info": more than so many nats (None: 0.01; estimates scatter around 0). "anova", "chi2": at most this p
        value (None: 0.05). "correlation": at most this absolute correlation with a column before it that is kept
        (None: 0.95).
    random_state : int, RandomState or None, default=None
        Seed of rows, copies and boosting.

    Attributes
    ----------
    scores_ : ndarray of shape (n_features_in_,)
        Gain, mutual information, F or chi-squared statistic, or one less the largest correlation with a column that is
        kept: greater is better. NaN where a column is not judged.
    support_ : ndarray of shape (n_features_in_,)
        Whether each column is kept.
    reasons_ : list of str
        Why each column is kept or dropped.
    feature_metadata_ : list of dict
        Name, kind, parents and formula of each column that comes out.
    schema_ : Schema
        What each input column is.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only if X was a frame with names.

    See Also
    --------
    InteractionFeatures : Adds columns.
    sklearn.feature_selection.SelectKBest : A fixed number of columns, all of them numbers.

    References
    ----------
    .. [1] M. B. Kursa and W. R. Rudnicki (2010). Feature selection with the Boruta package. Journal of Statistical
           Software 36(11) (the comparison with shuffled copies).

    Examples
    --------
    >>> import pandas as pd
    >>> from automl_wf import FeatureSelection
    >>> X = pd.DataFrame({"cm": [150, 160, 170, 180], "inch": [59.1, 63.0, 66.9, 70.9], "age": [20, 40, 30, 20]})
    >>> selection = FeatureSelection(method="correlation").fit(X)
    >>> selection.get_feature_names_out().tolist()
    ['cm', 'age']
    >>> selection.reasons_[1]
    "dropped: correlation 1.000 with 'cm'; needed: at most 0.95"
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions(set(_THRESHOLDS))],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        method: Literal["probe", "mutual_info", "anova", "chi2", "correlation"] = "probe",
        max_features: int | None = None,
        threshold: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.max_features = max_features
        self.threshold = threshold
        self.random_state = random_state

    @property
    def _needs_target(self) -> bool:
        return self.method != "correlation"

    def get_support(self, indices: bool = False) -> NDArray[Any]:
        """Which columns are kept.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return places instead of a mask.

        Returns
        -------
        ndarray of shape (n_features_in_,) or (n_features_out,)
            The mask, or the places of the columns that are kept.
        """
        check_is_fitted(self)
        return np.flatnonzero(self.support_) if indices else self.support_.copy()

    def _learn(self, table: Table, target: Target | None) -> Learnt:
        if self.method == "chi2" and target is not None and target.classes is None:
            raise InvalidParameter(
                "The 'method' parameter of FeatureSelection must be 'probe', 'mutual_info', 'anova' or 'correlation' "
                "where y holds numbers: chi2 compares classes. Got 'chi2' instead."
            )
        columns = table.schema.columns
        choice = _Choice(columns)
        judged = [c for c in columns if _why_not_judged(c) is None]
        if judged:
            verdict = self._judge(_Judged.of(table, judged, target, draw_seed(self.random_state)))
            choice.enter(judged, verdict, self.max_features)
        choice.keep_one()
        kept = [c for c, is_kept in zip(columns, choice.support, strict=True) if is_kept]
        nothing = Part.of(table.schema, ())
        return Learnt(Part.of(table.schema, kept), nothing, attributes=choice.attributes())

    def _judge(self, judged: _Judged) -> _Verdict:
        threshold = _THRESHOLDS[self.method] if self.threshold is None else float(self.threshold)
        return _METHODS[self.method](judged, threshold)


@dataclass(frozen=True, eq=False)
class _Judged:
    """The columns that are judged, one number per cell, on the rows that are looked at."""

    names: tuple[str, ...]
    numbers: Numbers
    is_discrete: NDArray[np.bool_]
    y: NDArray[Any]
    n_classes: int
    seed: int

    @classmethod
    def of(cls, table: Table, columns: Sequence[Column], target: Target | None, seed: int) -> _Judged:
        rows = draw_rows(table.n_rows, _MAX_ROWS, seed)
        seen = table.take(rows)
        return cls(
            tuple(c.name for c in columns),
            np.column_stack([_numbers(seen, c) for c in columns]),
            np.array([c.kind is ColumnKind.BOOLEAN or c.edge == "string" for c in columns]),
            np.zeros(len(rows)) if target is None else target.values[rows],
            1 if target is None else target.n_classes,
            seed,
        )

    def scaled(self) -> Numbers:
        """Gaps filled, extremes clipped, skewed columns logged, mean 0 and standard deviation 1."""
        return NumericScaler().fit_transform(self.numbers)[:, : len(self.names)]

    def filled(self) -> Numbers:
        """Gaps filled with the median."""
        filled: Numbers = np.where(np.isnan(self.numbers), NumericScaler().fit(self.numbers).fill_, self.numbers)
        return filled


@dataclass(frozen=True, eq=False)
class _Verdict:
    """Score of each judged column, whether it passes, and what was seen, in words."""

    scores: Numbers
    passes: NDArray[np.bool_]
    seen: list[str]


class _Choice:
    """What becomes of each column, in the order of the table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.scores = np.full(len(columns), np.nan)
        self.support = np.array([c.kind is ColumnKind.TEXT for c in columns])
        self.reasons = [_why_not_judged(c) or "" for c in columns]

    def enter(self, judged: Sequence[Column], verdict: _Verdict, most: int | None) -> None:
        """Keep what passes, but at most so many; say why."""
        places = [c.position for c in judged]
        rank = np.empty(len(places), dtype=np.int64)
        rank[np.argsort(np.where(verdict.passes, -verdict.scores, np.inf), kind="stable")] = np.arange(len(places))
        for place, score, passes, r, seen in zip(
            places, verdict.scores, verdict.passes, rank, verdict.seen, strict=True
        ):
            is_beyond = bool(passes) and most is not None and int(r) >= most
            self.scores[place] = score
            self.support[place] = passes and not is_beyond
            what = "kept" if self.support[place] else "dropped"
            self.reasons[place] = f"{what}: {f'not among the best {most}; ' if is_beyond else ''}{seen}"

    def keep_one(self) -> None:
        """Keep the best column if none is kept."""
        if not self.support.any():
            best = 0 if np.isnan(self.scores).all() else int(np.nanargmax(self.scores))
            self.support[best] = True
            self.reasons[best] = f"kept: the best of a table where none passes; {self.reasons[best].partition(': ')[2]}"

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes."""
        return {"scores_": self.scores, "support_": self.support, "reasons_": self.reasons}


def _why_not_judged(column: Column) -> str | None:
    if column.kind is ColumnKind.TEXT:
        return "kept: text is not judged by one number"
    if column.kind is ColumnKind.IDENTIFIER:
        return "dropped: another value in every row"
    if column.n_unique + (column.n_missing > 0) < 2:
        return "dropped: one value only"
    return None


def _numbers(table: Table, column: Column) -> Numbers:
    """One number per cell; NaN is missing."""
    position = [column.position]
    if column.edge == "double":
        return table.numbers(position)[:, 0]
    if column.edge == "string":
        return CategoryCodes().fit_transform(table.strings(position))[:, 0]
    times = table.times(position)[:, 0]
    return np.where(times == MISSING_TIME, np.nan, elapsed_days(in_range(times)))


def _probe(judged: _Judged, threshold: float) -> _Verdict:
    X, n_columns, weights = judged.numbers, len(judged.names), np.ones(len(judged.y))
    classes = choose_targets(judged.y, weights, judged.n_classes, _MAX_CLASSES)
    targets = target_columns(judged.y, judged.n_classes, classes)
    random = np.random.default_rng(judged.seed)
    gains, best = np.zeros(n_columns), 0.0
    for k in range(_N_PROBES):
        # Whole rows are shuffled: copies are as much alike as the columns are.
        found = gains_of(np.hstack([X, X[random.permutation(len(X))]]), targets, weights, judged.seed + k)
        gains += found[:n_columns] / _N_PROBES
        best = max(best, float(found[n_columns:].max()))
    needed = f"needed: more than {threshold * best:.4g}, {threshold:g} × the best shuffled copy"
    seen = [f"gain {gain:.4g}; {needed}" for gain in gains]
    return _Verdict(gains, gains > threshold * best, seen)


def _mutual_information(judged: _Judged, threshold: float) -> _Verdict:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    X = np.where(judged.is_discrete, np.nan_to_num(judged.numbers, nan=-1.0), judged.scaled())
    measure = mutual_info_regression if judged.n_classes == 1 else mutual_info_classif
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many classes of few rows
        try:
            scores = measure(X, judged.y, discrete_features=judged.is_discrete, random_state=judged.seed)
        except ValueError as error:
            raise InvalidInput(f"There are too few rows to estimate mutual information from: {error}") from None
    return _Verdict(scores, scores > threshold, [f"{s:.4g} nats; needed: more than {threshold:g}" for s in scores])


def _anova(judged: _Judged, threshold: float) -> _Verdict:
    from sklearn.feature_selection import f_classif, f_regression

    test = f_regression if judged.n_classes == 1 else f_classif
    return _by_p_value(test, judged.scaled(), judged.y, threshold, "F")


def _chi2(judged: _Judged, threshold: float) -> _Verdict:
    from sklearn.feature_selection import chi2

    filled = judged.filled()
    return _by_p_value(chi2, filled - np.minimum(filled.min(axis=0), 0.0), judged.y, threshold, "chi²")


def _by_p_value(test: Callable[..., Any], X: Numbers, y: NDArray[Any], threshold: float, name: str) -> _Verdict:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # columns that do not vary once gaps are filled
        statistics, p_values = test(X, y)
    scores, p_values = np.nan_to_num(statistics, nan=0.0), np.nan_to_num(p_values, nan=1.0)
    seen = [f"{name} {s:.4g}, p {p:.2g}; needed: at most {threshold:g}" for s, p in zip(scores, p_values, strict=True)]
    return _Verdict(scores, p_values <= threshold, seen)


def _correlation(judged: _Judged, threshold: float) -> _Verdict:
    Z = judged.scaled()
    correlations = np.minimum(np.abs(Z.T @ Z) / len(Z), 1.0)
    kept: list[int] = []
    scores, seen = np.ones(len(Z.T)), []
    for j, row in enumerate(correlations):
        nearest = max(kept, key=lambda i: float(row[i]), default=None)
        if nearest is None:
            seen.append("no column before it is kept")
        else:
            scores[j] = 1.0 - row[nearest]
            seen.append(f"correlation {row[nearest]:.3f} with {judged.names[nearest]!r}; needed: at most {threshold:g}")
        if nearest is None or row[nearest] <= threshold:
            kept.append(j)
    passes = np.isin(np.arange(len(scores)), kept)
    return _Verdict(scores, passes, seen)


_METHODS: dict[str, Callable[[_Judged, float], _Verdict]] = {
    "probe": _probe,
    "mutual_info": _mutual_information,
    "anova": _anova,
    "chi2": _chi2,
    "correlation": _correlation,
}
