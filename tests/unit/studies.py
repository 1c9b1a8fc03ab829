"""Plausible studies made from nothing, for the tests of whatever draws them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path

from agents.schemes import SCHEMES
from experiments import model
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Case, Experiment, Flow, Move, Run, Scenario
from experiments.measure import metrics as measured
from experiments.measure import procedures
from experiments.measure.records import Loss, Metric, Packet, Reason, SeenAssociation, Sight, Signal, SummaryRow, Trace
from experiments.measure.study import RunResult, Step, Study, Table1Cell, Table1Row
from topologies.domain import Agent, Core, Domain, Host, Link, LinkKind, LinkSettings
from topologies.routing import distances, paths
from topologies.timing import nanoseconds

EPOCH = 1_704_067_205_000_000_000
MS = 1_000_000
ACCESS, MAG, LMA = 2, 5, 20
EXTRA = {"none": 0, "pmip": 0, "s-pmip": 2 * MAG + 2 * LMA, "sd-pmip": 4 * MAG}
CASES = (
    Case("none", "none"),
    Case("pmip", "anchor"),
    Case("s-pmip", "notify"),
    Case("s-pmip", "expire"),
    Case("sd-pmip", "error"),
    Case("sd-pmip", "expire"),
)
MOVES = (Move(10.007, "mn1", "mag3"), Move(20.007, "mn1", "mag2"))


def domain() -> Domain:
    mags = tuple(Agent(f"mag{number}", IPv6Address(f"2001:db8::{number}")) for number in (1, 2, 3))
    lma = Agent("lma", IPv6Address("2001:db8::ff"))
    hosts = tuple(
        Host(name, mag, f"{name}@dmm.example", f"02:00:00:00:00:0{index}", IPv6Network(f"2001:db8:100:{index}::/64"))
        for index, (name, mag) in enumerate((("cn1", "mag1"), ("mn1", "mag2")), 1)
    )
    links = (
        *(Link(mag.name, "core", LinkSettings(MAG / 1e3), kind=LinkKind.MAG) for mag in mags),
        Link("lma", "core", LinkSettings(LMA / 1e3), kind=LinkKind.LMA),
    )
    return Domain("star", mags, lma, hosts, (Core("core"),), links, LinkSettings(ACCESS / 1e3))


def delay(scheme: str) -> int:
    return 2 * ACCESS + 2 * MAG + (2 * LMA if scheme == "pmip" else 0)


def _packet(case: Case, sequence: int, moves: tuple[Move, ...]) -> Packet:
    at = sequence * 10 * MS
    sent = EPOCH + at
    recovery = {"none": 10_000, "pmip": 50, "notify": 30, "error": 60}.get(case.policy if case.policy != "anchor" else "pmip", 8_000)
    lost = any(move.at * 1e9 - delay(case.scheme) * MS <= at < (move.at + move.l2_gap) * 1e9 + recovery * MS for move in moves)
    wait = max(0, EXTRA[case.scheme] * MS - at)
    last = next((move.to for move in reversed(moves) if move.at * 1e9 <= at), "mag2")
    received_by_mag1 = sent + ACCESS * MS
    seen, clock = {"cn1": sent, "mag1": received_by_mag1}, received_by_mag1 + wait
    tunnelled = {} if case.scheme == "none" else {"mag1": clock}
    if case.scheme == "pmip":
        clock += (MAG + LMA) * MS
        seen["lma"] = tunnelled["lma"] = clock
        clock += (MAG + LMA) * MS
    else:
        clock += 2 * MAG * MS
    if lost:
        return Packet(0, sequence, sent, None, 0, seen, tunnelled)
    seen |= {last: clock, "mn1": clock + ACCESS * MS}
    return Packet(0, sequence, sent, clock + ACCESS * MS, 1, seen, tunnelled)


def _signals(scheme: str) -> tuple[Signal, ...]:
    home = "2001:db8:100:2::/64"
    attach = EPOCH - 1000 * MS
    advertised = Signal("RA", attach + 50 * MS, "mag2", (("mn1", attach + 52 * MS),), 110, "fe80::200:5eff:fe00:5213", "ff02::1", home=home)
    if scheme == "none":
        return (advertised,)
    update = Signal(
        "PBU", attach, "mag2", (("lma", attach + 25 * MS),), 120, "2001:db8::2", "2001:db8::ff",
        sequence=1, lifetime=300.0, mn_id="mn1@dmm.example", home=home,
    )  # fmt: skip
    answer = replace(
        update, kind="PBA", sent=attach + 25 * MS, sender="lma", arrivals=(("mag2", attach + 50 * MS),), status=0,
        source="2001:db8::ff", destination="2001:db8::2",
    )  # fmt: skip
    asked = EPOCH + ACCESS * MS
    query = Signal(
        "PBQ", asked, "mag1", (("lma", asked + 25 * MS),), 96, "2001:db8::1", "2001:db8::ff",
        sequence=7, lifetime=8.0, home="2001:db8:100:2::2/128",
    )  # fmt: skip
    found = replace(
        query, kind="PQA", sent=asked + 25 * MS, sender="lma", arrivals=(("mag1", asked + 50 * MS),), status=0,
        source="2001:db8::ff", destination="2001:db8::1", care_of="2001:db8::2", home=home,
    )  # fmt: skip
    if scheme == "pmip":
        return (update, answer, advertised)
    if scheme == "s-pmip":
        return (update, answer, advertised, query, found)
    query = replace(
        query, destination="ff15::5213", tunnelled=True, size=136, arrivals=(("mag2", asked + 10 * MS), ("mag3", asked + 10 * MS))
    )
    found = replace(found, sent=asked + 10 * MS, sender="mag2", arrivals=(("mag1", asked + 20 * MS),))
    return (advertised, query, found)


def trace(case: Case, packets: int = 3000, moves: tuple[Move, ...] = MOVES) -> Trace:
    associations = [SeenAssociation("cn1", "mag1", EPOCH - 2000 * MS), SeenAssociation("mn1", "mag2", EPOCH - 1000 * MS)]
    associations += [SeenAssociation(move.mn, move.to, EPOCH + round((move.at + move.l2_gap) * 1e9)) for move in moves]
    flow = tuple(_packet(case, sequence, moves) for sequence in range(packets))
    losses = tuple(Loss(0, packet.sequence, *_END[case.scheme == "pmip"]) for packet in flow if packet.received is None)
    at_lma = len(flow) if case.scheme == "pmip" else 0
    return Trace(flow, _signals(case.scheme), tuple(associations), at_lma, 0, losses=losses)


_END = (("mag2", Sight.FROM_TUNNEL, Reason.NODE_LEFT), ("lma", Sight.FROM_TUNNEL, Reason.NO_ROUTE))
EMPTY = Trace((), (), (), 0, 0)


def lose_all(complete: Trace) -> Trace:
    """The same trace with no packet received."""
    return replace(complete, packets=tuple(replace(packet, received=None, copies=0) for packet in complete.packets))


def metrics(case: Case, moves: tuple[Move, ...] = MOVES) -> tuple[Metric, ...]:
    usual = float(delay(case.scheme))
    first = usual + EXTRA[case.scheme]
    lost = {"none": 2000.0, "expire": 1600.0}.get(case.policy, 14.0) if moves else 0.0
    interruption = (Metric("handover_interruption_ms", 8000.0 if case.policy == "expire" else 71.0, "ms", None),) if moves else ()
    return (
        Metric("one_way_delay_ms", usual + 0.004, "ms", usual),
        Metric("first_packet_delay_ms", first + 0.012, "ms", first),
        *interruption,
        Metric("packets_lost", lost, "packets", 0.0 if not moves else None),
        *((Metric("lost_no_route" if case.scheme == "pmip" else "lost_node_left", lost, "packets", None),) if lost else ()),
        Metric("signalling_messages", 12.0, "messages", 12.0),
        Metric("lma_data_packets", 3000.0 if case.scheme == "pmip" else 0.0, "packets", 3000.0 if case.scheme == "pmip" else 0.0),
    )


STEPS = (
    Step(1, "MN sets up a connection with its MAG and obtains its HoA", "RA for 2001:db8:100:2::/64", EPOCH - 950 * MS, "mag2"),
    Step(2, "The MAG sends a PBU to the LMA", "PBU seq 1 from mag2", EPOCH - 1000 * MS, "mag2"),
    Step(3, "The LMA creates a binding and answers with a PBA", "PBA seq 1, status 0", EPOCH - 975 * MS, "lma"),
    Step(4, "CN sends a data packet to MN", "packet 0 leaves cn1", EPOCH, "cn1"),
    Step(5, "The MAG of CN sends a PBQ to the LMA", "PBQ seq 7", EPOCH + 2 * MS, "mag1"),
    Step(6, "The LMA answers with a PQA that has the CoA", "PQA seq 7, CoA 2001:db8::2", EPOCH + 27 * MS, "lma"),
    Step(7, "The MAG of CN tunnels the data packet to the MAG of MN", "packet 0 in IP-in-IP", EPOCH + 52 * MS, "mag1"),
    Step(8, "The data packet is forwarded to MN", "packet 0 at mn1 was looked for in vain", None, None),
)

TABLE1 = (
    Table1Row("pmip", (Table1Cell("Agents", "MAG LMA", "MAG LMA"), Table1Cell("Binding Query", "Not used", "Not used"))),
    Table1Row("s-pmip", (Table1Cell("Agents", "MAG LMA", "MAG LMA"), Table1Cell("Binding Query", "Used (unicast)", "Used (multicast)"))),
)

MANIFEST = {
    "command": "dmmlab run handover --runs 1 --seed 7",
    "runs_per_case": 1,
    "seed": 7,
    "engine": "virtual",
    "kernel": "6.12.48",
    "started": "2024-01-01T00:00:00Z",
    "revision": "0123456789abcdef",
    "versions": {"python": "3.11.2", "mininet": "2.3.0"},
    "wall_seconds": 12.5,
}


def study(
    cases: tuple[Case, ...] = CASES,
    *,
    name: str = "handover",
    runs: int = 1,
    packets: int = 3000,
    moves: tuple[Move, ...] = MOVES,
    figures: tuple[str, ...] = ("delays", "handovers", "bars"),
    steps: tuple[Step, ...] = (),
    table1: tuple[Table1Row, ...] = (),
    folder: Path = Path("results"),
) -> Study:
    scenario = Scenario(packets / 100 + 1, (Flow("cn1", "mn1", 0.0, packets / 100, rate=100.0),), moves)
    experiment = Experiment(name, f"{name.capitalize()} in short", f"What does {name} show?", domain(), cases, scenario, figures)
    results = tuple(
        RunResult(
            resolve(Run(name, experiment.domain, case, scenario, number, 7 + number, "virtual", epoch=EPOCH)),
            trace(case, packets, moves),
            metrics(case, moves),
            None,
            folder / case.scheme / case.label / str(number),
        )
        for case in cases
        for number in range(1, runs + 1)
    )
    spread = 0.0 if runs == 1 else 1.0
    summary = tuple(
        SummaryRow(
            name, case.scheme, case.label, metric.name, runs, metric.value, spread, 2.5 * spread, metric.expected, metric.unit
        )
        for case in cases
        for metric in metrics(case, moves)
    )  # fmt: skip
    return Study(experiment, results, MANIFEST, summary, steps, table1)


EVERY_CASE = tuple(Case(scheme.name, policy) for scheme in SCHEMES.values() for policy in scheme.policies)


def predicted(
    domain: Domain, scenario: Scenario, cases: tuple[Case, ...], *, figures: tuple[str, ...], folder: Path, name: str = "fig1"
) -> Study:
    """A study of any domain: the model says what happens to every packet and message, and captures show it, those of routers too."""
    experiment = Experiment(name, "Predicted", "What does the model say?", domain, cases, scenario, figures)
    results = []
    for case in cases:
        run = resolve(Run(name, domain, case, scenario, 1, 1, "virtual", epoch=EPOCH))
        passed = _past_routers(model.Prediction(run).trace(), domain)
        values = tuple(replace(metric, expected=metric.value) for metric in measured.measure(passed, run))
        results.append(RunResult(run, passed, values, None, folder / case.scheme / case.label / "1"))
    first = results[0]
    steps = procedures.find(procedures.PROCEDURES[name], first.trace, first.run)
    table1 = tuple(procedures.table1_row(result.trace, result.run) for result in results)
    return Study(experiment, tuple(results), MANIFEST, measured.summarise(results), steps, table1)


def _past_routers(trace: Trace, domain: Domain) -> Trace:
    """The trace with the sights of the core's routers, which the model leaves out."""
    routers = {core.name for core in domain.core if core.routed}

    def between(start: str, end: str, left: int) -> dict[str, int]:
        far = distances(domain, start)
        return {node: left + nanoseconds(far[node]) for node in paths(domain, start).get(end, ()) if node in routers}

    def signal(sent: Signal) -> Signal:
        seen = {node: time for end, _ in sent.arrivals for node, time in between(sent.sender, end, sent.sent).items()}
        return replace(sent, arrivals=tuple(sorted((*seen.items(), *sent.arrivals), key=lambda arrival: arrival[1])))

    def packet(of: Packet) -> Packet:
        seen: dict[str, int] = {}
        for start, end in pairwise(of.seen):
            seen = between(start, end, of.tunnelled.get(start, of.seen[start])) | seen
        return replace(of, seen=dict(sorted((seen | of.seen).items(), key=lambda sight: sight[1])))

    return replace(trace, signals=tuple(map(signal, trace.signals)), packets=tuple(map(packet, trace.packets)))
