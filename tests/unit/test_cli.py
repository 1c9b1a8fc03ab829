"""The command line: what it refuses, in one line and with which exit status, and what it lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "handovr"), "did you mean handover?"),
        (("run", "fig1", "--scheme", "mip"), "no scheme is called 'mip'"),
        (("run", "fig1", "--engine", "ns3"), "expected one of auto, virtual, uml, native"),
        (("run", "fig1", "--set", "acess.delay=3ms"), "did you mean access.delay?"),
        (("run", "fig1", "--set", "access.delay=3"), "access.delay: expected"),
        (("run", "fig1", "--domain", "moon"), "no domain is called 'moon'"),
        (("run", "fig1", "--scheme", "pmip"), "no case left"),
        (("run", "fig1", "--set", "flow.size=70000"), "flow.size: expected a whole number from 10 to 65527"),
        (("run", "--resume", "results", "--seed", "3", "fig1"), "leave out experiments, seed"),
        (("run", "--resume", "agents"), "expected a folder that `dmmlab run` left"),
        (("analyse", "agents"), "expected a folder that `dmmlab run` left"),
        (("compare", "agents"), "expected a folder that `dmmlab run` left"),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert says in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("arguments", [("run", "fig1", "--runs", "0"), ("run", "fig1", "--seed", "-3"), ("fly",)])
def test_wrong_flags_are_refused_with_status_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert err


def test_malformed_toml_names_file_and_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "x\n')
    status, _, err = run(capsys, "run", "fig1", "--domain", str(broken))
    assert status == 2
    assert err.startswith(f"dmmlab: {broken}: expected TOML")
    assert err.count("\n") == 1


def test_without_a_command_it_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    for command in ("dmmlab run", "dmmlab list experiments", "dmmlab --help"):
        assert f"\n  {command} " in err


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--version")
    assert status == 0
    assert re.fullmatch(r"dmmlab \d+\.\d+\.\d+ \(revision (unknown|[0-9a-f]{40})\+?\)\n", out)


def test_a_setting_is_listed_with_meaning_unit_default_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "list", "settings")
    assert (
        "  query.rate               default 100; from 0.001 to 1000000 (queries/s)\n      queries that one access link may cause\n" in out
    )


@pytest.mark.parametrize(
    ("what", "includes"),
    [("experiments", "handover"), ("schemes", "sd-pmip"), ("domains", "tree"), ("settings", "buffer.packets")],
)
def test_lists(capsys: pytest.CaptureFixture[str], what: str, includes: str) -> None:
    status, out, _ = run(capsys, "list", what)
    assert status == 0
    assert includes in out


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert "dmmlab run handover --runs 5 --seed 7" in out


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "soon"])
def test_a_wall_limit_is_a_number_of_seconds(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    status, _, err = run(capsys, "run", "fig1", f"--wall-limit={limit}")
    assert status == 2
    assert f"expected a number of seconds above 0, not '{limit}'" in err


def test_a_script_needs_an_engine_with_a_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").touch()
    assert main(["script", "--engine", "sim", str(tmp_path / "mine.py")]) == 2
    assert capsys.readouterr().err == ("dmmlab: no engine that has a kernel is called 'sim'; expected one of auto, virtual, uml, native\n")
