"""Numbers and booleans of a table, made ready for learners that multiply and add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from automl_wf.core.compat import StrOptions
from automl_wf.core.schema import ColumnKind
from automl_wf.core.table import Table
from automl_wf.feature_engineering.base import FeatureTransformer, Numbers
from automl_wf.feature_engineering.learnt import Learnt, columns_of, treat
from automl_wf.feature_engineering.numeric_pass import NumericPass
from automl_wf.feature_engineering.numeric_scaler import NumericScaler
from automl_wf.feature_engineering.piecewise_linear import PiecewiseLinear
from automl_wf.feature_engineering.table_transformer import TableTransformer
from automl_wf.problem_definition import Target


class NumericalFeatureEngineering(TableTransformer):
    """Fill gaps, clip extremes, take the logarithm of skewed columns, standardise, and tell where gaps were.

    Treats the columns of numbers and booleans, those written as text too ("1.5", "yes"); all others are handed on as
    they are, in front.

    Parameters
    ----------
    scaling : {"standard", "piecewise"} or None, default="standard"
        "standard": gaps are filled with the median and extremes are clipped; a skewed column becomes its signed
        logarithm; then mean 0 and standard deviation 1. A column with gaps in `fit` gets an indicator. "piecewise":
        the same, and for each bin between quantiles the share of the way that the number has come through it, so that
        a weighted sum of the features is a linear spline. None: numbers as they are, and gaps stay gaps.
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
    CategoricalFeatureEngineering : Categories and text.
    TemporalFeatureEngineering : Dates and times.

    Examples
    --------
    >>> import pandas as pd
    >>> from automl_wf import NumericalFeatureEngineering
    >>> X = pd.DataFrame({"age": [20.0, None, 40.0], "city": ["Oslo", "Rome", "Oslo"]})
    >>> features = NumericalFeatureEngineering().fit(X)
    >>> features.get_feature_names_out().tolist()
    ['city', 'age', 'age_missing']
    >>> features.transform(X)["age_missing"].tolist()
    [0.0, 1.0, 0.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scaling": [StrOptions({"standard", "piecewise"}), None],
        "schema": [dict, None],
    }

    def __init__(
        self,
        *,
        scaling: Literal["standard", "piecewise"] | None = "standard",
        schema: Mapping[Any, str] | None = None,
    ) -> None:
        self.scaling = scaling
        self.schema = schema

    def _learn(self, table: Table, target: Target | None) -> Learnt:
        columns = columns_of(table.schema, ColumnKind.NUMERIC, ColumnKind.BOOLEAN)
        transformer: FeatureTransformer[Numbers] = NumericScaler()
        if self.scaling == "piecewise":
            transformer = PiecewiseLinear()
        elif self.scaling is None:
            transformer = NumericPass().fit(np.empty((0, len(columns))))
        return treat(table, columns, [(transformer, columns)])
