"""What `fit` says while it works: one live line where somebody watches, log lines on the logger `automl_wf`."""

from __future__ import annotations

import logging
import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from automl_wf.core.budget import Budget

if TYPE_CHECKING:
    from rich.status import Status

LOGGER = logging.getLogger("automl_wf")
LOGGER.addHandler(logging.NullHandler())


class Progress:
    """Stage, best score, trials and time left; silent at `verbose=0`.

    Parameters
    ----------
    verbose : int
        0: nothing at all; 1: the live line and a summary; 2 and more: also one line per trial.
    budget : Budget
        The clock, for the time left.
    """

    def __init__(self, verbose: int, budget: Budget) -> None:
        self.verbose, self._budget = verbose, budget
        self._status: Status | None = None
        self._stage, self._best, self._n_trials = "", math.nan, 0

    def __enter__(self) -> Progress:
        if self.verbose and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from rich.console import Console

            self._status = Console(stderr=True).status("starting", spinner="dots")
            self._status.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.__exit__(kind, value, trace)
            self._status = None

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._stage = name
        self._show()
        if self.verbose > 1:
            LOGGER.info("stage: %s", name)

    def trial(self, description: str, score: float, best: float, n_trials: int) -> None:
        """A trial ended."""
        self._best, self._n_trials = best, n_trials
        self._show()
        if self.verbose > 1:
            LOGGER.info("trial %d: %s: %.6g (best %.6g)", n_trials, description, score, best)

    def say(self, lines: list[str]) -> None:
        """The summary at the end."""
        if not self.verbose:
            return
        self.__exit__(None, None, None)
        for line in lines:
            LOGGER.info(line)
        if not LOGGER.isEnabledFor(logging.INFO) or not _is_heard():
            sys.stderr.write("\n".join(lines) + "\n")

    def _show(self) -> None:
        if self._status is None:
            return
        parts = [self._stage]
        if self._n_trials:
            parts += [f"best {self._best:.5g}", f"{self._n_trials} trials"]
        if self._budget.is_limited:
            parts.append(f"{max(self._budget.left(), 0):.0f} s left")
        self._status.update(" · ".join(parts))


def _is_heard() -> bool:
    """Whether somebody configured logging, so that records reach a handler."""
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        if any(not isinstance(h, logging.NullHandler) for h in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
