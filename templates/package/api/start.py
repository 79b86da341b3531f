"""Whatever hinders the start is one line that says what to do, and exit status 1: no traceback.

It imports nothing of the service, whose own files may be what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESTORE = "`make check` tells which files are not as they were exported: restore them, or serve another version."
_INSTALL = "Install what requirements.txt names: pip install -r requirements.txt"
#: Modules that are files of the package; all others are installed.
_OWN = ("api", "monitoring")


class StartError(RuntimeError):
    """The service must not start as it is configured."""


@contextmanager
def said_in_one_line() -> Iterator[None]:
    """Import and build the service in here; where that cannot be, the process ends."""
    try:
        yield
    except StartError as error:
        _refuse(str(error))
    except SyntaxError as error:
        path = Path(error.filename or "?")
        is_own = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in _OWN
        _refuse(f"{path}, line {error.lineno}: {error.msg}. {RESTORE if is_own else _INSTALL}")
    except ImportError as error:
        is_own = (error.name or "").partition(".")[0] in _OWN
        _refuse(f"{error}. {RESTORE if is_own else _INSTALL}")


def _refuse(reason: str) -> None:
    sys.exit(f"The service was not started: {reason}")
