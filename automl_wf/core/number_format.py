"""How figures are written for people: in pages, findings and on axes alike."""

from __future__ import annotations

import math


def number(value: float | int | bool | None) -> str:
    """A figure for people: four significant digits, or whole and with thousands separated from 1,000 on.

    Examples
    --------
    >>> number(0.123456), number(9180.4), number(16_979), number(True), number(None)
    ('0.1235', '9,180', '16,979', 'yes', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"


def ordinal(value: float | int | None) -> str:
    """A figure that counts nothing (a seed, a year, an end of a column's range): as `number`, without separators.

    Examples
    --------
    >>> ordinal(1872.0), ordinal(1_398_844_612), ordinal(-93.693153)
    ('1872', '1398844612', '-93.69')
    """
    return number(value).replace(",", "")
