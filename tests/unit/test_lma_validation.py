"""What the LMA refuses, with which status and in which order (RFC 5213, 5.3.1), and how it orders PBUs (5.5)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_network import EPOCH, LMA, config, mn_id_of, prefix_of
from proxy_binding_updates import ALL_ZERO, MAG1, MAG2, MAG3, acknowledged, lma, status, update

from agents.actions import Ignore, IgnoreReason, Send
from agents.config import MessageOrder, Settings
from agents.lma import Lma
from agents.messages import Status, timestamp_from_seconds
from agents.profiles import ProfileStore

STRANGER = IPv6Address("2001:db8::bad")
BY_SEQUENCE = Settings(message_order=MessageOrder.SEQUENCE)
BY_NODE = Settings(message_order=MessageOrder.NODE_TIMESTAMP)
words = st.integers(0, 0xFFFF)


@pytest.mark.parametrize("lifetime", [75, 0])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mn_id": None}, Status.MISSING_MN_IDENTIFIER_OPTION),
        ({"mn_id": "nobody@dmm.example"}, Status.NOT_LMA_FOR_THIS_MOBILE_NODE),
        ({"mn_id": ""}, Status.NOT_LMA_FOR_THIS_MOBILE_NODE),
        ({"alternate_care_of": STRANGER}, Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG),
        ({"home_network_prefixes": ()}, Status.MISSING_HOME_NETWORK_PREFIX_OPTION),
        ({"handoff_indicator": None}, Status.MISSING_HANDOFF_INDICATOR_OPTION),
        ({"access_technology": None}, Status.MISSING_ACCESS_TECH_TYPE_OPTION),
        ({"timestamp": timestamp_from_seconds(EPOCH - 0.4)}, Status.TIMESTAMP_MISMATCH),
        ({"timestamp": timestamp_from_seconds(EPOCH + 0.4)}, Status.TIMESTAMP_MISMATCH),
    ],
)
def test_what_is_wrong_is_refused_with_its_status(changes: dict[str, Any], expected: Status, lifetime: int) -> None:
    anchor = lma()
    actions = anchor.receive(update(EPOCH, lifetime=lifetime, **changes), MAG1, EPOCH)
    assert status(actions) is expected
    assert len(actions) == 1
    assert anchor.bindings == ()
    assert anchor.next_timeout is None


def test_a_stranger_may_not_register_and_changes_nothing() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    before = replace(anchor.bindings[0])
    for lifetime in (75, 0):
        actions = anchor.receive(update(EPOCH + 0.1, lifetime=lifetime), STRANGER, EPOCH + 0.1)
        (answer,) = actions
        assert status(actions) is Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
        assert isinstance(answer, Send)
        assert answer.destination == STRANGER
    assert anchor.bindings == (before,)
    earlier = update(EPOCH + 0.05, handoff_indicator=5)
    assert status(anchor.receive(earlier, MAG1, EPOCH + 0.1)) is Status.ACCEPTED, "a stranger's timestamp counts for nothing"


def test_what_comes_from_an_access_link_is_not_even_answered() -> None:
    assert lma().receive(update(EPOCH), STRANGER, EPOCH, link="mn1-air") == [Ignore(IgnoreReason.FROM_ACCESS_LINK, STRANGER)]


@pytest.mark.parametrize("source", [LMA, IPv6Address("::")])
def test_nobody_is_answered_at_an_address_that_leads_back_here(source: IPv6Address) -> None:
    assert lma().receive(update(EPOCH), source, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, source)]
    assert lma().refused(IgnoreReason.UNTIMELY, update(EPOCH), source, EPOCH) == [Ignore(IgnoreReason.UNTIMELY, source)]


def test_which_mags_may_register_a_node_can_be_configured() -> None:
    anchor = lma(mags=frozenset({MAG1, STRANGER}))
    assert status(anchor.receive(update(EPOCH), MAG2, EPOCH)) is Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert status(anchor.receive(update(EPOCH), STRANGER, EPOCH)) is Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert status(anchor.receive(update(EPOCH, alternate_care_of=MAG2), MAG1, EPOCH)) is Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert status(anchor.receive(update(EPOCH), MAG1, EPOCH)) is Status.ACCEPTED
    assert status(anchor.receive(update(EPOCH, host=2), MAG2, EPOCH)) is Status.ACCEPTED


def test_a_node_that_is_not_entitled_to_mobility_is_refused() -> None:
    assert status(lma(mobility=False).receive(update(EPOCH), MAG1, EPOCH)) is Status.PROXY_REG_NOT_ENABLED


@pytest.mark.parametrize("in_order", [*MessageOrder])
def test_what_is_wrong_is_looked_for_in_the_order_of_the_rfc(in_order: MessageOrder) -> None:
    told = config("pmip", None, None, settings=Settings(message_order=in_order))
    disabled, *others = told.profiles
    anchor = Lma(replace(told, profiles=ProfileStore([replace(disabled, mobility=False), *others])), EPOCH)
    anchor.receive(update(EPOCH, host=2), MAG1, EPOCH)
    anchor.receive(update(EPOCH, host=3), MAG1, EPOCH)
    now = EPOCH + 1
    request = update(
        EPOCH - 1,
        mn_id=None,
        sequence=7,
        home_network_prefixes=(),
        handoff_indicator=None,
        access_technology=None,
        link_layer_identifier=None,
    )
    wrong_order: dict[MessageOrder, list[tuple[dict[str, Any], Status]]] = {
        MessageOrder.TIMESTAMP: [
            ({}, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED),
            ({"timestamp": timestamp_from_seconds(now + 1)}, Status.TIMESTAMP_MISMATCH),
        ],
        MessageOrder.NODE_TIMESTAMP: [({}, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)],
        MessageOrder.SEQUENCE: [],
    }
    mendings: list[tuple[dict[str, Any], Status]] = [
        ({}, Status.MISSING_MN_IDENTIFIER_OPTION),
        ({"mn_id": "nobody@dmm.example"}, Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG),
        ({"source": MAG2}, Status.NOT_LMA_FOR_THIS_MOBILE_NODE),
        ({"mn_id": mn_id_of(1)}, Status.PROXY_REG_NOT_ENABLED),
        *[({"mn_id": mn_id_of(2), **mended}, expected) for mended, expected in wrong_order[in_order]],
        ({"mn_id": mn_id_of(2), "timestamp": timestamp_from_seconds(now)}, Status.MISSING_HOME_NETWORK_PREFIX_OPTION),
        ({"home_network_prefixes": (prefix_of(3),)}, Status.MISSING_HANDOFF_INDICATOR_OPTION),
        ({"handoff_indicator": 2}, Status.MISSING_ACCESS_TECH_TYPE_OPTION),
        ({"access_technology": 4}, Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX),
        ({"home_network_prefixes": (prefix_of(2), prefix_of(9)), "sequence": 8}, Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH),
        ({"home_network_prefixes": (prefix_of(2),)}, Status.ACCEPTED),
    ]
    source, seen = STRANGER, []
    for mended, _ in mendings:
        source = mended.get("source", source)
        request = replace(request, **{name: value for name, value in mended.items() if name != "source"})
        seen.append(status(anchor.receive(request, source, now)))
    assert seen == [expected for _, expected in mendings]


def test_a_late_sequence_number_is_found_before_missing_options_and_wrong_prefixes() -> None:
    anchor = lma(settings=BY_SEQUENCE)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    for changes in ({"handoff_indicator": None}, {"home_network_prefixes": (prefix_of(1), prefix_of(9))}, {"lifetime": 0}):
        late = update(EPOCH + 1, sequence=7, **changes)
        assert status(anchor.receive(late, MAG1, EPOCH + 1)) is Status.SEQUENCE_NUMBER_OUT_OF_WINDOW


def test_an_update_that_was_overtaken_is_refused_with_the_anchors_time() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH + 0.1), MAG2, EPOCH + 0.1)
    late = acknowledged(anchor.receive(update(EPOCH), MAG1, EPOCH + 0.2))
    assert late.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    assert late.timestamp == timestamp_from_seconds(EPOCH + 0.2)
    assert anchor.bindings[0].care_of == MAG2


def test_the_same_timestamp_again_is_not_valid() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    again = acknowledged(anchor.receive(update(EPOCH), MAG1, EPOCH + 0.2))
    assert again.status == Status.TIMESTAMP_MISMATCH
    assert again.timestamp == timestamp_from_seconds(EPOCH + 0.2)


@pytest.mark.parametrize(("apart", "expected"), [(0.25, Status.ACCEPTED), (-0.25, Status.ACCEPTED), (0.75, Status.TIMESTAMP_MISMATCH)])
def test_how_far_timestamps_may_be_off_is_a_setting(apart: float, expected: Status) -> None:
    anchor = lma(settings=Settings(timestamp_window=0.5))
    assert status(anchor.receive(update(EPOCH + apart), MAG1, EPOCH)) is expected


def test_timestamps_count_for_a_node_over_all_its_sessions_and_beyond_them() -> None:
    anchor = lma(settings=Settings(timestamp_window=1000.0), home_network_prefixes=(prefix_of(1), prefix_of(99)), session_prefixes=1)
    anchor.receive(update(EPOCH), MAG1, EPOCH)
    second: dict[str, Any] = {"home_network_prefixes": (prefix_of(99),), "link_layer_identifier": b"second", "handoff_indicator": 1}
    assert status(anchor.receive(update(EPOCH + 2, lifetime=1, **second), MAG2, EPOCH + 2)) is Status.ACCEPTED
    assert status(anchor.receive(update(EPOCH + 1), MAG1, EPOCH + 2)) is Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    anchor.timeout(EPOCH + 6)
    assert len(anchor.bindings) == 1
    assert status(anchor.receive(update(EPOCH + 1), MAG1, EPOCH + 6)) is Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    assert status(anchor.receive(update(EPOCH + 1, host=2), MAG1, EPOCH + 6)) is Status.ACCEPTED, "other nodes have their own"


def test_a_refused_update_does_not_count_as_accepted() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH + 0.2, home_network_prefixes=()), MAG1, EPOCH)
    assert status(anchor.receive(update(EPOCH + 0.1), MAG1, EPOCH)) is Status.ACCEPTED


@given(sequence=words, before=words)
def test_with_a_timestamp_the_sequence_number_is_only_copied(sequence: int, before: int) -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, sequence=before), MAG1, EPOCH)
    answer = acknowledged(anchor.receive(update(EPOCH + 1, sequence=sequence), MAG1, EPOCH + 1))
    assert (answer.status, answer.sequence) == (Status.ACCEPTED, sequence)


def test_timestamps_that_nodes_make_need_not_be_near_and_come_back_as_they_were() -> None:
    anchor = lma(settings=BY_NODE)
    for made in (5, 6):
        answer = acknowledged(anchor.receive(update(EPOCH, timestamp=made), MAG1, EPOCH))
        assert (answer.status, answer.timestamp) == (Status.ACCEPTED, made)
    late = acknowledged(anchor.receive(update(EPOCH, timestamp=4), MAG1, EPOCH))
    assert (late.status, late.timestamp) == (Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, 4)


@given(last=words, ahead=words)
def test_a_sequence_number_is_later_if_it_is_up_to_32767_ahead(last: int, ahead: int) -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, sequence=last, timestamp=None), MAG1, EPOCH)
    sequence = (last + ahead) & 0xFFFF
    answer = acknowledged(anchor.receive(update(EPOCH + 1, sequence=sequence, timestamp=None), MAG2, EPOCH + 1))
    accepted = 1 <= ahead <= 32767
    assert answer.status == (Status.ACCEPTED if accepted else Status.SEQUENCE_NUMBER_OUT_OF_WINDOW)
    assert answer.sequence == (sequence if accepted else last)
    assert answer.timestamp is None
    assert anchor.bindings[0].care_of == (MAG2 if accepted else MAG1)


def test_the_example_of_rfc_6275() -> None:
    """After 15, the sequence numbers 0 to 15 and 32783 to 65535 are late (RFC 6275, 9.5.1)."""
    anchor = lma()
    anchor.receive(update(EPOCH, sequence=15, timestamp=None), MAG1, EPOCH)
    for late in (0, 15, 32783, 65535):
        answer = acknowledged(anchor.receive(update(EPOCH, sequence=late, timestamp=None), MAG1, EPOCH))
        assert (answer.status, answer.sequence) == (Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, 15)
    assert status(anchor.receive(update(EPOCH, sequence=32782, timestamp=None), MAG1, EPOCH)) is Status.ACCEPTED


def test_sequence_numbers_count_for_each_session() -> None:
    anchor = lma(home_network_prefixes=(prefix_of(1), prefix_of(99)), session_prefixes=1)
    anchor.receive(update(EPOCH, sequence=500, timestamp=None), MAG1, EPOCH)
    second: dict[str, Any] = {
        "home_network_prefixes": (prefix_of(99),),
        "link_layer_identifier": b"second",
        "handoff_indicator": 1,
        "timestamp": None,
    }
    assert status(anchor.receive(update(EPOCH, sequence=3, **second), MAG2, EPOCH)) is Status.ACCEPTED
    assert status(anchor.receive(update(EPOCH, sequence=4, **second), MAG2, EPOCH)) is Status.ACCEPTED
    assert status(anchor.receive(update(EPOCH, sequence=4, timestamp=None), MAG1, EPOCH)) is Status.SEQUENCE_NUMBER_OUT_OF_WINDOW


def test_in_a_domain_of_sequence_numbers_timestamps_decide_nothing() -> None:
    anchor = lma(settings=BY_SEQUENCE)
    anchor.receive(update(EPOCH, sequence=7), MAG1, EPOCH)
    assert status(anchor.receive(update(EPOCH - 50, sequence=8), MAG1, EPOCH)) is Status.ACCEPTED
    assert status(anchor.receive(update(EPOCH + 50, sequence=8), MAG1, EPOCH + 50)) is Status.SEQUENCE_NUMBER_OUT_OF_WINDOW


def test_a_binding_remembers_what_the_last_update_said_of_its_order() -> None:
    anchor = lma()
    anchor.receive(update(EPOCH, sequence=7), MAG1, EPOCH)
    assert (anchor.bindings[0].sequence, anchor.bindings[0].timestamp) == (7, timestamp_from_seconds(EPOCH))
    anchor.receive(update(EPOCH, sequence=8, timestamp=None), MAG1, EPOCH)
    assert (anchor.bindings[0].sequence, anchor.bindings[0].timestamp) == (8, 0)


def test_a_prefix_that_is_not_the_nodes_or_not_the_anchors_is_refused() -> None:
    elsewhere = IPv6Network("2001:db8:f00::/64")
    anchor = lma(home_network_prefixes=(prefix_of(1), elsewhere))
    for prefixes in ((prefix_of(2),), (prefix_of(1), prefix_of(2)), (elsewhere,), (prefix_of(1).supernet(),)):
        asked = update(EPOCH, home_network_prefixes=prefixes)
        assert status(anchor.receive(asked, MAG3, EPOCH)) is Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert acknowledged(anchor.receive(update(EPOCH, home_network_prefixes=(ALL_ZERO,)), MAG3, EPOCH)).home_network_prefixes == (
        prefix_of(1),
    )
