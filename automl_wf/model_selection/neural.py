"""A multilayer perceptron on scaled numbers, in plain numpy: a few thousand rows need no framework.

Trained in float32 with Adam and decoupled weight decay; what predicts is the moving average of the weights, in double.
Cells far out are drawn in by `x / √(1 + (x/3)²)`, so that no single one can carry a row away. Numbers may also enter as
mixtures of cosines whose frequencies are learnt, which lets a small network follow steps and waves.

References
----------
Loshchilov, Hutter (2019), Decoupled weight decay regularization.
Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization.
Holzmüller, Grinsztajn, Steinwart (2024), Better by default: strong pre-tuned MLPs and boosted trees on tabular data
(the cosines with shifts, "PBLD", and their scales).
Gorishniy, Rubachev, Babenko (2022), On embeddings for numerical features in tabular deep learning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from automl_wf.core.budget import Budget
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.base import Learner, Sample, TargetCode, softmax
from automl_wf.model_selection.boosting import Watch

_Matrix = NDArray[np.float64]
_Single = NDArray[np.float32]
#: Rows that are drawn in at a time; and that go through the network at a time, whose cosines then stay in the cache.
_ROWS_AT_ONCE, _ROWS_FORWARD = 1 << 12, 1 << 9
#: Mixtures made of the cosines of a number; the standard deviation that its frequencies start with; and the share of
#: the learning rate at which frequencies and shifts are learnt.
_MIXTURES, _FREQUENCY, _SLOW = 3, 1.0, 0.1
#: Epochs without progress that are waited for: as many on few rows, whose losses waver; fewer on more than so many.
_PATIENCE, _LEAST_PATIENCE, _FEW_ROWS = 20, 5, 2_000
#: Share of the epochs up to the last progress, and epochs beside it, that are waited for if that is more.
_GROWTH = (0.5, 3)
#: A column that this share of the rows has one value of is told by whether it has another.
_MOSTLY = 0.9


def _sigmoid(z: NDArray[Any]) -> NDArray[Any]:
    """`1 / (1 + exp(-z))`: in single precision nearly twice as fast as scipy's `expit`."""
    with np.errstate(over="ignore"):
        sigmoid: NDArray[Any] = 1.0 / (1.0 + np.exp(-z))
    return sigmoid


def _silu_and_slope(z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    s = _sigmoid(z)
    a = z * s
    return a, s + a * (1.0 - s)


def _tanh_and_slope(z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    a = np.tanh(z)
    return a, 1.0 - a * a


_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "silu": lambda z: z * _sigmoid(z),
    "tanh": np.tanh,
}
#: The activation and its derivative.
_WITH_SLOPE: Mapping[str, Callable[[Any], tuple[Any, Any]]] = {
    "relu": lambda z: (np.maximum(z, 0.0), (z > 0).astype(z.dtype)),
    "silu": _silu_and_slope,
    "tanh": _tanh_and_slope,
}
ACTIVATIONS = tuple(_ACTIVATIONS)
#: Standard deviations that values may lie beyond those of the training rows.
BEYOND = 1.0


def draw_in(X: _Matrix) -> _Matrix:
    """Cells drawn in smoothly to between -3 and 3."""
    drawn: _Matrix = X / np.sqrt(X * X / 9.0 + 1.0)
    return drawn


def _single(sample: Sample) -> _Single:
    """Cells drawn in, in single precision; a few thousand rows at a time."""
    single = np.empty(sample.shape, dtype=np.float32)
    for rows, columns, cells in sample.parts():
        part = single[rows, columns]
        for some in gen_batches(len(cells), _ROWS_AT_ONCE):
            part[some] = draw_in(cells[some])
    return single


def activate(name: str, z: NDArray[Any]) -> NDArray[Any]:
    """The activation at `z`."""
    activated: NDArray[Any] = _ACTIVATIONS[name](z)
    return activated


def embed(head: list[NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    """Mixtures of the cosines of numbers.

    Parameters
    ----------
    head : list of ndarray
        Frequencies and shifts of shape (n_columns, n_frequencies), weights (n_columns, n_frequencies, n_mixtures) and
        biases (n_columns, n_mixtures) of the mixtures.
    x : ndarray of shape (n_rows, n_columns)
        Numbers.

    Returns
    -------
    ndarray of shape (n_rows, n_columns * n_mixtures)
    """
    return _mixed(head, np.cos(_phases(head, x)))


def _phases(head: list[NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    """What the cosines are taken of, of shape (n_columns, n_rows, n_frequencies): columns lie side by side."""
    phases: NDArray[Any] = np.ascontiguousarray(x.T)[:, :, None] * head[0][:, None, :]
    phases += head[1][:, None, :]
    return phases


def _mixed(head: list[NDArray[Any]], waves: NDArray[Any]) -> NDArray[Any]:
    by_column = np.matmul(waves, head[2])
    mixed: NDArray[Any] = (by_column.transpose(1, 0, 2) + head[3]).reshape(waves.shape[1], -1)
    return mixed


class MLP(Learner):
    """Multilayer perceptron; its rounds are epochs.

    Parameters: `n_layers` (2), `width` (128), `activation` ("silu", "relu" or "tanh"), `learning_rate` (0.003),
    `weight_decay` (0.01), `dropout` (0.0), `n_frequencies` (cosines of each number of more than two values; 0),
    `batch_size` (by the number of rows), `n_rounds` (most epochs: 200, and 40 without `valid`) and `patience`
    (epochs without progress: 20, down to 5 on many rows). Of large networks only the weights of epochs around the best
    are kept: `truncate` takes the nearest ones before.
    """

    SNAPSHOT_BYTES: ClassVar[int] = 4_000_000
    #: Cosines of one row at most: wide tables have enough features as it is.
    MAX_WAVES: ClassVar[int] = 2_000

    target_: TargetCode
    weights_: list[_Matrix]
    #: Places of the columns that enter as cosines, too.
    waving_: NDArray[np.intp]
    _epoch: int = 0

    def fit(self, train: Sample, valid: Sample | None = None, *, budget: Budget, n_threads: int = 1) -> MLP:
        """Train for epochs until `valid` says enough, they are done or the time is up."""
        budget.check(type(self).__name__)
        self.activation_ = self._activation()
        self.target_ = TargetCode.learn(self.task, self.n_classes, train)
        y = self.target_.encode(train.y)
        rng = np.random.default_rng(self.seed)
        start = self.target_.start(y, train.weight)
        self.waving_ = self._waving(train)
        self._snapshots = {0: self._initial(train.shape[1], start, rng)}
        if not self.target_.is_constant:
            self._train(train, y, valid, Watch(budget, self._patience(len(y)), _GROWTH), rng)
        self.truncate(self._epoch)
        return self

    def _activation(self) -> str:
        name = str(self.params.get("activation", "silu"))
        if name not in ACTIVATIONS:
            raise InvalidParameter(f"The 'activation' parameter of mlp must be one of {ACTIVATIONS}. Got {name!r}.")
        return name

    def _patience(self, n_rows: int) -> int:
        """Epochs without progress that are waited for: the noise of a loss falls with the root of the rows."""
        usual = np.clip(_PATIENCE * np.sqrt(_FEW_ROWS / n_rows), _LEAST_PATIENCE, _PATIENCE)
        return int(self.params.get("patience", usual))

    def _initial(self, n_features: int, start: _Matrix, rng: np.random.Generator) -> list[_Single]:
        """The cosines' parameters, then weights and biases by turns: He's inside, the best constant at the end."""
        weights: list[_Single] = self._initial_head(rng)
        n_features += _MIXTURES * len(self.waving_)
        sizes = [n_features] + [int(self.params.get("width", 128))] * int(self.params.get("n_layers", 2))
        for n_in, n_out in pairwise(sizes):
            weights.append((rng.standard_normal((n_in, n_out)) * np.sqrt(2.0 / max(n_in, 1))).astype(np.float32))
            weights.append(np.zeros(n_out, np.float32))
        return [*weights, np.zeros((sizes[-1], len(start)), np.float32), start.astype(np.float32)]

    def _waving(self, train: Sample) -> NDArray[np.intp]:
        """Columns of more than two values none of which nearly all rows have; none unless cosines are asked for."""
        n_frequencies = int(self.params.get("n_frequencies", 0))
        n_rows = train.shape[0]
        if not n_frequencies or not n_rows:
            return np.empty(0, dtype=np.intp)
        few = train.every(-(-n_rows // _ROWS_AT_ONCE))
        is_inside = ((few != few.min(axis=0)) & (few != few.max(axis=0))).any(axis=0)
        is_spread = (few == np.median(few, axis=0)).mean(axis=0) < _MOSTLY
        waving = np.flatnonzero(is_inside & is_spread)
        return waving if len(waving) * n_frequencies <= self.MAX_WAVES else waving[:0]

    def _initial_head(self, rng: np.random.Generator) -> list[_Single]:
        n_columns, n_frequencies = len(self.waving_), int(self.params.get("n_frequencies", 0))
        if not n_columns:
            return []
        frequencies = 2.0 * np.pi * _FREQUENCY * rng.standard_normal((n_columns, n_frequencies))
        shifts = rng.uniform(-np.pi, np.pi, (n_columns, n_frequencies))
        mix = rng.uniform(-1.0, 1.0, (n_columns, n_frequencies, _MIXTURES)) / np.sqrt(n_frequencies)
        return [w.astype(np.float32) for w in (frequencies, shifts, mix, np.zeros((n_columns, _MIXTURES)))]

    @property
    def n_head(self) -> int:
        """How many of the weights belong to the cosines."""
        return 4 if len(self.waving_) else 0

    def _train(self, train: Sample, y: NDArray[Any], valid: Sample | None, watch: Watch, rng: Any) -> None:
        X = _single(train)
        goal = self._goal(y)
        weight = np.ones(len(y), np.float32)
        if train.weight is not None:
            weight = (train.weight / train.weight.mean()).astype(np.float32)
        held = None if valid is None else self.target_.known(valid)
        seen = None if held is None else _single(held)
        rate, decay = self._number("learning_rate", 0.003), self._number("weight_decay", 0.01)
        optimiser = _Adam(self._snapshots[0], rate, decay, self.n_head)
        size = int(self.params.get("batch_size", 0)) or int(np.clip(2 ** round(np.log2(len(X) / 16)), 32, 512))
        for epoch in range(1, self._most_epochs(held) + 1):
            rows = rng.permutation(len(X))
            for begin in range(0, len(X), size):
                batch = rows[begin : begin + size]
                optimiser.step(self._gradient(optimiser.weights, X[batch], goal[batch], weight[batch], rng))
                if watch.budget.is_over():
                    break
            loss = None
            if held is not None and seen is not None:
                raw = self._forward(optimiser.average, seen).astype(np.float64)
                loss = self.target_.loss(self.target_.encode(held.y), raw, held.weight)
            goes_on = watch.goes_on(loss)
            self._keep(epoch, [w.copy() for w in optimiser.average], watch.best)
            if not goes_on:
                break
        self.curve_ = np.array(watch.losses) if watch.losses else None
        self.is_cut_short_ = watch.is_cut_short
        self._epoch = watch.best

    def _number(self, name: str, default: float) -> float:
        return float(self.params.get(name, default))

    def _most_epochs(self, valid: Sample | None) -> int:
        return max(int(self.params.get("n_rounds", 40 if valid is None else 200)), 1)

    def _goal(self, y: NDArray[Any]) -> _Single:
        """What the output, turned into probabilities, should be."""
        if not self.task.is_classification or self.target_.n_raw == 1:
            return y.astype(np.float32)[:, None]
        goal: _Single = np.eye(self.target_.n_raw, dtype=np.float32)[y]
        return goal

    def _forward(self, weights: list[NDArray[Any]], X: NDArray[Any]) -> NDArray[Any]:
        if self.n_head and len(X) > _ROWS_FORWARD:
            return np.concatenate([self._forward(weights, X[rows]) for rows in gen_batches(len(X), _ROWS_FORWARD)])
        head, weights = weights[: self.n_head], weights[self.n_head :]
        if head:
            X = np.hstack([X, embed(head, X[:, self.waving_])])
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            X = activate(self.activation_, X @ W + b)
        raw: NDArray[Any] = X @ weights[-2] + weights[-1]
        return raw

    def _gradient(self, weights: list[_Single], X: _Single, goal: _Single, weight: _Single, rng: Any) -> list[_Single]:
        """Gradient of the mean loss over a batch, by back-propagation."""
        dropout = self._number("dropout", 0.0)
        head, weights = weights[: self.n_head], weights[self.n_head :]
        x, n_rows = X[:, self.waving_], len(X)
        if head:
            phases = _phases(head, x)
            waves = np.cos(phases)
            X = np.hstack([X, _mixed(head, waves)])
        inputs, slopes = [X], []
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            z = inputs[-1] @ W + b
            a, slope = _WITH_SLOPE[self.activation_](z)
            if dropout > 0.0:
                mask = (rng.random(a.shape, dtype=np.float32) >= dropout) / np.float32(1.0 - dropout)
                a, slope = a * mask, slope * mask
            inputs.append(a)
            slopes.append(slope)
        raw = inputs[-1] @ weights[-2] + weights[-1]
        error = (self._probability(raw) - goal) * (weight[:, None] / np.float32(n_rows))
        gradient: list[_Single] = []
        for layer in range(len(slopes), -1, -1):
            gradient[:0] = [inputs[layer].T @ error, error.sum(axis=0)]
            if layer:
                error = (error @ weights[2 * layer].T) * slopes[layer - 1]
        if not head:
            return gradient
        of_mixtures = (error @ weights[0][-head[3].size :].T).reshape(n_rows, *head[3].shape)
        return [*_head_gradient(head[2], x, phases, waves, of_mixtures), *gradient]

    def _probability(self, raw: _Single) -> _Single:
        if not self.task.is_classification:
            return raw
        result: _Single = softmax(raw) if raw.shape[1] > 1 else _sigmoid(raw)  # type: ignore[arg-type, assignment]
        return result

    def _keep(self, epoch: int, weights: list[_Single], best: int) -> None:
        """Keep the weights of this epoch; when they take too much memory, those farthest from the best one go."""
        self._snapshots.pop(0, None)
        self._snapshots[epoch] = weights
        most = max(self.SNAPSHOT_BYTES // sum(w.nbytes for w in weights), 4)
        while len(self._snapshots) > most:
            del self._snapshots[max(self._snapshots, key=lambda kept: abs(kept - best))]

    def truncate(self, n_rounds: int) -> None:
        """Use the weights after `n_rounds` epochs, or the nearest kept before."""
        self._epoch = max((epoch for epoch in self._snapshots if epoch <= n_rounds), default=min(self._snapshots))
        self.weights_ = [w.astype(np.float64) for w in self._snapshots[self._epoch]]

    @property
    def n_rounds(self) -> int:
        """Epochs whose weights are in use."""
        return self._epoch

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum(w.size for w in self.weights_)

    def predict(self, X: _Matrix, n_threads: int = 1) -> _Matrix:
        """Probabilities, values or scores."""
        return self.target_.decode(self._forward(self.weights_, draw_in(X)), BEYOND)

    def settle(self) -> None:
        """Keep the weights in use only."""
        self._snapshots = self._in_use()

    def __getstate__(self) -> dict[str, Any]:
        """Weights in use only: nobody truncates a model that was stored."""
        return {**self.__dict__, "_snapshots": self._in_use()}

    def _in_use(self) -> dict[int, list[_Single]]:
        return {self._epoch: self._snapshots[self._epoch]}


def _head_gradient(mix: _Single, x: _Single, phases: _Single, waves: _Single, error: _Single) -> list[_Single]:
    """Gradient of the cosines' parameters, from that of the mixtures, of shape (n_rows, n_columns, n_mixtures)."""
    by_column = np.ascontiguousarray(error.transpose(1, 0, 2))
    of_mix = np.matmul(waves.transpose(0, 2, 1), by_column)
    of_phases = np.matmul(by_column, -mix.transpose(0, 2, 1))
    of_phases *= np.sin(phases)
    of_frequencies, of_shifts = np.matmul(np.stack([x.T, np.ones_like(x.T)], axis=1), of_phases).swapaxes(0, 1)
    return [of_frequencies, of_shifts, of_mix, error.sum(axis=0)]


class _Adam:
    """Adam with decoupled weight decay, and the moving average of the weights.

    The first `n_head` weights belong to the cosines, which do not decay; the first two of them move slowly.
    """

    def __init__(self, weights: list[_Single], learning_rate: float, weight_decay: float, n_head: int = 0) -> None:
        self.weights = [w.copy() for w in weights]
        self.average = [w.copy() for w in weights]
        self._first = [np.zeros_like(w) for w in weights]
        self._second = [np.zeros_like(w) for w in weights]
        self._rate, self._decay, self._n_steps = learning_rate, weight_decay, 0
        self._speeds = [np.float32(_SLOW if i < min(n_head, 2) else 1.0) for i in range(len(weights))]
        self._decays = [i >= n_head and w.ndim == 2 for i, w in enumerate(weights)]

    def step(self, gradient: list[_Single]) -> None:
        """One step downhill."""
        self._n_steps += 1
        t = self._n_steps
        rate = np.float32(self._rate * np.sqrt(1.0 - 0.99**t) / (1.0 - 0.9**t))
        share = np.float32(10.0 / min(t + 9.0, 500.0))
        for w, mean, first, second, g, speed, decays in zip(
            self.weights, self.average, self._first, self._second, gradient, self._speeds, self._decays, strict=True
        ):
            first += np.float32(0.1) * (g - first)
            second += np.float32(0.01) * (g * g - second)
            if decays:
                w *= np.float32(1.0 - self._rate * self._decay)
            w -= speed * rate * first / (np.sqrt(second) + np.float32(1e-8))
            mean += share * (w - mean)
