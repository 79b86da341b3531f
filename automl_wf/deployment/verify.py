"""Computes a package's figures again and compares: files with the manifest, the graph with what the estimator said,
the card with the evidence. Everything that is wrong is reported, not the first thing only."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.fingerprint import fingerprint, fingerprint_in_any_order, target_fingerprint
from automl_wf.core.frame import read_file, read_table
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.core.tasks import Task
from automl_wf.deployment import certificate
from automl_wf.deployment.card import build_card, plain, render_card
from automl_wf.deployment.evidence import Evidence, compute, measure
from automl_wf.deployment.loading import LoadedModel, read_schema
from automl_wf.deployment.manifest import compare, files_of
from automl_wf.deployment.samples import word
from automl_wf.exceptions import PackageError, UnknownCategoryWarning, WorkflowError
from automl_wf.problem_definition.target import read_target

Kind = Literal["file", "exact", "tolerance", "data", "once"]
Status = Literal["ok", "wrong", "not checked"]
#: A timing or memory figure is wrong if it is measured again more than this many times larger or smaller.
FACTOR = 20.0
#: Largest difference between the graph and what the estimator said, relative to the largest figure or 1.
BOUND = 1e-9
#: Largest relative difference of a figure computed again: the last digits of a sum depend on its order.
REPR = 1e-12
UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    check : {"manifest", "graph", "card", "page", "certificate", "measured"}
        What was done.
    subject : str
        The file or figure.
    kind : {"file", "exact", "tolerance", "data", "once"}
        How far it can be computed again.
    status : {"ok", "wrong", "not checked"}
        How it came out.
    reason : str
        In words.
    """

    check: str
    subject: str
    kind: Kind
    status: Status
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.status:<11} {self.subject} ({self.kind}){': ' if self.reason else ''}{self.reason}"


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Parameters
    ----------
    path : Path
        The package.
    checks : tuple of Check
        Everything that was looked at.
    """

    path: Path
    checks: tuple[Check, ...]

    @property
    def wrong(self) -> tuple[Check, ...]:
        """What is wrong."""
        return tuple(c for c in self.checks if c.status == "wrong")

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"path": str(self.path), "ok": self.ok, "checks": [asdict(c) for c in self.checks]}

    def __str__(self) -> str:
        counts = {s: sum(c.status == s for c in self.checks) for s in ("ok", "wrong", "not checked")}
        summary = ", ".join(f"{n} {status}" for status, n in counts.items())
        return "\n".join([f"{self.path}: {summary}", *(f"  {c}" for c in self.checks if c.status != "ok")])


@dataclass(frozen=True)
class TrainingData:
    """The training data as they were handed over.

    Parameters
    ----------
    table : Table
        X, read as the package describes it.
    target : str or None
        Fingerprint of the target, if a column of its name is there and can be read.
    """

    table: Table
    target: str | None = None


def verify(path: str | os.PathLike[str], data: Any = None) -> Report:
    """Compute a package's figures again.

    Parameters
    ----------
    path : path-like
        Folder written by `export`.
    data : DataFrame, array-like or path, optional
        The training table, or a CSV or Parquet file of it; figures of the class "data" are computed from it.

    Returns
    -------
    Report
        Every file and figure with how it came out.

    Raises
    ------
    PackageError
        `path` is not a folder, or `data` cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise PackageError(f"Expected the folder of a package, got {folder}, which is not a folder.")
    checks = [*_check_files(folder), *_check_card(folder, _read_data(data, folder)), *_check_certificate(folder)]
    if _has_graph(folder):
        checks += [*_check_graph(folder), *_check_measured(folder)]
    return Report(folder, tuple(checks))


def _has_graph(folder: Path) -> bool:
    try:
        return bool(Evidence(folder).facts["graph"]["exists"])
    except UNREADABLE:
        return True


def _check_files(folder: Path) -> Iterator[Check]:
    differences = compare(folder)
    for difference in differences:
        yield Check("manifest", difference.file, "file", "wrong", difference.reason)
    told = {d.file for d in differences}
    for name in files_of(folder):
        if name not in told:
            yield Check("manifest", name, "file", "ok")


def _check_graph(folder: Path) -> Iterator[Check]:
    """The graph must load, and say of the sample rows what the estimator said."""
    name = "model/model.onnx"
    evidence = Evidence(folder)
    try:
        rows, expected = evidence.samples["rows"], evidence.expected["predictions"]
        model = LoadedModel(folder)
        frame = pd.DataFrame({c: pd.Series([row[c] for row in rows], dtype=object) for c in model.schema.names})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownCategoryWarning)
            answers = {"prediction" if model.classes_ is None else "label": model.predict(frame)}
            if model.classes_ is not None:
                answers["probabilities"] = model.predict_proba(frame)
    except Exception as error:
        # A damaged graph may fail in onnxruntime, whose errors have no base class of their own
        yield Check("graph", name, "exact", "wrong", f"cannot be run on the sample rows: {_short(error)}")
        return
    said = word(answers, model.config["classes"])
    if len(said) != len(expected):
        yield Check("graph", name, "exact", "wrong", f"{len(expected)} predictions are expected for {len(rows)} rows")
        return
    reasons = [
        d for i, (a, b) in enumerate(zip(expected, said, strict=True)) for d in differences(a, b, f"row {i}", BOUND)
    ]
    yield Check("graph", f"{name} on {len(rows)} sample rows", "exact", "wrong" if reasons else "ok", _join(reasons))


def _check_card(folder: Path, data: TrainingData | None) -> Iterator[Check]:
    """Each figure of the card: as recorded in metadata.json, and as computed again; then the page made from it."""
    evidence = Evidence(folder)
    try:
        card = json.loads((folder / "docs/card.json").read_text(encoding="utf-8"))
        stated = {f"{s}.{n}": f for s, fields in card["sections"].items() for n, f in fields.items()}
        again = build_card(evidence.facts)
        # Through JSON once, so that both sides went the same way
        recorded = {f"{s}.{n}": f for s, fields in plain(again)["sections"].items() for n, f in fields.items()}
    except UNREADABLE as error:
        yield Check("card", "docs/card.json", "exact", "wrong", f"cannot be read: {_short(error)}")
        return
    for name in dict.fromkeys([*recorded, *stated]):
        yield _check_field(name, stated.get(name), recorded.get(name), evidence, data)
    for part in ("name", "version", "task", "completeness", "front_matter"):
        reasons = differences(card.get(part), again[part], part)
        yield Check("card", part, "exact", "wrong" if reasons else "ok", _join(reasons))
    yield _check_page(folder, card)


def _check_certificate(folder: Path) -> Iterator[Check]:
    """validation.json, made again from metadata.json and the evidence."""
    try:
        stated = json.loads((folder / certificate.NAME).read_text(encoding="utf-8"))
        again = certificate.certify(Evidence(folder))
    except Exception as error:
        # Whatever a damaged file makes of the computation is the finding
        yield Check("certificate", certificate.NAME, "exact", "wrong", f"cannot be made again: {_short(error)}")
        return
    reasons = differences(stated, again, "")
    yield Check("certificate", certificate.NAME, "exact", "wrong" if reasons else "ok", _join(reasons))


def _check_field(
    name: str,
    stated: Mapping[str, Any] | None,
    recorded: Mapping[str, Any] | None,
    evidence: Evidence,
    data: TrainingData | None,
) -> Check:
    if stated is None or recorded is None:
        reason = "is missing from the card" if stated is None else "does not follow from model/metadata.json"
        return Check("card", name, "exact", "wrong", reason)
    kind, recipe = recorded["check"], recorded["evidence"]
    reasons = differences(dict(stated), dict(recorded), "")
    if recorded["source"] == "measured" and "compute" in recipe:
        try:
            if kind == "data":
                lacking = _lacking(data, recipe)
                if lacking and not reasons:
                    return Check("card", name, kind, "not checked", lacking)
                again = stated.get("value") if lacking or data is None else compute_from_data(data, recipe)
            else:
                again = compute(evidence, recipe)
        except Exception as error:
            # Whatever a damaged file makes of the computation is the finding
            return Check("card", name, kind, "wrong", f"cannot be computed again: {_short(error)}")
        reasons += [f"{r} (computed again)" for r in differences(stated.get("value"), again, "value")]
    if reasons:
        return Check("card", name, kind, "wrong", _join(reasons))
    if kind == "once" and recorded["source"] == "measured":
        return Check("card", name, kind, "not checked", "measured once, in fit; the card agrees with metadata.json")
    return Check("card", name, kind, "ok")


def _check_page(folder: Path, card: Mapping[str, Any]) -> Check:
    from jinja2 import TemplateError

    name = "docs/model_card.md"
    try:
        page = (folder / name).read_text(encoding="utf-8")
        again = render_card(card)
    except (*UNREADABLE, TemplateError) as error:
        return Check("page", name, "exact", "wrong", f"cannot be made from docs/card.json: {_short(error)}")
    if page == again:
        return Check("page", name, "exact", "ok")
    lines = zip_longest(page.splitlines(), again.splitlines(), fillvalue="")
    number, (there, expected) = next((i, pair) for i, pair in enumerate(lines, 1) if pair[0] != pair[1])
    return Check(
        "page", name, "exact", "wrong", f"line {number} says {there[:80]!r}; docs/card.json makes it {expected[:80]!r}"
    )


def _check_measured(folder: Path) -> Iterator[Check]:
    """Timings and memory, measured again: another machine may be several times faster or slower."""
    try:
        stated = Evidence(folder).facts["measured"]
        again = measure(folder)
    except (*UNREADABLE, WorkflowError) as error:
        yield Check("measured", "latency and memory", "tolerance", "wrong", f"cannot be measured: {_short(error)}")
        return
    for group in ("latency", "memory"):
        for name, value in again[group].items():
            figure, then = f"package.{group}.{name}", (stated.get(group) or {}).get(name)
            if value is None or then is None:
                yield Check("measured", figure, "tolerance", "not checked", "not measured on one of the machines")
                continue
            is_close = then > 0 and 1 / FACTOR <= value / then <= FACTOR
            reason = "" if is_close else f"{then:.4g} is stated, {value:.4g} was measured now"
            yield Check("measured", figure, "tolerance", "ok" if is_close else "wrong", reason)


def differences(stated: Any, again: Any, place: str, tolerance: float = REPR) -> list[str]:
    """Where two plain JSON values differ, in words; numbers may differ by what a sum in another order does.

    Parameters
    ----------
    stated, again : object
        Plain JSON types.
    place : str
        What they are called in the words.
    tolerance : float
        Largest difference of two numbers, relative to the larger of them and 1e-3.

    Returns
    -------
    list of str
        Empty if they are equal.
    """
    if isinstance(stated, Mapping) and isinstance(again, Mapping):
        keys = dict.fromkeys([*stated, *again])
        return [
            d for k in keys for d in differences(stated.get(k), again.get(k), f"{place}.{k}".lstrip("."), tolerance)
        ]
    if isinstance(stated, list) and isinstance(again, list) and len(stated) == len(again):
        pairs = enumerate(zip(stated, again, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{_called(b, i)}]", tolerance)]
    if _is_number(stated) and _is_number(again):
        is_equal = math.isclose(
            stated, again, rel_tol=tolerance, abs_tol=tolerance * (1 if tolerance == BOUND else 1e-3)
        )
    else:
        is_equal = type(stated) is type(again) and stated == again
    return [] if is_equal else [f"{place}: {_brief(stated)} is stated, {_brief(again)} was found"]


def _lacking(data: TrainingData | None, recipe: Mapping[str, Any]) -> str:
    """What a figure of the class "data" cannot be computed without, in words; "" if all is there."""
    if data is None:
        return "needs the training data"
    if recipe["compute"] == "fingerprint_target" and data.target is None:
        return "needs the target as a column of the training data"
    return ""


def compute_from_data(data: TrainingData, recipe: Mapping[str, Any]) -> Any:
    """A figure of the class "data", from the training table."""
    table = data.table
    if recipe["compute"] == "fingerprint":
        return fingerprint(table.cells)
    if recipe["compute"] == "fingerprint_any_order":
        return fingerprint_in_any_order(table.cells)
    if recipe["compute"] == "fingerprint_target":
        return data.target
    if recipe["compute"] == "n_rows":
        return table.n_rows
    return plain({"columns": _count_columns, "ranges": _ranges}[recipe["compute"]](table))


def _count_columns(table: Table) -> list[dict[str, Any]]:
    keys = ("name", "dtype", "is_used", "reason")
    out = []
    for column, cells in zip(table.schema.columns, table.cells, strict=True):
        known = _known(cells)
        counts = {"n_missing": table.n_rows - len(known), "n_unique": len(pd.unique(known))}
        out.append({"kind": column.kind.value, **{k: getattr(column, k) for k in keys}, **counts})
    return out


def _ranges(table: Table) -> list[dict[str, Any]]:
    out = []
    for column, cells in zip(table.schema.columns, table.cells, strict=True):
        known = _known(cells)
        if column.is_used and column.edge == "double" and len(known):
            out.append({"name": column.name, "minimum": known.min(), "maximum": known.max()})
    return out


def _known(cells: Cells) -> Any:
    if isinstance(cells, Strings):
        values = cells.values()
        return values[values != ""]
    return cells[~np.isnan(cells)] if cells.dtype.kind == "f" else cells[cells != MISSING_TIME]


def _read_data(data: Any, folder: Path) -> TrainingData | None:
    """The training data, read as the package's schema says."""
    if data is None:
        return None
    evidence = Evidence(folder)
    try:
        if isinstance(data, (str, os.PathLike)):
            data = read_file(data)
        table = read_table(data, read_schema(evidence.facts, evidence.config), owner="verify")
        return TrainingData(table, _target_of(data, evidence.facts))
    except (*UNREADABLE, WorkflowError) as error:
        raise PackageError(f"The data cannot be read as the package describes them: {_short(error)}") from error


def _target_of(data: Any, facts: Mapping[str, Any]) -> str | None:
    """Fingerprint of the target among the columns of the training data."""
    name = facts["target"]
    if not isinstance(data, pd.DataFrame) or name not in data:
        return None
    try:
        target = read_target(data[name], Task(facts["task"]).family, len(data), "verify")
    except WorkflowError:
        # A column that only happens to have this name is no target
        return None
    return target_fingerprint(target.values, target.classes)


def _called(item: Any, i: int) -> str:
    """The name of a row of a table, if it has one."""
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else str(i)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _join(reasons: Sequence[str]) -> str:
    return "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
