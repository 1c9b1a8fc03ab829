"""IPv6 packets, octet by octet, as agents, nodes and strangers may send them."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

from agents.config import FIXED_LINK_LOCAL
from agents.messages import ipv6_packet

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
IPV4, UDP, TUNNEL, ICMPV6, MOBILITY = 4, 17, 41, 58, 135
PORT = 5213

UNREADABLE = bytes((59, 1, 5, *bytes(13)))
"""A Binding Update that breaks off."""

_ALL_ROUTERS = IPv6Address("ff02::2")


def ipv6(protocol: int, source: IPv6Address, destination: IPv6Address, payload: bytes, traffic_class: int = 0, hops: int = 64) -> bytes:
    """A packet that carries ``payload``."""
    fixed = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, len(payload), protocol, hops)
    return fixed + source.packed + destination.packed + payload


def checked(protocol: int, source: IPv6Address, destination: IPv6Address, payload: bytes, at: int = 2, hops: int = 64) -> bytes:
    """A packet that carries ``payload``, of an even number of octets, with its checksum, at ``at``, filled in."""
    words = source.packed + destination.packed + struct.pack("!II", len(payload), protocol) + payload
    checksum = -int.from_bytes(words, "big") % 0xFFFF or 0xFFFF
    return ipv6(protocol, source, destination, payload[:at] + checksum.to_bytes(2, "big") + payload[at + 2 :], hops=hops)


def data(source: IPv6Address, destination: IPv6Address, traffic_class: int = 0) -> bytes:
    """UDP that is forwarded, and that no host takes or answers: it has no checksum."""
    return ipv6(UDP, source, destination, bytes(8), traffic_class)


def datagram(source: IPv6Address, destination: IPv6Address) -> bytes:
    """An empty UDP datagram."""
    return checked(UDP, source, destination, struct.pack("!HHHH", PORT, PORT, 8, 0), at=6)


def echo_request(source: IPv6Address, destination: IPv6Address) -> bytes:
    """An Echo Request."""
    return checked(ICMPV6, source, destination, struct.pack("!BBHHH", 128, 0, 0, 1, 1))


def too_big(mtu: int, source: IPv6Address, destination: IPv6Address, quoted: bytes) -> bytes:
    """Packet Too Big about the packet ``quoted``."""
    return checked(ICMPV6, source, destination, struct.pack("!BBHI", 2, 0, 0, mtu) + quoted)


def neighbour_solicitation(source: IPv6Address, station: str) -> bytes:
    """Who asks for the router's link-layer address, and tells its own."""
    message = struct.pack("!BBHI", 135, 0, 0, 0) + FIXED_LINK_LOCAL.packed + bytes((1, 1)) + bytes.fromhex(station.replace(":", ""))
    return checked(ICMPV6, source, FIXED_LINK_LOCAL, message, hops=255)


def router_solicitation(source: IPv6Address) -> bytes:
    """Who asks for an advertisement."""
    return checked(ICMPV6, source, _ALL_ROUTERS, struct.pack("!BBHI", 133, 0, 0, 0), hops=255)


def wrapped(wrapping: tuple[int, ...], protocol: int, payload: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """A packet that carries ``payload`` behind extension headers without a meaning: options of padding, a routing header with no segments
    left, a fragment that is the whole."""
    kinds = (*wrapping, protocol)
    headers = b"".join(
        bytes((following, 0, *((0, 0, 0, 0, 0, 1) if kind == FRAGMENT else (1, 4, 0, 0, 0, 0) if kind != ROUTING else (0,) * 6)))
        for kind, following in zip(wrapping, kinds[1:], strict=True)
    )
    return ipv6(kinds[0], source, destination, headers + payload)


def fragments(first: int, octets: bytes, at: int, source: IPv6Address, destination: IPv6Address, number: int) -> list[bytes]:
    """A packet whose extension headers and payload are ``octets``, the first of kind ``first``, in two fragments, cut ``at`` octets."""
    parts = ((0, octets[:at]), (at, octets[at:]))
    headers = [struct.pack("!BBHI", first, 0, offset | (offset == 0), number) for offset, _ in parts]
    return [ipv6(FRAGMENT, source, destination, header + part) for header, (_, part) in zip(headers, parts, strict=True)]


def nonsense(source: IPv6Address, destination: IPv6Address, wrapping: tuple[int, ...] = ()) -> bytes:
    """A Binding Update that cannot be read, with a right checksum."""
    return wrapped(wrapping, MOBILITY, ipv6_packet(UNREADABLE, source, destination)[40:], source, destination)


def ends(packet: bytes) -> tuple[IPv6Address, IPv6Address]:
    """Where a packet comes from and goes to."""
    return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])


def congestion(packet: bytes) -> int:
    """What the ECN field of a packet says."""
    return packet[1] >> 4 & 3
