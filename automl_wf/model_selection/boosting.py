"""Gradient boosting with LightGBM and, when installed, XGBoost and CatBoost: watched round by round.

All three are fitted on codes among the occurring classes or on standardised values (`TargetCode`), stop when the
validation loss has not improved for a while or the time is up, and keep all rounds grown, so that a search may choose
one number of rounds for all folds (`curve_`, `truncate`).
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import time
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.core.budget import Budget
from automl_wf.core.tasks import Task
from automl_wf.exceptions import MissingDependency, OutOfTime
from automl_wf.model_selection.base import Learner, Sample, TargetCode, leaf_offsets
from automl_wf.model_selection.trees import as_float32, in_blocks

_Matrix = NDArray[np.float64]
_MAX_ROUNDS, _MAX_TREES, _PATIENCE, _ROUNDS_WITHOUT_WATCH = 10_000, 40_000, 50, 200
_EMPTY_ROUNDS = 3
#: Trees of LightGBM and XGBoost that are written down together, and that rows are taken through together.
_TREES_AT_A_TIME = 200
#: Trees of XGBoost that are described at a time.
_TREES_DESCRIBED = 20
#: Rows that XGBoost takes down them at a time: of each part of a model, each thread holds what was said last.
_ROWS_AT_A_TIME = 1_000
#: Bytes that trees of LightGBM may take while more are grown, and what one takes for each leaf it may have and beside.
_GROWING_BYTES, _LEAF_BYTES, _TREE_BYTES = 64 << 20, 60, 600
#: Seconds that one thread takes to bin a cell (65 to 130 ns of XGBoost and CatBoost were measured, more in thousands of
#: columns); of LightGBM to order it, which is done for so many rows at most, and to put it into its bin.
BINNING_S = 1.2e-7
ORDERING_S, ORDERED_ROWS, PUTTING_S = 9e-8, 200_000, 6e-8
_LARGEST_QUERY = 10_000  # LightGBM's limit of rows per query
_FASTEST = 1  # of zlib's levels
#: Settings of CatBoost's allocator, and what keeps two threads from loading it at once.
_MIMALLOC = {"MIMALLOC_PURGE_DELAY": "1", "MIMALLOC_ARENA_PURGE_MULT": "1"}
_LOADING = threading.Lock()


def seconds_per_tree(n_rows: int, n_columns: float, n_threads: int) -> float:
    """About what a tree of 31 leaves takes: 0.7 ms and 2.2 ms per million cells were measured on two threads."""
    return (0.7e-3 + 2.2e-3 * n_rows * n_columns / 1e6) * (2.0 / max(n_threads, 1))


class Watch:
    """Decides after each round whether another one is worth it, and remembers the losses seen.

    Patience grows with the round of the last progress: slow learners improve in steps. Progress is a loss smaller by a
    ten-thousandth, at once or in several rounds: noise-free tables would else never be done.

    Parameters
    ----------
    budget : Budget
        Time for all rounds.
    patience : int
        Rounds without progress after which it is enough, at least.
    growth : (float, int), default=(0.3, 20)
        Share of the rounds up to the last progress, and rounds beside it, that are waited for if that is more.
    """

    PROGRESS: ClassVar[float] = 1e-4
    #: Time to write a model down without its data, as a share of the time it took to grow.
    FINISHING: ClassVar[float] = 0.08

    def __init__(self, budget: Budget, patience: int, growth: tuple[float, int] = (0.3, 20)) -> None:
        self.budget, self.patience, self.growth = budget, patience, growth
        self.losses: list[float] = []
        self.n_done, self.is_cut_short = 0, False
        self._mark, self._marked_at = float("inf"), 0
        self._timed_from: float | None = None
        self._n_untimed = 0

    @property
    def best(self) -> int:
        """Rounds up to the smallest loss; all of them where nothing was watched."""
        return int(np.nanargmin(self.losses)) + 1 if np.isfinite(self.losses).any() else self.n_done

    def begins(self) -> None:
        """Time the first round, too: what came before, such as binning, is over."""
        self._timed_from = time.perf_counter()

    def goes_on(self, loss: float | None) -> bool:
        """Note the loss after one more round; whether to grow another."""
        self.n_done += 1
        if loss is not None:
            self.losses.append(loss)
            if loss < self._mark - self.PROGRESS * abs(self._mark) or self.n_done == 1:
                self._mark, self._marked_at = loss, self.n_done
            share, beside = self.growth
            if self.n_done - self._marked_at >= max(self.patience, share * self._marked_at + beside):
                return False
        if self.budget.is_limited:
            self.is_cut_short = self.budget.left() < self._seconds_to_stop()
        return not self.is_cut_short

    def _seconds_to_stop(self) -> float:
        """Time that two more rounds and writing the model down will take, after the first round only one more.

        A first round that nobody told the beginning of may also have binned: it is no guide.
        """
        now = time.perf_counter()
        if self._timed_from is None:
            self._timed_from, self._n_untimed = now, self.n_done
            return 0.0
        growing = now - self._timed_from
        return (min(self.n_done, 2) / (self.n_done - self._n_untimed) + self.FINISHING) * growing


class BoostedLearner(Learner):
    """What the three libraries share: target code, rounds, and raw scores turned into predictions.

    Parameters understood beside each library's own: `n_rounds` (most rounds to grow; default 10,000, at most 40,000
    trees over all classes, and 200 rounds without `valid`) and `patience` (default 50).
    """

    target_: TargetCode
    start_: _Matrix
    _n_rounds: int = 0

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> BoostedLearner:
        """Grow trees until `valid` says enough, the rounds are done or the time is up."""
        budget.check(type(self).__name__)
        self._n_threads = n_threads
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        y = self.target_.encode(train.y)
        self.start_ = self.target_.start(y, train.weight)
        if self.target_.is_constant or not _varies(train):
            return self
        self._check_first_round(train, budget)
        watch = Watch(budget, int(self.params.get("patience", _PATIENCE)))
        self._grow(train, y, None if valid is None else self.target_.known(valid), watch)
        self.is_cut_short_ = watch.is_cut_short
        self._n_rounds = watch.best
        self.curve_ = np.array(watch.losses) if watch.losses else None
        return self

    def _check_first_round(self, train: Sample, budget: Budget) -> None:
        """Raise OutOfTime if its trees, one for each class, would take more than is left: a round is grown whole."""
        seconds, left = self.target_.n_raw * seconds_per_tree(*train.shape, self._n_threads), budget.left()
        if seconds > left:
            raise OutOfTime(
                f"{type(self).__name__} was not begun: a round of {self.target_.n_raw:,} trees on {train.shape[0]:,} "
                f"rows takes about {seconds:.1f} s; {max(left, 0.0):.1f} s of its share of the time budget are left"
            )

    def _check_binning(self, train: Sample, budget: Budget) -> None:
        """Raise OutOfTime if the time would be over before the first round: no library can be stopped while it bins."""
        n_rows, n_columns = train.shape
        seconds, left = self._binning_s(n_rows, n_columns) / self._n_threads, budget.left()
        if seconds > left:
            raise OutOfTime(
                f"{type(self).__name__} was not begun: to bin {n_rows:,} rows of {n_columns:,} columns takes about "
                f"{seconds:.1f} s; {max(left, 0.0):.1f} s of its share of the time budget are left"
            )

    def _binning_s(self, n_rows: int, n_columns: int) -> float:
        """About what one thread needs to bin the rows."""
        return BINNING_S * n_rows * n_columns

    @abstractmethod
    def _grow(self, train: Sample, y: NDArray[Any], valid: Sample | None, watch: Watch) -> None:
        """Fit on encoded `y`, asking `watch` after each round, and keep a model that holds no data."""

    @abstractmethod
    def _raw(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Raw scores of shape (n_rows, n_raw) after `n_rounds` rounds."""

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Probabilities, values or scores."""
        if self._n_rounds == 0 or len(X) == 0:
            return self.target_.decode(np.repeat(self.start_[None, :], len(X), axis=0))
        return self.target_.decode(self._raw(X, n_threads))

    def truncate(self, n_rounds: int) -> None:
        """Use the first `n_rounds` of the rounds that were grown."""
        self._n_rounds = min(max(int(n_rounds), 1), self._n_grown)

    @property
    def n_rounds(self) -> int:
        """Rounds in use."""
        return self._n_rounds

    @property
    def n_trees(self) -> int:
        """Trees in use, one per round and raw score."""
        return self._n_rounds * self.target_.n_raw

    @property
    @abstractmethod
    def _n_grown(self) -> int:
        """Rounds that were grown."""

    @property
    def _rounds_per_piece(self) -> int:
        """Rounds that are written down together, and that rows are taken through together."""
        return max(_TREES_AT_A_TIME // self.target_.n_raw, 1)

    @property
    def _n_pieces(self) -> int:
        """Pieces that hold the rounds in use; the last one maybe more."""
        return -(-self._n_rounds // self._rounds_per_piece)

    def _most_rounds(self, valid: Sample | None) -> int:
        asked = self.params.get("n_rounds")
        if asked is None:
            asked = _ROUNDS_WITHOUT_WATCH if valid is None else _MAX_ROUNDS
        return max(min(int(asked), _MAX_TREES // self.target_.n_raw), 1)

    def _options(self) -> dict[str, Any]:
        """Parameters of the library itself."""
        return {k: v for k, v in self.params.items() if k not in ("n_rounds", "patience")}

    def _objective(self, values: str, binary: str, multiclass: str) -> str:
        if not self.task.is_classification:
            return values
        return binary if self.target_.n_raw == 1 else multiclass


class LightGBM(BoostedLearner):
    """LightGBM with native categories; for ranking `objective` may be lambdarank, rank_xendcg or regression.

    With many or rare classes a Newton step for a class of probability p is up to 1/p, which lets the softmax diverge.
    A leaf's step is therefore held to 10 before shrinkage (`max_delta_step`): a bound that a leaf reaches only where
    the class it is full of was thought less likely than one in ten.
    """

    #: LightGBM's own description of the trees, compressed, a few rounds at a time: as one text they would take more
    #: memory than all else.
    packed_: tuple[bytes, ...] = ()
    #: Leaves of every tree grown, round by round and class by class.
    leaves_per_tree_: tuple[int, ...] = ()
    _boosters: tuple[Any, ...] | None = None

    _BINNING: ClassVar[tuple[str, ...]] = ("max_bin", "min_data_in_bin")
    #: What may look at earlier trees or at the number of the round, so that no tree can be let go of.
    _LOOKING_BACK: ClassVar[frozenset[str]] = frozenset({"boosting", "data_sample_strategy", "linear_tree"})

    def _grow(self, train: Sample, y: NDArray[Any], valid: Sample | None, watch: Watch) -> None:
        from lightgbm import Booster

        options = self._lightgbm_options(train)
        data, watched = self._datasets(train, y, valid, options, watch.budget)
        booster = Booster(params=options, train_set=data)
        if watched is not None:
            booster.add_valid(watched, "valid")
        self._boosters, self.packed_, self.leaves_per_tree_ = None, (), ()
        watch.begins()
        most_at_a_time, n_written, empty = self._most_rounds_at_a_time(options), 0, 0
        for _ in range(self._most_rounds(valid)):
            n_before = booster.current_iteration()
            booster.update()
            if booster.current_iteration() == n_before:
                # Columns are drawn at random: another draw may find a split where this one found none.
                empty += 1
                if empty == _EMPTY_ROUNDS:
                    break
                continue
            empty = 0
            if not watch.goes_on(None if watched is None else self._loss(booster)):
                break
            if booster.current_iteration() - n_written >= most_at_a_time:
                self._keep(booster, n_written)
                n_written = self._let_trees_go(booster)
        self._keep(booster, n_written)

    def fit_elsewhere(self, code: TargetCode, start: _Matrix, grow: Callable[[Mapping[str, Any]], str]) -> LightGBM:
        """Fit by somebody else's hands, on rows that are not here.

        Parameters
        ----------
        code : TargetCode
            How the target was encoded.
        start : ndarray of shape (n_raw,)
            Raw scores of the best constant prediction.
        grow : callable
            Given LightGBM's parameters, grows trees and returns LightGBM's own description of them.

        Returns
        -------
        LightGBM
            This learner, fitted.
        """
        self._n_threads, self.target_, self.start_ = 1, code, start
        self._boosters, self.packed_, self.leaves_per_tree_ = None, (), ()
        self._keep(_booster_of(grow(self._lightgbm_options(None))))
        self._n_rounds = self._n_grown
        return self

    def _keep(self, booster: Any, first: int = 0) -> None:
        """Write down the rounds from the first one given on, after those that are written down already."""
        packed, leaves = list(self.packed_), list(self.leaves_per_tree_)
        for start in range(first, booster.current_iteration(), self._rounds_per_piece):
            text = booster.model_to_string(num_iteration=self._rounds_per_piece, start_iteration=start)
            packed.append(zlib.compress(text.encode(), _FASTEST))
            leaves += [int(n) for n in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE)]
        self.packed_, self.leaves_per_tree_ = tuple(packed), tuple(leaves)

    def _most_rounds_at_a_time(self, options: Mapping[str, Any]) -> int:
        """Rounds whose trees are held while more are grown; each takes as many leaves as it may have, not as it has."""
        if int(options.get("bagging_freq", 0)) > 1 or not self._LOOKING_BACK.isdisjoint(options):
            return _MAX_ROUNDS
        bytes_per_tree = _LEAF_BYTES * int(options.get("num_leaves", 31)) + _TREE_BYTES
        bytes_per_piece = self._rounds_per_piece * self.target_.n_raw * bytes_per_tree
        return self._rounds_per_piece * max(_GROWING_BYTES // bytes_per_piece, 1)

    def _let_trees_go(self, booster: Any) -> int:
        """Let LightGBM forget all rounds but the first, which holds the start; returns how many rounds it still has.

        It can only take rounds back. Of trees whose leaves are zero nothing but the trees is taken back: the scores
        that the next ones are grown on stay as they are, bit by bit.
        """
        n_raw, n_rounds = self.target_.n_raw, booster.current_iteration()
        held = range(n_raw, n_rounds * n_raw)
        for tree, n_leaves in zip(held, self.leaves_per_tree_[-len(held) :], strict=True):
            for leaf in range(n_leaves):
                booster.set_leaf_output(tree, leaf, 0.0)
        for _ in range(1, n_rounds):
            booster.rollback_one_iter()
        return 1

    def descriptions(self) -> Iterator[str]:
        """LightGBM's own description of the trees in use, a few rounds at a time; of the last ones maybe more."""
        yield from map(_text_of, self.packed_[: self._n_pieces])

    def boosters(self) -> Iterator[tuple[Any, int]]:
        """LightGBM's models of the rounds in use, one after the other, and how many rounds of each are."""
        self._reading_s = 0.0
        pieces = self._read() if self._boosters is None else self._boosters
        for booster, rounds in zip(pieces, gen_batches(self._n_rounds, self._rounds_per_piece), strict=True):
            yield booster, rounds.stop - rounds.start

    def _read(self) -> Iterator[Any]:
        for piece in self.packed_[: self._n_pieces]:
            start = time.perf_counter()
            booster = _booster_of(_text_of(piece))
            self._reading_s += time.perf_counter() - start
            yield booster

    def truncate(self, n_rounds: int) -> None:
        """Use the first `n_rounds` of the rounds that were grown."""
        super().truncate(n_rounds)
        self._boosters = None

    def settle(self) -> None:
        """Let go of the description of later rounds."""
        self.packed_ = self.packed_[: self._n_pieces]
        self.leaves_per_tree_ = self.leaves_per_tree_[: len(self.packed_) * self._rounds_per_piece * self.target_.n_raw]

    def unpack(self) -> None:
        """Read the description, which is else read for each prediction."""
        if self._boosters is None:
            self._boosters = tuple(self._read())

    def __getstate__(self) -> dict[str, Any]:
        """The description only."""
        return {name: value for name, value in vars(self).items() if name not in ("_boosters", "_reading_s")}

    @staticmethod
    def _loss(booster: Any) -> float:
        _, _, value, is_higher_better = booster.eval_valid()[0][:4]
        return 1.0 - float(value) if is_higher_better else float(value)

    def _lightgbm_options(self, train: Sample | None) -> dict[str, Any]:
        fixed = {
            "verbosity": -1,
            "num_threads": self._n_threads,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
        }
        if self.task is Task.RANKING and train is not None:
            return {**self._options(), **fixed, **self._ranking_options(train)}
        options = {**self._options(), **fixed, "objective": self._objective("regression", "binary", "multiclass")}
        if self.target_.n_raw > 1:
            options["num_class"] = self.target_.n_raw
            options.setdefault("max_delta_step", 10.0)
        return options

    def _ranking_options(self, train: Sample) -> dict[str, Any]:
        """Objective and metric; grades that are no integers, and queries too long for LightGBM, are regressed on."""
        objective = self.params.get("objective", "lambdarank")
        grades = np.unique(train.y)
        is_integer = bool(np.all(grades == np.round(grades)))
        if objective == "regression" or not is_integer or _query_sizes(train).max() > _LARGEST_QUERY:
            return {"objective": "regression", "metric": "l2"}
        self.target_ = replace(self.target_, mean=0.0, scale=1.0)
        self.start_ = np.zeros(1)
        above = grades - grades[0]
        gains = 2.0**above - 1.0 if above[-1] <= 30 else above
        return {"objective": objective, "metric": "ndcg", "eval_at": [10], "label_gain": gains.tolist()}

    def _datasets(
        self, train: Sample, y: NDArray[Any], valid: Sample | None, options: Mapping[str, Any], budget: Budget
    ) -> tuple[Any, Any]:
        """Binned rows, kept in the samples' caches for configurations that bin alike."""
        grades = np.unique(train.y) if "label_gain" in options else None
        binning = {name: options[name] for name in self._BINNING if name in options}
        key = ("lightgbm", grades is None, *binning.items())
        params = {**binning, "num_threads": self._n_threads}
        lock = train.cache.setdefault("lightgbm_lock", threading.Lock())
        with lock:
            if key not in train.cache:
                self._check_binning(train, budget)
                train.cache[key] = _dataset(train, y, grades, params, None)
            data = train.cache[key]
            if valid is None:
                return data, None
            held, watched = valid.cache.get(key, (None, None))
            if held is not data:
                watched = _dataset(valid, self.target_.encode(valid.y), grades, params, data)
                valid.cache[key] = (data, watched)
            return data, watched

    def _binning_s(self, n_rows: int, n_columns: int) -> float:
        return n_columns * (ORDERING_S * min(n_rows, ORDERED_ROWS) + PUTTING_S * n_rows)

    def _raw(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        # LightGBM takes each row through all trees before the next one: few of them at a time stay in the cache.
        cells, raw = np.ascontiguousarray(X, dtype=np.float64), np.zeros((len(X), self.target_.n_raw))
        for booster, n_rounds in self.boosters():
            raw += booster.predict(cells, raw_score=True, num_iteration=n_rounds, num_threads=n_threads).reshape(
                len(X), -1
            )
        return raw

    @property
    def _n_grown(self) -> int:
        return len(self.leaves_per_tree_) // self.target_.n_raw

    @property
    def n_parameters(self) -> int:
        """Leaves of all trees in use."""
        if self._n_rounds == 0:
            return 0
        return sum(self._leaves_per_tree())

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees in use."""
        return self.n_parameters

    def feature_gains(self) -> NDArray[np.float64] | None:
        """Total gain of the splits on each column, over the rounds in use."""
        if self._n_rounds == 0:
            return None
        gains: NDArray[np.float64] = np.sum(
            [booster.feature_importance("gain", iteration=n_rounds) for booster, n_rounds in self.boosters()], axis=0
        )
        return gains

    def leaves(self, X: _Matrix) -> NDArray[np.int64]:
        """Leaf of each row in each tree."""
        cells, per_tree = np.ascontiguousarray(X), self._leaves_per_tree()
        numbers = [
            booster.predict(cells, pred_leaf=True, num_iteration=n_rounds, num_threads=self._n_threads)
            for booster, n_rounds in self.boosters()
        ]
        reached = np.concatenate([np.asarray(part).reshape(len(X), -1) for part in numbers], axis=1)
        return reached.astype(np.int64) + leaf_offsets(per_tree)

    def _leaves_per_tree(self) -> tuple[int, ...]:
        return self.leaves_per_tree_[: self._n_rounds * self.target_.n_raw]


class XGBoost(BoostedLearner):
    """XGBoost's histogram method, on float32 cells; its leaves are added up in double, which the graph can repeat."""

    #: XGBoost's models of a few rounds each: what is made of a row or of a model takes memory for so many trees only.
    boosters_: tuple[Any, ...] = ()
    #: What the leaves of each of them hold, by tree and number of the node.
    leaf_tables_: tuple[NDArray[np.float32], ...] = ()
    #: Nodes and leaves of every tree grown, round by round and class by class.
    nodes_per_tree_: tuple[int, ...] = ()
    leaves_per_tree_: tuple[int, ...] = ()

    def _grow(self, train: Sample, y: NDArray[Any], valid: Sample | None, watch: Watch) -> None:
        xgboost = _require("xgboost")
        self._check_binning(train, watch.budget)
        data = self._matrix(train, y)
        watched = None if valid is None else self._matrix(valid, self.target_.encode(valid.y))
        options = {
            **self._options(),
            "objective": self._objective("reg:squarederror", "binary:logistic", "multi:softprob"),
            "tree_method": "hist",
            "nthread": self._n_threads,
            "seed": self.seed,
            "verbosity": 0,
            **({"num_class": self.target_.n_raw} if self.target_.n_raw > 1 else {}),
        }
        booster = xgboost.Booster(options, [data] if watched is None else [data, watched])
        for i in range(self._most_rounds(valid)):
            booster.update(data, i)
            if not watch.goes_on(None if watched is None or valid is None else self._loss(booster, watched, valid)):
                break
        # Parts of a model hold no data.
        self.boosters_ = tuple(booster[rounds] for rounds in gen_batches(watch.n_done, self._rounds_per_piece))
        tables, nodes, leaves = [], [], []
        for part in self.boosters_:
            values = []
            for tree in self._described(part):
                values.append(np.array(tree["split_conditions"], dtype=np.float32))
                nodes.append(len(tree["left_children"]))
                leaves.append(tree["left_children"].count(-1))
            tables.append(_leaf_table(values))
        self.leaf_tables_, self.nodes_per_tree_, self.leaves_per_tree_ = tuple(tables), tuple(nodes), tuple(leaves)

    def _matrix(self, sample: Sample, y: NDArray[Any] | None = None) -> Any:
        xgboost = _require("xgboost")
        cells = as_float32(sample)
        margin = np.repeat(self.start_[None, :], len(cells), axis=0)
        base = margin if self.target_.n_raw > 1 else margin[:, 0]
        return xgboost.DMatrix(cells, y, weight=sample.weight, base_margin=base, nthread=self._n_threads)

    def _loss(self, booster: Any, watched: Any, valid: Sample) -> float:
        raw = booster.predict(watched, output_margin=True).astype(np.float64).reshape(len(valid.y), -1)
        return self.target_.loss(self.target_.encode(valid.y), raw, valid.weight)

    def settle(self) -> None:
        """Let go of later rounds."""
        n_pieces, n_trees = self._n_pieces, self._n_pieces * self._rounds_per_piece * self.target_.n_raw
        self.boosters_, self.leaf_tables_ = self.boosters_[:n_pieces], self.leaf_tables_[:n_pieces]
        self.nodes_per_tree_, self.leaves_per_tree_ = self.nodes_per_tree_[:n_trees], self.leaves_per_tree_[:n_trees]

    def trees(self) -> Iterator[dict[str, Any]]:
        """XGBoost's own description of each tree in use, round by round and class by class."""
        for booster, n_rounds in self._parts_in_use():
            yield from islice(self._described(booster), n_rounds * self.target_.n_raw)

    def _described(self, booster: Any) -> Iterator[dict[str, Any]]:
        """XGBoost's own description of each tree of a model: many times as large as the tree, so few at a time."""
        n_at_a_time = max(_TREES_DESCRIBED // self.target_.n_raw, 1)
        for rounds in gen_batches(booster.num_boosted_rounds(), n_at_a_time):
            description = json.loads(booster[rounds].save_raw("json"))
            yield from description["learner"]["gradient_booster"]["model"]["trees"]

    def _parts_in_use(self) -> Iterator[tuple[Any, int]]:
        """XGBoost's models of the rounds in use, and how many rounds of each are."""
        for booster, rounds in zip(self.boosters_, gen_batches(self._n_rounds, self._rounds_per_piece), strict=False):
            yield booster, rounds.stop - rounds.start

    def _nodes(self, X: _Matrix) -> Iterator[NDArray[np.int64]]:
        """Node that each row ends in, in each tree in use, a few rounds at a time."""
        rows = self._matrix(Sample(X, np.zeros(0)))
        for booster, n_rounds in self._parts_in_use():
            numbers = booster.predict(rows, pred_leaf=True, iteration_range=(0, n_rounds))
            yield np.asarray(numbers).reshape(len(X), -1).astype(np.int64)

    def _raw(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        return in_blocks(self._raw_of_block, X, n_threads, _ROWS_AT_A_TIME)

    def _raw_of_block(self, X: _Matrix) -> _Matrix:
        raw = np.repeat(self.start_[None, :], len(X), axis=0)
        for table, numbers in zip(self.leaf_tables_, self._nodes(X), strict=False):
            held = table[np.arange(numbers.shape[1]), numbers].astype(np.float64)
            raw += held.reshape(len(X), -1, self.target_.n_raw).sum(axis=1)
        return raw

    @property
    def _n_grown(self) -> int:
        return len(self.leaves_per_tree_) // self.target_.n_raw

    @property
    def n_parameters(self) -> int:
        """Leaves of all trees in use."""
        return sum(self.leaves_per_tree_[: self._n_rounds * self.target_.n_raw])

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees in use."""
        return self.n_parameters

    def leaves(self, X: _Matrix) -> NDArray[np.int64]:
        """Leaf of each row in each tree."""
        sizes = self.nodes_per_tree_[: self._n_rounds * self.target_.n_raw]
        return np.concatenate(list(self._nodes(X)), axis=1) + leaf_offsets(sizes)


class CatBoost(BoostedLearner):
    """CatBoost on numbers: oblivious trees, which compare float32 cells with their borders."""

    model_: Any = None

    def _grow(self, train: Sample, y: NDArray[Any], valid: Sample | None, watch: Watch) -> None:
        catboost = _catboost()
        options = {
            **self._options(),
            "iterations": self._most_rounds(valid),
            "loss_function": self._objective("RMSE", "Logloss", "MultiClass"),
            "thread_count": self._n_threads,
            "random_seed": self.seed,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        self._check_binning(train, watch.budget)
        pool = self._pool(train, y)
        watched = None if valid is None else self._pool(valid, self.target_.encode(valid.y))
        model = catboost.CatBoost(options)
        model.fit(pool, eval_set=watched, use_best_model=False, callbacks=[_CatBoostCallback(watch)])
        # As it was fitted it holds some twenty times what its trees take (12 models of 100 rounds on 30,000 rows of 40
        # columns: 40 MiB in place of 2), what it said of the watched rows among it.
        state = model.__getstate__()
        state.pop("_test_evals", None)
        self.model_ = catboost.CatBoost()
        self.model_.__setstate__(state)

    @staticmethod
    def _pool(sample: Sample, y: NDArray[Any]) -> Any:
        return _catboost().Pool(as_float32(sample), y, weight=sample.weight)

    def _raw(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        raw = self.model_.predict(
            as_float32(X), prediction_type="RawFormulaVal", ntree_end=self._n_rounds, thread_count=n_threads
        )
        return np.asarray(raw, dtype=np.float64).reshape(len(X), -1)

    def __reduce__(self) -> tuple[Any, ...]:
        """As any object's, but that CatBoost is loaded before its model is read."""
        return _new_catboost, (), vars(self)

    def description(self) -> dict[str, Any]:
        """CatBoost's own description of the model; it can only write it to a file, which is removed at once."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            self.model_.save_model(str(path), format="json")
            description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return description

    @property
    def _n_grown(self) -> int:
        return 0 if self.model_ is None else int(self.model_.tree_count_)

    @property
    def n_parameters(self) -> int:
        """Leaves of all trees in use."""
        return int(np.sum(self.model_.get_tree_leaf_counts()[: self._n_rounds])) if self._n_rounds else 0

    @property
    def n_leaves(self) -> int:
        """Leaves that some training row fell into: those of an oblivious tree that none can reach do not count."""
        n_leaves = self.n_parameters
        return int(np.count_nonzero(self._leaf_weights()[:n_leaves])) if n_leaves else 0

    def _leaf_weights(self) -> _Matrix:
        """Weight of the training rows in each leaf; `get_leaf_weights` fails for several classes."""
        return np.concatenate([tree["leaf_weights"] for tree in self.description()["oblivious_trees"]])

    def leaves(self, X: _Matrix) -> NDArray[np.int64]:
        """Leaf of each row in each tree; -1 for leaves that no training row fell into."""
        numbers = self.model_.calc_leaf_indexes(as_float32(X), ntree_end=self._n_rounds, thread_count=self._n_threads)
        sizes = [int(n) for n in self.model_.get_tree_leaf_counts()[: self._n_rounds]]
        reached = np.asarray(numbers).astype(np.int64) + leaf_offsets(sizes)
        return np.where(self._leaf_weights()[reached] > 0, reached, -1)


def _new_catboost() -> CatBoost:
    _catboost()
    return CatBoost.__new__(CatBoost)


class _CatBoostCallback:
    """Asks `watch` after each of CatBoost's rounds."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def after_iteration(self, info: Any) -> bool:
        validation = info.metrics.get("validation")
        return self.watch.goes_on(None if validation is None else next(iter(validation.values()))[-1])


def _text_of(piece: bytes) -> str:
    return zlib.decompress(piece).decode()


def _booster_of(text: str) -> Any:
    from lightgbm import Booster

    return Booster(model_str=text)


def _dataset(
    sample: Sample, y: NDArray[Any], grades: NDArray[Any] | None, params: Mapping[str, Any], reference: Any
) -> Any:
    """Binned rows; negative category codes are handed over as missing, which LightGBM makes of them anyway."""
    from lightgbm import Dataset

    # Either memory order is read as it is; another one would be copied by LightGBM.
    X = sample.X if sample.X.flags.f_contiguous or sample.X.flags.c_contiguous else np.ascontiguousarray(sample.X)
    X = without_negative_codes(X, sample.categorical)
    if grades is not None:
        y = np.clip(np.searchsorted(grades, sample.y, side="right") - 1, 0, None)
    data = Dataset(
        X,
        label=y,
        weight=sample.weight,
        group=None if grades is None else _query_sizes(sample),
        categorical_feature=list(sample.categorical),
        reference=reference,
        params={"verbosity": -1, "feature_pre_filter": False, "data_random_seed": 1, **params},
    ).construct()
    sample.let_go()
    return data


def without_negative_codes(X: _Matrix, categorical: Sequence[int]) -> _Matrix:
    """Unknown categories as missing cells; X itself where there are none."""
    columns = [j for j in categorical if bool((X[:, j] < 0).any())]
    if columns:
        X = X.copy(order="K")
        X[:, columns] = np.where(X[:, columns] < 0, np.nan, X[:, columns])
    return X


def _query_sizes(sample: Sample) -> NDArray[np.int64]:
    """Rows of each query; all rows are one query where none is given."""
    if sample.group is None:
        return np.array([len(sample.y)])
    starts = np.flatnonzero(np.r_[True, sample.group[1:] != sample.group[:-1]])
    sizes: NDArray[np.int64] = np.diff(np.r_[starts, len(sample.group)])
    return sizes


def _leaf_table(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the nodes of each tree hold, leaves among them, by tree and number of the node."""
    table = np.zeros((len(values), max(len(of_tree) for of_tree in values)), dtype=np.float32)
    for row, of_tree in zip(table, values, strict=True):
        row[: len(of_tree)] = of_tree
    return table


def _varies(sample: Sample) -> bool:
    """Whether any column has two different cells: otherwise there is nothing to split on."""
    if "varies" not in sample.cache:
        first = np.empty(sample.shape[1])
        sample.cache["varies"] = any(_differs(first, *part) for part in sample.parts())
    return bool(sample.cache["varies"])


def _differs(first: NDArray[np.float64], rows: slice, columns: slice, cells: _Matrix) -> bool:
    """Whether any cell is another one than the first row has; `first` is that row as far as it has come by."""
    if not rows.start:
        first[columns] = cells[:1]
    same = first[columns]
    return bool(np.any((cells != same) & ~(np.isnan(cells) & np.isnan(same))))


def _catboost() -> Any:
    """CatBoost, loaded such that it gives memory back a millisecond after it was freed.

    Left to itself its allocator, mimalloc, keeps what the threads of each fit had used: over 24 fits on 30,000 rows of
    40 columns 70 MiB, in place of 4 to 34. It reads its settings once, while it is loaded.
    """
    with _LOADING:
        added = {} if "catboost" in sys.modules else {k: v for k, v in _MIMALLOC.items() if k not in os.environ}
        os.environ.update(added)
        try:
            return _require("catboost")
        finally:
            for name in added:
                del os.environ[name]


def _require(name: str) -> Any:
    """An optional library."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"The model needs {name!r}, which is not installed. Install it with: pip install 'automl_wf[boosters]'."
        ) from error
