"""How long packets take through a domain when nothing else is under way, in whole nanoseconds."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from topologies.domain import Domain, LinkSettings
from topologies.routing import paths

SECOND = 1_000_000_000
_ETHERNET = 14


def nanoseconds(seconds: float) -> int:
    """The nearest whole number of nanoseconds."""
    return round(seconds * SECOND)


def crossing(link: LinkSettings, size: int) -> int:
    """How long an IPv6 packet of ``size`` bytes takes over a link, in ns: the delay, and its frame at the link's rate."""
    return nanoseconds(link.delay) + (round((size + _ETHERNET) * 8 * SECOND / link.rate) if link.rate else 0)


def transit(domain: Domain, a: str, b: str, size: int) -> int:
    """How long an IPv6 packet of ``size`` bytes takes from one core node to another, in ns."""
    return 0 if a == b else sum(crossing(link, size) for link in links_between(domain, a, b))


@lru_cache(maxsize=4096)
def links_between(domain: Domain, a: str, b: str) -> tuple[LinkSettings, ...]:
    """The links on the way from one core node to another; none where no path joins them."""
    settings = {frozenset((link.a, link.b)): link.settings for link in reversed(domain.links)}
    path = paths(domain, a).get(b, ())
    return tuple(settings[frozenset(hop)] for hop in pairwise(path))
