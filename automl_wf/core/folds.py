"""Folds, and the fold cache: each recipe fitted once per fold and view, however many trials look at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Table

Rows = NDArray[np.intp]


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
        shape = (self.n_rows, *predictions[0].shape[1:])
        total = np.zeros(shape)
        count = np.zeros(self.n_rows)
        for (_, valid), prediction in zip(self.splits, predictions, strict=True):
            total[valid] += prediction
            count[valid] += 1.0
        rows = self.rows
        divisor = count[rows].reshape(-1, *([1] * (total.ndim - 1)))
        return np.asarray(total[rows] / divisor)


class View(Protocol):
    """A fitted view of the table."""

    categorical: tuple[int, ...]

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Matrix of the rows of `table`."""


class ViewRecipe(Protocol):
    """An unfitted view of the table."""

    is_fitted_on_rows: bool

    def fit_transform(
        self,
        table: Table,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        *,
        seed: int,
        group: NDArray[np.int64] | None = None,
    ) -> tuple[Any, NDArray[np.float64]]:
        """Fit on these rows; returns the fitted view and their matrix."""


@dataclass(frozen=True)
class FoldData:
    """One fold through one view."""

    view: Any
    X_train: NDArray[np.float64]
    X_valid: NDArray[np.float64]
    cache: dict[Any, Any]


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
        Bytes that kept matrices may take; beyond, they are computed again when asked for.
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
    ) -> None:
        # Two names for one recipe share its matrices.
        first = {id(recipe): name for name, recipe in reversed(list(recipes.items()))}
        self._name_of = {name: first[id(recipe)] for name, recipe in recipes.items()}
        self.table, self.recipes, self.y, self.weight, self.group = table, recipes, y, weight, group
        self.folds, self._units, self._seed, self._memory_limit = folds, units, seed, memory_limit
        self._kept: dict[tuple[str, int], FoldData] = {}
        self._derived: dict[tuple[str, int], dict[Any, Any]] = {}
        self._whole: dict[str, tuple[Any, NDArray[np.float64]]] = {}
        self._bytes = 0.0
        self._seconds: dict[str, float] = {}
        self._locks: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, fold: int, view: str) -> FoldData:
        """The fold's matrices; thread-safe, each computed once."""
        view = self._name_of[view]
        key = (view, fold)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._kept:
                return self._kept[key]
            start = time.perf_counter()
            data = self._compute(fold, view)
            self._seconds[view] = max(self._seconds.get(view, 0.0), time.perf_counter() - start)
            size = data.X_train.nbytes + data.X_valid.nbytes
            with self._lock:
                if self._bytes + size <= self._memory_limit:
                    self._bytes += size
                    self._kept[key] = data
            return data

    def whole(self, view: str) -> tuple[Any, NDArray[np.float64]]:
        """The view fitted on all rows, and their matrix."""
        view = self._name_of[view]
        with self._lock:
            lock = self._locks.setdefault((view, -1), threading.Lock())
        with lock:
            if view not in self._whole:
                self._whole[view] = self.recipes[view].fit_transform(
                    self.table, self.y, self.weight, seed=self._seed, group=self._units
                )
            return self._whole[view]

    def forecast_s(self, view: str) -> float:
        """Seconds that fitting the view on all rows may take, judged by the folds that were asked for."""
        return 1.5 * self._seconds.get(self._name_of[view], 0.0)

    def fitted_view(self, view: str) -> Any:
        """The view fitted on all rows, without their matrix."""
        view = self._name_of[view]
        if view in self._whole:
            return self._whole[view][0]
        return self.recipes[view].fit(self.table, self.y, self.weight, seed=self._seed)

    def forget(self) -> None:
        """Drop all matrices and what was derived from them."""
        self._kept.clear()
        self._derived.clear()
        self._whole.clear()
        self._bytes = 0.0

    def _compute(self, fold: int, view: str) -> FoldData:
        train, valid = self.folds.splits[fold]
        derived = self._derived.setdefault((view, fold), {})
        recipe = self.recipes[view]
        if not recipe.is_fitted_on_rows:
            fitted, X = self.whole(view)
            return FoldData(fitted, X[train], X[valid], derived)
        fitted, X_train = recipe.fit_transform(
            self.table.take(train),
            self.y[train],
            _take(self.weight, train),
            seed=self._seed + fold + 1,
            group=_take(self._units, train),
        )
        return FoldData(fitted, X_train, fitted.transform(self.table.take(valid)), derived)


def _take(values: NDArray[Any] | None, rows: Rows) -> NDArray[Any] | None:
    return None if values is None else values[rows]
