"""Messages: numbers and texts in, the same out, nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from automl_wf.exceptions import InvalidInput
from automl_wf.federated import Message


def test_what_goes_in_comes_out() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "n": np.array(3), "t": np.array(["ß", ""]), "b": np.array([True])}
    message = Message("marginals", arrays, {"task": "regression", "params": {"l2": 0.5}})
    again = Message.from_bytes(message.to_bytes())
    assert (again.kind, again.settings) == (message.kind, message.settings)
    assert list(again.arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_the_size_follows_from_the_shapes() -> None:
    small, large = (Message("gram", {"gram": np.full((4, 4), value)}) for value in (0.0, -1.234567890123e300))
    assert len(small.to_bytes()) == len(large.to_bytes())


def test_objects_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'rows' of dtype object"):
        Message("x", {"rows": np.array([{"a": 1}], dtype=object)})


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"kind": "grow"})])
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="bytes of a message"):
        Message.from_bytes(content)
