"""The draft's procedures, its Table 1 and its arithmetic, on a real kernel."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import model
from experiments.catalogue import CATALOGUE
from experiments.declare.scenario import Case, Flow, Run, Scenario
from experiments.measure import procedures
from tests.emulation.conftest import Emulation, declare, tshark
from topologies.domain import LinkSettings
from topologies.presets import star, tree

TOLERANCE_MS = 0.05
SCHEMES = (Case("pmip", "anchor"), Case("s-pmip", "notify"), Case("sd-pmip", "error"))


def _delays(access: float, mag: float, lma: float) -> list[Run]:
    domain = star(access=LinkSettings(access), mag=LinkSettings(mag), lma_link=LinkSettings(lma))
    scenario = Scenario(2.0, (Flow("cn1", "mn1", 0.0, 1.0),))
    return [Run("delays", domain, case, scenario, 1, 1, "virtual") for case in SCHEMES]


@pytest.mark.parametrize(("a", "m", "l"), [(0.002, 0.005, 0.020), (0.003, 0.007, 0.011)])
def test_delays_follow_the_arithmetic_of_the_draft(emulation: Emulation, a: float, m: float, l: float) -> None:  # noqa: E741
    pmip, s_pmip, sd_pmip = (played.metrics for played in emulation.play(*_delays(a, m, l)))
    direct, anchored = (2 * a + 2 * m) * 1e3, (2 * a + 2 * m + 2 * l) * 1e3
    expected = [
        (pmip, anchored, anchored),
        (s_pmip, direct, direct + (2 * m + 2 * l) * 1e3),
        (sd_pmip, direct, direct + 4 * m * 1e3),
    ]
    for measured, standing, first in expected:
        assert measured["one_way_delay_ms"] == pytest.approx(standing, abs=TOLERANCE_MS)
        assert measured["first_packet_delay_ms"] == pytest.approx(first, abs=TOLERANCE_MS)
        assert measured["packets_lost"] == 0


def test_figures_run_as_drawn(emulation: Emulation) -> None:
    for name, played in zip(("fig1", "fig2"), emulation.play(declare("fig1"), declare("fig2")), strict=True):
        steps = procedures.find(procedures.PROCEDURES[name], played.trace, played.run)
        assert [step.number for step in steps if step.time is None] == []
        times = [step.time for step in steps if step.time is not None]
        assert times == sorted(times)


def test_table1_is_what_the_draft_says(emulation: Emulation) -> None:
    for played in emulation.play(*(declare("table1", case) for case in range(3))):
        row = procedures.table1_row(played.trace, played.run)
        assert {cell.column: cell.measured for cell in row.cells} == {cell.column: cell.draft for cell in row.cells}


def test_first_packets_to_the_group_need_not_wait(emulation: Emulation) -> None:
    (played,) = emulation.play(declare("fig2", 1))
    assert played.metrics["first_packet_delay_ms"] == pytest.approx(14.0, abs=TOLERANCE_MS)
    assert played.metrics["packets_lost"] == 0
    assert played.metrics["packets_duplicated"] == 0


HANDOVERS = CATALOGUE["handover"].cases


@pytest.mark.parametrize("case", range(len(HANDOVERS)), ids=[f"{case.scheme}-{case.label}" for case in HANDOVERS])
def test_handover_is_what_the_model_expects(emulation: Emulation, case: int) -> None:
    played = emulation.play(*(declare("handover", case) for case in range(len(HANDOVERS))))[case]
    expected = model.expect(played.run)
    measured = played.metrics
    assert {name for name in expected if name not in measured} == set()
    for name, value in measured.items():
        tolerance = TOLERANCE_MS if name.partition("[")[0].endswith("_ms") else 1e-2 if name == "path_stretch" else 0
        assert value == pytest.approx(expected.get(name, value if name == "packets_reordered" else None), abs=tolerance), name


def test_a_routed_core_with_multicast_routes_serves_every_scheme(emulation: Emulation) -> None:
    scenario = Scenario(2.0, (Flow("cn1", "mn1", 0.0, 1.0),))
    runs = [Run("tree", tree(), case, scenario, 1, 1, "virtual") for case in SCHEMES]
    for played in emulation.play(*runs):
        expected = model.expect(played.run)
        assert played.metrics["packets_lost"] == 0
        for name in ("one_way_delay_ms", "first_packet_delay_ms"):
            assert played.metrics[name] == pytest.approx(expected[name], abs=TOLERANCE_MS), (played.run.case.scheme, name)


def test_q_may_move_to_unassigned_bits(emulation: Emulation) -> None:
    run = replace(declare("fig1"), settings={"query.flag": "unassigned"})
    (played,) = emulation.play(run)
    kinds = {signal.kind for signal in played.trace.signals}
    assert {"PBQ", "PQA"} <= kinds
    assert played.metrics["packets_lost"] == 0


def test_tshark_finds_no_malformed_mobility_header(emulation: Emulation, tmp_path: Path) -> None:
    """Localized routing (17, 18) is left out: Wireshark 4.0 looks for its fixed part at the header's first octet."""
    runs = [declare("fig1"), declare("fig2"), declare("fig2", 1), *(declare("handover", case) for case in range(len(HANDOVERS)))]
    captures = [capture for played in emulation.play(*runs) for capture in sorted(played.folder.glob("*.pcap"))]
    together = tmp_path / "all.pcap"
    subprocess.run(["mergecap", "-a", "-F", "nsecpcap", "-w", together, *captures], check=True)
    headers = tshark(together, "mipv6", "mip6.mhtype", "_ws.malformed", "_ws.expert.severity")
    assert len(headers) > 100
    assert {kind for kind, *complaints in headers if any(complaints)} <= {"17", "18"}


def test_messages_go_from_agent_to_agent_without_extension_headers(emulation: Emulation) -> None:
    for played in emulation.play(declare("fig1"), declare("fig2")):
        agents = {agent.name: str(agent.address) for agent in played.run.agents}
        signals = [signal for signal in played.trace.signals if signal.kind not in ("RS", "RA")]
        for signal in signals:
            assert signal.source == agents[signal.sender]
            assert signal.tunnelled or [signal.destination] == [agents[node] for node, _ in signal.arrivals]
        headers = [column for name in agents for (column,) in tshark(played.folder / f"{name}.pcap", "mipv6", "ipv6.nxt")]
        assert len(headers) >= 2 * len(signals)
        assert {header for column in headers for header in column.split(",")} <= {"41", "135"}
