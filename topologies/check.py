"""What a domain must be so that a kernel can build it and its hosts get their addresses: all that its types do not say.

Every check takes time in proportion to the number of nodes and links.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network

from agents.associations import known
from agents.messages import HandoffIndicator
from topologies.addresses import ALL_MAGS_MAC, HOME, MOST_HOSTS, MOST_MAGS, is_own, routed_aggregates
from topologies.domain import INNER, Domain, DomainError, Host, shorten
from topologies.routing import agents, core_interfaces, paths

MOST_PORTS = 1023
"""So many links can a Linux bridge join."""

_INTERFACE_NAME = 15
_ALIAS = 255
_LONGEST_NEXT = len(" next=") + 39
_SHOWN = 8
_TAKEN = frozenset({"wires", "lo", "all", "default", "sit0", "ip6tnl0", "tunl0", "gre0", "gretap0", "erspan0", "ip6gre0"})
"""The hidden node of the wires, and what a bridge cannot be called since Linux has an interface or a folder of sysctls of that name."""


def check(domain: Domain) -> Domain:
    """The same domain; DomainError, in one line, where it cannot work."""
    _check_names(domain)
    _check_hosts(domain)
    _check_links(domain)
    _check_segments(domain)
    _check_addresses(domain)
    return domain


def some(names: Iterable[str]) -> str:
    """A list of names for a message, the first of them where there are many."""
    names = tuple(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


# Nodes


def _core_nodes(domain: Domain) -> list[str]:
    return [*(agent.name for agent in agents(domain)), *(core.name for core in domain.core)]


def _check_names(domain: Domain) -> None:
    everyone = [*_core_nodes(domain), *(host.name for host in domain.hosts)]
    if not domain.name or not domain.name.isprintable():
        raise DomainError(f"expected the domain's name to be printable characters, not {shorten(domain.name)}")
    if not domain.mags:
        raise DomainError("expected at least one MAG under [[mags]]")
    for what, count, most in (("MAGs", len(domain.mags), MOST_MAGS), ("hosts", len(domain.hosts), MOST_HOSTS)):
        if count > most:
            raise DomainError(f"expected at most {most} {what}, not {count}")
    longest = _INTERFACE_NAME - len(f"{INNER}-eth0")
    for name in everyone:
        if not 0 < len(name) <= longest or not name.isascii() or not name.isalnum():
            raise DomainError(f"expected names of 1 to {longest} letters and digits, not {shorten(name)}")
        if name in _TAKEN:
            raise DomainError(f"expected a node not to be called {name!r}, which means something else to Linux or to the testbed")
    ((commonest, count),) = Counter(everyone).most_common(1)
    if count > 1:
        raise DomainError(f"expected one node to be called {commonest!r}, not {count}")


def _check_hosts(domain: Domain) -> None:
    mags = {mag.name for mag in domain.mags}
    by_mac = {ALL_MAGS_MAC: "all MAGs", "00:00:00:00:00:00": "nobody"}
    for host in domain.hosts:
        if host.mag not in mags:
            raise DomainError(
                f"expected the MAG of {host.name} to be one of {some(mag.name for mag in domain.mags)}, not {shorten(host.mag)}"
            )
        prefix = host.home_network_prefix
        if prefix.prefixlen != 64 or not prefix.subnet_of(HOME):
            raise DomainError(f"expected the home network prefix of {host.name} to be a /64 of {HOME}, not {prefix}")
        _check_mac(host.name, host.mac)
        if other := by_mac.get(host.mac) or ("the testbed" if is_own(host.mac) else None):
            raise DomainError(f"expected {host.name} to have a link-layer address of its own, not {host.mac}, which is that of {other}")
        by_mac[host.mac] = host.name
        _check_association(host)
    _check_interfaces(domain.hosts)


def _check_mac(name: str, mac: str) -> None:
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        octets = b""
    if octets.hex(":") != mac or len(octets) != 6 or octets[0] & 1:
        raise DomainError(f"expected {name} to have a unicast link-layer address such as 02:00:00:00:00:01, not {shorten(mac)}")


def _check_association(host: Host) -> None:
    """Access points tell of a host in the words of an interface's alias, of which Linux holds so many octets."""
    identifier = host.mn_id
    if not identifier or not identifier.isprintable() or " " in identifier:
        raise DomainError(f"expected the MN-ID of {host.name} to be printable, not empty and without spaces, not {shorten(identifier)}")
    try:
        how = known(host.association.split())
    except ValueError:
        how = {"leaves_for": None}
    if "leaves_for" in how:
        raise DomainError(f"expected the association of {host.name} to be words such as att=3 hi=1, not {shorten(host.association)}")
    room = _ALIAS - _LONGEST_NEXT - len(host.alias.encode()) + len(identifier.encode())
    if len(identifier.encode()) > room:
        raise DomainError(f"expected the MN-ID of {host.name} to have at most {room} octets, not {len(identifier.encode())}")


def _check_interfaces(hosts: Iterable[Host]) -> None:
    """Hosts of one MN-ID are interfaces of one node; only they may share a prefix, and each says of itself what the LMA must know."""
    owners: dict[IPv6Network, Host] = {}
    nodes: dict[str, Host] = {}
    for host in hosts:
        owner, first = owners.setdefault(host.home_network_prefix, host), nodes.setdefault(host.mn_id, host)
        if owner.mn_id != host.mn_id:
            raise DomainError(
                f"expected {host.name} to have a home network prefix of its own, not that of {owner.name}, {owner.home_network_prefix}"
            )
        if first is host:
            continue
        handoff = known(host.association.split()).get("handoff")
        if owner is host and handoff != HandoffIndicator.NEW_INTERFACE:
            raise DomainError(
                f"expected {host.name}, which has the MN-ID of {first.name}, to say that it is another interface: association hi=1; "
                "or to have an MN-ID of its own"
            )
        if owner is not host and handoff != HandoffIndicator.BETWEEN_INTERFACES:
            raise DomainError(
                f"expected {host.name}, which shares the prefix of {owner.name}, to say that it takes the session over: association hi=2"
            )


# Links


def _check_links(domain: Domain) -> None:
    inside = _core_nodes(domain)
    nodes = set(inside)
    for link in domain.links:
        for end in (link.a, link.b):
            if end not in nodes:
                raise DomainError(f"expected links between {some(inside)}, not {shorten(end)}")
        if link.a == link.b:
            raise DomainError(f"expected links between two nodes, not from {link.a} to itself")
        if link.subnet is not None:
            _check_subnet(link.subnet, f"between {link.a} and {link.b}")
    ends = Counter(end for link in domain.links for end in (link.a, link.b))
    bridges = [core.name for core in domain.core if not core.routed]
    for agent in agents(domain):
        if ends[agent.name] != 1:
            raise DomainError(f"expected one core link at {agent.name}, not {ends[agent.name]}")
    for bridge in bridges:
        if ends[bridge] > MOST_PORTS:
            raise DomainError(f"expected at most {MOST_PORTS} links at the bridge {bridge}, not {ends[bridge]}; join several bridges")
    for core in domain.core:
        longest = f"{INNER}{core.name}-eth{ends[core.name] - core.routed}"
        if len(longest) > _INTERFACE_NAME:
            raise DomainError(
                f"expected a shorter name for {core.name}: its {ends[core.name]} interfaces have no more than {_INTERFACE_NAME} characters"
            )
    reached = paths(domain, domain.mags[0].name)
    for name in inside:
        if name not in reached:
            raise DomainError(f"expected links that join {name} to {domain.mags[0].name}")


def _check_subnet(subnet: IPv6Network, where: str) -> None:
    if subnet.prefixlen != 64 or not _is_global(subnet.network_address):
        raise DomainError(f"expected the subnet {where} to be a /64 of global unicast addresses, not {subnet}")


def _is_global(address: IPv6Address) -> bool:
    """Whether a node of the core may have it: neither of a special kind nor without a meaning outside of one link."""
    special = address.is_multicast or address.is_link_local or address.is_loopback or address.is_unspecified or address.is_site_local
    return not (special or address.ipv4_mapped is not None or address.scope_id is not None)


def _check_segments(domain: Domain) -> None:
    """Each segment (what bridges join) has a prefix of its own, no loop, and each node on it once."""
    bridges = {core.name for core in domain.core if not core.routed}
    segments = _Union()
    for number, link in enumerate(domain.links):
        for bridge in (end for end in (link.a, link.b) if end in bridges):
            if not segments.join(_link(number), bridge):
                raise DomainError(
                    f"expected bridges without a loop, in which frames would go round for ever, not one at {link.a} and {link.b}"
                )
    subnets: dict[str, IPv6Network] = {}
    for number, link in enumerate(domain.links):
        segment = segments.of(_link(number))
        if link.subnet is not None and subnets.setdefault(segment, link.subnet) != link.subnet:
            raise DomainError(f"expected one subnet for all that bridges join to {link.a}, not {subnets[segment]} and {link.subnet}")
    used: dict[IPv6Network, tuple[str, str]] = {}
    for number, subnet in _numbered_ends(domain):
        link, segment = domain.links[number], segments.of(_link(number))
        other, between = used.setdefault(subnet, (segment, f"{link.a} and {link.b}"))
        if other != segment:
            raise DomainError(
                f"expected a subnet of its own for the link between {link.a} and {link.b}, not {subnet}, as between {between}"
            )
    for network in (HOME, *routed_aggregates(domain)):
        for subnet in used:
            if subnet.overlaps(network):
                raise DomainError(f"expected subnets of the core outside of {network}, which is for hosts, not {subnet}")


def _link(number: int) -> str:
    """What a link is called in the union of segments; a name of no node."""
    return f"link {number}"


def _numbered_ends(domain: Domain) -> Iterator[tuple[int, IPv6Network]]:
    """The numbered ends of links, each with its link and prefix."""
    return ((end.link, end.prefix) for end in core_interfaces(domain) if end.prefix is not None)


class _Union:
    """Sets that are joined, each named by one of its members (Tarjan's union and find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, member: str) -> str:
        """The set that a member is in."""
        while (above := self._above.get(member, member)) != member:
            self._above[member] = member = self._above.get(above, above)
        return member

    def join(self, a: str, b: str) -> bool:
        """Make the sets of ``a`` and ``b`` one; False where they are already."""
        first, second = self.of(a), self.of(b)
        self._above[first] = second
        return first != second


def _check_addresses(domain: Domain) -> None:
    ends = [end for end in core_interfaces(domain) if end.address is not None and end.prefix is not None]
    agent_names = {agent.name for agent in agents(domain)}
    users: defaultdict[IPv6Address, list[str]] = defaultdict(list)
    for end in ends:
        assert end.address is not None
        assert end.prefix is not None
        users[end.address].append(end.node)
        if end.node in agent_names:
            _check_address(end.node, end.address, end.prefix)
    for address, nodes in users.items():
        if len(nodes) > 1:
            raise DomainError(f"expected one interface to have the address {address}, not one of {nodes[0]} and one of {nodes[1]}")


def _check_address(name: str, address: IPv6Address, prefix: IPv6Network) -> None:
    if not _is_global(address):
        raise DomainError(f"expected the address of {name} to be a global unicast address, not {address}")
    if address not in prefix:
        raise DomainError(f"expected the address of {name} to be in {prefix}, not {address}")
    if address == prefix.network_address:
        raise DomainError(
            f"expected the address of {name} to be its own, not {address}, which is that of every router in {prefix} (RFC 4291, 2.6.1)"
        )
