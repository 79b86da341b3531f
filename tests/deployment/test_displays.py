"""Displays hold what the fit measured and draw it; without matplotlib they say what to install."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier, WorkflowRegressor, displays
from automl_wf.exceptions import InvalidInput, InvalidParameter, MissingDependency

FROM_A_FIT = [
    displays.SearchHistoryDisplay,
    displays.LeaderboardDisplay,
    displays.ImportanceDisplay,
    displays.DependenceDisplay,
    displays.LearningCurveDisplay,
    displays.SlicesDisplay,
]


@pytest.fixture(autouse=True)
def off_screen() -> Iterator[None]:
    matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    matplotlib.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=240), "town": rng.choice(["a", "b"], 240), "idle": rng.normal(size=240)})
    return X, X["x"] + (X["town"] == "a") + 0.3 * rng.normal(size=240)


@pytest.fixture(scope="module")
def classifier(rows: Any, quick_settings: dict[str, Any]) -> WorkflowClassifier:
    X, score = rows
    return WorkflowClassifier(estimators=["linear"], **quick_settings).fit(X, np.where(score > 0.5, "yes", "no"))


@pytest.fixture(scope="module")
def regressor(rows: Any, quick_settings: dict[str, Any]) -> WorkflowRegressor:
    return WorkflowRegressor(estimators=["linear"], **quick_settings).fit(*rows)


@pytest.mark.parametrize("display", FROM_A_FIT)
@pytest.mark.parametrize("fit", ["classifier", "regressor"])
def test_every_display_draws_a_fit(display: Any, fit: str, request: pytest.FixtureRequest) -> None:
    from matplotlib import pyplot

    drawn = display.from_estimator(request.getfixturevalue(fit))
    assert drawn.figure_ is drawn.ax_.figure
    assert drawn.ax_.get_xlabel()
    drawn.figure_.draw_without_rendering()
    _, ax = pyplot.subplots()
    assert drawn.plot(ax=ax).ax_ is ax


def test_displays_hold_what_was_measured(classifier: WorkflowClassifier) -> None:
    history = displays.SearchHistoryDisplay.from_estimator(classifier)
    assert history.score.tolist() == classifier.history_["score"].tolist()
    assert history.best[-1] == max(history.score)
    board = displays.LeaderboardDisplay.from_estimator(classifier, max_rows=2)
    assert list(board.model) == classifier.leaderboard_["model"].head(2).tolist()
    calibration = displays.CalibrationDisplay.from_estimator(classifier)
    assert calibration.error == classifier.evaluation_.calibration.error
    importances = displays.ImportanceDisplay.from_estimator(classifier)
    assert importances.column[0] == "x"
    assert ((importances.low <= importances.mean) & (importances.mean <= importances.high)).all()
    dependence = displays.DependenceDisplay.from_estimator(classifier, "town")
    assert [t.get_text() for t in dependence.ax_.get_xticklabels()] == [str(v) for v in dependence.values]


def test_losses_are_drawn_as_losses(regressor: WorkflowRegressor) -> None:
    board = displays.LeaderboardDisplay.from_estimator(regressor)
    assert (board.score > 0).all()
    assert board.score.tolist() == sorted(board.score)
    assert board.label == regressor.problem_.scoring.label


def test_scikit_learn_draws_out_of_fold_predictions(
    classifier: WorkflowClassifier, regressor: WorkflowRegressor
) -> None:
    roc = displays.out_of_fold_roc(classifier)
    assert np.max(roc.roc_auc) == pytest.approx(classifier.evaluation_.roc[0].area)
    pr = displays.out_of_fold_precision_recall(classifier)
    assert np.max(pr.average_precision) == pytest.approx(classifier.evaluation_.pr[0].area)
    errors = displays.out_of_fold_errors(regressor, kind="actual_vs_predicted")
    assert len(errors.y_true) == 240
    assert errors.ax_.get_xlabel().startswith("Predicted")


def test_what_cannot_be_drawn_says_why(classifier: WorkflowClassifier, regressor: WorkflowRegressor) -> None:
    with pytest.raises(InvalidInput, match="calibration"):
        displays.CalibrationDisplay.from_estimator(regressor)
    with pytest.raises(InvalidInput, match="two classes was expected"):
        displays.out_of_fold_roc(regressor)
    with pytest.raises(InvalidInput, match="a regression was expected"):
        displays.out_of_fold_errors(classifier)
    with pytest.raises(InvalidParameter, match=r"one of \['idle', 'town', 'x'\]"):
        displays.DependenceDisplay.from_estimator(classifier, "nowhere")


def test_without_matplotlib_the_extra_is_named(classifier: WorkflowClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return known(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    for draw in (displays.LeaderboardDisplay.from_estimator, displays.out_of_fold_roc):
        with pytest.raises(MissingDependency, match=r"automl-wf\[plots\]"):
            draw(classifier)
