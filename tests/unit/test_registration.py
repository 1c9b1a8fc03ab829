"""Registering nodes with the LMA: RFC 5213, 5.5 and 6.9.1."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from itertools import pairwise
from typing import Any

import pytest
from lone_mag import CN, CN_LINK, acknowledge, attach, mag, request_of, routed, serving, timeouts
from memory_network import EPOCH, LMA, config, hoa_of, link_layer_of, mn_id_of, packet, prefix_of, sent
from proxy_binding_updates import MAG2

from agents.actions import (
    Advertise,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallUplink,
    ProbePath,
    RemoveAccessRoute,
    RemoveRoute,
    RemoveUplink,
    Send,
)
from agents.config import MessageOrder
from agents.mag import ADVERTISEMENT_INTERVAL, ROUTER_LIFETIME, Mag
from agents.messages import ProxyBindingUpdate, Status, seconds_from_timestamp, timestamp_from_seconds
from agents.profiles import Profile, ProfileStore


class TestRegistration:
    def test_an_attached_node_is_registered(self) -> None:
        gateway = mag("pmip")
        assert attach(gateway) == [
            Send(
                ProxyBindingUpdate(
                    sequence=0,
                    lifetime=75,
                    mn_id=mn_id_of(1),
                    home_network_prefixes=(prefix_of(1),),
                    handoff_indicator=4,
                    access_technology=4,
                    link_layer_identifier=link_layer_of(1),
                    timestamp=timestamp_from_seconds(EPOCH),
                ),
                LMA,
            )
        ]

    def test_a_prefix_that_the_acknowledgement_names_twice_is_served_once(self) -> None:
        gateway = mag("pmip")
        twice = acknowledge(request_of(attach(gateway)), home_network_prefixes=(prefix_of(1), prefix_of(1)))
        actions = gateway.receive(twice, LMA, EPOCH)
        assert actions.count(InstallAccessRoute(prefix_of(1), CN_LINK)) == 1
        assert gateway.attachments[0].prefixes == (prefix_of(1),)

    def test_pmip_serves_it_once_accepted_with_an_uplink_to_the_anchor(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.solicited(CN_LINK, EPOCH) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH) == [
            InstallAccessRoute(prefix_of(1), CN_LINK),
            InstallUplink(CN_LINK, LMA),
            Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME),
        ]
        assert gateway.solicited(CN_LINK, EPOCH) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_s_pmip_serves_it_without_an_uplink(self) -> None:
        gateway = mag("s-pmip")
        request = request_of(attach(gateway))
        assert [type(action) for action in gateway.receive(acknowledge(request), LMA, EPOCH)] == [InstallAccessRoute, Advertise]

    def test_the_anchor_chooses_the_prefixes(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        other = (IPv6Network("2001:db8:1ff:1::/64"),)
        actions = gateway.receive(acknowledge(request, home_network_prefixes=other), LMA, EPOCH)
        assert Advertise(CN_LINK, other, ROUTER_LIFETIME) in actions
        assert gateway.attachments[0].prefixes == other

    def test_an_unanswered_update_is_repeated_with_new_times_and_growing_waits(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        repeats = timeouts(gateway, 100)
        assert [time for time, _ in repeats] == [1, 3, 7, 15, 31, 63, 95]
        messages = [request_of([action]) for _, action in repeats]
        assert [seconds_from_timestamp(message.timestamp or 0) - EPOCH for message in messages] == [time for time, _ in repeats]
        assert len({message.sequence for message in [first, *messages]}) == 8
        assert {message.handoff_indicator for message in messages} == {4}

    def test_an_answer_to_an_earlier_repetition_counts(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.timeout(EPOCH + 1)
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(first), LMA, EPOCH + 1.1)
        assert sent(action for _, action in timeouts(gateway, 100)) == []

    def test_a_binding_is_refreshed_before_it_ends(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.receive(acknowledge(first), LMA, EPOCH)
        assert gateway.next_timeout == EPOCH + 225
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert refresh == replace(first, sequence=1, handoff_indicator=5, timestamp=timestamp_from_seconds(EPOCH + 225))
        assert gateway.receive(acknowledge(refresh), LMA, EPOCH + 225) == []
        assert 195 < (gateway.next_timeout or 0) - (EPOCH + 225) < 225

    @pytest.mark.parametrize("first", [0, 0xFFF0, 31415])
    def test_bindings_that_began_at_one_moment_are_not_refreshed_at_one(self, first: int) -> None:
        """No two of 200 within 50 ms, and no more than 8 in any second of the 30 s over which they are spread."""
        gateway = Mag(config("pmip", hosts=200), EPOCH, first)
        for host in range(1, 201):
            gateway.receive(acknowledge(request_of(attach(gateway, host))), LMA, EPOCH)
        sendings = [(action.message.mn_id, when) for when, action in timeouts(gateway, 225.5) if isinstance(action, Send)]
        times = sorted(dict(reversed(sendings)).values())
        assert len(times) == 200
        assert 194.9 <= min(times) <= max(times) <= 225
        assert min(later - earlier for earlier, later in pairwise(times)) > 0.05
        assert max(sum(at <= time < at + 1 for time in times) for at in times) <= 8

    @pytest.mark.parametrize("status", [128, 129, 130, 134, 152, 153, 154, 158, 159, 160, 161, 162, 199])
    def test_a_refused_node_gets_no_service(self, status: int) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, status), LMA, EPOCH) == []
        assert gateway.solicited(CN_LINK, EPOCH) == []
        assert gateway.next_timeout is None
        assert gateway.detached(CN_LINK, EPOCH) == []

    def test_a_node_refused_at_its_refresh_loses_service(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert gateway.receive(acknowledge(refresh, Status.PROXY_REG_NOT_ENABLED), LMA, EPOCH + 225) == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveUplink(CN_LINK),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
        ]

    def test_a_node_that_is_not_enabled_is_not_registered_again(self) -> None:
        gateway = mag("pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), Status.PROXY_REG_NOT_ENABLED), LMA, EPOCH)
        gateway.detached(CN_LINK, EPOCH + 1)
        assert attach(gateway, now=EPOCH + 2) == []
        assert attach(gateway, link="other-air", now=EPOCH + 3) == []
        assert request_of(attach(gateway, 2, now=EPOCH + 4)).mn_id == mn_id_of(2)

    def test_a_node_that_was_refused_otherwise_is_registered_when_it_attaches_anew(self) -> None:
        gateway = mag("pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), Status.INSUFFICIENT_RESOURCES), LMA, EPOCH)
        gateway.detached(CN_LINK, EPOCH + 1)
        assert request_of(attach(gateway, now=EPOCH + 2)).lifetime == 75

    def test_the_anchor_is_asked_for_any_prefix_where_it_refuses_those_of_the_profile(self) -> None:
        gateway = mag("pmip")
        refusal = acknowledge(request_of(attach(gateway)), Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
        second = request_of(gateway.receive(refusal, LMA, EPOCH))
        assert second.home_network_prefixes == (IPv6Network("::/0"),)
        given = (IPv6Network("2001:db8:1ff:1::/64"),)
        actions = gateway.receive(acknowledge(second, home_network_prefixes=given), LMA, EPOCH)
        assert InstallAccessRoute(given[0], CN_LINK) in actions
        assert request_of(gateway.timeout(EPOCH + 225)).home_network_prefixes == given
        gateway.detached(CN_LINK, EPOCH + 226)
        assert request_of(attach(gateway, now=EPOCH + 227)).home_network_prefixes == (IPv6Network("::/0"),)

    def test_a_node_that_may_have_no_prefix_at_all_is_refused(self) -> None:
        gateway = mag("pmip")
        status = Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
        second = request_of(gateway.receive(acknowledge(request_of(attach(gateway)), status), LMA, EPOCH))
        assert gateway.receive(acknowledge(second, status), LMA, EPOCH) == []
        assert gateway.next_timeout is None

    def test_an_update_refused_for_an_older_timestamp_is_tried_again_with_the_latest(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED), LMA, EPOCH) == []
        again = request_of(gateway.timeout(EPOCH + 1))
        assert again.timestamp == timestamp_from_seconds(EPOCH + 1)

    @pytest.mark.parametrize("ahead", [0.4, -0.4, 3600, -2 * 86400])
    def test_an_update_refused_for_a_wrong_timestamp_is_tried_again_ever_less_often(self, ahead: float) -> None:
        gateway = mag("pmip")
        request, now, times = request_of(attach(gateway)), EPOCH, []
        while now < EPOCH + 100:
            wrong = acknowledge(request, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(now + ahead))
            assert gateway.receive(wrong, LMA, now) == []
            now = gateway.next_timeout or now + 1000
            request = request_of(gateway.timeout(now))
            assert request.timestamp == timestamp_from_seconds(now)
            times.append(now - EPOCH)
        assert times == [1, 3, 7, 15, 31, 63, 95, 127]
        gateway.receive(acknowledge(request), LMA, now)
        assert gateway.attachments[0].served

    def test_a_refusal_of_no_open_exchange_is_none(self) -> None:
        gateway = serving("pmip")
        (before,) = gateway._registrar.updates
        assert before.request is not None
        refusal = acknowledge(before.request, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(EPOCH))
        assert gateway.receive(refusal, LMA, EPOCH + 2 * 86400) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.attachments[0].served

    @pytest.mark.parametrize("status", [Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, Status.REASON_UNSPECIFIED])
    def test_a_node_refused_at_its_refresh_is_denied_service_whatever_the_reason(self, status: Status) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert Advertise(CN_LINK, (prefix_of(1),), 0) in gateway.receive(acknowledge(refresh, status), LMA, EPOCH + 225)
        assert not gateway.attachments[0].served

    def test_an_anchor_that_returns_no_timestamp_is_understood(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        gateway.receive(acknowledge(request, timestamp=None), LMA, EPOCH)
        assert gateway.attachments[0].served

    def test_a_refresh_that_is_refused_is_tried_once_more_as_a_first_registration(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        again = request_of(gateway.receive(acknowledge(refresh, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225))
        assert (refresh.handoff_indicator, again.handoff_indicator) == (5, 4)
        gateway.receive(acknowledge(again), LMA, EPOCH + 225.1)
        assert gateway.attachments[0].served

    def test_one_that_is_refused_again_is_not(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        again = request_of(gateway.receive(acknowledge(refresh, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225))
        assert not sent(gateway.receive(acknowledge(again, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225.1))
        assert gateway.next_timeout is None

    @pytest.mark.parametrize(
        "changes",
        [{"handoff_indicator": 1}, {"access_technology": 3}, {"link_layer_identifier": b"other!"}, {"mn_id": mn_id_of(2)}],
    )
    def test_an_acknowledgement_that_does_not_echo_the_request_is_ignored_and_ends_the_tries(self, changes: dict[str, Any]) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, **changes), LMA, EPOCH) == [Ignore(IgnoreReason.ALTERED, LMA)]
        assert gateway.next_timeout is None
        assert not gateway.attachments[0].served

    def test_an_answer_is_compared_with_the_request_that_it_answers(self) -> None:
        """A refused refresh is repeated with another handoff indicator; a second answer to the first of the two must not end the tries."""
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        refusal = acknowledge(refresh, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(EPOCH + 225.4))
        gateway.receive(refusal, LMA, EPOCH + 225.5)
        again = request_of(gateway.timeout(EPOCH + 226))
        assert (refresh.handoff_indicator, again.handoff_indicator) == (5, 4)
        gateway.receive(refusal, LMA, EPOCH + 226.1)
        gateway.receive(acknowledge(again), LMA, EPOCH + 226.2)
        assert gateway.attachments[0].served

    @pytest.mark.parametrize("option", ["handoff_indicator", "access_technology", "link_layer_identifier", "mn_id", "timestamp"])
    def test_an_option_that_is_absent_has_no_other_value(self, option: str) -> None:
        gateway = mag("pmip")
        absent: dict[str, Any] = {option: None}
        gateway.receive(acknowledge(request_of(attach(gateway)), **absent), LMA, EPOCH)
        assert gateway.attachments[0].served

    def test_an_acknowledgement_of_nothing_is_ignored(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, sequence=77), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.next_timeout == EPOCH + 1

    @pytest.mark.parametrize("changes", [{"home_network_prefixes": ()}, {"home_network_prefixes": (IPv6Network("::/0"),)}, {"lifetime": 0}])
    def test_an_acceptance_of_nothing_is_no_valid_response(self, changes: dict[str, Any]) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, **changes), LMA, EPOCH) == [Ignore(IgnoreReason.MALFORMED, LMA)]
        assert gateway.next_timeout == EPOCH + 1

    def test_a_binding_that_is_not_refreshed_in_time_ends_here_and_is_made_anew(self) -> None:
        gateway = serving("pmip")
        done = timeouts(gateway, 400)
        assert [(time, type(action)) for time, action in done if not isinstance(action, Send)] == [
            (300, Advertise),
            (300, RemoveUplink),
            (300, RemoveAccessRoute),
        ]
        indicators = {time: request_of([action]).handoff_indicator for time, action in done if isinstance(action, Send)}
        assert {value for time, value in indicators.items() if time < 300} == {5}
        assert {value for time, value in indicators.items() if time > 300} == {4}
        last = request_of([done[-1][1]])
        assert InstallAccessRoute(prefix_of(1), CN_LINK) in gateway.receive(acknowledge(last), LMA, EPOCH + 400)

    def test_a_binding_counts_from_when_its_update_was_sent(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        gateway.receive(acknowledge(request, lifetime=5), LMA, EPOCH + 0.5)
        assert gateway.next_timeout == EPOCH + 15
        assert not any(isinstance(action, Advertise) for _, action in timeouts(gateway, 19.9))
        assert (20, Advertise(CN_LINK, (prefix_of(1),), 0)) in timeouts(gateway, 20)

    def test_the_anchor_gets_three_updates_a_second_about_one_node(self) -> None:
        gateway = serving("pmip")
        done = []
        for step in range(1, 6):
            now = EPOCH + step / 10
            done += gateway.detached(CN_LINK, now) if step % 2 else attach(gateway, now=now)
        assert len(sent(done)) == 2
        ((when, _),) = [(time, action) for time, action in timeouts(gateway, 1.05) if isinstance(action, Send)]
        assert when == 1.0
        assert request_of([*attach(gateway, 2, now=EPOCH + 0.5)]).mn_id == mn_id_of(2)

    def test_only_the_anchor_acknowledges(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request), MAG2, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]

    def test_a_node_that_leaves_is_deregistered(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.receive(acknowledge(first), LMA, EPOCH)
        *removed, send = gateway.detached(CN_LINK, EPOCH + 1)
        assert removed == [RemoveUplink(CN_LINK), RemoveAccessRoute(prefix_of(1), CN_LINK)]
        request = request_of([send])
        assert request == replace(first, sequence=1, lifetime=0, handoff_indicator=4, timestamp=timestamp_from_seconds(EPOCH + 1))
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 1) == []
        assert gateway.next_timeout is None
        assert gateway.detached(CN_LINK, EPOCH + 2) == []

    def test_a_deregistration_is_sent_once_and_its_answer_waited_for(self) -> None:
        gateway = serving("pmip")
        request = request_of(gateway.detached(CN_LINK, EPOCH))
        assert gateway.next_timeout == EPOCH + 1
        assert gateway.receive(acknowledge(request, Status.REASON_UNSPECIFIED), LMA, EPOCH) == []
        assert gateway.next_timeout == EPOCH + 1
        assert timeouts(gateway, 100) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 2) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    def test_renumbering_withdraws_the_old_prefix(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        new = IPv6Network("2001:db8:1ff:1::/64")
        assert gateway.receive(acknowledge(refresh, home_network_prefixes=(new,)), LMA, EPOCH + 225) == [
            RemoveUplink(CN_LINK),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            InstallAccessRoute(new, CN_LINK),
            InstallUplink(CN_LINK, LMA),
            Advertise(CN_LINK, (new,), ROUTER_LIFETIME, (prefix_of(1),)),
        ]

    def test_every_node_is_told_of_another_path_mtu(self) -> None:
        gateway = serving("pmip")
        attach(gateway, 2)
        assert gateway.path_changed(EPOCH + 1) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_the_path_to_the_anchor_is_probed_from_the_start(self) -> None:
        assert timeouts(mag("pmip", path_probe=5.0), 10) == [(0, ProbePath(LMA)), (5, ProbePath(LMA)), (10, ProbePath(LMA))]
        assert mag("sd-pmip", path_probe=5.0).next_timeout is None

    @pytest.mark.parametrize("identifier", [b"", bytes(2), bytes(6)])
    def test_a_link_layer_identifier_that_is_not_known_is_not_sent(self, identifier: bytes) -> None:
        gateway = mag("pmip")
        request = request_of(gateway.attached(CN_LINK, mn_id_of(1), identifier, EPOCH))
        assert request.link_layer_identifier is None
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(request), LMA, EPOCH)
        assert request_of(gateway.detached(CN_LINK, EPOCH)).lifetime == 0

    def test_a_node_that_comes_back_is_no_longer_deregistered(self) -> None:
        gateway = serving("pmip")
        left = request_of(gateway.detached(CN_LINK, EPOCH + 1))
        back = request_of(attach(gateway, now=EPOCH + 1))
        assert (back.timestamp or 0) > (left.timestamp or 0)
        assert gateway.receive(acknowledge(left), LMA, EPOCH + 1) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(back), LMA, EPOCH + 1)
        assert sent(action for _, action in timeouts(gateway, 200)) == []

    def test_a_node_that_leaves_before_it_is_registered_is_deregistered(self) -> None:
        gateway = mag("pmip")
        registering = request_of(attach(gateway))
        assert request_of(gateway.detached(CN_LINK, EPOCH)).lifetime == 0
        assert gateway.receive(acknowledge(registering), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert timeouts(gateway, 100) == []

    def test_a_node_seen_twice_on_its_link_is_advertised_to_again(self) -> None:
        gateway = serving()
        assert attach(gateway) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_a_node_that_changes_link_at_one_mag_is_registered_anew(self) -> None:
        gateway = serving()
        removed, send = attach(gateway, link="other-air", now=EPOCH + 1)
        assert removed == RemoveAccessRoute(prefix_of(1), CN_LINK)
        request = request_of([send])
        assert request.lifetime == 75
        assert InstallAccessRoute(prefix_of(1), "other-air") in gateway.receive(acknowledge(request), LMA, EPOCH + 1)
        assert gateway.detached(CN_LINK, EPOCH + 1) == []

    def test_another_node_on_a_link_takes_the_place_of_the_first(self) -> None:
        gateway = serving()
        actions = attach(gateway, 2, link=CN_LINK, now=EPOCH + 1)
        assert actions[0] == RemoveAccessRoute(prefix_of(1), CN_LINK)
        updates = [message for message in sent(actions) if isinstance(message, ProxyBindingUpdate)]
        assert [(update.mn_id, update.lifetime > 0) for update in updates] == [(mn_id_of(1), False), (mn_id_of(2), True)]

    def test_a_node_without_profile_gets_no_service(self) -> None:
        gateway = mag("pmip")
        assert gateway.attached("x-air", "nobody@dmm.example", b"x", EPOCH) == []
        assert gateway.solicited("x-air", EPOCH) == []
        assert gateway.next_timeout is None

    def test_a_node_that_is_not_entitled_to_mobility_gets_no_service(self) -> None:
        told = config("pmip")
        gateway = Mag(replace(told, profiles=ProfileStore([Profile(mn_id_of(1), (prefix_of(1),), mobility=False)])), EPOCH)
        assert attach(gateway) == []
        assert gateway.solicited(CN_LINK, EPOCH) == []

    def test_advertisements_are_repeated_long_before_they_end(self) -> None:
        gateway = serving("sd-pmip")
        assert ADVERTISEMENT_INTERVAL * 2 < ROUTER_LIFETIME
        assert timeouts(gateway, 1300) == [
            (600.0, Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)),
            (1200.0, Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)),
        ]

    def test_stop_withdraws_everything(self) -> None:
        gateway = routed()
        gateway.packet_for(hoa_of(3), packet(CN, hoa_of(3)), EPOCH)
        actions = gateway.stop(EPOCH + 1)
        assert actions[:4] == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            RemoveRoute(prefix_of(2)),
            Drop((packet(CN, hoa_of(3)),), DropReason.STOPPED),
        ]
        assert request_of(actions).lifetime == 0


class TestSequenceNumbers:
    """RFC 5213, 5.5: sequence numbers keep PBUs in order."""

    def test_updates_carry_no_timestamp_and_count_for_each_session(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        first, other = request_of(attach(gateway)), request_of(attach(gateway, 2))
        repeats = [request_of([action]) for _, action in timeouts(gateway, 1)]
        assert {message.timestamp for message in (first, other, *repeats)} == {None}
        assert [(message.mn_id, message.sequence) for message in (first, other, *repeats)] == [
            (mn_id_of(1), 0),
            (mn_id_of(2), 1),
            (mn_id_of(1), 1),
            (mn_id_of(2), 2),
        ]

    def test_a_sequence_number_of_two_sessions_is_told_apart_by_its_node(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        attach(gateway)
        other = request_of(attach(gateway, 2))
        gateway.timeout(EPOCH + 1)
        gateway.receive(acknowledge(other), LMA, EPOCH + 1)
        assert [attachment.mn_id for attachment in gateway.attachments if attachment.served] == [mn_id_of(2)]

    def test_out_of_window_goes_on_from_the_anchors_number(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        request = request_of(attach(gateway))
        refusal = acknowledge(request, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=0xFFFF)
        assert [request_of(gateway.receive(replace(refusal, sequence=last), LMA, EPOCH)).sequence for last in (700, 0xFFFF)] == [701, 0]
        accepted = acknowledge(request, sequence=0)
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(accepted, LMA, EPOCH)
        assert request_of(gateway.timeout(EPOCH + 225)).sequence == 1

    def test_an_anchor_that_names_the_node_only_is_understood_where_one_session_waits(self) -> None:
        """RFC 5213, 6.9.1.2 (5): a restarted MAG would be out of service for a lifetime."""
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        request, _ = request_of(attach(gateway)), attach(gateway, 2)
        refusal = acknowledge(request, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=700, link_layer_identifier=None)
        assert request_of(gateway.receive(refusal, LMA, EPOCH)).sequence == 701

    def test_with_timestamps_it_is_a_refusal_like_others(self) -> None:
        gateway = mag("pmip")
        assert gateway.receive(acknowledge(request_of(attach(gateway)), Status.SEQUENCE_NUMBER_OUT_OF_WINDOW), LMA, EPOCH) == []
        assert gateway.next_timeout is None

    def test_a_node_that_comes_back_soon_goes_on_counting(self) -> None:
        gateway = serving("pmip", message_order=MessageOrder.SEQUENCE)
        left = request_of(gateway.detached(CN_LINK, EPOCH + 0.1))
        assert request_of(attach(gateway, now=EPOCH + 0.2)).sequence == left.sequence + 1

    def test_a_session_begins_above_the_last_number_that_was_sent_for_the_one_before(self) -> None:
        """The LMA may still have that one, be it de-registered; without it, numbers are the agent's own again."""
        gateway = serving("pmip", message_order=MessageOrder.SEQUENCE)
        for _, action in timeouts(gateway, 2):
            gateway.receive(acknowledge(request_of([action])), LMA, EPOCH + 2)
        left = request_of(gateway.detached(CN_LINK, EPOCH + 230))
        gateway.receive(acknowledge(left, lifetime=0), LMA, EPOCH + 230.1)
        assert request_of(attach(gateway, now=EPOCH + 230.2)).sequence == left.sequence + 1
        left = request_of(gateway.detached(CN_LINK, EPOCH + 231))
        gateway.receive(acknowledge(left, lifetime=0), LMA, EPOCH + 231.1)
        while (when := gateway.next_timeout) is not None:
            gateway.timeout(when)
        assert when is None
        assert request_of(attach(gateway, now=EPOCH + 1000)).sequence < left.sequence


class TestNodeTimestamps:
    """RFC 5213, 5.5: MobileNodeGeneratedTimestampInUse."""

    def test_the_nodes_timestamp_grows_with_each_update(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.NODE_TIMESTAMP)
        first = request_of(attach(gateway, timestamp=77))
        assert [first.timestamp, *(request_of([action]).timestamp for _, action in timeouts(gateway, 3))] == [77, 78, 79]

    def test_a_node_that_makes_none_has_the_gateways(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.NODE_TIMESTAMP)
        assert request_of(attach(gateway)).timestamp == timestamp_from_seconds(EPOCH)

    def test_the_time_of_day_is_used_where_the_domain_says_so(self) -> None:
        assert request_of(attach(mag("pmip"), timestamp=77)).timestamp == timestamp_from_seconds(EPOCH)
