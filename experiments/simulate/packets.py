"""Octets of IPv6 packets: made, encapsulated, and one hop further."""

from __future__ import annotations

from struct import Struct

ICMPV6, UDP, IPV6, MOBILITY = 58, 17, 41, 135
HEADER = 40
"""Octets of an IPv6 header."""
SOURCE, DESTINATION = slice(8, 24), slice(24, 40)
NEXT_HEADER, HOP_LIMIT = 6, 7
SOLICITATION, ADVERTISEMENT = 135, 136
"""ICMPv6 types of neighbour discovery (RFC 4861, 4.3 and 4.4)."""
UNSPECIFIED = bytes(16)
MULTICAST = 0xFF
"""The first octet of a group's address."""

_HEADER = Struct("!IHBB16s16s")
_UDP = Struct("!HHHH")
_VERSION = 6 << 28
_HOPS = 64
NEIGHBOUR_HOPS = 255
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20


def packet(source: bytes, destination: bytes, protocol: int, payload: bytes, hops: int = _HOPS) -> bytes:
    """An IPv6 packet."""
    return _HEADER.pack(_VERSION, len(payload), protocol, hops, source, destination) + payload


def encapsulated(inner: bytes, source: bytes, destination: bytes) -> bytes:
    """A packet inside another header (RFC 2473)."""
    return _HEADER.pack(_VERSION, len(inner), IPV6, _HOPS, source, destination) + inner


def one_hop_further(octets: bytes) -> bytes:
    """The packet with its hop limit lowered by one."""
    return octets[:HOP_LIMIT] + bytes((octets[HOP_LIMIT] - 1,)) + octets[HOP_LIMIT + 1 :]


def checksum(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """The checksum over a payload whose own field is zero, and over its pseudo header (RFC 8200, 8.1)."""
    pseudo = source + destination + len(payload).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    total = int.from_bytes(pseudo + payload + bytes(len(payload) % 2), "big") % 0xFFFF
    return (-total % 0xFFFF or 0xFFFF).to_bytes(2, "big")


def udp(source: bytes, destination: bytes, ports: tuple[int, int], data: bytes) -> bytes:
    """A UDP datagram; ``ports`` are the source's and the destination's."""
    bare = _UDP.pack(*ports, _UDP.size + len(data), 0) + data
    return packet(source, destination, UDP, bare[:6] + checksum(source, destination, UDP, bare) + bare[8:])


def icmpv6(source: bytes, destination: bytes, message: bytes, hops: int = NEIGHBOUR_HOPS) -> bytes:
    """An ICMPv6 message whose checksum is still zero."""
    filled = message[:2] + checksum(source, destination, ICMPV6, message) + message[4:]
    return packet(source, destination, ICMPV6, filled, hops)


def neighbour_solicitation(source: bytes, target: bytes, mac: bytes, known: bool = False) -> bytes:
    """Who has ``target``? asked by ``source``, or for duplicate address detection by nobody, of all nodes, or of the one that is known to
    have had it (RFC 4861, 4.3)."""
    option = b"" if source == UNSPECIFIED else bytes((_SOURCE_LINK_LAYER, 1)) + mac
    return icmpv6(source, target if known else _SOLICITED_NODE + target[13:], bytes((SOLICITATION, *bytes(7))) + target + option)


def neighbour_advertisement(solicitation: bytes, mac: bytes, router: bool) -> bytes:
    """The answer to a solicitation of whoever has ``mac``, which it tells where all were asked (RFC 4861, 4.4)."""
    target, to_all = solicitation[HEADER + 8 : HEADER + 24], solicitation[24] == MULTICAST
    flags = _SOLICITED | (_OVERRIDE if to_all else 0) | (_ROUTER if router else 0)
    option = bytes((_TARGET_LINK_LAYER, 1)) + mac if to_all else b""
    return icmpv6(target, solicitation[SOURCE], bytes((ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0)) + target + option)


def router_solicitation(source: bytes, destination: bytes, mac: bytes) -> bytes:
    """Is a router there? (RFC 4861, 4.1)."""
    return icmpv6(source, destination, bytes((133, *bytes(7))) + bytes((_SOURCE_LINK_LAYER, 1)) + mac)
