"""Faults as timed calls: what a fault's declaration means for the simulated network and its agents, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from experiments.declare.course import AGENT_FAULTS, Call
from experiments.declare.scenario import Fault, Impairment, Partition
from experiments.simulate.link import Treatment
from experiments.simulate.network import Network
from topologies.timing import nanoseconds


def calls(network: Network) -> Iterator[Call]:
    """What is done at which s of scenario time; a fault of an agent that the run's scheme does not use is none."""
    for fault in network.run.faults:
        if of_agent := AGENT_FAULTS.get(type(fault)):
            yield from of_agent(fault, network.run, network)
        else:
            yield from _CALLS[type(fault)](fault, network)


def _impair(fault: Impairment, network: Network) -> Iterator[Call]:
    treatment = Treatment(nanoseconds(fault.delay), fault.loss, fault.duplicate, fault.reorder)
    for name in network.run.domain_agents:
        if not fault.nodes or name in fault.nodes:
            outward, _ = network.core.access(name)
            outward.will_change()
            yield fault.at, partial(outward.treat, treatment)
            yield fault.end, partial(outward.end_treatment, treatment)


def _part(fault: Partition, network: Network) -> Iterator[Call]:
    for name, other in ((fault.a, fault.b), (fault.b, fault.a)):
        _, inward = network.core.access(name)
        inward.will_change()
        source = network.run.domain_agents[other].address.packed
        yield fault.at, partial(inward.block, source)
        yield fault.end, partial(inward.unblock, source)


_CALLS: Mapping[type[Fault], Callable[[Any, Network], Iterator[Call]]] = {
    Impairment: _impair,
    Partition: _part,
}
