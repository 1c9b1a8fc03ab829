"""The handover policy notify at a MAG: update notifications (RFC 7077) that name another care-of address, and those that it sends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from lone_mag import CN, CN_LINK, MN, P1, P2, answer, attach, mag, request_of, routed, serving, timeouts
from memory_network import EPOCH, GROUP, LMA, mn_id_of, packet, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2, MAG3

from agents.actions import Ignore, IgnoreReason, InstallRoute, Release, RemoveRoute, Send
from agents.messages import ProxyBindingUpdate, UpdateNotification, UpdateNotificationAcknowledgement, timestamp_from_seconds
from agents.schemes import SCHEMES


def notification(prefix: IPv6Network, care_of: IPv6Address | None, now: float, **changes: Any) -> UpdateNotification:
    news = UpdateNotification(
        sequence=11,
        notification_reason=2,
        mn_id=mn_id_of(2),
        home_network_prefixes=(prefix,),
        timestamp=timestamp_from_seconds(now),
        alternate_care_of=care_of,
    )
    return replace(news, **changes)


class TestNotify:
    def test_s_pmip_repoints_its_route_and_acknowledges(self) -> None:
        gateway = routed("s-pmip", "notify")
        news = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True)
        acknowledgement = Send(
            UpdateNotificationAcknowledgement(sequence=11, status=0, mn_id=mn_id_of(2), home_network_prefixes=(prefix_of(2),)), LMA
        )
        assert gateway.receive(news, LMA, EPOCH + 1) == [InstallRoute(prefix_of(2), MAG3), acknowledgement]
        assert gateway.receive(replace(news, retransmit=True), LMA, EPOCH + 2) == [acknowledgement]
        assert gateway.timeout(EPOCH + 7) == [RemoveRoute(prefix_of(2))]

    def test_s_pmip_hears_the_lma_only(self) -> None:
        gateway = routed("s-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG3)]

    def test_sd_pmip_hears_the_new_mag_only(self) -> None:
        gateway = routed("sd-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG2, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1) == [InstallRoute(prefix_of(2), MAG3)]

    def test_older_news_do_not_change_a_newer_route(self) -> None:
        gateway = routed("sd-pmip", "notify")
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 2), MAG3, EPOCH + 2)
        old = notification(prefix_of(2), MAG2, EPOCH + 1)
        assert gateway.receive(old, MAG2, EPOCH + 2.1) == [Ignore(IgnoreReason.STALE, MAG2)]

    @pytest.mark.parametrize("off", [-0.3, -0.2, 0.2, 0.3])
    def test_whose_clock_is_ahead_makes_no_difference(self, off: float) -> None:
        """A query, then a move, as seen by a MAG whose clock is off: the anchor's news carry the anchor's time."""
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH + off))
        gateway.receive(answer(question), LMA, EPOCH + off + 0.05)
        actions = gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 0.1), LMA, EPOCH + off + 0.1)
        assert actions == [InstallRoute(prefix_of(2), MAG3)]

    @pytest.mark.parametrize("off", [-0.29, 0.29])
    def test_where_there_is_no_anchor_the_next_mag_is_believed_whatever_its_clock_says(self, off: float) -> None:
        gateway = routed("sd-pmip", "notify")
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1)
        news = notification(prefix_of(2), MAG2, EPOCH + 1.01 + off)
        assert gateway.receive(news, MAG2, EPOCH + 1.01) == [InstallRoute(prefix_of(2), MAG2)]
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1.02) == [Ignore(IgnoreReason.STALE, MAG3)]

    def test_news_of_another_kind_or_without_care_of_change_nothing(self) -> None:
        gateway = routed("s-pmip", "notify")
        for news in (notification(prefix_of(2), MAG3, EPOCH, notification_reason=4), notification(prefix_of(2), None, EPOCH)):
            assert gateway.receive(news, LMA, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, LMA)]

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"notification_reason": 0}, 128),
            ({"notification_reason": 3}, 129),
            ({"notification_reason": 4}, 128),
            ({"notification_reason": 255}, 128),
            ({"alternate_care_of": None}, 128),
            ({"alternate_care_of": MAG1}, 128),
            ({"alternate_care_of": LMA}, 128),
            ({"mn_id": None}, 128),
            ({"mn_id": mn_id_of(3)}, 128),
            ({"mn_id": "nobody@dmm.example"}, 128),
            ({"home_network_prefixes": ()}, 128),
        ],
    )
    def test_news_that_cannot_be_applied_are_acknowledged_as_failed_or_dropped(self, changes: dict[str, Any], code: int) -> None:
        gateway = routed("s-pmip", "notify")
        news = replace(notification(prefix_of(2), MAG3, EPOCH + 1), **changes)
        ignored = Ignore(IgnoreReason.UNEXPECTED, LMA)
        assert gateway.receive(news, LMA, EPOCH + 1) == [ignored]
        failure = UpdateNotificationAcknowledgement(
            sequence=11, status=code, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
        )
        for _ in range(2):
            assert gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 1) == [ignored, Send(failure, LMA)]
        assert gateway.packet_for(MN, P2, EPOCH + 1) == [Release((P2,), MAG2)]

    def test_a_repetition_whose_first_was_lost_counts_as_the_first(self) -> None:
        gateway = routed("s-pmip", "notify")
        news = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True, retransmit=True)
        first, second = gateway.receive(news, LMA, EPOCH + 2)
        assert first == InstallRoute(prefix_of(2), MAG3)
        (acknowledgement,) = sent([second])
        assert isinstance(acknowledgement, UpdateNotificationAcknowledgement)
        assert acknowledgement.sequence == 11

    def test_a_repetition_undoes_no_later_news_and_is_acknowledged(self) -> None:
        gateway = routed("s-pmip", "notify")
        old = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True)
        gateway.receive(old, LMA, EPOCH + 1)
        gateway.receive(notification(prefix_of(2), MAG2, EPOCH + 2, sequence=12), LMA, EPOCH + 2)
        ignored, acknowledged = gateway.receive(replace(old, retransmit=True), LMA, EPOCH + 2.1)
        assert ignored == Ignore(IgnoreReason.STALE, LMA)
        (acknowledgement,) = sent([acknowledged])
        assert isinstance(acknowledgement, UpdateNotificationAcknowledgement)
        assert acknowledgement.status == 0
        assert gateway.packet_for(MN, P2, EPOCH + 3) == [Release((P2,), MAG2)]

    @pytest.mark.parametrize("policy", SCHEMES["s-pmip"].policies)
    @pytest.mark.parametrize("retransmit", [False, True])
    def test_the_anchor_may_want_a_node_registered_anew(self, policy: str, retransmit: bool) -> None:
        gateway = serving("s-pmip", policy)
        news = UpdateNotification(sequence=11, notification_reason=1, mn_id=mn_id_of(1), retransmit=retransmit)
        (request,) = sent(gateway.receive(news, LMA, EPOCH + 1))
        assert isinstance(request, ProxyBindingUpdate)
        assert (request.mn_id, request.home_network_prefixes, request.handoff_indicator) == (mn_id_of(1), (prefix_of(1),), 5)
        again, acknowledgement = sent(gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 2))
        assert isinstance(again, ProxyBindingUpdate)
        assert acknowledgement == UpdateNotificationAcknowledgement(sequence=11, status=0, mn_id=mn_id_of(1))

    def test_but_not_one_that_is_not_here_nor_may_another(self) -> None:
        gateway = serving("s-pmip", "notify")
        news = UpdateNotification(sequence=11, notification_reason=1, mn_id=mn_id_of(2))
        ignored = Ignore(IgnoreReason.NOT_OURS, LMA)
        failure = UpdateNotificationAcknowledgement(sequence=11, status=128, mn_id=mn_id_of(2))
        assert gateway.receive(news, LMA, EPOCH + 1) == [ignored]
        assert gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 1) == [ignored, Send(failure, LMA)]
        assert gateway.receive(replace(news, mn_id=mn_id_of(1)), MAG2, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]

    def test_news_that_name_this_mag_change_nothing(self) -> None:
        gateway = routed("s-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG1, EPOCH + 1), LMA, EPOCH + 1) == [Ignore(IgnoreReason.UNEXPECTED, LMA)]

    def test_news_of_no_interest_are_acknowledged(self) -> None:
        gateway = serving("s-pmip", "notify")
        actions = gateway.receive(notification(prefix_of(2), MAG3, EPOCH, acknowledge=True), LMA, EPOCH)
        assert [type(message) for message in sent(actions)] == [UpdateNotificationAcknowledgement]
        assert len(actions) == 1

    def test_news_let_waiting_packets_go_and_the_query_goes_on(self) -> None:
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(answer(question, MAG1), LMA, EPOCH + 0.05)
        news = notification(prefix_of(2), MAG3, EPOCH + 0.1)
        assert gateway.receive(news, LMA, EPOCH + 0.1) == [Release((P1,), MAG3), InstallRoute(prefix_of(2), MAG3)]
        assert request_of(gateway.timeout(EPOCH + 0.2)).sequence == question.sequence
        assert gateway.receive(answer(question, MAG3), LMA, EPOCH + 0.25) == []

    def test_an_answer_older_than_the_news_does_not_undo_them(self) -> None:
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 0.1), LMA, EPOCH + 0.1)
        assert gateway.receive(answer(question, MAG2), LMA, EPOCH + 0.11) == [Ignore(IgnoreReason.STALE, LMA)]
        assert gateway.packet_for(MN, P2, EPOCH + 0.2) == [Release((P2,), MAG3)]

    def test_sd_pmip_tells_the_group_three_times_where_the_node_is(self) -> None:
        gateway = mag("sd-pmip", "notify")
        first = [action for action in attach(gateway) if isinstance(action, Send)]
        repeats = [(time, action) for time, action in timeouts(gateway, 100) if isinstance(action, Send)]
        assert [time for time, _ in repeats] == [1.0, 2.0]
        for send in [*first, *(action for _, action in repeats)]:
            assert (send.destination, send.tunnelled) == (GROUP, True)
        (news,) = sent(first)
        assert isinstance(news, UpdateNotification)
        assert (news.home_network_prefixes, news.alternate_care_of, news.acknowledge) == ((prefix_of(1),), MAG1, False)
        assert sent(action for _, action in repeats) == [replace(news, retransmit=True)] * 2

    def test_sd_pmip_says_no_more_once_the_node_has_left(self) -> None:
        gateway = mag("sd-pmip", "notify")
        attach(gateway)
        gateway.detached(CN_LINK, EPOCH + 0.5)
        assert timeouts(gateway, 100) == []

    def test_news_from_elsewhere_do_not_take_an_attached_node_away(self) -> None:
        gateway = serving("sd-pmip", "notify")
        attach(gateway, 2)
        assert gateway.receive(notification(prefix_of(1), MAG3, EPOCH + 1, mn_id=mn_id_of(1)), MAG3, EPOCH + 1) == []
        assert gateway.packet_for(CN, packet(MN, CN), EPOCH + 1) == [Release((packet(MN, CN),), None)]
