"""Reading captures: formats, cuts, and faults."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from captures import Record, block, interface, numbered_packet, pcap, pcapng, pcapng_packet, section
from hypothesis import given
from hypothesis import strategies as st
from scapy.packet import Raw
from scapy.utils import EDecimal, RawPcapNgWriter

from experiments.measure.pcap import Capture, CaptureFileError, find_capture, read_capture

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


@pytest.mark.parametrize("file", [pcap, pcapng])
def test_a_snap_length_cuts_frames_and_that_is_said(tmp_path: Path, file: Callable[..., bytes]) -> None:
    longest = len(RECORDS[3].frame())
    capture = read_capture(write(tmp_path, file(RECORDS, snaplen=longest)))
    assert capture.lengths.tolist() == [longest - 3, longest - 2, longest - 1, longest, longest]
    assert capture.frame(4) == RECORDS[4].frame()[:longest]
    assert (capture.cut, capture.truncated) == (1, None)
    assert capture.incomplete == ("1 of 5 packets were cut short when they were captured; what is left of them was read",)


@given(st.integers(0, 300), st.integers(1, 7))
def test_integers_hold_no_octet_of_another_frame(tmp_path_factory: pytest.TempPathFactory, at: int, size: int) -> None:
    capture = read_capture(write(tmp_path_factory.mktemp("integers"), pcap([Record(START, b"\xff" * 7), Record(START, b"\xff" * 7)])))
    expected = int.from_bytes(capture.frame(0)[at : at + size].ljust(size, b"\0"), "big")
    assert capture.integers(capture.starts + at, size, capture.ends).tolist() == [expected] * 2


def test_integers_beyond_the_file_are_zero(tmp_path: Path) -> None:
    capture = read_capture(write(tmp_path, pcap([Record(START, b"\xff")])))
    assert capture.integers(capture.starts + 20, 3, capture.ends).tolist() == [0xFF0000]


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
    ("data", "reason"),
    [
        (b"", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (gzip.compress(b"", mtime=0)[:5], "gzip: Compressed file ended before"),
        (b"\x1f\x8b\x07hello, world", "gzip: Unknown compression method"),
        (b"hello", "no capture: expected pcap or pcapng"),
        (pcap([])[:20], "no capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "block 1 begins a section in no known byte order"),
        (section(), "no interface is described"),
    ],
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


# pcapng and gzip


def readable(path: Path) -> Capture | None:
    try:
        return read_capture(path)
    except CaptureFileError as error:
        said = str(error)
    assert said.startswith(f"{path.name}: ")
    assert "\n" not in said
    return None


def contents(capture: Capture) -> tuple[int, list[int], list[bytes], int, str | None]:
    frames = [capture.frame(number) for number in range(len(capture))]
    return capture.link_type, capture.times.tolist(), frames, capture.cut, capture.truncated


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("snaplen", [262144, 61])
def test_pcapng_and_gzip_hold_the_same(tmp_path: Path, order: str, packed: bool, snaplen: int) -> None:
    expected = contents(read_capture(write(tmp_path, pcap(RECORDS, snaplen=snaplen))))
    for data in (pcap(RECORDS, snaplen=snaplen), pcapng(RECORDS, order, snaplen=snaplen)):
        assert contents(read_capture(write(tmp_path, gzip.compress(data) if packed else data))) == expected


def test_each_interface_has_times_of_its_own_and_each_section_interfaces(tmp_path: Path) -> None:
    frame, seconds = RECORDS[0].frame(), START // 10**9
    blocks = (
        section("<"),
        interface("<"),
        interface("<", (9, b"\x09")),
        interface("<", (9, b"\x80")),
        interface("<", (9, b"\x94"), (14, struct.pack("<q", seconds))),
        pcapng_packet(0, START // 1000, frame),
        pcapng_packet(1, START + 1, frame),
        pcapng_packet(2, seconds, frame),
        pcapng_packet(3, 1 << 19, frame),
        block(5, bytes(8)),
        block(0x80000ABC, b"somebody's own"),
        section(">"),
        interface(">", (9, b"\x0c")),
        pcapng_packet(0, 1_000_000_001_999, frame, ">"),
        block(2, struct.pack(">HH4I", 0, 7, 0, 3000, len(frame), len(frame)) + frame, ">"),
    )
    capture = read_capture(write(tmp_path, b"".join(blocks)))
    assert capture.times.tolist() == [START, START + 1, START, START + 500_000_000, 1_000_000_001, 3]
    assert contents(capture)[2:] == ([frame] * 6, 0, None)


def test_a_frame_may_be_longer_than_scapy_reads(tmp_path: Path) -> None:
    record = Record(START, bytes(100_000))
    assert read_capture(write(tmp_path, pcapng([record]))).frame(0) == record.frame()


def test_link_types_count_where_there_are_packets(tmp_path: Path) -> None:
    start = section() + interface(link_type=1) + interface("<", (9, b"\x09"))
    packet = pcapng_packet(1, START, b"x")
    assert read_capture(write(tmp_path, start + packet)).link_type == 276
    with pytest.raises(CaptureFileError, match=r"x\.pcap: link types 1 and 276, expected one"):
        read_capture(write(tmp_path, start + packet + pcapng_packet(0, START // 1000, b"x")))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (pcapng_packet(1, START, b"x"), "block 4 is of interface 1, which nothing describes"),
        (block(6, bytes(16)), "block 4 is too short for a packet"),
        (block(1, bytes(4)), "block 4 is too short for an interface"),
        (block(6, struct.pack("<5I", 0, 0, 0, 9, 9) + b"x"), "block 4 claims a packet of 9 bytes"),
        (block(3, struct.pack("<I", 1) + b"x"), "block 4 is a packet without a time"),
        (pcapng_packet(0, 1 << 63, b"x"), "block 4 has an impossible time"),
        (struct.pack("<III", 5, 12, 16), "block 4 claims two lengths"),
        (struct.pack("<III", 5, 13, 13), "block 4 claims 13 bytes"),
        (struct.pack("<III", 5, 8, 8), "block 4 claims 8 bytes"),
        (struct.pack("<III", 5, 400, 400), "breaks off inside block 4"),
    ],
)
def test_a_broken_block_ends_the_reading(tmp_path: Path, block: bytes, reason: str) -> None:
    capture = read_capture(write(tmp_path, pcapng(RECORDS[:1]) + block + pcapng_packet(0, START, b"never read")))
    assert (len(capture), capture.truncated) == (1, reason)


@given(st.integers(0, 1 << 16), st.sampled_from([pcap, pcapng]), st.booleans())
def test_files_cut_anywhere_are_read_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, length: int, file: Callable[..., bytes], packed: bool
) -> None:
    whole = gzip.compress(file(RECORDS)) if packed else file(RECORDS)
    path = write(tmp_path_factory.mktemp("cut"), whole[: length % len(whole)])
    capture = readable(path)
    if capture is None:
        return
    frames = [record.frame() for record in RECORDS]
    assert [capture.frame(number) for number in range(len(capture))] == frames[: len(capture)]
    assert len(capture) < 5 or capture.truncated or packed
    assert capture.incomplete or not packed


def test_a_damaged_gzip_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(pcap(RECORDS)))
    packed[-5] ^= 1
    capture = read_capture(write(tmp_path, bytes(packed)))
    assert len(capture) == 5
    assert capture.truncated is not None
    assert capture.truncated.startswith("gzip: CRC check failed")


@given(st.binary(max_size=300), st.sampled_from([section(), section(">") + interface(">"), pcapng(RECORDS)]))
def test_noise_in_pcapng_gives_packets_or_the_documented_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, start: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("noise"), start + noise)
    capture = readable(path)
    if capture is None:
        return
    assert len(capture) == len(capture.times)
    assert (capture.ends <= len(capture.data)).all()


def test_a_node_has_its_capture_under_any_name(tmp_path: Path) -> None:
    assert find_capture(tmp_path, "mn1") == tmp_path / "mn1.pcap"
    for suffix in (".pcapng.gz", ".pcap.gz", ".pcapng", ".pcap"):
        path = tmp_path / f"mn1{suffix}"
        path.touch()
        assert find_capture(tmp_path, "mn1") == path


def test_what_scapy_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    writer = RawPcapNgWriter(str(path))
    writer.linktype = 276
    for number, record in enumerate(RECORDS):
        packet = Raw(record.frame())
        packet.time, packet.sniffed_on, packet.comments = EDecimal(record.time) / 10**9, f"veth{number % 2}", [b"a comment"]
        writer.write(packet)
    writer.close()
    expected = contents(read_capture(write(tmp_path, pcap(RECORDS))))
    assert contents(read_capture(path)) == expected


@pytest.mark.skipif(shutil.which("editcap") is None or shutil.which("mergecap") is None, reason="Wireshark's tools are the oracle")
def test_what_wireshark_writes_is_read(tmp_path: Path) -> None:
    odd = [Record(record.time + number, record.packet) for number, record in enumerate(RECORDS)]
    path = write(tmp_path, pcap(odd))
    expected = contents(read_capture(path))
    edited, one, other, merged = (tmp_path / f"{name}.pcapng" for name in ("edited", "one", "other", "merged"))
    subprocess.run(["editcap", "-F", "pcapng", path, edited], check=True)
    assert contents(read_capture(edited)) == expected
    subprocess.run(["editcap", "-F", "pcapng", "-r", path, one, "1-2", "5"], check=True)
    subprocess.run(["editcap", "-F", "pcapng", "-r", path, other, "3-4"], check=True)
    subprocess.run(["mergecap", "-F", "pcapng", "-I", "none", "-w", merged, one, other], check=True)
    assert contents(read_capture(merged)) == expected


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is the oracle")
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, pcap(RECORDS))
    fields = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.cap_len"]
    lines = subprocess.run(fields, capture_output=True, text=True, check=True).stdout.splitlines()
    capture = read_capture(path)
    seconds = [f"{time // 10**9}.{time % 10**9:09}" for time in capture.times.tolist()]
    assert [line.split("\t") for line in lines] == [[s, str(n)] for s, n in zip(seconds, capture.lengths.tolist(), strict=True)]
