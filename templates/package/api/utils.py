"""What the service needs of the machine it runs on: threads, memory, request ids, logs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from api.start import StartError

CGROUP = Path("/sys/fs/cgroup")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


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


def configure_logging(level: str, *others: logging.Handler) -> None:
    """Write everything from a level up, uvicorn's messages too, as JSON lines to the standard output."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JSONFormatter())
    logging.basicConfig(level=level, handlers=[stream, *others], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
