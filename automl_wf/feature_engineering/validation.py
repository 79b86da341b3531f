"""Whether engineered features can be trusted: the same bits each time, each row by itself, something in each column."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Table

#: Rows that features are validated on: enough to see what is wrong, few enough to cost nothing.
VALIDATED_ROWS = 200


class _View(Protocol):
    @property
    def feature_names(self) -> tuple[str, ...]: ...

    def transform(self, table: Table) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class FeatureValidation:
    """What was found out about the features of a view.

    Parameters
    ----------
    n_rows, n_features : int
        Size of the matrix that was looked at.
    is_repeatable : bool
        Whether a second call makes the same bits.
    is_row_wise : bool
        Whether a row alone has the features that it has among others.
    infinite : tuple of str
        Features with an infinite value.
    missing_share : float
        Share of missing values; learners that cannot take them are given another view.
    constant : tuple of str
        Features with one value on these rows.
    repeated : tuple of str
        Features that are equal to an earlier one on these rows.
    """

    n_rows: int
    n_features: int
    is_repeatable: bool
    is_row_wise: bool
    infinite: tuple[str, ...]
    missing_share: float
    constant: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Whether models may rely on the features; constant or repeated ones do no harm."""
        return self.is_repeatable and self.is_row_wise and not self.infinite

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "is_valid": self.is_valid}

    def __str__(self) -> str:
        faults = [
            *([] if self.is_repeatable else ["a second call differs"]),
            *([] if self.is_row_wise else ["a row alone differs"]),
            *([f"infinite: {', '.join(self.infinite)}"] if self.infinite else []),
        ]
        found = "; ".join(faults) or "repeatable, row by row, finite"
        return (
            f"{self.n_features} features on {self.n_rows} rows: {found}; "
            f"{self.missing_share:.1%} missing, {len(self.constant)} constant, {len(self.repeated)} repeated"
        )


def validate_features(view: _View, table: Table) -> FeatureValidation:
    """Look at the features of the first rows of a table.

    Parameters
    ----------
    view : fitted view
        Makes the features.
    table : Table
        Rows of its schema; at most 200 are looked at.

    Returns
    -------
    FeatureValidation
        Facts; nothing is changed or dropped for them.
    """
    rows = table.take(slice(0, VALIDATED_ROWS))
    X = view.transform(rows)
    alone = view.transform(rows.take(slice(0, 1)))
    # NaN differs from everything in a comparison, but not in its bytes.
    columns = [column.tobytes() for column in np.asfortranarray(X).T]
    first = {content: i for i, content in reversed(list(enumerate(columns)))}
    names = view.feature_names

    def named(at: Any) -> tuple[str, ...]:
        return tuple(names[i] for i in np.flatnonzero(at))

    return FeatureValidation(
        n_rows=len(X),
        n_features=X.shape[1],
        is_repeatable=X.tobytes() == view.transform(rows).tobytes(),
        is_row_wise=alone.tobytes() == X[:1].tobytes(),
        infinite=named(np.isinf(X).any(axis=0)),
        missing_share=float(np.isnan(X).mean()) if X.size else 0.0,
        constant=named([content == content[:8] * len(X) for content in columns]),
        repeated=named([first[content] < i for i, content in enumerate(columns)]),
    )
