"""Sixteen items, each measured: spoil what an item measures, in a copy of a package, and see it fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl_wf.deployment import Package
from automl_wf.deployment.checklist import (
    CHECKLIST,
    DEFAULT_LIMITS,
    Inspection,
    Item,
    Probe,
    Response,
    TestRun,
    run_checklist,
    run_tests,
    totals,
)

ITEMS = {name: check for checks in CHECKLIST.values() for name, check in checks.items()}
PASSED = TestRun(10, (), 0, "", 1.0, 0)
LIMITS = {"max_size": 10**6, "max_predict_time": 1.0, "max_memory": 10**10}


@pytest.fixture(scope="module")
def inspection(package: Package) -> Inspection:
    inspection = Inspection(package.path, PASSED, LIMITS)
    assert inspection.probe.answers["health"].status == 200
    return inspection


@pytest.fixture
def copy(inspection: Inspection, tmp_path: Path) -> Inspection:
    """The same package elsewhere, with the answers of the service and the figures that there are already."""
    folder = Path(shutil.copytree(inspection.folder, tmp_path / "copy"))
    return with_probe(replace(inspection, folder=folder, known=inspection.figures), inspection.probe)


def with_probe(inspection: Inspection, probe: Probe) -> Inspection:
    inspection.__dict__["probe"] = probe
    return inspection


@pytest.fixture(scope="module")
def good(inspection: Inspection) -> dict[str, str]:
    """How each item came out for the package as it was written."""
    return {item.name: item.status for item in run_checklist(inspection)}


def failed(inspection: Inspection) -> set[str]:
    """Items that fail, without that of promtool, which takes a second."""
    return {
        name for name, check in ITEMS.items() if name != "alerting_rules_defined" and check(inspection)[0] == "fail"
    }


def test_the_seeds_sixteen_items(package: Package) -> None:
    assert [len(items) for items in CHECKLIST.values()] == [4, 4, 4, 4]
    written = json.loads((package.path / "deployment_checklist.json").read_text())
    assert [i["name"] for i in written["items"]] == list(ITEMS)
    assert all(i["evidence"] for i in written["items"])
    assert written["totals"] == totals(package.checklist)


def test_a_good_package_fails_nothing(good: dict[str, str]) -> None:
    assert {name for name, status in good.items() if status != "pass"} <= {"alerting_rules_defined"}
    assert good["alerting_rules_defined"] in ("pass", "not_run")


def test_only_a_pass_counts_and_the_total_says_so(package: Package) -> None:
    items = [Item("g", status, status, "seen", 0.0) for status in ("pass", "fail", "not_run", "needs_owner")]
    mixed = replace(package, checklist=tuple(items))
    assert mixed.n_passed == 1
    assert "1 of 4 passed, 1 failed, 1 not run, 1 for the owner to decide; only passed ones count" in str(mixed)
    page = (package.path / "docs/deployment_checklist.md").read_text()
    assert f"**{package.n_passed} of 16 passed.**" in page
    assert "counts as not passed" in page
    assert all(f"| {name} |".replace("_", "\\_") in page for name in ITEMS)


def test_limits_are_the_owners_or_defaults_that_say_so(copy: Inspection) -> None:
    items = {
        "model_size_acceptable": "max_size",
        "inference_time_acceptable": "max_predict_time",
        "memory_usage_acceptable": "max_memory",
    }
    by_default = with_probe(replace(copy, limits={}), copy.probe)
    tight = with_probe(replace(copy, limits={"max_size": 1, "max_predict_time": 1e-9, "max_memory": 1}), copy.probe)
    for name, limit in items.items():
        status, evidence = ITEMS[name](by_default)
        assert status == "pass"
        assert f"allowed by default: {DEFAULT_LIMITS[limit]:,}" in evidence
        assert f"({limit} in requirements sets another)" in evidence
        assert ITEMS[name](tight)[0] == "fail"


def test_beyond_a_default_the_owner_has_to_decide(copy: Inspection) -> None:
    (copy.folder / "model/model.onnx").write_bytes(b"\0" * (DEFAULT_LIMITS["max_size"] + 1))
    assert ITEMS["model_size_acceptable"](replace(copy, limits={}))[0] == "needs_owner"


def test_failing_tests_fail_what_rests_on_them(copy: Inspection) -> None:
    broken = with_probe(replace(copy, tests=TestRun(9, ("test_x",), 0, "", 1.0, 1)), copy.probe)
    assert failed(broken) == {"serialized_model_exists", "endpoint_defined"}


# Files of a copy, spoilt one by one; the service that was started is the good one


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def grow_the_graph(folder: Path) -> None:
    with (folder / "model/model.onnx").open("ab") as stream:
        stream.write(b"\0" * LIMITS["max_size"])


def add_a_panel_of_an_unknown_metric(folder: Path) -> None:
    path = folder / "monitoring/dashboard.json"
    board: dict[str, Any] = json.loads(path.read_text())
    board["panels"].append({"targets": [{"expr": "rate(model_made_up_total[5m])"}]})
    path.write_text(json.dumps(board))


def forget_the_search(folder: Path) -> None:
    path = folder / "docs/card.json"
    card: dict[str, Any] = json.loads(path.read_text())
    card["sections"]["how_it_was_made"]["search"]["source"] = "unfilled"
    path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("item", "spoil", "words"),
    [
        ("serialized_model_exists", remove("model/preprocessor.pkl"), "missing: ['preprocessor.pkl']"),
        ("model_size_acceptable", grow_the_graph, "allowed: 1,000,000 bytes"),
        ("alerting_rules_defined", rewrite("monitoring/alerts.yaml", "        for: 2m\n", ""), "['ModelServiceDown']"),
        ("alerting_rules_defined", rewrite("monitoring/alerts.yaml", "up{job", "model_made_up{job"), "model_made_up"),
        ("alerting_rules_defined", remove("monitoring/alerts.yaml"), "0 alerts"),
        ("dashboard_created", add_a_panel_of_an_unknown_metric, "['model_made_up_total']"),
        ("dashboard_created", remove("monitoring/dashboard.json"), "0 panels"),
        ("api_documentation_complete", remove("docs/api_guide.md"), "'/v1/model'"),
        ("model_card_created", remove("docs/model_card.md"), "fields filled"),
        ("training_procedure_documented", forget_the_search, "not recorded: ['search']"),
        (
            "troubleshooting_guide_available",
            rewrite("docs/troubleshooting.md", "### ModelOutliers", "### Outliers"),
            "links to nothing: ['modeloutliers']",
        ),
        ("troubleshooting_guide_available", remove("docs/troubleshooting.md"), "the way back is not told"),
    ],
)
def test_a_spoilt_file_fails_its_item(
    copy: Inspection, good: dict[str, str], item: str, spoil: Callable[[Path], None], words: str
) -> None:
    assert good[item] != "fail"
    spoil(copy.folder)
    status, evidence = ITEMS[item](copy)
    assert status == "fail"
    assert words in evidence


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    ("old", "new"), [("> on (instance) model_seconds", "> on (instance model_seconds"), ("> 0.01", "> 0.9")]
)
def test_rules_that_promtool_refuses_or_that_fail_their_tests(copy: Inspection, old: str, new: str) -> None:
    rewrite("monitoring/alerts.yaml", old, new)(copy.folder)
    status, evidence = ITEMS["alerting_rules_defined"](copy)
    assert status == "fail"
    assert "promtool" in evidence


def test_a_slow_and_large_model_is_measured_as_that(copy: Inspection) -> None:
    edge = copy.folder / "api/coerce.py"
    hog = '\n_HOG = b"x" * 2**28\n_read = coerce\n\n\ndef coerce(*cells):\n    import time\n    time.sleep(0.002)\n'
    edge.write_text(edge.read_text(encoding="utf-8") + hog + "    return _read(*cells)\n", encoding="utf-8")
    limits = {"max_predict_time": 0.002, "max_memory": copy.figures["memory"]["peak_bytes"] + 2**27}
    measured = with_probe(replace(copy, known=None, limits=limits), copy.probe)
    for item in ("inference_time_acceptable", "memory_usage_acceptable"):
        assert (
            ITEMS[item](with_probe(replace(copy, limits={**limits, "max_predict_time": 1.0}), copy.probe))[0] == "pass"
        )
        assert ITEMS[item](measured)[0] == "fail"


# The service itself, spoilt in six places and really started; then single answers


SPOILT = '''
import logging

from starlette.responses import Response


class Spoilt:
    """Lets strangers in, answers too many rows, breaks on missing columns, hides metrics and the model."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if scope.get("path") == "/metrics":
            return await Response("# nothing is counted")(scope, receive, send)
        if scope.get("path") == "/v1/model":
            return await Response("", 404)(scope, receive, send)

        async def spoil(message):
            if message["type"] == "http.response.start":
                stranger = headers.get(b"x-api-key") in (None, b"wrong")
                message["status"] = 200 if stranger else 500 if message["status"] == 413 else message["status"]
                kept = [pair for pair in message["headers"] if pair[0] != b"content-type"]
                message["headers"] = [*kept, (b"content-type", b"text/html")]
            await send(message)

        await self.app(scope, receive, spoil)


_sound = create_app


def create_app(root=ROOT):
    app = _sound(root)
    app.add_middleware(Spoilt)
    logging.getLogger().handlers[0].setFormatter(logging.Formatter("%(message)s"))
    return app
'''


@pytest.fixture(scope="module")
def spoilt_service(inspection: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = Path(shutil.copytree(inspection.folder, tmp_path_factory.mktemp("spoilt") / "package"))
    with (folder / "api/app.py").open("a", encoding="utf-8") as stream:
        stream.write(SPOILT)
    return replace(inspection, folder=folder, known=inspection.figures)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("endpoint_defined", "'model': 404"),
        ("input_validation_implemented", "'too many rows': 500"),
        ("error_handling_complete", "'missing column'"),
        ("authentication_configured", "'no key': 200, 'wrong key': 200"),
        ("logging_configured", "a line is no JSON"),
        ("metrics_collection_setup", "'http_requests_total'"),
    ],
)
def test_a_spoilt_service_fails_its_items(spoilt_service: Inspection, item: str, words: str) -> None:
    status, evidence = ITEMS[item](spoilt_service)
    assert status == "fail"
    assert words in evidence


def test_every_item_is_seen_to_fail() -> None:
    marks = [
        test_a_spoilt_file_fails_its_item.pytestmark[0],  # type: ignore[attr-defined]
        test_a_spoilt_service_fails_its_items.pytestmark[0],  # type: ignore[attr-defined]
    ]
    broken = {case[0] for mark in marks for case in mark.args[1]}
    assert broken | {"inference_time_acceptable", "memory_usage_acceptable"} == set(ITEMS)


@pytest.mark.parametrize(
    ("name", "answer", "item"),
    [
        ("no key", Response(200, "application/json", b"{}"), "authentication_configured"),
        ("metrics", Response(200, "text/plain", b"# TYPE nothing counter\n"), "metrics_collection_setup"),
        ("predict", Response(200, "application/json", b'{"predictions": [{"label": "no"}]}'), "endpoint_defined"),
        ("ready", Response(503, "application/problem+json", b"{}"), "endpoint_defined"),
        ("openapi", Response(200, "application/json", b'{"paths": {"/v1/secret": {}}}'), "api_documentation_complete"),
        ("guide", Response(422, "application/problem+json", b"{}"), "api_documentation_complete"),
    ],
)
def test_a_wrong_answer_fails_its_item(copy: Inspection, name: str, answer: Response, item: str) -> None:
    with_probe(copy, replace(copy.probe, answers={**copy.probe.answers, name: answer}))
    assert ITEMS[item](copy)[0] == "fail"


@pytest.mark.parametrize(
    ("answer", "item"),
    [
        (Response(500, "application/problem+json", b"{}"), "input_validation_implemented"),
        (Response(422, "application/json", b"{}"), "error_handling_complete"),
    ],
)
def test_a_wrong_refusal_fails_its_item(copy: Inspection, answer: Response, item: str) -> None:
    with_probe(copy, replace(copy.probe, bad={**copy.probe.bad, "nothing": answer}))
    assert ITEMS[item](copy)[0] == "fail"


def test_a_log_that_tells_cells_fails(copy: Inspection) -> None:
    line = json.dumps({"request_id": "checklist-1", "message": copy.probe.secret})
    with_probe(copy, replace(copy.probe, log=copy.probe.log + line + "\n"))
    assert failed(copy) == {"logging_configured"}


def test_a_start_without_keys_fails(copy: Inspection) -> None:
    with_probe(copy, replace(copy.probe, refused_without_keys=False))
    assert failed(copy) == {"authentication_configured"}


def test_the_packages_tests_are_really_run(copy: Inspection) -> None:
    (copy.folder / "tests/test_api.py").unlink()
    assert run_tests(copy.folder).ok
    (copy.folder / "tests/test_more.py").write_text("def test_import():\n    import sklearn\n")
    run = run_tests(copy.folder)
    assert not run.ok
    assert run.failed == ("test_import",)
    assert "the service must do without it" in run.output
    assert not list(copy.folder.rglob("__pycache__"))
