"""Findings: what was noticed about the data or the run, as values with a code and advice, never as errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "serious"]
_ORDER: dict[str, int] = {"serious": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Finding:
    """One thing a user should know.

    Parameters
    ----------
    code : str
        Stable name in snake case, the same in log, card and tests.
    severity : {"info", "warning", "serious"}
        How much it may change what the model is worth.
    message : str
        What was seen, in one sentence with its figures.
    advice : str
        What to do about it.
    columns : tuple of str
        Names of the input columns concerned.
    """

    code: str
    severity: Severity
    message: str
    advice: str
    columns: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "columns": list(self.columns)}


def sort_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Gravest first, in the order they were found otherwise."""
    return tuple(sorted(findings, key=lambda f: _ORDER[f.severity]))
