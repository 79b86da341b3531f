"""The user's own estimators in the search: any scikit-learn-compatible one, on the dense view, without a graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.model_selection.base import Learner, ModelSpec, Sample


class OwnLearner(Learner):
    """A clone of an estimator that the user gave."""

    def __init__(self, task: Task, n_classes: int, params: Mapping[str, Any], seed: int, *, estimator: Any) -> None:
        super().__init__(task, n_classes, params, seed)
        self._estimator = estimator

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> OwnLearner:
        """Fit a clone; it cannot be interrupted."""
        budget.check(type(self._estimator).__name__)
        self.model_ = clone(self._estimator)
        if "random_state" in self.model_.get_params() and self.model_.get_params()["random_state"] is None:
            self.model_.set_params(random_state=self.seed)
        weights = {}
        if train.weight is not None and has_fit_parameter(self.model_, "sample_weight"):
            weights["sample_weight"] = train.weight
        self.model_.fit(train.X, train.y, **weights)
        return self

    def predict(self, X: NDArray[np.float64], n_threads: int = 1) -> NDArray[np.float64]:
        """Probabilities, or certain ones from labels where the estimator has none; values or scores."""
        if not self.task.is_classification:
            return np.asarray(self.model_.predict(X), dtype=np.float64).ravel()
        proba = np.zeros((len(X), self.n_classes))
        codes = np.asarray(self.model_.classes_, dtype=np.int64)
        if hasattr(self.model_, "predict_proba"):
            proba[:, codes] = self.model_.predict_proba(X)
        else:
            proba[np.arange(len(X)), np.asarray(self.model_.predict(X), dtype=np.int64)] = 1.0
        return proba


def own_model(name: str, estimator: Any, task: Task) -> ModelSpec:
    """A catalogue entry for the user's estimator."""
    return ModelSpec(
        name=name,
        family="own",
        tasks=frozenset({task}),
        view="dense",
        build=partial(OwnLearner, estimator=estimator),
        space={},
        portfolio=({},),
        use_cases=("given by the user",),
        pros=("what the user knows about the problem",),
        cons=("no exact graph: model.pkl alone is written",),
    )
