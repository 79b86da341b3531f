"""`python -m api.check`, or `make check`: whether every file is as it was exported, with the standard library alone."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "MANIFEST.json"


def find_damages(root: Path) -> list[str]:
    """Files of MANIFEST.json that are missing or have other bytes, in words; files too many are none."""
    files = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"]
    damages = []
    for name, described in files.items():
        try:
            found = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except OSError as error:
            damages.append(f"{name} cannot be read ({error.strerror})")
            continue
        if found != described["sha256"]:
            damages.append(
                f"{name} has other bytes: SHA-256 {described['sha256'][:12]}… was expected, got {found[:12]}…"
            )
    return damages


def main() -> None:
    """Print what is damaged; the exit status is 1 if anything is."""
    try:
        damages = find_damages(ROOT)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"{MANIFEST} cannot be read ({type(error).__name__}): take it from the package that was exported.")
    if damages:
        sys.exit("\n".join([*damages, "Restore these files from the package that was exported, or export again."]))
    print("Every file of MANIFEST.json is as it was exported.")


if __name__ == "__main__":
    main()
