"""What the public transformers share: columns of their kind become features, all others are handed on as they are.

They are made of the same block transformers as the views of `plan.py`, for anyone's `sklearn.pipeline.Pipeline`: a
frame makes a frame, an array makes an array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from automl_wf.core.compat import check_parameters
from automl_wf.core.frame import learn_schema, take_rows
from automl_wf.core.table import Table
from automl_wf.exceptions import InvalidInput, NotExportable
from automl_wf.feature_engineering.base import Numbers
from automl_wf.feature_engineering.learnt import Learnt, Raw
from automl_wf.feature_engineering.learnt_onnx import Stage, build_graph
from automl_wf.problem_definition import Target, read_target

if TYPE_CHECKING:
    from onnx import ModelProto

#: For `take_rows`.
_EVERY_ROW = slice(None)


def draw_seed(random_state: Any) -> int:
    """A seed for one `fit`."""
    return int(check_random_state(random_state).randint(2**31 - 1))


class TableTransformer(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Columns of one kind become features; all others are handed on."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    schema: Mapping[Any, str] | None

    @property
    def _needs_target(self) -> bool:
        """Whether `fit` learns from y."""
        return False

    @abstractmethod
    def _learn(self, table: Table, target: Target | None) -> Learnt:
        """Learn from the training rows; `target` is there if it is needed."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._needs_target
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_learnt")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what each column is, and what the features of its kind need to know.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: numbers, booleans, text, categories, dates, gaps and all.
        y : array-like of shape (n_samples,), default=None
            Classes or values; read only where features are learnt from them. Text, booleans and at most 20 distinct
            whole numbers are classes.

        Returns
        -------
        TableTransformer
            This transformer, fitted.

        Raises
        ------
        InvalidParameter
            A parameter is not what it may be.
        InvalidInput
            X or y cannot be used.
        """
        self._fit(self._given(X), y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, and return the features of the same rows; those that depend on the target are cross-fitted.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table.
        y : array-like of shape (n_samples,), default=None
            Classes or values, as in `fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_features_out)
            As `transform` returns it.

        Raises
        ------
        InvalidParameter
            A parameter is not what it may be.
        InvalidInput
            X or y cannot be used.
        """
        raw = self._given(X)
        table, target = self._fit(raw, y)
        rows = self._learnt.treated.within(table)
        return self._arrange(raw, self._learnt.make_training(rows, None if target is None else target.values))

    def transform(self, X: Any) -> Any:
        """Columns that are handed on, then features.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`, in its order.

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_features_out)
            A frame for a frame, with its index and, in columns that are handed on, its dtypes. An array for an array:
            float64 if all columns that are handed on are numbers, otherwise of objects.

        Raises
        ------
        InvalidInput
            X has other columns than in `fit`.
        InvalidCell
            A cell of a column that features are made of cannot be read; column, row and value are named.
        """
        check_is_fitted(self)
        raw = take_rows(X, _EVERY_ROW)
        try:
            validate_data(self, raw, reset=False, skip_check_array=True)
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        return self._arrange(raw, self._learnt.make(self._learnt.treated.read(raw, type(self).__name__)))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of what `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input columns. None: those of `fit`, or `x0`, `x1` … if it was given none.

        Returns
        -------
        ndarray of shape (n_features_out,)
            The names.

        Raises
        ------
        InvalidInput
            `input_features` are not the names of `fit`, or not as many.
        """
        check_is_fitted(self)
        return np.asarray([facts["name"] for facts in self._learnt.metadata(self._names_in(input_features))], object)

    def to_onnx(self) -> ModelProto:
        """What `transform` does as one ONNX graph in double precision, from raw columns on.

        `metadata_props` holds `inputs` and `outputs` as JSON: for each column its name, the input or output that holds
        it, its place therein, and how its cells are read (`edge`: double, string or int64; `cell_format`: how they are
        written).

        Returns
        -------
        ModelProto
            Inputs: one of shape (n, 1) for each column of a frame that something is made of or that is handed on, with
            its name if the graph can have it, otherwise `f<i>`; or the tensor `X` of shape (n, n_features_in) after a
            fit on an array of numbers. Missing is NaN, "" or the smallest int64; times are microseconds since
            1970-01-01, those of a zone in UTC. Outputs: `features` of shape (n, n_numbers) holds all columns that come
            out as numbers, in the order of `get_feature_names_out`, those that are handed on included; a text, category
            or time that is handed on comes out as it went in, as `<input>_out` of shape (n, 1).

        Raises
        ------
        NotExportable
            Nothing comes out, or the graph is too large for one file.

        See Also
        --------
        pipeline_to_onnx : Several transformers as one graph.
        """
        return graph_of([(type(self).__name__, self)])

    def _names_in(self, input_features: Any = None) -> list[str]:
        try:
            # What is public of scikit-learn's check of names.
            return list(OneToOneFeatureMixin.get_feature_names_out(self, input_features))
        except ValueError as error:
            raise InvalidInput(str(error)) from None

    def _given(self, X: Any) -> Raw:
        """X as it was given, after a look at the parameters."""
        check_parameters(self._parameter_constraints, self.get_params(deep=False), type(self).__name__)
        return take_rows(X, _EVERY_ROW)

    def _fit(self, raw: Raw, y: Any) -> tuple[Table, Target | None]:
        schema, table, _ = learn_schema(raw, self.schema)
        target = read_target(y, "auto", table.n_rows, type(self).__name__) if self._needs_target else None
        learnt = self._learn(table, target)
        validate_data(self, raw, reset=True, skip_check_array=True)
        self._learnt = learnt
        self._is_of_array = not isinstance(raw, pd.DataFrame)
        self.schema_ = schema
        self.feature_metadata_ = learnt.metadata(self._names_in())
        for name, value in learnt.attributes.items():
            setattr(self, name, value)
        return table, target

    def _arrange(self, raw: Raw, made: Numbers) -> Raw:
        """What is handed on and what is made, side by side."""
        part = self._learnt.handed_on
        cells = part.take(raw)
        if isinstance(cells, pd.DataFrame):
            out = pd.concat([cells, pd.DataFrame(made, index=cells.index)], axis=1)
            return out.set_axis(list(self.get_feature_names_out()), axis=1)
        if cells.dtype.kind in "biuf":
            return np.hstack([cells.astype(np.float64), made])
        if part.holds_numbers_only:
            return np.hstack([part.read(raw, type(self).__name__).numbers(range(len(part.places))), made])
        objects: NDArray[Any] = pd.concat([pd.DataFrame(cells), pd.DataFrame(made)], axis=1).to_numpy(dtype=object)
        return objects


def graph_of(chain: Sequence[tuple[str, TableTransformer]]) -> ModelProto:
    """Fitted transformers, each on what the one before it gives, as one graph.

    Parameters
    ----------
    chain : sequence of (str, TableTransformer)
        What messages call it, and the transformer; at least one.

    Returns
    -------
    ModelProto
        As `TableTransformer.to_onnx` describes it.

    Raises
    ------
    NotExportable
        A transformer was not fitted on what the one before it gives, two of them read one column in two ways, nothing
        comes out, or the graph is too large for one file.
    """
    for _, transformer in chain:
        check_is_fitted(transformer)
    for (before, first), (after, second) in pairwise(chain):
        given, expected = first.get_feature_names_out(), getattr(second, "feature_names_in_", None)
        if len(given) != second.n_features_in_ or (expected is not None and list(expected) != list(given)):
            raise NotExportable(f"{after!r} was not fitted on what {before!r} gives: fit the pipeline as a whole.")
    _, first = chain[0]
    stages = [Stage(name, transformer._learnt, transformer._is_of_array) for name, transformer in chain]
    return build_graph(first.schema_, first._names_in(), stages)
