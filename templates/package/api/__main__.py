"""`python -m api`: serve on MODEL_HOST and MODEL_PORT, one process; more of them belong in more containers."""

from __future__ import annotations

from contextlib import suppress

from api.start import said_in_one_line


def main() -> None:
    """Run until stopped; on SIGTERM, finish the requests at hand first."""
    with said_in_one_line():
        import uvicorn

        from api.application import build_app
        from api.listening import listen
        from api.settings import Settings

        settings = Settings.read()
        config = uvicorn.Config(
            build_app(settings=settings),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=30,
        )
        sockets = listen(settings.host, settings.port)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets)


if __name__ == "__main__":
    main()
