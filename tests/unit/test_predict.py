"""The predictive mode of RFC 5949: what one MAG tells another of a node that is about to come, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest
from lone_mag import acknowledge, attach, timeouts
from memory_network import EPOCH, LMA, MemoryNetwork, config, hoa_of, link_layer_of, mn_id_of, packet, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2, MAG3

from agents.actions import Action, Advertise, Ignore, IgnoreReason, InstallAccessRoute, RemoveAccessRoute, Send
from agents.config import Settings
from agents.mag import Mag
from agents.messages import HandoverAcknowledge, HandoverInitiate, MessageError, ProxyBindingUpdate, decode, encode


def initiate(**changes: Any) -> HandoverInitiate:
    """What MAG 2 tells of host 1."""
    told = HandoverInitiate(
        sequence=7,
        code=3,
        buffer=True,
        forward=True,
        anchor_address=LMA,
        mn_id=mn_id_of(1),
        home_network_prefixes=(prefix_of(1),),
        link_layer_identifier=link_layer_of(1),
        timestamp=1000,
    )
    return replace(told, **changes)


def expecting(scheme: str = "s-pmip") -> Mag:
    """A MAG that has been told of host 1 and waits for it."""
    gateway = Mag(config(scheme, "predict"), EPOCH)
    assert codes(gateway.receive(initiate(), MAG2, EPOCH)) == [5]
    return gateway


def codes(actions: list[Action]) -> list[int]:
    return [message.code for message in sent(actions) if isinstance(message, HandoverAcknowledge)]


def is_served(actions: list[Action]) -> bool:
    return InstallAccessRoute(prefix_of(1), "mn1-air") in actions


def test_the_previous_mag_names_node_prefixes_interface_and_anchor() -> None:
    network = MemoryNetwork("s-pmip", "predict")
    network.attach(1, 1)
    network.run(1)
    network.announce(1, 3)
    (told,) = [decode(octets) for source, destination, octets in network.sendings if (source, destination) == (MAG1, MAG3)]
    assert isinstance(told, HandoverInitiate)
    assert told == initiate(sequence=told.sequence, timestamp=told.timestamp)


def test_without_an_anchor_none_is_named() -> None:
    network = MemoryNetwork("sd-pmip", "predict")
    network.attach(1, 1)
    network.announce(1, 3)
    told = decode(network.sendings[-1][2])
    assert isinstance(told, HandoverInitiate)
    assert told.anchor_address is None


def test_a_context_that_was_taken_is_answered_with_code_5() -> None:
    gateway = Mag(config("s-pmip", "predict"), EPOCH)
    answer = HandoverAcknowledge(
        sequence=7, code=5, forward=True, mn_id=mn_id_of(1), link_layer_identifier=link_layer_of(1), timestamp=1000
    )
    assert gateway.receive(initiate(), MAG2, EPOCH) == [Send(answer, MAG2)]


@pytest.mark.parametrize(
    "changes", [{"anchor_address": IPv6Address("2001:db8::2")}, {"home_network_prefixes": (prefix_of(2),)}, {"mn_id": "x@y"}]
)
def test_what_cannot_be_served_is_declined(changes: dict[str, Any]) -> None:
    gateway = Mag(config("s-pmip", "predict"), EPOCH)
    assert codes(gateway.receive(initiate(**changes), MAG2, EPOCH)) == [128]
    assert not is_served(attach(gateway, now=EPOCH + 0.1))


def test_an_initiate_of_flag_s_is_none() -> None:
    octets = bytearray(encode(initiate()))
    octets[8] |= 0x80
    with pytest.raises(MessageError, match="flag S"):
        decode(bytes(octets))


def test_the_octets_of_the_anchors_address() -> None:
    """RFC 5949, 6.2.2, by hand; an IPv4 address is none for a domain of IPv6."""
    octets = encode(HandoverInitiate(sequence=0x0102, code=3, mn_id="a@b", anchor_address=LMA))
    option = bytes.fromhex("29120100") + LMA.packed
    assert octets[10:16].hex() == "080401" + b"a@b".hex()
    assert option in octets
    assert octets.index(option) % 8 == 4
    legacy = octets.replace(option, bytes.fromhex("2906020001020304") + bytes.fromhex("010a") + bytes(10))
    assert decode(legacy) == HandoverInitiate(sequence=0x0102, code=3, mn_id="a@b")


class TestWithoutBinding:
    """A node that was handed over is served before it is registered, but not for ever."""

    def test_service_ends_when_the_anchor_does_not_answer_for_as_long_as_it_keeps_the_old_binding(self) -> None:
        gateway = expecting()
        assert is_served(attach(gateway, now=EPOCH + 0.1))
        ended = [(when, action) for when, action in timeouts(gateway, 60) if isinstance(action, Advertise | RemoveAccessRoute)]
        assert ended == [
            (10.1, Advertise("mn1-air", (prefix_of(1),), 0)),
            (10.1, RemoveAccessRoute(prefix_of(1), "mn1-air")),
        ]

    def test_a_late_acceptance_brings_service_back(self) -> None:
        gateway = expecting()
        attach(gateway, now=EPOCH + 0.1)
        (*_, last) = [action.message for _, action in timeouts(gateway, 20) if isinstance(action, Send)]
        assert isinstance(last, ProxyBindingUpdate)
        assert is_served(gateway.receive(acknowledge(last), LMA, EPOCH + 20))

    @pytest.mark.parametrize("copied", [True, False])
    def test_a_copy_of_what_was_told_does_not_begin_it_anew(self, copied: bool) -> None:
        gateway = expecting()
        attach(gateway, now=EPOCH + 0.1)
        gateway.detached("mn1-air", EPOCH + 0.2)
        again = initiate() if copied else initiate(sequence=8, timestamp=1001)
        assert codes(gateway.receive(again, MAG2, EPOCH + 0.3)) == [5]
        assert is_served(attach(gateway, now=EPOCH + 0.4)) is not copied

    def test_an_earlier_one_that_is_late_is_ignored(self) -> None:
        gateway = expecting()
        assert gateway.receive(initiate(sequence=6, timestamp=999), MAG2, EPOCH) == [Ignore(IgnoreReason.STALE, MAG2)]


class TestWaiting:
    """Packets wait no longer than it takes to find out where the node is."""

    @pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
    @pytest.mark.parametrize("lost", [(), ("HACK",)])
    def test_a_node_that_comes_to_another_mag(self, scheme: str, lost: tuple[str, ...]) -> None:
        network = MemoryNetwork(scheme, "predict", mags=4, lost=lambda kind: kind in lost)
        network.attach(1, 1)
        network.attach(2, 2)
        network.flow(1, 2, 1.0, 3.0)
        network.at(1.95, lambda: network.announce(2, 3))
        network.at(2.0, lambda: network.move(2, 4))
        network.run(12)
        assert sorted(network.serials_delivered) == list(range(300))
        waited = max(when - (1.0 + serial / 100) for when, serial in network.delivered)
        assert waited < (0.2 + 0.12 if scheme == "s-pmip" else 0.05 + 0.06)

    def test_the_news_end_a_handover_that_was_not_acknowledged(self) -> None:
        network = MemoryNetwork("sd-pmip", "predict", lost=lambda kind: kind == "HACK")
        network.attach(1, 1)
        network.attach(2, 2)
        network.run(1)
        network.announce(2, 3)
        network.move(2, 3)
        network.run(1.07)
        agent = network.mag(2).agent
        assert isinstance(agent, Mag)
        assert agent.tunnelled(packet(hoa_of(1), hoa_of(2)), MAG1, network.now) != []
        network.run(5)
        assert len(network.kinds("HI")) == 1

    def test_an_overdue_node_is_asked_for_once(self) -> None:
        gateway = expecting()
        for serial in range(3):
            assert gateway.tunnelled(packet(hoa_of(2), hoa_of(1), serial), MAG2, EPOCH + serial / 100) == []
        asked = [when for when, action in timeouts(gateway, 0.39) if isinstance(action, Send)]
        assert asked == [0.2]

    def test_how_long_that_is_can_be_set(self) -> None:
        gateway = Mag(config("s-pmip", "predict", settings=Settings(query_timeout=0.05)), EPOCH)
        gateway.receive(initiate(), MAG2, EPOCH)
        gateway.tunnelled(packet(hoa_of(2), hoa_of(1)), MAG2, EPOCH)
        assert [when for when, action in timeouts(gateway, 0.09) if isinstance(action, Send)] == [0.05]
