"""model/config.json and the files beside it, checked before anything is served: what is wrong is said in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from api.start import RESTORE, StartError

FORMAT = 1
#: Members that the service reads, and the types that they may have.
_MEMBERS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (str,),
    "task": (str,),
    "layout": (str,),
    "columns": (list,),
    "tensor": (str, type(None)),
    "outputs": (dict,),
    "classes": (list, type(None)),
    "threshold": (int, float, list, type(None)),
    "on_unknown": (str,),
    "categories": (dict,),
    "limits": (dict,),
    "rules": (dict,),
    "drift": (dict,),
    "reference_metrics": (dict,),
    "self_test": (dict,),
}
_OF_A_COLUMN = frozenset({"name", "input", "kind", "edge", "cell_format", "is_used", "example"})
_OF_A_TEST = frozenset({"row", "expected"})
_WHOLE_LIMITS = ("max_body_bytes", "max_rows", "max_string_length")


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
    wrong = _find_wrong(config)
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


def _find_wrong(config: Any) -> str | None:
    """The first thing that the service could not work with."""
    if not isinstance(config, dict):
        return f"expected an object, got a {type(config).__name__}"
    if config.get("format") != FORMAT or isinstance(config["format"], bool):
        found = config.get("format")
        return f'"format" must be {FORMAT}, which this service reads. Got {found!r:.40} instead'
    for name, types in _MEMBERS.items():
        if name not in config:
            return f'"{name}" is missing'
        if not isinstance(config[name], types) or isinstance(config[name], bool):
            wanted = " or ".join("null" if t is type(None) else t.__name__ for t in types)
            return f'"{name}" must be a {wanted}. Got a {type(config[name]).__name__} instead'
    return _find_wrong_limit(config["limits"]) or _find_missing(config)


def _find_wrong_limit(limits: Mapping[str, Any]) -> str | None:
    for name in _WHOLE_LIMITS:
        limit = limits.get(name)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            return f'"limits.{name}" must be a whole number from 1. Got {limit!r:.40} instead'
    seconds = limits.get("max_seconds_per_row")
    if seconds is not None and (not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds <= 0):
        return f'"limits.max_seconds_per_row" must be a number above 0. Got {seconds!r:.40} instead'
    return None


def _find_missing(config: Mapping[str, Any]) -> str | None:
    for i, column in enumerate(config["columns"]):
        missing = _OF_A_COLUMN - column.keys() if isinstance(column, dict) else _OF_A_COLUMN
        if missing:
            return f'"columns[{i}]" must hold {", ".join(sorted(missing))}'
    if not any(column["is_used"] for column in config["columns"]):
        return '"columns" must hold one that is used'
    if not config["self_test"].keys() >= _OF_A_TEST or not isinstance(config["self_test"]["row"], dict):
        return '"self_test" must hold row, an object, and expected'
    return None if isinstance(config["drift"].get("features"), dict) else '"drift" must hold features, an object'
