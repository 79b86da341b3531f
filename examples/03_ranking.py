"""Ranking: order the documents of each query so that the relevant ones come first."""

# %%
# Rows are documents, `groups` says which query each belongs to, and y is a grade: 0 useless … 3 just right.

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from automl_wf import WorkflowRanker, load


def main() -> None:
    """Learn on some queries, rank the documents of others."""
    X, grade, query = searches(n_queries=120)
    is_new = query >= 90
    model = WorkflowRanker(time_budget=10, random_state=0, scoring="ndcg")
    model.fit(X[~is_new], grade[~is_new], groups=query[~is_new])

    print("\nLeaderboard:")
    print(model.leaderboard_[["model", "source", "score", "score_std", "weight", "fit_time_s"]].head().to_string())
    show_one_query(model, X[is_new], grade[is_new], query[is_new])
    export_and_compare(model, X[is_new])


def searches(n_queries: int, n_documents: int = 15) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Made-up searches: text match, popularity, age and language decide, queries differ in how hard they are."""
    rng = np.random.default_rng(0)
    n_rows = n_queries * n_documents
    query = np.repeat(np.arange(n_queries), n_documents)
    X = pd.DataFrame(
        {
            "text_match": rng.beta(2, 3, n_rows),
            "clicks": rng.lognormal(3.0, 1.0, n_rows),
            "age_days": rng.exponential(200.0, n_rows),
            "language": rng.choice(["en", "de", "fr"], n_rows, p=[0.6, 0.25, 0.15]),
        }
    )
    X.loc[rng.random(n_rows) < 0.1, "clicks"] = np.nan
    merit = (
        4.0 * X["text_match"]
        + 0.5 * np.log(X["clicks"].fillna(10.0))
        - 0.002 * X["age_days"]
        + (X["language"] == "en")
        + rng.normal(0.0, 0.5, n_queries)[query]
        + rng.normal(0.0, 0.4, n_rows)
    )
    grade = np.digitize(merit, np.quantile(merit, [0.5, 0.8, 0.95]))
    return X, grade, query


# %%
# `predict` gives scores: only their order within a query means anything.


def show_one_query(model: WorkflowRanker, X: pd.DataFrame, grade: np.ndarray, query: np.ndarray) -> None:
    """The first new query, best document first."""
    score = model.predict(X)
    first = query == query[0]
    ranked = X[first].assign(grade=grade[first], score=score[first]).sort_values("score", ascending=False)
    print("\nA query that was not seen in fit, best first:")
    print(ranked.head(6).round(2).to_string(index=False))
    honest = model.best_score_
    print(f"\nNDCG that new queries can expect: {honest:.3f}")


def export_and_compare(model: WorkflowRanker, X: pd.DataFrame) -> None:
    """Rankers export as everything else does."""
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "ranker"
        model.export(package)
        same_order = (np.argsort(load(package).predict(X)) == np.argsort(model.predict(X))).all()
    print(f"Exported: the graph puts {len(X)} documents in the same order as predict: {bool(same_order)}")


if __name__ == "__main__":
    main()
