"""The model against the closed forms of docs/model.md, for links of any delay."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import EPOCH, MS, moving, run, still

from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.scenario import Flow, Move, Run, Scenario
from experiments.measure.records import Packet, Trace
from experiments.model import bounds, expect, predict
from experiments.model.prediction import Prediction
from topologies.domain import Domain, LinkKind, LinkSettings
from topologies.presets import star, tree

DELAYS = st.integers(1, 40)
DECLARED = [resolve(Run(e.name, e.domain, case, e.scenario, 1, 1, "virtual", epoch=EPOCH)) for e in CATALOGUE.values() for case in e.cases]
ONE_MOVE = (Move(1.007, "mn1", "mag3"),)


def star_of(a: float = 2, m: float = 5, anchor: float = 20, **more: Any) -> Domain:
    """A star whose links have these delays in ms."""
    access, mag, lma_link = (LinkSettings(delay / 1000, **more) for delay in (a, m, anchor))
    return star(access=access, mag=mag, lma_link=lma_link)


@given(DELAYS, DELAYS, DELAYS)
@settings(max_examples=20, deadline=None)
def test_delays_once_routes_stand_and_of_the_first_packet(a: int, m: int, anchor: int) -> None:
    domain = star_of(a, m, anchor)
    quick = {"query.timeout": "10s"}
    direct, detour = 2 * a + 2 * m, 2 * a + 2 * m + 2 * anchor
    for scheme, delay, extra in (("pmip", detour, 0), ("s-pmip", direct, 2 * m + 2 * anchor), ("sd-pmip", direct, 4 * m)):
        expected = expect(run(scheme, domain=domain, settings=quick))
        assert expected["one_way_delay_ms"] == pytest.approx(delay)
        assert expected["first_packet_delay_ms"] == pytest.approx(delay + extra)
        assert expected["path_stretch"] == pytest.approx(delay / direct, abs=1e-4)
        assert expected.get("buffer_wait_ms", 0) == pytest.approx(extra)
        assert expected["packets_lost"] == 0


@pytest.mark.parametrize(("scheme", "messages", "lma"), [("none", 0, 0), ("pmip", 0, 0), ("s-pmip", 2, 2), ("sd-pmip", 2, 0)])
def test_signalling_of_a_new_session(scheme: str, messages: int, lma: int) -> None:
    expected = expect(run(scheme))
    assert (expected["signalling_messages"], expected["lma_control_messages"]) == (messages, lma)


def test_the_order_of_packets_that_come_together_by_ways_alike_is_open() -> None:
    this = run("pmip-lr", domain=star_of(2, 5, 20))
    assert 2 * 20 % 10 == 0, "the anchor's detour is a whole number of packet intervals"
    assert "packets_reordered" not in expect(this)
    assert "packets_reordered" in expect(run("pmip-lr", domain=star_of(2, 5, 22)))


def test_localized_routing_takes_the_first_packets_through_the_anchor_and_the_others_straight() -> None:
    a, m, interval = 2, 5, 10
    for far in (22, 61):
        trace, expected = predict(run("pmip-lr", domain=star_of(a, m, far))), expect(run("pmip-lr", domain=star_of(a, m, far)))
        straight, detour, told = 2 * a + 2 * m, 2 * a + 2 * m + 2 * far, 2 * (m + far)
        through = told // interval + 1
        delays = [round((packet.received - packet.sent) / MS) for packet in trace.packets if packet.received is not None]
        assert delays == [detour] * through + [straight] * (100 - through)
        assert (expected["one_way_delay_ms"], expected["first_packet_delay_ms"], expected["path_stretch"]) == (straight, detour, 1)
        assert expected["lma_data_packets"] == through
        assert expected["packets_reordered"] == 2 * far // interval
        assert expected["packets_lost"] == 0
        assert [signal.kind for signal in trace.signals] == ["LRI", "LRI", "LRA", "LRA"]


def test_localized_routing_that_lapses_begins_anew_with_the_next_packet_at_the_anchor() -> None:
    this = run("pmip-lr", scenario=still(7.0, rate=70), settings={"lr.lifetime": "2s"})
    sent = [(signal.sent - EPOCH) / MS for signal in predict(this).signals if signal.kind == "LRI"][::2]
    assert sent[0] == 27
    for earlier, later in pairwise(sent):
        assert 2000 + 50 <= later - earlier <= 2000 + 50 + 1000 / 70
    assert len(sent) == 4
    assert expect(this)["packets_lost"] == 0


@pytest.mark.parametrize(("settings", "past_anchor"), [({}, False), ({"local_routing": "on"}, True)])
def test_localized_routing_at_one_mag_must_be_allowed(settings: dict[str, str], past_anchor: bool) -> None:
    this = run("pmip-lr", domain=star(mags=1), settings=settings)
    assert expect(this)["one_way_delay_ms"] == (4 if past_anchor else 54)
    assert [(signal.kind, signal.status) for signal in predict(this).signals] == [("LRI", None), ("LRA", 0 if past_anchor else 128)]


def test_a_key_adds_the_options_of_rfc_4285_to_every_message() -> None:
    key = {"authentication.key": "00" * 16}
    for scheme, sizes in (("s-pmip", (40 + 48 + 32, 40 + 64 + 32)), ("sd-pmip", (80 + 48 + 32, 40 + 64 + 32))):
        plain, keyed = expect(run(scheme)), expect(run(scheme, settings=key))
        assert [signal.size for signal in predict(run(scheme, settings=key)).signals] == list(sizes)
        assert keyed == plain | {
            "signalling_bytes": plain["signalling_bytes"] + 2 * 32,
            "signalling_link_bytes": plain["signalling_link_bytes"] + (2 + (3 if scheme == "sd-pmip" else 2)) * 32,
        }


def test_a_query_goes_to_every_other_mag() -> None:
    query = predict(run("sd-pmip", domain=star(mags=5))).signals[0]
    assert [node for node, _ in query.arrivals] == ["mag2", "mag3", "mag4", "mag5"]


def test_only_pmip_sends_data_through_the_lma() -> None:
    assert {scheme: expect(run(scheme))["lma_data_packets"] for scheme in ("none", "pmip", "s-pmip", "sd-pmip")} == {
        "none": 0,
        "pmip": 100,
        "s-pmip": 0,
        "sd-pmip": 0,
    }


def interruption(scheme: str, policy: str, gap: float = 50, **delays: float) -> float:
    this = run(scheme, policy, moving((replace(ONE_MOVE[0], l2_gap=gap / 1000),), 12.0), star_of(**delays))
    return expect(this)["handover_interruption_ms"]


def after(resumes: float, delay: float, a: float, moved: float = 1007.0) -> float:
    """The interruption where packets that come to the new MAG from ``resumes`` ms on are delivered, ``delay`` ms after they were sent."""
    interval = 10.0
    reached = delay - a
    last = (moved - delay) // interval * interval
    first = -((reached - resumes) // interval) * interval
    return max(first + reached, resumes) + 3 * a - (last + delay) - interval


def test_interruptions_by_hand() -> None:
    a, m, anchor, gap, moved = 2, 5, 20, 50, 1007.0
    back = moved + gap
    told = back + m + anchor
    assert interruption("pmip", "anchor") == after(told + m + anchor, 54, a)
    assert interruption("pmip-lr", "anchor") == after(told + anchor + m + 2 * m, 14, a)
    assert interruption("s-pmip", "notify") == after(told + anchor + m + 2 * m, 14, a)
    assert interruption("sd-pmip", "notify") == after(back + 2 * m + 2 * m, 14, a)


@pytest.mark.parametrize("scheme", ["none", "pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_a_flow_that_was_over_is_not_interrupted_and_nothing_is_expected_to_be_less_than_nothing(scheme: str) -> None:
    over, slow = Flow("cn1", "mn1", 0.0, 2.0, 5.0), Flow("cn2", "mn2", 0.0, 8.0, 5.0)
    moves = (Move(4.007, "mn1", "mag3"), Move(4.107, "mn2", "mag1"))
    both = expect(run(scheme, domain=star(mns=2, cns=2), scenario=Scenario(9.0, (over, slow), moves)))
    alone = expect(run(scheme, domain=star(mns=2, cns=2), scenario=Scenario(9.0, (slow,), moves)))
    assert both["handover_interruption_ms"] == alone["handover_interruption_ms"] >= 0
    assert [name for name, value in both.items() if value < 0] == []


def test_packets_that_come_sooner_than_before_are_no_interruption() -> None:
    """The node comes to the correspondent's MAG between two packets: no way through the core is shorter than one through it."""
    scenario = Scenario(4.0, (Flow("cn1", "mn1", 0.0, 3.5, 2.0),), (Move(1.1, "mn1", "mag1"),))
    assert expect(run("s-pmip", scenario=scenario))["handover_interruption_ms"] == 0


def test_error_in_sd_pmip_asks_again_after_a_retransmission() -> None:
    stray = 1012.0
    asked = stray + 10
    answered = asked + 200 + 20
    assert interruption("sd-pmip", "error") == answered + 10 + 4 + 2 - 1004 - 10


def test_error_in_s_pmip_is_answered_when_the_node_is_registered() -> None:
    registered = 1007.0 + 50 + 25
    answered = registered + 25
    assert interruption("s-pmip", "error") == answered + 10 + 4 + 2 - 1004 - 10
    kinds = [signal.kind for signal in predict(run("s-pmip", "error", moving(ONE_MOVE, 2.0))).signals]
    assert (kinds.count("BE"), kinds.count("PBQ"), kinds.count("PQA")) == (1, 2, 2)


def test_expire_waits_for_the_route_to_lapse() -> None:
    for scheme, query in (("s-pmip", 50), ("sd-pmip", 20)):
        lapse = 2 + 8000 - 1000
        asked = lapse + 10
        first = -((-(asked + query)) // 10) * 10 + 2
        assert interruption(scheme, "expire") == first + 10 + 4 + 2 - 1004 - 10


def test_an_answer_holds_for_its_lifetime_and_is_asked_for_again_while_in_use() -> None:
    sent = [s.sent for s in predict(run("s-pmip", scenario=still(22.0))).signals if s.kind == "PBQ"]
    assert [(time - EPOCH) / MS for time in sent] == [2, 7012, 14022, 21032]
    assert expect(run("s-pmip", scenario=still(22.0)))["packets_lost"] == 0


def test_without_mobility_management_the_session_ends() -> None:
    expected = expect(run("none", scenario=moving(ONE_MOVE, 3.0)))
    assert expected["packets_lost"] == 300 - 100
    assert expected["signalling_messages"] == 0


def test_a_query_that_nobody_answers_fails_and_is_made_anew() -> None:
    trace = predict(run("sd-pmip", "error", moving((Move(0.507, "mn1", "mag3", 9.0),), 12.0)))
    asked = [(s.sent - EPOCH) / MS for s in trace.signals if s.kind == "PBQ"]
    assert asked[1:6] == [522, 722, 1122, 1922, 3522]
    failed = 522 + 6200
    assert asked[6] == failed + 1000
    assert trace.packets[-1].received is not None


def test_a_full_buffer_drops_the_youngest() -> None:
    trace = predict(run("s-pmip", settings={"buffer.packets": "2"}))
    assert [packet.sequence for packet in trace.packets if packet.received is None] == [2, 3, 4, 5]
    assert expect(run("s-pmip", settings={"buffer.packets": "0"}))["packets_lost"] == 6


def test_first_packets_to_the_group_do_not_wait() -> None:
    expected = expect(run("sd-pmip", settings={"first_packet": "multicast"}))
    assert expected["first_packet_delay_ms"] == 14
    assert expected["buffered_packets_max"] == 0


def test_two_nodes_of_one_mag() -> None:
    domain = star(mags=1)
    assert expect(run("s-pmip", domain=domain))["one_way_delay_ms"] == 4
    assert expect(run("s-pmip", domain=domain))["signalling_messages"] == 0
    assert expect(run("pmip", domain=domain))["one_way_delay_ms"] == 54


def test_a_tree_follows_its_paths() -> None:
    expected = expect(run("s-pmip", domain=tree()))
    assert expected["one_way_delay_ms"] == 14
    assert expect(run("pmip", domain=tree()))["one_way_delay_ms"] == 2 * (2 + 5 + 5 + 20)


def test_a_rate_adds_what_serialisation_costs() -> None:
    plain, outer = (100 + 48 + 14) * 8 / 1000, (100 + 48 + 40 + 14) * 8 / 1000
    expected = expect(run("sd-pmip", domain=star_of(rate=1e6)))
    assert expected["one_way_delay_ms"] == pytest.approx(14 + 2 * plain + 2 * outer)


def from_mn(scheme: str, gap: float = 0.05) -> Trace:
    return predict(run(scheme, scenario=Scenario(13.0, (Flow("mn1", "cn1", 0.0, 12.0, rate=100.0),), (replace(ONE_MOVE[0], l2_gap=gap),))))


@pytest.mark.parametrize(("scheme", "resumes"), [("sd-pmip", 1057 + 2), ("s-pmip", 1057 + 50 + 2), ("pmip", 1057 + 50 + 2)])
def test_a_moving_source_waits_for_an_advertisement(scheme: str, resumes: int) -> None:
    packets = from_mn(scheme).packets
    assert len(packets) == 1200
    assert [(packet.sent - EPOCH) / MS for packet in packets[100:102]] == [1000, resumes]
    assert all(packet.received is not None for packet in packets)


def test_a_source_that_is_away_for_long_gives_packets_up() -> None:
    unsent = set(range(1200)) - {packet.sequence for packet in from_mn("sd-pmip", 5.0).packets}
    assert unsent == set(range(101, 402))


def test_chance_leaves_out_what_it_touches() -> None:
    lossy = expect(run("pmip", domain=star_of(loss=0.1)))
    assert lossy["packets_lost"] == pytest.approx(100 * (1 - 0.9**6))
    assert lossy["one_way_delay_ms"] == 54
    assert "signalling_messages" not in lossy
    assert "packets_lost" not in expect(run("pmip", scenario=moving(), domain=star_of(loss=0.1)))
    shaky = expect(run("pmip", domain=star_of(jitter=0.001)))
    assert not {"packets_reordered", "one_way_delay_ms", "first_packet_delay_ms", "path_stretch"} & set(shaky)
    assert shaky["packets_lost"] == 0


def test_refreshed_bindings_leave_signalling_open() -> None:
    assert "signalling_messages" not in expect(run("pmip", settings={"binding.lifetime": "40s"}))


_NEAR = 1000
"""ns; what comes to a node within so little of each other counts as coming together."""


@pytest.mark.parametrize("this", DECLARED, ids=lambda this: f"{this.declared.experiment}-{this.case.scheme}-{this.case.label}")
def test_no_experiment_of_the_catalogue_has_a_tie(this: Deployment) -> None:
    """Packets that took different ways, or a packet and a message that it did not cause, never come to a node together."""
    prediction = Prediction(this)
    trace = prediction.trace()
    assert not prediction.tied
    seen: dict[str, list[tuple[int, Packet]]] = defaultdict(list)
    for packet in trace.packets:
        for node, time in packet.seen.items():
            seen[node].append((time, packet))
    for signal in trace.signals:
        for receiver, arrival in signal.arrivals:
            together = [packet for time, packet in seen[receiver] if abs(time - arrival) < _NEAR]
            assert all(packet.seen.get(signal.sender) == signal.sent for packet in together), (receiver, arrival, signal.kind)


def test_with_jitter_delays_have_bounds_and_what_it_decides_at_a_handover_is_not_expected() -> None:
    settings = LinkSettings(0.005, jitter=0.002)
    domain = star()
    links = tuple(replace(link, settings=settings) if link.kind is LinkKind.MAG else link for link in domain.links)
    this = run("s-pmip", scenario=moving(ONE_MOVE, 2.0), domain=replace(domain, links=links))
    assert bounds(this) == {"one_way_delay_ms": (10.0, 18.0), "first_packet_delay_ms": (56.0, 72.0)}
    assert "packets_lost" not in expect(this)
    assert bounds(run("s-pmip")) == {}


def test_with_loss_waiting_times_have_no_bounds() -> None:
    domain = star()
    links = tuple(replace(link, settings=LinkSettings(0.005, jitter=0.002, loss=0.1)) for link in domain.links)
    assert bounds(run("s-pmip", domain=replace(domain, links=links))) == {}
