"""The report: one page that stands alone, true to the study it is made from."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import pytest
import studies

from engines.base import REPOSITORY
from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Case, Flow, Move, Scenario
from experiments.measure import metrics
from experiments.measure.records import Metric, Reason, SummaryRow
from experiments.measure.study import Study, agrees, by_case
from experiments.present import explanation, plots, report, style
from topologies import presets

_VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """What a test asks of a page: its text, its links, its ids, and whether its elements are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "aria-label":
                self.labels.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def make(tmp_path: Path, **options: Any) -> Page:
    """The page of a synthetic study; without figures, which take their time, unless asked for."""
    options = {"figures": (), "packets": 300, **options}
    return page_of(studies.study(folder=tmp_path, **options), tmp_path)


def page_of(study: Study, folder: Path) -> Page:
    """The page of a study of which everything can be drawn."""
    assert report.write_report(study, folder) == ()
    return Page(folder / "index.html")


FIG1: dict[str, Any] = {
    "cases": (Case("s-pmip", "notify"),),
    "name": "fig1",
    "moves": (),
    "steps": studies.STEPS,
    "table1": studies.TABLE1,
    "figures": ("ladder", "delays", "bars"),
}


def test_it_stands_alone(tmp_path: Path) -> None:
    page = make(tmp_path, **FIG1)
    html = (tmp_path / "index.html").read_text()
    assert not re.search(r"https?:", html.replace("http://www.w3.org/", ""))
    assert "<script" not in html
    for link in page.links:
        assert link.startswith(("#", "data:image/png;base64,")) or (tmp_path / unquote(link)).exists()


def test_ids_are_unique_and_references_resolve(tmp_path: Path) -> None:
    page = make(tmp_path, figures=("handovers", "bars", "ladder"), cases=studies.CASES[1:3])
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", (tmp_path / "index.html").read_text())) <= set(page.ids)


def test_the_same_study_gives_the_same_page(tmp_path: Path) -> None:
    make(tmp_path, **{**FIG1, "figures": ("bars", "ladder")})
    first = (tmp_path / "index.html").read_bytes()
    make(tmp_path, **{**FIG1, "figures": ("bars", "ladder")})
    assert (tmp_path / "index.html").read_bytes() == first


def test_all_cases_question_command_and_facts(tmp_path: Path) -> None:
    page = make(tmp_path)
    for case in studies.CASES:
        assert style.label(case) in page.text
    for part in ("What does handover show?", "dmmlab run handover --runs 1 --seed 7", "6.12.48", "mininet 2.3.0", "virtual"):
        assert part in page.text


def test_its_head_says_what_was_asked_for_and_on_which_network(tmp_path: Path) -> None:
    head = make(tmp_path).text.partition("What was found")[0]
    assert "Made by dmmlab run" in head
    assert "Domain star: 3 MAGs, an LMA, 2 hosts; access links take 2 ms." in head


def test_it_says_whether_signalling_is_authenticated(tmp_path: Path) -> None:
    assert "Signalling is not authenticated" in make(tmp_path).text
    study = studies.study(packets=50, folder=tmp_path, figures=())
    key = {"authentication.key": "00" * 16, "authentication.spi": "4711"}
    results = tuple(replace(result, run=resolve(replace(result.run.declared, settings=key))) for result in study.results)
    page = page_of(replace(study, results=results), tmp_path)
    assert "Mobility SPI 4711" in page.text
    assert "not authenticated" not in page.text


def test_each_figure_has_a_label_and_both_files(tmp_path: Path) -> None:
    page = make(tmp_path, figures=("delays", "bars"), cases=studies.CASES[:1])
    assert len(page.labels) >= 2
    for name in ("delays", "bars"):
        assert {f"{name}.svg", f"{name}.png"} <= set(page.links)


def test_measured_and_expected_stand_side_by_side(tmp_path: Path) -> None:
    page = make(tmp_path)
    assert "54.004 ✓" in page.text
    assert "54.000 expected, +0.004" in page.text
    assert "0 expected" in page.text
    assert "+0.000" not in page.text
    assert "expected, +0 " not in page.text
    assert "24 of 24 measured values are what the model expects." in page.text


def test_of_very_many_cases_the_ends_are_named(tmp_path: Path) -> None:
    many = (Case("s-pmip", "notify"), *(Case("pmip", "anchor", variant=f"fault-{number}") for number in range(16)))
    page = make(tmp_path, cases=many, packets=50)
    assert "a packet takes from 14.004 ms (S-PMIP · notify) to 54.004 ms (PMIP · anchor+fault-9), over 17 cases." in page.text


def test_a_disagreement_is_named(tmp_path: Path) -> None:
    study = studies.study(packets=50, folder=tmp_path, figures=())
    summary = tuple(
        replace(row, mean=60.0) if (row.scheme, row.metric) == ("pmip", "first_packet_delay_ms") else row for row in study.summary
    )
    page = page_of(replace(study, summary=summary), tmp_path)
    assert "23 of 24 measured values" in page.text
    assert "PMIP: first packet (ms) is 60.000, expected 54.000." in page.text
    assert "60.000 ✗" in page.text


def test_the_ledger_says_where_and_why_packets_were_lost(tmp_path: Path) -> None:
    text = make(tmp_path, packets=1500).text
    assert "The loss ledger" in text
    for place, reason in (("lma", Reason.NO_ROUTE), ("mag2", Reason.NODE_LEFT)):
        assert f"{place}came out of a tunnel{style.REASONS[reason].title}" in text
    assert "Of the packets lost, by reason: no route yet 14; node had left" in text
    assert "unexplained" not in text


def test_a_packet_without_a_reason_is_not_as_expected(tmp_path: Path) -> None:
    study = studies.study(FIG1["cases"], figures=(), folder=tmp_path, packets=1500)
    (result,) = study.results
    losses = tuple(replace(loss, reason=Reason.UNEXPLAINED) for loss in result.trace.losses)
    lost = Metric(Reason.UNEXPLAINED.metric, float(len(losses)), "packets", 0.0)
    result = replace(result, trace=replace(result.trace, losses=losses), metrics=(lost,))
    page = page_of(replace(study, results=(result,), summary=metrics.summarise([result])), tmp_path)
    assert "0 of 1 measured values are what the model expects" in page.text
    assert f"S-PMIP · notify: lost: unexplained is {len(losses)}, expected 0." in page.text
    assert "✗ unexplained" in page.text


def test_nothing_lost_needs_no_ledger(tmp_path: Path) -> None:
    assert "The loss ledger" not in make(tmp_path, moves=()).text


def test_every_expected_delay_is_explained(tmp_path: Path) -> None:
    page = make(tmp_path, **{**FIG1, "figures": ("bars",)})
    assert "2a + 2m = 2·2 + 2·5 = 14 ms" in page.text
    assert "2a + 4m + 2l = 2·2 + 4·5 + 2·20 = 64 ms" in page.text


@pytest.mark.parametrize(
    ("case", "metric", "expected", "formula"),
    [
        (Case("pmip", "anchor"), "one_way_delay_ms", 54.0, "2a + 2m + 2l = 2·2 + 2·5 + 2·20 = 54 ms"),
        (Case("sd-pmip", "error"), "first_packet_delay_ms", 34.0, "2a + 6m = 2·2 + 6·5 = 34 ms"),
        (Case("none", "none"), "first_packet_delay_ms", 14.0, "2a + 2m = 2·2 + 2·5 = 14 ms"),
        (Case("pmip", "anchor"), "one_way_delay_ms", 55.0, None),
        (Case("pmip", "anchor"), "packets_lost", 54.0, None),
    ],
)
def test_formula(case: Case, metric: str, expected: float, formula: str | None) -> None:
    assert explanation.formula(studies.study((case,), packets=1).experiment, case, metric, expected) == formula


def test_steps_and_table1(tmp_path: Path) -> None:
    page = make(tmp_path, **{**FIG1, "figures": ("ladder",)})
    assert "7 of the draft's 8 steps are found in the captures; missing: 8." in page.text
    assert "3 of 4 cells of Table 1 are as the draft has them." in page.text
    assert "✗ Used (multicast)" in page.text
    assert "the draft: Used (unicast)" in page.text
    assert (tmp_path / "ladder-s-pmip-notify.svg").exists()


def test_failures_and_truncated_captures(tmp_path: Path) -> None:
    study = studies.study(packets=50, folder=tmp_path, figures=("ladder",))
    failed = replace(study.results[0], failure="the guest hung\nconsole <line>\nlast line", trace=studies.EMPTY, metrics=())
    cut = replace(study.results[1], trace=replace(study.results[1].trace, truncated=("lma.pcap: breaks off at byte 99",)))
    page = page_of(replace(study, results=(failed, cut, *study.results[2:])), tmp_path)
    for part in ("no mobility, run 1", "the guest hung", "console <line>\nlast line", "PMIP, run 1: lma.pcap: breaks off at byte 99"):
        assert part in page.text


def test_all_runs_failed(tmp_path: Path) -> None:
    study = studies.study(packets=1, folder=tmp_path, figures=("bars", "ladder"))
    failed = tuple(replace(result, failure="no kernel", trace=studies.EMPTY, metrics=()) for result in study.results)
    page = page_of(replace(study, results=failed, summary=()), tmp_path)
    assert page.text.count("no kernel") == len(failed)


def test_captures_and_tables_are_linked(tmp_path: Path) -> None:
    run = tmp_path / "s-pmip" / "notify" / "1"
    run.mkdir(parents=True)
    for path in (run / "mn1.pcap", run / "events.jsonl", tmp_path / "summary.csv"):
        path.touch()
    page = make(tmp_path, cases=(Case("s-pmip", "notify"),))
    assert {"s-pmip/notify/1/mn1.pcap", "s-pmip/notify/1/events.jsonl", "summary.csv"} <= set(page.links)


def test_repeated_runs_show_their_interval(tmp_path: Path) -> None:
    page = make(tmp_path, runs=3, figures=())
    assert "54.004 ± 2.500" in page.text


DOMAINS = {
    **{name: preset() for name, preset in presets.PRESETS.items()},
    **{path.name: presets.named(str(path)) for path in sorted((REPOSITORY / "topologies" / "examples").glob("*.toml"))},
}
EVERY_FIGURE = tuple(dict.fromkeys([*plots.PLOTS, *(figure for experiment in CATALOGUE.values() for figure in experiment.figures)]))


@pytest.mark.parametrize("name", DOMAINS)
def test_every_figure_of_every_preset_and_example_is_drawn(name: str, tmp_path: Path) -> None:
    domain = DOMAINS[name]
    scenario = Scenario(2.0, (Flow("cn1", "mn1", 0.0, 1.5, rate=50.0),), (Move(0.507, "mn1", "mag3", notice=0.1),))
    page_of(studies.predicted(domain, scenario, studies.EVERY_CASE, figures=("ladder",), folder=tmp_path), tmp_path)
    ladders = {f"ladder-{case.scheme}-{case.label}.svg" for case in studies.EVERY_CASE}
    assert {path.name for path in tmp_path.glob("*.svg")} == ladders
    usual = tuple({case.scheme: case for case in reversed(studies.EVERY_CASE)}.values())
    page_of(studies.predicted(domain, scenario, usual, figures=EVERY_FIGURE, folder=tmp_path), tmp_path)
    assert {path.name for path in tmp_path.glob("*.svg")} == {*ladders, *(f"{plot}.svg" for plot in plots.PLOTS)}


def test_many_moves_of_many_nodes_show_their_distribution(tmp_path: Path) -> None:
    domain = presets.star(mags=6, mns=4, cns=4)
    flows = tuple(Flow(f"cn{number}", f"mn{number}", 0.0, 3.5, rate=50.0) for number in range(1, 5))
    moves = tuple(Move(0.507 + 0.3 * number, f"mn{number % 4 + 1}", f"mag{(number % 4 + number // 4 + 2) % 6 + 1}") for number in range(8))
    cases = (Case("pmip", "anchor"), Case("sd-pmip", "error"))
    study = studies.predicted(domain, Scenario(4.0, flows, moves), cases, figures=("handovers",), folder=tmp_path)
    assert [len(study.interruptions(case)) for case in cases] == [8, 8]
    off = tuple(
        replace(row, mean=row.mean + 2) if (row.scheme, row.metric) == ("sd-pmip", "handover_interruption_ms[6]") else row
        for row in study.summary
    )
    page = page_of(replace(study, summary=off), tmp_path)
    assert {"interruptions.svg", "interruptions.png", "handovers.svg"} <= set(page.links)
    assert "SD-PMIP · error, move 6, mn2 to mag5 at 2.007 s: handover interruption (ms) is" in page.text
    assert page.text.count("Handover interruption (ms), move 6, mn2 to mag5 at 2.007 s") == 1


def test_of_very_many_disagreements_the_first_are_named(tmp_path: Path) -> None:
    study = studies.study(packets=50, folder=tmp_path, figures=())
    page = page_of(replace(study, summary=tuple(replace(row, expected=row.mean + 1) for row in study.summary)), tmp_path)
    assert len(re.findall(" is [^,]+, expected ", page.text)) == 20
    assert f"{len(study.summary) - 20} further values are not what the model expects" in page.text


def fail(*_: object, **__: object) -> NoReturn:
    raise KeyError("r2")


def test_a_figure_that_cannot_be_drawn_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "PLOTS", {**plots.PLOTS, "delays": fail})
    monkeypatch.setattr(report, "ladder", fail)
    study = studies.study(studies.CASES[1:3], folder=tmp_path, packets=50, figures=("delays", "bars", "ladder", "unheard-of"), moves=())
    undrawn = report.write_report(study, tmp_path)
    headings = ("Delay of every packet", "Message ladder: PMIP", "Message ladder: S-PMIP · notify", "unheard-of")
    assert [line.partition(" could not be made: ")[0] for line in undrawn] == [f"“{heading}”" for heading in headings]
    assert all(re.search(r"KeyError: 'r2' \(test_report\.py, line \d+\)$", line) for line in undrawn[:3])
    assert undrawn[3].endswith(f"no figure is called 'unheard-of'; there are {', '.join(report.FIGURES)}")
    page = Page(tmp_path / "index.html")
    for line in undrawn:
        assert page.text.count(line.partition("made: ")[2]) >= 2
    assert page.text.count("This figure could not be drawn: ") == 4
    assert {"bars.svg", "bars.png"} <= set(page.links)
    assert "10 of 10 measured values are what the model expects." in page.text


@pytest.mark.parametrize(
    ("function", "heading"),
    [
        ("_found", "What was found"),
        ("_line", "The table of what was found"),
        ("table_of_attacks", "What became of each attack"),
        ("_steps", "The draft's steps"),
        ("_losses", "The loss ledger"),
        ("_handovers", "Each handover"),
        ("_others", "All other metrics"),
        ("_facts", "What was run, and how to run it again"),
        ("_files", "Where each number comes from"),
        ("_reasons", "Where the expected delays come from"),
    ],
)
def test_a_part_that_cannot_be_written_costs_nothing_else(
    function: str, heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"folder": tmp_path, "packets": 100, **FIG1, "figures": ("bars",) if function == "_reasons" else ()}
    study = studies.study(**options)
    whole = page_of(study, tmp_path).text
    monkeypatch.setattr(report, function, fail)
    (line,) = report.write_report(study, tmp_path)
    assert line.startswith(f"“{heading}” could not be made: KeyError: 'r2' (test_report.py, line ")
    page = Page(tmp_path / "index.html")
    assert page.text.count("KeyError: 'r2'") == 2
    headings = {part for part in report._SECTIONS.values() if part in whole}
    assert {part for part in headings if part not in page.text} == set()


def test_a_run_of_a_case_that_was_never_declared_costs_figures_only(tmp_path: Path) -> None:
    study = studies.study(studies.CASES[1:3], folder=tmp_path, packets=50, figures=("delays", "ladder", "bars"))
    fewer = replace(study, experiment=replace(study.experiment, cases=study.experiment.cases[:1]))
    undrawn = report.write_report(replace(fewer, summary=study.summary[:5]), tmp_path)
    assert [line.partition("”")[0] for line in undrawn] == ["“Delay of every packet", "“ladder", "“The loss ledger", "“Each handover"]
    page = Page(tmp_path / "index.html")
    assert page.text.count("This figure could not be drawn: ") == 2
    assert {"bars.svg", "bars.png"} <= set(page.links)


def test_the_overview_keeps_what_can_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_found", fail)
    page = Page(report.write_index([studies.study(folder=tmp_path / "fig1", packets=10)], tmp_path))
    assert "“What was found” could not be made: KeyError: 'r2'" in page.text
    nothing = replace(studies.study(packets=1), results=(), summary=())
    page = Page(report.write_index([nothing, studies.study(folder=tmp_path / "fig1", packets=10)], tmp_path))
    assert page.links == ["#", "fig1/index.html"]


def test_nothing_was_run_and_nothing_is_sent(tmp_path: Path) -> None:
    study = studies.study(studies.CASES[:1], packets=10, folder=tmp_path, figures=("delays", "bars", "losses", "ladder"), moves=())
    page_of(replace(study, results=(), summary=()), tmp_path)
    idle = replace(study.experiment, scenario=Scenario(1.0))
    results = tuple(
        replace(r, run=resolve(replace(r.run.declared, scenario=Scenario(1.0))), trace=studies.EMPTY, metrics=()) for r in study.results
    )
    page_of(replace(study, experiment=idle, results=results), tmp_path)


def test_the_overview_links_every_report(tmp_path: Path) -> None:
    made = [studies.study(name=name, packets=10, figures=(), folder=tmp_path / name) for name in ("fig1", "handover")]
    for study in made:
        assert report.write_report(study, study.folder) == ()
    page = Page(report.write_index(made, tmp_path / "overview"))
    assert page.links == ["../fig1/index.html", "../handover/index.html"]
    assert "Fig1 in short" in page.text


def test_cases_are_paired_with_their_runs() -> None:
    study = studies.study(runs=2, packets=1)
    pairs = by_case(study.experiment, reversed(study.results))
    assert [case for case, _ in pairs] == list(studies.CASES)
    assert all([result.run.number for result in results] == [1, 2] for _, results in pairs)
    assert all(result.run.case == case for case, results in pairs for result in results)


@pytest.mark.parametrize(
    ("mean", "expected", "unit", "engine", "verdict"),
    [
        (54.05, 54.0, "ms", "virtual", True),
        (54.051, 54.0, "ms", "virtual", False),
        (354.0, 54.0, "ms", "native", True),
        (354.1, 54.0, "ms", "native", False),
        (13.0, 12.0, "messages", "uml", None),
        (12.0, 12.0, "messages", "virtual", True),
        (13.0, 12.0, "messages", "virtual", False),
        (54.0, None, "ms", "virtual", None),
    ],
)
def test_agreement_is_within_the_engines_noise(mean: float, expected: float | None, unit: str, engine: str, verdict: bool | None) -> None:
    assert agrees(SummaryRow("e", "pmip", "anchor", "m", 1, mean, 0.0, 0.0, expected, unit), engine) is verdict
