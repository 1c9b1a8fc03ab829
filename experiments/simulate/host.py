"""A host as far as the protocol needs it: it configures addresses by advertisements, finds its router, and sends and takes in packets.

It does what a stock Linux host does: an address is probed before it is used (RFC 4862, 5.4); a solicitation follows once the link-local
address is the host's own (RFC 4861, 6.3.7); with the carrier goes what is known of neighbours, while addresses and routes stay; and packets
for a router whose link-layer address is not known wait for it for 3 s.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.interface_identifier import interface_identifier, link_local
from agents.router_advertisement import ROUTER_ADVERTISEMENT
from experiments.simulate import packets
from experiments.simulate.access import Radio
from experiments.simulate.capture import Capture
from experiments.simulate.clock import KERNEL, Clock
from experiments.simulate.neighbours import Neighbour
from experiments.simulate.packets import HEADER, ICMPV6, NEXT_HEADER, SOURCE, UNSPECIFIED
from experiments.simulate.wheel import fires
from topologies.timing import SECOND

PROBE_DELAY = SECOND
"""ns from when an address is made to its probe, the most that RFC 4862, 5.4.2, lets chance choose."""

PROBING = SECOND
"""ns from the probe until the address is the host's own (RFC 4861, RETRANS_TIMER)."""

SOLICITATION_INTERVAL = 4 * SECOND
"""ns between Router Solicitations (RFC 4861, RTR_SOLICITATION_INTERVAL)."""

_SOLICITATIONS = 3
_ALL_ROUTERS = bytes.fromhex("ff020000000000000000000000000002")
_MULTICAST = 0xFF
_SOURCE_LINK_LAYER, _PREFIX_INFORMATION = 1, 3
_OPTIONS = HEADER + 16


@dataclass(slots=True)
class Address:
    """An address of a host: whether it has been found to be nobody else's, and whether new packets should rather have another."""

    octets: bytes
    usable: bool = False
    deprecated: bool = False


class Host:
    """One host.

    Attributes:
        addresses: its global addresses by their prefix, in the order in which they were made.
    """

    def __init__(self, radio: Radio, clock: Clock, capture: Capture | None) -> None:
        self.addresses: dict[bytes, Address] = {}
        self.name = radio.host.name
        self._radio = radio
        self._clock = clock
        self._capture = capture
        self._identifier = interface_identifier(radio.mac)
        self._link_local: Address | None = None
        self._router: bytes | None = None
        self._router_until = 0
        self._gateway = Neighbour(self, clock)
        self._advertised = False
        radio.station = self

    def usable(self) -> list[bytes]:
        """Its global addresses that it can use now."""
        return [address.octets for address in self.addresses.values() if address.usable]

    def carrier(self, there: bool) -> None:
        """The carrier comes, for the first time with the need for an address, or goes."""
        if not there:
            self._gateway.forget()
        elif self._link_local is None:
            self._link_local = Address(link_local(self._radio.mac))
            self._probe(self._link_local)

    def send(self, destination: bytes, ports: tuple[int, int], data: bytes) -> bool:
        """Send a datagram to another node; False where the host refuses, for it has no address or no router."""
        if self._router is None or self._clock.now >= self._router_until:
            return False
        source = self._source(destination)
        if source is None:
            return False
        self._gateway.send(packets.udp(source, destination, ports, data))
        return True

    def greet(self) -> None:
        """Send an empty datagram from each address to the router's discard port, which answers that nobody listens."""
        if self._router is not None:
            for source in self.usable():
                self._gateway.send(packets.udp(source, self._router, (49152, 9), b""))

    def receive(self, packet: bytes) -> None:
        """A packet comes in on the access link."""
        radio = self._radio
        if self._capture is not None:
            header = radio.host_into_group if packet[24] == _MULTICAST else radio.host_into
            self._capture.take(self._clock.now, header, packet)
        if packet[NEXT_HEADER] != ICMPV6:
            return
        kind = packet[HEADER]
        if kind == ROUTER_ADVERTISEMENT:
            self._hear(packet)
        elif kind == packets.SOLICITATION:
            self._answer(packet)
        elif kind == packets.ADVERTISEMENT and packet[HEADER + 8 : HEADER + 24] == self._router:
            self._gateway.answered()

    def _emit(self, packet: bytes) -> None:
        """Put a packet on the link; without a carrier it is nowhere."""
        if self._radio.gateway is None:
            return
        if self._capture is not None:
            self._capture.take(self._clock.now, self._radio.host_out, packet)
        self._radio.up(packet)

    # Addresses

    def _probe(self, address: Address) -> None:
        self._clock.at(fires(self._clock.now, PROBE_DELAY), KERNEL, self._probe_now, address)

    def _probe_now(self, address: Address) -> None:
        self._emit(packets.neighbour_solicitation(UNSPECIFIED, address.octets, self._radio.mac))
        self._clock.at(fires(self._clock.now, PROBING), KERNEL, self._own, address)

    def _own(self, address: Address) -> None:
        address.usable = True
        if address is self._link_local:
            self._solicit(_SOLICITATIONS)

    def _solicit(self, left: int) -> None:
        if left and self._link_local is not None and (left == _SOLICITATIONS or not self._advertised):
            self._advertised = False
            self._emit(packets.router_solicitation(self._link_local.octets, _ALL_ROUTERS, self._radio.mac))
            self._clock.at(fires(self._clock.now, SOLICITATION_INTERVAL), KERNEL, self._solicit, left - 1)

    def _source(self, destination: bytes) -> bytes | None:
        """The address for a packet there: one that is not deprecated, then the one that has most in common with it (RFC 6724, 5)."""
        best: Address | None = None
        rank = (False, -1)
        for address in self.addresses.values():
            if address.usable:
                differ = int.from_bytes(address.octets, "big") ^ int.from_bytes(destination, "big")
                ranked = not address.deprecated, 128 - differ.bit_length()
                if ranked > rank:
                    best, rank = address, ranked
        return None if best is None else best.octets

    # Routers

    def _hear(self, packet: bytes) -> None:
        """A Router Advertisement (RFC 4861, 6.3.4; RFC 4862, 5.5.3)."""
        self._advertised = True
        router, lifetime = packet[SOURCE], int.from_bytes(packet[HEADER + 6 : HEADER + 8], "big")
        if lifetime:
            self._router, self._router_until = router, self._clock.now + lifetime * SECOND
        elif router == self._router:
            self._router_until = 0
        told = False
        at = _OPTIONS
        while at + 8 <= len(packet) and packet[at + 1]:
            if packet[at] == _SOURCE_LINK_LAYER:
                told = True
            elif packet[at] == _PREFIX_INFORMATION:
                self._configure(packet[at + 16 : at + 24], int.from_bytes(packet[at + 8 : at + 12], "big"))
            at += 8 * packet[at + 1]
        if told and router == self._router:
            self._gateway.heard()

    def _configure(self, prefix: bytes, preferred: int) -> None:
        address = self.addresses.get(prefix)
        if address is not None:
            address.deprecated = not preferred
        elif preferred:
            address = self.addresses[prefix] = Address(prefix + self._identifier)
            self._probe(address)

    # Neighbours

    def _answer(self, packet: bytes) -> None:
        target = packet[HEADER + 8 : HEADER + 24]
        owned = [*self.addresses.values(), *([self._link_local] if self._link_local else [])]
        if any(address.usable and address.octets == target for address in owned):
            self._emit(packets.neighbour_advertisement(packet, self._radio.mac, router=False))

    def transmit(self, neighbour: Neighbour, packet: bytes) -> None:
        """Send a packet to the router."""
        self._emit(packet)

    def ask(self, neighbour: Neighbour, known: bool) -> None:
        """Ask for the router's link-layer address, in the name of the packet that waits longest; or probe it."""
        if self._router is not None and self._link_local is not None:
            source = self._link_local.octets if known else neighbour.waiting[0][SOURCE]
            self._emit(packets.neighbour_solicitation(source, self._router, self._radio.mac, known))

    def unreachable(self, neighbour: Neighbour, waiting: list[bytes]) -> None:
        """The router is not there: what waits for it is never sent."""
