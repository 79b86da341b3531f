"""Opens a package: checks every hash first, then predicts through ONNX, or opens the pickle if that is asked for."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import InconsistentVersionWarning

from automl_wf.core.compat import load_onnxruntime
from automl_wf.core.frame import read_table
from automl_wf.core.schema import Column, ColumnKind, Schema
from automl_wf.core.table import Strings, Table
from automl_wf.deployment.manifest import find_damages
from automl_wf.exceptions import PackageError


class LoadedModel:
    """A model that predicts through a package's ONNX graph; made by `load`.

    Parameters
    ----------
    path : Path
        The package.
    n_threads : int, default=1
        Threads for one prediction.

    Attributes
    ----------
    config : dict
        The package's config.json.
    schema : Schema
        The input columns.
    classes_ : ndarray of shape (n_classes,) or None
        The classes, in the order of the columns of `predict_proba`.
    """

    def __init__(self, path: Path, n_threads: int = 1) -> None:
        onnxruntime = load_onnxruntime()
        graph = path / "model/model.onnx"
        self.path = path
        self.config: dict[str, Any] = json.loads((path / "model/config.json").read_text(encoding="utf-8"))
        facts = json.loads((path / "model/metadata.json").read_text(encoding="utf-8"))
        if not graph.is_file():
            raise PackageError(
                f"{path} holds no graph: {facts['graph']['reason']} Open the pickle with load(path, trained=True)."
            )
        self.schema = read_schema(facts, self.config)
        self.classes_ = _classes(self.config["classes"], facts["class_dtype"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
        self._session = onnxruntime.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = {value.name for value in self._session.get_outputs()}

    def predict(self, X: Any) -> NDArray[Any]:
        """Classes, values or scores.

        Parameters
        ----------
        X : DataFrame, array-like of shape (n_rows, n_columns), or sequence of mapping
            Columns of a frame and keys of mappings are found by name in any order; columns of an array by position.

        Returns
        -------
        ndarray of shape (n_rows,)
            Predictions.

        Raises
        ------
        InvalidInput
            A column is missing or a cell cannot be read; both are named.
        """
        if self.classes_ is None:
            return self._run(X, "prediction").reshape(-1)
        return self._labels(self._run(X, "label"))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_rows, n_classes); raises PackageError where the task has none."""
        if self.classes_ is None:
            raise PackageError(f"A {self.config['task']} model has no probabilities. Call predict.")
        return self._run(X, "probabilities")

    def predict_interval(self, X: Any) -> NDArray[Any]:
        """Lower and upper end of shape (n_rows, 2), or which classes belong to the set, of shape (n_rows, n_classes).

        Parameters
        ----------
        X : DataFrame, array-like of shape (n_rows, n_columns), or sequence of mapping
            As for `predict`.

        Returns
        -------
        ndarray of float64 or bool
            They hold the truth with a probability of at least 95 %, the level that is in the graph.

        Raises
        ------
        PackageError
            The graph has neither: it ranks, or there were too few rows to tell.
        """
        if "in_set" in self._interval_outputs():
            return self._run(X, "in_set")
        return np.column_stack([self._run(X, "lower").reshape(-1), self._run(X, "upper").reshape(-1)])

    def tabulate(self, table: Table, *, intervals: bool = False) -> pd.DataFrame:
        """Everything that the graph says of some rows.

        Parameters
        ----------
        table : Table
            Rows, read as the schema describes them.
        intervals : bool, default=False
            Add intervals of values, or sets of classes.

        Returns
        -------
        DataFrame
            `label` and `probability_<class>` for each class, with `set` (a JSON list of classes); or `prediction`, with
            `lower` and `upper`.

        Raises
        ------
        PackageError
            Intervals are asked for and the graph has none.
        """
        kinds = ("prediction",) if self.classes_ is None else ("label", "probabilities")
        names = [*kinds, *(self._interval_outputs() if intervals else ())]
        found = dict(zip(names, self._outputs_of(table, names), strict=True))
        if self.classes_ is None:
            return pd.DataFrame({name: values.reshape(-1) for name, values in found.items()})
        classes = self.config["classes"]
        columns = {"label": self._labels(found["label"])}
        columns |= {f"probability_{c}": found["probabilities"][:, i] for i, c in enumerate(classes)}
        if intervals:
            sets = [json.dumps([c for c, is_in in zip(classes, row, strict=True) if is_in]) for row in found["in_set"]]
            columns["set"] = np.array(sets, dtype=object)
        return pd.DataFrame(columns)

    def _interval_outputs(self) -> tuple[str, ...]:
        if "in_set" in self._outputs:
            return ("in_set",)
        if "lower" not in self._outputs:
            raise PackageError("This graph has no intervals: it ranks, or was fitted on too few rows to tell.")
        return ("lower", "upper")

    def _labels(self, found: NDArray[Any]) -> NDArray[Any]:
        """Labels of the graph as the classes that they stand for."""
        assert self.classes_ is not None
        codes = {_key(c): code for code, c in enumerate(self.config["classes"])}
        return np.asarray(self.classes_[[codes[_key(label)] for label in found.reshape(-1).tolist()]])

    def _run(self, X: Any, output: str) -> NDArray[Any]:
        table = read_table(_as_table(X), self.schema, owner="LoadedModel", on_unknown=self.config["on_unknown"])
        return self._outputs_of(table, [output])[0]

    def _outputs_of(self, table: Table, outputs: Sequence[str]) -> list[NDArray[Any]]:
        names = [self.config["outputs"].get(output, output) for output in outputs]
        results: list[NDArray[Any]] = self._session.run(names, self._feed(table))
        return results

    def _feed(self, table: Table) -> dict[str, NDArray[Any]]:
        if self.config["tensor"]:
            return {self.config["tensor"]: table.numbers(range(len(table.cells)))}
        return {
            column.input_name: (cells.values() if isinstance(cells, Strings) else cells).reshape(-1, 1)
            for column, cells in zip(self.schema.columns, table.cells, strict=True)
            if column.input_name in self._inputs
        }

    def __repr__(self) -> str:
        about, n = self.config, len(self.config["columns"])
        return f"LoadedModel({about['name']!r}, version {about['version']}, {about['task']}, {n} columns)"


def load(path: str | os.PathLike[str], trained: bool = False) -> Any:
    """Open a package.

    Parameters
    ----------
    path : path-like
        Folder written by `export`.
    trained : bool, default=False
        Open the pickle of the fitted estimator instead of the graph. A pickle can run any code: open only packages of
        people you trust.

    Returns
    -------
    LoadedModel or estimator
        With `predict` and, for classes, `predict_proba`.

    Raises
    ------
    PackageError
        A file is not as it was written; or the pickle was made by other versions of the libraries it needs.
    """
    folder = Path(path)
    differences = find_damages(folder)
    if differences:
        what = "; ".join(f"{d.file} {d.reason}" for d in differences[:5])
        raise PackageError(f"{folder} is not the package that was written: {what}. Get an undamaged copy.")
    return _unpickle(folder) if trained else LoadedModel(folder)


def read_schema(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Schema:
    """The schema, back from metadata.json and config.json."""
    columns = tuple(
        Column(**{**{k: v for k, v in c.items() if k != "edge"}, "kind": ColumnKind(c["kind"])})
        for c in facts["columns"]
    )
    levels = {c.position: np.array(config["categories"].get(c.name, []), dtype=object) for c in columns}
    return Schema(columns, facts["layout"], facts["n_rows"], levels)


def _unpickle(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return pickle.loads((folder / "model/model.pkl").read_bytes())
        except (InconsistentVersionWarning, ImportError, AttributeError) as error:
            raise PackageError(
                f"model.pkl needs the versions it was made with: {error} Install {folder / 'requirements-train.txt'}, "
                "or predict through the graph with load(path)."
            ) from error


def _as_table(X: Any) -> Any:
    is_rows = isinstance(X, Sequence) and not isinstance(X, str) and len(X) > 0 and isinstance(X[0], Mapping)
    return pd.DataFrame.from_records(X).astype(object) if is_rows else X


def _classes(classes: list[Any] | None, dtype: str | None) -> NDArray[Any] | None:
    return None if classes is None else np.array(classes, dtype=object).astype(np.dtype(dtype or "O"))


def _key(label: Any) -> str | float:
    """What a class and the graph's label for it have in common: the graph knows text and numbers only."""
    return label if isinstance(label, str) else str(label) if label is None else float(label)
