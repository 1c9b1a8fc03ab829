"""What the terminal shows, as plain text."""

from __future__ import annotations

import io
from dataclasses import replace

import studies
from rich.console import Console

from experiments.measure.comparison import Comparison
from experiments.measure.study import Study
from experiments.present import style, terminal


def console(*, tty: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=160, force_terminal=tty, color_system=None), out


def shown(study: Study) -> str:
    target, out = console()
    terminal.show(study, target)
    return out.getvalue()


def test_every_case_has_a_row_with_its_values() -> None:
    text = shown(studies.study(packets=10))
    for case in studies.CASES:
        assert any(style.title(case.scheme) in line and case.policy in line for line in text.splitlines())
    assert "54.004" in text
    assert "24 of 24 values are what the model expects" in text


def test_a_disagreement_shows_both_values() -> None:
    study = studies.study(packets=10)
    summary = tuple(replace(row, mean=54.2) if row.mean == 54.004 else row for row in study.summary)
    text = shown(replace(study, summary=summary))
    assert "54.200 ≠ 54.000" in text
    assert "23 of 24 values" in text


def test_a_line_a_case_says_why_packets_were_lost() -> None:
    text = shown(studies.study(packets=10))
    assert "PMIP lost: no route yet 14\n" in text
    assert "S-PMIP · expire lost: node had left 1600\n" in text
    assert "lost:" not in shown(studies.study(packets=10, moves=()))


def test_steps_and_table1() -> None:
    text = shown(studies.study(packets=10, steps=studies.STEPS, table1=studies.TABLE1))
    missing = next(line for line in text.splitlines() if "looked for in vain" in line)
    assert "✗" in missing
    assert "✓" in next(line for line in text.splitlines() if "PBQ seq 7" in line)
    assert "✗ Used (multicast); the draft: Used (unicast)" in text


def test_failures_and_truncated_captures() -> None:
    study = studies.study(packets=10)
    failed = replace(study.results[0], failure="\n".join(["guest hung", *(f"[{line}] console" for line in range(30))]))
    cut = replace(study.results[1], trace=replace(studies.EMPTY, truncated=("lma.pcap: breaks off",)))
    text = shown(replace(study, results=(failed, cut, *study.results[2:])))
    assert "no mobility, run 1 failed: guest hung" in text
    assert "[29] console" in text
    assert "[3] console" not in text
    assert "PMIP, run 1: lma.pcap: breaks off" in text


def test_nothing_measured() -> None:
    study = studies.study(packets=1)
    assert "the model expects nothing" in shown(replace(study, summary=()))


def test_a_value_that_is_expected_and_missing_is_none_that_is_as_expected() -> None:
    study = studies.study()
    first, *others = study.results
    assert "24 of 25 values are what the model expects" in shown(
        replace(study, results=(replace(first, unmeasured=("l2_gap_ms",)), *others))
    )


def test_progress_without_a_terminal_is_a_line_a_run() -> None:
    target, out = console()
    with terminal.Progress(2, target) as progress:
        progress.started("fig1/[a]/1")
        progress.finished("fig1/[a]/1", None)
        progress.started("fig1/b/1")
        progress.finished("fig1/b/1", "guest hung\nconsole")
    assert out.getvalue().splitlines() == ["[1/2] fig1/[a]/1", "fig1/b/1: failed: guest hung"]


def test_progress_on_a_terminal_names_what_runs_and_counts() -> None:
    target, out = console(tty=True)
    with terminal.Progress(2, target) as progress:
        progress.started("fig1/[a]/1")
        progress.started("fig1/b/1")
        progress._bar.refresh()
        assert "fig1/[a]/1, fig1/b/1" in out.getvalue()
        progress.finished("fig1/[a]/1", "")
        progress._bar.refresh()
    assert "1/2" in out.getvalue()


def test_the_last_lines_say_what_is_not_as_expected() -> None:
    target, out = console()
    terminal.show_shortcomings(["fig1: runs that failed: PMIP, run 1", "handover: " + "x" * 300], target)
    assert out.getvalue().splitlines() == [
        "not as expected: fig1: runs that failed: PMIP, run 1",
        "not as expected: handover: " + "x" * 300,
    ]
    target, out = console()
    terminal.show_shortcomings([], target)
    assert out.getvalue() == "all is as expected\n"


def test_a_comparison_names_what_differs_and_says_whether_it_matters() -> None:
    same = Comparison("fig1", "", 6, (), 14, (), 0.0004, (), ("other versions than the reference's, which does not matter: python 3.13",))
    differing = replace(
        same, captures=("a/b/1/mn1.pcap",), metrics=("a/b/1 packets_lost: 1 packets, in the reference 0",), failed=("a/b/2",)
    )
    elsewhere = replace(same, kernel="another kernel, 6.12.115; the reference's is 6.12.117", captures=("a/b/1/mn1.pcap",))
    in_real_time = replace(same, kernel="another engine, uml; the reference's is virtual", compared=0)
    target, out = console()
    for found in (same, differing, elsewhere, in_real_time):
        terminal.show_comparison(found, target)
    assert out.getvalue().splitlines() == [
        "fig1: the reference's kernel; captures that differ: 0 of 6",
        "fig1: numbers that differ: 0 of 14",
        "  times within the tolerance differ by up to 0.000400 ms, which does not matter",
        "  other versions than the reference's, which does not matter: python 3.13",
        "fig1: the reference's kernel; captures that differ: 1 of 6",
        "  this matters: the same kernel gives the same bytes for the same code; `git log` since the reference says what changed",
        "  a/b/1/mn1.pcap",
        "fig1: numbers that differ: 1 of 14",
        "  a/b/1 packets_lost: 1 packets, in the reference 0",
        "  times within the tolerance differ by up to 0.000400 ms, which does not matter",
        "  a/b/2 failed",
        "  other versions than the reference's, which does not matter: python 3.13",
        "fig1: another kernel, 6.12.115; the reference's is 6.12.117; captures that differ: 1 of 6, which another kernel may do",
        "  a/b/1/mn1.pcap",
        "fig1: numbers that differ: 0 of 14",
        "  times within the tolerance differ by up to 0.000400 ms, which does not matter",
        "  other versions than the reference's, which does not matter: python 3.13",
        "fig1: another engine, uml; the reference's is virtual; only numbers are compared",
        "fig1: numbers that differ: 0 of 14",
        "  times within the tolerance differ by up to 0.000400 ms, which does not matter",
        "  other versions than the reference's, which does not matter: python 3.13",
    ]


def test_bench() -> None:
    target, out = console()
    terminal.show_bench([("bring-up", "112", "25 s / 0.22 s", "10 times", 11.2), ("run", "70", "", "60 s", 0.857)], target)
    assert "0.86" in out.getvalue()
    assert "bring-up" in out.getvalue()
    assert "✓" in out.getvalue()
    assert "✗" in out.getvalue()
