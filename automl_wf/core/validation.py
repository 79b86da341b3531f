"""Checks of what comes beside X and y, in one wording."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.compat import check_sample_weight
from automl_wf.exceptions import InvalidInput, InvalidParameter

_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def read_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64] | None:
    """Sample weights as float64 of shape (n_rows,); None if there are none.

    Raises
    ------
    InvalidInput
        They are negative, missing, all zero, or of another shape.
    """
    if sample_weight is None:
        return None
    try:
        weights = check_sample_weight(
            sample_weight, np.zeros((n_rows, 1)), dtype=np.float64, ensure_non_negative=True, copy=True
        )
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    if not weights.sum() > 0:
        raise InvalidInput("Sample weights are all zero: no row would count.")
    return np.asarray(weights, dtype=np.float64)


def read_groups(groups: Any, n_rows: int) -> NDArray[np.int64] | None:
    """Group of each row as a code; None if there are none.

    Raises
    ------
    InvalidInput
        They are of another length, or missing for some rows.
    """
    if groups is None:
        return None
    values = pd.Series(np.asarray(groups).ravel() if not isinstance(groups, pd.Series) else groups.to_numpy())
    if len(values) != n_rows:
        raise InvalidInput(
            f"Found input variables with inconsistent numbers of samples: [{n_rows}, {len(values)}]. "
            "groups must have one entry per row of X."
        )
    codes, _ = pd.factorize(values, sort=values.map(type).nunique() == 1)
    if (codes < 0).any():
        raise InvalidInput(f"groups is missing in row {int(np.argmax(codes < 0))}: every row needs a group.")
    return np.asarray(codes, dtype=np.int64)


def read_bytes(limit: float | int | str | None, name: str) -> float | None:
    """Bytes of a limit such as 4e9 or "4GB".

    Raises
    ------
    InvalidParameter
        The text is no number with a unit.
    """
    if limit is None:
        return None
    if not isinstance(limit, str):
        return float(limit)
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", limit)
    if match is None or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise InvalidParameter(
            f"The '{name}' parameter must be a number of bytes or a text such as '4GB' or '512MiB'. "
            f"Got {limit!r} instead."
        )
    return float(match[1]) * _UNITS[match[2].upper()]
