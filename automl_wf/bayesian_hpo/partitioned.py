"""The last step on a table larger than memory: members that were chosen on a sample learn from all partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.bayesian_hpo.objective import Objective, Trial
from automl_wf.core.budget import Budget
from automl_wf.core.partitions import PartitionedTable
from automl_wf.exceptions import InvalidInput, OutOfTime
from automl_wf.model_selection.base import Sample, TargetCode
from automl_wf.model_selection.boosting import LightGBM
from automl_wf.model_selection.boosting_dask import Grown, PartReader, can_be_spread, grow_on_partitions
from automl_wf.model_selection.build import learner_of
from automl_wf.model_selection.ensemble import Member

#: Share of the time budget that is kept for fitting on all partitions.
PARTITION_SHARE = 0.5
#: Rounds that are grown to learn what one takes; all of them may take longer by this factor.
PROBED_ROUNDS, CAUTION = 5, 1.2
#: With time for fewer rounds than this the model of the sample is kept.
FEWEST_ROUNDS = 20
#: Times that a fit on all partitions is tried: workers may be lost in it.
ATTEMPTS = 2


@dataclass(frozen=True)
class AllRows:
    """All rows, and what encodes their target.

    Parameters
    ----------
    table : PartitionedTable
        The partitions.
    classes : ndarray of shape (n_classes,) or None
        Class labels.
    """

    table: PartitionedTable
    classes: NDArray[Any] | None


@dataclass(frozen=True)
class _Features:
    """Matrices of all partitions, or of a share of them, on the workers, and what they were made by."""

    view: Any
    code: TargetCode
    start: NDArray[np.float64]
    parts: Sequence[Any]
    share: float


def fit_on_all_rows(
    objective: Objective, trials: Sequence[Trial], members: Sequence[Member], rows: AllRows, budget: Budget
) -> tuple[tuple[Member, ...], str]:
    """Fit members again on all partitions, heaviest weight first.

    Parameters
    ----------
    objective : Objective
        What the trials were run by.
    trials : sequence of Trial
        The trial of each member.
    members : sequence of Member
        The members, with fold models of the sample; those that cannot be fitted on partitions keep them.
    rows : AllRows
        The partitions.
    budget : Budget
        Time for it.

    Returns
    -------
    members : tuple of Member
        Those that could be, with the one model that learnt from all rows.
    finish : str
        What was done, in words.
    """
    made: dict[str, _Features] = {}
    fitted, told = list(members), []
    for i in sorted(range(len(members)), key=lambda i: -members[i].weight):
        name = members[i].name
        if not can_be_spread(members[i].parts[0][1]):
            told.append(f"{name} is that of the sample")
            continue
        part, reason = _fit(objective, trials[i], rows, made, budget)
        if part is not None:
            fitted[i] = replace(members[i], parts=(part,))
        told.append(f"{name} {reason}")
    return tuple(fitted), "; ".join(told)


def _fit(
    objective: Objective, trial: Trial, rows: AllRows, made: dict[str, _Features], budget: Budget
) -> tuple[tuple[Any, LightGBM] | None, str]:
    """View and model of all rows, or None; and in words which of them it is."""
    table, wanted, failure = rows.table, trial.n_rounds or 1, ""
    for _ in range(ATTEMPTS):
        try:
            features = _features(objective, trial, rows, made)
            learner = _grown(objective, trial, features, wanted, budget, has_weights=table.has_weights)
        except InvalidInput:
            raise
        except OutOfTime as error:
            return None, f"is that of the sample: {error}"
        except Exception as error:  # workers may be lost: once more, and at last the model of the sample stays
            failure = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            made.clear()
            continue
        told = f"learnt from all {table.n_rows:,} rows"
        if features.share < 1.0:
            told = f"learnt from {features.share:.0%} of all partitions, which the workers' memory holds"
        is_cut = learner.is_cut_short_
        return (features.view, learner), f"{told}, in {learner.n_rounds} of {wanted} rounds" if is_cut else told
    return None, f"is that of the sample: on all rows it failed with {failure}"


def _features(objective: Objective, trial: Trial, rows: AllRows, made: dict[str, _Features]) -> _Features:
    """Matrices of all partitions through the view of a trial, fitted on the sample; kept for further members."""
    cache = objective.cache
    name = objective.specs[trial.configuration.model].view_of(trial.configuration.params)
    if name not in made:
        made.clear()
        view = cache.fitted_view(name)
        sample = Sample(np.empty((len(cache.y), 0)), cache.y, cache.weight)
        code = TargetCode.learn(objective.task, objective.n_classes, sample)
        share = rows.table.share_in_memory(view.n_features)
        parts = rows.table.map(PartReader(cache.table.schema, view, code, rows.classes), share)
        rows.table.wait(parts)
        made[name] = _Features(view, code, code.start(code.encode(cache.y), cache.weight), parts, share)
    return made[name]


def _grown(
    objective: Objective, trial: Trial, features: _Features, wanted: int, budget: Budget, *, has_weights: bool
) -> LightGBM:
    """The learner of a trial, grown on all partitions for as many rounds as are wanted or fit into the time."""
    spec = objective.specs[trial.configuration.model]
    learner = learner_of(spec, objective.task, objective.n_classes, trial.configuration.params, objective.seed)
    assert isinstance(learner, LightGBM)
    view = features.view

    def grow(options: Mapping[str, Any]) -> str:
        settings = (options, features.parts, view.n_features, view.categorical)
        n_rounds = wanted
        if budget.is_limited:
            probe = grow_on_partitions(*settings, PROBED_ROUNDS, has_weights=has_weights)
            n_rounds = min(wanted, _affordable_rounds(probe, budget))
        if n_rounds < min(FEWEST_ROUNDS, wanted):
            raise OutOfTime(f"the time left was enough for {max(n_rounds, 0)} of {wanted} rounds on all rows")
        return grow_on_partitions(*settings, n_rounds, has_weights=has_weights).text

    learner.fit_elsewhere(features.code, features.start, grow)
    # Rounds without a split are no sign of haste.
    learner.is_cut_short_ = budget.is_limited and learner.n_rounds < wanted
    return learner


def _affordable_rounds(probe: Grown, budget: Budget) -> int:
    """Rounds that the time left is enough for; collecting and binning the rows comes first, as it did in the probe."""
    before = probe.seconds - PROBED_ROUNDS * probe.seconds_per_round
    return int((budget.left() / CAUTION - before) / max(probe.seconds_per_round, 1e-9))
