"""A table of awkward columns and as many random rows as wanted: all kinds and writings, gaps, cells that no fit saw."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Draw = Callable[[np.random.Generator, int], Any]
#: Share of missing cells, and of cells that are odd where odd ones are asked for.
GAPS, ODD = 0.04, 0.08
_POOL = 1_000
_FIRST_DAY, _DAYS = np.datetime64("2019-01-01", "us"), 2_500
_US_PER_DAY = 86_400_000_000
_TEXTS = (
    "",
    "  ",
    "never seen before",
    "ΑΒΓ ß ﬁ",
    "東京 🦜",
    "nan",
    "  Oslo\t",
    "~",
    "w1~w2 W3!",
    'a"b{c}[d]',
    "'; drop table x; --",
    "x" * 300,
    "a\nb",
    "1.50",
)
_NUMBERS = (np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, -1.0, 1e15 + 0.5, 1e-12)


@dataclass(frozen=True)
class Column:
    """How cells of one column are drawn.

    Parameters
    ----------
    draw : callable
        `draw(rng, n)`: ordinary cells.
    odd : tuple
        Cells that no fit saw; of the column's own dtype, or the column becomes one of objects.
    has_gaps : bool
        Whether cells may be missing.
    """

    draw: Draw
    odd: tuple[Any, ...] = ()
    has_gaps: bool = True


def zoo(n_rows: int, seed: int, *, is_odd: bool) -> pd.DataFrame:
    """Random rows.

    Parameters
    ----------
    n_rows : int
        How many.
    seed : int
        Seed of the rows; what is drawn from does not depend on it.
    is_odd : bool
        Whether cells that no fit saw are among them.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
    """
    rng = np.random.default_rng(seed)
    cells: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        values = pd.Series(column.draw(rng, n_rows))
        odd = np.flatnonzero(rng.random(n_rows) < ODD) if is_odd and column.odd else np.empty(0, dtype=np.intp)
        gaps = rng.random(n_rows) < GAPS
        if len(odd):
            values = _with_odd(values, odd, column.odd, rng)
        cells[name] = values.mask(gaps) if column.has_gaps else values
    frame = pd.DataFrame(cells)
    # A copy on another scale: its logarithm differs in the last bits only.
    frame["income in another currency"] = frame["income"] * 11.3
    return frame


def target(frame: pd.DataFrame) -> pd.Series:
    """Classes that some columns of each kind tell something of."""
    signal = (
        frame["normal"].replace([np.inf, -np.inf], 0.0).fillna(0.0)
        + 2.0 * (frame["city"] == "東京")
        + frame["remarks"].fillna("").astype(str).str.contains("w1 ")
        + frame["when"].dt.month.fillna(6) / 6
        + frame["income"].rank(pct=True).fillna(0.5) * frame["unit interval"].fillna(0.5)
    )
    return (signal > signal.median()).map({True: "yes", False: "no"})


def _with_odd(values: pd.Series, rows: np.ndarray, odd: tuple[Any, ...], rng: np.random.Generator) -> pd.Series:
    chosen = [odd[i] for i in rng.integers(0, len(odd), len(rows))]
    if values.dtype.kind in "fimM":
        values = values.copy()
        values.iloc[rows] = pd.Series(chosen, dtype=values.dtype).array
        return values
    mixed = values.astype(object).to_numpy(copy=True)
    for row, cell in zip(rows, chosen, strict=True):
        mixed[row] = cell
    return pd.Series(mixed, dtype=object)


def _numbers(draw: Draw, *more: float) -> Column:
    return Column(draw, (*_NUMBERS, *more))


def _written(write: Callable[[float], str], low: float, high: float, *odd: Any) -> Column:
    """Numbers written as text."""
    pool = np.array([write(v) for v in np.random.default_rng(0).uniform(low, high, _POOL)], dtype=object)
    return Column(lambda rng, n: rng.choice(pool, n), (*odd, "n/a", "", "12", "12.5"))


def _one_of(*values: Any, odd: tuple[Any, ...] = _TEXTS) -> Column:
    pool = np.empty(len(values), dtype=object)
    pool[:] = values
    return Column(lambda rng, n: rng.choice(pool, n), odd)


def _instants(rng: np.random.Generator, n: int) -> np.ndarray:
    return _FIRST_DAY + rng.integers(0, _DAYS * _US_PER_DAY, n).astype("timedelta64[us]")


def _dates(pattern: str, *odd: Any) -> Column:
    """Dates written as text."""
    days = pd.date_range(_FIRST_DAY, periods=_POOL, freq="79h").strftime(pattern).to_numpy(dtype=object)
    return Column(lambda rng, n: rng.choice(days, n), (*odd, "", "n/a", None))


def _zoned(zone: str) -> Column:
    days = ("1905-01-01", "1969-12-31T23:59:59.999999", "2024-03-31T00:59:59", "2024-10-27T01:30:00", "2150-07-01")
    odd = tuple(pd.Timestamp(day, tz="UTC").tz_convert(zone) for day in days)
    return Column(lambda rng, n: pd.Series(_instants(rng, n)).dt.tz_localize("UTC").dt.tz_convert(zone), odd)


def _sentences(n_words: int, least: int, most: int, between: str) -> Column:
    rng = np.random.default_rng(1)
    words = np.array([*(f"w{i}" for i in range(n_words)), "naïve", "東京", "straße"])
    share = 1 / np.arange(1, len(words) + 1)
    pool = [between.join(rng.choice(words, rng.integers(least, most), p=share / share.sum())) for _ in range(_POOL)]
    texts = np.array(pool, dtype=object)
    return Column(lambda rng, n: rng.choice(texts, n), _TEXTS)


def _german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


COLUMNS: dict[str, Column] = {
    # Numbers
    "normal": _numbers(lambda rng, n: rng.normal(size=n)),
    "unit interval": _numbers(lambda rng, n: rng.uniform(size=n)),
    "income": _numbers(lambda rng, n: rng.lognormal(10, 1.5, n)),
    "heavy tail": _numbers(lambda rng, n: rng.standard_cauchy(n)),
    "tiny": _numbers(lambda rng, n: 1e-290 * rng.normal(size=n)),
    "huge": _numbers(lambda rng, n: 1e290 * rng.normal(size=n)),
    "few": _numbers(lambda rng, n: rng.integers(0, 4, n).astype(float)),
    "mostly zero": _numbers(lambda rng, n: rng.poisson(0.05, n).astype(float)),
    "epoch": Column(lambda rng, n: 1_700_000_000 + rng.integers(0, 10**8, n), (0, -1, 2**53 + 1), False),
    "nullable": Column(lambda rng, n: pd.array(rng.integers(0, 50, n), dtype="Int64"), (-7, 10**15, pd.NA)),
    "float32": _numbers(lambda rng, n: rng.normal(size=n).astype(np.float32).astype(np.float64)),
    "durations": Column(lambda rng, n: pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"), (dt.timedelta(-3),)),
    "mileage": _written(lambda v: f"{v:.1f} kmpl", 8, 30, "-5 kmpl", "9e300 kmpl", "１２.5 KMPL", 12, 12.5, np.inf),
    "percent": _written(lambda v: f"{v:.1f}%", 0, 99, "0%", "1000000%", "-5 %"),
    "dollars": _written(lambda v: f"${v:,.2f}", 1, 90_000, "($5.00)", "-$1,000", "$0", "$ 7"),
    "euros": _written(lambda v: f"{_german(v)} €", 1, 90_000, "0,5 €", "-1.000 €"),
    "accounting": _written(lambda v: f"({v:,.2f})" if v > 4500 else f"{v:,.2f}", 1, 9_000, "(0.01)", "+3"),
    "Swiss": _written(lambda v: f"{int(v):,}".replace(",", "'"), 1_000, 9_999_999, "-1'000"),
    "decimal comma": _written(lambda v: f"{v:.1f}".replace(".", ","), 0, 99, ",5", "-3,25"),
    "magnitudes": _written(lambda v: f"{v:.1f}{'kM'[int(v) % 2]}", 1, 900, "3", "0.5k", "-1M"),
    "temperature": _written(lambda v: f"{v:.1f}°C", -40, 40, "-273.15°C", "0 °c"),
    "decimals as text": _written(lambda v: f"{v:.2f}", 0, 9, " 1e300 ", "-0"),
    # Booleans
    "bool": Column(lambda rng, n: rng.random(n) < 0.3, (None, 0.5, "yes"), False),
    "yes and no": _one_of("Yes", "no", odd=("N", "t", "OFF", 1, "")),
    # Categories and text
    "city": _one_of("Oslo", "Zürich", "São Paulo", "東京", "New York", "ﬁn"),
    "plan": Column(lambda rng, n: pd.Categorical(rng.choice(["free", "pro", "team"], n)), _TEXTS),
    "zip codes": _one_of(*(f"{i:05d}" for i in range(40)), odd=("99999", 17, 17.0, "")),
    "many levels": _one_of(*(f"l{i:04d}" for i in range(2_000))),
    "several types": _one_of(1, "a", 2.5, True, b"x"),
    "emoji": _one_of("🙂", "🙁", "👩‍👩‍👧"),
    "rare": Column(lambda rng, n: np.where(rng.random(n) < 0.999, "usual", "rare").astype(object), _TEXTS),
    "constant": _one_of("same"),
    "remarks": _sentences(400, 0, 9, " "),
    "tags": _sentences(60, 1, 6, "|"),
    "identifier": Column(lambda rng, n: [f"k{v:x}" for v in rng.integers(0, 2**62, n)], _TEXTS, False),
    # Dates and times
    "when": Column(
        _instants,
        tuple(np.datetime64(t, "us") for t in ("0001-01-01", "1969-12-31T23:59:59.999999", "2100-02-28", "9999-12-31")),
    ),
    "Berlin": _zoned("Europe/Berlin"),
    "Kathmandu": _zoned("Asia/Kathmandu"),
    "ISO": _dates("%Y-%m-%dT%H:%M:%S", "2024-02-29", "2024-02-29T23:00:00+05:30", "1900-03-01"),
    "month names": _dates("%d-%b-%Y", "29-feb-2000", " 01-Jan-1900 ", "31-Dec-9999"),
    "months": _dates("%b-%y", "Feb-68", "Jan-69"),
    "American": _dates("%m/%d/%Y", "02/29/2000", "1/2/0003"),
    "compact": Column(
        lambda rng, n: 20_200_000 + 100 * rng.integers(1, 13, n) + rng.integers(1, 29, n), (20991231, 19000101), False
    ),
    "clock": _dates("%H:%M", "00:00", "23:59"),
    # Names
    "label": _one_of("a", "b"),
    "features": _numbers(lambda rng, n: rng.normal(size=n)),
    "": _numbers(lambda rng, n: rng.normal(size=n)),
    "_1": _one_of("a", "b"),
    'ä "{}" ': _one_of("a", "b"),
    "all missing": Column(lambda rng, n: np.full(n, np.nan), (1.5,)),
}
