"""What every feature transformer has in common: it turns one block of columns into one block of doubles.

A block holds columns of one edge: numbers (float64, NaN is missing), strings (codes into levels, "" is missing) or
times (int64 microseconds, the smallest int64 is missing); or columns of strings and of numbers, each by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from automl_wf.core.table import Strings

FeatureKind = Literal["numeric", "indicator", "code", "level", "statistic", "word", "calendar", "cycle", "constant"]
Numbers = NDArray[np.float64]
Times = NDArray[np.int64]
#: A column of strings, or numbers of which few differ.
Levels: TypeAlias = Strings | Numbers
Block = Numbers | Times | Sequence[Strings] | Sequence[Levels]
B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Feature:
    """One column of a view.

    Parameters
    ----------
    name : str
        Its name, unique within the view.
    kind : str
        numeric, indicator (0 or 1), code (native category code), level (one-hot), statistic (of the target),
        word (what a text holds), calendar, cycle or constant.
    parents : tuple of str
        The input columns it is made of.
    formula : str
        How it is made, in words.
    of_class : int or None
        Code of the class that it tells of; a formula calls it `class_words(of_class)` at its beginning.
    """

    name: str
    kind: FeatureKind
    parents: tuple[str, ...]
    formula: str
    of_class: int | None = None

    def told(self, classes: Sequence[Any] | None) -> str:
        """The formula, with the class called by its label where the labels are known."""
        if self.of_class is None or classes is None:
            return self.formula
        called = class_words(self.of_class)
        if not self.formula.startswith(called):
            return self.formula
        return f"share of class {classes[self.of_class]!r}{self.formula[len(called) :]}"


def class_words(code: int) -> str:
    """What a statistic of an indicator of a class is called while only its code is known."""
    return f"share of class number {code}"


class Described:
    """What follows from the features that a matrix has."""

    #: One per column of the matrix; names are unique.
    features: Any

    @property
    def n_features(self) -> int:
        """Columns of the matrix; at least 1."""
        return len(self.features)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Unique names of the columns."""
        return tuple(f.name for f in self.features)

    @property
    def parents(self) -> tuple[tuple[str, ...], ...]:
        """Input columns that each column is made of."""
        return tuple(f.parents for f in self.features)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each column, as in `Feature`."""
        return tuple(f.kind for f in self.features)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Places of native category codes."""
        return tuple(i for i, f in enumerate(self.features) if f.kind == "code")


class FeatureTransformer(TransformerMixin, BaseEstimator, ABC, Generic[B]):  # type: ignore[misc]
    """A deterministic function of one block of columns, possibly learnt from rows."""

    #: Whether `write` may be given the first columns of `out` as its block.
    is_in_place: ClassVar[bool] = False
    #: Whether the block is a list of columns by themselves, strings and numbers, and not all of one edge.
    takes_levels: ClassVar[bool] = False
    #: Number of features made; set by `fit`.
    n_features_out_: int

    @property
    def is_fitted_on_rows(self) -> bool:
        """Whether `fit` learns anything from rows, so that each fold needs a fit of its own."""
        return True

    @abstractmethod
    def fit(self, block: B, y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Learn from the training rows."""

    @abstractmethod
    def write(self, block: B, out: Numbers) -> None:
        """Write the features of `block` into `out` of shape (n_rows, n_features_out_)."""

    @abstractmethod
    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Describe the features made of columns with these names."""

    def write_training(
        self,
        block: B,
        y: NDArray[Any] | None,
        weight: Numbers | None,
        group: NDArray[Any] | None,
        out: Numbers,
    ) -> None:
        """Write the features of the very rows that were given to `fit`."""
        self.write(block, out)

    def feature_names(self, input_names: Sequence[str]) -> list[str]:
        """Names of the features made of columns with these names."""
        return [f.name for f in self.features(input_names)]

    def transform(self, block: B) -> Numbers:
        """Features of `block`, of shape (n_rows, n_features_out_)."""
        out = np.empty((n_rows(block), self.n_features_out_), dtype=np.float64, order="F")
        self.write(block, out)
        return out

    def fit_transform(
        self,
        block: B,
        y: NDArray[Any] | None = None,
        weight: Numbers | None = None,
        group: NDArray[Any] | None = None,
    ) -> Numbers:
        """Fit on `block` and return its features, cross-fitted where they depend on the target."""
        self.fit(block, y, weight)
        out = np.empty((n_rows(block), self.n_features_out_), dtype=np.float64, order="F")
        self.write_training(block, y, weight, group, out)
        return out


def n_rows(block: Block) -> int:
    """Rows of a block; 0 for a block of no string columns."""
    if isinstance(block, np.ndarray):
        return len(block)
    if not len(block):
        return 0
    return len(block[0].codes) if isinstance(block[0], Strings) else len(block[0])


def seen_levels(column: Strings) -> list[str]:
    """The levels that occur in a column, sorted by code point."""
    counts = np.bincount(column.codes, minlength=len(column.levels))
    return sorted(str(level) for level in column.levels[counts > 0])


def look_up(column: Strings, index: dict[str, int], default: int) -> NDArray[np.int64]:
    """Index of each row's level, computed once per level."""
    n_levels = len(column.levels)
    per_level = np.fromiter((index.get(level, default) for level in column.levels), dtype=np.int64, count=n_levels)
    return per_level[column.codes]
