"""Reading packet captures fast: where every record of a pcap file lies, and its bytes as one array to gather columns from.

Format: the classic pcap file (draft-ietf-opsawg-pcap), microseconds or nanoseconds, either byte order.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

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


class CaptureFileError(ValueError):
    """A file that is no pcap capture, or that cannot be opened; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture's records, in the order of the file; row i of each array is record i.

    Attributes:
        data: the bytes of the whole file.
        link_type: the file's link type (LINKTYPE_ value).
        times: ns since 1970.
        starts: where each frame starts in ``data``.
        lengths: how many bytes of each frame were captured.
        truncated: where and why the file breaks off, or None; the records before that are here.
    """

    data: Bytes
    link_type: int
    times: Integers
    starts: Integers
    lengths: Integers
    truncated: str | None

    def __len__(self) -> int:
        return len(self.starts)

    def integers(self, at: Integers, size: int) -> Integers:
        """The unsigned big-endian integer of ``size`` bytes (1 to 7) at each position in ``at``; bytes beyond the file are 0."""
        return _gather(self.data, at, range(size))

    def frame(self, record: int) -> bytes:
        """The captured bytes of one record."""
        start = int(self.starts[record])
        return self.data[start : start + int(self.lengths[record])].tobytes()


def read_capture(path: Path) -> Capture:
    """Read a pcap file, as far as it is whole.

    Raises:
        CaptureFileError: the file cannot be opened, is empty, or does not begin as a pcap file does.
    """
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                raise CaptureFileError(f"{path.name}: empty, expected a pcap file")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CaptureFileError(f"{path.name}: {error.strerror}") from None
    if content[:4] not in _FORMATS or len(content) < _FILE_HEADER:
        raise CaptureFileError(f"{path.name}: no pcap file")
    order, tick = _FORMATS[content[:4]]
    (link_type,) = struct.unpack_from(f"{order}I", content, 20)
    headers, truncated = _walk(content, order)
    data: Bytes = np.frombuffer(content, dtype=np.uint8)
    at = np.array(headers, dtype=np.int64)
    word = range(4) if order == ">" else range(3, -1, -1)
    return Capture(
        data=data,
        link_type=link_type & 0xFFFF,
        times=_gather(data, at, word) * 1_000_000_000 + _gather(data, at + 4, word) * tick,
        starts=at + _RECORD_HEADER,
        lengths=_gather(data, at + 8, word),
        truncated=truncated,
    )


def _walk(content: mmap.mmap, order: str) -> tuple[list[int], str | None]:
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
        headers.append(at)
        at = following
    return headers, None if at == end else f"breaks off inside the header of record {len(headers) + 1}"


def _gather(data: Bytes, at: Integers, order: range) -> Integers:
    beyond = len(data) - 1
    value = np.zeros(len(at), dtype=np.int64)
    for step in order:
        where = at + step
        byte = data[np.minimum(where, beyond)].astype(np.int64)
        byte[where > beyond] = 0
        value = (value << 8) | byte
    return value
