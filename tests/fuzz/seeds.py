"""What an agent hears in a network where hosts move and speak, written as the octets from which a ``Scene`` reads it."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address
from typing import Any

from memory_network import EPOCH, LMA, MemoryNetwork, mag_address
from scene import CASES, EVENTS, LINKS, OWN_NUMBER, SENDERS, Scene

from agents.actions import Action
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import Message, encode


class _Ear:
    """The octets of what one agent has heard so far."""

    def __init__(self, kind: type[Any], case: int) -> None:
        self.octets = bytearray((case, 0))
        self._events = EVENTS[kind]
        self._now = EPOCH

    def note(self, now: float, event: Any, *octets: int) -> None:
        """At ``now`` something came, which these octets describe."""
        self._write(Scene.moment_passes, *round((now - self._now) * 1000).to_bytes(2))
        self._now = now
        self._write(event, *octets)

    def _write(self, event: Any, *octets: int) -> None:
        self.octets += bytes((self._events.index(event), *octets))

    def message(self, message: Message, source: IPv6Address, now: float) -> None:
        """A message came."""
        octets = encode(message)
        self.note(now, Scene.octets_come, SENDERS.index(source), 0, len(octets), *octets)


class _HeardLma(Lma):
    ear: _Ear

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        self.ear.message(message, source, now)
        return super().receive(message, source, now, link)


class _HeardMag(Mag):
    ear: _Ear

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        self.ear.message(message, source, now)
        return super().receive(message, source, now, link)

    def attached(self, link: str, mn_id: str, link_layer: bytes, now: float, *how: Any, **also: Any) -> list[Action]:
        self.ear.note(now, Scene.host_comes, link_layer[-1] - 1, LINKS.index(link), 0)
        return super().attached(link, mn_id, link_layer, now, *how, **also)

    def leaving(self, link: str, to: IPv6Address, now: float) -> list[Action]:
        self.ear.note(now, Scene.host_is_about_to_leave, LINKS.index(link), SENDERS.index(to))
        return super().leaving(link, to, now)

    def detached(self, link: str, now: float) -> list[Action]:
        self.ear.note(now, Scene.host_leaves, LINKS.index(link))
        return super().detached(link, now)

    def packet_for(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        self.ear.note(now, Scene.packet_comes, 0, hoa.packed[7] - 1, packet[15] - 1)
        return super().packet_for(hoa, packet, now)

    def tunnelled(self, packet: bytes, source: IPv6Address, now: float, multicast: bool = False) -> list[Action]:
        self.ear.note(now, Scene.tunnelled_packet_comes, SENDERS.index(source), int(not multicast), 0, packet[31] - 1, packet[15] - 1)
        return super().tunnelled(packet, source, now, multicast)


def conversation(kind: str, case: int) -> bytes:
    """A short history: two hosts attach, speak to each other, and one comes to the MAG that is heard and leaves it again, as foretold."""
    scheme, policy = CASES[kind][case]
    network = MemoryNetwork(scheme, policy)
    node = network.nodes[LMA if kind == "lma" else mag_address(OWN_NUMBER)]
    heard = _HeardLma if kind == "lma" else _HeardMag
    agent = heard(node.config, network.now)
    agent.ear = _Ear(heard.__bases__[0], case)
    node.endpoint.role = agent
    network.attach(1, OWN_NUMBER)
    network.attach(2, 2)
    for start in (1.0, 2.0, 3.0, 4.0):
        network.flow(1, 2, start, 0.03)
        network.flow(2, 1, start + 0.01, 0.02)
    for start, number in ((2.0, OWN_NUMBER), (3.0, 3)):
        network.at(start - 0.05, partial(network.announce, 2, number))
        network.at(start, partial(network.move, 2, number))
    network.run(12.0)
    return bytes(agent.ear.octets)
