"""The simulator's parts: its heap, its links, its sleepers, its captures, and what it refuses to play."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from random import Random

import pytest

from agents.messages import Heartbeat, encode, ipv6_packet
from experiments.catalogue import CATALOGUE
from experiments.declare import declarations
from experiments.declare.admission import LARGEST_SIMULATED, AdmissionError, check_experiment
from experiments.declare.scenario import Case, Experiment, Flow, Impairment, Kill, Move, Partition, Run, Scenario
from experiments.measure import node_state
from experiments.measure.pcap import read_capture
from experiments.simulate.capture import ETHERNET, OUTGOING, Capture, frame_header
from experiments.simulate.clock import KERNEL, PROCESS, Clock
from experiments.simulate.errors import ErrorLimit
from experiments.simulate.link import Line, Treatment
from experiments.simulate.neighbours import Neighbour
from experiments.simulate.packets import checksum, packet, udp
from experiments.simulate.play import simulate
from experiments.simulate.sleep import wakes
from experiments.simulate.wheel import fires
from topologies.domain import LinkSettings
from topologies.presets import star, tree

EPOCH = 1_704_067_200 * 10**9
MS = 10**6
A, B = IPv6Address("2001:db8::1:1").packed, IPv6Address("2001:db8::1").packed
DATA = packet(A, B, 59, bytes(86))


def test_of_one_moment_kernels_come_first_and_then_what_was_asked_for_first() -> None:
    clock, played = Clock(0), list[str]()
    clock.at(5, PROCESS, played.append, "agent")
    clock.at(5, KERNEL, played.append, "packet")
    clock.at(5, KERNEL, played.append, "next packet")
    clock.at(3, PROCESS, played.append, "earlier")
    clock.run(6)
    assert played == ["earlier", "packet", "next packet", "agent"]
    assert (clock.now, clock.events) == (6, 4)


def test_what_is_due_at_the_end_or_was_due_before_now() -> None:
    clock, played = Clock(10), list[int]()
    clock.at(3, KERNEL, lambda: played.append(clock.now))
    clock.at(20, KERNEL, lambda: played.append(clock.now))
    clock.run(20)
    assert played == [10]
    clock.run(21)
    assert played == [10, 20]


def line(**settings: float) -> Line:
    return Line(LinkSettings(**settings), Random(1))


def test_a_plain_line_takes_its_delay() -> None:
    plain = line(delay=0.005)
    assert (plain.plain, plain.delay, plain.leaves(7, 100)) == (True, 5 * MS, 5 * MS + 7)


def test_packets_wait_for_those_before_them_where_a_line_has_a_rate() -> None:
    """A frame of 126 octets takes 1.12 ms at 1 Mbit/s."""
    slow = line(delay=0.002, rate=1e6)
    assert not slow.plain
    assert [slow.leaves(0, 126), slow.leaves(0, 126), slow.leaves(10 * MS, 126)] == [3_120_000, 4_240_000, 13_120_000]


def test_a_line_loses_what_its_probability_says() -> None:
    lossy = line(loss=0.3)
    lost = sum(lossy.leaves(0, 100) is None for _ in range(10_000))
    assert 2_850 < lost < 3_150
    assert [line(loss=0.3).leaves(n, 100) for n in range(20)] == [line(loss=0.3).leaves(n, 100) for n in range(20)]


def test_jitter_varies_the_delay_by_no_more() -> None:
    shaky = line(delay=0.005, jitter=0.001)
    times = [shaky.leaves(0, 100) or 0 for _ in range(1_000)]
    assert 4 * MS <= min(times) < 4.1 * MS < 5.9 * MS < max(times) <= 6 * MS


def test_only_signalling_is_treated() -> None:
    treated, treatment = line(delay=0.005), Treatment(delay=3 * MS, duplicate=1.0)
    signalling = ipv6_packet(encode(Heartbeat(sequence=1)), IPv6Address(A), IPv6Address(B))
    tunnelled = packet(A, B, 41, signalling)
    treated.treat(treatment)
    assert [treated.entries(7, octets) for octets in (DATA, signalling, tunnelled)] == [[7], *[[3 * MS + 7] * 2] * 2]
    treated.end_treatment(treatment)
    assert treated.entries(7, signalling) == [7]
    treated.treat(Treatment(loss=1.0))
    assert treated.entries(7, signalling) == []


def test_a_blocked_source_does_not_enter() -> None:
    parted = line(delay=0.005)
    parted.block(A)
    assert (parted.entries(7, DATA), parted.entries(7, packet(B, A, 59, b""))) == ([], [7])
    parted.unblock(A)
    assert parted.entries(7, DATA) == [7]


def test_a_sleeper_wakes_a_little_late_and_never_early() -> None:
    random = Random(1)
    for _ in range(1_000):
        since = EPOCH + random.randrange(10**12)
        when = (since + random.randrange(10**11)) / 1e9
        late = wakes(since, when) - round(when * 1e6) * 1000
        assert -1_000 < late < 3_000
    assert wakes(EPOCH + 5, EPOCH / 1e9) == EPOCH + 5


@pytest.mark.parametrize(("now", "wait", "fired"), [(0, 200, 210), (0, 1_000, 1_040), (80, 1_000, 1_120), (0, 5_000, 5_040), (3, 10, 20)])
def test_a_kernels_timer_fires_on_a_tick_the_coarser_the_later(now: int, wait: int, fired: int) -> None:
    assert fires(EPOCH + now * MS, wait * MS) == EPOCH + fired * MS


class Kernel:
    """What a neighbour's owner was asked to do, with the ms at which it was."""

    def __init__(self) -> None:
        self.clock = Clock(EPOCH)
        self.did: list[tuple[int, str]] = []
        self.neighbour = Neighbour(self, self.clock)

    def transmit(self, neighbour: Neighbour, packet: bytes) -> None:
        self._note(packet.decode())

    def ask(self, neighbour: Neighbour, known: bool) -> None:
        self._note("probe" if known else "ask")

    def unreachable(self, neighbour: Neighbour, waiting: list[bytes]) -> None:
        self._note("gives up " + b"".join(waiting).decode())

    def _note(self, what: str) -> None:
        self.did.append(((self.clock.now - EPOCH) // MS, what))

    def after(self, wait: int) -> Neighbour:
        self.clock.run(self.clock.now + wait * MS)
        return self.neighbour


def test_packets_wait_for_a_neighbours_answer() -> None:
    kernel = Kernel()
    kernel.neighbour.send(b"a")
    kernel.after(5).send(b"b")
    kernel.after(5).answered()
    kernel.after(5).send(b"c")
    assert kernel.did == [(0, "ask"), (10, "a"), (10, "b"), (15, "c")]


def test_a_neighbour_that_does_not_answer_is_given_up_and_asked_for_anew() -> None:
    kernel = Kernel()
    kernel.neighbour.send(b"a")
    kernel.after(4_000).send(b"b")
    assert kernel.did == [(0, "ask"), (1040, "ask"), (2080, "ask"), (3120, "gives up a"), (4000, "ask")]
    kernel.neighbour.heard()
    assert kernel.did[-1] == (4000, "b")


def test_a_stale_neighbour_is_used_and_then_probed() -> None:
    kernel = Kernel()
    kernel.neighbour.note()
    kernel.neighbour.send(b"a")
    kernel.after(5_100).answered()
    kernel.after(31_000)
    assert kernel.did == [(0, "a"), (5040, "probe")]
    kernel.neighbour.send(b"b")
    kernel.after(9_000).send(b"c")
    probes = [(when, what) for when, what in kernel.did if what == "probe"]
    assert [when - 36_100 for when, _ in probes[1:]] == [5_020, 6_060, 7_100]
    assert kernel.did[-2:] == [(44_240, "gives up "), (45_100, "ask")]


def test_a_neighbour_that_was_forgotten_has_no_timers() -> None:
    kernel = Kernel()
    kernel.neighbour.send(b"a")
    kernel.neighbour.forget()
    kernel.after(5_000)
    assert kernel.did == [(0, "ask")]


def test_errors_are_limited_for_each_node() -> None:
    limit = ErrorLimit()
    told = [limit.allows(A, EPOCH + n * 50 * MS) for n in range(40)]
    assert told.count(True) == 6 + 40 * 50 // 250 - 1
    assert all(told[:6])
    assert limit.allows(B, EPOCH)


def test_a_capture_is_read_as_an_emulations(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "mag1.pcap")
    capture.take(EPOCH + 1, frame_header(7, ETHERNET, OUTGOING, bytes(6)), DATA)
    capture.close()
    capture.take(EPOCH + 2, b"", DATA)
    read = read_capture(tmp_path / "mag1.pcap")
    assert (read.times.tolist(), read.link_type, read.incomplete) == ([EPOCH + 1], 276, ())
    assert read.frame(0)[20:] == DATA


def test_checksums_are_right() -> None:
    datagram = udp(A, B, (1, 2), b"abc")
    assert checksum(A, B, 17, datagram[40:]) == b"\xff\xff"


def run_of(folder: Path, case: Case, scenario: Scenario, domain: str = "star", **settings: str) -> Path:
    run = Run("test", star() if domain == "star" else tree(), case, scenario, 1, 1, "sim", settings)
    (folder / "run.json").write_bytes(declarations.to_json(run))
    return folder


FLOW = Flow("cn1", "mn1", 0.0, 2.0)


def test_the_same_seed_gives_the_same_octets(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    scenario = Scenario(4.0, (FLOW,), (Move(1.007, "mn1", "mag3"),), (Impairment(0.5, 3.0, loss=0.3),))
    for folder in folders:
        folder.mkdir()
        simulate(run_of(folder, Case("s-pmip", "notify"), scenario))
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == sorted(
        [*(f"{node}.pcap" for node in ("cn1", "lma", "mag1", "mag2", "mag3", "mn1")), "events.jsonl", "run.json", "state.json"]
    )
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)


@pytest.mark.parametrize("case", [Case("none", "none"), Case("pmip-lr", "anchor"), Case("s-pmip", "notify"), Case("sd-pmip", "error")])
def test_a_routed_core_is_crossed(case: Case, tmp_path: Path) -> None:
    simulate(run_of(tmp_path, case, Scenario(3.0, (FLOW,)), "tree"))
    routers = [core.name for core in tree().core if core.routed]
    seen = [len(read_capture(tmp_path / f"{name}.pcap")) for name in routers]
    sent, arrived = (sum(_tests(tmp_path / f"{name}.pcap")) for name in ("cn1", "mn1"))
    assert any(seen)
    assert sent == arrived == FLOW.packets


def _tests(path: Path) -> list[bool]:
    capture = read_capture(path)
    return [capture.frame(number)[26] == 17 and b"DMM1" in capture.frame(number) for number in range(len(capture))]


@pytest.mark.parametrize("fault", [Kill("mag2", 1.0, 1.5), Partition("mag1", "mag2", 1.0, 1.5)])
def test_after_a_fault_packets_flow_again(fault: Kill | Partition, tmp_path: Path) -> None:
    simulate(run_of(tmp_path, Case("s-pmip", "notify"), Scenario(4.0, (replace(FLOW, duration=3.0),), faults=(fault,))))
    arrived = sum(_tests(tmp_path / "mn1.pcap"))
    assert 3 * 97 * 0.8 < arrived < 3 * 97
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    starts = [event["time"] for event in events if event["event"] == "started" and event["node"] == "mag2"]
    assert len(starts) == 1 + isinstance(fault, Kill)
    assert "tnl" in node_state.read(tmp_path)["mag2"].links


def with_flow(experiment: Experiment, size: int) -> Experiment:
    return replace(experiment, scenario=replace(experiment.scenario, flows=(replace(FLOW, size=size),)))


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (CATALOGUE["attacks"], "plays no attacks, such as '.*': use --engine virtual"),
        (with_flow(CATALOGUE["fig1"], LARGEST_SIMULATED + 1), "no fragments: .* at most 1412 bytes, not 1413"),
    ],
)
def test_what_cannot_be_simulated_is_refused(experiment: Experiment, said: str) -> None:
    check_experiment(experiment, 1, 1, "virtual", {})
    with pytest.raises(AdmissionError, match=said):
        check_experiment(experiment, 1, 1, "sim", {})


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "attacks"])
def test_all_else_of_the_catalogue_is_admitted(name: str) -> None:
    check_experiment(CATALOGUE[name], 1, 1, "sim", {})


Break = Callable[[Path], object]


@pytest.mark.parametrize("leave", [lambda folder: None, lambda folder: (folder / "run.json").write_text("{}")])
def test_a_run_that_cannot_be_read_fails_in_one_line(leave: Break, tmp_path: Path) -> None:
    leave(tmp_path)
    done = subprocess.run([sys.executable, "-m", "experiments.simulate", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("dmmlab: failed: ")
