"""Coercion and features as one object: what `transform` uses, and preprocessor.pkl of a package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from automl_wf.core.frame import read_table
from automl_wf.core.schema import Schema
from automl_wf.feature_engineering.plan import FittedView


class Preprocessor:
    """Raw rows → engineered features, fitted on all rows.

    Parameters
    ----------
    schema : Schema
        How cells are read.
    view : FittedView
        Which features are made.
    owner : str
        Name of the estimator, for messages.
    """

    def __init__(self, schema: Schema, view: FittedView, owner: str) -> None:
        self.schema, self.view, self.owner = schema, view, owner

    def transform(self, X: Any) -> pd.DataFrame:
        """Features of new rows, one column per feature.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            Raw rows.

        Returns
        -------
        DataFrame of shape (n_rows, n_features)
            Doubles; category codes are whole numbers, -1 for unknown.
        """
        features = self.view.transform(read_table(X, self.schema, owner=self.owner))
        index = X.index if isinstance(X, pd.DataFrame) else None
        return pd.DataFrame(features, columns=list(self.view.feature_names), index=index)

    def get_feature_names_out(self) -> np.ndarray:
        """Names of the features."""
        return np.asarray(self.view.feature_names, dtype=object)
