"""A file of rows → a file of predictions, through the graph of a package, a part at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pandas as pd

from automl_wf.core.csv_file import CsvDialect, csv_chunks, read_header
from automl_wf.core.frame import count_unknown, is_parquet, read_table, reading
from automl_wf.core.schema import Schema
from automl_wf.deployment.loading import LoadedModel
from automl_wf.exceptions import InvalidInput, MissingColumns, MissingDependency

#: Rows that are in memory at once.
CHUNK = 10_000
Write = Callable[[pd.DataFrame], None]


@dataclass(frozen=True)
class Batch:
    """What came of a file of rows.

    Parameters
    ----------
    n_rows : int
        Rows that were predicted.
    columns : tuple of str
        Columns of the predictions.
    ignored : tuple of str
        Columns of the file that the model does not take.
    unknown : dict of str to list of str
        Categories that were not seen in fit, by column.
    """

    n_rows: int
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    unknown: dict[str, list[str]]


def predict_file(
    model: LoadedModel,
    rows: str | os.PathLike[str],
    output: str | os.PathLike[str] | TextIO,
    *,
    intervals: bool = False,
    dialect: CsvDialect | None = None,
    chunk: int = CHUNK,
) -> Batch:
    """Predict for every row of a file, in its order.

    Parameters
    ----------
    model : LoadedModel
        As `load` opens it.
    rows : path
        Parquet (.parquet, .pq), else CSV.
    output : path or text stream
        Parquet or CSV by its name, whole or not there; CSV into a stream.
    intervals : bool, default=False
        Add intervals of values, or sets of classes.
    dialect : CsvDialect, optional
        How CSV files are written: the one that is read, and the predictions.
    chunk : int, default=10_000
        Rows that are in memory at once.

    Returns
    -------
    Batch
        How many rows there were, and what was noticed.

    Raises
    ------
    InvalidInput
        The file cannot be read; a column is missing or a cell cannot be read: they are named.
    PackageError
        Intervals are asked for and the graph has none.
    """
    dialect, rows = dialect or CsvDialect(), Path(rows)
    n_rows, columns = 0, tuple[str, ...]()
    unknown: dict[str, set[str]] = {}
    header = _header(rows, dialect)
    names = _needed(rows, header, model.schema)
    write: Write | None = None
    with ExitStack() as written:
        for part in _parts(rows, dialect, model.schema, names, chunk):
            table = read_table(
                _complete(part, model.schema),
                model.schema,
                owner="predict",
                on_unknown="raise" if model.config["on_unknown"] == "raise" else "ignore",
                first_row=n_rows,
            )
            predictions = model.tabulate(table, intervals=intervals)
            for name, levels in count_unknown(table).items():
                unknown.setdefault(name, set()).update(levels)
            if write is None:
                write = written.enter_context(_open_output(output, dialect, predictions))
            write(predictions)
            n_rows, columns = n_rows + len(predictions), tuple(predictions.columns)
    if not n_rows:
        raise InvalidInput(f"{rows} has no rows.")
    ignored = tuple(name for name in header if name not in names)
    return Batch(n_rows, columns, ignored, {name: sorted(levels) for name, levels in unknown.items()})


def _header(rows: Path, dialect: CsvDialect) -> list[str]:
    with reading(rows, dialect):
        if not is_parquet(rows):
            return read_header(rows, dialect)
        from pyarrow import parquet

        return [str(name) for name in parquet.read_schema(rows).names]


def _needed(rows: Path, header: Sequence[str], schema: Schema) -> list[str]:
    """The columns of the file that are read; a column that no member uses may be missing, as in the service."""
    is_nameless = schema.names == [f"x{i}" for i in range(len(schema.names))] and not set(schema.names) & set(header)
    if is_nameless and len(header) == len(schema.names):
        return list(header)
    missing = [column.name for column in schema.used if column.name not in header]
    if missing:
        raise MissingColumns(
            f"{rows} lacks {len(missing)} of the {len(schema.used)} columns that the model takes: "
            f"{', '.join(map(repr, missing[:20]))}{' …' if len(missing) > 20 else ''}. There are "
            f"{', '.join(map(repr, header[:20]))}{' …' if len(header) > 20 else ''}. Add them; cells may be empty."
        )
    known = set(schema.names)
    return [name for name in header if name in known]


def _parts(
    rows: Path, dialect: CsvDialect, schema: Schema, names: Sequence[str], n_rows: int
) -> Iterator[pd.DataFrame]:
    with reading(rows, dialect):
        if not is_parquet(rows):
            yield from csv_chunks(rows, dialect, schema, names, n_rows)
            return
        import pyarrow
        from pyarrow import parquet

        with parquet.ParquetFile(rows) as file:
            for batch in file.iter_batches(batch_size=n_rows, columns=list(names)):
                if batch.num_rows:
                    yield pyarrow.Table.from_batches([batch]).to_pandas()[list(names)]


def _complete(part: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    absent = {c.name: None for c in schema.columns if not c.is_used and c.name not in part.columns}
    return part.assign(**absent) if absent else part


def _open_output(
    output: str | os.PathLike[str] | TextIO, dialect: CsvDialect, first: pd.DataFrame
) -> AbstractContextManager[Write]:
    if not isinstance(output, (str, os.PathLike)):
        return _csv_writer(output, dialect)
    return _parquet_file(Path(output), first) if is_parquet(output) else _csv_file(Path(output), dialect)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside the file to write to: what is written gets the file's name only if nothing goes wrong."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _csv_file(path: Path, dialect: CsvDialect) -> Iterator[Write]:
    with (
        _whole(path) as beside,
        beside.open("w", encoding=dialect.encoding, newline="") as stream,
        _csv_writer(stream, dialect) as write,
    ):
        yield write


@contextmanager
def _csv_writer(stream: TextIO, dialect: CsvDialect) -> Iterator[Write]:
    is_first = True

    def write(part: pd.DataFrame) -> None:
        nonlocal is_first
        part.to_csv(stream, index=False, header=is_first, sep=dialect.sep, decimal=dialect.decimal, lineterminator="\n")
        is_first = False

    yield write


@contextmanager
def _parquet_file(path: Path, first: pd.DataFrame) -> Iterator[Write]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependency("Writing Parquet needs pyarrow: pip install pyarrow") from error
    schema = pyarrow.Schema.from_pandas(first, preserve_index=False)
    with _whole(path) as beside, parquet.ParquetWriter(beside, schema) as writer:
        yield lambda part: writer.write_table(pyarrow.Table.from_pandas(part, schema, preserve_index=False))
