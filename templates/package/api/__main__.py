"""`python -m api`: serve on MODEL_HOST and MODEL_PORT, one process; more of them belong in more containers."""

from __future__ import annotations

import sys


def main() -> None:
    """Run until stopped; on SIGTERM, finish the requests at hand first."""
    try:
        import uvicorn

        from api.app import build_app
        from api.settings import Settings
        from api.utils import StartError
    except ImportError as error:
        advice = "Install what requirements.txt names: pip install -r requirements.txt"
        sys.exit(f"The service was not started: {error}. {advice}")
    try:
        settings = Settings.read()
        app = build_app(settings=settings)
    except StartError as error:
        sys.exit(f"The service was not started: {error}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    main()
