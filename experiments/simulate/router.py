"""Nodes of the core without an agent at work: routers, and an LMA that the scheme does not use."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.simulate import packets
from experiments.simulate.capture import Capture
from experiments.simulate.clock import Clock
from experiments.simulate.core import Core
from experiments.simulate.packets import DESTINATION, SOURCE

_MULTICAST = 0xFF


class Router:
    """A router of the core: packets go on by the static routes, those to the group by static multicast routes."""

    def __init__(self, name: str, groups: Mapping[bytes, tuple[str, ...]], core: Core, clock: Clock, capture: Capture | None) -> None:
        """``groups``: of each MAG's address, the neighbours that its packets to the group go on to."""
        self._name = name
        self._groups = groups
        self._core = core
        self._clock = clock
        self._capture = capture
        core.stations[name] = self

    def sent_to_core(self, header: bytes, packet: bytes) -> None:
        """A packet leaves."""
        if self._capture is not None:
            self._capture.take(self._clock.now, header, packet)

    def from_core(self, header: bytes, packet: bytes) -> None:
        """A packet comes in."""
        if self._capture is not None:
            self._capture.take(self._clock.now, header, packet)
        if packet[DESTINATION][0] != _MULTICAST:
            self._core.send(self._name, packets.one_hop_further(packet))
            return
        for neighbour in self._groups.get(packet[SOURCE], ()):
            self._core.multicast(self._name, packets.one_hop_further(packet), neighbour)


class Bystander:
    """A node that has nothing to do with what comes to it."""

    def sent_to_core(self, header: bytes, packet: bytes) -> None:
        """Nothing leaves."""

    def from_core(self, header: bytes, packet: bytes) -> None:
        """Whatever comes goes no further."""
