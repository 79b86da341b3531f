"""Which models suit the data, why, and in which order their configurations are tried: all of it from a few facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from automl_wf.core.search_space import Categorical
from automl_wf.core.tasks import Task
from automl_wf.feature_engineering.selected_view import WIDE
from automl_wf.model_selection.base import VIEW, ModelSpec
from automl_wf.model_selection.catalogue import with_learning_rate_floor

_BOOSTERS = ("lightgbm", "xgboost", "catboost")
_LINEAR = ("logistic_regression", "linear_regression", "ridge", "lasso")
_FORESTS = ("random_forest", "extra_trees")
_FEW_ROWS, _MANY_ROWS, _FEW_CLASSES = 2_000, 5_000, 10
#: From so many rows on large trees beat small ones in the same time.
_VERY_MANY_ROWS = 100_000
#: Rows and configurations: more would overfit the validation rows (AutoGluon's patience table).
_ROWS, _CONFIGURATIONS = (100, 500, 2500, 10_000, 100_000), (4, 8, 15, 40, 100)
#: Fewest and most asked configurations in a row without a better one before a search ends.
_PATIENCE = (3, 12)
#: Places between a model's configurations in the order of trials; for LightGBM on few rows, and on many, where its
#: second configuration lowers the error of a blend more than any other model does.
_STRIDE, _LIGHTGBM_STRIDES = 5.0, (1.5, 0.9)
#: Places that LightGBM begins before its rank on few rows: its second configuration, too, comes before slower models.
_LEAD = 1.0
_FAST_CONFIGURATIONS = 6
#: On many rows networks learn so many times as fast, up to this learning rate: 28 of 45 targets had more than 5,000
#: rows; there the loss fell by 0.9 % in the geometric mean, and in 0.72 times the epochs; on fewer rows it rose.
_FASTER, _FASTEST_RATE = 2.0, 0.006
#: Boosting rounds below which networks take part on many rows of many classes. On seven of eight such targets, of 26 to
#: 300 classes and with 11 to 162 rounds, the log loss at 20 s fell, on one it stayed: 0.92 of it in the geometric mean;
#: on 2,300 rows it rose.
_FEW_ROUNDS = 300.0
#: Learning rates of the preset "best" are those for as much time as this.
_UNHURRIED_S = 3600.0


@dataclass(frozen=True)
class DataProfile:
    """Facts about the data that decide which models suit.

    Parameters
    ----------
    n_rows, n_columns, n_numeric, n_categorical, n_datetime : int
        Rows, and used columns by kind.
    n_levels_max : int
        Most levels of a categorical column.
    missing_share : float
        Share of missing cells.
    task : Task
        What is predicted.
    n_classes, smallest_class : int
        Classes, and rows of the rarest one.
    n_text : int
        Columns of free text, which are among the categorical ones, too.
    seconds : float or None
        Time for the whole of `fit`.
    rounds : float or None
        Boosting rounds per fold that a fair share of the time affords; None without a clock.
    """

    n_rows: int
    n_columns: int
    n_numeric: int
    n_categorical: int
    n_datetime: int
    n_levels_max: int
    missing_share: float
    task: Task
    n_classes: int
    smallest_class: int
    n_text: int = 0
    seconds: float | None = None
    rounds: float | None = None

    @property
    def effective_rows(self) -> int:
        """Rows that tell models apart: of two classes, with a share p of the rarer one, 4 p (1 - p) of all.

        With so many rows of a balanced task the difference of the classes' means has the same variance.
        """
        if self.task is not Task.BINARY:
            return self.n_rows
        share = self.smallest_class / max(self.n_rows, 1)
        return round(4.0 * share * (1.0 - share) * self.n_rows)

    @property
    def is_short_of_rounds(self) -> bool:
        """Whether boosting, which grows a tree for each class in every round, has time for few rounds on many rows."""
        has_many = self.n_classes > _FEW_CLASSES and self.n_rows >= _MANY_ROWS
        return has_many and self.rounds is not None and self.rounds < _FEW_ROUNDS


@dataclass(frozen=True)
class Recommendation:
    """A model that takes part.

    Parameters
    ----------
    name : str
        The model's name in the catalogue.
    rank : int
        1 suits best.
    reason : str
        Why it stands where it stands, naming the facts.
    configurations : tuple of mapping
        Hyper-parameters in the order in which they are tried.
    """

    name: str
    rank: int
    reason: str
    configurations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Rule:
    """A fact that speaks for (`points` > 0) or against some models, and the words for it."""

    models: tuple[str, ...]
    points: float
    holds: Callable[[DataProfile], bool]
    words: Callable[[DataProfile], str]


_BASE: Mapping[str, float] = {
    "lightgbm": 10.0,
    "extra_trees": 8.0,
    "catboost": 7.5,
    "mlp": 7.0,
    "xgboost": 6.0,
    "logistic_regression": 5.0,
    "ridge": 5.0,
    "random_forest": 1.5,
    "lasso": 3.0,
    "decision_tree": 2.0,
    "linear_regression": 1.0,
}
_RULES: tuple[_Rule, ...] = (
    _Rule(
        ("logistic_regression", "ridge"),
        4.0,
        lambda p: p.n_rows < 1000,
        lambda p: f"a straight line is hard to beat on {p.n_rows:,} rows",
    ),
    _Rule(("catboost",), 2.0, lambda p: p.n_rows < 1000, lambda p: f"it is strong on {p.n_rows:,} rows untuned"),
    _Rule(("mlp", "xgboost"), -2.0, lambda p: p.n_rows < 1000, lambda p: f"{p.n_rows:,} rows are few for its capacity"),
    _Rule(
        _LINEAR,
        4.0,
        lambda p: p.n_columns > p.n_rows,
        lambda p: f"{p.n_columns:,} columns on {p.n_rows:,} rows need strong regularisation",
    ),
    _Rule(("lightgbm",), 2.0, lambda p: p.n_rows > 100_000, lambda p: f"it bins {p.n_rows:,} rows once"),
    _Rule(("mlp",), -4.0, lambda p: p.n_rows < 500, lambda p: f"{_count(p.n_rows, 'row')} are few for its weights"),
    _Rule(("mlp",), 2.0, lambda p: p.n_rows > 100_000, lambda p: f"{p.n_rows:,} rows feed its capacity"),
    _Rule(
        _FORESTS,
        -3.5,
        lambda p: p.n_rows >= _MANY_ROWS,
        lambda p: f"boosting and networks overtake it on {p.n_rows:,} rows",
    ),
    _Rule(_FORESTS, -1.0, lambda p: p.n_rows > 100_000, lambda p: "its trees grow large and slow on so many"),
    _Rule(
        ("lightgbm",),
        1.0,
        lambda p: p.n_categorical > 0,
        lambda p: f"it reads the {_count(p.n_categorical, 'categorical column')} natively",
    ),
    _Rule(
        (*_LINEAR, "mlp"),
        -1.0,
        lambda p: p.n_levels_max > 50,
        lambda p: f"a column with {p.n_levels_max:,} levels is hard to spread over indicator columns",
    ),
    _Rule(
        (*_BOOSTERS, *_FORESTS, "decision_tree"),
        1.0,
        lambda p: p.missing_share >= 0.01,
        lambda p: f"it takes the missing cells ({p.missing_share:.0%}) as they are",
    ),
    _Rule(
        _BOOSTERS, -3.5, lambda p: p.n_classes > 10, lambda p: f"{p.n_classes} classes cost a tree each in every round"
    ),
    _Rule(
        ("mlp", *_FORESTS, "logistic_regression"),
        1.5,
        lambda p: p.n_classes > 10,
        lambda p: f"one model serves all {p.n_classes} classes",
    ),
    _Rule(
        ("catboost", "xgboost", "mlp"),
        -3.0,
        lambda p: p.seconds is not None and p.seconds <= 10.0,
        lambda p: f"{p.seconds:g} s are short for it",
    ),
    _Rule(
        ("mlp",),
        4.0,
        lambda p: p.is_short_of_rounds,
        lambda p: f"there is time for {p.rounds:.0f} rounds of {p.n_classes} trees only",
    ),
    _Rule(("lightgbm",), 2.0, lambda p: p.task is Task.RANKING, lambda p: "it optimises the order within a query"),
    _Rule(
        _FORESTS,
        1.0,
        lambda p: p.task.is_classification and p.smallest_class < 20,
        lambda p: f"a class of {_count(p.smallest_class, 'row')} cannot make it diverge",
    ),
)
_OPENING: Mapping[str, str] = {
    "dummy": "what every model has to beat",
    "lightgbm": "the best single model on most tables, and fast",
    "extra_trees": "strong without tuning, and errs differently from boosting",
    "random_forest": "robust, though mostly behind extra trees",
    "catboost": "strong without tuning",
    "xgboost": "accurate, and adds diversity to a blend",
    "mlp": "smooth, so that a blend with trees gains",
    "logistic_regression": "fast and readable",
    "ridge": "fast and readable, and goes on beyond the range seen",
    "lasso": "says which features matter",
    "linear_regression": "readable, without anything to tune",
    "decision_tree": "can be drawn",
}


def recommend(
    profile: DataProfile, specs: Sequence[ModelSpec], *, preset: str = "balanced"
) -> tuple[Recommendation, ...]:
    """Order models by how well they suit the data.

    Parameters
    ----------
    profile : DataProfile
        Facts about the data.
    specs : sequence of ModelSpec
        Models that may take part.
    preset : {"fast", "balanced", "best", "interpretable"}, default="balanced"
        "interpretable" keeps linear models and one shallow tree only, unless nothing would be left.

    Returns
    -------
    tuple of Recommendation
        Best first.
    """
    taking_part = [spec for spec in specs if preset != "interpretable" or _is_interpretable(spec)]
    if all(spec.name == "dummy" for spec in taking_part):
        taking_part = list(specs)
    scored = [(spec, *_judge(spec, profile)) for spec in taking_part]
    scored.sort(key=lambda entry: -entry[1])
    return tuple(
        Recommendation(spec.name, rank, reason, _configurations(spec, profile, preset))
        for rank, (spec, _, reason) in enumerate(scored, start=1)
    )


def portfolio_order(
    recommendations: Sequence[Recommendation],
    profile: DataProfile,
    *,
    preset: str = "balanced",
    limit: int | None = None,
) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """All configurations in the order in which they are tried.

    The baseline is first and a linear model second, so that something that predicts is there at once; then the models'
    configurations take turns, better suited models earlier, LightGBM's more densely.

    Parameters
    ----------
    recommendations : sequence of Recommendation
        Best first.
    profile : DataProfile
        Facts about the data.
    preset : {"fast", "balanced", "best", "interpretable"}, default="balanced"
        "fast" lists at most six configurations beside the baseline.
    limit : int, optional
        Most configurations, the baseline included; by default as many as the rows can tell apart.

    Returns
    -------
    tuple of (str, mapping)
        Model and hyper-parameters.
    """
    first_linear = next((r.name for r in recommendations if r.name in _LINEAR), None)
    placed: list[tuple[float, int, str, Mapping[str, Any]]] = []
    for entry in recommendations:
        for i, params in enumerate(entry.configurations):
            place = _place(entry, i, profile)
            if i == 0 and entry.name in ("dummy", first_linear):
                place = -2.0 if entry.name == "dummy" else -1.0
            placed.append((place, entry.rank, entry.name, params))
    placed.sort(key=lambda item: item[:2])
    most = 1 + max_configurations(profile.n_rows)
    if preset == "fast":
        most = min(most, 1 + _FAST_CONFIGURATIONS)
    return tuple((name, params) for *_, name, params in placed[: most if limit is None else max(limit, 1)])


def _place(entry: Recommendation, i: int, profile: DataProfile) -> float:
    """Where the i-th configuration of a model stands in the order of trials."""
    if entry.name != "lightgbm":
        return entry.rank + i * _STRIDE
    if profile.is_short_of_rounds:
        # One of LightGBM, then a network: which of them such a table suits is not known before.
        return 0.5 + i * _LIGHTGBM_STRIDES[0]
    has_many_rows = profile.n_rows >= _MANY_ROWS
    leads = not has_many_rows and profile.n_classes <= _FEW_CLASSES
    return entry.rank - _LEAD * leads + i * _LIGHTGBM_STRIDES[has_many_rows]


def max_configurations(n_rows: int) -> int:
    """Configurations that `n_rows` rows can tell apart before the choice among them overfits.

    Interpolated on logarithmic scales between 4 for 100 rows and 100 for 100,000.
    """
    log = np.interp(np.log(max(n_rows, 1)), np.log(_ROWS), np.log(_CONFIGURATIONS))
    return int(np.floor(np.exp(log) + 1e-9))


def search_patience(profile: DataProfile) -> int:
    """Asked configurations without a better one after which a search ends: the fewer, the less the rows can tell.

    What wins after many of them on few rows, or few of the rarer class, has been lucky on these rows.

    Parameters
    ----------
    profile : DataProfile
        Facts about the data.

    Returns
    -------
    int
        A third of the configurations that the effective rows can tell apart, 3 to 12.
    """
    return int(np.clip(max_configurations(profile.effective_rows) // 3, *_PATIENCE))


def _is_interpretable(spec: ModelSpec) -> bool:
    return spec.family in ("linear", "baseline") or spec.name == "decision_tree"


def _judge(spec: ModelSpec, profile: DataProfile) -> tuple[float, str]:
    """Points for the model and the sentence that says where they come from."""
    points, words = _BASE.get(spec.name, 0.0), []
    for rule in _RULES:
        if spec.name in rule.models and rule.holds(profile):
            points += rule.points
            words.append(rule.words(profile))
    facts = f"{_count(profile.n_rows, 'row')}, {_count(profile.n_columns, 'column')}"
    opening = _OPENING.get(spec.name, ", ".join(spec.pros))
    return points, f"{spec.name} for {profile.task.family} on {facts}: {'; '.join([opening, *words])}."


def _configurations(spec: ModelSpec, profile: DataProfile, preset: str) -> tuple[Mapping[str, Any], ...]:
    portfolio = spec.portfolio
    if preset == "interpretable" and spec.name == "decision_tree":
        portfolio = portfolio[:1]
    if spec.name in _FORESTS:
        # Fifty trees are nearly as good as three hundred, and each fold model has its own.
        n_trees = 300 if preset == "best" else 50 if profile.seconds is None or profile.seconds <= 60.0 else 100
        return tuple({"n_estimators": n_trees, **params} for params in portfolio)
    if spec.name in _LINEAR and profile.n_rows < _MANY_ROWS:
        portfolio = _bent_first(portfolio)
    if spec.family == "neural_networks" and profile.n_rows >= _MANY_ROWS:
        portfolio = tuple({**params, "learning_rate": _faster(params["learning_rate"])} for params in portfolio)
    if spec.name not in _BOOSTERS:
        return _with_chosen_features(spec, portfolio, profile)
    is_engineered = any(params.get(VIEW) == "engineered" for params in portfolio)
    is_narrow = profile.n_columns < WIDE and profile.n_classes <= _FEW_CLASSES
    if is_engineered and profile.n_rows < _MANY_ROWS and is_narrow:
        # Few rows cannot show a tree what a quotient or a difference says at once; many classes or columns make such
        # views slow.
        portfolio = ({**portfolio[0], VIEW: "engineered"}, *portfolio[1:])
    if profile.n_rows >= _MANY_ROWS:
        portfolio = _for_many_rows(_with_words(spec, portfolio, profile), profile)
    portfolio = _with_chosen_features(spec, portfolio, profile)
    if preset == "best":
        floored = [with_learning_rate_floor(params, _UNHURRIED_S, None, profile.rounds) for params in portfolio]
    else:
        facts = (profile.seconds, profile.n_rows, profile.rounds)
        floored = [with_learning_rate_floor(params, *facts) for params in portfolio]
    limits: dict[str, Any] = {"patience": 30} if preset == "fast" else {}
    if spec.name == "catboost" and profile.n_rows <= _FEW_ROWS:
        # Its rounds cost milliseconds even on a few hundred rows, a hundred times LightGBM's.
        limits = {"patience": 20, "n_rounds": 300}
    return tuple({**params, **limits} for params in floored)


def _faster(rate: float) -> float:
    return max(rate, min(_FASTER * rate, _FASTEST_RATE))


def _for_many_rows(portfolio: Sequence[Mapping[str, Any]], profile: DataProfile) -> tuple[Mapping[str, Any], ...]:
    """Boosting on statistics of the target, on the columns themselves and with random thresholds by turns.

    There is time for a few of many configurations: those that err differently come early. Of twelve second members, on
    one fold of up to 20,000 rows of 29 tables, LightGBM's own defaults lowered the error of the first one, on
    statistics of the target, most: to 0.973 of it in the geometric mean (random thresholds 0.978, a network 0.984,
    extra trees 0.986), in two thirds of its time. Trees of few leaves come last: they need more rounds than there is
    time for. Very many rows fill many leaves: there larger trees come first.
    """
    few = 32 if profile.n_rows >= _VERY_MANY_ROWS else 16
    ordered = sorted(portfolio, key=lambda params: params.get("num_leaves", 31) < few)
    if profile.task is Task.RANKING:
        return tuple(ordered)

    def kind(params: Mapping[str, Any]) -> int:
        return 2 if params.get("extra_trees") else int(params.get(VIEW) != "target")

    target, plain, random = ([params for params in ordered if kind(params) == k] for k in range(3))
    if not (target and plain):
        # One kind of searched thresholds takes both of its turns.
        searched = target or plain
        target, plain = searched[::2], searched[1::2]
    return tuple(params for turn in zip_longest(target, plain, random) for params in turn if params is not None)


def _with_words(
    spec: ModelSpec, portfolio: Sequence[Mapping[str, Any]], profile: DataProfile
) -> tuple[Mapping[str, Any], ...]:
    """Boosting on engineered features in place of the columns themselves, which say nothing of the words in texts.

    On six tables with texts, one fold of each, LightGBM's defaults then lowered the error of the first configuration to
    0.888 of it in the geometric mean; 0.992 without the words.
    """
    views = spec.space.get(VIEW)
    if not profile.n_text or not isinstance(views, Categorical) or "engineered" not in views.choices:
        return tuple(portfolio)
    return tuple({VIEW: "engineered", **params} for params in portfolio)


def _bent_first(portfolio: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The first configuration on numbers spread over their bins, where there is one, before all others.

    Few rows try few configurations, and there it costs nothing; many rows begin with the one that is done at once.
    """
    bent = [params for params in portfolio if params.get(VIEW) == "piecewise"][:1]
    return (*bent, *(params for params in portfolio if params not in bent))


def _with_chosen_features(
    spec: ModelSpec, portfolio: Sequence[Mapping[str, Any]], profile: DataProfile
) -> tuple[Mapping[str, Any], ...]:
    """On wide tables the first configuration on chosen features, too; networks, which suffer most from noise, first."""
    views = spec.space.get(VIEW)
    chosen = f"{spec.view}_selected"
    # Few classes are looked at when features are chosen: what tells the others apart would be dropped.
    is_apt = profile.n_columns >= WIDE and profile.n_classes <= _FEW_CLASSES
    if not is_apt or not isinstance(views, Categorical) or chosen not in views.choices:
        return tuple(portfolio)
    first = {**portfolio[0], VIEW: chosen}
    if spec.family == "neural_networks":
        return (first, *portfolio)
    return (portfolio[0], first, *portfolio[1:])


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
