"""Whether all is well after a fault: when packets flow again, how soon they must, and what stays behind (docs/faults.md derives it)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from agents.config import HOME_NETWORK, Settings
from agents.fib import ACCESS, MAIN, RULE_UPLINK, TRIGGER, TUNNEL
from agents.policies.error import BINDING_ERROR_INTERVAL
from agents.registration import REFRESH
from agents.schemes import Delivery, Query
from experiments.declare import files
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Attack, Fault, Impairment, Kill, Partition, Revocation, WrongClock
from experiments.declare.tolerance import TOLERANCES
from experiments.measure import node_state
from experiments.measure.node_state import NodeState
from experiments.measure.records import Trace
from topologies.domain import Host
from topologies.routing import path_delay
from topologies.timing import SECOND, nanoseconds

START = 0.1
"""s that an agent may take from its start until it is ready; in virtual time it takes a few ms."""

_AIR = "-air"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run with faults ended.

    Attributes:
        recovery: s from the last fault's end until every flow's packets arrive and none is lost any more; None where that never comes.
        bound: the most s that it may take.
        stale: what stayed behind, in words.
    """

    run: Deployment
    recovery: float | None
    bound: float
    stale: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.recovery is not None and self.recovery <= self.bound and not self.stale


def judge(run: Deployment, trace: Trace, folder: Path) -> Verdict:
    """The verdict on a run with faults from its captures, its nodes' state at the end and, for what waits in buffers, its events."""
    try:
        behind = (*stale(run, node_state.read(folder)), *held(folder / "events.jsonl"))
    except (OSError, ValueError) as error:
        behind = (f"unknown: {error}",)
    tolerance = TOLERANCES[run.engine]
    late = 0.0 if tolerance.exact else (tolerance.of("recovery_ms", "ms") or 0.0) / 1e3
    return Verdict(run, recovery(trace, run), bound(run) + late, behind)


# When packets flow again


def healed(run: Deployment) -> float:
    """The s of scenario time at which the last fault has ended; 0 where there was none."""
    return max((fault.end for fault in run.faults), default=0.0)


def recovery(trace: Trace, run: Deployment) -> float | None:
    """s from the last fault's end until the first packet, sent after that, arrives from which on no packet of its flow is lost; of the
    slowest flow, None where one loses packets to its end."""
    end = run.epoch + nanoseconds(healed(run))
    arrivals = []
    for number in range(len(run.scenario.flows)):
        arrival = None
        for packet in reversed([packet for packet in trace.packets if packet.flow == number and packet.sent >= end]):
            if packet.received is None:
                break
            arrival = packet.received
        if arrival is None:
            return None
        arrivals.append(arrival)
    return max((arrival - end for arrival in arrivals), default=0) / SECOND


def bound(run: Deployment) -> float:
    """The most s that ``recovery`` may take, from the protocol's timers and the network's delays."""
    timers = _Timers(run)
    return max((_BOUNDS[type(fault)](fault, timers) for fault in run.faults), default=0.0) + timers.arrival


class _Timers:
    """What recovery is made of, in s; each is the longest that it can take."""

    def __init__(self, run: Deployment) -> None:
        domain = run.domain
        self.scheme = run.scheme
        self.settings: Settings = run.settings
        self.anchors = run.anchor_names
        self.round_trip = 2 * max((path_delay(domain, a, b) for a, b in combinations(run.agent, 2)), default=0.0)
        interval = max((1 / flow.rate for flow in run.scenario.flows), default=0.0)
        self.arrival = interval + 2 * domain.access.delay + self.round_trip
        told = self.settings.lr_wait_time + 2 * self.round_trip
        self.localized = told if self.scheme.localized_routing else 0.0
        self.reports = run.policy.reports

    def registration(self, length: float) -> float:
        """An update that was under way during a fault of ``length`` s is sent again and answered (RFC 6275, 11.8)."""
        settings = self.settings
        again = min(length + settings.binding_timeout, settings.binding_timeout_max)
        return again + self.round_trip if self.scheme.binding_update else 0.0

    def query(self, length: float) -> float:
        """The same of a query, which may have failed just before the end and is then asked again by a later packet."""
        if self.scheme.query is Query.NONE:
            return 0.0
        settings = self.settings
        wait = min(length + settings.query_timeout, settings.query_timeout * 2.0 ** (settings.query_tries - 1))
        return wait + settings.query_failure + self.round_trip

    @property
    def stale(self) -> float:
        """How long a route may point to a MAG that a node has left, where the signalling that should re-point it was lost."""
        if self.scheme.query is Query.NONE:
            return self.localized
        return BINDING_ERROR_INTERVAL + self.round_trip if self.reports else self.settings.query_lifetime


def _killed(fault: Kill, timers: _Timers) -> float:
    length = fault.end - fault.at
    if fault.node not in timers.anchors:
        return _restarted(length, timers)
    refresh = max(REFRESH * timers.settings.binding_lifetime + timers.round_trip, timers.registration(length))
    return START + max(refresh, timers.stale) + timers.query(length)


def _restarted(length: float, timers: _Timers) -> float:
    """A MAG starts anew, and registers its nodes at once; the others learn of it as of a handover, or ask."""
    told = min(timers.stale, BINDING_ERROR_INTERVAL + timers.round_trip)
    return START + timers.round_trip + told + timers.query(length)


def _impaired(fault: Impairment, timers: _Timers) -> float:
    length = fault.end - fault.at
    return fault.delay + max(timers.registration(length) + timers.round_trip, timers.stale) + timers.query(length)


def _parted(fault: Partition, timers: _Timers) -> float:
    length = fault.end - fault.at
    if timers.anchors & {fault.a, fault.b}:
        return max(timers.registration(length) + timers.round_trip, timers.stale) + timers.query(length)
    return timers.query(length) if timers.scheme.query is Query.MULTICAST else 0.0


def _set_right(fault: WrongClock, timers: _Timers) -> float:
    return _restarted(fault.end, timers)


_BOUNDS: Mapping[type[Fault], Callable[[Any, _Timers], float]] = {
    Kill: _killed,
    Impairment: _impaired,
    Partition: _parted,
    WrongClock: _set_right,
    Revocation: lambda revocation, timers: timers.registration(0.0) + timers.stale + timers.query(revocation.end - revocation.at),
    Attack: lambda attack, timers: 0.0,
}


# What stays behind


def stale(run: Deployment, states: Mapping[str, NodeState]) -> tuple[str, ...]:
    """What the kernels of the agents' nodes should not hold at the end of a run, or lack, where every host is where it went last."""
    where = {host.name: host.mag for host in run.domain.hosts}
    where |= {move.mn: move.to for move in sorted(run.scenario.moves, key=lambda move: move.at)}
    return tuple(f"{node}: {what}" for node, found in states.items() for what in _of_node(run, node, found, where))


def _of_node(run: Deployment, node: str, found: NodeState, where: Mapping[str, str]) -> Iterator[str]:
    scheme = run.scheme
    here = [host for host in run.domain.hosts if where[host.name] == node]
    for listed in (*_twice(found.routes), *_twice(found.rules)):
        yield f"twice {listed}"
    if not scheme.home_prefixes:
        return
    anchor = node in run.anchor_names
    devices = [TUNNEL] if anchor or scheme.query is Query.NONE else [TUNNEL, TRIGGER]
    for device in devices:
        if device not in found.links:
            yield f"no device {device}"
    yield from _routes_astray(run, node, found, where)
    rules = {(rule.priority, rule.link) for rule in found.rules}
    for priority, link in sorted((rule for rule in rules if (rule[1] or "").endswith(_AIR)), key=str):
        if link not in [host.air for host in here]:
            yield f"rule {priority} for {link}, which is not here"
    for host in here:
        for table in (MAIN, ACCESS):
            if not any(r.prefix == host.home_network_prefix and r.table == table and r.link == host.air for r in found.routes):
                yield f"no route of {host.home_network_prefix} to {host.air} in table {table}"
        if scheme.delivery is Delivery.DATA_DRIVEN and (RULE_UPLINK, host.air) not in rules:
            yield f"no uplink for {host.air}"
    if anchor:
        bound_prefixes = {route.prefix for route in found.routes if route.care_of is not None}
        for host in run.domain.hosts:
            if host.home_network_prefix not in bound_prefixes:
                yield f"no route of {host.home_network_prefix}"


def _routes_astray(run: Deployment, node: str, found: NodeState, where: Mapping[str, str]) -> Iterator[str]:
    hosts: dict[object, Host] = {host.home_network_prefix: host for host in run.domain.hosts}
    for route in found.routes:
        if route.prefix == HOME_NETWORK or not route.prefix.subnet_of(HOME_NETWORK):
            continue
        host = hosts.get(route.prefix)
        mag = None if host is None else where[host.name]
        if host is not None and mag == node and route.link == host.air and route.care_of is None:
            continue
        if mag is not None and mag != node and route.care_of == run.care_of[mag] and route.link == TUNNEL:
            continue
        yield f"a route of {route.prefix} to {route.care_of or route.link}, but its node is at {mag or 'no MAG'}"


def _twice(listed: tuple[Any, ...]) -> Iterator[Any]:
    return (entry for entry, count in Counter(listed).items() if count > 1)


def held(events: Path) -> tuple[str, ...]:
    """Which agents still hold packets at the end, by their own account: of those that they were given since they last started, neither
    sent on nor dropped."""
    waiting: Counter[str] = Counter()
    for line in files.read(events, files.MOST_JOURNAL).decode().splitlines():
        entry = json.loads(line)
        node, event = entry["node"], entry["event"]
        if event == "started":
            waiting[node] = 0
        elif event in _TAKEN:
            waiting[node] += entry.get("times", 1)
        elif event in _GIVEN:
            waiting[node] -= entry.get("packets", 1)
    return tuple(f"{node}: {count} packets in its buffers" for node, count in waiting.items() if count)


_TAKEN = frozenset({"packet", "tunnelled packet"})
_GIVEN = frozenset({"released", "dropped", "multicast", "release failed", "multicast failed"})
