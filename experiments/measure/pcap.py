"""Reading packet captures fast: where every record of a file lies, and its bytes as one array to gather columns from.

Formats: the classic pcap file (draft-ietf-opsawg-pcap), microseconds or nanoseconds, either byte order; pcapng; either of them in gzip.
"""

from __future__ import annotations

import gzip
import mmap
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from experiments.declare import files
from experiments.measure import pcapng

Integers: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]

_FILE_HEADER = 24
_RECORD_HEADER = 16
_LARGEST_RECORD = 1 << 18
_FORMATS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_GZIP = b"\x1f\x8b"
_SUFFIXES = (".pcap", ".pcapng", ".pcap.gz", ".pcapng.gz")
_PIECE = 1 << 20

MOST_OCTETS = 1 << 30
"""The octets of the largest capture that is read, out of gzip."""

MOST_PACKETS = 1 << 23
"""The packets of the largest capture that is read."""

_TOO_MANY = f"more than the {MOST_PACKETS:,} packets that are read; record less, or split the run"


class CaptureFileError(ValueError):
    """A file that is no capture, or that cannot be opened; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture's records, in the order of the file; row i of each array is record i.

    Attributes:
        data: the bytes of the whole file, out of gzip.
        link_type: the file's link type (LINKTYPE_ value).
        times: ns since 1970.
        starts: where each frame starts in ``data``.
        lengths: how many bytes of each frame were captured.
        cut: how many frames had more bytes than were captured.
        truncated: where and why the file breaks off, or None; the records before that are here.
    """

    data: Bytes
    link_type: int
    times: Integers
    starts: Integers
    lengths: Integers
    cut: int
    truncated: str | None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def ends(self) -> Integers:
        """Where the captured bytes of each frame end in ``data``."""
        return self.starts + self.lengths

    @property
    def incomplete(self) -> tuple[str, ...]:
        """What of the capture is not here, one line each: packets that were cut, and what came after a break."""
        cut = f"{self.cut:,} of {len(self):,} packets were cut short when they were captured; what is left of them was read"
        return (*((cut,) if self.cut else ()), *((self.truncated,) if self.truncated else ()))

    def integers(self, at: Integers, size: int, ends: Integers) -> Integers:
        """The unsigned big-endian integer of ``size`` bytes (1 to 7) at each position in ``at``.

        Bytes from ``ends`` on, where the captured bytes of the frame at that position end, are 0: none is ever taken from another frame.
        """
        return _gather(self.data, at, range(size), ends)

    def frame(self, record: int) -> bytes:
        """The captured bytes of one record."""
        start = int(self.starts[record])
        return self.data[start : start + int(self.lengths[record])].tobytes()


def find_capture(folder: Path, node: str) -> Path:
    """The file of a node's capture in a run's folder, whichever of the formats it has; ``<node>.pcap`` where there is none."""
    names = [folder / f"{node}{suffix}" for suffix in _SUFFIXES]
    return next((path for path in names if path.exists()), names[0])


def read_capture(path: Path, most: int = MOST_OCTETS) -> Capture:
    """Read a capture, as far as it is whole; ``most`` is how many octets it may have, out of gzip.

    Raises:
        CaptureFileError: the file cannot be opened, is no plain file, is empty, does not begin as a capture does, mixes link types, or has
            more octets than ``most`` or more packets than MOST_PACKETS.
    """
    try:
        content, damage = _content(path, most)
    except OSError as error:
        raise CaptureFileError(f"{path.name}: {error.strerror or error}") from None
    if len(content) > most:
        raise CaptureFileError(f"{path.name}: larger than the {most:,} bytes that are read; record less, or split the run")
    if not content:
        raise CaptureFileError(f"{path.name}: {damage or 'empty, expected a capture'}")
    try:
        capture = _read_pcapng(content) if content[:4] == pcapng.MAGIC else _read_pcap(content)
    except CaptureFileError as error:
        raise CaptureFileError(f"{path.name}: {error}") from None
    return capture if capture.truncated or not damage else replace(capture, truncated=damage)


def _content(path: Path, most: int) -> tuple[bytes | mmap.mmap, str | None]:
    """The octets of a file, out of gzip where they are in it (not many more than ``most``), and what is wrong with the gzip."""
    with files.opened(path) as file:
        if not file.seek(0, 2):
            return b"", None
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return (content, None) if content[:2] != _GZIP else _unpacked(file, most)


def _unpacked(packed: BinaryIO, most: int) -> tuple[bytes, str | None]:
    pieces, size = [], 0
    packed.seek(0)
    try:
        with gzip.open(packed) as file:
            while size <= most and (piece := file.read1(_PIECE)):
                pieces.append(piece)
                size += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return b"".join(pieces), f"gzip: {error}"
    return b"".join(pieces), None


def _read_pcap(content: bytes | mmap.mmap) -> Capture:
    if content[:4] not in _FORMATS or len(content) < _FILE_HEADER:
        raise CaptureFileError("no capture: expected pcap or pcapng, on its own or in gzip")
    order, tick = _FORMATS[content[:4]]
    (link_type,) = struct.unpack_from(f"{order}I", content, 20)
    headers, truncated = _walk(content, order)
    data: Bytes = np.frombuffer(content, dtype=np.uint8)
    at = np.array(headers, dtype=np.int64)
    word = range(4) if order == ">" else range(3, -1, -1)
    second, rest, captured, original = (_gather(data, at + 4 * field, word, at + _RECORD_HEADER) for field in range(4))
    return Capture(
        data=data,
        link_type=link_type & 0xFFFF,
        times=second * 1_000_000_000 + rest * tick,
        starts=at + _RECORD_HEADER,
        lengths=captured,
        cut=int((captured < original).sum()),
        truncated=truncated,
    )


def _walk(content: bytes | mmap.mmap, order: str) -> tuple[list[int], str | None]:
    """Where each whole record's header lies, and why the walk ended before the end of the file."""
    length_at = struct.Struct(f"{order}I").unpack_from
    end = len(content)
    last = end - _RECORD_HEADER
    headers: list[int] = []
    at = _FILE_HEADER
    while at <= last:
        (length,) = length_at(content, at + 8)
        following = at + _RECORD_HEADER + length
        if length > _LARGEST_RECORD:
            return headers, f"record {len(headers) + 1} claims {length} bytes"
        if following > end:
            return headers, f"breaks off inside record {len(headers) + 1}"
        if len(headers) == MOST_PACKETS:
            raise CaptureFileError(_TOO_MANY)
        headers.append(at)
        at = following
    return headers, None if at == end else f"breaks off inside the header of record {len(headers) + 1}"


def _read_pcapng(content: bytes | mmap.mmap) -> Capture:
    packets = pcapng.walk(content, MOST_PACKETS)
    if packets.more:
        raise CaptureFileError(_TOO_MANY)
    if len(packets.link_types) != 1:
        found = " and ".join(map(str, sorted(packets.link_types)))
        raise CaptureFileError(f"link types {found}, expected one" if found else packets.truncated or "no interface is described")
    (link_type,) = packets.link_types
    lengths, originals = (np.array(column, dtype=np.int64) for column in (packets.lengths, packets.originals))
    return Capture(
        data=np.frombuffer(content, dtype=np.uint8),
        link_type=link_type,
        times=np.array(packets.times, dtype=np.int64),
        starts=np.array(packets.starts, dtype=np.int64),
        lengths=lengths,
        cut=int((lengths < originals).sum()),
        truncated=packets.truncated,
    )


def _gather(data: Bytes, at: Integers, order: range, ends: Integers) -> Integers:
    last = ends - 1
    value = np.zeros(len(at), dtype=np.int64)
    for step in order:
        where = at + step
        byte = data[np.minimum(where, last)].astype(np.int64)
        byte[where > last] = 0
        value = (value << 8) | byte
    return value
