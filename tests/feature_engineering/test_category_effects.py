"""Joint effects of categories: known effects are found, useless columns shrink, no row sees its own target."""

from __future__ import annotations

import numpy as np
import pytest

from automl_wf.feature_engineering.category_effects import CategoryEffects
from automl_wf.feature_engineering.target_statistics import TargetStatistics


def crossed(strings, n_rows: int = 4000, seed: int = 0):
    """Students meet lecturers like themselves: a mean per lecturer takes the students' effects for the lecturer's."""
    rng = np.random.default_rng(seed)
    students, lecturers = rng.normal(size=200), 0.3 * rng.normal(size=20)
    student = rng.integers(0, 200, n_rows)
    rank = np.argsort(np.argsort(students))
    lecturer = np.clip(rank[student] // 10 + rng.integers(-3, 4, n_rows), 0, 19)
    y = students[student] + lecturers[lecturer] + 0.3 * rng.normal(size=n_rows)
    block = [strings([f"s{i}" for i in student]), strings([f"l{i}" for i in lecturer])]
    return block, y, students, lecturers


def test_effects_that_cross_are_told_apart_where_means_are_not(strings) -> None:
    block, y, _, lecturers = crossed(strings)
    levels = [strings(["s0"] * 20), strings([f"l{i}" for i in range(20)])]
    joint = CategoryEffects().fit(block, y).transform(levels)[:, 1] * y.std()
    means = TargetStatistics(smoothing=0.0).fit(block, y).transform(levels)[:, 2]
    assert np.corrcoef(joint, lecturers)[0, 1] > 0.9
    assert np.corrcoef(means, lecturers)[0, 1] < 0.7


def test_one_column_is_the_shrunken_mean(strings) -> None:
    rng = np.random.default_rng(0)
    column, y = strings([f"c{i}" for i in rng.integers(0, 5, 500)]), rng.normal(size=500)
    y += 3.0 * (column.codes == 1)
    found = CategoryEffects(n_rounds=50).fit([column], y)
    z = (y - y.mean()) / y.std()
    means = np.array([z[column.codes == k].mean() for k in range(5)])
    effects = found.transform([strings(column.levels.tolist())])
    np.testing.assert_allclose(effects[:, 0], means, rtol=0.05, atol=0.02)
    np.testing.assert_array_equal(effects[:, 0], effects[:, 1])


def test_a_column_that_tells_nothing_is_shrunk_to_nothing(strings) -> None:
    rng = np.random.default_rng(1)
    useful, useless = rng.integers(0, 10, 2000), rng.integers(0, 400, 2000)
    block = [strings([f"a{i}" for i in useful]), strings([f"n{i}" for i in useless])]
    y = (block[0].codes % 2) + 0.2 * rng.normal(size=2000)
    tables = CategoryEffects().fit(block, y).tables_
    assert tables[0].std() > 0.8
    assert np.abs(tables[1]).max() < 0.15


def test_unseen_levels_add_nothing_and_names_are_told(strings) -> None:
    block, y, *_ = crossed(strings, 500)
    fitted = CategoryEffects().fit(block, y)
    np.testing.assert_array_equal(fitted.transform([strings(["new", ""]), strings(["new", "l"])]), np.zeros((2, 3)))
    assert fitted.feature_names(["student", "lecturer"]) == ["student_effect", "lecturer_effect", "effects"]


def test_several_classes_have_effects_each_and_many_the_commonest(strings) -> None:
    rng = np.random.default_rng(0)
    block = [strings([f"a{i}" for i in rng.integers(0, 6, 600)]), strings([f"b{i}" for i in rng.integers(0, 6, 600)])]
    three = CategoryEffects(n_classes=3).fit(block, block[0].codes % 3)
    assert three.n_features_out_ == 9
    assert three.feature_names(["a", "b"])[:3] == ["a_effect_0", "a_effect_1", "a_effect_2"]
    assert CategoryEffects(n_classes=6).fit(block, block[0].codes).n_features_out_ == 12
    two = CategoryEffects(n_classes=2).fit(block, (block[0].codes % 2).astype(np.int64))
    assert two.targets_ == (1,)


def test_own_target_never_enters_a_training_row_but_by_its_unit(strings) -> None:
    block, y, *_ = crossed(strings, 300)
    reference = CategoryEffects(random_state=3).fit_transform(block, y)
    parts = np.random.default_rng(3).permutation(300) % 5
    for part in range(5):
        others = parts != part
        z = (y - y.mean()) / y.std()
        alone = CategoryEffects(random_state=3)
        alone.fit(block, y)
        effects = alone._effects([c[others] for c in alone._codes(block)], z[others, None], np.ones(others.sum()))
        rows = np.flatnonzero(~others)
        np.testing.assert_allclose(reference[rows, 0], effects[0][alone._codes(block)[0][rows], 0], atol=1e-12)


def test_noise_gives_training_rows_nothing_to_learn(strings) -> None:
    rng = np.random.default_rng(5)
    block = [strings([f"id {i}" for i in rng.integers(0, 900, 2000)]) for _ in range(2)]
    y = rng.normal(size=2000)
    z = (y - y.mean()) / y.std()
    left = z - CategoryEffects().fit_transform(block, y)[:, -1]
    assert np.mean(left**2) > 0.98


def test_weights_count_like_rows_and_have_no_unit(strings) -> None:
    block, y, *_ = crossed(strings, 200)
    weight = np.random.default_rng(0).integers(1, 4, 200).astype(float)
    weighted = CategoryEffects().fit(block, y, weight).transform(block)
    scaled = CategoryEffects().fit(block, y, 100 * weight).transform(block)
    np.testing.assert_allclose(weighted, scaled, atol=1e-9)


def test_rows_of_a_group_share_a_part(strings) -> None:
    block, y, *_ = crossed(strings, 400)
    group = np.repeat(np.arange(100), 4)
    one = CategoryEffects(random_state=1).fit(block, y)
    out = np.empty((400, 3))
    one.write_training(block, y, None, group, out)
    changed = y.copy()
    changed[0], changed[1] = y[1], y[0]
    again = np.empty((400, 3))
    one.write_training(block, changed, None, group, again)
    np.testing.assert_allclose(out[:4], again[:4], atol=1e-12)


def test_the_target_is_needed(strings) -> None:
    with pytest.raises(ValueError, match="needs the target"):
        CategoryEffects().fit([strings(["a"])])


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_graph(odd_strings, graph, n_classes: int) -> None:
    rng = np.random.default_rng(0)
    block = [odd_strings(300, seed) for seed in range(3)]
    y = rng.normal(size=300) if n_classes == 1 else rng.integers(0, n_classes, 300)
    fitted = CategoryEffects(n_classes=n_classes).fit(block, y)
    rows = [odd_strings(200, seed + 7) for seed in range(3)]
    np.testing.assert_array_equal(graph(fitted, rows), fitted.transform(rows))
