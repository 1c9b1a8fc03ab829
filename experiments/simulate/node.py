"""The kernel of a node that runs an agent: what becomes of each packet, by the agent's forwarding information base.

It outlives the agent: what an agent installed stays when it is killed, but for the device that leads to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Protocol

from agents.actions import RemoveAccessRoute, RouteAction
from agents.config import AgentConfig, is_gateway
from agents.fib import ACCESS, DISCARDED, LOOPBACK, MAIN, TRIGGER, TUNNEL, Change, Fib, LinkLocal, Put, RouteKind
from agents.router_advertisement import ROUTER_SOLICITATION, encode_unreachable, may_report
from agents.schemes import Query
from experiments.simulate import packets
from experiments.simulate.access import Radio
from experiments.simulate.capture import OUTGOING, TO_US, TUN, TUNNEL6, Capture, frame_header
from experiments.simulate.clock import Clock
from experiments.simulate.core import Core
from experiments.simulate.errors import ErrorLimit
from experiments.simulate.neighbours import Neighbour
from experiments.simulate.packets import DESTINATION, HEADER, ICMPV6, IPV6, MOBILITY, NEXT_HEADER, SOURCE, UDP
from topologies.layer_2_update import XID_RESPONSE

_TRIGGER_INDEX, _TUNNEL_INDEX = 4, 5
_TRIGGER_OUT = frame_header(_TRIGGER_INDEX, TUN, OUTGOING)
_TRIGGER_INTO = frame_header(_TRIGGER_INDEX, TUN, TO_US)
_TUNNEL_OUT = frame_header(_TUNNEL_INDEX, TUNNEL6, OUTGOING)
_TUNNEL_INTO = frame_header(_TUNNEL_INDEX, TUNNEL6, TO_US)
_MULTICAST = 0xFF
_NO_ROUTE, _ADDRESS_UNREACHABLE, _PORT_UNREACHABLE = 0, 3, 4
_HOPS = 64


class Process(Protocol):
    """The agent that runs on a node, as its kernel sees it."""

    def hear(self, octets: bytes, source: IPv6Address, destination: IPv6Address, link: str | None) -> None:
        """A Mobility Header came, from an access link where one is named."""

    def stray(self, packet: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """A packet came through a tunnel and has no access route here; at an LMA, which forwards it, its header alone."""

    def trigger(self, packet: bytes) -> None:
        """A packet found no route but that to the agent."""

    def solicited(self, link: str, octets: bytes, source: IPv6Address, hop_limit: int) -> None:
        """A Router Solicitation came from an access link."""

    def link_up(self, radio: Radio) -> None:
        """A host has come."""

    def link_down(self, link: str) -> None:
        """A host has gone."""

    def leaves(self, link: str, to: str) -> None:
        """A host is about to leave for the MAG ``to``."""


class Node:
    """One agent's node.

    Attributes:
        fib: what becomes of packets.
        process: the agent that runs here, if one does.
        links: the access links, by name.
        link_local: the node's own addresses on them.
    """

    def __init__(self, config: AgentConfig, core: Core, clock: Clock, capture: Capture | None) -> None:
        self.config = config
        self.process: Process | None = None
        self.links: dict[str, Radio] = {}
        self.link_local: dict[str, bytes] = {}
        self.gateway = is_gateway(config)
        self.queries = self.gateway and config.scheme.query is not Query.NONE
        self.tunnels = config.scheme.home_prefixes
        self._strays = self.queries or config.scheme.localized_routing
        self._member = config.scheme.query is Query.MULTICAST and self.gateway
        self._address = config.address.packed
        self._group = config.group.packed
        self._core = core
        self._clock = clock
        self._capture = capture
        self._errors = ErrorLimit()
        self.clear()
        core.stations[config.name] = self

    def clear(self) -> None:
        """Begin with the tables of a node on which an agent has just started."""
        self.fib = Fib(self.config, trigger=self.queries)
        self.link_local.clear()
        self.change(self.fib.start())

    def change(self, changes: Iterable[Change]) -> None:
        """Heed what the forwarding information base says has changed and does not look up itself."""
        for change in changes:
            if isinstance(change, Put):
                if isinstance(change.entry, LinkLocal):
                    self.link_local[change.entry.link] = change.entry.address.packed
            elif change.key[0] == "link-local":
                self.link_local.pop(str(change.key[1]), None)

    def carry_out(self, action: RouteAction) -> None:
        """Change routes as the agent asks."""
        self.change(self.fib.carry_out(action))

    def _seen(self, header: bytes, packet: bytes) -> None:
        if self._capture is not None:
            self._capture.take(self._clock.now, header, packet)

    # The core

    def sent_to_core(self, header: bytes, packet: bytes) -> None:
        """A packet leaves for the core."""
        self._seen(header, packet)

    def from_core(self, header: bytes, packet: bytes) -> None:
        """A packet comes in from the core."""
        self._seen(header, packet)
        destination = packet[DESTINATION]
        if destination == self._address or (destination == self._group and self._member and self.process is not None):
            if packet[NEXT_HEADER] == IPV6 and self.tunnels:
                self._decapsulate(packet)
            elif packet[NEXT_HEADER] == MOBILITY and self.process is not None:
                self._hear(packet)
        elif destination[0] != _MULTICAST:
            self._forward(packet, None)

    def _hear(self, packet: bytes, link: str | None = None) -> None:
        if self.process is not None and self.tunnels:
            addresses = IPv6Address(packet[SOURCE]), IPv6Address(packet[DESTINATION])
            self.process.hear(packet[HEADER:], *addresses, link)

    def _decapsulate(self, outer: bytes) -> None:
        packet = outer[HEADER:]
        self._seen(_TUNNEL_INTO, packet)
        if packet[DESTINATION] in (self._address, self._group):
            if packet[NEXT_HEADER] == MOBILITY:
                self._hear(packet)
            return
        source = IPv6Address(outer[SOURCE])
        if not self.gateway:
            if self._strays and self.process is not None:
                self.process.stray(packet[:HEADER], source, self.config.address)
            self._forward(packet, TUNNEL)
            return
        found = self.fib.look_up(IPv6Address(packet[SOURCE]), IPv6Address(packet[DESTINATION]), TUNNEL)
        if found is not DISCARDED:
            self._forward(packet, TUNNEL)
        elif self._strays and self.process is not None:
            self.process.stray(packet, source, IPv6Address(outer[DESTINATION]))

    # Forwarding

    def _forward(self, packet: bytes, link: str | None) -> None:
        """What becomes of a packet that came in by ``link`` and is not for this node."""
        self._route(packets.one_hop_further(packet), link)

    def _route(self, packet: bytes, link: str | None) -> None:
        found = self.fib.look_up(IPv6Address(packet[SOURCE]), IPv6Address(packet[DESTINATION]), link)
        if found is None:
            self._core.send(self.config.name, packet)
        elif found.care_of is not None:
            self._seen(_TUNNEL_OUT, packet)
            self.tunnel(packet, found.care_of.packed)
        elif found.device == TRIGGER:
            if self.process is not None:
                self._seen(_TRIGGER_OUT, packet)
                self.process.trigger(packet)
            else:
                self._refuse(packet, _NO_ROUTE)
        elif found.device is not None:
            self._deliver(packet, found.device)
        elif found.kind is RouteKind.UNREACHABLE:
            self._refuse(packet, _NO_ROUTE)

    def _refuse(self, packet: bytes, code: int) -> None:
        """Tell the sender of a packet that its destination is unreachable, unless it has been told enough of late."""
        sender = packet[SOURCE]
        if may_report(packet) and self._errors.allows(sender, self._clock.now):
            error = bytes((1, code)) + encode_unreachable(packet)[2:]
            self.send(packets.icmpv6(self._address, sender, error, _HOPS))

    def tunnel(self, packet: bytes, care_of: bytes) -> None:
        """Send a packet encapsulated to another agent."""
        self._core.send(self.config.name, packets.encapsulated(packet, self._address, care_of))

    def to_group(self, packet: bytes) -> None:
        """Send a packet encapsulated to the group."""
        self._core.multicast(self.config.name, packets.encapsulated(packet, self._address, self._group))

    def hand_back(self, packet: bytes) -> None:
        """The agent hands back a packet, for the kernel to deliver."""
        self._seen(_TRIGGER_INTO, packet)
        self._forward(packet, TRIGGER)

    def send(self, packet: bytes) -> None:
        """Send a packet of the node's own: to an agent through the core, to a mobile node as packets for it go."""
        destination = IPv6Address(packet[DESTINATION])
        if destination in self.config.home or not self.tunnels:
            self._route(packet, LOOPBACK)
        else:
            self._core.send(self.config.name, packet)

    # Access links

    def link_up(self, radio: Radio) -> None:
        """A host is associated; the access point says so."""
        self.links[radio.name] = radio
        self._seen(radio.update, XID_RESPONSE)
        if self.process is not None:
            self.process.link_up(radio)

    def link_down(self, radio: Radio) -> None:
        """A host has gone, and with its link the routes over it; a running agent withdraws them itself."""
        del self.links[radio.name]
        if self.process is not None:
            self.process.link_down(radio.name)
            return
        for table in (MAIN, ACCESS):
            for route in [route for route in self.fib.routes(table) if route.device == radio.name]:
                self.carry_out(RemoveAccessRoute(route.prefix, radio.name))

    def leaves(self, radio: Radio, to: str) -> None:
        """A host is about to leave."""
        if self.process is not None:
            self.process.leaves(radio.name, to)

    def from_access(self, radio: Radio, packet: bytes) -> None:
        """A packet comes from a host."""
        group = packet[24] == _MULTICAST
        self._seen(radio.into_group if group else radio.into, packet)
        own = packet[DESTINATION] == self.link_local.get(radio.name) or packet[DESTINATION] == self._address
        if not (group or own):
            self._forward(packet, radio.name)
        elif packet[NEXT_HEADER] == ICMPV6:
            self._neighbour_said(radio, packet)
        elif own and packet[NEXT_HEADER] == MOBILITY:
            self._hear(packet, radio.name)
        elif own and packet[NEXT_HEADER] == UDP:
            error = bytes((1, _PORT_UNREACHABLE)) + encode_unreachable(packet)[2:]
            self._to_neighbour(radio, packets.icmpv6(packet[DESTINATION], packet[SOURCE], error, _HOPS))

    def _neighbour_said(self, radio: Radio, packet: bytes) -> None:
        kind, source = packet[HEADER], packet[SOURCE]
        if kind == ROUTER_SOLICITATION and self.process is not None:
            self._neighbour(radio, source).heard()
            self.process.solicited(radio.name, packet[HEADER:], IPv6Address(source), packet[7])
        elif kind == packets.SOLICITATION and source != packets.UNSPECIFIED:
            target = packet[HEADER + 8 : HEADER + 24]
            if target == self.link_local.get(radio.name):
                self._neighbour(radio, source).heard()
                self.to_access(radio, packets.neighbour_advertisement(packet, radio.gateway_mac, router=True))
        elif kind == packets.ADVERTISEMENT and (target := packet[HEADER + 8 : HEADER + 24]) in radio.neighbours:
            radio.neighbours[target].answered()

    def to_access(self, radio: Radio, packet: bytes) -> None:
        """Put a packet on an access link."""
        self._seen(radio.out, packet)
        radio.down(packet)

    def _deliver(self, packet: bytes, link: str) -> None:
        if (radio := self.links.get(link)) is not None:
            self._to_neighbour(radio, packet)

    def _to_neighbour(self, radio: Radio, packet: bytes) -> None:
        """Deliver a packet, once the link-layer address of its destination is known."""
        self._neighbour(radio, packet[DESTINATION]).send(packet)

    def _neighbour(self, radio: Radio, address: bytes) -> Neighbour:
        neighbour = radio.neighbours.get(address)
        if neighbour is None:
            neighbour = radio.neighbours[address] = Neighbour(self, self._clock, (radio, address))
        return neighbour

    def transmit(self, neighbour: Neighbour, packet: bytes) -> None:
        """Put a packet on the link that the neighbour is on."""
        self.to_access(neighbour.key[0], packet)

    def ask(self, neighbour: Neighbour, known: bool) -> None:
        """Ask a host for its link-layer address, or probe it."""
        radio, address = neighbour.key
        source = self.link_local.get(radio.name, self._address)
        self.to_access(radio, packets.neighbour_solicitation(source, address, radio.gateway_mac, known))

    def unreachable(self, neighbour: Neighbour, waiting: list[bytes]) -> None:
        """Tell the senders of what waits that the host is not there (RFC 4861, 7.2.2)."""
        for packet in waiting:
            self._refuse(packet, _ADDRESS_UNREACHABLE)
