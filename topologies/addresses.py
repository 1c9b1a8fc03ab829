"""The numbering plan: which prefixes and addresses a domain's nodes have, by their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, summarize_address_range

from agents.config import FIXED_LINK_LAYER, FIXED_LINK_LOCAL, HOME_NETWORK, MAG_GROUP
from topologies.domain import Agent, Domain, Host

INFRASTRUCTURE = IPv6Network("2001:db8::/48")
ROUTED = IPv6Network("2001:db8:200::/40")
HOME, GROUP, ALL_MAGS_LINK_LOCAL, ALL_MAGS_MAC = HOME_NETWORK, MAG_GROUP, FIXED_LINK_LOCAL, FIXED_LINK_LAYER
"""What the agents of every domain here are told by default, and what networks are built with."""

MOST_MAGS = 0xFDFF
"""So many have a /48 of their own from 2001:db8:201::/48 on."""

MOST_HOSTS = 0xFFFF
"""So many have a /64 of their own in each of those."""

_MACS = 0x02_00_00_00_00_00
_BLOCK = 1 << 24


def core_subnet(number: int) -> IPv6Network:
    """The ``number``-th /64 of the infrastructure; a bridged core has number 0."""
    return _sub(INFRASTRUCTURE, number << 64, 64)


def lma_address() -> IPv6Address:
    """The LMAA, on the core's first /64."""
    return core_subnet(0)[1]


def mag_address(subnet: IPv6Network, number: int) -> IPv6Address:
    """The Proxy-CoA of the ``number``-th MAG, whose core link has ``subnet``."""
    return subnet[(1 << 16) + number]


def router_address(subnet: IPv6Network, number: int) -> IPv6Address:
    """The address of the ``number``-th core router on ``subnet``."""
    return subnet[0xFF00 + number]


def host(name: str, mag: str, number: int) -> Host:
    """The ``number``-th host (from 1) of a domain, with the MN-ID, link-layer address and home network prefix that go with the number."""
    return Host(
        name=name,
        mag=mag,
        mn_id=f"{name}@dmm.example",
        mac=mac(0, number),
        home_network_prefix=_sub(HOME, number << 64, 64),
    )


def mac(block: int, number: int) -> str:
    """A locally administered link-layer address; block 0 is the hosts', 1 the core's, 2 the hidden ends of wires."""
    return (_MACS + block * _BLOCK + number).to_bytes(6, "big").hex(":")


@lru_cache(maxsize=1 << 16)
def mac_octets(mac: str) -> bytes:
    """A link-layer address as six octets."""
    return bytes.fromhex(mac.replace(":", ""))


def is_own(mac: str) -> bool:
    """Whether a link-layer address is in a block, up to the 255th, of which the testbed numbers what is not a host's."""
    return 1 <= (int(mac.replace(":", ""), 16) - _MACS) // _BLOCK <= 0xFF


def routed_aggregate(domain: Domain, mag: Agent) -> IPv6Network:
    """The /48 of all prefixes that ``mag`` advertises under scheme ``none``: 2001:db8:2ii::/48 for the ii-th MAG, in hexadecimal."""
    return _sub(ROUTED, _numbers(domain)[mag.name] << 80, 48)


def routed_aggregates(domain: Domain) -> tuple[IPv6Network, ...]:
    """The networks that hold what all MAGs advertise under scheme ``none``, and nothing else."""
    first, last = (routed_aggregate(domain, mag) for mag in (domain.mags[0], domain.mags[-1]))
    return tuple(summarize_address_range(first.network_address, last.broadcast_address))


def routed_prefix(domain: Domain, mag: Agent, host: Host) -> IPv6Network:
    """The /64 that ``mag`` advertises to ``host`` under scheme ``none``: 2001:db8:2ii:j::/64 for the ii-th MAG and the j-th host."""
    return RoutedPrefixes(domain, host)[mag.name]


class RoutedPrefixes(Mapping[str, IPv6Network]):
    """The /64 that each MAG, by name, advertises to one host under scheme ``none``; worked out where it is asked for."""

    def __init__(self, domain: Domain, host: Host) -> None:
        self._domain = domain
        self._host = host

    def __getitem__(self, mag: str) -> IPv6Network:
        numbers = _numbers(self._domain)
        return _sub(ROUTED, (numbers[mag] << 80) + (numbers[self._host.name] << 64), 64)

    def __iter__(self) -> Iterator[str]:
        return (mag.name for mag in self._domain.mags)

    def __len__(self) -> int:
        return len(self._domain.mags)


@lru_cache(maxsize=16)
def _numbers(domain: Domain) -> dict[str, int]:
    """The number of each MAG among the MAGs, and of each host among the hosts, from 1."""
    mags = {mag.name: number for number, mag in enumerate(domain.mags, 1)}
    return mags | {host.name: number for number, host in enumerate(domain.hosts, 1)}


def _sub(network: IPv6Network, offset: int, length: int) -> IPv6Network:
    return IPv6Network((int(network.network_address) + offset, length))
