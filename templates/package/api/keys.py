"""Who may call: SHA-256 hashes of API keys, compared in constant time, read again when their file changes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from api.start import StartError

CHECK_INTERVAL_S = 1.0
_HASH = re.compile(r"[0-9a-f]{64}")
#: What `sha256sum` says when the variable with the key was not set.
_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_log = logging.getLogger("service")


class Keys:
    """Hashes from MODEL_API_KEY_HASHES (with commas) and from the lines of MODEL_API_KEY_FILE.

    The file is looked at once a second at most, when somebody calls: keys are changed without a restart. A file that
    cannot be read, holds something else or no hash any more leaves the keys as they were, and the log says so: once a
    key is known, no file opens the service to everybody.

    Parameters
    ----------
    environ : mapping, optional
        The settings.
    clock : callable, default=time.monotonic
        Returns seconds.

    Raises
    ------
    StartError
        A hash is not one or is that of an empty key, the file cannot be read, or there is no hash and
        MODEL_ALLOW_ANONYMOUS is not 1.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._checked = clock, clock()
        self._lock = threading.Lock()
        self._is_open = environ.get("MODEL_ALLOW_ANONYMOUS") == "1"
        self._fixed = _parse(environ.get("MODEL_API_KEY_HASHES", "").split(","))
        self._file = Path(environ["MODEL_API_KEY_FILE"]) if environ.get("MODEL_API_KEY_FILE") else None
        self._stamp = _stamp(self._file)
        self._of_file = _read(self._file)
        if not self._hashes and not self._is_open:
            raise StartError(
                "No API key is known. Set MODEL_API_KEY_HASHES or MODEL_API_KEY_FILE to SHA-256 hashes of the keys, "
                "or MODEL_ALLOW_ANONYMOUS=1 to let everybody call."
            )

    @property
    def _hashes(self) -> tuple[bytes, ...]:
        return (*self._fixed, *self._of_file)

    @property
    def n_keys(self) -> int:
        """Hashes that are known now."""
        return len(self._hashes)

    @property
    def admits_everybody(self) -> bool:
        """Whether no key is asked for."""
        return self._is_open and not self._hashes

    def admits(self, key: bytes | None) -> bool:
        """Whether a key, as the header gave it, is known; without any hash that depends on MODEL_ALLOW_ANONYMOUS."""
        self._refresh()
        hashes = self._hashes
        if not hashes:
            return self._is_open
        digest = hashlib.sha256(key or b"").digest()
        matches = [hmac.compare_digest(digest, known) for known in hashes]
        return bool(key) and any(matches)

    def _refresh(self) -> None:
        if self._file is None or self._clock() - self._checked < CHECK_INTERVAL_S or not self._lock.acquire(False):
            return
        try:
            self._checked, stamp = self._clock(), _stamp(self._file)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            found = _read(self._file)
            if self._of_file and not found:
                raise StartError(
                    "MODEL_API_KEY_FILE holds no hash any more. Write those that may call, or stop the service."
                )
            self._of_file = found
            _log.info("the keys were read again", extra={"fields": {"n_keys": len(self._hashes)}})
        except StartError as error:
            _log.error("the keys stay as they were", extra={"fields": {"reason": str(error)}})
        finally:
            self._lock.release()


def key_of(headers: Mapping[bytes, bytes], *, may_be_basic: bool) -> bytes | None:
    """The key that a request shows: in X-API-Key, as a bearer token, or as the password of basic authentication.

    Parameters
    ----------
    headers : mapping of bytes to bytes
        Lower-case names.
    may_be_basic : bool
        Whether a browser's log-in counts: only where nothing can be changed, for browsers send it by themselves.

    Returns
    -------
    bytes or None
        None: it shows none.
    """
    if b"x-api-key" in headers:
        return headers[b"x-api-key"]
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic" and may_be_basic:
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    return None


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes when a file is written, replaced, or linked to another one."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path | None) -> tuple[bytes, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"MODEL_API_KEY_FILE cannot be read: {type(error).__name__}.") from None
    return _parse([line.split("#")[0] for line in lines])


def _parse(texts: list[str]) -> tuple[bytes, ...]:
    hashes = [text.strip().lower() for text in texts if text.strip()]
    if any(not _HASH.fullmatch(text) for text in hashes):
        raise StartError('Each key hash must be 64 hexadecimal digits: printf %s "$KEY" | sha256sum')
    if _OF_NOTHING in hashes:
        raise StartError(
            "A key hash is that of an empty key: the variable that should hold the key was not set when it was hashed. "
            "README.md shows how to make a key and its hash."
        )
    return tuple(bytes.fromhex(text) for text in hashes)
