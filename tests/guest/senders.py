"""What sends and takes packets, in the namespace in which it is called or its socket is made."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator

from tests.guest.packets import PORT, TUNNEL, ends

_IPV6 = 0x86DD


def send(device: str, packets: Iterable[bytes]) -> None:
    """Send whole IPv6 packets, to groups and link-local addresses by ``device``; the kernel finds the next hop."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        for packet in packets:
            raw.sendto(packet, (str(ends(packet)[1]), 0, 0, socket.if_nametoindex(device)))


def send_frames(device: str, station: str, packets: Iterable[bytes]) -> None:
    """Send IPv6 packets by ``device`` to a link-layer address, past the kernel's own routes and neighbours."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as link:
        for packet in packets:
            link.sendto(packet, (device, _IPV6, 0, 0, bytes.fromhex(station.replace(":", ""))))


def paced(packets: Iterable[bytes], rate: float) -> Iterator[bytes]:
    """The packets, so many a second."""
    for packet in packets:
        yield packet
        time.sleep(1 / rate)


def listener() -> socket.socket:
    """What takes the datagrams that come to the test port."""
    port = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    port.bind(("::", PORT))
    port.settimeout(1.5)
    return port


def heard(port: socket.socket) -> Iterator[str]:
    """Where the datagrams that a listener takes come from, until none has come for a while."""
    try:
        while True:
            yield port.recvfrom(100)[1][0]
    except TimeoutError:
        return


def tap(device: str) -> socket.socket:
    """What sees the IPv6 packets that come in by ``device``."""
    seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_IPV6))
    seen.bind((device, 0))
    seen.settimeout(5)
    return seen


def next_tunnelled(seen: socket.socket) -> tuple[bytes, bytes]:
    """The next tunnelled packet that a tap sees, and what it carries."""
    while (packet := seen.recv(2000))[6] != TUNNEL:
        pass
    return packet, packet[40:]
