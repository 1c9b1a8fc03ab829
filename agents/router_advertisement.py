"""The ICMPv6 messages that a MAG exchanges with its mobile nodes, and their octets, checksum zero.

Router Solicitation and Advertisement as RFC 4861 sections 4.1, 4.2 and 4.6 define them, Destination Unreachable, Time Exceeded and
Parameter Problem as RFC 4443 sections 3.1, 3.3 and 3.4 do. On a raw ICMPv6 socket the kernel computes the checksums (RFC 3542, 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from struct import Struct

PACKET_TOO_BIG = 2
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
HOP_LIMIT = 255
"""The only hop limit that a neighbour discovery message may arrive with (RFC 4861, 6.1)."""
ALL_NODES = IPv6Address("ff02::1")

_DESTINATION_UNREACHABLE = 1
_ADDRESS_UNREACHABLE = 3
_TIME_EXCEEDED = 3
_IN_TRANSIT = 0
_PARAMETER_PROBLEM = 4
_ERRONEOUS_HEADER_FIELD = 0
_ECHO_REQUEST = 128
_FIRST_INFORMATIONAL = 128
_REDIRECT = 137
_ICMPV6 = 58
_FRAGMENT = 44
_LEAST_EXTENSION_HEADER = 8
_EXTENSION_HEADERS: Mapping[int, Callable[[int], int]] = {
    **dict.fromkeys((0, 43, 60, 139, 140), lambda length: 8 * (length + 1)),
    _FRAGMENT: lambda length: _LEAST_EXTENSION_HEADER,
    51: lambda length: 4 * (length + 2),
}
"""The extension headers to octets in all, by what their length field says (RFC 7045, 4; IP Authentication Header: RFC 4302, 2.2).

Not the Mobility Header: nothing may follow it (RFC 6275, 6.1.1), and one after which something does is what is reported."""
_IPV6_HEADER = 40
MINIMUM_MTU = 1280
"""The least MTU that IPv6 asks of a link, in octets (RFC 8200, 5)."""

_ADVERTISEMENT = Struct("!BBHBBHII")
_SOLICITATION_SIZE = 8
_ERROR = Struct("!BBHI")
_PREFIX = Struct("!BBBBIII16s")
_MTU = Struct("!BBHI")
_SOURCE_LINK_LAYER_OPTION = 1
_PREFIX_OPTION = 3
_MTU_OPTION = 5
_ON_LINK_AND_AUTONOMOUS = 0xC0
_CURRENT_HOP_LIMIT = 64
_MAXIMUM_ROUTER_LIFETIME = 9000
_MAXIMUM_PREFIX_LIFETIME = 0xFFFFFFFF


class NeighbourDiscoveryError(ValueError):
    """A neighbour discovery message that RFC 4861 says to discard."""


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    """What a Router Solicitation says: the sender's link-layer address, or None (RFC 4861, 4.1)."""

    link_layer: bytes | None


def encode_advertisements(
    prefixes: tuple[IPv6Network, ...],
    lifetime: int,
    mtu: int | None = None,
    withdrawn: tuple[IPv6Network, ...] = (),
    link_layer: bytes = b"",
    room: int = MINIMUM_MTU - _IPV6_HEADER,
) -> tuple[bytes, ...]:
    """A Router Advertisement for ``prefixes``, on-link and autonomous, or several where one has no room for all (RFC 4861, 6.2.3).

    Args:
        prefixes: one Prefix Information option each.
        lifetime: in s, of the prefixes, and of the router as far as RFC 4861, 6.2.1 lets it; 0 withdraws both.
        mtu: the link's MTU in octets, or None to leave it to the link.
        withdrawn: prefixes that are hosted no longer: one option each, of lifetime 0 (RFC 5213, 6.12).
        link_layer: the 6 octets of the sender's link-layer address, or none of them to leave it out.
        room: how many octets of ICMPv6 a packet on the link takes.
    """
    router_lifetime = min(lifetime, _MAXIMUM_ROUTER_LIFETIME)
    prefix_lifetime = min(lifetime, _MAXIMUM_PREFIX_LIFETIME)
    head = _ADVERTISEMENT.pack(ROUTER_ADVERTISEMENT, 0, 0, _CURRENT_HOP_LIMIT, 0, router_lifetime, 0, 0)
    if link_layer:
        head += bytes((_SOURCE_LINK_LAYER_OPTION, 1)) + link_layer
    if mtu is not None:
        head += _MTU.pack(_MTU_OPTION, 1, 0, mtu)
    options = [
        _PREFIX.pack(_PREFIX_OPTION, 4, prefix.prefixlen, _ON_LINK_AND_AUTONOMOUS, valid, valid, 0, prefix.network_address.packed)
        for prefix, valid in (*((prefix, prefix_lifetime) for prefix in prefixes), *((prefix, 0) for prefix in withdrawn))
    ]
    most = (room - len(head)) // _PREFIX.size
    return tuple(head + b"".join(options[at : at + most]) for at in range(0, max(len(options), 1), most))


def decode_solicitation(data: bytes, source: IPv6Address, hop_limit: int) -> RouterSolicitation:
    """A received Router Solicitation, its checksum already verified.

    Raises:
        NeighbourDiscoveryError: one of the checks of RFC 4861, 6.1.1 fails.
    """
    if hop_limit != HOP_LIMIT:
        raise NeighbourDiscoveryError(f"hop limit {hop_limit}")
    if len(data) < _SOLICITATION_SIZE:
        raise NeighbourDiscoveryError(f"{len(data)} octets")
    if data[0] != ROUTER_SOLICITATION or data[1]:
        raise NeighbourDiscoveryError(f"type {data[0]}, code {data[1]}")
    link_layer = None
    at = _SOLICITATION_SIZE
    while at < len(data):
        size = data[at + 1] * 8 if at + 1 < len(data) else 0
        if not size or at + size > len(data):
            raise NeighbourDiscoveryError("an option of no length, or longer than the message")
        if data[at] == _SOURCE_LINK_LAYER_OPTION:
            link_layer = data[at + 2 : at + size]
        at += size
    if link_layer is not None and source.is_unspecified:
        raise NeighbourDiscoveryError("a source link-layer address without a source address")
    return RouterSolicitation(link_layer)


def encode_echo_request(size: int) -> bytes:
    """An Echo Request that fills an IPv6 packet of ``size`` octets (RFC 4443, 4.1)."""
    return bytes((_ECHO_REQUEST,)) + bytes(size - _IPV6_HEADER - 1)


def may_report(packet: bytes) -> bool:
    """Whether an ICMPv6 error may answer ``packet`` (RFC 4443, 2.4 (e)): no error or redirect, no group, an identifiable sender."""
    if len(packet) < _IPV6_HEADER:
        return False
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return not (destination.is_multicast or source.is_multicast or source.is_unspecified or _may_be_error(packet))


def _may_be_error(packet: bytes) -> bool:
    """Whether ``packet`` carries an ICMPv6 error or a redirect, or breaks off, or is a fragment, before that can be told."""
    following, at = packet[6], _IPV6_HEADER
    while (size_of := _EXTENSION_HEADERS.get(following)) is not None:
        if len(packet) < at + _LEAST_EXTENSION_HEADER:
            return True
        if following == _FRAGMENT and int.from_bytes(packet[at + 2 : at + 4], "big") >> 3:
            return packet[at] == _ICMPV6 or packet[at] in _EXTENSION_HEADERS
        following, at = packet[at], at + size_of(packet[at + 1])
    if following != _ICMPV6:
        return len(packet) < at
    return len(packet) <= at or packet[at] < _FIRST_INFORMATIONAL or packet[at] == _REDIRECT


def encode_unreachable(packet: bytes) -> bytes:
    """Destination Unreachable, address unreachable, with as much of ``packet`` as the minimum MTU holds (RFC 4443, 3.1)."""
    return _error(_DESTINATION_UNREACHABLE, _ADDRESS_UNREACHABLE, 0, packet)


def encode_time_exceeded(packet: bytes) -> bytes:
    """Time Exceeded, hop limit exceeded in transit, with as much of ``packet`` likewise (RFC 4443, 3.3)."""
    return _error(_TIME_EXCEEDED, _IN_TRANSIT, 0, packet)


def encode_parameter_problem(packet: bytes, pointer: int) -> bytes:
    """Parameter Problem, erroneous header field at octet ``pointer``, with as much of ``packet`` likewise (RFC 4443, 3.4)."""
    return _error(_PARAMETER_PROBLEM, _ERRONEOUS_HEADER_FIELD, pointer, packet)


def _error(kind: int, code: int, word: int, packet: bytes) -> bytes:
    return _ERROR.pack(kind, code, 0, word) + packet[: MINIMUM_MTU - _IPV6_HEADER - _ERROR.size]
