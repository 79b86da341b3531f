"""Folds, and the fold cache: each recipe fitted once per fold and view, however many trials look at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_wf.core.budget import Budget
from automl_wf.core.kept_matrix import KeptMatrix, RowsOf, keep
from automl_wf.core.table import Table

Rows = NDArray[np.intp]
#: Features of so few rows are made before threads could get into each other's way.
_FEW_ROWS = 1_000
#: On more training rows than this a view that no fold has yet is tried on a tenth of them before it is promised time.
_MANY_ROWS = 200_000

#: One matrix may take this share of the bytes that all kept ones may take together.
MATRIX_SHARE = 0.25
#: Rows that a view is fitted on to learn how wide it is.
PROBED_ROWS = 1_000
#: Number of no fold: all rows.
_ALL = -1


@dataclass(frozen=True)
class Folds:
    """Which rows teach and which are held out.

    Parameters
    ----------
    splits : tuple of (train, valid)
        Row positions.
    n_rows : int
        Rows in all.
    description : str
        In words, for decisions and card.
    is_partition : bool
        Whether every row is held out exactly once; then the fold models together have seen all rows alike.
    """

    splits: tuple[tuple[Rows, Rows], ...]
    n_rows: int
    description: str
    is_partition: bool

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def rows(self) -> Rows:
        """Rows that are held out at least once, ascending."""
        return np.unique(np.concatenate([valid for _, valid in self.splits]))

    @property
    def fold_of_row(self) -> NDArray[np.int64]:
        """For each of `rows`, the last fold that holds it out."""
        fold = np.full(self.n_rows, -1, dtype=np.int64)
        for i, (_, valid) in enumerate(self.splits):
            fold[valid] = i
        return fold[self.rows]

    def gather(self, predictions: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Out-of-fold predictions of `rows` from each fold's; a row held out more than once gets the mean."""
        rows = self.rows
        total, count = np.zeros((len(rows), *predictions[0].shape[1:])), np.zeros(len(rows))
        for (_, valid), prediction in zip(self.splits, predictions, strict=True):
            places = np.searchsorted(rows, valid)
            total[places] += prediction
            count[places] += 1.0
        total /= count.reshape(-1, *([1] * (total.ndim - 1)))
        return total


class View(Protocol):
    """A fitted view of the table."""

    categorical: tuple[int, ...]

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Matrix of the rows of `table`."""


class ViewRecipe(Protocol):
    """An unfitted view of the table."""

    is_fitted_on_rows: bool

    def n_columns(self, table: Table, y: NDArray[Any], *, seed: int) -> int:
        """Columns that are held while the view of such rows is made."""

    def fit_transform(
        self,
        table: Table,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        *,
        seed: int,
        group: NDArray[np.int64] | None = None,
        shared: dict[int, Any] | None = None,
    ) -> tuple[Any, NDArray[np.float64]]:
        """Fit on these rows; returns the fitted view and their matrix. What views have in common is in `shared`."""


@dataclass(frozen=True)
class FoldData:
    """One fold through one view.

    Parameters
    ----------
    view : View
        Fitted on the rows that teach.
    train : ndarray of int
        The rows that teach, all of the fold's or some of them.
    teaching, held_out : KeptMatrix
        Their matrix, and that of the rows held out.
    cache : dict
        What learners derived from them.
    """

    view: Any
    train: Rows
    teaching: KeptMatrix
    held_out: KeptMatrix
    cache: dict[Any, Any]

    @property
    def X_train(self) -> NDArray[np.float64]:
        """Matrix of the rows that teach, made when it is asked for."""
        return self.teaching.make()

    @property
    def X_valid(self) -> NDArray[np.float64]:
        """Matrix of the rows held out, made when it is asked for."""
        return self.held_out.make()


class FoldCache:
    """Matrices of every fold and view, computed when first asked for.

    Parameters
    ----------
    table : Table
        All rows.
    recipes : mapping of str to ViewRecipe
        Unfitted views by name.
    y, weight, group : ndarray of shape (n_rows,) or None
        Targets, sample weights and group ids of all rows.
    folds : Folds
        The splits.
    units : ndarray of shape (n_rows,) or None
        Rows of one unit (a group, or copies of one row) stay together when a recipe cross-fits.
    seed : int
        Seed of whatever the recipes draw.
    memory_limit : float
        Bytes that kept matrices may take; beyond, they are computed again when asked for. Where a matrix of all rows
        would take more than a quarter of it, models learn from as many rows as fit, drawn at random, `whole` too.
    max_rows : int or None
        Rows that models learn from in a fold at most, drawn at random; None: all. It does not bind `whole`.
    has_classes : bool
        Whether rows are drawn class by class, so that each keeps its share.
    """

    def __init__(
        self,
        table: Table,
        recipes: Mapping[str, Any],
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        group: NDArray[np.int64] | None,
        folds: Folds,
        *,
        units: NDArray[np.int64] | None = None,
        seed: int,
        memory_limit: float = 2e9,
        max_rows: int | None = None,
        has_classes: bool = False,
    ) -> None:
        # Two names for one recipe share its matrices.
        first = {id(recipe): name for name, recipe in reversed(list(recipes.items()))}
        self._name_of: dict[str, str] = {name: first[id(recipe)] for name, recipe in recipes.items()}
        self.table, self.recipes, self.y, self.weight, self.group = table, recipes, y, weight, group
        self.folds, self._units, self._seed, self._memory_limit = folds, units, seed, memory_limit
        self._max_rows, self._has_classes = max_rows, has_classes
        self._widths: dict[str, int] = {}
        self._drawn: dict[tuple[str, int], Rows] = {}
        self._thinned: dict[str, tuple[int, int]] = {}
        self._kept: dict[tuple[str, int], FoldData] = {}
        self._derived: dict[tuple[str, int], dict[Any, Any]] = {}
        self._whole: dict[str, tuple[Any, NDArray[np.float64], Rows]] = {}
        self._shared: dict[int, tuple[Rows, dict[int, Any]]] = {}
        self._bytes = 0.0
        self._seconds: dict[str, float] = {}
        self._spent: dict[tuple[str, int], float] = {}
        self._seconds_per_row: dict[str, float] = {}
        self._locks: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Rows and recipes without the matrices made of them, which a worker makes for itself."""
        made = {"_kept", "_derived", "_whole", "_shared", "_locks"}
        return {k: v for k, v in vars(self).items() if k not in made | {"_lock"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept, self._derived, self._whole, self._shared, self._locks = {}, {}, {}, {}, {}
        self._bytes, self._lock = 0.0, threading.Lock()

    def get(self, fold: int, view: str, clock: Callable[[], Budget] = Budget) -> FoldData:
        """The fold's matrices; thread-safe, each computed once.

        Where they are still to be made, `clock` gives the time for it, and OutOfTime is raised when it is over.
        """
        view = self._name_of[view]
        key = (view, fold)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._kept:
                return self._kept[key]
            start = time.perf_counter()
            try:
                with self._one_thread(), clock().governing():
                    data = self._compute(fold, view)
            finally:
                seconds = time.perf_counter() - start
                with self._lock:
                    self._seconds[view] = max(self._seconds.get(view, 0.0), seconds)
            size = data.teaching.nbytes + data.held_out.nbytes
            with self._lock:
                self._spent[key] = seconds
                if self._bytes + size <= self._memory_limit:
                    self._bytes += size
                    self._kept[key] = data
            return data

    def whole(self, view: str) -> tuple[Any, NDArray[np.float64], Rows]:
        """The view fitted on all rows (as many as the memory holds), their matrix, and which rows they are."""
        view = self._name_of[view]
        with self._lock:
            lock = self._locks.setdefault((view, _ALL), threading.Lock())
        with lock:
            if view not in self._whole:
                rows = self._taught(view, _ALL)
                start = time.perf_counter()
                with self._one_thread():
                    shared = self._shared_of(_ALL, rows)
                    made = self._fit_transform(self.recipes[view], rows, self._seed, shared)
                    self._whole[view] = (*made, rows)
                # With the seconds of fitting, where the features of no rows are made apart.
                self._seconds_per_row.setdefault(view, (time.perf_counter() - start) / max(len(rows), 1))
            return self._whole[view]

    @property
    def thinned(self) -> dict[str, tuple[int, int]]:
        """Views whose models learn from some rows only: how many, and out of how many."""
        return dict(self._thinned)

    def growth(self, view: str) -> float:
        """Rows of `whole` over the rows that teach in a fold."""
        view = self._name_of[view]
        taught = [len(self._taught(view, fold)) for fold in range(len(self.folds))]
        return len(self._taught(view, _ALL)) / float(np.mean(taught))

    def forecast_s(self, view: str) -> float:
        """Seconds that the view fitted on all rows may still take, judged by the folds that were asked for."""
        name = self._name_of[view]
        return 0.0 if name in self._whole else 1.5 * self._seconds.get(name, 0.0)

    @property
    def spent_s(self) -> float:
        """Seconds that the matrices of folds have taken so far, each for itself."""
        return sum(list(self._spent.values()))

    def recipe_name(self, view: str) -> str:
        """The name under which the matrices are kept: views of one recipe share them."""
        return self._name_of[view]

    def is_fitted_on_rows(self, view: str) -> bool:
        """Whether each fold has a fitted view of its own."""
        return bool(self.recipes[self._name_of[view]].is_fitted_on_rows)

    def seconds_per_row(self, view: str) -> float:
        """What one fitted view takes to make the features of a row; 0 if it was not asked for yet."""
        return self._seconds_per_row.get(self._name_of[view], 0.0)

    def cost_s(self, view: str, clock: Callable[[], Budget] = Budget) -> float:
        """Seconds that the matrices of all folds take, added up; 0 if all are made, or if there is nothing to judge by.

        Judged by the folds that were asked for; where there are none and rows are many, by fitting the view on a tenth
        or less of the first fold's training rows and on a quarter of those, and a straight line through both: for that
        `clock` gives the time, and OutOfTime is raised when it is over.
        """
        view = self._name_of[view]
        spent = [seconds for (name, _), seconds in list(self._spent.items()) if name == view]
        n_left = len(self.folds) - len(spent)
        if not n_left:
            return 0.0
        if view not in self._seconds:
            with clock().governing():
                self._seconds[view] = self._sampled_s(view)
        return sum(spent) + n_left * self._seconds[view]

    def _sampled_s(self, view: str) -> float:
        rows = self._taught(view, 0)
        if len(rows) <= _MANY_ROWS:
            return 0.0
        step = max(10, len(rows) // _MANY_ROWS)
        # The first call may have something to import.
        _, few, many = (self._seconds_on(view, rows[::k]) for k in (4 * step, 4 * step, step))
        # From a part of 1 / step on, three quarters of which took the difference.
        return many + max(many - few, 0.0) * (step - 1) / 0.75

    def _seconds_on(self, view: str, rows: Rows) -> float:
        start = time.perf_counter()
        self._fit_transform(self.recipes[view], rows, self._seed)
        return time.perf_counter() - start

    def fitted_view(self, view: str) -> Any:
        """The view fitted on all rows, without their matrix."""
        view = self._name_of[view]
        if view in self._whole:
            return self._whole[view][0]
        with self._one_thread():
            return self.recipes[view].fit(self.table, self.y, self.weight, seed=self._seed)

    def _one_thread(self) -> AbstractContextManager[Any]:
        """BLAS on one thread: beside other work on the machine several would wait for one another, for seconds."""
        return threadpool_limits(1, user_api="blas") if len(self.y) > _FEW_ROWS else nullcontext()

    def forget(self) -> None:
        """Drop all matrices and what was derived from them."""
        self._kept.clear()
        self._derived.clear()
        self._whole.clear()
        self._shared.clear()
        self._bytes = 0.0

    def _compute(self, fold: int, view: str) -> FoldData:
        train, valid = self.folds.splits[fold]
        derived = self._derived.setdefault((view, fold), {})
        recipe = self.recipes[view]
        taught = self._taught(view, fold)
        if len(taught) < len(train):
            self._thinned[view] = (len(taught), len(train))
        if not recipe.is_fitted_on_rows:
            # One matrix serves all folds, and the final models; a few folds of a long table do with rows of their own.
            if len(taught) == len(train) and len(self._taught(view, _ALL)) == len(self.y):
                fitted, X, _ = self.whole(view)
                return FoldData(fitted, taught, RowsOf(X, taught), RowsOf(X, valid), derived)
            fitted = recipe.fit(self.table)
            X_train = fitted.transform(self.table.take(taught))
        else:
            shared = self._shared_of(fold, taught)
            fitted, X_train = self._fit_transform(recipe, taught, self._seed + fold + 1, shared)
        start = time.perf_counter()
        X_valid = fitted.transform(self.table.take(valid))
        self._seconds_per_row[view] = (time.perf_counter() - start) / max(len(valid), 1)
        return FoldData(fitted, taught, keep(X_train), keep(X_valid), derived)

    def _fit_transform(
        self, recipe: Any, rows: Rows, seed: int, shared: dict[int, Any] | None = None
    ) -> tuple[Any, NDArray[np.float64]]:
        weight, units = _take(self.weight, rows), _take(self._units, rows)
        fitted, X = recipe.fit_transform(
            self.table.take(rows), self.y[rows], weight, seed=seed, group=units, shared=shared
        )
        return fitted, X

    def _shared_of(self, fold: int, rows: Rows) -> dict[int, Any] | None:
        """What the views of a fold share; None for a view that learns from other rows than the first one."""
        with self._lock:
            known, shared = self._shared.setdefault(fold, (rows, {}))
        return shared if np.array_equal(known, rows) else None

    def _taught(self, view: str, fold: int) -> Rows:
        """The rows that teach: as many as time and memory allow, whole groups where there are any, in their order."""
        key = (view, fold)
        if key not in self._drawn:
            rows = np.arange(len(self.y), dtype=np.intp) if fold == _ALL else self.folds.splits[fold][0]
            most = self._rows_in_memory(view, len(rows))
            if fold != _ALL and self._max_rows is not None:
                most = min(most, self._max_rows)
            self._drawn[key] = rows if most >= len(rows) else self._draw(rows, most / len(rows))
        return self._drawn[key]

    def _draw(self, rows: Rows, share: float) -> Rows:
        rng = np.random.default_rng(self._seed)
        if self.group is not None:
            is_drawn = rng.random(int(self.group.max()) + 1) < share
            kept = rows[is_drawn[self.group[rows]]]
            return kept if len(kept) else rows
        classes = self.y[rows] if self._has_classes else np.zeros(len(rows), dtype=np.int64)
        return rows[_draw_by_class(classes, share, rng)]

    def _rows_in_memory(self, view: str, n_rows: int) -> int:
        """Rows of the view's matrix that its share of the memory holds."""
        most_cells = MATRIX_SHARE * self._memory_limit / 8
        # A few columns do not become a hundred times as many: only long tables are worth a closer look.
        if n_rows <= PROBED_ROWS or n_rows * max(len(self.table.cells), 1) < 0.01 * most_cells:
            return n_rows
        if view not in self._widths:
            step = -(-self.table.n_rows // PROBED_ROWS)
            few = slice(None, None, step)
            self._widths[view] = self.recipes[view].n_columns(self.table.take(few), self.y[few], seed=self._seed)
        return max(int(most_cells / self._widths[view]), PROBED_ROWS)


def _draw_by_class(y: NDArray[Any], share: float, rng: np.random.Generator) -> Rows:
    """Positions of a share of the rows of each class, of every class at least one row, ascending."""
    shuffled = rng.permutation(len(y))
    in_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    _, starts, counts = np.unique(y[in_class], return_index=True, return_counts=True)
    rank = np.arange(len(y)) - np.repeat(starts, counts)
    return np.sort(in_class[rank < np.repeat(np.ceil(share * counts - 1e-9), counts)]).astype(np.intp)


def _take(values: NDArray[Any] | None, rows: Rows) -> NDArray[Any] | None:
    return None if values is None else values[rows]
