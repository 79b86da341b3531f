"""Real tables with a held-out part and a metric of their own, computed here and not by what is benchmarked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import GroupShuffleSplit, train_test_split

HELD_OUT = 0.2
BUNDLED = {
    "breast_cancer": (datasets.load_breast_cancer, "binary", "roc_auc"),
    "diabetes": (datasets.load_diabetes, "regression", "rmse"),
    "digits": (datasets.load_digits, "multiclass", "log_loss"),
    "iris": (datasets.load_iris, "multiclass", "log_loss"),
    "wine": (datasets.load_wine, "multiclass", "log_loss"),
}


@dataclass(frozen=True)
class Split:
    """One table, divided once.

    Parameters
    ----------
    name, task, metric : str
        As in the manifest: binary/roc_auc, multiclass/log_loss, regression/rmse or ranking/ndcg@10.
    X_train, X_test : DataFrame
        Features.
    y_train, y_test : ndarray of shape (n_rows,)
        Targets.
    groups_train, groups_test : ndarray of shape (n_rows,) or None
        Subject or query of each row.
    is_ordered : bool
        Whether rows follow time, the held-out ones last.
    positive_class : object
        The class whose probability ROC AUC is computed on.
    reference : float or None
        The manifest's `lightgbm_default` on its own 80/20 split.
    """

    name: str
    task: str
    metric: str
    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: np.ndarray
    y_test: np.ndarray
    groups_train: np.ndarray | None = None
    groups_test: np.ndarray | None = None
    is_ordered: bool = False
    positive_class: Any = None
    reference: float | None = field(default=None)

    @property
    def family(self) -> str:
        """What the estimator calls the task."""
        return "classification" if self.task in ("binary", "multiclass") else self.task

    @property
    def greater_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric in ("roc_auc", "ndcg@10")

    def score(self, model: Any) -> float:
        """The manifest's metric of a fitted model on the held-out rows."""
        if self.metric == "rmse":
            return float(root_mean_squared_error(self.y_test, model.predict(self.X_test)))
        if self.metric == "ndcg@10":
            return mean_ndcg(self.y_test, model.predict(self.X_test), self.groups_test, k=10)
        proba = model.predict_proba(self.X_test)
        classes = list(model.classes_)
        if self.metric == "roc_auc":
            positive = next(i for i, c in enumerate(classes) if str(c) == str(self.positive_class))
            return float(roc_auc_score(self.y_test.astype(str) == str(self.positive_class), proba[:, positive]))
        return float(log_loss(self.y_test, proba, labels=model.classes_))

    def is_better(self, score: float) -> bool | None:
        """Whether a score beats the reference; None where there is none."""
        if self.reference is None:
            return None
        return score > self.reference if self.greater_is_better else score < self.reference


def mean_ndcg(y: np.ndarray, score: np.ndarray, group: np.ndarray | None, k: int) -> float:
    """NDCG@k with gain 2**grade - 1, averaged over queries with at least two different grades."""
    gain = 2.0 ** np.asarray(y, dtype=float) - 1.0
    group = np.zeros(len(gain)) if group is None else group
    queries = [np.flatnonzero(group == g) for g in pd.unique(group)]
    values = [ndcg_score([gain[q]], [score[q]], k=k) for q in queries if len(np.unique(gain[q])) > 1]
    return float(np.mean(values))


def names(folder: Path | None) -> list[str]:
    """Tables there are: those of the folder's manifest, or scikit-learn's bundled ones."""
    return list(_manifest(folder)) if folder else list(BUNDLED)


def load(name: str, folder: Path | None, seed: int = 0) -> Split:
    """One table, split as its manifest says: random (stratified for classes), whole groups, or the last by time."""
    return _load_from(folder, name, seed) if folder else _load_bundled(name, seed)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    return manifest


def _load_from(folder: Path, name: str, seed: int) -> Split:
    facts = _manifest(folder)[name]
    X = pd.read_parquet(folder / facts["file"])
    time_column = next((c for c in X if isinstance(X[c].dtype, pd.DatetimeTZDtype)), None)
    is_ordered = "by time" in facts["split"]
    if is_ordered:
        X = X.sort_values(time_column, kind="stable", ignore_index=True)
    y = X.pop(facts["target"])
    groups = X.pop(facts["group"]) if facts["group"] else None
    X = X.drop(columns=[c for c in facts["drop"] if c in X])
    y = y.astype(object) if facts["task"] in ("binary", "multiclass") and y.dtype.kind not in "iub" else y
    train, test = _divide(facts, len(X), y, groups, seed)
    return Split(
        name=name,
        task=facts["task"],
        metric=facts["metric"],
        X_train=X.iloc[train].reset_index(drop=True),
        X_test=X.iloc[test].reset_index(drop=True),
        y_train=y.to_numpy()[train],
        y_test=y.to_numpy()[test],
        groups_train=None if groups is None else groups.to_numpy()[train],
        groups_test=None if groups is None else groups.to_numpy()[test],
        is_ordered=is_ordered,
        positive_class=facts.get("positive_class"),
        reference=facts["reference"]["lightgbm_default"],
    )


def _divide(
    facts: dict[str, Any], n_rows: int, y: pd.Series, groups: pd.Series | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(n_rows)
    if "by time" in facts["split"]:
        first = round(n_rows * (1 - HELD_OUT))
        return rows[:first], rows[first:]
    if groups is not None:
        splitter = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed)
        train, test = next(iter(splitter.split(rows, groups=groups)))
        return np.asarray(train), np.asarray(test)
    stratify = y if "stratified" in facts["split"] else None
    train, test = train_test_split(rows, test_size=HELD_OUT, random_state=seed, stratify=stratify)
    return np.asarray(train), np.asarray(test)


def _load_bundled(name: str, seed: int) -> Split:
    loader, task, metric = BUNDLED[name]
    X, y = loader(return_X_y=True, as_frame=True)
    stratify = None if task == "regression" else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=HELD_OUT, random_state=seed, stratify=stratify)
    return Split(
        name=name,
        task=task,
        metric=metric,
        X_train=X_train.reset_index(drop=True),
        X_test=X_test.reset_index(drop=True),
        y_train=y_train.to_numpy(),
        y_test=y_test.to_numpy(),
        positive_class=1 if task == "binary" else None,
    )


def fewer_rows(split: Split, most: int, seed: int) -> Split:
    """The split with at most so many training rows: random ones, the last ones where they follow time.

    Held-out rows of a class that none of them has are left out: no model can know it.
    """
    n = len(split.X_train)
    if n <= most:
        return split
    rows = np.arange(n - most, n)
    if not split.is_ordered:
        rows = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    groups = None if split.groups_train is None else split.groups_train[rows]
    fewer = replace(
        split, X_train=split.X_train.iloc[rows].reset_index(drop=True), y_train=split.y_train[rows], groups_train=groups
    )
    if split.family != "classification":
        return fewer
    known = np.isin(split.y_test, fewer.y_train)
    groups = None if split.groups_test is None else split.groups_test[known]
    return replace(
        fewer, X_test=split.X_test[known].reset_index(drop=True), y_test=split.y_test[known], groups_test=groups
    )


def iter_splits(folder: Path | None, only: list[str] | None = None) -> Iterator[Split]:
    """The tables one by one."""
    for name in only or names(folder):
        yield load(name, folder)
