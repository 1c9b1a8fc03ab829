"""Whatever an attacker sends, agents in memory are afterwards as they were: no binding, route, query, buffer or timer is another."""

from __future__ import annotations

import pickle
from functools import cache
from ipaddress import IPv6Address

import pytest
from cases import MOBILE
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_network import EPOCH, LMA, MemoryNetwork, hoa_of, mag_address, mn_id_of, packet, prefix_of
from mobility_messages import addresses, messages
from test_protocol_together import attached

from agents.actions import Action, Drop, DropReason, Ignore, IgnoreReason, Send
from agents.config import Settings
from agents.mag import Mag
from agents.messages import Message, ProxyBindingAcknowledgement, ProxyBindingUpdate, Status, decode, encode
from experiments.declare.forgeries import MESSAGES, STRANGER, Forgery
from topologies.domain import Host

KEYED = Settings(authentication_key="000102030405060708090a0b0c0d0e0f")
NOW = EPOCH + 2.0
_VICTIM = Host("mn2", "mag2", mn_id_of(2), "02:00:00:00:00:02", prefix_of(2))


def _forged(kind: str, sequence: int) -> Message:
    return MESSAGES[kind](Forgery(STRANGER, LMA, _VICTIM, hoa_of(2), hoa_of(1), mag_address(3), sequence, NOW))


forged = messages | st.builds(_forged, st.sampled_from(sorted(MESSAGES)), st.integers(0, 0xFFFF))
agents = st.sampled_from([LMA, mag_address(1), mag_address(2), mag_address(3)])
strangers = (addresses | st.just(STRANGER)).filter(lambda address: address not in (LMA, *map(mag_address, range(1, 4))))


@cache
def _network(scheme: str, policy: str, settings: Settings = Settings()) -> MemoryNetwork:  # noqa: B008
    """Hosts 1 and 2 speak to each other, host 1 has asked for one that is nowhere, and a packet waits for the answer."""
    network = attached(scheme, policy, settings=settings)
    network.flow(1, 2, 1.0, 0.5)
    network.flow(2, 1, 1.0, 0.5)
    network.at(1.9, lambda: network.send(1, 9))
    network.run(NOW - EPOCH)
    return network


def _states(network: MemoryNetwork) -> dict[str, bytes]:
    return {node.name: pickle.dumps(node.agent) for node in network.nodes.values()}


def _as_before(scheme: str, policy: str, before: dict[str, bytes], settings: Settings = Settings()) -> bool:  # noqa: B008
    return _states(_network(scheme, policy, settings)) == before


def _refused(actions: list[Action]) -> bool:
    """Ignored with a reason, or, if it was a PBU, answered with a rejection."""
    return all(
        isinstance(action, Ignore)
        or (isinstance(action, Send) and isinstance(action.message, ProxyBindingAcknowledgement) and action.message.status >= 128)
        for action in actions
    ) and bool(actions)


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
@settings(deadline=None)
@given(message=forged, source=strangers)
def test_who_is_no_agent_changes_nothing(scheme: str, policy: str, message: Message, source: IPv6Address) -> None:
    network = _network(scheme, policy)
    before = _states(network)
    for node in network.nodes.values():
        assert _refused(node.agent.receive(message, source, NOW))
    assert _as_before(scheme, policy, before)


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
@settings(deadline=None)
@given(message=forged, source=strangers | agents)
def test_an_access_link_changes_nothing_whoever_it_claims_to_be(scheme: str, policy: str, message: Message, source: IPv6Address) -> None:
    network = _network(scheme, policy)
    before = _states(network)
    for node in network.nodes.values():
        assert node.agent.receive(message, source, NOW, link="mn1-air") == [Ignore(IgnoreReason.FROM_ACCESS_LINK, source)]
    assert _as_before(scheme, policy, before)


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
@settings(deadline=None)
@given(message=forged, source=agents)
def test_with_a_key_an_impostor_changes_nothing(scheme: str, policy: str, message: Message, source: IPv6Address) -> None:
    network = _network(scheme, policy, KEYED)
    before, ignored, sent = _states(network), len(network.ignored), len(network.sendings)
    for address in network.nodes:
        network.receive(address, encode(message), source, address)
    assert {ignore.reason for ignore in network.ignored[ignored:]} == {IgnoreReason.NOT_AUTHENTICATED}
    assert len(network.ignored) - ignored == len(network.nodes)
    assert {decode(octets) for _, _, octets in network.sendings[sent:]} <= {
        ProxyBindingAcknowledgement(status=146, sequence=getattr(message, "sequence", 0), lifetime=0)
    }
    if LMA in network.nodes:
        network.lma._told.forget(source)  # when it was answered last is all that may have changed
    assert _as_before(scheme, policy, before, KEYED)


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
@settings(deadline=None)
@given(source=strangers, destination=st.integers(1, 9).map(hoa_of) | addresses, multicast=st.booleans())
def test_what_a_stranger_tunnels_causes_nothing(
    scheme: str, policy: str, source: IPv6Address, destination: IPv6Address, multicast: bool
) -> None:
    network = _network(scheme, policy)
    before, data = _states(network), packet(hoa_of(1), destination)
    for node in network.nodes.values():
        if isinstance(node.agent, Mag):
            actions = node.agent.tunnelled(data, source, NOW, multicast=multicast)
            assert actions == [Ignore(IgnoreReason.UNKNOWN_SENDER, source), Drop((data,), DropReason.NOT_ATTACHED)]
    assert _as_before(scheme, policy, before)


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip"])
def test_without_a_key_an_impostor_takes_a_session_over(scheme: str) -> None:
    network = attached(scheme)
    network.run(NOW - EPOCH)
    before = _states(network)
    network.receive(LMA, encode(_forged("PBU", 0)), mag_address(3), LMA)
    assert _states(network) != before
    assert [binding.care_of for binding in network.lma.bindings if binding.prefixes == (prefix_of(2),)] == [mag_address(3)]


@pytest.mark.parametrize("settings", [Settings(), KEYED], ids=["no key", "key"])
def test_a_stranger_is_told_that_it_may_not_update(settings: Settings) -> None:
    network = attached("pmip", settings=settings)
    network.run(NOW - EPOCH)
    sent = len(network.sendings)
    update = _forged("PBU", 0)
    assert isinstance(update, ProxyBindingUpdate)
    (answer,) = network.lma.receive(update, STRANGER, NOW)
    assert isinstance(answer, Send)
    assert isinstance(answer.message, ProxyBindingAcknowledgement)
    assert answer.message.status == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    assert len(network.sendings) == sent


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
@pytest.mark.parametrize("others", [0, 500, 5000])
def test_a_link_that_floods_its_mag_takes_nothing_from_another(scheme: str, others: int) -> None:
    network = attached(scheme)
    network.attach(4, 1)
    network.run(NOW - EPOCH)
    mag = network.mag(1).agent
    assert isinstance(mag, Mag)
    unknown = (IPv6Address(int(prefix_of(0x1000 + number).network_address) + 1) for number in range(others))
    asked = [bool(_queries(mag.packet_for(hoa, packet(hoa_of(1), hoa), NOW))) for hoa in unknown]
    assert sum(asked) == min(others, Settings().query_rate)
    assert len(_queries(mag.packet_for(hoa_of(2), packet(hoa_of(4), hoa_of(2)), NOW))) == 1


def _queries(actions: list[Action]) -> list[Send]:
    return [action for action in actions if isinstance(action, Send)]
