"""A running domain in a user's script: the documentation's examples, and a scenario that is asked for call by call."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.base import REPOSITORY
from experiments import script
from experiments.declare import declarations
from experiments.declare.scenario import Run
from tests.emulation.conftest import Emulation, declare

Play = Callable[..., tuple[Path, bool]]

PLAYS, READS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "sessions.md").read_text(), re.DOTALL)

CALL_BY_CALL = """
import sys
from dataclasses import replace
from pathlib import Path

from experiments.declare import declarations
from experiments.declare.scenario import DRAIN, Run, Scenario
from experiments.play.session import Session

folder, declared = map(Path, sys.argv[1:])
run = declarations.load(declared, Run)
with Session(replace(run, scenario=Scenario(0.0), epoch=0), folder) as session:
    for flow in run.scenario.flows:
        session.start(flow)
    for move in run.scenario.moves:
        session.move(move)
    session.run(run.scenario.duration + DRAIN)
"""

REFUSED = """
import sys
from pathlib import Path

from experiments.declare.blank import blank
from experiments.declare.scenario import Flow, Kill, Move, WrongClock
from experiments.play.session import Session
from topologies.presets import star

run = blank(star(mags=2), "sd-pmip")
with Session(run, Path(sys.argv[1])) as session:
    session.run(3.0)
    for ask in (
        lambda: session.move(Move(2.0, "mn1", "mag1")),
        lambda: session.move(Move(4.0, "mn1", "mag9")),
        lambda: session.fail(Kill("mag1", 1.0, 5.0)),
        lambda: session.fail(WrongClock("mag1", 1.0, 5.0)),
        lambda: session.start(Flow("cn1", "nobody", 4.0, 1.0)),
        lambda: session.at(2.5, print),
        lambda: session.run(2.0),
    ):
        try:
            ask()
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    print(session.deployment.scenario)
"""


@pytest.fixture
def play(emulation: Emulation, tmp_path: Path) -> Play:
    """A script's text and arguments; the folder that it left, whatever its outcome."""

    def played(text: str, *arguments: str) -> tuple[Path, bool]:
        file = tmp_path / "script.py"
        file.write_text(text)
        folder, outcome = script.run(file, arguments, engine_name="virtual", seed=1, results_folder=tmp_path / "results", wall_limit=600.0)
        return folder, outcome.ok

    return played


def captures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.pcap")}


def test_the_documentation_s_examples_work(play: Play, tmp_path: Path) -> None:
    folder, well = play(PLAYS)
    assert well, script.said(folder)
    before, after = script.said(folder).split("after 3 s:")
    assert before.split() == ["before:"]
    assert "dev mn1-air" in after
    declared = declarations.load(folder / "run.json", Run)
    assert (len(declared.scenario.flows), len(declared.scenario.moves), declared.scenario.duration) == (1, 1, 4.5)
    again, _ = play(PLAYS)
    assert captures(again) == captures(folder)
    assert len(captures(folder)) == 6
    reads = tmp_path / "reads.py"
    reads.write_text(READS)
    shown = subprocess.run([sys.executable, str(reads), str(folder)], capture_output=True, text=True, check=True).stdout
    assert "one_way_delay_ms 14.0 ms\n" in shown
    assert "packets_sent 388 packets\n" in shown


def test_what_is_asked_for_call_by_call_is_what_a_declaration_plays(play: Play, emulation: Emulation) -> None:
    (declared,) = emulation.play(declare("handover", 2))
    folder, well = play(CALL_BY_CALL, str(declared.folder / "run.json"))
    assert well, script.said(folder)
    assert captures(folder) == captures(declared.folder)
    played, wanted = (declarations.load(place / "run.json", Run).scenario for place in (folder, declared.folder))
    assert (played.flows, played.moves) == (wanted.flows, wanted.moves)


def test_what_cannot_be_done_is_said_and_not_declared(play: Play) -> None:
    folder, well = play(REFUSED)
    assert well
    lines = script.said(folder).splitlines()
    assert [line for line in lines if line] == [
        "SessionError: 2 s is past: it is 3 s after the session's zero",
        "AdmissionError: no node of the domain is called 'mag9'",
        "SessionError: 1 s is past: it is 3 s after the session's zero",
        "SessionError: the clock of mag1 runs already: a wrong one belongs into the run that the session begins with",
        "AdmissionError: no node of the domain is called 'nobody'",
        "SessionError: 2.5 s is past: it is 3 s after the session's zero",
        "SessionError: 2 s is past: it is 3 s after the session's zero",
        "Scenario(duration=0.0, flows=(), moves=(), faults=(), phase=0.0)",
    ]


def test_a_script_that_fails_is_said_to(play: Play) -> None:
    folder, well = play("raise SystemExit('for want of a reason')")
    assert not well
    assert "for want of a reason" in script.said(folder)
