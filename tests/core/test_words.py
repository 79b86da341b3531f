"""How text is cut into words, and which columns are text."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.table import Strings
from automl_wf.core.words import MAX_LEVELS, is_text, terms_of, words_of


def strings(values: list[str]) -> Strings:
    levels, codes = np.unique(np.array(values, dtype=object), return_inverse=True)
    return Strings(codes.astype(np.int32), levels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bird strike, naïve bird.", ["bird", "strike", "naïve", "bird"]),
        ("o'neil's b-737", ["o", "neil", "s", "b", "737"]),
        ("東京 タワー/塔", ["東京", "タワー", "塔"]),
        ("~ a~b ~", ["a", "b"]),
        ("", []),
        (" .,;!? \t\n\x00\x7f", []),
    ],
)
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_pairs_are_neighbours_that_nothing_stands_between() -> None:
    assert terms_of("big bird, hit ~ wing") == ["big", "bird", "hit", "wing", "big bird", "bird hit"]


def test_text_is_told_from_categories_and_identifiers() -> None:
    rng = np.random.default_rng(0)
    words = ["bird", "hit", "wing", "left", "engine", "no", "damage", "seen", "on", "runway", "after", "landing"]
    assert is_text(strings([" ".join(rng.choice(words, 4)) for _ in range(200)]))
    assert not is_text(strings([f"id{i}" for i in range(200)]))
    assert not is_text(strings(["new york", "los angeles", "new orleans"] * 60))
    assert not is_text(strings([f"family name{i}" for i in range(200)]))


def test_of_very_many_values_some_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    many = [f"{i} {' '.join(rng.choice(words, 3))}" for i in range(MAX_LEVELS + 10)]
    assert is_text(strings(many))
