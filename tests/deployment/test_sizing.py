"""Sizes of a container, by hand, and what the manifests of Kubernetes make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl_wf.deployment import Package
from automl_wf.deployment.sizing import sizing_of

MEASURED = {
    "latency": {"one_row_p50_s": 0.0005, "one_row_p95_s": 0.001, "thousand_rows_s": 0.02},
    "memory": {"peak_bytes": 130 * 2**20},
}


def test_sizes_follow_from_what_was_measured() -> None:
    assert sizing_of(MEASURED, "2024.1+build 7") == {
        "cpu": "1",
        "memory_request": "256Mi",  # 130 + 64, in steps of 64
        "memory_limit": "512Mi",
        "peak_mib": 130,
        "rows_per_s": 50_000,
        "requests_per_s": 2000,
        "image_tag": "2024.1-build-7",
    }
    unknown = sizing_of({**MEASURED, "memory": {"peak_bytes": None}}, "...")
    assert (unknown["memory_limit"], unknown["peak_mib"], unknown["image_tag"]) == ("1024Mi", None, "unnamed")


def manifests(folder: Path) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted((folder / "deploy").iterdir())}


def test_manifests_belong_together(package: Package) -> None:
    made = manifests(package.path)
    listed = made["kustomization.yaml"]
    assert {*listed["resources"], *(p["path"] for p in listed["patches"])} | {
        "kustomization.yaml",
        "servicemonitor.yaml",
    } == set(made)
    pod = made["deployment.yaml"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selected = [
        made["deployment.yaml"]["spec"]["selector"]["matchLabels"],
        made["service.yaml"]["spec"]["selector"],
        made["disruption.yaml"]["spec"]["selector"]["matchLabels"],
        made["network.yaml"]["spec"]["podSelector"]["matchLabels"],
        made["servicemonitor.yaml"]["spec"]["selector"]["matchLabels"],
    ]
    assert selected == [labels] * 5
    assert made["autoscaler.yaml"]["spec"]["scaleTargetRef"]["name"] == made["deployment.yaml"]["metadata"]["name"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert made["service.yaml"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert (
        made["servicemonitor.yaml"]["spec"]["endpoints"][0]["port"] == made["service.yaml"]["spec"]["ports"][0]["name"]
    )


def test_pods_may_do_no_more_than_they_must(package: Package) -> None:
    made = manifests(package.path)
    spec = made["deployment.yaml"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert made["network.yaml"]["spec"]["egress"] == []
    user = next(line for line in (package.path / "Dockerfile").read_text().splitlines() if line.startswith("USER"))
    assert user.split()[1] == str(spec["securityContext"]["runAsUser"])
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_the_patch_holds_what_was_measured_here(package: Package) -> None:
    made = manifests(package.path)
    patch, base = made["resources.json"], made["deployment.yaml"]
    assert (patch["kind"], patch["metadata"]["name"]) == (base["kind"], base["metadata"]["name"])
    (changed,) = patch["spec"]["template"]["spec"]["containers"]
    (container,) = base["spec"]["template"]["spec"]["containers"]
    assert changed["name"] == container["name"]
    assert changed["image"].partition(":")[0] == container["image"]
    facts = json.loads((package.path / "model/metadata.json").read_text())
    expected = sizing_of(facts["measured"], facts["version"])
    assert changed["resources"]["limits"] == {"cpu": "1", "memory": expected["memory_limit"]}
    page = (package.path / "docs/deployment.md").read_text()
    assert f"{expected['memory_limit']} as its limit" in page
    assert f"{expected['peak_mib']} MiB" in page
