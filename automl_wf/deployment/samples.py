"""Rows that a package is tested with: made up unless the owner wants real ones, and some that want to do harm."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME, CellError, coerce, is_missing
from automl_wf.core.kinds import CLOCK
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.deployment.card import plain
from automl_wf.deployment.subject import Subject
from automl_wf.exceptions import UnknownCategoryWarning

Row = dict[str, Any]
N_ROWS = 24
#: Up to this many distinct numbers or times are shipped as they are, like categories.
FEW = 10
_DAY, _SECOND = 86_400_000_000, 1_000_000
_HOSTILE_TEXT = (
    "", " ", "ÅNGSTRÖM ﬁ Ⅳ", "🙂 \u202e abc", "'; DROP TABLE x; --", '{"a": [1, null]}', "{{ 7 * 7 }}",
    "<script>1</script>", "none", "a" * 1000,
)  # fmt: skip
_HOSTILE_TIMES = ("1970-01-01T00:00:00", "1969-12-31T23:59:59.999999", "2000-02-29", "9999-12-31T23:59:59+00:00")


@dataclass(frozen=True)
class Samples:
    """Rows as the service is sent them, and what the estimator says of them.

    Parameters
    ----------
    rows : list of dict
        Cells in JSON types by name of column; ordinary rows first, hostile ones after them.
    expected : list of dict
        One answer per row, worded as the service does: {"label", "probabilities"}, or {"prediction"}.
    n_hostile : int
        How many of the rows are hostile.
    are_synthetic : bool
        Whether no row is a training row.
    background : dict of str to list
        Made-up cells by column, always: the rows that the service explains its predictions against.
    """

    rows: list[Row]
    expected: list[Row]
    n_hostile: int
    are_synthetic: bool
    background: dict[str, list[Any]]


def make_samples(subject: Subject, *, include_samples: bool) -> Samples:
    """Rows for the package's tests.

    Unless `include_samples`, each column is drawn independently of the others; numbers and times lie between those of
    the reference, and text that occurs there only once is replaced.

    Parameters
    ----------
    subject : Subject
        What is packaged.
    include_samples : bool
        Whether real rows may be shipped.

    Returns
    -------
    Samples
        Rows with the estimator's answers.
    """
    rng = np.random.default_rng(0)
    cells = reference_cells(subject)
    drawn = {c.name: _draw(c, cells[c.name], rng, subject) for c in subject.schema.columns}
    if include_samples:
        chosen = rng.choice(len(subject.reference), size=min(N_ROWS, len(subject.reference)), replace=False)
        rows = [{name: values[i] for name, values in cells.items()} for i in chosen]
    else:
        rows = [dict(zip(drawn, row, strict=True)) for row in zip(*drawn.values(), strict=True)]
    hostile = _hostile_rows(subject, rows)
    rows = [*rows, *hostile]
    with warnings.catch_warnings():
        # Unknown categories are among the rows on purpose
        warnings.simplefilter("ignore", UnknownCategoryWarning)
        answers = subject.predict(rows_to_input(subject, rows))
    return Samples(rows, word(answers, subject.classes), len(hostile), not include_samples, drawn)


def word(answers: Mapping[str, NDArray[Any]], classes: Any) -> list[Row]:
    """Predictions in the words of the service.

    Parameters
    ----------
    answers : mapping of str to ndarray
        "label" of shape (n_rows,) and "probabilities" of shape (n_rows, n_classes), or "prediction" of shape (n_rows,).
    classes : array-like of shape (n_classes,) or None
        The classes.

    Returns
    -------
    list of dict
        One per row, in plain JSON types; probabilities by class: text as it is, anything else as JSON writes it.
    """
    if classes is None:
        return [{"prediction": value} for value in plain(np.asarray(answers["prediction"]).reshape(-1))]
    listed = plain(classes)
    names = [c if isinstance(c, str) else json.dumps(c) for c in listed]
    if len(set(names)) < len(names):
        names = [json.dumps(c) for c in listed]
    labels, shares = plain(np.asarray(answers["label"])), plain(np.asarray(answers["probabilities"]))
    return [
        {"label": label, "probabilities": dict(zip(names, row, strict=True))}
        for label, row in zip(labels, shares, strict=True)
    ]


def reference_cells(subject: Subject) -> dict[str, list[Any]]:
    """Reference rows in JSON types, by name of column."""
    reference, names = subject.reference, subject.schema.names
    if isinstance(reference, pd.DataFrame):
        columns: list[Any] = [reference.iloc[:, i].tolist() for i in range(reference.shape[1])]
    else:
        columns = [np.asarray(reference)[:, i].tolist() for i in range(len(names))]
    return {name: [to_json(cell) for cell in column] for name, column in zip(names, columns, strict=True)}


def rows_to_input(subject: Subject, rows: Sequence[Row]) -> pd.DataFrame | NDArray[Any]:
    """What `Subject.predict` is given for rows in JSON types."""
    schema = subject.schema
    if schema.layout == "array":
        columns = [coerce([row[c.name] for row in rows], "double") for c in schema.columns]
        return np.column_stack(columns)
    cells = {i: pd.Series([row[name] for row in rows], dtype=object) for i, name in enumerate(schema.names)}
    frame = pd.DataFrame(cells)
    if isinstance(subject.reference, pd.DataFrame):
        frame.columns = subject.reference.columns
        return frame
    return np.asarray(frame.to_numpy(dtype=object))


def to_json(cell: Any) -> Any:
    """One raw cell as a client would send it."""
    if cell is None or cell is pd.NaT or cell is pd.NA:
        return None
    if isinstance(cell, pd.Period):
        return cell.to_timestamp().isoformat()
    if isinstance(cell, pd.Timedelta):
        return cell.total_seconds()
    if isinstance(cell, np.datetime64):
        return None if np.isnat(cell) else pd.Timestamp(cell).isoformat()
    if isinstance(cell, (datetime, date)):
        return cell.isoformat()
    if isinstance(cell, time):
        return cell.strftime(CLOCK)
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if isinstance(cell, str):
        return cell.encode(errors="replace").decode()
    if isinstance(cell, (float, np.floating)) and not np.isfinite(cell):
        return None
    return plain(cell)


def _draw(column: Column, cells: list[Any], rng: np.random.Generator, subject: Subject) -> list[Any]:
    """`N_ROWS` cells of one column: a value that few rows share is replaced by one between two others."""
    drawn = [cells[i] for i in rng.integers(0, len(cells), size=N_ROWS)]
    if column.edge == "string":
        return _common_texts(drawn, cells, subject.on_unknown)
    read = coerce(cells, column.edge, column.cell_format)
    known = np.unique(read[read != MISSING_TIME] if column.edge == "int64" else read[~np.isnan(read)])
    if len(known) <= FEW or column.kind is ColumnKind.BOOLEAN:
        return drawn
    between = _numbers_between(known, rng) if column.edge == "double" else _times_between(known, column, rng)
    return [None if is_missing(cell) or cell == "" else new for cell, new in zip(drawn, between, strict=True)]


def _common_texts(drawn: list[Any], cells: list[Any], on_unknown: str) -> list[Any]:
    counts = Counter(map(str, cells))
    substitute = counts.most_common(1)[0][0] if on_unknown == "raise" else "some other text"
    common = {text for text, n in counts.items() if n > 1 and len(text) <= 1000}
    return [cell if cell is None or str(cell) in common else substitute for cell in drawn]


def _numbers_between(known: NDArray[np.float64], rng: np.random.Generator) -> list[Any]:
    places = rng.uniform(0, len(known) - 1, size=N_ROWS)
    values = np.interp(places, np.arange(len(known)), known)
    if np.array_equal(known, np.round(known)):
        return [int(v) for v in np.round(values)]
    rounded = [float(f"{v:.6g}") for v in values]
    taken = set(known.tolist())
    return [v if r in taken else r for v, r in zip(values.tolist(), rounded, strict=True)]


def _times_between(known: NDArray[np.int64], column: Column, rng: np.random.Generator) -> list[str]:
    step = next(s for s in (_DAY, _SECOND, 1) if not (known % s).any())
    times = rng.integers(known[0] // step, known[-1] // step + 1, size=N_ROWS) * step
    written = [datetime(1970, 1, 1) + timedelta(microseconds=int(t)) for t in times]
    return [t.strftime(column.cell_format) if column.cell_format else t.isoformat() for t in written]


def _hostile_rows(subject: Subject, rows: Sequence[Row]) -> list[Row]:
    """Everything missing; ten times the range; strange text; dates at the edges; numbers written as text."""
    columns = subject.schema.columns
    out: list[Row] = [{c.name: None for c in columns}]
    for i in range(len(_HOSTILE_TEXT)):
        row = dict(rows[i % len(rows)])
        for c in columns:
            if c.edge == "string" and subject.on_unknown != "raise":
                row[c.name] = _HOSTILE_TEXT[i]
            elif c.edge == "double":
                row[c.name] = _hostile_number(c, i)
            elif c.edge == "int64" and _reads(_HOSTILE_TIMES[i % 4], c):
                row[c.name] = _HOSTILE_TIMES[i % 4]
        out.append(row)
    return out


def _hostile_number(column: Column, i: int) -> Any:
    low, high = column.minimum or 0.0, column.maximum or 1.0
    spread = (high - low) or 1.0
    far = [float(f"{v:.3g}") for v in (high + 10 * spread, low - 10 * spread)]
    return (*far, None, "12.5", 0.0, -0.0, 1e15, -1e15, 1e-300, True)[i % 10]


def _reads(cell: str, column: Column) -> bool:
    try:
        coerce([cell], column.edge, column.cell_format)
    except CellError:
        return False
    return True
