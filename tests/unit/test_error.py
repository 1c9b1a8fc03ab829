"""The handover policies expire and error: what a MAG does about a packet for a node that is not there, and when it is told of one."""

from __future__ import annotations

import pytest
from lone_mag import CN, MN, P2, answer, request_of, routed, serving
from memory_network import EPOCH, LMA, hoa_of, packet, prefix_of, sent
from proxy_binding_updates import MAG2, MAG3

from agents.actions import Drop, DropReason, Ignore, IgnoreReason, InstallRoute, Release, RemoveRoute, Send
from agents.messages import BindingError


class TestExpire:
    @pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
    def test_nothing_is_done_about_stale_routes(self, scheme: str) -> None:
        gateway = routed(scheme, "expire")
        data = packet(CN, hoa_of(3))
        assert gateway.tunnelled(data, MAG2, EPOCH) == [Drop((data,), DropReason.NOT_ATTACHED)]
        error = BindingError(status=1, home_address=MN)
        assert gateway.receive(error, MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
class TestError:
    def test_a_stray_packet_is_answered_with_a_binding_error(self, scheme: str) -> None:
        gateway = serving(scheme, "error")
        data = packet(hoa_of(3), MN)
        assert gateway.tunnelled(data, MAG3, EPOCH) == [
            Send(BindingError(status=1, home_address=MN), MAG3),
            Drop((data,), DropReason.NOT_ATTACHED),
        ]

    def test_a_burst_causes_one_and_a_lost_one_is_made_good(self, scheme: str) -> None:
        gateway = serving(scheme, "error")
        errors = [len(sent(gateway.tunnelled(packet(hoa_of(3), MN), MAG3, EPOCH + number * 0.01), "BE")) for number in range(10)]
        assert errors == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]

    def test_packets_to_the_group_cause_none(self, scheme: str) -> None:
        data = packet(hoa_of(3), MN)
        assert serving(scheme, "error").tunnelled(data, MAG3, EPOCH, multicast=True) == [Drop((data,), DropReason.NOT_ATTACHED)]

    def test_the_anchor_is_told_nothing(self, scheme: str) -> None:
        gateway = serving("s-pmip", "error")
        assert sent(gateway.tunnelled(packet(hoa_of(3), MN), LMA, EPOCH)) == []

    def test_the_sender_drops_its_route_asks_again_and_lets_packets_wait(self, scheme: str) -> None:
        gateway = routed(scheme, "error")
        removed, send = gateway.receive(BindingError(status=1, home_address=MN), MAG2, EPOCH + 1)
        assert removed == RemoveRoute(prefix_of(2))
        assert gateway.packet_for(MN, P2, EPOCH + 1) == []
        new = answer(request_of([send]), MAG3)
        sender = LMA if scheme == "s-pmip" else MAG3
        assert gateway.receive(new, sender, EPOCH + 1.1) == [Release((P2,), MAG3), InstallRoute(prefix_of(2), MAG3)]

    def test_an_error_about_another_mag_or_no_route_changes_nothing(self, scheme: str) -> None:
        gateway = routed(scheme, "error")
        assert gateway.receive(BindingError(status=1, home_address=MN), MAG3, EPOCH) == [Ignore(IgnoreReason.STALE, MAG3)]
        assert gateway.receive(BindingError(status=1, home_address=hoa_of(3)), MAG2, EPOCH) == [Ignore(IgnoreReason.STALE, MAG2)]
        assert gateway.receive(BindingError(status=2, home_address=MN), MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]
