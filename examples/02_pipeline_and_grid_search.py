"""An estimator like any other: in a pipeline, in a grid search, in cross-validation, with groups and weights."""

# %%
# The estimator may be the last step of a pipeline. Here the step before it drops what must not be known.

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from automl_wf import WorkflowClassifier


def main() -> None:
    """Run all four parts."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    in_a_pipeline(X, y)
    in_a_grid_search(X, y)
    in_cross_validation(X, y)
    with_groups_and_weights(X, y)


def quick(**parameters: Any) -> WorkflowClassifier:
    """With `n_iter` and no clock, two runs give the same bits; without a clock, stick to models that are quick."""
    settings = {"estimators": ["linear", "lightgbm"], "n_iter": 4, "time_budget": None, "random_state": 0, "verbose": 0}
    return WorkflowClassifier(**settings | parameters)


def in_a_pipeline(X: pd.DataFrame, y: pd.Series) -> None:
    """Columns in, columns out, then the workflow."""
    keep = make_column_transformer(("drop", ["proline"]), remainder="passthrough", verbose_feature_names_out=False)
    pipeline = make_pipeline(keep.set_output(transform="pandas"), quick()).fit(X, y)
    model = pipeline[-1]
    print(f"Pipeline: {model.n_features_in_} of {X.shape[1]} columns reach the workflow, "
          f"log loss {-model.best_score_:.3f}")  # fmt: skip


# %%
# A grid over its parameters really changes the fits: each choice of models and effort has its own leaderboard.


def in_a_grid_search(X: pd.DataFrame, y: pd.Series) -> None:
    """Which family does best on this table?"""
    grid = {"estimators": [["linear"], ["lightgbm"], ["linear", "lightgbm"]], "n_iter": [3, 6]}
    search = GridSearchCV(quick(), grid, cv=3, scoring="neg_log_loss").fit(X, y)
    table = pd.DataFrame(search.cv_results_)[["param_estimators", "param_n_iter", "mean_test_score", "mean_fit_time"]]
    print("\nGrid search:")
    print(table.round(3).to_string(index=False))
    print(f"Best: {search.best_params_}")


# %%
# The honest score should be what an outer cross-validation finds.


def in_cross_validation(X: pd.DataFrame, y: pd.Series) -> None:
    """Compare what the model says of itself with what others measure."""
    outer = cross_val_score(quick(), X, y, cv=5, scoring="neg_log_loss")
    own = quick().fit(X, y).best_score_
    print(f"\nNegative log loss: outer cross-validation {outer.mean():.3f}, the model's own honest score {own:.3f}")


# %%
# Rows of one subject stay on one side of every split; weights count. Metadata routing hands both through.


def with_groups_and_weights(X: pd.DataFrame, y: pd.Series) -> None:
    """Four rows each are one bottle; old bottles count half."""
    bottle = np.arange(len(X)) // 4
    weight = np.where(bottle % 2 == 0, 1.0, 0.5)
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=True, groups=False)
        search = GridSearchCV(model, {"n_iter": [3, 6]}, cv=GroupKFold(3))
        search.fit(X, y, groups=bottle, sample_weight=weight)
    splits = search.best_estimator_.splits_
    shared = sum(len(set(bottle[train]) & set(bottle[test])) for train, test in splits)
    print(f"\nGroups: {len(splits)} inner splits, {shared} bottles on both sides")


if __name__ == "__main__":
    main()
