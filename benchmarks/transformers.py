"""The public transformers' graphs against `transform`: random rows of the zoo through both, every cell compared.

    python -m benchmarks.transformers --rows 1000000 [--only "all five"] [--json out.json]

Cells are read for the graphs by `coerce`, as the graph's metadata says, not by the transformers. The exit status is 1
when a number differs by more than 1e-9 times max(1, its size), a gap is not a gap on both sides, or a text or time
that is handed on differs, or when the run is interrupted: then what was compared so far is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import gen_batches

from benchmarks.zoo import target, zoo

TOLERANCE = 1e-9
FIT_ROWS, ROWS_AT_ONCE, COLUMNS_AT_ONCE = 4_000, 10_000, 200
HEADER = (
    f"{'transformer':<28}{'rows':>10}{'columns in':>11}{'out':>6}{'graph kB':>9}{'largest |Δ|':>12}{'> 1e-9':>8}"
    f"{'texts ≠':>8}{'transform s':>12}{'graph s':>9}"
)


@dataclass
class Tally:
    """What was compared of one transformer."""

    name: str
    fitted: Any = field(repr=False)
    model: Any = field(repr=False)
    session: Any = field(repr=False)
    inputs: list[dict[str, Any]] = field(repr=False)
    outputs: list[dict[str, Any]] = field(repr=False)
    n_rows: int = 0
    largest: float = 0.0
    n_different: int = 0
    n_texts_different: int = 0
    transform_s: float = 0.0
    graph_s: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs."""
        return self.n_different == self.n_texts_different == 0

    def facts(self) -> dict[str, Any]:
        """Plain JSON types."""
        hidden = ("fitted", "model", "session", "inputs", "outputs")
        counts = {"n_columns_in": len(self.inputs), "n_columns_out": len(self.outputs), "bytes": self.model.ByteSize()}
        return {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in hidden} | counts


class Reader:
    """Cells of one part of the rows as the edge reads them; each column of raw cells once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str, str | None], tuple[pd.Series, np.ndarray]] = {}

    def read(self, cells: pd.Series, facts: dict[str, Any]) -> np.ndarray:
        """A column of doubles, strings or int64 microseconds."""
        if cells.dtype == np.float64:
            return _coerce(cells, facts["edge"], facts["cell_format"])
        key = (facts["column"], facts["edge"], facts["cell_format"])
        if key not in self._read or not self._read[key][0].equals(cells):
            self._read[key] = (cells, _coerce(cells, facts["edge"], facts["cell_format"]))
        return self._read[key][1]


def transformers() -> dict[str, Any]:
    """What is compared."""
    from automl_wf import (
        CategoricalFeatureEngineering,
        FeatureSelection,
        InteractionFeatures,
        NumericalFeatureEngineering,
        TemporalFeatureEngineering,
    )

    alone = {
        "numerical": NumericalFeatureEngineering(),
        "numerical, as they are": NumericalFeatureEngineering(scaling=None),
        "categorical": CategoricalFeatureEngineering(),
        "categorical, codes": CategoricalFeatureEngineering(encoding="codes"),
        "categorical, target": CategoricalFeatureEngineering(encoding="target", random_state=0),
        "temporal": TemporalFeatureEngineering(),
        "temporal, parts": TemporalFeatureEngineering(encoding="parts"),
        "interaction": InteractionFeatures(random_state=0),
        "interaction, as they are": InteractionFeatures(scaling=None, random_state=0),
        "selection": FeatureSelection(random_state=0),
    }
    five = ["numerical", "categorical", "temporal", "interaction", "selection"]
    plain = ["numerical, as they are", "categorical, target", "temporal, parts", "interaction, as they are"]
    return alone | {
        "all but selection": make_pipeline(*(clone(alone[name]) for name in five[:-1])),
        "all five": make_pipeline(*(clone(alone[name]) for name in five)),
        "all five, for trees": make_pipeline(*(clone(alone[name]) for name in (*plain, "selection"))),
    }


def main(arguments: list[str] | None = None) -> int:
    """Compare, print a line for each transformer and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", help="only these transformers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(arguments)
    known = zoo(FIT_ROWS, options.seed, is_odd=False)
    chosen = {k: t for k, t in transformers().items() if not options.only or k in options.only}
    tallies = [_fit(name, transformer, known) for name, transformer in chosen.items()]
    try:
        for start in range(0, options.rows, ROWS_AT_ONCE):
            rows = zoo(min(ROWS_AT_ONCE, options.rows - start), options.seed + 1 + start, is_odd=True)
            reader = Reader()
            for tally in tallies:
                _compare(tally, rows, reader)
    except KeyboardInterrupt:
        print("interrupted: so far")
    print(HEADER)
    for tally in tallies:
        print(_line(tally))
    if options.json:
        options.json.write_text(json.dumps([tally.facts() for tally in tallies], indent=1), encoding="utf-8")
    n_wrong = sum(not tally.is_exact for tally in tallies)
    n_rows = min(tally.n_rows for tally in tallies)
    print(f"{len(tallies)} transformers, {n_rows:,} rows each: {n_wrong} differ from their graph")
    return int(n_wrong > 0 or n_rows < options.rows)


def _fit(name: str, transformer: Any, known: pd.DataFrame) -> Tally:
    from automl_wf import pipeline_to_onnx
    from automl_wf.model_selection.parity import open_session

    fitted = transformer.fit(known, target(known))
    model = pipeline_to_onnx(fitted) if isinstance(fitted, Pipeline) else fitted.to_onnx()
    told = {p.key: p.value for p in model.metadata_props}
    session = open_session(model.SerializeToString())
    return Tally(name, fitted, model, session, json.loads(told["inputs"]), json.loads(told["outputs"]))


def _compare(tally: Tally, rows: pd.DataFrame, reader: Reader) -> None:
    started_at = time.perf_counter()
    expected = tally.fitted.transform(rows)
    tally.transform_s += time.perf_counter() - started_at
    feed = {f["input"]: reader.read(rows.iloc[:, f["position"]], f)[:, None] for f in tally.inputs}
    names = [o.name for o in tally.session.get_outputs()]
    started_at = time.perf_counter()
    seen = dict(zip(names, tally.session.run(names, feed), strict=True))
    tally.graph_s += time.perf_counter() - started_at
    tally.n_rows += len(rows)
    assert list(expected.columns) == [facts["column"] for facts in tally.outputs]
    _compare_numbers(tally, expected, seen["features"], reader)
    for j, facts in enumerate(tally.outputs):
        if facts["edge"] != "double":
            found, wanted = seen[facts["output"]][:, 0], reader.read(expected.iloc[:, j], facts)
            tally.n_texts_different += int((found != wanted).sum())


def _compare_numbers(tally: Tally, expected: pd.DataFrame, found: np.ndarray, reader: Reader) -> None:
    numbers = [j for j, facts in enumerate(tally.outputs) if facts["edge"] == "double"]
    assert [tally.outputs[j]["place"] for j in numbers] == list(range(found.shape[1]))
    for some in gen_batches(len(numbers), COLUMNS_AT_ONCE):
        wanted = np.empty((len(expected), len(numbers[some])), order="F")
        for k, j in enumerate(numbers[some]):
            wanted[:, k] = reader.read(expected.iloc[:, j], tally.outputs[j])
        apart = _apart(found[:, some], wanted)
        tally.largest = max(tally.largest, float(apart.max()))
        tally.n_different += int((apart > TOLERANCE).sum())


def _apart(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|Δ| / max(1, |wanted|); infinite where one side only is missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
    apart[np.isnan(found) & np.isnan(wanted)] = 0.0
    return np.where(np.isnan(apart), np.inf, apart)


def _coerce(cells: pd.Series, edge: str, cell_format: str | None) -> np.ndarray:
    from automl_wf.core.coerce import coerce

    if cells.dtype == np.float64:
        return coerce(cells.to_numpy(), edge, cell_format)
    if isinstance(cells.dtype, np.dtype) and cells.dtype.kind == "M" and edge == "int64":
        return coerce(cells.to_numpy(), edge, cell_format)
    plain = cells.astype(object)
    # Texts are read once each; equal cells of several types, such as 1 and True, are not the same text.
    if pd.api.types.infer_dtype(plain, skipna=True) != "string":
        return coerce(plain.tolist(), edge, cell_format)
    codes, distinct = pd.factorize(plain, use_na_sentinel=False)
    return coerce(list(distinct), edge, cell_format)[codes]


def _line(tally: Tally) -> str:
    facts = tally.facts()
    return (
        f"{tally.name:<28}{tally.n_rows:>10,}{facts['n_columns_in']:>11}{facts['n_columns_out']:>6}"
        f"{facts['bytes'] / 1e3:>9.0f}{tally.largest:>12.1e}{tally.n_different:>8}{tally.n_texts_different:>8}"
        f"{tally.transform_s:>12.1f}{tally.graph_s:>9.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
