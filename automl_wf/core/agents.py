"""The roles of the workflow: who leads and who supports each stage, and what each of them decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

#: Lead and support of each stage, as the workflow's author cast them.
CAST: dict[str, tuple[str, str | None]] = {
    "problem_definition": ("Insight Generator", "Statistical Analyst"),
    "data_preparation": ("Data Explorer", "ML Engineer"),
    "feature_engineering": ("ML Engineer", "Statistical Analyst"),
    "model_selection": ("ML Engineer", None),
    "bayesian_hpo": ("ML Engineer", "Statistical Analyst"),
    "evaluation": ("ML Engineer", "Statistical Analyst"),
    "interpretation": ("Insight Generator", "ML Engineer"),
    "deployment": ("ML Engineer", "Insight Generator"),
}


@dataclass(frozen=True)
class Decision:
    """What a stage decided.

    Parameters
    ----------
    stage : str
        Where it was decided.
    decision : str
        What.
    reason : str
        Why.
    fact : str
        The measured or given fact behind the reason.
    """

    stage: str
    decision: str
    reason: str
    fact: str

    @property
    def agent(self) -> str:
        """Who leads the stage, and so answers for the decision."""
        return CAST[self.stage][0]

    def to_dict(self) -> dict[str, str]:
        """Plain JSON types."""
        return {**asdict(self), "agent": self.agent}


@dataclass(frozen=True)
class Agent:
    """A role.

    Parameters
    ----------
    name : str
        As the workflow's author calls it.
    leads, supports : tuple of str
        Stages.
    decisions : tuple of Decision
        What was decided in the stages that it leads.
    """

    name: str
    leads: tuple[str, ...]
    supports: tuple[str, ...]
    decisions: tuple[Decision, ...] = ()


def cast(decisions: Iterable[Decision] = ()) -> dict[str, Agent]:
    """The roles by name.

    Parameters
    ----------
    decisions : iterable of Decision
        What has been decided so far.

    Returns
    -------
    dict of str to Agent
        In the order of their first stage.

    Examples
    --------
    >>> list(cast())
    ['Insight Generator', 'Statistical Analyst', 'Data Explorer', 'ML Engineer']
    >>> cast()["Data Explorer"].leads
    ('data_preparation',)
    """
    made = tuple(decisions)
    names = dict.fromkeys(name for roles in CAST.values() for name in roles if name is not None)
    return {
        name: Agent(
            name,
            tuple(stage for stage, (lead, _) in CAST.items() if lead == name),
            tuple(stage for stage, (_, support) in CAST.items() if support == name),
            tuple(decision for decision in made if decision.agent == name),
        )
        for name in names
    }
