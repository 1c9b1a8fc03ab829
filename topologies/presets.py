"""Domains ready to use: ``star``, one bridged core, and ``tree``, a routed one; sizes and links are parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from topologies import toml
from topologies.addresses import core_subnet, host, lma_address, mag_address
from topologies.addresses import routed_prefix as routed_prefix
from topologies.check import check
from topologies.domain import Agent, Core, Domain, Host, Link, LinkKind, LinkSettings
from topologies.domain import DomainError as DomainError

_ACCESS = LinkSettings(delay=0.002)
_MAG = LinkSettings(delay=0.005)
_LMA_LINK = LinkSettings(delay=0.020)
_TRUNK = LinkSettings(delay=0.005)


def _hosts(mags: Sequence[Agent], mns: int, cns: int) -> tuple[Host, ...]:
    """MNs from the second MAG on and CNs from the first, in turn; numbered MNs first."""
    places = [(f"mn{i}", i) for i in range(1, mns + 1)] + [(f"cn{i}", i - 1) for i in range(1, cns + 1)]
    return tuple(host(name, mags[at % len(mags)].name, number) for number, (name, at) in enumerate(places, 1))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        least = 0 if name in ("mns", "cns") else 1
        if size < least:
            raise DomainError(f"expected {name} to be {least} or more, not {size}")


def star(
    mags: int = 3,
    mns: int = 1,
    cns: int = 1,
    lma: bool = True,
    access: LinkSettings = _ACCESS,
    mag: LinkSettings = _MAG,
    lma_link: LinkSettings = _LMA_LINK,
) -> Domain:
    """One bridge, ``s1``, that joins all MAGs and the LMA; the default domain. DomainError for sizes that make no network."""
    _check_sizes(mags=mags, mns=mns, cns=cns)
    gateways = tuple(Agent(f"mag{i}", mag_address(core_subnet(0), i)) for i in range(1, mags + 1))
    anchor = Agent("lma", lma_address()) if lma else None
    links = [Link(gateway.name, "s1", mag, kind=LinkKind.MAG) for gateway in gateways]
    if anchor:
        links.append(Link(anchor.name, "s1", lma_link, kind=LinkKind.LMA))
    return check(Domain("star", gateways, anchor, _hosts(gateways, mns, cns), (Core("s1"),), tuple(links), access))


def tree(
    depth: int = 2,
    fanout: int = 2,
    mns: int = 1,
    cns: int = 1,
    lma: bool = True,
    access: LinkSettings = _ACCESS,
    mag: LinkSettings = _MAG,
    lma_link: LinkSettings = _LMA_LINK,
    trunk: LinkSettings = _TRUNK,
) -> Domain:
    """A tree of routers, ``depth`` levels of them with ``fanout`` branches each, MAGs at the leaves and the LMA at the root ``r1``.

    Each core link is a /64 of its own. DomainError for sizes that make no network.
    """
    _check_sizes(depth=depth, fanout=fanout, mns=mns, cns=cns)
    routers = [Core("r1", routed=True)]
    level = ["r1"]
    links: list[Link] = []
    for _ in range(depth - 1):
        below = []
        for parent in level:
            for _ in range(fanout):
                router = Core(f"r{len(routers) + 1}", routed=True)
                routers.append(router)
                below.append(router.name)
                links.append(Link(router.name, parent, trunk, core_subnet(len(links) + 1), LinkKind.TRUNK))
        level = below
    gateways: list[Agent] = []
    for parent in level:
        for _ in range(fanout):
            number, subnet = len(gateways) + 1, core_subnet(len(links) + 1)
            gateways.append(Agent(f"mag{number}", mag_address(subnet, number)))
            links.append(Link(f"mag{number}", parent, mag, subnet, LinkKind.MAG))
    anchor = Agent("lma", lma_address()) if lma else None
    if anchor:
        links.append(Link(anchor.name, "r1", lma_link, core_subnet(0), LinkKind.LMA))
    mags = tuple(gateways)
    return check(Domain("tree", mags, anchor, _hosts(mags, mns, cns), tuple(routers), tuple(links), access))


PRESETS: Mapping[str, Callable[..., Domain]] = MappingProxyType({"star": star, "tree": tree})


def named(name: str) -> Domain:
    """The preset ``name`` in its default size, or the domain of the TOML file ``name``; DomainError where there is neither."""
    if name in PRESETS:
        return PRESETS[name]()
    if name.endswith(".toml"):
        return toml.load(name)
    raise DomainError(f"no domain is called {name!r}; expected {', '.join(PRESETS)} or a .toml file")
