"""Shapley values of the input columns: how much each raw cell of a row moved the final model's prediction.

The shap library masks by numbers, and cells are numbers, texts and times. So it is given integer codes: each cell is
represented by the row that it comes from, and the model puts the cells back in place before it predicts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.table import Cells, Strings, Table
from automl_wf.exceptions import InvalidInput

Predict = Callable[[Table], NDArray[np.float64]]

#: Orders of the columns that are tried for each row, each forwards and backwards, where columns are few.
N_PERMUTATIONS = 10
#: Models are asked about at most this many mixtures of a row with the background for more than one order.
MAX_MIXTURES = 2_000
#: Cells that are put together at a time.
_MAX_CELLS = 4_000_000
BASE_VALUE = "base_value"


def shapley_values(
    predict: Predict,
    table: Table,
    background: Table,
    *,
    class_names: Sequence[Any] | None,
    index: pd.Index | None = None,
    seed: int,
) -> pd.DataFrame:
    """Explain predictions by Shapley values of the input columns.

    Parameters
    ----------
    predict : callable
        From a Table to probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,).
    table : Table
        Rows to explain.
    background : Table
        Rows that "not knowing" a column is averaged over.
    class_names : sequence or None
        Class labels in the order of the probabilities; None: there are no classes.
    index : Index or None, default=None
        Labels of the rows. None: 0, 1, …
    seed : int
        Seed of the orders in which columns become known, 0 ≤ seed < 2³².

    Returns
    -------
    DataFrame
        One row per row of `table`, with one column per used input column and, last, `base_value`: the mean prediction
        on the background. A row's values and its base value sum to its prediction: with two classes the probability of
        the second one; with more there is one row per row and class.

    Raises
    ------
    InvalidInput
        There are no background rows.

    Notes
    -----
    Ten random orders of the columns, each forwards and backwards, are averaged; with d columns that takes 10 (2d + 1)
    mixtures of the row with the whole background. Tables wider than about 100 columns get fewer orders, at least one.
    The sum holds however few they are, and single values are exact for models in which at most two columns interact.

    References
    ----------
    S. M. Lundberg and S.-I. Lee, A unified approach to interpreting model predictions, NeurIPS 2017. E. Štrumbelj and
    I. Kononenko, An efficient explanation of individual classifications using game theory, JMLR 11, 2010 (permutation
    sampling).
    """
    if background.n_rows == 0:
        raise InvalidInput("Shapley values need at least one background row, got none.")
    columns = [c.position for c in table.schema.used]
    names = [c.name for c in table.schema.used]
    index = pd.RangeIndex(table.n_rows) if index is None else index
    is_multiclass = class_names is not None and len(class_names) > 2
    model = _ByCodes(predict, _stack(table, background), tuple(columns), class_names is not None and not is_multiclass)
    values, base = _explain(model, table.n_rows, seed)
    if not is_multiclass:
        return pd.DataFrame(np.column_stack([values, base]), index=index, columns=[*names, BASE_VALUE])
    assert class_names is not None
    # (row, column, class) → one line per row and class
    lines = np.concatenate([values.transpose(0, 2, 1), base[:, :, None]], axis=2).reshape(-1, len(names) + 1)
    both = pd.MultiIndex.from_arrays(
        [index.repeat(len(class_names)), list(class_names) * table.n_rows], names=[index.name or "row", "class"]
    )
    return pd.DataFrame(lines, index=both, columns=[*names, BASE_VALUE])


class _ByCodes:
    """The model as a function of row numbers: cell (i, j) of its input says from which row column j is taken."""

    def __init__(self, predict: Predict, rows: Table, columns: tuple[int, ...], is_binary: bool) -> None:
        self.predict, self.rows, self.columns, self.is_binary = predict, rows, columns, is_binary

    @property
    def codes(self) -> NDArray[np.int64]:
        """Every row as it is; equal cells of a column have one code, so that swapping them need not be tried."""
        codes = np.empty((self.rows.n_rows, len(self.columns)), dtype=np.int64)
        for j, position in enumerate(self.columns):
            cells = self.rows.cells[position]
            values = cells.codes if isinstance(cells, Strings) else cells
            _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
            codes[:, j] = first[inverse]
        return codes

    def __call__(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        rows = codes.astype(np.intp)
        step = max(_MAX_CELLS // max(len(self.rows.cells), 1), 1)
        parts = [self._predict(rows[start : start + step]) for start in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _predict(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        source = dict(zip(self.columns, rows.T, strict=True))
        unused = np.zeros(len(rows), dtype=np.intp)
        cells = tuple(_take(c, source.get(position, unused)) for position, c in enumerate(self.rows.cells))
        prediction = self.predict(Table(self.rows.schema, cells, len(rows)))
        return prediction[:, 1] if self.is_binary else prediction


def _explain(model: _ByCodes, n_rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of shape (n_rows, n_columns[, n_classes]) and base values of shape (n_rows[, n_classes])."""
    codes = model.codes
    n_columns = codes.shape[1]
    if n_rows == 0 or n_columns == 0:
        base = model(codes[n_rows:]).mean(axis=0)
        return np.zeros((n_rows, n_columns, *base.shape)), np.broadcast_to(base, (n_rows, *base.shape))
    with warnings.catch_warnings():
        # What shap's own plots still call in matplotlib is nothing a user can mend (shap 0.51 with matplotlib 3.11)
        warnings.simplefilter("ignore")
        from shap import PermutationExplainer
        from shap.maskers import Independent

    n_mixtures = 2 * n_columns + 1
    n_background = len(codes) - n_rows
    masker = Independent(codes[n_rows:], max_samples=n_background)
    # Its own way of comparing is meant for measurements: it takes large codes that are near each other for equal
    masker.invariants = lambda row: row == masker.data
    # Mixing one cell at a time is faster, but holds all mixtures of an order at once
    masker.supports_delta_masking = n_mixtures * n_background * n_columns <= _MAX_CELLS
    n_orders = max(min(N_PERMUTATIONS, MAX_MIXTURES // n_mixtures), 1)
    # shap seeds and draws from numpy's global generator
    state = np.random.get_state()  # noqa: NPY002
    try:
        explainer = PermutationExplainer(model, masker, seed=seed)
        found = explainer(
            codes[:n_rows],
            max_evals=n_orders * n_mixtures,
            batch_size=max(_MAX_CELLS // (n_background * n_columns), 1),
            silent=True,
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return np.asarray(found.values), np.asarray(found.base_values)


def _take(cells: Cells, rows: NDArray[np.intp]) -> Cells:
    return cells.take(rows) if isinstance(cells, Strings) else cells[rows]


def _stack(first: Table, second: Table) -> Table:
    """The rows of both, one after the other."""
    cells = tuple(_joined(a, b) for a, b in zip(first.cells, second.cells, strict=True))
    return Table(first.schema, cells, first.n_rows + second.n_rows)


def _joined(a: Cells, b: Cells) -> Cells:
    if isinstance(a, Strings) and isinstance(b, Strings):
        levels, places = np.unique(np.concatenate([a.levels, b.levels]), return_inverse=True)
        codes = np.concatenate([a.codes, b.codes + len(a.levels)])
        return Strings(places[codes].astype(np.int32), levels)
    assert not isinstance(a, Strings)
    assert not isinstance(b, Strings)
    return np.concatenate([a, b])
