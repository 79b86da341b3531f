"""Numbers spread over their quantile bins, so that a weighted sum of features can bend: linear splines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.numeric_scaler import NumericScaler

_ROWS_AT_ONCE = 1 << 12
_LARGEST = 1e150
_EPSILON = 64 * float(np.finfo(np.float64).eps)


class PiecewiseLinear(FeatureTransformer[Numbers]):
    r"""Scaled numbers, and how far each has come through each of its quantile bins [1]_.

    Beside what `NumericScaler` makes of it, a column with the distinct quantiles :math:`k_0 < \dots < k_m`,
    :math:`m \ge 2`, has the features

    .. math:: r_i(x) = \frac{\min(\max(x, k_i), k_{i+1}) - k_i}{k_{i+1} - k_i}, \quad 0 \le i < m

    0 below the bin and 1 above it: weighted sums of them are the linear splines with these knots, constant beyond the
    outer ones. Gaps count as the median. Weights are not used.

    Parameters
    ----------
    n_bins : int, default=8
        Bins of a column; fewer where quantiles are equal.
    tail : float, default=0.005
        Share of the rows beyond each of the outer knots.

    Attributes
    ----------
    scaler_ : NumericScaler
        Makes the features that come first.
    columns_ : ndarray of shape (n_ramps,)
        Place of the column of each further feature.
    lower_, upper_ : ndarray of shape (n_ramps,)
        Its bin.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko (2022). On embeddings for numerical features in tabular deep learning.
       NeurIPS (the encoding for neural networks).
    """

    is_in_place: ClassVar[bool] = True

    def __init__(self, n_bins: int = 8, tail: float = 0.005) -> None:
        self.n_bins = n_bins
        self.tail = tail

    def fit(self, block: Numbers, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn from the training rows.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            Numbers; NaN is missing.
        y, weight : ignored

        Returns
        -------
        PiecewiseLinear
        """
        levels = np.linspace(self.tail, 1 - self.tail, self.n_bins + 1)
        bins = []
        for j, column in enumerate(block.T):
            knots = quantile_knots(column[~np.isnan(column)], levels)
            if len(knots) > 2:
                bins += [(j, lower, upper) for lower, upper in pairwise(knots)]
        self.scaler_ = NumericScaler().fit(block)
        self.columns_ = np.array([j for j, _, _ in bins], dtype=np.int64)
        self.lower_ = np.array([lower for _, lower, _ in bins], dtype=np.float64)
        self.upper_ = np.array([upper for _, _, upper in bins], dtype=np.float64)
        self.n_features_out_ = self.scaler_.n_features_out_ + len(bins)
        return self

    def write(self, block: Numbers, out: Numbers) -> None:
        """Write scaled columns, indicators and ramps; a few thousand rows at a time."""
        n_scaled = self.scaler_.n_features_out_
        for rows in gen_batches(len(block), _ROWS_AT_ONCE):
            filled = np.where(np.isnan(block[rows]), self.scaler_.fill_, block[rows])
            out[rows, n_scaled:] = ramp(filled[:, self.columns_], self.lower_, self.upper_)
            # Last: the block may be the first columns of `out`.
            self.scaler_.write(block[rows], out[rows, :n_scaled])

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Those of the scaler, then `<column>_from_<lower>` for each bin."""
        return self.scaler_.features(input_names) + [
            Feature(
                f"{input_names[j]}_from_{lower:.6g}",
                "numeric",
                (input_names[j],),
                f"share of the way from {lower:.6g} to {upper:.6g} that {input_names[j]} has come "
                f"(missing: {self.scaler_.fill_[j]:.6g})",
            )
            for j, lower, upper in zip(self.columns_.tolist(), self.lower_.tolist(), self.upper_.tolist(), strict=True)
        ]


def quantile_knots(values: Numbers, levels: Numbers) -> Numbers:
    """Distinct quantiles, ascending, all of them values that occur.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Numbers without gaps; those beyond ±1e150 count as ±1e150.
    levels : ndarray of shape (n_levels,)
        Ascending, between 0 and 1.

    Returns
    -------
    ndarray of shape (n_knots,)
        None for no values. Of quantiles that only rounding tells apart the first.
    """
    if not len(values):
        return np.empty(0)
    found = np.quantile(np.clip(values, -_LARGEST, _LARGEST), levels, method="inverted_cdf")
    knots = [float(found[0])]
    for knot in found[1:].tolist():
        if knot - knots[-1] > max(_EPSILON * max(abs(knot), abs(knots[-1])), 1 / _LARGEST):
            knots.append(knot)
    return np.array(knots)


def ramp(x: Numbers, lower: Numbers, upper: Numbers) -> Numbers:
    """How far x lies between `lower` and `upper`: 0 below, 1 above, linear within."""
    # Divided, not multiplied by a reciprocal: the graph divides too, and both come to the same bits.
    share: Numbers = (np.minimum(np.maximum(x, lower), upper) - lower) / (upper - lower)
    return share
