"""Facts computed by the stages → places on a drawing: where lines, dots and bars go; templates say what they mean.

A drawing's y points downwards, as in SVG. Colours are the page's: lines and bars carry the name of a role only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl_wf.core.number_format import ordinal

Facts = Mapping[str, Any]

WIDTH, HEIGHT = 360.0, 290.0
LEFT, TOP, RIGHT, BOTTOM = 58.0, 10.0, 12.0, 44.0
#: Curves with a colour of their own; the others are drawn in the background.
MAX_COLOURED = 4
#: Bars are drawn in a box of this width, which the page stretches.
BAR_WIDTH = 100.0


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line through points, "x,y x,y …"; `role` is "curve-1" … "curve-4", "background" or "reference"."""

    points: str
    role: str
    label: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Dot:
    """A point with an interval upwards and downwards, and the figures it stands for; `role` is a kind of dot."""

    x: float
    y: float
    low: float
    high: float
    facts: Facts
    role: str = ""


@dataclass(frozen=True)
class Box:
    """A column of a histogram, and the figures it stands for."""

    x: float
    y: float
    width: float
    height: float
    facts: Facts


@dataclass(frozen=True)
class Figure:
    """A drawing with two axes.

    Parameters
    ----------
    x_ticks, y_ticks : tuple of Tick
        Of the axes.
    lines, dots, boxes
        What is drawn, in this order.
    width, height, left, top, right, bottom : float
        The whole drawing, and the rectangle inside its axes.
    x_range, y_range : tuple of float or None
        What the ends of the axes stand for, lower left to upper right; None where places are not figures.
    """

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    boxes: tuple[Box, ...] = ()
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    top: float = TOP
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bar:
    """A bar of a row of bars, in a box 100 wide: from `x`, `width` wide, with an interval, and where 0 is."""

    x: float
    width: float
    zero: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Strip:
    """Places of a score's figures on a common line in percent of it, and ticks; the interval is `width` from `low`."""

    value: float
    baseline: float | None
    low: float | None
    width: float
    optimistic: float | None
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class _Scale:
    """From figures to places; a range without width is widened."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.first + min(max(share, -0.5), 1.5) * (self.last - self.first), 2)

    @property
    def ends(self) -> tuple[float, float]:
        """What the first and the last place stand for."""
        return self.low, self.high

    def ticks(self, n: int = 5) -> tuple[Tick, ...]:
        return tuple(Tick(self(v), label) for v, label in _round_values(self.low, self.high, n))


def _scale(values: Sequence[float], first: float, last: float, margin: float = 0.04) -> _Scale:
    low, high = min(values), max(values)
    if not high > low:
        half = abs(low) * 0.05 or 1.0
        low, high = low - half, high + half
    extra = margin * (high - low)
    return _Scale(low - extra, high + extra, first, last)


def _round_values(low: float, high: float, n: int) -> list[tuple[float, str]]:
    """About n round figures between both ends, as they are written."""
    step = 10.0 ** math.floor(math.log10((high - low) / n))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= n)
    start, end = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    largest = max(abs(low), abs(high))
    is_long = largest >= 1e7 or decimals > 4
    digits = max(1, math.ceil(math.log10(largest / step)))
    # Years stay as they are read: only what no year reaches has separators
    form = f".{min(digits, 6)}g" if is_long else f",.{decimals}f" if largest >= 1e4 else f".{decimals}f"
    return [(i * step, f"{i * step + 0.0:{form}}") for i in range(start, end + 1)]


_UNIT = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def _unit_scales() -> tuple[_Scale, _Scale]:
    return _Scale(0.0, 1.0, LEFT, WIDTH - RIGHT), _Scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)


def _unit_ticks(scale: _Scale) -> tuple[Tick, ...]:
    return tuple(Tick(scale(v), f"{v:.1f}") for v in _UNIT)


def _points(x: Sequence[float], y: Sequence[float], of_x: _Scale, of_y: _Scale) -> str:
    return " ".join(f"{of_x(a):g},{of_y(b):g}" for a, b in zip(x, y, strict=True))


def draw_curves(curves: Sequence[Facts], *, has_diagonal: bool) -> Figure | None:
    """ROC or precision-recall curves in the unit square.

    Parameters
    ----------
    curves : sequence of mapping
        Each with "label", "x", "y" and "area".
    has_diagonal : bool
        Whether guessing lies on the diagonal.

    Returns
    -------
    Figure or None
        None: there is no curve. Of more than four the ones with the smallest areas have a colour of their own.
    """
    if not curves:
        return None
    of_x, of_y = _unit_scales()
    worst = sorted(range(len(curves)), key=lambda i: curves[i]["area"])
    coloured = sorted(worst[:MAX_COLOURED])
    roles = {i: f"curve-{place + 1}" for place, i in enumerate(coloured)}
    lines = [
        Line(_points(c["x"], c["y"], of_x, of_y), roles.get(i, "background"), str(c["label"]), c["area"])
        for i, c in enumerate(curves)
    ]
    lines.sort(key=lambda line: line.role != "background")
    if has_diagonal:
        lines.insert(0, Line(_points([0, 1], [0, 1], of_x, of_y), "reference"))
    return Figure(_unit_ticks(of_x), _unit_ticks(of_y), tuple(lines), x_range=of_x.ends, y_range=of_y.ends)


def draw_calibration(facts: Facts | None) -> Figure | None:
    """Observed frequency against predicted probability, with intervals, and the diagonal of a perfect model."""
    if not facts or not facts["bins"]:
        return None
    of_x, of_y = _unit_scales()
    bins = facts["bins"]
    dots = tuple(
        Dot(of_x(b["predicted"]), of_y(b["observed"]), of_y(b["low"]), of_y(b["high"]), b) for b in facts["bins"]
    )
    lines = (
        Line(_points([0, 1], [0, 1], of_x, of_y), "reference"),
        Line(_points([b["predicted"] for b in bins], [b["observed"] for b in bins], of_x, of_y), "curve-1"),
    )
    return Figure(_unit_ticks(of_x), _unit_ticks(of_y), lines, dots, x_range=of_x.ends, y_range=of_y.ends)


def draw_residuals(bins: Sequence[Facts]) -> Figure | None:
    """Mean residual with its spread, by prediction, and the line of no bias."""
    if not bins:
        return None
    of_x = _scale([b["prediction"] for b in bins], LEFT, WIDTH - RIGHT)
    ends = [b["residual"] + side * b["std"] for b in bins for side in (-1, 1)]
    of_y = _scale([0.0, *ends], HEIGHT - BOTTOM, TOP)
    dots = tuple(
        Dot(
            of_x(b["prediction"]),
            of_y(b["residual"]),
            of_y(b["residual"] - b["std"]),
            of_y(b["residual"] + b["std"]),
            b,
        )
        for b in bins
    )
    zero = Line(_points([of_x.low, of_x.high], [0, 0], of_x, of_y), "reference")
    return Figure(of_x.ticks(), of_y.ticks(), (zero,), dots, x_range=of_x.ends, y_range=of_y.ends)


def draw_quantiles(pairs: Sequence[Sequence[float]]) -> Figure | None:
    """Standardised residuals against normal quantiles, and the diagonal of normal residuals."""
    if not pairs:
        return None
    x, y = [p[0] for p in pairs], [p[1] for p in pairs]
    of_x, of_y = _scale(x, LEFT, WIDTH - RIGHT), _scale([*x, *y], HEIGHT - BOTTOM, TOP)
    ends = [of_x.low, of_x.high]
    lines = (Line(_points(ends, ends, of_x, of_y), "reference"), Line(_points(x, y, of_x, of_y), "curve-1"))
    return Figure(of_x.ticks(), of_y.ticks(), lines, x_range=of_x.ends, y_range=of_y.ends)


def draw_histogram(counts: Sequence[int]) -> Figure | None:
    """Counts in equal steps from 0 to 1."""
    if not any(counts):
        return None
    of_x = _Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    of_y = _Scale(0.0, max(counts) * 1.04, HEIGHT - BOTTOM, TOP)
    step = 1 / len(counts)
    boxes = tuple(
        Box(
            of_x(i * step) + 1,
            of_y(n),
            round(of_x(step) - of_x(0) - 2, 2),
            round(of_y(0) - of_y(n), 2),
            {"low": round(i * step, 6), "high": round((i + 1) * step, 6), "n": n},
        )
        for i, n in enumerate(counts)
    )
    whole = tuple(t for t in of_y.ticks() if "." not in t.label)
    return Figure(_unit_ticks(of_x), whole, boxes=boxes)


def draw_bars(
    means: Sequence[float],
    intervals: Sequence[tuple[float | None, float | None]] | None = None,
    at_least: float = 0.0,
) -> list[Bar]:
    """Bars on one scale that holds 0 and all intervals.

    Parameters
    ----------
    means : sequence of float
        Lengths; negative ones go to the left of 0.
    intervals : sequence of (low, high), optional
        Ends of an interval around each; None where there is none.
    at_least : float, default=0.0
        What the scale reaches in any case.

    Returns
    -------
    list of Bar
        One per mean.
    """
    if intervals is None:
        intervals = [(None, None)] * len(means)
    ends = [v for pair in intervals for v in pair if v is not None]
    low, high = min([0.0, *means, *ends]), max([at_least, *means, *ends])
    scale = _Scale(low, high if high > low else low + 1.0, 0.0, BAR_WIDTH)
    zero = scale(0.0)
    return [
        Bar(
            min(scale(mean), zero),
            round(abs(scale(mean) - zero), 2),
            zero,
            *(None if end is None else scale(end) for end in pair),
        )
        for mean, pair in zip(means, intervals, strict=True)
    ]


def draw_strip(
    value: float, baseline: float | None, low: float | None, high: float | None, optimistic: float | None
) -> Strip:
    """A score, its interval, the baseline and the optimistic score side by side on one line."""
    scale = _scale([v for v in (value, baseline, low, high, optimistic) if v is not None], 0.0, BAR_WIDTH, margin=0.08)

    def place(figure: float | None) -> float | None:
        return None if figure is None else scale(figure)

    width = 0.0 if low is None or high is None else round(scale(high) - scale(low), 2)
    return Strip(scale(value), place(baseline), place(low), width, place(optimistic), scale.ticks(4))


def draw_profit(facts: Facts | None) -> Figure | None:
    """Profit by the share of rows targeted, with what the model does (the first dot) and the best there is."""
    if not facts:
        return None
    of_x = _Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    points = [("in use: threshold", facts["chosen"]), ("best: threshold", facts["best"])]
    of_y = _scale([0.0, *facts["profit"], *(p["profit"] for _, p in points)], HEIGHT - BOTTOM, TOP)
    dots = []
    for words, point in points:
        y = of_y(point["profit"])
        told = {words: point["threshold"], "share": point["share"], "profit": point["profit"]}
        dots.append(Dot(of_x(point["share"]), y, y, y, told))
    lines = (
        Line(_points([0, 1], [0, 0], of_x, of_y), "reference"),
        Line(_points(facts["share"], facts["profit"], of_x, of_y), "curve-1"),
    )
    return Figure(_unit_ticks(of_x), of_y.ticks(), lines, tuple(dots), x_range=of_x.ends, y_range=of_y.ends)


#: Scenarios whose levels lie on one axis.
_DECAYS = ("noise", "missing", "unseen")


def draw_decay(facts: Facts | None) -> Figure | None:
    """The score by how much rows were spoilt, one line per scenario, and the baseline's.

    Parameters
    ----------
    facts : mapping or None
        `Robustness`, in plain types.

    Returns
    -------
    Figure or None
        None where nothing was measured.
    """
    if not facts or facts["score"] is None:
        return None
    series = {}
    for name in _DECAYS:
        points = [(p["level"], p["score"]) for p in facts["points"] if p["scenario"] == name]
        if points and all(score is not None for _, score in points):
            series[name] = [(0.0, facts["score"]), *points]
    if not series:
        return None
    baseline = facts["baseline"]
    levels = [level for points in series.values() for level, _ in points]
    scores = [score for points in series.values() for _, score in points] + ([] if baseline is None else [baseline])
    of_x = _scale(levels, LEFT, WIDTH - RIGHT, margin=0.0)
    of_y = _scale(scores, HEIGHT - BOTTOM, TOP)
    lines = [
        Line(_points([x for x, _ in points], [y for _, y in points], of_x, of_y), f"curve-{i + 1}", name, points[-1][1])
        for i, (name, points) in enumerate(series.items())
    ]
    if baseline is not None:
        ends = [of_x.low, of_x.high]
        lines.insert(0, Line(_points(ends, [baseline, baseline], of_x, of_y), "reference", "baseline", baseline))
    return Figure(of_x.ticks(), of_y.ticks(), tuple(lines), x_range=of_x.ends, y_range=of_y.ends)


def draw_learning_curve(facts: Facts | None) -> Figure | None:
    """The score by number of training rows, and what twice the rows are expected to bring.

    Parameters
    ----------
    facts : mapping or None
        `LearningCurve`, in plain types.

    Returns
    -------
    Figure or None
        None where nothing was measured.
    """
    points = [(p["n_rows"], p["score"]) for p in (facts or {}).get("points") or () if p["score"] is not None]
    if facts is None or len(points) < 2:
        return None
    ahead = facts["at_twice"]
    ends = [] if ahead is None else [ahead, facts["at_twice_low"], facts["at_twice_high"]]
    of_x = _scale([0.0, *(x for x, _ in points), *([facts["twice"]] if ends else [])], LEFT, WIDTH - RIGHT)
    of_y = _scale([*(y for _, y in points), *ends], HEIGHT - BOTTOM, TOP)
    lines = [Line(_points([x for x, _ in points], [y for _, y in points], of_x, of_y), "curve-1")]
    dots = [Dot(of_x(x), of_y(y), of_y(y), of_y(y), {"rows": x, "score": y}) for x, y in points]
    if ends:
        far = [points[-1][0], facts["twice"]]
        lines.append(Line(_points(far, [points[-1][1], ahead], of_x, of_y), "reference"))
        said = {"rows": facts["twice"], "expected": ahead, "low": facts["at_twice_low"], "high": facts["at_twice_high"]}
        dots.append(Dot(of_x(facts["twice"]), of_y(ahead), of_y(said["low"]), of_y(said["high"]), said))
    return Figure(of_x.ticks(4), of_y.ticks(), tuple(lines), tuple(dots), x_range=of_x.ends, y_range=of_y.ends)


#: Trials that are worse than this many times the distance from the best to the median are drawn at the edge.
_FAR = 3.0


def draw_search(history: Sequence[Facts], sign: float) -> Figure | None:
    """Scores of the trials in their order, and the best so far.

    Parameters
    ----------
    history : sequence of mapping
        Steps of a search, scores greater for better ones.
    sign : float
        -1 where the natural form of the score is a loss.

    Returns
    -------
    Figure or None
        None where fewer than two trials have a score. Much worse trials than most, and those without a score, are drawn
        at the edge of the worse ones.
    """
    scores = sorted(step["score"] for step in history if step["score"] is not None)
    if len(scores) < 2:
        return None
    best, median = scores[-1], scores[len(scores) // 2]
    worst = max(scores[0], best - _FAR * (best - median)) if best > median else scores[0]
    of_x = _scale([0.0, float(len(history) - 1)], LEFT, WIDTH - RIGHT)
    of_y = _scale([sign * worst, sign * best], HEIGHT - BOTTOM, TOP, margin=0.08)
    edge = of_y(sign * worst)
    dots, bests = [], []
    for i, step in enumerate(history):
        is_near = step["score"] is not None and step["score"] >= worst
        y = of_y(sign * step["score"]) if is_near else edge
        told = {"model": step["model"], "score": None if step["score"] is None else sign * step["score"]}
        role = step["source"] if is_near else "beyond" if step["score"] is not None else "none"
        dots.append(
            Dot(of_x(float(i)), y, y, y, {**told, "status": step["status"], "after, s": step["started_s"]}, role)
        )
        if step["best"] is not None and step["best"] >= worst:
            bests.append((float(i), sign * step["best"]))
    line = Line(
        _points([x for x, _ in bests], [y for _, y in bests], of_x, of_y), "curve-2", "best so far", bests[-1][1]
    )
    whole = tuple(t for t in of_x.ticks() if "." not in t.label)
    return Figure(whole, of_y.ticks(), (line,), tuple(dots), x_range=of_x.ends, y_range=of_y.ends)


def draw_training(facts: Facts) -> Figure:
    """Validation loss by round, and the round that is used."""
    rounds, losses = [float(n) for n in facts["rounds"]], facts["losses"]
    of_x = _scale([0.0, *rounds], LEFT, WIDTH - RIGHT, margin=0.02)
    of_y = _scale(losses, HEIGHT - BOTTOM, TOP)
    used = float(facts["n_rounds"])
    lines = (
        Line(_points([used, used], list(of_y.ends), of_x, of_y), "reference", "rounds in use", used),
        Line(_points(rounds, losses, of_x, of_y), "curve-1", "loss", losses[-1]),
    )
    return Figure(of_x.ticks(4), of_y.ticks(4), lines, x_range=of_x.ends, y_range=of_y.ends)


def places_on_curves(hits: Sequence[float], alarms: Sequence[float], precisions: Sequence[float]) -> list[list[float]]:
    """Where shares lie on the drawings of `draw_curves`: x and y of the ROC curve, then of precision and recall.

    Parameters
    ----------
    hits, alarms, precisions : sequence of float
        True positive rate, false positive rate and precision of each point.

    Returns
    -------
    list of [x, y, x, y]
        One per point.
    """
    of_x, of_y = _unit_scales()
    return [[of_x(a), of_y(h), of_x(h), of_y(p)] for h, a, p in zip(hits, alarms, precisions, strict=True)]


#: Letters of a text below an axis.
_MAX_LETTERS = 12


@dataclass(frozen=True)
class Patch:
    """A rectangle of a surface; `shade` from 0 to 1, `role` is "fill-1" … "fill-4"."""

    x: float
    y: float
    width: float
    height: float
    shade: float
    role: str
    facts: Facts


@dataclass(frozen=True)
class Surface:
    """A figure of patches, with the ends of its scale.

    Parameters
    ----------
    figure : Figure
        Axes and ticks.
    patches : tuple of Patch
        Row by row.
    low, high : float
        Values of the lightest and the darkest patch.
    labels : tuple of (str, str)
        Role and class of each colour; empty for one colour.
    """

    figure: Figure
    patches: tuple[Patch, ...]
    low: float
    high: float
    labels: tuple[tuple[str, str], ...] = ()


def draw_dependence(facts: Facts, outputs: Sequence[str]) -> Figure:
    """Mean predictions over the values of one column, and those of single rows behind them.

    Parameters
    ----------
    facts : mapping
        A column of partial dependence.
    outputs : sequence of str
        What the means are of. Single rows are drawn where there is one output only.

    Returns
    -------
    Figure
        Lines.
    """
    means = facts["mean"][:MAX_COLOURED]
    lines = facts["lines"] if len(means) == 1 else []
    of_x = _scale(facts["at"], LEFT, WIDTH - RIGHT)
    of_y = _scale([v for line in [*means, *lines] for v in line], HEIGHT - BOTTOM, TOP)
    drawn = [Line(_points(facts["at"], line, of_x, of_y), "background") for line in lines]
    drawn += [
        Line(_points(facts["at"], mean, of_x, of_y), f"curve-{i + 1}", str(output), mean[-1])
        for i, (mean, output) in enumerate(zip(means, outputs, strict=False))
    ]
    return Figure(
        _value_ticks(facts["values"], facts["at"], of_x),
        of_y.ticks(),
        tuple(drawn),
        x_range=of_x.ends if _are_numbers(facts["values"]) else None,
        y_range=of_y.ends,
    )


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _value_ticks(values: Sequence[Any], at: Sequence[float], scale: _Scale) -> tuple[Tick, ...]:
    """Round figures for numbers; for texts and dates some of the values themselves."""
    if _are_numbers(values):
        return scale.ticks(4)
    step = -(-len(values) // 4)
    return tuple(Tick(scale(a), _brief(v)) for v, a in list(zip(values, at, strict=True))[::step])


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return ordinal(value)
    text = "missing" if value is None else str(value)
    return text if len(text) <= _MAX_LETTERS else text[: _MAX_LETTERS - 1] + "…"


def draw_surface(facts: Facts) -> Surface:
    """Predictions over two columns as patches, dark where they are large; classes of several have colours.

    Parameters
    ----------
    facts : mapping
        The decision boundary.

    Returns
    -------
    Surface
        Patches from the lower left to the upper right, equally wide: places on the axes are ranks.
    """
    x, y, values = facts["x"], facts["y"], facts["values"]
    of_x, of_y = _Scale(0.0, len(x), LEFT, WIDTH - RIGHT), _Scale(0.0, len(y), HEIGHT - BOTTOM, TOP)
    low, high = min(map(min, values)), max(map(max, values))
    width, height = round(of_x(1) - of_x(0), 2), round(of_y(0) - of_y(1), 2)
    names = sorted({label for line in facts["labels"] for label in line}) if not facts["output"] else []
    roles = {name: f"fill-{i % MAX_COLOURED + 1}" for i, name in enumerate(names)}
    patches = []
    for j, line in enumerate(values):
        for i, value in enumerate(line):
            label = facts["labels"][j][i] if facts["labels"] else ""
            patches.append(
                Patch(
                    of_x(i),
                    of_y(j + 1),
                    width,
                    height,
                    round(0.1 + 0.9 * (value - low) / (high - low), 3) if high > low else 0.5,
                    roles.get(label, "fill-1"),
                    {"x": _brief(x[i]), "y": _brief(y[j]), "value": value, "label": label},
                )
            )
    figure = Figure(_rank_ticks(x, of_x), _rank_ticks(y, of_y))
    return Surface(figure, tuple(patches), low, high, tuple((roles[n], n) for n in names))


def _rank_ticks(values: Sequence[Any], scale: _Scale) -> tuple[Tick, ...]:
    """Some of the values, below the middle of their patches."""
    step = -(-len(values) // 4)
    return tuple(Tick(scale(i + 0.5), _brief(values[i])) for i in range(0, len(values), step))
