"""Settings of the service, from the environment; docs/deployment.md lists them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.start import StartError
from api.utils import LOG_LEVELS, count_threads

ADAPTERS = ("v2", "mlflow")
MAX_KPIS = 20
MAX_PORT = 65_535
_DAY_S = 86_400


@dataclass(frozen=True)
class Settings:
    """What may differ between two services of one package.

    Parameters
    ----------
    n_threads : int
        Threads for one prediction.
    registry : Path or None
        Folder of versions; None: the package itself is served.
    adapters : frozenset of str
        Protocols spoken beside our own: "v2" (Open Inference Protocol), "mlflow".
    metrics_need_key : bool
        Whether /metrics asks for a key.
    always_ids : bool
        Whether every prediction is given an id, asked for or not.
    feedback_db : str
        File that predictions wait in for their truth; ":memory:" is gone when the service stops.
    feedback_max : int
        Predictions that are kept; the oldest give way.
    feedback_ttl_s, feedback_window_s : int
        Seconds that a prediction waits, and over which performance is measured.
    kpis : tuple of str
        Names that feedback may give amounts for, beside those of config.json.
    max_waiting : int
        Requests that may wait for their turn; more are turned away.
    host, port : str, int
        Where to listen.
    log_level : str
        What is written to the log: from this level up.
    """

    n_threads: int
    registry: Path | None = None
    adapters: frozenset[str] = frozenset()
    metrics_need_key: bool = False
    always_ids: bool = False
    feedback_db: str = ":memory:"
    feedback_max: int = 50_000
    feedback_ttl_s: int = 30 * _DAY_S
    feedback_window_s: int = 7 * _DAY_S
    kpis: tuple[str, ...] = ()
    max_waiting: int = 64
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "INFO"

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables MODEL_….

        Raises
        ------
        StartError
            One of them cannot be used; it is named.
        """
        registry = environ.get("MODEL_REGISTRY")
        return cls(
            n_threads=count_threads(environ),
            registry=Path(registry) if registry else None,
            adapters=_adapters(environ),
            metrics_need_key=environ.get("MODEL_METRICS_NEED_KEY") == "1",
            always_ids=environ.get("MODEL_PREDICTION_IDS") == "1",
            feedback_db=environ.get("MODEL_FEEDBACK_DB") or cls.feedback_db,
            feedback_max=_whole(environ, "MODEL_FEEDBACK_MAX", cls.feedback_max),
            feedback_ttl_s=_whole(environ, "MODEL_FEEDBACK_TTL_S", cls.feedback_ttl_s),
            feedback_window_s=_whole(environ, "MODEL_FEEDBACK_WINDOW_S", cls.feedback_window_s),
            kpis=_kpis(environ),
            max_waiting=_whole(environ, "MODEL_MAX_WAITING", cls.max_waiting),
            host=environ.get("MODEL_HOST") or cls.host,
            port=_port(environ, cls.port),
            log_level=_log_level(environ, cls.log_level),
        )


def _words(environ: Mapping[str, str], name: str) -> list[str]:
    return [word.strip() for word in environ.get(name, "").split(",") if word.strip()]


def _adapters(environ: Mapping[str, str]) -> frozenset[str]:
    names = frozenset(_words(environ, "MODEL_ADAPTERS"))
    if not names <= set(ADAPTERS):
        raise StartError(f"MODEL_ADAPTERS may name {' and '.join(ADAPTERS)}, with a comma between them.")
    return names


def _kpis(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_words(environ, "MODEL_KPIS")))
    if len(names) > MAX_KPIS or any(len(name) > 64 for name in names):
        raise StartError(f"MODEL_KPIS may hold {MAX_KPIS} names of 64 characters at most.")
    return names


def _port(environ: Mapping[str, str], default: int) -> int:
    text = environ.get("MODEL_PORT", "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or int(text) > MAX_PORT:
        raise StartError(f"MODEL_PORT must be a whole number from 0 to {MAX_PORT}. Got {text[:20]!r} instead.")
    return int(text)


def _log_level(environ: Mapping[str, str], default: str) -> str:
    level = environ.get("MODEL_LOG_LEVEL", "").strip().upper() or default
    if level not in LOG_LEVELS:
        raise StartError(f"MODEL_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}. Got {level[:20]!r} instead.")
    return level


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise StartError(f"{name} must be a whole number from 1. Got {text[:20]!r} instead.")
    return int(text)
