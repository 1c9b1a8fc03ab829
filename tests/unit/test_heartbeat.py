"""Heartbeats (RFC 5847): who is asked, how often and what about; peers that are lost, come back, have restarted or know none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from typing import Any

import pytest
from cases import REGISTERING
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from memory_network import EPOCH, LMA, MemoryNetwork, config, mag_address, mn_id_of, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2, update

from agents.actions import Action, Ignore, IgnoreReason, Note, Notice, RemoveRoute, Send
from agents.config import Settings
from agents.heartbeat import Heartbeats, Sessions
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import BindingError, Heartbeat
from agents.notifications import NOT_SUPPORTED_FOR

ON = Settings(heartbeat_interval=60.0)
LOST, BACK, RESTARTED = (Note(notice, LMA, "HB") for notice in (Notice.PEER_LOST, Notice.PEER_BACK, Notice.PEER_RESTARTED))
UNKNOWN_TYPE = BindingError(status=2, home_address=IPv6Address("::"))


class Beating:
    """Heartbeats with the LMA, the bindings that they are about, and what was lost of them."""

    def __init__(self, settings: Settings = ON, restarts: int = 0) -> None:
        self.shared = True
        self.lost: list[float] = []
        self.heart = Heartbeats(settings, {LMA}, Sessions(lambda peer: self.shared, self._forgotten), restarts, EPOCH)

    def _forgotten(self, peer: IPv6Address, before: float, now: float) -> list[Action]:
        self.lost.append(before - EPOCH)
        return []

    def beat(self, when: float) -> int:
        """Let a heartbeat be sent; its sequence number."""
        (request,) = sent(self.heart.timeout(EPOCH + when))
        assert isinstance(request, Heartbeat)
        assert (request.response, request.unsolicited, request.restart_counter) == (False, False, None)
        return request.sequence

    def answer(self, sequence: int, when: float, counter: int | None = 7, unsolicited: bool = False) -> list[Action]:
        message = Heartbeat(sequence=sequence, response=True, unsolicited=unsolicited, restart_counter=counter)
        return self.heart.receive(message, LMA, EPOCH + when)


def watching(**options: Any) -> Beating:
    beating = Beating(**options)
    beating.heart.watch(LMA, EPOCH)
    return beating


def test_requests_follow_each_other_by_the_interval_with_growing_numbers() -> None:
    beating = watching()
    times, numbers = [], []
    while (now := beating.heart.next_timeout) is not None and now <= EPOCH + 240:
        times.append(now - EPOCH)
        numbers.append(beating.beat(now - EPOCH))
        beating.answer(numbers[-1], now - EPOCH)
        beating.heart.watch(LMA, now)
    assert times == [0, 60, 120, 180, 240]
    assert numbers == sorted(set(numbers))


def test_no_request_without_a_binding() -> None:
    beating = Beating()
    assert beating.heart.next_timeout is None
    beating.heart.watch(LMA, EPOCH)
    beating.beat(0)
    beating.shared = False
    assert beating.heart.timeout(EPOCH + 60) == []
    assert beating.heart.next_timeout is None


def test_a_request_is_answered_whether_or_not_there_is_a_binding() -> None:
    response = Heartbeat(sequence=0xFFFFFFFF, response=True, restart_counter=5)
    assert Beating(restarts=5).heart.receive(Heartbeat(sequence=0xFFFFFFFF), LMA, EPOCH) == [Send(response, LMA)]


def test_a_peer_is_lost_when_more_requests_than_allowed_went_unanswered_and_is_told_of_once() -> None:
    beating = watching()
    notes = {when: [action for action in beating.heart.timeout(EPOCH + when) if isinstance(action, Note)] for when in range(0, 600, 60)}
    assert {when: said for when, said in notes.items() if said} == {240: [LOST]}
    assert watching(settings=replace(ON, heartbeat_missing=0)).heart.timeout(EPOCH) != []


def test_a_response_resets_the_count_and_brings_a_lost_peer_back() -> None:
    beating = watching()
    for when in (0, 60, 120):
        beating.beat(when)
    assert beating.answer(beating.beat(180), 181) == []
    for when in (240, 300, 360, 420):
        beating.beat(when)
    assert LOST in beating.heart.timeout(EPOCH + 480)
    assert beating.answer(8, 481) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
    assert beating.answer(beating.beat(540), 541) == [BACK]


def test_only_the_last_request_is_matched_and_once() -> None:
    beating = watching()
    first, second = beating.beat(0), beating.beat(60)
    ignored = [Ignore(IgnoreReason.UNMATCHED, LMA)]
    assert beating.answer(first, 61) == ignored
    assert beating.answer(second, 61) == []
    assert beating.answer(second, 62) == ignored


def test_another_counter_is_a_restart_a_first_one_is_not() -> None:
    beating = watching()
    assert beating.answer(beating.beat(0), 1, counter=9) == []
    assert beating.answer(beating.beat(60), 61, counter=9) == []
    assert beating.answer(beating.beat(120), 121, counter=None) == []
    assert beating.answer(beating.beat(180), 181, counter=3) == [RESTARTED]
    assert beating.lost == [120]
    assert beating.answer(beating.beat(240), 241, counter=3) == []


def test_an_unsolicited_response_tells_of_a_restart_and_leaves_the_request_open() -> None:
    beating = watching()
    beating.answer(beating.beat(0), 1)
    request = beating.beat(60)
    assert beating.answer(0xABCD, 61, counter=8, unsolicited=True) == [RESTARTED]
    assert beating.lost == [0]
    assert beating.answer(0xABCD, 62, counter=8, unsolicited=True) == []
    assert beating.answer(request, 63, counter=8) == []


def test_an_unsolicited_response_does_so_too_where_nothing_was_heard_before() -> None:
    beating = watching()
    request = beating.beat(0)
    assert beating.answer(0, 1, counter=8, unsolicited=True) == [RESTARTED]
    assert beating.lost == [float("-inf")]
    assert beating.answer(request, 2, counter=8) == []


def test_who_restarts_tells_its_peers_at_once_who_starts_does_not() -> None:
    told = Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=2)
    beating = Beating(restarts=2)
    assert beating.heart.next_timeout == EPOCH
    assert beating.heart.timeout(EPOCH) == [Send(told, LMA)]
    assert beating.heart.next_timeout is None
    assert Beating(restarts=0).heart.next_timeout is None
    assert Beating(Settings(), restarts=2).heart.next_timeout is None


def test_where_heartbeats_are_off_they_are_not_known() -> None:
    beating = watching(settings=Settings())
    assert beating.heart.next_timeout is None
    assert beating.heart.receive(Heartbeat(sequence=4), LMA, EPOCH) == [Send(UNKNOWN_TYPE, LMA)]
    assert beating.answer(4, 1) == [Ignore(IgnoreReason.UNMATCHED, LMA)]


def test_who_knows_no_heartbeats_gets_no_more_for_a_while() -> None:
    beating = watching()
    assert beating.heart.unsupported(UNKNOWN_TYPE, LMA, EPOCH) == []
    beating.beat(0)
    assert beating.heart.unsupported(UNKNOWN_TYPE, MAG1, EPOCH) == []
    assert beating.heart.unsupported(BindingError(status=1, home_address=IPv6Address("::")), LMA, EPOCH) == []
    assert beating.heart.unsupported(UNKNOWN_TYPE, LMA, EPOCH) == [Note(Notice.NOT_SUPPORTED, LMA, "HB")]
    beating.heart.watch(LMA, EPOCH + 1)
    assert beating.heart.next_timeout is None
    beating.heart.watch(LMA, EPOCH + NOT_SUPPORTED_FOR)
    assert beating.heart.next_timeout == EPOCH + NOT_SUPPORTED_FOR


def test_who_has_answered_one_knows_heartbeats() -> None:
    beating = watching()
    beating.answer(beating.beat(0), 1)
    beating.beat(60)
    assert beating.heart.unsupported(UNKNOWN_TYPE, LMA, EPOCH + 60) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_whatever_is_lost_the_notes_are_true(beats: list[tuple[bool, bool]]) -> None:
    """Each beat is answered or not, by a peer that may have restarted since; the notes alternate; every restart heard of is told."""
    beating = watching()
    unanswered, counter, heard, lost = 0, 1, None, False
    for number, (answered, restarts) in enumerate(beats):
        actions = beating.heart.timeout(EPOCH + 60 * number)
        notes = [action for action in actions if isinstance(action, Note)]
        assert notes == ([LOST] if unanswered == 4 and not lost else [])
        lost = lost or unanswered == 4
        counter += restarts
        if not answered:
            unanswered += 1
            continue
        (request,) = sent(actions)
        assert isinstance(request, Heartbeat)
        expected = ([BACK] if lost else []) + ([RESTARTED] if heard not in (None, counter) else [])
        assert beating.answer(request.sequence, 60 * number + 1, counter) == expected
        unanswered, lost, heard = 0, False, counter


def beating_network(scheme: str = "s-pmip", interval: float = 10.0, **changes: Any) -> MemoryNetwork:
    """Hosts 1 and 2 at MAGs 1 and 2; heartbeats from the first second on."""
    network = MemoryNetwork(scheme, settings=replace(Settings(), heartbeat_interval=interval, **changes))
    network.attach(1, 1)
    network.attach(2, 2)
    network.run(1)
    return network


def notices(network: MemoryNetwork) -> list[tuple[str, Notice, IPv6Address]]:
    return [(node, note.notice, note.peer) for _, node, note in network.notes]


def registered(network: MemoryNetwork) -> dict[str, IPv6Address]:
    return {binding.mn_id: binding.care_of for binding in network.lma.bindings if not binding.leaving}


@pytest.mark.parametrize("scheme", REGISTERING)
def test_a_gateway_and_its_anchor_ask_each_other_and_an_idle_gateway_is_left_alone(scheme: str) -> None:
    network = beating_network(scheme)
    network.run(25)
    beats = [(node, round(when - EPOCH)) for when, node, name in network.signals if name == "HB"]
    assert {node for node, _ in beats} == {"mag1", "mag2", "lma"}
    assert len(beats) == 2 * 3 * 4
    assert network.ignored == []
    assert network.notes == []


def test_without_an_anchor_there_are_none() -> None:
    network = beating_network("sd-pmip")
    network.run(100)
    assert network.kinds("HB") == []


def test_a_node_that_leaves_ends_the_heartbeats() -> None:
    network = beating_network()
    network.detach(1)
    network.detach(2)
    network.run(15)
    count = len(network.kinds("HB"))
    network.run(100)
    assert len(network.kinds("HB")) == count


@pytest.mark.parametrize("scheme", REGISTERING)
def test_a_gateway_that_dies_is_told_of_and_its_bindings_stand_until_they_lapse(scheme: str) -> None:
    network = beating_network(scheme, binding_lifetime=100.0)
    network.crash(MAG1)
    network.run(60)
    assert notices(network) == [("lma", Notice.PEER_LOST, MAG1)]
    assert set(registered(network)) == {mn_id_of(1), mn_id_of(2)}
    network.run(110)
    assert set(registered(network)) == {mn_id_of(2)}


@pytest.mark.parametrize("announce", [True, False])
@pytest.mark.parametrize("scheme", REGISTERING)
def test_what_a_restarted_gateway_does_not_register_again_is_ended(scheme: str, announce: bool) -> None:
    """Of its two nodes one is gone when it comes back; whether its first words or the next heartbeat tell, the other has service."""
    network = beating_network(scheme)
    network.attach(3, 1)
    network.run(22)
    network.crash(MAG1)
    network.detach(3)
    network.at(25, lambda: network.restart(MAG1, announce))
    network.run(34)
    assert ("lma", Notice.PEER_RESTARTED, MAG1) in notices(network)
    assert registered(network) == {mn_id_of(1): MAG1, mn_id_of(2): MAG2}
    assert set(network.nodes[LMA].routes) == {prefix_of(1), prefix_of(2)}
    assert network.mag(1).access == {prefix_of(1): "mn1-air"}
    network.flow(2, 1, 35, 1)
    network.run(40)
    assert len(network.serials_delivered) == 100


def test_a_registration_that_overtakes_the_news_of_the_restart_stands() -> None:
    anchor = Lma(config("s-pmip", number=None, settings=ON), EPOCH)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 0.5, host=2), MAG1, EPOCH + 0.5)
    (request,) = [message for message in sent(anchor.timeout(EPOCH + 1)) if isinstance(message, Heartbeat)]
    anchor.receive(Heartbeat(sequence=request.sequence, response=True, restart_counter=0), MAG1, EPOCH + 1.1)
    anchor.receive(update(EPOCH + 30), MAG1, EPOCH + 30)
    news = Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=1)
    assert anchor.receive(news, MAG1, EPOCH + 30.1) == [Note(Notice.PEER_RESTARTED, MAG1, "HB"), RemoveRoute(prefix_of(2))]


@pytest.mark.parametrize("announce", [True, False])
@pytest.mark.parametrize("scheme", REGISTERING)
def test_an_anchor_that_restarts_gets_every_node_again_and_learnt_routes_stand_but_localized_ones_end(scheme: str, announce: bool) -> None:
    network = beating_network(scheme)
    network.run(21.5)
    network.flow(1, 2, 21.6, 1)
    network.run(23)
    delivered, learnt = len(network.delivered), dict(network.mag(1).routes)
    network.crash(LMA)
    network.at(24, lambda: network.restart(LMA, announce=announce))
    network.run(24.2 if announce else 31)
    assert {(node, notice) for node, notice, _ in notices(network)} == {(name, Notice.PEER_RESTARTED) for name in ("mag1", "mag2")}
    assert registered(network) == {mn_id_of(1): MAG1, mn_id_of(2): MAG2}
    assert set(network.nodes[LMA].routes) == {prefix_of(1), prefix_of(2)}
    if announce:
        assert network.mag(1).routes == ({} if scheme == "pmip-lr" else learnt)
    network.flow(1, 2, 32, 1)
    network.run(40)
    assert len(network.delivered) == delivered + 100


def test_a_gateway_leaves_what_was_refused_or_has_left_alone_when_the_anchor_restarts() -> None:
    network = beating_network()
    network.detach(2)
    network.run(2)
    mag = network.mag(2).agent
    assert isinstance(mag, Mag)
    network.restart(LMA)
    network.run(3)
    assert set(registered(network)) == {mn_id_of(1)}


@trials(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(11, 60), st.sampled_from([LMA, MAG1, MAG2]), st.booleans(), st.floats(0, 5)), max_size=4),
    st.lists(st.tuples(st.floats(2, 60), st.integers(1, 3), st.integers(1, 3)), max_size=5),
    st.sampled_from(REGISTERING),
)
def test_after_any_restarts_and_moves_every_node_is_served(
    deaths: list[tuple[float, IPv6Address, bool, float]], moves: list[tuple[float, int, int]], scheme: str
) -> None:
    """Once all agents have been up for a while, the LMA knows every node where it is and nothing else, and packets arrive.

    A gateway's first words may be lost; those of the anchor are not, for who has not heard a first heartbeat cannot tell by the next.
    """
    network = beating_network(scheme)
    network.attach(3, 3)
    network.run(1.5)

    def die(address: IPv6Address, announce: bool, dead: float) -> None:
        if network.nodes[address].up:
            network.crash(address)
            network.at(network.now - EPOCH + dead, lambda: network.restart(address, announce or address == LMA))

    def move(host: int, number: int) -> None:
        if host in network.where:
            network.move(host, number)

    for when, address, announce, dead in deaths:
        network.at(when, partial(die, address, announce, dead))
    for when, host, number in moves:
        network.at(when, partial(move, host, number))
    network.run(120)
    assert registered(network) == {mn_id_of(host): mag_address(number) for host, number in network.where.items()}
    for host, number in network.where.items():
        assert network.mag(number).access[prefix_of(host)] == f"mn{host}-air"
    before = len(network.delivered)
    network.flow(1, 2, 121, 0.1)
    network.flow(2, 3, 121, 0.1)
    network.run(123)
    assert len(network.delivered) == before + 20
