"""What the stages hand on, each with all that came before it but for stage 4's models, and what stays after `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.bayesian_hpo import (
    Training,
    Trial,
    Tuning,
)
from automl_wf.core.agents import Decision
from automl_wf.core.findings import Finding
from automl_wf.core.folds import FoldCache
from automl_wf.core.schema import Schema
from automl_wf.core.table import Table
from automl_wf.data_preparation import DataPlan, Rows
from automl_wf.evaluation import Evaluation
from automl_wf.feature_engineering.plan import FeaturePlan, FittedView
from automl_wf.feature_engineering.validation import FeatureValidation
from automl_wf.interpretation import Interpretation
from automl_wf.model_selection import Shortlist
from automl_wf.problem_definition import Problem, Target


@dataclass(frozen=True)
class Data:
    """X, y, weights and groups, read."""

    schema: Schema
    table: Table
    target: Target
    weight: NDArray[np.float64] | None
    group: NDArray[np.int64] | None
    findings: tuple[Finding, ...]
    #: At most 1,000 rows of X as given, and their positions.
    reference: tuple[Any, NDArray[np.intp]]
    #: Columns that `business` names, by role; outcomes are in no other place.
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class DefinedProblem:
    """Stage 1: the table as it was read, and the problem."""

    data: Data
    problem: Problem


@dataclass(frozen=True)
class PreparedData(DefinedProblem):
    """Stage 2: the rows in the order and number in which they are used, their cells, and the folds."""

    rows: Rows
    table: Table
    data_plan: DataPlan

    @property
    def splits(self) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]:
        """Training and validation rows of each fold, by their position in X as given."""
        return tuple((self.rows.index[a], self.rows.index[b]) for a, b in self.data_plan.folds.splits)


@dataclass(frozen=True)
class EngineeredFeatures(PreparedData):
    """Stage 3: the views as recipes that each fold fits for itself, their matrices, and what validation found."""

    features: FeaturePlan
    cache: FoldCache
    validation: FeatureValidation

    def frame(self, view: str = "tree") -> pd.DataFrame:
        """The processed features of all rows in use.

        Parameters
        ----------
        view : str, default="tree"
            One of `features.views`; fitted on all rows, which no fold's model ever sees.

        Returns
        -------
        DataFrame of shape (n_rows, n_features)
            Doubles.
        """
        fitted, matrix, rows = self.cache.whole(view)
        return pd.DataFrame(matrix, columns=list(fitted.feature_names), index=self.rows.index[rows])

    def metadata(self, view: str = "tree") -> pd.DataFrame:
        """Name, kind, parents and formula of each feature of a view, fitted on all rows."""
        classes = None if self.problem.classes is None else self.problem.classes.tolist()
        return pd.DataFrame(self.features.metadata(self.cache.whole(view)[0], classes))


@dataclass(frozen=True)
class TrainedModels(EngineeredFeatures):
    """Stage 4: the models that suit, and the portfolio's trials, the baseline first."""

    shortlist: Shortlist
    training: Training

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What was trained, in its order."""
        return self.training.trials


@dataclass(frozen=True)
class OptimizedModels(EngineeredFeatures):
    """Stage 5: all trials, the blend of the best, and the models that will predict; no others are handed on."""

    shortlist: Shortlist
    tuning: Tuning

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, those of stage 4 first."""
        return self.tuning.trials


@dataclass(frozen=True)
class FittedWorkflow:
    """What stays after `fit`: models, facts, out-of-fold evidence and a reference sample, not the training data."""

    schema: Schema
    problem: Problem
    data_plan: DataPlan
    features: FeaturePlan
    shortlist: Shortlist
    tuning: Tuning
    evaluation: Evaluation
    interpretation: Interpretation
    findings: tuple[Finding, ...]
    decisions: tuple[Decision, ...]
    timings: Mapping[str, float]
    resources: Mapping[str, float | None]
    splits: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    evidence: Mapping[str, NDArray[Any]]
    reference: pd.DataFrame | NDArray[Any]
    reference_y: NDArray[Any]
    fingerprint: str
    drift: Mapping[str, Any]
    view: FittedView
    created: str
    seed: int
    #: What the seed was drawn from: the one given, or one that was drawn; None: the fit went on with another's seed.
    random_state: Any = None
