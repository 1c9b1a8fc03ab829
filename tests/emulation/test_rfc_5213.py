"""What RFC 5213 leaves to the configuration of a domain, on a real kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.declare.scenario import Case, Flow, Move, Run, Scenario
from tests.emulation.conftest import Emulation, tshark
from topologies.presets import star

FLOWS = (Flow("cn1", "mn1", 0.0, 2.0, rate=100.0), Flow("mn1", "cn1", 0.003, 2.0, rate=100.0))
TIMESTAMP_OPTION = 27
OUT_OF_WINDOW = 135
IN_ORDER = Scenario(3.0, FLOWS[:1], (Move(1.007, "mn1", "mag3"),))
ORDERED = tuple(
    Run("order", star(), Case("pmip", "anchor"), IN_ORDER, 1, seed, "virtual", {"message_order": "sequence"}) for seed in range(1, 5)
)


def test_with_sequence_numbers_the_next_mag_goes_on_from_the_anchors(emulation: Emulation) -> None:
    """It does not know the session's last sequence number; where its own is not later, the LMA's refusal tells it (RFC 6275, 9.5.1)."""
    refused = []
    for played in emulation.play(*ORDERED):
        assert tshark(played.folder / "lma.pcap", f"mip6.mhtype == 5 && mip6.mobility_opt == {TIMESTAMP_OPTION}", "frame.number") == []
        about = [signal for signal in played.trace.signals if signal.mn_id == "mn1@dmm.example"]
        _, left, *came = (signal.sequence or 0 for signal in about if signal.kind == "PBU")
        answers = [(signal.status, signal.sequence) for signal in about if signal.kind == "PBA"][2:]
        refused.append(not 0 < (came[0] - left) & 0xFFFF < 0x8000)
        assert answers == ([(OUT_OF_WINDOW, left), (0, (left + 1) & 0xFFFF)] if refused[-1] else [(0, came[0])])
        assert came == [came[0], *(sequence for status, sequence in answers if refused[-1] and not status)]
        assert played.trace.packets[-1].received is not None
    assert set(refused) == {True, False}


@pytest.mark.parametrize("local", [True, False], ids=["on", "off"])
def test_local_routing_keeps_packets_between_two_nodes_of_one_mag_from_the_anchor(emulation: Emulation, local: bool) -> None:
    domain = star()
    domain = replace(domain, hosts=tuple(replace(host, mag="mag1") for host in domain.hosts))
    runs = [
        Run("local", domain, Case("pmip", "anchor"), Scenario(3.0, FLOWS), 1, 1, "virtual", {"local_routing": switch})
        for switch in ("on", "off")
    ]
    played = emulation.play(*runs)[not local]
    assert len(played.trace.packets) == 400
    assert all(packet.received is not None for packet in played.trace.packets)
    assert played.metrics["lma_data_packets"] == (0 if local else 400)
    assert {tuple(packet.seen) for packet in played.trace.packets if packet.flow == 0} == {
        ("cn1", "mag1", "mn1") if local else ("cn1", "mag1", "lma", "mn1")
    }
