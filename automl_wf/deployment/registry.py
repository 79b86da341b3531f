"""Versions of a model in plain folders, and a pointer to the one that serves: promotion and rollback are one rename.

::

    registry/
    ├── current            the name of the version that serves, one line
    ├── routing.json       while a second version is on trial: which one, as a shadow or for a share of the requests
    ├── history.jsonl      who was promoted, tried or rolled back to, when and why
    └── versions/v1, v2 …  packages as `export` wrote them

The service watches `current` and `routing.json`: it opens another version beside its own, runs that one's self-test and
swaps, or tries it, without a request being refused.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from automl_wf.deployment.manifest import MANIFEST, NOT_COPIED, describe_file, find_damages
from automl_wf.exceptions import InvalidParameter, PackageError

POINTER, HISTORY, VERSIONS, ROUTING = "current", "history.jsonl", "versions", "routing.json"
Action = Literal["promote", "rollback", "shadow", "split", "end"]
_VERSION = re.compile(r"v([1-9][0-9]*)")
#: What clients rely on: these may not change from one version to the next.
_INPUT = ("name", "kind", "edge", "cell_format", "is_used")


@dataclass(frozen=True)
class Event:
    """One line of the history.

    Parameters
    ----------
    action : {"promote", "rollback", "shadow", "split", "end"}
        What was done. The last three begin and end a trial.
    version, before : str, str or None
        The version that serves from then on, and the one that served until then; of a trial the version tried, and the
        one beside it.
    at : str
        When, in UTC.
    reason : str
        Why, in words.
    """

    action: Action
    version: str
    before: str | None
    at: str
    reason: str


@dataclass(frozen=True)
class Trial:
    """A version on trial beside the current one.

    Parameters
    ----------
    version : str
        Its name.
    mode : {"shadow", "split"}
        A shadow predicts what the current version answers, and only its agreement is counted; in a split it answers
        a share of the requests.
    share : float
        That share; 0 for a shadow.
    """

    version: str
    mode: Literal["shadow", "split"]
    share: float = 0.0


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

    @property
    def trial(self) -> Trial | None:
        """The version on trial; None: there is none."""
        path = self.folder / ROUTING
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        return Trial(content["challenger"], content["mode"], content["share"])

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
        _check_undamaged(source)
        before = self.current
        reason = "first version"
        if before is not None:
            self._check_input(source)
            is_same = identity(source) == identity(self.path())
            if is_same and force is None:
                raise PackageError(
                    f"{source} is the same package as {before}, which serves already: there is nothing to promote. "
                    "Give a reason (--force 'the reason') to serve it under a further version all the same."
                )
            reason = _check_decision(decision, self.path(), source) if force is None else f"forced: {force}"
            reason += f"; the same package as {before}" if is_same else ""
        version = self._add(source)
        if version == before:
            raise PackageError(f"{version} serves already.")
        self._set_trial(None)
        return self._switch("promote", version, before, reason)

    def try_out(
        self,
        package: str | os.PathLike[str],
        decision: Mapping[str, Any] | None = None,
        *,
        share: float | None = None,
        force: str | None = None,
    ) -> Event:
        """Copy a package into the registry and put it on trial beside the current version, which stays.

        It takes the place of a version that is on trial already.

        Parameters
        ----------
        package : path
            Folder written by `export`, or a version of this registry.
        decision : mapping, default=None
            Content of promotion.json: a share of the answers may be given to a version that was not found worse. A
            shadow answers nobody and needs none.
        share : float, default=None
            Share of the requests that it answers, above 0 and below 1. None: none, it is a shadow.
        force : str, default=None
            Give it a share whatever `decision` says, for this reason.

        Returns
        -------
        Event
            What was done.

        Raises
        ------
        PackageError
            Nothing serves yet, the package is damaged, takes other columns or answers with other classes, or `decision`
            is missing, of other packages, or says "keep".
        InvalidParameter
            `share` is no share.
        """
        if share is not None and not 0.0 < share < 1.0:
            raise InvalidParameter(f"share must be a number above 0 and below 1. Got {share!r} instead.")
        source, current = Path(package), self.current
        if current is None:
            raise PackageError(
                f"{self.folder} has no version that serves: promote one first, then try others beside it."
            )
        _check_undamaged(source)
        self._check_input(source)
        if share is None:
            reason = "answers nobody"
        elif force is not None:
            reason = f"forced: {force}"
        else:
            reason = _check_decision(decision, self.path(), source, accepted=("promote", "undecided"))
        version = self._add(source)
        if version == current:
            raise PackageError(f"{version} serves already: there is nothing to try beside itself.")
        trial = Trial(version, "shadow" if share is None else "split", share or 0.0)
        event = self._record(trial.mode, version, current, reason)
        self._set_trial(trial)
        return event

    @property
    def way_back(self) -> str | None:
        """The version that served before the current one was promoted: a rollback without a trial serves it."""
        now = self.current
        return next((e.before for e in reversed(self.history) if e.action == "promote" and e.version == now), None)

    def rollback(self, reason: str = "") -> Event:
        """Undo the last step: end the trial if there is one, else make the version current that served before.

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
        if not self.folder.is_dir():
            raise PackageError(f"There is no registry {self.folder}: the first promotion makes it.")
        now, trial = self.current, self.trial
        if now is not None and trial is not None:
            event = self._record("end", now, trial.version, reason or "asked for")
            self._set_trial(None)
            return event
        before = self.way_back
        if now is None or before is None:
            raise PackageError(
                f"{self.folder} has no version before {now or 'the first'}: there is nothing to go back to."
            )
        damages = find_damages(self.path(before))
        if damages:
            raise PackageError(f"{before} is damaged ({damages[0].file} {damages[0].reason}): {now} stays.")
        return self._switch("rollback", before, now, reason or "asked for")

    def _add(self, source: Path) -> str:
        """Copy a package, unless it is a version here; it appears under its name whole or not at all."""
        folder = self.folder / VERSIONS
        if source.resolve().parent == folder.resolve() and source.name in self.versions:
            return source.name
        try:
            return self._copy(source, folder)
        except OSError as error:
            raise PackageError(
                f"{source} cannot be copied into {self.folder}: {_reason_of(error)}. The registry is as it was; what "
                "serves goes on serving."
            ) from error

    def _copy(self, source: Path, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
        try:
            shutil.copytree(source, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
            if find_damages(scratch):
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

    def _check_input(self, source: Path) -> None:
        """Raise PackageError where clients of the current version would notice."""
        changed = changed_input(self.path(), source)
        if changed:
            raise PackageError(
                f"{source} cannot take the place of {self.current}: {'; '.join(changed[:5])}. Clients would break: "
                "serve it beside the old one, in a registry of its own."
            )

    def _switch(self, action: Action, version: str, before: str | None, reason: str) -> Event:
        # What takes room comes first: a full disk leaves neither a step that was not taken nor one that is not recorded
        scratch = self._prepare(POINTER, version + "\n")
        try:
            event = self._record(action, version, before, reason)
        except BaseException:
            scratch.unlink()
            raise
        scratch.replace(self.folder / POINTER)
        return event

    def _set_trial(self, trial: Trial | None) -> None:
        if trial is None:
            (self.folder / ROUTING).unlink(missing_ok=True)
            return
        content = {"challenger": trial.version, "mode": trial.mode, "share": trial.share}
        self._prepare(ROUTING, json.dumps(content) + "\n").replace(self.folder / ROUTING)

    def _record(self, action: Action, version: str, before: str | None, reason: str) -> Event:
        event = Event(action, version, before, datetime.now(UTC).isoformat(timespec="seconds"), reason)
        path, line = self.folder / HISTORY, (json.dumps(vars(event)) + "\n").encode()
        with path.open("ab", buffering=0) as lines:
            size = lines.seek(0, os.SEEK_END)
            # A full disk may take a part of it; half a line could not be read again
            if lines.write(line) < len(line):
                lines.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return event

    def _prepare(self, name: str, content: str) -> Path:
        """A file that replaces another one whole: whoever reads that sees the old content or the new one."""
        handle, path = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        scratch = Path(path)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.chmod(0o644)
        except BaseException:
            scratch.unlink()
            raise
        return scratch


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


def _reason_of(error: OSError) -> str:
    """Why something could not be copied: of many files, the first."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        failed = error.args[0]
        path, _, reason = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        # copytree has the text of each error, which repeats both paths after its reason
        return f"{Path(path).name}{more}: {str(reason).split(':')[0]}"
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def _check_undamaged(source: Path) -> None:
    damages = find_damages(source)
    if damages:
        raise PackageError(f"{source} is not the package that was written: {damages[0].file} {damages[0].reason}.")


def _check_decision(
    decision: Mapping[str, Any] | None, old: Path, new: Path, accepted: Sequence[str] = ("promote",)
) -> str:
    if decision is None:
        raise PackageError(
            f"{new} was not compared with {old.name}: run `automl-wf compare --out promotion.json` on labelled "
            "rows that neither has seen and give what it wrote (--decision promotion.json), or promote all the same "
            "for a reason (--force 'the reason')."
        )
    compared = (decision.get("old", {}).get("sha256"), decision.get("new", {}).get("sha256"))
    if compared != (identity(old), identity(new)):
        raise PackageError(f"The promotion.json given compares other packages than {old.name} and {new}.")
    if decision.get("verdict") not in accepted:
        failed = [g["name"] for g in decision.get("gates", []) if g["status"] != "pass"]
        raise PackageError(
            f"The comparison says {decision.get('verdict')!r}, because of: {', '.join(failed)}. "
            "Promote by force with a reason if you know better."
        )
    return f"{decision['metric']} {decision['old']['score']:.6g} → {decision['new']['score']:.6g}"
