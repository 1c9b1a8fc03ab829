"""The loss ledger: where each test packet that never arrived was last seen, and why it went no further.

A reason follows from the captures and from what the run declares: when nodes leave their MAGs, what links lose, the agents'
settings. What agents say of themselves plays no part. docs/metrics.md, "Losses", has the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Network
from itertools import groupby, pairwise

import numpy as np

from agents.messages import Status
from agents.schemes import SCHEMES, Delivery, Query
from experiments.measure.dissect import TestPackets, address_number
from experiments.measure.predict import crossing
from experiments.measure.records import Loss, Packet, Reason, Sight, Signal, Trace
from experiments.scenario import DRAIN, Run
from experiments.settings import agent_settings
from topologies.addresses import routed_prefix
from topologies.domain import Host, LinkSettings
from topologies.routing import agents, paths

_SECOND = 1_000_000_000
_PROMPT = 5_000_000
"""An agent that runs has reacted within this many ns."""

_RESOLUTION = 3 * _SECOND
"""How long a packet waits for neighbour discovery before it is given up (RFC 4861, 10)."""

_ALIVE = _SECOND
"""An agent that gives no sign of itself for this many ns does not run."""

_REFUSALS = frozenset({(1, 1), (1, 3), (2, 0)})
"""ICMPv6 errors by type and code that say no to a packet: prohibited, address unreachable, too big (RFC 4443, 3)."""

_EVER = -1 << 62
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A packet at a node; ``towards`` is the outer destination that it came or left with there last, 0 where it had none."""

    node: str
    time: int
    sight: Sight
    size: int
    towards: int


@dataclass(frozen=True, slots=True)
class _Stay:
    """A host's time at a MAG: associated from ``since`` until it left; ``heard`` is when the MAG first did something for it, ``served``
    when it advertised the host's prefix."""

    mag: str
    since: int
    until: int
    heard: int
    served: int


@dataclass(frozen=True, slots=True)
class _Query:
    """A query for a host from its first sending until it is over; ``end`` says for what reason it let waiting packets down, if it did."""

    began: int
    over: int
    end: Reason | None

    def holds(self, time: int) -> bool:
        """Whether packets that come at ``time`` wait for it; an agent may be about to send it, or about to read its answer."""
        return self.began - _PROMPT <= time <= self.over + (_PROMPT if self.end is None else 0)


def ledger(trace: Trace, run: Run, tables: Mapping[str, TestPackets]) -> tuple[Loss, ...]:
    """One entry for each packet of ``trace`` that was not received, in order; ``tables`` are the test packets in each node's capture."""
    lost = [packet for packet in trace.packets if packet.received is None]
    if not lost:
        return ()
    reasons = _Reasons(trace, run, tables)
    hosts = frozenset(host.name for host in run.domain.hosts)
    tracks = _tracks(lost, tables, hosts)
    return tuple(_loss(packet, _last(tracks[_key(packet)], hosts), reasons) for packet in lost)


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

    def __init__(self, trace: Trace, run: Run, tables: Mapping[str, TestPackets]) -> None:
        self._trace = trace
        self._run = run
        self._tables = tables
        self._domain = run.domain
        self._access = run.domain.access
        self._scheme = SCHEMES[run.case.scheme]
        self._settings = agent_settings({**run.settings, **run.case.settings})
        self._end = run.epoch + round((run.scenario.duration + DRAIN) * _SECOND)
        self._hosts = {host.name: host for host in run.domain.hosts}
        self._lma = run.domain.lma.name if run.domain.lma else None
        self._agents = {address_number(agent.address): agent.name for agent in agents(run.domain)}
        self._links = {frozenset((link.a, link.b)): link.settings for link in reversed(run.domain.links)}
        self._refused = {(r.flow, r.sequence, r.node) for r in trace.refusals if (r.type, r.code) in _REFUSALS}
        self._queues: dict[tuple[str, str], Mapping[int, Reason]] = {}
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
        arrives = last.time + crossing(self._access, last.size) + round(self._access.jitter * _SECOND)
        stay = self._stay(host, last.time)
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
        if any(link.loss for link in links):
            return Reason.LINK_LOSS
        return Reason.UNDER_WAY if any(link.rate for link in links) or last.time + way >= self._end else Reason.UNEXPLAINED

    def _from_access(self, packet: Packet, last: _Sighting) -> Reason:
        """A MAG had it from its source and did nothing with it that a capture shows."""
        flow = self._run.scenario.flows[packet.flow]
        if self._scheme.delivery is Delivery.ROUTED:
            return self._from_core(packet, last)
        source = self._stay(flow.source, last.time)
        if source is None or source.served > last.time:
            return Reason.NO_ROUTE
        if self._scheme.delivery is Delivery.DATA_DRIVEN and not self._scheme.localized_routing:
            return Reason.AGENT_DOWN
        there = self._stay(flow.destination, last.time)
        return self._undelivered(packet, last) if there is not None and there.mag == last.node else Reason.AGENT_DOWN

    def _from_core(self, packet: Packet, last: _Sighting) -> Reason:
        """Not taken out of its tunnel, or, plain, not delivered."""
        if last.towards:
            return Reason.AGENT_DOWN if last.node in self._agents.values() else Reason.UNEXPLAINED
        return self._undelivered(packet, last) if last.node == self._home(packet).mag else Reason.UNEXPLAINED

    def _from_tunnel(self, packet: Packet, last: _Sighting) -> Reason:
        return Reason.NO_ROUTE if last.node == self._lma else self._undelivered(packet, last)

    def _undelivered(self, packet: Packet, last: _Sighting) -> Reason:
        """A MAG had it for delivery and never sent it to the host; what went to the group may not have come to the host's MAG."""
        host = self._run.scenario.flows[packet.flow].destination
        stay = self._stay(host, last.time)
        if stay is None or stay.mag != last.node:
            if last.sight is Sight.FROM_AGENT:
                return Reason.IN_THE_AIR
            if last.towards and last.towards not in self._agents:
                lossy = any(link.loss for link in self._links.values())
                return Reason.LINK_LOSS if lossy and stay is not None else Reason.NO_ROUTE
            left = any(stay.mag == last.node and stay.until <= last.time for stay in self._stays[host])
            return Reason.NODE_LEFT if left else Reason.NO_ROUTE
        if stay.served > last.time:
            return Reason.AGENT_DOWN if stay.heard > last.time >= stay.since + _PROMPT else Reason.NO_ROUTE
        if stay.until <= last.time + _RESOLUTION:
            return Reason.IN_THE_AIR
        if self._access.loss:
            return Reason.LINK_LOSS
        return Reason.UNDER_WAY if last.time + _RESOLUTION >= self._end else Reason.UNEXPLAINED

    def _to_agent(self, packet: Packet, last: _Sighting) -> Reason:
        """The MAG's agent had it and never gave it back."""
        where = last.node, self._run.scenario.flows[packet.flow].destination
        if where not in self._queues:
            self._queues[where] = self._queue(*where)
        return self._queues[where].get(_key(packet), Reason.UNEXPLAINED)

    # Where hosts are

    def _home(self, packet: Packet) -> Host:
        return self._hosts[self._run.scenario.flows[packet.flow].destination]

    def _way(self, a: str, b: str | None, size: int) -> tuple[list[LinkSettings], int]:
        """The core links from one node to another and how long a packet takes over them; all of them where the other is not known."""
        if b is None:
            return list(self._links.values()), 0
        links = [self._links[frozenset(hop)] for hop in pairwise(paths(self._domain, a).get(b, ()))]
        return links, sum(crossing(link, size) + round(link.jitter * _SECOND) for link in links)

    def _stay(self, host: str, time: int) -> _Stay | None:
        """Where a host is, or None where it is on no link."""
        return next((stay for stay in self._stays[host] if stay.since <= time < stay.until), None)

    @cached_property
    def _stays(self) -> Mapping[str, list[_Stay]]:
        """From associations (captures), departures (declared) and what MAGs then sent about the host (captures)."""
        stays = {}
        for name, host in self._hosts.items():
            came = [(_EVER, host.mag), *((a.time, a.mag) for a in self._trace.associations if a.node == name)]
            left = [self._run.epoch + round(move.at * _SECOND) for move in self._run.scenario.moves if move.mn == name]
            ends = [*(time for time, _ in came[1:]), _NEVER]
            stays[name] = [
                _Stay(mag, since, min([end, *(time for time in left if time > since)]), *self._first_care(host, mag, since, end))
                for (since, mag), end in zip(came, ends, strict=True)
            ]
        return stays

    def _first_care(self, host: Host, mag: str, since: int, end: int) -> tuple[int, int]:
        """When a MAG first registered or advertised to a host that came at ``since``, and when it first advertised."""
        if since == _EVER:
            return _EVER, _EVER
        routed = next(routed_prefix(self._domain, agent, host) for agent in self._domain.mags if agent.name == mag)
        prefixes = {str(host.home_network_prefix), str(routed)}
        sent = [signal for signal in self._trace.signals if signal.sender == mag and since <= signal.sent < end]
        served = [signal.sent for signal in sent if signal.kind == "RA" and signal.home in prefixes and signal.lifetime]
        registered = [signal.sent for signal in sent if signal.kind == "PBU" and signal.mn_id == host.mn_id]
        return min([*registered, *served], default=_NEVER), min(served, default=_NEVER)

    # What waits in a MAG

    def _queue(self, mag: str, host: str) -> Mapping[int, Reason]:
        """Why each packet for a host that a MAG's agent had and never gave back was lost: the agent's buffer, played from the capture."""
        settings = self._settings
        table = self._tables[mag]
        flows = [number for number, flow in enumerate(self._run.scenario.flows) if flow.destination == host]
        ours = np.isin(table.flows, np.array(flows, dtype=np.int64))
        keys = (table.flows << 32) | table.sequences
        back = np.flatnonzero(ours & ((table.tun & ~table.outgoing) | (table.wire & table.outgoing & table.encapsulated)))
        released = dict(zip(keys[back][::-1].tolist(), table.times[back][::-1].tolist(), strict=True))
        came = np.flatnonzero(ours & table.tun & table.outgoing)
        queries = self._queries(mag, host)
        reasons: dict[int, Reason] = {}
        held: list[tuple[int, int]] = []
        for key, time, size in zip(keys[came].tolist(), table.times[came].tolist(), table.sizes[came].tolist(), strict=True):
            held = [(gone, octets) for gone, octets in held if gone >= time]
            if key in released:
                held.append((released[key], size))
                continue
            stay = self._stay(host, time)
            waits = (stay is not None and stay.mag == mag) or any(query.holds(time) for query in queries)
            if not waits:
                reasons[key] = self._turned_away(mag, time, queries)
            elif len(held) >= settings.buffer_packets or sum(octets for _, octets in held) + size > settings.buffer_bytes:
                reasons[key] = Reason.BUFFER_FULL
            else:
                gone, reasons[key] = self._fate(time, queries)
                held.append((gone, size))
        return reasons

    def _fate(self, time: int, queries: Iterable[_Query]) -> tuple[int, Reason]:
        """When and why a packet that was held and never released went: whatever came first."""
        ends = [(query.over, query.end) for query in queries if query.end is not None and query.holds(time)]
        timeout = time + round(self._settings.buffer_time * _SECOND)
        return min([*ends, (timeout, Reason.BUFFER_TIMEOUT), (self._end, Reason.UNDER_WAY)], key=lambda end: end[0])

    def _turned_away(self, mag: str, time: int, queries: Iterable[_Query]) -> Reason:
        """Why an agent did not even hold a packet: no query was under way, and none was begun."""
        settings = self._settings
        remembered = round(settings.query_failure * _SECOND)
        if any(query.end is Reason.REFUSED and query.over <= time < query.over + remembered for query in queries):
            return Reason.REFUSED
        refill = round(_SECOND / settings.query_rate)
        if any(0 <= time - first.sent < refill for first, *_ in self._asked(mag)):
            return Reason.REFUSED
        return Reason.UNEXPLAINED if self._alive(mag, time) else Reason.AGENT_DOWN

    def _alive(self, mag: str, time: int) -> bool:
        """Whether a MAG's agent signals, or gives packets back, soon after ``time``."""
        if any(signal.sender == mag and 0 <= signal.sent - time <= _ALIVE for signal in self._trace.signals):
            return True
        table = self._tables[mag]
        given = table.times[table.tun & ~table.outgoing]
        return bool(((given >= time) & (given <= time + _ALIVE)).any())

    def _asked(self, mag: str) -> Iterator[list[Signal]]:
        """The sendings of each query of a MAG."""
        sent = sorted(
            (s for s in self._trace.signals if s.kind == "PBQ" and s.sender == mag), key=lambda s: (s.home or "", s.sequence or 0, s.sent)
        )
        for _, sendings in groupby(sent, key=lambda s: (s.home, s.sequence)):
            yield list(sendings)

    def _queries(self, mag: str, host: str) -> list[_Query]:
        """A MAG's queries for a host. A query without an answer is repeated after ever longer times, fails after the last try,
        and is given up where the host comes to the MAG itself; where a repetition that is due never comes, the agent does not run."""
        settings = self._settings
        address = str(next(agent.address for agent in self._domain.mags if agent.name == mag))
        came = [stay.since for stay in self._stays[host] if stay.mag == mag]
        found = []
        for sendings in self._asked(mag):
            if not IPv6Network(sendings[0].home or "::").subnet_of(self._hosts[host].home_network_prefix):
                continue
            began, tries = sendings[0].sent, len(sendings)
            due = sendings[-1].sent + round(settings.query_timeout * 2 ** (tries - 1) * _SECOND)
            ends: list[tuple[int, Reason | None]] = [(due, Reason.REFUSED if tries >= settings.query_tries else Reason.AGENT_DOWN)]
            ends += [(since, None) for since in came if since > began]
            for answer in self._trace.signals:
                if answer.kind == "PQA" and answer.sequence == sendings[0].sequence and answer.care_of != address:
                    denied = (answer.status or 0) >= Status.REASON_UNSPECIFIED
                    if denied and self._scheme.query is Query.MULTICAST:
                        continue
                    ends += [(at, Reason.REFUSED if denied else None) for node, at in answer.arrivals if node == mag and at >= began]
            over, end = min(ends, key=lambda end: end[0])
            found.append(_Query(began, over, end if over + _PROMPT < self._end else None))
        return found
