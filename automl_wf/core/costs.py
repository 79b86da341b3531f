"""What errors cost: a matrix over pairs of classes, or money per unit of error; and the decision that costs least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """Cost of each decision, by the true class (row) and the class decided on (column).

    Negative costs are gains. The first row and column belong to class code 0.

    Parameters
    ----------
    matrix : tuple of tuple of float
        Square; nothing in a row is smaller than its diagonal: being right costs least.

    Examples
    --------
    >>> Costs(((0.0, 1.0), (9.0, 0.0))).threshold
    0.1
    """

    matrix: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, matrix: Any) -> Costs:
        """From an array-like of shape (n_classes, n_classes)."""
        return cls(tuple(tuple(row) for row in np.asarray(matrix, dtype=np.float64).tolist()))

    @property
    def array(self) -> Floats:
        """The matrix, of shape (n_classes, n_classes)."""
        return np.array(self.matrix, dtype=np.float64)

    @property
    def threshold(self) -> float:
        """Probability of class 1 from which on deciding for it costs least (two classes).

        With c(d, t) the cost of deciding d where t is true: (c(1, 0) − c(0, 0)) over itself plus (c(0, 1) − c(1, 1)).
        It holds for calibrated probabilities [1]_.

        References
        ----------
        .. [1] C. Elkan, The foundations of cost-sensitive learning, IJCAI 2001.
        """
        (right_0, false_1), (false_0, right_1) = self.matrix
        return (false_1 - right_0) / ((false_1 - right_0) + (false_0 - right_1))

    @property
    def rule(self) -> float | Costs:
        """The decision that costs least, as `decide` takes it: a threshold, or with more than two classes itself."""
        return self.threshold if len(self.matrix) == 2 else self.scaled()

    def scaled(self) -> Costs:
        """Costs beyond those of being right, the largest of them 1: they lead to the same decisions."""
        excess = self.array - self.array.diagonal()[:, None]
        return Costs.of(excess / excess.max())

    def reversed(self) -> Costs:
        """The same with the classes in the opposite order."""
        return Costs.of(self.array[::-1, ::-1])

    def of_rows(self, y: NDArray[np.int64], codes: NDArray[np.int64]) -> Floats:
        """Cost of each row, of shape (n_rows,), from its true class and the one decided on."""
        costs: Floats = self.array[y, codes]
        return costs

    def expected(self, proba: Floats) -> Floats:
        """Expected cost of deciding for each class, of shape (n_rows, n_classes)."""
        # Not BLAS: its sums may differ in the last bit with the number of threads.
        costs: Floats = np.einsum("nt,td->nd", proba, self.array)
        return costs


@dataclass(frozen=True)
class UnitCosts:
    """Money per unit of error, upwards and downwards: piecewise linear, as for goods that spoil or sales that are lost.

    Parameters
    ----------
    over, under : float
        Cost of predicting one unit too much, and one too little; not negative, not both 0.
    """

    over: float
    under: float

    @property
    def level(self) -> float:
        """Quantile of the truth that costs least when predicted: under / (over + under) [1]_.

        References
        ----------
        .. [1] R. Koenker and G. Bassett, Regression quantiles, Econometrica 46, 1978.
        """
        return self.under / (self.over + self.under)

    def shift(self, residual: Floats, weight: Floats | None = None) -> float:
        """What to add to predictions so that errors cost least: the weighted quantile of the residuals at `level`."""
        return float(np.quantile(residual, self.level, weights=weight, method="inverted_cdf"))

    def of_rows(self, y: Floats, value: Floats) -> Floats:
        """Cost of each row, of shape (n_rows,)."""
        error = value - y
        costs: Floats = self.over * np.maximum(error, 0.0) + self.under * np.maximum(-error, 0.0)
        return costs


#: How a class is decided on: from this probability of class 1 on (binary), by least expected cost, or (None) the most
#: probable one.
DecisionRule = float | Costs | None
