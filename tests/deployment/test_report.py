"""The page is whole, asks nobody for anything, says what the facts say, and takes no name for markup."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jinja2 import nodes

from automl_wf.core.frame import learn_schema
from automl_wf.core.number_format import number
from automl_wf.deployment.overview import arrange_overview, weak_spots
from automl_wf.deployment.render import environment, template_root
from automl_wf.deployment.report import MAX_COLUMNS, MAX_TRIALS, N_OPEN_TRIALS, arrange, write_report
from automl_wf.deployment.subject import Subject
from automl_wf.estimator import WorkflowEstimator
from automl_wf.exceptions import PackageError, PackageExists

HOSTILE = 'x"></td><script>alert(1)</script><img src=http://e.vil/ onerror=alert(1)>{{ 7*7 }}\u202e&amp;\n'
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; an error where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """Everything a reader sees."""
        return " ".join(" ".join(self.words).split())

    def names(self) -> set[str]:
        """Tags used."""
        return {tag for tag, _ in self.tags}


def hash_of(text: str) -> str:
    """How a policy names an inline script or style."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def page_of(subject: Subject, folder: Path) -> Page:
    return Page(write_report(subject, folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression", "ranking"])
def fitted(request: pytest.FixtureRequest) -> tuple[str, WorkflowEstimator, str]:
    """Task, a fitted estimator and the page that its `report` wrote."""
    import tempfile

    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=90), "town": rng.choice(["a", "b"], 90), "one": 1})
    score = X["x"] + (X["town"] == "a") + 0.5 * rng.normal(size=90)
    y = {
        "binary": np.where(score > 0.5, "yes", "no"),
        "multiclass": np.array(["low", "mid", "high"])[np.digitize(score, [0.0, 1.0])],
        "regression": score,
        "ranking": np.digitize(score, [0.0, 1.0]).astype(float),
    }[request.param]
    model = WorkflowEstimator(
        task="ranking" if request.param == "ranking" else "auto",
        estimators=["linear"], time_budget=None, n_iter=3, cv=3, n_jobs=1, random_state=0, verbose=0,
    )  # fmt: skip
    model.fit(X, pd.Series(y, name="answer"), groups=np.arange(90) // 9 if request.param == "ranking" else None)
    with tempfile.TemporaryDirectory() as folder:
        return request.param, model, model.report(Path(folder) / "report.html").read_text(encoding="utf-8")


def test_the_page_of_a_fit_is_whole_and_asks_for_nothing(fitted: tuple[str, WorkflowEstimator, str]) -> None:
    _, _, text = fitted
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    (policy,) = (a["content"] or "" for t, a in page.tags if t == "meta" and "http-equiv" in a)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(script) == len(style) == 1
    assert policy == (
        f"default-src 'none'; script-src '{hash_of(script[0])}'; style-src '{hash_of(style[0])}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert {a.get("type") for t, a in page.tags if t == "script"} <= {None, "application/json"}
    assert not page.names() & {"link", "img", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"url\(|@import|https?:|javascript:", text)
    for _, attributes in page.tags:
        assert not {"src", "srcset", "action", "data", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    assert "color-scheme: light dark" in text
    assert "@media print" in text


def test_the_page_says_what_the_fit_measured(fitted: tuple[str, WorkflowEstimator, str]) -> None:
    task, model, text = fitted
    page = Page(text)
    evaluation = model.evaluation_
    sign = 1 if evaluation.primary_score.greater_is_better else -1
    assert f"{number(sign * model.best_score_)}" in page.text
    for score in evaluation.scores:
        assert f"{score.label}" in page.text
        assert number(score.value) in page.text
        assert number(score.baseline) in page.text
    for name in ("x", "town", "one", "not used", "answer"):
        assert name in page.text
    for row in model.leaderboard_.itertuples():
        assert number(sign * row.score) in page.text
    for decision in model.decisions_:
        assert " ".join(decision.decision.split()) in page.text
    headings = {"binary": "Calibration", "multiclass": "Calibration", "regression": "Residuals by prediction",
                "ranking": "NDCG of the queries"}  # fmt: skip
    assert headings[task] in page.text
    assert ("Confusion matrix" in page.text) == (task in ("binary", "multiclass"))


def test_links_lead_to_sections(fitted: tuple[str, WorkflowEstimator, str]) -> None:
    page = Page(fitted[2])
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    sections = {a["id"] for t, a in page.tags if t == "section"}
    assert {(a["href"] or "")[1:] for t, a in page.tags if t == "a"} == sections


def test_names_never_become_markup(make: Callable[..., Subject], tmp_path: Path) -> None:
    tame = make()
    wild = make(
        number=HOSTILE,
        text="label",
        name=HOSTILE,
        target_name=HOSTILE,
        findings=[{"code": "x", "severity": "serious", "message": HOSTILE, "advice": HOSTILE, "columns": [HOSTILE]}],
        decisions=[{"stage": HOSTILE, "decision": HOSTILE, "reason": HOSTILE}],
        leaderboard=[{"rank": 1, "model": HOSTILE, "score": 0.1, "status": "failed", "reason": HOSTILE}],
        parameters={"scoring": HOSTILE},
        blend={"members": [{"model": HOSTILE, "weight": 1.0, "params": {HOSTILE: HOSTILE}}], "strategy": HOSTILE},
        classes=np.array([HOSTILE, HOSTILE + "2"], dtype=object),
    )
    confusion = {**wild.evaluation["confusion"], "classes": [HOSTILE, HOSTILE]}
    curves = [{**c, "label": HOSTILE} for c in wild.evaluation["roc"]]
    wild = replace(wild, evaluation={**wild.evaluation, "confusion": confusion, "roc": curves})
    pages = [page_of(subject, tmp_path) for subject in (tame, wild)]
    assert pages[0].names() == pages[1].names()
    assert "<script>alert(1)</script>" in pages[1].text
    assert "{{ 7*7 }}" in pages[1].text
    for _, attributes in pages[1].tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]


def test_half_a_surrogate_pair_can_be_written(make: Callable[..., Subject], tmp_path: Path) -> None:
    assert "half ?" in page_of(make(name="half \ud800"), tmp_path).text


def test_failures_are_listed_with_their_reason(make: Callable[..., Subject], tmp_path: Path) -> None:
    board = [{"rank": i + 1, "model": f"m{i}", "score": 0.9, "status": "ok", "reason": ""} for i in range(400)]
    board.append({"rank": 401, "model": "bad", "score": np.nan, "status": "failed", "reason": "it would not converge"})
    subject = make(leaderboard=board, search={"n_trials": 401, "n_failed": 1})
    page = page_of(subject, tmp_path)
    assert "it would not converge" in page.text
    context = arrange(subject)
    assert len(context["trials"]) == MAX_TRIALS
    assert context["n_open_trials"] == N_OPEN_TRIALS
    assert f"{401 - MAX_TRIALS} others are in" in page.text


def test_gravest_findings_come_first(make: Callable[..., Subject], tmp_path: Path) -> None:
    found = [
        {"code": s, "severity": s, "message": f"{s} thing", "advice": "", "columns": []}
        for s in ("info", "serious", "warning")
    ]
    text = page_of(make(findings=found), tmp_path).text
    assert text.index("serious thing") < text.index("warning thing") < text.index("info thing")


def test_losses_are_shown_as_losses(make: Callable[..., Subject]) -> None:
    subject = make()
    scores = [{**row, "is_primary": row["name"] == "log_loss"} for row in subject.evaluation["scores"]]
    assert sum(row["is_primary"] for row in scores) == 1
    honest = {"value": -0.7, "interval": [-0.9, -0.6], "best_of_n": -0.65, "n_bootstraps": 9, "confidence": 0.95}
    board = [{"rank": 1, "model": "m", "score": -0.66, "status": "ok"}]
    changed = replace(subject, evaluation={**subject.evaluation, "scores": scores, "honest": honest}, leaderboard=board)
    context = arrange(changed)
    lead = context["score"]
    assert (lead["value"], lead["low"], lead["high"], lead["optimistic"]) == (0.7, 0.6, 0.9, 0.65)
    assert lead["is_corrected"]
    assert not lead["rises"]
    assert context["trials"][0]["score"] == 0.66


def test_confusion_shares_are_of_the_true_class(make: Callable[..., Subject]) -> None:
    drawn = arrange(make())["confusion"]
    cells = [[(c["count"], c["share"]) for c in row["cells"]] for row in drawn["rows"]]
    # The fixture swaps every fourth row: five of each twenty
    assert cells == [[(15, "75\u00a0%"), (5, "25\u00a0%")], [(5, "25\u00a0%"), (15, "75\u00a0%")]]


def test_very_wide_tables_stay_a_small_page(make: Callable[..., Subject], tmp_path: Path) -> None:
    names = [f"column {i} " + "é" * 400 for i in range(1500)]
    X = pd.DataFrame(np.arange(3000.0).reshape(2, 1500), columns=names)
    rows = [
        {"column": n, "mean": 0.1, "std": 0.0, "low": 0.0, "high": 0.2, "status": "measured"} for n in reversed(names)
    ]
    facts = {"importances": rows, "label": "ROC AUC", "n_rows": 40}
    subject = replace(make(), schema=learn_schema(X, None)[0], interpretation=facts)
    page = page_of(subject, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert f"The {MAX_COLUMNS} that matter most of 1,500" in page.text
    assert "column 1499 " in page.text
    assert "column 0 " not in page.text


def test_many_classes_are_a_list_of_confusions(make: Callable[..., Subject], tmp_path: Path) -> None:
    counts = np.diag(np.full(40, 9.0))
    counts[3, 5] = 4.0
    confusion = {"classes": [f"c{i}" for i in range(40)], "counts": counts.tolist(), "is_weighted": False}
    subject = make()
    subject = replace(subject, evaluation={**subject.evaluation, "confusion": {**confusion, "threshold": None}})
    text = page_of(subject, tmp_path).text
    assert "What is confused most" in text
    assert "c3 c5 4 31\u00a0%".replace("\u00a0", " ") in text.replace("\u00a0", " ")


def test_a_fit_without_score_or_importances_says_so(make: Callable[..., Subject], tmp_path: Path) -> None:
    text = page_of(make(evaluation={}, interpretation={}, findings=[], leaderboard=[]), tmp_path).text
    assert "There is no score" in text
    assert "Not run." in text
    assert "no leakage" in text


def test_only_regular_files_are_replaced(subject: Subject, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "report.html"
    assert write_report(subject, str(path)) == path
    first = path.read_bytes()
    path.write_text("an older page")
    write_report(subject, path)
    assert path.read_bytes() == first
    link, victim = tmp_path / "link.html", tmp_path / "victim.txt"
    victim.write_text("mine")
    link.symlink_to(victim)
    for occupied in (link, tmp_path / "new"):
        with pytest.raises(PackageExists, match="not a regular file"):
            write_report(subject, occupied)
    assert victim.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.html", "new", "victim.txt"]
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PackageError, match="cannot be written"):
        write_report(subject, tmp_path / "file" / "report.html")
    (tmp_path / "report.html").write_text("an older page")

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PackageError, match="disk is full"):
        write_report(subject, tmp_path / "report.html")
    assert sorted(os.listdir(tmp_path)) == ["file", "report.html"]
    assert (tmp_path / "report.html").read_text() == "an older page"


def test_templates_do_no_arithmetic() -> None:
    sums = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
    templates = [template_root() / "report.html.jinja", *(template_root() / "report").glob("*.jinja")]
    assert len(templates) > 5
    for source in (path.read_text(encoding="utf-8") for path in templates):
        tree: Any = environment().parse(source)
        assert [type(node).__name__ for node in tree.find_all(sums)] == []
        assert "| safe" not in source


def test_money_criteria_and_lift_are_arranged(make: Callable[..., Subject], tmp_path: Path) -> None:
    subject = make()
    criteria = [
        {"name": "score", "label": "ROC AUC", "wanted": 0.7, "is_at_least": True, "unit": "", "measured": 0.75,
         "interval": [0.6, 0.9], "verdict": "undecided at this sample size"},
        {"name": "max_size", "label": "size", "wanted": 5e6, "is_at_least": False, "unit": "bytes", "measured": None,
         "interval": None, "verdict": "not measured before export"},
    ]  # fmt: skip
    costs = {"classes": [HOSTILE, "yes"], "costs": [[0, 1], [9, 0]], "lost": [[0, 5], [45, 0]], "per_row": 1.25,
             "total": 50.0, "baseline_per_row": 4.5, "baseline_total": 180.0, "saved": 130.0,
             "implied_threshold": 0.1, "threshold": 0.12, "sets_decision": True}  # fmt: skip
    kpis = [{"name": HOSTILE, "value": 3.0, "baseline": None, "note": HOSTILE}]
    money = {"currency": HOSTILE, "cost_matrix": costs, "custom_kpis": kpis}
    changed = replace(subject, evaluation={**subject.evaluation, "criteria": criteria, "business": money})
    context = arrange(changed)
    assert [row["gravity"] for row in context["criteria"]] == ["warning", "info"]
    assert context["value"]["costs"]["rows"][1]["cells"][0] == {"cost": 9, "lost": 45}
    assert context["value"]["lift"]["deciles"][0]["lift"] == pytest.approx(1.5)
    page = page_of(changed, tmp_path)
    for word in ("undecided at this sample size", "at least 0.7", "Cost matrix", "Lift chart", "Cumulative gains"):
        assert word in page.text
    assert "<script>alert(1)</script>" in page.text
    plain = arrange(replace(subject, evaluation={**subject.evaluation, "lift_chart": None}))
    assert (plain["criteria"], plain["value"]) == ([], None)


def test_the_first_screen_answers_from_facts(make: Callable[..., Subject], tmp_path: Path) -> None:
    subject = make()
    evaluation = subject.evaluation
    checks = arrange(subject)["overview"]["checks"]
    # 40 rows: 15 of 20 right on either side, and a constant baseline
    assert checks["baseline"] == {"state": "good", "baseline": 0.5}
    assert checks["correction"]["state"] == "doubt"
    assert checks["findings"] == {"state": "doubt", "serious": 0, "warning": 1, "info": 0}
    bins = [{"predicted": p, "observed": 0.5, "low": 0.4, "high": 0.6, "n": 9} for p in (0.1, 0.5, 0.9)]
    calibration = {**evaluation["calibration"], "bins": bins}
    honest = {"value": 0.55, "interval": [0.45, 0.65], "best_of_n": 0.8, "n_bootstraps": 9, "confidence": 0.95}
    worse = replace(subject, evaluation={**evaluation, "honest": honest, "calibration": calibration}, findings=[])
    checks = arrange(worse)["overview"]["checks"]
    assert checks["baseline"]["state"] == "bad"
    assert checks["correction"] == {"state": "good", "optimistic": 0.8}
    assert (checks["calibration"]["state"], checks["calibration"]["n_within"]) == ("doubt", 1)
    assert checks["findings"]["state"] == "good"
    text = page_of(worse, tmp_path).text
    for word in ("Not better than the baseline", "1 of 3 bins", "No warnings", "model.fit(X, y)"):
        assert word in text


def test_shift_is_judged_as_its_finding_is() -> None:
    part = {"auc": 0.9, "low": 0.8, "columns": [{"column": "year"}], "moved": []}
    for auc, low, state in ((0.9, 0.8, "doubt"), (0.54, 0.51, "good"), (0.9, 0.4, "good")):
        facts = {"evaluation": {"shift": {**part, "auc": auc, "low": low}}, "findings": []}
        assert arrange_overview(facts, None)["checks"]["shift"] == {"state": state, "auc": auc, "columns": ["year"]}


def test_weak_spots_are_the_worst_of_each_kind() -> None:
    points = [
        {"scenario": "noise", "level": 0.1, "drop": 0.01},
        {"scenario": "noise", "level": 1.0, "drop": 0.5},
        {"scenario": "missing", "level": 0.05, "drop": 0.03},
        {"scenario": "scale", "level": 10.0, "drop": -0.1},
    ]
    deciles = [{"first": i, "last": i + 1, "error": error} for i, error in enumerate((1.0, 4.0, 2.0))]
    found = weak_spots(
        {
            "robustness": {"points": points, "label": "R²"},
            "errors": {"by_prediction": deciles, "confusions": []},
            "slices": {"rows": [{"where": name} for name in "abc"]},
        }
    )
    # The mildest level of each scenario, of which missing cells cost most
    assert found["robustness"] == {"scenario": "missing", "level": 0.05, "drop": 0.03, "label": "R²"}
    assert found["error_bin"]["first"] == 1
    assert [row["where"] for row in found["slices"]] == ["a", "b"]
    assert weak_spots({}) == {"slices": [], "confusions": [], "error_bin": None, "robustness": None, "queries": None}


def test_steps_of_the_slider_are_worked_out(make: Callable[..., Subject]) -> None:
    decisions = arrange(make())["decisions"]
    steps = {step["threshold"]: step for step in decisions["steps"]}
    # Said 0.8 or 0.2; three quarters of either class rightly
    low, half, high = steps["0.1"], steps["0.5"], steps["0.9"]
    assert (low["hits"], low["alarms"], low["recall"], low["precision"]) == ("20", "20", "1", "0.5")
    assert (half["hits"], half["misses"], half["alarms"], half["passed"]) == ("15", "5", "5", "15")
    assert (half["accuracy"], half["f1"], half["said"], half["cost"]) == ("0.75", "0.75", "0.5", "–")
    assert (high["hits"], high["alarms"], high["precision"]) == ("0", "0", "–")
    assert decisions["in_use"] == half
    assert decisions["cheapest"] is None


def test_rows_are_shown_only_where_they_are_asked_for(
    fitted: tuple[str, WorkflowEstimator, str], tmp_path: Path
) -> None:
    task, model, text = fitted
    assert 'id="samples"' not in text
    shown = model.report(tmp_path / "report.html", include_samples=True).read_text(encoding="utf-8")
    rows = json.loads(re.findall(r'id="samples">(.*?)</script>', shown)[0])["rows"]
    assert len(rows) == 90
    assert len({row[0] for row in rows}) == 90
    if task != "ranking":
        losses = [float(row[3 if task == "regression" else 4]) for row in rows]
        assert losses == sorted(losses, reverse=True)


def test_what_the_search_teaches_is_told(fitted: tuple[str, WorkflowEstimator, str]) -> None:
    page = Page(fitted[2])
    for word in ("How it went", "Where the time went", "Hyper-parameters that mattered", "Training histories"):
        assert word in page.text
    assert "None was recorded" in page.text
