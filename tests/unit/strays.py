"""Which packets a filter of strays passes: those for home addresses of which no attached node has the prefix."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

HOME = IPv6Network("2001:db8:100::/40")
MN1 = IPv6Network("2001:db8:100:1::/64")
MN2 = IPv6Network("2001:db8:100:2::/64")

CASES: list[tuple[str, list[IPv6Network], bool]] = [
    ("2001:db8:100:1::5", [], True),
    ("2001:db8:100:1::5", [MN1], False),
    ("2001:db8:100:1::5", [MN2], True),
    ("2001:db8:100:2::5", [MN1, MN2], False),
    ("2001:db8:100:3::5", [MN1, MN2], True),
    ("2001:db8:1ff:ffff::1", [MN1], True),
    ("2001:db8:200::1", [], False),
    ("2001:db8:0:1::1", [], False),
    ("ff15::5213", [], False),
    ("2001:db9:100:1::5", [], False),
]
"""A destination, the attached prefixes, and whether the filter passes what goes there."""


def packet(destination: str | IPv6Address, source: str = "::") -> bytes:
    return b"\x60" + bytes(7) + IPv6Address(source).packed + IPv6Address(destination).packed + b"data"


NOT_IPV6 = [b"", packet("2001:db8:100:1::5")[:39], b"\x45" + packet("2001:db8:100:1::5")[1:]]
"""Octets that are no IPv6 packet, or not the whole of its header."""
