"""A search on one column of numbers, with learners whose every move is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo.objective import Objective
from automl_wf.core.budget import Budget, check_clock
from automl_wf.core.folds import FoldCache, Folds
from automl_wf.core.frame import learn_schema
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.search_space import Float
from automl_wf.core.tasks import Task
from automl_wf.model_selection.base import Learner, ModelSpec, Sample


class PlainView:
    """The numbers as they are."""

    categorical: tuple[int, ...] = ()
    is_fitted_on_rows = False

    def fit_transform(
        self, table: Any, y: Any, weight: Any, *, seed: int, group: Any = None, shared: Any = None
    ) -> tuple[Any, Any]:
        return self, self.transform(table)

    def transform(self, table: Any) -> np.ndarray:
        return table.numbers([0])


class SlowView(PlainView):
    """The same, after some seconds, unless the clock ends it then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def fit_transform(self, *given: Any, **named: Any) -> tuple[Any, Any]:
        time.sleep(self.seconds)
        check_clock("Making features")
        return super().fit_transform(*given, **named)


class Guess(Learner):
    """Predicts x + `error`, divided by the rounds; `fails`, `nan`, `sleep` and `curve` do what they say.

    The clock ends it after `cut` rounds; on all rows, after a share of them.
    """

    is_packed_, is_settled_ = True, False

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> Guess:
        budget.check("Guess")
        self.seconds_ = budget.seconds
        time.sleep(self.params.get("sleep", 0.0))
        budget.check("Guess")
        if self.params.get("fails") and (self.params["fails"] != "on all rows" or valid is None):
            raise ZeroDivisionError("on purpose")
        self.n_train_, self.rounds_ = len(train.y), self.params.get("n_rounds")
        if "curves" in self.params and valid is not None:
            self.curve_ = np.array(self.params["curves"][self.seed % len(self.params["curves"])])
            self.rounds_ = len(self.curve_)
        if "cut" in self.params:
            self.is_cut_short_ = True
            self.rounds_ = self.params["cut"] if valid is not None else round(self.params["share"] * self.rounds_)
        return self

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        values = X[:, 0] + self.params.get("error", 0.0) / (self.rounds_ or 1)
        return np.where(X[:, 0] > X[:, 0].min(), values, np.nan) if self.params.get("nan") else values

    def truncate(self, n_rounds: int) -> None:
        assert not self.is_settled_
        self.rounds_ = n_rounds

    def settle(self) -> None:
        self.is_settled_ = True

    def unpack(self) -> None:
        self.is_packed_ = False

    @property
    def n_rounds(self) -> int | None:
        return self.rounds_


class Mean(Learner):
    """The baseline."""

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> Mean:
        self.mean_ = float(train.y.mean())
        return self

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        return np.full(len(X), self.mean_)


def make_spec(name: str, build: Any, space: Any = None) -> ModelSpec:
    tasks = frozenset({Task.REGRESSION})
    return ModelSpec(name, "linear", tasks, "plain", build, space or {}, ({},), (), (), ())


SPECS = {
    "mean": make_spec("mean", Mean),
    "guess": make_spec("guess", Guess, {"error": Float(-1.0, 3.0)}),
    "other": make_spec("other", Guess, {"error": Float(1.0, 5.0)}),
}


def make_objective(
    n_rows: int = 12, n_folds: int = 3, *, is_partition: bool = True, scoring: Any = "auto"
) -> Objective:
    """y = x = 0 … n − 1, so that `Guess` with error e has an RMSE of |e|."""
    x = np.arange(float(n_rows))
    _, table, _ = learn_schema(x.reshape(-1, 1))
    parts = np.array_split(np.arange(n_rows), n_folds)
    splits = tuple((np.setdiff1d(np.arange(n_rows), part), part) for part in parts[0 if is_partition else 1 :])
    folds = Folds(splits, n_rows, "", is_partition)
    cache = FoldCache(table, {"plain": PlainView()}, x, None, None, folds, seed=0)
    metric = resolve_scoring(scoring, Task.REGRESSION)
    return Objective(cache, Task.REGRESSION, 1, metric, SPECS, seed=0, n_jobs=1)


@pytest.fixture
def objective_of() -> Callable[..., Objective]:
    """`make_objective(n_rows, n_folds, is_partition=…, scoring=…)`."""
    return make_objective


@pytest.fixture
def stubs() -> SimpleNamespace:
    """The learners, their catalogue and their views."""
    return SimpleNamespace(Guess=Guess, Mean=Mean, PlainView=PlainView, SlowView=SlowView, specs=SPECS)
