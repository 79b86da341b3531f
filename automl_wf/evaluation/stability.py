"""Stability: how much the score differs from fold to fold, and how far models fitted on other rows disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from automl_wf.core.metrics import Floats, decide
from automl_wf.core.tasks import Task
from automl_wf.evaluation.held_out import MEASURED, HeldOut


@dataclass(frozen=True)
class Stability:
    """How much the final model depends on the rows it happened to be fitted on.

    Parameters
    ----------
    label : str
        The score in words.
    fold_scores : tuple of float or None
        Score of the blend on the rows of each fold, in its natural form. None: the rows do not define it.
    mean, std : float or None
        Over the folds that have a score; None with fewer than one, or two.
    n_rows : int
        Rows that all fold models were asked about; most of these models were fitted on most of them.
    same_label : float or None
        Classification: share of these rows on which all fold models say the same class.
    spread : float or None
        Mean over these rows of the standard deviation between the fold models: of probabilities (classification), of
        values as a share of the standard deviation of y (regression).
    rank_correlation : float or None
        Ranking: mean correlation of the ranks that two fold models give.
    seed_scores : tuple of float
        Score of the heaviest member alone on the rows of one fold, from two seeds; empty where that was not run.
    status : str
        Of what the fold models were asked: "measured", or why not.
    """

    label: str
    fold_scores: tuple[float | None, ...]
    mean: float | None
    std: float | None
    n_rows: int = 0
    same_label: float | None = None
    spread: float | None = None
    rank_correlation: float | None = None
    seed_scores: tuple[float, ...] = ()
    status: str = MEASURED


#: There is no other model to compare with.
ONE_FOLD = "not run: there is one fold"


def summarise_stability(held_out: HeldOut, answers: Sequence[Floats], status: str = MEASURED) -> Stability:
    """Spread of the fold scores, and agreement of the fold models.

    Parameters
    ----------
    held_out : HeldOut
        Held-out rows.
    answers : sequence of ndarray
        What each fold's models predict for the same rows; empty where they were not asked.
    status : str, default="measured"
        Why they were not asked.

    Returns
    -------
    Stability
        Facts.
    """
    scores = [
        held_out.natural(held_out.score(held_out.held.prediction[rows], rows))
        for number in range(len(held_out.predictors))
        if len(rows := np.flatnonzero(held_out.fold == number))
    ]
    known = [s for s in scores if s is not None]
    mean = float(np.mean(known)) if known else None
    std = float(np.std(known, ddof=1)) if len(known) > 1 else None
    facts = Stability(held_out.scoring.label, tuple(scores), mean, std, status=status)
    if not answers:
        return facts
    if len(answers) < 2:
        return Stability(**{**vars(facts), "status": ONE_FOLD})
    stacked = np.stack(answers)
    return Stability(**{**vars(facts), "n_rows": stacked.shape[1], **_agreement(held_out, stacked)})


def _agreement(held_out: HeldOut, answers: Floats) -> dict[str, float]:
    """Of predictions of shape (n_folds, n_rows, n_classes) or (n_folds, n_rows)."""
    held = held_out.held
    if held.task.is_classification:
        labels = np.stack([decide(of_fold, held.threshold) for of_fold in answers])
        is_same = (labels == labels[0]).all(axis=0)
        return {"same_label": float(is_same.mean()), "spread": float(answers.std(axis=0, ddof=1).mean())}
    if held.task is Task.RANKING:
        return {"rank_correlation": _mean_correlation(answers)}
    scale = float(held.y.std())
    spread = float(answers.std(axis=0, ddof=1).mean())
    return {"spread": spread / scale if scale > 0 else spread}


def _mean_correlation(answers: Floats) -> float:
    """Mean over pairs of the correlation of ranks; a model that ranks nothing agrees with nobody."""
    ranks = rankdata(answers, axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1))
    found = []
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            norm = norms[i] * norms[j]
            found.append(float((centred[i] * centred[j]).sum() / norm) if norm > 0 else 0.0)
    return float(np.mean(found))
