"""Fingerprints of a table as it was read, for version control: which data was this model made from?

They are taken after the edge, so that a frame and the file it was written to have the same one. Text is brought to
64 bits by the first eight bytes of its SHA-256, numbers and times are their own bytes, with one NaN and one zero.

in order
    SHA-256 over the columns, one after the other: another cell, row or order of rows is another fingerprint.
any order
    A 64-bit hash of every row (its cells mixed in one by one by the finaliser of SplitMix64), sorted, and SHA-256 over
    that: the same rows in another order have the same one. It tells versions of a table apart; rows that somebody
    forges on purpose are for the SHA-256 in order to find.

References
----------
G. L. Steele, D. Lea and C. H. Flood (2014). Fast splittable pseudorandom number generators. OOPSLA.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.core.table import Cells, Strings, Table

#: Rows that are hashed at a time: their hashes stay in the cache of a core from column to column.
_ROWS_AT_ONCE = 1 << 15
_START = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


@dataclass(frozen=True)
class Fingerprint:
    """What the data was, in a few lines.

    Parameters
    ----------
    n_rows, n_columns : int
        Size of X.
    in_order : str
        SHA-256 of the cells of X, 64 hexadecimal digits.
    any_order : str
        The same whatever the order of the rows is.
    target : str
        SHA-256 of y, in the order of the rows.
    types : str
        SHA-256 of names, dtypes and kinds of the columns.
    """

    n_rows: int
    n_columns: int
    in_order: str
    any_order: str
    target: str
    types: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def fingerprint_of(table: Table, target: NDArray[Any], classes: NDArray[Any] | None) -> Fingerprint:
    """Fingerprint of X and y.

    Parameters
    ----------
    table : Table
        X, read.
    target : ndarray of shape (n_rows,)
        Class codes, values or grades.
    classes : ndarray of shape (n_classes,) or None
        Labels in order of their codes; None where there are none.

    Returns
    -------
    Fingerprint
        Five million rows of twenty columns take a few seconds.
    """
    columns = table.schema.columns
    return Fingerprint(
        n_rows=table.n_rows,
        n_columns=len(columns),
        in_order=fingerprint(table.cells),
        any_order=fingerprint_in_any_order(table.cells),
        target=target_fingerprint(target, classes),
        types=types_fingerprint((c.name, c.dtype, c.kind.value) for c in columns),
    )


def fingerprint(cells: Sequence[Cells]) -> str:
    """SHA-256 of coerced columns: the same for a frame and for the file it was written to.

    Parameters
    ----------
    cells : sequence of ndarray or Strings
        `Table.cells`: columns after the edge, in the order of the schema.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for column in cells:
        values = _normalised(column)
        digest.update(f"{values.dtype.str}{len(values)};".encode())
        digest.update(values.data)
    return digest.hexdigest()


def fingerprint_in_any_order(cells: Sequence[Cells]) -> str:
    """SHA-256 of the sorted hashes of the rows: the same whatever their order is.

    Parameters
    ----------
    cells : sequence of ndarray or Strings
        `Table.cells`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    hashes = np.sort(row_hashes(cells))
    digest = hashlib.sha256(f"rows of {len(cells)} columns;{len(hashes)};".encode())
    digest.update(hashes.astype("<u8", copy=False).data)
    return digest.hexdigest()


def target_fingerprint(target: NDArray[Any], classes: NDArray[Any] | None) -> str:
    """SHA-256 of y: labels as text, or values.

    Parameters
    ----------
    target : ndarray of shape (n_rows,)
        Class codes, values or grades.
    classes : ndarray of shape (n_classes,) or None
        Labels in order of their codes.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if classes is None:
        return fingerprint([np.asarray(target, dtype=np.float64)])
    labels = np.array([str(label) for label in classes.tolist()], dtype=object)
    return fingerprint([Strings(np.asarray(target, dtype=np.int32), labels)])


def types_fingerprint(columns: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 of (name, dtype, kind) of the columns, as JSON."""
    return hashlib.sha256(json.dumps([list(column) for column in columns]).encode()).hexdigest()


def row_hashes(cells: Sequence[Cells]) -> NDArray[np.uint64]:
    """A 64-bit hash of each row; rows with equal cells have equal ones.

    Parameters
    ----------
    cells : sequence of ndarray or Strings
        Columns of one length, at least one.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    columns = [_words_of(column) for column in cells]
    hashes = np.full(len(cells[0].codes if isinstance(cells[0], Strings) else cells[0]), _START, dtype=np.uint64)
    shifted = np.empty(min(len(hashes), _ROWS_AT_ONCE), dtype=np.uint64)
    for rows in gen_batches(len(hashes), _ROWS_AT_ONCE):
        part = hashes[rows]
        for words in columns:
            part ^= words(rows)
            _mix(part, shifted[: len(part)])
    return hashes


def _words_of(column: Cells) -> Callable[[slice], NDArray[np.uint64]]:
    """What gives the 64 bits of each cell of some rows: a wide table is not held twice."""
    if isinstance(column, Strings):
        codes, levels = column.codes, _level_hashes(column)
        return lambda rows: levels[codes[rows]]
    return lambda rows: _normalised(column[rows]).view("<u8")


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values with every bit spread over all 64: a one-to-one map."""
    out = values.copy()
    _mix(out, np.empty_like(out))
    return out


def _mix(values: NDArray[np.uint64], shifted: NDArray[np.uint64]) -> None:
    """Spread every bit over all 64, in place; `shifted` is room to work in."""
    for shift, factor in zip(_SHIFTS, (_FIRST, _SECOND, None), strict=True):
        np.right_shift(values, shift, out=shifted)
        np.bitwise_xor(values, shifted, out=values)
        if factor is not None:
            np.multiply(values, factor, out=values)


def _normalised(column: Cells) -> NDArray[Any]:
    """Eight bytes for each cell, equal for equal cells."""
    if isinstance(column, Strings):
        return _level_hashes(column)[column.codes]
    if column.dtype.kind == "f":
        # One NaN and one zero, so that equal cells have equal bytes
        values = column.astype("<f8")
        values += 0.0
        values[np.isnan(values)] = np.nan
        return values
    return np.ascontiguousarray(column.astype("<i8", copy=False))


def _level_hashes(column: Strings) -> NDArray[np.uint64]:
    """64 bits for each level."""
    levels = [hashlib.sha256(str(v).encode(errors="surrogatepass")).digest()[:8] for v in column.levels]
    return np.frombuffer(b"".join(levels), dtype="<u8")
