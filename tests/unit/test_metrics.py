"""Metrics of traces made by hand, and their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import EPOCH, MS, moving, run, still

from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Flow, Move, Scenario
from experiments.measure import metrics
from experiments.measure.metrics import MetricsFileError, measure
from experiments.measure.records import Metric, Packet, SeenAssociation, Signal, SummaryRow, Trace
from experiments.measure.study import RunResult
from topologies.presets import star, tree

NOTHING = Trace((), (), (), 0, 0)


def packet(sequence: int, delay: float | None, hold: float = 0.0, copies: int = 1, flow: int = 0, at: float | None = None) -> Packet:
    """A packet sent ``at`` ms (10 ms after the one before) that takes ``delay`` ms, of which ``hold`` in mag1."""
    sent = EPOCH + round((sequence * 10 if at is None else at) * MS)
    came = sent + 2 * MS
    received = None if delay is None else sent + round(delay * MS)
    return Packet(flow, sequence, sent, received, copies if received else 0, {"cn1": sent, "mag1": came}, {"mag1": came + round(hold * MS)})


def signal(kind: str, at: float, sender: str, to: str, arrives: float | None = None, **more: Any) -> Signal:
    arrivals = () if arrives is None else ((to, EPOCH + round(arrives * MS)),)
    return Signal(kind, EPOCH + round(at * MS), sender, arrivals, 100, "::1", "::2", **more)


def values(trace: Trace, this: Deployment | None = None) -> dict[str, float]:
    return {metric.name: metric.value for metric in measure(trace, this or run("s-pmip"))}


def of(*packets: Packet) -> Trace:
    return replace(NOTHING, packets=packets)


def test_delays_of_the_first_packet_and_of_those_that_did_not_wait() -> None:
    found = values(of(packet(0, 64, hold=50), packet(1, 54, hold=40), packet(2, 14), packet(3, 14.5), packet(4, 13)))
    assert found["first_packet_delay_ms"] == 64
    assert found["one_way_delay_ms"] == 14
    assert found["path_stretch"] == 1


def test_a_lost_first_packet_has_no_delay() -> None:
    assert "first_packet_delay_ms" not in values(of(packet(0, None), packet(1, 14)))


def test_losses_duplicates_and_reordering() -> None:
    found = values(of(packet(0, 50), packet(1, 14), packet(2, None), packet(3, 14, copies=3), packet(4, 14)))
    assert found["packets_sent"] == 5
    assert found["packets_lost"] == 1
    assert found["packets_duplicated"] == 2
    assert found["packets_reordered"] == 1


def test_packets_that_come_at_one_moment_are_in_the_order_of_the_capture() -> None:
    last_first = [replace(packet(sequence, 30 - 10 * sequence), order=-sequence) for sequence in range(3)]
    assert len({each.received for each in last_first}) == 1
    assert values(of(*last_first))["packets_reordered"] == 2
    assert values(of(*(replace(each, order=each.sequence) for each in last_first)))["packets_reordered"] == 0


def test_packets_of_different_flows_do_not_reorder_each_other() -> None:
    this = run("s-pmip", scenario=Scenario(2.0, (Flow("cn1", "mn1", 0.0, 1.0), Flow("mn1", "cn1", 0.0, 1.0))))
    assert values(of(packet(5, 14, at=0), packet(0, 14, flow=1, at=20)), this)["packets_reordered"] == 0


def test_buffering_is_what_a_mag_holds_for_more_than_a_millisecond() -> None:
    found = values(
        of(packet(0, 64, hold=50), packet(1, 54, hold=40), packet(2, 34, hold=20), packet(3, 14.1, hold=0.1), packet(9, 30, hold=10))
    )
    assert found["buffered_packets_max"] == 3
    assert found["buffer_wait_ms"] == 50


def test_nothing_held_means_no_wait() -> None:
    found = values(of(packet(0, 14)))
    assert found["buffered_packets_max"] == 0
    assert "buffer_wait_ms" not in found


def test_interruption_and_gap_of_a_handover() -> None:
    packets = [packet(n, None if 3 <= n < 9 else 14) for n in range(20)]
    association = SeenAssociation("mn1", "mag3", EPOCH + 90 * MS, EPOCH + 32 * MS)
    found = values(replace(of(*packets), associations=(association,)))
    assert found["handover_interruption_ms"] == 60
    assert found["l2_gap_ms"] == 58
    assert "handover_interruption_ms[1]" not in found


def test_several_handovers_are_numbered_and_averaged() -> None:
    packets = [packet(n, None if n in (3, 4, 10) else 14) for n in range(20)]
    associations = (
        SeenAssociation("mn1", "mag2", EPOCH - 1),
        SeenAssociation("mn1", "mag3", EPOCH + 60 * MS),
        SeenAssociation("mn1", "mag2", EPOCH + 115 * MS),
    )
    found = values(replace(of(*packets), associations=associations))
    assert [found["handover_interruption_ms[1]"], found["handover_interruption_ms[2]"]] == [20, 10]
    assert found["handover_interruption_ms"] == 15


def test_without_a_packet_afterwards_an_interruption_lasts_until_the_last_one_sent() -> None:
    packets = [packet(n, None if n >= 3 else 14) for n in range(20)]
    found = values(replace(of(*packets), associations=(SeenAssociation("mn1", "mag3", EPOCH + 90 * MS),)))
    assert found["handover_interruption_ms"] == 190 - 34 - 10


def test_a_moving_source_is_told_by_when_packets_were_sent() -> None:
    this = run("pmip", scenario=still(source="mn1", destination="cn1"))
    packets = [packet(n, 54) for n in range(20) if not 5 <= n < 10]
    found = values(replace(of(*packets), associations=(SeenAssociation("mn1", "mag3", EPOCH + 95 * MS),)), this)
    assert found["handover_interruption_ms"] == 50


def test_exchanges_run_from_the_first_sending_to_the_answer() -> None:
    signals = (
        signal("PBQ", 0, "mag1", "lma", sequence=1),
        signal("PBQ", 200, "mag1", "lma", 225, sequence=1),
        signal("PQA", 225, "lma", "mag1", 250, sequence=1, status=0),
        signal("PBU", 500, "mag2", "lma", 525, sequence=4, mn_id="mn1", lifetime=0.0),
        signal("PBU", 600, "mag3", "lma", sequence=7, mn_id="mn1", lifetime=300.0),
        signal("PBU", 610, "mag3", "lma", 635, sequence=8, mn_id="mn1", lifetime=300.0),
        signal("PBA", 635, "lma", "mag3", 660, sequence=8, mn_id="mn1", lifetime=300.0),
        signal("PBQ", 700, "mag1", "lma", sequence=2),
    )
    assert values(replace(NOTHING, signals=signals))["signalling_delay_ms"] == (250 + 60) / 2


def test_signalling_is_counted_as_sent_during_the_scenario() -> None:
    signals = (
        signal("PBU", -100, "mag2", "lma", -75),
        signal("RA", 5, "mag2", "mn1", 7),
        signal("PBQ", 10, "mag1", "lma", 35),
        signal("PQA", 35, "lma", "mag1", 60),
        signal("BE", 40, "mag2", "mag1", 50),
        signal("PBQ", 50, "mag1", "lma"),
        signal("PBU", 2001, "mag2", "lma"),
    )
    found = values(replace(NOTHING, signals=signals))
    assert found["signalling_messages"] == 4
    assert found["signalling_receptions"] == 3
    assert found["signalling_bytes"] == 400
    assert found["signalling_link_bytes"] == 3 * 2 * 100, "each arrived over a MAG's link and another"
    assert found["lma_control_messages"] == 2


def test_a_message_to_the_group_is_one_sending_many_arrivals_and_once_on_each_link() -> None:
    mags = [f"mag{number}" for number in range(2, 21)]
    arrivals = tuple((mag, EPOCH + 20 * MS) for mag in mags)
    told = Signal("PBQ", EPOCH + 10 * MS, "mag1", arrivals, 100, "::1", "ff15::5213")
    found = values(replace(NOTHING, signals=(told,)), run("sd-pmip", domain=star(mags=20)))
    assert (found["signalling_messages"], found["signalling_receptions"]) == (1, 19)
    assert (found["signalling_bytes"], found["signalling_link_bytes"]) == (100, 20 * 100)


def test_routers_that_a_message_passes_receive_none() -> None:
    way = tuple((node, EPOCH + when * MS) for node, when in (("r2", 5), ("r1", 10), ("lma", 15)))
    told = Signal("PBQ", EPOCH, "mag1", way, 100, "::1", "::2")
    found = values(replace(NOTHING, signals=(told,)), run("s-pmip", domain=tree()))
    assert (found["signalling_receptions"], found["signalling_link_bytes"]) == (1, 300)


def test_what_other_mags_held_counts_as_held_too() -> None:
    """Packets that the old MAG sends on, and that the next MAG gives back to be delivered, beside those at the source's."""
    sent = [EPOCH + round(number * 10 * MS) for number in range(3)]
    at_old = [
        Packet(0, n, at, at + 90 * MS, 1, {"mag1": at, "mag2": at + 5 * MS}, {"mag1": at, "mag2": at + 60 * MS})
        for n, at in enumerate(sent)
    ]
    seen = {"mag1": sent[2], "mag3": sent[2] + 15 * MS}
    at_next = Packet(0, 3, sent[2], sent[2] + 99 * MS, 1, seen, {"mag1": sent[2]}, released={"mag3": sent[2] + 95 * MS})
    found = values(of(*at_old, at_next))
    assert (found["buffered_packets_max"], found["buffer_wait_ms"]) == (3, 80)
    assert "one_way_delay_ms" not in found


def test_stretch_compares_with_the_shortest_path_between_where_the_nodes_are() -> None:
    this = run("pmip", scenario=moving((Move(0.03, "mn1", "mag1"),), 1.0))
    trace = replace(of(packet(0, 54), packet(10, 54)), associations=(SeenAssociation("mn1", "mag1", EPOCH + 80 * MS),))
    assert values(trace, this)["path_stretch"] == pytest.approx((54 / 14 + 54 / 4) / 2)


RUN = run("s-pmip")
METRICS = (Metric("one_way_delay_ms", 14.0000004, "ms", 14.0), Metric("packets_lost", 3, "packets", 2), Metric("path_stretch", 1.5, "1"))


def result(number: int, found: tuple[Metric, ...] = METRICS, failure: str | None = None) -> RunResult:
    return RunResult(replace(RUN, declared=replace(RUN.declared, number=number)), NOTHING, found, failure, Path())


def test_metrics_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics.write_metrics(path, [result(1), result(2, failure="panic")])
    assert path.read_text().splitlines() == [
        "experiment,scheme,policy,run,metric,value,unit",
        "test,s-pmip,notify,1,one_way_delay_ms,14.000000,ms",
        "test,s-pmip,notify,1,packets_lost,3,packets",
        "test,s-pmip,notify,1,path_stretch,1.500000,1",
    ]
    assert metrics.read_metrics(path)[1] == metrics.MetricRow("test", "s-pmip", "notify", 1, "packets_lost", 3.0, "packets")


def test_summary_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    rows = metrics.summarise([result(1), result(2, (Metric("packets_lost", 5, "packets", 2),)), result(3, (), "hung")])
    lost = next(row for row in rows if row.metric == "packets_lost")
    assert (lost.n, lost.mean, lost.expected, lost.unit) == (2, 4.0, 2.0, "packets")
    assert lost.sd == pytest.approx(2**0.5)
    assert lost.ci95 == pytest.approx(12.7062, abs=1e-3)
    metrics.write_summary(path, rows)
    lines = path.read_text().splitlines()
    assert lines[0] == "experiment,scheme,policy,metric,n,mean,sd,ci95,expected,unit"
    assert lines[3] == "test,s-pmip,notify,path_stretch,1,1.500000,0.000000,0.000000,,1"
    assert metrics.read_summary(path)[2] == SummaryRow("test", "s-pmip", "notify", "path_stretch", 1, 1.5, 0.0, 0.0, None, "1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "expected the columns experiment,scheme"),
        ("experiment,scheme,policy,run,metric,value,unit\nt,s,p,1,m,many,ms\n", "line 2: expected a number as value"),
        ("experiment,scheme,policy,run,metric,value,unit\nt,s,p\n", "line 2: expected a number as run"),
    ],
)
def test_what_is_no_metrics_file(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(MetricsFileError, match=reason):
        metrics.read_metrics(path)


def test_a_metrics_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MetricsFileError, match=r"summary\.csv: "):
        metrics.read_summary(tmp_path / "summary.csv")
