"""A Dask DataFrame: a sample of its rows for the search, and all of them, partition by partition, for the final models.

The sample is uniform; of a target with few values, each value is drawn on its own, so that every one keeps its share
and rare ones are there at all; of grouped rows, groups are drawn whole. It follows from the seed and the partitions
alone. Nothing but the sample and what workers learn of a partition as a whole ever comes into this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_wf.core.compat import free_memory
from automl_wf.core.findings import Finding
from automl_wf.exceptions import InvalidInput, InvalidTarget, MissingDependency

#: More rows than this tell configurations apart no better.
MAX_SAMPLE_ROWS = 1_000_000
#: Bytes of a fit, at its height, per byte of the rows as doubles.
COPIES = 16
#: Bytes that a fit without a clock counts on, where no limit is given: then nothing may depend on the machine.
DEFAULT_MEMORY = 4e9
#: Of a worker's memory, what may be used before Dask writes to the disk; what it takes without data; and copies of a
#: partition's matrix while LightGBM bins it: its own, and that of all partitions of the worker.
WORKER_SHARE, WORKER_BYTES, MATRIX_COPIES = 0.8, 3e8, 2.2
#: A target of more distinct values than this is not drawn value by value; of each value at least so many rows are.
MAX_VALUES, RARE = 1_000, 20


@dataclass(frozen=True)
class Part:
    """One partition, on a worker.

    Parameters
    ----------
    number : int
        Its place.
    X : DataFrame
        Its rows.
    y, weight, group : Series, ndarray or None
        What belongs to them.
    """

    number: int
    X: pd.DataFrame
    y: Any
    weight: Any = None
    group: Any = None


@dataclass(frozen=True)
class PartFacts:
    """What is to be known of a partition before rows are drawn from it.

    Parameters
    ----------
    n_rows, n_bytes : int
        Rows, and bytes that they take as they are.
    lengths : tuple of int
        Entries of y, weights and groups, those that are given.
    n_without_target : int
        Rows whose target is missing.
    n_by_value : Series or None
        Rows of each value of the target; None: the values are too many.
    """

    n_rows: int
    n_bytes: int
    lengths: tuple[int, ...]
    n_without_target: int
    n_by_value: pd.Series | None


@dataclass(frozen=True)
class Drawn:
    """A sample of the rows.

    Parameters
    ----------
    X : DataFrame
        The rows, in the order of the partitions.
    y, weight, group : Series or None
        What belongs to them.
    findings : tuple of Finding
        How they were drawn.
    is_everything : bool
        Whether there are no other rows.
    """

    X: pd.DataFrame
    y: pd.Series
    weight: pd.Series | None
    group: pd.Series | None
    findings: tuple[Finding, ...]
    is_everything: bool


def is_partitioned(X: Any) -> bool:
    """Whether X is a Dask DataFrame; Dask is not imported to find out."""
    return type(X).__module__.split(".")[0].startswith("dask") and hasattr(X, "map_partitions")


class PartitionedTable:
    """X, y, weights and groups of a Dask DataFrame, partition by partition on the workers of a client.

    Parameters
    ----------
    X : dask.dataframe.DataFrame
        The raw table.
    y : dask.dataframe.Series or dask.array.Array
        The target, in the partitions of X.
    sample_weight, groups : as y, or None
        Weights and groups, in the partitions of X.

    Attributes
    ----------
    n_rows : int
        Rows of all partitions; known once a sample was drawn.

    Raises
    ------
    MissingDependency
        `distributed` is not installed.
    InvalidInput
        There is no client, or y, weights or groups are not partitioned as X is.
    """

    def __init__(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> None:
        self.client = _client()
        self.meta: pd.DataFrame = X._meta
        columns = {"y": y, "sample_weight": sample_weight, "groups": groups}
        beside = [_delayed(name, values, X.npartitions) for name, values in columns.items()]
        self._parts = list(zip(_delayed("X", X, X.npartitions), *beside, strict=True))
        self.n_rows = 0

    @property
    def has_weights(self) -> bool:
        """Whether rows are weighted."""
        return self._parts[0][2] is not None

    @property
    def n_partitions(self) -> int:
        """Number of partitions."""
        return len(self._parts)

    def map(self, function: Callable[[Part], Any], share: float = 1.0) -> list[Any]:
        """Futures of `function` of each partition, or of a share of them, made by the workers."""
        from dask.delayed import delayed

        # One object for all tasks: it travels to each worker once.
        shared = self.client.scatter(function, broadcast=True, hash=False)
        places = np.linspace(0, self.n_partitions - 1, max(int(share * self.n_partitions), 1)).astype(int)
        made: list[Any] = self.client.compute([delayed(_apply)(shared, i, *self._parts[i]) for i in places.tolist()])
        return made

    def share_in_memory(self, n_features: int) -> float:
        """Share of the partitions whose matrices all workers together hold while LightGBM is fitted on them."""
        limits = [worker["memory_limit"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values()]
        if not all(limits):
            return 1.0
        needed = MATRIX_COPIES * 8 * n_features * self.n_rows
        return float(min(max(sum(limits) * WORKER_SHARE - len(limits) * WORKER_BYTES, 0.0) / needed, 1.0))

    def wait(self, futures: Sequence[Any]) -> None:
        """Wait for futures without fetching them; what a worker raised is raised here."""
        from distributed import wait

        wait(futures)
        for future in futures:
            if future.status == "error":
                raise future.exception()

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        """Results of futures, in their order; what a worker raised is raised here."""
        gathered: list[Any] = self.client.gather(list(futures))
        return gathered

    def draw(self, memory_limit: float | None, seed: int, *, is_clocked: bool) -> Drawn:
        """A sample that a fit holds in so many bytes.

        Parameters
        ----------
        memory_limit : float or None
            Bytes that the fit may take; None: what the machine leaves, or, without a clock, the same on every machine.
        seed : int
            Seed of what is drawn.
        is_clocked : bool
            Whether the fit has a time budget.

        Returns
        -------
        Drawn
            Its rows.

        Raises
        ------
        InvalidInput
            y, weights or groups have other numbers of rows than X in some partition, or there are no rows.
        InvalidTarget
            y has gaps.
        """
        facts = self.gather(self.map(_facts))
        self._check(facts)
        self.n_rows = sum(f.n_rows for f in facts)
        if memory_limit is None:
            memory_limit = min(free_memory(), 4 * DEFAULT_MEMORY) if is_clocked else DEFAULT_MEMORY
        most = _affordable_rows(facts, self.meta.shape[1], memory_limit)
        draw = _Draw(min(most / self.n_rows, 1.0), seed)
        if draw.share < 1.0 and self._parts[0][3] is None:
            draw = replace(draw, n_rows=_shares(facts, most, seed))
        X, y, weight, group = map(_joined, zip(*self.gather(self.map(draw)), strict=True))
        return Drawn(X, y, weight, group, (_told(len(X), self),), len(X) == self.n_rows)

    def _check(self, facts: Sequence[PartFacts]) -> None:
        for i, fact in enumerate(facts):
            if any(n != fact.n_rows for n in fact.lengths):
                raise InvalidInput(
                    f"Partition {i} of X has {fact.n_rows} rows, but of y, sample_weight and groups there are "
                    f"{fact.lengths}. Take them from one frame: y = frame['target'], X = frame.drop(columns='target')."
                )
            if fact.n_without_target:
                raise InvalidTarget(
                    f"y is missing in {fact.n_without_target} row{'s' * (fact.n_without_target > 1)} of partition {i}. "
                    "Rows without a target teach nothing: drop them before fit."
                )
        if not sum(f.n_rows for f in facts):
            raise InvalidInput("X has no rows in any of its partitions.")


@dataclass(frozen=True)
class _Draw:
    """Draws rows of a partition.

    Parameters
    ----------
    share : float
        Share of the groups, where rows are grouped.
    seed : int
        Seed.
    n_rows : sequence of mapping or None
        Rows to be drawn from each partition, by value of the target; the value `None` stands for all of them.
    """

    share: float
    seed: int
    n_rows: Sequence[Mapping[Any, int]] | None = None

    def __call__(self, part: Part) -> tuple[Any, Any, Any, Any]:
        if self.share >= 1.0:
            return part.X, part.y, part.weight, part.group
        if self.n_rows is None:
            rows = np.flatnonzero(_lot(part.group, self.seed) < self.share)
        else:
            rows = self._by_value(part, self.n_rows[part.number])
        beside = (None if v is None else pd.Series(v).iloc[rows] for v in (part.y, part.weight, part.group))
        return part.X.iloc[rows], *beside

    def _by_value(self, part: Part, n_rows: Mapping[Any, int]) -> NDArray[np.intp]:
        rng = np.random.default_rng([self.seed, part.number])
        y = pd.Series(part.y).reset_index(drop=True)
        drawn = [np.empty(0, dtype=np.intp)]
        for value, n in n_rows.items():
            at = np.arange(len(y)) if value is None else np.flatnonzero((y == value).to_numpy(dtype=bool))
            drawn.append(rng.choice(at, n, replace=False))
        return np.sort(np.concatenate(drawn))


def _client() -> Any:
    try:
        from distributed import get_client
    except ImportError:
        raise MissingDependency("A Dask DataFrame needs Dask's workers: pip install 'automl-wf[dask]'") from None
    try:
        return get_client()
    except ValueError:
        raise InvalidInput(
            "A Dask DataFrame is fitted by the workers of a cluster, and there is no client of one. "
            "Start it: from dask.distributed import Client; client = Client()."
        ) from None


def _delayed(name: str, values: Any, n_partitions: int) -> list[Any]:
    """The partitions of what belongs to X; of nothing, nothing for each."""
    if values is None and name != "y":
        return [None] * n_partitions
    if not hasattr(values, "to_delayed"):
        raise InvalidInput(
            f"{name} must be partitioned as X is, such as frame['target'] of the same Dask DataFrame. "
            f"Got {type(values).__name__} instead."
        )
    # As they are: to optimise each on its own might read small columns in fewer and larger partitions.
    parts = np.asarray(values.to_delayed(optimize_graph=False), dtype=object).ravel().tolist()
    if len(parts) != n_partitions:
        raise InvalidInput(f"X has {n_partitions} partitions, {name} has {len(parts)}: they must be the same.")
    return parts


def _apply(function: Callable[[Part], Any], number: int, X: pd.DataFrame, y: Any, weight: Any, group: Any) -> Any:
    return function(Part(number, X, y, weight, group))


def _facts(part: Part) -> PartFacts:
    lengths = tuple(len(v) for v in (part.y, part.weight, part.group) if v is not None)
    n_bytes = int(part.X.memory_usage(deep=True, index=False).sum())
    y = pd.Series(part.y)
    counts = y.value_counts()
    is_few = len(counts) <= MAX_VALUES and (counts.index.dtype.kind not in "f" or _are_whole(counts.index))
    return PartFacts(len(part.X), n_bytes, lengths, int(y.isna().sum()), counts if is_few else None)


def _are_whole(values: pd.Index) -> bool:
    numbers = values.to_numpy(dtype=np.float64)
    return bool(np.all(numbers == np.round(numbers)))


def _affordable_rows(facts: Sequence[PartFacts], n_columns: int, memory_limit: float) -> int:
    n_rows = sum(f.n_rows for f in facts)
    bytes_per_row = sum(f.n_bytes for f in facts) / n_rows + COPIES * 8 * n_columns
    return min(max(int(memory_limit / bytes_per_row), 1), MAX_SAMPLE_ROWS)


def _shares(facts: Sequence[PartFacts], most: int, seed: int) -> list[dict[Any, int]]:
    """Rows to be drawn from each partition, by value: as if all rows lay in one urn."""
    counts = [f.n_by_value for f in facts]
    values: list[Any] = sorted({v for c in counts if c is not None for v in c.index}, key=repr)
    if any(c is None for c in counts) or len(values) > MAX_VALUES:
        counts, values = [pd.Series({None: f.n_rows}) for f in facts], [None]
    table = np.array([[0 if c is None else int(c.get(v, 0)) for v in values] for c in counts], dtype=np.int64)
    in_all = table.sum(axis=0)
    wanted = np.minimum(in_all, np.maximum(np.round(in_all * (most / table.sum())).astype(np.int64), RARE))
    rng = np.random.default_rng(seed)
    drawn = np.stack([_dealt(c, int(n), rng) for c, n in zip(table.T, wanted, strict=True)], axis=1)
    return [{v: int(n) for v, n in zip(values, row, strict=True) if n} for row in drawn]


def _dealt(counts: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of `n` rows drawn without replacement come from each partition; numpy counts up to a billion rows."""
    if counts.sum() < 10**9:
        return rng.multivariate_hypergeometric(counts, n)
    return np.minimum(rng.multinomial(n, counts / counts.sum()), counts)


def _lot(group: Any, seed: int) -> NDArray[np.float64]:
    """A number between 0 and 1 for each row, the same for all rows of a group wherever they are."""
    mixed = pd.util.hash_array(np.asarray(group)) ^ np.uint64(np.random.default_rng(seed).integers(2**63))
    lot: NDArray[np.float64] = pd.util.hash_array(mixed) / 2.0**64
    return lot


def _joined(parts: Sequence[Any]) -> Any:
    return None if parts[0] is None else pd.concat(parts, ignore_index=True)


def _told(n_rows: int, table: PartitionedTable) -> Finding:
    if n_rows == table.n_rows:
        message = f"All {n_rows:,} rows of {table.n_partitions} partitions fit into memory and were read."
        return Finding("read_whole", "info", message, "A pandas DataFrame would have been as good.")
    return Finding(
        "searched_on_sample",
        "warning",
        f"Models were compared on {n_rows:,} of {table.n_rows:,} rows, drawn from {table.n_partitions} partitions. "
        "Every score, best_score_ too, is that of models of the sample.",
        "Raise memory_limit for a larger sample; evaluate(X_test, y_test) scores the final model on rows kept back.",
    )
