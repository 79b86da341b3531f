"""model/config.json and the files beside it, checked before anything is served: what is wrong is said in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from api.members import find_wrong
from api.start import RESTORE, StartError


def read_config(root: Path) -> dict[str, Any]:
    """Content of a package's model/config.json.

    Parameters
    ----------
    root : Path
        Folder of the package.

    Returns
    -------
    dict
        What the service knows of the model.

    Raises
    ------
    StartError
        It cannot be read, or something in it is not what the service expects; the place is named.
    """
    path = root / "model" / "config.json"
    try:
        config = json.loads(_bytes_of(path))
    except ValueError as error:
        raise StartError(f"{path} is not JSON ({error}). {RESTORE}") from None
    wrong = find_wrong(config)
    if wrong:
        raise StartError(f"{path}: {wrong}. Mend it; {RESTORE}")
    return dict(config)


def read_graph(root: Path, config: Mapping[str, Any]) -> bytes:
    """Bytes of model/model.onnx, if they are those that were exported.

    Their SHA-256 is in config.json, which goes wherever the graph goes: into an image, which has no MANIFEST.json, and
    into a registry. Packages that were exported before it was kept there are not checked.
    """
    path = root / "model" / "model.onnx"
    content, wanted = _bytes_of(path), config.get("model_sha256")
    found = hashlib.sha256(content).hexdigest()
    if wanted is not None and found != wanted:
        raise StartError(
            f"{path} is not the file that was exported: expected {str(wanted)[:12]}… as its SHA-256 (model_sha256 in "
            f"config.json), got {found[:12]}…, {len(content)} bytes. {RESTORE}"
        )
    return content


def other_versions(root: Path) -> dict[str, tuple[str, str]]:
    """Packages installed in another version than requirements.txt names: the version named, and the one here."""
    try:
        lines = (root / "requirements.txt").read_text(encoding="utf-8").split()
    except OSError:
        return {}
    found = {}
    for name, _, wanted in (line.partition("==") for line in lines):
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if wanted and here != wanted:
            found[name] = (wanted, here)
    return found


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{path} cannot be read ({error.strerror}). {RESTORE}") from None
