"""All models the search knows: what each is for, what it may vary, and the configurations that are tried first.

Portfolios hold published configurations (AutoGluon's zero-shot portfolios of 2023 to 2026, pytabkit's tuned defaults),
their values rounded; `with_learning_rate_floor` adapts their learning rates, which were found with hours to spend.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl_wf.core.search_space import Categorical, Float, Int, SearchSpace
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter, MissingDependency
from automl_wf.model_selection.base import VIEW, ModelSpec
from automl_wf.model_selection.boosting import CatBoost, LightGBM, XGBoost
from automl_wf.model_selection.linear import Baseline, Lasso, LinearRegression, LogisticRegression, Ridge
from automl_wf.model_selection.neural import MLP
from automl_wf.model_selection.trees import DecisionTree, ExtraTrees, RandomForest

_CLASSES = frozenset({Task.BINARY, Task.MULTICLASS})
_VALUES = frozenset({Task.REGRESSION, Task.RANKING})
_ALL = _CLASSES | _VALUES


@dataclass(frozen=True)
class Family:
    """A branch of the taxonomy, in words.

    Parameters
    ----------
    name : str
        linear, tree_based, neural_networks or ensemble.
    models : tuple of (str, str)
        Name and description of each member.
    use_cases, pros, cons : tuple of str
        When to use it, and what speaks for and against it.
    """

    name: str
    models: tuple[tuple[str, str], ...]
    use_cases: tuple[str, ...]
    pros: tuple[str, ...]
    cons: tuple[str, ...]


TAXONOMY: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "linear",
            (
                ("logistic_regression", "class probabilities from a weighted sum of the features"),
                ("linear_regression", "ordinary least squares"),
                ("ridge", "least squares with small coefficients"),
                ("lasso", "least squares with few coefficients"),
            ),
            ("baseline", "interpretability", "high-dimensional data"),
            ("fast", "interpretable", "stable"),
            ("assumes linearity", "limited complexity"),
        ),
        Family(
            "tree_based",
            (
                ("decision_tree", "one tree of questions"),
                ("random_forest", "mean of trees on bootstrap samples"),
                ("extra_trees", "mean of trees with random thresholds"),
                ("lightgbm", "gradient boosting that reads categories natively"),
                ("xgboost", "gradient boosting with second-order regularisation"),
                ("catboost", "gradient boosting of symmetric trees"),
            ),
            ("non-linear relations", "feature importance", "mixed types"),
            ("handles non-linearity", "feature importance", "robust"),
            ("risk of overfitting", "black box"),
        ),
        Family(
            "neural_networks",
            (("mlp", "multilayer perceptron on scaled numbers"),),
            ("complex patterns", "large data sets", "smooth relations"),
            ("high capacity", "flexible", "differs from trees, so that a blend gains"),
            ("needs data", "computationally expensive", "black box"),
        ),
        Family(
            "ensemble",
            (
                ("voting", "the plain mean of several models' predictions"),
                ("stacking", "a model fitted on the out-of-fold predictions of others"),
                ("blending", "a weighted mean, its weights chosen greedily on out-of-fold predictions"),
            ),
            ("maximise performance", "reduce variance", "competition"),
            ("best performance", "robust", "reduces overfitting"),
            ("complex", "expensive", "harder to interpret"),
        ),
    )
}


def _mlp(n_layers: int, width: int, activation: str, rate: float, **more: Any) -> dict[str, Any]:
    """One network of the portfolio; the cosines of 16 frequencies lower its error on most tables of numbers."""
    return {"n_layers": n_layers, "width": width, "activation": activation, "learning_rate": rate, **more}


def _lightgbm(
    rate: float, leaves: int, rows: int, columns: float, bagging: float, extra: bool, l1: float, l2: float, *cat: float
) -> dict[str, Any]:
    """One line of a published LightGBM portfolio; `cat`: cat_smooth, cat_l2, max_cat_to_onehot, min_data_per_group."""
    params: dict[str, Any] = {
        "learning_rate": rate,
        "num_leaves": leaves,
        "min_data_in_leaf": rows,
        "feature_fraction": columns,
        "bagging_fraction": bagging,
        "bagging_freq": 1 if bagging < 1.0 else 0,
        "extra_trees": extra,
        "lambda_l1": l1,
        "lambda_l2": l2,
    }
    if cat:
        smooth, penalty, one_hot, group = cat
        params |= {"cat_smooth": smooth, "cat_l2": penalty}
        params |= {"max_cat_to_onehot": int(one_hot), "min_data_per_group": int(group)}
    return params


def _on(view: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration on another feature view than the model's usual one."""
    return {**params, VIEW: view}


_SMALL_EXTRA = _lightgbm(0.0127, 5, 12, 0.733, 0.854, True, 0.241, 0.298, 5.09, 0.011, 67, 93)
_LARGE_EXTRA = _lightgbm(0.0179, 39, 3, 0.462, 0.877, True, 0.238, 0.355, 15.4, 0.342, 16, 9)
_LARGE_PLAIN = _lightgbm(0.0114, 84, 3, 0.528, 0.978, False, 0.027, 0.838, 0.0093, 0.155, 42, 75)
_MEDIUM_PLAIN = _lightgbm(0.0309, 24, 1, 0.490, 0.780, False, 0.642, 0.581, 0.134, 0.0071, 38, 83)
_SMALL_PLAIN = _lightgbm(0.0079, 8, 24, 0.940, 0.815, False, 0.437, 0.300, 0.029, 0.0058, 28, 3)
_WIDE_PLAIN = _lightgbm(0.0154, 68, 1, 0.619, 0.963, False, 0.164, 0.694, 68.9, 0.124, 17, 30)
# Not published: nearly all columns in every tree, for targets that half of them do not explain.
_WHOLE_TARGET = _lightgbm(0.0154, 64, 1, 0.9, 1.0, False, 0.164, 0.694)
#: LightGBM's own but for half its learning rate; they need the fewest rounds.
_DEFAULTS = {"learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "extra_trees": False}
# Configurations on engineered features were published for such.
_LIGHTGBM = (
    _SMALL_EXTRA,
    _on("target", _MEDIUM_PLAIN),
    _LARGE_EXTRA,
    _DEFAULTS,
    _LARGE_PLAIN,
    _on("engineered", _lightgbm(0.0193, 64, 28, 0.553, 0.992, True, 0.914, 1.904)),
    _on("engineered", _lightgbm(0.0398, 16, 1, 0.579, 0.959, False, 0.938, 0.990)),
    _on("engineered", _lightgbm(0.0074, 8, 15, 0.425, 0.722, True, 0.113, 0.262)),
    _on("target", _WHOLE_TARGET),
    _on("target", _WIDE_PLAIN),
    _lightgbm(0.0180, 180, 12, 0.404, 0.950, True, 0.766, 1.604, 0.064, 0.216, 11, 3),
    _SMALL_PLAIN,
    _on("target", _lightgbm(0.0508, 106, 4, 0.929, 0.967, True, 0.045, 1.732, 0.0098, 1.77, 11, 2)),
    _lightgbm(0.0091, 2, 17, 0.588, 0.841, False, 0.079, 0.771, 0.090, 0.928, 16, 11),
    _on("engineered", _lightgbm(0.0079, 111, 3, 0.955, 0.720, False, 0.111, 0.597, 11.1, 0.937, 8, 8)),
    _lightgbm(0.0074, 14, 1, 0.859, 0.999, False, 0.041, 0.226, 89.5, 0.0077, 11, 26),
    _lightgbm(0.0947, 23, 13, 0.782, 0.704, True, 0.370, 0.034, 56.5, 0.0135, 13, 4),
    _on("target", _lightgbm(0.0433, 19, 18, 0.661, 0.933, False, 0.557, 1.272, 29.2, 0.0068, 42, 6)),
    _lightgbm(0.03, 128, 3, 0.9, 1.0, False, 0.0, 0.0),
    _lightgbm(0.0243, 16, 27, 0.722, 0.969, True, 0.918, 1.662, 27.0, 0.556, 63, 20),
)
#: Views of models on scaled numbers; where a table lacks one there is no choice.
_DENSE = Categorical(("dense", "piecewise", "dense_selected"))
_LIGHTGBM_SPACE: SearchSpace = {
    VIEW: Categorical(("tree", "target", "engineered", "tree_selected")),
    "learning_rate": Float(0.03, 0.1, log=True),
    "num_leaves": Int(2, 200, log=True),
    "min_data_in_leaf": Int(1, 64, log=True),
    "feature_fraction": Float(0.4, 1.0),
    "bagging_fraction": Float(0.7, 1.0),
    "extra_trees": Categorical((True, False)),
    "lambda_l1": Float(1e-4, 1.0, log=True),
    "lambda_l2": Float(1e-4, 2.0, log=True),
    "min_data_per_group": Int(2, 100, log=True),
    "cat_l2": Float(5e-3, 2.0, log=True),
    "cat_smooth": Float(1e-3, 100.0, log=True),
    "max_cat_to_onehot": Int(8, 100, log=True),
}
_XGBOOST_SPACE: SearchSpace = {
    "learning_rate": Float(0.03, 0.1, log=True),
    "max_depth": Int(3, 10),
    "min_child_weight": Float(1e-3, 5.0, log=True),
    "subsample": Float(0.6, 1.0),
    "colsample_bylevel": Float(0.6, 1.0),
    "colsample_bynode": Float(0.6, 1.0),
    "reg_alpha": Float(1e-4, 5.0, log=True),
    "reg_lambda": Float(1e-4, 5.0, log=True),
}
_XGBOOST_SHARED = (
    {
        "learning_rate": 0.0068,
        "grow_policy": "lossguide",
        "max_depth": 6,
        "max_leaves": 10,
        "min_child_weight": 0.051,
        "reg_alpha": 4.24,
        "reg_lambda": 1.48,
        "subsample": 0.966,
        "colsample_bylevel": 0.921,
        "colsample_bynode": 0.644,
    },
    {
        "learning_rate": 0.0112,
        "grow_policy": "depthwise",
        "max_depth": 10,
        "max_leaves": 35,
        "min_child_weight": 0.14,
        "reg_alpha": 3.50,
        "reg_lambda": 1.31,
        "subsample": 0.695,
        "colsample_bylevel": 0.638,
        "colsample_bynode": 0.924,
    },
)
_CATBOOST_SPACE: SearchSpace = {
    "learning_rate": Float(0.03, 0.1, log=True),
    "depth": Int(4, 8),
    "l2_leaf_reg": Float(1.0, 5.0, log=True),
    "random_strength": Float(0.0, 2.0),
    "rsm": Float(0.6, 1.0),
    "leaf_estimation_iterations": Int(1, 20, log=True),
}
_CATBOOST_SHARED = (
    {"learning_rate": 0.069, "depth": 6, "l2_leaf_reg": 2.15},
    {
        "learning_rate": 0.0058,
        "depth": 7,
        "l2_leaf_reg": 2.01,
        "rsm": 0.877,
        "leaf_estimation_iterations": 2,
        "bootstrap_type": "Bernoulli",
        "subsample": 0.81,
    },
)
_BOOSTING_USES = ("non-linear relations", "mixed types", "the best single model on most tables")
_BOOSTING_CONS = ("many hyper-parameters", "black box", "cost grows with rounds times classes")
_FOREST_SPACE: SearchSpace = {"max_features": Float(0.2, 1.0), "min_samples_leaf": Int(1, 40, log=True)}
_FOREST_USES = ("non-linear relations", "noisy data", "a strong model without tuning")
_FOREST_CONS = ("large on disk", "slower to predict than boosting", "black box")

MODELS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="dummy",
        family="baseline",
        tasks=_ALL,
        view="constant",
        build=Baseline,
        space={},
        portfolio=({},),
        use_cases=("what every model has to beat",),
        pros=("nothing can go wrong",),
        cons=("ignores all features",),
    ),
    ModelSpec(
        name="logistic_regression",
        family="linear",
        tasks=_CLASSES,
        view="dense",
        build=LogisticRegression,
        space={VIEW: _DENSE, "C": Float(0.001, 100.0, log=True)},
        portfolio=(
            {"C": 1.0},
            _on("piecewise", {"C": 0.3}),
            {"C": 0.1},
            _on("piecewise", {"C": 0.03}),
            {"C": 0.01},
            {"C": 10.0},
        ),
        use_cases=("baseline", "interpretability", "high-dimensional data"),
        pros=("fast", "calibrated", "coefficients can be read"),
        cons=("assumes linearity", "limited complexity"),
    ),
    ModelSpec(
        name="linear_regression",
        family="linear",
        tasks=_VALUES,
        view="dense",
        build=LinearRegression,
        space={},
        portfolio=({},),
        use_cases=("baseline", "interpretability"),
        pros=("fast", "no hyper-parameters", "coefficients can be read"),
        cons=("assumes linearity", "unstable when columns depend on each other"),
    ),
    ModelSpec(
        name="ridge",
        family="linear",
        tasks=_VALUES,
        view="dense",
        build=Ridge,
        space={VIEW: _DENSE, "alpha": Float(0.001, 10_000.0, log=True)},
        portfolio=(
            {"alpha": 1.0},
            _on("piecewise", {"alpha": 10.0}),
            {"alpha": 10.0},
            _on("piecewise", {"alpha": 100.0}),
            {"alpha": 100.0},
            {"alpha": 0.1},
        ),
        use_cases=("baseline", "interpretability", "high-dimensional data", "extrapolation"),
        pros=("fast", "stable", "coefficients can be read"),
        cons=("assumes linearity", "limited complexity"),
    ),
    ModelSpec(
        name="lasso",
        family="linear",
        tasks=_VALUES,
        view="dense",
        build=Lasso,
        space={"alpha": Float(0.0001, 0.5, log=True)},
        portfolio=({"alpha": 0.01}, {"alpha": 0.03}, {"alpha": 0.003}),
        use_cases=("interpretability", "selection of features", "high-dimensional data"),
        pros=("few coefficients", "stable"),
        cons=("assumes linearity", "picks one of several related columns by chance"),
    ),
    ModelSpec(
        name="decision_tree",
        family="tree_based",
        tasks=_ALL,
        view="target",
        build=DecisionTree,
        space={"max_depth": Int(2, 12), "min_samples_leaf": Int(1, 100, log=True)},
        portfolio=({"max_depth": 4, "min_samples_leaf": 5}, {"max_depth": 8, "min_samples_leaf": 20}),
        use_cases=("interpretability", "rules"),
        pros=("can be drawn", "fast", "takes missing values"),
        cons=("unstable", "less accurate than ensembles"),
    ),
    ModelSpec(
        name="random_forest",
        family="tree_based",
        tasks=_ALL,
        view="target",
        build=RandomForest,
        space=_FOREST_SPACE,
        portfolio=({"max_features": 0.75, "min_samples_leaf": 2}, {"max_features": 0.75, "min_samples_leaf": 40}),
        pros=("robust", "hardly overfits", "takes missing values"),
        use_cases=_FOREST_USES,
        cons=_FOREST_CONS,
        is_named_only=True,
    ),
    ModelSpec(
        name="extra_trees",
        family="tree_based",
        tasks=_CLASSES,
        view="target",
        build=ExtraTrees,
        space=_FOREST_SPACE,
        portfolio=(
            {"min_samples_leaf": 1},
            {"max_features": 1.0, "min_samples_leaf": 4},
            {"max_features": 0.75},
            {"max_features": 1.0, "min_samples_leaf": 20},
        ),
        pros=("fast", "robust", "smoother than a random forest", "takes missing values"),
        use_cases=_FOREST_USES,
        cons=_FOREST_CONS,
        is_named_only=True,
    ),
    ModelSpec(
        name="extra_trees",
        family="tree_based",
        tasks=_VALUES,
        view="target",
        build=ExtraTrees,
        space=_FOREST_SPACE,
        portfolio=(
            {"max_features": 1.0, "min_samples_leaf": 2},
            {"max_features": 1.0, "min_samples_leaf": 5},
            {"max_features": 0.5},
            {"max_features": 1.0, "min_samples_leaf": 20},
        ),
        pros=("fast", "robust", "smoother than a random forest", "takes missing values"),
        use_cases=_FOREST_USES,
        cons=_FOREST_CONS,
        is_named_only=True,
    ),
    ModelSpec(
        name="lightgbm",
        family="tree_based",
        tasks=_CLASSES | {Task.REGRESSION},
        view="tree",
        build=LightGBM,
        space=_LIGHTGBM_SPACE,
        portfolio=_LIGHTGBM,
        pros=("fast", "reads categories natively", "takes missing values"),
        use_cases=_BOOSTING_USES,
        cons=_BOOSTING_CONS,
    ),
    ModelSpec(
        name="lightgbm",
        family="tree_based",
        tasks=frozenset({Task.RANKING}),
        view="tree",
        build=LightGBM,
        space={"objective": Categorical(("rank_xendcg", "lambdarank", "regression")), **_LIGHTGBM_SPACE},
        portfolio=tuple(
            {"objective": objective, **params}
            for objective, params in (
                # Squared error learns from every grade and is hard to beat on few queries.
                ("regression", _LARGE_EXTRA),
                ("lambdarank", _MEDIUM_PLAIN),
                ("rank_xendcg", _LARGE_EXTRA),
                ("regression", _MEDIUM_PLAIN),
                ("lambdarank", _SMALL_EXTRA),
                ("regression", _SMALL_EXTRA),
                ("lambdarank", _LARGE_EXTRA),
                ("regression", _LARGE_PLAIN),
                ("rank_xendcg", _SMALL_PLAIN),
                ("lambdarank", _WIDE_PLAIN),
            )
        ),
        use_cases=("ordering the rows of a query", "mixed types"),
        pros=("optimises the order itself", "fast", "reads categories natively"),
        cons=("many hyper-parameters", "black box"),
    ),
    ModelSpec(
        name="xgboost",
        family="tree_based",
        tasks=_CLASSES,
        view="target",
        build=XGBoost,
        space=_XGBOOST_SPACE,
        portfolio=(
            {
                "learning_rate": 0.08,
                "max_depth": 6,
                "min_child_weight": 5e-6,
                "reg_lambda": 0.0,
                "subsample": 0.65,
                "colsample_bylevel": 0.9,
                "max_delta_step": 10.0,
            },
            *_XGBOOST_SHARED,
        ),
        pros=("accurate", "well regularised", "takes missing values"),
        requires="xgboost",
        use_cases=_BOOSTING_USES,
        cons=_BOOSTING_CONS,
    ),
    ModelSpec(
        name="xgboost",
        family="tree_based",
        tasks=_VALUES,
        view="target",
        build=XGBoost,
        space=_XGBOOST_SPACE,
        portfolio=(
            {"learning_rate": 0.05, "max_depth": 9, "min_child_weight": 2.0, "subsample": 0.7},
            *_XGBOOST_SHARED,
        ),
        pros=("accurate", "well regularised", "takes missing values"),
        requires="xgboost",
        use_cases=_BOOSTING_USES,
        cons=_BOOSTING_CONS,
    ),
    ModelSpec(
        name="catboost",
        family="tree_based",
        tasks=_CLASSES,
        view="target",
        build=CatBoost,
        space=_CATBOOST_SPACE,
        portfolio=(
            {"learning_rate": 0.05},
            {
                "learning_rate": 0.08,
                "depth": 7,
                "l2_leaf_reg": 1e-5,
                "bootstrap_type": "Bernoulli",
                "subsample": 0.9,
                "random_strength": 0.8,
                "leaf_estimation_iterations": 1,
                "boosting_type": "Plain",
            },
            *_CATBOOST_SHARED,
        ),
        pros=("strong without tuning, most of all on few rows", "symmetric trees predict fast"),
        requires="catboost",
        use_cases=_BOOSTING_USES,
        cons=_BOOSTING_CONS,
    ),
    ModelSpec(
        name="catboost",
        family="tree_based",
        tasks=_VALUES,
        view="target",
        build=CatBoost,
        space=_CATBOOST_SPACE,
        portfolio=(
            {"learning_rate": 0.05},
            {
                "learning_rate": 0.09,
                "depth": 9,
                "l2_leaf_reg": 1e-5,
                "bootstrap_type": "Bernoulli",
                "subsample": 0.9,
                "random_strength": 0.0,
                "leaf_estimation_iterations": 20,
                "boosting_type": "Plain",
            },
            *_CATBOOST_SHARED,
        ),
        pros=("strong without tuning, most of all on few rows", "symmetric trees predict fast"),
        requires="catboost",
        use_cases=_BOOSTING_USES,
        cons=_BOOSTING_CONS,
    ),
    ModelSpec(
        name="mlp",
        family="neural_networks",
        tasks=_ALL,
        view="dense",
        build=MLP,
        space={
            VIEW: _DENSE,
            "n_layers": Int(1, 3),
            "width": Int(32, 256, log=True),
            "activation": Categorical(("silu", "relu", "tanh")),
            "learning_rate": Float(5e-4, 2e-2, log=True),
            "weight_decay": Float(1e-3, 1.0, log=True),
            "dropout": Float(0.0, 0.4),
            "n_frequencies": Categorical((0, 16, 32)),
        },
        portfolio=(
            _mlp(2, 128, "silu", 0.003, dropout=0.1, n_frequencies=16),
            _on("piecewise", _mlp(3, 96, "relu", 0.004, dropout=0.3)),
            _mlp(2, 256, "silu", 0.001, weight_decay=0.1, n_frequencies=16),
            _mlp(1, 64, "tanh", 0.005, dropout=0.0),
        ),
        use_cases=("smooth relations", "large data sets", "diversity in a blend"),
        pros=("high capacity", "flexible", "errs differently from trees"),
        cons=("needs data and scaling", "computationally expensive", "black box"),
        is_named_only=True,
    ),
)


def is_installed(spec: ModelSpec) -> bool:
    """Whether the optional package that a model needs is there."""
    return spec.requires is None or importlib.util.find_spec(spec.requires) is not None


def models_for(task: Task, names: Sequence[str] | None = None) -> tuple[ModelSpec, ...]:
    """The models of the catalogue that can do a task.

    Parameters
    ----------
    task : Task
        What is predicted.
    names : sequence of str, optional
        Names of models or families; by default all whose packages are installed, but for those that have to be named.

    Returns
    -------
    tuple of ModelSpec
        In the catalogue's order, each once.

    Raises
    ------
    InvalidParameter
        A name is not in the catalogue, or its model cannot do the task.
    MissingDependency
        A model was named whose package is not installed.
    """
    able = [spec for spec in MODELS if task in spec.tasks]
    if names is None:
        return tuple(spec for spec in able if is_installed(spec) and not spec.is_named_only)
    families = {spec.family for spec in able}
    for name in names:
        if name not in families and name not in {spec.name for spec in able}:
            raise InvalidParameter(_unknown(name, task, able, families))
    for spec in able:
        if spec.name in names and not is_installed(spec):
            raise MissingDependency(
                f"The model {spec.name!r} needs the package {spec.requires!r}, which is not installed. "
                "Install it with: pip install 'automl_wf[boosters]'."
            )
    return tuple(s for s in able if s.name in names or (s.family in names and is_installed(s)))


def _unknown(name: str, task: Task, able: Sequence[ModelSpec], families: set[str]) -> str:
    known = {spec.name for spec in MODELS}
    reason = f"{name!r} cannot do {task.family}" if name in known else f"{name!r} is no model or family"
    close = difflib.get_close_matches(name, [*(spec.name for spec in able), *families], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"The 'estimators' parameter must name models or families that can do {task.family}: {reason}.{hint} "
        f"Models: {', '.join(dict.fromkeys(spec.name for spec in able))}. Families: {', '.join(sorted(families))}."
    )


#: Rows up to which a boosting round costs more to start than to compute.
_FEW_ROWS = 1_000


def with_learning_rate_floor(
    params: Mapping[str, Any], seconds: float | None, n_rows: int | None = None, rounds: float | None = None
) -> dict[str, Any]:
    """Boosting parameters with a learning rate that the time allows.

    At least 0.05 up to a minute or without a clock, 0.03 up to five minutes, as published from then on: raising 0.018
    to 0.05 was up to nine times faster and cost nothing on three of four tables. At least 0.1 up to 1,000 rows, where
    the folds' models are averaged and rounds cost more than what they compute. And so high that `rounds`, the number
    that the time affords, come to a total step of 50, by which boosting is usually done; but not beyond 0.1 for it,
    and beyond, up to 0.2, only where they would not come to 5: many classes in a short time.
    """
    floor = 0.05 if seconds is None or seconds <= 60.0 else 0.03 if seconds <= 300.0 else 0.0
    if n_rows is not None and n_rows <= _FEW_ROWS:
        floor = max(floor, 0.1)
    if rounds is not None:
        rounds = max(rounds, 1.0)
        floor = max(floor, min(50.0 / rounds, 0.1), min(5.0 / rounds, 0.2))
    rate = params.get("learning_rate")
    return dict(params) if rate is None else {**params, "learning_rate": max(float(rate), floor)}
