"""Errors and warnings of automl_wf.

Every error is a `WorkflowError` *and* the builtin that a user would catch::

    WorkflowError
    ├── InvalidParameter        (ValueError)        a parameter of an estimator is not what it may be
    ├── InvalidInput            (ValueError)        X, y, groups or weights cannot be used as they are
    │   ├── InvalidTarget                           … because of y
    │   ├── InvalidCell                             … because of one cell: column, row and value are named
    │   └── MissingColumns                          … because columns known from `fit` are not there
    ├── UnknownCategory         (ValueError)        on_unknown="raise" met a category not seen in `fit`
    ├── MissingDependency       (ImportError)       an optional package is needed: the extra is named
    ├── OutOfTime               (TimeoutError)      a trial was stopped because its time was used up
    ├── NotExportable           (ValueError)        the fitted pipeline has no exact ONNX graph: the reason is given
    │   └── ParityError                             … because graph and `predict` differ
    └── PackageError            (ValueError)        a package folder is damaged, or something else is in its place
        └── PackageExists       (FileExistsError)   … export would overwrite what it did not write

    WorkflowWarning             (UserWarning)
    └── UnknownCategoryWarning                      on_unknown="warn" met a category not seen in `fit`
"""

from __future__ import annotations


class WorkflowError(Exception):
    """Base class of all errors raised by automl_wf."""


class InvalidParameter(WorkflowError, ValueError):
    """A parameter of an estimator is not what it may be."""


class InvalidInput(WorkflowError, ValueError):
    """X, y, groups or sample weights cannot be used as they are."""


class InvalidTarget(InvalidInput):
    """y cannot be used as a target."""


class InvalidCell(InvalidInput):
    """One cell of X cannot be read as the kind of its column."""


class MissingColumns(InvalidInput):
    """Columns known from `fit` are missing from X."""


class UnknownCategory(WorkflowError, ValueError):
    """A category was not seen in `fit` and `on_unknown="raise"`."""


class MissingDependency(WorkflowError, ImportError):
    """An optional package is needed for what was asked."""


class OutOfTime(WorkflowError, TimeoutError):
    """Work was stopped because its share of the time budget was used up."""


class NotExportable(WorkflowError, ValueError):
    """The fitted pipeline has no exact ONNX graph."""


class ParityError(NotExportable):
    """The ONNX graph and `predict` differ by more than the bound."""


class PackageError(WorkflowError, ValueError):
    """A package folder is damaged or cannot be used."""


class PackageExists(PackageError, FileExistsError):
    """Something that `export` did not write is in its way."""


class WorkflowWarning(UserWarning):
    """Base class of all warnings issued by automl_wf."""


class UnknownCategoryWarning(WorkflowWarning):
    """A category was not seen in `fit` and `on_unknown="warn"`."""
