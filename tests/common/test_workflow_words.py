"""Every word of the workflow's description, and the attribute, file, function or command that holds it.

A place is resolved and must hold something. Its form says what it is:

- ``workflow.…``, ``model.…``, ``other.…``: attributes and keys of one workflow, of the estimator it makes, and of
  models of other tasks;
- ``file:name``: a file of the exported package, ``json:name#path`` a value in one, ``beside:name`` one that was
  written next to it, ``checkout:name`` a file here;
- ``python:module.name``: a class or function with a docstring;
- ``cli:command --flag``: a command, and an option of it.

`says` is a text that must be found there (whatever its case), or a statement about the value that must be true.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import ModelDevelopmentWorkflow, WorkflowRanker, WorkflowRegressor, load
from automl_wf.cli import app

ROOT = Path(__file__).resolve().parents[2]
Says = str | Callable[[Any], bool] | None


@dataclass(frozen=True)
class Shop:
    """What the words are looked for in."""

    workflow: ModelDevelopmentWorkflow
    model: Any
    package: Path
    other: dict[str, Any] = field(default_factory=dict)


def like_the_truth(predictions: np.ndarray, actuals: np.ndarray) -> float:
    """Share of equal labels."""
    return float(np.mean(predictions == actuals))


@pytest.fixture(scope="module")
def shop(
    mixed_table: tuple[pd.DataFrame, np.ndarray],
    quick_settings: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """One workflow, stage by stage and exported, and small models of the other tasks."""
    X, y = mixed_table
    workflow = ModelDevelopmentWorkflow(
        {
            **quick_settings,
            "n_iter": 5,
            "preset": "best",
            "estimators": ["logistic_regression", "lightgbm"],
            "sensitive": ["plan"],
            "business": {
                "cost_per_false_positive": 1.0,
                "cost_per_false_negative": 3.0,
                "revenue_per_unit": 5.0,
                "cost_per_error": 2.0,
                "baseline_errors": 90,
                "currency": "EUR",
                "custom_kpis": {"share like the truth": like_the_truth},
            },
            "requirements": {"score": 0.6, "max_predict_time": 0.5, "max_size": 50_000_000, "max_memory": 4e9},
        }
    )
    features = workflow.engineer_features(workflow.prepare_data(workflow.define_problem(X, y)))
    optimized = workflow.optimize_hyperparameters(workflow.select_and_train_models(features))
    evaluation = workflow.evaluate_models(optimized)
    workflow.interpret_models(optimized)
    package = workflow.prepare_deployment(
        optimized, evaluation, tmp_path_factory.mktemp("words") / "model_package", info={"owner": "Ada"}
    )
    workflow.artifacts["frame"] = features.frame()
    model = workflow.to_estimator()
    model.evaluate(X, y)
    model.log(package.path.parent)
    model.report(package.path.parent / "report.html")
    return Shop(workflow, model, package.path, {**_others(quick_settings), "explained": _explained(model, X)})


def _explained(model: Any, X: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {method: model.explain(X.head(3), method=method) for method in ("shap", "lime")}


def _others(settings: dict[str, Any]) -> dict[str, Any]:
    """A regressor that counts money, and a ranker that knows what was clicked."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])
    y = 10 + X["a"] + 0.1 * X["b"]
    money = {"cost_per_unit_over": 1.0, "cost_per_unit_under": 3.0, "currency": "USD"}
    regressor = WorkflowRegressor(**settings, business=money).fit(X, y)
    queries = np.repeat(np.arange(20), 6)
    seen = X.assign(
        item=np.tile(np.arange(12), 10), clicks=(y > 10).astype(int), sold=(y > 11).astype(int), stars=3.0 + (y > 10)
    )
    outcomes = {"item": "item", "clicks": "clicks", "conversions": "sold", "satisfaction": "stars"}
    grades = np.digitize(y, [9.5, 10.5]).astype(float)
    ranker = WorkflowRanker(**settings | {"n_iter": 2}, business=outcomes).fit(seen, grades, groups=queries)
    return {"regressor": regressor, "ranker": ranker}


# -- how a place is resolved -------------------------------------------------------------------------------------------


def resolve(shop: Shop, place: str) -> Any:
    """What is at a place; KeyError or AttributeError, naming the step, where there is nothing."""
    kind, _, rest = place.partition(":")
    match kind:
        case "file":
            return (shop.package / rest).read_bytes()
        case "beside":
            return (shop.package.parent / rest).read_bytes()
        case "checkout":
            return (ROOT / rest).read_bytes()
        case "json":
            name, _, path = rest.partition("#")
            return _walk(json.loads((shop.package / name).read_text(encoding="utf-8")), path)
        case "python":
            module, _, name = rest.rpartition(".")
            return _documented(getattr(importlib.import_module(module), name))
        case "cli":
            return _command(*rest.split())
    root, _, path = place.partition(".")
    return _walk(getattr(shop, root), path)


def _walk(thing: Any, path: str) -> Any:
    for step in re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", path):
        key = step[0] or step[1]
        if isinstance(thing, (Mapping, pd.DataFrame)):
            thing = thing[key]
        elif isinstance(thing, (list, tuple)):
            thing = thing[int(key)] if key.lstrip("-").isdigit() else next(x for x in thing if _name_of(x) == key)
        else:
            thing = getattr(thing, key)
            thing = thing() if callable(thing) and key == "to_dict" else thing
    return thing


def _name_of(thing: Any) -> Any:
    return thing.get("name") if isinstance(thing, Mapping) else getattr(thing, "name", None)


def _documented(thing: Any) -> Any:
    assert not callable(thing) or (thing.__doc__ or "").strip(), f"{thing} has no docstring"
    return thing


def _command(name: str, *flags: str) -> str:
    command = next(c for c in app.registered_commands if c.callback is not None and c.callback.__name__ == name)
    assert command.callback is not None
    for flag in flags:
        parameter = flag.removeprefix("--").replace("-", "_")
        assert parameter in command.callback.__annotations__, f"{name} has no {flag}"
    return command.callback.__doc__ or ""


def is_filled(thing: Any) -> bool:
    """Whether there is something: no None, no NaN alone, nothing empty."""
    if thing is None:
        return False
    if isinstance(thing, (pd.DataFrame, pd.Series)):
        return bool(len(thing) and thing.notna().to_numpy().any())
    if isinstance(thing, np.ndarray):
        return bool(thing.size and not (thing.dtype.kind == "f" and np.isnan(thing).all()))
    if isinstance(thing, (str, bytes)):
        return bool(thing.strip())
    if isinstance(thing, (int, float, np.number)):
        return bool(np.isfinite(thing))
    if isinstance(thing, (Mapping, list, tuple, set, frozenset)):
        return len(thing) > 0 and any(is_filled(x) for x in (thing.values() if isinstance(thing, Mapping) else thing))
    status = getattr(thing, "status", None)
    return not (isinstance(status, str) and status.startswith("not run"))


# -- the words ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """One word of the description, where it is held, and what must be true of that."""

    chapter: str
    word: str
    place: str
    says: Says = None


def words(chapter: str, *rows: tuple[Any, ...]) -> list[Word]:
    """Rows of one chapter: word, place and, where it is not enough that something is there, what it says."""
    return [Word(chapter, *row) for row in rows]


def greater_than(least: float) -> Callable[[Any], bool]:
    """A statement about a number, or about how many there are."""
    return lambda value: (len(value) if hasattr(value, "__len__") else float(value)) > least


ARTIFACTS, FACTS = "workflow.artifacts", "json:model/metadata.json#"
INTERPRETATION = "model.interpretation_"
STAGES = [
    *words(
        "1. Problem Definition & Planning, activities",
        ("Define business objectives", "model.problem_.business.to_dict", "EUR"),
        ("Translate to ML problem type", "model.problem_.task.value", "binary"),
        ("Set success metrics", "model.problem_.scoring.name", "roc_auc"),
        ("Establish baseline performance", "model.evaluation_.primary_score.baseline", lambda value: 0.4 < value < 0.6),
        ("Define constraints and requirements", "model.problem_.constraints", "max_predict_time"),
    ),
    *words(
        "1. Problem Definition & Planning, outputs",
        ("Problem statement document", "file:docs/problem_statement.md", "roc"),
        ("Success criteria definition", "model.problem_.criteria", "beats_baseline"),
        ("Evaluation metrics selection", "model.evaluation_.scores", greater_than(5)),
        ("Project timeline", "model.timings_", "feature_engineering"),
        ("Resource requirements", FACTS + "measured.memory"),
    ),
    *words(
        "2. Data Preparation, activities",
        ("Feature engineering", ARTIFACTS + ".feature_pipeline.views", "engineered"),
        ("Data splitting strategy", ARTIFACTS + ".data_plan.folds.description", "3-fold"),
        ("Handling imbalanced data", ARTIFACTS + ".data_plan.imbalance", "decision follows from the costs"),
        ("Data augmentation", "python:automl_wf.model_selection.sampling.mixup"),
        ("Feature scaling", "python:automl_wf.feature_engineering.numeric_scaler.NumericScaler"),
        ("Feature normalization", "python:automl_wf.NumericalFeatureEngineering"),
    ),
    *words(
        "2. Data Preparation, outputs",
        ("Processed feature sets", ARTIFACTS + ".frame", lambda frame: frame.shape[0] == 160),
        ("Train/validation/test splits", "model.splits_", lambda splits: len(splits) == 3),
        ("Test split", "model.test_evaluation_.on", "test"),
        ("Feature documentation", "model.feature_metadata_.formula"),
        ("Transformation pipeline", "file:model/preprocessor.pkl"),
        ("Data version control", "model.problem_.fingerprint.in_order", lambda text: len(text) == 64),
    ),
    *words(
        "3. Feature Selection & Engineering, activities",
        ("Statistical feature selection", "python:automl_wf.FeatureSelection"),
        ("Feature importance analysis", "model.feature_importances_", greater_than(8)),
        ("Feature creation", "python:automl_wf.InteractionFeatures"),
        ("Dimensionality reduction", "python:automl_wf.feature_engineering.selected_view.SelectedRecipe"),
        ("Feature validation", "python:automl_wf.feature_engineering.validation.validate_features"),
    ),
    *words(
        "3. Feature Selection & Engineering, outputs",
        ("Selected feature set", "model.feature_metadata_.is_kept", lambda kept: kept.sum() > 3),
        ("Feature importance rankings", INTERPRETATION + ".importances", lambda rows: rows[0].mean >= rows[1].mean),
        ("Feature engineering pipeline", ARTIFACTS + ".feature_pipeline"),
        ("Feature metadata", ARTIFACTS + ".feature_metadata", "parents"),
        ("Validation results", ARTIFACTS + ".feature_validation", lambda found: found.is_valid),
    ),
    *words(
        "4. Model Selection & Training, activities",
        ("Algorithm selection", ARTIFACTS + ".shortlist.recommendations", "160 rows"),
        ("Baseline model training", ARTIFACTS + ".training_history.[0].configuration.model", "dummy"),
        ("Model comparison", "model.leaderboard_.rank", greater_than(3)),
        ("Ensemble creation", "model.best_params_.members"),
        ("Training optimization", "model.leaderboard_.n_rounds"),
    ),
    *words(
        "4. Model Selection & Training, outputs",
        ("Trained models", ARTIFACTS + ".models.members"),
        ("Performance comparisons", "model.leaderboard_.score"),
        ("Training histories", ARTIFACTS + ".training_history", lambda trials: all(t.fit_time_s > 0 for t in trials)),
        ("Model artifacts", "file:model/model.onnx"),
        ("Computational metrics", "model.leaderboard_.fit_time_s"),
    ),
    *words(
        "5. Hyperparameter Optimization, activities",
        ("Define search space", ARTIFACTS + ".shortlist.specs.lightgbm.space", "learning_rate"),
        ("Select optimization strategy", "model.history_.source", "asked"),
        ("Run optimization trials", ARTIFACTS + ".optimization_history", lambda trials: len(trials) == 5),
        ("Analyze results", "model.cv_results_.mean_test_score"),
        ("Select best configuration", "model.best_params_.strategy"),
    ),
    *words(
        "5. Hyperparameter Optimization, outputs",
        ("Optimal hyperparameters", "model.best_params_.members.[0].params"),
        ("Optimization history", "model.history_.score", greater_than(4)),
        ("Performance improvements", "model.history_.best_score", lambda best: best.is_monotonic_increasing),
        ("Search space analysis", "python:automl_wf.bayesian_hpo.analysis.analyse_search"),
        ("Resource utilization", "workflow.metrics.seconds.bayesian_hpo", greater_than(0)),
    ),
    *words(
        "6. Model Evaluation & Validation, activities",
        ("Cross-validation", "model.cv_results_.split2_test_score"),
        ("Test set evaluation", "model.test_evaluation_.scores"),
        ("Performance analysis", "model.evaluation_.honest", lambda honest: honest.interval is not None),
        ("Error analysis", "model.evaluation_.errors"),
        ("Robustness testing", "model.evaluation_.robustness"),
    ),
    *words(
        "6. Model Evaluation & Validation, outputs",
        ("Evaluation metrics", "workflow.metrics.scores", "roc_auc"),
        ("Confusion matrices", "model.evaluation_.confusion.counts"),
        ("ROC curves", "model.evaluation_.roc"),
        ("PR curves", "model.evaluation_.pr"),
        ("Error analysis report", "beside:report.html", "where it fails"),
        ("Validation certificates", "file:validation.json"),
    ),
    *words(
        "7. Model Interpretation, activities",
        ("Feature importance extraction", INTERPRETATION + ".importances"),
        ("SHAP analysis", "other.explained.shap.base_value"),
        ("LIME analysis", "other.explained.lime.local_r2"),
        ("Partial dependence plots", INTERPRETATION + ".partial_dependence.columns"),
        ("Model behavior analysis", INTERPRETATION + ".interactions"),
        ("Business rule extraction", INTERPRETATION + ".rules.rules"),
    ),
    *words(
        "7. Model Interpretation, outputs",
        ("Interpretability report", "file:docs/model_card.md", "why it predicts"),
        ("Feature explanations", INTERPRETATION + ".shap.effects"),
        ("Decision boundaries", INTERPRETATION + ".boundary.labels"),
        ("Business insights", INTERPRETATION + ".insights"),
        ("Trust metrics", INTERPRETATION + ".trust.fidelity", lambda value: 0 <= value <= 1),
    ),
    *words(
        "8. Deployment Preparation, activities",
        ("Model serialization", "file:model/model.pkl"),
        ("API endpoint creation", "file:api/routes.py", '@router.post("/predict"'),
        ("Performance optimization", FACTS + "measured.latency.one_row_p50_s", lambda seconds: seconds < 0.5),
        ("Monitoring setup", "file:monitoring/prometheus.yml"),
        ("Documentation completion", ARTIFACTS + ".package.completeness.filled", greater_than(30)),
    ),
    *words(
        "8. Deployment Preparation, outputs",
        ("Deployment package", "file:MANIFEST.json", "sha256"),
        ("API documentation", "file:docs/api_guide.md", "/v1/predict"),
        ("Monitoring dashboard", "json:monitoring/dashboard.json#panels"),
        ("Performance benchmarks", FACTS + "measured.latency.thousand_rows_s"),
        ("Rollback procedures", "file:docs/troubleshooting.md", "roll back"),
        ("Rollback", "cli:rollback"),
    ),
]


def leads(stage: str) -> Callable[[Any], bool]:
    """A statement about an agent."""
    return lambda agent: stage in agent.leads and any(d.stage == stage for d in agent.decisions)


def supports(stage: str) -> Callable[[Any], bool]:
    """A statement about an agent."""
    return lambda agent: stage in agent.supports


AGENTS = [
    *words(
        "Agents that lead",
        ("Insight Generator: problem", "workflow.agents.Insight Generator", leads("problem_definition")),
        ("Data Explorer: data", "workflow.agents.Data Explorer", leads("data_preparation")),
        ("ML Engineer: features", "workflow.agents.ML Engineer", leads("feature_engineering")),
        ("ML Engineer: models", "workflow.agents.ML Engineer", leads("model_selection")),
        ("ML Engineer: search", "workflow.agents.ML Engineer", leads("bayesian_hpo")),
        ("ML Engineer: evaluation", "workflow.agents.ML Engineer", leads("evaluation")),
        ("Insight Generator: interpretation", "workflow.agents.Insight Generator", leads("interpretation")),
        ("ML Engineer: deployment", "workflow.agents.ML Engineer", leads("deployment")),
    ),
    *words(
        "Agents that support",
        ("Statistical Analyst: problem", "workflow.agents.Statistical Analyst", supports("problem_definition")),
        ("ML Engineer: data", "workflow.agents.ML Engineer", supports("data_preparation")),
        ("Statistical Analyst: features", "workflow.agents.Statistical Analyst", supports("feature_engineering")),
        ("Statistical Analyst: search", "workflow.agents.Statistical Analyst", supports("bayesian_hpo")),
        ("Statistical Analyst: evaluation", "workflow.agents.Statistical Analyst", supports("evaluation")),
        ("ML Engineer: interpretation", "workflow.agents.ML Engineer", supports("interpretation")),
        ("Insight Generator: deployment", "workflow.agents.Insight Generator", supports("deployment")),
    ),
    *words("Durations", ("Duration of every stage", "workflow.metrics.seconds", lambda s: len(s) == 8)),
]
IMPLEMENTATION = [
    *words(
        "Workflow orchestration",
        ("ModelDevelopmentWorkflow", "python:automl_wf.ModelDevelopmentWorkflow"),
        ("config", "workflow.config", "business"),
        ("initialize_agents", "python:automl_wf.core.agents.cast"),
        ("agents", "workflow.agents", greater_than(3)),
        ("artifacts", "workflow.artifacts", greater_than(10)),
        ("metrics", "workflow.metrics", "scores"),
        *(
            (name, f"workflow.{name}", lambda method: bool((method.__doc__ or "").strip()))
            for name in (
                *("execute", "define_problem", "prepare_data", "engineer_features", "select_and_train_models"),
                *("optimize_hyperparameters", "evaluate_models", "interpret_models", "prepare_deployment"),
                "compile_results",
            )
        ),
    ),
    *words(
        "Feature engineering stage",
        ("NumericalFeatureEngineering", "python:automl_wf.NumericalFeatureEngineering"),
        ("CategoricalFeatureEngineering", "python:automl_wf.CategoricalFeatureEngineering"),
        ("TemporalFeatureEngineering", "python:automl_wf.TemporalFeatureEngineering"),
        ("InteractionFeatures", "python:automl_wf.InteractionFeatures"),
        ("FeatureSelection", "python:automl_wf.FeatureSelection"),
        ("fit_transform", "python:automl_wf.feature_engineering.plan.Recipe"),
        ("validate_features", "python:automl_wf.feature_engineering.validation.validate_features"),
        ("artifacts['feature_pipeline']", ARTIFACTS + ".feature_pipeline"),
        ("artifacts['feature_metadata']", ARTIFACTS + ".feature_metadata"),
        ("extract_feature_metadata", "python:automl_wf.feature_engineering.plan.FeaturePlan"),
    ),
    *words(
        "Model selection stage",
        ("get_candidate_models", "python:automl_wf.model_selection.catalogue.models_for"),
        ("fit", "python:automl_wf.bayesian_hpo.train"),
        ("evaluate_model", "python:automl_wf.bayesian_hpo.Objective"),
        ("model", "model.leaderboard_.model"),
        ("val_score", "model.leaderboard_.score"),
        ("training_time", "model.leaderboard_.fit_time_s"),
        ("complexity", "model.leaderboard_.n_parameters", lambda n: n.max() > 0),
        ("select_top_models", "python:automl_wf.model_selection.ensemble.choose_blend"),
    ),
    *words(
        "Hyperparameter optimization stage",
        ("get_search_space", ARTIFACTS + ".shortlist.specs.lightgbm.space", "num_leaves"),
        ("objective", "python:automl_wf.bayesian_hpo.objective.Objective"),
        ("cross_val_score", "model.cv_results_.split0_test_score"),
        ("loss", "model.history_.score"),
        ("suggest", "python:automl_wf.bayesian_hpo.surrogate.Surrogate"),
        ("max_evals", "workflow.config.n_iter"),
        ("best_params", "model.best_params_.members"),
        ("optimization_history", ARTIFACTS + ".optimization_history"),
    ),
    *words(
        "Selection logic",
        ("recommend_algorithms", "python:automl_wf.model_selection.recommendation.recommend"),
        ("data_profile", ARTIFACTS + ".shortlist.profile"),
        ("shape", ARTIFACTS + ".shortlist.profile.n_rows", lambda n: n == 160),
        ("has_categorical", ARTIFACTS + ".shortlist.profile.n_categorical", lambda n: n == 2),
        ("problem_type", ARTIFACTS + ".shortlist.profile.task.value", "binary"),
        ("n_samples < 1000", "model.decisions_", "a straight line is hard to beat on 160 rows"),
        ("n_samples > 100000", "checkout:automl_wf/model_selection/recommendation.py", "p.n_rows > 100_000"),
        ("regression: linear", "other.regressor.leaderboard_.family", "linear"),
        ("multiclass: neural_networks", "checkout:automl_wf/model_selection/recommendation.py", "one model serves all"),
        ("get_models_from_recommendations", "python:automl_wf.model_selection.recommendation.portfolio_order"),
    ),
]
TAXONOMY = "python:automl_wf.model_selection.catalogue.TAXONOMY"
OWN = "checkout:benchmarks/own_models.py"


def tells(family: str, part: str, text: str) -> Callable[[Any], bool]:
    """A statement about the taxonomy: the family's part says so."""
    return lambda taxonomy: text in " ".join(map(str, getattr(taxonomy[family], part)))


FAMILIES = [
    *words(
        "Algorithm taxonomy: models",
        ("LinearRegression", TAXONOMY, tells("linear", "models", "linear_regression")),
        ("LogisticRegression", TAXONOMY, tells("linear", "models", "logistic_regression")),
        ("Ridge", TAXONOMY, tells("linear", "models", "ridge")),
        ("Lasso", TAXONOMY, tells("linear", "models", "lasso")),
        ("DecisionTreeClassifier", TAXONOMY, tells("tree_based", "models", "decision_tree")),
        ("RandomForestClassifier", TAXONOMY, tells("tree_based", "models", "random_forest")),
        ("XGBClassifier", TAXONOMY, tells("tree_based", "models", "xgboost")),
        ("LGBMClassifier", TAXONOMY, tells("tree_based", "models", "lightgbm")),
        ("gradient_boosting", TAXONOMY, tells("tree_based", "models", "gradient boosting")),
        ("MLPClassifier", TAXONOMY, tells("neural_networks", "models", "mlp")),
        ("KerasClassifier", OWN, "KerasClassifier"),
        ("PyTorchModel", OWN, "torch.nn.Sequential"),
        ("VotingClassifier", TAXONOMY, tells("ensemble", "models", "voting")),
        ("StackingClassifier", TAXONOMY, tells("ensemble", "models", "stacking")),
        ("BlendingClassifier", TAXONOMY, tells("ensemble", "models", "blending")),
    ),
    *words(
        "Algorithm taxonomy: use cases",
        *(
            (word, TAXONOMY, tells(family, "use_cases", text))
            for word, family, text in (
                ("baseline", "linear", "baseline"),
                ("interpretability", "linear", "interpretability"),
                ("high_dimensional", "linear", "high-dimensional"),
                ("non_linear", "tree_based", "non-linear"),
                ("feature_importance", "tree_based", "feature importance"),
                ("mixed_types", "tree_based", "mixed types"),
                ("complex_patterns", "neural_networks", "complex patterns"),
                ("large_datasets", "neural_networks", "large data sets"),
                ("maximize_performance", "ensemble", "maximise performance"),
                ("reduce_variance", "ensemble", "reduce variance"),
                ("competition", "ensemble", "competition"),
            )
        ),
        ("unstructured_data", "python:automl_wf.feature_engineering.word_weights.WordWeights"),
    ),
    *words(
        "Algorithm taxonomy: pros and cons",
        *(
            (f"{family}: {word}", TAXONOMY, tells(family, part, text))
            for word, family, part, text in (
                ("fast", "linear", "pros", "fast"),
                ("interpretable", "linear", "pros", "interpretable"),
                ("stable", "linear", "pros", "stable"),
                ("assumes_linearity", "linear", "cons", "assumes linearity"),
                ("limited_complexity", "linear", "cons", "limited complexity"),
                ("handles_non_linearity", "tree_based", "pros", "handles non-linearity"),
                ("feature_importance", "tree_based", "pros", "feature importance"),
                ("robust", "tree_based", "pros", "robust"),
                ("overfitting_risk", "tree_based", "cons", "risk of overfitting"),
                ("black_box", "tree_based", "cons", "black box"),
                ("high_capacity", "neural_networks", "pros", "high capacity"),
                ("flexible", "neural_networks", "pros", "flexible"),
                ("state_of_art", "neural_networks", "pros", "a blend gains"),
                ("requires_data", "neural_networks", "cons", "needs data"),
                ("computationally_expensive", "neural_networks", "cons", "computationally expensive"),
                ("black_box", "neural_networks", "cons", "black box"),
                ("best_performance", "ensemble", "pros", "best performance"),
                ("robust", "ensemble", "pros", "robust"),
                ("reduces_overfitting", "ensemble", "pros", "reduces overfitting"),
                ("complex", "ensemble", "cons", "complex"),
                ("expensive", "ensemble", "cons", "expensive"),
                ("harder_to_interpret", "ensemble", "cons", "harder to interpret"),
            )
        ),
    ),
]
SCORES, MONEY = "model.evaluation_.scores.", "model.evaluation_.business."
VALUES, COSTS = "other.regressor.evaluation_.scores.", "other.regressor.evaluation_.business."
RANKS, SEEN = "other.ranker.evaluation_.scores.", "other.ranker.evaluation_.business."
METRICS = [
    *words(
        "Evaluation metrics: classification",
        ("accuracy", SCORES + "accuracy.value"),
        ("precision", SCORES + "precision.value"),
        ("recall", SCORES + "recall.value"),
        ("f1_score", SCORES + "f1.value"),
        ("auc_roc", SCORES + "roc_auc.value", greater_than(0.5)),
        ("confusion_matrix", "model.evaluation_.confusion.counts"),
        ("classification_report", "model.evaluation_.report", lambda rows: len(rows) == 2),
        ("pr_curve", "model.evaluation_.pr"),
        ("cost_matrix", MONEY + "cost_matrix"),
        ("profit_curve", MONEY + "profit_curve"),
        ("lift_chart", "model.evaluation_.lift_chart"),
    ),
    *words(
        "Evaluation metrics: regression",
        ("mse", VALUES + "mse.value"),
        ("rmse", VALUES + "rmse.value"),
        ("mae", VALUES + "mae.value"),
        ("r2", VALUES + "r2.value", greater_than(0.5)),
        ("mape", VALUES + "mape.value"),
        ("residual_plots", "other.regressor.evaluation_.residuals"),
        ("qq_plots", "other.regressor.evaluation_.residuals.qq"),
        ("prediction_intervals", "other.regressor.evaluation_.coverage"),
        ("dollar_impact", COSTS + "dollar_impact"),
        ("percentage_error", "other.regressor.evaluation_.percentage_error"),
        ("directional_accuracy", VALUES + "directional_accuracy.value"),
    ),
    *words(
        "Evaluation metrics: ranking",
        ("ndcg", RANKS + "ndcg.value", greater_than(0.5)),
        ("map", RANKS + "map.value"),
        ("mrr", RANKS + "mrr.value"),
        ("precision_at_k", RANKS + "precision_at_k.value"),
        ("coverage", SEEN + "exposure.coverage"),
        ("diversity", SEEN + "exposure.diversity"),
        ("novelty", SEEN + "exposure.novelty"),
        ("click_through_rate", SEEN + "click_through_rate"),
        ("conversion_impact", SEEN + "conversion_impact"),
        ("user_satisfaction", SEEN + "user_satisfaction"),
    ),
    *words(
        "Custom business metrics",
        ("calculate_business_metrics", "python:automl_wf.evaluation.business.business_value"),
        ("business_config", "workflow.config.business", "baseline_errors"),
        ("revenue_impact", "workflow.metrics.business.revenue_impact", greater_than(0)),
        ("cost_savings", "workflow.metrics.business.cost_savings"),
        ("custom_kpis", "workflow.metrics.business.share like the truth", lambda value: 0.5 < value <= 1),
    ),
]


def is_answered(status: str) -> bool:
    """A statement about an item of the checklist: measured, and not failed; a tool may be absent."""
    return status in ("pass", "not_run", "needs_owner")


CHECKLIST = words(
    "Deployment checklist",
    *(
        (item, f"workflow.metrics.checklist.{item}", is_answered)
        for item in (
            *("serialized_model_exists", "model_size_acceptable", "inference_time_acceptable"),
            *("memory_usage_acceptable", "endpoint_defined", "input_validation_implemented"),
            *("error_handling_complete", "authentication_configured", "logging_configured"),
            *("metrics_collection_setup", "alerting_rules_defined", "dashboard_created"),
            *("api_documentation_complete", "model_card_created", "training_procedure_documented"),
            "troubleshooting_guide_available",
        )
    ),
)
PACKAGE = [
    *words(
        "Model package structure",
        ("model/model.pkl", "file:model/model.pkl"),
        ("model/preprocessor.pkl", "file:model/preprocessor.pkl"),
        ("model/config.json", "json:model/config.json#columns"),
        ("model/metadata.json", "json:model/metadata.json#environment.packages"),
        ("api/app.py", "file:api/app.py", "FastAPI"),
        ("api/schemas.py", "file:api/schemas.py", "class "),
        ("api/utils.py", "file:api/utils.py", "def "),
        ("monitoring/metrics.py", "file:monitoring/metrics.py", "prometheus_client"),
        ("monitoring/alerts.yaml", "file:monitoring/alerts.yaml", "alert:"),
        ("monitoring/dashboard.json", "json:monitoring/dashboard.json#title"),
        ("docs/model_card.md", "file:docs/model_card.md", "Ada"),
        ("docs/api_guide.md", "file:docs/api_guide.md"),
        ("docs/deployment.md", "file:docs/deployment.md"),
        ("tests/test_model.py", "file:tests/test_model.py", "def test_"),
        ("tests/test_api.py", "file:tests/test_api.py", "def test_"),
        ("tests/test_data/", "json:tests/test_data/samples.json#rows"),
    ),
    *words(
        "Model testing framework",
        ("ModelTestSuite", "file:tests/test_model.py", "class ModelTestSuite"),
        ("test_model_consistency", "file:tests/test_model.py", "def test_model_consistency"),
        ("test_edge_cases", "file:tests/test_model.py", "def test_edge_cases"),
        ("test_performance_requirements", "file:tests/test_model.py", "def test_performance_requirements"),
        ("max_inference_time", "json:model/config.json#limits.max_seconds_per_row", lambda limit: limit == 0.5),
    ),
]
EXPOSED = "file:monitoring/metrics.py"
MONITORING = words(
    "Model monitoring metrics",
    ("prediction_accuracy", EXPOSED, '"model_performance"'),
    ("inference_latency", EXPOSED, "model_inference_duration_seconds"),
    ("throughput", EXPOSED, "model_predictions_total"),
    ("error_rate", "file:monitoring/alerts.yaml", "http_requests_total"),
    ("feature_drift", EXPOSED, "model_feature_drift_psi"),
    ("prediction_drift", EXPOSED, "model_prediction_drift_psi"),
    ("missing_value_rate", EXPOSED, "model_feature_missing_reference_ratio"),
    ("outlier_frequency", "file:monitoring/alerts.yaml", "outliers"),
    ("business_kpi_impact", EXPOSED, "model_business_value_total"),
    ("user_satisfaction", EXPOSED, "model_feedback_rating"),
    ("false_positive_cost", EXPOSED, "model_error_cost_total"),
    ("false_negative_cost", EXPOSED, "model_error_cost_total"),
    ("cpu_usage", "file:monitoring/alerts.yaml", "process_cpu_seconds_total"),
    ("memory_usage", "file:monitoring/alerts.yaml", "process_resident_memory_bytes"),
    ("api_response_time", EXPOSED, "http_request_duration_seconds"),
    ("error_logs", EXPOSED, "log_messages_total"),
)
PRACTICES = [
    *words(
        "Best practices: reproducibility",
        ("Version control all code", "beside:runs.jsonl", '"automl_wf": "'),
        ("Pin dependency versions", "file:requirements.txt", "onnxruntime=="),
        ("Set random seeds", FACTS + "seed", greater_than(0)),
        ("Document all decisions", "model.decisions_", lambda rows: all(d.reason and d.fact for d in rows)),
        ("Store all artifacts", "json:MANIFEST.json#files", greater_than(20)),
    ),
    *words(
        "Best practices: experimentation",
        ("Use experiment tracking", "python:automl_wf.tracking.log_to_mlflow"),
        ("Use experiment tracking, without MLflow", "beside:runs.jsonl", "best_score"),
        ("Compare against baselines", "workflow.metrics.baseline.roc_auc", lambda value: 0.4 < value < 0.6),
        ("A/B test in production", "cli:promote --share"),
        ("Monitor continuously", "file:monitoring/alerts.yaml", "ModelFeatureDrift"),
        ("Iterate based on feedback", "file:api/feedback.py", "/v1/feedback"),
    ),
    *words(
        "Future enhancements",
        ("AutoML integration", "python:automl_wf.WorkflowEstimator"),
        ("Federated learning support", "python:automl_wf.federated.simulation.simulate"),
        ("Continuous learning pipelines", "python:automl_wf.deployment.comparison.compare_packages"),
        ("Continuous learning, without a pause", "cli:promote --registry --decision"),
        ("Multi-objective optimization", "model.leaderboard_.on_pareto_front", lambda front: front.any()),
        ("Explainable AI dashboards", "beside:report.html", "why it predicts"),
    ),
]
WORDS = [
    *(*STAGES, *AGENTS, *IMPLEMENTATION, *FAMILIES, *METRICS),
    *(*CHECKLIST, *PACKAGE, *MONITORING, *PRACTICES),
]
#: Words whose place is not built yet, and who it waits for. A row goes when its test passes.
WAITING: dict[str, str] = {}


def _marked(word: Word) -> Any:
    marks = ()
    # The ranking metric of the same name is measured where the columns are given.
    if word.word in WAITING and not word.chapter.startswith("Evaluation"):
        marks = (pytest.mark.xfail(strict=True, reason=WAITING[word.word]),)
    return pytest.param(word, id=f"{word.chapter}: {word.word}", marks=marks)


@pytest.mark.parametrize("word", [_marked(word) for word in WORDS])
def test_word(word: Word, shop: Shop) -> None:
    found = resolve(shop, word.place)
    assert is_filled(found), f"{word.place} holds nothing"
    if isinstance(word.says, str):
        text = found.decode() if isinstance(found, bytes) else _text(found)
        assert word.says.lower() in text.lower(), f"{word.place} does not say {word.says!r}"
    elif word.says is not None:
        assert word.says(found), f"{word.place} does not hold what it should: {_text(found)[:300]}"


def _text(thing: Any) -> str:
    if isinstance(thing, pd.Series):
        return " ".join(map(str, thing))
    return repr(thing) if not callable(thing) else thing.__doc__ or ""


def test_the_package_of_the_last_stage_is_the_model_of_the_others(shop: Shop, mixed_table: Any) -> None:
    loaded = load(shop.package)
    np.testing.assert_array_equal(loaded.predict(mixed_table[0]), shop.model.predict(mixed_table[0]))
    decisions = shop.workflow.agents["ML Engineer"].decisions
    assert [d.decision for d in decisions if d.stage == "deployment"] == ["serve: the graph"]


def test_every_word_has_one_row_and_the_count_is_told(record_property: Any, capsys: Any) -> None:
    keys = [(w.chapter, w.word) for w in WORDS]
    assert len(set(keys)) == len(keys)
    assert set(WAITING) <= {w.word for w in WORDS}
    record_property("words", len(WORDS))
    with capsys.disabled():
        sys.stdout.write(f"\n{len(WORDS)} words of the workflow, {len(WAITING)} of them waiting for their place\n")
