"""Queries, the packets that wait for them and the routes that answers give: the draft, 3.2.3 and 3.3.2."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from lone_mag import CN, CN_LINK, MN, P1, P2, P3, acknowledge, answer, attach, mag, request_of, routed, serving, timeouts
from memory_network import EPOCH, GROUP, LMA, hoa_of, packet, prefix_of
from proxy_binding_updates import MAG1, MAG2, MAG3

from agents.actions import (
    Advertise,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallRoute,
    Multicast,
    Release,
    RemoveRoute,
    Send,
    Unreachable,
)
from agents.config import FirstPacket
from agents.mag import ROUTER_LIFETIME
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate, Status, timestamp_from_seconds


class TestSPmip:
    """Draft, 3.2.3."""

    def test_query_1_and_2_goes_from_the_mag_to_the_lma(self) -> None:
        (send,) = serving().packet_for(MN, P1, EPOCH)
        assert isinstance(send, Send)
        assert (send.destination, send.tunnelled) == (LMA, False)

    def test_query_3_names_the_home_address_and_nothing_else(self) -> None:
        question = request_of(serving().packet_for(MN, P1, EPOCH))
        assert question == ProxyBindingUpdate(
            sequence=1,
            lifetime=2,
            query=True,
            home_network_prefixes=(IPv6Network(MN),),
            timestamp=timestamp_from_seconds(EPOCH) + 1,
        )

    def test_packets_wait_during_the_query_which_is_made_once(self) -> None:
        gateway = serving()
        gateway.packet_for(MN, P1, EPOCH)
        assert gateway.packet_for(MN, P2, EPOCH + 0.1) == []

    def test_answer_1_without_the_q_flag_it_is_none(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(replace(answer(question), query=False), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    def test_answer_2_success_releases_what_waits_first_and_then_sets_up_the_route(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.packet_for(MN, P2, EPOCH)
        assert gateway.receive(answer(question), LMA, EPOCH + 0.05) == [Release((P1, P2), MAG2), InstallRoute(prefix_of(2), MAG2)]
        assert gateway.packet_for(MN, P3, EPOCH + 0.05) == [Release((P3,), MAG2)]

    def test_answer_2_failure_gives_the_packets_up_and_tells_the_cn(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.packet_for(MN, P2, EPOCH)
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, LMA, EPOCH) == [Drop((P1, P2), DropReason.QUERY_FAILED), Unreachable(P1)]

    def test_a_failure_is_remembered_for_a_while(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE), LMA, EPOCH)
        assert gateway.packet_for(MN, P2, EPOCH + 0.9) == [Drop((P2,), DropReason.UNREACHABLE), Unreachable(P2)]
        assert request_of(gateway.packet_for(MN, P3, EPOCH + 1)).query

    def test_a_failure_tells_every_sender_once(self) -> None:
        gateway = serving()
        gateway.receive(acknowledge(request_of(attach(gateway, 3))), LMA, EPOCH)
        other = packet(hoa_of(3), MN, 9)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        for data in (other, P2):
            gateway.packet_for(MN, data, EPOCH)
        actions = gateway.receive(answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE), LMA, EPOCH)
        assert actions == [Drop((P1, other, P2), DropReason.QUERY_FAILED), Unreachable(P1), Unreachable(other)]

    def test_an_unanswered_query_is_repeated_and_then_fails(self) -> None:
        gateway = serving(buffer_time=60.0)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        *repeats, dropped, unreachable = timeouts(gateway, 100)
        assert [time for time, _ in repeats] == [0.2, 0.6, 1.4, 3.0]
        assert {request_of([action]).sequence for _, action in repeats} == {question.sequence}
        assert dropped == (6.2, Drop((P1,), DropReason.QUERY_FAILED))
        assert unreachable == (6.2, Unreachable(P1))

    def test_one_answer_serves_all_home_addresses_of_its_prefix(self) -> None:
        gateway = serving()
        other = packet(CN, MN + 1, 5)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        second = request_of(gateway.packet_for(MN + 1, other, EPOCH))
        assert gateway.receive(answer(question), LMA, EPOCH) == [
            Release((P1,), MAG2),
            Release((other,), MAG2),
            InstallRoute(prefix_of(2), MAG2),
        ]
        assert gateway.receive(answer(second), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"sequence": 999}, IgnoreReason.UNMATCHED),
            ({"home_network_prefixes": (prefix_of(3),)}, IgnoreReason.MALFORMED),
            ({"home_network_prefixes": ()}, IgnoreReason.MALFORMED),
            ({"alternate_care_of": None}, IgnoreReason.MALFORMED),
            ({"alternate_care_of": IPv6Address("2001:db8::bad")}, IgnoreReason.UNKNOWN_SENDER),
            ({"alternate_care_of": MAG1}, IgnoreReason.STALE),
        ],
    )
    def test_an_answer_of_no_use_is_ignored_and_the_query_goes_on(self, changes: dict[str, Any], reason: IgnoreReason) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(replace(answer(question), **changes), LMA, EPOCH) == [Ignore(reason, LMA)]
        assert request_of(gateway.timeout(EPOCH + 0.2)).sequence == question.sequence

    def test_only_the_lma_answers(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question), MAG3, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG3)]

    def test_an_answer_without_lifetime_serves_the_waiting_packets_only(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, lifetime=0), LMA, EPOCH) == [Release((P1,), MAG2)]
        assert request_of(gateway.packet_for(MN, P2, EPOCH)).query

    def test_both_ends_behind_one_mag_need_no_query(self) -> None:
        gateway = serving()
        gateway.receive(acknowledge(request_of(attach(gateway, 2))), LMA, EPOCH)
        assert gateway.packet_for(MN, P1, EPOCH) == [Release((P1,), None)]

    def test_packets_for_a_node_being_registered_here_wait_for_it(self) -> None:
        gateway = serving()
        request = request_of(attach(gateway, 2))
        assert gateway.packet_for(MN, P1, EPOCH) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 0.05)[-1] == Release((P1,), None)

    def test_packets_that_wait_for_an_answer_go_to_the_node_when_it_comes_here(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        request = request_of(attach(gateway, 2))
        assert gateway.receive(answer(question), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.receive(acknowledge(request), LMA, EPOCH)[-1] == Release((P1,), None)

    def test_a_node_that_comes_here_needs_its_tunnel_route_no_more(self) -> None:
        gateway = routed()
        assert attach(gateway, 2)[0] == RemoveRoute(prefix_of(2))
        assert RemoveRoute(prefix_of(2)) not in gateway.stop(EPOCH)

    def test_buffering_that_is_off_drops_and_queries(self) -> None:
        gateway = serving(buffer_packets=0)
        send, drop = gateway.packet_for(MN, P1, EPOCH)
        assert request_of([send]).query
        assert drop == Drop((P1,), DropReason.BUFFER_OFF)
        assert gateway.receive(answer(request_of([send])), LMA, EPOCH) == [InstallRoute(prefix_of(2), MAG2)]

    def test_packets_are_not_held_for_ever(self) -> None:
        gateway = serving(buffer_time=5.0)
        gateway.packet_for(MN, P1, EPOCH)
        assert (5.0, Drop((P1,), DropReason.BUFFER_TIMEOUT)) in timeouts(gateway, 6)

    def test_queries_are_limited_for_each_access_link(self) -> None:
        gateway = serving(query_rate=1.0)
        third = packet(CN, hoa_of(3), 5)
        fourth = packet(hoa_of(4), hoa_of(3), 6)
        gateway.receive(acknowledge(request_of(attach(gateway, 4))), LMA, EPOCH)
        gateway.packet_for(MN, P1, EPOCH)
        assert gateway.packet_for(hoa_of(3), third, EPOCH) == [Drop((third,), DropReason.RATE_LIMITED)]
        assert request_of(gateway.packet_for(hoa_of(3), fourth, EPOCH)).query
        assert gateway.packet_for(MN, P2, EPOCH) == []

    def test_what_is_no_home_address_is_dropped(self) -> None:
        data = packet(CN, IPv6Address("2001:db8:f::1"))
        assert serving().packet_for(IPv6Address("2001:db8:f::1"), data, EPOCH) == [Drop((data,), DropReason.NOT_HOME)]

    def test_pmip_sends_nothing_past_the_anchor(self) -> None:
        assert serving("pmip").packet_for(MN, P1, EPOCH) == [Drop((P1,), DropReason.NOT_ATTACHED)]


class TestRenewal:
    """A route lapses before its answer does, so that the next packet can prove that it is used."""

    def test_a_route_that_is_not_used_ends(self) -> None:
        assert timeouts(routed("sd-pmip"), 100) == [(7.0, RemoveRoute(prefix_of(2)))]

    def test_a_route_in_use_is_asked_for_again_without_loss(self) -> None:
        gateway = routed()
        assert gateway.timeout(EPOCH + 7) == [RemoveRoute(prefix_of(2))]
        release, route, send = gateway.packet_for(MN, P2, EPOCH + 7.1)
        assert (release, route) == (Release((P2,), MAG2), InstallRoute(prefix_of(2), MAG2))
        question = request_of([send])
        assert gateway.packet_for(MN, P3, EPOCH + 7.1) == [Release((P3,), MAG2)]
        assert gateway.receive(answer(question), LMA, EPOCH + 7.2) == []
        assert gateway.timeout(EPOCH + 8) == []
        assert gateway.timeout(EPOCH + 7.1 + 7) == [RemoveRoute(prefix_of(2))]

    def test_its_answer_may_name_another_mag(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        assert gateway.receive(answer(question, MAG3), LMA, EPOCH + 7.2) == [InstallRoute(prefix_of(2), MAG3)]

    def test_without_an_answer_the_route_ends_with_the_old_one_and_packets_wait(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        assert RemoveRoute(prefix_of(2)) in gateway.timeout(EPOCH + 8)
        assert gateway.packet_for(MN, P3, EPOCH + 8) == []
        assert gateway.receive(answer(question), LMA, EPOCH + 8.1) == [Release((P3,), MAG2), InstallRoute(prefix_of(2), MAG2)]

    def test_an_answer_of_failure_ends_the_route(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, LMA, EPOCH + 7.2) == [RemoveRoute(prefix_of(2))]

    def test_a_packet_after_the_answers_end_queries_even_if_no_timer_fired(self) -> None:
        gateway = routed()
        removed, send = gateway.packet_for(MN, P2, EPOCH + 9)
        assert removed == RemoveRoute(prefix_of(2))
        assert request_of([send]).query

    def test_a_margin_longer_than_the_lifetime_does_not_prevent_routes(self) -> None:
        gateway = routed(query_margin=60.0)
        assert gateway.next_timeout == EPOCH + 4


class TestSdPmip:
    """Draft, 3.3.1 and 3.3.2."""

    def test_procedure_1_an_attached_node_is_served_at_once_without_registration(self) -> None:
        assert attach(mag("sd-pmip")) == [
            InstallAccessRoute(prefix_of(1), CN_LINK),
            Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME),
        ]

    def test_query_1_to_3_goes_encapsulated_to_the_group_and_names_the_home_address(self) -> None:
        (send,) = serving("sd-pmip").packet_for(MN, P1, EPOCH)
        assert isinstance(send, Send)
        assert (send.destination, send.tunnelled) == (GROUP, True)
        assert request_of([send]).query
        assert request_of([send]).home_network_prefixes == (IPv6Network(MN),)

    def test_answer_1_a_query_without_the_q_flag_is_none(self) -> None:
        question = request_of(serving("sd-pmip").packet_for(MN, P1, EPOCH))
        gateway = serving("sd-pmip")
        assert gateway.receive(replace(question, query=False), MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]

    def test_answer_2_and_3_the_mag_of_the_node_answers_by_unicast(self) -> None:
        gateway = serving("sd-pmip")
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert gateway.receive(question, MAG2, EPOCH) == [
            Send(
                ProxyBindingAcknowledgement(
                    status=0,
                    sequence=5,
                    lifetime=2,
                    query=True,
                    home_network_prefixes=(prefix_of(1),),
                    timestamp=42,
                    alternate_care_of=MAG1,
                ),
                MAG2,
            )
        ]

    def test_answer_3_all_other_mags_stay_silent(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(MN),), timestamp=42)
        assert serving("sd-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG2)]

    def test_answer_3_a_mag_that_the_node_has_left_stays_silent(self) -> None:
        gateway = serving("sd-pmip")
        gateway.detached(CN_LINK, EPOCH)
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert gateway.receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG2)]

    def test_a_query_without_home_address_is_malformed(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True)
        assert serving("sd-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG2)]

    def test_procedure_5_the_answer_opens_the_tunnel_buffered_packets_first(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question), MAG2, EPOCH) == [Release((P1,), MAG2), InstallRoute(prefix_of(2), MAG2)]

    def test_an_answer_speaks_of_nobody_but_its_sender(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, MAG3), MAG2, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]
        assert gateway.receive(answer(question, MAG2), MAG2, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG2)

    @pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
    @pytest.mark.parametrize("prefix", ["2001:db8:100::/40", "2001:db8:100:2::/63", "2001:db8:100:2::2/128", "::/0"])
    def test_an_answer_names_a_prefix_of_a_nodes_profile(self, scheme: str, prefix: str) -> None:
        gateway, source = serving(scheme), LMA if scheme == "s-pmip" else MAG2
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        wrong = replace(answer(question), home_network_prefixes=(IPv6Network(prefix, strict=False),))
        assert gateway.receive(wrong, source, EPOCH) == [Ignore(IgnoreReason.NO_SUCH_PREFIX, source)]
        assert gateway.receive(answer(question), source, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG2)

    def test_an_answer_without_care_of_option_means_its_sender(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, None), MAG3, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG3)

    def test_one_mags_failure_is_not_the_domains(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, MAG3, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG3)]
        assert gateway.receive(answer(question), MAG2, EPOCH)[0] == Release((P1,), MAG2)

    def test_first_packet_multicast_sends_packets_to_the_group_until_the_answer(self) -> None:
        gateway = serving("sd-pmip", first_packet=FirstPacket.MULTICAST)
        send, first = gateway.packet_for(MN, P1, EPOCH)
        assert first == Multicast(P1, GROUP)
        assert gateway.packet_for(MN, P2, EPOCH) == [Multicast(P2, GROUP)]
        assert gateway.receive(answer(request_of([send])), MAG2, EPOCH) == [InstallRoute(prefix_of(2), MAG2)]

    def test_ones_own_message_to_the_group_is_nothing_new(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(question, MAG1, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG1)]

    def test_s_pmip_answers_no_queries(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert serving("s-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]
