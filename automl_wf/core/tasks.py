"""The four tasks and what each implies."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    RANKING = "ranking"

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self in (Task.BINARY, Task.MULTICLASS)

    @property
    def family(self) -> str:
        """The word users write for it: classification, regression or ranking."""
        return "classification" if self.is_classification else self.value

    @property
    def default_scoring(self) -> str:
        """The metric that is optimised unless the user names one."""
        return _DEFAULT_SCORING[self]


_DEFAULT_SCORING = {
    Task.BINARY: "roc_auc",
    Task.MULTICLASS: "neg_log_loss",
    Task.REGRESSION: "neg_root_mean_squared_error",
    Task.RANKING: "ndcg",
}
