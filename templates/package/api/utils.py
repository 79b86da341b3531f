"""What the service needs of the machine it runs on: threads, memory, API keys, request ids, logs."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import sys
import traceback
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_HASH = re.compile(r"[0-9a-f]{64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class StartError(RuntimeError):
    """The service must not start as it is configured."""


def count_threads(environ: Mapping[str, str] = os.environ, cgroup: Path = CGROUP) -> int:
    """Number of threads for one prediction: MODEL_THREADS, or the CPUs that this container may use.

    onnxruntime itself would count the CPUs of the host.

    Raises
    ------
    StartError
        MODEL_THREADS is not a positive whole number.
    """
    wanted = environ.get("MODEL_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise StartError(f"MODEL_THREADS must be a whole number from 1. Got {wanted!r} instead.")
        return int(wanted)
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cpu_share(cgroup)
    return max(1, min(n_cpus, int(share))) if share else n_cpus


def _cpu_share(cgroup: Path) -> float | None:
    limit = _first_line(cgroup / "cpu.max").split()
    if len(limit) == 2 and limit[0] != "max":
        return int(limit[0]) / int(limit[1])
    quota, period = (_first_line(cgroup / "cpu" / f"cpu.cfs_{part}_us") for part in ("quota", "period"))
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Bytes that this container may use, or None without a limit."""
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        line = _first_line(path)
        if line.isdecimal() and int(line) < 2**60:
            return int(line)
    return None


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def read_key_hashes(environ: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
    """SHA-256 hashes of the keys that may call: from MODEL_API_KEY_HASHES (with commas) and MODEL_API_KEY_FILE (lines).

    Returns
    -------
    tuple of bytes
        Empty only if MODEL_ALLOW_ANONYMOUS is 1.

    Raises
    ------
    StartError
        A hash is not one, the file cannot be read, or there is no hash and nobody has allowed that.
    """
    texts = environ.get("MODEL_API_KEY_HASHES", "").split(",")
    if environ.get("MODEL_API_KEY_FILE"):
        try:
            lines = Path(environ["MODEL_API_KEY_FILE"]).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"MODEL_API_KEY_FILE cannot be read: {type(error).__name__}.") from None
        texts += [line.split("#")[0] for line in lines]
    hashes = [text.strip().lower() for text in texts if text.strip()]
    if any(not _HASH.fullmatch(text) for text in hashes):
        raise StartError('Each key hash must be 64 hexadecimal digits: printf %s "$KEY" | sha256sum')
    if not hashes and environ.get("MODEL_ALLOW_ANONYMOUS") != "1":
        raise StartError(
            "No API key is known. Set MODEL_API_KEY_HASHES or MODEL_API_KEY_FILE to SHA-256 hashes of the keys, "
            "or MODEL_ALLOW_ANONYMOUS=1 to let everybody call."
        )
    return tuple(bytes.fromhex(text) for text in hashes)


def is_known_key(key: str | None, hashes: Sequence[bytes]) -> bool:
    """Compare a key, as the header gave it, with all hashes in constant time; without hashes everybody is known."""
    digest = hashlib.sha256((key or "").encode("latin-1", "replace")).digest()
    matches = [hmac.compare_digest(digest, known) for known in hashes]
    return not hashes or (key is not None and any(matches))


def request_id(header: str | None) -> str:
    """The caller's id if it is harmless in a log, else a new one."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else str(uuid.uuid4())


class JSONFormatter(logging.Formatter):
    """One JSON object a line. Of an exception only its type and its place: its text may hold what was sent."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; a mapping given as `extra={"fields": …}` is spread out."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            line["raised_at"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
        return json.dumps(line)


def configure_logging(*others: logging.Handler) -> None:
    """Write everything, uvicorn's messages too, as JSON lines to the standard output, from MODEL_LOG_LEVEL up."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JSONFormatter())
    level = os.environ.get("MODEL_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, handlers=[stream, *others], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
