"""Arithmetic on pairs of numbers for learners that multiply and add: no gaps, no extremes, comparable sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.base import Feature, Numbers
from automl_wf.feature_engineering.numeric_scaler import NumericScaler

#: What spreads less than this part of its operands, or of itself, holds little but rounding errors.
SMALLEST_SPREAD = 1e-6
_LARGEST = 1e150


class ScaledArithmetic(Arithmetic):
    """What `Arithmetic` makes, without gaps and extremes.

    Sums and differences in which two columns cancel, and quotients that are constant, are left out: scaling would blow
    rounding errors up to features, such as those of an amount in two currencies on a logarithmic scale.

    Attributes
    ----------
    scaler_ : NumericScaler
        Of the features that `Arithmetic` makes.
    """

    def fit(self, block: Numbers, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Choose operators and pairs, and learn the scale of what they make."""
        super().fit(block, y, weight)
        made = self._unscaled(block)
        keeps = np.array([not _is_rounding(block, pair, made[:, k]) for k, pair in enumerate(self.pairs_)], dtype=bool)
        self.pairs_ = [pair for pair, is_kept in zip(self.pairs_, keeps, strict=True) if is_kept]
        self.scaler_ = NumericScaler().fit(made[:, keeps])
        self.n_features_out_ = self.scaler_.n_features_out_
        return self

    def _unscaled(self, block: Numbers) -> Numbers:
        made = np.empty((len(block), len(self.pairs_)), order="F")
        super().write(block, made)
        return made

    def write(self, block: Numbers, out: Numbers) -> None:
        """Write the scaled features, then the indicators."""
        self.scaler_.write(self._unscaled(block), out)

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named as those of `Arithmetic`, then `<name>_missing` for each indicator."""
        made = super().features(input_names)
        named = self.scaler_.features([f.name for f in made])
        told = self.scaler_.features([f"({f.formula})" for f in made])
        parents = [f.parents for f in made] + [made[j].parents for j in self.scaler_.gaps_]
        return [
            replace(name, formula=formula.formula, parents=of)
            for name, formula, of in zip(named, told, parents, strict=True)
        ]


def _is_rounding(block: Numbers, pair: tuple[str, int, int], made: Numbers) -> bool:
    operator, i, j = pair
    is_sum = operator in ("plus", "minus")
    size = max(_spread(block[:, i]), _spread(block[:, j])) if is_sum else _size(made)
    return _spread(made) < SMALLEST_SPREAD * size


def _spread(values: Numbers) -> float:
    """How far apart the bulk of the values is; 0 where there are none."""
    present = _present(values)
    return float(np.subtract(*np.quantile(present, [0.995, 0.005]))) if len(present) else 0.0


def _size(values: Numbers) -> float:
    """Median size; 0 where there are none."""
    present = _present(values)
    return float(np.median(np.abs(present))) if len(present) else 0.0


def _present(values: Numbers) -> Numbers:
    present: Numbers = np.clip(values[~np.isnan(values)], -_LARGEST, _LARGEST)
    return present
