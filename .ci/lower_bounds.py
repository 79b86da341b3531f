"""Print pip constraints that hold every dependency of a pyproject.toml at its lower bound.

python .ci/lower_bounds.py pyproject.toml > constraints.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_BOUNDED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=(?P<version>[0-9][0-9A-Za-z.]*)(?:\s*;.*)?$")
#: Their oldest release need not run: they check the project and are no part of it.
_NOT_HELD = {"dev"}


def constraints(project: dict[str, object]) -> list[str]:
    """One `name==version` per dependency of the `[project]` table; a dependency without a lower bound is an error."""
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    requirements = list(project["dependencies"])  # type: ignore[call-overload]
    requirements += [r for extra, names in extras.items() if extra not in _NOT_HELD for r in names]
    lines = []
    for requirement in requirements:
        match = _BOUNDED.match(requirement)
        if match is None:
            raise SystemExit(f"pyproject.toml: expected 'name>=version', got {requirement!r}")
        lines.append(f"{match['name']}=={match['version']}")
    return lines


if __name__ == "__main__":
    print("\n".join(constraints(tomllib.loads(Path(sys.argv[1]).read_text())["project"])))
