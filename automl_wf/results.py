"""A finished workflow as the tables that users know, and as the subject of a package."""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_wf.bayesian_hpo import Trial, Tuning
from automl_wf.bayesian_hpo.analysis import SearchAnalysis, analyse_search
from automl_wf.core.agents import CAST
from automl_wf.core.business import storable_business, storable_scoring
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.tasks import Task
from automl_wf.deployment.subject import Subject, describe_environment
from automl_wf.exceptions import InvalidParameter
from automl_wf.feature_engineering.plan import feature_facts
from automl_wf.feature_engineering.preprocessor import Preprocessor
from automl_wf.feature_engineering.selected_view import SelectedView
from automl_wf.stages import FittedWorkflow
from automl_wf.workflow import reference_places

#: Confidences of the prediction intervals that card and report tell the width of.
CONFIDENCES = (0.8, 0.9, 0.95)
#: Levels of a column that go into the package for counting unseen ones; columns with more are not counted.
MAX_LEVELS = 10_000
#: What a version may be: also the tag of an image.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def leaderboard(result: FittedWorkflow) -> pd.DataFrame:
    """One row per configuration, best first, those without a score last."""
    tuning = result.tuning
    weights = {n: float(w) for n, w in zip(tuning.candidates, tuning.choice.weights, strict=True)}
    front = _pareto_front(tuning.trials)
    rows = [
        {
            "rank": 0,
            "model": t.configuration.model,
            "family": result.shortlist.specs[t.configuration.model].family,
            "source": t.configuration.source,
            "status": t.status,
            "score": t.score,
            "score_std": _std(t.fold_scores),
            "weight": weights.get(t.number, 0.0),
            "fit_time_s": t.fit_time_s,
            "predict_time_ms": t.predict_time_ms,
            "n_rounds": t.n_rounds,
            "n_parameters": t.n_parameters,
            "on_pareto_front": t.number in front,
            "reason": t.reason or ("cut short by the clock" if t.is_cut_short else ""),
            "params": dict(t.configuration.params),
            "number": t.number,
        }
        for t in tuning.trials
    ]
    board = pd.DataFrame(rows).astype({"n_rounds": "Int64"})
    board = board.sort_values("score", ascending=False, na_position="last", kind="stable").reset_index(drop=True)
    board["rank"] = np.arange(1, len(board) + 1)
    return board


def cv_results(tuning: Tuning) -> dict[str, NDArray[Any]]:
    """The trials as `GridSearchCV.cv_results_` has them."""
    n_folds = max((len(t.fold_scores) for t in tuning.trials), default=0)
    scores = np.full((len(tuning.trials), n_folds), np.nan)
    for i, trial in enumerate(tuning.trials):
        scores[i, : len(trial.fold_scores)] = trial.fold_scores
    means = np.array([_mean(t.fold_scores) for t in tuning.trials])
    rank = rankdata(np.where(np.isnan(means), np.inf, -means), method="min").astype(np.int32)
    params = [{"model": t.configuration.model, **t.configuration.params} for t in tuning.trials]
    return {
        "params": np.array(params, dtype=object),
        "mean_test_score": means,
        "std_test_score": np.array([_std(t.fold_scores) for t in tuning.trials]),
        "rank_test_score": rank,
        "mean_fit_time": np.array([t.fit_time_s / max(len(t.fold_scores), 1) for t in tuning.trials]),
        **{f"split{i}_test_score": scores[:, i] for i in range(n_folds)},
    }


def history(tuning: Tuning) -> pd.DataFrame:
    """The trials in the order in which they were run, with the best score so far."""
    scores = [t.score for t in tuning.trials]
    best = np.fmax.accumulate(np.array(scores, dtype=np.float64))
    return pd.DataFrame(
        {
            "number": [t.number for t in tuning.trials],
            "source": [t.configuration.source for t in tuning.trials],
            "model": [t.configuration.model for t in tuning.trials],
            "params": [dict(t.configuration.params) for t in tuning.trials],
            "score": scores,
            "best_score": best,
            "started_s": [t.started_s for t in tuning.trials],
            "fit_time_s": [t.fit_time_s for t in tuning.trials],
            "status": [t.status for t in tuning.trials],
        }
    )


def search_analysis(result: FittedWorkflow) -> SearchAnalysis:
    """What the search teaches: history, effort by model, hyper-parameters that mattered, training histories."""
    spaces = {name: spec.space for name, spec in result.shortlist.specs.items()}
    return analyse_search(result.tuning.trials, spaces, seed=result.seed)


def feature_importances(result: FittedWorkflow) -> NDArray[np.float64]:
    """Permutation importance by input column: NaN where it was not run, 0 where the column is not used."""
    importances = np.array([np.nan if c.is_used else 0.0 for c in result.schema.columns])
    place = {c.name: c.position for c in result.schema.columns}
    for row in result.interpretation.importances:
        if row.mean is not None:
            importances[place[row.column]] = row.mean
    return importances


def feature_metadata(result: FittedWorkflow) -> pd.DataFrame:
    """The features that `transform` makes, those that were not chosen, and the input columns that are not used."""
    gains = _gain_shares(result)
    classes = result.problem.classes
    chosen = result.view if isinstance(result.view, SelectedView) else None
    made = [
        {
            **facts,
            "importance": gains.get(facts["name"], np.nan),
            "is_kept": True,
            "reason": _why_kept(gains.get(facts["name"])) if chosen is None else chosen.why_kept[facts["name"]],
        }
        for facts in result.features.metadata(result.view, None if classes is None else classes.tolist())
    ]
    dropped = [
        {
            **feature_facts(f, None if classes is None else classes.tolist()),
            "importance": 0.0,
            "is_kept": False,
            "reason": reason,
        }
        for f, reason in (chosen.dropped if chosen is not None else ())
    ]
    left_out = [
        {
            "name": c.name,
            "kind": c.kind.value,
            "parents": [c.name],
            "formula": "",
            "importance": 0.0,
            "is_kept": False,
            "reason": _why_unused(c),
        }
        for c in result.schema.columns
        if not c.is_used
    ]
    return pd.DataFrame([*made, *dropped, *left_out])


def _most_telling_first(features: pd.DataFrame) -> list[dict[str, Any]]:
    """Features by importance where it is known; then what was learnt or computed, before levels and codes."""
    is_plain = features["kind"].isin(("level", "code", "indicator"))
    order = np.lexsort((is_plain, -features["importance"].fillna(0.0), ~features["is_kept"]))
    records: list[dict[str, Any]] = features.iloc[order].to_dict("records")
    return records


def _gain_shares(result: FittedWorkflow) -> dict[str, float]:
    """Share of each feature in what the splits of the heaviest member gained; empty where that is not known."""
    heaviest = max(result.tuning.blend.members, key=lambda m: m.weight)
    total: dict[str, float] = {}
    for view, learner in heaviest.parts:
        gains = learner.feature_gains()
        if gains is not None:
            for name, gain in zip(view.feature_names, gains.tolist(), strict=True):
                total[name] = total.get(name, 0.0) + gain
    whole = sum(total.values())
    return {name: gain / whole for name, gain in total.items()} if whole > 0 else {}


def _why_kept(gain: float | None) -> str:
    return "made for the heaviest member" + (", whose trees never split by it" if gain == 0.0 else "")


def _why_unused(column: Column) -> str:
    if column.kind is ColumnKind.IDENTIFIER:
        return "another value in every row"
    return "one value only" if column.n_unique <= 1 else "repeats another column"


def subject_of(estimator: Any, result: FittedWorkflow, version: str | None = None) -> Subject:
    """Everything a package is made from."""
    if version is None:
        version = datetime.fromisoformat(result.created).astimezone(UTC).strftime("%Y%m%d.%H%M%S")
    elif not _VERSION.fullmatch(version):
        raise InvalidParameter(
            "The 'version' parameter must be 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit. "
            f"Got {version!r} instead."
        )
    pipeline = estimator.best_estimator_
    blend, problem = result.tuning.blend, result.problem
    owner = type(estimator).__name__

    def to_onnx() -> tuple[Any, dict[str, Any]]:
        model, parity = pipeline.to_onnx(result.reference)
        return model, parity.to_dict()

    def predict(X: Any) -> dict[str, NDArray[Any]]:
        raw = pipeline.predict_raw(X)
        if problem.classes is None:
            return {"prediction": raw}
        return {"label": problem.classes[blend.postprocess.decide(raw)], "probabilities": raw}

    limits = {
        k: problem.constraints[k] for k in ("max_size", "max_predict_time", "max_memory") if k in problem.constraints
    }
    return Subject(
        name=problem.target_name if problem.target_name != "y" else "model",
        version=version,
        created=result.created,
        task=problem.task,
        classes=problem.classes,
        target_name=problem.target_name,
        schema=result.schema,
        estimator=_without_reference(estimator),
        preprocessor=Preprocessor(result.schema, result.view, owner),
        to_onnx=to_onnx,
        predict=predict,
        reference=result.reference,
        evidence={**result.evidence, "candidates": _candidate_names(result.tuning)},
        reference_y=result.reference_y,
        reference_rows=reference_places(result.schema.n_rows, result.seed),
        problem=problem.to_dict(),
        data={**result.data_plan.to_dict(), "n_columns": len(result.schema.columns), "fingerprint": result.fingerprint},
        search=_search_facts(estimator, result),
        analysis=search_analysis(result).to_dict(),
        blend={
            **estimator.best_params_,
            "finish": result.tuning.finish,
            "n_parameters": blend.n_parameters,
            **_interval_widths(result),
        },
        evaluation=result.evaluation.to_dict(),
        interpretation=result.interpretation.to_dict(),
        timings=result.timings,
        stages=_stages(result.timings),
        environment=describe_environment(),
        resources=result.resources,
        parameters={k: _plain(v) for k, v in _resolved(estimator, result).items()},
        call=_call(estimator, result),
        features=_most_telling_first(feature_metadata(result)),
        leaderboard=leaderboard(result).drop(columns="params").to_dict("records"),
        decisions=[d.to_dict() for d in result.decisions],
        findings=[f.to_dict() for f in result.findings],
        drift=_most_important_first(result),
        categories=_categories(result),
        limits=limits,
        on_unknown=estimator.on_unknown,
        threshold=blend.postprocess.threshold,
        decision_costs=estimator.best_params_["decision_costs"],
        pos_index=problem.positive,
        seed=result.seed,
    )


def _candidate_names(tuning: Tuning) -> NDArray[Any]:
    """The model of each configuration that the blend was chosen from: voting looks at these names."""
    numbers = (*tuning.candidates, *tuning.rivals)
    return np.array([tuning.trials[number].configuration.model for number in numbers], dtype=str)


def _stages(timings: Mapping[str, float]) -> list[dict[str, Any]]:
    """Who leads and who supports each stage, and what it took; None: it is not over yet."""
    return [
        {"stage": stage, "lead": lead, "support": support, "seconds": timings.get(stage)}
        for stage, (lead, support) in CAST.items()
    ]


def _call(estimator: Any, result: FittedWorkflow) -> dict[str, Any]:
    """How `fit` was called, as far as parameters do not say it."""
    rows = result.evidence["row"]
    given = {"groups": "group" in result.evidence, "sample_weight": "weight" in result.evidence}
    given["sample_weight"] |= len(np.unique(rows)) < len(rows)
    return {
        "estimator": type(estimator).__name__,
        **given,
        # What a checkpoint goes on from has no part in the result
        "not_literal": [
            k for k, v in estimator.get_params(deep=False).items() if k != "checkpoint" and not _is_literal(v)
        ],
        "changed": _changed(estimator),
        "taken_from": dict(estimator._taken_from) or None,
    }


def _resolved(estimator: Any, result: FittedWorkflow) -> dict[str, Any]:
    """The parameters, with the `random_state` that was drawn where none was given."""
    parameters: dict[str, Any] = estimator.get_params(deep=False)
    return parameters | ({"random_state": result.random_state} if parameters["random_state"] is None else {})


def _changed(estimator: Any) -> list[str]:
    """Parameters that are not at their defaults."""
    defaults = inspect.signature(type(estimator)).parameters
    return [
        name
        for name, value in estimator.get_params(deep=False).items()
        if value is not defaults[name].default and _plain(value) != _plain(defaults[name].default)
    ]


def _interval_widths(result: FittedWorkflow) -> dict[str, Any]:
    """How far a new value may lie from its prediction, by confidence; regression only."""
    if result.problem.task is not Task.REGRESSION:
        return {}
    post = result.tuning.blend.postprocess
    return {"prediction_intervals": {str(c): post.residual_quantile(1 - c) for c in CONFIDENCES}}


def _without_reference(estimator: Any) -> Any:
    """A copy to be pickled: without reference rows and evidence, which are training data, and unpicklable KPIs."""
    twin = copy.copy(estimator)
    twin.business = storable_business(estimator.business)
    problem = estimator._result.problem
    worth = None if problem.business is None else problem.business.storable()
    twin.problem_ = replace(problem, business=worth, scoring=storable_scoring(problem.scoring))
    twin._result = replace(
        estimator._result,
        problem=twin.problem_,
        reference=estimator._result.reference[:0],
        reference_y=estimator._result.reference_y[:0],
        evidence={"baseline": estimator._result.evidence["baseline"].mean(axis=0, keepdims=True)},
        tuning=replace(estimator._result.tuning, predictions=(), prediction=np.empty(0)),
    )
    return twin


def _search_facts(estimator: Any, result: FittedWorkflow) -> dict[str, Any]:
    trials = result.tuning.trials
    return {
        "n_trials": len(trials),
        "n_failed": sum(t.status == "failed" for t in trials),
        "n_pruned": sum(t.status == "pruned" for t in trials),
        "n_asked": sum(t.configuration.source == "asked" for t in trials),
        "time_budget": estimator.time_budget,
        "n_iter": estimator.n_iter,
        "seconds": result.timings["total"],
        "ended": result.tuning.ended,
        "scoring": result.problem.scoring.name,
        "folds": result.data_plan.folds.description,
        "seed": result.seed,
    }


def _most_important_first(result: FittedWorkflow) -> dict[str, Any]:
    """The drift section, the columns that matter most in front: the service measures the first fifty."""
    order = [row.column for row in result.interpretation.importances]
    features = result.drift["features"]
    names = [n for n in order if n in features] + [n for n in features if n not in set(order)]
    return {**result.drift, "features": {name: features[name] for name in names}}


def _categories(result: FittedWorkflow) -> dict[str, list[str]]:
    """Levels by column, for counting unseen ones."""
    return {
        c.name: [level for level in result.schema.levels[c.position].tolist() if level]
        for c in result.schema.of_kind(ColumnKind.CATEGORICAL)
        if len(result.schema.levels[c.position]) <= MAX_LEVELS
    }


def _pareto_front(trials: tuple[Trial, ...]) -> set[int]:
    """Numbers of the trials that no other is as good as in score, time to predict and size; of equals the first."""
    done = [(t.number, np.array([-t.score, t.predict_time_ms, t.n_parameters])) for t in trials if t.status == "ok"]
    front: dict[int, NDArray[np.float64]] = {}
    for number, costs in sorted(done, key=lambda trial: trial[1].tolist()):
        if not any((other <= costs).all() for other in front.values()):
            front[number] = costs
    return set(front)


def _mean(scores: tuple[float, ...]) -> float:
    """Mean of the folds on which the metric is defined."""
    known = [s for s in scores if not math.isnan(s)]
    return float(np.mean(known)) if known else math.nan


def _std(scores: tuple[float, ...]) -> float:
    known = [s for s in scores if not math.isnan(s)]
    return float(np.std(known)) if known else math.nan


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it; what cannot be written down literally as Python would show it."""
    return value if _is_literal(value) else repr(_named(value))


def _is_literal(value: Any) -> bool:
    """Whether JSON can hold a parameter so that it can be given to the estimator again."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_literal(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, (str, int, float, bool))


def _named(value: Any) -> Any:
    """Functions by their names, also inside mappings: where they lie in memory says nothing."""
    if isinstance(value, Mapping):
        return {key: _named(item) for key, item in value.items()}
    return str(value.__qualname__) if callable(value) and hasattr(value, "__qualname__") else value
