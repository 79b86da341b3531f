"""Versions of a model in plain folders, and a pointer to the one that serves: promotion and rollback are one rename.

::

    registry/
    ├── current            the name of the version that serves, one line
    ├── history.jsonl      who was promoted or rolled back to, when and why
    └── versions/v1, v2 …  packages as `export` wrote them

The service watches `current`: it opens another version beside its own, runs that one's self-test and swaps, without a
request being refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from automl_wf.deployment.manifest import MANIFEST, compare, describe_file
from automl_wf.exceptions import PackageError

POINTER, HISTORY, VERSIONS = "current", "history.jsonl", "versions"
_VERSION = re.compile(r"v([1-9][0-9]*)")
#: What clients rely on: these may not change from one version to the next.
_INPUT = ("name", "kind", "edge", "cell_format", "is_used")


@dataclass(frozen=True)
class Event:
    """One line of the history.

    Parameters
    ----------
    action : {"promote", "rollback"}
        What was done.
    version, before : str, str or None
        The version that serves from then on, and the one that served until then.
    at : str
        When, in UTC.
    reason : str
        Why, in words.
    """

    action: Literal["promote", "rollback"]
    version: str
    before: str | None
    at: str
    reason: str


class Registry:
    """A folder of versions.

    Parameters
    ----------
    folder : path
        Made by the first promotion.

    Raises
    ------
    PackageError
        `folder` exists and is something else than a registry.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        is_new = not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir()))
        if not is_new and not (self.folder / VERSIONS).is_dir():
            raise PackageError(
                f"{self.folder} is no registry: it has no folder {VERSIONS}. Give a folder that is new or empty, or "
                "one that `automl-wf promote` has written."
            )

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions, oldest first."""
        folder = self.folder / VERSIONS
        names = [p.name for p in folder.iterdir() if _VERSION.fullmatch(p.name)] if folder.is_dir() else []
        return tuple(sorted(names, key=lambda name: int(name[1:])))

    @property
    def current(self) -> str | None:
        """The version that serves; None before the first promotion."""
        path = self.folder / POINTER
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    @property
    def history(self) -> tuple[Event, ...]:
        """What was done, oldest first."""
        path = self.folder / HISTORY
        if not path.is_file():
            return ()
        return tuple(Event(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())

    def path(self, version: str | None = None) -> Path:
        """Folder of a version; None: of the current one.

        Raises
        ------
        PackageError
            There is no such version; those there are are named.
        """
        name = self.current if version is None else version
        if name is None or name not in self.versions:
            raise PackageError(
                f"{self.folder} holds no version {name!r}; there are: {', '.join(self.versions) or 'none'}."
            )
        return self.folder / VERSIONS / name

    def promote(
        self, package: str | os.PathLike[str], decision: Mapping[str, Any] | None = None, *, force: str | None = None
    ) -> Event:
        """Copy a package into the registry and make it the current version.

        Parameters
        ----------
        package : path
            Folder written by `export`.
        decision : mapping, default=None
            Content of promotion.json, as `compare_packages` made it of the current version and this package. The first
            version needs none.
        force : str, default=None
            Promote whatever `decision` says, for this reason; it is kept in the history. Columns and classes may not
            change all the same.

        Returns
        -------
        Event
            What was done.

        Raises
        ------
        PackageError
            The package is damaged, takes other columns or answers with other classes than the current version, or
            `decision` is missing, of other packages, or does not say "promote".
        """
        source = Path(package)
        damages = compare(source)
        if damages:
            raise PackageError(f"{source} is not the package that was written: {damages[0].file} {damages[0].reason}.")
        before = self.current
        reason = "first version"
        if before is not None:
            changed = changed_input(self.path(), source)
            if changed:
                raise PackageError(
                    f"{source} cannot take the place of {before}: {'; '.join(changed[:5])}. Clients would break: serve "
                    "it beside the old one, in a registry of its own."
                )
            reason = _check_decision(decision, self.path(), source) if force is None else f"forced: {force}"
        version = self._add(source)
        return self._switch("promote", version, before, reason)

    def rollback(self, reason: str = "") -> Event:
        """Make the version current that served before the current one.

        Parameters
        ----------
        reason : str, default=""
            Why; kept in the history.

        Returns
        -------
        Event
            What was done.

        Raises
        ------
        PackageError
            There is no version before, or it is damaged.
        """
        now = self.current
        before = next((e.before for e in reversed(self.history) if e.action == "promote" and e.version == now), None)
        if now is None or before is None:
            raise PackageError(
                f"{self.folder} has no version before {now or 'the first'}: there is nothing to go back to."
            )
        damages = compare(self.path(before))
        if damages:
            raise PackageError(f"{before} is damaged ({damages[0].file} {damages[0].reason}): {now} stays.")
        return self._switch("rollback", before, now, reason or "asked for")

    def _add(self, source: Path) -> str:
        """Copy a package; it appears under its name whole or not at all."""
        folder = self.folder / VERSIONS
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
        try:
            shutil.copytree(source, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            if compare(scratch):
                raise PackageError(f"{source} changed while it was copied. Try again.")
            scratch.chmod(0o755)
            while True:
                version = f"v{int(self.versions[-1][1:]) + 1 if self.versions else 1}"
                try:
                    scratch.rename(folder / version)
                except OSError:
                    # Somebody else has taken the number: a folder that holds something is never replaced.
                    if not (folder / version).exists():
                        raise
                    continue
                return version
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise

    def _switch(self, action: Literal["promote", "rollback"], version: str, before: str | None, reason: str) -> Event:
        event = Event(action, version, before, datetime.now(UTC).isoformat(timespec="seconds"), reason)
        with (self.folder / HISTORY).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(vars(event)) + "\n")
        handle, scratch = tempfile.mkstemp(dir=self.folder, prefix=".current-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o644)
        os.replace(scratch, self.folder / POINTER)
        return event


def identity(package: Path) -> str:
    """SHA-256 of a package's manifest, which names every file with its own."""
    return str(describe_file(package / MANIFEST)["sha256"])


def changed_input(old: Path, new: Path) -> list[str]:
    """What a client of the old package would notice in the new one, in words: columns, their kinds, task, classes.

    Parameters
    ----------
    old, new : Path
        Packages.

    Returns
    -------
    list of str
        Empty if one can take the place of the other.
    """
    before, after = (json.loads((p / "model/config.json").read_text(encoding="utf-8")) for p in (old, new))
    words = []
    if before["task"] != after["task"]:
        words.append(f"the task was {before['task']} and is {after['task']}")
    if before["classes"] != after["classes"]:
        words.append("the classes differ")
    columns = [{c["name"]: c for c in config["columns"]} for config in (before, after)]
    words += [f"column {name!r} is gone" for name in columns[0] if name not in columns[1]]
    words += [f"column {name!r} is new" for name in columns[1] if name not in columns[0]]
    for name in columns[0].keys() & columns[1].keys():
        for key in _INPUT:
            was, is_now = columns[0][name][key], columns[1][name][key]
            # A column that is read no more may still be sent.
            if was != is_now and not (key == "is_used" and was):
                words.append(f"{key} of column {name!r} was {was!r} and is {is_now!r}")
    return words


def _check_decision(decision: Mapping[str, Any] | None, old: Path, new: Path) -> str:
    if decision is None:
        raise PackageError(
            f"{new} was not compared with {old.name}: run `automl-wf compare` on labelled rows that neither has seen, "
            "and give its promotion.json, or promote by force with a reason."
        )
    compared = (decision.get("old", {}).get("sha256"), decision.get("new", {}).get("sha256"))
    if compared != (identity(old), identity(new)):
        raise PackageError(f"The promotion.json given compares other packages than {old.name} and {new}.")
    if decision.get("verdict") != "promote":
        failed = [g["name"] for g in decision.get("gates", []) if g["status"] != "pass"]
        raise PackageError(
            f"The comparison says {decision.get('verdict')!r}, because of: {', '.join(failed)}. "
            "Promote by force with a reason if you know better."
        )
    return f"{decision['metric']} {decision['old']['score']:.6g} → {decision['new']['score']:.6g}"
