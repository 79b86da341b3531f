"""The stages from a raw table to a fitted, evaluated and explained ensemble, in order, timed and logged.

This page is the table of contents: it is what `WorkflowEstimator.fit` runs, and what `ModelDevelopmentWorkflow` shows
stage by stage. Stage 8, which packages an estimator, is in `orchestrator.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from automl_wf.account import all_rows_findings, decisions_of, search_findings, summary
from automl_wf.bayesian_hpo import (
    PARTITION_SHARE,
    AllRows,
    Configuration,
    Limits,
    SearchRules,
    Trial,
    Tuning,
    train,
    tune,
)
from automl_wf.bayesian_hpo.objective import MIN_PARALLEL_ROWS
from automl_wf.core.agents import cast
from automl_wf.core.budget import Budget
from automl_wf.core.business import check_business, take_columns
from automl_wf.core.checkpoint import Journal
from automl_wf.core.compat import free_memory, give_back_memory, one_blas_thread, peak_memory, usable_threads
from automl_wf.core.criteria import check_requirements, constraints_of
from automl_wf.core.findings import Finding, sort_findings
from automl_wf.core.fingerprint import fingerprint
from automl_wf.core.folds import FoldCache, Folds
from automl_wf.core.frame import learn_schema, take_rows
from automl_wf.core.metrics import Scoring
from automl_wf.core.partitions import PartitionedTable, is_partitioned
from automl_wf.core.progress import Progress
from automl_wf.core.row_sketch import RowSketch
from automl_wf.core.schema import ColumnKind
from automl_wf.core.spread import Workers, at_home
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.core.validation import read_bytes, read_groups, read_weights
from automl_wf.data_preparation import Rows, arrange_rows, prepare_data
from automl_wf.data_preparation.splitting import time_order
from automl_wf.deployment.subject import installed_version
from automl_wf.evaluation import Evaluation, evaluate, measure_shift, shift_findings
from automl_wf.evaluation.bias_correction import Chosen, HonestScore, bias_corrected, repeat_choice
from automl_wf.evaluation.diagnosis import diagnose
from automl_wf.evaluation.groups import sensitive_columns, sensitive_findings
from automl_wf.evaluation.held_out import HeldOut
from automl_wf.evaluation.learning_curve import Refit
from automl_wf.evaluation.reference import drift_reference
from automl_wf.evaluation.scores import Held
from automl_wf.evaluation.shift import AT_RANDOM
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.feature_engineering.plan import FeaturePlan, FittedView, plan_features
from automl_wf.feature_engineering.validation import validate_features
from automl_wf.forecasts import (
    SMALL_ROWS,
    affordable_rounds,
    diagnosis_budget,
    forecast_folds,
    n_bootstraps,
    n_repeats,
    reserve_s,
    search_rows,
)
from automl_wf.interpretation import Explained, Interpretation, interpret
from automl_wf.model_selection import DataProfile, Shortlist, search_patience, shortlist_models
from automl_wf.model_selection.graph import graph_bytes
from automl_wf.problem_definition import Problem, define_problem, read_target
from automl_wf.stages import (
    Data,
    DefinedProblem,
    EngineeredFeatures,
    FittedWorkflow,
    OptimizedModels,
    PreparedData,
    TrainedModels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rows of X that stay after `fit`.
REFERENCE_ROWS = 1_000
#: Out-of-fold predictions of each member stay up to this many rows.
MAX_MEMBER_ROWS = 20_000
#: The stages, as `timings_`, progress and card call them.
STAGES = (
    "problem_definition",
    "data_preparation",
    "feature_engineering",
    "model_selection",
    "bayesian_hpo",
    "evaluation",
    "interpretation",
)


class WorkflowStages:
    """Stages 1 to 7, each callable alone on the result of the one before.

    Parameters
    ----------
    problem_config : mapping, default=None
        The parameters of `WorkflowEstimator`, by name; what is not given has its default.

    Attributes
    ----------
    config : dict
        Every parameter.
    agents : dict of str to Agent
        Who leads and supports which stage, and what was decided there, once results are compiled.
    artifacts : dict
        What the stages made, by name: "problem", "data_plan", "splits", "feature_pipeline", "processed_features",
        "feature_metadata", "feature_validation", "shortlist", "training_history", "optimization_history", "models",
        "evaluation", "interpretation", "results".
    metrics : dict
        "seconds" per stage and, once stage 6 has run, "scores": every metric on out-of-fold predictions, "baseline":
        the same of the baseline, and "business": revenue impact, cost savings and KPIs.

    Raises
    ------
    InvalidParameter
        `problem_config` holds an unknown name, or a memory limit that is no number of bytes.
    """

    #: What the summary of `execute` advises.
    next_call = "workflow.artifacts, workflow.metrics, workflow.agents"

    def __init__(self, problem_config: Mapping[str, Any] | None = None) -> None:
        unknown = sorted(set(problem_config or {}) - set(DEFAULTS))
        if unknown:
            raise InvalidParameter(f"problem_config may hold {sorted(DEFAULTS)}. Got {unknown!r} among them instead.")
        self.config: dict[str, Any] = {**DEFAULTS, **(problem_config or {})}
        self._journal = None if self.config["checkpoint"] is None else Journal(self.config["checkpoint"])
        self.random_state = self.config["random_state"]
        self.seed = self._first_seed()
        self.n_jobs = usable_threads(self.config["n_jobs"])
        self.memory_limit = read_bytes(self.config["memory_limit"], "memory_limit")
        check_business(self.config["business"])
        check_requirements(self.config["requirements"])
        self._begin()

    def _first_seed(self) -> int:
        """The seed asked for; where none is, that of the fit to go on with, or one by a `random_state` drawn here."""
        if self.config["random_state"] is None and self._journal is not None and self._journal.seed is not None:
            return self._journal.seed
        if self.random_state is None:
            self.random_state = int(check_random_state(None).randint(2**31 - 1))
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _begin(self, *, pauses: bool = True) -> None:
        """Nothing is done yet, and the clock starts; where it pauses, it runs inside the stages only."""
        self.agents = cast()
        self.artifacts: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {"seconds": {}}
        self.budget = Budget(self.config["time_budget"])
        #: Seconds of the budget that the stages so far took; None: the clock does not pause.
        self._used_s: float | None = 0.0 if pauses else None
        self._kept: dict[str, Any] = {}
        self._optimized: OptimizedModels | None = None
        self._started = datetime.now(UTC)
        self._cpu_began = time.process_time()
        self._progress = Progress(self.config["verbose"], self.budget)
        self._workers = Workers.configured()
        self._partitions: PartitionedTable | None = None

    def execute(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        owner: str = "ModelDevelopmentWorkflow",
    ) -> FittedWorkflow:
        """Run stages 1 to 7.

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

        Returns
        -------
        FittedWorkflow
            Models and facts.

        Raises
        ------
        InvalidInput
            X, y, weights or groups cannot be used; raised before any model is fitted.
        """
        self._begin(pauses=False)
        with self._progress as progress:
            problem = self._define_problem(X, y, sample_weight, groups, owner)
            data = self.prepare_data(problem)
            features = self.engineer_features(data)
            # Nothing here holds on to stage 4's models, most of which stage 5 lets go.
            optimized = self.optimize_hyperparameters(self.select_and_train_models(features))
            self.evaluate_models(optimized)
            # Last, since it can be cut at any column: what the other stages left of the time is its.
            self.interpret_models(optimized)
            result = self.compile_results()
            progress.say(summary(result, self.next_call))
        return result

    def define_problem(
        self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, owner: str = "ModelDevelopmentWorkflow"
    ) -> DefinedProblem:
        """Stage 1: read the table; task, metric, baseline, constraints and findings. Begins afresh.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            The raw table.
        y : array-like of shape (n_rows,)
            The target.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows.
        groups : array-like of shape (n_rows,), default=None
            Groups or queries.
        owner : str, default="ModelDevelopmentWorkflow"
            Name used in messages.

        Returns
        -------
        DefinedProblem
            The problem, decided before any model is fitted.

        Raises
        ------
        InvalidInput
            X, y, weights or groups cannot be used.
        """
        self._begin()
        return self._define_problem(X, y, sample_weight, groups, owner)

    def _define_problem(self, X: Any, y: Any, sample_weight: Any, groups: Any, owner: str) -> DefinedProblem:
        with self._stage("problem_definition"):
            drawn: tuple[Finding, ...] = ()
            if is_partitioned(X):
                X, y, sample_weight, groups, drawn = self._draw_sample(X, y, sample_weight, groups)
            data = self._read(X, y, sample_weight, groups, owner)
            parameters = {k: self.config[k] for k in ("time_budget", "n_iter", "max_predict_time", "memory_limit")}
            constraints = constraints_of(parameters, self.config["requirements"])
            problem = define_problem(
                data.target,
                data.table,
                scoring=self.config["scoring"],
                pos_label=self.config["pos_label"],
                business=self.config["business"],
                group=data.group,
                constraints=constraints,
                findings=(*drawn, *data.findings),
            )
        self.artifacts["problem"] = problem
        return DefinedProblem(data, problem)

    def _draw_sample(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[pd.DataFrame, pd.Series, pd.Series | None, pd.Series | None, tuple[Finding, ...]]:
        """Rows of a Dask DataFrame for all stages, and how they were drawn; stage 5 fits on all partitions."""
        partitions = PartitionedTable(X, y, sample_weight, groups)
        sample = partitions.draw(self.memory_limit, self.seed % 2**31, is_clocked=self.budget.is_limited)
        # Where the sample is the table itself, the final models need no partitions.
        self._partitions = None if sample.is_everything else partitions
        return sample.X, sample.y, sample.weight, sample.group, sample.findings

    def _read(self, X: Any, y: Any, sample_weight: Any, groups: Any, owner: str) -> Data:
        """Read X, y, weights and groups; everything that makes them unusable is an error here."""
        if y is None or isinstance(y, (str, bytes)):
            read_target(y, self.config["task"], 0, owner)
        X, columns = take_columns(X, self.config["business"])
        schema, table, findings = learn_schema(X, self.config["schema"])
        findings += sensitive_findings(sensitive_columns(self.config["sensitive"], schema))
        target = read_target(y, self.config["task"], table.n_rows, owner)
        weight = read_weights(sample_weight, table.n_rows)
        group = read_groups(groups, table.n_rows)
        if target.task is Task.RANKING and group is None:
            group = np.zeros(table.n_rows, dtype=np.int64)
        reference = _reference(X, table.n_rows, self.seed)
        return Data(schema, table, target, weight, group, tuple(findings), reference, columns)

    def prepare_data(self, defined: DefinedProblem) -> PreparedData:
        """Stage 2: the rows as they are used, and the folds.

        Parameters
        ----------
        defined : DefinedProblem
            Stage 1's result.

        Returns
        -------
        PreparedData
            The rows in the order and number in which they are used, and the folds.
        """
        data, problem = defined.data, defined.problem
        with self._stage("data_preparation"):
            in_order = isinstance(self.config["cv"], str) and _is_time_ordered(data)
            rows = arrange_rows(data.table, data.target.values, data.weight, data.group, in_order=in_order)
            if problem.task is Task.RANKING:
                rows = _by_query(rows)
            table = data.table.take(rows.index)
            n_folds = forecast_folds(table, problem, self.budget, self.n_jobs, self.config["preset"])
            plan = prepare_data(
                problem, data.table, rows, cv=self.config["cv"], n_folds=n_folds, seed=self.seed % 2**31
            )
            _check_classes(problem, rows, plan.folds)
        prepared = PreparedData(data, problem, rows, table, plan)
        self.artifacts["data_plan"] = plan
        self.artifacts["splits"] = prepared.splits
        return prepared

    def engineer_features(self, prepared: PreparedData) -> EngineeredFeatures:
        """Stage 3: the views, as recipes that each fold fits for itself.

        Parameters
        ----------
        prepared : PreparedData
            Stage 2's result.

        Returns
        -------
        EngineeredFeatures
            Unfitted views, and the matrices of folds that look through them, made when they are asked for.
        """
        with self._stage("feature_engineering"):
            problem, table = prepared.problem, prepared.table
            features = plan_features(prepared.data.schema, problem.task, problem.n_classes, table)
            cache = self._fold_cache(problem, prepared.rows, table, prepared.data_plan.folds, features)
            # The view for trees learns nothing from rows: it is the same in every fold.
            view = features.views["tree"].fit(table)
            validation = validate_features(view, table)
        self.artifacts["feature_pipeline"] = features
        self.artifacts["processed_features"] = cache
        self.artifacts["feature_metadata"] = features.metadata(
            view, None if problem.classes is None else problem.classes.tolist()
        )
        self.artifacts["feature_validation"] = validation
        return EngineeredFeatures(**vars(prepared), features=features, cache=cache, validation=validation)

    def select_and_train_models(self, engineered: EngineeredFeatures) -> TrainedModels:
        """Stage 4: which models suit, and why; the portfolio of their configurations is trained, the baseline first.

        Parameters
        ----------
        engineered : EngineeredFeatures
            Stage 3's result.

        Returns
        -------
        TrainedModels
            Models, reasons and trials.

        Raises
        ------
        WorkflowError
            Not even the baseline could be fitted; the reason is given.
        """
        problem, cache = engineered.problem, engineered.cache
        with self._stage("model_selection"):
            shortlist = self._shortlist(engineered)
            n_rows, n_iter = len(cache.y), self.config["n_iter"]
            portfolio = [
                Configuration(name, params, "baseline" if i == 0 else "portfolio")
                for i, (name, params) in enumerate(shortlist.configurations)
            ]
            is_brief = n_rows <= SMALL_ROWS and n_iter is None and self.config["preset"] != "best"
            listed = is_brief or self.config["recipe"] is not None
            # What has nothing to tune is never asked for: then the whole count is the portfolio's.
            asks = not listed and any(spec.space for spec in shortlist.specs.values())
            if self._journal is not None:
                self._journal.begin(_dependencies(problem, shortlist, cache, self.config), seed=self.seed)
            training = train(
                cache,
                problem.task,
                problem.n_classes,
                problem.scoring,
                shortlist.specs,
                portfolio,
                SearchRules(
                    n_iter=None if listed else n_iter,
                    max_trials=len(portfolio) if listed else MAX_TRIALS,
                    asks=asks,
                    patience=search_patience(shortlist.profile),
                ),
                budget=self._search_budget(problem, cache),
                seed=self.seed,
                n_jobs=self.n_jobs,
                journal=self._journal,
                workers=self._workers,
                all_rows=None if self._partitions is None else AllRows(self._partitions, problem.classes),
                on_trial=lambda trial, record: self._progress.trial(
                    trial.configuration.model,
                    trial.score,
                    record.best.score if record.best else float("nan"),
                    len(record.trials),
                ),
            )
        self.artifacts["shortlist"] = shortlist
        self.artifacts["training_history"] = _without_models(training.trials)
        return TrainedModels(**vars(engineered), shortlist=shortlist, training=training)

    def _search_budget(self, problem: Problem, cache: FoldCache) -> Budget:
        """Time for the search; of a table larger than memory all partitions are to be learnt from after it."""
        budget = self.budget.until_reserve(self._reserve_s(problem, cache))
        return budget if self._partitions is None else budget.share(1.0 - PARTITION_SHARE)

    def _reserve_s(self, problem: Problem, cache: FoldCache) -> float:
        return reserve_s(self.budget, len(cache.table.cells), len(cache.folds.rows) * problem.n_classes)

    def _shortlist(self, engineered: EngineeredFeatures) -> Shortlist:
        problem, table = engineered.problem, engineered.table
        rounds = affordable_rounds(table, problem, self.budget, self.n_jobs, len(engineered.data_plan.folds))
        estimators, views = self._choices(problem, engineered.features)
        profile = _profile(engineered, self.config["time_budget"], rounds)
        shortlist = shortlist_models(
            profile,
            estimators=estimators,
            preset=self.config["preset"],
            max_trials=self.config["n_iter"],
            views=views,
        )
        if self.config["recipe"] is not None:
            shortlist = replace(shortlist, configurations=(("dummy", {}), *self.config["recipe"]))
        return shortlist

    def _choices(self, problem: Problem, features: FeaturePlan) -> tuple[Any, frozenset[str]]:
        """Estimators and views that the search may try.

        On a table larger than memory, where nothing is named, these are what can learn from all of it, and the view
        that makes no more columns of it than there are. A recipe names its models.
        """
        named, preset = self.config["estimators"], self.config["preset"]
        is_open = isinstance(named, str) and named == "auto"
        is_large = self._partitions is not None and problem.task is not Task.RANKING
        if is_large and is_open and preset != "interpretable":
            return ["lightgbm"], frozenset({"tree"})
        if is_open and self.config["recipe"] is not None:
            named = sorted({model for model, _ in self.config["recipe"]})
        return named, features.distinct_views

    def optimize_hyperparameters(self, trained: TrainedModels) -> OptimizedModels:
        """Stage 5: the search goes on where that pays; then the blend and the final models.

        Parameters
        ----------
        trained : TrainedModels
            Stage 4's result.

        Returns
        -------
        OptimizedModels
            Trials, weights and models.
        """
        problem, schema = trained.problem, trained.cache.table.schema
        with self._stage("bayesian_hpo"):
            tuning = tune(
                trained.training,
                budget=self.budget,
                reserve=self._reserve_s(problem, trained.cache),
                limits=Limits(problem.constraints.get("max_predict_time"), problem.constraints.get("max_size")),
                graph_bytes=lambda blend: graph_bytes(blend, schema, problem.task, problem.classes),
            )
        self.artifacts["optimization_history"] = _without_models(tuning.trials)
        self.artifacts["models"] = tuning.blend
        kept = {name: value for name, value in vars(trained).items() if name != "training"}
        return OptimizedModels(**kept, tuning=tuning)

    def evaluate_models(self, optimized: OptimizedModels) -> Evaluation:
        """Stage 6: the honest score, every metric beside the baseline's, and where the model fails.

        Parameters
        ----------
        optimized : OptimizedModels
            Stage 5's result.

        Returns
        -------
        Evaluation
            Facts about out-of-fold predictions.
        """
        problem, tuning, cache, rows = optimized.problem, optimized.tuning, optimized.cache, optimized.rows
        with self._stage("evaluation"):
            # Where `execute` runs the stages, the models that the search held are free by now.
            give_back_memory()
            held_out = cache.folds.rows
            y, weight, group = cache.y[held_out], _take(cache.weight, held_out), _take(cache.group, held_out)
            honest = self._honest_score(problem.scoring, tuning, y, weight, group)
            evaluation = evaluate(
                task=problem.task,
                scoring=problem.scoring,
                y=y,
                prediction=tuning.prediction,
                weight=weight,
                group=group,
                baseline_prediction=tuning.baseline.prediction,
                classes=problem.classes,
                threshold=tuning.blend.postprocess.rule,
                business=problem.business,
                columns={role: values[rows.index][held_out] for role, values in optimized.data.columns.items()},
                criteria=problem.criteria,
                seconds_per_row=tuning.seconds_per_row,
                honest=honest,
                n_bootstraps=n_bootstraps(self.budget, len(y)),
                seed=self.seed,
                max_calls=self.budget.share(0.3).calls(tuning.score_time_s),
                fold=cache.folds.fold_of_row,
                positions=rows.index[held_out],
            )
            shift = measure_shift(
                cache.table,
                cache.recipes["tree"],
                cache.folds,
                cache.group,
                is_given=not isinstance(self.config["cv"], (str, int, np.integer)),
                budget=self.budget.share(0.15),
                seed=self.seed,
            )
            evaluation = replace(evaluation, shift=shift)
            evaluation = self._diagnosed(evaluation, optimized)
            self._kept = self._keep(optimized, evaluation)
        self._optimized = optimized
        self.artifacts["evaluation"] = evaluation
        self.metrics["scores"] = {score.name: score.value for score in evaluation.scores}
        self.metrics["baseline"] = {score.name: score.baseline for score in evaluation.scores}
        self.metrics["business"] = {} if evaluation.business is None else evaluation.business.metrics
        return evaluation

    def _honest_score(
        self,
        scoring: Scoring,
        tuning: Tuning,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        group: NDArray[np.int64] | None,
    ) -> HonestScore:
        """The score of the blend on new rows, corrected for the choice among all trials."""
        predictions = _all_predictions(tuning)
        names = [tuning.trials[i].configuration.model for i in (*tuning.candidates, *tuning.rivals)]
        weights = np.append(tuning.choice.weights, np.zeros(len(tuning.rivals)))
        chosen = Chosen(weights, tuning.blend.postprocess)
        with one_blas_thread():
            return bias_corrected(
                predictions,
                repeat_choice(chosen, tuning.choice.strategy, names, scoring, predictions, y, weight),
                scoring,
                y,
                weight,
                group,
                n_bootstraps=n_bootstraps(self.budget, len(y)),
                seed=self.seed,
                budget=self.budget.share(0.4),
                chosen=chosen,
            )

    def _diagnosed(self, evaluation: Evaluation, optimized: OptimizedModels) -> Evaluation:
        """With the facts on where the model fails, as far as a few percent of the time go."""
        problem, tuning, cache, rows = optimized.problem, optimized.tuning, optimized.cache, optimized.rows
        at = cache.folds.rows
        units = rows.group if rows.group is not None else rows.copies
        held_out = HeldOut(
            cache.table if len(at) == cache.table.n_rows else cache.table.take(at),
            Held(
                problem.task,
                cache.y[at],
                tuning.prediction,
                _take(cache.weight, at),
                _take(cache.group if units is None else units, at),
                tuning.blend.postprocess.rule,
            ),
            cache.folds.fold_of_row,
            tuple(_Predictor(tuning, fold) for fold in range(len(cache.folds))),
            problem.scoring,
            tuning.baseline.prediction,
            () if problem.classes is None else tuple(problem.classes.tolist()),
            tuning.score_time_s,
        )
        diagnosis = diagnose(
            held_out,
            sensitive_columns(self.config["sensitive"], cache.table.schema),
            self._refit(optimized),
            seed=self.seed,
            budget=diagnosis_budget(self.budget),
        )
        return replace(evaluation, **vars(diagnosis))

    def _refit(self, optimized: OptimizedModels) -> Refit:
        """The heaviest member, to be fitted again on fewer rows."""
        problem, tuning, cache = optimized.problem, optimized.tuning, optimized.cache
        heaviest = max(tuning.fold_blend.members, key=lambda m: m.weight)
        seconds = [
            t.fit_time_s
            for t in tuning.trials
            if t.configuration.model == heaviest.name and dict(t.configuration.params) == dict(heaviest.params)
        ]
        side_by_side = min(self.n_jobs, len(cache.folds)) if len(cache.y) > MIN_PARALLEL_ROWS else 1
        return Refit(
            cache,
            optimized.shortlist.specs[heaviest.name],
            heaviest.params,
            problem.task,
            problem.n_classes,
            problem.scoring,
            self.seed,
            self.n_jobs,
            max(seconds, default=0.0) * side_by_side / len(cache.folds),
        )

    def interpret_models(self, optimized: OptimizedModels) -> Interpretation:
        """Stage 7: how much each input column matters to the ensemble, and what the ensemble makes of it.

        Parameters
        ----------
        optimized : OptimizedModels
            Stage 5's result.

        Returns
        -------
        Interpretation
            Facts about input columns.
        """
        problem, tuning, cache = optimized.problem, optimized.tuning, optimized.cache
        table, data = optimized.table, optimized.data
        with self._stage("interpretation"):
            predictors = [(_Predictor(tuning, fold), valid) for fold, (_, valid) in enumerate(cache.folds.splits)]
            interpretation = interpret(
                predictors,
                table,
                cache.y,
                cache.weight,
                cache.group,
                problem.scoring,
                [c.position for c in table.schema.used],
                n_repeats=n_repeats(len(cache.y)),
                seed=self.seed,
                budget=self.budget.until_reserve(0.02 * (self.budget.seconds or 0.0)),
                threshold=tuning.blend.postprocess.rule,
                final=Explained(
                    tuning.blend.predict,
                    data.table.take(data.reference[1]),
                    problem.task,
                    () if problem.classes is None else tuple(map(str, problem.classes.tolist())),
                    tuning.blend.postprocess.rule,
                    self.n_jobs,
                    is_baseline=all(m.name == "dummy" for m in tuning.blend.members),
                    parts=tuning.blend.slices(),
                ),
                splits=cache.folds.splits,
            )
        self.artifacts["interpretation"] = interpretation
        return interpretation

    def compile_results(self) -> FittedWorkflow:
        """Put together what stays: models, facts, out-of-fold evidence and a reference sample.

        Returns
        -------
        FittedWorkflow
            What `WorkflowEstimator` shows.

        Raises
        ------
        InvalidInput
            Stages 6 and 7 have not both run.
        """
        optimized, evaluation = self._optimized, self.artifacts.get("evaluation")
        if optimized is None or evaluation is None:
            raise InvalidInput(
                "compile_results needs every stage up to 7. Missing: evaluation; call evaluate_models on what "
                "optimize_hyperparameters returned."
            )
        return self._compile(optimized, evaluation)

    def _compile(self, optimized: OptimizedModels, evaluation: Evaluation) -> FittedWorkflow:
        if "interpretation" not in self.artifacts:
            raise InvalidInput(
                "Results need every stage up to 7. Missing: interpretation; call interpret_models on what "
                "optimize_hyperparameters returned."
            )
        interpretation: Interpretation = self.artifacts["interpretation"]
        kept = self._kept if optimized is self._optimized else self._keep(optimized, evaluation)
        problem, used = replace(optimized.problem, criteria=evaluation.criteria), self._used_s
        decisions = decisions_of(optimized, evaluation, interpretation, self.config)
        result = FittedWorkflow(
            schema=optimized.data.schema,
            problem=problem,
            data_plan=optimized.data_plan,
            features=optimized.features,
            shortlist=optimized.shortlist,
            tuning=_without_spares(optimized.tuning),
            evaluation=evaluation,
            interpretation=interpretation,
            findings=sort_findings(
                [
                    *problem.findings,
                    *optimized.data_plan.findings,
                    *search_findings(problem, optimized.tuning, evaluation, self.config),
                    *all_rows_findings(optimized.tuning, problem.findings),
                    *shift_findings(evaluation.shift),
                ]
            ),
            decisions=decisions,
            timings={**self.metrics["seconds"], "total": self.budget.elapsed() if used is None else used},
            resources=self._resources(),
            splits=optimized.splits,
            created=self._started.isoformat(timespec="seconds"),
            seed=self.seed,
            random_state=self.random_state,
            **kept,
        )
        self.artifacts["problem"], self.artifacts["results"] = problem, result
        self.agents = cast(decisions)
        return result

    def _fold_cache(self, problem: Problem, rows: Rows, table: Table, folds: Folds, features: FeaturePlan) -> FoldCache:
        # Without a clock nothing may depend on the machine.
        default = free_memory() if self.budget.is_limited else 4e9
        memory = default if self.memory_limit is None else self.memory_limit
        return FoldCache(
            table,
            features.views,
            rows.y,
            rows.weight,
            rows.group,
            folds,
            units=rows.group if rows.group is not None else rows.copies,
            seed=self.seed,
            memory_limit=memory / 4,
            max_rows=search_rows(table, self.budget, self.n_jobs),
            has_classes=problem.classes is not None,
        )

    def _keep(self, optimized: OptimizedModels, evaluation: Evaluation) -> dict[str, Any]:
        """What stays of the rows: out-of-fold evidence, a reference sample, counts for drift, and a fingerprint."""
        data, problem, rows, tuning = optimized.data, optimized.problem, optimized.rows, optimized.tuning
        plan, (reference, at) = optimized.data_plan, data.reference
        held_out = plan.folds.rows
        labels = None
        if problem.classes is not None:
            labels = problem.classes[tuning.blend.postprocess.decide(tuning.prediction)]
        fold = None
        if evaluation.shift is None or evaluation.shift.status != AT_RANDOM:
            fold = np.full(data.table.n_rows, -1, dtype=np.int64)
            fold[rows.index[held_out]] = plan.folds.fold_of_row
        evidence = {
            "y": rows.y[held_out],
            "prediction": tuning.prediction,
            "baseline": tuning.baseline.prediction,
            "fold": plan.folds.fold_of_row,
            "row": rows.index[held_out],
            # The blend's candidates, then those that competed with them.
            "members": np.stack(_all_predictions(tuning)) if len(held_out) <= MAX_MEMBER_ROWS else None,
            "blend_weights": tuning.choice.weights,
            "weight": _take(rows.weight, held_out),
            "group": _take(rows.group, held_out),
            **RowSketch.of(data.table.cells, self.seed).arrays,
        }
        return {
            "evidence": {k: v for k, v in evidence.items() if v is not None},
            "reference": reference,
            "reference_y": data.target.values[at],
            "fingerprint": problem.fingerprint.in_order,
            "drift": drift_reference(data.table, tuning.prediction, problem.task, labels, fold),
            "view": self._view_to_keep(optimized.cache, tuning, optimized.shortlist),
        }

    def _view_to_keep(self, cache: FoldCache, tuning: Tuning, shortlist: Shortlist) -> FittedView:
        """The view of the heaviest member, fitted on all rows if the time allows it, else as its first part has it."""
        heaviest = max(tuning.blend.members, key=lambda m: m.weight)
        name = shortlist.specs[heaviest.name].view_of(heaviest.params)
        if self.budget.is_limited and self.budget.left() < cache.forecast_s(name):
            return heaviest.parts[0][0]
        view: FittedView = cache.fitted_view(name)
        return view

    def _resources(self) -> dict[str, float | None]:
        """What the fit used beside seconds; memory is that of the whole process, and of what it did before."""
        return {
            "cpu_seconds": time.process_time() - self._cpu_began,
            "n_threads": self.n_jobs,
            "peak_memory_bytes": peak_memory(),
        }

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        if self._used_s is not None:
            self.budget = self.budget.with_used(self._used_s)
        self._progress.stage(name.replace("_", " "))
        start = time.perf_counter()
        try:
            with at_home(self._workers):
                yield
        finally:
            seconds = self.metrics["seconds"]
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
            if self._used_s is not None:
                self._used_s = self.budget.elapsed()


@dataclass(frozen=True)
class _Predictor:
    """The blend of the models that did not see a fold's rows."""

    tuning: Tuning
    fold: int

    def __call__(self, table: Table) -> NDArray[np.float64]:
        return self.tuning.fold_blend.predict_fold(table, self.fold)


#: Parameters of the workflow and their defaults; `WorkflowEstimator` has the same.
DEFAULTS: dict[str, Any] = {
    "task": "auto",
    "scoring": "auto",
    "time_budget": 60.0,
    "n_iter": None,
    "preset": "balanced",
    "estimators": "auto",
    "cv": "auto",
    "schema": None,
    "pos_label": None,
    "sensitive": None,
    "business": None,
    "requirements": None,
    "max_predict_time": None,
    "memory_limit": None,
    "on_unknown": "ignore",
    "checkpoint": None,
    "n_jobs": None,
    "random_state": None,
    "verbose": 1,
    # (model, hyper-parameters) pairs to fit instead of searching: what `refit` takes over from an earlier fit.
    "recipe": None,
}
#: More configurations than this are never worth their time in one fit.
MAX_TRIALS = 200


def _is_time_ordered(data: Data) -> bool:
    return data.group is None and time_order(data.table) is not None


def _by_query(rows: Rows) -> Rows:
    """Rows of one query side by side, as rankers need them."""
    assert rows.group is not None
    order = np.argsort(rows.group, kind="stable")
    take = {
        k: None if (v := getattr(rows, k)) is None else v[order] for k in ("index", "y", "weight", "group", "copies")
    }
    return replace(rows, **take)  # type: ignore[arg-type]


def _check_classes(problem: Problem, rows: Rows, folds: Folds) -> None:
    if not problem.task.is_classification:
        return
    for i, (taught, _) in enumerate(folds.splits):
        if len(np.unique(rows.y[taught])) < 2:
            raise InvalidInput(
                f"The training rows of split {i} hold one class only. "
                "Give more rows of the rare class, fewer folds, or groups that do not coincide with the classes."
            )


def _profile(engineered: EngineeredFeatures, seconds: float | None, rounds: float | None) -> DataProfile:
    data, problem, table = engineered.data, engineered.problem, engineered.table
    used = data.schema.used
    # Of the rows that are used, as all other facts: those of weight 0 are not, others count as often as they weigh.
    counts = np.bincount(engineered.rows.y, minlength=problem.n_classes) if problem.classes is not None else None
    categories = data.schema.of_kind(ColumnKind.CATEGORICAL, ColumnKind.TEXT)
    n_cells = max(table.n_rows * max(len(used), 1), 1)
    return DataProfile(
        n_rows=table.n_rows,
        n_columns=len(used),
        n_numeric=len(data.schema.of_kind(ColumnKind.NUMERIC, ColumnKind.BOOLEAN)),
        n_categorical=len(categories),
        n_datetime=len(data.schema.of_kind(ColumnKind.DATETIME)),
        n_levels_max=max((c.n_unique for c in categories), default=0),
        missing_share=sum(c.n_missing for c in used) / n_cells,
        task=problem.task,
        n_classes=problem.n_classes,
        smallest_class=int(counts.min()) if counts is not None else table.n_rows,
        n_text=len(data.schema.of_kind(ColumnKind.TEXT)),
        seconds=seconds,
        rounds=rounds,
    )


def _reference(X: Any, n_rows: int, seed: int) -> tuple[Any, NDArray[np.intp]]:
    """At most 1,000 rows of X as given, in their order."""
    at = reference_places(n_rows, seed)
    return take_rows(X, at), at


def reference_places(n_rows: int, seed: int) -> NDArray[np.intp]:
    """Positions of the rows that stay after `fit`, rising."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_rows, size=min(n_rows, REFERENCE_ROWS), replace=False)).astype(np.intp)


def _all_predictions(tuning: Tuning) -> tuple[NDArray[np.float64], ...]:
    return (*tuning.predictions, *tuning.rival_predictions)


def _without_spares(tuning: Tuning) -> Tuning:
    """The blend that predicts alone, and trials without predictions (they are evidence)."""
    return replace(tuning, trials=_without_models(tuning.trials), fold_blend=tuning.blend, rival_predictions=())


def _without_models(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    return tuple(replace(t, learners=(), views=(), prediction=None) for t in trials)


def _dependencies(
    problem: Problem, shortlist: Shortlist, cache: FoldCache, config: Mapping[str, Any]
) -> dict[str, str]:
    """What the trials of a fit depend on: a journal with anything else in it is of another fit."""

    def digest(*arrays: NDArray[Any] | None) -> str:
        return sha256(b"".join(b"-" if a is None else np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

    splits = [part for split in cache.folds.splits for part in split]
    costs = problem.scoring.costs
    return {
        "table": fingerprint(cache.table.cells),
        "kinds of columns": repr([(c.name, c.kind.value, c.is_used) for c in cache.table.schema.columns]),
        "target": digest(cache.y),
        "weights or groups": digest(cache.weight, cache.group),
        "folds": digest(*splits),
        "task": problem.task.value,
        "scoring": problem.scoring.name + ("" if costs is None or problem.scoring.needs == "proba" else f" by {costs}"),
        "estimators": repr(config["estimators"]),
        "models": repr(sorted(shortlist.specs)),
        "version": f"{installed_version('automl-wf')}, lightgbm {installed_version('lightgbm')}",
    }


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]
