"""What is served: one package, or the current version of a registry, which may change while requests are answered."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from api.model import Model

POINTER, VERSIONS = "current", "versions"
INTERVAL_S = 1.0
_log = logging.getLogger("service")


class NotServable(RuntimeError):
    """A version cannot take the place of the one that serves."""


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
    """

    def __init__(self, root: Path, n_threads: int, registry: Path | None = None) -> None:
        self._n_threads, self._registry = n_threads, registry
        self._refused = ""
        self.root = root if registry is None else self._current()
        self.model = self._open(self.root)

    def refresh(self) -> bool:
        """Serve the version that the registry points to, if it is another one and passes its self-test.

        Returns
        -------
        bool
            Whether another version serves from now on.
        """
        if self._registry is None:
            return False
        try:
            root = self._current()
            if root in (self.root, Path(self._refused)):
                return False
            model = self._open(root)
            self._check(model)
        except Exception as error:  # the version that serves goes on serving, and the log says why
            self._refuse(error)
            return False
        self.root, self.model, self._refused = root, model, ""
        _log.info("another version serves", extra={"fields": {"version": model.config["version"]}})
        return True

    def watch(self, on_change: Any) -> None:
        """Ask again and again, in a thread of its own, and tell `on_change` of each model that takes over."""
        if self._registry is not None:
            threading.Thread(target=self._watch, args=(on_change,), name="registry", daemon=True).start()

    def _watch(self, on_change: Any) -> None:
        pause = threading.Event()
        while not pause.wait(INTERVAL_S):
            if self.refresh():
                on_change(self.model)

    def _current(self) -> Path:
        registry = self._registry or self.root
        version = (registry / POINTER).read_text(encoding="utf-8").strip()
        root = registry / VERSIONS / version
        if not version or Path(version).name != version or not root.is_dir():
            raise NotServable(f"the registry points to {version!r}, which is no version in it")
        return root

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
        if not model.passes_self_test():
            raise NotServable("its self-test fails")

    def _refuse(self, error: Exception) -> None:
        """Log the first time that a version is refused, not every second."""
        try:
            refused = str(self._current())
        except (OSError, NotServable):
            refused = str(error)
        if refused != self._refused:
            fields = {"error": type(error).__name__, "reason": str(error) if isinstance(error, NotServable) else ""}
            _log.error("a version is refused; the one before goes on serving", extra={"fields": fields})
        self._refused = refused
