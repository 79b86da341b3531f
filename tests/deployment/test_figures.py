"""Places of figures that can be found with a ruler."""

from __future__ import annotations

import pytest

from automl_wf.deployment.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_COLOURED,
    RIGHT,
    TOP,
    WIDTH,
    draw_bars,
    draw_calibration,
    draw_curves,
    draw_histogram,
    draw_profit,
    draw_quantiles,
    draw_residuals,
    draw_strip,
)

X0, X1, Y0, Y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP


def at(x: float, y: float) -> str:
    """A point of the unit square."""
    return f"{round(X0 + x * (X1 - X0), 2):g},{round(Y0 + y * (Y1 - Y0), 2):g}"


def test_a_curve_goes_where_its_points_say() -> None:
    curve = {"label": "yes", "x": [0.0, 0.25, 1.0], "y": [0.0, 0.5, 1.0], "area": 0.6}
    figure = draw_curves([curve], has_diagonal=True)
    assert figure is not None
    reference, line = figure.lines
    assert (reference.role, reference.points) == ("reference", f"{at(0, 0)} {at(1, 1)}")
    assert (line.role, line.label, line.value) == ("curve-1", "yes", 0.6)
    assert line.points == f"{at(0, 0)} {at(0.25, 0.5)} {at(1, 1)}"
    assert [t.label for t in figure.x_ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert (figure.x_ticks[0].at, figure.x_ticks[-1].at) == (X0, X1)
    # SVG counts downwards
    assert (figure.y_ticks[0].at, figure.y_ticks[-1].at) == (Y0, Y1)


def test_of_many_curves_the_worst_have_a_colour() -> None:
    curves = [{"label": i, "x": [0, 1], "y": [0, 1], "area": 0.9 - 0.1 * (i % 6)} for i in range(6)]
    figure = draw_curves(curves, has_diagonal=False)
    assert figure is not None
    roles = {line.label: line.role for line in figure.lines}
    assert [label for label, role in roles.items() if role == "background"] == ["0", "1"]
    assert len(set(roles.values())) == MAX_COLOURED + 1
    # The coloured ones are drawn over the others
    assert [line.role for line in figure.lines[:2]] == ["background"] * 2


def test_nothing_to_draw() -> None:
    assert draw_curves([], has_diagonal=True) is None
    assert draw_calibration(None) is None
    assert draw_residuals([]) is None
    assert draw_quantiles([]) is None
    assert draw_histogram([0, 0]) is None
    assert draw_bars([]) == []


def test_calibration_dots_have_their_interval() -> None:
    facts = {"bins": [{"predicted": 0.5, "observed": 0.25, "low": 0.0, "high": 1.0, "n": 7}]}
    figure = draw_calibration(facts)
    assert figure is not None
    (dot,) = figure.dots
    assert f"{dot.x:g},{dot.y:g}" == at(0.5, 0.25)
    assert (dot.low, dot.high) == (Y0, Y1)
    assert dot.facts["n"] == 7


def test_residuals_are_drawn_around_the_line_of_no_bias() -> None:
    bins = [{"prediction": p, "residual": r, "std": 1.0, "n": 5} for p, r in ((10.0, 0.5), (20.0, -0.5))]
    figure = draw_residuals(bins)
    assert figure is not None
    zero = float(figure.lines[0].points.split()[0].split(",")[1])
    assert zero == pytest.approx((Y0 + Y1) / 2, abs=0.01)
    above, below = figure.dots
    assert above.y < zero < below.y
    assert zero - above.y == pytest.approx(below.y - zero, abs=0.02)
    # Twice the residual is the standard deviation
    assert above.y - above.high == pytest.approx(2 * (zero - above.y), abs=0.05)
    assert "10" in [t.label for t in figure.x_ticks]


def test_normal_residuals_lie_on_the_diagonal() -> None:
    figure = draw_quantiles([(-1.0, -1.0), (0.0, 0.0), (1.0, 1.0)])
    assert figure is not None
    reference, line = ([tuple(map(float, p.split(","))) for p in each.points.split()] for each in figure.lines)
    (x0, y0), (x1, y1) = reference
    for x, y in line:
        assert y == pytest.approx(y0 + (x - x0) / (x1 - x0) * (y1 - y0), abs=0.05)


def test_a_histogram_is_as_high_as_its_counts() -> None:
    figure = draw_histogram([0, 5, 10])
    assert figure is not None
    heights = [box.height for box in figure.boxes]
    assert heights[0] == 0
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.02)
    assert [(box.facts["low"], box.facts["n"]) for box in figure.boxes] == [(0.0, 0), (0.333333, 5), (0.666667, 10)]
    assert all("." not in tick.label for tick in figure.y_ticks)


def test_bars_share_a_scale_with_their_intervals() -> None:
    long, short, negative = draw_bars([6.0, 3.0, -1.0], [(4.0, 8.0), (None, None), (-2.0, 0.0)])
    # From -2 to 8: ten units on a box of 100
    assert (long.x, long.width, long.zero, long.low, long.high) == (20.0, 60.0, 20.0, 60.0, 100.0)
    assert (short.x, short.width, short.low, short.high) == (20.0, 30.0, None, None)
    assert (negative.x, negative.width, negative.low, negative.high) == (10.0, 10.0, 0.0, 20.0)
    assert [bar.width for bar in draw_bars([0.5, 0.25], at_least=1.0)] == [50.0, 25.0]
    assert [bar.width for bar in draw_bars([0.0, 0.0])] == [0.0, 0.0]


def test_the_strip_keeps_the_order_of_its_figures() -> None:
    strip = draw_strip(0.8, 0.5, 0.7, 0.9, 0.85)
    assert strip.baseline is not None
    assert strip.low is not None
    assert strip.optimistic is not None
    assert 0 < strip.baseline < strip.low < strip.value < strip.optimistic < strip.low + strip.width < 100
    assert strip.width == pytest.approx(2 * (strip.value - strip.low), abs=0.02)
    alone = draw_strip(3.0, None, None, None, None)
    assert (alone.value, alone.width) == (50.0, 0.0)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (90.0, 122.0, ["90", "100", "110", "120"]),
        (-0.012, 0.012, ["-0.010", "-0.005", "0.000", "0.005", "0.010"]),
        (0.0, 3e7, ["0", "1e+07", "2e+07", "3e+07"]),
        (0.0, 4e5, ["0", "100,000", "200,000", "300,000", "400,000"]),
        (1880.0, 2010.0, ["1900", "1950", "2000"]),
    ],
)
def test_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    from automl_wf.deployment.figures import _Scale

    assert [tick.label for tick in _Scale(low, high, 0.0, 100.0).ticks()] == labels


def test_profit_is_drawn_around_the_line_of_nothing_won_with_what_is_done_and_the_best() -> None:
    facts = {
        "share": [0.0, 0.5, 1.0],
        "profit": [-10.0, 30.0, 10.0],
        "chosen": {"threshold": 0.4, "share": 0.75, "profit": 20.0},
        "best": {"threshold": None, "share": 0.5, "profit": 30.0},
    }
    figure = draw_profit(facts)
    assert figure is not None
    zero, curve = figure.lines
    level = float(zero.points.split()[0].split(",")[1])
    heights = [float(point.split(",")[1]) for point in curve.points.split()]
    # Thirty above the line is three times as far as ten below it, or above.
    assert level - heights[1] == pytest.approx(3 * (heights[0] - level), abs=0.03)
    assert level - heights[2] == pytest.approx(heights[0] - level, abs=0.03)
    chosen, best = figure.dots
    assert (chosen.x, best.x) == (round(X0 + 0.75 * (X1 - X0), 2), round(X0 + 0.5 * (X1 - X0), 2))
    assert chosen.y == pytest.approx((heights[1] + heights[2]) / 2, abs=0.02)
    assert best.y == heights[1]
    assert best.facts == {"best: threshold": None, "share": 0.5, "profit": 30.0}
    assert draw_profit(None) is None
