from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from automl_wf.feature_engineering.word_weights import WordWeights

TEXTS = ["bird hit wing", "bird hit engine", "no damage", "bird bird", "", "wing damage seen", "naïve 東京 wing"]


def test_weights_are_those_of_scikit_learn(strings) -> None:
    column = strings(TEXTS * 2)
    transformer = WordWeights(min_rows=1).fit([column])
    peer = TfidfVectorizer(binary=True, ngram_range=(1, 2), tokenizer=str.split, token_pattern=None, lowercase=False)
    expected = peer.fit_transform(TEXTS * 2).toarray()
    order = [peer.vocabulary_[word] for word in transformer.indices_[0]]
    np.testing.assert_allclose(transformer.transform([column]), expected[:, order], atol=1e-5)


def test_rows_have_length_one_or_no_words(strings) -> None:
    transformer = WordWeights(min_rows=2).fit([strings(TEXTS)])
    lengths = np.linalg.norm(transformer.transform([strings([*TEXTS, "never seen"])]), axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1.0)
    assert lengths[-1] == lengths[4] == 0.0


def test_rare_words_have_no_feature(strings) -> None:
    transformer = WordWeights(max_words=2).fit([strings(["a b", "a b", "a b", "a", "b c"])])
    assert transformer.feature_names(["note"]) == ["note_word_a", "note_word_b", "note_word_a b"]
    single = WordWeights(max_words=2, max_pairs=0).fit([strings(["a b", "a b", "a b", "a", "b c"])])
    assert single.feature_names(["note"]) == ["note_word_a", "note_word_b"]
    assert WordWeights().fit([strings(["x", "y"])]).n_features_out_ == 0


def test_graph_equals_transform_bit_by_bit(strings, graph) -> None:
    transformer = WordWeights(min_rows=1).fit([strings(TEXTS), strings(["one two", "two"] * 3 + ["three"])])
    odd = ["", "~", "bird ~ hit", "bird~hit, hit wing", "a\"b{c}'d", "naïve\n東京 wing", "  "]
    new = [strings(odd), strings(["two one", "", "four", "one", "two", "three two", "~"])]
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))


def test_graph_of_empty_texts_only(strings, graph) -> None:
    transformer = WordWeights(min_rows=1).fit([strings(TEXTS)])
    np.testing.assert_array_equal(graph(transformer, [strings(["", ""])]), np.zeros((2, transformer.n_features_out_)))
