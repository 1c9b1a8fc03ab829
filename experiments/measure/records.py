"""What reading the captures of one run yields: every test packet and every signalling message, with times.

All times are integer nanoseconds since 1970 on the emulation's clock, as the captures have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Packet:
    """One test packet of a flow, by its sequence number.

    Attributes:
        flow: the flow's number.
        sequence: counted from 0 by the sender.
        sent: when the source's capture shows it leaving.
        received: when the destination's capture first shows it, or None where it never does.
        copies: how often the destination's capture shows it.
        seen: node name to the time of the first sight at that node, in order of time.
        tunnelled: node name to the time when that node first sent it encapsulated.
        released: node name to the time when that node's agent first gave it back to be delivered there.
        delivered: node name to the time when that node first sent it on an access link.
        order: where it is among the packets that its destination received, of which several may come at one moment.
        last_seen: the last node whose capture shows it.
    """

    flow: int
    sequence: int
    sent: int
    received: int | None
    copies: int
    seen: dict[str, int] = field(default_factory=dict)
    tunnelled: dict[str, int] = field(default_factory=dict)
    order: int = 0
    released: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)

    @property
    def last_seen(self) -> str:
        return max(self.seen, key=lambda node: self.seen[node])


@dataclass(frozen=True, slots=True)
class Signal:
    """One signalling message as one node sent it (Mobility Header or Router Advertisement/Solicitation).

    Attributes:
        kind: that of agents.messages.kind, or RS or RA.
        sent: when it left ``sender``.
        sender: the node that sent it.
        arrivals: (node, time) of every node that received it, in order of time.
        size: bytes of the IPv6 packet as it left, outer header included.
        source, destination: addresses of the outermost IPv6 header.
        tunnelled: whether it travelled IP-in-IP.
        sequence: the message's sequence number, or None where it has none.
        status: the status of an acknowledgement, or None.
        lifetime: in s, or None.
        mn_id, home, care_of: what its options say, as text, or None; of an LRI or LRA the first node, and the MAG at the other end.
        malformed: why the message could not be decoded, or not wholly, or None.
    """

    kind: str
    sent: int
    sender: str
    arrivals: tuple[tuple[str, int], ...]
    size: int
    source: str
    destination: str
    tunnelled: bool = False
    sequence: int | None = None
    status: int | None = None
    lifetime: float | None = None
    mn_id: str | None = None
    home: str | None = None
    care_of: str | None = None
    malformed: str | None = None


@dataclass(frozen=True, slots=True)
class SeenAssociation:
    """A radio's association with a MAG, from the Layer 2 Update frame that the MAG's capture shows.

    ``last_frame`` is when a test packet was last seen on the node's previous access link, at its MAG, or None where there was none.
    """

    node: str
    mag: str
    time: int
    last_frame: int | None = None


class Reason(StrEnum):
    """Why a test packet never arrived; docs/metrics.md, "Losses", says how captures show each."""

    NO_ROUTE = "no route"
    BUFFER_FULL = "buffer full"
    BUFFER_TIMEOUT = "buffer timeout"
    NODE_LEFT = "node left"
    IN_THE_AIR = "in the air"
    LINK_LOSS = "link loss"
    REFUSED = "refused"
    AGENT_DOWN = "agent down"
    UNDER_WAY = "under way"
    UNEXPLAINED = "unexplained"

    @property
    def metric(self) -> str:
        """The metric that counts the packets lost for this reason; over all reasons they add up to ``packets_lost``."""
        return f"lost_{self.replace(' ', '_')}"


class Sight(StrEnum):
    """What a node's capture shows a packet doing: which way it goes, and through what."""

    FROM_ACCESS = "came in on an access link"
    TO_ACCESS = "sent on an access link"
    FROM_CORE = "came in on a core link"
    TO_CORE = "sent on a core link"
    FROM_TUNNEL = "came out of a tunnel"
    TO_TUNNEL = "put into a tunnel"
    TO_AGENT = "handed to the agent"
    FROM_AGENT = "handed back by the agent"


@dataclass(frozen=True, slots=True)
class Loss:
    """A test packet that never arrived: the last node that shows it, what it did there last, and why it went no further."""

    flow: int
    sequence: int
    place: str
    sight: Sight | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ICMPv6 error (RFC 4443) about a test packet: the node that sent it first, when, and its type and code."""

    flow: int
    sequence: int
    node: str
    time: int
    type: int
    code: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One number: its name, value and unit (docs/metrics.md), and what the model expects.

    Attributes:
        expected: the value, or None where none is expected.
        bounds: the least and the most, where chance decides between them, or None.
    """

    name: str
    value: float
    unit: str
    expected: float | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything read from the captures of one run.

    ``losses`` has one entry for each packet that was not received. ``truncated`` names captures that are not whole, and says why: those
    that break off or whose packets were cut were read as far as they go, those that could not be read are empty.
    """

    packets: tuple[Packet, ...]
    signals: tuple[Signal, ...]
    associations: tuple[SeenAssociation, ...]
    lma_data_packets: int
    lma_data_bytes: int
    truncated: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One line of summary.csv: a metric over the runs of one case.

    Attributes:
        n: how many runs have the metric.
        mean: its mean.
        sd: its standard deviation, 0 where n is 1.
        ci95: half the width of the 95 % confidence interval of the mean, 0 where n is 1.
        expected: what the model expects, or None where nothing is expected.
    """

    experiment: str
    scheme: str
    policy: str
    metric: str
    n: int
    mean: float
    sd: float
    ci95: float
    expected: float | None
    unit: str
