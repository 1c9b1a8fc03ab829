"""Networks of other sizes and shapes than the default, and what happens to a run whose parts fail."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import model
from experiments.declare.scenario import Case, Flow, Move, Run, Scenario
from tests.emulation.conftest import Emulation, declare, job, outcomes
from topologies.presets import star

TOLERANCE_MS = 0.05
SCHEMES = (Case("pmip", "anchor"), Case("s-pmip", "notify"), Case("sd-pmip", "error"))


def test_many_hosts_on_many_gateways(emulation: Emulation) -> None:
    domain = star(mags=5, mns=4, cns=2)
    flows = tuple(Flow(f"cn{1 + i % 2}", f"mn{1 + i}", start=0.1 * i + 0.003, duration=1.0, rate=50.0) for i in range(4))
    scenario = Scenario(3.0, flows, (Move(0.707, "mn1", "mag5"), Move(0.907, "mn2", "mag2")))
    for played in emulation.play(*(Run("many", domain, case, scenario, 1, 1, "virtual") for case in SCHEMES)):
        expected = model.expect(played.run)
        for name in ("packets_sent", "packets_lost", "lma_data_packets"):
            assert played.metrics[name] == expected[name], (played.run.case.scheme, name)
        assert played.metrics["packets_sent"] == 200
        assert played.metrics["one_way_delay_ms"] == pytest.approx(expected["one_way_delay_ms"], abs=TOLERANCE_MS)


def test_neighbours_that_nobody_used_for_a_minute_are_still_resolved(emulation: Emulation) -> None:
    """In a domain of more than 128 neighbours, of which the kernel would remove those (docs/topologies.md)."""
    flows = tuple(Flow("cn1", "mn1", start, 0.1, 20.0) for start in (0.0, 72.0))
    run = Run("idle", star(mags=3, mns=25, cns=1), Case("s-pmip", "notify"), Scenario(73.0, flows), 1, 1, "virtual")
    (played,) = emulation.play(run)
    expected = model.expect(played.run)
    for name in ("first_packet_delay_ms", "buffer_wait_ms", "one_way_delay_ms"):
        assert played.metrics[name] == pytest.approx(expected[name], abs=TOLERANCE_MS), name


@pytest.mark.parametrize("case", SCHEMES[1:], ids=[case.scheme for case in SCHEMES[1:]])
def test_both_ends_behind_one_gateway_need_no_query_and_no_tunnel(emulation: Emulation, case: Case) -> None:
    domain = star()
    domain = replace(domain, hosts=tuple(replace(host, mag="mag1") for host in domain.hosts))
    (played,) = emulation.play(Run("local", domain, case, Scenario(1.0, (Flow("cn1", "mn1", 0.0, 0.5),)), 1, 1, "virtual"))
    assert played.metrics["packets_lost"] == 0
    assert played.metrics["first_packet_delay_ms"] == pytest.approx(4.0, abs=TOLERANCE_MS)
    assert [signal.kind for signal in played.trace.signals if signal.kind in ("PBQ", "PQA")] == []
    assert all(not packet.tunnelled for packet in played.trace.packets)


def test_link_loss_is_seen_and_seeded(emulation: Emulation) -> None:
    domain = star(access=replace(star().access, loss=0.05))
    scenario = Scenario(5.0, (Flow("cn1", "mn1", 0.0, 4.0),))
    one, other = emulation.play(*(Run("loss", domain, Case("pmip", "anchor"), scenario, 1, seed, "virtual") for seed in (1, 2)))
    for played in (one, other):
        assert 10 < played.metrics["packets_lost"] < 80
    lost = [{packet.sequence for packet in played.trace.packets if packet.received is None} for played in (one, other)]
    assert lost[0] != lost[1]


_AGENT_DIES = """
import sys, time
from pathlib import Path
from agents.linux import daemon
from experiments.play import emulate
run = daemon.run
def dies(config, journal, ready, *others):
    if config.name == "mag3":
        import os; os.write(ready, b"x"); time.sleep(1); raise SystemExit(3)
    run(config, journal, ready, *others)
daemon.run = dies
emulate.emulate(Path(sys.argv[1]))
"""


def test_a_run_whose_agent_dies_is_marked_failed_and_the_others_go_on(emulation: Emulation, tmp_path: Path) -> None:
    dying = replace(job(declare("fig1"), tmp_path / "dying"), command=(sys.executable, "-c", _AGENT_DIES, str(tmp_path / "dying")))
    sound = job(declare("fig1"), tmp_path / "sound")
    failed, fine = asyncio.run(outcomes([dying, sound]))
    assert fine.ok
    assert not failed.ok
    assert any("the agent of mag3 ended during the run" in line for line in failed.console)
    assert list((tmp_path / "dying").glob("*.pcap"))
