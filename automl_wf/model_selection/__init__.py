"""Stage 4: which models suit this data, why, and in which order their configurations are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from automl_wf.core.search_space import Categorical
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.feature_engineering.selected_view import SELECTED_VIEWS
from automl_wf.model_selection.base import SAMPLING, TRANSFORM, VIEW, ModelSpec
from automl_wf.model_selection.catalogue import models_for
from automl_wf.model_selection.own import own_model
from automl_wf.model_selection.recommendation import (
    DataProfile,
    Recommendation,
    portfolio_order,
    recommend,
    search_patience,
)
from automl_wf.model_selection.sampling import check_sampling
from automl_wf.model_selection.target_transform import check_transform

__all__ = ["DataProfile", "ModelSpec", "Shortlist", "search_patience", "shortlist_models"]

#: What the hyper-parameter `view` may be; a table that lacks one has the model's usual one in its place.
VIEWS = ("tree", "target", "engineered", "dense", "piecewise", *SELECTED_VIEWS)


@dataclass(frozen=True)
class Shortlist:
    """The models that take part.

    Parameters
    ----------
    profile : DataProfile
        The facts that decided.
    recommendations : tuple of Recommendation
        Best first, each with a sentence.
    specs : mapping of str to ModelSpec
        The models by name.
    configurations : tuple of (str, mapping)
        Model and hyper-parameters in the order in which they are tried, the baseline first.
    """

    profile: DataProfile
    recommendations: tuple[Recommendation, ...]
    specs: Mapping[str, ModelSpec]
    configurations: tuple[tuple[str, Mapping[str, Any]], ...]


def shortlist_models(
    profile: DataProfile,
    *,
    estimators: str | Sequence[Any] = "auto",
    preset: str = "balanced",
    max_trials: int | None,
    views: AbstractSet[str] | None = None,
) -> Shortlist:
    """Recommend models for the data.

    Parameters
    ----------
    profile : DataProfile
        Facts about rows, columns, kinds and task.
    estimators : "auto" or sequence of str, (str, mapping) or (str, estimator), default="auto"
        Names or families of the catalogue, names of it with hyper-parameters that are held, and the user's own. "auto":
        all that need not be named, and networks where there is time for few boosting rounds on many rows of many
        classes.
    preset : {"fast", "balanced", "best", "interpretable"}, default="balanced"
        How much effort.
    max_trials : int or None
        Configurations to list; None: as many as the rows can tell apart.
    views : set of str or None
        Feature views that hold something of their own; configurations that name another one get the model's usual one.
        None: all.

    Returns
    -------
    Shortlist
        Models, reasons and configurations.

    Raises
    ------
    InvalidParameter
        A name is not in the catalogue or given twice, nothing named can do the task, or a view, sampling or
        target transform is unknown.
    """
    names, own, held = _names_and_own(estimators, profile.task)
    specs = () if names == () else models_for(profile.task, names)
    if names is None and profile.is_short_of_rounds:
        specs = (*specs, *models_for(profile.task, ("neural_networks",)))
    baseline = models_for(profile.task, ("dummy",))
    specs = (*baseline, *(s for s in specs if s.name != "dummy"))
    _check_own_names(own, specs)
    specs = tuple(_holding(spec, _held_by(spec, held), profile.task) for spec in specs)
    if views is not None:
        specs = tuple(_within(spec, views) for spec in specs)
    recommendations = recommend(profile, specs, preset=preset)
    by_name = {s.name: s for s in (*specs, *own)}
    order = [
        (name, {**params, **{k: v for k, v in _held_by(by_name[name], held).items() if k != VIEW}})
        for name, params in portfolio_order(recommendations, profile, preset=preset, limit=max_trials)
    ]
    order = [order[0], *((s.name, {}) for s in own), *order[1:]]
    return Shortlist(profile, tuple(recommendations), by_name, tuple(order))


def _within(spec: ModelSpec, views: AbstractSet[str]) -> ModelSpec:
    """The model with every configuration on a view that there is: its usual one in place of others."""
    portfolio = [
        params if spec.view_of(params) in views else {k: v for k, v in params.items() if k != VIEW}
        for params in spec.portfolio
    ]
    space = dict(spec.space)
    if isinstance(choice := space.pop(VIEW, None), Categorical):
        left = tuple(view for view in choice.choices if view in views)
        space |= {VIEW: Categorical(left)} if len(left) > 1 else {}
    # What differed only by its view is one configuration now.
    distinct = tuple(params for i, params in enumerate(portfolio) if params not in portfolio[:i])
    return replace(spec, portfolio=distinct, space=space)


def _held_by(spec: ModelSpec, held: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return held.get(spec.name, held.get(spec.family, {}))


def _holding(spec: ModelSpec, held: Mapping[str, Any], task: Task) -> ModelSpec:
    """The model with some hyper-parameters held in every configuration."""
    if not held:
        return spec
    if held.get(VIEW, VIEWS[0]) not in VIEWS:
        raise InvalidParameter(f"The hyper-parameter {VIEW!r} must be one of {VIEWS}. Got {held[VIEW]!r} instead.")
    if SAMPLING in held:
        check_sampling(held[SAMPLING], task)
    if TRANSFORM in held:
        check_transform(held[TRANSFORM], task)
    portfolio = [{**params, **held} for params in spec.portfolio]
    once = {repr(sorted(params.items())): params for params in portfolio}
    space = {name: dimension for name, dimension in spec.space.items() if name not in held}
    return replace(spec, portfolio=tuple(once.values()), space=space)


def _check_own_names(own: Sequence[ModelSpec], specs: Sequence[ModelSpec]) -> None:
    names = [s.name for s in (*own, *specs)]
    doubled = sorted({s.name for s in own if names.count(s.name) > 1})
    if doubled:
        raise InvalidParameter(
            f"The 'estimators' parameter must name each model once. Got {doubled!r} more than once: "
            "give your estimators names that are not in the catalogue."
        )


def _names_and_own(
    estimators: Any, task: Task
) -> tuple[tuple[str, ...] | None, tuple[ModelSpec, ...], Mapping[str, Mapping[str, Any]]]:
    """Names of the catalogue, the user's own estimators, and hyper-parameters that are held, by name."""
    if isinstance(estimators, str):
        return (None, (), {}) if estimators == "auto" else ((estimators,), (), {})
    if len(estimators) == 0:
        raise InvalidParameter("The 'estimators' parameter must name at least one model. Got an empty list instead.")
    names, own = [], []
    held: dict[str, Mapping[str, Any]] = {}
    for entry in estimators:
        is_pair = isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[0], str)
        if isinstance(entry, str):
            names.append(entry)
        elif is_pair and isinstance(entry[1], Mapping):
            names.append(entry[0])
            held[entry[0]] = entry[1]
        elif is_pair and hasattr(entry[1], "fit"):
            own.append(own_model(entry[0], entry[1], task))
        else:
            raise InvalidParameter(
                "The 'estimators' parameter must be 'auto', or a list of names, families, (name, hyper-parameters) and "
                "(name, estimator) pairs. "
                f"Got {entry!r} among them instead."
            )
    return tuple(names), tuple(own), held
