"""Captures: any file either is none, or has records that lie inside it, and is dissected."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.measure.dissect import dissect
from experiments.measure.pcap import CaptureFileError, read_capture
from experiments.traffic import HEADER, MAGIC, PORT

_FOLDER = TemporaryDirectory(prefix="fuzz-")
_FILE = Path(_FOLDER.name, "capture.pcap")
_MACS = ("02:00:00:00:00:01",)


def run(data: bytes) -> None:
    """The octets are the file."""
    _FILE.write_bytes(data)
    try:
        capture = read_capture(_FILE)
        assert len(capture) == len(capture.times) == len(capture.lengths)
        for record in range(len(capture)):
            assert 24 < capture.starts[record] <= capture.starts[record] + capture.lengths[record] <= len(data)
            assert len(capture.frame(record)) == capture.lengths[record]
        dissected = dissect(capture, _MACS)
    except CaptureFileError:
        return
    assert len(dissected.packets.times) + len(dissected.signals) + len(dissected.updates) <= len(capture)
    assert list(dissected.packets.times) == sorted(dissected.packets.times)
    assert all(signal.at + 40 <= signal.end <= len(data) for signal in dissected.signals)


def seeds() -> list[bytes]:
    """A test packet, one in a tunnel behind a fragment header, a Mobility Header and a Layer 2 Update frame, in each byte order."""
    payload = MAGIC + bytes(HEADER.size - len(MAGIC))
    udp = struct.pack("!HHHH", 1, PORT, 8 + len(payload), 0) + payload
    plain = _ipv6(17, udp)
    records = [
        _sll2(0x86DD, plain),
        _sll2(0x86DD, _ipv6(44, bytes((41, 0, 0, 0)) + bytes(4) + plain)),
        _sll2(0x86DD, _ipv6(135, bytes((59, 0, 7, 0)) + bytes(20))),
        _sll2(4, bytes((0, 0, 0xAF, 0x81, 1, 0))),
    ]
    return [_file(order, magic, records) for order, magic in ((">", 0xA1B2C3D4), ("<", 0xA1B2C3D4), ("<", 0xA1B23C4D))]


def _ipv6(following: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + bytes(32) + payload


def _sll2(protocol: int, payload: bytes) -> bytes:
    return struct.pack("!HHIHBB8s", protocol, 0, 2, 1, 0, 6, bytes((2, 0, 0, 0, 0, 1, 0, 0))) + payload


def _file(order: str, magic: int, records: list[bytes]) -> bytes:
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 1 << 16, 276)
    return header + b"".join(struct.pack(f"{order}IIII", 1, 2, len(record), len(record)) + record for record in records)
