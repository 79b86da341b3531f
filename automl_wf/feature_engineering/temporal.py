"""Dates and times of a table as calendar features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from automl_wf.core.compat import StrOptions
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Table
from automl_wf.feature_engineering.base import FeatureTransformer, Times
from automl_wf.feature_engineering.datetime_cycles import DatetimeCycles
from automl_wf.feature_engineering.datetime_parts import DatetimeParts
from automl_wf.feature_engineering.learnt import Learnt, columns_of, treat
from automl_wf.feature_engineering.table_transformer import TableTransformer
from automl_wf.problem_definition import Target


class TemporalFeatureEngineering(TableTransformer):
    """Make calendar features and elapsed time of dates and times.

    Treats the columns of dates and times, those written as text too; all others are handed on as they are, in front.
    Only parts of the calendar that vary are made: dates without a time of day have no hour. Times of a zone are read on
    its wall clock.

    Parameters
    ----------
    encoding : {"cycles", "parts"}, default="cycles"
        "cycles", for learners that multiply and add: sine and cosine of month, day of the year, weekday and time of
        day, the weekend, and elapsed time, standardised; what is missing is 0, with an indicator. "parts", for trees:
        year, month, day, weekday, hour … and elapsed days; what is missing stays missing. Both have the days between
        pairs of columns.
    schema : dict, default=None
        Kinds of columns that you know better: "numeric", "boolean", "categorical", "text" (its words count), "datetime"
        or "identifier" (not used), by column.

    Attributes
    ----------
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
    NumericalFeatureEngineering : Numbers and booleans.
    CategoricalFeatureEngineering : Categories and text.

    Examples
    --------
    >>> import pandas as pd
    >>> from automl_wf import TemporalFeatureEngineering
    >>> X = pd.DataFrame({"joined": pd.to_datetime(["2024-01-31", "2024-06-30"]), "age": [20, 30]})
    >>> features = TemporalFeatureEngineering(encoding="parts").fit(X)
    >>> features.transform(X)[["age", "joined_month", "joined_weekday"]]
       age  joined_month  joined_weekday
    0   20           1.0             2.0
    1   30           6.0             6.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "encoding": [StrOptions({"cycles", "parts"})],
        "schema": [dict, None],
    }

    def __init__(
        self, *, encoding: Literal["cycles", "parts"] = "cycles", schema: Mapping[Any, str] | None = None
    ) -> None:
        self.encoding = encoding
        self.schema = schema

    def _learn(self, table: Table, target: Target | None) -> Learnt:
        columns = columns_of(table.schema, ColumnKind.DATETIME)
        zones = [c.time_zone for c in columns]
        transformer: FeatureTransformer[Times] = DatetimeCycles(zones)
        if self.encoding == "parts":
            transformer = DatetimeParts(zones)
        return treat(table, columns, [(transformer, columns)])
