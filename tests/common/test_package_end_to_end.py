"""From a raw table to a package that proves itself: exported, tested, loaded, and every kind of tampering found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import automl_wf
from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.exceptions import PackageError, PackageExists

TREE = (
    "model/model.onnx",
    "model/model.pkl",
    "model/preprocessor.pkl",
    "model/config.json",
    "model/metadata.json",
    "model/evidence.npz",
    "api/app.py",
    "api/schemas.py",
    "api/utils.py",
    "monitoring/metrics.py",
    "monitoring/alerts.yaml",
    "monitoring/alerts_test.yaml",
    "monitoring/dashboard.json",
    "deploy/deployment.yaml",
    "deploy/resources.json",
    "docs/model_card.md",
    "docs/report.html",
    "docs/api_guide.md",
    "docs/deployment.md",
    "docs/troubleshooting.md",
    "docs/deployment_checklist.md",
    "tests/test_model.py",
    "tests/test_api.py",
    "requirements.txt",
    "requirements-train.txt",
    "Dockerfile",
    "compose.yaml",
    "Makefile",
    "README.md",
    "MANIFEST.json",
)


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def _verify(package: Path, root: Path) -> subprocess.CompletedProcess[str]:
    return _run(sys.executable, "-m", "automl_wf.cli", "verify", package, cwd=package.parent, PYTHONPATH=str(root))


def _rewrite_manifest(package: Path) -> None:
    """What a careful forger does: bring every hash and size in MANIFEST.json up to date."""
    path = package / "MANIFEST.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for name, entry in manifest["files"].items():
        content = (package / name).read_bytes()
        entry.update(sha256=hashlib.sha256(content).hexdigest())
        for key in ("bytes", "size"):
            if key in entry:
                entry[key] = len(content)
    path.write_text(json.dumps(manifest, indent=2), encoding="utf-8")


@pytest.fixture(scope="module")
def model(mixed_table: tuple[pd.DataFrame, np.ndarray], quick_settings: dict[str, Any]) -> WorkflowClassifier:
    return WorkflowClassifier(**quick_settings).fit(*mixed_table)


@pytest.fixture(scope="module")
def exported(model: WorkflowClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model_package"
    model.export(path)
    return path


@pytest.fixture
def package(exported: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "package"))


def test_the_tree_is_all_there(exported: Path) -> None:
    assert [name for name in TREE if not (exported / name).is_file()] == []
    assert any((exported / "tests/test_data").iterdir())
    assert not [p for p in exported.rglob("*") if p.is_file() and p.stat().st_size == 0 and p.name != "__init__.py"]


def test_nothing_else_is_left_beside_it(exported: Path) -> None:
    assert list(exported.parent.iterdir()) == [exported]


def test_python_files_do_not_depend_on_the_data(exported: Path, quick: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"'''; import os": rng.normal(size=80), "{{ x }}": rng.normal(size=80)})
    other = tmp_path / "other"
    WorkflowRegressor(**quick).fit(X, X.sum(axis=1)).export(other)
    sources = {p.relative_to(exported) for p in exported.rglob("*.py")}
    assert sources == {p.relative_to(other) for p in other.rglob("*.py")}
    for name in sources:
        assert (exported / name).read_bytes() == (other / name).read_bytes(), name


def test_its_own_tests_pass_without_us(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a process that refuses what serving must not need.
    guard = package.parent / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('sklearn', 'automl_wf', 'lightgbm', 'joblib'):\n"
        "            raise ImportError(f'{name} must not be needed to serve')\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    home = package.parent / "home"
    home.mkdir()
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    run = _run(*command, cwd=package, PYTHONPATH=str(guard), HOME=str(home))
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    # Nor does it report to anybody: onnxruntime would keep an identifier and unsent telemetry here.
    assert list(home.rglob("*")) == []


def test_loaded_package_predicts_the_same(exported: Path, model: WorkflowClassifier, mixed_table: Any) -> None:
    loaded = automl_wf.load(exported)
    np.testing.assert_array_equal(loaded.predict(mixed_table[0]), model.predict(mixed_table[0]))
    np.testing.assert_allclose(
        loaded.predict_proba(mixed_table[0]), model.predict_proba(mixed_table[0]), rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(loaded.predict_interval(mixed_table[0]), model.predict_interval(mixed_table[0]))
    trained = automl_wf.load(exported, trained=True)
    np.testing.assert_array_equal(trained.predict_proba(mixed_table[0]), model.predict_proba(mixed_table[0]))


def test_verify_finds_nothing_wrong(exported: Path, root: Path) -> None:
    run = _verify(exported, root)
    assert run.returncode == 0, run.stdout + run.stderr


def test_card_says_where_every_figure_is_from(exported: Path) -> None:
    card = (exported / "docs/model_card.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert "[More Information Needed]" in card
    (facts,) = exported.rglob("card.json")
    assert '"measured"' in facts.read_text(encoding="utf-8")


def test_a_wrong_byte_is_found(package: Path, root: Path) -> None:
    path = package / "model/model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    run = _verify(package, root)
    assert run.returncode == 1
    assert "model.onnx" in run.stdout + run.stderr
    with pytest.raises(PackageError, match=r"model\.onnx"):
        automl_wf.load(package)


def test_a_missing_file_is_found(package: Path, root: Path) -> None:
    (package / "docs/api_guide.md").unlink()
    run = _verify(package, root)
    assert run.returncode == 1
    assert "api_guide.md" in run.stdout + run.stderr


def test_a_file_too_many_is_found(package: Path, root: Path) -> None:
    (package / "api/extra.py").write_text("print('hello')\n")
    run = _verify(package, root)
    assert run.returncode == 1
    assert "extra.py" in run.stdout + run.stderr


def _raise_a_score(node: Any) -> bool:
    """Change the first measured score below one, wherever the card keeps it."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, float) and 0.0 < value < 0.999 and key in ("value", "roc_auc"):
                node[key] = value / 2 + 0.5
                return True
            if _raise_a_score(value):
                return True
    if isinstance(node, list):
        return any(_raise_a_score(item) for item in node)
    return False


@pytest.mark.parametrize("is_forged", [False, True], ids=["plain", "manifest rewritten"])
def test_a_changed_figure_is_found(package: Path, root: Path, is_forged: bool) -> None:
    (path,) = package.rglob("card.json")
    card = json.loads(path.read_text(encoding="utf-8"))
    assert _raise_a_score(card)
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False), encoding="utf-8")
    if is_forged:
        _rewrite_manifest(package)
    run = _verify(package, root)
    assert run.returncode == 1
    assert "card.json" in run.stdout + run.stderr if not is_forged else "roc_auc" in run.stdout + run.stderr


def test_exporting_twice_replaces_the_first(model: WorkflowClassifier, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "model_package"
    model.export(path)
    before = (path / "model/model.onnx").read_bytes()
    model.export(path)
    assert (path / "model/model.onnx").read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    run = _verify(path, root)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("kind", ["folder", "file", "changed package"])
def test_a_stranger_in_the_way_stays(model: WorkflowClassifier, package: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("four years of work")
    elif kind == "file":
        target.write_text("four years of work")
    else:
        target = package
        (target / "README.md").write_text("my notes")
    before = {p: p.read_bytes() for p in sorted([target, *target.rglob("*")]) if p.is_file()}
    with pytest.raises(PackageExists):
        model.export(target)
    assert {p: p.read_bytes() for p in sorted([target, *target.rglob("*")]) if p.is_file()} == before


def test_training_rows_stay_home(exported: Path, mixed_table: Any) -> None:
    frame = mixed_table[0]
    amounts = {repr(v) for v in frame["amount"].dropna()}
    shipped = "".join(p.read_text(encoding="utf-8") for p in (exported / "tests/test_data").iterdir())
    assert not [a for a in amounts if a in shipped]
