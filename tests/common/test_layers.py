"""Imports point downwards only, and every error hangs on the drawn tree."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl_wf import exceptions

LIGHT_AT_TOP = {"numpy", "pandas", "scipy", "sklearn", "joblib", "threadpoolctl"}
#: What a file nobody imports from may need at its top.
AT_TOP_OF = {"cli.py": {"typer"}}


def test_layers_contract_holds(root: Path) -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run(
        [str(lint_imports), "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 kept, 0 broken" in run.stdout


def _sources(root: Path) -> list[Path]:
    return sorted((root / "automl_wf").rglob("*.py"))


def test_slow_and_optional_packages_are_imported_where_used(root: Path) -> None:
    offenders = []
    for path in _sources(root):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            tops = {n.split(".")[0] for n in names} - set(sys.stdlib_module_names) - LIGHT_AT_TOP - {"automl_wf"}
            tops -= AT_TOP_OF.get(path.name, set())
            offenders += [f"{path.relative_to(root)}: {t}" for t in sorted(tops)]
    assert offenders == []


def test_private_names_come_through_compat(root: Path) -> None:
    offenders = []
    for path in _sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or path.name == "compat.py":
                continue
            top, *inner = (node.module or "").split(".")
            names = [*inner, *(a.name for a in node.names)]
            if top != "__future__" and top != "automl_wf" and any(n.startswith("_") for n in names):
                offenders.append(f"{path.relative_to(root)}:{node.lineno} {node.module}")
    assert offenders == []


def test_no_module_imports_the_shelf(root: Path) -> None:
    for path in _sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "automl_wf", f"{path}:{node.lineno} imports automl_wf itself"


@pytest.mark.parametrize("name", [n for n, o in vars(exceptions).items() if inspect.isclass(o)])
def test_errors_are_workflow_errors_and_builtins(name: str) -> None:
    error = getattr(exceptions, name)
    assert name in (exceptions.__doc__ or ""), f"{name} is missing from the drawn tree"
    if name in ("WorkflowError", "WorkflowWarning"):
        return
    base = exceptions.WorkflowWarning if issubclass(error, Warning) else exceptions.WorkflowError
    assert issubclass(error, base)
    builtin = (UserWarning,) if base is exceptions.WorkflowWarning else (ValueError, ImportError, OSError)
    assert issubclass(error, builtin)
