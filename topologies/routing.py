"""The core's interfaces, addresses, paths, static unicast and multicast routes, as pure functions of a domain.

Bridges join links into one segment with one /64; a router or an agent has one address on each segment it is on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise, permutations

from topologies.addresses import HOME, core_subnet, mac, routed_aggregate, router_address
from topologies.domain import Agent, Domain, DomainError

_NEIGHBOURS_BESIDE = 8


@dataclass(frozen=True, slots=True)
class CoreInterface:
    """The end of core link number ``link`` at ``node``; ``address`` and ``prefix`` are None at a bridge."""

    node: str
    name: str
    link: int
    mac: str
    address: IPv6Address | None
    prefix: IPv6Network | None


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A static route: ``prefix`` is reached through ``via`` on ``interface``."""

    prefix: IPv6Network
    via: IPv6Address
    interface: str


@dataclass(frozen=True, slots=True)
class MulticastRoute:
    """What ``source`` sends to the domain's group comes in at ``incoming`` and leaves by each of ``outgoing``."""

    source: IPv6Address
    incoming: str
    outgoing: tuple[str, ...]


def agents(domain: Domain) -> tuple[Agent, ...]:
    """The nodes that can run an agent: the LMA, where there is one, and the MAGs."""
    return (*((domain.lma,) if domain.lma else ()), *domain.mags)


@lru_cache(maxsize=16)
def core_interfaces(domain: Domain) -> tuple[CoreInterface, ...]:
    """Both ends of every core link, in the order of the links."""
    bridges = {core.name for core in domain.core if not core.routed}
    fixed = {agent.name: agent.address for agent in agents(domain)}
    routers = [core.name for core in domain.core if core.routed]
    prefixes = _prefixes(domain, bridges)
    ports: dict[str, int] = dict.fromkeys(bridges, 1)
    found: list[CoreInterface] = []
    for number, link in enumerate(domain.links):
        for node in (link.a, link.b):
            port = ports.get(node, 0)
            ports[node] = port + 1
            prefix = None if node in bridges else prefixes[number]
            address = None
            if prefix is not None:
                address = fixed.get(node) or router_address(prefix, routers.index(node) + 1)
            found.append(CoreInterface(node, f"{node}-eth{port}", number, mac(1, len(found) + 1), address, prefix))
    return tuple(found)


def _prefixes(domain: Domain, bridges: set[str]) -> list[IPv6Network]:
    """The prefix of each link: its own, or that of any link joined to it by bridges, or the core's."""
    segment = list(range(len(domain.links)))
    for bridge in sorted(bridges):
        joined = [number for number, link in enumerate(domain.links) if bridge in (link.a, link.b)]
        lowest = min((segment[number] for number in joined), default=0)
        merged = {segment[number] for number in joined}
        segment = [lowest if of in merged else of for of in segment]
    named = {segment[number]: link.subnet for number, link in enumerate(domain.links) if link.subnet is not None}
    return [named.get(of, core_subnet(0)) for of in segment]


def neighbours(domain: Domain) -> Iterator[tuple[CoreInterface, CoreInterface]]:
    """Each interface of the core with an address, and every other on its segment, which it can reach without a router."""
    segments: dict[IPv6Network, list[CoreInterface]] = {}
    for end in core_interfaces(domain):
        if end.prefix is not None:
            segments.setdefault(end.prefix, []).append(end)
    for segment in segments.values():
        yield from permutations(segment, 2)


def neighbour_count(domain: Domain) -> int:
    """How many neighbours all nodes together may have: those on their segments, and on each interface groups and whoever else is there."""
    ends = sum(end.address is not None for end in core_interfaces(domain)) + 2 * len(domain.hosts)
    return sum(1 for _ in neighbours(domain)) + _NEIGHBOURS_BESIDE * ends


def paths(domain: Domain, source: str) -> dict[str, tuple[str, ...]]:
    """Core node to the nodes on the way there from ``source``, both ends included; least delay, then fewest hops."""
    return {node: path for node, (_, path) in _shortest(domain, source).items()}


def distances(domain: Domain, source: str) -> dict[str, float]:
    """Core node to the sum of the link delays on the way there from ``source``, in s."""
    return {node: delay for node, (delay, _) in _shortest(domain, source).items()}


def path_delay(domain: Domain, a: str, b: str) -> float:
    """The sum of the link delays between two core nodes, in s; DomainError where no path joins them."""
    try:
        return distances(domain, a)[b]
    except KeyError:
        raise DomainError(f"expected two nodes of the core that are joined by links, not {a!r} and {b!r}") from None


def _shortest(domain: Domain, source: str) -> dict[str, tuple[float, tuple[str, ...]]]:
    nodes = [*(agent.name for agent in agents(domain)), *(core.name for core in domain.core)]
    edges: dict[str, list[tuple[str, float]]] = {node: [] for node in nodes}
    for link in domain.links:
        edges[link.a].append((link.b, link.settings.delay))
        edges[link.b].append((link.a, link.settings.delay))
    found: dict[str, tuple[float, tuple[str, ...]]] = {}
    waiting: list[tuple[float, int, tuple[str, ...]]] = [(0.0, 0, (source,))] if source in edges else []
    while waiting:
        delay, hops, path = heapq.heappop(waiting)
        if path[-1] in found:
            continue
        found[path[-1]] = (delay, path)
        for neighbour, more in edges[path[-1]]:
            if neighbour not in found:
                heapq.heappush(waiting, (delay + more, hops + 1, (*path, neighbour)))
    return found


@lru_cache(maxsize=16)
def _interfaces_towards(domain: Domain) -> dict[tuple[str, str], CoreInterface]:
    """(node, neighbour) to the node's interface on the link to that neighbour."""
    ends = core_interfaces(domain)
    towards: dict[tuple[str, str], CoreInterface] = {}
    for mine, theirs in zip(ends[::2], ends[1::2], strict=True):
        towards.setdefault((mine.node, theirs.node), mine)
        towards.setdefault((theirs.node, mine.node), theirs)
    return towards


def routes(domain: Domain, node: str) -> tuple[StaticRoute, ...]:
    """The static routes of a router or an agent: to every segment that it is not on, and to each other MAG's routed prefixes.

    Routers have one to all home network prefixes as well, which leads to the LMA (RFC 5213, 5.6.2); MAGs have a use of their own for those.
    """
    towards = _interfaces_towards(domain)
    shortest = _shortest(domain, node)
    ends = [(end.prefix, end.node) for end in core_interfaces(domain) if end.prefix is not None]
    own = {prefix for prefix, at in ends if at == node}
    nearest: dict[IPv6Network, str] = {}
    for prefix, at in sorted(ends, key=lambda end: shortest[end[1]][0]):
        if prefix not in own:
            nearest.setdefault(prefix, at)

    def route(prefix: IPv6Network, target: str) -> StaticRoute:
        _, path = shortest[target]
        hops = (towards[hop, before].address for before, hop in pairwise(path))
        return StaticRoute(prefix, next(address for address in hops if address is not None), towards[node, path[1]].name)

    aggregates = ((routed_aggregate(domain, mag), mag.name) for mag in domain.mags if mag.name != node)
    router = node in (core.name for core in domain.core)
    home = ((HOME, domain.lma.name),) if domain.lma is not None and router else ()
    return tuple(route(prefix, target) for prefix, target in (*sorted(nearest.items()), *aggregates, *home))


def multicast_routes(domain: Domain, router: str) -> tuple[MulticastRoute, ...]:
    """The routes of a core router for what each MAG sends to the domain's group: to all interfaces with another MAG behind them."""
    towards = _interfaces_towards(domain)
    ways = paths(domain, router)
    behind = {mag.name: towards[router, ways[mag.name][1]].name for mag in domain.mags}
    found = []
    for mag in domain.mags:
        incoming = behind[mag.name]
        outgoing = dict.fromkeys(name for other, name in behind.items() if name != incoming and other != mag.name)
        if outgoing:
            found.append(MulticastRoute(mag.address, incoming, tuple(outgoing)))
    return tuple(found)
