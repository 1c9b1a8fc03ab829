"""Where each millisecond of an expected delay comes from, as a formula of the links' delays in symbols and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from agents.schemes import SCHEMES, Delivery, Query
from experiments.declare.scenario import Case, Experiment
from topologies.domain import Domain, LinkKind
from topologies.routing import paths

_SYMBOLS = {LinkKind.MAG: "m", LinkKind.LMA: "l", LinkKind.TRUNK: "t"}
LEGEND = "a: access link, m: from a MAG to the core, l: from the LMA to the core, t: within the core; one way, in ms"

Hop = tuple[str, float]


def formula(experiment: Experiment, case: Case, metric: str, expected: float) -> str | None:
    """How ``expected`` ms follow from the links that a packet of the first flow passes at the start.

    None where the metric is no delay of a packet, where nothing is sent, or where links alone do not explain it (a rate limit adds
    serialisation).
    """
    if not experiment.scenario.flows:
        return None
    flow, domain = experiment.scenario.flows[0], experiment.domain
    place = {host.name: host.mag for host in domain.hosts}
    source, destination = place[flow.source], place[flow.destination]
    first = metric == "first_packet_delay_ms"
    hops = _one_way(domain, case, source, destination, first)
    if first:
        hops = [*hops, *_query(domain, case, source, destination)]
    elif metric != "one_way_delay_ms":
        return None
    if abs(sum(delay for _, delay in hops) - expected) > 1e-3:
        return None
    return f"{_symbols(hops)} = {_numbers(hops)} = {expected:g} ms"


def _one_way(domain: Domain, case: Case, source: str, destination: str, first: bool) -> list[Hop]:
    access: Hop = ("a", domain.access.delay * 1e3)
    scheme = SCHEMES[case.scheme]
    anchored = scheme.delivery is Delivery.DATA_DRIVEN and (first or not scheme.localized_routing)
    if anchored and domain.lma is not None:
        core = [*_path(domain, source, domain.lma.name), *_path(domain, domain.lma.name, destination)]
    else:
        core = _path(domain, source, destination)
    return [access, access, *core]


def _query(domain: Domain, case: Case, source: str, destination: str) -> list[Hop]:
    query = SCHEMES[case.scheme].query
    if query is Query.NONE or source == destination:
        return []
    asked = destination if query is Query.MULTICAST or domain.lma is None else domain.lma.name
    return 2 * _path(domain, source, asked)


def _path(domain: Domain, a: str, b: str) -> list[Hop]:
    links = {frozenset((link.a, link.b)): link for link in domain.links}
    passed = (links[frozenset(pair)] for pair in pairwise(paths(domain, a)[b]))
    return [(_SYMBOLS[link.kind], link.settings.delay * 1e3) for link in passed]


def _symbols(hops: Sequence[Hop]) -> str:
    return " + ".join(f"{count if count > 1 else ''}{symbol}" for symbol, count in Counter(symbol for symbol, _ in hops).items())


def _numbers(hops: Sequence[Hop]) -> str:
    return " + ".join(f"{count}·{delay:g}" if count > 1 else f"{delay:g}" for (_, delay), count in Counter(hops).items())
