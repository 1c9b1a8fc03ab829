"""An access link: the radio of a host, which is at one MAG at a time or at none, and what the MAG's kernel knows of neighbours there."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from experiments.simulate.capture import ETHERNET, OUTGOING, TO_US, frame_header, layer_2_update
from experiments.simulate.clock import KERNEL, Clock
from experiments.simulate.link import Line
from experiments.simulate.neighbours import Neighbour
from topologies.addresses import mac_octets
from topologies.domain import Host, LinkSettings

MULTICAST = 2


class Gateway(Protocol):
    """A MAG as an access link sees it."""

    def link_up(self, radio: Radio) -> None:
        """A host has been associated."""

    def link_down(self, radio: Radio) -> None:
        """It has gone."""

    def leaves(self, radio: Radio, to: str) -> None:
        """It is about to leave for the MAG ``to``."""

    def from_access(self, radio: Radio, packet: bytes) -> None:
        """A packet comes from it."""


class Station(Protocol):
    """A host as its access link sees it."""

    def carrier(self, there: bool) -> None:
        """The carrier comes or goes."""

    def receive(self, packet: bytes) -> None:
        """A packet comes in."""


class Radio:
    """A host's access link.

    Attributes:
        host: whose it is.
        gateway: the MAG that the host is associated with, or None.
        neighbours: what the MAG knows of the host, by each of its addresses.
        out, into: what the MAG's capture has before a packet that it sends on the link, and before one that comes.
        update: the same before the frame that tells of an association.
    """

    def __init__(self, host: Host, index: int, settings: LinkSettings, gateway_mac: bytes, clock: Clock, seed: int) -> None:
        self.host = host
        self.mac = mac_octets(host.mac)
        self.gateway_mac = gateway_mac
        self.gateway: Gateway | None = None
        self.station: Station
        self.neighbours: dict[bytes, Neighbour] = {}
        self.out = frame_header(index + 2, ETHERNET, OUTGOING, gateway_mac)
        self.into = frame_header(index + 2, ETHERNET, TO_US, self.mac)
        self.into_group = frame_header(index + 2, ETHERNET, MULTICAST, self.mac)
        self.update = layer_2_update(index + 2, self.mac)
        self.host_out = frame_header(index, ETHERNET, OUTGOING, self.mac)
        self.host_into = frame_header(index, ETHERNET, TO_US, gateway_mac)
        self.host_into_group = frame_header(index, ETHERNET, MULTICAST, gateway_mac)
        self._clock = clock
        self._up = Line(settings, Random(f"{seed} {host.interface}"))
        self._down = Line(settings, Random(f"{seed} {host.air}"))
        self._stay = 0

    @property
    def name(self) -> str:
        """What the MAG calls the link."""
        return self.host.air

    def attach(self, gateway: Gateway) -> None:
        """Associate the host, leaving another MAG first: its carrier is there when this returns."""
        self.detach()
        self.gateway = gateway
        self.station.carrier(True)
        gateway.link_up(self)

    def announce(self, to: str) -> None:
        """The link layer tells the MAG that the host is about to leave for the MAG ``to``."""
        if self.gateway is not None:
            self.gateway.leaves(self, to)

    def detach(self) -> None:
        """End the association, if there is one: the carrier is gone, and what was in the air with it."""
        if self.gateway is None:
            return
        gateway, self.gateway = self.gateway, None
        self._stay += 1
        for neighbour in self.neighbours.values():
            neighbour.forget()
        self.neighbours.clear()
        self.station.carrier(False)
        gateway.link_down(self)

    def up(self, packet: bytes) -> None:
        """The host sends a packet."""
        self._send(self._up, self._arrive_up, packet)

    def down(self, packet: bytes) -> None:
        """The MAG sends a packet."""
        self._send(self._down, self._arrive_down, packet)

    def _send(self, line: Line, arrive: Callable[[int, bytes], None], packet: bytes) -> None:
        now = self._clock.now
        left = now + line.delay if line.plain else line.leaves(now, len(packet))
        if left is not None:
            self._clock.at(left, KERNEL, arrive, self._stay, packet)

    def _arrive_up(self, stay: int, packet: bytes) -> None:
        if stay == self._stay and self.gateway is not None:
            self.gateway.from_access(self, packet)

    def _arrive_down(self, stay: int, packet: bytes) -> None:
        if stay == self._stay:
            self.station.receive(packet)
