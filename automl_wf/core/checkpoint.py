"""The journal that a killed fit goes on from: one file per record, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_wf.exceptions import InvalidParameter

#: Changes whenever records of another layout are written.
FORMAT = 1
_HEAD = "journal.json"
_SUFFIX = ".record"


class Journal:
    """Records of one fit, in a folder of their own.

    A record is written beside its place, forced to the disk and renamed: a process that is killed at any moment leaves
    whole records only. A checksum finds those that a failing disk has damaged; they count as not written.

    Records are pickles: open only folders that you, or somebody you trust, have written.

    Parameters
    ----------
    folder : path
        Made if it is not there. Files of other programs in it stay as they are.

    Raises
    ------
    InvalidParameter
        `folder` is a file, cannot be written to, or holds a journal of another version.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal(folder)
    ...     journal.begin({"table": "a"}, seed=7)
    ...     journal.append("first", {"score": 0.5})
    ...     again = Journal(folder)
    ...     again.begin({"table": "a"}, seed=again.seed)
    ...     again.records()
    {'first': {'score': 0.5}}
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidParameter(
                f"The 'checkpoint' parameter must be a folder that can be made and written to. Got {str(folder)!r} "
                f"instead ({error.strerror})."
            ) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise InvalidParameter(f"The 'checkpoint' folder {str(folder)!r} cannot be written to.")
        self._head = self._read_head()

    @property
    def seed(self) -> int | None:
        """Seed of the fit that began the journal; None if there is none yet."""
        return None if self._head is None else int(self._head["seed"])

    def begin(self, facts: Mapping[str, str], *, seed: int) -> None:
        """Start a journal, or go on with the one that is there.

        Parameters
        ----------
        facts : mapping of str to str
            What the records depend on, by its name in words; a journal with other facts is of another fit.
        seed : int
            Seed of the fit.

        Raises
        ------
        InvalidParameter
            The journal in the folder is of another fit; what differs is named.
        """
        head = {"format": FORMAT, "seed": int(seed), "facts": dict(facts)}
        if self._head is None:
            self._write(self.folder / _HEAD, json.dumps(head, indent=1).encode())
            self._head = head
            return
        before = {**self._head["facts"], "seed": self._head["seed"]}
        now = {**facts, "seed": int(seed)}
        differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if differing:
            raise InvalidParameter(
                f"The 'checkpoint' folder {str(self.folder)!r} belongs to another fit: another {', '.join(differing)}. "
                "Give the same data and parameters, another folder, or remove this one."
            )

    def records(self) -> dict[str, Any]:
        """All whole records by name."""
        found = {}
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            digest, _, payload = path.read_bytes().partition(b"\n")
            if digest == hashlib.sha256(payload).hexdigest().encode():
                name, record = pickle.loads(payload)
                found[name] = record
        return found

    def append(self, name: str, record: Any) -> None:
        """Add a record, or replace the one of that name.

        Raises
        ------
        OSError
            It cannot be written.
        PicklingError, TypeError, AttributeError
            It cannot be pickled.
        """
        payload = pickle.dumps((name, record), protocol=pickle.HIGHEST_PROTOCOL)
        place = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._write(self.folder / f"{place}{_SUFFIX}", hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)

    def _read_head(self) -> dict[str, Any] | None:
        path = self.folder / _HEAD
        if not path.is_file():
            return None
        try:
            head: dict[str, Any] = json.loads(path.read_bytes())
            is_known = head["format"] == FORMAT and isinstance(head["facts"], dict) and int(head["seed"]) >= 0
        except (ValueError, KeyError, TypeError):
            is_known = False
        if not is_known:
            raise InvalidParameter(
                f"The 'checkpoint' folder {str(self.folder)!r} holds a {_HEAD} that is not of this version. "
                "Give another folder, or remove this one."
            )
        return head

    def _write(self, path: Path, content: bytes) -> None:
        handle, scratch = tempfile.mkstemp(dir=self.folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
