"""An experiment as a declaration: what network, which cases, what happens when."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from experiments.declare.declarations import FORMAT
from topologies.domain import Domain
from topologies.timing import SECOND, nanoseconds

DRAIN = 2.0
"""How long captures go on once a scenario has ended, in s."""

FAILED = "dmmlab: failed: "
"""How the line begins in which an emulation says on its console why it failed."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream of numbered UDP packets from one host to another.

    ``start`` and ``duration`` in s of scenario time, ``rate`` in packets/s, ``size`` in bytes of UDP payload. At the default rate no
    whole number of intervals is a sum of links' delays in whole ms, so no two packets that took different ways come to a node together.
    """

    source: str
    destination: str
    start: float
    duration: float
    rate: float = 97.0
    size: int = 100

    @property
    def packets(self) -> int:
        """How many packets it sends."""
        return round(self.duration * self.rate)

    def sent_at(self, sequence: int) -> int:
        """When it sends a packet, in ns from the scenario's zero."""
        return nanoseconds(self.start) + round(sequence * (SECOND / self.rate))


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


def _check(at: float, end: float, *probabilities: float) -> None:
    if not 0 <= at < end:
        raise ValueError(f"a fault begins at 0 s or later and ends after that, not at {at:g} and {end:g} s")
    for value in probabilities:
        if not 0 <= value <= 1:
            raise ValueError(f"a probability is from 0 to 1, not {value:g}")


class Kill(msgspec.Struct, frozen=True, tag=True):
    """At ``at`` s the agent of ``node`` ends by SIGKILL, its kernel state stays, and another starts at ``end`` s."""

    node: str
    at: float
    end: float

    def __post_init__(self) -> None:
        _check(self.at, self.end)

    @property
    def on(self) -> tuple[str, ...]:
        """The nodes that it names."""
        return (self.node,)


class Impairment(msgspec.Struct, frozen=True, tag=True):
    """From ``at`` to ``end`` s the Mobility Header messages that ``nodes`` (agents; every one where empty) send into the core suffer.

    ``loss``, ``duplicate`` and ``reorder`` are probabilities, ``delay`` is in s: each message is delayed by so much, but the part
    ``reorder`` of them not at all, so that it overtakes others. Data packets are let alone, encapsulated or not.
    """

    at: float
    end: float
    nodes: tuple[str, ...] = ()
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        _check(self.at, self.end, self.loss, self.duplicate, self.reorder)

    @property
    def on(self) -> tuple[str, ...]:
        """The nodes that it names."""
        return self.nodes


class Partition(msgspec.Struct, frozen=True, tag=True):
    """From ``at`` to ``end`` s nothing of the agent's node ``a`` reaches ``b``, and nothing of ``b`` reaches ``a``; all else does."""

    a: str
    b: str
    at: float
    end: float

    def __post_init__(self) -> None:
        _check(self.at, self.end)

    @property
    def on(self) -> tuple[str, ...]:
        """The nodes that it names."""
        return (self.a, self.b)


class WrongClock(msgspec.Struct, frozen=True, tag=True):
    """The clock of ``node`` is ``seconds`` ahead until, at ``end`` s, it is set right and the agent starts anew.

    An agent reads the clock once, when it starts, and so takes the right time only then; its node should serve nobody at first.
    """

    node: str
    seconds: float
    end: float

    def __post_init__(self) -> None:
        _check(0.0, self.end)

    @property
    def on(self) -> tuple[str, ...]:
        """The nodes that it names."""
        return (self.node,)


class Revocation(msgspec.Struct, frozen=True, tag=True):
    """At ``at`` s the LMA revokes the sessions of the host ``node``, or all that the MAG ``node`` has registered (RFC 5846, 8.1).

    Who is denied service so gets it back by coming to a MAG anew; by ``end`` s every such host has.
    """

    node: str
    at: float
    end: float

    def __post_init__(self) -> None:
        _check(self.at, self.end)

    @property
    def on(self) -> tuple[str, ...]:
        """The nodes that must have an agent: none, for ``node`` may be a host as well as a MAG."""
        return ()


class Attack(msgspec.Struct, frozen=True, tag=True):
    """From ``at`` s on ``attacker`` sends ``count`` packets, ``rate`` a second, that are to harm the sessions of the host ``victim``.

    Attributes:
        kind: one of experiments.declare.forgeries.KINDS: a forged message, a forged tunnelled packet, a replay of what was heard, a flood
            of queries.
        attacker: a host, which sends them on its access link, or a bridge of the core, for a node that is on it.
        target: the agent's node that they go to.
        claims: the agent's node whose address they bear as their source; "" for the attacker's own.
        succeeds: whether the domain is open to it, so that it is to show its harm.
    """

    kind: str
    attacker: str
    target: str
    victim: str
    at: float
    count: int = 5
    rate: float = 100.0
    claims: str = ""
    succeeds: bool = False

    def __post_init__(self) -> None:
        _check(self.at, self.end)

    @property
    def end(self) -> float:
        """When the last has been sent."""
        return self.at + self.count / self.rate

    def sent_at(self, number: int) -> int:
        """When a packet of its is sent, in ns from the scenario's zero."""
        return nanoseconds(self.at) + round(number * (SECOND / self.rate))

    @property
    def on(self) -> tuple[str, ...]:
        """The agents' nodes that it names."""
        return (self.target, self.claims) if self.claims else (self.target,)


DRAFT = ("fig1", "fig2", "table1")
"""The parts of the draft that an experiment can be held against: the procedures of its Figures 1 and 2, its Table 1."""

Fault = Kill | Impairment | Partition | WrongClock | Revocation | Attack


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, in s from the scenario's zero; the run ends at ``duration``.

    ``phase`` is the width in s of the range from which the phase of moves and faults is drawn, where it is
    drawn (experiments.declare.phase); 0 for the longest interval between two packets of a flow.
    """

    duration: float
    flows: tuple[Flow, ...] = ()
    moves: tuple[Move, ...] = ()
    faults: tuple[Fault, ...] = ()
    phase: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """One scheme under one handover policy, with protocol settings of its own by dotted name and faults beside the scenario's.

    ``variant`` names what sets the case apart from another of the same scheme and policy; files call the case by ``label``.
    """

    scheme: str
    policy: str
    settings: dict[str, str] = field(default_factory=dict)
    variant: str = ""
    faults: tuple[Fault, ...] = ()

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
        usual: whether it runs where no experiment is named.
        draft: the parts of the draft (names of DRAFT) that its runs are held against.
    """

    name: str
    title: str
    question: str
    domain: Domain
    cases: tuple[Case, ...]
    scenario: Scenario
    figures: tuple[str, ...]
    usual: bool = True
    draft: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One emulation: everything that a guest is told and that an analysis needs to know; kept as run.json beside the captures.

    ``settings`` are the agents' settings by dotted name, as given; ``epoch`` is the scenario's zero in ns since 1970; ``format`` that of
    the file (experiments.declare.declarations).
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
    format: int = FORMAT

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong in it: the scenario's faults and its case's."""
        return self.scenario.faults + self.case.faults

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """Which of its faults are attacks; their packets bear a mark by their place here."""
        return tuple(fault for fault in self.faults if isinstance(fault, Attack))
