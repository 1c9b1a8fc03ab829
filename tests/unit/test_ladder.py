"""The message ladder: well-formed, in order, with the draft's steps where they belong."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import studies

from experiments.declare.scenario import Case, Flow, Move, Scenario
from experiments.measure.records import Packet, SeenAssociation, Signal
from experiments.measure.study import RunResult, Step
from experiments.present.ladder import _Arrow, _label_places, _Mark, ladder
from topologies.domain import Domain
from topologies.presets import star, tree

SVG = "{http://www.w3.org/2000/svg}"
MS = studies.MS


def run(scheme: str, policy: str, *, moves: bool = False, packets: int = 100) -> RunResult:
    case = Case(scheme, policy)
    return studies.study((case,), packets=packets, moves=studies.MOVES if moves else ()).results[0]


def texts(svg: str) -> list[tuple[str, float, float]]:
    found = ((element, element.text or "") for element in ElementTree.fromstring(svg).iter(f"{SVG}text"))
    return [(text, float(element.get("x", "0")), float(element.get("y", "0"))) for element, text in found]


def words(svg: str) -> list[str]:
    return [text for text, _, _ in texts(svg)]


def columns(svg: str) -> dict[str, float]:
    return {text.split()[0]: x for text, x, y in texts(svg) if y in (55.0, 63.0)}


def description(svg: str) -> str:
    return ElementTree.fromstring(svg).findtext(f"{SVG}desc") or ""


def test_columns_run_from_source_to_destination_by_way_of_the_lma() -> None:
    found = columns(ladder(run("s-pmip", "notify"), studies.STEPS))
    assert sorted(found, key=lambda node: found[node]) == ["cn1", "mag1", "lma", "mag2", "mn1"]


def test_messages_and_their_fields() -> None:
    svg = ladder(run("s-pmip", "notify"), studies.STEPS)
    found = words(svg)
    assert {"PBU seq 1", "PBA seq 1", "PBQ seq 7", "PQA seq 7", "packet 0", "packet 1", "packet 2"} <= set(found)
    assert "HNP 2001:db8:100:2::/64 · CoA 2001:db8::2 · status 0 · lifetime 8 s" in found
    assert "HoA 2001:db8:100:2::2 · lifetime 8 s" in found
    assert "IP-in-IP · waited 50.000 ms in mag1" in found


def test_times_are_exact_at_both_ends() -> None:
    svg = ladder(run("s-pmip", "notify"), studies.STEPS)
    assert {"0.000", "2.000", "27.000", "52.000", "62.000", "64.000"} <= set(words(svg))
    assert "\N{MINUS SIGN}1000.000" in words(svg)


def test_time_runs_downwards() -> None:
    svg = ladder(run("s-pmip", "notify"), studies.STEPS)
    clock = re.compile("\N{MINUS SIGN}?[0-9]+[.][0-9]{3}")
    marks = sorted((y, float(text.replace("\N{MINUS SIGN}", "-"))) for text, _, y in texts(svg) if clock.fullmatch(text))
    assert len(marks) > 20
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(marks))


def test_steps_are_numbered_at_their_nodes_and_missing_ones_listed() -> None:
    svg = ladder(run("s-pmip", "notify"), studies.STEPS)
    at = columns(svg)
    circles = {text: x for text, x, _ in texts(svg) if text in "12345678"}
    assert circles == {
        "1": at["mag2"], "2": at["mag2"], "3": at["lma"], "4": at["cn1"], "5": at["mag1"], "6": at["lma"], "7": at["mag1"],
    }  # fmt: skip
    assert [text for text in words(svg) if text.startswith("Missing")] == [
        "Missing: step 8. The data packet is forwarded to MN: packet 0 at mn1 was looked for in vain"
    ]


def test_a_step_that_is_no_message_gets_a_row_of_its_own() -> None:
    step = Step(1, "Something happens", "seen by chance", studies.EPOCH + 500 * MS, "mag1")
    assert "seen by chance" in words(ladder(run("s-pmip", "notify"), (step,)))


def test_a_step_at_the_node_that_associates_is_numbered_at_the_association() -> None:
    result = run("s-pmip", "notify")
    step = Step(1, "MN attaches", "mn1 associates with mag2", result.trace.associations[1].time, "mn1")
    svg = ladder(result, (step,))
    assert "mn1 is associated with mag2" in words(svg)
    assert step.evidence not in words(svg)
    assert [x for text, x, _ in texts(svg) if text == "1"] == [columns(svg)["mag2"]]


def test_a_multicast_query_reaches_every_mag() -> None:
    svg = ladder(run("sd-pmip", "error"), studies.STEPS[3:5])
    assert "mag1 to mag2 and mag3: PBQ seq 7" in description(svg)
    assert "lma" not in columns(svg)
    assert any(text.startswith("IP-in-IP to ff15::5213") for text in words(svg))


def test_a_packet_through_the_anchor_and_around_a_handover() -> None:
    svg = ladder(run("pmip", "anchor", moves=True, packets=3000))
    told = description(svg)
    assert "mag1 to lma: packet 1011" in told
    assert "lma to mag3: packet 1011" in told
    assert "mag3 to mn1: packet 1011" in told
    assert "packet 996 is lost: last seen at lma" in told
    assert "mn1 is associated with mag3" in told


def test_a_packet_multicast_to_the_mags_goes_on_from_the_mag_of_the_node() -> None:
    sent = studies.EPOCH
    seen = {"cn1": sent, "mag1": sent + 2 * MS, "mag2": sent + 12 * MS, "mag3": sent + 12 * MS, "mn1": sent + 14 * MS}
    packet = Packet(0, 0, sent, sent + 14 * MS, 1, seen, {"mag1": sent + 2 * MS})
    result = run("sd-pmip", "error")
    told = description(ladder(replace(result, trace=replace(result.trace, packets=(packet,)))))
    assert "mag1 to mag2 and mag3: packet 0" in told
    assert "mag2 to mn1: packet 0" in told


def test_a_predicted_handover_shows_who_was_told_and_when_a_packet_that_waited_left() -> None:
    """The node leaves at 207 ms and comes at 257 ms; the next MAG has it resolved 4 ms later."""
    scenario = Scenario(1.0, (Flow("cn1", "mn1", 0.0, 0.5, rate=100.0),), (Move(0.207, "mn1", "mag3", notice=0.1),))
    result = studies.predicted(star(), scenario, (Case("s-pmip", "predict"),), figures=(), folder=Path("results")).results[0]
    svg = ladder(result)
    told = description(svg)
    assert "107.000 ms: mag2 to mag3: HI seq" in told
    assert "117.000 ms: mag3 to mag2: HACK seq" in told
    assert "261.000 ms: mag3 to mn1: packet 20" in told
    assert "waited 39.000 ms in mag3, 4.000 ms of it for neighbour discovery" in words(svg)


def routed(scheme: str, policy: str, domain: Domain) -> RunResult:
    scenario = Scenario(1.0, (Flow("cn1", "mn1", 0.0, 0.5, rate=100.0),), (Move(0.207, "mn1", "mag3"),))
    return studies.predicted(domain, scenario, (Case(scheme, policy),), figures=(), folder=Path("results")).results[0]


def test_what_crosses_a_routed_core_passes_its_routers() -> None:
    svg = ladder(routed("pmip", "anchor", tree()))
    found = columns(svg)
    assert sorted(found, key=lambda node: found[node]) == ["cn1", "mag1", "r2", "r1", "lma", "r3", "mag2", "mag3", "mn1"]
    told = description(svg)
    for hop in ("mag3 to r3", "r3 to r1", "r1 to lma", "lma to r1", "r1 to r3", "r3 to mag3"):
        assert re.search(rf"{hop}: PB[UA] seq", told)
    hops = re.findall(r"([a-z0-9]+ to [a-z0-9]+): packet 26\b", told)
    assert hops == ["cn1 to mag1", "mag1 to r2", "r2 to r1", "r1 to lma", "lma to r3", "r3 to mag3", "mag3 to mn1"]


def test_each_time_at_a_router_stands_once() -> None:
    svg = ladder(routed("s-pmip", "notify", tree()), since=studies.EPOCH, until=studies.EPOCH + 30 * MS, packets=())
    assert "mag1 to r2: PBQ seq 1. 7.000 ms: r2 to r1: PBQ seq 1. 12.000 ms: r1 to lma: PBQ seq 1" in description(svg)
    assert [word for word in words(svg) if word in ("2.000", "7.000", "12.000", "32.000")] == ["7.000", "2.000", "12.000", "32.000"]


def test_a_query_to_the_group_branches_where_its_way_does() -> None:
    told = description(ladder(routed("sd-pmip", "error", tree()), since=studies.EPOCH, until=studies.EPOCH + 10 * MS, packets=()))
    assert "mag1 to r2: PBQ" in told
    assert re.search("r2 to (mag2 and r1|r1 and mag2): PBQ", told)
    assert "r3 to mag3 and mag4: PBQ" in told


def test_of_many_nodes_those_that_only_listen_share_a_column() -> None:
    span: dict[str, Any] = {"since": studies.EPOCH, "until": studies.EPOCH + 10 * MS, "packets": ()}
    svg = ladder(routed("sd-pmip", "error", star(mags=40)), **span)
    assert "38 other nodes" in words(svg)
    assert "38 other nodes and mag2: PBQ seq 1" in description(svg) or "mag2 and 38 other nodes: PBQ seq 1" in description(svg)
    assert len(columns(svg)) <= 5
    deep = columns(ladder(routed("sd-pmip", "error", tree(depth=3, fanout=3)), **span))
    assert {"mag1", "mag2"} < set(deep)
    assert len(deep) < 10


def test_messages_about_other_hosts_are_counted_not_drawn() -> None:
    flows = tuple(Flow(f"cn{number}", f"mn{number}", 0.0, 0.5) for number in (1, 2, 3))
    case = (Case("s-pmip", "notify"),)
    (result,) = studies.predicted(star(mns=3, cns=3), Scenario(1.0, flows), case, figures=(), folder=Path("results")).results
    svg = ladder(result)
    queries = [word for word in words(svg) if word.startswith("PBQ")]
    assert len(queries) == 1
    assert {text for text in words(svg) if text.startswith("packet")} == {"packet 0.0", "packet 0.1", "packet 0.2"}
    others = sum(signal.kind in ("PBQ", "PQA") for signal in result.trace.signals if signal.sent < result.run.epoch + 1_064 * MS) - 2
    assert f"{others} messages about other hosts are not drawn." in words(svg)


def test_repeated_advertisements_are_drawn_once_and_messages_are_bounded() -> None:
    result = run("s-pmip", "notify")
    sent = studies.EPOCH + 10 * MS
    many = tuple(
        Signal(kind, sent + number * MS, "mag1", (("cn1", sent + (number + 2) * MS),), 100, "fe80::1", "ff02::1", sequence=sequence)
        for kind, sequence in (("RA", None), ("PBQ", 9))
        for number in range(60)
    )
    svg = ladder(replace(result, trace=replace(result.trace, signals=many)), since=studies.EPOCH, until=studies.EPOCH + 1000 * MS)
    assert words(svg).count("RA") == 1
    assert "21 further messages are not drawn." in words(svg)


def test_a_message_that_never_arrived() -> None:
    result = run("s-pmip", "notify")
    lost = replace(result.trace.signals[3], arrivals=())
    svg = ladder(replace(result, trace=replace(result.trace, signals=(lost,))), studies.STEPS[4:5])
    assert any(text.endswith("never arrived") for text in words(svg))
    assert "mag1 to nobody: PBQ seq 7" in description(svg)


def test_nothing_to_draw_and_nothing_received() -> None:
    result = run("pmip", "anchor")
    assert ElementTree.fromstring(ladder(replace(result, trace=studies.EMPTY))).tag == f"{SVG}svg"
    assert ElementTree.fromstring(ladder(replace(result, trace=studies.lose_all(result.trace)))).tag == f"{SVG}svg"


def test_names_are_escaped() -> None:
    result = run("s-pmip", "notify")
    odd = replace(result.trace, associations=(SeenAssociation("<mn&1>", "mag2", studies.EPOCH),))
    svg = ladder(replace(result, trace=odd), since=studies.EPOCH, until=studies.EPOCH + 100 * MS)
    assert "<mn&1> is associated with mag2" in words(svg)


def test_no_scripts_and_no_references() -> None:
    svg = ladder(run("s-pmip", "notify"), studies.STEPS)
    assert "<script" not in svg
    assert "href" not in svg
    assert svg == ladder(run("s-pmip", "notify"), studies.STEPS)


def test_a_label_keeps_clear_of_an_arrow_that_crosses_its_own() -> None:
    def arrow(start: tuple[str, float], end: tuple[str, float]) -> _Arrow:
        begin, stop = (_Mark(0, node, 0.0, y) for node, y in (start, end))
        return _Arrow(begin, (stop,), "PBU seq 51478", "", "#000000", False)

    at = {"mag1": 280.0, "lma": 460.0, "mag2": 640.0}
    down, across = arrow(("mag2", 301.0), ("lma", 388.0)), arrow(("mag1", 258.0), ("mag2", 323.0))
    alone, *_ = _label_places([down], at)
    beside, other = _label_places([down, across], at)
    assert (alone, other) == (0.43, 0.43)
    assert beside == 0.57
