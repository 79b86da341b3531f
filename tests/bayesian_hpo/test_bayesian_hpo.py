"""Search, blend and final models together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_wf.bayesian_hpo import Configuration, Limits, SearchRules, Tuning, _finish, train, tune
from automl_wf.core.budget import Budget
from automl_wf.exceptions import WorkflowError
from automl_wf.model_selection.ensemble import Blend, ScoreScale

BASELINE = Configuration("mean", {}, "baseline")


def run(objective: Any, *params: dict[str, Any], seconds: float | None = None, **options: Any) -> Tuning:
    portfolio = [BASELINE, *(Configuration("guess", p, "portfolio") for p in params)]
    budget = Budget(seconds)
    training = train(
        objective.cache,
        objective.task,
        1,
        objective.scoring,
        objective.specs,
        portfolio,
        SearchRules(None, len(portfolio), asks=False),
        budget=budget,
        seed=0,
        n_jobs=1,
    )
    return tune(training, budget=budget, reserve=0.0, **options)


def test_models_that_err_in_opposite_directions_are_blended(objective_of: Any) -> None:
    tuning = run(objective_of(60), {"error": 1.0}, {"error": -1.0})
    assert tuning.candidates == (1, 2)
    assert tuning.choice.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(tuning.prediction, np.arange(60.0), atol=0.5)
    assert tuning.best.score == pytest.approx(-1.0)
    assert tuning.baseline.configuration == BASELINE
    np.testing.assert_allclose(tuning.blend.predict(objective_of(60).cache.table), tuning.prediction)


def test_fold_models_are_kept_on_few_rows(objective_of: Any) -> None:
    tuning = run(objective_of(), {"error": 0.5})
    assert [len(m.parts) for m in tuning.blend.members] == [3]
    assert not any(learner.is_packed_ for m in tuning.fold_blend.members for _, learner in m.parts)
    assert tuning.finish == "the 3 fold models of each member are averaged"


def test_members_are_fitted_again_where_folds_are_no_partition(objective_of: Any) -> None:
    tuning = run(objective_of(12, 3, is_partition=False), {"error": 0.5})
    ((_, learner),) = tuning.blend.members[0].parts
    assert learner.n_train_ == 12
    assert tuning.finish == "each member is fitted again on all rows"
    assert len(tuning.fold_blend.members[0].parts) == 2


def test_a_member_that_fails_on_all_rows_keeps_its_fold_models_and_says_why(objective_of: Any) -> None:
    tuning = run(objective_of(12, 3, is_partition=False), {"error": 0.5, "fails": "on all rows"})
    assert [len(m.parts) for m in tuning.blend.members] == [2]
    assert "0 of 1 members" in tuning.finish
    assert "guess failed on all rows (ZeroDivisionError: on purpose)" in tuning.finish


def test_a_refit_that_would_take_too_long_is_left_out(objective_of: Any) -> None:
    objective = objective_of(12, 3, is_partition=False)
    tuning = run(objective, {"error": 0.5})
    slow = replace(tuning.trials[1], fit_time_s=100.0)
    kept = tuning.fold_blend.members
    members, finish = _finish(objective, [(slow, 1.0, ScoreScale())], kept, Budget(5.0))
    assert members == kept
    assert finish.startswith("0 of 1 members are fitted again on all rows; the time left was too short for the others")
    assert len(_finish(objective, [(slow, 1.0, ScoreScale())], kept, Budget())[0][0].parts) == 1


@pytest.mark.parametrize(("share", "n_parts"), [(0.1, 2), (0.95, 1)])
def test_a_member_cut_short_on_all_rows_counts_only_with_most_of_its_rounds(
    objective_of: Any, share: float, n_parts: int
) -> None:
    tuning = run(objective_of(12, 3, is_partition=False), {"error": 0.5, "cut": 100, "share": share})
    assert tuning.trials[1].is_cut_short
    assert [len(m.parts) for m in tuning.blend.members] == [n_parts]


def test_the_baseline_alone_if_nothing_else_is_there(objective_of: Any) -> None:
    tuning = run(objective_of(), {"fails": True})
    assert tuning.candidates == (0,)
    assert [m.name for m in tuning.blend.members] == ["mean"]


def test_no_model_at_all_is_an_error_with_the_reasons(objective_of: Any) -> None:
    objective = objective_of()
    objective.specs = {"guess": objective.specs["guess"]}
    with pytest.raises(WorkflowError, match=r"No model could be fitted. mean: KeyError: 'mean'; guess: ZeroDivision"):
        run(objective, {"fails": True})


def test_members_together_keep_to_the_time_of_a_prediction(objective_of: Any) -> None:
    errors = [{"error": e} for e in (1.0, -1.0, 0.9, -0.9)]
    free = run(objective_of(60), *errors)
    assert len(free.candidates) == 4
    roomy = run(objective_of(60), *errors, limits=Limits(max_seconds_per_row=10.0))
    assert roomy.candidates == free.candidates
    assert 0.0 < roomy.seconds_per_row < 10.0
    impossible = run(objective_of(60), *errors, limits=Limits(max_seconds_per_row=1e-15))
    assert len(impossible.candidates) == 1
    fastest = min((t for t in impossible.trials), key=lambda t: t.predict_time_ms)
    assert impossible.candidates == (fastest.number,)


def test_features_count_in_the_time_of_a_prediction_once_per_view(objective_of: Any) -> None:
    objective = objective_of(60)
    tuning = run(objective, {"error": 1.0}, {"error": -1.0})
    models = sum(3 * tuning.trials[i].predict_time_ms * 1e-6 for i in tuning.candidates)
    assert objective.cache.seconds_per_row("plain") > 0.0
    assert tuning.seconds_per_row == pytest.approx(models + objective.cache.seconds_per_row("plain"))


def test_members_together_keep_to_the_size_of_the_graph(objective_of: Any) -> None:
    errors = [{"error": e} for e in (1.0, -1.0, 0.9, -0.9)]

    def hundred_each(blend: Blend) -> int:
        return 100 * sum(len(member.parts) for member in blend.members)

    held = run(objective_of(60), *errors, limits=Limits(max_bytes=650), graph_bytes=hundred_each)
    # Three folds each: two members; the two best.
    assert [held.trials[i].configuration.params["error"] for i in held.candidates] == [0.9, -0.9]
    assert run(objective_of(60), *errors, limits=Limits(max_bytes=650)).candidates == (1, 2, 3, 4)
    too_small = run(objective_of(60), *errors, limits=Limits(max_bytes=10), graph_bytes=hundred_each)
    assert len(too_small.candidates) == 1
