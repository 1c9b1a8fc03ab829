"""Where the packets of a pcapng file lie (draft-ietf-opsawg-pcapng): sections of either byte order, any number of interfaces, options.

This walks the file in place, as ``pcap`` does, and says where it breaks off. scapy's reader does not say that, keeps the interfaces of an
earlier section, ignores the offset of an interface's times, and cuts packets at 65,535 octets.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MAGIC = b"\x0a\x0d\x0d\x0a"
"""How a pcapng file begins."""

_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_SECTION = int.from_bytes(MAGIC, "big")
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_LEAST_BLOCK = 12
_BODY = 8
_PACKET_DATA = 28
_AROUND_PACKET = _PACKET_DATA + 4
_RESOLUTION, _OFFSET = 9, 14
_MICROSECONDS = 6
_SECOND = 1_000_000_000
_LATEST = 1 << 62


class _BrokenError(ValueError):
    """The file cannot be read any further; the message says why."""


@dataclass(slots=True)
class Packets:
    """The packets of a file, in its order; entry i of each list is packet i.

    Attributes:
        link_types: the link type (LINKTYPE_ value) of each interface that has packets or, where none has, of all of them.
        times: ns since 1970.
        starts: where each frame starts in the file.
        lengths: how many bytes of each frame were captured.
        originals: how many bytes each frame had.
        truncated: where and why the file breaks off, or None; the packets before that are here.
        more: whether there are more packets (or interfaces) than were to be read; those that are here are the first.
    """

    link_types: frozenset[int] = frozenset()
    times: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    originals: list[int] = field(default_factory=list)
    truncated: str | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Interface:
    """What an Interface Description Block says: ``ticks`` of a time stamp are one second, and it counts from ``offset`` s after 1970."""

    link_type: int
    ticks: int
    offset: int

    def time(self, stamp: int) -> int:
        """A time stamp in ns since 1970."""
        return self.offset * _SECOND + stamp * _SECOND // self.ticks


def walk(content: bytes | mmap.mmap, most: int) -> Packets:
    """The packets of a pcapng file, as far as it is whole; of more than ``most`` only the first."""
    found = Packets()
    described: set[int] = set()
    used: set[int] = set()
    interfaces: list[_Interface] = []
    order, at, number = "<", 0, 0
    try:
        while at < len(content):
            if len(found.times) == most or len(interfaces) == most:
                found.more = True
                break
            number += 1
            order, kind, length = _block(content, at, order, number)
            if kind == _SECTION:
                interfaces = []
            elif kind == _INTERFACE:
                interfaces.append(_interface(content, at, length, order, number))
                described.add(interfaces[-1].link_type)
            elif kind in (_PACKET, _OLD_PACKET):
                used.add(_add_packet(found, content, at, length, order, number, kind, interfaces))
            elif kind == _SIMPLE_PACKET:
                raise _BrokenError(f"block {number} is a packet without a time")
            at += length
    except _BrokenError as reason:
        found.truncated = str(reason)
    found.link_types = frozenset(used or described)
    return found


def _block(content: bytes | mmap.mmap, at: int, order: str, number: int) -> tuple[str, int, int]:
    """The byte order, type and length of the block at ``at``, which lies inside the file."""
    left = len(content) - at
    if left < _LEAST_BLOCK:
        raise _BrokenError(f"breaks off inside block {number}")
    if content[at : at + 4] == MAGIC:
        magic = content[at + 8 : at + 12]
        if magic not in _ORDERS:
            raise _BrokenError(f"block {number} begins a section in no known byte order")
        order = _ORDERS[magic]
    kind, length = struct.unpack_from(f"{order}II", content, at)
    if length < _LEAST_BLOCK or length % 4:
        raise _BrokenError(f"block {number} claims {length} bytes")
    if length > left:
        raise _BrokenError(f"breaks off inside block {number}")
    if struct.unpack_from(f"{order}I", content, at + length - 4)[0] != length:
        raise _BrokenError(f"block {number} claims two lengths")
    return order, kind, length


def _interface(content: bytes | mmap.mmap, at: int, length: int, order: str, number: int) -> _Interface:
    if length < _LEAST_BLOCK + 8:
        raise _BrokenError(f"block {number} is too short for an interface")
    (link_type,) = struct.unpack_from(f"{order}H", content, at + _BODY)
    options = dict(_options(bytes(content[at + _BODY + 8 : at + length - 4]), order))
    resolution, offset = options.get(_RESOLUTION, b""), options.get(_OFFSET, b"")
    exponent = resolution[0] if resolution else _MICROSECONDS
    base = 2 if exponent & 0x80 else 10
    start = struct.unpack(f"{order}q", offset)[0] if len(offset) == 8 else 0
    return _Interface(link_type, base ** (exponent & 0x7F), start)


def _options(octets: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The options of a block by their code, as far as they are whole."""
    while len(octets) >= 4:
        code, size = struct.unpack_from(f"{order}HH", octets)
        if not code or 4 + size > len(octets):
            return
        yield code, octets[4 : 4 + size]
        octets = octets[4 + size + -size % 4 :]


def _add_packet(
    found: Packets, content: bytes | mmap.mmap, at: int, length: int, order: str, number: int, kind: int, interfaces: list[_Interface]
) -> int:
    """Note an (Enhanced) Packet Block; returns its link type."""
    if length < _AROUND_PACKET:
        raise _BrokenError(f"block {number} is too short for a packet")
    index, high, low, captured, original = struct.unpack_from(f"{order}{'I' if kind == _PACKET else 'Hxx'}4I", content, at + _BODY)
    if captured > length - _AROUND_PACKET:
        raise _BrokenError(f"block {number} claims a packet of {captured} bytes")
    if index >= len(interfaces):
        raise _BrokenError(f"block {number} is of interface {index}, which nothing describes")
    interface: _Interface = interfaces[index]
    time = interface.time(high << 32 | low)
    if not 0 <= time < _LATEST:
        raise _BrokenError(f"block {number} has an impossible time")
    found.times.append(time)
    found.starts.append(at + _PACKET_DATA)
    found.lengths.append(captured)
    found.originals.append(original)
    return interface.link_type
