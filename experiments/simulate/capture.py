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


class Capture:
    """One node's capture."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._octets = bytearray(_FILE_HEADER.pack(_NANOSECONDS, 2, 4, 0, 0, _SNAP_LENGTH, LINK_TYPE))
        self._closed = False

    def take(self, time: int, header: bytes, packet: bytes) -> None:
        """Note a packet at ``time`` (ns since 1970) behind its ``frame_header``; not any more once the capture is closed."""
        if self._closed:
            return
        length = len(header) + len(packet)
        self._octets += _RECORD.pack(*divmod(time, _SECOND), length, length) + header + packet
        if len(self._octets) >= _PENDING:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(self._octets)
        self._octets.clear()

    def close(self) -> None:
        """Write what is left; OSError where that fails."""
        if not self._closed:
            self._write()
            assert self._file is not None
            self._file.close()
            self._closed = True


class Captures:
    """The captures of a run, by node."""

    def __init__(self, folder: Path, nodes: Iterable[str]) -> None:
        self._of = {name: Capture(folder / f"{name}.pcap") for name in nodes}

    def of(self, node: str) -> Capture | None:
        """The node's capture, if it has one."""
        return self._of.get(node)

    def close(self) -> None:
        """End all of them."""
        for capture in self._of.values():
            capture.close()
