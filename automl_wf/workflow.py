"""ModelDevelopmentWorkflow: the eight stages in order, timed and logged. This page is the table of contents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from automl_wf.bayesian_hpo import Configuration, SearchRules, Tuning, tune
from automl_wf.bayesian_hpo.objective import MIN_PARALLEL_ROWS
from automl_wf.core.budget import Budget
from automl_wf.core.business import check_business, take_columns
from automl_wf.core.checkpoint import Journal
from automl_wf.core.compat import free_memory, usable_threads
from automl_wf.core.criteria import check_requirements, criteria_findings
from automl_wf.core.findings import Finding, sort_findings
from automl_wf.core.fingerprint import fingerprint
from automl_wf.core.folds import FoldCache, Folds
from automl_wf.core.frame import learn_schema, take_rows
from automl_wf.core.progress import Progress
from automl_wf.core.schema import ColumnKind, Schema
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.core.validation import read_bytes, read_groups, read_weights
from automl_wf.data_preparation import DataPlan, Rows, arrange_rows, prepare_data
from automl_wf.data_preparation.splitting import time_order
from automl_wf.deployment.subject import installed_version
from automl_wf.evaluation import Evaluation, evaluate, measure_shift, shift_findings
from automl_wf.evaluation.bias_correction import bias_corrected
from automl_wf.evaluation.diagnosis import diagnose, slice_findings
from automl_wf.evaluation.groups import sensitive_columns, sensitive_findings
from automl_wf.evaluation.held_out import HeldOut
from automl_wf.evaluation.learning_curve import Refit
from automl_wf.evaluation.reference import drift_reference
from automl_wf.evaluation.scores import Held
from automl_wf.exceptions import InvalidInput, InvalidParameter
from automl_wf.feature_engineering.plan import FeaturePlan, FittedView, plan_features
from automl_wf.interpretation import Explained, Interpretation, interpret
from automl_wf.model_selection import DataProfile, Shortlist, shortlist_models
from automl_wf.model_selection.ensemble import fit_strategy
from automl_wf.problem_definition import Problem, Target, define_problem, read_target

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rows of X that stay after `fit`.
REFERENCE_ROWS = 1_000
#: Out-of-fold predictions of each member stay up to this many rows.
MAX_MEMBER_ROWS = 20_000
#: Seconds to count the cells of one column into bins, for drift.
KEEPING_S = 4e-4
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


#: Who leads and who supports each stage, as the workflow's author cast them.
AGENTS: dict[str, tuple[str, str | None]] = {
    "problem_definition": ("Insight Generator", "Statistical Analyst"),
    "data_preparation": ("Data Explorer", "ML Engineer"),
    "feature_engineering": ("ML Engineer", "Statistical Analyst"),
    "model_selection": ("ML Engineer", None),
    "bayesian_hpo": ("ML Engineer", "Statistical Analyst"),
    "evaluation": ("ML Engineer", "Statistical Analyst"),
    "interpretation": ("Insight Generator", "ML Engineer"),
    "deployment": ("ML Engineer", "Insight Generator"),
}


@dataclass(frozen=True)
class Decision:
    """What a stage decided, why, and on which fact."""

    stage: str
    decision: str
    reason: str


@dataclass(frozen=True)
class Data:
    """X, y, weights and groups, read."""

    schema: Schema
    table: Table
    target: Target
    weight: NDArray[np.float64] | None
    group: NDArray[np.int64] | None
    findings: tuple[Finding, ...]
    #: Columns that `business` names, by role; outcomes are in no other place.
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


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
    splits: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    evidence: Mapping[str, NDArray[Any]]
    reference: pd.DataFrame | NDArray[Any]
    reference_y: NDArray[Any]
    fingerprint: str
    drift: Mapping[str, Any]
    view: FittedView
    created: str
    seed: int


class ModelDevelopmentWorkflow:
    """The model development workflow, from a raw table to a fitted, evaluated and explained ensemble.

    Parameters
    ----------
    problem_config : mapping, default=None
        The parameters of `WorkflowEstimator`, by name; what is not given has its default.

    Attributes
    ----------
    artifacts : dict
        Result of each stage that has run, by the stage's name.
    metrics : dict
        "seconds" per stage and, once stage 6 has run, "scores": every metric on out-of-fold predictions, and
        "business": revenue impact, cost savings and KPIs.
    agents : dict of str to (lead, support)
        The roles of each stage.

    Raises
    ------
    InvalidParameter
        `problem_config` holds an unknown name, or a memory limit that is no number of bytes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from automl_wf import ModelDevelopmentWorkflow
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> workflow = ModelDevelopmentWorkflow({"n_iter": 3, "time_budget": None, "verbose": 0})
    >>> result = workflow.execute(X, y)
    >>> result.problem.task.value
    'multiclass'
    """

    def __init__(self, problem_config: Mapping[str, Any] | None = None) -> None:
        unknown = sorted(set(problem_config or {}) - set(DEFAULTS))
        if unknown:
            raise InvalidParameter(f"problem_config may hold {sorted(DEFAULTS)}. Got {unknown!r} among them instead.")
        self.agents = dict(AGENTS)
        self.config: dict[str, Any] = {**DEFAULTS, **(problem_config or {})}
        self._journal = None if self.config["checkpoint"] is None else Journal(self.config["checkpoint"])
        self.seed = self._first_seed()
        self.n_jobs = usable_threads(self.config["n_jobs"])
        self.memory_limit = read_bytes(self.config["memory_limit"], "memory_limit")
        check_business(self.config["business"])
        check_requirements(self.config["requirements"])
        self._begin()

    def _first_seed(self) -> int:
        """The seed asked for; where none is, that of the fit to go on with."""
        if self.config["random_state"] is None and self._journal is not None and self._journal.seed is not None:
            return self._journal.seed
        return int(check_random_state(self.config["random_state"]).randint(2**31 - 1))

    def _begin(self) -> None:
        """Nothing is done yet, and the clock starts."""
        self.artifacts: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {"seconds": {}}
        self.budget = Budget(self.config["time_budget"])
        self._progress = Progress(self.config["verbose"], self.budget)

    def execute(
        self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, owner: str = "ModelDevelopmentWorkflow"
    ) -> FittedWorkflow:
        """Run stages 1 to 7; stage 8 is `WorkflowEstimator.export`.

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
        started = datetime.now(UTC)
        self._begin()
        with self._progress as progress:
            data = self.read(X, y, sample_weight, groups, owner)
            problem = self.define_problem(data)
            rows, table, plan = self.prepare_data(data, problem)
            features = self.engineer_features(data, problem, table)
            shortlist = self.select_models(data, problem, table)
            cache = self._fold_cache(problem, rows, table, plan.folds, features)
            tuning = self.optimize_hyperparameters(problem, shortlist, cache)
            columns = {role: values[rows.index] for role, values in data.columns.items()}
            evaluation = self.evaluate_models(problem, tuning, cache, columns, rows)
            problem = self.artifacts["problem_definition"] = replace(problem, criteria=evaluation.criteria)
            kept = self._keep(X, data, problem, rows, cache, plan, shortlist, tuning)
            # Last, since it can be cut at any column: what the other stages left of the time is its.
            reference = data.table.take(_reference_places(data.table.n_rows, self.seed))
            interpretation = self.interpret_models(problem, tuning, cache, table, reference)
            result = FittedWorkflow(
                schema=data.schema,
                problem=problem,
                data_plan=plan,
                features=features,
                shortlist=shortlist,
                tuning=_without_spares(tuning),
                evaluation=evaluation,
                interpretation=interpretation,
                findings=sort_findings(
                    [
                        *problem.findings,
                        *plan.findings,
                        *_search_findings(tuning, evaluation, self.config),
                        *shift_findings(evaluation.shift),
                    ]
                ),
                decisions=_decisions(problem, plan, shortlist, tuning, cache.thinned),
                timings={**self.metrics["seconds"], "total": self.budget.elapsed()},
                created=started.isoformat(timespec="seconds"),
                seed=self.seed,
                **kept,
            )
            progress.say(_summary(result))
        return result

    def read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        owner: str = "ModelDevelopmentWorkflow",
    ) -> Data:
        """Read X, y, weights and groups; everything that makes them unusable is an error here.

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
        Data
            Schema, cells, target, weights and groups.
        """
        with self._stage("problem_definition"):
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
            return Data(schema, table, target, weight, group, tuple(findings), columns)

    def define_problem(self, data: Data) -> Problem:
        """Stage 1: task, metric, baseline, constraints and findings.

        Parameters
        ----------
        data : Data
            What `read` returned.

        Returns
        -------
        Problem
            The problem, decided before any model is fitted.
        """
        with self._stage("problem_definition"):
            limits = {k: self.config[k] for k in ("time_budget", "n_iter", "max_predict_time", "memory_limit")}
            constraints = {**{k: v for k, v in limits.items() if v is not None}, **(self.config["requirements"] or {})}
            problem = define_problem(
                data.target,
                data.table,
                scoring=self.config["scoring"],
                pos_label=self.config["pos_label"],
                business=self.config["business"],
                group=data.group,
                constraints=constraints,
                findings=data.findings,
            )
        self.artifacts["problem_definition"] = problem
        return problem

    def prepare_data(self, data: Data, problem: Problem) -> tuple[Rows, Table, DataPlan]:
        """Stage 2: the rows as they are used, and the folds.

        Parameters
        ----------
        data : Data
            What `read` returned.
        problem : Problem
            Stage 1's result.

        Returns
        -------
        rows : Rows
            The rows in the order and number in which they are used.
        table : Table
            Their cells.
        plan : DataPlan
            The folds, and what was done.
        """
        with self._stage("data_preparation"):
            in_order = isinstance(self.config["cv"], str) and _is_time_ordered(data)
            rows = arrange_rows(data.table, data.target.values, data.weight, data.group, in_order=in_order)
            if problem.task is Task.RANKING:
                rows = _by_query(rows)
            table = data.table.take(rows.index)
            n_folds = _forecast_folds(table, problem, self.budget, self.n_jobs, self.config["preset"])
            plan = prepare_data(
                problem, data.table, rows, cv=self.config["cv"], n_folds=n_folds, seed=self.seed % 2**31
            )
            _check_classes(problem, rows, plan.folds)
        self.artifacts["data_preparation"] = plan
        return rows, table, plan

    def engineer_features(self, data: Data, problem: Problem, table: Table) -> FeaturePlan:
        """Stage 3: the views, as recipes that each fold fits for itself.

        Parameters
        ----------
        data : Data
            What `read` returned.
        problem : Problem
            Stage 1's result.
        table : Table
            The rows in use.

        Returns
        -------
        FeaturePlan
            Unfitted views.
        """
        with self._stage("feature_engineering"):
            features = plan_features(data.schema, problem.task, problem.n_classes, table)
        self.artifacts["feature_engineering"] = features
        return features

    def select_models(self, data: Data, problem: Problem, table: Table) -> Shortlist:
        """Stage 4: which models suit, and why.

        Parameters
        ----------
        data : Data
            What `read` returned.
        problem : Problem
            Stage 1's result.
        table : Table
            The rows in use.

        Returns
        -------
        Shortlist
            Models, reasons, and configurations in the order in which they are tried.
        """
        with self._stage("model_selection"):
            shortlist = shortlist_models(
                _profile(data, problem, table, self.config["time_budget"], self._rounds(problem, table)),
                estimators=self.config["estimators"],
                preset=self.config["preset"],
                max_trials=self.config["n_iter"],
                views=self.artifacts["feature_engineering"].distinct_views,
            )
            if self.config["recipe"] is not None:
                shortlist = replace(shortlist, configurations=(("dummy", {}), *self.config["recipe"]))
        self.artifacts["model_selection"] = shortlist
        return shortlist

    def optimize_hyperparameters(self, problem: Problem, shortlist: Shortlist, cache: FoldCache) -> Tuning:
        """Stage 5: trials, blend and final models.

        Parameters
        ----------
        problem : Problem
            Stage 1's result.
        shortlist : Shortlist
            Stage 4's result.
        cache : FoldCache
            The folds' matrices.

        Returns
        -------
        Tuning
            Trials, weights and models.
        """
        with self._stage("bayesian_hpo"):
            n_rows, n_iter = len(cache.y), self.config["n_iter"]
            portfolio = [
                Configuration(name, params, "baseline" if i == 0 else "portfolio")
                for i, (name, params) in enumerate(shortlist.configurations)
            ]
            is_brief = n_rows <= SMALL_ROWS and n_iter is None and self.config["preset"] != "best"
            listed = is_brief or self.config["recipe"] is not None
            if self._journal is not None:
                self._journal.begin(_dependencies(problem, shortlist, cache, self.config), seed=self.seed)
            tuning = tune(
                cache,
                problem.task,
                problem.n_classes,
                problem.scoring,
                shortlist.specs,
                portfolio,
                SearchRules(None if listed else n_iter, len(portfolio) if listed else MAX_TRIALS, asks=not listed),
                budget=self.budget,
                reserve=_reserve(self.budget, len(cache.table.cells)),
                seed=self.seed,
                n_jobs=self.n_jobs,
                max_seconds_per_row=self.config["max_predict_time"],
                journal=self._journal,
                on_trial=lambda trial, record: self._progress.trial(
                    trial.configuration.model,
                    trial.score,
                    record.best.score if record.best else float("nan"),
                    len(record.trials),
                ),
            )
        self.artifacts["bayesian_hpo"] = tuning
        return tuning

    def evaluate_models(
        self,
        problem: Problem,
        tuning: Tuning,
        cache: FoldCache,
        columns: Mapping[str, NDArray[Any]] | None = None,
        rows: Rows | None = None,
    ) -> Evaluation:
        """Stage 6: the honest score, every metric beside the baseline's, and where the model fails.

        Parameters
        ----------
        problem : Problem
            Stage 1's result.
        tuning : Tuning
            Stage 5's result.
        cache : FoldCache
            The folds' matrices.
        columns : mapping of str to ndarray of shape (n_rows,), or None, default=None
            Columns of these rows that `business` names, by role.
        rows : Rows or None, default=None
            Stage 2's rows, so that errors are named by their position in X as given.

        Returns
        -------
        Evaluation
            Facts about out-of-fold predictions.
        """
        with self._stage("evaluation"):
            held_out = cache.folds.rows
            y, weight, group = cache.y[held_out], _take(cache.weight, held_out), _take(cache.group, held_out)
            names = [tuning.trials[i].configuration.model for i in tuning.candidates]

            def select(predictions: Any, y: Any, weight: Any, group: Any) -> NDArray[np.float64]:
                return fit_strategy(tuning.choice.strategy, predictions, y, weight, group, problem.scoring, names)

            honest = bias_corrected(
                tuning.predictions,
                select,
                problem.scoring,
                y,
                weight,
                group,
                n_bootstraps=_n_bootstraps(self.budget, len(y)),
                seed=self.seed,
                budget=self.budget.share(0.4),
            )
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
                columns={role: values[held_out] for role, values in (columns or {}).items()},
                criteria=problem.criteria,
                seconds_per_row=tuning.seconds_per_row,
                honest=honest,
                n_bootstraps=_n_bootstraps(self.budget, len(y)),
                seed=self.seed,
                max_calls=self.budget.share(0.3).calls(tuning.score_time_s),
                fold=cache.folds.fold_of_row,
                positions=None if rows is None else rows.index[held_out],
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
            evaluation = self._diagnosed(evaluation, problem, tuning, cache, rows)
        self.artifacts["evaluation"] = evaluation
        self.metrics["scores"] = {score.name: score.value for score in evaluation.scores}
        self.metrics["business"] = {} if evaluation.business is None else evaluation.business.metrics
        return evaluation

    def _diagnosed(
        self, evaluation: Evaluation, problem: Problem, tuning: Tuning, cache: FoldCache, rows: Rows | None
    ) -> Evaluation:
        """With the facts on where the model fails, as far as a few percent of the time go."""
        at = cache.folds.rows
        units = None if rows is None else rows.group if rows.group is not None else rows.copies
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
            self._refit(problem, tuning, cache),
            seed=self.seed,
            budget=_for_diagnosis(self.budget),
        )
        return replace(evaluation, **vars(diagnosis))

    def _refit(self, problem: Problem, tuning: Tuning, cache: FoldCache) -> Refit:
        """The heaviest member, to be fitted again on fewer rows."""
        heaviest = max(tuning.fold_blend.members, key=lambda m: m.weight)
        shortlist: Shortlist = self.artifacts["model_selection"]
        seconds = [
            t.fit_time_s
            for t in tuning.trials
            if t.configuration.model == heaviest.name and dict(t.configuration.params) == dict(heaviest.params)
        ]
        side_by_side = min(self.n_jobs, len(cache.folds)) if len(cache.y) > MIN_PARALLEL_ROWS else 1
        return Refit(
            cache,
            shortlist.specs[heaviest.name],
            heaviest.params,
            problem.task,
            problem.n_classes,
            problem.scoring,
            self.seed,
            self.n_jobs,
            max(seconds, default=0.0) * side_by_side / len(cache.folds),
        )

    def interpret_models(
        self, problem: Problem, tuning: Tuning, cache: FoldCache, table: Table, reference: Table | None = None
    ) -> Interpretation:
        """Stage 7: how much each input column matters to the ensemble, and what the ensemble makes of it.

        Parameters
        ----------
        problem : Problem
            Stage 1's result.
        tuning : Tuning
            Stage 5's result.
        cache : FoldCache
            The folds' matrices.
        table : Table
            The rows in use.
        reference : Table or None, default=None
            Rows on which the final ensemble is explained. None: the first ones in use.

        Returns
        -------
        Interpretation
            Facts about input columns.
        """
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
                n_repeats=_n_repeats(len(cache.y)),
                seed=self.seed,
                budget=self.budget.until_reserve(0.02 * (self.budget.seconds or 0.0)),
                threshold=tuning.blend.postprocess.rule,
                final=Explained(
                    tuning.blend.predict,
                    table.take(slice(0, REFERENCE_ROWS)) if reference is None else reference,
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

    def _rounds(self, problem: Problem, table: Table) -> float | None:
        """Boosting rounds per fold that a fair share of the time affords; None without a clock."""
        if self.budget.seconds is None or table.n_rows <= SMALL_ROWS:
            return None
        plan: DataPlan = self.artifacts["data_preparation"]
        growth = table.n_rows / (self._search_rows(table) or table.n_rows)
        per_round = len(plan.folds) * _seconds_per_round(table, problem, self.n_jobs)
        return growth * FAIR_SHARE * self.budget.seconds / per_round

    def _search_rows(self, table: Table) -> int | None:
        """Rows that configurations are compared on, where all of them would leave too few rounds; None: all."""
        if self.budget.seconds is None or table.n_rows <= HOLD_OUT_ROWS:
            return None
        rounds = FAIR_SHARE * self.budget.seconds / _seconds_per_tree(table, self.n_jobs)
        return None if rounds >= FEWEST_ROUNDS else max(int(table.n_rows * rounds / FEWEST_ROUNDS), HOLD_OUT_ROWS)

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
            max_rows=self._search_rows(table),
            has_classes=problem.classes is not None,
        )

    def _keep(
        self,
        X: Any,
        data: Data,
        problem: Problem,
        rows: Rows,
        cache: FoldCache,
        plan: DataPlan,
        shortlist: Shortlist,
        tuning: Tuning,
    ) -> dict[str, Any]:
        """What stays of the rows: out-of-fold evidence, a reference sample, counts for drift, and a fingerprint."""
        reference, at = _reference(take_columns(X, self.config["business"])[0], data.table.n_rows, self.seed)
        held_out = plan.folds.rows
        labels = None
        if problem.classes is not None:
            labels = problem.classes[tuning.blend.postprocess.decide(tuning.prediction)]
        evidence = {
            "y": rows.y[held_out],
            "prediction": tuning.prediction,
            "baseline": tuning.baseline.prediction,
            "fold": plan.folds.fold_of_row,
            "row": rows.index[held_out],
            "members": np.stack(tuning.predictions) if len(held_out) <= MAX_MEMBER_ROWS else None,
            "blend_weights": tuning.choice.weights,
            "weight": _take(rows.weight, held_out),
            "group": _take(rows.group, held_out),
        }
        return {
            "splits": tuple((rows.index[a], rows.index[b]) for a, b in plan.folds.splits),
            "evidence": {k: v for k, v in evidence.items() if v is not None},
            "reference": reference,
            "reference_y": data.target.values[at],
            "fingerprint": problem.fingerprint.in_order,
            "drift": drift_reference(data.table, tuning.prediction, problem.task, labels),
            "view": self._view_to_keep(cache, tuning, shortlist),
        }

    def _view_to_keep(self, cache: FoldCache, tuning: Tuning, shortlist: Shortlist) -> FittedView:
        """The view of the heaviest member, fitted on all rows if the time allows it, else as its first part has it."""
        heaviest = max(tuning.blend.members, key=lambda m: m.weight)
        name = shortlist.specs[heaviest.name].view_of(heaviest.params)
        if self.budget.is_limited and self.budget.left() < cache.forecast_s(name):
            return heaviest.parts[0][0]
        view: FittedView = cache.fitted_view(name)
        return view

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._progress.stage(name.replace("_", " "))
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.metrics["seconds"]
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class _Predictor:
    """The blend of the models that did not see a fold's rows."""

    tuning: Tuning
    fold: int
    cache: dict[str, Any] = field(default_factory=dict, compare=False)

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
#: Up to this many rows the configurations follow from the size alone, and the clock is only a guard.
SMALL_ROWS = 2_000
#: From this many rows on a hold-out part is large enough to compare models by.
HOLD_OUT_ROWS = 20_000
#: One model's share of the time; where it affords fewer boosting rounds than this, models are compared on fewer rows.
FAIR_SHARE, FEWEST_ROUNDS = 0.25, 100
#: Folds of a preset; five for the others.
FOLDS = {"best": 8}
#: More configurations than this are never worth their time in one fit.
MAX_TRIALS = 200


def _reserve(budget: Budget, n_columns: int) -> float:
    """Seconds kept for blending, evaluation, what is kept of each column, and interpretation."""
    if budget.seconds is None:
        return 0.0
    return max(0.12 * budget.seconds, min(0.5, 0.3 * budget.seconds)) + KEEPING_S * n_columns


def _for_diagnosis(budget: Budget) -> Budget:
    """A few percent of all time; where the search ended early, a fraction of what it took."""
    if budget.seconds is None:
        return Budget()
    return Budget(max(min(0.3 * budget.left(), 0.04 * budget.seconds, max(0.1 * budget.elapsed(), 0.15)), 0.0))


def _n_bootstraps(budget: Budget, n_rows: int) -> int:
    return 200 if n_rows > SMALL_ROWS and (budget.seconds is None or budget.seconds >= 30) else 100


def _n_repeats(n_rows: int) -> int:
    return 3 if n_rows > SMALL_ROWS else 2


def _forecast_folds(table: Table, problem: Problem, budget: Budget, n_jobs: int, preset: str = "balanced") -> int:
    """Five folds (eight for the preset "best"), three or one hold-out part: so that several models fit into the time.

    By a cost model of LightGBM: a tree of 31 leaves takes about 0.7 ms plus 2.2 ms per million cells; a model is
    counted as 300 rounds on 10,000 rows or fewer, and as more on more: four times the rows take about twice the rounds.
    """
    if budget.seconds is None or table.n_rows <= SMALL_ROWS:
        return FOLDS.get(preset, 5)
    n_rounds = 300 * max(table.n_rows / 10_000, 1.0) ** 0.5
    model = n_rounds * _seconds_per_round(table, problem, n_jobs)
    for n_folds in (FOLDS.get(preset, 5), 5, 3):
        # One hold-out part of few rows tells little: rather three folds for few models.
        n_models = 3 if n_folds == 3 and table.n_rows < HOLD_OUT_ROWS else 6
        if n_models * n_folds * model <= 0.7 * budget.seconds:
            return n_folds
    return 1


def _seconds_per_round(table: Table, problem: Problem, n_jobs: int) -> float:
    """One boosting round on all rows."""
    trees_per_round = problem.n_classes if problem.task is Task.MULTICLASS else 1
    return trees_per_round * _seconds_per_tree(table, n_jobs)


def _seconds_per_tree(table: Table, n_jobs: int) -> float:
    """One tree of boosting on all rows, from a cost model that was measured on two threads."""
    n_columns = max(len(table.schema.used), 1)
    return (0.7e-3 + 2.2e-3 * table.n_rows * n_columns / 1e6) * (2.0 / max(n_jobs, 1))


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
    for i, (train, _) in enumerate(folds.splits):
        if len(np.unique(rows.y[train])) < 2:
            raise InvalidInput(
                f"The training rows of split {i} hold one class only. "
                "Give more rows of the rare class, fewer folds, or groups that do not coincide with the classes."
            )


def _profile(data: Data, problem: Problem, table: Table, seconds: float | None, rounds: float | None) -> DataProfile:
    used = data.schema.used
    counts = np.bincount(data.target.values, minlength=problem.n_classes) if problem.classes is not None else None
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
        seconds=seconds,
        rounds=rounds,
    )


def _reference(X: Any, n_rows: int, seed: int) -> tuple[Any, NDArray[np.intp]]:
    """At most 1,000 rows of X as given, in their order."""
    at = _reference_places(n_rows, seed)
    return take_rows(X, at), at


def _reference_places(n_rows: int, seed: int) -> NDArray[np.intp]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_rows, size=min(n_rows, REFERENCE_ROWS), replace=False)).astype(np.intp)


def _without_spares(tuning: Tuning) -> Tuning:
    """Trials without the fitted models that the blend does not use, and without predictions (they are evidence)."""
    trials = tuple(replace(t, learners=(), views=(), prediction=None) for t in tuning.trials)
    return replace(tuning, trials=trials, fold_blend=tuning.blend)


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


def _search_findings(tuning: Tuning, evaluation: Evaluation, config: Mapping[str, Any]) -> list[Finding]:
    found = slice_findings(evaluation.slices)
    failed = [t for t in tuning.trials if t.status == "failed"]
    if failed:
        found.append(
            Finding(
                "failed_trials",
                "warning",
                f"{len(failed)} of {len(tuning.trials)} configurations failed, the first "
                f"({failed[0].configuration.model}) with: {failed[0].reason[:200]}",
                "See the column `reason` of leaderboard_.",
            )
        )
    if tuning.is_clock_limited and config["n_iter"] is not None:
        found.append(
            Finding(
                "clock_limited",
                "info",
                f"The time budget ended the search after {len(tuning.trials)} of {config['n_iter']} configurations.",
                "Set time_budget=None for a result that repeats bit by bit.",
            )
        )
    if tuning.unwritten:
        found.append(
            Finding(
                "checkpoint_incomplete",
                "warning",
                f"A trial could not be written to the checkpoint and would be run again: {tuning.unwritten[:200]}",
                "Estimators of your own must be picklable; check the space left in the folder.",
            )
        )
    if all(t.configuration.source == "baseline" for t in tuning.trials if t.status == "ok"):
        found.append(
            Finding(
                "only_baseline",
                "serious",
                "Only the baseline could be fitted in the time.",
                "Give more time, fewer columns, or a sample of the rows.",
            )
        )
    found += criteria_findings(evaluation.criteria)
    if evaluation.beats_baseline is False:
        found.append(
            Finding(
                "not_better_than_baseline",
                "serious",
                "The model is not better than the baseline beyond chance.",
                "Look for columns that have to do with the target; do not use this model.",
            )
        )
    return found


def _decisions(
    problem: Problem,
    plan: DataPlan,
    shortlist: Shortlist,
    tuning: Tuning,
    thinned: Mapping[str, tuple[int, int]],
) -> tuple[Decision, ...]:
    models = ", ".join(f"{m.name} ({m.weight:.2f})" for m in tuning.blend.members)
    return (
        Decision("problem_definition", f"task: {problem.task.value}", f"target {problem.target_name!r}"),
        Decision("problem_definition", f"metric: {problem.scoring.name}", "given by the user or the task's default"),
        Decision("data_preparation", f"folds: {plan.folds.description}", f"{plan.n_rows} rows"),
        Decision("data_preparation", f"classes: {plan.imbalance}", "class shares"),
        *(Decision("model_selection", f"model: {r.name}", r.reason) for r in shortlist.recommendations),
        *(
            Decision("bayesian_hpo", f"view {view}: compared on {some:,} of {all_:,} rows", "time and memory")
            for view, (some, all_) in thinned.items()
        ),
        Decision(
            "bayesian_hpo", f"ensemble ({tuning.choice.strategy}): {models}", "best on rows not used for its weights"
        ),
        *_decision_rule(problem, tuning),
        Decision("bayesian_hpo", f"final models: {tuning.finish}", f"{plan.n_rows} rows"),
        Decision(
            "bayesian_hpo",
            f"search ended: {tuning.ended}",
            f"{len(tuning.trials)} configurations"
            + (f", {tuning.n_resumed} of them from the checkpoint" if tuning.n_resumed else ""),
        ),
    )


def _decision_rule(problem: Problem, tuning: Tuning) -> tuple[Decision, ...]:
    """By what a class is decided on, or a value shifted, where that is not left to the most probable one."""
    post, is_by_costs = tuning.blend.postprocess, problem.scoring.costs is not None
    why = "costs of errors" if is_by_costs else f"better {problem.scoring.label} on rows not used to choose it"
    if post.costs is not None:
        return (Decision("bayesian_hpo", "decision: the class with the least expected cost", why),)
    if post.threshold is not None and problem.classes is not None:
        if is_by_costs and post.threshold != problem.scoring.rule:
            why = f"cheaper than {problem.scoring.rule:.4g}, which the costs imply, on rows not used to choose it"
        label = problem.classes.tolist()[1]
        return (Decision("bayesian_hpo", f"decision: {label!r} from a probability of {post.threshold:.4g}", why),)
    if post.shift != 0.0:
        return (Decision("bayesian_hpo", f"predictions are shifted by {post.shift:.4g}", why),)
    return ()


def _summary(result: FittedWorkflow) -> list[str]:
    """Five lines: the model, the honest score with its interval, the baseline, the gravest finding, the next call."""
    members = ", ".join(f"{m.name} {m.weight:.0%}" for m in result.tuning.blend.members[:4])
    evaluation = result.evaluation
    honest = evaluation.honest
    name = result.problem.scoring.label
    natural = result.problem.scoring.natural
    if honest is not None and honest.value is not None and honest.interval is not None:
        low, high = sorted(natural(end) for end in honest.interval)
        score = f"{name}: {natural(honest.value):.5g} on new rows, 95 % interval {low:.5g} to {high:.5g}"
    else:
        score = f"{name}: {natural(result.tuning.best.score):.5g} out of fold (too little for an interval)"
    gravest = result.findings[0] if result.findings else None
    n_trials, seconds = len(result.tuning.trials), result.timings["total"]
    return [
        f"model: {members}; {n_trials} configurations in {seconds:.1f} s",
        score,
        f"baseline: {natural(result.tuning.baseline.score):.5g} ({result.problem.baseline})",
        f"finding: {gravest.message} {gravest.advice}" if gravest else "finding: none",
        "next: model.leaderboard_, model.evaluate(X_test, y_test), model.export('model_package')",
    ]


def _take(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]
