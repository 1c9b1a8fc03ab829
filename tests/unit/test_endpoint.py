"""The octet edge: what comes in as octets, and what leaves as octets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from memory_network import EPOCH, LMA, config, hoa_of, link_layer_of, mag_address, mn_id_of, packet, prefix_of

from agents import endpoint
from agents.actions import Drop, DropReason, Effect, Ignore, IgnoreReason, InstallRoute, Report, Transmit
from agents.authentication import protection
from agents.config import QueryFlag, Settings
from agents.endpoint import SOLICITATIONS_RATE, AnchorEndpoint, GatewayEndpoint
from agents.messages import BindingError, MessageError, ProxyBindingAcknowledgement, ProxyBindingUpdate, decode
from agents.router_advertisement import NeighbourDiscoveryError

MAG, STRANGER = mag_address(1), IPv6Address("2001:db8:bad::1")
LINK = "mn1-air"
KEYED = Settings(authentication_key=bytes(range(16)).hex())
SOLICITATION = bytes((133, 0, 0, 0)) + bytes(4)


def mag(settings: Settings = Settings(), scheme: str = "s-pmip") -> GatewayEndpoint:  # noqa: B008
    started = endpoint.start(config(scheme, settings=settings), EPOCH)
    assert isinstance(started, GatewayEndpoint)
    return started


def lma(settings: Settings = Settings(), scheme: str = "s-pmip") -> AnchorEndpoint:  # noqa: B008
    started = endpoint.start(config(scheme, number=None, settings=settings), EPOCH)
    assert isinstance(started, AnchorEndpoint)
    return started


def attach(here: GatewayEndpoint) -> list[Effect]:
    return here.attached(LINK, mn_id_of(1), link_layer_of(1), EPOCH)


def transmission(effects: list[Effect]) -> Transmit:
    (one,) = (effect for effect in effects if isinstance(effect, Transmit))
    return one


@pytest.mark.parametrize("settings", [Settings(), KEYED, Settings(query_flag=QueryFlag.UNASSIGNED)], ids=["plain", "keyed", "other Q"])
def test_two_agents_understand_each_other_by_octets_alone(settings: Settings) -> None:
    gateway, anchor = mag(settings), lma(settings)
    asked = transmission(attach(gateway))
    heard = anchor.read(asked.octets, MAG, LMA)
    assert isinstance(heard.said, ProxyBindingUpdate)
    effects = anchor.receive(heard, EPOCH)
    assert InstallRoute(prefix_of(1), MAG) in effects
    answer = transmission(effects)
    assert (answer.destination, answer.tunnelled) == (MAG, False)
    assert isinstance(decode(answer.octets, settings.query_flag), ProxyBindingAcknowledgement)
    gateway.receive(gateway.read(answer.octets, LMA, MAG), EPOCH)
    assert gateway.role.solicited(LINK, EPOCH), "it is served"


def test_what_is_not_authenticated_is_refused_and_what_came_before_too() -> None:
    gateway, anchor = mag(KEYED), lma(KEYED)
    octets = transmission(attach(gateway)).octets
    assert Ignore(IgnoreReason.NOT_AUTHENTICATED, MAG) in anchor.receive(anchor.read(octets[:-1] + b"\0", MAG, LMA), EPOCH)
    anchor.receive(anchor.read(octets, MAG, LMA), EPOCH)
    assert anchor.receive(anchor.read(octets, MAG, LMA), EPOCH) == [Ignore(IgnoreReason.REPLAYED, MAG)]


def test_what_says_that_authentication_failed_is_not_signed() -> None:
    octets = transmission(attach(mag())).octets
    anchor = lma(KEYED)
    answer = transmission(anchor.receive(anchor.read(octets, MAG, LMA), EPOCH))
    said = decode(answer.octets)
    assert protection(KEYED).refusal(said, answer.octets, LMA, MAG, EPOCH) is IgnoreReason.NOT_AUTHENTICATED


def test_octets_that_are_no_message_are_answered_unless_they_come_from_an_access_link() -> None:
    octets = bytes.fromhex("3b01ff00 0000 0001 c200 0001 00000000")
    gateway = mag()
    heard = gateway.read(octets, LMA, MAG)
    assert isinstance(heard.said, MessageError)
    effects = gateway.receive(heard, EPOCH)
    assert effects[0] == Ignore(IgnoreReason.MALFORMED, LMA)
    assert isinstance(transmission(effects).message, BindingError)
    assert gateway.receive(gateway.read(octets, LMA, MAG, LINK), EPOCH) == [Ignore(IgnoreReason.MALFORMED, LMA)]
    wrong_field = bytes.fromhex("3a010500 0000 0001 c200 0001 00000000")
    _, report = gateway.receive(gateway.read(wrong_field, LMA, MAG), EPOCH)
    assert isinstance(report, Report)
    assert (report.source, report.octets[:2], report.octets[7]) == (LMA, b"\x04\x00", 40)
    assert gateway.receive(gateway.read(octets, MAG, MAG), EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG)], "it answers not itself"


def test_a_message_from_an_access_link_is_told_apart_with_a_key_and_without() -> None:
    for settings in (Settings(), KEYED):
        octets = transmission(attach(mag(settings))).octets
        anchor = lma(settings)
        assert anchor.receive(anchor.read(octets, MAG, LMA, LINK), EPOCH) == [Ignore(IgnoreReason.FROM_ACCESS_LINK, MAG)]


def test_solicitations_are_rationed_by_link_and_a_link_that_comes_back_has_its_ration() -> None:
    gateway, source = mag(), IPv6Address("fe80::1")

    def refused() -> int:
        answers = [gateway.solicited(LINK, SOLICITATION, source, 255, EPOCH) for _ in range(20)]
        return answers.count([Ignore(IgnoreReason.TOO_OFTEN, source)])

    assert refused() == 20 - SOLICITATIONS_RATE
    gateway.detached(LINK, EPOCH)
    assert refused() == 20 - SOLICITATIONS_RATE


def test_a_solicitation_from_beyond_the_link_is_discarded() -> None:
    with pytest.raises(NeighbourDiscoveryError):
        mag().solicited(LINK, SOLICITATION, STRANGER, 64, EPOCH)


def test_packets_reach_their_role_with_the_addresses_in_them() -> None:
    gateway = mag()
    data = packet(hoa_of(1), hoa_of(2))
    assert gateway.routed(data, EPOCH) == [Drop((data,), DropReason.NOT_BOUND)]
    (ignored, _) = gateway.tunnelled(data, STRANGER, MAG, EPOCH)
    assert ignored == Ignore(IgnoreReason.UNKNOWN_SENDER, STRANGER)
    assert lma(scheme="pmip-lr").forwarded(data, MAG, EPOCH) == []


def test_a_timer_that_ends_a_little_early_counts_as_on_time() -> None:
    gateway = mag()
    attach(gateway)
    due = gateway.next_timeout
    assert due is not None
    assert gateway.timeout(due - 1e-6) == []
    again = transmission(gateway.timeout(due - 1e-6, due))
    assert isinstance(again.message, ProxyBindingUpdate)
    left = gateway.next_timeout
    assert left is not None
    assert left > due


def test_a_key_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        endpoint.start(replace(config("s-pmip"), settings=Settings(authentication_key="secret")), EPOCH)
