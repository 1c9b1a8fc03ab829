"""Captures as the emulation's: one file a node, in nanoseconds, of link type LINUX_SLL2, which keeps packets' interfaces and directions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from experiments.measure.dissect import LINK_TYPE

ETHERNET, TUNNEL6, TUN = 1, 769, 65534
"""Kinds of interfaces (linux/if_arp.h)."""
TO_US, BROADCAST, MULTICAST, OUTGOING = 0, 1, 2, 4
"""Which way a packet goes (linux/if_packet.h)."""

_FILE_HEADER = Struct("<IHHiIII")
_RECORD = Struct("<IIII")
_SLL2 = Struct("!HHIHBB8s")
_NANOSECONDS = 0xA1B23C4D
_SNAP_LENGTH = 262_144
_ETH_P_IPV6, _ETH_P_802_2 = 0x86DD, 4
_SECOND = 1_000_000_000
_PENDING = 1 << 20


def frame_header(interface: int, kind: int, direction: int, mac: bytes = b"", protocol: int = _ETH_P_IPV6) -> bytes:
    """What a capture has before a packet: ``interface`` is its index, ``mac`` the link-layer address of its sender."""
    return _SLL2.pack(protocol, 0, interface, kind, direction, len(mac), mac.ljust(8, b"\0"))


def layer_2_update(interface: int, mac: bytes) -> bytes:
    """The header of the frame by which an access point tells where a station is; it is all of IEEE 802.2, and no IPv6."""
    return frame_header(interface, ETHERNET, BROADCAST, mac, _ETH_P_802_2)


XID_RESPONSE = bytes((0x00, 0x01, 0xAF, 0x81, 0x01, 0x00))
"""What that frame says: an 802.2 XID response, null LSAP."""


class Capture:
    """One node's capture. Its file is open only while octets are written to it, since a domain may have more nodes than a process files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = False
        self._octets = bytearray()
        path.write_bytes(_FILE_HEADER.pack(_NANOSECOND_PCAP, 2, 4, 0, 0, _SNAPLEN, LINK_TYPE))

    def record(
        self, time: int, interface: Interface, seen: Seen, octets: bytes, link_layer: bytes = b"", protocol: int = ETH_P_IPV6
    ) -> None:
        """Note a packet, unless the capture is over; ``time`` in ns since 1970, ``link_layer`` is the frame's source."""
        if self._over:
            return
        second, rest = divmod(time, SECOND)
        size = _SLL2.size + len(octets)
        head = _SLL2.pack(protocol, 0, interface.number, interface.kind, seen, len(link_layer), link_layer)
        self._octets += _RECORD.pack(second, rest, size, size) + head + octets
        if len(self._octets) > _PIECE:
            self._write()

    def close(self) -> None:
        """Write all that is left; nothing more is noted."""
        self._over = True
        self._write()

    def _write(self) -> None:
        with self._path.open("ab") as file:
            file.write(self._octets)
        self._octets.clear()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
