"""The model: columns of cells in, predictions out, through one ONNX graph."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from api.coerce import coerce

Values = dict[str, NDArray[Any]]
_NUMBERS = frozenset({int, float, bool, type(None)})
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Outputs:
    """What the graph returned, row by row.

    Parameters
    ----------
    codes : list of int or None
        Predicted classes, as positions in the list of classes.
    probabilities : ndarray of shape (n_rows, n_classes) or None
        In the order of the classes.
    values : ndarray of shape (n_rows,) or None
        Predicted values or scores.
    """

    codes: list[int] | None
    probabilities: NDArray[np.float64] | None
    values: NDArray[np.float64] | None


class Model:
    """One graph and the description of its input.

    Parameters
    ----------
    root : Path
        Folder of the package.
    n_threads : int, default=1
        Threads for one prediction.
    """

    def __init__(self, root: Path, n_threads: int = 1) -> None:
        self.config: dict[str, Any] = json.loads((root / "model" / "config.json").read_text(encoding="utf-8"))
        self.n_threads = n_threads
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
        self._session = ort.InferenceSession(
            (root / "model" / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._input_names = {value.name for value in self._session.get_inputs()}
        self.columns: list[dict[str, Any]] = [c for c in self.config["columns"] if c["is_used"]]
        self.classes: list[Any] = self.config["classes"] or []
        self.class_names = class_names(self.classes)
        self._codes = {key: code for code, c in enumerate(self.classes) for key in _label_keys(c)}
        self._known = {name: {"", *levels} for name, levels in self.config["categories"].items()}

    def read(self, column: Mapping[str, Any], cells: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """Cells of one column as its edge type; raises `coerce.CellError` naming the first that cannot be read."""
        if column["edge"] == "double" and _NUMBERS.issuperset(map(type, cells)):
            # Whole numbers beyond the range of a double are left to `coerce`, which names the row
            with contextlib.suppress(OverflowError):
                cells = np.array(cells, dtype=np.float64)
        values: NDArray[Any] = coerce(cells, column["edge"], column["cell_format"])
        return values

    def unseen(self, values: Values) -> dict[str, list[int]]:
        """Rows whose category was not in the training data, by column."""
        rows = {}
        for name in self._known.keys() & values.keys():
            strange = set(values[name].tolist()) - self._known[name]
            if strange:
                rows[name] = [i for i, level in enumerate(values[name]) if level in strange]
        return rows

    def run(self, values: Values) -> Outputs:
        """Run the graph on values read by `read`, one entry per column that is used."""
        names = self.config["outputs"]
        results = self._session.run(list(names.values()), self._feed(values))
        found = dict(zip(names, results, strict=True))
        if "prediction" in found:
            return Outputs(None, None, found["prediction"].ravel())
        codes = [self._codes[label] for label in found["label"].ravel().tolist()]
        return Outputs(codes, found["probabilities"], None)

    def predict(self, cells: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Predictions for columns of cells, as the service words them."""
        return self.word(self.run({c["name"]: self.read(c, cells[c["name"]]) for c in self.columns}))

    def word(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Outputs as plain JSON types; a number that is not finite becomes null."""
        if outputs.codes is None or outputs.probabilities is None:
            return [{"prediction": value} for value in _finite(outputs.values)]
        return [
            {"label": self.classes[code], "probabilities": dict(zip(self.class_names, row, strict=True))}
            for code, row in zip(outputs.codes, _finite(outputs.probabilities), strict=True)
        ]

    def passes_self_test(self) -> bool:
        """Whether the row kept in config.json still gives the prediction kept beside it."""
        test = self.config["self_test"]
        cells = {c["name"]: [test["row"].get(c["name"])] for c in self.columns}
        return is_close(self.predict(cells)[0], test["expected"])

    def _feed(self, values: Values) -> Values:
        if self.config["layout"] == "array":
            n_rows = len(next(iter(values.values())))
            unused = np.full(n_rows, np.nan)
            return {
                self.config["tensor"]: np.column_stack([values.get(c["name"], unused) for c in self.config["columns"]])
            }
        return {c["input"]: values[c["name"]].reshape(-1, 1) for c in self.columns if c["input"] in self._input_names}


def class_names(classes: Sequence[Any]) -> list[str]:
    """Classes as keys of a JSON object: text as it is, anything else as JSON writes it."""
    names = [c if isinstance(c, str) else json.dumps(c) for c in classes]
    return names if len(set(names)) == len(names) else [json.dumps(c) for c in classes]


def is_close(found: Any, expected: Any) -> bool:
    """Whether two predictions are equal, numbers within 1e-9 of the larger of 1 and the expected one."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(is_close(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return math.isclose(found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(found == expected)


def _label_keys(label: Any) -> list[Any]:
    """The forms that a class may take in the graph, which knows text and numbers only."""
    return [label] if isinstance(label, str) else [label, str(label), json.dumps(label)]


def _finite(numbers: NDArray[np.float64] | None) -> list[Any]:
    array = (np.empty(0) if numbers is None else numbers).astype(object)
    array[~np.isfinite(array.astype(np.float64))] = None
    rows: list[Any] = array.tolist()
    return rows
