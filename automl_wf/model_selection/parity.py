"""Graph against `predict`: on real rows, on awkward ones, and on mixed ones until nearly all leaves were reached."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.budget import Budget
from automl_wf.core.coerce import MISSING_TIME
from automl_wf.core.compat import load_onnxruntime
from automl_wf.core.table import Cells, Strings, Table, stack
from automl_wf.exceptions import ParityError
from automl_wf.model_selection.conformal_onnx import compare_conformal
from automl_wf.model_selection.ensemble import Blend
from automl_wf.model_selection.graph import feed_of

if TYPE_CHECKING:
    from onnx import ModelProto

#: |Δ| may be at most this times max(1, max|ŷ|).
TOLERANCE = 1e-9
#: Share of all leaves that the compared rows should reach.
LEAVES = 0.9
#: Texts that no training table holds.
STRANGE_TEXTS = ("", "never seen before", "ß→ü 東京 🦜", "'; drop table x; --", "nan", "0")
_BATCH = 1_000
_SLICE = 5_000
#: Mixed batches per second of the budget, so that equal budgets mostly mean equal rows; seconds where there is none.
_BATCHES_PER_S, _SECONDS = 6, 10.0


@dataclass(frozen=True)
class Parity:
    """How far the graph and `predict` are apart.

    Parameters
    ----------
    n_rows : int
        Rows compared.
    n_labels_different : int
        Rows whose labels differ, or whose prediction sets do; no tie is left out.
    largest_difference : float
        Largest |Δ| of probabilities, or of predictions and the ends of their intervals.
    bound : float
        What it may be at most: 1e-9 · max(1, max|ŷ|).
    n_leaves, n_leaves_reached : int
        Leaves of all trees, and those that some compared row fell into.
    n_bytes : int
        Size of the graph.
    """

    n_rows: int
    n_labels_different: int
    largest_difference: float
    bound: float
    n_leaves: int
    n_leaves_reached: int
    n_bytes: int

    @property
    def is_exact(self) -> bool:
        """Whether labels are equal and numbers within the bound."""
        return self.n_labels_different == 0 and self.largest_difference <= self.bound

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "is_exact": self.is_exact}


def check_parity(
    model: ModelProto,
    blend: Blend,
    reference: Table,
    classes: NDArray[Any] | None,
    *,
    budget: Budget,
    seed: int = 0,
) -> Parity:
    """Compare the graph with the blend.

    Parameters
    ----------
    model : ModelProto
        The graph.
    blend : Blend
        What `predict` uses.
    reference : Table
        Real rows.
    classes : ndarray of shape (n_classes,) or None
        Class labels.
    budget : Budget
        Ends the search for rows that reach further leaves; the real and the awkward rows are always compared.
    seed : int, default=0
        Seed of the mixed rows.

    Returns
    -------
    Parity
        The largest differences found.

    Raises
    ------
    ParityError
        A label differs or a number is further off than the bound.
    """
    session = open_session(model.SerializeToString())
    leaves = _Leaves(blend)
    differences, labels, largest, n_rows = 0.0, 0, 1.0, 0
    for batch in _batches(reference, leaves, budget, seed):
        expected = blend.predict(batch)
        delta, different = _compare(session, batch, expected, blend, classes)
        differences, labels = max(differences, delta), labels + different
        largest = max(largest, float(np.abs(expected).max(initial=0.0)))
        n_rows += batch.n_rows
        leaves.reach(batch)
    parity = Parity(
        n_rows, labels, differences, TOLERANCE * largest, leaves.n_leaves, leaves.n_reached, model.ByteSize()
    )
    if not parity.is_exact:
        raise ParityError(
            f"The graph and predict differ on {parity.n_rows} rows compared: {labels} labels, largest |Δ| "
            f"{differences:.3g} where {parity.bound:.3g} is allowed. The graph is not written; model.pkl is exact."
        )
    return parity


def open_session(model: bytes | str, n_threads: int = 1) -> Any:
    """An onnxruntime session on the CPU with an explicit number of threads."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _compare(
    session: Any, batch: Table, expected: NDArray[np.float64], blend: Blend, classes: NDArray[Any] | None
) -> tuple[float, int]:
    """Largest |Δ| and number of different labels; a missing number is infinitely far off."""
    outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed_of(batch)), strict=True))
    seen = outputs["prediction" if classes is None else "probabilities"]
    delta = np.abs(seen - expected)
    largest = float(np.where(np.isnan(delta), np.inf, delta).max(initial=0.0))
    of_interval, n_sets = compare_conformal(outputs, expected, blend.postprocess)
    largest = max(largest, of_interval)
    if classes is None:
        return largest, 0
    labels = classes[blend.postprocess.decide(expected)]
    n_labels = int((np.asarray(labels, dtype=object) != np.asarray(outputs["label"], dtype=object)).sum())
    return largest, n_labels + n_sets


def _batches(reference: Table, leaves: _Leaves, budget: Budget, seed: int) -> Iterator[Table]:
    for start in range(0, reference.n_rows, _SLICE):
        yield reference.take(slice(start, min(start + _SLICE, reference.n_rows)))
    rng = np.random.default_rng(seed)
    yield from awkward_rows(reference, rng)
    for _ in range(_BATCHES_PER_S * math.ceil(budget.seconds or _SECONDS)):
        if leaves.n_reached >= LEAVES * leaves.n_leaves or budget.is_over():
            return
        yield mixed_rows(reference, rng, _BATCH)


def awkward_rows(reference: Table, rng: np.random.Generator) -> Iterator[Table]:
    """Rows with each column missing, far outside its range, unseen, empty and non-ASCII."""
    n = min(reference.n_rows, 64 if len(reference.cells) <= 100 else 8)
    base = reference.take(rng.choice(reference.n_rows, size=n, replace=False).astype(np.intp))
    pieces = []
    for position, cells in enumerate(base.cells):
        for bad in _awkward_cells(cells, n):
            pieces.append(_with_cells(base, position, bad))
            if sum(p.n_rows for p in pieces) >= 4 * _BATCH:
                yield stack(pieces)
                pieces = []
    everything = [next(iter(_awkward_cells(cells, n))) for cells in base.cells]
    pieces.append(replace(base, cells=tuple(everything)))
    yield stack(pieces)


def mixed_rows(reference: Table, rng: np.random.Generator, n: int) -> Table:
    """Rows whose cells come from different rows, some numbers drawn from the range or missing, some texts put together.

    Half of the rows are near real ones: a cell in eight comes from elsewhere, or one in two; deep leaves lie near data.
    """
    parents = rng.integers(0, reference.n_rows, size=(2, n)).astype(np.intp)
    is_near = rng.random(n) < 0.5
    columns: list[Cells] = []
    for cells in reference.cells:
        pick = np.where(rng.random(n) < np.where(is_near, 0.125, 0.5), parents[0], parents[1])
        stranger = rng.random(n) < np.where(is_near, 0.05, 0.25)
        pick[stranger] = rng.integers(0, reference.n_rows, size=int(stranger.sum()))
        if isinstance(cells, Strings):
            columns.append(_with_joined_texts(cells.take(pick), rng))
            continue
        values = cells[pick]
        known = cells[~np.isnan(cells)] if cells.dtype.kind == "f" else cells[cells != MISSING_TIME]
        drawn = np.flatnonzero(rng.random(n) < 0.15)
        if len(known):
            values[drawn] = rng.uniform(float(known.min()), float(known.max()), size=len(drawn)).astype(values.dtype)
        values[rng.random(n) < 0.03] = np.nan if values.dtype.kind == "f" else MISSING_TIME
        columns.append(values)
    return Table(reference.schema, tuple(columns), n)


def _with_joined_texts(column: Strings, rng: np.random.Generator) -> Strings:
    """Where values are texts of several words, every fourth is the beginning of one and the end of another."""
    texts = column.values()
    words = [text.split() for text in texts]
    if sum(len(w) > 2 for w in words) < len(words) / 4:
        return column
    for i in np.flatnonzero(rng.random(len(texts)) < 0.25):
        other = words[rng.integers(0, len(words))]
        texts[i] = " ".join(words[i][: rng.integers(0, len(words[i]) + 1)] + other[rng.integers(0, len(other) + 1) :])
    levels, codes = np.unique(texts.astype(str), return_inverse=True)
    return Strings(codes.astype(np.int32), levels.astype(object))


def _awkward_cells(cells: Cells, n: int) -> Iterator[Cells]:
    if isinstance(cells, Strings):
        for text in STRANGE_TEXTS:
            yield Strings(np.zeros(n, dtype=np.int32), np.array([text], dtype=object))
        return
    if cells.dtype.kind == "f":
        yield np.full(n, np.nan)
        filled = np.nan_to_num(cells).astype(np.float64)
        for factor in (10.0, -10.0):
            yield filled * factor
        yield np.full(n, 1e30)
        yield np.full(n, -1e30)
        return
    yield np.full(n, MISSING_TIME)
    known = cells[cells != MISSING_TIME]
    middle = int(known.mean()) if len(known) else 0
    for year in (1905, 1969, 2100, 2500):
        yield np.full(n, int(np.datetime64(f"{year}-03-01T12:34:56.789", "us").astype(np.int64)))
    yield np.full(n, middle + 1)


def _with_cells(table: Table, position: int, cells: Cells) -> Table:
    return replace(table, cells=(*table.cells[:position], cells, *table.cells[position + 1 :]))


class _Leaves:
    """Which leaves of a blend's trees some row fell into."""

    def __init__(self, blend: Blend) -> None:
        self._parts: list[tuple[Any, Any]] = []
        self._seen: list[set[int]] = []
        self.n_leaves = 0
        for member in blend.members:
            for view, learner in member.parts:
                n_leaves = learner.n_leaves
                if n_leaves:
                    self._parts.append((view, learner))
                    self._seen.append(set())
                    self.n_leaves += n_leaves

    @property
    def n_reached(self) -> int:
        """Leaves reached so far."""
        return sum(len(s) for s in self._seen)

    def reach(self, table: Table) -> None:
        """Note the leaves that the rows of `table` fall into."""
        views: dict[int, NDArray[np.float64]] = {}
        for (view, learner), seen in zip(self._parts, self._seen, strict=True):
            if id(view) not in views:
                views[id(view)] = view.transform(table)
            reached = np.unique(learner.leaves(views[id(view)]))
            seen.update(reached[reached >= 0].tolist())
