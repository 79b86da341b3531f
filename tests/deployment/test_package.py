"""A package is whole, made of static code, and in nobody's way."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.core import coerce, drift
from automl_wf.core.frame import learn_schema
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.metrics import resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.deployment import Package, Subject, deploy, load, verify
from automl_wf.deployment import package as writing
from automl_wf.deployment.checklist import TestRun, guarded_environment
from automl_wf.deployment.manifest import compare, files_of, read_manifest
from automl_wf.deployment.package import check_free
from automl_wf.deployment.registry import Registry
from automl_wf.deployment.samples import make_samples, rows_to_input, to_json
from automl_wf.evaluation import evaluate
from automl_wf.evaluation.reference import drift_reference
from automl_wf.exceptions import MissingColumns, NotExportable, PackageError, PackageExists, WorkflowWarning

HOSTILE = 'x\'"{{ 7*7 }}<b>|`;\n DROP TABLE y; -- {"a": 1} 🙂'
PROMETHEUS = "monitoring/prometheus.yml"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that the package's own tests and service take."""
    monkeypatch.setattr(writing, "run_tests", lambda folder: TestRun(1, (), 0, "", 0.0, 0))
    monkeypatch.setattr(writing, "run_checklist", lambda inspection: ())


def snapshot(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_tree_and_manifest(package: Package) -> None:
    expected = {
        "model/model.onnx", "model/model.pkl", "model/preprocessor.pkl", "model/config.json", "model/metadata.json",
        "model/evidence.npz", "api/coerce.py", "api/drift.py", "docs/model_card.md", "docs/card.json",
        "tests/test_data/samples.json", "tests/test_data/expected.json", "requirements.txt", "requirements-train.txt",
        "deployment_checklist.json", "validation.json", "MANIFEST.json",
    }  # fmt: skip
    assert expected <= set(package.files)
    assert set(package.files) == set(files_of(package.path))
    listed = read_manifest(package.path)
    assert listed is not None
    assert all(listed[n]["bytes"] == (package.path / n).stat().st_size for n in listed)
    assert compare(package.path) == []
    assert [p.name for p in package.path.parent.iterdir()] == ["model_package"]


def test_the_edge_is_copied_verbatim(package: Package) -> None:
    for module in (coerce, drift):
        source = Path(str(module.__file__))
        assert (package.path / "api" / source.name).read_bytes() == source.read_bytes()


def test_requirements_pin_what_serving_imports(package: Package) -> None:
    lines = (package.path / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert {"fastapi", "httptools", "msgspec", "numpy", "onnxruntime", "prometheus-client", "uvicorn"} <= names
    assert ("uvloop" in names) == (sys.platform != "win32")
    assert not names & {"scikit-learn", "pandas", "automl-wf", "onnx", "pytest"}
    assert all("==" in line for line in lines)


def test_hostile_names_pass_the_packages_own_tests(
    make: Callable[..., Subject], tmp_path: Path, package: Package
) -> None:
    subject = make(number=HOSTILE, text="label", name=HOSTILE)
    wild = deploy(subject, tmp_path / "wild")
    failed = [i for i in wild.checklist if i.status == "fail"]
    assert failed == []
    for name in wild.files:
        if name.endswith((".py", ".yaml", ".yml", "Dockerfile", "dashboard.json")):
            assert (wild.path / name).read_bytes() == (package.path / name).read_bytes(), name
    model = load(wild.path)
    rows = subject.reference.head()
    np.testing.assert_allclose(model.predict_proba(rows), subject.predict(rows)["probabilities"], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("quick")
def test_the_graph_is_bound_to_its_configuration_and_files_can_be_checked(package: Package, tmp_path: Path) -> None:
    config = json.loads((package.path / "model/config.json").read_text())
    listed = read_manifest(package.path)
    assert listed is not None
    assert config["model_sha256"] == listed["model/model.onnx"]["sha256"]
    copy = Path(shutil.copytree(package.path, tmp_path / "copy"))
    (copy / ".venv").mkdir()
    (copy / ".venv/more").write_text("is nobody's business")

    def check() -> tuple[int, str]:
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys; sys.path.insert(0, '.'); from api.check import main; main()",
        ]
        ended = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        return ended.returncode, ended.stdout + ended.stderr

    assert check() == (0, "Every file of MANIFEST.json is as it was exported.\n")
    edit_settings(copy)
    status, said = check()
    assert status == 0
    assert [line.split()[8] for line in said.splitlines()[:-1]] == ["compose.yaml", "deploy/resources.json", PROMETHEUS]
    assert said.splitlines()[-1].startswith("Every other file")
    with (copy / "model/model.onnx").open("ab") as stream:
        stream.write(b"x")
    (copy / "docs/report.html").unlink()
    (copy / "monitoring/prometheus.yml").write_text("# mine\n")
    status, said = check()
    assert status == 1
    assert "model/model.onnx has other bytes" in said
    assert "docs/report.html cannot be read" in said
    (copy / "MANIFEST.json").write_text("[]")
    assert check()[0] == 1


def edit_settings(folder: Path) -> None:
    """What the pages of a package tell its operator to do in its folder."""
    (folder / PROMETHEUS).write_text((folder / PROMETHEUS).read_text().replace("service:8000", "127.0.0.1:8000"))
    (folder / "deploy/resources.json").write_text("{}")
    (folder / "deploy/overlay.yaml").write_text("mine: 1")
    (folder / "compose.yaml").unlink()
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    (folder / ".env").write_text("MODEL_API_KEY_HASHES=")


def test_what_an_operator_may_edit_is_told_and_hinders_nothing(package: Package, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(package.path, tmp_path / "copy"))
    edit_settings(copy)
    edited = [c.subject for c in verify(copy).checks if c.status == "edited"]
    assert edited == [".env", ".venv", "compose.yaml", "deploy/overlay.yaml", "deploy/resources.json", PROMETHEUS]
    assert verify(copy).ok
    assert len(load(copy).predict(pd.DataFrame({"x": [1.0], "place": ["North"]}))) == 1
    registry = Registry(tmp_path / "registry")
    assert registry.promote(copy).version == "v1"
    assert not [name for name in (".venv", ".env") if (registry.path() / name).exists()]
    assert "127.0.0.1:8000" in (registry.path() / PROMETHEUS).read_text()
    # Replacing it would cost somebody's work
    with pytest.raises(PackageExists, match="is in the way"):
        check_free(copy)
    for name in ("model/config.json", "api/app.py", "monitoring/metrics.py", "requirements.txt", "docs/deployment.md"):
        broken = Path(shutil.copytree(package.path, tmp_path / name.replace("/", "-")))
        (broken / name).write_text((broken / name).read_text() + "\n")
        with pytest.raises(PackageError, match=f"{name} has other bytes"):
            registry.promote(broken, force="I know better")
    # A manifest may not free more than that
    manifest = json.loads((copy / "MANIFEST.json").read_text())
    (copy / "MANIFEST.json").write_text(json.dumps({**manifest, "editable": [*manifest["editable"], "*"]}))
    (copy / "api/app.py").write_text("")
    assert [c.subject for c in verify(copy).wrong if c.check == "manifest"] == ["api/app.py"]


def test_tests_have_requirements_of_their_own(package: Package) -> None:
    lines = (package.path / "requirements-test.txt").read_text().splitlines()
    assert "-r requirements.txt" in lines
    assert any(line.startswith("pytest==") for line in lines)


def test_export_twice_replaces(subject: Subject, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "package"
    deploy(subject, target)
    (target / "api/__pycache__").mkdir()
    (target / "api/__pycache__/coerce.cpython-311.pyc").write_bytes(b"cache")
    deploy(subject, target, info={"owner": "Ada"})
    assert '"by owner"' in (target / "docs/card.json").read_text()
    assert [p.name for p in target.parent.iterdir()] == ["package"]
    assert not (target / "api/__pycache__").exists()


@pytest.mark.usefixtures("quick")
def test_an_empty_folder_is_filled(subject: Subject, tmp_path: Path) -> None:
    assert deploy(subject, tmp_path).path == tmp_path
    assert compare(tmp_path) == []


def strange_folder(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")


def strange_file(target: Path) -> None:
    target.write_text("years of work")


def strange_link(target: Path) -> None:
    elsewhere = target.with_name("elsewhere")
    elsewhere.mkdir()
    target.symlink_to(elsewhere)


@pytest.mark.parametrize("put", [strange_folder, strange_file, strange_link])
def test_strangers_stay_as_they_are(subject: Subject, tmp_path: Path, put: Callable[[Path], None]) -> None:
    target = tmp_path / "here"
    put(target)
    before = snapshot(tmp_path)
    with pytest.raises(PackageExists, match="here"):
        deploy(subject, target)
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", ["changed", "added", "linked"])
def test_a_package_somebody_changed_is_a_stranger(subject: Subject, tmp_path: Path, change: str) -> None:
    target = tmp_path / "package"
    deploy(subject, target)
    if change == "changed":
        (target / "docs/model_card.md").write_text("my notes")
    elif change == "added":
        (target / "notes.txt").write_text("my notes")
    else:
        (target / "link").symlink_to(tmp_path)
    before = snapshot(target)
    with pytest.raises(PackageExists):
        deploy(subject, target)
    assert snapshot(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["package"]


def test_a_failure_leaves_nothing(make: Callable[..., Subject], tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"model\.pkl cannot be written"):
        deploy(make(estimator=lambda: None), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_failure_of_the_last_step_brings_the_old_package_back(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "package"
    deploy(subject, target)
    before = snapshot(target)
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if self.name.startswith(".package-") and Path(to) == target:
            raise OSError("disk full")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="disk full"):
        deploy(subject, target)
    assert snapshot(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["package"]


def no_graph() -> Any:
    raise NotExportable("KNN has no exact graph")


def test_without_graph_there_is_no_service(make: Callable[..., Subject], tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match="KNN"):
        deploy(make(to_onnx=no_graph), tmp_path / "strict", strict=True)
    package = deploy(make(to_onnx=no_graph), tmp_path / "package")
    assert package.reason == "KNN has no exact graph"
    assert not [f for f in package.files if f.startswith(("api/", "monitoring/")) or f.endswith(".onnx")]
    items = {i.name: i for i in package.checklist}
    assert items["serialized_model_exists"].status == "fail"
    assert "KNN" in items["serialized_model_exists"].evidence
    assert items["endpoint_defined"].status == "not_run"
    assert "KNN has no exact graph" in (package.path / "docs/model_card.md").read_text()
    with pytest.raises(PackageError, match="KNN"):
        load(package.path)
    assert load(package.path, trained=True) == {"kind": "logistic"}


def test_failing_tests_warn_and_are_an_error_if_strict(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "run_tests", lambda folder: TestRun(3, ("test_x",), 0, "E  assert 1 == 2", 0.0, 1))
    monkeypatch.setattr(writing, "run_checklist", lambda inspection: ())
    with pytest.warns(WorkflowWarning, match="assert 1 == 2"):
        deploy(subject, tmp_path / "package")
    with pytest.raises(PackageError, match="assert 1 == 2"):
        deploy(subject, tmp_path / "strict", strict=True)


def test_sample_rows_are_made_up_unless_wanted(subject: Subject) -> None:
    real = {tuple(row) for row in subject.reference.astype(object).where(subject.reference.notna(), None).to_numpy()}
    made, shipped = make_samples(subject, include_samples=False), make_samples(subject, include_samples=True)
    ordinary = made.rows[: len(made.rows) - made.n_hostile]
    assert not {row["x"] for row in ordinary} & set(subject.reference["x"])
    assert {row["place"] for row in ordinary} <= {"North", "South", None}
    assert all((row["x"], row["place"]) in real for row in shipped.rows[: len(shipped.rows) - shipped.n_hostile])
    assert json.loads(json.dumps(made.rows)) == made.rows


def test_sample_answers_are_the_estimators(subject: Subject) -> None:
    samples = make_samples(subject, include_samples=False)
    answers = subject.predict(rows_to_input(subject, samples.rows))
    assert samples.expected[0] == {
        "label": answers["label"][0],
        "probabilities": dict(zip(["no", "yes"], answers["probabilities"][0], strict=True)),
    }


def test_no_unknown_category_is_sent_where_it_would_be_refused(make: Callable[..., Subject]) -> None:
    rows = make_samples(make(on_unknown="raise"), include_samples=False).rows
    assert {row["place"] for row in rows} <= {"North", "South", None}


def test_loaded_model(package: Package, subject: Subject) -> None:
    model = load(package.path)
    rows = subject.reference
    expected = subject.predict(rows)
    assert model.predict(rows).tolist() == expected["label"].tolist()
    np.testing.assert_allclose(model.predict_proba(rows), expected["probabilities"], rtol=0, atol=1e-12)
    shuffled = rows.assign(more=1)[["more", "place", "x"]]
    assert model.predict(shuffled).tolist() == expected["label"].tolist()
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    assert model.predict(records).tolist() == expected["label"].tolist()
    with pytest.raises(MissingColumns, match="place"):
        model.predict(rows[["x"]])
    with pytest.raises(PackageError, match="no intervals"):
        model.predict_interval(rows)


def test_loading_needs_no_pickle_and_checks_bytes(package: Package, tmp_path: Path) -> None:
    copy = shutil.copytree(package.path, tmp_path / "copy")
    (copy / "model/model.pkl").write_bytes(pickle.dumps({"kind": "other"}))
    with pytest.raises(PackageError, match=r"model/model\.pkl has other bytes"):
        load(copy)
    with pytest.raises(PackageError, match=r"model/model\.pkl has other bytes"):
        load(copy, trained=True)


def test_the_guard_refuses_what_trained(package: Package) -> None:
    for code in (
        "import sklearn",
        "import automl_wf",
        f"import pickle; pickle.load(open({os.fspath(package.path)!r} + '/x', 'rb'))",
    ):
        done = subprocess.run([sys.executable, "-c", code], env=guarded_environment(), capture_output=True, text=True)
        assert done.returncode == 1
    code = "import pickle, collections; pickle.loads(pickle.dumps(collections.OrderedDict()))"
    done = subprocess.run([sys.executable, "-c", code], env=guarded_environment(), capture_output=True, text=True)
    assert "a pickle was opened" in done.stderr


def test_cells_as_a_client_sends_them() -> None:
    assert to_json(pd.Timestamp("2024-02-29 12:00", tz="UTC")) == "2024-02-29T12:00:00+00:00"
    assert to_json(np.float64("inf")) is None
    assert to_json(pd.Timedelta("1h")) == 3600.0
    assert to_json(np.bool_(True)) is True
    assert to_json(pd.NaT) is None


def sum_graph() -> Any:
    b = GraphBuilder()
    x = b.input("X", "double", 2)
    b.output(b.op("ReduceSum", x, b.constant([1], np.int64), keepdims=0), "prediction", "double", [None])
    return b.model(), {"n_rows": 30}


def test_an_array_in_and_values_out(make: Callable[..., Subject], tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    schema, _, _ = learn_schema(X)
    y, prediction = X.sum(axis=1), X.sum(axis=1) + 1
    evaluation = evaluate(
        task=Task.REGRESSION,
        scoring=resolve_scoring(None, Task.REGRESSION),
        y=y,
        prediction=prediction,
        n_bootstraps=20,
    )
    subject = make(
        task=Task.REGRESSION,
        classes=None,
        schema=schema,
        to_onnx=sum_graph,
        predict=lambda rows: {"prediction": rows.sum(axis=1)},
        reference=X,
        problem={"scoring": "neg_root_mean_squared_error"},
        evidence={"y": y, "prediction": prediction, "fold": np.arange(30) % 3},
        evaluation=evaluation.to_dict(),
        drift=drift_reference(learn_schema(X)[1], prediction, Task.REGRESSION, None),
        categories={},
        data={"folds": "3 folds"},
    )
    package = deploy(subject, tmp_path / "package")
    assert [i for i in package.checklist if i.status == "fail"] == []
    np.testing.assert_allclose(load(package.path).predict(X), y, rtol=0, atol=1e-12)
    with pytest.raises(PackageError, match="no probabilities"):
        load(package.path).predict_proba(X)
    report = verify(package.path)
    assert report.ok, str(report)
    scores = {
        row["name"]: row["value"]
        for row in json.loads((package.path / "docs/card.json").read_text())["sections"]["quantitative_analyses"][
            "scores"
        ]["value"]
    }
    assert scores["rmse"] == pytest.approx(1.0, abs=1e-12)
