"""ModelDevelopmentWorkflow: the eight stages by name, each callable alone, and who of the agents answers for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from automl_wf.core.agents import Decision, cast
from automl_wf.deployment import Package
from automl_wf.estimator import WorkflowEstimator
from automl_wf.evaluation import Evaluation
from automl_wf.stages import FittedWorkflow, OptimizedModels
from automl_wf.workflow import WorkflowStages


class ModelDevelopmentWorkflow(WorkflowStages):
    """The model development workflow, from a raw table to a tested package: what `WorkflowEstimator` does, in stages.

    `define_problem`, `prepare_data`, `engineer_features`, `select_and_train_models` and `optimize_hyperparameters` each
    take what the one before returned; `evaluate_models` and `interpret_models` take the result of the last of them,
    `prepare_deployment` writes the package and `compile_results` puts together what stays. The clock of `time_budget`
    runs inside the stages only.

    Parameters
    ----------
    problem_config : mapping, default=None
        The parameters of `WorkflowEstimator`, by name; what is not given has its default.

    Attributes
    ----------
    config : dict
        Every parameter.
    agents : dict of str to Agent
        Insight Generator, Statistical Analyst, Data Explorer and ML Engineer: the stages that each leads and supports
        and, once results are compiled, the decisions it answers for, each with its reason and the fact behind it.
    artifacts : dict
        What the stages made, by name: "problem", "data_plan", "splits", "feature_pipeline", "processed_features",
        "feature_metadata", "feature_validation", "shortlist", "training_history", "optimization_history", "models",
        "evaluation", "interpretation", "results", "package".
    metrics : dict
        "seconds" per stage; once stage 6 has run "scores", every metric on out-of-fold predictions, "baseline", the
        same of the baseline, and "business", revenue impact, cost savings and KPIs; after stage 8 "checklist".

    See Also
    --------
    WorkflowEstimator : The same engine behind `fit` and `predict`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from automl_wf import ModelDevelopmentWorkflow
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> workflow = ModelDevelopmentWorkflow({"n_iter": 3, "time_budget": None, "random_state": 0, "verbose": 0})
    >>> problem = workflow.define_problem(X, y)
    >>> problem.problem.task.value, problem.problem.baseline
    ('multiclass', 'class frequencies of the training rows')
    >>> data = workflow.prepare_data(problem)
    >>> len(data.splits)
    5
    >>> features = workflow.engineer_features(data)
    >>> features.frame().shape
    (150, 4)
    >>> models = workflow.select_and_train_models(features)
    >>> [trial.configuration.model for trial in models.trials][0]
    'dummy'
    >>> optimized = workflow.optimize_hyperparameters(models)
    >>> evaluation = workflow.evaluate_models(optimized)
    >>> evaluation.beats_baseline
    True
    >>> interpretation = workflow.interpret_models(optimized)
    >>> result = workflow.compile_results()
    >>> [decision.decision for decision in workflow.agents["Insight Generator"].decisions][0]
    'task: multiclass'
    """

    def execute(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        owner: str = "ModelDevelopmentWorkflow",
        path: str | Path | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> FittedWorkflow:
        """Run every stage; stage 8, which writes files, only where it is said where to.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            The raw table.
        y : array-like of shape (n_rows,)
            The target.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows.
        groups : array-like of shape (n_rows,), default=None
            Rows of one group stay on one side of every split; queries when ranking.
        owner : str, default="ModelDevelopmentWorkflow"
            Name used in messages.
        path : path, default=None
            Folder for the package of stage 8.
        info : mapping, default=None
            What only the owner can say, for the model card.

        Returns
        -------
        FittedWorkflow
            Models and facts.

        Raises
        ------
        InvalidInput
            X, y, weights or groups cannot be used; raised before any model is fitted.
        """
        result = super().execute(X, y, sample_weight=sample_weight, groups=groups, owner=owner)
        if path is not None:
            self._deploy(result, path, info=info)
        return result

    def prepare_deployment(
        self,
        optimized: OptimizedModels,
        evaluation: Evaluation,
        path: str | Path,
        *,
        info: Mapping[str, Any] | None = None,
        strict: bool = False,
        include_samples: bool = False,
    ) -> Package:
        """Stage 8: write the package, run its tests, and answer the checklist.

        Parameters
        ----------
        optimized : OptimizedModels
            Stage 5's result.
        evaluation : Evaluation
            Stage 6's result.
        path : path
            Folder to write; an unchanged package there is replaced, anything else in the way is an error.
        info : mapping, default=None
            What only the owner can say: owner, contact, licence, purpose …
        strict : bool, default=False
            Raise when there is no exact graph or a check fails, instead of writing a package that says so.
        include_samples : bool, default=False
            Ship real rows as test data instead of synthetic ones.

        Returns
        -------
        Package
            Path, checklist and completeness of the card.

        Raises
        ------
        InvalidInput
            Stage 7 has not run.
        PackageExists
            Something that `export` did not write is in the way; it stays as it was.
        NotExportable
            With `strict=True`, if there is no exact graph.
        """
        result = self._compile(optimized, evaluation)
        return self._deploy(result, path, info=info, strict=strict, include_samples=include_samples)

    def to_estimator(self) -> WorkflowEstimator:
        """The fitted estimator of the compiled results, with `predict`, `explain`, `export` and the rest.

        Returns
        -------
        WorkflowEstimator
            As if it had been fitted on the same table with the same parameters.

        Raises
        ------
        InvalidInput
            The stages have not all run.
        """
        return self._estimator(self.artifacts["results"] if "results" in self.artifacts else self.compile_results())

    def _estimator(self, result: FittedWorkflow) -> WorkflowEstimator:
        parameters = {name: value for name, value in self.config.items() if name != "recipe"}
        estimator = WorkflowEstimator(**parameters)
        estimator._learn(result, result.reference)
        return estimator

    def _deploy(self, result: FittedWorkflow, path: str | Path, **options: Any) -> Package:
        with self._stage("deployment"):
            package = self._estimator(result).export(path, **options)
        self.artifacts["package"] = package
        self.metrics["checklist"] = {item.name: item.status for item in package.checklist}
        self.agents = cast((*result.decisions, *_decisions_on_deployment(package)))
        return package


def _decisions_on_deployment(package: Package) -> Iterator[Decision]:
    yield Decision(
        "deployment",
        "serve: the graph" if package.reason is None else "serve: nothing, there is no graph",
        package.reason or "the graph equals predict, and the package's own tests passed where the checklist says so",
        f"{len(package.files)} files, {package.n_passed} of {len(package.checklist)} items of the checklist passed",
    )
