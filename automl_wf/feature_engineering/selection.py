"""Which columns of a table tell something, and for each one the reason why it is kept or dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.compat import Interval, StrOptions
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidParameter
from automl_wf.feature_engineering.base import Numbers
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.civil_time import elapsed_days, in_range
from automl_wf.feature_engineering.gains import draw_rows
from automl_wf.feature_engineering.learnt import Learnt, Part
from automl_wf.feature_engineering.relevance import METHODS, THRESHOLDS, Judged, Verdict
from automl_wf.feature_engineering.table_transformer import TableTransformer, draw_seed
from automl_wf.problem_definition import Target

#: Rows that columns are judged on.
_MAX_ROWS = 10_000


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
        is kept if it is gained more by than by the best copy of any [1]_. "mutual_info", "anova", "chi2": statistics of
        scikit-learn, each column by itself; "anova" is an F-test, also for numbers as targets; "chi2" needs classes and
        takes numbers for counts, which start at 0.
        "correlation": of columns that say the same the first one is kept, y is not needed.
    max_features : int, default=None
        Judged columns kept at most, those with the highest scores; None: all that pass.
    threshold : float, default=None
        What a column has to reach. "probe": more than so many times the gain of the best copy (None: 1).
        "mutual_info": more than so many times the most that any of 19 shuffles of y has with the column (None: 1, which
        noise passes once in 20 times [2]_). "anova", "chi2": at most this p value (None: 0.05). "correlation": at most
        this absolute correlation with a column before it that is kept (None: 0.95).
    schema : dict, default=None
        Kinds of columns that you know better: "numeric", "boolean", "categorical", "text" (its words count), "datetime"
        or "identifier" (not used), by column.
    random_state : int, RandomState or None, default=None
        Seed of rows, copies, shuffles and boosting.

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
    .. [2] B. Phipson and G. K. Smyth (2010). Permutation p-values should never be zero. Statistical Applications in
           Genetics and Molecular Biology 9(1), 39.

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
        "method": [StrOptions(set(THRESHOLDS))],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, None, closed="left"), None],
        "schema": [dict, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        method: Literal["probe", "mutual_info", "anova", "chi2", "correlation"] = "probe",
        max_features: int | None = None,
        threshold: float | None = None,
        schema: Mapping[Any, str] | None = None,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.max_features = max_features
        self.threshold = threshold
        self.schema = schema
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
            verdict = self._judge(_judged(table, judged, target, draw_seed(self.random_state)))
            choice.enter(judged, verdict, self.max_features)
        choice.keep_one()
        kept = [c for c, is_kept in zip(columns, choice.support, strict=True) if is_kept]
        nothing = Part.of(table.schema, ())
        return Learnt(Part.of(table.schema, kept), nothing, attributes=choice.attributes())

    def _judge(self, judged: Judged) -> Verdict:
        threshold = THRESHOLDS[self.method] if self.threshold is None else float(self.threshold)
        return METHODS[self.method](judged, threshold)


class _Choice:
    """What becomes of each column, in the order of the table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.scores = np.full(len(columns), np.nan)
        self.support = np.array([c.kind is ColumnKind.TEXT for c in columns])
        self.reasons = [_why_not_judged(c) or "" for c in columns]

    def enter(self, judged: Sequence[Column], verdict: Verdict, most: int | None) -> None:
        """Keep what passes, but at most so many; say why."""
        support, reasons = verdict.decide(most)
        for i, column in enumerate(judged):
            self.scores[column.position] = verdict.scores[i]
            self.support[column.position] = support[i]
            self.reasons[column.position] = reasons[i]

    def keep_one(self) -> None:
        """Keep the best column if none is kept."""
        if not self.support.any():
            best = 0 if np.isnan(self.scores).all() else int(np.nanargmax(self.scores))
            self.support[best] = True
            self.reasons[best] = f"kept: the best of a table where none passes; {self.reasons[best].partition(': ')[2]}"

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes."""
        return {"scores_": self.scores, "support_": self.support, "reasons_": self.reasons}


def _judged(table: Table, columns: Sequence[Column], target: Target | None, seed: int) -> Judged:
    """Columns of a table that are judged, one number per cell."""
    rows = draw_rows(table.n_rows, _MAX_ROWS, seed)
    seen = table.take(rows)
    return Judged(
        tuple(c.name for c in columns),
        np.column_stack([_numbers(seen, c) for c in columns]),
        np.array([c.kind is ColumnKind.BOOLEAN or c.edge == "string" for c in columns]),
        np.zeros(len(rows)) if target is None else target.values[rows],
        1 if target is None else target.n_classes,
        seed,
    )


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
