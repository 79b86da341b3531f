"""Categories and text of a table as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

from automl_wf.core.compat import Interval, StrOptions
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Table
from automl_wf.feature_engineering.base import FeatureTransformer
from automl_wf.feature_engineering.category_codes import CategoryCodes
from automl_wf.feature_engineering.learnt import Learnt, columns_of, treat
from automl_wf.feature_engineering.one_hot import OneHot
from automl_wf.feature_engineering.table_transformer import TableTransformer, draw_seed
from automl_wf.feature_engineering.target_statistics import TargetStatistics
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.word_weights import WordWeights
from automl_wf.problem_definition import Target


class CategoricalFeatureEngineering(TableTransformer):
    """Make numbers of categories, and of the words of text.

    Treats the columns of categories and text; all others are handed on as they are, in front. Text is compared without
    regard to case, and a missing category is a category of its own. A column of text with another value in every row is
    an identifier: nothing is made of it, and it is not handed on.

    Parameters
    ----------
    encoding : {"one_hot", "codes", "target"}, default="one_hot"
        "one_hot": a column for each common level and one for all rare ones; of text also the weights of its words
        (tf-idf). "codes": the place of each level in the sorted vocabulary, -1 for unknown ones. "target": the smoothed
        mean of y per level, and the logarithm of its count; of text also a score of its words.
    max_levels : int, default=50
        Levels of each column that "one_hot" gives a column of their own: the commonest, if they are in a thousandth of
        the rows and in at least three.
    max_words : int, default=300
        Words of each column of text; pairs of neighbouring words, a third as many, come in addition.
    schema : dict, default=None
        Kinds of columns that you know better: "numeric", "boolean", "categorical", "text" (its words count), "datetime"
        or "identifier" (not used), by column.
    random_state : int, RandomState or None, default=None
        Seed of the parts that "target" is cross-fitted in.

    Attributes
    ----------
    feature_metadata_ : list of dict
        Name, kind, parents and formula of each column that comes out.
    schema_ : Schema
        What each input column is.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only if X was a frame with names.

    See Also
    --------
    NumericalFeatureEngineering : Numbers and booleans.
    sklearn.preprocessing.TargetEncoder : Means of the target, cross-fitted as well.

    Notes
    -----
    With `encoding="target"`, `fit(X, y).transform(X)` is not `fit_transform(X, y)`, as with scikit-learn's
    `TargetEncoder`: a training row must not see its own target, so that `fit_transform` gives each fifth of the rows
    what the others say. A pipeline does the right thing.

    Examples
    --------
    >>> import pandas as pd
    >>> from automl_wf import CategoricalFeatureEngineering
    >>> X = pd.DataFrame({"city": ["Oslo", "Rome"] * 3, "age": [20, 30, 40, 50, 60, 70]})
    >>> CategoricalFeatureEngineering().fit_transform(X).head(2)
       age  city_oslo  city_rome
    0   20        1.0        0.0
    1   30        0.0        1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "encoding": [StrOptions({"one_hot", "codes", "target"})],
        "max_levels": [Interval(Integral, 1, None, closed="left")],
        "max_words": [Interval(Integral, 1, None, closed="left")],
        "schema": [dict, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        encoding: Literal["one_hot", "codes", "target"] = "one_hot",
        max_levels: int = 50,
        max_words: int = 300,
        schema: Mapping[Any, str] | None = None,
        random_state: Any = None,
    ) -> None:
        self.encoding = encoding
        self.max_levels = max_levels
        self.max_words = max_words
        self.schema = schema
        self.random_state = random_state

    @property
    def _needs_target(self) -> bool:
        return self.encoding == "target"

    def _learn(self, table: Table, target: Target | None) -> Learnt:
        kinds = ColumnKind.CATEGORICAL, ColumnKind.TEXT
        categories, texts = columns_of(table.schema, *kinds), columns_of(table.schema, ColumnKind.TEXT)
        treated = columns_of(table.schema, *kinds, ColumnKind.IDENTIFIER)
        return treat(
            table,
            treated,
            self._assign(categories, texts, 1 if target is None else target.n_classes),
            target=target,
            seed=draw_seed(self.random_state),
        )

    def _assign(
        self, categories: Sequence[Column], texts: Sequence[Column], n_classes: int
    ) -> list[tuple[FeatureTransformer[Any], Sequence[Column]]]:
        n_words, n_pairs = self.max_words, self.max_words // 3
        if self.encoding == "codes":
            return [(CategoryCodes(), categories)]
        if self.encoding == "target":
            words = WordStatistics(n_classes, max_words=n_words, max_pairs=n_pairs)
            return [(TargetStatistics(n_classes), categories), (words, texts)]
        weights = WordWeights(max_words=n_words, max_pairs=n_pairs)
        return [(OneHot(max_levels=self.max_levels), categories), (weights, texts)]
