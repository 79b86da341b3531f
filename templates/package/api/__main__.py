"""`python -m api`: serve on MODEL_HOST and MODEL_PORT, one process; more of them belong in more containers."""

from __future__ import annotations

import os
import sys

import uvicorn

from api.app import create_app
from api.utils import StartError


def main() -> None:
    """Run until stopped; on SIGTERM, finish the requests at hand first."""
    try:
        app = create_app()
    except StartError as error:
        sys.exit(f"The service was not started. {error}")
    uvicorn.run(
        app,
        host=os.environ.get("MODEL_HOST", "127.0.0.1"),
        port=int(os.environ.get("MODEL_PORT", "8000")),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    main()
