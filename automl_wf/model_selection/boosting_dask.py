"""LightGBM on all partitions of a Dask DataFrame: features are made where the rows are, trees grown by all workers.

References
----------
Meng et al. (2016). A communication-efficient parallel algorithm for decision tree. NIPS; LightGBM's own data-parallel
learner, by way of `lightgbm.dask`.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.frame import read_table
from automl_wf.core.partitions import Part
from automl_wf.core.schema import Schema
from automl_wf.core.tasks import Task
from automl_wf.core.validation import read_weights
from automl_wf.feature_engineering.plan import FittedView
from automl_wf.feature_engineering.selected_view import SelectedView
from automl_wf.model_selection.base import TargetCode
from automl_wf.model_selection.boosting import LightGBM, without_negative_codes
from automl_wf.problem_definition.target import encode_labels, read_target

_LOG = logging.getLogger("automl_wf")


@dataclass(frozen=True)
class PartReader:
    """Turns a partition into what LightGBM is fitted on: features, encoded target and weights.

    Parameters
    ----------
    schema : Schema
        How cells are read.
    view : FittedView or SelectedView
        The features, fitted on a sample: rows of a partition get what `transform` makes of new rows.
    code : TargetCode
        How the target is encoded.
    classes : ndarray of shape (n_classes,) or None
        Class labels.
    """

    schema: Schema
    view: FittedView | SelectedView
    code: TargetCode
    classes: NDArray[Any] | None

    def __call__(self, part: Part) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64] | None]:
        """Features of shape (n_rows, n_features), target of shape (n_rows,), weights or None."""
        n_rows, owner = len(part.X), f"partition {part.number}"
        if n_rows == 0:
            weight = None if part.weight is None else np.empty(0)
            return np.empty((0, self.view.n_features)), np.empty(0), weight
        X = self.view.transform(read_table(part.X, self.schema, owner=owner))
        if self.classes is not None:
            y: NDArray[Any] = encode_labels(part.y, self.classes)
        else:
            y = read_target(part.y, self.code.task.family, n_rows, owner).values
        weight = read_weights(part.weight, n_rows)
        return without_negative_codes(X, self.view.categorical), self.code.encode(y), weight


@dataclass(frozen=True)
class Grown:
    """Trees that workers grew.

    Parameters
    ----------
    text : str
        LightGBM's own description of them.
    seconds, seconds_per_round : float
        What all of it took, and each round but the first.
    """

    text: str
    seconds: float
    seconds_per_round: float


class _RoundTimer:
    """Notes on the booster how long a round takes."""

    def __call__(self, env: Any) -> None:
        now = time.perf_counter()
        if env.iteration == env.begin_iteration:
            self._first_at = now
        env.model.seconds_per_round = (now - self._first_at) / max(env.iteration - env.begin_iteration, 1)


def can_be_spread(learner: Any) -> bool:
    """Whether lightgbm.dask grows the same kind of model; queries would have to lie whole within partitions."""
    return type(learner) is LightGBM and learner.task is not Task.RANKING


def grow_on_partitions(
    options: Mapping[str, Any],
    parts: Sequence[Any],
    n_features: int,
    categorical: Sequence[int],
    n_rounds: int,
    *,
    has_weights: bool,
) -> Grown:
    """Grow all trees on all partitions at once.

    Parameters
    ----------
    options : mapping
        LightGBM's parameters.
    parts : sequence of Future
        What `PartReader` made of each partition.
    n_features : int
        Columns of their matrices.
    categorical : sequence of int
        Places of category codes.
    n_rounds : int
        Rounds to grow.
    has_weights : bool
        Whether rows are weighted.

    Returns
    -------
    Grown
        The trees.
    """
    from lightgbm.dask import DaskLGBMRegressor

    start = time.perf_counter()
    X = _array(parts, 0, (n_features,))
    weight = _array(parts, 2, ()) if has_weights else None
    # Of classes and values alike: the objective is among the options, and the target is encoded already.
    model = DaskLGBMRegressor(
        n_estimators=n_rounds,
        tree_learner="data",
        feature_pre_filter=False,
        **{k: v for k, v in options.items() if k != "num_threads"},
    )
    said = StringIO()
    with redirect_stdout(said), warnings.catch_warnings():
        # The number of threads is each worker's own, whatever is asked for.
        warnings.filterwarnings("ignore", message="Parameter n_jobs will be ignored")
        model.fit(
            X,
            _array(parts, 1, ()),
            sample_weight=weight,
            categorical_feature=list(categorical),
            callbacks=[_RoundTimer()],
        )
    _LOG.debug("lightgbm.dask: %s", said.getvalue().strip())
    booster: Any = model.booster_
    seconds = time.perf_counter() - start
    return Grown(booster.model_to_string(num_iteration=-1), seconds, booster.seconds_per_round)


def _array(parts: Sequence[Any], place: int, shape: tuple[int, ...]) -> Any:
    """One entry of each part, as one Dask array of unknown length."""
    import dask.array as da
    from dask.delayed import delayed

    take = delayed(itemgetter(place))
    blocks = [da.from_delayed(take(part), (np.nan, *shape), dtype=np.float64) for part in parts]
    return da.concatenate(blocks, allow_unknown_chunksizes=True)
