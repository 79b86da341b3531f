from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from automl_wf.feature_engineering.cross_fit import draw_parts
from automl_wf.feature_engineering.word_statistics import WordStatistics
from automl_wf.feature_engineering.word_weights import WordWeights

WORDS = np.array(["bird", "hit", "wing", "left", "engine", "no", "damage", "seen", "on", "runway", "after", "landing"])


def texts_of(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 6), replace=False)) for _ in range(n)]


@pytest.fixture
def texts() -> list[str]:
    return texts_of(300)


@pytest.fixture
def y(texts: list[str]) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=len(texts))
    return np.array([3.0 * ("engine" in t) - 2.0 * ("no" in t.split()) for t in texts]) + noise


def test_scores_are_those_of_ridge_regression(strings, texts, y) -> None:
    transformer = WordStatistics(alpha=2.0, min_rows=3).fit([strings(texts)], y)
    X = WordWeights(min_rows=3).fit([strings(texts)]).transform([strings(texts)])
    peer = Ridge(alpha=2.0, fit_intercept=False).fit(X, (y - y.mean()) / y.std())
    scores = transformer.transform([strings(texts)])
    np.testing.assert_allclose(scores[:, 0], peer.predict(X), atol=1e-4)
    np.testing.assert_array_equal(scores[:, 1], [len(t.split()) for t in texts])
    assert transformer.feature_names(["note"]) == ["note_words", "note_word_count"]


def test_unknown_words_say_nothing(strings, texts, y) -> None:
    transformer = WordStatistics().fit([strings(texts)], y)
    np.testing.assert_array_equal(transformer.transform([strings(["", "never met"])]), np.zeros((2, 2)))


def test_training_rows_have_the_scores_of_a_regression_on_the_other_parts(strings, texts, y) -> None:
    column = strings(texts)
    transformer = WordStatistics(min_rows=3, random_state=3)
    crossed = transformer.fit_transform([column], y)[:, 0]
    X = WordWeights(min_rows=3).fit([column]).transform([column])
    z = (y - y.mean()) / y.std()
    parts = draw_parts(len(y), 5, None, 3)
    for part in range(5):
        own = parts == part
        peer = Ridge(alpha=1.0, fit_intercept=False).fit(X[~own], z[~own])
        np.testing.assert_allclose(crossed[own], peer.predict(X[own]), atol=1e-4)
    assert np.corrcoef(transformer.transform([column])[:, 0], y)[0, 1] > np.corrcoef(crossed, y)[0, 1] > 0.5


def test_noise_is_not_learnt(strings, texts) -> None:
    rng = np.random.default_rng(0)
    codes = [f"{t} unique{i % 90}" for i, t in enumerate(texts)]
    target = rng.normal(size=len(texts))
    crossed = WordStatistics().fit_transform([strings(codes)], target)
    assert abs(np.corrcoef(crossed[:, 0], target)[0, 1]) < 0.15


def test_groups_share_a_part_and_weights_repeat_rows(strings, texts, y) -> None:
    column = strings(texts)
    group = np.arange(len(y)) // 7
    assert all(len(set(draw_parts(len(y), 5, group, 0)[group == g])) == 1 for g in np.unique(group))
    weight = np.random.default_rng(2).integers(1, 3, len(y)).astype(float)
    weighted = WordStatistics(min_rows=1).fit([column], y, weight)
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    squares = weighted.words_[0].squares
    repeated = WordStatistics(min_rows=1, alpha=weight.mean()).fit([column.take(rows)], y[rows])
    assert len(squares) == len(repeated.words_[0].squares)
    np.testing.assert_allclose(
        np.corrcoef(weighted.transform([column])[:, 0], repeated.transform([column])[:, 0])[0, 1], 1.0, atol=1e-3
    )


def test_several_classes_have_a_score_each(strings, texts) -> None:
    y = np.random.default_rng(0).integers(0, 3, len(texts))
    transformer = WordStatistics(n_classes=3).fit([strings(texts)], y)
    assert transformer.feature_names(["n"]) == ["n_words_0", "n_words_1", "n_words_2", "n_word_count"]


def test_y_is_needed(strings, texts) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        WordStatistics().fit([strings(texts)])


@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_graph_equals_transform_bit_by_bit(strings, graph, n_classes: int) -> None:
    texts = texts_of(200, seed=5)
    y = np.random.default_rng(0).integers(0, max(n_classes, 2), 200)
    y = y.astype(float) if n_classes == 1 else y
    transformer = WordStatistics(n_classes=n_classes).fit([strings(texts), strings(["ab"] * 200)], y)
    new = [strings([*texts_of(100, seed=9), "", "~ engine", "東京 wing"]), strings(["ab", "ba", ""] * 34 + ["ab"])]
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))
