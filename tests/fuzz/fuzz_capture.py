"""Captures: any file either is none, or has records that lie inside it, is dissected and gives a trace and its metrics."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import runs
from captures import Record, pcapng, render

from experiments.declare.scenario import Move
from experiments.declare.traffic import HEADER, MAGIC, PORT
from experiments.measure.dissect import dissect
from experiments.measure.metrics import measure
from experiments.measure.pcap import CaptureFileError, read_capture
from experiments.measure.procedures import PROCEDURES, find, table1_row
from experiments.measure.trace import read_trace
from experiments.model import predict
from topologies.addresses import ALL_MAGS_MAC

_FOLDER = TemporaryDirectory(prefix="fuzz-")
_FILE = Path(_FOLDER.name, "capture")
_RUN = runs.run("s-pmip", "error", runs.moving((Move(0.013, "mn1", "mag3"),), 0.03))

_FILE.touch()
for _node in _RUN.captured:
    Path(_FOLDER.name, f"{_node}.pcap").hardlink_to(_FILE)


def run(data: bytes) -> None:
    """The octets are the file, which is every node's capture."""
    _FILE.write_bytes(data)
    try:
        capture = read_capture(_FILE)
        assert len(capture) == len(capture.times) == len(capture.lengths)
        for record in range(len(capture)):
            assert 24 < capture.starts[record] <= capture.ends[record] <= len(capture.data)
            assert len(capture.frame(record)) == capture.lengths[record]
        dissected = dissect(capture, [ALL_MAGS_MAC, *(host.mac for host in _RUN.domain.hosts)])
    except CaptureFileError:
        return
    assert len(dissected.packets.times) + len(dissected.signals) + len(dissected.updates) <= len(capture)
    assert list(dissected.packets.times) == sorted(dissected.packets.times)
    assert all(signal.at + 40 <= signal.end <= len(capture.data) for signal in dissected.signals)
    trace = read_trace(Path(_FOLDER.name), _RUN)
    measure(trace, _RUN)
    table1_row(trace, _RUN)
    for procedure in PROCEDURES.values():
        find(procedure, trace, _RUN)


def seeds() -> list[bytes]:
    """A test packet, one in a tunnel behind a fragment header, a Mobility Header and a Layer 2 Update frame, in each byte order and format;
    and what nodes capture in a run with a move."""
    payload = MAGIC + bytes(HEADER.size - len(MAGIC))
    udp = struct.pack("!HHHH", 1, PORT, 8 + len(payload), 0) + payload
    plain = _ipv6(17, udp)
    records = [
        _sll2(0x86DD, plain),
        _sll2(0x86DD, _ipv6(44, bytes((41, 0, 0, 0)) + bytes(4) + plain)),
        _sll2(0x86DD, _ipv6(135, bytes((59, 0, 7, 0)) + bytes(20))),
        _sll2(4, bytes((0, 0, 0xAF, 0x81, 1, 0))),
    ]
    files = [_file(order, magic, records) for order, magic in ((">", 0xA1B2C3D4), ("<", 0xA1B2C3D4), ("<", 0xA1B23C4D))]
    files += [pcapng([Record(1, plain), Record(2, plain)], order) for order in "<>"]
    with TemporaryDirectory() as folder:
        render(predict(_RUN), _RUN, Path(folder))
        files += [Path(folder, f"{node}.pcap").read_bytes()[:4096] for node in ("mn1", "cn1", "mag1", "mag2", "mag3", "lma")]
    return [*files, gzip.compress(files[0]), gzip.compress(files[3])]


def _ipv6(following: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + bytes(32) + payload


def _sll2(protocol: int, payload: bytes) -> bytes:
    return struct.pack("!HHIHBB8s", protocol, 0, 2, 1, 0, 6, bytes((2, 0, 0, 0, 0, 1, 0, 0))) + payload


def _file(order: str, magic: int, records: list[bytes]) -> bytes:
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 1 << 16, 276)
    return header + b"".join(struct.pack(f"{order}IIII", 1, 2, len(record), len(record)) + record for record in records)
