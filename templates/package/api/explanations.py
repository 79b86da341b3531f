"""Why a row was predicted so: approximate Shapley values by antithetic sampling of permutations.

A permutation says in which order the columns of a background row are replaced by those of the row explained; what the
prediction changes by is credited to the column replaced. Each permutation is walked in both directions [1]_. With every
background row used alike, contributions add up to the prediction minus the mean prediction of the background, exactly;
each of them alone is an estimate, and its standard error is given.

References
----------
.. [1] R. Mitchell, J. Cooper, E. Frank and G. Holmes, Sampling permutations for Shapley value estimation, JMLR 23,
   2022.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.model import Model, Outputs, Values

MAX_ROWS = 5
MAX_SECONDS = 1.0
#: Columns with a contribution of their own, the most important first; all others together have one.
MAX_COLUMNS = 100
_BATCH = 2048
Floats = NDArray[np.float64]


def can_explain(model: Model) -> bool:
    """Whether the package holds a background."""
    return bool((model.config.get("background") or {}).get("cells"))


class Explainer:
    """Explains predictions of one model against the synthetic rows that config.json holds.

    Parameters
    ----------
    model : Model
        The model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        cells = model.config["background"]["cells"]
        self._background: Values = {c["name"]: model.read(c, cells[c["name"]]) for c in model.columns}
        important = [name for name in model.config["drift"]["features"] if name in self._background]
        ranked = list(dict.fromkeys([*important, *self._background]))
        self._player = {name: min(i, MAX_COLUMNS) for i, name in enumerate(ranked)}
        self._players = [[name] for name in ranked[:MAX_COLUMNS]] + (
            [ranked[MAX_COLUMNS:]] if ranked[MAX_COLUMNS:] else []
        )
        self.n_background = len(next(iter(self._background.values())))

    def explain(self, values: Values, outputs: Outputs, max_seconds: float = MAX_SECONDS) -> list[dict[str, Any]]:
        """Explain rows.

        Parameters
        ----------
        values : dict of str to ndarray of shape (n_rows,)
            The rows, as `Model.read` read them.
        outputs : Outputs
            What was predicted for them.
        max_seconds : float
            Time for all rows together. Each row is given one background row at least.

        Returns
        -------
        list of dict
            One per row, in plain JSON types: what is explained, the mean prediction of the background, and each
            column's contribution with its standard error, the largest first.
        """
        rng = np.random.default_rng(0)
        deadline = time.perf_counter() + max_seconds
        shares = np.linspace(0.0, 1.0, outputs.n_rows + 1)[1:]
        return [
            self._explain_row(values, outputs, row, rng, deadline - (1.0 - share) * max_seconds)
            for row, share in zip(range(outputs.n_rows), shares, strict=True)
        ]

    def _explain_row(
        self, values: Values, outputs: Outputs, row: int, rng: np.random.Generator, deadline: float
    ) -> dict[str, Any]:
        code = self._explained_class(outputs, row)
        order = rng.permutation(self.n_background)
        n_at_a_time = max(1, _BATCH // (2 * (len(self._players) + 1)))
        gains: list[Floats] = []
        bases: list[Floats] = []
        for start in range(0, self.n_background, n_at_a_time):
            if gains and time.perf_counter() >= deadline:
                break
            gain, base = self._walk(values, row, order[start : start + n_at_a_time], code, rng)
            gains.append(gain)
            bases.append(base)
        return self._word(np.concatenate(gains), np.concatenate(bases), code)

    def _explained_class(self, outputs: Outputs, row: int) -> int | None:
        """The positive of two classes, the predicted one of several, None for a value."""
        if outputs.codes is None:
            return None
        return int(self._model.config.get("positive", 1)) if len(self._model.classes) == 2 else outputs.codes[row]

    def _walk(
        self, values: Values, row: int, chosen: NDArray[Any], code: int | None, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Contributions of shape (n_chosen, n_players), and the predictions of the background rows."""
        n_players, n_chosen = len(self._players), len(chosen)
        forward = np.array([rng.permutation(n_players) for _ in range(n_chosen)])
        orders = np.stack([forward, forward[:, ::-1]], axis=1).reshape(2 * n_chosen, n_players)
        place = np.argsort(orders, axis=1)
        # Step k of a walk holds the row's own cells in the first k columns of its order
        is_own = (place[:, None, :] < np.arange(n_players + 1)[None, :, None]).reshape(-1, n_players)
        behind = np.repeat(chosen, 2 * (n_players + 1))
        mixed = {
            name: np.where(is_own[:, player], values[name][row], self._background[name][behind])
            for name, player in self._player.items()
        }
        found = self._predict(mixed, code).reshape(2 * n_chosen, n_players + 1)
        gain = np.take_along_axis(np.diff(found, axis=1), place, axis=1)
        return gain.reshape(n_chosen, 2, n_players).mean(axis=1), found[::2, 0]

    def _predict(self, values: Values, code: int | None) -> Floats:
        outputs = self._model.run(values)
        if code is not None and outputs.probabilities is not None:
            column: Floats = outputs.probabilities[:, code]
            return column
        return np.asarray(outputs.values, dtype=np.float64)

    def _word(self, gains: Floats, bases: Floats, code: int | None) -> dict[str, Any]:
        n = len(gains)
        means = gains.mean(axis=0)
        errors = gains.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(len(means), np.nan)
        return {
            "of": "prediction" if code is None else {"probability_of": self._model.classes[code]},
            "method": "antithetic permutation sampling, an approximation of Shapley values",
            "n_background_rows": n,
            "base": _number(bases.mean()),
            "contributions": [
                {**self._name(i), "value": _number(means[i]), "standard_error": _number(errors[i])}
                for i in np.argsort(-np.abs(means), kind="stable")
            ],
        }

    def _name(self, player: int) -> dict[str, Any]:
        columns = self._players[player]
        return {"column": columns[0]} if len(columns) == 1 else {"columns": len(columns)}


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
