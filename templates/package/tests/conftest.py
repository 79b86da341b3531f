"""What both test files need: the folder of the package, its configuration, rows and what they must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def read_json(name: str) -> Any:
    """Content of a JSON file of the package."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the package."""
    return ROOT


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    """config.json."""
    content: dict[str, Any] = read_json("model/config.json")
    return content


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """The sample rows."""
    content: list[dict[str, Any]] = read_json("tests/test_data/samples.json")["rows"]
    return content


@pytest.fixture(scope="session")
def expected() -> list[dict[str, Any]]:
    """What the sample rows must give."""
    content: list[dict[str, Any]] = read_json("tests/test_data/expected.json")["predictions"]
    return content
