"""Every field says where it comes from, and names that want to be markup do not become any."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_wf.deployment.card import (
    OWNER_FIELDS,
    SECTIONS,
    build_card,
    facts_of,
    owner_info,
    plain,
    render_card,
    render_problem_statement,
)
from automl_wf.deployment.evidence import FIGURES
from automl_wf.deployment.render import NEEDED, template_root
from automl_wf.deployment.subject import Subject
from automl_wf.exceptions import InvalidParameter

HOSTILE = 'a|b `c` "d" <script>{{ 7*7 }}</script>\n# not a heading\n---\n{"x": 1} 🙂'
GRAPH = {"exists": True, "reason": None, "parity": {"n_rows": 40}, "n_nodes": 3}
MEASURED = {
    "sizes": {"model.onnx": 10},
    "latency": {"one_row_p50_s": 1e-4},
    "memory": {"peak_bytes": 10**8},
    "samples": {"n_rows": 5, "are_synthetic": True},
    "n_scored": 40,
    "n_folds": 4,
    "target": {"no": 20, "yes": 20},
    "weights": [1.0],
}


def card_of(subject: Subject, info: dict[str, Any] | None = None) -> dict[str, Any]:
    card: dict[str, Any] = build_card(facts_of(subject, owner_info(info), GRAPH, MEASURED))
    return card


def fields_of(card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{s}.{n}": f for s, fields in card["sections"].items() for n, f in fields.items()}


def test_every_field_has_value_source_check_and_evidence(subject: Subject) -> None:
    card = card_of(subject, {"owner": "Ada"})
    for name, field in fields_of(card).items():
        assert set(field) == {"value", "source", "check", "evidence"}, name
        assert field["source"] in ("measured", "by owner", "unfilled")
        assert field["check"] in ("exact", "tolerance", "data", "once")
        if field["check"] == "exact" and field["source"] == "measured":
            assert field["evidence"]["compute"] in FIGURES
    json.dumps(card, allow_nan=False)


def test_completeness_counts_the_fields(subject: Subject) -> None:
    empty, filled = card_of(subject), card_of(subject, {"owner": "Ada", "license": "mit"})
    counts = empty["completeness"]
    assert counts["fields"] == len(fields_of(empty)) == counts["measured"] + counts["by_owner"] + counts["missing"]
    assert (filled["completeness"]["by_owner"], filled["completeness"]["missing"]) == (2, counts["missing"] - 2)
    c = filled["completeness"]
    sentence = (
        f"{c['filled']} of {c['fields']} fields filled: {c['measured']} measured, 2 by owner, {c['missing']} missing."
    )
    assert sentence in render_card(filled)


def test_owner_fields_are_open_until_said(subject: Subject) -> None:
    fields = {n.partition(".")[2]: f for n, f in fields_of(card_of(subject)).items()}
    assert {name for name, f in fields.items() if f["value"] == NEEDED} == set(OWNER_FIELDS)
    assert render_card(card_of(subject)).count(f":** {NEEDED}") == len(OWNER_FIELDS)


def test_unknown_owner_field_is_an_error() -> None:
    with pytest.raises(InvalidParameter, match=r"retraining_owner.*Got 'onwer'"):
        owner_info({"onwer": "Ada"})
    assert owner_info({"owner": "Ada", "users": ""}, {"owner": "Bob"}) == {"owner": "Bob"}


def test_each_section_has_a_template_and_each_template_a_section() -> None:
    templates = {p.name.removesuffix(".md.jinja") for p in (template_root() / "sections").glob("[a-z]*.jinja")}
    assert templates == set(SECTIONS)


@pytest.mark.parametrize("section", list(SECTIONS))
def test_every_field_of_a_section_is_shown(subject: Subject, section: str) -> None:
    text = (template_root() / "sections" / f"{section}.md.jinja").read_text(encoding="utf-8")
    if "fields.items()" not in text:
        missing = [name for name in card_of(subject)["sections"][section] if f"fields.{name}" not in text]
        assert missing == []


def test_hostile_names_stay_names(make: Callable[..., Subject]) -> None:
    yaml = pytest.importorskip("yaml")
    tame, wild = make(), make(number=HOSTILE, text="label", name=HOSTILE, target_name=HOSTILE)
    page, hostile = render_card(card_of(tame)), render_card(card_of(wild, {"licence": HOSTILE, "owner": HOSTILE}))
    start, front, body = hostile.split("---\n", 2)
    assert start == ""
    matter = yaml.safe_load(front)
    assert (matter["license"], matter["license_name"]) == ("other", HOSTILE)
    assert matter["model-index"][0]["name"] == HOSTILE
    assert "<script>" not in body
    assert "\n---" not in body
    headings = [re.findall(r"^##+ .*$", p, re.MULTILINE) for p in (page, body)]
    assert headings[0] == headings[1]
    assert len(re.findall(r"^# ", body, re.MULTILINE)) == 1


def test_tables_have_as_many_cells_as_headings(make: Callable[..., Subject]) -> None:
    page = render_card(card_of(make(number=HOSTILE)))
    width, before = None, ""
    for line in page.splitlines():
        is_first, before = not before, line
        if not line.startswith("|"):
            width = None
            continue
        assert width is not None or is_first, f"{line} belongs to the paragraph before it"
        n_cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (None, n_cells), line
        width = n_cells


def test_front_matter_for_the_hub(subject: Subject) -> None:
    matter = card_of(subject)["front_matter"]
    result = matter["model-index"][0]["results"][0]
    assert matter["pipeline_tag"] == result["task"]["type"] == "tabular-classification"
    assert matter["metrics"][0] == result["metrics"][0]["type"] == "roc_auc"
    assert {m["name"]: m["value"] for m in result["metrics"]}["accuracy"] == 0.75
    assert "license" not in matter
    assert card_of(subject, {"licence": "MIT"})["front_matter"]["license"] == "mit"


@pytest.mark.parametrize("licence", [None, "Apache-2.0", "our own terms"])
def test_front_matter_has_what_the_hub_requires(subject: Subject, licence: str | None) -> None:
    yaml = pytest.importorskip("yaml")
    page = render_card(card_of(subject, {"licence": licence}))
    start, front, body = page.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert (start, body.lstrip().startswith("# ")) == ("", True)
    assert isinstance(matter["library_name"], str)
    assert all(isinstance(tag, str) for tag in [*matter["tags"], *matter["metrics"]])
    (entry,) = matter["model-index"]
    (result,) = entry["results"]
    assert isinstance(entry["name"], str)
    assert {"type"} <= set(result["task"])
    assert {"type", "name"} <= set(result["dataset"])
    assert result["metrics"]
    assert all(isinstance(m["type"], str) and isinstance(m["value"], float) for m in result["metrics"])
    assert matter.get("license") == {None: None, "Apache-2.0": "apache-2.0"}.get(licence, "other")


def test_a_reader_with_a_minute_is_answered_first(subject: Subject) -> None:
    page = render_card(card_of(subject, {"purpose": "to try it out"}))
    minute = page[page.index("## In one minute") : page.index("## About this card")]
    assert "A binary classification model that predicts answer (no, yes) from 2 columns, made from\n40 rows" in minute
    assert "What for: to try it out. Not for: [More Information Needed]." in minute
    assert re.search(
        r"ROC AUC 0\.75 on new rows \(greater is better\), 95 % interval .* baseline 0\.5: better than the baseline",
        minute,
    )
    assert "The score is not corrected for the choice among many configurations." in minute
    assert "Nothing serious was found" in minute
    assert "error slices were not looked for" in minute
    assert "not the same bit by bit: it is not recorded how fit was called" in minute
    anchors = {
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", minute)) <= anchors


def test_a_class_that_is_never_recognised_and_a_warning_are_told_in_the_minute(subject: Subject) -> None:
    card = card_of(subject)
    report = card["sections"]["quantitative_analyses"]["report"]["value"]
    report[1]["recall"] = 0.0
    card["sections"]["caveats_and_recommendations"]["findings"].update(
        source="measured", value=[{"severity": "warning", "message": "Few rows.", "advice": "", "columns": []}]
    )
    page = render_card(card)
    minute = page[page.index("## In one minute") : page.index("## About this card")]
    assert "Of yes no row is recognised: each is taken for another class. Probabilities still rank rows" in minute
    assert "Nothing serious was found in data and run, but a warning is among the [findings](#findings)." in minute


def test_the_agents_of_each_stage_are_on_the_card(make: Callable[..., Subject]) -> None:
    stages = [{"stage": "evaluation", "lead": "ML Engineer", "support": "Statistical Analyst", "seconds": 1.5}]
    page = render_card(card_of(make(stages=stages)))
    assert "| evaluation | ML Engineer | Statistical Analyst | 1.5 |" in page


def test_the_problem_statement_says_all_that_stage_1_asks_for(make: Callable[..., Subject]) -> None:
    bare = render_problem_statement(card_of(make()))
    headings = re.findall(r"^## (.*)$", bare, re.MULTILINE)
    assert headings == [
        "Objectives", "The machine learning problem", "Metric", "Baseline", "Success criteria", "Constraints",
        "Timeline", "Resources", "Decisions taken before any model was fitted",
    ]  # fmt: skip
    sections = re.split(r"^## .*$", bare, flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    assert f"- **Objectives:** {NEEDED}" in bare
    assert "None were given" in bare
    criterion = {
        "name": "score", "label": "ROC AUC", "wanted": 0.7, "is_at_least": True, "unit": "", "measured": None,
        "interval": None, "verdict": "not judged yet",
    }  # fmt: skip
    subject = make(
        problem={
            "scoring": "roc_auc",
            "baseline": "class frequencies",
            "constraints": {"time_budget": 60.0, "score": 0.7},
        },
        parameters={"scoring": "roc_auc", "n_jobs": 2},
        search={"n_trials": 2, "time_budget": 60.0, "n_iter": None, "seconds": 2.5},
        resources={"n_threads": 2, "peak_memory_bytes": 10**9},
    )
    subject.evaluation["criteria"] = [criterion]
    full = render_problem_statement(card_of(subject, {"objectives": "fewer lost customers", "owner": "Ada"}))
    assert "- **Objectives:** fewer lost customers *(by owner)*" in full
    assert "the user asked for it (`scoring`)" in full
    assert "| ROC AUC | at least 0.7 | 0.75 |" in full
    assert "- **Seconds planned for the fit:** 60." in full
    assert "| Seconds of the fit | 60 | 2.5 |" in full
    assert "| Bytes of memory | – | 1,000,000,000 |" in full
    assert "4 folds (40 rows)" in full


def test_what_is_asked_is_said_in_words(make: Callable[..., Subject]) -> None:
    of_score = {"label": "RMSE", "is_at_least": False, "unit": "", "verdict": "not judged yet"}
    criteria = [
        {**of_score, "name": "beats_baseline", "wanted": None},
        {**of_score, "name": "max_predict_time", "label": "time", "wanted": 0.5, "unit": "seconds per row"},
    ]
    subject = make(parameters={"random_state": 1_398_844_612})
    subject.evaluation["criteria"] = criteria
    page = render_card(card_of(subject))
    assert "| RMSE better than the baseline's | below 0.5 |" in page
    assert "| time | at most 0.5 seconds per row |" in page
    assert "- random state: 1398844612" in page


def test_the_interval_says_what_it_is_of(subject: Subject) -> None:
    honest = {"value": 0.7, "interval": [0.6, 0.8], "n_bootstraps": 9, "best_of_n": 0.8, "n_skipped": 0,
              "n_rows": 40, "confidence": 0.95, "n_scored": 0}  # fmt: skip
    page = render_card(card_of(replace(subject, evaluation={**subject.evaluation, "honest": honest})))
    assert "Interval of 95\xa0%: 0.6 to 0.8, of this model's score on very many rows like these." in page
    assert "The score on one test set scatters further" in page


def test_ends_of_ranges_are_no_quantities(make: Callable[..., Subject]) -> None:
    subject = make()
    facts = facts_of(subject, {}, GRAPH, MEASURED)
    facts["columns"][0] |= {"minimum": 1872.0, "maximum": 2010.0}
    assert re.search(r"\| x \| 1872 \| 2010 \|", render_card(build_card(facts)))


def test_the_card_never_judges(subject: Subject) -> None:
    page = render_card(card_of(subject)).lower()
    assert not re.search(r"\b(is|are) (fair|unbiased|compliant)\b|production[- ]ready", page)


def test_a_pipeline_without_graph_says_why(subject: Subject) -> None:
    graph = {"exists": False, "reason": "KNN has no exact graph", "parity": None, "n_nodes": None}
    measured = {k: v for k, v in MEASURED.items() if k not in ("latency", "memory")}
    page = render_card(build_card(facts_of(subject, {}, graph, measured)))
    assert "There is no ONNX graph, and so no service: KNN has no exact graph" in page
    assert '"onnx"' not in page


def test_plain_types() -> None:
    given = {
        1: np.float32(0.5),
        "a": [np.int64(3), np.nan, np.inf, np.bool_(True)],
        "b": np.array(["x", None], dtype=object),
    }
    assert plain(given) == {"1": 0.5, "a": [3, None, "inf", True], "b": ["x", None]}


def test_held_out_rows_that_look_unlike_training_rows_are_told(make: Callable[..., Subject]) -> None:
    shift = {
        "status": "measured", "auc": 0.8125, "low": 0.75, "high": 0.875, "by_split": [0.75, 0.875], "n_rows": 400,
        "judged_by": "groups", "left_out": ["day|s"],
        "columns": [{"column": "a|b", "gain_share": 0.625, "psi": 0.375}],
        "moved": [{"column": "a|b", "gain_share": 0.625, "psi": 0.375}],
    }  # fmt: skip
    subject = make()
    page = render_card(card_of(make(evaluation={**subject.evaluation, "shift": shift})))
    assert "ROC AUC 0.8125, 95 % interval 0.75 to 0.875" in page
    assert "Left out, since the split follows them: day\\|s." in page
    assert page.count("| a\\|b | ") == 2
    nothing = {**shift, "status": "not run: no time", "auc": None, "left_out": [], "columns": [], "moved": []}
    page = render_card(card_of(make(evaluation={**subject.evaluation, "shift": nothing})))
    assert "not run: no time. *(measured, once)*" in page
    assert "ROC AUC 0.8125" not in page


def test_fingerprints_are_on_the_card(subject: Subject) -> None:
    page, hashes = render_card(card_of(subject)), subject.problem["fingerprint"]
    assert {len(hashes[name]) for name in ("in_order", "any_order", "target", "types")} == {64}
    assert all(hashes[name] in page for name in ("in_order", "any_order", "target", "types"))


def _with_losses(subject: Subject) -> dict[str, Any]:
    """A card whose score is a loss."""
    honest = {"value": -13.4, "interval": [-14.0, -12.8], "best_of_n": -13.2, "n_bootstraps": 9, "n_skipped": 2,
              "n_rows": 40, "n_scored": 5, "confidence": 0.95}  # fmt: skip
    scores = [{**row, "greater_is_better": not row["is_primary"]} for row in subject.evaluation["scores"]]
    evaluation = {**subject.evaluation, "honest": honest, "scores": scores}
    trials = [{"rank": 1, "model": "ridge", "score": -13.3, "score_std": 0.1}]
    return card_of(replace(subject, evaluation=evaluation, leaderboard=trials))


def test_losses_stand_in_their_natural_form(subject: Subject) -> None:
    page = render_card(_with_losses(subject))
    part = page[page.index("## Quantitative analyses") : page.index("### Scores")]
    assert "(smaller is better): 13.4" in part
    assert "Interval of 95\u00a0%: 12.8 to 14" in part
    assert "Before the correction: 13.2" in part
    assert "as one side had one class only: 2" in part
    assert "ridge | 13.3 |" in page
    assert not re.search(r"[^\w]-1[234]", page)


def test_the_headline_of_slices_and_their_table_agree(subject: Subject) -> None:
    first = {"where": "a = 1", "columns": ["a"], "n": 30, "n_tested": 16, "share": 0.4, "loss": 9.5, "rest": 6.0,
             "difference": 3.5, "low": 3.0, "high": 4.0, "p": 0.001, "wrong": None, "wrong_rest": None}  # fmt: skip
    second = {**first, "where": "b = 2", "n_tested": 4, "share": 0.1, "loss": 13.4}
    slices = {"rows": [first, second], "loss": "absolute error", "n_rows": 80, "min_rows": 4, "n_columns": 2,
              "n_searched": 9, "n_tested": 3, "status": "measured", "kind": "exploratory"}  # fmt: skip
    page = render_card(card_of(replace(subject, evaluation={**subject.evaluation, "slices": slices})))
    assert "cost most in all where a = 1, 40\u00a0% of the rows: absolute error 9.5, elsewhere 6." in page
    assert "largest where b = 2, 10\u00a0% of the rows: 13.4" in page
    assert "| a = 1 | 16 | 40\u00a0% | 9.5 |" in page
    # Of numbers no class can be wrong
    assert "Wrong class" not in page
    rows = [{**row, "wrong": 0.5, "wrong_rest": 0.25} for row in (first, second)]
    page = render_card(card_of(replace(subject, evaluation={**subject.evaluation, "slices": {**slices, "rows": rows}})))
    assert "| Wrong class | Elsewhere |" in page
    assert "| 0.001 | 0.5 | 0.25 |" in page


def test_the_threshold_is_on_the_card(subject: Subject) -> None:
    assert "A row counts as yes from a probability of 0.5." in render_card(card_of(subject))
    assert "A row counts as yes from a probability of 0.3. *(measured" in render_card(
        card_of(replace(subject, threshold=0.3))
    )


def test_what_is_missing_stands_at_the_end(subject: Subject) -> None:
    page = render_card(card_of(subject))
    assert page.index("## Missing fields") > page.index("## The package")
    assert "- model details: owner" in page[page.index("## Missing fields") :]
    assert "- model details: owner" not in page[: page.index("## Missing fields")]


def test_curves_are_one_sentence(subject: Subject) -> None:
    page = render_card(card_of(subject))
    assert "### Roc" not in page
    assert "under `quantitative_analyses`: ROC curve *(measured, exact)*, Precision-recall curve" in page
