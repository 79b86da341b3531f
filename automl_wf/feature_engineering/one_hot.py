"""One column per common level, for learners that multiply and add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers, look_up


class OneHot(FeatureTransformer[Sequence[Strings]]):
    """A 0/1 column for each common level, and one for all rare ones together.

    A level not seen in training is the rarest there can be: it counts as rare. Where training had no rare level there
    is no such column, and the row is zero throughout. The missing string `""` is a level like any other.

    Parameters
    ----------
    min_rows : int, default=None
        Training rows a level needs to be common. None: a thousandth of the rows, at least 3.
    max_levels : int, default=50
        The commonest levels kept per column; of equally common ones those that sort first.

    Attributes
    ----------
    indices_ : list of dict
        Per column, common level → place of its feature within the column's features.
    has_rare_ : list of bool
        Per column, whether the last of its features stands for rare levels.
    """

    def __init__(self, min_rows: int | None = None, max_levels: int = 50) -> None:
        self.min_rows = min_rows
        self.max_levels = max_levels

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Find the common levels.

        Parameters
        ----------
        block : sequence of Strings
            One entry per column.
        y, weight : ignored

        Returns
        -------
        OneHot
        """
        counted = []
        for column in block:
            counts = np.bincount(column.codes, minlength=len(column.levels))
            counted.append({str(column.levels[i]): int(counts[i]) for i in np.flatnonzero(counts)})
        return self.fit_counts(counted, len(block[0].codes) if len(block) else 0)

    def fit_counts(self, counted: Sequence[dict[str, int]], n_rows: int) -> Self:
        """Find the common levels among counted ones; rows that are not counted have rare ones.

        Parameters
        ----------
        counted : sequence of dict
            Per column, level → rows.
        n_rows : int
            All rows.

        Returns
        -------
        OneHot
        """
        common = [self._common_levels(counts, n_rows) for counts in counted]
        self.indices_ = [{level: i for i, level in enumerate(levels)} for levels in common]
        self.has_rare_ = [
            bool(levels) and sum(counts[level] for level in levels) < n_rows
            for levels, counts in zip(common, counted, strict=True)
        ]
        self.n_features_out_ = sum(self.widths)
        return self

    def _common_levels(self, counts: dict[str, int], n_rows: int) -> list[str]:
        min_rows = max(3, math.ceil(n_rows / 1000)) if self.min_rows is None else self.min_rows
        ranked = sorted((-n, level) for level, n in counts.items() if n >= max(min_rows, 1))
        return sorted(level for _, level in ranked[: self.max_levels])

    @property
    def widths(self) -> list[int]:
        """Number of features of each column."""
        return [len(index) + has_rare for index, has_rare in zip(self.indices_, self.has_rare_, strict=True)]

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write zeros and ones."""
        out[:] = 0.0
        start = 0
        for column, index, width in zip(block, self.indices_, self.widths, strict=True):
            places = look_up(column, index, len(index))
            rows = np.flatnonzero(places < width)
            out[rows, start + places[rows]] = 1.0
            start += width

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_<level>`, `<column>_missing` for the missing string and `<column>_rare`."""
        found = []
        for name, index, has_rare in zip(input_names, self.indices_, self.has_rare_, strict=True):
            for level in index:
                meaning = f"is {level!r}" if level else "is missing"
                found.append(
                    Feature(f"{name}_{level or 'missing'}", "level", (name,), f"1 if {name} {meaning}, else 0")
                )
            if has_rare:
                formula = f"1 if {name} is none of its {len(index)} common levels, else 0"
                found.append(Feature(f"{name}_rare", "level", (name,), formula))
        return found
