"""What an agent's kernel takes in and forwards at all: nftables rules, which walk through every header of a packet.

Routing rules look no further than a Fragment header, and a tunnel device ends the tunnel of anybody. So whatever is delivered to this
node, or forwarded to another agent, passes one of the chains below, whose last word is to discard:

- ``local``: what is for this node, by whichever of its addresses or groups. It goes on to ``core``, ``tunnel`` or ``access``, by the
  interface that it came from;
  What it tells itself of packets that did not fit into a tunnel is discarded: it knows (tunnel_fragments.py), and nodes need not;
- ``onward``: what is forwarded. At a MAG it goes on to ``delivered`` where it leaves by an access link; of all else only what goes to
  another agent is looked at, in ``others``.

A protocol that cannot be told, because the headers are damaged or too many, matches no rule and is discarded. Of a packet in fragments
the first has all headers (RFC 7112; Linux drops others), so discarding that one discards the packet. The protocol of a later fragment
cannot be told where options come first, as in tunnels that Linux makes itself; another agent's is taken in all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from struct import Struct

from agents.linux import neighbours
from agents.linux.packet_filter import (
    ACCEPT,
    AT_LEAST,
    CARRIED,
    DESTINATION,
    DROP,
    EQUAL,
    FORWARD,
    ICMPV6_TYPE,
    INCOMING,
    LESS,
    LOCAL_IN,
    OUTGOING,
    QUOTED_SOURCE,
    SOURCE,
    Chain,
    Expression,
    PacketFilter,
    Rule,
    Set,
    beginning,
    compare,
    go_to,
    is_in,
    is_not_in,
    verdict,
)

_FILTER = PacketFilter("dmmlab-guard")
_LOCAL, _CORE, _TUNNEL, _ACCESS = "local", "core", "tunnel", "access"
_ONWARD, _DELIVERED, _OTHERS = "onward", "delivered", "others"
_INDEX = Struct("=I")
_LOOPBACK = 1
_IPV4, _IPV6, _ICMPV6, _MOBILITY_HEADER, _MPLS = (bytes((protocol,)) for protocol in (4, 41, 58, 135, 137))
_INFORMATIONAL = bytes((128,))
"""The first type of ICMPv6 that is no error (RFC 4443, 2.1)."""

_PEERS = "peers"
_TUNNELLED = Set("tunnelled", 1, (_IPV4, _IPV6, _MPLS))
_GUARDED = Set("guarded", 1, (*_TUNNELLED.elements, _MOBILITY_HEADER))

_IS_TOLD: Rule = (CARRIED, compare(AT_LEAST, b"\0"))
"""Matches a packet whose protocol can be told."""

_IS_ERROR: Rule = (CARRIED, compare(EQUAL, _ICMPV6), ICMPV6_TYPE, compare(LESS, _INFORMATIONAL))
_SIGNALS: Rule = (CARRIED, compare(EQUAL, _MOBILITY_HEADER))
_PEER_TUNNELS: Rule = (CARRIED, compare(EQUAL, _IPV6), SOURCE, is_in(_PEERS))
_TAKEN_IN: Expression = verdict(ACCEPT)
_DISCARDED: Expression = verdict(DROP)


def _arrived(interface: int) -> Rule:
    return INCOMING, compare(EQUAL, _INDEX.pack(interface))


def _is_to(address: IPv6Address) -> Rule:
    return DESTINATION, compare(EQUAL, address.packed)


def _is_within(network: IPv6Network) -> Rule:
    """To the network, or to the first part of one whose prefix does not end with an octet."""
    octets = -(-network.prefixlen // 8)
    return beginning(octets), compare(EQUAL, network.network_address.packed[:octets])


def _leaves(interface: int) -> Rule:
    return OUTGOING, compare(EQUAL, _INDEX.pack(interface))


def _local(address: IPv6Address, core: int, tunnel: int, group: IPv6Address | None, limits: tuple[Rule, ...]) -> Iterator[Chain]:
    """What is for this node; the rule that most packets end at comes first."""
    by_arrival = (
        (*_arrived(core), *_is_to(address), *_PEER_TUNNELS, _TAKEN_IN),
        (*_arrived(core), go_to(_CORE)),
        (*_arrived(tunnel), go_to(_TUNNEL)),
        (*_arrived(_LOOPBACK), *_IS_ERROR, _DISCARDED),
        (*_arrived(_LOOPBACK), _TAKEN_IN),
        (go_to(_ACCESS),),
    )
    yield Chain(_LOCAL, by_arrival, LOCAL_IN, policy=DROP)
    is_for_all: tuple[Rule, ...] = () if group is None else (_is_to(group),)
    from_core = (
        *((*to, *_PEER_TUNNELS, _TAKEN_IN) for to in is_for_all),
        (CARRIED, is_in(_TUNNELLED.name), _DISCARDED),
        (*_IS_ERROR, QUOTED_SOURCE, compare(EQUAL, address.packed), _TAKEN_IN),
        (*_IS_ERROR, _DISCARDED),
        (*_IS_TOLD, _TAKEN_IN),
        *((*to, SOURCE, is_in(_PEERS), _TAKEN_IN) for to in (_is_to(address), *is_for_all)),
    )
    yield Chain(_CORE, from_core)
    yield Chain(_TUNNEL, (*((*_SIGNALS, *to, _TAKEN_IN) for to in is_for_all), *_all_but(_GUARDED)))
    yield Chain(_ACCESS, (*limits, *_all_but(_TUNNELLED)))


def _onward(home: IPv6Network, ways: tuple[int, ...] | None) -> Iterator[Chain]:
    """What is forwarded; what leaves a MAG by none of these ``ways`` leaves by an access link."""
    elsewhere = (go_to(_OTHERS),)
    if ways is None:
        yield Chain(_ONWARD, (elsewhere,), FORWARD, policy=DROP)
    else:
        tunnel, *_ = ways
        most = (*_leaves(tunnel), *_is_within(home), _TAKEN_IN), (*_arrived(tunnel), *neighbours.TO_USED, _TAKEN_IN)
        by_way = ((*_leaves(way), *elsewhere) for way in ways)
        yield Chain(_ONWARD, (*most, *by_way, (go_to(_DELIVERED),)), FORWARD, policy=DROP)
        yield Chain(_DELIVERED, neighbours.DELIVERED)
    to_none = (*_is_within(home), _TAKEN_IN), (DESTINATION, is_not_in(_PEERS), _TAKEN_IN)
    yield Chain(_OTHERS, (*to_none, *_all_but(_GUARDED)))


def _all_but(refused: Set) -> tuple[Rule, ...]:
    """Neither these protocols nor errors, nor what cannot be told."""
    return (CARRIED, is_in(refused.name), _DISCARDED), (*_IS_ERROR, _DISCARDED), (*_IS_TOLD, _TAKEN_IN)


@dataclass(frozen=True, slots=True)
class Place:
    """An agent's node.

    Attributes:
        address: the agent's own.
        peers: the other agents of the domain.
        home: where mobile nodes have their addresses, and no agent has.
        core: the index of the interface to the core.
        tunnel: that of the one out of which decapsulated packets come, 0 where there is none.
        ways: at a MAG those of all interfaces but its access links and the loopback, the tunnel first; None at an anchor, which has no
            access links.
        group: whose signalling may come out of a tunnel, or None.
    """

    address: IPv6Address
    peers: frozenset[IPv6Address]
    home: IPv6Network
    core: int
    tunnel: int
    ways: tuple[int, ...] | None
    group: IPv6Address | None = None


def install(place: Place) -> None:
    """Let a node be guarded from now on, in place of what an agent that was killed left; NetlinkError where the kernel has no nftables for
    IPv6, or refuses."""
    known = Set(_PEERS, len(place.address.packed), networks=tuple(map(IPv6Network, place.peers)))
    counters, limits = ((), ()) if place.ways is None else (neighbours.SETS, neighbours.SAID_TO_THE_MAG)
    local = _local(place.address, place.core, place.tunnel, place.group, limits)
    _FILTER.install((known, _TUNNELLED, _GUARDED, *counters), (*local, *_onward(place.home, place.ways)))


def remove() -> None:
    """Let this node be guarded no more; NetlinkError where the kernel refuses."""
    _FILTER.remove()
