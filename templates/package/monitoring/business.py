"""What errors and hits are worth, as config.json has it from `business=`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REVENUE = "revenue"


@dataclass(frozen=True)
class Worth:
    """Costs and revenue of single predictions.

    Parameters
    ----------
    task : str
        What is predicted.
    positive : int
        Code of the positive class.
    currency : str
        Name of the unit of money.
    costs : sequence of sequence of float or None
        Cost by true class (row) and predicted class (column).
    revenue : float or None
        Earned by each row of the positive class that is found.
    over, under : float or None
        Cost of one unit too much, and of one too little.
    kpis : tuple of str
        KPIs that feedback may give amounts for.
    """

    task: str
    positive: int = 1
    currency: str = ""
    costs: Any = None
    revenue: float | None = None
    over: float | None = None
    under: float | None = None
    kpis: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any], more_kpis: tuple[str, ...] = ()) -> Worth:
        """Read config.json; `more_kpis` are those of the settings."""
        given = config.get("business") or {}
        named = [
            *given.get("custom_kpis", ()),
            *(k for k in given.get("columns", ()) if k in ("clicks", "conversions")),
        ]
        return cls(
            task=config["task"],
            positive=int(config.get("positive", 1)),
            currency=str(given.get("currency", "")),
            costs=given.get("cost_matrix"),
            revenue=given.get("revenue_per_unit"),
            over=given.get("cost_per_unit_over"),
            under=given.get("cost_per_unit_under"),
            kpis=tuple(dict.fromkeys(name for name in [*named, *more_kpis] if name != REVENUE)),
        )

    @property
    def counted(self) -> tuple[str, ...]:
        """KPIs that are counted: those of feedback, and the revenue where it follows from the truth."""
        return self.kpis if self.revenue is None else (*self.kpis, REVENUE)

    @property
    def priced(self) -> tuple[str, ...]:
        """Kinds of errors that cost something."""
        if self.over is not None or self.under is not None:
            return ("over", "under")
        if self.costs is None:
            return ()
        return ("fp", "fn") if self.task == "binary" else ("error",)

    def error(self, code: int, truth: int) -> str | None:
        """Kind of an error, or None if it is none."""
        if code == truth:
            return None
        if self.task != "binary":
            return "error"
        return "fp" if code == self.positive else "fn"

    def cost(self, code: int, truth: int) -> float | None:
        """Cost of an error; None: nobody has said."""
        return None if self.costs is None else max(float(self.costs[truth][code]), 0.0)

    def cost_of_value(self, value: float, truth: float) -> tuple[str, float] | None:
        """Kind and cost of an error in a value; None: nobody has said."""
        if (self.over is None and self.under is None) or value == truth:
            return None
        if value > truth:
            return "over", (self.over or 0.0) * (value - truth)
        return "under", (self.under or 0.0) * (truth - value)

    def earned(self, code: int, truth: int) -> float | None:
        """Revenue of a hit; None: none, or nobody has said."""
        is_hit = code == truth == self.positive
        return self.revenue if self.revenue is not None and self.task == "binary" and is_hit else None
