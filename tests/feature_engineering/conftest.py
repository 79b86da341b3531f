"""Blocks to feed transformers with, and a graph of one transformer to compare it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from automl_wf.core.graph import GraphBuilder
from automl_wf.core.table import Strings
from automl_wf.feature_engineering.view_onnx import EMIT


def strings_of(values: list[str]) -> Strings:
    levels = np.array(list(dict.fromkeys(values)), dtype=object)
    place = {level: i for i, level in enumerate(levels)}
    return Strings(np.array([place[v] for v in values], dtype=np.int32), levels)


def run_transformer(transformer: Any, block: Any) -> np.ndarray:
    """What the transformer's graph makes of a block."""
    import onnxruntime

    builder = GraphBuilder()
    if isinstance(block, np.ndarray) and block.dtype == np.float64:
        inputs = [builder.input("numbers", "double", block.shape[1])]
        feed = {"numbers": block}
    else:
        columns = (
            block.T if isinstance(block, np.ndarray) else [c.values() if isinstance(c, Strings) else c for c in block]
        )
        dtypes = {"O": "string", "i": "int64", "f": "double"}
        inputs = [builder.input(f"c{j}", dtypes[column.dtype.kind]) for j, column in enumerate(columns)]
        feed = {name: column[:, None] for name, column in zip(inputs, columns, strict=True)}
    out = EMIT[type(transformer)](transformer, builder, inputs)
    builder.output(out, "features", "double", [None, transformer.n_features_out_])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        builder.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)[0]


@pytest.fixture
def strings() -> Callable[[list[str]], Strings]:
    """`strings(values)`: a column of strings."""
    return strings_of


@pytest.fixture
def graph() -> Callable[[Any, Any], np.ndarray]:
    """`graph(transformer, block)`: run the transformer's graph."""
    return run_transformer


ODD_LEVELS = ["", " ", "zürich", "東京", "🙂", 'a"b', "x{y}", "drop table;", "none", "-1", "a\nb"]


@pytest.fixture
def odd_strings() -> Callable[[int, int], Strings]:
    """`odd_strings(n_rows, seed)`: levels that tend to break things, skewed counts."""

    def make(n_rows: int, seed: int) -> Strings:
        rng = np.random.default_rng(seed)
        levels = [*ODD_LEVELS, *(f"level {i}" for i in range(30))]
        return strings_of([levels[min(int(i), len(levels) - 1)] for i in rng.geometric(0.12, n_rows) - 1])

    return make
