"""Plots: drawn from synthetic studies, the same bytes twice, and right about what is lost."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.present import plots, style
from experiments.present.study import Study
from experiments.scenario import Case
from tests.unit import studies

FEW = studies.CASES[1:3]


def words(svg: Path) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("name", plots.PLOTS)
def test_png_and_svg_are_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    study = studies.study(FEW, packets=2500)
    again = studies.study(FEW, packets=2500)
    for folder, drawn in ((tmp_path / "a", study), (tmp_path / "b", again)):
        folder.mkdir()
        plots.save(name, drawn, folder)
    for suffix in ("png", "svg"):
        first, second = (tmp_path / folder / f"{name}.{suffix}" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 1000


@pytest.mark.parametrize("name", plots.PLOTS)
def test_every_case_has_its_panel_or_bar(name: str, tmp_path: Path) -> None:
    _, svg = plots.save(name, studies.study(packets=300), tmp_path)
    for case in studies.CASES:
        assert style.label(case) in words(svg)


def test_lost_packets_are_counted(tmp_path: Path) -> None:
    study = studies.study((Case("pmip", "anchor"),), packets=3000)
    lost = sum(packet.received is None for packet in study.results[0].trace.packets)
    _, svg = plots.save("delays", study, tmp_path)
    assert lost == 30
    assert "30 of 3000 lost" in words(svg)


def test_losses_show_each_reason_with_its_number(tmp_path: Path) -> None:
    _, svg = plots.save("losses", studies.study(studies.CASES[1:4]), tmp_path)
    for said in ("no route yet", "node had left", "14", "1\N{THIN SPACE}600", "PMIP"):
        assert said in words(svg)
    assert "buffer full" not in words(svg)


def test_a_case_without_a_complete_run_has_not_lost_nothing(tmp_path: Path) -> None:
    study = studies.study(FEW, packets=100)
    summary = tuple(row for row in study.summary if row.scheme == "pmip")
    _, svg = plots.save("losses", replace(study, summary=summary), tmp_path)
    assert words(svg).count("no complete run") == 1
    assert "nothing lost" not in words(svg)


def test_nothing_lost_is_said(tmp_path: Path) -> None:
    _, svg = plots.save("losses", studies.study(FEW, packets=100, moves=()), tmp_path)
    assert words(svg).count("nothing lost") == len(FEW)


def lose_everything(study: Study) -> Study:
    return replace(study, results=tuple(replace(result, trace=studies.lose_all(result.trace)) for result in study.results))


@pytest.mark.parametrize("name", plots.PLOTS)
def test_all_packets_lost(name: str, tmp_path: Path) -> None:
    _, svg = plots.save(name, lose_everything(studies.study(FEW, packets=1200)), tmp_path)
    if name == "delays":
        assert words(svg).count("1200 of 1200 lost") == len(FEW)


@pytest.mark.parametrize("name", plots.PLOTS)
def test_no_packet_at_all_and_failed_runs(name: str, tmp_path: Path) -> None:
    study = studies.study(FEW, packets=100)
    empty, failed = (replace(study.results[i], trace=studies.EMPTY, failure=why) for i, why in ((0, None), (1, "guest hung")))
    _, svg = plots.save(name, replace(study, results=(empty, failed, *study.results[2:])), tmp_path)
    if name not in ("bars", "losses"):
        assert "no complete run" in words(svg)


def test_without_a_handover_there_is_nothing_to_zoom_into(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no handover"):
        plots.save("handovers", studies.study(moves=()), tmp_path)


def test_a_dense_plot_stays_small(tmp_path: Path) -> None:
    _, svg = plots.save("delays", studies.study(), tmp_path)
    assert svg.stat().st_size < 1_000_000


def test_a_delay_far_above_the_usual_is_drawn_on_a_logarithmic_axis() -> None:
    study = studies.study((Case("pmip", "anchor"),), packets=100, moves=())
    result = study.results[0]
    first, *others = result.trace.packets
    slow = replace(first, received=first.sent + 2_000_000_000)
    figure = plots.delays(replace(study, results=(replace(result, trace=replace(result.trace, packets=(slow, *others))),)))
    assert figure.axes[0].get_yscale() == "log"
    assert plots.delays(study).axes[0].get_yscale() == "linear"


def test_intervals_are_drawn_where_runs_were_repeated() -> None:
    def whiskers(runs: int) -> int:
        return sum(len(axis.containers) for axis in plots.bars(studies.study(runs=runs, packets=10)).axes)

    assert whiskers(3) == 2 * whiskers(1)


def test_expected_values_are_marked() -> None:
    figure = plots.bars(studies.study((Case("pmip", "anchor"),), packets=10, moves=()), metrics=("one_way_delay_ms",))
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == [[54.0]]
