"""Plots: drawn from synthetic studies, the same bytes twice, and right about what is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import studies

from engines.base import REPOSITORY
from experiments.declare.scenario import Case, Flow, Move, Scenario
from experiments.measure.study import Study
from experiments.present import plots, style
from topologies.presets import star

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


def many_moves(tmp_path: Path, moves: int) -> Study:
    domain = star(mags=6, mns=4, cns=4)
    flows = tuple(Flow(f"cn{number}", f"mn{number}", 0.0, 0.5 + 0.3 * moves, rate=50.0) for number in range(1, 5))
    done = tuple(
        Move(0.507 + 0.3 * number, f"mn{number % 4 + 1}", f"mag{(number % 4 + number // 4 + 2) % 6 + 1}") for number in range(moves)
    )
    cases = (Case("pmip", "anchor"), Case("none", "none"))
    return studies.predicted(domain, Scenario(1.0 + 0.3 * moves, flows, done), cases, figures=(), folder=tmp_path)


def test_of_many_moves_the_first_few_are_drawn_each_with_the_packets_of_its_node(tmp_path: Path) -> None:
    study = many_moves(tmp_path, 10)
    axes = plots.handovers(study).axes
    assert len(axes) == 2 * style.MOST_MOVES
    (dots,) = (line for line in axes[0].lines if line.get_marker() == "o")
    apart = np.diff(dots.get_xdata())
    assert apart.min() == pytest.approx(20.0)
    said = words(plots.save("handovers", study, tmp_path)[1])
    assert "mn1 to mag3: " in said
    assert "mn4 to mag6: " in said


def test_the_distribution_has_a_step_for_each_handover(tmp_path: Path) -> None:
    study = many_moves(tmp_path, 10)
    anchor, nothing = plots.interruptions(study).axes[0].lines
    for line, case in ((anchor, study.experiment.cases[0]), (nothing, study.experiment.cases[1])):
        assert list(np.asarray(line.get_xdata()))[1:-1] == sorted(study.interruptions(case))
        assert np.asarray(line.get_ydata())[-1] == 1.0
    assert plots.interruptions(study).axes[0].get_xscale() == "symlog"
    assert f"PMIP: median {np.median(study.interruptions(study.experiment.cases[0])):.0f}, " in str(anchor.get_label())


def test_handovers_that_interrupt_nothing_are_drawn_left_of_zero() -> None:
    study = studies.study(FEW[:1], packets=10)
    early = tuple(replace(metric, value=-74.0) for metric in study.results[0].metrics if metric.name == "handover_interruption_ms")
    axis = plots.interruptions(replace(study, results=(replace(study.results[0], metrics=early),))).axes[0]
    assert axis.get_xlim() == (-74.0, 1.0)
    assert axis.lines[0].get_label() == "PMIP: median \N{MINUS SIGN}74, longest \N{MINUS SIGN}74, of 1"


def test_names_of_moves_stand_only_where_they_have_room(tmp_path: Path) -> None:
    assert " to mag3" in words(plots.save("delays", studies.study(FEW, packets=100), tmp_path)[1])
    assert "to mag3" not in words(plots.save("delays", many_moves(tmp_path, 20), tmp_path)[1])


def test_bars_show_less_than_nothing() -> None:
    study = studies.study(FEW, packets=10)
    summary = tuple(replace(row, mean=-5.0, expected=-5.0) for row in study.summary)
    figure = plots.bars(replace(study, summary=summary), metrics=("handover_interruption_ms",))
    low, high = figure.axes[0].get_xlim()
    assert low < -5.0 < 0.0 < high


_USERS_SETTINGS = """\
text.usetex: True
font.family: monospace
font.size: 20
axes.facecolor: black
lines.linewidth: 9
path.sketch: 1, 100, 2
savefig.bbox: tight
savefig.transparent: True
svg.image_inline: False
axes.unicode_minus: False
"""
_DRAW = """
import sys
from pathlib import Path
from experiments.present import plots
from test_plots import draw_all
draw_all(Path(sys.argv[1]))
import matplotlib
print(matplotlib.rcParams["axes.facecolor"])
"""


def draw_all(folder: Path) -> None:
    study = studies.study(FEW, packets=2500)
    for name in plots.PLOTS:
        plots.save(name, study, folder)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("ours")
    draw_all(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("settings", "backend", "kept"),
    [
        (_USERS_SETTINGS.encode(), "module://a_notebook.that_is_not_installed", "black"),
        (_USERS_SETTINGS.encode(), "no backend", "white"),
        (b"\xff\xfe is no UTF-8", "", "white"),
    ],
    ids=["settings", "backend", "octets"],
)
def test_the_users_settings_change_no_octet_of_a_figure_and_stay_as_they_are(
    settings: bytes, backend: str, kept: str, ours: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_bytes(settings)
    (tmp_path / "theirs").mkdir()
    environment = {
        **os.environ,
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLBACKEND": backend,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-c", _DRAW, str(tmp_path / "theirs")]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [kept]
    assert {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()} == ours
    assert len(ours) == 2 * len(plots.PLOTS)


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
    assert [list(np.asarray(line.get_xdata())) for line in figure.axes[0].lines] == [[54.0]]


@pytest.mark.parametrize(("values", "squashed"), [((0, 0, 5, 2910), False), ((20, 22, 4, 975, 500), True), ((8, 20, 22, 26), False)])
def test_one_value_that_dwarfs_the_others_makes_the_axis_logarithmic(values: tuple[float, ...], squashed: bool) -> None:
    assert plots._is_squashed(values) is squashed
