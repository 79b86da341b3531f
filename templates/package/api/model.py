"""The model: columns of cells in, predictions out, through one ONNX graph."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from api.coerce import coerce
from api.config import read_config, read_graph
from api.start import RESTORE, StartError

Values = dict[str, NDArray[Any]]
_NUMBERS = frozenset({int, float, bool, type(None)})
TOLERANCE = 1e-9
#: What the graph may hold beside the outputs that config.json names: intervals, or sets of classes, at CONFIDENCE.
INTERVAL_OUTPUTS = ("lower", "upper", "in_set")
CONFIDENCE = 0.95


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
    bounds : ndarray of shape (n_rows, 2) or None
        Lower and upper end of the interval of each value, if they were asked for.
    in_set : ndarray of bool of shape (n_rows, n_classes) or None
        Classes that cannot be ruled out, if they were asked for.
    """

    codes: list[int] | None
    probabilities: NDArray[np.float64] | None
    values: NDArray[np.float64] | None
    bounds: NDArray[np.float64] | None = None
    in_set: NDArray[np.bool_] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.values) if self.values is not None else len(self.codes or ())


@dataclass(frozen=True)
class SelfTest:
    """What became of the row kept in config.json.

    Parameters
    ----------
    expected : object
        The prediction kept beside it.
    found : object
        What the graph predicts here; the error's name and text, if it fails.
    """

    expected: Any
    found: Any

    @property
    def passes(self) -> bool:
        """Whether they are equal, numbers within 1e-9."""
        return is_close(self.found, self.expected)


class Model:
    """One graph and the description of its input.

    Parameters
    ----------
    root : Path
        Folder of the package.
    n_threads : int, default=1
        Threads for one prediction.

    Attributes
    ----------
    names : frozenset of str
        Columns that are known, used or not.
    columns : list of dict
        Columns that are used, as in config.json.
    row_s : float
        Seconds that one row takes; infinite before the first self-test.

    Raises
    ------
    StartError
        config.json or model.onnx is missing, damaged, or nothing that can be run here.
    """

    def __init__(self, root: Path, n_threads: int = 1) -> None:
        self.config = read_config(root)
        self.n_threads, self.row_s = n_threads, math.inf
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
        self._session = _open_graph(root, read_graph(root, self.config), options)
        self._input_names = {value.name for value in self._session.get_inputs()}
        there = {value.name for value in self._session.get_outputs()}
        self._interval_names = [n for n in INTERVAL_OUTPUTS if n in there and n not in self.config["outputs"].values()]
        self.names = frozenset(c["name"] for c in self.config["columns"])
        self.columns: list[dict[str, Any]] = [c for c in self.config["columns"] if c["is_used"]]
        self.classes: list[Any] = self.config["classes"] or []
        self.class_names = class_names(self.classes)
        self._codes = {key: code for code, c in enumerate(self.classes) for key in _label_keys(c)}
        self._known = {name: {"", *levels} for name, levels in self.config["categories"].items()}

    def read_numbers(self, cells: Mapping[str, Sequence[Any]]) -> Values:
        """Those columns of numbers that hold nothing else, all at once; the others are left to `read`."""
        numeric = [c["name"] for c in self.columns if c["edge"] == "double"]
        names = [name for name in numeric if _NUMBERS.issuperset(map(type, cells[name]))]
        try:
            numbers = np.array([cells[name] for name in names], dtype=np.float64)
        except OverflowError:
            # A whole number beyond the range of a double: `read` names its row
            return {}
        numbers[np.isinf(numbers)] = np.nan
        return dict(zip(names, numbers, strict=True))

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

    @property
    def has_intervals(self) -> bool:
        """Whether the graph tells how far the truth may be from what it predicts."""
        return bool(self._interval_names)

    def run(self, values: Values, intervals: bool = False) -> Outputs:
        """Run the graph on values read by `read`, one entry per column that is used; intervals where it has them."""
        names = dict(self.config["outputs"])
        if intervals:
            names |= {name: name for name in self._interval_names}
        results = self._session.run(list(names.values()), self._feed(values))
        found = dict(zip(names, results, strict=True))
        bounds = np.column_stack([found["lower"].ravel(), found["upper"].ravel()]) if "lower" in found else None
        if "prediction" in found:
            return Outputs(None, None, found["prediction"].ravel(), bounds)
        codes = [self._codes[label] for label in found["label"].ravel().tolist()]
        return Outputs(codes, found["probabilities"], None, None, found.get("in_set"))

    def code_of(self, label: Any) -> int | None:
        """Position of a class, written as in JSON or as a key of `probabilities`; None: there is no such class."""
        return self._codes.get(label) if isinstance(label, (str, int, float, bool)) else None

    def predict(self, cells: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Predictions for columns of cells, as the service words them."""
        return self.word(self.run({c["name"]: self.read(c, cells[c["name"]]) for c in self.columns}))

    def word(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Outputs as plain JSON types; a number that is not finite becomes null."""
        if outputs.codes is None or outputs.probabilities is None:
            return [{"prediction": value} for value in finite(outputs.values)]
        return [
            {"label": self.classes[code], "probabilities": dict(zip(self.class_names, row, strict=True))}
            for code, row in zip(outputs.codes, finite(outputs.probabilities), strict=True)
        ]

    def word_intervals(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Intervals or sets of `outputs`, one per row, as plain JSON types."""
        if outputs.bounds is not None:
            return [
                {"interval": {"lower": lower, "upper": upper, "confidence": CONFIDENCE}}
                for lower, upper in finite(outputs.bounds)
            ]
        sets = [] if outputs.in_set is None else outputs.in_set.tolist()
        return [
            {
                "set": {
                    "labels": [c for c, is_in in zip(self.classes, row, strict=True) if is_in],
                    "confidence": CONFIDENCE,
                }
            }
            for row in sets
        ]

    def self_test(self) -> SelfTest:
        """Predict the row kept in config.json once more, the first time twice; the quickest run tells `row_s`."""
        test = self.config["self_test"]
        cells = {c["name"]: [test["row"].get(c["name"])] for c in self.columns}
        try:
            for _ in range(2 if math.isinf(self.row_s) else 1):
                started = time.perf_counter()
                [found] = self.predict(cells)
                self.row_s = min(self.row_s, time.perf_counter() - started)
        except Exception as error:  # whatever it is, the model does not predict as it did when it was exported
            return SelfTest(test["expected"], f"{type(error).__name__}: {error}"[:500])
        return SelfTest(test["expected"], found)

    def _feed(self, values: Values) -> Values:
        if self.config["layout"] == "array":
            n_rows = len(next(iter(values.values())))
            unused = np.full(n_rows, np.nan)
            return {
                self.config["tensor"]: np.column_stack([values.get(c["name"], unused) for c in self.config["columns"]])
            }
        return {c["input"]: values[c["name"]].reshape(-1, 1) for c in self.columns if c["input"] in self._input_names}


def _open_graph(root: Path, content: bytes, options: Any) -> Any:
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its states, all of them private
        reason = " ".join(str(error).split())[:300]
        raise StartError(
            f"onnxruntime {ort.__version__} cannot open {root / 'model' / 'model.onnx'} ({reason}). "
            f"Install the versions of requirements.txt: pip install -r requirements.txt. {RESTORE}"
        ) from None


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


def finite(numbers: NDArray[np.float64] | None) -> list[Any]:
    """Numbers as a list, or a list of rows; one that is not finite becomes None."""
    array = (np.empty(0) if numbers is None else numbers).astype(object)
    array[~np.isfinite(array.astype(np.float64))] = None
    rows: list[Any] = array.tolist()
    return rows
