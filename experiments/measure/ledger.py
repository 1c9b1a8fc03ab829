"""The loss ledger: where each test packet that never arrived was last seen, and why it went no further.

A reason follows from the captures and from what the run declares: when nodes leave their MAGs, what links lose, the agents'
settings. What agents say of themselves plays no part. docs/metrics.md, "Losses", has the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.schemes import Delivery
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import DRAIN, Partition
from experiments.measure.dissect import TestPackets, address_number
from experiments.measure.records import Loss, Packet, Reason, Sight, Trace
from experiments.measure.stays import Stays
from experiments.measure.waits import PROMPT, Waits
from topologies.domain import Host, LinkSettings
from topologies.routing import agents
from topologies.timing import SECOND, crossing, links_between, nanoseconds

_RESOLUTION = 3 * SECOND
"""How long a packet waits for neighbour discovery before it is given up (RFC 4861, 10)."""

_REFUSALS = frozenset({(1, 1), (1, 3), (2, 0)})
"""ICMPv6 errors by type and code that say no to a packet: prohibited, address unreachable, too big (RFC 4443, 3)."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A packet at a node; ``towards`` is the outer destination that it came or left with there last, 0 where it had none."""

    node: str
    time: int
    sight: Sight
    size: int
    towards: int


def ledger(trace: Trace, run: Deployment, tables: Mapping[str, TestPackets]) -> tuple[Loss, ...]:
    """One entry for each packet of ``trace`` that was not received, in order; ``tables`` are the test packets in each node's capture."""
    lost = [packet for packet in trace.packets if packet.received is None]
    if not lost:
        return ()
    reasons = _Reasons(trace, run, tables)
    tracks = _tracks(lost, tables, run.host)
    return tuple(_loss(packet, _last(tracks[_key(packet)], run.host), reasons) for packet in lost)


def _loss(packet: Packet, last: _Sighting, reasons: _Reasons) -> Loss:
    return Loss(packet.flow, packet.sequence, last.node, last.sight, reasons.of(packet, last))


def _key(packet: Packet) -> int:
    return packet.flow << 32 | packet.sequence


def _tracks(lost: Iterable[Packet], tables: Mapping[str, TestPackets], hosts: Container[str]) -> Mapping[int, list[_Sighting]]:
    """Every sighting of the lost packets by key; those of one node are in the order of its capture."""
    wanted = np.array([_key(packet) for packet in lost], dtype=np.int64)
    tracks: dict[int, list[_Sighting]] = defaultdict(list)
    for node, table in tables.items():
        keys = (table.flows << 32) | table.sequences
        rows = np.flatnonzero(np.isin(keys, wanted))
        masks = (table.tun, table.wire, table.access | (node in hosts), table.outgoing)
        columns = (keys, table.times, table.sizes, table.towards, *masks)
        outer: dict[int, int] = {}
        for key, time, size, towards, *device in zip(*(column[rows].tolist() for column in columns), strict=True):
            outer[key] = towards or outer.get(key, 0)
            tracks[key].append(_Sighting(node, time, _sight(*device), size, outer[key]))
    return tracks


def _sight(tun: bool, wire: bool, access: bool, outgoing: bool) -> Sight:
    if tun:
        return Sight.TO_AGENT if outgoing else Sight.FROM_AGENT
    if not wire:
        return Sight.TO_TUNNEL if outgoing else Sight.FROM_TUNNEL
    if access:
        return Sight.TO_ACCESS if outgoing else Sight.FROM_ACCESS
    return Sight.TO_CORE if outgoing else Sight.FROM_CORE


_INCOMING = frozenset({Sight.FROM_ACCESS, Sight.FROM_CORE})


def _last(track: Iterable[_Sighting], hosts: Container[str]) -> _Sighting:
    """How far a packet came: of several copies, the one that a MAG sent to the host, else the latest.

    Within one node the order of the capture tells; between nodes, where times are equal, who took it in is later than who sent it.
    """
    latest = {sighting.node: sighting for sighting in track}

    def rank(sighting: _Sighting) -> tuple[bool, int, bool]:
        delivered = sighting.sight is Sight.TO_ACCESS and sighting.node not in hosts
        return delivered, sighting.time, sighting.sight in _INCOMING or sighting.sight is Sight.FROM_TUNNEL

    return max(latest.values(), key=rank)


class _Reasons:
    """Why packets of one run went no further than where they were last seen."""

    def __init__(self, trace: Trace, run: Deployment, tables: Mapping[str, TestPackets]) -> None:
        self._trace = trace
        self._run = run
        self._domain = run.domain
        self._access = run.domain.access
        self._scheme = run.scheme
        self._forwards = run.policy.forwards
        self._end = run.epoch + nanoseconds(run.scenario.duration + DRAIN)
        self._hosts = run.host
        self._lmas = run.lma_names
        self._agents = {address_number(agent.address): agent.name for agent in agents(run.domain)}
        self._links = [link.settings for link in run.domain.links]
        self._refused = {(r.flow, r.sequence, r.node) for r in trace.refusals if (r.type, r.code) in _REFUSALS}
        self._stays = Stays(trace, run)
        self._waits = Waits(trace, run, tables, self._stays)
        self._rules = {
            Sight.FROM_ACCESS: self._from_access,
            Sight.TO_ACCESS: self._to_access,
            Sight.FROM_CORE: self._from_core,
            Sight.TO_CORE: self._to_core,
            Sight.FROM_TUNNEL: self._from_tunnel,
            Sight.TO_TUNNEL: self._to_core,
            Sight.TO_AGENT: self._to_agent,
            Sight.FROM_AGENT: self._undelivered,
        }

    def of(self, packet: Packet, last: _Sighting) -> Reason:
        """The reason of one packet, which was seen last as ``last`` says."""
        if (packet.flow, packet.sequence, last.node) in self._refused:
            return Reason.REFUSED
        return self._rules[last.sight](packet, last)

    # By where the packet was last seen

    def _to_access(self, packet: Packet, last: _Sighting) -> Reason:
        """On its way over an access link: of its source's, if the source sent it, else of its destination's."""
        flow = self._run.scenario.flows[packet.flow]
        host = last.node if last.node in self._hosts else flow.destination
        arrives = last.time + crossing(self._access, last.size) + nanoseconds(self._access.jitter)
        stay = self._stays.at(host, last.time)
        if stay is None or stay.until <= arrives:
            return Reason.IN_THE_AIR
        if self._access.loss:
            return Reason.LINK_LOSS
        if self._access.rate and stay.until < self._end:
            return Reason.IN_THE_AIR
        return Reason.UNDER_WAY if self._access.rate or arrives >= self._end else Reason.UNEXPLAINED

    def _to_core(self, packet: Packet, last: _Sighting) -> Reason:
        """On its way through the core: where it is encapsulated to, or, plain, to the MAG of its destination's address."""
        to = self._agents.get(last.towards) if last.towards else self._home(packet).mag
        links, way = self._way(last.node, to, last.size)
        if any(link.loss for link in links) or self._parted(last.node, to, last.time, last.time + way):
            return Reason.LINK_LOSS
        return Reason.UNDER_WAY if any(link.rate for link in links) or last.time + way >= self._end else Reason.UNEXPLAINED

    def _from_access(self, packet: Packet, last: _Sighting) -> Reason:
        """A MAG had it from its source and did nothing with it that a capture shows."""
        flow = self._run.scenario.flows[packet.flow]
        if self._scheme.delivery is Delivery.ROUTED:
            return self._from_core(packet, last)
        source = self._stays.at(flow.source, last.time)
        if source is None or not source.served(last.time):
            return Reason.NO_ROUTE
        if self._scheme.delivery is Delivery.DATA_DRIVEN and not self._scheme.localized_routing:
            return Reason.AGENT_DOWN
        there = self._stays.at(flow.destination, last.time)
        return self._undelivered(packet, last) if there is not None and there.mag == last.node else Reason.AGENT_DOWN

    def _from_core(self, packet: Packet, last: _Sighting) -> Reason:
        """Not taken out of its tunnel, or, plain, not delivered."""
        if last.towards:
            return Reason.AGENT_DOWN if last.node in self._agents.values() else Reason.UNEXPLAINED
        return self._undelivered(packet, last) if last.node == self._home(packet).mag else Reason.UNEXPLAINED

    def _from_tunnel(self, packet: Packet, last: _Sighting) -> Reason:
        return Reason.NO_ROUTE if last.node in self._lmas else self._undelivered(packet, last)

    def _undelivered(self, packet: Packet, last: _Sighting) -> Reason:
        """A MAG had it for delivery and never sent it to the host; what went to the group may not have come to the host's MAG."""
        host = self._run.scenario.flows[packet.flow].destination
        stay = self._stays.at(host, last.time)
        if stay is None or stay.mag != last.node:
            if last.sight is Sight.FROM_AGENT:
                return Reason.IN_THE_AIR
            if last.towards and last.towards not in self._agents:
                lossy = any(link.loss for link in self._links)
                return Reason.LINK_LOSS if lossy and stay is not None else Reason.NO_ROUTE
            if self._kept(last):
                return self._to_agent(packet, last)
            left = any(stay.mag == last.node and stay.until <= last.time for stay in self._stays.of(host))
            return Reason.NODE_LEFT if left else Reason.NO_ROUTE
        if not stay.served(last.time):
            if stay.heard > last.time >= stay.since + PROMPT:
                return Reason.AGENT_DOWN
            return self._to_agent(packet, last) if self._kept(last) else Reason.NO_ROUTE
        if stay.until <= last.time + _RESOLUTION:
            return Reason.IN_THE_AIR
        if self._access.loss:
            return Reason.LINK_LOSS
        return Reason.UNDER_WAY if last.time + _RESOLUTION >= self._end else Reason.UNEXPLAINED

    def _kept(self, last: _Sighting) -> bool:
        """Whether the agent keeps what came through a tunnel and has no access route, for the host or to send it on."""
        return self._forwards and last.sight is Sight.FROM_TUNNEL

    def _to_agent(self, packet: Packet, last: _Sighting) -> Reason:
        """The MAG's agent had it and never gave it back."""
        return self._waits.reason(last.node, self._home(packet).name, _key(packet))

    # Where things are

    def _parted(self, a: str, b: str | None, begin: int, end: int) -> bool:
        """Whether a partition keeps what goes from ``a`` to ``b`` meanwhile."""
        epoch = self._run.epoch
        partitions = [fault for fault in self._run.faults if isinstance(fault, Partition) and {fault.a, fault.b} == {a, b}]
        return any(begin < epoch + nanoseconds(fault.end) and end >= epoch + nanoseconds(fault.at) for fault in partitions)

    def _home(self, packet: Packet) -> Host:
        return self._hosts[self._run.scenario.flows[packet.flow].destination]

    def _way(self, a: str, b: str | None, size: int) -> tuple[Sequence[LinkSettings], int]:
        """The core links from one node to another and how long a packet takes over them; all of them where the other is not known."""
        if b is None:
            return self._links, 0
        links = links_between(self._domain, a, b)
        return links, sum(crossing(link, size) + nanoseconds(link.jitter) for link in links)
