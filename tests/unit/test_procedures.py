"""The draft's procedures and Table 1 in traces that have them, and in traces that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from runs import EPOCH, MS, run

from experiments.declare.deployment import resolve
from experiments.measure.procedures import PROCEDURES, find, table1_row
from experiments.measure.records import Packet, SeenAssociation, Signal, Trace
from experiments.model import predict

PREFIX = "2001:db8:100:1::/64"
ADDRESSES = {"lma": "2001:db8::1", "mag1": "2001:db8::1:1", "mag2": "2001:db8::1:2"}


def warmed(scheme: str) -> Trace:
    """What is predicted for a run, with the attachment that came before its zero."""
    trace = predict(run(scheme))
    began = EPOCH - 5000 * MS
    before = [Signal("RA", began + 60 * MS, "mag2", (("mn1", began + 62 * MS),), 96, "fe80::1", "ff02::1", home=PREFIX)]
    if scheme != "sd-pmip":
        about: dict[str, Any] = {"mn_id": "mn1@dmm.example", "lifetime": 300.0, "home": PREFIX, "sequence": 1}
        there, back = began + 25 * MS, began + 50 * MS
        before.append(Signal("PBU", began, "mag2", (("lma", there),), 128, ADDRESSES["mag2"], ADDRESSES["lma"], **about))
        before.append(Signal("PBA", there, "lma", (("mag2", back),), 128, ADDRESSES["lma"], ADDRESSES["mag2"], status=0, **about))
    before.sort(key=lambda signal: signal.sent)
    return replace(trace, signals=(*before, *trace.signals), associations=(SeenAssociation("mn1", "mag2", began),))


@pytest.mark.parametrize(("figure", "scheme", "steps"), [("fig1", "s-pmip", 8), ("fig2", "sd-pmip", 6)])
def test_every_step_is_found_in_order(figure: str, scheme: str, steps: int) -> None:
    found = find(PROCEDURES[figure], warmed(scheme), run(scheme))
    assert [step.number for step in found] == list(range(1, steps + 1))
    times = [step.time for step in found if step.time is not None]
    assert len(times) == steps
    assert times == sorted(times)


def test_when_and_where_the_steps_of_figure_1_are() -> None:
    steps = find(PROCEDURES["fig1"], warmed("s-pmip"), run("s-pmip"))
    places = [(step.node, (step.time - EPOCH) / MS) for step in steps[3:] if step.time is not None]
    assert places == [("cn1", 0), ("mag1", 2), ("lma", 27), ("mag1", 52), ("mag2", 62)]


Change = Callable[[Signal], bool]
LOSSES: list[tuple[str, str, int, Change]] = [
    ("fig1", "s-pmip", 2, lambda signal: signal.kind != "PBU"),
    ("fig1", "s-pmip", 3, lambda signal: signal.kind != "PBA"),
    ("fig1", "s-pmip", 5, lambda signal: signal.kind != "PBQ"),
    ("fig1", "s-pmip", 6, lambda signal: signal.kind != "PQA"),
    ("fig2", "sd-pmip", 1, lambda signal: signal.kind != "RA"),
    ("fig2", "sd-pmip", 3, lambda signal: signal.kind != "PBQ"),
    ("fig2", "sd-pmip", 4, lambda signal: signal.kind != "PQA"),
]


@pytest.mark.parametrize(("figure", "scheme", "number", "keep"), LOSSES)
def test_a_missing_message_is_reported(figure: str, scheme: str, number: int, keep: Change) -> None:
    trace = warmed(scheme)
    steps = find(PROCEDURES[figure], replace(trace, signals=tuple(filter(keep, trace.signals))), run(scheme))
    missing = [step for step in steps if step.time is None]
    assert [step.number for step in missing] == [number]
    assert missing[0].evidence.startswith("missing: ")


def test_a_message_that_never_arrived_is_no_step() -> None:
    trace = warmed("s-pmip")
    lost = tuple(replace(signal, arrivals=()) if signal.kind == "PQA" else signal for signal in trace.signals)
    assert find(PROCEDURES["fig1"], replace(trace, signals=lost), run("s-pmip"))[5].time is None


def test_an_answer_with_another_care_of_address_is_no_step() -> None:
    trace = warmed("s-pmip")
    wrong = tuple(replace(signal, care_of="2001:db8::1:3") if signal.kind == "PQA" else signal for signal in trace.signals)
    assert find(PROCEDURES["fig1"], replace(trace, signals=wrong), run("s-pmip"))[5].time is None


def test_a_query_that_misses_a_mag_is_no_multicast() -> None:
    trace = warmed("sd-pmip")
    partly = tuple(replace(s, arrivals=tuple(a for a in s.arrivals if a[0] != "mag3")) if s.kind == "PBQ" else s for s in trace.signals)
    assert find(PROCEDURES["fig2"], replace(trace, signals=partly), run("sd-pmip"))[2].time is None


def test_data_that_no_mag_encapsulates_is_reported() -> None:
    def plain(packet: Packet) -> Packet:
        return replace(packet, tunnelled={})

    trace = warmed("sd-pmip")
    steps = find(PROCEDURES["fig2"], replace(trace, packets=tuple(map(plain, trace.packets))), run("sd-pmip"))
    assert [step.number for step in steps if step.time is None] == [5]


def test_a_run_without_flows_has_no_steps() -> None:
    this = run("s-pmip")
    this = resolve(replace(this.declared, scenario=replace(this.scenario, flows=())))
    assert all(step.time is None for step in find(PROCEDURES["fig1"], warmed("s-pmip"), this))


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_every_cell_of_table_1_agrees(scheme: str) -> None:
    row = table1_row(warmed(scheme), run(scheme))
    assert [cell.column for cell in row.cells] == ["Agents", "Mobility Architecture", "Binding Update", "Data Delivery", "Binding Query"]
    assert all(cell.agrees for cell in row.cells), row


def test_table_1_is_measured_and_not_copied() -> None:
    row = table1_row(warmed("pmip"), run("sd-pmip"))
    assert {cell.column: cell.measured for cell in row.cells} == {
        "Agents": "MAG LMA",
        "Mobility Architecture": "centralized",
        "Binding Update": "used",
        "Data Delivery": "data driven",
        "Binding Query": "not used",
    }
    assert not any(cell.agrees for cell in row.cells)


def test_plain_routing_uses_nothing() -> None:
    cells = {cell.column: cell.measured for cell in table1_row(predict(run("none")), run("none")).cells}
    assert (cells["Mobility Architecture"], cells["Data Delivery"]) == ("none", "routed")
