"""A learner around another one: what changes what it is fitted on or what it predicts passes everything else on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_wf.model_selection.base import Learner


class WrappedLearner(Learner):
    """A learner whose rounds, trees and leaves are those of the one inside.

    Parameters
    ----------
    inner : Learner
        The learner inside.
    """

    def __init__(self, inner: Learner) -> None:
        super().__init__(inner.task, inner.n_classes, inner.params, inner.seed)
        self.inner = inner

    def _note(self) -> None:
        """Take over what the fit of the learner inside left behind."""
        self.curve_, self.is_cut_short_ = self.inner.curve_, self.inner.is_cut_short_

    def truncate(self, n_rounds: int) -> None:
        """Use the first `n_rounds` rounds only."""
        self.inner.truncate(n_rounds)

    def settle(self) -> None:
        """Let go of what only another number of rounds would need."""
        self.inner.settle()

    def unpack(self) -> None:
        """Have at hand what `predict` needs."""
        self.inner.unpack()

    @property
    def reading_s(self) -> float:
        """Seconds of the last prediction that went into reading what was not at hand."""
        return self.inner.reading_s

    @property
    def n_rounds(self) -> int | None:
        """Rounds in use."""
        return self.inner.n_rounds

    @property
    def n_trees(self) -> int:
        """Trees in use."""
        return self.inner.n_trees

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees in use."""
        return self.inner.n_leaves

    def leaves(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        """Number of each row's leaf in each tree."""
        return self.inner.leaves(X)

    @property
    def n_parameters(self) -> int:
        """Leaves or coefficients."""
        return self.inner.n_parameters

    def feature_gains(self) -> NDArray[np.float64] | None:
        """Gain of the splits on each column."""
        return self.inner.feature_gains()
