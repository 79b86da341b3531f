"""GraphBuilder: a few lines over onnx.helper, known to every `*_onnx` file.

Values are named by the builder; equal constants and equal operations are written once (common subexpressions), so that
the fold models of a blend share whatever they compute alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_wf.exceptions import NotExportable

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, ML_OPSET, IR_VERSION = 21, 5, 10
#: The one tensor that the graph of a fit on an array of numbers takes.
TENSOR = "X"
_DOMAINS = {"": OPSET, "ai.onnx.ml": ML_OPSET, "com.microsoft": 1}


class GraphBuilder:
    """Collects the nodes of one ONNX graph in double precision.

    Parameters
    ----------
    name : str, default="automl_wf"
        Name of the graph.
    """

    def __init__(self, name: str = "automl_wf") -> None:
        import onnx

        self._onnx = onnx
        self._name = name
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._known: dict[tuple[Any, ...], list[str]] = {}
        self._used_names: set[str] = set()
        self._domains = {""}
        #: All texts that a string input held in training, by the input's name; may be left empty.
        self.vocabularies: dict[str, Sequence[str]] = {}
        self._count = 0

    def input(self, name: str, dtype: str, width: int = 1) -> str:
        """Declare a graph input of shape (rows, `width`); dtype is "double", "string" or "int64"."""
        self._reserve(name)
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(dtype), [None, width]))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Name of an initialiser holding `value`; equal arrays share one."""
        array = np.asarray(value, dtype=dtype)
        if array.dtype.kind in "OU":
            array = array.astype(object)
            digest = repr([str(v) for v in array.ravel()]).encode()
        else:
            array = np.ascontiguousarray(array).reshape(array.shape)
            digest = array.tobytes()
        key = f"{array.dtype.str}{array.shape}{hashlib.sha256(digest).hexdigest()}"
        if key not in self._constants:
            helper, name = self._onnx.helper, self._fresh("c")
            if array.dtype == object:
                strings: Any = [str(v).encode() for v in array.ravel()]
                tensor = helper.make_tensor(name, self._onnx.TensorProto.STRING, array.shape, strings)
            else:
                tensor = self._onnx.numpy_helper.from_array(array, name)
            self._constants[key] = tensor
        return str(self._constants[key].name)

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add one node with one output and return the output's name.

        Attribute values are Python numbers, strings, lists, numpy arrays (as tensors) or onnx protos.
        """
        return self.ops(op_type, *inputs, n_outputs=1, domain=domain, **attributes)[0]

    def ops(self, op_type: str, *inputs: str, n_outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add one node with several outputs and return their names."""
        values = {k: self._attribute(v) for k, v in attributes.items() if v is not None}
        key = (op_type, domain, inputs, n_outputs, _digest(values))
        if key not in self._known:
            outputs = [self._fresh(op_type.lower()) for _ in range(n_outputs)]
            self._nodes.append(self._onnx.helper.make_node(op_type, list(inputs), outputs, domain=domain, **values))
            self._domains.add(domain)
            self._known[key] = outputs
        return self._known[key]

    def concat(self, values: list[str], axis: int = 1) -> str:
        """Join values along `axis`; a single one is passed through."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def cast(self, value: str, dtype: str) -> str:
        """Cast to "double", "float", "int64", "string" or "bool"."""
        return self.op("Cast", value, to=self._type(dtype))

    def columns(self, value: str, indices: list[int]) -> str:
        """Pick columns of a two-dimensional value."""
        return self.op("Gather", value, self.constant(indices, np.int64), axis=1)

    def output(self, value: str, name: str, dtype: str, shape: list[int | None]) -> None:
        """Declare graph output `name`, equal to `value`."""
        self._reserve(name)
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(dtype), shape))

    def model(self, metadata: dict[str, str] | None = None) -> ModelProto:
        """The finished, checked model.

        Raises
        ------
        NotExportable
            The graph would exceed the 2 GiB that a model file can hold.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid(d, _DOMAINS[d]) for d in sorted(self._domains | {"", "ai.onnx.ml"})]
        model: ModelProto = helper.make_model(
            graph, opset_imports=opsets, producer_name="automl_wf", ir_version=IR_VERSION
        )
        helper.set_model_props(model, metadata or {})
        if model.ByteSize() >= 2**31:
            raise NotExportable(
                f"The graph would take {model.ByteSize():,} bytes; one ONNX file holds less than 2 GiB. "
                "Fit with fewer or smaller models (preset='fast')."
            )
        if "com.microsoft" not in self._domains:
            self._onnx.checker.check_model(model)
        return model

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "OU":
                strings: Any = [str(v).encode() for v in value.ravel()]
                return self._onnx.helper.make_tensor("", self._onnx.TensorProto.STRING, value.shape, strings)
            return self._onnx.numpy_helper.from_array(value)
        return value

    def _type(self, dtype: str) -> int:
        return int(getattr(self._onnx.TensorProto, dtype.upper()))

    def _fresh(self, stem: str) -> str:
        self._count += 1
        name = f"_{stem}_{self._count}"
        return self._fresh(stem) if name in self._used_names else name

    def _reserve(self, name: str) -> None:
        if name in self._used_names:
            raise NotExportable(f"The graph has two values called {name!r}.")
        self._used_names.add(name)


def _digest(attributes: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(attributes):
        value = attributes[key]
        digest.update(key.encode())
        digest.update(value.SerializeToString() if hasattr(value, "SerializeToString") else repr(value).encode())
    return digest.hexdigest()
