"""Numbers for learners that multiply and add: no gaps, no extremes, comparable sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.core.budget import check_clock
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.gains import draw_rows

_LARGEST = 1e150
#: Rows that quantiles, skewness, mean and deviation are learnt from at most, drawn at random.
_MOST_ROWS = 500_000
#: Cells that are scaled at a time: more would leave the processor's cache, and ask the system for memory each time.
_CELLS_AT_ONCE = 1 << 17


class NumericScaler(FeatureTransformer[Numbers]):
    """Fill gaps, clip extremes, take the logarithm of skewed columns, standardise, and tell where gaps were.

    Per column, learnt from the training rows: gaps are filled with the median; values are clipped to
    [q − (Q − q), Q + (Q − q)] where q and Q are the quantiles `tail` and 1 − `tail` (the range, where they are equal):
    far enough to leave normal and uniform columns alone, near enough that no value is worth a thousand others; a
    column whose skewness is beyond `max_skewness`, and at least a quarter smaller afterwards, becomes
    sign(x) · log(1 + |x| / u) with u the median of |x|; then mean 0 and standard deviation 1. A column without
    variation becomes 0.

    Columns with gaps in training have an indicator, 1 where the value is missing. Weights are not used. Of more than
    500,000 rows as many are drawn at random to learn from; gaps are looked for in all.

    Parameters
    ----------
    tail : float, default=0.005
        Share of the rows beyond each of the two quantiles.
    max_skewness : float, default=2.0
        Largest absolute skewness that is left as it is.

    Attributes
    ----------
    fill_, lower_, upper_, unit_, center_, scale_ : ndarray of shape (n_columns,)
        What is filled in, the bounds, the unit of the logarithm (0: none), mean and standard deviation.
    gaps_ : ndarray of shape (n_indicators,)
        Places of the columns that have an indicator.
    """

    is_in_place: ClassVar[bool] = True

    def __init__(self, tail: float = 0.005, max_skewness: float = 2.0) -> None:
        self.tail = tail
        self.max_skewness = max_skewness

    def fit(self, block: Numbers, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn from the training rows.

        Parameters
        ----------
        block : ndarray of shape (n_rows, n_columns)
            Numbers; NaN is missing.
        y, weight : ignored

        Returns
        -------
        NumericScaler
        """
        seen = block[draw_rows(len(block), _MOST_ROWS, 0)] if len(block) > _MOST_ROWS else block
        return self.fit_samples(_sample(seen[:, j], block[:, j]) for j in range(block.shape[1]))

    def fit_samples(self, samples: Iterable[tuple[Numbers, float, bool]]) -> Self:
        """Learn from values that stand for the columns.

        Parameters
        ----------
        samples : iterable of (ndarray of shape (n_values,), float, bool)
            Per column, values that are not missing, the share of its rows that is, and whether it has an indicator.

        Returns
        -------
        NumericScaler
        """
        gaps, learnt = [], []
        for j, (values, share_missing, has_gaps) in enumerate(samples):
            check_clock("Learning how to scale numbers")
            learnt.append(_learn_column(values, share_missing, self.tail, self.max_skewness).row())
            if has_gaps:
                gaps.append(j)
        self.fill_, self.lower_, self.upper_, self.unit_, self.center_, self.scale_ = np.array(learnt).reshape(-1, 6).T
        self.gaps_ = np.array(gaps, dtype=np.int64)
        self.n_features_out_ = len(learnt) + len(gaps)
        return self

    def write(self, block: Numbers, out: Numbers) -> None:
        """Write the scaled columns, then the indicators; a few rows at a time."""
        n_columns, is_logged = len(self.fill_), np.flatnonzero(self.unit_)
        for rows in gen_batches(len(block), max(_CELLS_AT_ONCE // max(n_columns, 1), 1)):
            is_missing = np.isnan(block[rows])
            x = np.clip(np.where(is_missing, self.fill_, block[rows]), self.lower_, self.upper_)
            if len(is_logged):
                x[:, is_logged] = _signed_log(x[:, is_logged], self.unit_[is_logged])
            out[rows, :n_columns] = (x - self.center_) / self.scale_
            out[rows, n_columns:] = is_missing[:, self.gaps_]

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """One per column with its name, then `<column>_missing` for each indicator."""
        scaled = [Feature(name, "numeric", (name,), self.words(j, name)) for j, name in enumerate(input_names)]
        having_gaps = [input_names[j] for j in self.gaps_]
        missing = [Feature(f"{n}_missing", "indicator", (n,), f"1 if {n} is missing, else 0") for n in having_gaps]
        return scaled + missing

    def words(self, j: int, of: str) -> str:
        """What becomes of the column at place j, which is called `of`."""
        if self.lower_[j] == self.upper_[j]:
            return f"0, since {of} did not vary in training"
        filled = f"{of}, gaps filled by {self.fill_[j]:.6g}, held between {self.lower_[j]:.6g} and {self.upper_[j]:.6g}"
        if self.unit_[j]:
            filled += f", brought to sign(x) log(1 + |x| / {self.unit_[j]:.6g})"
        return f"{filled}, minus {self.center_[j]:.6g}, divided by {self.scale_[j]:.6g}"


def _sample(seen: Numbers, column: Numbers) -> tuple[Numbers, float, bool]:
    is_missing = np.isnan(seen)
    n_missing = int(is_missing.sum())
    has_gaps = n_missing > 0 or (len(seen) < len(column) and bool(np.isnan(column).any()))
    return seen[~is_missing] if n_missing else seen, n_missing / max(len(seen), 1), has_gaps


@dataclass(frozen=True)
class _Scaling:
    fill: float
    lower: float
    upper: float
    unit: float
    center: float
    scale: float

    def row(self) -> tuple[float, ...]:
        return self.fill, self.lower, self.upper, self.unit, self.center, self.scale


def _learn_column(values: Numbers, share: float, tail: float, max_skewness: float) -> _Scaling:
    if not len(values):
        return _Scaling(0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    values = np.clip(values, -_LARGEST, _LARGEST)
    low, fill, high = _quantiles(values, (tail, 0.5, 1 - tail))
    lower, upper = low - (high - low), high + (high - low)
    if low == high:
        lower, upper = float(values.min()), float(values.max())
    values = np.clip(values, lower, upper)
    if _is_constant(values):
        return _Scaling(fill, fill, fill, 0.0, fill, 1.0)
    unit = _log_unit(values, max_skewness)
    filled = np.array([fill])
    if unit:
        values, filled = _signed_log(values, unit), _signed_log(filled, unit)
    center = (1 - share) * float(values.mean()) + share * float(filled[0])
    variance = (1 - share) * float(np.square(values - center).mean()) + share * (float(filled[0]) - center) ** 2
    return _Scaling(fill, lower, upper, unit, center, float(np.sqrt(variance)))


def _quantiles(values: Numbers, at: Sequence[float]) -> list[float]:
    """Quantiles on straight lines between neighbours, as `numpy.quantile` has them: sorting is faster for few rows."""
    ordered = np.sort(values)
    places = np.asarray(at) * (len(ordered) - 1)
    below = places.astype(np.int64)
    low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    found: list[float] = (low + (high - low) * (places - below)).tolist()
    return found


def _is_constant(values: Numbers) -> bool:
    low, high = float(values.min()), float(values.max())
    smallest = 64 * float(np.finfo(np.float64).eps) * max(abs(low), abs(high))
    return high - low <= max(smallest, 1 / _LARGEST)


def _log_unit(values: Numbers, max_skewness: float) -> float:
    """Unit of the signed logarithm; 0 where it is not called for."""
    skewness = abs(_skewness(values))
    if skewness <= max_skewness:
        return 0.0
    sizes = np.abs(values)
    unit = float(np.median(sizes)) or float(sizes.mean())
    return unit if abs(_skewness(_signed_log(values, unit))) < 0.75 * skewness else 0.0


def _skewness(values: Numbers) -> float:
    z = values - values.mean()
    deviation = np.sqrt(np.mean(z * z))
    z /= deviation
    return float(np.mean(z * z * z))


def _signed_log(values: Numbers, unit: float | Numbers) -> Numbers:
    # log(1 + x), not log1p(x): the graph has no other, and both sides must agree.
    logged: Numbers = np.sign(values) * np.log(1.0 + np.abs(values) / unit)
    return logged
