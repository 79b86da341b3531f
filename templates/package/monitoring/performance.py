"""How good predictions are: measured once their truth is known, estimated before that. Two things, never mixed.

Names and definitions are those of the model card, so that figures can be compared with its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import api.drift as drift
import numpy as np
from numpy.typing import NDArray

#: Fewer rows say nothing.
MIN_ROWS = 30
#: Scores of which greater is better; of the others smaller is.
GREATER_IS_BETTER = frozenset({"accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "r2", "ndcg"})
_N_BINS = 200
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Predictions whose truth is known.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class codes, values or grades.
    codes : ndarray of shape (n_rows,) or None
        Predicted class codes.
    values : ndarray of shape (n_rows,) or None
        Predicted values or scores.
    shares : ndarray of shape (n_rows, n_classes) or None
        Probabilities.
    bounds : ndarray of shape (n_rows, 2) or None
        Lower and upper end of the intervals.
    in_set : ndarray of bool of shape (n_rows, n_classes) or None
        Classes that could not be ruled out.
    query : sequence of str
        Which request each row came with: the query of a ranking.
    age_s : ndarray of shape (n_rows,) or None
        Seconds since each row was predicted.
    """

    y: Floats
    codes: Floats | None = None
    values: Floats | None = None
    shares: Floats | None = None
    bounds: Floats | None = None
    in_set: NDArray[np.bool_] | None = None
    query: Sequence[str] = ()
    age_s: Floats | None = None

    def n_younger(self, seconds: float) -> int:
        """Rows that were predicted within the latest so many seconds."""
        return 0 if self.age_s is None else int((self.age_s < seconds).sum())


@dataclass(frozen=True)
class Score:
    """One figure.

    Parameters
    ----------
    name : str
        As in the model card.
    value : float
        The figure.
    error : float or None
        Its standard error, where there is a formula.
    """

    name: str
    value: float
    error: float | None = None


def measure(rows: Labelled, task: str, positive: int = 1) -> list[Score]:
    """Scores of predictions whose truth is known.

    Parameters
    ----------
    rows : Labelled
        The predictions.
    task : {"binary", "multiclass", "regression", "ranking"}
        What is predicted.
    positive : int
        Code of the positive class.

    Returns
    -------
    list of Score
        Empty below `MIN_ROWS` rows; a score that is not defined for these rows is left out.
    """
    if len(rows.y) < MIN_ROWS:
        return []
    if task == "regression":
        scores = _of_values(rows)
    elif task == "ranking":
        scores = _of_ranking(rows)
    else:
        scores = _of_classes(rows, positive)
    return [score for score in scores if math.isfinite(score.value)]


def _of_classes(rows: Labelled, positive: int) -> list[Score]:
    if rows.codes is None or rows.shares is None:
        return []
    y, said, shares = rows.y.astype(np.int64), rows.codes.astype(np.int64), rows.shares
    n, is_right = len(y), y == said
    accuracy = float(is_right.mean())
    loss = -np.log(np.clip(shares[np.arange(n), y], np.finfo(np.float64).eps, None))
    scores = [
        Score("accuracy", accuracy, math.sqrt(accuracy * (1 - accuracy) / n)),
        Score("balanced_accuracy", float(np.mean([is_right[y == code].mean() for code in np.unique(y)]))),
        Score("log_loss", float(loss.mean()), float(loss.std() / math.sqrt(n))),
    ]
    if shares.shape[1] == 2:
        scores += _of_two_classes(y == positive, said == positive, shares[:, positive])
    return scores


def _of_two_classes(truth: NDArray[np.bool_], said: NDArray[np.bool_], share: Floats) -> list[Score]:
    hits = int((truth & said).sum())
    squares = (share - truth) ** 2
    return [
        Score("precision", hits / said.sum() if said.any() else math.nan),
        Score("recall", hits / truth.sum() if truth.any() else math.nan),
        Score("f1", 2 * hits / (truth.sum() + said.sum()) if truth.any() or said.any() else math.nan),
        Score("brier", float(squares.mean()), float(squares.std() / math.sqrt(len(share)))),
        _roc_auc(truth, share),
    ]


def _roc_auc(truth: NDArray[np.bool_], share: Floats) -> Score:
    """Area under the curve with its standard error [1]_.

    References
    ----------
    .. [1] J. Hanley and B. McNeil, The meaning and use of the area under a receiver operating characteristic curve,
       Radiology 143, 1982.
    """
    n_1 = int(truth.sum())
    n_0 = len(truth) - n_1
    if not n_0 or not n_1:
        return Score("roc_auc", math.nan)
    _, place, count = np.unique(share, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    auc = float((rank[truth].sum() - n_1 * (n_1 + 1) / 2) / (n_0 * n_1))
    q_1, q_2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_1 - 1) * (q_1 - auc**2) + (n_0 - 1) * (q_2 - auc**2)
    return Score("roc_auc", auc, math.sqrt(max(variance, 0.0) / (n_0 * n_1)))


def _of_values(rows: Labelled) -> list[Score]:
    if rows.values is None:
        return []
    error = rows.values - rows.y
    error = error[np.isfinite(error)]
    if len(error) < MIN_ROWS:
        return []
    root = math.sqrt(len(error))
    rmse = float(np.sqrt((error**2).mean()))
    spread = float(((rows.y - rows.y.mean()) ** 2).mean())
    return [
        Score("mae", float(np.abs(error).mean()), float(np.abs(error).std() / root)),
        Score("rmse", rmse, float((error**2).std() / (2 * rmse * root)) if rmse else 0.0),
        Score("r2", 1 - rmse**2 / spread if spread else math.nan),
    ]


def _of_ranking(rows: Labelled) -> list[Score]:
    """NDCG over the requests that rows came with: gain 2^grade − 1, ties of scores in their mean order."""
    if rows.values is None:
        return []
    query = np.asarray(rows.query)
    found = [_ndcg(rows.y[query == one], rows.values[query == one]) for one in np.unique(query)]
    known = np.array([value for value in found if value is not None])
    if not len(known):
        return []
    return [Score("ndcg", float(known.mean()), float(known.std() / math.sqrt(len(known))))]


def _ndcg(grade: Floats, score: Floats) -> float | None:
    gain = np.exp2(grade) - 1
    discount = 1 / np.log2(np.arange(len(grade)) + 2)
    ideal = float((np.sort(gain)[::-1] * discount).sum())
    if len(grade) < 2 or ideal == 0:
        return None
    _, place = np.unique(-score, return_inverse=True)
    mean_gain = np.bincount(place, gain) / np.bincount(place)
    return float((mean_gain[np.sort(place)] * discount).sum() / ideal)


def coverage(rows: Labelled) -> Score | None:
    """Share of rows whose truth lies in its interval or set; None if there are none or too few."""
    if rows.bounds is not None:
        is_inside = (rows.y >= rows.bounds[:, 0]) & (rows.y <= rows.bounds[:, 1])
    elif rows.in_set is not None:
        is_inside = rows.in_set[np.arange(len(rows.y)), rows.y.astype(np.int64)]
    else:
        return None
    n = len(is_inside)
    if n < MIN_ROWS:
        return None
    share = float(is_inside.mean())
    return Score("coverage", share, math.sqrt(share * (1 - share) / n))


class Estimate:
    """Scores to expect of the latest hour's classes before any truth is known, from the probabilities alone.

    Confidence-based performance estimation: where a probability of 0.8 means right in 8 of 10 cases, the mean
    probability of the class decided on is the accuracy to expect, and so on. It sees that cases have become harder; it
    does not see that the relation between input and truth has changed. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._window = drift.Window()

    def add(self, codes: Sequence[int], shares: Floats, positive: int) -> None:
        """Count the predictions of one request."""
        known = np.isfinite(shares).all(axis=1)
        shares, decided = shares[known], np.asarray(codes)[known]
        n = len(shares)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(shares > 0, shares * np.log(shares), 0.0).sum()
        sums: dict[str, Any] = {"sums": np.array([n, shares[np.arange(n), decided].sum(), entropy])}
        if shares.shape[1] == 2:
            share = shares[:, positive]
            sums["with_itself"] = np.array([(share * (1 - share)).sum()])
            place = np.minimum((share * _N_BINS).astype(np.int64), _N_BINS - 1)
            sums["rows"] = np.bincount(place, minlength=_N_BINS).astype(np.float64)
            sums["positives"] = np.bincount(place, share, _N_BINS)
        self._window.add(sums)

    def scores(self) -> tuple[int, list[Score]]:
        """Rows of the latest hour, and the scores to expect; none below `MIN_ROWS`."""
        total: dict[str, Any] = self._window.total()
        if "sums" not in total:
            return 0, []
        n, right, entropy = total["sums"].tolist()
        if n < MIN_ROWS:
            return int(n), []
        scores = [Score("accuracy", right / n), Score("log_loss", entropy / n)]
        if "rows" in total:
            scores.append(Score("roc_auc", _expected_auc(total["rows"], total["positives"], total["with_itself"][0])))
        return int(n), [score for score in scores if math.isfinite(score.value)]


def _expected_auc(rows: Floats, positives: Floats, with_itself: float) -> float:
    """Expected area under the curve when each bin holds so many rows and positives; rows of a bin tie.

    `with_itself` are the pairs that rows would make with themselves: sum of p (1 - p).
    """
    negatives = rows - positives
    pairs = positives.sum() * negatives.sum() - with_itself
    below = np.cumsum(negatives) - negatives
    won = (positives * (below + negatives / 2)).sum() - with_itself / 2
    return float(won / pairs) if pairs > 0 else math.nan
