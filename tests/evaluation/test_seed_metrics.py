"""Every metric word of the workflow's `EVALUATION_METRICS`: its name in code, its place on the card and in the report.

Models are fitted and exported with `business=` for each task; values are compared with scikit-learn's, or with the
workflow's own formulas, on the out-of-fold predictions that the package holds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn import metrics as skm

from automl_wf import WorkflowEstimator
from automl_wf.core.metrics import TOP_K
from automl_wf.deployment import package as writing
from automl_wf.deployment.checklist import TestRun

N = 200


@dataclass(frozen=True)
class Row:
    """One word of the seed.

    Parameters
    ----------
    word : str
        As the seed has it.
    task : str
        "binary", "multiclass", "regression" or "ranking".
    name : str
        Where the package holds it: a metric's name among the scores, or a field of a section of card.json.
    shown : str
        What a reader of the report finds it by.
    value : callable
        ``value(rows, field)``: the figure by another way, and the card's.
    """

    word: str
    task: str
    name: str
    shown: str
    value: Callable[[dict[str, np.ndarray], Any], tuple[Any, Any]]


def of(function: Callable[[dict[str, np.ndarray]], Any], *path: str) -> Callable[..., tuple[Any, Any]]:
    """The figure at a path of the field, by a function of the rows."""

    def compare(rows: dict[str, np.ndarray], field: Any) -> tuple[Any, Any]:
        for key in path:
            field = field[key]
        return function(rows), field

    return compare


def score(function: Callable[..., float], kind: str, **options: Any) -> Callable[..., tuple[Any, Any]]:
    """A metric of scikit-learn's on labels, probabilities or values."""
    return of(lambda rows: function(rows["y"], rows[kind], **options), "value")


def profit_of_everybody(rows: dict[str, np.ndarray]) -> list[float]:
    """Nobody targeted: each positive is missed (9). Everybody: each negative costs 1."""
    return [-9.0 * rows["y"].sum(), -1.0 * (1 - rows["y"]).sum()]


def lift_of_first_half(rows: dict[str, np.ndarray]) -> float:
    first = np.argsort(-rows["p1"], kind="stable")[: N // 2]
    return float(rows["y"][first].sum() / rows["y"].sum() / 0.5)


def in_queries(function: Callable[..., float], rows: dict[str, np.ndarray], **options: Any) -> float:
    """Mean over the queries of at least two grades."""
    values = []
    for query in np.unique(rows["group"]):
        at = rows["group"] == query
        if len(np.unique(rows["y"][at])) > 1:
            values.append(function(rows["y"][at], rows["value"][at], **options))
    return float(np.mean(values))


def gained(y: np.ndarray, value: np.ndarray) -> float:
    return float(skm.ndcg_score([2.0**y - 1], [value]))


def average_precision(y: np.ndarray, value: np.ndarray) -> float:
    return float(skm.average_precision_score(y > 0, value)) if (y > 0).any() else 0.0


def reciprocal_rank(y: np.ndarray, value: np.ndarray) -> float:
    places = np.flatnonzero(y[np.argsort(-value)] > 0)
    return 1.0 / (places[0] + 1) if len(places) else 0.0


def precision_of_first(y: np.ndarray, value: np.ndarray) -> float:
    return float(np.mean(y[np.argsort(-value)[:TOP_K]] > 0))


def shown(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Rows in the first places of their query."""
    return np.concatenate(
        [
            at[np.argsort(-rows["value"][at])[:TOP_K]]
            for at in (np.flatnonzero(rows["group"] == query) for query in np.unique(rows["group"]))
        ]
    )


def diversity(rows: dict[str, np.ndarray]) -> float:
    times = np.bincount(rows["item"][shown(rows)])
    share = times[times > 0] / times.sum()
    return float(-(share * np.log(share)).sum() / math.log(len(np.unique(rows["item"]))))


def novelty(rows: dict[str, np.ndarray]) -> float:
    queries = np.unique(rows["group"])
    popularity = {
        item: np.mean([item in rows["item"][rows["group"] == query] for query in queries])
        for item in np.unique(rows["item"])
    }
    return float(np.mean([-math.log2(popularity[item]) for item in rows["item"][shown(rows)]]))


def matrix(rows: dict[str, np.ndarray]) -> list[list[float]]:
    return skm.confusion_matrix(rows["y"], rows["said"]).astype(float).tolist()


def dollars(rows: dict[str, np.ndarray]) -> float:
    error = rows["value"] - rows["y"]
    return float(np.where(error > 0, 2 * error, -5 * error).sum())


def signed(rows: dict[str, np.ndarray]) -> list[float]:
    share = (rows["value"] - rows["y"]) / np.abs(rows["y"])
    return [float(np.median(share)), float(np.mean(share))]


def on_its_side(rows: dict[str, np.ndarray]) -> float:
    centre = np.median(rows["y"])
    return float(np.mean((rows["y"] > centre) == (rows["value"] > centre)))


def both(*keys: str) -> Callable[[Any], list[Any]]:
    return lambda field: [field[key] for key in keys]


def pair(function: Callable[..., Any], pick: Callable[[Any], Any]) -> Callable[..., tuple[Any, Any]]:
    return lambda rows, field: (function(rows), pick(field))


def quantiles(rows: dict[str, np.ndarray]) -> list[float]:
    """First and last normal quantile of the hundred points."""
    return [float(norm.ppf(0.5 / 100)), float(norm.ppf(99.5 / 100))]


SCORES = "quantitative_analyses.scores"
ROWS = [
    # classification: primary
    Row("accuracy", "binary", f"{SCORES}[accuracy]", "accuracy", score(skm.accuracy_score, "said")),
    Row("precision", "binary", f"{SCORES}[precision]", "precision", score(skm.precision_score, "said")),
    Row("recall", "binary", f"{SCORES}[recall]", "recall", score(skm.recall_score, "said")),
    Row("f1_score", "binary", f"{SCORES}[f1]", "F1", score(skm.f1_score, "said")),
    Row("auc_roc", "binary", f"{SCORES}[roc_auc]", "ROC AUC", score(skm.roc_auc_score, "p1")),
    Row("accuracy", "multiclass", f"{SCORES}[accuracy]", "accuracy", score(skm.accuracy_score, "said")),
    *(
        Row(word, "multiclass", f"{SCORES}[{name}]", label, score(function, "said", average="macro"))
        for word, name, label, function in (
            ("precision", "precision_macro", "macro precision", skm.precision_score),
            ("recall", "recall_macro", "macro recall", skm.recall_score),
            ("f1_score", "f1_macro", "macro F1", skm.f1_score),
        )
    ),
    Row(
        "auc_roc",
        "multiclass",
        f"{SCORES}[roc_auc_ovr_weighted]",
        "ROC AUC (one-vs-rest)",
        score(skm.roc_auc_score, "proba", multi_class="ovr", average="weighted"),
    ),
    # classification: secondary
    *(
        row
        for task in ("binary", "multiclass")
        for row in (
            Row(
                "confusion_matrix",
                task,
                "quantitative_analyses.confusion",
                "Confusion matrix",
                of(matrix, "counts"),
            ),
            Row(
                "classification_report",
                task,
                "quantitative_analyses.report",
                "By class",
                pair(
                    lambda rows: skm.recall_score(rows["y"], rows["said"], average=None).tolist(),
                    lambda field: [row["recall"] for row in field],
                ),
            ),
            Row(
                "pr_curve",
                task,
                "quantitative_analyses.pr",
                "Precision-recall curve",
                pair(
                    lambda rows: skm.average_precision_score(rows["y"] == rows["last"], rows["p_last"]),
                    lambda field: field[-1]["area"],
                ),
            ),
            # classification: business
            Row(
                "cost_matrix",
                task,
                "business_value.cost_matrix",
                "Cost matrix",
                of(lambda rows: float((np.array(matrix(rows)) * rows["costs"]).sum()), "total"),
            ),
        )
    ),
    Row(
        "profit_curve",
        "binary",
        "business_value.profit_curve",
        "Profit curve",
        pair(profit_of_everybody, lambda field: [field["profit"][0], field["profit"][-1]]),
    ),
    Row(
        "lift_chart",
        "binary",
        "business_value.lift_chart",
        "Lift chart",
        pair(lift_of_first_half, lambda field: field["deciles"][4]["lift"]),
    ),
    # regression: primary
    Row("mse", "regression", f"{SCORES}[mse]", "mean squared error", score(skm.mean_squared_error, "value")),
    Row("rmse", "regression", f"{SCORES}[rmse]", "RMSE", score(skm.root_mean_squared_error, "value")),
    Row("mae", "regression", f"{SCORES}[mae]", "mean absolute error", score(skm.mean_absolute_error, "value")),
    Row("r2", "regression", f"{SCORES}[r2]", "R²", score(skm.r2_score, "value")),
    Row(
        "mape",
        "regression",
        f"{SCORES}[mape]",
        "mean absolute percentage error",
        score(skm.mean_absolute_percentage_error, "value"),
    ),
    # regression: secondary
    Row(
        "residual_plots",
        "regression",
        "quantitative_analyses.residuals",
        "Residuals by prediction",
        of(lambda rows: float(np.mean(rows["y"] - rows["value"])), "mean"),
    ),
    Row(
        "qq_plots",
        "regression",
        "quantitative_analyses.residuals",
        "Residuals against normal ones",
        pair(quantiles, lambda field: [field["qq"][0][0], field["qq"][-1][0]]),
    ),
    Row(
        "prediction_intervals",
        "regression",
        "quantitative_analyses.prediction_intervals",
        "Prediction intervals",
        # The ⌈201 · 0.95⌉-th smallest of 200 residuals.
        of(lambda rows: float(np.sort(np.abs(rows["y"] - rows["value"]))[math.ceil(201 * 0.95) - 1]), "0.95"),
    ),
    # regression: business
    Row("dollar_impact", "regression", "business_value.dollar_impact", "Dollar impact", of(dollars, "total")),
    Row(
        "percentage_error",
        "regression",
        "business_value.percentage_error",
        "Percentage error",
        pair(signed, both("median", "mean")),
    ),
    Row(
        "directional_accuracy",
        "regression",
        f"{SCORES}[directional_accuracy]",
        "directional accuracy",
        of(on_its_side, "value"),
    ),
    # ranking
    Row("ndcg", "ranking", f"{SCORES}[ndcg]", "NDCG", of(lambda rows: in_queries(gained, rows), "value")),
    Row(
        "map",
        "ranking",
        f"{SCORES}[map]",
        "mean average precision",
        of(lambda rows: in_queries(average_precision, rows), "value"),
    ),
    Row(
        "mrr",
        "ranking",
        f"{SCORES}[mrr]",
        "mean reciprocal rank",
        of(lambda rows: in_queries(reciprocal_rank, rows), "value"),
    ),
    Row(
        "precision_at_k",
        "ranking",
        f"{SCORES}[precision_at_k]",
        "precision@10",
        of(lambda rows: in_queries(precision_of_first, rows), "value"),
    ),
    Row(
        "coverage",
        "ranking",
        "business_value.exposure",
        "Coverage",
        of(lambda rows: len(np.unique(rows["item"][shown(rows)])) / len(np.unique(rows["item"])), "coverage"),
    ),
    Row("diversity", "ranking", "business_value.exposure", "Diversity", of(diversity, "diversity")),
    Row("novelty", "ranking", "business_value.exposure", "Novelty", of(novelty, "novelty")),
    Row(
        "click_through_rate",
        "ranking",
        "business_value.click_through_rate",
        "Click-through rate",
        of(lambda rows: rows["clicks"][shown(rows)].mean(), "value"),
    ),
    Row(
        "conversion_impact",
        "ranking",
        "business_value.conversion_impact",
        "Conversion impact",
        # All queries have as many rows: by chance the first places have the mean of all rows.
        of(lambda rows: rows["sold"][shown(rows)].mean() - rows["sold"].mean(), "gain"),
    ),
    Row(
        "user_satisfaction",
        "ranking",
        "business_value.user_satisfaction",
        "User satisfaction",
        of(lambda rows: rows["stars"][shown(rows)].mean(), "value"),
    ),
    # calculate_business_metrics
    Row(
        "revenue_impact",
        "binary",
        "business_value.revenue_impact",
        "Revenue impact",
        of(lambda rows: 5.0 * matrix(rows)[1][1], "value"),
    ),
    Row(
        "cost_savings",
        "binary",
        "business_value.cost_savings",
        "Cost savings",
        of(lambda rows: 120 * 2.0 - float((rows["said"] != rows["y"]).sum()) * 2.0, "value"),
    ),
    *(
        Row(
            "custom_kpis",
            task,
            "business_value.custom_kpis",
            "share like the truth",
            pair(
                lambda rows: float(np.mean(rows["kpi_said"] == rows["kpi_true"])),
                lambda field: field[0]["value"],
            ),
        )
        for task in ("binary", "multiclass", "regression", "ranking")
    ),
]
#: The seed's table, word by word.
SEED = {
    "classification": (
        *("accuracy", "precision", "recall", "f1_score", "auc_roc"),
        *("confusion_matrix", "classification_report", "pr_curve"),
        *("cost_matrix", "profit_curve", "lift_chart"),
    ),
    "regression": (
        *("mse", "rmse", "mae", "r2", "mape"),
        *("residual_plots", "qq_plots", "prediction_intervals"),
        *("dollar_impact", "percentage_error", "directional_accuracy"),
    ),
    "ranking": (
        *("ndcg", "map", "mrr", "precision_at_k"),
        *("coverage", "diversity", "novelty"),
        *("click_through_rate", "conversion_impact", "user_satisfaction"),
    ),
    "business": ("revenue_impact", "cost_savings", "custom_kpis"),
}


def like_the_truth(predictions: np.ndarray, actuals: np.ndarray) -> float:
    """Share of predictions that equal the truth; of numbers, that lie within a half."""
    if predictions.dtype.kind == "f":
        return float(np.mean(np.abs(predictions - actuals) < 0.5))
    return float(np.mean(predictions == actuals))


KPIS = {"custom_kpis": {"share like the truth": like_the_truth}}
DOUBLE = [[0.0, 1.0], [9.0, 0.0]]
TRIPLE = [[0.0, 4.0, 2.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
BUSINESS: dict[str, dict[str, Any]] = {
    "binary": {
        **KPIS,
        "cost_matrix": DOUBLE,
        "revenue_per_unit": 5.0,
        "cost_per_error": 2.0,
        "baseline_errors": 120,
        "currency": "EUR",
    },
    "multiclass": {**KPIS, "cost_matrix": TRIPLE},
    "regression": {**KPIS, "cost_per_unit_over": 2.0, "cost_per_unit_under": 5.0},
    "ranking": {**KPIS, "item": "sku", "clicks": "clicked", "conversions": "sold", "satisfaction": "stars"},
}


class Text(HTMLParser):
    """What a reader of a page sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.is_hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.is_hidden = self.is_hidden or tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self.is_hidden = self.is_hidden and tag not in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self.is_hidden:
            self.words.append(data)


@dataclass(frozen=True)
class Fitted:
    """Card, report and out-of-fold rows of one task, with `business=` and without."""

    card: dict[str, Any]
    page: str
    report: str
    rows: dict[str, np.ndarray]
    bare_card: dict[str, Any]
    bare_report: str


def table_of(task: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"x": rng.normal(size=N), "town": rng.choice(["a", "b"], N)})
    signal = X["x"] + (X["town"] == "a") + 0.7 * rng.normal(size=N)
    if task == "binary":
        return X, np.where(signal > 0.8, "yes", "no"), None
    if task == "multiclass":
        return X, np.array(["high", "low", "mid"])[np.digitize(signal, [0.0, 1.2])], None
    if task == "regression":
        return X, np.asarray(20.0 + signal), None
    grades = np.digitize(signal, [0.8, 1.8]).astype(float)
    outcomes = {"clicked": (grades > 1).astype(int), "sold": (grades > 1) & (X["town"] == "a"), "stars": grades + 1.0}
    return X.assign(sku=rng.integers(0, 60, N).astype(str), **outcomes), grades, np.arange(N) // 20


def fit(task: str, folder: Path, business: dict[str, Any] | None) -> tuple[WorkflowEstimator, Path, str]:
    X, y, groups = table_of(task)
    if task == "ranking" and business is None:
        X = X.drop(columns=["clicked", "sold", "stars"])
    model = WorkflowEstimator(
        task="ranking" if task == "ranking" else "auto",
        estimators=["linear"], time_budget=None, n_iter=3, cv=4, n_jobs=1, random_state=0, verbose=0,
        business=business,
    ).fit(X, y, groups=groups)  # fmt: skip
    path = model.export(folder / "package").path
    report = model.report(folder / "report.html").read_text(encoding="utf-8")
    return model, path, " ".join(" ".join(Text(report).words).split())


def rows_of(task: str, model: WorkflowEstimator) -> dict[str, np.ndarray]:
    """The out-of-fold rows in the user's order of figures, with what the metrics are worked out from."""
    evidence = dict(model._result.evidence)
    rows = {"y": evidence["y"], "group": evidence.get("group", np.zeros(N))}
    prediction = evidence["prediction"]
    if prediction.ndim == 1:
        rows |= {"value": prediction, "kpi_said": np.abs(prediction - rows["y"]) < 0.5, "kpi_true": np.ones(N, bool)}
    else:
        said = model.best_estimator_.blend.postprocess.decide(prediction)
        rows |= {"proba": prediction, "p1": prediction[:, 1], "p_last": prediction[:, -1], "said": said}
        rows |= {"kpi_said": said, "kpi_true": rows["y"], "last": np.full(N, prediction.shape[1] - 1)}
        rows["costs"] = np.array(DOUBLE if task == "binary" else TRIPLE)
    if task == "ranking":
        # Rows are kept in the order of their content: a fold's are where `splits_` says.
        at = np.empty(N, dtype=int)
        for fold, (_, valid) in enumerate(model.splits_):
            at[evidence["fold"] == fold] = valid
        X, grades, _ = table_of(task)
        X = X.iloc[at]
        np.testing.assert_array_equal(rows["y"], grades[at])
        rows |= {"item": pd.factorize(X["sku"])[0], "clicks": X["clicked"].to_numpy(float)}
        rows |= {"sold": X["sold"].to_numpy(float), "stars": X["stars"].to_numpy(float)}
    return rows


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fitted]:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        # Without the seconds that the packages' own tests and services take.
        patch.setattr(writing, "run_tests", lambda folder: TestRun(1, (), 0, "", 0.0, 0))
        patch.setattr(writing, "run_checklist", lambda inspection: ())
        for task in BUSINESS:
            model, path, report = fit(task, tmp_path_factory.mktemp(task), BUSINESS[task])
            _, bare_path, bare_report = fit(task, tmp_path_factory.mktemp(f"bare_{task}"), None)
            cards = [json.loads((p / "docs/card.json").read_text()) for p in (path, bare_path)]
            page = (path / "docs/model_card.md").read_text(encoding="utf-8")
            found[task] = Fitted(cards[0], page, report, rows_of(task, model), cards[1], bare_report)
    return found


def field_of(card: dict[str, Any], name: str) -> Any:
    """The value of a field, or the row of that name in it."""
    match = re.fullmatch(r"(\w+)\.(\w+)(?:\[(\w+)\])?", name)
    assert match is not None
    section, field, row = match.groups()
    value = card["sections"][section].get(field, {}).get("value")
    return value if row is None or value is None else next((r for r in value if r["name"] == row), None)


def test_every_word_of_the_seed_has_a_row() -> None:
    words = {(("classification" if r.task in ("binary", "multiclass") else r.task), r.word) for r in ROWS}
    for family in ("classification", "regression", "ranking"):
        assert {word for f, word in words if f == family} - set(SEED["business"]) == set(SEED[family])
    assert set(SEED["business"]) <= {row.word for row in ROWS}
    assert sum(len(SEED[family]) for family in ("classification", "regression", "ranking")) == 32


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.task}-{r.word}")
def test_a_word_is_on_the_card_and_in_the_report_with_its_value(row: Row, fitted: dict[str, Fitted]) -> None:
    facts = fitted[row.task]
    field = field_of(facts.card, row.name)
    assert field is not None, f"{row.name} is not on the card"
    assert row.shown.lower() in facts.report.lower()
    expected, stated = row.value(facts.rows, field)
    np.testing.assert_allclose(stated, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("task", list(BUSINESS))
def test_without_business_its_rows_are_absent(task: str, fitted: dict[str, Fitted]) -> None:
    facts = fitted[task]
    section = facts.bare_card["sections"]["business_value"]
    assert set(section) == {"binary": {"lift_chart"}, "regression": {"percentage_error"}}.get(task, set())
    needs_business = [
        row for row in ROWS if row.task == task and row.name.startswith("business_value.") and row.name not in (
            "business_value.lift_chart", "business_value.percentage_error"
        )
    ]  # fmt: skip
    assert needs_business
    for row in needs_business:
        assert field_of(facts.bare_card, row.name) is None
        assert row.shown not in facts.bare_report
    assert ("Business value" in facts.bare_report) == (task in ("binary", "regression"))


@pytest.mark.parametrize("task", list(BUSINESS))
def test_the_page_of_the_card_has_a_heading_for_each_field(task: str, fitted: dict[str, Fitted]) -> None:
    facts = fitted[task]
    headings = {h.lower() for h in re.findall(r"^### (.*)$", facts.page, re.MULTILINE)}
    for name in set(facts.card["sections"]["business_value"]) - {"currency", "exposure"}:
        assert name.replace("_", " ") in headings, name
    if task == "ranking":
        assert "coverage, diversity and novelty" in headings


def test_the_card_says_what_the_user_gave(fitted: dict[str, Fitted]) -> None:
    said = field_of(fitted["binary"].card, "metrics.business")
    assert (said["currency"], said["cost_matrix"], said["custom_kpis"]) == ("EUR", DOUBLE, ["share like the truth"])
    assert "metrics.business" not in fitted["binary"].bare_card["sections"]["metrics"]
    assert field_of(fitted["multiclass"].card, "model_details.decision_costs") == (np.array(TRIPLE) / 4).tolist()
