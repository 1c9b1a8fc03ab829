"""The IPv6 packet around a Mobility Header, and the checksum that covers both (RFC 6275, 6.1.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from struct import Struct, error

from agents.messages.codec import header_end
from agents.messages.errors import MessageError
from agents.messages.values import PROTOCOL

_IPV6 = Struct("!IHBB16s16s")
_VERSION = 6 << 28


def _sum(data: bytes, source: IPv6Address, destination: IPv6Address) -> int:
    pseudo = source.packed + destination.packed + len(data).to_bytes(4, "big") + PROTOCOL.to_bytes(4, "big")
    return int.from_bytes(pseudo + data + bytes(len(data) % 2), "big") % 0xFFFF


def checksum(data: bytes, source: IPv6Address, destination: IPv6Address) -> int:
    """The checksum of the Mobility Header ``data`` in a packet with these addresses, as if its field were zero."""
    if len(data) < 6:
        raise MessageError(f"{len(data)} octets hold no checksum")
    return -_sum(data[:4] + b"\0\0" + data[6:], source, destination) % 0xFFFF


def with_checksum(data: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """``data`` with its checksum filled in."""
    return data[:4] + checksum(data, source, destination).to_bytes(2, "big") + data[6:]


def ipv6_packet(data: bytes, source: IPv6Address, destination: IPv6Address, hop_limit: int = 64) -> bytes:
    """An IPv6 packet that carries the Mobility Header ``data``, checksum filled in."""
    try:
        header = _IPV6.pack(_VERSION, len(data), PROTOCOL, hop_limit, source.packed, destination.packed)
    except error as reason:
        raise MessageError(f"no IPv6 packet has {len(data)} octets and hop limit {hop_limit}") from reason
    return header + with_checksum(data, source, destination)


def parse_ipv6_mobility(packet: bytes) -> tuple[IPv6Address, IPv6Address, bytes]:
    """Source, destination and Mobility Header of an IPv6 packet; what follows the header is cut off.

    Raises:
        MessageError: no whole IPv6 packet, no Mobility Header right after the IPv6 header, or its checksum is wrong.
    """
    if len(packet) < _IPV6.size:
        raise MessageError(f"{len(packet)} octets are no IPv6 packet")
    first, length, protocol, _, source_octets, destination_octets = _IPV6.unpack_from(packet)
    if first >> 28 != 6 or protocol != PROTOCOL:
        raise MessageError("no IPv6 packet with a Mobility Header")
    if _IPV6.size + length > len(packet):
        raise MessageError(f"the packet carries {length} octets, of which {len(packet) - _IPV6.size} are here")
    payload = packet[_IPV6.size : _IPV6.size + length]
    data = payload[: header_end(payload)]
    source, destination = IPv6Address(source_octets), IPv6Address(destination_octets)
    if _sum(data, source, destination):
        raise MessageError("wrong checksum")
    return source, destination, data
