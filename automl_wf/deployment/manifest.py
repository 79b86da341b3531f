"""MANIFEST.json: size and SHA-256 of every file of a package, so that a damaged or strange folder is recognised."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "MANIFEST.json"
# What running the package's own tests and service leaves behind
_CACHES = {"__pycache__", ".pytest_cache"}


@dataclass(frozen=True)
class Difference:
    """One file that is not as the manifest says."""

    file: str
    reason: str


def files_of(folder: Path) -> dict[str, Path]:
    """Every file and link below `folder` by its relative path; links are not followed, caches of Python left out."""
    found = {}
    for root, folders, files in os.walk(folder, followlinks=False):
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = [name for name in folders if name not in _CACHES]
        for name in (*files, *links):
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
    content = {"format": 1, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Its "files"; None if there is no manifest that can be read."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = content.get("files") if isinstance(content, dict) and not path.is_symlink() else None
    is_ours = isinstance(files, dict) and all(isinstance(f, dict) and "sha256" in f for f in files.values())
    return files if is_ours else None


def compare(folder: Path) -> list[Difference]:
    """Wrong bytes, missing files, files too many and links; empty if the folder is as it was written."""
    listed = read_manifest(folder)
    if listed is None:
        return [Difference(MANIFEST, "is missing or cannot be read")]
    found = files_of(folder)
    found.pop(MANIFEST, None)
    differences = [Difference(name, "is missing") for name in listed if name not in found]
    for name, path in found.items():
        if path.is_symlink():
            differences.append(Difference(name, "is a link; a package holds files only"))
        elif name not in listed:
            differences.append(Difference(name, "is not in the manifest"))
        elif describe_file(path)["sha256"] != listed[name]["sha256"]:
            differences.append(
                Difference(name, f"has other bytes (SHA-256 {listed[name]['sha256'][:12]}… was expected)")
            )
    return sorted(differences, key=lambda d: PurePosixPath(d.file).as_posix())
