"""The core: which way packets take from node to node, over lines, bridges and routers, and when they come to the next node.

What a packet costs does not depend on the size of the domain: ways are worked out when they are first needed, and kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Protocol

from agents.interface_identifier import link_local
from experiments.simulate import packets
from experiments.simulate.capture import ETHERNET, MULTICAST, OUTGOING, TO_US, frame_header
from experiments.simulate.clock import KERNEL, Clock
from experiments.simulate.link import Line
from experiments.simulate.neighbours import Neighbour
from experiments.simulate.packets import DESTINATION
from topologies.addresses import HOME, mac_octets, routed_aggregate
from topologies.domain import Domain
from topologies.routing import CoreInterface, agents, core_interfaces, paths

_HOME_OCTETS = HOME.prefixlen // 8
_HOME = HOME.network_address.packed[:_HOME_OCTETS]
_AGGREGATE = 6
"""Octets of the prefix of all that a MAG advertises without mobility management."""


class Station(Protocol):
    """A node of the core that is no bridge."""

    def sent_to_core(self, header: bytes, packet: bytes) -> None:
        """A packet leaves by an interface of the core."""

    def from_core(self, header: bytes, packet: bytes) -> None:
        """A packet comes in from the core."""


@dataclass(slots=True)
class Hop:
    """The way from one station to the next: its lines, what captures at both ends have before a packet, the interfaces there, and what the
    first knows of the second."""

    lines: tuple[Line, ...]
    out: bytes
    into: bytes
    mine: CoreInterface
    theirs: CoreInterface
    neighbour: Neighbour


class Core:
    """The lines of a domain's core, and the ways over them.

    Attributes:
        stations: the nodes that packets come to, by name.
    """

    def __init__(self, domain: Domain, clock: Clock, seed: int) -> None:
        self.stations: dict[str, Station] = {}
        self._written_down = False
        self._domain = domain
        self._clock = clock
        self._interfaces: dict[tuple[str, str], tuple[CoreInterface, int]] = {}
        self._lines: dict[tuple[str, str], Line] = {}
        self._neighbours: dict[str, list[str]] = defaultdict(list)
        ends = core_interfaces(domain)
        for number, (link, mine, theirs) in enumerate(zip(domain.links, ends[::2], ends[1::2], strict=True)):
            for end, other, index in ((mine, theirs, 4 * number + 1), (theirs, mine, 4 * number + 3)):
                pair = end.node, other.node
                self._interfaces[pair] = end, 10_000 + index
                self._lines[pair] = Line(link.settings, Random(f"{seed} {end.name}"))
                self._neighbours[end.node].append(other.node)
        self._bridges = {core.name for core in domain.core if not core.routed}
        self._owner = {agent.address.packed: agent.name for agent in agents(domain)}
        self._aggregates = {routed_aggregate(domain, mag).network_address.packed[:_AGGREGATE]: mag.name for mag in domain.mags}
        self._hops: dict[tuple[str, bytes], Hop | None] = {}
        self._towards: dict[tuple[str, str], Hop] = {}
        self._parents = _parents(self._neighbours) if len(domain.links) == len(self._neighbours) - 1 else None

    def access(self, node: str) -> tuple[Line, Line]:
        """The lines from an agent's node into the core, and back."""
        (other,) = self._neighbours[node][:1]
        return self._lines[node, other], self._lines[other, node]

    def send(self, node: str, packet: bytes) -> bool:
        """Send a packet from a station to where its destination address leads; False where that leads nowhere."""
        key = node, packet[DESTINATION]
        try:
            hop = self._hops[key]
        except KeyError:
            hop = self._hops[key] = self._find(*key)
        if hop is None:
            return False
        hop.neighbour.send(packet)
        return True

    def write_down(self) -> None:
        """Let all nodes know each other's link-layer addresses; until then one asks before it first sends to another."""
        self._written_down = True
        for hop in self._towards.values():
            hop.neighbour.note()

    def transmit(self, neighbour: Neighbour, packet: bytes) -> None:
        """Send a packet over a hop."""
        self._leave(neighbour.key, packet)

    def ask(self, neighbour: Neighbour, known: bool) -> None:
        """Solicit the node at the other end of a hop; the bridges between know that nobody else listens."""
        hop: Hop = neighbour.key
        assert hop.mine.address is not None, "stations have addresses"
        assert hop.theirs.address is not None, "stations have addresses"
        mac = mac_octets(hop.mine.mac)
        source = link_local(mac) if known else hop.mine.address.packed
        self._leave(hop, packets.neighbour_solicitation(source, hop.theirs.address.packed, mac, known))

    def unreachable(self, neighbour: Neighbour, waiting: list[bytes]) -> None:
        """A node of the core does not answer: what waits for it is lost."""

    def _discover(self, hop: Hop, packet: bytes) -> None:
        """What comes over a hop is about neighbours: answer a solicitation, heed an answer."""
        back = self._hop_between(hop.theirs.node, hop.mine.node)
        if packet[packets.HEADER] == packets.ADVERTISEMENT:
            back.neighbour.answered()
        elif packet[packets.HEADER] == packets.SOLICITATION:
            if hop.mine.address is not None and packet[packets.SOURCE] == hop.mine.address.packed:
                back.neighbour.heard()
            self._leave(back, packets.neighbour_advertisement(packet, mac_octets(hop.theirs.mac), router=True))

    def _leave(self, hop: Hop, packet: bytes) -> None:
        self.stations[hop.mine.node].sent_to_core(hop.out, packet)
        self._cross(hop, 0, self._clock.now, packet)

    def _cross(self, hop: Hop, at: int, time: int, packet: bytes) -> None:
        """Go on with a packet that comes to the beginning of the hop's line number ``at`` at ``time``."""
        lines, clock = hop.lines, self._clock
        while at < len(lines):
            line = lines[at]
            if not line.plain:
                if time > clock.now:
                    clock.at(time, KERNEL, self._cross, hop, at, time, packet)
                else:
                    for entry in line.entries(time, packet):
                        if entry > time:
                            clock.at(entry, KERNEL, self._enter, hop, at, packet)
                        else:
                            self._enter(hop, at, packet)
                return
            time += line.delay
            at += 1
        if time > clock.now:
            clock.at(time, KERNEL, self._arrive, hop, packet)
        else:
            self._arrive(hop, packet)

    def _arrive(self, hop: Hop, packet: bytes) -> None:
        self.stations[hop.theirs.node].from_core(hop.into, packet)
        if packet[packets.NEXT_HEADER] == packets.ICMPV6 and packet[packets.HOP_LIMIT] == packets.NEIGHBOUR_HOPS:
            self._discover(hop, packet)

    def _enter(self, hop: Hop, at: int, packet: bytes) -> None:
        left = hop.lines[at].leaves(self._clock.now, len(packet))
        if left is not None:
            self._cross(hop, at + 1, left, packet)

    def multicast(self, node: str, packet: bytes, neighbour: str | None = None) -> None:
        """Send a packet to the domain's group by the node's one interface, or by that to ``neighbour``."""
        first = neighbour if neighbour is not None else self._neighbours[node][0]
        self.stations[node].sent_to_core(self._out(node, first), packet)
        self._flood(node, first, packet)

    def _flood(self, node: str, neighbour: str, packet: bytes) -> None:
        """Cross one line; a bridge then hands the packet on by all others."""
        _, index = self._interfaces[neighbour, node]
        into = b"" if neighbour in self._bridges else frame_header(index, ETHERNET, MULTICAST, self._mac_of(packet))
        beyond = _Flood(self, node, neighbour, into)
        line, now = self._lines[node, neighbour], self._clock.now
        if line.plain:
            self._clock.at(now + line.delay, KERNEL, beyond.arrive, packet)
            return
        for entry in line.entries(now, packet):
            self._clock.at(entry, KERNEL, self._enter_flood, line, beyond, packet)

    def _enter_flood(self, line: Line, beyond: _Flood, packet: bytes) -> None:
        left = line.leaves(self._clock.now, len(packet))
        if left is not None:
            self._clock.at(left, KERNEL, beyond.arrive, packet)

    def arrived(self, node: str, came_from: str, into: bytes, packet: bytes) -> None:
        """A packet to the group comes to a node from its neighbour."""
        if node not in self._bridges:
            self.stations[node].from_core(into, packet)
            return
        for other in self._neighbours[node]:
            if other != came_from:
                self._flood(node, other, packet)

    def neighbour_by(self, node: str, interface: str) -> str:
        """Who is at the other end of a node's interface."""
        return next(other for other in self._neighbours[node] if self._interfaces[node, other][0].name == interface)

    def _mac_of(self, packet: bytes) -> bytes:
        """The link-layer address of the agent that a packet to the group comes from."""
        name = self._owner.get(packet[8:24], "")
        others = self._neighbours.get(name)
        return mac_octets(self._interfaces[name, others[0]][0].mac) if others else bytes(6)

    def _out(self, node: str, neighbour: str) -> bytes:
        end, index = self._interfaces[node, neighbour]
        return frame_header(index, ETHERNET, OUTGOING, mac_octets(end.mac))

    def _find(self, node: str, destination: bytes) -> Hop | None:
        """The hop to the first station on the way to an address: an agent's, one of a MAG's own prefixes, or at a router a home address."""
        owner = self._owner.get(destination) or self._aggregates.get(destination[:_AGGREGATE])
        if owner is None and node not in self._owner.values() and self._domain.lma is not None and _is_home(destination):
            owner = self._domain.lma.name
        if owner is None or owner == node:
            return None
        path = self._path(node, owner)
        return self._hop_between(node, next(name for name in path[1:] if name not in self._bridges))

    def _hop_between(self, node: str, station: str) -> Hop:
        """The hop from a station to another on its segment."""
        key = node, station
        if key not in self._towards:
            self._towards[key] = self._hop(self._path(*key))
        return self._towards[key]

    def _hop(self, path: tuple[str, ...]) -> Hop:
        (mine, _), (theirs, index) = self._interfaces[path[0], path[1]], self._interfaces[path[-1], path[-2]]
        neighbour = Neighbour(self, self._clock)
        hop = Hop(
            lines=tuple(self._lines[pair] for pair in pairwise(path)),
            out=self._out(path[0], path[1]),
            into=frame_header(index, ETHERNET, TO_US, mac_octets(mine.mac)),
            mine=mine,
            theirs=theirs,
            neighbour=neighbour,
        )
        neighbour.key = hop
        if self._written_down:
            neighbour.note()
        return hop

    def _path(self, a: str, b: str) -> tuple[str, ...]:
        """The nodes from one to the other; where the core is a tree there is one way, found without looking at all of it."""
        if self._parents is None:
            return paths(self._domain, a)[b]
        up, down = _ancestors(self._parents, a), _ancestors(self._parents, b)
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            up.pop()
            down.pop()
        return (*up, *reversed(down[:-1]))


@dataclass(frozen=True, slots=True)
class _Flood:
    """The end of a line that a packet to the group crosses."""

    core: Core
    came_from: str
    node: str
    into: bytes

    def arrive(self, packet: bytes) -> None:
        self.core.arrived(self.node, self.came_from, self.into, packet)


def _is_home(destination: bytes) -> bool:
    return destination[:_HOME_OCTETS] == _HOME


def _parents(neighbours: Mapping[str, list[str]]) -> dict[str, str]:
    """Of each node of a tree the one above it, seen from any root, which has none."""
    root = max(neighbours, key=lambda node: len(neighbours[node]))
    parents: dict[str, str] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        below = [other for other in neighbours[node] if other != parents.get(node)]
        parents.update(dict.fromkeys(below, node))
        waiting += below
    return parents


def _ancestors(parents: Mapping[str, str], node: str) -> list[str]:
    found = [node]
    while found[-1] in parents:
        found.append(parents[found[-1]])
    return found
