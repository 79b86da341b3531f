"""Writes a package: all of it, tested, or nothing."""

from __future__ import annotations

import ast
import json
import os
import pickle
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from automl_wf.core import coerce, drift
from automl_wf.core.row_sketch import RowSketch
from automl_wf.deployment import bill_of_materials, certificate
from automl_wf.deployment.alarm_limits import thresholds_of
from automl_wf.deployment.card import PAGES, build_card, facts_of, owner_info, plain
from automl_wf.deployment.checklist import Inspection, Item, run_checklist, run_tests, totals
from automl_wf.deployment.evidence import Evidence, count_nodes, describe_target, measure, positive, sizes
from automl_wf.deployment.manifest import MANIFEST, caches_of, compare, describe_file, files_of, write_manifest
from automl_wf.deployment.render import pretty, render, template_root
from automl_wf.deployment.report import write_report
from automl_wf.deployment.samples import Samples, make_samples
from automl_wf.deployment.sizing import sizing_of
from automl_wf.deployment.subject import Subject, installed_version
from automl_wf.exceptions import NotExportable, PackageError, PackageExists, WorkflowWarning

LIMITS = {"max_body_bytes": 1_048_576, "max_rows": 1000, "max_string_length": 1024}


@dataclass(frozen=True)
class Package:
    """A package that was written.

    Parameters
    ----------
    path : Path
        Its folder.
    checklist : tuple of Item
        The sixteen items, each measured.
    completeness : mapping of str to int
        Fields of the card: "fields", "filled", "measured", "by_owner", "missing".
    files : tuple of str
        Every file, relative to `path`.
    reason : str or None
        Why there is no graph and so no service; None: there is one.
    """

    path: Path
    checklist: tuple[Item, ...]
    completeness: Mapping[str, int]
    files: tuple[str, ...]
    reason: str | None = None

    @property
    def n_passed(self) -> int:
        """Items of the checklist that passed."""
        return sum(item.status == "pass" for item in self.checklist)

    def __str__(self) -> str:
        counts = totals(self.checklist)
        passed = (
            f"checklist: {self.n_passed} of {len(self.checklist)} passed, {counts['fail']} failed, "
            f"{counts['not_run']} not run, {counts['needs_owner']} for the owner to decide; only passed ones count"
        )
        open_items = [f"  {i.status:<11} {i.name}: {i.evidence}" for i in self.checklist if i.status != "pass"]
        c = self.completeness
        return "\n".join(
            [
                f"{self.path}: {len(self.files)} files",
                passed,
                *open_items,
                f"model card: {c['filled']} of {c['fields']} fields filled, {c['by_owner']} of them by owner",
            ]
        )


def deploy(
    subject: Subject,
    path: str | os.PathLike[str],
    *,
    info: Mapping[str, Any] | None = None,
    strict: bool = False,
    include_samples: bool = False,
) -> Package:
    """Write a package and run its tests before it is put in its place.

    Parameters
    ----------
    subject : Subject
        What is packaged.
    path : path-like
        Folder to write. An earlier package whose manifest still matches is replaced, an empty folder is filled.
    info : mapping, optional
        What only the owner can say: see `card.OWNER_FIELDS`.
    strict : bool, default=False
        Raise when there is no exact graph or when a test of the package fails, instead of saying so in the package.
    include_samples : bool, default=False
        Ship real training rows as test data instead of made-up ones, and show some in the report.

    Returns
    -------
    Package
        Where it is and what was found out about it.

    Raises
    ------
    PackageExists
        Something that `export` did not write is in the way; it stays as it was.
    NotExportable
        `strict`, and the fitted pipeline has no exact graph.
    PackageError
        Something cannot be pickled; or `strict`, and tests failed.
    """
    target = Path(os.path.abspath(path))
    said = owner_info(subject.info, info)
    check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _staging(target) as folder:
        samples = make_samples(subject, include_samples=include_samples)
        graph = _write_graph(subject, folder, strict)
        _write_model(subject, folder, samples)
        measured = _measure(subject, folder, samples, graph)
        if graph["exists"]:
            _write_service(subject, folder, measured)
        facts = facts_of(subject, said, graph, measured)
        card = _write_card(folder, facts)
        write_report(subject, folder / "docs/report.html", facts=facts, include_samples=include_samples)
        checklist = _inspect(subject, folder, graph, measured, strict)
        files = tuple(write_manifest(folder)["files"])
        _put_in_place(folder, target)
    return Package(target, checklist, card["completeness"], (*files, MANIFEST), graph["reason"])


def check_free(target: Path) -> None:
    """Raise PackageExists unless `target` is absent, empty, or a package as it was written."""
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise PackageExists(f"{target} is not a folder. Export to another path, or move what is there.")
    if not any(target.iterdir()):
        return
    differences = compare(target)
    if differences:
        what = "; ".join(f"{d.file} {d.reason}" for d in differences[:3])
        raise PackageExists(
            f"{target} is in the way, and is not a package as export wrote it: {what}. It was left as it was. "
            "Export to another path, or move what is there."
        )


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A new folder beside the target; gone afterwards unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # mkdtemp keeps others out; a package is read by whoever serves it
        folder.chmod(0o755)
        yield folder
    finally:
        if folder.is_dir():
            shutil.rmtree(folder)


def _put_in_place(folder: Path, target: Path) -> None:
    """Rename `folder` to `target`; a package there steps aside first and comes back if that fails."""
    check_free(target)
    if not target.is_dir():
        folder.rename(target)
        return
    if not any(target.iterdir()):
        target.rmdir()
        folder.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    aside = old / "package"
    target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        aside.rename(target)
        old.rmdir()
        raise
    _remove_package(aside)
    old.rmdir()


def _remove_package(folder: Path) -> None:
    """Remove a package file by file: what its manifest lists and the caches of its own Python files, nothing else."""
    for cache in caches_of(folder):
        shutil.rmtree(cache)
    for path in files_of(folder).values():
        path.unlink()
    for root, _, _ in os.walk(folder, topdown=False):
        os.rmdir(root)


def _write_graph(subject: Subject, folder: Path, strict: bool) -> dict[str, Any]:
    """model/model.onnx, if it is exact; facts of it or the reason why there is none."""
    (folder / "model").mkdir()
    try:
        model, parity = subject.to_onnx()
    except NotExportable as error:
        if strict:
            raise
        return {"exists": False, "reason": str(error), "parity": None, "n_nodes": None}
    (folder / "model/model.onnx").write_bytes(model.SerializeToString())
    return {"exists": True, "reason": None, "parity": dict(parity), "n_nodes": count_nodes(folder)}


def _write_model(subject: Subject, folder: Path, samples: Samples) -> None:
    for name, thing in (("model.pkl", subject.estimator), ("preprocessor.pkl", subject.preprocessor)):
        try:
            content = pickle.dumps(thing, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PackageError(
                f"{name} cannot be written: {error}. Define functions at the top of a module instead of as lambdas, "
                "and fit again."
            ) from error
        (folder / "model" / name).write_bytes(content)
    arrays: dict[str, Any] = {
        name: _storable(values) for name, values in subject.evidence.items() if values is not None
    }
    np.savez_compressed(folder / "model/evidence.npz", **arrays)
    data = folder / "tests/test_data"
    data.mkdir(parents=True)
    sent = {"rows": samples.rows, "n_hostile": samples.n_hostile, "are_synthetic": samples.are_synthetic}
    _write_json(data / "samples.json", sent)
    _write_json(data / "expected.json", {"predictions": samples.expected})
    graph = folder / "model/model.onnx"
    sha256 = describe_file(graph)["sha256"] if graph.is_file() else None
    _write_json(folder / "model/config.json", {**build_config(subject, samples), "model_sha256": sha256})


def build_config(subject: Subject, samples: Samples) -> dict[str, Any]:
    """The content of model/config.json: all that differs between two services."""
    schema = subject.schema
    keys = ("name", "kind", "edge", "cell_format", "is_used")
    columns = [
        {"input": c.input_name, **{key: getattr(c, key) for key in keys}, "example": _example(samples.rows, c.name)}
        for c in schema.columns
    ]
    is_classification = subject.task.is_classification
    scores = subject.evaluation.get("scores") or ()
    config: dict[str, Any] = plain(
        {
            "format": 1,
            "name": subject.name,
            "version": subject.version,
            "task": subject.task.value,
            "layout": schema.layout,
            "columns": columns,
            "tensor": "X" if schema.layout == "array" else None,
            "outputs": {n: n for n in (("label", "probabilities") if is_classification else ("prediction",))},
            "classes": subject.classes,
            "threshold": subject.threshold,
            "decision_costs": subject.decision_costs,
            "on_unknown": subject.on_unknown,
            "categories": subject.categories,
            "limits": {**LIMITS, **_time_limit(subject)},
            "rules": json.loads((template_root() / "edge_rules.json").read_text(encoding="utf-8")),
            "drift": subject.drift,
            "thresholds": thresholds_of(subject),
            "positive": subject.pos_index,
            "business": subject.problem.get("business"),
            "reference_metrics": {row["name"]: row["value"] for row in scores},
            "reference_errors": {row["name"]: _standard_error(row) for row in scores if row.get("low") is not None},
            "background": {"cells": {c.name: samples.background[c.name] for c in schema.columns if c.is_used}},
            "self_test": {"row": samples.rows[0], "expected": samples.expected[0]},
        }
    )
    return config


def _standard_error(score: Mapping[str, Any]) -> float:
    """Of a score with its 95 % interval."""
    return float(score["high"] - score["low"]) / (2 * NormalDist().inv_cdf(0.975))


def _example(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """A cell that is not missing, if there is one."""
    return next((row[name] for row in rows if row[name] is not None), None)


def _write_edge(folder: Path) -> None:
    """The two files that training and service share, byte for byte."""
    (folder / "api").mkdir()
    for module in (coerce, drift):
        source = Path(str(module.__file__))
        (folder / "api" / source.name).write_bytes(source.read_bytes())


def _time_limit(subject: Subject) -> dict[str, float]:
    """What the package's own performance test holds the model to."""
    limit = subject.limits.get("max_predict_time")
    return {} if limit is None else {"max_seconds_per_row": float(limit)}


def _write_service(subject: Subject, folder: Path, measured: Mapping[str, Any]) -> None:
    """The tree of templates/package: files as they are first, then the pages that say what these need."""
    root = template_root() / "package"
    sources = [s for s in sorted(root.rglob("*")) if s.is_file() and "__pycache__" not in s.parts]
    for source in (s for s in sources if s.suffix != ".jinja"):
        copy = folder / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    latency = measured["latency"]
    context = {
        "config": json.loads((folder / "model/config.json").read_text(encoding="utf-8")),
        "facts": {
            "name": subject.name,
            "version": subject.version,
            "created": subject.created,
            "python": platform.python_version(),
            "sizes": {"model_onnx_bytes": measured["sizes"]["model.onnx"]},
            "latency": {
                "one_row_ms": latency["one_row_p50_s"] * 1e3,
                "thousand_rows_ms": latency["thousand_rows_s"] * 1e3,
            },
            "sizing": sizing_of(measured, subject.version),
            "has_intervals": bool(_outputs_of(folder) & {"lower", "in_set"}),
        },
        "serving_requirements": _pins([*_imported(folder), "uvicorn", "httptools", "uvloop", "onnxruntime", "numpy"]),
        "testing_requirements": _pins(["pytest"]),
        "training_requirements": list((subject.environment.get("packages") or {}).items()),
    }
    for source in (s for s in sources if s.suffix == ".jinja"):
        page = folder / source.relative_to(root).with_suffix("")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render(f"package/{source.relative_to(root).as_posix()}", context), encoding="utf-8")


def _outputs_of(folder: Path) -> set[str]:
    """Names of what the graph gives."""
    import onnx

    graph = onnx.load(str(folder / "model/model.onnx"), load_external_data=False).graph
    return {value.name for value in graph.output}


def _imported(folder: Path) -> set[str]:
    """Distributions that the service's Python files import."""
    roots: set[str] = set()
    for source in [*folder.glob("api/*.py"), *folder.glob("monitoring/*.py")]:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.partition(".")[0])
    owners = metadata.packages_distributions()
    own = {path.name for path in folder.iterdir()} | {path.stem for path in folder.glob("api/*.py")}
    foreign = roots - own - sys.stdlib_module_names
    return {name for root in foreign for name in owners.get(root, [])[:1]}


def _pins(distributions: list[str]) -> list[tuple[str, str]]:
    """Name and version of what is installed, each once."""
    names = {name.lower().replace("_", "-") for name in distributions}
    return [(name, version) for name in sorted(names) if (version := installed_version(name)) is not None]


def _measure(subject: Subject, folder: Path, samples: Samples, graph: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that only the written files can give."""
    measured: dict[str, Any] = {
        "samples": {"n_rows": len(samples.rows), "are_synthetic": samples.are_synthetic},
        "sizes": sizes(folder),
    }
    if graph["exists"]:
        _write_edge(folder)
        measured |= measure(folder)
    evidence = Evidence(folder)
    rows, sketch = evidence.scored, RowSketch.from_arrays(evidence.arrays, subject.seed or 0)
    measured["row_hashes"] = None if sketch is None else sketch.to_dict()
    measured["n_scored"], measured["n_folds"] = len(rows["y"]), len(np.unique(rows["fold"]))
    measured["target"] = describe_target(rows["y"], subject.task, subject.classes)
    if "blend_weights" in subject.evidence:
        measured["weights"] = positive(subject.evidence["blend_weights"])
    return measured


def _write_card(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """metadata.json, validation.json, card.json and the pages made from it, model.cdx.json: each from those before."""
    _write_json(folder / "model/metadata.json", facts)
    _write_json(folder / certificate.NAME, certificate.certify(Evidence(folder)))
    card = build_card(facts)
    (folder / "docs").mkdir(exist_ok=True)
    _write_json(folder / "docs/card.json", card)
    for name, page in PAGES.items():
        (folder / name).write_text(page(card), encoding="utf-8")
    _write_json(folder / bill_of_materials.NAME, bill_of_materials.list_materials(Evidence(folder)))
    return card


def _inspect(
    subject: Subject, folder: Path, graph: Mapping[str, Any], measured: Mapping[str, Any], strict: bool
) -> tuple[Item, ...]:
    """Run the package's tests and the checklist; write deployment_checklist.json and its page."""
    tests = run_tests(folder) if graph["exists"] else None
    if tests is not None and not tests.ok:
        message = f"Tests of the package failed:\n{tests.output[-3000:]}"
        if strict:
            raise PackageError(message)
        warnings.warn(message, WorkflowWarning, stacklevel=4)
    items = run_checklist(Inspection(folder, tests, dict(subject.limits), measured))
    facts = {"format": 1, "totals": totals(items), "items": [item.to_dict() for item in items]}
    _write_json(folder / "deployment_checklist.json", facts)
    page = render("deployment_checklist.md.jinja", {**facts, "name": subject.name, "version": subject.version})
    (folder / "docs/deployment_checklist.md").write_text(page, encoding="utf-8")
    return items


def _storable(values: Any) -> np.ndarray[Any, Any]:
    """An array that can be read without pickle."""
    array = np.asarray(values)
    return array.astype(str) if array.dtype == object else array


def _write_json(path: Path, content: Any) -> None:
    path.write_text(pretty(plain(content)) + "\n", encoding="utf-8")
