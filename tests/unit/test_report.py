"""The report: one page that stands alone, true to the study it is made from."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from experiments.measure import metrics
from experiments.measure.records import Metric, Reason, SummaryRow
from experiments.present import explanation, report, style
from experiments.present.study import agrees, by_case
from experiments.scenario import Case
from tests.unit import studies

_VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """What a test asks of a page: its text, its links, its ids, and whether its elements are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.ids, self.labels, self._open = "", [], [], [], []
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


def make(tmp_path: Path, **options: object) -> Page:
    """The page of a synthetic study; without figures, which take their time, unless asked for."""
    options = {"figures": (), "packets": 300, **options}
    return Page(report.write_report(studies.study(folder=tmp_path, **options), tmp_path))  # type: ignore[arg-type]


FIG1 = {
    "cases": (Case("s-pmip", "notify"),),
    "name": "fig1",
    "moves": (),
    "steps": studies.STEPS,
    "table1": studies.TABLE1,
    "figures": ("ladder", "table1", "delays", "bars"),
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


def test_it_says_whether_signalling_is_authenticated(tmp_path: Path) -> None:
    assert "Signalling is not authenticated" in make(tmp_path).text
    study = studies.study(packets=50, folder=tmp_path, figures=())
    key = {"authentication.key": "00" * 16, "authentication.spi": "4711"}
    results = tuple(replace(result, run=replace(result.run, settings=key)) for result in study.results)
    page = Page(report.write_report(replace(study, results=results), tmp_path))
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
    assert "24 of 24 measured values are what arithmetic expects." in page.text


def test_of_very_many_cases_the_ends_are_named(tmp_path: Path) -> None:
    many = (Case("s-pmip", "notify"), *(Case("pmip", "anchor", variant=f"fault-{number}") for number in range(16)))
    page = make(tmp_path, cases=many, packets=50)
    assert "a packet takes from 14.004 ms (S-PMIP · notify) to 54.004 ms (PMIP · anchor+fault-9), over 17 cases." in page.text


def test_a_disagreement_is_named(tmp_path: Path) -> None:
    study = studies.study(packets=50, folder=tmp_path, figures=())
    summary = tuple(
        replace(row, mean=60.0) if (row.scheme, row.metric) == ("pmip", "first_packet_delay_ms") else row for row in study.summary
    )
    page = Page(report.write_report(replace(study, summary=summary), tmp_path))
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
    study = studies.study(FIG1["cases"], figures=(), folder=tmp_path, packets=1500)  # type: ignore[arg-type]
    (result,) = study.results
    losses = tuple(replace(loss, reason=Reason.UNEXPLAINED) for loss in result.trace.losses)
    lost = Metric(Reason.UNEXPLAINED.metric, float(len(losses)), "packets", 0.0)
    result = replace(result, trace=replace(result.trace, losses=losses), metrics=(lost,))
    page = Page(report.write_report(replace(study, results=(result,), summary=metrics.summarise([result])), tmp_path))
    assert "0 of 1 measured values are what arithmetic expects" in page.text
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
    page = make(tmp_path, **{**FIG1, "figures": ("ladder", "table1")})
    assert "7 of the draft's 8 steps are found in the captures; missing: 8." in page.text
    assert "3 of 4 cells of Table 1 are as the draft has them." in page.text
    assert "✗ Used (multicast)" in page.text
    assert "the draft: Used (unicast)" in page.text
    assert (tmp_path / "ladder-s-pmip-notify.svg").exists()


def test_failures_and_truncated_captures(tmp_path: Path) -> None:
    study = studies.study(packets=50, folder=tmp_path, figures=("ladder",))
    failed = replace(study.results[0], failure="the guest hung\nconsole <line>\nlast line", trace=studies.EMPTY, metrics=())
    cut = replace(study.results[1], trace=replace(study.results[1].trace, truncated=("lma.pcap: breaks off at byte 99",)))
    page = Page(report.write_report(replace(study, results=(failed, cut, *study.results[2:])), tmp_path))
    for part in ("no mobility, run 1", "the guest hung", "console <line>\nlast line", "PMIP, run 1: lma.pcap: breaks off at byte 99"):
        assert part in page.text


def test_all_runs_failed(tmp_path: Path) -> None:
    study = studies.study(packets=1, folder=tmp_path, figures=("bars", "ladder"))
    failed = tuple(replace(result, failure="no kernel", trace=studies.EMPTY, metrics=()) for result in study.results)
    page = Page(report.write_report(replace(study, results=failed, summary=()), tmp_path))
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


def test_the_overview_links_every_report(tmp_path: Path) -> None:
    made = [studies.study(name=name, packets=10, figures=(), folder=tmp_path / name) for name in ("fig1", "handover")]
    for study in made:
        report.write_report(study, study.folder)
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
