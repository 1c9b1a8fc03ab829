"""Why packets were lost: captures made by hand for each reason, and those that a prediction would have left."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from captures import LLC, MAG_MAC, OUT, TUN, TUNNEL, Record, encapsulated, ipv6, numbered_packet, pcap, render
from cases import MOBILE
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import EPOCH, MS, run

from agents import messages
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Flow, Kill, Move, Partition, Scenario
from experiments.measure.metrics import measure
from experiments.measure.records import Loss, Reason, Sight
from experiments.measure.trace import read_trace
from experiments.model import predict
from topologies.domain import Domain, LinkSettings
from topologies.presets import star, tree

CN, MN = "2001:db8:100:2::1", "2001:db8:100:1::1"
CN_MAC, MN_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
ADDRESS = {"lma": "2001:db8::1", "mag1": "2001:db8::1:1", "mag2": "2001:db8::1:2", "mag3": "2001:db8::1:3", "group": "ff15::5213"}
AWAY = (Move(0.007, "mn1", "mag3", 0.2),)
Records = dict[str, list[Record]]


def scene(*, moves: tuple[Move, ...] = (), mn_sends: bool = False) -> Scenario:
    ends = ("mn1", "cn1") if mn_sends else ("cn1", "mn1")
    return Scenario(2.0, (Flow(*ends, 0.0, 1.0),), moves)


def plain(sequence: int = 0) -> bytes:
    return numbered_packet(0, sequence, CN, MN)


def sent(at: float = 0, sequence: int = 0) -> Records:
    return {"cn1": [Record(time(at), plain(sequence), OUT, mac=CN_MAC)]}


def came(at: float = 2, sequence: int = 0) -> Records:
    return {"mag1": [Record(time(at), plain(sequence), mac=CN_MAC)]}


def to_agent(at: float = 2, sequence: int = 0, mag: str = "mag1") -> Records:
    return {mag: [Record(time(at), plain(sequence), OUT, TUN)]}


def from_agent(at: float, mag: str) -> Records:
    return {mag: [Record(time(at), plain(), kind=TUN)]}


def tunnelled(at: float, a: str, b: str, sequence: int = 0) -> Records:
    packet = plain(sequence)
    return {a: [Record(time(at), packet, OUT, TUNNEL), Record(time(at), encapsulated(packet, ADDRESS[a], ADDRESS[b]), OUT)]}


def out_of_tunnel(at: float, a: str, b: str, node: str = "", decapsulated: bool = True) -> Records:
    outer = Record(time(at), encapsulated(plain(), ADDRESS[a], ADDRESS[b]))
    return {node or b: [outer, Record(time(at), plain(), kind=TUNNEL)] if decapsulated else [outer]}


def delivered(at: float, mag: str) -> Records:
    return {mag: [Record(time(at), plain(), OUT, mac=MAG_MAC)]}


def associated(at: float, mag: str) -> Records:
    return {mag: [Record(time(at), bytes(6), 1, mac=MN_MAC, protocol=LLC)]}


def signal(at: float, sender: str, to: str, message: messages.Message, arrives: float | None = None) -> Records:
    data = messages.ipv6_packet(messages.encode(message), IPv6Address(ADDRESS[sender]), IPv6Address(ADDRESS[to]))
    found = {sender: [Record(time(at), data, OUT)]}
    return found if arrives is None else {**found, to: [Record(time(arrives), data)]}


def query(at: float, sequence: int = 7, sender: str = "mag1") -> Records:
    home = (IPv6Network(MN),)
    return signal(at, sender, "lma", messages.ProxyBindingUpdate(sequence=sequence, lifetime=2, query=True, home_network_prefixes=home))


def denial(at: float, sequence: int = 7) -> Records:
    home = (IPv6Network(MN),)
    answer = messages.ProxyBindingAcknowledgement(status=153, sequence=sequence, lifetime=0, query=True, home_network_prefixes=home)
    return signal(at - 1, "lma", "mag1", answer, at)


def handed_over(at: float, answered: float | None = None) -> Records:
    """MAG 2 tells MAG 3 that the node comes, and learns whether it may."""
    node: dict[str, Any] = {"sequence": 5, "mn_id": "mn1@dmm.example"}
    told = signal(at, "mag2", "mag3", messages.HandoverInitiate(code=3, **node), at + 10)
    if answered is None:
        return told
    answer = signal(answered - 10, "mag3", "mag2", messages.HandoverAcknowledge(code=0, **node), answered)
    return {mag: [*told[mag], *answer[mag]] for mag in told}


def registration(at: float) -> Records:
    update = messages.ProxyBindingUpdate(
        sequence=3, lifetime=9, mn_id="mn1@dmm.example", home_network_prefixes=(IPv6Network("2001:db8:100:1::/64"),)
    )
    return signal(at, "mag3", "lma", update)


def advertisement(at: float, mag: str, lifetime: int = 1800) -> Records:
    option = bytes((3, 4, 64, 0xC0)) + bytes(12) + IPv6Address("2001:db8:100:1::").packed
    data = ipv6("fe80::200:5eff:fe00:5213", "ff02::1", 58, bytes((134, 0, 0, 0, 64, 0)) + lifetime.to_bytes(2) + bytes(8) + option)
    return {mag: [Record(time(at), data, OUT, mac=MAG_MAC)]}


def refusal(at: float, node: str, kind: int, code: int) -> Records:
    data = ipv6(ADDRESS[node], CN, 58, bytes((kind, code, 0, 0, 0, 0, 0, 0)) + plain())
    return {node: [Record(time(at), data, OUT, mac=MAG_MAC)]}


def time(at: float) -> int:
    return EPOCH + round(at * MS)


def read(folder: Path, this: Deployment, *parts: Records) -> tuple[Loss, ...]:
    for node in ("lma", "mag1", "mag2", "mag3", "cn1", "mn1"):
        records = [record for part in parts for record in part.get(node, [])]
        (folder / f"{node}.pcap").write_bytes(pcap(sorted(records, key=lambda record: record.time)))
    return read_trace(folder, this).losses


ONE = (sent(), came())
STRAY = (*ONE, tunnelled(2, "mag1", "mag2"))
MOVED = {"scenario": scene(moves=AWAY)}
FORWARD = {"policy": "forward", **MOVED}
PREDICT = {"policy": "predict", **MOVED}
SLOW = {"query.timeout": "100s"}
PARTED = {"scenario": replace(scene(), faults=(Partition("mag1", "mag2", at=0.0, end=0.003),))}
RESTARTED = {"scenario": replace(scene(), faults=(Kill("mag2", at=0.0, end=0.011),))}

REASONS = [
    ("pmip", "the LMA has no binding", {}, (*ONE, tunnelled(2, "mag1", "lma"), out_of_tunnel(27, "mag1", "lma")), "lma", Reason.NO_ROUTE),
    ("pmip", "its source is not served yet", MOVED | {"scenario": scene(moves=(Move(0.0, "cn1", "mag1"),))},
     ({"mag1": [Record(time(0.1), bytes(6), 1, mac=CN_MAC, protocol=LLC)]}, sent(0.2), came(2.2)), "mag1", Reason.NO_ROUTE),
    ("s-pmip", "the node is registered but not served", MOVED,
     (sent(200), came(202), tunnelled(202, "mag1", "mag3"), associated(207, "mag3"), registration(207.1),
      out_of_tunnel(212, "mag1", "mag3")), "mag3", Reason.NO_ROUTE),
    ("sd-pmip", "the group has it, but not the node", {"settings": {"first_packet": "multicast"}, **MOVED},
     (sent(10), came(12), to_agent(12), tunnelled(12, "mag1", "group"), out_of_tunnel(22, "mag1", "group", "mag2"),
      out_of_tunnel(22, "mag1", "group", "mag3")), "mag2", Reason.NO_ROUTE),
    ("s-pmip", "the node's MAG has withdrawn its prefix", {},
     (*STRAY, advertisement(11, "mag2", lifetime=0), out_of_tunnel(12, "mag1", "mag2"), advertisement(13, "mag2")), "mag2",
     Reason.NO_ROUTE),
    ("s-pmip", "the node's MAG has an agent that starts anew", RESTARTED,
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), advertisement(13, "mag2")), "mag2", Reason.NO_ROUTE),
    ("pmip", "its source's MAG has an agent that starts anew",
     {"scenario": replace(scene(), faults=(Kill("mag1", at=0.0, end=0.001),))}, ONE, "mag1", Reason.NO_ROUTE),
    ("s-pmip", "the node has left", MOVED, (*STRAY, out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.NODE_LEFT),
    ("none", "the node has left", MOVED,
     (*ONE, {"mag1": [Record(time(2), plain(), OUT)], "mag2": [Record(time(12), plain())]}), "mag2", Reason.NODE_LEFT),
    ("s-pmip", "on the access link when the carrier goes", {"scenario": scene(moves=(Move(0.013, "mn1", "mag3"),))},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), delivered(12, "mag2")), "mag2", Reason.IN_THE_AIR),
    ("s-pmip", "neighbour discovery goes on when the carrier goes", {"scenario": scene(moves=(Move(0.013, "mn1", "mag3"),))},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.IN_THE_AIR),
    ("s-pmip", "handed back for a link that has gone", MOVED,
     (*STRAY, out_of_tunnel(6.9, "mag1", "mag2"), to_agent(7.1, mag="mag2"), from_agent(7.2, "mag2")), "mag2", Reason.IN_THE_AIR),
    ("pmip-lr", "its node leaves the source's own MAG",
     {"domain": star(mags=1), "scenario": scene(moves=(Move(0.007, "mn1", "mag1", 0.2),))}, ONE, "mag1", Reason.IN_THE_AIR),
    ("s-pmip", "its source leaves", {"scenario": scene(moves=(Move(0.001, "cn1", "mag3"),))}, (sent(),), "cn1", Reason.IN_THE_AIR),
    ("s-pmip", "the link queues, and the node leaves", {"domain": star(access=LinkSettings(0.002, rate=1e4)), **MOVED},
     (*STRAY, out_of_tunnel(3, "mag1", "mag2"), delivered(3, "mag2")), "mag2", Reason.IN_THE_AIR),
    ("s-pmip", "the access link loses", {"domain": star(access=LinkSettings(0.002, loss=0.1))},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), delivered(12, "mag2")), "mag2", Reason.LINK_LOSS),
    ("s-pmip", "neighbour discovery is lost", {"domain": star(access=LinkSettings(0.002, loss=0.1))},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.LINK_LOSS),
    ("s-pmip", "the core loses", {"domain": star(mag=LinkSettings(0.005, loss=0.1))}, STRAY, "mag1", Reason.LINK_LOSS),
    ("sd-pmip", "the core loses what goes to the host's MAG, not what goes to another",
     {"settings": {"first_packet": "multicast"}, "domain": star(mag=LinkSettings(0.005, loss=0.1))},
     (*ONE, to_agent(), tunnelled(2, "mag1", "group"), out_of_tunnel(12, "mag1", "group", "mag3")), "mag3", Reason.LINK_LOSS),
    ("s-pmip", "the MAGs are parted", PARTED, STRAY, "mag1", Reason.LINK_LOSS),
    ("s-pmip", "other MAGs are parted", {"scenario": replace(scene(), faults=(Partition("mag1", "mag3", at=0.0, end=0.003),))}, STRAY,
     "mag1", Reason.UNEXPLAINED),
    ("s-pmip", "the MAGs were parted before", {"scenario": replace(scene(), faults=(Partition("mag1", "mag2", at=0.0, end=0.001),))},
     STRAY, "mag1", Reason.UNEXPLAINED),
    ("s-pmip", "the node's MAG has advertised its prefix anew", RESTARTED,
     (*STRAY, advertisement(11.5, "mag2"), out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.UNEXPLAINED),
    ("none", "the core loses", {"domain": star(mag=LinkSettings(0.005, loss=0.1))},
     (*ONE, {"mag1": [Record(time(2), plain(), OUT)]}), "mag1", Reason.LINK_LOSS),
    ("s-pmip", "nothing may wait", {"settings": {"buffer.packets": "0"}}, (*ONE, to_agent(), query(2.1)), "mag1", Reason.BUFFER_FULL),
    ("s-pmip", "it is larger than what may wait", {"settings": {"buffer.bytes": "100"}}, (*ONE, to_agent(), query(2.1)), "mag1",
     Reason.BUFFER_FULL),
    ("s-pmip", "it waits for too long", {"settings": {"buffer.time": "1s", **SLOW}}, (*ONE, to_agent(), query(2.1)), "mag1",
     Reason.BUFFER_TIMEOUT),
    ("s-pmip", "the LMA denies", {}, (*ONE, to_agent(), query(2.1), denial(52)), "mag1", Reason.REFUSED),
    ("s-pmip", "a failure is remembered", {"settings": SLOW},
     (query(1), denial(51), sent(60), came(62), to_agent(62)), "mag1", Reason.REFUSED),
    ("s-pmip", "nobody answers", {"settings": {"query.tries": "2"}}, (*ONE, to_agent(), query(2.1), query(202.1)), "mag1", Reason.REFUSED),
    ("s-pmip", "the agent says no", {}, (*ONE, to_agent(), refusal(2.1, "mag1", 1, 3)), "mag1", Reason.REFUSED),
    ("s-pmip", "it is too large", {}, (*ONE, refusal(2.1, "mag1", 2, 0)), "mag1", Reason.REFUSED),
    ("s-pmip", "too many queries", {"settings": {"query.rate": "1", "query.failure": "0s"}},
     (query(1), denial(51), sent(60), came(62), to_agent(62)), "mag1", Reason.REFUSED),
    ("s-pmip", "the previous MAG may hold nothing", FORWARD | {"settings": {"buffer.packets": "0"}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), query(12.1, sender="mag2")), "mag2", Reason.BUFFER_FULL),
    ("s-pmip", "it waits for too long at the previous MAG", FORWARD | {"settings": {"buffer.time": "1s", **SLOW}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), query(12.1, sender="mag2")), "mag2", Reason.BUFFER_TIMEOUT),
    ("s-pmip", "the previous MAG finds nobody", FORWARD | {"settings": {"query.tries": "1"}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), query(12.1, sender="mag2")), "mag2", Reason.REFUSED),
    ("s-pmip", "the previous MAG does nothing", FORWARD, (*STRAY, out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.AGENT_DOWN),
    ("sd-pmip", "the previous MAG does not send on what the group has", FORWARD | {"settings": {"first_packet": "multicast"}},
     (sent(10), came(12), to_agent(12), tunnelled(12, "mag1", "group"), out_of_tunnel(22, "mag1", "group", "mag2")), "mag2",
     Reason.NO_ROUTE),
    ("s-pmip", "the node is registered but not served, and its MAG may hold nothing", FORWARD | {"settings": {"buffer.packets": "0"}},
     (sent(200), came(202), tunnelled(202, "mag1", "mag3"), associated(207, "mag3"), registration(207.1),
      out_of_tunnel(212, "mag1", "mag3")), "mag3", Reason.BUFFER_FULL),
    ("s-pmip", "it waits for too long for the next MAG to answer", PREDICT | {"settings": {"buffer.time": "1s", **SLOW}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), handed_over(2)), "mag2", Reason.BUFFER_TIMEOUT),
    ("s-pmip", "it waits for too long for the node at the next MAG", PREDICT | {"settings": {"buffer.time": "100ms"}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), handed_over(2, 11), tunnelled(12.1, "mag2", "mag3"), out_of_tunnel(22.1, "mag2", "mag3")),
     "mag3", Reason.BUFFER_TIMEOUT),
    ("s-pmip", "the node does not come to the next MAG, which finds nobody", PREDICT | {"settings": {"query.tries": "1"}},
     (*STRAY, out_of_tunnel(12, "mag1", "mag2"), handed_over(2, 11), tunnelled(12.1, "mag2", "mag3"), out_of_tunnel(22.1, "mag2", "mag3"),
      query(1012, sender="mag3")), "mag3", Reason.REFUSED),
    ("s-pmip", "no TUN device takes it", {}, ONE, "mag1", Reason.AGENT_DOWN),
    ("pmip", "no uplink takes it", {}, ONE, "mag1", Reason.AGENT_DOWN),
    ("pmip-lr", "no uplink takes it", {}, ONE, "mag1", Reason.AGENT_DOWN),
    ("s-pmip", "no tunnel device takes it", {}, (*STRAY, out_of_tunnel(12, "mag1", "mag2", decapsulated=False)), "mag2", Reason.AGENT_DOWN),
    ("s-pmip", "the agent does nothing", {}, (*ONE, to_agent()), "mag1", Reason.AGENT_DOWN),
    ("s-pmip", "no query is repeated", {}, (*ONE, to_agent(), query(2.1)), "mag1", Reason.AGENT_DOWN),
    ("s-pmip", "the new MAG does nothing for the node", MOVED,
     (associated(207, "mag3"), sent(900), came(902), tunnelled(902, "mag1", "mag3"), out_of_tunnel(912, "mag1", "mag3")), "mag3",
     Reason.AGENT_DOWN),
    ("s-pmip", "it waits when the captures end", {"settings": SLOW}, (*ONE, to_agent(), query(2.1)), "mag1", Reason.UNDER_WAY),
    ("s-pmip", "it is on a link when the captures end", {}, (sent(3999),), "cn1", Reason.UNDER_WAY),
    ("s-pmip", "it is in the core when the captures end", {}, (sent(3990), came(3992), tunnelled(3992, "mag1", "mag2")), "mag1",
     Reason.UNDER_WAY),
    ("s-pmip", "a link loses that should not", {}, STRAY, "mag1", Reason.UNEXPLAINED),
    ("s-pmip", "an access link loses that should not", {}, (*STRAY, out_of_tunnel(12, "mag1", "mag2"), delivered(12, "mag2")), "mag2",
     Reason.UNEXPLAINED),
    ("s-pmip", "a MAG that serves the node keeps it", {}, (*STRAY, out_of_tunnel(12, "mag1", "mag2")), "mag2", Reason.UNEXPLAINED),
    ("s-pmip", "an agent that runs keeps it", {}, (*ONE, to_agent(), query(300)), "mag1", Reason.UNEXPLAINED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "given_that", "declared", "records", "place", "reason"), REASONS, ids=[f"{row[-1]}: {row[0]}, {row[1]}" for row in REASONS]
)
def test_each_reason_shows_in_captures(
    tmp_path: Path, scheme: str, given_that: str, declared: dict[str, Any], records: tuple[Records, ...], place: str, reason: Reason
) -> None:
    this = run(scheme, **{"scenario": scene(), **declared})
    (loss,) = read(tmp_path, this, *records)
    assert (loss.place, loss.reason) == (place, reason)


def test_the_youngest_finds_the_buffer_full_until_the_older_ones_go(tmp_path: Path) -> None:
    this = run("s-pmip", scenario=scene(), settings={"buffer.packets": "2", "buffer.time": "100ms", "query.timeout": "100s"})
    times = {0: 2, 1: 12, 2: 22, 3: 103, 4: 104, 5: 113}
    parts = [part for n, at in times.items() for part in (sent(at - 2, n), came(at, n), to_agent(at, n))]
    losses = read(tmp_path, this, *parts, query(2.1), tunnelled(60, "mag1", "mag2", 1), {"mn1": [Record(time(72), plain(1))]})
    assert {loss.sequence: loss.reason for loss in losses} == {
        0: Reason.BUFFER_TIMEOUT,
        2: Reason.BUFFER_FULL,
        3: Reason.BUFFER_TIMEOUT,
        4: Reason.BUFFER_TIMEOUT,
        5: Reason.BUFFER_FULL,
    }


def test_a_served_node_that_leaves_again_is_told_from_one_not_yet_served(tmp_path: Path) -> None:
    moves = (Move(0.007, "mn1", "mag3"), Move(0.207, "mn1", "mag2"))
    this = run("sd-pmip", scenario=scene(moves=moves))
    stray = (sent(200), came(202), tunnelled(202, "mag1", "mag3"), out_of_tunnel(212, "mag1", "mag3"))
    (loss,) = read(tmp_path, this, associated(57, "mag3"), advertisement(57.1, "mag3"), *stray)
    assert loss == Loss(0, 0, "mag3", Sight.FROM_TUNNEL, Reason.NODE_LEFT)


HARD: list[tuple[float, dict[str, str]]] = [
    (0.05, {}),
    (0.3, {"buffer.packets": "2"}),
    (0.3, {"buffer.packets": "0"}),
    (2.0, {"query.tries": "2"}),
    (1.5, {"buffer.time": "300ms"}),
]
UNANNOUNCED = [(*case, 0.0, *hard) for case in MOBILE for hard in HARD]
ANNOUNCED = [(scheme, "predict", notice, *hard) for scheme in ("s-pmip", "sd-pmip") for notice in (0.1, 0.005) for hard in HARD]
ANNOUNCED = [run for run in ANNOUNCED if run[0] == "sd-pmip" or run[3] < 1]
"""Where the LMA still names the previous MAG, packets that nobody comes for go back there; a trace knows one time at each node."""
_FEW = {"query.lifetime": "4s"}


@pytest.mark.parametrize(("scheme", "policy", "notice", "gap", "more"), [*UNANNOUNCED, *ANNOUNCED])
def test_the_ledger_and_the_model_give_the_same_reasons(
    tmp_path: Path, scheme: str, policy: str, notice: float, gap: float, more: dict[str, str]
) -> None:
    scenario = Scenario(5.0, (Flow("cn1", "mn1", 0.0, 4.0),), (Move(1.007, "mn1", "mag3", gap, notice),))
    this = run(scheme, policy, scenario, settings={**_FEW, **more})
    expected = predict(this)
    render(expected, this, tmp_path)
    found = {loss.sequence: loss.reason for loss in read_trace(tmp_path, this).losses}
    assert found == {loss.sequence: loss.reason for loss in expected.losses}


@given(
    case=st.sampled_from([*MOBILE, ("none", "none")]),
    domain=st.sampled_from([star(), tree(), star(mags=4)]),
    leaves=st.integers(0, 2000),
    gap=st.integers(0, 1500),
    packets=st.sampled_from(["0", "1", "3", "1000"]),
    waits=st.sampled_from(["50ms", "7s"]),
    mn_sends=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_reasons_add_up_to_what_was_lost(
    case: tuple[str, str], domain: Domain, leaves: int, gap: int, packets: str, waits: str, mn_sends: bool
) -> None:
    moves = (Move(leaves / 1000, "mn1", "mag3", gap / 1000),)
    settings = {"buffer.packets": packets, "buffer.time": waits}
    this = run(*case, scene(moves=moves, mn_sends=mn_sends), domain, settings)
    predicted = predict(this)
    with TemporaryDirectory() as folder:
        if case[0] != "none":
            render(predicted, this, Path(folder))
        traces = [predicted] if case[0] == "none" else [predicted, read_trace(Path(folder), this)]
    for trace in traces:
        lost = [(packet.flow, packet.sequence) for packet in trace.packets if packet.received is None]
        assert [(loss.flow, loss.sequence) for loss in trace.losses] == lost
        counted = {metric.name: metric.value for metric in measure(trace, this)}
        assert sum(counted[reason.metric] for reason in Reason) == counted["packets_lost"] == len(lost)
        assert counted["lost_node_left"] == Counter(loss.reason for loss in trace.losses)[Reason.NODE_LEFT]
    assert Reason.UNEXPLAINED not in {loss.reason for loss in predicted.losses}
