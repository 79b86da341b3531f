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

import pandas as pd

from automl_wf.core.csv_file import CsvDialect
from automl_wf.deployment import bill_of_materials, certificate
from automl_wf.deployment.card import PAGES, build_card, plain
from automl_wf.deployment.evidence import Evidence, compute, measure
from automl_wf.deployment.leaves import called, leaves_of_field, without_records
from automl_wf.deployment.loading import LoadedModel
from automl_wf.deployment.manifest import compare, files_of
from automl_wf.deployment.samples import word
from automl_wf.deployment.training_data import NO_DATA, FitAgain, TrainingData, compute_from_data
from automl_wf.exceptions import PackageError, UnknownCategoryWarning, WorkflowError

Kind = Literal["file", "exact", "tolerance", "data", "once"]
Status = Literal["ok", "edited", "wrong", "not checked"]
#: A timing or memory figure is wrong if it is measured again more than this many times larger or smaller: another
#: machine may be faster, and one that was busy was seen to make the slowest twentieth of the rows 23 times slower.
FACTOR = 100.0
#: Largest difference between the graph and what the estimator said, relative to the largest figure or 1.
BOUND = 1e-9
#: Largest relative difference of a figure computed again: the last digits of a sum depend on its order.
REPR = 1e-12
#: The same of the figures that a minimiser ends at: it multiplies the last digits of its sums, which other processors
#: and other libraries round otherwise.
MINIMISED, MINIMISED_BOUND = frozenset({"weights"}), 1e-6
UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    check : {"manifest", "graph", "card", "page", "certificate", "bill", "measured"}
        What was done.
    subject : str
        The file or figure.
    kind : {"file", "exact", "tolerance", "data", "once"}
        How far it can be computed again.
    status : {"ok", "edited", "wrong", "not checked"}
        How it came out; "edited": a setting of the deployment, which its operator may edit.
    reason : str
        In words.
    n_figures, n_records : int
        Figures of a field of the card that can be computed again, and those that are records of the run.
    """

    check: str
    subject: str
    kind: Kind
    status: Status
    reason: str = ""
    n_figures: int = 0
    n_records: int = 0

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

    @property
    def figures(self) -> dict[str, int]:
        """Measured figures of the card: "computed_again", "need_data" and "records" of the run."""
        open_ = [c for c in self.checks if c.kind == "data" and c.status == "not checked"]
        return {
            "computed_again": sum(c.n_figures for c in self.checks) - sum(c.n_figures for c in open_),
            "need_data": sum(c.n_figures for c in open_),
            "records": sum(c.n_records for c in self.checks),
        }

    @property
    def sentence(self) -> str:
        """The same in words."""
        counts = {name: f"{n:,}" for name, n in self.figures.items()}
        return (
            f"{counts['computed_again']} figures computed again, {counts['need_data']} need --data, "
            f"{counts['records']} are records of the run"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        checks = [asdict(c) for c in self.checks]
        return {"path": str(self.path), "ok": self.ok, "figures": self.figures, "checks": checks}

    def __str__(self) -> str:
        counts = {s: sum(c.status == s for c in self.checks) for s in ("ok", "edited", "wrong", "not checked")}
        summary = ", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {self.sentence}"
        return "\n".join([f"{self.path}: {summary}", *(f"  {c}" for c in self.checks if c.status != "ok")])


def verify(
    path: str | os.PathLike[str],
    data: Any = None,
    fit_again: FitAgain | None = None,
    dialect: CsvDialect | None = None,
) -> Report:
    """Compute a package's figures again.

    Parameters
    ----------
    path : path-like
        Folder written by `export`.
    data : DataFrame, array-like or path, optional
        The training table, or a CSV or Parquet file of it; figures of the class "data" are computed from it.
    fit_again : callable, optional
        How to fit again (`automl_wf.estimator.fit_again`), for what only that can tell. None: it is not told.
    dialect : CsvDialect, optional
        How a CSV file is written; None: commas, points, UTF-8.

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
    evidence = Evidence(folder)
    handed_over = None if data is None else TrainingData.read(data, evidence, fit_again, dialect)
    checks = [*_check_files(folder), *_check_card(evidence, handed_over)]
    checks += [_check_made_again(evidence, name) for name in _MADE]
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
        status: Status = "edited" if difference.is_edit else "wrong"
        yield Check("manifest", difference.file, "file", status, difference.reason)
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


def _check_card(evidence: Evidence, data: TrainingData | None) -> Iterator[Check]:
    """Each figure of the card: as recorded in metadata.json, and as computed again; then the page made from it."""
    try:
        card = json.loads((evidence.folder / "docs/card.json").read_text(encoding="utf-8"))
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
    for page in PAGES:
        yield _check_page(evidence.folder, page, card)


#: Files that are made from the package's own, and made again here.
_MADE = {
    certificate.NAME: ("certificate", certificate.certify),
    bill_of_materials.NAME: ("bill", bill_of_materials.list_materials),
}


def _check_made_again(evidence: Evidence, name: str) -> Check:
    """A file that follows from metadata.json, the evidence and the files that were packaged."""
    check, make = _MADE[name]
    try:
        stated = json.loads((evidence.folder / name).read_text(encoding="utf-8"))
        again = make(evidence)
    except Exception as error:
        # Whatever a damaged file makes of the computation is the finding
        return Check(check, name, "exact", "wrong", f"cannot be made again: {_short(error)}")
    reasons = differences(stated, again, "")
    return Check(check, name, "exact", "wrong" if reasons else "ok", _join(reasons))


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
    status, reason = _compare_field(name, stated, recorded, evidence, data)
    origins = [leaf.origin for leaf in leaves_of_field(name, recorded)] if recorded["source"] == "measured" else []
    n_records = origins.count("record")
    return Check("card", name, recorded["check"], status, reason, len(origins) - n_records, n_records)


def _compare_field(
    name: str,
    stated: Mapping[str, Any],
    recorded: Mapping[str, Any],
    evidence: Evidence,
    data: TrainingData | None,
) -> tuple[Status, str]:
    """How a field of the card came out, and why."""
    kind, recipe, is_measured = recorded["check"], recorded["evidence"], recorded["source"] == "measured"
    reasons = differences(dict(stated), dict(recorded), "")
    if is_measured and "compute" in recipe:
        lacking = "" if kind != "data" else NO_DATA if data is None else data.lacking(recipe)
        if lacking and not reasons:
            return "not checked", lacking
        try:
            if not lacking:
                reasons += _recompute(name, stated, recipe, evidence, data if kind == "data" else None)
        except Exception as error:
            # Whatever a damaged file makes of the computation is the finding
            return "wrong", f"cannot be computed again: {_short(error)}"
    if reasons:
        return "wrong", _join(reasons)
    if kind == "once" and is_measured:
        return "not checked", "a record of the run, as metadata.json has it"
    return "ok", ""


def _recompute(
    name: str, stated: Mapping[str, Any], recipe: Mapping[str, Any], evidence: Evidence, data: TrainingData | None
) -> list[str]:
    """Where a field differs from what is computed again, but for records of the run."""
    again = compute(evidence, recipe) if data is None else compute_from_data(data, recipe, name)
    value, again = (without_records(name, v, recipe) for v in (stated.get("value"), again))
    tolerance = MINIMISED_BOUND if recipe["compute"] in MINIMISED else REPR
    return [f"{reason} (computed again)" for reason in differences(value, again, "value", tolerance)]


def _check_page(folder: Path, name: str, card: Mapping[str, Any]) -> Check:
    from jinja2 import TemplateError

    try:
        page = (folder / name).read_text(encoding="utf-8")
        again = PAGES[name](card)
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
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{called(b, i)}]", tolerance)]
    if _is_number(stated) and _is_number(again):
        is_equal = math.isclose(
            stated, again, rel_tol=tolerance, abs_tol=tolerance * (1 if tolerance == BOUND else 1e-3)
        )
    else:
        is_equal = type(stated) is type(again) and stated == again
    return [] if is_equal else [f"{place}: {_brief(stated)} is stated, {_brief(again)} was found"]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _join(reasons: Sequence[str]) -> str:
    return "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
