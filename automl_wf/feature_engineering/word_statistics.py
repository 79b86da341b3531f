"""What the words of a text say about the target: a linear model on them, its score handed to trees as one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_wf.core.table import Strings
from automl_wf.feature_engineering.base import Feature, FeatureTransformer, Numbers
from automl_wf.feature_engineering.cross_fit import (
    choose_targets,
    draw_parts,
    standardise,
    target_class,
    target_columns,
    target_words,
    unit_weights,
)
from automl_wf.feature_engineering.word_weights import weighted_words
from automl_wf.feature_engineering.words import learn_words, on_grid, word_matrix

#: Relative residual at which the regression is solved.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class _Words:
    """What is learnt of one column."""

    index: dict[str, int]
    squares: Numbers
    #: Of shape (n_terms, n_targets): what a term adds to the score before the division by the text's length.
    points: Numbers

    @property
    def are_single(self) -> Numbers:
        """1 for words and 0 for pairs of words, of shape (n_terms,)."""
        return np.array([" " not in term for term in self.index], dtype=np.float64)


class WordStatistics(FeatureTransformer[Sequence[Strings]]):
    r"""Score of a text by ridge regression of the target on its tf-idf weights, and the number of its common words.

    With the weights :math:`x_w` of `WordWeights` the score is :math:`\sum_w x_w \beta_w`, where
    :math:`\beta` minimises :math:`\sum_i (z_i - \sum_w x_{iw} \beta_w)^2 + \alpha \lVert\beta\rVert^2` over the
    training rows and :math:`z` is the target, centred and divided by its standard deviation. Targets are those of
    `TargetStatistics`. A text without common words has the score 0, which is the mean.

    Rows given to `fit` must not see their own target: `fit_transform` gives each of `n_folds` random parts the scores
    of a regression on the other parts. Words and their rarity know nothing of the target and are those of all rows.

    Parameters
    ----------
    n_classes : int, default=1
        Classes of y (codes 0 … K-1); 1 for values and grades.
    alpha : float, default=1.0
        Penalty.
    min_rows : int, default=2
        Training rows that a word must occur in.
    max_words : int, default=3000
        Words of each column.
    max_pairs : int, default=1500
        Pairs of neighbouring words of each column, which count like words.
    n_folds : int, default=5
        Parts for cross-fitting.
    max_classes : int, default=12
        Largest number of classes that have a score.
    random_state : int, default=0
        Seed of the parts.

    Attributes
    ----------
    words_ : list
        Per column: word → place, squared rarity of each word, and what it adds to each score.
    targets_ : tuple of int
        The classes that have a score; (1,) for two classes, (0,) for values.

    References
    ----------
    A. E. Hoerl and R. W. Kennard (1970). Ridge regression: biased estimation for nonorthogonal problems.
    Technometrics 12(1), 55-67.
    """

    def __init__(
        self,
        n_classes: int = 1,
        alpha: float = 1.0,
        min_rows: int = 2,
        max_words: int = 3000,
        max_pairs: int = 1500,
        n_folds: int = 5,
        max_classes: int = 12,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.alpha = alpha
        self.min_rows = min_rows
        self.max_words = max_words
        self.max_pairs = max_pairs
        self.n_folds = n_folds
        self.max_classes = max_classes
        self.random_state = random_state

    def fit(self, block: Sequence[Strings], y: NDArray[Any] | None = None, weight: Numbers | None = None) -> Self:
        """Find the common words and what they say.

        Parameters
        ----------
        block : sequence of Strings
            One entry per column.
        y : ndarray of shape (n_rows,)
            Class codes, values or grades.
        weight : ndarray of shape (n_rows,), default=None
            Sample weights.

        Returns
        -------
        WordStatistics

        Raises
        ------
        ValueError
            y is not given.
        """
        if y is None:
            raise ValueError("WordStatistics.fit needs the target: expected y of shape (n_rows,), got None.")
        weights = unit_weights(weight, len(y))
        self.targets_ = choose_targets(y, weights, self.n_classes, self.max_classes)
        targets = standardise(target_columns(y, self.n_classes, self.targets_), weights)
        everything = np.zeros(len(y), dtype=np.int64)
        self.words_ = []
        for column in block:
            index, squares, holds = learn_words(column, self.min_rows, self.max_words, self.max_pairs)
            (points,) = self._points(column, holds, squares, targets, weights, everything, 1)
            self.words_.append(_Words(index, squares, points))
        self.n_features_out_ = sum(self._width(words) for words in self.words_)
        return self

    def _width(self, words: _Words) -> int:
        return len(self.targets_) + 1 if words.index else 0

    def _points(
        self,
        column: Strings,
        holds: sparse.csr_matrix,
        squares: Numbers,
        targets: Numbers,
        weights: Numbers,
        parts: NDArray[np.int64],
        n_parts: int,
    ) -> list[Numbers]:
        """Per part, what each word adds to the scores, by the other parts; by all rows where there is one only."""
        if not len(squares):
            return [np.zeros((0, targets.shape[1]))] * n_parts
        # All of sklearn.linear_model comes with it: too much for every import of the package.
        from sklearn.linear_model import ridge_regression

        X = weighted_words(holds, squares)
        points = []
        for part in range(n_parts):
            is_other = parts != part if n_parts > 1 else np.ones(len(parts), dtype=bool)
            mass, means = _by_level(column, weights * is_other, targets)
            held = np.flatnonzero(mass)
            slopes = ridge_regression(
                X[held], means[held], self.alpha, sample_weight=mass[held], solver="sparse_cg", tol=_TOLERANCE
            )
            points.append(on_grid(np.atleast_2d(slopes).T * np.sqrt(squares)[:, None]))
        return points

    def write(self, block: Sequence[Strings], out: Numbers) -> None:
        """Write the scores and the number of words of each column, one column after the other."""
        start = 0
        for column, words in zip(block, self.words_, strict=True):
            width = self._width(words)
            if width:
                holds = word_matrix(column.levels, words.index)
                out[:, start : start + width] = _scores(holds, words)[column.codes]
            start += width

    def write_training(
        self,
        block: Sequence[Strings],
        y: NDArray[Any] | None,
        weight: Numbers | None,
        group: NDArray[Any] | None,
        out: Numbers,
    ) -> None:
        """Write cross-fitted scores of the rows given to `fit`; rows of one group share a part."""
        if y is None:
            raise ValueError("WordStatistics needs the target of its training rows: got y=None.")
        parts = draw_parts(len(y), self.n_folds, group, self.random_state)
        weights = unit_weights(weight, len(y))
        targets = standardise(target_columns(y, self.n_classes, self.targets_), weights)
        start = 0
        for column, words in zip(block, self.words_, strict=True):
            width = self._width(words)
            if width:
                holds = word_matrix(column.levels, words.index)
                per_part = self._points(column, holds, words.squares, targets, weights, parts, self.n_folds)
                for part, points in enumerate(per_part):
                    rows = np.flatnonzero(parts == part)
                    scores = _scores(holds, _Words(words.index, words.squares, points))
                    out[rows, start : start + width] = scores[column.codes[rows]]
            start += width

    def features(self, input_names: Sequence[str]) -> list[Feature]:
        """Named `<column>_words` (`<column>_words_<class>` for several classes) and `<column>_word_count`."""
        found = []
        for name, words in zip(input_names, self.words_, strict=True):
            if not words.index:
                continue
            for k in self.targets_:
                of, suffix = target_words(self.n_classes, k)
                formula = (
                    f"{of}, less its mean and in standard deviations, as a ridge regression tells it from the tf-idf "
                    f"weights of {len(words.index)} words and pairs of words of {name}"
                )
                found.append(
                    Feature(f"{name}_words{suffix}", "statistic", (name,), formula, target_class(self.n_classes, k))
                )
            formula = f"number of different words of {name} among the {int(words.are_single.sum())} common ones"
            found.append(Feature(f"{name}_word_count", "word", (name,), formula))
        return found


def _by_level(column: Strings, weights: Numbers, targets: Numbers) -> tuple[Numbers, Numbers]:
    """Weight of each text, of shape (n_levels,), and the mean targets of its rows, of shape (n_levels, n_targets)."""
    n_levels = len(column.levels)
    mass: Numbers = np.bincount(column.codes, weights=weights, minlength=n_levels).astype(np.float64)
    sums = [np.bincount(column.codes, weights=weights * z, minlength=n_levels) for z in targets.T]
    return mass, np.column_stack(sums) / np.where(mass == 0.0, 1.0, mass)[:, None]


def _scores(holds: sparse.csr_matrix, words: _Words) -> Numbers:
    """Scores and number of words of each text, of shape (n_levels, n_targets + 1)."""
    total = holds @ words.squares
    length = np.sqrt(np.where(total == 0.0, 1.0, total))
    return np.column_stack([(holds @ words.points) / length[:, None], holds @ words.are_single])
