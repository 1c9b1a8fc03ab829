"""A running domain in a user's script: the documentation's examples, and a scenario that is asked for call by call."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.base import REPOSITORY
from experiments import script
from experiments.declare import declarations
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Run
from experiments.measure import metrics
from experiments.measure.trace import read_trace
from tests.emulation.conftest import Emulation, declare

Play = Callable[..., tuple[Path, bool, str]]

PLAYS, MANY, READS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "sessions.md").read_text(), re.DOTALL)

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
from math import nan
from pathlib import Path

from experiments.declare.blank import blank
from experiments.declare.scenario import Attack, Flow, Kill, Move, WrongClock
from experiments.play.session import Session
from topologies.presets import star

def ask(*calls):
    for call in calls:
        try:
            call()
        except Exception as error:
            print(f"{type(error).__name__}: {error}")

folder = Path(sys.argv[1])
session = Session(blank(star(mags=2), "sd-pmip"), folder)
ask(lambda: session.move(Move(2.0, "mn1", "mag1")))
with session:
    session.run(3.0)
    ask(
        lambda: session.move(Move(2.0, "mn1", "mag1")),
        lambda: session.move(Move(4.0, "mn1", "mag9")),
        lambda: session.fail(Kill("mag1", 1.0, 5.0)),
        lambda: session.fail(WrongClock("mag1", 1.0, 5.0)),
        lambda: session.fail(Attack("nonsense", "cn1", "mag1", "mn1", 4.0)),
        lambda: session.start(Flow("cn1", "nobody", 4.0, 1.0)),
        lambda: session.start(Flow("cn1", "mn1", 2.0, 1.0)),
        lambda: session.at(nan, print),
        lambda: session.run(2.0),
        lambda: session.agents.start("mag1"),
    )
    print(session.deployment.scenario)
ask(lambda: session.at(100.0, print))
ask(lambda: Session(blank(star(mags=2), "sd-pmip"), folder).__enter__())
"""
WAITS = """
import sys
from pathlib import Path

from experiments.declare.blank import blank
from experiments.declare.scenario import Move
from experiments.play.session import Session
from topologies.presets import star

with Session(blank(star(), "pmip"), Path(sys.argv[1])) as session:
    session.move(Move(2.0, "mn1", "mag3"))
    session.at(1.0, lambda: session.testbed["mn1"].cmd("sleep 3"))
"""
LEFT = """
import sys
from pathlib import Path

from experiments.declare.blank import blank
from experiments.declare.scenario import Flow, Move
from experiments.play.session import Session
from topologies.presets import star

with Session(blank(star(), "s-pmip"), Path(sys.argv[1]) / "of its own") as session:
    session.start(Flow("cn1", "mn1", start=0.5, duration=4.0))
    session.move(Move(3.0, "mn1", "mag3"))
    session.testbed["mn1"].popen("sleep 333", shell=True)
    session.testbed["mag1"].cmd("setsid sleep 222 &")
    session.run(1.0)
print(Path.cwd().name)
import subprocess
print(subprocess.run(["pgrep", "-a", "sleep"], capture_output=True, text=True).stdout or "nothing is left")
"""


@pytest.fixture
def play(emulation: Emulation, tmp_path: Path) -> Play:
    """Play a script's text with arguments: the folder that it left, whether it ended well, and what it said."""

    def played(text: str, *arguments: str) -> tuple[Path, bool, str]:
        file = tmp_path / "script.py"
        file.write_text(text)
        said: list[str] = []
        folder, outcome = script.run(
            file,
            arguments,
            engine_name="virtual",
            seed=1,
            results_folder=tmp_path / "results",
            wall_limit=600.0,
            say=said.append,
        )
        return folder, outcome.ok, "\n".join(said)

    return played


def captures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.pcap")}


def test_the_documentation_s_examples_work(play: Play, tmp_path: Path) -> None:
    folder, well, said = play(PLAYS)
    assert well, said
    before, after = said.split("after 3 s:")
    assert before.split() == ["before:"]
    assert "dev mn1-air" in after
    declared = declarations.load(folder / "run.json", Run)
    assert (len(declared.scenario.flows), len(declared.scenario.moves), declared.scenario.duration) == (1, 1, 4.5)
    again, _, _ = play(PLAYS)
    assert captures(again) == captures(folder)
    assert len(captures(folder)) == 6
    reads = tmp_path / "reads.py"
    reads.write_text(READS)
    shown = subprocess.run([sys.executable, str(reads), str(folder)], capture_output=True, text=True, check=True).stdout
    assert "one_way_delay_ms 14.0 ms\n" in shown
    assert "packets_sent 388 packets\n" in shown


def test_many_hosts_walk_and_speak(play: Play) -> None:
    folder, well, said = play(MANY)
    assert well, said
    run = resolve(declarations.load(folder / "run.json", Run))
    moves, flows = run.scenario.moves, run.scenario.flows
    assert (len(moves), len(flows)) == (61, 19)
    trace = read_trace(folder, run)
    assert sum(flow.packets for flow in flows) == len(trace.packets)
    came = Counter((association.node, association.mag) for association in trace.associations if association.time > run.epoch)
    assert came == Counter((move.mn, move.to) for move in moves)
    measured = {metric.name: metric.value for metric in metrics.measure(trace, run)}
    assert measured["lost_unexplained"] == measured["lost_under_way"] == 0


def test_what_is_asked_for_call_by_call_is_what_a_declaration_plays(play: Play, emulation: Emulation) -> None:
    (declared,) = emulation.play(declare("handover", 2))
    folder, well, said = play(CALL_BY_CALL, str(declared.folder / "run.json"))
    assert well, said
    assert captures(folder) == captures(declared.folder)
    played, wanted = (declarations.load(place / "run.json", Run).scenario for place in (folder, declared.folder))
    assert (played.flows, played.moves) == (wanted.flows, wanted.moves)


def test_what_cannot_be_done_is_said_and_not_declared(play: Play) -> None:
    _, well, said = play(REFUSED)
    assert well, said
    past = "is past: it is 3 s after the session's zero"
    lines = said.splitlines()
    kinds = next(line for line in lines if "an attack's kind" in line)
    lines.remove(kinds)
    assert kinds.endswith("not 'nonsense'")
    captures = next(line for line in lines if line.endswith("holds captures already: each session has a folder of its own"))
    lines.remove(captures)
    assert [line for line in lines if line] == [
        "SessionError: the session does not run: ask within its with statement",
        f"SessionError: 2 s {past}",
        "AdmissionError: no node of the domain is called 'mag9'",
        f"SessionError: 1 s {past}",
        "SessionError: the clock of mag1 runs already: a wrong one belongs into the run that the session begins with",
        "AdmissionError: no node of the domain is called 'nobody'",
        f"SessionError: 2 s {past}",
        "SessionError: expected a time in s, not nan",
        f"SessionError: 2 s {past}",
        "RuntimeError: the agent of mag1 runs already",
        "Scenario(duration=0.0, flows=(), moves=(), faults=(), phase=0.0)",
        "SessionError: the session does not run: ask within its with statement",
    ]


def test_what_a_waiting_call_makes_late_is_not_done_as_if_it_were_in_time(play: Play) -> None:
    _, well, said = play(WAITS)
    assert not well
    assert "SessionError: what was due at 2 s is 2.01 s late, since a call before it waited; let popen run what takes time" in said


def test_what_is_left_at_the_end_is_done_and_processes_end(play: Play) -> None:
    folder, well, said = play(LEFT)
    assert well, said
    assert said.split("\n")[:2] == [Path.cwd().name, "nothing is left"]
    place = folder / "of its own"
    run = resolve(declarations.load(place / "run.json", Run))
    measured = {metric.name: metric.value for metric in metrics.measure(read_trace(place, run), run)}
    assert measured["packets_sent"] == 388
    assert 50.0 <= measured["l2_gap_ms"] < 50.0 + 1e3 / 97
    assert measured["lost_unexplained"] == measured["lost_under_way"] == 0


def test_a_script_that_fails_is_said_to(play: Play) -> None:
    _, well, said = play("raise SystemExit('for want of a reason')")
    assert not well
    assert "for want of a reason" in said
