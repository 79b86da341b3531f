"""What crosses between a client and the server: named arrays of numbers and short texts, nothing that can run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.exceptions import InvalidInput

_HEAD = "head"
_KINDS = "biufU"


@dataclass(frozen=True)
class Message:
    """One request of the server or one reply of a client.

    Parameters
    ----------
    kind : str
        What it is about; a reply has the kind of its request.
    arrays : mapping of str to ndarray
        Numbers, booleans and texts. What depends on rows is here, so that the size of a message follows from shapes.
    settings : mapping of str to str, number or bool
        What the server tells everybody once.

    Raises
    ------
    InvalidInput
        An array holds objects.

    Examples
    --------
    >>> import numpy as np
    >>> message = Message("gram", {"moment": np.zeros(3)})
    >>> Message.from_bytes(message.to_bytes()).arrays["moment"].shape
    (3,)
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if name == _HEAD or array.dtype.kind not in _KINDS:
                raise InvalidInput(
                    f"A message holds arrays of numbers, booleans or texts. Got {name!r} of dtype {array.dtype} in "
                    f"{self.kind!r} instead."
                )

    def to_bytes(self) -> bytes:
        """Write the message.

        Returns
        -------
        bytes
            An uncompressed npz file.
        """
        head = json.dumps({"kind": self.kind, "settings": dict(self.settings)}).encode()
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **{_HEAD: np.frombuffer(head, dtype=np.uint8)}, **self.arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Message:
        """Read a message; nothing in it is run.

        Parameters
        ----------
        content : bytes
            What `to_bytes` wrote.

        Returns
        -------
        Message
            The message.

        Raises
        ------
        InvalidInput
            The bytes are no message.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            head = json.loads(arrays.pop(_HEAD).tobytes())
            return cls(head["kind"], arrays, head["settings"])
        except (ValueError, KeyError, OSError, EOFError, TypeError) as error:
            raise InvalidInput(f"Expected the bytes of a message, got {len(content)} bytes: {error}") from None
