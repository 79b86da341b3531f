"""One configuration, one trial: its score, or the reason why there is none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo.objective import Configuration, Objective, Trial
from automl_wf.core.budget import Budget


def run(objective: Objective, *, seconds: float | None = None, model: str = "guess", **params: Any) -> Trial:
    keep = params.pop("worth_going_on", lambda scores, predictions: True)
    configuration = Configuration(model, params, "portfolio")
    return objective(configuration, 7, budget=Budget(seconds), started_s=1.5, worth_going_on=keep)


def test_a_trial_holds_every_fold(objective_of: Any) -> None:
    trial = run(objective_of(), error=0.5)
    assert (trial.number, trial.status, trial.reason, trial.started_s) == (7, "ok", "", 1.5)
    assert trial.score == pytest.approx(-0.5)
    assert trial.fold_scores == pytest.approx((-0.5,) * 3)
    assert trial.prediction is not None
    assert trial.prediction.tolist() == [i + 0.5 for i in range(12)]
    assert len(trial.learners) == len(trial.views) == 3
    assert all(learner.is_packed_ and learner.is_settled_ for learner in trial.learners)
    assert trial.fit_time_s > 0
    assert trial.predict_time_ms > 0


@pytest.mark.parametrize("n_rows", [12, 3000, 20_010])
def test_the_baseline_by_hand(objective_of: Any, n_rows: int) -> None:
    objective = objective_of(n_rows, 3)
    trial = run(objective, model="mean")
    # Each third of 0 … n − 1 is predicted by the mean of the other two.
    x = np.arange(float(n_rows)).reshape(3, -1)
    squares = sum(((x[i] - np.delete(x, i, axis=0).mean()) ** 2).sum() for i in range(3))
    assert trial.score == pytest.approx(-math.sqrt(squares / n_rows))


def test_a_model_that_fails_is_a_record_with_its_reason(objective_of: Any) -> None:
    trial = run(objective_of(), fails=True)
    assert (trial.status, trial.reason) == ("failed", "ZeroDivisionError: on purpose")
    assert math.isnan(trial.score)
    assert trial.prediction is None
    assert trial.learners == ()
    unknown = run(objective_of(), model="nobody")
    assert (unknown.status, unknown.reason) == ("failed", "KeyError: 'nobody'")


def test_predictions_that_are_not_numbers_fail(objective_of: Any) -> None:
    trial = run(objective_of(), nan=True)
    assert (trial.status, trial.reason) == ("failed", "predictions are not finite")


def test_a_metric_that_is_not_defined_fails_but_the_predictions_stay(objective_of: Any) -> None:
    def nothing(estimator: Any, X: Any, y: Any) -> float:
        return math.nan

    trial = run(objective_of(scoring=nothing), error=0.5)
    assert (trial.status, trial.reason) == ("failed", "nothing is not defined for these predictions (nan)")
    assert trial.prediction is not None


def test_out_of_time(objective_of: Any) -> None:
    trial = run(objective_of(), seconds=0.03, sleep=0.1)
    assert trial.status == "out_of_time"
    assert trial.reason.startswith("Guess was stopped: its share of the time budget")


@pytest.mark.parametrize(("beside", "status"), [(None, "out_of_time"), (30.0, "ok"), (0.05, "out_of_time")])
def test_features_leave_half_of_its_time_to_a_trial_where_there_is_time_beside_it(
    objective_of: Any, stubs: Any, beside: float | None, status: str
) -> None:
    objective = objective_of()
    objective.cache.recipes["plain"] = stubs.SlowView(0.5)
    configuration = Configuration("guess", {"error": 1.0}, "portfolio")
    more = None if beside is None else Budget(beside)
    trial = objective(configuration, 2, budget=Budget(0.4), until=more, learning_share=0.5)
    assert trial.status == status
    assert trial.feature_time_s >= 0.5


@pytest.mark.parametrize(("feature_s", "until", "status"), [(1.0, 60.0, "out_of_time"), (60.0, 60.0, "ok")])
def test_a_view_is_stopped_at_its_share_of_the_time(
    objective_of: Any, stubs: Any, feature_s: float, until: float, status: str
) -> None:
    objective = objective_of()
    objective.cache.recipes["plain"], objective.feature_s = stubs.SlowView(0.4), feature_s
    configuration = Configuration("guess", {"error": 1.0}, "portfolio")
    trial = objective(configuration, 1, budget=Budget(30.0), until=Budget(until))
    assert trial.status == status
    if status != "ok":
        assert trial.reason.startswith("Making features was stopped: its share of the time budget (0.3 s)")
        # What is known to take longer is not begun again.
        again = objective(configuration, 2, budget=Budget(30.0), until=Budget(until))
        assert again.reason.startswith("the features of view 'plain' would take 1.")
        assert again.fit_time_s < 0.3


def test_features_that_would_leave_no_time_to_learn_are_not_made(objective_of: Any, stubs: Any) -> None:
    objective = objective_of()
    objective.cache.recipes["plain"] = stubs.SlowView(0.2)
    objective.cache.get(0, "plain")
    configuration = Configuration("guess", {"error": 1.0}, "portfolio")
    trial = objective(configuration, 1, budget=Budget(0.3), until=Budget(30.0))
    assert trial.status == "out_of_time"
    assert trial.reason == (
        "the features of view 'plain' would take 0.6 s; 0.3 s of its share of the time budget are left"
    )
    assert trial.fit_time_s < 0.2
    over = objective(configuration, 1, budget=Budget(0.0), until=Budget(30.0))
    assert over.reason.startswith("Making features of view 'plain' was stopped: its share of the time budget (0.0 s)")
    assert objective(configuration, 1, budget=Budget(3.0), until=Budget(30.0)).status == "ok"


@pytest.mark.parametrize(("share", "status"), [(None, "out_of_time"), (0.5, "ok")])
def test_features_without_time_beside_them_are_stopped_with_the_time_of_the_trial(
    objective_of: Any, stubs: Any, share: float | None, status: str
) -> None:
    objective = objective_of()
    objective.cache.recipes["plain"], objective.feature_s = stubs.SlowView(0.1), 60.0
    configuration = Configuration("guess", {"error": 1.0}, "portfolio")
    trial = objective(configuration, 1, budget=Budget(0.09), until=Budget(30.0), learning_share=share)
    assert trial.status == status
    assert share is not None or trial.reason.startswith(
        "Making features was stopped: its share of the time budget (0.1 s)"
    )


def test_a_hopeless_configuration_is_pruned_after_two_folds(objective_of: Any) -> None:
    seen: list[list[float]] = []

    def worth_going_on(scores: Any, predictions: Any) -> bool:
        seen.append(list(scores))
        return False

    trial = run(objective_of(3000, 3), error=2.0, worth_going_on=worth_going_on)
    assert (trial.status, trial.reason) == ("pruned", "behind the best after 2 of 3 folds")
    assert trial.fold_scores == pytest.approx((-2.0, -2.0))
    assert trial.prediction is None
    assert len(seen) == 1
    assert run(objective_of(12, 3), error=2.0, worth_going_on=worth_going_on).status == "ok"


@pytest.mark.parametrize("keep", [None, lambda scores, predictions: True])
def test_the_metric_is_asked_once_per_fold_and_once_for_all(objective_of: Any, keep: Any) -> None:
    asked: list[int] = []

    def counted(estimator: Any, X: Any, y: Any) -> float:
        asked.append(len(y))
        return 1.0

    trial = run(objective_of(3000, 3, scoring=counted), error=1.0, worth_going_on=keep)
    assert trial.status == "ok"
    assert sorted(asked) == [1000, 1000, 1000, 3000]


def test_folds_whose_rounds_change_are_scored_again(objective_of: Any) -> None:
    seen: list[list[float]] = []

    def keep(scores: Any, predictions: Any) -> bool:
        seen.append(list(scores))
        return True

    # The first two folds are best after three rounds; beside the third, each of them is best after one.
    curves = [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 9.0, 9.0]]
    trial = run(objective_of(3000, 3), error=3.0, curves=curves, worth_going_on=keep)
    assert [learner.n_rounds for learner in trial.learners] == [1, 1, 3]
    assert trial.n_rounds == 1
    assert seen[0] == pytest.approx([-1.0, -1.0])
    assert trial.fold_scores == pytest.approx((-3.0, -3.0, -1.0))


def test_each_fold_uses_the_rounds_that_suit_the_mean_of_the_others(objective_of: Any) -> None:
    # Alone the folds would take 1, 3 and 2 rounds; the mean of any two is lowest after two.
    trial = run(objective_of(), curves=[[1.0, 2.0, 9.0], [9.0, 2.0, 1.0], [9.0, 4.0, 5.0]])
    assert [learner.n_rounds for learner in trial.learners] == [2, 2, 2]
    assert trial.n_rounds == 2


def test_a_fold_that_is_soon_done_does_not_end_the_others(objective_of: Any) -> None:
    # The first fold has grown two rounds only: the others take as many as they need, and so will all rows.
    trial = run(objective_of(), curves=[[5.0, 4.0], [9.0, 6.0, 3.0, 1.0], [9.0, 6.0, 3.0, 1.0]])
    assert [learner.n_rounds for learner in trial.learners] == [4, 4, 4]
    assert trial.n_rounds == 4
    assert trial.loss_curve[-1] == (4, pytest.approx(2.0))


def test_no_fold_chooses_its_own_rounds(objective_of: Any) -> None:
    # However good a round is on a fold's own rows, the others say how many it takes.
    trial = run(objective_of(), curves=[[9.0, 9.0, -99.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert trial.learners[0].n_rounds == 1
    assert [learner.n_rounds for learner in trial.learners[1:]] == [3, 3]


@pytest.mark.parametrize("params", [{"error": 0.5}, {"curves": [[3.0, 1.0, 2.0]]}])
def test_refit_is_on_all_rows_with_the_rounds_of_the_folds(objective_of: Any, params: dict[str, Any]) -> None:
    objective = objective_of()
    _, learner = objective.refit(run(objective, **params), budget=Budget())
    assert learner.n_train_ == 12
    assert learner.n_rounds == (2 if "curves" in params else None)
    assert learner.curve_ is None


def test_rows_held_out_by_no_fold_have_no_prediction(objective_of: Any) -> None:
    trial = run(objective_of(12, 3, is_partition=False), error=0.0)
    assert trial.prediction is not None
    assert trial.prediction.tolist() == list(range(4, 12))


@pytest.mark.parametrize(("n_folds", "n_waves"), [(3, 2), (4, 2), (5, 3)])
def test_folds_that_run_side_by_side_share_the_time_by_waves(objective_of: Any, n_folds: int, n_waves: int) -> None:
    # Two workers take two folds at a time: each wave has its share, and what the first left over goes to the others.
    objective = objective_of(2400, n_folds)
    objective.n_jobs = 2
    trial = objective(Configuration("guess", {"error": 1.0}, "portfolio"), 0, budget=Budget(3000.0))
    shares = [learner.seconds_ / 3000.0 for learner in trial.learners]
    assert shares[:2] == pytest.approx([1 / n_waves] * 2, rel=0.01)
    assert shares[2:] == pytest.approx([1 / (n_waves - 1)] * (n_folds - 2), rel=0.01)


def test_the_first_trial_on_a_view_pays_for_its_features(objective_of: Any) -> None:
    objective = objective_of(12, 3)
    guess = Configuration("guess", {"error": 1.0}, "portfolio")
    first, second = (objective(guess, i, budget=Budget()) for i in range(2))
    assert 0.0 < first.feature_time_s <= first.fit_time_s
    assert second.feature_time_s == 0.0


def test_time_for_the_metric_is_kept(objective_of: Any) -> None:
    objective = objective_of(12, 3)
    assert objective.scoring_s == 0.0
    objective.score_time_s = 2.0
    assert objective.scoring_s == 8.0
    trial = objective(Configuration("guess", {"error": 1.0}, "portfolio"), 0, budget=Budget(100.0))
    assert trial.learners[0].seconds_ == pytest.approx((100.0 - 8.0) / 3, rel=0.01)


def test_a_view_that_takes_more_than_its_share_is_not_tried_on(objective_of: Any, monkeypatch: Any) -> None:
    objective = objective_of(3000, 3)
    objective.feature_s, objective.n_jobs = 5.0, 2
    cost = [9.0]
    monkeypatch.setattr(objective.cache, "cost_s", lambda view, clock: cost[0])
    # Two folds at a time: nine seconds of work are four and a half of the clock.
    assert run(objective, seconds=60.0, error=0.5).status == "ok"
    cost[0] = 11.0
    trial = run(objective, seconds=60.0, error=0.5)
    assert (trial.status, trial.score) == ("out_of_time", pytest.approx(math.nan, nan_ok=True))
    assert trial.reason == "the features of view 'plain' would take 5.5 s; a view may take 5.0 s (25% of the search)"
    assert run(objective, error=0.5).status == "ok"  # without a clock nothing is left out


def test_a_sampled_configuration_is_fitted_on_other_rows(objective_of: Any) -> None:
    objective = objective_of(12, 3)
    trial = run(objective, error=0.5, sampling="smooth")
    assert trial.status == "ok"
    assert [learner.inner.n_train_ for learner in trial.learners] == [16, 16, 16]
    _, learner = objective.refit(trial, budget=Budget())
    assert learner.inner.n_train_ == 24
    refused = run(objective, error=0.5, sampling="under")
    assert refused.status == "failed"
    assert "'sampling' must be one of ['smooth', 'mixup'] for regression" in refused.reason
