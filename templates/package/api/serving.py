"""What is served: one package, or the current version of a registry, which may change while requests are answered.

A registry may name a second version that is on trial: a shadow, which predicts what the current one answers, or one
that answers a share of the requests itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from api.config import other_versions
from api.model import Model, SelfTest
from api.start import StartError

POINTER, VERSIONS, ROUTING, HISTORY = "current", "versions", "routing.json", "history.jsonl"
Role = Literal["champion", "challenger"]
INTERVAL_S = 1.0
_log = logging.getLogger("service")


class NotServable(RuntimeError):
    """A version cannot take the place of the one that serves."""


@dataclass(frozen=True)
class Trial:
    """A version beside the current one.

    Parameters
    ----------
    model : Model
        The version.
    mode : {"shadow", "split"}
        Whether it predicts without answering, or answers a share.
    share : float
        Share of the requests that it answers.
    """

    model: Model
    mode: str
    share: float = 0.0

    @property
    def version(self) -> str:
        """Its name."""
        return str(self.model.config["version"])

    def takes(self, key: str) -> bool:
        """Whether requests with this key are answered by this version: always the same ones, on every machine."""
        digest = hashlib.sha256(f"{self.version}\n{key}".encode("utf-8", "replace")).digest()
        return self.mode == "split" and int.from_bytes(digest[:8]) < self.share * 2**64


class Serving:
    """Holds the model that answers; a request takes it once and keeps it until it is answered.

    Parameters
    ----------
    root : Path
        Folder of the package.
    n_threads : int
        Threads for one prediction.
    registry : Path or None, default=None
        Folder of versions and of the pointer to the current one; then that version is served, not `root`.

    Attributes
    ----------
    model : Model
        The model.
    root : Path
        Its package.
    trial : Trial or None
        The version on trial.
    is_ready : bool
        Whether the model has passed its self-test; without that nothing is predicted.

    Raises
    ------
    StartError
        There is nothing that can be served.
    """

    def __init__(self, root: Path, n_threads: int, registry: Path | None = None) -> None:
        self._n_threads, self._registry = n_threads, registry
        self._refused, self._routing = "", ""
        self._passed_over: tuple[str, str] | None = None
        self.trial: Trial | None = None
        try:
            self.root = root if registry is None else self._current()
        except (OSError, NotServable) as error:
            raise StartError(
                f"MODEL_REGISTRY is {registry}, which names no version to serve ({_text_of(error)}). Give a folder "
                "that `automl-wf promote` has written, or serve the package itself without MODEL_REGISTRY."
            ) from None
        self.model, self.is_ready = self._open_first()

    def begin(self) -> None:
        """Say in the log what is wrong with what serves, and open the trial; once, when there is a log."""
        if self._passed_over is not None:
            version, reason = self._passed_over
            fields = {"refused": version, "reason": reason, "version": self.model.config["version"]}
            _log.error("the current version cannot be served; the one before serves", extra={"fields": fields})
        elif not self.is_ready:
            others = {name: {"wanted": w, "installed": i} for name, (w, i) in other_versions(self.root).items()}
            test = self.model.self_test()
            fields = {
                "version": self.model.config["version"],
                "expected": test.expected,
                "found": test.found,
                "other_versions": others,
            }
            _log.error("the self-test fails: nothing is predicted, and readyz answers 503", extra={"fields": fields})
        self._refresh_trial()

    def route(self, key: str) -> tuple[Model, Role]:
        """The version that answers requests with this key, and what it is."""
        trial = self.trial
        if trial is not None and trial.takes(key):
            return trial.model, "challenger"
        return self.model, "champion"

    def refresh(self) -> bool:
        """Serve the versions that the registry names, if they are others than before and pass their self-tests.

        Returns
        -------
        bool
            Whether anything is served otherwise from now on.
        """
        if self._registry is None:
            return False
        is_other = self._refresh_model()
        return self._refresh_trial(is_other) or is_other

    def _refresh_model(self) -> bool:
        try:
            root = self._current()
            if root in (self.root, Path(self._refused)):
                return False
            model = self._open(root)
            self._check(model)
        except Exception as error:  # the version that serves goes on serving, and the log says why
            self._refuse(error)
            return False
        self.root, self.model, self._refused, self.is_ready = root, model, "", True
        _log.info("another version serves", extra={"fields": {"version": model.config["version"]}})
        return True

    def _refresh_trial(self, is_other_model: bool = False) -> bool:
        """Begin, change or end the trial that routing.json describes; one that cannot be held is none."""
        if self._registry is None:
            return False
        try:
            text = (self._registry / ROUTING).read_text(encoding="utf-8")
        except OSError:
            text = ""
        if text == self._routing and not is_other_model:
            return False
        before, self._routing = self.trial, text
        try:
            self.trial = self._read_trial(json.loads(text)) if text.strip() else None
        except Exception as error:  # the version that serves goes on serving, and the log says why
            self.trial = None
            fields = {"version": _challenger_of(text), "error": type(error).__name__, "reason": _text_of(error)}
            _log.error("a trial is refused; the current version answers alone", extra={"fields": fields})
        if before is not None and (self.trial is None or self.trial.version != before.version):
            _log.info("a trial has ended", extra={"fields": {"version": before.version, "mode": before.mode}})
        if self.trial is not None:
            about = {"version": self.trial.version, "mode": self.trial.mode, "share": self.trial.share}
            _log.info("a version is on trial", extra={"fields": about})
        return before is not None or self.trial is not None

    def _read_trial(self, routing: dict[str, object]) -> Trial | None:
        mode, share = routing.get("mode"), routing.get("share", 0.0)
        if mode not in ("shadow", "split") or not isinstance(share, (int, float)) or not 0.0 <= share <= 1.0:
            raise NotServable("expected a mode, shadow or split, and a share from 0 to 1")
        root = self._version(str(routing.get("challenger", "")))
        if root == self.root:
            return None
        model = self._open(root)
        self._check(model)
        self._check_columns(model)
        return Trial(model, str(mode), float(share))

    def watch(self, on_change: Callable[[], None]) -> None:
        """Ask again and again, in a thread of its own, and tell `on_change` when something is served otherwise."""
        if self._registry is not None:
            threading.Thread(target=self._watch, args=(on_change,), name="registry", daemon=True).start()

    def _watch(self, on_change: Callable[[], None]) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL_S):
            if self.refresh():
                on_change()

    def _current(self) -> Path:
        return self._version(self._pointed())

    def _pointed(self) -> str:
        """What the pointer names, whether or not there is such a version."""
        return ((self._registry or self.root) / POINTER).read_text(encoding="utf-8").strip()

    def _version(self, version: str) -> Path:
        root = (self._registry or self.root) / VERSIONS / version
        if not version or Path(version).name != version or not root.is_dir():
            raise NotServable(f"the registry points to {version!r}, which is no version in it")
        return root

    def _open_first(self) -> tuple[Model, bool]:
        """The version to begin with, and whether it passes its self-test: the one before, if only that does."""
        before = self._before(self.root.name)
        try:
            model = self._open(self.root)
        except StartError as error:
            found = self._open_passing(before)
            if found is None:
                raise
            reason = _text_of(error)
        else:
            test = model.self_test()
            if test.passes:
                return model, True
            found = self._open_passing(before)
            if found is None:
                return model, False
            reason = _describe_failure(test)
        self._passed_over, self._refused = (self.root.name, reason), str(self.root)
        self.root = found[0]
        return found[1], True

    def _open_passing(self, root: Path | None) -> tuple[Path, Model] | None:
        """A version that passes its self-test; None: it does not."""
        try:
            model = None if root is None else self._open(root)
        except StartError:
            return None
        return (root, model) if root is not None and model is not None and model.self_test().passes else None

    def _before(self, version: str) -> Path | None:
        """The version that served before this one, as the registry's history says; None: there is none."""
        if self._registry is None:
            return None
        try:
            lines = (self._registry / HISTORY).read_text(encoding="utf-8").splitlines()
            events = [json.loads(line) for line in lines if line.strip()]
            names = [e["before"] for e in events if e["action"] == "promote" and e["version"] == version]
            return self._version(str(names[-1])) if names else None
        except (OSError, ValueError, KeyError, TypeError, NotServable):
            return None

    def _open(self, root: Path) -> Model:
        model = Model(root, self._n_threads)
        if self._registry is not None:
            model.config["version"] = root.name
        return model

    def _check(self, model: Model) -> None:
        """What clients rely on may not change under them."""
        if model.config["format"] != self.model.config["format"]:
            raise NotServable("its format is another one: start the service of the new package instead")
        if not {c["name"] for c in model.columns} <= {c["name"] for c in self.model.config["columns"]}:
            raise NotServable("it takes columns that the version before does not know")
        if model.classes != self.model.classes:
            raise NotServable("its classes are others")
        test = model.self_test()
        if not test.passes:
            raise NotServable(_describe_failure(test))

    def _check_columns(self, model: Model) -> None:
        """A shadow is given the cells that the current version has read."""
        read = {c["name"]: (c["edge"], c["cell_format"]) for c in self.model.columns}
        if any(read.get(c["name"]) != (c["edge"], c["cell_format"]) for c in model.columns):
            raise NotServable("it reads columns that the current version does not read, or reads them otherwise")

    def _refuse(self, error: Exception) -> None:
        """Log the first time that a version is refused, not every second."""
        try:
            version: str | None = self._pointed()[:100]
        except (OSError, ValueError):
            version = None
        try:
            refused = str(self._current())
        except (OSError, ValueError, NotServable):
            refused = str(error)
        if refused != self._refused:
            fields = {"version": version, "error": type(error).__name__, "reason": _text_of(error)}
            _log.error("a version is refused; the one before goes on serving", extra={"fields": fields})
        self._refused = refused


def _challenger_of(routing: str) -> str | None:
    """The version that routing.json puts on trial, where that can be told."""
    try:
        return str(json.loads(routing)["challenger"])[:100]
    except (ValueError, KeyError, TypeError):
        return None


def _text_of(error: Exception) -> str:
    """What an error says of files of ours: nothing that was sent is in it."""
    return str(error)[:500] or type(error).__name__


def _describe_failure(test: SelfTest) -> str:
    return f"its self-test fails: expected {test.expected}, found {test.found}"[:500]
