"""Checks of single columns and pairs of them: what their cells say about how they came to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.findings import Finding
from automl_wf.core.schema import Column, ColumnKind
from automl_wf.core.table import Cells, Strings, Table
from automl_wf.problem_definition.association import (
    as_numbers,
    correlations,
    indicators,
    ranks_of,
    told_by,
)
from automl_wf.problem_definition.data_view import DataView, are_missing

#: Share of the target's variation that a single column must explain, or of the pairs of two classes that it must put
#: in order beyond chance, to be called a leak.
LEAK = 0.995
#: Fewest rows that say anything about a column.
MIN_ROWS = 50
#: Share of the variation of the target, or of one class, that gaps must explain to be remarkable.
GAPS_TELL = 0.5
#: Columns named in a message, and pairs of date columns that are looked at.
MAX_NAMED, MAX_DATE_PAIRS = 5, 10
#: Rank correlation from which on two columns say the same; rows and columns that are compared.
SAME_ORDER, COPY_ROWS, COPY_COLUMNS = 0.999, 2_000, 200
#: Share of the rows that may hold one value in a column that is compared with others.
MAX_COMMONEST = 0.99
#: Dates outside these years are remarkable if they are also this far from the middle of their column.
FIRST_YEAR, LAST_YEAR, FAR_YEARS = 1900, 2100, 100
_US_PER_YEAR = 365.25 * 86_400e6
#: What a list is: its items are separated by one of these, shared by several cells, short, and not always as many.
SEPARATORS, MIN_LISTS, MAX_ITEM_LENGTH = "|;,", 10, 40
#: Mean characters from which on a text is a document; levels that are looked at.
DOCUMENT, MAX_LEVELS = 500, 2_000


def leaking_durations(view: DataView) -> Iterator[Finding]:
    """Two dates whose distance tells the target, as admission and discharge tell the length of a stay."""
    dates = view.table.schema.of_kind(ColumnKind.DATETIME)
    table, y = view.sample()
    if len(dates) < 2 or table.n_rows < MIN_ROWS:
        return
    of_target = indicators(view.target, y)
    ranked, pairs = ranks_of(of_target), islice(combinations(dates, 2), MAX_DATE_PAIRS)
    for first, second in pairs:
        earlier, later = (as_numbers(_plain(table.cells[c.position])) for c in (first, second))
        # One date that tells the target by itself is a finding of its own.
        told = [told_by(cells, of_target, ranked) for cells in (later - earlier, earlier, later)]
        if told[0] >= LEAK > max(told[1:]):
            yield Finding(
                "leakage_by_duration",
                "serious",
                f"The time from {first.name!r} to {second.name!r} tells almost all of the target.",
                "One of the two is known only afterwards: drop it.",
                (first.name, second.name),
            )


def telling_gaps(view: DataView) -> Iterator[Finding]:
    """Columns whose being filled in or not tells much of the target: perhaps they are filled in afterwards."""
    table, y = view.sample()
    columns = [c for c in table.schema.used if c.n_missing]
    if not columns or table.n_rows < MIN_ROWS:
        return
    gaps = np.column_stack([are_missing(table.cells[c.position]) for c in columns]).astype(np.float64)
    told = (correlations(gaps, indicators(view.target, y)) ** 2).max(axis=1)
    # What gaps tell of all of the target is a leak, which is a finding of its own.
    most = 1.1 if view.target.n_classes > 2 else LEAK
    telling = [(c.name, float(share)) for c, share in zip(columns, told, strict=True) if GAPS_TELL <= share < most]
    if telling:
        shown = ", ".join(f"{name!r} ({share:.0%})" for name, share in telling[:MAX_NAMED])
        yield Finding(
            "telling_gaps",
            "warning",
            f"Whether a cell is missing tells much of the target's variation: {shown}.",
            "Drop these columns if they are filled in once the outcome is known.",
            tuple(name for name, _ in telling),
        )


def implausible_dates(view: DataView) -> Iterator[Finding]:
    """A few dates in another century than the rest: they stand for 'never' or 'unknown', or are mistyped."""
    first, last = (np.datetime64(f"{year}-01-01", "us").astype(np.int64) for year in (FIRST_YEAR, LAST_YEAR))
    found: list[tuple[str, int, str]] = []
    for column in view.table.schema.of_kind(ColumnKind.DATETIME):
        if column.minimum is None or column.maximum is None or first <= column.minimum <= column.maximum < last:
            continue
        times = _plain(view.table.cells[column.position])
        known = times[times != MISSING_TIME]
        distance = np.abs(known.astype(np.float64) - float(np.median(known)))
        is_odd = ((known < first) | (known >= last)) & (distance > FAR_YEARS * _US_PER_YEAR)
        if 0 < is_odd.sum() < len(known) / 2:
            example = str(known[is_odd][:1].astype("datetime64[us]").astype("datetime64[D]")[0])
            found.append((column.name, int(is_odd.sum()), example))
    if found:
        shown = ", ".join(f"{name!r} ({n}, such as {example})" for name, n, example in found[:MAX_NAMED])
        yield Finding(
            "implausible_dates",
            "warning",
            f"Some dates lie a century away from the others of their column: {shown}.",
            "If they stand for 'never' or 'unknown', make them missing; else correct them.",
            tuple(name for name, _, _ in found),
        )


def near_copies(view: DataView) -> Iterator[Finding]:
    """Columns that say what another one says: the same order of the rows, or the same groups of rows."""
    table, _ = view.sample(COPY_ROWS)
    if table.n_rows < MIN_ROWS:
        return
    columns = [c for c in table.schema.used if _commonest(c, table) <= MAX_COMMONEST]
    copies = {b: (a, "has the same groups of rows as") for a, b in _same_groups(table, columns)}
    copies |= {b: (a, "is in the same order as") for a, b in _same_order(table, columns)}
    if copies:
        shown = ", ".join(f"{b!r} {how} {a!r}" for b, (a, how) in list(copies.items())[:MAX_NAMED])
        yield Finding(
            "near_copies",
            "info",
            f"{len(copies)} column(s) say what another one says: {shown}.",
            "Keep one of each: what matters is told by both, so that each alone seems to matter less.",
            tuple(copies),
        )


def _same_groups(table: Table, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """Pairs of columns whose values divide the rows alike, whatever the values are."""
    first: dict[bytes, str] = {}
    for column in columns:
        # Where nearly every row has a value of its own, it has one in many columns.
        if column.n_unique > table.schema.n_rows / 2:
            continue
        codes, distinct = _factorized(table.cells[column.position])
        if len(distinct) <= table.n_rows / 2:
            original = first.setdefault(hashlib.sha256(codes.tobytes()).digest(), column.name)
            if original != column.name:
                yield original, column.name


def _same_order(table: Table, columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """Pairs of numbers or times in the same order or the reverse of it; of very many columns exactly so."""
    ordered = [c for c in columns if c.edge != "string"]
    if len(ordered) < 2:
        return
    if len(ordered) <= COPY_COLUMNS:
        ranks = _ranks(table, ordered)
        close = np.triu(np.abs(correlations(ranks, ranks)) >= SAME_ORDER, k=1)
        for j in np.flatnonzero(close.any(axis=0)):
            yield ordered[int(close[:, j].argmax())].name, ordered[j].name
        return
    first: dict[bytes, str] = {}
    few = table.take(slice(0, max(MIN_ROWS, COPY_ROWS * COPY_COLUMNS // len(ordered))))
    for column, ranks in zip(ordered, _ranks(few, ordered).T, strict=True):
        key = min(np.ascontiguousarray(r).tobytes() for r in (ranks, len(ranks) + 1 - ranks))
        original = first.setdefault(key, column.name)
        if original != column.name:
            yield original, column.name


def _ranks(table: Table, columns: Sequence[Column]) -> NDArray[np.float64]:
    return ranks_of(np.column_stack([as_numbers(_plain(table.cells[c.position])) for c in columns]))


def nearly_constant(view: DataView) -> Iterator[Finding]:
    """Columns that hold one value but for a handful of rows."""
    few, _ = view.sample(COPY_ROWS)
    n, most = view.table.n_rows, max(2, view.table.n_rows // 1000)
    if n < 4 * MIN_ROWS:
        return
    least = 1 - 2 * max(most / n, 1 / few.n_rows)
    suspects = [c for c in few.schema.used if _commonest(c, few) >= least]
    names = [c.name for c in suspects if _commonest(c, view.table) >= 1 - most / n]
    if names:
        yield Finding(
            "nearly_constant_columns",
            "info",
            f"{len(names)} column(s) hold one value in all but at most {most} rows: {names[:MAX_NAMED]!r}.",
            "So few rows teach nothing that could be relied on; drop them unless they mean something rare but certain.",
            tuple(names),
        )


def _commonest(column: Column, table: Table) -> float:
    """Share of the commonest value, missing being one; 0 for columns of so many values that it is small."""
    if column.n_unique > 1 + (1 - MAX_COMMONEST) * table.schema.n_rows:
        return 0.0
    codes, _ = _factorized(table.cells[column.position])
    return float(np.bincount(codes).max()) / len(codes)


def _factorized(cells: Cells) -> tuple[NDArray[np.intp], Any]:
    """Codes in the order in which values occur, missing being one, and the values."""
    codes, values = pd.factorize(cells.codes if isinstance(cells, Strings) else cells, use_na_sentinel=False)
    return codes, values


def lists_in_cells(view: DataView) -> Iterator[Finding]:
    """Cells that hold several items."""
    found: list[tuple[str, str, str]] = []
    for column, levels in _texts(view):
        separator = _separator(levels)
        if separator:
            found.append((column.name, separator, max(levels, key=lambda text: text.count(separator))))
    if found:
        shown = ", ".join(f"{name!r} (such as {_cut(example)!r})" for name, _, example in found[:MAX_NAMED])
        name, separator, _ = found[0]
        yield Finding(
            "lists_in_cells",
            "info",
            f"{len(found)} column(s) hold lists of items: {shown}.",
            f"If the items matter one by one, make a column of each: X[{name!r}].str.get_dummies({separator!r}).",
            tuple(name for name, _, _ in found),
        )


def _separator(levels: Sequence[str]) -> str:
    """What separates the items of most of these texts; "" if they are no lists."""
    for separator in SEPARATORS:
        if sum(separator in text for text in levels) < max(MIN_LISTS, len(levels) / 2):
            continue
        lists = [[item.strip(" '\"") for item in text.strip("[](){}").split(separator)] for text in levels]
        lengths = np.array([len(items) for items in lists])
        items = [item for each in lists for item in each]
        is_short = max(map(len, items)) <= MAX_ITEM_LENGTH
        is_varied = np.bincount(lengths).max() < 0.9 * len(levels)
        if is_short and is_varied and len(set(items)) <= len(items) / 2:
            return separator
    return ""


def long_texts(view: DataView) -> Iterator[Finding]:
    """Texts of the length of documents."""
    names = [c.name for c, levels in _texts(view) if np.mean([len(text) for text in levels]) >= DOCUMENT]
    if names:
        yield Finding(
            "long_texts",
            "info",
            f"{names[:MAX_NAMED]!r} hold documents of {DOCUMENT} characters and more.",
            "Only their words and pairs of words count here; add embeddings of your own as columns of numbers.",
            tuple(names),
        )


def _texts(view: DataView) -> Iterator[tuple[Column, list[str]]]:
    """Columns of text, those too that are not used because every row has its own, and some of their values."""
    for column in view.table.schema.columns:
        cells = view.table.cells[column.position]
        if isinstance(cells, Strings):
            levels = [text for text in cells.levels[:MAX_LEVELS].tolist() if text]
            if len(levels) >= MIN_LISTS:
                yield column, levels


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _plain(cells: Cells) -> NDArray[np.float64] | NDArray[np.int64]:
    """Numbers or times."""
    assert not isinstance(cells, Strings)
    return cells
