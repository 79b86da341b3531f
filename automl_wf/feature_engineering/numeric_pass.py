"""Numbers as they are: trees want neither scaling nor imputation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers


class NumericPass(FeatureTransformer[Numbers]):
    """Hand numbers on unchanged; NaN stays NaN."""

    is_in_place: ClassVar[bool] = True

    @property
    def is_fitted_on_rows(self) -> bool:
        """False: nothing is learnt."""
        return False

    def fit(self, block: Numbers, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Note the number of columns.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            Numbers.
        y, weight : ignored

        Returns
        -------
        NumericPass
        """
        self.n_features_out_ = block.shape[1]
        return self

    def write(self, block: Numbers, out: Numbers) -> None:
        """Copy `block` to `out`, unless it already is there."""
        if not np.may_share_memory(block, out):
            out[:] = block

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """One per column, with its name."""
        return [Feature(name, "numeric", (name,), f"{name} as it is; missing stays missing") for name in input_names]
