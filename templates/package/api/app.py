"""`uvicorn --factory api.app:create_app` serves what this makes; no library is imported before it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from api.start import ROOT, said_in_one_line

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(root: Path = ROOT) -> FastAPI:
    """Build the application for a server that calls this; where it cannot be, end with one line that says why."""
    with said_in_one_line():
        from api.application import build_app

        return build_app(root)
