"""Localized routing (RFC 6705) in memory: what the LMA and the MAGs say to each other, and which way packets go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from memory_network import EPOCH, LMA, MemoryNetwork, config, hoa_of, link_layer_of, mn_id_of, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2, MAG3, update

from agents.actions import Action, Ignore, IgnoreReason, InstallLocalRoute, InstallRoute, RemoveLocalRoute, RemoveRoute, Send
from agents.config import Settings
from agents.lma import Lma
from agents.localized_routing import LocalizedRoutes
from agents.mag import Mag
from agents.messages import (
    INFINITE_LIFETIME,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
    Message,
    MobileNode,
    decode,
)

ALLOWED = Settings(local_routing=True)

Kind = TypeVar("Kind", bound=Message)


def talking(mag: int = 2, **options: Any) -> MemoryNetwork:
    """Host 1 at MAG 1 sends to host 2, from 1 s on."""
    network = MemoryNetwork("pmip-lr", **options)
    network.attach(1, 1)
    network.attach(2, mag)
    network.run(1)
    return network


def said(network: MemoryNetwork, kind: type[Kind]) -> list[tuple[IPv6Address, IPv6Address, Kind]]:
    """Sender, receiver and message of every message of a kind."""
    decoded = ((source, destination, decode(octets)) for source, destination, octets in network.sendings)
    return [(source, destination, message) for source, destination, message in decoded if isinstance(message, kind)]


def node(number: int) -> MobileNode:
    return MobileNode(mn_id_of(number), (prefix_of(number),))


def initiation(
    own: int, other: int, remote: IPv6Address | None = None, sequence: int = 1, lifetime: int = 300, **more: Any
) -> LocalizedRoutingInitiation:
    return LocalizedRoutingInitiation(
        sequence=sequence,
        lifetime=lifetime,
        mn_id=mn_id_of(own),
        home_network_prefixes=(prefix_of(own),),
        correspondent=node(other),
        mag_address=remote,
        **more,
    )


@pytest.mark.parametrize("change", [{"home_network_prefixes": (prefix_of(1), prefix_of(3))}, {"mn_id": mn_id_of(3)}])
@pytest.mark.parametrize("which", ["own", "other"])
def test_an_initiation_names_only_prefixes_of_its_nodes(which: str, change: dict[str, Any]) -> None:
    gateway = Mag(config("pmip-lr"), EPOCH)
    message = initiation(1, 2, MAG2)
    assert message.correspondent is not None
    changed = change if which == "own" else {"correspondent": replace(message.correspondent, **change)}
    wrong = replace(message, **changed)
    assert gateway.receive(wrong, LMA, EPOCH) == [Ignore(IgnoreReason.NO_SUCH_PREFIX, LMA)]


class TestWays:
    def test_packets_go_straight_once_both_mags_know(self) -> None:
        network = talking()
        network.flow(1, 2, 1.0, 0.22, interval=0.011)
        network.flow(2, 1, 1.3, 0.3)
        network.run(2)
        delays = {serial: round(time - 1.0 - 0.011 * serial, 3) for time, serial in network.delivered if serial < 20}
        # the first packet is at the LMA after 25 ms, the LRI at MAG 1 after 50 ms
        assert delays == {serial: 0.050 if 0.011 * serial < 0.050 else 0.010 for serial in range(20)}
        assert len(network.delivered) == 50
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        assert network.mag(2).routes == {prefix_of(1): MAG1}
        assert len(network.kinds("LRI")) == len(network.kinds("LRA")) == 2

    def test_what_the_messages_say(self) -> None:
        network = talking()
        network.send(1, 2)
        network.run(2)
        first, second = said(network, LocalizedRoutingInitiation)
        assert first == (LMA, MAG1, initiation(1, 2, MAG2, sequence=0))
        assert second == (LMA, MAG2, initiation(2, 1, MAG1, sequence=1))
        for (_, mag, request), (source, destination, answer) in zip(
            (first, second), said(network, LocalizedRoutingAcknowledgment), strict=True
        ):
            assert (source, destination) == (mag, LMA)
            assert isinstance(request, LocalizedRoutingInitiation)
            assert answer == LocalizedRoutingAcknowledgment(
                sequence=request.sequence,
                status=LocalizedRoutingStatus.SUCCESS,
                lifetime=request.lifetime,
                mn_id=request.mn_id,
                home_network_prefixes=request.home_network_prefixes,
                correspondent=request.correspondent,
                mag_address=request.mag_address,
            )

    def test_two_nodes_of_one_mag_need_no_tunnel_where_it_may_route_locally(self) -> None:
        network = talking(1, settings=ALLOWED)
        network.flow(1, 2, 1.0, 0.5)
        network.run(2)
        assert network.serials_delivered[-1] == 49
        assert round(network.delivered[-1][0], 3) == 1.49
        assert network.mag(1).local == {prefix_of(1), prefix_of(2)}
        ((_, mag, request),) = said(network, LocalizedRoutingInitiation)
        assert (mag, request) == (MAG1, initiation(1, 2, sequence=0))

    def test_a_mag_that_may_not_route_locally_refuses_and_is_not_asked_for_every_packet(self) -> None:
        network = talking(1)
        network.flow(1, 2, 1.0, 5.0)
        network.run(7)
        ((_, _, answer),) = said(network, LocalizedRoutingAcknowledgment)
        refused = LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED
        assert answer == LocalizedRoutingAcknowledgment(sequence=0, status=refused, lifetime=0)
        assert network.serials_delivered == list(range(500))
        assert round(network.delivered[-1][0], 3) == round(1.0 + 4.99 + 0.05, 3)

    def test_a_mag_that_refuses_leaves_the_other_direction_straight(self) -> None:
        network = talking()
        agent = network.mag(2).agent
        assert isinstance(agent, Mag)
        agent._localized._objection = lambda *_: LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED  # type: ignore[method-assign]
        network.flow(1, 2, 1.0, 5.0)
        network.flow(2, 1, 1.005, 5.0)
        network.run(8)
        assert len(network.delivered) == 1000
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        assert network.mag(2).routes == {}
        assert len(network.kinds("LRI")) == 2

    def test_only_traffic_between_two_registered_nodes_that_comes_from_where_they_are_begins_it(self) -> None:
        network = talking()
        now = EPOCH + 1
        outside, unknown = hoa_of(9), prefix_of(1)[77]
        lma = network.lma
        assert lma.forwarded(hoa_of(1), outside, MAG1, now) == []
        assert lma.forwarded(outside, hoa_of(2), MAG1, now) == []
        assert lma.forwarded(hoa_of(1), unknown, MAG1, now) == []
        assert lma.forwarded(hoa_of(1), hoa_of(2), MAG3, now) == []
        assert len(sent(lma.forwarded(hoa_of(1), hoa_of(2), MAG1, now), "LRI")) == 2
        assert lma.forwarded(hoa_of(2), hoa_of(1), MAG2, now) == []

    def test_other_schemes_know_nothing_of_it(self) -> None:
        network = MemoryNetwork("pmip")
        network.attach(1, 1)
        network.attach(2, 2)
        network.run(1)
        assert network.lma.forwarded(hoa_of(1), hoa_of(2), MAG1, network.now) == []
        answer = LocalizedRoutingAcknowledgment(sequence=1, status=0, lifetime=300)
        assert network.lma.receive(answer, MAG1, network.now) == [Ignore(IgnoreReason.UNEXPECTED, MAG1)]
        agent = network.mag(1).agent
        assert agent.receive(initiation(1, 2, MAG2), LMA, network.now) == [Ignore(IgnoreReason.UNEXPECTED, LMA)]


class TestLifetime:
    def test_what_lasts_no_longer_goes_through_the_anchor_and_begins_anew_without_loss(self) -> None:
        network = talking(settings=Settings(lr_lifetime=5.0))
        network.flow(1, 2, 1.0, 12.0)
        network.run(14)
        assert sorted(network.serials_delivered) == list(range(1200))
        assert network.duplicated == []
        # the LMA forgets the pair 25 ms before MAG 1 does, whose next packet takes 25 ms to it
        first, second, third = network.kinds("LRI")[::2]
        assert first == pytest.approx(1.025)
        assert second - first == pytest.approx(5.06, abs=0.011)
        assert third - second == pytest.approx(5.06, abs=0.011)

    def test_what_is_not_used_is_not_renewed(self) -> None:
        network = talking(settings=Settings(lr_lifetime=5.0))
        network.send(1, 2)
        network.run(20)
        assert network.mag(1).routes == network.mag(2).routes == {}
        assert len(network.kinds("LRI")) == 2
        assert network.lma.forwarded(hoa_of(1), hoa_of(2), MAG1, network.now) != []

    def test_an_infinite_lifetime_has_no_end(self) -> None:
        network = talking(settings=Settings(lr_lifetime=1e6))
        network.send(1, 2)
        network.run(2)
        assert {message.lifetime for _, _, message in said(network, LocalizedRoutingInitiation)} == {INFINITE_LIFETIME}
        network.run(70_000)
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        assert len(network.kinds("LRI")) == 2

    def test_the_anchor_ends_it_when_a_binding_is_deleted(self) -> None:
        network = talking()
        network.send(1, 2)
        network.run(2)
        network.detach(2)
        network.run(2.1)
        assert network.mag(2).routes == {}
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        network.run(20)
        assert network.mag(1).routes == {}
        *_, (_, mag, ending) = said(network, LocalizedRoutingInitiation)
        assert (mag, ending) == (MAG1, initiation(1, 2, sequence=2, lifetime=0))
        assert len(network.kinds("LRA")) == 3

    def test_what_ends_is_repeated_too(self) -> None:
        unlucky = iter([False, False, True])
        network = talking(lost=lambda kind: kind == "LRI" and next(unlucky, False))
        network.send(1, 2)
        network.run(2)
        network.detach(2)
        network.run(20)
        assert network.mag(1).routes == {}
        ended, again = network.kinds("LRI")[2:]
        assert again - ended == pytest.approx(3.0)


class TestRetransmission:
    def test_an_initiation_is_repeated_three_times_three_seconds_apart(self) -> None:
        network = talking(lost=lambda kind: kind == "LRI")
        network.flow(1, 2, 1.0, 20.0)
        network.run(25)
        times = network.kinds("LRI")[::2]
        assert [round(later - earlier, 6) for earlier, later in pairwise(times)] == [3.0, 3.0, 3.0]
        assert network.serials_delivered == list(range(2000))

    def test_how_often_and_when_can_be_configured(self) -> None:
        network = talking(lost=lambda kind: kind == "LRI", settings=Settings(lr_wait_time=0.5, lr_retries=1))
        network.send(1, 2)
        network.run(10)
        first, second = network.kinds("LRI")[::2]
        assert second - first == pytest.approx(0.5)

    def test_a_repeated_initiation_is_the_same_and_is_acknowledged_again(self) -> None:
        unlucky = iter([True])
        network = talking(lost=lambda kind: kind == "LRA" and next(unlucky, False))
        network.send(1, 2)
        network.run(10)
        requests = [message for _, mag, message in said(network, LocalizedRoutingInitiation) if mag == MAG1]
        assert len(requests) == 2
        assert requests[0] == requests[1]
        assert len(network.kinds("LRA")) == 3

    def test_a_mag_that_has_forgotten_is_told_again(self) -> None:
        network = talking()
        agent = network.mag(1).agent
        assert isinstance(agent, Mag)
        network.flow(1, 2, 1.0, 10.0)
        network.at(5.0, lambda: network.command(MAG1, agent._localized.stop()))
        network.run(15)
        assert sorted(network.serials_delivered) == list(range(1000))
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        assert len(network.kinds("LRI")) == 4

    def test_an_acknowledgment_must_match(self) -> None:
        network = talking()
        lma = network.lma
        requests = sent(lma.forwarded(hoa_of(1), hoa_of(2), MAG1, network.now), "LRI")
        assert isinstance(requests[0], LocalizedRoutingInitiation)
        good = LocalizedRoutingAcknowledgment(sequence=requests[0].sequence, status=0, lifetime=300)
        assert lma.receive(replace(good, unsolicited=True), MAG1, network.now) == [Ignore(IgnoreReason.UNEXPECTED, MAG1)]
        for message, source in ((replace(good, sequence=999), MAG1), (good, MAG2)):
            assert lma.receive(message, source, network.now) == [Ignore(IgnoreReason.UNMATCHED, source)]
        assert lma.receive(good, MAG1, network.now) == []
        assert lma.receive(good, MAG1, network.now) == [Ignore(IgnoreReason.UNMATCHED, MAG1)]


class TestHandover:
    def moved(self, to: int = 3, start: int = 2, settings: Settings = Settings()) -> MemoryNetwork:  # noqa: B008
        network = talking(start, settings=settings)
        network.flow(1, 2, 1.0, 3.0)
        network.at(2.005, lambda: network.move(2, to))
        network.run(8)
        assert network.duplicated == []
        return network

    def test_the_update_of_the_new_mag_makes_the_anchor_tell_both(self) -> None:
        network = self.moved()
        assert network.mag(1).routes == {prefix_of(2): MAG3}
        assert network.mag(2).routes == {}
        assert network.mag(3).routes == {prefix_of(1): MAG1}
        told = [(mag, message) for _, mag, message in said(network, LocalizedRoutingInitiation)][2:]
        assert told == [(MAG1, initiation(1, 2, MAG3, sequence=2)), (MAG3, initiation(2, 1, MAG1, sequence=3))]
        # gone at 2.005, registered at 2.080, MAG 1 knows at 2.105
        assert sorted(network.dropped) == list(range(100, 111))
        assert set(network.dropped.values()) == {"not attached"}

    def test_from_two_mags_to_one(self) -> None:
        network = self.moved(to=1, settings=ALLOWED)
        assert (network.mag(1).routes, network.mag(1).local) == ({}, {prefix_of(1), prefix_of(2)})
        assert round(network.delivered[-1][0], 3) == 3.99

    def test_from_two_mags_to_one_that_may_not_route_locally(self) -> None:
        network = self.moved(to=1)
        assert (network.mag(1).routes, network.mag(1).local) == ({}, set())
        assert round(network.delivered[-1][0], 3) == 4.04

    def test_from_one_mag_to_two(self) -> None:
        network = self.moved(start=1, to=2, settings=ALLOWED)
        assert (network.mag(1).routes, network.mag(1).local) == ({prefix_of(2): MAG2}, set())
        assert network.mag(2).routes == {prefix_of(1): MAG1}
        assert network.serials_delivered[-1] == 299

    def test_a_node_that_comes_back_to_its_mag(self) -> None:
        network = talking()
        network.flow(1, 2, 1.0, 3.0)
        network.flow(2, 1, 1.0, 3.0)
        network.at(2.0, lambda: network.move(2, 2))
        network.run(8)
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        assert network.mag(2).routes == {prefix_of(1): MAG1}
        assert len(network.kinds("LRI")) == 4

    def test_both_at_once(self) -> None:
        network = talking()
        network.flow(1, 2, 1.0, 3.0)
        network.flow(2, 1, 1.0, 3.0)
        network.at(2.0, lambda: network.move(2, 3))
        network.at(2.001, lambda: network.move(1, 2))
        network.run(8)
        assert network.mag(1).routes == {}
        assert network.mag(2).routes == {prefix_of(2): MAG3}
        assert network.mag(3).routes == {prefix_of(1): MAG2}

    def test_a_mag_that_has_not_deregistered_its_node_is_told_that_it_is_over(self) -> None:
        lma = Lma(config("pmip-lr", number=None), EPOCH)
        for number, mag in ((1, MAG1), (2, MAG2)):
            lma.receive(update(EPOCH, number), mag, EPOCH)
        lma.forwarded(hoa_of(1), hoa_of(2), MAG1, EPOCH + 1)
        actions = lma.receive(update(EPOCH + 2, 2), MAG3, EPOCH + 2)
        told = [action for action in actions if isinstance(action, Send)]
        lifetimes = {send.destination: send.message.lifetime for send in told if isinstance(send.message, LocalizedRoutingInitiation)}
        assert lifetimes == {MAG1: 300, MAG3: 300, MAG2: 0}

    def test_a_third_node_is_not_left_with_a_stale_route(self) -> None:
        network = talking()
        network.attach(3, 1)
        for host in (1, 3):
            network.flow(host, 2, 1.1, 5.0)
        network.at(2.0, lambda: network.detach(1))
        network.at(3.0, lambda: network.move(2, 3))
        network.run(8)
        assert network.mag(1).routes == {prefix_of(2): MAG3}
        assert network.delivered[-1][0] == pytest.approx(6.1, abs=0.02)


class TestWhatTheAnchorHasForgotten:
    """A route must not lead to the MAG that a node has left for as long as localized routing may last."""

    @pytest.mark.parametrize("pause", [0.5, 20.0])
    def test_a_route_of_an_anchor_that_was_killed_ends_soon_after_the_node_has_moved(self, pause: float) -> None:
        network = talking()
        network.flow(1, 2, 1.0, 60.0)
        network.at(3.0, lambda: network.crash(LMA))
        network.at(4.0, lambda: network.restart(LMA))
        network.at(4.0 + pause, lambda: network.move(2, 3))
        network.run(70)
        late = [serial for serial in range(6000) if 1.0 + serial / 100 > 8.5 + pause]
        assert set(late) <= set(network.serials_delivered)
        asked = [message for _, to, message in said(network, LocalizedRoutingAcknowledgment) if message.unsolicited]
        assert asked == [
            LocalizedRoutingAcknowledgment(
                sequence=asked[0].sequence,
                unsolicited=True,
                status=0,
                lifetime=0,
                mn_id=mn_id_of(2),
                home_network_prefixes=(prefix_of(2),),
                correspondent=node(1),
                mag_address=MAG1,
            )
        ]

    def test_a_route_that_an_anchor_which_knows_neither_node_cannot_replace_ends(self) -> None:
        agent = Lma(config("pmip-lr", number=None), EPOCH)
        asked = self.asked()
        (told,) = agent.receive(asked, MAG2, EPOCH)
        assert told == Send(initiation(1, 2, None, sequence=0, lifetime=0), MAG1)
        (again,) = agent.receive(asked, MAG2, EPOCH)
        assert again == Send(initiation(1, 2, None, sequence=1, lifetime=0), MAG1)

    @staticmethod
    def asked(mag: IPv6Address = MAG1) -> LocalizedRoutingAcknowledgment:
        return LocalizedRoutingAcknowledgment(
            sequence=9,
            unsolicited=True,
            status=0,
            lifetime=0,
            mn_id=mn_id_of(2),
            home_network_prefixes=(prefix_of(2),),
            correspondent=node(1),
            mag_address=mag,
        )

    def test_nothing_is_asked_of_an_anchor_that_has_the_node_there_or_of_a_stranger(self) -> None:
        network = talking()
        assert network.lma.receive(self.asked(), MAG2, network.now) == [Ignore(IgnoreReason.STALE, MAG2)]
        assert network.lma.receive(self.asked(LMA), MAG3, network.now) == [Ignore(IgnoreReason.UNEXPECTED, MAG3)]

    def test_an_initiation_that_was_given_up_is_made_good(self) -> None:
        """MAG 1 does not hear of the move for longer than the LMA repeats."""
        network = talking()
        network.lost = lambda kind: kind == "LRI" and EPOCH + 4 < network.now < EPOCH + 18
        network.flow(1, 2, 1.0, 40.0)
        network.at(4.0, lambda: network.move(2, 3))
        network.run(50)
        late = [serial for serial in range(4000) if 1.0 + serial / 100 > 22]
        assert set(late) <= set(network.serials_delivered)

    def test_with_heartbeats_routes_end_as_soon_as_the_restart_is_known(self) -> None:
        network = talking(settings=Settings(heartbeat_interval=1.0))
        network.flow(1, 2, 1.0, 1.0)
        network.run(3)
        assert network.mag(1).routes == {prefix_of(2): MAG2}
        network.crash(LMA)
        network.run(4)
        network.restart(LMA)
        network.run(6)
        assert network.mag(1).routes == {}

    def test_an_ordinary_handover_asks_for_nothing(self) -> None:
        network = talking()
        network.flow(1, 2, 1.0, 20.0)
        network.at(4.0, lambda: network.move(2, 3))
        network.run(30)
        assert not [message for _, _, message in said(network, LocalizedRoutingAcknowledgment) if message.unsolicited]


class TestLateInitiations:
    """RFC 6705 gives an LRI a number and no time: a late copy is told from a new one by it."""

    def test_a_copy_of_one_that_was_ended_since_does_nothing(self) -> None:
        network = talking()
        agent = network.mag(1).agent
        assert isinstance(agent, Mag)
        agent.receive(initiation(1, 2, MAG2, sequence=7), LMA, EPOCH + 1)
        agent.receive(initiation(1, 2, None, sequence=8, lifetime=0), LMA, EPOCH + 2)
        agent.timeout(EPOCH + 10.9)
        assert agent.receive(initiation(1, 2, MAG2, sequence=7), LMA, EPOCH + 10.9) == [Ignore(IgnoreReason.STALE, LMA)]

    @pytest.mark.parametrize("behind", [1, 64, 1023])
    def test_an_anchor_that_began_anew_is_heeded_before_it_gives_up(self, behind: int) -> None:
        network = talking()
        agent = network.mag(1).agent
        assert isinstance(agent, Mag)
        agent.receive(initiation(1, 2, MAG2, sequence=2000), LMA, EPOCH + 1)
        heeded = []
        for sending in range(4):
            when = EPOCH + 1.001 + 3 * sending
            agent.timeout(when)
            heeded.append(agent.receive(initiation(1, 2, MAG3, sequence=2000 - behind), LMA, when) != [Ignore(IgnoreReason.STALE, LMA)])
        assert heeded == [False, False, False, True]


class TestMag:
    def gateway(self, *hosts: int, settings: Settings = Settings()) -> Mag:  # noqa: B008
        """MAG 1 with these hosts attached."""
        gateway = Mag(config("pmip-lr", settings=settings), EPOCH)
        for host in hosts:
            gateway.attached(f"mn{host}-air", mn_id_of(host), link_layer_of(host), EPOCH)
        return gateway

    def heard(self, gateway: Mag, message: LocalizedRoutingInitiation, now: float = EPOCH) -> list[Action]:
        return gateway.receive(message, LMA, now)

    @pytest.mark.parametrize(
        ("hosts", "remote", "settings", "status"),
        [
            ((), MAG2, Settings(), LocalizedRoutingStatus.MN_NOT_ATTACHED),
            ((2,), None, ALLOWED, LocalizedRoutingStatus.MN_NOT_ATTACHED),
            ((1,), None, ALLOWED, LocalizedRoutingStatus.MN_NOT_ATTACHED),
            ((), None, Settings(), LocalizedRoutingStatus.MN_NOT_ATTACHED),
            ((1, 2), None, Settings(), LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED),
        ],
    )
    def test_refusals(self, hosts: tuple[int, ...], remote: IPv6Address | None, settings: Settings, status: LocalizedRoutingStatus) -> None:
        gateway = self.gateway(*hosts, settings=settings)
        actions = self.heard(gateway, initiation(1, 2, remote, sequence=7))
        assert sent(actions) == [LocalizedRoutingAcknowledgment(sequence=7, status=status, lifetime=0)]
        assert len(actions) == 1

    def test_who_may_say_so_and_what(self) -> None:
        gateway = self.gateway(1, 2)
        for source in (MAG2, MAG3):
            assert gateway.receive(initiation(1, 3, MAG2), source, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        stranger = prefix_of(9)[1]
        assert self.heard(gateway, initiation(1, 3, stranger)) == [Ignore(IgnoreReason.UNKNOWN_SENDER, LMA)]
        assert self.heard(gateway, initiation(1, 3, MAG1)) == [Ignore(IgnoreReason.STALE, LMA)]
        assert self.heard(gateway, initiation(1, 2, MAG2)) == [Ignore(IgnoreReason.STALE, LMA)]
        whole = initiation(1, 3, MAG2)
        for part in (
            replace(whole, mn_id=None),
            replace(whole, home_network_prefixes=()),
            replace(whole, correspondent=None),
            replace(whole, correspondent=MobileNode(mn_id_of(3))),
        ):
            assert self.heard(gateway, part) == [Ignore(IgnoreReason.MALFORMED, LMA)]

    def test_an_overtaken_initiation_changes_nothing_unless_the_anchor_began_anew(self) -> None:
        gateway = self.gateway(1)
        assert InstallRoute(prefix_of(2), MAG2) in self.heard(gateway, initiation(1, 2, MAG2, sequence=3))
        assert self.heard(gateway, initiation(1, 2, MAG3, sequence=65535)) == [Ignore(IgnoreReason.STALE, LMA)]
        assert InstallRoute(prefix_of(2), MAG3) in self.heard(gateway, initiation(1, 2, MAG3, sequence=40_000))

    def test_a_route_stands_as_long_as_one_pair_wants_it(self) -> None:
        gateway = self.gateway(1, 3)
        assert InstallRoute(prefix_of(2), MAG2) in self.heard(gateway, initiation(1, 2, MAG2, sequence=1))
        assert len(self.heard(gateway, initiation(3, 2, MAG2, sequence=2))) == 1
        assert InstallRoute(prefix_of(2), MAG3) in self.heard(gateway, initiation(1, 2, MAG3, sequence=3))
        assert InstallRoute(prefix_of(2), MAG2) in self.heard(gateway, initiation(1, 2, lifetime=0, sequence=4))
        assert RemoveRoute(prefix_of(2)) in self.heard(gateway, initiation(3, 2, lifetime=0, sequence=5))

    def test_local_and_remote_replace_each_other(self) -> None:
        gateway = self.gateway(1, 2, settings=ALLOWED)
        local = self.heard(gateway, initiation(1, 2, sequence=1))
        assert local[:2] == [InstallLocalRoute(prefix_of(2)), InstallLocalRoute(prefix_of(1))]
        assert set(gateway.detached("mn2-air", EPOCH)) >= {RemoveLocalRoute(prefix_of(2)), RemoveLocalRoute(prefix_of(1))}
        assert InstallRoute(prefix_of(2), MAG2) in self.heard(gateway, initiation(1, 2, MAG2, sequence=2))
        assert RemoveRoute(prefix_of(2)) in gateway.attached("mn2-air", mn_id_of(2), link_layer_of(2), EPOCH)

    def test_entries_end_by_themselves(self) -> None:
        gateway = self.gateway(1)
        self.heard(gateway, initiation(1, 2, MAG2, lifetime=10))
        self.heard(gateway, initiation(1, 2, MAG2, lifetime=10, sequence=2), EPOCH + 4)
        assert RemoveRoute(prefix_of(2)) not in gateway.timeout(EPOCH + 10)
        assert RemoveRoute(prefix_of(2)) in gateway.timeout(EPOCH + 14)


@examples(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("lri"), st.integers(1, 2), st.integers(3, 4), st.sampled_from([MAG2, MAG3]), st.sampled_from([0, 5, 50])),
            st.tuples(st.just("local"), st.just(1), st.just(2), st.none(), st.sampled_from([0, 5, 50])),
            st.tuples(st.just("leave"), st.integers(1, 4), st.just(0), st.none(), st.just(0)),
            st.tuples(st.just("come"), st.integers(1, 4), st.just(0), st.none(), st.just(0)),
            st.tuples(st.just("wait"), st.just(0), st.just(0), st.none(), st.sampled_from([1, 10])),
        ),
        max_size=40,
    ),
    st.integers(0, 1 << 16),
)
def test_the_kernel_is_asked_for_what_can_be_done_and_in_the_end_for_nothing(
    steps: list[tuple[str, int, int, IPv6Address | None, int]], seed: int
) -> None:
    chance = Random(seed)
    network = MemoryNetwork("pmip-lr", settings=ALLOWED)
    agent = network.mag(1).agent
    assert isinstance(agent, Mag)
    sequence = chance.randrange(1 << 16)
    for what, first, second, remote, number in steps:
        sequence = (sequence + 1) & 0xFFFF
        if what in ("lri", "local"):
            network.command(MAG1, agent.receive(initiation(first, second, remote, sequence, number), LMA, network.now))
        elif what == "leave" and network.where.get(first) == 1:
            network.detach(first)
        elif what == "come" and first not in network.where:
            network.attach(first, 1)
        elif what == "wait":
            network.run(network.now - EPOCH + number)
        assert not {prefix_of(host) for host in network.where} & set(network.mag(1).routes)
        assert isinstance(agent._localized, LocalizedRoutes)
        assert set(agent._localized._routed) == network.mag(1).local | set(network.mag(1).routes)
    network.run(network.now - EPOCH + 60)
    assert (network.mag(1).routes, network.mag(1).local) == ({}, set())
