"""The reasons on card and report: figures as the facts say, sentences that point at facts, names that stay names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.deployment.card import build_card, facts_of, render_card
from automl_wf.deployment.explanations import arrange_explanations, in_card
from automl_wf.deployment.figures import draw_dependence, draw_surface
from automl_wf.deployment.report import write_report
from automl_wf.deployment.subject import Subject
from automl_wf.estimator import WorkflowEstimator
from automl_wf.interpretation.insights import resolve
from automl_wf.results import subject_of

HOSTILE = 'x"></td><script>alert(1)</script>|`*[a](b){{ 7*7 }}'
GRAPH = {"exists": False, "reason": "not asked for", "parity": None, "n_nodes": None}


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression", "ranking"])
def fitted(request: pytest.FixtureRequest, quick_settings: dict[str, Any]) -> tuple[str, WorkflowEstimator]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {HOSTILE: rng.normal(size=160), "town": rng.choice(["a", HOSTILE], 160), "z": rng.normal(size=160)}
    )
    score = X[HOSTILE] + (X["town"] == "a") + 0.3 * rng.normal(size=160)
    y = {
        "binary": np.where(score > 0.5, "yes", HOSTILE),
        "multiclass": np.array(["low", HOSTILE, "high"])[np.digitize(score, [0.0, 1.0])],
        "regression": score.to_numpy(),
        "ranking": np.digitize(score, [0.0, 1.0]).astype(float),
    }[request.param]
    is_ranking = request.param == "ranking"
    model = WorkflowEstimator(**quick_settings, task="ranking" if is_ranking else "auto", estimators=["linear"])
    model.fit(X, pd.Series(y, name="answer"), groups=np.arange(160) // 10 if is_ranking else None)
    return request.param, model


def subject_from(model: WorkflowEstimator) -> Subject:
    return subject_of(model, model._result)


def card_of(subject: Subject) -> dict[str, Any]:
    card: dict[str, Any] = build_card(facts_of(subject, {}, GRAPH, {}))
    return card


def test_each_sentence_of_the_card_points_at_its_fact(fitted: tuple[str, WorkflowEstimator]) -> None:
    card = card_of(subject_from(fitted[1]))
    found = card["sections"]["why_it_predicts"]["insights"]["value"]
    assert len(found) == len(fitted[1].interpretation_.insights) > 3
    for insight in found:
        assert resolve(card, insight["path"]) == insight["value"]


def test_the_card_holds_every_part(fitted: tuple[str, WorkflowEstimator]) -> None:
    _, model = fitted
    page = render_card(card_of(subject_from(model)))
    body = page[page.index("## Why it predicts") : page.index("## Ethical considerations")]
    headings = re.findall(r"^### (.*)$", body, re.MULTILINE)
    assert headings[:8] == [
        "Permutation importance", "SHAP values", "Partial dependence", "Interactions", "Surrogate rules",
        "Decision boundary", "Trust", "Idle",
    ][: len(headings[:8])]  # fmt: skip
    assert "<script>" not in page
    assert "not run" not in body
    width = None
    for line in body.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        n_cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (None, n_cells), line
        width = n_cells


def test_the_report_shows_every_part(fitted: tuple[str, WorkflowEstimator], tmp_path: Path) -> None:
    task, model = fitted
    text = write_report(subject_from(model), tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    section = text[text.index('<section id="why">') : text.index("</section>", text.index('<section id="why">'))]
    for heading in (
        "SHAP values",
        "Partial dependence",
        "Decision boundary",
        "Columns that act together",
        "In a few rules",
    ):
        assert f"<h3>{heading}</h3>" in section
    assert "<script" not in section
    # One line per class, or a mean and twenty single rows, for each of three columns
    assert section.count("<polyline") == (9 if task == "multiclass" else 63)
    assert "not run" not in section


def test_what_was_not_run_is_said(make: Callable[..., Subject], tmp_path: Path) -> None:
    facts = {"shap": {"status": "not run: no time"}, "rules": {"status": "not run: a surrogate needs 40 rows"}}
    subject = replace(make(), interpretation=facts)
    text = write_report(subject, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "SHAP values: not run: no time." in text
    assert "Rules: not run: a surrogate needs 40 rows." in text
    assert "Decision boundary: not run." in text
    assert "not run: no time" in render_card(card_of(subject))


def test_paths_lead_through_the_card() -> None:
    (found,) = in_card([{"kind": "k", "text": "t", "path": "/rules/r2", "value": 0.5}])
    assert found == {"kind": "k", "text": "t", "path": "/sections/why_it_predicts/rules/value/r2", "value": 0.5}


def test_nothing_to_arrange() -> None:
    arranged = arrange_explanations({})
    assert arranged["sentences"] == arranged["dependences"] == []
    assert arranged["shap"] is arranged["rules"] is arranged["surface"] is None
    assert {part["status"] for part in arranged["not_run"]} == {"not run"}


def test_curves_go_where_the_means_are() -> None:
    facts = {"values": [0.0, 1.0, 3.0], "at": [0.0, 1.0, 3.0], "mean": [[1.0, 2.0, 4.0]], "lines": [[0.0, 1.0, 5.0]]}
    figure = draw_dependence(facts, ["prediction"])
    behind, mean = figure.lines
    assert (behind.role, mean.role, mean.label) == ("background", "curve-1", "prediction")
    x, y = zip(*(map(float, p.split(",")) for p in mean.points.split()), strict=True)
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(1 / 3, abs=1e-3)
    assert (y[1] - y[0]) / (y[2] - y[0]) == pytest.approx(1 / 3, abs=1e-3)
    assert y[0] > y[2]
    several = draw_dependence({**facts, "mean": facts["mean"] * 6}, list("abcdef"))
    assert [line.role for line in several.lines] == ["curve-1", "curve-2", "curve-3", "curve-4"]
    texts = draw_dependence({**facts, "values": ["a very long name", None, True]}, ["prediction"])
    assert [tick.label for tick in texts.x_ticks] == ["a very long…", "missing", "True"]


def test_patches_are_as_dark_as_their_values() -> None:
    facts = {
        "x": [1.0, 2.0],
        "y": ["a", None],
        "labels": [],
        "values": [[0.0, 5.0], [10.0, 2.5]],
        "output": "prediction",
    }
    surface = draw_surface(facts)
    assert (surface.low, surface.high, surface.labels) == (0.0, 10.0, ())
    assert [patch.shade for patch in surface.patches] == [0.1, 0.55, 1.0, 0.325]
    first, second, third, _ = surface.patches
    assert first.y > third.y
    assert second.x == pytest.approx(first.x + first.width, abs=0.02)
    assert third.facts == {"x": "1", "y": "missing", "value": 10.0, "label": ""}
    classes = draw_surface({**facts, "labels": [["u", "v"], ["v", "u"]], "output": ""})
    assert classes.labels == (("fill-1", "u"), ("fill-2", "v"))
    assert [patch.role for patch in classes.patches] == ["fill-1", "fill-2", "fill-2", "fill-1"]
    assert draw_surface({**facts, "values": [[1.0, 1.0], [1.0, 1.0]]}).patches[0].shade == 0.5
