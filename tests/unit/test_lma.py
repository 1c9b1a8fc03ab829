"""The LMA alone: RFC 5213, section 5, and the LMA operations of the draft, 3.2.2."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from memory_network import EPOCH, config, hoa_of, link_layer_of, mn_id_of, prefix_of
from proxy_binding_updates import ALL_ZERO, MAG1, MAG2, MAG3, acknowledged, lma, status, update

from agents.actions import Action, Ignore, IgnoreReason, InstallRoute, Note, Notice, RemoveRoute, Send
from agents.config import Settings
from agents.lma import Lma
from agents.messages import (
    BindingError,
    Message,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    timestamp_from_seconds,
)
from agents.notifications import NOT_SUPPORTED_FOR
from agents.profiles import Profile, ProfileStore


def query(now: float, hoa: IPv6Address, lifetime: int = 2) -> ProxyBindingUpdate:
    return ProxyBindingUpdate(
        sequence=9, lifetime=lifetime, query=True, home_network_prefixes=(IPv6Network(hoa),), timestamp=timestamp_from_seconds(now)
    )


def test_a_prefix_that_is_named_twice_has_one_route() -> None:
    anchor = lma()
    actions = anchor.receive(update(EPOCH, home_network_prefixes=(prefix_of(1), prefix_of(1))), MAG1, EPOCH)
    assert [action for action in actions if isinstance(action, InstallRoute)] == [InstallRoute(prefix_of(1), MAG1)]
    assert anchor.timeout(EPOCH + 300) == [RemoveRoute(prefix_of(1))]


def test_a_new_binding_gets_a_route_and_an_acknowledgement() -> None:
    request = update(EPOCH)
    route, acknowledgement = lma().receive(request, MAG1, EPOCH)
    assert route == InstallRoute(prefix_of(1), MAG1)
    assert acknowledgement == Send(
        ProxyBindingAcknowledgement(
            status=0,
            sequence=7,
            lifetime=75,
            mn_id=mn_id_of(1),
            home_network_prefixes=(prefix_of(1),),
            handoff_indicator=4,
            access_technology=4,
            link_layer_identifier=link_layer_of(1),
            timestamp=request.timestamp,
        ),
        MAG1,
    )


def test_all_zero_asks_for_the_prefix_of_the_profile() -> None:
    anchor = lma()
    answer = acknowledged(anchor.receive(update(EPOCH, home_network_prefixes=(ALL_ZERO,)), MAG1, EPOCH))
    assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(1),))
    answer = acknowledged(anchor.receive(update(EPOCH + 1, home_network_prefixes=(ALL_ZERO,)), MAG2, EPOCH + 1))
    assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(1),))
    assert len(anchor.bindings) == 1


def test_a_refresh_extends_the_binding_and_keeps_the_route() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    actions = anchor.receive(update(EPOCH + 200, handoff_indicator=5), MAG1, EPOCH + 200)
    assert [type(action) for action in actions] == [Send]
    assert anchor.next_timeout == EPOCH + 500


def test_a_binding_lasts_no_longer_than_the_nodes_profile_allows() -> None:
    anchor = lma(lifetime=60.0)
    assert acknowledged(anchor.receive(update(EPOCH), MAG1, EPOCH)).lifetime == 15
    assert anchor.next_timeout == EPOCH + 60
    assert acknowledged(anchor.receive(update(EPOCH + 1, lifetime=2), MAG1, EPOCH + 1)).lifetime == 2
    assert acknowledged(anchor.receive(update(EPOCH, host=2), MAG1, EPOCH)).lifetime == 75


def test_a_handoff_repoints_the_route_at_once() -> None:
    anchor = lma("pmip")
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    actions = anchor.receive(update(EPOCH + 1), MAG2, EPOCH + 1)
    assert actions[0] == InstallRoute(prefix_of(1), MAG2)
    assert status(actions) is Status.ACCEPTED


def test_a_binding_that_is_not_refreshed_ends() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, lifetime=2), MAG1, EPOCH)
    assert anchor.next_timeout == EPOCH + 8
    assert anchor.timeout(EPOCH + 8) == [RemoveRoute(prefix_of(1))]
    assert anchor.bindings == ()
    assert anchor.next_timeout is None


def test_a_lifetime_is_no_longer_than_the_anchor_grants() -> None:
    assert acknowledged(lma().receive(update(EPOCH, lifetime=0xFFFF), MAG1, EPOCH)).lifetime == 75


def test_a_deregistered_binding_waits_before_it_is_deleted() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    removed, acknowledgement = anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    assert removed == RemoveRoute(prefix_of(1))
    assert acknowledged([acknowledgement]).lifetime == 0
    assert anchor.next_timeout == EPOCH + 11
    assert anchor.timeout(EPOCH + 11) == []
    assert anchor.bindings == ()


def test_a_deregistration_that_is_repeated_is_acknowledged_again_and_begins_the_wait_anew() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    again = anchor.receive(update(EPOCH + 2, lifetime=0), MAG1, EPOCH + 2)
    assert [type(action) for action in again] == [Send]
    assert status(again) is Status.ACCEPTED
    assert anchor.next_timeout == EPOCH + 12


def test_how_long_a_deregistered_binding_waits_is_a_setting() -> None:
    anchor = lma(settings=Settings(binding_delete_delay=3.0))
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    assert anchor.next_timeout == EPOCH + 4


def test_a_deregistered_binding_can_be_taken_up_again() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    actions = anchor.receive(update(EPOCH + 2), MAG1, EPOCH + 2)
    assert actions[0] == InstallRoute(prefix_of(1), MAG1)
    assert anchor.timeout(EPOCH + 11) == []
    assert len(anchor.bindings) == 1


def test_a_binding_that_is_taken_up_has_what_the_new_update_says_and_waits_no_longer() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    again = update(EPOCH + 2, sequence=21, access_technology=5, handoff_indicator=2)
    assert anchor.receive(again, MAG2, EPOCH + 2)[0] == InstallRoute(prefix_of(1), MAG2)
    (binding,) = anchor.bindings
    assert (binding.care_of, binding.sequence, binding.access_technology, binding.leaving) == (MAG2, 21, 5, False)
    assert binding.timestamp == again.timestamp
    assert anchor.next_timeout == EPOCH + 302


def test_a_late_deregistration_by_the_previous_mag_does_no_harm() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1), MAG2, EPOCH + 1)
    assert anchor.receive(update(EPOCH + 1.1, lifetime=0), MAG1, EPOCH + 1.1) == [Ignore(IgnoreReason.STALE, MAG1)]
    assert anchor.bindings[0].care_of == MAG2


def test_strangers_access_links_and_garbage_are_ignored() -> None:
    anchor = lma()
    stranger = IPv6Address("2001:db8::bad")
    assert anchor.receive(query(EPOCH, hoa_of(1)), stranger, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, stranger)]
    assert anchor.receive(update(EPOCH), MAG1, EPOCH, link="mn1-air") == [Ignore(IgnoreReason.FROM_ACCESS_LINK, MAG1)]
    assert anchor.malformed(MAG1, EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG1)]
    acknowledgement = ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=1)
    assert anchor.receive(acknowledgement, MAG1, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG1)]


def test_stop_withdraws_every_route() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH, host=2), MAG2, EPOCH)
    assert anchor.stop(EPOCH + 1) == [RemoveRoute(prefix_of(1)), RemoveRoute(prefix_of(2))]


def test_3_2_2_step_1_without_the_q_flag_it_is_an_update_with_it_a_query() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    question = query(EPOCH + 1, hoa_of(1))
    assert acknowledged(anchor.receive(question, MAG3, EPOCH + 1)).query
    assert anchor.bindings[0].care_of == MAG1
    assert not acknowledged(anchor.receive(replace(question, query=False), MAG3, EPOCH + 1)).query


def test_3_2_2_step_2_and_3_the_answer_names_the_care_of_address() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    question = query(EPOCH + 1, hoa_of(1))
    assert anchor.receive(question, MAG3, EPOCH + 1) == [
        Send(
            ProxyBindingAcknowledgement(
                status=0,
                sequence=9,
                lifetime=2,
                query=True,
                home_network_prefixes=(prefix_of(1),),
                timestamp=question.timestamp,
                alternate_care_of=MAG1,
            ),
            MAG3,
        )
    ]


def test_3_2_2_step_3_without_a_binding_the_answer_says_failure() -> None:
    answer = acknowledged(lma().receive(query(EPOCH, hoa_of(1)), MAG3, EPOCH))
    assert answer.query
    assert answer.status == Status.NOT_LMA_FOR_THIS_MOBILE_NODE
    assert answer.alternate_care_of is None


def test_an_answer_holds_no_longer_than_the_binding() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, lifetime=3), MAG1, EPOCH)
    assert acknowledged(anchor.receive(query(EPOCH, hoa_of(1), lifetime=100), MAG3, EPOCH)).lifetime == 3
    assert acknowledged(anchor.receive(query(EPOCH + 5, hoa_of(1), lifetime=100), MAG3, EPOCH + 5)).lifetime == 1


def _left() -> Lma:
    """An LMA whose node has left MAG 1; MAG 3 has asked for it twice, and the node's own MAG for another of its addresses."""
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
    for when in (2.0, 2.2):
        assert anchor.receive(query(EPOCH + when, hoa_of(1)), MAG3, EPOCH + when) == []
    assert anchor.receive(query(EPOCH + 3, prefix_of(1)[7]), MAG1, EPOCH + 3) == []
    return anchor


def test_a_query_for_a_node_that_has_left_is_answered_once_when_the_node_is_registered_anew() -> None:
    answers = [action for action in _left().receive(update(EPOCH + 4), MAG2, EPOCH + 4) if isinstance(action, Send)]
    assert [(answer.destination, acknowledged([answer]).query, acknowledged([answer]).alternate_care_of) for answer in answers] == [
        (MAG2, False, None),
        (MAG3, True, MAG2),
        (MAG1, True, MAG2),
    ]
    assert acknowledged([answers[1]]).timestamp == query(EPOCH + 2.2, hoa_of(1)).timestamp


def test_a_query_for_a_node_that_has_left_is_refused_when_its_binding_ends() -> None:
    anchor = _left()
    assert anchor.timeout(EPOCH + 10.9) == []
    refused = [(action.destination, status([action])) for action in anchor.timeout(EPOCH + 11) if isinstance(action, Send)]
    assert refused == [(MAG3, Status.NOT_LMA_FOR_THIS_MOBILE_NODE), (MAG1, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)]


def test_a_query_without_home_address_is_refused() -> None:
    empty = replace(query(EPOCH, hoa_of(1)), home_network_prefixes=())
    assert status(lma().receive(empty, MAG3, EPOCH)) is Status.MISSING_HOME_NETWORK_PREFIX_OPTION


def test_pmip_knows_no_queries() -> None:
    assert lma("pmip").receive(query(EPOCH, hoa_of(1)), MAG3, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG3)]


def notified(actions: list[Action]) -> list[tuple[IPv6Address, UpdateNotification]]:
    return [
        (action.destination, action.message)
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, UpdateNotification)
    ]


def asked_and_moved() -> tuple[Lma, list[Action]]:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(query(EPOCH + 1, hoa_of(1)), MAG3, EPOCH + 1)
    return anchor, anchor.receive(update(EPOCH + 2), MAG2, EPOCH + 2)


def test_notify_tells_who_asked_where_the_node_is_now() -> None:
    _, actions = asked_and_moved()
    ((destination, news),) = notified(actions)
    assert destination == MAG3
    assert news.acknowledge
    assert not news.retransmit
    assert news.notification_reason == 2
    assert (news.mn_id, news.home_network_prefixes, news.alternate_care_of) == (mn_id_of(1), (prefix_of(1),), MAG2)


def test_notify_repeats_until_acknowledged() -> None:
    anchor, actions = asked_and_moved()
    ((_, news),) = notified(actions)
    assert anchor.next_timeout == EPOCH + 3
    assert notified(anchor.timeout(EPOCH + 3)) == [(MAG3, replace(news, retransmit=True))]
    acknowledgement = UpdateNotificationAcknowledgement(sequence=news.sequence, status=0)
    assert anchor.receive(acknowledgement, MAG1, EPOCH + 3) == [Ignore(IgnoreReason.UNMATCHED, MAG1)]
    assert anchor.receive(acknowledgement, MAG3, EPOCH + 3) == []
    assert anchor.receive(acknowledgement, MAG3, EPOCH + 3) == [Ignore(IgnoreReason.UNMATCHED, MAG3)]
    assert notified(anchor.timeout(EPOCH + 10)) == []


def test_notify_gives_up_after_its_tries() -> None:
    anchor, _ = asked_and_moved()
    times = []
    while (now := anchor.next_timeout) is not None and now < EPOCH + 100:
        times += [now - EPOCH for _ in notified(anchor.timeout(now))]
    assert times == [3.0]


def test_notify_says_that_it_has_given_up() -> None:
    anchor, _ = asked_and_moved()
    anchor.timeout(EPOCH + 3)
    assert anchor.timeout(EPOCH + 4) == [Note(Notice.NOT_ACKNOWLEDGED, MAG3, "UPN")]


@pytest.mark.parametrize("again", [0, 1, 5])
def test_how_often_and_how_soon_notify_repeats_are_settings(again: int) -> None:
    anchor = lma(settings=Settings(update_tries=again + 1, update_timeout=0.5))
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(query(EPOCH + 1, hoa_of(1)), MAG3, EPOCH + 1)
    anchor.receive(update(EPOCH + 2), MAG2, EPOCH + 2)
    times = []
    while (now := anchor.next_timeout) is not None and now < EPOCH + 100:
        times += [now - EPOCH for _ in notified(anchor.timeout(now))]
    assert times == [2.5 + 0.5 * number for number in range(again)]


def test_a_notification_that_failed_is_noted_and_not_repeated() -> None:
    anchor, actions = asked_and_moved()
    ((_, news),) = notified(actions)
    failure = UpdateNotificationAcknowledgement(sequence=news.sequence, status=128)
    assert anchor.receive(failure, MAG3, EPOCH + 2.1) == [Note(Notice.REFUSED, MAG3, "UPN")]
    assert notified(anchor.timeout(EPOCH + 10)) == []


UNKNOWN_TYPE = BindingError(status=2, home_address=IPv6Address("::"))


def test_who_knows_no_notifications_gets_no_more_for_a_while() -> None:
    anchor, _ = asked_and_moved()
    assert anchor.receive(UNKNOWN_TYPE, MAG2, EPOCH + 2.1) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]
    assert anchor.receive(UNKNOWN_TYPE, MAG3, EPOCH + 2.1) == [Note(Notice.NOT_SUPPORTED, MAG3, "UPN")]
    assert notified(anchor.timeout(EPOCH + 10)) == []
    anchor.receive(query(EPOCH + 11, hoa_of(1)), MAG3, EPOCH + 11)
    assert notified(anchor.receive(update(EPOCH + 12), MAG1, EPOCH + 12)) == []
    later = EPOCH + 2.1 + NOT_SUPPORTED_FOR
    anchor.receive(query(later, hoa_of(1)), MAG3, later)
    assert [mag for mag, _ in notified(anchor.receive(update(later + 1), MAG2, later + 1))] == [MAG3]


def test_who_has_acknowledged_a_notification_knows_them() -> None:
    anchor, actions = asked_and_moved()
    ((_, news),) = notified(actions)
    anchor.receive(UpdateNotificationAcknowledgement(sequence=news.sequence, status=0), MAG3, EPOCH + 2.1)
    anchor.receive(query(EPOCH + 3, hoa_of(1)), MAG3, EPOCH + 3)
    assert notified(anchor.receive(update(EPOCH + 4), MAG1, EPOCH + 4))
    assert anchor.receive(UNKNOWN_TYPE, MAG3, EPOCH + 4.1) == [Ignore(IgnoreReason.UNEXPECTED, MAG3)]
    assert notified(anchor.timeout(EPOCH + 5))


def test_notify_forgets_who_asked_when_the_answer_ends() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(query(EPOCH + 1, hoa_of(1)), MAG3, EPOCH + 1)
    assert notified(anchor.receive(update(EPOCH + 9), MAG2, EPOCH + 9)) == []


def test_notify_does_not_tell_the_mag_to_which_the_node_moved() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(query(EPOCH + 1, hoa_of(1)), MAG3, EPOCH + 1)
    assert notified(anchor.receive(update(EPOCH + 2), MAG3, EPOCH + 2)) == []


def test_a_second_move_replaces_the_first_ones_notification() -> None:
    anchor, actions = asked_and_moved()
    ((_, first),) = notified(actions)
    ((_, second),) = notified(anchor.receive(update(EPOCH + 2.5), MAG1, EPOCH + 2.5))
    assert second.sequence != first.sequence
    assert [news.sequence for _, news in notified(anchor.timeout(EPOCH + 3.5))] == [second.sequence]


@pytest.mark.parametrize("policy", ["expire", "error"])
def test_other_policies_do_not_notify(policy: str) -> None:
    anchor = lma(policy=policy)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    anchor.receive(query(EPOCH + 1, hoa_of(1)), MAG3, EPOCH + 1)
    assert notified(anchor.receive(update(EPOCH + 2), MAG2, EPOCH + 2)) == []
    stray: Message = UpdateNotificationAcknowledgement(sequence=0, status=0)
    assert anchor.receive(stray, MAG3, EPOCH + 2) == [Ignore(IgnoreReason.UNEXPECTED, MAG3)]


def test_twenty_thousand_bindings_cost_no_more_each_than_a_few() -> None:
    told = config("s-pmip", None, None)
    prefixes = [IPv6Network((int(IPv6Address("2001:db8:100::")) + (number << 64), 64)) for number in range(20_000)]
    profiles = ProfileStore(Profile(f"mn{number}", (prefix,)) for number, prefix in enumerate(prefixes))
    anchor = Lma(replace(told, profiles=profiles), EPOCH)
    for number, prefix in enumerate(prefixes):
        request = update(EPOCH, mn_id=f"mn{number}", home_network_prefixes=(prefix,), lifetime=75)
        anchor.receive(request, MAG1, EPOCH)
    assert anchor.next_timeout == EPOCH + 300
    answer = acknowledged(anchor.receive(query(EPOCH + 1, prefixes[17_777][5]), MAG3, EPOCH + 1))
    assert (answer.home_network_prefixes, answer.alternate_care_of) == ((prefixes[17_777],), MAG1)
    assert len(anchor.timeout(EPOCH + 300)) == 20_000
