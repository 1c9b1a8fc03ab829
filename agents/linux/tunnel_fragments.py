"""Packets that fit through a tunnel only if the packet outside is fragmented (RFC 2473, 7.1 (b)).

A tunnel has to carry 1,280 octets, whatever its path (RFC 8200, 5). Linux's tunnel device leaves an outer packet whole, and so loses those
of which the path takes less. They are seen here as they go into the device, and sent once more through a raw socket, which does fragment.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address

from agents.linux.socket_filter import longer_than
from agents.linux.sockets import TunnelSocket, attach, path_mtu
from agents.router_advertisement import MINIMUM_MTU

OUTER_HEADER = 40
ENOUGH = MINIMUM_MTU + OUTER_HEADER
"""A path that takes so many octets needs no fragments."""

_ANY_PROTOCOL = 0x0003


def least_path(too_big: bytes) -> int:
    """The MTU that an ICMPv6 Packet Too Big tells of (RFC 4443, 3.2), in octets: never less than the least of IPv6 (RFC 8201, 4)."""
    return max(int.from_bytes(too_big[4:8], "big"), MINIMUM_MTU)


class LargePackets:
    """What goes into the tunnel device ``device`` and may need fragments; OSError where the kernel has no packet sockets."""

    def __init__(self, device: str, address: IPv6Address, core: int) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._seen = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            attach(self._seen, longer_than(MINIMUM_MTU - OUTER_HEADER))
            self._seen.bind((device, _ANY_PROTOCOL))
            self._raw = TunnelSocket(address, core)
        except OSError:
            self._seen.close()
            raise

    def fileno(self) -> int:
        """Its file descriptor, to wait for."""
        return self._seen.fileno()

    def read(self) -> bytes | None:
        """The next packet, or None where none waits."""
        try:
            return self._seen.recv(MINIMUM_MTU + 1)
        except BlockingIOError:
            return None

    def send(self, packet: bytes, care_of: IPv6Address) -> bool:
        """Tunnel a packet to ``care_of`` if the device cannot, and say whether that was so; OSError where the kernel cannot."""
        path = path_mtu(care_of)
        if path is None or not path - OUTER_HEADER < len(packet) <= MINIMUM_MTU:
            return False
        self._raw.send(packet, care_of)
        return True

    def close(self) -> None:
        """Close the sockets."""
        self._seen.close()
        self._raw.close()
