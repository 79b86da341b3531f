"""The wheel holds everything: all modules, all templates, and a template renders from it as from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

RENDER = (
    "import automl_wf\n"
    "from automl_wf.deployment.render import template_root\n"
    "print(automl_wf.__file__, template_root(), sep='\\n')\n"
    "print(sorted(p.relative_to(template_root()).as_posix() for p in template_root().rglob('*') if p.is_file()))\n"
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(root)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_modules_and_templates_are_in_it(unpacked: Path, root: Path) -> None:
    assert _files(unpacked / "automl_wf") == _files(root / "automl_wf") | {
        f"templates/{name}" for name in _files(root / "templates")
    }
    assert not [p for p in unpacked.iterdir() if p.name not in ("automl_wf",) and not p.name.endswith(".dist-info")]


def test_templates_are_found_in_it(unpacked: Path, tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-P", "-c", RENDER],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
    module, templates, names = shown.stdout.splitlines()
    assert Path(module).is_relative_to(unpacked)
    assert Path(templates) == unpacked / "automl_wf" / "templates"
    assert "package/api/app.py" in names
