"""What every part of the model shares: the declaration, the clock, where each host stands, and how things get from node to node.

Time is whole nanoseconds. At one moment packets come before everything else: a kernel hands on what has come before any agent runs.
Of packets that come to a node together the one that set out for there first is first.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from agents import messages
from agents.authentication import protection
from agents.config import MAG_GROUP, Settings
from agents.messages import Message, ProxyBindingUpdate, UpdateNotification
from agents.schemes import Query
from experiments.declare import keys
from experiments.declare.deployment import Deployment
from experiments.measure.records import Reason, Signal
from topologies.addresses import mac_octets
from topologies.domain import Host
from topologies.timing import transit

NEVER = 1 << 62
IPV6 = 40
_UNSPECIFIED = IPv6Address("::")


@dataclass(slots=True)
class Datagram:
    """A test packet under way; ``lost`` is why it came no further than it did, if it is not received."""

    flow: int
    sequence: int
    destination: str
    size: int
    sent: int = 0
    received: int | None = None
    order: int = 0
    copies: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    tunnelled: dict[str, int] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    lost: Reason = Reason.UNDER_WAY


@dataclass(slots=True)
class ModelledAttachment:
    """A host on a MAG's access link.

    ``served`` once the MAG forwards for it, ``router_known`` once the host has heard of the MAG; ``resolved`` is when the MAG's neighbour
    discovery of the host is done, or None where it has not begun.
    """

    mag: str
    served: bool = False
    router_known: bool = False
    resolved: int | None = None
    last_frame: int | None = None


@dataclass(slots=True)
class ModelledBinding:
    """The LMA's binding of a host."""

    mag: str
    leaving: bool = False
    expires: int = NEVER


@dataclass(slots=True)
class Handover:
    """A host that is about to leave a MAG, or has left it, for ``to``, which was told and may have accepted it."""

    to: str
    left: bool = False
    accepted: bool = False


class Network:
    """The nodes of a run and what stands where.

    Attributes:
        now: the moment that is being played.
        at: host to where it is attached, or None between MAGs.
        bindings: host to the LMA's binding of it.
        handovers: (MAG, host) to what a MAG knows of a host about to leave, under ``predict``.
        expected: (MAG, host) to what a MAG knows of a host about to come.
        signals: every message sent so far.
        tied: whether packets of one flow came to a node at one moment by different ways; which is first nothing here tells.
    """

    def __init__(self, run: Deployment) -> None:
        self.run = run
        self.domain = run.domain
        self.scheme = run.scheme
        self.policy = run.policy
        self.settings: Settings = run.settings
        self.hosts: dict[str, Host] = run.host
        self.care_of = run.care_of
        self.lma = run.anchors[0].name if run.anchors else ""
        self.group = self.scheme.query is Query.MULTICAST
        self.now = run.epoch
        self.at: dict[str, ModelledAttachment | None] = {
            host.name: ModelledAttachment(host.mag, True, True, run.epoch) for host in run.domain.hosts
        }
        self.bindings = {host.name: ModelledBinding(host.mag) for host in run.domain.hosts}
        self.handovers: dict[tuple[str, str], Handover] = {}
        self.expected: dict[tuple[str, str], Handover] = {}
        self.signals: list[Signal] = []
        self.tied = False
        self._protection = protection(keys.with_any_key(self.settings))
        self._events: list[tuple[int, bool, int, Callable[[], None]]] = []
        self._serial = 0
        self._sequences: dict[str, int] = defaultdict(int)
        self._latest: dict[tuple[str, int], tuple[int, str]] = {}

    def later(self, time: int, happen: Callable[[], None], packet: bool = False) -> None:
        """Have something happen at ``time``; of what happens then, packets come first."""
        self._serial += 1
        heapq.heappush(self._events, (time, not packet, self._serial, happen))

    def play(self, end: int) -> None:
        """Let happen what happens before ``end``."""
        while self._events and self._events[0][0] < end:
            self.now, _, _, happen = heapq.heappop(self._events)
            happen()

    def here(self, mag: str, host: str) -> ModelledAttachment | None:
        """The host's attachment, if it is attached to this MAG."""
        attachment = self.at[host]
        return attachment if attachment is not None and attachment.mag == mag else None

    def others(self, mag: str) -> list[str]:
        """The other MAGs: the members of the group that hear this one."""
        return [other for other in self.care_of if other != mag]

    def prefix(self, host: str) -> IPv6Network:
        return self.hosts[host].home_network_prefix

    def home_address(self, host: str) -> IPv6Address:
        return self.prefix(host)[1]

    def link_layer_identifier(self, host: str) -> bytes:
        return mac_octets(self.hosts[host].mac)

    def next_sequence(self, agent: str) -> int:
        """The number of the agent's next message that has one."""
        self._sequences[agent] += 1
        return self._sequences[agent]

    def tunnel(self, sender: str, receiver: str, datagram: Datagram, handle: Callable[[str, str, Datagram], None]) -> None:
        """Send a packet IP-in-IP; ``handle`` is called with both ends and it when it comes out."""
        datagram.tunnelled.setdefault(sender, self.now)

        def arrive() -> None:
            datagram.seen.setdefault(receiver, self.now)
            place = receiver, datagram.flow
            latest, its_sender = self._latest.get(place, (None, sender))
            self.tied |= latest == self.now and its_sender != sender
            self._latest[place] = self.now, sender
            handle(sender, receiver, datagram)

        self.later(self.now + self.transit(sender, receiver, datagram.size + IPV6), arrive, packet=True)

    def send(self, message: Message, sender: str, receivers: list[str], handle: Callable[[str], None]) -> None:
        """Send a message to one agent, or IP-in-IP to the group; ``handle`` is called when it reaches each receiver."""
        asks = isinstance(message, ProxyBindingUpdate) and message.query
        to_group = self.group and (asks or isinstance(message, UpdateNotification))
        size = len(self._protection.octets(message, _UNSPECIFIED, _UNSPECIFIED, 0.0)) + IPV6 * (2 if to_group else 1)
        arrivals = sorted(((receiver, self.now + self.transit(sender, receiver, size)) for receiver in receivers), key=lambda a: a[1])
        for receiver, time in arrivals:
            self.later(time, lambda receiver=receiver: handle(receiver))  # type: ignore[misc]
        home = next(iter(message.home_network_prefixes), getattr(message, "home_address", None))
        care_of = message.alternate_care_of or getattr(message, "mag_address", None)
        self.signals.append(
            Signal(
                kind=messages.kind(message),
                sent=self.now,
                sender=sender,
                arrivals=tuple(arrivals),
                size=size,
                source=self._address(sender),
                destination=str(MAG_GROUP) if to_group else self._address(receivers[0]),
                tunnelled=to_group,
                sequence=getattr(message, "sequence", None),
                status=getattr(message, "status", None),
                lifetime=messages.lifetime_of(message),
                mn_id=message.mn_id,
                home=None if home is None else str(home),
                care_of=None if care_of is None else str(care_of),
            )
        )

    def transit(self, a: str, b: str, size: int) -> int:
        return transit(self.domain, a, b, size)

    def _address(self, agent: str) -> str:
        return str(self.run.agent[agent].address)
