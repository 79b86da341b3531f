"""y as users bring it → Target: which task it is, and the numbers that models are given."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from automl_wf.core.findings import Finding
from automl_wf.core.spelled_numbers import MAX_CLASSES, read_spelled_numbers
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidTarget

#: Whole numbers with at most this many distinct values are taken for classes when the task is "auto".
MAX_INTEGER_CLASSES = MAX_CLASSES


@dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Parameters
    ----------
    task : Task
        The task that y implies or the user named.
    values : ndarray of shape (n_rows,)
        Class codes (int64), values or relevance grades (float64).
    classes : ndarray of shape (n_classes,) or None
        Sorted class labels, as the user wrote them.
    name : str
        Name of y if it has one, else "y".
    findings : tuple of Finding
        What the user should know about y.
    """

    task: Task
    values: NDArray[Any]
    classes: NDArray[Any] | None
    name: str
    findings: tuple[Finding, ...] = ()

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for values and scores."""
        return 1 if self.classes is None else len(self.classes)


def read_target(y: Any, task: str, n_rows: int, owner: str) -> Target:
    """Check y and decide the task.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Classes, values or relevance grades.
    task : {"auto", "classification", "regression", "ranking"}
        The user's word.
    n_rows : int
        Rows of X.
    owner : str
        Name of the estimator, for messages.

    Returns
    -------
    Target
        Task and encoded values.

    Raises
    ------
    InvalidTarget
        y is missing, of another length, has several columns, gaps, infinities, one class only, or text where numbers
        are needed.
    """
    values, name = _read_vector(y, n_rows, owner)
    findings: tuple[Finding, ...] = ()
    if task == "auto":
        family, findings = _infer_family(values)
    else:
        family = task
    if family == "classification":
        return _classes(values, name, findings)
    return Target(Task(family), _numbers(values, family), None, name, findings)


def read_labels(y: Any, n_rows: int, owner: str) -> NDArray[Any]:
    """Labels as they are told apart, for rows that are only a part of the table: one class is enough.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Classes.
    n_rows : int
        Rows of X.
    owner : str
        Name of what asks, for messages.

    Returns
    -------
    ndarray of shape (n_rows,)
        Text as objects, numbers or booleans.

    Raises
    ------
    InvalidTarget
        y is missing, of another length, has several columns or gaps, or its labels are no classes.
    """
    return _plain_labels(_read_vector(y, n_rows, owner)[0])


def encode_labels(y: Any, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Codes of labels whose classes are known.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels.
    classes : ndarray of shape (n_classes,)
        The classes, in the order of their codes.

    Returns
    -------
    ndarray of shape (n_rows,)
        Codes.

    Raises
    ------
    InvalidTarget
        A label is none of the classes.
    """
    values = np.asarray(y).ravel().tolist()
    place = {label: code for code, label in enumerate(classes.tolist())}
    unknown = sorted({repr(v) for v in values if v not in place})
    if unknown:
        raise InvalidTarget(f"y holds classes that were not in fit: {', '.join(unknown[:5])}.")
    return np.array([place[v] for v in values], dtype=np.int64)


def _read_vector(y: Any, n_rows: int, owner: str) -> tuple[NDArray[Any], str]:
    values, name = _as_vector(y, owner)
    if len(values) != n_rows:
        raise InvalidTarget(
            f"Found input variables with inconsistent numbers of samples: [{n_rows}, {len(values)}]. "
            "X and y must have one entry per row each."
        )
    _check_gaps(values)
    return values, name


def _as_vector(y: Any, owner: str) -> tuple[NDArray[Any], str]:
    if y is None:
        raise InvalidTarget(f"{owner} requires y to be passed, but the target y is None.")
    if isinstance(y, (str, bytes)):
        raise InvalidTarget(
            f"y must hold the values to predict, one per row; got the text {y!r}. "
            f"If it names a column: y = X.pop({y!r}), then fit(X, y)."
        )
    name = str(y.name) if isinstance(y, pd.Series) and y.name is not None else "y"
    if isinstance(y, pd.DataFrame):
        name = str(y.columns[0]) if y.shape[1] == 1 else name
    if isinstance(y, pd.Series) and (isinstance(y.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(y.dtype)):
        values = y.to_numpy(dtype=object)
    elif isinstance(y, pd.Series) and pd.api.types.is_extension_array_dtype(y.dtype):
        values = y.to_numpy(dtype=object) if y.isna().any() else y.to_numpy()
    else:
        values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,), "
            "for example using ravel().",
            DataConversionWarning,
            stacklevel=5,
        )
        values = values.ravel()
    if values.ndim != 1:
        raise InvalidTarget(
            f"y should be a 1d array, got an array of shape {values.shape} instead. "
            "One estimator predicts one target: fit one for each column, or use sklearn.multioutput."
        )
    if values.dtype.kind == "c":
        raise InvalidTarget("Complex data not supported: y holds complex numbers.")
    return values, name


def _check_gaps(values: NDArray[Any]) -> None:
    missing = pd.isna(values)
    if missing.any():
        raise InvalidTarget(
            f"Input y contains NaN. {int(missing.sum())} of {len(values)} targets are missing, the first in row "
            f"{int(np.argmax(missing))}. Leave these rows out: keep = y.notna(); fit(X[keep], y[keep])."
        )
    if values.dtype.kind == "f":
        _check_finite(values)


def _check_finite(values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise InvalidTarget(
            f"Input y contains infinity or a value too large for dtype('float64'). The first is in row {row}."
        )


def _infer_family(values: NDArray[Any]) -> tuple[str, tuple[Finding, ...]]:
    _check_no_dates(values)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if values.dtype.kind not in "iuf" and kind not in ("integer", "floating", "mixed-integer-float", "decimal"):
        _check_not_spelled(values)
        return "classification", ()
    numbers = values.astype(np.float64)
    n_distinct = len(np.unique(numbers))
    if n_distinct <= MAX_INTEGER_CLASSES and bool((numbers == np.round(numbers)).all()):
        family, other = "classification", "regression"
        why = f"y holds {n_distinct} distinct whole numbers"
    else:
        family, other = "regression", "classification"
        why = f"y holds {n_distinct} distinct numbers"
    finding = Finding(
        "task_inferred", "info", f"{why}, so this is {family}.", f"Set task={other!r} if that is what you mean."
    )
    return family, (finding,)


def _check_not_spelled(values: NDArray[Any]) -> None:
    """Text that spells numbers would be as many classes as there are numbers: nobody means that."""
    spelled = read_spelled_numbers(values) if values.dtype.kind in "OUT" else None
    if spelled is not None and spelled.are_no_classes:
        text, number = spelled.example
        raise InvalidTarget(
            f"y is text that spells {spelled.n_distinct} different numbers ({text!r} is {number:.15g}): they would be "
            f"{spelled.n_distinct} classes. Convert y to numbers, or set task='classification' if they are classes."
            f"{' No numbers are ' + spelled.unreadable_cells + '.' if spelled.unreadable else ''}"
        )


def _check_no_dates(values: NDArray[Any]) -> None:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in ("datetime", "datetime64", "date", "timedelta", "timedelta64", "period"):
        raise InvalidTarget("y holds dates or durations: convert them to numbers, such as days until the event.")


def _classes(values: NDArray[Any], name: str, findings: tuple[Finding, ...]) -> Target:
    values = _plain_labels(values)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        hint = " If y is a quantity, set task='regression' (--task regression)." if values.dtype.kind in "iuf" else ""
        raise InvalidTarget(
            f"y holds one class only ({classes.tolist()[0]!r}): there is nothing to tell apart. "
            f"A classifier needs rows of at least two classes.{hint}"
        )
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    return Target(task, codes.astype(np.int64), classes, name, findings)


def _plain_labels(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == object:
        values = _plain(values)
    try:
        check_classification_targets(values)
    except (TypeError, ValueError) as error:
        raise InvalidTarget(str(error)) from None
    return values


def _plain(values: NDArray[np.object_]) -> NDArray[Any]:
    """Objects as the narrowest plain dtype, mixed kinds as text."""
    kinds = {type(v) for v in values}
    if kinds <= {str, np.str_}:
        return values.astype(str).astype(object)
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    try:
        return np.asarray(values.tolist())
    except ValueError:
        raise InvalidTarget(f"Unknown label type: y holds {sorted(k.__name__ for k in kinds)}; use one kind.") from None


def _numbers(values: NDArray[Any], family: str) -> NDArray[np.float64]:
    _check_no_dates(values)
    try:
        numbers: NDArray[np.float64] = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        example = next((v for v in values.tolist() if not isinstance(v, (int, float))), values[0])
        raise InvalidTarget(
            f"Unknown label type: y must hold numbers for {family}, got {example!r}. "
            "Convert y to numbers, or set task='classification'."
        ) from None
    _check_finite(numbers)
    return numbers
