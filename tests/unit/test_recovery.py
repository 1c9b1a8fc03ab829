from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from cases import EVERY
from runs import EPOCH, run

from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.scenario import Fault, Flow, Impairment, Kill, Move, Partition, Run, Scenario, WrongClock
from experiments.measure.metrics import measure
from experiments.measure.node_state import ListedRoute, ListedRule, NodeState
from experiments.measure.records import Packet, Trace
from experiments.measure.recovery import bound, healed, held, judge, recovery, stale
from experiments.model import expect

SECOND = 1_000_000_000
FLOWS = (Flow("cn1", "mn1", 0.0, 1.0, 10.0), Flow("mn1", "cn1", 0.0, 1.0, 10.0))
MN, CN = IPv6Network("2001:db8:100:1::/64"), IPv6Network("2001:db8:100:2::/64")


def struck(*faults: Fault, scheme: str = "s-pmip", policy: str = "") -> Deployment:
    scenario = Scenario(2.0, FLOWS, (Move(0.2, "mn1", "mag3"),), faults)
    return run(scheme, policy, scenario)


def trace(lost: dict[int, set[int]], delay: float = 0.014) -> Trace:
    packets = []
    for flow in (0, 1):
        for number in range(10):
            sent = EPOCH + number * SECOND // 10
            arrives = None if number in lost.get(flow, ()) else sent + round(delay * SECOND)
            packets.append(Packet(flow, number, sent, arrives, int(arrives is not None)))
    return Trace(tuple(packets), (), (), 0, 0)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ({}, 0.014),
        ({0: {0, 1, 2}}, 0.014),
        ({0: {3, 4}}, 0.214),
        ({0: {3}, 1: {3, 4, 6}}, 0.414),
        ({1: {5}}, 0.314),
        ({1: {9}}, None),
        ({0: set(range(10))}, None),
    ],
)
def test_recovery_is_the_slowest_flows_first_packet_after_its_last_loss(lost: dict[int, set[int]], expected: float | None) -> None:
    assert recovery(trace(lost), struck(Kill("mag1", 0.1, 0.3))) == (None if expected is None else pytest.approx(expected))


def test_recovery_counts_from_the_end_of_the_last_fault() -> None:
    assert healed(struck(Kill("mag1", 0.1, 0.3), Partition("mag1", "mag2", 0.2, 0.5))) == 0.5
    assert healed(struck()) == 0


def test_recovery_is_a_metric_of_runs_with_faults_only() -> None:
    broken = struck(Kill("mag1", 0.1, 0.3))
    assert [m.value for m in measure(trace({}), broken) if m.name == "recovery_ms"] == [pytest.approx(14.0)]
    assert not [m for m in measure(trace({}), struck()) if m.name == "recovery_ms"]
    assert not [m for m in measure(trace({0: {9}}), broken) if m.name == "recovery_ms"]


def test_of_a_run_with_faults_arithmetic_knows_only_that_each_loss_has_a_reason() -> None:
    assert expect(struck(Kill("mag1", 0.1, 0.3))) == {"lost_unexplained": 0}


def test_bounds_follow_the_timers() -> None:
    arrival, round_trip = 0.1 + 0.004 + 0.05, 0.05
    loss = Impairment(0.0, 2.0, loss=0.3)
    assert bound(struck(loss, scheme="pmip")) == pytest.approx(3.0 + 2 * round_trip + arrival)
    assert bound(struck(loss)) == pytest.approx(8.0 + 2.2 + 1.0 + round_trip + arrival)
    assert bound(struck(replace_delay(loss), scheme="pmip")) == pytest.approx(0.5 + 3.0 + 2 * round_trip + arrival)
    assert bound(struck(Kill("lma", 0.0, 2.0), scheme="pmip")) == pytest.approx(0.1 + 225.0 + round_trip + arrival)
    assert bound(struck(Kill("mag1", 0.0, 2.0), scheme="pmip")) == pytest.approx(0.1 + round_trip + arrival)
    assert bound(struck(Partition("mag1", "mag3", 0.0, 2.0))) == pytest.approx(arrival)
    assert bound(struck(Partition("lma", "mag3", 0.0, 2.0), scheme="pmip")) == pytest.approx(3.0 + 2 * round_trip + arrival)
    near = 0.1 + 0.004 + 0.02
    assert bound(struck(Partition("mag1", "mag3", 0.0, 9.0), scheme="sd-pmip")) == pytest.approx(3.2 + 1.0 + 0.02 + near)


def replace_delay(fault: Impairment) -> Impairment:
    return Impairment(fault.at, fault.end, loss=fault.loss, delay=0.5)


@pytest.mark.parametrize(("scheme", "policy"), EVERY)
def test_every_policy_has_a_bound(scheme: str, policy: str) -> None:
    killed = run(scheme, policy, scenario=Scenario(9.0, (Flow("cn1", "mn1", 0.0, 8.0),), faults=(Kill("mag2", 2.0, 4.0),)))
    assert 0 < bound(killed) < 30


def test_the_catalogues_faults_can_be_judged() -> None:
    experiment = CATALOGUE["faults"]
    end = max(flow.start + flow.duration for flow in experiment.scenario.flows)
    last = max(move.at + move.l2_gap for move in experiment.scenario.moves)
    for case in experiment.cases:
        played = resolve(Run("faults", experiment.domain, case, experiment.scenario, 1, 1, "virtual", {}, EPOCH))
        assert last < healed(played), case.variant
        assert healed(played) + bound(played) < end, case.variant


# What stays behind


def _rules(*links: str) -> tuple[ListedRule, ...]:
    return tuple(rule for link in links for rule in (ListedRule(10, 102, link, 41), ListedRule(30, 102, link, 135)))


def _here(prefix: IPv6Network, link: str) -> tuple[ListedRoute, ...]:
    return tuple(ListedRoute(prefix, table, link, None, True) for table in (254, 100))


def states(moved: Deployment) -> dict[str, NodeState]:
    """What nodes hold where cn1 is at mag1, mn1 has moved to mag3, and each was asked for by the other."""
    mag1, _, mag3 = (mag.address for mag in moved.domain.mags)
    devices = ("lo", "tnl", "dmm0")
    home = ListedRoute(IPv6Network("2001:db8:100::/40"), 254, "dmm0", None, True)
    return {
        "lma": NodeState(("lo", "tnl"), (ListedRoute(MN, 254, "tnl", mag3, True), ListedRoute(CN, 254, "tnl", mag1, True)), ()),
        "mag1": NodeState(devices, (home, *_here(CN, "cn1-air"), ListedRoute(MN, 254, "tnl", mag3, True)), _rules("cn1-air")),
        "mag2": NodeState(devices, (home,), ()),
        "mag3": NodeState(devices, (home, *_here(MN, "mn1-air"), ListedRoute(CN, 254, "tnl", mag1, True)), _rules("mn1-air")),
    }


def test_nothing_is_stale_where_all_is_as_attachments_have_it() -> None:
    moved = struck(Kill("mag1", 0.1, 0.3))
    assert stale(moved, states(moved)) == ()


@pytest.mark.parametrize("node", ["lma", "mag1", "mag2", "mag3"])
def test_a_tunnel_that_is_gone_is_found(node: str) -> None:
    moved = struck()
    found = states(moved)
    found[node] = replace(found[node], links=("lo", "dmm0"))
    assert stale(moved, found) == (f"{node}: no device tnl",)


def test_what_an_earlier_attachment_left_is_found() -> None:
    moved = struck()
    old = moved.domain.mags[1].address
    for node, route in (
        ("mag1", ListedRoute(MN, 254, "tnl", old, True)),
        ("lma", ListedRoute(MN, 254, "tnl", old, True)),
        ("mag2", ListedRoute(MN, 100, "mn1-air", None, True)),
        ("mag2", ListedRoute(MN, 254, "dmm0", None, True)),
        ("mag3", ListedRoute(MN, 254, "tnl", moved.domain.mags[2].address, True)),
        ("mag2", ListedRoute(IPv6Network("2001:db8:100:9::/64"), 254, "tnl", old, True)),
    ):
        found = states(moved)
        found[node] = replace(found[node], routes=(*found[node].routes, route))
        (said,) = stale(moved, found)
        assert said.startswith(f"{node}: a route of {route.prefix}")


def test_what_is_missing_or_twice_is_found() -> None:
    moved = struck()
    found = states(moved)
    found["mag3"] = replace(found["mag3"], routes=found["mag3"].routes[2:])
    found["mag2"] = replace(found["mag2"], rules=_rules("mn1-air"))
    found["lma"] = replace(found["lma"], routes=found["lma"].routes[:1])
    found["mag1"] = replace(found["mag1"], rules=found["mag1"].rules * 2)
    said = stale(moved, found)
    assert [line.partition(":")[0] for line in said] == ["lma", "mag1", "mag1", "mag2", "mag2", "mag3"]
    assert said[-1] == "mag3: no route of 2001:db8:100:1::/64 to mn1-air in table 254"
    pmip = resolve(replace(moved.declared, case=replace(moved.case, scheme="pmip", policy="anchor")))
    assert "mag1: no uplink for cn1-air" in stale(pmip, states(pmip))


def test_packets_still_held_are_counted_from_an_agents_last_start(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"

    def lines(*entries: tuple[str, str, int]) -> None:
        events.write_text("".join(json.dumps({"node": node, "event": event, "packets": n}) + "\n" for node, event, n in entries))

    lines(("mag1", "started", 0), ("mag1", "packet", 1), ("mag1", "packet", 1), ("mag1", "released", 2))
    assert held(events) == ()
    lines(("mag1", "packet", 1), ("mag1", "started", 0), ("mag1", "packet", 1), ("mag2", "packet", 1), ("mag2", "dropped", 1))
    assert held(events) == ("mag1: 1 packets in its buffers",)


def test_a_wrong_clock_is_a_restart_when_it_is_set_right() -> None:
    assert bound(struck(WrongClock("mag3", 3600.0, 2.0), scheme="pmip")) == bound(struck(Kill("mag3", 0.0, 2.0), scheme="pmip"))


def test_a_run_whose_state_is_not_known_is_not_well(tmp_path: Path) -> None:
    verdict = judge(struck(Kill("mag1", 0.1, 0.3)), trace({}), tmp_path)
    assert verdict.recovery is not None
    assert "state.json" in verdict.stale[0]
    assert not verdict.good
