"""Pairs of columns: arithmetic of numbers and crosses of categories, chosen by what they tell of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np

from automl_wf.core.compat import Interval, StrOptions
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Strings, Table
from automl_wf.feature_engineering.arithmetic import Arithmetic
from automl_wf.feature_engineering.base import FeatureTransformer
from automl_wf.feature_engineering.category_crosses import CategoryCrosses
from automl_wf.feature_engineering.learnt import Learnt, columns_of, treat
from automl_wf.feature_engineering.scaled_arithmetic import ScaledArithmetic
from automl_wf.feature_engineering.selected_view import WIDE
from automl_wf.feature_engineering.table_transformer import TableTransformer, draw_seed
from automl_wf.problem_definition import Target

#: Different values that a number has at most which is crossed like a category.
_MAX_CROSSED_NUMBERS = 30


class InteractionFeatures(TableTransformer):
    """Add the most useful sums, differences, products and quotients of two numbers, and crosses of two categories.

    Arithmetic: candidates are all pairs of the columns that a small gradient boosting on single columns gains most by;
    a second one is given the candidates too, and those that it gains most by are made. Crosses: of a category and
    another one, a boolean or a whole number of which at most thirty differ, the smoothed mean of the target per
    combination of their levels, and its log count, are made where they tell more of held-out rows than the effects of
    the two, added; a hundred rows are needed. All columns are handed on as they are, in front.

    Parameters
    ----------
    max_features : int, default=20
        Features made.
    max_columns : int, default=12
        Columns that are paired.
    max_crosses : int, default=8
        Crosses made; of several classes fewer, since each has a mean for every class. 0: none.
    scaling : "standard" or None, default="standard"
        "standard": what is made is treated as `NumericalFeatureEngineering` treats numbers, so that a division by zero
        leaves no gap and one by almost zero no extreme; where there were gaps, an indicator comes in addition. None:
        numbers as they come, and a division by zero is missing.
    schema : dict, default=None
        Kinds of columns that you know better: "numeric", "boolean", "categorical", "text" (its words count), "datetime"
        or "identifier" (not used), by column.
    random_state : int, RandomState or None, default=None
        Seed of the rows that are judged, of the boosting and of the parts that crosses are cross-fitted in.

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
    FeatureSelection : Leaves out columns that tell nothing.
    sklearn.preprocessing.PolynomialFeatures : All products, without regard to the target.

    Notes
    -----
    Where there are crosses, `fit(X, y).transform(X)` is not `fit_transform(X, y)`: a training row must not see its own
    target, so that `fit_transform` gives each fifth of the rows what the others say. A pipeline does the right thing.
    Put it before `CategoricalFeatureEngineering`, which leaves no categories to be crossed.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from automl_wf import InteractionFeatures
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
    >>> features = InteractionFeatures(max_features=1, random_state=0).fit(X, X["a"] * X["b"])
    >>> features.get_feature_names_out().tolist()
    ['a', 'b', 'a_times_b']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "max_columns": [Interval(Integral, 2, None, closed="left")],
        "max_crosses": [Interval(Integral, 0, None, closed="left")],
        "scaling": [StrOptions({"standard"}), None],
        "schema": [dict, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        max_features: int = 20,
        max_columns: int = 12,
        max_crosses: int = 8,
        scaling: Literal["standard"] | None = "standard",
        schema: Mapping[Any, str] | None = None,
        random_state: Any = None,
    ) -> None:
        self.max_features = max_features
        self.max_columns = max_columns
        self.max_crosses = max_crosses
        self.scaling = scaling
        self.schema = schema
        self.random_state = random_state

    @property
    def _needs_target(self) -> bool:
        return True

    def _learn(self, table: Table, target: Target | None) -> Learnt:
        numbers = columns_of(table.schema, ColumnKind.NUMERIC)
        crossed = [c for c in crossable(table.schema.columns) if _is_exact(c, table)] if self.max_crosses else []
        kind = Arithmetic if self.scaling is None else ScaledArithmetic
        n_classes = 1 if target is None else target.n_classes
        pairs = kind(n_classes, max_columns=self.max_columns, max_features=self.max_features)
        crosses = CategoryCrosses(n_classes, self.max_crosses)
        made: list[tuple[FeatureTransformer[Any], list[Column]]] = [(pairs, numbers), (crosses, crossed)]
        assigned = [(transformer, columns) for transformer, columns in made if len(columns) > 1]
        treated = sorted({c.position: c for c in [*numbers, *crossed]}.values(), key=lambda c: c.position)
        seed = draw_seed(self.random_state)
        return treat(table, treated, assigned, target=target, seed=seed, hand_on_all=True)


def _is_exact(column: Column, table: Table) -> bool:
    """Whether its cells are the same bits wherever they are computed: texts and whole numbers are."""
    cells = table.cells[column.position]
    return isinstance(cells, Strings) or bool(np.all(np.isnan(cells) | (cells == np.floor(cells))))


def crossable(columns: Sequence[Column]) -> list[Column]:
    """The columns that may be crossed: categories and, on tables that are not wide, numbers of which few differ.

    None without a category: of every two at least one is.
    """
    if not any(c.kind is ColumnKind.CATEGORICAL and c.n_unique > 1 for c in columns):
        return []
    n_values = 0 if len(columns) >= WIDE else _MAX_CROSSED_NUMBERS
    return [
        c
        for c in columns
        if (c.kind is ColumnKind.CATEGORICAL and c.n_unique > 1)
        or (c.kind in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN) and 1 < c.n_unique <= n_values)
    ]
