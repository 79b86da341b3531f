"""The fitted pipeline: raw rows in, predictions out, never through ONNX; and the graph that says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags, Tags

from automl_wf.core.budget import Budget
from automl_wf.core.compat import usable_threads
from automl_wf.core.frame import read_table
from automl_wf.core.schema import Schema
from automl_wf.core.table import Table
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter, NotExportable
from automl_wf.model_selection.conformal_onnx import ALPHA, has_conformal_outputs
from automl_wf.model_selection.ensemble import Blend
from automl_wf.model_selection.graph import build_graph, feed_of
from automl_wf.model_selection.parity import Parity, check_parity, open_session

if TYPE_CHECKING:
    from onnx import ModelProto


#: From so many comparisons in all on, the graph saves more time than building it takes.
GRAPH_PAYS = 200_000_000


class FittedPipeline(BaseEstimator):  # type: ignore[misc]
    """Schema, features, models and postprocessing of a finished `fit`; `best_estimator_` of the estimators.

    Parameters
    ----------
    schema : Schema
        How cells are read.
    blend : Blend
        Features, models, weights and postprocessing.
    task : Task
        What is predicted.
    classes : ndarray of shape (n_classes,) or None
        Class labels.
    on_unknown : {"ignore", "warn", "raise"}
        What to do about categories not seen in `fit`.
    owner : str
        Name of the estimator, for messages.
    n_jobs : int or None, default=None
        Threads that predict, as `n_jobs` of the estimator; predictions do not depend on it.
    """

    def __init__(
        self,
        schema: Schema,
        blend: Blend,
        task: Task,
        classes: NDArray[Any] | None,
        on_unknown: str = "ignore",
        owner: str = "FittedPipeline",
        n_jobs: int | None = None,
    ) -> None:
        self.schema, self.blend, self.task, self.classes = schema, blend, task, classes
        self.on_unknown, self.owner, self.n_jobs = on_unknown, owner, n_jobs

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.task.is_classification:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        elif self.task is Task.REGRESSION:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def read(self, X: Any) -> Table:
        """Rows after the edge."""
        return read_table(X, self.schema, owner=self.owner, on_unknown=self.on_unknown)

    def predict_raw(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_rows, n_classes), or values or scores of shape (n_rows,)."""
        return self.blend.predict(self.read(X), usable_threads(self.n_jobs))

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels, values or scores of shape (n_rows,)."""
        raw = self.predict_raw(X)
        return raw if self.classes is None else self.classes[self.blend.postprocess.decide(raw)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n_rows, n_classes).

        Raises
        ------
        InvalidParameter
            The task has no classes.
        """
        if self.classes is None:
            raise InvalidParameter(f"predict_proba needs classes; this is {self.task.value}. Use predict.")
        return self.predict_raw(X)

    def predictor_of_many(self, n_predictions: int) -> Callable[[Table], NDArray[np.float64]]:
        """What predicts so many rows soonest: the ensemble itself, or the graph where the trees are many.

        Parameters
        ----------
        n_predictions : int
            Rows to be predicted; building a graph takes as long as some thousands of them.

        Returns
        -------
        callable
            From a Table to what `predict_raw` says, within 1e-9 of it.
        """
        if n_predictions * self.blend.n_comparisons < GRAPH_PAYS:
            return self.blend.predict
        try:
            model = build_graph(self.blend, self.schema, self.task, self.classes)
        except NotExportable:
            # A model of the user's own: it predicts as fast as it does
            return self.blend.predict
        session = open_session(model.SerializeToString())
        output = "prediction" if self.classes is None else "probabilities"

        def predict(table: Table) -> NDArray[np.float64]:
            (raw,) = session.run([output], feed_of(table))
            return np.asarray(raw)

        return predict

    def to_onnx(self, reference: Any, *, budget: Budget | None = None) -> tuple[ModelProto, Parity]:
        """The graph, compared with `predict` on `reference` and on rows made from it.

        Parameters
        ----------
        reference : DataFrame or ndarray
            Raw rows to compare on.
        budget : Budget, default=None
            Time for the search for rows that reach further leaves; None: ten seconds.

        Returns
        -------
        model : ModelProto
            The graph.
        parity : Parity
            What was compared and how close it is.

        Raises
        ------
        NotExportable
            A part has no exact graph.
        ParityError
            Graph and predict differ.
        """
        metadata = {"task": self.task.value, "producer": "automl_wf"}
        if has_conformal_outputs(self.blend.postprocess):
            metadata["conformal_alpha"] = str(ALPHA)
        model = build_graph(self.blend, self.schema, self.task, self.classes, metadata)
        table = read_table(reference, self.schema, owner=self.owner)
        return model, check_parity(model, self.blend, table, self.classes, budget=budget or Budget(10.0))
