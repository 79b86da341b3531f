"""WorkflowEstimator and its fixed-task kin: parameters, fit, predict, tags; the work is done below."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.metrics import accuracy_score, ndcg_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, TransformerTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from automl_wf.core.business import outcome_names, take_columns
from automl_wf.core.compat import HasMethods, Interval, StrOptions, check_parameters, usable_threads
from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.metrics import cost_scoring
from automl_wf.core.partitions import is_partitioned
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.core.validation import read_groups, read_weights
from automl_wf.deployment import Package, Subject
from automl_wf.evaluation import Evaluation, evaluate
from automl_wf.evaluation.groups import measure_groups, sensitive_columns
from automl_wf.evaluation.scores import Held
from automl_wf.exceptions import InvalidInput, InvalidParameter, PackageError, WorkflowWarning
from automl_wf.model_selection.pipeline import FittedPipeline
from automl_wf.problem_definition import read_target
from automl_wf.problem_definition.target import encode_labels
from automl_wf.results import cv_results, feature_importances, feature_metadata, history, leaderboard, subject_of
from automl_wf.stages import FittedWorkflow
from automl_wf.workflow import WorkflowStages

if TYPE_CHECKING:
    from onnx import ModelProto


def _listed(costs: Costs | None) -> list[list[float]] | None:
    return None if costs is None else [list(row) for row in costs.matrix]


def _has_classes(estimator: WorkflowEstimator) -> bool:
    """Whether `predict_proba` makes sense: for classes, or while the task is not known yet."""
    task = getattr(estimator, "task_", None)
    return task.is_classification if task is not None else estimator._family in ("auto", "classification")


class WorkflowEstimator(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """AutoML for raw tables: one `fit` recommends, engineers, searches, blends and evaluates; `export` makes a package.

    With `task="auto"` the task is decided in `fit`, so an *outer* cross-validation cannot know that it should stratify:
    there, use `WorkflowClassifier`, `WorkflowRegressor` or `WorkflowRanker`.

    Parameters
    ----------
    task : {"auto", "classification", "regression", "ranking"}, default="auto"
        "auto": text, booleans and at most 20 distinct whole numbers are classes, other numbers are regression.
    scoring : str or callable, default="auto"
        scikit-learn scorer name or `scorer(estimator, X, y)`; "auto": ROC AUC, log loss, RMSE or NDCG. Ranking also
        knows "ndcg", "map", "mrr" and "precision_at_k".
    time_budget : float or None, default=60.0
        Seconds for the whole of `fit`; None: until converged or `n_iter`.
    n_iter : int or None, default=None
        Number of configurations. With `time_budget=None` the result is the same bit by bit from run to run.
    preset : {"fast", "balanced", "best", "interpretable"}, default="balanced"
        Effort. "fast": at most six configurations. "best": eight folds, larger forests where any are named, the
        smaller learning rates that an hour would allow, and Bayesian optimisation on small tables too; slower to fit
        and to predict.
        "interpretable": linear models and one small tree.
    estimators : "auto" or list, default="auto"
        Names or families of the catalogue; names with hyper-parameters that are held, as in `("lightgbm", {"sampling":
        "balanced"})`; and (name, estimator) pairs of one's own. "auto": all that are installed but "random_forest",
        "extra_trees" and "mlp", which lower the error on some tables, but were not shown to over many; "mlp" joins
        where there is time for few boosting rounds on many rows of many classes.
    cv : "auto", int, splitter or iterable of (train, test), default="auto"
        "auto" decides by size, groups and time order.
    schema : dict, default=None
        Kinds of columns that the user knows better: "numeric", "boolean", "categorical", "text" (its words count),
        "datetime" or "identifier" (not used), by column.
    pos_label : label, default=None
        The positive class; None: the larger label.
    sensitive : list of column names, default=None
        Columns of X to report metrics by group for (`evaluation_.groups`): what differs, with intervals, no verdict.
        They stay inputs of the model, and a finding says so.
    business : dict, default=None
        What predictions are worth, by any of these keys. Amounts are in one unit of money ("currency" names it).
        Classes: "cost_matrix" ([true][predicted] in the order of the sorted classes, or a mapping of mappings;
        negative costs are gains), or "cost_per_false_positive" and "cost_per_false_negative" (two classes), or
        "cost_per_error"; "revenue_per_unit" (per row of the positive class that is found); "baseline_errors"
        (errors made today on as many rows). Regression: "cost_per_unit_over" and "cost_per_unit_under". Ranking:
        the columns of X that are named by "item", and by "clicks", "conversions" and "satisfaction", which are
        no inputs then. Any task: "custom_kpis", a mapping of name to function(predictions, actuals), the more the
        better. Costs set the decision: two classes get the threshold, more the class, of least expected cost;
        a `scoring` of labels comes first. "optimise" makes "cost" (or True) or a KPI what the search maximises
        instead of a proper score.
    requirements : dict, default=None
        Success criteria and limits, judged in `problem_.criteria`, on the card and in the report: "score" (at least;
        of a loss at most), "max_size" (bytes of the graph), "max_predict_time" (seconds per row), "max_memory" (bytes).
        Members are chosen so that size and time hold together.
    max_predict_time : float, default=None
        Seconds per row that a prediction may take, features included: the best models that together keep to it are
        blended. The same as "max_predict_time" of `requirements`; of both the tighter one binds.
    memory_limit : float or str, default=None
        Bytes, or a text such as "4GB"; None: what the machine and the cgroup leave.
    on_unknown : {"ignore", "warn", "raise"}, default="ignore"
        What `predict` does about categories not seen in `fit`.
    checkpoint : path, default=None
        Folder for a journal of trials. A `fit` that was killed goes on from it when it is called again with the same
        data and parameters, and loses at most the trial in flight; with `time_budget=None` it ends with the very model
        that the uninterrupted one would have had. The budget is that of each call. Trials are pickled: use a folder
        that only you can write to.
    n_jobs : int, default=None
        Threads of `fit` and of `predict`. None: all that the cgroup grants, or 1 inside another joblib loop; -1: all.
    random_state : int, RandomState or None, default=None
        Seed. None draws one: pass an int for the same result again.
    verbose : int, default=1
        0: silent; 1: one live line and a summary of five; 2: also each trial. Logger `automl_wf`.

    Attributes
    ----------
    best_estimator_ : FittedPipeline
        Raw rows in, predictions out.
    best_params_ : dict
        Members, weights and postprocessing.
    best_score_ : float
        The honest score (greater is better): what to expect on new rows, corrected for having picked the best of many.
    leaderboard_ : DataFrame
        One row per configuration, failed ones with their reason.
    cv_results_ : dict of ndarray
        As in `GridSearchCV`.
    history_ : DataFrame
        The search in the order of its trials.
    timings_ : dict of str to float
        Seconds per stage.
    findings_ : tuple of Finding
        What should be known about data and run, gravest first.
    decisions_ : tuple of Decision
        What was decided, why, on which fact, and which agent of the workflow answers for it.
    splits_ : tuple of (train, valid)
        Row positions of the folds.
    problem_ : Problem
        Task, metric, baseline and constraints.
    schema_ : Schema
        What each column is.
    feature_metadata_ : DataFrame
        The engineered features: name, kind, parents, formula, importance (share of the split gain of the ensemble's
        heaviest member; NaN where that has no splits), whether it is kept, and why. Input columns that are not used
        follow at the end.
    evaluation_ : Evaluation
        Every metric beside the baseline's, on out-of-fold predictions.
    test_evaluation_ : Evaluation
        The same on the test set given to `evaluate`.
    interpretation_ : Interpretation
        How much each input column matters, what the final ensemble makes of it, and how far that can be trusted.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Permutation importance of the input columns; NaN where the time did not suffice, 0 for unused columns.
    task_ : Task
        The task that was solved.
    classes_ : ndarray of shape (n_classes,)
        Class labels; only for classes.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names; only if X was a frame with names.

    See Also
    --------
    WorkflowClassifier : The same for classes only.
    WorkflowRegressor : The same for numbers only.
    WorkflowRanker : The same for ranking by groups.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from automl_wf import WorkflowEstimator
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WorkflowEstimator(n_iter=3, random_state=0, verbose=0).fit(X, y)
    >>> model.predict(X.head(2)).tolist()
    [0, 0]
    """

    _fixed_task: ClassVar[str | None] = None
    #: What the summary of a fit advises; the command line has calls of its own.
    _next_call = "model.leaderboard_, model.evaluate(X_test, y_test), model.export('model_package')"
    #: How X, y and the rest were taken out of one table, where that is known: see `Subject.call`.
    _taken_from: Mapping[str, Any] = MappingProxyType({})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "task": [StrOptions({"auto", "classification", "regression", "ranking"})],
        "scoring": [str, callable, None],
        "time_budget": [Interval(Real, 0, None, closed="neither"), None],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "preset": [StrOptions({"fast", "balanced", "best", "interpretable"})],
        "estimators": [str, list, tuple],
        "cv": [
            StrOptions({"auto"}),
            Interval(Integral, 2, None, closed="left"),
            HasMethods("split"),
            "array-like",
            list,
        ],
        "schema": [dict, None],
        "pos_label": [Real, str, "boolean", None],
        "sensitive": [list, tuple, None],
        "business": [dict, None],
        "requirements": [dict, None],
        "max_predict_time": [Interval(Real, 0, None, closed="neither"), None],
        "memory_limit": [Interval(Real, 0, None, closed="neither"), str, None],
        "on_unknown": [StrOptions({"ignore", "warn", "raise"})],
        "checkpoint": [str, Path, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        task: str = "auto",
        scoring: Any = "auto",
        time_budget: float | None = 60.0,
        n_iter: int | None = None,
        preset: str = "balanced",
        estimators: Any = "auto",
        cv: Any = "auto",
        schema: Mapping[Any, str] | None = None,
        pos_label: Any = None,
        sensitive: list[Any] | None = None,
        business: Mapping[str, Any] | None = None,
        requirements: Mapping[str, Any] | None = None,
        max_predict_time: float | None = None,
        memory_limit: float | str | None = None,
        on_unknown: str = "ignore",
        checkpoint: str | Path | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 1,
    ) -> None:
        self.task = task
        self.scoring = scoring
        self.time_budget = time_budget
        self.n_iter = n_iter
        self.preset = preset
        self.estimators = estimators
        self.cv = cv
        self.schema = schema
        self.pos_label = pos_label
        self.sensitive = sensitive
        self.business = business
        self.requirements = requirements
        self.max_predict_time = max_predict_time
        self.memory_limit = memory_limit
        self.on_unknown = on_unknown
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _family(self) -> str:
        return self._fixed_task or self.task

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        task = getattr(self, "task_", None)
        family = task.family if task is not None else self._family
        if family == "classification":
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif family == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        # `transform` makes doubles of everything.
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        tags.target_tags.required = True
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """Search, blend, evaluate and explain, all within `time_budget`.

        Always starts afresh, and writes nothing, unless `checkpoint` names a folder.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The raw table: numbers, booleans, text, categories, dates, gaps and all. A Dask DataFrame (y, weights and
            groups in its partitions) is searched on a sample that `memory_limit` holds; then boosting learns from all
            partitions.
        y : array-like of shape (n_samples,)
            Classes, values or relevance grades.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; whole numbers of small total mean the same as repeated rows, exactly.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group stay on one side of every split; when ranking, the queries.

        Returns
        -------
        WorkflowEstimator
            This estimator, fitted.

        Raises
        ------
        InvalidParameter
            A parameter is not what it may be.
        InvalidInput
            X, y, weights or groups cannot be used; raised before any work begins.
        """
        config = self._checked_parameters()
        return self._fit(config, X, y, sample_weight, groups)

    def _checked_parameters(self) -> dict[str, Any]:
        params = self.get_params(deep=False)
        check_parameters(self._parameter_constraints, params, type(self).__name__)
        return {**params, "task": self._family}

    def _fit(self, config: dict[str, Any], X: Any, y: Any, sample_weight: Any, groups: Any) -> Self:
        stages = WorkflowStages(config)
        stages.next_call = self._next_call
        result = stages.execute(X, y, sample_weight=sample_weight, groups=groups, owner=type(self).__name__)
        self._learn(result, X._meta if is_partitioned(X) else X)
        return self

    def _learn(self, result: FittedWorkflow, X: Any) -> None:
        """Set the fitted attributes, last of all, so that a failure leaves nothing half-fitted."""
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]:
            delattr(self, name)
        problem, tuning = result.problem, result.tuning
        self._result = result
        self._said_extra: set[str] = set(outcome_names(self.business))
        self.task_ = problem.task
        self.n_features_in_ = len(result.schema.columns)
        if isinstance(X, pd.DataFrame) and all(isinstance(c, str) for c in X.columns):
            inputs = [c for c in X.columns if c not in self._said_extra]
            self.feature_names_in_ = np.asarray(inputs, dtype=object)
        if problem.classes is not None:
            self.classes_ = problem.classes
        owner = type(self).__name__
        self.best_estimator_ = FittedPipeline(
            result.schema, tuning.blend, problem.task, problem.classes, self.on_unknown, owner, self.n_jobs
        )
        self.best_params_: dict[str, Any] = {
            "strategy": tuning.choice.strategy,
            "members": [{"model": m.name, "weight": m.weight, "params": dict(m.params)} for m in tuning.blend.members],
            "temperature": tuning.blend.postprocess.temperature,
            "threshold": tuning.blend.postprocess.threshold,
            "decision_costs": _listed(tuning.blend.postprocess.costs),
            "shift": tuning.blend.postprocess.shift,
        }
        honest = result.evaluation.honest
        self.best_score_ = float(honest.value) if honest is not None and honest.value is not None else tuning.best.score
        self.leaderboard_ = leaderboard(result)
        self.cv_results_ = cv_results(tuning)
        self.history_ = history(tuning)
        self.timings_ = dict(result.timings)
        self.findings_ = result.findings
        self.decisions_ = result.decisions
        self.splits_ = result.splits
        self.problem_ = problem
        self.schema_ = result.schema
        self.feature_metadata_ = feature_metadata(result)
        self.evaluation_ = result.evaluation
        self.interpretation_ = result.interpretation
        self.feature_importances_ = feature_importances(result)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_estimator_")

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows; columns of a frame in any order.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, values, or scores to rank by (greater comes first).

        Raises
        ------
        MissingColumns
            Columns known from `fit` are missing.
        InvalidCell
            A cell cannot be read; column, row and value are named.
        """
        self._check_columns(X)
        return self.best_estimator_.predict(X)

    @available_if(_has_classes)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; rows sum to 1.
        """
        self._check_columns(X)
        return self.best_estimator_.predict_proba(X)

    def predict_interval(self, X: Any, *, alpha: float = 0.05) -> NDArray[Any]:
        """Interval or set that holds the truth with a probability of at least 1 − `alpha`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows.
        alpha : float, default=0.05
            Share of rows whose truth may lie outside.

        Returns
        -------
        ndarray of shape (n_samples, 2) or bool ndarray of shape (n_samples, n_classes)
            Lower and upper end (regression), or which classes belong to the set.

        Raises
        ------
        InvalidParameter
            `alpha` is not between 0 and 1, or the task is ranking.

        References
        ----------
        Lei et al. (2018), Distribution-free predictive inference for regression; from out-of-fold residuals.
        """
        self._check_columns(X)
        raw = self.best_estimator_.predict_raw(X)
        post = self.best_estimator_.blend.postprocess
        return post.interval(raw, alpha) if self.task_ is Task.REGRESSION else post.prediction_set(raw, alpha)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """The engineered features, as the heaviest member of the ensemble sees them, fitted on all rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            One column per feature that is kept in `feature_metadata_`; a frame with `set_output(transform="pandas")`.
        """
        self._check_columns(X)
        return self._result.view.transform(self.best_estimator_.read(X))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the features that `transform` makes.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Not needed: the names are those of `fit`.

        Returns
        -------
        ndarray of shape (n_features_out,)
            Names, as in `feature_metadata_`.
        """
        check_is_fitted(self)
        return np.asarray(self._result.view.feature_names, dtype=object)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """Score by `scoring` if it was given, else accuracy, R² or NDCG.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows.
        y : array-like of shape (n_samples,)
            True classes, values or grades.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        groups : array-like of shape (n_samples,), default=None
            Queries when ranking; None: all rows are one query.

        Returns
        -------
        float
            Greater is better.
        """
        check_is_fitted(self)
        if self.scoring not in ("auto", None) or (self.business or {}).get("optimise"):
            return self._score_by_scoring(X, y, sample_weight, groups)
        predicted = self.predict(X)
        if self.task_.is_classification:
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        if self.task_ is Task.REGRESSION:
            return float(r2_score(y, predicted, sample_weight=sample_weight))
        if groups is None and len(predicted) > 1:
            return float(ndcg_score([np.asarray(y, dtype=float)], [predicted]))
        return self._score_by_scoring(X, y, sample_weight, groups)

    def _score_by_scoring(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> float:
        codes, raw, weight, group = self._judged(X, y, sample_weight, groups)
        scoring, rule = self.problem_.scoring, self.best_estimator_.blend.postprocess.rule
        if isinstance(scoring.costs, UnitCosts):
            scoring = cost_scoring(scoring.costs, self.task_, is_final=True)
        return float(scoring(codes, raw, weight, group, threshold=rule))

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Evaluation:
        """Every metric on a test set that `fit` has not seen, beside the baseline's.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Raw rows.
        y : array-like of shape (n_samples,)
            True classes, values or grades.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        groups : array-like of shape (n_samples,), default=None
            Queries when ranking.

        Returns
        -------
        Evaluation
            Also kept as `test_evaluation_`.
        """
        codes, raw, weight, group = self._judged(X, y, sample_weight, groups)
        post = self.best_estimator_.blend.postprocess
        baseline = np.broadcast_to(self._result.evidence["baseline"].mean(axis=0), raw.shape).copy()
        _, columns = take_columns(X, self.business, is_needed=False)
        self.test_evaluation_ = evaluate(
            task=self.task_,
            scoring=self.problem_.scoring,
            y=codes,
            prediction=raw,
            weight=weight,
            group=group,
            baseline_prediction=baseline,
            classes=self.problem_.classes,
            threshold=post.rule,
            business=self.problem_.business,
            columns=columns,
            criteria=[c for c in self.problem_.criteria if c.is_of_score],
            on="test rows",
        )
        sensitive = sensitive_columns(self.sensitive, self.schema_)
        if sensitive:
            held = Held(self.task_, codes, raw, weight, group, post.rule)
            table = self.best_estimator_.read(X)
            labels = () if self.problem_.classes is None else tuple(self.problem_.classes.tolist())
            found = measure_groups(held, table, sensitive, pos_index=self.problem_.positive, labels=labels)
            self.test_evaluation_ = replace(self.test_evaluation_, groups=found)
        return self.test_evaluation_

    def _judged(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.int64] | None]:
        """Encoded targets, raw predictions, weights and groups of rows to be judged."""
        self._check_columns(X)
        raw = self.best_estimator_.predict_raw(X)
        weight, group = read_weights(sample_weight, len(raw)), read_groups(groups, len(raw))
        classes = self.problem_.classes
        if classes is None:
            codes = read_target(y, self.task_.family, len(raw), type(self).__name__).values
            is_ranking = self.task_ is Task.RANKING
            return codes, raw, weight, np.zeros(len(raw), dtype=np.int64) if is_ranking and group is None else group
        codes = encode_labels(y, classes)
        if len(codes) != len(raw):
            raise InvalidInput(
                f"Found input variables with inconsistent numbers of samples: [{len(raw)}, {len(codes)}]."
            )
        return codes, raw, weight, None

    def explain(
        self, X: Any, *, method: str = "shap", n_background: int | None = None, max_rows: int = 1000
    ) -> pd.DataFrame:
        """What each input column does to the prediction of each row, by the final ensemble.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows to explain.
        method : {"shap", "lime"}, default="shap"
            Shapley values, or a weighted linear model around each row.
        n_background : int, default=None
            Reference rows that "not knowing" a column is averaged over. None: as many as the number of rows affords,
            from fifty for one row to a few for a thousand.
        max_rows : int, default=1000
            Largest number of rows; more are an error.

        Returns
        -------
        DataFrame
            One row per row of X (and class, when there are more than two) and one column per used input column, of more
            than 21 the twenty most important ones and "other columns". With "shap" `base_value` follows: a row's values
            and its base value sum to the prediction (binary: probability of `classes_[1]`). With "lime" `intercept` and
            `local_r2` follow, the share of the variance around the row that the linear model follows. `attrs` says how
            many predictions (`max_evals`) or neighbours that took.

        Raises
        ------
        InvalidInput
            There are more rows than `max_rows`.
        InvalidParameter
            `method` is neither.

        References
        ----------
        Lundberg and Lee (2017), A unified approach to interpreting model predictions; by permutation sampling. Ribeiro,
        Singh and Guestrin (2016), "Why should I trust you?".
        """
        from automl_wf.interpretation.explained import MAX_SINGLE
        from automl_wf.interpretation.local_surrogate import MAX_NEIGHBOURS, local_surrogate
        from automl_wf.interpretation.shapley import (
            Effort,
            affordable,
            affordable_predictions,
            max_evals,
            shapley_values,
            typical_rows,
        )

        if method not in ("shap", "lime"):
            raise InvalidParameter(
                f"The 'method' parameter of explain must be 'shap' or 'lime'. Got {method!r} instead."
            )
        self._check_columns(X)
        table, reference = self._rows_to_explain(X, max_rows, "explain")
        blend = self.best_estimator_.blend
        settings: dict[str, Any] = {
            "class_names": None if self.problem_.classes is None else self.problem_.classes.tolist(),
            "index": X.index if isinstance(X, pd.DataFrame) else None,
            "seed": self._result.seed % 2**32,
            "order": [row.column for row in self.interpretation_.importances if row.mean is not None],
            "max_single": MAX_SINGLE,
            "n_threads": usable_threads(self.n_jobs),
        }
        if method == "lime":
            most = affordable_predictions(blend.n_comparisons)
            predict = self.best_estimator_.predictor_of_many(min(most, table.n_rows * MAX_NEIGHBOURS))
            return local_surrogate(predict, table, reference, max_predictions=most, **settings)
        slices = blend.slices()
        n_units = min(len(self.schema_.used), MAX_SINGLE + 1)
        effort = affordable(table.n_rows, n_units, len(slices), blend.n_comparisons)
        if n_background is not None:
            effort = Effort(n_background)
        chosen = typical_rows(blend.predict(reference), effort.n_background)
        shared = slices if len(slices) > 1 and len(chosen) % len(slices) == 0 else ()
        n_whole = 0 if shared else table.n_rows * max_evals(n_units, len(chosen), effort.n_ways)
        predict = self.best_estimator_.predictor_of_many(n_whole)
        return shapley_values(predict, table, reference.take(chosen), slices=shared, n_ways=effort.n_ways, **settings)

    def counterfactuals(
        self, X: Any, *, target: Any = None, keep: list[str] | None = None, max_rows: int = 20
    ) -> pd.DataFrame:
        """Which few cells of each row would have to be different for another prediction.

        Cells are changed to values that were seen in training, as few and as near as a greedy search finds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows that are asked about.
        target : label or float, default=None
            Class to reach, or value to come to from whichever side. None: the most probable other class, or the mean
            prediction of the reference rows.
        keep : list of str, default=None
            Columns that stay as they are, such as those that nobody can change.
        max_rows : int, default=20
            Largest number of rows; more are an error.

        Returns
        -------
        DataFrame
            One row per change: `row` (its label in X), `is_found`, `column`, `before`, `after`, `distance` (in median
            absolute deviations of the column, 1 for another text), `prediction_before`, `prediction_after`. A row that
            nothing was found for has a single line without a column.

        Raises
        ------
        InvalidInput
            There are more rows than `max_rows`.
        InvalidParameter
            `target` is no class, or no number; or `keep` names an unknown column.

        References
        ----------
        Wachter, Mittelstadt and Russell (2018), Counterfactual explanations without opening the black box.
        """
        from automl_wf.interpretation.counterfactuals import counterfactual_table

        self._check_columns(X)
        table, reference = self._rows_to_explain(X, max_rows, "counterfactuals")
        blend = self.best_estimator_.blend
        return counterfactual_table(
            blend.predict,
            table,
            reference,
            task=self.task_,
            classes=None if self.problem_.classes is None else self.problem_.classes.tolist(),
            threshold=blend.postprocess.rule,
            target=target,
            keep=keep or [],
            order=[row.column for row in self.interpretation_.importances if row.mean is not None],
            index=X.index if isinstance(X, pd.DataFrame) else None,
            n_threads=usable_threads(self.n_jobs),
        )

    def _rows_to_explain(self, X: Any, max_rows: int, method: str) -> tuple[Table, Table]:
        """Rows that are asked about, and the reference rows."""
        table = self.best_estimator_.read(X)
        if table.n_rows > max_rows:
            raise InvalidInput(
                f"{method} takes at most {max_rows} rows at a time, got {table.n_rows}: pass X.head({max_rows}), or a "
                "larger max_rows."
            )
        if len(self._result.reference) == 0:
            raise InvalidInput(
                f"{method} compares with rows of the training table, and a package holds none. Ask the estimator that "
                "was fitted."
            )
        return table, self.best_estimator_.read(self._result.reference)

    def refit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """The same recipe on new rows, without a search.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The new table.
        y : array-like of shape (n_samples,)
            Classes, values or relevance grades.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        groups : array-like of shape (n_samples,), default=None
            Groups or queries.

        Returns
        -------
        WorkflowEstimator
            A new fitted estimator with the members of this one; this one stays as it is.
        """
        check_is_fitted(self)
        challenger = clone(self)
        recipe = [(m["model"], m["params"]) for m in self.best_params_["members"]]
        config = {**challenger._checked_parameters(), "task": self.task_.family, "recipe": recipe}
        fitted: Self = challenger._fit(config, X, y, sample_weight, groups)
        return fitted

    def to_onnx(self) -> ModelProto:
        """The whole pipeline as one ONNX graph, compared with `predict` before it is returned.

        Returns
        -------
        ModelProto
            Inputs: one per used column, or the tensor `X` after a fit on an array. Outputs: `label` and
            `probabilities`, or `prediction`.

        Raises
        ------
        NotExportable
            A member has no exact graph, or graph and predict differ (`ParityError`).
        """
        check_is_fitted(self)
        model, _ = self.best_estimator_.to_onnx(self._result.reference)
        return model

    def export(
        self,
        path: str | Path,
        info: Mapping[str, Any] | None = None,
        strict: bool = False,
        include_samples: bool = False,
        version: str | None = None,
    ) -> Package:
        """Write a package: graph, model card, service, monitoring and tests that have been run.

        Parameters
        ----------
        path : path
            Folder to write; an unchanged package there is replaced, anything else in the way is an error.
        info : mapping, default=None
            What only the owner can say: owner, contact, licence, purpose …
        strict : bool, default=False
            Raise when there is no exact graph or a check fails, instead of writing a package that says so.
        include_samples : bool, default=False
            Ship real rows as test data instead of synthetic ones.
        version : str, default=None
            What the model calls itself in answers, metrics and image tags: letters, digits, ".", "_" and "-". None: the
            moment of the fit, as in 20260131.093000 (UTC).

        Returns
        -------
        Package
            Path, checklist and completeness of the card.

        Raises
        ------
        PackageExists
            Something that `export` did not write is in the way; it stays as it was.
        NotExportable
            With `strict=True`, if there is no exact graph.
        InvalidParameter
            A version that cannot be one.
        """
        from automl_wf.deployment import deploy

        check_is_fitted(self)
        subject = subject_of(self, self._result, version)
        return deploy(subject, path, info=info, strict=strict, include_samples=include_samples)

    def report(self, path: str | Path, *, include_samples: bool = False) -> Path:
        """Write one self-contained HTML page about the fit.

        Parameters
        ----------
        path : path
            File to write.
        include_samples : bool, default=False
            Show training rows beside their predictions: the page is then as confidential as they are.

        Returns
        -------
        Path
            The file.
        """
        from automl_wf.deployment.report import write_report

        check_is_fitted(self)
        return write_report(subject_of(self, self._result), path, include_samples=include_samples)

    def _html_repr(self) -> str:
        """scikit-learn's diagram; of a fitted estimator, below what the fit found."""
        diagram: str = super()._html_repr()
        if not self.__sklearn_is_fitted__():
            return diagram
        from automl_wf.deployment.summary import summary_html

        return summary_html(self) + diagram

    def log(self, path: str | Path) -> dict[str, Any]:
        """Add this fit to a file of runs: code, seed, environment, fingerprint of the data and scores, in one line.

        Parameters
        ----------
        path : path
            File of JSON lines, made if it is not there; in a folder that is there, `runs.jsonl`.

        Returns
        -------
        dict
            What was written.

        Raises
        ------
        InvalidParameter
            The file cannot be written.
        """
        from automl_wf.tracking import append_run

        check_is_fitted(self)
        return append_run(self, path)

    def log_to_mlflow(
        self,
        uri: str = "sqlite:///mlflow.db",
        *,
        experiment: str = "automl_wf",
        run_name: str | None = None,
        package: str | Path | None = None,
        dataset: str | Path | None = None,
    ) -> str:
        """Log this fit to MLflow: a run with a nested one per trial, the package, and a model over its graph.

        Parameters
        ----------
        uri : str, default="sqlite:///mlflow.db"
            Tracking store.
        experiment : str, default="automl_wf"
            Name of the experiment; made if it is not there.
        run_name : str, default=None
            Name of the run; None: MLflow makes one.
        package : path, default=None
            A package that `export` wrote; None: one is written for the purpose.
        dataset : str or path, default=None
            What the training table is called, or its file; None: what is predicted.

        Returns
        -------
        str
            Id of the run; `mlflow.pyfunc.load_model(f"runs:/{id}/model")` opens the model, without automl_wf.

        Raises
        ------
        MissingDependency
            MLflow is not installed.
        PackageError
            `package` is not a package as it was written.
        """
        from automl_wf.tracking import log_to_mlflow

        check_is_fitted(self)
        return log_to_mlflow(self, uri, experiment=experiment, run_name=run_name, package=package, dataset=dataset)

    def _check_columns(self, X: Any) -> None:
        """Warn about names that came or went since `fit`, and once about columns that are ignored."""
        check_is_fitted(self)
        is_named = isinstance(X, pd.DataFrame) and all(isinstance(c, str) for c in X.columns)
        knows_names = hasattr(self, "feature_names_in_")
        owner = type(self).__name__
        if knows_names and not isinstance(X, pd.DataFrame):
            warnings.warn(
                f"X does not have valid feature names, but {owner} was fitted with feature names",
                UserWarning,
                stacklevel=3,
            )
        if is_named and not knows_names:
            warnings.warn(
                f"X has feature names, but {owner} was fitted without feature names", UserWarning, stacklevel=3
            )
        if is_named and knows_names:
            extra = [c for c in X.columns if c not in set(self.feature_names_in_)]
            new = [c for c in extra if c not in self._said_extra]
            if new:
                self._said_extra.update(new)
                warnings.warn(
                    f"X has columns that were not there in fit and are ignored: {', '.join(map(repr, new[:5]))}"
                    f"{' …' if len(new) > 5 else ''}.",
                    WorkflowWarning,
                    stacklevel=3,
                )


class _FixedTask(WorkflowEstimator):
    """An estimator whose task is known before `fit`, so that `is_classifier` and the like are right from the start."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        k: v for k, v in WorkflowEstimator._parameter_constraints.items() if k != "task"
    }

    def __init__(
        self,
        *,
        scoring: Any = "auto",
        time_budget: float | None = 60.0,
        n_iter: int | None = None,
        preset: str = "balanced",
        estimators: Any = "auto",
        cv: Any = "auto",
        schema: Mapping[Any, str] | None = None,
        pos_label: Any = None,
        sensitive: list[Any] | None = None,
        business: Mapping[str, Any] | None = None,
        requirements: Mapping[str, Any] | None = None,
        max_predict_time: float | None = None,
        memory_limit: float | str | None = None,
        on_unknown: str = "ignore",
        checkpoint: str | Path | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 1,
    ) -> None:
        super().__init__(
            scoring=scoring,
            time_budget=time_budget,
            n_iter=n_iter,
            preset=preset,
            estimators=estimators,
            cv=cv,
            schema=schema,
            pos_label=pos_label,
            sensitive=sensitive,
            business=business,
            requirements=requirements,
            max_predict_time=max_predict_time,
            memory_limit=memory_limit,
            on_unknown=on_unknown,
            checkpoint=checkpoint,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        del self.task


def _document_parameters(cls: type[_FixedTask]) -> type[_FixedTask]:
    """Give a kin the sections of WorkflowEstimator that it shares: everything but the task."""
    shared = inspect.cleandoc(WorkflowEstimator.__doc__ or "")
    shared = shared[shared.index("Parameters\n") : shared.index("See Also\n")]
    start, end = shared.index("task :"), shared.index("scoring :")
    own = inspect.cleandoc(cls.__doc__ or "")
    place = own.index("See Also\n")
    cls.__doc__ = own[:place] + shared[:start] + shared[end:] + own[place:] + "\n"
    return cls


@_document_parameters
class WorkflowClassifier(_FixedTask):
    """AutoML for classes: `WorkflowEstimator` with the task fixed, so that outer cross-validation stratifies.

    Parameters and attributes are those of `WorkflowEstimator`, without `task`.

    See Also
    --------
    WorkflowEstimator : All parameters and attributes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from automl_wf import WorkflowClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> WorkflowClassifier(n_iter=3, random_state=0, verbose=0).fit(X, y).predict_proba(X).shape
    (150, 3)
    """

    _fixed_task: ClassVar[str | None] = "classification"


@_document_parameters
class WorkflowRegressor(_FixedTask):
    """AutoML for numbers: `WorkflowEstimator` with the task fixed.

    Parameters and attributes are those of `WorkflowEstimator`, without `task`.

    See Also
    --------
    WorkflowEstimator : All parameters and attributes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from automl_wf import WorkflowRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> WorkflowRegressor(n_iter=3, random_state=0, verbose=0).fit(X, y).predict_interval(X[:5]).shape
    (5, 2)
    """

    _fixed_task: ClassVar[str | None] = "regression"


@_document_parameters
class WorkflowRanker(_FixedTask):
    """AutoML for ranking: y holds relevance grades, `groups` the queries; without `groups` all rows are one query.

    Parameters and attributes are those of `WorkflowEstimator`, without `task`.

    See Also
    --------
    WorkflowEstimator : All parameters and attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from automl_wf import WorkflowRanker
    >>> rng = np.random.default_rng(0)
    >>> X, queries = rng.normal(size=(200, 3)), np.repeat(np.arange(20), 10)
    >>> y = (X[:, 0] > 0).astype(int)
    >>> WorkflowRanker(n_iter=3, random_state=0, verbose=0).fit(X, y, groups=queries).predict(X).shape
    (200,)
    """

    _fixed_task: ClassVar[str | None] = "ranking"


#: The estimators by name, as a package records which one was fitted.
_BY_NAME: dict[str, type[WorkflowEstimator]] = {
    kin.__name__: kin for kin in (WorkflowEstimator, WorkflowClassifier, WorkflowRegressor, WorkflowRanker)
}


def fit_again(
    estimator: str, parameters: Mapping[str, Any], X: Any, y: Any, groups: NDArray[np.int64] | None
) -> Subject:
    """Fit as a package says that its model was fitted, for `verify` to compare.

    Parameters
    ----------
    estimator : str
        Name of the class.
    parameters : mapping
        Its parameters.
    X, y, groups
        As for `fit`.

    Returns
    -------
    Subject
        What would be packaged.

    Raises
    ------
    PackageError
        There is no such class.
    """
    if estimator not in _BY_NAME:
        raise PackageError(
            f"The package names {estimator!r} as its estimator; it must be one of {', '.join(_BY_NAME)}."
        )
    model = _BY_NAME[estimator](**parameters).fit(X, y, groups=groups)
    return subject_of(model, model._result)
