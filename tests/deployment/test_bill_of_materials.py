"""docs/model.cdx.json is valid CycloneDX 1.6, says what the card says, and follows from the package's own files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl_wf.deployment import Package, Subject, verify
from automl_wf.deployment.bill_of_materials import NAME, list_materials
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.manifest import write_manifest

HOSTILE = 'a|b "c" <script>\n\u202e🙂'
OF_NORTH = {"name": "accuracy", "label": "accuracy", "value": 0.75, "low": 0.5, "high": 1.0}
GROUPS = {"columns": [{"column": "place", "groups": [{"name": "north", "n": 30, "metrics": [OF_NORTH]}]}]}


@pytest.fixture(scope="module")
def bill(package: Package) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((package.path / NAME).read_text(encoding="utf-8"))
    return content


def with_facts(package: Package, **changes: Any) -> dict[str, Any]:
    """The bill of a package whose facts are others."""
    evidence = Evidence(package.path)
    evidence.__dict__["facts"] = {**evidence.facts, **changes}
    return list_materials(evidence)


def assert_valid(bill: dict[str, Any]) -> None:
    """Against the specification's own schema, formats and all."""
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib of the extra dev")
    schema = pytest.importorskip("cyclonedx.schema").SchemaVersion.V1_6
    error = validation.JsonStrictValidator(schema).validate_str(json.dumps(bill))
    assert error is None, error


def test_it_is_valid(bill: dict[str, Any], package: Package) -> None:
    assert_valid(bill)
    owner = {
        name: f"{name} {HOSTILE}"
        for name in (
            "owner", "licence", "users", "purpose", "objectives", "out_of_scope_uses", "error_costs", "consent",
            "human_oversight", "sensitive_columns", "data_source",
        )
    }  # fmt: skip
    evaluation = {**Evidence(package.path).facts["evaluation"], "groups": GROUPS}
    evaluation["scores"] = [{**evaluation["scores"][0], "value": None, "low": None, "high": None}]
    assert_valid(with_facts(package, info=owner, evaluation=evaluation, name=HOSTILE, target=HOSTILE))


def test_model_files_and_packages_are_listed_with_hashes(bill: dict[str, Any], package: Package) -> None:
    model = bill["metadata"]["component"]
    files = {c["name"]: c["hashes"][0]["content"] for c in bill["components"] if c["type"] == "file"}
    assert {"model/model.onnx", "model/model.pkl", "model/config.json"} <= set(files)
    for name, digest in files.items():
        assert hashlib.sha256((package.path / name).read_bytes()).hexdigest() == digest
    assert (model["type"], model["hashes"][0]["content"]) == ("machine-learning-model", files["model/model.onnx"])
    libraries = {c["name"]: c for c in bill["components"] if c["type"] == "library"}
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (package.path / "requirements.txt").read_text(), re.MULTILINE))
    assert {name: c["version"] for name, c in libraries.items() if c["scope"] == "required"} == pins
    assert libraries["onnxruntime"]["purl"] == f"pkg:pypi/onnxruntime@{pins['onnxruntime']}"
    assert libraries["scikit-learn"]["scope"] == "optional"
    (dependency,) = bill["dependencies"]
    assert set(dependency["dependsOn"]) <= {c["bom-ref"] for c in bill["components"]}


def test_scores_have_slices_and_intervals(bill: dict[str, Any], package: Package) -> None:
    metrics = bill["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    (accuracy,) = [m for m in metrics if (m["type"], m["slice"]) == ("accuracy", "out-of-fold predictions")]
    assert accuracy["value"] == "0.75"
    assert float(accuracy["confidenceInterval"]["lowerBound"]) < 0.75
    assert {"type": "accuracy", "value": "0.5", "slice": "out-of-fold predictions, baseline"} in metrics
    facts = Evidence(package.path).facts
    found = with_facts(package, evaluation={**facts["evaluation"], "groups": GROUPS})
    assert {
        "type": "accuracy", "value": "0.75", "slice": "place = north",
        "confidenceInterval": {"lowerBound": "0.5", "upperBound": "1.0"},
    } in found["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]  # fmt: skip


def test_considerations_are_the_owners_alone(bill: dict[str, Any], package: Package) -> None:
    assert "considerations" not in bill["metadata"]["component"]["modelCard"]
    found = with_facts(package, info={"users": "analysts", "purpose": "triage"})["metadata"]["component"]["modelCard"]
    assert found["considerations"] == {"users": ["analysts"], "useCases": ["triage"]}


def test_it_is_made_again_and_a_change_is_found(package: Package, tmp_path: Path) -> None:
    (check,) = [c for c in verify(package.path).checks if c.check == "bill"]
    assert (check.subject, check.status) == (NAME, "ok")
    copy = Path(shutil.copytree(package.path, tmp_path / "copy"))
    content = json.loads((copy / NAME).read_text())
    content["components"][0]["hashes"][0]["content"] = "0" * 64
    (copy / NAME).write_text(json.dumps(content))
    write_manifest(copy)
    (wrong,) = verify(copy).wrong
    assert wrong.subject == NAME
    assert "hashes" in wrong.reason


def test_without_a_graph_there_is_a_bill(make: Callable[..., Subject], tmp_path: Path) -> None:
    from automl_wf.deployment import deploy
    from automl_wf.exceptions import NotExportable

    def refuse() -> Any:
        raise NotExportable("KNN has no exact graph")

    path = deploy(replace(make(), to_onnx=refuse), tmp_path / "model_package").path
    bill = json.loads((path / NAME).read_text())
    assert "hashes" not in bill["metadata"]["component"]
    assert_valid(bill)
    assert (path / "docs/problem_statement.md").read_text().startswith("# Problem statement: plain model")
    assert verify(path).ok
