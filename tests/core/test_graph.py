"""GraphBuilder: what is built runs, equal things are written once, names do not clash."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from automl_wf.core.graph import IR_VERSION, ML_OPSET, OPSET, GraphBuilder
from automl_wf.exceptions import NotExportable


def run(model: Any, **feed: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def test_a_small_graph() -> None:
    builder = GraphBuilder("sums")
    x = builder.input("x", "double", 2)
    picked = builder.columns(x, [1])
    total = builder.op("Add", picked, builder.constant(0.1, np.float64))
    builder.output(builder.concat([picked, total]), "both", "double", [None, 2])
    model = builder.model({"task": "none"})
    assert run(model, x=np.array([[1.0, 2.0]]))[0].tolist() == [[2.0, 2.1]]
    assert {o.domain: o.version for o in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert (model.ir_version, model.graph.name, model.metadata_props[0].value) == (IR_VERSION, "sums", "none")


def test_equal_constants_and_operations_are_written_once_and_others_are_not() -> None:
    builder = GraphBuilder()
    x = builder.input("x", "double")
    assert builder.constant([1.0, 2.0]) == builder.constant(np.array([1.0, 2.0]))
    assert builder.constant(["a"]) == builder.constant(np.array(["a"], dtype=object))
    names = {
        builder.constant(v, dtype)
        for v, dtype in [(0.0, None), (-0.0, None), (0, np.int64), ([0.0], None), (0.0, np.float32), (False, None)]
    }
    assert len(names) == 6
    assert builder.op("Exp", x) == builder.op("Exp", x)
    assert builder.cast(x, "int64") != builder.cast(x, "float")
    assert builder.op("Concat", x, x, axis=0) != builder.op("Concat", x, x, axis=1)
    assert builder.concat([x]) == x


def test_text_of_any_script_survives() -> None:
    builder = GraphBuilder()
    builder.input("x", "string")
    keys = np.array(["東京", ""], dtype=object)
    found = builder.op(
        "LabelEncoder",
        "x",
        domain="ai.onnx.ml",
        keys_tensor=keys,
        values_tensor=np.array([7.0, 8.0]),
        default_tensor=np.array([-1.0]),
    )
    builder.output(found, "code", "double", [None, 1])
    fed = np.array([["東京"], [""], ["x"]], dtype=object)
    assert run(builder.model(), x=fed)[0].ravel().tolist() == [7.0, 8.0, -1.0]


def test_a_name_taken_twice_and_names_like_our_own() -> None:
    builder = GraphBuilder()
    builder.input("_c_1", "double")
    assert builder.constant(1.0) != "_c_1"
    with pytest.raises(NotExportable, match="two values called '_c_1'"):
        builder.output("_c_1", "_c_1", "double", [None, 1])
