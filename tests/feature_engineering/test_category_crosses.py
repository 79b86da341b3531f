from __future__ import annotations

import numpy as np
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.feature_engineering.category_crosses import CategoryCrosses
from automl_wf.feature_engineering.interaction import crossable
from automl_wf.feature_engineering.target_statistics import TargetStatistics

CITIES = ["Oslo", "Rome", "Lima", "Bonn"]


def draw(rng, strings, n_rows: int = 2000):
    """Cities and years with effects of their own, and a column that tells nothing."""
    cities, years, colours = (rng.integers(0, n, n_rows) for n in (4, 5, 3))
    block = [strings([CITIES[i] for i in cities]), years.astype(float), strings([f"colour {i}" for i in colours])]
    return block, cities, years


@pytest.fixture
def crossed(strings):
    """Rows whose target is an effect of city and year together."""
    rng = np.random.default_rng(0)
    block, cities, years = draw(rng, strings)
    effects = rng.normal(size=(4, 5))
    return block, effects[cities, years] + 0.5 * rng.normal(size=len(cities))


def test_only_what_two_columns_tell_together_is_made(crossed) -> None:
    block, y = crossed
    transformer = CategoryCrosses().fit(block, y)
    assert [(p.first, p.second) for p in transformer.pairs_] == [(0, 1)]
    assert transformer.feature_names(["city", "year", "colour"]) == [
        "city_and_year_target_mean",
        "city_and_year_log_count",
    ]
    feature = transformer.features(["city", "year", "colour"])[0]
    assert feature.parents == ("city", "year")
    assert "of the same city and year, smoothed by 10 rows" in feature.formula


def test_effects_that_add_up_are_no_cross(strings) -> None:
    rng = np.random.default_rng(1)
    block, cities, years = draw(rng, strings)
    y = rng.normal(size=4)[cities] + rng.normal(size=5)[years] + 0.5 * rng.normal(size=len(cities))
    transformer = CategoryCrosses().fit(block, y)
    assert transformer.pairs_ == []
    assert transformer.transform(block).shape == (2000, 0)


def test_few_rows_judge_nothing(crossed) -> None:
    block, y = crossed
    few = [block[0].take(slice(0, 99)), block[1][:99], block[2].take(slice(0, 99))]
    assert CategoryCrosses().fit(few, y[:99]).pairs_ == []


@pytest.mark.parametrize("seed", range(5))
def test_a_target_that_is_chance_has_no_cross(strings, seed) -> None:
    rng = np.random.default_rng(seed)
    block, _, _ = draw(rng, strings)
    assert CategoryCrosses(random_state=seed).fit(block, rng.normal(size=2000)).pairs_ == []


def test_effects_of_many_levels_do_not_hide_a_cross(strings) -> None:
    """What single levels leave of their own rows adds up to nothing: rows that judge must not have been learnt from."""
    rng = np.random.default_rng(2)
    teacher, year = rng.integers(0, 300, 12_000), rng.integers(0, 6, 12_000)
    y = rng.normal(size=300)[teacher] + 0.5 * rng.normal(size=(300, 6))[teacher, year] + rng.normal(size=12_000)
    block = [strings([f"teacher {i}" for i in teacher]), year.astype(float)]
    assert [(p.first, p.second) for p in CategoryCrosses().fit(block, y).pairs_] == [(0, 1)]


def test_statistics_are_those_of_the_combined_column(crossed, strings) -> None:
    block, y = crossed
    together = strings([f"{a}|{b}" for a, b in zip(block[0].values(), block[1], strict=True)])
    transformer = CategoryCrosses(random_state=3)
    expected = TargetStatistics(random_state=3)
    np.testing.assert_allclose(transformer.fit_transform(block, y), expected.fit_transform([together], y))
    np.testing.assert_allclose(transformer.transform(block), expected.transform([together]))


def test_combinations_never_seen_are_unseen_levels(crossed, strings) -> None:
    block, y = crossed
    transformer = CategoryCrosses().fit(block, y)
    new = [strings(["Oslo", "Oslo", "Cairo", ""]), np.array([0.5, np.nan, 1.0, 2.0]), strings(["colour 0"] * 4)]
    prior = transformer.statistics_.prior_[0]
    np.testing.assert_array_equal(transformer.transform(new), np.tile([prior, 0.0], (4, 1)))


def test_missing_cells_are_a_level(strings) -> None:
    rng = np.random.default_rng(3)
    block, cities, years = draw(rng, strings)
    block[1] = np.where(years == 4, np.nan, years)
    y = rng.normal(size=(4, 5))[cities, years] + 0.1 * rng.normal(size=len(cities))
    transformer = CategoryCrosses().fit(block, y)
    new = [strings(["Oslo"]), np.array([np.nan]), strings(["colour 0"])]
    expected = y[(cities == 0) & (years == 4)].mean()
    assert transformer.transform(new)[0, 0] == pytest.approx(expected, abs=0.2)


def test_crosses_that_tell_nothing_more_than_a_column_are_not_looked_at(strings) -> None:
    rng = np.random.default_rng(4)
    cities = rng.integers(0, 4, 500)
    numbers = [cities.astype(float), rng.integers(0, 5, 500).astype(float)]
    assert CategoryCrosses().fit(numbers, numbers[0] * numbers[1]).pairs_ == []
    nested = [strings([CITIES[i] for i in cities]), (cities > 1).astype(float)]
    assert CategoryCrosses().fit(nested, rng.normal(size=4)[cities]).pairs_ == []
    ids = [strings([f"id {i}" for i in range(500)]), cities.astype(float)]
    assert CategoryCrosses().fit(ids, rng.normal(size=500)).pairs_ == []


def test_several_classes_share_the_statistics(strings) -> None:
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 4, size=(4000, 5))
    y = (levels[:, 0] * levels[:, 1] + levels[:, 2] * levels[:, 3] + levels[:, 4]) % 8
    block = [strings([f"level {i}" for i in levels[:, j]]) for j in range(5)]
    transformer = CategoryCrosses(n_classes=8).fit(block, y)
    assert 1 <= len(transformer.pairs_) <= 3
    assert transformer.n_features_out_ == 9 * len(transformer.pairs_)


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_the_graph_gives_the_same_bits(graph, odd_strings, n_classes) -> None:
    rng = np.random.default_rng(n_classes)
    numbers = rng.choice([-1.5, 0.0, 2.0, 1e300, np.nan], 1500)
    block = [odd_strings(1500, 0), numbers, odd_strings(1500, 1)]
    codes = block[0].codes % 3 * (np.nan_to_num(numbers) > 0) + block[2].codes % 2
    y = codes % n_classes if n_classes > 1 else codes + 0.1 * rng.normal(size=1500)
    transformer = CategoryCrosses(n_classes).fit(block, y)
    assert transformer.pairs_
    new = [odd_strings(3000, 7), rng.choice([-1.5, -0.0, 2.0, 3.0, np.inf, np.nan], 3000), odd_strings(3000, 8)]
    np.testing.assert_array_equal(graph(transformer, new), transformer.transform(new))


def test_weights_count_like_rows(strings) -> None:
    rng = np.random.default_rng(6)
    block, cities, years = draw(rng, strings, 1000)
    y = rng.normal(size=(4, 5))[cities, years] + 0.3 * rng.normal(size=1000)
    weight = rng.integers(1, 4, 1000).astype(float)
    rows = np.repeat(np.arange(1000), weight.astype(int))
    weighted = CategoryCrosses(smoothing=10.0 / weight.mean()).fit(block, y, weight)
    repeated = CategoryCrosses().fit([block[0].take(rows), block[1][rows], block[2].take(rows)], y[rows])
    np.testing.assert_allclose(weighted.transform(block)[:, 0], repeated.transform(block)[:, 0])


def test_the_target_is_needed(strings) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        CategoryCrosses().fit([strings(["a", "b"]), np.array([0.0, 1.0])])


def test_which_columns_are_crossed() -> None:
    import pandas as pd

    rng = np.random.default_rng(7)
    X = pd.DataFrame(
        {
            "city": rng.choice(CITIES, 300),
            "rooms": rng.integers(1, 6, 300),
            "is_new": rng.random(300) < 0.5,
            "price": rng.normal(size=300),
            "same": "x",
        }
    )
    schema, _, _ = learn_schema(X)
    assert [c.name for c in crossable(schema.used)] == ["city", "rooms", "is_new"]
    schema, _, _ = learn_schema(X[["rooms", "is_new", "price", "same"]])
    assert crossable(schema.used) == []
    wide = pd.concat([X, pd.DataFrame(rng.integers(0, 3, (300, 250)), columns=[f"n{i}" for i in range(250)])], axis=1)
    schema, _, _ = learn_schema(wide)
    assert [c.name for c in crossable(schema.used)] == ["city"]
