"""An LMA and three MAGs together, over a network in memory that delays and loses: the draft's two procedures and handovers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from cases import MOBILE
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_network import MemoryNetwork, hoa_of, mag_address, mn_id_of, packet, prefix_of

from agents.actions import Drop, DropReason, Send, TimeExceeded
from agents.config import FirstPacket, Settings
from agents.mag import Mag
from agents.messages import HandoverAcknowledge, HandoverAcknowledgeCode, HandoverInitiate
from agents.schemes import SCHEMES, Query

QUERYING = [(scheme, policy) for scheme, policy in MOBILE if SCHEMES[scheme].query is not Query.NONE]


def attached(scheme: str, policy: str | None = None, **options: Any) -> MemoryNetwork:
    """Host 1 (the CN) at MAG 1 and host 2 (the MN) at MAG 2, one second after the start."""
    network = MemoryNetwork(scheme, policy, **options)
    network.attach(1, 1)
    network.attach(2, 2)
    network.run(1)
    return network


def arrivals(network: MemoryNetwork) -> list[tuple[float, int]]:
    return [(round(time, 6), serial) for time, serial in network.delivered]


def interruption(network: MemoryNetwork) -> float:
    """The longest time without a packet, in s."""
    times = [time for time, _ in network.delivered]
    return round(max(later - earlier for earlier, later in pairwise(times)), 6)


def test_figure_1_steps_1_to_8() -> None:
    network = attached("s-pmip", "expire")
    assert network.advertised[2] == (prefix_of(2),)
    assert [name for _, _, name in network.signals] == ["PBU", "PBU", "PBA", "PBA"]
    assert network.lma.bindings[1].care_of == mag_address(2)
    network.flow(1, 2, 1.0, 0.2)
    network.run(2)
    assert [(node, name) for _, node, name in network.signals[4:]] == [("mag1", "PBQ"), ("lma", "PQA")]
    assert network.serials_delivered == list(range(20))
    assert arrivals(network)[0] == (1.0 + 2 * 0.025 + 0.010, 0)
    assert arrivals(network)[-1] == (1.19 + 0.010, 19)
    assert network.mag(1).routes == {prefix_of(2): mag_address(2)}


def test_figure_2_steps_1_to_6() -> None:
    network = attached("sd-pmip", "expire")
    assert network.signals == []
    network.flow(1, 2, 1.0, 0.2)
    network.run(2)
    assert [(node, name) for _, node, name in network.signals] == [("mag1", "PBQ"), ("mag2", "PQA")]
    assert network.serials_delivered == list(range(20))
    assert arrivals(network)[0] == (1.0 + 2 * 0.010 + 0.010, 0)
    assert network.mag(1).routes == {prefix_of(2): mag_address(2)}


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
@settings(deadline=None, max_examples=40)
@given(ahead=st.floats(-0.27, 0.29), first=st.floats(1.06, 1.5), rest=st.floats(0.4, 2.0))
def test_moves_cost_the_same_whatever_the_clock_of_the_senders_gateway_says(scheme: str, ahead: float, first: float, rest: float) -> None:
    """It may be off by what the domain allows, 0.3 s with the way to the anchor; nobody waits until it has caught up."""
    network = MemoryNetwork(scheme, "notify")
    network.step(mag_address(1), ahead)
    network.attach(1, 1)
    network.attach(2, 2)
    network.run(1)
    network.flow(1, 2, 1.0, 5.0)
    for when, number in ((first, 3), (first + rest, 2)):
        network.at(when, partial(network.move, 2, number))
    network.run(8)
    assert 500 - len(network.serials_delivered) <= 2 * 15


def test_pmip_passes_everything_through_the_anchor() -> None:
    network = attached("pmip")
    network.flow(1, 2, 1.0, 0.2)
    network.run(2)
    assert arrivals(network) == [(round(1.0 + number * 0.01 + 0.050, 6), number) for number in range(20)]


def test_sd_pmip_multicast_of_the_first_packets_beats_buffering() -> None:
    network = attached("sd-pmip", "expire", settings=Settings(first_packet=FirstPacket.MULTICAST))
    network.flow(1, 2, 1.0, 0.2)
    network.run(2)
    assert arrivals(network) == [(round(1.0 + number * 0.01 + 0.010, 6), number) for number in range(20)]


def test_both_ends_behind_one_mag_need_no_tunnel() -> None:
    network = MemoryNetwork("s-pmip")
    network.attach(1, 1)
    network.attach(2, 1)
    network.run(1)
    network.flow(1, 2, 1.0, 0.1)
    network.run(2)
    assert len(network.delivered) == 10
    assert network.kinds("PBQ") == []


def test_the_way_back_is_asked_for_in_its_turn() -> None:
    network = attached("s-pmip")
    network.send(1, 2)
    network.run(2)
    network.send(2, 1)
    network.run(3)
    assert network.serials_delivered == [0, 1]
    assert network.mag(2).routes == {prefix_of(1): mag_address(1)}
    assert len(network.kinds("PBQ")) == 2


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
def test_a_long_flow_loses_nothing_and_reorders_only_what_localized_routing_overtakes(scheme: str, policy: str) -> None:
    network = attached(scheme, policy)
    network.flow(1, 2, 1.0, 60.0)
    network.run(63)
    overtaken = 0.050 if SCHEMES[scheme].localized_routing else 0.0
    assert sorted(network.serials_delivered) == list(range(6000))
    assert network.serials_delivered[round(2 * overtaken / 0.01) :] == list(range(round(2 * overtaken / 0.01), 6000))
    if (scheme, policy) in QUERYING:
        assert len(network.kinds("PBQ")) == len(network.kinds("PQA")) == 9


@pytest.mark.parametrize(("scheme", "policy"), QUERYING)
def test_a_route_that_is_no_longer_used_is_withdrawn_without_a_query(scheme: str, policy: str) -> None:
    network = attached(scheme, policy)
    network.send(1, 2)
    network.run(30)
    assert network.mag(1).routes == {}
    assert len(network.kinds("PBQ")) == 1


@pytest.mark.parametrize(
    ("scheme", "policy", "expected"),
    [
        # the packets of the gap (5), and of the time until the news or the error are back
        ("pmip", "anchor", 0.10 + 0.02),
        ("pmip-lr", "anchor", 0.05 + 0.025 * 2 + 0.010 + 0.02),
        ("s-pmip", "notify", 0.05 + 0.025 * 2 + 0.010 + 0.02),
        ("sd-pmip", "notify", 0.05 + 0.010 * 2 + 0.02),
    ],
)
def test_a_handover_interrupts_for_as_long_as_the_news_take(scheme: str, policy: str, expected: float) -> None:
    network = attached(scheme, policy)
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(10)
    assert abs(interruption(network) - expected) <= 0.010001
    assert set(network.dropped.values()) <= {DropReason.NOT_ATTACHED, "no route at the LMA"}
    assert len(network.delivered) + len(network.dropped) == 300


def test_sd_pmip_error_buffers_until_a_repeated_query_finds_the_new_mag() -> None:
    network = attached("sd-pmip", "error")
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(10)
    (error,) = network.kinds("BE")
    queries = [round(time - error, 3) for time in network.kinds("PBQ") if time > error]
    assert queries == [0.010, 0.210]
    assert len(network.dropped) <= 3
    assert network.serials_delivered == sorted(network.serials_delivered)


def test_s_pmip_error_asks_until_the_anchor_knows() -> None:
    network = attached("s-pmip", "error")
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(10)
    assert network.mag(1).routes == {}
    assert 1 <= len(network.kinds("BE")) <= 3
    assert network.serials_delivered[-1] == 299
    assert network.serials_delivered == sorted(network.serials_delivered)


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_with_forward_nothing_is_lost_though_the_previous_mag_must_ask_first(scheme: str) -> None:
    network = attached(scheme, "forward")
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(10)
    assert sorted(network.serials_delivered) == list(range(300))
    assert network.duplicated == []
    news = 0.050 if scheme == "s-pmip" else 0.010
    assert interruption(network) == pytest.approx(0.05 + news + 0.010 + 0.01, abs=0.010001)


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_with_predict_packets_wait_at_the_next_mag_and_are_there_with_the_node(scheme: str) -> None:
    network = attached(scheme, "predict")
    network.flow(1, 2, 1.0, 3.0)
    network.at(1.95, lambda: network.announce(2, 3))
    network.at(2.0, lambda: network.move(2, 3))
    network.run(10)
    assert sorted(network.serials_delivered) == list(range(300))
    assert network.duplicated == []
    assert interruption(network) == pytest.approx(0.05 + 0.01, abs=0.010001)
    assert len(network.kinds("HI")) == len(network.kinds("HACK")) == 1


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
@pytest.mark.parametrize("gap", [0.05, 1.5])
def test_a_prediction_that_does_not_come_true_loses_nothing(scheme: str, gap: float) -> None:
    network = MemoryNetwork(scheme, "predict", mags=4)
    network.attach(1, 1)
    network.attach(2, 2)
    network.flow(1, 2, 1.0, 5.0)
    network.at(1.95, lambda: network.announce(2, 3))
    network.at(2.0, lambda: network.move(2, 4, gap))
    network.run(12)
    assert sorted(network.serials_delivered) == list(range(500))


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_a_handover_that_is_announced_and_does_not_happen_changes_nothing(scheme: str) -> None:
    network = attached(scheme, "predict")
    network.flow(1, 2, 1.0, 12.0)
    network.at(2.0, lambda: network.announce(2, 3))
    network.run(15)
    assert network.serials_delivered == list(range(1200))
    assert len(network.kinds("HI")) == 1


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_a_next_mag_that_does_not_answer_costs_no_packet(scheme: str) -> None:
    network = MemoryNetwork(scheme, "predict", lost=lambda name: name == "HI")
    network.attach(1, 1)
    network.attach(2, 2)
    network.flow(1, 2, 1.0, 5.0)
    network.at(1.95, lambda: network.announce(2, 3))
    network.at(2.0, lambda: network.move(2, 3))
    network.run(12)
    assert len(network.kinds("HI")) == (5 if scheme == "s-pmip" else 1), "with sd-pmip the news say that it is over"
    late = [when - serial / 100 for when, serial in network.delivered]
    assert max(late) < 1.0 + 0.06 + 0.2 + 2 * 0.05, "packets wait no longer than until it is asked where the node is, and answered"
    assert sorted(network.serials_delivered) == list(range(500))


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_a_next_mag_without_a_profile_of_the_node_declines_it(scheme: str) -> None:
    initiate = HandoverInitiate(sequence=7, code=3, mn_id="stranger@dmm.example", home_network_prefixes=(prefix_of(9),))
    network = MemoryNetwork(scheme, "predict")
    agent = network.mag(3).agent
    (action,) = agent.receive(initiate, mag_address(2), network.now)
    assert isinstance(action, Send)
    assert action.message == HandoverAcknowledge(sequence=7, code=HandoverAcknowledgeCode.NOT_ACCEPTED, mn_id="stranger@dmm.example")


@pytest.mark.parametrize("policy", ["forward", "predict"])
def test_a_forwarded_packet_does_not_go_round_for_ever(policy: str) -> None:
    network = attached("s-pmip", policy)
    mag = network.mag(3).agent
    assert isinstance(mag, Mag)
    last = bytearray(packet(hoa_of(1), hoa_of(2)))
    last[7] = 1
    told = [Drop((bytes(last),), DropReason.HOP_LIMIT), TimeExceeded(bytes(last))]
    assert mag.tunnelled(bytes(last), mag_address(1), network.now) == told


@pytest.mark.parametrize("policy", ["error", "notify", "expire", "forward", "predict"])
def test_a_scheme_of_other_columns_works_as_they_say(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    """Docs, "Extending": nodes are registered with an LMA, and MAGs ask each other; whoever answers queries tells the news."""
    row = replace(SCHEMES["s-pmip"], name="x-pmip", title="X-PMIP", query=Query.MULTICAST)
    monkeypatch.setattr("memory_network.SCHEMES", {"x-pmip": row})
    network = attached("x-pmip", policy)
    network.flow(1, 2, 1.0, 12.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(12.9)
    assert {binding.mn_id: binding.care_of for binding in network.lma.bindings}[mn_id_of(2)] == mag_address(3)
    assert network.mag(1).routes == {prefix_of(2): mag_address(3)}
    network.run(20)
    assert network.delivered[-1][1] == 1199
    assert "PBQ" in {kind for _, sender, kind in network.signals if sender == "mag1"}
    assert {sender for _, sender, kind in network.signals if kind == "PQA"} <= {"mag2", "mag3"}
    assert {sender for _, sender, kind in network.signals if kind == "UPN"} <= {"mag1", "mag2", "mag3"}
    gone = [serial for serial in range(1200) if serial not in set(network.serials_delivered)]
    assert len(gone) < {"expire": 700, "error": 30, "notify": 30}.get(policy, 1)


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_with_expire_a_stale_route_lasts_until_its_answer_ends(scheme: str) -> None:
    network = attached(scheme, "expire")
    network.flow(1, 2, 1.0, 12.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(20)
    assert 5.5 < interruption(network) < 7.5
    assert network.serials_delivered[-1] == 1199


@pytest.mark.parametrize(("scheme", "policy"), QUERYING)
def test_a_node_that_comes_to_its_correspondents_mag_is_reached_there(scheme: str, policy: str) -> None:
    network = attached(scheme, policy)
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 1))
    network.run(10)
    assert prefix_of(2) not in network.mag(1).routes
    assert network.serials_delivered[-1] == 299
    assert interruption(network) < 0.15


def test_s_pmip_a_node_that_leaves_its_correspondents_mag_is_found_by_notification() -> None:
    network = MemoryNetwork("s-pmip", "notify")
    network.attach(1, 1)
    network.attach(2, 1)
    network.run(1)
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 2))
    network.run(10)
    assert len(network.delivered) == 300
    assert network.serials_delivered == sorted(network.serials_delivered)


def test_an_agent_that_stops_leaves_nothing_behind() -> None:
    for scheme, policy in MOBILE:
        network = attached(scheme, policy)
        network.send(1, 2)
        network.run(1.5)
        network.stop()
        for node in network.nodes.values():
            assert (node.access, node.routes, node.local, node.uplinks) == ({}, {}, set(), {}), (scheme, policy, node.name)
        assert set(network.advertised.values()) == {()}


def test_a_lost_message_of_any_kind_is_made_good() -> None:
    def the_first_of(name: str, unlucky: Iterator[bool], kind: str) -> bool:
        return kind == name and next(unlucky, False)

    for scheme, policy in MOBILE:
        for name in ("PBU", "PBA", "PBQ", "PQA", "UPN", "UPA", "BE", "LRI", "LRA"):
            network = MemoryNetwork(scheme, policy, lost=partial(the_first_of, name, iter([True])))
            network.attach(1, 1)
            network.attach(2, 2)
            network.run(5)
            network.flow(1, 2, 5.0, 20.0, interval=0.05)
            network.at(8.0, partial(network.move, 2, 3))
            network.run(40)
            assert network.serials_delivered[-1] == 399, (scheme, policy, name)
            assert len(network.delivered) + len(network.dropped) == 400, (scheme, policy, name)


def test_a_thousand_mags_find_a_node_by_multicast() -> None:
    network = MemoryNetwork("sd-pmip", mags=1000)
    network.attach(1, 1)
    network.attach(2, 1000)
    network.send(1, 2)
    network.run(1)
    assert network.serials_delivered == [0]
    assert network.mag(1).routes == {prefix_of(2): mag_address(1000)}
    assert len(network.ignored) == 998
