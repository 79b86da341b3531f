"""The systems that are compared, each in its recommended setting behind `fit`, `predict` and `predict_proba`.

Every module is imported where it is used: each system runs in an environment of its own (`peers.sh`).
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tables import Split

CORES = 2


class NotSupported(Exception):
    """The system cannot do the task at all."""


class System(ABC):
    """A system on one table.

    Parameters
    ----------
    split : Split
        The table.
    budget : float
        Seconds for `fit`.
    seed : int
        Seed, where the system takes one.
    scratch : Path
        A folder that the system may write to.
    """

    #: Environment below the peers' folder, and what `fit` takes from it, as "module:name".
    environment: str
    entry: str

    def __init__(self, split: Split, budget: float, seed: int, scratch: Path) -> None:
        self.split, self.budget, self.seed, self.scratch = split, budget, seed, scratch

    def load(self) -> None:
        """Import what `fit` uses, which is no part of its time."""
        pkgutil.resolve_name(self.entry)

    @abstractmethod
    def fit(self) -> None:
        """Fit on the training rows."""

    @abstractmethod
    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values or scores of shape (n_rows,)."""

    @abstractmethod
    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of shape (n_rows, n_classes), in the order of `classes_`."""

    def facts(self) -> dict[str, Any]:
        """What else is to be recorded of the fit, in plain JSON types."""
        return {}

    #: Classes, in the order of the columns of `predict_proba`.
    classes_: Any = ()

    def predict_as_scored(self, X: pd.DataFrame) -> np.ndarray:
        """What the metric of the table needs."""
        return self.predict_proba(X) if self.split.family == "classification" else self.predict(X)


class Ours(System):
    """automl_wf with default parameters, its core dependencies only."""

    environment = "ours"
    entry = "automl_wf:WorkflowEstimator"
    #: Parameters that are not default, for experiments.
    settings: Mapping[str, Any] = {}

    def fit(self) -> None:
        """Fit."""
        from automl_wf import WorkflowEstimator

        given = {"time_budget": self.budget, "random_state": self.seed, "verbose": 0, **self.settings}
        self.model = WorkflowEstimator(task=self.split.family, **given).fit(
            self.split.X_train, self.split.y_train, groups=self.split.groups_train
        )
        self.classes_ = getattr(self.model, "classes_", ())

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values or scores."""
        return np.asarray(self.model.predict(X))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities."""
        return np.asarray(self.model.predict_proba(X))


class OursWithBoosters(Ours):
    """automl_wf where XGBoost and CatBoost are installed."""

    environment = "boosters"


class Flaml(System):
    """FLAML with its default list of learners."""

    environment = "flaml"
    entry = "flaml:AutoML"
    metrics: Mapping[str, str] = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "rmse", "ndcg@10": "ndcg@10"}

    def fit(self) -> None:
        """Fit; groups and order in time are told in FLAML's own words."""
        from flaml import AutoML

        split = self.split
        settings: dict[str, Any] = {
            "task": "rank" if split.task == "ranking" else split.family,
            "metric": self.metrics[split.metric],
            "time_budget": self.budget,
            "n_jobs": CORES,
            "seed": self.seed,
            "verbose": 0,
        }
        X, y, groups = split.X_train, split.y_train, split.groups_train
        if split.task == "ranking":
            order = np.argsort(groups, kind="stable")
            X, y, groups = X.iloc[order].reset_index(drop=True), y[order], groups[order]
            settings["groups"] = groups
        elif groups is not None:
            settings |= {"groups": groups, "split_type": "group"}
        elif split.is_ordered:
            settings["split_type"] = "time"
        self.model = AutoML()
        self.model.fit(X, y, **settings)
        self.classes_ = () if split.family != "classification" else self.model.classes_

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values or scores."""
        return np.asarray(self.model.predict(X), dtype=float)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities."""
        return np.asarray(self.model.predict_proba(X))


class AutoGluon(System):
    """AutoGluon-Tabular with one of its presets."""

    environment = "autogluon"
    entry = "autogluon.tabular:TabularPredictor"
    preset = "medium_quality"
    metrics: Mapping[str, str] = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}

    def fit(self) -> None:
        """Fit."""
        if self.split.task == "ranking":
            raise NotSupported("AutoGluon-Tabular has no ranking task")
        from autogluon.tabular import TabularPredictor

        label = "target of the table"
        self.model = TabularPredictor(
            label=label,
            problem_type=self.split.task,
            eval_metric=self.metrics[self.split.metric],
            path=str(self.scratch / "autogluon"),
            verbosity=0,
        ).fit(
            self.split.X_train.assign(**{label: self.split.y_train}),
            presets=self.preset,
            time_limit=self.budget,
            num_cpus=CORES,
        )
        self.classes_ = self.model.class_labels or ()

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values."""
        return np.asarray(self.model.predict(X, as_pandas=False), dtype=float)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities."""
        return np.asarray(self.model.predict_proba(X)[list(self.classes_)])


class AutoGluonBest(AutoGluon):
    """AutoGluon-Tabular's preset for accuracy."""

    preset = "best_quality"


class Mljar(System):
    """MLJAR in its mode for competitions."""

    environment = "mljar"
    entry = "supervised.automl:AutoML"
    metrics: Mapping[str, str] = {"roc_auc": "auc", "log_loss": "logloss", "rmse": "rmse"}

    def fit(self) -> None:
        """Fit."""
        if self.split.task == "ranking":
            raise NotSupported("MLJAR has no ranking task")
        from supervised.automl import AutoML

        task = {"binary": "binary_classification", "multiclass": "multiclass_classification"}
        self.model = AutoML(
            mode="Compete",
            total_time_limit=round(self.budget),
            ml_task=task.get(self.split.task, self.split.task),
            eval_metric=self.metrics[self.split.metric],
            results_path=str(self.scratch / "mljar"),
            n_jobs=CORES,
            random_state=self.seed,
            verbose=0,
        )
        self.model.fit(self.split.X_train, self.split.y_train)
        if self.split.family == "classification":
            by_text = {str(c): c for c in np.unique(self.split.y_train)}
            columns = self.model.predict_all(self.split.X_train.head(2)).columns
            prefix = "prediction_"
            self.classes_ = [by_text[c[len(prefix) :]] for c in columns if c.startswith(prefix)]

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values."""
        return np.asarray(self.model.predict(X), dtype=float).ravel()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities."""
        return np.asarray(self.model.predict_proba(X))


class LightGBMDefault(System):
    """LightGBM as it comes: 100 trees, text as native categories, datetimes as seconds."""

    environment = "ours"
    entry = "lightgbm:LGBMModel"

    def fit(self) -> None:
        """Fit."""
        import lightgbm

        split = self.split
        text = [c for c in split.X_train if _is_text(split.X_train[c])]
        self.levels = {c: pd.Index(split.X_train[c].dropna().astype(str).unique()) for c in text}
        kinds = {"classification": lightgbm.LGBMClassifier, "ranking": lightgbm.LGBMRanker}
        self.model = kinds.get(split.family, lightgbm.LGBMRegressor)(n_jobs=CORES, verbose=-1)
        X, y = self._numbers(split.X_train), split.y_train
        if split.task == "ranking":
            order = np.argsort(split.groups_train, kind="stable")
            sizes = pd.Series(split.groups_train[order]).value_counts(sort=False).to_numpy()
            self.model.fit(X.iloc[order], y[order], group=sizes)
        else:
            self.model.fit(X, y)
        self.classes_ = getattr(self.model, "classes_", ())

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Values or scores."""
        return np.asarray(self.model.predict(self._numbers(X)))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities."""
        return np.asarray(self.model.predict_proba(self._numbers(X)))

    def _numbers(self, X: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for i, name in enumerate(X):
            column = X[name]
            if name in self.levels:
                text = column.astype(object).where(column.notna(), None).map(lambda v: v if v is None else str(v))
                columns[f"f{i}"] = pd.Categorical(text, categories=self.levels[name])
            elif pd.api.types.is_datetime64_any_dtype(column):
                columns[f"f{i}"] = column.astype("int64").where(column.notna()).astype(float).to_numpy()
            else:
                columns[f"f{i}"] = column.astype(float).to_numpy()
        return pd.DataFrame(columns, index=X.index)


def _is_text(column: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column))


SYSTEMS: Mapping[str, type[System]] = {
    "ours": Ours,
    "ours_boosters": OursWithBoosters,
    "flaml": Flaml,
    "autogluon_medium": AutoGluon,
    "autogluon_best": AutoGluonBest,
    "mljar": Mljar,
    "lightgbm_default": LightGBMDefault,
}
#: What ours is compared with; the default LightGBM only sets a floor.
PEERS = ("flaml", "autogluon_medium", "autogluon_best", "mljar")
