"""Native category codes for learners that split on sets of categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import NDArray

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers, look_up, seen_levels


class CategoryCodes(FeatureTransformer[Sequence[Strings]]):
    """Place of each level in the sorted vocabulary: 0, 1, …; -1 for a level that is not in it.

    The code is a name, not a quantity. The missing string `""` is a level like any other where it occurs.

    Parameters
    ----------
    vocabularies : sequence of sequence of str, default=None
        Levels of each column in the order of their codes. None: the levels that occur in the rows given to `fit`,
        sorted by code point.

    Attributes
    ----------
    codes_ : list of dict
        Per column, level → code.
    """

    def __init__(self, vocabularies: Sequence[Sequence[str]] | None = None) -> None:
        self.vocabularies = vocabularies

    @property
    def is_fitted_on_rows(self) -> bool:
        """False when the vocabularies are given."""
        return self.vocabularies is None

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Number the levels.

        Parameters
        ----------
        block : sequence of Strings
            One entry per column.
        y, weight : ignored

        Returns
        -------
        CategoryCodes
        """
        given = self.vocabularies
        vocabularies = [seen_levels(column) for column in block] if given is None else given
        self.codes_ = [{level: code for code, level in enumerate(levels)} for levels in vocabularies]
        self.n_features_out_ = len(self.codes_)
        return self

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write one code per column."""
        for j, column in enumerate(block):
            out[:, j] = look_up(column, self.codes_[j], -1)

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """One per column, with its name."""
        return [
            Feature(
                name, "code", (name,), f"place of {name} among its {len(codes)} sorted levels, from 0; -1: none of them"
            )
            for name, codes in zip(input_names, self.codes_, strict=True)
        ]
