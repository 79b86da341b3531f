"""Search spaces, declared without naming an optimiser: each dimension maps the unit interval to its values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Float:
    """A real number between `low` and `high`, on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False

    def from_unit(self, u: float) -> float:
        """Value at `u` in [0, 1]."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        return float(min(max(value, self.low), self.high))

    def to_unit(self, value: float) -> float:
        """Inverse of `from_unit`, clipped to [0, 1]."""
        if self.log:
            value = max(value, self.low)
            u = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            u = (value - self.low) / (self.high - self.low)
        return min(max(u, 0.0), 1.0)


@dataclass(frozen=True)
class Int:
    """An integer from `low` to `high`, both included, on a logarithmic scale if `log`."""

    low: int
    high: int
    log: bool = False

    def from_unit(self, u: float) -> int:
        """Value at `u` in [0, 1]."""
        value = Float(self.low, self.high, self.log).from_unit(u)
        return int(min(max(round(value), self.low), self.high))

    def to_unit(self, value: float) -> float:
        """Inverse of `from_unit`, clipped to [0, 1]."""
        return Float(self.low, self.high, self.log).to_unit(value)


@dataclass(frozen=True)
class Categorical:
    """One of `choices`."""

    choices: tuple[Any, ...]

    def from_unit(self, u: float) -> Any:
        """Value at `u` in [0, 1]."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def to_unit(self, value: Any) -> float:
        """Middle of the value's share of [0, 1]; 0.5 if it is none of the choices."""
        if value not in self.choices:
            return 0.5
        return (self.choices.index(value) + 0.5) / len(self.choices)


Dimension = Float | Int | Categorical
SearchSpace = Mapping[str, Dimension]


def from_unit(space: SearchSpace, point: list[float] | np.ndarray) -> dict[str, Any]:
    """Parameters at a point of the unit cube."""
    return {name: dimension.from_unit(float(u)) for (name, dimension), u in zip(space.items(), point, strict=True)}


def to_unit(space: SearchSpace, params: Mapping[str, Any]) -> list[float]:
    """Point of the unit cube for parameters; those not given lie in the middle."""
    return [d.to_unit(params[name]) if name in params else 0.5 for name, d in space.items()]
