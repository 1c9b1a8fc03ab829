"""An experiment as a declaration: what network, which cases, what happens when."""

from __future__ import annotations

from dataclasses import dataclass, field

from topologies.domain import Domain

DRAIN = 2.0
"""How long captures go on once a scenario has ended, in s."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream of numbered UDP packets from one host to another.

    ``start`` and ``duration`` in s of scenario time, ``rate`` in packets/s, ``size`` in bytes of UDP payload.
    """

    source: str
    destination: str
    start: float
    duration: float
    rate: float = 100.0
    size: int = 100

    @property
    def packets(self) -> int:
        """How many packets it sends."""
        return round(self.duration * self.rate)


@dataclass(frozen=True, slots=True)
class Move:
    """A handover: at ``at`` s the node ``mn`` leaves its MAG and, ``l2_gap`` s later, is attached to ``to``.

    ``notice`` s before it leaves, its link layer tells the MAG where it goes (RFC 5949, 4.1); 0 for a move without notice.
    """

    at: float
    mn: str
    to: str
    l2_gap: float = 0.05
    notice: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, in s from the scenario's zero; the run ends at ``duration``."""

    duration: float
    flows: tuple[Flow, ...] = ()
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One scheme under one handover policy, with protocol settings of its own by dotted name.

    ``variant`` names what sets the case apart from another of the same scheme and policy; files call the case by ``label``.
    """

    scheme: str
    policy: str
    settings: dict[str, str] = field(default_factory=dict)
    variant: str = ""

    @property
    def label(self) -> str:
        """The policy, with the variant behind a plus sign where there is one; the ``policy`` column of every table."""
        return f"{self.policy}+{self.variant}" if self.variant else self.policy


@dataclass(frozen=True, slots=True)
class Experiment:
    """A catalogue entry.

    Attributes:
        name: what the command line calls it.
        title: one line.
        question: what it proves, in a sentence or two, for the report.
        domain: the network.
        cases: what is compared.
        scenario: what is done to each of them.
        figures: which figures the report draws (names of experiments.present.plots and experiments.present.ladder).
    """

    name: str
    title: str
    question: str
    domain: Domain
    cases: tuple[Case, ...]
    scenario: Scenario
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One emulation: everything that a guest is told and that an analysis needs to know; kept as run.json beside the captures.

    ``settings`` are the agents' settings by dotted name, as given; ``epoch`` is the scenario's zero in ns since 1970.
    """

    experiment: str
    domain: Domain
    case: Case
    scenario: Scenario
    number: int
    seed: int
    engine: str
    settings: dict[str, str] = field(default_factory=dict)
    epoch: int = 0
