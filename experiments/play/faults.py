"""Faults as timed calls: what a fault's declaration means for the network and its agents, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from experiments.declare.course import AGENT_FAULTS, Call
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Attack, Fault, Impairment, Partition
from experiments.play import attackers
from experiments.play.agents import Agents
from topologies.linux.build import Testbed
from topologies.linux.detour import MOBILITY_HEADERS, Treatment, sent_by


def calls(fault: Fault, run: Deployment, testbed: Testbed, agents: Agents) -> Iterator[Call]:
    """What is done at which s of scenario time; a fault of an agent that the run's scheme does not use is none."""
    if of_agent := AGENT_FAULTS.get(type(fault)):
        return of_agent(fault, run, agents)
    return _CALLS[type(fault)](fault, run, testbed, agents)


def _impair(fault: Impairment, run: Deployment, testbed: Testbed, agents: Agents) -> Iterator[Call]:
    treatment = Treatment(fault.delay, fault.loss, fault.duplicate, fault.reorder)
    domain = run.domain
    for agent in (*domain.mags, *([domain.lma] if domain.lma else [])):
        if not fault.nodes or agent.name in fault.nodes:
            yield from _detour(fault, partial(testbed.detour, agent.name, agent.core, MOBILITY_HEADERS, treatment))


def _part(fault: Partition, run: Deployment, testbed: Testbed, agents: Agents) -> Iterator[Call]:
    known = run.domain_agents
    for name, other in ((fault.a, fault.b), (fault.b, fault.a)):
        matches = (sent_by(known[other].address),)
        yield from _detour(fault, partial(testbed.detour, name, known[name].core, matches, Treatment(loss=1.0), inward=True))


def _detour(fault: Impairment | Partition, begin: Callable[[], Callable[[], None]]) -> Iterator[Call]:
    ends: list[Callable[[], None]] = []
    yield fault.at, lambda: ends.append(begin())
    yield fault.end, lambda: ends.pop()()


_CALLS: Mapping[type[Fault], Callable[[Any, Deployment, Testbed, Agents], Iterator[Call]]] = {
    Impairment: _impair,
    Partition: _part,
    Attack: attackers.calls,
}
