"""Two protocols that other tools speak, as other shapes of the same rows: Open Inference Protocol v2, and MLflow's.

Both end in the table that POST /v1/predict reads, so that predictions are the same whichever is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.model import INTERVAL_OUTPUTS, Model, finite
from api.predictions import Predicted
from api.problems import FieldError, Problem
from api.schemas import Table, Wishes, columns_table, refuse, rows_table, unusable

Read = tuple[Table, Wishes, list[dict[str, Any]]]
_WHOLE = frozenset(f"{sign}INT{size}" for sign in ("", "U") for size in (8, 16, 32, 64))
_REAL = frozenset({"FP16", "FP32", "FP64"})
DATATYPES = (*sorted(_WHOLE), *sorted(_REAL), "BOOL", "BYTES")
_FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


# Open Inference Protocol


def input_tensors(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tensors that a model takes, for its metadata: one for each column that it reads."""
    return [{"name": c["name"], "datatype": _datatype(c), "shape": [-1]} for c in config["columns"] if c["is_used"]]


def output_tensors(model: Model) -> list[dict[str, Any]]:
    """The tensors that a model gives, for its metadata."""
    if not model.classes:
        tensors = [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
        intervals = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ("lower", "upper")]
    else:
        n = len(model.classes)
        tensors = [
            {"name": "label", "datatype": _label_type(model.classes), "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, n]},
        ]
        intervals = [{"name": "in_set", "datatype": "BOOL", "shape": [-1, n]}]
    return tensors + intervals if model.has_intervals else tensors


def describe(model: Model) -> dict[str, Any]:
    """The metadata of a model."""
    return {
        "name": model.config["name"],
        "versions": [model.config["version"]],
        "platform": "onnxruntime",
        "inputs": input_tensors(model.config),
        "outputs": output_tensors(model),
    }


def _datatype(column: Mapping[str, Any]) -> str:
    """Of a column's example, which is written as clients write it; without one, of its kind."""
    example = column["example"]
    if isinstance(example, bool) or (example is None and column["kind"] == "boolean"):
        return "BOOL"
    is_number = isinstance(example, (int, float)) or (example is None and column["edge"] == "double")
    return "FP64" if is_number else "BYTES"


def _label_type(classes: Sequence[Any]) -> str:
    kinds = set(map(type, classes))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


class Inference:
    """One inference request: remembers between reading and writing what was asked for."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._asked: list[str] = []

    def read(self, payload: Any, model: Model) -> Read:
        """Read the body: tensors, each a column, or one that holds all of them.

        Raises
        ------
        Problem
            413 too many rows, 422 anything else that cannot be used.
        """
        tensors = payload.get("inputs") if isinstance(payload, dict) else None
        if not isinstance(tensors, list):
            raise Problem("invalid-input", 'Send an object with "inputs", a list of tensors.')
        errors = [error for i, tensor in enumerate(tensors) for error in _check_tensor(tensor, i)]
        refuse(errors)
        self._id = payload["id"] if isinstance(payload.get("id"), str) else None
        self._asked = _names_asked(payload, [tensor["name"] for tensor in output_tensors(model)])
        columns = {tensor["name"]: tensor for tensor in tensors}
        if set(columns) == {model.config["tensor"]}:
            cells = _split(columns[model.config["tensor"]], model)
        else:
            cells = {name: list(_flat(tensor["data"])) for name, tensor in columns.items()}
        return columns_table(cells, model), Wishes(intervals=any(name in INTERVAL_OUTPUTS for name in self._asked)), []

    def write(self, found: Predicted) -> dict[str, Any]:
        """The answer."""
        n, data = found.outputs.n_rows, _tensor_data(found)
        tensors = [
            t for t in output_tensors(found.model) if t["name"] in (self._asked or found.model.config["outputs"])
        ]
        answer: dict[str, Any] = {
            "model_name": found.model.config["name"],
            "model_version": found.model.config["version"],
            "outputs": [{**t, "shape": [n, *t["shape"][1:]], "data": data[t["name"]]} for t in tensors],
        }
        return answer if self._id is None else {**answer, "id": self._id}


def _names_asked(payload: Mapping[str, Any], there: Sequence[str]) -> list[str]:
    outputs = payload.get("outputs") or []
    names = [o.get("name") if isinstance(o, dict) else None for o in outputs] if isinstance(outputs, list) else [None]
    if not all(name in there for name in names):
        refuse([unusable("outputs", f"expected a list of objects with a name: {', '.join(there)}")])
    return [str(name) for name in names]


def _check_tensor(tensor: Any, i: int) -> list[FieldError]:
    place = f"inputs.{i}"
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        return [unusable(place, "expected an object with name, datatype, shape and data")]
    datatype, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        return [unusable(f"{place}.datatype", f"expected one of {', '.join(DATATYPES)}")]
    if not isinstance(data, list):
        return [unusable(f"{place}.data", "expected a list; binary data is not read")]
    cells = list(_flat(data))
    if not isinstance(shape, list) or not _is_shape(shape) or math.prod(shape) != len(cells):
        return [unusable(f"{place}.shape", f"expected the shape of {len(cells)} cells: rows, or rows and columns")]
    wrong = next((row for row, cell in enumerate(cells) if not _is_of(cell, datatype)), None)
    if wrong is None:
        return []
    return [{**unusable(f"{place}.data", f"expected {datatype} or null"), "row": wrong}]


def _is_shape(shape: list[Any]) -> bool:
    return 1 <= len(shape) <= 2 and all(type(n) is int and 0 <= n <= 10**6 for n in shape)


def _is_of(cell: Any, datatype: str) -> bool:
    if cell is None:
        return True
    if datatype == "BOOL":
        return isinstance(cell, bool)
    if datatype == "BYTES":
        return isinstance(cell, str)
    return type(cell) is int or (datatype in _REAL and type(cell) is float)


def _flat(data: Sequence[Any]) -> Iterator[Any]:
    """Cells of a list, or of a list of lists."""
    for cell in data:
        if isinstance(cell, list):
            yield from cell
        else:
            yield cell


def _split(tensor: Mapping[str, Any], model: Model) -> dict[str, list[Any]]:
    """Columns of the one tensor that holds all of them, in the order of the training table."""
    names = [c["name"] for c in model.config["columns"]]
    shape, cells = tensor["shape"], list(_flat(tensor["data"]))
    if len(shape) != 2 or shape[1] != len(names):
        refuse([unusable("inputs.0.shape", f"expected rows and {len(names)} columns")])
    return {name: cells[i :: len(names)] for i, name in enumerate(names)}


def _tensor_data(found: Predicted) -> dict[str, list[Any]]:
    outputs, model = found.outputs, found.model
    data: dict[str, list[Any]] = {}
    if outputs.codes is None:
        data["prediction"] = finite(outputs.values)
    else:
        labels = model.class_names if _label_type(model.classes) == "BYTES" else model.classes
        data["label"] = [labels[code] for code in outputs.codes]
        data["probabilities"] = [share for row in finite(outputs.probabilities) for share in row]
    if outputs.bounds is not None:
        data["lower"], data["upper"] = (finite(ends) for ends in outputs.bounds.T)
    if outputs.in_set is not None:
        data["in_set"] = outputs.in_set.ravel().tolist()
    return data


# MLflow


def read_invocations(payload: Any, model: Model) -> Read:
    """Read the body of POST /invocations: one of MLflow's four forms.

    Raises
    ------
    Problem
        413 too many rows, 422 anything else that cannot be used.
    """
    forms = [form for form in _FORMS if isinstance(payload, dict) and form in payload]
    if len(forms) != 1:
        raise Problem("invalid-input", f"Send an object with one of {', '.join(_FORMS)}.")
    content = payload[forms[0]]
    if forms[0] == "dataframe_split":
        return _from_split(content, model), Wishes(), []
    if forms[0] == "dataframe_records":
        return rows_table(content, model), Wishes(), []
    if isinstance(content, dict):
        columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in content.items()}
        return columns_table({name: list(_flat(cells)) for name, cells in columns.items()}, model), Wishes(), []
    if isinstance(content, list) and all(isinstance(row, list) for row in content):
        return _by_position(content, [c["name"] for c in model.config["columns"]], forms[0], model), Wishes(), []
    return rows_table(content, model), Wishes(), []


def _from_split(content: Any, model: Model) -> Table:
    columns, data = (content.get(key) if isinstance(content, dict) else None for key in ("columns", "data"))
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        refuse([unusable("dataframe_split.columns", "expected a list of names")])
    if not isinstance(data, list):
        refuse([unusable("dataframe_split.data", "expected a list of rows")])
    return _by_position(data or [], columns or [], "dataframe_split.data", model)


def _by_position(rows: Sequence[Any], names: Sequence[str], place: str, model: Model) -> Table:
    wrong = [i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != len(names)]
    refuse([{**unusable(place, f"expected a list of {len(names)} cells"), "row": i} for i in wrong])
    return columns_table({name: [row[i] for row in rows] for i, name in enumerate(names)}, model)
