"""Which session a PBU updates, when it begins a new one and when it waits (RFC 5213, 5.4.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

import pytest
from memory_network import EPOCH, link_layer_of, prefix_of
from proxy_binding_updates import ALL_ZERO, MAG1, MAG2, MAG3, acknowledged, lma, status, update

from agents.actions import Action, Ignore, IgnoreReason, InstallRoute, RemoveRoute
from agents.config import Settings
from agents.lma import Lma
from agents.messages import Status

NEW, BETWEEN_INTERFACES, BETWEEN_MAGS, UNKNOWN, NOT_CHANGED = range(1, 6)
INDICATORS = (NEW, BETWEEN_INTERFACES, BETWEEN_MAGS, UNKNOWN, NOT_CHANGED)
OWN = (prefix_of(1), prefix_of(98), prefix_of(99))
OTHER = b"other!"
ASK: dict[str, Any] = {"home_network_prefixes": (ALL_ZERO,)}


def anchor_of_three_prefixes(**settings: Any) -> Lma:
    """An LMA whose host 1 may have three prefixes, one for each interface."""
    return lma(settings=Settings(**settings), home_network_prefixes=OWN, session_prefixes=1)


def registered(**changes: Any) -> Lma:
    anchor = anchor_of_three_prefixes()
    assert status(anchor.receive(update(EPOCH, **changes), MAG1, EPOCH)) is Status.ACCEPTED
    return anchor


def outcome(anchor: Lma, mag: IPv6Address, **changes: Any) -> str | Status:
    """What a PBU does a second later: update the one session, begin another, wait, or why it is refused."""
    before = len(anchor.bindings)
    actions = anchor.receive(update(EPOCH + 1, **changes), mag, EPOCH + 1)
    if not actions:
        return "waits"
    if status(actions) is not Status.ACCEPTED:
        return status(actions)
    return "updates" if len(anchor.bindings) == before else "begins"


@pytest.mark.parametrize("handoff", INDICATORS)
@pytest.mark.parametrize(
    ("before", "mag", "changes", "updating"),
    [
        ({}, MAG2, {}, INDICATORS),
        ({}, MAG2, {"link_layer_identifier": OTHER}, (BETWEEN_INTERFACES,)),
        ({}, MAG2, {"access_technology": 5}, (BETWEEN_INTERFACES,)),
        ({}, MAG2, {"link_layer_identifier": None}, (BETWEEN_INTERFACES,)),
        ({"link_layer_identifier": None}, MAG2, {"link_layer_identifier": None}, (BETWEEN_INTERFACES, BETWEEN_MAGS)),
        ({"link_layer_identifier": None}, MAG2, {"link_layer_identifier": None, "access_technology": 5}, (BETWEEN_INTERFACES,)),
        ({"link_layer_identifier": None}, MAG2, {}, (BETWEEN_INTERFACES,)),
        ({}, MAG1, {"link_layer_identifier": OTHER}, INDICATORS),
        ({}, MAG3, {"link_layer_identifier": OTHER, "alternate_care_of": MAG1}, INDICATORS),
        ({}, MAG1, {"link_layer_identifier": OTHER, "alternate_care_of": MAG2}, (BETWEEN_INTERFACES,)),
        ({}, MAG1, {"access_technology": 5}, (BETWEEN_INTERFACES,)),
    ],
)
def test_a_named_prefix_finds_its_session(
    before: dict[str, Any], mag: IPv6Address, changes: dict[str, Any], updating: tuple[int, ...], handoff: int
) -> None:
    """Where it is for another interface (5.4.1.1, 6) it asks for a new session, whose prefix is taken (5.2)."""
    expected = "updates" if handoff in updating else Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert outcome(registered(**before), mag, handoff_indicator=handoff, **changes) == expected


@pytest.mark.parametrize("handoff", INDICATORS)
def test_a_named_prefix_without_a_session_begins_one(handoff: int) -> None:
    free = {"home_network_prefixes": (prefix_of(98),)}
    assert outcome(registered(), MAG2, handoff_indicator=handoff, **free) == "begins"


@pytest.mark.parametrize("lifetime", [75, 0])
@pytest.mark.parametrize("handoff", INDICATORS)
def test_a_prefix_of_another_node_is_refused(handoff: int, lifetime: int) -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, host=2), MAG1, EPOCH)
    other = update(EPOCH + 1, lifetime=lifetime, home_network_prefixes=(prefix_of(2),), handoff_indicator=handoff)
    assert status(anchor.receive(other, MAG1, EPOCH + 1)) is Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert not anchor.bindings[0].leaving


@pytest.mark.parametrize("lifetime", [75, 0])
@pytest.mark.parametrize(
    "prefixes",
    [
        (prefix_of(1),),
        (prefix_of(1), prefix_of(99)),
        (prefix_of(1), prefix_of(98), prefix_of(99)),
        (prefix_of(1), prefix_of(1)),
        (prefix_of(1), ALL_ZERO),
        (prefix_of(1), prefix_of(98), ALL_ZERO),
    ],
)
def test_other_prefixes_than_those_of_the_session_are_refused(prefixes: tuple[Any, ...], lifetime: int) -> None:
    anchor = registered(home_network_prefixes=(prefix_of(1), prefix_of(98)))
    changes = {"home_network_prefixes": prefixes, "lifetime": lifetime}
    assert outcome(anchor, MAG1, **changes) is Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH


def test_all_prefixes_of_a_session_in_any_order_are_its_own() -> None:
    anchor = registered(home_network_prefixes=(prefix_of(1), prefix_of(98)))
    assert outcome(anchor, MAG1, home_network_prefixes=(prefix_of(98), prefix_of(1))) == "updates"


@pytest.mark.parametrize("handoff", INDICATORS)
@pytest.mark.parametrize(
    ("changes", "outcomes"),
    [
        ({}, dict.fromkeys(INDICATORS, "updates")),
        ({"link_layer_identifier": OTHER}, {BETWEEN_INTERFACES: "updates", UNKNOWN: "waits"}),
        ({"access_technology": 5}, {BETWEEN_INTERFACES: "updates", UNKNOWN: "waits"}),
        ({"link_layer_identifier": None}, {BETWEEN_INTERFACES: "updates", BETWEEN_MAGS: "updates", UNKNOWN: "waits"}),
    ],
)
def test_without_a_named_prefix_the_interface_finds_its_session_or_the_indicator_tells(
    changes: dict[str, Any], outcomes: dict[int, str], handoff: int
) -> None:
    assert outcome(registered(), MAG2, handoff_indicator=handoff, **ASK, **changes) == outcomes.get(handoff, "begins")


@pytest.mark.parametrize("handoff", INDICATORS)
@pytest.mark.parametrize("identifier", [None, b"third!"])
def test_of_several_sessions_no_indicator_tells_which(handoff: int, identifier: bytes | None) -> None:
    anchor = registered()
    second = update(EPOCH + 0.5, link_layer_identifier=OTHER, handoff_indicator=NEW, **ASK)
    assert status(anchor.receive(second, MAG2, EPOCH + 0.5)) is Status.ACCEPTED
    assert outcome(anchor, MAG3, handoff_indicator=handoff, link_layer_identifier=identifier, **ASK) == "begins"


@pytest.mark.parametrize("handoff", INDICATORS)
@pytest.mark.parametrize("identifier", [OTHER, None])
def test_a_node_without_a_session_gets_one(handoff: int, identifier: bytes | None) -> None:
    anchor = anchor_of_three_prefixes()
    assert outcome(anchor, MAG1, handoff_indicator=handoff, link_layer_identifier=identifier, **ASK) == "begins"


@pytest.mark.parametrize("handoff", INDICATORS)
@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"home_network_prefixes": (prefix_of(98),)}, ()),
        ({"link_layer_identifier": OTHER, "access_technology": 5}, (BETWEEN_INTERFACES,)),
        ({"link_layer_identifier": OTHER, **ASK}, (BETWEEN_INTERFACES,)),
        ({"link_layer_identifier": None, **ASK}, (BETWEEN_INTERFACES, BETWEEN_MAGS)),
    ],
)
def test_a_deregistration_that_is_for_no_session_is_silently_ignored(
    changes: dict[str, Any], finding: tuple[int, ...], handoff: int
) -> None:
    """So is one by a MAG that is not the session's (5.3.5, 1), for the other reason."""
    anchor = registered()
    gone = update(EPOCH + 1, lifetime=0, handoff_indicator=handoff, **changes)
    reason = IgnoreReason.STALE if handoff in finding else IgnoreReason.NOT_OURS
    assert anchor.receive(gone, MAG2, EPOCH + 1) == [Ignore(reason, MAG2)]
    assert not anchor.bindings[0].leaving
    assert anchor.next_timeout == EPOCH + 300


def test_a_deregistration_without_a_binding_is_ignored() -> None:
    assert lma().receive(update(EPOCH, lifetime=0), MAG1, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG1)]


@pytest.mark.parametrize("handoff", [BETWEEN_INTERFACES, BETWEEN_MAGS, UNKNOWN])
def test_a_session_that_is_to_be_deleted_is_taken_up_by_its_interface_only(handoff: int) -> None:
    """That it waits to be deleted hands its prefixes to no other interface (5.4.1.1)."""
    anchor = registered()
    anchor.receive(update(EPOCH + 0.5, lifetime=0), MAG1, EPOCH + 0.5)
    expected = "updates" if handoff == BETWEEN_INTERFACES else Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert outcome(anchor, MAG2, handoff_indicator=handoff, link_layer_identifier=OTHER) == expected
    assert outcome(anchor, MAG3, handoff_indicator=UNKNOWN, link_layer_identifier=OTHER, access_technology=5) != "updates"


def test_two_interfaces_of_a_node_have_two_sessions_each_with_its_own_lifetime() -> None:
    anchor = registered()
    second = update(EPOCH + 1, link_layer_identifier=OTHER, handoff_indicator=NEW, lifetime=10, **ASK)
    answer = acknowledged(anchor.receive(second, MAG2, EPOCH + 1))
    assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(98),))
    assert [(binding.care_of, binding.prefixes) for binding in anchor.bindings] == [(MAG1, (prefix_of(1),)), (MAG2, (prefix_of(98),))]
    assert anchor.timeout(EPOCH + 41) == [RemoveRoute(prefix_of(98))]
    assert [binding.care_of for binding in anchor.bindings] == [MAG1]


def test_two_interfaces_at_one_mag_are_refreshed_apart() -> None:
    anchor = registered()
    second = update(EPOCH + 1, link_layer_identifier=OTHER, access_technology=5, handoff_indicator=NEW, **ASK)
    anchor.receive(second, MAG1, EPOCH + 1)
    for now, technology, prefix in ((EPOCH + 2, 4, prefix_of(1)), (EPOCH + 3, 5, prefix_of(98))):
        identifier = OTHER if technology == 5 else link_layer_of(1)
        again: dict[str, Any] = {"link_layer_identifier": identifier, "access_technology": technology, "handoff_indicator": NOT_CHANGED}
        answer = acknowledged(anchor.receive(update(now, **ASK, **again), MAG1, now))
        assert (answer.status, answer.home_network_prefixes) == (0, (prefix,))
    assert [binding.expires for binding in anchor.bindings] == [EPOCH + 302, EPOCH + 303]


def test_a_session_with_all_its_prefixes_goes_from_one_interface_to_another() -> None:
    anchor = lma(home_network_prefixes=OWN[:2])
    anchor.receive(update(EPOCH, **ASK), MAG1, EPOCH)
    handed = update(EPOCH + 1, link_layer_identifier=OTHER, access_technology=5, handoff_indicator=BETWEEN_INTERFACES, **ASK)
    actions = anchor.receive(handed, MAG2, EPOCH + 1)
    assert actions[:2] == [InstallRoute(prefix, MAG2) for prefix in OWN[:2]]
    (binding,) = anchor.bindings
    assert (binding.prefixes, binding.link_layer_identifier, binding.access_technology) == (OWN[:2], OTHER, 5)


def test_all_zero_over_a_second_interface_finds_no_free_prefix() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    second = update(EPOCH + 1, link_layer_identifier=OTHER, handoff_indicator=NEW, **ASK)
    assert status(anchor.receive(second, MAG2, EPOCH + 1)) is Status.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize("named", [prefix_of(98), prefix_of(2)])
def test_one_all_zero_among_named_prefixes_leaves_the_choice_to_the_anchor(named: Any) -> None:
    anchor = anchor_of_three_prefixes()
    answer = acknowledged(anchor.receive(update(EPOCH, home_network_prefixes=(named, ALL_ZERO)), MAG1, EPOCH))
    assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(1),))


def test_a_prefix_named_twice_is_given_once() -> None:
    actions = anchor_of_three_prefixes().receive(update(EPOCH, home_network_prefixes=(prefix_of(1),) * 2), MAG1, EPOCH)
    assert actions[0] == InstallRoute(prefix_of(1), MAG1)
    assert acknowledged(actions).home_network_prefixes == (prefix_of(1),)


def test_an_interface_without_identifier_has_two_octets_of_zero() -> None:
    anchor = registered(link_layer_identifier=None)
    assert anchor.bindings[0].link_layer_identifier == bytes(2)


def waiting(at: float = 1.0, mag: IPv6Address = MAG2, **settings: float) -> Lma:
    """An LMA that knows host 1 at MAG 1, and at which ``mag`` has asked for a session without knowing of the other."""
    anchor = anchor_of_three_prefixes(**settings)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    assert ask(anchor, at, mag) == []
    return anchor


def ask(anchor: Lma, at: float, mag: IPv6Address, **changes: Any) -> list[Action]:
    request = {**ASK, "link_layer_identifier": OTHER, "handoff_indicator": UNKNOWN, **changes}
    return anchor.receive(update(EPOCH + at, **request), mag, EPOCH + at)


def leave(anchor: Lma, at: float, mag: IPv6Address = MAG1, sent: float | None = None) -> list[Action]:
    gone = update(EPOCH + (at if sent is None else sent), lifetime=0)
    return anchor.receive(gone, mag, EPOCH + at)


@pytest.mark.parametrize("sent", [1.9, 0.9], ids=["sent later", "sent before and overtaken"])
def test_a_deregistration_lets_the_update_that_waits_take_the_session(sent: float) -> None:
    anchor = waiting(at=1.0)
    actions = leave(anchor, 1.1 if sent < 1 else sent, sent=sent)
    assert actions[0] == RemoveRoute(prefix_of(1))
    assert actions[2] == InstallRoute(prefix_of(1), MAG2)
    gone, come = (action for action in actions if action not in (actions[0], actions[2]))
    assert acknowledged([gone]).lifetime == 0
    assert (acknowledged([come]).status, acknowledged([come]).home_network_prefixes) == (0, (prefix_of(1),))
    (binding,) = anchor.bindings
    assert (binding.care_of, binding.link_layer_identifier, binding.leaving) == (MAG2, OTHER, False)
    assert anchor.timeout(EPOCH + 20) == []


@pytest.mark.parametrize("delay", [1.5, 0.4])
def test_without_a_deregistration_the_update_that_waits_begins_a_session(delay: float) -> None:
    anchor = waiting(binding_assign_delay=delay)
    assert anchor.next_timeout == EPOCH + 1 + delay
    actions = anchor.timeout(EPOCH + 1 + delay)
    assert actions[0] == InstallRoute(prefix_of(98), MAG2)
    assert acknowledged(actions).home_network_prefixes == (prefix_of(98),)
    assert [binding.care_of for binding in anchor.bindings] == [MAG1, MAG2]
    assert anchor.next_timeout == EPOCH + 300


def test_without_a_free_prefix_the_update_that_waited_is_refused() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    assert ask(anchor, 1, MAG2) == []
    assert status(anchor.timeout(EPOCH + 2.5)) is Status.INSUFFICIENT_RESOURCES


def test_an_anchor_can_be_told_not_to_wait() -> None:
    anchor = anchor_of_three_prefixes(binding_assign_delay=0.0)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    assert acknowledged(ask(anchor, 1, MAG2)).home_network_prefixes == (prefix_of(98),)


@pytest.mark.parametrize("identifier", [OTHER, None])
def test_a_session_that_was_deregistered_before_is_taken_at_once(identifier: bytes | None) -> None:
    anchor = anchor_of_three_prefixes()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    leave(anchor, 0.5)
    assert ask(anchor, 1, MAG2, link_layer_identifier=identifier)[0] == InstallRoute(prefix_of(1), MAG2)
    assert len(anchor.bindings) == 1


def test_an_update_that_is_repeated_while_it_waits_waits_no_longer_and_is_answered_once() -> None:
    anchor = waiting(at=1.0)
    assert ask(anchor, 2.0, MAG2, sequence=8) == []
    answer = acknowledged(anchor.timeout(EPOCH + 2.5))
    assert (answer.sequence, answer.status) == (8, Status.ACCEPTED)
    assert anchor.next_timeout == EPOCH + 300


def test_a_node_that_goes_on_to_another_mag_while_its_update_waits_is_registered_there() -> None:
    anchor = waiting(at=1.0, mag=MAG2)
    assert ask(anchor, 1.3, MAG3) == []
    overtaken = update(EPOCH + 1.2, link_layer_identifier=OTHER, **ASK)
    assert anchor.receive(overtaken, MAG2, EPOCH + 1.4) == [Ignore(IgnoreReason.STALE, MAG2)]
    leave(anchor, 1.5)
    assert [binding.care_of for binding in anchor.bindings] == [MAG3]


def test_a_node_that_leaves_while_its_update_waits_gets_no_session() -> None:
    anchor = waiting()
    assert ask(anchor, 1.2, MAG2, lifetime=0) == [Ignore(IgnoreReason.NOT_OURS, MAG2)]
    assert anchor.next_timeout == EPOCH + 300
    assert len(leave(anchor, 1.3)) == 2


def test_an_update_that_says_more_than_the_one_that_waits_replaces_it() -> None:
    anchor = waiting()
    assert status(ask(anchor, 1.2, MAG2, handoff_indicator=BETWEEN_INTERFACES)) is Status.ACCEPTED
    assert [binding.care_of for binding in anchor.bindings] == [MAG2]
    assert anchor.next_timeout == EPOCH + 301.2


def test_the_refresh_of_a_session_does_not_touch_the_update_that_waits_for_it() -> None:
    anchor = anchor_of_three_prefixes()
    anchor.receive(update(EPOCH, link_layer_identifier=None), MAG1, EPOCH)
    assert ask(anchor, 1, MAG2, link_layer_identifier=None) == []
    refresh = update(EPOCH + 1.1, link_layer_identifier=None, handoff_indicator=NOT_CHANGED)
    assert status(anchor.receive(refresh, MAG1, EPOCH + 1.1)) is Status.ACCEPTED
    assert anchor.next_timeout == EPOCH + 2.5


def test_a_session_that_expires_lets_the_update_that_waits_begin_another() -> None:
    anchor = anchor_of_three_prefixes()
    anchor.receive(update(EPOCH, lifetime=1), MAG1, EPOCH)
    assert ask(anchor, 3, MAG2) == []
    assert anchor.timeout(EPOCH + 4)[:2] == [RemoveRoute(prefix_of(1)), InstallRoute(prefix_of(1), MAG2)]
    assert anchor.next_timeout == EPOCH + 304


def test_of_two_updates_that_wait_the_first_takes_the_session() -> None:
    anchor = waiting(at=1.0, mag=MAG2)
    assert ask(anchor, 1.2, MAG3, link_layer_identifier=b"third!") == []
    leave(anchor, 1.3)
    assert [binding.care_of for binding in anchor.bindings] == [MAG2]
    assert anchor.next_timeout == EPOCH + 2.7
    assert acknowledged(anchor.timeout(EPOCH + 2.7)).home_network_prefixes == (prefix_of(98),)
