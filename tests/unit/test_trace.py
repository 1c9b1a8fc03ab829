"""From captures to a trace."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from captures import IPV6, LLC, MAG_MAC, OTHER, OUT, TUN, TUNNEL, Record, encapsulated, ipv6, numbered_packet, pcap, pcapng, render
from cases import MOBILE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import EPOCH, MS, moving, run, still

from agents import messages
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Move
from experiments.measure.metrics import measure
from experiments.measure.pcap import CaptureFileError, read_capture
from experiments.measure.procedures import PROCEDURES, find, table1_row
from experiments.measure.records import Packet, SeenAssociation, Signal, Trace
from experiments.measure.trace import read_trace
from experiments.model import predict

CN, MN = "2001:db8:100:2::1", "2001:db8:100:1::1"
CN_MAC, MN_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
MAG1, MAG2, LMA = "2001:db8::1:1", "2001:db8::1:2", "2001:db8::1"


def write(folder: Path, **records: list[Record]) -> None:
    for node in ("lma", "mag1", "mag2", "mag3", "cn1", "mn1"):
        (folder / f"{node}.pcap").write_bytes(pcap(records.get(node, [])))


def comparable(trace: Trace) -> list[Signal]:
    """The signals without sizes, which hand-made messages do not share, and those of one moment in one order."""
    return sorted(
        (replace(signal, size=0) for signal in trace.signals), key=lambda signal: (signal.sent, signal.sender, signal.destination)
    )


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
def test_what_was_put_into_captures_is_read_from_them(tmp_path: Path, scheme: str, policy: str) -> None:
    this = run(scheme, policy, moving((Move(1.007, "mn1", "mag3"), Move(2.007, "mn1", "mag2")), 3.0), settings={"query.lifetime": "4s"})
    expected = predict(this)
    render(expected, this, tmp_path)
    trace = read_trace(tmp_path, this)
    assert trace.packets == expected.packets
    assert comparable(trace) == comparable(expected)
    assert trace.associations == expected.associations
    assert (trace.lma_data_packets, trace.lma_data_bytes) == (expected.lma_data_packets, expected.lma_data_bytes)
    assert trace.truncated == ()


def test_a_packet_is_counted_once_however_often_a_node_shows_it(tmp_path: Path) -> None:
    plain = numbered_packet(0, 7, CN, MN)
    outer = encapsulated(plain, MAG1, MAG2)
    at = EPOCH
    write(
        tmp_path,
        cn1=[Record(at, plain, OUT, mac=CN_MAC)],
        mag1=[
            Record(at + 2 * MS, plain, mac=CN_MAC),
            Record(at + 2 * MS + 1, plain, OUT, TUN),
            Record(at + 22 * MS, plain, OUT, TUNNEL),
            Record(at + 22 * MS + 1, outer, OUT),
        ],
        mag2=[Record(at + 32 * MS, outer), Record(at + 32 * MS + 1, plain, kind=TUNNEL), Record(at + 32 * MS + 2, plain, OUT, mac=MAG_MAC)],
        mag3=[Record(at + 32 * MS, outer, OTHER)],
        mn1=[Record(at + 34 * MS, plain, mac=MAG_MAC), Record(at + 35 * MS, plain, mac=MAG_MAC)],
    )
    (packet,) = read_trace(tmp_path, run("sd-pmip")).packets
    seen = {"cn1": at, "mag1": at + 2 * MS, "mag2": at + 32 * MS, "mn1": at + 34 * MS}
    assert packet == Packet(0, 7, at, at + 34 * MS, 2, seen, {"mag1": at + 22 * MS + 1}, delivered={"mag2": at + 32 * MS + 2})
    assert packet.last_seen == "mn1"


def test_only_test_packets_of_the_runs_flows_count(tmp_path: Path) -> None:
    other_port = bytearray(numbered_packet(0, 0, CN, MN))
    other_port[42:44] = (53).to_bytes(2, "big")
    other_magic = numbered_packet(0, 1, CN, MN).replace(b"DMM1", b"DMM2")
    packets = (bytes(other_port), other_magic, numbered_packet(5, 0, CN, MN), numbered_packet(0, 2, CN, MN))
    write(tmp_path, cn1=[Record(EPOCH, packet, OUT) for packet in packets])
    assert [(packet.flow, packet.sequence) for packet in read_trace(tmp_path, run("pmip")).packets] == [(0, 2)]


def test_extension_headers_and_first_fragments_are_looked_through(tmp_path: Path) -> None:
    inner = numbered_packet(0, 0, CN, MN)
    limit = ipv6(MAG1, MAG2, 60, bytes((41, 0, 4, 1, 4, 1, 0, 0)) + inner)
    fragment = ipv6(MAG1, MAG2, 44, bytes((41, 0, 0, 1, 0, 0, 0, 9)) + inner)
    later = ipv6(MAG1, MAG2, 44, bytes((41, 0, 5, 1, 0, 0, 0, 9)) + inner)
    records = [Record(EPOCH + n, packet) for n, packet in enumerate((later, fragment, limit))]
    write(tmp_path, cn1=[Record(EPOCH, inner, OUT)], mag2=records)
    (packet,) = read_trace(tmp_path, run("sd-pmip")).packets
    assert packet.seen["mag2"] == EPOCH + 1


def test_a_message_lost_has_no_arrivals_and_a_repeated_one_is_told_apart(tmp_path: Path) -> None:
    query = messages.ProxyBindingUpdate(sequence=9, lifetime=2, query=True, home_network_prefixes=(IPv6Network(f"{MN}/128"),))
    packet = messages.ipv6_packet(messages.encode(query), IPv6Address(MAG1), IPv6Address(LMA))
    write(
        tmp_path,
        mag1=[Record(EPOCH, packet, OUT), Record(EPOCH + 200 * MS, packet, OUT), Record(EPOCH + 200 * MS + 5, packet, OUT)],
        lma=[Record(EPOCH + 225 * MS, packet), Record(EPOCH + 225 * MS + 5, packet)],
    )
    signals = read_trace(tmp_path, run("s-pmip")).signals
    assert [signal.arrivals for signal in signals] == [(), (("lma", EPOCH + 225 * MS),), (("lma", EPOCH + 225 * MS + 5),)]
    assert {(s.kind, s.sender, s.sequence, s.lifetime, s.home, s.size) for s in signals} == {("PBQ", "mag1", 9, 8.0, f"{MN}/128", 72)}


def test_a_malformed_message_is_kept_with_its_reason(tmp_path: Path) -> None:
    octets = bytes((59, 1, 5, 0, 0, 0, 0, 1, 0xC2, 0, 0, 2, 8, 200, 1, 0))
    write(tmp_path, mag1=[Record(EPOCH, ipv6(MAG1, LMA, 135, octets), OUT)])
    (signal,) = read_trace(tmp_path, run("pmip")).signals
    assert signal.kind == "PBU"
    assert signal.malformed is not None


def test_advertisements_say_which_prefix(tmp_path: Path) -> None:
    option = bytes((3, 4, 64, 0xC0)) + bytes(12) + IPv6Address("2001:db8:100:1::").packed
    advertisement = ipv6("fe80::200:5eff:fe00:5213", "ff02::1", 58, bytes((134, 0, 0, 0, 64, 0, 0x07, 0x08)) + bytes(8) + option)
    write(tmp_path, mag2=[Record(EPOCH, advertisement, OUT, mac=MAG_MAC)], mn1=[Record(EPOCH + 2 * MS, advertisement, 2, mac=MAG_MAC)])
    (signal,) = read_trace(tmp_path, run("pmip")).signals
    assert (signal.kind, signal.home, signal.lifetime, signal.arrivals) == ("RA", "2001:db8:100:1::/64", 1800.0, (("mn1", EPOCH + 2 * MS),))


@pytest.mark.parametrize("of_mags", [MAG_MAC, "02:00:00:00:77:01"])
def test_associations_and_the_last_packet_on_the_link_that_was_left(tmp_path: Path, of_mags: str) -> None:
    packet = numbered_packet(0, 0, CN, MN)
    write(
        tmp_path,
        mag2=[
            Record(EPOCH, bytes(6), 1, mac=MN_MAC, protocol=LLC),
            Record(EPOCH + 5, packet, OUT, mac=of_mags),
            Record(EPOCH + 6, packet, OUT, mac="02:aa:00:00:00:02"),
        ],
        mag3=[Record(EPOCH + 9, bytes(6), 1, mac=mac, protocol=LLC) for mac in (MN_MAC, CN_MAC[:-1] + "9")],
    )
    expected = (SeenAssociation("mn1", "mag2", EPOCH), SeenAssociation("mn1", "mag3", EPOCH + 9, EPOCH + 5))
    assert read_trace(tmp_path, run("pmip", settings={"link_layer": of_mags})).associations == expected


def _update(time: int, direction: int, mac: str = MN_MAC, protocol: int = LLC) -> Record:
    return Record(time, bytes.fromhex("0001af810100"), direction, mac=mac, protocol=protocol)


@pytest.mark.parametrize("protocol", [LLC, 6, IPV6, 0])
def test_an_association_is_what_the_radio_says_not_what_a_host_sends(tmp_path: Path, protocol: int) -> None:
    """Each frame of a host, with its own or another source, accounts for one that came in where it is, and none after it has left."""
    claimed = [_update(EPOCH + at, OUT, mac, protocol) for at, mac in ((10, MN_MAC), (20, MN_MAC), (30, CN_MAC))]
    write(
        tmp_path,
        cn1=claimed,
        mag1=[_update(EPOCH + at, 1, mac) for at, mac in ((1, CN_MAC), (12, MN_MAC), (22, MN_MAC), (32, CN_MAC), (40, MN_MAC))],
        mag2=[_update(EPOCH + at, 1) for at in (2, 50)],
        mn1=[_update(EPOCH + 51, OUT, protocol=protocol)],
        mag3=[_update(EPOCH + 60, 1)],
    )
    found = [(a.node, a.mag, a.time - EPOCH) for a in read_trace(tmp_path, run("pmip")).associations]
    assert found == [("cn1", "mag1", 1), ("mn1", "mag2", 2), ("mn1", "mag1", 40), ("mn1", "mag2", 50), ("mn1", "mag3", 60)]


def test_what_the_802_2_frame_says_is_looked_at(tmp_path: Path) -> None:
    """A frame that would look like IPv6 where its sender says so is no Layer 2 Update."""
    forged = b"\x60\x01\xaf\x81\x01\x00"
    write(
        tmp_path,
        cn1=[Record(EPOCH, forged, OUT, mac=MN_MAC, protocol=IPV6)],
        mag1=[Record(EPOCH + 2, forged, 1, mac=MN_MAC, protocol=LLC)],
    )
    assert read_trace(tmp_path, run("pmip")).associations == ()


def test_broken_and_missing_captures_are_named_and_the_others_read(tmp_path: Path) -> None:
    packet = numbered_packet(0, 0, CN, MN)
    write(
        tmp_path, cn1=[Record(EPOCH, packet, OUT), Record(EPOCH + 1, numbered_packet(0, 1, CN, MN), OUT)], mn1=[Record(EPOCH + 9, packet)]
    )
    whole = (tmp_path / "cn1.pcap").read_bytes()
    (tmp_path / "cn1.pcap").write_bytes(whole[:-3])
    (tmp_path / "mag3.pcap").unlink()
    (tmp_path / "lma.pcap").write_bytes(b"")
    (tmp_path / "mag2.pcap").write_bytes(pcap([], link_type=1))
    trace = read_trace(tmp_path, run("pmip"))
    assert [packet.received for packet in trace.packets] == [EPOCH + 9]
    assert set(trace.truncated) == {
        "cn1.pcap: breaks off inside record 2",
        "mag3.pcap: No such file or directory",
        "lma.pcap: empty, expected a capture",
        "mag2.pcap: link type 1, expected 276 (LINUX_SLL2)",
    }


def test_a_header_without_its_payload_is_no_message(tmp_path: Path) -> None:
    """What follows an ICMPv6 packet that was cut is the next record, whose time here begins with the type of a Router Solicitation."""
    bare = ipv6("fe80::1", "ff02::2", 58, b"")
    second = EPOCH // 10**9 // 256 * 256 + 133
    records = [Record((second + n) * 10**9, bare, OUT) for n in (0, 256)]
    write(tmp_path, mn1=records, mag1=[Record(EPOCH, ipv6(MAG1, LMA, 135, b""), OUT)])
    (signal,) = read_trace(tmp_path, run("pmip")).signals
    assert (signal.kind, signal.sender) == ("MH", "mag1")
    assert signal.malformed is not None


def test_an_impossible_prefix_is_none(tmp_path: Path) -> None:
    option = bytes((3, 4, 129, 0xC0)) + bytes(12) + IPv6Address("2001:db8:100:1::").packed
    advertisement = ipv6("fe80::200:5eff:fe00:5213", "ff02::1", 58, bytes((134, 0, 0, 0, 64, 0, 0x07, 0x08)) + bytes(8) + option)
    write(tmp_path, mag2=[Record(EPOCH, advertisement, OUT, mac=MAG_MAC)])
    (signal,) = read_trace(tmp_path, run("pmip")).signals
    assert (signal.kind, signal.home) == ("RA", None)


def analyse(folder: Path, this: Deployment) -> Trace:
    """The trace of a run, and all that is made of it."""
    trace = read_trace(folder, this)
    measure(trace, this)
    for procedure in PROCEDURES.values():
        find(procedure, trace, this)
    table1_row(trace, this)
    return trace


@pytest.fixture(scope="module", params=MOBILE, ids=lambda case: "-".join(case))
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Path]:
    """A run of a case with a move, and its captures."""
    scheme, policy = request.param
    this = run(scheme, policy, moving((Move(0.507, "mn1", "mag3"),), 1.0))
    folder = tmp_path_factory.mktemp("rendered")
    render(predict(this), this, folder)
    return this, folder


def test_a_capture_gives_the_same_trace_in_every_format(rendered: tuple[Deployment, Path], tmp_path: Path) -> None:
    this, folder = rendered
    expected = read_trace(folder, this)
    assert expected.packets
    for number, path in enumerate(sorted(folder.iterdir())):
        name, data = f"{path.stem}.pcapng", pcapng(frames(path))
        if number % 3 == 0:
            name, data = f"{path.name}.gz", gzip.compress(path.read_bytes())
        elif number % 3 == 1:
            name, data = f"{name}.gz", gzip.compress(data)
        (tmp_path / name).write_bytes(data)
    assert read_trace(tmp_path, this) == expected


@dataclass(frozen=True)
class Frame(Record):
    """A record whose ``packet`` is all of its frame."""

    def frame(self) -> bytes:
        return self.packet


def frames(path: Path) -> list[Frame]:
    capture = read_capture(path)
    return [Frame(time, capture.frame(number)) for number, time in enumerate(capture.times.tolist())]


@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_whatever_is_cut_off_packets_the_rest_is_analysed(
    rendered: tuple[Deployment, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """At any snap length, and with single packets cut anywhere."""
    this, folder = rendered
    cut = tmp_path_factory.mktemp("cut")
    for path in folder.iterdir():
        length = data.draw(st.integers(0, 200) | st.just(262144))
        lengths = data.draw(st.dictionaries(st.integers(0, 400), st.integers(0, 200), max_size=20))
        kept = bytearray(path.read_bytes()[:24])
        for number, frame in enumerate(frames(path)):
            held = frame.packet[: min(length, lengths.get(number, length))]
            second, rest = divmod(frame.time, 10**9)
            kept += struct.pack("<IIII", second, rest, len(held), len(frame.packet)) + held
        (cut / path.name).write_bytes(kept)
    trace = analyse(cut, this)
    assert all("packets were cut short" in line for line in trace.truncated)


def test_packets_that_were_cut_are_counted_and_the_rest_is_read(rendered: tuple[Deployment, Path], tmp_path: Path) -> None:
    """From the outer header to the test packet's number everything is there; of the messages, some are not whole."""
    this, folder = rendered
    whole = read_trace(folder, this)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(pcap(frames(path), snaplen=20 + 40 + 40 + 8 + 10))
    trace = analyse(tmp_path, this)
    assert trace.packets == whole.packets
    assert {line.partition(":")[0] for line in trace.truncated} >= {"cn1.pcap", "mn1.pcap", "mag1.pcap", "mag2.pcap"}
    cut = [len(frame.packet) > 118 for frame in frames(folder / "cn1.pcap")]
    (line,) = (line for line in trace.truncated if line.startswith("cn1.pcap"))
    assert line.startswith(f"cn1.pcap: {sum(cut)} of {len(cut)} packets were cut short")
    assert {signal.malformed for signal in trace.signals} <= {None, "cut short when it was captured"}


def test_no_capture_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureFileError, match=r"cn1\.pcap: No such file"):
        read_trace(tmp_path, run("pmip"))


def test_a_run_of_nothing_gives_an_empty_trace(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_trace(tmp_path, run("pmip")) == Trace((), (), (), 0, 0)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is the oracle")
def test_tshark_counts_the_same(tmp_path: Path) -> None:
    this = run("s-pmip", "error", moving())
    render(predict(this), this, tmp_path)
    trace = read_trace(tmp_path, this)
    found = {}
    for path in sorted(tmp_path.glob("*.pcap")):
        command = ["tshark", "-r", str(path), "-T", "fields"]
        for name in ("frame.time_epoch", "sll.pkttype", "ipv6.src", "ipv6.dst", "udp.dstport", "mip6.mhtype", "_ws.malformed"):
            command += ["-e", name]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        found[path.stem] = [line.split("\t") for line in lines]
    assert len([row for row in found["cn1"] if row[1] == "4" and row[4] == "5213"]) == len(trace.packets)
    received = [packet for packet in trace.packets if packet.received is not None]
    assert len([row for row in found["mn1"] if row[1] == "0" and row[4] == "5213"]) == len(received)
    messages_sent = [row for rows in found.values() for row in rows if row[1] == "4" and row[5]]
    assert len(messages_sent) == len(trace.signals)
    assert not [row for rows in found.values() for row in rows if row[6]]
    times = sorted(row[0] for row in found["mn1"] if row[1] == "0")
    assert times == [f"{p.received // 10**9}.{p.received % 10**9:09}" for p in received if p.received is not None]


def test_a_still_run_reads_the_same_twice(tmp_path: Path) -> None:
    this = run("sd-pmip", scenario=still())
    render(predict(this), this, tmp_path)
    assert read_trace(tmp_path, this) == read_trace(tmp_path, this)
