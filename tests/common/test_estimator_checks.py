"""scikit-learn's own contract, on default parameters; expected failures: none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from automl_wf import WorkflowClassifier, WorkflowEstimator, WorkflowRanker, WorkflowRegressor

#: The boosters join the default search by themselves: the same checks pass with them, in four times the time
#: (AUTOML_WF_ALL_MODELS=1). What is held every day is what everybody has installed.
pytestmark = pytest.mark.usefixtures("core_dependencies_only")

ESTIMATORS = (WorkflowClassifier, WorkflowRegressor, WorkflowRanker, WorkflowEstimator)


@parametrize_with_checks([cls() for cls in ESTIMATORS])
def test_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_enough_checks_apply(cls: type) -> None:
    # A wrong tag silently switches checks off: a plain classifier of scikit-learn is given at least as many.
    assert sum(1 for _ in estimator_checks_generator(cls(), mark="skip")) >= 40


def test_kind_is_known_before_fit() -> None:
    assert is_classifier(WorkflowClassifier())
    assert is_regressor(WorkflowRegressor())
    assert is_classifier(WorkflowEstimator(task="classification"))
    assert is_regressor(WorkflowEstimator(task="regression"))
    assert not is_classifier(WorkflowRanker())
