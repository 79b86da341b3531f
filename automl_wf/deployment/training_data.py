"""Figures that follow from a package together with its training data: counted, or found out by fitting again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.business import take_columns
from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.csv_file import CsvDialect
from automl_wf.core.fingerprint import fingerprint, fingerprint_in_any_order, target_fingerprint
from automl_wf.core.frame import is_parquet, learn_schema, read_file, read_table
from automl_wf.core.row_sketch import RowSketch
from automl_wf.core.schema import Schema
from automl_wf.core.spelled_numbers import read_spelled_numbers
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.data_preparation import arrange_rows
from automl_wf.data_preparation.splitting import time_order
from automl_wf.deployment.card import build_card, facts_of, plain
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.loading import read_schema
from automl_wf.deployment.subject import Subject, describe_environment
from automl_wf.evaluation.groups import measure_groups
from automl_wf.evaluation.held_out import HeldOut
from automl_wf.evaluation.slices import find_slices
from automl_wf.exceptions import NotExportable, PackageError, WorkflowError
from automl_wf.problem_definition.target import Target, read_target

#: ``fit_again(estimator, parameters, X, y, groups)`` → what a fit like the recorded one would be packaged as.
FitAgain = Callable[[str, Mapping[str, Any], Any, Any, NDArray[Any] | None], Subject]

NO_DATA = "needs the training data"
NO_TARGET = "needs the target as a column of the training data"
NO_OUTCOMES = "needs the columns that business= names in the training data"
NOT_HERE = "needs a fit: automl-wf verify --data, or the parameter fit_again"


@dataclass(frozen=True)
class TrainingData:
    """The training data as they were handed over, and the package that they are to be those of.

    Parameters
    ----------
    evidence : Evidence
        The package.
    data : DataFrame or array-like
        X, and what else is in the file.
    table : Table
        X, read as the package describes it.
    fit_again : callable or None
        How to fit like the recorded fit; None: no figure is computed by that.
    """

    evidence: Evidence
    data: Any
    table: Table
    fit_again: FitAgain | None = None

    @classmethod
    def read(
        cls, data: Any, evidence: Evidence, fit_again: FitAgain | None = None, dialect: CsvDialect | None = None
    ) -> TrainingData:
        """Read the training data as the package's schema says.

        Parameters
        ----------
        data : DataFrame, array-like or path
            The training table, or a CSV or Parquet file of it.
        evidence : Evidence
            The package.
        fit_again : callable or None, default=None
            See the class.
        dialect : CsvDialect, optional
            How a CSV file is written.

        Returns
        -------
        TrainingData
            Read.

        Raises
        ------
        PackageError
            They cannot be read so.
        """
        try:
            schema = read_schema(evidence.facts, evidence.config)
            if isinstance(data, (str, os.PathLike)):
                data = _read_file(data, dialect, evidence, schema)
            data = _with_target(data, evidence)
            table = read_table(data, schema, owner="verify")
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, WorkflowError) as error:
            what = f"{type(error).__name__}: {error}"[:300]
            raise PackageError(f"The data cannot be read as the package describes them: {what}") from error
        n_rows = evidence.facts["problem"]["fingerprint"]["n_rows"]
        if table.n_rows != n_rows:
            raise PackageError(
                f"The data are not the table that the model was fitted on: {table.n_rows:,} rows, {n_rows:,} expected. "
                "Give that table. Two models are judged on other rows by `automl-wf compare OLD NEW --data FILE`; "
                "one by what `automl-wf predict` says of them."
            )
        return cls(evidence, data, table, fit_again)

    @cached_property
    def target(self) -> Target | None:
        """The column named as the target, if there is one that can be read as such."""
        name = self.evidence.facts["target"]
        if not isinstance(self.data, pd.DataFrame) or name not in self.data:
            return None
        try:
            return read_target(self.data[name], Task(self.evidence.facts["task"]).family, len(self.data), "verify")
        except WorkflowError:
            # A column that only happens to have this name is no target
            return None

    @cached_property
    def has_the_rows(self) -> bool:
        """Whether these are the rows that the held-out predictions are of, in their order."""
        recorded: str | None = self.evidence.facts["data"].get("fingerprint")
        return fingerprint(self.table.cells) == recorded

    def lacking(self, recipe: Mapping[str, Any]) -> str:
        """What a figure cannot be computed without, in words; "" if all is there."""
        name = recipe["compute"]
        if name in ("fingerprint_target", "fit") and self.target is None:
            return NO_TARGET
        if name in ("slices", "groups", "business", "fit") and not self.has_the_rows:
            return "needs the rows that the model was fitted on, in their order: see training_data.fingerprint"
        if name == "business" and set(_outcomes(self.evidence)) - set(_columns(self.data)):
            return NO_OUTCOMES
        return self._no_fit if name == "fit" else ""

    @cached_property
    def _no_fit(self) -> str:
        """Why there is no fit to compare with, in words; "": there is one."""
        facts = self.evidence.facts
        if self.fit_again is None:
            return NOT_HERE
        here, then = describe_environment(), facts["environment"]
        others = [name for name, value in plain(here).items() if value != then.get(name)]
        if others:
            return f"the model was fitted in another environment ({', '.join(others)}): see requirements-train.txt"
        inputs, _ = take_columns(_inputs(self.data, self.evidence), facts["parameters"].get("business"))
        columns = learn_schema(inputs, facts["parameters"].get("schema"))[0].columns
        read = [(c.name, c.dtype, c.kind.value) for c in columns]
        if read != [(c["name"], c["dtype"], c["kind"]) for c in facts["columns"]]:
            return "the columns are of other types than those the model was fitted on: hand over a Parquet file of them"
        return ""

    @cached_property
    def card(self) -> dict[str, Any]:
        """The card of another fit on these data; what was measured while the package was written is taken from it."""
        assert self.fit_again is not None
        evidence, target = self.evidence, self.evidence.facts["target"]
        facts, call = evidence.facts, evidence.facts["call"]
        subject = self.fit_again(
            call["estimator"],
            {**facts["parameters"], "verbose": 0, "checkpoint": None},
            _inputs(self.data, evidence),
            self.data[target],
            self._spread("group") if call["groups"] else None,
        )
        graph = {**facts["graph"], "parity": _parity(subject)}
        again: dict[str, Any] = plain(build_card(facts_of(subject, facts["info"], graph, facts["measured"])))
        return again

    @cached_property
    def unit(self) -> NDArray[Any] | None:
        """Which held-out rows are copies of one row, where there are such and no groups."""
        evidence = self.evidence
        rows = evidence.scored
        if "group" in rows:
            return None
        n_used = np.bincount(rows["row"], minlength=self.table.n_rows)
        weight = n_used.astype(np.float64) if n_used.max() > 1 else None
        is_automatic = isinstance(evidence.facts["parameters"].get("cv"), str)
        in_order = is_automatic and time_order(self.table) is not None
        arranged = arrange_rows(self.table, self._spread("y"), weight, None, in_order=in_order)
        if arranged.copies is None:
            return None
        copies = np.zeros(self.table.n_rows, dtype=np.int64)
        copies[arranged.index] = arranged.copies
        return copies[rows["row"]]

    def _spread(self, name: str) -> NDArray[Any]:
        """An array of the held-out rows at their positions among all rows; those never held out have 0."""
        rows = self.evidence.scored
        spread = np.zeros(self.table.n_rows, dtype=rows[name].dtype)
        spread[rows["row"]] = rows[name]
        return spread


def compute_from_data(data: TrainingData, recipe: Mapping[str, Any], name: str = "") -> Any:
    """A figure of the class "data", in plain JSON types.

    Parameters
    ----------
    data : TrainingData
        Nothing is lacking.
    recipe : mapping
        The field's "evidence".
    name : str, default=""
        "section.field", for what another fit says of it.

    Returns
    -------
    object
        The field's value.

    Raises
    ------
    KeyError
        There is no such figure.
    """
    if recipe["compute"] == "fit":
        section, _, field = name.partition(".")
        return (data.card["sections"].get(section, {}).get(field) or {}).get("value")
    return plain(FIGURES[recipe["compute"]](data, recipe))


def _inputs(data: Any, evidence: Evidence) -> Any:
    """X as it was given to `fit`: the columns of the schema, and the outcomes that `business` takes out of it."""
    if evidence.facts["layout"] == "array":
        return data
    outcomes = [name for name in _outcomes(evidence) if name in _columns(data)]
    names = [column["name"] for column in evidence.facts["columns"]]
    by_name = {str(column): column for column in data.columns}
    return data[[by_name[name] for name in dict.fromkeys([*names, *outcomes])]]


def _read_file(
    path: str | os.PathLike[str], dialect: CsvDialect | None, evidence: Evidence, schema: Schema
) -> pd.DataFrame:
    """The table of a file; where it was fitted on as pandas reads CSV by itself, with NA in text as missing, so."""

    def is_the_table(candidate: pd.DataFrame) -> bool:
        with suppress(WorkflowError):
            cells = read_table(_with_target(candidate, evidence), schema, owner="verify").cells
            return bool(fingerprint(cells) == evidence.facts["data"].get("fingerprint"))
        return False

    data = read_file(path, dialect)
    if is_parquet(path) or is_the_table(data):
        return data
    by_pandas = pd.read_csv(path, low_memory=False, **(dialect or CsvDialect()).options)
    return by_pandas if is_the_table(by_pandas) else data


def _with_target(data: Any, evidence: Evidence) -> Any:
    """The rows whose target is there, others cannot have been fitted on; numbers written as text are numbers."""
    name = evidence.facts["target"]
    if isinstance(data, pd.DataFrame) and name in data and Task(evidence.facts["task"]) is Task.REGRESSION:
        spelled = read_spelled_numbers(data[name])
        if spelled is not None:
            data = data.assign(**{name: spelled.values})
    if not isinstance(data, pd.DataFrame) or name not in data or not data[name].isna().any():
        return data
    return data[data[name].notna()].reset_index(drop=True)


def _outcomes(evidence: Evidence) -> list[str]:
    worth = evidence.facts["problem"].get("business") or {}
    return list((worth.get("columns") or {}).values())


def _columns(data: Any) -> list[Any]:
    return list(data.columns) if isinstance(data, pd.DataFrame) else []


def _parity(subject: Subject) -> Any:
    try:
        return dict(subject.to_onnx()[1])
    except NotExportable:
        return None


def _slices(data: TrainingData, recipe: Mapping[str, Any]) -> Any:
    return asdict(find_slices(_held_out(data), seed=data.evidence.facts["seed"]))


def _groups(data: TrainingData, recipe: Mapping[str, Any]) -> Any:
    held_out, by_name = _held_out(data), {c.name: c for c in data.table.schema.columns}
    named = [group["column"] for group in data.evidence.facts["evaluation"]["groups"]["columns"]]
    return asdict(
        measure_groups(
            held_out.held,
            held_out.table,
            [by_name[name] for name in named],
            pos_index=held_out.scoring.pos_index,
            labels=held_out.labels,
            seed=data.evidence.facts["seed"],
        )
    )


def _business(data: TrainingData, recipe: Mapping[str, Any]) -> Any:
    worth = data.evidence.facts["problem"]["business"]
    rows = data.evidence.scored["row"]
    columns = {role: values[rows] for role, values in take_columns(data.data, worth["columns"])[1].items()}
    return data.evidence.evaluate(data.evidence.business, columns)["business"][recipe["key"]]


def _held_out(data: TrainingData) -> HeldOut:
    return data.evidence.held_out(data.table.take(data.evidence.scored["row"]), data.unit)


def _count_columns(data: TrainingData, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = ("name", "dtype", "is_used", "reason")
    out = []
    for column, cells in zip(data.table.schema.columns, data.table.cells, strict=True):
        known = _known(cells)
        counts = {"n_missing": data.table.n_rows - len(known), "n_unique": len(pd.unique(known))}
        out.append({"kind": column.kind.value, **{k: getattr(column, k) for k in keys}, **counts})
    return out


def _ranges(data: TrainingData, recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    out = []
    for column, cells in zip(data.table.schema.columns, data.table.cells, strict=True):
        known = _known(cells)
        if column.is_used and column.edge == "double" and len(known):
            out.append({"name": column.name, "minimum": known.min(), "maximum": known.max()})
    return out


def _known(cells: Cells) -> Any:
    if isinstance(cells, Strings):
        values = cells.values()
        return values[values != ""]
    return cells[~np.isnan(cells)] if cells.dtype.kind == "f" else cells[cells != MISSING_TIME]


def _target(data: TrainingData, recipe: Mapping[str, Any]) -> str | None:
    target = data.target
    return None if target is None else target_fingerprint(target.values, target.classes)


#: Name in a card field's "evidence" → how it is computed; "fit" is another way.
FIGURES: dict[str, Callable[[TrainingData, Mapping[str, Any]], Any]] = {
    "fingerprint": lambda data, _: fingerprint(data.table.cells),
    "fingerprint_any_order": lambda data, _: fingerprint_in_any_order(data.table.cells),
    "fingerprint_target": _target,
    "fingerprint_row_hashes": lambda data, _: RowSketch.of(data.table.cells, data.evidence.facts["seed"] or 0).sha256,
    "n_rows": lambda data, _: data.table.n_rows,
    "columns": _count_columns,
    "ranges": _ranges,
    "slices": _slices,
    "groups": _groups,
    "business": _business,
}
