"""The server: it asks all clients the same questions, adds up the answers, and ends with one model.

The protocol is written down as one generator, from the first question to the model; what carries the messages is not
its concern.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_wf.core.schema import ColumnKind, Schema
from automl_wf.core.sketch import QuantileSketch
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidInput, InvalidParameter, InvalidTarget
from automl_wf.federated.agreement import agree, schema_arrays, schema_from
from automl_wf.federated.features import Features, View
from automl_wf.federated.linear import GramSums, NewtonSums, newton
from automl_wf.federated.message import Message
from automl_wf.federated.model import FederatedModel
from automl_wf.federated.statistics import Marginals, Moments, target_code
from automl_wf.model_selection.base import Learner, TargetCode
from automl_wf.model_selection.histogram_trees import Bins, BoostingSettings, HistogramTrees, Step, Sums, grow
from automl_wf.model_selection.linear import LinearLearner, LogisticRegression, Ridge

Replies = Sequence[Message]
Protocol = Generator[Message, Replies, FederatedModel]
#: Model → the view that it is given.
MODELS: dict[str, View] = {"boosting": "target", "linear": "dense"}


class FederatedServer:
    """Fits one model on the rows of many clients, of which it sees sums only.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    model : {"boosting", "linear"}, default="boosting"
        Boosted trees; or ridge regression for values and logistic regression for classes.
    params : mapping, default=None
        Hyper-parameters: those of `BoostingSettings`, or `alpha` (values, default 1.0) and `C` (classes, default 1.0).
    schema : mapping of str to str, default=None
        Kinds of columns that are known better, as in `WorkflowEstimator`.
    min_rows : int, default=5
        Fewest rows of a client that stand behind a level or a number of a quantile sketch that it tells of.
    target_name : str, default="y"
        Name of y.

    Raises
    ------
    InvalidParameter
        A parameter is not what it may be.

    See Also
    --------
    simulate : Runs server and clients.

    Examples
    --------
    >>> import numpy as np
    >>> from automl_wf.federated import FederatedClient, FederatedServer
    >>> X = np.random.default_rng(0).normal(size=(90, 2))
    >>> clients = [FederatedClient(X[rows], 3 * X[rows, 0] - X[rows, 1]) for rows in np.split(np.arange(90), 3)]
    >>> server = FederatedServer("regression", model="linear", params={"alpha": 1e-6})
    >>> while (request := server.request) is not None:
    ...     server.aggregate([client.answer(request) for client in clients])
    >>> server.model.predict([[1.0, 1.0]]).round(3)
    array([2.])
    """

    def __init__(
        self,
        task: str,
        *,
        model: str = "boosting",
        params: Mapping[str, Any] | None = None,
        schema: Mapping[str, str] | None = None,
        min_rows: int = 5,
        target_name: str = "y",
    ) -> None:
        if task not in ("classification", "regression"):
            raise InvalidParameter(f"The 'task' must be 'classification' or 'regression'. Got {task!r} instead.")
        if model not in MODELS:
            raise InvalidParameter(f"The 'model' must be one of {sorted(MODELS)}. Got {model!r} instead.")
        if isinstance(min_rows, bool) or not isinstance(min_rows, int) or min_rows < 1:
            raise InvalidParameter(f"The 'min_rows' must be an int of at least 1. Got {min_rows!r} instead.")
        known = set(vars(BoostingSettings())) if model == "boosting" else {"C" if task == "classification" else "alpha"}
        unknown = sorted(set(params or {}) - known)
        if unknown:
            raise InvalidParameter(f"The 'params' may hold {sorted(known)}. Got {unknown!r} among them instead.")
        for name, kind in (schema or {}).items():
            if kind not in list(ColumnKind):
                raise InvalidParameter(
                    f"The 'schema' must map columns to one of {[k.value for k in ColumnKind]}. "
                    f"Got {kind!r} for {name!r} instead."
                )
        if model == "boosting":
            BoostingSettings(**(params or {}))
        self.task, self.model_name, self.params, self.schema = task, model, dict(params or {}), dict(schema or {})
        self.min_rows, self.target_name = min_rows, target_name
        self._n_clients: int | None = None
        self._model: FederatedModel | None = None
        self._protocol = self._run()
        self._request: Message | None = next(self._protocol)

    @property
    def request(self) -> Message | None:
        """The question that all clients are asked next; None once the model is there."""
        return self._request

    @property
    def model(self) -> FederatedModel:
        """The fitted model.

        Raises
        ------
        InvalidInput
            Questions are still open.
        """
        if self._model is None:
            raise InvalidInput(
                "There is no model yet: answer the server's `request` with `aggregate` until it is None."
            )
        return self._model

    def aggregate(self, messages: Replies) -> None:
        """Add up what all clients answered, and go on to the next question.

        Parameters
        ----------
        messages : sequence of Message
            One per client, always the same clients.

        Raises
        ------
        InvalidInput
            Answers are missing or belong to another question, clients contradict each other, or no question is open.
        """
        if self._request is None:
            raise InvalidInput("No question is open: the model is there.")
        n_clients = self._n_clients or len(messages)
        wrong = sorted({m.kind for m in messages} - {self._request.kind})
        if not messages or len(messages) != n_clients or wrong:
            raise InvalidInput(
                f"Expected {n_clients or 'some'} answers to {self._request.kind!r}. Got {len(messages)}"
                f"{f', among them to {wrong!r}' if wrong else ''}. Every client must answer every question."
            )
        self._n_clients = n_clients
        try:
            self._request = self._protocol.send(messages)
        except StopIteration as done:
            self._request, self._model = None, done.value

    def _run(self) -> Protocol:
        view = MODELS[self.model_name]
        settings = {
            "task": self.task,
            "view": view,
            "params": self.params,
            "schema": self.schema,
            "min_rows": self.min_rows,
        }
        replies = yield Message("columns", settings=settings)
        schema = agree([schema_from(reply.arrays) for reply in replies])
        replies = yield Message("marginals", schema_arrays(schema))
        marginals = Marginals.merged([Marginals.of(reply.arrays) for reply in replies])
        task = _task_of(self.task, marginals)
        features = Features(view, task, schema, marginals)
        replies = yield Message("moments", marginals.arrays)
        moments = Moments.merged([Moments.of(reply.arrays) for reply in replies])
        code = target_code(task, marginals, moments)
        if code.is_constant:
            raise InvalidTarget("The target is the same in all rows of all clients: there is nothing to learn.")
        fitted = features.fitted(moments)
        replies = yield Message("features", moments.arrays)
        start = code.start(np.arange(len(code.classes)), marginals.label_counts.astype(np.float64))
        learner: Learner
        if self.model_name == "boosting":
            n_bins = features.bins_of(fitted, BoostingSettings(**self.params).max_bins)
            learner = yield from self._boost(replies, n_bins, code, start)
        else:
            learner = yield from self._fit_linear(features.schema, fitted.n_features, code, start)
        classes = None
        if task.is_classification:
            labels = marginals.labels
            classes = labels.astype(object) if labels.dtype.kind == "U" else labels
        return FederatedModel.of(features, fitted, learner, classes, self.model_name, self.target_name)

    def _boost(
        self, replies: Replies, n_bins: Sequence[tuple[int, int]], code: TargetCode, start: NDArray[np.float64]
    ) -> Generator[Message, Replies, HistogramTrees]:
        settings = BoostingSettings(**self.params)
        means, counts = (np.hstack([reply.arrays[name] for reply in replies]) for name in ("means", "counts"))
        sketches = [QuantileSketch.merged([QuantileSketch(m, c)]) for m, c in zip(means, counts, strict=True)]
        bins = Bins.cut(sketches, [most for most, _ in n_bins], [fewest for _, fewest in n_bins])
        ends = np.cumsum([len(edges) for edges in bins.edges])
        shared = {"edges": np.concatenate(bins.edges), "ends": ends, "start": start}
        growing = grow(bins, code.n_raw, settings)
        step: Step = next(growing)
        while True:
            replies = yield Message("grow", {**vars(step), "depth": np.array(step.depth), **shared})
            shared = {}
            sums = [Sums(**reply.arrays) for reply in replies]
            try:
                step = growing.send(sum(sums[1:], sums[0]))
            except StopIteration as done:
                rounds, n_best = done.value
                trees = [tree for trees in rounds[:n_best] for tree in trees]
                return HistogramTrees.of(code, start, trees, self.params, 0)

    def _fit_linear(
        self, schema: Schema, n_features: int, code: TargetCode, start: NDArray[np.float64]
    ) -> Generator[Message, Replies, LinearLearner]:
        learner: LinearLearner
        if not code.task.is_classification:
            replies = yield Message("gram")
            grams = [GramSums(**reply.arrays) for reply in replies]
            learner = Ridge(code.task, 1, self.params, 0)
            coef, intercept = sum(grams[1:], grams[0]).ridge(float(self.params.get("alpha", 1.0)))
        else:
            first = np.zeros((n_features + 1, code.n_raw))
            first[0] = start
            climbing = newton(first, float(schema.n_rows), float(self.params.get("C", 1.0)))
            theta = next(climbing)
            while True:
                replies = yield Message("newton", {"theta": theta})
                sums = [NewtonSums(**reply.arrays) for reply in replies]
                try:
                    theta = climbing.send(sum(sums[1:], sums[0]))
                except StopIteration as done:
                    coef, intercept = done.value[1:], done.value[0]
                    break
            learner = LogisticRegression(code.task, code.n_classes, self.params, 0)
        learner.target_, learner.coef_, learner.intercept_ = code, coef, intercept
        return learner


def _task_of(task: str, marginals: Marginals) -> Task:
    if task == "regression":
        return Task.REGRESSION
    return Task.BINARY if len(marginals.labels) == 2 else Task.MULTICLASS
