"""Sixteen items, each measured: spoil one thing and its item fails, and no other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl_wf.deployment import Package
from automl_wf.deployment.checklist import CHECKLIST, Inspection, Probe, Response, TestRun, run_checklist, run_tests

PASSED = TestRun(10, (), 0, "", 1.0, 0)
LIMITS = {"max_size": 10**6, "max_predict_time": 1.0, "max_memory": 10**10}


@pytest.fixture(scope="module")
def inspection(package: Package) -> Inspection:
    inspection = Inspection(package.path, PASSED, LIMITS)
    assert inspection.probe.answers["health"].status == 200
    return inspection


@pytest.fixture
def copy(inspection: Inspection, tmp_path: Path) -> Inspection:
    """The same package elsewhere, with the answers of the service that was started already."""
    return with_probe(
        replace(inspection, folder=Path(shutil.copytree(inspection.folder, tmp_path / "copy"))), inspection.probe
    )


def with_probe(inspection: Inspection, probe: Probe) -> Inspection:
    inspection.__dict__["probe"] = probe
    return inspection


def statuses(inspection: Inspection) -> dict[str, str]:
    return {item.name: item.status for item in run_checklist(inspection)}


def failed(inspection: Inspection) -> set[str]:
    return {name for name, status in statuses(inspection).items() if status == "fail"}


def test_the_seeds_sixteen_items(package: Package) -> None:
    assert [len(items) for items in CHECKLIST.values()] == [4, 4, 4, 4]
    written = json.loads((package.path / "deployment_checklist.json").read_text())["items"]
    assert [i["name"] for i in written] == [name for items in CHECKLIST.values() for name in items]
    assert all(i["evidence"] for i in written)


def test_a_good_package_fails_nothing(inspection: Inspection) -> None:
    assert failed(inspection) == set()
    result = statuses(inspection)
    assert sum(status == "pass" for status in result.values()) >= 15
    assert result["alerting_rules_defined"] in ("pass", "not_run")


def test_limits_decide_and_are_the_owners(copy: Inspection) -> None:
    items = ("model_size_acceptable", "inference_time_acceptable", "memory_usage_acceptable")
    nothing_said = with_probe(replace(copy, limits={}), copy.probe)
    assert [statuses(nothing_said)[name] for name in items] == ["needs_owner"] * 3
    tight = with_probe(replace(copy, limits={"max_size": 1, "max_predict_time": 1e-9, "max_memory": 1}), copy.probe)
    assert failed(tight) == set(items)


def test_failing_tests_fail_what_rests_on_them(copy: Inspection) -> None:
    broken = with_probe(replace(copy, tests=TestRun(9, ("test_x",), 0, "", 1.0, 1)), copy.probe)
    assert failed(broken) == {"serialized_model_exists", "endpoint_defined"}


@pytest.mark.parametrize(
    ("name", "answer", "item"),
    [
        ("no key", Response(200, "application/json", b"{}"), "authentication_configured"),
        ("metrics", Response(200, "text/plain", b"# TYPE nothing counter\n"), "metrics_collection_setup"),
        ("predict", Response(200, "application/json", b'{"predictions": [{"label": "no"}]}'), "endpoint_defined"),
        ("openapi", Response(200, "application/json", b'{"paths": {"/v1/secret": {}}}'), "api_documentation_complete"),
    ],
)
def test_a_wrong_answer_fails_its_item(copy: Inspection, name: str, answer: Response, item: str) -> None:
    with_probe(copy, replace(copy.probe, answers={**copy.probe.answers, name: answer}))
    assert item in failed(copy)


@pytest.mark.parametrize(
    ("answer", "item"),
    [
        (Response(500, "application/problem+json", b"{}"), "input_validation_implemented"),
        (Response(422, "application/json", b"{}"), "error_handling_complete"),
    ],
)
def test_a_wrong_refusal_fails_its_item(copy: Inspection, answer: Response, item: str) -> None:
    with_probe(copy, replace(copy.probe, bad={**copy.probe.bad, "nothing": answer}))
    assert item in failed(copy)


def test_a_log_that_tells_cells_fails(copy: Inspection) -> None:
    line = json.dumps({"request_id": "checklist-1", "message": copy.probe.secret})
    with_probe(copy, replace(copy.probe, log=copy.probe.log + line + "\n"))
    assert failed(copy) == {"logging_configured"}
    with_probe(copy, replace(copy.probe, log="plain text\n"))
    assert failed(copy) == {"logging_configured"}


def test_a_start_without_keys_fails(copy: Inspection) -> None:
    with_probe(copy, replace(copy.probe, refused_without_keys=False))
    assert failed(copy) == {"authentication_configured"}


@pytest.mark.parametrize(
    ("file", "item"),
    [
        ("docs/model_card.md", "model_card_created"),
        ("docs/api_guide.md", "api_documentation_complete"),
        ("monitoring/dashboard.json", "dashboard_created"),
        ("monitoring/alerts.yaml", "alerting_rules_defined"),
        ("docs/card.json", "training_procedure_documented"),
    ],
)
def test_a_missing_file_fails_its_item(copy: Inspection, file: str, item: str) -> None:
    (copy.folder / file).unlink()
    assert item in failed(copy)


def test_a_panel_of_an_unknown_metric_fails(copy: Inspection) -> None:
    path = copy.folder / "monitoring/dashboard.json"
    board: dict[str, Any] = json.loads(path.read_text())
    board["panels"].append({"targets": [{"expr": "rate(model_made_up_total[5m])"}]})
    path.write_text(json.dumps(board))
    assert failed(copy) == {"dashboard_created"}


def test_the_packages_tests_are_really_run(copy: Inspection) -> None:
    (copy.folder / "tests/test_api.py").unlink()
    assert run_tests(copy.folder).ok
    (copy.folder / "tests/test_more.py").write_text("def test_import():\n    import sklearn\n")
    run = run_tests(copy.folder)
    assert not run.ok
    assert run.failed == ("test_import",)
    assert "the service must do without it" in run.output
    assert not list(copy.folder.rglob("__pycache__"))
