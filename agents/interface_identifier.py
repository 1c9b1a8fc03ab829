"""The addresses that follow from a link-layer address (RFC 4291, appendix A)."""

from __future__ import annotations

_LINK_LOCAL = b"\xfe\x80" + bytes(6)


def interface_identifier(link_layer: bytes) -> bytes:
    """The last 8 octets of the addresses that a node makes of a link-layer address of 6."""
    return bytes((link_layer[0] ^ 2,)) + link_layer[1:3] + b"\xff\xfe" + link_layer[3:]


def link_local(link_layer: bytes) -> bytes:
    """The 16 octets of the link-local address that a node makes of it."""
    return _LINK_LOCAL + interface_identifier(link_layer)
