"""A client: it holds rows, and answers the server's questions with sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.schema import Schema
from automl_wf.core.sketch import QuantileSketch
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.data_preparation import arrange_rows
from automl_wf.exceptions import InvalidInput
from automl_wf.feature_engineering.cross_fit import draw_parts
from automl_wf.federated.agreement import schema_arrays, schema_from
from automl_wf.federated.features import N_PARTS, Features
from automl_wf.federated.linear import GramSums, NewtonSums
from automl_wf.federated.message import Message
from automl_wf.federated.statistics import SKETCH_SIZE, Marginals, Moments, target_code
from automl_wf.model_selection.base import TargetCode
from automl_wf.model_selection.histogram_trees import Bins, BoostedRows, BoostingSettings, Step
from automl_wf.problem_definition.target import encode_labels, read_labels, read_target

Arrays = dict[str, NDArray[Any]]
#: Question → the one that must have been answered before.
_AFTER = {
    "marginals": "columns",
    "moments": "marginals",
    "features": "moments",
    "grow": "features",
    "gram": "features",
    "newton": "features",
}


class FederatedClient:
    """The rows of one party, which never leave it.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        Its raw rows; all clients have the same columns.
    y : array-like of shape (n_rows,)
        Their classes or values. One class is enough, if other clients have others.
    seed : int, default=0
        Which rows are kept back to end the rounds by, and how rows are dealt out to the parts of the cross-fit.

    See Also
    --------
    FederatedServer : Asks the questions.
    simulate : Runs both.
    """

    def __init__(self, X: Any, y: Any, *, seed: int = 0) -> None:
        self._X, self._y, self._seed = X, y, seed
        self._answered: set[str] = set()
        self._settings: Mapping[str, Any] = {}
        self._task = Task.REGRESSION
        self._schema: Schema
        self._table: Table
        self._arranged: Table
        self._told: NDArray[Any]
        self._target: NDArray[Any]
        self._encoded: NDArray[Any]
        self._unit: NDArray[np.int64]
        self._parts: NDArray[np.int64]
        self._features: Features
        self._code: TargetCode
        self._matrix: NDArray[np.float64]
        self._rows: BoostedRows

    def answer(self, message: Message) -> Message:
        """What the server is told.

        Parameters
        ----------
        message : Message
            Its question.

        Returns
        -------
        Message
            Counts, sums and sketches; their sizes do not depend on the number of rows.

        Raises
        ------
        InvalidInput
            There is no such question, or X and y cannot be used.
        """
        answers: dict[str, Callable[[Message], Arrays]] = {
            "columns": self._columns,
            "marginals": self._marginals,
            "moments": self._moment_sums,
            "features": self._feature_sketches,
            "grow": self._histograms,
            "gram": self._gram,
            "newton": self._newton,
        }
        if message.kind not in answers:
            raise InvalidInput(f"Expected a question out of {', '.join(answers)}. Got {message.kind!r} instead.")
        before = _AFTER.get(message.kind)
        if before is not None and before not in self._answered:
            raise InvalidInput(f"Expected {before!r} to be asked before {message.kind!r}: start with a new server.")
        reply = Message(message.kind, answers[message.kind](message))
        self._answered = {message.kind} if before is None else self._answered | {message.kind}
        return reply

    def _columns(self, message: Message) -> Arrays:
        """What the columns are taken for here."""
        self._settings = message.settings
        schema, _, _ = learn_schema(self._X, message.settings["schema"])
        return schema_arrays(schema)

    def _marginals(self, message: Message) -> Arrays:
        self._schema = schema_from(message.arrays)
        self._table = read_table(self._X, self._schema, owner=type(self).__name__)
        n_rows, owner = self._table.n_rows, type(self).__name__
        if self._settings["task"] == "classification":
            self._task, self._told = Task.MULTICLASS, read_labels(self._y, n_rows, owner)
        else:
            self._task, self._told = Task.REGRESSION, read_target(self._y, "regression", n_rows, owner).values
        return Marginals.measured(self._table, self._told, self._task, self._settings["min_rows"]).arrays

    def _moment_sums(self, message: Message) -> Arrays:
        marginals, target = Marginals.of(message.arrays), self._told
        if self._task.is_classification:
            self._task = Task.BINARY if len(marginals.labels) == 2 else Task.MULTICLASS
            labels = marginals.labels
            target = encode_labels(target, labels.astype(object) if labels.dtype.kind == "U" else labels)
        self._features = Features(self._settings["view"], self._task, self._schema, marginals)
        # Copies of a row share its part, and are kept back with it: apart they would tell of each other.
        rows = arrange_rows(self._table, target, None, None)
        self._arranged, self._target = self._table.take(rows.index), rows.y
        self._unit = np.arange(len(rows.y)) if rows.copies is None else rows.copies
        self._parts = draw_parts(len(rows.y), N_PARTS, self._unit, self._seed)
        return self._features.moments(self._arranged, self._target, self._parts, self._settings["min_rows"]).arrays

    def _feature_sketches(self, message: Message) -> Arrays:
        """Sketches of the features, which bins are cut by."""
        moments = Moments.of(message.arrays)
        view = self._features.fitted(moments)
        self._matrix = self._features.training(view, self._arranged, moments, self._parts)
        self._code = target_code(self._task, self._features.marginals, moments)
        self._encoded = self._code.encode(self._target)
        if self._settings["view"] == "dense":
            return {}
        min_rows = self._settings["min_rows"]
        sketches = [QuantileSketch.of(column, size=SKETCH_SIZE, min_rows=min_rows) for column in self._matrix.T]
        return {"means": np.array([s.means for s in sketches]), "counts": np.array([s.counts for s in sketches])}

    def _histograms(self, message: Message) -> Arrays:
        arrays = dict(message.arrays)
        if "edges" in arrays:
            edges, ends, start = arrays.pop("edges"), arrays.pop("ends"), arrays.pop("start")
            bins = Bins(tuple(np.split(edges, ends[:-1])))
            settings = BoostingSettings(**self._settings["params"])
            self._rows = BoostedRows(
                self._matrix, self._encoded, self._code, bins, start, settings, unit=self._unit, seed=self._seed
            )
        sums = self._rows.answer(Step(int(arrays.pop("depth")), **arrays))
        return vars(sums)

    def _gram(self, message: Message) -> Arrays:
        return vars(GramSums.of(self._matrix, self._encoded))

    def _newton(self, message: Message) -> Arrays:
        return vars(NewtonSums.of(self._matrix, self._encoded, self._code, message.arrays["theta"]))
