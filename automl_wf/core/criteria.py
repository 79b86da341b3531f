"""Success criteria: what the user (or the baseline) asks of a model, and whether it is met, as facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from automl_wf.core.findings import Finding
from automl_wf.exceptions import InvalidParameter

MET, NOT_MET, UNDECIDED = "met", "not met", "undecided at this sample size"
NOT_JUDGED, NOT_BEFORE_EXPORT = "not judged yet", "not measured before export"

#: What `requirements` may hold → its unit; "" means that of the score.
REQUIREMENTS = {"score": "", "max_size": "bytes", "max_predict_time": "seconds per row", "max_memory": "bytes"}


@dataclass(frozen=True)
class Criterion:
    """One thing that is asked of the model.

    Parameters
    ----------
    name : str
        "score", "beats_baseline", "max_size", "max_predict_time" or "max_memory".
    label : str
        What is measured, in words.
    wanted : float or None
        The bound; None: the baseline has no score.
    is_at_least : bool
        Whether the bound is a lower one.
    unit : str
        Of `wanted` and `measured`; "" is that of the score.
    measured : float or None
        What was measured; of a score its natural form (a loss is a loss).
    interval : tuple of float or None
        95 % interval of what was measured on a sample of rows.
    verdict : str
        "met", "not met", "undecided at this sample size", or why there is none.
    """

    name: str
    label: str
    wanted: float | None
    is_at_least: bool
    unit: str = ""
    measured: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = NOT_JUDGED

    @property
    def is_of_score(self) -> bool:
        """Whether it speaks of a score, which rows drawn by chance decide on."""
        return self.name in ("score", "beats_baseline")


def check_requirements(requirements: Mapping[str, Any] | None) -> None:
    """Raise InvalidParameter unless each key is known and each value a number, above 0 for limits."""
    for name, value in (requirements or {}).items():
        if name not in REQUIREMENTS:
            raise InvalidParameter(
                f"The 'requirements' parameter may hold {', '.join(REQUIREMENTS)}. Got {name!r} among them instead."
            )
        is_number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
        if not is_number or (name != "score" and value <= 0):
            unit = REQUIREMENTS[name]
            what = f"a number of {unit} above 0" if unit else "a number, the score in its usual form"
            raise InvalidParameter(f"The requirement {name!r} must be {what}. Got {value!r} instead.")


def constraints_of(parameters: Mapping[str, Any], requirements: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters and requirements that are set, in one mapping; where both bound the same, the tighter bound.

    Examples
    --------
    >>> constraints_of({"max_predict_time": 0.1, "n_iter": None}, {"max_predict_time": 0.5, "max_size": 1e6})
    {'max_predict_time': 0.1, 'max_size': 1000000.0}
    """
    constraints = {name: value for name, value in parameters.items() if value is not None}
    for name, value in (requirements or {}).items():
        constraints[name] = min(constraints[name], value) if name in constraints else value
    return constraints


def state_criteria(constraints: Mapping[str, Any], label: str, greater_is_better: bool) -> tuple[Criterion, ...]:
    """The criteria as they are asked, before anything is measured.

    Parameters
    ----------
    constraints : mapping
        Limits and success criteria of the user. The score may be given as it is usually written (an RMSE of at most 3
        is 3) or as scikit-learn's scorer has it (−3).
    label : str
        Name of the score in words.
    greater_is_better : bool
        Of the score's natural form.

    Returns
    -------
    tuple of Criterion
        Not judged yet. To beat the baseline is always asked, and stands last.
    """
    criteria = []
    if "score" in constraints:
        wanted = float(constraints["score"])
        if not greater_is_better and wanted < 0:
            wanted = -wanted
        criteria.append(Criterion("score", label, wanted, greater_is_better))
    for name, words in (
        ("max_predict_time", "time of a prediction"),
        ("max_size", "size of the graph"),
        ("max_memory", "memory"),
    ):
        if name in constraints:
            criteria.append(Criterion(name, words, float(constraints[name]), False, REQUIREMENTS[name]))
    return (*criteria, Criterion("beats_baseline", label, None, greater_is_better))


def judge(criterion: Criterion, measured: float | None, interval: tuple[float, float] | None = None) -> Criterion:
    """The criterion with what was measured, and the verdict.

    A score is judged by its interval: met if all of it is on the right side of the bound, not met if none of it is,
    otherwise (and without an interval) undecided. A score that equals the baseline's does not beat it. A limit is met
    or not.

    Parameters
    ----------
    criterion : Criterion
        What is asked.
    measured : float or None
        In the criterion's unit. None: not measured.
    interval : tuple of float or None, default=None
        Lower and upper end of the score's interval.

    Returns
    -------
    Criterion
        With the verdict.

    Examples
    --------
    >>> wanted = Criterion("score", "accuracy", 0.8, True)
    >>> judge(wanted, 0.85, (0.82, 0.88)).verdict, judge(wanted, 0.85, (0.78, 0.92)).verdict
    ('met', 'undecided at this sample size')
    """
    if measured is None or criterion.wanted is None:
        return replace(criterion, measured=measured, verdict="not run: nothing to judge by")
    ends = interval if criterion.is_of_score else (measured, measured)
    if ends is None:
        return replace(criterion, measured=measured, verdict=UNDECIDED)
    sign = 1.0 if criterion.is_at_least else -1.0
    worst, best = sorted(sign * end - sign * criterion.wanted for end in ends)
    is_strict = criterion.name == "beats_baseline"
    is_met = worst > 0 if is_strict else worst >= 0
    is_missed = best <= 0 if is_strict else best < 0
    verdict = MET if is_met else NOT_MET if is_missed else UNDECIDED
    return replace(criterion, measured=measured, interval=interval, verdict=verdict)


def criteria_findings(criteria: Sequence[Criterion]) -> list[Finding]:
    """What the user asked for and did not get, or cannot be sure of.

    Parameters
    ----------
    criteria : sequence of Criterion
        Judged. To beat the baseline is not the user's wish and has a finding of its own.

    Returns
    -------
    list of Finding
        One per criterion that is not met or undecided.
    """
    found = []
    for criterion in criteria:
        if criterion.name == "beats_baseline" or criterion.verdict not in (NOT_MET, UNDECIDED):
            continue
        bound = f"{'at least' if criterion.is_at_least else 'at most'} {criterion.wanted:.4g} {criterion.unit}".strip()
        between = ""
        if criterion.interval is not None:
            between = f", 95 % interval {criterion.interval[0]:.4g} to {criterion.interval[1]:.4g}"
        message = (
            f"The requirement {criterion.name!r} ({criterion.label}, {bound}) is {criterion.verdict}: measured "
            f"{criterion.measured:.4g}{between}."
        )
        if criterion.verdict == UNDECIDED:
            found.append(Finding("criterion_undecided", "info", message, "More rows narrow the interval."))
        else:
            advice = "Give more time, more rows or columns that say more; or ask for less."
            found.append(Finding("criterion_not_met", "warning", message, advice))
    return found
