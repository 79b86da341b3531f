"""`python -m api.check`, or `make check`: whether every file is as it was exported, with the standard library alone."""

from __future__ import annotations

import hashlib
import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "MANIFEST.json"


def find_damages(root: Path) -> tuple[list[str], list[str]]:
    """Files of MANIFEST.json that are missing or have other bytes, in words; files too many are none.

    Returns
    -------
    damages, edits : list of str
        Edits are of settings of the deployment, which may be edited: the model and its service are as exported.
    """
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    damages: list[str] = []
    edits: list[str] = []
    for name, described in manifest["files"].items():
        reason = _difference(root / name, described["sha256"])
        if reason is not None:
            is_edit = any(fnmatchcase(name, pattern) for pattern in manifest.get("editable", []))
            (edits if is_edit else damages).append(f"{name} {reason}")
    return damages, edits


def _difference(path: Path, wanted: str) -> str | None:
    """How a file differs from the one that was exported; None: it does not."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == wanted else f"has other bytes: SHA-256 {wanted[:12]}… was expected, got {found[:12]}…"


def main() -> None:
    """Print what is damaged or edited; the exit status is 1 if anything is damaged."""
    try:
        damages, edits = find_damages(ROOT)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"{MANIFEST} cannot be read ({type(error).__name__}): take it from the package that was exported.")
    for edit in edits:
        print(f"Edited, as settings of a deployment may be: {edit}")
    if damages:
        sys.exit("\n".join([*damages, "Restore these files from the package that was exported, or export again."]))
    others = "other " if edits else ""
    print(f"Every {others}file of MANIFEST.json is as it was exported.")


if __name__ == "__main__":
    main()
