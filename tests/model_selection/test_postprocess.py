"""Temperature, threshold, intervals and their ONNX halves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from automl_wf.core.costs import Costs, UnitCosts
from automl_wf.core.graph import GraphBuilder
from automl_wf.core.metrics import cost_scoring, resolve_scoring
from automl_wf.core.tasks import Task
from automl_wf.exceptions import InvalidParameter
from automl_wf.model_selection.postprocess import (
    Postprocess,
    apply_temperature,
    decide,
    fit_postprocess,
    fit_residuals,
    fit_shift,
    fit_temperature,
    fit_threshold,
    scoring_rows,
    threshold_is_affordable,
    threshold_scores,
)
from automl_wf.model_selection.postprocess_onnx import (
    emit_codes,
    emit_label,
    emit_shift,
    emit_temperature,
    label_dtype,
)


@dataclass
class Metric:
    function: Callable[..., float]
    needs: str
    metric: None = None

    def __call__(
        self, y: Any, prediction: Any, weight: Any = None, group: Any = None, *, threshold: float | None = None
    ) -> float:
        if self.needs == "label":
            prediction = decide(prediction, threshold)
        return float(self.function(y, prediction, weight))


def _f1(y: Any, predicted: Any, weight: Any) -> float:
    return 2 * np.sum((predicted == 1) & (y == 1)) / max(np.sum(predicted == 1) + np.sum(y == 1), 1)


def _accuracy(y: Any, predicted: Any, weight: Any) -> float:
    return np.average(predicted == y, weights=weight)


def _negative_log_loss(y: Any, proba: Any, weight: Any) -> float:
    return np.average(np.log(np.maximum(proba[np.arange(len(y)), y], 1e-15)), weights=weight)


def _calibrated(n: int, logit_scale: float, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n) * logit_scale + shift
    p1 = 1 / (1 + np.exp(-logit))
    return np.column_stack([1 - p1, p1]), (rng.random(n) < p1).astype(np.int64)


def test_temperature_of_two_takes_the_root_of_the_odds() -> None:
    assert apply_temperature(np.array([[0.2, 0.8], [1.0, 0.0]]), 2.0) == pytest.approx(
        np.array([[1 / 3, 2 / 3], [1.0, math.sqrt(1e-15)]]), abs=1e-7
    )


def test_temperature_is_found_where_probabilities_are_too_sure() -> None:
    proba, y = _calibrated(50_000, 1.5)
    too_sure = apply_temperature(proba, 0.5)
    assert fit_temperature(too_sure, y) == pytest.approx(2.0, rel=0.05)
    assert fit_temperature(proba, y) == 1.0


def test_temperature_stays_within_its_bounds() -> None:
    y = np.arange(100) % 2
    sure = np.where(y[:, None] == np.arange(2), 0.7, 0.3)
    assert fit_temperature(sure, y) == pytest.approx(0.2, rel=0.01)
    assert fit_temperature(apply_temperature(sure[::-1], 0.1), y) == pytest.approx(5.0, rel=0.01)


def test_temperature_respects_weights() -> None:
    proba, y = _calibrated(4_000, 1.5)
    weight = np.random.default_rng(1).integers(0, 3, 4_000)
    repeated = np.repeat(np.arange(4_000), weight)
    sharp = apply_temperature(proba, 0.5)
    assert fit_temperature(sharp, y, weight.astype(float)) == pytest.approx(
        fit_temperature(sharp[repeated], y[repeated]), rel=1e-3
    )


def test_threshold_for_f1_of_calibrated_probabilities_is_half_the_best_f1() -> None:
    proba, y = _calibrated(20_000, 1.0, shift=-2.0)
    threshold = fit_threshold(proba, y, None, None, Metric(_f1, "label"))
    assert threshold is not None
    # Lipton, Elkan and Naryanaswamy (2014): the threshold that maximises F1 is half of the F1 reached.
    assert threshold == pytest.approx(_f1(y, decide(proba, threshold), None) / 2, abs=0.03)


def test_threshold_is_left_alone_where_nothing_is_gained_beyond_noise() -> None:
    proba, y = _calibrated(500, 1.5)
    assert fit_threshold(proba, y, None, None, Metric(_accuracy, "label")) is None


def test_threshold_prefers_the_candidate_nearest_one_half() -> None:
    p1 = np.repeat([0.1, 0.2, 0.3, 0.4], 25)
    y = (p1 > 0.25).astype(np.int64)
    assert fit_threshold(np.column_stack([1 - p1, p1]), y, None, None, Metric(_accuracy, "label")) == pytest.approx(
        0.25
    )
    constant = np.full((100, 2), 0.5)
    assert fit_threshold(constant, y, None, None, Metric(_accuracy, "label")) is None


@pytest.mark.parametrize("pos_index", [0, 1])
@pytest.mark.parametrize("name", ["f1", "precision", "balanced_accuracy", "accuracy", "cost"])
def test_scores_of_many_thresholds_are_those_of_each(name: str, pos_index: int) -> None:
    proba, y = _calibrated(300, 1.0, shift=-1.0)
    proba = np.round(proba, 2)
    scoring = resolve_scoring(name, Task.BINARY, pos_index=pos_index) if name != "cost" else None
    scoring = scoring or cost_scoring(Costs(((0.0, 1.0), (5.0, 0.0))), Task.BINARY, pos_index)
    thresholds = np.unique(np.r_[proba[:, 1], 0.0, 0.355, 1.0])
    for weight in (None, np.random.default_rng(0).integers(0, 3, 300).astype(float)):
        each = [scoring(y, proba, weight, threshold=float(t)) for t in thresholds]
        assert threshold_scores(scoring, y, proba, weight, thresholds) == pytest.approx(each, abs=1e-12)


def test_threshold_thins_many_rows() -> None:
    sizes: list[int] = []
    metric = Metric(lambda y, p, w: sizes.append(len(y)) or _f1(y, p, w), "label")
    proba, y = _calibrated(60_000, 1.0, shift=-2.0)
    assert fit_threshold(proba, y, None, None, metric) == pytest.approx(
        fit_threshold(proba[:20_000], y[:20_000], None, None, Metric(_f1, "label")), abs=0.05
    )
    assert max(sizes) <= 20_001


@pytest.mark.parametrize(("n", "alpha", "rank"), [(19, 0.05, 19), (19, 0.1, 18), (99, 0.2, 80), (18, 0.05, None)])
def test_residual_quantile_is_the_finite_sample_one(n: int, alpha: float, rank: int | None) -> None:
    residuals = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    post = Postprocess(residuals=fit_residuals(residuals), n_residuals=n)
    assert post.residual_quantile(alpha) == (math.inf if rank is None else float(rank))


def test_residual_quantile_of_many_rows_is_rounded_up_a_little() -> None:
    residuals = np.arange(1.0, 12_346.0)
    post = Postprocess(residuals=fit_residuals(residuals), n_residuals=12_345)
    assert len(post.residuals) == 1000
    for alpha in (0.01, 0.05, 0.1, 0.2, 0.5):
        exact = math.ceil(12_346 * (1 - alpha))
        assert exact <= post.residual_quantile(alpha) <= exact + 13


def test_integer_weights_of_residuals_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    residuals, weight = rng.random(5_000), rng.integers(0, 3, 5_000)
    weighted = Postprocess(residuals=fit_residuals(residuals, weight.astype(float)), n_residuals=5_000)
    repeated = np.repeat(residuals, weight)
    plain = Postprocess(residuals=fit_residuals(repeated), n_residuals=len(repeated))
    assert weighted.residual_quantile(0.1) == pytest.approx(plain.residual_quantile(0.1), abs=0.002)


def test_interval_covers_what_it_promises() -> None:
    rng = np.random.default_rng(0)
    post = fit_postprocess(np.zeros(2_000), rng.normal(size=2_000), None, None, _never, Task.REGRESSION)
    interval = post.interval(np.zeros(100_000), 0.1)
    new = rng.normal(size=100_000)
    assert interval.shape == (100_000, 2)
    assert np.mean((interval[:, 0] <= new) & (new <= interval[:, 1])) == pytest.approx(0.9, abs=0.02)


def test_prediction_sets_cover_what_they_promise() -> None:
    proba, y = _calibrated(4_000, 1.0)
    post = fit_postprocess(proba[:2_000], y[:2_000], None, None, _never, Task.BINARY)
    sets = post.prediction_set(proba[2_000:], 0.1)
    assert sets[np.arange(2_000), y[2_000:]].mean() == pytest.approx(0.9, abs=0.03)


def _never(*_: Any) -> float:
    return 0.0


_never.needs = "proba"  # type: ignore[attr-defined]


def test_quantiles_refuse_nonsense() -> None:
    with pytest.raises(InvalidParameter, match=r"alpha must be .* Got 0 instead"):
        Postprocess(residuals=(1.0,), n_residuals=1).residual_quantile(0)
    with pytest.raises(InvalidParameter, match="No residuals"):
        Postprocess().residual_quantile(0.1)


def test_fit_postprocess_by_task() -> None:
    proba, y = _calibrated(3_000, 1.0, shift=-2.0)
    by_label = fit_postprocess(proba, y, None, None, Metric(_f1, "label"), Task.BINARY)
    assert by_label.threshold is not None
    sharp = fit_postprocess(
        apply_temperature(proba, 0.4), y, None, None, Metric(_negative_log_loss, "proba"), Task.BINARY
    )
    assert sharp.threshold is None
    assert sharp.temperature == pytest.approx(2.5, rel=0.2)
    assert _negative_log_loss(y, sharp.apply(apply_temperature(proba, 0.4)), None) > _negative_log_loss(
        y, apply_temperature(proba, 0.4), None
    )
    scores = np.arange(4.0)
    assert fit_postprocess(scores, scores, None, None, _never, Task.RANKING) == Postprocess()
    assert Postprocess(temperature=2.0).apply(scores) is scores


def test_the_threshold_raises_the_real_f1_and_leaves_the_real_auc_alone() -> None:
    proba, y = _calibrated(3_000, 1.0, shift=-2.0)
    f1, auc = resolve_scoring("f1", Task.BINARY), resolve_scoring("roc_auc", Task.BINARY)
    post = fit_postprocess(proba, y, None, None, f1, Task.BINARY)
    assert f1(y, proba, threshold=post.threshold) > f1(y, proba) + 0.1
    assert np.array_equal(post.decide(proba), proba[:, 1] >= post.threshold)
    assert fit_postprocess(proba, y, None, None, auc, Task.BINARY).threshold is None


def test_a_temperature_that_harms_the_metric_is_dropped() -> None:
    proba, y = _calibrated(3_000, 1.5)
    prefers_extremes = Metric(lambda y, p, w: float(np.abs(p - 0.5).mean()), "proba")
    assert (
        fit_postprocess(apply_temperature(proba, 0.5), y, None, None, prefers_extremes, Task.BINARY).temperature == 1.0
    )


def test_scoring_rows_keep_shares_rare_classes_and_queries() -> None:
    assert scoring_rows(np.zeros(10), None, 10) == (slice(None), None)
    y = np.repeat([0, 1], [9_950, 50])
    rows, factor = scoring_rows(y, None, 1_000)
    assert np.bincount(y[rows]).tolist() == [995, 50]
    assert factor is not None
    assert np.bincount(y[rows], factor) == pytest.approx([995, 5])
    assert np.all(np.diff(rows) > 0)
    group = np.repeat(np.arange(100), 7)
    rows, factor = scoring_rows(np.zeros(700), group, 70)
    assert factor is None
    assert len(np.unique(group[rows])) == 10
    assert len(rows) == 70


# -- the ONNX halves ---------------------------------------------------------------------------------------------------


def _run(
    build: Callable[[GraphBuilder, str], tuple[str, str]], values: np.ndarray, dtype: str = "double"
) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    builder = GraphBuilder("test")
    out, out_dtype = build(builder, builder.input("X", dtype, values.shape[1]))
    builder.output(out, "out", out_dtype, [None] if out_dtype != "double" else [None, values.shape[1]])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(builder.model().SerializeToString(), options)
    return np.asarray(session.run(None, {"X": values})[0])


def _hard_rows(n_classes: int) -> np.ndarray:
    """Random rows, exact ties, ties within and just beyond 1e-9, zeros and ones."""
    rng = np.random.default_rng(0)
    ties = np.full((6, n_classes), 1.0 / n_classes)
    ties[1, -1] += 0.5e-9
    ties[2, -1] += 0.999e-9
    ties[3, -1] += 1.001e-9
    ties[4, 0] -= 2e-9
    ties[5, 0] += 1e-9
    return np.vstack([rng.dirichlet(np.ones(n_classes), 500), np.eye(n_classes), ties])


@pytest.mark.parametrize("n_classes", [2, 3, 11])
@pytest.mark.parametrize("temperature", [0.2, 0.9, 1.0, 5.0])
def test_temperature_in_the_graph(n_classes: int, temperature: float) -> None:
    proba = _hard_rows(n_classes)
    got = _run(lambda b, x: (emit_temperature(b, x, temperature), "double"), proba)
    assert np.abs(got - Postprocess(temperature=temperature).apply(proba)).max() <= 1e-14


@pytest.mark.parametrize("n_classes", [2, 3, 11])
def test_codes_in_the_graph(n_classes: int) -> None:
    proba = _hard_rows(n_classes)
    got = _run(lambda b, x: (emit_codes(b, x), "int64"), proba)
    assert got.dtype == np.int64
    assert np.array_equal(got, decide(proba))
    assert got[-6:].tolist() == [0, 0, 0, n_classes - 1, 1, 0]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 1 / 3, 0.5, 1.0])
def test_codes_by_threshold_in_the_graph(threshold: float) -> None:
    near = threshold + np.array([0.0, -0.5e-9, -0.999e-9, -1.001e-9, 1e-12, -1e-6])
    proba = np.vstack([_hard_rows(2), np.column_stack([1 - near, near])])
    got = _run(lambda b, x: (emit_codes(b, x, threshold), "int64"), proba)
    assert np.array_equal(got, decide(proba, threshold))
    assert got[-6:].tolist() == [1, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        (["no", "yes", "None"], "string"),
        (np.array(["ä", "b", ""], dtype=object), "string"),
        ([10, -3, 2**60], "int64"),
        (np.array([1, 2, 3], dtype=np.uint8), "int64"),
        ([0.5, 1.5, 2.0], "double"),
        ([False, True], "bool"),
        (np.array([True, False], dtype=object), "bool"),
    ],
)
def test_labels_in_the_graph(classes: Any, dtype: str) -> None:
    assert label_dtype(classes) == dtype
    codes = np.array([len(classes) - 1, 0, 1, 0])
    proba = np.eye(len(classes))[codes]
    onnxruntime = pytest.importorskip("onnxruntime")
    builder = GraphBuilder("test")
    label = emit_label(builder, emit_codes(builder, builder.input("X", "double", len(classes))), classes)
    builder.output(label, "label", dtype, [None])
    session = onnxruntime.InferenceSession(builder.model().SerializeToString())
    got = session.run(None, {"X": proba})[0]
    assert got.tolist() == [list(classes)[c] for c in codes]


# -- decisions by costs ------------------------------------------------------------------------------------------------


def test_calibrated_probabilities_get_the_threshold_that_the_costs_imply() -> None:
    proba, y = _calibrated(20_000, 1.0)
    costs = Costs(((0.0, 1.0), (9.0, 0.0)))
    auc = resolve_scoring("roc_auc", Task.BINARY)
    post = fit_postprocess(proba, y, None, None, auc, Task.BINARY, costs=costs)
    assert post.threshold == pytest.approx(0.1, abs=0.03)
    paid = costs.of_rows(y, post.decide(proba)).mean()
    assert paid < costs.of_rows(y, decide(proba)).mean() - 0.1
    assert paid <= costs.of_rows(y, decide(proba, 0.1)).mean() + 1e-12
    # The metric of labels is the cost itself: the same threshold.
    by_cost = fit_postprocess(proba, y, None, None, cost_scoring(costs, Task.BINARY), Task.BINARY, costs=costs)
    assert by_cost.threshold == pytest.approx(post.threshold, abs=0.01)


def test_another_threshold_is_taken_only_where_it_is_cheaper_beyond_doubt() -> None:
    costs = Costs(((0.0, 1.0), (4.0, 0.0)))
    proba, y = _calibrated(400, 1.5)
    auc = resolve_scoring("roc_auc", Task.BINARY)
    # No doubt removed by few rows, or no time to look: what the costs imply stays.
    assert fit_postprocess(proba, y, None, None, auc, Task.BINARY, costs=costs, max_calls=10).threshold == 0.2
    assert not threshold_is_affordable(10)
    judge = cost_scoring(costs, Task.BINARY)
    # Probabilities squeezed towards one half beyond what a temperature mends: below 0.45 nobody is sick.
    squeezed = np.column_stack([1 - y, y]) * 0.02 + 0.49
    squeezed[:, 1] = 1 - squeezed[:, 0]
    assert fit_threshold(squeezed, y, None, None, judge, costs.threshold) == pytest.approx(0.5)
    assert fit_threshold(np.full((400, 2), 0.5), y, None, None, judge, costs.threshold) is None


def test_more_classes_keep_their_costs_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 500)
    y = np.array([rng.choice(3, p=p) for p in proba])
    costs = Costs.of(1000.0 * np.array([[0, 1, 1], [1, 0, 1], [9, 9, 0]]))
    loss = resolve_scoring("neg_log_loss", Task.MULTICLASS)
    post = fit_postprocess(proba, y, None, None, loss, Task.MULTICLASS, costs=costs)
    assert post.threshold is None
    assert post.costs is not None
    assert np.max(post.costs.array) == 1.0
    assert post.rule == post.costs
    assert costs.of_rows(y, post.decide(proba)).mean() < costs.of_rows(y, decide(proba)).mean() - 100
    assert fit_postprocess(proba, y, None, None, loss, Task.MULTICLASS).costs is None


def test_values_are_shifted_to_the_quantile_that_the_costs_imply() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=4_000)
    y = prediction + rng.normal(size=4_000)
    costs = UnitCosts(over=1.0, under=9.0)
    post = fit_postprocess(prediction, y, None, None, _never, Task.REGRESSION, costs=costs)
    # The 90 % quantile of a normal residual.
    assert post.shift == pytest.approx(1.2816, abs=0.07)
    assert np.array_equal(post.apply(prediction), prediction + post.shift)
    assert np.mean(np.abs(y - post.apply(prediction)) <= post.residual_quantile(0.1)) == pytest.approx(0.9, abs=0.01)
    assert costs.of_rows(y, post.apply(prediction)).mean() < 0.6 * costs.of_rows(y, prediction).mean()
    assert fit_shift(prediction, y, None, UnitCosts(1.0, 1.0)) == 0.0
    weight = rng.integers(0, 3, 4_000).astype(float)
    rows = np.repeat(np.arange(4_000), weight.astype(int))
    assert fit_shift(prediction, y, weight, costs) == fit_shift(prediction[rows], y[rows], None, costs)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_codes_by_costs_in_the_graph(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    matrix = rng.uniform(0.1, 1.0, (n_classes, n_classes))
    np.fill_diagonal(matrix, 0.0)
    proba = _hard_rows(n_classes)
    for costs in (Costs.of(matrix).scaled(), Costs.of(1.0 - np.eye(n_classes))):
        got = _run(lambda b, x, costs=costs: (emit_codes(b, x, costs), "int64"), proba)
        assert got.dtype == np.int64
        assert np.array_equal(got, decide(proba, costs))
    # Where all errors cost the same, ties are those of the most probable class.
    assert got[-6:].tolist() == [0, 0, 0, n_classes - 1, 1, 0]


def test_a_shift_in_the_graph() -> None:
    values = np.random.default_rng(0).normal(size=(50, 1)) * 1e6
    got = _run(lambda b, x: (emit_shift(b, x, 0.1), "double"), values)
    assert np.array_equal(got[:, 0], Postprocess(shift=0.1).apply(values[:, 0]))
    assert np.array_equal(_run(lambda b, x: (emit_shift(b, b.op("Identity", x), 0.0), "double"), values), values)
