"""MANIFEST.json: size and SHA-256 of every file of a package, so that a damaged or strange folder is recognised."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "MANIFEST.json"
# What running the package's own tests and service leaves behind
_CACHES = {"__pycache__", ".pytest_cache"}
# What running it in its own folder needs beside it, as docs/deployment.md and compose.yaml tell
_VENV, _ENV = ".venv", ".env"
#: Left out when a package is copied.
NOT_COPIED = (*sorted(_CACHES), _VENV, _ENV)
#: Settings of a deployment: whoever operates it may edit them, and add to them. `*` stands for folders, too.
EDITABLE = (_ENV, _VENV, "compose.yaml", "deploy/*", "monitoring/grafana/*", "monitoring/prometheus.yml")


@dataclass(frozen=True)
class Difference:
    """One file that is not as the manifest says.

    Parameters
    ----------
    file : str
        Its relative path.
    reason : str
        What differs, in words.
    is_edit : bool, default=False
        Whether it is a setting of the deployment, which its operator may edit; neither model nor service.
    """

    file: str
    reason: str
    is_edit: bool = False


def files_of(folder: Path) -> dict[str, Path]:
    """Every file and link below `folder` by its relative path.

    Links are not followed, caches of Python left out; a virtual environment counts as one file.
    """
    found = {}
    for root, folders, files in os.walk(folder, followlinks=False):
        whole = [name for name in folders if Path(root, name).is_symlink() or name == _VENV]
        folders[:] = [name for name in folders if name not in _CACHES and name != _VENV]
        for name in (*files, *whole):
            path = Path(root, name)
            found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def caches_of(folder: Path) -> list[Path]:
    """Folders of compiled and cached files below `folder`."""
    return [
        Path(root, name)
        for root, folders, _ in os.walk(folder, followlinks=False)
        for name in folders
        if name in _CACHES and not Path(root, name).is_symlink()
    ]


def describe_file(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def write_manifest(folder: Path) -> dict[str, Any]:
    """Describe every file in MANIFEST.json and return its content."""
    files = {name: describe_file(path) for name, path in files_of(folder).items() if name != MANIFEST}
    content = {"format": 1, "editable": list(EDITABLE), "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Its "files"; None if there is no manifest that can be read."""
    files = _read(folder).get("files")
    is_ours = isinstance(files, dict) and all(isinstance(f, dict) and "sha256" in f for f in files.values())
    return files if is_ours else None


def find_damages(folder: Path) -> list[Difference]:
    """The same as `compare`, but for edits of what an operator may edit."""
    return [difference for difference in compare(folder) if not difference.is_edit]


def compare(folder: Path) -> list[Difference]:
    """Wrong bytes, missing files, files too many and links; empty if the folder is as it was written."""
    listed = read_manifest(folder)
    if listed is None:
        return [Difference(MANIFEST, "is missing or cannot be read")]
    found = files_of(folder)
    found.pop(MANIFEST, None)
    reasons = {name: "is missing" for name in listed if name not in found}
    links = {name for name, path in found.items() if path.is_symlink()}
    for name, path in found.items():
        if name in links:
            reasons[name] = "is a link; a package holds files only"
        elif name not in listed:
            reasons[name] = "is not in the manifest"
        elif describe_file(path)["sha256"] != listed[name]["sha256"]:
            reasons[name] = f"has other bytes (SHA-256 {listed[name]['sha256'][:12]}… was expected)"
    patterns = _editable(folder)
    differences = [
        Difference(name, reason, _matches(name, patterns) and (name not in links or name in NOT_COPIED))
        for name, reason in reasons.items()
    ]
    return sorted(differences, key=lambda d: PurePosixPath(d.file).as_posix())


def _read(folder: Path) -> dict[str, Any]:
    """Content of MANIFEST.json; empty if it cannot be read."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and not path.is_symlink() else {}


def _editable(folder: Path) -> list[str]:
    """Patterns of what may be edited, as the manifest states them; packages of before state none."""
    stated = _read(folder).get("editable", [])
    return [pattern for pattern in stated if pattern in EDITABLE] if isinstance(stated, list) else []


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
