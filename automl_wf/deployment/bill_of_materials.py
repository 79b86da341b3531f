"""docs/model.cdx.json: the model, its files and what it needs, as a CycloneDX 1.6 bill of materials.

The machine-readable twin of the model card: the same figures, the same words of the owner, and nothing besides. It is a
pure function of the package's own files, so that `verify` makes it again and compares.

References
----------
CycloneDX bill of materials specification, ECMA-424 (1st edition, 2024).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from automl_wf.core.tasks import Task
from automl_wf.deployment.card import expected_score, plain
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.subject import installed_version

NAME = "docs/model.cdx.json"
#: Files of the model, beside the graph; nothing here may follow from the bill itself.
_FILES = ("model.onnx", "model.pkl", "preprocessor.pkl", "config.json", "metadata.json", "evidence.npz")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)
Json = dict[str, Any]


def list_materials(evidence: Evidence) -> Json:
    """The content of docs/model.cdx.json.

    Parameters
    ----------
    evidence : Evidence
        The package, with all files of model/ and the lists of requirements written.

    Returns
    -------
    dict
        A CycloneDX 1.6 document: the model with its model card, its files with their SHA-256, and the pinned Python
        packages ("required": the service needs it; "optional": only training or opening the pickles does).
    """
    facts, folder = evidence.facts, evidence.folder
    files = [_file(folder / "model" / name) for name in _FILES if (folder / "model" / name).is_file()]
    libraries = [*_libraries(folder, facts)]
    served = [library["bom-ref"] for library in libraries if library["scope"] == "required"]
    content: Json = plain(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, _sha256(folder / 'model/metadata.json'))}",
            "version": 1,
            "metadata": {
                "timestamp": facts["created"],
                "tools": {"components": [_tool(facts)]},
                "component": _model(facts, files),
            },
            "components": [*files, *libraries],
            "dependencies": [{"ref": "model", "dependsOn": [*(f["bom-ref"] for f in files), *served]}],
        }
    )
    return content


def _tool(facts: Mapping[str, Any]) -> Json:
    version = (facts["environment"].get("packages") or {}).get("automl-wf") or installed_version("automl-wf")
    return {"type": "application", "name": "automl-wf", **({"version": version} if version else {})}


def _model(facts: Mapping[str, Any], files: list[Json]) -> Json:
    info = facts["info"]
    component: Json = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": facts["name"],
        "version": facts["version"],
        "description": f"{facts['task']} model that predicts {facts['target']}",
        "modelCard": _model_card(facts),
    }
    graph = next((f for f in files if f["name"] == "model/model.onnx"), None)
    if graph is not None:
        component["hashes"] = graph["hashes"]
    if "licence" in info:
        component["licenses"] = [{"license": {"name": str(info["licence"])}}]
    if "owner" in info:
        component["manufacturer"] = {"name": str(info["owner"])}
    return component


def _model_card(facts: Mapping[str, Any]) -> Json:
    task, blend = Task(facts["task"]), facts["blend"]
    members = blend.get("members") or ()
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": task.value,
            "architectureFamily": str(blend.get("strategy", "")),
            "modelArchitecture": ", ".join(f"{m['model']} ({m['weight']:.4g})" for m in members),
            "datasets": [_dataset(facts)],
            "inputs": [{"format": f"{c['input_name']}: {c['kind']}"} for c in facts["columns"] if c["is_used"]],
            "outputs": [{"format": name} for name in _outputs(task)],
        },
        "quantitativeAnalysis": {"performanceMetrics": [*_metrics(facts)]},
        **_considerations(facts["info"]),
    }


def _outputs(task: Task) -> tuple[str, ...]:
    return ("label", "probabilities") if task.is_classification else ("prediction",)


def _dataset(facts: Mapping[str, Any]) -> Json:
    hashes = {**facts["problem"].get("fingerprint", {}), "in_order": facts["data"].get("fingerprint")}
    figures = {"rows": facts["n_rows"], "columns": len(facts["columns"])}
    figures |= {f"sha256 of {k.replace('_', ' ')}": v for k, v in hashes.items() if isinstance(v, str)}
    dataset: Json = {
        "type": "dataset",
        "name": "training data",
        "contents": {"properties": [{"name": name, "value": str(value)} for name, value in figures.items()]},
    }
    info = facts["info"]
    if "data_source" in info:
        dataset["description"] = str(info["data_source"])
    if "sensitive_columns" in info:
        dataset["sensitiveData"] = [str(info["sensitive_columns"])]
    return dataset


def _metrics(facts: Mapping[str, Any]) -> Iterator[Json]:
    """Every score of the card with its interval; the corrected one first, those of groups and slices last."""
    evaluation = facts["evaluation"]
    expected = expected_score(evaluation)
    if expected is not None and expected["is_corrected"]:
        yield _metric(expected["name"], expected, "new rows, corrected for the choice among many")
    for row in evaluation.get("scores") or ():
        yield _metric(row["name"], row, evaluation["on"])
        if row["baseline"] is not None:
            yield _metric(row["name"], {"value": row["baseline"]}, f"{evaluation['on']}, baseline")
    for column in (evaluation.get("groups") or {}).get("columns") or ():
        for group in column["groups"]:
            for metric in group["metrics"]:
                yield _metric(metric["name"], metric, f"{column['column']} = {group['name']}")
    found = evaluation.get("slices") or {}
    for row in found.get("rows") or ():
        yield _metric(found["loss"], {"value": row["loss"]}, row["where"])


def _metric(name: str, row: Mapping[str, Any], where: str) -> Json:
    metric: Json = {"type": name, "value": _text(row["value"]), "slice": where}
    if row.get("low") is not None and row.get("high") is not None:
        metric["confidenceInterval"] = {"lowerBound": _text(row["low"]), "upperBound": _text(row["high"])}
    return metric


def _text(value: Any) -> str:
    return "not defined on these rows" if value is None else repr(value)


def _considerations(info: Mapping[str, Any]) -> Json:
    """What the owner said, and nothing else: no consideration can be measured."""
    texts = {
        "users": ("users",),
        "useCases": ("objectives", "purpose"),
        "technicalLimitations": ("out_of_scope_uses",),
        "performanceTradeoffs": ("error_costs",),
    }
    said: Json = {
        key: [str(info[name]) for name in names if name in info]
        for key, names in texts.items()
        if any(name in info for name in names)
    }
    ethics = {"consent": "consent", "human_oversight": "human oversight", "sensitive_columns": "sensitive columns"}
    concerns = [
        {"name": label, "mitigationStrategy": str(info[name])} for name, label in ethics.items() if name in info
    ]
    said |= {"ethicalConsiderations": concerns} if concerns else {}
    return {"considerations": said} if said else {}


def _file(path: Path) -> Json:
    name = f"model/{path.name}"
    return {
        "type": "file",
        "bom-ref": name,
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": _sha256(path)}],
    }


def _libraries(folder: Path, facts: Mapping[str, Any]) -> Iterator[Json]:
    """Pinned Python packages, each once: those of the service first."""
    served = _pins(folder / "requirements.txt")
    trained = facts["environment"].get("packages") or {}
    for name, version in {**trained, **served}.items():
        purl = f"pkg:pypi/{name}@{version}"
        scope = "required" if served.get(name) == version else "optional"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope, "purl": purl}


def _pins(path: Path) -> dict[str, str]:
    return dict(_PIN.findall(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
