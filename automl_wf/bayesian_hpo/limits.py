"""What the owner allows a model to cost: which trials may become its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl_wf.bayesian_hpo.objective import Trial


@dataclass(frozen=True)
class Limits:
    """Bounds of the whole model.

    Parameters
    ----------
    max_seconds_per_row : float or None
        Seconds that a prediction may take per row, features included.
    max_bytes : float or None
        Bytes of the ONNX graph.
    """

    max_seconds_per_row: float | None = None
    max_bytes: float | None = None

    @property
    def is_bound(self) -> bool:
        """Whether there are any."""
        return self.max_seconds_per_row is not None or self.max_bytes is not None


def within_limits(
    trials: Sequence[Trial],
    limits: Limits,
    seconds_of: Callable[[Sequence[Trial]], float],
    bytes_of: Callable[[Sequence[Trial]], float],
) -> list[Trial]:
    """The best trials that together keep to the limits, whatever weights the blend gives them.

    They are taken in the order of their scores; one that would exceed a limit is left out, and the next may still fit.

    Parameters
    ----------
    trials : sequence of Trial
        Done, at least one.
    limits : Limits
        The bounds.
    seconds_of, bytes_of : callable
        Seconds per row and bytes of these trials' models together; asked only where there is a bound.

    Returns
    -------
    list of Trial
        In the order of their numbers. None, if no trial keeps to the limits.
    """
    kept: list[Trial] = []
    for trial in sorted(trials, key=lambda t: -t.score):
        if excess([*kept, trial], limits, seconds_of, bytes_of) <= 1.0:
            kept.append(trial)
    return sorted(kept, key=lambda t: t.number)


def excess(
    trials: Sequence[Trial],
    limits: Limits,
    seconds_of: Callable[[Sequence[Trial]], float],
    bytes_of: Callable[[Sequence[Trial]], float],
) -> float:
    """The largest share that these trials together take of a limit; more than 1 exceeds it, 0 without limits."""
    costs = ((limits.max_seconds_per_row, seconds_of), (limits.max_bytes, bytes_of))
    return max((cost(trials) / limit for limit, cost in costs if limit is not None), default=0.0)
