"""ICMPv6 at a MAG: Router Solicitations that a host sends, and the errors that it is sent about its packets."""

from __future__ import annotations

from ipaddress import IPv6Address

from choices import Choices

from agents.router_advertisement import HOP_LIMIT, NeighbourDiscoveryError, decode_solicitation, encode_unreachable, may_report

_SOURCES = (IPv6Address("fe80::1"), IPv6Address("::"))
_MINIMUM_MTU = 1280


def run(data: bytes) -> None:
    """The first octets choose hop limit and source address, the others are the message, or the packet to be reported."""
    choices = Choices(data)
    hop_limit, source = HOP_LIMIT - choices.number() // 128, choices.pick(_SOURCES)
    message = data[2:]
    try:
        solicitation = decode_solicitation(message, source, hop_limit)
    except NeighbourDiscoveryError:
        pass
    else:
        assert solicitation.link_layer is None or solicitation.link_layer in message
    if may_report(message):
        assert 8 <= len(encode_unreachable(message)) <= _MINIMUM_MTU - 40


def seeds() -> list[bytes]:
    """A solicitation without and with the sender's address, and a packet."""
    plain = bytes((0, 0, 133)) + bytes(8)
    packet = bytes((0, 0, 0x60)) + bytes(5) + b"\x3b\x40" + _SOURCES[0].packed + IPv6Address("2001:db8::1").packed
    return [plain[:-1], plain[:-1] + bytes.fromhex("0101020000000001"), packet]
