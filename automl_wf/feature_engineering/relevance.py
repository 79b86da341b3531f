"""What each column of a matrix tells of the target, by one of five methods: a score, whether it passes, and why."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.exceptions import InvalidInput
from automl_wf.feature_engineering.base import Numbers
from automl_wf.feature_engineering.cross_fit import choose_targets, target_columns
from automl_wf.feature_engineering.gains import draw_rows, gains_of
from automl_wf.feature_engineering.numeric_scaler import NumericScaler

#: What a column has to reach unless told otherwise.
THRESHOLDS: Mapping[str, float] = {
    "probe": 1.0,
    "mutual_info": 1.0,
    "anova": 0.05,
    "chi2": 0.05,
    "correlation": 0.95,
}
#: Classes that the boosting looks at.
_MAX_CLASSES = 3
#: Shuffles of y that mutual information is held against: the true order is the best of 20 once in 20 times.
_N_SHUFFLES = 19


@dataclass(frozen=True, eq=False)
class Judged:
    """Columns that are judged, one number per cell, on the rows that are looked at.

    Parameters
    ----------
    names : tuple of str
        Their names.
    numbers : ndarray of shape (n_rows, n_columns)
        NaN is missing.
    is_discrete : ndarray of shape (n_columns,)
        Whether numbers are levels.
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    n_classes : int
        1 for values and grades.
    seed : int
        Seed of copies and boosting.
    n_probes : int, default=5
        Times that rows are shuffled for the method "probe".
    max_copies : int or None, default=None
        Columns, drawn at random, of which there are shuffled copies; None: all.
    """

    names: tuple[str, ...]
    numbers: Numbers
    is_discrete: NDArray[np.bool_]
    y: NDArray[Any]
    n_classes: int
    seed: int
    n_probes: int = 5
    max_copies: int | None = None

    def scaled(self) -> Numbers:
        """Gaps filled, extremes clipped, skewed columns logged, mean 0 and standard deviation 1."""
        return NumericScaler().fit_transform(self.numbers)[:, : len(self.names)]

    def filled(self) -> Numbers:
        """Gaps filled with the median."""
        filled: Numbers = np.where(np.isnan(self.numbers), NumericScaler().fit(self.numbers).fill_, self.numbers)
        return filled


@dataclass(frozen=True, eq=False)
class Verdict:
    """Score of each judged column, whether it passes, and what was seen, in words."""

    scores: Numbers
    passes: NDArray[np.bool_]
    seen: list[str]

    def decide(self, most: int | None = None) -> tuple[NDArray[np.bool_], list[str]]:
        """Which columns are kept, the best ones where only so many may be, and why each is or is not."""
        rank = np.empty(len(self.scores), dtype=np.int64)
        rank[np.argsort(np.where(self.passes, -self.scores, np.inf), kind="stable")] = np.arange(len(self.scores))
        is_kept = self.passes & (rank < (len(rank) if most is None else most))
        reasons = []
        for passes, kept, seen in zip(self.passes, is_kept, self.seen, strict=True):
            beyond = f"not among the best {most}; " if passes and not kept else ""
            reasons.append(f"{'kept' if kept else 'dropped'}: {beyond}{seen}")
        return is_kept, reasons


def _probe(judged: Judged, threshold: float) -> Verdict:
    X, n_columns, weights = judged.numbers, len(judged.names), np.ones(len(judged.y))
    classes = choose_targets(judged.y, weights, judged.n_classes, _MAX_CLASSES)
    targets = target_columns(judged.y, judged.n_classes, classes)
    random = np.random.default_rng(judged.seed)
    copied = draw_rows(n_columns, judged.max_copies or n_columns, judged.seed)
    gains, best = np.zeros(n_columns), 0.0
    for k in range(judged.n_probes):
        # Whole rows are shuffled: copies are as much alike as the columns are.
        found = gains_of(np.hstack([X, X[random.permutation(len(X))][:, copied]]), targets, weights, judged.seed + k)
        gains += found[:n_columns] / judged.n_probes
        best = max(best, float(found[n_columns:].max()))
    needed = f"needed: more than {threshold * best:.4g}, {threshold:g} × the best shuffled copy"
    seen = [f"gain {gain:.4g}; {needed}" for gain in gains]
    return Verdict(gains, gains > threshold * best, seen)


def _mutual_information(judged: Judged, threshold: float) -> Verdict:
    X = np.where(judged.is_discrete, np.nan_to_num(judged.numbers, nan=-1.0), judged.scaled())
    scores, by_chance = _information(judged, X, judged.y, 0), np.zeros(len(judged.names))
    random = np.random.default_rng(judged.seed)
    for k in range(1, _N_SHUFFLES + 1):
        # A column that chance alone does as well is out: noise is after three shuffles, on average.
        left = np.flatnonzero(scores > threshold * by_chance)
        if not len(left):
            break
        shuffled = judged.y[random.permutation(len(X))]
        by_chance[left] = np.maximum(by_chance[left], _information(judged, X, shuffled, k, left))
    needed = threshold * by_chance
    seen = [
        f"{score:.4g} nats; needed: more than {least:.4g}, {threshold:g} × the most by chance"
        for score, least in zip(scores, needed, strict=True)
    ]
    return Verdict(scores, scores > needed, seen)


def _information(
    judged: Judged, X: Numbers, y: NDArray[Any], draw: int, columns: NDArray[np.intp] | slice = slice(None)
) -> Numbers:
    """Mutual information of some columns and y, in nats; ties are broken at random, anew in every draw."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    measure = mutual_info_regression if judged.n_classes == 1 else mutual_info_classif
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many classes of few rows
        try:
            found: Numbers = measure(
                X[:, columns],
                y,
                discrete_features=judged.is_discrete[columns],
                random_state=(judged.seed + draw) % 2**32,
            )
        except ValueError as error:
            raise InvalidInput(f"There are too few rows to estimate mutual information from: {error}") from None
    return found


def _anova(judged: Judged, threshold: float) -> Verdict:
    from sklearn.feature_selection import f_classif, f_regression

    test = f_regression if judged.n_classes == 1 else f_classif
    return _by_p_value(test, judged.scaled(), judged.y, threshold, "F")


def _chi2(judged: Judged, threshold: float) -> Verdict:
    from sklearn.feature_selection import chi2

    filled = judged.filled()
    return _by_p_value(chi2, filled - np.minimum(filled.min(axis=0), 0.0), judged.y, threshold, "chi²")


def _by_p_value(test: Callable[..., Any], X: Numbers, y: NDArray[Any], threshold: float, name: str) -> Verdict:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # columns that do not vary once gaps are filled
        statistics, p_values = test(X, y)
    scores, p_values = np.nan_to_num(statistics, nan=0.0), np.nan_to_num(p_values, nan=1.0)
    seen = [f"{name} {s:.4g}, p {p:.2g}; needed: at most {threshold:g}" for s, p in zip(scores, p_values, strict=True)]
    return Verdict(scores, p_values <= threshold, seen)


def _correlation(judged: Judged, threshold: float) -> Verdict:
    Z = judged.scaled()
    correlations = np.minimum(np.abs(Z.T @ Z) / len(Z), 1.0)
    kept: list[int] = []
    scores, seen = np.ones(len(Z.T)), []
    for j, row in enumerate(correlations):
        nearest = max(kept, key=lambda i: float(row[i]), default=None)
        if nearest is None:
            seen.append("no column before it is kept")
        else:
            scores[j] = 1.0 - row[nearest]
            seen.append(f"correlation {row[nearest]:.3f} with {judged.names[nearest]!r}; needed: at most {threshold:g}")
        if nearest is None or row[nearest] <= threshold:
            kept.append(j)
    passes = np.isin(np.arange(len(scores)), kept)
    return Verdict(scores, passes, seen)


METHODS: Mapping[str, Callable[[Judged, float], Verdict]] = {
    "probe": _probe,
    "mutual_info": _mutual_information,
    "anova": _anova,
    "chi2": _chi2,
    "correlation": _correlation,
}
