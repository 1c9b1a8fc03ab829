"""What a PBA says (RFC 5213, 5.3.6), accepted or refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_network import EPOCH, prefix_of
from proxy_binding_updates import ALL_ZERO, MAG1, MAG2, acknowledged, lma, update

from agents.actions import Send
from agents.lma import Lma
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate, Status

ASK = IPv6Address("::")
CHOSEN = IPv6Address("fe80::cafe")


def answer(anchor: Lma, request: ProxyBindingUpdate, now: float = EPOCH, source: IPv6Address = MAG1) -> ProxyBindingAcknowledgement:
    return acknowledged(anchor.receive(request, source, now))


def test_without_an_mn_id_the_answer_has_an_empty_one() -> None:
    assert answer(lma(), update(EPOCH, mn_id=None)).mn_id == ""


@pytest.mark.parametrize("prefixes", [(prefix_of(2),), (prefix_of(1), ALL_ZERO, prefix_of(2), prefix_of(2)), (ALL_ZERO,)])
def test_a_refusal_returns_every_prefix_option_of_the_request(prefixes: tuple[object, ...]) -> None:
    refused = answer(lma(mobility=False), update(EPOCH, home_network_prefixes=prefixes))
    assert (refused.status, refused.home_network_prefixes) == (Status.PROXY_REG_NOT_ENABLED, prefixes)


def test_a_refusal_without_prefix_options_returns_one_of_all_zero() -> None:
    assert answer(lma(), update(EPOCH, home_network_prefixes=())).home_network_prefixes == (ALL_ZERO,)


def test_what_is_accepted_returns_every_prefix_of_the_session() -> None:
    own = (prefix_of(1), prefix_of(99))
    anchor = lma(home_network_prefixes=own)
    assert answer(anchor, update(EPOCH, home_network_prefixes=(ALL_ZERO,))).home_network_prefixes == own
    refreshed = update(EPOCH + 1, home_network_prefixes=(prefix_of(99), prefix_of(1)))
    assert answer(anchor, refreshed, EPOCH + 1).home_network_prefixes == own
    assert answer(anchor, replace(update(EPOCH + 2, lifetime=0), home_network_prefixes=own), EPOCH + 2).home_network_prefixes == own


def test_indicators_that_were_missing_are_zero() -> None:
    refused = answer(lma(), update(EPOCH, handoff_indicator=None, access_technology=None))
    assert (refused.handoff_indicator, refused.access_technology) == (0, 0)


@given(
    handoff=st.integers(0, 5),
    technology=st.integers(0, 255),
    identifier=st.none() | st.binary(min_size=1, max_size=20),
    timestamp=st.booleans(),
    lifetime=st.integers(0, 80),
    mobility=st.booleans(),
)
def test_the_other_options_come_back_if_they_were_sent_and_as_they_were(
    handoff: int, technology: int, identifier: bytes | None, timestamp: bool, lifetime: int, mobility: bool
) -> None:
    anchor = lma(mobility=mobility)
    anchor.receive(update(EPOCH, sequence=1, link_layer_identifier=identifier, access_technology=technology), MAG1, EPOCH)
    request = update(
        EPOCH + 1,
        lifetime=lifetime,
        sequence=2,
        handoff_indicator=handoff,
        access_technology=technology,
        link_layer_identifier=identifier,
    )
    request = request if timestamp else replace(request, timestamp=None)
    said = answer(anchor, request, EPOCH + 1)
    assert said.status == (Status.ACCEPTED if mobility else Status.PROXY_REG_NOT_ENABLED)
    for name in ("sequence", "mn_id", "handoff_indicator", "access_technology", "link_layer_identifier", "timestamp"):
        assert getattr(said, name) == getattr(request, name)
    assert said.link_local_address is said.alternate_care_of is None
    assert not said.query


def test_the_answer_goes_to_the_source_even_if_another_address_is_the_care_of_address() -> None:
    anchor = lma()
    *_, acknowledgement = anchor.receive(update(EPOCH, alternate_care_of=MAG2), MAG1, EPOCH)
    assert isinstance(acknowledgement, Send)
    assert acknowledgement.destination == MAG1
    assert anchor.bindings[0].care_of == MAG2


def test_a_link_local_address_that_is_asked_for_is_made_once_for_a_session() -> None:
    anchor = lma(home_network_prefixes=(prefix_of(1), prefix_of(99)), session_prefixes=1)
    made = answer(anchor, update(EPOCH, link_local_address=ASK)).link_local_address
    assert made is not None
    assert made.is_link_local
    assert not int(made) & 1 << 57, "no address made of a universal link-layer address"
    assert anchor.bindings[0].link_local_address == made
    assert answer(anchor, update(EPOCH + 1, link_local_address=ASK), EPOCH + 1, MAG2).link_local_address == made
    second = update(
        EPOCH + 2, link_local_address=ASK, home_network_prefixes=(ALL_ZERO,), link_layer_identifier=b"other!", handoff_indicator=1
    )
    assert answer(anchor, second, EPOCH + 2).link_local_address not in (None, made)


def test_a_link_local_address_outlasts_updates_that_do_not_speak_of_it() -> None:
    anchor = lma()
    assert answer(anchor, update(EPOCH)).link_local_address is None
    made = anchor.bindings[0].link_local_address
    assert answer(anchor, update(EPOCH + 1), EPOCH + 1, MAG2).link_local_address is None
    assert answer(anchor, update(EPOCH + 2, link_local_address=ASK, lifetime=0), EPOCH + 2, MAG2).link_local_address == made
    assert answer(anchor, update(EPOCH + 3, link_local_address=ASK), EPOCH + 3).link_local_address == made


@pytest.mark.parametrize("lifetime", [75, 0])
def test_a_link_local_address_of_the_mags_choice_replaces_the_anchors(lifetime: int) -> None:
    anchor = lma()
    assert answer(anchor, update(EPOCH, link_local_address=CHOSEN)).link_local_address == CHOSEN
    other = IPv6Address("fe80::1")
    assert answer(anchor, update(EPOCH + 1, link_local_address=other, lifetime=lifetime), EPOCH + 1).link_local_address == other
    assert anchor.bindings[0].link_local_address == other
    assert answer(anchor, update(EPOCH + 2, link_local_address=ASK), EPOCH + 2, MAG2).link_local_address == other


@pytest.mark.parametrize("address", [None, ASK, CHOSEN])
def test_a_refusal_returns_the_link_local_address_of_the_request(address: IPv6Address | None) -> None:
    refused = answer(lma(), update(EPOCH, link_local_address=address, handoff_indicator=None))
    assert (refused.status, refused.link_local_address) == (Status.MISSING_HANDOFF_INDICATOR_OPTION, address)
