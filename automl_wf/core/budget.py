"""The clock: one deadline for the whole of `fit`, asked by every loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from automl_wf.exceptions import OutOfTime


@dataclass(frozen=True)
class Budget:
    """Seconds that may be used, counted from its creation.

    Parameters
    ----------
    seconds : float or None
        None: no limit; then no question asked of it reads the clock.
    """

    seconds: float | None = None
    started_at: float = field(default_factory=time.perf_counter)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.seconds is not None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started_at

    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        return float("inf") if self.seconds is None else self.seconds - self.elapsed()

    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.seconds is not None and self.left() <= 0

    def with_used(self, seconds: float) -> Budget:
        """The same budget as if so many of its seconds were used by now: the clock stood still meanwhile."""
        return replace(self, started_at=time.perf_counter() - seconds)

    def share(self, fraction: float) -> Budget:
        """A budget of its own: `fraction` of what is left, from now on."""
        return Budget() if self.seconds is None else Budget(max(self.left(), 0.0) * fraction)

    def until_reserve(self, reserve: float) -> Budget:
        """What is left but for `reserve` seconds, from now on."""
        return Budget() if self.seconds is None else Budget(max(self.left() - reserve, 0.0))

    def calls(self, seconds_each: float) -> int | None:
        """How many calls of so many seconds fit into what is left; None without a limit."""
        return None if self.seconds is None else int(max(self.left(), 0.0) / max(seconds_each, 1e-9))

    def check(self, what: str) -> None:
        """Raise OutOfTime, naming `what` was stopped, when nothing is left."""
        if self.is_over():
            raise OutOfTime(f"{what} was stopped: its share of the time budget ({self.seconds:.1f} s) was used up")

    @contextmanager
    def governing(self) -> Iterator[None]:
        """Have `check_clock` ask this budget, in this thread and inside the block."""
        token = _GOVERNING.set(self)
        try:
            yield
        finally:
            _GOVERNING.reset(token)


_GOVERNING: ContextVar[Budget] = ContextVar("_GOVERNING", default=Budget())  # noqa: B039  (frozen)


def check_clock(what: str) -> None:
    """Raise OutOfTime where the budget that governs this thread is used up; transformers, which know none, ask here."""
    _GOVERNING.get().check(what)
