"""Friedman's H-statistic: whether two columns act together, beyond what each of them does alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from automl_wf.core.schema import Column
from automl_wf.interpretation.explained import MEASURED, Explained, Floats, Places, short

#: A pair acts together only if what it does beyond the expected is more than this part of the predictions' spread: of a
#: value or score, of two classes, and of several, which bend in more ways than the one that the expected knows.
LEAST_OF_VALUES, LEAST_OF_TWO, LEAST_OF_SEVERAL = 0.15, 0.1, 0.25


@dataclass(frozen=True)
class Pair:
    """What two columns do together.

    Parameters
    ----------
    columns : tuple of (str, str)
        Their names.
    h : float
        Friedman's H: the share of the joint effect's spread that is not the sum of both single effects, from 0 to 1.
    strength : float
        The same in units of the spread of all predictions, so that pairs that matter little count little.
    expected : float
        The strength that a model without interactions would show: one that adds up the single effects and bends the sum
        as the final model does, where predictions level off.
    is_found : bool
        Whether the strength exceeds what is expected by more than the threshold.
    """

    columns: tuple[str, str]
    h: float
    strength: float
    expected: float
    is_found: bool


@dataclass(frozen=True)
class Interactions:
    """Pairs of columns that act together.

    Parameters
    ----------
    status : str
        "measured", or why it was not run.
    pairs : tuple of Pair
        Those first that exceed most what is expected.
    threshold : float
        Strength beyond the expected one that chance explains: the largest of the control pairs, at least 0.15
        (0.1 with two classes, 0.25 with several).
    n_controls : int
        Control pairs: an important column with one that the score does not need. What they do together is the noise of
        the model's own making.
    scale : str
        On which scale effects are added: "log-odds", "centred log-probability" or "prediction".
    n_points, n_rows : int
        Points at which effects are compared, and rows that each is averaged over.
    """

    status: str
    pairs: tuple[Pair, ...] = ()
    threshold: float = LEAST_OF_VALUES
    n_controls: int = 0
    scale: str = "prediction"
    n_points: int = 0
    n_rows: int = 0


def interactions(
    model: Explained,
    columns: Sequence[Column],
    controls: Sequence[Column],
    points: Places,
    rows: Places,
) -> Interactions:
    """Measure what each pair of columns does together.

    Parameters
    ----------
    model : Explained
        The final model.
    columns : sequence of Column
        Columns whose pairs are measured.
    controls : sequence of Column
        Columns that the score does not need; each is paired with the first of `columns`.
    points : ndarray of int
        Rows whose cells are put into the other rows.
    rows : ndarray of int
        Rows that are averaged over.

    Returns
    -------
    Interactions
        H and strength of each pair.

    Notes
    -----
    Classes are compared on log-odds (several on centred logarithms): there the effects of an additive model add up,
    while probabilities level off and would look like interactions. What levels off even so, because models are averaged
    or sure of themselves, is in `expected`: H of a model that has the same single effects and none together, as in
    Friedman and Popescu's test. H² is summed over the classes.

    References
    ----------
    J. H. Friedman and B. E. Popescu, Predictive learning via rule ensembles, Annals of Applied Statistics 2, 2008.
    A. Inglis, A. Parnell and C. B. Hurley, Visualizing variable importance and variable interaction effects in machine
    learning models, JCGS 31, 2022 (why the unnormalised form is needed beside H).
    """
    wanted = list(combinations(columns, 2))
    checks = [(columns[0], control) for control in controls] if columns else []
    pairs = [(a.position, b.position) for a, b in [*wanted, *checks]]
    everywhere = np.concatenate([points, rows]).astype(np.intp)
    alone = [(p,) for p in dict.fromkeys([*(c.position for c in columns), *(b for _, b in pairs)])]
    single = {p: e for (p,), e in zip(alone, _effects(model, alone, everywhere, rows), strict=True)}
    joint = dict(zip(pairs, _effects(model, pairs, points, rows), strict=True))
    said = model.where_effects_add(model(everywhere))
    spread = _size(_centred(said))
    additive = _Additive.of(model, [single[c.position] for c in columns], said, len(points))

    def measured(pair: tuple[int, int]) -> tuple[float, float, float]:
        """H, strength, and the strength that an additive model would show."""
        effects = [_centred(single[p][: len(points)]) for p in pair]
        both = _centred(joint[pair])
        together, whole = _size(both - effects[0] - effects[1]), _size(both)
        h = min(together / whole, 1.0) if whole > 0.0 else 0.0
        expected = additive.together(single[pair[0]], single[pair[1]])
        return h, *((together / spread, expected / spread) if spread > 0.0 else (0.0, 0.0))

    noise = [measured((a.position, b.position))[1] for a, b in checks]
    threshold = short([max([_least(model), *noise])])[0]
    found = []
    for a, b in wanted:
        h, strength, expected = short(measured((a.position, b.position)))
        found.append(Pair((a.name, b.name), h, strength, expected, is_found=strength > expected + threshold))
    return Interactions(
        MEASURED,
        tuple(sorted(found, key=lambda p: p.expected - p.strength)),
        threshold,
        len(checks),
        _scale_of(model),
        len(points),
        len(rows),
    )


@dataclass(frozen=True)
class _Additive:
    """The model that only adds up the single effects, bent as the final model is: what it does is no interaction.

    Probabilities that level off bend the sum of effects and so look like an interaction. The bend is the monotone
    function of the sum that comes nearest to what the final model says. Values and scores are taken as they are.
    """

    sums: Floats
    bends: tuple[Any, ...]
    n_points: int

    @classmethod
    def of(cls, model: Explained, effects: Sequence[Floats], said: Floats, n_points: int) -> _Additive:
        from sklearn.isotonic import IsotonicRegression

        sums = np.sum(effects, axis=0) if effects else np.zeros_like(said)
        if not model.task.is_classification:
            return cls(sums, (), n_points)
        bends = tuple(IsotonicRegression(out_of_bounds="clip").fit(x, y) for x, y in zip(sums.T, said.T, strict=True))
        return cls(sums, bends, n_points)

    def together(self, first: Floats, second: Floats) -> float:
        """Size of what two columns do together, given their effects at the points and the rows."""
        if not self.bends:
            return 0.0
        n = self.n_points
        without = self.sums[n:]
        effects = []
        for parts in ((first, second), (first,), (second,)):
            moved = sum(part[:n, None] - part[None, n:] for part in parts)
            scores = without[None] + moved
            bent = [
                bend.predict(scores[:, :, o].ravel()).reshape(scores.shape[:2]) for o, bend in enumerate(self.bends)
            ]
            effects.append(_centred(np.stack(bent, axis=2).mean(axis=1)))
        return _size(effects[0] - effects[1] - effects[2])


def n_terms(n_columns: int, n_controls: int) -> int:
    """Single (at points and rows) and joint effects that are measured, each taking n_points × n_rows predictions."""
    return 2 * (n_columns + n_controls) + n_columns * (n_columns - 1) // 2 + n_controls


def _effects(model: Explained, terms: Sequence[tuple[int, ...]], points: Places, rows: Places) -> list[Floats]:
    """Mean prediction with each term's cells of each point, of shape (n_points, n_outputs); equal points once."""
    asked, places = [], []
    for positions in terms:
        codes = np.column_stack([model.codes(p)[points] for p in positions])
        _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
        asked.append(points[first])
        places.append(inverse.ravel())
    sizes = [len(p) * len(rows) for p in asked]
    ends = np.cumsum(sizes)
    base = np.tile(rows, sum(map(len, asked)))
    sources: dict[int, Places] = {}
    for positions, distinct, end, size in zip(terms, asked, ends, sizes, strict=True):
        for position in positions:
            source = sources.setdefault(position, base.copy())
            source[end - size : end] = distinct.repeat(len(rows))
    said = model.where_effects_add(model(base, sources))
    found = []
    for place, distinct, end, size in zip(places, asked, ends, sizes, strict=True):
        means = said[end - size : end].reshape(len(distinct), len(rows), -1).mean(axis=1)
        found.append(means[place])
    return found


def _centred(effects: Floats) -> Floats:
    centred: Floats = effects - effects.mean(axis=0)
    return centred


def _least(model: Explained) -> float:
    if not model.task.is_classification:
        return LEAST_OF_VALUES
    return LEAST_OF_TWO if len(model.outputs) == 1 else LEAST_OF_SEVERAL


def _size(effects: Floats) -> float:
    """Root mean square of centred effects, outputs added up."""
    return float(np.sqrt(np.square(effects).mean(axis=0).sum()))


def _scale_of(model: Explained) -> str:
    if not model.task.is_classification:
        return "prediction"
    return "log-odds" if len(model.outputs) == 1 else "centred log-probability"
