from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from runs import run, still

from experiments.catalogue import CATALOGUE
from experiments.declare.course import Call
from experiments.declare.declarations import DeclarationError, from_json, to_json
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Fault, Impairment, Kill, Partition, Revocation, Run, WrongClock
from experiments.declare.selection import SelectionError, select
from experiments.play import faults

ALL: tuple[Fault, ...] = (
    Kill("mag1", 1.0, 2.0),
    Impairment(1.0, 2.0, ("mag1",), 0.1, 0.2, 0.3, 0.5),
    Partition("mag1", "mag2", 1.0, 2.0),
    WrongClock("mag2", -3600.0, 2.0),
    Revocation("mn1", 1.0, 2.0),
)


class Recorder:
    """Stands for testbed and agents: notes what it is told."""

    def __init__(self, *agents: str) -> None:
        self.agents = agents
        self.told: list[tuple[Any, ...]] = []

    def __contains__(self, name: str) -> bool:
        return name in self.agents

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def note(*arguments: Any, **more: Any) -> Callable[[], None]:
            self.told.append((name, *arguments, *more.items()))
            return lambda: self.told.append(("end of", name, *arguments))

        return note


def calls(run: Deployment, testbed: Any, agents: Any) -> list[Call]:
    """What all faults of a run are."""
    return [call for fault in run.faults for call in faults.calls(fault, run, testbed, agents)]


def struck(*happens: Fault, scheme: str = "s-pmip") -> Deployment:
    return run(scheme, scenario=replace(still(), faults=happens))


def test_faults_survive_their_file_each_by_its_kind() -> None:
    declared = struck(*ALL).declared
    declared = replace(declared, case=replace(declared.case, faults=ALL[:1]))
    assert from_json(to_json(declared), Run) == declared
    assert declared.faults == (*ALL, ALL[0])


def test_a_run_without_faults_reads_as_before() -> None:
    text = to_json(run("s-pmip").declared).replace(b'"faults": []', b'"unknown": 0')
    assert from_json(text, Run).faults == ()


@pytest.mark.parametrize("text", [b'"type": "Kil"', b'"type": 1'])
def test_an_unknown_fault_is_a_declaration_that_cannot_be_read(text: bytes) -> None:
    with pytest.raises(DeclarationError):
        from_json(to_json(struck(ALL[0]).declared).replace(b'"type": "Kill"', text), Run)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Kill("mag1", 2.0, 1.0),
        lambda: Kill("mag1", -1.0, 1.0),
        lambda: Impairment(1.0, 2.0, loss=30),
        lambda: Impairment(1.0, 2.0, duplicate=-0.1),
        lambda: Partition("mag1", "mag2", 1.0, 1.0),
    ],
)
def test_times_and_probabilities_are_checked(make: Callable[[], Fault]) -> None:
    with pytest.raises(ValueError, match=r"not at|from 0 to 1"):
        make()


def test_a_fault_names_agents_of_the_domain() -> None:
    experiment = replace(CATALOGUE["faults"], cases=(replace(CATALOGUE["faults"].cases[0], faults=(Kill("mag9", 1.0, 2.0),)),))
    with pytest.raises(SelectionError, match="mag9"):
        select(experiment)


def test_killed_is_killed_and_started_again() -> None:
    agents = Recorder("mag1", "lma")
    timed = calls(struck(Kill("mag1", 1.0, 2.0), Kill("mag7", 1.0, 2.0)), Recorder(), agents)
    for _, call in timed:
        call()
    assert [at for at, _ in timed] == [1.0, 2.0]
    assert agents.told == [("kill", "mag1"), ("start", "mag1")]


def test_an_impairment_strikes_what_each_named_agent_sends() -> None:
    testbed = Recorder()
    timed = calls(struck(Impairment(1.0, 2.0, ("mag1", "lma"), loss=0.3)), testbed, Recorder())
    for _, call in sorted(timed, key=lambda entry: entry[0]):
        call()
    assert [(told[0], told[1]) for told in testbed.told[:2]] == [("detour", "mag1"), ("detour", "lma")]
    assert [told[:3] for told in testbed.told[2:]] == [("end of", "detour", "mag1"), ("end of", "detour", "lma")]


def test_a_partition_holds_at_both_ends_for_what_comes_in() -> None:
    testbed = Recorder()
    for _, call in calls(struck(Partition("mag1", "mag3", 1.0, 2.0)), testbed, Recorder()):
        call()
    begun = [told for told in testbed.told if told[0] == "detour"]
    assert [(told[1], told[-1]) for told in begun] == [("mag1", ("inward", True)), ("mag3", ("inward", True))]
    assert all(told[4].loss == 1.0 for told in begun)


def test_a_clock_is_set_right_with_an_orderly_restart() -> None:
    agents = Recorder("mag2")
    for _, call in calls(struck(WrongClock("mag2", 3600.0, 2.0)), Recorder(), agents):
        call()
    assert agents.told == [("stop", "mag2"), ("start", "mag2")]


def test_faults_and_hard_moves_run_when_asked_for_only() -> None:
    assert [name for name, experiment in CATALOGUE.items() if experiment.usual] == ["fig1", "fig2", "table1", "handover"]
    assert {type(fault) for case in CATALOGUE["faults"].cases for fault in case.faults} == {type(fault) for fault in ALL}


def test_a_node_or_all_nodes_of_a_mag_are_revoked_by_the_anchor_where_there_is_one() -> None:
    revoked = Revocation("mn1", 1.0, 2.0), Revocation("mag2", 3.0, 4.0)
    agents = Recorder("lma", "mag2")
    for _, call in calls(struck(*revoked), Recorder(), agents):
        call()
    address = next(mag.address for mag in struck().domain.mags if mag.name == "mag2")
    mn_id = next(host.mn_id for host in struck().domain.hosts if host.name == "mn1")
    assert agents.told == [("tell", "lma", f"revoke {mn_id}"), ("tell", "lma", f"revoke-all {address}")]
    assert calls(struck(*revoked, scheme="sd-pmip"), Recorder(), agents) == []


def test_a_revocation_names_a_host_or_a_mag_of_the_domain() -> None:
    experiment = replace(CATALOGUE["faults"], cases=(replace(CATALOGUE["faults"].cases[0], faults=(Revocation("lma", 1.0, 2.0),)),))
    with pytest.raises(SelectionError, match="lma"):
        select(experiment)
