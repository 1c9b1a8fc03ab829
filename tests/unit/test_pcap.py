"""Reading pcap files: formats, cuts, and faults."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from captures import Record, numbered_packet, pcap
from hypothesis import given
from hypothesis import strategies as st

from experiments.measure.pcap import CaptureFileError, read_capture

START = 1_704_067_200_000_000_000
RECORDS = [Record(START + n * 1_234_567_000, numbered_packet(0, n, "2001:db8::1", "2001:db8::2", 100 + n)) for n in range(5)]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "x.pcap"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_every_byte_order_and_resolution(tmp_path: Path, order: str, nanoseconds: bool) -> None:
    capture = read_capture(write(tmp_path, pcap(RECORDS, order, nanoseconds)))
    assert capture.link_type == 276
    assert capture.times.tolist() == [record.time for record in RECORDS]
    assert [capture.frame(n) for n in range(len(capture))] == [record.frame() for record in RECORDS]
    assert capture.truncated is None


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    capture = read_capture(write(tmp_path, pcap([Record(START + 256, b"")])))
    assert capture.times.tolist() == [START + 256]


def test_a_snap_length_cuts_frames(tmp_path: Path) -> None:
    capture = read_capture(write(tmp_path, pcap(RECORDS, snaplen=70)))
    assert capture.lengths.tolist() == [70] * 5
    assert capture.frame(3) == RECORDS[3].frame()[:70]


def test_integers_beyond_the_file_are_zero(tmp_path: Path) -> None:
    capture = read_capture(write(tmp_path, pcap([Record(START, b"\xff")])))
    assert capture.integers(capture.starts + 20, 3).tolist() == [0xFF0000]


def test_a_header_alone_is_a_capture_of_nothing(tmp_path: Path) -> None:
    capture = read_capture(write(tmp_path, pcap([])))
    assert len(capture) == 0
    assert capture.truncated is None


@given(st.integers(24, len(pcap(RECORDS))))
def test_a_truncated_file_is_read_up_to_where_it_breaks(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    whole = pcap(RECORDS)
    capture = read_capture(write(tmp_path_factory.mktemp("cut"), whole[:length]))
    ends = [len(pcap(RECORDS[: n + 1])) for n in range(len(RECORDS))]
    assert len(capture) == sum(end <= length for end in ends)
    assert (capture.truncated is None) == (length in (24, *ends))
    if capture.truncated:
        assert f"record {len(capture) + 1}" in capture.truncated


def test_an_impossible_length_ends_the_reading(tmp_path: Path) -> None:
    data = bytearray(pcap(RECORDS))
    second = len(pcap(RECORDS[:1]))
    data[second + 8 : second + 12] = b"\xff\xff\xff\xff"
    capture = read_capture(write(tmp_path, bytes(data)))
    assert len(capture) == 1
    assert capture.truncated == "record 2 claims 4294967295 bytes"


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b"\x0a\x0d\x0d\x0a" + bytes(40), "no pcap"), (b"hello", "no pcap"), (pcap([])[:20], "no pcap")]
)
def test_what_is_no_capture(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(CaptureFileError, match=f"x.pcap: {reason}"):
        read_capture(write(tmp_path, data))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match=r"x\.pcap: No such file"):
        read_capture(tmp_path / "x.pcap")


@given(st.binary(max_size=300))
def test_noise_gives_records_or_the_documented_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    with pytest.raises(CaptureFileError):
        read_capture(write(folder, b"\0" + noise))
    read_capture(write(folder, pcap([]) + noise))


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is the oracle")
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, pcap(RECORDS))
    fields = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.cap_len"]
    lines = subprocess.run(fields, capture_output=True, text=True, check=True).stdout.splitlines()
    capture = read_capture(path)
    seconds = [f"{time // 10**9}.{time % 10**9:09}" for time in capture.times.tolist()]
    assert [line.split("\t") for line in lines] == [[s, str(n)] for s, n in zip(seconds, capture.lengths.tolist(), strict=True)]
