"""The features of a view that tell something of the target, chosen inside each fold: for wide tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.table import Table
from automl_wf.feature_engineering.base import Described, Feature, Numbers
from automl_wf.feature_engineering.gains import draw_rows
from automl_wf.feature_engineering.relevance import METHODS, THRESHOLDS, Judged

if TYPE_CHECKING:
    from automl_wf.feature_engineering.plan import FittedView, Recipe, Shared, Step

#: Used columns from which on a table is wide; on narrower ones choosing did not pay.
WIDE = 200
#: Rows, and cells of them, that features are judged on; times that they are shuffled, and copies.
_MAX_ROWS, _MAX_CELLS, _N_PROBES, _MAX_COPIES = 5_000, 3_000_000, 1, 100
#: The views of chosen features that wide tables have.
SELECTED_VIEWS = ("tree_selected", "dense_selected")
_DISCRETE = ("indicator", "code", "level", "word")


@dataclass(frozen=True, eq=False)
class SelectedView(Described):
    """Some features of a fitted view.

    Parameters
    ----------
    name : str
        Name of the view.
    whole : FittedView
        The view that they are chosen from.
    kept : tuple of int
        Their places in it, ascending.
    scores : ndarray of shape (n_features_of_whole,)
        What each feature of the whole view was judged by; greater is better.
    reasons : tuple of str
        Why each feature of the whole view is kept or dropped.
    """

    name: str
    whole: FittedView
    kept: tuple[int, ...]
    scores: Numbers
    reasons: tuple[str, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """One per column of the matrix."""
        return tuple(self.whole.features[j] for j in self.kept)

    @property
    def dropped(self) -> list[tuple[Feature, str]]:
        """The features left out, and why each is."""
        kept = set(self.kept)
        return [(f, self.reasons[j]) for j, f in enumerate(self.whole.features) if j not in kept]

    @property
    def why_kept(self) -> dict[str, str]:
        """Why each feature that is kept is, by its name."""
        return {f.name: self.reasons[j] for j, f in zip(self.kept, self.features, strict=True)}

    def transform(self, table: Table) -> Numbers:
        """Features of new rows, of shape (n_rows, n_features)."""
        return self._of(self.whole.transform(table))

    def transform_training(
        self, table: Table, y: NDArray[Any] | None, weight: Numbers | None, group: NDArray[Any] | None = None
    ) -> Numbers:
        """Features of the rows the view was fitted on: target statistics are cross-fitted."""
        return self._of(self.whole.transform_training(table, y, weight, group))

    def _of(self, X: Numbers) -> Numbers:
        return np.asarray(X[:, list(self.kept)], order=self.whole.order)


@dataclass(frozen=True, eq=False)
class SelectedRecipe:
    """How a view of chosen features is made.

    Each feature is judged as `FeatureSelection` judges columns by the method "probe", on at most 5,000 training rows
    (fewer of more than 600 features): a small gradient boosting is given all features and shuffled copies of a hundred
    of them; a feature is kept if it is gained more by than by the best copy. At least one is kept.

    Parameters
    ----------
    name : str
        Name of the view.
    whole : Recipe
        The view that features are chosen from.
    n_classes : int
        Number of classes; 1 for values and grades.
    method : {"probe", "correlation", "anova"}, default="probe"
        As in `FeatureSelection`.
    threshold : float or None, default=None
        As in `FeatureSelection`.
    max_share : float, default=1.0
        Share of the features that may be kept.
    """

    name: str
    whole: Recipe
    n_classes: int
    method: str = "probe"
    threshold: float | None = None
    max_share: float = 1.0

    @property
    def is_fitted_on_rows(self) -> bool:
        """The choice is each fold's own."""
        return True

    @property
    def steps(self) -> tuple[Step, ...]:
        """Steps of the whole view."""
        return self.whole.steps

    def fit(
        self, table: Table, y: NDArray[Any] | None = None, weight: Numbers | None = None, *, seed: int = 0
    ) -> SelectedView:
        """Fit the whole view and choose; parameters and errors as those of `fit_transform`."""
        return self.fit_transform(table, y, weight, seed=seed)[0]

    def n_columns(self, table: Table, y: NDArray[Any], *, seed: int) -> int:
        """Columns that are held while the view is made: those of the whole view, and its own, which are no more."""
        return 2 * self.whole.n_columns(table, y, seed=seed)

    def fit_transform(
        self,
        table: Table,
        y: NDArray[Any] | None,
        weight: Numbers | None = None,
        *,
        seed: int = 0,
        group: NDArray[Any] | None = None,
        shared: Shared | None = None,
    ) -> tuple[SelectedView, Numbers]:
        """Fit the whole view, choose, and return the chosen features of the training rows.

        Parameters
        ----------
        table, y, weight, seed, group, shared
            As in `Recipe.fit_transform`.

        Returns
        -------
        view : SelectedView
        X : ndarray of shape (n_rows, n_features)

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("SelectedRecipe.fit needs the target: expected y of shape (n_rows,), got None.")
        whole, X = self.whole.fit_transform(table, y, weight, seed=seed, group=group, shared=shared)
        view = self._choose(whole, X, y, seed)
        return view, view._of(X)

    def _choose(self, whole: FittedView, X: Numbers, y: NDArray[Any], seed: int) -> SelectedView:
        rows = draw_rows(len(X), min(_MAX_ROWS, max(_MAX_CELLS // X.shape[1], 500)), seed)
        is_discrete = np.isin(whole.kinds, _DISCRETE)
        judged = Judged(
            whole.feature_names, X[rows], is_discrete, y[rows], self.n_classes, seed, _N_PROBES, _MAX_COPIES
        )
        threshold = THRESHOLDS[self.method] if self.threshold is None else self.threshold
        verdict = METHODS[self.method](judged, threshold)
        is_kept, reasons = verdict.decide(ceil(self.max_share * len(is_discrete)))
        if not is_kept.any():
            best = int(np.argmax(verdict.scores))
            is_kept[best] = True
            reasons[best] = f"kept: the best of a view where none passes; {reasons[best].partition(': ')[2]}"
        kept = tuple(int(j) for j in np.flatnonzero(is_kept))
        return SelectedView(self.name, whole, kept, verdict.scores, tuple(reasons))


def selected_views(views: Mapping[str, Recipe], n_columns: int, n_classes: int) -> dict[str, SelectedRecipe]:
    """Choices from the views "tree" and "dense" of a wide table; nothing for others."""
    if n_columns < WIDE:
        return {}
    return {name: SelectedRecipe(name, views[name.removesuffix("_selected")], n_classes) for name in SELECTED_VIEWS}
