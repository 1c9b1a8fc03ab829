"""A domain: its nodes, its links and its prefixes, as frozen data; nothing here touches a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

INNER = "~"
"""What the name of a wire's hidden end has before the name of the interface that it belongs to."""


LONGEST_DELAY = 1.0
"""s that a link may take: neighbour discovery waits 3 s for an answer (RFC 4861: three tries, RETRANS_TIMER each)."""

MOST_LOSS = 0.9
"""Part of the packets that a link may lose."""

LOWEST_RATE, HIGHEST_RATE = 10e3, 10e9
"""bit/s."""

_QUOTED = 60


class DomainError(ValueError):
    """A domain is not what it should be; the message is one line that says what was expected."""


def shorten(text: str) -> str:
    """A string as a message quotes it: in one line, and not at length."""
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")


class LinkKind(StrEnum):
    """What a core link joins; the first word of the settings that change it."""

    MAG = "mag"
    LMA = "lma"
    TRUNK = "trunk"


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a link does to packets, the same in both directions.

    Attributes:
        delay: one-way delay in s.
        rate: bit/s, or None for no limit.
        loss: probability that a packet is lost, 0 to 1.
        jitter: the delay varies by up to this much, in s.

    Making one that netem cannot do, or that lets nothing through, is a DomainError.
    """

    delay: float = 0.0
    rate: float | None = None
    loss: float = 0.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.delay <= LONGEST_DELAY:
            raise DomainError(f"expected a link's delay to be 0 to {LONGEST_DELAY:g} s, not {self.delay:g} s")
        if not 0 <= self.jitter <= LONGEST_DELAY:
            raise DomainError(f"expected a link's jitter to be 0 to {LONGEST_DELAY:g} s, not {self.jitter:g} s")
        if not 0 <= self.loss <= MOST_LOSS:
            raise DomainError(f"expected a link to lose at most {MOST_LOSS:.0%} of its packets, not {self.loss:.0%}")
        if self.rate is not None and not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise DomainError(
                f"expected a link's rate to be {LOWEST_RATE / 1e3:g} kbit/s to {HIGHEST_RATE / 1e9:g} Gbit/s, not {self.rate:g} bit/s"
            )


@dataclass(frozen=True, slots=True)
class Agent:
    """A node that runs an agent: a MAG (``address`` is its Proxy-CoA) or the LMA (its LMAA)."""

    name: str
    address: IPv6Address

    @property
    def core(self) -> str:
        """The name of its interface towards the core."""
        return f"{self.name}-eth0"


@dataclass(frozen=True, slots=True)
class Host:
    """A mobile or correspondent node: a stock host with one radio, attached to the MAG ``mag`` at the start.

    Hosts of one MN-ID are interfaces of one node to the agents. ``association`` is what access points know besides, in the words of
    ``agents.associations``, such as ``att=3 hi=1``.
    """

    name: str
    mag: str
    mn_id: str
    mac: str
    home_network_prefix: IPv6Network
    association: str = ""

    @property
    def alias(self) -> str:
        """The alias of the radio's end in the MAG's namespace: who is associated."""
        return f"{self.mn_id} {self.mac} {self.association}".rstrip()

    @property
    def interface(self) -> str:
        """The name of the host's own interface."""
        return f"{self.name}-eth0"

    @property
    def air(self) -> str:
        """The name of the radio's end that sits in the MAG's namespace."""
        return f"{self.name}-air"


@dataclass(frozen=True, slots=True)
class Core:
    """A node of the core: a bridge, or a router."""

    name: str
    routed: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A core link between two nodes, ``a`` nearer to an agent or lower in the tree; ``subnet`` numbers it where routed."""

    a: str
    b: str
    settings: LinkSettings
    subnet: IPv6Network | None = None
    kind: LinkKind = LinkKind.TRUNK


@dataclass(frozen=True, slots=True)
class Domain:
    """The whole network.

    ``links`` are those of the core (MAG-core, LMA-core and between core nodes); every host's access link has the settings ``access``.
    """

    name: str
    mags: tuple[Agent, ...]
    lma: Agent | None
    hosts: tuple[Host, ...]
    core: tuple[Core, ...]
    links: tuple[Link, ...]
    access: LinkSettings

    def __hash__(self) -> int:
        """Of its name and sizes only: what is remembered by domain is looked up for each packet, and a domain has many parts."""
        return hash((self.name, len(self.mags), len(self.hosts), len(self.core), len(self.links)))
